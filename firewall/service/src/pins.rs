//! Pins, by which the kernel keeps the driver when the service is gone: a folder in a bpffs.
//!
//! `DIR/vN/` holds the maps and the links of a driver whose layout (`firewall_abi`) is N: a hash of it, no number that
//! counts up. A map or a link with a name lives on without us; so does what a link attached.
//!
//! Rules that hold here:
//! - A link is never taken away before another one is in its place: the new one takes over its very name.
//! - A folder is adopted only if its maps are what the object wants.
//!   Another one is left alone until the new hooks are on.

use crate::folders;
use anyhow::{Context, Result, bail};
use aya::programs::links::FdLink;
use channel::sys::linux::bpf;
use nix::mount::{MsFlags, mount};
use nix::sys::stat::{major, minor};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use tracing::error;

/// Usual mount point of a machine's bpffs.
const USUAL: &str = "/sys/fs/bpf";
/// Links stand beside maps; no map's name starts like this.
const LINK: &str = "link_";

/// The folder of one layout.
#[derive(Debug)]
pub struct Pins {
    folder: PathBuf,
}

impl Pins {
    /// The folder below `parent`, made if it is not there. What somebody else made in its place is put aside, and never
    /// believed.
    pub fn open(parent: &Path) -> Result<Self> {
        on_bpffs(parent)?;
        put_foreign_aside(parent)?;
        let folder = parent.join(format!("v{}", firewall_abi::VERSION));
        let failed = || {
            format!(
                "can't make the folder {} for what outlives the service",
                folder.display()
            )
        };
        fs::create_dir_all(&folder).with_context(failed)?;
        folders::check(&folder)?;
        Ok(Self { folder })
    }

    /// Returns whether a driver is pinned already.
    pub fn is_there(&self) -> bool {
        fs::read_dir(&self.folder).is_ok_and(|mut entries| entries.next().is_some())
    }

    /// Returns the path at which a map of this name is pinned.
    pub fn map(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The link of a program of this name.
    pub fn link(&self, program: &str) -> io::Result<Option<OwnedFd>> {
        bpf::pinned(&self.link_path(program))
    }

    /// Keeps a link of aya's under the program's name, in the place of the one that had it.
    pub fn keep_link(&self, program: &str, link: FdLink) -> Result<()> {
        self.keep_by(program, |beside| {
            link.pin(beside).map(drop).map_err(Into::into)
        })
    }

    /// Keeps a link that the service made itself, as [`Self::keep_link`] does with aya's.
    pub fn keep(&self, program: &str, link: BorrowedFd<'_>) -> Result<()> {
        self.keep_by(program, |beside| Ok(bpf::pin(link, beside)?))
    }

    /// Takes a link away. None there is as good.
    pub fn drop_link(&self, program: &str) -> Result<()> {
        match fs::remove_file(self.link_path(program)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("can't take the hook {program} away"))
            }
            _ => Ok(()),
        }
    }

    /// Checks that what is kept here is still there once our process has ended.
    ///
    /// # Errors
    /// It is not, or that can't be found out: the file system is mounted for us alone, or for nobody.
    pub fn outlive_us(&self) -> Result<()> {
        let folder = self.folder.display();
        let here = fs::metadata(&self.folder).with_context(|| {
            format!("the folder {folder} is gone, in which what judges is kept")
        })?;
        let parent = format!("/proc/{}/mountinfo", nix::unistd::getppid());
        // Of a parent that is none of this world's, or lets nobody look, nothing is known.
        let Ok(mounts) = fs::read_to_string(parent) else {
            return Ok(());
        };
        let (major, minor) = (major(here.dev()), minor(here.dev()));
        let number = format!("{major}:{minor}");
        if mounts
            .lines()
            .any(|line| line.split(' ').nth(2) == Some(&*number))
        {
            return Ok(());
        }
        bail!("the bpffs with {folder} was unmounted: what judges ends with the service")
    }

    fn keep_by(&self, program: &str, pin: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let failed = || format!("can't keep the hook {program} in {}", self.folder.display());
        let beside = self.folder.join(format!("{LINK}{program}_new"));
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(failed);
            }
            _ => {}
        }
        pin(&beside).with_context(failed)?;
        fs::rename(beside, self.link_path(program)).with_context(failed)
    }

    /// Puts what is there aside, for hooks that are to be taken off once others are on.
    pub fn put_aside(&self) -> io::Result<()> {
        let mut n = 0;
        while self.aside(n).exists() {
            n += 1;
        }
        fs::rename(&self.folder, self.aside(n))?;
        fs::create_dir(&self.folder)
    }

    /// Takes away the folders of other versions, and what was put aside. Says which.
    pub fn remove_others(&self) -> Result<Vec<PathBuf>> {
        let parent = self.folder.parent().unwrap_or(&self.folder);
        let others: Vec<PathBuf> = versions(parent)?
            .into_iter()
            .filter(|at| *at != self.folder)
            .collect();
        for folder in &others {
            empty(folder)?;
        }
        Ok(others)
    }

    fn aside(&self, n: u32) -> PathBuf {
        // No dots: the kernel keeps those names for itself.
        self.folder
            .with_file_name(format!("v{}-old{n}", firewall_abi::VERSION))
    }

    fn link_path(&self, program: &str) -> PathBuf {
        self.folder.join(format!("{LINK}{program}"))
    }
}

/// Takes away every version's folder below `parent`, and `parent` itself. Says what went.
pub fn remove_all(parent: &Path) -> Result<Vec<String>> {
    let mut said = Vec::new();
    if !parent.exists() {
        return Ok(said);
    }
    for folder in versions(parent)? {
        let (links, maps) = empty(&folder)?;
        said.push(format!(
            "{links} links and {maps} maps under {}",
            folder.display()
        ));
    }
    match fs::remove_dir(parent) {
        // A sandbox shows the folder's own folder read only: an empty one may stay there.
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Ok(said),
        Err(error) => Err(error).with_context(|| format!("can't remove {}", parent.display())),
        Ok(()) => Ok(said),
    }
}

/// Returns whether hooks of any version's in the IP stack are pinned below `parent`.
pub fn are_hooks(parent: &Path) -> bool {
    let is_hook = |entry: io::Result<fs::DirEntry>| {
        entry.is_ok_and(|entry| {
            let name = entry.file_name();
            name.as_encoded_bytes().starts_with(b"link_enter_")
        })
    };
    let folders = versions(parent).unwrap_or_default();
    folders
        .iter()
        .any(|folder| fs::read_dir(folder).is_ok_and(|mut entries| entries.any(is_hook)))
}

/// The folders of versions, and nothing else that may lie there.
fn versions(parent: &Path) -> Result<Vec<PathBuf>> {
    let failed = || format!("can't read the folder {}", parent.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(parent).with_context(failed)? {
        let entry = entry.with_context(failed)?;
        if entry.file_name().as_encoded_bytes().starts_with(b"v") && entry.path().is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Links first: no hook outlives the tables that it reads. Returns how many links and maps there were.
fn empty(folder: &Path) -> Result<(usize, usize)> {
    let failed = || format!("can't empty the folder {}", folder.display());
    let entries = fs::read_dir(folder).with_context(failed)?;
    let paths: Vec<PathBuf> = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<_>>()?;
    let (links, maps): (Vec<_>, Vec<_>) = paths.iter().partition(|path| is_link(path));
    for path in &links {
        // Without its name a link ends a little later. Where it can, it ends now, before we say so.
        if let Some(link) = bpf::pinned(path).with_context(failed)? {
            let _ends_later = bpf::detach_link(link.as_fd());
        }
    }
    for path in links.iter().chain(&maps) {
        // A folder is none of ours, and keeps nobody from starting.
        let removed = if path.is_dir() {
            fs::remove_dir_all(path)
        } else {
            fs::remove_file(path)
        };
        removed.with_context(failed)?;
    }
    fs::remove_dir(folder).with_context(failed)?;
    Ok((links.len(), maps.len()))
}

fn is_link(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(LINK.as_bytes()))
}

/// The folder must lie in a bpffs. Where the machine has none in its usual place, one is mounted there.
fn on_bpffs(folder: &Path) -> Result<()> {
    let usual = Path::new(USUAL);
    if folder.starts_with(usual) && usual.is_dir() && !is_bpffs(usual) {
        mount_bpffs(usual)
            .with_context(|| format!("can't mount a bpffs at {USUAL}; run as root"))?;
    }
    let there = folder
        .ancestors()
        .find(|at| at.exists())
        .unwrap_or(Path::new("/"));
    if !is_bpffs(there) {
        bail!(
            "{} is on no bpffs, and only there the kernel keeps a driver; name a folder below {USUAL} with --pins",
            folder.display()
        );
    }
    Ok(())
}

/// Mounts a bpffs as systemd does: without a mode anybody may make folders there, and be first.
fn mount_bpffs(at: &Path) -> nix::Result<()> {
    let none = MsFlags::empty();
    mount(Some("bpf"), at, Some("bpf"), none, Some("mode=0700"))
}

/// Moves a folder away that somebody else owns or may write to, or in which one lies where ours is to be.
fn put_foreign_aside(folder: &Path) -> Result<()> {
    let version = folder.join(format!("v{}", firewall_abi::VERSION));
    let is_foreign = |at: &Path| {
        let about = fs::symlink_metadata(at);
        about.is_ok_and(|about| !about.is_dir() || !folders::is_ours(&about))
    };
    if !is_foreign(folder) && !is_foreign(&version) {
        return Ok(());
    }
    let mut n = 0;
    let aside = |n: u32| {
        let mut name = folder.as_os_str().to_owned();
        name.push(format!("-refused{n}"));
        PathBuf::from(name)
    };
    while fs::symlink_metadata(aside(n)).is_ok() {
        n += 1;
    }
    error!(
        "somebody else made {}, or can write there: what is in it is not believed, and is in {} now; look at it and remove it",
        folder.display(),
        aside(n).display()
    );
    fs::rename(folder, aside(n)).with_context(|| format!("can't put {} aside", folder.display()))
}

fn is_bpffs(path: &Path) -> bool {
    statfs(path).is_ok_and(|about| about.filesystem_type() == BPF_FS_MAGIC)
}

/// Returns whether the map that is pinned at this path, if there is one, is like `wanted`.
pub fn fits(path: &Path, wanted: &aya_obj::Map) -> Result<bool> {
    let failed = || format!("can't read {}", path.display());
    let Some(map) = bpf::pinned(path).with_context(failed)? else {
        return Ok(true);
    };
    let is = bpf::map_info(map.as_fd()).with_context(failed)?;
    // Of a map of maps the kernel itself says how large its values are.
    let of_maps = matches!(is.kind, ARRAY_OF_MAPS | HASH_OF_MAPS);
    Ok(is.kind == wanted.map_type()
        && is.max_entries == wanted.max_entries()
        && is.key_size == wanted.key_size()
        && (of_maps || is.value_size == wanted.value_size()))
}

/// `BPF_MAP_TYPE_ARRAY_OF_MAPS` and its like with keys.
const ARRAY_OF_MAPS: u32 = 12;
const HASH_OF_MAPS: u32 = 13;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use nix::sched::{CloneFlags, unshare};
    use std::os::unix::fs::{PermissionsExt, chown};

    /// Does this where mounts are seen by nobody else; false: only root may.
    fn apart(what: impl FnOnce(&Path) + Send + 'static) -> bool {
        std::thread::spawn(|| {
            let nothing: Option<&str> = None;
            let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            if unshare(CloneFlags::CLONE_NEWNS).is_err()
                || mount(nothing, "/", nothing, private, nothing).is_err()
            {
                return false;
            }
            let folder = std::env::temp_dir().join(format!("gatebell-pins-{}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            mount_bpffs(&folder).unwrap();
            what(&folder);
            nix::mount::umount(&folder).unwrap();
            fs::remove_dir(&folder).unwrap();
            true
        })
        .join()
        .unwrap()
    }

    #[test]
    fn a_bpffs_of_our_own_is_roots_and_a_folder_that_somebody_else_made_there_is_put_aside() {
        let tried = apart(|bpffs| {
            let mode = fs::metadata(bpffs).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
            let ours = bpffs.join("gatebell");
            fs::create_dir_all(ours.join("v1")).unwrap();
            chown(&ours, Some(1234), None).unwrap();
            let pins = Pins::open(&ours).unwrap();
            assert!(!pins.is_there());
            assert!(bpffs.join("gatebell-refused0/v1").is_dir() && !ours.join("v1").exists());
            fs::set_permissions(&pins.folder, fs::Permissions::from_mode(0o777)).unwrap();
            Pins::open(&ours).unwrap();
            assert!(bpffs.join("gatebell-refused1").is_dir());
            assert_eq!(fs::read_dir(&ours).unwrap().count(), 1, "a new one of ours");
        });
        if !tried {
            println!("skipped: only root mounts");
        }
    }
}
