//! Promises of the channel, on the model of a kernel. The same promises are kept on real kernels in `tests/`.
#![cfg(not(any(loom, shuttle)))]
#![expect(clippy::unwrap_used, reason = "a test may fail")]

#[path = "promises/documents.rs"]
mod documents;
#[path = "promises/letting_go.rs"]
mod letting_go;
mod own_driver;
#[path = "promises/reading.rs"]
mod reading;
#[path = "promises/requests.rs"]
mod requests;
#[path = "promises/shares.rs"]
mod shares;

use channel::driver::table::{About, SLOTS_PER_USER};
use channel::sys::model::{Kernel, Model, Process};
use channel::{Attachment, Device, Ending, Event, Item, Mask, Pace, Refusal, Wake};
use channel_abi::command::{ALL_USERS, Drained, Reference, Referenced, References};
use channel_abi::{Command, Ledger, SLOTS, VERSION};
use own_driver::{CLEAR, LOOK, NUMBER, Number, OTHER, PULSE, SEND, SET, Touch, WAIT};
use std::ops::ControlFlow;
use std::time::Duration;
use zerocopy::{FromBytes, IntoBytes};

const RING: u32 = 4096;
/// Number of notices that fit into `RING`.
const FIT: u64 = RING as u64 / size_of::<Number>() as u64;
const SOON: Option<Duration> = Some(Duration::from_secs(60));

fn attach(process: &Process) -> Attachment<Model> {
    let device = process.open().unwrap();
    device.attach(RING, Mask::of(NUMBER)).unwrap()
}

fn raw(process: &Process) -> (Device<Model>, Event<Model>) {
    let device = process.open().unwrap();
    let event = device.create_event(RING).unwrap();
    (device, event)
}

fn request(event: u64) -> Reference {
    Reference {
        version: VERSION,
        ring_bytes: RING,
        mask: Mask::ALL.0,
        users: ALL_USERS,
        event,
    }
}

fn ask(device: &Device<Model>, request: &Reference) -> Result<Vec<u8>, Refusal> {
    device.system().request(
        Command::Reference as u32,
        request.as_bytes(),
        size_of::<Referenced>(),
    )
}

fn drain_numbers(attachment: &mut Attachment<Model>) -> Vec<u64> {
    let mut numbers = Vec::new();
    let each = |item: Item<'_>| {
        if let Item::Record(record) = item {
            numbers.push(record.read::<Number>().unwrap().number);
        }
    };
    attachment.drain(each).unwrap();
    numbers
}
