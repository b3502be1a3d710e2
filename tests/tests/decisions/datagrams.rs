//! Tests of a datagram's owners: its sender and its receiver.

use super::*;
use control::Stats;
use std::net::IpAddr;
use std::path::Path;
use zone::probe::{guest, reaches};

/// Copies this program, so that rules can ask for it.
fn program(name: &str) -> Temporary {
    let program = Temporary::named(name);
    fs::copy(std::env::current_exe().unwrap(), &program.0).unwrap();
    program
}

/// Keys of a rule for inbound UDP.
const DATAGRAM_IN: &str = "direction = \"in\"\nprotocol = \"udp\"";

/// These keys of a rule, about this program.
fn of_program(keys: &str, program: &Path) -> String {
    format!("{keys}\nprogram = \"{}\"", program.display())
}

/// Quiet rules, and one that allows what has these keys.
fn quiet_with(id: &str, keys: &str) -> String {
    QUIET.to_owned() + &rule(id, "allow", keys)
}

/// Returns the rules with outbound packets blocked by default.
fn nothing_out(rules: &str) -> String {
    rules.replace("outbound = \"allow\"", "outbound = \"block\"")
}

/// A datagram from outside to port 7001.
fn datagram(source: &str, destination: &str) -> Made {
    let [source, destination]: [IpAddr; 2] = [source, destination].map(|a| a.parse().unwrap());
    Made {
        protocol: UDP,
        source,
        destination,
        source_port: 6000,
        port: 7001,
    }
}

/// Returns whether somebody who waits at port 7001 gets what is sent there.
fn gets(zone: &Protected, who: &Somebody, to: &str, meant: bool, send: impl Fn()) -> bool {
    let at = SocketAddr::new(to.parse().unwrap(), 7001);
    let receiver = who.starts(zone, &format!("receive {at}"));
    send();
    receiver.gets_it(patience(meant))
}

#[test]
fn a_datagram_with_more_behind_it_than_its_length_says_is_judged_by_who_gets_it() {
    let program = program("trailing");
    let keys = of_program(&format!("{DATAGRAM_IN}\nports = 7001"), &program.0);
    let zone = Protected::with(&quiet_with("served", &keys));
    let sender = Sender::open(&outside(&zone));
    for (from, to) in [(OUTSIDE, INSIDE), (OUTSIDE_V6, INSIDE_V6)] {
        let send = || sender.send_with_more(&datagram(from, to));
        let before = zone.ask().stats().unwrap();
        assert!(!gets(&zone, &Somebody::root(), to, false, send), "{to}");
        let after = zone.ask().stats().unwrap();
        assert!(after.blocked_in > before.blocked_in, "{to}: {after:?}");
        assert!(
            gets(&zone, &Somebody::program(&program.0), to, true, send),
            "{to}"
        );
    }
}

#[test]
fn who_gets_a_datagram_is_judged_by_its_headers_as_they_came_whoever_translates_them_behind_that() {
    let program = program("shown");
    let keys = of_program(
        &format!("{DATAGRAM_IN}\nsource = \"{OUTSIDE}\""),
        &program.0,
    );
    let zone = Protected::with(&quiet_with("served", &keys));
    let done = zone.inside(
        "nft 'table ip shown { chain arrives { type nat hook input priority 100; udp dport 7001 snat to 192.0.2.1; }; }'",
    );
    assert!(done.status.success(), "{done:?}");
    let sender = Sender::open(&outside(&zone));
    let send = || sender.send(&datagram(OUTSIDE, INSIDE));
    let before = zone.ask().stats().unwrap();
    assert!(!gets(&zone, &Somebody::root(), INSIDE, false, send));
    assert!(zone.ask().stats().unwrap().blocked_in > before.blocked_in);
    assert!(gets(
        &zone,
        &Somebody::program(&program.0),
        INSIDE,
        true,
        send
    ));
}

#[test]
fn what_answers_a_translated_question_is_heard_also_under_rules_that_ask_who_gets_it() {
    const CALLED: &str = "203.0.113.9";
    let nobodys = rule("nobodys", "block", "direction = \"in\"\nuser = 4712");
    let zone = Protected::with(&(QUIET.to_owned() + &nobodys));
    for line in [
        format!("ip route add {CALLED} via {OUTSIDE}"),
        format!(
            "nft 'table ip shown {{ chain leaves {{ type nat hook output priority -100; ip daddr {CALLED} dnat to {OUTSIDE}; }}; }}'"
        ),
    ] {
        let done = zone.inside(&line);
        assert!(done.status.success(), "{done:?}");
    }
    let there = within(&outside(&zone), || {
        UdpSocket::bind((OUTSIDE, 6000)).unwrap()
    });
    there.set_read_timeout(Some(patience(true))).unwrap();
    let before = zone.ask().stats().unwrap();
    // One of the zone: what a socket of the test's own gets, nobody judges there.
    let asks = format!("exec 3<>/dev/udp/{CALLED}/6000; echo >&3; read -r -t 60 <&3");
    let mut asker = zone.lab.inside(&["bash", "-c", &asks]).spawn().unwrap();
    let (_, to) = there.recv_from(&mut [0; 16]).unwrap();
    there.send_to(b"\n", to).unwrap();
    assert!(asker.wait().unwrap().success(), "it hears the answer");
    assert_eq!(zone.ask().stats().unwrap().blocked_in, before.blocked_in);
}

#[test]
fn nobody_answers_for_another_program_by_binding_where_it_was_bound() {
    let program = program("answers");
    let keys = of_program(&format!("{DATAGRAM_IN}\nports = 7001"), &program.0);
    let zone = Protected::with(&nothing_out(&quiet_with("served", &keys)));
    let server = Somebody::program(&program.0);
    let client = within(&outside(&zone), || {
        UdpSocket::bind((OUTSIDE, 6000)).unwrap()
    });
    let send = || assert_eq!(client.send_to(b"question", (INSIDE, 7001)).unwrap(), 8);
    assert!(gets(&zone, &server, INSIDE, true, send));
    let answer = format!("speak {INSIDE}:7001 {OUTSIDE}:6000");
    assert!(!Somebody::root().does(&zone, &answer, false));
    assert!(!Somebody::user(USER).does(&zone, &answer, false));
    assert!(server.does(&zone, &answer, true));
}

#[test]
fn nobody_hears_what_answers_another_program_by_binding_where_it_was_bound() {
    let program = program("hears");
    let keys = of_program("direction = \"out\"", &program.0);
    let zone = Protected::with(&nothing_out(&quiet_with("asks", &keys)));
    let client = Somebody::program(&program.0);
    let server = within(&outside(&zone), || {
        UdpSocket::bind((OUTSIDE, 6000)).unwrap()
    });
    let send = || assert_eq!(server.send_to(b"answer", (INSIDE, 7001)).unwrap(), 6);
    assert!(client.does(&zone, &format!("speak {INSIDE}:7001 {OUTSIDE}:6000"), true));
    let before = zone.ask().stats().unwrap();
    assert!(!gets(&zone, &Somebody::root(), INSIDE, false, send));
    let after = zone.ask().stats().unwrap();
    assert_eq!(after.blocked_in, before.blocked_in + 1);
    assert_eq!(
        after.allowed_in, before.allowed_in,
        "what is refused was not allowed"
    );
    assert!(gets(&zone, &client, INSIDE, true, send));
}

#[test]
fn a_datagram_is_judged_by_who_sends_it_also_by_a_socket_by_which_another_program_has_sent() {
    let program = program("passes");
    let keys = of_program("direction = \"out\"", &program.0);
    let zone = Protected::with(&(QUIET.to_owned() + &rule("not-it", "block", &keys)));
    let own = std::env::current_exe().unwrap();
    for to in [format!("{OUTSIDE}:7000"), format!("[{OUTSIDE_V6}]:7000")] {
        let passed = |program: &Path, meant| {
            Somebody::root().does(&zone, &format!("pass {to} {}", program.display()), meant)
        };
        assert!(passed(&own, true), "{to}");
        assert!(!passed(&program.0, false), "{to}");
    }
}

#[test]
fn a_rule_about_the_kernel_says_nothing_of_what_goes_through_the_machine() {
    let zone = Protected::with(QUIET);
    let guest = guest(&zone);
    let there = guest.0.as_str();
    for (keys, meant) in [
        ("program = \"kernel\"", false),
        ("direction = \"forward\"", true),
    ] {
        let text = QUIET.to_owned() + &rule("this", "allow", keys);
        zone.ask().apply("new.toml", &text, None).unwrap();
        assert_eq!(reaches(there, (OUTSIDE, 80), meant), meant, "{keys}");
    }
}

/// The number of records of datagrams to port 7001.
fn told(app: &mut Told<Packet>) -> usize {
    while app.hear(patience(false)) {}
    let told = app.kept.drain(..);
    told.filter(|(_, packet)| {
        (packet.headers.protocol, packet.headers.destination_port) == (UDP, 7001)
    })
    .count()
}

/// Returns the counts of inbound packets since then: allowed, blocked, left to the socket.
fn counted(zone: &Protected, before: &Stats) -> [u64; 3] {
    let after = zone.ask().stats().unwrap();
    [
        after.allowed_in - before.allowed_in,
        after.blocked_in - before.blocked_in,
        after.left_in - before.left_in,
    ]
}

/// Keeps neighbours from asking each other for their addresses, which would be counted too.
fn be_quiet(zone: &Protected) {
    let alone = |device| format!("echo 1 > /proc/sys/net/ipv6/conf/{device}/disable_ipv6");
    for done in [zone.inside(&alone("gb0")), zone.outside(&alone("gb1"))] {
        assert!(done.status.success(), "{done:?}");
    }
}

#[test]
fn what_a_rule_reports_is_told_also_where_another_gets_the_same_unreported() {
    let tapping = program("taps");
    let own = std::env::current_exe().unwrap();
    let served = |id, program: &Path, log| {
        let keys = of_program(&format!("{DATAGRAM_IN}\nlog = {log}"), program);
        rule(id, "allow", &keys)
    };
    let text =
        QUIET.to_owned() + &served("taps", &tapping.0, false) + &served("served", &own, true);
    let zone = Protected::with(&text);
    be_quiet(&zone);
    let mut app = Told::<Packet>::of(&zone, Mask::of(kind::PACKET));
    let at = format!("{INSIDE}:7001");
    // The kernel gives it to raw sockets first.
    let tap = Somebody::program(&tapping.0).starts(&zone, &format!("tap {at}"));
    let receiver = Somebody::root().starts(&zone, &format!("receive {at}"));
    let before = zone.ask().stats().unwrap();
    knock(&zone, false, &at, true);
    assert!(tap.gets_it(patience(true)) && receiver.gets_it(patience(true)));
    assert_eq!(counted(&zone, &before), [1, 0, 0]);
    assert_eq!(told(&mut app), 1);
}

#[test]
fn an_answer_that_is_refused_to_who_taps_it_stays_allowed_to_who_asked() {
    let asking = program("asks");
    let keys = of_program("direction = \"out\"\nprotocol = \"udp\"", &asking.0);
    let zone = Protected::with(&quiet_with("asks", &keys));
    be_quiet(&zone);
    let answers = within(&outside(&zone), || {
        UdpSocket::bind((OUTSIDE, 7001)).unwrap()
    });
    answers.set_read_timeout(Some(patience(true))).unwrap();
    let at = format!("{OUTSIDE}:7001");
    let tap = Somebody::root().starts(&zone, &format!("tap {INSIDE}:7001"));
    let asker = Somebody::program(&asking.0).starts(&zone, &format!("inquire {at}"));
    let (_, from) = answers.recv_from(&mut [0; 16]).unwrap();
    let before = zone.ask().stats().unwrap();
    answers.send_to(b"me", from).unwrap();
    assert!(asker.gets_it(patience(true)) && !tap.gets_it(patience(false)));
    assert_eq!(counted(&zone, &before), [1, 1, 0], "one of each");
}

#[test]
fn one_datagram_is_counted_and_told_once_however_many_sockets_get_it() {
    let own = std::env::current_exe().unwrap();
    let zone = Protected::with(QUIET);
    be_quiet(&zone);
    let mut app = Told::<Packet>::of(&zone, Mask::of(kind::PACKET));
    let at = format!("{INSIDE}:7001");
    for (program, meant) in [
        (own.as_path(), true),
        (Path::new("/bin/nobody-runs-this"), false),
    ] {
        let keys = of_program(&format!("{DATAGRAM_IN}\nlog = true"), program);
        let text = quiet_with("served", &keys);
        zone.ask().apply("new.toml", &text, None).unwrap();
        let receiver = Somebody::root().starts(&zone, &format!("overhear {at}"));
        let before = zone.ask().stats().unwrap();
        knock(&zone, false, &at, meant);
        assert_eq!(receiver.gets_it(patience(meant)), meant);
        assert_eq!(
            counted(&zone, &before),
            [u64::from(meant), u64::from(!meant), 0],
            "{program:?}"
        );
        assert_eq!(zone.ask().hits().unwrap().hits[1], u64::from(meant));
        assert_eq!(told(&mut app), 1, "{program:?}");
    }
}

#[test]
fn what_is_left_to_who_gets_it_and_nobody_does_is_counted() {
    const MANY: u64 = 20;
    let program = program("left");
    let keys = of_program("direction = \"in\"", &program.0);
    let zone = Protected::with(&quiet_with("served", &keys));
    let sender = Sender::open(&outside(&zone));
    let before = zone.ask().stats().unwrap();
    for number in 0..MANY {
        for protocol in [TCP, UDP] {
            sender.send(&Made {
                protocol,
                port: 7100 + number as u16,
                ..datagram(OUTSIDE, INSIDE)
            });
        }
    }
    zone.lab.quiet().unwrap();
    let after = zone.ask().stats().unwrap();
    assert_eq!(after.left_in - before.left_in, 2 * MANY);
    assert_eq!(after.blocked_in, before.blocked_in, "no rule refuses it");
    // What somebody gets is taken back, whichever way it is judged.
    let send = || sender.send(&datagram(OUTSIDE, INSIDE));
    assert!(!gets(&zone, &Somebody::root(), INSIDE, false, send));
    assert!(gets(
        &zone,
        &Somebody::program(&program.0),
        INSIDE,
        true,
        send
    ));
    let last = zone.ask().stats().unwrap();
    assert_eq!(last.left_in, after.left_in);
    assert_eq!(last.blocked_in - after.blocked_in, 1);
}
