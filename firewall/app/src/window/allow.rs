//! Which rule refused a packet, and what to write into the rule file to allow its like.

use firewall_abi::packet::{Direction, Reason, Verdict};
use rules::{Place, Suggestion};
use view::entry::{Entry, PacketSeen, What};

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
    let by = match (&packet.rule, packet.rule_number) {
        (Some(rule), _) => format!(
            "by rule \"{}\", line {} of the rule file",
            rule.id, rule.line
        ),
        (None, Some(number)) => format!(
            "by rule number {} of its generation, whose name is not known here",
            u64::from(number) + 1
        ),
        (None, None) => without_rule(packet).to_owned(),
    };
    format!(
        "{outcome} {by} (generation {}): {}",
        packet.generation,
        packet.ends()
    )
}

/// The reason, where no rule decided.
fn without_rule(packet: &PacketSeen) -> &'static str {
    match (packet.reason, packet.direction) {
        (Reason::Malformed, _) => "because its headers are cut off or contradict themselves",
        (Reason::Reply, _) => "as a reply to what was allowed",
        (Reason::FailMode, _) => "because the service has ended, and the rule file says what then",
        (Reason::Fragment, _) => {
            "by the default: no rule took the later fragment, which shows no ports"
        }
        (_, Direction::Inbound) => "by the default for packets going in: no rule matched",
        (_, Direction::Outbound) => "by the default for packets going out: no rule matched",
        (_, Direction::Forward) => "by the default for packets that are forwarded: no rule matched",
    }
}

/// How to allow what was refused; nothing for the rest. It follows from the decision alone, never from what is known of its
/// names.
pub fn advice(entry: &Entry) -> Option<Advice> {
    let What::Packet(packet) = &entry.what else {
        return None;
    };
    if packet.verdict == Verdict::Allow {
        return None;
    }
    let place = match (Place::of(packet.reason, packet.rule_number), &packet.rule) {
        (Place::NoRule(why), _) => {
            return Some(Advice {
                words: why.to_owned(),
                snippet: None,
            });
        }
        (Place::Before(_), Some(rule)) => {
            format!("above rule \"{}\" (line {})", rule.id, rule.line)
        }
        (Place::Before(number), None) => format!(
            "above rule number {} of generation {}, whose name is not known here; above all other rules is always right",
            u64::from(number) + 1,
            packet.generation
        ),
        (Place::Anywhere, _) => "anywhere among the rules".to_owned(),
    };
    Some(Advice {
        words: format!("To allow its like, put this into the rule file {place}:"),
        snippet: Some(snippet(packet)),
    })
}

/// A rule for packets from the same place to the same place and port.
fn snippet(packet: &PacketSeen) -> String {
    Suggestion {
        action: Verdict::Allow,
        headers: &packet.flow,
        shows_ports: packet.reason != Reason::Fragment,
        user: None,
        program: None,
        interface: None,
        out_interface: None,
    }
    .text(|_| false)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use control::NoNames;
    use engine::{Parsed, Shape};
    use firewall_abi::packet::{Decision, Local, NO_RULE, Packet, PacketHeaders};
    use rules::NoResolver;
    use std::time::UNIX_EPOCH;
    use view::entry::{ICMP, ICMP6, UDP};
    use view::example::{Named, packet};

    const HEAD: &str = "[default]\ninbound = \"block\"\noutbound = \"block\"\n\n";

    fn entry(packet: &Packet) -> Entry {
        Entry::from_packet(UNIX_EPOCH, packet, &mut Named).unwrap()
    }

    /// A rule file whose fourth rule refuses telnet, and others before and after it.
    const RULES: [&str; 5] = [
        "id = \"web\"\naction = \"allow\"\nprotocol = \"tcp\"\nports = 80",
        "id = \"mail\"\naction = \"allow\"\nprotocol = \"tcp\"\nports = 25",
        "id = \"ssh\"\naction = \"allow\"\nprotocol = \"tcp\"\nports = 22",
        "id = \"no-telnet\"\naction = \"block\"",
        "id = \"last\"\naction = \"allow\"\nprotocol = \"tcp\"\nports = 443",
    ];

    /// The decision of the engine about the packet, with the rule that the advice gives put where the advice says.
    fn followed(packet: &Packet, entry: &Entry) -> Decision {
        let advice = advice(entry).unwrap();
        let snippet = advice.snippet.unwrap();
        let mut rules: Vec<String> = RULES.map(|rule| format!("[[rule]]\n{rule}\n")).into();
        if advice.words.contains("anywhere") {
            // The worst place is the last one.
            rules.push(snippet);
        } else if advice.words.contains("above rule \"no-telnet\"")
            || advice.words.contains("above rule number 4 of generation 1")
        {
            rules.insert(3, snippet);
        } else {
            panic!("{}", advice.words);
        }
        let text = format!("{HEAD}{}", rules.concat());
        let rules = rules::parse("rules.toml", &text, &NoResolver).expect(&text);
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
            let named = entry(&packet);
            let unnamed = Entry::from_packet(UNIX_EPOCH, &packet, &mut NoNames).unwrap();
            for entry in [named, unnamed] {
                let decision = followed(&packet, &entry);
                assert_eq!(decision.verdict, Verdict::Allow as u8, "{flow:?}");
            }
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

    #[test]
    fn the_advice_follows_from_the_decision_and_not_from_what_is_known_of_names() {
        let words = |change: &dyn Fn(&mut Decision)| {
            let mut packet = packet();
            change(&mut packet.decision);
            let entry = Entry::from_packet(UNIX_EPOCH, &packet, &mut NoNames).unwrap();
            advice(&entry).unwrap()
        };
        let by_rule = words(&|_| {});
        assert!(by_rule.words.contains("above rule number 4"), "{by_rule:?}");
        let fragment = words(&|decision| decision.reason = Reason::Fragment as u8);
        assert!(
            fragment.words.contains("above rule number 4"),
            "{fragment:?}"
        );
        assert!(!fragment.snippet.unwrap().contains("ports"));
        let default = words(&|decision| {
            (decision.rule, decision.reason) = (NO_RULE, Reason::Default as u8);
        });
        assert!(default.words.contains("anywhere"), "{default:?}");
        let gone = words(&|decision| {
            (decision.rule, decision.reason) = (NO_RULE, Reason::FailMode as u8);
        });
        assert_eq!(
            gone.snippet, None,
            "no rule helps while the service is gone"
        );
    }
}
