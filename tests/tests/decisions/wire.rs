//! Packets as they are made by hand, and sockets of the test itself in the lab's namespaces.

use super::zone::probe::within;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ICMP: u8 = 1;
pub const ICMPV6: u8 = 58;

const SYN_ACK: u8 = 0x12;

/// A hop limit by which whoever counts beside knows these packets from all others.
pub const HOPS: u8 = 77;

/// A packet without anything in it. Of ICMP the type stands in `source_port`, the code in `port`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    pub protocol: u8,
    pub source: IpAddr,
    pub destination: IpAddr,
    pub source_port: u16,
    pub port: u16,
}

impl Made {
    /// IPv4 needs none, IPv6 takes no datagram without (RFC 8200, 8.1).
    fn udp_checksum(&self) -> u16 {
        let (IpAddr::V6(source), IpAddr::V6(destination)) = (self.source, self.destination) else {
            return 0;
        };
        let addresses = source.segments().into_iter().chain(destination.segments());
        // Of the pseudo header and the header: its length stands in both.
        let words = addresses.chain([8, UDP.into(), self.source_port, self.port, 8]);
        let mut sum: u32 = words.map(u32::from).sum();
        while sum > 0xFFFF {
            sum = (sum & 0xFFFF) + (sum >> 16);
        }
        !(sum as u16)
    }

    /// Returns the packet's bytes as they go over a wire, from its IP header on.
    pub fn bytes(&self) -> Vec<u8> {
        let ports = [self.source_port.to_be_bytes(), self.port.to_be_bytes()].concat();
        let body = match self.protocol {
            // A SYN. Nobody checks its sum on the way.
            TCP => [&ports[..], &[0; 8], &[5 << 4, 2, 0x10, 0, 0, 0, 0, 0]].concat(),
            UDP => [&ports[..], &[0, 8], &self.udp_checksum().to_be_bytes()].concat(),
            _ => vec![self.source_port as u8, self.port as u8, 0, 0, 0, 0, 0, 0],
        };
        let header = match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let length = (20 + body.len() as u16).to_be_bytes();
                let first = [
                    0x45,
                    0,
                    length[0],
                    length[1],
                    0,
                    1,
                    0,
                    0,
                    HOPS,
                    self.protocol,
                    0,
                    0,
                ];
                [&first[..], &source.octets(), &destination.octets()].concat()
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let length = (body.len() as u16).to_be_bytes();
                let first = [0x60, 0, 0, 0, length[0], length[1], self.protocol, HOPS];
                [&first[..], &source.octets(), &destination.octets()].concat()
            }
            _ => panic!("ends of two kinds: {self:?}"),
        };
        [header, body].concat()
    }
}

/// Sends whole packets of both versions, from a namespace, whatever they say of where they come from.
pub struct Sender {
    v4: OwnedFd,
    v6: OwnedFd,
}

impl Sender {
    pub fn open(netns: &Path) -> Self {
        within(netns, || Self {
            v4: raw(libc::AF_INET),
            v6: raw(libc::AF_INET6),
        })
    }

    pub fn send(&self, packet: &Made) {
        self.try_to_send(packet)
            .unwrap_or_else(|error| panic!("{packet:?}: {error}"));
    }

    /// Sends the packet, where it may be refused.
    pub fn try_to_send(&self, packet: &Made) -> io::Result<()> {
        self.try_to_send_bytes(&packet.bytes(), packet.destination)
    }

    /// Sends one behind which there is more than its own header says.
    pub fn send_with_more(&self, packet: &Made) {
        let mut bytes = packet.bytes();
        bytes.extend(b"more");
        if packet.destination.is_ipv6() {
            let length = bytes.len() as u16 - 40;
            bytes[4..6].copy_from_slice(&length.to_be_bytes());
        }
        self.try_to_send_bytes(&bytes, packet.destination).unwrap();
    }

    /// Accepts the TCP connection that this SYN begins.
    pub fn accept(&self, syn: &Made) {
        let mut bytes = Made {
            source: syn.destination,
            destination: syn.source,
            source_port: syn.port,
            port: syn.source_port,
            ..*syn
        }
        .bytes();
        let flags = bytes.len() - 7;
        bytes[flags] = SYN_ACK;
        self.try_to_send_bytes(&bytes, syn.source).unwrap();
    }

    fn try_to_send_bytes(&self, bytes: &[u8], destination: IpAddr) -> io::Result<()> {
        match destination {
            IpAddr::V4(to) => {
                // SAFETY: all of it may be zero.
                let mut address: libc::sockaddr_in = unsafe { std::mem::zeroed() };
                address.sin_family = libc::AF_INET as libc::sa_family_t;
                address.sin_addr.s_addr = u32::from_ne_bytes(to.octets());
                send_to(&self.v4, bytes, &address)
            }
            IpAddr::V6(to) => {
                // SAFETY: all of it may be zero.
                let mut address: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
                address.sin6_family = libc::AF_INET6 as libc::sa_family_t;
                address.sin6_addr.s6_addr = to.octets();
                send_to(&self.v6, bytes, &address)
            }
        }
    }
}

/// A socket that sends packets with their headers.
fn raw(family: i32) -> OwnedFd {
    // SAFETY: no preconditions.
    let fd = unsafe {
        libc::socket(
            family,
            libc::SOCK_RAW | libc::SOCK_CLOEXEC,
            libc::IPPROTO_RAW,
        )
    };
    assert!(fd >= 0, "{}", io::Error::last_os_error());
    // SAFETY: the kernel has just made it for us.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn send_to<T>(socket: &OwnedFd, bytes: &[u8], address: &T) -> io::Result<()> {
    let (fd, length) = (socket.as_raw_fd(), size_of::<T>() as libc::socklen_t);
    let address = std::ptr::from_ref(address).cast();
    // SAFETY: bytes and an address of the lengths given.
    let sent = unsafe { libc::sendto(fd, bytes.as_ptr().cast(), bytes.len(), 0, address, length) };
    // That the packet was dropped on its way out is no error of the sender's.
    match (sent, io::Error::last_os_error()) {
        (0.., _) => Ok(()),
        (_, error) if matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::EPERM)) => Ok(()),
        (_, error) => Err(error),
    }
}
