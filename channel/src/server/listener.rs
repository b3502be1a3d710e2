//! Listening socket that apps connect to.

use super::client::Client;
use crate::sys::linux::{Closer, address, socket};
use std::fs::{Permissions, remove_file, set_permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Listening socket of the device server; dropped, its name is taken away.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    path: PathBuf,
    /// `true` if the kernel lets no app send descriptors before it was accepted and greeted.
    pub comes_alone: bool,
}

impl Listener {
    /// Makes the socket. Nobody can connect before its mode is set: until `listen`, the kernel refuses.
    pub fn new(path: &Path, mode: u32) -> io::Result<Self> {
        let flags = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: no preconditions.
        let socket = owned(unsafe { libc::socket(libc::AF_UNIX, flags, 0) })?;
        let (address, length) = address(path)?;
        let at = (&raw const address).cast();
        remove_stale(path, &socket, at, length)?;
        // SAFETY: an initialised address and its length.
        done(unsafe { libc::bind(socket.as_raw_fd(), at, length) })?;
        let mut listener = Self {
            socket,
            path: path.to_owned(),
            comes_alone: false,
        };
        set_permissions(path, Permissions::from_mode(mode))?;
        // Who is not let in has sent nothing that we would have to close. An older kernel can't say so.
        listener.comes_alone = socket::pass_descriptors(listener.socket.as_fd(), false).is_ok();
        // SAFETY: no preconditions.
        done(unsafe { libc::listen(listener.socket.as_raw_fd(), 16) })?;
        Ok(listener)
    }

    /// Accepts the next connection of an app.
    pub fn accept(&self, closer: &Closer, share_of: fn(u32) -> u32) -> io::Result<Client> {
        let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        let (nowhere, no_length) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: no room for an address is given, and none asked for.
        let fd = unsafe { libc::accept4(self.socket.as_raw_fd(), nowhere, no_length, flags) };
        owned(fd).and_then(|socket| Client::new(socket, closer, share_of))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = remove_file(&self.path);
    }
}

/// Removes a name that nobody listens at, which a killed service left; one that answers is another service's, and an
/// error.
fn remove_stale(
    path: &Path,
    socket: &OwnedFd,
    at: *const libc::sockaddr,
    length: u32,
) -> io::Result<()> {
    // SAFETY: an initialised address and its length.
    let connected = unsafe { libc::connect(socket.as_raw_fd(), at, length) };
    match done(connected) {
        Ok(()) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another service has this device open",
        )),
        Err(refused) if refused.kind() == io::ErrorKind::ConnectionRefused => remove_file(path),
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(other) => Err(other),
    }
}

fn owned(fd: i32) -> io::Result<OwnedFd> {
    done(fd)?;
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn done(result: i32) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
