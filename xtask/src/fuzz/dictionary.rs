//! The words of rule files, for libFuzzer to put into what it feeds: from their schema,
//! so that no second list falls behind.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::place;

/// Path of the schema that `gatebell rules schema` prints.
const SCHEMA: &str = "firewall/cli/src/schema.json";
/// Word that no schema has: the end of a text, with the list behind the rules.
const BETWEEN: &str = "\0";

/// Writes the dictionary, and returns its path.
pub fn write() -> Result<PathBuf> {
    let mut lines = String::new();
    for word in words(&schema()?) {
        writeln!(lines, "\"{}\"", escaped(&word))?;
    }
    let file = place::fuzz().join("rules.dict");
    fs::write(&file, lines).with_context(|| format!("writing {}", file.display()))?;
    Ok(file)
}

fn schema() -> Result<Value> {
    let text = fs::read_to_string(place::root().join(SCHEMA)).context(SCHEMA)?;
    serde_json::from_str(&text).context(SCHEMA)
}

/// Tables, keys and values, as they stand in a file.
fn words(schema: &Value) -> BTreeSet<String> {
    let mut words = BTreeSet::from([BETWEEN.to_owned()]);
    words.extend(tables(schema));
    words.extend(keys(schema).into_iter().map(|key| format!("{key} = ")));
    let mut values = Vec::new();
    collect(schema, &mut values);
    words.extend(values);
    words
}

/// Returns the heads of tables: `[default]`, `[[rule]]` and their like.
fn tables(schema: &Value) -> impl Iterator<Item = String> {
    let properties = schema["properties"].as_object().into_iter().flatten();
    properties.filter_map(|(name, property)| match property["type"].as_str() {
        Some("object") => Some(format!("[{name}]")),
        Some("array") => Some(format!("[[{name}]]")),
        _ => None,
    })
}

/// The names of what can be said, at whatever depth.
fn keys(schema: &Value) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    let mut pending = vec![schema];
    while let Some(value) = pending.pop() {
        if let Some(properties) = value["properties"].as_object() {
            let said = properties
                .iter()
                .filter(|(name, _)| !is_table(schema, name));
            keys.extend(said.map(|(name, _)| name.clone()));
        }
        pending.extend(parts(value));
    }
    keys
}

fn is_table(schema: &Value, name: &str) -> bool {
    let property = &schema["properties"][name];
    matches!(property["type"].as_str(), Some("object" | "array"))
}

/// Collects the values that an `enum` or a `const` allows, and those given as examples.
fn collect(value: &Value, found: &mut Vec<String>) {
    for list in ["enum", "examples"] {
        let values = value[list].as_array().into_iter().flatten();
        found.extend(
            values
                .filter(|value| !value.is_object())
                .map(Value::to_string),
        );
    }
    for part in parts(value) {
        collect(part, found);
    }
}

fn parts(value: &Value) -> Vec<&Value> {
    match value {
        Value::Object(map) => map.values().collect(),
        Value::Array(list) => list.iter().collect(),
        _ => Vec::new(),
    }
}

/// Returns a word as libFuzzer reads it between quotes.
fn escaped(word: &str) -> String {
    let mut text = String::new();
    for byte in word.bytes() {
        match byte {
            b'"' => text.push_str("\\\""),
            b'\\' => text.push_str("\\\\"),
            b' '..=b'~' => text.push(char::from(byte)),
            // Writing to a String can't fail.
            _ => drop(write!(text, "\\x{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dictionary_has_tables_keys_and_values_of_the_schema() -> Result<()> {
        let words = words(&schema()?);
        for word in [
            "[default]",
            "[[set]]",
            "[[rule]]",
            "fail_mode = ",
            "\"static\"",
            "\"ask\"",
        ] {
            assert!(words.contains(word), "{word} is not among {words:?}");
        }
        assert_eq!(escaped("a\"\\\0"), "a\\\"\\\\\\x00");
        Ok(())
    }

    #[test]
    fn a_seed_says_everything_that_a_rule_file_can_say() -> Result<()> {
        let seed = place::root().join("fuzz/seeds/rules/everything.toml");
        let text = fs::read_to_string(seed)?;
        for key in keys(&schema()?) {
            let said = format!("{key} = ");
            assert!(text.lines().any(|line| line.starts_with(&said)), "{key}");
        }
        Ok(())
    }
}
