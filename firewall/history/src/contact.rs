//! Which programs have talked before, and from which files.
//!
//! A program is known by its path and its user. Its file is the same for as long as the file system has the same number for it, and, where
//! somebody has looked, the same length and time of its last change.

use engine::quota;
use firewall_abi::packet::{NO_USER, UnknownNumber};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Files of one path that are known at once: as many containers may have their own.
const FILES: usize = 4;
/// After how long it is written down again that a program still talks.
const SELDOM: u64 = 3600;
/// Of all the programs that are known those of one user are at most this part.
const SHARE: usize = 8;
/// Bytes of the file that a known program may take, by which their number is bounded.
const BYTES: u64 = 4096;
/// How many are known at least, and at most.
const FEWEST: u64 = 64;
const MOST: u64 = 8192;

/// Whether a program talks for the first time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Contact {
    /// It has talked before, or it is not known what program it is.
    #[default]
    Known = 0,
    /// It never has.
    First = 1,
    /// It has, and its file was another one, or was changed since.
    Changed = 2,
}

impl Contact {
    /// Its name; none: there is nothing to say.
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

/// What a look at a file has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Its bytes.
    pub size: u64,
    /// When it was changed last, in nanoseconds since 1970.
    pub changed_ns: i64,
}

/// A program's file, as it is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownFile {
    /// The program's path.
    pub program: Arc<str>,
    /// Who ran it, if known.
    pub user: Option<u32>,
    /// The file: its file system's device and its inode.
    pub file: [u64; 2],
    /// What the last look found.
    pub look: Option<Look>,
    /// When it talked last, in seconds since 1970; to an hour.
    pub last: u64,
}

/// What is to be changed of what is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// This is known.
    Known(KnownFile),
    /// And this not any more.
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
    /// The one that talked last comes first.
    files: Vec<File>,
    /// A look found that one was changed, which is not told yet.
    changed: bool,
}

impl Known {
    fn last(&self) -> u64 {
        self.files.iter().map(|file| file.last).max().unwrap_or(0)
    }
}

/// The programs that have talked.
#[derive(Debug, Default)]
pub struct Contacts {
    known: BTreeMap<Who, Known>,
    most: usize,
    changes: Vec<Change>,
}

impl Contacts {
    /// Those that are written down, in a file of at most so many bytes.
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

    /// A program talks, from this file.
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

    /// Somebody has looked at the file that a path leads to.
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

    /// Of how many files they are at most.
    #[must_use]
    pub fn most_files(bytes: u64) -> usize {
        most(bytes) * FILES
    }

    /// What is to be written down.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// It could not be written down: it is tried again.
    pub fn put_back(&mut self, mut changes: Vec<Change>) {
        changes.append(&mut self.changes);
        self.changes = changes;
        // A disk that takes nothing for long: each is written once, as it is last.
        if self.changes.len() > self.most.saturating_mul(FILES) {
            self.write_all();
        }
    }

    /// Has all be written down, in a file that has nothing of it.
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

    /// So that one more of this user's can be known: who has most of what there is loses the one that was silent for longest.
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

/// The programs whose files are to be looked at, each not more often than once in so many seconds.
#[derive(Debug, Default)]
pub struct Glances(HashMap<Arc<str>, u64>);

impl Glances {
    /// How often one is looked at.
    const EVERY: u64 = 10;
    /// How many are remembered; then all are forgotten, and may be looked at again.
    const MOST: usize = 1024;

    /// Whether it is time to look at this one.
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
