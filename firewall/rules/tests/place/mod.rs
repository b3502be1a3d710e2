//! Resolver made for tests.
#![allow(dead_code, reason = "each test file uses a part")]

use rules::{Resolver, SetFile};
use std::collections::HashMap;

/// Resolver with these files, users and programs, and no others.
#[derive(Default)]
pub struct Place {
    pub files: HashMap<String, Vec<u8>>,
    pub users: HashMap<String, u32>,
    pub programs: HashMap<String, [u64; 2]>,
    /// `true` if not everybody may read its files.
    pub confidential: bool,
    /// Reason for which its files are older copies, if they are.
    pub stale: Option<String>,
    /// Numbers of other users that it knows.
    pub others: Vec<u32>,
    /// Paths of programs that can't be looked at.
    pub hidden: Vec<String>,
}

impl Place {
    pub fn file(mut self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.to_owned(), bytes.into());
        self
    }

    pub fn user(mut self, name: &str, number: u32) -> Self {
        self.users.insert(name.to_owned(), number);
        self
    }

    pub fn program(mut self, path: &str, identity: [u64; 2]) -> Self {
        self.programs.insert(path.to_owned(), identity);
        self
    }
}

impl Resolver for Place {
    fn set_file(&self, path: &str) -> Result<SetFile, String> {
        let bytes = self
            .files
            .get(path)
            .cloned()
            .ok_or_else(|| format!("{path} can't be read: not made"))?;
        Ok(SetFile {
            name: path.to_owned(),
            bytes,
            confidential: self.confidential,
            trouble: self.stale.clone(),
        })
    }

    fn fetched(&self, url: &str) -> Result<Option<SetFile>, String> {
        Ok(self.set_file(url).ok())
    }

    fn user(&self, name: &str) -> Result<u32, String> {
        self.users
            .get(name)
            .copied()
            .ok_or_else(|| format!("no user is called `{name}`"))
    }

    fn other_users(&self) -> Vec<u32> {
        self.others.clone()
    }

    fn program_trouble(&self, path: &str) -> Option<String> {
        let hidden = self.hidden.iter().any(|hidden| hidden == path);
        hidden.then(|| "not for you".to_owned())
    }

    fn program(&self, path: &str) -> Option<[u64; 2]> {
        self.programs.get(path).copied()
    }
}
