//! The files that programs run from, looked at by a thread of its own: whose disk is slow, or a file system of whoever
//! runs it, holds up nothing but that thread.

use crate::capabilities;
use history::{Glances, Look};
use rules::{Resolver, SystemResolver};
use std::fs;
use std::os::linux::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use tracing::error;

/// Files that wait to be looked at. More are looked at another time.
const MOST: usize = 256;

/// A program's file: its path, and the number that the driver knows it by.
type Asked = (Arc<str>, [u64; 2]);

/// Handle of the thread that looks at programs' files.
pub struct ProgramFiles {
    ask: SyncSender<Asked>,
    hear: Receiver<(Asked, Look)>,
    glances: Glances,
}

impl ProgramFiles {
    /// Begins. Without it a program's file is known by its number alone.
    pub fn begin() -> Self {
        let (ask, asked) = sync_channel(MOST);
        let (tell, hear) = channel();
        let started = std::thread::Builder::new()
            .name("program files".to_owned())
            .spawn(move || look(&asked, &tell));
        if let Err(cause) = started {
            error!("nobody looks whether programs' files change: {cause}");
        }
        Self {
            ask,
            hear,
            glances: Glances::default(),
        }
    }

    /// Has somebody look at this file, unless that was done just now.
    pub fn look(&mut self, program: &Arc<str>, file: [u64; 2], now: u64) {
        if self.glances.is_due(program, now) {
            // Where too many wait, another time is as good.
            let _another_time = self.ask.try_send((program.clone(), file));
        }
    }

    /// Returns the results of looks at files since the last call.
    pub fn found(&self) -> Vec<([u64; 2], Arc<str>, Look)> {
        let found = self.hear.try_iter();
        found
            .map(|((program, file), look)| (file, program, look))
            .collect()
    }
}

fn look(asked: &Receiver<Asked>, tell: &Sender<(Asked, Look)>) {
    if let Err(cause) = capabilities::give_up() {
        error!("nobody looks whether programs' files change: giving up capabilities: {cause}");
        return;
    }
    for (program, file) in asked {
        if let Some(look) = look_at(&program, file)
            && tell.send(((program, file), look)).is_err()
        {
            return;
        }
    }
}

/// Returns size and time of the file, if the path leads to it: in a container it may lead to another one.
fn look_at(program: &str, file: [u64; 2]) -> Option<Look> {
    let machine = SystemResolver::beside(Path::new("/"));
    if machine.program(program)? != file {
        return None;
    }
    let found = fs::metadata(program).ok()?;
    let changed_ns = found.st_mtime().saturating_mul(1_000_000_000);
    Some(Look {
        size: found.st_size(),
        changed_ns: changed_ns.saturating_add(found.st_mtime_nsec()),
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn a_file_that_grows_or_is_written_again_is_another_look_and_no_other_file_is_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        fs::write(&path, "one").unwrap();
        let program: Arc<str> = path.to_str().unwrap().into();
        let machine = SystemResolver::beside(Path::new("/"));
        let file = machine.program(&program).unwrap();
        let first = look_at(&program, file).unwrap();
        assert_eq!((first.size, look_at(&program, file)), (3, Some(first)));
        assert_eq!(look_at(&program, [file[0], file[1] + 1]), None);
        fs::write(&path, "two!").unwrap();
        assert_ne!(look_at(&program, file), Some(first));
        let mut files = ProgramFiles::begin();
        files.look(&program, file, 100);
        let end = Instant::now() + Duration::from_secs(60);
        let found = loop {
            let found = files.found();
            if !found.is_empty() {
                break found;
            }
            assert!(Instant::now() < end, "nobody looks");
            std::thread::sleep(Duration::from_millis(5));
        };
        assert_eq!((found.len(), found[0].2.size), (1, 4));
    }
}
