//! One line of the progress: something to run, with its output in a log.

use std::collections::BTreeSet;
use std::env;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::names;
use super::programs::{Program, Programs};
use crate::build::{self, BuildGoal};
use crate::command;
use crate::interrupt::{self, Interrupt};
use crate::place;
use crate::rooms::{Room, Step};
use crate::toolchain;
use crate::vm::kernel::KernelLine;
use crate::vm::quoted;

/// Greatest time of a step: a hang is a failure too.
const LONGEST: Duration = Duration::from_secs(20 * 60);
const PATIENCE: Duration = Duration::from_secs(3);
/// Greatest time of a step in an emulated machine, whose processors are slow, and which runs many files.
const EMULATED: Duration = Duration::from_secs(30 * 60);
/// Greatest time of a step that gives way: it waits for all tests, and for whatever else the machine does.
const BEHIND: Duration = Duration::from_secs(3 * 60 * 60);
/// The package whose tests need a real kernel.
pub const KERNEL_TESTS: &str = "gatebell-tests";

/// Result of a step.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The step passed.
    Passed,
    /// The step failed, for this reason.
    Failed(String),
    /// The step was not tried, for this reason.
    Skipped(String),
    /// The step was interrupted: somebody pressed Ctrl-C.
    Interrupted,
}

/// A step of a room, or one of those that come before all rooms.
pub struct Task {
    /// Name of the room that the step belongs to.
    pub room: &'static str,
    /// Turn of the task.
    pub turn: Turn,
    root: bool,
    work: Work,
}

/// Turn of a task: they come in this order, but for what only computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Turn {
    /// First: others use what the task builds.
    Build,
    /// Then, one after the other, with this machine for itself as far as it can notice.
    Test,
    /// Beside the tests, to which the task gives way.
    Compute,
    /// Last: the task boots an emulated machine, and needs little else of this one than a processor.
    Machine,
}

enum Work {
    Build(BuildGoal),
    Compile(Vec<String>),
    Step(&'static Step),
}

/// Plans the tasks: first what has to be built, once; then the steps of the rooms, room by room, by their turns. With
/// `everywhere`, steps that take minutes are included.
pub fn plan(rooms: &[&'static Room], all: bool, everywhere: bool) -> Vec<Task> {
    let mut tasks = Vec::new();
    let mut build = |work| {
        tasks.push(Task {
            room: "build",
            turn: Turn::Build,
            root: false,
            work,
        });
    };
    for what in [
        BuildGoal::Ebpf,
        BuildGoal::Windows,
        BuildGoal::Wine,
        BuildGoal::C,
    ] {
        if rooms.iter().any(|room| room.built.contains(&what)) {
            build(Work::Build(what));
        }
    }
    let selection = selection(rooms, all);
    if !selection.is_empty() {
        build(Work::Compile(selection));
    }
    for room in rooms {
        let thorough = if everywhere { room.thorough } else { &[] };
        let steps = room.steps.iter().chain(thorough);
        tasks.extend(steps.map(|step| Task {
            room: room.name,
            turn: match step {
                Step::Emulated(_) | Step::Machine(..) => Turn::Machine,
                _ => Turn::Test,
            },
            root: room.root,
            work: Work::Step(step),
        }));
        tasks.extend(room.computed.iter().map(|step| Task {
            room: room.name,
            turn: Turn::Compute,
            root: room.root,
            work: Work::Step(step),
        }));
    }
    // The sort is stable: beside that the order stays. What takes longest comes first,
    // so that two machines end at about one time.
    let is_short = |task: &Task| !matches!(task.work, Work::Step(Step::Emulated(_)));
    tasks.sort_by_key(|task| (task.turn, is_short(task)));
    tasks
}

/// Returns cargo's arguments for all that the rooms need compiled: tests, and the programs that steps start, in one go,
/// so that it builds each library in one form.
fn selection(rooms: &[&Room], all: bool) -> Vec<String> {
    let steps = rooms.iter().flat_map(|room| room.all());
    let mut packages: BTreeSet<&str> = steps
        .filter_map(|step| match step {
            Step::Package(name) => Some(*name),
            Step::Kernel(_) | Step::Emulated(_) => Some(KERNEL_TESTS),
            _ => None,
        })
        .collect();
    let mut programs = Vec::new();
    if rooms
        .iter()
        .any(|room| room.built.contains(&BuildGoal::Host))
    {
        packages.extend(build::PROGRAMS.map(|(package, _)| package));
        programs.extend(build::PROGRAMS.map(|(_, program)| format!("--bin={program}")));
    }
    let packages = packages.iter().map(|name| format!("--package={name}"));
    let packages: Vec<String> = match all {
        true => vec!["--workspace".to_owned()],
        false => packages.collect(),
    };
    [packages, programs].concat()
}

/// The command that compiles all tests of what is selected, and says what it made.
pub fn compilation(selection: &[String]) -> Command {
    let mut cargo = toolchain::cargo();
    cargo
        .args(["build", "--tests", "--locked"])
        .arg("--message-format=json-render-diagnostics")
        .args(selection)
        .current_dir(place::root());
    cargo
}

impl Task {
    /// Returns the title of the task, in a few words.
    pub fn title(&self) -> String {
        match &self.work {
            Work::Build(BuildGoal::Ebpf) => "the drivers for Linux".to_owned(),
            Work::Build(BuildGoal::Windows) => "the driver and the programs for Windows".to_owned(),
            Work::Build(BuildGoal::Wine) => "what stands in for Windows under Wine".to_owned(),
            Work::Build(BuildGoal::C) => "the channel for C".to_owned(),
            Work::Build(_) => "the programs".to_owned(),
            Work::Compile(_) => "the tests".to_owned(),
            Work::Step(Step::Package(name)) => (*name).to_owned(),
            Work::Step(Step::Kernel(file)) => format!("tests/{file}.rs"),
            Work::Step(Step::Emulated(line)) => {
                let files: Vec<&str> = line.files.iter().map(|file| file.name).collect();
                format!("{} on {}", files.join(", "), line.name)
            }
            Work::Step(
                Step::Cargo(title, ..) | Step::Ourselves(title, ..) | Step::Machine(title, ..),
            ) => (*title).to_owned(),
        }
    }

    /// Returns the name of the task's log.
    pub fn file_name(&self) -> String {
        let title: String = self
            .title()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        format!("{}-{title}.log", self.room)
    }

    /// Performs the task; an error is a fault of the runner, a failed step is a verdict. `everywhere`: on emulated
    /// kernels too each test runs, and not those alone that would show what is their own. `gives_way`: it has a
    /// processor while nothing else wants one.
    pub fn perform(
        &self,
        programs: &mut Programs,
        log: &Path,
        interrupt: &Interrupt,
        everywhere: bool,
        gives_way: bool,
    ) -> Result<Verdict> {
        if self.root && !nix::unistd::geteuid().is_root() {
            let reason = format!(
                "needs root (namespaces and BPF): `sudo -E cargo xtask test {}`",
                self.room
            );
            return Ok(Verdict::Skipped(reason));
        }
        let mut run = Run {
            log: File::create(log)?,
            interrupt,
            end: Instant::now()
                + match self.turn {
                    Turn::Build | Turn::Test => LONGEST,
                    Turn::Machine => EMULATED,
                    Turn::Compute if gives_way => BEHIND,
                    Turn::Compute => EMULATED,
                },
            gives_way,
        };
        let verdict = match &self.work {
            Work::Build(what) => run.one(ourselves(programs)?.arg("build").arg(name(*what))),
            Work::Compile(selection) => compile(selection, programs, &mut run, log),
            Work::Step(Step::Package(package)) => run.all(&programs.of_package(package)?),
            Work::Step(Step::Kernel(file)) => run.all(&[programs.one(KERNEL_TESTS, file)?]),
            Work::Step(Step::Emulated(line)) => run.emulated(programs, line, everywhere),
            Work::Step(Step::Ourselves(_, words) | Step::Machine(_, words)) => {
                run.one(ourselves(programs)?.args(*words))
            }
            Work::Step(Step::Cargo(_, flags, arguments)) => run.one(&mut cargo(flags, arguments)),
        };
        // A program that isn't there or can't be started fails its step, not the whole run.
        verdict.or_else(|error| Ok(Verdict::Failed(format!("{error:#}"))))
    }
}

fn name(what: BuildGoal) -> &'static str {
    match what {
        BuildGoal::Ebpf => "ebpf",
        BuildGoal::Windows => "windows",
        BuildGoal::Wine => "wine",
        BuildGoal::C => "c",
        BuildGoal::Host => "host",
        BuildGoal::All => "all",
    }
}

/// Returns this very program, which then starts what was compiled and compiles nothing itself.
fn ourselves(programs: &Programs) -> Result<Command> {
    let mut command = Command::new(env::current_exe().context("finding this very program")?);
    command.envs(programs.list().map(|list| (build::BUILT, list)));
    Ok(command)
}

/// A cargo command in the clone, with these flags for rustc and, where there are any, a folder of its own.
pub fn cargo(flags: &str, arguments: &[&str]) -> Command {
    let mut cargo = toolchain::cargo();
    cargo.args(arguments).current_dir(place::root());
    if !flags.is_empty() {
        // Other flags build everything anew: a folder of their own keeps both.
        let folder: String = flags.chars().filter(char::is_ascii_alphanumeric).collect();
        cargo
            .env("RUSTFLAGS", flags)
            .env("CARGO_TARGET_DIR", place::target().join(folder));
    }
    cargo
}

fn compile(
    selection: &[String],
    programs: &mut Programs,
    run: &mut Run,
    log: &Path,
) -> Result<Verdict> {
    let messages = log.with_extension("json");
    let verdict = run.with_output(&mut compilation(selection), File::create(&messages)?)?;
    *programs = Programs::open(&messages)?;
    Ok(verdict)
}

/// Fails if a test is not among those of the program: of a name that is no test's a test program makes nothing, and
/// passes.
fn ensure_are_there(program: &Program, tests: &[&str]) -> Result<()> {
    let list = command::output(Command::new(&program.file).arg("--list"))?;
    let listed: Vec<&str> = names::names(&list).collect();
    match tests.iter().find(|test| !listed.contains(test)) {
        Some(missing) => bail!("tests/{}.rs has no test {missing}", program.target),
        None => Ok(()),
    }
}

/// Running step: the log of its output, and what may end it early.
struct Run<'a> {
    log: File,
    interrupt: &'a Interrupt,
    end: Instant,
    /// `true` if the step gives way to whatever else wants a processor.
    gives_way: bool,
}

impl Run<'_> {
    fn all(&mut self, programs: &[Program]) -> Result<Verdict> {
        for program in programs {
            let mut command = Command::new(&program.file);
            command
                .current_dir(&program.folder)
                .env("CARGO_MANIFEST_DIR", &program.folder);
            if program.package == KERNEL_TESTS {
                // One after the other: they count, and share two processors.
                command.arg("--test-threads=1");
            }
            match self.one(&mut command)? {
                Verdict::Passed => {}
                other => return Ok(other),
            }
        }
        Ok(Verdict::Passed)
    }

    /// The files one after the other in one machine: booting is what costs.
    fn emulated(
        &mut self,
        programs: &Programs,
        line: &KernelLine,
        everywhere: bool,
    ) -> Result<Verdict> {
        let mut command = ourselves(programs)?;
        command
            .args(["vm", "--kernel", line.name, "--timeout"])
            .arg(EMULATED.as_secs().to_string())
            .arg("--file")
            .arg(place::drivers());
        // What this kernel is known to have, tests that miss it fail for.
        let mut script = format!("failed=0\nexport GATEBELL_KERNEL={}\n", line.name);
        for file in line.files {
            let program = programs.one(KERNEL_TESTS, file.name)?;
            command.arg("--file").arg(&program.file);
            let tests = if everywhere { &[] } else { file.tests };
            ensure_are_there(&program, tests)?;
            let exact = if tests.is_empty() { "" } else { "--exact" };
            let folder = quoted(&program.folder.to_string_lossy());
            let file = quoted(&program.file.to_string_lossy());
            script.push_str(&format!(
                "mkdir -p {folder} && cd {folder} && {file} --test-threads=1 {exact} {} || failed=1\n",
                tests.join(" ")
            ));
        }
        script.push_str("exit $failed\n");
        self.one(command.args(["--", "bash", "-c"]).arg(script))
    }

    fn one(&mut self, command: &mut Command) -> Result<Verdict> {
        let output = self.log.try_clone()?;
        self.with_output(command, output)
    }

    fn with_output(&mut self, command: &mut Command, output: File) -> Result<Verdict> {
        let mut behind = behind(command);
        let command = if self.gives_way { &mut behind } else { command };
        // A process group of its own, so that it can be ended with all that it started.
        command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(self.log.try_clone()?);
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        loop {
            if let Some(status) = child.try_wait()? {
                let failed = Verdict::Failed(status.to_string());
                return Ok(if status.success() {
                    Verdict::Passed
                } else {
                    failed
                });
            }
            if self.interrupt.is_pending() {
                interrupt::end_group(&mut child, PATIENCE);
                return Ok(Verdict::Interrupted);
            }
            if Instant::now() > self.end {
                interrupt::end_group(&mut child, PATIENCE);
                return Ok(Verdict::Failed("it hung, and was ended".to_owned()));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Returns the command to run behind all others: it has a processor while nothing else wants it.
fn behind(command: &Command) -> Command {
    let mut behind = Command::new("chrt");
    behind
        .args(["--idle", "0"])
        .arg(command.get_program())
        .args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        behind.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => behind.env(name, value),
            None => behind.env_remove(name),
        };
    }
    behind
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rooms::ROOMS;
    use std::fs;

    #[test]
    fn what_boots_a_machine_comes_last_and_the_rest_in_the_order_of_the_rooms() {
        let rooms: Vec<&Room> = ROOMS.iter().collect();
        let tasks = plan(&rooms, true, false);
        assert!(tasks.is_sorted_by_key(|task| task.turn));
        let of_package = tasks.iter().filter(|task| task.room == "package");
        let turns: Vec<Turn> = of_package.map(|task| task.turn).collect();
        assert_eq!(turns, [Turn::Compute, Turn::Machine]);
        for turn in [Turn::Test, Turn::Compute] {
            let steps = tasks.iter().filter(|task| task.turn == turn);
            let mut order: Vec<_> = steps.map(|task| task.room).collect();
            order.dedup();
            let expected = ROOMS.iter().map(|room| room.name);
            let expected: Vec<_> = expected.filter(|name| order.contains(name)).collect();
            assert_eq!(order, expected);
        }
    }

    #[test]
    fn what_only_computes_gives_way_to_what_asks_a_clock() -> Result<()> {
        let log = env::temp_dir().join(format!("gatebell-gives-way-{}", std::process::id()));
        let interrupt = Interrupt::watch()?;
        let mut run = Run {
            log: File::create(&log)?,
            interrupt: &interrupt,
            end: Instant::now() + LONGEST,
            gives_way: true,
        };
        // Whoever is started by it gives way too, in its folder and with its words.
        let mut shell = Command::new("sh");
        shell
            .args([
                "-c",
                "test \"$WORD\" = said && pwd && sh -c 'chrt --pid $$'",
            ])
            .env("WORD", "said")
            .current_dir("/");
        assert_eq!(run.one(&mut shell)?, Verdict::Passed);
        let said = fs::read_to_string(&log)?;
        assert!(
            said.starts_with("/\n") && said.contains("SCHED_IDLE"),
            "{said}"
        );
        Ok(fs::remove_file(log)?)
    }

    #[test]
    fn what_steps_start_is_compiled_with_the_tests() {
        let rooms: Vec<&Room> = ROOMS.iter().collect();
        let all = selection(&rooms, true);
        assert_eq!(all.first().map(String::as_str), Some("--workspace"));
        for (package, program) in build::PROGRAMS {
            assert!(all.contains(&format!("--bin={program}")), "{program}");
            let window: Vec<&Room> = rooms
                .iter()
                .filter(|room| room.name == "window")
                .copied()
                .collect();
            let alone = selection(&window, false);
            assert!(alone.contains(&format!("--package={package}")), "{package}");
        }
    }

    #[test]
    fn what_takes_minutes_runs_where_everything_is_asked_for() {
        let rooms: Vec<&Room> = ROOMS.iter().collect();
        let count = |everywhere| plan(&rooms, true, everywhere).len();
        let thorough: usize = rooms.iter().map(|room| room.thorough.len()).sum();
        assert!(thorough > 2);
        assert_eq!(count(true), count(false) + thorough);
    }
}
