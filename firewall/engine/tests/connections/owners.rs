//! Tests of a connection's owner: the socket by which it goes on, those who may send in it and hear it, and the quota
//! that it counts against.

use crate::zone::{
    ACK, ASKING_PASSES, BY_RULE, ICMP, REPLY, SCTP, SECOND, SEED, SYN, TCP, UDP, UDP_LITE, Zone,
    answers, asks, flagged, goes_on, of_v6, said,
};
use engine::connection::{Connections, Known, PacketContext, Retired, is_heard_by_another, key_of};
use engine::{Slices, quota};
use firewall_abi::firewall::{FlowEntry, FlowKey};
use firewall_abi::packet::{Direction, NO_USER, PacketHeaders, PacketMeta, Reason, Verdict};

/// Rules that ask for a user, beside what passes whoever it is of.
fn asking_for_a_user() -> String {
    format!(
        "{ASKING_PASSES}\n[[rule]]\nid = 'his'\naction = 'allow'\nports = 9\nprotocol = 'udp'\nuser = 1000\n"
    )
}

/// Returns rules that ask for a program, beside those that pass any owner's packets.
fn asking_for_a_program() -> String {
    format!(
        "{ASKING_PASSES}\n[[rule]]\nid = 'its'\naction = 'allow'\nports = 9\nprotocol = 'udp'\nprogram = 'kernel'\n"
    )
}

fn is_known(zone: &mut Zone, packet: PacketHeaders) -> bool {
    let decision = zone.judge(packet);
    assert_eq!(said(&decision).0, Verdict::Allow, "{packet:?}");
    decision.known == 1
}

#[test]
fn a_connection_goes_on_unjudged_from_the_socket_alone_that_began_it() {
    for protocol in [TCP, UDP] {
        let mut zone = Zone::under(ASKING_PASSES);
        let asked = asks(Direction::Outbound, protocol);
        zone.seen.socket = 5;
        assert!(!is_known(&mut zone, asked) && is_known(&mut zone, goes_on(&asked)));
        zone.seen.socket = 6;
        assert!(!is_known(&mut zone, goes_on(&asked)), "another one");
        assert!(is_known(&mut zone, goes_on(&asked)));
        // What comes in is of no socket, and neither is its answer.
        let mut zone = Zone::under(ASKING_PASSES);
        let asked = asks(Direction::Inbound, protocol);
        for socket in [7, 8] {
            zone.seen.socket = socket;
            assert_eq!(is_known(&mut zone, goes_on(&asked)), socket == 8);
            assert_eq!(zone.says(goes_on(&answers(&asked))), REPLY);
        }
    }
}

#[test]
fn who_receives_a_datagram_is_asked_about_each_where_rules_ask_who() {
    for (rules, asks_who) in [
        (ASKING_PASSES.to_owned(), false),
        (asking_for_a_user(), true),
        (asking_for_a_program(), true),
    ] {
        for (direction, protocol, is_asked) in [
            (Direction::Inbound, UDP, true),
            (Direction::Inbound, UDP_LITE, true),
            (Direction::Inbound, ICMP, true),
            (Direction::Inbound, TCP, false),
            (Direction::Inbound, SCTP, false),
            (Direction::Outbound, UDP, false),
            (Direction::Forward, UDP, false),
        ] {
            let mut zone = Zone::under(&rules);
            let asked = asks(direction, protocol);
            is_known(&mut zone, asked);
            let is_known = is_known(&mut zone, goes_on(&asked));
            assert_eq!(!is_known, is_asked && asks_who, "{asked:?}");
            assert_eq!(zone.says(answers(&asked)), REPLY);
        }
    }
}

#[test]
fn an_association_of_sctp_that_is_asked_for_anew_is_judged() {
    let mut zone = Zone::under(ASKING_PASSES);
    let asked = asks(Direction::Inbound, SCTP);
    assert!(!is_known(&mut zone, asked) && is_known(&mut zone, goes_on(&asked)));
    assert!(!is_known(&mut zone, asked));
}

#[test]
fn a_datagram_of_anothers_socket_is_judged_where_rules_ask_who() {
    for (rules, asks_who) in [
        (ASKING_PASSES.to_owned(), false),
        (asking_for_a_user(), true),
        (asking_for_a_program(), true),
    ] {
        for (protocol, is_datagram) in [(UDP, true), (UDP_LITE, true), (TCP, false), (SCTP, false)]
        {
            let mut zone = Zone::under(&rules);
            let asked = asks(Direction::Outbound, protocol);
            is_known(&mut zone, asked);
            assert!(is_known(&mut zone, goes_on(&asked)), "his own");
            zone.seen.is_anothers = true;
            let is_known = is_known(&mut zone, goes_on(&asked));
            assert_eq!(!is_known, asks_who && is_datagram, "{asked:?}");
            // As an answer too, and what comes in says nothing of who has sent it.
            let mut zone = Zone::under(&rules);
            let asked = asks(Direction::Inbound, protocol);
            assert_eq!(zone.says(asked), BY_RULE);
            assert_eq!(zone.says(goes_on(&answers(&asked))), REPLY);
            zone.seen.is_anothers = true;
            let (verdict, reason) = zone.says(goes_on(&answers(&asked)));
            let is_judged = (verdict, reason) == (Verdict::Block, Reason::Default);
            assert_eq!(is_judged, asks_who && is_datagram, "{asked:?}");
            assert!(is_judged || reason == Reason::Reply);
            let mut zone = Zone::under(&rules);
            let asked = asks(Direction::Outbound, protocol);
            assert_eq!(zone.says(asked), BY_RULE);
            zone.seen.is_anothers = true;
            assert_eq!(zone.says(answers(&asked)), REPLY);
        }
    }
    // Whose it is was looked for, else nobody is another.
    let mut zone = Zone::under(&asking_for_a_user());
    let asked = asks(Direction::Outbound, UDP);
    is_known(&mut zone, asked);
    forget_owner(&mut zone, &asked);
    zone.seen.is_anothers = true;
    assert!(is_known(&mut zone, asked));
}

fn forget_owner(zone: &mut Zone, packet: &PacketHeaders) {
    let key = key_of(packet);
    let entry = zone.remembered.entries.get_mut(&key);
    entry.expect("it is remembered").state &= !FlowEntry::OWNED;
}

#[test]
fn an_answer_that_comes_to_anothers_socket_is_judged_there_as_a_packet_of_its_own() {
    for (protocol, receiver, is_anothers, is_owned, expected) in [
        (UDP, 6, true, true, false),
        (UDP_LITE, 6, true, true, false),
        (UDP, 5, true, true, true),
        (UDP, 6, false, true, true),
        (UDP, 6, true, false, true),
        (TCP, 6, true, true, true),
        (SCTP, 6, true, true, true),
    ] {
        let mut zone = Zone::under(ASKING_PASSES);
        zone.seen.socket = 5;
        let asked = asks(Direction::Outbound, protocol);
        zone.judge(asked);
        let reply = answers(&asked);
        (zone.seen.receiver, zone.seen.is_anothers) = (receiver, is_anothers);
        if !is_owned {
            forget_owner(&mut zone, &asked);
        }
        let mut heard = |flow: &PacketHeaders| {
            is_heard_by_another(flow, receiver, |_| is_anothers, &mut zone.remembered)
        };
        assert_eq!(heard(&reply), !expected, "{protocol} {receiver}");
        assert!(!heard(&asked), "its originator");
        assert!(
            !heard(&answers(&asks(Direction::Forward, protocol))),
            "another"
        );
        let at_socket = said(&zone.judge_at_socket(reply));
        assert_eq!(at_socket == REPLY, expected, "{protocol} {receiver}");
        // Before the socket it is a reply.
        assert_eq!(zone.says(reply), REPLY);
    }
}

#[test]
fn whose_a_connection_is_is_looked_for_once_unless_it_may_have_become_anothers() {
    let mut zone = Zone::under(ASKING_PASSES);
    let asked = asks(Direction::Outbound, TCP);
    zone.seen.socket = 5;
    let looks = |zone: &mut Zone, packet| {
        let before = zone.owners_noted;
        zone.judge(packet);
        zone.owners_noted - before
    };
    assert_eq!(looks(&mut zone, asked), 1);
    for packet in [answers(&asked), goes_on(&asked)] {
        assert_eq!(looks(&mut zone, packet), 0, "{packet:?}");
    }
    zone.renew(ASKING_PASSES);
    assert_eq!(looks(&mut zone, goes_on(&asked)), 0, "judged again");
    assert_eq!(looks(&mut zone, asked), 1, "it begins anew");
    zone.seen.socket = 6;
    assert_eq!(looks(&mut zone, goes_on(&asked)), 1, "another socket");
    // An answer shows it where the beginning did not; what its originator sends does not.
    forget_owner(&mut zone, &asked);
    assert_eq!(looks(&mut zone, goes_on(&asked)), 0);
    assert_eq!(looks(&mut zone, answers(&asked)), 1);
    // A datagram that is judged again may be another's by the same socket.
    let asked = asks(Direction::Outbound, UDP);
    assert_eq!(looks(&mut zone, asked), 1);
    assert_eq!(looks(&mut zone, asked), 0);
    zone.renew(ASKING_PASSES);
    assert_eq!(looks(&mut zone, asked), 1);
}

#[test]
fn a_connection_counts_against_the_user_the_network_or_who_is_behind_a_device() {
    let owner_of = |zone: &mut Zone, direction, protocol| {
        let asked = asks(direction, protocol);
        zone.judge(asked);
        zone.entry(&asked).expect("it is remembered").quota_owner
    };
    let mut zone = Zone::under(ASKING_PASSES);
    (
        zone.seen.user,
        zone.seen.first_device,
        zone.seen.last_device,
    ) = (1000, 3, 4);
    assert_eq!(
        owner_of(&mut zone, Direction::Outbound, UDP),
        quota::of_user(1000)
    );
    let there = 0xFFFF_C000_0201;
    let network = quota::of_network(4, [0, there], SEED);
    assert_eq!(owner_of(&mut zone, Direction::Inbound, UDP), network);
    let guest = quota::of_forwarded(3, [0, 0xFFFF_AC11_0002], SEED);
    assert_eq!(owner_of(&mut zone, Direction::Forward, UDP), guest);
    let six = u128::from_be_bytes(of_v6([192, 0, 2, 1]));
    let network = quota::of_network(6, [(six >> 64) as u64, six as u64], SEED);
    assert_eq!(owner_of(&mut zone, Direction::Inbound, 58), network);
}

#[test]
fn anothers_datagram_between_the_same_ends_begins_a_connection_of_his() {
    let (his, others) = (quota::of_user(1000), quota::of_user(1001));
    for (protocol, flags, owner_after) in [
        (UDP, 0, others),
        (SCTP, 0, others),
        (TCP, SYN, others),
        // A socket that is closing has no user any more: what goes on stays with who began it.
        (TCP, ACK, his),
        (TCP, ACK | 8, his),
    ] {
        let mut zone = Zone::under(ASKING_PASSES);
        let asked = asks(Direction::Outbound, protocol);
        (zone.seen.user, zone.seen.socket) = (1000, 5);
        for packet in [asked, answers(&asked), goes_on(&asked)] {
            zone.judge(packet);
        }
        (zone.seen.user, zone.seen.socket) = (1001, 6);
        zone.judge(flagged(asked, flags));
        let entry = zone.entry(&asked).expect("one of both");
        assert_eq!(entry.quota_owner, owner_after, "{protocol} {flags}");
        let lasts = entry.state & FlowEntry::ASSURED != 0;
        assert_eq!(lasts, owner_after == his, "{protocol} {flags}");
        assert_eq!(entry.socket, 6);
    }
}

fn as_context(known: &mut Known) -> &mut impl PacketContext<Slices<'static>> {
    known
}

#[test]
fn a_capture_says_when_by_which_device_and_who_if_somebody_told_and_nothing_else() {
    let local = PacketMeta {
        user: 1000,
        ..PacketMeta::UNKNOWN
    };
    let mut known = Known {
        now_ns: 4 * SECOND,
        local,
        device: 5,
        first_device: 6,
        last_device: 7,
        is_guests: true,
        goes_to_everyone: true,
        quoted: None,
    };
    let context = as_context(&mut known);
    assert_eq!((context.now_ns(), context.user()), (4 * SECOND, 1000));
    assert_eq!(
        (
            context.device(),
            context.first_device(),
            context.last_device()
        ),
        (5, 6, 7)
    );
    assert!(context.is_guests() && context.goes_to_everyone());
    assert_eq!((context.socket(), context.receiver()), (0, 0));
    assert_eq!((context.seed(), context.length()), (0, 0));
    assert!(!context.is_anothers(&FlowEntry::NEW));
    let error = PacketHeaders::default();
    let mut key = key_of(&error);
    assert!(!context.quoted(&error, &mut key));
    let mut found = PacketMeta::UNKNOWN;
    context.find(&error, &mut found);
    assert_eq!(found, local);
    let quoted = key_of(&asks(Direction::Outbound, UDP));
    let mut other = Known {
        quoted: Some(quoted),
        ..Known::default()
    };
    let context = as_context(&mut other);
    assert!(!context.is_guests() && !context.goes_to_everyone());
    assert!(context.quoted(&error, &mut key));
    assert_eq!(key, quoted);
    let mut kernel = Known {
        local: PacketMeta {
            program: PacketMeta::KERNEL,
            ..local
        },
        ..Known::default()
    };
    let kernel = as_context(&mut kernel);
    assert_eq!(kernel.user(), quota::KERNEL);
    let mut nobody = Known::default();
    assert_eq!(as_context(&mut nobody).user(), NO_USER);
}

/// Context of a packet, and flow table, that tell no more than they have to.
struct Least;

impl PacketContext<Slices<'static>> for Least {
    fn now_ns(&self) -> u64 {
        0
    }

    fn socket(&mut self) -> u64 {
        0
    }

    fn user(&mut self) -> u32 {
        NO_USER
    }

    fn quoted(&mut self, _: &PacketHeaders, _: &mut FlowKey) -> bool {
        false
    }

    fn find(&mut self, _: &PacketHeaders, _: &mut PacketMeta) {}
}

impl Connections for Least {
    fn find(&mut self, _: &FlowKey) -> Option<&mut FlowEntry> {
        None
    }

    fn insert(&mut self, _: &FlowKey, _: u32, _: u8) -> Option<&mut FlowEntry> {
        None
    }

    fn remove(&mut self, _: &FlowKey) {}

    fn retire(&mut self, _: &FlowKey) {}

    fn retired(&mut self, _: &FlowKey) -> Option<Retired> {
        None
    }
}

#[test]
fn where_nothing_is_told_of_devices_guests_and_room_there_are_none_of_them_and_enough_of_that() {
    let mut least = Least;
    let devices = (least.device(), least.first_device(), least.last_device());
    assert_eq!(devices, (0, 0, 0));
    assert!(!least.is_guests() && !least.goes_to_everyone());
    assert!(!least.is_short(quota::of_user(1000), SECOND));
    assert_eq!((least.seed(), least.length(), least.receiver()), (0, 0, 0));
    let packet = asks(Direction::Inbound, UDP);
    let mut entry = FlowEntry::NEW;
    least.note_owner(&packet, &mut entry);
    least.assure(&key_of(&packet));
    assert_eq!(entry, FlowEntry::NEW);
    assert!(!least.is_anothers(&entry) && !least.is_astray(&packet, &entry));
}
