//! Tests of packets that come and go by a VRF: the stack shows an inbound one by the VRF's device, and an outbound one
//! by that of the port at the wire.

use crate::devices::SHORTLY;
use crate::rows::{DEBIANS, is_absent, ran};
use crate::world::{BEYOND_DEVICE, World, rule};
use crate::zone::probe::{ip, outside, within};
use gatebell_tests::PATIENCE;
use socket2::{Domain, Socket, Type};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;

const VRF: &str = "vf5";
const PORT_DEVICE: &str = "vp5";
/// Port to which packets are refused; those to the next one are allowed.
const PORT: u16 = 7800;

/// The zone's end, the one outside, and one beyond, of each version.
const ZONE: [&str; 2] = ["10.105.0.2", "fd69::2"];
const OUTSIDE: [&str; 2] = ["10.105.0.1", "fd69::1"];
const BEYOND: [&str; 2] = ["10.92.0.105", "fd92::105"];

/// Leads a wire to outside into a VRF of the zone, and from there beyond. False: this kernel has none.
fn made(world: &World) -> bool {
    let (inside, outside) = world.namespaces();
    let words = ["link", "add", VRF, "type", "vrf", "table", "105"];
    let made = Command::new("ip")
        .args(["-n", &inside])
        .args(words)
        .output();
    if !made.unwrap().status.success() {
        return false;
    }
    let (inside, outside, beyond) = (&*inside, &*outside, &*world.beyond.0);
    let peer = format!("link add vp5 type veth peer name vp5o netns {outside}");
    for (netns, line) in [
        (inside, &*peer),
        (inside, "link set vp5 master vf5"),
        (inside, "link set vf5 up"),
        (inside, "link set vp5 up"),
        (outside, "link set vp5o up"),
        (inside, "addr add 10.105.0.2/24 dev vp5"),
        (inside, "addr add fd69::2/64 dev vp5 nodad"),
        (outside, "addr add 10.105.0.1/24 dev vp5o"),
        (outside, "addr add fd69::1/64 dev vp5o nodad"),
        (beyond, "addr add 10.92.0.105/24 dev gbf1"),
        (beyond, "addr add fd92::105/64 dev gbf1 nodad"),
        // Through, and back.
        (outside, "route add 10.92.0.105 via 10.105.0.2 dev vp5o"),
        (outside, "route add fd92::105 via fd69::2 dev vp5o"),
        (inside, "route add 10.92.0.0/24 dev gbf0 table 105"),
        (inside, "route add fd92::/64 dev gbf0 table 105"),
        (inside, "route add 10.105.0.0/24 dev vp5"),
        (inside, "route add fd69::/64 dev vp5"),
    ] {
        let words: Vec<_> = ["-n", netns].into_iter().chain(line.split(' ')).collect();
        ip(&words);
    }
    true
}

/// Namespace and address of one end.
struct End {
    netns: PathBuf,
    address: IpAddr,
    is_in_vrf: bool,
}

impl End {
    /// A socket there.
    fn socket(&self, port: u16) -> UdpSocket {
        let (address, is_in_vrf) = (SocketAddr::new(self.address, port), self.is_in_vrf);
        within(&self.netns, move || {
            let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None).unwrap();
            if is_in_vrf {
                socket.bind_device(Some(VRF.as_bytes())).unwrap();
            }
            socket.bind(&address.into()).unwrap();
            socket.into()
        })
    }
}

/// Sends a question to a port and answers it. Whether the question came, and whether its answer did.
fn answered(from: &End, to: &End, port: u16, meant: bool) -> [bool; 2] {
    let (asks, hears) = (from.socket(0), to.socket(port));
    let patience = if meant { PATIENCE } else { SHORTLY };
    for socket in [&asks, &hears] {
        socket.set_read_timeout(Some(patience)).unwrap();
    }
    // Refused, it may be told so.
    let _told = asks.send_to(b"here?", (to.address, port));
    let Ok((_, back)) = hears.recv_from(&mut [0; 8]) else {
        return [false; 2];
    };
    hears.send_to(b"here!", back).unwrap();
    [true, asks.recv(&mut [0; 8]).is_ok()]
}

#[test]
fn what_comes_goes_and_passes_by_a_vrf_is_judged_and_answered_there() {
    let world = World::made();
    let is_there = made(&world);
    let (zone, outside) = (world.zone.lab.netns(), outside(&world.zone));
    let beyond = Path::new("/run/netns").join(&world.beyond.0);
    for (way, six) in ["in", "out", "through"]
        .into_iter()
        .flat_map(|way| [(way, 0), (way, 1)])
    {
        let row = format!("a VRF {way} v{}", 4 + 2 * six);
        if !is_there {
            is_absent(&row, DEBIANS);
            continue;
        }
        let end = |netns: &Path, address: &str, is_in_vrf| End {
            netns: netns.to_owned(),
            address: address.parse().unwrap(),
            is_in_vrf,
        };
        let [own, other, far] = [
            end(&zone, ZONE[six], true),
            end(&outside, OUTSIDE[six], false),
            end(&beyond, BEYOND[six], false),
        ];
        let (from, to, direction, more) = match way {
            "in" => (other, own, "in", String::new()),
            "out" => (own, other, "out", String::new()),
            _ => (
                other,
                far,
                "forward",
                format!("\nout_interface = \"{BEYOND_DEVICE}\""),
            ),
        };
        let keys = |port: u16| {
            format!(
                "direction = \"{direction}\"\nprotocol = \"udp\"\ninterface = [\"{VRF}\", \"{PORT_DEVICE}\"]{more}\nports = {port}"
            )
        };
        world.judges_by(
            &(rule("refused", "block", &keys(PORT)) + &rule("allowed", "allow", &keys(PORT + 1))),
        );
        let before = world.stats();
        assert_eq!(
            answered(&from, &to, PORT, false),
            [false; 2],
            "{row}, refused"
        );
        assert_eq!(
            answered(&from, &to, PORT + 1, true),
            [true; 2],
            "{row}, allowed"
        );
        let after = world.stats();
        assert_eq!(world.hits()[1..], [1, 1], "{row}: by its rules");
        let forwarded = [
            after.blocked_forward - before.blocked_forward,
            after.allowed_forward - before.allowed_forward,
        ];
        let meant = if way == "through" { [1, 2] } else { [0, 0] };
        assert_eq!(forwarded, meant, "{row}: with its answer");
        ran(&row);
    }
}
