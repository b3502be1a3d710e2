//! Service for tests.

use super::{Failure, InForce, RuleService};
use control::{Applied, ChangeNote, Forgotten};
use rules::Resolver;
use std::path::PathBuf;
use std::time::Duration;

/// Service for tests: its rule file, and its answers to changes.
#[derive(Debug, Default)]
pub struct ChangesModel {
    /// Text of the rules in force.
    pub text: String,
    /// Presence of its networks.
    pub networks: Vec<(String, rules::Presence)>,
    /// Addresses that have joined its sets.
    pub members: Vec<control::SetMember>,
    /// Generation of its rules.
    pub generation: u32,
    /// Failures of the next changes, the last one first.
    pub says: Vec<Failure>,
    /// Failure of reading its rules, if they can't be changed now.
    pub unreadable: Option<Failure>,
    /// Changes: the description of each, and the number of the one that it takes back.
    pub log: Vec<(String, Option<u64>)>,
}

impl RuleService for ChangesModel {
    fn in_force(&mut self) -> Result<InForce, Failure> {
        if let Some(why) = &self.unreadable {
            return Err(why.clone());
        }
        Ok(InForce {
            name: "rules.toml".to_owned(),
            text: self.text.clone(),
            generation: self.generation,
            folder: PathBuf::new(),
            networks: self.networks.clone(),
            members: self.members.clone(),
        })
    }

    fn apply(
        &mut self,
        old: &InForce,
        text: &str,
        lease: Option<Duration>,
        note: ChangeNote,
    ) -> Result<Applied, Failure> {
        if let Some(failure) = self.says.pop() {
            return Err(failure);
        }
        assert_eq!(old.generation, self.generation);
        self.text = text.to_owned();
        self.generation += 1;
        let what = note.what.unwrap_or_default();
        let tried = if lease.is_some() { " on a lease" } else { "" };
        self.log.push((what + tried, note.undoes));
        Ok(Applied {
            generation: self.generation,
            rules: 1,
            warnings: Vec::new(),
            lease: None,
            change: Some(self.log.len() as u64),
        })
    }

    fn keep(&mut self, seen: u32) -> Result<u32, Failure> {
        self.log.push((format!("keep {seen}"), None));
        self.says.pop().map_or(Ok(self.generation), Err)
    }

    fn end_lease(&mut self, seen: u32) -> Result<u32, Failure> {
        self.log.push((format!("return {seen}"), None));
        self.says.pop().map_or(Ok(self.generation - 1), Err)
    }

    fn forget(&mut self, which: &Forgotten) -> Result<usize, Failure> {
        self.log.push((format!("forget {which:?}"), None));
        let many = match which {
            Forgotten::Those(ids) => ids.len(),
            Forgotten::Program(_) | Forgotten::All => 2,
        };
        self.says.pop().map_or(Ok(many), Err)
    }

    fn join(&mut self, set: &str, address: &str, time: Option<Duration>) -> Result<(), Failure> {
        self.log
            .push((format!("{address} joins {set} for {time:?}"), None));
        self.says.pop().map_or(Ok(()), Err)
    }

    fn leave(&mut self, set: &str, address: &str) -> Result<bool, Failure> {
        self.log.push((format!("{address} leaves {set}"), None));
        self.says.pop().map_or(Ok(false), Err)
    }

    fn resolver(&self, _: &InForce) -> Box<dyn Resolver> {
        Box::new(OneProgram)
    }
}

/// Machine with one program.
pub struct OneProgram;

impl Resolver for OneProgram {
    fn set_file(&self, _: &str) -> Result<rules::SetFile, String> {
        Err("there is none".to_owned())
    }

    fn user(&self, _: &str) -> Result<u32, String> {
        Err("there is none".to_owned())
    }

    fn program(&self, path: &str) -> Option<[u64; 2]> {
        (path == "/usr/bin/telnet").then_some([8, 15])
    }
}
