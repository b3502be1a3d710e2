//! Debian's packages, unpacked into a folder and not installed: no service of theirs starts,
//! no file of the system changes.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command;

/// Keys that Debian signs its suites with. Where apt keeps them elsewhere, apt's own choice of keys counts.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// One suite of Debian's archive, with lists of its own below a folder:
/// this machine's apt neither knows of it nor is changed.
pub struct Suite {
    folder: PathBuf,
}

impl Suite {
    /// Fetches the suite's list of packages. `folder` is empty or not there yet; removing it forgets the suite.
    pub fn open(name: &str, folder: &Path) -> Result<Self> {
        let suite = Self {
            folder: std::path::absolute(folder)?,
        };
        for part in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(suite.folder.join(part))?;
        }
        fs::write(suite.folder.join("sources.list"), source(name)?)?;
        command::run(suite.apt("apt-get").arg("update"))
            .with_context(|| format!("fetching the list of Debian's packages in {name}"))?;
        Ok(suite)
    }

    /// Returns the names of a package and of all that it depends on, directly or not.
    pub fn closure(&self, package: &str) -> Result<Vec<String>> {
        let mut command = self.apt("apt-cache");
        command.args(["depends", "--recurse", "--important", package]);
        let text = command::output(&mut command)?;
        Ok(text
            .lines()
            .filter(|line| !line.starts_with([' ', '|', '<']))
            .map(str::to_owned)
            .collect())
    }

    /// Fetches packages and unpacks them into `folder`.
    pub fn unpack(&self, packages: &[String], folder: &Path) -> Result<()> {
        let mut download = self.apt("apt-get");
        download.arg("download").args(packages);
        unpack_with(download, folder)
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for (option, place) in [
            ("Dir::Etc::sourcelist", "sources.list"),
            ("Dir::State::lists", "lists"),
            ("Dir::Cache", "cache"),
        ] {
            let mut value = OsString::from(format!("{option}="));
            value.push(self.folder.join(place));
            command.arg("-o").arg(value);
        }
        command
            .args(["-qq", "-o", "Dir::Etc::sourceparts=-"])
            // The list of packages is all that is wanted of it.
            .args(["-o", "Acquire::Languages=none"])
            .args([
                "-o",
                "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
            ]);
        // Without a sandbox user: that user could not write into a folder of ours, and apt warns about it.
        command.args(["-o", "APT::Sandbox::User=root"]);
        command
    }
}

/// A line for a list of sources: this suite, from where this machine itself gets Debian's packages.
pub fn source(suite: &str) -> Result<String> {
    let output = Command::new("apt-get")
        .args(["indextargets", "--format", "$(REPO_URI)"])
        .args(["Created-By: Packages", "Origin: Debian", "Label: Debian"])
        .output()
        .context("running apt-get")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let Some(archive) = text.lines().next() else {
        bail!("apt knows no Debian archive here: run `apt-get update` on a Debian machine");
    };
    let signed = if Path::new(KEYRING).is_file() {
        format!("[signed-by={KEYRING}] ")
    } else {
        String::new()
    };
    Ok(format!("deb {signed}{archive} {suite} main\n"))
}

/// Fetches a package that this machine's own apt offers, and unpacks it into `folder`.
pub fn unpack(package: &str, folder: &Path) -> Result<()> {
    let mut download = Command::new("apt-get");
    download.args(["-qq", "-o", "APT::Sandbox::User=root", "download", package]);
    unpack_with(download, folder)
}

/// Fetches packages, and unpacks them into the folder `at`: beside it and then renamed,
/// so that a broken run leaves no half of one.
pub fn unpack_whole(packages: &[&str], at: &Path) -> Result<()> {
    let beside = at.with_extension(format!("new-{}", std::process::id()));
    fs::create_dir_all(&beside)?;
    let done = packages
        .iter()
        .try_for_each(|package| unpack(package, &beside))
        .and_then(|()| Ok(fs::rename(&beside, at)?));
    let _renamed = fs::remove_dir_all(&beside);
    done.with_context(|| format!("fetching from Debian: {}", packages.join(", ")))
}

fn unpack_with(mut download: Command, folder: &Path) -> Result<()> {
    command::run(download.current_dir(folder))?;
    let archives: Vec<PathBuf> = folder
        .read_dir()?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension() == Some("deb".as_ref()))
        .collect();
    if archives.is_empty() {
        bail!("apt-get left no package");
    }
    for archive in archives {
        command::run(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(folder))?;
        fs::remove_file(archive)?;
    }
    Ok(())
}
