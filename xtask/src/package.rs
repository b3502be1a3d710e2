//! `cargo xtask package`: Debian packages, laid out here and put together by `dpkg-deb`.
//!
//! `dpkg-deb` and nothing on top of it: it is on every Debian, and what it is given is a folder that anybody can look
//! into. A packaging tool for cargo would bring a hundred crates to write the same folder, and would still have to be
//! told of the driver, the unit, the manual pages and what happens in an upgrade.
//!
//! Rules that hold here: the tables below are all that is in a package; the same clone at the same path gives the same
//! bytes (the time is the last commit's, or SOURCE_DATE_EPOCH; the owner is root; the order is dpkg-deb's).

#[cfg(test)]
mod exposure;
mod layout;
mod notices;
mod prove;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::build;
use crate::place;
use crate::setup::{self, Need};
use layout::{From, Item, Layout, Package};

/// Arguments of `cargo xtask package`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Leave out the window, a package of its own whose release build takes minutes
    #[arg(long)]
    without_window: bool,
    /// Another version than the workspace's
    #[arg(long)]
    version: Option<String>,
    /// See in the emulated machine, under systemd, that it protects, survives and leaves nothing
    ///
    /// Installs the package, upgrades it and kills the service under traffic, reboots,
    /// and purges. Each point is a line.
    #[arg(long)]
    prove: bool,
    /// See instead, on a machine with Podman, libvirt's network and WireGuard, that what people do with them goes on
    ///
    /// Prints a table: what works without the package, installed, upgraded, rebooted with a broken list, and purged.
    #[arg(long, requires = "prove")]
    guests: bool,
}

const SERVICE: Package = Package {
    name: "gatebell",
    programs: &[
        ("gatebell-service", "gatebelld"),
        ("gatebell-cli", "gatebell"),
        ("gatebell-fetcher", "gatebell-fetch"),
    ],
    items: &[
        Item(From::Program("gatebelld"), "usr/sbin/gatebelld", 0o755),
        Item(From::Program("gatebell"), "usr/bin/gatebell", 0o755),
        Item(
            From::Driver,
            "usr/lib/gatebell/gatebell_firewall.bpf.o",
            0o644,
        ),
        Item(
            From::Clone("package/gatebell/gatebell.service"),
            "lib/systemd/system/gatebell.service",
            0o644,
        ),
        Item(
            From::Program("gatebell-fetch"),
            "usr/lib/gatebell/gatebell-fetch",
            0o755,
        ),
        Item(
            From::Clone("package/gatebell/gatebell-lists.service"),
            "lib/systemd/system/gatebell-lists.service",
            0o644,
        ),
        Item(
            From::Clone("package/gatebell/gatebell-lists.timer"),
            "lib/systemd/system/gatebell-lists.timer",
            0o644,
        ),
        Item(
            From::Clone("package/gatebell/gatebell-lists.path"),
            "lib/systemd/system/gatebell-lists.path",
            0o644,
        ),
        Item(
            From::Clone("package/gatebell/gatebell-reject.socket"),
            "lib/systemd/system/gatebell-reject.socket",
            0o644,
        ),
        Item(
            From::Clone("package/gatebell/gatebell-reject@.service"),
            "lib/systemd/system/gatebell-reject@.service",
            0o644,
        ),
        Item(
            From::Clone("package/gatebell/gatebell-sockets.socket"),
            "lib/systemd/system/gatebell-sockets.socket",
            0o644,
        ),
        Item(
            From::Clone("package/gatebell/gatebell-sockets@.service"),
            "lib/systemd/system/gatebell-sockets@.service",
            0o644,
        ),
        Item(
            From::Clone("package/gatebell/gatebell.sysusers"),
            "usr/lib/sysusers.d/gatebell.conf",
            0o644,
        ),
        Item(
            From::Clone("package/gatebell/org.gatebell.firewall.policy"),
            "usr/share/polkit-1/actions/org.gatebell.firewall.policy",
            0o644,
        ),
        Item(
            From::Clone("package/gatebell/connection-names"),
            "usr/lib/NetworkManager/dispatcher.d/10-gatebell",
            0o755,
        ),
        Item(
            From::Clone("package/gatebell/rules.toml"),
            "usr/share/gatebell/rules.toml",
            0o644,
        ),
        Item(
            From::Clone("package/gatebell/apparmor"),
            "etc/apparmor.d/gatebell",
            0o644,
        ),
        Item(
            From::Clone("package/gatebell/lintian-overrides"),
            "usr/share/lintian/overrides/gatebell",
            0o644,
        ),
        Item(
            From::Clone("docs/rules.md"),
            "usr/share/doc/gatebell/rules.md",
            0o644,
        ),
        Item(
            From::Clone("SECURITY.md"),
            "usr/share/doc/gatebell/SECURITY.md",
            0o644,
        ),
        Item(From::Manual("man"), "usr/share/man/man1", 0o644),
        Item(
            From::Manual("completions/gatebell.bash"),
            "usr/share/bash-completion/completions/gatebell",
            0o644,
        ),
        Item(
            From::Manual("completions/_gatebell"),
            "usr/share/zsh/vendor-completions/_gatebell",
            0o644,
        ),
        Item(
            From::Manual("completions/gatebell.fish"),
            "usr/share/fish/vendor_completions.d/gatebell.fish",
            0o644,
        ),
        Item(
            From::Page("package/gatebell/gatebelld.8"),
            "usr/share/man/man8/gatebelld.8.gz",
            0o644,
        ),
    ],
};

const WINDOW: Package = Package {
    name: "gatebell-app",
    programs: &[("gatebell-app", "gatebell-app")],
    items: &[
        Item(From::Program("gatebell-app"), "usr/bin/gatebell-app", 0o755),
        Item(
            From::Clone("package/gatebell-app/gatebell-app.desktop"),
            "usr/share/applications/gatebell-app.desktop",
            0o644,
        ),
        Item(
            From::Page("package/gatebell-app/gatebell-app.1"),
            "usr/share/man/man1/gatebell-app.1.gz",
            0o644,
        ),
    ],
};

/// Builds the packages, or tries them.
pub fn run(arguments: &Arguments) -> Result<i32> {
    if arguments.guests {
        return prove::with_guests();
    }
    if arguments.prove {
        return prove::alone();
    }
    let version = arguments
        .version
        .as_deref()
        .unwrap_or(env!("CARGO_PKG_VERSION"));
    println!("{}", make(&SERVICE, version)?.display());
    if !arguments.without_window {
        println!("{}", make(&WINDOW, version)?.display());
    }
    Ok(0)
}

/// Builds what a package holds, and the package: `target/package/NAME_VERSION_amd64.deb`.
fn make(package: &Package, version: &str) -> Result<PathBuf> {
    setup::ensure(&[Need::Package])?;
    let crates: Vec<&str> = package.programs.iter().map(|(krate, _)| *krate).collect();
    let built = build::release(&crates)?;
    if package
        .items
        .iter()
        .any(|item| matches!(item.0, From::Driver))
    {
        build::ebpf_drivers()?;
    }
    let folder = place::packages().join(package.name);
    let layout = Layout {
        package,
        version,
        folder: &folder,
        epoch: epoch()?,
        built: &built,
    };
    layout
        .write()
        .with_context(|| format!("laying out {}", package.name))?;
    let archive = place::packages().join(format!("{}_{version}_amd64.deb", package.name));
    layout.pack(&archive)?;
    Ok(archive)
}

/// The time that everything in a package has: SOURCE_DATE_EPOCH, else the last commit's.
fn epoch() -> Result<u64> {
    if let Ok(given) = std::env::var("SOURCE_DATE_EPOCH") {
        return given
            .parse()
            .with_context(|| format!("SOURCE_DATE_EPOCH={given} is no number of seconds"));
    }
    let mut git = Command::new("git");
    let asked = git
        .args(["log", "-1", "--format=%ct"])
        .current_dir(place::root())
        .output();
    let time = asked
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok());
    // Sources without their history: any time will do, if it is always the same.
    Ok(time
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(1_700_000_000))
}

/// Empties a folder, or makes it.
fn fresh(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    Ok(fs::create_dir_all(folder)?)
}
