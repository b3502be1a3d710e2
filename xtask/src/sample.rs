//! The article's two projects, both at once: its driver in a kernel, its app beside it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::build;
use crate::interrupt;
use crate::place;
use crate::setup::{self, Need};
use crate::vm::{self, Machine};
use crate::wine;

/// Arguments of `cargo xtask sample`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The Windows driver and app, under Wine
    #[arg(long)]
    windows: bool,
    /// Do every operation once and print the log, as without a display; else a window shows
    #[arg(long)]
    headless: bool,
    /// The log as JSON: one object per operation
    #[arg(long)]
    json: bool,
    /// Send 10,000 notices three ways under load, and show how many arrive
    #[arg(long)]
    compare: bool,
    /// With --compare: draw the result into this SVG file
    #[arg(long, value_name = "FILE", requires = "compare")]
    picture: Option<PathBuf>,
    /// Run in the emulated machine, also where this kernel would do
    #[arg(long, conflicts_with = "windows")]
    vm: bool,
}

const SCRIPT: &str = include_str!("sample.sh");
/// The script's way to say that the driver could not be started.
const REFUSED: i32 = 99;

/// Runs the sample and returns its exit code.
pub fn run(arguments: &Arguments) -> Result<i32> {
    if arguments.windows {
        return on_windows(arguments);
    }
    let sample = Sample::build(arguments)?;
    if arguments.vm {
        return sample.emulated();
    }
    if !nix::unistd::geteuid().is_root() {
        eprintln!("sample: loading a driver needs root; here is the same in an emulated machine");
        return sample.emulated();
    }
    match sample.here()? {
        REFUSED => {
            eprintln!(
                "sample: this kernel refused the driver, see above; here is the same in an emulated machine"
            );
            sample.emulated()
        }
        code => Ok(code),
    }
}

struct Sample {
    driver: PathBuf,
    host: PathBuf,
    app: PathBuf,
    arguments: Vec<String>,
    windowed: bool,
}

impl Sample {
    fn build(arguments: &Arguments) -> Result<Self> {
        build::ebpf_drivers()?;
        let programs = build::host(&["gatebell-sample-host", "gatebell-sample-app"])?;
        let named = |name: &str| build::named(&programs, name).map(Path::to_owned);
        Ok(Self {
            driver: place::drivers().join("gatebell_sample.bpf.o"),
            host: named("gatebell-sample-host")?,
            app: named("gatebell-sample-app")?,
            arguments: app_arguments(arguments)?,
            windowed: windowed(arguments),
        })
    }

    fn here(&self) -> Result<i32> {
        if self.windowed {
            setup::ensure(&[Need::Desktop])?;
        }
        let words = self.command(if self.windowed { &[] } else { &["--headless"] });
        interrupt::foreground(Command::new(&words[0]).args(&words[1..]))
    }

    fn emulated(&self) -> Result<i32> {
        setup::ensure(&[Need::Vm])?;
        let mut machine = Machine::new(self.command(&["--headless"]));
        machine.files = vec![self.driver.clone(), self.host.clone(), self.app.clone()];
        machine.timeout = Duration::from_secs(600);
        vm::run(&machine)?.code()
    }

    fn command(&self, more: &[&str]) -> Vec<String> {
        let mut words: Vec<String> = ["bash", "-c", SCRIPT, "sample"].map(str::to_owned).into();
        words.extend([&self.driver, &self.host, &self.app].map(|path| shown(path)));
        words.extend(self.arguments.iter().cloned());
        if !self.arguments.iter().any(|word| word == "--compare") {
            words.extend(more.iter().map(|word| (*word).to_owned()));
        }
        words
    }
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn app_arguments(arguments: &Arguments) -> Result<Vec<String>> {
    let mut words = Vec::new();
    if arguments.json {
        words.push("--json".to_owned());
    }
    if arguments.compare {
        words.push("--compare".to_owned());
    }
    if let Some(file) = &arguments.picture {
        words.push("--picture".to_owned());
        words.push(shown(&std::path::absolute(file)?));
    }
    Ok(words)
}

fn windowed(arguments: &Arguments) -> bool {
    let display = env::var_os("DISPLAY").is_some() || env::var_os("WAYLAND_DISPLAY").is_some();
    display && !arguments.headless && !arguments.json && !arguments.compare
}

fn on_windows(arguments: &Arguments) -> Result<i32> {
    setup::ensure(&[Need::Windows, Need::Wine])?;
    build::windows()?;
    build::stand_ins()?;
    let built = build::host(&["gatebell-tests"])?;
    let mut sample = Command::new(build::named(&built, "sample-under-wine")?);
    sample
        .args(app_arguments(arguments)?)
        .current_dir(place::root());
    if !arguments.compare && !windowed(arguments) {
        sample.arg("--headless");
    }
    let code = interrupt::foreground(&mut sample)?;
    wine::sweep();
    Ok(code)
}
