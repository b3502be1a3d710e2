//! Control socket's file, with the permissions by which people can connect.

use channel::sys::linux::socket::pass_descriptors;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket,
};
use nix::unistd::{Group, chown};
use std::fs::{Permissions, remove_file, set_permissions};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Number of connections that the kernel keeps until the thread accepts them.
const WAITING: i32 = 32;

/// Listening socket. Dropping it removes its name.
pub struct Socket {
    pub listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Makes the socket: for root and the group, or for root alone if none is named or there is no such group. Nobody
    /// can connect before its mode is set: until `listen`, the kernel refuses.
    pub fn open(path: &Path, group: Option<&str>) -> io::Result<Self> {
        remove_stale(path)?;
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
        bind(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
        let opened = Self {
            listener: socket.into(),
            path: path.to_owned(),
        };
        let group = group.map(Group::from_name).transpose()?.flatten();
        let mode = match group {
            Some(group) => {
                chown(path, None, Some(group.gid))?;
                0o660
            }
            None => 0o600,
        };
        set_permissions(path, Permissions::from_mode(mode))?;
        // The protocol has no descriptors. Kernels before 6.16 take them all the same.
        let _older_kernel = pass_descriptors(opened.listener.as_fd(), false);
        listen(&opened.listener, Backlog::new(WAITING)?)?;
        Ok(opened)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Gone already is as good.
        let _gone = remove_file(&self.path);
    }
}

/// A name that nobody listens at is what a killed service left; one that answers is another service's.
fn remove_stale(path: &Path) -> io::Result<()> {
    match UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(
            ErrorKind::AddrInUse,
            format!("another gatebelld serves {}; stop it first", path.display()),
        )),
        Err(refused) if refused.kind() == ErrorKind::ConnectionRefused => remove_file(path),
        Err(missing) if missing.kind() == ErrorKind::NotFound => Ok(()),
        Err(other) => Err(other),
    }
}
