//! The article's driver, for Windows.
//!
//! "A very simple kernel mode device driver. It can operate the event object as the app asked": it sets, clears, pulses
//! and reads the app's event, sends notices through the channel, waits while the app sets, and reports processes.
//! Beside it stands the background's way: a *named* event of the driver's own, pulsed at each process creation, that an
//! app can open as `Global\GatebellSampleProcess` and wait on, but not reset.
//!
//! It may depend on `channel` and `sample_abi` alone.
//!
//! Rules that hold here:
//! - An app's numbers are checked in `Asked::parse` before anything is done.
//! - No request keeps the driver busy for ever: what takes time runs in a thread that the app's death ends.

mod operations;
mod process;

use channel::driver::table::{Buffer, Lock, Signal};
use channel::driver::wdm::nt::{self, NTSTATUS};
use channel::driver::wdm::security::WAIT_ONLY_EVENT;
use channel::driver::wdm::{
    Again, Channel, Driver, GiveUp, Name, NamedEvent, OpenFile, Reply, SpinLock, Waited,
};
use channel::{DriverCommand, DriverRequest, Refusal, wide_name};
use core::sync::atomic::{AtomicBool, Ordering};
use operations::{Asked, Ticking};
use sample_abi::{Operate, Operation};

/// State of the driver beside its channel: the event of the article's background.
pub struct Sample {
    named: SpinLock<Option<NamedEvent>>,
    /// `true` while the kernel calls us for processes.
    watching: AtomicBool,
}

impl Driver for Sample {
    const NEW: Self = Self {
        named: SpinLock::guard(None),
        watching: AtomicBool::new(false),
    };

    type Job = Asked;
    type Tick = Ticking;

    fn names() -> [Name; 2] {
        [
            wide_name!(r"\Device\GatebellSample"),
            wide_name!(r"\DosDevices\Global\GatebellSample"),
        ]
    }

    fn start(&'static self, _: &'static Channel<Self>) -> Result<(), NTSTATUS> {
        let name = wide_name!(r"\BaseNamedObjects\GatebellSampleProcess");
        match NamedEvent::new(name, &WAIT_ONLY_EVENT) {
            Ok(event) => self.named.with(|named| *named = Some(event)),
            // Any user can make an event by this name, and keep one of an earlier run. The driver does not open
            // another's: it does without, and refuses what takes it.
            Err(nt::STATUS_OBJECT_NAME_COLLISION) => {}
            Err(status) => return Err(status),
        }
        process::watch()?;
        self.watching.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn stop(&self) {
        if self.watching.swap(false, Ordering::Relaxed) {
            process::unwatch();
        }
    }

    /// Does what the app asks for with [`Operate`].
    fn control(
        &'static self,
        channel: &'static Channel<Self>,
        file: &OpenFile,
        command: DriverCommand,
        buffer: &mut Buffer<'_>,
    ) -> Result<Reply<Self>, Refusal> {
        if command != Operate::COMMAND {
            return Err(Refusal::Command);
        }
        let asked = Asked::parse(buffer)?;
        let event = channel.table().event(file)?;
        let before = event.is_signalled();
        match asked.operation {
            Operation::Set => event.signal(),
            Operation::Clear => event.clear(),
            Operation::Pulse => event.pulse(),
            Operation::Query => {}
            Operation::PulseNamed => self.pulse_named().ok_or(Refusal::Unsupported)?,
            Operation::NotifyFromTimer => {
                channel.repeat(file, asked.interval_us, Ticking::new(&asked))?;
            }
            Operation::Notify if asked.is_short() => {
                let offered = asked.notify(channel.table(), file, |_| false);
                return asked
                    .answer(channel.table(), file, before, offered, buffer)
                    .map(Reply::Done);
            }
            Operation::Notify | Operation::Wait => return Ok(Reply::Later(asked)),
            // On Windows the app calls SetEvent, and the waiting driver wakes.
            Operation::AppSet => return Err(Refusal::Unsupported),
        }
        asked
            .answer(channel.table(), file, before, 0, buffer)
            .map(Reply::Done)
    }

    /// Does what takes time, in a system thread of its own.
    fn work(
        &'static self,
        channel: &'static Channel<Self>,
        file: &OpenFile,
        asked: Asked,
        give_up: &GiveUp,
        buffer: &mut Buffer<'_>,
    ) -> Result<usize, Refusal> {
        let event = channel.table().event(file)?;
        let before = event.is_signalled();
        let offered = match asked.operation {
            Operation::Notify => {
                asked.notify(channel.table(), file, |interval| give_up.sleep(interval))
            }
            _ => match give_up.wait_for(&event, asked.interval_us) {
                Waited::Signalled => 0,
                Waited::TimedOut => return Err(Refusal::TimedOut),
                Waited::GaveUp => return Err(Refusal::NotReferenced),
            },
        };
        drop(event);
        asked.answer(channel.table(), file, before, offered, buffer)
    }

    /// Sends the timer's notices: those that are due by now.
    fn tick(
        &'static self,
        channel: &'static Channel<Self>,
        file: &OpenFile,
        ticking: &mut Ticking,
    ) -> Again {
        ticking.tick(channel.table(), file)
    }
}

impl Sample {
    /// Pulses the named event (`KeSetEvent`, `KeClearEvent`): who does not wait in between never hears of it. Returns
    /// `None` if there is no such event: see `start`.
    fn pulse_named(&'static self) -> Option<()> {
        self.named
            .with(|named| named.as_ref().map(NamedEvent::pulse))
    }
}
