//! A WDM driver, `\\.\Pager`: what one app sends, all apps that are attached get.
#![no_std]
#![no_main]

use channel::driver::table::{About, Buffer};
use channel::driver::wdm::nt::NTSTATUS;
use channel::driver::wdm::{Channel, Driver, Name, OpenFile, Reply};
use channel::{DriverCommand, DriverRequest, Header, Refusal, wide_name};
use pager_record::{PAGED, Page, Paged};

/// A driver without state of its own: the channel keeps who is attached, and their rings.
struct Pager;

channel::wdm_driver!(Pager);

impl Driver for Pager {
    const NEW: Self = Self;

    // No work in a thread, none from a timer.
    type Job = ();
    type Tick = ();

    fn names() -> [Name; 2] {
        [
            wide_name!(r"\Device\Pager"),
            wide_name!(r"\DosDevices\Global\Pager"),
        ]
    }

    fn start(&'static self, _: &'static Channel<Self>) -> Result<(), NTSTATUS> {
        Ok(())
    }

    fn control(
        &'static self,
        channel: &'static Channel<Self>,
        _: &OpenFile,
        command: DriverCommand,
        buffer: &mut Buffer<'_>,
    ) -> Result<Reply<Self>, Refusal> {
        if command != Page::COMMAND {
            return Err(Refusal::Command);
        }
        let page: Page = buffer.request()?;
        let paged = Paged {
            header: Header::default(),
            words: page.words,
        };
        channel.table().offer(PAGED, &About::Nobody, &paged);
        buffer.answer(&page).map(Reply::Done)
    }
}
