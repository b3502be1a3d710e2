//! Fetches the lists that rules subscribe to: a program of its own, without privileges, because the service speaks to
//! nobody in the net. It runs, fetches what is due, and ends.
//!
//! Rules that hold here:
//! - A copy is replaced as a whole or not at all. Whatever a server does,
//!   the last one stays until the next is there to its last byte.
//! - What a server may take is bounded: bytes, time, redirects, the length of its header. It is asked by TLS alone,
//!   with a certificate that the roots vouch for, and so is whoever it sends us to.
//! - Nothing that comes is unpacked or understood here: that the service does, which believes nothing of it.
#![cfg(target_os = "linux")]

mod download;
mod folder;

pub use download::{Bounds, Downloader};
pub use folder::Folder;

use anyhow::{Context, Result};
use clap::Parser;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use store::lists::{FetchFailure, FetchFailureKind, Tried, Wanted, WantedList};

/// Largest file of wanted lists that is read, in bytes: more than the service ever writes.
const LONGEST_WANTED: u64 = 1 << 20;

/// Fetches the lists that Gatebell's rules subscribe to, as far as it is time to, and ends.
///
/// `gatebell-lists.service` runs it. A server that can't be had is said and tried again later; only what keeps every
/// list from being fetched makes the exit code 1.
#[derive(Parser)]
#[command(name = "gatebell-fetch", version, max_term_width = 100)]
struct Arguments {
    /// The file that names the lists to fetch, as the service writes it
    #[arg(long, default_value = "/run/gatebell/lists.json")]
    wanted: PathBuf,
    /// The folder for the copies, of the user that this runs as
    #[arg(long, default_value = "/var/lib/gatebell-lists")]
    copies: PathBuf,
    /// The certificates of those who may vouch for a server, as PEM
    #[arg(long, default_value = "/etc/ssl/certs/ca-certificates.crt")]
    roots: PathBuf,
    /// Seconds that one list may take
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// MiB that one list may have as it comes
    #[arg(long, default_value_t = 64)]
    mebibytes: u64,
}

/// Runs the program with this command line, the program's name first.
pub fn run(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = Arguments::parse_from(words);
    match fetch_due(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("gatebell-fetch: {failed:#}");
            ExitCode::FAILURE
        }
    }
}

fn fetch_due(arguments: &Arguments) -> Result<()> {
    let wanted = wanted(&arguments.wanted)?;
    let folder = Folder::open(&arguments.copies)?;
    folder.tidy(&wanted.lists);
    let now = now();
    let due: Vec<_> = wanted
        .lists
        .iter()
        .filter(|list| list.is_due(folder.tried(&list.name).as_ref(), now))
        .collect();
    if due.is_empty() {
        return Ok(());
    }
    let bounds = Bounds {
        bytes: arguments.mebibytes.saturating_mul(1 << 20),
        time: Duration::from_secs(arguments.seconds),
        ..Bounds::default()
    };
    let downloader = Downloader::with_roots(&arguments.roots, bounds);
    for list in due {
        match &downloader {
            Ok(downloader) => fetch(list, downloader, &folder)?,
            Err(why) => {
                let failed = FetchFailureKind::NoRoots.with(format!("{why:#}"));
                write_down(list, Some(failed), &folder)?;
            }
        }
    }
    downloader.map(drop)
}

/// Fetches one list, and writes the result of the try.
fn fetch(list: &WantedList, downloader: &Downloader, folder: &Folder) -> Result<()> {
    let before = folder.head(&list.name).filter(|head| head.url == list.url);
    let fetched = downloader.fetch(&list.url, before.as_ref(), now(), folder);
    let shown = list.url.split('?').next().unwrap_or_default();
    let failed = match fetched {
        Ok(Some(copy)) => {
            let bytes = copy.keep_as(folder, &list.name)?;
            eprintln!("{shown}: {bytes} bytes");
            None
        }
        Ok(None) => {
            eprintln!("{shown}: as before");
            None
        }
        Err(why) => {
            eprintln!("{shown}: {why}");
            Some(why)
        }
    };
    write_down(list, failed, folder)
}

fn write_down(list: &WantedList, failed: Option<FetchFailure>, folder: &Folder) -> Result<()> {
    let tried = Tried {
        url: list.url.clone(),
        tried: now(),
        failed,
    };
    folder.write_down(&list.name, &tried)
}

fn wanted(path: &Path) -> Result<Wanted> {
    let said = || {
        format!(
            "can't read what is to be fetched, {}: is the service running?",
            path.display()
        )
    };
    let about = fs::metadata(path).with_context(said)?;
    anyhow::ensure!(
        about.len() <= LONGEST_WANTED,
        "{} is too long",
        path.display()
    );
    let text = fs::read(path).with_context(said)?;
    serde_json::from_slice(&text)
        .with_context(|| format!("{} is another release's", path.display()))
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}
