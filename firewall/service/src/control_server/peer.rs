//! Connection of a peer: bytes received, bytes to send, and deadlines.

use super::failure::Failure;
use super::interface::Interface;
use super::methods::Answer;
use super::permission::{Permission, PermissionRequest};
use super::polkit::{Question, Subject};
use crate::user_names;
use channel::sys::linux::{Closer, ForeignFd};
use control::DESCRIPTION;
use engine::quota::of_user;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::geteuid;
use rustix::cmsg_space;
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, recvmsg, send};
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};
use varlink::sansio::protocol::serialize_reply;
use varlink::{ConnectionHandler, VarlinkService};

/// Maximum length of root's requests, in bytes: a rule file with everything in it, as JSON.
pub const LONGEST_OF_ROOT: usize = 8 << 20;
/// Maximum length of others' requests, in bytes: a rule file that people write, whose lists are files of their own.
pub const LONGEST_OF_OTHERS: usize = 256 << 10;
/// Time that a request may take to come, and an answer to go.
const PATIENCE: Duration = Duration::from_secs(10);
/// User number that no user has.
const NOBODY: u32 = u32::MAX;
/// Maximum number of descriptors that the kernel lets a message carry: `SCM_MAX_FD`.
const MOST_BESIDE: usize = 253;
/// Number of bytes read at once.
const BITE: usize = 64 << 10;

/// Requester, as the kernel noted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requester {
    pub user: u32,
    /// Process that connected.
    pub process: Option<u32>,
    /// `true` for root, and for the user that the service runs as.
    pub may_change: bool,
    /// `true` if polkit permits the request in hand.
    pub by_polkit: bool,
}

impl Requester {
    /// Returns the user whose programs' questions the requester sees and answers, or `None` for everybody's.
    pub const fn sees(&self) -> Option<u32> {
        if self.may_change {
            None
        } else {
            Some(self.user)
        }
    }

    /// Returns the requester for people: by their name, and the one that they logged in under.
    pub fn name(&self) -> String {
        user_names::person(self.user, self.process)
    }
}

/// Connection of a peer to the control socket.
pub struct PeerConnection {
    pub stream: ForeignFd,
    closer: Closer,
    pub requester: Requester,
    /// Process that polkit is asked about, or `None` for root, and if the process that connected has ended.
    pub subject: Option<Arc<Subject>>,
    service: VarlinkService,
    permission: Arc<Permission>,
    /// Request that waits for permission, and the question to polkit about it.
    waits: Option<(Vec<u8>, Option<Question>)>,
    came_in: Vec<u8>,
    /// Number of received bytes that were looked at and have no end of a message in them.
    looked_at: usize,
    goes_out: Vec<u8>,
    went_out: usize,
    /// Time by which the message that has begun to come or to go must be through.
    deadline: Option<Instant>,
    /// `true` if nothing more is read; once the answer is out, the connection ends.
    leaving: bool,
}

impl PeerConnection {
    /// Creates the connection of a peer that has connected, for the credentials that the kernel has of it.
    pub fn new(stream: OwnedFd, closer: &Closer, answer: Arc<dyn Answer>) -> io::Result<Self> {
        let peer = getsockopt(&stream, PeerCredentials);
        let user = peer.as_ref().map_or(NOBODY, |peer| peer.uid());
        // From here on, however this ends, it is closed by others.
        let stream = closer.take(of_user(user), stream);
        let process = u32::try_from(peer?.pid()).ok().filter(|pid| *pid != 0);
        let requester = Requester {
            user,
            process,
            may_change: user == 0 || user == geteuid().as_raw(),
            by_polkit: false,
        };
        let subject = if requester.may_change {
            None
        } else {
            Subject::of(&stream, user, process)
        };
        let mut peer = Self::who(requester, stream, closer, answer);
        peer.subject = subject.map(Arc::new);
        Ok(peer)
    }

    /// Creates the connection of a peer whose credentials are known.
    pub fn who(
        requester: Requester,
        stream: ForeignFd,
        closer: &Closer,
        answer: Arc<dyn Answer>,
    ) -> Self {
        let permission = Arc::new(Permission::default());
        let interface = Interface {
            answer,
            requester,
            permission: permission.clone(),
        };
        let service = VarlinkService::new(
            "Gatebell",
            "gatebelld",
            env!("CARGO_PKG_VERSION"),
            "docs/control.md",
            vec![Box::new(interface)],
        );
        let (came_in, goes_out) = (Vec::new(), Vec::new());
        let (looked_at, went_out, deadline, leaving) = (0, 0, None, false);
        Self {
            stream,
            closer: closer.clone(),
            requester,
            subject: None,
            service,
            permission,
            waits: None,
            came_in,
            looked_at,
            goes_out,
            went_out,
            deadline,
            leaving,
        }
    }

    /// Returns the number of bytes that the peer has yet to take.
    pub fn owes(&self) -> usize {
        self.goes_out.len() - self.went_out
    }

    /// Returns whether a whole request has come already.
    pub fn has_asked(&self) -> bool {
        self.came_in
            .get(..self.looked_at)
            .is_some_and(|seen| seen.last() == Some(&0))
    }

    /// Returns the time by which the message that is on its way must be through.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Reads what has come. Returns `false` at the end of the connection.
    pub fn hear(&mut self, now: Instant) -> bool {
        let mut bite = vec![0; BITE];
        match self.receive(&mut bite) {
            Ok(0) => return false,
            Ok(got) => self.came_in.extend_from_slice(&bite[..got]),
            Err(Errno::WOULDBLOCK | Errno::INTR) => return true,
            Err(_) => return false,
        }
        self.deadline.get_or_insert(now + PATIENCE);
        self.look();
        if !self.has_asked() && self.came_in.len() > self.longest() {
            return self.part(Failure::too_long(self.longest()), now);
        }
        true
    }

    /// Reads, without waiting. Descriptors are no part of the protocol; without room for them the kernel would close
    /// them before this returns, however long that takes.
    fn receive(&self, bite: &mut [u8]) -> Result<usize, Errno> {
        let mut room = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST_BESIDE))];
        let mut beside = RecvAncillaryBuffer::new(&mut room);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let got = recvmsg(
            self.stream.as_fd(),
            &mut [IoSliceMut::new(bite)],
            &mut beside,
            flags,
        );
        for message in beside.drain() {
            if let RecvAncillaryMessage::ScmRights(sent) = message {
                sent.for_each(|fd| drop(self.closer.take(of_user(self.requester.user), fd)));
            }
        }
        Ok(got?.bytes)
    }

    /// Returns the change that waits for a decision, and the question about it, if it is asked.
    pub fn waits(&self) -> Option<(PermissionRequest, Option<&Question>)> {
        let (_, question) = self.waits.as_ref()?;
        Some((self.permission.wanted()?, question.as_ref()))
    }

    /// Sets the question that is asked about the change that waits.
    pub fn wait_for(&mut self, question: Question) {
        if let Some((_, asked)) = &mut self.waits {
            *asked = Some(question);
        }
    }

    /// Goes on with the request that waits. Returns `false` at the end of the connection.
    pub fn decide(&mut self, decision: Result<(), Failure>, now: Instant) -> bool {
        let Some((request, _)) = self.waits.take() else {
            return true;
        };
        self.permission.decide(decision);
        self.handle(request, now)
    }

    /// Answers the oldest request, or finds that it waits. Returns `false` if it was no request, or if the connection
    /// is over.
    pub fn answer(&mut self, now: Instant) -> bool {
        let rest = self.came_in.split_off(self.looked_at);
        let request = std::mem::replace(&mut self.came_in, rest);
        self.looked_at = 0;
        if request.len() > self.longest() {
            return self.part(Failure::too_long(self.longest()), now);
        }
        self.permission.forget();
        self.handle(request, now)
    }

    fn handle(&mut self, request: Vec<u8>, now: Instant) -> bool {
        let mut reply = Vec::new();
        if self
            .service
            .handle(&mut request.as_slice(), &mut reply, None)
            .is_err()
        {
            return false;
        }
        if self.permission.wanted().is_some() {
            (self.waits, self.deadline) = (Some((request, None)), None);
            return true;
        }
        self.look();
        self.deadline = (!self.came_in.is_empty()).then_some(now + PATIENCE);
        if is_oneway(&request) {
            return true;
        }
        self.tell(reply, now)
    }

    /// Sends as much of the answer as the peer takes. Returns `false` if the peer takes nothing any more.
    pub fn speak(&mut self) -> bool {
        while let Some(rest) = self
            .goes_out
            .get(self.went_out..)
            .filter(|rest| !rest.is_empty())
        {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match send(&self.stream, rest, flags) {
                Ok(0) => return false,
                Ok(wrote) => self.went_out += wrote,
                Err(Errno::WOULDBLOCK | Errno::INTR) => return true,
                Err(_) => return false,
            }
        }
        (self.goes_out, self.went_out) = (Vec::new(), 0);
        // A request that waits behind has its own time from here on.
        self.deadline = self.deadline.filter(|_| !self.came_in.is_empty());
        !self.leaving
    }

    /// Sends an error and ends the connection after it.
    fn part(&mut self, failure: Failure, now: Instant) -> bool {
        (self.came_in, self.looked_at, self.leaving) = (Vec::new(), 0, true);
        serialize_reply(&failure.reply()).is_ok_and(|reply| self.tell(reply, now))
    }

    fn tell(&mut self, reply: Vec<u8>, now: Instant) -> bool {
        self.goes_out = reply;
        self.deadline = Some(now + PATIENCE);
        self.speak()
    }

    /// Looks for the end of a message in the bytes that have not been looked at.
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

/// Returns whether the requester wants no answer.
fn is_oneway(request: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Oneway {
        oneway: Option<bool>,
    }
    let text = request.strip_suffix(&[0]).unwrap_or(request);
    serde_json::from_slice::<Oneway>(text).is_ok_and(|request| request.oneway == Some(true))
}

// What `GetInterfaceDescription` answers must fit into what one user may owe.
const _: () = assert!(DESCRIPTION.len() < LONGEST_OF_OTHERS);
