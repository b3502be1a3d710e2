//! One connection: what came in, what has to go out, and by when.

use super::interface::{Answer, Failure, Interface};
use control::DESCRIPTION;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::geteuid;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};
use varlink::sansio::protocol::serialize_reply;
use varlink::{ConnectionHandler, VarlinkService};

/// The longest request of root: a rule file with everything in it, as JSON.
pub const LONGEST_OF_ROOT: usize = 8 << 20;
/// The longest request of others, who apply no rules.
pub const LONGEST_OF_OTHERS: usize = 16 << 10;
/// How long a request may take to come, and an answer to go.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much is read at once.
const BITE: usize = 64 << 10;

/// Who asks, as the kernel noted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requester {
    pub user: u32,
    /// Root, or the user that the service runs as.
    pub may_change: bool,
}

/// Somebody who is connected.
pub struct PeerConnection {
    pub stream: UnixStream,
    pub requester: Requester,
    service: VarlinkService,
    came_in: Vec<u8>,
    /// So many bytes of that were looked at and have no end of a message in them.
    looked_at: usize,
    goes_out: Vec<u8>,
    went_out: usize,
    /// By when the message that has begun to come or to go must be through.
    deadline: Option<Instant>,
    /// Nothing more is read; once the answer is out, that is the end.
    leaving: bool,
}

impl PeerConnection {
    /// Greets somebody who has connected.
    pub fn new(stream: UnixStream, answer: Arc<dyn Answer>) -> io::Result<Self> {
        let user = getsockopt(&stream, PeerCredentials)?.uid();
        Self::who(
            Requester {
                user,
                may_change: user == 0 || user == geteuid().as_raw(),
            },
            stream,
            answer,
        )
    }

    /// The same, where it is known who that is.
    pub fn who(
        requester: Requester,
        stream: UnixStream,
        answer: Arc<dyn Answer>,
    ) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let service = VarlinkService::new(
            "Gatebell",
            "gatebelld",
            env!("CARGO_PKG_VERSION"),
            "docs/control.md",
            vec![Box::new(Interface { answer, requester })],
        );
        let (came_in, goes_out) = (Vec::new(), Vec::new());
        let (looked_at, went_out, deadline, leaving) = (0, 0, None, false);
        Ok(Self {
            stream,
            requester,
            service,
            came_in,
            looked_at,
            goes_out,
            went_out,
            deadline,
            leaving,
        })
    }

    /// Bytes that wait to be taken.
    pub fn owes(&self) -> usize {
        self.goes_out.len() - self.went_out
    }

    /// Whether a whole request has come already.
    pub fn has_asked(&self) -> bool {
        self.came_in
            .get(..self.looked_at)
            .is_some_and(|seen| seen.last() == Some(&0))
    }

    /// By when something must have happened.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Takes in what has come. False: that was the end.
    pub fn hear(&mut self, now: Instant) -> bool {
        let mut bite = vec![0; BITE];
        match self.stream.read(&mut bite) {
            Ok(0) => return false,
            Ok(got) => self.came_in.extend_from_slice(&bite[..got]),
            Err(later) if is_later(&later) => return true,
            Err(_) => return false,
        }
        self.deadline.get_or_insert(now + PATIENCE);
        self.look();
        if !self.has_asked() && self.came_in.len() > self.longest() {
            return self.part(Failure::too_long(self.longest()), now);
        }
        true
    }

    /// Answers the oldest request. False: it was none.
    pub fn answer(&mut self, now: Instant) -> bool {
        let rest = self.came_in.split_off(self.looked_at);
        let request = std::mem::replace(&mut self.came_in, rest);
        self.looked_at = 0;
        if request.len() > self.longest() {
            return self.part(Failure::too_long(self.longest()), now);
        }
        let mut reply = Vec::new();
        if self
            .service
            .handle(&mut request.as_slice(), &mut reply, None)
            .is_err()
        {
            return false;
        }
        self.look();
        self.deadline = (!self.came_in.is_empty()).then_some(now + PATIENCE);
        if is_oneway(&request) {
            return true;
        }
        self.tell(reply, now)
    }

    /// Hands over as much of the answer as is taken. False: nobody takes it.
    pub fn speak(&mut self) -> bool {
        while let Some(rest) = self
            .goes_out
            .get(self.went_out..)
            .filter(|rest| !rest.is_empty())
        {
            match self.stream.write(rest) {
                Ok(0) => return false,
                Ok(wrote) => self.went_out += wrote,
                Err(later) if is_later(&later) => return true,
                Err(_) => return false,
            }
        }
        (self.goes_out, self.went_out) = (Vec::new(), 0);
        // A request that waits behind has its own time from here on.
        self.deadline = self.deadline.filter(|_| !self.came_in.is_empty());
        !self.leaving
    }

    /// Says why, and goes.
    fn part(&mut self, failure: Failure, now: Instant) -> bool {
        (self.came_in, self.looked_at, self.leaving) = (Vec::new(), 0, true);
        serialize_reply(&failure.reply()).is_ok_and(|reply| self.tell(reply, now))
    }

    fn tell(&mut self, reply: Vec<u8>, now: Instant) -> bool {
        self.goes_out = reply;
        self.deadline = Some(now + PATIENCE);
        self.speak()
    }

    /// Looks for the end of a message in what has not been looked at.
    fn look(&mut self) {
        let unseen = self.came_in.get(self.looked_at..).unwrap_or_default();
        let end = unseen.iter().position(|byte| *byte == 0).map(|at| at + 1);
        self.looked_at += end.unwrap_or(unseen.len());
    }

    fn longest(&self) -> usize {
        if self.requester.may_change {
            LONGEST_OF_ROOT
        } else {
            LONGEST_OF_OTHERS
        }
    }
}

/// Whether the requester wants no answer.
fn is_oneway(request: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Oneway {
        oneway: Option<bool>,
    }
    let text = request.strip_suffix(&[0]).unwrap_or(request);
    serde_json::from_slice::<Oneway>(text).is_ok_and(|request| request.oneway == Some(true))
}

fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

// What `GetInterfaceDescription` answers must fit into what one user may owe.
const _: () = assert!(DESCRIPTION.len() < LONGEST_OF_OTHERS);
