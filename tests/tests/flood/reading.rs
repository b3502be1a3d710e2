//! Apps that read in threads of their own, and what they were told.

use channel::sys::linux::Linux;
use channel::{Attachment, Item};
use firewall_abi::kind;
use firewall_abi::packet::Packet;
use firewall_abi::process::Process;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Counts of the records that an app read.
#[derive(Default)]
pub struct Tally {
    pub records: u64,
    /// Losses handed over among the records.
    pub losses: u64,
    /// Number of packets by generation, rule and port.
    pub decided: HashMap<(u32, u32, u16), u64>,
    /// Number of records by kind and user.
    pub about: HashMap<(u32, u32), u64>,
}

/// Takes in everything that is there.
pub fn tally(app: &mut Attachment<Linux>, got: &mut Tally) {
    app.drain(|item| match item {
        Item::Lost(lost) => got.losses += lost.count,
        Item::Record(record) => {
            got.records += 1;
            let user = if record.kind() == kind::PACKET {
                let Packet {
                    decision,
                    headers,
                    user,
                    ..
                } = *record.read::<Packet>().unwrap();
                let decided = (decision.generation, decision.rule, headers.destination_port);
                *got.decided.entry(decided).or_default() += 1;
                user
            } else {
                record.read::<Process>().unwrap().user
            };
            *got.about.entry((record.kind().number(), user)).or_default() += 1;
        }
    })
    .unwrap();
}

/// An app that reads.
pub struct Reading {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(Attachment<Linux>, Tally)>,
}

impl Reading {
    /// Starts a reader that rests for this time between two drains. What the ring was offered, by its account, must
    /// never become less.
    pub fn start(mut app: Attachment<Linux>, rest: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let (mut got, mut offered) = (Tally::default(), 0);
            while !stopped.load(Ordering::Relaxed) {
                app.wait(Some(Duration::from_millis(50))).unwrap();
                tally(&mut app, &mut got);
                let now = app.account().unwrap().kernel.offered;
                assert!(now >= offered, "{now} after {offered}");
                offered = now;
                std::thread::sleep(rest);
            }
            tally(&mut app, &mut got);
            (app, got)
        });
        Self { stop, thread }
    }

    /// Ends the reader once it has read everything.
    pub fn end(self) -> (Attachment<Linux>, Tally) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}
