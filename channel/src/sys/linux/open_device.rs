//! An open device: the connection to the device server, and what it answers.

use super::poll::poll_for;
use super::socket::{self, Message, NAMED, PROGRAM};
use super::{MISFIT, NamedEvent, lock};
use crate::Error;
use channel_abi::{Command, Referenced};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;
use zerocopy::FromBytes;

/// Longest time that the device server may take for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// An open device: a connection to the device server.
#[derive(Debug)]
pub struct OpenDevice {
    pub(super) socket: OwnedFd,
    /// Lock that lets one request be made at a time: each has its answer.
    pub(super) asking: Mutex<()>,
    pub(super) program: Option<OwnedFd>,
    pub(super) named: Option<OwnedFd>,
    /// Slot and token of the app, to prove its slot to the driver's program.
    pub(super) referenced: Mutex<Option<Referenced>>,
}

impl OpenDevice {
    /// Opens the driver's own named event, if it has one, as the article's background does.
    ///
    /// # Errors
    /// [`Error::System`] if the driver has none, or it can't be waited for.
    pub fn named(&self) -> Result<NamedEvent, Error> {
        let missing = || Error::System {
            what: "open the driver's named event",
            source: io::ErrorKind::NotFound.into(),
        };
        let ring = self.named.as_ref().ok_or_else(missing)?;
        let source = |source| Error::System {
            what: "open the driver's named event",
            source,
        };
        NamedEvent::new(ring.try_clone().map_err(source)?)
    }

    pub(super) fn ask(
        &self,
        command: Command,
        body: &[u8],
        beside: Option<BorrowedFd<'_>>,
        most: usize,
    ) -> Result<Message, Error> {
        let _one = lock(&self.asking);
        let answer = socket::ask(self.socket.as_fd(), command, body, beside, most);
        let answer = answer.map_err(|source| Error::System {
            what: "talk to the device server",
            source,
        })?;
        match answer.prelude.number {
            0 => Ok(answer),
            n => Err(Error::refused_by(command, n)),
        }
    }

    pub(super) fn ask_for<T: FromBytes>(&self, command: Command, body: &[u8]) -> Result<T, Error> {
        self.ask(command, body, None, size_of::<T>())?
            .read()
            .map_err(|_| MISFIT)
    }

    pub(super) fn detach(&self) -> Result<(), Error> {
        self.ask(Command::Dereference, &[], None, 0)?;
        *lock(&self.referenced) = None;
        Ok(())
    }

    pub(super) fn hung_up(&self) -> Result<bool, Error> {
        // An answer that waits there is somebody else's.
        poll_for(0, &[self.socket.as_fd()], Some(Duration::ZERO)).map(|ready| ready.any())
    }
}

/// Makes the device of a connection, once the device server has greeted.
pub(super) fn greeted(socket: OwnedFd) -> Result<OpenDevice, Error> {
    let heard = socket::receive(socket.as_fd(), 0, 0)
        .and_then(|greeting| greeting.ok_or(io::ErrorKind::ConnectionAborted.into()));
    let greeting = heard.map_err(|source| Error::System {
        what: "hear the device server greet",
        source,
    })?;
    if greeting.prelude.number != 0 {
        return Err(Error::refused_by(
            Command::Reference,
            greeting.prelude.number,
        ));
    }
    let mut given = Given::new(greeting);
    let (program, named) = (given.take(PROGRAM), given.take(NAMED));
    Ok(OpenDevice {
        socket,
        asking: Mutex::new(()),
        program,
        named,
        referenced: Mutex::new(None),
    })
}

/// Descriptors beside a message, each by the bit that the message says it is.
pub(super) struct Given {
    which: u32,
    descriptors: std::vec::IntoIter<OwnedFd>,
}

impl Given {
    pub(super) fn new(message: Message) -> Self {
        Self {
            which: message.prelude.descriptors,
            descriptors: message.descriptors.into_iter(),
        }
    }

    /// Takes the next descriptor, if it is the one of this bit. Asked for in the order of the bits.
    pub(super) fn take(&mut self, bit: u32) -> Option<OwnedFd> {
        if self.which & bit != 0 {
            self.descriptors.next()
        } else {
            None
        }
    }
}

/// Connects to the device server, with a limit to how long an answer may take.
pub(super) fn connect(path: &Path) -> io::Result<OwnedFd> {
    // SAFETY: no preconditions.
    let fd = unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it for us.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let (address, length) = address(path)?;
    // SAFETY: an initialised address and its length.
    if unsafe { libc::connect(fd, (&raw const address).cast(), length) } < 0 {
        return Err(io::Error::last_os_error());
    }
    let socket = UnixStream::from(socket);
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket.into())
}

/// Turns a path into a socket's address.
///
/// # Errors
/// `InvalidInput` if it is longer than an address.
pub fn address(path: &Path) -> io::Result<(libc::sockaddr_un, libc::socklen_t)> {
    use std::os::unix::ffi::OsStrExt;
    let bytes = path.as_os_str().as_bytes();
    let mut address = libc::sockaddr_un {
        sun_family: libc::AF_UNIX as libc::sa_family_t,
        sun_path: [0; 108],
    };
    if bytes.len() >= address.sun_path.len() || bytes.contains(&0) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a socket's path has at most 107 bytes",
        ));
    }
    for (place, byte) in address.sun_path.iter_mut().zip(bytes) {
        *place = *byte as libc::c_char;
    }
    Ok((address, size_of::<libc::sockaddr_un>() as libc::socklen_t))
}

pub(super) fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            "start the driver's service first"
        }
        io::ErrorKind::PermissionDenied => {
            "ask whoever runs the service to let your user or group use its socket"
        }
        io::ErrorKind::InvalidInput => "take a shorter path",
        _ => "look at the service's own messages",
    }
}
