//! Competitors that are measured beside Gatebell.

pub mod bare;
pub mod handed;
pub mod netlink;
pub mod nflog;
pub mod nfqueue;
pub mod opensnitch;
pub mod queue;

use crate::ground::Ground;
use anyhow::{Context, Result};
use std::fs;

/// Packets that a reader in user space has got.
#[derive(Debug, Default)]
pub struct Got {
    /// Packets.
    pub packets: u64,
    /// Time of the last packet, in nanoseconds of the records' clock, or 0 if there was none.
    pub last_ns: u64,
    /// Number of overruns: the kernel dropped messages for want of room.
    pub overruns: u64,
    /// The port that a packet went to, and when it was there (nanoseconds of the records' clock).
    pub arrivals: Vec<(u16, u64)>,
    /// Delays from the kernel's time stamp to the reader, in nanoseconds.
    pub delays: Vec<f64>,
}

/// nftables' rules in the zone. Dropped, they are gone.
pub struct Nft<'a>(&'a Ground);

impl<'a> Nft<'a> {
    /// Puts them there.
    pub fn with(ground: &'a Ground, rules: &str) -> Result<Self> {
        let file = ground.lab.folder().join("peer.nft");
        fs::write(&file, rules)?;
        let there = Self(ground);
        there.0.done(
            true,
            &[
                "nft",
                "-f",
                file.to_str().context("a folder's name is no text")?,
            ],
        )?;
        Ok(there)
    }
}

impl Drop for Nft<'_> {
    fn drop(&mut self) {
        // The namespace goes with the ground, whatever is left in it.
        let _gone = self.0.done(true, &["nft", "flush", "ruleset"]);
    }
}

/// A rule of iptables in the zone: this kernel's nftables may not have the word `queue`. Dropped, it is gone.
pub struct Iptables<'a> {
    ground: &'a Ground,
    rules: Vec<Vec<&'a str>>,
}

impl<'a> Iptables<'a> {
    /// Puts rules there, each given as table, chain and the rest.
    pub fn with(ground: &'a Ground, rules: &[&[&'a str]]) -> Result<Self> {
        let mut there = Self {
            ground,
            rules: Vec::new(),
        };
        for rule in rules {
            there.rule("-A", rule)?;
            there.rules.push(rule.to_vec());
        }
        Ok(there)
    }

    fn rule(&self, how: &str, rule: &[&str]) -> Result<()> {
        let (table, rest) = rule.split_first().context("a rule begins with its table")?;
        let words = [&["iptables-legacy", "-w", "-t", table, how], rest].concat();
        self.ground.done(true, &words).map(drop)
    }
}

impl Drop for Iptables<'_> {
    fn drop(&mut self) {
        for rule in &self.rules {
            let _gone = self.rule("-D", rule);
        }
    }
}
