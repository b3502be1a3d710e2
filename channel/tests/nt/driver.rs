//! A driver that does all that one can: a named event, a callback for processes, work in a thread, and a timer.

use channel::driver::table::{Buffer, Lock, Signal};
use channel::driver::wdm::nt::{self, EPROCESS, HANDLE, NTSTATUS, PS_CREATE_NOTIFY_INFO};
use channel::driver::wdm::security::WAIT_ONLY_EVENT;
use channel::driver::wdm::{
    Again, Channel, Driver, GiveUp, Installed, Late, Name, NamedEvent, OpenFile, Reply, SpinLock,
    Waited, about,
};
use channel::{DriverCommand, DriverRequest, Header, Kind, Refusal, RequestHeader, wide_name};
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Kind of a record of nothing but a number.
pub const NUMBER: Kind = Kind::new::<0>();
/// Kind of a record that says that a process has started.
pub const STARTED: Kind = Kind::new::<1>();

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Number {
    pub header: Header,
    pub number: u64,
}

/// Request of an app to the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Ask {
    pub header: RequestHeader,
    pub what: u32,
    pub microseconds: u32,
}

impl Ask {
    pub fn new(what: u32, microseconds: u32) -> Self {
        Self {
            header: RequestHeader::default(),
            what,
            microseconds,
        }
    }
}

/// Values of [`Ask::what`].
pub const OFFER: u32 = 0;
pub const WAIT: u32 = 1;
pub const SLEEP: u32 = 2;
pub const TICK: u32 = 3;
pub const OPERATE: u32 = 4;

impl DriverRequest for Ask {
    const COMMAND: DriverCommand = DriverCommand::new::<64>();
}

/// A driver that does all that one can.
pub struct Everything {
    named: SpinLock<Option<NamedEvent>>,
    watching: AtomicBool,
}

/// Makes a driver one that this machine loads: `entry` is the `DriverEntry` of its image,
/// each time of another one, as on NT.
macro_rules! loaded {
    ($driver:ty) => {
        static IMAGE: AtomicPtr<Late<Channel<$driver>>> = AtomicPtr::new(std::ptr::null_mut());

        /// Calls `DriverEntry` of an image that was just loaded.
        pub fn entry(driver: *mut nt::DRIVER_OBJECT) -> nt::NTSTATUS {
            let image = Box::leak(Box::new(Late::new(Channel::NEW)));
            IMAGE.store(image, Ordering::SeqCst);
            // SAFETY: the driver's own object, in its entry.
            unsafe { channel::driver::wdm::driver_entry::<$driver>(driver) }
        }

        impl Installed for $driver {
            fn late() -> &'static Late<Channel<Self>> {
                // SAFETY: an image was loaded before anything of it is called, and none is ever taken away.
                unsafe { &*IMAGE.load(Ordering::SeqCst) }
            }
        }
    };
}
pub(crate) use loaded;

loaded!(Everything);

impl Driver for Everything {
    const NEW: Self = Self {
        named: SpinLock::guard(None),
        watching: AtomicBool::new(false),
    };

    type Job = Ask;
    /// Request that the ticks are for; its `header.spare` counts those that came.
    type Tick = Ask;

    fn names() -> [Name; 2] {
        [
            wide_name!(r"\Device\Everything"),
            wide_name!(r"\DosDevices\Global\Everything"),
        ]
    }

    fn start(&'static self, _: &'static Channel<Self>) -> Result<(), NTSTATUS> {
        let name = wide_name!(r"\BaseNamedObjects\Everything");
        let event = NamedEvent::new(name, &WAIT_ONLY_EVENT)?;
        self.named.with(|named| *named = Some(event));
        // SAFETY: it stays until `stop`.
        nt::check(unsafe { nt::PsSetCreateProcessNotifyRoutineEx(notify, 0) })?;
        self.watching.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn stop(&self) {
        if self.watching.swap(false, Ordering::Relaxed) {
            // SAFETY: waits for calls under way.
            unsafe { nt::PsSetCreateProcessNotifyRoutineEx(notify, 1) };
        }
    }

    fn control(
        &'static self,
        channel: &'static Channel<Self>,
        file: &OpenFile,
        _: DriverCommand,
        buffer: &mut Buffer<'_>,
    ) -> Result<Reply<Self>, Refusal> {
        let ask: Ask = buffer.request()?;
        match ask.what {
            OFFER => channel.table().offer_to(file, NUMBER, &number(7))?,
            TICK => channel.repeat(file, ask.microseconds, ask)?,
            OPERATE => {
                let event = channel.table().event(file)?;
                if !event.is_signalled() {
                    event.pulse();
                    event.signal();
                }
                self.named.with(|named| {
                    if let Some(named) = named {
                        named.pulse();
                    }
                });
            }
            _ => return Ok(Reply::Later(ask)),
        }
        buffer.answer(&ask).map(Reply::Done)
    }

    fn work(
        &'static self,
        channel: &'static Channel<Self>,
        file: &OpenFile,
        ask: Ask,
        give_up: &GiveUp,
        buffer: &mut Buffer<'_>,
    ) -> Result<usize, Refusal> {
        if ask.what == WAIT {
            let event = channel.table().event(file)?;
            match give_up.wait_for(&event, ask.microseconds) {
                Waited::Signalled => {}
                Waited::TimedOut => return Err(Refusal::TimedOut),
                Waited::GaveUp => return Err(Refusal::NotReferenced),
            }
        } else if give_up.sleep(ask.microseconds) {
            return Err(Refusal::NotReferenced);
        }
        buffer.answer(&ask)
    }

    fn tick(
        &'static self,
        channel: &'static Channel<Self>,
        file: &OpenFile,
        ask: &mut Ask,
    ) -> Again {
        crate::rules::ticks();
        let offered = channel.table().offer_to(file, NUMBER, &number(9));
        ask.header.spare += 1;
        if offered.is_err() || ask.header.spare == 3 {
            return Again::Never;
        }
        Again::In(ask.microseconds)
    }
}

fn number(number: u64) -> Number {
    Number {
        header: Header::default(),
        number,
    }
}

unsafe extern "system" fn notify(
    process: *mut EPROCESS,
    _: HANDLE,
    _: *const PS_CREATE_NOTIFY_INFO,
) {
    // SAFETY: alive during the call.
    let whose = unsafe { about(process) };
    if let Some(channel) = Everything::late().get() {
        channel
            .table()
            .offer(STARTED, &whose, &number(process.addr() as u64));
    }
}
