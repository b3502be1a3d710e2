//! Datagrams.

use super::{BEAT_PORT, Done, Sent};
use crate::gatebell::now_ns;
use crate::ground::pin;
use anyhow::{Context, Result};
use nix::sys::socket::{setsockopt, sockopt};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// Fills a frame of 64 bytes: 14 of Ethernet, 20 of IPv4, 8 of UDP, and 4 of a checksum that this pair does without.
pub const PAYLOAD: [u8; 18] = [b'.'; 18];
/// Datagrams of one system call: the most that every kernel cuts one into.
const BATCH: usize = 64;

/// Sends until all are sent or the time is over. On a device pair the kernel takes a packet all the way to the other
/// side in the sender's own time: what the rate is made of is the path's cost. So that the sending is a small part of
/// it, the kernel cuts each call's bytes into datagrams (`UDP_SEGMENT`), where the device does not take them as one.
pub fn flood(to: SocketAddr, count: u64, seconds: u64) -> Result<Done> {
    pin(0)?;
    let socket = connected(to)?;
    setsockopt(&socket, sockopt::UdpGsoSegment, &(PAYLOAD.len() as i32)).context("UDP_SEGMENT")?;
    let bytes = PAYLOAD.repeat(BATCH);
    let (start, most, mut sent) = (Instant::now(), Duration::from_secs(seconds), 0);
    while sent < count && start.elapsed() < most {
        let batch = &bytes[..PAYLOAD.len() * BATCH.min((count - sent) as usize)];
        sent += (socket.send(batch).context("can't send")? / PAYLOAD.len()) as u64;
    }
    Ok(Done::since(start, sent))
}

/// Sends one at a time, each to the next port.
pub fn beat(to: IpAddr, count: u16, pause: u64) -> Result<Sent> {
    pin(0)?;
    let socket = UdpSocket::bind(any(to))?;
    let mut stamps = Vec::with_capacity(count.into());
    for number in 0..count {
        std::thread::sleep(Duration::from_micros(pause));
        stamps.push(now_ns());
        socket.send_to(&PAYLOAD, (to, BEAT_PORT + number))?;
    }
    Ok(Sent { stamps })
}

/// A socket that datagrams find, so that nobody answers them; a full one drops them at little cost.
pub fn sink(at: SocketAddr, seconds: u64) -> Result<()> {
    let _bound = UdpSocket::bind(at)?;
    std::thread::sleep(Duration::from_secs(seconds));
    Ok(())
}

fn connected(to: SocketAddr) -> Result<UdpSocket> {
    let socket = UdpSocket::bind(any(to.ip()))?;
    socket.connect(to)?;
    // The neighbour is asked for first, as long as that takes.
    socket.send(&PAYLOAD)?;
    std::thread::sleep(Duration::from_millis(100));
    Ok(socket)
}

/// Any address of the same version.
pub fn any(like: IpAddr) -> SocketAddr {
    match like {
        IpAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        IpAddr::V6(_) => ([0_u16; 8], 0).into(),
    }
}
