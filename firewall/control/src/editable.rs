//! The running service's rule file as it is in force, if it can be changed now.

use crate::{Client, Failed, RuleText};
use std::fs;
use std::path::PathBuf;

/// Rule file of the service: the text that is in force, which is the file's too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EditableRules {
    /// Path of the file.
    pub file: PathBuf,
    /// Text of the file.
    pub text: String,
    /// Generation that is in force.
    pub generation: u32,
    /// Folder of the service for rules: the paths of sets' files are relative to it.
    pub folder: PathBuf,
}

/// Reason for which a change to the rule file can't begin with what is in force.
#[derive(Debug)]
pub enum NotEditable {
    /// The service has no text of what is in force.
    NoText,
    /// Rules are on a lease.
    OnLease,
    /// The file differs from the rules in force.
    ChangedByHand(PathBuf),
    /// The service could not be asked.
    Failed(Failed),
}

impl EditableRules {
    /// Asks the service for the rules in force.
    ///
    /// # Errors
    /// It can't be changed now: see [`NotEditable`]. While rules are on a lease they can only
    /// be changed `on_a_lease` again.
    pub fn read(client: &mut Client, on_a_lease: bool) -> Result<Self, NotEditable> {
        let rules = client.rules()?;
        Self::of(client, rules, on_a_lease)
    }

    /// Checks rules that the service was asked for already.
    ///
    /// # Errors
    /// See [`Self::read`].
    pub fn of(client: &mut Client, rules: RuleText, on_a_lease: bool) -> Result<Self, NotEditable> {
        let text = rules.text.ok_or(NotEditable::NoText)?;
        if client.status()?.lease.is_some() {
            if !on_a_lease {
                return Err(NotEditable::OnLease);
            }
        } else if !rules.unwritten
            && fs::read_to_string(&rules.file).is_ok_and(|on_disk| on_disk != text)
        {
            // Where the service could not write it, nobody changed it, and the next change brings it up to date.
            // Whoever may not read it may not change it either, and is told so by the service.
            return Err(NotEditable::ChangedByHand(rules.file));
        }
        Ok(Self {
            file: rules.file,
            text,
            generation: rules.generation,
            folder: rules.folder,
        })
    }
}

impl From<Failed> for NotEditable {
    fn from(failed: Failed) -> Self {
        Self::Failed(failed)
    }
}

impl std::fmt::Display for NotEditable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoText => f.write_str(crate::NO_TEXT),
            Self::OnLease => f.write_str(
                "rules are on a lease; nothing was changed: keep them or take them back first, `gatebell rules confirm` or \
                 `gatebell rules revert`",
            ),
            Self::ChangedByHand(file) => {
                let name = file.to_string_lossy();
                let file_word = crate::shell_word(&name);
                write!(
                    f,
                    "{name} was changed and is not in force as it is now; nothing was changed: see what differs, `gatebell rules show \
                     --text | diff - {file_word}`, then put it in force, `sudo systemctl reload gatebell`, or take your change out of it"
                )
            }
            Self::Failed(failed) => failed.fmt(f),
        }
    }
}

impl std::error::Error for NotEditable {}
