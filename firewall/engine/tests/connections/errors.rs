//! Tests of ICMP errors about a connection.

use crate::zone::{
    ASKING_PASSES, BLOCKED, HERE, ICMP, ICMPV6, REPLY, SECOND, TCP, THERE, UDP, Zone, asks, mapped,
    said,
};
use engine::connection::key_of;
use engine::is_error;
use firewall_abi::packet::{Direction, PacketHeaders, Verdict};

fn error(protocol: u8, kind: u16) -> PacketHeaders {
    PacketHeaders {
        source: mapped(THERE),
        destination: mapped(HERE),
        source_port: kind,
        destination_port: 1,
        tcp_flags: 0,
        ..asks(Direction::Inbound, protocol)
    }
}

#[test]
fn errors_are_what_says_that_a_packet_has_not_arrived_and_no_redirect() {
    for kind in 0..=255 {
        let is_error = |protocol| is_error(&error(protocol, kind));
        assert_eq!(is_error(ICMP), [3, 11, 12].contains(&kind), "{kind}");
        assert_eq!(is_error(ICMPV6), [1, 2, 3, 4].contains(&kind), "{kind}");
        assert!(!is_error(UDP) && !is_error(TCP) && !is_error(47));
    }
}

#[test]
fn an_error_passes_with_the_connection_that_it_is_about_and_changes_nothing_in_it() {
    for protocol in [UDP, TCP] {
        let mut zone = Zone::under(ASKING_PASSES);
        let asked = asks(Direction::Outbound, protocol);
        zone.seen.quoted = Some(key_of(&asked));
        assert_eq!(zone.says(error(ICMP, 3)), BLOCKED, "nobody has begun it");
        let first = zone.judge(asked);
        let before = zone.entry(&asked);
        zone.seen.now_ns += SECOND;
        let decision = zone.judge(error(ICMP, 3));
        assert_eq!(said(&decision), REPLY);
        assert_eq!((decision.rule, decision.generation), (first.rule, 1));
        assert_eq!((decision.log, decision.known), (0, 1));
        assert_eq!(zone.entry(&asked), before);
        zone.seen.quoted = None;
        assert_eq!(zone.says(error(ICMP, 3)), BLOCKED, "it shows none");
        // Of what is no error nothing is read.
        zone.seen.quoted = Some(key_of(&asked));
        assert_eq!(zone.says(error(ICMP, 5)), BLOCKED);
        zone.renew(ASKING_PASSES);
        assert_eq!(zone.says(error(ICMP, 3)), BLOCKED, "of rules before");
        assert!(zone.entry(&asked).is_some());
    }
}

#[test]
fn an_error_begins_nothing_though_rules_let_it_pass() {
    let mut zone = Zone::under("[default]\ninbound = 'allow'\noutbound = 'block'\n");
    zone.seen.quoted = Some(key_of(&asks(Direction::Outbound, UDP)));
    assert_eq!(said(&zone.judge(error(ICMP, 3))).0, Verdict::Allow);
    assert!(zone.remembered.entries.is_empty());
}
