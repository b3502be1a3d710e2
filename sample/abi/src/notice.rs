//! What the article's sample sends to and fro: operations on the event object, and notices with a payload.

use channel_abi::{DriverCommand, DriverRequest, Header, Refusal, RequestHeader};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// An operation of the driver on the app's event, asked for by the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Operation {
    /// `KeSetEvent`. Linux: a forced wake.
    Set = 1,
    /// `KeClearEvent`. Linux: refused, [`channel_abi::Refusal::ReaderOwnsState`].
    Clear = 2,
    /// `KeSetEvent`, then `KeClearEvent`: the article's pulse. Linux: a forced wake.
    Pulse = 3,
    /// `KeReadStateEvent`. Linux: whether data is available.
    Query = 4,
    /// `count` notices from within the request, `interval_us` apart (0: at once).
    Notify = 5,
    /// `count` notices from a timer of the driver, `interval_us` apart.
    NotifyFromTimer = 6,
    /// The other way round: the driver waits (`KeWaitForSingleObject`) until the app sets the event, at most
    /// `interval_us`. Linux: the driver notes that it waits; [`Operation::AppSet`] meets it.
    Wait = 7,
    /// Linux: the app tells the waiting driver that it has set the event. Windows: `SetEvent` does, no request.
    AppSet = 8,
    /// Pulse the driver's own named event, as at a process creation (for the comparison of the three ways).
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

/// The most notices that one request may ask for.
pub const MAX_COUNT: u32 = 1_000_000;
/// The longest interval or wait, in microseconds: a request can't keep the driver busy for ever.
pub const MAX_INTERVAL_US: u32 = 60_000_000;

/// The app asks the sample's driver to operate the event.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Operate {
    /// Stands first in every request.
    pub header: RequestHeader,
    /// An [`Operation`].
    pub operation: u32,
    /// How many notices, at most [`MAX_COUNT`].
    pub count: u32,
    /// Microseconds between notices, or that the driver may wait.
    pub interval_us: u32,
    /// Fills the word.
    pub spare: u32,
    /// Filled by the driver: what it saw.
    pub seen: Seen,
}

impl DriverRequest for Operate {
    const COMMAND: DriverCommand = DriverCommand::new::<64>();
}

impl Operate {
    /// A request for `operation`, with `count` and `interval_us` where it has such.
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

/// What the driver saw of the event as it operated it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Seen {
    /// The event's state before: 1 signalled, 0 not.
    pub before: u32,
    /// The event's state after.
    pub after: u32,
    /// Notices that were offered (committed or lost) by this request.
    pub offered: u32,
    /// Linux: bytes that wait in the ring. Windows: records that wait in the queue.
    pub waiting: u32,
}

/// A notice with a payload: kind [`crate::kind::NOTICE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Notice {
    /// Stands first in every record.
    pub header: Header,
    /// Which of the request's notices this is, from 0.
    pub number: u64,
    /// 1 if a timer sent it, 0 if the request did.
    pub from_timer: u64,
}

/// What the driver saw, as a record: kind [`crate::kind::OPERATED`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Operated {
    /// Stands first in every record.
    pub header: Header,
    /// The [`Operation`].
    pub operation: u32,
    /// 0, or a [`channel_abi::Refusal`].
    pub refusal: u32,
    /// What the driver saw.
    pub seen: Seen,
}

const _: () = {
    assert!(size_of::<Operate>() == 56 && size_of::<Seen>() == 16);
    assert!(size_of::<Notice>() == 72 && size_of::<Operated>() == 80);
};
