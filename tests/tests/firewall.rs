//! Promises of the firewall on a Linux kernel: this machine's, and Debian's, emulated.
//!
//! Needs root, `nft`, `ip`, `nsenter`, `bash` and `busybox`. `GATEBELL_DRIVERS` is the folder with
//! `gatebell_firewall.bpf.o`; else `target/drivers` of the clone.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod zone;

use channel::sys::linux::Linux;
use channel::{Attachment, Item};
use firewall_abi::packet::{Direction, NO_RULE, Packet, Verdict};
use gatebell_tests::PATIENCE;
use lab::{Counted, INSIDE, INSIDE_V6, OUTSIDE, OUTSIDE_V6};
use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use zone::Protected;
use zone::probe::{self, Namespace, end_all_of, ip, outside, reaches, wait_for_listener, within};

/// The places of examples/lab.toml's rules in the file.
const PING: u32 = 1;
const NO_TELNET: u32 = 4;
const NO_DISCARD: u32 = 5;

/// Waits for a packet's record that is as asked for.
fn packet(app: &mut Attachment<Linux>, wanted: impl Fn(&Packet) -> bool) -> Packet {
    let end = Instant::now() + PATIENCE;
    let mut found = None;
    while found.is_none() {
        assert!(Instant::now() < end, "no such record came");
        app.wait(Some(Duration::from_millis(200))).unwrap();
        app.drain(|item| {
            if let Item::Record(record) = item {
                let packet = record.read::<Packet>().unwrap();
                if found.is_none() && wanted(packet) {
                    found = Some(*packet);
                }
            }
        })
        .unwrap();
    }
    found.unwrap()
}

fn blocked_by(packet: &Packet, rule: u32) -> bool {
    packet.decision.verdict == Verdict::Block as u8 && packet.decision.rule == rule
}

fn name(packet: &Packet) -> &str {
    std::str::from_utf8(&packet.name)
        .unwrap()
        .trim_end_matches('\0')
}

fn ends(mut program: Child) {
    program.kill().unwrap();
    program.wait().unwrap();
}

#[test]
fn a_refused_packet_names_its_rule_its_process_and_its_user_and_the_program_is_told() {
    let zone = Protected::start();
    let mut app = zone.attach(1 << 20);
    for address in [OUTSIDE, OUTSIDE_V6] {
        let told = zone.inside(&format!("echo hello > /dev/udp/{address}/9"));
        let said = String::from_utf8_lossy(&told.stderr).into_owned();
        assert!(said.contains("Operation not permitted"), "{said}");
        let record = packet(&mut app, |packet| blocked_by(packet, NO_DISCARD));
        assert_eq!(
            (name(&record), record.user, record.decision.generation),
            ("bash", 0, 1)
        );
        assert!(record.pid > 1);
    }
    zone.inside(&format!("timeout 20 busybox nc {OUTSIDE} 23"));
    let record = packet(&mut app, |packet| blocked_by(packet, NO_TELNET));
    assert_eq!(
        (name(&record), record.headers.destination_port),
        ("busybox", 23)
    );
    // It hears nothing.
    let knocks = zone.lab.outside(&["busybox", "nc", INSIDE, "2222"]).spawn();
    let record = packet(&mut app, |packet| blocked_by(packet, NO_RULE));
    ends(knocks.unwrap());
    assert_eq!(
        (record.headers.direction, record.headers.destination_port),
        (Direction::Inbound as u8, 2222)
    );
}

#[test]
fn whoever_is_told_of_a_packet_is_told_the_same_moment() {
    let zone = Protected::start();
    let mut apps = [zone.attach(1 << 16), zone.attach(1 << 16)];
    let before_ns = boot_ns();
    zone.inside(&format!("echo hello > /dev/udp/{OUTSIDE}/9"));
    let after_ns = boot_ns();
    let [one, other] = apps.each_mut().map(|app| {
        let record = packet(app, |packet| blocked_by(packet, NO_DISCARD));
        record.header.stamp_ns
    });
    assert_eq!(one, other);
    assert!((before_ns..=after_ns).contains(&one), "{one}");
}

/// Returns the time now, in nanoseconds of the clock of records.
fn boot_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).unwrap();
    now.tv_sec().cast_unsigned() * 1_000_000_000 + now.tv_nsec().cast_unsigned()
}

#[test]
fn what_is_allowed_gets_its_replies_and_both_judges_count_the_same() {
    let mut zone = Protected::start();
    let before = zone.agreed();
    for (inside, url) in [
        (true, format!("http://{OUTSIDE}/")),
        (true, format!("http://[{OUTSIDE_V6}]/")),
        (false, format!("http://{INSIDE}:8080/")),
        (false, format!("http://[{INSIDE_V6}]:8080/")),
    ] {
        let line = format!("timeout 60 busybox wget -q -O - '{url}'");
        let got = if inside {
            zone.inside(&line)
        } else {
            zone.outside(&line)
        };
        assert_eq!(
            String::from_utf8_lossy(&got.stdout),
            "a page of the lab\n",
            "{url}"
        );
    }
    // Each end asks the other: two connections, one answer each.
    for (inside, address) in [
        (false, INSIDE),
        (true, OUTSIDE),
        (false, INSIDE_V6),
        (true, OUTSIDE_V6),
    ] {
        let line = format!("busybox ping -c 1 -W 30 {address}");
        let asked = if inside {
            zone.inside(&line)
        } else {
            zone.outside(&line)
        };
        assert!(asked.status.success(), "{line}");
    }
    zone.inside(&format!("echo hello > /dev/udp/{OUTSIDE}/9"));
    zone.outside(&format!("echo hello > /dev/udp/{INSIDE}/5353"));
    let after = zone.agreed();
    let counted = |before: Counted, after: Counted| {
        (
            after.blocked - before.blocked,
            after.allowed - before.allowed,
        )
    };
    let (driver, nft) = (counted(before.0, after.0), counted(before.1, after.1));
    assert_eq!(driver, nft, "blocked and allowed: the driver's, nftables'");
    assert!(driver.0 >= 2 && driver.1 >= 40, "{driver:?}");
}

#[test]
fn what_has_no_socket_is_judged_once_as_it_leaves() {
    let mut zone = Protected::start();
    // Nobody listens there any more: the kernel itself answers, with a RST.
    end_all_of(&zone.lab.cgroup());
    let mut app = zone.attach(1 << 20);
    let before = zone.agreed();
    let refused = zone.outside(&format!("echo hello > /dev/tcp/{INSIDE}/8080"));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    zone.outside(&format!("busybox ping -c 1 -W 30 {INSIDE}"));
    packet(&mut app, |packet| {
        packet.decision.rule == PING && packet.decision.verdict == Verdict::Allow as u8
    });
    let after = zone.agreed();
    let (driver, nft) = (
        after.0.allowed - before.0.allowed,
        after.1.allowed - before.1.allowed,
    );
    assert_eq!(driver, nft, "{said}");
    assert!(driver >= 4, "{driver}");
}

#[test]
fn a_full_ring_or_no_app_changes_no_verdict() {
    let mut zone = Protected::start();
    let send = |zone: &Protected| {
        zone.inside(&format!(
            "for n in {{1..60}}; do echo > /dev/udp/{OUTSIDE}/9; done 2>&1 | grep -c permitted"
        ))
        .stdout
    };
    assert_eq!(send(&zone), b"60\n", "with no app");
    let stopped = zone.attach(4096);
    assert_eq!(send(&zone), b"60\n", "with an app that does not read");
    let (driver, _) = zone.agreed();
    assert_eq!(driver.blocked, 120);
    let account = stopped.account().unwrap();
    assert!(
        account.balances() && account.kernel.offered == 60,
        "{account:?}"
    );
    assert!(account.kernel.lost_in_all() > 0, "{account:?}");
}

/// Rules of nftables for what the machine publishes: another's port 80, as its own port 8081 in both versions, and
/// behind an address that it only routes.
const PUBLISHES: [&str; 3] = [
    "table inet published { chain first { type nat hook prerouting priority dstnat; meta l4proto tcp th dport 8081 fib daddr type local meta nfproto ipv4 dnat ip to 10.78.1.1:80; }; }",
    "add rule inet published first meta nfproto ipv6 tcp dport 8081 dnat ip6 to [fd78::1]:80; add rule inet published first ip daddr 10.99.0.9 tcp dport 8081 dnat ip to 10.78.1.1:80",
    "add chain inet published last { type nat hook postrouting priority srcnat; }; add rule inet published last oifname gb2 masquerade",
];

/// A lab whose zone forwards, with another network behind it, in which the outside world has the containers' part.
fn publishing(rules: &str) -> Protected {
    let zone = Protected::with(rules);
    probe::add_pair(&zone, "gb2", "gb3", 1);
    let does = |output: std::process::Output| {
        assert!(output.status.success(), "{output:?}");
    };
    does(zone.inside(
        "ip addr add fd78::2/64 dev gb2 nodad && echo 1 | tee /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding",
    ));
    does(zone.outside(&format!(
        "ip addr add fd78::1/64 dev gb3 nodad && ip route add 10.99.0.0/24 via {INSIDE}"
    )));
    for rules in PUBLISHES {
        does(zone.inside(&format!("nft '{rules}'")));
    }
    zone
}

/// A rule of what comes in.
fn incoming(action: &str, keys: &str) -> String {
    format!(
        "[[rule]]\nid = \"{action}-in\"\naction = \"{action}\"\ndirection = \"in\"\nprotocol = \"tcp\"\n{keys}\n"
    )
}

#[test]
fn a_published_port_is_closed_until_a_rule_opens_the_machines_own() {
    const BLOCK: &str =
        "[default]\ninbound = \"block\"\noutbound = \"allow\"\nforward = \"block\"\n";
    const PASS: &str =
        "[default]\ninbound = \"block\"\noutbound = \"allow\"\nforward = \"allow\"\n";
    let neighbours = "[[rule]]\nid = \"neighbours\"\naction = \"allow\"\nprotocol = \"icmpv6\"\n";
    let forwarded = |action: &str| {
        format!(
            "[[rule]]\nid = \"{action}-through\"\naction = \"{action}\"\ndirection = \"forward\"\n"
        )
    };
    let zone = publishing(&format!("{BLOCK}{neighbours}"));
    let reached = |address: &str, meant: bool| {
        if !meant {
            let to: SocketAddr = format!("{address}:8081").parse().unwrap();
            return within(&outside(&zone), move || {
                TcpStream::connect_timeout(&to, Duration::from_millis(700)).is_ok()
            });
        }
        let got = zone.outside(&format!(
            "timeout 60 busybox wget -q -O - 'http://{address}:8081/'"
        ));
        got.stdout == b"a page of the lab\n"
    };
    let v6 = format!("[{INSIDE_V6}]");
    let mut app = zone.attach(1 << 20);
    for (default, rules, expected) in [
        (BLOCK, String::new(), [false; 3]),
        (PASS, String::new(), [true; 3]),
        (BLOCK, incoming("allow", "ports = 80"), [false; 3]),
        (
            BLOCK,
            incoming("allow", "ports = 8081\nlog = true"),
            [true, true, false],
        ),
        (
            BLOCK,
            incoming(
                "allow",
                &format!("ports = 8081\ndestination = \"{INSIDE}\""),
            ),
            [true, false, false],
        ),
        (
            BLOCK,
            incoming("allow", "ports = 8081\ndestination = \"10.78.1.1\""),
            [false; 3],
        ),
        (
            BLOCK,
            incoming("allow", "ports = 8081\ninterface = \"gb0\""),
            [true, true, false],
        ),
        (
            BLOCK,
            incoming("allow", "ports = 8081\ninterface = \"gb2\""),
            [false; 3],
        ),
        // Nobody of this machine's is at its end, and nobody can be asked.
        (
            BLOCK,
            incoming(
                "allow",
                "ports = 8081\nprogram = [\"kernel\", \"unknown\", \"/bin/busybox\"]",
            ),
            [false; 3],
        ),
        (BLOCK, incoming("ask", "ports = 8081"), [false; 3]),
        // Rules for what is forwarded come first, its default last.
        (
            BLOCK,
            incoming("allow", "ports = 8081") + &forwarded("block"),
            [false; 3],
        ),
        (
            BLOCK,
            incoming("block", "ports = 8081") + &forwarded("allow"),
            [true; 3],
        ),
        (
            PASS,
            incoming("block", "ports = 8081"),
            [false, false, true],
        ),
    ] {
        let text = format!("{default}{neighbours}{rules}");
        zone.ask().apply("new.toml", &text, None).unwrap();
        let before = zone.ask().stats().unwrap();
        let found = [0, 1, 2].map(|n| reached([INSIDE, &v6, "10.99.0.9"][n], expected[n]));
        assert_eq!(found, expected, "{text}");
        let after = zone.ask().stats().unwrap();
        let passed = after.allowed_forward > before.allowed_forward;
        assert_eq!(passed, expected.contains(&true), "{text}");
        let dropped = after.blocked_forward > before.blocked_forward;
        assert_eq!(dropped, expected.contains(&false), "{text}");
        if rules.contains("log") {
            let hits = zone.ask().hits().unwrap().hits;
            assert_eq!(hits[1], 2, "a connection of each version");
            // It is told as what it is by then: forwarded, to where it goes.
            let told = packet(&mut app, |packet| packet.decision.rule == 1);
            assert_eq!(told.headers.direction, Direction::Forward as u8);
            assert_eq!(told.headers.destination_port, 80);
            assert!(told.interface != 0 && told.out_interface != 0);
        }
    }
}

#[test]
fn a_connection_to_a_published_port_outlasts_new_rules_that_still_allow_it_and_no_others() {
    let rules = |port: u16| {
        "[default]\ninbound = \"block\"\noutbound = \"allow\"\nforward = \"block\"\n".to_owned()
            + &incoming("allow", &format!("ports = {port}"))
    };
    let zone = publishing(&rules(8081));
    let listens = |words: &[&str]| {
        zone.lab
            .outside(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    assert!(zone.inside("nft 'insert rule inet published first ip daddr 10.77.0.2 tcp dport 8081 dnat ip to 10.78.1.1:8082'").status.success());
    for (port, expected) in [(8081, "soon\nlate\n"), (8083, "soon\n")] {
        zone.ask().apply("old.toml", &rules(8081), None).unwrap();
        let mut server = listens(&["busybox", "nc", "-l", "-p", "8082"]);
        let mut says = server.stdin.take().unwrap();
        wait_for_listener(&outside(&zone), 8082);
        let mut client = listens(&["timeout", "60", "busybox", "nc", INSIDE, "8081"]);
        writeln!(says, "soon").unwrap();
        let mut heard = [0; 5];
        client
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut heard)
            .unwrap();
        // What comes first under the new rules goes the other way than the connection began.
        zone.ask().apply("new.toml", &rules(port), None).unwrap();
        writeln!(says, "late").unwrap();
        let hears = client.stdout.as_mut().unwrap();
        let mut all = heard.to_vec();
        if expected.ends_with("late\n") {
            hears.read_exact(&mut heard).unwrap();
            all.extend(heard);
        } else {
            // It is sent again meanwhile.
            std::thread::sleep(Duration::from_secs(2));
        }
        // What it runs ends with it.
        let pid = Pid::from_raw(i32::try_from(client.id()).unwrap());
        kill(pid, Signal::SIGTERM).unwrap();
        client
            .stdout
            .as_mut()
            .unwrap()
            .read_to_end(&mut all)
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&all), expected);
        for process in [client, server] {
            ends(process);
        }
    }
}

#[test]
fn what_begins_with_guests_alone_passes_whatever_their_bridge_is_called_and_whatever_its_ports_become()
 {
    const RULES: &str = "[default]\ninbound = \"block\"\noutbound = \"allow\"\n\
        [[rule]]\nid = \"asks\"\naction = \"allow\"\ndirection = \"in\"\nprotocol = \"tcp\"\ninterface = \"@guests\"\n\
        [[rule]]\nid = \"through\"\naction = \"allow\"\ndirection = \"forward\"\n";
    let older = Namespace::made("older");
    let zone = Protected::with(&format!("{RULES}interface = \"@guests\"\n"));
    let guest = Namespace::made("guest");
    let netns = probe::name(&zone.lab.netns());
    let outside = netns.replace('i', "o");
    let does = |line: &str| ip(&line.split(' ').collect::<Vec<_>>());
    let inside = |line: &str| does(&format!("-n {netns} {line}"));
    // It is called as bridges are that a network card is a port of.
    inside("link add br0 type bridge");
    inside("addr add 10.79.0.1/24 dev br0");
    inside("link set br0 up");
    does(&format!(
        "link add gb6 netns {netns} type veth peer name gb7 netns {}",
        guest.0
    ));
    inside("link set gb6 master br0");
    inside("link set gb6 up");
    for line in [
        "addr add 10.79.0.2/24 dev gb7",
        "link set gb7 up",
        "route add default via 10.79.0.1",
    ] {
        does(&format!("-n {} {line}", guest.0));
    }
    does(&format!("-n {outside} route add 10.79.0.0/24 via {INSIDE}"));
    let forwards = zone.inside("echo 1 > /proc/sys/net/ipv4/ip_forward");
    assert!(forwards.status.success(), "{forwards:?}");
    let passes = |meant: bool, what: &str| {
        for to in [("10.79.0.1", 8080), (OUTSIDE, 80)] {
            assert_eq!(reaches(&guest.0, to, meant), meant, "{to:?}: {what}");
        }
    };
    passes(true, "a guest");
    for to in [(INSIDE, 8080), ("10.79.0.2", 80)] {
        assert!(!reaches(&outside, to, false), "{to:?} from outside");
    }
    // Another end in the zone itself, and one in a namespace of which the zone may be a guest.
    for peer in [&netns, &older.0] {
        inside(&format!(
            "link add gb8 type veth peer name gb9 netns {peer}"
        ));
        inside("link set gb8 master br0");
        passes(false, &format!("a guest, and what is none: {peer}"));
        inside("link del gb8");
        passes(true, "a guest again");
    }
    let dummy = zone.inside("ip link add gb8 type dummy");
    if dummy.status.success() {
        inside("link set gb8 master br0");
        passes(false, "a guest, and a device of another kind");
        inside("link del gb8");
    }
    // The same of where something goes out by.
    let by = format!("{RULES}out_interface = \"@guests\"\n");
    zone.ask().apply("new.toml", &by, None).unwrap();
    assert!(reaches(&outside, ("10.79.0.2", 80), true) && !reaches(&guest.0, (OUTSIDE, 80), false));
}

/// The kernel's numbers of the programs that a process holds.
fn programs_of(process: u32) -> BTreeSet<u32> {
    let descriptors = fs::read_dir(format!("/proc/{process}/fdinfo")).unwrap();
    // It may be closed meanwhile.
    let said = descriptors.filter_map(|it| fs::read_to_string(it.ok()?.path()).ok());
    said.filter_map(|said| {
        let number = said
            .lines()
            .find_map(|line| line.strip_prefix("prog_id:"))?;
        Some(number.trim().parse().unwrap())
    })
    .collect()
}

/// Names of the largest programs.
const LARGEST: [&str; 6] = [
    "zone_local_in",
    "zone_forward",
    "zone_local_out",
    "zone_socket",
    "connects4",
    "connects6",
];

/// Checks what a test leaves that is killed: it is this process's number that keeps a lab.
#[test]
fn what_a_process_has_left_of_its_lab_is_taken_away_once_it_is_gone_and_nobody_elses() {
    let lives = Protected::start();
    let mut ended = Command::new("true").spawn().unwrap();
    ended.wait().unwrap();
    let groups = lives.lab.cgroup().parent().unwrap().to_owned();
    let left = format!("gb{}x0", ended.id());
    let folder = std::env::temp_dir().join(format!("gatebell-{left}"));
    let bpffs = folder.join("bpf");
    let group = groups.with_file_name(&left);
    let netns = format!("{left}i");
    ip(&["netns", "add", &netns]);
    fs::create_dir_all(&bpffs).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "bpf", "bpf"])
        .arg(&bpffs)
        .status();
    assert!(mounted.unwrap().success());
    fs::create_dir_all(group.join("zone")).unwrap();
    let mut runs = Command::new("sleep").arg("600").spawn().unwrap();
    fs::write(group.join("zone/cgroup.procs"), runs.id().to_string()).unwrap();

    lab::sweep();
    assert_eq!(runs.wait().unwrap().signal(), Some(libc::SIGKILL));
    for gone in [&folder, &group, &Path::new("/run/netns").join(&netns)] {
        assert!(!gone.exists(), "{}", gone.display());
    }
    assert!(lives.lab.netns().exists() && lives.lab.folder().exists() && groups.exists());
    lives.ask().stats().unwrap();
}

#[test]
fn no_program_of_the_driver_takes_a_third_of_what_the_verifier_allows() {
    const ALLOWED: u32 = 1_000_000;
    let zone = Protected::start();
    let ours = programs_of(zone.service.process.id());
    let mut sizes: Vec<(String, u32)> = aya::programs::loaded_programs()
        .filter_map(Result::ok)
        .filter(|program| ours.contains(&program.id()))
        .map(|program| {
            let name = program.name_as_str().unwrap().to_owned();
            (name, program.verified_instruction_count().unwrap())
        })
        .collect();
    sizes.sort_unstable_by_key(|(_, instructions)| *instructions);
    println!("instructions verified: {sizes:?}");
    for name in LARGEST {
        assert!(sizes.iter().any(|(other, _)| other == name), "no {name}");
    }
    let (name, most) = sizes.last().unwrap();
    assert!(
        *most < ALLOWED / 3,
        "{name} takes {most} of {ALLOWED} instructions"
    );
}
