//! Refusals: the reasons for which a driver, or the device server before it, refuses a request.

macro_rules! refusals {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal, $key:literal;)+) => {
        /// Reason for a refused request, which names the rule that was broken. Crosses as a number, on Windows inside
        /// an NTSTATUS.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        #[non_exhaustive]
        pub enum Refusal { $($(#[doc = $doc])+ $name = $number,)+ }

        impl Refusal {
            /// All refusals.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Returns the refusal's name in JSON and in logs.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $key,)+ }
            }
        }

        impl TryFrom<u32> for Refusal {
            type Error = UnknownRefusal;

            fn try_from(n: u32) -> Result<Self, UnknownRefusal> {
                match n { $($number => Ok(Self::$name),)+ n => Err(UnknownRefusal(n)) }
            }
        }
    };
}

refusals! {
    /// The app speaks another version of the channel than the driver.
    Version = 1, "version";
    /// The request's length is not the one that its command requires.
    Length = 2, "length";
    /// The driver knows no such command.
    Command = 3, "command";
    /// The handle or descriptor in the request is missing, or is not open in the app.
    Handle = 4, "handle";
    /// The handle or descriptor is something else than an event.
    Type = 5, "type";
    /// The handle was opened without the right to signal it.
    Access = 6, "access";
    /// The app's open device already has an event referenced, or another one has this event (Linux).
    AlreadyReferenced = 7, "already_referenced";
    /// The app's open device has no event referenced.
    NotReferenced = 8, "not_referenced";
    /// The app's open device is being closed.
    Closing = 9, "closing";
    /// The driver is stopping and takes no new references.
    Stopping = 10, "stopping";
    /// Every slot for an app is taken, or as many apps have the device open as the device server serves (Linux).
    NoSlot = 11, "no_slot";
    /// The ring or queue is smaller or larger than the driver allows, or not a power of two.
    Size = 12, "size";
    /// The caller lacks the right for this request.
    NotPermitted = 13, "not_permitted";
    /// The kernel gave no memory.
    Memory = 14, "memory";
    /// The caller has as much as one user may have.
    Quota = 15, "quota";
    /// The event can't be cleared by a driver: only the reader's own position says what is read (Linux).
    ReaderOwnsState = 16, "reader_owns_state";
    /// A number in the request is outside what the command allows.
    Range = 17, "range";
    /// The answer does not fit into the room that the app gave for it.
    Room = 18, "room";
    /// A wait in the driver ended because its time ran out.
    TimedOut = 19, "timed_out";
    /// The driver's kernel lacks what the request needs.
    Unsupported = 20, "unsupported";
    /// The driver is already working on such a request of the app.
    Busy = 21, "busy";
}

/// Error of a number that is not a refusal that this version knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownRefusal(pub u32);

impl UnknownRefusal {
    /// Returns the unknown refusal of an error code that a Windows app sees, or `None` if the code is not a refusal's,
    /// or is that of one that this version knows: [`Refusal::from_ntstatus`].
    #[must_use]
    pub fn from_ntstatus(status: i32) -> Option<Self> {
        Refusal::try_from(number_in(status)?).err()
    }
}

impl core::fmt::Display for UnknownRefusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "rule {}, which this version does not know; install the same release of driver and app",
            self.0
        )
    }
}

impl core::error::Error for UnknownRefusal {}

/// Base of the refusals' NTSTATUS, `0xE06B____`: an error (top two bits), defined by a customer (bit 29), so that
/// Windows hands it to the app unchanged instead of mapping it to one of its own error codes.
const NTSTATUS_BASE: u32 = 0xE06B_0000;

impl Refusal {
    /// Returns the refusal's number, as answers carry it; never 0.
    #[must_use]
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// Returns the refusal as the status of an I/O request on Windows.
    #[must_use]
    pub const fn ntstatus(self) -> i32 {
        (NTSTATUS_BASE | self.number()).cast_signed()
    }

    /// Returns the refusal of an error code that a Windows app sees, or `None` if the code is not a refusal's, or is
    /// that of one that this version does not know: [`UnknownRefusal::from_ntstatus`].
    #[must_use]
    pub fn from_ntstatus(status: i32) -> Option<Self> {
        Self::try_from(number_in(status)?).ok()
    }

    /// Returns the broken rule in words, as the second half of a sentence: "the driver refused: …".
    #[must_use]
    pub const fn why(self) -> &'static str {
        match self {
            Self::Version => {
                "the app and the driver speak different versions; install the same release of both"
            }
            Self::Length => "the request has the wrong length",
            Self::Command => "no such command",
            Self::Handle => "the handle sent is not open in the app",
            Self::Type => "the handle sent is not an event",
            Self::Access => "the handle sent may not be signalled with",
            Self::AlreadyReferenced => {
                "this open device has an event attached, or another one has this event; detach it first"
            }
            Self::NotReferenced => "this open device has no event referenced",
            Self::Closing => "the device is being closed",
            Self::Stopping => "the driver is stopping; open it again once it is started",
            Self::NoSlot => "the driver serves as many apps as it can; close one",
            Self::Size => "the ring's size is not allowed: a power of two from 4 KiB to 8 MiB",
            Self::NotPermitted => "the caller may not ask for this",
            Self::Memory => {
                "the kernel has no memory for it, or its share of the memory budget is taken; close another app"
            }
            Self::Quota => "the user has as much of this device as one may have; close an app",
            Self::ReaderOwnsState => {
                "only the reader's own position clears the event; drain it instead"
            }
            Self::Range => "a number in the request is out of range",
            Self::Room => "the answer does not fit into the room given for it",
            Self::TimedOut => "the wait's time ran out",
            Self::Unsupported => "this kernel can't do that",
            Self::Busy => "the driver is already doing this for the app",
        }
    }
}

/// Returns the number of the refusal in an error code that a Windows app sees,
/// or `None` if the code is not a refusal's.
fn number_in(status: i32) -> Option<u32> {
    let status = status.cast_unsigned();
    (status & 0xFFFF_0000 == NTSTATUS_BASE).then_some(status & 0xFFFF)
}

impl core::fmt::Display for Refusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.why())
    }
}

impl core::error::Error for Refusal {}
