//! What became of addresses that join and leave sets.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// An address that has joined a set while the rules were in force: it was added, or has a name that the set asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetMember {
    /// The set's name.
    pub set: String,
    /// The address.
    pub address: IpAddr,
    /// For how long it is in it from now on; none: until it is removed.
    pub seconds_left: Option<u64>,
    /// The name by which it has joined it; none: it was added, or who asks may not know.
    pub name: Option<String>,
}

/// What became of addresses that were to join a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAdded {
    /// How many are in it that were not.
    pub added: u64,
    /// How many were in it by having been added before: the new time holds.
    pub renewed: u64,
    /// The generation that it took, if it took one: some address is in a combination of sets that none had been in.
    pub generation: Option<u32>,
}

/// What became of addresses that were to leave a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetRemoved {
    /// How many had been added, and are not any more.
    pub removed: u64,
    /// How many had not been added, or their time was over.
    pub absent: u64,
    /// How many of those removed are in it all the same: the rule file has them there.
    pub stays: u64,
}
