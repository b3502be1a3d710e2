//! Ctrl-C as something to ask about, so that whoever started something can end it first.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Watch for interrupts: while this value lives, SIGINT, SIGTERM and SIGHUP set a flag and do not end this program.
pub struct Interrupt {
    flag: Arc<AtomicBool>,
    ids: Vec<SigId>,
}

impl Interrupt {
    /// Starts watching.
    pub fn watch() -> Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        let mut ids = Vec::new();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            let id = signal_hook::flag::register(signal, Arc::clone(&flag))
                .context("watching for Ctrl-C")?;
            ids.push(id);
        }
        Ok(Self { flag, ids })
    }

    /// Returns whether there was an interrupt since the last call.
    pub fn taken(&self) -> bool {
        self.flag.swap(false, Ordering::Relaxed)
    }

    /// Returns whether there was an interrupt that nobody has taken: several threads can ask, and each gets the answer.
    pub fn is_pending(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        for id in self.ids.drain(..) {
            signal_hook::low_level::unregister(id);
        }
    }
}

/// Ends the process group that `leader` leads: asks first, and insists after `patience`.
pub fn end_group(leader: &mut std::process::Child, patience: Duration) {
    let Ok(id) = i32::try_from(leader.id()) else {
        return;
    };
    let group = Pid::from_raw(id);
    let _ = signal::killpg(group, Signal::SIGINT);
    let end = Instant::now() + patience;
    while Instant::now() < end && matches!(leader.try_wait(), Ok(None)) {
        std::thread::sleep(Duration::from_millis(50));
    }
    // Also when the leader is gone: what it started may still be there.
    let _ = signal::killpg(group, Signal::SIGKILL);
    let _ = leader.wait();
}

/// Runs a command in the foreground: it gets Ctrl-C itself, and we live on to say how it ended.
pub fn foreground(command: &mut Command) -> Result<i32> {
    let _interrupt = Interrupt::watch()?;
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command
        .status()
        .with_context(|| format!("starting {name}"))?;
    Ok(status.code().unwrap_or(130))
}
