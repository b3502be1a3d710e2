//! Backing of Linux: the event is a ring-buffer map, the device server is a socket, and requests of the driver's own
//! are runs of its program.

#[cfg(feature = "async")]
mod arrival;
pub mod bpf;
#[cfg(feature = "server")]
mod closer;
mod mapping;
mod maps;
mod named;
mod open_device;
mod poll;
pub mod socket;

#[cfg(feature = "async")]
pub(crate) use arrival::Arrival;
#[cfg(feature = "server")]
pub use closer::{Closer, ForeignFd};
#[cfg(feature = "server")]
pub(crate) use mapping::Positions;
pub use mapping::{LedgerPage, Ring};
pub use maps::{ObjectMap, TypedMap};
pub use named::NamedEvent;
pub use open_device::{OpenDevice, address};
pub(crate) use poll::{Ready, poll};

use crate::ring::{Drained, Lie, Reader, Step};
use crate::{Attachment, Error, System};
use channel_abi::command::{ALL_USERS, References};
use channel_abi::{
    Command, DriverCommand, Ending, Ledger, Mask, Reference, Referenced, Refusal, RequestHeader,
    VERSION,
};
use open_device::{Given, connect, greeted, hint};
use poll::{Epoll, NOTHING};
use socket::{LEDGER, Message, RING};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use zerocopy::{FromBytes, IntoBytes};

/// Linux as the app's half uses it.
#[derive(Clone, Copy, Debug)]
pub enum Linux {}

/// An event of this app: a ring-buffer map, and an eventfd by which the app can signal itself.
#[derive(Debug)]
pub struct OwnEvent {
    bytes: u32,
    ring: OnceLock<Arc<OwnedFd>>,
    by_service: bool,
    own: Arc<OwnedFd>,
}

/// Reader of an attached event's records, and all that its waits watch.
#[derive(Debug)]
pub struct Source {
    reader: Reader<Ring>,
    ledger: LedgerPage,
    /// Descriptor that can be read when a wait would return at once.
    ready: Epoll,
    /// Eventfd by which the app can signal itself.
    own: Arc<OwnedFd>,
}

impl OwnEvent {
    /// Returns whether the service makes the ring on this app's behalf, because the kernel lets the app make none (no
    /// CAP_BPF).
    #[must_use]
    pub const fn made_by_service(&self) -> bool {
        self.by_service
    }

    /// Returns the ring's descriptor, for a poll loop of the app's own, or `None` if the service has not made it yet.
    #[must_use]
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.ring.get().map(|ring| ring.as_fd())
    }
}

/// Makes the source of an event that the driver has just attached, from the device server's answer.
fn source(device: &OpenDevice, event: &OwnEvent, answer: Message) -> Result<Source, Error> {
    let referenced = answer.read::<Referenced>().map_err(|_| MISFIT)?;
    let mut given = Given::new(answer);
    let ledger = given.take(LEDGER).ok_or(MISFIT)?;
    let made = given.take(RING).map(Arc::new);
    let ring = made.map_or_else(
        || event.ring.get().cloned(),
        |made| Some(event.ring.get_or_init(|| made).clone()),
    );
    let ring = ring.ok_or(MISFIT)?;
    *lock(&device.referenced) = Some(referenced);
    let map = |source| Error::System {
        what: "map the ring and the ledger",
        source,
    };
    let reader = Reader::new(Ring::new(ring.as_fd(), event.bytes).map_err(map)?);
    let ready = Epoll::new("wait for an event")?;
    ready.watch(ring.as_fd(), libc::EPOLLIN, RECORDS)?;
    ready.watch(event.own.as_fd(), libc::EPOLLIN, OWN_SIGNAL)?;
    // An answer that waits there is somebody else's: only that it hung up, which is told unasked.
    ready.watch(device.socket.as_fd(), 0, HANG_UP)?;
    Ok(Source {
        reader,
        ledger: LedgerPage::new(ledger.as_fd()).map_err(map)?,
        ready,
        own: event.own.clone(),
    })
}

const MISFIT: Error = Error::Contract("an answer that is not what was asked for");

impl System for Linux {
    type Name = Path;
    type Device = OpenDevice;
    type Event = OwnEvent;
    type Source = Source;

    fn open(name: &Path) -> Result<OpenDevice, Error> {
        let socket = connect(name).map_err(|source| Error::Open {
            device: name.display().to_string(),
            hint: hint(&source),
            source,
        })?;
        greeted(socket)
    }

    fn create_event(_: &OpenDevice, ring_bytes: u32) -> Result<OwnEvent, Error> {
        // SAFETY: no preconditions.
        let own = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        let own = Arc::new(owned(own, "make an event")?);
        let (ring, by_service) = match bpf::create_ring(ring_bytes) {
            Ok(made) => (OnceLock::from(Arc::new(made)), false),
            Err(refused) if refused.raw_os_error() == Some(libc::EPERM) => (OnceLock::new(), true),
            Err(odd) if odd.raw_os_error() == Some(libc::EINVAL) => {
                return Err(Error::refused(Command::Reference, Refusal::Size));
            }
            Err(source) => {
                return Err(Error::System {
                    what: "make a ring",
                    source,
                });
            }
        };
        Ok(OwnEvent {
            bytes: ring_bytes,
            ring,
            by_service,
            own,
        })
    }

    fn ring_bytes(event: &OwnEvent) -> u32 {
        event.bytes
    }

    fn set(event: &OwnEvent) -> Result<(), Error> {
        signal(&event.own)
    }

    fn clear(event: &OwnEvent) -> Result<(), Error> {
        take_own(event);
        Ok(())
    }

    fn is_set(event: &OwnEvent) -> Result<bool, Error> {
        let mut fds = vec![event.own.as_fd()];
        fds.extend(event.descriptor());
        poll(&fds, Some(Duration::ZERO)).map(|ready| ready.any())
    }

    fn attach(device: &OpenDevice, event: &OwnEvent, mask: Mask) -> Result<Source, Error> {
        let ours = event.descriptor();
        let request = Reference {
            version: VERSION,
            ring_bytes: event.bytes,
            mask: mask.0,
            users: ALL_USERS,
            event: ours.is_some().into(),
        };
        let answer = device.ask(
            Command::Reference,
            request.as_bytes(),
            ours,
            size_of::<Referenced>(),
        )?;
        source(device, event, answer).inspect_err(|_| {
            // The driver has the event, and nobody would read it. Should this fail too, the device's end is its end.
            let _ended_with_the_device = device.detach();
        })
    }

    fn detach(device: &OpenDevice, source: &Source) -> Result<(), Error> {
        // The device may have been attached anew since: that is another's to end.
        if source.ledger.ended() != 0 {
            return Err(Error::refused(Command::Dereference, Refusal::NotReferenced));
        }
        device.detach()
    }

    fn wait(
        _: &OpenDevice,
        event: &OwnEvent,
        source: &Source,
        timeout: Option<Duration>,
    ) -> Result<bool, Error> {
        let mut ready = [NOTHING; WATCHED];
        let ready = source.ready.wait(&mut ready, timeout)?;
        if ready.iter().any(|ready| ready.u64 == OWN_SIGNAL) {
            take_own(event);
        }
        Ok(!ready.is_empty())
    }

    fn drain(
        device: &OpenDevice,
        source: &mut Source,
        each: &mut dyn FnMut(&[u8]) -> Result<Step, Error>,
    ) -> Result<Option<Ending>, Error> {
        let Source {
            reader,
            ledger,
            own,
            ..
        } = source;
        let (drained, ended) = reader.drain_to_the_end(each, || ending(device, ledger))?;
        if drained == Drained::More {
            // A loop that is told by edges would hear of it from nobody.
            signal(own)?;
        }
        Ok(ended)
    }

    fn ledger(_: &OpenDevice, source: &Source) -> Result<Ledger, Error> {
        Ok(source.ledger.read())
    }

    fn in_ring(_: &OpenDevice, source: &Source) -> Result<u64, Error> {
        Ok(source.reader.waiting()?)
    }

    fn has_record(_: &OpenDevice, source: &Source) -> Result<bool, Error> {
        Ok(source.reader.anything()?)
    }

    fn request(device: &OpenDevice, command: DriverCommand, bytes: &mut [u8]) -> Result<(), Error> {
        let refused = |refusal| Error::refused(command, refusal);
        let program = device.program.as_ref().ok_or(refused(Refusal::Command))?;
        let Referenced { slot, token, .. } =
            lock(&device.referenced).ok_or(refused(Refusal::NotReferenced))?;
        let header = RequestHeader {
            command: command.number(),
            slot,
            token,
            ..RequestHeader::default()
        };
        header
            .write_to_prefix(bytes)
            .map_err(|_| refused(Refusal::Length))?;
        run_to_the_end(program.as_fd(), bytes)?;
        let (answer, _) = RequestHeader::read_from_prefix(bytes).map_err(|_| MISFIT)?;
        match answer.refusal {
            0 => Ok(()),
            n => Err(Error::refused_by(command, n)),
        }
    }

    fn references(device: &OpenDevice) -> Result<References, Error> {
        device.ask_for(Command::References, &[])
    }

    fn detach_all(device: &OpenDevice) -> Result<(), Error> {
        device.ask(Command::DetachAll, &[], None, 0).map(drop)
    }

    fn resume(device: &OpenDevice) -> Result<(), Error> {
        device.ask(Command::Resume, &[], None, 0).map(drop)
    }
}

/// Returns how the attachment has ended, by the tombstone or with the service, or `None` if it stands.
fn ending(device: &OpenDevice, ledger: &LedgerPage) -> Result<Option<Ending>, Error> {
    match ledger.ended() {
        0 if device.hung_up()? => Ok(Some(Ending::DriverStopping)),
        0 => Ok(None),
        n => Ending::try_from(n)
            .map(Some)
            .map_err(|_| Error::Contract("an ending that this version does not know")),
    }
}

/// Largest number of runs of a program that a request takes.
const MOST_RUNS: u32 = 1_000_000;

/// Runs a program until it is done. It may neither sleep nor run for long, so it says when to run it again: 0 never, n
/// after n - 1 µs.
fn run_to_the_end(program: BorrowedFd<'_>, request: &mut [u8]) -> Result<(), Error> {
    for _ in 0..=MOST_RUNS {
        let run = bpf::run(program, request);
        let again = run.map_err(|source| Error::System {
            what: "run the driver's program",
            source,
        })?;
        match again {
            0 => return Ok(()),
            1 => {}
            n => std::thread::sleep(Duration::from_micros(u64::from(n) - 1)),
        }
    }
    Err(Error::Contract("a program that never says it is done"))
}

impl From<Lie> for Error {
    fn from(Lie(what): Lie) -> Self {
        Self::Contract(what)
    }
}

/// Lends one descriptor over all that can end a wait, for a loop of the app's own: `poll`, `epoll`, mio, tokio's
/// `AsyncFd`. When it can be read, call [`Attachment::wait`] with no time, which takes the app's own signal and says
/// what there is, and drain. After [`Wake::Ended`](crate::Wake::Ended) it says nothing more.
impl AsFd for Attachment<Linux> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.system().ready.0.as_fd()
    }
}

impl AsRawFd for Attachment<Linux> {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

/// Names of an attachment's descriptors in its [`Epoll`].
const RECORDS: u64 = 0;
const OWN_SIGNAL: u64 = 1;
const HANG_UP: u64 = 2;
/// Number of an attachment's descriptors in its [`Epoll`].
const WATCHED: usize = 3;

/// Signals the app's own event.
fn signal(own: &OwnedFd) -> Result<(), Error> {
    let one = 1_u64.to_ne_bytes();
    // SAFETY: eight bytes, as an eventfd takes them.
    if unsafe { libc::write(own.as_raw_fd(), one.as_ptr().cast(), one.len()) } < 0 {
        return Err(Error::last_os("set an event"));
    }
    Ok(())
}

fn take_own(event: &OwnEvent) {
    let mut count = [0; 8];
    // Not signalled is no error: then there is nothing to take.
    // SAFETY: eight bytes, as an eventfd gives them.
    unsafe {
        libc::read(
            event.own.as_raw_fd(),
            count.as_mut_ptr().cast(),
            count.len(),
        )
    };
}

fn owned(fd: i32, what: &'static str) -> Result<OwnedFd, Error> {
    if fd < 0 {
        return Err(Error::last_os(what));
    }
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn page_bytes() -> u32 {
    u32::try_from(mapping::page()).unwrap_or(4096)
}

/// Locks a mutex, also a poisoned one: a panic elsewhere leaves nothing half-done behind these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use socket::Prelude;
    use std::io;

    /// Makes both ends of a connection to a device server.
    fn connection() -> [OwnedFd; 2] {
        let mut ends = [0; 2];
        let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
        // SAFETY: room for two descriptors.
        let made = unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) };
        assert_eq!(made, 0, "{}", io::Error::last_os_error());
        ends.map(|end| owned(end, "make a connection").unwrap())
    }

    fn eventfd() -> OwnedFd {
        // SAFETY: no preconditions.
        owned(
            unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) },
            "make an event",
        )
        .unwrap()
    }

    /// Makes the device of an app that a device server has greeted, with nothing beside.
    fn opened(socket: OwnedFd) -> OpenDevice {
        OpenDevice {
            socket,
            asking: Mutex::new(()),
            program: None,
            named: None,
            referenced: Mutex::new(None),
        }
    }

    #[test]
    fn a_refusal_that_only_a_later_release_knows_is_an_error_that_names_it() {
        let [ours, theirs] = connection();
        let device = opened(ours);
        let prelude = Prelude {
            number: 1000,
            descriptors: 0,
        };
        socket::send(theirs.as_fd(), prelude, &[], &[], 0).unwrap();
        let refused = Linux::references(&device).unwrap_err();
        assert!(
            matches!(refused, Error::UnknownRefusal { refusal, .. } if refusal.0 == 1000),
            "{refused:?}"
        );
        let said = refused.to_string();
        assert!(
            said.contains("References was refused") && said.contains("rule 1000"),
            "{said}"
        );
    }

    #[test]
    fn who_is_not_let_in_hears_why_and_a_server_that_is_gone_is_no_refusal() {
        let [ours, theirs] = connection();
        let prelude = Prelude {
            number: Refusal::NoSlot.number(),
            descriptors: 0,
        };
        socket::send(theirs.as_fd(), prelude, &[], &[], 0).unwrap();
        let refused = greeted(ours).unwrap_err();
        assert_eq!(refused.refusal(), Some(Refusal::NoSlot));
        let [ours, _] = connection();
        let gone = greeted(ours).unwrap_err();
        assert!(matches!(gone, Error::System { .. }), "{gone:?}");
    }

    #[test]
    fn a_driver_without_commands_of_its_own_knows_none() {
        let [ours, _theirs] = connection();
        let any = DriverCommand::new::<64>();
        let refused = Linux::request(&opened(ours), any, &mut [0; 24]).unwrap_err();
        assert_eq!(refused.refusal(), Some(Refusal::Command));
    }

    #[test]
    fn an_attach_that_fails_after_the_driver_has_the_event_lets_go_of_it() {
        let [ours, theirs] = connection();
        let server = std::thread::spawn(move || {
            let answer = |descriptors, body: &[u8], beside: &[BorrowedFd<'_>]| {
                let prelude = Prelude {
                    number: 0,
                    descriptors,
                };
                let asked = socket::receive(theirs.as_fd(), 100, 0).unwrap();
                socket::send(theirs.as_fd(), prelude, body, beside, 0).unwrap();
                asked.map(|message| message.prelude.number)
            };
            let referenced = Referenced {
                version: VERSION,
                slot: 0,
                token: 0,
            };
            // No page of it can be mapped.
            let ledger = eventfd();
            let beside = [ledger.as_fd()];
            let first = answer(LEDGER, referenced.as_bytes(), &beside);
            [first, answer(0, &[], &[])]
        });
        let device = opened(ours);
        let event = OwnEvent {
            bytes: 4096,
            ring: OnceLock::from(Arc::new(eventfd())),
            by_service: false,
            own: Arc::new(eventfd()),
        };
        assert!(Linux::attach(&device, &event, Mask::ALL).is_err());
        assert!(lock(&device.referenced).is_none(), "it is attached");
        drop(device);
        let asked = server.join().unwrap();
        let expected = [Command::Reference, Command::Dereference];
        assert_eq!(asked, expected.map(|command| Some(command as u32)));
    }
}
