//! `gatebell dry-run`: a capture's packets, judged as the driver would.

mod account;
mod arguments;
mod expect;
mod fragments;
mod judge;
mod neighbours;
#[cfg(target_os = "linux")]
mod past;
#[cfg(target_os = "linux")]
mod past_account;
mod print;

pub use arguments::{DryRunArguments, HELP};

use crate::Error;
use crate::capture::{Broken, Capture, Packet, link_advice};
use crate::progress::Progress;
use crate::rule_file::{RuleFile, is_standard_input, name};
use crate::zone::ZoneAddresses;
use account::Account;
use control::SetMember;
use judge::{Judge, Judged};
use print::Printer;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

/// Judges the capture, prints what there is to print, and holds it against what was expected.
pub fn run(arguments: &DryRunArguments, out: &mut dyn Write) -> Result<u8, Error> {
    match &arguments.pcap {
        Some(capture) => judge_capture(capture, arguments, out),
        #[cfg(target_os = "linux")]
        None => past_account::run(arguments, out),
        // The command line asks for one.
        #[cfg(not(target_os = "linux"))]
        None => Ok(0),
    }
}

fn judge_capture(
    capture: &Path,
    arguments: &DryRunArguments,
    out: &mut dyn Write,
) -> Result<u8, Error> {
    let members = arguments.members()?;
    let load = |path: &Path| -> Result<RuleFile, Error> {
        let mut file = RuleFile::load(path)?;
        arguments.networks.put_or_say(&mut file)?;
        file.join(members.clone())?;
        Ok(file)
    };
    let rules = load(&arguments.rules)?;
    let other = arguments.against.as_deref().map(load).transpose()?;
    expect::check_names(&arguments.expect, &rules, other.is_some())?;
    let mut account = Account::new(&rules);
    let printer = Printer {
        rules: &rules,
        other: other.as_ref(),
        quiet: arguments.quiet,
        json: arguments.json,
    };
    let ended = judge_all(capture, arguments, &printer, &mut account, out);
    account.complete = ended.is_ok();
    if account.complete || account.packets > 0 {
        printer.summary(&account, out)?;
    }
    ended?;
    expect::hold(&arguments.expect, &rules, &account)?;
    Ok(0)
}

impl DryRunArguments {
    /// Returns the members that have joined sets by now, or none if they are not to count.
    #[cfg(target_os = "linux")]
    fn members(&self) -> Result<Vec<SetMember>, Error> {
        if self.joined {
            crate::live::members(&self.service.socket)
        } else {
            Ok(Vec::new())
        }
    }

    /// There is no service that could be asked.
    #[cfg(not(target_os = "linux"))]
    fn members(&self) -> Result<Vec<SetMember>, Error> {
        Ok(Vec::new())
    }
}

fn judge_all(
    capture: &Path,
    arguments: &DryRunArguments,
    printer: &Printer<'_>,
    account: &mut Account,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let file = name(capture);
    let broken = |broken: Broken| Error::Capture {
        file: file.clone(),
        broken,
    };
    let (source, size) = open(capture)?;
    let mut progress = Progress::new(size, !arguments.quiet);
    let mut capture = Capture::new(progress.meter(source)).map_err(broken)?;
    let mut judge = Judge::new(ZoneAddresses(&arguments.zone), printer.rules, printer.other);
    let mut packet = Packet::default();
    while capture.next(&mut packet).map_err(broken)? {
        progress.at(packet.number);
        let judged = judge.packet(&packet)?;
        take(&judged, printer, account, &packet, out)?;
    }
    account.full = judge.full();
    all_unread(account).map_or(Ok(()), |unread| Err(broken(unread)))
}

/// A capture of which nothing is read says nothing of the rules.
fn all_unread(account: &Account) -> Option<Broken> {
    let none = account.packets > 0 && account.unread_packets() == account.packets;
    let advices = account
        .unread
        .keys()
        .map(|link_type| link_advice(*link_type));
    none.then(|| Broken::UnreadLinks {
        kinds: print::kinds(&account.unread_names()),
        advice: advices
            .filter(|advice| !advice.is_empty())
            .map(|advice| format!("{advice}; "))
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect(),
    })
}

fn take(
    judged: &Judged,
    printer: &Printer<'_>,
    account: &mut Account,
    packet: &Packet,
    out: &mut dyn Write,
) -> Result<(), Error> {
    account.packets += 1;
    match judged {
        Judged::Not(reason) => account.unjudged(*reason),
        Judged::Verdicts(parsed, verdicts) => {
            for verdict in verdicts {
                account.verdict(verdict);
                account.changed += u64::from(printer.changed(verdict));
                printer.verdict(packet, parsed, verdict, out)?;
            }
            return Ok(());
        }
    }
    printer.unjudged(packet, judged, out)?;
    Ok(())
}

fn open(path: &Path) -> Result<(Box<dyn Read + Send>, Option<u64>), Error> {
    if is_standard_input(path) {
        return Ok((Box::new(io::stdin()), None));
    }
    let unreadable = |cause| Error::Unreadable {
        file: path.to_owned(),
        cause,
    };
    let file = File::open(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    Ok((Box::new(file), Some(size)))
}
