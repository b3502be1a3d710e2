//! A resolver on this machine, which asks whom it likes, or nobody: what it answers stays on the loopback device.

use super::learned::by_tcp;
use super::resolver::Resolver;
use super::{names, stats};
use crate::zone::Protected;
use crate::zone::probe::wait_until;

/// A zone that may go to port 4001 of what has one of these names, and nowhere else.
const BY_NAME: &str = "[default]\ninbound = 'block'\noutbound = 'block'\n\
    [[set]]\nid = 'hosts'\nnames = ['*.example']\nresolvers = ['127.0.0.1', '::1']\n\
    [[rule]]\nid = 'by-name'\naction = 'allow'\ndirection = 'out'\nprotocol = 'udp'\nports = 4001\ndestination = '@hosts'\n";

/// Has a program of the zone ask whoever is at this address for a name.
fn asks(zone: &Protected, name: &str, whom: &str) {
    let line = format!("timeout 5 busybox nslookup -type=a {name} {whom}");
    let asked = zone.inside(&line);
    assert!(asked.status.success(), "{asked:?}");
}

fn asks_by_tcp(zone: &Protected, name: &str) {
    let question = by_tcp(9, name);
    let escaped: String = question
        .iter()
        .map(|byte| format!("\\x{byte:02x}"))
        .collect();
    let line =
        format!("exec 3<>/dev/tcp/127.0.0.1/53; printf '{escaped}' >&3; head -c 40 <&3 | wc -c");
    let asked = zone.inside(&line);
    assert_eq!(asked.stdout, b"40\n", "{asked:?}");
}

#[test]
fn what_a_resolver_on_this_machine_answers_names_addresses_and_has_them_join_sets() {
    let zone = Protected::with(BY_NAME);
    let hosts = ["four", "six", "stream", "stranger", "free", "last"];
    let records: Vec<String> = (20..)
        .zip(hosts)
        .map(|(n, host)| format!("--host-record={host}.example,10.77.0.{n}"))
        .collect();
    let _resolver = Resolver::here(&zone, &["127.0.0.1", "127.0.0.2", "::1"], &records);
    let sends = |address: &str| {
        let line = format!("echo > /dev/udp/{address}/4001");
        zone.inside(&line).status.success()
    };
    assert!(!sends("10.77.0.20"), "nobody has asked");
    asks(&zone, "four.example", "127.0.0.1");
    wait_until("it joins by IPv4", || sends("10.77.0.20"));
    let shown = ("10.77.0.20".to_owned(), "four.example".to_owned());
    assert!(names(&zone).contains(&shown), "and is named");
    asks(&zone, "six.example", "::1");
    wait_until("it joins by IPv6", || sends("10.77.0.21"));
    asks_by_tcp(&zone, "stream.example");
    wait_until("it joins by TCP", || sends("10.77.0.22"));

    // Another one on this machine is as strange as one outside.
    let before = stats(&zone)["strange"].clone();
    asks(&zone, "stranger.example", "127.0.0.2");
    wait_until("it is counted", || stats(&zone)["strange"] != before);
    assert!(!sends("10.77.0.23"));

    // Where any program may answer from its port, nobody is believed.
    let frees = |from: u16| {
        let line = format!("echo {from} > /proc/sys/net/ipv4/ip_unprivileged_port_start");
        let done = zone.inside(&line);
        assert!(done.status.success(), "{done:?}");
    };
    frees(53);
    asks(&zone, "free.example", "127.0.0.1");
    frees(54);
    asks(&zone, "last.example", "127.0.0.1");
    wait_until("it joins again", || sends("10.77.0.25"));
    assert!(!sends("10.77.0.24"));
}
