//! Protocol of the device server's socket, for both sides: one message a request, one an answer, with descriptors
//! beside it.

use channel_abi::Refusal;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Header of the device server's greeting, of each request and of each answer.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Prelude {
    /// Number of a request's [`channel_abi::Command`], or of the [`Refusal`] in an answer or a
    /// greeting; 0 in one that is none.
    pub number: u32,
    /// Bits of the descriptors that come beside a message of the device server's, in the order of the bits: [`LEDGER`],
    /// [`RING`], ….
    pub descriptors: u32,
}

/// Bit of the app's ledger, read-only, in the answer to a reference.
pub const LEDGER: u32 = 1;
/// Bit of the app's ring, if the device server made it, in the answer to a reference.
pub const RING: u32 = 2;
/// Bit of the driver's command program, if it has one, in the greeting.
pub const PROGRAM: u32 = 4;
/// Bit of the driver's named event, read-only, if it has one, in the greeting.
pub const NAMED: u32 = 8;

/// Largest number of descriptors that a message of ours carries.
const MOST: usize = 4;
/// Largest number of descriptors that the kernel lets a message carry: `SCM_MAX_FD`. All are received, because the
/// kernel closes those for which there is no room before the call returns, however long that takes.
const MOST_RECEIVED: usize = 253;

/// A message that was received, and the descriptors beside it.
#[derive(Debug)]
pub struct Message {
    /// Header of the message.
    pub prelude: Prelude,
    /// Bytes that follow the header.
    pub body: Vec<u8>,
    /// Descriptors that came beside the message, owned here from now on.
    pub descriptors: Vec<OwnedFd>,
}

impl Message {
    /// Reads the body as a type of `channel_abi`: it must have exactly its length.
    ///
    /// # Errors
    /// [`Refusal::Length`] if the body has another length.
    pub fn read<T: FromBytes>(&self) -> Result<T, Refusal> {
        T::read_from_bytes(&self.body).map_err(|_| Refusal::Length)
    }
}

/// Returns the kernel's number for the network namespace of the calling thread, which no other ever has.
///
/// # Errors
/// What the kernel says.
pub fn netns_cookie() -> io::Result<u64> {
    const SO_NETNS_COOKIE: i32 = 71;
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
    // SAFETY: the call has no preconditions.
    let number = unsafe { libc::socket(libc::AF_UNIX, kind, 0) };
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    let socket = unsafe { OwnedFd::from_raw_fd(number) };
    let mut cookie = 0_u64;
    let mut length = size_of::<u64>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to `cookie`, and to `length` how many.
    let failed = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if failed == 0 {
        Ok(cookie)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Buffer for one control message with as many descriptors as there can be.
#[repr(C, align(8))]
struct Control([u8; (CMSG + 4 * MOST_RECEIVED).next_multiple_of(8)]);

impl Control {
    const EMPTY: Self = Self([0; size_of::<Self>()]);
}

/// Sends one message. `flags` may have `MSG_DONTWAIT`, so as not to wait.
///
/// # Errors
/// What the kernel says: `WouldBlock`, if the other side takes nothing and waiting was not wanted.
pub fn send(
    socket: BorrowedFd<'_>,
    prelude: Prelude,
    body: &[u8],
    descriptors: &[BorrowedFd<'_>],
    flags: i32,
) -> io::Result<()> {
    let mut parts = [part(prelude.as_bytes()), part(body)];
    let mut control = Control::EMPTY;
    let mut header = header(&mut parts, &mut control);
    header.msg_controllen = attach(&mut control, descriptors)?;
    // SAFETY: everything that the header points to is alive and as long as it says; the kernel only reads it.
    let sent = unsafe {
        libc::sendmsg(
            socket.as_raw_fd(),
            &raw const header,
            flags | libc::MSG_NOSIGNAL,
        )
    };
    if sent < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Receives one message of at most `most` bytes of body, or returns `None` if the other side hung up.
///
/// # Errors
/// What the kernel says; `InvalidData` if it is no message.
pub fn receive(socket: BorrowedFd<'_>, most: usize, flags: i32) -> io::Result<Option<Message>> {
    let (message, is_empty) = receive_any(socket, most, flags)?;
    Ok((!is_empty).then_some(message))
}

/// Receives one message of somebody who may mean harm: an empty message, which is no different from a hang-up, can have
/// descriptors beside it. Returns whether it is empty.
///
/// # Errors
/// What the kernel says; `InvalidData` if it is no message.
pub fn receive_any(socket: BorrowedFd<'_>, most: usize, flags: i32) -> io::Result<(Message, bool)> {
    let mut prelude = Prelude::default();
    // One more than allowed, so that a longer message shows itself.
    let mut body = vec![0; most + 1];
    let mut parts = [part_mut(prelude.as_mut_bytes()), part_mut(&mut body)];
    let mut control = Control::EMPTY;
    let mut header = header(&mut parts, &mut control);
    header.msg_controllen = size_of::<Control>();
    // SAFETY: everything that the header points to is alive, ours and as long as it says.
    let got = unsafe {
        libc::recvmsg(
            socket.as_raw_fd(),
            &raw mut header,
            flags | libc::MSG_CMSG_CLOEXEC,
        )
    };
    let got = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
    let descriptors = detach(&control, header.msg_controllen);
    body.truncate(got.saturating_sub(size_of::<Prelude>()));
    if got < size_of::<Prelude>() {
        // No command has the number 0, so half a prelude is refused as one.
        prelude = Prelude::default();
    }
    let message = Message {
        prelude,
        body,
        descriptors,
    };
    Ok((message, got == 0))
}

/// Sets whether descriptors may be sent to this unix socket, and to the connections that a listening one accepts from
/// here on.
///
/// # Errors
/// The kernel is older than 6.16 and takes them in any case (`ENOPROTOOPT`).
pub fn pass_descriptors(socket: BorrowedFd<'_>, may: bool) -> io::Result<()> {
    const SO_PASSRIGHTS: i32 = 83;
    let word = i32::from(may);
    let (at, length) = ((&raw const word).cast(), size_of_val(&word) as u32);
    // SAFETY: a number, as long as said.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_PASSRIGHTS,
            at,
            length,
        )
    };
    if set < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

fn part(bytes: &[u8]) -> libc::iovec {
    libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    }
}

fn part_mut(bytes: &mut [u8]) -> libc::iovec {
    libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    }
}

fn header(parts: &mut [libc::iovec; 2], control: &mut Control) -> libc::msghdr {
    // SAFETY: a plain C struct, for which zero is a valid value (some libcs have private fields).
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = parts.as_mut_ptr();
    header.msg_iovlen = parts.len() as _;
    header.msg_control = control.0.as_mut_ptr().cast();
    header
}

/// Size of a `cmsghdr` on 64-bit Linux, in bytes: its length, its level, its type; the descriptors follow.
const CMSG: usize = 16;

/// Writes the control message by hand; returns its length.
fn attach(control: &mut Control, descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
    if descriptors.is_empty() {
        return Ok(0);
    }
    if descriptors.len() > MOST {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let length = CMSG + 4 * descriptors.len();
    control.0[..8].copy_from_slice(&length.to_ne_bytes());
    control.0[8..12].copy_from_slice(&libc::SOL_SOCKET.to_ne_bytes());
    control.0[12..16].copy_from_slice(&libc::SCM_RIGHTS.to_ne_bytes());
    for (place, fd) in control.0[CMSG..].chunks_exact_mut(4).zip(descriptors) {
        place.copy_from_slice(&fd.as_raw_fd().to_ne_bytes());
    }
    Ok(length.next_multiple_of(8))
}

/// Takes the descriptors out of the control message that came.
fn detach(control: &Control, length: usize) -> Vec<OwnedFd> {
    let word = |at: usize| i32::from_ne_bytes([0, 1, 2, 3].map(|n| control.0[at + n]));
    let rights = length >= CMSG && word(8) == libc::SOL_SOCKET && word(12) == libc::SCM_RIGHTS;
    let said = if rights { word(0) as usize } else { 0 };
    let count = said.min(length).saturating_sub(CMSG) / 4;
    let numbers = (0..count).map(|n| word(CMSG + 4 * n));
    // SAFETY: the kernel has just made these descriptors for us.
    numbers
        .map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
        .collect()
}

/// Sends a request, and waits for the answer: one whose number is not 0 is that of a [`Refusal`].
///
/// # Errors
/// What the kernel says; `ConnectionAborted` if the other side hung up. After any error the connection is over: an
/// answer that came late would be taken for that to the next question.
pub fn ask(
    socket: BorrowedFd<'_>,
    command: channel_abi::Command,
    body: &[u8],
    beside: Option<BorrowedFd<'_>>,
    most: usize,
) -> io::Result<Message> {
    let prelude = Prelude {
        number: command as u32,
        descriptors: 0,
    };
    send(socket.as_fd(), prelude, body, beside.as_slice(), 0)
        .and_then(|()| receive(socket, most, 0)?.ok_or(io::ErrorKind::ConnectionAborted.into()))
        .inspect_err(|_| hang_up(socket))
}

/// Ends the connection, whoever has a descriptor of it.
fn hang_up(socket: BorrowedFd<'_>) {
    // SAFETY: no preconditions. One that has ended already is as good.
    let _ended = unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_RDWR) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use channel_abi::Command;

    /// Makes both ends of a connection; a receive at the first waits for 50 ms.
    fn pair() -> [OwnedFd; 2] {
        let mut ends = [0; 2];
        let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
        // SAFETY: room for two numbers.
        let made = unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) };
        assert_eq!(made, 0);
        let wait = libc::timeval {
            tv_sec: 0,
            tv_usec: 50_000,
        };
        let length = size_of_val(&wait) as libc::socklen_t;
        let (option, at) = (libc::SO_RCVTIMEO, (&raw const wait).cast());
        // SAFETY: a struct of the option's type, as long as said.
        let set = unsafe { libc::setsockopt(ends[0], libc::SOL_SOCKET, option, at, length) };
        assert_eq!(set, 0);
        // SAFETY: the kernel has just made both for us.
        ends.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
    }

    #[test]
    fn an_answer_that_comes_late_is_not_taken_for_that_to_the_next_question() {
        let [ours, theirs] = pair();
        let ask = |command| ask(ours.as_fd(), command, &[], None, 64);
        let late = ask(Command::References).expect_err("nobody answers");
        assert_eq!(late.kind(), io::ErrorKind::WouldBlock);
        let _hung_up = send(theirs.as_fd(), Prelude::default(), &[7; 8], &[], 0);
        let next = ask(Command::Dereference).expect_err("the connection is over");
        assert_ne!(next.kind(), io::ErrorKind::WouldBlock, "it says so at once");
    }
}
