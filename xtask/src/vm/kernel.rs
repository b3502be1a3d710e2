//! The kernels of the emulated machine: Debian's cloud kernels, each fetched as packages of its suite, unpacked under
//! target and never installed. This table is the one place that says which there are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command;
use crate::debian::Suite;
use crate::place;

/// A line of kernels that the programs are tried on.
#[derive(Debug, PartialEq, Eq)]
pub struct KernelLine {
    /// Name of the line for `--kernel`, and of the room of its tests.
    pub name: &'static str,
    /// The suite of Debian whose newest kernel is meant.
    pub suite: &'static str,
    /// Promise that the tests show on these kernels.
    pub promise: &'static str,
    /// Files of the kernel tests that run on these kernels, in one machine.
    pub files: &'static [TestFile],
}

/// File of the kernel tests, with those of its tests that run on a kernel that isn't this machine's.
#[derive(Debug, PartialEq, Eq)]
pub struct TestFile {
    /// Name of the file, without its ending.
    pub name: &'static str,
    /// The tests that would show what is this kernel's own; none named: all of them.
    pub tests: &'static [&'static str],
}

impl TestFile {
    const fn whole(name: &'static str) -> Self {
        Self { name, tests: &[] }
    }
}

/// All of them. The first is the oldest that the drivers promise to pass, and the one that is taken when none is named.
pub const LINES: &[KernelLine] = &[
    KernelLine {
        name: "linux-6.12",
        suite: "trixie",
        promise: "the same promises, by the same programs, on Debian 13's kernel",
        files: &[
            TestFile::whole("linux"),
            TestFile::whole("firewall"),
            TestFile::whole("carriers"),
        ],
    },
    KernelLine {
        name: "linux-newest",
        suite: "trixie-backports",
        promise: "the same on the newest kernel that Debian packages for its stable release",
        // Each service that starts has the emulated verifier look at all programs, for a minute.
        files: &[
            TestFile::whole("linux"),
            TestFile {
                name: "firewall",
                tests: &[
                    "no_program_of_the_driver_takes_a_third_of_what_the_verifier_allows",
                    "a_refused_packet_names_its_rule_its_process_and_its_user_and_the_program_is_told",
                    "what_is_allowed_gets_its_replies_and_both_judges_count_the_same",
                    "a_published_port_is_closed_until_a_rule_opens_the_machines_own",
                ],
            },
            TestFile::whole("carriers"),
        ],
    },
];

/// The package that always depends on the newest kernel of its suite.
const NEWEST: &str = "linux-image-cloud-amd64";

impl KernelLine {
    /// The one of this name.
    pub fn named(name: &str) -> Result<&'static Self> {
        LINES
            .iter()
            .find(|line| line.name == name)
            .with_context(|| {
                let names: Vec<&str> = LINES.iter().map(|line| line.name).collect();
                format!("no kernel is called {name}: there are {}", names.join(", "))
            })
    }

    /// The kernel that an earlier run unpacked, or one fetched now.
    pub fn prepare(&self) -> Result<Kernel> {
        let unpacked = place::machine().join(self.name);
        if let Some(kernel) = find(&unpacked) {
            return Ok(kernel);
        }
        // Unpacked beside and then renamed, so that a broken run leaves no half kernel that looks like a whole one.
        let beside = place::machine().join(format!("{}-{}", self.name, std::process::id()));
        fs::create_dir_all(&beside)?;
        let done = self
            .fetch(&beside)
            .and_then(|()| keep(&beside.join("root"), &unpacked));
        let _ = fs::remove_dir_all(&beside);
        done?;
        find(&unpacked).with_context(|| format!("{} holds no kernel image", unpacked.display()))
    }

    fn fetch(&self, folder: &Path) -> Result<()> {
        let suite = Suite::open(self.suite, &folder.join("apt"))?;
        let packages: Vec<String> = suite
            .closure(NEWEST)?
            .into_iter()
            .filter(|name| is_part(name))
            .collect();
        if packages.is_empty() {
            bail!("{} offers no kernel behind {NEWEST}", self.suite);
        }
        eprintln!(
            "vm: fetching {} for the emulated machine (some 30 MB; unpacked, not installed)",
            packages.join(", ")
        );
        let root = folder.join("root");
        fs::create_dir_all(&root)?;
        suite.unpack(&packages, &root)?;
        decompress(&root)
    }
}

/// A package with files of one kernel: `linux-image-6.1.0-40-cloud-amd64`, and since 7.2 `linux-binary-…`,
/// `linux-base-…` and `linux-modules-…`.
fn is_part(package: &str) -> bool {
    let mut words = package.split('-');
    let version = words.nth(2).unwrap_or_default();
    package.starts_with("linux-")
        && package.ends_with("-cloud-amd64")
        && version.starts_with(|first: char| first.is_ascii_digit())
}

/// Modules as `insmod` takes them: Debian compresses them since 6.12.
fn decompress(root: &Path) -> Result<()> {
    let mut files = Vec::new();
    compressed(root, &mut files)?;
    if files.is_empty() {
        return Ok(());
    }
    command::run(
        Command::new("xz")
            .args(["--decompress", "--threads=0", "--"])
            .args(files),
    )
}

fn compressed(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in folder.read_dir()? {
        let path = entry?.path();
        if path.is_dir() {
            compressed(&path, found)?;
        } else if path.to_string_lossy().ends_with(".ko.xz") {
            found.push(path);
        }
    }
    Ok(())
}

fn keep(beside: &Path, unpacked: &Path) -> Result<()> {
    match fs::rename(beside, unpacked) {
        // Another run was faster: its kernel is as good as ours.
        Err(_) if find(unpacked).is_some() => Ok(()),
        other => other.context("keeping the unpacked kernel"),
    }
}

/// An unpacked kernel.
#[derive(Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Kernel image that qemu boots.
    pub image: PathBuf,
    /// The folder of its modules.
    pub modules: PathBuf,
}

/// The kernel in a folder, wherever its packages of that time put it.
fn find(unpacked: &Path) -> Option<Kernel> {
    let folders = ["lib/modules", "usr/lib/modules"].map(|name| unpacked.join(name));
    let versions = folders.iter().filter_map(|folder| folder.read_dir().ok());
    let kernels = versions.flatten().flatten().filter_map(|entry| {
        let (folder, version) = (entry.path(), entry.file_name());
        let boot = format!("boot/vmlinuz-{}", version.to_string_lossy());
        let images = [folder.join("vmlinuz"), unpacked.join(boot)];
        let image = images.into_iter().find(|image| image.is_file())?;
        let modules = folder.join("kernel");
        modules.is_dir().then_some(Kernel { image, modules })
    });
    kernels.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernels_packages_are_told_from_what_they_depend_on() {
        assert!(is_part("linux-image-6.1.0-40-cloud-amd64"));
        assert!(is_part("linux-modules-7.3.4+deb13-cloud-amd64"));
        for other in ["linux-image-cloud-amd64", "linux-base", "linux-libc-dev"] {
            assert!(!is_part(other), "{other}");
        }
    }

    #[test]
    fn a_kernel_is_found_in_the_old_and_in_the_new_layout() -> Result<()> {
        let folder = std::env::temp_dir().join(format!("gatebell-kernel-{}", std::process::id()));
        let layouts = [
            ("old", "lib/modules/6.1", "boot/vmlinuz-6.1"),
            ("new", "usr/lib/modules/7.3", "usr/lib/modules/7.3/vmlinuz"),
        ];
        for (name, modules, image) in layouts {
            let root = folder.join(name);
            fs::create_dir_all(root.join(modules).join("kernel"))?;
            fs::create_dir_all(root.join("boot"))?;
            assert_eq!(find(&root), None, "without an image");
            fs::write(root.join(image), b"")?;
            let kernel = find(&root).context("a kernel")?;
            assert_eq!(kernel.image, root.join(image));
            assert_eq!(kernel.modules, root.join(modules).join("kernel"));
        }
        Ok(fs::remove_dir_all(folder)?)
    }

    #[test]
    fn the_modules_of_a_kernel_are_unpacked() -> Result<()> {
        let folder = std::env::temp_dir().join(format!("gatebell-modules-{}", std::process::id()));
        fs::create_dir_all(folder.join("kernel net"))?;
        let module = folder.join("kernel net/vëth.ko");
        fs::write(&module, b"a module")?;
        command::run(Command::new("xz").arg(&module))?;
        assert!(!module.exists());
        decompress(&folder)?;
        assert_eq!(fs::read(&module)?, b"a module");
        Ok(fs::remove_dir_all(folder)?)
    }
}
