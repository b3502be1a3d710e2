//! Fuzzes packets one after the other, of one zone: parsed, and decided on with the connections that they make.
#![no_main]

use engine::connection::{Connections, Known, Retired, decide, key_of};
use engine::rejected::{answer, may_be_answer};
use engine::{Parsed, Shape, Slices, classify, is_error, parse, quoted};
use firewall_abi::firewall::{FlowEntry, FlowKey};
use firewall_abi::packet::{Decision, Direction, NO_RULE, PacketMeta, Reason, Verdict};
use gatebell_fuzz::{Bytes, Machine};
use rules::Table;
use std::collections::HashMap;
use std::sync::LazyLock;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| any_packets_are_parsed_and_decided_on(bytes));

const RULES: &str = include_str!("../seeds/rules/packets.toml");
/// Number of packets of one input that are looked at.
const PACKETS: usize = 64;

/// Tables of two generations of the rules. The second has none but its defaults.
static TABLES: LazyLock<[Table; 2]> = LazyLock::new(|| {
    let machine = Machine {
        list: b"203.0.113.0/24\n2001:db8:bad::/48\n",
        program: Some([7, 7]),
    };
    let compiled = |text: &str, generation| match rules::parse("packets.toml", text, &machine) {
        Ok(rules) => rules.compile(generation),
        Err(errors) => panic!("{errors}"),
    };
    let defaults = "[default]\ninbound = \"block\"\noutbound = \"allow\"\n";
    [compiled(RULES, 1), compiled(defaults, 2)]
});

fn any_packets_are_parsed_and_decided_on(bytes: &[u8]) {
    let (mut bytes, mut connections, mut now_ns) = (Bytes(bytes), Remembered::default(), 0);
    for _ in 0..PACKETS {
        if bytes.is_empty() {
            return;
        }
        let [how, size] = bytes.array();
        let direction = if how & 1 == 0 {
            Direction::Outbound
        } else {
            Direction::Inbound
        };
        let table = &TABLES[usize::from(how >> 1 & 1)];
        // From a nanosecond to some hours.
        now_ns += 1_u64 << ((how >> 2 & 3) * 14);
        let more = u32::from(how >> 4 & 3) * 16;
        let packet = bytes.take(size.into());
        let parsed = any_packet_is_read_the_same_however_much_is_there(packet, more, direction);
        any_packet_is_answered_by_a_packet_or_not(packet, more, direction);
        let mut key = key_of(&parsed.flow);
        let quoted =
            (is_error(&parsed.flow) && quoted(packet, &parsed.flow, &mut key)).then_some(key);
        let known = Known {
            now_ns,
            local: local(how),
            device: u32::from(how >> 3 & 1),
            first_device: u32::from(how >> 3 & 1),
            last_device: u32::from(how >> 3 & 1),
            is_guests: how >> 4 & 1 == 1,
            goes_to_everyone: how >> 7 == 1,
            quoted,
        };
        any_packet_gets_a_decision(parsed, known, table, &mut connections);
    }
}

/// Checks that a packet is read the same however much of it is there. `more`: bytes by which it was longer on the way.
fn any_packet_is_read_the_same_however_much_is_there(
    packet: &[u8],
    more: u32,
    direction: Direction,
) -> Parsed {
    let length = packet.len() as u32 + more;
    let parsed = parse(packet, length, direction);
    assert_eq!(parsed.flow.direction, direction as u8);
    // What lies behind a packet's end, as Ethernet pads, is not looked at.
    let padded = parse(
        &[packet, &[0xFF; 64]].concat()[..],
        packet.len() as u32,
        direction,
    );
    let bare = parse(packet, packet.len() as u32, direction);
    assert!(padded == bare || padded.shape == Shape::Malformed && bare.shape == Shape::Malformed);
    // A capture that kept less of it says the same, or that it can't say.
    for kept in [packet.len() / 2, packet.len().saturating_sub(1)] {
        let less = parse(&packet[..kept], length, direction);
        assert!(
            less.shape == Shape::Malformed || less == parsed,
            "{less:?} {parsed:?}"
        );
    }
    if parsed.shape != Shape::Malformed {
        what_was_read_fits_into_the_packet(&parsed, packet.len(), length);
    }
    parsed
}

/// Checks the answer to a packet where it is rejected: a packet itself, or none.
fn any_packet_is_answered_by_a_packet_or_not(packet: &[u8], more: u32, direction: Direction) {
    let length = packet.len() as u32 + more;
    let Some(answer) = answer(packet, length, direction, |to| Some(*to)) else {
        return;
    };
    let bytes = answer.bytes();
    let parsed = parse(bytes, bytes.len() as u32, Direction::Outbound);
    assert!(parsed.shape == Shape::Whole && may_be_answer(&parsed.flow));
    assert_eq!(parsed.flow.destination, answer.to);
}

fn what_was_read_fits_into_the_packet(Parsed { flow, shape }: &Parsed, there: usize, length: u32) {
    let network = match flow.ip_version {
        4 => 20,
        6 => 40,
        other => panic!("a packet of version {other} was taken"),
    };
    let transport = match flow.protocol {
        _ if *shape == Shape::LaterFragment => 0,
        6 => 20,
        17 => 8,
        1 | 58 => 4,
        _ => 0,
    };
    assert!(there >= network + transport && length as usize >= network + transport);
    if *shape == Shape::LaterFragment {
        assert_eq!(
            (flow.source_port, flow.destination_port, flow.tcp_flags),
            (0, 0, 0)
        );
    }
}

fn any_packet_gets_a_decision(
    packet: Parsed,
    known: Known,
    table: &Table,
    connections: &mut Remembered,
) {
    let tables: Slices<'_> = table.slices();
    let (mut after, mut ends) = (packet, known);
    let decision = decide(&mut after, &mut ends, &tables, connections);
    assert_eq!(after, packet, "the packet is as it was");
    let Decision {
        rule,
        generation,
        verdict,
        reason,
        log,
        known: goes_on,
    } = decision;
    let verdict = Verdict::try_from(verdict).expect("a verdict");
    let reason = Reason::try_from(reason).expect("a reason");
    let head = table.head();
    assert!(log <= 1 && goes_on <= 1);
    if packet.shape == Shape::Malformed {
        assert_eq!(
            (verdict, reason, rule),
            (Verdict::Block, Reason::Malformed, NO_RULE)
        );
    }
    if reason == Reason::Link {
        assert_eq!((verdict, rule), (Verdict::Allow, NO_RULE));
    } else if goes_on == 0 && reason != Reason::Reply {
        assert_eq!(
            decision,
            classify(&packet, &known.local, &tables),
            "the rules' own decision"
        );
        assert_eq!(generation, head.generation);
        assert!(rule == NO_RULE || rule < head.rules);
    } else {
        assert_eq!(
            verdict,
            Verdict::Allow,
            "no connection is remembered that was refused"
        );
    }
}

fn local(how: u8) -> PacketMeta {
    match how & 0xC0 {
        0x40 => PacketMeta {
            user: 1000,
            ..PacketMeta::default()
        },
        0x80 => PacketMeta {
            program: [7, 7],
            ..PacketMeta::default()
        },
        _ => PacketMeta::default(),
    }
}

#[derive(Default)]
struct Remembered {
    known: HashMap<FlowKey, FlowEntry>,
    retired: HashMap<FlowKey, FlowEntry>,
}

impl Connections for Remembered {
    fn find(&mut self, key: &FlowKey) -> Option<&mut FlowEntry> {
        self.known.get_mut(key)
    }

    fn insert(&mut self, key: &FlowKey, quota_owner: u32, direction: u8) -> Option<&mut FlowEntry> {
        let entry = FlowEntry {
            quota_owner,
            direction,
            ..FlowEntry::NEW
        };
        self.known.insert(*key, entry);
        self.known.get_mut(key)
    }

    fn assure(&mut self, key: &FlowKey) {
        let entry = self.known.get_mut(key).expect("what is confirmed is known");
        assert_eq!(entry.state & FlowEntry::ASSURED, 0, "once");
        entry.state |= FlowEntry::ASSURED;
    }

    fn remove(&mut self, key: &FlowKey) {
        self.known.remove(key);
    }

    fn retire(&mut self, key: &FlowKey) {
        self.retired.extend(self.known.remove_entry(key));
    }

    fn retired(&mut self, key: &FlowKey) -> Option<Retired> {
        self.retired.get(key).map(Retired::from)
    }
}
