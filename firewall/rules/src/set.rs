//! Sets of addresses: in the rule file itself, or in files as public block lists come.

use crate::address::Addresses;
use crate::report::{Finding, Report, SHOWN, printable, shown};
use crate::resolver::SetFile;

/// A named set of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// Its name, unlike any other's in the file; rules ask for it as `@name`.
    pub id: String,
    /// The line that its name stands in.
    pub line: usize,
    /// The file that holds addresses of it, as the rule file names it.
    pub file: Option<String>,
    /// How many entries it has, those of its file too.
    pub entries: usize,
    /// What it is for.
    pub comment: Option<String>,
}

/// The addresses of a set, in any order, as often as they stand there.
#[derive(Debug, Default)]
pub(crate) struct Members {
    pub(crate) v4: Vec<(u32, u32)>,
    pub(crate) v6: Vec<(u128, u128)>,
}

impl Members {
    pub(crate) fn add(&mut self, addresses: Addresses) {
        self.v4.extend(addresses.v4());
        self.v6.extend(addresses.v6());
    }

    pub(crate) fn entries(&self) -> usize {
        self.v4.len() + self.v6.len()
    }
}

/// Reads a file of one entry a line, with comments behind `#` or `;`.
pub(crate) fn read_file(file: &SetFile, members: &mut Members, report: &mut Report<'_>) {
    let mut wrong = 0_usize;
    let mut beyond = 0;
    let text = file
        .bytes
        .strip_prefix(b"\xEF\xBB\xBF")
        .unwrap_or(&file.bytes);
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let entry = line
            .split(|byte| matches!(byte, b'#' | b';'))
            .next()
            .unwrap_or_default()
            .trim_ascii();
        if entry.is_empty() {
            continue;
        }
        match addresses(entry) {
            Ok(addresses) => members.add(addresses),
            Err(message) => {
                wrong += 1;
                if wrong <= SHOWN {
                    let column = 1 + line
                        .iter()
                        .take_while(|byte| byte.is_ascii_whitespace())
                        .count();
                    report.error_elsewhere(finding(file, number, column, &message));
                } else if wrong == SHOWN + 1 {
                    beyond = number;
                }
            }
        }
    }
    if wrong > SHOWN {
        let message = format!(
            "and {} more lines are wrong, from this one on",
            grouped(wrong - SHOWN)
        );
        report.error_elsewhere(finding(file, beyond, 1, &message));
    }
}

fn finding(file: &SetFile, line: usize, column: usize, message: &str) -> Finding {
    Finding {
        file: file.name.clone(),
        line,
        column,
        message: printable(message),
    }
}

fn addresses(entry: &[u8]) -> Result<Addresses, String> {
    let Ok(text) = std::str::from_utf8(entry) else {
        return Err("this is no text; a line holds an address, a prefix or a range".into());
    };
    text.parse().map_err(|wrong| {
        if text.split_ascii_whitespace().nth(1).is_some() && !text.contains('-') {
            return format!(
                "`{}` is more than one entry: a line holds one address, prefix or range; lists of host names are \
                 not read",
                shown(text)
            );
        }
        wrong
    })
}

/// A number as messages have it: `1,234`.
#[must_use]
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
