//! Networks that rules name, and the routes by which they are known.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Network that the rules in force name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkStatus {
    /// Name of the network.
    pub name: String,
    /// Presence of the network now: `there`, `away` or `unknown`.
    pub presence: String,
    /// Presence of the network as the rules in force take it until they are switched.
    pub judged_as: String,
    /// Signs that matched, or did not, of each default route that says so.
    pub why: Vec<NetworkSign>,
    /// Rules that ask for the network and are on.
    pub on: Vec<String>,
    /// Rules that are off, for the networks that they ask for are not right.
    pub off: Vec<String>,
    /// Rules that block what they would ask a person about, for it is not known whether the networks that they ask for
    /// are right.
    pub blocks: Vec<String>,
}

/// Sign of a network that matched a default route, or did not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSign {
    /// Kind of the sign, by its name.
    pub kind: String,
    /// Name of the device that the route goes by.
    pub interface: Option<String>,
    /// Gateway of the route, where the sign is about it.
    pub gateway: Option<IpAddr>,
    /// Hardware address of the gateway, where the sign is about it.
    pub gateway_hardware: Option<String>,
    /// Name of the wireless network that the device is in, where the sign is about it.
    pub ssid: Option<String>,
    /// Name of the device's connection of NetworkManager's, or else its UUID, where the sign is about it.
    pub connection: Option<String>,
    /// Values that the network asks for in its place.
    pub asked: Vec<String>,
    /// Error of the system, where it does not tell its routes.
    pub detail: Option<String>,
}

/// Networks of the rules, and the default routes by which they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Networks {
    /// Generation of the rules in force.
    pub generation: u32,
    /// Networks that the rules name, in the file's order.
    pub networks: Vec<NetworkStatus>,
    /// Default routes as they are now.
    pub routes: Vec<RouteStatus>,
}

/// Default route of the zone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteStatus {
    /// Name of the device that the route goes by.
    pub interface: String,
    /// Gateway of the route, or `None` if the route leads to the device alone.
    pub gateway: Option<IpAddr>,
    /// Hardware address of the gateway, or `None` if it is not known, or there is no gateway.
    pub gateway_hardware: Option<String>,
    /// Name of the wireless network that the device is in, or `None` if it is in none, or its name is no text.
    pub ssid: Option<String>,
    /// Name of the device's connection of NetworkManager's, or else its UUID,
    /// or `None` if it has none, or none is known.
    pub connection: Option<String>,
}
