//! Questions to a protected zone: what gets through, what has filters, and more devices for it.

use super::{Protected, RULES};
use gatebell_tests::PATIENCE;
use lab::{INSIDE, OUTSIDE};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// User with no rights.
pub const NOBODY: u32 = 65_534;

/// The zone's control socket.
pub fn control(zone: &Protected) -> PathBuf {
    zone.lab.folder().join("c")
}

/// Has the zone send a packet to the discard port; whether it was refused.
pub fn discard(zone: &Protected) -> bool {
    !zone
        .inside(&format!("echo > /dev/udp/{OUTSIDE}/9"))
        .status
        .success()
}

/// Returns whether a datagram to port 9, which the lab's rules refuse, is refused.
pub fn refuses(zone: &Protected) -> bool {
    refuses_to(zone, OUTSIDE)
}

pub fn refuses_to(zone: &Protected, address: &str) -> bool {
    let sent = zone.inside(&format!("echo > /dev/udp/{address}/9"));
    let said = String::from_utf8_lossy(&sent.stderr).into_owned();
    assert!(
        sent.status.success() || said.contains("not permitted"),
        "{said}"
    );
    !sent.status.success()
}

/// Returns whether somebody outside gets to a server of the zone on this port. It is given longer where that is meant.
pub fn lets_in(zone: &Protected, address: &str, port: u16, meant: bool) -> bool {
    let port_word = port.to_string();
    let listener = zone
        .lab
        .inside(&["timeout", "60", "busybox", "nc", "-l", "-p", &port_word])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for_listener(&zone.lab.netns(), port);
    let to = SocketAddr::new(address.parse().unwrap(), port);
    let came = connect(&outside(zone), to, patience(meant));
    // It ends by itself if somebody came.
    if !came.is_ok_and(|mut stream| stream.write_all(b"hello\n").is_ok()) {
        let pid = Pid::from_raw(i32::try_from(listener.id()).unwrap());
        kill(pid, Signal::SIGTERM).unwrap();
    }
    listener.wait_with_output().unwrap().stdout == b"hello\n"
}

/// Waits until somebody listens at this TCP port in a network namespace.
pub fn wait_for_listener(netns: &Path, port: u16) {
    within(netns, move || {
        wait_until("somebody listens", || {
            ["tcp", "tcp6"].iter().any(|file| {
                let list = fs::read_to_string(format!("/proc/thread-self/net/{file}"));
                let list = list.unwrap_or_default();
                list.lines().any(|line| is_listener(line, port))
            })
        });
    });
}

/// Returns whether this line of the kernel's list of sockets is about one that listens at this port.
fn is_listener(line: &str, port: u16) -> bool {
    const LISTEN: &str = "0A";
    let words: Vec<&str> = line.split_whitespace().collect();
    matches!(words[..], [_, local, _, LISTEN, ..] if local.ends_with(&format!(":{port:04X}")))
}

/// The lab's rules without the one that refuses port 9.
pub fn allowing() -> String {
    RULES.replace("ports = 9\n", "ports = 19\n")
}

/// Ends the lab's own servers: the judge knows their ports, so connections need these.
pub fn end_servers(zone: &Protected) {
    end_all_of(&zone.lab.cgroup());
    end_all_of(&zone.lab.cgroup().with_file_name("outside"));
}

/// Ends all processes of a control group of the lab's, and waits until they have let go of their ports.
pub fn end_all_of(group: &Path) {
    let processes = || fs::read_to_string(group.join("cgroup.procs")).unwrap();
    for pid in processes().lines() {
        kill(Pid::from_raw(pid.parse().unwrap()), Signal::SIGKILL).unwrap();
    }
    wait_until("they have ended", || processes().is_empty());
}

pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub fn ip(words: &[&str]) {
    assert!(
        Command::new("ip").args(words).status().unwrap().success(),
        "ip {words:?}"
    );
}

/// Adds another pair of devices between the zone and the world outside: addresses `10.78.N.2` in the zone and
/// `10.78.N.1` outside.
pub fn add_pair(zone: &Protected, inside: &str, outside: &str, net: u8) {
    let (zone_ns, other_ns) = (
        name(&zone.lab.netns()),
        name(&zone.lab.netns()).replace('i', "o"),
    );
    ip(&[
        "link", "add", inside, "netns", &zone_ns, "type", "veth", "peer", "name", outside, "netns",
        &other_ns,
    ]);
    for (netns, device, host) in [(&zone_ns, inside, 2), (&other_ns, outside, 1)] {
        let address = format!("10.78.{net}.{host}/24");
        ip(&["-n", netns, "addr", "add", &address, "dev", device]);
        ip(&["-n", netns, "link", "set", device, "up"]);
    }
}

/// A network namespace of the test's own. Dropped, it is gone, and with it whatever is in it.
pub struct Namespace(pub String);

impl Namespace {
    pub fn made(what: &str) -> Self {
        let name = format!("gb{}x{what}", std::process::id());
        ip(&["netns", "add", &name]);
        Self(name)
    }
}

/// A guest behind the zone (`10.82.0.2`, by the zone's `10.82.0.1`),
/// which forwards what comes from there and what goes there.
pub fn guest(zone: &Protected) -> Namespace {
    let netns = name(&zone.lab.netns());
    let guest = Namespace::made("guest");
    let there = guest.0.as_str();
    ip(&[
        "link", "add", "gb6", "netns", &netns, "type", "veth", "peer", "name", "gb5", "netns",
        there,
    ]);
    for (netns, device, address) in [
        (netns.as_str(), "gb6", "10.82.0.1/24"),
        (there, "gb5", "10.82.0.2/24"),
    ] {
        ip(&["-n", netns, "addr", "add", address, "dev", device]);
        ip(&["-n", netns, "link", "set", device, "up"]);
    }
    ip(&["-n", there, "route", "add", "default", "via", "10.82.0.1"]);
    let routed = zone.outside(&format!("ip route add 10.82.0.0/24 via {INSIDE}"));
    assert!(routed.status.success(), "{routed:?}");
    let forwards = zone.inside("echo 1 > /proc/sys/net/ipv4/ip_forward");
    assert!(forwards.status.success(), "{forwards:?}");
    guest
}

/// Returns whether a TCP connection begun in a network namespace is answered, be it by a refusal. It is given longer
/// where that is meant.
pub fn reaches(netns: &str, (address, port): (&str, u16), meant: bool) -> bool {
    let netns = Path::new("/run/netns").join(netns);
    let to = SocketAddr::new(address.parse().unwrap(), port);
    let end = Instant::now() + patience(meant);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let tried = connect(&netns, to, left.max(Duration::from_millis(1)));
        let refused = |failed: &io::Error| failed.kind() == ErrorKind::ConnectionRefused;
        let answered = tried.as_ref().map_or_else(refused, |_| true);
        if answered || !meant || Instant::now() >= end {
            return answered;
        }
        // There may be no route yet.
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Time that a connection may take: of one that is not meant to come about nothing is heard.
fn patience(meant: bool) -> Duration {
    if meant {
        PATIENCE
    } else {
        Duration::from_secs(1)
    }
}

/// Connects from a network namespace. No program is begun for it,
/// which might take a slow machine longer than the connection may.
fn connect(netns: &Path, to: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    within(netns, move || TcpStream::connect_timeout(&to, patience))
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let deleted = Command::new("ip").args(["netns", "del", &self.0]).status();
        drop(deleted);
    }
}

/// The network namespace of the world outside.
pub fn outside(zone: &Protected) -> PathBuf {
    let netns = zone.lab.netns();
    netns.with_file_name(name(&netns).replace('i', "o"))
}

/// Does something in a network namespace: sockets that are made there stay there.
pub fn within<T: Send + 'static>(netns: &Path, does: impl FnOnce() -> T + Send + 'static) -> T {
    let netns = fs::File::open(netns).unwrap();
    // A thread of its own may go elsewhere.
    let thread = std::thread::spawn(move || {
        setns(netns, CloneFlags::CLONE_NEWNET).unwrap();
        does()
    });
    thread.join().unwrap()
}

pub fn name(netns: &Path) -> String {
    netns.file_name().unwrap().to_str().unwrap().to_owned()
}

/// Checks that everything is taken out, and that there is nothing to be taken out a second time.
pub fn nothing_is_left(zone: &Protected) {
    let left = zone.recover();
    assert!(left.is_empty(), "the second time nothing is left: {left:?}");
    assert!(!zone.lab.pins().exists());
    nothing_judges(zone);
    assert!(
        ["s", "c", "state"]
            .iter()
            .all(|file| !zone.lab.folder().join(file).exists())
    );
}

/// Checks that packets pass which the rules refuse. The kernel takes a hook off a moment after its link has lost its
/// last pin.
pub fn nothing_judges(zone: &Protected) {
    wait_until("nothing judges any more", || {
        !refuses(zone) && lets_in(zone, INSIDE, 5353, true)
    });
}

/// Returns the folder in which the service of this release keeps its pins.
pub fn version(zone: &Protected) -> PathBuf {
    zone.lab.pins().join(format!("v{}", firewall_abi::VERSION))
}
