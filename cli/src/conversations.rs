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
