//! The process that finds sockets which are older than the driver: it may look into other processes and take hold of
//! their descriptors, is handed the zone's control group, hands on each socket that it finds there, and ends.

use super::search::{Found, search};
use super::{LONGEST, SHARE, wait_for_closer};
use crate::helper;
use anyhow::{Context, Result, bail};
use channel::sys::linux::{Closer, ForeignFd};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::net::RecvFlags;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;
use tracing::error;

/// The name by which the service's own program is started for this.
pub const NAME: &str = "gatebell-sockets";

/// First byte of a message; a process's number follows the first two.
const SOCKET: u8 = b'+';
const CLOSED: u8 = b'-';
const IS_ALL: u8 = b'.';

/// Length of a message, in bytes.
const LENGTH: usize = 1 + size_of::<u32>();

/// Has the process of the unit at this socket find the sockets of a control group.
///
/// # Errors
/// It has not found all of them, for it could not be started, has ended or takes too long.
pub fn ask(
    at: &Path,
    cgroup: &File,
    closer: &Closer,
    until: Instant,
    meet: impl FnMut(Found),
) -> Result<()> {
    let failed = || format!("connecting to {}, where systemd starts it", at.display());
    // What nobody has received from it is closed with it.
    let process = closer.take(SHARE, helper::connect_to(at).with_context(failed)?);
    ask_over(&process, cgroup, closer, until, meet)
}

fn ask_over(
    process: &ForeignFd,
    cgroup: &File,
    closer: &Closer,
    until: Instant,
    mut meet: impl FnMut(Found),
) -> Result<()> {
    helper::send(process, &[0], &[cgroup.as_fd()]).context("handing the control group over")?;
    loop {
        if !says_more(process.as_fd(), until)? {
            bail!("who finds them takes too long");
        }
        wait_for_closer(closer, until).context("naming what was found")?;
        let mut message = [0; LENGTH];
        let (length, descriptors) = match helper::receive(process, &mut message, RecvFlags::empty())
        {
            Err(cause) if helper::is_for_later(&cause) => continue,
            got => got.context("who finds them is lost")?,
        };
        let [kind, number @ ..] = message;
        let number = u32::from_ne_bytes(number);
        let mut sent = descriptors.into_iter().map(|fd| closer.take(SHARE, fd));
        let socket = sent.next();
        sent.for_each(drop);
        match (&message[..length], socket) {
            ([SOCKET, ..], Some(socket)) if length == LENGTH => meet(Found::Socket(number, socket)),
            // One that was found, and that the kernel lets nobody hand on to the service.
            ([SOCKET | CLOSED, ..], None) if length == LENGTH => meet(Found::Closed(number)),
            ([IS_ALL], _) => return Ok(()),
            ([], _) => bail!("who finds them has ended"),
            _ => bail!("who finds them is of another release, and says {kind}"),
        }
    }
}

/// Waits until the process says something, or has ended; false: it is late.
fn says_more(process: BorrowedFd<'_>, until: Instant) -> Result<bool> {
    let mut fds = [PollFd::new(process, PollFlags::POLLIN)];
    let time = until.saturating_duration_since(Instant::now());
    let time = PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX);
    match poll(&mut fds, time) {
        Ok(ready) => Ok(ready > 0),
        Err(nix::errno::Errno::EINTR) => Ok(true),
        Err(cause) => Err(cause.into()),
    }
}

/// Finds sockets for the service at the other end of standard input.
pub fn find_sockets() -> ExitCode {
    let found = helper::service()
        .context("who starts this has no connection for it")
        .and_then(|service| find_for(&service));
    match found {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            error!("not every socket that is older than the driver was found: {cause:#}");
            ExitCode::FAILURE
        }
    }
}

fn find_for(service: &OwnedFd) -> Result<()> {
    let (_, descriptors) = helper::receive(service, &mut [0], RecvFlags::empty())
        .context("taking what the service hands over")?;
    let Some(cgroup) = descriptors.into_iter().next() else {
        bail!("who started this is no service of Gatebell's");
    };
    let folder = format!("/proc/self/fd/{}", cgroup.as_raw_fd());
    let until = Instant::now() + LONGEST;
    search(
        Path::new(&folder),
        &Closer::default(),
        until,
        |found| match found {
            Found::Socket(process, socket) => {
                helper::send(service, &message(SOCKET, process), &[socket.as_fd()])
            }
            Found::Closed(process) => helper::send(service, &message(CLOSED, process), &[]),
        },
    )
    .context("telling the service")?;
    helper::send(service, &[IS_ALL], &[]).context("telling the service that this is all")
}

fn message(kind: u8, process: u32) -> [u8; LENGTH] {
    let mut message = [kind; LENGTH];
    message[1..].copy_from_slice(&process.to_ne_bytes());
    message
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use rustix::net::sockopt::set_socket_linger;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    use std::io::Write;
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::unix::fs::MetadataExt;
    use std::time::Duration;

    fn connection(closer: &Closer) -> (ForeignFd, OwnedFd) {
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        (closer.take(SHARE, ours), theirs)
    }

    /// A folder that shows this process as a control group's only one.
    fn own_group() -> (tempfile::TempDir, File) {
        let folder = tempfile::tempdir().unwrap();
        let this = format!("{}\n", std::process::id());
        std::fs::write(folder.path().join("cgroup.procs"), this).unwrap();
        let opened = File::open(folder.path()).unwrap();
        (folder, opened)
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn sockets_are_found_by_another_process_and_handed_on_with_who_holds_them() {
        let (_folder, cgroup) = own_group();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let copy = File::from(OwnedFd::from(socket.try_clone().unwrap()));
        let closer = Closer::default();
        let (ours, theirs) = connection(&closer);
        let finds = std::thread::spawn(move || find_for(&theirs));
        let mut found = Vec::new();
        ask_over(&ours, &cgroup, &closer, soon(), |one| found.push(one)).unwrap();
        finds.join().unwrap().unwrap();
        let number = copy.metadata().unwrap().ino();
        let holders = found.iter().filter_map(|one| match one {
            Found::Socket(process, socket) => {
                (rustix::fs::fstat(socket).unwrap().st_ino == number).then_some(*process)
            }
            Found::Closed(_) => None,
        });
        // Once, however many descriptors of it there are.
        assert_eq!(holders.collect::<Vec<_>>(), [std::process::id()]);
    }

    #[test]
    fn a_finder_of_sockets_that_ends_early_or_hangs_is_an_error_and_not_waited_for() {
        let (_folder, cgroup) = own_group();
        let closer = Closer::default();
        for said in [&b"-\0\0\0\0"[..], b"+\0\0\0\0", b"+", b"?"] {
            let (ours, theirs) = connection(&closer);
            helper::send(&theirs, said, &[]).unwrap();
            drop(theirs);
            let heard = ask_over(&ours, &cgroup, &closer, soon(), drop);
            assert!(heard.is_err(), "{said:?}");
        }
        let (ours, _silent) = connection(&closer);
        let late = ask_over(&ours, &cgroup, &closer, Instant::now(), drop).unwrap_err();
        assert!(late.to_string().contains("too long"), "{late}");
        let nowhere = Path::new("/proc/self/no-socket");
        assert!(ask(nowhere, &cgroup, &closer, soon(), drop).is_err());
    }

    /// Sends a socket whose last descriptor is closed in a minute at the earliest.
    fn send_lingering(finder: &OwnedFd) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        set_socket_linger(&stream, Some(Duration::from_secs(60))).unwrap();
        stream.set_nonblocking(true).unwrap();
        // Nobody reads it: what is not acknowledged has to be waited for.
        while (&stream).write(&[0; 65_536]).is_ok() {}
        stream.set_nonblocking(false).unwrap();
        helper::send(finder, &message(SOCKET, 1), &[stream.as_fd()]).unwrap();
        // Whoever listened keeps the connection's other end.
        std::mem::forget(listener);
        std::thread::spawn(move || drop(stream));
    }

    #[test]
    fn a_socket_whose_end_takes_long_keeps_nobody_waiting_be_it_named_or_never_received() {
        let (_folder, cgroup) = own_group();
        let closer = Closer::default();
        let begun = Instant::now();
        let (ours, theirs) = connection(&closer);
        // The first is named, and the second lies in the connection as that ends.
        send_lingering(&theirs);
        helper::send(&theirs, b"?", &[]).unwrap();
        send_lingering(&theirs);
        // Their own descriptors of them are gone by then.
        std::thread::sleep(Duration::from_millis(200));
        assert!(ask_over(&ours, &cgroup, &closer, soon(), drop).is_err());
        drop(ours);
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
}
