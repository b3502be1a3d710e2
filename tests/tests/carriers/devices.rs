//! Tests of packets that come and go by devices and tunnels: each packet is classified once where the IP stack has it,
//! as itself, and a tunnel's packet besides as what the tunnel makes of it.

use crate::links::{LINKS, Link};
use crate::rows::{is_absent, ran};
use crate::world::{BEYOND_DEVICE, World, rule};
use crate::zone::probe::{outside, within};
use control::Stats;
use gatebell_tests::PATIENCE;
use std::net::{IpAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

const FIRST_PORT: u16 = 7400;

/// Time to wait for a datagram that is not meant to come.
pub const SHORTLY: Duration = Duration::from_millis(300);

/// Place among the rules of the one for a tunnel's outer packets; the others stand behind it.
const OUTER: usize = 1;

/// Way and version of a row, and the place of its two rules: packets to its first port are refused, packets to the next
/// one are allowed.
#[derive(Clone, Copy)]
struct Case {
    way: &'static str,
    six: bool,
    refused: usize,
}

impl Case {
    const fn port(&self) -> u16 {
        FIRST_PORT + self.refused as u16
    }

    /// Source and destination of the datagram.
    fn ends(&self, number: u16) -> (IpAddr, IpAddr) {
        let end = |host: u8| -> IpAddr {
            let text = if self.six {
                format!("fd64:{number}::{host}")
            } else {
                format!("10.100.{number}.{host}")
            };
            text.parse().unwrap()
        };
        let beyond = if self.six {
            format!("fd92::{number}")
        } else {
            format!("10.92.0.{number}")
        };
        match self.way {
            "in" => (end(1), end(2)),
            "out" => (end(2), end(1)),
            _ => (end(1), beyond.parse().unwrap()),
        }
    }

    /// Network namespaces in which the datagram begins and ends.
    fn places(&self, world: &World) -> (PathBuf, PathBuf) {
        let (zone, outside) = (world.zone.lab.netns(), outside(&world.zone));
        match self.way {
            "in" => (outside, zone),
            "out" => (zone, outside),
            _ => (outside, Path::new("/run/netns").join(&world.beyond.0)),
        }
    }

    fn rules(&self, number: u16, device: &str) -> String {
        let (direction, more) = match self.way {
            "through" => ("forward", format!("out_interface = \"{BEYOND_DEVICE}\"\n")),
            way => (way, String::new()),
        };
        let (_, to) = self.ends(number);
        let keys = |port: u16| {
            format!(
                "direction = \"{direction}\"\nprotocol = \"udp\"\ninterface = \"{device}\"\n{more}destination = \"{to}\"\n\
                 ports = {port}\nlog = true"
            )
        };
        let id = |what| format!("{what}-{}", self.refused);
        rule(&id("refused"), "block", &keys(self.port()))
            + &rule(&id("allowed"), "allow", &keys(self.port() + 1))
    }
}

fn cases(link: &Link) -> Vec<Case> {
    let mut cases = Vec::new();
    for way in ["in", "out", "through"] {
        for six in link.versions {
            if way != "through" || link.leads_through {
                cases.push(Case {
                    way,
                    six: *six,
                    refused: OUTER + 1 + 2 * cases.len(),
                });
            }
        }
    }
    cases
}

/// Sends a datagram to each port, and says which were heard: those that are not meant to
/// be are waited for only shortly.
fn heard(world: &World, case: Case, number: u16, length: usize, meant: [bool; 2]) -> [bool; 2] {
    let (from, to) = case.ends(number);
    let (begins, ends) = case.places(world);
    let ports = [case.port(), case.port() + 1];
    let hears = within(&ends, move || {
        ports.map(|port| UdpSocket::bind((to, port)).unwrap())
    });
    within(&begins, move || {
        let socket = UdpSocket::bind((from, 0)).unwrap();
        for port in ports {
            // Refused, it may be told so.
            let _told = socket.send_to(&vec![7; length], (to, port));
        }
    });
    let mut heard = [false; 2];
    // First what is meant to be heard: the rest has come by then if it does.
    for place in [1, 0] {
        let patience = if meant[place] { PATIENCE } else { SHORTLY };
        hears[place].set_read_timeout(Some(patience)).unwrap();
        heard[place] = hears[place].recv(&mut [0; 8192]).is_ok();
    }
    heard
}

/// Counts of packets in, out and through, each refused and allowed.
type Counts = [[u64; 2]; 3];

fn counts(stats: &Stats) -> Counts {
    [
        [stats.blocked_in, stats.allowed_in],
        [stats.blocked_out, stats.allowed_out],
        [stats.blocked_forward, stats.allowed_forward],
    ]
}

/// Returns the counts expected of one refused and one allowed datagram, with what a tunnel makes of them.
fn expected(case: Case, is_tunnel: bool) -> Counts {
    let outer = u64::from(is_tunnel);
    match case.way {
        "in" => [[1, 1 + 2 * outer], [0, 0], [0, 0]],
        "out" => [[0, 0], [1, 1 + outer], [0, 0]],
        _ => [[0, 2 * outer], [0, 0], [1, 1]],
    }
}

/// Greatest number of times that a row is counted anew because something else came between: neighbour discovery is
/// classified too.
const TURNS: u32 = 6;

/// Tries one row, and returns the number of turns that it took.
fn tried(world: &World, link: &Link, number: u16, case: Case, name: &str) -> u64 {
    let mut last = [[0; 2]; 3];
    for turn in 1..=TURNS {
        let before = (world.hits(), counts(&world.stats()));
        let heard = heard(world, case, number, link.length, [false, true]);
        assert_eq!(
            heard,
            [false, true],
            "{name}: refused and allowed, what is heard"
        );
        let after = (world.hits(), counts(&world.stats()));
        let hits = |rule: usize| after.0[rule] - before.0[rule];
        assert_eq!(
            (hits(case.refused), hits(case.refused + 1)),
            (1, 1),
            "{name}: by its rules"
        );
        for (way, both) in last.iter_mut().enumerate() {
            for (verdict, count) in both.iter_mut().enumerate() {
                *count = after.1[way][verdict] - before.1[way][verdict];
            }
        }
        if last == expected(case, link.outer.is_some()) {
            return turn.into();
        }
    }
    panic!(
        "{name}: counted as {last:?}, and not as {:?}",
        expected(case, link.outer.is_some())
    );
}

/// Refuses what a tunnel makes of packets, in this direction; what it carries does not come through then.
fn refuses_outer(world: &World, link: &Link, number: u16, cases: &[Case], way: &'static str) {
    let Some(outer) = link.outer else { return };
    let keys = format!("direction = \"{way}\"\n{outer}\nlog = true");
    for case in cases.iter().filter(|case| case.way == way) {
        world
            .judges_by(&(rule("outer", "block", &keys) + &case_rules(&[*case], number, link.zone)));
        let case = Case {
            refused: OUTER + 1,
            ..*case
        };
        let got = heard(world, case, number, link.length, [false, false]);
        let name = format!("{} {way}: what it makes of a packet, refused", link.name);
        assert_eq!(got, [false, false], "{name}");
        assert_ne!(world.hits()[OUTER], 0, "{name}");
    }
}

/// Returns the rules of these cases alone.
fn case_rules(cases: &[Case], number: u16, device: &str) -> String {
    let rules = cases.iter().enumerate().map(|(place, case)| {
        let case = Case {
            refused: OUTER + 1 + 2 * place,
            ..*case
        };
        case.rules(number, device)
    });
    rules.collect()
}

#[test]
fn whatever_device_or_tunnel_carries_a_packet_it_is_judged_once_where_the_stack_has_it() {
    let mut world = World::made();
    for (link, number) in LINKS.iter().zip(1..) {
        let cases = cases(link);
        let names: Vec<String> = cases
            .iter()
            .map(|case| {
                let version = if case.six { 6 } else { 4 };
                format!("{} {} v{version}", link.name, case.way)
            })
            .collect();
        let Some(_up) = link.make(&world, number) else {
            for name in &names {
                is_absent(name, link.kernels());
            }
            continue;
        };
        let outer = link.outer.map_or_else(
            || rule("outer", "allow", "direction = \"in\"\nprotocol = 254"),
            |keys| rule("outer", "allow", &format!("direction = \"in\"\n{keys}")),
        );
        world.judges_by(&(outer + &case_rules(&cases, number, link.zone)));
        for (case, name) in cases.iter().zip(&names) {
            world.told();
            let turns = tried(&world, link, number, *case, name);
            let told = world.told();
            for (rule, what) in [(case.refused, "refused"), (case.refused + 1, "allowed")] {
                let of = told
                    .iter()
                    .filter(|packet| packet.decision.rule as usize == rule);
                assert_eq!(of.count() as u64, turns, "{name}, {what}: told");
            }
            ran(name);
        }
        for way in ["in", "out"] {
            refuses_outer(&world, link, number, &cases, way);
        }
    }
}
