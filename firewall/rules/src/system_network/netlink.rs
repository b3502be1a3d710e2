//! Requests to the kernel by rtnetlink, and notifications of changed routes, devices and neighbours.

use super::RoutesUnknown;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send,
    socket,
};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Longest message, and longest answer, in bytes: a machine with more routes is no person's, and its routes count as
/// unknown.
const MESSAGE: usize = 64 << 10;
const MOST: usize = 8 << 20;

/// Number of requests for the routes while they change meanwhile: any route's change counts, not only a default one's.
const TRIES: usize = 5;

/// Sizes, in bytes, of `struct nlmsghdr` and of an attribute's header.
const HEADER: usize = 16;
pub const ATTRIBUTE: usize = 4;
/// Mask of an attribute's type, without its flags.
const TYPE: u16 = 0x3FFF;
/// Flag of an answer that was changed while it was read (`NLM_F_DUMP_INTR`).
const INTERRUPTED: u16 = 0x10;

const REQUEST: u16 = libc::NLM_F_REQUEST as u16;
pub const DUMP: u16 = libc::NLM_F_DUMP as u16;
pub const CREATE: u16 = libc::NLM_F_CREATE as u16;
const MULTI: u16 = libc::NLM_F_MULTI as u16;
const ERROR: u16 = libc::NLMSG_ERROR as u16;
const DONE: u16 = libc::NLMSG_DONE as u16;

/// Multicast groups of the kernel's notifications: devices, neighbours, routes of IPv4 and IPv6.
const GROUPS: u32 = 0x1 | 0x4 | 0x40 | 0x400;

/// Notifications of changes to routes, devices and neighbours, in the network namespace of the thread that began to
/// listen.
#[derive(Debug)]
pub struct RouteChanges(Socket);

impl RouteChanges {
    /// Begins to listen for notifications.
    ///
    /// # Errors
    /// Fails if the kernel gives no socket for them.
    pub fn listen() -> Result<Self, RoutesUnknown> {
        Socket::open(GROUPS).map(Self)
    }

    /// Takes one notification, and returns whether there was one. One that was lost for want of room counts too.
    #[must_use]
    pub fn takes_word(&self) -> bool {
        let taken = recv(self.0.0.as_raw_fd(), &mut [0; 1], MsgFlags::MSG_DONTWAIT);
        !matches!(taken, Err(Errno::EAGAIN))
    }
}

impl AsFd for RouteChanges {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.0.as_fd()
    }
}

/// A netlink socket for one request at a time.
#[derive(Debug)]
pub struct Socket(OwnedFd);

impl Socket {
    /// Opens a socket that receives only answers.
    pub fn to_ask() -> Result<Self, RoutesUnknown> {
        Self::open(0)
    }

    /// One that asks families of generic netlink, and hears only answers.
    pub fn to_ask_families() -> Result<Self, RoutesUnknown> {
        Self::open_for(SockProtocol::NetlinkGeneric, 0)
    }

    fn open(groups: u32) -> Result<Self, RoutesUnknown> {
        Self::open_for(SockProtocol::NetlinkRoute, groups)
    }

    fn open_for(protocol: SockProtocol, groups: u32) -> Result<Self, RoutesUnknown> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let failed = |cause: Errno| RoutesUnknown::Socket(cause.into());
        let socket =
            socket(AddressFamily::Netlink, SockType::Raw, flags, protocol).map_err(failed)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups)).map_err(failed)?;
        Ok(Self(socket))
    }

    /// Sends a request of this kind, with these flags beside that of a request.
    pub fn ask(&self, kind: u16, flags: u16, body: &[u8]) -> Result<(), RoutesUnknown> {
        let mut message = ((HEADER + body.len()) as u32).to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend((REQUEST | flags).to_ne_bytes());
        // Neither a number nor a sender's: there is one question at a time.
        message.extend([0; 8]);
        message.extend(body);
        send(self.0.as_raw_fd(), &message, MsgFlags::empty())
            .map_err(|cause| RoutesUnknown::Question(cause.into()))?;
        Ok(())
    }

    /// Receives an answer, and hands each of its messages to `take`. The answer is one message, or several until one
    /// that ends it.
    pub fn answered(&self, mut take: impl FnMut(u16, &[u8])) -> Result<(), RoutesUnknown> {
        let mut buffer = vec![0; MESSAGE];
        let mut whole = 0;
        loop {
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
            let length = recv(self.0.as_raw_fd(), &mut buffer, flags)
                .map_err(|cause| RoutesUnknown::NoAnswer(cause.into()))?;
            whole += length;
            if whole > MOST {
                return Err(RoutesUnknown::TooMany);
            }
            let mut rest = buffer.get(..length).ok_or(RoutesUnknown::CutShort)?;
            while !rest.is_empty() {
                let message;
                (message, rest) = split(rest).ok_or(RoutesUnknown::CutShort)?;
                if message.flags & INTERRUPTED != 0 {
                    return Err(RoutesUnknown::ChangedMeanwhile);
                }
                match message.kind {
                    DONE => return Ok(()),
                    ERROR => return Err(RoutesUnknown::Refused(error_of(message.body).into())),
                    kind => take(kind, message.body),
                }
                if message.flags & MULTI == 0 {
                    return Ok(());
                }
            }
        }
    }
}

#[cfg(test)]
impl Socket {
    /// One with somebody at its other end who is no kernel.
    pub const fn of(socket: OwnedFd) -> Self {
        Self(socket)
    }
}

/// Reads until nothing has changed meanwhile, at most [`TRIES`] times.
pub fn once_unchanged<T>(read: impl Fn() -> Result<T, RoutesUnknown>) -> Result<T, RoutesUnknown> {
    let mut told = read();
    for _ in 1..TRIES {
        if !matches!(told, Err(RoutesUnknown::ChangedMeanwhile)) {
            break;
        }
        told = read();
    }
    told
}

/// One message of an answer.
pub struct Message<'a> {
    kind: u16,
    flags: u16,
    body: &'a [u8],
}

/// Splits the first message off these bytes.
pub fn split(bytes: &[u8]) -> Option<(Message<'_>, &[u8])> {
    let length = u32_at(bytes, 0)? as usize;
    let message = Message {
        kind: u16_at(bytes, 4)?,
        flags: u16_at(bytes, 6)?,
        body: bytes.get(HEADER..length)?,
    };
    let next = length.next_multiple_of(4).min(bytes.len());
    Some((message, bytes.get(next..)?))
}

fn error_of(body: &[u8]) -> Errno {
    let number = u32_at(body, 0).map_or(0, |number| number as i32);
    Errno::from_raw(number.saturating_neg())
}

/// Returns the value of the first attribute of this type.
pub fn attributes_of(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(bytes)
        .find(|(kind, _)| *kind == wanted)
        .map(|(_, value)| value)
}

/// Decodes the attributes in these bytes: type and value of each.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        let found = (u16_at(bytes, 2)? & TYPE, bytes.get(ATTRIBUTE..length)?);
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(found)
    })
}

/// Reads a 16-bit integer at this position, in the machine's byte order.
pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_ne_bytes(*bytes))
}

/// Reads a 32-bit integer at this position, in the machine's byte order.
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

    use super::*;
    use nix::sys::socket::socketpair;

    #[test]
    fn routes_that_change_while_they_are_read_are_read_again_and_half_an_answer_is_none() {
        let (kernel, us) = socketpair(
            AddressFamily::Unix,
            SockType::Datagram,
            None,
            SockFlag::SOCK_NONBLOCK,
        )
        .unwrap();
        let us = Socket(us);
        let tell = |flags: u16| {
            let mut message = (HEADER as u32).to_ne_bytes().to_vec();
            message.extend(DONE.to_ne_bytes());
            message.extend((flags | MULTI).to_ne_bytes());
            message.extend([0; 8]);
            send(kernel.as_raw_fd(), &message, MsgFlags::empty()).unwrap();
        };
        let read = || us.answered(|_, _| ());
        (1..TRIES).for_each(|_| tell(INTERRUPTED));
        tell(0);
        once_unchanged(read).unwrap();
        (0..TRIES).for_each(|_| tell(INTERRUPTED));
        let told = once_unchanged(read);
        assert!(matches!(told, Err(RoutesUnknown::ChangedMeanwhile)));
        // What fails otherwise fails at once.
        assert!(once_unchanged(read).is_err());
    }
}
