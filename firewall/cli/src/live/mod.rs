//! The commands that ask a running firewall: the service's control socket, and the driver's device.
//!
//! On Windows there is no service: the device takes its place, and these commands are not there yet.

mod apply;
mod ask;
mod audit;
mod change;
mod filter;
mod last;
mod recover;
mod service_file;
mod stats;
mod status;
mod watch;

pub use apply::{apply, confirm, revert, taken};
pub use ask::ask;
pub use audit::audit;
pub use last::last;
pub use recover::recover;
pub use service_file::{ServiceFile, file_of_the_service};
pub use stats::stats;
pub use status::status;
pub use watch::watch;

use crate::Error;
use crate::rule_file::Source;
use control::Client;
use std::io::IsTerminal;
use std::path::Path;

/// A connection to the running service.
fn connect(socket: &Path) -> Result<Client, Error> {
    Ok(Client::connect(socket)?.interactive(is_somebody_there()))
}

/// Whether a person sits there, who can be asked for a password.
pub fn is_somebody_there() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// The rules that are judged by now.
pub fn in_force(socket: &Path) -> Result<Source, Error> {
    text_in_force(&mut connect(socket)?)
}

/// The same, over a connection that there is.
pub fn text_in_force(client: &mut Client) -> Result<Source, Error> {
    let rules = client.rules()?;
    let text = rules.text.ok_or(control::NotEditable::NoText)?;
    let name = rules
        .name
        .unwrap_or_else(|| "the rules in force".to_owned());
    Ok(Source {
        name,
        text,
        place: rules.folder.join("rules.toml"),
    })
}

/// `3 s`, `5 min`, `2 h 3 min`, `4 days`.
fn for_how_long(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// `812 bytes`, `3.4 KiB`, `12.0 MiB`.
fn bytes(count: u64) -> String {
    let tenths = |unit: u64| format!("{}.{}", count / unit, count % unit * 10 / unit);
    match count {
        0..1024 => format!("{count} bytes"),
        1024..1_048_576 => format!("{} KiB", tenths(1024)),
        _ => format!("{} MiB", tenths(1 << 20)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_said_as_people_say_them() {
        let times = [0, 119, 120, 7199, 7200, 90_061, 172_800].map(for_how_long);
        assert_eq!(
            times,
            [
                "0 s",
                "119 s",
                "2 min",
                "119 min",
                "2 h 0 min",
                "25 h 1 min",
                "2 days"
            ]
        );
        let sizes = [1023, 1024, 1536, 1 << 20, 13 << 20].map(bytes);
        assert_eq!(
            sizes,
            ["1023 bytes", "1.0 KiB", "1.5 KiB", "1.0 MiB", "13.0 MiB"]
        );
    }
}
