//! Programs that talk with hundreds at once, by TCP and UDP: a copy of this very program,
//! so that each is one of its own.

use crate::programs::{telemetry_peers, torrent_peers};
use crate::stage::PEER_PORT;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::io::{ErrorKind, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Peers of a torrent in all.
const PEERS: u16 = 300;
/// Connections that are tried at once.
const AT_ONCE: usize = 24;
/// Time that a torrent's program waits for a peer.
const PEER_PATIENCE: Duration = Duration::from_secs(15);

/// Kind of a program with many peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Peers that come and go, most of which are gone
    Torrent,
    /// Somebody to be told of everything, at many addresses
    Telemetry,
}

impl Kind {
    /// Returns the word for the kind on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Torrent => "torrent",
            Self::Telemetry => "telemetry",
        }
    }

    fn peers(self) -> Vec<IpAddr> {
        match self {
            Self::Torrent => torrent_peers(PEERS),
            Self::Telemetry => telemetry_peers(),
        }
    }

    /// Returns whether the program achieved what a person wants of it: telemetry is to get nowhere.
    pub const fn went_well(self, tried: &Tried) -> bool {
        match self {
            Self::Torrent => tried.connected > 0,
            Self::Telemetry => tried.connected == 0,
        }
    }
}

/// Counts of a program's attempts, by their results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// Connections that came about.
    pub connected: u64,
    /// Connections that did not.
    pub failed: u64,
    /// Datagrams that left.
    pub sent: u64,
    /// Datagrams that were refused.
    pub refused: u64,
}

impl Tried {
    /// Reads the counts that the program printed.
    pub fn read(text: &str) -> Option<Self> {
        let said: Value = serde_json::from_str(text).ok()?;
        let number = |name: &str| said[name].as_u64();
        Some(Self {
            connected: number("connected")?,
            failed: number("failed")?,
            sent: number("sent")?,
            refused: number("refused")?,
        })
    }

    fn print(&self) -> Value {
        let Self {
            connected,
            failed,
            sent,
            refused,
        } = self;
        json!({ "connected": connected, "failed": failed, "sent": sent, "refused": refused })
    }
}

/// Talks with the kind's peers for so many seconds, and prints the counts. What waits then, waits no more.
pub fn meet(kind: Kind, seconds: u64) -> Result<()> {
    static CONNECTED: AtomicU64 = AtomicU64::new(0);
    static FAILED: AtomicU64 = AtomicU64::new(0);
    let end = Instant::now() + Duration::from_secs(seconds);
    let peers = kind.peers();
    for first in 0..AT_ONCE {
        let own: Vec<_> = peers.iter().copied().skip(first).step_by(AT_ONCE).collect();
        std::thread::spawn(move || {
            for peer in own.iter().cycle() {
                let count = if connect(kind, *peer) {
                    &CONNECTED
                } else {
                    &FAILED
                };
                count.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(300));
            }
        });
    }
    // It sends by both versions of IP.
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).context("no socket for datagrams")?;
    let to = |peer: &IpAddr| match peer {
        IpAddr::V4(peer) => peer.to_ipv6_mapped(),
        IpAddr::V6(peer) => *peer,
    };
    let (mut sent, mut refused) = (0, 0);
    for peer in peers.iter().cycle().take_while(|_| Instant::now() < end) {
        match socket.send_to(b"d1:q4:pinge", (to(peer), PEER_PORT)) {
            Ok(_) => sent += 1,
            Err(why) if why.kind() == ErrorKind::PermissionDenied => refused += 1,
            // What an earlier one was answered.
            Err(_) => {}
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let tried = Tried {
        connected: CONNECTED.load(Ordering::Relaxed),
        failed: FAILED.load(Ordering::Relaxed),
        sent,
        refused,
    };
    println!("{}", tried.print());
    Ok(())
}

fn connect(kind: Kind, peer: IpAddr) -> bool {
    let to = SocketAddr::from((peer, PEER_PORT));
    let connected = match kind {
        Kind::Torrent => TcpStream::connect_timeout(&to, PEER_PATIENCE),
        // As long as the kernel does.
        Kind::Telemetry => TcpStream::connect(to),
    };
    connected.is_ok_and(|mut stream| stream.write_all(b"\x13BitTorrent protocol").is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_tried_is_read_as_it_was_printed() {
        let tried = Tried {
            connected: 3,
            failed: 5,
            sent: 7,
            refused: 9,
        };
        assert_eq!(Tried::read(&tried.print().to_string()), Some(tried));
        assert_eq!(Tried::read("killed"), None);
        assert!(Kind::Torrent.went_well(&tried) && !Kind::Telemetry.went_well(&tried));
    }
}
