//! Promises of the firewall about what rules may ask for, and about what it reports, on a Linux kernel.
//!
//! Needs what the tests of the firewall need; for the scan `nmap`.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may fail")]

#[path = "decisions/answers.rs"]
mod answers;
#[path = "decisions/beside.rs"]
mod beside;
#[path = "decisions/carried.rs"]
mod carried;
#[path = "decisions/connects.rs"]
mod connects;
#[path = "decisions/datagrams.rs"]
mod datagrams;
#[path = "decisions/elsewhere.rs"]
mod elsewhere;
#[path = "decisions/fragments.rs"]
mod fragments;
#[path = "decisions/frames.rs"]
mod frames;
#[path = "decisions/identity.rs"]
mod identity;
#[path = "decisions/judges.rs"]
mod judges;
#[path = "decisions/keys.rs"]
mod keys;
#[path = "decisions/networks.rs"]
mod networks;
#[path = "decisions/ports.rs"]
mod ports;
#[path = "decisions/processes.rs"]
mod processes;
#[path = "decisions/rejects.rs"]
mod rejects;
#[path = "decisions/shares.rs"]
mod shares;
#[path = "decisions/somebody.rs"]
mod somebody;
#[path = "decisions/threads.rs"]
mod threads;
#[path = "decisions/wire.rs"]
mod wire;
mod zone;

use channel::sys::linux::Linux;
use channel::{Attachment, Item, Kind, Mask, Wake};
use firewall_abi::firewall::MAX_FLOWS;
use firewall_abi::kind;
use firewall_abi::packet::{Direction, NO_RULE, NO_USER, Packet, Verdict};
use firewall_abi::process::Process;
use gatebell_tests::PATIENCE;
use judges::{Dice, Judged};
use lab::{INSIDE, INSIDE_V6, OUTSIDE, OUTSIDE_V6};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use somebody::{Somebody, patience};
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::fchown;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use wire::{Made, Sender, TCP, UDP};
use zerocopy::{FromBytes, Immutable, KnownLayout};
use zone::Protected;
use zone::probe::{add_pair, ip, name, outside, within};

/// A user whom nobody else is.
const USER: u32 = 4711;

/// Everything out, nothing in, but what IPv6 needs. It is rule 0.
const QUIET: &str = "[default]\ninbound = \"block\"\noutbound = \"allow\"\n\n[[rule]]\nid = \"neighbours\"\n\
                     action = \"allow\"\nprotocol = \"icmpv6\"\nicmp_type = [133, 134, 135, 136, 143]\n";

/// A rule in text.
fn rule(id: &str, action: &str, keys: &str) -> String {
    format!("\n[[rule]]\nid = \"{id}\"\naction = \"{action}\"\n{keys}\n")
}

/// File of the test's own. Dropping it removes it.
struct Temporary(PathBuf);

impl Temporary {
    /// A clone may lie anywhere, so no test may mind what a path is made of.
    fn named(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("gatebell Prüfung {name}-{}", std::process::id())))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // It may not have been made.
        let _none = fs::remove_file(&self.0);
    }
}

/// Records that an app read, kept until they are asked for.
struct Told<T> {
    app: Attachment<Linux>,
    kept: Vec<(Kind, T)>,
}

impl<T: FromBytes + KnownLayout + Immutable + Copy> Told<T> {
    fn of(zone: &Protected, mask: Mask) -> Self {
        let device = zone.device();
        Self {
            app: device.attach(1 << 20, mask).unwrap(),
            kept: Vec::new(),
        }
    }

    /// Waits for a record that is as asked for.
    fn wait_for(&mut self, kind: Kind, wanted: impl Fn(&T) -> bool) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self
                .kept
                .iter()
                .position(|(of, record)| *of == kind && wanted(record))
            {
                return self.kept.remove(at).1;
            }
            assert!(Instant::now() < end, "no such record came");
            self.hear(Duration::from_millis(200));
        }
    }

    /// Waits once; whether there was anything.
    fn hear(&mut self, most: Duration) -> bool {
        let signalled = self.app.wait(Some(most)).unwrap() == Wake::Ready;
        let kept = &mut self.kept;
        self.app
            .drain(|item| {
                if let Item::Record(record) = item {
                    kept.push((record.kind(), *record.read().unwrap()));
                }
            })
            .unwrap();
        signalled
    }
}

impl Told<Process> {
    /// Returns the number of reports so far of this process's end: another process that has ended since was reported.
    fn ends(&mut self, zone: &Protected, pid: u32) -> usize {
        let mut other = zone.lab.inside(&["busybox", "true"]).spawn().unwrap();
        other.wait().unwrap();
        self.wait_for(kind::PROCESS_EXIT, |it| it.pid == other.id());
        self.kept
            .iter()
            .filter(|(kind, it)| *kind == kind::PROCESS_EXIT && it.pid == pid)
            .count()
    }
}

impl Told<Packet> {
    /// Waits for the record of a packet that was refused on its way to a port.
    fn refused(&mut self, protocol: u8, port: u16) -> Packet {
        self.wait_for(kind::PACKET, |packet| {
            packet.decision.verdict == Verdict::Block as u8
                && (packet.headers.protocol, packet.headers.destination_port) == (protocol, port)
        })
    }
}

/// A datagram or a connection from outside.
fn knock(zone: &Protected, tcp: bool, to: &str, meant: bool) {
    let to: SocketAddr = to.parse().unwrap();
    within(&outside(zone), move || {
        if tcp {
            // Whether it comes about is for who listens to say.
            let _refused = TcpStream::connect_timeout(&to, patience(meant));
        } else {
            UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })
                .unwrap()
                .send_to(b"hello", to)
                .unwrap();
        }
    });
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap().trim_end_matches('\0')
}
