//! Random files and packets.

use super::{End, File, NOW, Seen, Span, Wish};
use crate::dice::Dice;
use engine::Shape;
use firewall_abi::packet::{Direction, NO_USER};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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

/// Returns for IPv4 and IPv6 whether an end may be of that version.
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

pub fn file(dice: &mut Dice) -> File {
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

pub fn seen(dice: &mut Dice) -> Seen {
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
