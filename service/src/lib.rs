//! gatebelld: loads the firewall's driver into a zone, fills its tables from a rule file, and is its door.
//!
//! It may depend on `rules`, `channel` and what a kernel offers. It decides nothing about packets: `engine` does, in the
//! driver.
//!
//! Rules that hold here:
//! - Tables first, programs second: no packet meets a driver without rules.
//! - A bad rule file changes nothing, and all that is wrong with it is said at once.
//! - Standard output is for programs (one JSON object per line), standard error for people.
#![forbid(unsafe_code)]
#![cfg(target_os = "linux")]

mod driver;
mod run;
mod zone;

pub use run::run;
