//! Tests of the messages about rule files, and of their explanations.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod as_if;
mod checked;
#[path = "../commands/mod.rs"]
mod commands;
mod foreign_text;
#[path = "../../../rules/tests/place/mod.rs"]
mod place;
mod schema;
mod shown;
mod why;

/// Beginning of a rule file.
const DEFAULTS: &str = "[default]\ninbound = \"block\"\noutbound = \"allow\"\n";
