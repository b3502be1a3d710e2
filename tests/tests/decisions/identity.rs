//! Rules about who talks: a user, a program, whoever holds a socket.

use super::*;
use gatebell_tests::acting::Acting;

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
                listener.gets_it(patience(*meant)),
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
        assert_eq!(listener.gets_it(patience(meant)), meant, "{what}");
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
            (listener.process.id(), USER),
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
        assert_eq!(packet.headers.direction, Direction::Inbound as u8);
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
    assert_eq!((packet.pid, packet.user), (accepts.process.id(), USER));
    assert_eq!(packet.name, name_of(&accepts), "as the process is called");
    let program = zone
        .ask()
        .program(packet.program[0], packet.program[1])
        .unwrap();
    assert_eq!(program.map(PathBuf::from).as_ref(), Some(&ourselves));
    knock(&zone, false, &format!("{INSIDE}:7002"), true);
    assert!(
        receives.gets_it(patience(true)),
        "the rule for the program lets it in"
    );
}

/// Returns the name of a process, as packets have it.
fn name_of(somebody: &Acting) -> [u8; 16] {
    let mut name = fs::read(format!("/proc/{}/comm", somebody.process.id())).unwrap();
    name.pop();
    name.resize(16, 0);
    name.try_into().unwrap()
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
            "exec 3<>/dev/udp/{OUTSIDE}/{port}; echo >&3; while read -r <&3; do echo >>'{}'; done",
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

    /// Returns whether what is sent now is received: all of it, so that nothing is received late, or any of it where
    /// that is not meant.
    fn is_heard(&self, meant: bool) -> bool {
        const SENT: u64 = 20;
        let heard = || fs::metadata(&self.heard).map_or(0, |file| file.len());
        let before = heard();
        for _ in 0..SENT {
            self.from.send_to(b"\n", self.to).unwrap();
            std::thread::sleep(Duration::from_millis(20));
        }
        let end = Instant::now() + patience(meant);
        while heard() < before + SENT && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
        heard() >= before + if meant { SENT } else { 1 }
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
        assert!(sending.is_heard(true), "nothing refuses it");
        let keys = format!("direction = \"out\"\nprotocol = \"udp\"\nports = {port}\n{keys}");
        put(
            &mut zone,
            &(QUIET.to_owned() + &rule("other", "allow", "protocol = \"tcp\"")),
        );
        assert!(sending.is_heard(true), "other rules allow it too");
        put(&mut zone, &(QUIET.to_owned() + &rule("new", action, &keys)));
        assert!(!sending.is_heard(false), "{action}: {keys}");
    }
}

#[test]
fn what_answers_by_another_device_is_judged_there_by_who_began_it() {
    let bash = fs::canonicalize("/bin/bash").unwrap();
    for (program, meant) in [
        ("/bin/nobody-runs-this", true),
        (bash.to_str().unwrap(), false),
    ] {
        let keys = format!(
            "direction = \"out\"\nprotocol = \"udp\"\ninterface = \"gb2\"\nprogram = \"{program}\""
        );
        let zone = Protected::with(&(QUIET.to_owned() + &rule("not-there", "block", &keys)));
        add_pair(&zone, "gb2", "gb3", 1);
        let sending = Sending::to_bash(&zone, 7001);
        assert!(sending.is_heard(true), "by the device that it was asked by");
        let there = name(&outside(&zone));
        ip(&[
            "-n",
            &there,
            "route",
            "add",
            INSIDE,
            "via",
            "10.78.1.2",
            "dev",
            "gb3",
        ]);
        let before = zone.ask().stats().unwrap().blocked_in;
        assert_eq!(sending.is_heard(meant), meant, "{program}");
        let refused = zone.ask().stats().unwrap().blocked_in - before;
        assert_eq!(refused >= 20, !meant, "{refused} were refused");
    }
}
