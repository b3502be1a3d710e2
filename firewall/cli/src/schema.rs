//! `gatebell rules schema`: the JSON Schema of rule files.
//!
//! It is written by hand, for its descriptions' sake; tests hold each key, name and limit in it against the parser.

use crate::Error;
use std::io::Write;

/// The schema.
pub const SCHEMA: &str = include_str!("schema.json");

/// Prints it.
pub fn run(out: &mut dyn Write) -> Result<u8, Error> {
    out.write_all(SCHEMA.as_bytes())?;
    Ok(0)
}
