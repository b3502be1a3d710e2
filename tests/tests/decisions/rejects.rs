//! Tests of rejected packets: each goes nowhere, and its sender is told.

use super::*;
use control::RejectStats;
use nix::sys::socket::{setsockopt, sockopt::BindToDevice};
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::Path;

/// Rules by which nothing passes of itself, in any direction.
const SHUT: &str = "[default]\ninbound = \"block\"\noutbound = \"block\"\n\n[[rule]]\nid = \"neighbours\"\n\
                    action = \"allow\"\nprotocol = \"icmpv6\"\nicmp_type = [133, 134, 135, 136, 143]\n";

/// Time to wait for an answer to the sender, and for none where none is meant.
const fn told_within(meant: bool) -> Duration {
    if meant {
        PATIENCE
    } else {
        Duration::from_secs(1)
    }
}

/// Returns the error of a connection from this namespace: `TimedOut` if it is told nothing.
fn connecting(netns: &Path, to: &str, told: bool) -> ErrorKind {
    let to: SocketAddr = to.parse().unwrap();
    within(netns, move || {
        TcpStream::connect_timeout(&to, told_within(told))
            .unwrap_err()
            .kind()
    })
}

/// Returns the error of a socket that has sent a datagram there: `WouldBlock` if it is told nothing.
fn sending(netns: &Path, to: &str, told: bool) -> ErrorKind {
    let to: SocketAddr = to.parse().unwrap();
    within(netns, move || {
        let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).unwrap();
        socket.set_broadcast(true).unwrap();
        socket.set_read_timeout(Some(told_within(told))).unwrap();
        socket.connect(to).unwrap();
        // What is refused on its way out says so here already.
        let _refused = socket.send(b"hello");
        socket.recv(&mut [0; 16]).unwrap_err().kind()
    })
}

fn rejected(zone: &Protected) -> RejectStats {
    zone.ask().stats().unwrap().rejected
}

/// Returns the counts once each of this many rejected packets has its result.
fn settled(zone: &Protected, packets: u64) -> RejectStats {
    let done =
        |stats: &RejectStats| stats.lost + stats.answered + stats.limited + stats.failed >= packets;
    let end = Instant::now() + PATIENCE;
    let mut stats = rejected(zone);
    while !done(&stats) && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(50));
        stats = rejected(zone);
    }
    stats
}

/// Checks that each of these packets was answered. A SYN comes once more where the machine is too slow to answer the
/// first in a second.
fn each_was_answered(stats: &RejectStats, packets: u64) {
    let unanswered = stats.lost + stats.limited + stats.failed;
    assert!(stats.answered >= packets && unanswered == 0, "{stats:?}");
}

#[test]
fn whoever_is_rejected_from_outside_is_told_at_once_also_where_nothing_may_go_out() {
    let rules = SHUT.to_owned()
        + &rule(
            "no",
            "reject",
            "direction = \"in\"\nprotocol = [\"tcp\", \"udp\"]\nports = 7000",
        )
        + &rule(
            "no-group",
            "reject",
            "destination = [\"224.0.0.0/4\", \"ff00::/8\", \"10.77.0.255\", \"255.255.255.255\"]",
        );
    let zone = Protected::with(&rules);
    let mut told = Told::of(&zone, Mask::of(kind::PACKET));
    let outside = outside(&zone);
    for host in [INSIDE.to_owned(), format!("[{INSIDE_V6}]")] {
        let to = format!("{host}:7000");
        assert_eq!(
            connecting(&outside, &to, true),
            ErrorKind::ConnectionRefused,
            "{to}"
        );
        assert_eq!(
            sending(&outside, &to, true),
            ErrorKind::ConnectionRefused,
            "{to}"
        );
        // A block says nothing.
        let to = format!("{host}:7001");
        assert_eq!(
            connecting(&outside, &to, false),
            ErrorKind::TimedOut,
            "{to}"
        );
        assert_eq!(sending(&outside, &to, false), ErrorKind::WouldBlock, "{to}");
    }
    let packet = told.wait_for(kind::PACKET, |packet: &Packet| {
        packet.decision.verdict == Verdict::Reject as u8
    });
    assert_eq!(packet.decision.rule, 1);
    let program = zone.outside(&format!("busybox nc -w 60 {INSIDE} 7000"));
    let said = String::from_utf8_lossy(&program.stderr).into_owned();
    assert!(said.contains("Connection refused"), "{said}");
    each_was_answered(&settled(&zone, 5), 5);
    let before = rejected(&zone);
    // What goes to many is dropped alone.
    for to in [
        "224.0.0.251:7000",
        "10.77.0.255:7000",
        "255.255.255.255:7000",
        "[ff02::1%gb1]:7000",
    ] {
        assert_eq!(told_of_a_group(&outside, to), None, "{to}");
    }
    zone.lab.quiet().unwrap();
    let after = rejected(&zone);
    assert!(after.handed >= before.handed + 3, "{before:?} {after:?}");
    assert_eq!(after.answered, before.answered, "{after:?}");
    // What other sockets send is no answer, whatever it looks like.
    let before = zone.ask().stats().unwrap();
    let sender = Sender::open(&zone.lab.netns());
    for (source, destination, protocol, kind) in
        [(INSIDE, OUTSIDE, 1, 3), (INSIDE_V6, OUTSIDE_V6, 58, 1)]
    {
        sender.send(&Made {
            protocol,
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            source_port: kind,
            port: 3,
        });
    }
    zone.lab.quiet().unwrap();
    let after = zone.ask().stats().unwrap();
    assert_eq!(after.blocked_out, before.blocked_out + 2);
}

/// Returns the error of a socket that sent a datagram to a group; the socket must not be connected, or it would be told
/// nothing.
fn told_of_a_group(netns: &Path, to: &str) -> Option<ErrorKind> {
    let (address, device) = match to.split_once('%') {
        Some((address, rest)) => {
            let device = rest.split(']').next().unwrap_or_default().to_owned();
            (format!("{address}]:7000"), Some(device))
        }
        None => (to.to_owned(), None),
    };
    within(netns, move || {
        let mut to: SocketAddr = address.parse().unwrap();
        if let (SocketAddr::V6(to), Some(device)) = (&mut to, device) {
            to.set_scope_id(nix::net::if_::if_nametoindex(&*device).unwrap());
        }
        let any = if to.is_ipv4() {
            format!("{OUTSIDE}:0")
        } else {
            "[::]:0".to_owned()
        };
        let socket = UdpSocket::bind(any).unwrap();
        socket.set_broadcast(true).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        socket.send_to(b"all", to).unwrap();
        let heard = socket.recv(&mut [0; 16]).unwrap_err().kind();
        (heard != ErrorKind::WouldBlock).then_some(heard)
    })
}

#[test]
fn who_calls_out_and_is_rejected_is_told_at_once_by_the_call_or_by_its_packet() {
    let rules = "[default]\ninbound = \"block\"\noutbound = \"reject\"\n".to_owned()
        + &rule("neighbours", "allow", "protocol = \"icmpv6\"")
        + &rule(
            "by-tunnel",
            "allow",
            "direction = \"out\"\nprotocol = \"tcp\"\nports = 80\ninterface = \"wg0\"",
        );
    let zone = Protected::with(&rules);
    let before = zone.ask().stats().unwrap();
    for host in [OUTSIDE.to_owned(), format!("[{OUTSIDE_V6}]")] {
        // Refused before there is a packet.
        assert!(
            Somebody::root().does(&zone, &format!("rejected {host}:23"), true),
            "{host}"
        );
        // Only the packet shows by which device.
        assert!(
            Somebody::root().does(&zone, &format!("rejected {host}:80"), true),
            "{host}"
        );
        assert!(
            Somebody::root().does(&zone, &format!("unreachable {host}:53"), true),
            "{host}"
        );
    }
    let after = zone.ask().stats().unwrap();
    assert_eq!(after.refused_connects, before.refused_connects + 2);
    assert!(after.blocked_out >= before.blocked_out + 4, "{after:?}");
    each_was_answered(&settled(&zone, 4), 4);
}

#[test]
fn who_sends_from_an_address_that_the_machine_does_not_have_has_nothing_sent_by_it() {
    const FOREIGN: &str = "2001:db8:bad::7";
    let rules = SHUT.to_owned()
        + &rule(
            "errors",
            "allow",
            "protocol = \"icmpv6\"\ninterface = \"lo\"",
        )
        + &rule(
            "no",
            "reject",
            "direction = \"out\"\nprotocol = \"udp\"\nports = 53",
        )
        + &rule(
            "here",
            "reject",
            "direction = \"in\"\nprotocol = \"udp\"\ninterface = \"lo\"",
        )
        + &rule(
            "to-here",
            "allow",
            "direction = \"out\"\nprotocol = \"udp\"\ninterface = \"lo\"",
        );
    let zone = Protected::with(&rules);
    let does = |output: std::process::Output| assert!(output.status.success(), "{output:?}");
    does(zone.inside(&format!(
        "ip -6 route add {FOREIGN} via {OUTSIDE_V6} && echo 1 >/proc/sys/net/ipv6/ip_nonlocal_bind"
    )));
    does(zone.outside(&format!("ip addr add {FOREIGN}/128 dev gb1 nodad")));
    let addresses = [(OUTSIDE_V6, 53), (INSIDE_V6, 7000)];
    // Whoever has the address hears nothing of what was sent there in its name.
    let hears = |from: &str, to: String| {
        let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
        within(&outside(&zone), move || {
            let socket = UdpSocket::bind(from).unwrap();
            socket.connect(to).unwrap();
            socket
        })
    };
    let from = format!("[{FOREIGN}]:4242");
    let him = Somebody::user(USER);
    for (host, port) in addresses {
        let to = format!("[{host}]:{port}");
        let foreign = hears(&from, to.clone());
        let before = rejected(&zone);
        assert!(him.does(&zone, &format!("pretend {from} {to}"), true));
        let settled_before = before.answered + before.limited + before.failed;
        let after = settled(&zone, settled_before + 1);
        assert_eq!(
            (after.answered, after.failed),
            (before.answered, before.failed + 1),
            "{to}"
        );
        foreign.set_read_timeout(Some(told_within(false))).unwrap();
        let heard = foreign.recv(&mut [0; 16]).unwrap_err().kind();
        assert_eq!(heard, ErrorKind::WouldBlock, "{to}");
        // By an address that is the machine's own they are told.
        let told = sending(&zone.lab.netns(), &to, true);
        assert_eq!(told, ErrorKind::ConnectionRefused, "{to}");
        // It is counted only then.
        let after = settled(&zone, settled_before + 2);
        assert_eq!(after.answered, before.answered + 1, "{to}");
    }
}

/// Has the zone lead from who is at `gb1` to networks behind a second device.
fn leads_through(zone: &Protected) {
    zone::probe::add_pair(zone, "gb2", "gb3", 1);
    let does = |output: std::process::Output| assert!(output.status.success(), "{output:?}");
    does(zone.inside(
        "ip addr add fd78::2/64 dev gb2 nodad && ip route add 10.99.0.0/24 via 10.78.1.1 && \
         ip route add fd99::/64 via fd78::1 && \
         echo 1 | tee /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding",
    ));
    does(zone.outside(&format!(
        "ip addr add fd78::1/64 dev gb3 nodad && ip route add 10.99.0.0/24 via {INSIDE} && \
         ip route add fd99::/64 via {INSIDE_V6}"
    )));
}

#[test]
fn what_is_forwarded_and_rejected_is_answered_as_a_router_does() {
    let rules = SHUT.to_owned() + &rule("through", "reject", "direction = \"forward\"");
    let zone = Protected::with(&rules);
    leads_through(&zone);
    let outside = outside(&zone);
    assert_eq!(
        connecting(&outside, "10.99.0.9:80", true),
        ErrorKind::ConnectionRefused
    );
    assert_eq!(
        connecting(&outside, "[fd99::9]:80", true),
        ErrorKind::ConnectionRefused
    );
    // "Administratively prohibited", as each kernel has it.
    assert_eq!(
        sending(&outside, "10.99.0.9:53", true),
        ErrorKind::HostUnreachable
    );
    assert_eq!(
        sending(&outside, "[fd99::9]:53", true),
        ErrorKind::PermissionDenied
    );
    each_was_answered(&settled(&zone, 4), 4);
}

#[test]
fn what_is_forwarded_and_rejected_is_answered_by_the_device_alone_that_it_came_in_by() {
    let rules = SHUT.to_owned() + &rule("through", "reject", "direction = \"forward\"");
    let zone = Protected::with(&rules);
    leads_through(&zone);
    // Two addresses behind the other device.
    let made = zone.outside(
        "ip addr add 10.78.1.77/32 dev gb3 && ip addr add fd78::77/128 dev gb3 nodad && \
         ip route add fd99::/64 dev gb3 metric 4096",
    );
    assert!(made.status.success(), "{made:?}");
    let outside = outside(&zone);
    let sender = Sender::open(&outside);
    for (count, source, destination) in [(1, "10.78.1.77", "10.99.0.9"), (2, "fd78::77", "fd99::9")]
    {
        let [source, destination]: [IpAddr; 2] =
            [source, destination].map(|it| it.parse().unwrap());
        let named = within(&outside, move || {
            let socket = UdpSocket::bind((source, 4242)).unwrap();
            // What comes there by the device that the packet came from is nothing new to who sent it.
            setsockopt(&socket, BindToDevice, &"gb3".into()).unwrap();
            socket.connect((destination, 53)).unwrap();
            socket.set_read_timeout(Some(told_within(false))).unwrap();
            socket
        });
        sender.send(&Made {
            protocol: UDP,
            source,
            destination,
            source_port: 4242,
            port: 53,
        });
        let stats = settled(&zone, count);
        assert_eq!(stats.handed, count, "{stats:?}");
        let heard = named.recv(&mut [0; 16]).unwrap_err().kind();
        assert_eq!(heard, ErrorKind::WouldBlock, "{source}");
    }
    // By their own addresses they are told.
    let told = sending(&outside, "10.99.0.9:53", true);
    assert_eq!(told, ErrorKind::HostUnreachable);
    let told = sending(&outside, "[fd99::9]:53", true);
    assert_eq!(told, ErrorKind::PermissionDenied);
}

#[test]
fn what_its_receiver_rejects_is_answered_too() {
    let rules = SHUT.to_owned()
        + &rule(
            "not-him",
            "reject",
            &format!("direction = \"in\"\nuser = {USER}"),
        )
        + &rule("else", "allow", "direction = \"in\"");
    let zone = Protected::with(&rules);
    let _him = Somebody::user(USER).starts(&zone, &format!("accept {INSIDE}:7002"));
    let _also_him = Somebody::user(USER).starts(&zone, &format!("receive {INSIDE}:7003"));
    let outside = outside(&zone);
    assert_eq!(
        connecting(&outside, &format!("{INSIDE}:7002"), true),
        ErrorKind::ConnectionRefused
    );
    assert_eq!(
        sending(&outside, &format!("{INSIDE}:7003"), true),
        ErrorKind::ConnectionRefused
    );
    each_was_answered(&settled(&zone, 2), 2);
}

#[test]
fn a_flood_of_what_is_rejected_is_answered_within_bounds_and_counted() {
    const PACKETS: u32 = 20_000;
    let rules = SHUT.to_owned() + &rule("no", "reject", "direction = \"in\"\nprotocol = \"udp\"");
    let mut zone = Protected::with(&rules);
    let sender = Sender::open(&outside(&zone));
    let packet = |n: u32| Made {
        protocol: UDP,
        source: Ipv4Addr::from(0x0A4D_0003 + n % 250).into(),
        destination: INSIDE.parse().unwrap(),
        source_port: 1000,
        port: 9,
    };
    let began = Instant::now();
    for n in 0..PACKETS {
        sender.send(&packet(n));
    }
    let handed = settled(&zone, PACKETS.into());
    let most = 250 + 1000 * (began.elapsed().as_secs() + 1);
    let RejectStats {
        handed: told,
        lost,
        answered,
        limited,
        failed,
    } = handed;
    assert_eq!(told + lost, u64::from(PACKETS), "{handed:?}");
    assert_eq!(answered + limited + failed, told, "{handed:?}");
    assert!(answered > 0 && answered + failed <= most, "{handed:?}");
    // With the service gone it is a block.
    zone.service.kill();
    let to = format!("{INSIDE}:7000");
    assert_eq!(sending(&outside(&zone), &to, false), ErrorKind::WouldBlock);
    // What waited for the dead service is answered by nobody.
    assert!(zone.start_again());
    let after = rejected(&zone);
    assert_eq!(
        after.answered + after.limited + after.failed,
        0,
        "{after:?}"
    );
    assert_eq!(
        sending(&outside(&zone), &to, true),
        ErrorKind::ConnectionRefused
    );
}

/// Waits for the process that answers for a service: its child of that name that is not `but`.
fn answerer(service: u32, but: Option<u32>) -> u32 {
    let end = Instant::now() + PATIENCE;
    loop {
        let found = children(service).into_iter().find(|pid| {
            let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            words.starts_with(b"gatebell-reject\0") && Some(*pid) != but
        });
        if let Some(found) = found {
            return found;
        }
        assert!(Instant::now() < end, "nobody answers for {service}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn children(parent: u32) -> Vec<u32> {
    let line = format!("PPid:\t{parent}");
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let is_child = |process: &std::fs::DirEntry| {
        let status = std::fs::read_to_string(process.path().join("status")).unwrap_or_default();
        status.lines().any(|found| found == line)
    };
    let number = |process: std::fs::DirEntry| process.file_name().to_str()?.parse().ok();
    processes.filter(is_child).filter_map(number).collect()
}

/// Returns whether a thread of this process has no capability, and can get none.
fn has_a_thread_without_capabilities(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    threads.flatten().any(|thread| {
        let status = std::fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        [
            "CapPrm:\t0000000000000000",
            "CapEff:\t0000000000000000",
            "NoNewPrivs:\t1",
        ]
        .iter()
        .all(|line| status.lines().any(|found| found == *line))
    })
}

#[test]
fn who_answers_is_a_process_without_capabilities_and_another_one_when_it_dies() {
    let rules = SHUT.to_owned()
        + &rule(
            "no",
            "reject",
            "direction = \"in\"\nprotocol = \"tcp\"\nports = 7000",
        );
    let zone = Protected::with(&rules);
    let outside = outside(&zone);
    let to = format!("{INSIDE}:7000");
    assert_eq!(
        connecting(&outside, &to, true),
        ErrorKind::ConnectionRefused
    );
    let service = zone.service.process.id();
    let first = answerer(service, None);
    assert!(has_a_thread_without_capabilities(first));
    each_was_answered(&settled(&zone, 1), 1);
    kill(
        Pid::from_raw(i32::try_from(first).unwrap()),
        Signal::SIGKILL,
    )
    .unwrap();
    let second = answerer(service, Some(first));
    let end = Instant::now() + PATIENCE;
    while connecting(&outside, &to, false) != ErrorKind::ConnectionRefused {
        assert!(Instant::now() < end, "nobody is told any more");
    }
    assert!(has_a_thread_without_capabilities(second));
    // What the first one had counted is counted still.
    assert!(settled(&zone, 2).answered >= 2);
    assert_eq!(zone.ask().status().unwrap().trouble, []);
}
