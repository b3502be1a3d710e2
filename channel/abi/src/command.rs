//! Commands: what an app may ask of a driver's device.
//!
//! On Windows each is a METHOD_BUFFERED control code. On Linux a [`Command`] goes over the service's socket, one
//! message a request, with descriptors beside it. Commands of the driver's own ([`DriverCommand`]) go to the driver itself: on
//! Windows as control codes too, on Linux by a run of its program (`BPF_PROG_RUN`) with the same bytes.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The channel's own commands: every driver answers them alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Command {
    /// [`Reference`] → [`Referenced`]: the driver takes hold of the app's event.
    Reference = 1,
    /// Nothing → nothing: the driver lets go of it.
    Dereference = 2,
    /// Nothing → [`Drained`] and as many whole records as fit (Windows; on Linux the app reads its ring).
    Drain = 3,
    /// Nothing → [`crate::Ledger`], also after the reference ended.
    Account = 4,
    /// Nothing → [`References`].
    References = 5,
    /// Nothing → nothing: before the driver is stopped. Needs the right to change the driver.
    DetachAll = 6,
    /// Nothing → nothing: takes [`Command::DetachAll`] back, where the driver was not stopped after all. Needs the same right.
    Resume = 7,
}

impl Command {
    /// The control code on Windows: device type 0x22 (unknown), function 0x800 + number, METHOD_BUFFERED,
    /// and the write right that a command which changes the driver for others needs.
    #[must_use]
    pub const fn control_code(self) -> u32 {
        control_code(
            self as u32,
            if matches!(self, Self::DetachAll | Self::Resume) {
                WRITE
            } else {
                READ
            },
        )
    }
}

const READ: u32 = 1;
const WRITE: u32 = 2;

const fn control_code(number: u32, access: u32) -> u32 {
    const DEVICE_UNKNOWN: u32 = 0x22;
    DEVICE_UNKNOWN << 16 | access << 14 | (0x800 + number) << 2
}

/// A command of a driver's own, by a number that the driver chooses: [`DriverCommand::FIRST`] to [`DriverCommand::LAST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DriverCommand(u32);

impl DriverCommand {
    /// The lowest number; those below are the channel's.
    pub const FIRST: u32 = 64;
    /// The highest number that fits into a control code.
    pub const LAST: u32 = 0x7FF;

    /// The command with this number. One that is not a driver's to choose does not compile.
    #[must_use]
    pub const fn new<const NUMBER: u32>() -> Self {
        const { assert!(NUMBER >= Self::FIRST && NUMBER <= Self::LAST) };
        Self(NUMBER)
    }

    /// The number that crosses.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The control code on Windows. Whoever may open the device may send it.
    #[must_use]
    pub const fn control_code(self) -> u32 {
        control_code(self.0, READ)
    }
}

/// A command, the channel's or a driver's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AnyCommand {
    /// Answered by the channel.
    Channel(Command),
    /// Answered by the driver.
    Driver(DriverCommand),
}

impl AnyCommand {
    /// The number that crosses.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Channel(command) => command as u32,
            Self::Driver(command) => command.number(),
        }
    }

    /// The control code on Windows.
    #[must_use]
    pub const fn control_code(self) -> u32 {
        match self {
            Self::Channel(command) => command.control_code(),
            Self::Driver(command) => command.control_code(),
        }
    }

    /// Back from a control code.
    #[must_use]
    pub fn from_control_code(code: u32) -> Option<Self> {
        Self::try_from((code >> 2 & 0xFFF).wrapping_sub(0x800))
            .ok()
            .filter(|known| known.control_code() == code)
    }
}

impl core::fmt::Display for AnyCommand {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Channel(command) => write!(f, "{command:?}"),
            Self::Driver(command) => write!(f, "the driver's command {}", command.number()),
        }
    }
}

impl From<Command> for AnyCommand {
    fn from(command: Command) -> Self {
        Self::Channel(command)
    }
}

impl From<DriverCommand> for AnyCommand {
    fn from(command: DriverCommand) -> Self {
        Self::Driver(command)
    }
}

impl TryFrom<u32> for AnyCommand {
    type Error = crate::Refusal;

    fn try_from(n: u32) -> Result<Self, Self::Error> {
        if (DriverCommand::FIRST..=DriverCommand::LAST).contains(&n) {
            Ok(Self::Driver(DriverCommand(n)))
        } else {
            Command::try_from(n).map(Self::Channel)
        }
    }
}

/// Stands first in every request of a driver's own. The library fills it in; the driver writes `refusal`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct RequestHeader {
    /// The [`DriverCommand`].
    pub command: u32,
    /// Linux: the slot of [`Referenced`]. Windows: 0, the open file says whose request it is.
    pub slot: u32,
    /// Linux: the token of [`Referenced`], which proves that the slot is the caller's. Windows: 0.
    pub token: u64,
    /// Filled by a driver for Linux: 0, or a [`crate::Refusal`]. On Windows the request's status says it.
    pub refusal: u32,
    /// Fills the word.
    pub spare: u32,
}

/// A request of a driver's own: what the app sends and, in its place, what the driver answers. Its first field is a
/// [`RequestHeader`].
pub trait DriverRequest: FromBytes + IntoBytes + Immutable {
    /// Its command.
    const COMMAND: DriverCommand;
}

impl TryFrom<u32> for Command {
    type Error = crate::Refusal;

    fn try_from(n: u32) -> Result<Self, Self::Error> {
        Ok(match n {
            1 => Self::Reference,
            2 => Self::Dereference,
            3 => Self::Drain,
            4 => Self::Account,
            5 => Self::References,
            6 => Self::DetachAll,
            7 => Self::Resume,
            _ => return Err(crate::Refusal::Command),
        })
    }
}

/// The smallest ring or queue, in bytes.
pub const MIN_RING: u32 = 4096;
/// The largest ring or queue, in bytes.
pub const MAX_RING: u32 = 8 << 20;

/// Stands where no user is known: a record about nobody is told to all.
pub const NO_USER: u32 = u32::MAX;

/// Stands in [`Reference::users`] for everybody. On Linux only root gets all; others get their own whatever they ask.
pub const ALL_USERS: u64 = u64::MAX;

/// The app asks the driver to take hold of its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Reference {
    /// The app's [`crate::VERSION`].
    pub version: u32,
    /// Bytes of the ring (Linux) or queue (Windows): a power of two, [`MIN_RING`] to [`MAX_RING`].
    pub ring_bytes: u32,
    /// A [`crate::Mask`]: the kinds of records that the app wants.
    pub mask: u64,
    /// Whose records the app wants: a user's number, or [`ALL_USERS`]. Records that are nobody's are told to all.
    pub users: u64,
    /// Windows: the event's handle in the app, as 64 bits for 32-bit callers too. Linux: 1 if the event's
    /// descriptor comes beside the request, 0 if the service shall make the ring on the app's behalf.
    pub event: u64,
}

/// The driver has taken hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Referenced {
    /// The driver's [`crate::VERSION`].
    pub version: u32,
    /// The slot the app has, below [`crate::SLOTS`].
    pub slot: u32,
    /// Linux: shown to the driver's own programs to prove whose slot it is; hard to guess. Windows: 0.
    pub token: u64,
}

/// Stands before the records that a drain returns.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Drained {
    /// Bytes of whole records that follow.
    pub bytes: u32,
    /// How many records these are.
    pub records: u32,
    /// Records that still wait in the queue.
    pub waiting: u64,
    /// An [`crate::Ending`] if the reference ended; 0 else.
    pub ended: u64,
}

/// References that a driver took and released since it was loaded (I7).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct References {
    /// References taken on apps' events.
    pub taken: u64,
    /// References released again.
    pub released: u64,
    /// Apps attached now. `taken - released = attached` once things are quiet.
    pub attached: u64,
    /// What all apps that are no longer attached were offered in all.
    pub past: crate::Totals,
}

const _: () = {
    assert!(
        size_of::<Reference>() == 32 && size_of::<Referenced>() == 16 && size_of::<Drained>() == 24
    );
    assert!(size_of::<References>() == 64 && size_of::<RequestHeader>() == 24);
    assert!(Command::Reference.control_code() == 0x0022_6004);
};
