//! The files of programs: which one runs where before the driver sees it start, and which of those that rules name were
//! replaced. An upgrade writes a new file under the old name, and the kernel knows files, not names.

use crate::driver::Driver;
use crate::troubles::Trouble;
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use rules::{Program, Resolver, Rules, SystemResolver};
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};
use tracing::error;

/// Tells the driver the paths of programs that run already. What can't be read has ended, or is the kernel's own.
pub fn name_running(driver: &Driver) {
    let machine = SystemResolver::beside(Path::new("/"));
    let mut seen = BTreeSet::new();
    for process in fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
    {
        let file = process.path().join("exe");
        let Ok(path) = fs::read_link(&file) else {
            continue;
        };
        if !seen.insert(path.clone()) {
            continue;
        }
        if let (Some(id), Some(path)) = (machine.program(&file.to_string_lossy()), path.to_str()) {
            // It is a name for people: without it they see a number.
            let _no_name = driver.name_program(id, path);
        }
    }
}

/// Creation times of files, as their file systems have them, by the files' numbers: the number of a file that is gone
/// is given to another file, and who runs that is not who ran before.
#[derive(Clone, Debug, Default)]
pub struct Births(BTreeMap<[u64; 2], SystemTime>);

impl Births {
    /// The files that something runs from now. Where the file system does not say when one
    /// was made, it is there without.
    pub fn of_running() -> (BTreeSet<[u64; 2]>, Self) {
        let machine = SystemResolver::beside(Path::new("/"));
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let (mut running, mut births) = (BTreeSet::new(), Self::default());
        for process in processes {
            let file = process.path().join("exe");
            let Some(id) = file.to_str().and_then(|file| machine.program(file)) else {
                continue;
            };
            if running.insert(id)
                && let Some(birth) = birth(&file)
            {
                births.0.insert(id, birth);
            }
        }
        (running, births)
    }

    /// Notes when the file was made to which this path leads, if it is the one of this number.
    pub fn note(&mut self, id: [u64; 2], path: &str, machine: &dyn Resolver) {
        let birth = birth(Path::new(path));
        // The path may lead elsewhere by now.
        if let Some(birth) = birth.filter(|_| machine.program(path) == Some(id)) {
            self.0.insert(id, birth);
        }
    }

    /// Forgets all but these.
    pub fn retain(&mut self, wanted: impl Fn(&[u64; 2]) -> bool) {
        self.0.retain(|id, _| wanted(id));
    }

    /// Returns whether the file of this number may be the same in both. An unknown creation time is no difference.
    fn same(&self, other: &Self, id: &[u64; 2]) -> bool {
        match (self.0.get(id), other.0.get(id)) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        }
    }
}

fn birth(file: &Path) -> Option<SystemTime> {
    fs::metadata(file).and_then(|about| about.created()).ok()
}

/// Files from which something runs now, compared with the creation times that are known.
pub struct Running<'a> {
    known: &'a Births,
    now: OnceCell<(BTreeSet<[u64; 2]>, Births)>,
}

impl<'a> Running<'a> {
    /// Looked at when it is asked for first.
    pub const fn of(known: &'a Births) -> Self {
        Self {
            known,
            now: OnceCell::new(),
        }
    }

    /// Returns whether something runs from this file, and not from another one that has its number by now.
    pub fn is_from(&self, file: &[u64; 2]) -> bool {
        let (running, births) = self.now.get_or_init(Births::of_running);
        running.contains(file) && self.known.same(births, file)
    }
}

/// Has the rules match what their programs' paths led to before, as far as something still runs from there.
pub fn keep_former<'a>(
    rules: &mut Rules,
    known: impl Iterator<Item = &'a Program>,
    births: &Births,
) {
    let mut before: BTreeMap<&str, BTreeSet<[u64; 2]>> = BTreeMap::new();
    for program in known {
        let files = before.entry(&program.path).or_default();
        files.extend(program.identities());
    }
    let running = Running::of(births);
    let former = |program: &Program| {
        let others = before.get(program.path.as_str()).into_iter().flatten();
        let others = others.filter(|id| Some(**id) != program.identity);
        others.filter(|id| running.is_from(id)).copied().collect()
    };
    if let Err(too_large) = rules.match_former(former) {
        error!("programs that were replaced while they run are not matched any more: {too_large}");
    }
}

/// Returns whether nothing runs from one of these files any more.
pub fn any_ended<'a>(mut files: impl Iterator<Item = &'a [u64; 2]>, births: &Births) -> bool {
    let running = Running::of(births);
    files.any(|file| !running.is_from(file))
}

/// An upgrade changes many files; they are looked at together once it has been quiet for so long,
const SETTLED: Duration = Duration::from_millis(500);
/// or once so much time has passed, whoever goes on to change things there.
const AT_LAST: Duration = Duration::from_secs(2);
/// Links that are followed on the way to a file; the kernel follows as many.
const MOST_LINKS: usize = 40;

/// Interval of looking whether a program was replaced, where the kernel does not watch for us.
const GLANCE: Duration = Duration::from_secs(30);

/// Watches every place on the way to the programs that rules name:
/// each folder for the one name that leads on, each link too.
pub struct ProgramWatch {
    open: fn() -> nix::Result<Inotify>,
    /// Inotify instance, or `None` if the kernel gives us none.
    kernel: Option<Inotify>,
    /// Moment of the next look, if the kernel does not watch everything.
    blind: Option<Instant>,
    trouble: Trouble,
    folders: BTreeMap<PathBuf, WatchDescriptor>,
    /// Names that count, by the folder in which they are watched.
    names: BTreeMap<PathBuf, BTreeSet<OsString>>,
    due: Option<Instant>,
    /// Latest moment of the look that is due, whatever else happens.
    at_last: Option<Instant>,
}

impl ProgramWatch {
    /// Returns a watch that watches nothing before it [follows](Self::follow) programs.
    pub fn new() -> Self {
        Self::opened_by(|| Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK))
    }

    fn opened_by(open: fn() -> nix::Result<Inotify>) -> Self {
        Self {
            open,
            kernel: None,
            blind: None,
            trouble: Trouble::default(),
            folders: BTreeMap::new(),
            names: BTreeMap::new(),
            due: None,
            at_last: None,
        }
    }

    /// Returns the trouble that says why a replaced program may be taken for another one for up to half a minute.
    pub fn trouble(&self) -> &Trouble {
        &self.trouble
    }

    /// Returns the descriptor by which the kernel wakes the main loop, or `None` if it does not.
    pub fn waker(&self) -> Option<BorrowedFd<'_>> {
        self.kernel.as_ref().map(AsFd::as_fd)
    }

    fn be_blind(&mut self, failed: Errno) {
        let why = format!(
            "the kernel does not watch the files of programs that rules name ({failed}): it is looked every {} s whether one was \
             replaced; raise fs.inotify.max_user_instances or fs.inotify.max_user_watches",
            GLANCE.as_secs()
        );
        self.trouble.stands([why]);
        self.blind = Some(Instant::now() + GLANCE);
    }

    /// Watches for these programs and for no others.
    pub fn follow<'a>(&mut self, programs: impl Iterator<Item = &'a Program>) {
        self.names = BTreeMap::new();
        for program in programs.filter(|program| program.path.starts_with('/')) {
            way_to(Path::new(&program.path), &mut self.names);
        }
        if self.kernel.is_none() {
            match (self.open)() {
                Ok(kernel) => self.kernel = Some(kernel),
                Err(failed) => self.be_blind(failed),
            }
        }
        let (Some(kernel), names) = (&self.kernel, &self.names) else {
            return;
        };
        let mut unwatched = None;
        self.folders.retain(|folder, watch| {
            let keep = names.contains_key(folder);
            if !keep {
                // A folder that is gone takes its watch along.
                let _gone = kernel.rm_watch(*watch);
            }
            keep
        });
        let changes = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        for folder in self.names.keys() {
            // Another folder may have its name by now, and the kernel says the same number for the same one. No such
            // folder: the program is not installed, which the rules have warned of.
            match kernel.add_watch(folder, changes) {
                Ok(watch) => drop(self.folders.insert(folder.clone(), watch)),
                Err(failed) => {
                    self.folders.remove(folder);
                    let is_full = matches!(failed, Errno::ENOSPC | Errno::ENOMEM);
                    unwatched = unwatched.or(is_full.then_some(failed));
                }
            }
        }
        match unwatched {
            Some(failed) => self.be_blind(failed),
            None => {
                self.blind = None;
                self.trouble.is_over();
            }
        }
    }

    /// Returns the time until there is something to look at, or `None` if nothing is due.
    pub fn due(&self) -> Option<Duration> {
        let due = self.due.into_iter().chain(self.blind).min();
        due.map(|due| due.saturating_duration_since(Instant::now()))
    }

    /// Returns whether something changed on the way to a program and has come to rest,
    /// or has gone on changing for too long.
    pub fn changed(&mut self) -> bool {
        if self.rang() {
            let now = Instant::now();
            let at_last = *self.at_last.get_or_insert(now + AT_LAST);
            self.due = Some(at_last.min(now + SETTLED));
        }
        let changed = self.due.take_if(|due| Instant::now() >= *due).is_some();
        if changed {
            self.at_last = None;
        }
        let looks = self.blind.as_mut().is_some_and(|look| {
            let looks = Instant::now() >= *look;
            if looks {
                *look = Instant::now() + GLANCE;
            }
            looks
        });
        changed || looks
    }

    fn rang(&self) -> bool {
        let mut rang = false;
        let Some(kernel) = &self.kernel else {
            return false;
        };
        loop {
            match kernel.read_events() {
                Ok(events) => rang |= events.iter().any(|event| self.counts(event)),
                Err(Errno::EINTR) => {}
                Err(_) => return rang,
            }
        }
    }

    /// Returns whether an event counts. One without a name happened to a folder itself,
    /// or is more than the kernel keeps.
    fn counts(&self, event: &InotifyEvent) -> bool {
        let Some(name) = &event.name else {
            return true;
        };
        let at = self.folders.iter().filter(|(_, watch)| **watch == event.wd);
        let mut names = at.filter_map(|(folder, _)| self.names.get(folder));
        names.any(|names| names.contains(name))
    }
}

/// Notes each folder on the way to a file, with the name in it that leads on. Links lead on by their own names.
fn way_to(file: &Path, names: &mut BTreeMap<PathBuf, BTreeSet<OsString>>) {
    let mut here = PathBuf::from("/");
    let mut rest: Vec<OsString> = steps(file);
    let mut links = 0;
    while let Some(step) = rest.pop() {
        if step == ".." {
            here.pop();
            continue;
        }
        names.entry(here.clone()).or_default().insert(step.clone());
        let next = here.join(&step);
        match fs::read_link(&next) {
            Ok(target) if links < MOST_LINKS => {
                links += 1;
                if target.is_absolute() {
                    here = PathBuf::from("/");
                }
                rest.extend(steps(&target));
            }
            _ => here = next,
        }
    }
}

/// A path's steps, the last one first.
fn steps(path: &Path) -> Vec<OsString> {
    let step = |part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    };
    path.components().rev().filter_map(step).collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use tempfile::{TempDir, tempdir};

    /// Two versions of a program, and a link to the first.
    fn versions() -> TempDir {
        let own = tempdir().unwrap();
        let folder = own.path();
        for version in ["v1", "v2"] {
            fs::create_dir(folder.join(version)).unwrap();
            fs::write(folder.join(version).join("tool"), version).unwrap();
        }
        symlink("v1", folder.join("current")).unwrap();
        own
    }

    fn program(path: &Path) -> Program {
        Program {
            path: path.to_str().unwrap().to_owned(),
            identity: None,
            former: Vec::new(),
        }
    }

    #[test]
    fn a_link_on_the_way_to_a_program_is_watched_and_what_happens_beside_it_is_not() {
        let own = versions();
        let folder = own.path();
        let mut watch = ProgramWatch::new();
        watch.follow([program(&folder.join("current/tool"))].iter());
        fs::write(folder.join("beside"), "").unwrap();
        fs::write(folder.join("v1/beside"), "").unwrap();
        assert!(!watch.rang());
        symlink("v2", folder.join("next")).unwrap();
        fs::rename(folder.join("next"), folder.join("current")).unwrap();
        assert!(watch.rang());
        watch.follow([program(&folder.join("current/tool"))].iter());
        fs::remove_file(folder.join("v2/tool")).unwrap();
        assert!(watch.rang());
        own.close().unwrap();
        assert!(watch.rang());
    }

    #[test]
    fn whoever_goes_on_to_change_things_does_not_keep_a_change_from_being_looked_at() {
        let own = versions();
        let folder = own.path();
        let mut watch = ProgramWatch::new();
        let tool = folder.join("v1/tool");
        watch.follow([program(&tool)].iter());
        let end = Instant::now() + AT_LAST * 10;
        let mut changed = false;
        while !changed && Instant::now() < end {
            fs::rename(&tool, folder.join("v1/other")).unwrap();
            fs::rename(folder.join("v1/other"), &tool).unwrap();
            changed = watch.changed();
        }
        assert!(changed);
    }

    #[test]
    fn what_the_kernel_does_not_watch_is_looked_at_from_time_to_time_and_is_trouble_until_it_does()
    {
        let mut watch = ProgramWatch::opened_by(|| Err(Errno::EMFILE));
        assert!(watch.waker().is_none() && !watch.trouble().holds());
        let program = program(Path::new("/bin/sh"));
        watch.follow([&program].into_iter());
        let why = watch.trouble().said();
        assert!(why[0].detail.contains("max_user_instances"), "{why:?}");
        assert!(watch.due().is_some_and(|due| due <= GLANCE));
        assert!(!watch.changed(), "not at every turn");
        watch.blind = Some(Instant::now());
        assert!(watch.changed() && !watch.changed());
        watch.open = || Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK);
        watch.follow([&program].into_iter());
        assert!(!watch.trouble().holds());
        assert!(watch.waker().is_some() && watch.due().is_none());
    }

    #[test]
    fn a_program_is_matched_as_the_file_that_it_runs_from_until_it_ends() {
        let machine = SystemResolver::beside(Path::new("/"));
        let ours = machine.program("/proc/self/exe").unwrap();
        let text = "[default]\ninbound = \"block\"\noutbound = \"allow\"\n[[rule]]\nid = \"x\"\naction = \"block\"\nprogram = \"/bin/sh\"\n";
        let mut rules = rules::parse("r", text, &machine).unwrap();
        let mut known = rules.iter().next().unwrap().programs[0].clone();
        known.former = vec![ours, [7, 7]];
        let mut births = Births::default();
        births.note(ours, "/proc/self/exe", &machine);
        keep_former(&mut rules, [&known].into_iter(), &births);
        let kept = rules.iter().next().unwrap().programs[0].clone();
        assert_eq!(kept.former, [ours], "nothing runs from the other one");
        assert!(!any_ended(kept.former.iter(), &births));
        assert!(any_ended(known.former.iter(), &births));
        // What was known by this number was another file, that is gone.
        births.0.insert(ours, SystemTime::UNIX_EPOCH);
        assert!(any_ended(kept.former.iter(), &births));
        keep_former(&mut rules, [&known].into_iter(), &births);
        assert!(rules.iter().next().unwrap().programs[0].former.is_empty());
    }

    #[test]
    fn a_file_that_has_the_number_of_one_that_is_gone_is_another_program() {
        let own = versions();
        let folder = own.path();
        let machine = SystemResolver::beside(Path::new("/"));
        let sleep = fs::canonicalize("/bin/sleep").unwrap();
        let (tool, next) = (folder.join("v1/tool"), folder.join("v1/next"));
        let (path, next_path) = (tool.to_str().unwrap(), next.to_str().unwrap());
        fs::copy(&sleep, &tool).unwrap();
        let old = machine.program(path).unwrap();
        let mut births = Births::default();
        births.note(old, path, &machine);
        fs::write(folder.join("v1/newer"), "").unwrap();
        fs::rename(folder.join("v1/newer"), &tool).unwrap();
        births.note(old, path, &machine);
        // A file system may give the number to the next file, and need not.
        let reused = (0..200).any(|n| {
            fs::copy(&sleep, &next).unwrap();
            machine.program(next_path) == Some(old) || {
                fs::rename(&next, folder.join(format!("v2/{n}"))).unwrap();
                false
            }
        });
        if reused {
            let mut runs = std::process::Command::new(&next).arg("60").spawn().unwrap();
            let running = Running::of(&births);
            let is_taken_for_it = running.is_from(&old);
            runs.kill().unwrap();
            runs.wait().unwrap();
            assert!(!is_taken_for_it, "it was made later");
        } else {
            println!("skipped: this file system gives no number again");
        }
    }
}
