//! State that a running service writes down for the next one and for `recover`: a folder below `/run`.
//!
//! - `lock` is held by the service that lives, and by no other. It says which process that is, and when it began.
//! - `zone.json` says what it guards and where its parts are.
//! - `verifier.log` is what the kernel's verifier said, if it refused the driver.
//! - `fallback.json` says what judges where no driver does (see [`crate::fallback`]).
//! - `lists.json` says which lists are to be fetched, for who fetches them.
//! - `answers.json` says who gave the answers that the kernel has.
//! - `confirmed.toml` and `candidate.toml` are the texts of the rules that the kernel has, each with its generation.

use crate::folders;
use crate::living;
use crate::load_error::KEPT;
use crate::troubles::Trouble;
use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Places of a service and of the zone that it guards.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenZone {
    /// The zone's network namespace; none: the one that it was started in.
    pub netns: Option<PathBuf>,
    /// The zone's control group.
    pub cgroup: PathBuf,
    /// Folder in which the kernel keeps the driver's pins.
    pub pins: PathBuf,
    /// Paths at which clients find the service: the device's socket and the control socket.
    pub sockets: Vec<PathBuf>,
}

/// A rule text that the kernel has a generation of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptText {
    pub generation: u32,
    /// Name that the rule file had.
    pub name: String,
    pub text: String,
}

/// Slot of a rule text: the confirmed one or the candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleSlot {
    Confirmed,
    Candidate,
}

/// The folder, held by the service that lives.
pub struct State {
    folder: PathBuf,
    /// Lock of the folder, or `None` if the folder can't be used and nothing is held.
    lock: Option<Flock<File>>,
    /// Errors of what could not be written, by the path that it belongs to.
    unwritten: Mutex<BTreeMap<PathBuf, String>>,
    trouble: Trouble,
}

impl State {
    /// Takes the folder. One that can't be used, because a disk is full or read-only,
    /// is trouble and no reason to guard nothing.
    ///
    /// # Errors
    /// Another service lives there, or others than root can write there.
    pub fn take(folder: &Path) -> Result<Self> {
        let state = |lock, failed: Option<String>| {
            let failed = failed.map(|said| (folder.join(LOCK), said));
            let state = Self {
                folder: folder.to_owned(),
                lock,
                unwritten: Mutex::new(failed.into_iter().collect()),
                trouble: Trouble::default(),
            };
            state.say(&state.unwritten());
            state
        };
        let made = fs::create_dir_all(folder);
        if folder.exists() {
            folders::check(folder)?;
        }
        match made.and_then(|()| lock(folder)) {
            Ok(Some(lock)) => {
                // Before anything takes its time: what is written there is a dead service's,
                // whose number may be another's by now.
                let said = say_who(&lock).err();
                let failed = said.map(|cause| unwritten(folder, &cause.into()));
                // It speaks of an earlier start, if it is there.
                let _not_there = fs::remove_file(folder.join(KEPT));
                Ok(state(Some(lock), failed))
            }
            Ok(None) => bail!(
                "another service lives in {}; stop it first, or name another folder with --state",
                folder.display()
            ),
            Err(cause) => Ok(state(None, Some(unwritten(folder, &cause.into())))),
        }
    }

    /// Returns the trouble that says why the next service will not know what it should.
    pub fn trouble(&self) -> &Trouble {
        &self.trouble
    }

    /// Reports the first of the paths that could not be written: it names the folder and the cause for all.
    fn say(&self, unwritten: &BTreeMap<PathBuf, String>) {
        self.trouble.stands(unwritten.values().next().cloned());
    }

    /// Writes down where the service is.
    pub fn write(&self, written: &WrittenZone) {
        let text = serde_json::to_string_pretty(written).unwrap_or_default();
        self.put(&self.folder.join(ZONE), &format!("{text}\n"));
    }

    /// Keeps a rule text beside the kernel's tables.
    pub fn keep(&self, which: RuleSlot, kept: &KeptText) {
        let KeptText {
            generation,
            name,
            text,
        } = kept;
        // One line of our own before the text; a name with a line's end in it is none that a file has.
        let name = name.replace('\n', " ");
        self.put(&self.path(which), &format!("{generation} {name}\n{text}"));
    }

    /// Says which lists are to be fetched; none: nothing is left to be read.
    pub fn keep_wanted(&self, text: Option<&str>) {
        let path = self.folder.join(WANTED);
        match text {
            Some(text) => self.put(&path, text),
            None => {
                let _not_there = fs::remove_file(&path);
                self.is_written(&path);
            }
        }
    }

    /// Keeps who gave the answers that the driver has.
    pub fn keep_answers(&self, text: &str) {
        self.put(&self.folder.join(ANSWERS), text);
    }

    /// Reads the answers that an earlier service kept.
    pub fn answers(&self) -> Option<String> {
        fs::read_to_string(self.folder.join(ANSWERS)).ok()
    }

    fn put(&self, path: &Path, text: &str) {
        if self.lock.is_none() {
            return;
        }
        let mut unwritten = self.unwritten();
        // Of what else could not be written this says nothing.
        match replace(path, text.as_bytes()) {
            Ok(()) => unwritten.remove(path),
            Err(cause) => unwritten.insert(path.to_owned(), self::unwritten(&self.folder, &cause)),
        };
        self.say(&unwritten);
    }

    /// Notes that nothing is wrong any more with the file at this path.
    fn is_written(&self, path: &Path) {
        let mut unwritten = self.unwritten();
        unwritten.remove(path);
        self.say(&unwritten);
    }

    fn unwritten(&self) -> MutexGuard<'_, BTreeMap<PathBuf, String>> {
        self.unwritten
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The text of this generation, if it was kept.
    pub fn kept(&self, which: RuleSlot, generation: u32) -> Option<KeptText> {
        let kept = fs::read_to_string(self.path(which)).ok()?;
        let (first, text) = kept.split_once('\n')?;
        let (number, name) = first.split_once(' ')?;
        let number: u32 = number.parse().ok()?;
        (number == generation).then(|| KeptText {
            generation,
            name: name.to_owned(),
            text: text.to_owned(),
        })
    }

    /// Forgets a text.
    pub fn forget(&self, which: RuleSlot) {
        // Not there is as good.
        let path = self.path(which);
        let _not_there = fs::remove_file(&path);
        self.is_written(&path);
    }

    fn path(&self, which: RuleSlot) -> PathBuf {
        self.folder.join(match which {
            RuleSlot::Confirmed => CONFIRMED,
            RuleSlot::Candidate => CANDIDATE,
        })
    }
}

fn unwritten(folder: &Path, cause: &anyhow::Error) -> String {
    format!(
        "nothing can be written down in {} for the next service and for `gatebell recover`: {cause:#}; make room or mend the \
         folder, then `systemctl restart gatebell`",
        folder.display()
    )
}

/// Reads the zone that was written down in this folder last, or returns `None` if nothing there can be read.
pub fn read(folder: &Path) -> Option<WrittenZone> {
    serde_json::from_str(&fs::read_to_string(folder.join(ZONE)).ok()?).ok()
}

/// Returns whether a service lives that has this folder.
pub fn is_held(folder: &Path) -> bool {
    folder.join(LOCK).exists() && lock(folder).is_ok_and(|lock| lock.is_none())
}

/// Process, told by its start from a later one that has its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    pub pid: u32,
    /// Start of the process, in clock ticks since the kernel's start.
    pub start: u64,
}

/// Reads from the lock which process has this folder. That process may have ended.
pub fn holder(folder: &Path) -> Option<Holder> {
    let said = fs::read_to_string(folder.join(LOCK)).ok()?;
    let (pid, start) = said.trim_end().split_once(' ')?;
    Some(Holder {
        pid: pid.parse().ok()?,
        start: start.parse().ok()?,
    })
}

/// Has the lock say that it is ours.
fn say_who(mut lock: &File) -> io::Result<()> {
    let pid = std::process::id();
    let start = living::start_of(pid).ok_or(io::ErrorKind::NotFound)?;
    lock.set_len(0)?;
    writeln!(lock, "{pid} {start}")
}

/// Takes away what a service wrote down, and the folder if nothing else is in it. Says what went.
pub fn remove(folder: &Path) -> Result<Vec<String>> {
    let mut said = Vec::new();
    for name in [ZONE, CONFIRMED, CANDIDATE, KEPT, LOCK] {
        let path = folder.join(name);
        match fs::remove_file(&path) {
            Ok(()) => said.push(path.display().to_string()),
            Err(none) if none.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(error).with_context(|| format!("can't remove {}", path.display()));
            }
        }
    }
    // Where no other folder was named, the service keeps what was good here too.
    match fs::remove_dir_all(folder.join(KEPT_HERE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("can't empty {}", folder.display()));
        }
        _ => {}
    }
    // Others may keep things there.
    let _not_empty = fs::remove_dir(folder);
    Ok(said)
}

/// Replaces a file as a whole.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    store::replace(path, bytes).with_context(|| format!("can't write {}", path.display()))
}

/// Name of the folder in which what was good is kept, unless the command line names another folder.
pub const KEPT_HERE: &str = "kept";
/// Name of the folder in which the program that fetches lists leaves them, unless the command line names another.
pub const FETCHED_HERE: &str = "lists";
const ZONE: &str = "zone.json";
const CONFIRMED: &str = "confirmed.toml";
const CANDIDATE: &str = "candidate.toml";
const ANSWERS: &str = "answers.json";
const WANTED: &str = "lists.json";
const LOCK: &str = "lock";

/// Locks the folder, or returns `None` if another process has the lock.
fn lock(folder: &Path) -> io::Result<Option<Flock<File>>> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(folder.join(LOCK))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, other)) => Err(other.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_again_by_its_generation_alone_and_what_is_not_written_is_trouble_until_it_is()
     {
        let own = tempfile::tempdir().expect("a folder of our own");
        let folder = own.path().join("state");
        let state = State::take(&folder).expect("a folder in it");
        assert!(is_held(&folder) && State::take(&folder).is_err());
        let kept = |generation| KeptText {
            generation,
            name: "a b.toml".into(),
            text: "x = 1\ny = 2\n".into(),
        };
        state.keep(RuleSlot::Candidate, &kept(7));
        assert!(!state.trouble().holds());
        assert_eq!(state.kept(RuleSlot::Candidate, 7), Some(kept(7)));
        assert_eq!(state.kept(RuleSlot::Candidate, 8), None);
        assert_eq!(state.kept(RuleSlot::Confirmed, 7), None);
        let zone = folder.join(ZONE);
        // A folder in a file's place can't be replaced by one.
        fs::create_dir_all(zone.join("in the way")).expect("our own");
        state.write(&WrittenZone::default());
        assert!(state.trouble().holds());
        state.keep(RuleSlot::Candidate, &kept(8));
        assert!(state.trouble().holds(), "something else is written");
        fs::remove_dir_all(&zone).expect("our own");
        state.write(&WrittenZone::default());
        assert!(!state.trouble().holds());
        drop(state);
        assert!(!is_held(&folder));
        remove(&folder).expect("it can be removed");
        assert!(!folder.exists());
    }
}
