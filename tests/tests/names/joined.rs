//! Addresses that join sets by their names.

use super::resolver::{Resolver, answer};
use super::{Asks, NOBODY, control, stats};
use crate::person::{self, Person};
use crate::zone::Protected;
use crate::zone::probe::{add_pair, outside, wait_until, within};
use lab::{INSIDE, OUTSIDE, OUTSIDE_V6};
use nix::sys::socket::{setsockopt, sockopt::BindToDevice};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

/// A zone that may go to port 4001 of what has one of these names, and ask for any.
const BY_NAME: &str = "[default]\ninbound = 'block'\noutbound = 'block'\n\
    [[set]]\nid = 'hosts'\nnames = ['WWW.Example.', '*.below.example', 'short.example', 'target.example']\nresolvers = '10.77.0.1'\n\
    [[rule]]\nid = 'asks'\naction = 'allow'\ndirection = 'out'\nprotocol = 'udp'\nports = 53\n\
    [[rule]]\nid = 'neighbours'\naction = 'allow'\nprotocol = 'icmpv6'\n\
    [[rule]]\nid = 'by-name'\naction = 'allow'\ndirection = 'out'\nprotocol = ['tcp', 'udp']\nports = 4001\ndestination = '@hosts'\n";

#[test]
fn an_address_joins_a_set_by_the_name_that_was_asked_for_and_leaves_it_when_the_answer_is_over() {
    let mut zone = Protected::with(BY_NAME);
    let root = Person::root(&zone);
    let resolver = Resolver::with(
        &zone,
        &[
            "--host-record=other.example,10.77.0.21",
            "--host-record=a.b.below.example,10.77.0.22",
            "--host-record=below.example,10.77.0.23",
            "--host-record=target.example,10.77.0.24",
            "--cname=alias.example,target.example",
            "--host-record=short.example,10.77.0.25,1",
            "--local-ttl=600",
        ],
    );
    let sends = |zone: &Protected, address: &str| {
        let line = format!("echo > /dev/udp/{address}/4001");
        zone.inside(&line).status.success()
    };
    assert!(
        !sends(&zone, "10.77.0.25"),
        "nobody has asked for that one yet"
    );
    assert!(zone.asks("short.example", "a"));
    wait_until("an answer has it join", || sends(&zone, "10.77.0.25"));

    // Who connects as soon as there is an answer gets through, if not by the first packet then by the next. There is no
    // such service outside: who gets through hears that.
    let line = format!(
        "busybox nslookup -type=aaaa www.example {OUTSIDE} && timeout 20 bash -c 'exec 3<>/dev/tcp/{OUTSIDE_V6}/4001'"
    );
    let went = zone.inside(&line);
    let said = String::from_utf8_lossy(&went.stderr).into_owned();
    assert!(said.contains("refused"), "{said}");
    let line = format!("timeout 2 bash -c 'exec 3<>/dev/tcp/{OUTSIDE_V6}/4002'");
    assert!(!String::from_utf8_lossy(&zone.inside(&line).stderr).contains("refused"));

    // The name that was asked for counts, wherever it leads; a pattern is what lies below.
    for name in [
        "other.example",
        "below.example",
        "alias.example",
        "a.b.below.example",
    ] {
        assert!(zone.asks(name, "a"), "{name}");
    }
    wait_until("what lies below joins", || sends(&zone, "10.77.0.22"));
    for address in ["10.77.0.21", "10.77.0.23", "10.77.0.24", "10.77.0.99"] {
        assert!(!sends(&zone, address), "{address}");
    }
    let listed = || root.run(&["set", "list", "hosts", "--json"]).out;
    let entry = |address: &str| -> Value {
        let of = format!("\"address\":\"{address}\"");
        let listed = listed();
        let line = listed.lines().find(|line| line.contains(&of));
        line.map_or(Value::Null, |line| serde_json::from_str(line).unwrap())
    };
    let below = entry("10.77.0.22");
    assert_eq!(below["name"], "a.b.below.example", "{below}");
    assert!(
        (1..=615).contains(&below["seconds_left"].as_u64().unwrap()),
        "{below}"
    );
    assert_eq!(entry(OUTSIDE_V6)["name"], "www.example");
    assert_eq!(entry("10.77.0.24"), Value::Null);
    let why = root.ok(&[
        "why",
        "--json",
        "--packet",
        &format!("out udp {INSIDE}:5000 -> 10.77.0.22:4001"),
    ]);
    assert_eq!(
        (&why["rule"], &why["joined"][0]["name"]),
        (&json!("by-name"), &json!("a.b.below.example"))
    );
    let nobody = person::connect_as(NOBODY, &control(&zone));
    assert!(nobody.is_err(), "a socket that root alone may use");

    // The next rules have at once what is known of their names, and no more what they do not ask for.
    let others = BY_NAME.replace("'*.below.example'", "'other.example'");
    std::fs::write(&zone.rules, others).unwrap();
    root.run(&["rules", "apply", zone.rules.to_str().unwrap()]);
    assert!(sends(&zone, "10.77.0.21"));
    assert!(!sends(&zone, "10.77.0.22"));

    // So has the next service; and one that says what nobody asked for is not believed.
    drop(resolver);
    zone.service.kill();
    assert!(sends(&zone, "10.77.0.21"), "with no service");
    assert!(zone.start_again());
    assert!(sends(&zone, "10.77.0.21"));
    assert_eq!(stats(&zone)["unasked"], 0);
    let lie = answer(b"\x03www\x07example\0");
    let _resolver = Resolver::lie(&zone, &lie);
    wait_until("it is counted", || stats(&zone)["unasked"] != 0);
    assert!(!sends(&zone, "192.0.2.7"));
    wait_until("its time is over", || !sends(&zone, "10.77.0.25"));
    assert!(sends(&zone, "10.77.0.21"));
    assert_eq!(root.ok(&["status", "--json"])["trouble"], json!([]));
}

/// The resolver's port, by this device alone.
fn resolver_by(netns: &Path, device: &'static str) -> UdpSocket {
    within(netns, move || {
        let at: SocketAddr = format!("{OUTSIDE}:53").parse().unwrap();
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        setsockopt(&socket, BindToDevice, &device.into()).unwrap();
        socket.bind(&at.into()).unwrap();
        socket.into()
    })
}

#[test]
fn an_answer_has_an_address_join_only_by_the_device_that_its_question_left_by() {
    let zone = Protected::with(BY_NAME);
    add_pair(&zone, "gb2", "gb3", 1);
    let routed = zone.outside(&format!("ip route add {INSIDE}/32 via 10.78.1.2 dev gb3"));
    assert!(routed.status.success(), "{routed:?}");
    let there = outside(&zone);
    let (true_one, forger) = (resolver_by(&there, "gb1"), resolver_by(&there, "gb3"));
    true_one
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let asker = within(&zone.lab.netns(), || UdpSocket::bind((INSIDE, 0)).unwrap());
    let name = b"\x03www\x07example\0";
    let question = [
        &[0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0],
        &name[..],
        &[0, 1, 0, 1],
    ]
    .concat();
    asker.send_to(&question, (OUTSIDE, 53)).unwrap();
    let (_, to) = true_one.recv_from(&mut [0; 64]).unwrap();
    let joined = || {
        zone.inside("echo > /dev/udp/192.0.2.7/4001")
            .status
            .success()
    };
    let leads = zone.inside(&format!("ip route add 192.0.2.0/24 via {OUTSIDE}"));
    assert!(leads.status.success(), "{leads:?}");
    forger.send_to(&answer(name), to).unwrap();
    wait_until("it is counted", || stats(&zone)["unasked"] != 0);
    assert!(!joined());
    true_one.send_to(&answer(name), to).unwrap();
    wait_until("the true answer has it join", joined);
}
