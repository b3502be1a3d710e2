//! Commands: the requests that an app may send to a driver's device.
//!
//! On Windows each is a METHOD_BUFFERED control code. On Linux a [`Command`] goes over the service's socket, one
//! message a request, with descriptors beside it. Commands of the driver's own ([`DriverCommand`]) go to the driver
//! itself: on Windows as control codes too, on Linux by a run of its program (`BPF_PROG_RUN`) with the same bytes.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A command of the channel itself, which every driver answers alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Command {
    /// Attaches the app's event to the driver; takes a [`Reference`], answers with a [`Referenced`].
    Reference = 1,
    /// Detaches the app's event; neither input nor output.
    Dereference = 2,
    /// Takes records out of the app's queue (Windows; on Linux the app reads its ring); no input, answers with a
    /// [`Drained`] and as many whole records as fit.
    Drain = 3,
    /// Reads the app's ledger, also after the reference ended; no input, answers with a [`crate::Ledger`].
    Account = 4,
    /// Reads the counts of the driver's references to apps' events; no input, answers with [`References`].
    References = 5,
    /// Ends every app's reference, before the driver is stopped; neither input nor output. Needs the right to change
    /// the driver.
    DetachAll = 6,
    /// Takes [`Command::DetachAll`] back, where the driver was not stopped after all; neither input nor output. Needs
    /// the right to change the driver.
    Resume = 7,
}

impl Command {
    /// Returns the control code on Windows: device type 0x22 (unknown), function 0x800 + number, METHOD_BUFFERED, and
    /// the write right that a command which changes the driver for others needs.
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

/// A command of a driver's own, by a number that the driver chooses:
/// [`DriverCommand::FIRST`] to [`DriverCommand::LAST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DriverCommand(u32);

impl DriverCommand {
    /// The lowest number; those below are the channel's.
    pub const FIRST: u32 = 64;
    /// The highest number that fits into a control code.
    pub const LAST: u32 = 0x7FF;

    /// Returns the command with this number. A number outside [`DriverCommand::FIRST`] to [`DriverCommand::LAST`] does
    /// not compile.
    #[must_use]
    pub const fn new<const NUMBER: u32>() -> Self {
        const { assert!(NUMBER >= Self::FIRST && NUMBER <= Self::LAST) };
        Self(NUMBER)
    }

    /// Returns the command's number, as requests carry it.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// Returns the control code on Windows. Whoever may open the device may send it.
    #[must_use]
    pub const fn control_code(self) -> u32 {
        control_code(self.0, READ)
    }
}

/// A command, the channel's or a driver's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AnyCommand {
    /// A command that the channel answers.
    Channel(Command),
    /// A command that the driver answers.
    Driver(DriverCommand),
}

impl AnyCommand {
    /// Returns the command's number, as requests carry it.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Channel(command) => command as u32,
            Self::Driver(command) => command.number(),
        }
    }

    /// Returns the command's control code on Windows.
    #[must_use]
    pub const fn control_code(self) -> u32 {
        match self {
            Self::Channel(command) => command.control_code(),
            Self::Driver(command) => command.control_code(),
        }
    }

    /// Returns the command of a control code on Windows, or `None` if no command has it.
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

/// Header of every request of a driver's own, its first field. The library fills it in; the driver writes `refusal`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct RequestHeader {
    /// Number of the [`DriverCommand`].
    pub command: u32,
    /// Slot of the app, from [`Referenced::slot`] (Linux); 0 on Windows, where the open file says whose request it is.
    pub slot: u32,
    /// Token of the app, from [`Referenced::token`], which proves that the slot is the caller's (Linux); 0 on Windows.
    pub token: u64,
    /// Result, written by a driver for Linux: 0, or the number of a [`crate::Refusal`]. On Windows the request's status
    /// says it.
    pub refusal: u32,
    /// Padding up to a multiple of 8 bytes.
    pub spare: u32,
}

/// A request of a driver's own: the app's input and, in the same bytes, the driver's answer. Its first field is a
/// [`RequestHeader`].
pub trait DriverRequest: FromBytes + IntoBytes + Immutable {
    /// The driver's command that this request is of.
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

/// Number that stands for no user: a record about nobody, which goes to every app, whoever runs it.
pub const NO_USER: u32 = u32::MAX;

/// Value of [`Reference::users`] for all users. On Linux only apps of root and of the user that the service runs as get
/// all; others get their own whatever they ask.
pub const ALL_USERS: u64 = u64::MAX;

/// Request to attach the app's event: the input of [`Command::Reference`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Reference {
    /// Version of the channel that the app was built with: its [`crate::VERSION`].
    pub version: u32,
    /// Bytes of the ring (Linux) or queue (Windows): a power of two, [`MIN_RING`] to [`MAX_RING`].
    pub ring_bytes: u32,
    /// Kinds of records that the app wants: a [`crate::Mask`].
    pub mask: u64,
    /// User whose records the app wants: a user's number (Linux), or [`ALL_USERS`], which leaves it to the driver which
    /// records the app may have. Records about nobody go to all apps.
    pub users: u64,
    /// Handle of the event in the app, as 64 bits for 32-bit callers too (Windows). On Linux 1 if the event's
    /// descriptor comes beside the request, 0 if the service shall make the ring on the app's behalf.
    pub event: u64,
}

/// Answer to a [`Reference`]: the app's event is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Referenced {
    /// Version of the channel that the driver was built with: its [`crate::VERSION`].
    pub version: u32,
    /// Slot that the app has got, below [`crate::SLOTS`].
    pub slot: u32,
    /// Token that proves to the driver's own programs whose slot it is, hard to guess (Linux); 0 on Windows.
    pub token: u64,
}

/// Header of a drain's answer, before the records.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Drained {
    /// Length of the records that follow, which are whole, in bytes.
    pub bytes: u32,
    /// Number of records that follow.
    pub records: u32,
    /// Number of records that still wait in the queue.
    pub waiting: u64,
    /// The [`crate::Ending`] if the reference ended, else 0.
    pub ended: u64,
}

/// Counts of references to apps' events that a driver took and released since it was loaded (I7).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct References {
    /// Number of references taken on apps' events.
    pub taken: u64,
    /// Number of references released again.
    pub released: u64,
    /// Number of apps attached now. `taken - released = attached` once things are quiet.
    pub attached: u64,
    /// Sum of the ledgers of all apps that are no longer attached.
    pub past: crate::Totals,
}

const _: () = {
    assert!(
        size_of::<Reference>() == 32 && size_of::<Referenced>() == 16 && size_of::<Drained>() == 24
    );
    assert!(size_of::<References>() == 64 && size_of::<RequestHeader>() == 24);
    assert!(Command::Reference.control_code() == 0x0022_6004);
};
