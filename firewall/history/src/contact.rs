//! Programs that have talked before, with their files, for telling first contacts.
//!
//! A program is known by its path and its user. Its file is the same for as long as the file system has the same number
//! for it, and, where somebody has looked, the same length and time of its last change.

use engine::quota;
use firewall_abi::packet::{NO_USER, UnknownNumber};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Number of files of one path that are known at once: several containers may have their own.
const FILES: usize = 4;
/// Interval, in seconds, at which it is written again that a program still talks.
const SELDOM: u64 = 3600;
/// Divisor of the known programs for the share of one user, at most; and of the file for all known programs.
const SHARE: usize = 8;
/// Bytes of the file that a known program may take, from which their highest number is computed.
const BYTES: u64 = 4096;
/// Bounds of the highest number of known programs.
const FEWEST: u64 = 64;
const MOST: u64 = 8192;

/// Contact of a program with the network: a known one, the first, or the first from a changed file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Contact {
    /// The program has talked before, or it is not known which program it is.
    #[default]
    Known = 0,
    /// The program has never talked before.
    First = 1,
    /// The program has talked before, and its file was another one, or was changed since.
    Changed = 2,
}

impl Contact {
    /// Returns the name of the contact; `None` for a known program.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::Known => None,
            Self::First => Some("first"),
            Self::Changed => Some("changed"),
        }
    }
}

impl TryFrom<u8> for Contact {
    type Error = UnknownNumber;

    fn try_from(number: u8) -> Result<Self, UnknownNumber> {
        match number {
            0 => Ok(Self::Known),
            1 => Ok(Self::First),
            2 => Ok(Self::Changed),
            other => Err(UnknownNumber(other)),
        }
    }
}

/// Attributes of a file, found by a look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Size of the file, in bytes.
    pub size: u64,
    /// Time of the last change, in nanoseconds since 1970.
    pub changed_ns: i64,
}

/// Stored record of a program's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownFile {
    /// Path of the program.
    pub program: Arc<str>,
    /// User who ran it, if known.
    pub user: Option<u32>,
    /// Device number of the file's file system, and its inode.
    pub file: [u64; 2],
    /// Attributes that the last look found, if there was one.
    pub look: Option<Look>,
    /// Time when it talked last, in seconds since 1970, to an hour.
    pub last: u64,
}

/// Change to the stored programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A file that is known.
    Known(KnownFile),
    /// A file that is not known any more.
    Forgotten(KnownFile),
}

type Who = (Arc<str>, Option<u32>);

#[derive(Clone, Copy, Debug)]
struct File {
    file: [u64; 2],
    look: Option<Look>,
    last: u64,
}

#[derive(Debug, Default)]
struct Known {
    /// Files, the one that talked last first.
    files: Vec<File>,
    /// `true` if a look has found a changed file, which was not reported yet.
    changed: bool,
}

impl Known {
    fn last(&self) -> u64 {
        self.files.iter().map(|file| file.last).max().unwrap_or(0)
    }
}

/// Programs that have talked.
#[derive(Debug, Default)]
pub struct Contacts {
    known: BTreeMap<Who, Known>,
    most: usize,
    changes: Vec<Change>,
}

impl Contacts {
    /// Makes the contacts of the stored programs, for a database file of at most so many bytes.
    #[must_use]
    pub fn new(written: Vec<KnownFile>, bytes: u64) -> Self {
        let mut contacts = Self {
            most: most(bytes),
            ..Self::default()
        };
        for one in written {
            let KnownFile {
                program,
                user,
                file,
                look,
                last,
            } = one;
            let known = contacts.known.entry((program, user)).or_default();
            known.files.push(File { file, look, last });
        }
        for known in contacts.known.values_mut() {
            known.files.sort_by_key(|file| std::cmp::Reverse(file.last));
        }
        contacts
    }

    /// Notes that a program talks from this file at this time (seconds since 1970). Returns whether it is a first
    /// contact.
    pub fn meet(
        &mut self,
        program: &Arc<str>,
        user: Option<u32>,
        file: [u64; 2],
        at: u64,
    ) -> Contact {
        let who = (program.clone(), user);
        let Some(known) = self.known.get_mut(&who) else {
            self.make_room(user);
            self.note(&who, file, None, at);
            return Contact::First;
        };
        let changed = std::mem::take(&mut known.changed);
        let place = known.files.iter().position(|known| known.file == file);
        match place.map(|place| known.files.remove(place)) {
            None => {
                self.note(&who, file, None, at);
                Contact::Changed
            }
            Some(before) => {
                let is_old = at.abs_diff(before.last) >= SELDOM;
                let last = if is_old { at } else { before.last };
                known.files.insert(0, File { last, ..before });
                if is_old || changed {
                    self.write(&who, 0);
                }
                if changed {
                    Contact::Changed
                } else {
                    Contact::Known
                }
            }
        }
    }

    /// Notes the attributes of the file that a path leads to.
    pub fn looked(&mut self, program: &Arc<str>, file: [u64; 2], look: Look) {
        let all = (program.clone(), None)..=(program.clone(), Some(u32::MAX));
        let mut found = Vec::new();
        for (who, known) in self.known.range_mut(all) {
            let place = known.files.iter().position(|known| known.file == file);
            let Some(place) = place else { continue };
            match known.files[place].look.replace(look) {
                Some(before) if before == look => {}
                // Written down once it is told.
                Some(_) => known.changed = true,
                None => found.push((who.clone(), place)),
            }
        }
        for (who, place) in found {
            self.write(&who, place);
        }
    }

    /// Returns the highest number of known files, for a database file of at most so many bytes.
    #[must_use]
    pub fn most_files(bytes: u64) -> usize {
        most(bytes) * FILES
    }

    /// Takes the changes that are to be written.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Puts changes back that could not be written, to be tried again.
    pub fn put_back(&mut self, mut changes: Vec<Change>) {
        changes.append(&mut self.changes);
        self.changes = changes;
        // A disk that takes nothing for long: each is written once, as it is last.
        if self.changes.len() > self.most.saturating_mul(FILES) {
            self.write_all();
        }
    }

    /// Has all programs be written, into a file that has none of them.
    pub fn write_all(&mut self) {
        self.changes.clear();
        for (who, known) in &self.known {
            let each = known.files.iter();
            let each = each.map(|file| Change::Known(written(who, *file)));
            self.changes.extend(each);
        }
    }

    fn note(&mut self, who: &Who, file: [u64; 2], look: Option<Look>, last: u64) {
        let known = self.known.entry(who.clone()).or_default();
        known.files.insert(0, File { file, look, last });
        let over = known.files.split_off(FILES.min(known.files.len()));
        self.write(who, 0);
        let over = over
            .into_iter()
            .map(|file| Change::Forgotten(written(who, file)));
        self.changes.extend(over);
    }

    fn write(&mut self, who: &Who, place: usize) {
        let file = self.known.get(who).and_then(|known| known.files.get(place));
        let change = file.map(|file| Change::Known(written(who, *file)));
        self.changes.extend(change);
    }

    /// Makes room for one more program of this user: the user with the most known programs loses the one that was
    /// silent for longest.
    fn make_room(&mut self, user: Option<u32>) {
        let whose = |user: Option<u32>| quota::of_user(user.unwrap_or(NO_USER));
        let mut of: HashMap<_, usize> = HashMap::new();
        for (_, user) in self.known.keys() {
            *of.entry(whose(*user)).or_default() += 1;
        }
        let own = of.get(&whose(user)).copied().unwrap_or(0);
        let loser = if own >= (self.most / SHARE).max(1) {
            whose(user)
        } else if self.known.len() >= self.most {
            let most = of.into_iter().max_by_key(|(_, many)| *many);
            most.map_or(whose(user), |(quota_owner, _)| quota_owner)
        } else {
            return;
        };
        let theirs = self
            .known
            .iter()
            .filter(|((_, user), _)| whose(*user) == loser);
        let oldest = theirs.min_by_key(|(_, known)| known.last());
        let Some(oldest) = oldest.map(|(who, _)| who.clone()) else {
            return;
        };
        let gone = self.known.remove(&oldest).unwrap_or_default().files;
        let gone = gone
            .into_iter()
            .map(|file| Change::Forgotten(written(&oldest, file)));
        self.changes.extend(gone);
    }
}

fn most(bytes: u64) -> usize {
    let most = (bytes / BYTES / SHARE as u64).clamp(FEWEST, MOST);
    usize::try_from(most).unwrap_or(usize::MAX)
}

fn written((program, user): &Who, File { file, look, last }: File) -> KnownFile {
    KnownFile {
        program: program.clone(),
        user: *user,
        file,
        look,
        last,
    }
}

/// Rate limit of looks at programs' files.
#[derive(Debug, Default)]
pub struct Glances(HashMap<Arc<str>, u64>);

impl Glances {
    /// Shortest time between two looks at one program's file, in seconds.
    const EVERY: u64 = 10;
    /// Number of programs that are remembered; then all are forgotten, and may be looked at again.
    const MOST: usize = 1024;

    /// Returns whether it is time to look at this program's file, and notes the look.
    pub fn is_due(&mut self, program: &Arc<str>, now: u64) -> bool {
        let before = self.0.get(program);
        if before.is_some_and(|before| now.abs_diff(*before) < Self::EVERY) {
            return false;
        }
        if self.0.len() >= Self::MOST {
            self.0.clear();
        }
        self.0.insert(program.clone(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: u64 = 64 << 20;

    fn path(n: usize) -> Arc<str> {
        format!("/usr/bin/program-{n}").into()
    }

    fn look(size: u64) -> Look {
        Look {
            size,
            changed_ns: 7,
        }
    }

    #[test]
    fn a_program_talks_for_the_first_time_once_and_again_once_its_file_was_changed() {
        let mut contacts = Contacts::new(Vec::new(), BYTES);
        let (curl, user) = (path(0), Some(1000));
        assert_eq!(contacts.meet(&curl, user, [1, 7], 100), Contact::First);
        assert_eq!(contacts.meet(&curl, user, [1, 7], 101), Contact::Known);
        assert_eq!(contacts.meet(&curl, Some(0), [1, 7], 101), Contact::First);
        // Nobody had looked before: what the first look finds is no change.
        contacts.looked(&curl, [1, 7], look(10));
        contacts.looked(&curl, [1, 7], look(10));
        assert_eq!(contacts.meet(&curl, user, [1, 7], 102), Contact::Known);
        contacts.looked(&curl, [1, 7], look(11));
        assert_eq!(contacts.meet(&curl, user, [1, 7], 103), Contact::Changed);
        assert_eq!(contacts.meet(&curl, user, [1, 7], 103), Contact::Known);
        assert_eq!(contacts.meet(&curl, Some(0), [1, 7], 103), Contact::Changed);
        // Replaced: another file. Of several that take turns, as in containers, each is new once.
        assert_eq!(contacts.meet(&curl, user, [1, 8], 104), Contact::Changed);
        for n in 0..6 {
            let file = [1, 7 + n % 2];
            assert_eq!(contacts.meet(&curl, user, file, 105), Contact::Known);
        }
        for n in 9..20 {
            assert_eq!(contacts.meet(&curl, user, [1, n], 106), Contact::Changed);
        }
        assert_eq!(contacts.meet(&curl, user, [1, 7], 107), Contact::Changed);
        let files = &contacts.known[&(curl, user)].files;
        assert_eq!(files.len(), FILES, "they are bounded");
    }

    #[test]
    fn whoever_runs_many_programs_makes_none_of_others_unknown() {
        let mut contacts = Contacts::new(Vec::new(), BYTES);
        let most = contacts.most;
        let others: Vec<_> = (0..10).map(path).collect();
        for other in &others {
            contacts.meet(other, Some(0), [1, 1], 1);
        }
        for n in 0..most * 2 {
            let new = contacts.meet(&path(n), Some(1000), [1, 1], 2 + n as u64);
            assert_eq!(new, Contact::First);
        }
        let known = &contacts.known;
        assert!(known.len() <= 10 + most / SHARE, "{}", known.len());
        let is_known = |other: &Arc<str>| known.contains_key(&(other.clone(), Some(0)));
        assert!(others.iter().all(is_known));
        // Nor do many users together.
        for user in 2000..2000 + most as u32 * 2 {
            contacts.meet(&path(0), Some(user), [1, 1], 9);
        }
        assert!(contacts.known.len() <= most);
    }

    #[test]
    fn a_disk_that_takes_nothing_does_not_fill_the_memory() {
        let mut contacts = Contacts::new(Vec::new(), 0);
        for n in 0..10_000 {
            contacts.meet(&path(n), Some(1000), [1, 1], 1);
            let changes = contacts.take_changes();
            contacts.put_back(changes);
        }
        assert!(contacts.take_changes().len() <= contacts.most * FILES + 2);
    }

    #[test]
    fn a_file_is_looked_at_now_and_then() {
        let mut glances = Glances::default();
        assert!(glances.is_due(&path(0), 100) && !glances.is_due(&path(0), 109));
        assert!(glances.is_due(&path(1), 100) && glances.is_due(&path(0), 110));
        for n in 0..5000 {
            glances.is_due(&path(n), 111);
        }
        assert!(glances.0.len() <= Glances::MOST);
    }
}
