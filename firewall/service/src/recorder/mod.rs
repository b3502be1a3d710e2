//! History recorder: one thread gets records as any app does and hands them to the database, another reads for peers.
//!
//! Rules that hold here:
//! - It is telemetry. No verdict, no rule and no answer waits for it: it has a ring as any app has, and what finds no
//!   room there, or in the database, is counted.
//! - Both threads give up their capabilities for ever before they look at a byte of a record or of the file.
//! - It is written each second. A service that is killed loses what came since.
//! - It rests four times as long as it has worked, but never for more than a second: a fifth of one processor, unless a
//!   second's worth of records, or a slow disk, keeps it for longer than a quarter of one.
//! - A file that can't be used is put aside and another begun; a disk that takes nothing is tried again.

mod reader;
mod seen;
mod told;
mod writer;

pub use reader::HistoryReader;

use crate::address_names::KnownNames;
use crate::firewall::Config;
use crate::troubles::Trouble;
use control::{HistoryStatus, ServiceNames};
use history::Bounds;
use seen::Named;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tracing::info;
use writer::Writer;

/// The shortest time for which a thread rests.
const SHORTEST_REST: Duration = Duration::from_millis(1);
/// Longest time for which the service's end waits for the last write.
const LAST_WRITE_TIMEOUT: Duration = Duration::from_secs(2);

/// The threads. Dropped, they end, and what came is written.
pub struct Recorder {
    shared: Arc<Shared>,
    reader: HistoryReader,
    writing: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    ends: AtomicBool,
    kept: AtomicU64,
    lost: AtomicU64,
    bytes: AtomicU64,
    put_aside: AtomicBool,
    /// Trouble that says why nothing is kept at the moment.
    trouble: Trouble,
}

impl Shared {
    fn fails(&self, cause: &str) {
        self.trouble.stands([format!(
            "what happens is not kept in the history, and is counted: {cause}"
        )]);
    }

    fn works(&self) {
        if self.trouble.is_over() {
            info!("what happens is kept in the history again");
        }
    }
}

impl Recorder {
    /// Begins to keep what happens. Without it the firewall guards all the same.
    pub fn begin(config: &Config, addresses: KnownNames) -> Self {
        let shared = Arc::new(Shared::default());
        let folder = config.kept.clone();
        let writer = config.history.map(|bounds| {
            let names = Named {
                service: ServiceNames::new(&config.control),
                addresses,
            };
            Writer::new(
                folder.clone(),
                config.socket.clone(),
                names,
                bounds,
                shared.clone(),
            )
        });
        let writing = writer.map(|mut writer| {
            std::thread::Builder::new()
                .name("history".to_owned())
                .spawn(move || writer.run())
        });
        let writing = writing.and_then(|started| {
            let started = started.inspect_err(|cause| shared.fails(&cause.to_string()));
            started.ok()
        });
        Self {
            shared,
            reader: HistoryReader::begin(folder),
            writing,
        }
    }

    /// Returns a handle of the thread that reads the history, for other threads.
    pub fn reader(&self) -> HistoryReader {
        self.reader.clone()
    }

    /// Returns the trouble about kept rows that can't be read.
    pub fn reading_trouble(&self) -> &Trouble {
        self.reader.trouble()
    }

    /// Returns the trouble that says why nothing is kept.
    pub fn trouble(&self) -> &Trouble {
        &self.shared.trouble
    }

    /// Returns the state of the history, or `None` if nothing is to be kept.
    pub fn status(&self, bounds: Option<Bounds>) -> Option<HistoryStatus> {
        let Bounds { days, bytes } = bounds?;
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        Some(HistoryStatus {
            days,
            budget: bytes,
            used: count(&self.shared.bytes),
            kept: count(&self.shared.kept),
            lost: count(&self.shared.lost),
            put_aside: self.shared.put_aside.load(Ordering::Relaxed),
        })
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Release);
        let Some(thread) = self.writing.take() else {
            return;
        };
        // The device server has let go of it by now, which it hears. A disk that hangs is not waited for.
        let end = Instant::now() + LAST_WRITE_TIMEOUT;
        while !thread.is_finished() && Instant::now() < end {
            std::thread::sleep(SHORTEST_REST);
        }
    }
}

#[cfg(test)]
mod example {
    use firewall_abi::packet::{Direction, NO_RULE, Packet};
    use zerocopy::FromZeros;

    /// One that the rules refused on its way to this port.
    pub fn refused(port: u16) -> Packet {
        let mut packet = Packet::new_zeroed();
        (packet.headers.direction, packet.headers.protocol) = (Direction::Outbound as u8, 6);
        packet.headers.destination_port = port;
        (packet.decision.verdict, packet.decision.reason) = (2, 2);
        (packet.decision.rule, packet.user) = (NO_RULE, 1000);
        packet
    }
}
