//! What has joined sets, as it is on disk for a start at which the kernel has none of it.

use crate::folders;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fs;
use std::net::IpAddr;
use std::path::Path;

/// The file, in the folder for what is kept.
pub const FILE: &str = "members.json";

/// The file on disk.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Written {
    /// The names of all sets that something has joined.
    pub sets: Vec<String>,
    pub members: Vec<WrittenMember>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct WrittenMember {
    pub set: String,
    pub address: IpAddr,
    /// Milliseconds since 1970; none: no end.
    pub until: Option<u64>,
    /// The name by which it is in it; none: it was added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What is there; and why it is lost, if it can't be read. Such a file is put aside, so that the next one does not take its place.
pub fn read(folder: &Path) -> (Written, Option<String>) {
    let lost = |cause: anyhow::Error, aside: &str| {
        let said = format!(
            "what had joined sets is in them no more: {cause:#}{aside}; add it again, or mend the file, put it back and restart the service"
        );
        (Written::default(), Some(said))
    };
    if let Err(cause) = check(folder) {
        return lost(cause, "");
    }
    read_file(folder).map_or_else(
        |cause| {
            let aside = folder.join(format!("{FILE}.broken"));
            match fs::rename(folder.join(FILE), &aside) {
                Ok(()) => lost(cause, &format!("; it is put aside as {}", aside.display())),
                Err(_) => lost(cause, ""),
            }
        },
        |written| (written, None),
    )
}

/// Others' files are not believed, nor put aside.
fn check(folder: &Path) -> Result<()> {
    if folder.join(FILE).exists() {
        folders::check(folder)?;
    }
    Ok(())
}

fn read_file(folder: &Path) -> Result<Written> {
    let path = folder.join(FILE);
    if !path.exists() {
        return Ok(Written::default());
    }
    let text =
        fs::read_to_string(&path).with_context(|| format!("can't read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no such file", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_members_that_is_no_good_is_put_aside_and_said() {
        let folder = std::env::temp_dir().join(format!("gatebell-members-{}", std::process::id()));
        folders::own(&folder).expect("a folder of our own");
        assert!(read(&folder).1.is_none(), "there is none yet");
        let broken = "{\"sets\":[\"a\"],\"members\":[],}";
        fs::write(folder.join(FILE), broken).expect("our own");
        let (written, lost) = read(&folder);
        assert!(written.sets.is_empty());
        let lost = lost.expect("it is said");
        assert!(
            lost.contains("put aside") && lost.contains("add it again"),
            "{lost}"
        );
        let aside = fs::read_to_string(folder.join(format!("{FILE}.broken")));
        assert_eq!(aside.expect("it is there"), broken);
        fs::write(folder.join(FILE), broken.replace(",}", "}")).expect("our own");
        let (written, lost) = read(&folder);
        assert!(written.sets == ["a"] && lost.is_none(), "{lost:?}");
        fs::remove_dir_all(&folder).expect("our own");
    }
}
