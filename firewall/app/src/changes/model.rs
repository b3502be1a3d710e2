//! A service for tests.

use super::{Failure, InForce, Service};
use rules::Resolver;
use std::path::PathBuf;

/// A service for tests: its rule file, and what it says to every change.
#[derive(Debug, Default)]
pub struct Model {
    /// What is in force.
    pub text: String,
    /// Its generation.
    pub generation: u32,
    /// What it says to the next changes.
    pub says: Vec<Failure>,
}

impl Service for Model {
    fn in_force(&mut self) -> Result<InForce, Failure> {
        Ok(InForce {
            name: "rules.toml".to_owned(),
            text: self.text.clone(),
            generation: self.generation,
            folder: PathBuf::new(),
        })
    }

    fn apply(&mut self, old: &InForce, text: &str, _: &str) -> Result<u32, Failure> {
        if let Some(failure) = self.says.pop() {
            return Err(failure);
        }
        assert_eq!(old.generation, self.generation);
        self.text = text.to_owned();
        self.generation += 1;
        Ok(self.generation)
    }

    fn resolver(&self, _: &InForce) -> Box<dyn Resolver> {
        Box::new(OneProgram)
    }
}

/// A machine with one program.
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
