//! Promises of the channel and of the sample's driver on a Linux kernel: this machine's, and Debian's 6.12 emulated.
//!
//! Needs root. `GATEBELL_DRIVERS` is the folder with `gatebell_sample.bpf.o`; else `target/drivers` of the clone.
//! Everything it makes (control groups, maps, processes) it takes away again.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may fail")]

#[path = "linux/accounting.rs"]
mod accounting;
#[path = "linux/attachments.rs"]
mod attachments;
#[path = "linux/hostile.rs"]
mod hostile;
#[path = "linux/loaders.rs"]
mod loaders;
#[path = "linux/operations.rs"]
mod operations;
#[path = "linux/place.rs"]
mod place;
#[path = "linux/processes.rs"]
mod processes;
#[expect(dead_code, reason = "its main is for a program")]
#[path = "../../channel/examples/read.rs"]
mod read;
#[path = "linux/requests.rs"]
mod requests;
#[path = "linux/shares.rs"]
mod shares;
#[expect(dead_code, reason = "its main is for a program")]
#[path = "../../examples/tripwire/app/src/main.rs"]
mod tripwire;
#[path = "linux/waiting.rs"]
mod waiting;

use channel::sys::linux::{Linux, bpf};
use channel::{Attachment, Device, Item, Mask, Refusal};
use hostile::Lingering;
use sample_abi::{Notice, Operate, Operation, kind};
use std::os::fd::AsFd;
use std::time::Duration;

const RING: u32 = 64 * 1024;

fn attach(device: &Device<Linux>, ring_bytes: u32, mask: Mask) -> Attachment<Linux> {
    device.attach(ring_bytes, mask).unwrap()
}

fn ask(
    device: &Device<Linux>,
    operation: Operation,
    count: u32,
    interval_us: u32,
) -> Result<Operate, Refusal> {
    let mut request = Operate::new(operation, count, interval_us);
    device
        .request(&mut request)
        .map(|()| request)
        .map_err(|error| error.refusal().unwrap())
}

/// The notices' numbers that one drain hands over.
fn numbers(attachment: &mut Attachment<Linux>) -> Vec<u64> {
    let mut numbers = Vec::new();
    let drained = attachment.drain(|item| {
        if let Item::Record(record) = item
            && record.kind() == kind::NOTICE
        {
            numbers.push(record.read::<Notice>().unwrap().number);
        }
    });
    drained.unwrap();
    numbers
}

/// Runs the role of a process that these tests start: this same program. Without a role it does nothing.
#[test]
fn child() {
    let Ok(role) = std::env::var("GATEBELL_CHILD") else {
        return;
    };
    let (role, whose) = role.split_once(' ').unwrap_or((&role, ""));
    match role {
        "visitor" => {
            place::become_user(whose.parse().unwrap());
            let opened = Device::<Linux>::open(std::env::var("GATEBELL_DEVICE").unwrap());
            return place::say("let in", opened.is_ok());
        }
        "crowd" if !whose.is_empty() => place::become_user(whose.parse().unwrap()),
        "unprivileged" => place::become_user(65534),
        "crowd" => place::become_user(65533),
        "keeper" => place::become_user(65532),
        _ => {}
    }
    let device = place::open(&std::env::var("GATEBELL_DEVICE").unwrap());
    match (role, whose) {
        ("attach", _) => {
            let app = attach(&device, RING, Mask::of(kind::NOTICE));
            ask(&device, Operation::Notify, 10, 0).unwrap();
            let ring = bpf::map_info(app.event().system().descriptor().unwrap())
                .unwrap()
                .id;
            place::say("ring", ring);
            std::thread::sleep(Duration::from_secs(60));
        }
        ("unprivileged", _) => {
            let event = device.create_event(RING).unwrap();
            place::say("by service", event.system().made_by_service());
            let mut app = match device.attach_event(event, Mask::of(kind::NOTICE)) {
                Ok(app) => app,
                Err(error) => return place::say("refused", error.refusal().unwrap().name()),
            };
            ask(&device, Operation::Notify, 100, 0).unwrap();
            place::say("delivered", numbers(&mut app).len());
            place::say(
                "detach all",
                device.detach_all().unwrap_err().refusal().unwrap().name(),
            );
        }
        ("crowd", _) => {
            let mut held = Vec::new();
            let refused = loop {
                let device = place::open(&std::env::var("GATEBELL_DEVICE").unwrap());
                match device.attach(4096, Mask::NONE) {
                    Ok(app) => held.push(app),
                    Err(error) => break error.refusal().unwrap(),
                }
            };
            place::say("attached", held.len());
            place::say("refused", refused.name());
            let path = std::env::var("GATEBELL_DEVICE").unwrap();
            let more = std::iter::from_fn(|| Device::open(&path).ok()).take(50);
            let more: Vec<_> = more.collect();
            // One for itself, one for each that is attached; the one that was refused is closed again.
            place::say("connected", 1 + held.len() + more.len());
            std::thread::sleep(Duration::from_secs(60));
        }
        ("knocker", _) => {
            place::say("connected", "yes");
            place::wait_for_word();
            let path = std::env::var("GATEBELL_DEVICE").unwrap();
            place::say("greeted", Device::<Linux>::open(&path).is_ok());
        }
        ("flooder", _) => {
            let [first, second, last] = [(); 3].map(|()| Lingering::connect());
            place::become_user(65531);
            let path = std::env::var("GATEBELL_DEVICE").unwrap();
            let lines: Vec<_> = (0..16).map(|_| place::line(path.as_ref())).collect();
            // Two hold up those who close this user's files, the last one whoever closes what nobody could be handed.
            let mut kept = Vec::new();
            for (line, lingering) in lines.iter().zip([first, second]) {
                // One of them is read in a turn: ours is closed before the last is,
                // so that it is the server's that waits.
                for _ in 0..32 {
                    hostile::send(line.as_fd(), &[0; 8], &[]).unwrap();
                }
                let beside = [lingering.socket.as_fd()];
                hostile::send(line.as_fd(), &[0; 8], &beside).unwrap();
                kept.push(lingering.give_away());
            }
            std::thread::sleep(Duration::from_millis(200));
            let file = std::fs::File::open("/").unwrap();
            let mut beside = hostile::many(&file);
            beside[hostile::MOST_BESIDE - 1] = last.socket.as_fd();
            for _ in 0..4 {
                for line in &lines {
                    // What finds no room waits in vain, for nobody reads it.
                    let _full = hostile::send(line.as_fd(), &[0; 8], &beside);
                }
            }
            kept.push(last.give_away());
            place::say("sent", lines.len());
            std::thread::sleep(Duration::from_secs(60));
        }
        ("keeper", _) => {
            let keep = |bytes| {
                let mut kept = Vec::new();
                loop {
                    let mut app = match device.attach(bytes, Mask::NONE) {
                        Ok(app) => app,
                        Err(error) => break (kept, error.refusal().unwrap()),
                    };
                    kept.push(place::Page::of(app.event().system().descriptor().unwrap()));
                    app.detach().unwrap();
                }
            };
            let (kept, refused) = keep(4096);
            place::say("kept", kept.len());
            place::say("refused", refused.name());
            place::say("attached", device.references().unwrap().attached);
            drop(kept);
            attach(&device, 4096, Mask::NONE).detach().unwrap();
            place::say("unmapped", "attached again");
            let (kept, refused) = keep(8 << 20);
            place::say("largest", kept.len());
            place::say("refused", refused.name());
        }
        ("exec", zone) => place::exec_in(zone),
        _ => {}
    }
}
