//! Views of a driver's records for a person and for a program: a line, the cells of a row, a JSON object.
//!
//! The window, the terminal views and the command line show the same records, so what is shown of them is written here,
//! once. It may depend on `channel` to be told, and on `control` and `rules` for the names of rules and what can be
//! asked for. It decides nothing.
//!
//! Rules that hold here:
//! - What comes from a record is untrusted until `firewall_abi` and [`entry`] have made something of it.
//! - What another program may have named moves no cursor.
#![forbid(unsafe_code)]

pub mod answer;
pub mod contacts;
pub mod csv;
pub mod entry;
#[cfg(any(test, feature = "example"))]
pub mod example;
pub mod filter;
pub mod history;
pub mod json;
pub mod kept;
mod latency;
pub mod network;
pub mod question;
pub mod reader;
pub mod rule;
pub mod status;
pub mod terminal;
pub mod texts;
pub mod time;
pub mod trouble;

pub use entry::Entry;
pub use latency::Latency;
