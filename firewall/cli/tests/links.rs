//! Captures as they come: of links of other kinds, compressed, of the loopback device, before a card cut them.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod commands;

use commands::{err, gatebell, gatebell_given, out};
use std::io::Write;
use std::process::Output;

const ETHERNET: u32 = 1;
const OUT: [u8; 2] = [0, 4];
const IN: [u8; 2] = [0, 0];

/// A pcap file of these frames, each as long as it is captured.
fn pcap(link_type: u32, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    file.extend(0xA1B2_C3D4_u32.to_le_bytes());
    file.extend([2, 0, 4, 0].into_iter().chain([0; 8]));
    file.extend(0x4_0000_u32.to_le_bytes());
    file.extend(link_type.to_le_bytes());
    for (second, frame) in (1_u32..).zip(frames) {
        let length = u32::try_from(frame.len()).unwrap().to_le_bytes();
        file.extend(second.to_le_bytes());
        file.extend([0; 4]);
        file.extend([length, length].concat());
        file.extend(frame);
    }
    file
}

/// A UDP packet with so much in it.
fn udp(source: [u8; 4], destination: [u8; 4], ports: [u16; 2], room: usize) -> Vec<u8> {
    let length = u16::try_from(28 + room).unwrap();
    let mut packet = vec![0x45, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([0, 1, 0, 0, 64, 17, 0, 0]);
    packet.extend([source, destination].concat());
    packet.extend(ports.map(u16::to_be_bytes).concat());
    packet.extend((length - 20).to_be_bytes());
    packet.extend([0; 2]);
    packet.resize(usize::from(length), 0);
    packet
}

const ZONE: [u8; 4] = [10, 77, 0, 2];
const OTHER: [u8; 4] = [10, 77, 0, 1];

/// A question and its answer.
fn talk() -> [Vec<u8>; 2] {
    [
        udp(ZONE, OTHER, [40000, 53], 1),
        udp(OTHER, ZONE, [53, 40000], 1),
    ]
}

fn behind(headers: [&[u8]; 2]) -> Vec<Vec<u8>> {
    let both = headers.into_iter().zip(talk());
    both.map(|(header, packet)| [header, &packet].concat())
        .collect()
}

fn dry_run(rules: &str, capture: &[u8], more: &[&str]) -> Output {
    let arguments = [&["dry-run", rules, "--pcap", "-"], more].concat();
    gatebell_given(capture, &arguments)
}

/// Holds a dry run with the zone given against numbers.
fn comes_out(capture: &[u8], expect: &str) -> String {
    let expect = format!("--expect={expect}");
    let output = dry_run("rules.toml", capture, &["--zone", "10.77.0.2", &expect]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    out(&output)
}

const TALKED: &str = "packets=2,allowed=2,replies=1";

#[test]
fn what_netfilter_logs_and_ppp_carries_is_read() {
    let attribute = [2, 0, 0, 0, 33, 0, 9, 0];
    comes_out(&pcap(239, &behind([&attribute, &attribute])), TALKED);
    let from_elsewhere = [2, 0, 0, 0, 0, 8, 0, 1, 8, 0, 3, 0, 0, 33, 0, 9];
    comes_out(
        &pcap(239, &behind([&from_elsewhere, &from_elsewhere])),
        TALKED,
    );
    comes_out(&pcap(9, &behind([&[0, 0x21], &[0xFF, 3, 0, 0x21]])), TALKED);
    // Without a zone the hook says which way they went.
    let hook = |hook| [2, 0, 0, 0, 8, 0, 1, 0, 8, 0, hook, 0, 33, 0, 9, 0];
    let logged = pcap(239, &behind([&hook(3), &hook(1)]));
    let output = dry_run("rules.toml", &logged, &["--expect", TALKED]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
}

#[test]
fn a_capture_of_which_no_link_is_read_names_it_and_says_what_to_do() {
    let frames = [vec![0; 40], vec![0; 40]];
    for (link_type, words) in [
        (127, ["802.11 with radiotap headers 2", "monitor mode"]),
        (258, ["PKTAP 2", "capture on one interface"]),
        (147, ["link type 147 2", "Ethernet (1)"]),
    ] {
        let output = dry_run(
            "rules.toml",
            &pcap(link_type, &frames),
            &["--zone", "10.77.0.2"],
        );
        assert_eq!(output.status.code(), Some(1));
        for word in words {
            assert!(err(&output).contains(word), "{}", err(&output));
        }
    }
}

#[test]
fn what_is_no_ip_is_counted_by_its_name() {
    let frame = |kind: [u8; 2]| [&[2; 12][..], &kind, &[0; 46]].concat();
    let kinds = [[0x88, 0x64], [0x88, 0x47], [0x08, 0x06], [0x08, 0x06]];
    let shown = comes_out(&pcap(ETHERNET, &kinds.map(frame)), "packets=4,unjudged=4");
    assert!(
        shown.contains("4 not judged: not IP (ARP 2, MPLS 1, PPPoE 1)"),
        "{shown}"
    );
}

#[test]
fn what_can_not_be_read_on_says_why() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&pcap(101, &talk())).unwrap();
    let mut packed = packed.finish().unwrap();
    packed.truncate(packed.len() - 4);
    let cut = gatebell_given(&packed, &["dry-run", "rules.toml", "--pcap", "-"]);
    let folder = gatebell(&["dry-run", "rules.toml", "--pcap", "."]);
    for (output, why) in [(cut, "unexpected end of file"), (folder, "s a directory")] {
        let said = err(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("can't be read on after packet "), "{said}");
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn a_capture_compressed_by_gzip_is_read() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&pcap(101, &talk())).unwrap();
    comes_out(&packed.finish().unwrap(), TALKED);
}

/// Linux cooked, version 1: a header of this kind of device.
fn cooked(way: [u8; 2], device: u16) -> Vec<u8> {
    [&way[..], &device.to_be_bytes(), &[0; 10], &[8, 0]].concat()
}

#[test]
fn what_stays_on_the_loopback_device_is_judged_only_if_a_rule_names_it() {
    const ETHER: u16 = 1;
    const LOOPBACK: u16 = 772;
    let local = udp([127, 0, 0, 1], [127, 0, 0, 53], [40000, 53], 1);
    let mut frames = behind([&cooked(OUT, ETHER), &cooked(IN, ETHER)]);
    for way in [OUT, IN] {
        frames.push([cooked(way, LOOPBACK), local.clone()].concat());
    }
    let capture = pcap(113, &frames);
    let expect = "--expect=packets=4,allowed=2,blocked=0,unjudged=2";
    let output = dry_run("rules.toml", &capture, &[expect]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(out(&output).contains("2 not judged: it stays on the loopback device"));
    let expect = "--expect=packets=4,allowed=4,unjudged=0,rule:on-lo=2";
    let output = dry_run("loopback.toml", &capture, &[expect]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    // Of two rule files each judges it if one of its own rules names it.
    let output = dry_run("loopback.toml", &capture, &["--against", "rules.toml"]);
    assert!(
        out(&output).matches("was allow  not judged").count() == 2,
        "{}",
        out(&output)
    );
}

#[test]
fn a_packet_that_its_card_was_to_cut_is_as_long_as_its_frame() {
    let mut frames = behind([&[2; 14], &[2; 14]]);
    for frame in &mut frames {
        frame[12..14].copy_from_slice(&[8, 0]);
        frame[16..18].copy_from_slice(&[0, 0]);
    }
    comes_out(&pcap(ETHERNET, &frames), &format!("{TALKED},malformed=0"));
}

#[test]
fn what_is_cut_and_called_whole_is_not_called_malformed() {
    let mut frame = [&[2; 12][..], &[8, 0], &udp(OTHER, ZONE, [1, 2], 400)].concat();
    frame.truncate(96);
    let shown = comes_out(
        &pcap(ETHERNET, &[frame]),
        "unjudged=1,malformed=0,blocked=0",
    );
    assert!(
        shown.contains("cut off before or in the capture"),
        "{shown}"
    );
}

const OURS: [u8; 6] = [2, 0, 0, 0, 0, 7];
const THEIRS: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// An Ethernet frame of IPv6 with UDP between link-local addresses that end in these bytes.
fn of_the_link(from: [u8; 6], to: [u8; 6], ends: [u8; 2]) -> Vec<u8> {
    let address = |end| [&[0xFE, 0x80][..], &[0; 13], &[end]].concat();
    let mut frame = [&to[..], &from, &[0x86, 0xDD, 0x60, 0, 0, 0, 0, 9, 17, 64]].concat();
    frame.extend(ends.map(address).concat());
    frame.extend([0x9C, 0x40, 0x9C, 0x41, 0, 9, 0, 0, 0]);
    frame
}

#[test]
fn what_the_zones_own_ethernet_address_sends_is_the_zones() {
    let [asks, _] = talk();
    let first = [&THEIRS[..], &OURS, &[8, 0], &asks].concat();
    let frames = [
        of_the_link(OURS, THEIRS, [7, 1]),
        first,
        of_the_link(OURS, THEIRS, [7, 1]),
        of_the_link(THEIRS, OURS, [1, 7]),
        of_the_link(THEIRS, [2, 0, 0, 0, 0, 9], [1, 9]),
    ];
    // The first is seen before the zone's address is known by what it sends; the last is others'.
    comes_out(
        &pcap(ETHERNET, &frames),
        "packets=5,allowed=2,blocked=1,unjudged=2",
    );
}

/// The fragments of a UDP packet over IPv4, eight bytes of it in each but the last.
fn fragments(packet: &[u8], number: u16) -> Vec<Vec<u8>> {
    let (header, payload) = packet.split_at(20);
    let pieces: Vec<_> = payload.chunks(8).collect();
    let cut = |(at, piece): (usize, &&[u8])| {
        let mut header = header.to_vec();
        let more = if at + 1 < pieces.len() { 0x2000 } else { 0 };
        header[2..4].copy_from_slice(&(20 + piece.len() as u16).to_be_bytes());
        header[4..6].copy_from_slice(&number.to_be_bytes());
        header[6..8].copy_from_slice(&(at as u16 | more).to_be_bytes());
        [&header, *piece].concat()
    };
    pieces.iter().enumerate().map(cut).collect()
}

/// The kernel puts fragments together before a packet is judged: each has the verdict of the whole.
#[test]
fn the_fragments_of_a_datagram_have_the_verdict_of_its_first() {
    let rules = "[default]\ninbound = \"block\"\noutbound = \"allow\"\n[[rule]]\nid = \"names\"\naction = \"allow\"\ndirection = \"in\"\n\
                 protocol = \"udp\"\nports = 53\n[[rule]]\nid = \"from-there\"\naction = \"allow\"\ndirection = \"in\"\n\
                 source = \"10.77.0.9\"\n";
    let there = [10, 77, 0, 9];
    let allowed = fragments(&udp(OTHER, ZONE, [40000, 53], 20), 1);
    let refused = fragments(&udp(OTHER, ZONE, [40000, 54], 20), 2);
    let reply = fragments(&udp(OTHER, ZONE, [53, 40001], 20), 3);
    let question = udp(ZONE, OTHER, [40001, 53], 20);
    // Of these two the first is not there.
    let headless = fragments(&udp(OTHER, ZONE, [40000, 53], 20), 4).split_off(2);
    let by_address = fragments(&udp(there, ZONE, [40000, 54], 20), 5).split_off(2);
    // As they come, in turns.
    let mut frames = vec![question];
    let mut turns = [allowed, refused, reply].map(Vec::into_iter);
    while let [Some(one), Some(two), Some(three)] = [0, 1, 2].map(|at| turns[at].next()) {
        frames.extend([one, two, three]);
    }
    frames.extend([headless, by_address].concat());
    assert_eq!(frames.len(), 17);
    let frames: Vec<_> = frames
        .iter()
        .map(|packet| [&[2; 12][..], &[8, 0], packet].concat())
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("rules.toml");
    std::fs::write(&place, rules).unwrap();
    let expect =
        "--expect=packets=17,allowed=11,blocked=6,replies=4,rule:names=4,rule:from-there=2";
    let file = place.display().to_string();
    let output = dry_run(
        &file,
        &pcap(ETHERNET, &frames),
        &["--zone", "10.77.0.2", expect],
    );
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}{}",
        out(&output),
        err(&output)
    );
    assert_eq!(out(&output).matches("on a later fragment").count(), 4);
}
