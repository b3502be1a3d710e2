//! Promises of the firewall about what rules may ask for, and about what it reports, on a Linux kernel.
//!
//! Needs what the tests of the firewall need; for the scan `nmap`.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may fail")]

#[path = "decisions/judges.rs"]
mod judges;
#[expect(
    dead_code,
    reason = "the lab of `cargo xtask run`, not all of which is needed here"
)]
#[path = "../../xtask/src/lab.rs"]
mod lab;
#[path = "decisions/somebody.rs"]
mod somebody;
#[path = "decisions/threads.rs"]
mod threads;
#[path = "decisions/wire.rs"]
mod wire;
#[allow(
    dead_code,
    reason = "shared with the tests of the service, each of which needs a part"
)]
mod zone;

use channel::sys::linux::Linux;
use channel::{Attachment, Item, Kind, Mask, Wake};
use firewall_abi::firewall::MAX_FLOWS;
use firewall_abi::kind;
use firewall_abi::packet::{Direction, NO_RULE, NO_USER, Packet, Verdict};
use firewall_abi::process::Process;
use judges::{Dice, Judged};
use lab::{INSIDE, INSIDE_V6, OUTSIDE, OUTSIDE_V6};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use somebody::{Acting, Somebody, patience};
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::fchown;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use wire::{Made, Sender, TCP, UDP, outside, within};
use zerocopy::{FromBytes, Immutable, KnownLayout};
use zone::Protected;
use zone::probe::{add_pair, ip, name};

/// A user whom nobody else is.
const USER: u32 = 4711;

/// Everything out, nothing in, but what IPv6 needs. It is rule 0.
const QUIET: &str = "[default]\ninbound = \"block\"\noutbound = \"allow\"\n\n[[rule]]\nid = \"neighbours\"\n\
                     action = \"allow\"\nprotocol = \"icmpv6\"\nicmp_type = [133, 134, 135, 136, 143]\n";

/// A rule in text.
fn rule(id: &str, action: &str, keys: &str) -> String {
    format!("\n[[rule]]\nid = \"{id}\"\naction = \"{action}\"\n{keys}\n")
}

/// A file of the test's own. Dropped, it is gone.
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

/// What an app is told, kept until it is asked for.
struct Told<T> {
    app: Attachment<Linux>,
    kept: Vec<(Kind, T)>,
}

impl<T: FromBytes + KnownLayout + Immutable> Told<T> {
    fn of(zone: &Protected, mask: Mask) -> Self {
        let device = zone.device();
        Self {
            app: device.attach(1 << 20, mask).unwrap(),
            kept: Vec::new(),
        }
    }

    /// Waits for a record that is as asked for.
    fn wait_for(&mut self, kind: Kind, wanted: impl Fn(&T) -> bool) -> T {
        let end = Instant::now() + Duration::from_secs(10);
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
                    kept.push((record.kind(), record.read().unwrap()));
                }
            })
            .unwrap();
        signalled
    }
}

impl Told<Process> {
    /// How often the end of this process was reported, by now: another one that has ended since was.
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
                && (packet.flow.protocol, packet.flow.destination_port) == (protocol, port)
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

#[test]
fn a_rule_for_a_user_or_a_program_decides_both_ways() {
    let program = Temporary::named("somebody");
    fs::copy(std::env::current_exe().unwrap(), &program.0).unwrap();
    let ask = [
        format!("user = {USER}"),
        format!("program = \"{}\"", program.0.display()),
    ];
    let mut rules = QUIET.to_owned();
    for (who, keys) in ["user", "program"].into_iter().zip(&ask) {
        rules += &rule(
            &format!("no-{who}"),
            "block",
            &format!("direction = \"out\"\n{keys}"),
        );
        rules += &rule(
            &format!("to-{who}"),
            "allow",
            &format!("direction = \"in\"\n{keys}"),
        );
    }
    let zone = Protected::with(&rules);
    let everybody = [
        (Somebody::root(), false),
        (Somebody::user(USER), true),
        (Somebody::program(&program.0), true),
    ];
    for (somebody, meant) in &everybody {
        for what in [
            format!("connect {OUTSIDE}:80"),
            format!("connect [{OUTSIDE_V6}]:80"),
            format!("send {OUTSIDE}:7000"),
            format!("send [{OUTSIDE_V6}]:7000"),
        ] {
            assert_eq!(
                somebody.does(&zone, &what, !meant),
                !meant,
                "{what}, meant by a rule: {meant}"
            );
        }
        for (tcp, address) in [
            (true, INSIDE),
            (false, INSIDE),
            (true, INSIDE_V6),
            (false, INSIDE_V6),
        ] {
            let to = if address.contains(':') {
                format!("[{address}]:7001")
            } else {
                format!("{address}:7001")
            };
            let what = format!("{} {to}", if tcp { "accept" } else { "receive" });
            let listener = somebody.starts(&zone, &what);
            knock(&zone, tcp, &to, *meant);
            assert_eq!(
                listener.gets_it(*meant),
                *meant,
                "{what}, meant by a rule: {meant}"
            );
        }
    }
    // Each rule decided about two connections and two datagrams. A SYN may be sent twice.
    let hits = zone.ask().hits().unwrap().hits;
    assert!(hits[1..].iter().all(|hits| *hits >= 4), "{hits:?}");
}

#[test]
fn a_listener_stays_its_makers_whichever_program_it_is_handed_to() {
    let program = Temporary::named("maker");
    let other = std::env::current_exe().unwrap();
    fs::copy(&other, &program.0).unwrap();
    let keys = format!("direction = \"in\"\nprogram = \"{}\"", program.0.display());
    let zone = Protected::with(&(QUIET.to_owned() + &rule("maker", "allow", &keys)));
    for (made_by, taken_by, meant) in [
        (Somebody::program(&program.0), &other, true),
        // It can't come by what is meant for the other one in handing that its socket.
        (Somebody::root(), &program.0, false),
    ] {
        let to = format!("{INSIDE}:7001");
        let what = format!("hand {to} {}", taken_by.display());
        let listener = made_by.starts(&zone, &what);
        knock(&zone, true, &to, meant);
        assert_eq!(listener.gets_it(meant), meant, "{what}");
    }
}

#[test]
fn a_refused_connection_fails_at_once_and_is_counted_and_told_once() {
    let mut rules = QUIET.to_owned();
    for (id, action, keys) in [
        (
            "no-telnet",
            "block",
            "direction = \"out\"\nprotocol = \"tcp\"\nports = 23",
        ),
        (
            "by-device",
            "allow",
            "direction = \"out\"\nprotocol = \"tcp\"\nports = 24\ninterface = \"gb*\"",
        ),
        (
            "by-tunnel",
            "allow",
            "direction = \"out\"\nprotocol = \"tcp\"\nports = 80\ninterface = \"wg0\"",
        ),
        (
            "no-web",
            "block",
            "direction = \"out\"\nprotocol = \"tcp\"\nports = [24, 80]",
        ),
        (
            "by-source",
            "block",
            "direction = \"out\"\nprotocol = \"tcp\"\nports = 25\nsource = \"10.77.0.0/24\"",
        ),
    ] {
        rules += &rule(id, action, keys);
    }
    let zone = Protected::with(&rules);
    let mut told = Told::of(&zone, Mask::of(kind::PACKET));
    let before = zone.ask().stats().unwrap();
    let refused = [
        format!("{OUTSIDE}:23"),
        format!("[{OUTSIDE_V6}]:23"),
        format!("[::ffff:{OUTSIDE}]:23"),
    ];
    for (number, to) in refused.iter().enumerate() {
        assert!(
            !Somebody::user(USER).does(&zone, &format!("call {to}"), true),
            "{to}"
        );
        let packet = told.refused(TCP, 23);
        assert_eq!((packet.user, packet.decision.rule), (USER, 1), "{to}");
        assert_eq!(text(&packet.name), "somebody::acts", "{to}");
        assert_eq!(
            packet.flow.ip_version,
            if number == 1 { 6 } else { 4 },
            "{to}"
        );
    }
    // What a rule may decide that asks for a device, or from where, is decided when that is known.
    assert!(Somebody::root().does(&zone, &format!("call {OUTSIDE}:24"), true));
    assert!(!Somebody::root().does(&zone, &format!("connect {OUTSIDE}:80"), false));
    assert!(!Somebody::root().does(&zone, &format!("connect {OUTSIDE}:25"), false));
    // It stays on the machine, and passes unseen.
    for to in [
        format!("{INSIDE}:23"),
        format!("[{INSIDE_V6}]:23"),
        "127.0.0.1:23".into(),
        "127.1.2.3:23".into(),
        "[::1]:23".into(),
        "0.0.0.0:23".into(),
    ] {
        assert!(
            Somebody::root().does(&zone, &format!("call {to}"), true),
            "{to}"
        );
    }
    told.hear(Duration::from_millis(300));
    let again = told
        .kept
        .iter()
        .filter(|(_, packet)| packet.flow.destination_port == 23);
    assert_eq!(again.count(), 0, "told once");
    let hits = zone.ask().hits().unwrap().hits;
    assert_eq!(hits[1], 3, "{hits:?}");
    let after = zone.ask().stats().unwrap();
    assert_eq!(after.refused_connects - before.refused_connects, 3);
    // What was refused as a packet is counted as one.
    let packets = after.blocked_out - before.blocked_out;
    assert_eq!(packets, hits[4] + hits[5], "{hits:?}");
    assert!(hits[4] > 0 && hits[5] > 0, "{hits:?}");
}

#[test]
fn a_connection_is_not_refused_at_once_where_its_first_packet_would_pass() {
    let rules = "[default]\ninbound = \"block\"\noutbound = \"block\"\n".to_owned()
        + &rule(
            "not-him",
            "block",
            &format!("direction = \"out\"\nuser = {USER}"),
        )
        + &rule(
            "web",
            "allow",
            &format!(
                "direction = \"out\"\nprotocol = \"tcp\"\ndestination = \"{OUTSIDE}\"\nports = 80"
            ),
        )
        + &rule("neighbours", "allow", "protocol = \"icmpv6\"");
    let zone = Protected::with(&rules);
    let inside = |program: &str, arguments: &str| {
        let program = program.to_owned();
        let arguments: Vec<String> = arguments.split(' ').map(str::to_owned).collect();
        let status = within(&zone.lab.netns(), move || {
            Command::new(program).args(arguments).status()
        });
        assert!(status.unwrap().success());
    };
    let nft = |what: &str| inside("nft", what);
    let calls = |to: &str| Somebody::root().does(&zone, &format!("call {to}"), true);
    let elsewhere = "10.77.0.40:23";
    assert!(!calls(elsewhere), "refused at once");

    // A table that translates what comes in translates nothing here, and one that filters rewrites nothing.
    nft(
        "table ip to { chain in { type nat hook prerouting priority dstnat; tcp dport 23 dnat to 10.77.0.1:80; }; chain sift { type filter hook output priority filter; }; }",
    );
    assert!(!calls(elsewhere), "refused at once");
    nft("delete table ip to");

    nft(
        "table ip to { chain out { type nat hook output priority -100; ip daddr 10.77.0.40 tcp dport 23 dnat to 10.77.0.1:80; ip daddr 10.77.0.1 tcp dport 80 dnat to 10.77.0.40:23; }; }",
    );
    assert!(calls(elsewhere), "translated to where the rules allow");
    assert!(
        !Somebody::root().does(&zone, &format!("connect {OUTSIDE}:80"), false),
        "translated to where they refuse"
    );
    assert!(
        !Somebody::user(USER).does(&zone, &format!("call {elsewhere}"), true),
        "wherever it is translated to"
    );
    nft("delete table ip to");
    assert!(!calls(elsewhere), "refused at once again");

    nft(
        "table ip to { chain out { type route hook output priority mangle; ip daddr 10.77.0.40 tcp dport set 80 ip daddr set 10.77.0.1; }; chain in { type filter hook input priority 100; ip saddr 10.77.0.1 tcp sport set 23 ip saddr set 10.77.0.40; }; }",
    );
    assert!(calls(elsewhere), "rewritten to where the rules allow");
    nft("delete table ip to");

    assert!(!calls("10.99.0.5:23"), "refused at once");
    inside("ip", "route add local 10.99.0.0/24 dev lo");
    assert!(calls("10.99.0.5:23"), "the machine's own by a route");
}

#[test]
fn who_asks_everyone_on_a_network_hears_the_answer() {
    const PORT: u16 = 7137;
    let zone = Protected::with(QUIET);
    let listener = within(&outside(&zone), || {
        UdpSocket::bind(("0.0.0.0", PORT)).unwrap()
    });
    listener.set_read_timeout(Some(patience(true))).unwrap();
    let answers = std::thread::spawn(move || {
        for _ in 0..2 {
            let (_, who) = listener.recv_from(&mut [0; 16]).unwrap();
            listener.send_to(b"here", who).unwrap();
        }
    });
    let asks = |to: &'static str| {
        within(&zone.lab.netns(), move || {
            let socket = UdpSocket::bind((INSIDE, 0)).unwrap();
            socket.set_broadcast(true).unwrap();
            socket.set_read_timeout(Some(patience(true))).unwrap();
            socket.send_to(b"who", (to, PORT)).unwrap();
            socket.recv(&mut [0; 16]).ok()
        })
    };
    assert_eq!(asks("255.255.255.255"), Some(4));
    assert_eq!(asks("10.77.0.255"), Some(4));
    answers.join().unwrap();
}

#[test]
fn a_rule_for_a_device_or_a_set_decides_both_ways_in_both_versions() {
    let list = Temporary::named("list");
    fs::write(
        &list.0,
        "# kept elsewhere\n10.77.0.40\nfd77::40\n10.77.0.48/29\n",
    )
    .unwrap();
    let mut rules = QUIET.replace("inbound = \"block\"", "inbound = \"allow\"");
    rules += &format!(
        "\n[[set]]\nid = \"listed\"\nfile = \"{}\"\n",
        list.0.display()
    );
    rules += "\n[[set]]\nid = \"here\"\naddresses = [\"10.77.0.20-10.77.0.29\", \"fd77::20-fd77::2f\"]\n";
    rules += &rule(
        "to-listed",
        "block",
        "direction = \"out\"\ndestination = \"@listed\"",
    );
    rules += &rule(
        "to-here",
        "block",
        "direction = \"out\"\ndestination = [\"10.77.0.60\", \"@here\"]",
    );
    rules += &rule(
        "from-sets",
        "block",
        "direction = \"in\"\nsource = [\"@here\", \"@listed\"]",
    );
    rules += &rule(
        "by-device",
        "block",
        "interface = \"gb2\"\nprotocol = \"udp\"",
    );
    let zone = Protected::with(&rules);
    add_pair(&zone, "gb2", "gb3", 1);
    let (here, there) = (name(&zone.lab.netns()), name(&outside(&zone)));
    ip(&[
        "-n",
        &here,
        "addr",
        "add",
        "fd78::2/64",
        "dev",
        "gb2",
        "nodad",
    ]);
    ip(&[
        "-n",
        &there,
        "addr",
        "add",
        "fd78::1/64",
        "dev",
        "gb3",
        "nodad",
    ]);

    let sends = |to: &str| Somebody::root().does(&zone, &format!("send {to}"), true);
    let refused = [
        "10.77.0.40:9",
        "10.77.0.48:9",
        "10.77.0.55:9",
        "[fd77::40]:9",
        "10.77.0.20:9",
        "10.77.0.29:9",
        "[fd77::20]:9",
        "[fd77::2f]:9",
        "10.77.0.60:9",
        "10.78.1.1:9",
        "[fd78::1]:9",
    ];
    assert_eq!(
        refused.iter().filter(|to| sends(to)).collect::<Vec<_>>(),
        [&""; 0],
        "allowed"
    );
    let allowed = [
        "10.77.0.41:9",
        "10.77.0.47:9",
        "10.77.0.56:9",
        "[fd77::41]:9",
        "10.77.0.19:9",
        "10.77.0.30:9",
        "[fd77::1f]:9",
        "[fd77::30]:9",
        "10.77.0.61:9",
        "10.77.0.1:9",
    ];
    assert_eq!(
        allowed.iter().filter(|to| !sends(to)).collect::<Vec<_>>(),
        [&""; 0],
        "refused"
    );

    // In, by where it comes from: each datagram says it, so what arrives can be told apart.
    let from = [
        "10.77.0.20",
        "10.77.0.29",
        "10.77.0.30",
        "10.77.0.40",
        "10.77.0.41",
        "10.77.0.55",
        "10.77.0.56",
    ];
    let from_v6 = [
        "fd77::1f", "fd77::20", "fd77::2f", "fd77::30", "fd77::40", "fd77::41",
    ];
    let ends = from
        .map(|from| (from, INSIDE))
        .into_iter()
        .chain(from_v6.map(|from| (from, INSIDE_V6)));
    let ends: Vec<_> = ends
        .chain([("10.78.1.1", "10.78.1.2"), ("fd78::1", "fd78::2")])
        .collect();
    let listener = within(&zone.lab.netns(), || UdpSocket::bind("[::]:7000").unwrap());
    let sender = Sender::open(&outside(&zone));
    for (source, destination) in &ends {
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        sender.send(&Made {
            protocol: UDP,
            source,
            destination,
            source_port: 7000,
            port: 7000,
        });
    }
    listener
        .set_read_timeout(Some(Duration::from_millis(700)))
        .unwrap();
    let mut came = BTreeSet::new();
    while let Ok((_, from)) = listener.recv_from(&mut [0; 16]) {
        came.insert(from.ip().to_canonical().to_string());
    }
    let expected = [
        "10.77.0.30",
        "10.77.0.41",
        "10.77.0.56",
        "fd77::1f",
        "fd77::30",
        "fd77::41",
    ];
    assert_eq!(came, expected.map(str::to_owned).into());
}

#[test]
fn a_process_is_reported_with_what_it_runs_for_whom_and_how_it_ends() {
    let found = Command::new("sh")
        .args(["-c", "command -v busybox"])
        .output()
        .unwrap();
    let busybox = text(&found.stdout).trim_end();
    let zone = Protected::with(QUIET);
    let mut app = Told::<Process>::of(&zone, Mask::of(kind::PROCESS_START).and(kind::PROCESS_EXIT));
    let arguments =
        |process: &Process| process.arguments[..process.arguments_length as usize].to_owned();

    let parent = Somebody::user(USER).starts(&zone, &format!("start {busybox} sleep 60"));
    let began = app.wait_for(kind::PROCESS_START, |it| it.parent == parent.0.id());
    assert_eq!(
        (text(&began.name), text(&began.path), began.user),
        ("busybox", busybox, USER)
    );
    assert_eq!(
        arguments(&began),
        format!("{busybox}\0sleep\x0060\0").into_bytes()
    );
    let file = zone
        .ask()
        .program(began.program[0], began.program[1])
        .unwrap();
    assert_eq!(file.as_deref(), Some(busybox));
    kill(Pid::from_raw(began.pid as i32), Signal::SIGKILL).unwrap();
    let ended = app.wait_for(kind::PROCESS_EXIT, |it| it.pid == began.pid);
    assert_eq!(
        (ended.exit_code, ended.user, text(&ended.name)),
        (9, USER, "busybox")
    );

    let line = format!("{busybox} sh -c 'exit 7'; true");
    let shell = zone.lab.inside(&["bash", "-c", &line]).spawn().unwrap();
    let pid = shell.id();
    assert!(shell.wait_with_output().unwrap().status.success());
    let began = app.wait_for(kind::PROCESS_START, |it| it.parent == pid);
    assert_eq!(
        (text(&began.name), text(&began.path), began.user),
        ("busybox", busybox, 0)
    );
    assert_eq!(
        arguments(&began),
        format!("{busybox}\0sh\0-c\0exit 7\0").into_bytes()
    );
    let ended = app.wait_for(kind::PROCESS_EXIT, |it| it.pid == began.pid);
    assert_eq!((ended.exit_code, ended.parent), (7 << 8, pid));
}

#[test]
fn a_process_ends_with_its_last_thread_and_not_with_its_first() {
    let zone = Protected::with(QUIET);
    let mut app = Told::<Process>::of(&zone, Mask::of(kind::PROCESS_START).and(kind::PROCESS_EXIT));
    let mut somebody = Somebody::user(USER).starts(&zone, "outlive");
    let pid = somebody.0.id();
    assert_eq!(app.ends(&zone, pid), 0, "its first thread has ended");
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
    kill(Pid::from_raw(pid as i32), Signal::SIGTERM).unwrap();
    let status = somebody.0.wait().unwrap();
    assert_eq!(app.ends(&zone, pid), 1, "the others have");
    let ended = app.wait_for(kind::PROCESS_EXIT, |it| it.pid == pid);
    // It goes by the name of the first one, and ends as whoever waits for it is told.
    assert_eq!((text(&ended.name), ended.user), (name.trim_end(), USER));
    assert_eq!(
        (ended.exit_code as i32, ended.parent),
        (status.into_raw(), std::process::id())
    );
}

#[test]
fn a_thread_that_starts_a_program_ends_no_process() {
    let zone = Protected::with(QUIET);
    let mut app = Told::<Process>::of(&zone, Mask::of(kind::PROCESS_START).and(kind::PROCESS_EXIT));
    let somebody = Somebody::user(USER).starts(&zone, "become busybox sleep 60");
    let pid = somebody.0.id();
    app.wait_for(kind::PROCESS_START, |it| {
        it.pid == pid && text(&it.name) == "busybox"
    });
    assert_eq!(app.ends(&zone, pid), 0, "it goes on as the program");
    drop(somebody);
    assert_eq!(app.ends(&zone, pid), 1);
    let ended = app.wait_for(kind::PROCESS_EXIT, |it| it.pid == pid);
    assert_eq!((ended.exit_code, text(&ended.name)), (9, "busybox"));
}

#[test]
fn a_process_whose_threads_end_together_is_reported_once() {
    let zone = Protected::with(QUIET);
    let mut app = Told::<Process>::of(&zone, Mask::of(kind::PROCESS_EXIT));
    for _ in 0..40 {
        let mut somebody = Somebody::root().begins(&zone, "together");
        let pid = somebody.0.id();
        assert_eq!(somebody.0.wait().unwrap().code(), Some(7));
        assert_eq!(app.ends(&zone, pid), 1);
        let ended = app.wait_for(kind::PROCESS_EXIT, |it| it.pid == pid);
        assert_eq!(
            (ended.exit_code, ended.parent),
            (7 << 8, std::process::id())
        );
    }
}

#[test]
fn a_packet_refused_on_its_way_in_names_who_listens_if_rules_ask_for_that() {
    let somebody_else = rule("else", "allow", "direction = \"in\"\nuser = 4799");
    let zone = Protected::with(&(QUIET.to_owned() + &somebody_else));
    let mut app = Told::<Packet>::of(&zone, Mask::of(kind::PACKET));
    let ourselves = std::env::current_exe().unwrap();
    for (tcp, act, address) in [
        (true, "accept", format!("{INSIDE}:7001")),
        (false, "receive", format!("{INSIDE}:7002")),
        (true, "accept", format!("[{INSIDE_V6}]:7003")),
        (false, "receive", format!("[{INSIDE_V6}]:7004")),
    ] {
        let (protocol, port) = (
            if tcp { TCP } else { UDP },
            address.parse::<SocketAddr>().unwrap().port(),
        );
        let listener = Somebody::user(USER).starts(&zone, &format!("{act} {address}"));
        knock(&zone, tcp, &address, false);
        let packet = app.refused(protocol, port);
        assert_eq!(
            (packet.pid, packet.user),
            (listener.0.id(), USER),
            "{address}"
        );
        let program = zone
            .ask()
            .program(packet.program[0], packet.program[1])
            .unwrap();
        assert_eq!(
            program.map(PathBuf::from).as_ref(),
            Some(&ourselves),
            "{address}"
        );
        assert_eq!(packet.flow.direction, Direction::Inbound as u8);
    }
}

#[test]
fn a_packet_that_is_refused_whoever_listens_is_refused_before_and_names_nobody() {
    let zone = Protected::with(QUIET);
    let mut app = Told::<Packet>::of(&zone, Mask::of(kind::PACKET));
    for (tcp, address) in [
        (true, format!("{INSIDE}:7101")),
        (false, format!("[{INSIDE_V6}]:7104")),
    ] {
        let (protocol, port) = (
            if tcp { TCP } else { UDP },
            address.parse::<SocketAddr>().unwrap().port(),
        );
        knock(&zone, tcp, &address, false);
        let packet = app.refused(protocol, port);
        assert_eq!(
            (packet.pid, packet.user, packet.program, packet.name),
            (0, NO_USER, [0; 2], [0; 16]),
            "{address}"
        );
    }
}

#[test]
fn a_socket_older_than_the_driver_is_known_by_who_holds_it() {
    let ourselves = std::env::current_exe().unwrap();
    let theirs =
        format!("direction = \"in\"\nprotocol = \"udp\"\nports = 7002\nprogram = {ourselves:?}");
    let others = rule("others", "allow", "direction = \"in\"\nuser = 4799");
    let rules = QUIET.to_owned() + &rule("theirs", "allow", &theirs) + &others;
    let mut zone = Protected::with(&rules);
    zone.service.stop();
    assert!(!zone.recover().is_empty(), "the driver goes");
    let accepts = Somebody::user(USER).starts(&zone, &format!("accept {INSIDE}:7001"));
    let receives = Somebody::user(USER).starts(&zone, &format!("receive {INSIDE}:7002"));
    assert!(!zone.start_again(), "and comes again as a new one");
    let mut app = Told::<Packet>::of(&zone, Mask::of(kind::PACKET));
    knock(&zone, true, &format!("{INSIDE}:7001"), false);
    let packet = app.refused(TCP, 7001);
    assert_eq!((packet.pid, packet.user), (accepts.0.id(), USER));
    assert_eq!(packet.name, name_of(&accepts), "as the process is called");
    let program = zone
        .ask()
        .program(packet.program[0], packet.program[1])
        .unwrap();
    assert_eq!(program.map(PathBuf::from).as_ref(), Some(&ourselves));
    knock(&zone, false, &format!("{INSIDE}:7002"), true);
    assert!(
        receives.gets_it(true),
        "the rule for the program lets it in"
    );
}

/// The name of a process, as packets have it.
fn name_of(somebody: &Acting) -> [u8; 16] {
    let mut name = fs::read(format!("/proc/{}/comm", somebody.0.id())).unwrap();
    name.pop();
    name.resize(16, 0);
    name.try_into().unwrap()
}

#[test]
fn a_flood_from_outside_makes_nothing_fail_that_the_zone_begins_or_lets_others_begin() {
    const EACH: u16 = 100;
    let rules = QUIET.replace("outbound = \"allow\"", "outbound = \"block\"")
        + &rule(
            "any",
            "allow",
            "direction = \"in\"\nprotocol = [\"tcp\", \"udp\"]\nports = 7000",
        )
        + &rule(
            "web",
            "allow",
            "direction = \"out\"\nprotocol = \"tcp\"\nports = 80",
        );
    let zone = Protected::with(&rules);
    // Nobody reads the datagrams, nobody answers them; the SYNs are answered, to addresses that nobody has.
    let (_reads_nothing, listener) = within(&zone.lab.netns(), || {
        (
            UdpSocket::bind("0.0.0.0:7000").unwrap(),
            TcpListener::bind("0.0.0.0:7000").unwrap(),
        )
    });
    let mut lasting = conversation(&zone, &listener);
    let sender = Sender::open(&outside(&zone));
    let flood = std::thread::spawn(move || {
        let destination = INSIDE.parse().unwrap();
        for source_port in 1..=EACH {
            for last in 3..=250 {
                for protocol in [UDP, TCP] {
                    sender.send(&Made {
                        protocol,
                        source: [10, 77, 0, last].into(),
                        destination,
                        source_port,
                        port: 7000,
                    });
                }
            }
        }
    });
    while !flood.is_finished() {
        others_work(&zone, &listener);
    }
    flood.join().unwrap();
    others_work(&zone, &listener);
    lasting.goes_on();
    // By the rule's own count: what others begin, which is allowed too, comes in between.
    let by_rule = zone.ask().hits().unwrap().hits[1];
    assert!(
        by_rule >= 2 * 248 * u64::from(EACH),
        "what had to make room was allowed all the same: {by_rule}"
    );
    let stats = zone.ask().stats().unwrap();
    assert_eq!(
        (stats.flows_full, stats.blocked_in),
        (0, 0),
        "what is not confirmed makes room: {stats:?}"
    );
}

#[test]
fn one_program_that_writes_everywhere_makes_no_connection_of_others_fail() {
    let served = rule(
        "served",
        "allow",
        "direction = \"in\"\nprotocol = \"tcp\"\nports = 7000",
    );
    let zone = Protected::with(&(QUIET.to_owned() + &served));
    nobodies_have_addresses(&zone);
    // Another user has asked somebody, who takes his time.
    let asks = within(&zone.lab.netns(), || {
        let asks = UdpSocket::bind((INSIDE, 0)).unwrap();
        fchown(&asks, Some(USER), None).unwrap();
        asks
    });
    let answers = within(&outside(&zone), || {
        UdpSocket::bind((OUTSIDE, 7009)).unwrap()
    });
    asks.send_to(b"who?", (OUTSIDE, 7009)).unwrap();
    let (_, asker) = answers.recv_from(&mut [0; 4]).unwrap();
    let listener = within(&zone.lab.netns(), || {
        TcpListener::bind("0.0.0.0:7000").unwrap()
    });
    let mut lasting = conversation(&zone, &listener);
    within(&zone.lab.netns(), || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        for port in 1..=36_000 {
            for nobody in NOBODIES {
                socket.send_to(b"!", (nobody, port)).unwrap();
            }
        }
    });
    others_work(&zone, &listener);
    lasting.goes_on();
    answers.send_to(b"me", asker).unwrap();
    asks.set_read_timeout(Some(patience(true))).unwrap();
    asks.recv(&mut [0; 4]).unwrap();
    let stats = zone.ask().stats().unwrap();
    assert_eq!((stats.flows_full, stats.blocked_in), (0, 0), "{stats:?}");
}

/// None of them is confirmed while it waits for its answer.
#[test]
fn whatever_one_user_asks_at_once_each_hears_its_answer() {
    const MANY: usize = 500;
    let zone = Protected::with(QUIET);
    let answers = within(&outside(&zone), || {
        UdpSocket::bind((OUTSIDE, 7053)).unwrap()
    });
    answers.set_read_timeout(Some(patience(true))).unwrap();
    let asks = within(&zone.lab.netns(), || {
        [(); MANY].map(|()| {
            let socket = UdpSocket::bind((INSIDE, 0)).unwrap();
            socket.connect((OUTSIDE, 7053)).unwrap();
            socket
        })
    });
    let mut askers = Vec::new();
    for socket in &asks {
        socket.send(b"who?").unwrap();
        askers.push(answers.recv_from(&mut [0; 4]).unwrap().1);
    }
    for asker in askers {
        answers.send_to(b"me", asker).unwrap();
    }
    for socket in &asks {
        socket.set_read_timeout(Some(patience(true))).unwrap();
        socket.recv(&mut [0; 4]).unwrap();
    }
    let stats = zone.ask().stats().unwrap();
    assert_eq!((stats.flows_full, stats.blocked_in), (0, 0), "{stats:?}");
    // All of them are remembered, not the last one alone.
    assert!(stats.flows >= MANY as u64, "{stats:?}");
}

/// Somebody outside keeps sending to whom a program of the zone has written to.
struct Sending {
    program: std::process::Child,
    heard: PathBuf,
    from: UdpSocket,
    to: SocketAddr,
}

impl Sending {
    fn to_bash(zone: &Protected, port: u16) -> Self {
        let from = within(&outside(zone), move || {
            UdpSocket::bind((OUTSIDE, port)).unwrap()
        });
        from.set_read_timeout(Some(patience(true))).unwrap();
        let heard = zone.lab.folder().join(format!("heard-{port}"));
        // It takes one byte at a time: a datagram has one, which ends a line.
        let line = format!(
            "exec 3<>/dev/udp/{OUTSIDE}/{port}; echo >&3; while read -r <&3; do echo >>{}; done",
            heard.display()
        );
        let program = zone.lab.inside(&["bash", "-c", &line]).spawn().unwrap();
        let to = from.recv_from(&mut [0; 4]).unwrap().1;
        Self {
            program,
            heard,
            from,
            to,
        }
    }

    /// Whether anything of what is sent now is heard.
    fn is_heard(&self) -> bool {
        let heard = || fs::metadata(&self.heard).map_or(0, |file| file.len());
        let before = heard();
        for _ in 0..20 {
            self.from.send_to(b"\n", self.to).unwrap();
            std::thread::sleep(Duration::from_millis(20));
        }
        heard() > before
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.program.kill().unwrap();
        self.program.wait().unwrap();
    }
}

#[test]
fn new_rules_about_who_talks_hold_for_what_answers_a_connection_that_goes_on() {
    let mut zone = Protected::with(QUIET);
    let put = |zone: &mut Protected, rules: &str| {
        fs::write(&zone.rules, rules).unwrap();
        zone.signal(Signal::SIGHUP);
        zone.hear("reloaded");
    };
    let bash = fs::canonicalize("/bin/bash").unwrap();
    let program = format!("program = \"{}\"", bash.display());
    for (port, action, keys) in [
        (7001, "block", format!("destination = \"{OUTSIDE}\"")),
        (7002, "block", program.clone()),
        (7003, "block", "user = \"root\"".to_owned()),
        (7004, "ask", program),
        (7005, "ask", String::new()),
    ] {
        put(&mut zone, QUIET);
        let sending = Sending::to_bash(&zone, port);
        assert!(sending.is_heard(), "nothing refuses it");
        let keys = format!("direction = \"out\"\nprotocol = \"udp\"\nports = {port}\n{keys}");
        put(
            &mut zone,
            &(QUIET.to_owned() + &rule("other", "allow", "protocol = \"tcp\"")),
        );
        assert!(sending.is_heard(), "other rules allow it too");
        put(&mut zone, &(QUIET.to_owned() + &rule("new", action, &keys)));
        assert!(!sending.is_heard(), "{action}: {keys}");
    }
}

/// Has the zone send to them, without asking for them first: whoever writes would wait for that.
fn nobodies_have_addresses(zone: &Protected) {
    for nobody in NOBODIES {
        let add = format!("ip neigh add {nobody} lladdr 02:00:00:00:00:99 dev gb0 nud permanent");
        assert!(zone.inside(&add).status.success(), "{add}");
    }
}

/// Addresses in the lab that nobody has.
const NOBODIES: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 77, 0, 201), Ipv4Addr::new(10, 77, 0, 202)];

#[test]
fn one_user_has_a_share_of_what_makes_no_room_and_others_have_theirs() {
    const PORTS: u16 = 34_000;
    let zone = Protected::with(QUIET);
    nobodies_have_addresses(&zone);
    let answers = Sender::open(&outside(&zone));
    within(&zone.lab.netns(), move || {
        let socket = UdpSocket::bind((INSIDE, 0)).unwrap();
        let asker = socket.local_addr().unwrap().port();
        let [nobody, _] = NOBODIES;
        for port in 1..=PORTS {
            let _unreachable = socket.send_to(b"?", (nobody, port));
            answers.send(&Made {
                protocol: UDP,
                source: nobody.into(),
                destination: INSIDE.parse().unwrap(),
                source_port: port,
                port: asker,
            });
            let _unreachable = socket.send_to(b"!", (nobody, port));
        }
    });
    let before = zone.ask().stats().unwrap();
    // Half of it: as many as are left for others.
    let share = MAX_FLOWS as u64 / 2;
    assert_eq!(before.flows_full, u64::from(PORTS) - share, "{before:?}");
    assert_eq!(before.blocked_in, 0, "all were answered: {before:?}");
    for _ in 0..10 {
        assert!(Somebody::user(USER).does(&zone, &format!("connect {OUTSIDE}:80"), true));
    }
    let after = zone.ask().stats().unwrap();
    assert_eq!(after.flows_full, before.flows_full, "{after:?}");
}

/// What the zone begins now gets its answers, and what others begin.
fn others_work(zone: &Protected, listener: &TcpListener) {
    for url in [
        format!("http://{OUTSIDE}/"),
        format!("http://[{OUTSIDE_V6}]/"),
    ] {
        let got = zone.inside(&format!("timeout 3 busybox wget -q -O - '{url}'"));
        assert_eq!(text(&got.stdout), "a page of the lab\n", "{url}");
    }
    conversation(zone, listener).goes_on();
}

/// One that somebody outside begins with the zone.
fn conversation(zone: &Protected, listener: &TcpListener) -> Conversation {
    let served = format!("{INSIDE}:{}", listener.local_addr().unwrap().port());
    let begins = within(&outside(zone), move || {
        TcpStream::connect_timeout(&served.parse().unwrap(), patience(true)).unwrap()
    });
    // Of what a flood fills the listener's queue with, nobody is there.
    let me = begins.local_addr().unwrap();
    let serves = loop {
        let (serves, peer) = listener.accept().unwrap();
        if peer == me {
            break serves;
        }
    };
    let mut conversation = Conversation { begins, serves };
    conversation.goes_on();
    conversation
}

/// Both ends of a connection.
struct Conversation {
    begins: TcpStream,
    serves: TcpStream,
}

impl Conversation {
    /// One says something, and the other one answers.
    fn goes_on(&mut self) {
        let Self { begins, serves } = self;
        let mut heard = [0; 4];
        for stream in [&*begins, &*serves] {
            stream.set_read_timeout(Some(patience(true))).unwrap();
        }
        begins.write_all(b"ping").unwrap();
        serves.read_exact(&mut heard).unwrap();
        serves.write_all(b"pong").unwrap();
        begins.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"pong");
    }
}

#[test]
fn an_error_about_an_allowed_conversation_comes_in_and_no_other_does() {
    // No rule lets errors in.
    let zone = Protected::with(QUIET);
    let refusal = |place: String| {
        let answered = within(&zone.lab.netns(), move || {
            let to: SocketAddr = place.parse().unwrap();
            let socket =
                UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).unwrap();
            socket.connect(to).unwrap();
            socket
                .set_read_timeout(Some(Duration::from_secs(5)))
                .unwrap();
            socket.send(b"anybody?").unwrap();
            socket.recv(&mut [0; 16]).unwrap_err().kind()
        });
        assert_eq!(
            answered,
            std::io::ErrorKind::ConnectionRefused,
            "the other kernel says that nobody listens"
        );
    };
    refusal(format!("{OUTSIDE}:7009"));
    refusal(format!("[{OUTSIDE_V6}]:7009"));
    let sender = Sender::open(&outside(&zone));
    let before = zone.ask().stats().unwrap();
    for (source, destination, protocol, kind) in
        [(OUTSIDE, INSIDE, 1, 3), (OUTSIDE_V6, INSIDE_V6, 58, 1)]
    {
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        // It quotes nothing that anybody sent.
        sender.send(&Made {
            protocol,
            source,
            destination,
            source_port: kind,
            port: 0,
        });
    }
    zone.lab.quiet().unwrap();
    let after = zone.ask().stats().unwrap();
    assert_eq!(after.blocked_in, before.blocked_in + 2, "{after:?}");
}

#[test]
fn nftables_judges_the_same_packets_by_the_same_rules_alike() {
    const RULES: usize = 40;
    const PACKETS: u16 = 600;
    let mut dice = Dice(20_260);
    let (rules, packets) = (
        judges::rules(&mut dice, RULES),
        judges::packets(&mut dice, PACKETS),
    );
    let zone = Protected::with(&judges::toml(&rules));
    judges::lead(&zone);
    for inside in [true, false] {
        let judge = ["nft", "-f", "-"];
        let mut command = if inside {
            zone.lab.inside(&judge)
        } else {
            zone.lab.outside(&judge)
        };
        let mut nft = command.stdin(Stdio::piped()).spawn().unwrap();
        nft.stdin
            .take()
            .unwrap()
            .write_all(judges::nft(&rules, inside).as_bytes())
            .unwrap();
        assert!(nft.wait().unwrap().success());
    }
    let before = zone.ask().stats().unwrap();
    let (here, there) = (
        Sender::open(&zone.lab.netns()),
        Sender::open(&outside(&zone)),
    );
    for (out, packet) in &packets {
        if *out { &here } else { &there }.send(packet);
    }
    zone.lab.quiet().unwrap();
    let [inside, outside] = [true, false].map(|inside| Judged::read(&zone, inside, RULES));
    let hits = zone.ask().hits().unwrap().hits;
    for (number, rule) in rules.iter().enumerate() {
        let nft = inside.rules[number] + outside.rules[number];
        assert_eq!(
            hits[number + 1],
            nft,
            "r{number}: the driver's count, nftables': {rule:?}"
        );
    }
    // No rule decided: neither does the driver count it with one.
    let by_rules: u64 = hits[1..].iter().sum();
    assert_eq!(
        by_rules + inside.default + outside.default,
        u64::from(PACKETS),
        "each packet was judged once"
    );
    // What came through is what nftables would have let through.
    assert_eq!(inside.came, outside.allowed(&rules, false), "in");
    assert_eq!(outside.came, inside.allowed(&rules, true), "out");
    let after = zone.ask().stats().unwrap();
    assert!(
        after.blocked_in > before.blocked_in && after.blocked_out > before.blocked_out,
        "{after:?}"
    );
    // Rules that nothing reaches prove nothing.
    assert!(
        hits[1..].iter().filter(|hits| **hits > 0).count() > RULES / 2,
        "{hits:?}"
    );
}

#[test]
fn a_scan_from_outside_finds_what_is_allowed_and_each_other_probe_is_reported() {
    if !Command::new("nmap")
        .arg("-V")
        .output()
        .is_ok_and(|found| found.status.success())
    {
        println!("skipped: nmap is not here");
        return;
    }
    let zone = Protected::start();
    let mut app = Told::<Packet>::of(&zone, Mask::of(kind::PACKET));
    let line = format!(
        "nmap -n -Pn -sS -sU -p T:22,80,8080,U:9,53 --max-retries 0 --host-timeout 8s -oG - {INSIDE}"
    );
    let said = zone.outside(&line);
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    for port in [
        "22/filtered/tcp",
        "80/filtered/tcp",
        "8080/open/tcp",
        "9/open|filtered/udp",
        "53/open|filtered/udp",
    ] {
        assert!(said.contains(port), "{port}: {said}");
    }
    while app.hear(Duration::from_millis(300)) {}
    let mut probes = BTreeSet::new();
    for (_, Packet { flow, decision, .. }) in app.kept {
        assert_eq!(
            (decision.rule, decision.verdict),
            (NO_RULE, Verdict::Block as u8),
            "{flow:?}"
        );
        probes.insert((flow.protocol, flow.destination_port));
    }
    assert_eq!(
        probes,
        [(TCP, 22), (TCP, 80), (UDP, 9), (UDP, 53)].into(),
        "refused probes, each reported"
    );
}
