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
/// Control sequences around the foot: it ends where the terminal does,
/// for of two lines only the last one would be cleared.
const CUT: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";

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
            "{CUT}{DIM}{} refused, {} processes · offered {} = committed {} + lost {lost} · delivered {} + in ring {}{PLAIN}{WRAP}",
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
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use channel::{Cause, Lost};
    use channel_abi::Totals;
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

    /// Screen of a terminal that obeys what this view writes, with its cursor at the last line's end.
    #[derive(Default)]
    struct Screen {
        lines: Vec<String>,
        column: usize,
        cut: bool,
    }

    impl Screen {
        const WIDTH: usize = 40;

        fn write(&mut self, text: &str) {
            let mut rest = text;
            while let Some(c) = rest.chars().next() {
                rest = &rest[c.len_utf8()..];
                match c {
                    '\x1b' => {
                        let end = rest.find(|c: char| c.is_ascii_alphabetic()).unwrap() + 1;
                        self.obey(&rest[..end]);
                        rest = &rest[end..];
                    }
                    '\r' => self.column = 0,
                    '\n' => self.new_line(),
                    c => self.print(c),
                }
            }
        }

        fn obey(&mut self, sequence: &str) {
            match sequence {
                "[2K" => self.line().clear(),
                "[?7l" => self.cut = true,
                "[?7h" => self.cut = false,
                colour => assert!(colour.ends_with('m'), "{colour}"),
            }
        }

        fn line(&mut self) -> &mut String {
            if self.lines.is_empty() {
                self.lines.push(String::new());
            }
            self.lines.last_mut().unwrap()
        }

        fn new_line(&mut self) {
            self.lines.push(String::new());
            self.column = 0;
        }

        fn print(&mut self, c: char) {
            if self.column == Self::WIDTH {
                if self.cut {
                    self.line().pop();
                    self.column -= 1;
                } else {
                    self.new_line();
                }
            }
            self.line().push(c);
            self.column += 1;
        }
    }

    #[test]
    fn the_foot_leaves_nothing_behind_in_a_terminal_that_is_narrower_than_it() {
        let mut lively = Terminal {
            program: "test",
            lively: true,
            refused: 0,
            processes: 0,
            foot: String::new(),
        };
        let lost = Lost {
            processor: 0,
            cause: Cause::NoRoom,
            count: 3,
        };
        let mut screen = Screen::default();
        for offered in 0..3 {
            let account = Account {
                kernel: Totals {
                    offered,
                    committed: offered,
                    lost: [0; 3],
                },
                delivered: offered,
                in_ring: 0,
                lost_told: [0; 3],
                gaps: 0,
            };
            screen.write(&lively.account(&account));
        }
        assert_eq!(screen.lines.len(), 1, "{:?}", screen.lines);
        screen.write(&lively.entry(&Entry::lost(UNIX_EPOCH, lost)));
        screen.write(&lively.remark("the driver ended it"));
        let feet = screen.lines.iter().filter(|line| line.contains("refused"));
        assert_eq!(feet.count(), 1, "{:?}", screen.lines);
        let foot = screen.lines.last().unwrap();
        assert!(foot.starts_with("0 refused"), "{foot:?}");
        assert!(lively.leave().ends_with(CLEAR));
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
