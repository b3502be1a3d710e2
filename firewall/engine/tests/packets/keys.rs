//! Tests of each key that a rule can have: what it takes, and what lies just beside that.

use crate::seen::{ENDS, ICMP, Seen, TCP, UDP, address_bytes, allowing, table};
use firewall_abi::packet::{Direction, NO_RULE, NO_USER, PacketMeta, name_words};

type Change = fn(&mut Seen);

/// Keys of a rule that takes a packet, each with changes of the packet by which the rule does no more.
struct Taken {
    ip_version: u8,
    direction: Direction,
    /// The key that the others need.
    protocol: &'static str,
    keys: &'static [(&'static str, &'static [Change])],
}

const IN: u8 = Direction::Inbound as u8;
const OUT: u8 = Direction::Outbound as u8;
const FORWARD: u8 = Direction::Forward as u8;

const TAKEN: [Taken; 5] = [
    Taken {
        ip_version: 4,
        direction: Direction::Outbound,
        protocol: "protocol = 'tcp'",
        keys: &[
            (
                "direction = 'out'",
                &[
                    |it| it.flow.direction = IN,
                    |it| it.flow.direction = FORWARD,
                ],
            ),
            (
                "source = '10.0.0.2'",
                &[
                    |it| it.flow.source[15] -= 1,
                    |it| it.flow.source[15] += 1,
                    |it| it.flow.source[12] ^= 1,
                    // An address of IPv6 that looks like it.
                    |it| it.flow.ip_version = 6,
                ],
            ),
            (
                "destination = '192.0.2.1'",
                &[
                    |it| it.flow.destination[15] -= 1,
                    |it| it.flow.destination[15] += 1,
                    |it| it.flow.destination[12] ^= 1,
                    |it| it.flow.ip_version = 6,
                ],
            ),
            (
                "source_ports = 5000",
                &[|it| it.flow.source_port -= 1, |it| it.flow.source_port += 1],
            ),
            (
                "ports = 443",
                &[
                    |it| it.flow.destination_port -= 1,
                    |it| it.flow.destination_port += 1,
                ],
            ),
            (
                "user = 1000",
                &[
                    |it| it.local.user -= 1,
                    |it| it.local.user += 1,
                    |it| it.local.user = NO_USER,
                ],
            ),
            (
                "program = 'kernel'",
                &[
                    |it| it.local.program = PacketMeta::UNKNOWN.program,
                    |it| it.local.program = PacketMeta::UNSURE,
                    |it| it.local.program = PacketMeta::ELSEWHERE,
                    |it| it.local.program[0] -= 1,
                ],
            ),
            (
                "interface = 'eth0'",
                &[
                    |it| it.local.interface = [0; 2],
                    |it| it.local.interface = named("eth1"),
                    |it| it.local.interface = named("eth00"),
                ],
            ),
        ],
    },
    Taken {
        ip_version: 6,
        direction: Direction::Inbound,
        protocol: "protocol = ['tcp', 'sctp']",
        keys: &[
            (
                "direction = 'in'",
                &[
                    |it| it.flow.direction = OUT,
                    |it| it.flow.direction = FORWARD,
                ],
            ),
            (
                "source = 'fd77:0:0:1:2::3'",
                &[
                    |it| it.flow.source[15] -= 1,
                    |it| it.flow.source[15] += 1,
                    |it| it.flow.source[8] ^= 0x80,
                    |it| it.flow.source[7] ^= 1,
                    |it| it.flow.source[0] ^= 1,
                ],
            ),
            (
                "destination = '2001:db8:0:1:2::3'",
                &[
                    |it| it.flow.destination[15] -= 1,
                    |it| it.flow.destination[15] += 1,
                    |it| it.flow.destination[8] ^= 0x80,
                    |it| it.flow.destination[7] ^= 1,
                    |it| it.flow.destination[0] ^= 1,
                ],
            ),
        ],
    },
    Taken {
        ip_version: 4,
        direction: Direction::Forward,
        protocol: "protocol = 'tcp'",
        keys: &[
            (
                "direction = 'forward'",
                &[|it| it.flow.direction = IN, |it| it.flow.direction = OUT],
            ),
            (
                "source = '@from'",
                &[
                    |it| it.flow.source[15] += 1,
                    // That one has the other end.
                    |it| it.flow.source = it.flow.destination,
                    |it| it.flow.ip_version = 6,
                ],
            ),
            (
                "destination = '@to'",
                &[
                    |it| it.flow.destination[15] += 1,
                    |it| it.flow.destination = it.flow.source,
                ],
            ),
            (
                "interface = 'eth0'",
                &[
                    |it| it.local.interface = named("eth1"),
                    |it| it.local.interface = [0; 2],
                ],
            ),
            // What has this key has a direction too.
            (
                "out_interface = 'eth1'",
                &[
                    |it| it.local.out_interface = named("eth0"),
                    |it| it.local.out_interface = [0; 2],
                ],
            ),
        ],
    },
    Taken {
        ip_version: 6,
        direction: Direction::Outbound,
        protocol: "protocol = 'tcp'",
        keys: &[
            (
                "source = '@from'",
                &[
                    |it| it.flow.source[15] += 1,
                    |it| it.flow.source[0] ^= 1,
                    |it| it.flow.source = it.flow.destination,
                ],
            ),
            (
                "destination = '@to'",
                &[
                    |it| it.flow.destination[15] += 1,
                    |it| it.flow.destination[0] ^= 1,
                    |it| it.flow.destination = it.flow.source,
                ],
            ),
        ],
    },
    Taken {
        ip_version: 4,
        direction: Direction::Inbound,
        protocol: "protocol = 'icmp'",
        keys: &[(
            "icmp_type = 'echo-request'",
            &[|it| it.flow.source_port = 7, |it| it.flow.source_port = 9],
        )],
    },
];

fn named(name: &str) -> [u64; 2] {
    name_words(name).expect("it is short")
}

impl Taken {
    fn packet(&self) -> Seen {
        Seen::of(self.ip_version, self.direction).with(|it| {
            if self.protocol.contains("icmp") {
                it.flow.protocol = ICMP;
                it.flow.source_port = 8;
            }
        })
    }

    /// Asserts that a rule with these keys takes the packet, and not once it is changed.
    fn assert_taken(&self, keys: &str, changes: &[Change]) {
        // What out_interface can have stands with its direction alone.
        let direction = if keys.contains("out_") && !keys.contains("direction") {
            "direction = 'forward'"
        } else {
            ""
        };
        let table = table(&allowing("x", &[self.protocol, direction, keys].join("\n")));
        let seen = self.packet();
        let decided = |seen: &Seen| seen.decided_by(&table.slices()).rule;
        assert_eq!(decided(&seen), 0, "{keys}");
        let others: [Change; 2] = [|it| it.flow.protocol = UDP, |it| it.flow.protocol = TCP + 1];
        for (n, change) in changes.iter().chain(&others).enumerate() {
            let changed = seen.with(change);
            assert_eq!(decided(&changed), NO_RULE, "{n} of {keys}: {changed:?}");
        }
    }
}

#[test]
fn a_key_takes_what_it_asks_for_and_nothing_beside_it() {
    for taken in &TAKEN {
        for (key, changes) in taken.keys {
            taken.assert_taken(key, changes);
        }
    }
}

#[test]
fn a_rule_with_many_keys_takes_what_has_all_that_they_ask_for() {
    for taken in &TAKEN {
        let (keys, changes): (Vec<_>, Vec<_>) = taken.keys.iter().copied().unzip();
        taken.assert_taken(&keys.join("\n"), &changes.concat());
    }
}

#[test]
fn an_address_or_a_set_that_holds_it_is_enough_at_each_end() {
    for (key, end) in ENDS {
        for (ip_version, own, of_the_set, neither) in [
            (4, "10.0.0.7", "10.0.0.9", "10.0.0.8"),
            (6, "fd77::7", "fd77::9", "fd77::8"),
        ] {
            let table = table(&allowing("x", &format!("{key} = ['{own}', '@others']")));
            for (address, rule) in [(own, 0), (of_the_set, 0), (neither, NO_RULE)] {
                let seen = Seen::of(ip_version, Direction::Outbound)
                    .with(|it| *end(&mut it.flow) = address_bytes(address));
                let decision = seen.decided_by(&table.slices());
                assert_eq!(decision.rule, rule, "{key} {address}");
            }
        }
    }
}
