//! Search for the sockets that the processes of a control group hold, in what the kernel shows of each.

use super::{SHARE, wait_for_closer};
use crate::living;
use channel::sys::linux::{Closer, ForeignFd};
use rustix::io::Errno;
use rustix::net::AddressFamily;
use rustix::net::sockopt::socket_domain;
use rustix::process::{PidfdGetfdFlags, pidfd_getfd};
use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// One finding of the search.
#[derive(Debug)]
pub enum Found {
    /// A socket of IP, with the process that holds it.
    Socket(u32, ForeignFd),
    /// A process whose sockets nobody may look at.
    Closed(u32),
}

/// Finds each socket of IP once: at the process with the lowest number that holds it.
///
/// # Errors
/// What `meet` says, which ends the search; or it is late, as what was looked at takes too long to close.
pub fn search(
    cgroup: &Path,
    closer: &Closer,
    until: Instant,
    mut meet: impl FnMut(Found) -> io::Result<()>,
) -> io::Result<()> {
    let mut seen = HashSet::new();
    for process in processes(cgroup) {
        for (number, name) in sockets(process) {
            if seen.contains(&name) {
                continue;
            }
            wait_for_closer(closer, until)?;
            match taken(process, number, closer) {
                Ok(Some(socket)) => {
                    seen.insert(name);
                    meet(Found::Socket(process, socket))?;
                }
                // A profile may keep one kind of socket from who looks, and says EACCES.
                Err(refused) if Errno::from_io_error(&refused) == Some(Errno::PERM) => {
                    meet(Found::Closed(process))?;
                    break;
                }
                // It does not speak IP, or is gone.
                Ok(None) | Err(_) => {}
            }
        }
    }
    Ok(())
}

/// The processes of a control group and of those below it, in order.
fn processes(cgroup: &Path) -> BTreeSet<u32> {
    let here = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    let below = fs::read_dir(cgroup).into_iter().flatten().flatten();
    let below = below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let below = below.flat_map(|entry| processes(&entry.path()));
    here.lines()
        .filter_map(|line| line.parse().ok())
        .chain(below)
        .collect()
}

/// The descriptors of a process that are sockets, each with the socket's name. None, if the process has ended.
fn sockets(process: u32) -> impl Iterator<Item = (i32, PathBuf)> {
    let files = fs::read_dir(format!("/proc/{process}/fd"))
        .into_iter()
        .flatten()
        .flatten();
    files.filter_map(|file| {
        let name = fs::read_link(file.path()).ok()?;
        let is_socket = name
            .to_str()
            .is_some_and(|name| name.starts_with("socket:["));
        Some((file.file_name().to_str()?.parse().ok()?, name)).filter(|_| is_socket)
    })
}

/// Takes a descriptor of our own for a socket of that process; `None` if it does not speak IP.
fn taken(process: u32, number: i32, closer: &Closer) -> io::Result<Option<ForeignFd>> {
    let process = living::open(process)?;
    let socket = pidfd_getfd(process, number, PidfdGetfdFlags::empty())?;
    let socket = closer.take(SHARE, socket);
    let speaks_ip = matches!(
        socket_domain(&socket)?,
        AddressFamily::INET | AddressFamily::INET6
    );
    Ok(speaks_ip.then_some(socket))
}
