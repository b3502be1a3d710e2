//! Tests of sets: of what has joined them while rules stay, of tables that are not there, and of large ones.

use crate::seen::{ENDS, Seen, address_bytes, allowing, table};
use engine::{Row, Slices, WithMembers};
use firewall_abi::members::{Member, NO_CLASS, Stage};
use firewall_abi::packet::{Direction, NO_RULE, PacketMeta, Reason, Verdict};
use rules::{Resolver, Rules, SetFile};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Time at which packets come.
const NOW: u64 = 1000;

/// Two sets, which hold neither end of a packet before it joins one of them.
const TWO: &str = "
    [default]
    inbound = 'block'
    outbound = 'block'
    [[set]]
    id = 'a'
    addresses = ['198.51.100.1', 'fd78::1']
    [[set]]
    id = 'b'
    addresses = ['198.51.100.2', 'fd78::2']
";

fn rules_of(rules: &str) -> Rules {
    let text = [TWO, rules].concat();
    rules::parse("made.toml", &text, &rules::NoResolver).expect("these rules are right")
}

/// Memberships of a packet's two ends, each in one set of [`TWO`] by its number or in none.
struct Joined {
    ends: [([u8; 16], Option<Member>); 2],
}

impl Joined {
    fn of(rules: &Rules, seen: &Seen, sets: [Option<u32>; 2], until_ns: u64) -> Self {
        let ends = [seen.flow.source, seen.flow.destination];
        let member = |(end, set): ([u8; 16], Option<u32>)| {
            let member = set.map(|set| member(rules, seen.flow.ip_version, end, set, until_ns));
            (end, member)
        };
        let [source, destination] = ends;
        let [of_source, of_destination] = sets;
        Self {
            ends: [(source, of_source), (destination, of_destination)].map(member),
        }
    }

    fn find(&self, address: &[u8; 16]) -> Option<Member> {
        let known = self.ends.iter().find(|(end, _)| end == address);
        known.and_then(|(_, member)| *member)
    }
}

fn member(rules: &Rules, ip_version: u8, end: [u8; 16], set: u32, until_ns: u64) -> Member {
    let address = IpAddr::from(Ipv6Addr::from(end)).to_canonical();
    let sets = rules.members().expect("rules ask for sets");
    let mut classes = [NO_CLASS; 8];
    classes[0] = sets
        .class_with(address, &[set])
        .expect("of one set there is always one");
    let mut member = Member {
        is_v6: u64::from(ip_version == 6),
        ..Member::default()
    };
    member.stages[0] = Stage {
        until_ns,
        set: 0,
        classes,
    };
    member
}

/// Returns the decision of rules on a packet whose ends have joined these sets.
fn decided(
    rules: &Rules,
    seen: &Seen,
    sets: [Option<u32>; 2],
    until_ns: u64,
) -> firewall_abi::packet::Decision {
    let joined = Joined::of(rules, seen, sets, until_ns);
    let table = rules.compile(1);
    seen.decided_by(&WithMembers {
        tables: table.slices(),
        member: |address: &[u8; 16]| joined.find(address),
        now_ns: NOW,
    })
}

const A: Option<u32> = Some(0);
const B: Option<u32> = Some(1);

#[test]
fn what_has_joined_a_set_is_in_it_at_its_end_until_its_time_is_over() {
    let from = allowing("from", "source = '@a'");
    let to = allowing("to", "destination = '@b'");
    let both = [&*from, &*to].concat();
    for (text, sets, rule) in [
        (&both, [None, None], NO_RULE),
        (&both, [A, None], 0),
        (&both, [B, None], NO_RULE),
        (&both, [None, B], 1),
        (&both, [None, A], NO_RULE),
        (&both, [B, A], NO_RULE),
        (&both, [A, B], 0),
        // Where rules ask at one end alone, the other's sets say nothing.
        (&from, [A, A], 0),
        (&from, [B, A], NO_RULE),
        (&to, [B, B], 0),
        (&to, [B, A], NO_RULE),
    ] {
        let rules = rules_of(text);
        for ip_version in [4, 6] {
            let seen = Seen::of(ip_version, Direction::Outbound);
            for (until_ns, expected) in [(NOW + 1, rule), (u64::MAX, rule), (NOW, NO_RULE)] {
                let decision = decided(&rules, &seen, sets, until_ns);
                assert_eq!(decision.rule, expected, "{text} {sets:?} {until_ns}");
            }
        }
    }
}

#[test]
fn what_an_address_has_joined_is_no_word_on_an_end_that_is_not_known_yet() {
    let (allowed, left, blocked) = (Verdict::Allow, Verdict::Socket, Verdict::Block);
    for (key, joined, at_connect, if_translated) in [
        ("source", A, left, left),
        ("source", B, left, left),
        ("destination", A, allowed, left),
        ("destination", B, blocked, left),
    ] {
        let rules = rules_of(&allowing("x", &format!("{key} = '@a'")));
        for (phase, expected) in [
            (PacketMeta::CONNECT, at_connect),
            (PacketMeta::CONNECT_TRANSLATED, if_translated),
        ] {
            let seen = Seen::of(4, Direction::Outbound).with(|it| it.local.phase = phase);
            let decision = decided(&rules, &seen, [joined; 2], NOW + 1);
            assert_eq!(decision.verdict, expected as u8, "{key} {joined:?} {phase}");
        }
    }
}

#[test]
fn rules_that_ask_for_sets_whose_table_is_not_there_block() {
    for (key, _) in ENDS {
        let text = allowing("x", &format!("{key} = '@others'")) + &allowing("all", "");
        let table = table(&text);
        let seen = Seen::of(4, Direction::Outbound);
        assert_eq!(seen.decided_by(&table.slices()).rule, 1);
        let without = Slices {
            rules: Row(&table.pages),
            sets: Row(&[]),
        };
        let decision = seen.decided_by(&without);
        assert_eq!(
            (decision.rule, decision.verdict, decision.reason),
            (NO_RULE, Verdict::Block as u8, Reason::Default as u8),
            "{key}"
        );
        assert_eq!((decision.generation, decision.log), (1, 1));
    }
}

/// Number of addresses of each version in a large set: their intervals make trees of three levels.
const MANY: u32 = 33_001;

/// Returns the address with this number: none has a neighbour in the set.
fn nth_v4(n: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits((10 << 24) | (n * 7))
}

/// Returns the address with this number: some differ in the higher word, some in the lower one alone.
fn nth_v6(n: u32) -> Ipv6Addr {
    let n = u128::from(n);
    Ipv6Addr::from_bits((0xFD << 120) | ((n / 3) << 64) | ((n % 3 + 1) << 62))
}

/// Resolver with one file of addresses.
struct Many;

impl Resolver for Many {
    fn set_file(&self, path: &str) -> Result<SetFile, String> {
        let line = |n: u32| format!("{}\n{}\n", nth_v4(n), nth_v6(n));
        let lines: String = (0..MANY).map(line).collect();
        Ok(SetFile {
            name: path.to_owned(),
            bytes: lines.into_bytes(),
            confidential: false,
            trouble: None,
        })
    }

    fn user(&self, name: &str) -> Result<u32, String> {
        Err(name.to_owned())
    }

    fn program(&self, _: &str) -> Option<[u64; 2]> {
        None
    }
}

#[test]
fn each_address_of_a_set_of_many_is_found_and_its_neighbours_are_not() {
    let text = "
        [default]
        inbound = 'block'
        outbound = 'block'
        [[set]]
        id = 'many'
        file = 'many.txt'
        [[set]]
        id = 'highest'
        addresses = ['255.255.255.255', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff']
        [[rule]]
        id = 'of_many'
        action = 'allow'
        source = '@many'
        [[rule]]
        id = 'of_highest'
        action = 'allow'
        source = '@highest'
    ";
    let table = rules::parse("made.toml", text, &Many)
        .expect("these rules are right")
        .compile(1);
    let rule_of = |address: IpAddr| {
        let ip_version = if address.is_ipv4() { 4 } else { 6 };
        let seen = Seen::of(ip_version, Direction::Inbound)
            .with(|it| it.flow.source = address_bytes(&address.to_string()));
        seen.decided_by(&table.slices()).rule
    };
    let v4 = |bits: u32| rule_of(Ipv4Addr::from_bits(bits).into());
    let v6 = |bits: u128| rule_of(Ipv6Addr::from_bits(bits).into());
    let alone = [NO_RULE, 0, NO_RULE];
    // Each hundred has another place in its leaf, its block and its page.
    for n in (0..MANY).step_by(101).chain([1, 2, MANY - 2, MANY - 1]) {
        let at = nth_v4(n).to_bits();
        assert_eq!([at - 1, at, at + 1].map(v4), alone, "{n}");
        let at = nth_v6(n).to_bits();
        assert_eq!([at - 1, at, at + 1].map(v6), alone, "{n}");
    }
    assert_eq!(
        [0, u32::MAX - 1, u32::MAX].map(v4),
        [NO_RULE, NO_RULE, 1],
        "the ends"
    );
    let high = u128::from(u64::MAX) << 64;
    assert_eq!(
        [0, u64::MAX.into(), high, u128::MAX - 1, u128::MAX].map(v6),
        [NO_RULE, NO_RULE, NO_RULE, NO_RULE, 1],
        "the ends"
    );
}
