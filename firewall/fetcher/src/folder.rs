//! Folder of the copies, and of the results of the last tries.

use anyhow::{Context, Result, ensure};
use serde::de::DeserializeOwned;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use store::lists::{COPY, CopyHead, LONGEST_HEAD, TRIED, Tried, WantedList};
use tempfile::NamedTempFile;

/// Prefix of the names of files that are not complete yet.
const UNFINISHED: &str = ".fetching-";

/// Folder of the copies. It holds files of this program alone; others are passed over.
pub struct Folder(PathBuf);

/// A copy that is being written and has no name yet.
pub struct NewCopy {
    file: NamedTempFile,
    bytes: u64,
}

impl Folder {
    /// Opens the folder at this path.
    ///
    /// # Errors
    /// Fails if there is none.
    pub fn open(path: &Path) -> Result<Self> {
        ensure!(
            path.is_dir(),
            "there is no folder {} for the copies",
            path.display()
        );
        Ok(Self(path.to_owned()))
    }

    /// Removes files that an earlier run did not finish, and those of lists that are not wanted any more.
    pub fn tidy(&self, wanted: &[WantedList]) {
        for entry in fs::read_dir(&self.0).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = path.file_stem().and_then(|name| name.to_str());
            let is_wanted = name.is_some_and(|name| wanted.iter().any(|list| list.name == name));
            let is_unfinished = entry.file_name().to_string_lossy().starts_with(UNFINISHED);
            if is_unfinished || !is_wanted {
                let _gone_already = fs::remove_file(path);
            }
        }
    }

    /// Reads the head of this list's copy, if there is one.
    #[must_use]
    pub fn head(&self, name: &str) -> Option<CopyHead> {
        let file = File::open(self.path(name, COPY)).ok()?;
        let mut line = Vec::new();
        BufReader::new(file.take(LONGEST_HEAD as u64))
            .read_until(b'\n', &mut line)
            .ok()?;
        serde_json::from_slice(&line).ok()
    }

    /// Reads the result of the last try to fetch this list, if there is one.
    #[must_use]
    pub fn tried(&self, name: &str) -> Option<Tried> {
        self.read(&self.path(name, TRIED))
    }

    /// Writes the result of a try to fetch this list.
    ///
    /// # Errors
    /// Fails if it can't be written.
    pub fn write_down(&self, name: &str, tried: &Tried) -> Result<()> {
        let mut file = self.unfinished()?;
        serde_json::to_writer(&mut file, tried)?;
        self.put(file, &self.path(name, TRIED))
    }

    /// Begins a copy with this head.
    ///
    /// # Errors
    /// Fails if it can't be written.
    pub fn begin(&self, head: &CopyHead) -> Result<NewCopy> {
        let mut file = self.unfinished()?;
        serde_json::to_writer(&mut file, head)?;
        file.write_all(b"\n")?;
        Ok(NewCopy { file, bytes: 0 })
    }

    fn unfinished(&self) -> Result<NamedTempFile> {
        tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempfile_in(&self.0)
            .with_context(|| format!("can't write into {}", self.0.display()))
    }

    /// Gives a file its name, so that it stays after a power cut too.
    fn put(&self, file: NamedTempFile, path: &Path) -> Result<()> {
        let said = || format!("can't write {}", path.display());
        file.as_file().sync_all().with_context(said)?;
        file.persist(path).with_context(said)?;
        File::open(&self.0)
            .and_then(|folder| folder.sync_all())
            .with_context(said)
    }

    fn read<T: DeserializeOwned>(&self, path: &Path) -> Option<T> {
        let mut text = Vec::new();
        let file = File::open(path).ok()?;
        file.take(LONGEST_HEAD as u64).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }

    fn path(&self, name: &str, ending: &str) -> PathBuf {
        self.0.join(format!("{name}.{ending}"))
    }
}

impl NewCopy {
    /// Appends bytes of the list.
    ///
    /// # Errors
    /// Fails if it can't be written.
    pub fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    /// Returns the number of the list's bytes so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Replaces the copy before with this one. Returns the number of bytes of the list.
    ///
    /// # Errors
    /// Fails if it can't be written.
    pub fn keep_as(self, folder: &Folder, name: &str) -> Result<u64> {
        folder.put(self.file, &folder.path(name, COPY))?;
        Ok(self.bytes)
    }
}
