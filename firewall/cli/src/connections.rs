//! The connections of a dry run. What is remembered, and what passes because of it, `engine` decides, as in the driver.
//!
//! The driver forgets silent connections when its service comes round; here they are forgotten on time.

use engine::buyer::has_room;
use engine::connection::{Connections, Known, decide, is_silent, key_of};
use engine::{Parsed, Tables, is_error, may_keep_the_link, quoted};
use firewall_abi::firewall::{
    FlowEntry, FlowKey, MAX_CLOSED, MAX_UNCONFIRMED_ARRIVALS, RING, RINGS,
};
use firewall_abi::packet::{Decision, Direction, PacketMeta};
use std::collections::{HashMap, VecDeque};

/// The connections of one dry run.
#[derive(Default)]
pub struct Remembered {
    /// Those that are confirmed.
    known: HashMap<FlowKey, FlowEntry>,
    /// How many of them there are of each buyer.
    bought: HashMap<u32, u32>,
    /// How many of them began outside.
    arrivals: u32,
    /// Those that are not, and began outside.
    arriving: Aging<MAX_UNCONFIRMED_ARRIVALS>,
    /// The others that are not, of each buyer; those who come late share the last ones.
    pending: [Aging<RING>; RINGS],
    /// Which of them each buyer has.
    rings: HashMap<u32, usize>,
    /// Those that both ends have ended.
    closed: Aging<MAX_CLOSED>,
    /// How often a confirmed connection found no room among those that make none for new ones.
    pub full: u64,
    /// Who is at the zone's end of the packet that is being judged, as far as it is known.
    pub local: PacketMeta,
    /// Whether that goes to everyone on its link, as far as it is known.
    pub goes_to_everyone: bool,
    /// The time of the packet that is being judged.
    now_ns: u64,
}

impl Remembered {
    /// Judges a packet that was seen at `now_ns`, as the Linux driver does. `bytes`: what there is of it.
    pub fn decide<T: Tables>(
        &mut self,
        packet: &Parsed,
        bytes: &[u8],
        rules: &T,
        now_ns: u64,
    ) -> Decision {
        self.now_ns = now_ns;
        let mut packet = *packet;
        let mut key = key_of(&packet.flow);
        let mut local = self.local;
        // A capture does not show who sends; of this it is the kernel.
        if may_keep_the_link(&packet.flow) && local.program == [0; 2] {
            local.program = PacketMeta::KERNEL;
        }
        let quoted =
            (is_error(&packet.flow) && quoted(bytes, &packet.flow, &mut key)).then_some(key);
        decide(
            &mut packet,
            &mut Known {
                now_ns,
                quoted,
                local,
                device: device_of(&self.local),
                first_device: number_of(self.local.interface),
                goes_to_everyone: self.goes_to_everyone,
            },
            rules,
            self,
        )
    }

    /// Whether there is lasting room for another one like this.
    fn has_room(&mut self, entry: &FlowEntry) -> bool {
        if !self.has_room_now(entry) {
            let now_ns = self.now_ns;
            let silent: Vec<FlowKey> = self
                .known
                .iter()
                .filter(|(key, entry)| is_silent(key, entry, now_ns))
                .map(|(key, _)| *key)
                .collect();
            for key in silent {
                self.forget(&key);
            }
        }
        self.has_room_now(entry)
    }

    fn has_room_now(&self, entry: &FlowEntry) -> bool {
        let bought = self.bought.get(&entry.buyer).copied().unwrap_or(0);
        let arrivals = arrived(entry.direction).then_some(self.arrivals);
        has_room(bought, self.known.len() as u32, arrivals)
    }

    /// Where those stand that are not confirmed, of one like this.
    fn unconfirmed(&mut self, entry: &FlowEntry) -> &mut HashMap<FlowKey, FlowEntry> {
        if arrived(entry.direction) {
            &mut self.arriving.entries
        } else {
            &mut self.ring_of(entry.buyer).entries
        }
    }

    fn ring_of(&mut self, buyer: u32) -> &mut Aging<RING> {
        let next = self.rings.len().min(RINGS - 1);
        let ring = *self.rings.entry(buyer).or_insert(next);
        &mut self.pending[ring]
    }
}

impl Connections for Remembered {
    fn find(&mut self, key: &FlowKey) -> Option<&mut FlowEntry> {
        let Self {
            known,
            arriving,
            pending,
            ..
        } = self;
        known
            .get_mut(key)
            .or_else(|| {
                pending
                    .iter_mut()
                    .find_map(|ring| ring.entries.get_mut(key))
            })
            .or_else(|| arriving.entries.get_mut(key))
    }

    fn begin(&mut self, key: &FlowKey, buyer: u32, direction: u8) -> Option<&mut FlowEntry> {
        let entry = FlowEntry {
            buyer,
            direction,
            ..FlowEntry::NEW
        };
        if arrived(direction) {
            self.arriving.put(key, &entry);
            self.arriving.entries.get_mut(key)
        } else {
            let ring = self.ring_of(buyer);
            ring.put(key, &entry);
            ring.entries.get_mut(key)
        }
    }

    fn keep(&mut self, key: &FlowKey) {
        let Some(entry) = self.find(key).copied() else {
            return;
        };
        if !self.has_room(&entry) {
            self.full += 1;
            return;
        }
        self.unconfirmed(&entry).remove(key);
        let state = entry.state | FlowEntry::KEPT;
        self.known.insert(*key, FlowEntry { state, ..entry });
        *self.bought.entry(entry.buyer).or_default() += 1;
        self.arrivals += u32::from(arrived(entry.direction));
    }

    fn forget(&mut self, key: &FlowKey) {
        if let Some(entry) = self.known.remove(key) {
            let bought = self.bought.entry(entry.buyer).or_default();
            *bought = bought.saturating_sub(1);
            let arrivals = u32::from(arrived(entry.direction));
            self.arrivals = self.arrivals.saturating_sub(arrivals);
        } else if let Some(entry) = self.find(key).copied() {
            self.unconfirmed(&entry).remove(key);
        }
    }

    fn close(&mut self, key: &FlowKey) {
        let Some(entry) = self.find(key).copied() else {
            return;
        };
        self.forget(key);
        self.closed.put(key, &entry);
    }

    fn closed(&mut self, key: &FlowKey) -> Option<&FlowEntry> {
        self.closed.entries.get(key)
    }
}

/// A table in which the oldest entry makes room for the next.
#[derive(Default)]
struct Aging<const MOST: usize> {
    entries: HashMap<FlowKey, FlowEntry>,
    /// The oldest first, each with its place; some of them may be gone.
    by_age: VecDeque<(FlowKey, u32)>,
    /// How many were put here, which makes their places.
    turns: u32,
}

impl<const MOST: usize> Aging<MOST> {
    fn put(&mut self, key: &FlowKey, entry: &FlowEntry) {
        let place = self.turns;
        self.turns = place.wrapping_add(1);
        self.entries.insert(*key, FlowEntry { place, ..*entry });
        self.by_age.push_back((*key, place));
        while self.by_age.len() > MOST
            && let Some((oldest, place)) = self.by_age.pop_front()
        {
            // The same ends may have begun another one.
            if self
                .entries
                .get(&oldest)
                .is_some_and(|entry| entry.place == place)
            {
                self.entries.remove(&oldest);
            }
        }
    }
}

/// Whether what began in this direction began outside.
fn arrived(direction: u8) -> bool {
    direction == Direction::Inbound as u8
}

/// A number for the device that a packet is seen on; of what is forwarded, one for both that is the same for replies.
fn device_of(local: &PacketMeta) -> u32 {
    let [one, other] = [local.interface, local.out_interface].map(number_of);
    one.max(other).rotate_left(16) ^ one.min(other)
}

/// A number for a device of this name.
fn number_of([first, second]: [u64; 2]) -> u32 {
    let mixed = first ^ second.rotate_left(7);
    (mixed ^ mixed >> 32) as u32
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

    use super::*;
    use crate::flow::Question;
    use firewall_abi::firewall::{MAX_CONFIRMED_ARRIVALS, MAX_FLOWS};
    use firewall_abi::packet::{Reason, Verdict, name_words};

    const SECOND: u64 = 1_000_000_000;
    const FIN: u8 = 1;
    const SYN: u8 = 2;
    const RST: u8 = 4;
    const ACK: u8 = 16;

    /// A dry run under rules that let UDP and TCP out, and one UDP port in.
    struct Run {
        rules: rules::Table,
        connections: Remembered,
    }

    impl Run {
        fn new() -> Self {
            Self::under(
                "[default]\ninbound = 'block'\noutbound = 'block'\n\
                        [[rule]]\nid = 'out'\naction = 'allow'\ndirection = 'out'\nprotocol = ['tcp', 'udp', 'icmp']\n\
                        [[rule]]\nid = 'in'\naction = 'allow'\ndirection = 'in'\nprotocol = 'udp'\nports = 7\n",
            )
        }

        fn under(text: &str) -> Self {
            Self {
                rules: rules::parse("r", text, &rules::NoResolver)
                    .unwrap()
                    .compile(1),
                connections: Remembered::default(),
            }
        }

        fn at(&mut self, seconds: u64, packet: &str) -> (bool, Reason) {
            self.with_flags(seconds, packet, 0)
        }

        fn with_flags(&mut self, seconds: u64, packet: &str, flags: u8) -> (bool, Reason) {
            let mut packet = packet.parse::<Question>().unwrap().0;
            packet.flow.tcp_flags = flags;
            let decision =
                self.connections
                    .decide(&packet, &[], &self.rules.slices(), seconds * SECOND);
            (
                decision.verdict == Verdict::Allow as u8,
                Reason::try_from(decision.reason).unwrap(),
            )
        }
    }

    const ASKED: &str = "out udp 10.0.0.2:5000 -> 10.0.0.1:53";
    const ANSWERED: &str = "in udp 10.0.0.1:53 -> 10.0.0.2:5000";
    const REFUSED: (bool, Reason) = (false, Reason::Default);
    const REPLY: (bool, Reason) = (true, Reason::Reply);

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
            let packet = packet.parse::<Question>().unwrap().0;
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
        let Remembered { known, closed, .. } = &run.connections;
        assert_eq!((known.len(), closed.entries.len()), (0, 1));
        assert_eq!(run.with_flags(100, back, fin), REPLY);
        assert_eq!(run.with_flags(122, back, fin), REFUSED);
    }

    #[test]
    fn a_flood_of_beginnings_makes_nothing_fail_that_begins_beside_it() {
        let mut run = Run::under(
            "[default]\ninbound = 'block'\noutbound = 'block'\n\
             [[rule]]\nid = 'out'\naction = 'allow'\ndirection = 'out'\nprotocol = 'udp'\n\
             [[rule]]\nid = 'in'\naction = 'allow'\ndirection = 'in'\nprotocol = ['tcp', 'udp']\nports = 22\n",
        );
        run.at(0, ASKED);
        let mut packet = "in tcp 10.0.0.1:5000 -> 10.0.0.2:22"
            .parse::<Question>()
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
        // What began before the flood is served by the rules, and takes part again as soon as its initiator goes on.
        let (comes, goes) = (
            "in tcp 0.0.0.0:5000 -> 10.0.0.2:22",
            "out tcp 10.0.0.2:22 -> 0.0.0.0:5000",
        );
        assert_eq!(run.with_flags(1, goes, SYN | ACK), REPLY);
        assert_eq!(run.with_flags(1, comes, ACK), (true, Reason::Rule));
        assert_eq!(run.with_flags(1, goes, ACK), REPLY);
        assert_eq!(run.with_flags(1, comes, ACK), (true, Reason::Rule));
        assert_eq!(run.connections.known.len(), 1, "it makes room for none");
        // What the rules let nobody begin is answered by nobody.
        let other = goes.replace(":22 ", ":23 ");
        assert_eq!(run.with_flags(1, &other, SYN | ACK), REFUSED);
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
            let mut packet = packet.parse::<Question>().unwrap().0;
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

    /// An ICMP error of this type, about a UDP packet from one machine (…2) to another (…1) between these ports.
    fn error(kind: u8, six: bool, ports: (u16, u16), direction: Direction) -> (Parsed, Vec<u8>) {
        let header = |protocol: u8, payload: u8, from: u8, to: u8| -> Vec<u8> {
            if six {
                let address = |last| [&[0xFD][..], &[0; 14], &[last]].concat();
                [
                    &[0x60, 0, 0, 0, 0, payload, protocol, 64][..],
                    &address(from),
                    &address(to),
                ]
                .concat()
            } else {
                let start = [0x45, 0, 0, 20 + payload, 0, 0, 0, 0, 64, protocol, 0, 0];
                [&start[..], &[10, 0, 0, from], &[10, 0, 0, to]].concat()
            }
        };
        let (from, to) = (2, 1);
        let quoted = [
            header(17, 12, from, to),
            [
                ports.0.to_be_bytes(),
                ports.1.to_be_bytes(),
                [0, 12],
                [0; 2],
            ]
            .concat(),
        ];
        let icmp = [&[kind, 0, 0, 0, 0, 0, 0, 0][..], &quoted.concat()].concat();
        let bytes = [
            header(if six { 58 } else { 1 }, icmp.len() as u8, 9, from),
            icmp,
        ]
        .concat();
        (
            engine::parse(&bytes[..], bytes.len() as u32, direction),
            bytes,
        )
    }

    #[test]
    fn an_error_about_a_conversation_passes_with_it_and_changes_nothing_in_it() {
        let mut run = Run::new();
        let judge = |run: &mut Run, (packet, bytes): &(Parsed, Vec<u8>)| {
            let decision = run
                .connections
                .decide(packet, bytes, &run.rules.slices(), 10 * SECOND);
            (
                decision.verdict == Verdict::Allow as u8,
                Reason::try_from(decision.reason).unwrap(),
            )
        };
        let inbound = Direction::Inbound;
        for (six, errors, others) in [
            (false, &[3, 11, 12][..], &[5, 13][..]),
            (true, &[1, 2, 3, 4], &[137, 128]),
        ] {
            let ends = if six {
                ("[fd00::2]:5000", "[fd00::1]:53")
            } else {
                ("10.0.0.2:5000", "10.0.0.1:53")
            };
            for kind in errors {
                let about_it = error(*kind, six, (5000, 53), inbound);
                assert_eq!(
                    judge(&mut run, &about_it),
                    REFUSED,
                    "nobody has begun it: {kind}"
                );
            }
            run.at(0, &format!("out udp {} -> {}", ends.0, ends.1));
            for kind in errors {
                let about_it = error(*kind, six, (5000, 53), inbound);
                assert_eq!(judge(&mut run, &about_it), REPLY, "{kind}");
                for cut in 1..about_it.1.len() {
                    let cut = (about_it.0, about_it.1[..about_it.1.len() - cut].to_vec());
                    let quoted_enough = cut.1.len() >= about_it.1.len() - 4;
                    assert_eq!(
                        judge(&mut run, &cut) == REPLY,
                        quoted_enough,
                        "{kind}, {} bytes",
                        cut.1.len()
                    );
                }
                // To somebody else than who sent what it quotes, or longer than errors are.
                let mut elsewhere = about_it.clone();
                elsewhere.0.flow.destination[15] = 77;
                assert_eq!(judge(&mut run, &elsewhere), REFUSED, "{kind}");
                let mut long = about_it.clone();
                let at = if six { 4 } else { 2 };
                let most: u16 = if six { 1280 - 40 } else { 576 };
                for (length, expected) in [(most, REPLY), (most + 1, REFUSED)] {
                    long.1[at..at + 2].copy_from_slice(&length.to_be_bytes());
                    assert_eq!(judge(&mut run, &long), expected, "{kind} {length}");
                }
                for ports in [(5001, 53), (5000, 54), (53, 5000)] {
                    assert_eq!(judge(&mut run, &error(*kind, six, ports, inbound)), REFUSED);
                }
            }
            for kind in others {
                assert_eq!(
                    judge(&mut run, &error(*kind, six, (5000, 53), inbound)),
                    REFUSED,
                    "{kind}"
                );
            }
            // It was not answered by any of this.
            assert_eq!(
                run.at(31, &format!("in udp {} -> {}", ends.1, ends.0)),
                REFUSED
            );
            // What begins outside may be answered by an error from inside.
            let begins = if six {
                "in udp [fd00::2]:5000 -> [fd00::1]:7"
            } else {
                "in udp 10.0.0.2:5000 -> 10.0.0.1:7"
            };
            let answer = error(errors[0], six, (5000, 7), Direction::Outbound);
            assert_ne!(judge(&mut run, &answer), REPLY);
            assert!(run.at(0, begins).0);
            assert_eq!(judge(&mut run, &answer), REPLY);
        }
    }

    /// What somebody sends, and gets, and sends.
    fn begin_and_go_on(run: &mut Run, user: u32, number: u32) {
        run.connections.local.user = user;
        for packet in [ASKED, ANSWERED, ASKED] {
            let mut packet = packet.parse::<Question>().unwrap().0;
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
        assert_eq!(run.connections.bought.get(&1000), Some(&HALF));
        assert_eq!(run.connections.full, 10);
        // What was not kept still goes on.
        let last = "in udp 0.128.9.0:53 -> 10.0.0.2:5000";
        assert_eq!(run.at(1, last), REPLY);
        run.connections.local.user = 1001;
        begin_and_go_on(&mut run, 1001, 1);
        assert_eq!(run.connections.bought.get(&1001), Some(&1));
        // Another one's that is not confirmed yet stays, whatever he begins.
        run.connections.local.user = 1001;
        assert_eq!(
            run.at(1, "out udp 10.0.0.2:7000 -> 10.9.9.9:53"),
            (true, Reason::Rule)
        );
        run.connections.local.user = 1000;
        for number in 0..2 * RING as u32 {
            let mut packet = ASKED.parse::<Question>().unwrap().0;
            packet.flow.destination[12..].copy_from_slice(&(number | 0xC000_0000).to_be_bytes());
            run.connections
                .decide(&packet, &[], &run.rules.slices(), SECOND);
        }
        assert_eq!(run.at(2, "in udp 10.9.9.9:53 -> 10.0.0.2:7000"), REPLY);
        // What is forgotten is counted.
        let keys: Vec<FlowKey> = run.connections.known.keys().copied().collect();
        for key in keys {
            run.connections.forget(&key);
        }
        assert!(run.connections.bought.values().all(|bought| *bought == 0));
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
            run.connections.known.len()
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
        let mut packet = ASKED.parse::<Question>().unwrap().0;
        for number in 0..2 * RING as u32 {
            packet.flow.source[12..].copy_from_slice(&number.to_be_bytes());
            run.connections.decide(&packet, &[], &run.rules.slices(), 0);
        }
        let pending = run.connections.pending.iter();
        assert_eq!(pending.map(|ring| ring.entries.len()).sum::<usize>(), RING);
        assert_eq!(run.at(1, ANSWERED), REPLY);
        assert_eq!(run.connections.full, 0);
    }
}
