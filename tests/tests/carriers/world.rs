//! The zone between a world outside and one beyond it, and what the driver says of what goes between them.

use crate::zone::Protected;
use crate::zone::probe::{Namespace, ip, name, outside};
use channel::sys::linux::Linux;
use channel::{Attachment, Item, Mask};
use control::Stats;
use firewall_abi::kind;
use firewall_abi::packet::Packet;
use lab::{INSIDE, INSIDE_V6};
use std::time::Duration;

/// Everything out, nothing in or through, but what IPv6 needs. It is rule 0.
pub const QUIET: &str = "[default]\ninbound = \"block\"\noutbound = \"allow\"\nlog_inbound = false\n\n[[rule]]\nid = \"neighbours\"\n\
                         action = \"allow\"\nprotocol = \"icmpv6\"\nicmp_type = [133, 134, 135, 136, 143]\n";

/// The device that leads beyond the zone.
pub const BEYOND_DEVICE: &str = "gbf0";
/// Addresses of the host beyond the zone.
pub const BEYOND: [&str; 2] = ["10.91.0.1", "fd91::1"];

/// A user whom nobody else is.
pub const USER: u32 = 4711;

/// A rule in text.
pub fn rule(id: &str, action: &str, keys: &str) -> String {
    format!("\n[[rule]]\nid = \"{id}\"\naction = \"{action}\"\n{keys}\n")
}

/// The zone, with a network on either side.
pub struct World {
    pub zone: Protected,
    pub beyond: Namespace,
    /// Namespace in none of these, for programs of the zone that are elsewhere.
    pub elsewhere: Namespace,
    app: Attachment<Linux>,
}

impl World {
    pub fn made() -> Self {
        let zone = Protected::with(QUIET);
        let [beyond, elsewhere] = ["beyond", "elsewhere"].map(Namespace::made);
        let app = zone
            .device()
            .attach(1 << 20, Mask::of(kind::PACKET))
            .unwrap();
        let world = Self {
            zone,
            beyond,
            elsewhere,
            app,
        };
        world.lead_beyond();
        world
    }

    /// The names of the zone's namespace and of the world outside.
    pub fn namespaces(&self) -> (String, String) {
        (name(&self.zone.lab.netns()), name(&outside(&self.zone)))
    }

    fn lead_beyond(&self) {
        let (inside, other) = self.namespaces();
        let beyond = self.beyond.0.as_str();
        ip(&[
            "link",
            "add",
            BEYOND_DEVICE,
            "netns",
            &inside,
            "type",
            "veth",
            "peer",
            "name",
            "gbf1",
            "netns",
            beyond,
        ]);
        for (netns, device, v4, v6) in [
            (&*inside, BEYOND_DEVICE, "10.91.0.2/24", "fd91::2/64"),
            (beyond, "gbf1", "10.91.0.1/24", "fd91::1/64"),
        ] {
            ip(&["-n", netns, "addr", "add", v4, "dev", device]);
            ip(&["-n", netns, "addr", "add", v6, "dev", device, "nodad"]);
            ip(&["-n", netns, "link", "set", device, "up"]);
        }
        // Where what goes through by each link ends.
        ip(&[
            "-n",
            &inside,
            "addr",
            "add",
            "10.92.0.254/24",
            "dev",
            BEYOND_DEVICE,
        ]);
        ip(&[
            "-n",
            &inside,
            "addr",
            "add",
            "fd92::ffff/64",
            "dev",
            BEYOND_DEVICE,
            "nodad",
        ]);
        for (netns, to, by) in [
            (&*other, "10.91.0.0/24", INSIDE),
            (&*other, "fd91::/64", INSIDE_V6),
            (beyond, "default", "10.91.0.2"),
            (beyond, "::/0", "fd91::2"),
        ] {
            ip(&["-n", netns, "route", "add", to, "via", by]);
        }
        // Each device answers for its own addresses alone: packets for those of another one would come by it.
        let forwards = "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding; \
                        for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $f; done; \
                        echo 1 > /proc/sys/net/ipv4/conf/all/arp_ignore";
        assert!(self.zone.inside(forwards).status.success());
    }

    /// Puts these rules in force behind the quiet ones, which begin with rule 0.
    pub fn judges_by(&self, rules: &str) {
        self.judges_by_all(&(QUIET.to_owned() + rules));
    }

    /// Puts these rules in force.
    pub fn judges_by_all(&self, text: &str) {
        self.zone.ask().apply("new.toml", text, None).unwrap();
    }

    /// Returns the number of packets that each rule matched, by its place.
    pub fn hits(&self) -> Vec<u64> {
        self.zone.ask().hits().unwrap().hits
    }

    pub fn stats(&self) -> Stats {
        self.zone.ask().stats().unwrap()
    }

    /// Returns the packets that were reported since the last call.
    pub fn told(&mut self) -> Vec<Packet> {
        let mut told = Vec::new();
        while self.app.wait(Some(Duration::from_millis(200))).unwrap() == channel::Wake::Ready {
            self.app
                .drain(|item| {
                    if let Item::Record(record) = item {
                        told.push(*record.read::<Packet>().unwrap());
                    }
                })
                .unwrap();
        }
        told
    }

    /// Returns the packets that were reported of a rule of those in force.
    pub fn told_of(&mut self, rule: u32) -> Vec<Packet> {
        let generation = self.stats().generation;
        let told = self.told().into_iter();
        told.filter(|packet| {
            (packet.decision.generation, packet.decision.rule) == (generation, rule)
        })
        .collect()
    }
}
