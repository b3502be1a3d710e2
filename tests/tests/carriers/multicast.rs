//! Tests of what the zone forwards to a group as a multicast router: it takes other ways through the stack than what
//! goes to one receiver.

use crate::actor::patience;
use crate::rows::{is_absent, ran};
use crate::world::{BEYOND_DEVICE, World, rule};
use crate::zone::probe::{outside, within};
use lab::DEVICE;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 7, 7, 7);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xFF1E, 0, 0, 0, 0, 0, 7, 7);
const REFUSED: u16 = 7101;
const ALLOWED: u16 = 7102;

/// C's `struct vifctl` and `struct mif6ctl`, which name a device.
#[repr(C)]
struct Device4 {
    number: u16,
    flags: u8,
    threshold: u8,
    rate: u32,
    device: u32,
    remote: u32,
}

#[repr(C)]
struct Device6 {
    number: u16,
    flags: u8,
    threshold: u8,
    device: u16,
    rate: u32,
}

/// C's `struct mfcctl` and `struct mf6cctl`, which hold the route of a group's packets.
#[repr(C)]
struct Route4 {
    origin: u32,
    group: u32,
    parent: u16,
    hops: [u8; 32],
    counts: [u32; 3],
    expires: i32,
}

#[repr(C)]
struct Route6 {
    origin: libc::sockaddr_in6,
    group: libc::sockaddr_in6,
    parent: u16,
    devices: [u32; 8],
}

/// Options `MRT_INIT`, `MRT_ADD_VIF` and `MRT_ADD_MFC`, of either version.
const INIT: i32 = 200;
const ADD_DEVICE: i32 = 202;
const ADD_ROUTE: i32 = 204;
/// Flag `VIFF_USE_IFINDEX`.
const BY_NUMBER: u8 = 8;

fn set<T>(socket: &OwnedFd, level: i32, option: i32, value: &T) {
    let (value, length) = (std::ptr::from_ref(value).cast(), size_of::<T>() as u32);
    // SAFETY: a value of the length given.
    let set = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value, length) };
    assert_eq!(set, 0, "{option}: {}", io::Error::last_os_error());
}

fn number(device: &str) -> u32 {
    let name = std::ffi::CString::new(device).unwrap();
    // SAFETY: a string with its end.
    unsafe { libc::if_nametoindex(name.as_ptr()) }
}

fn raw(family: i32, protocol: i32) -> OwnedFd {
    // SAFETY: no preconditions.
    let fd = unsafe { libc::socket(family, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol) };
    assert!(fd >= 0, "{}", io::Error::last_os_error());
    // SAFETY: the kernel has just made it for us.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Has the zone forward what comes for the groups by its device to the one that leads beyond. It does as long as this
/// is kept; none: this kernel does not.
fn routed(netns: &Path, source: Ipv4Addr, source_v6: Ipv6Addr) -> Option<[OwnedFd; 2]> {
    within(netns, move || {
        if !Path::new("/proc/net/ip_mr_vif").exists() || !Path::new("/proc/net/ip6_mr_vif").exists()
        {
            return None;
        }
        let sockets = [
            raw(libc::AF_INET, libc::IPPROTO_IGMP),
            raw(libc::AF_INET6, libc::IPPROTO_ICMPV6),
        ];
        let [v4, v6] = &sockets;
        set(v4, libc::IPPROTO_IP, INIT, &1_i32);
        set(v6, libc::IPPROTO_IPV6, INIT, &1_i32);
        for (place, device) in [DEVICE, BEYOND_DEVICE].into_iter().enumerate() {
            let (place, device) = (place as u16, number(device));
            let four = Device4 {
                number: place,
                flags: BY_NUMBER,
                threshold: 1,
                rate: 0,
                device,
                remote: 0,
            };
            set(v4, libc::IPPROTO_IP, ADD_DEVICE, &four);
            let six = Device6 {
                number: place,
                flags: 0,
                threshold: 1,
                device: device as u16,
                rate: 0,
            };
            set(v6, libc::IPPROTO_IPV6, ADD_DEVICE, &six);
        }
        let mut hops = [255; 32];
        hops[1] = 1;
        let four = Route4 {
            origin: u32::from_ne_bytes(source.octets()),
            group: u32::from_ne_bytes(GROUP.octets()),
            parent: 0,
            hops,
            counts: [0; 3],
            expires: 0,
        };
        set(v4, libc::IPPROTO_IP, ADD_ROUTE, &four);
        let six = Route6 {
            origin: end(source_v6),
            group: end(GROUP_V6),
            parent: 0,
            devices: [1 << 1, 0, 0, 0, 0, 0, 0, 0],
        };
        set(v6, libc::IPPROTO_IPV6, ADD_ROUTE, &six);
        Some(sockets)
    })
}

fn end(address: Ipv6Addr) -> libc::sockaddr_in6 {
    libc::sockaddr_in6 {
        sin6_family: libc::AF_INET6 as u16,
        sin6_port: 0,
        sin6_flowinfo: 0,
        sin6_addr: libc::in6_addr {
            s6_addr: address.octets(),
        },
        sin6_scope_id: 0,
    }
}

/// Returns a socket beyond the zone that is a member of the group, on this port.
fn member(world: &World, six: bool, port: u16) -> UdpSocket {
    within(&Path::new("/run/netns").join(&world.beyond.0), move || {
        if six {
            let socket = UdpSocket::bind(("::", port)).unwrap();
            socket.join_multicast_v6(&GROUP_V6, number("gbf1")).unwrap();
            socket
        } else {
            let socket = UdpSocket::bind(("0.0.0.0", port)).unwrap();
            socket
                .join_multicast_v4(&GROUP, &Ipv4Addr::new(10, 91, 0, 1))
                .unwrap();
            socket
        }
    })
}

/// Sends to a group from outside, farther than over one link.
fn send(world: &World, six: bool, port: u16) {
    let source = if six { lab::OUTSIDE_V6 } else { lab::OUTSIDE };
    within(&outside(&world.zone), move || {
        let socket = UdpSocket::bind((source, 0)).unwrap();
        if six {
            let socket = OwnedFd::from(socket);
            set(
                &socket,
                libc::IPPROTO_IPV6,
                libc::IPV6_MULTICAST_HOPS,
                &5_i32,
            );
            set(
                &socket,
                libc::IPPROTO_IPV6,
                libc::IPV6_MULTICAST_IF,
                &(number("gb1") as i32),
            );
            UdpSocket::from(socket)
                .send_to(b"group", (GROUP_V6, port))
                .unwrap();
        } else {
            socket.set_multicast_ttl_v4(5).unwrap();
            let socket = OwnedFd::from(socket);
            let by = u32::from_ne_bytes(source.parse::<Ipv4Addr>().unwrap().octets());
            set(&socket, libc::IPPROTO_IP, libc::IP_MULTICAST_IF, &by);
            UdpSocket::from(socket)
                .send_to(b"group", (GROUP, port))
                .unwrap();
        }
    });
}

#[test]
fn what_is_forwarded_to_a_group_is_judged_once_over_either_version() {
    let mut world = World::made();
    let (source, source_v6) = (lab::OUTSIDE, lab::OUTSIDE_V6);
    let routed = routed(
        &world.zone.lab.netns(),
        source.parse().unwrap(),
        source_v6.parse().unwrap(),
    );
    let Some(_routed) = routed else {
        is_absent("multicast", crate::rows::DEBIANS);
        return;
    };
    let through = |out, port| {
        format!("direction = \"forward\"\nprotocol = \"udp\"\nlog = true\nports = {port}\n{out}")
    };
    let out = format!("out_interface = \"{BEYOND_DEVICE}\"");
    let rules = rule("refused", "block", &through("", REFUSED))
        + &rule("allowed", "allow", &through(&out, ALLOWED));
    world.judges_by(&rules);
    for (six, row) in [
        (false, "multicast through v4"),
        (true, "multicast through v6"),
    ] {
        let before = world.hits();
        let members = [REFUSED, ALLOWED].map(|port| member(&world, six, port));
        world.told();
        for port in [REFUSED, ALLOWED] {
            send(&world, six, port);
        }
        let [refused, allowed] = &members;
        allowed.set_read_timeout(Some(patience(true))).unwrap();
        assert!(
            allowed.recv(&mut [0; 16]).is_ok(),
            "{row}: allowed, it does not come through"
        );
        refused.set_read_timeout(Some(patience(false))).unwrap();
        assert!(
            refused.recv(&mut [0; 16]).is_err(),
            "{row}: refused, it comes through"
        );
        let told = world.told();
        let of = |rule| {
            told.iter()
                .filter(|packet| packet.decision.rule == rule)
                .count()
        };
        assert_eq!((of(1), of(2)), (1, 1), "{row}: told");
        let after = world.hits();
        assert_eq!(
            (after[1] - before[1], after[2] - before[2]),
            (1, 1),
            "{row}: counted"
        );
        ran(row);
    }
}
