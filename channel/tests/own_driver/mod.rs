//! A driver of one's own, on the model: its record, its commands, and its answers.

use channel::driver::table::{Buffer, Signal};
use channel::sys::model::{Kernel, Request};
use channel::{Header, Kind, Refusal};
use channel_abi::{DriverCommand, DriverRequest, RequestHeader};
use std::time::Duration;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Kind of the driver's records: a number.
pub const NUMBER: Kind = Kind::new::<40>();
/// Kind of records that nobody asks for here.
pub const OTHER: Kind = Kind::new::<41>();

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Number {
    pub header: Header,
    pub number: u64,
    pub spare: u64,
}

impl Number {
    pub const fn new(number: u64) -> Self {
        Self {
            header: Header {
                length: 0,
                kind: 0,
                version: 0,
                processor: 0,
                sequence: 0,
                stamp_ns: 0,
                lost: [0; 3],
            },
            number,
            spare: 0,
        }
    }
}

/// Values of [`Touch::what`]: what the driver does with the app's event.
pub const SET: u32 = 1;
pub const CLEAR: u32 = 2;
pub const PULSE: u32 = 3;
pub const LOOK: u32 = 4;
pub const WAIT: u32 = 5;
pub const SEND: u32 = 6;

/// Request of the driver's one command.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Touch {
    pub header: RequestHeader,
    pub what: u32,
    /// Number of records to send.
    pub count: u32,
    /// State of the event that the driver saw before: 1 signalled, 0 not.
    pub before: u32,
    pub after: u32,
    pub waiting: u64,
}

impl DriverRequest for Touch {
    const COMMAND: DriverCommand = DriverCommand::new::<64>();
}

impl Touch {
    pub fn new(what: u32, count: u32) -> Self {
        Self {
            what,
            count,
            ..Self::default()
        }
    }
}

pub fn kernel() -> Kernel {
    Kernel::with_commands(|request, command, buffer| match command {
        Touch::COMMAND => touch(request, buffer),
        _ => Err(Refusal::Command),
    })
}

fn touch(request: &Request<'_>, buffer: &mut Buffer<'_>) -> Result<usize, Refusal> {
    let mut touch: Touch = buffer.request()?;
    let event = request.event()?;
    touch.before = event.is_set().into();
    match touch.what {
        SET => event.signal(),
        CLEAR => event.clear(),
        PULSE => {
            event.signal();
            event.clear();
        }
        LOOK => {}
        WAIT if !event.wait(Some(Duration::ZERO)) => {
            return Err(Refusal::TimedOut);
        }
        WAIT => {}
        SEND => {
            for number in 0..touch.count.into() {
                request.offer(NUMBER, &Number::new(number))?;
            }
        }
        _ => return Err(Refusal::Range),
    }
    touch.after = event.is_set().into();
    touch.waiting = request.waiting()?;
    buffer.answer(&touch)
}
