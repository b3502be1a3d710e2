//! Packets of the service's own, to see whether the hooks in the IP stack judge: what the kernel says of a link is no proof, for one
//! that somebody took off reads as if it were attached, and in its place may stand another's program.
//!
//! They go from a socket to itself, over the loopback device of the zone, and carry a word that only this service and its driver know. The
//! driver counts them where they leave and where they come in, and does nothing else with them. What is only forwarded has no
//! such packet: see [`crate::forwarded`].

use crate::driver::Driver;
use anyhow::{Context, Result};
use firewall_abi::firewall::canary;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::Duration;

/// Time that a packet is waited for. It is there at once, or was dropped.
const PATIENCE: Duration = Duration::from_millis(20);

/// Sockets that send these packets, one of each version of IP that the zone has.
#[derive(Debug)]
pub struct Canary {
    word: u64,
    sockets: Vec<(UdpSocket, &'static str, u32)>,
}

impl Canary {
    /// Opens sockets in the network namespace of the calling thread, whose packets carry this word.
    pub fn open(word: u64) -> Self {
        let versions = [
            (IpAddr::from(Ipv4Addr::LOCALHOST), "ipv4", canary::V4),
            (IpAddr::from(Ipv6Addr::LOCALHOST), "ipv6", canary::V6),
        ];
        let open = |(address, name, version)| Some((socket(address).ok()?, name, version));
        Self {
            word,
            sockets: versions.into_iter().filter_map(open).collect(),
        }
    }

    /// Sends one of each version, and returns the hooks that did not see it, by what their links are called. Of what could not be sent,
    /// or did not come, nothing is known.
    pub fn silent(&self, driver: &Driver) -> Result<Vec<String>> {
        let mut silent = Vec::new();
        let counters = driver.table::<u32, u64>("CANARY")?;
        for (socket, name, version) in &self.sockets {
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
