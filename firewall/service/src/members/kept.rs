//! Memberships of sets on disk, for a start at which the kernel has none of them.

use super::membership::How;
use super::{Members, Now};
use crate::folders;
use anyhow::{Context, Result};
use firewall_abi::members::{MAX_MEMBERS, MEMBER_STAGES, NO_END};
use serde::{Deserialize, Serialize};
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

/// The file, in the folder for what is kept.
pub const FILE: &str = "members.json";

/// The file on disk, with no key that is not known here. A member must not stay for ever because its end was lost, nor
/// be another one because another release says more of it.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// The names of all sets that something has joined.
    pub sets: Vec<String>,
    pub members: Vec<WrittenMember>,
    /// Time of writing, in milliseconds since 1970.
    pub at: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrittenMember {
    pub set: String,
    pub address: IpAddr,
    /// Milliseconds since 1970; none: no end.
    #[serde(deserialize_with = "Option::deserialize")]
    pub until: Option<u64>,
    /// The name by which it is in it; none: it was added.
    #[serde(default)]
    pub name: Option<String>,
}

/// Reads the memberships, or says why they are lost if the file can't be read. Such a file is put aside, so that the
/// next one does not take its place.
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

impl Members {
    /// A file may hold more than there is room for: another release's, or one that people have put together.
    pub(super) fn of_written(written: Written, now: Now) -> Self {
        // A clock that is behind its own past has not been set yet: no time is known to have passed since.
        let now = Now {
            unix_ms: now.unix_ms.max(written.at),
            ..now
        };
        let mut members = Self::knowing(&written.sets);
        let mut no_room = 0_u64;
        for WrittenMember {
            set,
            address,
            until,
            name,
        } in written.members
        {
            let until_ns = until.map_or(NO_END, |until| now.boot_ns(until));
            if !members.has_room(&set, address, now.boot_ns) {
                no_room += 1;
                continue;
            }
            let name = name.map(Arc::from);
            let how = name.as_ref().map_or(How::Added, How::Named);
            members.join(&set, address, how, until_ns, now.boot_ns);
        }
        members.lost = (no_room > 0).then(|| {
            format!(
                "{no_room} addresses that had joined sets are in them no more: {MAX_MEMBERS} may be, each in {MEMBER_STAGES} sets; put \
                 them into a file that the rule file names"
            )
        });
        members
    }

    pub(super) fn written(&self, now: Now) -> Vec<WrittenMember> {
        let of = self.of.iter().flat_map(|(address, memberships)| {
            memberships.iter().flat_map(|membership| {
                let written = |until_ns: u64, name: Option<String>| WrittenMember {
                    set: membership.set.to_string(),
                    address: *address,
                    until: (until_ns != NO_END).then(|| now.since_1970(until_ns)),
                    name,
                };
                let added = membership.added_ns;
                let added = (added != 0).then(|| written(added, None));
                let named = membership.named.as_ref();
                let named = named.map(|(name, until)| written(*until, Some(name.to_string())));
                added.into_iter().chain(named)
            })
        });
        of.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::address;
    use super::*;

    #[test]
    fn a_file_of_members_that_is_no_good_is_put_aside_and_said() {
        let own = tempfile::tempdir().expect("a folder of our own");
        let folder = own.path().join("state");
        folders::own(&folder).expect("a folder in it");
        assert!(read(&folder).1.is_none(), "there is none yet");
        let broken = "{\"sets\":[\"a\"],\"members\":[],\"at\":1,}";
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
        let good = r#"{"sets":["a"],"members":[{"set":"a","address":"192.0.2.1","until":null,"name":null}],"at":1}"#;
        for (cut, with) in [
            (r#","until":null"#, ""),
            (r#","at":1"#, ""),
            (r#""name":null"#, r#""name":null,"prefix":24"#),
        ] {
            fs::write(folder.join(FILE), good.replace(cut, with)).expect("our own");
            assert!(read(&folder).1.is_some(), "{cut} {with}");
        }
        fs::write(folder.join(FILE), good).expect("our own");
        assert!(read(&folder).1.is_none());
    }

    #[test]
    fn what_was_added_for_a_while_holds_no_longer_by_a_clock_that_is_not_set_yet() {
        const YEAR: u64 = 366 * 24 * 60 * 60 * 1000;
        let written = |at: u64| Written {
            sets: Vec::new(),
            members: vec![WrittenMember {
                set: "a".to_owned(),
                address: address(1),
                until: Some(50 * YEAR + 9000),
                name: None,
            }],
            at,
        };
        let left = |at: u64, unix_ms: u64| {
            let now = Now {
                boot_ns: 1,
                unix_ms,
            };
            let members = Members::of_written(written(at), now).list(None, 1);
            members.first().and_then(|member| member.seconds_left)
        };
        let at = 50 * YEAR + 2000;
        assert_eq!(left(at, at + 3000), Some(4));
        assert_eq!(left(at, 0), Some(7), "before the clock is set");
        assert_eq!(left(at, at + 8000), None, "over");
    }

    #[test]
    fn what_a_file_holds_beyond_the_room_is_left_out_and_said_and_the_rest_holds() {
        let member = |set: &str, n: u32| WrittenMember {
            set: set.to_owned(),
            address: address(n),
            until: None,
            name: None,
        };
        let beyond = (0..MAX_MEMBERS as u32 + 10).map(|n| member("a", n));
        let crowded = ["b", "c", "d", "e", "f"].map(|set| member(set, 7));
        let written = Written {
            sets: Vec::new(),
            members: beyond.chain(crowded).collect(),
            at: 0,
        };
        let now = Now {
            boot_ns: 1,
            unix_ms: 1,
        };
        let members = Members::of_written(written, now);
        assert_eq!(members.list(None, 1).len(), MAX_MEMBERS + 3);
        let lost = members.lost.unwrap_or_default();
        assert!(lost.starts_with("12 addresses"), "{lost}");
    }
}
