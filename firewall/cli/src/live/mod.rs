//! The commands that ask a running firewall: the service's control socket, and the driver's device.
//!
//! On Windows there is no service: the device takes its place, and these commands are not there yet.

pub mod answers;
pub mod apply;
pub mod ask;
pub mod audit;
mod change;
mod contacts;
mod filter;
pub mod history;
mod last;
pub mod networks;
pub mod recover;
mod service_file;
pub mod set;
mod stats;
pub mod status;
pub mod top;
pub mod watch;

pub use answers::answers;
pub use apply::{apply, confirm, revert, taken};
pub use ask::ask;
pub use audit::audit;
pub use history::{history, table};
pub use last::last;
pub use networks::networks;
pub use recover::recover;
pub use service_file::{ServiceFile, file_of_the_service};
pub use set::set;
pub use stats::stats;
pub use status::status;
pub use top::top;
pub use watch::watch;

use crate::Error;
use crate::rule_file::RuleSource;
use control::{Client, HistoryRow, SetMember};
use std::io::IsTerminal;
use std::path::Path;

/// A connection to the running service.
fn connect(socket: &Path) -> Result<Client, Error> {
    Ok(Client::connect(socket)?.interactive(is_somebody_there()))
}

/// Returns whether a person is at the terminal, who can be asked for a password.
pub fn is_somebody_there() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// The rules that are judged by now, with what has joined their sets.
pub fn in_force(socket: &Path) -> Result<RuleSource, Error> {
    let mut client = connect(socket)?;
    Ok(RuleSource {
        members: client.set_members(None)?,
        networks: view::status::judged_as(&client.networks()?.networks),
        ..text_in_force(&mut client)?
    })
}

/// Returns the members that have joined sets by now.
pub fn members(socket: &Path) -> Result<Vec<SetMember>, Error> {
    Ok(connect(socket)?.set_members(None)?)
}

/// Returns the rows of the history since a time, in seconds since 1970.
pub fn kept_since(socket: &Path, since: u64) -> Result<Vec<HistoryRow>, Error> {
    Ok(connect(socket)?.history(since)?)
}

/// Their text, over a connection that there is.
pub fn text_in_force(client: &mut Client) -> Result<RuleSource, Error> {
    let rules = client.rules()?;
    let text = rules.text.ok_or(control::NotEditable::NoText)?;
    let name = rules
        .name
        .unwrap_or_else(|| "the rules in force".to_owned());
    Ok(RuleSource {
        name,
        text,
        place: rules.folder.join("rules.toml"),
        members: Vec::new(),
        networks: Vec::new(),
    })
}
