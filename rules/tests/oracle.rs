//! Rule files made at random, beside an oracle that knows nothing of rows and masks: both say the same of every packet.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use contract::packet::{Direction, Flow, NO_RULE, Verdict};
use engine::{Parsed, Shape, classify};
use proptest::collection::vec;
use proptest::prelude::*;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One rule as a person thinks of it.
#[derive(Clone, Debug)]
struct Wish {
    allow: bool,
    direction: Option<Direction>,
    protocols: Vec<&'static str>,
    sources: Vec<(IpAddr, u8)>,
    destinations: Vec<(IpAddr, u8)>,
    ports: Vec<(u16, u16)>,
    enabled: bool,
}

fn text(wishes: &[Wish]) -> String {
    let mut text = String::from("default = { inbound = 'block', outbound = 'allow' }\n");
    for (n, wish) in wishes.iter().enumerate() {
        let action = if wish.allow { "allow" } else { "block" };
        writeln!(text, "[[rule]]\nid = 'r{n}'\naction = '{action}'\nenabled = {}", wish.enabled).unwrap();
        if let Some(direction) = wish.direction {
            writeln!(text, "direction = '{}'", direction.name()).unwrap();
        }
        list(&mut text, "protocol", wish.protocols.iter());
        list(&mut text, "source", wish.sources.iter().map(|(address, bits)| format!("{address}/{bits}")));
        list(
            &mut text,
            "destination",
            wish.destinations.iter().map(|(address, bits)| format!("{address}/{bits}")),
        );
        list(&mut text, "ports", wish.ports.iter().map(|(first, last)| format!("{first}-{last}")));
    }
    text
}

fn list(text: &mut String, key: &str, items: impl Iterator<Item = impl std::fmt::Display>) {
    let items: Vec<_> = items.map(|item| format!("'{item}'")).collect();
    if !items.is_empty() {
        writeln!(text, "{key} = [{}]", items.join(", ")).unwrap();
    }
}

#[derive(Clone, Debug)]
struct Seen {
    direction: Direction,
    source: IpAddr,
    destination: IpAddr,
    protocol: &'static str,
    port: u16,
    fragment: bool,
}

/// The number of the rule that decides, and whether the packet passes.
fn oracle(wishes: &[Wish], seen: &Seen) -> (u32, bool) {
    let by_rule = (0..).zip(wishes).find(|(_, wish)| wanted(wish, seen));
    by_rule.map_or((NO_RULE, seen.direction == Direction::Outbound), |(n, wish)| (n, wish.allow))
}

fn wanted(wish: &Wish, seen: &Seen) -> bool {
    let any_or = |empty: bool, found: bool| empty || found;
    wish.enabled
        && wish.direction.is_none_or(|direction| direction == seen.direction)
        && any_or(wish.protocols.is_empty(), wish.protocols.contains(&seen.protocol))
        && any_or(wish.sources.is_empty(), wish.sources.iter().any(|net| holds(*net, seen.source)))
        && any_or(
            wish.destinations.is_empty(),
            wish.destinations.iter().any(|net| holds(*net, seen.destination)),
        )
        && any_or(
            wish.ports.is_empty(),
            !seen.fragment && wish.ports.iter().any(|(first, last)| (first..=last).contains(&&seen.port)),
        )
}

/// Bit by bit, as one would do it with a pencil.
fn holds((net, bits): (IpAddr, u8), address: IpAddr) -> bool {
    let (net, address) = match (net, address) {
        (IpAddr::V4(net), IpAddr::V4(address)) => (net.octets().to_vec(), address.octets().to_vec()),
        (IpAddr::V6(net), IpAddr::V6(address)) => (net.octets().to_vec(), address.octets().to_vec()),
        _ => return false,
    };
    let bit = |bytes: &[u8], n: usize| bytes[n / 8] >> (7 - n % 8) & 1;
    (0..usize::from(bits)).all(|n| bit(&net, n) == bit(&address, n))
}

fn parsed(seen: &Seen) -> Parsed {
    let mapped = |address| match address {
        IpAddr::V4(v4) => Ipv4Addr::to_ipv6_mapped(&v4).octets(),
        IpAddr::V6(v6) => v6.octets(),
    };
    let flow = Flow {
        source: mapped(seen.source),
        destination: mapped(seen.destination),
        source_port: if seen.fragment { 0 } else { 40_000 },
        destination_port: if seen.fragment { 0 } else { seen.port },
        protocol: if seen.protocol == "tcp" { 6 } else { 17 },
        ip_version: if seen.source.is_ipv4() { 4 } else { 6 },
        direction: seen.direction as u8,
        tcp_flags: 0,
    };
    Parsed { flow, shape: if seen.fragment { Shape::LaterFragment } else { Shape::Whole } }
}

fn address(ipv4: bool) -> impl Strategy<Value = IpAddr> {
    (0..3_u8, 0..3_u8).prop_map(move |(net, host)| {
        if ipv4 {
            Ipv4Addr::new(10, net, 0, host).into()
        } else {
            Ipv6Addr::new(0x2001, 0xDB8, net.into(), 0, 0, 0, 0, host.into()).into()
        }
    })
}

fn network(ipv4: bool) -> impl Strategy<Value = (IpAddr, u8)> {
    let bits = if ipv4 { vec![0, 8, 15, 16, 31, 32] } else { vec![0, 32, 47, 48, 127, 128] };
    (address(ipv4), proptest::sample::select(bits)).prop_map(|(address, bits)| (cut(address, bits), bits))
}

fn cut(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            Ipv4Addr::from_bits(v4.to_bits() & !u32::MAX.checked_shr(bits.into()).unwrap_or(0)).into()
        }
        IpAddr::V6(v6) => {
            Ipv6Addr::from_bits(v6.to_bits() & !u128::MAX.checked_shr(bits.into()).unwrap_or(0)).into()
        }
    }
}

fn direction() -> impl Strategy<Value = Direction> {
    prop_oneof![Just(Direction::Inbound), Just(Direction::Outbound)]
}

fn wish() -> impl Strategy<Value = Wish> {
    let protocols = proptest::sample::subsequence(vec!["tcp", "udp"], 0..=2);
    let ports = vec((0..50_u16, 0..50_u16).prop_map(|(a, b)| (a.min(b), a.max(b))), 0..3);
    let ends = any::<bool>().prop_flat_map(|ipv4| (vec(network(ipv4), 0..3), vec(network(ipv4), 0..3)));
    let chosen = (any::<bool>(), proptest::option::of(direction()), prop::bool::weighted(0.9));
    (chosen, protocols, ends, ports).prop_map(
        |((allow, direction, enabled), protocols, (sources, destinations), ports)| {
            // Ports go with protocols that have them.
            let ports = if protocols.is_empty() { Vec::new() } else { ports };
            Wish { allow, direction, protocols, sources, destinations, ports, enabled }
        },
    )
}

fn seen() -> impl Strategy<Value = Seen> {
    let ends = any::<bool>().prop_flat_map(|ipv4| (address(ipv4), address(ipv4)));
    let protocol = prop_oneof![Just("tcp"), Just("udp")];
    (direction(), ends, protocol, 0..50_u16, prop::bool::weighted(0.2)).prop_map(
        |(direction, (source, destination), protocol, port, fragment)| Seen {
            direction,
            source,
            destination,
            protocol,
            port,
            fragment,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_rule_file_means_what_it_says(wishes in vec(wish(), 0..6), packets in vec(seen(), 1..60)) {
        let rules = rules::parse("made.toml", &text(&wishes)).unwrap();
        let table = rules.compile(1);
        for seen in &packets {
            let decision = classify(&parsed(seen), &table.slices());
            let said = (decision.rule, decision.verdict == Verdict::Allow as u8);
            prop_assert_eq!(said, oracle(&wishes, seen), "{:?}", seen);
        }
        // What is said never to match never does.
        for warning in rules.warnings() {
            let never = rules.iter().position(|rule| rule.line == warning.line);
            for seen in &packets {
                prop_assert_ne!(Some(oracle(&wishes, seen).0 as usize), never);
            }
        }
    }

    #[test]
    fn any_text_at_all_is_taken_or_refused(text in ".{0,200}", from in 0..2000_usize, to in 0..2000_usize) {
        let example = include_str!("../examples/workstation.toml");
        let cut = |at: usize| example.get(..at).unwrap_or(example);
        let _ = rules::parse("any.toml", &text);
        let mixed = [cut(from), &text, &example[cut(to).len()..]].concat();
        let _ = rules::parse("mixed.toml", &mixed);
    }
}
