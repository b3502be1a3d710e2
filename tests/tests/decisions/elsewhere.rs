//! Packets that go by another device than what the stack's hook, or their own device, says.

use super::carried::{PORT, Way, datagrams};
use super::*;
use std::net::SocketAddrV6;
use std::os::fd::AsRawFd;
use std::path::Path;

/// Has lines done in the zone, each of which has to be.
fn does(zone: &Protected, lines: &[&str]) {
    for line in lines {
        let done = zone.inside(line);
        assert!(done.status.success(), "{line}: {done:?}");
    }
}

/// Sets an option of IPv6.
fn set(socket: &impl AsRawFd, option: libc::c_int, value: &[u8]) {
    let length = value.len() as libc::socklen_t;
    // SAFETY: so many bytes are there.
    let failed = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IPV6,
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

/// What is sent to the machine itself and is translated on its way, as containers' published ports are.
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

/// What has another route than it was made for, because it was marked on its way.
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

/// What the sender sends by way of the machine itself (RFC 8754), which needs no right.
fn by_segments(zone: &Protected) -> Option<Way> {
    const ROUTING_HEADER: libc::c_int = 57;
    for (inside, device) in [(true, "all"), (true, "lo"), (false, "all"), (false, "gb1")] {
        let line = format!("echo 1 > /proc/sys/net/ipv6/conf/{device}/seg6_enabled");
        let done = if inside {
            zone.inside(&line)
        } else {
            zone.outside(&line)
        };
        if !done.status.success() {
            return None;
        }
    }
    does(
        zone,
        &[
            "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding",
            "ip addr add fd77::2/128 dev lo",
        ],
    );
    let segments: [std::net::Ipv6Addr; 2] =
        [OUTSIDE_V6, "fd77::2"].map(|address| address.parse().unwrap());
    let mut header = vec![0, 4, 4, 1, 1, 0, 0, 0];
    for segment in segments {
        header.extend(segment.octets());
    }
    let sender = datagrams_v6(&zone.lab.netns(), INSIDE_V6, 0);
    set(&sender, ROUTING_HEADER, &header);
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
