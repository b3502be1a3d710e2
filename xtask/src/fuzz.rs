//! The fuzz targets of `fuzz/`: what reads foreign bytes is fed any bytes at all, guided by what they reach.
//!
//! What cargo-fuzz would do, with the stable toolchain that is here: the compiler counts branches for libFuzzer, which
//! comes as the source that libfuzzer-sys builds. No address sanitizer: what is fed has no unsafe code.

mod dictionary;

use std::io::{BufRead, BufReader, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;
use std::{fs, io};

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::command;
use crate::interrupt::Interrupt;
use crate::place;
use crate::run::seconds;
use crate::setup::{self, Need};
use crate::toolchain;

/// Arguments of `cargo xtask fuzz`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Target to feed; if none is named all of them, one after the other
    target: Option<Target>,
    /// Duration of each target's run
    #[arg(long = "for", value_name = "TIME", value_parser = seconds, default_value = "60s")]
    duration: Duration,
    /// Seed of the dice, for the same inputs as last time; if none is given, others each time
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u32>,
    /// Run a target on this file alone, once: what a crash left, for example
    #[arg(long, value_name = "FILE", requires = "target")]
    again: Option<PathBuf>,
}

/// A program in `fuzz/targets/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Target {
    /// Packets of one zone, one after the other: parsed and decided on
    Packets,
    /// Rule files and lists: taken or refused, compiled, asked
    Rules,
    /// Captures: pcap and pcapng
    Captures,
    /// A ring that somebody else wrote, and the records in it
    Records,
    /// Answers of DNS, in packets
    Answers,
    /// Requests to a driver's device, on the model of a kernel
    Requests,
    /// Requests on the control socket
    Control,
}

/// Flags for rustc that make libFuzzer count the branches: each of these is one that cargo-fuzz passes.
const FLAGS: [&str; 7] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=--simplifycfg-branch-fold-threshold=0",
];
/// Name of this machine's platform, which cargo is told so that flags do not count for build scripts and macros, which
/// run here.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";
/// An input on which a target thinks longer than this, in seconds, hangs.
const HANGS: u32 = 10;
/// Memory that a target may take, in MiB: a length that lies must not be believed.
const MEMORY: u32 = 1024;
/// Beginnings of those lines of libFuzzer's that say nothing new to us: settings, figures that we sum up, words that it
/// tried often.
const DETAILS: [&str; 7] = [
    "INFO:",
    "stat::",
    "Base64:",
    "Dictionary:",
    "WARNING: Failed to find function",
    "######",
    "\"",
];
/// libFuzzer's exit code after Ctrl-C.
const INTERRUPTED: i32 = 72;

/// Runs one target or all; the exit code is 0 when nothing was found.
pub fn run(arguments: &Arguments) -> Result<i32> {
    setup::ensure(&[Need::Fuzz])?;
    let targets = arguments
        .target
        .map_or_else(|| Target::value_variants().to_vec(), |one| vec![one]);
    build(&targets)?;
    if let (Some(file), [target]) = (&arguments.again, &targets[..]) {
        return again(*target, file);
    }
    let interrupt = Interrupt::watch()?;
    for (number, target) in targets.iter().enumerate() {
        let time = arguments.duration.as_secs();
        eprintln!(
            "fuzz: [{}/{}] {}, for {time} s",
            number + 1,
            targets.len(),
            target.name()
        );
        let status = target.fuzz(time, arguments.seed)?;
        if interrupt.taken() || status.code() == Some(INTERRUPTED) {
            eprintln!("fuzz: interrupted");
            return Ok(130);
        }
        if !status.success() {
            return Ok(1);
        }
    }
    Ok(0)
}

fn build(targets: &[Target]) -> Result<()> {
    eprintln!(
        "fuzz: building {} (the first time takes minutes)",
        plural(targets.len())
    );
    let mut cargo = cargo("build");
    cargo.args(
        targets
            .iter()
            .map(|target| format!("--bin={}", target.name())),
    );
    if !io::stderr().is_terminal() {
        cargo.arg("--quiet");
    }
    command::run(&mut cargo).context("building the fuzz targets")
}

/// A command of cargo's on all targets.
pub fn cargo(subcommand: &str) -> Command {
    let mut cargo = toolchain::cargo();
    cargo
        .args([subcommand, "--release", "--locked", "--target", PLATFORM])
        .arg("--manifest-path")
        .arg(place::root().join("fuzz/Cargo.toml"))
        .env("RUSTFLAGS", FLAGS.join(" "))
        .env("CARGO_TARGET_DIR", place::fuzz().join("build"));
    cargo
}

fn plural(count: usize) -> String {
    if count == 1 {
        "one target".to_owned()
    } else {
        format!("{count} targets")
    }
}

/// Runs a target on one input, once. libFuzzer shows what the target makes of it.
fn again(target: Target, file: &Path) -> Result<i32> {
    let status = target
        .program()
        .arg(std::path::absolute(file)?)
        .status()
        .context("starting the target")?;
    Ok(i32::from(!status.success()))
}

impl Target {
    fn name(self) -> &'static str {
        match self {
            Self::Packets => "packets",
            Self::Rules => "rules",
            Self::Captures => "captures",
            Self::Records => "records",
            Self::Answers => "answers",
            Self::Requests => "requests",
            Self::Control => "control",
        }
    }

    /// Returns the folders of the inputs that a target begins with, beside those that earlier runs found.
    fn seeds(self) -> &'static [&'static str] {
        match self {
            Self::Packets => &["fuzz/seeds/packets"],
            Self::Rules => &["firewall/rules/examples", "fuzz/seeds/rules"],
            Self::Captures => &["firewall/cli/tests/captures"],
            Self::Records => &["fuzz/seeds/records"],
            Self::Answers => &["fuzz/seeds/answers"],
            Self::Requests => &["fuzz/seeds/requests"],
            Self::Control => &["fuzz/seeds/control"],
        }
    }

    /// The longest input. A rule file says much in many words.
    fn longest(self) -> u32 {
        match self {
            Self::Rules | Self::Captures => 8192,
            Self::Packets | Self::Records | Self::Answers | Self::Requests | Self::Control => 2048,
        }
    }

    fn program(self) -> Command {
        let mut program = Command::new(
            place::fuzz()
                .join("build")
                .join(PLATFORM)
                .join("release")
                .join(self.name()),
        );
        program
            .arg(format!("-timeout={HANGS}"))
            .arg(format!("-rss_limit_mb={MEMORY}"));
        program
    }

    /// Feeds the target for so many seconds. What it found is kept for the next time, and what broke it for us.
    fn fuzz(self, seconds: u64, seed: Option<u32>) -> Result<ExitStatus> {
        let (found, crashes) = (self.folder("found")?, self.folder("crashes")?);
        let mut program = self.program();
        program
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-max_len={}", self.longest()));
        program.arg(format!("-artifact_prefix={}/", crashes.display()));
        program.args(["-print_final_stats=1", "-reload=0"]);
        program.args(seed.map(|seed| format!("-seed={seed}")));
        if self == Self::Rules {
            program.arg(format!("-dict={}", dictionary::write()?.display()));
        }
        program
            .arg(found)
            .args(self.seeds().iter().map(|folder| place::root().join(folder)));
        let mut child = program
            .stderr(Stdio::piped())
            .spawn()
            .context("starting the target")?;
        let mut told = Told::default();
        for line in BufReader::new(child.stderr.take().context("its words")?).split(b'\n') {
            told.hear(&String::from_utf8_lossy(&line?));
        }
        let status = child.wait()?;
        told.sum_up(self);
        Ok(status)
    }

    fn folder(self, what: &str) -> Result<PathBuf> {
        let folder = place::fuzz().join(what).join(self.name());
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        Ok(folder)
    }
}

/// Report of libFuzzer about a run.
#[derive(Default)]
struct Told {
    executions: u64,
    rate: u64,
    coverage: u64,
    kept: Option<PathBuf>,
}

impl Told {
    /// Takes in a line, and passes it on unless it only says that one more input was kept.
    fn hear(&mut self, line: &str) {
        if let Some(coverage) = after(line, " cov: ") {
            self.coverage = coverage;
        }
        if let Some(executions) = after(line, "stat::number_of_executed_units: ") {
            self.executions = executions;
        }
        if let Some(rate) = after(line, "stat::average_exec_per_sec: ") {
            self.rate = rate;
        }
        if let Some((_, file)) = line.split_once("Test unit written to ") {
            self.kept = Some(PathBuf::from(file.trim()));
        }
        let one_more = ["\tNEW", "\tREDUCE", "\tRELOAD"]
            .iter()
            .any(|word| line.contains(word));
        let detail = DETAILS.iter().any(|start| line.starts_with(start));
        if !(one_more || detail) {
            eprintln!("  {line}");
        }
    }

    fn sum_up(&self, target: Target) {
        let (
            name,
            Self {
                executions,
                rate,
                coverage,
                kept,
            },
        ) = (target.name(), self);
        eprintln!(
            "fuzz: {name}: {executions} inputs, {rate} in each second; {coverage} places in the code were reached"
        );
        if let Some(file) = kept {
            eprintln!("fuzz: {name} BROKE on an input, which is kept. To run it again:");
            eprintln!("    cargo xtask fuzz {name} --again {}", file.display());
        }
    }
}

/// The number that stands behind these words.
fn after(line: &str, words: &str) -> Option<u64> {
    let (_, rest) = line.split_once(words)?;
    let digits: String = rest
        .trim_start()
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libfuzzer_says_is_understood() {
        let mut told = Told::default();
        for line in [
            "#4096\tpulse  cov: 312 ft: 840 corp: 97/4kb lim: 43 exec/s: 2048 rss: 41Mb",
            "#8192\tNEW    cov: 313 ft: 841 corp: 98/4kb lim: 43 exec/s: 2048 rss: 41Mb L: 7/43 MS: 1 CopyPart-",
            "stat::number_of_executed_units: 8192",
            "stat::average_exec_per_sec:     2048",
            "artifact_prefix='/tmp/x/'; Test unit written to /tmp/x/crash-12",
        ] {
            told.hear(line);
        }
        assert_eq!(
            (told.coverage, told.executions, told.rate),
            (313, 8192, 2048)
        );
        assert_eq!(told.kept.as_deref(), Some(Path::new("/tmp/x/crash-12")));
    }

    #[test]
    fn every_target_has_its_program_and_its_seeds() {
        for target in Target::value_variants() {
            assert!(
                place::root()
                    .join(format!("fuzz/targets/{}.rs", target.name()))
                    .is_file()
            );
            for folder in target.seeds() {
                assert!(place::root().join(folder).is_dir(), "{folder}");
            }
        }
    }
}
