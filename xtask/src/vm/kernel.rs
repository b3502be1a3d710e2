//! Debian's cloud kernel of the 6.1 line: fetched as a package, unpacked under target, never installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::debian;
use crate::place;

/// The package that always depends on the newest kernel of its line.
const NEWEST: &str = "linux-image-cloud-amd64";
/// The line whose verifier is the oldest that the drivers promise to pass.
const LINE: &str = "linux-image-6.1.";

/// An unpacked kernel.
pub struct Kernel {
    /// What qemu boots.
    pub image: PathBuf,
    /// The folder of its modules.
    pub modules: PathBuf,
}

/// The kernel that an earlier run unpacked, or one fetched now.
pub fn prepare() -> Result<Kernel> {
    let unpacked = place::machine().join("kernel");
    if let Some(kernel) = find(&unpacked) {
        return Ok(kernel);
    }
    let package = newest_package()?;
    eprintln!(
        "vm: fetching Debian's kernel {package} for the emulated machine (27 MB; unpacked, not installed)"
    );
    // Unpacked beside and then renamed, so that a broken run leaves no half kernel that looks like a whole one.
    let beside = place::machine().join(format!("kernel-{}", std::process::id()));
    fs::create_dir_all(&beside)?;
    let done = debian::unpack(&package, &beside).and_then(|()| rename(&beside, &unpacked));
    let _ = fs::remove_dir_all(&beside);
    done?;
    find(&unpacked).with_context(|| format!("{package} holds no kernel image"))
}

fn rename(beside: &Path, unpacked: &Path) -> Result<()> {
    match fs::rename(beside, unpacked) {
        // Another run was faster: its kernel is as good as ours.
        Err(_) if find(unpacked).is_some() => Ok(()),
        other => other.context("keeping the unpacked kernel"),
    }
}

fn find(unpacked: &Path) -> Option<Kernel> {
    let boot = unpacked.join("boot").read_dir().ok()?;
    let mut names = boot
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned());
    let version = names.find_map(|name| name.strip_prefix("vmlinuz-").map(str::to_owned))?;
    let image = unpacked.join(format!("boot/vmlinuz-{version}"));
    let modules = unpacked.join(format!("lib/modules/{version}/kernel"));
    (image.is_file() && modules.is_dir()).then_some(Kernel { image, modules })
}

fn newest_package() -> Result<String> {
    let output = Command::new("apt-cache")
        .args(["depends", NEWEST])
        .output()
        .context("running apt-cache")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let package = text.split_whitespace().find(|word| word.starts_with(LINE));
    match package {
        Some(package) => Ok(package.to_owned()),
        None => bail!(
            "no package {LINE}* is known to apt here: run `apt-get update` on a Debian 12 machine"
        ),
    }
}
