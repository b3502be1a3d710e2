//! Check that the disk has room for a run: a disk that fills up fails whatever is tested then, in words about anything
//! else.

use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::sys::statvfs::statvfs;

use crate::place;

const GIB: u64 = 1 << 30;
/// Space that every test of a new clone takes in its target folder, in bytes: 11 GiB, and 3 more if what a second build
/// needs is kept.
const FIRST: u64 = 12 * GIB;
/// Space that a later run takes, in bytes, which finds most of it there, with what tests put aside meanwhile.
const AGAIN: u64 = 2 * GIB;

/// An error if there is not room enough for a run of every test.
pub fn ensure() -> Result<()> {
    let target = place::target();
    let needed = if target.join("debug/deps").is_dir() && place::logs().is_dir() {
        AGAIN
    } else {
        FIRST
    };
    // Itself it may not be there yet.
    enough(&place::root(), needed)?;
    enough(&std::env::temp_dir(), AGAIN)
}

fn enough(folder: &Path, needed: u64) -> Result<()> {
    let disk = statvfs(folder)
        .with_context(|| format!("asking how much room there is for {}", folder.display()))?;
    let free = disk.blocks_available() * disk.fragment_size();
    if free < needed {
        bail!(
            "the disk of {} has {} free, and all tests need {}: make room there, or run single rooms (`cargo xtask test --list`)",
            folder.display(),
            gib(free),
            gib(needed)
        );
    }
    Ok(())
}

fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / GIB as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_without_room_is_said_with_what_is_needed() {
        let here = place::root();
        assert!(enough(&here, 0).is_ok());
        let said = enough(&here, u64::MAX).err().map(|why| why.to_string());
        let said = said.unwrap_or_default();
        assert!(said.contains(&*here.to_string_lossy()), "{said}");
        assert!(said.contains("make room there"), "{said}");
    }
}
