//! Tests of a device that was moved to another namespace: its packets are outside, and no number makes them the zone's.

use crate::actor::{Actor, Place, patience};
use crate::rows::{DEBIANS_NEWEST, is_absent, ran};
use crate::sockets::Kind;
use crate::world::{QUIET, World, rule};
use crate::zone::probe::{ip, within};
use lab::{DEVICE, OUTSIDE, OUTSIDE_V6};
use std::fs;
use std::net::SocketAddr;
use std::process::Command;

/// The addresses of the other namespace.
const ELSEWHERE: [&str; 2] = ["10.77.0.9", "fd77::9"];

/// Makes a macvlan of the zone's device that is in another namespace and has the same number
/// there; false: this kernel lacks it.
fn moved(world: &World) -> bool {
    let (inside, _) = world.namespaces();
    let number = within(&world.zone.lab.netns(), || {
        fs::read_to_string("/proc/thread-self/net/igmp").map(|list| number_in(&list))
    });
    let number = number.unwrap();
    let words = ["-n", &inside, "link", "add", "link", DEVICE, "name", "mv7"];
    let made = Command::new("ip")
        .args(words)
        .args(["index", &number, "netns", &world.elsewhere.0])
        .args(["type", "macvlan", "mode", "bridge"])
        .status()
        .unwrap();
    if !made.success() {
        return false;
    }
    let netns = world.elsewhere.0.as_str();
    ip(&["-n", netns, "addr", "add", "10.77.0.9/24", "dev", "mv7"]);
    ip(&[
        "-n",
        netns,
        "addr",
        "add",
        "fd77::9/64",
        "dev",
        "mv7",
        "nodad",
    ]);
    ip(&["-n", netns, "link", "set", "mv7", "up"]);
    true
}

/// The number of the zone's device, in the kernel's list of devices with their groups.
fn number_in(list: &str) -> String {
    let mut lines = list.lines().map(str::split_whitespace);
    let found = lines.find_map(|mut words| {
        let number = words.next()?;
        (words.next()? == DEVICE).then(|| number.to_owned())
    });
    found.expect("the zone has its device")
}

#[test]
fn a_device_of_another_namespace_is_outside_whatever_its_number() {
    let mut world = World::made();
    if !moved(&world) {
        is_absent("macvlan in another namespace", DEBIANS_NEWEST);
        return;
    }
    let neighbours = QUIET.split_once("\n\n").unwrap().1;
    let nothing = "[default]\ninbound = \"block\"\noutbound = \"block\"\n\n".to_owned();
    // The second has the sockets' own hook asked.
    let rules = rule("by-it", "block", &format!("interface = \"{DEVICE}\""))
        + &rule(
            "whose",
            "allow",
            "direction = \"in\"\nuser = 1\nports = 1\nprotocol = \"tcp\"",
        );
    world.judges_by_all(&(nothing + neighbours + &rules));
    world.told();
    let blocked = |world: &World| {
        let stats = world.stats();
        (stats.blocked_in, stats.blocked_out, stats.refused_connects)
    };
    let before = blocked(&world);
    let mut port = 7900;
    for kind in [Kind::Tcp, Kind::Udp] {
        for six in [false, true] {
            for (from, to, at) in [
                (Place::Elsewhere, Place::Outside, [OUTSIDE, OUTSIDE_V6]),
                (Place::Outside, Place::Elsewhere, ELSEWHERE),
            ] {
                port += 1;
                let name =
                    format!("macvlan in another namespace, {kind:?}, {from:?} to {to:?} {six}");
                let at = SocketAddr::new(at[usize::from(six)].parse().unwrap(), port);
                let waits = Actor { place: to, kind }.waits(&world, at);
                let _told = Actor { place: from, kind }.calls(&world, at, true);
                assert!(waits.gets_it(patience(true)), "{name}");
            }
        }
    }
    assert_eq!((blocked(&world), world.told().len()), (before, 0));
    ran("macvlan in another namespace");
}
