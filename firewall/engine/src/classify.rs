//! Classification of a packet by the rules: the decision of the first rule that all dimensions share.

use crate::tables::{LoopBody, Pages, Tables, head, number};
use crate::tree::{NOWHERE, narrow, wide};
use crate::{Parsed, Shape};
use core::hint::black_box;
use firewall_abi::packet::{
    Decision, Direction, NO_RULE, PacketHeaders, PacketMeta, Reason, Verdict,
};
use firewall_abi::rules::{
    DefaultPolicy, Head, NEEDS_INTERFACE, NEEDS_OUT_INTERFACE, NEEDS_PROGRAM, NEEDS_USER, NO_SETS,
    Outcome, PAGE_WORDS, Page, SUMMARY_WORDS, SetsHead, SetsPage, Tree, class,
};

/// Decides what becomes of a packet, by the rules alone. See the head of this crate for what each kind of packet gets.
#[inline(always)]
pub fn classify<T: Tables>(packet: &Parsed, local: &PacketMeta, tables: &T) -> Decision {
    classify_under(head(tables), packet, local, tables)
}

/// Decides as [`classify`] does, by a head that has been looked up already.
#[inline(always)]
pub(crate) fn classify_under<T: Tables>(
    head: Option<&Head>,
    packet: &Parsed,
    local: &PacketMeta,
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
            if comes_out_later(local, outcome) || asks_before_owner(packet, local, outcome) =>
        {
            at_socket(head)
        }
        Some(Match::Rule(rule, outcome)) => {
            let outcome = if fragment { outcome.unasked() } else { outcome };
            decision(head.generation, rule, outcome, or_fragment(Reason::Rule))
        }
        Some(Match::None) => {
            let outcome = default_policy(head, packet.flow.direction);
            if asks_before_owner(packet, local, outcome) {
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

/// Returns whether a person is to be asked about what the zone sends, while the sender is not known at this hook, as
/// the packet at hand is a reply.
#[inline(always)]
fn asks_before_owner(packet: &Parsed, local: &PacketMeta, outcome: Outcome) -> bool {
    local.phase != 0
        && outcome.verdict() == Verdict::Ask as u8
        && packet.flow.direction == Direction::Outbound as u8
}

/// Creates the decision that leaves the packet to the socket that gets it.
#[inline(always)]
fn at_socket(head: &Head) -> Decision {
    let at_socket = Outcome::new(Verdict::Block as u8, false);
    let mut decision = decision(head.generation, NO_RULE, at_socket, Reason::Rule);
    decision.verdict = Verdict::Socket as u8;
    decision
}

/// Returns whether a rule may match that asks for something not known at this hook yet.
#[inline(always)]
fn comes_out_later(local: &PacketMeta, outcome: Outcome) -> bool {
    if local.is_connect() {
        !outcome.decides_at_connect(local.phase == PacketMeta::CONNECT_TRANSLATED)
    } else {
        local.phase != 0 && outcome.needs_owner()
    }
}

/// Outcome of a refusal: block and report.
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

/// Returns the decision of the default policy for a packet of this direction.
#[must_use]
#[inline(always)]
pub fn default_of(head: Option<&Head>, direction: Direction) -> Decision {
    let Some(head) = head.filter(|head| head.generation != 0) else {
        return unfilled();
    };
    let outcome = default_policy(head, direction as u8);
    decision(head.generation, NO_RULE, outcome, Reason::Default)
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
    const REJECT: u8 = Verdict::Reject as u8;
    // Whatever is no clear "allow", "ask" or "reject" blocks.
    let verdict = match outcome.verdict() {
        ALLOW => Verdict::Allow,
        ASK => Verdict::Ask,
        REJECT => Verdict::Reject,
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

/// Something for each dimension. An end of a packet has two: rules may ask for its address, or for a set that holds it.
struct Dimensions<V> {
    class: V,
    source: [V; 2],
    destination: [V; 2],
    ports: [V; 2],
    local: [V; 4],
}

impl<V: Copy> Dimensions<V> {
    /// Creates dimensions that hold the class's value alone: a dimension that no rule asks for takes nothing away from
    /// the class.
    #[inline(always)]
    const fn of(class: V) -> Self {
        Self {
            class,
            source: [class; 2],
            destination: [class; 2],
            ports: [class; 2],
            local: [class; 4],
        }
    }
}

/// The page of each vector. Numbers only: a verifier that knew which of them are the same page would follow what comes
/// then once for each way in which they are.
type VectorPages = Dimensions<u32>;

/// Number that stands for a table that names pages which it does not have. No rule has this number.
const BROKEN: u32 = NO_RULE - 1;

#[inline(always)]
fn first_match<T: Tables>(
    packet: &Parsed,
    local: &PacketMeta,
    head: &Head,
    tables: &T,
) -> Option<Match> {
    let rules = tables.rules()?;
    let mut pages = VectorPages::of(NOWHERE);
    find_vectors(packet, local, head, tables, &mut pages);
    let rule = match first_of_all(packet, local, head, tables, &mut pages) {
        BROKEN => return None,
        NO_RULE => return Some(Match::None),
        rule => rule,
    };
    Some(Match::Rule(
        rule,
        Outcome(number(rules, head.outcomes, rule)?),
    ))
}

/// Finds what the rules ask for.
///
/// Out of line, as is [`first_of_all`]: what they need of eBPF's small stack they need one after the other.
#[inline(never)]
fn find_vectors<T: Tables>(
    packet: &Parsed,
    local: &PacketMeta,
    head: &Head,
    tables: &T,
    pages: &mut VectorPages,
) {
    let Some(rules) = tables.rules() else { return };
    let flow = &packet.flow;
    let class = class(flow.direction, flow.ip_version, flow.protocol);
    *pages = VectorPages::of(vector_page(rules, head.classes, class));
    pages.source = [end(
        rules,
        (&head.source_v4, &head.source_v6),
        flow,
        &flow.source,
    ); 2];
    pages.destination = [end(
        rules,
        (&head.destination_v4, &head.destination_v6),
        flow,
        &flow.destination,
    ); 2];
    pages.ports = ports(packet, head, rules);
    if head.sets != NO_SETS {
        find_sets(flow, head, rules, tables, pages);
    }
    if head.needs & NEEDS_USER != 0 && local.knows_who() {
        pages.local[0] = narrow(rules, &head.user, local.user);
    }
    if head.needs & NEEDS_PROGRAM != 0 && local.knows_who() {
        let [high, low] = local.program;
        pages.local[1] = wide(rules, &head.program, high, low);
    }
    if head.needs & NEEDS_INTERFACE != 0 && !local.is_connect() {
        let [high, low] = local.interface;
        pages.local[2] = wide(rules, &head.interface, high, low);
    }
    if head.needs & NEEDS_OUT_INTERFACE != 0 {
        let [high, low] = local.out_interface;
        pages.local[3] = wide(rules, &head.out_interface, high, low);
    }
    if local.is_connect() {
        // It may be any. The class has all rules that are left.
        pages.source[1] = pages.class;
        pages.ports[0] = pages.class;
    }
    if local.phase == PacketMeta::CONNECT_TRANSLATED {
        pages.destination[1] = pages.class;
        pages.ports[1] = pages.class;
    }
}

/// Finds the vectors of the rules that ask for a set which holds an end of the packet.
#[inline(always)]
fn find_sets<T: Tables>(
    flow: &PacketHeaders,
    head: &Head,
    rules: &T::Pages,
    tables: &T,
    pages: &mut VectorPages,
) {
    let sets = tables.sets(head.sets);
    let Some((sets, page)) = sets.and_then(|sets| Some((sets, sets.page(0)?))) else {
        pages.class = NOWHERE;
        return;
    };
    // The addresses are read again: until here the small stack has no room for them.
    let flow = black_box(flow);
    let SetsHead { v4, v6, .. } = &SetsPage::of(page).head;
    if head.source_sets != NO_SETS {
        let class = end(sets, (v4, v6), flow, &flow.source);
        pages.source[1] = vector_page(rules, head.source_sets, class);
    }
    if head.destination_sets != NO_SETS {
        let class = end(sets, (v4, v6), flow, &flow.destination);
        pages.destination[1] = vector_page(rules, head.destination_sets, class);
    }
}

/// Finds the vectors of the rules that ask for a set which an end is in by what it has joined, unless that end is taken
/// to be any.
///
/// Out of line: it needs its part of the small stack before [`first_of_all`] needs its own.
#[inline(never)]
fn find_joined<T: Tables>(
    flow: &PacketHeaders,
    local: &PacketMeta,
    head: &Head,
    tables: &T,
    pages: &mut VectorPages,
) {
    let Some(rules) = tables.rules() else { return };
    if head.source_sets != NO_SETS
        && !local.is_connect()
        && let Some(class) = tables.joined(head.sets, flow.ip_version, &flow.source)
    {
        pages.source[1] = vector_page(rules, head.source_sets, class);
    }
    if head.destination_sets != NO_SETS
        && local.phase != PacketMeta::CONNECT_TRANSLATED
        && let Some(class) = tables.joined(head.sets, flow.ip_version, &flow.destination)
    {
        pages.destination[1] = vector_page(rules, head.destination_sets, class);
    }
}

/// The page that is named at `index` of those that start at page `start`.
#[inline(always)]
fn vector_page<P: Pages>(rules: &P, start: u32, index: u32) -> u32 {
    number(rules, start, index).unwrap_or(NOWHERE)
}

/// Returns the number of the first rule that every dimension has, or [`NO_RULE`] if there is none, or [`BROKEN`].
#[inline(never)]
fn first_of_all<T: Tables>(
    packet: &Parsed,
    local: &PacketMeta,
    head: &Head,
    tables: &T,
    pages: &mut VectorPages,
) -> u32 {
    // Here, because whoever calls has no room for what would have to be kept from one call to the next.
    if head.sets != NO_SETS {
        find_joined(&packet.flow, local, head, tables, pages);
    }
    let Some(rules) = tables.rules() else {
        return BROKEN;
    };
    // What a verifier knows of a page's number it forgets by that.
    let opaque_zero = head.source_v4.opaque_zero as u32;
    let Some(class) = rules.page(pages.class ^ opaque_zero) else {
        return BROKEN;
    };
    let mut search = Search {
        vectors: Dimensions::of(class),
        group: 0,
        left: 0,
        rule: NO_RULE,
    };
    // A compiler that knows where they stand keeps each there and in a copy of its own,
    // for which eBPF's stack has no room.
    black_box(&mut search);
    if look_up(rules, pages, opaque_zero, &mut search.vectors).is_none() {
        return BROKEN;
    }
    tables.run_loop(Search::MAX_STEPS, &mut search);
    search.rule
}

/// Looks up the page of each vector by itself, even where several are the same page: see [`VectorPages`].
#[inline(always)]
fn look_up<'a, P: Pages>(
    rules: &'a P,
    pages: &VectorPages,
    opaque_zero: u32,
    vectors: &mut Dimensions<&'a Page>,
) -> Option<()> {
    let each = |vectors: &mut [&'a Page], pages: &[u32]| {
        for (vector, page) in vectors.iter_mut().zip(pages) {
            *vector = rules.page(page ^ opaque_zero)?;
        }
        Some(())
    };
    each(&mut vectors.source, &pages.source)?;
    each(&mut vectors.destination, &pages.destination)?;
    each(&mut vectors.ports, &pages.ports)?;
    each(&mut vectors.local, &pages.local)
}

/// Looks up an end's address in the tree for its version of IP.
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
fn ports<P: Pages>(packet: &Parsed, head: &Head, rules: &P) -> [u32; 2] {
    if packet.shape == Shape::LaterFragment {
        return [head.no_ports; 2];
    }
    let PacketHeaders {
        source_port,
        destination_port,
        ..
    } = packet.flow;
    [
        narrow(rules, &head.source_port, source_port.into()),
        narrow(rules, &head.destination_port, destination_port.into()),
    ]
}

/// Looks for the first rule that every dimension has. The summaries say which words are worth looking at.
struct Search<'a> {
    vectors: Dimensions<&'a Page>,
    /// Number of words of the summaries that were looked at.
    group: u32,
    /// Bits of the last of these words that are still to be looked at.
    left: u64,
    /// Number of the first matching rule, or [`NO_RULE`].
    rule: u32,
}

impl Search<'_> {
    /// Greatest number of steps: one for each word, of rules and of summaries, and the last.
    const MAX_STEPS: u32 = PAGE_WORDS as u32 + 1;
}

impl LoopBody for Search<'_> {
    /// Looks at a word of the summaries, or at one of rules. There is one line at which it
    /// does: a kernel's stack is small.
    #[inline(always)]
    fn step(&mut self) -> bool {
        const GROUPS: u64 = SUMMARY_WORDS as u64;
        let Self {
            vectors,
            group,
            left,
            rule,
        } = self;
        let summarised = *left == 0;
        if summarised && *group >= GROUPS as u32 {
            return true;
        }
        let at = if summarised {
            u64::from(*group)
        } else {
            (u64::from(*group) * 64).wrapping_sub(64) + u64::from(left.trailing_zeros())
        };
        // The compiler knows that there are no more, and would leave the mask out; a verifier does not.
        let at = black_box(at) & (PAGE_WORDS as u64 - 1);
        let common = vectors.word(at);
        if summarised {
            *left = common;
            *group += 1;
            return false;
        }
        if common != 0 {
            // A summary that is wrong names a word of the summaries: that is no rule's, and must not overflow.
            *rule = at.wrapping_sub(GROUPS).wrapping_mul(64) as u32 + common.trailing_zeros();
            return true;
        }
        *left &= left.wrapping_sub(1);
        false
    }
}

impl Dimensions<&Page> {
    /// Returns the bits that all dimensions share in the word at this index.
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
