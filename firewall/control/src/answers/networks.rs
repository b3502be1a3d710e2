//! The networks that rules name, and the routes by which they are known.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A network that the rules in force name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkStatus {
    /// Its name.
    pub name: String,
    /// `there`, `away` or `unknown`, as it is now.
    pub presence: String,
    /// The same, as the rules in force take it until they are switched.
    pub judged_as: String,
    /// What matched, or what did not, of each default route that says so.
    pub why: Vec<NetworkSign>,
    /// The rules that ask for it and are on.
    pub on: Vec<String>,
    /// Those that are off, for the networks that they ask for are not right.
    pub off: Vec<String>,
    /// Those that block what they would ask a person about, for it is not known whether the networks that they ask for are right.
    pub blocks: Vec<String>,
}

/// What of a network matched a default route, or what did not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSign {
    /// What it is, by its name.
    pub kind: String,
    /// The device that the route goes by.
    pub interface: Option<String>,
    /// Its gateway, where that is what it is about.
    pub gateway: Option<IpAddr>,
    /// The gateway's hardware address, where that is what it is about.
    pub gateway_hardware: Option<String>,
    /// The wireless network that its device is in, where that is what it is about.
    pub ssid: Option<String>,
    /// What the network asks for in its place.
    pub asked: Vec<String>,
    /// What the system says, where it does not tell its routes.
    pub detail: Option<String>,
}

/// What the rules' networks are known by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Networks {
    /// The generation of the rules in force.
    pub generation: u32,
    /// The networks that they name, in the file's order.
    pub networks: Vec<NetworkStatus>,
    /// The default routes as they are now.
    pub routes: Vec<RouteStatus>,
}

/// A default route of the zone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteStatus {
    /// The device that it goes by.
    pub interface: String,
    /// The gateway; none: it leads to the device alone.
    pub gateway: Option<IpAddr>,
    /// The gateway's hardware address; none: not known, or there is no gateway.
    pub gateway_hardware: Option<String>,
    /// The name of the wireless network that the device is in; none: it is in none, or its name is no text.
    pub ssid: Option<String>,
}
