//! The account that a compiled table gives of itself: what it needs to know of a packet,
//! its counters, and the classes of its sets.

use super::*;
use engine::{Row, Slices};
use firewall_abi::rules::{
    NEEDS_GUESTS, NEEDS_INTERFACE, NEEDS_LOOPBACK, NEEDS_NAMES, NEEDS_OUT_INTERFACE, NEEDS_PROGRAM,
    NEEDS_USER, NO_SETS, PAGE_BYTES, PAGE_WORDS,
};

#[test]
fn a_table_needs_to_know_of_a_packet_what_a_rule_that_is_on_asks_for() {
    let sets =
        "[[set]]\nid='named'\nnames='example.org'\n[[set]]\nid='listed'\naddresses='192.0.2.9'\n";
    for (keys, needs) in [
        ("", 0),
        ("source='@named'", 0),
        ("destination=['@listed', '198.51.100.1']", 0),
        ("protocol='tcp'\nsource_ports=9\nports=9", 0),
        ("protocol='icmp'\nicmp_type=8", 0),
        ("user=1000", NEEDS_USER),
        ("program='/usr/bin/curl'", NEEDS_PROGRAM),
        ("interface='eth0'", NEEDS_INTERFACE),
        ("interface='lo'", NEEDS_INTERFACE | NEEDS_LOOPBACK),
        ("interface='l*'", NEEDS_INTERFACE),
        ("interface='@guests'", NEEDS_INTERFACE | NEEDS_GUESTS),
        (
            "direction='forward'\nout_interface='eth0'",
            NEEDS_OUT_INTERFACE,
        ),
        (
            "direction='forward'\nout_interface=['eth0', '@guests']",
            NEEDS_OUT_INTERFACE | NEEDS_GUESTS,
        ),
        ("destination=['@listed', '@named']", NEEDS_NAMES),
    ] {
        let text = format!("{sets}[[rule]]\nid='a'\naction='block'\n{keys}\n");
        let head = good(&text).compile(1).head();
        assert_eq!(head.needs, needs, "{keys}");
        let off = good(&format!("{text}enabled=false\n")).compile(1).head();
        assert_eq!(off.needs, 0, "{keys}");
        assert_eq!(off.sets, NO_SETS, "{keys}");
        let other = "[[rule]]\nid='b'\naction='ask'\ndirection='in'\n";
        let head = good(&format!("{text}{other}")).compile(1).head();
        assert_eq!(head.needs, needs | NEEDS_PERSON, "{keys}");
    }
    for (inbound, outbound, needs) in [
        ("block", "allow", 0),
        ("ask", "allow", NEEDS_PERSON),
        ("block", "ask", NEEDS_PERSON),
    ] {
        let text = format!("[default]\ninbound='{inbound}'\noutbound='{outbound}'\n");
        let rules = parse("rules.toml", &text, &here()).unwrap();
        assert_eq!(rules.compile(1).head().needs, needs, "{text}");
    }
}

#[test]
fn each_rule_has_a_counter_in_pages_in_which_nothing_else_stands() {
    for count in [0, 1, PAGE_WORDS, PAGE_WORDS + 1] {
        let rule = |n: usize| format!("[[rule]]\nid='r{n}'\naction='block'\nuser={n}\n");
        let rules = good(&(0..count).map(rule).collect::<String>());
        let mut table = rules.compile(1);
        let head = table.head();
        assert_eq!(head.rules as usize, count);
        assert_eq!(head.pages as usize, table.pages.len());
        assert_eq!(table.bytes(), table.pages.len() * PAGE_BYTES);
        let first = head.hits as usize;
        let counters = &mut table.pages[first..first + count.div_ceil(PAGE_WORDS).max(1)];
        for page in counters {
            assert_eq!(*page, [0; PAGE_WORDS], "{count}");
            *page = [u64::MAX; PAGE_WORDS];
        }
        let tables = Slices {
            rules: Row(&table.pages),
            sets: Row(&[]),
        };
        for user in 0..=count as u32 {
            let local = PacketMeta {
                user,
                ..PacketMeta::UNKNOWN
            };
            for shape in [engine::Shape::Whole, engine::Shape::LaterFragment] {
                let packet = engine::Parsed {
                    flow: PacketHeaders {
                        protocol: 17,
                        ip_version: 4,
                        direction: Direction::Inbound as u8,
                        ..PacketHeaders::default()
                    },
                    shape,
                };
                let decision = engine::classify(&packet, &local, &tables);
                let expected = if user < count as u32 { user } else { NO_RULE };
                assert_eq!((decision.rule, decision.generation), (expected, 1));
            }
        }
    }
}

/// Returns rules that ask for so many sets with one address each.
fn with_sets(count: u32) -> Rules {
    let set = |n: u32| format!("[[set]]\nid='s{n}'\naddresses='192.0.2.{n}'\n");
    let asked: Vec<String> = (0..count).map(|n| format!("'@s{n}'")).collect();
    let sets: String = (0..count).map(set).collect();
    good(&format!(
        "{sets}[[set]]\nid='unasked'\naddresses='203.0.113.9'\n[[rule]]\nid='a'\naction='block'\nsource=[{}]\n",
        asked.join(",")
    ))
}

#[test]
fn whatever_has_an_address_may_join_one_set_more_as_long_as_there_is_room_for_its_classes() {
    // None and each by itself; of these, each with one of the others is a pair.
    let of_addresses = |count: u32| 1 + count;
    let pairs = |count: u32| count * (count - 1) / 2;
    for (count, joined) in [(1, 0), (40, pairs(40)), (60, 1024)] {
        let rules = with_sets(count);
        let table = rules.compile(1);
        let classes = of_addresses(count) + joined;
        assert_eq!(table.head().equivalence_classes, classes, "{count}");
        let sets = table.sets.as_ref().unwrap();
        assert_eq!(
            table.bytes(),
            (table.pages.len() + sets.pages.len()) * PAGE_BYTES
        );
    }
    let rules = with_sets(40);
    let sets = rules.members().unwrap();
    let class = |address: &str, joined: &[u32]| sets.class_with(address.parse().unwrap(), joined);
    let none = class("198.51.100.1", &[]).unwrap();
    let both = class("192.0.2.3", &[5]).unwrap();
    assert_eq!(class("198.51.100.1", &[3, 5]), Ok(both));
    assert_eq!(class("192.0.2.5", &[3]), Ok(both), "the other way round");
    assert_eq!(class("192.0.2.3", &[3, 5, 5]), Ok(both), "once each");
    assert_eq!(class("192.0.2.3", &[3]), class("192.0.2.3", &[]));
    // Of a set that no rule asks for there is nothing to say.
    assert_eq!(class("198.51.100.1", &[40]), Ok(none));
    let three = class("192.0.2.3", &[4, 5]).unwrap_err();
    assert_eq!(*three, [3, 4, 5]);
}
