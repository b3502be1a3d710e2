//! gatebelld: loads the firewall's driver into a zone, fills its tables from a rule file,
//! and serves apps that attach to it.
//!
//! It may depend on `firewall_abi`, `rules`, `engine`, `names`, `history`, `store`, `control`, `channel` and what a
//! kernel offers. It decides nothing about packets: `engine` does, in the driver.
//!
//! Rules that hold here:
//! - Tables first, programs second: no packet meets a driver without rules.
//! - What is attached outlives the service. It is taken over by the next one, or taken out by [`recover`],
//!   and nothing else takes it off.
//! - A bad rule file changes nothing, and all that is wrong with it is said at once.
//! - One thread touches the kernel's tables: the main loop's. Others have a [`firewall::Mailbox`]; the thread that
//!   learns names and the process that answers what was rejected have a ring each of their own,
//!   and who keeps a history is an app of the driver's.
//! - Standard output is for programs (one JSON object per line), standard error or the journal for people.
#![forbid(unsafe_code)]
#![cfg(target_os = "linux")]

mod address_names;
mod answered_programs;
mod asking;
mod canary;
mod capabilities;
mod checking;
mod confinement;
mod connection_watch;
pub mod control_server;
mod driver;
mod escape;
mod fallback;
mod fallback_rules;
pub mod firewall;
mod folders;
mod foreign_folder;
mod forwarded;
mod held_answers;
mod helper;
mod hooks;
mod keeper;
mod last_good;
mod last_reading;
mod living;
mod load_error;
mod log;
mod mailbox;
mod members;
mod named_sets;
mod netfilter;
mod offsets;
mod pins;
mod program_files;
mod programs;
mod recorder;
mod recover;
mod rejected;
mod ring_thread;
mod route_watch;
mod rule_names;
mod rulebook;
mod run;
mod sd_notify;
mod signals;
mod sockets;
mod state;
mod subscriptions;
mod surroundings;
mod sweep;
mod troubles;
mod user_names;
mod written;
mod zone;

pub use recover::{Locations, recover};
pub use run::run;
