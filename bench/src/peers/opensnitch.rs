//! Debian's opensnitch: its daemon in the zone's namespace, with no window to ask.
//! It puts new connections into NFQUEUE 0.

use crate::gatebell::Programs;
use crate::ground::{Ground, Server, until};
use anyhow::{Context, Result, bail};
use std::fs;
use std::process::Stdio;
use std::time::Duration;

/// The running daemon. Dropped, it is gone.
pub struct Opensnitch<'a> {
    ground: &'a Ground,
    daemon: Server,
}

impl<'a> Opensnitch<'a> {
    /// Starts it, and waits until its rules are there.
    pub fn start(programs: &Programs, ground: &'a Ground) -> Result<Self> {
        let daemon = programs.peers.join("opensnitch/usr/bin/opensnitchd");
        let folder = ground.lab.folder().join("opensnitch");
        fs::create_dir_all(&folder)?;
        let text = |path: &std::path::Path| {
            path.to_str()
                .map(str::to_owned)
                .context("a path is no text")
        };
        let (daemon, folder) = (text(&daemon)?, text(&folder)?);
        let log = format!("{folder}/log");
        let mut command = ground.program(
            true,
            &[
                &daemon,
                "-process-monitor-method",
                "proc",
                "-rules-path",
                &folder,
                "-ui-socket",
                "unix:///nobody-listens-here.sock",
                "-queue-num",
                "0",
            ],
        );
        let said = fs::File::create(&log)?;
        command
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said);
        let daemon = Server(command.spawn().context("can't start opensnitchd")?);
        let mut opensnitch = Self { ground, daemon };
        if !until(Duration::from_secs(8), || opensnitch.intercepts()) {
            bail!(
                "opensnitchd makes no rules: {}",
                fs::read_to_string(&log).unwrap_or_default().trim()
            );
        }
        Ok(opensnitch)
    }

    /// Returns whether new connections go to OpenSnitch's queue.
    fn intercepts(&mut self) -> bool {
        let rules = [
            "iptables -w -t mangle -S OUTPUT; iptables-legacy -w -t mangle -S OUTPUT; nft list ruleset",
        ];
        let said = self
            .ground
            .done(true, &[&["sh", "-c"], rules.as_slice()].concat())
            .unwrap_or_default();
        self.daemon.runs() && (said.contains("NFQUEUE") || said.contains("queue"))
    }
}

impl Drop for Opensnitch<'_> {
    fn drop(&mut self) {
        self.daemon.signal(nix::sys::signal::Signal::SIGTERM);
        let _soon = until(Duration::from_secs(3), || !self.daemon.runs());
        for program in [
            "iptables",
            "iptables-legacy",
            "ip6tables",
            "ip6tables-legacy",
        ] {
            for table in ["mangle", "filter"] {
                // It leaves its rules when it is not asked nicely.
                let _gone = self.ground.done(true, &[program, "-w", "-t", table, "-F"]);
            }
        }
        let _gone = self.ground.done(true, &["nft", "flush", "ruleset"]);
    }
}
