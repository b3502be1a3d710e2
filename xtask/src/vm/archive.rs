//! A machine's first file system as the kernel reads it: a cpio archive in the "newc" form, uncompressed.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

const FOLDER: u32 = 0o040_755;
const LINK: u32 = 0o120_777;
const CHARACTER_DEVICE: u32 = 0o020_600;
const REGULAR: u32 = 0o100_000;

/// An archive being written; `finish` makes it whole.
pub struct Archive {
    out: BufWriter<File>,
    written: u64,
    entries: u32,
    names: BTreeSet<PathBuf>,
}

impl Archive {
    /// An empty archive in a new file.
    pub fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
        Ok(Self {
            out: BufWriter::new(file),
            written: 0,
            entries: 0,
            names: BTreeSet::new(),
        })
    }

    /// Debian's merged layout, the mount points, and the console that init starts with.
    pub fn skeleton(&mut self) -> Result<()> {
        for folder in [
            "usr/bin",
            "usr/sbin",
            "usr/lib",
            "usr/lib64",
            "proc",
            "sys",
            "dev",
            "run",
            "tmp",
            "root",
            "etc",
        ] {
            self.folder(Path::new(folder))?;
        }
        for name in ["bin", "sbin", "lib", "lib64"] {
            self.link(name, &format!("usr/{name}"))?;
        }
        self.link("var/run", "/run")?;
        self.entry("dev/console", CHARACTER_DEVICE, &[], (5, 1))?;
        self.file(
            "etc/passwd",
            b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
            0o644,
        )?;
        self.file("etc/group", b"root:x:0:\nnogroup:x:65534:\n", 0o644)?;
        self.file("etc/hosts", b"127.0.0.1 localhost\n::1 localhost\n", 0o644)
    }

    /// A regular file with this content.
    pub fn file(&mut self, name: &str, content: &[u8], mode: u32) -> Result<()> {
        let name = Path::new(name);
        self.parents(name)?;
        if !self.names.insert(name.to_path_buf()) {
            return Ok(());
        }
        self.entry(&name.to_string_lossy(), REGULAR | mode, content, (0, 0))
    }

    /// A copy of this machine's file, at the same path below a folder.
    pub fn copy(&mut self, path: &Path, below: &Path) -> Result<()> {
        let content = match without_debug_data(path) {
            Some(smaller) => smaller,
            None => fs::read(path).with_context(|| format!("reading {}", path.display()))?,
        };
        let mode = fs::metadata(path)?.permissions().mode() & 0o777;
        let name = below.join(merged(path));
        self.file(&name.to_string_lossy(), &content, mode)
    }

    /// Writes the trailer that the kernel looks for.
    pub fn finish(mut self) -> Result<()> {
        self.entry("TRAILER!!!", 0, &[], (0, 0))?;
        Ok(self.out.flush()?)
    }

    fn link(&mut self, name: &str, target: &str) -> Result<()> {
        self.parents(Path::new(name))?;
        self.entry(name, LINK, target.as_bytes(), (0, 0))
    }

    fn parents(&mut self, name: &Path) -> Result<()> {
        match name.parent() {
            Some(parent) if parent != Path::new("") => self.folder(parent),
            _ => Ok(()),
        }
    }

    fn folder(&mut self, name: &Path) -> Result<()> {
        self.parents(name)?;
        if !self.names.insert(name.to_path_buf()) {
            return Ok(());
        }
        self.entry(&name.to_string_lossy(), FOLDER, &[], (0, 0))
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8], device: (u32, u32)) -> Result<()> {
        self.entries += 1;
        let size = u32::try_from(content.len()).context("a file of more than 4 GiB")?;
        let (major, minor) = device;
        // inode, mode, uid, gid, links, mtime, size, device (two), device of the node (two), name's length, checksum
        let fields = [
            self.entries,
            mode,
            0,
            0,
            1,
            0,
            size,
            0,
            0,
            major,
            minor,
            name.len() as u32 + 1,
            0,
        ];
        let mut header = String::from("070701");
        for field in fields {
            header.push_str(&format!("{field:08X}"));
        }
        self.put(header.as_bytes())?;
        self.put(name.as_bytes())?;
        self.put(b"\0")?;
        self.align()?;
        self.put(content)?;
        self.align()
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.written += bytes.len() as u64;
        Ok(self.out.write_all(bytes)?)
    }

    fn align(&mut self) -> Result<()> {
        let missing = self.written.wrapping_neg() % 4;
        self.put(&[0; 3][..missing as usize])
    }
}

/// A large program without what only a debugger reads, most of a program that cargo has just built; none where `strip`
/// is missing or has nothing to say about the file.
fn without_debug_data(path: &Path) -> Option<Vec<u8>> {
    const LARGE: u64 = 8 << 20;
    let about = fs::metadata(path).ok()?;
    if about.len() < LARGE || about.permissions().mode() & 0o111 == 0 {
        return None;
    }
    let smaller = std::env::temp_dir().join(format!("gatebell-stripped-{}", std::process::id()));
    let status = Command::new("strip")
        .arg("--strip-debug")
        .arg("-o")
        .arg(&smaller)
        .arg(path)
        .stderr(Stdio::null())
        .status();
    let content = fs::read(&smaller)
        .ok()
        .filter(|_| status.is_ok_and(|status| status.success()));
    let _ = fs::remove_file(&smaller);
    content
}

/// The path inside the archive: without the leading slash, and with `/lib` as the `/usr/lib` that it is in Debian.
fn merged(path: &Path) -> PathBuf {
    let parts: Vec<Component> = path
        .components()
        .filter(|part| matches!(part, Component::Normal(_)))
        .collect();
    let relative: PathBuf = parts.iter().collect();
    let first = parts
        .first()
        .map(|part| part.as_os_str().to_string_lossy().into_owned());
    match first.as_deref() {
        Some("bin" | "sbin" | "lib" | "lib64") => Path::new("usr").join(relative),
        _ => relative,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_folders_become_their_merged_ones() {
        assert_eq!(
            merged(Path::new("/lib/x86_64/libc.so.6")),
            Path::new("usr/lib/x86_64/libc.so.6")
        );
        assert_eq!(
            merged(Path::new("/home/x/lib/y")),
            Path::new("home/x/lib/y")
        );
    }

    #[test]
    fn each_entry_starts_on_a_multiple_of_four_and_the_trailer_is_last() -> Result<()> {
        let path = std::env::temp_dir().join(format!("gatebell-archive-{}", std::process::id()));
        let mut archive = Archive::create(&path)?;
        archive.file("one/two", b"abc", 0o644)?;
        archive.finish()?;
        let bytes = fs::read(&path)?;
        fs::remove_file(&path)?;
        assert_eq!(bytes.len() % 4, 0);
        let starts: Vec<usize> = (0..bytes.len() - 6)
            .filter(|at| &bytes[*at..at + 6] == b"070701")
            .collect();
        assert_eq!(starts.len(), 3, "the folder, the file, the trailer");
        assert!(starts.iter().all(|at| at % 4 == 0));
        assert!(
            bytes[starts[2]..]
                .windows(10)
                .any(|part| part == b"TRAILER!!!")
        );
        Ok(())
    }
}
