//! Tests of the window's code, as it is read: what people read stands in the catalogue, and in no code.

use std::path::{Path, PathBuf};

/// Functions that show or say a text that they are handed.
const WIDGETS: [&str; 22] = [
    "label",
    "button",
    "small_button",
    "strong",
    "weak",
    "heading",
    "monospace",
    "radio",
    "radio_value",
    "checkbox",
    "toggle_value",
    "selectable_label",
    "new",
    "hint_text",
    "on_hover_text",
    "set_label",
    "set_description",
    "labeled",
    "selected",
    "line",
    "instead",
    "name",
];
/// Functions that take a word that nobody reads: a name that tells one part of the window from another, or a command's.
const UNREAD: [&str; 9] = [
    "top",
    "bottom",
    "id_salt",
    "request_discard",
    "details",
    "run_native",
    "read_to_string",
    "contains",
    "split",
];
/// Names that are the same in every language.
const PROPER: [&str; 3] = ["Gatebell", "gatebell-app", "Linux {}"];

/// Literal in a file.
#[derive(Debug)]
struct Literal<'a> {
    text: &'a str,
    /// Names of the functions that the literal is handed to, the innermost first.
    calls: Vec<&'a str>,
    before: &'a str,
    after: &'a str,
}

impl Literal<'_> {
    /// Returns the literal's letters, without what is put in.
    fn words(&self) -> String {
        let mut depth = 0;
        let mut words = String::new();
        for c in self.text.chars() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                c if depth == 0 => words.push(c),
                _ => {}
            }
        }
        words
    }

    fn is_called_by(&self, names: &[&str]) -> bool {
        let calls = self.calls.iter();
        let mut last = calls.filter_map(|call| call.rsplit("::").next());
        last.any(|call| names.contains(&call))
    }

    /// Returns whether the literal is compared with, or says something to the compiler.
    fn is_compared(&self) -> bool {
        let before = self.before.trim_end();
        let after = self
            .after
            .trim_start_matches(|c: char| c == ')' || c.is_whitespace());
        after.starts_with("=>")
            || after.starts_with('|')
            || [
                "==",
                "!=",
                "name:",
                "|",
                "reason =",
                "target_os =",
                "name =",
            ]
            .iter()
            .any(|sign| before.ends_with(sign))
    }
}

/// Returns the source of a file without what is compiled for tests alone, by `#[cfg(test)]` and the item below it, as
/// rustfmt lays them out: an item ends in the column where it begins.
fn without_tests(source: &str) -> String {
    let mut kept = String::new();
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        let Some(indent) = line.strip_suffix("#[cfg(test)]") else {
            kept.extend([line, "\n"]);
            continue;
        };
        let is_attribute = |line: &str| line.starts_with("#[") || line.starts_with("//");
        let mut item = lines
            .by_ref()
            .filter_map(|line| line.strip_prefix(indent))
            .filter(|line| !line.starts_with(' '))
            .skip_while(|line| is_attribute(line) || matches!(*line, ")]" | "]"));
        let _end = item.find(|line| line.ends_with(['}', ';', ',']));
    }
    kept
}

/// Returns the literals of a source.
fn literals(source: &str) -> Vec<Literal<'_>> {
    let (mut found, mut at) = (Vec::new(), 0);
    let bytes = source.as_bytes();
    while at < bytes.len() {
        match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                at = source[at..].find('\n').map_or(bytes.len(), |end| at + end);
            }
            // Of a character a quotation mark alone matters here.
            b'\'' if source[at..].starts_with("'\"'") => at += 3,
            b'\'' if source[at..].starts_with("'\\") => at += 4,
            b'"' => {
                let mut end = at + 1;
                while bytes[end] != b'"' {
                    end += 1 + usize::from(bytes[end] == b'\\');
                }
                found.push(Literal {
                    text: &source[at + 1..end],
                    calls: calls(&source[..at]),
                    before: &source[..at],
                    after: &source[end + 1..],
                });
                at = end + 1;
            }
            _ => at += 1,
        }
    }
    found
}

/// Returns the names of what is called around the end of this text, within one statement.
fn calls(before: &str) -> Vec<&str> {
    let (mut depth, mut calls) = (0, Vec::new());
    for (at, c) in before.char_indices().rev() {
        match c {
            ')' | ']' | '}' => depth += 1,
            '(' | '[' | '{' if depth > 0 => depth -= 1,
            '(' => {
                let name = before[..at].trim_end_matches('!');
                let from = name.rfind(|c: char| !c.is_ascii_alphanumeric() && !"_:".contains(c));
                calls.push(&name[from.map_or(0, |from| from + 1)..]);
            }
            '{' | ';' if depth == 0 => break,
            _ => {}
        }
    }
    calls
}

/// Returns whether this is what people read: two words, or one where people read it.
fn is_read(literal: &Literal<'_>, of_the_window: bool) -> bool {
    let words = literal.words();
    let letters = words.chars().filter(|c| c.is_alphabetic()).count();
    if letters < 2 || PROPER.contains(&literal.text) || literal.is_called_by(&["text"]) {
        return false;
    }
    if literal.is_called_by(&WIDGETS) && of_the_window {
        return !literal.is_called_by(&UNREAD) && !literal.calls.contains(&"egui::Grid::new");
    }
    if literal.is_called_by(&UNREAD) || literal.is_compared() {
        return false;
    }
    let is_command = ["sudo gatebell", "--", " --"]
        .iter()
        .any(|begin| words.starts_with(begin));
    let of_words = words.split_whitespace().filter(|word| {
        let all = word
            .chars()
            .all(|c| c.is_alphabetic() || ",.:;".contains(c));
        all && word.chars().any(char::is_alphabetic)
    });
    !is_command && (of_the_window || of_words.count() > 1)
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" {
            files(&path, found);
        } else if name.ends_with(".rs") && !["tests.rs", "model.rs", "main.rs"].contains(&&*name) {
            found.push(path);
        }
    }
}

#[test]
fn no_text_that_people_read_stands_in_the_windows_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Vec::new();
    files(&root, &mut all);
    assert!(all.len() > 30, "{all:?}");
    let mut read = Vec::new();
    for path in all {
        let source = std::fs::read_to_string(&path).unwrap();
        let of_the_window = path.starts_with(root.join("window"));
        for literal in literals(&without_tests(&source)) {
            if is_read(&literal, of_the_window) {
                let name = path.strip_prefix(&root).unwrap().display();
                read.push(format!("{name}: {:?} in {:?}", literal.text, literal.calls));
            }
        }
    }
    assert!(
        read.is_empty(),
        "put into firewall/view/texts: {}",
        read.join("\n")
    );
}

#[test]
fn what_is_compiled_for_tests_alone_is_left_out_and_nothing_else() {
    for of_tests in [
        "mod tests;",
        "mod tests {\n    fn one() {\n        f(\"x\");\n    }\n}",
        "#[expect(\n    clippy::unwrap_used,\n    reason = \"x\"\n)]\nmod tests {\n}",
        "/// Model; for tests.\n#[derive(Debug)]\npub struct Model {\n    waiting: u8,\n}",
        "use view::Model;",
        "impl Service for Model {\n    fn one(\n        &self,\n    ) -> u8 {\n        7\n    }\n}",
        "pub fn turn(\n    &self,\n) -> u8 {\n    7\n}",
    ] {
        for indent in ["", "    "] {
            let item = format!("#[cfg(test)]\n{of_tests}").replace('\n', &format!("\n{indent}"));
            let source =
                format!("{indent}fn before() {{}}\n{indent}{item}\n{indent}fn after() {{}}\n");
            let left = format!("{indent}fn before() {{}}\n{indent}fn after() {{}}\n");
            assert_eq!(without_tests(&source), left, "{source}");
        }
    }
}

#[test]
fn a_text_in_the_windows_code_is_found_however_it_reaches_a_widget() {
    let found = |source: &str, of_the_window| {
        let all = literals(source);
        all.iter().any(|literal| is_read(literal, of_the_window))
    };
    for source in [
        "ui.label(\"in\");",
        "ui.button(RichText::new(format!(\"Try {n} s\")).strong());",
        "let words = \"refused\"; ui.label(words);",
        "ui.add(egui::Button::new(\"Keep\"));",
        "fn name(&self) -> String { \"Networks\".to_owned() }",
        "node.set_label(\"rules\");",
    ] {
        assert!(found(source, true), "{source}");
    }
    assert!(found(
        "return Err(\"It is the first rule.\".to_owned());",
        false
    ));
    for source in [
        "ui.label(text!(\"rules-none\", file = &list.file));",
        "egui::Panel::top(\"head\").show(ui, |ui| self.head(ui));",
        "match verdict { \"allow\" => 1, _ => 2 }",
        "// ui.label(\"in\")",
        "ui.label(\" 1 \");",
    ] {
        assert!(!found(source, true), "{source}");
    }
    assert!(!found(
        "format!(\"sudo gatebell rules undo {number}\")",
        false
    ));
}
