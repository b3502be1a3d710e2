//! The sockets that were there before the driver. It has not seen who made them, so it is told who holds them: of several the
//! process with the lowest number, which is most likely the oldest.
//!
//! Not found are those that nobody's table of files shows: a connection that waits to be accepted, a socket on its way from one
//! process to another.

use crate::driver::Driver;
use crate::living;
use crate::zone::Zone;
use firewall_abi::firewall::Owner;
use firewall_abi::packet::process_name;
use rules::{Resolver, SystemResolver};
use rustix::net::AddressFamily;
use rustix::net::sockopt::socket_domain;
use rustix::process::{PidfdGetfdFlags, pidfd_getfd};
use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::linux::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Result of telling the driver who holds sockets that are older than the driver.
#[derive(Default)]
pub struct NamedSockets {
    /// Number of sockets that the driver was told of.
    pub sockets: usize,
    /// Processes whose sockets nobody may look at, not even we: those have no program.
    pub closed: Vec<u32>,
}

/// Tells the driver who holds the zone's sockets, where it does not know.
pub fn name_older(driver: &Driver, zone: &Zone) -> NamedSockets {
    let (machine, mut seen, mut named) = (
        SystemResolver::beside(Path::new("/")),
        HashSet::new(),
        NamedSockets::default(),
    );
    for process in processes(&zone.folder()) {
        let mut holder = None;
        for (number, name) in sockets(process) {
            if seen.contains(&name) {
                continue;
            }
            match taken(process, number) {
                Ok(Some(socket)) => {
                    let holder = *holder.get_or_insert_with(|| holder_of(process, &machine));
                    let user = socket.metadata().map_or(holder.user, |of| of.st_uid());
                    let owner = Owner { user, ..holder };
                    // A program can leave its socket no room for such a note: then it stays nobody's.
                    named.sockets +=
                        usize::from(driver.name_socket(&socket, &owner).unwrap_or(false));
                    seen.insert(name);
                }
                Err(refused) if refused.kind() == io::ErrorKind::PermissionDenied => {
                    named.closed.push(process);
                    break;
                }
                // It does not speak IP, or is gone.
                Ok(None) | Err(_) => {}
            }
        }
    }
    named
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

/// A descriptor of our own for a socket of that process; none: it does not speak IP.
fn taken(process: u32, number: i32) -> io::Result<Option<File>> {
    let process = living::open(process)?;
    let socket: OwnedFd = pidfd_getfd(process, number, PidfdGetfdFlags::empty())?;
    let speaks_ip = matches!(
        socket_domain(&socket)?,
        AddressFamily::INET | AddressFamily::INET6
    );
    Ok(speaks_ip.then(|| socket.into()))
}

/// Returns the owner that the driver would have noted, had the process made the socket now.
fn holder_of(process: u32, machine: &SystemResolver) -> Owner {
    let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
    Owner {
        pid: process,
        user: fs::metadata(format!("/proc/{process}")).map_or(Owner::NOBODY.user, |of| of.st_uid()),
        // To the kernel's nanosecond only the driver knows it, and notes it as soon as the process calls somebody.
        began_ns: 0,
        name: process_name(name.trim_end_matches('\n')).unwrap_or_default(),
        program: machine
            .program(&format!("/proc/{process}/exe"))
            .unwrap_or_default(),
    }
}
