//! Resolver outside, at port 53.

use super::{Asks, answers};
use crate::zone::Protected;
use crate::zone::probe::wait_until;
use lab::{OUTSIDE, OUTSIDE_V6};
use std::process::{Child, Command, Stdio};

/// Has what answers outside be believed: no file of this machine names it.
pub const BELIEVED: &str =
    "[[set]]\nid = \"believed\"\nnames = \"believed.example\"\nresolvers = \"10.77.0.1\"\n";

/// Something outside that answers at port 53. Dropped, it is ended.
pub struct Resolver(pub Child);

impl Resolver {
    /// dnsmasq, which knows one host, by one more name.
    pub fn start(zone: &Protected) -> Self {
        Self::with(zone, &[])
    }

    /// Starts a resolver that knows more names.
    pub fn with(zone: &Protected, more: &[&str]) -> Self {
        let host = format!("--host-record=web.example,{OUTSIDE},{OUTSIDE_V6}");
        let words = [
            "dnsmasq",
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--pid-file=",
            "--user=root",
            "--no-resolv",
            "--no-hosts",
            "--log-facility=/dev/null",
            "--bind-interfaces",
            &format!("--listen-address={OUTSIDE}"),
            &host,
            "--cname=www.example,web.example",
        ];
        let resolver = Self::run(zone.lab.outside(&[&words[..], more].concat()));
        wait_until("the resolver answers", || zone.asks("www.example", "a"));
        resolver
    }

    /// Starts one in the zone itself, at these addresses, with these of dnsmasq's records.
    pub fn here(zone: &Protected, addresses: &[&str], records: &[String]) -> Self {
        let mut words = vec![
            "dnsmasq",
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--pid-file=",
            "--user=root",
            "--no-resolv",
            "--no-hosts",
            "--log-facility=/dev/null",
            "--bind-interfaces",
        ];
        let listens: Vec<_> = addresses
            .iter()
            .map(|address| format!("--listen-address={address}"))
            .collect();
        words.extend(listens.iter().chain(records).map(String::as_str));
        let resolver = Self::run(zone.lab.inside(&words));
        wait_until("the resolver answers", || {
            let line = "timeout 5 busybox nslookup -type=a none.invalid 127.0.0.1";
            !zone.inside(line).stdout.is_empty()
        });
        resolver
    }

    /// A process that answers whatever comes with these very bytes.
    pub fn lie(zone: &Protected, answer: &[u8]) -> Self {
        let before = answers(zone);
        let resolver = Self::run(liar(zone, answer, "asked"));
        wait_until("it answers", || {
            zone.inside(&format!("echo > /dev/udp/{OUTSIDE}/53"));
            answers(zone) > before
        });
        resolver
    }

    /// Asks for the name that [`answer`] says to answer for, as it stands in a message.
    pub fn is_asked(zone: &Protected, name: &[u8]) {
        let question = [&[0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0], name, &[0, 1, 0, 1]].concat();
        let escaped: String = question
            .iter()
            .map(|byte| format!("\\x{byte:02x}"))
            .collect();
        zone.inside(&format!("printf '{escaped}' > /dev/udp/{OUTSIDE}/53"));
    }

    pub fn run(mut command: Command) -> Self {
        Self(command.stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Returns this very program, to be started again outside, at port 53: it sends these bytes, to whoever asks or
/// unasked.
pub fn liar(zone: &Protected, answer: &[u8], how: &str) -> Command {
    let file = zone.lab.folder().join("answer");
    std::fs::write(&file, answer).unwrap();
    let this = std::env::current_exe().unwrap();
    let words = [this.to_str().unwrap(), "the_liar", "--exact", "--nocapture"];
    let mut command = zone.lab.outside(&words);
    command
        .env("GATEBELL_LIE", file)
        .env("GATEBELL_LIE_HOW", how);
    command
}

/// Returns an answer that says of a name, as it stands in a message, that it has the address 192.0.2.7.
pub fn answer(name: &[u8]) -> Vec<u8> {
    let header = [0, 7, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
    let question = [0, 1, 0, 1];
    let address = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7];
    [&header[..], name, &question, &address].concat()
}
