//! The folders that the service believes what it finds in: nobody else may write there, nor move them away.

use anyhow::{Context, Result, bail};
use nix::unistd::geteuid;
use std::fs::{self, DirBuilder, Metadata};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

/// Makes the folder, for its owner alone, unless it is there; and sees that it is ours.
///
/// # Errors
/// It can't be made, or see [`check`].
pub fn own(folder: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("can't make the folder {}", folder.display()))?;
    check(folder)
}

/// Sees that nobody but root and we can change what is in this folder, nor put another one in its place.
///
/// # Errors
/// Somebody else can; the sentence says who, and what to do.
pub fn check(folder: &Path) -> Result<()> {
    let whole = fs::canonicalize(folder)
        .with_context(|| format!("can't use the folder {}", folder.display()))?;
    for (n, at) in whole.ancestors().enumerate() {
        let about = fs::metadata(at).with_context(|| format!("can't look at {}", at.display()))?;
        if !about.is_dir() {
            bail!("{} is no folder", at.display());
        }
        if let Some(wrong) = wrong(&about, n == 0) {
            let (name, at) = (at.display(), at.to_string_lossy());
            let at_word = control::shell_word(&at);
            bail!(
                "{name} {wrong}, so that what is in {} can't be believed: `chown root:root {at_word}` and `chmod go-w {at_word}` \
                 after a look at what is there, or name another folder",
                folder.display()
            );
        }
    }
    Ok(())
}

/// Returns whether only root and the service's user can change what is in this folder itself.
pub fn is_ours(about: &Metadata) -> bool {
    wrong(about, true).is_none()
}

/// Returns who else can change the folder. In a folder like /tmp nobody can move what is another's.
fn wrong(about: &Metadata, is_itself: bool) -> Option<String> {
    const STICKY: u32 = 0o1000;
    const OTHERS_WRITE: u32 = 0o002;
    const GROUP_WRITES: u32 = 0o020;
    let (owner, mode) = (about.uid(), about.mode());
    if owner != 0 && owner != geteuid().as_raw() {
        return Some(format!("belongs to user {owner}"));
    }
    if mode & STICKY != 0 && !is_itself {
        return None;
    }
    if mode & OTHERS_WRITE != 0 {
        return Some("can be written to by anybody".to_owned());
    }
    (mode & GROUP_WRITES != 0 && about.gid() != 0)
        .then(|| format!("can be written to by the group {}", about.gid()))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_folder_that_others_can_write_to_or_move_is_refused_with_a_sentence() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("state");
        let inner = folder.join("a/b");
        own(&inner).unwrap();
        assert_eq!(fs::metadata(&inner).unwrap().mode() & 0o777, 0o700);
        for (at, mode) in [(&inner, 0o777), (&inner, 0o1777), (&folder, 0o757)] {
            fs::set_permissions(at, Permissions::from_mode(mode)).unwrap();
            let said = own(&inner).unwrap_err().to_string();
            assert!(
                said.contains("written to by anybody") && said.contains("chmod"),
                "{said}"
            );
            fs::set_permissions(at, Permissions::from_mode(0o700)).unwrap();
        }
        // In a folder like /tmp nobody can move it.
        fs::set_permissions(&folder, Permissions::from_mode(0o1777)).unwrap();
        own(&inner).unwrap();
        if geteuid().is_root() {
            std::os::unix::fs::chown(&inner, Some(1234), None).unwrap();
            let said = own(&inner).unwrap_err().to_string();
            assert!(said.contains("belongs to user 1234"), "{said}");
        }
    }
}
