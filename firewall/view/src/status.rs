//! State of the service, in words: for the command line and for the window.

use crate::entry::way;
use crate::network::signs;
use crate::text;
use crate::time::day_and_time;
use crate::trouble::fetch_failure;
use control::{
    HistoryStatus, InForce, Lease, Memory, NetworkStatus, PacketCounts, Stats, Status,
    SubscribedList,
};
use firewall_abi::packet::Direction;
use rules::Presence;

/// Returns the line about the service itself, at this time (seconds since 1970).
#[must_use]
pub fn title(status: &Status, now: u64) -> String {
    let Status {
        version,
        contract,
        pid,
        since,
        ..
    } = status;
    let age = for_how_long(now.saturating_sub(*since));
    text!(
        "status-title",
        version = version,
        pid = *pid,
        age = age,
        contract = *contract,
    )
}

/// Returns the other lines but the troubles: each with its title.
#[must_use]
pub fn lines(status: &Status) -> Vec<(String, String)> {
    let mut lines = vec![(text!("status-rules"), in_force(&status.rules))];
    lines.extend(
        status
            .lease
            .as_ref()
            .map(|lease| (text!("status-lease"), on_probation(lease))),
    );
    lines.push((text!("status-zone"), zone(status)));
    let devices: Vec<_> = status
        .devices
        .iter()
        .map(|device| device.name.clone())
        .collect();
    let devices = if devices.is_empty() {
        text!("status-no-devices")
    } else {
        text!("status-devices-judged", devices = devices.join(", "))
    };
    lines.push((text!("status-devices"), devices));
    lines.push((text!("status-memory"), memory(&status.kernel_memory)));
    lines.push((text!("status-history"), history(status.history.as_ref())));
    let networks = status.networks.iter();
    lines.extend(networks.map(|one| (text!("status-network"), network(one))));
    let lists = status.lists.iter();
    lines.extend(lists.map(|list| (text!("status-list"), subscribed(list))));
    let pins = status.pins.display().to_string();
    lines.push((text!("status-gone"), gone(&status.fail_mode, &pins)));
    if status.adopted {
        lines.push((text!("status-start"), text!("status-adopted")));
    }
    lines
}

/// Returns the line about the packets that were judged, in each direction, with its title.
#[must_use]
pub fn judged(stats: &Stats) -> (String, String) {
    let ways = Direction::ALL.map(|direction| judged_there(direction, &stats.packets(direction)));
    (text!("status-judged"), ways.join("; "))
}

fn judged_there(direction: Direction, packets: &PacketCounts) -> String {
    let PacketCounts {
        allowed,
        refused,
        left,
    } = *packets;
    let counted = text!(
        "status-judged-way",
        way = way(direction),
        judged = packets.judged(),
        allowed = allowed,
        refused = refused,
    );
    match left {
        0 => counted,
        left => text!("status-judged-left", counted = counted, left = left),
    }
}

/// Describes the rules by which packets are judged.
#[must_use]
pub fn in_force(rules: &InForce) -> String {
    let InForce {
        generation,
        name,
        rules,
    } = rules;
    let from = match name {
        Some(file) => text!("status-of-file", file = file),
        None => text!("status-of-kernel"),
    };
    text!(
        "status-in-force",
        generation = *generation,
        count = *rules,
        from = from,
    )
}

/// Describes a lease, and what to do about it.
#[must_use]
pub fn on_probation(lease: &Lease) -> String {
    let Lease {
        generation,
        fallback,
        milliseconds_left,
    } = lease;
    text!(
        "status-on-lease",
        generation = *generation,
        left = for_how_long(milliseconds_left.div_ceil(1000)),
        fallback = *fallback,
    )
}

/// Describes a network, whether it is there, why, and what is on or off for it.
#[must_use]
pub fn network(network: &NetworkStatus) -> String {
    let NetworkStatus {
        name,
        presence,
        judged_as: _,
        why,
        on,
        off,
        blocks,
    } = network;
    let is = self::presence(Presence::named(presence));
    let why = signs(why);
    let mut line = text!("network-seen", name = name, presence = is, why = why);
    if !on.is_empty() {
        line = text!("network-on", network = line, rules = on.join(", "));
    }
    if !off.is_empty() {
        line = text!("network-off", network = line, rules = off.join(", "));
    }
    if !blocks.is_empty() {
        line = text!("network-blocks", network = line, rules = blocks.join(", "));
    }
    line
}

/// Returns the words for a network's presence.
#[must_use]
pub fn presence(presence: Presence) -> String {
    match presence {
        Presence::There => text!("network-there"),
        Presence::Away => text!("network-away"),
        Presence::Unknown => text!("network-unknown"),
    }
}

/// Returns the presence of each network as the rules in force have it, which may be that of a moment ago.
#[must_use]
pub fn judged_as(networks: &[NetworkStatus]) -> Vec<(String, Presence)> {
    let networks = networks.iter();
    networks
        .map(|network| (network.name.clone(), Presence::named(&network.judged_as)))
        .collect()
}

fn zone(status: &Status) -> String {
    let group = status.cgroup.display().to_string();
    match &status.netns {
        Some(netns) => {
            let netns = netns.display().to_string();
            text!("status-zone-netns", netns = netns, group = group)
        }
        None => text!("status-zone-own", group = group),
    }
}

/// Describes the kernel memory that is held, by part, and the budget.
fn memory(memory: &Memory) -> String {
    let Memory {
        budget,
        used,
        tables,
        rules,
        sets,
        rings,
        rings_let_go,
    } = memory;
    let parts = [
        (tables, text!("memory-tables", size = bytes(*tables))),
        (rules, text!("memory-rules", size = bytes(*rules))),
        (sets, text!("memory-sets", size = bytes(*sets))),
        (rings, text!("memory-rings", size = bytes(*rings))),
        (
            rings_let_go,
            text!("memory-let-go", size = bytes(*rings_let_go)),
        ),
    ];
    let parts = parts.into_iter().filter(|(part, _)| **part > 0);
    let parts: Vec<_> = parts.map(|(_, words)| words).collect();
    text!(
        "memory-kernel",
        used = bytes(*used),
        budget = bytes(*budget),
        parts = parts.join(", "),
    )
}

/// Describes the history, and what could not be kept.
fn history(history: Option<&HistoryStatus>) -> String {
    let Some(history) = history else {
        return text!("history-none");
    };
    let HistoryStatus {
        days,
        budget,
        used,
        kept,
        lost,
        put_aside,
    } = *history;
    let words = text!(
        "history-kept",
        used = bytes(used),
        budget = bytes(budget),
        days = days,
        kept = kept,
        lost = lost,
    );
    if put_aside {
        text!("history-put-aside", history = words)
    } else {
        words
    }
}

/// Describes a list that rules subscribe to: its entries, its date, and what changed last.
#[must_use]
pub fn subscribed(list: &SubscribedList) -> String {
    let SubscribedList {
        set,
        url,
        refresh_seconds,
        fetched,
        tried: _,
        failed,
        entries,
        unreadable,
        added,
        removed,
        trouble: _,
    } = list;
    let grouped = |number: &u64| rules::grouped(usize::try_from(*number).unwrap_or(usize::MAX));
    let mut line = text!(
        "list-entries",
        set = set,
        count = *entries,
        grouped = grouped(entries),
    );
    if let Some(fetched) = fetched {
        line.push_str(&text!("list-of", time = day_and_time(*fetched)));
    }
    if *added > 0 {
        line.push_str(&text!("list-added", number = grouped(added)));
    }
    if *removed > 0 {
        line.push_str(&text!("list-removed", number = grouped(removed)));
    }
    if *unreadable > 0 {
        line.push_str(&text!("list-unreadable", number = grouped(unreadable)));
    }
    let time = for_how_long(*refresh_seconds);
    let line = text!("list-every", list = line, url = url, time = time);
    match failed {
        Some(failure) => {
            let why = fetch_failure(failure);
            text!("list-failed", list = line, why = why)
        }
        None => line,
    }
}

fn gone(what: &str, pins: &str) -> String {
    match what {
        "open" => text!("gone-open", pins = pins),
        "closed" => text!("gone-closed", pins = pins),
        _ => text!("gone-static", pins = pins),
    }
}

/// Returns a time in words: `3 s`, `5 min`, `2 h 3 min`, `4 days`.
fn for_how_long(seconds: u64) -> String {
    match seconds {
        0..120 => text!("time-seconds", seconds = seconds),
        120..7200 => text!("time-minutes", minutes = seconds / 60),
        7200..172_800 => text!(
            "time-hours",
            hours = seconds / 3600,
            minutes = seconds / 60 % 60
        ),
        _ => text!("time-days", days = seconds / 86_400),
    }
}

/// Returns a size in words: `812 bytes`, `3.4 KiB`, `12.0 MiB`.
fn bytes(count: u64) -> String {
    let tenths = |unit: u64| format!("{}.{}", count / unit, count % unit * 10 / unit);
    match count {
        0..1024 => text!("size-bytes", count = count),
        1024..1_048_576 => format!("{} KiB", tenths(1024)),
        _ => format!("{} MiB", tenths(1 << 20)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;

    #[test]
    fn times_and_sizes_are_said_as_people_say_them() {
        let times = [0, 119, 120, 7199, 7200, 90_061, 172_800].map(for_how_long);
        assert_eq!(
            times,
            [
                "0 s",
                "119 s",
                "2 min",
                "119 min",
                "2 h 0 min",
                "25 h 1 min",
                "2 days"
            ]
        );
        let sizes = [1023, 1024, 1536, 1 << 20, 13 << 20].map(bytes);
        assert_eq!(
            sizes,
            ["1023 bytes", "1.0 KiB", "1.5 KiB", "1.0 MiB", "13.0 MiB"]
        );
    }

    #[test]
    fn what_is_left_to_who_gets_it_and_nobody_does_is_said_with_what_was_judged() {
        let stats = Stats {
            allowed_in: 5,
            blocked_in: 1,
            left_in: 2,
            allowed_out: 7,
            ..Stats::default()
        };
        let line = "in 8 = 5 allowed + 1 refused + 2 left to who gets them, and nobody did; \
                    out 7 = 7 allowed + 0 refused; forward 0 = 0 allowed + 0 refused";
        assert_eq!(judged(&stats), ("packets".to_owned(), line.to_owned()));
    }

    #[test]
    fn everything_that_matters_is_said_with_what_to_do() {
        let status = example::status();
        assert_eq!(
            title(&status, 1090),
            "gatebelld 1.2.3, process 77, for 90 s; contract 2"
        );
        let lines = lines(&status);
        for (name, words) in [
            (
                "rules",
                "generation 4: 12 rules of /etc/gatebell/rules.toml",
            ),
            (
                "lease",
                "generation 4 has 41 s left, then generation 3 returns by itself; `gatebell rules confirm 4`",
            ),
            ("devices", "eth0, tun0: judged in the IP stack"),
            (
                "memory",
                "12.0 MiB of 256.0 MiB in the kernel: 11.0 MiB tables, 1.0 MiB rules",
            ),
            (
                "network",
                "home: not there: the gateway by eth0 is 198.51.100.1, not 192.0.2.1; on: no-shares; off: printer",
            ),
            ("list", "1,234 entries, of "),
            (
                "list",
                "5 added, 2 removed, 1 unreadable; https://lists.example.org/bad.txt, every 24 h 0 min",
            ),
            ("list", "@new: 0 entries; "),
            ("list", "the last try failed: its host is not known"),
            ("when gone", "`gatebell recover`"),
        ] {
            let said = lines
                .iter()
                .any(|(of, text)| *of == name && text.contains(words));
            assert!(said, "{name}: {words}: {lines:?}");
        }
    }
}
