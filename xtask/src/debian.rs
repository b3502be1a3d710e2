//! A Debian package, unpacked into a folder and not installed: no service of it starts, no file of the system changes.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Fetches the package and unpacks it into `folder`.
pub fn unpack(package: &str, folder: &Path) -> Result<()> {
    let status = Command::new("apt-get")
        // Without a sandbox user: that user could not write into a folder of ours, and apt warns about it.
        .args(["-qq", "-o", "APT::Sandbox::User=root", "download", package])
        .current_dir(folder)
        .status()
        .context("running apt-get")?;
    if !status.success() {
        bail!("apt-get download {package} failed: {status}");
    }
    let archive = folder
        .read_dir()?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension() == Some("deb".as_ref()));
    let archive = archive.context("apt-get left no package")?;
    let status = Command::new("dpkg-deb")
        .arg("-x")
        .arg(&archive)
        .arg(folder)
        .status()
        .context("running dpkg-deb")?;
    if !status.success() {
        bail!("unpacking {} failed: {status}", archive.display());
    }
    Ok(fs::remove_file(archive)?)
}
