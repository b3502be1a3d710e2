//! The answers that hold for always: in their file, and in force.

use super::answer;
use super::stored::{StoredAnswer, StoredAnswerKey};
use crate::answered_programs::AnsweredPrograms;
use crate::driver::Driver;
use crate::folders;
use crate::troubles::Trouble;
use anyhow::{Context, Result, bail};
use firewall_abi::asking::{Answer, Subject};
use firewall_abi::packet::Reason;
use rules::SystemResolver;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The file of answers that hold for always, in the folder for what is kept.
const FILE: &str = "answers.json";

/// The answers that hold for always, in their file.
#[derive(Debug, Default)]
pub struct PermanentAnswers {
    folder: PathBuf,
    kept: Vec<StoredAnswer>,
    /// What is in force, and of which of them: a program that was replaced while it runs is two.
    put: BTreeMap<Subject, StoredAnswerKey>,
    /// Why the file can't be read. It is not written then, for what is in it would be lost.
    trouble: Trouble,
}

impl PermanentAnswers {
    /// What is kept in this folder. A file that can't be read is left alone, answers nothing, and is trouble.
    pub fn open(folder: &Path) -> Self {
        let mut always = Self {
            folder: folder.to_owned(),
            ..Self::default()
        };
        always.read();
        always
    }

    fn read(&mut self) {
        let path = self.folder.join(FILE);
        if !path.exists() {
            self.trouble.is_over();
            return;
        }
        let read = folders::check(&self.folder).and_then(|()| {
            let text = fs::read_to_string(&path)?;
            Ok(serde_json::from_str::<Vec<StoredAnswer>>(&text)?)
        });
        match read {
            Ok(kept) => {
                self.kept = kept;
                self.trouble.is_over();
            }
            Err(cause) => {
                let said = format!(
                    "no answer for always holds, for {} can't be read: {cause:#}; mend it, or put it aside: it is read again by itself",
                    path.display()
                );
                self.trouble.stands([said]);
            }
        }
    }

    /// Why what was answered for always does not hold.
    pub fn trouble(&self) -> &Trouble {
        &self.trouble
    }

    /// An error where what was answered for always does not hold: the file is not written then.
    fn is_whole(&self) -> Result<()> {
        match self.trouble.said().first() {
            Some(trouble) => bail!("{trouble}"),
            None => Ok(()),
        }
    }

    /// Keeps one more, in the place of what was answered to the same before.
    pub fn keep(&mut self, new: StoredAnswer) -> Result<()> {
        self.is_whole()?;
        let key = new.key();
        let others = self.kept.iter().filter(|old| old.key() != key);
        let mut kept: Vec<_> = others.cloned().collect();
        kept.push(new);
        self.write(kept)
    }

    fn write(&mut self, kept: Vec<StoredAnswer>) -> Result<()> {
        folders::own(&self.folder)?;
        let path = self.folder.join(FILE);
        let text = serde_json::to_string_pretty(&kept)? + "\n";
        store::replace(&path, text.as_bytes())
            .with_context(|| format!("can't write {}", path.display()))?;
        self.kept = kept;
        Ok(())
    }

    /// Keeps these no more. Returns what is in force of them.
    pub fn forget(&mut self, keys: &BTreeSet<StoredAnswerKey>) -> Result<BTreeSet<Subject>> {
        if keys.is_empty() {
            return Ok(BTreeSet::new());
        }
        self.is_whole()?;
        let others = self.kept.iter().filter(|kept| !keys.contains(&kept.key()));
        self.write(others.cloned().collect())?;
        let (over, rest) = std::mem::take(&mut self.put)
            .into_iter()
            .partition(|(_, key)| keys.contains(key));
        self.put = rest;
        let over: BTreeMap<_, _> = over;
        Ok(over.into_keys().collect())
    }

    /// What is kept, each with its name for itself.
    pub fn kept(&self) -> impl Iterator<Item = (StoredAnswerKey, &StoredAnswer)> {
        self.kept.iter().map(|kept| (kept.key(), kept))
    }

    /// Of which of them this is in force.
    pub fn put_for(&self, to: &Subject) -> Option<&StoredAnswerKey> {
        self.put.get(to)
    }

    /// Puts in force what is kept. A program's file may be another one than before.
    pub fn put(&mut self, driver: &Driver, answered: &mut AnsweredPrograms) -> Result<()> {
        if self.trouble.holds() {
            self.read();
        }
        let machine = SystemResolver::beside(Path::new("/"));
        for kept in &self.kept {
            if let Some((to, allow)) = kept.entry(&machine)
                && !self.put.contains_key(&to)
            {
                let answer = answer(to.program, allow, Reason::Answer, Answer::NO_END);
                driver.answer(to, answer)?;
                self.put.insert(to, kept.key());
                let path = kept.program.iter();
                path.for_each(|path| answered.note(to.program, path, &machine));
            }
        }
        Ok(())
    }

    /// What is in force of it.
    pub fn is_put(&self, to: &Subject) -> bool {
        self.put.contains_key(to)
    }

    /// Notes that nothing of these programs is in force any more.
    pub fn took_back(&mut self, programs: &BTreeSet<[u64; 2]>) {
        self.put.retain(|to, _| !programs.contains(&to.program));
    }

    /// Notes that this is in force of what is kept.
    pub fn was_put(&mut self, to: Subject, key: StoredAnswerKey) {
        self.put.insert(to, key);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::super::example::subject;
    use super::*;
    use firewall_abi::asking::Width;

    #[test]
    fn a_file_of_answers_that_is_no_good_is_trouble_and_stays_as_it_is() {
        let folder = std::env::temp_dir().join(format!("gatebell-always-{}", std::process::id()));
        folders::own(&folder).unwrap();
        let file = folder.join(FILE);
        let kept = |user| {
            StoredAnswer::of(
                &subject(0, user, 1),
                Width::Endpoint,
                true,
                None,
                String::new(),
                1,
            )
        };
        let mut always = PermanentAnswers::open(&folder);
        assert!(!always.trouble().holds(), "there is none yet");
        always.keep(kept(1)).unwrap();
        let good = fs::read_to_string(&file).unwrap();
        let comma = good.replace("}\n]", "},\n]");
        assert_ne!(comma, good);
        fs::write(&file, &comma).unwrap();
        let mut always = PermanentAnswers::open(&folder);
        let trouble = always.trouble().said().remove(0);
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
        assert_eq!(PermanentAnswers::open(&folder).kept.len(), 2);
        fs::remove_dir_all(&folder).unwrap();
    }
}
