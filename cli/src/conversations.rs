//! What the driver does with a packet, replies included, on tables of our own.
//!
//! Step by step as in the Linux driver: a reply to what was allowed passes, the rules decide about the rest, and an allowed
//! packet that can begin a conversation is remembered. The driver forgets silent conversations when its service comes
//! round, here they are forgotten on time.

use contract::firewall::{FlowEntry, FlowKey, MAX_FLOWS};
use contract::packet::{Decision, Reason, Verdict};
use engine::conversation::{key, longest_silence_ns, may_answer, may_begin};
use engine::{Parsed, Shape, Slices, classify};
use std::collections::HashMap;

/// The conversations of one dry run under one generation of rules.
#[derive(Default)]
pub struct Conversations {
    known: HashMap<FlowKey, FlowEntry>,
    /// Allowed packets whose conversation found no room.
    pub full: u64,
}

impl Conversations {
    /// Judges a packet that was seen at `now_ns`.
    pub fn decide(&mut self, packet: &Parsed, rules: &Slices<'_>, now_ns: u64) -> Decision {
        let whole = packet.shape == Shape::Whole;
        if whole
            && may_answer(&packet.flow)
            && let Some(decision) = self.reply(packet, now_ns)
        {
            return decision;
        }
        let decision = classify(packet, rules);
        if whole && decision.verdict == Verdict::Allow as u8 && may_begin(&packet.flow) {
            self.remember(packet, &decision, now_ns);
        }
        decision
    }

    /// The verdict on a reply: that of the conversation's beginning. There is one generation only.
    fn reply(&mut self, packet: &Parsed, now_ns: u64) -> Option<Decision> {
        let key = key(&packet.flow);
        let entry = self.known.get_mut(&key)?;
        if silent(&key, entry, now_ns) {
            self.known.remove(&key);
            return None;
        }
        if entry.direction == u32::from(packet.flow.direction) {
            return None;
        }
        entry.stamp_ns = now_ns;
        Some(Decision {
            rule: entry.rule,
            generation: entry.generation,
            verdict: Verdict::Allow as u8,
            reason: Reason::Reply as u8,
            log: 0,
            spare: 0,
        })
    }

    /// Remembers an allowed packet's conversation, unless the other end began it.
    fn remember(&mut self, packet: &Parsed, decision: &Decision, now_ns: u64) {
        let key = key(&packet.flow);
        let direction = u32::from(packet.flow.direction);
        let new = FlowEntry {
            stamp_ns: now_ns,
            rule: decision.rule,
            generation: decision.generation,
            direction,
            spare: 0,
        };
        if let Some(entry) = self.known.get_mut(&key) {
            if entry.direction == direction || silent(&key, entry, now_ns) {
                *entry = new;
            }
        } else if self.has_room(now_ns) {
            self.known.insert(key, new);
        } else {
            self.full += 1;
        }
    }

    fn has_room(&mut self, now_ns: u64) -> bool {
        if self.known.len() >= MAX_FLOWS {
            self.known.retain(|key, entry| !silent(key, entry, now_ns));
        }
        self.known.len() < MAX_FLOWS
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
    use contract::packet::NO_RULE;

    const SECOND: u64 = 1_000_000_000;

    /// A dry run under rules that let UDP and TCP out, and nothing else.
    struct Run {
        rules: rules::Table,
        conversations: Conversations,
    }

    impl Run {
        fn new() -> Self {
            let text = "[default]\ninbound = 'block'\noutbound = 'block'\n\
                        [[rule]]\nid = 'out'\naction = 'allow'\ndirection = 'out'\nprotocol = ['tcp', 'udp', 'icmp']\n";
            Self {
                rules: rules::parse("r", text).unwrap().compile(1),
                conversations: Conversations::default(),
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
