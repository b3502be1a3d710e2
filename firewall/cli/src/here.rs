//! Resolver of names on this machine, for questions about packets.

use rules::{Resolver, SetFile, SystemResolver};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

/// Resolver of this machine's names. A program that is not installed can be asked about too: its path identifies it.
pub struct Here(SystemResolver);

impl Here {
    /// The machine, for a rule file at this path.
    pub fn beside(rule_file: &Path) -> Self {
        Self(SystemResolver::beside(rule_file))
    }
}

impl Resolver for Here {
    fn set_file(&self, path: &str) -> Result<SetFile, String> {
        self.0.set_file(path)
    }

    fn fetched(&self, url: &str) -> Result<Option<SetFile>, String> {
        self.0.fetched(url)
    }

    fn user(&self, name: &str) -> Result<u32, String> {
        self.0.user(name)
    }

    fn other_users(&self) -> Vec<u32> {
        self.0.other_users()
    }

    fn program(&self, path: &str) -> Option<[u64; 2]> {
        self.0.program(path).or_else(|| Some(made_up(path)))
    }
}

/// No file system has this number.
fn made_up(path: &str) -> [u64; 2] {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    [u64::MAX, hasher.finish()]
}
