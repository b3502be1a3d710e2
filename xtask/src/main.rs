//! `cargo xtask`: the project's own commands, the only ones a newcomer needs.
//!
//! Each command first makes sure that the machine has what it needs (`setup`), builds what it uses, and says what it
//! does on standard error, so that standard output is left to the result.

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod architecture;
mod build;
mod command;
mod debian;
mod emulated;
mod evening;
mod figures;
mod fuzz;
mod guide;
mod interrupt;
mod lint;
mod package;
mod place;
mod prove;
mod rooms;
mod run;
mod sample;
mod setup;
mod test;
mod toolchain;
mod vm;
mod wine;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};

use crate::build::BuildGoal;
use crate::setup::Need;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Gatebell's own commands",
    max_term_width = 100
)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run the firewall on real input: a lab of two network namespaces, until Ctrl-C
    ///
    /// Builds a lab of its own (namespaces, a device pair, a control group, real programs that talk), loads the driver
    /// into this machine's kernel, and shows each refused packet and each new process as it happens: in a window when
    /// there is a display, else in the terminal. Where this kernel does not allow that,
    /// the same runs in the emulated machine.
    Run {
        #[command(flatten)]
        arguments: run::Arguments,
        /// Run in the emulated machine, also where this kernel would do
        #[arg(long)]
        vm: bool,
    },
    /// Pass every test, or those of some rooms
    Test(TestArguments),
    /// Run the article's sample: its driver and its app
    Sample(sample::Arguments),
    /// Measure how fast Gatebell is, and others beside it in the same run; writes docs/figures.md
    ///
    /// Needs root, a lab of its own, and some twenty minutes in which nothing else keeps the processors busy.
    Figures(figures::Arguments),
    /// Spend an evening at a machine whose firewall asks about whatever goes out, and count what a person has of it
    ///
    /// In a lab of its own real programs (curl, apt, ssh, a browser's and a torrent's load) are asked about, and
    /// answers are typed at `gatebell ask`. It prints how many questions and keys that took, how long a connection took
    /// once it was answered, and which hung; it fails if something was asked about that was decided, if one hung,
    /// or if nothing happened. Needs root.
    Evening(evening::Arguments),
    /// Feed any bytes at all to what reads foreign bytes, guided by what they reach
    ///
    /// The targets are in fuzz/. What they found is kept in target/fuzz/found for the next time, what broke one in
    /// target/fuzz/crashes, and how to run that again is said.
    Fuzz(fuzz::Arguments),
    /// Follow docs/your-own-driver.md, block by block in an empty folder, and say how long each takes
    ///
    /// It writes the files that the page shows, runs its commands as they stand, and waits for what the page says that
    /// its programs say. Needs root, as the page loads a driver.
    Guide(guide::Arguments),
    /// Prove the channel: every order of two threads, many of five, and that each memory ordering is needed
    ///
    /// The proofs are the rooms loom and shuttle. Then each ordering is weakened by itself, and a proof has to fail;
    /// which one does is written into docs/proofs.md.
    Prove,
    /// Build drivers and programs, and say where they are
    ///
    /// Drivers end up in target/drivers, programs for Windows in target/windows. Drivers and Windows programs are built
    /// by the first Rust toolchain that has the library's source: rustup's with the component rust-src, else Debian's.
    Build {
        /// Things to build
        #[arg(default_value = "all")]
        what: BuildGoal,
    },
    /// Check deny.toml everywhere, and formatting and lints of what cargo in the clone's root does not see
    Lint {
        /// Check to make; all of them if none is named
        check: Option<lint::Check>,
    },
    /// Make the Debian packages: target/package/gatebell_VERSION_amd64.deb, and the window's
    Package(package::Arguments),
    /// Install what is missing: Debian packages and the eBPF linker
    ///
    /// Every other command does this by itself for what it needs. As root it installs with apt-get, after it has said
    /// what and why; without root it prints the one command to run as root.
    Setup {
        /// Tasks to set the machine up for; all of them if none is named
        needs: Vec<Need>,
        /// Only say what is there and what is missing
        #[arg(long)]
        check: bool,
    },
    /// Run a command in the emulated machine, on a kernel of Debian's
    ///
    /// The machine holds busybox, bash, ip, tc, nft and the files you name, at the same paths as here. It has no
    /// network card and forgets everything. The command's output and exit code come back; Ctrl-C goes to the command.
    /// With --systemd it is a Debian on a disk, started by systemd,
    /// and a command that ends with 194 is run again after a reboot.
    Vm(VmArguments),
}

#[derive(clap::Args)]
struct TestArguments {
    /// Rooms to test; all of them if none is named
    #[arg(value_name = "ROOM")]
    rooms: Vec<String>,
    /// Also what takes long: each test on each emulated kernel, the guide, an evening, and guests beside the package
    #[arg(long)]
    everywhere: bool,
    /// Say which rooms there are and what each is for
    #[arg(long)]
    list: bool,
    /// Compile all tests and say what each room runs: room, package, target, name, `runs` or `ignored`
    #[arg(long, conflicts_with_all = ["rooms", "list"])]
    names: bool,
}

#[derive(clap::Args)]
struct VmArguments {
    /// A file, program or folder to take along; programs bring their libraries
    #[arg(long = "file", value_name = "PATH")]
    files: Vec<PathBuf>,
    /// A variable for the command
    #[arg(long = "env", value_name = "NAME=VALUE")]
    environment: Vec<String>,
    /// A whole Debian under systemd instead, with its own kernel
    #[arg(long)]
    systemd: bool,
    /// Debian's kernel to boot; if none is given, the oldest that the drivers promise to pass
    #[arg(long, value_parser = vm::kernel::KernelLine::named)]
    kernel: Option<&'static vm::kernel::KernelLine>,
    /// End the machine after so many seconds
    #[arg(long, default_value_t = 170)]
    timeout: u64,
    /// The command, after --
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

fn main() -> ExitCode {
    match perform(Arguments::parse().task) {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(task: Task) -> Result<i32> {
    match task {
        Task::Run { vm: true, .. } => emulated::run(),
        Task::Run {
            arguments,
            vm: false,
        } => run::run(&arguments),
        Task::Test(TestArguments { list: true, .. }) => Ok(test::list()),
        Task::Test(TestArguments { names: true, .. }) => test::names::print(),
        Task::Test(TestArguments {
            rooms, everywhere, ..
        }) => test::run(&rooms, everywhere),
        Task::Sample(arguments) => sample::run(&arguments),
        Task::Figures(arguments) => figures::run(&arguments),
        Task::Evening(arguments) => evening::run(&arguments),
        Task::Fuzz(arguments) => fuzz::run(&arguments),
        Task::Guide(arguments) => guide::run(&arguments),
        Task::Prove => prove::run(),
        Task::Build { what } => build::build(what).map(|()| 0),
        Task::Lint { check } => lint::run(check),
        Task::Package(arguments) => package::run(&arguments),
        Task::Setup { needs, check } => set_up(&needs, check),
        Task::Vm(arguments) => emulate(arguments),
    }
}

fn set_up(needs: &[Need], check: bool) -> Result<i32> {
    let needs = if needs.is_empty() { &Need::ALL } else { needs };
    if check {
        return Ok(i32::from(!setup::report(needs)?));
    }
    setup::ensure(needs)?;
    eprintln!("setup: everything is there");
    Ok(0)
}

fn emulate(arguments: VmArguments) -> Result<i32> {
    setup::ensure(if arguments.systemd {
        &[Need::Vm, Need::Systemd]
    } else {
        &[Need::Vm]
    })?;
    let mut machine = vm::Machine::new(arguments.command);
    machine.files = arguments
        .files
        .iter()
        .map(std::path::absolute)
        .collect::<Result<_, _>>()?;
    machine.timeout = Duration::from_secs(arguments.timeout);
    if arguments.systemd {
        machine = machine.with_debian();
    }
    if let Some(kernel) = arguments.kernel {
        machine.kernel = kernel;
    }
    for pair in &arguments.environment {
        let Some((name, value)) = pair.split_once('=') else {
            bail!("--env {pair}: NAME=VALUE is expected")
        };
        machine
            .environment
            .push((name.to_owned(), value.to_owned()));
    }
    vm::run(&machine)?.code()
}
