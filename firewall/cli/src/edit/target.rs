//! The file that is changed: one that is named, or the running service's, which takes the change at once.

use super::arguments::TargetArguments;
use super::wrong::Wrong;
use crate::Error;
use crate::rule_file::{RuleSource, is_standard_input};
use rules::clean;
use store::{History, NewChange, this_person};

/// The file that is changed.
pub enum Target {
    /// A file that is named, and that no service runs by.
    File(RuleSource),
    /// The service's.
    #[cfg(target_os = "linux")]
    Service(crate::live::ServiceFile),
}

/// Result of a change.
pub enum Taken {
    /// Nothing was written.
    Nothing,
    /// The file was written, and the state before has this number.
    Written(u64),
    /// The service has applied the change.
    #[cfg(target_os = "linux")]
    Applied(control::Applied),
}

impl Taken {
    /// Returns a sentence for people about the result of the change.
    pub fn sentence(&self, old: &RuleSource, changed: bool) -> String {
        let name = clean(&old.name);
        match self {
            Self::Nothing if changed => {
                format!("{name} would change so; nothing was written.")
            }
            Self::Nothing => format!("Nothing changes: {name} is so already."),
            Self::Written(change) => {
                let name_word = control::shell_word(&name);
                format!(
                    "{name} is changed; `gatebell rules undo {change} --file {name_word}` takes that back."
                )
            }
            #[cfg(target_os = "linux")]
            Self::Applied(applied) => crate::live::taken(applied),
        }
    }

    /// Returns whether anything was written.
    pub fn is_written(&self) -> bool {
        !matches!(self, Self::Nothing)
    }

    /// The number of the change, if the state before is kept.
    pub fn number(&self) -> Option<u64> {
        match self {
            Self::Nothing => None,
            Self::Written(number) => Some(*number),
            #[cfg(target_os = "linux")]
            Self::Applied(applied) => applied.change,
        }
    }

    /// The generation that is in force with it.
    pub fn generation(&self) -> Option<u32> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Applied(applied) => Some(applied.generation),
            _ => None,
        }
    }
}

impl Target {
    /// The file that is asked for.
    pub fn open(arguments: &TargetArguments) -> Result<Self, Error> {
        if let Some(path) = &arguments.file {
            if is_standard_input(path) {
                return Err(Wrong::StandardInput.into());
            }
            #[cfg(target_os = "linux")]
            if let Some(service) = crate::live::ServiceFile::at(path, arguments)? {
                return Ok(Self::Service(service));
            }
            return Ok(Self::File(RuleSource::read(path)?));
        }
        #[cfg(target_os = "linux")]
        return Ok(Self::Service(crate::live::ServiceFile::open(arguments)?));
        #[cfg(not(target_os = "linux"))]
        Err(Wrong::NoFile.into())
    }

    /// Returns the rules before the change.
    pub fn source(&self) -> &RuleSource {
        match self {
            Self::File(source) => source,
            #[cfg(target_os = "linux")]
            Self::Service(service) => &service.source,
        }
    }

    /// Takes the new text: writes it, or has the service take it.
    pub fn take(&mut self, new: &str, what: &str, undoes: Option<u64>) -> Result<Taken, Error> {
        match self {
            Self::File(source) => write(source, new, what, undoes),
            #[cfg(target_os = "linux")]
            Self::Service(service) => service.take(new, what, undoes).map(Taken::Applied),
        }
    }
}

/// Replaces the file, if it is still as it was read.
fn write(source: &RuleSource, new: &str, what: &str, undoes: Option<u64>) -> Result<Taken, Error> {
    let path = &source.place;
    let unwritable = |cause| Error::Unwritable {
        file: path.clone(),
        cause,
    };
    let history = History::beside(path);
    let held = history.hold().map_err(unwritable)?;
    if RuleSource::read(path)?.text != source.text {
        return Err(Wrong::Meanwhile.into());
    }
    let change = NewChange {
        by: this_person(),
        what: what.to_owned(),
        undoes,
    };
    let change = held.keep(&source.text, change).map_err(unwritable)?;
    if let Err(cause) = store::replace(path, new.as_bytes()) {
        held.forget(&change);
        return Err(unwritable(cause));
    }
    Ok(Taken::Written(change.number))
}
