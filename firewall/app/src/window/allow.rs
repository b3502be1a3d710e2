//! Explanation of a packet's verdict: the rule that decided, and the place of another one that would decide otherwise.

use super::pages::of_the_past::last_verdict;
use crate::past::Contact;
use control::HistoryRow;
use firewall_abi::packet::{Direction, Reason, Verdict};
use rules::SuggestedPlace;
use view::entry::{Entry, EntryContent, PacketSeen};
use view::history;
use view::text;

/// Describes the reason for which an entry's packet was refused or allowed, or the entry itself if it is none.
pub fn why(entry: &Entry) -> String {
    let packet = match &entry.what {
        EntryContent::Packet(packet) => packet,
        EntryContent::Contact(row) => return first_contact(row),
        EntryContent::Process(_) | EntryContent::Lost(_) | EntryContent::Unreadable(_) => {
            return entry.to_string();
        }
    };
    let (by, generation, ends) = (by(packet), packet.generation, packet.ends());
    match packet.verdict {
        Verdict::Allow => text!("why-allowed", by = by, generation = generation, ends = ends),
        Verdict::Reject => text!(
            "why-rejected",
            by = by,
            generation = generation,
            ends = ends
        ),
        Verdict::Ask => {
            let asks = asks(packet);
            text!(
                "why-asked",
                asks = asks,
                generation = generation,
                ends = ends
            )
        }
        Verdict::Block | Verdict::Socket => {
            text!("why-refused", by = by, generation = generation, ends = ends)
        }
    }
}

/// Describes by what a verdict came: where a rule asks it is the answer that counts, or that there was none.
fn by(packet: &PacketSeen) -> String {
    match (packet.reason, &packet.rule, packet.rule_number) {
        (Reason::Answer, _, _) => text!("why-answer", asks = asks(packet)),
        (Reason::Unanswered, _, _) => text!("why-unanswered", asks = asks(packet)),
        (_, Some(rule), _) => text!("why-by-rule", rule = &rule.id, line = rule.line),
        (_, None, Some(number)) => text!("why-by-number", number = u64::from(number) + 1),
        (_, None, None) => without_rule(packet),
    }
}

/// Describes what has people asked about a packet.
fn asks(packet: &PacketSeen) -> String {
    match (&packet.rule, packet.rule_number) {
        (Some(rule), _) => text!("asked-by-rule", rule = &rule.id),
        (None, Some(number)) => text!("asked-by-number", number = u64::from(number) + 1),
        (None, None) => text!("asked-by-default"),
    }
}

/// Describes a first contact: the program, its endpoint, and the verdict.
fn first_contact(row: &HistoryRow) -> String {
    let news = Contact::of(row).map_or_else(String::new, Contact::words);
    text!(
        "contact-details",
        program = history::whose(row),
        endpoint = history::endpoint_with_name(row),
        news = news,
        verdict = last_verdict(row),
    )
}

/// Describes the reason of a verdict where no rule decided.
fn without_rule(packet: &PacketSeen) -> String {
    match (packet.reason, packet.direction) {
        (Reason::Malformed, _) => text!("why-malformed"),
        (Reason::Reply, _) => text!("why-reply"),
        (Reason::Link, _) => text!("why-link"),
        (Reason::FailMode, _) => text!("why-fail-mode"),
        (Reason::Fragment, _) => text!("why-fragment"),
        (_, Direction::Inbound) => text!("why-default-in"),
        (_, Direction::Outbound) => text!("why-default-out"),
        (_, Direction::Forward) => text!("why-default-forward"),
    }
}

/// Returns the place in which a rule has to stand to change a packet's verdict. It follows from the decision alone,
/// never from what is known of its names.
///
/// # Errors
/// No rule changes it; the text says why.
pub fn place(packet: &PacketSeen) -> Result<String, String> {
    if packet.reason == Reason::Reply {
        return Err(text!("no-rule-reply"));
    }
    match (
        SuggestedPlace::of(packet.reason, packet.rule_number),
        &packet.rule,
    ) {
        (SuggestedPlace::NoRule(_), _) if packet.reason == Reason::Malformed => {
            Err(text!("no-rule-malformed"))
        }
        (SuggestedPlace::NoRule(_), _) => Err(text!("no-rule-fail-mode")),
        (SuggestedPlace::Before(_), Some(rule)) => {
            Ok(text!("place-above-rule", rule = &rule.id, line = rule.line))
        }
        (SuggestedPlace::Before(number), None) => Ok(text!(
            "place-above-number",
            number = u64::from(number) + 1,
            generation = packet.generation,
        )),
        (SuggestedPlace::Anywhere, _) => Ok(text!("place-anywhere")),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use crate::changes::Wish;
    use control::NoNames;
    use engine::{Parsed, Shape};
    use firewall_abi::packet::{Decision, NO_RULE, Packet, PacketHeaders, PacketMeta};
    use rules::{NoResolver, Protocol};
    use std::time::UNIX_EPOCH;
    use view::example::{Named, packet};

    const HEAD: &str = "[default]\ninbound = \"block\"\noutbound = \"block\"\n\n";

    fn entry(packet: &Packet) -> Entry {
        Entry::from_packet(UNIX_EPOCH, packet, &mut Named).unwrap()
    }

    fn seen(entry: &Entry) -> &PacketSeen {
        let EntryContent::Packet(packet) = &entry.what else {
            panic!("{entry}");
        };
        packet
    }

    /// Rules of a file: the fourth refuses telnet, and others stand before and after it.
    const RULES: [&str; 5] = [
        "id = \"web\"\naction = \"allow\"\nprotocol = \"tcp\"\nports = 80",
        "id = \"mail\"\naction = \"allow\"\nprotocol = \"tcp\"\nports = 25",
        "id = \"ssh\"\naction = \"allow\"\nprotocol = \"tcp\"\nports = 22",
        "id = \"no-telnet\"\naction = \"block\"",
        "id = \"last\"\naction = \"allow\"\nprotocol = \"tcp\"\nports = 443",
    ];

    /// Returns the decision of the engine about the packet, with the rule that the advice gives put where the advice
    /// says.
    fn followed(packet: &Packet, entry: &Entry) -> Decision {
        let words = place(seen(entry)).unwrap();
        let snippet = Wish::usual(seen(entry)).text();
        let mut rules: Vec<String> = RULES.map(|rule| format!("[[rule]]\n{rule}\n")).into();
        if words.contains("anywhere") {
            // The worst place is the last one.
            rules.push(snippet);
        } else if words.contains("above rule \"no-telnet\"")
            || words.contains("above rule number 4 of generation 1")
        {
            rules.insert(3, snippet);
        } else {
            panic!("{words}");
        }
        let text = format!("{HEAD}{}", rules.concat());
        let rules = rules::parse("rules.toml", &text, &NoResolver).expect(&text);
        let shape = Shape::Whole;
        engine::classify(
            &Parsed {
                flow: packet.headers,
                shape,
            },
            &PacketMeta::UNKNOWN,
            &rules.compile(1).slices(),
        )
    }

    #[test]
    fn advice_that_is_followed_allows_the_packet() {
        let tcp = packet();
        let headers = |protocol, source_port| PacketHeaders {
            protocol,
            source_port,
            destination_port: 0,
            ..tcp.headers
        };
        let mut six = tcp.headers;
        six.source = std::net::Ipv6Addr::LOCALHOST.octets();
        six.destination = "2001:db8::1"
            .parse::<std::net::Ipv6Addr>()
            .unwrap()
            .octets();
        six.ip_version = 6;
        let icmp6 = PacketHeaders {
            protocol: Protocol::ICMPV6.0,
            source_port: 128,
            destination_port: 0,
            ..six
        };
        for headers in [
            tcp.headers,
            headers(Protocol::UDP.0, 9),
            headers(Protocol::ICMP.0, 8),
            headers(132, 0),
            six,
            icmp6,
        ] {
            let packet = Packet { headers, ..tcp };
            let named = entry(&packet);
            let unnamed = Entry::from_packet(UNIX_EPOCH, &packet, &mut NoNames).unwrap();
            for entry in [named, unnamed] {
                let decision = followed(&packet, &entry);
                assert_eq!(decision.verdict, Verdict::Allow as u8, "{headers:?}");
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
    fn what_was_answered_asked_or_rejected_is_explained_as_that() {
        let words = |verdict: Verdict, reason: Reason| {
            let mut packet = packet();
            (packet.decision.verdict, packet.decision.reason) = (verdict as u8, reason as u8);
            why(&entry(&packet))
        };
        for (verdict, reason, begins) in [
            (
                Verdict::Block,
                Reason::Answer,
                "Refused by an answer, which the page \"Answers\" takes back, as rule `no-telnet` asks",
            ),
            (
                Verdict::Block,
                Reason::Unanswered,
                "Refused because nobody answered in time, as rule `no-telnet` asks",
            ),
            (
                Verdict::Allow,
                Reason::Answer,
                "Allowed by an answer, which the page \"Answers\" takes back, as rule `no-telnet` asks",
            ),
            (
                Verdict::Ask,
                Reason::Rule,
                "Asked about, as rule `no-telnet` asks",
            ),
            (
                Verdict::Reject,
                Reason::Rule,
                "Rejected by rule \"no-telnet\", line 13 of the rule file",
            ),
        ] {
            let said = words(verdict, reason);
            assert!(said.starts_with(begins), "{said}");
        }
    }

    #[test]
    fn nobody_is_told_to_allow_a_malformed_packet() {
        let mut malformed = packet();
        malformed.decision.reason = Reason::Malformed as u8;
        assert!(place(seen(&entry(&malformed))).is_err());
    }

    #[test]
    fn the_advice_follows_from_the_decision_and_not_from_what_is_known_of_names() {
        let words = |change: &dyn Fn(&mut Decision)| {
            let mut packet = packet();
            change(&mut packet.decision);
            let entry = Entry::from_packet(UNIX_EPOCH, &packet, &mut NoNames).unwrap();
            let packet = seen(&entry);
            place(packet).map(|place| (place, Wish::usual(packet).text()))
        };
        let (place, _) = words(&|_| {}).unwrap();
        assert!(place.contains("above rule number 4"), "{place}");
        let fragment = words(&|decision| decision.reason = Reason::Fragment as u8);
        let (place, text) = fragment.unwrap();
        assert!(place.contains("above rule number 4"), "{place}");
        assert!(!text.contains("ports"), "{text}");
        let default = words(&|decision| {
            (decision.rule, decision.reason) = (NO_RULE, Reason::Default as u8);
        });
        let (place, _) = default.unwrap();
        assert!(place.contains("anywhere"), "{place}");
        let gone = words(&|decision| {
            (decision.rule, decision.reason) = (NO_RULE, Reason::FailMode as u8);
        });
        assert!(gone.is_err(), "no rule helps while the service is gone");
    }
}
