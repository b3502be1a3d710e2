//! Helper processes: the service's own program under another name, with rights that the service has not. systemd starts
//! each as a unit of its own, as the service connects to that unit's socket.

use crate::canary;
use rustix::cmsg_space;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recvmsg,
    sendmsg, socket_with,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Descriptors beside one message, at most.
const MOST_BESIDE: usize = 2;
const _: () = assert!(canary::VERSIONS <= MOST_BESIDE);

/// Returns whether this process was started under this name.
pub fn is_named(name: &str) -> bool {
    std::env::args_os()
        .next()
        .is_some_and(|first| first == name)
}

/// Returns the connection of the service that a helper was started for: its standard input.
pub fn service() -> io::Result<OwnedFd> {
    io::stdin().as_fd().try_clone_to_owned()
}

/// Connects to the socket at which systemd starts a helper. The connection never waits.
pub fn connect_to(at: &Path) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let ours = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    connect(&ours, &SocketAddrUnix::new(at)?)?;
    Ok(ours)
}

/// Sends a message with these descriptors beside it.
pub fn send(to: impl AsFd, message: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut room = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST_BESIDE))];
    let mut beside = SendAncillaryBuffer::new(&mut room);
    if !descriptors.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    sendmsg(
        to,
        &[IoSlice::new(message)],
        &mut beside,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// Receives a message; returns its length, 0 at the connection's end, and the descriptors beside it.
pub fn receive(
    from: impl AsFd,
    message: &mut [u8],
    flags: RecvFlags,
) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut room = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST_BESIDE))];
    let mut beside = RecvAncillaryBuffer::new(&mut room);
    let got = recvmsg(
        from,
        &mut [IoSliceMut::new(message)],
        &mut beside,
        flags | RecvFlags::CMSG_CLOEXEC,
    )?;
    let descriptors = beside.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(sent) => sent.collect(),
        _ => Vec::new(),
    });
    Ok((got.bytes, descriptors.collect()))
}

pub fn is_for_later(cause: &io::Error) -> bool {
    matches!(
        cause.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
