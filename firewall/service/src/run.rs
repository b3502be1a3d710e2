//! The service's life: start, serve, reload, stop.

use crate::control_server::Control;
use crate::firewall::{Config, Firewall, Mailbox, MailboxReceiver};
use crate::load_error;
use crate::recover::{self, Locations};
use crate::sd_notify::Manager;
use crate::signals::Signals;
use crate::state::{FETCHED_HERE, KEPT_HERE};
use crate::sweep::NextSweep;
use crate::troubles::Wrong;
use crate::{capabilities, confinement, helper, keeper, log, rejected, sockets, subscriptions};
use anyhow::{Context, Result, ensure};
use clap::Parser;
use history::Bounds;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use tracing::error;

/// Files that may be open at once: what systemd gives it, and it takes without.
const OPEN_FILES: u64 = 65_536;
/// A database takes that much, whatever is in it.
const SMALLEST_HISTORY: u64 = 1 << 20;

/// The Gatebell service: loads the driver into a zone and serves the apps that attach to it.
///
/// SIGHUP reads the rules again, SIGUSR1 prints what was counted so far, SIGTERM or SIGINT ends the service. The driver
/// stays in the kernel then, also when the service is killed: what becomes of packets the rule file's `fail_mode` says.
/// The next start takes over; `gatebelld --recover` takes everything out.
#[derive(Parser)]
#[command(name = "gatebelld", version, max_term_width = 100)]
struct Arguments {
    /// The zone's network namespace: a path, or a name under /run/netns; left out: the one it is started in
    #[arg(long)]
    zone_netns: Option<PathBuf>,
    /// The zone's control group (version 2), as a folder
    #[arg(long, default_value = "/sys/fs/cgroup")]
    zone_cgroup: PathBuf,
    /// The rule file
    #[arg(long, default_value = "/etc/gatebell/rules.toml")]
    rules: PathBuf,
    /// The socket at which apps attach to the driver
    #[arg(long, default_value = "/run/gatebell/device.sock")]
    socket: PathBuf,
    /// The socket at which `gatebell` finds the service
    #[arg(long, default_value = control::SOCKET)]
    control: PathBuf,
    /// The driver's object
    #[arg(long, default_value = "/usr/lib/gatebell/gatebell_firewall.bpf.o")]
    driver: PathBuf,
    /// The folder, in a bpffs, in which the kernel keeps the driver when the service is gone
    #[arg(long, default_value = control::PINS)]
    pins: PathBuf,
    /// The folder in which the service writes down what the next one has to know
    #[arg(long, default_value = control::STATE)]
    state: PathBuf,
    /// The folder, on a disk, in which the last good rules and lists are kept for a start at which they are not; left
    /// out: /var/lib/gatebell, or with another --state a folder in that
    #[arg(long)]
    kept: Option<PathBuf>,
    /// The folder in which who fetches lists leaves them, which nothing else is believed of; left out:
    /// /var/lib/gatebell-lists, or with another --state a folder in that
    #[arg(long)]
    lists: Option<PathBuf>,
    /// Kernel memory that the firewall may take, as 256MiB or 1GiB:
    /// rules and apps' rings that would take more are refused
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = size)]
    kernel_memory: u64,
    /// Keep what happened for so many days, in the folder --kept; 0: keep nothing
    #[arg(long, value_name = "DAYS", default_value_t = 90)]
    history_days: u32,
    /// And at most so much of it: the oldest goes first
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = size)]
    history_size: u64,
    /// The program of nftables: where no driver can be loaded, a table of its guards by the built-in minimum
    #[arg(long, default_value = "/usr/sbin/nft")]
    nft: PathBuf,
    /// The socket at which systemd starts who answers what is rejected; left out:
    /// the service starts it, and needs CAP_NET_RAW
    #[arg(long, value_name = "SOCKET")]
    rejected: Option<PathBuf>,
    /// The socket at which systemd starts who finds the sockets that are older than the driver; left out: the service
    /// finds them, and needs pidfd_getfd()
    #[arg(long, value_name = "SOCKET")]
    older_sockets: Option<PathBuf>,
    /// Take everything out of the kernel when asked to end: for a zone that ends with the service
    #[arg(long)]
    leave_nothing: bool,
    /// Take everything out of the kernel now, whatever state it is in, say what was there, and end
    #[arg(long)]
    recover: bool,
}

/// Main function of a process that is a part of the service.
type Helper = fn() -> ExitCode;

/// Parts of the service that are processes of their own, by the names under which its program is started for them.
const HELPERS: [(&str, Helper); 2] = [
    (rejected::process::NAME, rejected::process::answer_rejected),
    (sockets::process::NAME, sockets::process::find_sockets),
];

/// Runs the service with this command line, its own name first, until it is asked to end.
pub fn run(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    for (name, run) in HELPERS {
        if helper::is_named(name) {
            log::open();
            return run();
        }
    }
    let arguments = Arguments::parse_from(words);
    log::open();
    let done = permitted().and_then(|()| {
        if arguments.recover {
            recovered(&arguments.locations())
        } else {
            serve(&arguments)
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            let said = load_error::said(&failed, &arguments.state);
            error!("{said}{}", confinement::hint(&failed));
            ExitCode::FAILURE
        }
    }
}

/// Refuses to begin without any capability: what the kernel then hides is not there for who looks,
/// and what it forbids is no failure of the driver.
fn permitted() -> Result<()> {
    let is_permitted = capabilities::is_any_there().context("can't read the capabilities")?;
    ensure!(
        is_permitted,
        "only root may do that; `sudo systemctl start gatebell` starts the service, `sudo gatebell recover` takes out of the kernel \
         what it has put there"
    );
    Ok(())
}

impl Arguments {
    fn config(&self) -> Config {
        Config {
            netns: self.zone_netns.clone(),
            cgroup: self.zone_cgroup.clone(),
            rules: self.rules.clone(),
            driver: self.driver.clone(),
            pins: self.pins.clone(),
            state: self.state.clone(),
            kept: self.kept.clone().unwrap_or_else(|| self.usually_kept()),
            fetched: self.lists.clone().unwrap_or_else(|| self.usually_fetched()),
            socket: self.socket.clone(),
            control: self.control.clone(),
            kernel_memory: self.kernel_memory,
            history: self.history(),
            nft: self.nft.clone(),
            rejected: self.rejected.clone(),
            older_sockets: self.older_sockets.clone(),
        }
    }

    fn history(&self) -> Option<Bounds> {
        (self.history_days > 0).then_some(Bounds {
            days: self.history_days,
            bytes: self.history_size.max(SMALLEST_HISTORY),
        })
    }

    fn usually_kept(&self) -> PathBuf {
        if self.state == Path::new(control::STATE) {
            keeper::FOLDER.into()
        } else {
            self.state.join(KEPT_HERE)
        }
    }

    fn usually_fetched(&self) -> PathBuf {
        if self.state == Path::new(control::STATE) {
            subscriptions::FOLDER.into()
        } else {
            self.state.join(FETCHED_HERE)
        }
    }

    fn locations(&self) -> Locations {
        self.config().locations()
    }
}

/// A number of bytes, as people write it.
fn size(text: &str) -> Result<u64, String> {
    let wrong =
        || format!("`{text}` is no size; write a whole number and a unit, as 256MiB or 1GiB");
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "KiB" | "K" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        _ => return Err(wrong()),
    };
    number
        .parse()
        .ok()
        .and_then(|number: u64| number.checked_mul(unit))
        .ok_or_else(wrong)
}

fn recovered(locations: &Locations) -> Result<()> {
    let taken = recover::recover(locations)?;
    announce(&json!({ "recovered": taken }));
    Ok(())
}

/// Has room for what members of the group send, which the doors bound by this. Who may not have it gets smaller bounds.
fn raise_open_files() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < OPEN_FILES
    {
        let _smaller = setrlimit(Resource::RLIMIT_NOFILE, OPEN_FILES.min(hard), hard);
    }
}

fn serve(arguments: &Arguments) -> Result<()> {
    raise_open_files();
    let signals = Signals::watch().context("can't watch for signals")?;
    let mut manager = Manager::meet();
    let mut firewall = Firewall::start(arguments.config())?;
    let (mailbox, receiver) = Mailbox::open().context("can't make the main loop's mailbox")?;
    let control =
        Control::open(&arguments.control, mailbox, firewall.history()).with_context(|| {
            format!(
                "can't open the control socket {}",
                arguments.control.display()
            )
        });
    // Without it the firewall guards all the same.
    let mut control = control.inspect_err(|cause| error!("{cause:#}")).ok();
    let status = firewall.status();
    announce(&json!({
        "ready": true, "generation": status.rules.generation, "rules": status.rules.rules, "adopted": status.adopted,
    }));
    manager.ready(&in_short(&mut firewall));
    let served = turns(
        &mut firewall,
        &signals,
        &receiver,
        control.as_mut(),
        &mut manager,
    );
    manager.stopping();
    // A peer that still waits for an answer hears that there is none.
    drop(receiver);
    // Nothing is decided on any more before the last account, and no tombstone comes before the last record.
    let out = if arguments.leave_nothing {
        recover::take_out(&arguments.locations())
    } else {
        Ok(Vec::new())
    };
    // What can't be counted any more keeps nobody from being told that it ends.
    let counted = counted("end", &mut firewall).map(|account| announce(&account));
    firewall.detach_apps();
    served.and(out.map(drop)).and(counted)
}

fn turns(
    firewall: &mut Firewall,
    signals: &Signals,
    receiver: &MailboxReceiver,
    mut control: Option<&mut Control>,
    manager: &mut Manager,
) -> Result<()> {
    let mut next = NextSweep::after(Instant::now(), firewall.sweep());
    while !signals.stop() {
        let due = manager.due().map_or(next.at(), |due| due.min(next.at()));
        let timeout = due.saturating_duration_since(Instant::now());
        firewall.turn(timeout, &[signals.as_fd(), receiver.as_fd()])?;
        signals.drain();
        receiver.work_off(firewall);
        if signals.reload() {
            reload(firewall, manager);
        }
        if signals.tell() {
            announce(&counted("verdicts", firewall)?);
        }
        if let Some(generation) = firewall.expire() {
            announce(
                &json!({ "lease_ended": generation, "generation": firewall.rules().generation }),
            );
            manager.status(&in_short(firewall));
        }
        let now = Instant::now();
        if next.is_due(now) {
            next = NextSweep::after(now, firewall.sweep());
        }
        manager.alive(|| control.as_mut().is_none_or(|control| control.lives()));
    }
    Ok(())
}

/// A bad file changes nothing: the generation in force stays.
fn reload(firewall: &mut Firewall, manager: &Manager) {
    manager.reloading();
    // What is wrong was said where it was found.
    let _said = firewall.reload();
    announce(&json!({ "reloaded": firewall.rules().generation }));
    manager.ready(&in_short(firewall));
}

/// One line for `systemctl status`.
fn in_short(firewall: &mut Firewall) -> String {
    let status = firewall.status();
    let mut line = String::new();
    if let [first, rest @ ..] = &status.trouble[..] {
        let more = if rest.is_empty() {
            String::new()
        } else {
            format!(" (and {} more: `gatebell status`)", rest.len())
        };
        let first = Wrong::from(first.clone()).to_string();
        let first = first.lines().next().unwrap_or_default();
        line = format!("TROUBLE: {first}{more}; ");
    }
    line.push_str(&format!(
        "generation {}, {} rules",
        status.rules.generation, status.rules.rules
    ));
    if let Some(lease) = status.lease {
        line.push_str(&format!(
            ", on a lease: generation {} returns unless it is confirmed",
            lease.fallback
        ));
    }
    line
}

/// Returns the driver's counters, and their sums over all directions, as JSON under this name.
fn counted(what: &str, firewall: &mut Firewall) -> Result<Value> {
    let stats = firewall.stats()?;
    let mut counted = json!(stats);
    counted["blocked"] = json!(stats.blocked_in + stats.blocked_out + stats.blocked_forward);
    counted["allowed"] = json!(stats.allowed_in + stats.allowed_out + stats.allowed_forward);
    Ok(json!({ what: counted }))
}

/// One line for the program that started us. Whether it still reads is its own affair.
fn announce(line: &Value) {
    let mut out = std::io::stdout().lock();
    let _nobody_reads = writeln!(out, "{line}").and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_a_unit() {
        assert_eq!(size("256MiB"), Ok(256 << 20));
        assert_eq!(size("1G"), size("1GiB"));
        assert_eq!(size("3K"), Ok(3072));
        for wrong in [
            "",
            "256",
            "MiB",
            "-1MiB",
            "1.5GiB",
            "1mb",
            "99999999999999999GiB",
        ] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
