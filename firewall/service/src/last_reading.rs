//! Memory of the last reading of rules: whether another reading would come to the same is known by looking at what they
//! name, and not by reading it. A list of half a million lines takes the main loop longer to read than others may have
//! to wait for it.

use rules::{Errors, FileMark, Resolver, Rules, SetFile};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The last reading of a text, and all that it asked of the machine. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct LastReading(Option<Arc<Reading>>);

#[derive(Debug)]
struct Reading {
    name: String,
    text: String,
    asked: Asked,
    /// Troubles of the rules that were read: what they name and could not be had;
    /// or the errors for which there are none.
    outcome: Result<Vec<String>, Errors>,
}

impl LastReading {
    /// Reads rules, unless they could not be read before, and could not now.
    ///
    /// # Errors
    /// They can't be read.
    pub fn read(
        &mut self,
        name: &str,
        text: &str,
        machine: &dyn Resolver,
    ) -> Result<Rules, Errors> {
        // What is wrong is said with the name of the file.
        let is_of_it = self.0.as_ref().is_some_and(|last| last.name == name);
        if let Some(Err(errors)) = self.again(text, machine).filter(|_| is_of_it) {
            return Err(errors.clone());
        }
        let consulted = Consulted {
            machine,
            asked: RefCell::default(),
        };
        let read = rules::parse(name, text, &consulted);
        let outcome = match &read {
            Ok(rules) => Ok(rules.troubles().iter().map(ToString::to_string).collect()),
            Err(errors) => Err(errors.clone()),
        };
        self.0 = Some(Arc::new(Reading {
            name: name.to_owned(),
            text: text.to_owned(),
            asked: consulted.asked.into_inner(),
            outcome,
        }));
        read
    }

    /// Returns what rules lack that were read from this text, if another reading would find the same.
    pub fn lacks(&self, text: &str, machine: &dyn Resolver) -> Option<&[String]> {
        let outcome = self.again(text, machine)?;
        outcome.as_deref().ok()
    }

    /// Returns the outcome of the last reading, if it was of this text and another one would come to the same.
    fn again(&self, text: &str, machine: &dyn Resolver) -> Option<&Result<Vec<String>, Errors>> {
        let last = self.0.as_ref().filter(|last| last.text == text)?;
        last.asked.holds(machine).then_some(&last.outcome)
    }
}

/// Questions to the machine, with their answers.
#[derive(Clone, Debug, Default)]
struct Asked {
    /// Marks of files; `None`: what the file was can't be told.
    files: BTreeMap<String, Option<FileMark>>,
    fetched: BTreeMap<String, Option<FileMark>>,
    users: BTreeMap<String, Result<u32, String>>,
    other_users: Option<Vec<u32>>,
    programs: BTreeMap<String, Option<[u64; 2]>>,
    program_troubles: BTreeMap<String, Option<String>>,
}

impl Asked {
    /// Returns whether this machine would answer every question as it was answered.
    fn holds(&self, machine: &dyn Resolver) -> bool {
        let is_known =
            |before: &Option<FileMark>, now: Option<FileMark>| before.is_some() && *before == now;
        let Self {
            files,
            fetched,
            users,
            other_users,
            programs,
            program_troubles,
        } = self;
        files
            .iter()
            .all(|(path, mark)| is_known(mark, machine.set_file_mark(path)))
            && fetched
                .iter()
                .all(|(url, mark)| is_known(mark, machine.fetched_mark(url)))
            && programs
                .iter()
                .all(|(path, found)| *found == machine.program(path))
            && program_troubles
                .iter()
                .all(|(path, said)| *said == machine.program_trouble(path))
            && users
                .iter()
                .all(|(name, number)| *number == machine.user(name))
            && other_users
                .as_ref()
                .is_none_or(|others| *others == machine.other_users())
    }
}

/// The machine, and what it is asked.
struct Consulted<'a> {
    machine: &'a dyn Resolver,
    asked: RefCell<Asked>,
}

impl Resolver for Consulted<'_> {
    fn set_file(&self, path: &str) -> Result<SetFile, String> {
        // Before it is read: what is written meanwhile is another file.
        let mark = self.machine.set_file_mark(path);
        self.asked
            .borrow_mut()
            .files
            .entry(path.to_owned())
            .or_insert(mark);
        let read = self.machine.set_file(path);
        if read.is_err() {
            forget_unless_gone(self.asked.borrow_mut().files.get_mut(path));
        }
        read
    }

    fn fetched(&self, url: &str) -> Result<Option<SetFile>, String> {
        let mark = self.machine.fetched_mark(url);
        self.asked
            .borrow_mut()
            .fetched
            .entry(url.to_owned())
            .or_insert(mark);
        let read = self.machine.fetched(url);
        if read.is_err() {
            forget_unless_gone(self.asked.borrow_mut().fetched.get_mut(url));
        }
        read
    }

    fn set_file_mark(&self, path: &str) -> Option<FileMark> {
        self.machine.set_file_mark(path)
    }

    fn fetched_mark(&self, url: &str) -> Option<FileMark> {
        self.machine.fetched_mark(url)
    }

    fn user(&self, name: &str) -> Result<u32, String> {
        let number = self.machine.user(name);
        let mut asked = self.asked.borrow_mut();
        asked.users.insert(name.to_owned(), number.clone());
        number
    }

    fn other_users(&self) -> Vec<u32> {
        let others = self.machine.other_users();
        self.asked.borrow_mut().other_users = Some(others.clone());
        others
    }

    fn program(&self, path: &str) -> Option<[u64; 2]> {
        let found = self.machine.program(path);
        let mut asked = self.asked.borrow_mut();
        asked.programs.insert(path.to_owned(), found);
        found
    }

    fn program_trouble(&self, path: &str) -> Option<String> {
        let said = self.machine.program_trouble(path);
        let mut asked = self.asked.borrow_mut();
        asked.program_troubles.insert(path.to_owned(), said.clone());
        said
    }
}

/// Forgets the mark of what is there and could not be read: that may be the machine's doing,
/// which leaves the mark as it is.
fn forget_unless_gone(mark: Option<&mut Option<FileMark>>) {
    if let Some(mark) = mark {
        mark.take_if(|mark| !mark.is_of_none());
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use rules::SystemResolver;
    use std::cell::Cell;
    use std::fs::{self, File, FileTimes};
    use std::path::Path;
    use std::time::{Duration, SystemTime};

    /// A machine that counts how often a list is read.
    struct Machine {
        own: SystemResolver,
        reads: Cell<u32>,
        ann: Result<u32, String>,
        /// Zero: nothing is there.
        mark: Cell<Option<i64>>,
    }

    impl Machine {
        fn beside(rules: &Path) -> Self {
            Self {
                own: SystemResolver::beside(rules),
                reads: Cell::new(0),
                ann: Err("nobody is called ann".to_owned()),
                mark: Cell::new(Some(1)),
            }
        }
    }

    impl Resolver for Machine {
        fn set_file(&self, path: &str) -> Result<SetFile, String> {
            self.reads.set(self.reads.get() + 1);
            self.own.set_file(path)
        }

        fn set_file_mark(&self, _: &str) -> Option<FileMark> {
            let mark = self.mark.get()?;
            Some(FileMark::of((mark != 0).then_some([mark; 7])))
        }

        fn user(&self, _: &str) -> Result<u32, String> {
            self.ann.clone()
        }

        fn program(&self, _: &str) -> Option<[u64; 2]> {
            None
        }
    }

    const LACKING: &str = "[default]\ninbound = 'block'\noutbound = 'allow'\n[[set]]\nid = 'bad'\nfile = 'bad.txt'\n\
        [[rule]]\nid = 'no'\naction = 'block'\ndestination = '@bad'\nuser = 'ann'\n";

    #[test]
    fn rules_that_lack_something_are_read_again_once_the_machine_says_something_else() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("bad.txt"), "192.0.2.1\n").unwrap();
        let mut machine = Machine::beside(&folder.path().join("rules.toml"));
        let mut reading = LastReading::default();
        assert!(reading.lacks(LACKING, &machine).is_none(), "not read yet");
        let rules = reading.read("r", LACKING, &machine).unwrap();
        assert_eq!(rules.troubles().len(), 1);
        let read = machine.reads.get();
        for _ in 0..100 {
            let lacks = reading.lacks(LACKING, &machine).unwrap();
            assert!(lacks[0].contains("ann"), "{lacks:?}");
        }
        assert_eq!(machine.reads.get(), read, "nothing is read for it");
        assert!(reading.lacks("another text", &machine).is_none());
        machine.mark.set(Some(2));
        assert!(reading.lacks(LACKING, &machine).is_none(), "another list");
        // Where it can't be told, it is read.
        machine.mark.set(None);
        let _rules = reading.read("r", LACKING, &machine).unwrap();
        assert!(reading.lacks(LACKING, &machine).is_none());
        machine.mark.set(Some(2));
        let _rules = reading.read("r", LACKING, &machine).unwrap();
        assert!(reading.lacks(LACKING, &machine).is_some());
        machine.ann = Ok(1000);
        assert!(reading.lacks(LACKING, &machine).is_none(), "she is there");
        let rules = reading.read("r", LACKING, &machine).unwrap();
        assert!(rules.troubles().is_empty());
    }

    #[test]
    fn rules_that_can_not_be_read_are_not_read_again_until_something_that_they_name_is_another() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("bad.txt"), "192.0.2.1\n").unwrap();
        let machine = Machine::beside(&folder.path().join("rules.toml"));
        let text = format!("{LACKING}port = 7\n");
        let mut reading = LastReading::default();
        let errors = reading.read("r", &text, &machine).unwrap_err();
        let read = machine.reads.get();
        assert!(read > 0, "{errors}");
        for _ in 0..100 {
            assert_eq!(reading.read("r", &text, &machine).unwrap_err(), errors);
        }
        assert_eq!(machine.reads.get(), read, "nothing is read for it");
        machine.mark.set(Some(2));
        let _errors = reading.read("r", &text, &machine).unwrap_err();
        assert!(machine.reads.get() > read);
        // Good rules are read each time: somebody wants them.
        let good = LACKING.replace("user = 'ann'\n", "");
        for _ in 0..2 {
            let before = machine.reads.get();
            let _rules = reading.read("r", &good, &machine).unwrap();
            assert!(machine.reads.get() > before);
        }
    }

    #[test]
    fn what_was_refused_is_said_again_of_the_same_file_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("bad.txt"), "192.0.2.1\n").unwrap();
        let machine = Machine::beside(&folder.path().join("rules.toml"));
        let text = format!("{LACKING}port = 7\n");
        let mut reading = LastReading::default();
        let of_the_file = reading.read("rules.toml", &text, &machine).unwrap_err();
        let of_another = reading.read("tried.toml", &text, &machine).unwrap_err();
        assert!(of_the_file.to_string().contains("rules.toml"));
        assert!(
            of_another.to_string().contains("tried.toml"),
            "{of_another}"
        );
    }

    #[test]
    fn a_list_that_is_there_and_could_not_be_read_is_read_again_though_it_has_the_same_mark() {
        let folder = tempfile::tempdir().unwrap();
        let mut machine = Machine::beside(&folder.path().join("rules.toml"));
        machine.ann = Ok(1000);
        let mut reading = LastReading::default();
        // Its mark stays as it is: the machine had no room to open it, or a copy of it could not be trusted.
        let rules = reading.read("r", LACKING, &machine).unwrap();
        assert_eq!(rules.troubles().len(), 1);
        assert!(reading.lacks(LACKING, &machine).is_none());
        let wrong = format!("{LACKING}port = 7\n");
        for _ in 0..2 {
            let before = machine.reads.get();
            let _errors = reading.read("r", &wrong, &machine).unwrap_err();
            assert!(machine.reads.get() > before);
        }
        // That nothing is there is told by the mark.
        machine.mark.set(Some(0));
        let _rules = reading.read("r", LACKING, &machine).unwrap();
        assert!(reading.lacks(LACKING, &machine).is_some());
    }

    #[test]
    fn a_list_has_another_mark_once_it_is_written_to_or_replaced_or_gone_and_none_while_it_is_fresh()
     {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("list");
        let machine = SystemResolver::beside(&folder.path().join("rules.toml"));
        let mark = || machine.set_file_mark("list");
        let missing = mark();
        assert!(missing.is_some() && missing == mark());
        fs::write(&list, "192.0.2.1\n").unwrap();
        assert_eq!(mark(), None, "what is written next may have the same time");
        // What was written an hour ago has been changed now all the same.
        let hour_ago = SystemTime::now() - Duration::from_secs(3600);
        let times = FileTimes::new().set_modified(hour_ago);
        File::options()
            .write(true)
            .open(&list)
            .unwrap()
            .set_times(times)
            .unwrap();
        assert_eq!(mark(), None);
        let old = machine.set_file_mark("/bin/sh");
        assert!(old.is_some() && old != missing);
        assert_eq!(old, machine.set_file_mark("/bin/sh"));
        assert_ne!(old, machine.set_file_mark("/bin/cat"));
    }
}
