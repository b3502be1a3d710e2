//! A ruleset's text, cut into statements and words.

use crate::import::model::ImportPlace;

/// A statement, and the line that it begins in.
pub(super) struct Statement {
    pub(super) line: usize,
    pub(super) text: String,
}

impl Statement {
    pub(super) fn place(&self) -> ImportPlace {
        ImportPlace::line(self.line, &self.text.replace(" , ", ", "))
    }
}

/// Statements: what ends with a line, a semicolon outside of braces for elements, or a brace that opens or closes a
/// block. Braces with elements in them stay in their statement.
pub(super) fn statements(text: &str) -> Vec<Statement> {
    let mut found = Vec::new();
    let (mut now, mut line, mut begun) = (String::new(), 1, 1);
    let (mut quoted, mut inside) = (false, 0_usize);
    let mut letters = text.chars().peekable();
    let mut end = |now: &mut String, begun: usize| {
        let text = now.split_whitespace().collect::<Vec<_>>().join(" ");
        if !text.is_empty() {
            found.push(Statement { line: begun, text });
        }
        now.clear();
    };
    while let Some(letter) = letters.next() {
        if now.trim().is_empty() {
            begun = line;
        }
        match letter {
            '"' => {
                quoted = !quoted;
                now.push(letter);
            }
            _ if quoted => now.push(letter),
            '#' => while letters.next_if(|next| *next != '\n').is_some() {},
            '\\' if letters.peek() == Some(&'\n') => {
                letters.next();
                line += 1;
                now.push(' ');
            }
            '{' if inside > 0 || holds_elements(&now) => {
                inside += 1;
                now.push_str(" { ");
            }
            '{' => {
                now.push_str(" {");
                end(&mut now, begun);
            }
            '}' if inside > 0 => {
                inside -= 1;
                now.push_str(" } ");
            }
            '}' => {
                end(&mut now, begun);
                now.push('}');
                end(&mut now, line);
            }
            '\n' | ';' if inside == 0 => end(&mut now, begun),
            ',' => now.push_str(" , "),
            other => now.push(other),
        }
        line += usize::from(letter == '\n');
    }
    end(&mut now, begun);
    found
}

/// Returns whether a brace after these words opens a list of elements, and no block.
fn holds_elements(before: &str) -> bool {
    let first = before.split_whitespace().next().unwrap_or_default();
    !matches!(
        first,
        "table"
            | "chain"
            | "set"
            | "map"
            | "flowtable"
            | "counter"
            | "quota"
            | "limit"
            | "ct"
            | "synproxy"
            | "secmark"
    ) || (first == "ct" && before.split_whitespace().nth(1) == Some("state"))
        || (matches!(first, "counter" | "limit") && before.split_whitespace().count() > 2)
}

pub(super) fn words(text: &str) -> Vec<&str> {
    let (mut words, mut start, mut quoted) = (Vec::new(), None, false);
    for (at, letter) in text.char_indices() {
        quoted ^= letter == '"';
        if letter == ' ' && !quoted {
            words.extend(start.take().and_then(|start| text.get(start..at)));
        } else if start.is_none() {
            start = Some(at);
        }
    }
    words.extend(start.and_then(|start| text.get(start..)));
    words
}

pub(super) fn skip(lines: &mut dyn Iterator<Item = Statement>) {
    let mut depth = 1_usize;
    for line in lines {
        if line.text == "}" {
            depth -= 1;
        } else if line.text.ends_with('{') {
            depth += 1;
        }
        if depth == 0 {
            return;
        }
    }
}

/// Keywords that may follow an element of a set and are no part of it.
pub(super) const AFTER_ELEMENTS: [&str; 4] = ["timeout", "expires", "counter", "comment"];

/// The elements between braces, each of one word and what may stand after it.
pub(super) fn listed(words: &[&str], after: &[&str]) -> Result<Vec<String>, String> {
    let inner = words
        .iter()
        .filter(|word| !matches!(**word, "{" | "}"))
        .copied()
        .collect::<Vec<_>>();
    inner
        .split(|word| *word == ",")
        .filter_map(|element| element.split_first())
        .map(|(first, rest)| match rest.first() {
            Some(next) if !after.contains(next) => Err(format!(
                "`{first} {next}` are several things at once, and a key of ours takes one"
            )),
            _ => Ok(first.trim_matches('"').to_owned()),
        })
        .collect()
}
