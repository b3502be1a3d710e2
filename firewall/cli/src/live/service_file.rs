//! The running service's rule file, changed by way of the service.

use super::apply::wrong;
use super::{connect, is_somebody_there};
use crate::Error;
use crate::arguments::Time;
use crate::edit::TargetArguments;
use crate::rule_file::RuleSource;
use control::{Applied, ChangeNote, Client, EditableRules, Failed, RuleText};
use std::fs;
use std::path::{Path, PathBuf};

/// Returns the path of the running service's rule file.
pub fn file_of_the_service(socket: &Path) -> Result<PathBuf, Error> {
    Ok(connect(socket)?.rules()?.file)
}

/// The service's rule file, and the service.
pub struct ServiceFile {
    /// Rules as they are in the file and in force.
    pub source: RuleSource,
    client: Client,
    generation: u32,
    lease: Option<Time>,
}

impl ServiceFile {
    /// Opens the rule file of the running service.
    pub fn open(arguments: &TargetArguments) -> Result<Self, Error> {
        let mut client = connect(&arguments.service.socket)?;
        let rules = client.rules()?;
        Self::of(client, rules, arguments)
    }

    /// Opens the rule file of the running service if it is at this path; `None` if it is another, no service runs, or
    /// this user may not ask.
    pub fn at(path: &Path, arguments: &TargetArguments) -> Result<Option<Self>, Error> {
        let mut client = match Client::connect(&arguments.service.socket) {
            Ok(client) => client.interactive(is_somebody_there()),
            Err(Failed::NotRunning | Failed::NotAllowed) => return Ok(None),
            Err(other) => return Err(other.into()),
        };
        let rules = client.rules()?;
        match (fs::canonicalize(path), fs::canonicalize(&rules.file)) {
            (Ok(asked), Ok(its)) if asked == its => Self::of(client, rules, arguments).map(Some),
            _ => Ok(None),
        }
    }

    fn of(mut client: Client, rules: RuleText, arguments: &TargetArguments) -> Result<Self, Error> {
        let lease = arguments.lease;
        let EditableRules {
            file,
            text,
            generation,
            ..
        } = EditableRules::of(&mut client, rules, lease.is_some())?;
        Ok(Self {
            source: RuleSource {
                name: file.display().to_string(),
                text,
                place: file,
                members: Vec::new(),
                networks: Vec::new(),
            },
            client,
            generation,
            lease,
        })
    }

    /// Has the service take this text, if nobody else changed the rules meanwhile.
    pub fn take(&mut self, new: &str, what: &str, undoes: Option<u64>) -> Result<Applied, Error> {
        let note = ChangeNote {
            what: Some(what.to_owned()),
            undoes,
            replaces: Some(self.generation),
        };
        let lease = self.lease.map(|lease| lease.0);
        self.client
            .apply_change(&self.source.name, new, lease, &note)
            .map_err(wrong)
    }
}
