//! The conversations of a dry run. What is remembered, and what passes because of it, `engine` decides, as in the driver.
//!
//! The driver forgets silent conversations when its service comes round; here they are forgotten on time.

use contract::firewall::{FlowEntry, FlowKey, MAX_ARRIVALS, MAX_CLOSED, MAX_FLOWS};
use contract::packet::{Decision, Direction};
use engine::conversation::{Conversations, Known, decide, longest_silence_ns};
use engine::{Parsed, Slices};
use std::collections::{HashMap, VecDeque};

/// The conversations of one dry run.
#[derive(Default)]
pub struct Remembered {
    known: HashMap<FlowKey, FlowEntry>,
    /// How many of them began outside.
    arrivals: usize,
    closed: HashMap<FlowKey, FlowEntry>,
    /// The closed ones, the oldest first.
    by_age: VecDeque<FlowKey>,
    /// Allowed packets whose conversation found no room.
    pub full: u64,
    /// The time of the packet that is being judged.
    now_ns: u64,
}

impl Remembered {
    /// Judges a packet that was seen at `now_ns`, as the Linux driver does.
    pub fn decide(&mut self, packet: &Parsed, rules: &Slices<'_>, now_ns: u64) -> Decision {
        self.now_ns = now_ns;
        let mut packet = *packet;
        decide(&mut packet, &mut Known { now_ns, ..Known::default() }, rules, self)
    }

    fn has_room(&mut self, arrives: bool) -> bool {
        if !self.has_room_now(arrives) {
            let now_ns = self.now_ns;
            self.known.retain(|key, entry| !silent(key, entry, now_ns));
            self.arrivals = self.known.values().filter(|entry| arrived(entry.direction)).count();
        }
        self.has_room_now(arrives)
    }

    /// Whoever floods the zone leaves room for what it begins itself.
    fn has_room_now(&self, arrives: bool) -> bool {
        self.known.len() < MAX_FLOWS && !(arrives && self.arrivals >= MAX_ARRIVALS)
    }
}

impl Conversations for Remembered {
    fn find(&mut self, key: &FlowKey) -> Option<&mut FlowEntry> {
        if let Some(entry) = self.known.get(key).filter(|entry| silent(key, entry, self.now_ns)) {
            self.forget(key, entry.direction);
        }
        self.known.get_mut(key)
    }

    fn begin(&mut self, key: &FlowKey, entry: &FlowEntry) {
        let arrives = arrived(entry.direction);
        if self.has_room(arrives) {
            self.known.insert(*key, *entry);
            self.arrivals += usize::from(arrives);
        } else {
            self.full += 1;
        }
    }

    fn forget(&mut self, key: &FlowKey, direction: u8) {
        if self.known.remove(key).is_some() && arrived(direction) {
            self.arrivals = self.arrivals.saturating_sub(1);
        }
    }

    fn close(&mut self, key: &FlowKey) {
        let Some(entry) = self.known.get(key).copied() else { return };
        self.forget(key, entry.direction);
        if self.closed.insert(*key, entry).is_none() {
            self.by_age.push_back(*key);
        }
        if self.closed.len() > MAX_CLOSED
            && let Some(oldest) = self.by_age.pop_front()
        {
            self.closed.remove(&oldest);
        }
    }

    fn closed(&mut self, key: &FlowKey) -> Option<&FlowEntry> {
        self.closed.get(key)
    }
}

/// Whether what began in this direction began outside.
fn arrived(direction: u8) -> bool {
    direction == Direction::Inbound as u8
}

fn silent(key: &FlowKey, entry: &FlowEntry, now_ns: u64) -> bool {
    now_ns.saturating_sub(entry.stamp_ns) > longest_silence_ns(key.protocol, entry)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

    use super::*;
    use crate::flow::Question;
    use contract::packet::{NO_RULE, Reason, Verdict};

    const SECOND: u64 = 1_000_000_000;

    /// A dry run under rules that let UDP and TCP out, and one UDP port in.
    struct Run {
        rules: rules::Table,
        conversations: Remembered,
    }

    impl Run {
        fn new() -> Self {
            let text = "[default]\ninbound = 'block'\noutbound = 'block'\n\
                        [[rule]]\nid = 'out'\naction = 'allow'\ndirection = 'out'\nprotocol = ['tcp', 'udp', 'icmp']\n\
                        [[rule]]\nid = 'in'\naction = 'allow'\ndirection = 'in'\nprotocol = 'udp'\nports = 7\n";
            Self {
                rules: rules::parse("r", text, &rules::Nowhere).unwrap().compile(1),
                conversations: Remembered::default(),
            }
        }

        fn at(&mut self, seconds: u64, packet: &str) -> (bool, Reason) {
            self.with_flags(seconds, packet, 0)
        }

        fn with_flags(&mut self, seconds: u64, packet: &str, flags: u8) -> (bool, Reason) {
            let mut packet = packet.parse::<Question>().unwrap().0;
            packet.flow.tcp_flags = flags;
            let decision = self.conversations.decide(&packet, &self.rules.slices(), seconds * SECOND);
            (decision.verdict == Verdict::Allow as u8, Reason::try_from(decision.reason).unwrap())
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
            let decision = run.conversations.decide(&packet, &run.rules.slices(), SECOND);
            assert_eq!((decision.verdict, decision.known), (Verdict::Allow as u8, known));
        }
    }

    #[test]
    fn a_silent_conversation_is_forgotten_and_a_reply_keeps_it() {
        let mut run = Run::new();
        run.at(0, ASKED);
        assert_eq!(run.at(60, ANSWERED), REPLY);
        assert_eq!(run.at(240, ANSWERED), REPLY);
        assert_eq!(run.at(421, ANSWERED), REFUSED);
        // Whoever was never answered is waited for no longer than a minute.
        run.at(500, ASKED);
        assert_eq!(run.at(561, ANSWERED), REFUSED);
    }

    #[test]
    fn the_last_packets_of_an_ended_conversation_may_be_sent_again() {
        let (ack, fin) = (16, 17);
        let (out, back) = ("out tcp 10.0.0.2:5000 -> 10.0.0.1:80", "in tcp 10.0.0.1:80 -> 10.0.0.2:5000");
        let mut run = Run::new();
        run.with_flags(0, out, 2);
        for (packet, flags) in [(back, 18), (out, ack), (out, fin), (back, fin), (out, ack)] {
            assert!(run.with_flags(1, packet, flags).0);
        }
        assert_eq!((run.conversations.known.len(), run.conversations.closed.len()), (0, 1));
        assert_eq!(run.with_flags(100, back, fin), REPLY);
        assert_eq!(run.with_flags(122, back, fin), REFUSED);
    }

    #[test]
    fn a_flood_from_outside_leaves_room_for_what_begins_inside() {
        let mut run = Run::new();
        let mut packet = "in udp 10.0.0.1:5000 -> 10.0.0.2:7".parse::<Question>().unwrap().0;
        for number in 0..MAX_ARRIVALS as u32 + 5 {
            packet.flow.source[12..].copy_from_slice(&number.to_be_bytes());
            run.conversations.decide(&packet, &run.rules.slices(), 0);
        }
        assert_eq!((run.conversations.full, run.conversations.arrivals), (5, MAX_ARRIVALS));
        assert_eq!((run.at(1, ASKED).0, run.at(1, ANSWERED)), (true, REPLY));
        // Once they are silent, others may arrive.
        run.conversations.decide(&packet, &run.rules.slices(), 62 * SECOND);
        assert_eq!((run.conversations.full, run.conversations.arrivals), (5, 1));
    }

    #[test]
    fn a_first_syn_is_no_reply_and_an_end_begins_nothing() {
        let (syn, ack, fin) = (2, 16, 17);
        let (out, back) = ("out tcp 10.0.0.2:5000 -> 10.0.0.1:80", "in tcp 10.0.0.1:80 -> 10.0.0.2:5000");
        let mut run = Run::new();
        run.with_flags(0, out, fin);
        assert_eq!(run.with_flags(1, back, ack), REFUSED);
        run.with_flags(2, out, syn);
        assert_eq!(run.with_flags(3, back, syn | ack), REPLY);
        assert_eq!(run.with_flags(4, back, syn), REFUSED);
    }

    #[test]
    fn echo_is_answered_by_echo_reply_alone() {
        let mut run = Run::new();
        run.at(0, "out icmp 10.0.0.2 -> 10.0.0.1 type echo-request");
        assert_eq!(run.at(1, "in icmp 10.0.0.1 -> 10.0.0.2 type echo-request"), REFUSED);
        assert_eq!(run.at(1, "in icmp 10.0.0.1 -> 10.0.0.2 type echo-reply"), REPLY);
    }

    #[test]
    fn a_full_table_remembers_nothing_new_until_something_falls_silent() {
        let mut run = Run::new();
        let mut packet = ASKED.parse::<Question>().unwrap().0;
        for number in 0..MAX_FLOWS as u32 {
            packet.flow.source[12..].copy_from_slice(&number.to_be_bytes());
            let decision = run.conversations.decide(&packet, &run.rules.slices(), 0);
            assert_ne!(decision.rule, NO_RULE);
        }
        assert_eq!(run.conversations.full, 0);
        run.at(1, ASKED);
        assert_eq!((run.conversations.full, run.at(1, ANSWERED)), (1, REFUSED));
        run.at(181, ASKED);
        assert_eq!((run.conversations.full, run.at(181, ANSWERED)), (1, REPLY));
    }
}
