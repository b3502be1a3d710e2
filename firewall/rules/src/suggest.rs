//! The rule that gives a packet another verdict, and the place at which it has to stand.
//!
//! The command line and the window give the same advice: it is made here, of the decision and of the packet's headers.

use crate::Protocol;
use firewall_abi::packet::{Direction, PacketHeaders, Reason, Verdict};
use std::fmt::Write;
use std::net::{IpAddr, Ipv6Addr};

/// The place at which a rule has to stand to change a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Before the rule with this number, which decided.
    Before(u32),
    /// Anywhere: no rule decided.
    Anywhere,
    /// No rule changes the decision, for the rules were not asked; the text says why and what to do.
    NoRule(&'static str),
}

impl Place {
    /// The place for a decision with this reason, by this rule if one decided. A later fragment is decided by a rule or by
    /// the default, whatever its reason says.
    #[must_use]
    pub const fn of(reason: Reason, rule: Option<u32>) -> Self {
        match (reason, rule) {
            (Reason::Malformed, _) => Self::NoRule(
                "No rule can allow it: its headers are cut off or contradict themselves, and nobody can say which rule it \
                 would fall under.",
            ),
            (Reason::FailMode, _) => Self::NoRule(
                "No rule can allow it while the service is gone: the rule file's `fail_mode` decides until then. Start the \
                 service again: sudo systemctl start gatebell",
            ),
            (_, Some(rule)) => Self::Before(rule),
            (_, None) => Self::Anywhere,
        }
    }
}

/// A rule for packets from the same place to the same place and port.
#[derive(Clone, Copy, Debug)]
pub struct Suggestion<'a> {
    /// The verdict that the rule is to give.
    pub action: Verdict,
    /// The packet's headers.
    pub headers: &'a PacketHeaders,
    /// The packet shows its ports or its type: it is no later fragment.
    pub shows_ports: bool,
    /// The user at the zone's end, if the rule is to ask for one.
    pub user: Option<&'a str>,
    /// The program at the zone's end, likewise.
    pub program: Option<&'a str>,
    /// The device, likewise: what is forwarded came in by it.
    pub interface: Option<&'a str>,
    /// The device by which what is forwarded goes out, likewise.
    pub out_interface: Option<&'a str>,
}

impl Suggestion<'_> {
    /// The rule's text. `is_taken` knows the names that other rules have.
    #[must_use]
    pub fn text(&self, is_taken: impl Fn(&str) -> bool) -> String {
        let headers = self.headers;
        let protocol = Protocol(headers.protocol);
        let (action, direction) = (self.action.name(), self.direction().name());
        let (source, destination) = self.ends();
        let id = self.id(is_taken);
        let quoted = if protocol.has_ports() || protocol.has_types() {
            format!("\"{protocol}\"")
        } else {
            protocol.0.to_string()
        };
        let mut text = format!(
            "[[rule]]\nid = \"{id}\"\naction = \"{action}\"\ndirection = \"{direction}\"\nprotocol = {quoted}\n\
             source = \"{source}\"\ndestination = \"{destination}\"\n"
        );
        if self.shows_ports {
            text.push_str(&port_or_type(protocol, headers));
        }
        text.push_str(&self.local_lines());
        text
    }

    fn direction(&self) -> Direction {
        Direction::try_from(self.headers.direction).unwrap_or(Direction::Inbound)
    }

    fn ends(&self) -> (IpAddr, IpAddr) {
        let PacketHeaders {
            source,
            destination,
            ip_version,
            ..
        } = *self.headers;
        (
            address(ip_version, source),
            address(ip_version, destination),
        )
    }

    /// A name that no rule has yet, of nothing but what a name may have.
    fn id(&self, is_taken: impl Fn(&str) -> bool) -> String {
        let protocol = Protocol(self.headers.protocol);
        let what = if protocol.has_ports() && self.shows_ports {
            format!("{protocol}-{}", self.headers.destination_port)
        } else {
            protocol.to_string()
        };
        let (source, destination) = self.ends();
        let (preposition, other) = match self.direction() {
            Direction::Inbound | Direction::Forward => ("from", source),
            Direction::Outbound => ("to", destination),
        };
        let other = other.to_string().replace([':', '.'], "-");
        let id = format!("{}-{what}-{preposition}-{other}", self.action.name());
        if !is_taken(&id) {
            return id;
        }
        (2..)
            .map(|n: u64| format!("{id}-{n}"))
            .find(|id| !is_taken(id))
            .unwrap_or(id)
    }

    fn local_lines(&self) -> String {
        let mut text = String::new();
        if let Some(user) = self.user {
            let number: Result<u32, _> = user.parse();
            let _infallible = match number {
                Ok(number) => writeln!(text, "user = {number}"),
                Err(_) => writeln!(text, "user = \"{user}\""),
            };
        }
        for (key, value) in [
            ("program", self.program),
            ("interface", self.interface),
            ("out_interface", self.out_interface),
        ] {
            if let Some(value) = value {
                let _infallible = writeln!(text, "{key} = \"{value}\"");
            }
        }
        text
    }
}

/// The port it goes to, or the type.
fn port_or_type(protocol: Protocol, headers: &PacketHeaders) -> String {
    if protocol.has_ports() {
        format!("ports = {}\n", headers.destination_port)
    } else if protocol.has_types() {
        let number = headers.source_port;
        let name = u8::try_from(number)
            .ok()
            .and_then(|number| protocol.icmp_type_name(number));
        name.map_or_else(
            || format!("icmp_type = {number}\n"),
            |name| format!("icmp_type = \"{name}\"\n"),
        )
    } else {
        String::new()
    }
}

fn address(ip_version: u8, bytes: [u8; 16]) -> IpAddr {
    let address = Ipv6Addr::from(bytes);
    match address.to_ipv4_mapped() {
        Some(mapped) if ip_version == 4 => mapped.into(),
        _ => address.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_helps_only_before_the_rule_that_decided() {
        assert_eq!(Place::of(Reason::Rule, Some(3)), Place::Before(3));
        assert_eq!(Place::of(Reason::Fragment, Some(3)), Place::Before(3));
        assert_eq!(Place::of(Reason::Fragment, None), Place::Anywhere);
        assert_eq!(Place::of(Reason::Default, None), Place::Anywhere);
        for unasked in [Reason::Malformed, Reason::FailMode] {
            assert!(matches!(Place::of(unasked, None), Place::NoRule(_)));
        }
    }

    #[test]
    fn a_suggested_rule_has_a_name_that_no_other_has() {
        let headers = PacketHeaders {
            protocol: 6,
            ip_version: 6,
            direction: Direction::Outbound as u8,
            destination_port: 23,
            ..PacketHeaders::default()
        };
        let suggestion = Suggestion {
            action: Verdict::Allow,
            headers: &headers,
            shows_ports: true,
            user: None,
            program: None,
            interface: None,
            out_interface: None,
        };
        let text = suggestion.text(|id| id == "allow-tcp-23-to---");
        assert!(text.contains("id = \"allow-tcp-23-to----2\""), "{text}");
    }
}
