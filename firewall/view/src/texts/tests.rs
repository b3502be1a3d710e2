//! Tests of the catalogues beside each other, and beside the code that asks for texts.

use super::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Returns the texts of a catalogue by their keys, with the values that each names.
fn texts(language: Language) -> BTreeMap<String, BTreeSet<String>> {
    let mut texts = BTreeMap::new();
    let mut last: Option<String> = None;
    for line in language.catalogue().lines() {
        let key = line.split_once(" =").map(|(key, _)| key);
        let is_key = |key: &&str| key.starts_with(|c: char| c.is_ascii_lowercase());
        if let Some(key) = key.filter(is_key) {
            let known = texts.insert(key.to_owned(), BTreeSet::new());
            assert_eq!(known, None, "{key} stands twice in {language}");
            last = Some(key.to_owned());
        }
        let values = last.as_ref().and_then(|key| texts.get_mut(key));
        let Some(values) = values.filter(|_| !line.starts_with('#')) else {
            continue;
        };
        let named = line.split("{ $").skip(1);
        let name = |rest: &str| {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            rest[..end.unwrap_or(rest.len())].to_owned()
        };
        values.extend(named.map(name));
    }
    texts
}

/// Returns the texts of a catalogue by their keys, with the values of each by whose number a form is chosen.
fn choosing(language: Language) -> BTreeMap<String, BTreeSet<String>> {
    let mut texts = texts(language);
    let chooses = |value: &String| format!("{{ ${value} ->");
    for (key, values) in &mut texts {
        let text = text_of(language, key);
        values.retain(|value| text.contains(&chooses(value)));
    }
    texts
}

/// Returns a text as it stands in its catalogue.
fn text_of(language: Language, key: &str) -> String {
    let begins = format!("{key} =");
    let lines = language.catalogue().lines();
    let mut lines = lines.skip_while(|line| !line.starts_with(&begins));
    let first = lines.next().unwrap_or_default();
    let is_more = |line: &&str| line.starts_with([' ', '}']);
    let more = lines.take_while(is_more);
    std::iter::once(first)
        .chain(more)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Values that choose a form in one language, where another says the same of one as of many.
const ALIKE: [(Language, &str, &str); 3] = [
    (Language::English, "rules-compared-none-untold", "untold"),
    (Language::English, "rules-compared-some-untold", "untold"),
    (Language::German, "live-dropped", "dropped"),
];

/// English words that end like a plural and are none.
const NO_PLURALS: [&str; 6] = ["is", "has", "was", "as", "ends", "returns"];

/// Code that makes words of a number.
const WORDS: [&str; 4] = ["grouped(", "to_string(", "format!(", "cells["];

/// Terms that stand for one thing each, in English and in German.
const TERMS: [(&str, &str); 6] = [
    ("refused", "abgewiesen"),
    ("rejected", "abgelehnt"),
    ("kernel", "kernel"),
    ("device", "schnittstelle"),
    ("endpoint", "gegenstelle"),
    ("gateway", "gateway"),
];

/// Returns the words of a text, in small letters, without its key and its values.
fn words_of(language: Language, key: &str) -> String {
    let text = text_of(language, key);
    let said = text.strip_prefix(key).unwrap_or(&text).to_lowercase();
    let words = said
        .split_whitespace()
        .filter(|word| !word.starts_with('$'));
    words.collect::<Vec<_>>().join(" ")
}

/// Returns the code of the value with this name that a text is asked for with.
fn given<'a>(arguments: &'a str, name: &str) -> &'a str {
    let begins = format!("{name} = ");
    let rest = arguments.split_once(&begins).map_or("", |(_, rest)| rest);
    let end = rest.find(['\n', ',']).unwrap_or(rest.len());
    &rest[..end]
}

/// Finds all Rust files of a folder.
fn sources(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, files);
        } else if path.extension().is_some_and(|it| it == "rs") {
            files.push(path);
        }
    }
}

/// Returns what is between a macro's parentheses, of the text after the first of them.
fn within(text: &str) -> &str {
    let (mut depth, mut quoted, mut escaped) = (1, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            '(' | '[' | '{' if !quoted => depth += 1,
            ')' | ']' | '}' if !quoted => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &text[..at];
        }
    }
    text
}

/// Returns the names of the values that a text is asked for with: those before a `=` that stands for itself, in no
/// parentheses.
fn named(arguments: &str) -> BTreeSet<String> {
    let (mut depth, mut quoted, mut names) = (0, false, BTreeSet::new());
    let bytes = arguments.as_bytes();
    for (at, c) in arguments.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '(' | '[' | '{' if !quoted => depth += 1,
            ')' | ']' | '}' if !quoted => depth -= 1,
            '=' if !quoted && depth == 0 => {
                let alone = !b"=<>!".contains(&bytes[at - 1]) && !b"=>".contains(&bytes[at + 1]);
                let word = arguments[..at].trim_end();
                let from = word.rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                if alone {
                    names.insert(word[from.map_or(0, |from| from + 1)..].to_owned());
                }
            }
            _ => {}
        }
    }
    names
}

#[test]
fn both_catalogues_have_the_same_texts_with_the_same_values_and_are_fluent() {
    let english = texts(Language::English);
    assert!(english.len() > 300, "{}", english.len());
    for language in Language::ALL {
        let read = FluentResource::try_new(language.catalogue().to_owned());
        let wrong = read.map_err(|(_, wrong)| wrong);
        assert!(wrong.is_ok(), "{language}: {:?}", wrong.err());
        let other = texts(language);
        let keys = |of: &BTreeMap<String, _>| of.keys().cloned().collect::<BTreeSet<_>>();
        let (ours, theirs) = (keys(&english), keys(&other));
        let missing: Vec<_> = ours.symmetric_difference(&theirs).collect();
        assert!(missing.is_empty(), "not in both: {missing:?}");
        for (key, values) in &english {
            assert_eq!(Some(values), other.get(key), "{key} in {language}");
        }
    }
}

#[test]
fn a_term_is_one_word_in_german_wherever_english_says_it() {
    for key in texts(Language::English).keys() {
        let (english, german) = (
            words_of(Language::English, key),
            words_of(Language::German, key),
        );
        for (term, word) in TERMS {
            let says = english.contains(term);
            assert!(!says || german.contains(word), "{key}: {term}: {german}");
        }
        let kernel = german.split(|c: char| !c.is_alphabetic());
        assert!(kernel.clone().all(|word| word != "kern"), "{key}: {german}");
    }
}

#[test]
fn what_is_counted_in_one_catalogue_has_a_form_for_one_and_for_many_in_each() {
    for key in texts(Language::English).keys() {
        let text = text_of(Language::English, key);
        let forms = |line: &&str| !line.trim_start().starts_with(['[', '*']);
        for line in text.lines().filter(forms) {
            // Of a size more than one is meant, whatever its number is.
            let pieces: Vec<_> = line.split(" } ").collect();
            for pair in pieces.windows(2).filter(|pair| !pair[0].ends_with("$size")) {
                let mut words = pair[1].split(|c: char| !c.is_ascii_alphabetic());
                let word = words.next().unwrap_or_default();
                let is_plural =
                    word.len() > 1 && word.ends_with('s') && !NO_PLURALS.contains(&word);
                assert!(!is_plural, "one is said as many are, {word}: {text}");
            }
        }
    }
    let catalogues = Language::ALL.map(|language| (language, choosing(language)));
    for (language, ours) in &catalogues {
        for (_, others) in &catalogues {
            for (key, values) in others {
                let alike = |value: &&String| ALIKE.contains(&(*language, key, value));
                let missing = values.difference(&ours[key]).find(|value| !alike(value));
                assert_eq!(missing, None, "{key} in {language} says one as many");
            }
        }
    }
}

#[test]
fn each_text_that_is_asked_for_is_in_the_catalogue_with_its_values_and_none_is_there_for_nobody() {
    let texts = texts(Language::English);
    let choosing = choosing(Language::English);
    let mut asked = BTreeSet::new();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "../app/src"] {
        sources(&here.join(folder), &mut files);
    }
    // Tests ask for what the code asks for, and say what is no key. Where the clone lies says nothing.
    files.retain(|path| {
        let inside = path.strip_prefix(here).unwrap();
        let of_tests = inside.iter().any(|part| part == "tests") || inside.ends_with("tests.rs");
        !of_tests && !inside.ends_with("texts.rs")
    });
    assert!(files.len() > 50, "{}", files.len());
    for path in files {
        let source = std::fs::read_to_string(&path).unwrap();
        for (at, _) in source.match_indices("text!(") {
            let arguments = within(&source[at + "text!(".len()..]).trim();
            let place = format!("{}: {arguments}", path.display());
            let key = arguments
                .strip_prefix('"')
                .and_then(|it| it.split_once('"'));
            let (key, rest) = key.unwrap_or_else(|| panic!("{place}"));
            let values = texts.get(key);
            let values = values.unwrap_or_else(|| panic!("no text of this key: {place}"));
            assert_eq!(&named(rest), values, "{place}");
            for chooses in &choosing[key] {
                let word = WORDS
                    .iter()
                    .find(|word| given(rest, chooses).contains(**word));
                assert_eq!(word, None, "{chooses} is no number: {place}");
            }
            asked.insert(key.to_owned());
        }
    }
    let for_nobody: Vec<_> = texts.keys().filter(|key| !asked.contains(*key)).collect();
    assert!(for_nobody.is_empty(), "nobody asks for {for_nobody:?}");
}

#[test]
fn a_plural_is_chosen_by_its_number_in_each_language_and_no_number_is_too_large() {
    let said = |language, count: u64| {
        let _in_it = speaking(language);
        text!("answers-taken-back", count = count)
    };
    let english = said(Language::English, 1);
    assert_eq!(english, "Taken back: it is asked about again");
    assert!(said(Language::English, 7).starts_with("7 taken back"));
    assert!(said(Language::German, 1).starts_with("Zurückgenommen"));
    assert!(said(Language::German, 7).starts_with("7 zurückgenommen"));
    let most = u64::MAX.to_string();
    assert!(said(Language::German, u64::MAX).starts_with(&most));
}

#[test]
fn the_windows_language_is_the_one_that_the_desktop_has_chosen_and_english_where_there_is_none_of_it()
 {
    let chosen = |variables: &[(&str, &str)]| {
        Language::of_environment(|name| {
            let mut variables = variables.iter();
            let found = variables.find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    };
    use Language::{English, German};
    for (variables, language) in [
        (&[][..], English),
        (&[("LANG", "de_DE.UTF-8")], German),
        (&[("LANG", "de_AT@euro")], German),
        (&[("LANG", "de")], German),
        (&[("LANG", "fr_FR.UTF-8")], English),
        (&[("LANG", "den_CA")], English),
        (&[("LANG", "C"), ("LANGUAGE", "de")], English),
        (&[("LANG", "C.UTF-8"), ("LANGUAGE", "de")], German),
        (&[("LANG", "C.UTF-8")], English),
        (&[("LANG", "C.UTF-8"), ("LANGUAGE", "fr:C:de")], English),
        (&[("LANGUAGE", "de")], English),
        (&[("LANG", "en_US.UTF-8"), ("LANGUAGE", "de:en")], German),
        (&[("LANG", "de_DE.UTF-8"), ("LANGUAGE", "en:de")], English),
        (&[("LANG", "en_US"), ("LANGUAGE", "fr:de_CH:en")], German),
        (&[("LANG", "en_US"), ("LC_MESSAGES", "de_DE")], German),
        (&[("LC_MESSAGES", "de_DE"), ("LC_ALL", "en_GB")], English),
        (&[("LC_ALL", ""), ("LANG", "de_DE")], German),
        (&[("LC_ALL", "POSIX"), ("LANGUAGE", "de")], English),
    ] {
        assert_eq!(chosen(variables), language, "{variables:?}");
    }
    assert_eq!("de".parse(), Ok(German));
    assert_eq!("de-CH".parse(), Ok(German), "as Windows writes it");
    let unknown = "fr".parse::<Language>().unwrap_err().to_string();
    assert!(unknown.contains("`fr`; choose en or de"), "{unknown}");
}

#[test]
fn a_language_for_a_while_ends_with_its_guard() {
    assert_eq!(spoken(), Language::English);
    {
        let _german = speaking(Language::German);
        {
            let _english = speaking(Language::English);
            assert_eq!(text!("close"), "Close");
        }
        assert_eq!(text!("close"), "Schließen");
    }
    assert_eq!(text!("close"), "Close");
}
