//! Channel of a WDM driver to its apps, and the trait by which a driver answers for itself.

use super::nt::NTSTATUS;
use super::repeat::{self, FilePointer, Timer};
use super::security::{self, Descriptor};
use super::work::Threads;
use super::{EventReference, GiveUp, Installed, Name, Nt, OpenFile};
use crate::driver::repeat::{Again, Repeats};
use crate::driver::table::{Buffer, Table};
use crate::driver::work::Works;
use channel_abi::{AnyCommand, Command, DriverCommand, Refusal};
use core::sync::atomic::{AtomicBool, Ordering};

/// A WDM driver: its names, its commands and its work. All of it but `tick` runs at PASSIVE_LEVEL.
pub trait Driver: Send + Sync + Sized + 'static {
    /// The driver before it is started: a part of its image, since a kernel's stack is small.
    const NEW: Self;

    /// Data that a system thread needs to work on a request.
    type Job: Send;
    /// State that repeated work keeps from one tick to the next.
    type Tick: Send;

    /// Returns the device's name, and the name under which apps find it.
    fn names() -> [Name; 2];

    /// Returns the descriptor that says who may open the device, and who may change the driver for others.
    fn security() -> &'static Descriptor {
        &security::DEVICE
    }

    /// Starts the driver, before the device can be opened.
    ///
    /// # Errors
    /// The status by which the driver is not loaded; [`Driver::stop`] is called then.
    fn start(&'static self, channel: &'static Channel<Self>) -> Result<(), NTSTATUS>;

    /// Takes back what `start` did, as far as it came, before the driver is unloaded. No file is open any more.
    fn stop(&self) {}

    /// Answers a command of the driver's own. The buffer's bytes are the app's and can say anything.
    ///
    /// # Errors
    /// The [`Refusal`] that the app gets as its answer.
    fn control(
        &'static self,
        _channel: &'static Channel<Self>,
        _file: &OpenFile,
        _command: DriverCommand,
        _buffer: &mut Buffer<'_>,
    ) -> Result<Reply<Self>, Refusal> {
        Err(Refusal::Command)
    }

    /// Works on a request that takes time, in a system thread. It must end soon once `give_up` is set.
    ///
    /// # Errors
    /// The [`Refusal`] that the app gets as its answer, unless it has cancelled the request: then that.
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

    /// Does repeated work, from a timer: at DISPATCH_LEVEL, with a spin lock held.
    fn tick(
        &'static self,
        _channel: &'static Channel<Self>,
        _file: &OpenFile,
        _tick: &mut Self::Tick,
    ) -> Again {
        Again::Never
    }
}

/// Answer of a driver to a command of its own.
pub enum Reply<D: Driver> {
    /// The command is done, with this number of bytes of output.
    Done(usize),
    /// The command takes time: a system thread calls [`Driver::work`] with this job.
    Later(D::Job),
}

/// State of a WDM driver: its apps, its work, and the driver itself.
pub struct Channel<D: Driver> {
    table: Table<Nt>,
    works: Works<Threads<D>>,
    repeats: Repeats<Timer<D>>,
    pub(super) driver: D,
    /// `true` if the name for apps was made.
    linked: AtomicBool,
}

impl<D: Driver> Channel<D> {
    /// A driver's channel before `DriverEntry`.
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
    /// Returns the table of the apps that are attached.
    #[must_use]
    pub fn table(&self) -> &Table<Nt> {
        &self.table
    }

    /// Returns the driver itself.
    #[must_use]
    pub fn driver(&'static self) -> &'static D {
        &self.driver
    }

    /// Has [`Driver::tick`] called for the file, first after `first` microseconds.
    ///
    /// # Errors
    /// [`Refusal::Busy`] if the file's work is repeated already, or as many files have such work as there is room for.
    pub fn repeat(
        &'static self,
        file: &OpenFile,
        first: u32,
        tick: D::Tick,
    ) -> Result<(), Refusal> {
        self.repeats.start(FilePointer::to(file), first, tick)
    }

    /// Notes that the name for apps was made: it is to be deleted again.
    pub(super) fn link_made(&self) {
        self.linked.store(true, Ordering::Relaxed);
    }

    /// Returns whether the name for apps was made.
    pub(super) fn has_link(&self) -> bool {
        self.linked.load(Ordering::Relaxed)
    }

    pub(super) fn repeats(&self) -> &Repeats<Timer<D>> {
        &self.repeats
    }

    /// Prepares the channel at its final place, and starts the driver, before the device can be opened.
    pub(super) fn prepare(&'static self) -> Result<(), NTSTATUS> {
        self.works.prepare(self);
        repeat::prepare(&self.repeats);
        self.driver.start(self)
    }

    /// Ends all work, before the driver is unloaded: nothing of it runs after this. No file is open any more.
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

    /// Ends whatever a file has, at its IRP_MJ_CLEANUP: the app's last handle is closed. Requests may still be under
    /// way.
    pub(super) fn cleanup(&self, file: &OpenFile) {
        self.table.cleanup(file);
        self.works.close(FilePointer::to(file), file.give_ups());
        self.repeats.stop(FilePointer::to(file));
    }
}
