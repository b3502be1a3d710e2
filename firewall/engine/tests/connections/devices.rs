//! Tests of the devices by which a connection goes on.

use crate::zone::{
    ACK, ASKING_PASSES, BLOCKED, BY_RULE, REPLY, TCP, UDP, Zone, answers, asks, flagged, goes_on,
    said,
};
use engine::connection::comes_astray;
use firewall_abi::firewall::FlowEntry;
use firewall_abi::packet::{Direction, PacketHeaders, PacketMeta, name_words};

/// The way by these two devices, the second of which is for what is forwarded.
fn by(zone: &mut Zone, first: u32, last: u32) {
    let named = |device| name_words(&format!("eth{device}")).expect("it is short");
    zone.seen.local = PacketMeta {
        interface: named(first),
        out_interface: named(last),
        ..PacketMeta::UNKNOWN
    };
    zone.seen.device = first.max(last).rotate_left(16) ^ first.min(last);
    (zone.seen.first_device, zone.seen.last_device) = (first, last);
}

/// Returns rules that allow packets by one device alone, which this key names; forwarded packets by the one that they
/// go out by.
fn by_one(key: &str, direction: &str) -> String {
    format!(
        "[default]\ninbound = 'block'\noutbound = 'block'\nforward = 'block'\n\
         [[rule]]\nid = 'x'\naction = 'allow'\ndirection = '{direction}'\n{key} = 'eth1'\nports = 443\nprotocol = ['tcp', 'udp']\n"
    )
}

#[test]
fn where_no_rule_asks_for_a_device_a_connection_moves_with_its_originator_alone() {
    for direction in Direction::ALL {
        let mut zone = Zone::under(ASKING_PASSES);
        let asked = asks(direction, UDP);
        let noted = |zone: &mut Zone| {
            let entry = zone.entry(&asked).expect("it goes on");
            (entry.device, entry.came_by)
        };
        by(&mut zone, 1, 0);
        assert_eq!(zone.says(asked), BY_RULE);
        by(&mut zone, 2, 0);
        assert_eq!(zone.says(answers(&asked)), REPLY);
        assert_eq!(noted(&mut zone), (1 << 16, 1));
        if direction == Direction::Inbound {
            zone.judge_at_socket(asked);
            assert_eq!(noted(&mut zone), (1 << 16, 1), "it was seen before");
        }
        let decision = zone.judge(asked);
        assert_eq!((said(&decision), decision.known), (BY_RULE, 1));
        assert_eq!(noted(&mut zone), (2 << 16, 2));
    }
}

#[test]
fn where_a_rule_asks_for_a_device_a_connection_passes_by_it_alone() {
    for (key, direction, name) in [
        ("interface", Direction::Outbound, "out"),
        ("interface", Direction::Inbound, "in"),
        ("interface", Direction::Forward, "forward"),
        ("out_interface", Direction::Forward, "forward"),
    ] {
        for protocol in [TCP, UDP] {
            let mut zone = Zone::under(&by_one(key, name));
            let asked = asks(direction, protocol);
            let (reply, on) = (goes_on(&answers(&asked)), goes_on(&asked));
            let way = |zone: &mut Zone, device: u32, is_reply: bool| {
                let (first, last) = match (key, direction) {
                    (_, Direction::Inbound | Direction::Outbound) => (device, 0),
                    ("interface", _) => (device, 9),
                    _ => (9, device),
                };
                // What is forwarded goes back by the device that it came by.
                if is_reply && direction == Direction::Forward {
                    by(zone, last, first);
                } else {
                    by(zone, first, last);
                }
            };
            way(&mut zone, 1, false);
            assert_eq!(zone.says(asked), BY_RULE, "{key} {asked:?}");
            way(&mut zone, 1, true);
            assert_eq!(zone.says(reply), REPLY, "{key} {asked:?}");
            way(&mut zone, 2, false);
            assert_eq!(zone.says(on), BLOCKED, "the route has moved");
            way(&mut zone, 2, true);
            assert_eq!(zone.says(reply), BLOCKED, "{key} {asked:?}");
            way(&mut zone, 1, true);
            assert_eq!(
                zone.says(reply),
                REPLY,
                "by another way nothing is forgotten"
            );
            way(&mut zone, 1, false);
            let decision = zone.judge(on);
            assert_eq!((said(&decision), decision.known), (BY_RULE, 1));
        }
    }
}

#[test]
fn what_is_forwarded_back_is_judged_by_new_rules_as_what_it_answers_with_its_devices_the_other_way()
{
    for (key, other_key) in [
        ("interface", "out_interface"),
        ("out_interface", "interface"),
    ] {
        let (first, last) = if key == "interface" { (1, 9) } else { (9, 1) };
        for (new_rules, expected) in [
            (by_one(key, "forward"), REPLY),
            (by_one(other_key, "forward"), BLOCKED),
        ] {
            let mut zone = Zone::under(&by_one(key, "forward"));
            let asked = asks(Direction::Forward, UDP);
            by(&mut zone, first, last);
            assert_eq!(zone.says(asked), BY_RULE);
            zone.renew(&new_rules);
            by(&mut zone, last, first);
            assert_eq!(zone.says(answers(&asked)), expected, "{key}");
        }
    }
}

#[test]
fn what_answers_by_another_device_renews_nothing() {
    let all = "[default]\ninbound = 'block'\noutbound = 'allow'\n";
    let but = |device: u32| {
        format!(
            "{all}[[rule]]\nid = 'x'\naction = 'block'\ndirection = 'out'\ninterface = 'eth{device}'\n"
        )
    };
    let asked = asks(Direction::Outbound, UDP);
    let mut zone = Zone::under(all);
    by(&mut zone, 1, 0);
    zone.judge(asked);
    zone.renew(&but(1));
    by(&mut zone, 2, 0);
    assert_eq!(zone.says(answers(&asked)), REPLY);
    let entry = zone.entry(&asked).expect("it goes on");
    assert_eq!((entry.generation, entry.device), (1, 1 << 16));
    by(&mut zone, 1, 0);
    assert_eq!(zone.says(answers(&asked)), BLOCKED);
    assert_eq!(zone.entry(&asked), None, "refused by its own");
    // What is refused by another one forgets nothing.
    let mut zone = Zone::under(all);
    by(&mut zone, 1, 0);
    zone.judge(asked);
    zone.renew(&but(2));
    by(&mut zone, 2, 0);
    assert_eq!(zone.says(answers(&asked)), BLOCKED);
    by(&mut zone, 1, 0);
    assert_eq!(zone.says(answers(&asked)), REPLY);
}

#[test]
fn what_comes_from_guests_whom_nobody_asked_is_no_answer() {
    let noted = FlowEntry {
        device: 1,
        came_by: 3,
        ..FlowEntry::NEW
    };
    for (direction, last_device, is_guests, expected) in [
        (Direction::Inbound, 0, true, true),
        (Direction::Inbound, 0, false, false),
        (Direction::Outbound, 0, true, false),
        // It goes to where it was not asked from.
        (Direction::Forward, 4, true, true),
        (Direction::Forward, 4, false, false),
        (Direction::Forward, 3, true, false),
        // A device's number in 16 bits.
        (Direction::Forward, 0x1_0002, true, false),
    ] {
        let is_astray = comes_astray(direction as u8, &noted, last_device, || is_guests);
        assert_eq!(
            is_astray, expected,
            "{direction:?} {last_device} {is_guests}"
        );
    }
    for direction in [Direction::Outbound, Direction::Forward] {
        let mut zone = Zone::under(ASKING_PASSES);
        let asked = asks(direction, UDP);
        by(&mut zone, 3, 0);
        assert_eq!(zone.says(asked), BY_RULE);
        zone.seen.is_guests = true;
        assert_eq!(zone.says(answers(&asked)), REPLY, "by the same devices");
        by(&mut zone, 0, 4);
        assert_eq!(zone.says(answers(&asked)), BLOCKED);
        zone.seen.is_guests = false;
        assert_eq!(zone.says(answers(&asked)), REPLY);
    }
}

#[test]
fn what_the_kernel_itself_sends_to_stay_on_its_link_no_default_refuses() {
    let refused = "[default]\ninbound = 'block'\noutbound = 'block'\n";
    let mut zone = Zone::under(refused);
    let solicits = PacketHeaders {
        source_port: 135,
        ..asks(Direction::Outbound, 58)
    };
    assert_eq!(zone.says(solicits), BLOCKED, "a program's");
    zone.seen.local.program = PacketMeta::KERNEL;
    let (verdict, reason) = zone.says(solicits);
    assert_eq!((verdict as u8, reason.name()), (1, "link"));
    let other = flagged(asks(Direction::Outbound, TCP), ACK);
    assert_eq!(zone.says(other), BLOCKED);
}
