//! Differences between the kernels, as far as the sample shows them.
//!
//! Everything else here is written once, for [`Kernel`]. The article's background, a *named* event that the driver
//! makes, is not part of the channel: only this sample opens it.

use channel::sys::model::Model;
use channel::{Device, Error, Refusal, System};
use sample_abi::Operation;
use std::time::Duration;

/// A kernel, with what the sample needs besides the channel.
pub trait Kernel: System {
    /// Name of the kernel in logs.
    const NAME: &'static str;
    /// Name of the sample driver's device.
    const DEVICE: &'static str;
    /// `true` if the driver reports process creations.
    const REPORTS_PROCESSES: bool;
    /// `true` if the driver's wait holds its request up. Else the driver notes that it waits, and the app tells it when
    /// it has set the event.
    const WAIT_BLOCKS: bool;
    /// `true` if the event stays signalled after a pulse that nobody waited for.
    const PULSE_STAYS: bool;
    /// The driver's named event, opened by the app.
    type Named: Send;

    /// Opens the device of the sample's driver.
    fn open_device(name: &str) -> Result<Device<Self>, Error>;
    /// Opens the driver's named event: to wait on it, no more.
    fn open_named(device: &Device<Self>) -> Result<Self::Named, Error>;
    /// Waits for a pulse of the named event. Returns `false` if none was heard in time.
    fn wait_named(named: &mut Self::Named, timeout: Duration) -> Result<bool, Error>;
    /// Tries to reset the named event, which an app may not.
    fn reset_named(named: &Self::Named) -> Result<(), Error>;
    /// Returns the refusal with which this kernel always answers an operation, or `None` if it does not.
    fn refuses(operation: Operation) -> Option<Refusal>;
}

/// The model has no timers, no processes of its own and no names.
impl Kernel for Model {
    const NAME: &'static str = "model";
    const DEVICE: &'static str = "(in this process)";
    const REPORTS_PROCESSES: bool = false;
    const WAIT_BLOCKS: bool = true;
    const PULSE_STAYS: bool = false;
    type Named = ();

    fn open_device(_: &str) -> Result<Device<Self>, Error> {
        crate::model_driver::kernel().process(false).open()
    }

    fn open_named(_: &Device<Self>) -> Result<(), Error> {
        Err(Error::Refused {
            command: <sample_abi::Operate as channel::DriverRequest>::COMMAND.into(),
            refusal: Refusal::Unsupported,
        })
    }

    fn wait_named((): &mut (), _: Duration) -> Result<bool, Error> {
        Ok(false)
    }

    fn reset_named((): &()) -> Result<(), Error> {
        Ok(())
    }

    fn refuses(operation: Operation) -> Option<Refusal> {
        use Operation::{AppSet, NotifyFromTimer, PulseNamed};
        matches!(operation, NotifyFromTimer | PulseNamed | AppSet).then_some(Refusal::Unsupported)
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use super::{Device, Duration, Error, Kernel, Operation, Refusal};
    use channel::sys::linux::{Linux, NamedEvent};

    impl Kernel for Linux {
        const NAME: &'static str = "linux";
        const DEVICE: &'static str = "/run/gatebell/sample.sock";
        const REPORTS_PROCESSES: bool = true;
        const WAIT_BLOCKS: bool = false;
        const PULSE_STAYS: bool = true;
        type Named = NamedEvent;

        fn open_device(name: &str) -> Result<Device<Self>, Error> {
            channel::open(name)
        }

        fn open_named(device: &Device<Self>) -> Result<NamedEvent, Error> {
            device.system().named()
        }

        fn wait_named(named: &mut NamedEvent, timeout: Duration) -> Result<bool, Error> {
            named.wait(Some(timeout))
        }

        fn reset_named(named: &NamedEvent) -> Result<(), Error> {
            named.reset()
        }

        /// Refuses to clear: what is signalled in a ring is cleared by its reader alone.
        fn refuses(operation: Operation) -> Option<Refusal> {
            (operation == Operation::Clear).then_some(Refusal::ReaderOwnsState)
        }
    }
}

#[cfg(windows)]
mod windows {
    use super::{Device, Duration, Error, Kernel, Operation, Refusal};
    use channel::sys::windows::{NamedEvent, Windows};

    impl Kernel for Windows {
        const NAME: &'static str = "windows";
        const DEVICE: &'static str = r"\\.\GatebellSample";
        const REPORTS_PROCESSES: bool = true;
        const WAIT_BLOCKS: bool = true;
        const PULSE_STAYS: bool = false;
        type Named = NamedEvent;

        fn open_device(name: &str) -> Result<Device<Self>, Error> {
            channel::open(name)
        }

        fn open_named(_: &Device<Self>) -> Result<NamedEvent, Error> {
            NamedEvent::open(r"Global\GatebellSampleProcess")
        }

        fn wait_named(named: &mut NamedEvent, timeout: Duration) -> Result<bool, Error> {
            named.wait(Some(timeout))
        }

        fn reset_named(named: &NamedEvent) -> Result<(), Error> {
            named.reset()
        }

        fn refuses(_: Operation) -> Option<Refusal> {
            None
        }
    }
}
