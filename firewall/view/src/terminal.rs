//! Live terminal view: a line for each record where it happened, and the accounting at the foot.

use crate::entry::{Entry, EntryContent, Update};
use crate::reader::Told;
use channel::Account;
use firewall_abi::packet::Verdict;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write};

const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[1;33m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";
/// Control sequence that goes back to the line's start, and clears the line.
const CLEAR: &str = "\r\x1b[2K";

/// View in a terminal. Colours and the line at the foot are for terminals only; a file gets plain lines.
pub struct Terminal {
    program: &'static str,
    lively: bool,
    refused: u64,
    processes: u64,
    foot: String,
}

impl Terminal {
    /// Returns a view on standard output, of the program with this name.
    #[must_use]
    pub fn new(program: &'static str) -> Self {
        let lively = std::io::stdout().is_terminal()
            && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
        Self {
            program,
            lively,
            refused: 0,
            processes: 0,
            foot: String::new(),
        }
    }

    /// Returns the text to write for an update.
    #[must_use]
    pub fn text(&mut self, told: &Told<'_>) -> String {
        match &told.update {
            Update::Entry(entry) => self.entry(entry),
            Update::Account(account) => self.account(account),
            Update::Ended(why) => self.remark(why),
        }
    }

    /// Returns the text to write before anything else than this view is written: the foot goes.
    pub fn leave(&mut self) -> &'static str {
        self.foot.clear();
        if self.lively { CLEAR } else { "" }
    }

    /// Shows an update. Returns `false` if nobody looks any more.
    pub fn show(&mut self, told: &Told<'_>) -> bool {
        let text = self.text(told);
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .is_ok()
    }

    fn entry(&mut self, entry: &Entry) -> String {
        let colour = match &entry.what {
            EntryContent::Packet(packet) if Verdict::refuses(packet.verdict as u8) => {
                self.refused += 1;
                RED
            }
            EntryContent::Packet(packet) if packet.verdict == Verdict::Ask => YELLOW,
            EntryContent::Packet(_) => GREEN,
            EntryContent::Process(process) => {
                self.processes += u64::from(process.ended.is_none());
                DIM
            }
            EntryContent::Lost(_) | EntryContent::Unreadable(_) | EntryContent::Contact(_) => {
                YELLOW
            }
        };
        if self.lively {
            format!("{CLEAR}{colour}{entry}{PLAIN}\n{}", self.foot)
        } else {
            format!("{entry}\n")
        }
    }

    /// Returns the accounting, at the foot of a terminal.
    fn account(&mut self, account: &Account) -> String {
        if !self.lively {
            return String::new();
        }
        let mut foot = String::new();
        let lost = account.kernel.lost_in_all();
        let _infallible = write!(
            foot,
            "{DIM}{} refused, {} processes · offered {} = committed {} + lost {lost} · delivered {} + in ring {}{PLAIN}",
            self.refused,
            self.processes,
            account.kernel.offered,
            account.kernel.committed,
            account.delivered,
            account.in_ring
        );
        let text = format!("{CLEAR}{foot}");
        let unchanged = foot == self.foot;
        self.foot = foot;
        if unchanged { String::new() } else { text }
    }

    /// Returns a remark of the program itself, above the foot.
    fn remark(&self, text: &str) -> String {
        let (clear, foot) = if self.lively {
            (CLEAR, self.foot.as_str())
        } else {
            ("", "")
        };
        format!("{clear}{}: {text}\n{foot}", self.program)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use channel::{Cause, Lost};
    use std::time::UNIX_EPOCH;

    #[test]
    fn a_file_gets_plain_lines() {
        let mut plain = Terminal {
            program: "test",
            lively: false,
            refused: 0,
            processes: 0,
            foot: String::new(),
        };
        let lost = Lost {
            processor: 0,
            cause: Cause::NoRoom,
            count: 3,
        };
        let line = plain.entry(&Entry::lost(UNIX_EPOCH, lost));
        assert!(line.contains("LOST") && !line.contains('\x1b'), "{line:?}");
    }

    #[test]
    fn the_foot_stays_below_the_lines() {
        let mut lively = Terminal {
            program: "test",
            lively: true,
            refused: 0,
            processes: 0,
            foot: "the foot".to_owned(),
        };
        let lost = Lost {
            processor: 0,
            cause: Cause::NoRoom,
            count: 3,
        };
        assert!(
            lively
                .entry(&Entry::lost(UNIX_EPOCH, lost))
                .ends_with("the foot")
        );
    }
}
