//! How the service is, in words: for the command line and for the window.

use crate::entry::day_and_time;
use control::{HistoryStatus, InForce, Lease, Memory, Status, SubscribedList};

/// The service itself, at this time (seconds since 1970).
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
    format!("gatebelld {version}, process {pid}, for {age}; contract {contract}")
}

/// What else is to be said of it but its troubles: what each line is about, and the line.
#[must_use]
pub fn lines(status: &Status) -> Vec<(&'static str, String)> {
    let mut lines = vec![("rules", in_force(&status.rules))];
    lines.extend(
        status
            .lease
            .as_ref()
            .map(|lease| ("lease", on_probation(lease))),
    );
    lines.push(("zone", zone(status)));
    let devices: Vec<_> = status
        .devices
        .iter()
        .map(|device| device.name.clone())
        .collect();
    let devices = if devices.is_empty() {
        "none yet".to_owned()
    } else {
        format!(
            "{}: judged in the IP stack as they take in, send out and forward, and by who is at this end in the control group",
            devices.join(", ")
        )
    };
    lines.push(("devices", devices));
    lines.push(("memory", memory(&status.kernel_memory)));
    lines.push(("history", history(status.history.as_ref())));
    lines.extend(status.lists.iter().map(|list| ("list", subscribed(list))));
    let pins = status.pins.display().to_string();
    lines.push(("when gone", gone(&status.fail_mode, &pins)));
    if status.adopted {
        let words =
            "it took over what an earlier service had left in the kernel: no packet went unjudged";
        lines.push(("start", words.to_owned()));
    }
    lines
}

/// The rules by which packets are judged.
#[must_use]
pub fn in_force(rules: &InForce) -> String {
    let InForce {
        generation,
        name,
        rules,
    } = rules;
    let from = name.as_deref().map_or_else(
        || ", found in the kernel, of no file".to_owned(),
        |name| format!(" of {name}"),
    );
    let plural = if *rules == 1 { "" } else { "s" };
    format!("generation {generation}: {rules} rule{plural}{from}")
}

/// A lease, and what to do about it.
#[must_use]
pub fn on_probation(lease: &Lease) -> String {
    let Lease {
        generation,
        fallback,
        milliseconds_left,
    } = lease;
    format!(
        "generation {generation} has {} left, then generation {fallback} returns by itself; `gatebell rules confirm` keeps \
         it, `gatebell rules revert` takes it back now",
        for_how_long(milliseconds_left.div_ceil(1000))
    )
}

fn zone(status: &Status) -> String {
    let group = status.cgroup.display();
    match &status.netns {
        Some(netns) => format!(
            "network namespace {}, control group {group}",
            netns.display()
        ),
        None => format!("the network namespace of the service, control group {group}"),
    }
}

/// What is there at all, by part, and of how much.
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
        (tables, "tables"),
        (rules, "rules"),
        (sets, "sets"),
        (rings, "rings of apps"),
        (rings_let_go, "rings let go of and still mapped"),
    ];
    let parts = parts.iter().filter(|(part, _)| **part > 0);
    let parts: Vec<_> = parts
        .map(|(part, what)| format!("{} {what}", bytes(**part)))
        .collect();
    format!(
        "{} of {} in the kernel: {}",
        bytes(*used),
        bytes(*budget),
        parts.join(", ")
    )
}

/// What is kept of what happened, and what could not be.
fn history(history: Option<&HistoryStatus>) -> String {
    let Some(history) = history else {
        return "nothing is kept of what happens".to_owned();
    };
    let HistoryStatus {
        days,
        budget,
        used,
        kept,
        lost,
        put_aside,
    } = *history;
    let aside = if put_aside {
        "; one that could not be read lies beside it"
    } else {
        ""
    };
    format!(
        "{} of {} on the disk, {days} days; {kept} records kept, {lost} lost since the start{aside}",
        bytes(used),
        bytes(budget)
    )
}

/// A list that rules subscribe to: what is in it, of when, and what changed last.
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
    let of = fetched.map_or(String::new(), |fetched| {
        format!(", of {}", day_and_time(fetched))
    });
    let mut line = format!("@{set}: {} entries{of}", grouped(entries));
    for (number, what) in [(added, "added"), (removed, "removed")] {
        if *number > 0 {
            line.push_str(&format!(", {} {what}", grouped(number)));
        }
    }
    if *unreadable > 0 {
        line.push_str(&format!(", {} unreadable", grouped(unreadable)));
    }
    line.push_str(&format!(
        "; {url}, every {}",
        for_how_long(*refresh_seconds)
    ));
    if let Some(why) = failed {
        line.push_str(&format!("; the last try failed: {why}"));
    }
    line
}

fn gone(what: &str, pins: &str) -> String {
    let then = match what {
        "open" => "everything passes",
        "closed" => "nothing passes",
        _ => "the rules stay in force",
    };
    format!(
        "{then} if the service ends; the kernel keeps it in {pins}, `gatebell recover` takes it all out"
    )
}

/// `3 s`, `5 min`, `2 h 3 min`, `4 days`.
fn for_how_long(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// `812 bytes`, `3.4 KiB`, `12.0 MiB`.
fn bytes(count: u64) -> String {
    let tenths = |unit: u64| format!("{}.{}", count / unit, count % unit * 10 / unit);
    match count {
        0..1024 => format!("{count} bytes"),
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
                "generation 4 has 41 s left, then generation 3 returns by itself; `gatebell rules confirm`",
            ),
            ("devices", "eth0, tun0: judged in the IP stack"),
            (
                "memory",
                "12.0 MiB of 256.0 MiB in the kernel: 11.0 MiB tables, 1.0 MiB rules",
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
