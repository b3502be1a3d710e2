//! Rule files made at random, beside an oracle that knows nothing of vectors and trees: both say the same of every packet.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod dice;
mod place;

use dice::Dice;
use engine::{Parsed, Shape, WithMembers, classify};
use firewall_abi::members::{MEMBER_STAGES, Member, NO_CLASS, Stage};
use firewall_abi::packet::{
    Direction, NO_RULE, NO_USER, PacketHeaders, PacketMeta, Reason, Verdict, name_words,
};
use place::Place;
use proptest::prelude::*;
use rules::{Combination, Rules};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Display, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A whole file as a person thinks of it.
#[derive(Clone, Debug)]
struct File {
    /// For in, out and forward: whether packets pass that no rule matches, and whether they are reported.
    defaults: [(bool, bool); 3],
    sets: Vec<Vec<Span>>,
    /// What has joined a set since, and when that ends.
    joined: Vec<(IpAddr, usize, u64)>,
    wishes: Vec<Wish>,
}

/// One rule.
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

/// When packets come; some memberships have ended by then.
const NOW: u64 = 1000;

/// A packet, and who is at the zone's end of it.
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
    /// 0 if it is not known.
    program: u64,
}

// --- What is to happen -------------------------------------------------------------------------------------------------

/// What refuses and is not reported is rejected, so that there are both.
const fn verdict(allow: bool, log: bool) -> Verdict {
    match (allow, log) {
        (true, _) => Verdict::Allow,
        (false, true) => Verdict::Block,
        (false, false) => Verdict::Reject,
    }
}

/// Rule, verdict, reason, and whether it is reported.
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

/// Bit by bit, as one would do it with a pencil.
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

/// Program 1 and 2 are there, 3 is not.
fn there(program: u64) -> bool {
    program == 1 || program == 2
}

// --- The same as text ----------------------------------------------------------------------------------------------------

fn text(file: &File) -> String {
    let action = |allow: bool, log: bool| verdict(allow, log).name();
    let mut text = String::from("[default]\n");
    for (name, (allow, log)) in ["inbound", "outbound", "forward"].iter().zip(file.defaults) {
        writeln!(
            text,
            "{name} = '{}'\nlog_{name} = {log}",
            action(allow, log)
        )
        .unwrap();
    }
    for (n, set) in file.sets.iter().enumerate() {
        let (here, there) = set.split_at(set.len() / 2);
        writeln!(text, "[[set]]\nid = 's{n}'").unwrap();
        list(&mut text, "addresses", here);
        if !there.is_empty() {
            writeln!(text, "file = 's{n}.txt'").unwrap();
        }
    }
    for (n, wish) in file.wishes.iter().enumerate() {
        let Wish {
            allow,
            log,
            enabled,
            ..
        } = *wish;
        writeln!(
            text,
            "[[rule]]\nid = 'r{n}'\naction = '{}'\nenabled = {enabled}\nlog = {log}",
            action(allow, log)
        )
        .unwrap();
        wish.direction
            .iter()
            .for_each(|way| writeln!(text, "direction = '{}'", way.name()).unwrap());
        let numbers: Vec<_> = wish.protocols.iter().map(ToString::to_string).collect();
        if !numbers.is_empty() {
            writeln!(text, "protocol = [{}]", numbers.join(",")).unwrap();
        }
        list(&mut text, "source", &wish.sources);
        list(&mut text, "destination", &wish.destinations);
        let range = |(first, last): &(u16, u16)| format!("{first}-{last}");
        list(
            &mut text,
            "source_ports",
            &wish.source_ports.iter().map(range).collect::<Vec<_>>(),
        );
        list(
            &mut text,
            "ports",
            &wish.ports.iter().map(range).collect::<Vec<_>>(),
        );
        for (key, numbers) in [
            (
                "icmp_type",
                wish.types.iter().map(|n| u32::from(*n)).collect::<Vec<_>>(),
            ),
            ("user", wish.users.clone()),
        ] {
            if !numbers.is_empty() {
                writeln!(text, "{key} = {numbers:?}").unwrap();
            }
        }
        list(&mut text, "interface", &wish.interfaces);
        list(&mut text, "out_interface", &wish.out_interfaces);
        list(
            &mut text,
            "program",
            &wish
                .programs
                .iter()
                .map(|n| format!("/p{n}"))
                .collect::<Vec<_>>(),
        );
    }
    text
}

fn list(text: &mut String, key: &str, items: &[impl Display]) {
    let items: Vec<_> = items.iter().map(|item| format!("'{item}'")).collect();
    if !items.is_empty() {
        writeln!(text, "{key} = [{}]", items.join(", ")).unwrap();
    }
}

impl Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Prefix(address, bits) => write!(f, "{address}/{bits}"),
            Self::Range(first, last) => write!(f, "{first}-{last}"),
        }
    }
}

impl Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Span(span) => span.fmt(f),
            Self::Set(set) => write!(f, "@s{set}"),
        }
    }
}

fn place(file: &File) -> Place {
    let mut place = Place::default()
        .program("/p1", [1, 1])
        .program("/p2", [1, 2]);
    for (n, set) in file.sets.iter().enumerate() {
        let lines: String = set[set.len() / 2..]
            .iter()
            .map(|span| format!("{span} # a comment\n"))
            .collect();
        place = place.file(&format!("s{n}.txt"), lines);
    }
    place
}

// --- Made at random ------------------------------------------------------------------------------------------------------

const INTERFACES: [&str; 3] = ["eth0", "wg0", "a-name-as-long-"];
const USERS: [u32; 4] = [0, 1000, 1001, NO_USER - 1];

fn address(dice: &mut Dice, version: u8) -> IpAddr {
    let (net, host) = (dice.below(3) as u8, dice.below(4) as u8);
    match (version, dice.below(12)) {
        (4, 0) => Ipv4Addr::UNSPECIFIED.into(),
        (4, 1) => Ipv4Addr::BROADCAST.into(),
        (4, _) => Ipv4Addr::new(10, net, 0, host).into(),
        (_, 0) => Ipv6Addr::UNSPECIFIED.into(),
        (_, 1) => Ipv6Addr::from_bits(u128::MAX).into(),
        // Two words, so that both are looked at.
        _ => Ipv6Addr::new(
            0x2001,
            0xDB8,
            net.into(),
            0,
            0,
            0,
            dice.below(2) as u16,
            host.into(),
        )
        .into(),
    }
}

fn span(dice: &mut Dice, version: u8) -> Span {
    if dice.one_in(3) {
        let (a, b) = (address(dice, version), address(dice, version));
        return Span::Range(a.min(b), a.max(b));
    }
    let bits = if version == 4 {
        [0, 8, 15, 16, 31, 32]
    } else {
        [0, 32, 47, 48, 127, 128]
    };
    let bits = dice.of(&bits);
    Span::Prefix(cut(address(dice, version), bits), bits)
}

fn cut(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            Ipv4Addr::from_bits(v4.to_bits() & !u32::MAX.checked_shr(bits.into()).unwrap_or(0))
                .into()
        }
        IpAddr::V6(v6) => {
            Ipv6Addr::from_bits(v6.to_bits() & !u128::MAX.checked_shr(bits.into()).unwrap_or(0))
                .into()
        }
    }
}

fn version(dice: &mut Dice) -> u8 {
    dice.of(&[4, 6])
}

fn direction(dice: &mut Dice) -> Direction {
    dice.of(&Direction::ALL)
}

fn port(dice: &mut Dice) -> u16 {
    if dice.one_in(10) {
        u16::MAX
    } else {
        dice.below(50) as u16
    }
}

fn ranges(dice: &mut Dice) -> Vec<(u16, u16)> {
    let range = |dice: &mut Dice| {
        let (a, b) = (port(dice), port(dice));
        (a.min(b), a.max(b))
    };
    dice.several(2, range)
}

fn ends(dice: &mut Dice, sets: usize) -> Vec<End> {
    let end = |dice: &mut Dice| match sets {
        1.. if dice.one_in(3) => End::Set(dice.below(sets as u64) as usize),
        _ => {
            let version = version(dice);
            End::Span(span(dice, version))
        }
    };
    if dice.one_in(2) {
        Vec::new()
    } else {
        dice.several(3, end)
    }
}

/// Whether an end may be of each version.
fn versions(ends: &[End]) -> [bool; 2] {
    [true, false].map(|v4| {
        let may_be = |end: &End| match end {
            End::Set(_) => true,
            End::Span(Span::Prefix(address, _) | Span::Range(address, _)) => {
                address.is_ipv4() == v4
            }
        };
        ends.is_empty() || ends.iter().any(may_be)
    })
}

fn wish(dice: &mut Dice, sets: usize) -> Wish {
    let protocols = dice
        .of(&[&[][..], &[], &[6], &[17], &[6, 17], &[1], &[58], &[47, 6]])
        .to_vec();
    let with_ports = matches!(protocols.as_slice(), [6] | [17] | [6, 17]);
    let with_types = matches!(protocols.as_slice(), [1 | 58]) && dice.one_in(2);
    let (sources, mut destinations) = (ends(dice, sets), ends(dice, sets));
    // Ends of different versions are an error.
    if !versions(&sources)
        .iter()
        .zip(versions(&destinations))
        .any(|(a, b)| *a && b)
    {
        destinations.clear();
    }
    let direction = if dice.one_in(2) {
        Some(direction(dice))
    } else {
        None
    };
    let forward = direction == Some(Direction::Forward);
    Wish {
        allow: dice.one_in(2),
        log: dice.one_in(2),
        enabled: !dice.one_in(10),
        direction,
        sources,
        destinations,
        source_ports: if with_ports && dice.one_in(3) {
            ranges(dice)
        } else {
            Vec::new()
        },
        ports: if with_ports { ranges(dice) } else { Vec::new() },
        types: if with_types {
            dice.several(3, |dice| dice.of(&[0, 3, 8, 128, 255]))
        } else {
            Vec::new()
        },
        interfaces: if dice.one_in(4) {
            dice.several(2, |dice| dice.of(&INTERFACES))
        } else {
            Vec::new()
        },
        out_interfaces: if forward && dice.one_in(2) {
            dice.several(2, |dice| dice.of(&INTERFACES))
        } else {
            Vec::new()
        },
        users: if !forward && dice.one_in(4) {
            dice.several(2, |dice| dice.of(&USERS))
        } else {
            Vec::new()
        },
        programs: if !forward && dice.one_in(4) {
            dice.several(2, |dice| 1 + dice.below(3))
        } else {
            Vec::new()
        },
        protocols,
    }
}

fn file(dice: &mut Dice) -> File {
    let member = |dice: &mut Dice| {
        let version = version(dice);
        span(dice, version)
    };
    let mut sets: Vec<Vec<Span>> = dice.several(3, |dice| dice.several(4, member));
    sets.iter_mut()
        .filter(|set| set.is_empty())
        .for_each(|set| set.push(member(dice)));
    let wishes = dice.several(8, |dice| wish(dice, sets.len()));
    let mut default = || (dice.one_in(2), dice.one_in(2));
    let defaults = [default(), default(), default()];
    let mut joined = Vec::new();
    if !sets.is_empty() {
        joined = dice.several(12, |dice| {
            let version = version(dice);
            let set = dice.below(sets.len() as u64) as usize;
            (
                address(dice, version),
                set,
                dice.of(&[NOW, NOW + 1, NOW + 5, u64::MAX]),
            )
        });
        joined.sort();
        joined.dedup_by_key(|(address, set, _)| (*address, *set));
    }
    File {
        defaults,
        sets,
        joined,
        wishes,
    }
}

/// What each address has joined, as a service tells a driver; the combinations that there is no class for are made.
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

fn seen(dice: &mut Dice) -> Seen {
    let version = version(dice);
    let protocol = dice.of(&[6, 6, 17, 1, 58, 47]);
    let shape = match dice.below(20) {
        0 => Shape::Malformed,
        1..4 => Shape::LaterFragment,
        _ => Shape::Whole,
    };
    let ports = match protocol {
        6 | 17 => (port(dice), port(dice)),
        1 | 58 => (dice.of(&[0, 3, 8, 128, 255]), dice.of(&[0, 4])),
        _ => (0, 0),
    };
    let direction = direction(dice);
    Seen {
        direction,
        source: address(dice, version),
        destination: address(dice, version),
        protocol,
        ports: if shape == Shape::Whole { ports } else { (0, 0) },
        shape,
        interface: if dice.one_in(3) {
            None
        } else {
            Some(dice.of(&INTERFACES))
        },
        out_interface: if direction == Direction::Forward && dice.one_in(2) {
            Some(dice.of(&INTERFACES))
        } else {
            None
        },
        user: if dice.one_in(4) {
            NO_USER
        } else {
            dice.of(&USERS)
        },
        program: dice.below(4),
    }
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

/// Packets for each of the rule files: a million pairs in all.
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
