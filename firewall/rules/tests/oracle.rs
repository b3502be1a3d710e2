//! Random rule files, judged beside an oracle that knows nothing of vectors and trees: both decide the same of every
//! packet.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod dice;
#[path = "oracle/made.rs"]
mod made;
mod place;
#[path = "oracle/written.rs"]
mod written;

use dice::Dice;
use engine::{Parsed, Shape, WithMembers, classify};
use firewall_abi::members::{MEMBER_STAGES, Member, NO_CLASS, Stage};
use firewall_abi::packet::{
    Direction, NO_RULE, PacketHeaders, PacketMeta, Reason, Verdict, name_words,
};
use made::{file, seen};
use proptest::prelude::*;
use rules::{Combination, Rules};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use written::{place, text};

/// A rule file, as the oracle reads it.
#[derive(Clone, Debug)]
struct File {
    /// Default policies of in, out and forward: `true` if packets pass, and `true` if they are reported.
    defaults: [(bool, bool); 3],
    sets: Vec<Vec<Span>>,
    /// Memberships that began later: address, set, and the time at which it ends.
    joined: Vec<(IpAddr, usize, u64)>,
    wishes: Vec<Wish>,
}

/// One rule, as the oracle reads it.
#[derive(Clone, Debug)]
struct Wish {
    allow: bool,
    log: bool,
    enabled: bool,
    direction: Option<Direction>,
    protocols: Vec<u8>,
    sources: Vec<End>,
    destinations: Vec<End>,
    source_ports: Vec<(u16, u16)>,
    ports: Vec<(u16, u16)>,
    types: Vec<u16>,
    interfaces: Vec<&'static str>,
    out_interfaces: Vec<&'static str>,
    users: Vec<u32>,
    programs: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Span(Span),
    Set(usize),
}

#[derive(Clone, Copy, Debug)]
enum Span {
    Prefix(IpAddr, u8),
    Range(IpAddr, IpAddr),
}

/// Time at which packets come; some memberships have ended by then.
const NOW: u64 = 1000;

/// A packet, with its local identity.
#[derive(Clone, Debug)]
struct Seen {
    direction: Direction,
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    /// Ports, or type and code.
    ports: (u16, u16),
    shape: Shape,
    interface: Option<&'static str>,
    out_interface: Option<&'static str>,
    user: u32,
    /// Program at the local end; 0 if it is not known.
    program: u64,
}

/// Returns the verdict: what refuses and is not reported is rejected, so that both refusals occur.
const fn verdict(allow: bool, log: bool) -> Verdict {
    match (allow, log) {
        (true, _) => Verdict::Allow,
        (false, true) => Verdict::Block,
        (false, false) => Verdict::Reject,
    }
}

/// Decides on a packet: rule, verdict, reason, and whether it is reported.
fn oracle(file: &File, seen: &Seen) -> (u32, Verdict, Reason, bool) {
    let or_fragment = |reason| {
        if seen.shape == Shape::LaterFragment {
            Reason::Fragment
        } else {
            reason
        }
    };
    if seen.shape == Shape::Malformed {
        return (NO_RULE, Verdict::Block, Reason::Malformed, true);
    }
    for (number, wish) in (0..).zip(&file.wishes) {
        if wanted(wish, file, seen) {
            return (
                number,
                verdict(wish.allow, wish.log),
                or_fragment(Reason::Rule),
                wish.log,
            );
        }
    }
    let (allow, log) = file.defaults[match seen.direction {
        Direction::Inbound => 0,
        Direction::Outbound => 1,
        Direction::Forward => 2,
    }];
    (
        NO_RULE,
        verdict(allow, log),
        or_fragment(Reason::Default),
        log,
    )
}

fn wanted(wish: &Wish, file: &File, seen: &Seen) -> bool {
    let whole = seen.shape == Shape::Whole;
    let within = |ranges: &[(u16, u16)], port| {
        ranges.is_empty()
            || whole
                && ranges
                    .iter()
                    .any(|(first, last)| *first <= port && port <= *last)
    };
    wish.enabled
        && wish
            .direction
            .is_none_or(|direction| direction == seen.direction)
        && (wish.protocols.is_empty() || wish.protocols.contains(&seen.protocol))
        && end(&wish.sources, file, seen.source)
        && end(&wish.destinations, file, seen.destination)
        && within(&wish.source_ports, seen.ports.0)
        && within(&wish.ports, seen.ports.1)
        && (wish.types.is_empty() || whole && wish.types.contains(&seen.ports.0))
        && (wish.interfaces.is_empty()
            || seen
                .interface
                .is_some_and(|name| wish.interfaces.contains(&name)))
        && (wish.out_interfaces.is_empty()
            || seen
                .out_interface
                .is_some_and(|name| wish.out_interfaces.contains(&name)))
        && (wish.users.is_empty() || wish.users.contains(&seen.user))
        && (wish.programs.is_empty()
            || wish
                .programs
                .iter()
                .any(|n| *n == seen.program && there(*n)))
}

fn end(ends: &[End], file: &File, address: IpAddr) -> bool {
    let takes = |end: &End| match end {
        End::Span(span) => holds(*span, address),
        End::Set(set) => {
            let has_joined = |(who, to, until): &(IpAddr, usize, u64)| {
                (*who, *to) == (address, *set) && NOW < *until
            };
            file.sets[*set].iter().any(|span| holds(*span, address))
                || file.joined.iter().any(has_joined)
        }
    };
    ends.is_empty() || ends.iter().any(takes)
}

/// Returns whether a span holds an address, compared bit by bit.
fn holds(span: Span, address: IpAddr) -> bool {
    let bytes = |address| match address {
        IpAddr::V4(v4) => Ipv4Addr::octets(&v4).to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    let address = bytes(address);
    match span {
        Span::Prefix(net, bits) => {
            let bit = |bytes: &[u8], n: usize| bytes[n / 8] >> (7 - n % 8) & 1;
            let net = bytes(net);
            net.len() == address.len() && (0..bits.into()).all(|n| bit(&net, n) == bit(&address, n))
        }
        Span::Range(first, last) => {
            let (first, last) = (bytes(first), bytes(last));
            first.len() == address.len() && first <= address && address <= last
        }
    }
}

/// Returns whether a program is there: 1 and 2 are, 3 is not.
fn there(program: u64) -> bool {
    program == 1 || program == 2
}

/// Makes the memberships of each address as the service gives them to the driver, with classes for the combinations
/// that had none.
fn members(file: &File, rules: &mut Rules) -> BTreeMap<[u8; 16], Member> {
    let mut of: BTreeMap<IpAddr, Vec<(u64, u32)>> = BTreeMap::new();
    for (address, set, until) in &file.joined {
        of.entry(*address).or_default().push((*until, *set as u32));
    }
    of.values_mut().for_each(|sets| sets.sort());
    let Some(sets) = rules.members().cloned() else {
        return BTreeMap::new();
    };
    let stages = |memberships: &[(u64, u32)]| -> Vec<(u64, Vec<u32>)> {
        let lasting = |n: usize| memberships[n..].iter().map(|(_, set)| *set).collect();
        (0..memberships.len())
            .map(|n| (memberships[n].0, lasting(n)))
            .collect()
    };
    let mut lacking = BTreeSet::<Combination>::new();
    for (address, memberships) in &of {
        for (_, lasting) in stages(memberships) {
            let class = sets.class_with(*address, &lasting);
            // One set more there is always a class for.
            assert!(lasting.len() > 1 || class.is_ok(), "{address} {lasting:?}");
            lacking.extend(class.err());
        }
    }
    rules
        .combine(&lacking.into_iter().collect::<Vec<_>>())
        .unwrap();
    let sets = rules.members().unwrap();
    let member = |(address, memberships): (&IpAddr, &Vec<(u64, u32)>)| {
        let mut member = Member {
            is_v6: u64::from(address.is_ipv6()),
            ..Member::default()
        };
        assert!(memberships.len() <= MEMBER_STAGES);
        for (stage, (until_ns, lasting)) in member.stages.iter_mut().zip(stages(memberships)) {
            let mut classes = [NO_CLASS; 8];
            classes[0] = sets.class_with(*address, &lasting).unwrap();
            *stage = Stage {
                until_ns,
                set: 0,
                classes,
            };
        }
        (mapped(*address), member)
    };
    of.iter().map(member).collect()
}

fn mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => Ipv4Addr::to_ipv6_mapped(&v4).octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

fn parsed(seen: &Seen) -> (Parsed, PacketMeta) {
    let flow = PacketHeaders {
        source: mapped(seen.source),
        destination: mapped(seen.destination),
        source_port: seen.ports.0,
        destination_port: seen.ports.1,
        protocol: seen.protocol,
        ip_version: if seen.source.is_ipv4() { 4 } else { 6 },
        direction: seen.direction as u8,
        tcp_flags: 0,
    };
    let local = PacketMeta {
        program: if seen.program == 0 {
            [0; 2]
        } else {
            [1, seen.program]
        },
        interface: seen
            .interface
            .map_or([0; 2], |name| name_words(name).unwrap()),
        out_interface: seen
            .out_interface
            .map_or([0; 2], |name| name_words(name).unwrap()),
        user: seen.user,
        phase: 0,
    };
    (
        Parsed {
            flow,
            shape: seen.shape,
        },
        local,
    )
}

/// Numbers of rule files, and of packets for each: a million pairs in all.
const FILES: u32 = 1000;
const PACKETS: usize = 1000;

proptest! {
    #![proptest_config(ProptestConfig { cases: FILES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_rule_file_means_what_it_says(seed in any::<u64>()) {
        let dice = &mut Dice::new(seed);
        let file = file(dice);
        let text = text(&file);
        let mut rules = rules::parse("made.toml", &text, &place(&file)).map_err(|errors| TestCaseError::fail(format!("{errors}\n{text}")))?;
        let members = members(&file, &mut rules);
        let table = rules.compile(7);
        let never: Vec<_> = (0..).zip(rules.iter()).filter(|(_, rule)| {
            rules.warnings().iter().any(|w| w.line == rule.line && w.message.contains("can never match"))
        }).map(|(number, _)| number).collect();
        for _ in 0..PACKETS {
            let seen = seen(dice);
            let (packet, local) = parsed(&seen);
            let tables = WithMembers {
                tables: table.slices(),
                member: |address: &[u8; 16]| members.get(address).copied(),
                now_ns: NOW,
            };
            let decision = classify(&packet, &local, &tables);
            let said = (
                decision.rule,
                Verdict::try_from(decision.verdict).unwrap(),
                Reason::try_from(decision.reason).unwrap(),
                decision.log == 1,
            );
            prop_assert_eq!(said, oracle(&file, &seen), "{:?}\n{}", seen, text);
            prop_assert_eq!(decision.generation, 7);
            // What is said never to match never does.
            prop_assert!(!never.contains(&decision.rule), "{:?}\n{}", rules.warnings(), text);
        }
    }
}
