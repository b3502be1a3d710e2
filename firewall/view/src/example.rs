//! A packet and a question to try views with.

use crate::entry::TCP;
use control::{Names, Question, RuleName};
use firewall_abi::packet::{Decision, Direction, NO_USER, Packet, PacketHeaders, Verdict};
use zerocopy::FromZeros;

/// A telnet packet that rule 3 refused.
#[must_use]
pub fn packet() -> Packet {
    let mut packet = Packet::new_zeroed();
    let mapped = |host| {
        std::net::Ipv4Addr::new(10, 0, 0, host)
            .to_ipv6_mapped()
            .octets()
    };
    packet.flow = PacketHeaders {
        source: mapped(1),
        destination: mapped(2),
        source_port: 40_000,
        destination_port: 23,
        protocol: TCP,
        ip_version: 4,
        direction: Direction::Inbound as u8,
        tcp_flags: 2,
    };
    packet.decision = Decision {
        rule: 3,
        generation: 1,
        verdict: Verdict::Block as u8,
        reason: 1,
        log: 1,
        known: 0,
    };
    packet.user = NO_USER;
    packet
}

/// curl of a user's wants to go out, and the default asks.
#[must_use]
pub fn question() -> Question {
    Question {
        id: 7,
        direction: Direction::Outbound.name().to_owned(),
        protocol: TCP,
        remote: std::net::Ipv4Addr::new(192, 0, 2, 7).into(),
        port: Some(443),
        user: Some(1000),
        program: Some("/usr/bin/curl".to_owned()),
        name: "curl".to_owned(),
        pid: 4711,
        rule: None,
        count: 3,
        more: 0,
        milliseconds_left: 23_000,
        unanswered: "block".to_owned(),
    }
}

/// A rule file whose rules have one name.
pub struct Named;

impl Names for Named {
    fn rule(&mut self, _: u32, rule: u32) -> Option<RuleName> {
        Some(RuleName {
            id: "no-telnet".to_owned(),
            file: Some("lab.toml".into()),
            line: rule + 10,
        })
    }
}
