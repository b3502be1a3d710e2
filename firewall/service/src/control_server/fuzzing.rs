//! One connection with nobody behind it, for `fuzz/targets/control.rs` alone: only `cargo xtask fuzz` builds this.

use super::failure::Failure;
use super::methods::{Answered, Change, Request};
use super::peer::{PeerConnection, Requester};
use channel::sys::linux::Closer;
use serde_json::json;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Instant;

/// A connected peer, and both ends of its connection.
pub struct Talk {
    peer: PeerConnection,
    requester: UnixStream,
}

impl Talk {
    /// Connects a peer that may change the firewall, or may not.
    ///
    /// # Panics
    /// The system has no sockets for it.
    #[must_use]
    pub fn begin(may_change: bool) -> Self {
        let (requester, stream) = UnixStream::pair().expect("a pair of sockets");
        requester.set_nonblocking(true).expect("it does not wait");
        let who = Requester {
            process: None,
            user: 1000,
            may_change,
            by_polkit: false,
        };
        let closer = Closer::default();
        let stream = closer.take(who.user, stream.into());
        let peer = PeerConnection::who(who, stream, &closer, Arc::new(at_nobody));
        Self { peer, requester }
    }

    /// Sends these bytes, has every request answered that is whole by then, and adds what comes back. Returns `false`
    /// once the connection is hung up.
    pub fn say(&mut self, bytes: &[u8], answers: &mut Vec<u8>) -> bool {
        let said = self
            .requester
            .write(bytes)
            .is_ok_and(|wrote| wrote == bytes.len());
        let stays = said && self.peer.hear(Instant::now()) && self.answer_all(answers);
        self.listen(answers);
        stays
    }

    fn answer_all(&mut self, answers: &mut Vec<u8>) -> bool {
        while self.peer.has_asked() {
            let mut stays = self.peer.answer(Instant::now());
            if self.peer.waits().is_some() {
                let refused = Failure::new("NotPermitted", "polkit says no");
                stays &= self.peer.decide(Err(refused), Instant::now());
            }
            self.listen(answers);
            if !stays || self.peer.owes() > 0 && !self.peer.speak() {
                return false;
            }
            assert_eq!(
                self.peer.owes(),
                0,
                "more in one answer than a socket takes"
            );
        }
        true
    }

    fn listen(&mut self, answers: &mut Vec<u8>) {
        let mut bite = [0; 4096];
        loop {
            match self.requester.read(&mut bite) {
                Ok(got @ 1..) => answers.extend_from_slice(&bite[..got]),
                Err(again) if again.kind() == ErrorKind::Interrupted => {}
                _ => return,
            }
        }
    }
}

/// Answers in the firewall's place: what comes here is what the interface promises to let through.
fn at_nobody(request: Request, requester: Requester) -> Answered {
    assert!(
        requester.may_change || request.as_root().is_none(),
        "{request:?} of somebody who may not"
    );
    if let Request::Change(Change::Apply { name, lease, .. }) = &request {
        assert!(
            (1..=4096).contains(&name.len()) && !name.contains(char::is_control),
            "{name:?}"
        );
        assert!(
            lease.is_none_or(|lease| (1..=86_400).contains(&lease.as_secs())),
            "{lease:?}"
        );
    }
    Ok(json!({ "asked": format!("{request:?}") }))
}
