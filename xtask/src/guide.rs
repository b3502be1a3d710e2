//! `cargo xtask guide`: follows docs/your-own-driver.md as its reader does, block by block, in a folder where nothing
//! else is, and says how long each block takes.
//!
//! Nothing is known here of what the page makes. What it gives besides the page: the clone as `gatebell`, `sudo` where
//! root has none, and mounts of its own, so that none of the page's stays.

mod page;

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use self::page::Step;
use crate::command;
use crate::interrupt::{self, Interrupt};
use crate::place;
use crate::toolchain;

/// The page, as it was when this was compiled.
const PAGE: &str = include_str!("../../docs/your-own-driver.md");
/// Time that a program that goes on may take to say what the page shows.
const LONGEST: Duration = Duration::from_secs(60);
/// Time that a program may take to end.
const PATIENCE: Duration = Duration::from_secs(3);

/// Arguments of `cargo xtask guide`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Follow the page in a fresh clone of what is committed, where nothing is built yet
    #[arg(long)]
    fresh: bool,
}

/// Follows the page; fails at the first block that does not do what the page says.
pub fn run(arguments: &Arguments) -> Result<i32> {
    let steps = page::read(PAGE).context("docs/your-own-driver.md")?;
    if !nix::unistd::geteuid().is_root() {
        bail!("the page loads a driver: follow it as root, `sudo -E cargo xtask guide`");
    }
    let mut reader = Reader::begin(arguments.fresh)?;
    let start = Instant::now();
    for step in &steps {
        let begun = Instant::now();
        reader.follow(step)?;
        if !matches!(step, Step::Write { .. }) {
            println!("{:>7.1} s  {}", begun.elapsed().as_secs_f64(), title(step));
        }
    }
    println!(
        "{:>7.1} s  in all, without the reading",
        start.elapsed().as_secs_f64()
    );
    Ok(0)
}

fn title(step: &Step) -> String {
    match step {
        Step::Write { name, .. } => format!("write {name}"),
        Step::Run(commands) => commands.trim_end().replace('\n', "; "),
        Step::Begin(commands) => format!("{} &", commands.trim_end().replace('\n', "; ")),
        Step::Expect(lines) => format!("until it says: {}", lines.trim_end().replace('\n', "; ")),
    }
}

/// Reader who follows the page in a folder. Dropping it ends the programs that go on, and removes the folder.
struct Reader {
    folder: PathBuf,
    interrupt: Interrupt,
    going_on: Vec<GoingOn>,
}

/// A program in a terminal of its own.
struct GoingOn {
    child: Child,
    /// File with the program's output.
    output: PathBuf,
}

impl Reader {
    fn begin(fresh: bool) -> Result<Self> {
        let name = format!("gatebell-guide-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).with_context(|| format!("making {}", folder.display()))?;
        let reader = Self {
            folder,
            interrupt: Interrupt::watch()?,
            going_on: Vec::new(),
        };
        fs::create_dir(reader.page())?;
        let clone = reader.page().join("gatebell");
        if fresh {
            let mut git = Command::new("git");
            git.args(["clone", "--quiet"])
                .arg(place::root())
                .arg(&clone);
            command::run(&mut git)?;
        } else {
            symlink(place::root(), &clone)?;
        }
        reader.ensure_sudo()?;
        Ok(reader)
    }

    /// Returns the folder that the page's blocks begin in.
    fn page(&self) -> PathBuf {
        self.folder.join("page")
    }

    /// Returns the folder with the programs that the page takes for granted.
    fn bin(&self) -> PathBuf {
        self.folder.join("bin")
    }

    /// Puts a stand-in for sudo among the programs where there is none: root needs none, and a small machine has none.
    fn ensure_sudo(&self) -> Result<()> {
        fs::create_dir(self.bin())?;
        if place::program("sudo").is_none() {
            let sudo = self.bin().join("sudo");
            fs::write(&sudo, "#!/bin/sh\nexec \"$@\"\n")?;
            fs::set_permissions(sudo, fs::Permissions::from_mode(0o755))?;
        }
        Ok(())
    }

    fn follow(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Write { name, text } => self.write(name, text),
            Step::Run(commands) => self.run(commands),
            Step::Begin(commands) => self.start(commands),
            Step::Expect(lines) => self.wait_until_said(lines),
        }
        .with_context(|| title(step))
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let file = self.page().join(name);
        fs::create_dir_all(file.parent().unwrap_or(&file))?;
        Ok(fs::write(file, text)?)
    }

    /// Returns a shell in a terminal of its own, in the folder where the page begins: each block has its own.
    fn shell(&self, commands: &str) -> Command {
        let mut shell = toolchain::as_from_a_shell("unshare");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain([self.bin()]);
        shell
            .args(["--mount", "--", "sh", "-euc", commands])
            .current_dir(self.page())
            .env("PATH", std::env::join_paths(folders).unwrap_or(path))
            // The page says where things are built.
            .env_remove("CARGO_TARGET_DIR")
            .stdin(Stdio::null())
            .process_group(0);
        shell
    }

    fn run(&self, commands: &str) -> Result<()> {
        let mut shell = self.shell(commands);
        // Standard output is left to the times.
        let mut child = shell.stdout(std::io::stderr()).spawn()?;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if self.interrupt.is_pending() {
                interrupt::end_group(&mut child, PATIENCE);
                bail!("interrupted");
            }
            thread::sleep(Duration::from_millis(20));
        };
        ensure!(status.success(), "{status}");
        Ok(())
    }

    fn start(&mut self, commands: &str) -> Result<()> {
        let output = self.folder.join(format!("said-{}", self.going_on.len()));
        let child = self
            .shell(commands)
            .stdout(File::create(&output)?)
            .spawn()?;
        self.going_on.push(GoingOn { child, output });
        Ok(())
    }

    fn wait_until_said(&mut self, lines: &str) -> Result<()> {
        let last = self.going_on.last_mut().context("nothing goes on")?;
        let end = Instant::now() + LONGEST;
        loop {
            let ended = last.child.try_wait()?;
            let said = fs::read_to_string(&last.output)?;
            if page::is_said(lines, &said) {
                return Ok(());
            }
            if let Some(status) = ended {
                bail!("it ended ({status}), and had said {said:?}");
            }
            ensure!(!self.interrupt.is_pending(), "interrupted");
            ensure!(Instant::now() < end, "it has only said {said:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        for going_on in self.going_on.iter_mut().rev() {
            interrupt::end_group(&mut going_on.child, PATIENCE);
        }
        // A link in it goes, what it leads to stays.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn written(name: &str) -> Option<String> {
        let steps = page::read(PAGE).expect("docs/your-own-driver.md");
        steps.into_iter().find_map(|step| match step {
            Step::Write { name: own, text } if own == name => Some(text),
            _ => None,
        })
    }

    fn commands() -> impl Iterator<Item = String> {
        let steps = page::read(PAGE).expect("docs/your-own-driver.md");
        steps.into_iter().filter_map(|step| match step {
            Step::Run(commands) | Step::Begin(commands) => Some(commands),
            _ => None,
        })
    }

    #[test]
    fn each_block_of_the_guide_to_a_driver_of_ones_own_can_be_followed() {
        let steps = page::read(PAGE).expect("docs/your-own-driver.md");
        let begun = steps.iter().position(|step| matches!(step, Step::Begin(_)));
        let said = steps
            .iter()
            .position(|step| matches!(step, Step::Expect(_)));
        assert!(begun.expect("a program goes on") < said.expect("and says something"));
        for commands in commands() {
            let mut lines = commands.lines();
            let folder = lines.next().and_then(|line| line.strip_prefix("cd "));
            // One line can stand by itself; more of them have a folder to work in.
            assert_eq!(folder.is_none(), lines.next().is_none(), "{commands}");
            if let Some(own) = folder.filter(|folder| *folder != "gatebell") {
                let is_written = |step: &Step| matches!(step, Step::Write { name, .. } if Path::new(name).starts_with(own));
                assert!(steps.iter().any(is_written), "nothing is in {own}");
            }
        }
    }

    #[test]
    fn what_the_guide_takes_of_the_clone_is_there() {
        let taken = |text: &str| -> Vec<String> {
            let parts = text.split("../../gatebell/").skip(1);
            let path = |part: &str| {
                let end = part.find(['"', ' ', ':', '\n']).unwrap_or(part.len());
                part[..end].to_owned()
            };
            parts.map(path).collect()
        };
        for file in ["record", "driver", "app"] {
            let manifest = written(&format!("tripwire/{file}/Cargo.toml")).expect("it is shown");
            for path in taken(&manifest) {
                assert!(place::root().join(&path).is_dir(), "{path}");
            }
        }
        // What commands take was built before.
        let built: Vec<String> = commands().flat_map(|commands| taken(&commands)).collect();
        assert!(!built.is_empty());
        for path in built {
            assert!(path.starts_with("target/"), "{path}");
        }
    }

    #[test]
    fn the_guides_crates_need_what_those_that_are_compiled_need() {
        for krate in ["record", "driver", "app"] {
            let name = format!("tripwire/{krate}/Cargo.toml");
            let shown = written(&name).expect("it is shown");
            let shown = shown.replace("../../gatebell/", "../../../");
            let compiled = fs::read_to_string(place::root().join("examples").join(&name));
            assert_eq!(
                dependencies(&shown),
                dependencies(&compiled.expect("the example")),
                "{name}"
            );
        }
    }

    #[test]
    fn the_guides_driver_is_linked_as_that_which_is_compiled() {
        let flags = |config: &str| -> Vec<String> {
            let (_, rest) = config
                .split_once("[target.bpfel-unknown-none]\n")
                .expect("a table");
            let lines = rest.lines().take_while(|line| !line.is_empty());
            lines.map(str::to_owned).collect()
        };
        let shown = written("tripwire/driver/.cargo/config.toml").expect("it is shown");
        let compiled = fs::read_to_string(place::root().join(".cargo/config.toml"));
        assert_eq!(flags(&shown), flags(&compiled.expect("the clone's")));
    }

    fn dependencies(manifest: &str) -> Vec<&str> {
        let (_, rest) = manifest.split_once("[dependencies]\n").expect("a table");
        let lines = rest.lines().take_while(|line| !line.starts_with('['));
        let mut lines: Vec<&str> = lines
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .collect();
        lines.sort_unstable();
        lines
    }
}
