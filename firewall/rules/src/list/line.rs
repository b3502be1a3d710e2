//! Reader of lists of one entry a line, in the formats that are in use.

use super::List;
use crate::address::{Addresses, listed, netmask};
use crate::report::shown;
use std::net::IpAddr;

/// Contents of a line.
enum Line {
    /// No entry.
    Nothing,
    /// Entries; the second value of each says whether bits behind its prefix were cut off.
    Entries(Vec<(Addresses, bool)>),
    /// Names of columns, maybe.
    Columns,
}

pub(super) fn read(text: &[u8], list: &mut List) {
    let mut first = true;
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let column = 1 + line
            .iter()
            .take_while(|byte| byte.is_ascii_whitespace())
            .count();
        let text = String::from_utf8_lossy(line.trim_ascii());
        match line_of(&text) {
            Ok(Line::Nothing) => continue,
            Ok(Line::Columns) if first => {}
            Ok(Line::Columns) => list.wrong(number, column, &no_entry(&text)),
            Ok(Line::Entries(entries)) => {
                for (addresses, cut) in entries {
                    if cut {
                        list.add_cut(addresses, number, column, shown(entry(&text)));
                    } else {
                        list.add(addresses);
                    }
                }
            }
            Err(message) => list.wrong(number, column, &message),
        }
        first = false;
    }
}

fn line_of(text: &str) -> Result<Line, String> {
    const COMMENTS: [&str; 4] = ["#", ";", "!", "//"];
    if text.is_empty() || COMMENTS.iter().any(|mark| text.starts_with(mark)) {
        return Ok(Line::Nothing);
    }
    let entry = entry(text);
    // Most lines are this.
    if let Ok(one) = listed(entry) {
        return Ok(Line::Entries(vec![one]));
    }
    match entry.split_ascii_whitespace().next() {
        Some("add" | "create" | "flush" | "destroy") => return of_ipset(entry),
        Some("COMMIT") => return Ok(Line::Nothing),
        _ => {}
    }
    if let Some(line) = of_file_sharing(text, entry) {
        return Ok(line);
    }
    if entry.contains(',') {
        return of_commas(entry);
    }
    of_columns(entry)
}

/// Returns a line up to its comment.
fn entry(text: &str) -> &str {
    let behind_a_blank = |mark| {
        text.match_indices(mark)
            .map(|(at, _)| at)
            .find(|at| text.get(..*at).is_some_and(|b| b.ends_with([' ', '\t'])))
    };
    let ends = [
        text.find(['#', ';']),
        behind_a_blank("//"),
        behind_a_blank("!"),
    ];
    let end = ends.into_iter().flatten().min().unwrap_or(text.len());
    text.get(..end).unwrap_or(text).trim_ascii_end()
}

/// Parses a line of `ipset save`: `add bad 192.0.2.0/24 timeout 60`.
fn of_ipset(entry: &str) -> Result<Line, String> {
    let mut words = entry.split_ascii_whitespace();
    if words.next() != Some("add") {
        return Ok(Line::Nothing);
    }
    let Some(member) = words.nth(1) else {
        return Err(no_entry(entry));
    };
    if member.contains(',') || words.any(|word| word == "nomatch") {
        return Err(format!(
            "`{}` is more than an address: a set holds whole addresses, without ports and exceptions",
            shown(entry)
        ));
    }
    listed(member).map(|one| Line::Entries(vec![one]))
}

/// Parses a line of file sharing programs' lists: `name:192.0.2.0-192.0.2.9`, and `192.0.2.0 - 192.0.2.9 , 000 , name`
/// with a level: an entry with a high one is not to be blocked.
fn of_file_sharing(text: &str, entry: &str) -> Option<Line> {
    const HIGHEST_BLOCKED: u8 = 127;
    let range = |text: &str| {
        let two = text.contains('-') && !text.contains('/');
        two.then(|| listed(text.trim_ascii()).ok())?
    };
    if let Some((addresses, rest)) = entry.split_once(" , ")
        && let Some(level) = rest.split(',').next()
        && let Ok(level) = level.trim_ascii().parse::<u8>()
        && let Some(one) = range(addresses)
    {
        return Some(if level > HIGHEST_BLOCKED {
            Line::Nothing
        } else {
            Line::Entries(vec![one])
        });
    }
    let (_, addresses) = text.rsplit_once(':')?;
    let first = addresses.split('-').next().unwrap_or_default();
    let four = first.contains('.').then(|| range(addresses))?;
    four.map(|one| Line::Entries(vec![one]))
}

/// Parses columns with commas between: all of them if all are addresses, else the first that is one.
fn of_commas(entry: &str) -> Result<Line, String> {
    let fields = entry
        .split(',')
        .map(|field| field.trim_ascii().trim_matches('"'))
        .filter(|field| !field.is_empty());
    let read: Vec<_> = fields.map(listed).collect();
    if !read.is_empty() && read.iter().all(Result::is_ok) {
        return Ok(Line::Entries(read.into_iter().flatten().collect()));
    }
    Ok(read
        .into_iter()
        .flatten()
        .next()
        .map_or(Line::Columns, |first| Line::Entries(vec![first])))
}

/// Parses columns with tabs or blanks between: the first is the entry, but for a first and a last address, and an
/// address with its netmask.
fn of_columns(entry: &str) -> Result<Line, String> {
    let tabs = entry.contains('\t');
    let mut columns = entry.split_ascii_whitespace();
    let (first, second) = (columns.next().unwrap_or_default(), columns.next());
    let (first, cut) = listed(first.trim_matches('"')).map_err(|wrong| {
        if second.is_none() {
            wrong
        } else {
            no_entry(entry)
        }
    })?;
    let Some(second) = second else {
        return Ok(Line::Entries(vec![(first, cut)]));
    };
    if second.starts_with('-') {
        return Err(no_entry(entry));
    }
    let one = first.first() == first.last();
    if one && let Some(bits) = netmask(second).filter(|bits| *bits > 0) {
        return listed(&format!("{first}/{bits}")).map(|one| Line::Entries(vec![one]));
    }
    if let Ok((last, _)) = listed(second) {
        let range = listed(&format!("{first}-{last}"));
        return match range {
            Ok(range) if tabs => Ok(Line::Entries(vec![range])),
            _ => Err(format!(
                "`{}` may be two entries or a range; write one a line, or a range with -",
                shown(entry)
            )),
        };
    }
    if one && is_nowhere(first.first()) {
        return Err(format!(
            "`{}` names a host, as in /etc/hosts: sets hold addresses",
            shown(entry)
        ));
    }
    Ok(Line::Entries(vec![(first, cut)]))
}

/// Returns whether the address is one that lists of hosts send their names to.
fn is_nowhere(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_unspecified() || v4.is_loopback() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unspecified() || v6.is_loopback() || v6.is_multicast(),
    }
}

fn no_entry(entry: &str) -> String {
    format!(
        "`{}` does not begin with an address, a prefix or a range",
        shown(entry)
    )
}
