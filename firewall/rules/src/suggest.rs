//! Suggestion of the rule that gives a packet another verdict, and of the place at which it has to stand.
//!
//! The command line and the window give the same advice: it is made here, of the decision and of the packet's headers.

use crate::Protocol;
use crate::document::{text_value, unlike};
use firewall_abi::asking::Width;
use firewall_abi::packet::{Direction, PacketHeaders, Reason, Verdict};
use std::net::{IpAddr, Ipv6Addr};

/// Place at which a rule has to stand to change a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuggestedPlace {
    /// Before the rule with this number, which decided.
    Before(u32),
    /// Anywhere: no rule decided.
    Anywhere,
    /// No rule changes the decision, for the rules were not asked; the text says why and what to do.
    NoRule(&'static str),
}

impl SuggestedPlace {
    /// Returns the place for a decision with this reason, by this rule if one decided. A later fragment is decided by a
    /// rule or by the default policy, whatever its reason says.
    #[must_use]
    pub const fn of(reason: Reason, rule: Option<u32>) -> Self {
        match (reason, rule) {
            (Reason::Malformed, _) => Self::NoRule(
                "No rule can allow it: its headers are cut off, contradict themselves, or lead on from where they say it \
                 goes, and nobody can say which rule it would fall under.",
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

/// Scope of a suggested rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Packets from the same address to the same address and port.
    Ends,
    /// Packets that an answer of this width is to: the rule names the remote end alone, for a machine's own address
    /// changes. Of forwarded packets both ends are remote.
    Other(Width),
}

/// Suggestion of a rule for a packet and its like.
#[derive(Clone, Copy, Debug)]
pub struct Suggestion<'a> {
    /// Verdict that the rule is to give.
    pub action: Verdict,
    /// Headers of the packet.
    pub headers: &'a PacketHeaders,
    /// `true` if the packet shows its ports or ICMP type: it is no later fragment.
    pub shows_ports: bool,
    /// Scope of the rule.
    pub reach: Reach,
    /// User at the local end, if the rule is to ask for one.
    pub user: Option<&'a str>,
    /// Program at the local end, likewise.
    pub program: Option<&'a str>,
    /// Network device, likewise; for a forwarded packet the one that it came in by.
    pub interface: Option<&'a str>,
    /// Network device that a forwarded packet goes out by, likewise.
    pub out_interface: Option<&'a str>,
}

impl Suggestion<'_> {
    /// Writes the rule as text. `is_taken` returns whether another rule has a name.
    #[must_use]
    pub fn text(&self, is_taken: impl Fn(&str) -> bool) -> String {
        let keys = self.keys(is_taken);
        let lines = keys.iter().map(|(key, value)| format!("{key} = {value}\n"));
        "[[rule]]\n".to_owned() + &lines.collect::<String>()
    }

    /// Returns the keys of the rule with their values in TOML. `is_taken` returns whether another rule has a name.
    #[must_use]
    pub fn keys(&self, is_taken: impl Fn(&str) -> bool) -> Vec<(&'static str, String)> {
        let protocol = Protocol(self.headers.protocol);
        let (source, destination) = self.named_ends();
        let named = if protocol.has_ports() || protocol.has_types() {
            text_value(&protocol.to_string())
        } else {
            protocol.0.to_string()
        };
        let what = self.names_what().then_some(named);
        let (port, icmp_type) = match what {
            Some(_) if self.shows_ports => port_or_type(protocol, self.headers),
            _ => (None, None),
        };
        let address = |address: Option<IpAddr>| Some(text_value(&address?.to_string()));
        let text = |text: Option<&str>| text.map(text_value);
        let user = |user: &str| {
            user.parse::<u32>()
                .map_or_else(|_| text_value(user), |number| number.to_string())
        };
        let all = [
            ("id", Some(text_value(&self.id(is_taken)))),
            ("action", text(Some(self.action.name()))),
            ("direction", text(Some(self.direction().name()))),
            ("protocol", what),
            ("source", address(source)),
            ("destination", address(destination)),
            ("ports", port),
            ("icmp_type", icmp_type),
            ("user", self.user.map(user)),
            ("program", text(self.program)),
            ("interface", text(self.interface)),
            ("out_interface", text(self.out_interface)),
        ];
        all.into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .collect()
    }

    /// Returns whether the rule names a protocol, with its port or type.
    fn names_what(&self) -> bool {
        matches!(
            self.reach,
            Reach::Ends | Reach::Other(Width::Endpoint | Width::Port)
        )
    }

    /// Returns the source and destination that the rule names.
    fn named_ends(&self) -> (Option<IpAddr>, Option<IpAddr>) {
        let (source, destination) = self.ends();
        match (self.reach, self.direction()) {
            (Reach::Other(Width::Port | Width::Anywhere), _) => (None, None),
            (Reach::Ends, _) | (_, Direction::Forward) => (Some(source), Some(destination)),
            (_, Direction::Inbound) => (Some(source), None),
            (_, Direction::Outbound) => (None, Some(destination)),
        }
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

    /// Makes a name that no rule has yet, of valid characters only.
    fn id(&self, is_taken: impl Fn(&str) -> bool) -> String {
        let protocol = Protocol(self.headers.protocol);
        let (source, destination) = self.named_ends();
        let (preposition, other) = match self.direction() {
            Direction::Inbound | Direction::Forward => ("from", source),
            Direction::Outbound => ("to", destination),
        };
        let mut parts = vec![self.action.name().to_owned()];
        let program = match self.reach {
            Reach::Ends => None,
            Reach::Other(_) => self.program.and_then(|path| path.rsplit('/').next()),
        };
        parts
            .extend(program.map(|name| name.chars().filter(char::is_ascii_alphanumeric).collect()));
        if self.names_what() {
            parts.push(protocol.to_string());
            if protocol.has_ports() && self.shows_ports {
                parts.push(self.headers.destination_port.to_string());
            }
        }
        match other {
            Some(other) => {
                let other = other.to_string().replace([':', '.'], "-");
                parts.extend([preposition.to_owned(), other]);
            }
            None => parts.push(self.direction().name().to_owned()),
        }
        parts.retain(|part| !part.is_empty());
        // A name has 64 characters at most, and a number may come behind it.
        let id: String = parts.join("-").chars().take(56).collect();
        unlike(&id, is_taken)
    }
}

/// Returns the destination port, or the ICMP type.
fn port_or_type(protocol: Protocol, headers: &PacketHeaders) -> (Option<String>, Option<String>) {
    if protocol.has_ports() {
        return (Some(headers.destination_port.to_string()), None);
    }
    let number = headers.source_port;
    let name = u8::try_from(number)
        .ok()
        .and_then(|number| protocol.icmp_type_name(number));
    let value = name.map_or_else(|| number.to_string(), text_value);
    (None, protocol.has_types().then_some(value))
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
        assert_eq!(
            SuggestedPlace::of(Reason::Rule, Some(3)),
            SuggestedPlace::Before(3)
        );
        assert_eq!(
            SuggestedPlace::of(Reason::Fragment, Some(3)),
            SuggestedPlace::Before(3)
        );
        assert_eq!(
            SuggestedPlace::of(Reason::Fragment, None),
            SuggestedPlace::Anywhere
        );
        assert_eq!(
            SuggestedPlace::of(Reason::Default, None),
            SuggestedPlace::Anywhere
        );
        for unasked in [Reason::Malformed, Reason::FailMode] {
            assert!(matches!(
                SuggestedPlace::of(unasked, None),
                SuggestedPlace::NoRule(_)
            ));
        }
    }

    fn to_telnet() -> PacketHeaders {
        PacketHeaders {
            protocol: 6,
            ip_version: 6,
            direction: Direction::Outbound as u8,
            destination_port: 23,
            ..PacketHeaders::default()
        }
    }

    #[test]
    fn a_suggested_rule_has_a_name_that_no_other_has() {
        let headers = to_telnet();
        let suggestion = Suggestion {
            action: Verdict::Allow,
            headers: &headers,
            shows_ports: true,
            reach: Reach::Ends,
            user: None,
            program: None,
            interface: None,
            out_interface: None,
        };
        let text = suggestion.text(|id| id == "allow-tcp-23-to---");
        assert!(text.contains("id = \"allow-tcp-23-to----2\""), "{text}");
    }

    #[test]
    fn a_programs_path_is_a_value_and_never_more_of_the_file() {
        let headers = to_telnet();
        let path = "/tmp/a\"\nports = 1\n[[rule]]\nid = \"x";
        let suggestion = Suggestion {
            action: Verdict::Allow,
            headers: &headers,
            shows_ports: true,
            reach: Reach::Other(Width::Anywhere),
            user: None,
            program: Some(path),
            interface: None,
            out_interface: None,
        };
        let text = suggestion.text(|_| false);
        let table = toml::de::DeTable::parse(&text).expect(&text);
        let rules = table.get_ref()["rule"].get_ref().as_array();
        let rules: Vec<_> = rules.into_iter().flatten().collect();
        assert!(
            matches!(rules[..], [one] if one.get_ref()["program"].get_ref().as_str() == Some(path)),
            "{text}"
        );
    }
}
