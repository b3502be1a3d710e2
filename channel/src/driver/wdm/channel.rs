//! A driver's channel to its apps, and what a driver answers for itself.

use super::nt::NTSTATUS;
use super::repeat::{self, FilePointer, Timer};
use super::work::Threads;
use super::{EventReference, GiveUp, Installed, Name, Nt, OpenFile};
use crate::driver::repeat::{Again, Repeats};
use crate::driver::table::{Buffer, Table};
use crate::driver::work::Works;
use channel_abi::{AnyCommand, Command, DriverCommand, Refusal};
use core::sync::atomic::{AtomicBool, Ordering};

/// What a driver of its own brings. All of it but `tick` runs at PASSIVE_LEVEL.
pub trait Driver: Send + Sync + Sized + 'static {
    /// The driver before it is started: a part of its image, since a kernel's stack is small.
    const NEW: Self;

    /// What a system thread needs to know to work on a request.
    type Job: Send;
    /// What repeated work keeps from one tick to the next.
    type Tick: Send;

    /// The device's name, and the name under which apps find it.
    fn names() -> [Name; 2];

    /// Before the device can be opened.
    ///
    /// # Errors
    /// The status by which the driver is not loaded; [`Driver::stop`] is called then.
    fn start(&'static self, channel: &'static Channel<Self>) -> Result<(), NTSTATUS>;

    /// Before the driver is unloaded: takes back what `start` did, as far as it came. No file is open any more.
    fn stop(&self) {}

    /// A command of the driver's own. What the buffer holds is the app's and can say anything.
    ///
    /// # Errors
    /// What the app is told.
    fn control(
        &'static self,
        _channel: &'static Channel<Self>,
        _file: &OpenFile,
        _command: DriverCommand,
        _buffer: &mut Buffer<'_>,
    ) -> Result<Reply<Self>, Refusal> {
        Err(Refusal::Command)
    }

    /// Work on a request that takes time, in a system thread. It must end soon once `give_up` rings.
    ///
    /// # Errors
    /// What the app is told, but where it has cancelled the request: then that.
    fn work(
        &'static self,
        _channel: &'static Channel<Self>,
        _file: &OpenFile,
        _job: Self::Job,
        _give_up: &GiveUp,
        _buffer: &mut Buffer<'_>,
    ) -> Result<usize, Refusal> {
        Err(Refusal::Unsupported)
    }

    /// Repeated work, from a timer: at DISPATCH_LEVEL, with a spin lock held.
    fn tick(
        &'static self,
        _channel: &'static Channel<Self>,
        _file: &OpenFile,
        _tick: &mut Self::Tick,
    ) -> Again {
        Again::Never
    }
}

/// How a driver answers a command of its own.
pub enum Reply<D: Driver> {
    /// So many bytes of output.
    Done(usize),
    /// By a system thread of the driver, which calls [`Driver::work`].
    Later(D::Job),
}

/// All that a driver keeps.
pub struct Channel<D: Driver> {
    table: Table<Nt>,
    works: Works<Threads<D>>,
    repeats: Repeats<Timer<D>>,
    pub(super) driver: D,
    /// Whether the name for apps was made.
    linked: AtomicBool,
}

impl<D: Driver> Channel<D> {
    /// Before `DriverEntry`.
    pub const NEW: Self = Self {
        table: Table::EMPTY,
        works: Works::NEW,
        repeats: Repeats::NEW,
        driver: D::NEW,
        linked: AtomicBool::new(false),
    };
}

impl<D: Driver> Channel<D> {
    pub(super) fn works(&'static self) -> &'static Works<Threads<D>> {
        &self.works
    }
}

impl<D: Installed> Channel<D> {
    /// The apps that are attached.
    #[must_use]
    pub fn table(&self) -> &Table<Nt> {
        &self.table
    }

    /// The driver itself.
    #[must_use]
    pub fn driver(&'static self) -> &'static D {
        &self.driver
    }

    /// Has [`Driver::tick`] called for the file, first after so many microseconds.
    ///
    /// # Errors
    /// [`Refusal::Busy`] if it is already, or for as many files as there is room for.
    pub fn repeat(
        &'static self,
        file: &OpenFile,
        first: u32,
        tick: D::Tick,
    ) -> Result<(), Refusal> {
        self.repeats.start(FilePointer::to(file), first, tick)
    }

    /// The name for apps was made: it is to be deleted again.
    pub(super) fn link_made(&self) {
        self.linked.store(true, Ordering::Relaxed);
    }

    /// Whether it was.
    pub(super) fn has_link(&self) -> bool {
        self.linked.load(Ordering::Relaxed)
    }

    pub(super) fn repeats(&self) -> &Repeats<Timer<D>> {
        &self.repeats
    }

    /// Before the device can be opened, at the channel's final place.
    pub(super) fn prepare(&'static self) -> Result<(), NTSTATUS> {
        self.works.prepare(self);
        repeat::prepare(&self.repeats);
        self.driver.start(self)
    }

    /// Before the driver is unloaded: nothing of it runs after this. No file is open any more.
    pub(super) fn quiesce(&self) {
        self.driver.stop();
        repeat::stop_all(&self.repeats);
        self.works.join_all();
    }

    /// Answers a command. The caller's context is the app's.
    pub(super) fn control(
        &'static self,
        command: AnyCommand,
        file: &OpenFile,
        buffer: &mut Buffer<'_>,
    ) -> Result<Reply<D>, Refusal> {
        match command {
            AnyCommand::Driver(command) => self.driver.control(self, file, command, buffer),
            AnyCommand::Channel(command) => self.answer(command, file, buffer).map(Reply::Done),
        }
    }

    fn answer(
        &'static self,
        command: Command,
        file: &OpenFile,
        buffer: &mut Buffer<'_>,
    ) -> Result<usize, Refusal> {
        // The I/O manager has checked the right that the control code asks for (FILE_WRITE_ACCESS for DETACH_ALL).
        let answered = self
            .table
            .request(file, command, buffer, true, EventReference::from_app);
        if answered.is_ok() {
            match command {
                Command::Dereference => {
                    self.works.give_up(FilePointer::to(file), file.give_ups());
                    self.repeats.stop(FilePointer::to(file));
                }
                Command::DetachAll => self.works.give_up_all(),
                _ => {}
            }
        }
        answered
    }

    /// IRP_MJ_CLEANUP: the app's last handle is closed. Requests may still be under way.
    pub(super) fn cleanup(&self, file: &OpenFile) {
        self.table.cleanup(file);
        self.works.close(FilePointer::to(file), file.give_ups());
        self.repeats.stop(FilePointer::to(file));
    }
}
