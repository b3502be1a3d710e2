//! A folder that another user fills, who is believed in nothing: who fetches lists runs without privileges, and may
//! have been taken over by a server that it spoke to.
//!
//! Rules that hold here:
//! - Nothing is followed out of the folder: no link, no mount. Nothing is opened that could make us wait: no pipe, no
//!   device, no file system that a program answers for (FUSE).
//! - A file is its owner's who owns the folder, and no longer than said;
//!   what it holds is read once, and judged from that.

use crate::folders;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use nix::sys::statfs::{FUSE_SUPER_MAGIC, fstatfs};
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;

/// The folder, held open.
pub struct ForeignFolder {
    folder: OwnedFd,
    owner: u32,
}

/// Identity of a file's content: tells the file from another one that took its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileState {
    inode: u64,
    bytes: i64,
    changed: (i64, i64),
}

impl FileState {
    /// Returns the identity of the file with this status.
    pub const fn of(about: &FileStat) -> Self {
        Self {
            inode: about.st_ino,
            bytes: about.st_size,
            changed: (about.st_ctime, about.st_ctime_nsec),
        }
    }
}

impl ForeignFolder {
    /// Opens the folder at this path, or returns `None` if there is none yet.
    ///
    /// # Errors
    /// Others could put another one in its place, or a program answers for it.
    pub fn open(path: &Path) -> Result<Option<Self>, String> {
        let said =
            |cause: &dyn std::fmt::Display| format!("{} is not read: {cause}", path.display());
        // systemd has a link there, in a folder of root's, to one in another folder of root's.
        let Ok(whole) = fs::canonicalize(path) else {
            return Ok(None);
        };
        if let Some(above) = whole.parent() {
            folders::check(above).map_err(|error| said(&format!("{error:#}")))?;
        }
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let folder =
            nix::fcntl::open(&whole, flags, Mode::empty()).map_err(|cause| said(&cause))?;
        let about = fstat(&folder).map_err(|cause| said(&cause))?;
        let system = fstatfs(&folder).map_err(|cause| said(&cause))?;
        if system.filesystem_type() == FUSE_SUPER_MAGIC {
            return Err(said(&"a program answers for its file system"));
        }
        Ok(Some(Self {
            folder,
            owner: about.st_uid,
        }))
    }

    /// Returns the identity of this file, or `None` if there is none, or nothing that is read.
    pub fn state(&self, name: &str) -> Option<FileState> {
        self.open_file(name).ok().flatten().map(|(_, state)| state)
    }

    /// Reads this file and its identity, or returns `None` if there is none.
    ///
    /// # Errors
    /// It is nothing that is read; the text says why.
    pub fn read(&self, name: &str, most: u64) -> Result<Option<(FileState, Vec<u8>)>, String> {
        let Some((file, state)) = self.open_file(name)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        file.take(most.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|cause| cause.to_string())?;
        if bytes.len() as u64 > most {
            return Err(format!("it is larger than {} MiB", most.div_ceil(1 << 20)));
        }
        Ok(Some((state, bytes)))
    }

    fn open_file(&self, name: &str) -> Result<Option<(File, FileState)>, String> {
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let how = OpenHow::new().flags(flags).resolve(
            ResolveFlag::RESOLVE_BENEATH
                | ResolveFlag::RESOLVE_NO_SYMLINKS
                | ResolveFlag::RESOLVE_NO_XDEV,
        );
        // systemd has a unit do without where it may set no mode of another user (`RestrictSUIDSGID`).
        // There no mount of others shows.
        let opened = match openat2(&self.folder, name, how) {
            Err(Errno::ENOSYS) if !name.contains('/') => {
                openat(&self.folder, name, flags | OFlag::O_NOFOLLOW, Mode::empty())
            }
            opened => opened,
        };
        let file = match opened {
            Ok(file) => file,
            Err(Errno::ENOENT) => return Ok(None),
            Err(Errno::ELOOP | Errno::EXDEV) => {
                return Err("it leads out of its folder".to_owned());
            }
            Err(cause) => return Err(cause.to_string()),
        };
        let about = fstat(&file).map_err(|cause| cause.to_string())?;
        if SFlag::from_bits_truncate(about.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
            return Err("it is no file".to_owned());
        }
        if about.st_uid != self.owner {
            return Err(format!("it belongs to user {}", about.st_uid));
        }
        Ok(Some((file.into(), FileState::of(&about))))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use nix::unistd::{geteuid, mkfifo};
    use std::os::unix::fs::{chown, symlink};

    #[test]
    fn nothing_is_followed_out_of_a_foreign_folder_and_nothing_there_is_waited_for() {
        let own = tempfile::tempdir().unwrap();
        let outside = own.path();
        let path = outside.join("copies");
        folders::own(&path).unwrap();
        fs::write(outside.join("secret"), "192.0.2.1\n").unwrap();
        fs::write(path.join("a.list"), "192.0.2.1\n").unwrap();
        symlink(outside.join("secret"), path.join("link")).unwrap();
        symlink("a.list", path.join("near")).unwrap();
        mkfifo(&path.join("pipe"), Mode::S_IRWXU).unwrap();
        fs::create_dir(path.join("folder")).unwrap();
        let folder = ForeignFolder::open(&path).unwrap().unwrap();
        let read = |name| folder.read(name, 10);
        let (state, bytes) = read("a.list").unwrap().unwrap();
        assert_eq!(bytes, b"192.0.2.1\n");
        assert_eq!(folder.state("a.list"), Some(state));
        assert_eq!(read("none"), Ok(None));
        for name in ["link", "near", "../secret"] {
            assert!(read(name).unwrap_err().contains("leads out"), "{name}");
        }
        for name in ["pipe", "folder"] {
            assert!(read(name).unwrap_err().contains("no file"), "{name}");
            assert_eq!(folder.state(name), None);
        }
        assert!(folder.read("a.list", 9).unwrap_err().contains("larger"));
        if geteuid().is_root() {
            // A hard link to what is another's.
            chown(path.join("a.list"), Some(1234), None).unwrap();
            assert!(read("a.list").unwrap_err().contains("user 1234"));
            chown(&path, Some(1234), None).unwrap();
            let theirs = ForeignFolder::open(&path).unwrap().unwrap();
            assert!(theirs.read("a.list", 10).unwrap().is_some());
        }
        // Another file of the same name is another one.
        fs::write(path.join("new"), "192.0.2.2\n").unwrap();
        fs::rename(path.join("new"), path.join("a.list")).unwrap();
        assert_ne!(folder.state("a.list"), Some(state));
        assert!(
            ForeignFolder::open(&outside.join("none"))
                .unwrap()
                .is_none()
        );
    }
}
