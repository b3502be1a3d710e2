//! Connections of apps: each an open device of one process.

use super::hold::Registration;
use crate::sys::linux::socket::{self, Message, Prelude};
use crate::sys::linux::{Closer, ForeignFd};
use channel_abi::Ledger;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// An app that is connected.
#[derive(Debug)]
pub struct Client {
    pub socket: ForeignFd,
    /// Process that connected, as a descriptor: when it dies the connection is over, whoever else has the socket.
    pub process: OwnedFd,
    pub pid: u32,
    pub user: u32,
    /// Share of the user, with whom it counts as one: [`super::Policy::share_of`].
    pub share: u32,
    pub hold: Option<Registration>,
    /// Ledger of the last reference that ended.
    pub last: Option<Ledger>,
    pub gone: bool,
}

impl Client {
    pub fn new(socket: OwnedFd, closer: &Closer, share_of: fn(u32) -> u32) -> io::Result<Self> {
        let peer = peer(&socket);
        let share = share_of(peer.as_ref().map_or(NOBODY, |peer| peer.uid));
        // From here on, however this ends, it is closed by others.
        let socket = closer.take(share, socket);
        let peer = peer?;
        let (process, pid) = (process(peer.pid)?, peer.pid.cast_unsigned());
        Ok(Self {
            socket,
            process,
            pid,
            user: peer.uid,
            share,
            hold: None,
            last: None,
            gone: false,
        })
    }

    /// Receives one request, if there is one, with all that came beside it. Returns `None` if the app hung up.
    pub fn receive(&self, most: usize, closer: &Closer) -> io::Result<Option<Request>> {
        let (mut message, is_empty) =
            socket::receive_any(self.socket.as_fd(), most, libc::MSG_DONTWAIT)?;
        let sent = std::mem::take(&mut message.descriptors).into_iter();
        let beside = sent.map(|fd| closer.take(self.share, fd)).collect();
        Ok((!is_empty).then_some(Request { message, beside }))
    }

    /// Sends a message, or fails at once: the device server waits for nobody.
    pub fn tell(
        &self,
        number: u32,
        which: u32,
        body: &[u8],
        given: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let prelude = Prelude {
            number,
            descriptors: which,
        };
        socket::send(
            self.socket.as_fd(),
            prelude,
            body,
            given,
            libc::MSG_DONTWAIT,
        )
    }

    /// Returns whether the app may change the driver: its user is root, or the user that the service runs as.
    pub fn may_change_the_driver(&self) -> bool {
        // SAFETY: no preconditions.
        let service = unsafe { libc::geteuid() };
        self.user == 0 || self.user == service
    }
}

/// A request, and the descriptors beside it, which a [`Closer`] closes.
#[derive(Debug)]
pub struct Request {
    pub message: Message,
    pub beside: Vec<ForeignFd>,
}

/// Number of a user that does not exist.
const NOBODY: u32 = u32::MAX;

/// Returns the credentials of the process that connected, as the kernel noted them.
fn peer(socket: &OwnedFd) -> io::Result<libc::ucred> {
    let mut peer = libc::ucred {
        pid: 0,
        uid: u32::MAX,
        gid: u32::MAX,
    };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    let (fd, at) = (socket.as_raw_fd(), (&raw mut peer).cast());
    // SAFETY: room for what is asked for, as long as said.
    let got =
        unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_PEERCRED, at, &raw mut length) };
    if got < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(peer)
    }
}

/// Opens a descriptor that can be read once the process is dead.
fn process(pid: libc::pid_t) -> io::Result<OwnedFd> {
    // SAFETY: no preconditions.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = i32::try_from(fd).map_err(|_| io::ErrorKind::InvalidData)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
