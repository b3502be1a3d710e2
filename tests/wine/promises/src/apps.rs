//! Other apps, in processes of their own.

use crate::operations::{ask, request};
use crate::{NOTICES, attach, receive};
use anyhow::{Context, Result, bail, ensure};
use channel::Mask;
use sample_abi::Operation;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Process of another app, killed when dropped.
pub struct App(Child);

impl App {
    /// Starts an app, and waits until it says that it is ready.
    pub fn start(role: &str) -> Result<Self> {
        let program = std::env::current_exe()?;
        let mut child = Command::new(program)
            .arg(role)
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().context("no output")?;
        let app = Self(child);
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        ensure!(line.trim() == "ready", "the app says {line:?}");
        Ok(app)
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Ends the app at once, whatever it does.
    pub fn kill(mut self) -> Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }

    /// Waits until the app ends by itself; an error if it was not content.
    pub fn finish(mut self) -> Result<()> {
        let status = self.0.wait()?;
        ensure!(status.success(), "the app ended with {status}");
        Ok(())
    }
}

impl Drop for App {
    fn drop(&mut self) {
        // It may have ended already.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Plays the role of another app, when a program like this one has started it.
pub fn play(role: &str) -> Result<()> {
    match role {
        "sleeper" => sleeper(),
        "waiter" => waiter(),
        "counter" => counter(),
        "passer-by" => passer_by(),
        other => bail!("no such role: {other}"),
    }
}

/// Has an event referenced, and sleeps until it is killed.
fn sleeper() -> Result<()> {
    let _attachment = attach(64 * 1024, Mask::ALL)?;
    println!("ready");
    std::thread::sleep(Duration::from_secs(600));
    Ok(())
}

/// Has the driver wait for its event, until it is killed.
fn waiter() -> Result<()> {
    let attachment = attach(64 * 1024, NOTICES)?;
    println!("ready");
    ask(attachment.device(), request(Operation::Wait, 0, 60_000_000)).map(drop)
}

/// Asks for a thousand notices and counts what comes.
fn counter() -> Result<()> {
    let mut attachment = attach(64 * 1024, NOTICES)?;
    println!("ready");
    let device = attachment.device().clone();
    let asking = std::thread::spawn(move || ask(&device, request(Operation::Notify, 1000, 100)));
    receive(&mut attachment, 1000)?;
    asking
        .join()
        .map_err(|_| anyhow::anyhow!("the asking thread panicked"))??;
    let account = attachment.account()?;
    ensure!(
        account.balances() && account.delivered == 1000,
        "{account:?}"
    );
    Ok(())
}

/// Sleeps for a moment, as a process that others are told of.
fn passer_by() -> Result<()> {
    println!("ready");
    std::thread::sleep(Duration::from_millis(500));
    Ok(())
}
