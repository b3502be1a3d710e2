//! What the article's sample sends to and fro: operations on the event object, and notices with a payload.

use crate::record::Header;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// An operation of the driver on the app's event, asked for by the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Operation {
    /// `KeSetEvent`. Linux: a forced wake.
    Set = 1,
    /// `KeClearEvent`. Linux: refused, [`crate::Refusal::ReaderOwnsState`].
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
    type Error = crate::Refusal;

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
            _ => return Err(crate::Refusal::Range),
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
    /// [`crate::Command::Operate`], then room for what an Ethernet header would take: Linux runs the program on
    /// these bytes as if they were a packet.
    pub command: u32,
    /// An [`Operation`].
    pub operation: u32,
    /// Linux: the slot and the token of [`crate::Referenced`]. Windows: 0, the open file says whose event it is.
    pub slot: u32,
    /// How many notices, at most [`MAX_COUNT`].
    pub count: u32,
    /// See `slot`.
    pub token: u64,
    /// Microseconds between notices, or that the driver may wait.
    pub interval_us: u32,
    /// Filled by the driver: 0, or a [`crate::Refusal`].
    pub refusal: u32,
    /// Filled by the driver: what it saw.
    pub seen: Seen,
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

/// A notice with a payload: kind [`crate::Kind::NOTICE`].
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

/// What the driver saw, as a record: kind [`crate::Kind::OPERATED`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Operated {
    /// Stands first in every record.
    pub header: Header,
    /// The [`Operation`].
    pub operation: u32,
    /// 0, or a [`crate::Refusal`].
    pub refusal: u32,
    /// What the driver saw.
    pub seen: Seen,
}

const _: () = {
    assert!(size_of::<Operate>() == 48 && size_of::<Seen>() == 16);
    assert!(size_of::<Notice>() == 72 && size_of::<Operated>() == 80);
};
