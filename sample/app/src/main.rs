//! The article's GUI: a window with a log that registers the operations on the event object.
//!
//! One code for Linux and Windows. `--headless` does every operation once and prints the same log; `--compare` shows
//! what arrives by each of the article's three ways. It may depend on `channel` and `sample_abi` alone, and on egui for
//! the window.
//!
//! - `step`: the operations that a user can ask for, and a script of all of them.
//! - `operations`: what each does, and what the app and the driver see of it.
//! - `waiter`: the thread that waits on the event.
//! - `log`, `window`, `headless`: where it is told.
//! - `compare`, `picture`: the three ways, side by side.
//! - `kernel`: the few things in which the kernels differ.
//!
//! Rules that hold here: nothing knows which kernel it talks to, except `kernel`; the window shows and asks, it does
//! nothing itself.

mod compare;
mod headless;
mod kernel;
mod log;
mod model_driver;
mod operations;
mod picture;
mod step;
mod waiter;
mod window;

use anyhow::Context;
use channel::Attachment;
use channel::sys::Host;
use channel::sys::model::Model;
use clap::Parser;
use kernel::Kernel;
use log::Log;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Name of the variable that marks, in its environment, the program that is started only to be seen by the driver.
const MARK: &str = "GATEBELL_SAMPLE_CHILD";

/// A window with a log of the operations on the event object that the sample's driver has referenced.
#[derive(Parser)]
#[command(name = "gatebell-sample-app", version)]
struct Options {
    /// The driver's device, if it is not where it usually is.
    #[arg(long)]
    device: Option<String>,
    /// Do every operation once and print the log; no window.
    #[arg(long)]
    headless: bool,
    /// Send 10,000 notices each of three ways and show how many arrive; no window.
    #[arg(long)]
    compare: bool,
    /// With --headless or --compare: one JSON object per line.
    #[arg(long)]
    json: bool,
    /// With --compare: draw the result into this SVG file.
    #[arg(long, value_name = "FILE", requires = "compare")]
    picture: Option<PathBuf>,
    /// With --picture: the words that say on what it was seen.
    #[arg(long, value_name = "WORDS", default_value = <Host as Kernel>::NAME)]
    seen_on: String,
    /// Talk to the model of a kernel in this very process: no driver is needed, and none is shown.
    #[arg(long)]
    model: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    if std::env::var_os(MARK).is_some() {
        return Ok(ExitCode::SUCCESS);
    }
    let options = Options::parse();
    if options.model {
        run::<Model>(&options)
    } else {
        run::<Host>(&options)
    }
}

fn run<S: Kernel>(options: &Options) -> anyhow::Result<ExitCode>
where
    Attachment<S>: Send,
{
    let device = options.device.as_deref().unwrap_or(S::DEVICE);
    let expected = if options.compare {
        compare::<S>(device, options)?
    } else if options.headless {
        headless::<S>(device, options.json)?
    } else {
        window::run::<S>(device)?;
        true
    };
    Ok(if expected {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn headless<S: Kernel>(device: &str, json: bool) -> anyhow::Result<bool>
where
    Attachment<S>: Send,
{
    let log = Log::new(move |line| headless::print(line, json));
    let outcome = headless::run::<S>(device, log)?;
    if json {
        println!("{}", serde_json::to_string(&outcome)?);
    } else {
        println!("{outcome}");
    }
    Ok(outcome.unexpected.is_empty())
}

fn compare<S: Kernel>(device: &str, options: &Options) -> anyhow::Result<bool>
where
    Attachment<S>: Send,
{
    let comparison = compare::run::<S>(device, compare::NOTICES, |_| {})?;
    if options.json {
        println!("{}", serde_json::to_string(&comparison)?);
    } else {
        println!("{comparison}");
    }
    if let Some(file) = &options.picture {
        write(file, &picture::svg(&comparison, &options.seen_on))?;
    }
    Ok(comparison.holds())
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(file, text).with_context(|| format!("can't write {}", file.display()))
}
