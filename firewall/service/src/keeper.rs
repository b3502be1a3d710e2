//! Keeps what was good on disk: the last good rules, and a copy of each list that was one. A thread of its own writes,
//! for a disk may be slow and a list large.
//!
//! Rule that holds here: what could not be written stays handed in, is tried again, and is trouble until it is written
//! or something newer takes its place. What else is written meanwhile says nothing about it.

use crate::capabilities;
use crate::folders;
use crate::last_good::{self, LastGood};
use crate::state::replace;
use crate::troubles::Trouble;
use crate::user_names;
use anyhow::Context;
use firewall_abi::members::number_of;
use rules::{FileMark, Resolver, SetFile, SystemResolver, copy_name, file_mark, list_entries};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Folder in which what was good is kept, unless the command line says otherwise.
pub const FOLDER: &str = "/var/lib/gatebell";
/// The last good rules, in the folder for what is kept.
const RULES: &str = "last-good";
/// The folder for copies of lists there.
const LISTS: &str = "lists";

/// The folder for copies of lists that were fetched, which members of the group may read.
const FETCHED: &str = "fetched";

/// Time after which a failed write is tried again.
const AGAIN: Duration = Duration::from_secs(10);

/// Handle of the thread that keeps good things. Dropped, all that was handed in is on the disk.
pub struct Keeper {
    folder: PathBuf,
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    trouble: Trouble,
}

enum Job {
    Rules(Box<LastGood>),
    List { path: PathBuf, bytes: Vec<u8> },
    Members(String),
}

impl Job {
    /// Returns whether this job is a newer one of the same, so that the other one need not be written any more.
    fn replaces(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Rules(_), Self::Rules(_)) | (Self::Members(_), Self::Members(_)) => true,
            (Self::List { path, .. }, Self::List { path: other, .. }) => path == other,
            _ => false,
        }
    }
}

impl Keeper {
    /// Opens this folder for what is kept, and starts the thread that writes there.
    pub fn open(folder: &Path) -> Self {
        Self::trying_again(folder, AGAIN)
    }

    fn trying_again(folder: &Path, again: Duration) -> Self {
        let (jobs, work) = channel();
        let trouble = Trouble::default();
        let (told, at) = (trouble.clone(), folder.to_owned());
        let thread = std::thread::Builder::new()
            .name("keeper".to_owned())
            .spawn(move || write_all(&at, &work, &told, again));
        if let Err(cause) = &thread {
            trouble.stands([format!(
                "nothing is kept for the next start: {cause}; restart the service"
            )]);
        }
        Self {
            folder: folder.to_owned(),
            jobs: Some(jobs),
            thread: thread.ok(),
            trouble,
        }
    }

    /// Keeps these rules, unless the same text was kept when all that it names could be had and now it can't.
    pub fn keep(&self, good: LastGood) {
        self.hand_in(Job::Rules(Box::new(good)));
    }

    /// Keeps what has joined sets.
    pub fn keep_members(&self, text: String) {
        self.hand_in(Job::Members(text));
    }

    /// Reads the last good rules.
    ///
    /// # Errors
    /// Why there are none; the text says what is to be done.
    pub fn last_good(&self) -> Result<LastGood, String> {
        let path = self.folder.join(RULES);
        let said = |why: String| format!("{} can't be used: {why}", path.display());
        folders::check(&self.folder).map_err(|error| said(format!("{error:#}")))?;
        let bytes = fs::read(&path).map_err(|error| said(error.to_string()))?;
        last_good::read(&bytes).map_err(said)
    }

    /// Keeps this copy of the list that was fetched from this address, or none: what rules are read with from now on.
    ///
    /// # Errors
    /// It can't be written; the copy before stays.
    pub fn keep_fetched(&self, url: &str, list: Option<&[u8]>) -> anyhow::Result<()> {
        const TO_THE_GROUP: [u32; 2] = [0o750, 0o640];
        let folder = self.folder.join(FETCHED);
        folders::own(&self.folder)?;
        folders::own(&folder)?;
        fs::set_permissions(&folder, Permissions::from_mode(TO_THE_GROUP[0]))?;
        let file = folder.join(copy_name(url));
        let Some(list) = list else {
            return Ok(fs::remove_file(file)?);
        };
        let mut copy = url.as_bytes().to_vec();
        copy.push(b'\n');
        copy.extend_from_slice(list);
        replace(&file, &copy)?;
        Ok(fs::set_permissions(
            &file,
            Permissions::from_mode(TO_THE_GROUP[1]),
        )?)
    }

    /// Returns the trouble that says why something is not kept that should be.
    pub fn trouble(&self) -> &Trouble {
        &self.trouble
    }

    fn hand_in(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            // Without the thread nothing is kept, which was said.
            let _no_thread = jobs.send(job);
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            let _broke_down = thread.join();
        }
    }
}

fn write_all(folder: &Path, work: &Receiver<Job>, trouble: &Trouble, again: Duration) {
    if let Err(cause) = capabilities::give_up() {
        trouble.stands([format!(
            "nothing is kept for the next start: giving up capabilities: {cause}; restart the service"
        )]);
        return;
    }
    let mut unwritten: Vec<Job> = Vec::new();
    loop {
        let next = if unwritten.is_empty() {
            work.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            work.recv_timeout(again)
        };
        let ends = matches!(next, Err(RecvTimeoutError::Disconnected));
        if let Ok(job) = next {
            unwritten.retain(|old| !job.replaces(old));
            unwritten.push(job);
        }
        let mut failed = None;
        unwritten.retain(|job| match write(folder, job) {
            Ok(()) => false,
            Err(cause) => {
                failed.get_or_insert(cause);
                true
            }
        });
        trouble.stands(failed.as_ref().map(unkept));
        if ends {
            return;
        }
    }
}

/// Formats the message about the first failure.
fn unkept(cause: &anyhow::Error) -> String {
    format!(
        "what holds now is not kept for the next start: {cause:#}; make room or mend the folder: it is tried again by itself"
    )
}

fn write(folder: &Path, job: &Job) -> anyhow::Result<()> {
    folders::own(folder)?;
    match job {
        Job::Rules(good) => {
            let path = folder.join(RULES);
            let before = fs::read(&path)
                .ok()
                .and_then(|bytes| last_good::read(&bytes).ok());
            if good.troubled && before.is_some_and(|old| !old.troubled && old.text == good.text) {
                return Ok(());
            }
            let bytes = last_good::written(good).context("the rules have no tables")?;
            replace(&path, &bytes)
        }
        Job::Members(text) => replace(&folder.join(crate::members::FILE), text.as_bytes()),
        Job::List { path, bytes } => {
            let lists = folder.join(LISTS);
            folders::own(&lists)?;
            let mut copy = path.as_os_str().as_encoded_bytes().to_vec();
            copy.push(b'\n');
            copy.extend_from_slice(bytes);
            replace(&lists.join(file_name(path)), &copy)
        }
    }
}

/// Resolver of this machine that has, for lists that are unreadable today, the copies from when they were good.
pub struct KeptLists<'a> {
    machine: SystemResolver,
    folder: PathBuf,
    keeper: &'a Keeper,
}

impl<'a> KeptLists<'a> {
    /// The machine, for a rule file at this path.
    pub fn beside(rule_file: &Path, keeper: &'a Keeper) -> Self {
        Self {
            machine: SystemResolver::beside(rule_file).with_fetched(&keeper.folder.join(FETCHED)),
            folder: rule_file.parent().unwrap_or(Path::new("")).to_owned(),
            keeper,
        }
    }

    /// The copy of the list at this path, and when it was made.
    fn copy(&self, path: &Path) -> Option<(Vec<u8>, u64)> {
        let copy = self.keeper.folder.join(LISTS).join(file_name(path));
        folders::check(&self.keeper.folder.join(LISTS)).ok()?;
        let made = fs::metadata(&copy).ok()?.modified().ok()?;
        let mut bytes = fs::read(&copy).ok()?;
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let list = bytes.split_off(end + 1);
        let is_its = bytes[..end] == *path.as_os_str().as_encoded_bytes();
        let seconds = made
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        is_its.then_some((list, seconds))
    }
}

impl Resolver for KeptLists<'_> {
    fn set_file(&self, path: &str) -> Result<SetFile, String> {
        let whole =
            std::path::absolute(self.folder.join(path)).unwrap_or_else(|_| self.folder.join(path));
        let found = self.machine.set_file(path);
        let copy = self.copy(&whole);
        // A file that is gone does not say who may read it.
        let confidential = found.as_ref().map_or(true, |file| file.confidential);
        let wrong = match &found {
            Err(why) => why.clone(),
            Ok(file) => match list_entries(file) {
                Ok(0) if copy.is_some() => format!("{} is empty", file.name),
                Err(why) => format!("{} is no list: {why}", file.name),
                Ok(_) => {
                    if copy.is_none_or(|(bytes, _)| bytes != file.bytes) {
                        self.keeper.hand_in(Job::List {
                            path: whole,
                            bytes: file.bytes.clone(),
                        });
                    }
                    return found;
                }
            },
        };
        let Some((bytes, made)) = copy else {
            return found;
        };
        Ok(SetFile {
            name: whole.display().to_string(),
            bytes,
            confidential,
            trouble: Some(format!(
                "{wrong}; the copy of {} is used, when it was a list: mend the file, then `systemctl reload gatebell`",
                ago(made)
            )),
        })
    }

    fn set_file_mark(&self, path: &str) -> Option<FileMark> {
        let whole = self.folder.join(path);
        let whole = std::path::absolute(&whole).unwrap_or(whole);
        let copy = file_mark(&self.keeper.folder.join(LISTS).join(file_name(&whole)))?;
        Some(self.machine.set_file_mark(path)?.with(copy))
    }

    fn fetched_mark(&self, url: &str) -> Option<FileMark> {
        self.machine.fetched_mark(url)
    }

    fn fetched(&self, url: &str) -> Result<Option<SetFile>, String> {
        // Before the first one there is no folder either.
        if !self.keeper.folder.join(FETCHED).exists() {
            return Ok(None);
        }
        self.machine.fetched(url)
    }

    fn user(&self, name: &str) -> Result<u32, String> {
        user_names::number(name)
    }

    fn other_users(&self) -> Vec<u32> {
        self.machine.other_users()
    }

    fn program(&self, path: &str) -> Option<[u64; 2]> {
        self.machine.program(path)
    }

    fn program_trouble(&self, path: &str) -> Option<String> {
        self.machine.program_trouble(path)
    }
}

/// Formats the time passed since then, given in seconds since 1970, for people.
pub fn ago(seconds: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let passed = now.unwrap_or_default().as_secs().saturating_sub(seconds);
    match passed {
        0..7_200 => format!("{} min ago", passed / 60),
        7_200..172_800 => format!("{} h ago", passed / 3_600),
        _ => format!("{} days ago", passed / 86_400),
    }
}

/// A name without slashes for any path, the same in each release; which path it is stands in the copy.
fn file_name(path: &Path) -> String {
    format!("{:016x}", number_of(&path.to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn within(what: &str, mut holds: impl FnMut() -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while !holds() {
            assert!(Instant::now() < end, "{what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn what_could_not_be_written_is_trouble_until_it_is_whatever_else_is_and_is_tried_again() {
        let own = tempfile::tempdir().expect("a folder of our own");
        let folder = own.path().join("state");
        let members = folder.join(crate::members::FILE);
        // A folder in a file's place can't be replaced by one.
        fs::create_dir_all(members.join("in the way")).expect("a folder of our own");
        folders::own(&folder).expect("it is ours");
        let keeper = Keeper::trying_again(&folder, Duration::from_millis(20));
        keeper.keep_members("old".to_owned());
        within("it is trouble", || keeper.trouble().holds());
        let list = |n: usize| Job::List {
            path: PathBuf::from(format!("/list {n}")),
            bytes: b"192.0.2.1".to_vec(),
        };
        (0..3).for_each(|n| keeper.hand_in(list(n)));
        let copies = || fs::read_dir(folder.join(LISTS)).map_or(0, Iterator::count);
        within("others are written", || copies() == 3);
        assert!(keeper.trouble().holds(), "the same is not");
        keeper.keep_members("new".to_owned());
        fs::remove_dir_all(&members).expect("out of the way");
        within("it is written without being asked", || {
            fs::read_to_string(&members).is_ok_and(|text| text == "new")
        });
        within("no trouble is left", || !keeper.trouble().holds());
        drop(keeper);
        let name = file_name(Path::new("/etc/gatebell/list.txt"));
        assert!(
            name == "1c0d67e0f1a16d12",
            "an earlier release's copies are found: {name}"
        );
    }
}
