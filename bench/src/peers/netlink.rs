//! The little of netlink that NFLOG and NFQUEUE need. By hand, because the readers must be as quick as can be: what is
//! measured is the kernel's way to tell, not a library's way to listen.

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::sockopt::RcvBufForce;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send,
    setsockopt, socket,
};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// Bytes of a message's header and of the one that netfilter puts behind it.
const HEADER: usize = 16;
const NETFILTER: usize = 4;
/// `NLM_F_REQUEST` and `NLM_F_ACK`.
const REQUEST: u16 = 1;
const ACK: u16 = 4;
/// `NLMSG_ERROR`.
const ERROR: u16 = 2;
/// Room for what the kernel says, as the quickest readers ask for it.
const RECEIVE_BYTES: usize = 8 << 20;

/// A connection to netfilter in the namespace of the thread that made it.
pub struct Netlink(OwnedFd);

/// Result of receiving.
pub enum Received {
    /// Number of received bytes.
    Bytes(usize),
    /// No message came within the timeout.
    Nothing,
    /// The kernel has thrown something away for want of room.
    Overrun,
}

impl Netlink {
    /// Opens one.
    pub fn open() -> Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            flags,
            SockProtocol::NetlinkNetFilter,
        )?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        setsockopt(&socket, RcvBufForce, &RECEIVE_BYTES).context("can't have a large buffer")?;
        Ok(Self(socket))
    }

    /// Sends a request and waits for the kernel's yes or no.
    pub fn ask(&self, message: Message) -> Result<()> {
        self.tell(&message.finished(REQUEST | ACK))?;
        let mut answer = [0; 4096];
        loop {
            let length = recv(self.0.as_raw_fd(), &mut answer, MsgFlags::empty())?;
            let mut said = None;
            each(&answer[..length], |kind, body| {
                said = said.or((kind == ERROR).then(|| number(body, 0)))
            });
            match said {
                Some(0) => return Ok(()),
                Some(error) => bail!(
                    "netfilter refuses: {}",
                    Errno::from_raw(-error.cast_signed())
                ),
                None => {}
            }
        }
    }

    /// Sends bytes of messages that want no answer.
    pub fn tell(&self, bytes: &[u8]) -> Result<()> {
        send(self.0.as_raw_fd(), bytes, MsgFlags::empty())
            .map(drop)
            .context("can't talk to netfilter")
    }

    /// Waits for something, and takes what one call gets.
    pub fn receive(&self, room: &mut [u8], milliseconds: u16) -> Result<Received> {
        match recv(self.0.as_raw_fd(), room, MsgFlags::MSG_DONTWAIT) {
            Err(Errno::EAGAIN) => {}
            other => return received(other),
        }
        let mut wait = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        if poll(&mut wait, PollTimeout::from(milliseconds))? == 0 {
            return Ok(Received::Nothing);
        }
        received(recv(self.0.as_raw_fd(), room, MsgFlags::MSG_DONTWAIT))
    }
}

fn received(outcome: nix::Result<usize>) -> Result<Received> {
    match outcome {
        Ok(length) => Ok(Received::Bytes(length)),
        Err(Errno::EAGAIN | Errno::EINTR) => Ok(Received::Nothing),
        Err(Errno::ENOBUFS) => Ok(Received::Overrun),
        Err(error) => Err(error).context("can't listen to netfilter"),
    }
}

/// A message in the making.
pub struct Message(Vec<u8>);

impl Message {
    /// Creates a message of a subsystem (4: log, 3: queue) and a type, about a group or a queue.
    pub fn new(subsystem: u8, kind: u8, about: u16) -> Self {
        let mut bytes = vec![0; HEADER + NETFILTER];
        bytes[4..6].copy_from_slice(&u16::from_be_bytes([subsystem, kind]).to_ne_bytes());
        bytes[18..20].copy_from_slice(&about.to_be_bytes());
        Self(bytes)
    }

    /// Appends an attribute.
    pub fn with(mut self, kind: u16, value: &[u8]) -> Self {
        let length = (4 + value.len()) as u16;
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// Returns the bytes of the message, with its length and flags set.
    pub fn finished(mut self, flags: u16) -> Vec<u8> {
        let length = self.0.len() as u32;
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0[6..8].copy_from_slice(&flags.to_ne_bytes());
        self.0
    }
}

/// Hands over each message of what was received: its kind, and what follows its header.
pub fn each(mut bytes: &[u8], mut one: impl FnMut(u16, &[u8])) {
    while bytes.len() >= HEADER {
        let length = number(bytes, 0) as usize;
        if length < HEADER || length > bytes.len() {
            return;
        }
        let kind = u16::from_ne_bytes([bytes[4], bytes[5]]);
        one(kind, &bytes[HEADER..length]);
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    }
}

/// The attribute of a netfilter message's body.
pub fn attribute(body: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut rest = body.get(NETFILTER..)?;
    while rest.len() >= 4 {
        let length = usize::from(u16::from_ne_bytes([rest[0], rest[1]]));
        if length < 4 {
            return None;
        }
        if u16::from_ne_bytes([rest[2], rest[3]]) & 0x3FFF == wanted {
            return rest.get(4..length);
        }
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
    None
}

/// A number of four bytes, 0 if it is not there.
fn number(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..at + 4)
        .and_then(|four| four.try_into().ok())
        .map_or(0, u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_message_was_made_of_is_found_in_it() {
        let bytes = Message::new(4, 1, 7)
            .with(1, &[9])
            .with(5, &3_u32.to_be_bytes())
            .finished(REQUEST);
        let mut found = Vec::new();
        each(&bytes, |kind, body| {
            let attribute = |wanted| attribute(body, wanted).map(<[u8]>::to_vec);
            found.push((kind, attribute(1), attribute(5), attribute(2)));
        });
        assert_eq!(
            found,
            [(0x0401, Some(vec![9]), Some(vec![0, 0, 0, 3]), None)]
        );
    }

    #[test]
    fn bytes_that_lie_about_their_length_end_it() {
        each(&[0; 64], |_, _| panic!("there is none"));
        assert_eq!(attribute(&[0; 32], 1), None);
    }
}
