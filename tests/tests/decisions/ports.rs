//! Protocols that have ports, beside TCP and UDP.

use super::carried::{UDP_LITE, datagrams};
use super::*;
use std::net::IpAddr;
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::Path;

/// Protocols by the names that rules have for them, and their numbers.
const PROTOCOLS: [(&str, i32); 3] = [("sctp", 132), ("dccp", 33), ("udplite", UDP_LITE)];

/// Socket of one end: the kernel gives what it sends a header of IPv4, and hands it whatever comes of the protocol.
struct End(UdpSocket);

impl End {
    fn open(netns: &Path, protocol: i32) -> Self {
        let socket = within(netns, move || {
            // SAFETY: no preconditions.
            let fd = unsafe {
                libc::socket(libc::AF_INET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol)
            };
            assert!(fd >= 0, "{}", std::io::Error::last_os_error());
            // SAFETY: the kernel has just made it for us.
            UdpSocket::from(unsafe { OwnedFd::from_raw_fd(fd) })
        });
        socket.set_read_timeout(Some(patience(true))).unwrap();
        Self(socket)
    }

    /// Sends a packet between these ports, and returns whether the kernel lets it.
    fn sends(&self, to: &str, ports: [u16; 2]) -> bool {
        let mut bytes = ports.map(u16::to_be_bytes).concat();
        bytes.resize(16, 0);
        let to: IpAddr = to.parse().unwrap();
        match self.0.send_to(&bytes, (to, 0)) {
            Ok(_) => true,
            Err(told) => {
                assert_eq!(told.raw_os_error(), Some(libc::EPERM), "{told}");
                false
            }
        }
    }

    /// The ports of the next packet that comes.
    fn hears(&self) -> [u16; 2] {
        let mut bytes = [0; 100];
        self.0.recv(&mut bytes).unwrap();
        let start = usize::from(bytes[0] & 15) * 4;
        [0, 2].map(|at| u16::from_be_bytes([bytes[start + at], bytes[start + at + 1]]))
    }
}

#[test]
fn whatever_has_ports_is_judged_by_them_and_answered_by_the_other_end_alone() {
    let mut text = QUIET.replace("outbound = \"allow\"", "outbound = \"block\"");
    for (name, _) in PROTOCOLS {
        let keys =
            |way, port| format!("direction = \"{way}\"\nprotocol = \"{name}\"\nports = {port}");
        text += &rule(&format!("{name}-out"), "allow", &keys("out", 5060));
        text += &rule(&format!("{name}-in"), "allow", &keys("in", 5070));
    }
    let zone = Protected::with(&text);
    for (name, protocol) in PROTOCOLS {
        let here = End::open(&zone.lab.netns(), protocol);
        let there = End::open(&outside(&zone), protocol);
        assert!(!here.sends(OUTSIDE, [5000, 5061]), "{name}");
        assert!(here.sends(OUTSIDE, [5000, 5060]), "{name}");
        assert_eq!(there.hears(), [5000, 5060]);
        // What is refused comes first, and is not heard.
        assert!(there.sends(INSIDE, [5061, 5000]));
        assert!(there.sends(INSIDE, [5060, 5000]));
        assert_eq!(here.hears(), [5060, 5000], "{name}");
        assert!(there.sends(INSIDE, [6000, 5071]));
        assert!(there.sends(INSIDE, [6000, 5070]));
        assert_eq!(here.hears(), [6000, 5070], "{name}");
        assert!(!here.sends(OUTSIDE, [5071, 6000]), "{name}");
        assert!(here.sends(OUTSIDE, [5070, 6000]), "{name}");
        assert_eq!(there.hears(), [5070, 6000]);
    }
    let hits = zone.ask().hits().unwrap().hits;
    assert_eq!(hits[1..], [1; 6], "an answer asks no rule");
}

#[test]
fn a_published_port_is_opened_by_a_rule_for_the_machines_own_whatever_has_ports() {
    let keys = "direction = \"in\"\nprotocol = \"udplite\"\nports = 8081";
    let zone = Protected::with(&(QUIET.to_owned() + &rule("published", "allow", keys)));
    add_pair(&zone, "gb2", "gb3", 1);
    for line in [
        "echo 1 > /proc/sys/net/ipv4/ip_forward",
        // The kernel's connection tracking takes what its own UDP-Lite sends for invalid.
        "echo 0 > /proc/sys/net/netfilter/nf_conntrack_checksum",
        "nft 'table inet published { chain first { type nat hook prerouting priority dstnat; meta l4proto udplite th dport { 8081, 8082 } dnat ip to 10.78.1.1:80; }; }'",
        "nft 'add chain inet published last { type nat hook postrouting priority srcnat; }; add rule inet published last oifname gb2 masquerade'",
    ] {
        let done = zone.inside(line);
        assert!(done.status.success(), "{done:?}");
    }
    let Some(server) = datagrams(&outside(&zone), UDP_LITE, "10.78.1.1", 80) else {
        println!("skipped: this kernel has no UDP-Lite");
        return;
    };
    let client = datagrams(&outside(&zone), UDP_LITE, OUTSIDE, 0).unwrap();
    for end in [&server, &client] {
        end.set_read_timeout(Some(patience(true))).unwrap();
    }
    client.send_to(b"8082", (INSIDE, 8082)).unwrap();
    client.send_to(b"8081", (INSIDE, 8081)).unwrap();
    let mut heard = [0; 4];
    let (_, asker) = server.recv_from(&mut heard).unwrap();
    assert_eq!(&heard, b"8081");
    server.send_to(b"yes!", asker).unwrap();
    client.recv(&mut heard).unwrap();
    assert_eq!(&heard, b"yes!");
}
