//! Tests of packets to a group, and of its members' answers.

use crate::zone::{
    BLOCKED, BY_RULE, GUEST, HERE, REPLY, SECOND, TCP, THERE, UDP, Zone, asks, mapped, of_v6, said,
};
use firewall_abi::firewall::carried;
use firewall_abi::packet::{Direction, PacketHeaders, Reason, Verdict};

const OUT_PASSES: &str = "
    [default]
    inbound = 'block'
    outbound = 'allow'
    forward = 'block'
    [[rule]]
    id = 'out'
    action = 'allow'
    direction = 'out'
";

/// Returns somebody's answer to a packet that port 5000 sent to a group.
fn answer(from: [u8; 4]) -> PacketHeaders {
    PacketHeaders {
        source: mapped(from),
        source_port: 5353,
        destination: mapped(HERE),
        destination_port: 5000,
        ..asks(Direction::Inbound, UDP)
    }
}

fn question(to: [u8; 16], ip_version: u8) -> PacketHeaders {
    PacketHeaders {
        destination: to,
        destination_port: 5353,
        ip_version,
        ..asks(Direction::Outbound, UDP)
    }
}

#[test]
fn a_group_is_what_is_multicast_or_everyone_on_the_link_and_nothing_beside_it() {
    let six = |first: u8, second: u8| {
        let mut address = of_v6([0, 0, 0, 251]);
        (address[0], address[1]) = (first, second);
        address
    };
    for (to, ip_version, is_group) in [
        (mapped([223, 255, 255, 255]), 4, false),
        (mapped([224, 0, 0, 0]), 4, true),
        (mapped([239, 255, 255, 255]), 4, true),
        (mapped([240, 0, 0, 0]), 4, false),
        (mapped([255, 255, 255, 254]), 4, false),
        (mapped([255; 4]), 4, true),
        (six(0xFE, 0xFF), 6, false),
        (six(0xFF, 0), 6, true),
        (six(0xFF, 2), 6, true),
        // Of IPv6 the last four bytes say nothing.
        (of_v6([224, 0, 0, 251]), 6, false),
        (of_v6([255; 4]), 6, false),
    ] {
        for everyone in [false, true] {
            let mut zone = Zone::under(OUT_PASSES);
            zone.seen.goes_to_everyone = everyone;
            assert_eq!(zone.says(question(to, ip_version)), BY_RULE);
            let heard = PacketHeaders {
                ip_version,
                destination: question(to, ip_version).source,
                ..answer([10, 0, 0, 9])
            };
            let expected = if is_group || everyone && ip_version == 4 {
                REPLY
            } else {
                BLOCKED
            };
            assert_eq!(zone.says(heard), expected, "{to:?} {everyone}");
        }
    }
}

#[test]
fn only_a_datagram_of_the_zones_own_asks_a_group() {
    let all_pass_but_his = "
        [default]
        inbound = 'allow'
        outbound = 'allow'
        forward = 'allow'
        [[rule]]
        id = 'his'
        action = 'block'
        source = '10.0.0.7'
    ";
    let group = mapped([224, 0, 0, 251]);
    let asked = question(group, 4);
    let heard = answer([10, 0, 0, 7]);
    for (not_asked, heard) in [
        (
            PacketHeaders {
                protocol: TCP,
                tcp_flags: 2,
                ..asked
            },
            heard,
        ),
        (
            PacketHeaders {
                source: mapped(THERE),
                direction: Direction::Inbound as u8,
                ..asked
            },
            PacketHeaders {
                source_port: 5000,
                destination: group,
                destination_port: 5353,
                ..heard
            },
        ),
        (
            PacketHeaders {
                source: mapped(GUEST),
                direction: Direction::Forward as u8,
                ..asked
            },
            PacketHeaders {
                destination: mapped(GUEST),
                ..heard
            },
        ),
    ] {
        let mut zone = Zone::under(all_pass_but_his);
        assert_eq!(said(&zone.judge(not_asked)).0, Verdict::Allow);
        let by_rule = (Verdict::Block, Reason::Rule);
        assert_eq!(zone.says(heard), by_rule, "{not_asked:?}");
    }
}

#[test]
fn each_member_of_a_group_is_heard_for_ten_seconds_however_many_there_are() {
    let asked = question(mapped([224, 0, 0, 251]), 4);
    let mut zone = Zone::under(OUT_PASSES);
    zone.seen.device = 3;
    let first = zone.judge(asked);
    assert_eq!((said(&first), first.known), (BY_RULE, 0));
    for (after, from, expected) in [
        (0, [10, 0, 0, 9], REPLY),
        (SECOND, [10, 0, 0, 7], REPLY),
        (10 * SECOND, [10, 0, 0, 9], REPLY),
        (10 * SECOND + 1, [10, 0, 0, 9], BLOCKED),
    ] {
        zone.seen.now_ns = SECOND + after;
        let decision = zone.judge(answer(from));
        assert_eq!(said(&decision), expected, "{after}");
        if expected == REPLY {
            assert_eq!((decision.rule, decision.generation), (first.rule, 1));
            assert_eq!((decision.log, decision.known), (0, 1));
        }
    }
    // The group is asked about each time, and is heard for ten seconds more.
    let again = zone.judge(asked);
    assert_eq!((said(&again), again.known), (BY_RULE, 0));
    assert_eq!(zone.says(answer([10, 0, 0, 9])), REPLY);
}

#[test]
fn a_group_answers_by_the_device_that_it_was_asked_by_the_port_and_the_address_that_asked() {
    let mut zone = Zone::under(OUT_PASSES);
    zone.seen.device = 3;
    zone.judge(question(mapped([224, 0, 0, 251]), 4));
    let heard = answer([10, 0, 0, 9]);
    assert_eq!(zone.says(heard), REPLY);
    for other in [
        PacketHeaders {
            source_port: 5354,
            ..heard
        },
        PacketHeaders {
            destination_port: 5001,
            ..heard
        },
        PacketHeaders {
            destination: mapped([10, 0, 0, 3]),
            ..heard
        },
        PacketHeaders {
            direction: Direction::Forward as u8,
            ..heard
        },
        PacketHeaders {
            protocol: 136,
            ..heard
        },
    ] {
        assert_eq!(zone.says(other), BLOCKED, "{other:?}");
    }
    zone.seen.device = 4;
    assert_eq!(zone.says(heard), BLOCKED);
}

#[test]
fn what_a_groups_members_say_is_counted_once_and_judged_by_rules_that_came_since() {
    let mut zone = Zone::under(OUT_PASSES);
    let asked = question(mapped([224, 0, 0, 251]), 4);
    zone.judge(asked);
    let heard = answer([10, 0, 0, 9]);
    let received = |zone: &Zone| {
        let entries: Vec<_> = zone.remembered.entries.values().collect();
        assert_eq!(entries.len(), 1);
        (entries[0].sent, entries[0].received)
    };
    zone.seen.length = 70;
    zone.judge(heard);
    assert_eq!(received(&zone), (carried(1, 100), carried(1, 70)));
    assert_eq!(said(&zone.judge_at_socket(heard)), REPLY);
    assert_eq!(received(&zone), (carried(1, 100), carried(1, 70)));
    zone.renew(OUT_PASSES);
    assert_eq!(zone.says(heard), BLOCKED);
    assert_eq!(received(&zone), (carried(1, 100), carried(1, 70)));
    zone.judge(asked);
    assert_eq!(zone.says(heard), REPLY);
}
