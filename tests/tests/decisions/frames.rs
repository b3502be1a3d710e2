//! Frames of any kind into the zone's device, and an oracle behind its IP stack: sockets for each protocol, and
//! nftables ahead of the driver and behind it.
//!
//! The same numbers make the same frames: what fails once fails again.

use super::wire::{ICMP, ICMPV6};
use super::*;
use nix::sys::socket::{SockaddrStorage, recvfrom};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

/// Number of frames sent in each test. More find no more than time allows.
const FRAMES: usize = 100_000;
const PORT: u16 = 7777;
/// A protocol for experiments (RFC 3692).
const EXPERIMENT: u8 = 253;

const V4: u16 = 0x0800;
const V6: u16 = 0x86DD;

fn bytes_of(dice: &mut Dice, count: u64) -> Vec<u8> {
    (0..count).map(|_| dice.below(256) as u8).collect()
}

fn chance(dice: &mut Dice, of_hundred: u64) -> bool {
    dice.below(100) < of_hundred
}

/// The checksum of 16-bit words.
fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let bytes = parts.concat();
    let mut sum = 0_u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low));
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

/// Returns an IP payload with its protocol, whose checksum is right; `ends` are both addresses.
fn transport(dice: &mut Dice, v6: bool, ends: &[u8]) -> (u8, Vec<u8>) {
    let icmp = if v6 { ICMPV6 } else { ICMP };
    let protocol = dice.of(&[UDP, UDP, TCP, TCP, icmp, EXPERIMENT]);
    let more = dice.below(64);
    let data = bytes_of(dice, more);
    let ports = [(1024 + dice.below(60_000)) as u16, PORT]
        .map(u16::to_be_bytes)
        .concat();
    let (mut body, at) = match protocol {
        UDP => {
            let length = (8 + data.len() as u16).to_be_bytes();
            ([&ports[..], &length, &[0, 0], &data].concat(), Some(6))
        }
        TCP => {
            let flags = dice.of(&[2, 2, 16, 18, 1, 4, 0, 41]);
            let numbers = bytes_of(dice, 8);
            let rest = [5 << 4, flags, 16, 0, 0, 0, 0, 0];
            ([&ports[..], &numbers, &rest, &data].concat(), Some(16))
        }
        ICMP | ICMPV6 => {
            let kind = if v6 { 128 } else { 8 };
            ([&[kind, 0, 0, 0, 0, 7, 0, 9][..], &data].concat(), Some(2))
        }
        _ => (data, None),
    };
    if let Some(at) = at {
        let length = (body.len() as u32).to_be_bytes();
        let pseudo = [ends, &length, &[0, 0, 0, protocol]].concat();
        let sum = match protocol {
            ICMP => checksum(&[&body]),
            _ => checksum(&[&pseudo, &body]),
        };
        body[at..at + 2].copy_from_slice(&sum);
    }
    (protocol, body)
}

/// Pieces of what IP carries: offset, whether more follow, bytes, of which the first has so many at least. They come in
/// any order, and one may come twice.
fn pieces(dice: &mut Dice, body: &[u8], first: usize) -> Vec<(u16, bool, Vec<u8>)> {
    let mut made = Vec::new();
    let mut start = 0;
    while start < body.len() {
        let least = if start == 0 { first } else { 8 };
        let end = (start + least + 8 * dice.below(4) as usize).min(body.len());
        made.push((start as u16, end < body.len(), body[start..end].to_vec()));
        start = end;
    }
    if chance(dice, 10)
        && let Some(piece) = made.first().cloned()
    {
        made.push(piece);
    }
    for n in 0..made.len() {
        let other = dice.below(made.len() as u64) as usize;
        made.swap(n, other);
    }
    made
}

fn ipv4(dice: &mut Dice, first: usize) -> Vec<Vec<u8>> {
    let to: Ipv4Addr = dice
        .of(&[INSIDE, INSIDE, INSIDE, INSIDE, "224.0.0.1", "10.77.0.255"])
        .parse()
        .unwrap();
    let from: Ipv4Addr = OUTSIDE.parse().unwrap();
    let ends = [from.octets(), to.octets()].concat();
    let (protocol, body) = transport(dice, false, &ends);
    let words = if chance(dice, 30) {
        dice.below(11) as usize
    } else {
        0
    };
    let options = match dice.below(3) {
        // No operations, a router alert, or where the way is written down.
        0 => vec![1; words * 4],
        1 if words > 0 => [vec![0x94, 4, 0, 0], vec![1; words * 4 - 4]].concat(),
        _ if words > 1 => [vec![7, (words * 4 - 1) as u8, 4], vec![0; words * 4 - 3]].concat(),
        _ => vec![0; words * 4],
    };
    let number = bytes_of(dice, 2);
    let whole = |field: u16, part: &[u8]| {
        let length = (20 + options.len() + part.len()) as u16;
        let [high, low] = length.to_be_bytes();
        let [more, offset] = field.to_be_bytes();
        let mut header = vec![
            0x45 + words as u8,
            0,
            high,
            low,
            number[0],
            number[1],
            more,
            offset,
            64,
            protocol,
            0,
            0,
        ];
        header.extend(&ends);
        header.extend(&options);
        let sum = checksum(&[&header]);
        header[10..12].copy_from_slice(&sum);
        [&header[..], part].concat()
    };
    if chance(dice, 25) {
        return pieces(dice, &body, first)
            .iter()
            .map(|(at, more, part)| whole((at / 8) | if *more { 0x2000 } else { 0 }, part))
            .collect();
    }
    vec![whole(0, &body)]
}

fn ipv6(dice: &mut Dice, first: usize) -> Vec<Vec<u8>> {
    let to: std::net::Ipv6Addr = dice
        .of(&[INSIDE_V6, INSIDE_V6, INSIDE_V6, "ff02::1"])
        .parse()
        .unwrap();
    let from: std::net::Ipv6Addr = OUTSIDE_V6.parse().unwrap();
    let ends = [from.octets(), to.octets()].concat();
    let (protocol, body) = transport(dice, true, &ends);
    let mut kinds = Vec::new();
    if chance(dice, 20) {
        kinds.push(0);
    }
    for _ in 0..dice.below(3) {
        kinds.push(dice.of(&[60_u8, 60, 43]));
    }
    let number = bytes_of(dice, 4);
    let whole = |fragment: Option<u16>, part: &[u8]| {
        let mut chain: Vec<(u8, Vec<u8>)> = kinds
            .iter()
            // Routing with no way left to go, or what fills up.
            .map(|kind| {
                (
                    *kind,
                    if *kind == 43 {
                        vec![0, 0, 0, 0, 0, 0, 0, 0]
                    } else {
                        vec![0, 0, 1, 4, 0, 0, 0, 0]
                    },
                )
            })
            .collect();
        if let Some(field) = fragment {
            let [high, low] = field.to_be_bytes();
            chain.push((44, [&[0, 0, high, low][..], &number].concat()));
        }
        let mut next = protocol;
        for (kind, header) in chain.iter_mut().rev() {
            header[0] = next;
            next = *kind;
        }
        let headers: Vec<u8> = chain.into_iter().flat_map(|(_, header)| header).collect();
        let [high, low] = ((headers.len() + part.len()) as u16).to_be_bytes();
        [
            &[0x60, 0, 0, 0, high, low, next, 64][..],
            &ends,
            &headers,
            part,
        ]
        .concat()
    };
    match dice.below(8) {
        0 | 1 => pieces(dice, &body, first)
            .iter()
            .map(|(at, more, part)| whole(Some(at | u16::from(*more)), part))
            .collect(),
        // One that is alone.
        2 => vec![whole(Some(0), &body)],
        _ => vec![whole(None, &body)],
    }
}

/// The frames of a packet: with tags of any number and kind, under SNAP or not, to the zone's device or to all.
fn frames(dice: &mut Dice, to: [u8; 6], first: usize) -> Vec<Vec<u8>> {
    let v6 = chance(dice, 40);
    let packets = if v6 {
        ipv6(dice, first)
    } else {
        ipv4(dice, first)
    };
    let to = if chance(dice, 90) { to } else { [0xFF; 6] };
    let mut head = [&to[..], &[2, 0, 0, 0, 0, 1]].concat();
    for _ in 0..dice.of(&[0, 0, 0, 1, 1, 2, 3]) {
        let kind: u16 = dice.of(&[0x8100, 0x8100, 0x88A8, 0x9100]);
        let group = if chance(dice, 70) {
            0
        } else {
            dice.below(4096) as u16
        };
        head.extend(kind.to_be_bytes());
        head.extend(((dice.below(8) as u16) << 13 | group).to_be_bytes());
    }
    let kind = if v6 { V6 } else { V4 };
    let snap = chance(dice, 8);
    let wrapped = |packet: Vec<u8>| {
        let mut frame = head.clone();
        if snap {
            frame.extend((packet.len() as u16 + 8).to_be_bytes());
            frame.extend([0xAA, 0xAA, 3, 0, 0, 0]);
        }
        frame.extend(kind.to_be_bytes());
        frame.extend(packet);
        frame.resize(frame.len().max(60), 0);
        frame
    };
    packets.into_iter().map(wrapped).collect()
}

/// Changes some bytes behind the addresses.
fn spoil(dice: &mut Dice, frame: &mut [u8]) {
    for _ in 0..=dice.below(4) {
        let at = 12 + dice.below(frame.len() as u64 - 12) as usize;
        frame[at] = dice.below(256) as u8;
    }
}

/// A socket of the kernel's, whose calls return at once.
fn socket(family: i32, kind: i32, protocol: i32) -> OwnedFd {
    let kind = kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no preconditions.
    let fd = unsafe { libc::socket(family, kind, protocol) };
    assert!(fd >= 0, "{}", std::io::Error::last_os_error());
    // SAFETY: the kernel has just made it for us.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Writer of frames by a device, from within its namespace.
struct Writer {
    socket: OwnedFd,
    to: libc::sockaddr_ll,
}

impl Writer {
    fn open(netns: &Path, device: &'static str) -> Self {
        within(netns, move || {
            // SAFETY: all of it may be zero.
            let mut to: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
            to.sll_family = libc::AF_PACKET as u16;
            to.sll_ifindex = nix::net::if_::if_nametoindex(device).unwrap() as i32;
            Self {
                socket: socket(libc::AF_PACKET, libc::SOCK_RAW, 0),
                to,
            }
        })
    }

    fn write(&self, frame: &[u8]) {
        let fd = self.socket.as_raw_fd();
        let to = (&raw const self.to).cast();
        let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: bytes and an address of the lengths given. Where there is no room for a frame, it is one less.
        unsafe { libc::sendto(fd, frame.as_ptr().cast(), frame.len(), 0, to, length) };
    }
}

/// Sockets behind the zone's IP stack.
struct Oracle {
    raw: Vec<(u8, OwnedFd)>,
    datagrams: Vec<UdpSocket>,
    listeners: Vec<TcpListener>,
}

impl Oracle {
    fn listen(zone: &Protected) -> Self {
        let table = "table inet oracle { \
                     chain ahead { type filter hook input priority -290; iifname gb0 counter name ahead; }; \
                     chain behind { type filter hook input priority 290; iifname gb0 counter name behind; }; \
                     chain answers { type filter hook output priority -290; oifname gb0 tcp flags & (syn | ack) == syn | ack counter name accepts; }; \
                     counter ahead { }; counter behind { }; counter accepts { }; }";
        let made = zone.inside(&format!("nft '{table}'"));
        assert!(made.status.success(), "{made:?}");
        within(&zone.lab.netns(), || {
            let (four, six) = (libc::AF_INET, libc::AF_INET6);
            let raw = [
                (four, UDP),
                (four, TCP),
                (four, ICMP),
                (four, EXPERIMENT),
                (six, UDP),
                (six, TCP),
                (six, ICMPV6),
                (six, EXPERIMENT),
            ];
            let bound = |address: &str| UdpSocket::bind((address, PORT)).unwrap();
            let oracle = Self {
                raw: raw
                    .map(|(family, protocol)| {
                        (protocol, socket(family, libc::SOCK_RAW, protocol.into()))
                    })
                    .into(),
                datagrams: vec![bound(INSIDE), bound(INSIDE_V6)],
                listeners: [INSIDE, INSIDE_V6]
                    .map(|address| TcpListener::bind((address, PORT)).unwrap())
                    .into(),
            };
            for socket in &oracle.datagrams {
                socket.set_nonblocking(true).unwrap();
            }
            for listener in &oracle.listeners {
                listener.set_nonblocking(true).unwrap();
            }
            oracle
        })
    }

    /// Returns the sockets by which something has arrived from outside, each in words.
    fn heard(&self) -> Vec<String> {
        let mut room = [0_u8; 2048];
        let mut heard = Vec::new();
        for (protocol, socket) in &self.raw {
            let got = recvfrom::<SockaddrStorage>(socket.as_raw_fd(), &mut room);
            let Ok((length, Some(from))) = got else {
                continue;
            };
            // An error that the zone tells itself: a frame that is spoiled may say that it comes from there. And what
            // its service sends itself over loopback, to see whether it judges; the stack takes nothing from outside
            // that says it comes from there.
            let from_v6 = from.as_sockaddr_in6().map(|from| from.ip());
            let own = from_v6.is_some_and(|ip| ip.is_loopback() || ip.to_string() == INSIDE_V6)
                || from
                    .as_sockaddr_in()
                    .is_some_and(|from| from.ip().is_loopback());
            if !own {
                heard.push(format!("raw {protocol} of {from}: {:?}", &room[..length]));
            }
        }
        for socket in &self.datagrams {
            heard.extend(
                socket
                    .recv_from(&mut room)
                    .map(|it| format!("datagram {it:?}")),
            );
        }
        for listener in &self.listeners {
            heard.extend(listener.accept().map(|it| format!("connection {it:?}")));
        }
        heard
    }
}

/// Packets that the oracle's rule of this name has counted.
fn counted(zone: &Protected, name: &str) -> u64 {
    let said = zone.inside(&format!("nft list counter inet oracle {name}"));
    let said = String::from_utf8(said.stdout).unwrap();
    let number = said.split("packets ").nth(1).unwrap();
    number.split(' ').next().unwrap().parse().unwrap()
}

/// Returns the address of the zone's device on its link.
fn link_address(zone: &Protected) -> [u8; 6] {
    let said = zone.inside("cat /proc/self/net/dev > /dev/null; ip -o link show dev gb0");
    let said = String::from_utf8(said.stdout).unwrap();
    let text = said.split("link/ether ").nth(1).unwrap();
    let mut address = [0; 6];
    for (byte, part) in address.iter_mut().zip(text.split([':', ' '])) {
        *byte = u8::from_str_radix(part, 16).unwrap();
    }
    address
}

/// Sends all frames, `spoiled` of a hundred of them changed in some bytes. Returns what was received meanwhile.
fn send(zone: &Protected, oracle: &Oracle, seed: u64, spoiled: u64) -> Vec<String> {
    let writer = Writer::open(&outside(zone), "gb1");
    let (to, mut dice) = (link_address(zone), Dice(seed));
    // A first piece that does not hold the header of TCP is none that IPv6 takes (RFC 8200, 4.5).
    let first = if spoiled == 0 { 24 } else { 8 };
    let (mut sent, mut heard) = (0, Vec::new());
    while sent < FRAMES {
        for mut frame in frames(&mut dice, to, first) {
            if chance(&mut dice, spoiled) {
                spoil(&mut dice, &mut frame);
            }
            writer.write(&frame);
            sent += 1;
        }
        if heard.len() < 8 {
            heard.extend(oracle.heard());
        }
    }
    std::thread::sleep(Duration::from_millis(300));
    heard.extend(oracle.heard());
    heard
}

/// Returns the packets that have come to the driver, and the count beside it, once nothing comes any more: the kernels'
/// own packets may come in between.
fn when_nothing_comes(zone: &Protected, count: impl Fn() -> u64) -> (u64, u64) {
    let end = Instant::now() + PATIENCE;
    loop {
        let (ahead, beside) = (counted(zone, "ahead"), count());
        if counted(zone, "ahead") == ahead {
            return (ahead, beside);
        }
        assert!(Instant::now() < end, "something comes at each look");
    }
}

#[test]
fn no_frame_however_it_is_wrapped_or_spoiled_arrives_where_everything_is_refused() {
    let rules = "[default]\ninbound = \"block\"\noutbound = \"allow\"\nlog_inbound = false\n";
    let zone = Protected::with(rules);
    let oracle = Oracle::listen(&zone);
    let before = zone.ask().stats().unwrap();
    let heard = send(&zone, &oracle, 1, 15);
    assert_eq!(heard, Vec::<String>::new());
    let (ahead, blocked) = when_nothing_comes(&zone, || {
        zone.ask().stats().unwrap().blocked_in - before.blocked_in
    });
    assert!(
        ahead > FRAMES as u64 / 5,
        "{ahead} have come to the driver at all"
    );
    assert_eq!(counted(&zone, "behind"), 0, "of {ahead}");
    assert_eq!(counted(&zone, "accepts"), 0);
    assert_eq!(blocked, ahead);
}

#[test]
fn where_everything_is_allowed_nothing_is_missing_that_the_stack_takes() {
    let rules = "[default]\ninbound = \"allow\"\noutbound = \"allow\"\n";
    let zone = Protected::with(rules);
    let oracle = Oracle::listen(&zone);
    let heard = send(&zone, &oracle, 2, 0);
    let (ahead, behind) = when_nothing_comes(&zone, || counted(&zone, "behind"));
    assert!(
        ahead > FRAMES as u64 / 5,
        "{ahead} have come to the driver at all"
    );
    assert_eq!(behind, ahead);
    assert!(counted(&zone, "accepts") > 0 && !heard.is_empty());
    assert_eq!(zone.ask().stats().unwrap().blocked_in, 0);
}
