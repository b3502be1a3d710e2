//! The same packets before other judges: nftables, and a scan from outside.

use super::*;

#[test]
fn nftables_judges_the_same_packets_by_the_same_rules_alike() {
    const RULES: usize = 40;
    const PACKETS: u16 = 600;
    let mut dice = Dice(20_260);
    let (rules, packets) = (
        judges::rules(&mut dice, RULES),
        judges::packets(&mut dice, PACKETS),
    );
    let zone = Protected::with(&judges::toml(&rules));
    judges::lead(&zone);
    for inside in [true, false] {
        let judge = ["nft", "-f", "-"];
        let mut command = if inside {
            zone.lab.inside(&judge)
        } else {
            zone.lab.outside(&judge)
        };
        let mut nft = command.stdin(Stdio::piped()).spawn().unwrap();
        nft.stdin
            .take()
            .unwrap()
            .write_all(judges::nft(&rules, inside).as_bytes())
            .unwrap();
        assert!(nft.wait().unwrap().success());
    }
    let before = zone.ask().stats().unwrap();
    let (here, there) = (
        Sender::open(&zone.lab.netns()),
        Sender::open(&outside(&zone)),
    );
    for (out, packet) in &packets {
        if *out { &here } else { &there }.send(packet);
    }
    zone.lab.quiet().unwrap();
    let [inside, outside] = [true, false].map(|inside| Judged::read(&zone, inside, RULES));
    let hits = zone.ask().hits().unwrap().hits;
    for (number, rule) in rules.iter().enumerate() {
        let nft = inside.rules[number] + outside.rules[number];
        assert_eq!(
            hits[number + 1],
            nft,
            "r{number}: the driver's count, nftables': {rule:?}"
        );
    }
    // No rule decided: neither does the driver count it with one.
    let by_rules: u64 = hits[1..].iter().sum();
    assert_eq!(
        by_rules + inside.default + outside.default,
        u64::from(PACKETS),
        "each packet was judged once"
    );
    // What came through is what nftables would have let through.
    assert_eq!(inside.came, outside.allowed(&rules, false), "in");
    assert_eq!(outside.came, inside.allowed(&rules, true), "out");
    let after = zone.ask().stats().unwrap();
    assert!(
        after.blocked_in > before.blocked_in && after.blocked_out > before.blocked_out,
        "{after:?}"
    );
    // Rules that nothing reaches prove nothing.
    assert!(
        hits[1..].iter().filter(|hits| **hits > 0).count() > RULES / 2,
        "{hits:?}"
    );
}

#[test]
fn a_dry_run_judges_the_same_packets_by_the_same_rules_as_the_driver_does() {
    const RULES: usize = 40;
    const PACKETS: u16 = 600;
    let mut dice = Dice(4_711);
    let (rules, packets) = (
        judges::rules(&mut dice, RULES),
        judges::packets(&mut dice, PACKETS),
    );
    let text = judges::toml(&rules);
    let zone = Protected::with(&text);
    judges::lead(&zone);
    let before = zone.ask().stats().unwrap();
    let (here, there) = (
        Sender::open(&zone.lab.netns()),
        Sender::open(&outside(&zone)),
    );
    for (out, packet) in &packets {
        if *out { &here } else { &there }.send(packet);
    }
    zone.lab.quiet().unwrap();
    let hits = zone.ask().hits().unwrap().hits;
    let after = zone.ask().stats().unwrap();
    let said = dry_run(&text, packets.iter().map(|(_, packet)| packet));
    let counted: Vec<_> = said["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| rule["packets"].as_u64().unwrap())
        .collect();
    // The first one is for what IPv6 itself needs, which was made by nobody.
    assert_eq!(hits[1..], counted[1..]);
    assert!(counted.iter().filter(|hits| **hits > 0).count() > RULES / 2);
    let blocked = after.blocked_in + after.blocked_out - before.blocked_in - before.blocked_out;
    assert_eq!(said["blocked"], blocked);
    assert_eq!(said["packets"], PACKETS);
}

/// What a dry run says of these packets in all, captured without a link's header.
fn dry_run<'a>(rules: &str, packets: impl Iterator<Item = &'a Made>) -> serde_json::Value {
    const RAW: u32 = 101;
    let mut capture = Vec::new();
    capture.extend(0xA1B2_C3D4_u32.to_le_bytes());
    capture.extend([2, 0, 4, 0].into_iter().chain([0; 8]));
    capture.extend([0x4_0000, RAW].map(u32::to_le_bytes).concat());
    for packet in packets {
        let bytes = packet.bytes();
        let length = u32::try_from(bytes.len()).unwrap();
        capture.extend([1, 0, length, length].map(u32::to_le_bytes).concat());
        capture.extend(bytes);
    }
    let (file, captured) = (
        Temporary::named("dry-run.toml"),
        Temporary::named("dry-run.pcap"),
    );
    fs::write(&file.0, rules).unwrap();
    fs::write(&captured.0, capture).unwrap();
    let words = [
        "gatebell",
        "dry-run",
        file.0.to_str().unwrap(),
        "--pcap",
        captured.0.to_str().unwrap(),
        "--zone",
        "10.90.0.0/16,fd90::/16",
        "--quiet",
        "--json",
    ];
    let arguments = cli::parse_from(words.map(Into::into));
    let mut said = Vec::new();
    cli::perform(&arguments.command, &mut said).unwrap();
    let last = std::str::from_utf8(&said).unwrap().lines().last().unwrap();
    let object: serde_json::Value = serde_json::from_str(last).unwrap();
    object["summary"].clone()
}

#[test]
fn a_scan_from_outside_finds_what_is_allowed_and_each_other_probe_is_reported() {
    if !Command::new("nmap")
        .arg("-V")
        .output()
        .is_ok_and(|found| found.status.success())
    {
        println!("skipped: nmap is not here");
        return;
    }
    let zone = Protected::start();
    let mut app = Told::<Packet>::of(&zone, Mask::of(kind::PACKET));
    let line = format!(
        "nmap -n -Pn -sS -sU -p T:22,80,8080,U:9,53 --max-retries 0 --host-timeout 8s -oG - {INSIDE}"
    );
    let said = zone.outside(&line);
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    for port in [
        "22/filtered/tcp",
        "80/filtered/tcp",
        "8080/open/tcp",
        "9/open|filtered/udp",
        "53/open|filtered/udp",
    ] {
        assert!(said.contains(port), "{port}: {said}");
    }
    while app.hear(Duration::from_millis(300)) {}
    let mut probes = BTreeSet::new();
    for (_, Packet { flow, decision, .. }) in app.kept {
        assert_eq!(
            (decision.rule, decision.verdict),
            (NO_RULE, Verdict::Block as u8),
            "{flow:?}"
        );
        probes.insert((flow.protocol, flow.destination_port));
    }
    assert_eq!(
        probes,
        [(TCP, 22), (TCP, 80), (UDP, 9), (UDP, 53)].into(),
        "refused probes, each reported"
    );
}
