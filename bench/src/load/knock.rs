//! Datagrams one at a time, as they are asked for, and who hears the first of each port.

use super::udp::{PAYLOAD, any};
use super::{Arrival, BEAT_PORT, say};
use crate::gatebell::now_ns;
use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::stdin;
use std::net::{IpAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// The longest that one line may take.
const MOST: u64 = 100_000;

/// Does what each line says, and of each says when the first datagram went.
pub fn knock(to: IpAddr) -> Result<()> {
    let socket = UdpSocket::bind(any(to))?;
    for line in stdin().lines() {
        let line = line?;
        let wanted: Vec<u64> = line
            .split(' ')
            .map(str::parse)
            .collect::<Result<_, _>>()
            .with_context(|| format!("no three numbers: {line}"))?;
        let &[port, count, pause] = wanted.as_slice() else {
            anyhow::bail!("no three numbers: {line}");
        };
        let to = (to, u16::try_from(port)?);
        let stamp = now_ns();
        // That it is refused may be what is wanted.
        let _refused = socket.send_to(&PAYLOAD, to);
        say(&stamp)?;
        for _ in 1..count.min(MOST) {
            std::thread::sleep(Duration::from_micros(pause));
            let _refused = socket.send_to(&PAYLOAD, to);
        }
    }
    Ok(())
}

/// Says of each port when the first datagram came, until the time is over.
pub fn hear(at: IpAddr, ports: u16, seconds: u64) -> Result<()> {
    let bound = |n| UdpSocket::bind((at, BEAT_PORT + n)).map(|socket| (BEAT_PORT + n, socket));
    let mut silent: Vec<_> = (0..ports).map(bound).collect::<Result<_, _>>()?;
    say(&silent.len())?;
    let end = Instant::now() + Duration::from_secs(seconds);
    while !silent.is_empty() && Instant::now() < end {
        let mut fds: Vec<_> = silent
            .iter()
            .map(|(_, socket)| PollFd::new(socket.as_fd(), PollFlags::POLLIN))
            .collect();
        poll(&mut fds, PollTimeout::from(100_u16))?;
        let at_ns = now_ns();
        let came: Vec<bool> = fds.iter().map(|fd| fd.any() == Some(true)).collect();
        let mut came = came.into_iter();
        let mut arrived = Vec::new();
        silent.retain(|(port, _)| {
            let came = came.next() == Some(true);
            arrived.extend(came.then_some(Arrival { port: *port, at_ns }));
            !came
        });
        arrived.iter().try_for_each(say)?;
    }
    Ok(())
}
