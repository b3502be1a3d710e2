//! Promises of names on this machine's kernel: a real resolver answers a zone, and its addresses have names.
//!
//! Needs what the tests of the firewall need, and `dnsmasq`.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may fail")]

#[path = "names/here.rs"]
mod here;
#[path = "names/history.rs"]
mod history;
#[path = "names/joined.rs"]
mod joined;
#[path = "names/learned.rs"]
mod learned;
#[allow(
    dead_code,
    reason = "shared with the tests of the control socket, which need all of it"
)]
#[path = "control/person.rs"]
mod person;
#[path = "names/questions.rs"]
mod questions;
#[path = "names/resolver.rs"]
mod resolver;
#[path = "names/traffic.rs"]
mod traffic;
mod zone;

use lab::{INSIDE, OUTSIDE};
use person::Person;
use serde_json::Value;
use std::net::UdpSocket;
use std::time::Duration;
use zone::Protected;
use zone::probe::{NOBODY, control, discard};

/// Not a promise: what a started-again copy of this program does.
#[test]
fn the_liar() {
    let Ok(file) = std::env::var("GATEBELL_LIE") else {
        return;
    };
    let answer = std::fs::read(file).unwrap();
    let socket = UdpSocket::bind((OUTSIDE, 53)).unwrap();
    if std::env::var("GATEBELL_LIE_HOW").unwrap() == "unasked" {
        socket.send_to(&answer, (INSIDE, 4001)).unwrap();
        return;
    }
    socket
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    while let Ok((_, whom)) = socket.recv_from(&mut [0; 1500]) {
        socket.send_to(&answer, whom).unwrap();
    }
}

trait Asks {
    /// Has a program of the zone ask for a name; whether there is an answer.
    fn asks(&self, name: &str, kind: &str) -> bool;
}

impl Asks for Protected {
    fn asks(&self, name: &str, kind: &str) -> bool {
        let line = format!("timeout 5 busybox nslookup -type={kind} {name} {OUTSIDE}");
        self.inside(&line).status.success()
    }
}

fn stats(zone: &Protected) -> Value {
    Person::root(zone).ok(&["stats", "--json"])["names"].take()
}

/// Answers that the driver has handed to the service.
fn answers(zone: &Protected) -> u64 {
    stats(zone)["answers"].as_u64().unwrap()
}

/// The names that root sees.
fn names(zone: &Protected) -> Vec<(String, String)> {
    let known = zone.ask().address_names(0).unwrap();
    let each = known.names.into_iter();
    each.map(|known| (known.address.to_string(), known.name))
        .collect()
}
