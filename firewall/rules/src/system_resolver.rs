//! Resolver of this machine's files, users and programs.

use crate::list::MAX_TEXT;
use crate::program::special;
use crate::resolver::{FileMark, Resolver, SetFile};
use firewall_abi::members::number_of;
use std::cell::OnceCell;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Folder of the last good copies of lists that the service has fetched: owned by root, readable for its group.
pub const FETCHED: &str = "/var/lib/gatebell/fetched";

/// Returns the name of a list's copy in that folder, by the list's URL. The copy begins with the URL and a line end.
#[must_use]
pub fn copy_name(url: &str) -> String {
    format!("{:016x}", number_of(url))
}

/// Resolver of the machine that this process runs on, for one reading of a rule file: it reads the table of mounts only
/// once.
#[derive(Debug)]
pub struct SystemResolver {
    folder: PathBuf,
    fetched: PathBuf,
    mounts: OnceCell<system::Mounts>,
}

impl SystemResolver {
    /// Makes the resolver for a rule file at this path: relative paths of its sets' files begin at its folder.
    #[must_use]
    pub fn beside(rule_file: &Path) -> Self {
        Self {
            folder: rule_file.parent().unwrap_or(Path::new("")).to_owned(),
            fetched: FETCHED.into(),
            mounts: OnceCell::new(),
        }
    }

    /// Reads the copies of fetched lists from this folder, in place of [`FETCHED`].
    #[must_use]
    pub fn with_fetched(self, folder: &Path) -> Self {
        Self {
            fetched: folder.to_owned(),
            ..self
        }
    }
}

impl Resolver for SystemResolver {
    fn set_file(&self, path: &str) -> Result<SetFile, String> {
        let path = self.folder.join(path);
        let name = path.display().to_string();
        let said = |cause: io::Error| format!("{name} can't be read: {cause}");
        let file = system::open(&path).map_err(said)?;
        let confidential = system::is_confidential(&file);
        let bytes = read(file, MAX_TEXT).map_err(said)?;
        Ok(SetFile {
            name,
            bytes,
            confidential,
            trouble: None,
        })
    }

    fn fetched(&self, url: &str) -> Result<Option<SetFile>, String> {
        let path = self.fetched.join(copy_name(url));
        let shown = url.split('?').next().unwrap_or_default();
        // Of a folder that is not there nothing is known: it is another machine than the service's.
        self.fetched.metadata().map_err(|cause| match cause.kind() {
            ErrorKind::NotFound => format!("no service has fetched {shown} here"),
            _ => format!(
                "the copies of fetched lists can't be read: {cause}; root and the group gatebell may"
            ),
        })?;
        match path.symlink_metadata() {
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
            _ => {}
        }
        let mut bytes = system::open(&path)
            .and_then(|file| read(file, MAX_TEXT))
            .map_err(|cause| format!("the copy of {shown} can't be read: {cause}"))?;
        let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0);
        let list = bytes.split_off((end + 1).min(bytes.len()));
        if bytes.get(..end) != Some(url.as_bytes()) {
            // Another list's, whose name came out the same.
            return Ok(None);
        }
        Ok(Some(SetFile {
            name: shown.to_owned(),
            bytes: list,
            confidential: false,
            trouble: None,
        }))
    }

    fn set_file_mark(&self, path: &str) -> Option<FileMark> {
        file_mark(&self.folder.join(path))
    }

    fn fetched_mark(&self, url: &str) -> Option<FileMark> {
        file_mark(&self.fetched.join(copy_name(url)))
    }

    fn user(&self, name: &str) -> Result<u32, String> {
        system::user(name)
    }

    fn other_users(&self) -> Vec<u32> {
        system::local_users()
    }

    fn program(&self, path: &str) -> Option<[u64; 2]> {
        // Who looks again for all programs of a rule does so for these, too.
        special(path).or_else(|| system::program(path, self.mounts.get_or_init(system::mounts)))
    }

    fn program_trouble(&self, path: &str) -> Option<String> {
        system::program_trouble(path, self.mounts.get_or_init(system::mounts))
    }
}

/// Returns a mark of the file at this path. `None`: it can't be looked at, or it was written to just now: what is
/// written there next may have the same time.
#[must_use]
pub fn file_mark(path: &Path) -> Option<FileMark> {
    match path.metadata() {
        Ok(found) => system::stamp(&found).map(|stamp| FileMark::of(Some(stamp))),
        Err(cause) if cause.kind() == ErrorKind::NotFound => Some(FileMark::of(None)),
        Err(_) => None,
    }
}

/// Size of a rule file at most, in bytes.
const MAX_RULE_FILE: u64 = 64 << 20;

/// Reads a rule file, wherever its path leads: nothing is waited for there, and no more is read than such a file has.
///
/// # Errors
/// It can't be read, is no file (a pipe, say), or is larger than 64 MiB.
pub fn read_rule_file(path: &Path) -> io::Result<Vec<u8>> {
    system::open(path).and_then(|file| read(file, MAX_RULE_FILE))
}

fn read(file: File, most: u64) -> io::Result<Vec<u8>> {
    let bytes = read_start(file, most + 1)?;
    if bytes.len() as u64 > most {
        let said = format!("it is larger than {} MiB", most >> 20);
        return Err(io::Error::new(ErrorKind::FileTooLarge, said));
    }
    Ok(bytes)
}

fn read_start(file: File, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads the first bytes of a file, wherever its path leads, and waits for nothing there.
///
/// # Errors
/// It can't be read, or is no file.
#[cfg(target_os = "linux")]
pub(crate) fn read_beginning(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    read_start(system::open(path)?, most)
}

/// Error of refusing what is no regular file: opening a pipe would wait for its writer.
fn no_file() -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, "it is no file")
}

#[cfg(target_os = "linux")]
mod system {
    use crate::resolver::FileStamp;
    use nix::sys::stat::{major, minor};
    use nix::unistd::{User, geteuid};
    use std::collections::HashMap;
    use std::fs::{File, Metadata, OpenOptions};
    use std::io::ErrorKind;
    use std::os::fd::AsRawFd;
    use std::os::linux::fs::MetadataExt;
    use std::os::unix::fs::OpenOptionsExt;
    use std::path::Path;
    use std::time::{SystemTime, UNIX_EPOCH};

    pub(super) fn user(name: &str) -> Result<u32, String> {
        match User::from_name(name) {
            Ok(Some(user)) => Ok(user.uid.as_raw()),
            Ok(None) if name.parse::<u32>().is_ok() => Err(format!(
                "no user is called `{name}`; a number is written without quotes"
            )),
            Ok(None) => Err(format!(
                "no user is called `{name}`; write a name that `id NAME` knows, or a number"
            )),
            Err(cause) => Err(format!(
                "the system can't say who `{name}` is: {cause}; write the number"
            )),
        }
    }

    /// Opens a file to read. The owner of its folder may put another file in its place at any time, so the file that
    /// was looked at is the one that is opened, and the path is not used again.
    pub(super) fn open(path: &Path) -> std::io::Result<File> {
        let found = look(path)?;
        if !found.metadata()?.is_file() {
            return Err(super::no_file());
        }
        File::open(by_descriptor(&found))
    }

    /// Opens a path to look at its file (`O_PATH`): it is neither read nor run, so no right to do so is needed.
    fn look(path: impl AsRef<Path>) -> std::io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_PATH).open(path)
    }

    /// Returns a path of an open file that stays valid, wherever its own path leads by now.
    fn by_descriptor(file: &File) -> String {
        format!("/proc/thread-self/fd/{}", file.as_raw_fd())
    }

    /// The clocks by which file systems tell when a file was written to take steps,
    /// of a few milliseconds or of two seconds.
    const STEP: i64 = 2;

    pub(super) fn stamp(found: &Metadata) -> Option<FileStamp> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        let now = i64::try_from(now.as_secs()).ok()?;
        let [written, changed] = [found.st_mtime(), found.st_ctime()];
        let is_fresh = |at: i64| now.saturating_sub(at).unsigned_abs() <= STEP.unsigned_abs();
        let whole = |number: u64| number as i64;
        (!is_fresh(written) && !is_fresh(changed)).then(|| {
            [
                whole(found.st_dev()),
                whole(found.st_ino()),
                whole(found.st_size()),
                written,
                found.st_mtime_nsec(),
                changed,
                found.st_ctime_nsec(),
            ]
        })
    }

    /// Returns whether this process reads the file by a right that others do not have, who may see its messages.
    pub(super) fn is_confidential(file: &File) -> bool {
        geteuid().is_root() && !everybody_may_read(file)
    }

    /// Returns whether the modes of the file and of the folders above let everybody read it.
    fn everybody_may_read(file: &File) -> bool {
        const READ: u32 = 0o004;
        const PASS: u32 = 0o001;
        let may = |found: std::io::Result<Metadata>, right| {
            found.is_ok_and(|found| found.st_mode() & right != 0)
        };
        let Ok(whole) = std::fs::read_link(by_descriptor(file)) else {
            return false;
        };
        let mut folders = whole.ancestors().skip(1);
        may(file.metadata(), READ) && folders.all(|folder| may(std::fs::metadata(folder), PASS))
    }

    /// Returns the numbers of the users in this machine's own `/etc/passwd`, whatever other sources of names there are.
    pub(super) fn local_users() -> Vec<u32> {
        let text = std::fs::read("/etc/passwd").unwrap_or_default();
        String::from_utf8_lossy(&text)
            .lines()
            .filter_map(|line| line.split(':').nth(2)?.parse().ok())
            .collect()
    }

    /// Returns the reason for which a program can't be looked at. A file that is surely not there is no trouble: nobody
    /// runs it.
    pub(super) fn program_trouble(path: &str, mounts: &Mounts) -> Option<String> {
        match look(path).and_then(|file| file.metadata()) {
            Ok(found) if found.is_file() && program(path, mounts).is_none() => {
                Some("the kernel's number of its file system is not known".to_owned())
            }
            Ok(_) => None,
            Err(cause)
                if matches!(cause.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                None
            }
            Err(cause) => Some(cause.to_string()),
        }
    }

    /// Returns the kernel's own device number of the file's file system, and the inode. The device of `stat` is another
    /// number on file systems with several trees inside (btrfs, overlayfs); the table of mounts has the kernel's.
    pub(super) fn program(path: &str, mounts: &Mounts) -> Option<[u64; 2]> {
        let file = look(path).ok()?;
        let found = file.metadata().ok().filter(Metadata::is_file)?;
        let device = match mounts.get(&mount(&file)?) {
            Some(device) => *device,
            // Another namespace's: a disk has the same number everywhere, and what has none can't be told.
            None => Some(found.st_dev())
                .filter(|device| major(*device) != 0)
                .map(kernels)?,
        };
        Some([device, found.st_ino()])
    }

    fn kernels(device: u64) -> u64 {
        major(device) << 20 | minor(device)
    }

    fn mount(file: &File) -> Option<u64> {
        let about =
            std::fs::read_to_string(format!("/proc/thread-self/fdinfo/{}", file.as_raw_fd()))
                .ok()?;
        about
            .lines()
            .find_map(|line| line.strip_prefix("mnt_id:"))?
            .trim()
            .parse()
            .ok()
    }

    /// Device number of each mount, by the mount's number, in the kernel's encoding; of lines like `36 35 98:0 /root
    /// /mnt …`.
    pub(super) type Mounts = HashMap<u64, u64>;

    pub(super) fn mounts() -> Mounts {
        let text = std::fs::read("/proc/thread-self/mountinfo").unwrap_or_default();
        String::from_utf8_lossy(&text)
            .lines()
            .filter_map(mount_in)
            .collect()
    }

    fn mount_in(line: &str) -> Option<(u64, u64)> {
        let mut fields = line.split(' ');
        let mount = fields.next()?.parse().ok()?;
        let (major, minor) = fields.nth(1)?.split_once(':')?;
        Some((
            mount,
            major.parse::<u64>().ok()? << 20 | minor.parse::<u64>().ok()?,
        ))
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use crate::resolver::{FileStamp, NoResolver, Resolver};
    use std::fs::{File, Metadata};
    use std::path::Path;

    pub(super) fn open(path: &Path) -> std::io::Result<File> {
        if !path.metadata()?.is_file() {
            return Err(super::no_file());
        }
        File::open(path)
    }

    pub(super) fn is_confidential(_: &File) -> bool {
        false
    }

    pub(super) fn stamp(_: &Metadata) -> Option<FileStamp> {
        None
    }

    pub(super) fn user(name: &str) -> Result<u32, String> {
        NoResolver.user(name)
    }

    pub(super) fn local_users() -> Vec<u32> {
        NoResolver.other_users()
    }

    pub(super) fn program_trouble(path: &str, (): &Mounts) -> Option<String> {
        NoResolver.program_trouble(path)
    }

    pub(super) fn program(path: &str, (): &Mounts) -> Option<[u64; 2]> {
        NoResolver.program(path)
    }

    pub(super) type Mounts = ();

    pub(super) fn mounts() {}
}
