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

use crate::ring::{Drained, Lie, Reader, Step};
use crate::{Attachment, Error, System};
use channel_abi::command::{ALL_USERS, References};
use channel_abi::{
    Command, DriverCommand, Ending, Ledger, Mask, Reference, Referenced, Refusal, RequestHeader,
    VERSION,
};
use socket::{LEDGER, Message, NAMED, PROGRAM, RING};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use zerocopy::{FromBytes, IntoBytes};

/// Longest time that the device server may take for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Linux as the app's half uses it.
#[derive(Clone, Copy, Debug)]
pub enum Linux {}

/// An open device: a connection to the device server.
#[derive(Debug)]
pub struct OpenDevice {
    socket: OwnedFd,
    /// Lock that lets one request be made at a time: each has its answer.
    asking: Mutex<()>,
    program: Option<OwnedFd>,
    named: Option<OwnedFd>,
    /// Slot and token of the app, to prove its slot to the driver's program.
    referenced: Mutex<Option<Referenced>>,
}

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

    fn ask(
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

    fn ask_for<T: FromBytes>(&self, command: Command, body: &[u8]) -> Result<T, Error> {
        self.ask(command, body, None, size_of::<T>())?
            .read()
            .map_err(|_| MISFIT)
    }

    fn detach(&self) -> Result<(), Error> {
        self.ask(Command::Dereference, &[], None, 0)?;
        *lock(&self.referenced) = None;
        Ok(())
    }

    fn hung_up(&self) -> Result<bool, Error> {
        // An answer that waits there is somebody else's.
        poll_for(0, &[self.socket.as_fd()], Some(Duration::ZERO)).map(|ready| ready.any())
    }
}

/// Makes the device of a connection, once the device server has greeted.
fn greeted(socket: OwnedFd) -> Result<OpenDevice, Error> {
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

/// Descriptors beside a message, each by the bit that the message says it is.
struct Given {
    which: u32,
    descriptors: std::vec::IntoIter<OwnedFd>,
}

impl Given {
    fn new(message: Message) -> Self {
        Self {
            which: message.prelude.descriptors,
            descriptors: message.descriptors.into_iter(),
        }
    }

    /// Takes the next descriptor, if it is the one of this bit. Asked for in the order of the bits.
    fn take(&mut self, bit: u32) -> Option<OwnedFd> {
        if self.which & bit != 0 {
            self.descriptors.next()
        } else {
            None
        }
    }
}

impl From<Lie> for Error {
    fn from(Lie(what): Lie) -> Self {
        Self::Contract(what)
    }
}

/// Connects to the device server, with a limit to how long an answer may take.
fn connect(path: &Path) -> io::Result<OwnedFd> {
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

fn hint(source: &io::Error) -> &'static str {
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

const NOTHING: libc::epoll_event = libc::epoll_event { events: 0, u64: 0 };

/// An epoll descriptor, which waits for several descriptors at once.
#[derive(Debug)]
struct Epoll(OwnedFd);

impl Epoll {
    fn new(what: &'static str) -> Result<Self, Error> {
        // SAFETY: no preconditions.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        owned(epoll, what).map(Self)
    }

    /// Watches this descriptor too from now on, by this name.
    fn watch(&self, fd: BorrowedFd<'_>, events: i32, name: u64) -> Result<(), Error> {
        let mut event = libc::epoll_event {
            events: events.cast_unsigned(),
            u64: name,
        };
        let (epoll, fd) = (self.0.as_raw_fd(), fd.as_raw_fd());
        // SAFETY: an initialised event, which the kernel copies.
        let done = unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &raw mut event) };
        if done < 0 {
            Err(Error::last_os("wait for an event"))
        } else {
            Ok(())
        }
    }

    /// Waits, and returns the events of the descriptors that are ready; none if the time is over.
    fn wait<'a>(
        &self,
        room: &'a mut [libc::epoll_event],
        timeout: Option<Duration>,
    ) -> Result<&'a [libc::epoll_event], Error> {
        let deadline = Deadline::of(timeout);
        let most = i32::try_from(room.len()).unwrap_or(i32::MAX);
        loop {
            let left = deadline.left().map(timespec);
            let left = left.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
            // SAFETY: room for as many events as said; the time outlives the call; no mask of signals.
            let got = unsafe {
                libc::syscall(
                    libc::SYS_epoll_pwait2,
                    self.0.as_raw_fd(),
                    room.as_mut_ptr(),
                    most,
                    left,
                    std::ptr::null::<libc::sigset_t>(),
                    0_usize,
                )
            };
            if let Some(ready) = woken(got)? {
                return Ok(room.get(..ready).unwrap_or(&[]));
            }
        }
    }
}

/// Readiness of the descriptors that were polled, in their order.
pub(crate) struct Ready(Vec<bool>);

impl Ready {
    pub(crate) fn any(&self) -> bool {
        self.0.contains(&true)
    }

    /// Returns whether each descriptor is ready, in the order asked for.
    #[cfg(feature = "server")]
    pub(crate) fn each(&self) -> impl Iterator<Item = bool> {
        self.0.iter().copied()
    }
}

/// Waits until one of the descriptors can be read or has hung up.
pub(crate) fn poll(fds: &[BorrowedFd<'_>], timeout: Option<Duration>) -> Result<Ready, Error> {
    poll_for(libc::POLLIN, fds, timeout)
}

/// Waits until one of the descriptors has one of these events or has hung up.
fn poll_for(
    events: i16,
    fds: &[BorrowedFd<'_>],
    timeout: Option<Duration>,
) -> Result<Ready, Error> {
    let entry = |fd: &BorrowedFd<'_>| libc::pollfd {
        fd: fd.as_raw_fd(),
        events,
        revents: 0,
    };
    let mut entries: Vec<_> = fds.iter().map(entry).collect();
    let deadline = Deadline::of(timeout);
    loop {
        let left = deadline.left().map(timespec);
        let left = left.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: as many entries as said; the time outlives the call.
        let got = unsafe {
            libc::ppoll(
                entries.as_mut_ptr(),
                entries.len() as _,
                left,
                std::ptr::null(),
            )
        };
        if woken(got.into())?.is_some() {
            break;
        }
    }
    Ok(Ready(
        entries.iter().map(|entry| entry.revents != 0).collect(),
    ))
}

/// Time at which a wait is over, however often a signal handler interrupts it; `None` for never.
#[derive(Clone, Copy)]
struct Deadline(Option<Instant>);

impl Deadline {
    /// Returns the deadline that is `timeout` later than now. Without a time, or with one that no clock can show,
    /// never.
    fn of(timeout: Option<Duration>) -> Self {
        Self(timeout.and_then(|time| Instant::now().checked_add(time)))
    }

    /// Returns the time that is left, or `None` if there is no end to it.
    fn left(self) -> Option<Duration> {
        self.0
            .map(|end| end.saturating_duration_since(Instant::now()))
    }
}

/// Returns how many descriptors ended a wait, or `None` if a signal handler came in between, and the wait goes on.
fn woken(got: i64) -> Result<Option<usize>, Error> {
    match usize::try_from(got) {
        Ok(ready) => Ok(Some(ready)),
        _ if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => Ok(None),
        _ => Err(Error::last_os("wait")),
    }
}

fn timespec(time: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: time.as_secs() as _,
        tv_nsec: time.subsec_nanos().into(),
    }
}

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
    use std::os::unix::thread::JoinHandleExt;

    extern "C" fn nothing(_: i32) {}

    /// Waits for this descriptor as an attachment waits; returns whether the wait ended before its time was over.
    fn waits(fd: BorrowedFd<'_>, timeout: Option<Duration>) -> bool {
        let epoll = Epoll::new("wait").unwrap();
        epoll.watch(fd, libc::EPOLLIN, 0).unwrap();
        let ready = epoll.wait(&mut [NOTHING], timeout).unwrap().len();
        assert_eq!(ready > 0, poll(&[fd], Some(Duration::ZERO)).unwrap().any());
        ready > 0
    }

    /// Runs `wait` while a signal handler keeps interrupting it, and returns its result and how long it took.
    fn interrupted(wait: impl FnOnce() -> bool + Send + 'static) -> (bool, Duration) {
        let handler: extern "C" fn(i32) = nothing;
        // SAFETY: the handler does nothing, so it may run anywhere.
        unsafe { libc::signal(libc::SIGUSR1, handler as libc::sighandler_t) };
        let begun = Instant::now();
        let waiter = std::thread::spawn(wait);
        for _ in 0..10 {
            std::thread::sleep(Duration::from_millis(10));
            // SAFETY: a thread that was not joined yet; its handler is set.
            unsafe { libc::pthread_kill(waiter.as_pthread_t(), libc::SIGUSR1) };
        }
        (waiter.join().unwrap(), begun.elapsed())
    }

    #[test]
    fn a_wait_that_a_signal_handler_interrupts_goes_on_with_the_time_that_is_left() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let most = Duration::from_millis(300);
        let (signalled, took) = interrupted(move || waits(ours.as_fd(), Some(most)));
        assert!(!signalled && took >= most, "it ended after {took:?}");
    }

    #[test]
    fn a_wait_without_end_is_not_ended_by_a_signal_handler() {
        use std::io::Write;
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let writer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(300));
            theirs.write_all(b"!").unwrap();
        });
        let (signalled, _) = interrupted(move || waits(ours.as_fd(), None));
        assert!(signalled, "nothing was signalled, and it ended");
        writer.join().unwrap();
    }

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
