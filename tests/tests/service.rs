//! Promises of the service, and of what it leaves in the kernel: on this machine's, and on Debian's 6.1 emulated.
//!
//! Needs what the tests of the firewall need.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may fail")]

#[expect(dead_code, reason = "the lab of `cargo xtask run`, not all of which is needed here")]
#[path = "../../xtask/src/lab.rs"]
mod lab;
#[allow(dead_code, reason = "shared with the tests of the firewall, each of which needs a part")]
mod zone;

use lab::OUTSIDE;
use nix::sys::signal::Signal;
use std::time::Duration;
use zone::{Protected, RULES};

#[test]
fn a_bad_rule_file_changes_nothing_and_a_good_one_takes_the_old_ones_place() {
    let mut zone = Protected::start();
    let refused = |zone: &Protected| !zone.inside(&format!("echo > /dev/udp/{OUTSIDE}/9")).status.success();
    std::fs::write(&zone.rules, "[default]\ninbound = \"perhaps\"\n").unwrap();
    zone.signal(Signal::SIGHUP);
    assert_eq!(zone.hear("reloaded"), 1);
    assert!(refused(&zone));
    std::fs::write(&zone.rules, RULES.replace("ports = 9\n", "ports = 19\n")).unwrap();
    zone.signal(Signal::SIGHUP);
    assert_eq!(zone.hear("reloaded"), 2);
    assert!(!refused(&zone));
}

#[test]
fn a_killed_service_leaves_the_zone_guarded() {
    let mut zone = Protected::start();
    zone.lab.serve_outside("23").unwrap();
    let get = |zone: &Protected, port: u16| {
        let got = zone.inside(&format!("timeout 2 busybox wget -q -O - http://{OUTSIDE}:{port}/"));
        !got.stdout.is_empty() || String::from_utf8_lossy(&got.stderr).contains("HTTP/")
    };
    assert!(get(&zone, 80) && !get(&zone, 23), "while it lives");
    zone.service.kill().unwrap();
    zone.service.wait().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert!(get(&zone, 80), "replies still pass");
    assert!(!get(&zone, 23), "the filters at the device judge what the hook at the sockets did");
}
