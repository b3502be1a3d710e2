//! Choice of the Rust toolchain for each build.
//!
//! User programs for this machine are built by whatever ran `cargo xtask`. Drivers, and programs for Windows, need the
//! source of Rust's library (`-Zbuild-std`): the first toolchain that has it is taken, rustup's before Debian's.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::place;

/// The LLVM that bpf-linker is built with: it can't read the code of another one.
const LLVM: &str = "22.";

/// A cargo and the rustc that belongs to it.
#[derive(Clone, Debug)]
pub struct Toolchain {
    /// Folder of the toolchain, with `bin/cargo` and `bin/rustc`.
    pub sysroot: PathBuf,
}

impl Toolchain {
    /// Returns the first toolchain with the library's source and the right LLVM, if there is one.
    pub fn with_library_source() -> Option<Self> {
        candidates().into_iter().find(Self::fits)
    }

    /// Returns the first toolchain with the library's source and the right LLVM, or an error that says what to do.
    pub fn require() -> Result<Self> {
        match Self::with_library_source() {
            Some(toolchain) => Ok(toolchain),
            None => bail!(
                "no Rust toolchain here has the library's source and LLVM {LLVM}x: \
                 run `cargo xtask setup ebpf`, or `rustup component add rust-src`"
            ),
        }
    }

    /// A cargo command of this toolchain, allowed to build the library.
    pub fn cargo(&self) -> Command {
        let mut command = Command::new(self.program("cargo"));
        clean(&mut command);
        command
            .env_remove("RUSTUP_TOOLCHAIN")
            .env("RUSTC", self.program("rustc"))
            .env("RUSTDOC", self.program("rustdoc"))
            // -Zbuild-std on a stable compiler.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("PATH", tools_first());
        command
    }

    /// Returns a cargo command of this toolchain that is about to lint: with the subcommand and the driver of this very
    /// toolchain.
    pub fn clippy(&self) -> Command {
        let mut command = self.cargo();
        let own = std::iter::once(self.sysroot.join("bin"));
        let path = tools_first();
        let folders = own.chain(env::split_paths(&path));
        command.env("PATH", env::join_paths(folders).unwrap_or(path.clone()));
        command.arg("clippy");
        command
    }

    /// Returns the path of the compiler that lints what it compiles.
    pub fn linter(&self) -> PathBuf {
        self.program("clippy-driver")
    }

    /// Returns whether the toolchain can lint.
    pub fn has_clippy(&self) -> bool {
        self.linter().is_file() && self.program("cargo-clippy").is_file()
    }

    fn program(&self, name: &str) -> PathBuf {
        self.sysroot.join("bin").join(name)
    }

    fn fits(&self) -> bool {
        let library = self
            .sysroot
            .join("lib/rustlib/src/rust/library/core/Cargo.toml");
        library.is_file() && self.program("cargo").is_file() && self.llvm().starts_with(LLVM)
    }

    fn llvm(&self) -> String {
        let Some(text) = output(
            Command::new(self.program("rustc"))
                .arg("-vV")
                .env_remove("LD_LIBRARY_PATH"),
        ) else {
            return String::new();
        };
        text.lines()
            .find_map(|line| line.strip_prefix("LLVM version: "))
            .unwrap_or_default()
            .to_owned()
    }
}

/// The cargo that started us, as if from a shell.
pub fn cargo() -> Command {
    let mut command = as_from_a_shell(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.env("PATH", tools_first());
    command
}

/// A command with nothing of what `cargo run` gave to us.
pub fn as_from_a_shell(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    clean(&mut command);
    command
}

/// PATH with the project's own tools in front.
fn tools_first() -> std::ffi::OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(place::tools().join("bin")).chain(env::split_paths(&path));
    env::join_paths(folders).unwrap_or(path)
}

/// Takes away what `cargo run` gave to us: it names our package and our toolchain, not the one to be built.
fn clean(command: &mut Command) {
    for name in [
        "CARGO",
        "RUSTC",
        "RUSTDOC",
        "LD_LIBRARY_PATH",
        "CARGO_MANIFEST_DIR",
        "RUSTFLAGS",
        crate::build::BUILT,
    ] {
        command.env_remove(name);
    }
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_PKG_") || name == "CARGO_MANIFEST_PATH" {
            command.env_remove(name);
        }
    }
}

fn candidates() -> Vec<Toolchain> {
    let mut found = Vec::new();
    found.extend(sysroot(&mut Command::new(
        env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()),
    )));
    if let Some(list) = output(Command::new("rustup").args(["toolchain", "list"])) {
        let names = list
            .lines()
            .filter_map(|line| line.split_whitespace().next());
        found.extend(
            names.filter_map(|name| sysroot(Command::new("rustup").args(["run", name, "rustc"]))),
        );
    }
    found.push(Toolchain {
        sysroot: Path::new("/usr").to_path_buf(),
    });
    found
}

fn sysroot(rustc: &mut Command) -> Option<Toolchain> {
    let text = output(
        rustc
            .args(["--print", "sysroot"])
            .env("RUSTUP_AUTO_INSTALL", "0"),
    )?;
    Some(Toolchain {
        sysroot: PathBuf::from(text.trim()),
    })
}

fn output(command: &mut Command) -> Option<String> {
    let output = command
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}
