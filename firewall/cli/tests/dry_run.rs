//! The dry run on real captures, and on captures that lie.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod commands;

use commands::{captures, command, err, gatebell, gatebell_given, golden, out};
use proptest::prelude::*;
use std::process::Stdio;

const ZONE: &str = "--zone=10.77.0.2,fd77::2";

fn ethernet() -> Vec<u8> {
    std::fs::read(captures().join("ethernet.pcap")).unwrap()
}

#[test]
fn each_packet_gets_its_verdict_with_rule_and_reason() {
    golden(
        "ethernet.txt",
        &gatebell(&["dry-run", "rules.toml", "--pcap", "ethernet.pcap", ZONE]),
    );
}

#[test]
fn json_says_the_same() {
    let output = gatebell(&[
        "dry-run",
        "rules.toml",
        "--pcap",
        "ethernet.pcap",
        ZONE,
        "--json",
    ]);
    golden("ethernet.json", &output);
    for line in out(&output).lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}

#[test]
fn a_cooked_pcapng_says_which_way_packets_went() {
    golden(
        "any.txt",
        &gatebell(&["dry-run", "rules.toml", "--pcap", "any.pcapng"]),
    );
}

#[test]
fn within_the_zone_a_packet_is_judged_on_its_way_out_and_in() {
    let zone = "--zone=127.0.0.0/8";
    golden(
        "loopback.txt",
        &gatebell(&["dry-run", "loopback.toml", "--pcap", "any.pcapng", zone]),
    );
}

#[test]
fn against_other_rules_only_what_changes_is_shown() {
    let output = gatebell(&[
        "dry-run",
        "rules.toml",
        "--pcap",
        "ethernet.pcap",
        ZONE,
        "--against",
        "before.toml",
    ]);
    golden("against.txt", &output);
    let same = [
        "dry-run",
        "rules.toml",
        "--pcap",
        "ethernet.pcap",
        ZONE,
        "--against=rules.toml",
        "--expect=changed=0",
    ];
    assert_eq!(gatebell(&same).status.code(), Some(0));
}

#[test]
fn expectations_set_the_exit_code() {
    let code = |expected: &str| {
        let expect = format!("--expect={expected}");
        gatebell(&[
            "dry-run",
            "rules.toml",
            "--pcap=ethernet.pcap",
            ZONE,
            "--quiet",
            &expect,
        ])
        .status
        .code()
    };
    assert_eq!(code("packets=47,rule:no-telnet=2,rule:never=0"), Some(0));
    assert_eq!(code("packets=47,rule:no-telnet=3"), Some(1));
    assert_eq!(code("rule:nobody=0"), Some(1));
    assert_eq!(code("changed=0"), Some(1));
    assert_eq!(code("packages=47"), Some(2));
    assert_eq!(code("packets"), Some(2));
}

#[test]
fn without_a_direction_the_message_names_the_zones_to_choose_from() {
    let output = gatebell(&["dry-run", "rules.toml", "--pcap", "ethernet.pcap"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        err(&output).contains("--zone 10.77.0.2 or --zone 10.77.0.1"),
        "{}",
        err(&output)
    );
}

#[test]
fn every_kind_of_link_gives_the_same_verdicts() {
    let whole = judged(&ethernet());
    assert!(whole.iter().any(|line| line.contains("block")) && whole.len() > 40);
    for (name, link_type, header) in links() {
        assert_eq!(judged(&relinked(link_type, &header)), whole, "{name}");
    }
}

/// The verdicts on a capture's IP packets, without their numbers and times.
fn judged(capture: &[u8]) -> Vec<String> {
    let output = gatebell_given(capture, &["dry-run", "rules.toml", "--pcap", "-", ZONE]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let text = out(&output);
    let packets = text
        .lines()
        .take_while(|line| !line.is_empty())
        .filter(|line| !line.contains("not IP"));
    packets
        .map(|line| line.get(25..).unwrap().to_owned())
        .collect()
}

type MakesHeader = Box<dyn Fn([u8; 2]) -> Vec<u8>>;

/// Link headers for packets of an Ethernet type: name, number, header.
fn links() -> Vec<(&'static str, u32, MakesHeader)> {
    let v6 = |kind: [u8; 2]| kind == [0x86, 0xDD];
    let family = move |kind| if v6(kind) { 10_u32 } else { 2 };
    vec![
        ("raw IP", 101, Box::new(|_| Vec::new())),
        (
            "802.1Q",
            1,
            Box::new(|kind| [&[0; 12][..], &[0x81, 0, 0, 7], &kind].concat()),
        ),
        (
            "802.1ad",
            1,
            Box::new(|kind| [&[0; 12][..], &[0x88, 0xA8, 0, 7, 0x81, 0, 0, 8], &kind].concat()),
        ),
        (
            "Linux cooked v1",
            113,
            Box::new(|kind| [&[0xFF; 2][..], &[0; 12], &kind].concat()),
        ),
        (
            "Linux cooked v2",
            276,
            Box::new(|kind| [&kind[..], &[0; 8], &[0xFF], &[0; 9]].concat()),
        ),
        (
            "null, little-endian",
            0,
            Box::new(move |kind| family(kind).to_le_bytes().to_vec()),
        ),
        (
            "null, big-endian",
            0,
            Box::new(move |kind| family(kind).to_be_bytes().to_vec()),
        ),
        (
            "loopback",
            108,
            Box::new(move |kind| family(kind).to_be_bytes().to_vec()),
        ),
    ]
}

#[test]
fn a_link_header_that_is_cut_off_carries_no_packet() {
    for (name, number, header) in links() {
        let frame = header([8, 0]);
        for cut in 0..frame.len() {
            let carried = cli::capture::carried(number.try_into().unwrap(), &frame[..cut]);
            assert_eq!(
                carried,
                Some(cli::capture::Carried::CutOff),
                "{name} of {cut} bytes"
            );
        }
    }
}

/// The capture's IP packets behind other link headers.
fn relinked(link_type: u32, header: &MakesHeader) -> Vec<u8> {
    let capture = ethernet();
    let (head, mut rest) = capture.split_at(24);
    let mut relinked = [&head[..20], &link_type.to_le_bytes()].concat();
    while rest.len() >= 16 {
        let length = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
        let (record, after) = rest.split_at(16 + length);
        rest = after;
        let kind = [record[28], record[29]];
        if kind == [8, 6] {
            continue;
        }
        let header = header(kind);
        let length = u32::try_from(length - 14 + header.len())
            .unwrap()
            .to_le_bytes();
        relinked.extend([&record[..8], &length, &length, &header, &record[30..]].concat());
    }
    relinked
}

#[test]
fn an_unknown_link_is_named_with_the_known_ones() {
    let mut capture = ethernet();
    capture[20..24].copy_from_slice(&127_u32.to_le_bytes());
    let output = gatebell_given(&capture, &["dry-run", "rules.toml", "--pcap", "-", ZONE]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        err(&output).contains("802.11 with radiotap headers 47")
            && err(&output).contains("Ethernet (1)")
    );
}

#[test]
fn a_capture_that_is_cut_off_says_how_many_packets_were_read() {
    let capture = ethernet();
    let output = gatebell_given(
        &capture[..capture.len() - 5],
        &["dry-run", "rules.toml", "--pcap", "-", ZONE, "-q"],
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(
        err(&output).contains("46 packets were read before"),
        "{}",
        err(&output)
    );
    assert!(out(&output).contains("46 packets:"), "{}", out(&output));
}

#[test]
fn what_is_no_capture_is_called_so() {
    for foreign in [&b""[..], b"x", b"[default]\ninbound = 'block'\n"] {
        let output = gatebell_given(foreign, &["dry-run", "rules.toml", "--pcap", "-", ZONE]);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            err(&output).contains("this is no capture"),
            "{}",
            err(&output)
        );
    }
}

#[test]
fn a_packet_that_the_capture_cut_is_not_called_malformed() {
    let mut capture = ethernet();
    capture.truncate(24);
    let packet = &ethernet()[24..][..16 + 42];
    // The first packet is ARP; the third is TCP, snapped behind its IP header.
    let third = &ethernet()[24 + 2 * packet.len()..][..16 + 34];
    let mut snapped = third.to_vec();
    snapped[8..12].copy_from_slice(&34_u32.to_le_bytes());
    capture.extend(snapped);
    let expect = "--expect=packets=1,malformed=0,unjudged=1";
    let output = gatebell_given(
        &capture,
        &["dry-run", "rules.toml", "--pcap", "-", ZONE, expect],
    );
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(out(&output).contains("the capture holds too little of it"));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = command(&["dry-run", "rules.toml", "--pcap", "-", ZONE, "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut input = child.stdin.take().unwrap();
    let capture = ethernet();
    let _gone = std::io::Write::write_all(&mut input, &capture);
    for _ in 0..100 {
        let _gone = std::io::Write::write_all(&mut input, &capture[24..]);
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), err(&output).as_str()), (Some(0), ""));
}

#[test]
fn colours_are_for_terminals_only() {
    let output = gatebell(&["dry-run", "rules.toml", "--pcap", "ethernet.pcap", ZONE]);
    assert!(!out(&output).contains('\x1b'));
    let asked = command(&["rules", "show", "rules.toml"])
        .env("CLICOLOR_FORCE", "1")
        .output()
        .unwrap();
    assert!(out(&asked).contains('\x1b'));
    let refused = command(&["rules", "show", "rules.toml"])
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    assert!(!out(&refused).contains('\x1b'));
}

/// Reads a capture to its end or its error; every packet's link is looked at too.
fn read(bytes: Vec<u8>) -> u64 {
    let Ok(mut capture) = cli::capture::Capture::new(std::io::Cursor::new(bytes)) else {
        return 0;
    };
    let mut packet = cli::capture::Packet::default();
    let mut packets = 0;
    while let Ok(true) = capture.next(&mut packet) {
        let _carried = cli::capture::carried(packet.link_type, &packet.bytes);
        packets += 1;
    }
    packets
}

fn change() -> impl Strategy<Value = (usize, u8)> {
    (any::<usize>(), any::<u8>())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_capture_however_wrong_makes_it_panic(
        ng in any::<bool>(),
        changes in prop::collection::vec(change(), 0..12),
        header_changes in prop::collection::vec(change(), 0..3),
        keep in 0.0..1.0_f64,
    ) {
        let file = if ng { "any.pcapng" } else { "ethernet.pcap" };
        let mut bytes = std::fs::read(captures().join(file)).unwrap();
        let whole = bytes.len();
        for (at, byte) in changes {
            bytes[at % whole] = byte;
        }
        for (at, byte) in header_changes {
            bytes[at % 200] = byte;
        }
        bytes.truncate((whole as f64 * keep) as usize + 1);
        prop_assert!(read(bytes) < 1000);
    }

    #[test]
    fn no_dry_run_of_it_does_either(
        ng in any::<bool>(),
        changes in prop::collection::vec(change(), 1..40),
        json in any::<bool>(),
    ) {
        use clap::Parser;
        let file = if ng { "any.pcapng" } else { "ethernet.pcap" };
        let mut bytes = std::fs::read(captures().join(file)).unwrap();
        let whole = bytes.len();
        for (at, byte) in changes {
            bytes[24 + at % (whole - 24)] = byte;
        }
        let folder = tempfile::tempdir().unwrap();
        let capture = folder.path().join("capture");
        std::fs::write(&capture, bytes).unwrap();
        let rules = captures().join("rules.toml");
        let against = captures().join("before.toml");
        let line = ["gatebell", "dry-run", rules.to_str().unwrap(), "--pcap", capture.to_str().unwrap(), ZONE,
            "--against", against.to_str().unwrap()];
        let line = line.into_iter().chain(json.then_some("--json"));
        let arguments = cli::Arguments::try_parse_from(line).unwrap();
        let mut out = Vec::new();
        let _done = cli::perform(&arguments.command, &mut out);
        prop_assert!(std::str::from_utf8(&out).is_ok());
    }

    #[test]
    fn no_frame_however_wrong_makes_it_panic(link in 0..300_i32, frame in prop::collection::vec(any::<u8>(), 0..80)) {
        let _carried = cli::capture::carried(link, &frame);
    }
}

#[test]
fn a_whole_capture_is_read_to_its_last_packet() {
    assert_eq!(read(ethernet()), 47);
    assert_eq!(
        read(std::fs::read(captures().join("any.pcapng")).unwrap()),
        16
    );
}
