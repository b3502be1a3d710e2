//! What many packets, or one user, can keep others from.

use super::*;

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
    // Connections are counted for who asks, but not again at once.
    zone::probe::wait_until("all are remembered, not the last one alone", || {
        zone.ask().stats().unwrap().flows >= MANY as u64
    });
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
