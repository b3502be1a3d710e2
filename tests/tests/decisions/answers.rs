//! Tests of packets that are let in because something went out.

use super::*;

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
fn an_error_about_an_allowed_conversation_comes_in_and_no_other_does() {
    // No rule lets errors in.
    let zone = Protected::with(QUIET);
    let refusal = |place: String| {
        let answered = within(&zone.lab.netns(), move || {
            let to: SocketAddr = place.parse().unwrap();
            let socket =
                UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).unwrap();
            socket.connect(to).unwrap();
            socket.set_read_timeout(Some(patience(true))).unwrap();
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
