//! Packets that are carried by other things than a program's usual socket.

use super::*;
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::Path;
use zone::probe::{Namespace, reaches};

/// Number of `IPPROTO_UDPLITE`.
pub const UDP_LITE: i32 = 136;
pub const PORT: u16 = 7777;

/// A way for a datagram to leave the zone, what a rule asks for that takes it, and who hears it outside.
pub struct Way {
    pub name: &'static str,
    pub keys: String,
    pub sends: Box<dyn Fn()>,
    pub hears: UdpSocket,
}

impl Way {
    /// Returns whether what is sent now is received, and how often a rule with this action matched it.
    pub fn tried(&self, zone: &Protected, action: &str) -> (bool, u64) {
        let id = format!("{}-{action}", self.name);
        let text = QUIET.to_owned() + &rule(&id, action, &self.keys);
        zone.ask().apply("new.toml", &text, None).unwrap();
        (self.sends)();
        let allowed = action == "allow";
        self.hears
            .set_read_timeout(Some(patience(allowed)))
            .unwrap();
        let heard = self.hears.recv(&mut [0; 2000]).is_ok();
        (heard, zone.ask().hits().unwrap().hits[1])
    }
}

/// A datagram socket of this protocol; `None`: this kernel has no such.
pub fn datagrams(netns: &Path, protocol: i32, address: &str, port: u16) -> Option<UdpSocket> {
    let to: SocketAddr = format!("{address}:{port}").parse().unwrap();
    let SocketAddr::V4(to) = to else {
        panic!("IPv4 alone")
    };
    within(netns, move || {
        // SAFETY: no preconditions.
        let fd = unsafe {
            libc::socket(
                libc::AF_INET,
                libc::SOCK_DGRAM | libc::SOCK_CLOEXEC,
                protocol,
            )
        };
        if fd < 0 {
            return None;
        }
        // SAFETY: the kernel has just made it for us.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: all of it may be zero.
        let mut address: libc::sockaddr_in = unsafe { std::mem::zeroed() };
        address.sin_family = libc::AF_INET as libc::sa_family_t;
        address.sin_addr.s_addr = u32::from_ne_bytes(to.ip().octets());
        address.sin_port = to.port().to_be();
        let length = size_of_val(&address) as libc::socklen_t;
        // SAFETY: an address of the length given.
        let bound = unsafe { libc::bind(fd, (&raw const address).cast(), length) };
        assert_eq!(bound, 0, "{}", std::io::Error::last_os_error());
        Some(UdpSocket::from(socket))
    })
}

/// Way of a datagram of UDP-Lite, which has no hook of its own for one that is sent.
fn lite(zone: &Protected) -> Option<Way> {
    let hears = datagrams(&outside(zone), UDP_LITE, OUTSIDE, PORT)?;
    let sender = datagrams(&zone.lab.netns(), UDP_LITE, INSIDE, 0)?;
    Some(Way {
        name: "lite",
        keys: format!("direction = \"out\"\nprotocol = {UDP_LITE}"),
        sends: Box::new(move || {
            // Refused, it may be told so.
            let _told = sender.send_to(b"lite", (OUTSIDE, PORT));
        }),
        hears,
    })
}

/// Way by a tunnel of the kernel's: its outer packets are classified as what they are.
fn tunnelled(zone: &Protected) -> Option<Way> {
    const TUNNEL: u16 = 4789;
    let made = zone.inside(&format!(
        "ip link add vx0 type vxlan id 5 local {INSIDE} remote {OUTSIDE} dstport {TUNNEL}"
    ));
    if !made.status.success() {
        return None;
    }
    let up = zone.inside(
        "echo 1 > /proc/sys/net/ipv6/conf/vx0/disable_ipv6 && ip addr add 10.81.0.2/24 dev vx0 && ip link set vx0 up \
         && ip neigh add 10.81.0.1 lladdr 02:00:00:00:00:01 dev vx0",
    );
    assert!(up.status.success(), "{up:?}");
    let hears = datagrams(&outside(zone), 0, OUTSIDE, TUNNEL)?;
    let sender = datagrams(&zone.lab.netns(), 0, "10.81.0.2", 0)?;
    Some(Way {
        name: "tunnelled",
        keys: format!("direction = \"out\"\nprotocol = \"udp\"\nports = {TUNNEL}"),
        sends: Box::new(move || {
            sender.send_to(b"tunnelled", ("10.81.0.1", PORT)).unwrap();
        }),
        hears,
    })
}

/// A packet whose header is the sender's own.
fn by_hand(zone: &Protected) -> Option<Way> {
    let hears = datagrams(&outside(zone), 0, OUTSIDE, PORT)?;
    let sender = Sender::open(&zone.lab.netns());
    Some(Way {
        name: "by-hand",
        keys: format!("direction = \"out\"\nprotocol = \"udp\"\nports = {PORT}"),
        sends: Box::new(move || {
            sender.send(&Made {
                protocol: UDP,
                source: INSIDE.parse().unwrap(),
                destination: OUTSIDE.parse().unwrap(),
                source_port: 5000,
                port: PORT,
            });
        }),
        hears,
    })
}

#[test]
fn whatever_carries_a_packet_out_it_is_judged_once_and_what_only_crosses_a_bridge_is_not() {
    let zone = Protected::with(QUIET);
    for way in [lite, tunnelled, by_hand] {
        let Some(way) = way(&zone) else {
            println!("skipped: this kernel lacks one of them");
            continue;
        };
        assert_eq!(way.tried(&zone, "block"), (false, 1), "{}", way.name);
        assert_eq!(way.tried(&zone, "allow"), (true, 1), "{}", way.name);
    }
    // Frames from port to port, shown to netfilter by `br_netfilter` or not.
    let netns = name(&zone.lab.netns());
    ip(&["-n", &netns, "link", "add", "br7", "type", "bridge"]);
    ip(&["-n", &netns, "link", "set", "br7", "up"]);
    let [one, other] = ["one", "other"].map(Namespace::made);
    for (guest, port, address) in [
        (&one, "gb6", "10.82.0.1/24"),
        (&other, "gb7", "10.82.0.2/24"),
    ] {
        let there = guest.0.as_str();
        ip(&[
            "link", "add", port, "netns", &netns, "type", "veth", "peer", "name", "gb5", "netns",
            there,
        ]);
        ip(&["-n", &netns, "link", "set", port, "master", "br7", "up"]);
        ip(&["-n", there, "addr", "add", address, "dev", "gb5"]);
        ip(&["-n", there, "link", "set", "gb5", "up"]);
    }
    let text = QUIET.to_owned() + &rule("all", "block", "direction = \"forward\"");
    zone.ask().apply("new.toml", &text, None).unwrap();
    let before = zone.ask().stats().unwrap();
    for shown in [1, 0] {
        // Where there is no such file, nothing is shown.
        let _none = zone.inside(&format!(
            "echo {shown} > /proc/sys/net/bridge/bridge-nf-call-iptables"
        ));
        assert!(reaches(&one.0, ("10.82.0.2", 9), true), "shown: {shown}");
    }
    let after = zone.ask().stats().unwrap();
    assert_eq!(before.allowed_forward, after.allowed_forward);
    assert_eq!(before.blocked_forward, after.blocked_forward);
}
