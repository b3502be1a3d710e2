//! The sockets that were there before the driver. It has not seen who made them, so it is told who holds them: of
//! several the process with the lowest number, which is most likely the oldest.
//!
//! Where a socket for that is named, they are found by a process of its own ([`process`]), which systemd starts as a
//! unit as the service connects there: taking hold of other processes' descriptors the
//! service's unit then has not to permit.
//!
//! Not found are those that nobody's table of files shows: a connection that waits to be accepted,
//! a socket on its way from one process to another.

pub mod process;
mod search;

use crate::driver::Driver;
use crate::zone::Zone;
use anyhow::Result;
use channel::sys::linux::{Closer, ForeignFd};
use firewall_abi::firewall::Owner;
use firewall_abi::packet::process_name;
use rules::{Resolver, SystemResolver};
use search::Found;
use std::fs;
use std::io;
use std::os::linux::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Greatest time that finding and naming takes, with the start of who finds: no packet is judged meanwhile where none
/// was before.
const LONGEST: Duration = Duration::from_secs(20);
/// Share of the closer's threads.
const SHARE: u32 = 1;
/// Time between two looks at whether the closer has room again.
const PAUSE: Duration = Duration::from_millis(1);

/// Result of telling the driver who holds sockets that are older than the driver.
#[derive(Default)]
pub struct NamedSockets {
    /// Number of sockets that the driver was told of.
    pub sockets: usize,
    /// Processes whose sockets nobody may look at, not even we: those have no program.
    pub closed: Vec<u32>,
}

/// Tells the driver who holds the zone's sockets, where it does not know. They are found by the process of the unit at
/// this socket, or else by the service.
///
/// # Errors
/// Not all were found. Those that were the driver knows.
pub fn name_older(driver: &Driver, zone: &Zone, at: Option<&Path>) -> Result<NamedSockets> {
    let mut naming = Naming {
        driver,
        machine: SystemResolver::beside(Path::new("/")),
        holder: Owner::NOBODY,
        named: NamedSockets::default(),
    };
    let (closer, until) = (Closer::default(), Instant::now() + LONGEST);
    match at {
        Some(at) => process::ask(at, &zone.cgroup, &closer, until, |found| naming.take(found))?,
        None => search::search(&zone.folder(), &closer, until, |found| {
            naming.take(found);
            Ok(())
        })?,
    }
    Ok(naming.named)
}

/// Waits until what was taken hold of is closed, but for some. Whoever made a socket may have left it, and its end then
/// takes as long as they have chosen: so no thread that others wait for closes one.
fn wait_for_closer(closer: &Closer, until: Instant) -> io::Result<()> {
    while closer.is_behind(SHARE) {
        if Instant::now() >= until {
            let why = "sockets that their processes have left take too long to close";
            return Err(io::Error::new(io::ErrorKind::TimedOut, why));
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

struct Naming<'a> {
    driver: &'a Driver,
    machine: SystemResolver,
    /// Process whose sockets are being named.
    holder: Owner,
    named: NamedSockets,
}

impl Naming<'_> {
    fn take(&mut self, found: Found) {
        match found {
            Found::Socket(process, socket) => self.name(process, &socket),
            Found::Closed(process) => self.named.closed.push(process),
        }
    }

    fn name(&mut self, process: u32, socket: &ForeignFd) {
        if self.holder.pid != process {
            self.holder = holder_of(process, &self.machine);
        }
        let user = rustix::fs::fstat(socket);
        let owner = Owner {
            user: user.map_or(self.holder.user, |of| of.st_uid),
            ..self.holder
        };
        // A program can leave its socket no room for such a note: then it stays nobody's.
        let is_new = self.driver.name_socket(socket, &owner).unwrap_or(false);
        self.named.sockets += usize::from(is_new);
    }
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
