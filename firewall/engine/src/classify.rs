//! From a flow to a decision: the first rule that all dimensions share.

use crate::tables::{Pages, Tables, head, number};
use crate::tree::{narrow, wide};
use crate::{Parsed, Shape};
use core::hint::black_box;
use firewall_abi::packet::{Decision, Direction, Local, NO_RULE, PacketHeaders, Reason, Verdict};
use firewall_abi::rules::{
    ASKS_INTERFACE, ASKS_OUT_INTERFACE, ASKS_PROGRAM, ASKS_USER, DefaultPolicy, Head, NO_SETS,
    Outcome, PAGE_WORDS, Page, SUMMARY_WORDS, SetsHead, SetsPage, Tree, class,
};

/// Decides what becomes of a packet, by the rules alone. See the head of this crate for what each kind of packet gets.
#[inline(always)]
pub fn classify<T: Tables>(packet: &Parsed, local: &Local, tables: &T) -> Decision {
    classify_under(head(tables), packet, local, tables)
}

/// The same, when the head has been looked up.
#[inline(always)]
pub(crate) fn classify_under<T: Tables>(
    head: Option<&Head>,
    packet: &Parsed,
    local: &Local,
    tables: &T,
) -> Decision {
    let Some(head) = head else { return unfilled() };
    if packet.shape == Shape::Malformed {
        return decision(head.generation, NO_RULE, REFUSED, Reason::Malformed);
    }
    if head.generation == 0 {
        return unfilled();
    }
    let fragment = packet.shape == Shape::LaterFragment;
    let or_fragment = |reason| if fragment { Reason::Fragment } else { reason };
    match first_match(packet, local, head, tables) {
        Some(Match::Rule(_, outcome))
            if comes_out_later(local, outcome) || asks_late(packet, local, outcome) =>
        {
            at_socket(head)
        }
        Some(Match::Rule(rule, outcome)) => {
            let outcome = if fragment { outcome.unasked() } else { outcome };
            decision(head.generation, rule, outcome, or_fragment(Reason::Rule))
        }
        Some(Match::None) => {
            let outcome = default_policy(head, packet.flow.direction);
            if asks_late(packet, local, outcome) {
                return at_socket(head);
            }
            let outcome = if fragment { outcome.unasked() } else { outcome };
            decision(
                head.generation,
                NO_RULE,
                outcome,
                or_fragment(Reason::Default),
            )
        }
        // A table that names pages which it does not have says nothing.
        None => decision(
            head.generation,
            NO_RULE,
            REFUSED,
            or_fragment(Reason::Default),
        ),
    }
}

/// Whether a person is asked about what the zone sends, and it is not known here who sends: the packet is a reply to it.
#[inline(always)]
fn asks_late(packet: &Parsed, local: &Local, outcome: Outcome) -> bool {
    local.later != 0
        && outcome.verdict() == Verdict::Ask as u8
        && packet.flow.direction == Direction::Outbound as u8
}

/// Left to the socket that gets the packet.
#[inline(always)]
fn at_socket(head: &Head) -> Decision {
    let at_socket = Outcome::new(Verdict::Block as u8, false);
    let mut decision = decision(head.generation, NO_RULE, at_socket, Reason::Rule);
    decision.verdict = Verdict::Socket as u8;
    decision
}

/// Whether a rule may match, but asks for something that is not known here yet.
#[inline(always)]
fn comes_out_later(local: &Local, outcome: Outcome) -> bool {
    if local.is_call() {
        !outcome.decides_call(local.later == Local::CALL_TRANSLATED)
    } else {
        local.later != 0 && outcome.asks_who()
    }
}

/// Blocked and reported.
const REFUSED: Outcome = Outcome::new(Verdict::Block as u8, true);

enum Match {
    Rule(u32, Outcome),
    None,
}

/// A table that nobody has filled blocks.
#[inline(always)]
fn unfilled() -> Decision {
    decision(0, NO_RULE, REFUSED, Reason::Default)
}

#[inline(always)]
fn default_policy(head: &Head, direction: u8) -> Outcome {
    const INBOUND: u8 = Direction::Inbound as u8;
    const FORWARD: u8 = Direction::Forward as u8;
    let DefaultPolicy { verdict, log } = match direction {
        INBOUND => head.inbound,
        FORWARD => head.forward,
        _ => head.outbound,
    };
    Outcome::new(verdict, log == 1)
}

#[inline(always)]
fn decision(generation: u32, rule: u32, outcome: Outcome, reason: Reason) -> Decision {
    const ALLOW: u8 = Verdict::Allow as u8;
    const ASK: u8 = Verdict::Ask as u8;
    // Whatever is no clear "allow" or "ask" blocks.
    let verdict = match outcome.verdict() {
        ALLOW => Verdict::Allow,
        ASK => Verdict::Ask,
        _ => Verdict::Block,
    };
    Decision {
        rule,
        generation,
        verdict: verdict as u8,
        reason: reason as u8,
        log: outcome.log(),
        known: 0,
    }
}

/// The vectors of all dimensions. An end of a packet has two: rules may ask for its address, or for a set that holds it.
struct Vectors<'a> {
    class: &'a Page,
    source: [&'a Page; 2],
    destination: [&'a Page; 2],
    ports: [&'a Page; 2],
    local: [&'a Page; 4],
}

#[inline(always)]
fn first_match<T: Tables>(
    packet: &Parsed,
    local: &Local,
    head: &Head,
    tables: &T,
) -> Option<Match> {
    let rules = tables.rules()?;
    let vectors = vectors(packet, local, head, rules, tables)?;
    let Some(rule) = vectors.first(head.source_v4.opaque_zero) else {
        return Some(Match::None);
    };
    Some(Match::Rule(
        rule,
        Outcome(number(rules, head.outcomes, rule)?),
    ))
}

#[inline(always)]
fn vectors<'a, T: Tables>(
    packet: &Parsed,
    local: &Local,
    head: &Head,
    rules: &'a T::Pages,
    tables: &'a T,
) -> Option<Vectors<'a>> {
    let flow = &packet.flow;
    let class = rules.page(number(
        rules,
        head.classes,
        class(flow.direction, flow.ip_version, flow.protocol),
    )?)?;
    let source = Vector::at(
        rules,
        end(
            rules,
            (&head.source_v4, &head.source_v6),
            flow,
            &flow.source,
        ),
    )?;
    let destination = end(
        rules,
        (&head.destination_v4, &head.destination_v6),
        flow,
        &flow.destination,
    );
    let destination = source.or_at(rules, destination)?;
    let mut vectors = Vectors {
        class,
        source: [source.page; 2],
        destination: [destination; 2],
        ports: ports(packet, head, rules, &source)?,
        // What no rule asks for takes nothing away.
        local: [class; 4],
    };
    if head.sets != NO_SETS {
        let sets = tables.sets(head.sets)?;
        let SetsHead { v4, v6, .. } = &SetsPage::of(sets.page(0)?).head;
        if head.source_sets != NO_SETS {
            let class = end(sets, (v4, v6), flow, &flow.source);
            vectors.source[1] = rules.page(number(rules, head.source_sets, class)?)?;
        }
        if head.destination_sets != NO_SETS {
            let class = end(sets, (v4, v6), flow, &flow.destination);
            vectors.destination[1] = rules.page(number(rules, head.destination_sets, class)?)?;
        }
    }
    if head.asks & ASKS_USER != 0 && local.knows_who() {
        vectors.local[0] = rules.page(narrow(rules, &head.user, local.user))?;
    }
    if head.asks & ASKS_PROGRAM != 0 && local.knows_who() {
        vectors.local[1] = rules.page(wide(
            rules,
            &head.program,
            local.program[0],
            local.program[1],
        ))?;
    }
    if head.asks & ASKS_INTERFACE != 0 && !local.is_call() {
        vectors.local[2] = rules.page(wide(
            rules,
            &head.interface,
            local.interface[0],
            local.interface[1],
        ))?;
    }
    if head.asks & ASKS_OUT_INTERFACE != 0 {
        vectors.local[3] = rules.page(wide(
            rules,
            &head.out_interface,
            local.out_interface[0],
            local.out_interface[1],
        ))?;
    }
    if local.is_call() {
        // It may be any. The class has all rules that are left.
        vectors.source[1] = class;
        vectors.ports[0] = class;
    }
    if local.later == Local::CALL_TRANSLATED {
        vectors.destination[1] = class;
        vectors.ports[1] = class;
    }
    Some(vectors)
}

/// A vector and where it stands. Dimensions that no rule asks for have the same one: it is looked up once.
struct Vector<'a> {
    at: u32,
    page: &'a Page,
}

impl<'a> Vector<'a> {
    #[inline(always)]
    fn at<P: Pages>(rules: &'a P, at: u32) -> Option<Self> {
        Some(Self {
            at,
            page: rules.page(at)?,
        })
    }

    /// The vector at this place, which may be the same.
    #[inline(always)]
    fn or_at<P: Pages>(&self, rules: &'a P, at: u32) -> Option<&'a Page> {
        if at == self.at {
            Some(self.page)
        } else {
            rules.page(at)
        }
    }
}

/// What a tree for IPv4 or one for IPv6 says of an end's address.
#[inline(always)]
fn end<P: Pages>(
    pages: &P,
    (v4, v6): (&Tree, &Tree),
    flow: &PacketHeaders,
    address: &[u8; 16],
) -> u32 {
    let [high, low] = words(address);
    if flow.ip_version == 6 {
        wide(pages, v6, high, low)
    } else {
        narrow(pages, v4, low as u32)
    }
}

/// A later fragment shows no ports: only rules that ask for none can match it.
#[inline(always)]
fn ports<'a, P: Pages>(
    packet: &Parsed,
    head: &Head,
    rules: &'a P,
    known: &Vector<'a>,
) -> Option<[&'a Page; 2]> {
    if packet.shape == Shape::LaterFragment {
        return Some([rules.page(head.no_ports)?; 2]);
    }
    let PacketHeaders {
        source_port,
        destination_port,
        ..
    } = packet.flow;
    let source = narrow(rules, &head.source_port, source_port.into());
    let destination = narrow(rules, &head.destination_port, destination_port.into());
    Some([
        known.or_at(rules, source)?,
        known.or_at(rules, destination)?,
    ])
}

impl Vectors<'_> {
    /// The first rule that every dimension has. The summaries say which words are worth looking at. `opaque_zero` is 0, which
    /// keeps a verifier from telling apart in which of them it was found.
    #[inline(always)]
    fn first(&self, opaque_zero: u64) -> Option<u32> {
        let mut group = 0;
        while group < SUMMARY_WORDS as u64 {
            let mut left = self.word(group);
            let mut n = 0;
            while n < 64 && left != 0 {
                // The compiler knows that there are no more, and would leave the mask out; a verifier does not. In 64 bits
                // and last of all, for Linux 6.1's.
                let word = black_box(group * 64 + u64::from(left.trailing_zeros()))
                    & (PAGE_WORDS as u64 - 1);
                let common = self.word(word);
                if common != 0 {
                    let rule = word.wrapping_sub(SUMMARY_WORDS as u64) * 64
                        + u64::from(common.trailing_zeros());
                    return Some((rule ^ opaque_zero) as u32);
                }
                left &= left.wrapping_sub(1);
                n += 1;
            }
            group += 1;
        }
        None
    }

    /// What all dimensions share of one word.
    #[inline(always)]
    fn word(&self, at: u64) -> u64 {
        let Self {
            class,
            source,
            destination,
            ports,
            local,
        } = self;
        let at = at as usize;
        class[at]
            & (source[0][at] | source[1][at])
            & (destination[0][at] | destination[1][at])
            & ports[0][at]
            & ports[1][at]
            & local[0][at]
            & local[1][at]
            & local[2][at]
            & local[3][at]
    }
}

/// An address as two big-endian words.
#[inline(always)]
fn words(address: &[u8; 16]) -> [u64; 2] {
    let address = u128::from_be_bytes(*address);
    [(address >> 64) as u64, address as u64]
}
