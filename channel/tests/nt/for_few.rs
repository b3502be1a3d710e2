//! A driver whose device is for administrators alone, and that does nothing else.

use crate::driver::loaded;
use channel::driver::wdm::nt;
use channel::driver::wdm::security::{ADMINISTRATORS_DEVICE, Descriptor};
use channel::driver::wdm::{Channel, Driver, Installed, Late, Name};
use channel::wide_name;
use std::sync::atomic::{AtomicPtr, Ordering};

struct ForFew;

loaded!(ForFew);

impl Driver for ForFew {
    const NEW: Self = Self;

    type Job = ();
    type Tick = ();

    fn names() -> [Name; 2] {
        [
            wide_name!(r"\Device\ForFew"),
            wide_name!(r"\DosDevices\Global\ForFew"),
        ]
    }

    fn security() -> &'static Descriptor {
        &ADMINISTRATORS_DEVICE
    }

    fn start(&'static self, _: &'static Channel<Self>) -> Result<(), nt::NTSTATUS> {
        Ok(())
    }
}
