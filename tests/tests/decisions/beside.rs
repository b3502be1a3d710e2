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
