//! `gatebell watch`: what the driver tells, as it happens.

use super::contacts;
use super::filter::{FilterArguments, mask};
use super::last::keep;
use crate::Error;
use channel::Account;
use clap::{Args, ValueHint};
use control::{HistoryRow, ServiceNames};
use firewall_abi::packet::Verdict;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;
use view::entry::{Entry, EntryContent, Update};
use view::filter::Filter;
use view::reader::{self, Summary, Told};
use view::terminal::Terminal;

/// Text below the command's help.
pub const HELP: &str = "\
Examples:
  gatebell watch --verdict block
  gatebell watch --direction out --program /usr/bin/curl --address 192.0.2.0/24
  gatebell watch --interface 'wg*'
  gatebell watch --json --kind packet --rule no-telnet

A program that talks for the first time, or for the first time since its file has changed, is told of once, a few seconds later, as \
the history has it; not where --kind or --interface says what is asked for.

With --json each line is an object: kind packet, process_start, process_exit, lost, contact; ended and attached when the service \
ends and is back; account at the end.

Exit codes:
  0  every record is accounted for
  1  it is not, or there is no service; a message says what to do
  2  the command line is wrong";

/// `gatebell watch`.
#[derive(Debug, Args)]
pub struct WatchArguments {
    /// Only records of this kind; may be given several times
    #[arg(long)]
    pub kind: Vec<RecordKind>,
    /// Filter of the records.
    #[command(flatten)]
    pub only: FilterArguments,
    /// Only packets that come in or go out by this device, or by one whose name begins so
    /// (wg*); may be given several times
    #[arg(long, value_name = "NAME", value_parser = rules::words::interface)]
    pub interface: Vec<String>,
    /// Print one JSON object for each record, loss and event
    #[arg(long)]
    pub json: bool,
    /// The driver's device
    #[arg(long, value_name = "PATH", default_value = control::DEVICE, value_hint = ValueHint::FilePath)]
    pub device: PathBuf,
    /// The service's control socket, which knows the names of rules
    #[arg(long, value_name = "PATH", default_value = control::SOCKET, value_hint = ValueHint::FilePath)]
    pub socket: PathBuf,
}

impl WatchArguments {
    /// Returns whether first connections of programs are shown: no kind of record is one, and their device is not kept.
    fn asks_of_contacts(&self) -> bool {
        self.kind.is_empty() && self.interface.is_empty()
    }

    /// Returns the filter that the arguments ask for.
    pub fn filter(&self) -> Filter {
        Filter {
            interface: self.interface.clone(),
            ..self.only.filter()
        }
    }
}

/// A kind of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum RecordKind {
    /// Packets
    Packet,
    /// Programs that start
    Start,
    /// Processes that end
    Exit,
}

/// Interval between two looks for a service that is gone.
const AGAIN: Duration = Duration::from_millis(250);

/// Shows what happens until Ctrl-C; 1 if records are unaccounted for.
pub fn watch(arguments: &WatchArguments, out: &mut dyn Write) -> Result<u8, Error> {
    let stop = stop_flag()?;
    let mut names = ServiceNames::new(&arguments.socket);
    let mut view = View::new(arguments);
    let mut code = 0;
    let mut attached_before = false;
    while !view.deaf {
        let summary = match view.read(&mut names, &stop, out) {
            Ok(summary) => summary,
            // Gone, or not there yet again: it is waited for, if it has been there before.
            Err(error) if attached_before && error.gone() && !stop.load(Ordering::Acquire) => {
                std::thread::sleep(AGAIN);
                continue;
            }
            Err(_) if attached_before && stop.load(Ordering::Acquire) => break,
            Err(error) => return Err(error),
        };
        code |= u8::from(!summary.account.balances());
        let ended = summary.ended.is_some() && !stop.load(Ordering::Acquire);
        view.account(&summary, ended, out)?;
        if !ended {
            break;
        }
        (attached_before, view.away) = (true, true);
        names.forget();
    }
    if code == 0 {
        Ok(0)
    } else {
        Err(Error::Unbalanced("this app".to_owned()))
    }
}

struct View<'a> {
    arguments: &'a WatchArguments,
    filter: Filter,
    terminal: Terminal,
    hidden: u64,
    /// Nobody reads what is shown.
    deaf: bool,
    /// The service has ended, and it is not known yet to be back.
    away: bool,
    /// The last refused packet that was shown.
    last: Option<Value>,
    /// Programs that talk for the first time; none: they are not asked for.
    contacts: Option<Receiver<HistoryRow>>,
}

impl<'a> View<'a> {
    fn new(arguments: &'a WatchArguments) -> Self {
        let terminal = Terminal::new("gatebell");
        Self {
            arguments,
            filter: arguments.filter(),
            terminal,
            hidden: 0,
            deaf: false,
            away: false,
            last: None,
            contacts: arguments
                .asks_of_contacts()
                .then(|| contacts::follow(&arguments.socket)),
        }
    }

    /// Attaches, and shows all until it ends.
    fn read(
        &mut self,
        names: &mut ServiceNames,
        stop: &Arc<AtomicBool>,
        out: &mut dyn Write,
    ) -> Result<Summary, Error> {
        let mask = mask(self.arguments);
        let device = &self.arguments.device;
        reader::read(device, mask, names, stop, &mut |told| self.show(&told, out))
            .map_err(Error::of_device)
    }

    /// Shows one thing. False: nobody looks any more.
    fn show(&mut self, told: &Told<'_>, out: &mut dyn Write) -> bool {
        if std::mem::take(&mut self.away) {
            self.deaf |= self.back(out).is_err();
        }
        let shown = match &told.update {
            Update::Entry(entry) if !self.filter.shows(&entry.what) => {
                self.hidden += 1;
                return true;
            }
            Update::Entry(entry) => self.entry(&entry.what, told, out),
            // The end of a drain.
            Update::Account(_) => {
                if let Some(record) = self.last.take() {
                    keep(&record.to_string());
                }
                let foot = if self.arguments.json {
                    String::new()
                } else {
                    self.terminal.text(told)
                };
                out.write_all(foot.as_bytes())
                    .and_then(|()| self.contacts(out))
                    .and_then(|()| out.flush())
            }
            // Said with the account.
            Update::Ended(_) => Ok(()),
        };
        self.deaf |= shown.is_err();
        shown.is_ok()
    }

    fn entry(
        &mut self,
        what: &EntryContent,
        told: &Told<'_>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let refused =
            matches!(what, EntryContent::Packet(packet) if Verdict::refuses(packet.verdict as u8));
        let object = if refused || self.arguments.json {
            view::json::line(told)
        } else {
            None
        };
        let written = match &object {
            Some(object) if self.arguments.json => writeln!(out, "{object}"),
            _ => out.write_all(self.terminal.text(told).as_bytes()),
        };
        if refused {
            self.last = object;
        }
        written
    }

    /// Programs that have talked for the first time since the last look.
    fn contacts(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let news: Vec<_> = self.contacts.iter().flat_map(Receiver::try_iter).collect();
        for entry in news.into_iter().map(Entry::contact) {
            if self.filter.shows(&entry.what) {
                let told = Told {
                    update: Update::Entry(entry.clone()),
                    record: None,
                };
                self.entry(&entry.what, &told, out)?;
            }
        }
        Ok(())
    }

    /// Prints the result of an attachment, and, if the service ended it, that the command waits for the service.
    fn account(
        &mut self,
        summary: &Summary,
        ended: bool,
        out: &mut dyn Write,
    ) -> Result<(), Error> {
        let hidden = std::mem::take(&mut self.hidden);
        if self.arguments.json {
            let mut object = view::json::summary(summary);
            object["kind"] = json!(if ended { "ended" } else { "account" });
            object["hidden"] = json!(hidden);
            writeln!(out, "{object}")?;
        } else {
            writeln!(
                out,
                "{}{}",
                self.terminal.leave(),
                books(&summary.account, hidden)
            )?;
            if ended {
                writeln!(
                    out,
                    "The service has ended. Its rules may stay in force, but what happens is not seen here until it is back: waiting for it."
                )?;
            }
        }
        Ok(out.flush()?)
    }

    /// Prints that the service is back.
    fn back(&mut self, out: &mut dyn Write) -> Result<(), Error> {
        if self.arguments.json {
            writeln!(out, "{}", json!({ "kind": "attached" }))?;
        } else {
            writeln!(out, "The service is back.")?;
        }
        Ok(out.flush()?)
    }
}

fn books(account: &Account, hidden: u64) -> String {
    let Account {
        kernel,
        delivered,
        in_ring,
        ..
    } = account;
    let lost = kernel.lost_in_all();
    let sign = if account.balances() {
        ""
    } else {
        "  DOES NOT BALANCE"
    };
    let hidden = if hidden == 0 {
        String::new()
    } else {
        format!(", {hidden} of them not shown, as asked")
    };
    let untold = match account.lost_untold() {
        0 => String::new(),
        n => format!("; {n} of the losses came last, after the last record"),
    };
    format!(
        "offered {} = committed {} + lost {lost}; delivered {delivered}{hidden}, in ring {in_ring}{untold}{sign}",
        kernel.offered, kernel.committed
    )
}

/// Set by Ctrl-C and by a polite request to end.
fn stop_flag() -> Result<Arc<AtomicBool>, Error> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, stop.clone())?;
    }
    Ok(stop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use channel_abi::Totals;

    #[test]
    fn programs_that_talk_for_the_first_time_are_told_of_only_where_the_filters_can_be_asked_of_them()
     {
        let asks = |words: &[&str]| {
            let words = ["gatebell", "watch"].iter().chain(words);
            let parsed = crate::parse_from(words.map(Into::into));
            let crate::Command::Watch(arguments) = parsed.command else {
                panic!("it is another command");
            };
            arguments.asks_of_contacts()
        };
        assert!(asks(&[]));
        assert!(asks(&["--program", "/usr/bin/curl"]));
        assert!(!asks(&["--interface", "wg*"]));
        assert!(!asks(&["--kind", "packet"]));
    }

    #[test]
    fn the_account_says_what_was_lost_and_what_was_not_shown() {
        let kernel = Totals {
            offered: 10,
            committed: 7,
            lost: [3, 0, 0],
        };
        let account = Account {
            kernel,
            delivered: 7,
            in_ring: 0,
            lost_told: [1, 0, 0],
            gaps: 1,
        };
        assert_eq!(
            books(&account, 4),
            "offered 10 = committed 7 + lost 3; delivered 7, 4 of them not shown, as asked, in ring 0; \
             2 of the losses came last, after the last record"
        );
        let account = Account {
            delivered: 6,
            ..account
        };
        assert!(books(&account, 0).ends_with("DOES NOT BALANCE"));
    }
}
