//! Which rule refused a packet, and what to write into the rule file to allow its like.

use firewall_abi::packet::{Reason, Verdict};
use std::fmt::Write;
use view::entry::{Entry, ICMP, ICMP6, PacketSeen, TCP, UDP, What, address, protocol_name};

/// What can be done about a refusal.
#[derive(Debug, PartialEq, Eq)]
pub struct Advice {
    /// In words.
    pub words: String,
    /// What to write into the rule file, if that helps.
    pub snippet: Option<String>,
}

/// Why an entry's packet was refused or allowed; what the entry is, if it is none.
pub fn why(entry: &Entry) -> String {
    let What::Packet(packet) = &entry.what else {
        return entry.to_string();
    };
    let outcome = match packet.verdict {
        Verdict::Allow => "Allowed",
        Verdict::Block | Verdict::Reject | Verdict::Ask | Verdict::Socket => "Refused",
    };
    let by = match (&packet.rule, packet.reason) {
        (Some(rule), _) => format!(
            "by rule \"{}\", line {} of the rule file",
            rule.id, rule.line
        ),
        (None, Reason::Default) => {
            format!(
                "by the default for packets going {}: no rule matched",
                packet.direction.name()
            )
        }
        (None, Reason::Malformed) => {
            "because its headers are cut off or contradict themselves".to_owned()
        }
        (None, Reason::Fragment) => "as a later fragment, which shows no ports".to_owned(),
        (None, Reason::Reply) => "as a reply to what was allowed".to_owned(),
        (None, Reason::FailMode) => {
            "because the service has ended, and the rule file says what then".to_owned()
        }
        (None, Reason::Rule) => "by a rule".to_owned(),
    };
    format!(
        "{outcome} {by} (generation {}): {}",
        packet.generation,
        packet.ends()
    )
}

/// How to allow what was refused; nothing for the rest.
pub fn advice(entry: &Entry) -> Option<Advice> {
    let What::Packet(packet) = &entry.what else {
        return None;
    };
    if packet.verdict == Verdict::Allow {
        return None;
    }
    if packet.reason == Reason::Malformed {
        let words =
            "No rule can allow it: nobody can say which one it would fall under.".to_owned();
        return Some(Advice {
            words,
            snippet: None,
        });
    }
    let place = match &packet.rule {
        Some(rule) => format!("above rule \"{}\" (line {})", rule.id, rule.line),
        None => "anywhere among the rules".to_owned(),
    };
    let words = format!("To allow its like, put this into the rule file {place}:");
    Some(Advice {
        words,
        snippet: Some(snippet(packet)),
    })
}

/// A rule for packets from the same place to the same place and port.
fn snippet(packet: &PacketSeen) -> String {
    let flow = &packet.flow;
    let (from, to) = (address(flow.source), address(flow.destination));
    let protocol = packet.protocol();
    let mut text = format!(
        "[[rule]]\nid = \"allow-{protocol}-{}\"\naction = \"allow\"\n",
        name_of(packet)
    );
    let quoted = match protocol_name(flow.protocol) {
        Some(name) => format!("\"{name}\""),
        None => flow.protocol.to_string(),
    };
    // Writing to a string can't fail.
    let _ = writeln!(
        text,
        "direction = \"{}\"\nprotocol = {quoted}",
        packet.direction.name()
    );
    let _ = writeln!(text, "source = \"{from}\"\ndestination = \"{to}\"");
    let _ = match flow.protocol {
        // A fragment shows no ports: a rule that asks for them would not match it.
        _ if packet.reason == Reason::Fragment => Ok(()),
        TCP | UDP => writeln!(text, "ports = [{}]", flow.destination_port),
        ICMP | ICMP6 => writeln!(text, "icmp_type = {}", flow.source_port),
        _ => Ok(()),
    };
    text
}

/// A name for the rule: nothing in it but what a name may have.
fn name_of(packet: &PacketSeen) -> String {
    let from = address(packet.flow.source)
        .to_string()
        .replace([':', '.'], "-");
    match packet.flow.protocol {
        TCP | UDP => format!("{}-from-{from}", packet.flow.destination_port),
        _ => format!("from-{from}"),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use engine::{Parsed, Shape};
    use firewall_abi::packet::{Decision, Local, Packet, PacketHeaders};
    use rules::NoResolver;
    use std::time::UNIX_EPOCH;
    use view::example::{Named, packet};

    const HEAD: &str = "[default]\ninbound = \"block\"\noutbound = \"block\"\n\n";

    fn entry(packet: &Packet) -> Entry {
        Entry::from_packet(UNIX_EPOCH, packet, &mut Named).unwrap()
    }

    /// What the engine itself says of the packet once the advice was followed.
    fn followed(packet: &Packet) -> Decision {
        let snippet = advice(&entry(packet)).unwrap().snippet.unwrap();
        let rules =
            rules::parse("rules.toml", &format!("{HEAD}{snippet}"), &NoResolver).expect(&snippet);
        let shape = Shape::Whole;
        engine::classify(
            &Parsed {
                flow: packet.flow,
                shape,
            },
            &Local::UNKNOWN,
            &rules.compile(1).slices(),
        )
    }

    #[test]
    fn advice_that_is_followed_allows_the_packet() {
        let tcp = packet();
        let flow = |protocol, source_port| PacketHeaders {
            protocol,
            source_port,
            destination_port: 0,
            ..tcp.flow
        };
        let mut six = tcp.flow;
        six.source = std::net::Ipv6Addr::LOCALHOST.octets();
        six.destination = "2001:db8::1"
            .parse::<std::net::Ipv6Addr>()
            .unwrap()
            .octets();
        six.ip_version = 6;
        let icmp6 = PacketHeaders {
            protocol: ICMP6,
            source_port: 128,
            destination_port: 0,
            ..six
        };
        for flow in [
            tcp.flow,
            flow(UDP, 9),
            flow(ICMP, 8),
            flow(132, 0),
            six,
            icmp6,
        ] {
            let packet = Packet { flow, ..tcp };
            assert_eq!(followed(&packet).verdict, Verdict::Allow as u8, "{flow:?}");
        }
    }

    #[test]
    fn the_rule_that_refused_is_named_with_its_line() {
        let words = why(&entry(&packet()));
        assert!(
            words.starts_with("Refused by rule \"no-telnet\", line 13 of the rule file"),
            "{words}"
        );
    }

    #[test]
    fn nobody_is_told_to_allow_a_malformed_packet() {
        let mut malformed = packet();
        malformed.decision.reason = Reason::Malformed as u8;
        assert_eq!(advice(&entry(&malformed)).unwrap().snippet, None);
    }
}
