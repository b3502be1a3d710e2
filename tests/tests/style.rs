//! The house rules for comments, which neither the compiler nor rustfmt looks at.
//!
//! The source is read line by line, as rustfmt left it: an item ends at a line that is indented as its first one. So
//! what is in a macro is read too.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::fs;
use std::path::Path;

/// Words that ask. A doc begins with what the thing is, or with what the function does.
const QUESTION_WORDS: [&str; 16] = [
    "How",
    "However",
    "What",
    "Whatever",
    "When",
    "Whenever",
    "Where",
    "Wherever",
    "Whether",
    "Which",
    "Whichever",
    "Who",
    "Whoever",
    "Whom",
    "Whose",
    "Why",
];

/// The widest that a line of comment is.
const COLUMNS: usize = 120;

/// Derives by which clap makes help texts of an item's docs.
const HELP_DERIVES: [&str; 4] = ["Args", "Parser", "Subcommand", "ValueEnum"];

/// Calls with the name and the text of every source file in the clone, those of the crates outside the workspace too.
fn each_source(folder: &Path, call: &mut impl FnMut(&Path, &str)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                each_source(&path, call);
            }
        } else if name.ends_with(".rs") {
            call(&path, &fs::read_to_string(&path).unwrap());
        }
    }
}

/// Asserts that a rule finds nothing in any source file.
fn assert_none(rule: fn(&str) -> Vec<usize>, broken: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let (mut files, mut found) = (0, Vec::new());
    each_source(root, &mut |path, text| {
        files += 1;
        let path = path.strip_prefix(root).unwrap().display();
        let lines = rule(text).into_iter();
        found.extend(lines.map(|line| format!("{path}:{line}")));
    });
    assert!(files > 500, "only {files} files were read");
    assert!(found.is_empty(), "{broken}:\n{}", found.join("\n"));
}

/// Returns the text of a line of documentation.
fn doc(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let text = line.strip_prefix("///").or(line.strip_prefix("//!"))?;
    (!text.starts_with('/')).then(|| text.trim_start())
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Returns whether one of clap's derives for help texts is in the attribute that begins at this line.
fn derives_help(lines: &[&str], at: usize) -> bool {
    if !lines[at].trim_start().starts_with("#[derive(") {
        return false;
    }
    let end = lines[at..].iter().position(|line| line.ends_with(")]"));
    let attribute = &lines[at..=at + end.unwrap_or(0)];
    attribute
        .iter()
        .flat_map(|line| line.split(|letter: char| !letter.is_alphanumeric()))
        .any(|word| HELP_DERIVES.contains(&word))
}

/// Returns for each line whether it is in an item whose docs clap shows to people as help.
fn are_help(lines: &[&str]) -> Vec<bool> {
    let mut help = vec![false; lines.len()];
    for at in (0..lines.len()).filter(|at| derives_help(lines, *at)) {
        let belongs = |line: &&&str| doc(line).is_some() || line.trim_start().starts_with("#[");
        let above = lines[..at].iter().rev().take_while(belongs).count();
        let ends =
            |line: &&str| indentation(line) == indentation(lines[at]) && line.ends_with(['}', ';']);
        let below = lines[at..].iter().position(ends);
        help[at - above..=at + below.unwrap_or(0)].fill(true);
    }
    help
}

/// Returns the numbers of the lines that begin a doc with a question word; in help texts for people, one may.
fn questions(text: &str) -> Vec<usize> {
    let lines: Vec<&str> = text.lines().collect();
    let help = are_help(&lines);
    let asks = |at: &usize| {
        let begins = *at == 0 || doc(lines[at - 1]).is_none();
        let text = doc(lines[*at]).filter(|_| begins && !help[*at]);
        let first = text.and_then(|text| text.split(|letter: char| !letter.is_alphabetic()).next());
        first.is_some_and(|word| QUESTION_WORDS.contains(&word))
    };
    (0..lines.len()).filter(asks).map(|at| at + 1).collect()
}

/// Returns the numbers of the lines of comment that are too wide.
fn wide_comments(text: &str) -> Vec<usize> {
    let is_wide =
        |line: &str| line.trim_start().starts_with("//") && line.chars().count() > COLUMNS;
    let lines = text.lines().zip(1..);
    lines
        .filter(|(line, _)| is_wide(line))
        .map(|(_, number)| number)
        .collect()
}

#[test]
fn every_doc_begins_with_what_the_thing_is() {
    assert_none(questions, "a doc begins with a question word");
}

#[test]
fn no_comment_is_wider_than_120_columns() {
    assert_none(wide_comments, "a comment is wider than 120 columns");
}

#[test]
fn a_doc_that_begins_with_a_question_word_is_found_wherever_it_stands() {
    let text = [
        "//! Which packets there are.",
        "//!",
        "//! What follows is no first line.",
        "",
        "/// The rules of a zone.",
        "/// Where one matches, it decides.",
        "#[derive(Clone, Debug)]",
        "pub struct Rules {",
        "    /// Whether any is on.",
        "    on: bool,",
        "}",
        "",
        "macro_rules! made {",
        "    () => {",
        "        /// How many there are.",
        "        fn count() {}",
        "    };",
        "}",
        "// Why it is so: a comment may say that, and a rule between comments is no doc:",
        "//////// Who",
        "/// Whose it is",
        "fn owner() {}",
        "/// Whereabouts of the file.",
        "fn place() {}",
    ]
    .join("\n");
    assert_eq!(questions(&text), [1, 9, 15, 21]);
}

#[test]
fn a_help_text_may_ask_and_what_stands_beside_it_may_not() {
    let text = [
        "/// Where to.",
        "#[derive(Debug, Args)]",
        "#[command(next_help_heading = \"Where\")]",
        "pub struct Target {",
        "    /// Which one; all if left out",
        "    #[arg(long)]",
        "    pub name: Option<String>,",
        "}",
        "",
        "/// What was meant.",
        "struct Meant;",
        "",
        "mod words {",
        "    #[derive(",
        "        Clone, Copy, Debug, PartialEq, Eq, ValueEnum,",
        "    )]",
        "    enum Word {",
        "        /// Whoever it is",
        "        Any,",
        "    }",
        "    /// Why not.",
        "    #[derive(Clone, Debug)]",
        "    struct Reason;",
        "    /// How it is asked.",
        "    #[derive(Debug, clap::Parser)]",
        "    struct Alone;",
        "    /// When it was.",
        "    struct Time;",
        "}",
    ]
    .join("\n");
    assert_eq!(questions(&text), [10, 21, 27]);
}

#[test]
fn a_comment_that_is_too_wide_is_found_and_a_wide_line_of_code_is_left_to_rustfmt() {
    let [fits, wide] = [120, 121].map(|columns| "ü".repeat(columns - "/// ".len()));
    let text =
        format!("/// {fits}\n/// {wide}\n    // {wide}\nlet text = \"// {wide}\";\n//! {wide}");
    assert_eq!(wide_comments(&text), [2, 3, 5]);
}
