//! Tests of packets in fragments.

use super::*;

/// Length of a datagram that no link takes in one piece.
const LARGE: usize = 4000;

/// Returns the length of a datagram that the socket receives within a while.
fn received(socket: &UdpSocket) -> Option<usize> {
    socket.recv(&mut [0; LARGE + 1]).ok()
}

#[test]
fn a_datagram_in_fragments_is_judged_whole_by_its_ports() {
    const OPEN: u16 = 7401;
    const SHUT: u16 = 7402;
    const NOT_OUT: u16 = 7403;
    let rules = QUIET.to_owned()
        + &rule(
            "open",
            "allow",
            "direction = \"in\"\nprotocol = \"udp\"\nports = 7401",
        )
        + &rule(
            "not-out",
            "block",
            "direction = \"out\"\nprotocol = \"udp\"\nports = 7403",
        );
    let zone = Protected::with(&rules);
    for (inside, other) in [(INSIDE, OUTSIDE), (INSIDE_V6, OUTSIDE_V6)] {
        let at = |address: &str, port: u16| -> SocketAddr {
            SocketAddr::new(address.parse().unwrap(), port)
        };
        let (open, shut) = (at(inside, OPEN), at(inside, SHUT));
        let [open_here, shut_here] = [open, shut].map(|end| {
            let socket = within(&zone.lab.netns(), move || UdpSocket::bind(end).unwrap());
            socket
                .set_read_timeout(Some(patience(end == open)))
                .unwrap();
            socket
        });
        let there = at(other, 7404);
        let sender = within(&outside(&zone), move || UdpSocket::bind(there).unwrap());
        sender.set_read_timeout(Some(patience(true))).unwrap();

        let before = zone.ask().stats().unwrap();
        sender.send_to(&[7; LARGE], shut).unwrap();
        sender.send_to(&[7; LARGE], open).unwrap();
        assert_eq!(
            received(&open_here),
            Some(LARGE),
            "by the rule for its port"
        );
        assert_eq!(received(&shut_here), None);
        let after = zone.ask().stats().unwrap();
        assert_eq!(
            after.blocked_in,
            before.blocked_in + 1,
            "once for all of it"
        );

        // An answer in pieces, to a question in pieces.
        shut_here.send_to(&[1; LARGE], there).unwrap();
        let (length, who) = sender.recv_from(&mut [0; LARGE + 1]).unwrap();
        assert_eq!((length, who), (LARGE, shut));
        shut_here.set_read_timeout(Some(patience(true))).unwrap();
        sender.send_to(&[2; LARGE], shut).unwrap();
        assert_eq!(received(&shut_here), Some(LARGE), "as a reply");

        let refused = shut_here.send_to(&[1; LARGE], at(other, NOT_OUT));
        assert_eq!(
            refused.unwrap_err().kind(),
            std::io::ErrorKind::PermissionDenied
        );
    }
}
