//! Word of NetworkManager's connections: which one a device has, and its name, are written into two folders, after the
//! routes have changed.

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use rules::CONNECTION_FOLDERS;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// Files are replaced by others of their name, or removed.
const CHANGES: AddWatchFlags = AddWatchFlags::IN_MOVED_TO
    .union(AddWatchFlags::IN_CLOSE_WRITE)
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_ONLYDIR);

/// Listener for changes in those folders. Where the kernel gives none, changes are seen at the next look.
pub struct ConnectionWatch(Inotify);

impl ConnectionWatch {
    /// Begins to listen in the folders that are there.
    ///
    /// # Errors
    /// The kernel gives nothing to listen with.
    pub fn listen() -> Result<Self, Errno> {
        let watch = Self(Inotify::init(
            InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC,
        )?);
        watch.listen_again();
        Ok(watch)
    }

    /// Listens also in folders that have come since: without NetworkManager there is none.
    pub fn listen_again(&self) {
        for folder in CONNECTION_FOLDERS {
            let _there_is_none = self.0.add_watch(Path::new(folder), CHANGES);
        }
    }

    /// Takes some of what has changed, and returns whether anything has.
    #[must_use]
    pub fn takes_word(&self) -> bool {
        self.0.read_events().is_ok()
    }
}

impl AsFd for ConnectionWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
