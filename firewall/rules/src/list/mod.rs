//! Reader of published lists of addresses.
//!
//! A list is somebody else's: one line of it may be anything. What can be read is used, what can't is counted and
//! named, and only a text of which nothing can be read (a web page, names of hosts) is no list.

mod content;
mod json;
mod line;

pub use content::ListContent;

use crate::address::Addresses;
use crate::clean;
use crate::report::SHOWN;
use crate::resolver::SetFile;
use crate::set::{Members, grouped};
use flate2::read::MultiGzDecoder;
use std::borrow::Cow;
use std::io::Read;

/// Longest text of a list, also of one that was compressed, in bytes: a few times what fits into a table.
pub(crate) const MAX_TEXT: u64 = 256 << 20;
/// Longest text of a list that is fetched, also of one that was compressed, in bytes: nobody here has looked at it.
pub const MOST_OF_FETCHED: u64 = 64 << 20;

/// A list that was read.
#[derive(Debug, Default)]
pub(crate) struct List {
    pub(crate) members: Members,
    /// Remarks on entries that could not be read or were read otherwise than written: the first few of each kind, by
    /// their places.
    pub(crate) remarks: Vec<Remark>,
    /// Number of entries that could not be read.
    pub(crate) wrong: usize,
    /// Number of entries with bits behind their prefix, which were cut off.
    cut: usize,
    /// `true` if no remark may quote the list: see [`SetFile::confidential`].
    confidential: bool,
}

/// Message in place of one that quotes an entry.
const NOT_SHOWN: &str =
    "this can't be read as it stands; it is not shown, because not everybody may read the file";

/// Remark on one place in a list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Remark {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) message: String,
}

/// Counts the readable entries of a list, for a program that keeps the last good copy of one.
///
/// # Errors
/// Fails if it is no list: nothing of it could be read. The text says what it is, and what would be right.
pub fn list_entries(file: &SetFile) -> Result<usize, String> {
    read(file).map(|list| list.members.entries())
}

/// Reads a list. An empty text is a list.
///
/// # Errors
/// Fails if it is no list; the text says what it is instead.
pub(crate) fn read(file: &SetFile) -> Result<List, String> {
    let unpacked = unpack(&file.bytes, MAX_TEXT)?;
    let text = decode(&unpacked);
    let begins = text.trim_ascii_start();
    if let Some(what) = foreign(begins) {
        return Err(what.to_owned());
    }
    let mut list = List {
        confidential: file.confidential,
        ..List::default()
    };
    if matches!(begins.first(), Some(b'{' | b'[')) {
        json::read(&text, &mut list);
    } else {
        line::read(&text, &mut list);
    }
    list.close();
    if list.members.entries() == 0
        && list.wrong > 0
        && let Some(first) = list.remarks.first()
    {
        return Err(format!(
            "nothing of it can be read; line {}: {}",
            first.line, first.message
        ));
    }
    Ok(list)
}

impl List {
    fn add(&mut self, addresses: Addresses) {
        self.members.add(addresses);
    }

    /// Adds an entry whose bits behind the prefix were cut off.
    fn add_cut(&mut self, addresses: Addresses, line: usize, column: usize, entry: &str) {
        self.cut += 1;
        if self.cut <= SHOWN {
            let message = format!("`{entry}` has bits set behind its prefix; taken as {addresses}");
            self.quote(line, column, &message);
        }
        self.add(addresses);
    }

    fn wrong(&mut self, line: usize, column: usize, message: &str) {
        self.wrong += 1;
        if self.wrong <= SHOWN {
            self.quote(line, column, message);
        }
    }

    /// Adds a remark that quotes the list, unless the list is confidential.
    fn quote(&mut self, line: usize, column: usize, message: &str) {
        let message = if self.confidential {
            NOT_SHOWN
        } else {
            message
        };
        self.remark(line, column, message);
    }

    fn remark(&mut self, line: usize, column: usize, message: &str) {
        let message = clean(message);
        self.remarks.push(Remark {
            line,
            column,
            message,
        });
    }

    /// Adds remarks on the number of entries that were not shown.
    fn close(&mut self) {
        let line = self.remarks.last().map_or(1, |last| last.line);
        for (count, what) in [
            (self.wrong, "can't be read and are passed over"),
            (
                self.cut,
                "have bits set behind their prefix, which are cut off",
            ),
        ] {
            if let more @ 1.. = count.saturating_sub(SHOWN) {
                self.remark(
                    line,
                    1,
                    &format!("and {} more entries {what}", grouped(more)),
                );
            }
        }
    }
}

/// Returns a description of a text that begins as no list does.
fn foreign(begins: &[u8]) -> Option<&'static str> {
    const PACKED: [(&[u8], &str); 4] = [
        (b"PK\x03\x04", "it is a zip archive; unpack it"),
        (
            b"\xFD7zXZ",
            "it is compressed by xz; unpack it, or take gzip",
        ),
        (b"BZh", "it is compressed by bzip2; unpack it, or take gzip"),
        (
            b"\x28\xB5\x2F\xFD",
            "it is compressed by zstd; unpack it, or take gzip",
        ),
    ];
    let packed = PACKED.iter().find(|(magic, _)| begins.starts_with(magic));
    if let Some((_, what)) = packed {
        return Some(what);
    }
    if begins.first() == Some(&b'<') {
        return Some("it is a web page or XML; see what its address answers today");
    }
    let head = begins.get(..8)?.to_ascii_lowercase();
    (head == b"[adblock").then_some(
        "it is a list for ad blockers: it names hosts, and sets hold addresses; take one of addresses",
    )
}

/// Unpacks the text of a list that was fetched.
///
/// # Errors
/// Fails if it can't be unpacked, or is longer than [`MOST_OF_FETCHED`].
pub fn unpacked_list(bytes: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    let text = unpack(bytes, MOST_OF_FETCHED)?;
    if text.len() as u64 > MOST_OF_FETCHED {
        return Err(format!("it is larger than {} MiB", MOST_OF_FETCHED >> 20));
    }
    Ok(text)
}

/// Unpacks gzip; returns all else as it is.
fn unpack(bytes: &[u8], most: u64) -> Result<Cow<'_, [u8]>, String> {
    if !bytes.starts_with(b"\x1F\x8B") {
        return Ok(bytes.into());
    }
    let mut text = Vec::new();
    MultiGzDecoder::new(bytes)
        .take(most + 1)
        .read_to_end(&mut text)
        .map_err(|cause| format!("it is compressed by gzip and can't be unpacked: {cause}"))?;
    if text.len() as u64 > most {
        return Err(format!("unpacked it is larger than {} MiB", most >> 20));
    }
    Ok(text.into())
}

/// Decodes the text: without its byte order mark, UTF-16 as UTF-8. Comments may be in any other encoding.
fn decode(bytes: &[u8]) -> Cow<'_, [u8]> {
    let wide = |bytes: &[u8], number: fn([u8; 2]) -> u16| {
        let (units, _) = bytes.as_chunks();
        let units = units.iter().map(|unit| number(*unit));
        let letters = char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER));
        Cow::Owned(letters.collect::<String>().into_bytes())
    };
    match bytes {
        [0xEF, 0xBB, 0xBF, rest @ ..] => rest.into(),
        [0xFF, 0xFE, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => wide(rest, u16::from_be_bytes),
        [1..=255, 0, 1..=255, 0, ..] => wide(bytes, u16::from_le_bytes),
        [0, 1..=255, 0, 1..=255, ..] => wide(bytes, u16::from_be_bytes),
        _ => bytes.into(),
    }
}
