//! Names of addresses.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Address and the name that it was asked for by last. It labels, and proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressName {
    /// The address itself.
    pub address: IpAddr,
    /// Name that the address was asked for by.
    pub name: String,
    /// Time for which the name is kept from now on, in seconds.
    pub seconds_left: u64,
}

/// Names of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressNames {
    /// Names, in the order in which they were learned.
    pub names: Vec<AddressName>,
    /// Number of the last turn: what is learned after it, the next question may ask for alone.
    pub turn: u64,
}
