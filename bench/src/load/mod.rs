//! The loads: programs of our own that run inside the zone or outside of it. Each is bounded in count and in time, and
//! says at its end what it did, as JSON.

mod ask;
mod forged;
mod knock;
mod paced;
mod storm;
mod udp;

use crate::gatebell::now_ns;
use anyhow::{Result, ensure};
use clap::Subcommand;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

/// One load.
#[derive(Subcommand)]
pub enum Load {
    /// Datagrams as fast as they go
    Flood {
        /// Address to send to
        to: SocketAddr,
        /// Number of them
        count: u64,
        /// Maximum time, in seconds
        seconds: u64,
    },
    /// Datagrams from addresses of a file, one from each
    Forged {
        /// Address to send to
        to: SocketAddr,
        /// The file, with one address a line
        from: PathBuf,
    },
    /// Datagrams one at a time, each to a port of its own from 20000 on; with the time of each
    Beat {
        /// The receiver
        to: std::net::IpAddr,
        /// Number of them
        count: u16,
        /// Microseconds between two
        pause: u64,
    },
    /// Datagrams at a steady rate, to so many ports from 20000 on in turn
    Paced {
        /// The receiver
        to: std::net::IpAddr,
        /// Number of ports
        ports: u16,
        /// Rate per second
        rate: u64,
        /// Number of them
        count: u64,
    },
    /// Sends what it is told to: each line of its input is a port, how many datagrams,
    /// and the microseconds between them
    Knock {
        /// The receiver
        to: std::net::IpAddr,
    },
    /// Says of each port from 20000 on when the first datagram came
    Hear {
        /// Address to listen at
        at: std::net::IpAddr,
        /// Number of ports
        ports: u16,
        /// Time, in seconds
        seconds: u64,
    },
    /// Connections at a steady rate, each to another address
    Connect {
        /// The first address
        to: std::net::Ipv4Addr,
        /// The port
        port: u16,
        /// Rate per second
        rate: u64,
        /// Number of them
        count: u64,
    },
    /// Takes connections and closes them
    Accept {
        /// Address to listen at
        at: SocketAddr,
        /// Time, in seconds
        seconds: u64,
    },
    /// Takes datagrams and does nothing with them, for so many seconds
    Sink {
        /// Address to listen at
        at: SocketAddr,
        /// Time, in seconds
        seconds: u64,
    },
    /// Answers each request of one connection
    Answer {
        /// Address to listen at
        at: SocketAddr,
        /// Maximum time, in seconds
        seconds: u64,
    },
    /// Asks, waits for the answer, asks again
    Ask {
        /// Address to send to
        to: SocketAddr,
        /// Time, in milliseconds
        milliseconds: u64,
    },
    /// Starts processes that end at once
    Storm {
        /// Number of them
        count: u32,
    },
}

/// Work that a load did, and the time that it took.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Done {
    /// Packets, requests or processes.
    pub count: u64,
    /// Time of the begin, in nanoseconds of the records' clock.
    pub began_ns: u64,
    /// Seconds.
    pub seconds: f64,
}

impl Done {
    /// Creates the result of a number of steps, from a start to now.
    pub fn since(start: Instant, count: u64) -> Self {
        let took = start.elapsed();
        Self {
            count,
            began_ns: now_ns().saturating_sub(took.as_nanos() as u64),
            seconds: took.as_secs_f64(),
        }
    }

    /// Returns the seconds until a reader had the last of it, which may be later than the end.
    pub fn seconds_until(&self, last_ns: u64) -> f64 {
        self.seconds
            .max(last_ns.saturating_sub(self.began_ns) as f64 / 1e9)
    }

    /// Returns the rate per second.
    pub fn rate(&self) -> f64 {
        self.count as f64 / self.seconds
    }

    /// An error if it stayed below so many a second by more than a twentieth: what is measured under a smaller load
    /// looks better, and says nothing of this one.
    pub fn reaching(self, rate: u64) -> Result<Self> {
        const NEARLY: f64 = 0.95;
        ensure!(
            self.rate() >= NEARLY * rate as f64,
            "the load was not reached: {:.0} a second instead of {rate}",
            self.rate()
        );
        Ok(self)
    }
}

/// The moments of a beat, in nanoseconds of the clock of the records' stamps.
#[derive(Debug, Serialize, Deserialize)]
pub struct Sent {
    /// One for each datagram.
    pub stamps: Vec<u64>,
}

/// The first datagram of a port.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Arrival {
    /// Port of the packet.
    pub port: u16,
    /// Time of the arrival, in nanoseconds of the records' clock.
    pub at_ns: u64,
}

/// The first port of a beat.
pub const BEAT_PORT: u16 = 20_000;

/// Does it, and says what it did.
pub fn run(load: &Load) -> Result<()> {
    match *load {
        Load::Flood { to, count, seconds } => say(&udp::flood(to, count, seconds)?),
        Load::Forged { to, ref from } => say(&forged::forged(to, from)?),
        Load::Beat { to, count, pause } => say(&udp::beat(to, count, pause)?),
        Load::Paced {
            to,
            ports,
            rate,
            count,
        } => say(&paced::datagrams(to, ports, rate, count)?),
        Load::Knock { to } => knock::knock(to),
        Load::Hear { at, ports, seconds } => knock::hear(at, ports, seconds),
        Load::Connect {
            to,
            port,
            rate,
            count,
        } => say(&paced::connections(to, port, rate, count)?),
        Load::Accept { at, seconds } => paced::accept(at, seconds),
        Load::Sink { at, seconds } => udp::sink(at, seconds),
        Load::Answer { at, seconds } => ask::answer(at, seconds),
        Load::Ask { to, milliseconds } => say(&ask::ask(to, milliseconds)?),
        Load::Storm { count } => say(&storm::storm(count)?),
    }
}

fn say(what: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string(what)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_that_stayed_below_its_rate_measures_nothing() {
        let done = |count, seconds| Done {
            count,
            began_ns: 0,
            seconds,
        };
        assert!(done(10_000, 10.0).reaching(1000).is_ok());
        assert!(done(10_000, 10.4).reaching(1000).is_ok(), "nearly");
        let why = done(10_000, 20.0).reaching(1000).expect_err("half of it");
        let said = "the load was not reached: 500 a second instead of 1000";
        assert_eq!(why.to_string(), said);
    }
}
