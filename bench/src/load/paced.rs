//! Loads at a steady rate: datagrams, and connections.

use super::udp::{PAYLOAD, any};
use super::{BEAT_PORT, Done};
use anyhow::{Context, Result};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// Minimum time between two bursts: what is due then goes together.
const STEP: Duration = Duration::from_millis(1);
/// Maximum time of a connect.
const PATIENCE: Duration = Duration::from_secs(2);

/// Does something so often a second, and so often in all.
fn steadily(rate: u64, count: u64, mut once: impl FnMut(u64) -> Result<()>) -> Result<Done> {
    let start = Instant::now();
    let mut done = 0;
    while done < count {
        let due = due(start.elapsed(), rate).min(count);
        while done < due {
            once(done)?;
            done += 1;
        }
        std::thread::sleep(STEP);
    }
    Ok(Done::since(start, done))
}

/// Returns the number of steps that are due after a time at a rate per second.
fn due(passed: Duration, rate: u64) -> u64 {
    (passed.as_secs_f64() * rate as f64) as u64
}

/// Datagrams to so many ports in turn.
pub fn datagrams(to: IpAddr, ports: u16, rate: u64, count: u64) -> Result<Done> {
    let socket = UdpSocket::bind(any(to))?;
    steadily(rate, count, |n| {
        let port = BEAT_PORT + (n % u64::from(ports.max(1))) as u16;
        socket.send_to(&PAYLOAD, (to, port)).context("can't send")?;
        Ok(())
    })
}

/// Connections that end at once, each to the next address.
pub fn connections(to: Ipv4Addr, port: u16, rate: u64, count: u64) -> Result<Done> {
    let first = u32::from(to);
    steadily(rate, count, |n| {
        let to = Ipv4Addr::from(first.wrapping_add(n as u32));
        let to = SocketAddr::from((to, port));
        let connected = TcpStream::connect_timeout(&to, PATIENCE);
        connected
            .map(drop)
            .with_context(|| format!("can't connect to {to}"))
    })
}

/// Takes connections and closes them, until the time is over.
pub fn accept(at: SocketAddr, seconds: u64) -> Result<()> {
    let listener = TcpListener::bind(at)?;
    listener.set_nonblocking(true)?;
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        match listener.accept() {
            Ok(connection) => drop(connection),
            Err(none) if none.kind() == ErrorKind::WouldBlock => std::thread::sleep(STEP),
            Err(error) => return Err(error).context("can't take a connection"),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_late_is_made_up_for_and_no_more_is_done_than_was_asked_for() -> Result<()> {
        assert_eq!(due(Duration::from_millis(250), 1000), 250);
        let mut said = Vec::new();
        let done = steadily(10_000, 25, |n| {
            said.push(n);
            // The first one takes as long as several are apart.
            if n == 0 {
                std::thread::sleep(Duration::from_millis(3));
            }
            Ok(())
        })?;
        assert_eq!(said, (0..25).collect::<Vec<_>>());
        assert_eq!(done.count, 25);
        Ok(())
    }
}
