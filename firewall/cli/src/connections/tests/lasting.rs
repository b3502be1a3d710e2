//! Tests of how long connections last: replies pass because of earlier packets, until a timeout.

use super::{ACK, ANSWERED, ASKED, FIN, REFUSED, REPLY, RST, Run, SECOND, SYN};
use crate::connections::Remembered;
use crate::flow::PacketQuestion;
use engine::connection::{Known, decide};
use firewall_abi::packet::{NO_USER, PacketMeta, Reason, Verdict, name_words};

#[test]
fn only_the_other_end_replies_and_only_to_what_was_allowed() {
    let mut run = Run::new();
    assert_eq!(run.at(0, ANSWERED), REFUSED);
    assert_eq!(run.at(1, ASKED), (true, Reason::Rule));
    assert_eq!(run.at(2, ANSWERED), REPLY);
    assert_eq!(run.at(3, "in udp 10.0.0.1:54 -> 10.0.0.2:5000"), REFUSED);
    assert_eq!(run.at(4, "in udp 10.0.0.1:5000 -> 10.0.0.2:53"), REFUSED);
    assert_eq!(run.at(5, ASKED), (true, Reason::Rule));
}

#[test]
fn the_rules_are_asked_about_the_beginning_alone() {
    let mut run = Run::new();
    for (packet, known) in [(ASKED, 0), (ASKED, 1), (ANSWERED, 1), (ASKED, 1)] {
        let packet = packet.parse::<PacketQuestion>().unwrap().0;
        let decision = run
            .connections
            .decide(&packet, &[], &run.rules.slices(), SECOND);
        assert_eq!(
            (decision.verdict, decision.known),
            (Verdict::Allow as u8, known)
        );
    }
}

#[test]
fn a_silent_conversation_is_forgotten_and_a_reply_keeps_it() {
    let mut run = Run::new();
    run.at(0, ASKED);
    assert_eq!(run.at(30, ANSWERED), REPLY);
    // A single question and its answer.
    assert_eq!(run.at(61, ANSWERED), REFUSED);
    for (at, packet) in [(100, ASKED), (101, ANSWERED), (102, ASKED)] {
        assert!(run.at(at, packet).0);
    }
    assert_eq!(run.at(282, ANSWERED), REPLY);
    assert_eq!(run.at(463, ANSWERED), REFUSED);
    // Whoever was never answered is waited for no longer than half a minute.
    run.at(500, ASKED);
    assert_eq!(run.at(531, ANSWERED), REFUSED);
}

#[test]
fn the_last_packets_of_an_ended_conversation_may_be_sent_again() {
    let (ack, fin) = (16, 17);
    let (out, back) = (
        "out tcp 10.0.0.2:5000 -> 10.0.0.1:80",
        "in tcp 10.0.0.1:80 -> 10.0.0.2:5000",
    );
    let mut run = Run::new();
    run.with_flags(0, out, 2);
    for (packet, flags) in [(back, 18), (out, ack), (out, fin), (back, fin), (out, ack)] {
        assert!(run.with_flags(1, packet, flags).0);
    }
    let Remembered {
        confirmed, retired, ..
    } = &run.connections;
    assert_eq!((confirmed.len(), retired.entries.len()), (0, 1));
    assert_eq!(run.with_flags(100, back, fin), REPLY);
    assert_eq!(run.with_flags(122, back, fin), REFUSED);
}

#[test]
fn an_association_of_sctp_goes_on_with_whom_it_was_asked_for_and_another_one_is_judged() {
    let came = "in 132 10.0.0.1:5000 -> 10.0.0.2:7";
    let mut run = Run::under(
        "[default]\ninbound = 'block'\noutbound = 'block'\n\
                [[rule]]\nid = 'in'\naction = 'allow'\nprotocol = 132\nports = 7\nuser = 1000\n",
    );
    let allowed = (true, Reason::Rule);
    for (at, user, flags, expected) in [
        (0, 1001, SYN, REFUSED),
        (1, 1000, SYN, allowed),
        // Whose the socket is by which it was accepted is not known.
        (2, NO_USER, 0, allowed),
        (3, 1001, SYN, REFUSED),
    ] {
        run.connections.local.user = user;
        assert_eq!(run.with_flags(at, came, flags), expected, "{at}");
    }
}

#[test]
fn half_open_connections_live_as_long_as_conntracks() {
    let (out, back) = (
        "out tcp 10.0.0.2:5000 -> 10.0.0.1:80",
        "in tcp 10.0.0.1:80 -> 10.0.0.2:5000",
    );
    for (steps, lives) in [
        (&[(out, SYN)][..], 120),
        (&[(out, SYN), (back, SYN | ACK)], 60),
        // Whoever answers, and answers again, confirms nothing.
        (&[(out, SYN), (back, SYN | ACK), (back, ACK)], 60),
        (&[(out, SYN), (back, SYN | ACK), (out, ACK)], 7200),
        (
            &[(out, SYN), (back, SYN | ACK), (out, ACK), (out, FIN | ACK)],
            120,
        ),
        (
            &[(out, SYN), (back, SYN | ACK), (out, ACK), (back, RST)],
            10,
        ),
    ] {
        for (after, expected) in [(lives, REPLY), (lives + 1, REFUSED)] {
            let mut run = Run::new();
            for (packet, flags) in steps {
                assert!(run.with_flags(0, packet, *flags).0);
            }
            assert_eq!(
                run.with_flags(after, back, ACK),
                expected,
                "{steps:?} {after}"
            );
        }
    }
}

#[test]
fn a_syn_ack_begins_nothing() {
    let mut run = Run::new();
    let (out, back) = (
        "out tcp 10.0.0.2:22 -> 10.0.0.1:5000",
        "in tcp 10.0.0.1:5000 -> 10.0.0.2:22",
    );
    assert_eq!(
        run.with_flags(0, out, SYN | ACK),
        (true, Reason::Rule),
        "a rule lets it out"
    );
    assert_eq!(run.with_flags(1, back, ACK), REFUSED);
    assert!(
        run.connections
            .pending
            .iter()
            .all(|ring| ring.entries.is_empty())
    );
}

#[test]
fn a_connection_goes_on_by_the_device_that_the_rules_allow() {
    let text = "[default]\ninbound = 'block'\noutbound = 'block'\n\
                [[rule]]\nid = 'tunnel'\naction = 'allow'\ndirection = 'out'\ninterface = 'wg0'\n";
    let mut run = Run::under(text);
    let mut by = |packet: &str, interface: &str, device| {
        let mut packet = packet.parse::<PacketQuestion>().unwrap().0;
        let mut ends = Known {
            local: PacketMeta {
                interface: name_words(interface).unwrap(),
                ..PacketMeta::UNKNOWN
            },
            device,
            ..Known::default()
        };
        let decision = decide(
            &mut packet,
            &mut ends,
            &run.rules.slices(),
            &mut run.connections,
        );
        decision.verdict == Verdict::Allow as u8
    };
    for (asked, answered) in [
        (ASKED, ANSWERED),
        (
            "out tcp 10.0.0.2:5000 -> 10.0.0.1:80",
            "in tcp 10.0.0.1:80 -> 10.0.0.2:5000",
        ),
    ] {
        assert!(!by(asked, "eth0", 2));
        assert!(by(asked, "wg0", 3) && by(answered, "wg0", 3));
        assert!(!by(asked, "eth0", 2), "the route has moved");
        assert!(!by(answered, "eth0", 2));
        assert!(by(asked, "wg0", 3) && by(answered, "wg0", 3));
    }
}

/// Returns whether a packet that is forwarded between these devices passes by these rules.
fn passes(
    connections: &mut Remembered,
    rules: &rules::Table,
    packet: &str,
    (first, last): (u32, u32),
    is_guests: bool,
) -> bool {
    let named = |device| match device {
        0 => [0; 2],
        device => name_words(&format!("eth{device}")).unwrap(),
    };
    let mut ends = Known {
        local: PacketMeta {
            interface: named(first),
            out_interface: named(last),
            ..PacketMeta::UNKNOWN
        },
        device: first.max(last).rotate_left(16) ^ first.min(last),
        first_device: first,
        last_device: last,
        is_guests,
        ..Known::default()
    };
    let mut packet = packet.parse::<PacketQuestion>().unwrap().0;
    let decision = decide(&mut packet, &mut ends, &rules.slices(), connections);
    decision.verdict == Verdict::Allow as u8
}

fn table(text: &str, generation: u32) -> rules::Table {
    let rules = rules::parse("r", text, &rules::NoResolver).unwrap();
    rules.compile(generation)
}

#[test]
fn an_answer_by_another_device_is_judged_there_and_renews_nothing() {
    let all = "[default]\ninbound = 'block'\noutbound = 'allow'\n";
    let rule = |action: &str, device: u32| {
        format!(
            "[[rule]]\nid = 'r'\naction = '{action}'\ndirection = 'out'\ninterface = 'eth{device}'\n"
        )
    };
    let (one, other) = ((1, 0), (2, 0));
    let mut connections = Remembered::default();
    let mut by = |rules: &rules::Table, packet, devices| {
        passes(&mut connections, rules, packet, devices, false)
    };
    let first = table(all, 1);
    assert!(by(&first, ASKED, one) && by(&first, ANSWERED, other));
    // The first device is not to be used any more. What answers by another one says nothing of that.
    let new = table(&(all.to_owned() + &rule("block", 1)), 2);
    assert!(by(&new, ANSWERED, other));
    assert!(!by(&new, ANSWERED, one));
    assert!(!by(&new, ANSWERED, one), "it is forgotten");
    // And what is refused by another one forgets nothing.
    let mut connections = Remembered::default();
    let mut by = |rules: &rules::Table, packet, devices| {
        passes(&mut connections, rules, packet, devices, false)
    };
    assert!(by(&first, ASKED, one) && by(&first, ANSWERED, one));
    let new = table(&(all.to_owned() + &rule("block", 2)), 2);
    assert!(!by(&new, ANSWERED, other));
    assert!(by(&new, ANSWERED, one));
}

/// Guests may ask for names, through the machine.
const GUESTS_ASK: &str = "[default]\ninbound = 'block'\noutbound = 'allow'\nforward = 'block'\n\
    [[rule]]\nid = 'r'\naction = 'allow'\ndirection = 'forward'\nprotocol = 'udp'\nports = 53\n";
const GUEST_ASKED: &str = "forward udp 172.17.0.2:5000 -> 192.0.2.1:53";
const GUEST_ANSWERED: &str = "forward udp 192.0.2.1:53 -> 172.17.0.2:5000";

#[test]
fn nothing_answers_from_guests_whom_nobody_asked_nor_to_where_nobody_did() {
    let rules = table(GUESTS_ASK, 1);
    let mut connections = Remembered::default();
    let mut by =
        |packet, devices, is_guests| passes(&mut connections, &rules, packet, devices, is_guests);
    assert!(by(ASKED, (1, 0), false));
    assert!(!by(ANSWERED, (2, 0), true), "guests, who were not asked");
    assert!(by(ANSWERED, (2, 0), false), "another way back");
    assert!(by(ANSWERED, (1, 0), true), "guests, who were");
    assert!(by(GUEST_ASKED, (3, 1), false));
    assert!(
        !by(GUEST_ANSWERED, (1, 4), true),
        "guests, who have not asked"
    );
    assert!(by(GUEST_ANSWERED, (1, 4), false), "another way back");
    assert!(by(GUEST_ANSWERED, (2, 3), false), "another way back");
    assert!(by(GUEST_ANSWERED, (1, 3), false));
}

#[test]
fn what_goes_on_by_another_device_is_answered_there() {
    let rules = table(GUESTS_ASK, 1);
    let mut connections = Remembered::default();
    let mut by =
        |packet, devices, is_guests| passes(&mut connections, &rules, packet, devices, is_guests);
    // The route moves to a bridge, behind which a virtual machine is the router.
    assert!(by(ASKED, (1, 0), false) && by(ASKED, (2, 0), false));
    assert!(by(ANSWERED, (2, 0), true));
    assert!(!by(ANSWERED, (3, 0), true));
    // The bridge of who has asked is made anew.
    assert!(by(GUEST_ASKED, (3, 1), false) && by(GUEST_ASKED, (4, 1), false));
    assert!(by(GUEST_ANSWERED, (1, 4), true));
    assert!(!by(GUEST_ANSWERED, (1, 3), true));
}

#[test]
fn who_asks_a_group_hears_its_members_for_seconds() {
    let mut run = Run::new();
    let answer = "in udp 10.0.0.9:5353 -> 10.0.0.2:5000";
    assert_eq!(run.at(0, answer), REFUSED);
    for group in ["224.0.0.251", "255.255.255.255"] {
        let start = if group == "224.0.0.251" { 0 } else { 100 };
        run.at(start, &format!("out udp 10.0.0.2:5000 -> {group}:5353"));
        for (after, packet, expected) in [
            (2, answer, REPLY),
            (3, "in udp 10.0.0.7:5353 -> 10.0.0.2:5000", REPLY),
            (3, "in udp 10.0.0.9:5354 -> 10.0.0.2:5000", REFUSED),
            (3, "in udp 10.0.0.9:5353 -> 10.0.0.2:5001", REFUSED),
            (10, answer, REPLY),
            (11, answer, REFUSED),
        ] {
            assert_eq!(run.at(start + after, packet), expected, "{after} {packet}");
        }
    }
    run.at(200, "out udp [fd00::2]:5000 -> [ff02::fb]:5353");
    let six = "in udp [fe80::9]:5353 -> [fd00::2]:5000";
    assert_eq!(run.at(201, six), REPLY);
    // The group itself is asked about each time.
    let again = "out udp 10.0.0.2:5000 -> 224.0.0.251:5353";
    assert_eq!(run.at(202, again), (true, Reason::Rule));
}

#[test]
fn a_networks_own_broadcast_address_asks_everyone_there() {
    let (asked, answer) = (
        "out udp 10.0.0.2:5000 -> 10.0.0.255:137",
        "in udp 10.0.0.9:137 -> 10.0.0.2:5000",
    );
    let mut run = Run::new();
    run.at(0, asked);
    assert_eq!(run.at(1, answer), REFUSED);
    run.connections.goes_to_everyone = true;
    run.at(2, asked);
    run.connections.goes_to_everyone = false;
    assert_eq!(run.at(3, answer), REPLY);
}

#[test]
fn a_first_syn_is_no_reply_and_an_end_begins_nothing() {
    let (syn, ack, fin) = (2, 16, 17);
    let (out, back) = (
        "out tcp 10.0.0.2:5000 -> 10.0.0.1:80",
        "in tcp 10.0.0.1:80 -> 10.0.0.2:5000",
    );
    let mut run = Run::new();
    run.with_flags(0, out, fin);
    assert_eq!(run.with_flags(1, back, ack), REFUSED);
    run.with_flags(2, out, syn);
    assert_eq!(run.with_flags(3, back, syn | ack), REPLY);
    assert_eq!(run.with_flags(4, back, syn), REFUSED);
}

#[test]
fn what_is_forwarded_is_answered_through_the_zone_alone() {
    for (asks, answers) in [
        ("172.17.0.2:5000", "192.0.2.1:53"),
        ("192.0.2.1:5000", "172.17.0.2:53"),
    ] {
        let text = "[default]\ninbound = 'block'\noutbound = 'block'\n\
                    [[rule]]\nid = 'through'\naction = 'allow'\ndirection = 'forward'\nprotocol = 'udp'\nports = 53\n";
        let mut run = Run::under(text);
        let (asked, answered) = (
            format!("forward udp {asks} -> {answers}"),
            format!("forward udp {answers} -> {asks}"),
        );
        assert_eq!(run.at(0, &answered), REFUSED);
        assert_eq!(run.at(1, &asked), (true, Reason::Rule));
        assert_eq!(run.at(2, &answered), REPLY);
        assert_eq!(run.at(3, &answered.replace(":53 ", ":54 ")), REFUSED);
        // What the zone itself sends or takes between these ends is another connection.
        for direction in ["in", "out"] {
            assert_eq!(run.at(4, &answered.replace("forward", direction)), REFUSED);
        }
    }
}

#[test]
fn echo_is_answered_by_echo_reply_alone() {
    let mut run = Run::new();
    run.at(0, "out icmp 10.0.0.2 -> 10.0.0.1 type echo-request");
    assert_eq!(
        run.at(1, "in icmp 10.0.0.1 -> 10.0.0.2 type echo-request"),
        REFUSED
    );
    assert_eq!(
        run.at(1, "in icmp 10.0.0.1 -> 10.0.0.2 type echo-reply"),
        REPLY
    );
}

#[test]
fn whatever_has_ports_is_answered_by_the_other_end_alone() {
    for protocol in ["sctp", "dccp", "udplite"] {
        let mut run = Run::under(&format!(
            "[default]\ninbound = 'block'\noutbound = 'block'\nforward = 'block'\n\
             [[rule]]\nid = 'x'\naction = 'allow'\nprotocol = '{protocol}'\nports = 5060\n"
        ));
        for (way, back) in [("out", "in"), ("in", "out"), ("forward", "forward")] {
            let asks = format!("{way} {protocol} 10.0.0.2:5000 -> 10.0.0.1:5060");
            let answers = |from: u16| format!("{back} {protocol} 10.0.0.1:{from} -> 10.0.0.2:5000");
            assert_eq!(run.at(0, &answers(5060)), REFUSED);
            assert_eq!(run.at(1, &asks), (true, Reason::Rule));
            assert_eq!(run.at(2, &answers(5060)), REPLY);
            assert_eq!(run.at(3, &answers(5061)), REFUSED);
            assert_eq!(run.at(200, &answers(5060)), REFUSED, "a question");
        }
    }
}
