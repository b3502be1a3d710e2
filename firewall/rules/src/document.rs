//! Edits of a rule file's text: adds, removes and moves rules, and sets their keys.
//!
//! A change is made where it belongs and nowhere else: all other bytes of the text stay as they are, comments, blank
//! lines, order of keys and line ends too. So a text is spliced by the places that the TOML parser
//! gives, and never written anew.
//!
//! A rule is its header, its keys, and the comments that stand directly above its header. A comment with a blank line
//! below it belongs to no rule and stays where it is.

use crate::is_visible;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use toml_writer::ToTomlValue;

/// Error of editing a text; each message says what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// No rule in the text has this name.
    #[error("there is no rule `{id}`; {instead}")]
    NoSuchRule {
        /// Name that was asked for.
        id: String,
        /// Suggestion: the name that was probably meant.
        instead: String,
    },
    /// The rules are written inline, not as tables of their own.
    #[error(
        "line {line}: the rules are written inside of one value; write each as [[rule]] with its keys below, then ask again"
    )]
    Inline {
        /// Line of the text, from 1.
        line: usize,
    },
    /// The text is no TOML.
    #[error("line {line}: this is not TOML: {message}; put that right, then ask again")]
    NotToml {
        /// Line of the text, from 1.
        line: usize,
        /// Message of the parser.
        message: String,
    },
}

/// A place among the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RulePosition {
    /// Before all other rules.
    First,
    /// After all other rules.
    Last,
    /// Directly before the rule with this name.
    Before(String),
    /// Directly after the rule with this name.
    After(String),
}

/// A rule in the text.
struct Block {
    id: String,
    /// Whole lines of the comments above, the header and the keys.
    lines: Range<usize>,
    /// End of the last line that has a key or the header in it.
    end: usize,
    keys: Vec<Key>,
}

struct Key {
    name: String,
    /// Bytes from the key to the end of its value.
    place: Range<usize>,
    value: Range<usize>,
}

/// Parses the rules of a text, in their order.
fn blocks(text: &str) -> Result<Vec<Block>, DocumentError> {
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        DocumentError::NotToml {
            line: line_number(text, at),
            message: error.message().to_owned(),
        }
    })?;
    let Some(rules) = table.get_ref().get("rule") else {
        return Ok(Vec::new());
    };
    let written_inside = || DocumentError::Inline {
        line: line_number(text, rules.span().start),
    };
    let rules = rules.get_ref().as_array().ok_or_else(written_inside)?;
    let mut blocks: Vec<Block> = Vec::with_capacity(rules.len());
    for rule in rules.iter() {
        let header = rule.span();
        if !text
            .get(header.clone())
            .is_some_and(|it| it.starts_with("[["))
        {
            return Err(DocumentError::Inline {
                line: line_number(text, header.start),
            });
        }
        let floor = blocks.last().map_or(0, |before| before.end);
        blocks.push(block(text, rule, floor));
    }
    Ok(blocks)
}

fn block(text: &str, rule: &Spanned<DeValue<'_>>, floor: usize) -> Block {
    let header = rule.span();
    let mut keys: Vec<Key> = rule
        .get_ref()
        .as_table()
        .into_iter()
        .flatten()
        .map(|(key, value)| Key {
            name: key.get_ref().to_string(),
            place: key.span().start..value.span().end,
            value: value.span(),
        })
        .collect();
    keys.sort_by_key(|key| key.place.start);
    let id = rule
        .get_ref()
        .as_table()
        .and_then(|table| table.get("id")?.get_ref().as_str())
        .unwrap_or_default();
    let last = keys.last().map_or(header.end, |key| key.place.end);
    let end = line_end(text, last);
    Block {
        id: id.to_owned(),
        lines: above(text, line_start(text, header.start), floor)..end,
        end,
        keys,
    }
}

/// Returns the beginning of the comments that stand directly above this line.
fn above(text: &str, mut start: usize, floor: usize) -> usize {
    while let Some(before) = start.checked_sub(1).filter(|before| *before >= floor) {
        let line = line_start(text, before);
        let said = text.get(line..start).unwrap_or_default().trim();
        // The first line of a file may say what it is to an editor.
        if line < floor || !said.starts_with('#') || said.starts_with("#:") {
            break;
        }
        start = line;
    }
    start
}

fn line_start(text: &str, at: usize) -> usize {
    text.get(..at)
        .and_then(|before| before.rfind('\n'))
        .map_or(0, |newline| newline + 1)
}

/// Returns the position behind the line that `at` is in.
fn line_end(text: &str, at: usize) -> usize {
    text.get(at..)
        .and_then(|rest| rest.find('\n'))
        .map_or(text.len(), |newline| at + newline + 1)
}

fn line_number(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

fn newline(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

fn find(blocks: &[Block], id: &str) -> Result<usize, DocumentError> {
    let of_that_name = |block: &Block| block.id == id;
    blocks.iter().position(of_that_name).ok_or_else(|| {
        let known: Vec<_> = blocks.iter().map(|block| block.id.as_str()).collect();
        DocumentError::NoSuchRule {
            id: id.to_owned(),
            instead: if known.is_empty() {
                "the file has no rules; `gatebell rules add` makes one".to_owned()
            } else {
                crate::suggestion(id, &known)
            },
        }
    })
}

/// Returns the names of the rules, in their order.
///
/// # Errors
/// See [`DocumentError`].
pub fn names(text: &str) -> Result<Vec<String>, DocumentError> {
    Ok(blocks(text)?.into_iter().map(|block| block.id).collect())
}

/// Writes a string as a TOML value. Invisible characters are written as escapes of their code point.
#[must_use]
pub fn text_value(text: &str) -> String {
    let value = toml_writer::TomlStringBuilder::new(text)
        .as_basic()
        .to_toml_value();
    if value.chars().all(is_visible) {
        return value;
    }
    let escaped = value.chars().map(|c| match u32::from(c) {
        _ if is_visible(c) => c.to_string(),
        short @ ..=0xffff => format!("\\u{short:04X}"),
        long => format!("\\U{long:08X}"),
    });
    escaped.collect()
}

/// Returns this name, or if it is taken the first name with a number behind it that is not.
#[must_use]
pub fn unlike(id: &str, taken: impl Fn(&str) -> bool) -> String {
    if !taken(id) {
        return id.to_owned();
    }
    (2..)
        .map(|n: u64| format!("{id}-{n}"))
        .find(|id| !taken(id))
        .unwrap_or_else(|| id.to_owned())
}

/// Inserts a rule with these keys and values, each value in TOML.
///
/// # Errors
/// See [`DocumentError`].
pub fn add(
    text: &str,
    keys: &[(&str, String)],
    place: &RulePosition,
) -> Result<String, DocumentError> {
    let newline = newline(text);
    let mut rule = format!("[[rule]]{newline}");
    for (key, value) in keys {
        rule.extend([*key, " = ", value, newline]);
    }
    insert(text, &rule, place)
}

/// Removes a rule, with the comments directly above it.
///
/// # Errors
/// See [`DocumentError`].
pub fn remove(text: &str, id: &str) -> Result<String, DocumentError> {
    let blocks = blocks(text)?;
    let lines = blocks[find(&blocks, id)?].lines.clone();
    Ok(without(text, lines))
}

/// Moves a rule, with the comments directly above it.
///
/// # Errors
/// See [`DocumentError`].
pub fn move_to(text: &str, id: &str, place: &RulePosition) -> Result<String, DocumentError> {
    let blocks = blocks(text)?;
    let at = find(&blocks, id)?;
    let there = match place {
        RulePosition::First => 0,
        RulePosition::Last => blocks.len() - 1,
        RulePosition::Before(other) | RulePosition::After(other) => {
            let other = find(&blocks, other)?;
            let after = usize::from(matches!(place, RulePosition::After(_)));
            // Where the rule is missing before its new place, that is one place further up.
            (other + after).saturating_sub(usize::from(other >= at && other + after > at))
        }
    };
    if there == at {
        return Ok(text.to_owned());
    }
    let lines = blocks[at].lines.clone();
    let mut rule = text.get(lines.clone()).unwrap_or_default().to_owned();
    if !rule.ends_with('\n') {
        rule.push_str(newline(text));
    }
    insert(&without(text, lines), &rule, place)
}

/// Sets a key of a rule to a value, which is given in TOML.
///
/// # Errors
/// See [`DocumentError`].
pub fn set(text: &str, id: &str, key: &str, value: &str) -> Result<String, DocumentError> {
    let blocks = blocks(text)?;
    let block = &blocks[find(&blocks, id)?];
    if let Some(there) = block.keys.iter().find(|there| there.name == key) {
        return Ok(spliced(text, there.value.clone(), value));
    }
    let newline = newline(text);
    let before = text.get(..block.end).unwrap_or_default();
    let first = if before.ends_with('\n') { "" } else { newline };
    let line = format!("{first}{key} = {value}{newline}");
    Ok(spliced(text, block.end..block.end, &line))
}

/// Removes a key of a rule, with the comment beside it. Returns `None` if the rule has no such key.
///
/// # Errors
/// See [`DocumentError`].
pub fn unset(text: &str, id: &str, key: &str) -> Result<Option<String>, DocumentError> {
    let blocks = blocks(text)?;
    let block = &blocks[find(&blocks, id)?];
    let there = block.keys.iter().find(|there| there.name == key);
    Ok(there.map(|there| {
        let lines = line_start(text, there.place.start)..line_end(text, there.place.end);
        spliced(text, lines, "")
    }))
}

/// Returns the text of a rule, with the comments directly above it, and the line that it begins on.
///
/// # Errors
/// See [`DocumentError`].
pub fn rule_text<'a>(text: &'a str, id: &str) -> Result<(usize, &'a str), DocumentError> {
    let blocks = blocks(text)?;
    let lines = blocks[find(&blocks, id)?].lines.clone();
    let first = line_number(text, lines.start);
    Ok((first, text.get(lines).unwrap_or_default()))
}

/// Replaces a rule and the comments directly above it with another text, whatever that text is.
///
/// # Errors
/// See [`DocumentError`].
pub fn rewrite(text: &str, id: &str, rule: &str) -> Result<String, DocumentError> {
    let blocks = blocks(text)?;
    let lines = blocks[find(&blocks, id)?].lines.clone();
    let newline = newline(text);
    let mut rule = rule.replace("\r\n", "\n").replace('\n', newline);
    if !rule.ends_with('\n') {
        rule.push_str(newline);
    }
    Ok(spliced(text, lines, &rule))
}

/// Switches a rule on or off. A rule without the key `enabled` is on; the key is removed unless a comment stands beside
/// it.
///
/// # Errors
/// See [`DocumentError`].
pub fn enable(text: &str, id: &str, on: bool) -> Result<String, DocumentError> {
    let blocks = blocks(text)?;
    let block = &blocks[find(&blocks, id)?];
    let Some(there) = block.keys.iter().find(|there| there.name == "enabled") else {
        return if on {
            Ok(text.to_owned())
        } else {
            set(text, id, "enabled", "false")
        };
    };
    let line = text
        .get(there.value.end..line_end(text, there.value.end))
        .unwrap_or_default();
    if on && line.trim().is_empty() {
        return Ok(unset(text, id, "enabled")?.unwrap_or_else(|| text.to_owned()));
    }
    set(text, id, "enabled", if on { "true" } else { "false" })
}

fn spliced(text: &str, place: Range<usize>, new: &str) -> String {
    let before = text.get(..place.start).unwrap_or_default();
    let after = text.get(place.end..).unwrap_or_default();
    [before, new, after].concat()
}

/// Returns the text without these lines, and without the blank line that would stand there twice.
fn without(text: &str, lines: Range<usize>) -> String {
    let before = text.get(..lines.start).unwrap_or_default();
    let mut after = text.get(lines.end..).unwrap_or_default();
    if after.trim().is_empty() {
        let kept = before.trim_end();
        let end = line_end(before, kept.len());
        return before.get(..end).unwrap_or(before).to_owned();
    }
    if before.is_empty() || ends_blank(before) {
        while let Some((line, rest)) = after.split_once('\n')
            && line.trim().is_empty()
        {
            after = rest;
        }
    }
    [before, after].concat()
}

fn insert(text: &str, rule: &str, place: &RulePosition) -> Result<String, DocumentError> {
    let blocks = blocks(text)?;
    let at = match place {
        RulePosition::First => blocks.first().map_or(text.len(), |block| block.lines.start),
        RulePosition::Last => blocks.last().map_or(text.len(), |block| block.end),
        RulePosition::Before(id) => blocks[find(&blocks, id)?].lines.start,
        RulePosition::After(id) => blocks[find(&blocks, id)?].end,
    };
    let newline = newline(text);
    let (before, after) = (
        text.get(..at).unwrap_or_default(),
        text.get(at..).unwrap_or_default(),
    );
    let mut new = before.to_owned();
    if !before.is_empty() && !before.ends_with('\n') {
        new.push_str(newline);
    }
    if !before.is_empty() && !ends_blank(before) {
        new.push_str(newline);
    }
    new.push_str(rule);
    let begins_blank = after
        .lines()
        .next()
        .is_none_or(|line| line.trim().is_empty());
    if !begins_blank {
        new.push_str(newline);
    }
    new.push_str(after);
    Ok(new)
}

/// Returns whether the last line is blank.
fn ends_blank(text: &str) -> bool {
    text.strip_suffix('\n')
        .and_then(|text| text.rsplit('\n').next())
        .is_some_and(|line| line.trim().is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

    use super::*;

    const TEXT: &str = "#:schema ./s.json\n# Ours.\n\n[default]  # both\ninbound = 'block'\noutbound = \"allow\"\n\n\
        # --- at home ---\n\n# for Ann\n# and Bob\n[[rule]] # ssh\n# which\nid = 'ssh'\nports  =  [\n  22, # usual\n  2222,\n] # two\n\
        \n[[set]]\nid = 's'\n\n[[rule]]\nid = \"web\"\nenabled = false # later\n\n# the end\n";

    fn after(text: &str, old: &str, new: &str) -> String {
        assert_eq!(text.matches(old).count(), 1, "{old}");
        text.replace(old, new)
    }

    #[test]
    fn a_change_leaves_every_other_byte_as_it_is() {
        for text in [TEXT.to_owned(), TEXT.replace('\n', "\r\n")] {
            let n = newline(&text);
            let set = set(&text, "ssh", "ports", "22").unwrap();
            let list = format!("[{n}  22, # usual{n}  2222,{n}]");
            assert_eq!(set, after(&text, &list, "22"));
            let new = super::set(&text, "ssh", "log", "true").unwrap();
            let line = format!("] # two{n}");
            assert_eq!(new, after(&text, &line, &format!("{line}log = true{n}")));
            assert_eq!(unset(&new, "ssh", "log").unwrap().unwrap(), text);
            let on = enable(&text, "web", true).unwrap();
            assert_eq!(on, after(&text, "enabled = false", "enabled = true"));
            let off = enable(&text, "ssh", false).unwrap();
            assert_eq!(enable(&off, "ssh", true).unwrap(), text);
            assert_eq!(enable(&text, "ssh", true).unwrap(), text);
        }
    }

    #[test]
    fn a_rule_is_written_anew_in_its_place_and_every_other_byte_stays() {
        for text in [TEXT.to_owned(), TEXT.replace('\n', "\r\n")] {
            let (line, rule) = rule_text(&text, "ssh").unwrap();
            assert_eq!(line, 10);
            assert!(rule.starts_with("# for Ann") && rule.trim_end().ends_with("] # two"));
            assert_eq!(rewrite(&text, "ssh", rule).unwrap(), text);
            let typed = rule.replace("\r\n", "\n").replace("'ssh'", "'sshd'");
            let new = rewrite(&text, "ssh", typed.trim_end()).unwrap();
            assert_eq!(new, after(&text, "'ssh'", "'sshd'"));
        }
        assert!(rewrite(TEXT, "nobody", "").is_err());
    }

    #[test]
    fn a_rule_goes_with_the_comments_above_it_and_others_stay() {
        let gone = remove(TEXT, "ssh").unwrap();
        let start = TEXT.find("# for Ann").unwrap();
        let end = TEXT.find("[[set]]").unwrap();
        assert_eq!(gone, [&TEXT[..start], &TEXT[end..]].concat());
        let moved = move_to(TEXT, "ssh", &RulePosition::Last).unwrap();
        let rule = TEXT[start..end].trim_end();
        let web = "enabled = false # later\n";
        assert_eq!(moved, after(&gone, web, &format!("{web}\n{rule}\n")));
        assert_eq!(
            move_to(&moved, "ssh", &RulePosition::Before("web".into()))
                .unwrap()
                .matches("# and Bob\n[[rule]] # ssh")
                .count(),
            1
        );
    }

    #[test]
    fn a_rule_is_put_where_it_is_asked_for() {
        let ids = |place: &RulePosition| {
            names(&add(TEXT, &[("id", "'new'".into())], place).unwrap()).unwrap()
        };
        assert_eq!(ids(&RulePosition::First), ["new", "ssh", "web"]);
        assert_eq!(ids(&RulePosition::Last), ["ssh", "web", "new"]);
        assert_eq!(
            ids(&RulePosition::Before("web".into())),
            ["ssh", "new", "web"]
        );
        assert_eq!(
            ids(&RulePosition::After("ssh".into())),
            ["ssh", "new", "web"]
        );
        assert_eq!(
            add("", &[("id", "'a'".into())], &RulePosition::Last).unwrap(),
            "[[rule]]\nid = 'a'\n"
        );
        let bare = "[default]\ninbound = 'allow'";
        assert_eq!(
            add(bare, &[("id", "'a'".into())], &RulePosition::First).unwrap(),
            format!("{bare}\n\n[[rule]]\nid = 'a'\n")
        );
    }

    #[test]
    fn every_move_comes_where_it_should_and_one_to_the_same_place_changes_nothing() {
        let text = "[[rule]]\nid='a'\n\n[[rule]]\nid='b'\n\n[[rule]]\nid='c'\n\n[[rule]]\nid='d'";
        let all = ["a", "b", "c", "d"];
        for (at, id) in all.iter().enumerate() {
            let mut places = vec![(RulePosition::First, 0), (RulePosition::Last, 3)];
            for (other, name) in all.iter().enumerate() {
                let before = if at < other { other - 1 } else { other };
                let after = if at <= other { other } else { other + 1 };
                places.push((
                    RulePosition::Before((*name).into()),
                    if at == other { at } else { before },
                ));
                places.push((RulePosition::After((*name).into()), after));
            }
            for (place, there) in places {
                let mut expected: Vec<_> = all.to_vec();
                let moved = expected.remove(at);
                expected.insert(there, moved);
                let new = move_to(text, id, &place).unwrap();
                assert_eq!(names(&new).unwrap(), expected, "{id} {place:?}");
                assert_eq!(new == text, at == there, "{id} {place:?}: {new}");
            }
        }
    }

    #[test]
    fn what_looks_like_a_rule_inside_of_a_string_is_none() {
        let text =
            "[[rule]]\nid = 'a'\ncomment = '''\n[[rule]]\nid = \"b\"\n'''\n[[rule]]\nid = 'c'\n";
        assert_eq!(names(text).unwrap(), ["a", "c"]);
        assert_eq!(remove(text, "a").unwrap(), "[[rule]]\nid = 'c'\n");
        assert!(matches!(
            remove(text, "b"),
            Err(DocumentError::NoSuchRule { .. })
        ));
    }

    #[test]
    fn rules_that_are_written_inside_of_a_line_are_named_with_it() {
        for text in ["rule = [{id = 'a'}]", "x = 1\nrule = 7"] {
            assert!(
                matches!(names(text), Err(DocumentError::Inline { .. })),
                "{text}"
            );
        }
        assert!(matches!(
            names("a = \n"),
            Err(DocumentError::NotToml { line: 1, .. })
        ));
    }
}
