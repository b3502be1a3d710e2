//! Addresses that join and leave sets.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Address that has joined a set while the rules were in force: it was added, or has a name that the set asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetMember {
    /// Name of the set.
    pub set: String,
    /// The address itself.
    pub address: IpAddr,
    /// Time for which the address is in the set from now on, in seconds, or `None` if it is there until it is removed.
    pub seconds_left: Option<u64>,
    /// Name by which the address has joined the set, or `None` if it was added, or who asks may not know.
    pub name: Option<String>,
}

/// Outcome of adding addresses to a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAdded {
    /// Number of addresses that are in the set and were not before.
    pub added: u64,
    /// Number of addresses that were in the set by having been added before: the new time holds.
    pub renewed: u64,
    /// Generation of the rules that the change took, if it took one: some address is in a combination of sets that none
    /// had been in.
    pub generation: Option<u32>,
}

/// Outcome of removing addresses from a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetRemoved {
    /// Number of addresses that had been added, and are not any more.
    pub removed: u64,
    /// Number of addresses that had not been added, or whose time was over.
    pub absent: u64,
    /// Number of the removed addresses that are in the set all the same: the rule file has them there.
    pub stays: u64,
}
