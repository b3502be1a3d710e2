//! Every figure that is promised: its target, and what was predicted before it was measured
//! first. Targets are not moved.

use crate::statistics::Spread;
use serde::Serialize;

/// Target of a promise.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The figure is to be this or more.
    AtLeast(f64),
    /// The figure is to be this or less.
    AtMost(f64),
}

impl Target {
    /// Returns the side of the target on which all rounds lie, or that it is undecided.
    pub fn verdict(self, rounds: &Spread) -> Verdict {
        match (self.holds(rounds.low), self.holds(rounds.high)) {
            (true, true) => Verdict::Holds,
            (false, false) => Verdict::Misses,
            _ => Verdict::Undecided,
        }
    }

    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }

    /// Returns by how much a median misses the target, as a share of the target.
    pub fn missed_by(self, median: f64) -> f64 {
        match self {
            Self::AtLeast(least) => (least - median) / least,
            Self::AtMost(most) => (median - most) / most,
        }
    }
}

/// Verdict of the rounds on a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Each round holds it.
    Holds,
    /// No round holds it.
    Misses,
    /// Some do, and others don't.
    Undecided,
}

/// One line of the page.
pub struct Promise {
    /// Name of the promise in JSON.
    pub id: &'static str,
    /// The figure that it belongs to: what `cargo xtask figures` is told.
    pub figure: &'static str,
    /// Description of what is measured.
    pub says: &'static str,
    /// Unit of the target.
    pub unit: &'static str,
    /// Target that the value has to meet.
    pub target: Target,
    /// Value that was predicted, before anything was measured.
    pub predicted: f64,
}

use Target::{AtLeast, AtMost};

const fn promise(
    figure: &'static str,
    id: &'static str,
    says: &'static str,
    target: Target,
    unit: &'static str,
    predicted: f64,
) -> Promise {
    Promise {
        id,
        figure,
        says,
        unit,
        target,
        predicted,
    }
}

/// All of them, in the order of the page.
pub const PROMISES: &[Promise] = &[
    promise(
        "refused",
        "refused_nflog_1",
        "refused packets reported, against nft log with threshold 1",
        AtLeast(3.0),
        "×",
        3.6,
    ),
    promise(
        "refused",
        "refused_nflog_100",
        "the same against nft log with threshold 100",
        AtLeast(1.5),
        "×",
        1.6,
    ),
    promise(
        "refused",
        "refused_nfqueue",
        "the same against NFQUEUE with a verdict in user space",
        AtLeast(3.0),
        "×",
        3.6,
    ),
    promise(
        "refused",
        "refused_nft_input",
        "refused packets only dropped, against nft's input hook, both with 100 rules",
        AtLeast(1.0),
        "×",
        1.2,
    ),
    promise(
        "refused",
        "refused_unaccounted",
        "refused packets that neither the app nor a counter knows of",
        AtMost(0.0),
        "packets",
        0.0,
    ),
    promise(
        "refused",
        "refused_cost",
        "what reporting costs of the rate at which packets are only dropped",
        AtMost(15.0),
        "%",
        13.0,
    ),
    promise(
        "refused",
        "refused_four_apps",
        "a record for four apps instead of one, more in the kernel",
        AtMost(130.0),
        "ns",
        100.0,
    ),
    promise(
        "program",
        "program_known",
        "a packet of a known flow, 10 rules, above an empty program",
        AtMost(100.0),
        "ns",
        90.0,
    ),
    promise(
        "program",
        "program_known_10000",
        "a packet of a known flow, 10,000 rules, above an empty program",
        AtMost(100.0),
        "ns",
        90.0,
    ),
    promise(
        "program",
        "program_known_nft",
        "a packet of a known connection, 100 rules, against nft's `ct state established accept`",
        AtMost(1.0),
        "×",
        0.8,
    ),
    promise(
        "program",
        "program_first_v4",
        "a first packet, cold, 10,000 rules, IPv4",
        AtMost(1000.0),
        "ns",
        800.0,
    ),
    promise(
        "program",
        "program_first_v6",
        "a first packet, cold, 10,000 rules, IPv6",
        AtMost(1000.0),
        "ns",
        900.0,
    ),
    promise(
        "program",
        "program_set_exact",
        "an address in a set of 1,000,000 addresses, cold",
        AtMost(400.0),
        "ns",
        350.0,
    ),
    promise(
        "program",
        "program_set_prefixes",
        "an address in a set of 1,000,000 prefixes, cold",
        AtMost(1500.0),
        "ns",
        500.0,
    ),
    promise(
        "through",
        "through_tcp",
        "TCP bytes (iperf3), of the unprotected rate",
        AtLeast(97.0),
        "%",
        98.0,
    ),
    promise(
        "through",
        "through_udp",
        "64-byte UDP packets, offloads off, of the unprotected rate",
        AtLeast(95.0),
        "%",
        88.0,
    ),
    promise(
        "through",
        "through_ask",
        "TCP requests and responses, offloads off, of the unprotected rate",
        AtLeast(95.0),
        "%",
        97.0,
    ),
    promise(
        "through",
        "through_http",
        "new HTTP connections (ab -c 4, nginx), of the unprotected rate",
        AtLeast(95.0),
        "%",
        94.0,
    ),
    promise(
        "through",
        "through_http_nft",
        "the same, against nft with `ct state` and the same 100 rules",
        AtLeast(1.05),
        "×",
        1.0,
    ),
    promise(
        "storm",
        "storm_unnamed",
        "processes of a storm whose exec was neither named nor counted as lost",
        AtMost(0.0),
        "processes",
        0.0,
    ),
    promise(
        "storm",
        "storm_unended",
        "processes of a storm whose exit was neither reported nor counted as lost",
        AtMost(0.0),
        "processes",
        0.0,
    ),
    promise(
        "storm",
        "storm_slower",
        "a storm of 10,000 processes with an app told of each, slower by",
        AtMost(3.0),
        "%",
        1.5,
    ),
    promise(
        "latency",
        "latency_nflog",
        "from the kernel's stamp to a sleeping app, p50, against NFLOG",
        AtMost(1.1),
        "×",
        1.05,
    ),
    promise(
        "latency",
        "latency_spin",
        "from the kernel's stamp to a spinning app, p50",
        AtMost(2.0),
        "µs",
        1.0,
    ),
    promise(
        "channel",
        "channel_bare_64",
        "records of 64 bytes through the channel, of a bare ring's with libbpf's own consumer",
        AtLeast(90.0),
        "%",
        65.0,
    ),
    promise(
        "channel",
        "channel_bare_1024",
        "the same of 1 KiB",
        AtLeast(90.0),
        "%",
        85.0,
    ),
    promise(
        "channel",
        "channel_pipe",
        "records of 64 bytes through the channel, against a pipe",
        AtLeast(1.0),
        "×",
        4.0,
    ),
    promise(
        "channel",
        "channel_datagram",
        "the same against a Unix datagram socket",
        AtLeast(1.0),
        "×",
        8.0,
    ),
    promise(
        "channel",
        "channel_16_program",
        "a record for 16 apps in the kernel, against 16 bare rings at the same pace",
        AtMost(2.0),
        "×",
        1.8,
    ),
    promise(
        "channel",
        "channel_unaccounted",
        "records that neither an app nor a counter knows of",
        AtMost(0.0),
        "records",
        0.0,
    ),
    promise(
        "channel",
        "channel_wakes",
        "wakes per record of an app as it is by default, 20,000 records a second",
        AtMost(0.05),
        "wakes",
        0.015,
    ),
    promise(
        "rules",
        "rules_10000",
        "10,000 rules parsed, compiled and published",
        AtMost(0.5),
        "s",
        0.3,
    ),
    promise(
        "rules",
        "rules_set",
        "a set of 1,000,000 prefixes parsed, compiled and published",
        AtMost(4.0),
        "s",
        2.5,
    ),
    promise(
        "idle",
        "idle_processor",
        "processor time of the idle service over 10 s",
        AtMost(0.0),
        "ms",
        0.0,
    ),
    promise(
        "idle",
        "idle_memory",
        "resident memory of the idle service",
        AtMost(24.0),
        "MiB",
        12.0,
    ),
    promise(
        "window",
        "window_first",
        "from the window's start to its first frame",
        AtMost(300.0),
        "ms",
        450.0,
    ),
    promise(
        "window",
        "window_frame",
        "from a refused packet to the frame that shows it, p99",
        AtMost(120.0),
        "ms",
        125.0,
    ),
    promise(
        "window",
        "window_notification",
        "from a packet that is asked about to the desktop's notification, p99",
        AtMost(300.0),
        "ms",
        60.0,
    ),
    promise(
        "window",
        "window_answer",
        "from an answer to the first packet that it lets through, p99",
        AtMost(50.0),
        "ms",
        3.0,
    ),
    promise(
        "window",
        "window_idle",
        "processor time of the idle window over 10 s",
        AtMost(0.0),
        "ms",
        20.0,
    ),
    promise(
        "window",
        "window_busy",
        "of a processor the window at 10,000 records/s, drawn by the processor",
        AtMost(20.0),
        "%",
        30.0,
    ),
    promise(
        "window",
        "window_memory",
        "resident memory of the window with 1,000,000 rows",
        AtMost(200.0),
        "MiB",
        250.0,
    ),
    promise(
        "history",
        "history_busy",
        "of a processor the history at 1,000 new conversations/s",
        AtMost(3.0),
        "%",
        4.0,
    ),
    promise(
        "history",
        "history_query",
        "what a program did on the last day, in a history of 10,000,000 rows",
        AtMost(200.0),
        "ms",
        3000.0,
    ),
];

/// The figures by name, in order.
pub fn figures() -> Vec<&'static str> {
    let mut names: Vec<&str> = PROMISES.iter().map(|promise| promise.figure).collect();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_held_at_its_very_edge_and_missed_by_a_share_of_it() {
        assert!(AtLeast(3.0).holds(3.0) && !AtLeast(3.0).holds(2.9));
        assert!(AtMost(3.0).holds(3.0) && !AtMost(3.0).holds(3.1));
        assert!((AtLeast(100.0).missed_by(90.0) - 0.1).abs() < 1e-9);
        assert!((AtMost(100.0).missed_by(110.0) - 0.1).abs() < 1e-9);
    }

    #[test]
    fn every_promise_has_a_name_of_its_own() {
        let mut ids: Vec<&str> = PROMISES.iter().map(|promise| promise.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), PROMISES.len());
    }

    fn verdict(target: Target, rounds: &[f64]) -> Option<Verdict> {
        Some(target.verdict(&Spread::of(rounds)?))
    }

    #[test]
    fn a_target_that_lies_among_the_rounds_is_undecided() {
        // The median holds in both: that is not enough.
        assert_eq!(
            verdict(AtLeast(3.0), &[2.9, 3.5, 4.0]),
            Some(Verdict::Undecided)
        );
        assert_eq!(
            verdict(AtMost(3.0), &[2.0, 2.5, 3.1]),
            Some(Verdict::Undecided)
        );
        assert_eq!(
            verdict(AtLeast(3.0), &[2.0, 2.1, 3.0]),
            Some(Verdict::Undecided)
        );
    }

    #[test]
    fn rounds_on_one_side_decide_and_the_target_itself_holds() {
        assert_eq!(verdict(AtLeast(3.0), &[3.0, 4.0]), Some(Verdict::Holds));
        assert_eq!(verdict(AtMost(0.0), &[0.0]), Some(Verdict::Holds));
        assert_eq!(verdict(AtMost(3.0), &[3.1, 9.0]), Some(Verdict::Misses));
        assert_eq!(verdict(AtLeast(3.0), &[1.0, 2.9]), Some(Verdict::Misses));
    }
}
