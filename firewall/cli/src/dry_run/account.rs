//! Counters of a dry run over a whole capture.

use super::judge::{BothSides, Unjudged};
use crate::capture::link_name;
use crate::rule_file::RuleFile;
use firewall_abi::packet::{Decision, Direction, NO_RULE, Reason, Verdict};
use std::collections::BTreeMap;

/// Numbers over a whole capture.
#[derive(Debug, Default)]
pub struct Account {
    /// Packets that were captured.
    pub packets: u64,
    /// Verdicts, by what they are.
    pub allowed: u64,
    pub blocked: u64,
    /// A person would be asked: neither passes nor is refused before.
    pub asked: u64,
    /// Allowed as replies.
    pub replies: u64,
    /// Blocked as malformed.
    pub malformed: u64,
    /// Verdicts on later fragments.
    pub fragments: u64,
    /// Packets without a verdict, by why.
    pub not_ip: Kinds,
    pub unread: BTreeMap<i32, u64>,
    pub loopback: u64,
    pub cut: u64,
    pub cut_in_silence: u64,
    pub outside: u64,
    /// Verdicts about which the other rules decided otherwise.
    pub changed: u64,
    /// Packets of confirmed connections that found no lasting room.
    pub full: u64,
    /// Packets that the default policies decided, for each of [`Direction::ALL`].
    pub defaults: [u64; Direction::ALL.len()],
    /// Packets that each rule decided, by its number.
    pub rules: Vec<Hits>,
    /// `true` if the capture was read to its end.
    pub complete: bool,
}

/// Counters by the names of kinds.
pub type Kinds = BTreeMap<&'static str, u64>;

/// Counters of one rule.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hits {
    /// Packets that it matched first.
    pub packets: u64,
    /// Replies to those that it allowed.
    pub replies: u64,
}

impl Account {
    pub fn new(rules: &RuleFile) -> Self {
        Self {
            rules: vec![Hits::default(); rules.rules.iter().len()],
            ..Self::default()
        }
    }

    pub fn unjudged(&mut self, reason: Unjudged) {
        let counter = match reason {
            Unjudged::NotIp(what) => self.not_ip.entry(what).or_default(),
            Unjudged::UnreadLink(link_type) => self.unread.entry(link_type).or_default(),
            Unjudged::Loopback => &mut self.loopback,
            Unjudged::CutInSilence => &mut self.cut_in_silence,
            Unjudged::Cut => &mut self.cut,
            Unjudged::Outside => &mut self.outside,
        };
        *counter += 1;
    }

    /// Packets without a verdict.
    pub fn unjudged_packets(&self) -> u64 {
        self.not_ip_packets()
            + self.unread_packets()
            + self.loopback
            + self.cut
            + self.cut_in_silence
            + self.outside
    }

    /// Packets that are no IP.
    pub fn not_ip_packets(&self) -> u64 {
        self.not_ip.values().sum()
    }

    /// Packets of links that are not read here.
    pub fn unread_packets(&self) -> u64 {
        self.unread.values().sum()
    }

    /// Returns the counters of unsupported links by the names of their types.
    pub fn unread_names(&self) -> BTreeMap<String, u64> {
        let mut names = BTreeMap::new();
        for (link_type, number) in &self.unread {
            *names.entry(link_name(*link_type)).or_default() += number;
        }
        names
    }

    pub fn verdict(&mut self, verdict: &BothSides) {
        let Some(decision) = &verdict.now else { return };
        let counter = match Verdict::try_from(decision.verdict) {
            Ok(Verdict::Allow) => &mut self.allowed,
            Ok(Verdict::Ask) => &mut self.asked,
            _ => &mut self.blocked,
        };
        *counter += 1;
        match Reason::try_from(decision.reason) {
            Ok(Reason::Malformed) => self.malformed += 1,
            Ok(Reason::Fragment) => self.fragments += 1,
            Ok(Reason::Reply) => self.replies += 1,
            _ => {}
        }
        self.by_rule(decision, verdict.direction);
    }

    fn by_rule(&mut self, decision: &Decision, direction: Option<Direction>) {
        let reply = decision.reason == Reason::Reply as u8;
        let rule = usize::try_from(decision.rule)
            .ok()
            .and_then(|number| self.rules.get_mut(number));
        match (rule, direction) {
            (Some(hits), _) if reply => hits.replies += 1,
            (Some(hits), _) => hits.packets += 1,
            (None, Some(direction)) if decided_by_default(decision) => {
                let place = Direction::ALL.iter().position(|known| *known == direction);
                let number = place.and_then(|place| self.defaults.get_mut(place));
                number.into_iter().for_each(|number| *number += 1);
            }
            _ => {}
        }
    }
}

fn decided_by_default(decision: &Decision) -> bool {
    let default = [Reason::Default, Reason::Fragment].map(|reason| reason as u8);
    decision.rule == NO_RULE && default.contains(&decision.reason)
}
