//! One package's folder, as `dpkg-deb` takes it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::{fresh, notices};
use crate::build;
use crate::place;

/// Contents of a package.
pub struct Package {
    /// Name of the package; `package/NAME` in the clone has its control file and its maintainer scripts.
    pub name: &'static str,
    /// The programs: cargo's package and the file that it makes.
    pub programs: &'static [(&'static str, &'static str)],
    /// All other files, each at its place.
    pub items: &'static [Item],
}

/// File of a package: its source, its place, and its mode.
pub struct Item(pub From, pub &'static str, pub u32);

/// Source of a file of a package.
pub enum From {
    /// A program that cargo built, without its debug data.
    Program(&'static str),
    /// The firewall's driver.
    Driver,
    /// A file of the clone as it is.
    Clone(&'static str),
    /// A manual page of the clone; version and date are filled in.
    Page(&'static str),
    /// Output of `gatebell manual`: a file, or all pages of a folder.
    Manual(&'static str),
}

/// A package being laid out.
pub struct Layout<'a> {
    /// Package to lay out.
    pub package: &'a Package,
    /// Version of the package.
    pub version: &'a str,
    /// Folder in which the package is laid out.
    pub folder: &'a Path,
    /// Time of all files in the package, in seconds since 1970.
    pub epoch: u64,
    /// The programs that cargo built.
    pub built: &'a [PathBuf],
}

const MAINTAINER: &str = "The founders of Gatebell <founders@gatebell.invalid>";

/// Names of the maintainer scripts that dpkg runs, where a package has them.
const SCRIPTS: [&str; 4] = ["preinst", "postinst", "prerm", "postrm"];

impl Layout<'_> {
    /// Fills the folder.
    pub fn write(&self) -> Result<()> {
        fresh(self.folder)?;
        let depends = self.depends()?;
        for Item(from, to, mode) in self.package.items {
            self.put(from, to, *mode)
                .with_context(|| format!("placing {to}"))?;
        }
        self.documents()?;
        self.control(&depends)
    }

    /// Makes the package of the folder.
    pub fn pack(&self, archive: &Path) -> Result<()> {
        pack(self.folder, archive, self.epoch)
    }

    fn put(&self, from: &From, to: &str, mode: u32) -> Result<()> {
        match from {
            From::Program(name) => strip(self.program(name)?, &self.place(to)?)?,
            From::Driver => {
                fs::copy(
                    place::drivers().join("gatebell_firewall.bpf.o"),
                    self.place(to)?,
                )?;
            }
            From::Clone(name) => {
                fs::copy(place::root().join(name), self.place(to)?)?;
            }
            From::Page(name) => {
                fs::write(self.place(to)?, compressed(self.filled(name)?.as_bytes())?)?;
            }
            From::Manual(name) => return self.manual(name, to, mode),
        }
        set_mode(&self.folder.join(to), mode)
    }

    /// Writes the manual's pages, compressed, as Debian has them, and completions, which are not.
    fn manual(&self, name: &str, to: &str, mode: u32) -> Result<()> {
        let manual = place::packages().join("manual");
        fresh(&manual)?;
        output(
            Command::new(self.program("gatebell")?)
                .arg("manual")
                .arg(&manual),
        )?;
        let from = manual.join(name);
        if from.is_file() {
            fs::copy(from, self.place(to)?)?;
            return set_mode(&self.folder.join(to), mode);
        }
        for page in from.read_dir()? {
            let page = page?.path();
            let name = page
                .file_name()
                .context("a page has a name")?
                .to_string_lossy()
                .into_owned();
            let at = format!("{to}/{name}.gz");
            fs::write(self.place(&at)?, compressed(&fs::read(&page)?)?)?;
            set_mode(&self.folder.join(&at), mode)?;
        }
        Ok(())
    }

    /// Copyright, the libraries' notices and the changelog: what every Debian package says of itself.
    fn documents(&self) -> Result<()> {
        let folder = format!("usr/share/doc/{}", self.package.name);
        let mit = fs::read_to_string(place::root().join("LICENSE-MIT"))?;
        let copyright = fs::read_to_string(place::root().join("package/copyright"))?;
        let crates: Vec<&str> = self
            .package
            .programs
            .iter()
            .map(|(krate, _)| *krate)
            .collect();
        let date =
            output(Command::new("date").args(["-u", "-R", "-d", &format!("@{}", self.epoch)]))?;
        let changelog = format!(
            "{} ({}) unstable; urgency=medium\n\n  * See the project's own history.\n\n -- {MAINTAINER}  {date}",
            self.package.name, self.version
        );
        let files = [
            (
                "copyright",
                copyright.replace("@MIT@", &paragraphs(&mit)).into_bytes(),
            ),
            (
                "libraries.txt.gz",
                compressed(notices::of(&crates)?.as_bytes())?,
            ),
            ("changelog.gz", compressed(changelog.as_bytes())?),
        ];
        for (name, content) in files {
            let to = format!("{folder}/{name}");
            fs::write(self.place(&to)?, content)?;
            set_mode(&self.folder.join(&to), 0o644)?;
        }
        Ok(())
    }

    fn control(&self, depends: &str) -> Result<()> {
        let from = place::root().join("package").join(self.package.name);
        let to = self.folder.join("DEBIAN");
        let (sums, size) = (sums(self.folder)?, size(self.folder)?);
        fs::create_dir_all(&to)?;
        let control = fs::read_to_string(from.join("control"))?
            .replace("@VERSION@", self.version)
            .replace("@MAINTAINER@", MAINTAINER)
            .replace("@SIZE@", &size.to_string())
            .replace("@DEPENDS@", depends);
        fs::write(to.join("control"), control)?;
        fs::write(to.join("md5sums"), sums)?;
        let settings = settings(self.package.items);
        if !settings.is_empty() {
            fs::write(to.join("conffiles"), settings)?;
        }
        for name in SCRIPTS.iter().filter(|name| from.join(name).is_file()) {
            fs::copy(from.join(name), to.join(name))?;
            set_mode(&to.join(name), 0o755)?;
        }
        Ok(())
    }

    /// The shared libraries' packages and the versions that the programs' symbols ask for.
    fn depends(&self) -> Result<String> {
        // dpkg-shlibdeps wants to stand in a source package.
        let stand = place::packages().join("shlibdeps");
        fresh(&stand.join("debian"))?;
        let source = format!(
            "Source: gatebell\n\nPackage: {}\nArchitecture: any\n",
            self.package.name
        );
        fs::write(stand.join("debian/control"), source)?;
        let mut command = Command::new("dpkg-shlibdeps");
        command.current_dir(&stand).arg("-O");
        for (_, name) in self.package.programs {
            command.arg(format!("-e{}", self.program(name)?.display()));
        }
        let said = output(&mut command)?;
        let depends = said.trim().strip_prefix("shlibs:Depends=");
        depends
            .map(str::to_owned)
            .with_context(|| format!("dpkg-shlibdeps said: {said}"))
    }

    fn filled(&self, name: &str) -> Result<String> {
        let date =
            output(Command::new("date").args(["-u", "-I", "-d", &format!("@{}", self.epoch)]))?;
        let text = fs::read_to_string(place::root().join(name))?;
        Ok(text
            .replace("@VERSION@", self.version)
            .replace("@DATE@", date.trim()))
    }

    fn program(&self, name: &str) -> Result<&Path> {
        build::named(self.built, name)
    }

    /// The place of a file, whose folders are made.
    fn place(&self, to: &str) -> Result<PathBuf> {
        let at = self.folder.join(to);
        fs::create_dir_all(at.parent().context("a file has a folder")?)?;
        Ok(at)
    }
}

/// Puts a laid out folder into a package. Folders get the usual mode here: a umask must not show.
fn pack(folder: &Path, archive: &Path, epoch: u64) -> Result<()> {
    for entry in walk(folder)?.iter().filter(|path| path.is_dir()) {
        set_mode(entry, 0o755)?;
    }
    let mut command = Command::new("dpkg-deb");
    command.env("SOURCE_DATE_EPOCH", epoch.to_string());
    output(
        command
            .args(["--root-owner-group", "--build"])
            .arg(folder)
            .arg(archive),
    )
    .map(drop)
}

/// Returns a text in the form that a field of a control file has.
fn paragraphs(text: &str) -> String {
    let line = |line: &str| {
        if line.trim().is_empty() {
            " .".to_owned()
        } else {
            format!(" {line}")
        }
    };
    text.trim_end()
        .lines()
        .map(line)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Folder of the files that people change: dpkg keeps what they wrote when it upgrades.
const SETTINGS: &str = "etc/";

/// Returns the list of a package's files that people change, in the form that dpkg reads.
fn settings(items: &[Item]) -> String {
    let places = items.iter().map(|Item(_, to, _)| *to);
    places
        .filter(|to| to.starts_with(SETTINGS))
        .map(|to| format!("/{to}\n"))
        .collect()
}

/// Returns the checksums that dpkg compares installed files with. Those of files that people change it remembers by
/// itself.
fn sums(folder: &Path) -> Result<String> {
    let mut command = Command::new("md5sum");
    command.current_dir(folder).arg("--");
    for file in walk(folder)?.iter().filter(|path| path.is_file()) {
        let file = file.strip_prefix(folder)?;
        if !file.starts_with(SETTINGS) {
            command.arg(file);
        }
    }
    output(&mut command)
}

/// Returns the size of a package in KiB, as Debian's policy counts: a file's size rounded up, a folder one.
fn size(folder: &Path) -> Result<u64> {
    let sizes = walk(folder)?
        .iter()
        .map(|path| {
            Ok(if path.is_dir() {
                1
            } else {
                fs::metadata(path)?.len().div_ceil(1024)
            })
        })
        .collect::<Result<Vec<u64>>>()?;
    Ok(sizes.iter().sum())
}

/// The folder and everything below, sorted.
fn walk(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = vec![folder.to_path_buf()];
    let mut next = 0;
    while let Some(path) = found.get(next).cloned() {
        if path.is_dir() {
            for entry in path.read_dir()? {
                found.push(entry?.path());
            }
        }
        next += 1;
    }
    found.sort();
    Ok(found)
}

fn strip(program: &Path, to: &Path) -> Result<()> {
    let mut command = Command::new("strip");
    command
        .args(["--strip-unneeded", "--remove-section=.comment", "-o"])
        .arg(to)
        .arg(program);
    output(&mut command).map(drop)
}

/// Compresses as gzip does, without name and time.
fn compressed(content: &[u8]) -> Result<Vec<u8>> {
    let mut gzip = Command::new("gzip")
        .arg("-9n")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting gzip")?;
    let mut input = gzip.stdin.take().context("gzip has no input")?;
    let content = content.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&content));
    let output = gzip.wait_with_output()?;
    if !output.status.success() || !matches!(writer.join(), Ok(Ok(()))) {
        bail!("gzip failed: {}", output.status);
    }
    Ok(output.stdout)
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(mode))?)
}

fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let done = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("starting {name}"))?;
    if !done.status.success() {
        bail!(
            "{name} failed: {}",
            String::from_utf8_lossy(&done.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTROL: &str =
        "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x <x@x.invalid>\nDescription: x\n";

    fn laid_out(at: &Path, first: &str, second: &str) -> Result<()> {
        fresh(&at.join("DEBIAN"))?;
        fs::write(at.join("DEBIAN/control"), CONTROL)?;
        for name in [first, second] {
            fs::write(at.join(name), name)?;
            set_mode(&at.join(name), 0o644)?;
        }
        set_mode(at, 0o700)
    }

    #[test]
    fn the_same_files_make_the_same_package_whenever_and_in_whatever_order_they_were_written()
    -> Result<()> {
        let folder = std::env::temp_dir().join(format!("gatebell-package-{}", std::process::id()));
        let archives = [("one", ["a", "b"], 0), ("two", ["b", "a"], 1100)].map(
            |(name, [first, second], wait)| {
                let at = folder.join(name);
                std::thread::sleep(std::time::Duration::from_millis(wait));
                laid_out(&at, first, second)?;
                let archive = folder.join(format!("{name}.deb"));
                pack(&at, &archive, 1_000_000_000)?;
                Ok(fs::read(archive)?)
            },
        );
        let [one, two] = archives.map(|archive: Result<Vec<u8>>| archive.unwrap_or_default());
        fs::remove_dir_all(&folder)?;
        assert!(!one.is_empty());
        assert_eq!(one, two);
        Ok(())
    }

    #[test]
    fn what_people_change_is_kept_by_dpkg_and_has_no_sum() -> Result<()> {
        let of = |to| Item(From::Driver, to, 0o644);
        let items = [of("usr/bin/x"), of("etc/x/y"), of("etc/z")];
        assert_eq!(settings(&items), "/etc/x/y\n/etc/z\n");
        let folder = std::env::temp_dir().join(format!("gatebell-settings-{}", std::process::id()));
        for name in ["usr/bin", "etc/x"] {
            fs::create_dir_all(folder.join(name))?;
        }
        for Item(_, to, _) in items {
            fs::write(folder.join(to), to)?;
        }
        let sums = sums(&folder)?;
        fs::remove_dir_all(&folder)?;
        assert!(sums.ends_with("  usr/bin/x\n"), "{sums}");
        assert_eq!(sums.lines().count(), 1, "{sums}");
        Ok(())
    }

    #[test]
    fn an_empty_line_of_a_licence_is_a_dot() {
        assert_eq!(paragraphs("one\n\ntwo\n"), " one\n .\n two");
    }
}
