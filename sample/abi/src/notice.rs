//! Operations on the event object, and notices with a payload.

use channel_abi::{DriverCommand, DriverRequest, Header, Refusal, RequestHeader};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// An operation of the driver on the app's event, which the app asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Operation {
    /// Sets the event (`KeSetEvent`). Linux: a forced wake.
    Set = 1,
    /// Resets the event (`KeClearEvent`). Linux: refused, [`channel_abi::Refusal::ReaderOwnsState`].
    Clear = 2,
    /// Sets and resets the event (`KeSetEvent`, then `KeClearEvent`): the article's pulse. Linux: a forced wake.
    Pulse = 3,
    /// Reads the event's state (`KeReadStateEvent`). Linux: whether data is available.
    Query = 4,
    /// Sends `count` notices from within the request, `interval_us` apart (0: at once).
    Notify = 5,
    /// Sends `count` notices from a timer of the driver, `interval_us` apart.
    NotifyFromTimer = 6,
    /// Waits in the driver (`KeWaitForSingleObject`), the other way round, until the app sets the event, at most
    /// `interval_us`. Linux: the driver notes that it waits; [`Operation::AppSet`] meets it.
    Wait = 7,
    /// Tells the waiting driver that the app has set the event (Linux). Windows: `SetEvent` does, no request.
    AppSet = 8,
    /// Pulses the driver's own named event, as at a process creation (for the comparison of the three ways).
    PulseNamed = 9,
}

impl TryFrom<u32> for Operation {
    type Error = Refusal;

    fn try_from(n: u32) -> Result<Self, Self::Error> {
        Ok(match n {
            1 => Self::Set,
            2 => Self::Clear,
            3 => Self::Pulse,
            4 => Self::Query,
            5 => Self::Notify,
            6 => Self::NotifyFromTimer,
            7 => Self::Wait,
            8 => Self::AppSet,
            9 => Self::PulseNamed,
            _ => return Err(Refusal::Range),
        })
    }
}

/// Largest number of notices that one request may ask for.
pub const MAX_COUNT: u32 = 1_000_000;
/// Longest interval or wait, in microseconds: a request can't keep the driver busy for ever.
pub const MAX_INTERVAL_US: u32 = 60_000_000;

/// Request to the sample's driver to operate the event.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Operate {
    /// Header of the request, its first field.
    pub header: RequestHeader,
    /// Number of the [`Operation`].
    pub operation: u32,
    /// Number of notices, at most [`MAX_COUNT`].
    pub count: u32,
    /// Time between notices, or for which the driver may wait, in microseconds.
    pub interval_us: u32,
    /// Padding up to a multiple of 8 bytes.
    pub spare: u32,
    /// Findings of the driver, which it fills in.
    pub seen: Seen,
}

impl DriverRequest for Operate {
    const COMMAND: DriverCommand = DriverCommand::new::<64>();
}

impl Operate {
    /// Makes a request for `operation`, with `count` and `interval_us` where it has such.
    #[must_use]
    pub fn new(operation: Operation, count: u32, interval_us: u32) -> Self {
        Self {
            operation: operation as u32,
            count,
            interval_us,
            ..Self::default()
        }
    }
}

/// Findings of the driver about the event as it operated it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Seen {
    /// State of the event before: 1 signalled, 0 not.
    pub before: u32,
    /// State of the event after.
    pub after: u32,
    /// Number of notices that were offered (committed or lost) by this request.
    pub offered: u32,
    /// Amount that waits: on Linux bytes in the ring, on Windows records in the queue.
    pub waiting: u32,
}

/// Record of a notice with a payload: kind [`crate::kind::NOTICE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Notice {
    /// Header of the record, its first field.
    pub header: Header,
    /// Number of this notice among the request's, from 0.
    pub number: u64,
    /// 1 if a timer sent it, 0 if the request did.
    pub from_timer: u64,
}

/// Record of an operation and the driver's findings: kind [`crate::kind::OPERATED`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Operated {
    /// Header of the record, its first field.
    pub header: Header,
    /// Number of the [`Operation`].
    pub operation: u32,
    /// Number of the [`channel_abi::Refusal`], or 0 if it was done.
    pub refusal: u32,
    /// Findings of the driver.
    pub seen: Seen,
}

const _: () = {
    assert!(size_of::<Operate>() == 56 && size_of::<Seen>() == 16);
    assert!(size_of::<Notice>() == 72 && size_of::<Operated>() == 80);
};
