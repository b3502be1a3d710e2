//! Tests of the same packets before other judges: nftables, and a scan from outside.

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
    let lines = dry_run(&text, &packets);
    let said = &lines[lines.len() - 1]["summary"];
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

#[test]
fn rules_that_were_imported_from_nftables_do_with_each_packet_what_they_did_there() {
    imported_do_the_same("nft", &mut Dice(777), judges::ruleset);
}

#[test]
fn rules_that_were_imported_from_iptables_do_with_each_packet_what_they_did_there() {
    imported_do_the_same("iptables", &mut Dice(778), judges::saved);
}

/// Checks that the same rules, in our words and by way of another firewall's, have the same verdict on each of many
/// packets. Of rules that are written down by `judges` nftables itself has judged such packets, above.
fn imported_do_the_same(kind: &str, dice: &mut Dice, export: impl Fn(&[judges::Rule]) -> String) {
    const RULES: usize = 60;
    const PACKETS: u16 = 1500;
    let (rules, packets) = (judges::rules(dice, RULES), judges::packets(dice, PACKETS));
    let exported = Temporary::named(&format!("exported by {kind}"));
    fs::write(&exported.0, export(&rules)).unwrap();
    let words = ["rules", "import", "--from", kind];
    let (code, said) = perform(&[&words[..], &[exported.0.to_str().unwrap()]].concat());
    let imported = String::from_utf8(said).unwrap();
    assert_eq!(code, 0, "all of it can be said: {imported}");
    let [there, here] = [judges::toml(&rules), imported].map(|text| {
        let mut lines = dry_run(&text, &packets);
        lines.pop();
        lines
    });
    let mut verdicts = BTreeSet::new();
    assert_eq!(there.len(), packets.len());
    for (there, here) in there.iter().zip(&here) {
        assert_eq!(there["verdict"], here["verdict"], "{there} {here}");
        verdicts.insert(there["verdict"].to_string() + &there["reason"].to_string());
    }
    assert_eq!(
        verdicts.len(),
        4,
        "by rules and by both defaults: {verdicts:?}"
    );
}

/// Returns the dry run's result for each of these packets, captured without a link's header, and for all.
fn dry_run(rules: &str, packets: &[(bool, Made)]) -> Vec<serde_json::Value> {
    const RAW: u32 = 101;
    let mut capture = Vec::new();
    capture.extend(0xA1B2_C3D4_u32.to_le_bytes());
    capture.extend([2, 0, 4, 0].into_iter().chain([0; 8]));
    capture.extend([0x4_0000, RAW].map(u32::to_le_bytes).concat());
    for (_, packet) in packets {
        let bytes = packet.bytes();
        let length = u32::try_from(bytes.len()).unwrap();
        capture.extend([1, 0, length, length].map(u32::to_le_bytes).concat());
        capture.extend(bytes);
    }
    let named = |name: &str| Temporary::named(&format!("{} {name}", rules.len()));
    let (file, captured) = (named("dry-run.toml"), named("dry-run.pcap"));
    fs::write(&file.0, rules).unwrap();
    fs::write(&captured.0, capture).unwrap();
    let (_, said) = perform(&[
        "dry-run",
        file.0.to_str().unwrap(),
        "--pcap",
        captured.0.to_str().unwrap(),
        "--zone",
        "10.90.0.0/16,fd90::/16",
        "--json",
    ]);
    let lines = std::str::from_utf8(&said).unwrap().lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Runs the command line, and returns its exit code and output.
fn perform(words: &[&str]) -> (u8, Vec<u8>) {
    let arguments = cli::parse_from(["gatebell"].iter().chain(words).map(Into::into));
    let mut said = Vec::new();
    let code = cli::perform(&arguments.command, &mut said).unwrap();
    (code, said)
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
        "nmap -n -Pn -sS -sU -p T:22,80,8080,U:9,53 --max-retries 0 --host-timeout 60s -oG - {INSIDE}"
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
    for (
        _,
        Packet {
            headers, decision, ..
        },
    ) in app.kept
    {
        assert_eq!(
            (decision.rule, decision.verdict),
            (NO_RULE, Verdict::Block as u8),
            "{headers:?}"
        );
        probes.insert((headers.protocol, headers.destination_port));
    }
    assert_eq!(
        probes,
        [(TCP, 22), (TCP, 80), (UDP, 9), (UDP, 53)].into(),
        "refused probes, each reported"
    );
}
