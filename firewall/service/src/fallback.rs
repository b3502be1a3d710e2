//! Fallback where no driver can judge: a table of nftables that does what the built-in minimum says, and is there only
//! then.
//!
//! Rules that hold here:
//! - It is put in force as a whole, in the place of the one before, and taken out as a whole once a driver judges.
//! - Where that fails, it is said: that everything passes, or that the table refuses beside the rules.

use crate::fallback_rules;
use crate::state::replace;
use crate::zone::named;
use anyhow::{Context, Error, Result, anyhow, bail};
use control::{FALLBACK_FILE, FALLBACK_TABLE, Fallback};
use firewall_abi::rules::PortRange;
use nix::sched::{CloneFlags, setns};
use rules::{Rule, Rules};
use std::fmt::Write as _;
use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Network namespace of the fallback, the program that puts it in force, and the folder for its state.
#[derive(Clone, Debug)]
pub struct FallbackTarget {
    /// Network namespace, or `None` for the one that the process is started in.
    pub netns: Option<PathBuf>,
    /// Path of the program of nftables.
    pub nft: PathBuf,
    /// Service's folder.
    pub folder: PathBuf,
}

impl FallbackTarget {
    /// Puts the table in force in the process's network namespace, as no driver judges there. Returns the reason,
    /// and before it what judges now.
    pub fn put_in_force(&self, cause: Error) -> Error {
        let done = script().and_then(|script| run_script(&self.nft, &script));
        let judges = match &done {
            Ok(()) => format!(
                "no driver judges; the table {FALLBACK_TABLE} of nftables does, by the built-in minimum (out: everything; in: \
                 answers, ssh, DHCP, ICMP; through: answers). Mend what is said here and run `systemctl restart gatebell`"
            ),
            Err(failed) => format!(
                "no driver judges, and nothing else does: EVERYTHING PASSES ({failed:#}). Mend what is said here, or install \
                 nftables, and run `systemctl restart gatebell`"
            ),
        };
        let fallback = Fallback {
            netns: self.netns.clone(),
            in_force: done.is_ok(),
            cause: format!("{cause:#}")
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned(),
            judges: judges.clone(),
        };
        if let Err(unwritten) = self.write_down(&fallback) {
            return cause.context(format!("{judges} ({unwritten:#})"));
        }
        cause.context(judges)
    }

    fn write_down(&self, fallback: &Fallback) -> Result<()> {
        let file = self.folder.join(FALLBACK_FILE);
        let failed = || {
            format!(
                "`gatebell status` does not know: can't write {}",
                file.display()
            )
        };
        fs::create_dir_all(&self.folder).with_context(failed)?;
        replace(&file, &serde_json::to_vec_pretty(fallback)?).with_context(failed)?;
        // Any user who asks for the status is to know.
        fs::set_permissions(&file, Permissions::from_mode(0o644)).with_context(failed)
    }

    /// Removes the table from the process's network namespace, if it is there. Returns what was removed.
    pub fn take_out(&self) -> Result<Vec<String>> {
        let mut taken = Vec::new();
        if self.is_in_force()? {
            let output = run(&self.nft, &["delete", "table", "inet", FALLBACK_TABLE])?;
            succeeded(output)?;
            taken.push(format!("the table inet {FALLBACK_TABLE} of nftables"));
        }
        // It may not be there.
        let _none = fs::remove_file(self.folder.join(FALLBACK_FILE));
        Ok(taken)
    }

    /// Removes the table from the network namespace in which it was put in force. Returns what was removed.
    pub fn take_out_there(&self) -> Result<Vec<String>> {
        let left = Fallback::read(&self.folder).and_then(|fallback| fallback.netns);
        let Some(netns) = self.netns.clone().or(left) else {
            return self.take_out();
        };
        let path = named(&netns);
        let Ok(file) = File::open(&path) else {
            // It went with its namespace.
            let _none = fs::remove_file(self.folder.join(FALLBACK_FILE));
            return Ok(Vec::new());
        };
        let target = self.clone();
        // A thread of its own may go elsewhere.
        let thread = std::thread::spawn(move || {
            setns(file, CloneFlags::CLONE_NEWNET)
                .with_context(|| format!("can't enter {}; run as root", path.display()))?;
            target.take_out()
        });
        thread
            .join()
            .map_err(|_| anyhow!("looking for the table of nftables broke down"))?
    }

    fn is_in_force(&self) -> Result<bool> {
        match run(&self.nft, &["list", "table", "inet", FALLBACK_TABLE]) {
            Ok(output) => Ok(output.status.success()),
            // Nobody but this program puts it in force, which then says so.
            Err(cause) => {
                let left = Fallback::read(&self.folder);
                left.filter(|left| left.in_force)
                    .map_or(Ok(false), |_| Err(cause))
            }
        }
    }
}

/// Returns the built-in minimum as a script of nftables.
fn script() -> Result<String> {
    let rules = fallback_rules::minimum_rules().context("the built-in minimum is none")?;
    Ok(table(&rules))
}

fn table(rules: &Rules) -> String {
    let mut lines = String::new();
    for rule in rules.iter() {
        for line in lines_of(rule) {
            let _a_string_has_room = writeln!(lines, "\t\t{line} accept");
        }
    }
    let answers = "ct state established,related accept";
    // Made if it is not there, so that it can be taken away: all of it is one transaction.
    format!(
        "add table inet {FALLBACK_TABLE}\ndelete table inet {FALLBACK_TABLE}\ntable inet {FALLBACK_TABLE} {{\n\
         \tchain in {{\n\t\ttype filter hook input priority 50; policy drop;\n\t\tiif lo accept\n\t\t{answers}\n{lines}\t}}\n\
         \tchain through {{\n\t\ttype filter hook forward priority 50; policy drop;\n\t\t{answers}\n\t}}\n}}\n"
    )
}

/// Returns the lines of nftables for a rule, one for each protocol.
fn lines_of(rule: &Rule) -> Vec<String> {
    let end = |name: &str, addresses: &[rules::Addresses]| {
        addresses.first().map(|first| {
            let family = if first.version() == 4 { "ip" } else { "ip6" };
            format!("{family} {name} {{ {} }}", list(addresses))
        })
    };
    let ports = |protocol: &str, name: &str, ranges: &[PortRange]| {
        let ranges: Vec<_> = ranges
            .iter()
            .map(|range| format!("{}-{}", range.first, range.last))
            .collect();
        (!ranges.is_empty()).then(|| format!("{protocol} {name} {{ {} }}", ranges.join(", ")))
    };
    let of_protocol = |protocol: &rules::Protocol| {
        let protocol = protocol.to_string();
        let types = (!rule.icmp_types.is_empty())
            .then(|| format!("{protocol} type {{ {} }}", list(&rule.icmp_types)));
        let parts = [
            end("saddr", &rule.sources),
            end("daddr", &rule.destinations),
            ports(&protocol, "sport", &rule.source_ports),
            ports(&protocol, "dport", &rule.ports),
            types,
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        parts.join(" ")
    };
    rule.protocols.iter().map(of_protocol).collect()
}

fn list(all: &[impl ToString]) -> String {
    all.iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

fn run(nft: &Path, words: &[&str]) -> Result<Output> {
    Command::new(nft)
        .args(words)
        .stdin(Stdio::null())
        .output()
        .with_context(|| unusable(nft))
}

fn run_script(nft: &Path, script: &str) -> Result<()> {
    let mut child = Command::new(nft)
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| unusable(nft))?;
    let written = child.stdin.take().map_or_else(
        || Err(io::ErrorKind::BrokenPipe.into()),
        |mut pipe| pipe.write_all(script.as_bytes()),
    );
    succeeded(child.wait_with_output()?)?;
    Ok(written?)
}

fn unusable(nft: &Path) -> String {
    format!("can't run {}", nft.display())
}

fn succeeded(output: Output) -> Result<()> {
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    bail!("nft says: {}", said.lines().next().unwrap_or_default())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    #[test]
    fn the_fallback_is_the_built_in_minimum() {
        let script = script().unwrap();
        let lines: Vec<_> = script.lines().map(str::trim).collect();
        for line in [
            "iif lo accept",
            "ct state established,related accept",
            "tcp dport { 22-22 } accept",
            "icmp type { 8, 3, 11 } accept",
            "icmpv6 type { 128, 1, 2, 3, 4, 130, 134, 135, 136 } accept",
            "udp sport { 67-67 } udp dport { 68-68 } accept",
            "ip6 saddr { fe80::/10 } udp sport { 547-547 } udp dport { 546-546 } accept",
        ] {
            assert!(lines.contains(&line), "{line}: {script}");
        }
        assert_eq!(script.matches("policy drop").count(), 2);
        assert_eq!(script.matches(" accept").count(), 8, "{script}");
        // Nothing that a rule of the minimum may ask is left out.
        for rule in fallback_rules::minimum_rules().unwrap().iter() {
            assert!(rule.interfaces.is_empty() && !rule.protocols.is_empty() && rule.enabled);
            assert!(rule.users.is_empty() && rule.programs.is_empty());
            assert!(rule.source_sets.is_empty() && rule.destination_sets.is_empty());
        }
    }

    #[test]
    fn without_nftables_it_is_said_that_everything_passes_and_nothing_is_there_to_take_out() {
        let own = tempfile::tempdir().unwrap();
        let folder = own.path().join("state");
        let target = FallbackTarget {
            netns: None,
            nft: folder.join("none"),
            folder: folder.clone(),
        };
        assert_eq!(target.take_out().unwrap(), Vec::<String>::new());
        let said = format!("{:#}", target.put_in_force(anyhow!("no such driver")));
        assert!(
            said.contains("EVERYTHING PASSES") && said.ends_with("no such driver"),
            "{said}"
        );
        let left = Fallback::read(&folder).unwrap();
        assert!(left.judges.contains("EVERYTHING PASSES"), "{left:?}");
        assert_eq!((left.in_force, &*left.cause), (false, "no such driver"));
        assert_eq!(target.take_out().unwrap(), Vec::<String>::new());
        assert_eq!(Fallback::read(&folder), None);
        // Of one that is there it is said that it can't be taken out.
        target
            .write_down(&Fallback {
                in_force: true,
                ..left
            })
            .unwrap();
        assert!(target.take_out().is_err() && Fallback::read(&folder).is_some());
    }
}
