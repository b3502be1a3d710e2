//! Why a driver, or the device server before it, refuses a request.

macro_rules! refusals {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal, $key:literal;)+) => {
        /// A named refusal: who broke which rule. Crosses as a number, on Windows inside an NTSTATUS.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        #[non_exhaustive]
        pub enum Refusal { $($(#[doc = $doc])+ $name = $number,)+ }

        impl Refusal {
            /// Every refusal there is.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The name in JSON and in logs.
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
    /// The request is not as long as its command wants it.
    Length = 2, "length";
    /// The driver knows no such command.
    Command = 3, "command";
    /// The handle or descriptor sent is none, or is not open in the app.
    Handle = 4, "handle";
    /// The handle or descriptor is something else than an event.
    Type = 5, "type";
    /// The handle was opened without the right to signal it.
    Access = 6, "access";
    /// This open device already has an event referenced.
    AlreadyReferenced = 7, "already_referenced";
    /// This open device has no event referenced.
    NotReferenced = 8, "not_referenced";
    /// The open device is being closed.
    Closing = 9, "closing";
    /// The driver is stopping and takes no new references.
    Stopping = 10, "stopping";
    /// Every slot for an app is taken.
    NoSlot = 11, "no_slot";
    /// The ring or queue is smaller or larger than the driver allows, or not a power of two.
    Size = 12, "size";
    /// The caller may not ask for this.
    NotPermitted = 13, "not_permitted";
    /// The kernel gave no memory.
    Memory = 14, "memory";
    /// The caller has as much as one user may have.
    Quota = 15, "quota";
    /// Only the reader's own position says what is read: a driver can't clear it (Linux).
    ReaderOwnsState = 16, "reader_owns_state";
    /// A number in the request is outside what the command allows.
    Range = 17, "range";
    /// The answer does not fit into the room that the app gave for it.
    Room = 18, "room";
    /// A wait in the driver ended because its time ran out.
    TimedOut = 19, "timed_out";
    /// The driver's kernel can't do this.
    Unsupported = 20, "unsupported";
    /// The driver is already doing this for the app.
    Busy = 21, "busy";
}

/// Not a refusal that this version knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownRefusal(pub u32);

/// `0xE06B____`: an error (top two bits), defined by a customer (bit 29), so that Windows hands it to the app
/// unchanged instead of mapping it to one of its own error codes.
const NTSTATUS_BASE: u32 = 0xE06B_0000;

impl Refusal {
    /// The number that crosses; never 0.
    #[must_use]
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// As the status of an I/O request on Windows.
    #[must_use]
    pub const fn ntstatus(self) -> i32 {
        (NTSTATUS_BASE | self.number()).cast_signed()
    }

    /// Back from the error code that a Windows app sees; `None` if the code is not ours.
    #[must_use]
    pub fn from_ntstatus(status: i32) -> Option<Self> {
        let status = status.cast_unsigned();
        (status & 0xFFFF_0000 == NTSTATUS_BASE)
            .then_some(status & 0xFFFF)?
            .try_into()
            .ok()
    }

    /// Which rule was broken, in a sentence's second half: "the driver refused: …".
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
                "this open device has an event referenced; dereference it first"
            }
            Self::NotReferenced => "this open device has no event referenced",
            Self::Closing => "the device is being closed",
            Self::Stopping => "the driver is stopping; open it again once it is started",
            Self::NoSlot => "as many apps as the driver can serve are attached; close one",
            Self::Size => "the ring's size is not allowed: a power of two from 4 KiB to 8 MiB",
            Self::NotPermitted => "the caller may not ask for this",
            Self::Memory => {
                "the kernel has no memory for it, or its share of the memory budget is taken; close another app"
            }
            Self::Quota => "the user has as many rings as one may have; close one",
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

impl core::fmt::Display for Refusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.why())
    }
}

impl core::error::Error for Refusal {}
