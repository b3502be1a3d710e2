//! MPTCP's other subflows: a worker of the kernel makes them, for whoever has the connection.

use crate::actor::{Actor, Place};
use crate::rows::{DEBIANS, is_absent, ran};
use crate::sockets::Kind;
use crate::world::{USER, World, rule};
use crate::zone::probe::{add_pair, ip, outside, wait_until, within};
use lab::{INSIDE, INSIDE_V6, OUTSIDE, OUTSIDE_V6};
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;

/// Other addresses of the zone and of the world outside.
const INSIDE_TOO: [&str; 2] = ["10.78.1.2", "fd78:1::2"];
const OUTSIDE_TOO: [&str; 2] = ["10.78.1.1", "fd78:1::1"];

/// Has an MPTCP of a namespace tell others of no address but this one of its own.
fn tells_of(netns: &str, address: &str) {
    ip(&["-n", netns, "mptcp", "endpoint", "flush"]);
    ip(&["-n", netns, "mptcp", "endpoint", "add", address, "signal"]);
}

/// Returns whether somebody is connected to this address of a namespace by TCP.
fn is_connected(netns: &std::path::Path, at: SocketAddr) -> bool {
    let file = if at.is_ipv4() { "tcp" } else { "tcp6" };
    let list = within(netns, move || {
        fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap()
    });
    let words: Vec<u8> = match at.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    // Each four bytes as a number of this machine's.
    let number = |bytes: &[u8]| u32::from_ne_bytes(bytes.try_into().unwrap());
    let ip: String = words
        .chunks(4)
        .map(|bytes| format!("{:08X}", number(bytes)))
        .collect();
    let (local, established) = (format!(" {ip}:{:04X} ", at.port()), " 01 ");
    list.lines()
        .any(|line| line.contains(&local) && line.contains(established))
}

/// Row of the test: the originator, and a version.
struct Row {
    inbound: bool,
    six: bool,
    port: u16,
}

impl Row {
    fn name(&self) -> String {
        let (way, version) = (
            if self.inbound { "in" } else { "out" },
            if self.six { 6 } else { 4 },
        );
        format!("MPTCP's other subflow {way} v{version}")
    }

    /// Returns the addresses that the connection begins to, and that its other subflow goes to.
    fn addresses(&self) -> [SocketAddr; 2] {
        let both = match self.inbound {
            true => [[INSIDE, INSIDE_V6], INSIDE_TOO],
            false => [[OUTSIDE, OUTSIDE_V6], OUTSIDE_TOO],
        };
        both.map(|of| SocketAddr::new(of[usize::from(self.six)].parse().unwrap(), self.port))
    }

    /// Begins a connection whose other subflow a rule refuses or allows that asks for who has it.
    fn tried(&self, world: &mut World, allowed: bool) {
        let [first, other] = self.addresses();
        let (inside, outer) = world.namespaces();
        let (listens, tells) = if self.inbound {
            (world.zone.lab.netns(), inside)
        } else {
            (outside(&world.zone), outer)
        };
        tells_of(&tells, &other.ip().to_string());
        let direction = if self.inbound { "in" } else { "out" };
        let program = std::env::current_exe().unwrap();
        let keys = |to: SocketAddr| {
            format!(
                "direction = \"{direction}\"\nprotocol = \"tcp\"\nports = {}\ndestination = \"{}\"\nlog = true\nuser = {USER}\n\
                 program = \"{}\"",
                self.port,
                to.ip(),
                program.display()
            )
        };
        let action = if allowed { "allow" } else { "block" };
        let mut rules = rule("other", action, &keys(other)) + &rule("first", "allow", &keys(first));
        if allowed && !self.inbound {
            rules += &rule(
                "nothing-else",
                "block",
                "direction = \"out\"\nprotocol = \"tcp\"",
            );
        }
        world.judges_by(&rules);
        world.told();
        let [begins, waits] = [self.inbound, !self.inbound].map(|is_outside| Actor {
            place: if is_outside {
                Place::Outside
            } else {
                Place::Zone
            },
            kind: Kind::Mptcp,
        });
        let anywhere = if self.six { "[::]" } else { "0.0.0.0" };
        let anywhere: SocketAddr = format!("{anywhere}:{}", self.port).parse().unwrap();
        let _waits = waits.keeps(world, anywhere);
        let begins = begins.holds(world, first);
        let name = format!("{}, {action}", self.name());
        wait_until(&format!("{name}: its rule takes it"), || {
            world.hits()[1] != 0
        });
        if allowed {
            wait_until(&format!("{name}: it comes about"), || {
                is_connected(&listens, other)
            });
        }
        assert_eq!(is_connected(&listens, other), allowed, "{name}");
        // What is refused is sent again for as long as somebody wants it.
        drop(begins);
        let told = world.told_of(1);
        assert!(!told.is_empty(), "{name}: told");
        assert_eq!(
            world.hits()[1],
            told.len() as u64,
            "{name}: counted and told"
        );
        assert_eq!(told[0].user, USER, "{name}: whose it is");
        assert_ne!(told[0].pid, 0, "{name}: whose it is");
    }
}

#[test]
fn each_subflow_of_mptcp_is_judged_as_the_connections_of_whoever_has_it() {
    let mut world = World::made();
    let (inside, outer) = world.namespaces();
    let has_it = Command::new("ip")
        .args([
            "-n",
            &inside,
            "mptcp",
            "limits",
            "set",
            "subflows",
            "2",
            "add_addr_accepted",
            "2",
        ])
        .status()
        .unwrap();
    if !has_it.success() {
        is_absent("MPTCP's other subflow", DEBIANS);
        return;
    }
    ip(&[
        "-n",
        &outer,
        "mptcp",
        "limits",
        "set",
        "subflows",
        "2",
        "add_addr_accepted",
        "2",
    ]);
    add_pair(&world.zone, "gb2", "gb3", 1);
    for (netns, device, address) in [
        (&inside, "gb2", INSIDE_TOO[1]),
        (&outer, "gb3", OUTSIDE_TOO[1]),
    ] {
        ip(&[
            "-n",
            netns,
            "addr",
            "add",
            &format!("{address}/64"),
            "dev",
            device,
            "nodad",
        ]);
    }
    let mut port = 7301;
    for inbound in [false, true] {
        for six in [false, true] {
            for allowed in [false, true] {
                let row = Row { inbound, six, port };
                row.tried(&mut world, allowed);
                port += 1;
                if allowed {
                    ran(&row.name());
                }
            }
        }
    }
}
