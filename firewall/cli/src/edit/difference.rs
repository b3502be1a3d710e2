//! Differences between two texts, line by line.

use crate::style;
use firewall_abi::packet::Verdict;
use rules::clean_line;
use similar::{ChangeTag, TextDiff};
use std::io::{self, Write};

/// Lines of what stays the same around each change.
const AROUND: usize = 2;

/// The difference as `diff -u` writes it, without its head; nothing if there is none.
pub fn unified(old: &str, new: &str) -> String {
    TextDiff::from_lines(old, new)
        .unified_diff()
        .context_radius(AROUND)
        .missing_newline_hint(false)
        .to_string()
}

/// Prints the differences for people, with colours.
pub fn print(out: &mut dyn Write, old: &str, new: &str) -> io::Result<()> {
    let difference = TextDiff::from_lines(old, new);
    for hunk in difference
        .unified_diff()
        .context_radius(AROUND)
        .iter_hunks()
    {
        let faint = style::FAINT;
        writeln!(out, "{faint}{}{faint:#}", hunk.header())?;
        for change in hunk.iter_changes() {
            let (mark, colour) = match change.tag() {
                ChangeTag::Delete => ('-', style::verdict(Verdict::Block)),
                ChangeTag::Insert => ('+', style::verdict(Verdict::Allow)),
                ChangeTag::Equal => (' ', style::FAINT),
            };
            let line = clean_line(change.value().trim_end_matches(['\n', '\r']));
            writeln!(out, "{colour}{mark}{line}{colour:#}")?;
        }
    }
    Ok(())
}
