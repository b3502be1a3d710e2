//! One address in one set: until when, and by what.

use std::sync::Arc;

/// A set that an address has joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    pub set: Arc<str>,
    pub until_ns: u64,
    /// Until when it is in it by being added; 0: it was not.
    pub added_ns: u64,
    /// The name by which it is in it, and until when.
    pub named: Option<(Arc<str>, u64)>,
}

impl Membership {
    /// The name by which it is in it by now.
    pub fn name(&self, now_ns: u64) -> Option<&Arc<str>> {
        let (name, until_ns) = self.named.as_ref()?;
        (now_ns < *until_ns).then_some(name)
    }

    pub fn settle(&mut self) {
        let named = self.named.as_ref().map_or(0, |(_, until_ns)| *until_ns);
        self.until_ns = self.added_ns.max(named);
    }
}

/// Way by which an address comes to be in a set.
pub enum How<'a> {
    Added,
    Named(&'a Arc<str>),
}
