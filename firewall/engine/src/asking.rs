//! Questions to a person about a packet: their subject, and the lookup of answers.

use crate::connection::{Asked, ends_at_socket, may_begin};
use crate::headers::protocol::{ICMP, ICMPV6, TCP};
use firewall_abi::asking::{Subject, Who, Width};
use firewall_abi::packet::{Direction, PacketHeaders, PacketMeta, reply_direction};

/// Process and socket that a packet belongs to, which an answer may be limited to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asker {
    /// The process, if there are answers to it; its number 0: there are none, or it is not known.
    pub pid: u32,
    /// Start time of the process, in nanoseconds.
    pub began_ns: u64,
    /// The socket by the kernel's cookie; 0: not known.
    pub cookie: u64,
}

/// Looks for an answer, the narrowest first: to the endpoint before wider ones, and among those to the same, to the
/// socket before the process and to the process before the program. An answer to a socket is to its endpoint alone.
#[inline(always)]
pub fn find_answer(
    subject: &Subject,
    asker: &Asker,
    mut answered: impl FnMut(&Subject) -> bool,
) -> bool {
    let Asker {
        pid,
        began_ns,
        cookie,
    } = *asker;
    if cookie != 0 && answered(&subject.at(Width::Endpoint).of(Who::Socket { cookie })) {
        return true;
    }
    let mut at = |width| {
        pid != 0 && answered(&subject.at(width).of(Who::Process { pid, began_ns }))
            || answered(&subject.at(width))
    };
    at(Width::Endpoint) || at(Width::Address) || at(Width::Port) || at(Width::Anywhere)
}

/// Returns the subject of a question about a packet or, of a reply, about the beginning of its connection.
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

/// Returns whether a packet is worth a question: it begins a connection, and the program and the endpoint asked about
/// are known. An answer to the address `::` or the protocol 0 would be to any, which zeros stand for. A packet that is
/// not worth a question is blocked.
#[must_use]
#[inline(always)]
pub fn may_ask(flow: &PacketHeaders, subject: &Subject) -> bool {
    const SYN: u8 = 2;
    const ACK: u8 = 16;
    let begins = match flow.protocol {
        TCP => flow.tcp_flags & (SYN | ACK) == SYN,
        ICMP | ICMPV6 => may_begin(flow),
        _ => true,
    };
    let [high, low]: [u64; 2] = zerocopy::transmute!(subject.remote);
    let is_named = high | low != 0 && subject.protocol != 0;
    begins && is_named && subject.program != PacketMeta::UNSURE
}

#[cfg(test)]
mod tests {
    use super::*;
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
        assert_ne!(web.at(Width::Endpoint), mail.at(Width::Endpoint));
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

    /// Returns the answer that [`find_answer`] finds among these.
    fn found(answers: &[Subject], subject: Subject, asker: Asker) -> Option<Subject> {
        let mut found = None;
        find_answer(&subject, &asker, |to| {
            found = answers.contains(to).then_some(*to);
            found.is_some()
        });
        found
    }

    #[test]
    fn an_answer_to_a_process_or_a_socket_is_to_no_other_though_the_number_comes_round() {
        let packet = flow(Direction::Outbound, TCP, (50_000, 443), 2);
        let web = subject(&packet, Asked::Packet, CURL, 1000);
        let asker = Asker {
            pid: 7,
            began_ns: 100,
            cookie: 9,
        };
        let (process, socket) = (
            Who::Process {
                pid: 7,
                began_ns: 100,
            },
            Who::Socket { cookie: 9 },
        );
        for width in Width::ALL {
            let answer = web.at(width).of(process);
            assert_eq!(found(&[answer], web, asker), Some(answer), "{width:?}");
            for other in [
                Asker { pid: 8, ..asker },
                Asker {
                    began_ns: 101,
                    ..asker
                },
                Asker { pid: 0, ..asker },
            ] {
                assert_eq!(found(&[answer], web, other), None, "{other:?}");
            }
        }
        let answer = web.of(socket);
        assert_eq!(found(&[answer], web, asker), Some(answer));
        for cookie in [0, 8, 10] {
            assert_eq!(found(&[answer], web, Asker { cookie, ..asker }), None);
        }
        // To one endpoint: the same socket may send elsewhere.
        let elsewhere = Subject {
            remote: [9; 16],
            ..web
        };
        assert_eq!(found(&[answer], elsewhere, asker), None);
        let other_user = Subject { user: 1001, ..web };
        assert_eq!(found(&[answer, web.of(process)], other_user, asker), None);
    }

    #[test]
    fn the_narrowest_endpoint_counts_and_for_the_same_one_the_socket_the_process_and_the_program() {
        let packet = flow(Direction::Outbound, TCP, (50_000, 443), 2);
        let web = subject(&packet, Asked::Packet, CURL, 1000);
        let (pid, began_ns, cookie) = (7, 100, 9);
        let asker = Asker {
            pid,
            began_ns,
            cookie,
        };
        let process = Who::Process { pid, began_ns };
        let mut answers = std::vec![web.of(Who::Socket { cookie })];
        for width in Width::ALL {
            answers.extend([web.at(width).of(process), web.at(width)]);
        }
        while let Some(narrowest) = answers.first().copied() {
            assert_eq!(found(&answers, web, asker), Some(narrowest));
            answers.remove(0);
        }
        assert_eq!(found(&answers, web, asker), None);
    }

    /// Returns whether this program's packet may be asked about.
    fn asks(flow: &PacketHeaders, program: [u64; 2]) -> bool {
        may_ask(flow, &subject(flow, Asked::Packet, program, 1000))
    }

    #[test]
    fn what_begins_nothing_or_is_nobodys_for_sure_is_not_asked_about() {
        let syn = flow(Direction::Outbound, TCP, (50_000, 443), 2);
        assert!(asks(&syn, CURL) && asks(&syn, PacketMeta::KERNEL) && asks(&syn, [0; 2]));
        assert!(!asks(&syn, PacketMeta::UNSURE));
        for flags in [16, 18, 4, 17] {
            let other = PacketHeaders {
                tcp_flags: flags,
                ..syn
            };
            assert!(!asks(&other, CURL), "{flags}");
        }
        let ping = flow(Direction::Outbound, ICMP, (8, 0), 0);
        let unreachable = flow(Direction::Outbound, ICMP, (3, 1), 0);
        assert!(asks(&ping, CURL) && !asks(&unreachable, CURL));
    }

    #[test]
    fn nobody_is_asked_where_an_answer_would_be_wider_than_the_question() {
        let (mut high, mut low) = ([0; 16], [0; 16]);
        (high[0], low[15]) = (1, 1);
        for direction in [Direction::Outbound, Direction::Inbound] {
            for protocol in 0..=255 {
                for remote in [[0; 16], [2; 16], high, low] {
                    let mut packet = flow(direction, protocol, (8, 443), 2);
                    if direction == Direction::Outbound {
                        packet.destination = remote;
                    } else {
                        packet.source = remote;
                    }
                    let about = subject(&packet, Asked::Packet, CURL, 1000);
                    let widths = Width::ALL.map(|width| about.at(width));
                    let differ =
                        (0..4).all(|one| (0..one).all(|other| widths[one] != widths[other]));
                    assert_eq!(
                        may_ask(&packet, &about),
                        differ && begins(&packet),
                        "{about:?}"
                    );
                }
            }
        }
    }

    /// Returns whether a packet to or from port 443, or an ICMP message with these numbers, may begin a connection.
    fn begins(packet: &PacketHeaders) -> bool {
        !matches!(packet.protocol, ICMP | ICMPV6) || may_begin(packet)
    }
}
