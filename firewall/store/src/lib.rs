//! Files that are replaced as a whole: a reader finds the old text or the new one, after a power cut too. And the undo
//! history of a rule file ([`History`]), and the files that the service and the fetcher of its lists exchange
//! ([`lists`]).
//!
//! This crate knows nothing of rules, and may depend on no other crate of the project.
#![forbid(unsafe_code)]

mod history;
pub mod lists;
mod person;

pub use history::{Change, Held, History, KEPT, NewChange, last_made};
#[cfg(target_os = "linux")]
pub use person::person;
pub use person::this_person;

use std::fs::{self, Metadata};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Replaces a file. An existing one keeps its mode, its owner and its group; of a symbolic link the target is replaced.
/// A new one gets the mode 0600.
///
/// # Errors
/// Fails if it can't be written, or not be given its owner: then the old text is there still.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = folder_of(&path);
    let mut beside = NamedTempFile::new_in(&folder)?;
    if let Ok(before) = fs::metadata(&path) {
        beside.as_file().set_permissions(before.permissions())?;
        keep_owner(&beside, &before)?;
    }
    beside.write_all(bytes)?;
    beside.as_file().sync_all()?;
    beside.persist(&path)?;
    sync_folder(&folder)
}

/// Returns the folder that a file is in.
fn folder_of(path: &Path) -> PathBuf {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
        .to_owned()
}

/// Gives a new file the owner of the one that it replaces; fails if it can't, so that the old one stays. A process that
/// may write into the folder need not be the file's owner.
#[cfg(unix)]
fn keep_owner(file: &NamedTempFile, before: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
    let now = file.as_file().metadata()?;
    if (now.uid(), now.gid()) == (before.uid(), before.gid()) {
        return Ok(());
    }
    let (uid, gid) = (before.uid(), before.gid());
    fchown(file.as_file(), Some(uid), Some(gid)).map_err(|cause| {
        let said = format!(
            "it is user {uid}'s and group {gid}'s, and a new one can't be given to them ({cause}): give it to root, or give who \
             replaces it CAP_CHOWN"
        );
        io::Error::new(cause.kind(), said)
    })?;
    // A change of owner may take bits of the mode with it.
    let mode = fs::Permissions::from_mode(before.mode() & 0o7777);
    file.as_file().set_permissions(mode)
}

#[cfg(not(unix))]
fn keep_owner(_: &NamedTempFile, _: &Metadata) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

/// Does nothing: after a rename the old text or the new one is on the disk anyhow.
#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

    use super::*;

    #[test]
    fn a_file_is_replaced_with_its_mode_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rules.toml");
        fs::write(&file, "old").unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        }
        let mode = fs::metadata(&file).unwrap().permissions();
        replace(&file, b"new").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert_eq!(fs::metadata(&file).unwrap().permissions(), mode);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn what_a_link_leads_to_is_replaced_and_the_link_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        replace(&link, b"new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"new");
    }

    #[test]
    fn a_file_that_can_not_be_written_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("none").join("rules.toml");
        assert!(replace(&missing, b"new").is_err());
    }
}
