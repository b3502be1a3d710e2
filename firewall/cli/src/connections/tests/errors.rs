//! Errors of ICMP about connections.

use super::{REFUSED, REPLY, Run, SECOND};
use engine::Parsed;
use firewall_abi::packet::{Direction, Reason, Verdict};

/// An ICMP error of this type, about a UDP packet from one machine (…2) to another (…1) between these ports.
fn error(kind: u8, six: bool, ports: (u16, u16), direction: Direction) -> (Parsed, Vec<u8>) {
    let header = |protocol: u8, payload: u8, from: u8, to: u8| -> Vec<u8> {
        if six {
            let address = |last| [&[0xFD][..], &[0; 14], &[last]].concat();
            [
                &[0x60, 0, 0, 0, 0, payload, protocol, 64][..],
                &address(from),
                &address(to),
            ]
            .concat()
        } else {
            let start = [0x45, 0, 0, 20 + payload, 0, 0, 0, 0, 64, protocol, 0, 0];
            [&start[..], &[10, 0, 0, from], &[10, 0, 0, to]].concat()
        }
    };
    let (from, to) = (2, 1);
    let quoted = [
        header(17, 12, from, to),
        [
            ports.0.to_be_bytes(),
            ports.1.to_be_bytes(),
            [0, 12],
            [0; 2],
        ]
        .concat(),
    ];
    let icmp = [&[kind, 0, 0, 0, 0, 0, 0, 0][..], &quoted.concat()].concat();
    let bytes = [
        header(if six { 58 } else { 1 }, icmp.len() as u8, 9, from),
        icmp,
    ]
    .concat();
    (
        engine::parse(&bytes[..], bytes.len() as u32, direction),
        bytes,
    )
}

#[test]
fn an_error_about_a_conversation_passes_with_it_and_changes_nothing_in_it() {
    let mut run = Run::new();
    let judge = |run: &mut Run, (packet, bytes): &(Parsed, Vec<u8>)| {
        let decision = run
            .connections
            .decide(packet, bytes, &run.rules.slices(), 10 * SECOND);
        (
            decision.verdict == Verdict::Allow as u8,
            Reason::try_from(decision.reason).unwrap(),
        )
    };
    let inbound = Direction::Inbound;
    for (six, errors, others) in [
        (false, &[3, 11, 12][..], &[5, 13][..]),
        (true, &[1, 2, 3, 4], &[137, 128]),
    ] {
        let ends = if six {
            ("[fd00::2]:5000", "[fd00::1]:53")
        } else {
            ("10.0.0.2:5000", "10.0.0.1:53")
        };
        for kind in errors {
            let about_it = error(*kind, six, (5000, 53), inbound);
            assert_eq!(
                judge(&mut run, &about_it),
                REFUSED,
                "nobody has begun it: {kind}"
            );
        }
        run.at(0, &format!("out udp {} -> {}", ends.0, ends.1));
        for kind in errors {
            let about_it = error(*kind, six, (5000, 53), inbound);
            assert_eq!(judge(&mut run, &about_it), REPLY, "{kind}");
            for cut in 1..about_it.1.len() {
                let cut = (about_it.0, about_it.1[..about_it.1.len() - cut].to_vec());
                let quoted_enough = cut.1.len() >= about_it.1.len() - 4;
                assert_eq!(
                    judge(&mut run, &cut) == REPLY,
                    quoted_enough,
                    "{kind}, {} bytes",
                    cut.1.len()
                );
            }
            // To somebody else than who sent what it quotes, or longer than errors are.
            let mut elsewhere = about_it.clone();
            elsewhere.0.flow.destination[15] = 77;
            assert_eq!(judge(&mut run, &elsewhere), REFUSED, "{kind}");
            let mut long = about_it.clone();
            let at = if six { 4 } else { 2 };
            let most: u16 = if six { 1280 - 40 } else { 576 };
            for (length, expected) in [(most, REPLY), (most + 1, REFUSED)] {
                long.1[at..at + 2].copy_from_slice(&length.to_be_bytes());
                assert_eq!(judge(&mut run, &long), expected, "{kind} {length}");
            }
            for ports in [(5001, 53), (5000, 54), (53, 5000)] {
                assert_eq!(judge(&mut run, &error(*kind, six, ports, inbound)), REFUSED);
            }
        }
        for kind in others {
            assert_eq!(
                judge(&mut run, &error(*kind, six, (5000, 53), inbound)),
                REFUSED,
                "{kind}"
            );
        }
        // It was not answered by any of this.
        assert_eq!(
            run.at(31, &format!("in udp {} -> {}", ends.1, ends.0)),
            REFUSED
        );
        // What begins outside may be answered by an error from inside.
        let begins = if six {
            "in udp [fd00::2]:5000 -> [fd00::1]:7"
        } else {
            "in udp 10.0.0.2:5000 -> 10.0.0.1:7"
        };
        let answer = error(errors[0], six, (5000, 7), Direction::Outbound);
        assert_ne!(judge(&mut run, &answer), REPLY);
        assert!(run.at(0, begins).0);
        assert_eq!(judge(&mut run, &answer), REPLY);
    }
}
