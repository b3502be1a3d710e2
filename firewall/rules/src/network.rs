//! Networks, known by the default route that leads out of them, and the rules that are on in some of them alone.
//!
//! Rules that hold here:
//! - A network is there while one of the default routes has everything that it asks for.
//! - What can't be known opens nothing: where it is not known whether a network is there, a rule that allows is off,
//!   one that asks a person blocks, for an answer may open, and any other is on.

use crate::compile;
use crate::device::{device_words, names_device};
use crate::report::{Wrong, shown, suggestion};
use crate::{Addresses, Rule, Rules, Table};
use firewall_abi::packet::Verdict;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::PoisonError;

/// Mark before a network's name in a rule that is on while that network is not there.
pub(crate) const NOT: char = '!';
/// Words that can't be names of networks: one for no network, one for unknown networks.
pub const NO_NETWORKS: [&str; 2] = ["none", "unknown"];

/// A network that rules name. An empty list matches anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Name of the network, unique in the file.
    pub id: String,
    /// Line of the file that the name stands in, from 1.
    pub line: usize,
    /// Devices that the default route goes by.
    pub interfaces: Vec<String>,
    /// The names of wireless networks that the route's device is in.
    pub ssids: Vec<String>,
    /// NetworkManager's connections that the route's device has, by their names or their UUIDs.
    pub connections: Vec<String>,
    /// Addresses of the route's gateway.
    pub gateways: Vec<Addresses>,
    /// Hardware addresses of the route's gateway.
    pub gateway_hardware: Vec<HardwareAddress>,
    /// Comment of the file on it.
    pub comment: Option<String>,
}

/// A default route of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultRoute {
    /// Name of the network device that it goes by.
    pub device: String,
    /// Index of the network device.
    pub index: u32,
    /// Address of the gateway; `None` if the route leads to the device alone.
    pub gateway: Option<IpAddr>,
    /// Hardware address of the gateway.
    pub hardware: GatewayHardware,
    /// The wireless network that the device is in.
    pub wireless: WirelessNetwork,
    /// NetworkManager's connection of the device.
    pub connection: ActiveConnection,
}

/// NetworkManager's connection of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActiveConnection {
    /// The one with this UUID.
    Is {
        /// UUID of the connection, in lower case.
        uuid: String,
        /// Name of the connection; `None` if it is not known.
        name: Option<String>,
    },
    /// None: NetworkManager does not manage the device.
    None,
    /// Not known: NetworkManager runs and has not written down which.
    Unknown,
    /// Not known: NetworkManager does not run.
    NoManager,
}

/// The wireless network that a device is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WirelessNetwork {
    /// The one with this name (SSID), which is any bytes.
    In(Vec<u8>),
    /// None: it is no wireless device, or not connected.
    None,
    /// The system does not say.
    Unknown,
}

/// Hardware address of a route's gateway, as far as the kernel knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GatewayHardware {
    /// The known address.
    Is(HardwareAddress),
    /// No address that a network could ask for: there is no gateway, or the device's ends have no Ethernet addresses.
    None,
    /// An address that the kernel has not learned yet.
    Unknown,
}

/// An Ethernet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HardwareAddress(pub [u8; 6]);

/// Presence of a network: whether the machine is in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Presence {
    /// A default route leads out of it.
    There,
    /// No default route leads out of it.
    Away,
    /// Not known.
    #[default]
    Unknown,
}

/// Presence of a network, with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Presence of the network.
    pub presence: Presence,
    /// Signs that matched, or did not, of each default route that says so.
    pub signs: Vec<Sign>,
}

/// A sign of a network that matched a default route, or did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sign {
    /// The kind of the sign.
    pub kind: SignKind,
    /// The device that the route goes by.
    pub device: Option<String>,
    /// Its gateway, where that is what it is about.
    pub gateway: Option<IpAddr>,
    /// The gateway's hardware address, where that is what it is about.
    pub hardware: Option<HardwareAddress>,
    /// The wireless network that its device is in, where that is what it is about.
    pub ssid: Option<String>,
    /// NetworkManager's connection of its device, where that is what it is about: its name, or else its UUID.
    pub connection: Option<String>,
    /// Values that the network asks for in its place.
    pub asked: Vec<String>,
    /// The system's error, where it does not tell its routes.
    pub detail: Option<String>,
}

/// The kind of a sign that a network is known by, or of one that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignKind {
    /// The route goes by the right device, and no gateway is asked for.
    Device,
    /// It has the right gateway.
    Gateway,
    /// Its gateway has the right hardware address.
    Hardware,
    /// Its device is in the right wireless network.
    Ssid,
    /// Its device has the right connection.
    Connection,
    /// It goes by another device.
    OtherDevice,
    /// Its device is in another wireless network.
    OtherSsid,
    /// Its device has another connection.
    OtherConnection,
    /// It has another gateway.
    OtherGateway,
    /// Its gateway has another hardware address.
    OtherHardware,
    /// It has no gateway, and one is asked for.
    NoGateway,
    /// Its gateway can't have a hardware address, and one is asked for.
    NoHardware,
    /// Its device is in no wireless network, and one is asked for.
    NoSsid,
    /// NetworkManager does not manage its device, and a connection is asked for.
    NoConnection,
    /// The hardware address of its gateway is not known yet.
    UnknownHardware,
    /// The system does not say in which wireless network its device is.
    UnknownSsid,
    /// NetworkManager has not said which connection its device has.
    UnknownConnection,
    /// It is not known how the connection of its device is called.
    UnnamedConnection,
    /// NetworkManager does not run, and a connection is asked for.
    NoManager,
    /// There is no default route.
    NoRoute,
    /// The system does not tell its routes.
    Untold,
}

/// Networks in which a rule is on; without any it is on everywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleNetworks {
    /// Networks, by their index in the file ([`Rules::network`]).
    pub named: Vec<u32>,
    /// `true` if the rule is on where none of them is present; `false` if it is on where one is.
    pub elsewhere: bool,
}

/// Networks of a rule file, and its enabled rules that ask for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkRules {
    /// Networks, in the order of the file.
    pub networks: Vec<Network>,
    /// Rules, in the order of the file.
    pub rules: Vec<NetworkRule>,
}

/// A rule that asks for networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkRule {
    /// Name of the rule.
    pub id: String,
    /// Networks that it asks for.
    pub networks: RuleNetworks,
    /// Verdict of the rule where it is on.
    action: Verdict,
}

/// Effect of a rule where the machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The rule is on, with its own verdict.
    On,
    /// The rule is off: the networks that it asks for do not match.
    Off,
    /// The rule blocks what it would ask a person about: it is not known whether its networks match, and neither the
    /// answer nor the rules behind it may open anything.
    Blocks,
}

impl ActiveConnection {
    /// Returns the name of the connection, or its UUID where the name is not known; `None` if there is none.
    #[must_use]
    pub fn label(&self) -> Option<String> {
        match self {
            Self::Is { uuid, name } => Some(name.as_ref().unwrap_or(uuid).clone()),
            Self::None | Self::Unknown | Self::NoManager => None,
        }
    }
}

impl GatewayHardware {
    /// Returns the address, or `None` if there is none or it is not known.
    #[must_use]
    pub const fn address(self) -> Option<HardwareAddress> {
        match self {
            Self::Is(address) => Some(address),
            Self::None | Self::Unknown => None,
        }
    }
}

impl Presence {
    /// Returns the name of the presence in messages and answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::There => "there",
            Self::Away => "away",
            Self::Unknown => "unknown",
        }
    }

    /// Returns the presence with this name; unknown for any other word.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let mut all = [Self::There, Self::Away].into_iter();
        all.find(|presence| presence.name() == name)
            .unwrap_or_default()
    }

    /// Returns the presence of a network among these reports, each with a network's name; unknown if none is of it.
    #[must_use]
    pub fn among(told: &[(String, Self)], network: &Network) -> Self {
        let told = told.iter().find(|(name, _)| *name == network.id);
        told.map_or(Self::Unknown, |(_, presence)| *presence)
    }
}

impl Network {
    /// Returns whether the network is present while these are the default routes, and why.
    #[must_use]
    pub fn seen(&self, routes: &[DefaultRoute]) -> Sighting {
        if routes.is_empty() {
            return Sighting::of(Presence::Unknown, Sign::alone(SignKind::NoRoute));
        }
        let all: Vec<_> = routes.iter().map(|route| self.seen_by(route)).collect();
        Sighting::first_of([Presence::There, Presence::Unknown, Presence::Away], all)
    }

    /// Returns whether this route leads out of the network, and why. One thing that does not match settles that it does
    /// not, whatever is not known of the others.
    fn seen_by(&self, route: &DefaultRoute) -> Sighting {
        let all = [
            self.wireless_by(route),
            self.connection_by(route),
            Some(self.wired_by(route)),
        ];
        let all: Vec<_> = all.into_iter().flatten().collect();
        Sighting::first_of([Presence::Away, Presence::Unknown, Presence::There], all)
    }

    /// Returns whether the route's device is in a wireless network that it asks for; `None` if it asks for none.
    fn wireless_by(&self, route: &DefaultRoute) -> Option<Sighting> {
        if self.ssids.is_empty() {
            return None;
        }
        let sign = |kind| Sign {
            device: Some(route.device.clone()),
            ..Sign::alone(kind)
        };
        Some(match &route.wireless {
            WirelessNetwork::In(ssid) => {
                let is_right = self.ssids.iter().any(|asked| asked.as_bytes() == ssid);
                let named = |kind| Sign {
                    ssid: Some(String::from_utf8_lossy(ssid).into_owned()),
                    ..sign(kind)
                };
                if is_right {
                    Sighting::of(Presence::There, named(SignKind::Ssid))
                } else {
                    Sighting::of(Presence::Away, named(SignKind::OtherSsid).not(&self.ssids))
                }
            }
            WirelessNetwork::None => Sighting::of(Presence::Away, sign(SignKind::NoSsid)),
            WirelessNetwork::Unknown => {
                Sighting::of(Presence::Unknown, sign(SignKind::UnknownSsid))
            }
        })
    }

    /// Returns whether the route's device has a connection of NetworkManager's that it asks
    /// for; `None` if it asks for none.
    fn connection_by(&self, route: &DefaultRoute) -> Option<Sighting> {
        if self.connections.is_empty() {
            return None;
        }
        let (presence, kind) = match &route.connection {
            ActiveConnection::Is { uuid, name } => self.connection_is(uuid, name.as_deref()),
            ActiveConnection::None => (Presence::Away, SignKind::NoConnection),
            ActiveConnection::Unknown => (Presence::Unknown, SignKind::UnknownConnection),
            ActiveConnection::NoManager => (Presence::Unknown, SignKind::NoManager),
        };
        let sign = Sign {
            device: Some(route.device.clone()),
            connection: route.connection.label(),
            ..Sign::alone(kind)
        };
        let sign = match kind {
            SignKind::OtherConnection => sign.not(&self.connections),
            _ => sign,
        };
        Some(Sighting::of(presence, sign))
    }

    /// Returns whether the connection with this UUID and name is one that it asks for.
    fn connection_is(&self, uuid: &str, name: Option<&str>) -> (Presence, SignKind) {
        let mut asked = self.connections.iter();
        let is_right = |asked: &String| match is_uuid(asked) {
            true => asked.eq_ignore_ascii_case(uuid),
            false => Some(asked.as_str()) == name,
        };
        if asked.clone().any(is_right) {
            (Presence::There, SignKind::Connection)
        } else if name.is_none() && asked.any(|asked| !is_uuid(asked)) {
            (Presence::Unknown, SignKind::UnnamedConnection)
        } else {
            (Presence::Away, SignKind::OtherConnection)
        }
    }

    /// Returns the same of all else that it asks for.
    fn wired_by(&self, route: &DefaultRoute) -> Sighting {
        let DefaultRoute {
            device,
            gateway,
            hardware,
            ..
        } = route;
        let words = device_words(device).unwrap_or_default();
        let is_device = |word: &String| names_device(word, words);
        let sign = |kind| Sign {
            device: Some(device.clone()),
            ..Sign::alone(kind)
        };
        if !self.interfaces.is_empty() && !self.interfaces.iter().any(is_device) {
            let other = sign(SignKind::OtherDevice).not(&self.interfaces);
            return Sighting::of(Presence::Away, other);
        }
        let asks_gateway = !(self.gateways.is_empty() && self.gateway_hardware.is_empty());
        let Some(gateway) = gateway else {
            return if asks_gateway {
                Sighting::of(Presence::Away, sign(SignKind::NoGateway))
            } else {
                Sighting::of(Presence::There, sign(SignKind::Device))
            };
        };
        let sign = |kind| Sign {
            gateway: Some(*gateway),
            ..sign(kind)
        };
        if !self.gateways.is_empty() && !self.gateways.iter().any(|one| one.contains(*gateway)) {
            let other = sign(SignKind::OtherGateway).not(&self.gateways);
            return Sighting::of(Presence::Away, other);
        }
        if self.gateway_hardware.is_empty() {
            return Sighting::of(Presence::There, sign(SignKind::Gateway));
        }
        let sign = |kind| Sign {
            hardware: hardware.address(),
            ..sign(kind)
        };
        match hardware {
            GatewayHardware::Unknown => {
                Sighting::of(Presence::Unknown, sign(SignKind::UnknownHardware))
            }
            GatewayHardware::None => Sighting::of(Presence::Away, sign(SignKind::NoHardware)),
            GatewayHardware::Is(known) if self.gateway_hardware.contains(known) => {
                Sighting::of(Presence::There, sign(SignKind::Hardware))
            }
            GatewayHardware::Is(_) => {
                let other = sign(SignKind::OtherHardware).not(&self.gateway_hardware);
                Sighting::of(Presence::Away, other)
            }
        }
    }
}

impl Sighting {
    /// That it is not known, for the system does not tell its routes.
    #[must_use]
    pub fn untold(why: &str) -> Self {
        let untold = Sign {
            detail: Some(why.to_owned()),
            ..Sign::alone(SignKind::Untold)
        };
        Self::of(Presence::Unknown, untold)
    }

    /// Returns the first of these presences that any of `all` has, with the signs of each that has it.
    fn first_of(order: [Presence; 3], all: Vec<Self>) -> Self {
        let first = order
            .into_iter()
            .find(|presence| all.iter().any(|one| one.presence == *presence))
            .unwrap_or_default();
        let mut signs: Vec<_> = all
            .into_iter()
            .filter(|one| one.presence == first)
            .flat_map(|one| one.signs)
            .collect();
        signs.dedup();
        Self {
            presence: first,
            signs,
        }
    }

    fn of(presence: Presence, sign: Sign) -> Self {
        Self {
            presence,
            signs: vec![sign],
        }
    }
}

impl Sign {
    /// This, of which there is no more to say.
    #[must_use]
    pub const fn alone(kind: SignKind) -> Self {
        Self {
            kind,
            device: None,
            gateway: None,
            hardware: None,
            ssid: None,
            connection: None,
            asked: Vec::new(),
            detail: None,
        }
    }

    /// The same, where one of these is asked for.
    fn not(self, asked: &[impl ToString]) -> Self {
        Self {
            asked: asked.iter().map(ToString::to_string).collect(),
            ..self
        }
    }
}

impl SignKind {
    /// All of them.
    pub const ALL: [Self; 21] = [
        Self::Device,
        Self::Gateway,
        Self::Hardware,
        Self::Ssid,
        Self::Connection,
        Self::OtherDevice,
        Self::OtherSsid,
        Self::OtherConnection,
        Self::OtherGateway,
        Self::OtherHardware,
        Self::NoGateway,
        Self::NoHardware,
        Self::NoSsid,
        Self::NoConnection,
        Self::UnknownHardware,
        Self::UnknownSsid,
        Self::UnknownConnection,
        Self::UnnamedConnection,
        Self::NoManager,
        Self::NoRoute,
        Self::Untold,
    ];

    /// Its name in answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Gateway => "gateway",
            Self::Hardware => "hardware",
            Self::Ssid => "ssid",
            Self::Connection => "connection",
            Self::OtherDevice => "other_device",
            Self::OtherSsid => "other_ssid",
            Self::OtherConnection => "other_connection",
            Self::OtherGateway => "other_gateway",
            Self::OtherHardware => "other_hardware",
            Self::NoGateway => "no_gateway",
            Self::NoHardware => "no_hardware",
            Self::NoSsid => "no_ssid",
            Self::NoConnection => "no_connection",
            Self::UnknownHardware => "unknown_hardware",
            Self::UnknownSsid => "unknown_ssid",
            Self::UnknownConnection => "unknown_connection",
            Self::UnnamedConnection => "unnamed_connection",
            Self::NoManager => "no_manager",
            Self::NoRoute => "no_route",
            Self::Untold => "untold",
        }
    }

    /// By its name; none: a later release's.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl RuleNetworks {
    /// Returns the effect of a rule with these networks and this action. `presence` returns the presence of a network
    /// by its index in the file.
    fn effect(&self, presence: impl Fn(u32) -> Presence, action: Verdict) -> Effect {
        if self.named.is_empty() {
            return Effect::On;
        }
        let on_if = |are_right: bool| if are_right { Effect::On } else { Effect::Off };
        let is_any = |wanted| self.named.iter().any(|place| presence(*place) == wanted);
        if is_any(Presence::There) {
            on_if(!self.elsewhere)
        } else if is_any(Presence::Unknown) {
            match action {
                Verdict::Ask => Effect::Blocks,
                _ => on_if(action != Verdict::Allow),
            }
        } else {
            on_if(self.elsewhere)
        }
    }
}

impl NetworkRules {
    /// Returns the effect of each rule, in order, with these presences of the networks, in order; networks without one
    /// are unknown.
    #[must_use]
    pub fn effects(&self, presences: &[Presence]) -> Vec<Effect> {
        let presence = |place| presence_at(presences, place);
        self.rules
            .iter()
            .map(|rule| rule.networks.effect(presence, rule.action))
            .collect()
    }
}

fn presence_at(presences: &[Presence], place: u32) -> Presence {
    presences.get(place as usize).copied().unwrap_or_default()
}

impl Rule {
    /// Returns whether the rule is tried where the machine is: it is enabled, and its networks match.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.enabled && self.effect != Effect::Off
    }

    /// Returns the verdict on packets that it matches where the machine is: its own action, unless it would ask a
    /// person and it is not known whether its networks match.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self.effect {
            Effect::Blocks => Verdict::Block,
            Effect::On | Effect::Off => self.action,
        }
    }

    /// Sets the effect of the rule from the presences of the networks.
    pub(crate) fn put_at(&mut self, presences: &[Presence]) {
        let presence = |place| presence_at(presences, place);
        self.effect = self.networks.effect(presence, self.action);
    }
}

impl Rules {
    /// Returns the network that a rule names, by its index in the file, from 0.
    #[must_use]
    pub fn network(&self, number: u32) -> Option<&Network> {
        self.networks.get(usize::try_from(number).ok()?)
    }

    /// Returns every network in the order of the file.
    pub fn networks(&self) -> impl ExactSizeIterator<Item = &Network> {
        self.networks.iter()
    }

    /// Returns the networks, and the enabled rules that ask for them.
    #[must_use]
    pub fn network_rules(&self) -> NetworkRules {
        let asks = |rule: &&Rule| rule.enabled && !rule.networks.named.is_empty();
        let rules = self.rules.iter().filter(asks).map(|rule| NetworkRule {
            id: rule.id.clone(),
            networks: rule.networks.clone(),
            action: rule.action,
        });
        NetworkRules {
            networks: self.networks.clone(),
            rules: rules.collect(),
        }
    }

    /// Returns the presence of each network, in order, as far as it was reported.
    #[must_use]
    pub fn presences(&self) -> &[Presence] {
        &self.presences
    }

    /// Compiles the rules with all networks unknown: for a table that is kept until the machine may be in another
    /// network.
    ///
    /// # Errors
    /// Fails if the tables would be too large.
    pub fn compile_for_anywhere(&self, generation: u32) -> Result<Table, String> {
        let mut rules = self.rules.clone();
        rules.iter_mut().for_each(|rule| rule.put_at(&[]));
        let source = compile::Source {
            rules: &rules,
            ..self.source()
        };
        let pages = compile::build(source)?.pages;
        Ok(self.table(pages, generation))
    }

    /// Switches rules on and off by the presence of each network. Until this is called, no presence is known, and each
    /// rule is on its safe side.
    ///
    /// # Errors
    /// Fails if the tables would be too large; nothing has changed then.
    pub fn put_at(&mut self, presence: impl Fn(&Network) -> Presence) -> Result<(), String> {
        let presences: Vec<_> = self.networks.iter().map(presence).collect();
        let before: Vec<_> = self.rules.iter().map(|rule| rule.effect).collect();
        self.rules
            .iter_mut()
            .for_each(|rule| rule.put_at(&presences));
        let after = self.rules.iter().map(|rule| rule.effect);
        if after.eq(before.iter().copied()) {
            self.presences = presences;
            return Ok(());
        }
        match compile::build(self.source()) {
            Ok(built) => {
                self.presences = presences;
                let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
                *ready = Some(built.pages);
                Ok(())
            }
            Err(too_big) => {
                let rules = self.rules.iter_mut().zip(before);
                rules.for_each(|(rule, before)| rule.effect = before);
                Err(too_big)
            }
        }
    }
}

/// Checks that a network can have this name.
pub(crate) fn check_name(name: &str) -> Result<(), Wrong> {
    if NO_NETWORKS.contains(&name) {
        return Err(format!(
            "`{name}` stands for no network in particular; choose another name"
        ));
    }
    if name.starts_with(NOT) || name.contains(',') {
        return Err(format!(
            "`{}` has a comma, or begins with {NOT}, which means \"not there\"; choose another name",
            shown(name)
        ));
    }
    Ok(())
}

/// Returns whether a text has the form of a UUID, which is no name of a connection: anybody who may add connections
/// could call one as another is numbered.
pub(crate) fn is_uuid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    let is_digit = |byte: u8| byte == b'-' || byte.is_ascii_hexdigit();
    lengths.eq([8, 4, 4, 4, 12]) && text.bytes().all(is_digit)
}

/// Returns the presences to assume when the named networks are present; the words "none" and "unknown" stand for all
/// networks away and all unknown.
///
/// # Errors
/// Fails if there is no network of this name; the text says which there are.
pub fn as_if(names: &[String], networks: &[Network]) -> Result<Vec<(String, Presence)>, String> {
    let all = |presence| networks.iter().map(move |one| (one.id.clone(), presence));
    match names {
        [word] if word == NO_NETWORKS[0] => return Ok(all(Presence::Away).collect()),
        [word] if word == NO_NETWORKS[1] => return Ok(all(Presence::Unknown).collect()),
        _ => {}
    }
    if let Some(word) = names
        .iter()
        .find(|name| NO_NETWORKS.contains(&name.as_str()))
    {
        return Err(format!(
            "`{word}` stands for all networks, so it stands alone; leave it out, or the others"
        ));
    }
    let known: Vec<_> = networks.iter().map(|one| one.id.as_str()).collect();
    if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(no_network(name, &known));
    }
    let told = networks.iter().map(|one| {
        let presence = if names.contains(&one.id) {
            Presence::There
        } else {
            Presence::Away
        };
        (one.id.clone(), presence)
    });
    Ok(told.collect())
}

/// Makes the message for a name that no network has.
pub(crate) fn no_network(name: &str, known: &[&str]) -> Wrong {
    let name = shown(name);
    if known.is_empty() {
        return format!("there is no network `{name}`; add [[network]] with id = \"{name}\"");
    }
    format!("there is no network `{name}`; {}", suggestion(name, known))
}

impl FromStr for HardwareAddress {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        let wrong = || {
            format!(
                "`{}` is no hardware address; write it like 02:00:5e:10:00:01, as `ip neighbour` shows it",
                shown(text)
            )
        };
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2);
            let part = part.filter(|part| part.bytes().all(|digit| digit.is_ascii_hexdigit()));
            *byte = part
                .and_then(|part| u8::from_str_radix(part, 16).ok())
                .ok_or_else(wrong)?;
        }
        parts.next().map_or(Ok(Self(bytes)), |_| Err(wrong()))
    }
}

impl fmt::Display for HardwareAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}
