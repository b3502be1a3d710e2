//! The files of programs: which one runs where before the driver sees it start, and which of those that rules name were
//! replaced. An upgrade writes a new file under the old name, and the kernel knows files, not names.

use crate::driver::Driver;
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use rules::{Program, Resolver, SystemResolver};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

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

/// An upgrade changes many files; they are looked at together once it has been quiet for so long.
const SETTLED: Duration = Duration::from_millis(500);

/// Watches the folders of the programs that rules name.
pub struct Watch {
    kernel: Inotify,
    folders: BTreeMap<PathBuf, WatchDescriptor>,
    due: Option<Instant>,
}

impl Watch {
    pub fn new() -> nix::Result<Self> {
        let kernel = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        Ok(Self {
            kernel,
            folders: BTreeMap::new(),
            due: None,
        })
    }

    /// Watches for these programs and for no others.
    pub fn follow<'a>(&mut self, programs: impl Iterator<Item = &'a Program>) {
        let wanted: BTreeSet<PathBuf> = programs
            .map(|program| Path::new(&program.path))
            .filter(|path| path.is_absolute())
            .flat_map(folders)
            .collect();
        let kernel = &self.kernel;
        self.folders.retain(|folder, watch| {
            let keep = wanted.contains(folder);
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
            | AddWatchFlags::IN_ONLYDIR;
        for folder in wanted {
            if !self.folders.contains_key(&folder) {
                // No such folder: the program is not installed, which the rules have warned of.
                if let Ok(watch) = self.kernel.add_watch(&folder, changes) {
                    self.folders.insert(folder, watch);
                }
            }
        }
    }

    /// When there is something to look at.
    pub fn due(&self) -> Option<Duration> {
        self.due
            .map(|due| due.saturating_duration_since(Instant::now()))
    }

    /// Whether something changed in these folders and has come to rest.
    pub fn changed(&mut self) -> bool {
        if self.rang() {
            self.due = Some(Instant::now() + SETTLED);
        }
        self.due.take_if(|due| Instant::now() >= *due).is_some()
    }

    fn rang(&self) -> bool {
        let mut rang = false;
        loop {
            match self.kernel.read_events() {
                Ok(_) => rang = true,
                Err(Errno::EINTR) => {}
                Err(_) => return rang,
            }
        }
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.kernel.as_fd()
    }
}

/// The folder of a program, and that of the file which it is a link to.
fn folders(program: &Path) -> impl Iterator<Item = PathBuf> {
    let target = fs::canonicalize(program).ok();
    let here = program.parent().map(Path::to_owned);
    here.into_iter()
        .chain(target.and_then(|target| target.parent().map(Path::to_owned)))
}
