//! Files of the program that fetches lists, read as foreign bytes; and the check whether one may be the same list.

use super::now;
use crate::foreign_folder::ForeignFolder;
use rules::{ListContent, SetFile, unpacked_list};
use store::lists::{CopyHead, LONGEST_HEAD, TRIED, Tried};

/// A list with as many entries that has less than this part of them at once has lost too many.
const MANY: usize = 20;
const LEFT_PART: usize = 10;

/// A copy that may be taken.
pub struct Fetched {
    pub head: CopyHead,
    pub text: Vec<u8>,
    pub content: ListContent,
}

/// Reads the result of the last try to fetch a list.
pub fn tried(folder: &ForeignFolder, name: &str, url: &str) -> Result<Option<Tried>, String> {
    let Some((_, text)) = folder.read(&format!("{name}.{TRIED}"), LONGEST_HEAD as u64)? else {
        return Ok(None);
    };
    let tried = serde_json::from_slice::<Tried>(&text).ok();
    Ok(tried.filter(|tried| tried.url == url))
}

/// Parses a fetched file: its head and its list.
pub fn understood(url: &str, mut bytes: Vec<u8>) -> Result<Fetched, String> {
    let head = bytes
        .iter()
        .take(LONGEST_HEAD)
        .position(|byte| *byte == b'\n');
    let list = head.map(|end| (end, bytes.split_off(end + 1)));
    let head: Option<CopyHead> = list
        .as_ref()
        .and_then(|(end, _)| serde_json::from_slice(bytes.get(..*end)?).ok());
    let (Some(mut head), Some((_, list))) = (head.filter(|head| head.url == url), list) else {
        return Err("it does not say what it is".to_owned());
    };
    head.fetched = head.fetched.min(now());
    let text = unpacked_list(&list)?.into_owned();
    let file = SetFile {
        name: url.split('?').next().unwrap_or_default().to_owned(),
        bytes: text,
        confidential: false,
        trouble: None,
    };
    let content = ListContent::read(&file)?;
    Ok(Fetched {
        head,
        text: file.bytes,
        content,
    })
}

/// Foreign words, as they are shown: the first line of them.
pub fn said(why: &str) -> String {
    const MOST: usize = 400;
    let line: String = why
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(MOST)
        .collect();
    rules::clean(&line)
}

/// Refuses a list with so many entries now in the place of one with so many before, if too many were lost.
pub fn lost_too_many(before: usize, now: usize) -> Result<(), String> {
    match (before, now) {
        (1.., 0) => Err(format!(
            "it is empty, where {} entries were",
            rules::grouped(before)
        )),
        (MANY.., _) if now < before / LEFT_PART => Err(format!(
            "of {} entries {} are left",
            rules::grouped(before),
            rules::grouped(now)
        )),
        _ => Ok(()),
    }
}
