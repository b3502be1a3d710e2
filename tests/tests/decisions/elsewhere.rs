//! Packets that go by another device than what the stack's hook, or their own device, says;
//! and such as go on from where they say.

use super::carried::{PORT, Way, datagrams};
use super::*;
use std::net::SocketAddrV6;
use std::os::fd::AsRawFd;
use std::path::Path;
use zone::probe::Namespace;

/// Has lines done in the zone, each of which has to be.
fn does(zone: &Protected, lines: &[&str]) {
    for line in lines {
        let done = zone.inside(line);
        assert!(done.status.success(), "{line}: {done:?}");
    }
}

/// Sets an option of IP, of this version.
fn set(socket: &impl AsRawFd, version: libc::c_int, option: libc::c_int, value: &[u8]) {
    let length = value.len() as libc::socklen_t;
    // SAFETY: so many bytes are there.
    let failed = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            version,
            option,
            value.as_ptr().cast(),
            length,
        )
    };
    assert_eq!(failed, 0, "{option}: {}", std::io::Error::last_os_error());
}

fn datagrams_v6(netns: &Path, address: &str, port: u16) -> UdpSocket {
    let at = SocketAddrV6::new(address.parse().unwrap(), port, 0, 0);
    within(netns, move || UdpSocket::bind(at).unwrap())
}

/// A device for another way out, whose other end has 10.78.1.1.
fn second_device(zone: &Protected) {
    add_pair(zone, "gb2", "gb3", 1);
}

/// Way of a packet that is sent to the machine itself and is translated on its way, as by containers' published ports.
fn translated(zone: &Protected) -> Way {
    does(
        zone,
        &[
            "nft 'table ip published { chain out { type nat hook output priority -100; }; }'",
            &format!(
                "nft add rule ip published out ip daddr {INSIDE} udp dport 8080 dnat to {OUTSIDE}:{PORT}"
            ),
        ],
    );
    let sender = datagrams(&zone.lab.netns(), 0, INSIDE, 0).unwrap();
    Way {
        name: "translated",
        keys: format!("direction = \"out\"\nprotocol = \"udp\"\nports = {PORT}"),
        sends: Box::new(move || {
            // Refused, it is told so.
            let _told = sender.send_to(b"translated", (INSIDE, 8080));
        }),
        hears: datagrams(&outside(zone), 0, OUTSIDE, PORT).unwrap(),
    }
}

/// Way of a packet that has another route than it was made for, because it was marked on its way.
fn marked(zone: &Protected) -> Way {
    const THERE: &str = "203.0.113.80";
    second_device(zone);
    assert!(
        zone.outside(&format!("ip addr add {THERE}/32 dev lo"))
            .status
            .success()
    );
    does(
        zone,
        &[
            &format!("ip route add {THERE} via {OUTSIDE}"),
            "ip rule add fwmark 7 table 77",
            "ip route add default via 10.78.1.1 table 77",
            "nft 'table ip marks { chain out { type route hook output priority mangle; udp dport 7777 meta mark set 7; }; }'",
        ],
    );
    let sender = datagrams(&zone.lab.netns(), 0, INSIDE, 0).unwrap();
    Way {
        name: "marked",
        keys: "direction = \"out\"\nprotocol = \"udp\"\ninterface = \"gb2\"".to_owned(),
        sends: Box::new(move || {
            let _told = sender.send_to(b"marked", (THERE, PORT));
        }),
        hears: datagrams(&outside(zone), 0, THERE, PORT).unwrap(),
    }
}

/// Has both ends take what is routed by segments (RFC 8754); false: this kernel knows no such.
fn takes_segments(zone: &Protected) -> bool {
    let line = |device| format!("echo 1 > /proc/sys/net/ipv6/conf/{device}/seg6_enabled");
    let done = |done: std::process::Output| done.status.success();
    ["all", "lo", "gb0"]
        .iter()
        .all(|device| done(zone.inside(&line(*device))))
        && ["all", "gb1"]
            .iter()
            .all(|device| done(zone.outside(&line(*device))))
}

/// Has a socket send by way of another address, which needs no right.
fn goes_by(socket: &UdpSocket, way: &str, to: &str) {
    const ROUTING_HEADER: libc::c_int = 57;
    let mut header = vec![0, 4, 4, 1, 1, 0, 0, 0];
    for segment in [to, way] {
        header.extend(segment.parse::<std::net::Ipv6Addr>().unwrap().octets());
    }
    set(socket, libc::IPPROTO_IPV6, ROUTING_HEADER, &header);
}

/// Way of a packet that the sender routes by segments through the machine itself, or `None` if the kernel takes none.
fn by_segments(zone: &Protected) -> Option<Way> {
    const ITSELF: &str = "fd77::2";
    if !takes_segments(zone) {
        return None;
    }
    does(
        zone,
        &[
            "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding",
            &format!("ip addr add {ITSELF}/128 dev lo"),
        ],
    );
    let sender = datagrams_v6(&zone.lab.netns(), INSIDE_V6, 0);
    goes_by(&sender, ITSELF, OUTSIDE_V6);
    Some(Way {
        name: "segments",
        keys: format!("direction = \"forward\"\nprotocol = \"udp\"\nports = {PORT}"),
        sends: Box::new(move || {
            let _told = sender.send_to(b"segments", (OUTSIDE_V6, PORT));
        }),
        hears: datagrams_v6(&outside(zone), OUTSIDE_V6, PORT),
    })
}

#[test]
fn what_gets_another_way_out_than_it_was_made_for_is_judged_by_the_way_that_it_takes() {
    for way in [translated, marked] {
        let zone = Protected::with(QUIET);
        let way = way(&zone);
        assert_eq!(way.tried(&zone, "block"), (false, 1), "{}", way.name);
        assert_eq!(way.tried(&zone, "allow"), (true, 1), "{}", way.name);
    }
}

#[test]
fn what_is_forwarded_is_judged_also_if_it_came_by_loopback() {
    let zone = Protected::with(QUIET);
    let Some(way) = by_segments(&zone) else {
        println!("skipped: this kernel knows no routes by segments");
        return;
    };
    assert_eq!(way.tried(&zone, "block"), (false, 1), "{}", way.name);
    assert_eq!(way.tried(&zone, "allow"), (true, 1), "{}", way.name);
}

/// Returns whether a socket has received a datagram by now.
fn hears(socket: &UdpSocket) -> bool {
    socket.set_read_timeout(Some(patience(false))).unwrap();
    socket.recv(&mut [0; 16]).is_ok()
}

/// An address of each end that the rules refuse, or do not allow, beside the one that its packets show.
const BEHIND: [&str; 2] = ["203.0.113.80", "fd79::1"];
const OTHER_ONE: &str = "fd78::2";

/// A zone whose rules allow datagrams to one of its addresses, and none from it to what is behind another one outside.
fn refuses_what_is_behind() -> Protected {
    let [four, six] = BEHIND;
    let text = QUIET.to_owned()
        + &rule(
            "shown",
            "allow",
            &format!("direction = \"in\"\nprotocol = \"udp\"\ndestination = \"{INSIDE_V6}\""),
        )
        + &rule(
            "behind",
            "block",
            &format!("direction = \"out\"\ndestination = [\"{four}\", \"{six}\"]"),
        );
    let zone = Protected::with(&text);
    does(
        &zone,
        &[
            &format!("ip route add {four} via {OUTSIDE}"),
            &format!("ip route add {six} via {OUTSIDE_V6}"),
            &format!("ip addr add {OTHER_ONE}/128 dev lo"),
        ],
    );
    for line in [
        format!("ip addr add {four}/32 dev lo"),
        format!("ip addr add {six}/128 dev lo"),
        format!("ip route add {OTHER_ONE} via {INSIDE_V6}"),
        "echo 1 > /proc/sys/net/ipv4/conf/all/accept_source_route".to_owned(),
        "echo 1 > /proc/sys/net/ipv4/conf/gb1/accept_source_route".to_owned(),
    ] {
        let done = zone.outside(&line);
        assert!(done.status.success(), "{line}: {done:?}");
    }
    zone
}

/// Checks that a datagram is refused as it is sent, and counted.
fn is_refused(zone: &Protected, sender: &UdpSocket, to: &str, there: &UdpSocket) {
    let before = zone.ask().stats().unwrap().blocked_out;
    let told = sender.send_to(b"hidden", (to, PORT));
    let heard = hears(there);
    let refused = zone.ask().stats().unwrap().blocked_out - before;
    let told = told.map_err(|error| error.kind());
    let denied = Err(std::io::ErrorKind::PermissionDenied);
    assert_eq!((told, heard, refused), (denied, false, 1), "{to}");
}

#[test]
fn what_a_source_route_leads_on_from_where_it_says_it_goes_is_refused() {
    let zone = refuses_what_is_behind();
    let [behind, _] = BEHIND;
    let there = datagrams(&outside(&zone), 0, behind, PORT).unwrap();
    let sender = datagrams(&zone.lab.netns(), 0, INSIDE, 0).unwrap();
    is_refused(&zone, &sender, behind, &there);
    for kind in [131, 137] {
        let way: Ipv4Addr = OUTSIDE.parse().unwrap();
        let option = [&[1, kind, 7, 4][..], &way.octets()].concat();
        set(&sender, libc::IPPROTO_IP, libc::IP_OPTIONS, &option);
        is_refused(&zone, &sender, behind, &there);
    }
    // Another option leads nowhere.
    set(&sender, libc::IPPROTO_IP, libc::IP_OPTIONS, &[148, 4, 0, 0]);
    let shown = datagrams(&outside(&zone), 0, OUTSIDE, PORT).unwrap();
    sender.send_to(b"seen", (OUTSIDE, PORT)).unwrap();
    shown.set_read_timeout(Some(patience(true))).unwrap();
    assert!(shown.recv(&mut [0; 16]).is_ok());
}

#[test]
fn what_segments_lead_on_from_where_it_says_it_goes_is_refused_both_ways() {
    let zone = refuses_what_is_behind();
    if !takes_segments(&zone) {
        println!("skipped: this kernel knows no routes by segments");
        return;
    }
    let [_, behind] = BEHIND;
    let there = datagrams_v6(&outside(&zone), behind, PORT);
    let sender = datagrams_v6(&zone.lab.netns(), INSIDE_V6, 0);
    is_refused(&zone, &sender, behind, &there);
    goes_by(&sender, OUTSIDE_V6, behind);
    is_refused(&zone, &sender, behind, &there);

    let here = datagrams_v6(&zone.lab.netns(), OTHER_ONE, PORT);
    let from = datagrams_v6(&outside(&zone), OUTSIDE_V6, 0);
    for way in [None, Some(INSIDE_V6)] {
        if let Some(way) = way {
            goes_by(&from, way, OTHER_ONE);
        }
        let before = zone.ask().stats().unwrap().blocked_in;
        from.send_to(b"hidden", (OTHER_ONE, PORT)).unwrap();
        let heard = hears(&here);
        let refused = zone.ask().stats().unwrap().blocked_in - before;
        assert_eq!((heard, refused), (false, 1), "by {way:?}");
    }
}

/// A guest of the zone's, alone behind a bridge of its own: `10.N.0.2`.
fn guest(zone: &Protected, bridge: &str, net: u8) -> Namespace {
    let netns = name(&zone.lab.netns());
    does(
        zone,
        &[
            &format!("ip link add {bridge} type bridge && ip link set {bridge} up"),
            &format!("ip addr add 10.{net}.0.1/24 dev {bridge}"),
            "echo 1 > /proc/sys/net/ipv4/ip_forward",
            // Else the kernel itself may refuse an address that comes by a way that it does not go.
            &format!("echo 0 > /proc/sys/net/ipv4/conf/{bridge}/rp_filter"),
            "echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter",
        ],
    );
    let way = zone.outside(&format!("ip route add 10.{net}.0.0/24 via {INSIDE}"));
    assert!(way.status.success(), "{way:?}");
    let guest = Namespace::made(bridge);
    let (there, port) = (guest.0.as_str(), format!("{bridge}p"));
    ip(&[
        "link", "add", &port, "netns", &netns, "type", "veth", "peer", "name", "gb5", "netns",
        there,
    ]);
    ip(&["-n", &netns, "link", "set", &port, "master", bridge, "up"]);
    let address = format!("10.{net}.0.2/24");
    ip(&["-n", there, "addr", "add", &address, "dev", "gb5"]);
    ip(&["-n", there, "link", "set", "gb5", "up"]);
    let gateway = format!("10.{net}.0.1");
    ip(&["-n", there, "route", "add", "default", "via", &gateway]);
    guest
}

fn place_of(guest: &Namespace) -> PathBuf {
    Path::new("/run/netns").join(&guest.0)
}

/// A datagram from one to another, whoever sends it.
fn datagram((source, source_port): (&str, u16), (destination, port): (&str, u16)) -> Made {
    Made {
        protocol: UDP,
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        source_port,
        port,
    }
}

#[test]
fn a_conversation_is_judged_anew_where_its_device_has_another_name_or_another_one_has_its_number() {
    const HERE: &str = "10.78.1.2";
    const THERE: &str = "10.78.1.1";
    let zone = Protected::with(
        "[default]\ninbound = \"block\"\noutbound = \"block\"\n\n[[rule]]\nid = \"one-way\"\naction = \"allow\"\n\
         direction = \"out\"\nprotocol = \"udp\"\ninterface = \"gb2\"\n",
    );
    second_device(&zone);
    let there = datagrams(&outside(&zone), 0, THERE, PORT).unwrap();
    let here = datagrams(&zone.lab.netns(), 0, HERE, 0).unwrap();
    for socket in [&here, &there] {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    let passes = || match here.send_to(b"on", (THERE, PORT)) {
        Ok(_) => {
            let (_, from) = there.recv_from(&mut [0; 8]).unwrap();
            there.send_to(b"so", from).unwrap();
            here.recv(&mut [0; 8]).unwrap();
            true
        }
        Err(refused) => {
            assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
            false
        }
    };
    let is_called = |from: &str, to: &str| {
        does(
            &zone,
            &[
                &format!("ip link set {from} down"),
                &format!("ip link set {from} name {to}"),
                &format!("ip link set {to} up"),
            ],
        );
    };
    assert!(passes() && passes(), "by its device");
    is_called("gb2", "gb8");
    assert!(!passes(), "it has another name");
    is_called("gb8", "gb2");
    assert!(passes() && passes(), "and has its own again");
    let shown = zone.inside("ip -o link show gb2").stdout;
    let number = text(&shown).split(':').next().unwrap().to_owned();
    let elsewhere = name(&zone.lab.netns()).replace('i', "o");
    does(
        &zone,
        &[
            "ip link del gb2",
            &format!("ip link add gb6 index {number} type veth peer name gb7"),
            &format!("ip link set gb7 netns {elsewhere}"),
            &format!("ip addr add {HERE}/24 dev gb6"),
            "ip link set gb6 up",
        ],
    );
    ip(&[
        "-n",
        &elsewhere,
        "addr",
        "add",
        &format!("{THERE}/24"),
        "dev",
        "gb7",
    ]);
    ip(&["-n", &elsewhere, "link", "set", "gb7", "up"]);
    assert!(!passes(), "another device has its number");
}

#[test]
fn what_a_guest_writes_in_the_name_of_who_was_asked_by_another_device_is_no_answer() {
    const SERVER: (&str, u16) = (OUTSIDE, 7000);
    let zone = Protected::with(QUIET);
    let guest = guest(&zone, "br7", 82);
    let forger = Sender::open(&place_of(&guest));
    let there = datagrams(&outside(&zone), 0, SERVER.0, SERVER.1).unwrap();
    there.set_read_timeout(Some(patience(true))).unwrap();
    let guests = "direction = \"forward\"\ninterface = \"@guests\"";
    for text in [
        QUIET.to_owned(),
        QUIET.to_owned() + &rule("guests", "allow", guests),
    ] {
        zone.ask().apply("new.toml", &text, None).unwrap();
        let here = datagrams(&zone.lab.netns(), 0, INSIDE, 0).unwrap();
        here.send_to(b"who?", SERVER).unwrap();
        let asker = there.recv_from(&mut [0; 16]).unwrap().1;
        let before = zone.ask().stats().unwrap().blocked_in;
        forger.send(&datagram(SERVER, (INSIDE, asker.port())));
        assert!(!hears(&here), "{text}");
        assert_eq!(zone.ask().stats().unwrap().blocked_in - before, 1, "{text}");
        there.send_to(b"me", asker).unwrap();
        here.set_read_timeout(Some(patience(true))).unwrap();
        assert!(here.recv(&mut [0; 16]).is_ok(), "{text}");
    }
}

#[test]
fn what_a_guest_begins_in_the_name_of_another_behind_another_bridge_opens_nothing_there() {
    const OTHER: (&str, u16) = ("10.83.0.2", 5000);
    const FRIEND: (&str, u16) = (OUTSIDE, 6000);
    let guests = "direction = \"forward\"\ninterface = \"@guests\"";
    let zone = Protected::with(&(QUIET.to_owned() + &rule("guests", "allow", guests)));
    let [one, other] = [("br7", 82), ("br8", 83)].map(|(bridge, net)| guest(&zone, bridge, net));
    let friend = datagrams(&outside(&zone), 0, FRIEND.0, FRIEND.1).unwrap();
    friend.set_read_timeout(Some(patience(true))).unwrap();
    let here = datagrams(&place_of(&other), 0, OTHER.0, OTHER.1).unwrap();
    Sender::open(&place_of(&one)).send(&datagram(OTHER, FRIEND));
    friend.recv(&mut [0; 16]).unwrap();
    let before = zone.ask().stats().unwrap().blocked_forward;
    friend.send_to(b"hello", OTHER).unwrap();
    assert!(!hears(&here), "it has asked nobody");
    assert_eq!(zone.ask().stats().unwrap().blocked_forward - before, 1);
    here.send_to(b"who?", FRIEND).unwrap();
    friend.recv(&mut [0; 16]).unwrap();
    friend.send_to(b"me", OTHER).unwrap();
    here.set_read_timeout(Some(patience(true))).unwrap();
    assert!(here.recv(&mut [0; 16]).is_ok(), "now it has");
}
