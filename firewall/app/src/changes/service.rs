//! Requests to the service about its rules.

use super::judged::Judged;
use control::{Applied, ChangeNote, Forgotten, SetMember};
use rules::{Errors, Network, Presence, Resolver};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Text of the rule file, as the service has it in force.
#[derive(Clone, Debug)]
pub struct InForce {
    /// Name of the rule file.
    pub name: String,
    /// Text of the rule file.
    pub text: String,
    /// Generation of the rules.
    pub generation: u32,
    /// Folder that the names of the rules' files are relative to.
    pub folder: PathBuf,
    /// Presence of the rules' networks.
    pub networks: Vec<(String, Presence)>,
    /// Addresses that have joined the rules' sets.
    pub members: Vec<SetMember>,
}

/// Reason for which a text's rules judge nothing.
#[derive(Debug)]
pub(super) enum NotJudged {
    /// The rules are wrong.
    Wrong(Errors),
    /// The rules' tables would be too large where the machine is, or with the addresses that have joined their sets.
    TooLarge(String),
}

impl fmt::Display for NotJudged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wrong(errors) => errors.fmt(f),
            Self::TooLarge(why) => f.write_str(why),
        }
    }
}

impl InForce {
    /// Reads the rules of a text in its place, each on or off as where the machine is.
    pub(super) fn rules_of(
        &self,
        text: &str,
        resolver: &dyn Resolver,
    ) -> Result<Judged, NotJudged> {
        let mut rules = rules::parse(&self.name, text, resolver).map_err(NotJudged::Wrong)?;
        let presence = |network: &Network| Presence::among(&self.networks, network);
        rules.put_at(presence).map_err(NotJudged::TooLarge)?;
        Judged::of(rules, &self.members).map_err(NotJudged::TooLarge)
    }
}

/// Reason for which the service does not do what it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Others have changed the rules meanwhile.
    Replaced,
    /// The user may not do this; the text says what to do.
    NotPermitted(String),
    /// Another reason; the text says what to do.
    Said(String),
}

/// Service that has the rules.
pub trait RuleService {
    /// Returns the rules in force, if they can be changed now.
    fn in_force(&mut self) -> Result<InForce, Failure>;
    /// Puts this text in force in the place of that one, for good or on a lease, with what is said of the change.
    fn apply(
        &mut self,
        old: &InForce,
        text: &str,
        lease: Option<Duration>,
        note: ChangeNote,
    ) -> Result<Applied, Failure>;
    /// Keeps the rules that are on a lease, by the generation that was seen. Returns their generation.
    fn keep(&mut self, seen: u32) -> Result<u32, Failure>;
    /// Ends the lease of the generation that was seen. Returns the generation that is back.
    fn end_lease(&mut self, seen: u32) -> Result<u32, Failure>;
    /// Takes answers back. Returns their number.
    fn forget(&mut self, which: &Forgotten) -> Result<usize, Failure>;
    /// Adds an address to a set, for this time or until it is removed.
    fn join(&mut self, set: &str, address: &str, time: Option<Duration>) -> Result<(), Failure>;
    /// Takes an address out of a set that it has joined. Returns whether it is in the set all the same.
    fn leave(&mut self, set: &str, address: &str) -> Result<bool, Failure>;
    /// Returns the resolver of the names in these rules.
    fn resolver(&self, file: &InForce) -> Box<dyn Resolver>;
}

#[cfg(target_os = "linux")]
impl From<control::Failed> for Failure {
    fn from(failed: control::Failed) -> Self {
        use std::io::ErrorKind::{TimedOut, WouldBlock};
        match failed {
            control::Failed::Refused {
                name,
                message,
                errors,
            } => match name.as_str() {
                "RulesReplaced" => Self::Replaced,
                "NotPermitted" => Self::NotPermitted(message),
                _ if errors.is_empty() => Self::Said(message),
                _ => Self::Said(format!("{}\n{message}", errors.join("\n"))),
            },
            control::Failed::System(error) if matches!(error.kind(), TimedOut | WouldBlock) => {
                Self::Said(view::text!("change-patience"))
            }
            other => Self::Said(crate::failed::words(&other)),
        }
    }
}

#[cfg(target_os = "linux")]
impl RuleService for crate::questions::AtSocket {
    fn in_force(&mut self) -> Result<InForce, Failure> {
        use control::{EditableRules, NotEditable};
        // What is not editable is said by a service that answers: the connection is good.
        let read = self.ask(|client| match EditableRules::read(client, false) {
            Err(NotEditable::Failed(failed)) => Err(failed),
            read => Ok(read),
        })?;
        let rules = read.map_err(|why| Failure::Said(crate::failed::not_editable(&why)))?;
        let networks = self.ask(control::Client::networks)?;
        let members = self.ask(|client| client.set_members(None))?;
        Ok(InForce {
            name: rules.file.display().to_string(),
            text: rules.text,
            generation: rules.generation,
            folder: rules.folder,
            networks: view::status::judged_as(&networks.networks),
            members,
        })
    }

    fn apply(
        &mut self,
        old: &InForce,
        text: &str,
        lease: Option<Duration>,
        note: ChangeNote,
    ) -> Result<Applied, Failure> {
        let note = ChangeNote {
            replaces: Some(old.generation),
            ..note
        };
        Ok(self.ask(|client| client.apply_change(&old.name, text, lease, &note))?)
    }

    fn keep(&mut self, seen: u32) -> Result<u32, Failure> {
        Ok(self.ask(|client| client.confirm(Some(seen)))?.generation)
    }

    fn end_lease(&mut self, seen: u32) -> Result<u32, Failure> {
        Ok(self.ask(|client| client.revert(Some(seen)))?.generation)
    }

    fn forget(&mut self, which: &Forgotten) -> Result<usize, Failure> {
        Ok(self
            .ask(|client| client.forget_answers(which, false))?
            .len())
    }

    fn join(&mut self, set: &str, address: &str, time: Option<Duration>) -> Result<(), Failure> {
        let addresses = [address.to_owned()];
        self.ask(|client| client.add_to_set(set, &addresses, time))?;
        Ok(())
    }

    fn leave(&mut self, set: &str, address: &str) -> Result<bool, Failure> {
        let addresses = [address.to_owned()];
        let removed = self.ask(|client| client.remove_from_set(set, &addresses))?;
        Ok(removed.stays > 0)
    }

    fn resolver(&self, file: &InForce) -> Box<dyn Resolver> {
        Box::new(rules::SystemResolver::beside(
            &file.folder.join("rules.toml"),
        ))
    }
}
