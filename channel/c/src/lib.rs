//! The library for C and C++: open a device, attach an event of one's own, wait, drain.
//!
//! It may depend on `channel` and `channel_abi` alone.
//!
//! Rules that hold here:
//! - No call panics into C, and none believes a pointer to be there: what is missing is [`GbStatus::Argument`].
//! - What is not thread-safe refuses the second caller ([`GbStatus::Busy`]),
//!   also one that comes from within a callback.
//! - The header is written from this file (`tests/header.rs`), and says what is promised to C.

use channel::sys::Host;
use channel::{Attachment, Device, Ending, Error, Event, Item, Mask, Pace, System, Wake};
use channel_abi::AnyCommand;
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_void};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::{Mutex, TryLockError};
use std::time::Duration;

/// Number of causes of loss: the length of `lost` in GbHeader and GbAccount, whose index is a GbCause.
pub const GB_CAUSES: usize = 3;

/// Result of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum GbStatus {
    /// The call did what it was asked for.
    Ok = 0,
    /// The device does not exist, or this user may not open it.
    Open = 1,
    /// The driver, or the device server before it, refused the request: gb_error_refusal() says by which GbRefusal.
    Refused = 2,
    /// The machine's kernel refused something that the library needs for itself, or the driver, or the device server
    /// before it, is gone.
    System = 3,
    /// The driver broke the contract; its records can't be trusted any further.
    Contract = 4,
    /// A pointer is missing, a text is not UTF-8, or a number has no meaning.
    Argument = 5,
    /// Another thread, or a callback's caller, is using this attachment.
    Busy = 6,
    /// A fault of this library's own: a panic, whose message is on standard error.
    Bug = 7,
}

/// Rule by which a request was refused. A driver of a later release may name one that is not here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum GbRefusal {
    /// The app speaks another version of the channel than the driver.
    Version = 1,
    /// The request's length is not the one that its command requires.
    Length = 2,
    /// The driver knows no such command.
    Command = 3,
    /// The handle or descriptor in the request is missing, or is not open in the app.
    Handle = 4,
    /// The handle or descriptor is something else than an event.
    Type = 5,
    /// The handle was opened without the right to signal it.
    Access = 6,
    /// The open device already has an event attached, or another one has this event (Linux).
    AlreadyReferenced = 7,
    /// The open device has no event attached.
    NotReferenced = 8,
    /// The open device is being closed.
    Closing = 9,
    /// The driver is stopping and takes no new attachments.
    Stopping = 10,
    /// Every slot for an app is taken, or as many apps have the device open as the device server serves (Linux).
    NoSlot = 11,
    /// The ring or queue is smaller or larger than the driver allows, or not a power of two.
    Size = 12,
    /// The caller lacks the right for this request.
    NotPermitted = 13,
    /// The kernel gave no memory.
    Memory = 14,
    /// The caller has as much as one user may have.
    Quota = 15,
    /// The event can't be cleared by a driver: only the reader's own position says what is read (Linux).
    ReaderOwnsState = 16,
    /// A number in the request is outside what the command allows.
    Range = 17,
    /// The answer does not fit into the room that the app gave for it.
    Room = 18,
    /// A wait in the driver ended because its time ran out.
    TimedOut = 19,
    /// The driver's kernel lacks what the request needs.
    Unsupported = 20,
    /// The driver is already working on such a request of the app.
    Busy = 21,
}

/// Result of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum GbWake {
    /// The event was signalled: a reason to drain.
    Ready = 0,
    /// The timeout is over.
    TimedOut = 1,
    /// The attachment has ended, and everything was drained.
    Ended = 2,
}

/// Reason for which an attachment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum GbEnding {
    /// The attachment has not ended.
    None = 0,
    /// The app asked for the end.
    Detached = 1,
    /// The driver is being stopped, or is gone.
    DriverStopping = 2,
    /// The driver is replaced by one that speaks another version of the channel.
    Incompatible = 3,
}

/// Cause of a loss: the reason for which a record did not get into the app's ring or queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum GbCause {
    /// The app's ring or queue had no room: the app reads too slowly, or not at all.
    NoRoom = 0,
    /// The attachment was ending while the record was on its way.
    Closing = 1,
    /// The record is larger than the app's whole ring.
    TooLarge = 2,
}

/// Header of a record, its first field. The driver's own fields follow; `length` counts them too.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct GbHeader {
    /// Length of the whole record in bytes, this header included: a multiple of 8, at most 1024.
    pub length: u32,
    /// Kind of the record: its subject, a number from 0 to 63 that the driver chooses.
    pub kind: u32,
    /// Version of the channel that the driver was built with.
    pub version: u32,
    /// Number of the processor that made the record.
    pub processor: u32,
    /// Sequence number: the number of this attempt for this app on this processor, from 0. A gap is a loss.
    pub sequence: u64,
    /// Time of the record, in nanoseconds of the machine's monotonic clock that includes sleep.
    pub stamp_ns: u64,
    /// Number of losses for this app on this processor before this attempt, by GbCause.
    pub lost: [u64; GB_CAUSES],
}

/// A loss: records that did not reach this app, told where it happened.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct GbLost {
    /// Number of the processor on which the records were lost.
    pub processor: u32,
    /// Cause of the loss.
    pub cause: GbCause,
    /// Number of records lost.
    pub count: u64,
}

/// Counters of both sides, driver and app. Neither side's numbers are derived from the other's.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct GbAccount {
    /// Number of records that the driver had for this app, by its own count.
    pub offered: u64,
    /// Number of records that the driver put into the app's ring or queue, by its own count.
    pub committed: u64,
    /// Number of records that the driver could not put there, by GbCause, by its own count.
    pub lost: [u64; GB_CAUSES],
    /// Number of records that drains handed over, by the app's count.
    pub delivered: u64,
    /// Number of records that wait, counted in the ring or queue itself.
    pub in_ring: u64,
    /// Number of sequence numbers that never came.
    pub gaps: u64,
    /// true if the two sides' numbers agree. Exact once things are quiet.
    pub balances: bool,
}

/// An open device of a driver. Freed by gb_close().
#[derive(Debug)]
pub struct GbDevice(Device);

/// An event of this app's own, attached to a driver. Freed by gb_release().
#[derive(Debug)]
pub struct GbAttachment {
    attachment: Mutex<Attachment>,
    /// The attached event, beside the lock: who waits holds the attachment, and another thread may signal the event
    /// meanwhile.
    event: Event,
}

/// Callback for each record, with the context that the drain was given. The record lies there until the callback
/// returns, at an address that is a multiple of 8. Returns whether the drain goes on.
pub type GbOnRecord = Option<unsafe extern "C" fn(*mut c_void, *const GbHeader) -> bool>;

/// Callback for each loss, before the record that told of it. Returns whether the drain goes on.
pub type GbOnLost = Option<unsafe extern "C" fn(*mut c_void, *const GbLost) -> bool>;

const _: () = {
    use std::mem::offset_of;
    assert!(GB_CAUSES == channel_abi::ledger::CAUSES);
    assert!(size_of::<GbHeader>() == size_of::<channel::Header>());
    assert!(align_of::<GbHeader>() == align_of::<channel::Header>());
    assert!(offset_of!(GbHeader, kind) == offset_of!(channel::Header, kind));
    assert!(offset_of!(GbHeader, processor) == offset_of!(channel::Header, processor));
    assert!(offset_of!(GbHeader, sequence) == offset_of!(channel::Header, sequence));
    assert!(offset_of!(GbHeader, stamp_ns) == offset_of!(channel::Header, stamp_ns));
    assert!(offset_of!(GbHeader, lost) == offset_of!(channel::Header, lost));
};

/// Opens a driver's device: on Linux the path of its service's socket, on Windows a name such as \\.\Gatebell.
///
/// # Safety
/// `name` is NULL or a terminated string, `device` is NULL or has room for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gb_open(name: *const c_char, device: *mut *mut GbDevice) -> GbStatus {
    call(|| {
        let device = Place::of(device)?;
        // SAFETY: the caller's promise about `name`.
        let name = unsafe { text(name) }?;
        let open = Box::into_raw(Box::new(GbDevice(channel::open(name)?)));
        // SAFETY: the caller's promise about `device`.
        unsafe { device.put(open) };
        Ok(())
    })
}

/// Closes a device. What is attached through it stays attached until it is released. Does nothing for NULL.
///
/// # Safety
/// `device` is NULL, or came from gb_open() and was not closed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gb_close(device: *mut GbDevice) {
    if !device.is_null() {
        // SAFETY: the caller's promise: it is the box that gb_open() gave away, and nobody frees it twice.
        drop(unsafe { Box::from_raw(device) });
    }
}

/// Attaches an event of this app's own, with room for `ring_bytes` of records (a power of two from 4096 to 8388608), to
/// the driver, which from now on puts into it the kinds of records whose bits are set in `mask`.
///
/// # Safety
/// `device` is NULL, or came from gb_open() and is not closed; `attachment` is NULL or has room for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gb_attach(
    device: *const GbDevice,
    ring_bytes: u32,
    mask: u64,
    attachment: *mut *mut GbAttachment,
) -> GbStatus {
    call(|| {
        let place = Place::of(attachment)?;
        // SAFETY: the caller's promise about `device`.
        let GbDevice(device) = unsafe { shared(device) }?;
        let attached = device.attach(ring_bytes, Mask(mask))?;
        let event = attached.event().clone();
        let attached = Box::into_raw(Box::new(GbAttachment {
            attachment: Mutex::new(attached),
            event,
        }));
        // SAFETY: the caller's promise about `attachment`.
        unsafe { place.put(attached) };
        Ok(())
    })
}

/// Detaches the event, if that was not done, and frees the attachment. Returns GB_STATUS_BUSY, and does nothing, while
/// another thread waits or drains, or from within a callback. Does nothing for NULL.
///
/// # Safety
/// `attachment` is NULL, or came from gb_attach() and was not released yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gb_release(attachment: *mut GbAttachment) -> GbStatus {
    call(|| {
        if attachment.is_null() {
            return Ok(());
        }
        // SAFETY: the caller's promise. The borrow ends before the box is taken back.
        unsafe { shared(attachment) }?.with(|_| Ok(()))?;
        // SAFETY: the caller's promise: it is the box that gb_attach() gave away, and nobody frees it twice.
        drop(unsafe { Box::from_raw(attachment) });
        Ok(())
    })
}

/// Chooses, for the next wait, how wake-ups are traded for latency: while records follow each other closely let more
/// gather, for `gather_us` microseconds at most; or, if that is 0, look again and again for `spin_us` microseconds in
/// each wait before it sleeps (UINT64_MAX: it never does). With both 0 each signal wakes at once. An attachment begins
/// with 4000 and 0. Both not 0 is GB_STATUS_ARGUMENT. While records gather, the app's own signal and the end wait too.
///
/// # Safety
/// `attachment` is NULL, or came from gb_attach() and is not released.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gb_set_pace(
    attachment: *const GbAttachment,
    gather_us: u64,
    spin_us: u64,
) -> GbStatus {
    call(|| {
        let pace = match (gather_us, spin_us) {
            (0, 0) => Pace::Prompt,
            (gather, 0) => Pace::Coalesce(Duration::from_micros(gather)),
            (0, u64::MAX) => Pace::Spin(Duration::MAX),
            (0, spin) => Pace::Spin(Duration::from_micros(spin)),
            _ => return Err(Failure::Argument("gather_us and spin_us are both given")),
        };
        // SAFETY: the caller's promise about `attachment`.
        unsafe { shared(attachment) }?.with(|app| {
            app.set_pace(pace);
            Ok(())
        })
    })
}

/// Sleeps until the driver signals, or for `timeout_ms` milliseconds; a negative number waits for ever. `ending`, if it
/// is not NULL, gets the reason of GB_WAKE_ENDED, otherwise GB_ENDING_NONE. After the end each wait says so again.
///
/// # Safety
/// `attachment` is NULL, or came from gb_attach() and is not released;
/// `wake` and `ending` are NULL or have room for what they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gb_wait(
    attachment: *const GbAttachment,
    timeout_ms: i64,
    wake: *mut GbWake,
    ending: *mut GbEnding,
) -> GbStatus {
    call(|| {
        let wake = Place::of(wake)?;
        let timeout = u64::try_from(timeout_ms).ok().map(Duration::from_millis);
        // SAFETY: the caller's promise about `attachment`.
        let woken = unsafe { shared(attachment) }?.with(|app| Ok(app.wait(timeout)?))?;
        let (woken, ended) = match woken {
            Wake::Ready => (GbWake::Ready, GbEnding::None),
            Wake::TimedOut => (GbWake::TimedOut, GbEnding::None),
            Wake::Ended(why) => (GbWake::Ended, why.into()),
        };
        // SAFETY: the caller's promise about `wake`.
        unsafe { wake.put(woken) };
        if let Ok(ending) = Place::of(ending) {
            // SAFETY: the caller's promise about `ending`.
            unsafe { ending.put(ended) };
        }
        Ok(())
    })
}

/// Hands over every record and loss that is there, in order, until nothing is left, a ring full was handed over or a
/// callback returns false; what was not handed over stays for the next drain. `on_lost` may be NULL: losses are in the
/// account too. `records`, if it is not NULL, gets the number of records handed over.
///
/// # Safety
/// `attachment` is NULL, or came from gb_attach() and is not released; the callbacks can be called with `context` and
/// do not unwind; `records` is NULL or has room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gb_drain(
    attachment: *const GbAttachment,
    on_record: GbOnRecord,
    on_lost: GbOnLost,
    context: *mut c_void,
    records: *mut u64,
) -> GbStatus {
    call(|| {
        let on_record = on_record.ok_or(Failure::Argument("on_record is NULL"))?;
        let mut taken = 0;
        let mut each = |item: Item<'_>| {
            let goes_on = match item {
                Item::Record(record) => {
                    taken += 1;
                    let at = record.bytes().as_ptr().cast::<GbHeader>();
                    // SAFETY: the caller's promise; the whole record lies there, aligned (its header was checked so),
                    // and stays as long as this takes.
                    unsafe { on_record(context, at) }
                }
                Item::Lost(lost) => on_lost.is_none_or(|on_lost| {
                    let lost = GbLost::from(lost);
                    // SAFETY: the caller's promise; `lost` lives until it returns.
                    unsafe { on_lost(context, &raw const lost) }
                }),
            };
            if goes_on {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        };
        // SAFETY: the caller's promise about `attachment`.
        let drained = unsafe { shared(attachment) }?.with(|app| Ok(app.drain(&mut each)?));
        if let Ok(records) = Place::of(records) {
            // SAFETY: the caller's promise about `records`.
            unsafe { records.put(taken) };
        }
        drained.map(drop)
    })
}

/// Signals the app's own event: a thread that waits wakes. Any thread may call it.
///
/// # Safety
/// `attachment` is NULL, or came from gb_attach() and is not released.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gb_signal(attachment: *const GbAttachment) -> GbStatus {
    call(|| {
        // SAFETY: the caller's promise.
        let attachment = unsafe { shared(attachment) }?;
        Ok(attachment.event.set()?)
    })
}

/// Detaches the event from the driver. What is in the ring can still be drained; the account stays readable.
///
/// # Safety
/// `attachment` is NULL, or came from gb_attach() and is not released.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gb_detach(attachment: *const GbAttachment) -> GbStatus {
    // SAFETY: the caller's promise.
    call(|| unsafe { shared(attachment) }?.with(|app| Ok(app.detach()?)))
}

/// Reads the counters of both sides, driver and app.
///
/// # Safety
/// `attachment` is NULL, or came from gb_attach() and is not released; `account` is NULL or has room for one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gb_account(
    attachment: *const GbAttachment,
    account: *mut GbAccount,
) -> GbStatus {
    call(|| {
        let place = Place::of(account)?;
        // SAFETY: the caller's promise about `attachment`.
        let account = unsafe { shared(attachment) }?.with(|app| Ok(app.account()?))?;
        // SAFETY: the caller's promise about `account`.
        unsafe { place.put(account.into()) };
        Ok(())
    })
}

/// Sends the driver a request of its own, by its number (64 to 2047): `length` bytes, of which the first 24 are the
/// request's header, which the library fills in. The driver's answer takes their place. Fewer than 24 are refused
/// (GB_REFUSAL_LENGTH). On Linux something has to be attached through this device first (GB_REFUSAL_NOT_REFERENCED).
///
/// # Safety
/// `device` is NULL, or came from gb_open() and is not closed; `bytes` is NULL,
/// or has `length` bytes that nobody else uses meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gb_request(
    device: *const GbDevice,
    command: u32,
    bytes: *mut c_void,
    length: usize,
) -> GbStatus {
    call(|| {
        // SAFETY: the caller's promise about `device`.
        let GbDevice(device) = unsafe { shared(device) }?;
        let Ok(AnyCommand::Driver(command)) = AnyCommand::try_from(command) else {
            return Err(Failure::Argument("no driver's own command has this number"));
        };
        if bytes.is_null() || length > isize::MAX.unsigned_abs() {
            return Err(Failure::Argument("bytes is NULL, or their length is none"));
        }
        // SAFETY: the caller's promise about `bytes`; whatever they hold is a valid `u8`.
        let bytes = unsafe { std::slice::from_raw_parts_mut(bytes.cast::<u8>(), length) };
        Ok(Host::request(device.system(), command, bytes)?)
    })
}

/// Returns one descriptor for a loop of the app's own (poll, epoll): when it can be read, gb_wait() with a timeout of 0
/// says what there is. The attachment owns it: don't close it. -1 without an attachment, or while it is used.
///
/// # Safety
/// `attachment` is NULL, or came from gb_attach() and is not released.
#[cfg(unix)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gb_descriptor(attachment: *const GbAttachment) -> i32 {
    use std::os::fd::AsRawFd;
    let mut descriptor = -1;
    call(|| {
        // SAFETY: the caller's promise.
        descriptor = unsafe { shared(attachment) }?.with(|app| Ok(app.as_raw_fd()))?;
        Ok(())
    });
    descriptor
}

/// Returns the event's handle, for WaitForMultipleObjects(). Such a wait takes the signal: call gb_drain() then. The
/// attachment owns the handle: don't close it. NULL without an attachment, or while it is used.
///
/// # Safety
/// `attachment` is NULL, or came from gb_attach() and is not released.
#[cfg(windows)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gb_handle(attachment: *const GbAttachment) -> *mut c_void {
    use std::os::windows::io::AsRawHandle;
    let mut handle = std::ptr::null_mut();
    call(|| {
        // SAFETY: the caller's promise.
        handle = unsafe { shared(attachment) }?.with(|app| Ok(app.as_raw_handle()))?;
        Ok(())
    });
    handle
}

/// Returns what went wrong in this thread's last call that failed, and what to do about it where that is known: a
/// terminated text in UTF-8, owned by the library, which stays until this thread's next call that fails. Never NULL:
/// before the first such call it is empty.
#[unsafe(no_mangle)]
pub extern "C" fn gb_error_text() -> *const c_char {
    LAST.with_borrow(|last| last.text.as_ptr())
}

/// Returns the GbRefusal by which this thread's last call that failed was refused, as a number: a driver of a later
/// release may name one that is not there. 0 if the call failed otherwise.
#[unsafe(no_mangle)]
pub extern "C" fn gb_error_refusal() -> u32 {
    LAST.with_borrow(|last| last.refusal)
}

/// Error of a call, before it becomes a [`GbStatus`] and a text.
enum Failure {
    Channel(Error),
    Argument(&'static str),
    Busy,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Channel(error)
    }
}

/// Error of this thread's last call that failed, for [`gb_error_text`] and [`gb_error_refusal`].
#[derive(Default)]
struct Last {
    text: CString,
    refusal: u32,
}

thread_local! {
    static LAST: RefCell<Last> = RefCell::default();
}

/// Runs a call's body, and keeps the error for [`gb_error_text`] if it fails. A panic ends here.
fn call(body: impl FnOnce() -> Result<(), Failure>) -> GbStatus {
    let (status, text, refusal) = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return GbStatus::Ok,
        Ok(Err(Failure::Argument(why))) => (GbStatus::Argument, why.to_owned(), 0),
        Ok(Err(Failure::Busy)) => (GbStatus::Busy, BUSY.to_owned(), 0),
        Ok(Err(Failure::Channel(error))) => (status(&error), error.to_string(), rule(&error)),
        Err(_) => (GbStatus::Bug, BUG.to_owned(), 0),
    };
    LAST.with_borrow_mut(|last| {
        last.text = CString::new(text.replace('\0', "?")).unwrap_or_default();
        last.refusal = refusal;
    });
    status
}

const BUSY: &str =
    "the attachment is in use: by another thread, or by whoever called this callback";
const BUG: &str = "a fault in the library: its message is on standard error";

fn status(error: &Error) -> GbStatus {
    match error {
        Error::Open { .. } => GbStatus::Open,
        Error::Refused { .. } | Error::UnknownRefusal { .. } => GbStatus::Refused,
        Error::Contract(_) => GbStatus::Contract,
        _ => GbStatus::System,
    }
}

/// Returns the number of the rule by which a request was refused, or 0 if the error is another one.
fn rule(error: &Error) -> u32 {
    match error {
        Error::Refused { refusal, .. } => refusal.number(),
        Error::UnknownRefusal { refusal, .. } => refusal.0,
        _ => 0,
    }
}

impl GbAttachment {
    /// Lends the attachment to a closure, unless another caller uses it.
    fn with<T>(
        &self,
        does: impl FnOnce(&mut Attachment) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        match self.attachment.try_lock() {
            Ok(mut attachment) => does(&mut attachment),
            // What panicked left it whole: a drain that was cut off hands over the rest next time.
            Err(TryLockError::Poisoned(poisoned)) => does(&mut poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => Err(Failure::Busy),
        }
    }
}

impl From<Ending> for GbEnding {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Dereferenced => Self::Detached,
            Ending::DriverStopping => Self::DriverStopping,
            Ending::Incompatible => Self::Incompatible,
        }
    }
}

impl From<channel::Cause> for GbCause {
    fn from(cause: channel::Cause) -> Self {
        match cause {
            channel::Cause::NoRoom => Self::NoRoom,
            channel::Cause::Closing => Self::Closing,
            channel::Cause::TooLarge => Self::TooLarge,
        }
    }
}

impl From<channel::Lost> for GbLost {
    fn from(lost: channel::Lost) -> Self {
        Self {
            processor: lost.processor,
            cause: lost.cause.into(),
            count: lost.count,
        }
    }
}

impl From<channel::Account> for GbAccount {
    fn from(account: channel::Account) -> Self {
        Self {
            offered: account.kernel.offered,
            committed: account.kernel.committed,
            lost: account.kernel.lost,
            delivered: account.delivered,
            in_ring: account.in_ring,
            gaps: account.gaps,
            balances: account.balances(),
        }
    }
}

/// An out-pointer of the caller's, which nobody has written to yet: there is no reference to it.
struct Place<T>(NonNull<T>);

impl<T> Place<T> {
    fn of(place: *mut T) -> Result<Self, Failure> {
        NonNull::new(place)
            .map(Self)
            .ok_or(Failure::Argument("the place for an answer is NULL"))
    }

    /// Writes the answer to the out-pointer.
    ///
    /// # Safety
    /// The place is aligned and valid for writes.
    unsafe fn put(self, answer: T) {
        // SAFETY: the caller's promise. What was there is overwritten, neither read nor dropped.
        unsafe { self.0.write(answer) };
    }
}

/// Borrows an object that an earlier call gave away.
///
/// # Safety
/// `object` is NULL, or came from this library and is not freed while it is used.
unsafe fn shared<'a, T>(object: *const T) -> Result<&'a T, Failure> {
    // SAFETY: the caller's promise; what is given away is only ever used as shared.
    unsafe { object.as_ref() }.ok_or(Failure::Argument("the device or attachment is NULL"))
}

/// Reads a text of the caller's.
///
/// # Safety
/// `text` is NULL, or a terminated string that stays as it is while it is used.
unsafe fn text<'a>(text: *const c_char) -> Result<&'a str, Failure> {
    if text.is_null() {
        return Err(Failure::Argument("the name is NULL"));
    }
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str()
        .map_err(|_| Failure::Argument("the name is not UTF-8"))
}
