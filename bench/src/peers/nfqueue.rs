//! NFQUEUE with a verdict in user space: each packet waits in the kernel until it has its own.

use super::Got;
use super::netlink::{Message, Netlink, Received, attribute, each};
use crate::gatebell::now_ns;
use crate::ground::thread_in;
use anyhow::{Result, bail};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;

const QUEUE: u8 = 3;
const VERDICT: u8 = 1;
const CONFIGURE: u8 = 2;
const PACKET: u16 = 0x0300;
/// `NFQA_CFG_CMD` and its `BIND`; `_PARAMS` (copy the packet, so many bytes), `_QUEUE_MAXLEN`.
const COMMAND: u16 = 1;
const BIND: [u8; 4] = [1, 0, 0, 2];
const PARAMETERS: u16 = 2;
const COPY_PACKET: [u8; 5] = [0, 0, 0, 128, 2];
const LONGEST: u16 = 3;
/// `NFQA_PACKET_HDR` and `NFQA_VERDICT_HDR`.
const ABOUT: u16 = 1;
const DECIDED: u16 = 2;

/// Verdict that every packet gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// `NF_DROP`.
    Drop = 0,
    /// `NF_ACCEPT`.
    Accept = 1,
}

/// One that decides, in the zone's namespace.
pub struct Nfqueue {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Got>>,
}

impl Nfqueue {
    /// Decides so on queue 0.
    pub fn start(netns: &Path, verdict: Verdict, processor: Option<usize>) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = stop.clone();
        let (ready, is_ready) = mpsc::channel();
        let thread = thread_in(netns, processor, move || {
            let netlink = configured()?;
            let _heard = ready.send(());
            decide(&netlink, &asked, verdict)
        })?;
        // One that has failed says why when it is stopped.
        let _failed = is_ready.recv();
        Ok(Self { stop, thread })
    }

    /// Lets it decide on what still waits, and returns what it has got.
    pub fn stop(self) -> Result<Got> {
        // Pairs with the acquire load in `decide`; nothing but the wish itself is handed over.
        self.stop.store(true, Ordering::Release);
        self.thread
            .join()
            .unwrap_or_else(|_| bail!("the one who decides for NFQUEUE has panicked"))
    }
}

fn configured() -> Result<Netlink> {
    let netlink = Netlink::open()?;
    let message = || Message::new(QUEUE, CONFIGURE, 0);
    netlink.ask(message().with(COMMAND, &BIND))?;
    netlink.ask(message().with(PARAMETERS, &COPY_PACKET))?;
    netlink.ask(message().with(LONGEST, &8192_u32.to_be_bytes()))?;
    Ok(netlink)
}

fn decide(netlink: &Netlink, stop: &AtomicBool, verdict: Verdict) -> Result<Got> {
    let mut got = Got::default();
    let mut room = vec![0; 64 << 10];
    loop {
        let ending = stop.load(Ordering::Acquire);
        match netlink.receive(&mut room, 50)? {
            Received::Nothing if ending => break,
            Received::Nothing => {}
            Received::Overrun => got.overruns += 1,
            Received::Bytes(length) => {
                answer(netlink, &room[..length], verdict, &mut got)?;
                got.last_ns = now_ns();
            }
        }
    }
    Ok(got)
}

fn answer(netlink: &Netlink, bytes: &[u8], verdict: Verdict, got: &mut Got) -> Result<()> {
    let mut failed = Ok(());
    each(bytes, |kind, body| {
        let Some(about) = attribute(body, ABOUT).filter(|_| kind == PACKET) else {
            return;
        };
        got.packets += 1;
        let mut decided = [0; 8];
        decided[..4].copy_from_slice(&(verdict as u32).to_be_bytes());
        // The packet's number, as it came.
        decided[4..].copy_from_slice(about.get(..4).unwrap_or(&[0; 4]));
        let told = netlink.tell(
            &Message::new(QUEUE, VERDICT, 0)
                .with(DECIDED, &decided)
                .finished(1),
        );
        if told.is_err() {
            failed = told;
        }
    });
    failed
}
