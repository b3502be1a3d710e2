//! Devices and tunnels between the zone and the world outside, and how each is made.

use crate::rows::DEBIANS;
use crate::world::World;
use crate::zone::probe::{ip, outside};
use crate::zone::tun::Tun;
use lab::{INSIDE, INSIDE_V6, OUTSIDE, OUTSIDE_V6};
use std::io::{Read, Write};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Link that carries packets between the zone and the world outside.
#[derive(Clone, Copy)]
pub struct Link {
    pub name: &'static str,
    /// The zone's device, and the other end's.
    pub zone: &'static str,
    pub other: &'static str,
    /// Words for `ip`, each behind the letter of the namespace that they are for: `i` the zone's, `o` the world's
    /// outside. Where the first does not do, this kernel lacks it.
    made: &'static [&'static str],
    /// A line for a shell in the zone, and one in the world outside.
    shell: [&'static str; 2],
    /// Versions of IP that the link carries.
    pub versions: &'static [bool],
    /// `true` if what goes through the zone comes by this link.
    pub leads_through: bool,
    /// Keys of a rule that matches the link's outer packets.
    pub outer: Option<&'static str>,
    /// Bytes of a datagram.
    pub length: usize,
}

const BOTH: &[bool] = &[false, true];

const PLAIN: Link = Link {
    name: "a pair of devices",
    zone: "gb0",
    other: "gb1",
    made: &[],
    shell: ["true", "true"],
    versions: BOTH,
    leads_through: true,
    outer: None,
    length: 5,
};

/// All links. `INSIDE` and its like stand for addresses of the lab's.
pub const LINKS: &[Link] = &[
    PLAIN,
    Link {
        name: "fragments",
        length: 4000,
        ..PLAIN
    },
    Link {
        name: "a VLAN",
        zone: "vl5",
        other: "vl5o",
        made: &[
            "i link add link gb0 name vl5 type vlan id 5",
            "o link add link gb1 name vl5o type vlan id 5",
        ],
        ..PLAIN
    },
    Link {
        name: "a VLAN in another",
        zone: "vi9",
        other: "vi9o",
        made: &[
            "i link add link gb0 name vo8 type vlan proto 802.1ad id 8",
            "i link add link vo8 name vi9 type vlan id 9",
            "i link set vo8 up",
            "o link add link gb1 name vo8o type vlan proto 802.1ad id 8",
            "o link add link vo8o name vi9o type vlan id 9",
            "o link set vo8o up",
        ],
        ..PLAIN
    },
    Link {
        name: "macvlan",
        zone: "mv5",
        made: &["i link add link gb0 name mv5 type macvlan mode bridge"],
        ..PLAIN
    },
    Link {
        name: "ipvlan, mode l2",
        zone: "iv5",
        made: &["i link add link gb0 name iv5 type ipvlan mode l2"],
        // It takes what is for its own addresses; all else is its parent's.
        leads_through: false,
        ..PLAIN
    },
    Link {
        name: "a bond",
        zone: "bd5",
        other: "bs5o",
        made: &[
            "i link add bd5 type bond mode active-backup",
            "i link add bs5 type veth peer name bs5o netns o",
            "i link set bs5 master bd5",
            "i link set bs5 up",
        ],
        ..PLAIN
    },
    Link {
        name: "a bridge",
        zone: "br5",
        other: "bp5o",
        made: &[
            "i link add br5 type bridge",
            "i link add bp5 type veth peer name bp5o netns o",
            "i link set bp5 master br5",
            "i link set bp5 up",
        ],
        ..PLAIN
    },
    Link {
        name: "a bridge whose frames br_netfilter shows",
        zone: "br6",
        other: "bp6o",
        made: &[
            "i link add br6 type bridge nf_call_iptables 1 nf_call_ip6tables 1",
            "i link add bp6 type veth peer name bp6o netns o",
            "i link set bp6 master br6",
            "i link set bp6 up",
        ],
        ..PLAIN
    },
    Link {
        name: "WireGuard",
        zone: "wg5",
        other: "wg5o",
        made: &[
            "i link add wg5 type wireguard",
            "o link add wg5o type wireguard",
        ],
        shell: [
            "wg set wg5 listen-port 51820 private-key <(echo ONE) peer OTHER_PUBLIC allowed-ips 0.0.0.0/0,::/0 endpoint OUTSIDE:51820",
            "wg set wg5o listen-port 51820 private-key <(echo OTHER) peer ONE_PUBLIC allowed-ips 0.0.0.0/0,::/0 endpoint INSIDE:51820",
        ],
        outer: Some("protocol = \"udp\"\nports = 51820"),
        ..PLAIN
    },
    Link {
        name: "WireGuard over IPv6",
        zone: "wg6",
        other: "wg6o",
        made: &[
            "i link add wg6 type wireguard",
            "o link add wg6o type wireguard",
        ],
        shell: [
            "wg set wg6 listen-port 51821 private-key <(echo ONE) peer OTHER_PUBLIC allowed-ips 0.0.0.0/0,::/0 endpoint [OUTSIDE_V6]:51821",
            "wg set wg6o listen-port 51821 private-key <(echo OTHER) peer ONE_PUBLIC allowed-ips 0.0.0.0/0,::/0 endpoint [INSIDE_V6]:51821",
        ],
        outer: Some("protocol = \"udp\"\nports = 51821"),
        ..PLAIN
    },
    Link {
        name: "IP in IP",
        zone: "ti5",
        other: "ti5o",
        made: &[
            "i link add ti5 type ipip local INSIDE remote OUTSIDE",
            "o link add ti5o type ipip local OUTSIDE remote INSIDE",
        ],
        versions: &[false],
        outer: Some("protocol = 4"),
        ..PLAIN
    },
    Link {
        name: "IPv6 in IP (sit)",
        zone: "si5",
        other: "si5o",
        made: &[
            "i link add si5 type sit local INSIDE remote OUTSIDE",
            "o link add si5o type sit local OUTSIDE remote INSIDE",
        ],
        versions: &[true],
        outer: Some("protocol = 41"),
        ..PLAIN
    },
    Link {
        name: "GRE",
        zone: "gr5",
        other: "gr5o",
        made: &[
            "i link add gr5 type gre local INSIDE remote OUTSIDE",
            "o link add gr5o type gre local OUTSIDE remote INSIDE",
        ],
        outer: Some("protocol = 47"),
        ..PLAIN
    },
    Link {
        name: "IP in IPv6",
        zone: "t65",
        other: "t65o",
        made: &[
            "i link add t65 type ip6tnl mode any local INSIDE_V6 remote OUTSIDE_V6",
            "o link add t65o type ip6tnl mode any local OUTSIDE_V6 remote INSIDE_V6",
        ],
        outer: Some("protocol = [4, 41]"),
        ..PLAIN
    },
    Link {
        name: "GRE over IPv6",
        zone: "g65",
        other: "g65o",
        made: &[
            "i link add g65 type ip6gre local INSIDE_V6 remote OUTSIDE_V6",
            "o link add g65o type ip6gre local OUTSIDE_V6 remote INSIDE_V6",
        ],
        outer: Some("protocol = 47"),
        ..PLAIN
    },
    Link {
        name: "VXLAN",
        zone: "vx5",
        other: "vx5o",
        made: &[
            "i link add vx5 type vxlan id 5 local INSIDE remote OUTSIDE dstport 4789",
            "o link add vx5o type vxlan id 5 local OUTSIDE remote INSIDE dstport 4789",
        ],
        outer: Some("protocol = \"udp\"\nports = 4789"),
        ..PLAIN
    },
    Link {
        name: "VXLAN over IPv6",
        zone: "vx6",
        other: "vx6o",
        made: &[
            "i link add vx6 type vxlan id 6 local INSIDE_V6 remote OUTSIDE_V6 dstport 4790",
            "o link add vx6o type vxlan id 6 local OUTSIDE_V6 remote INSIDE_V6 dstport 4790",
        ],
        outer: Some("protocol = \"udp\"\nports = 4790"),
        ..PLAIN
    },
    Link {
        name: "Geneve",
        zone: "gv5",
        other: "gv5o",
        made: &[
            "i link add gv5 type geneve id 5 remote OUTSIDE",
            "o link add gv5o type geneve id 5 remote INSIDE",
        ],
        outer: Some("protocol = \"udp\"\nports = 6081"),
        ..PLAIN
    },
    Link {
        name: "ESP, transport mode",
        made: &[
            "i xfrm state add src 10.100.N.2 dst 10.100.N.1 proto esp spi 0x105 mode transport enc cipher_null  auth hmac(sha1) KEY",
            "i xfrm state add src 10.100.N.1 dst 10.100.N.2 proto esp spi 0x106 mode transport enc cipher_null  auth hmac(sha1) KEY",
            "i xfrm state add src fd64:N::2 dst fd64:N::1 proto esp spi 0x107 mode transport enc cipher_null  auth hmac(sha1) KEY",
            "i xfrm state add src fd64:N::1 dst fd64:N::2 proto esp spi 0x108 mode transport enc cipher_null  auth hmac(sha1) KEY",
            "o xfrm state add src 10.100.N.2 dst 10.100.N.1 proto esp spi 0x105 mode transport enc cipher_null  auth hmac(sha1) KEY",
            "o xfrm state add src 10.100.N.1 dst 10.100.N.2 proto esp spi 0x106 mode transport enc cipher_null  auth hmac(sha1) KEY",
            "o xfrm state add src fd64:N::2 dst fd64:N::1 proto esp spi 0x107 mode transport enc cipher_null  auth hmac(sha1) KEY",
            "o xfrm state add src fd64:N::1 dst fd64:N::2 proto esp spi 0x108 mode transport enc cipher_null  auth hmac(sha1) KEY",
            "i xfrm policy add src 10.100.N.2 dst 10.100.N.1 proto 17 dir out tmpl src 10.100.N.2 dst 10.100.N.1 proto esp mode transport",
            "i xfrm policy add src fd64:N::2 dst fd64:N::1 proto 17 dir out tmpl src fd64:N::2 dst fd64:N::1 proto esp mode transport",
            "o xfrm policy add src 10.100.N.1 dst 10.100.N.2 proto 17 dir out tmpl src 10.100.N.1 dst 10.100.N.2 proto esp mode transport",
            "o xfrm policy add src fd64:N::1 dst fd64:N::2 proto 17 dir out tmpl src fd64:N::1 dst fd64:N::2 proto esp mode transport",
        ],
        leads_through: false,
        outer: Some("protocol = 50"),
        ..PLAIN
    },
    Link {
        name: "ESP, tunnel mode",
        made: &[
            "i xfrm state add src INSIDE dst OUTSIDE proto esp spi 0x205 mode tunnel enc cipher_null  auth hmac(sha1) KEY",
            "i xfrm state add src OUTSIDE dst INSIDE proto esp spi 0x206 mode tunnel enc cipher_null  auth hmac(sha1) KEY",
            "o xfrm state add src INSIDE dst OUTSIDE proto esp spi 0x205 mode tunnel enc cipher_null  auth hmac(sha1) KEY",
            "o xfrm state add src OUTSIDE dst INSIDE proto esp spi 0x206 mode tunnel enc cipher_null  auth hmac(sha1) KEY",
            "i xfrm state add src INSIDE_V6 dst OUTSIDE_V6 proto esp spi 0x207 mode tunnel enc cipher_null  auth hmac(sha1) KEY",
            "i xfrm state add src OUTSIDE_V6 dst INSIDE_V6 proto esp spi 0x208 mode tunnel enc cipher_null  auth hmac(sha1) KEY",
            "o xfrm state add src INSIDE_V6 dst OUTSIDE_V6 proto esp spi 0x207 mode tunnel enc cipher_null  auth hmac(sha1) KEY",
            "o xfrm state add src OUTSIDE_V6 dst INSIDE_V6 proto esp spi 0x208 mode tunnel enc cipher_null  auth hmac(sha1) KEY",
            "i xfrm policy add src 10.100.N.2 dst 10.100.N.1 proto 17 dir out tmpl src INSIDE dst OUTSIDE proto esp mode tunnel",
            "i xfrm policy add src 10.100.N.1 dst 0.0.0.0/0 proto 17 dir in tmpl src OUTSIDE dst INSIDE proto esp mode tunnel",
            "i xfrm policy add src 10.100.N.1 dst 0.0.0.0/0 proto 17 dir fwd tmpl src OUTSIDE dst INSIDE proto esp mode tunnel",
            "o xfrm policy add src 10.100.N.1 dst 0.0.0.0/0 proto 17 dir out tmpl src OUTSIDE dst INSIDE proto esp mode tunnel",
            "o xfrm policy add src 10.100.N.2 dst 10.100.N.1 proto 17 dir in tmpl src INSIDE dst OUTSIDE proto esp mode tunnel",
            "i xfrm policy add src fd64:N::2 dst fd64:N::1 proto 17 dir out tmpl src INSIDE_V6 dst OUTSIDE_V6 proto esp mode tunnel",
            "i xfrm policy add src fd64:N::1 dst ::/0 proto 17 dir in tmpl src OUTSIDE_V6 dst INSIDE_V6 proto esp mode tunnel",
            "i xfrm policy add src fd64:N::1 dst ::/0 proto 17 dir fwd tmpl src OUTSIDE_V6 dst INSIDE_V6 proto esp mode tunnel",
            "o xfrm policy add src fd64:N::1 dst ::/0 proto 17 dir out tmpl src OUTSIDE_V6 dst INSIDE_V6 proto esp mode tunnel",
            "o xfrm policy add src fd64:N::2 dst fd64:N::1 proto 17 dir in tmpl src INSIDE_V6 dst OUTSIDE_V6 proto esp mode tunnel",
        ],
        outer: Some("protocol = 50"),
        ..PLAIN
    },
    Link {
        name: "tun",
        zone: "tn5",
        other: "tn5o",
        ..PLAIN
    },
];

/// Two pairs of keys for WireGuard.
struct Keys([String; 4]);

impl Keys {
    /// Makes the keys of both ends, or returns `None` if there is no `wg`.
    fn made() -> Option<Self> {
        let line = "set -e; for n in 1 2; do k=$(wg genkey); echo $k; echo $k | wg pubkey; done";
        let output = Command::new("bash").args(["-c", line]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        words.try_into().ok().map(Self)
    }
}

/// Carries packets between two tun devices. Dropped, both are gone.
struct Pump {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Pump {
    /// Makes the devices, or returns `None` if this kernel has none such.
    fn between(world: &World, zone: &str, other: &str) -> Option<Self> {
        let ends = [
            Tun::open(&world.zone.lab.netns(), zone)?,
            Tun::open(&outside(&world.zone), other)?,
        ];
        let [one, other] = ends.map(Tun::into_file);
        let over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let mut packet = [0; 8192];
            while !ends.load(Ordering::Relaxed) {
                for (mut from, mut to) in [(&one, &other), (&other, &one)] {
                    // Nothing there yet is an error, and so is a device that is down.
                    while let Ok(length) = from.read(&mut packet) {
                        let _lost = to.write(&packet[..length]);
                    }
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        Some(Self {
            over,
            thread: Some(thread),
        })
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// Link that is up. Dropping it removes it.
pub struct Up {
    link: Link,
    names: [String; 2],
    _pump: Option<Pump>,
}

impl Link {
    /// Returns the kernels that have to have the link.
    pub const fn kernels(&self) -> &'static [&'static str] {
        DEBIANS
    }

    /// Makes the link, with addresses of this number at both ends; or returns `None` if this kernel lacks it.
    pub fn make(&self, world: &World, number: u16) -> Option<Up> {
        let (inside, outside) = world.namespaces();
        let names = [inside, outside];
        let keys = if self.shell[0].starts_with("wg ") {
            Some(Keys::made().expect("wg is missing: cargo xtask setup lab"))
        } else {
            None
        };
        let filled = |text: &str| fill(text, number, keys.as_ref());
        let pump = if self.zone == "tn5" {
            Some(Pump::between(world, self.zone, self.other)?)
        } else {
            None
        };
        for (place, line) in self.made.iter().enumerate() {
            let line = filled(line);
            if !run(&names, &line) {
                assert_eq!(place, 0, "{}: ip {line}", self.name);
                return None;
            }
        }
        let up = Up {
            link: *self,
            names,
            _pump: pump,
        };
        let [one, other] = self.shell.map(filled);
        for made in [world.zone.inside(&one), world.zone.outside(&other)] {
            assert!(made.status.success(), "{}: {made:?}", self.name);
        }
        up.address(world, number);
        Some(up)
    }
}

/// Runs `ip` in the namespace whose letter stands first.
fn run(names: &[String; 2], line: &str) -> bool {
    let (place, words) = line.split_once(' ').unwrap();
    let netns = &names[usize::from(place == "o")];
    let words = words.split(' ').map(|word| match word {
        "o" => names[1].as_str(),
        word => word,
    });
    let mut command = Command::new("ip");
    let output = command.args(["-n", netns]).args(words).output().unwrap();
    output.status.success()
}

fn fill(text: &str, number: u16, keys: Option<&Keys>) -> String {
    let mut text = text
        .replace("OUTSIDE_V6", OUTSIDE_V6)
        .replace("INSIDE_V6", INSIDE_V6)
        .replace("OUTSIDE", OUTSIDE)
        .replace("INSIDE", INSIDE)
        .replace(".N.", &format!(".{number}."))
        .replace(":N:", &format!(":{number}:"))
        .replace("KEY", "0x0102030405060708090a0b0c0d0e0f1011121314");
    if let Some(Keys([one, one_public, other, other_public])) = keys {
        text = text
            .replace("ONE_PUBLIC", one_public)
            .replace("OTHER_PUBLIC", other_public)
            .replace("(echo ONE)", &format!("(echo {one})"))
            .replace("(echo OTHER)", &format!("(echo {other})"));
    }
    text
}

impl Up {
    /// Gives both ends their addresses, and leads what goes beyond over the link.
    fn address(&self, world: &World, number: u16) {
        let [inside, outside] = &self.names;
        let ends = [(inside, self.link.zone, 2), (outside, self.link.other, 1)];
        for (netns, device, host) in ends {
            ip(&["-n", netns, "link", "set", device, "up"]);
            if self.link.versions.contains(&false) {
                let address = format!("10.100.{number}.{host}/24");
                ip(&["-n", netns, "addr", "add", &address, "dev", device]);
            }
            if self.link.versions.contains(&true) {
                let address = format!("fd64:{number}::{host}/64");
                ip(&["-n", netns, "addr", "add", &address, "dev", device, "nodad"]);
            }
        }
        for six in self.link.versions {
            let (beyond, by, bits) = if *six {
                (format!("fd92::{number}"), format!("fd64:{number}::2"), 64)
            } else {
                (
                    format!("10.92.0.{number}"),
                    format!("10.100.{number}.2"),
                    24,
                )
            };
            let address = format!("{beyond}/{bits}");
            let mut words = vec![
                "-n",
                &world.beyond.0,
                "addr",
                "add",
                &address,
                "dev",
                "gbf1",
            ];
            words.extend(six.then_some("nodad"));
            ip(&words);
            ip(&[
                "-n",
                outside,
                "route",
                "add",
                &beyond,
                "via",
                &by,
                "dev",
                self.link.other,
            ]);
        }
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        for (netns, own) in self.names.iter().zip([self.link.zone, self.link.other]) {
            if ["gb0", "gb1"].contains(&own) {
                continue;
            }
            // It may have gone with its other end.
            let _gone = Command::new("ip")
                .args(["-n", netns, "link", "del", own])
                .output();
        }
        for netns in &self.names {
            for what in ["policy", "state"] {
                // There may be none.
                let _none = Command::new("ip")
                    .args(["-n", netns, "xfrm", what, "flush"])
                    .output();
            }
        }
    }
}
