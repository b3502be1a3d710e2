//! Datagrams from senders that are none: each from another address.

use super::Done;
use anyhow::{Context, Result};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, sendto, socket,
};
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Instant;

/// The port that they come from.
const FROM: u16 = 4000;
/// Bytes of a datagram, its header first.
const DATAGRAM: u16 = 26;

/// Sends one datagram from each address of a file, one a line.
pub fn forged(to: SocketAddr, from: &Path) -> Result<Done> {
    let from = fs::read_to_string(from)?;
    let from: Vec<IpAddr> = from.lines().map(str::parse).collect::<Result<_, _>>()?;
    let (family, at) = match to.ip() {
        IpAddr::V4(_) => (AddressFamily::Inet, SocketAddr::new(to.ip(), 0)),
        IpAddr::V6(_) => (AddressFamily::Inet6, SocketAddr::new(to.ip(), 0)),
    };
    let raw = socket(family, SockType::Raw, SockFlag::empty(), SockProtocol::Raw)
        .context("can't make a raw socket")?;
    let at = SockaddrStorage::from(at);
    let start = Instant::now();
    for source in &from {
        sendto(
            raw.as_raw_fd(),
            &packet(*source, to),
            &at,
            MsgFlags::empty(),
        )?;
    }
    Ok(Done::since(start, from.len() as u64))
}

/// A packet of 18 bytes of UDP.
fn packet(source: IpAddr, to: SocketAddr) -> Vec<u8> {
    let mut packet = match (source, to.ip()) {
        (IpAddr::V4(source), IpAddr::V4(to)) => {
            let length = (20 + DATAGRAM).to_be_bytes();
            let mut header = vec![0x45, 0, length[0], length[1], 0, 0, 0x40, 0, 64, 17, 0, 0];
            header.extend(source.octets());
            header.extend(to.octets());
            header
        }
        (source, to) => {
            let mut header = vec![0x60, 0, 0, 0, 0, DATAGRAM as u8, 17, 64];
            for address in [source, to] {
                header.extend(match address {
                    IpAddr::V4(four) => four.to_ipv6_mapped().octets(),
                    IpAddr::V6(six) => six.octets(),
                });
            }
            header
        }
    };
    for word in [FROM, to.port(), DATAGRAM, 0] {
        packet.extend(word.to_be_bytes());
    }
    packet.extend([b'.'; 18]);
    packet
}
