//! Reader of `gatebell watch`, which is told of each refused packet beside: the records that it read, and those that
//! got lost.

use crate::stage::Process;
use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

/// Running `gatebell watch`.
pub struct Records {
    watch: Process,
    thread: JoinHandle<Heard>,
}

/// Counts of the records that were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Records of packets.
    pub packets: u64,
    /// Records of packets that were asked about.
    pub asked: u64,
    /// Records that the driver could not hand over; none: it did not say.
    pub lost: Option<u64>,
}

impl Records {
    /// Watches with this command line, which prints JSON.
    pub fn watch(command: &mut Command) -> Result<Self> {
        let mut watch = Process::start(command.stdout(Stdio::piped()))?;
        let says = watch
            .0
            .stdout
            .take()
            .context("gatebell watch has no output")?;
        let thread = std::thread::spawn(move || {
            let mut heard = Heard::default();
            for line in BufReader::new(says).lines().map_while(Result::ok) {
                heard.take_in(&line);
            }
            heard
        });
        Ok(Self { watch, thread })
    }

    /// Ends `gatebell watch`, as by Ctrl-C.
    pub fn end(self) -> Result<Heard> {
        self.watch.signal(Signal::SIGINT);
        let heard = self.thread.join();
        heard.map_err(|_| anyhow::anyhow!("who hears the records has panicked"))
    }
}

impl Heard {
    fn take_in(&mut self, line: &str) {
        let Ok(said) = serde_json::from_str::<Value>(line) else {
            return;
        };
        match said["kind"].as_str() {
            Some("packet") => {
                self.packets += 1;
                self.asked += u64::from(said["verdict"] == "ask");
            }
            Some("account") => self.lost = said["lost"].as_u64(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_watch_prints_is_counted_and_its_account_says_what_was_lost() {
        let mut heard = Heard::default();
        for line in [
            r#"{"kind":"packet","verdict":"ask"}"#,
            r#"{"kind":"packet","verdict":"block"}"#,
            r#"{"kind":"contact"}"#,
            "nothing that is JSON",
            r#"{"kind":"account","offered":2,"lost":0}"#,
        ] {
            heard.take_in(line);
        }
        let expected = Heard {
            packets: 2,
            asked: 1,
            lost: Some(0),
        };
        assert_eq!(heard, expected);
    }
}
