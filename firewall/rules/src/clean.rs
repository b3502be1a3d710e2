//! Escapes foreign text for display: a program's path or a process's name may hold anything but a zero.

use std::fmt::Write as _;

/// Makes a text safe for a terminal: control characters and line breaks become U+FFFD. Characters that are invisible,
/// or change the direction of text, are written as escapes (`\u{200b}`): two paths that look the same are not.
#[must_use]
pub fn clean(text: &str) -> String {
    if text.chars().all(is_visible) {
        return text.to_owned();
    }
    let mut clean = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_visible(c) {
            clean.push(c);
        } else if is_unseen(c) {
            // Writing into a string does not fail.
            let _written = write!(clean, "{}", c.escape_unicode());
        } else {
            clean.push('\u{fffd}');
        }
    }
    clean
}

/// Cleans a line of a text as [`clean`] does, but keeps its tabs.
#[must_use]
pub fn clean_line(line: &str) -> String {
    let parts: Vec<_> = line.split('\t').map(clean).collect();
    parts.join("\t")
}

/// Cleans each line of a text as [`clean_line`] does, and keeps the line breaks.
#[must_use]
pub fn clean_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(clean_line).collect();
    lines.join("\n")
}

/// Returns whether a character is visible, and does not control the terminal.
#[must_use]
pub fn is_visible(c: char) -> bool {
    !(c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') || is_unseen(c))
}

/// Returns whether a character is invisible: marks of direction, characters without width, fillers.
const fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_paths_that_differ_look_the_same_by_what_nobody_sees() {
        assert_eq!(clean("/usr/bin/curl"), "/usr/bin/curl");
        assert_eq!(
            clean("/opt/grün/b c/日本/e\u{301}"),
            "/opt/grün/b c/日本/e\u{301}"
        );
        for (unseen, shown) in [
            ("/usr/bin/cu\u{200b}rl", "/usr/bin/cu\\u{200b}rl"),
            ("/usr/bin/\u{feff}curl", "/usr/bin/\\u{feff}curl"),
            ("/opt/\u{202e}cod.exe", "/opt/\\u{202e}cod.exe"),
            ("/opt/\u{2067}a\u{2069}", "/opt/\\u{2067}a\\u{2069}"),
            ("a\u{ad}b\u{3164}\u{e0041}", "a\\u{ad}b\\u{3164}\\u{e0041}"),
        ] {
            assert_eq!(clean(unseen), shown);
        }
        assert_eq!(clean("a\n\x1b[2J\u{2028}"), "a\u{fffd}\u{fffd}[2J\u{fffd}");
        assert_eq!(
            clean_line("a\tb\u{202e}\x1b[2J\n"),
            "a\tb\\u{202e}\u{fffd}[2J\u{fffd}"
        );
        assert_eq!(clean_lines("a\u{202e}\n\tb\r\nc\n"), "a\\u{202e}\n\tb\nc");
    }

    #[test]
    fn a_name_has_nothing_in_it_that_nobody_sees() {
        let defaults = "[default]\ninbound = 'block'\noutbound = 'allow'\n";
        for named in ["rule", "set", "network"] {
            let text = format!("{defaults}[[{named}]]\nid = 'we\u{200b}b'\n");
            let wrong = crate::parse("f", &text, &crate::NoResolver).err();
            let wrong = wrong.map_or_else(String::new, |wrong| wrong.to_string());
            let said = "f:5:6: `id`: `we\\u{200b}b` has a character that nobody sees, U+200B";
            assert!(wrong.contains(said), "{wrong}");
            assert!(wrong.contains("write it anew without that one"), "{wrong}");
            assert!(!wrong.contains("emoji"), "{wrong}");
        }
        // An emoji is as good as a letter where it is one character, with its colour of skin or its flag.
        for (name, unseen) in [
            ("zu\u{1f3e0}", None),
            ("\u{1f44d}\u{1f3fd} \u{1f1e9}\u{1f1ea}", None),
            ("\u{1f468}\u{200d}\u{1f4bb}", Some("U+200D")),
            ("\u{2764}\u{fe0f}", Some("U+FE0F")),
            ("\u{2764}\u{fe0e}", Some("U+FE0E")),
        ] {
            let text = format!("{defaults}[[rule]]\nid = '{name}'\naction = 'block'\n");
            let wrong = crate::parse("f", &text, &crate::NoResolver).err();
            let wrong = wrong.map(|wrong| wrong.to_string());
            assert_eq!(wrong.is_some(), unseen.is_some(), "{name}: {wrong:?}");
            let said = wrong.unwrap_or_default();
            assert!(said.contains(unseen.unwrap_or_default()), "{said}");
            let hint = "an emoji that is one character";
            assert_eq!(said.contains(hint), unseen.is_some(), "{said}");
        }
        // What is no name may have it, and is written so that people see it.
        let value = crate::document::text_value("/opt/\u{202e}x\u{e0041}\"");
        assert_eq!(value, r#""/opt/\u202Ex\U000E0041\"""#);
    }
}
