//! What a person is asked about a packet.

use crate::connection::{Asked, ends_at_socket, may_begin};
use crate::headers::protocol::{ICMP, ICMPV6, TCP};
use firewall_abi::asking::Subject;
use firewall_abi::packet::{Direction, Local, PacketHeaders, reply_direction};

/// What a question about a packet is about, or about what its connection began with, if it is a reply.
#[must_use]
#[inline(always)]
pub fn subject(flow: &PacketHeaders, asked: Asked, program: [u64; 2], user: u32) -> Subject {
    let outbound = flow.direction == Direction::Outbound as u8;
    let (port, direction) = match asked {
        Asked::Packet => (flow.destination_port, flow.direction),
        Asked::Beginning => (flow.source_port, reply_direction(flow.direction)),
    };
    Subject {
        remote: if outbound {
            flow.destination
        } else {
            flow.source
        },
        program,
        user,
        port: if ends_at_socket(flow.protocol) {
            port
        } else {
            0
        },
        protocol: flow.protocol,
        direction,
    }
}

/// Whether a packet is worth a question: it begins something, and it is known who is asked for. What is not is blocked.
#[must_use]
#[inline(always)]
pub fn may_ask(flow: &PacketHeaders, program: [u64; 2]) -> bool {
    const SYN: u8 = 2;
    const ACK: u8 = 16;
    let begins = match flow.protocol {
        TCP => flow.tcp_flags & (SYN | ACK) == SYN,
        ICMP | ICMPV6 => may_begin(flow),
        _ => true,
    };
    begins && program != Local::UNSURE
}

#[cfg(test)]
mod tests {
    use super::*;
    use firewall_abi::asking::Width;

    const CURL: [u64; 2] = [1, 7];

    fn flow(direction: Direction, protocol: u8, ports: (u16, u16), tcp_flags: u8) -> PacketHeaders {
        let (zone, other) = ([1; 16], [2; 16]);
        let (source, destination) = if direction == Direction::Outbound {
            (zone, other)
        } else {
            (other, zone)
        };
        PacketHeaders {
            source,
            destination,
            source_port: ports.0,
            destination_port: ports.1,
            protocol,
            ip_version: 4,
            direction: direction as u8,
            tcp_flags,
        }
    }

    #[test]
    fn a_reply_is_asked_about_as_what_it_answers() {
        let out = subject(
            &flow(Direction::Outbound, TCP, (50_000, 443), 2),
            Asked::Packet,
            CURL,
            1000,
        );
        let back = subject(
            &flow(Direction::Inbound, TCP, (443, 50_000), 18),
            Asked::Beginning,
            CURL,
            1000,
        );
        assert_eq!(out, back);
        assert_eq!((out.port, out.remote), (443, [2; 16]));
        // Of what comes in the port is our own.
        let into = flow(Direction::Inbound, TCP, (50_000, 22), 2);
        let into = subject(&into, Asked::Packet, CURL, 0);
        assert_eq!((into.port, into.remote), (22, [2; 16]));
        let ping = flow(Direction::Outbound, ICMP, (8, 0), 0);
        assert_eq!(subject(&ping, Asked::Packet, CURL, 0).port, 0);
    }

    #[test]
    fn a_wide_answer_is_to_every_question_that_it_covers_and_to_no_other() {
        let asked = |port, direction| {
            subject(
                &flow(direction, TCP, (50_000, port), 2),
                Asked::Packet,
                CURL,
                1000,
            )
        };
        let web = asked(443, Direction::Outbound);
        let mail = asked(25, Direction::Outbound);
        assert_eq!(web.at(Width::Address), mail.at(Width::Address));
        assert_eq!(web.at(Width::Anywhere), mail.at(Width::Anywhere));
        assert_ne!(web.at(Width::Port), mail.at(Width::Port));
        assert_ne!(web.at(Width::Place), mail.at(Width::Place));
        let elsewhere = Subject {
            remote: [9; 16],
            ..web
        };
        assert_eq!(web.at(Width::Port), elsewhere.at(Width::Port));
        assert_ne!(web.at(Width::Address), elsewhere.at(Width::Address));
        for other in [
            Subject { user: 1001, ..web },
            Subject {
                program: [1, 8],
                ..web
            },
            asked(443, Direction::Inbound),
        ] {
            assert!(
                Width::ALL
                    .iter()
                    .all(|width| other.at(*width) != web.at(*width))
            );
        }
    }

    #[test]
    fn what_begins_nothing_or_is_nobodys_for_sure_is_not_asked_about() {
        let syn = flow(Direction::Outbound, TCP, (50_000, 443), 2);
        assert!(may_ask(&syn, CURL) && may_ask(&syn, Local::KERNEL) && may_ask(&syn, [0; 2]));
        assert!(!may_ask(&syn, Local::UNSURE));
        for flags in [16, 18, 4, 17] {
            let other = PacketHeaders {
                tcp_flags: flags,
                ..syn
            };
            assert!(!may_ask(&other, CURL), "{flags}");
        }
        let ping = flow(Direction::Outbound, ICMP, (8, 0), 0);
        let unreachable = flow(Direction::Outbound, ICMP, (3, 1), 0);
        assert!(may_ask(&ping, CURL) && !may_ask(&unreachable, CURL));
    }
}
