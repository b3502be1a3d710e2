//! Undo history of a rule file, in a folder beside it: its text before each of the last changes, with the change, its
//! time and its author.

use crate::replace;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Number of states that are kept.
pub const KEPT: usize = 50;

/// A change to a rule file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Number of the change, from 1; later ones have higher numbers.
    pub number: u64,
    /// Time of the change, in seconds since 1970.
    pub time: u64,
    /// User who made it, by name where there is one.
    pub by: String,
    /// Description of the change, in a few words.
    pub what: String,
    /// Number of the change that this one took back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undoes: Option<u64>,
}

/// A new change to a rule file, before it has a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewChange {
    /// User who makes it.
    pub by: String,
    /// Description of the change, in a few words.
    pub what: String,
    /// Number of the change that it takes back.
    pub undoes: Option<u64>,
}

/// Undo history of one file.
#[derive(Clone, Debug)]
pub struct History {
    folder: PathBuf,
}

/// Locked undo history of one file: code that reads the file, changes it and keeps its text before holds this lock.
#[derive(Debug)]
pub struct Held<'a> {
    history: &'a History,
    _lock: File,
}

impl History {
    /// Returns the history of this file.
    #[must_use]
    pub fn beside(file: &Path) -> Self {
        let file = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
        let mut folder = file.into_os_string();
        folder.push(".undo");
        Self {
            folder: folder.into(),
        }
    }

    /// Returns the folder that the states are in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Locks the history, and waits until no other process holds it.
    ///
    /// # Errors
    /// Fails if there can be no folder beside the file.
    pub fn hold(&self) -> io::Result<Held<'_>> {
        let lock = self.open_lock()?;
        lock.lock()?;
        Ok(Held {
            history: self,
            _lock: lock,
        })
    }

    /// Locks the history if no other process holds it, without waiting.
    ///
    /// # Errors
    /// Fails if there can be no folder beside the file, or if another process holds it.
    pub fn try_hold(&self) -> io::Result<Held<'_>> {
        let lock = self.open_lock()?;
        match lock.try_lock() {
            Ok(()) => Ok(Held {
                history: self,
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn open_lock(&self) -> io::Result<File> {
        match private_folder().create(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.folder.join(LOCK))
    }

    /// Reads the changes whose states are kept, in their order. Files that are no states are passed over.
    ///
    /// # Errors
    /// Fails if the folder can't be read. That there is none is no error.
    pub fn changes(&self) -> io::Result<Vec<Change>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(none) if none.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut changes = Vec::new();
        for entry in entries {
            let number = entry?
                .file_name()
                .to_str()
                .and_then(|name| name.strip_suffix(ENDING)?.parse().ok());
            if let Some((change, _)) = number.and_then(|number| self.read(number)) {
                changes.push(change);
            }
        }
        changes.sort_by_key(|change| change.number);
        Ok(changes)
    }

    /// Reads the text as it was before a change; `None` if it is not kept.
    #[must_use]
    pub fn before(&self, number: u64) -> Option<String> {
        self.read(number).map(|(_, text)| text)
    }

    fn read(&self, number: u64) -> Option<(Change, String)> {
        let kept = fs::read_to_string(self.path(number)).ok()?;
        let (first, text) = kept.split_once('\n')?;
        let change: Change = serde_json::from_str(first).ok()?;
        (change.number == number).then(|| (change, text.to_owned()))
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number}{ENDING}"))
    }
}

impl Held<'_> {
    /// Keeps the text of the file before a change. The oldest states beyond [`KEPT`] are removed.
    ///
    /// # Errors
    /// Fails if it can't be written.
    pub fn keep(&self, before: &str, new: NewChange) -> io::Result<Change> {
        let mut changes = self.history.changes()?;
        let NewChange { by, what, undoes } = new;
        let last = changes.last().map_or(0, |last| last.number);
        let number = last.checked_add(1).ok_or_else(|| {
            let file = self.history.path(last);
            let why = format!(
                "{} has the highest number that there is, which none of ours has; take it out",
                file.display()
            );
            io::Error::other(why)
        })?;
        let change = Change {
            number,
            time: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
                .as_secs(),
            by,
            what,
            undoes,
        };
        let first = serde_json::to_string(&change)?;
        replace(
            &self.history.path(change.number),
            format!("{first}\n{before}").as_bytes(),
        )?;
        changes.push(change.clone());
        let beyond = changes.len().saturating_sub(KEPT);
        for old in changes.iter().take(beyond) {
            fs::remove_file(self.history.path(old.number))?;
        }
        Ok(change)
    }

    /// Removes the state that was kept for a change, as the change was not made.
    pub fn forget(&self, change: &Change) {
        // Then it stays: a state too many does no harm.
        let _stays = fs::remove_file(self.history.path(change.number));
    }
}

/// Returns the change to take back next: the last one that was not taken back, and that took none back itself.
#[must_use]
pub fn last_made(changes: &[Change]) -> Option<&Change> {
    let mut made: Vec<&Change> = Vec::new();
    for change in changes {
        match change.undoes {
            None => made.push(change),
            // Whoever goes back to before an early change takes back the later ones too.
            Some(undone) => made.retain(|made| made.number < undone),
        }
    }
    made.pop()
}

const LOCK: &str = "lock";
const ENDING: &str = ".state";

/// Returns a builder of folders that only their owner may enter.
fn private_folder() -> fs::DirBuilder {
    #[cfg(unix)]
    {
        let mut folder = fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
        folder
    }
    #[cfg(not(unix))]
    fs::DirBuilder::new()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

    use super::*;

    fn new(what: &str, undoes: Option<u64>) -> NewChange {
        NewChange {
            by: "alice".into(),
            what: what.into(),
            undoes,
        }
    }

    #[test]
    fn the_last_fifty_states_are_kept_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::beside(&folder.path().join("rules.toml"));
        assert_eq!(history.changes().unwrap(), []);
        {
            let held = history.hold().unwrap();
            assert!(history.try_hold().is_err());
            for number in 1..=53 {
                let change = held
                    .keep(&format!("{number}\nand so on\n"), new("x", None))
                    .unwrap();
                assert_eq!(change.number, number);
            }
        }
        fs::write(history.folder().join("7.state"), "{no").unwrap();
        let changes = history.changes().unwrap();
        assert_eq!(
            (changes.len(), changes[0].number, changes[48].number),
            (49, 4, 53)
        );
        assert_eq!(history.before(53).unwrap(), "53\nand so on\n");
        assert_eq!((history.before(3), history.before(54)), (None, None));
    }

    #[test]
    fn a_state_with_the_highest_number_is_named_and_nothing_is_kept_behind_it() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::beside(&folder.path().join("rules.toml"));
        let held = history.hold().unwrap();
        let planted = history.path(u64::MAX);
        let first = format!(
            "{{\"number\":{},\"time\":5,\"by\":\"a\",\"what\":\"w\"}}",
            u64::MAX
        );
        fs::write(&planted, format!("{first}\nold")).unwrap();
        let said = held.keep("now", new("x", None)).unwrap_err().to_string();
        assert!(said.starts_with(&planted.display().to_string()), "{said}");
        assert!(said.ends_with("take it out"), "{said}");
        assert_eq!(history.changes().unwrap().len(), 1);
        fs::remove_file(planted).unwrap();
        assert_eq!(held.keep("now", new("x", None)).unwrap().number, 1);
    }

    #[test]
    fn one_change_after_another_is_taken_back_and_none_twice() {
        let made = |undoes: &[Option<u64>]| {
            let changes: Vec<_> = (1..)
                .zip(undoes)
                .map(|(number, undoes)| Change {
                    number,
                    time: 0,
                    by: String::new(),
                    what: String::new(),
                    undoes: *undoes,
                })
                .collect();
            last_made(&changes).map(|change| change.number)
        };
        assert_eq!(made(&[]), None);
        assert_eq!(made(&[None, None]), Some(2));
        assert_eq!(made(&[None, None, Some(2)]), Some(1));
        assert_eq!(made(&[None, None, Some(2), Some(1)]), None);
        assert_eq!(made(&[None, None, Some(1)]), None);
        assert_eq!(made(&[None, None, Some(2), None]), Some(4));
    }
}
