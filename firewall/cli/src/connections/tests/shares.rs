//! Tests of connection quotas.

use super::{ACK, ANSWERED, ASKED, REFUSED, REPLY, Run, SECOND, SYN};
use crate::flow::PacketQuestion;
use engine::connection::Connections;
use firewall_abi::firewall::{
    FlowKey, MAX_CONFIRMED_ARRIVALS, MAX_FLOWS, MAX_UNCONFIRMED_ARRIVALS, RING,
};
use firewall_abi::packet::{Direction, Reason, Verdict};

#[test]
fn a_flood_of_beginnings_makes_nothing_fail_that_begins_beside_it() {
    let mut run = Run::under(
        "[default]\ninbound = 'block'\noutbound = 'block'\n\
         [[rule]]\nid = 'out'\naction = 'allow'\ndirection = 'out'\nprotocol = 'udp'\n\
         [[rule]]\nid = 'in'\naction = 'allow'\ndirection = 'in'\nprotocol = ['tcp', 'udp']\nports = 22\n",
    );
    run.at(0, ASKED);
    let mut packet = "in tcp 10.0.0.1:5000 -> 10.0.0.2:22"
        .parse::<PacketQuestion>()
        .unwrap()
        .0;
    packet.flow.tcp_flags = SYN;
    for number in 0..2 * MAX_UNCONFIRMED_ARRIVALS as u32 {
        packet.flow.source[12..].copy_from_slice(&number.to_be_bytes());
        let decision = run.connections.decide(&packet, &[], &run.rules.slices(), 0);
        assert_eq!(decision.verdict, Verdict::Allow as u8);
    }
    assert_eq!(
        run.connections.arriving.entries.len(),
        MAX_UNCONFIRMED_ARRIVALS
    );
    assert_eq!(run.at(1, ANSWERED), REPLY, "what began inside");
    // What began before the flood is served by the rules, and takes part again as soon as its originator goes on.
    let (comes, goes) = (
        "in tcp 0.0.0.0:5000 -> 10.0.0.2:22",
        "out tcp 10.0.0.2:22 -> 0.0.0.0:5000",
    );
    assert_eq!(run.with_flags(1, goes, SYN | ACK), REPLY);
    assert_eq!(run.with_flags(1, comes, ACK), (true, Reason::Rule));
    assert_eq!(run.with_flags(1, goes, ACK), REPLY);
    assert_eq!(run.with_flags(1, comes, ACK), (true, Reason::Rule));
    assert_eq!(run.connections.confirmed.len(), 1, "it makes room for none");
    // What the rules let nobody begin is answered by nobody.
    let other = goes.replace(":22 ", ":23 ");
    assert_eq!(run.with_flags(1, &other, SYN | ACK), REFUSED);
}

/// Sends a user's first packet, its reply and another packet.
fn begin_and_go_on(run: &mut Run, user: u32, number: u32) {
    run.connections.local.user = user;
    for packet in [ASKED, ANSWERED, ASKED] {
        let mut packet = packet.parse::<PacketQuestion>().unwrap().0;
        let flow = &mut packet.flow;
        let remote = if flow.direction == Direction::Outbound as u8 {
            &mut flow.destination
        } else {
            &mut flow.source
        };
        remote[12..].copy_from_slice(&number.to_be_bytes());
        let said = run.connections.decide(&packet, &[], &run.rules.slices(), 0);
        assert_eq!(said.verdict, Verdict::Allow as u8, "{user} {number}");
    }
}

#[test]
fn one_user_has_a_share_of_what_makes_no_room_and_pushes_out_nobody_else() {
    const HALF: u32 = MAX_FLOWS as u32 / 2;
    let mut run = Run::new();
    for number in 0..HALF + 10 {
        begin_and_go_on(&mut run, 1000, number << 8);
    }
    assert_eq!(run.connections.charged.get(&1000), Some(&HALF));
    assert_eq!(run.connections.full, 10);
    // What was not kept still goes on.
    let last = "in udp 0.128.9.0:53 -> 10.0.0.2:5000";
    assert_eq!(run.at(1, last), REPLY);
    run.connections.local.user = 1001;
    begin_and_go_on(&mut run, 1001, 1);
    assert_eq!(run.connections.charged.get(&1001), Some(&1));
    // Another one's that is not confirmed yet stays, whatever he begins.
    run.connections.local.user = 1001;
    assert_eq!(
        run.at(1, "out udp 10.0.0.2:7000 -> 10.9.9.9:53"),
        (true, Reason::Rule)
    );
    run.connections.local.user = 1000;
    for number in 0..2 * RING as u32 {
        let mut packet = ASKED.parse::<PacketQuestion>().unwrap().0;
        packet.flow.destination[12..].copy_from_slice(&(number | 0xC000_0000).to_be_bytes());
        run.connections
            .decide(&packet, &[], &run.rules.slices(), SECOND);
    }
    assert_eq!(run.at(2, "in udp 10.9.9.9:53 -> 10.0.0.2:7000"), REPLY);
    // What is forgotten is counted.
    let keys: Vec<FlowKey> = run.connections.confirmed.keys().copied().collect();
    for key in keys {
        run.connections.remove(&key);
    }
    assert!(
        run.connections
            .charged
            .values()
            .all(|charged| *charged == 0)
    );
}

#[test]
fn one_network_outside_has_a_share_of_what_may_begin_there() {
    const SHARE: usize = MAX_CONFIRMED_ARRIVALS / 2;
    let mut run = Run::new();
    let mut begins = |network: u8, number: u32| {
        let [high, low] = (number as u16).to_be_bytes();
        let host = high % 250 + 1;
        let port = 1024 + u16::from(low) + 256 * u16::from(high / 250);
        let (asks, answers) = (
            format!("in udp 10.0.{network}.{host}:{port} -> 10.0.0.2:7"),
            format!("out udp 10.0.0.2:7 -> 10.0.{network}.{host}:{port}"),
        );
        for packet in [&asks, &answers, &asks] {
            assert!(run.at(0, packet).0);
        }
        run.connections.confirmed.len()
    };
    for number in 0..SHARE as u32 + 10 {
        begins(1, number);
    }
    assert_eq!(begins(1, 60_000), SHARE);
    assert_eq!(begins(3, 0), SHARE + 1, "another network has its own");
}

#[test]
fn a_connection_that_goes_on_makes_no_room_for_new_ones() {
    let mut run = Run::new();
    for packet in [ASKED, ANSWERED, ASKED] {
        run.at(0, packet);
    }
    let mut packet = ASKED.parse::<PacketQuestion>().unwrap().0;
    for number in 0..2 * RING as u32 {
        packet.flow.source[12..].copy_from_slice(&number.to_be_bytes());
        run.connections.decide(&packet, &[], &run.rules.slices(), 0);
    }
    let pending = run.connections.pending.iter();
    assert_eq!(pending.map(|ring| ring.entries.len()).sum::<usize>(), RING);
    assert_eq!(run.at(1, ANSWERED), REPLY);
    assert_eq!(run.connections.full, 0);
}

#[test]
fn who_floods_from_behind_a_device_pushes_out_its_own() {
    let mut run = Run::under(
        "[default]\ninbound = 'block'\noutbound = 'block'\nforward = 'block'\n\
         [[rule]]\nid = 'x'\naction = 'allow'\ndirection = 'forward'\nports = 53\nprotocol = ['tcp', 'udp']\n",
    );
    let asked = |host: u32| format!("forward udp 10.0.1.{host}:5000 -> 10.0.0.1:53");
    let answered = |host: u32| format!("forward udp 10.0.0.1:53 -> 10.0.1.{host}:5000");
    const SYN_ACK: &str = "forward tcp 10.0.0.1:53 -> 10.0.1.1:6000";
    assert_eq!(run.with_flags(0, SYN_ACK, SYN | ACK), REFUSED);
    run.with_flags(1, "forward tcp 10.0.1.1:6000 -> 10.0.0.1:53", SYN);
    let hosts = 1..=200;
    hosts.clone().for_each(|host| {
        run.at(1, &asked(host));
    });
    for port in 1..=20_000 {
        // Some time goes by: of what is as old in both of its parts, the one who floods takes the first part's.
        let flood = format!("forward udp 10.0.1.250:{port} -> 10.0.0.1:53");
        run.at(1 + u64::from(port > 1), &flood);
    }
    let heard = hosts.filter(|host| run.at(2, &answered(*host)) == REPLY);
    assert!(heard.count() > 190, "but those whose two parts are his");
    // In everybody's name.
    for port in 1..=100 {
        for host in 1..=250 {
            run.at(
                3,
                &format!("forward udp 10.0.1.{host}:{port} -> 10.0.0.1:53"),
            );
        }
    }
    assert_eq!(run.with_flags(4, SYN_ACK, SYN | ACK), REPLY);
    assert_eq!(
        run.with_flags(4, "forward tcp 10.0.0.1:54 -> 10.0.1.1:6000", SYN | ACK),
        REFUSED,
        "which no rule would have let begin"
    );
    assert_eq!(run.with_flags(200, SYN_ACK, SYN | ACK), REFUSED, "no more");
}
