//! The conversations of a dry run. What is remembered, and what passes because of it, `engine` decides, as in the driver.
//!
//! The driver forgets silent conversations when its service comes round; here they are forgotten on time.

use contract::firewall::{FlowEntry, FlowKey, MAX_FLOWS};
use contract::packet::Decision;
use engine::conversation::{Conversations, decide, longest_silence_ns};
use engine::{Parsed, Slices};
use std::collections::HashMap;

/// The conversations of one dry run.
#[derive(Default)]
pub struct Remembered {
    known: HashMap<FlowKey, FlowEntry>,
    /// Allowed packets whose conversation found no room.
    pub full: u64,
    /// The time of the packet that is being judged.
    now_ns: u64,
}

impl Remembered {
    /// Judges a packet that was seen at `now_ns`, as the Linux driver does.
    pub fn decide(&mut self, packet: &Parsed, rules: &Slices<'_>, now_ns: u64) -> Decision {
        self.now_ns = now_ns;
        decide(packet, rules, self, now_ns)
    }

    fn has_room(&mut self) -> bool {
        if self.known.len() >= MAX_FLOWS {
            let now_ns = self.now_ns;
            self.known.retain(|key, entry| !silent(key, entry, now_ns));
        }
        self.known.len() < MAX_FLOWS
    }
}

impl Conversations for Remembered {
    fn find(&mut self, key: &FlowKey) -> Option<&mut FlowEntry> {
        if self.known.get(key).is_some_and(|entry| silent(key, entry, self.now_ns)) {
            self.forget(key);
        }
        self.known.get_mut(key)
    }

    fn begin(&mut self, key: &FlowKey, entry: &FlowEntry) {
        if self.has_room() {
            self.known.insert(*key, *entry);
        } else {
            self.full += 1;
        }
    }

    fn forget(&mut self, key: &FlowKey) {
        self.known.remove(key);
    }
}

fn silent(key: &FlowKey, entry: &FlowEntry, now_ns: u64) -> bool {
    now_ns.saturating_sub(entry.stamp_ns) > longest_silence_ns(key.protocol)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

    use super::*;
    use crate::flow::Question;
    use contract::packet::{NO_RULE, Reason, Verdict};

    const SECOND: u64 = 1_000_000_000;

    /// A dry run under rules that let UDP and TCP out, and nothing else.
    struct Run {
        rules: rules::Table,
        conversations: Remembered,
    }

    impl Run {
        fn new() -> Self {
            let text = "[default]\ninbound = 'block'\noutbound = 'block'\n\
                        [[rule]]\nid = 'out'\naction = 'allow'\ndirection = 'out'\nprotocol = ['tcp', 'udp', 'icmp']\n";
            Self { rules: rules::parse("r", text).unwrap().compile(1), conversations: Remembered::default() }
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
    fn a_silent_conversation_is_forgotten_and_a_reply_keeps_it() {
        let mut run = Run::new();
        run.at(0, ASKED);
        assert_eq!(run.at(180, ANSWERED), REPLY);
        assert_eq!(run.at(360, ANSWERED), REPLY);
        assert_eq!(run.at(541, ANSWERED), REFUSED);
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
