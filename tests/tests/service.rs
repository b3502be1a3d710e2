//! Promises of what the service leaves in the kernel, and of taking it over, on this machine's
//! kernel.
//!
//! Needs what the tests of the firewall need.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod zone;

use channel_abi::Ending;
use control::Failed;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};
use zone::probe::{
    add_pair, allowing, end_servers, ip, lets_in, name, nothing_is_left, refuses, refuses_to,
    wait_until,
};
use zone::stream::Stream;
use zone::tun::Tun;
use zone::{Protected, RULES};

#[test]
fn nothing_refused_passes_and_conversations_go_on_while_a_service_is_killed_and_the_next_one_comes()
{
    let mut zone = Protected::start();
    Stream::watch_leaks(&zone);
    let before = zone.agreed();
    end_servers(&zone);
    let stream = Stream::start(&zone);
    zone.service.kill();
    stream.wait_for_more();
    assert!(zone.start_again(), "it takes over what is there");
    stream.wait_for_more();
    let went = stream.end();
    assert_eq!(Stream::leaked(&zone), 0, "{went:?}");
    assert!(went.tried > 10 && went.told == went.tried, "{went:?}");
    assert!(went.out.0 > 20 && went.out.0 == went.out.1, "{went:?}");
    assert!(went.came.0 > 20 && went.came.0 == went.came.1, "{went:?}");
    let after = zone.agreed();
    let counted = |before: lab::Counted, after: lab::Counted| {
        (
            after.blocked - before.blocked,
            after.allowed - before.allowed,
        )
    };
    let (driver, nft) = (counted(before.0, after.0), counted(before.1, after.1));
    assert_eq!(driver, nft, "blocked and allowed: the driver's, nftables'");
}

#[test]
fn devices_that_come_later_are_guarded_from_the_first_packet_also_while_the_service_is_away() {
    let mut zone = Protected::start();
    add_pair(&zone, "gb2", "gb3", 1);
    assert!(refuses_to(&zone, "10.78.1.1") && !lets_in(&zone, "10.78.1.2", 5353, false));
    zone.service.kill();
    add_pair(&zone, "gb4", "gb5", 2);
    assert!(refuses_to(&zone, "10.78.2.1") && !lets_in(&zone, "10.78.2.2", 5353, false));
    assert!(zone.start_again(), "the next service takes it over");
    assert!(refuses_to(&zone, "10.78.2.1") && !lets_in(&zone, "10.78.2.2", 5353, false));
    let netns = name(&zone.lab.netns());
    ip(&["-n", &netns, "link", "del", "gb4"]);
    wait_until("it leaves the status", || {
        zone.ask().status().unwrap().devices.len() == 3
    });
}

#[test]
fn a_tun_device_is_guarded_both_ways() {
    let zone = Protected::start();
    let Some(mut tun) = Tun::open(&zone.lab.netns(), "tun7") else {
        println!("skipped: this kernel has no tun devices");
        return;
    };
    let netns = name(&zone.lab.netns());
    ip(&["-n", &netns, "addr", "add", "10.80.0.2/24", "dev", "tun7"]);
    ip(&["-n", &netns, "link", "set", "tun7", "up"]);
    assert!(
        refuses_to(&zone, "10.80.0.1")
            && zone.inside("echo > /dev/udp/10.80.0.1/19").status.success()
    );
    let udp: Vec<u16> = tun
        .comes()
        .iter()
        .filter(|came| came.protocol == 17)
        .map(|came| came.destination_port)
        .collect();
    assert_eq!(udp, [19]);
    const SYN: u8 = 2;
    const ANSWER: u8 = 0x12;
    let (outside, inside) = ([10, 80, 0, 1], [10, 80, 0, 2]);
    // Nobody listens at the second port: whatever got there would be answered by a RST.
    tun.arrive((outside, 5555), (inside, 8080), SYN);
    tun.arrive((outside, 5556), (inside, 2222), SYN);
    let came = tun.comes();
    assert!(
        came.iter().all(|came| came.source_port == 8080)
            && came.iter().any(|came| came.flags == ANSWER),
        "{came:?}"
    );
}

#[test]
fn a_wireguard_device_is_guarded_like_any_other() {
    let zone = Protected::start();
    let netns = name(&zone.lab.netns());
    let made = Command::new("ip")
        .args(["-n", &netns, "link", "add", "wg0", "type", "wireguard"])
        .output()
        .unwrap();
    if !made.status.success() {
        println!("skipped: this kernel has no WireGuard");
        return;
    }
    ip(&["-n", &netns, "addr", "add", "10.79.0.2/24", "dev", "wg0"]);
    ip(&["-n", &netns, "link", "set", "wg0", "up"]);
    let said = |port: u16| {
        let sent = zone.inside(&format!("echo > /dev/udp/10.79.0.1/{port}"));
        String::from_utf8_lossy(&sent.stderr).into_owned()
    };
    assert!(said(9).contains("Operation not permitted"), "{}", said(9));
    // What is allowed gets as far as WireGuard itself, which knows no peer for it.
    assert!(
        !said(19).contains("Operation not permitted"),
        "{}",
        said(19)
    );
}

#[test]
fn rules_on_a_lease_go_by_the_clock_alone() {
    let mut zone = Protected::start();
    let applied = zone
        .ask()
        .apply("new.toml", &allowing(), Some(Duration::from_secs(8)))
        .unwrap();
    let end = Instant::now() + Duration::from_secs(8);
    assert_eq!(
        (applied.generation, applied.lease.unwrap().fallback),
        (2, 1)
    );
    zone.service.kill();
    assert!(
        !refuses(&zone),
        "the candidate holds though nobody serves it"
    );
    std::thread::sleep(end.saturating_duration_since(Instant::now()));
    assert!(refuses(&zone), "and is over though nobody ends it");
    zone.start_again();
    let status = zone.ask().status().unwrap();
    assert_eq!(
        (status.lease, status.rules.generation),
        (None, 3),
        "no number is given twice"
    );
    assert!(refuses(&zone) && fs::read_to_string(&zone.rules).unwrap() == RULES);
    assert!(
        matches!(zone.ask().confirm(None), Err(Failed::Refused { .. })),
        "there is nothing to confirm"
    );
}

#[test]
fn recover_takes_everything_out_of_a_service_that_lives_or_was_killed_twice_too() {
    let mut zone = Protected::start();
    let said = zone.recover();
    assert!(
        said.iter().any(|line| line.contains("the service")),
        "it was alive: {said:?}"
    );
    zone.service.process.wait().unwrap();
    nothing_is_left(&zone);
    assert!(!zone.start_again() && refuses(&zone), "it begins anew");
    zone.service.kill();
    assert!(!zone.recover().is_empty());
    nothing_is_left(&zone);
}

#[test]
fn what_a_killed_service_owed_its_apps_is_settled_by_the_next_one() {
    let mut zone = Protected::start();
    let mut apps = [zone.attach(1 << 16), zone.attach(1 << 16)];
    assert!(refuses(&zone));
    zone.service.kill();
    assert!(refuses(&zone));
    zone.start_again();
    for app in &mut apps {
        let mut records = 0;
        let drained = app.drain(|_| records += 1).unwrap();
        assert_eq!(
            (records, drained.ended),
            (2, Some(Ending::DriverStopping)),
            "while nobody served it too"
        );
    }
    let accounts = zone.ask().accounts().unwrap();
    assert_eq!(
        (accounts.taken, accounts.released, accounts.apps.len()),
        (2, 2, 0)
    );
    assert_eq!(
        (
            accounts.past.offered,
            accounts.past.committed,
            accounts.balances
        ),
        (4, 4, true)
    );
    let _every_slot: Vec<_> = (0..channel_abi::SLOTS).map(|_| zone.attach(4096)).collect();
}
