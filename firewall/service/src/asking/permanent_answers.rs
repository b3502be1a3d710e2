//! Answers that hold for always: in their file, and in force.

use super::answer;
use super::stored::{StoredAnswer, StoredAnswerKey, StoredVerdict};
use crate::answered_programs::AnsweredPrograms;
use crate::driver::Driver;
use crate::folders;
use crate::foreign_folder::FileState;
use crate::troubles::Trouble;
use anyhow::{Context, Result, bail};
use firewall_abi::asking::{Answer, Subject};
use firewall_abi::packet::Reason;
use nix::sys::stat::stat;
use rules::SystemResolver;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use tracing::warn;

/// Name of the file of answers that hold for always, in the folder for what is kept.
const FILE: &str = "answers.json";

/// Answers that hold for always, in their file. People may edit it while the service runs: it is read anew when it has
/// changed.
#[derive(Debug, Default)]
pub struct PermanentAnswers {
    folder: PathBuf,
    kept: Vec<StoredAnswer>,
    /// State of the file when it was read or written last.
    state: Option<FileState>,
    /// Answers in force, with the kept answer that each comes from: a program that was replaced while it runs has two.
    put: BTreeMap<Subject, Put>,
    /// Reason why the file can't be read. It is not written then, for its content would be lost.
    trouble: Trouble,
}

/// Answer in force: the key of the kept answer that it comes from, and its verdict.
#[derive(Clone, Debug)]
struct Put {
    key: StoredAnswerKey,
    answer: StoredVerdict,
}

impl PermanentAnswers {
    /// Opens the answers kept in this folder. A file that can't be read is left alone, answers nothing, and is trouble.
    pub fn open(folder: &Path) -> Self {
        let mut always = Self {
            folder: folder.to_owned(),
            ..Self::default()
        };
        always.read();
        always
    }

    fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// Returns the state of the file now, or `None` if it is not there or can't be looked at.
    fn state_now(&self) -> Option<FileState> {
        stat(&self.path()).ok().as_ref().map(FileState::of)
    }

    fn read(&mut self) {
        let path = self.path();
        // Looked at before it is read: what changes meanwhile is read again.
        self.state = self.state_now();
        let read = if path.exists() {
            folders::check(&self.folder).and_then(|()| parse(&fs::read_to_string(&path)?))
        } else {
            Ok(Vec::new())
        };
        match read {
            Ok(kept) => {
                say_those_of_links(&kept);
                self.kept = kept;
                self.trouble.is_over();
            }
            Err(cause) => {
                self.kept.clear();
                let said = format!(
                    "no answer for always holds, for {} can't be read: {cause:#}; mend it, or put it aside: it is read again by itself",
                    path.display()
                );
                self.trouble.stands([said]);
            }
        }
    }

    /// Reads the file again if somebody else has changed it, or if it could not be read.
    fn read_again(&mut self) {
        if self.trouble.holds() || self.state != self.state_now() {
            self.read();
        }
    }

    /// Returns the trouble because of which answers for always do not hold, if there is any.
    pub fn trouble(&self) -> &Trouble {
        &self.trouble
    }

    /// Returns an error if the answers for always do not hold: the file is not written then.
    fn is_whole(&self) -> Result<()> {
        match self.trouble.said().first() {
            Some(trouble) => bail!("{trouble}"),
            None => Ok(()),
        }
    }

    /// Keeps one more answer, in the place of what was answered to the same before.
    pub fn keep(&mut self, new: StoredAnswer) -> Result<()> {
        self.read_again();
        self.is_whole()?;
        new.check()?;
        let key = new.key();
        let others = self.kept.iter().filter(|old| old.key() != key);
        let mut kept: Vec<_> = others.cloned().collect();
        kept.push(new);
        self.write(kept)
    }

    fn write(&mut self, kept: Vec<StoredAnswer>) -> Result<()> {
        folders::own(&self.folder)?;
        let path = self.path();
        let text = serde_json::to_string_pretty(&kept)? + "\n";
        store::replace(&path, text.as_bytes())
            .with_context(|| format!("can't write {}", path.display()))?;
        self.state = self.state_now();
        self.kept = kept;
        Ok(())
    }

    /// Removes these answers from the file. Returns the subjects for which they are in force.
    pub fn forget(&mut self, keys: &BTreeSet<StoredAnswerKey>) -> Result<BTreeSet<Subject>> {
        if keys.is_empty() {
            return Ok(BTreeSet::new());
        }
        self.read_again();
        self.is_whole()?;
        let others = self.kept.iter().filter(|kept| !keys.contains(&kept.key()));
        self.write(others.cloned().collect())?;
        let (over, rest) = std::mem::take(&mut self.put)
            .into_iter()
            .partition(|(_, put)| keys.contains(&put.key));
        self.put = rest;
        let over: BTreeMap<_, _> = over;
        Ok(over.into_keys().collect())
    }

    /// Returns the kept answers, each with its key.
    pub fn kept(&self) -> impl Iterator<Item = (StoredAnswerKey, &StoredAnswer)> {
        self.kept.iter().map(|kept| (kept.key(), kept))
    }

    /// Returns the key of the kept answer that is in force for this subject, if one is.
    pub fn put_for(&self, to: &Subject) -> Option<&StoredAnswerKey> {
        self.put.get(to).map(|put| &put.key)
    }

    /// Returns the subjects whose answer is in force and no longer kept, or kept with another verdict, because somebody
    /// has changed the file.
    pub fn changed(&mut self) -> Vec<Subject> {
        self.read_again();
        let kept = self.kept.iter().map(|kept| (kept.key(), kept.answer));
        let kept: BTreeMap<_, _> = kept.collect();
        let over = self
            .put
            .iter()
            .filter(|(_, put)| kept.get(&put.key) != Some(&put.answer));
        over.map(|(to, _)| *to).collect()
    }

    /// Puts in force what is kept and holds. A program's file may be another one than before; where two paths lead to
    /// one program, what blocks comes first.
    pub fn put(&mut self, driver: &Driver, answered: &mut AnsweredPrograms) -> Result<()> {
        let machine = SystemResolver::beside(Path::new("/"));
        for kept in that_hold(&self.kept) {
            if let Some((to, allow)) = kept.entry(&machine)
                && !self.put.contains_key(&to)
            {
                let answer = answer(to.program, allow, Reason::Answer, Answer::NO_END);
                driver.answer(to, answer)?;
                self.put.insert(to, Put::of(kept));
                let path = kept.program.iter();
                path.for_each(|path| answered.note(to.program, path, &machine));
            }
        }
        Ok(())
    }

    /// Returns whether a kept answer is in force for this subject.
    pub fn is_put(&self, to: &Subject) -> bool {
        self.put.contains_key(to)
    }

    /// Notes that no kept answer is in force for this subject any more.
    pub fn was_taken(&mut self, to: &Subject) {
        self.put.remove(to);
    }

    /// Notes that nothing of these programs is in force any more.
    pub fn took_back(&mut self, programs: &BTreeSet<[u64; 2]>) {
        self.put.retain(|to, _| !programs.contains(&to.program));
    }

    /// Notes that a kept answer is in force for this subject.
    pub fn was_put(&mut self, to: Subject, kept: &StoredAnswer) {
        self.put.insert(to, Put::of(kept));
    }
}

impl Put {
    fn of(kept: &StoredAnswer) -> Self {
        Self {
            key: kept.key(),
            answer: kept.answer,
        }
    }
}

/// Returns all answers but those that allow a link-local address, those that block first.
fn that_hold(kept: &[StoredAnswer]) -> impl Iterator<Item = &StoredAnswer> {
    let (block, allow): (Vec<_>, Vec<_>) = kept
        .iter()
        .filter(|kept| !kept.allows_of_link())
        .partition(|kept| kept.answer == StoredVerdict::Block);
    block.into_iter().chain(allow)
}

/// Logs which answers of a file do not hold, because they allow a link-local address.
fn say_those_of_links(kept: &[StoredAnswer]) {
    let of_links = kept.iter().filter(|kept| kept.allows_of_link());
    for (kept, remote) in of_links.filter_map(|kept| Some((kept, kept.remote?))) {
        let program = kept.program.as_deref().unwrap_or("an unknown program");
        warn!(
            "the answer for always that allows {program} to talk with {remote} does not hold: another machine has that address on each \
             network, and an answer knows no network; write a rule that names the interface"
        );
    }
}

/// Parses a file of answers: each has to be complete, and no two may be for the same subject.
fn parse(text: &str) -> Result<Vec<StoredAnswer>> {
    let kept: Vec<StoredAnswer> = serde_json::from_str(text)?;
    let mut keys = BTreeSet::new();
    for (number, kept) in (1..).zip(&kept) {
        let which = || format!("answer {number}");
        kept.check().with_context(which)?;
        if !keys.insert(kept.key()) {
            bail!("{} is to the same as one before it", which());
        }
    }
    Ok(kept)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::super::example::subject;
    use super::*;
    use firewall_abi::asking::Width;
    use firewall_abi::packet::NO_USER;
    use tempfile::{TempDir, tempdir};

    fn file_in(folder: &TempDir) -> PathBuf {
        folder.path().join(FILE)
    }

    fn kept(user: u32) -> StoredAnswer {
        let to = subject(0, user, 1);
        StoredAnswer::of(&to, Width::Endpoint, true, None, String::new(), 1)
    }

    #[test]
    fn an_answer_that_is_not_whole_or_says_more_than_is_known_here_makes_the_file_no_good() {
        let folder = tempdir().unwrap();
        PermanentAnswers::open(folder.path()).keep(kept(1)).unwrap();
        let good = fs::read_to_string(file_in(&folder)).unwrap();
        let one: serde_json::Value = serde_json::from_str(&good).unwrap();
        let keys: Vec<_> = one[0].as_object().unwrap().keys().cloned().collect();
        let mut wrong: Vec<_> = keys
            .iter()
            .map(|key| {
                let mut cut = one.clone();
                cut[0].as_object_mut().unwrap().remove(key);
                cut
            })
            .collect();
        for (key, value) in [
            ("until", 1.into()),
            ("answer", "reject".into()),
            ("answer", "ask".into()),
            ("direction", "OUT".into()),
            ("direction", "forward".into()),
            ("remote", "::ffff:192.0.2.1".into()),
            ("remote", "::".into()),
            ("port", 0.into()),
            ("user", NO_USER.into()),
            ("protocol", serde_json::Value::Null),
        ] {
            let mut other = one.clone();
            other[0][key] = value;
            wrong.push(other);
        }
        let mut other = one[0].clone();
        other["answer"] = "block".into();
        wrong.push(vec![one[0].clone(), other].into());
        for wrong in wrong {
            fs::write(file_in(&folder), wrong.to_string()).unwrap();
            let always = PermanentAnswers::open(folder.path());
            assert!(always.trouble().holds(), "{wrong}");
            assert_eq!(always.kept().count(), 0, "{wrong}");
        }
        fs::write(file_in(&folder), good).unwrap();
        assert_eq!(PermanentAnswers::open(folder.path()).kept().count(), 1);
    }

    #[test]
    fn an_answer_for_always_that_allows_a_link_local_address_is_kept_and_does_not_hold_and_one_that_blocks_it_does()
     {
        let folder = tempdir().unwrap();
        let to = |remote: &str, user| StoredAnswer {
            remote: Some(remote.parse().unwrap()),
            ..kept(user)
        };
        let mut always = PermanentAnswers::open(folder.path());
        always.keep(to("fe80::99", 1)).unwrap();
        always.keep(to("2001:db8::99", 2)).unwrap();
        let blocks = StoredAnswer {
            answer: StoredVerdict::Block,
            ..to("169.254.169.254", 3)
        };
        always.keep(blocks).unwrap();
        let read = PermanentAnswers::open(folder.path());
        assert!(!read.trouble().holds());
        assert_eq!(read.kept().count(), 3);
        let that_hold: Vec<_> = that_hold(&read.kept).map(|kept| kept.user).collect();
        assert_eq!(that_hold, [Some(3), Some(2)]);
    }

    #[test]
    fn what_somebody_changes_in_the_file_while_the_service_runs_is_what_is_kept_and_is_not_written_over()
     {
        let folder = tempdir().unwrap();
        let mut always = PermanentAnswers::open(folder.path());
        for user in [1, 2, 3] {
            always.keep(kept(user)).unwrap();
            always.was_put(subject(0, user, 1), &kept(user));
        }
        assert!(always.changed().is_empty());
        let mut edited = vec![kept(1), kept(2)];
        edited[1].answer = StoredVerdict::Block;
        let write = |edited: &[StoredAnswer]| {
            fs::write(file_in(&folder), serde_json::to_string(edited).unwrap()).unwrap();
        };
        write(&edited);
        assert_eq!(always.changed(), [2, 3].map(|user| subject(0, user, 1)));
        always.keep(kept(4)).unwrap();
        let now = fs::read_to_string(file_in(&folder)).unwrap();
        edited.push(kept(4));
        assert_eq!(parse(&now).unwrap(), edited);
        edited.remove(0);
        write(&edited);
        always.forget(&BTreeSet::from([kept(4).key()])).unwrap();
        let now = fs::read_to_string(file_in(&folder)).unwrap();
        assert_eq!(parse(&now).unwrap(), edited[..1]);
        // What can't be read holds nothing any more.
        fs::write(file_in(&folder), "[").unwrap();
        assert_eq!(always.changed().len(), 3);
        fs::remove_file(file_in(&folder)).unwrap();
        assert_eq!(always.changed().len(), 3);
        assert!(!always.trouble().holds());
    }

    #[test]
    fn a_file_of_answers_that_is_no_good_is_trouble_and_stays_as_it_is() {
        let folder = tempdir().unwrap();
        let file = file_in(&folder);
        let mut always = PermanentAnswers::open(folder.path());
        assert!(!always.trouble().holds(), "there is none yet");
        always.keep(kept(1)).unwrap();
        let good = fs::read_to_string(&file).unwrap();
        let comma = good.replace("}\n]", "},\n]");
        assert_ne!(comma, good);
        fs::write(&file, &comma).unwrap();
        let mut always = PermanentAnswers::open(folder.path());
        let trouble = always.trouble().said().remove(0).detail;
        assert!(
            trouble.contains(FILE) && trouble.contains("mend it"),
            "{trouble}"
        );
        assert_eq!(always.keep(kept(2)).unwrap_err().to_string(), trouble);
        assert_eq!(fs::read_to_string(&file).unwrap(), comma);
        fs::write(&file, &good).unwrap();
        always.read();
        assert!(!always.trouble().holds());
        always.keep(kept(2)).unwrap();
        assert_eq!(PermanentAnswers::open(folder.path()).kept.len(), 2);
    }
}
