//! The names of addresses.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// An address and the name that it was asked for by last. It labels, and proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressName {
    /// The address.
    pub address: IpAddr,
    /// The name.
    pub name: String,
    /// For how many seconds it is kept from now on.
    pub seconds_left: u64,
}

/// Names of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressNames {
    /// In the order in which they were learned.
    pub names: Vec<AddressName>,
    /// The last turn: what is learned after this, the next question may ask for alone.
    pub turn: u64,
}
