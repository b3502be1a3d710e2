//! Packets of the service's own, to see whether the hooks in the IP stack judge: what the kernel says of a link is no
//! proof, for one that somebody took off reads as if it were attached, and in its place may stand another's program.
//!
//! They go from a socket to itself, over the loopback device of the zone, and carry a word that only this service and
//! its driver know. The driver counts them where they leave and where they come in, and does nothing else with them.
//! What is only forwarded has no such packet: see [`crate::forwarded`].
//!
//! The service's unit makes no socket of IP: who answers what is rejected makes these as well, and hands them over as
//! it starts, before it reads what anybody has sent. They stay when it ends.

use crate::driver::Driver;
use anyhow::{Context, Result};
use firewall_abi::firewall::canary;
use rustix::net::sockopt::{socket_protocol, socket_type};
use rustix::net::{SocketType, ipproto};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// Time that a packet is waited for. It is there at once, or was dropped.
const PATIENCE: Duration = Duration::from_millis(20);

/// Number of versions of IP, each with a socket of its own.
pub const VERSIONS: usize = 2;

/// Sockets that send these packets, one of each version of IP that the zone has.
#[derive(Debug)]
pub struct Canary {
    word: u64,
    sockets: Vec<CanarySocket>,
}

/// Socket that sends to itself over the loopback device.
#[derive(Debug)]
pub struct CanarySocket {
    socket: UdpSocket,
    /// IP version as the names of hooks have it, and as the driver's counters do.
    name: &'static str,
    version: u32,
}

impl CanarySocket {
    /// Opens one of each version of IP that there is in the network namespace of the calling thread.
    pub fn open_all() -> Vec<Self> {
        let loopback = [
            IpAddr::from(Ipv4Addr::LOCALHOST),
            IpAddr::from(Ipv6Addr::LOCALHOST),
        ];
        let opened = loopback.into_iter().filter_map(|at| socket(at).ok());
        opened.filter_map(Self::of).collect()
    }

    /// Takes a socket that another process has made; `None` if it is none that sends to itself alone.
    pub fn handed(descriptor: OwnedFd) -> Option<Self> {
        let is_datagram = socket_type(&descriptor) == Ok(SocketType::DGRAM)
            && socket_protocol(&descriptor) == Ok(Some(ipproto::UDP));
        is_datagram
            .then(|| UdpSocket::from(descriptor))
            .and_then(Self::of)
    }

    fn of(socket: UdpSocket) -> Option<Self> {
        let at = socket.local_addr().ok()?;
        let (name, version) = match at.ip() {
            IpAddr::V4(_) => ("ipv4", canary::V4),
            IpAddr::V6(_) => ("ipv6", canary::V6),
        };
        let is_own = at.ip().is_loopback() && socket.peer_addr().ok()? == at;
        is_own.then_some(Self {
            socket,
            name,
            version,
        })
    }
}

impl AsFd for CanarySocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Canary {
    /// Sends packets that carry this word by these sockets.
    pub const fn by(sockets: Vec<CanarySocket>, word: u64) -> Self {
        Self { word, sockets }
    }

    /// Takes other sockets, if there are any: until then the ones from before do.
    pub fn take(&mut self, sockets: Vec<CanarySocket>) {
        if !sockets.is_empty() {
            self.sockets = sockets;
        }
    }

    /// Sends one of each version, and returns the hooks that did not see it, by what their links are called. Of what
    /// could not be sent, or did not come, nothing is known.
    pub fn silent(&self, driver: &Driver) -> Result<Vec<String>> {
        let mut silent = Vec::new();
        let counters = driver.table::<u32, u64>("CANARY")?;
        for CanarySocket {
            socket,
            name,
            version,
        } in &self.sockets
        {
            let seen = || -> Result<[u64; 2]> {
                let mut seen = [0; 2];
                let read = counters.each(|place, count| match place.checked_sub(*version) {
                    Some(canary::OUT) => seen[0] = *count,
                    Some(canary::IN) => seen[1] = *count,
                    _ => {}
                });
                read.context("reading CANARY")?;
                Ok(seen)
            };
            // One that was late the last time is none that comes now.
            socket.set_nonblocking(true)?;
            while socket.recv(&mut [0; 8]).is_ok() {}
            socket.set_nonblocking(false)?;
            let before = seen()?;
            if socket.send(&self.word.to_ne_bytes()).is_err() {
                continue;
            }
            let came = socket.recv(&mut [0; 8]).is_ok();
            let after = seen()?;
            if after[0] == before[0] {
                silent.push(format!("enter_local_out_{name}"));
            }
            if came && after[1] == before[1] {
                silent.push(format!("enter_local_in_{name}"));
            }
        }
        Ok(silent)
    }
}

fn socket(address: IpAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((address, 0))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    // From nobody else does it take anything.
    socket.connect(socket.local_addr()?)?;
    Ok(socket)
}
