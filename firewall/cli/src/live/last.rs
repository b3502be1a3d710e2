//! The last refused packet that `gatebell watch` showed, kept for `gatebell why --last`.

use crate::Error;
use std::io::{self, Write};
use std::path::PathBuf;

/// The record, as `watch --json` printed it.
pub fn last() -> Result<String, Error> {
    let file = place().ok_or(Error::NoPlace)?;
    match std::fs::read_to_string(&file) {
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => Err(Error::NoLast),
        Err(cause) => Err(Error::Unreadable { file, cause }),
        Ok(record) => Ok(record),
    }
}

/// Keeps it, in one step. That there is no place is found out when it is asked for.
pub fn keep(record: &str) {
    let Some(file) = place() else { return };
    let beside = file.with_extension(format!("{}", std::process::id()));
    let write = || -> io::Result<()> {
        let mut new = std::fs::File::create_new(&beside)?;
        writeln!(new, "{record}")?;
        std::fs::rename(&beside, &file)
    };
    if write().is_err() {
        let _not_there = std::fs::remove_file(&beside);
    }
}

/// Returns the path of the last refused packet, in a folder that only this user writes: the session's, or for root the
/// machine's.
fn place() -> Option<PathBuf> {
    let session = std::env::var_os("XDG_RUNTIME_DIR")
        .filter(|dir| !dir.is_empty())
        .map(PathBuf::from);
    let folder = session.or_else(|| {
        nix::unistd::geteuid()
            .is_root()
            .then(|| PathBuf::from("/run"))
    })?;
    Some(folder.join("gatebell-last.json"))
}
