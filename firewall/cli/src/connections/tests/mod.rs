//! Tests of the dry run's connection table, packet by packet.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod errors;
mod lasting;
mod shares;

use super::Remembered;
use crate::flow::PacketQuestion;
use firewall_abi::packet::{Reason, Verdict};

const SECOND: u64 = 1_000_000_000;
const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// A dry run under rules that let UDP and TCP out, and one UDP port in.
struct Run {
    rules: rules::Table,
    connections: Remembered,
}

impl Run {
    fn new() -> Self {
        Self::under(
            "[default]\ninbound = 'block'\noutbound = 'block'\n\
                    [[rule]]\nid = 'out'\naction = 'allow'\ndirection = 'out'\nprotocol = ['tcp', 'udp', 'icmp']\n\
                    [[rule]]\nid = 'in'\naction = 'allow'\ndirection = 'in'\nprotocol = 'udp'\nports = 7\n",
        )
    }

    fn under(text: &str) -> Self {
        Self {
            rules: rules::parse("r", text, &rules::NoResolver)
                .unwrap()
                .compile(1),
            connections: Remembered::default(),
        }
    }

    fn at(&mut self, seconds: u64, packet: &str) -> (bool, Reason) {
        self.with_flags(seconds, packet, 0)
    }

    fn with_flags(&mut self, seconds: u64, packet: &str, flags: u8) -> (bool, Reason) {
        let mut packet = packet.parse::<PacketQuestion>().unwrap().0;
        packet.flow.tcp_flags = flags;
        let decision =
            self.connections
                .decide(&packet, &[], &self.rules.slices(), seconds * SECOND);
        (
            decision.verdict == Verdict::Allow as u8,
            Reason::try_from(decision.reason).unwrap(),
        )
    }
}

const ASKED: &str = "out udp 10.0.0.2:5000 -> 10.0.0.1:53";
const ANSWERED: &str = "in udp 10.0.0.1:53 -> 10.0.0.2:5000";
const REFUSED: (bool, Reason) = (false, Reason::Default);
const REPLY: (bool, Reason) = (true, Reason::Reply);
