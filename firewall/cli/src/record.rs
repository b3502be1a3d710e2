//! A record of a packet, as `gatebell watch --json` printed it: what was decided then, and how to ask about it now.

use crate::flow::{PacketQuestion, Who};
use rules::{Protocol, clean};
use serde::Deserialize;
use serde_json::Value;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// Packet of a record, as `gatebell watch --json` prints it; other fields are ignored.
#[derive(Clone, Debug, Deserialize)]
pub struct Record {
    kind: String,
    verdict: String,
    direction: String,
    reason: String,
    rule: Option<String>,
    #[serde(default)]
    rule_number: Option<u32>,
    file: Option<String>,
    line: Option<u32>,
    generation: u32,
    protocol_number: u8,
    source: IpAddr,
    source_port: u16,
    destination: IpAddr,
    destination_port: u16,
    #[serde(default)]
    device: Option<String>,
    #[serde(default)]
    out_device: Option<String>,
    #[serde(default)]
    program: Program,
    /// The whole record as it was given.
    #[serde(skip)]
    pub whole: Value,
}

/// Local identity of a record.
#[derive(Clone, Debug, Default, Deserialize)]
struct Program {
    user: Option<u32>,
    path: Option<String>,
}

impl FromStr for Record {
    /// Message that says what is wrong, and what would be right.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str = "give a packet as `gatebell watch --json` prints it, the whole line";
        let wrong = |error| format!("no record ({error}); {FORM}");
        let whole: Value = serde_json::from_str(text).map_err(wrong)?;
        let record = Self {
            whole: whole.clone(),
            ..Self::deserialize(whole).map_err(wrong)?
        };
        if record.kind != "packet" {
            return Err(format!(
                "it is of kind {}, about which no rule decides; {FORM}",
                clean(&record.kind)
            ));
        }
        Ok(record)
    }
}

impl Record {
    /// The packet as it can be asked about now. None: it is malformed, so no rule is asked.
    pub fn question(&self) -> Result<Option<PacketQuestion>, String> {
        let Self {
            direction,
            protocol_number,
            source,
            destination,
            ..
        } = self;
        let protocol = Protocol(*protocol_number);
        let (from, to) = (
            SocketAddr::new(*source, self.source_port),
            SocketAddr::new(*destination, self.destination_port),
        );
        let text = match self.reason.as_str() {
            "malformed" => return Ok(None),
            "fragment" => {
                format!("{direction} {protocol_number} {source} -> {destination} fragment")
            }
            _ if protocol.has_ports() => format!("{direction} {protocol_number} {from} -> {to}"),
            _ if protocol.has_types() => {
                let (kind, code) = (self.source_port, self.destination_port);
                format!(
                    "{direction} {protocol_number} {source} -> {destination} type {kind} code {code}"
                )
            }
            _ => format!("{direction} {protocol_number} {source} -> {destination}"),
        };
        let PacketQuestion(packet, _) = text.parse()?;
        Ok(Some(PacketQuestion(packet, self.who())))
    }

    /// Returns the local identity as values: a path may have blanks in it, and a device any letter.
    fn who(&self) -> Who {
        let Program { user, path, .. } = &self.program;
        Who {
            user: user.map(|user| user.to_string()),
            program: path.clone(),
            interface: self.device.clone(),
            out_interface: self.out_device.clone(),
        }
    }

    /// Returns the decision of the record, in words.
    pub fn decided(&self) -> String {
        let Self {
            verdict,
            reason,
            generation,
            ..
        } = self;
        let verdict = clean(verdict);
        let by = match (&self.rule, &self.file, self.line, reason.as_str()) {
            (Some(rule), Some(file), Some(line), _) => {
                format!("by rule `{}` ({}:{line})", clean(rule), clean(file))
            }
            (Some(rule), _, _, _) => format!("by rule `{}`", clean(rule)),
            (None, _, _, _) if self.rule_number.is_some() => {
                "by a rule whose name the service no longer knew".to_owned()
            }
            (None, _, _, "default") => "by the default, as no rule matched".to_owned(),
            (None, _, _, "malformed") => {
                "for its headers contradict themselves or lead on from where they say it goes: that is refused before any rule"
                    .to_owned()
            }
            (None, _, _, "fragment") => {
                "by the default, as no rule took the later fragment".to_owned()
            }
            (None, _, _, "fail_mode") => {
                "because the service had ended, and the rules say what then".to_owned()
            }
            (None, _, _, "reply") => "as a reply to what was allowed".to_owned(),
            (None, _, _, other) => clean(other),
        };
        format!("{verdict} {by}, in generation {generation}")
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

    use super::*;
    use crate::flow::FlowText;
    use firewall_abi::packet::Direction;
    use std::time::UNIX_EPOCH;
    use view::Entry;
    use view::entry::Update;
    use view::reader::Told;

    /// A packet as `watch --json` prints it, by the same code.
    fn printed(change: impl FnOnce(&mut firewall_abi::packet::Packet)) -> String {
        let mut packet = view::example::packet();
        change(&mut packet);
        let entry = Entry::from_packet(UNIX_EPOCH, &packet, &mut view::example::Named).unwrap();
        view::json::line(&Told {
            update: Update::Entry(entry),
            record: None,
        })
        .unwrap()
        .to_string()
    }

    fn asked(record: &str) -> String {
        let question = record
            .parse::<Record>()
            .unwrap()
            .question()
            .unwrap()
            .unwrap();
        FlowText(&question.0, Some(Direction::Inbound)).to_string()
    }

    #[test]
    fn a_printed_record_can_be_asked_about() {
        assert_eq!(
            asked(&printed(|_| {})),
            "in tcp 10.0.0.1:40000 -> 10.0.0.2:23"
        );
        let icmp = printed(|packet| {
            packet.headers.protocol = 1;
            (packet.headers.source_port, packet.headers.destination_port) = (8, 0);
        });
        assert_eq!(
            asked(&icmp),
            "in icmp 10.0.0.1 -> 10.0.0.2 type echo-request"
        );
        assert_eq!(
            asked(&printed(|packet| packet.headers.protocol = 47)),
            "in 47 10.0.0.1 -> 10.0.0.2"
        );
        assert_eq!(
            asked(&printed(|packet| packet.decision.reason = 4)),
            "in tcp 10.0.0.1 -> 10.0.0.2 fragment"
        );
    }

    #[test]
    fn a_record_is_asked_about_with_the_program_that_it_names_whatever_its_path_has_in_it() {
        for path in [
            "/opt/My App/app",
            "/opt/user 0/in",
            "/opt/-> x",
            "/usr/bin/curl",
        ] {
            let mut record: Value = serde_json::from_str(&printed(|_| {})).unwrap();
            record["program"] = serde_json::json!({ "path": path, "user": 1000 });
            record["device"] = "eth 0".into();
            let record: Record = record.to_string().parse().unwrap();
            let PacketQuestion(_, who) = record.question().unwrap().unwrap();
            let known = (who.program.as_deref(), who.user.as_deref());
            assert_eq!(known, (Some(path), Some("1000")));
            assert_eq!(who.interface.as_deref(), Some("eth 0"));
        }
    }

    #[test]
    fn what_decided_then_is_said_with_its_place() {
        let record: Record = printed(|_| {}).parse().unwrap();
        assert_eq!(
            record.decided(),
            "block by rule `no-telnet` (lab.toml:13), in generation 1"
        );
        let record: Record = printed(|packet| packet.decision.reason = 3)
            .parse()
            .unwrap();
        assert!(record.question().unwrap().is_none());
    }

    #[test]
    fn a_rule_that_has_no_name_here_is_not_taken_for_the_default() {
        let fragment = printed(|packet| packet.decision.reason = 4);
        let unnamed = fragment.replace("\"no-telnet\"", "null");
        let decided = unnamed.parse::<Record>().unwrap().decided();
        assert!(decided.contains("by a rule whose name"), "{decided}");
    }

    #[test]
    fn what_is_no_record_of_a_packet_says_what_would_be_one() {
        for text in ["", "{}", "[1]", "{\"kind\":\"lost\",\"count\":3}"] {
            assert!(
                text.parse::<Record>()
                    .unwrap_err()
                    .contains("gatebell watch --json"),
                "{text}"
            );
        }
        let steering = printed(|_| {}).replace("no-telnet", "a\\u001b[2J");
        assert!(
            !steering
                .parse::<Record>()
                .unwrap()
                .decided()
                .contains('\x1b')
        );
    }
}
