//! Rule file on the disk: what is known of it, and how it is replaced without losing what somebody wrote there.

use anyhow::{Context, Result, anyhow};
use control::ChangeNote;
use rules::read_rule_file;
use std::io;
use std::path::Path;
use store::{History, NewChange};

/// State of the rule file, as far as it is known.
#[derive(Debug, Default)]
pub struct RuleFile {
    /// Text that was read from the file or written to it last, and was in force then.
    known: Option<String>,
    /// Change that is in force and could not be written to the file.
    unwritten: Option<Unwritten>,
}

/// Change that could not be written to the file.
#[derive(Debug)]
struct Unwritten {
    change: NewChange,
    /// Number under which the file's content is kept, if it is. It is kept once, however often the change is tried.
    kept: Option<u64>,
}

/// Result of replacing a file: it was replaced, or held the text already.
#[derive(Debug)]
pub struct Replaced {
    /// Number of the change whose earlier state was kept, or why none was; `None` if there was nothing to keep.
    pub kept: Option<Result<u64>>,
    /// `true` if the file held text that was never in force, as after a change by hand. That is kept then.
    pub was_by_hand: bool,
}

impl RuleFile {
    /// Notes that this text is in the file, and in force.
    pub fn holds(&mut self, text: &str) {
        (self.known, self.unwritten) = (Some(text.to_owned()), None);
    }

    /// Returns whether the rules in force could not be written to the file, so that it holds those before.
    pub fn is_unwritten(&self) -> bool {
        self.unwritten.is_some()
    }

    /// Returns the change that could not be written and is still to be: nobody else has written to the file since.
    pub fn owed(&self, path: &Path) -> Option<NewChange> {
        let known = self.known.as_ref().map(String::as_bytes);
        let is_as_known = read_rule_file(path).map_or(true, |there| Some(&there[..]) == known);
        let unwritten = self.unwritten.as_ref().filter(|_| is_as_known);
        unwritten.map(|unwritten| unwritten.change.clone())
    }

    /// Replaces the file's content by the text in force, and keeps what it held. One that holds it already is left as
    /// it is.
    ///
    /// # Errors
    /// It can't be written; or somebody wrote there what can't be kept, and it is left as it is.
    pub fn replace(&mut self, path: &Path, text: &str, change: NewChange) -> Result<Replaced> {
        let before = match read_rule_file(path) {
            Err(none) if none.kind() == io::ErrorKind::NotFound => None,
            before => Some(before.with_context(|| format!("can't read {}", path.display()))?),
        };
        if before.as_deref() == Some(text.as_bytes()) {
            self.holds(text);
            return Ok(Replaced {
                kept: None,
                was_by_hand: false,
            });
        }
        let was_by_hand = before
            .as_deref()
            .is_some_and(|before| self.known.as_ref().map(String::as_bytes) != Some(before));
        let tried = self
            .unwritten
            .take()
            .filter(|tried| tried.change == change && !was_by_hand);
        let kept_before = tried.and_then(|tried| tried.kept);
        let kept = before.map(|before| {
            if let Some(number) = kept_before {
                return Ok(number);
            }
            let text = String::from_utf8(before).map_err(|_| anyhow!("it is no text"))?;
            keep(path, &text, change.clone())
        });
        if was_by_hand && let Some(Err(cause)) = kept {
            return Err(cause.context(
                "what somebody wrote there was not in force and can't be kept, so it is left as it is",
            ));
        }
        let written = store::replace(path, text.as_bytes());
        if written.is_err() {
            let kept = kept.as_ref().and_then(|kept| kept.as_ref().ok().copied());
            self.unwritten = Some(Unwritten { change, kept });
        }
        written.with_context(|| format!("can't write {}", path.display()))?;
        self.holds(text);
        Ok(Replaced { kept, was_by_hand })
    }
}

/// Reads a rule file that is to be text.
///
/// # Errors
/// It can't be read, or is no text.
pub fn read_text(path: &Path) -> io::Result<String> {
    let bytes = read_rule_file(path)?;
    String::from_utf8(bytes).map_err(|_| {
        let said = "it is not UTF-8; save it as UTF-8";
        io::Error::new(io::ErrorKind::InvalidData, said)
    })
}

/// Returns the warning for whoever asked, that their change replaced one made by hand.
pub fn replaced_by_hand(path: &Path) -> String {
    format!(
        "{} held what was not in force, as after a change by hand: it is replaced, and kept; to have it back: `sudo gatebell rules undo`",
        path.display()
    )
}

/// Keeps what the file held before a change, for who wants it back. Returns the change's number.
pub fn keep(path: &Path, before: &str, change: NewChange) -> Result<u64> {
    // Nobody is waited for: this thread has a firewall to run.
    let kept = History::beside(path).try_hold()?.keep(before, change)?;
    Ok(kept.number)
}

/// Returns the change to be kept with the rule file's earlier state, for rules that were tried out and are confirmed
/// now: what was said of them then.
pub fn confirmed_change(tried_out: Option<ChangeNote>, file: &str, by: String) -> NewChange {
    let ChangeNote { what, undoes, .. } = tried_out.unwrap_or_default();
    NewChange {
        by,
        what: what.map_or_else(
            || format!("confirm {file}"),
            |what| format!("{what}, confirmed"),
        ),
        undoes,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use std::fs;
    use std::path::PathBuf;
    use tempfile::{TempDir, tempdir};

    fn file_in(folder: &TempDir) -> PathBuf {
        folder.path().join("rules.toml")
    }

    fn change() -> NewChange {
        confirmed_change(None, "f", "root".to_owned())
    }

    #[test]
    fn what_somebody_wrote_by_hand_is_kept_and_said_where_the_rule_file_is_replaced() {
        let folder = tempdir().unwrap();
        let path = file_in(&folder);
        let mut file = RuleFile::default();
        fs::write(&path, "one").unwrap();
        file.holds("one");
        let replaced = file.replace(&path, "two", change()).unwrap();
        assert!(!replaced.was_by_hand && replaced.kept.unwrap().is_ok());
        let replaced = file.replace(&path, "three", change()).unwrap();
        assert!(!replaced.was_by_hand, "the service's own");
        fs::write(&path, "by hand").unwrap();
        let replaced = file.replace(&path, "four", change()).unwrap();
        assert!(replaced.was_by_hand);
        let number = replaced.kept.unwrap().unwrap();
        let kept = History::beside(&path).before(number);
        assert_eq!(kept.as_deref(), Some("by hand"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "four");
        // What the rules are to be is what somebody wrote already.
        fs::write(&path, "five").unwrap();
        let replaced = file.replace(&path, "five", change()).unwrap();
        assert!(!replaced.was_by_hand && replaced.kept.is_none());
    }

    #[test]
    fn what_somebody_wrote_by_hand_and_can_not_be_kept_is_left_as_it_is() {
        let folder = tempdir().unwrap();
        let path = file_in(&folder);
        let mut file = RuleFile::default();
        for by_hand in [b"by hand".as_slice(), b"\xFF no text"] {
            file.holds("one");
            fs::write(&path, by_hand).unwrap();
            let history = History::beside(&path);
            // Somebody else is at it, and is not waited for.
            let held = history.hold().unwrap();
            let error = file.replace(&path, "two", change()).unwrap_err();
            drop(held);
            assert!(format!("{error:#}").contains("left as it is"), "{error:#}");
            assert_eq!(fs::read(&path).unwrap(), by_hand);
            assert!(!file.is_unwritten(), "it was changed by hand");
        }
        let _replaced = file.replace(&path, "two", change()).unwrap_err();
        // There is none yet.
        fs::remove_file(&path).unwrap();
        let replaced = file.replace(&path, "two", change()).unwrap();
        assert!(!replaced.was_by_hand && replaced.kept.is_none());
    }

    #[test]
    fn a_rule_file_that_could_not_be_written_is_known_for_the_old_one() {
        let folder = tempdir().unwrap();
        let path = folder.path().join("gone").join("rules.toml");
        let mut file = RuleFile::default();
        file.holds("one");
        assert!(file.replace(&path, "two", change()).is_err());
        assert!(file.is_unwritten());
        assert_eq!(file.owed(&path), Some(change()), "it is tried again");
        fs::create_dir(folder.path().join("gone")).unwrap();
        fs::write(&path, "by hand").unwrap();
        assert_eq!(file.owed(&path), None, "somebody wants something else");
        fs::write(&path, "one").unwrap();
        assert_eq!(file.owed(&path), Some(change()));
        let replaced = file.replace(&path, "three", change()).unwrap();
        assert!(!replaced.was_by_hand, "it held the rules before");
        assert!(!file.is_unwritten() && file.owed(&path).is_none());
    }

    #[test]
    fn a_rule_file_that_holds_what_is_in_force_is_not_written_and_nothing_is_owed() {
        let folder = tempdir().unwrap();
        let path = file_in(&folder);
        // Nobody makes a file where the kernel alone does.
        std::os::unix::fs::symlink("/proc/sys/kernel/ostype", &path).unwrap();
        let there = fs::read_to_string(&path).unwrap();
        let mut file = RuleFile::default();
        file.holds(&there);
        let _unwritten = file.replace(&path, "two", change()).unwrap_err();
        assert!(file.is_unwritten());
        // Whoever is told so applies those of the file instead.
        let replaced = file.replace(&path, &there, change()).unwrap();
        assert!(!replaced.was_by_hand && replaced.kept.is_none());
        assert!(!file.is_unwritten() && file.owed(&path).is_none());
    }

    #[test]
    fn what_the_rule_file_held_is_kept_once_however_often_a_change_can_not_be_written() {
        let folder = tempdir().unwrap();
        let path = file_in(&folder);
        fs::write(&path, "one").unwrap();
        let number = keep(&path, "one", change()).unwrap();
        let tried = || RuleFile {
            known: Some("one".to_owned()),
            unwritten: Some(Unwritten {
                change: change(),
                kept: Some(number),
            }),
        };
        let kept = || History::beside(&path).changes().unwrap().len();
        let replaced = tried().replace(&path, "two", change()).unwrap();
        assert_eq!((replaced.kept.unwrap().unwrap(), kept()), (number, 1));
        // What somebody wrote there meanwhile is another state, and what another change replaces is kept under that.
        fs::write(&path, "by hand").unwrap();
        let replaced = tried().replace(&path, "two", change()).unwrap();
        assert!(replaced.was_by_hand && kept() == 2);
        fs::write(&path, "one").unwrap();
        let other = confirmed_change(None, "g", "root".to_owned());
        let replaced = tried().replace(&path, "two", other).unwrap();
        assert_ne!(replaced.kept.unwrap().unwrap(), number);
        assert_eq!(kept(), 3);
    }

    #[test]
    fn a_change_that_is_confirmed_is_kept_under_what_it_was_when_it_was_tried_out() {
        let tried_out = ChangeNote {
            what: Some("add web".to_owned()),
            undoes: Some(3),
            replaces: Some(7),
        };
        let change = confirmed_change(Some(tried_out), "rules.toml", "ann".to_owned());
        assert_eq!(
            (change.what.as_str(), change.undoes, change.by.as_str()),
            ("add web, confirmed", Some(3), "ann")
        );
        let change = confirmed_change(None, "rules.toml", "ann".to_owned());
        assert_eq!(change.what, "confirm rules.toml");
    }
}
