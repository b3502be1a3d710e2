//! `gatebell status`: how the firewall is.

use super::{bytes, connect, for_how_long};
use crate::Error;
use crate::arguments::AskArguments;
use crate::check::counted;
use crate::style;
use control::{InForce, Lease, Memory, Status};
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// Says how the firewall is; 1 if something is not as it should be.
pub fn status(arguments: &AskArguments, out: &mut dyn Write) -> Result<u8, Error> {
    let status = connect(&arguments.socket)?.status()?;
    if arguments.json {
        writeln!(out, "{}", serde_json::json!(status))?;
    } else {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        print(&status, now, out)?;
    }
    Ok(u8::from(!status.trouble.is_empty()))
}

fn print(status: &Status, now: u64, out: &mut dyn Write) -> Result<(), Error> {
    let Status {
        version,
        contract,
        pid,
        since,
        adopted,
        rules,
        fail_mode,
        kernel_memory,
        pins,
        ..
    } = status;
    let strong = style::STRONG;
    let age = for_how_long(now.saturating_sub(*since));
    writeln!(
        out,
        "{strong}gatebelld {version}{strong:#}, process {pid}, for {age}; contract {contract}"
    )?;
    line(out, "rules", &in_force(rules))?;
    if let Some(lease) = &status.lease {
        line(out, "lease", &on_probation(lease))?;
    }
    line(out, "zone", &zone(status))?;
    let devices: Vec<_> = status
        .devices
        .iter()
        .map(|device| device.name.clone())
        .collect();
    line(
        out,
        "devices",
        &if devices.is_empty() {
            "none yet".to_owned()
        } else {
            devices.join(", ")
        },
    )?;
    line(out, "memory", &memory(kernel_memory))?;
    line(
        out,
        "when gone",
        &gone(fail_mode, &pins.display().to_string()),
    )?;
    if *adopted {
        line(
            out,
            "start",
            "it took over what an earlier service had left in the kernel: no packet went unjudged",
        )?;
    }
    let warning = style::WARNING;
    for trouble in &status.trouble {
        writeln!(out, "{warning}trouble{warning:#}    {trouble}")?;
    }
    Ok(())
}

fn line(out: &mut dyn Write, what: &str, text: &str) -> Result<(), Error> {
    let faint = style::FAINT;
    Ok(writeln!(out, "{faint}{what:<10}{faint:#} {text}")?)
}

/// The rules by which packets are judged.
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
    format!(
        "generation {generation}: {}{from}",
        counted(u64::from(*rules), "rule")
    )
}

/// A lease, and what to do about it.
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

    use super::*;
    use control::Device;

    fn status() -> Status {
        Status {
            version: "1.2.3".to_owned(),
            contract: 2,
            pid: 77,
            since: 1000,
            adopted: true,
            netns: None,
            cgroup: "/sys/fs/cgroup".into(),
            devices: ["eth0", "tun0"]
                .map(|name| Device {
                    name: name.to_owned(),
                    index: 2,
                })
                .into(),
            pins: "/sys/fs/bpf/gatebell".into(),
            rules: InForce {
                generation: 8,
                name: Some("/etc/gatebell/rules.toml".to_owned()),
                rules: 12,
            },
            lease: Some(Lease {
                generation: 8,
                fallback: 7,
                milliseconds_left: 40_001,
            }),
            fail_mode: "static".to_owned(),
            kernel_memory: Memory {
                budget: 256 << 20,
                used: 12 << 20,
                tables: 11 << 20,
                rules: 1 << 20,
                ..Memory::default()
            },
            trouble: vec!["the disk is full; make room".to_owned()],
        }
    }

    #[test]
    fn everything_that_matters_is_said_with_what_to_do() {
        let mut shown = Vec::new();
        print(&status(), 1090, &mut shown).unwrap();
        let shown = anstream::adapter::strip_str(&String::from_utf8(shown).unwrap()).to_string();
        for said in [
            "gatebelld 1.2.3, process 77, for 90 s; contract 2",
            "generation 8: 12 rules of /etc/gatebell/rules.toml",
            "generation 8 has 41 s left, then generation 7 returns by itself; `gatebell rules confirm`",
            "devices    eth0, tun0",
            "12.0 MiB of 256.0 MiB in the kernel: 11.0 MiB tables, 1.0 MiB rules",
            "`gatebell recover`",
            "trouble    the disk is full; make room",
        ] {
            assert!(shown.contains(said), "{said}\n{shown}");
        }
    }
}
