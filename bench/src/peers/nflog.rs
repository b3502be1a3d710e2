//! Reader of NFLOG, to which `nft log group …` reports.

use super::Got;
use super::netlink::{Message, Netlink, Received, attribute, each};
use crate::gatebell::{nanoseconds, now_ns};
use crate::ground::thread_in;
use anyhow::{Result, bail};
use nix::time::ClockId;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;

/// The group that our rules log to.
pub const GROUP: u16 = 5;

const LOG: u8 = 4;
const CONFIGURE: u8 = 1;
const PACKET: u16 = 0x0400;
/// `NFULA_CFG_CMD` and its `BIND`; `_MODE` (copy the packet, so many bytes), `_NLBUFSIZ`,
/// `_TIMEOUT` (1/100 s), `_QTHRESH`.
const COMMAND: u16 = 1;
const BIND: u8 = 1;
const MODE: u16 = 2;
const MODE_PACKET: [u8; 6] = [0, 0, 0, 128, 2, 0];
const BUFFER: u16 = 3;
const TIMEOUT: u16 = 4;
const THRESHOLD: u16 = 5;
/// `NFULA_TIMESTAMP` and `NFULA_PAYLOAD`.
const STAMP: u16 = 3;
const PAYLOAD: u16 = 9;

/// A reader in the zone's namespace.
pub struct Nflog {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Got>>,
}

impl Nflog {
    /// Listens with this threshold. `times`: whether the moment of each packet is of interest.
    pub fn start(
        netns: &Path,
        threshold: u32,
        times: bool,
        processor: Option<usize>,
    ) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = stop.clone();
        let (ready, is_ready) = mpsc::channel();
        let thread = thread_in(netns, processor, move || {
            let netlink = configured(threshold)?;
            let _heard = ready.send(());
            listen(&netlink, &asked, times)
        })?;
        if is_ready.recv().is_err() {
            return Err(thread.join().map_or_else(
                |_| anyhow::anyhow!("panicked"),
                |got| got.err().unwrap_or_else(|| anyhow::anyhow!("ended")),
            ));
        }
        Ok(Self { stop, thread })
    }

    /// Lets it read what is still there, and returns what it has got.
    pub fn stop(self) -> Result<Got> {
        // Pairs with the acquire load in `listen`; nothing but the wish itself is handed over.
        self.stop.store(true, Ordering::Release);
        self.thread
            .join()
            .unwrap_or_else(|_| bail!("the reader of NFLOG has panicked"))
    }
}

fn configured(threshold: u32) -> Result<Netlink> {
    let netlink = Netlink::open()?;
    let message = || Message::new(LOG, CONFIGURE, GROUP);
    netlink.ask(message().with(COMMAND, &[BIND]))?;
    netlink.ask(message().with(MODE, &MODE_PACKET))?;
    // Large enough for a hundred packets in one message, as ulogd has it.
    netlink.ask(message().with(BUFFER, &65536_u32.to_be_bytes()))?;
    netlink.ask(message().with(THRESHOLD, &threshold.to_be_bytes()))?;
    netlink.ask(message().with(TIMEOUT, &1_u32.to_be_bytes()))?;
    Ok(netlink)
}

fn listen(netlink: &Netlink, stop: &AtomicBool, times: bool) -> Result<Got> {
    let mut got = Got::default();
    let mut room = vec![0; 256 << 10];
    loop {
        let ending = stop.load(Ordering::Acquire);
        match netlink.receive(&mut room, 50)? {
            Received::Nothing if ending => break,
            Received::Nothing => {}
            Received::Overrun => got.overruns += 1,
            Received::Bytes(length) => {
                take(&room[..length], times, &mut got);
                got.last_ns = now_ns();
            }
        }
    }
    Ok(got)
}

fn take(bytes: &[u8], times: bool, got: &mut Got) {
    each(bytes, |kind, body| {
        if kind != PACKET {
            return;
        }
        got.packets += 1;
        if times {
            got.arrivals.extend(port(body).map(|port| (port, now_ns())));
            got.delays.extend(
                stamp_ns(body).map(|stamp| (nanoseconds(ClockId::CLOCK_REALTIME) as f64) - stamp),
            );
        }
    });
}

/// The port that an IPv4 UDP packet without options goes to.
fn port(body: &[u8]) -> Option<u16> {
    let payload = attribute(body, PAYLOAD)?;
    Some(u16::from_be_bytes([*payload.get(22)?, *payload.get(23)?]))
}

/// The kernel's stamp. It counts whole microseconds; on average half a one has gone by more.
fn stamp_ns(body: &[u8]) -> Option<f64> {
    let stamp = attribute(body, STAMP)?;
    let number = |at: usize| {
        stamp
            .get(at..at + 8)?
            .try_into()
            .ok()
            .map(u64::from_be_bytes)
    };
    Some((number(0)? * 1_000_000_000 + number(8)? * 1000 + 500) as f64)
}
