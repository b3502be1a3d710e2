//! The names of addresses: the driver hands on the answers of DNS that the zone gets and its
//! questions, and a thread reads them.
//!
//! Rules that hold here:
//! - The thread has no capabilities ([`crate::ring_thread`]), and says nothing to anybody.
//! - What it can't read, or does not believe ([`Belief`]), labels nothing.
//!   If it breaks down there are no names, and nothing else is missing.

use crate::driver::Driver;
use crate::named_sets::{Belief, Join, NotJoined, Wanted, own_addresses, own_resolvers};
use crate::ring_thread::RingThread;
use crate::troubles::Trouble;
use anyhow::{Result, anyhow};
use firewall_abi::dns::{AnswerPacket, AnswersSeen, LongPacket, QuestionPacket, RING_BYTES};
use names::{Answered, Cache, DnsExchange, Learned, Segment, Streams, Unread, Way, Whole};
use std::io::Read;
use std::mem::offset_of;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

const RECORD: usize = size_of::<LongPacket>();

/// Names of addresses, and the thread that learns them. Dropping this ends the thread.
pub struct AddressNames {
    shared: Arc<Shared>,
    /// Socket to the thread, which ends once this is closed, and which writes here when an address is to join a set.
    end: Option<UnixStream>,
}

/// Names of addresses, for another thread of ours. Cheap to clone.
#[derive(Clone, Default)]
pub struct KnownNames(Arc<Shared>);

impl KnownNames {
    /// See [`AddressNames::name_of`].
    pub fn name_of(&self, address: IpAddr) -> Option<Arc<str>> {
        self.0.lock().name_of(address, Instant::now())
    }
}

#[derive(Default)]
struct Shared {
    cache: Mutex<Cache>,
    belief: Mutex<Belief>,
    /// Messages of DNS that come by TCP.
    streams: Mutex<Streams>,
    /// Number of DNS answers that can't be read.
    unread: AtomicU64,
    /// Reason why no more names are learned.
    broken: Trouble,
}

impl AddressNames {
    /// Starts the thread that learns names. Without names the firewall guards all the same.
    pub fn learn(driver: &Driver) -> Self {
        let shared = Arc::new(Shared::default());
        let started = start(driver, shared.clone());
        let started = started.inspect_err(|cause| shared.break_down(cause));
        Self {
            shared,
            end: started.ok(),
        }
    }

    /// Returns the names, for another thread.
    pub fn known(&self) -> KnownNames {
        KnownNames(self.shared.clone())
    }

    /// Returns the trouble because of which no more names are learned, if there is any.
    pub fn trouble(&self) -> &Trouble {
        &self.shared.broken
    }

    /// Returns what keeps addresses from joining sets by their names, or `None` if nothing does.
    pub fn unjoined(&self) -> Option<String> {
        self.shared.belief().trouble(Instant::now())
    }

    /// Returns the descriptor that wakes the main loop once an address is to join a set, or `None` if no names are
    /// learned.
    pub fn waker(&self) -> Option<BorrowedFd<'_>> {
        let lives = !self.shared.broken.holds();
        self.end.as_ref().filter(|_| lives).map(AsFd::as_fd)
    }

    /// Returns the addresses that are to join sets since the last call.
    pub fn joins(&self) -> Vec<Join> {
        let mut wakes = [0; 64];
        if let Some(mut end) = self.end.as_ref() {
            loop {
                match end.read(&mut wakes) {
                    Ok(0) => {
                        self.shared
                            .break_down(&anyhow!("who reads answers is gone"));
                        break;
                    }
                    Ok(_) => {}
                    Err(_) => break,
                }
            }
        }
        self.shared.belief().take()
    }

    /// Sets the names that sets ask for from now on. Returns the addresses that join them by what is known.
    pub fn want(&self, wanted: Wanted) -> Vec<Join> {
        self.shared.belief().want(wanted, Instant::now())
    }

    /// Reads which resolvers this machine asks.
    pub fn look_for_resolvers(&self) {
        let own = own_resolvers();
        self.shared.belief().ask_them(own);
    }

    /// Returns whether one of those who are asked, by this machine or for a set, is on this machine.
    pub fn asks_here(&self) -> bool {
        let machine = own_addresses();
        self.shared.belief().asks_one_at(&machine)
    }

    /// Counts addresses that found no room in sets.
    pub fn found_no_room(&self, number: u64) {
        self.shared.belief().found_no_room(number, Instant::now());
    }

    /// Returns the counts of answers that were not believed, and of addresses that joined no set.
    pub fn not_joined(&self) -> NotJoined {
        self.shared.belief().not_joined()
    }

    /// Returns the name that this address was asked for by last.
    pub fn name_of(&self, address: IpAddr) -> Option<Arc<str>> {
        self.shared.lock().name_of(address, Instant::now())
    }

    /// Returns the names learned after this turn, and the number of the last turn.
    pub fn since(&self, turn: u64) -> (Vec<Learned>, u64) {
        self.shared.lock().since(turn, Instant::now())
    }

    /// Returns the number of names that are kept, and of answers that could not be read.
    pub fn counted(&self) -> (u64, u64) {
        let unread = self.shared.unread.load(Ordering::Relaxed);
        (self.shared.lock().len() as u64, unread)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn belief(&self) -> MutexGuard<'_, Belief> {
        self.belief.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn break_down(&self, cause: &anyhow::Error) {
        let said = format!("addresses get no more names: {cause:#}; restart the service");
        self.broken.stands([said]);
    }

    /// Learns from a record of the driver's. Returns whether an address is to join a set by it.
    fn learn(&self, record: &[u8]) -> bool {
        let now = Instant::now();
        let Some(Handed {
            packet,
            device,
            is_question,
        }) = handed(record)
        else {
            self.count_unread();
            return false;
        };
        if let Some(segment) = Segment::of(packet, device) {
            return self.learn_by_tcp(&segment, now);
        }
        if is_question {
            // What can't be read asks for nothing that a set would.
            if let Some((ends, message)) = names::sent(packet) {
                self.note_question(ends.by(device), message, now);
            }
            return false;
        }
        match names::message(packet) {
            Some((ends, message)) => self.learn_answer(ends.by(device), message, now),
            None => {
                self.count_unread();
                false
            }
        }
    }

    fn learn_by_tcp(&self, segment: &Segment<'_>, now: Instant) -> bool {
        let streams = self.streams.lock();
        let mut streams = streams.unwrap_or_else(PoisonError::into_inner);
        let Whole { messages, lost } = streams.take(segment, now);
        drop(streams);
        if lost {
            self.count_unread();
        }
        let mut joins = false;
        for (ends, way, message) in messages {
            match way {
                Way::Question => self.note_question(ends, &message, now),
                Way::Answer => joins |= self.learn_answer(ends, &message, now),
            }
        }
        joins
    }

    fn note_question(&self, ends: DnsExchange, message: &[u8], now: Instant) {
        // The library is not ours: whatever it stumbles over is one message that says nothing.
        if let Ok(Ok(asked)) = catch_unwind(|| names::question(message)) {
            self.belief().ask(ends, asked, now);
        }
    }

    fn learn_answer(&self, ends: DnsExchange, message: &[u8], now: Instant) -> bool {
        match read(message) {
            Ok(answered) => return self.believe(ends, &answered, now),
            Err(Unread::NoAddress) => {}
            Err(Unread::Broken) => self.count_unread(),
        }
        false
    }

    fn believe(&self, ends: DnsExchange, answered: &Answered, now: Instant) -> bool {
        let mut belief = self.belief();
        let Some(resolver) = belief.believes(ends, answered, now) else {
            return false;
        };
        let joins = belief.learn(answered, resolver, now);
        drop(belief);
        self.lock().learn(answered, now);
        joins
    }

    fn count_unread(&self) {
        self.unread.fetch_add(1, Ordering::Relaxed);
    }
}

/// Packet of DNS from a record of the driver's.
struct Handed<'a> {
    /// The packet, as far as it was copied.
    packet: &'a [u8],
    /// Index of the device that the packet came in by, or went out by.
    device: u32,
    is_question: bool,
}

/// Reads a record of the driver's, whose kind follows from its length; it may be unaligned.
fn handed(record: &[u8]) -> Option<Handed<'_>> {
    const COPIED: usize = offset_of!(AnswerPacket, copied);
    const DEVICE: usize = offset_of!(AnswerPacket, device);
    const BYTES: usize = offset_of!(AnswerPacket, bytes);
    let lengths = [QUESTION, size_of::<AnswerPacket>(), RECORD];
    let copied = record.get(COPIED..)?.first_chunk().copied()?;
    let device = record.get(DEVICE..)?.first_chunk().copied()?;
    let bytes = record.get(BYTES..)?;
    let packet = bytes.get(..u32::from_ne_bytes(copied) as usize)?;
    let is_known = lengths.contains(&record.len());
    is_known.then_some(Handed {
        packet,
        device: u32::from_ne_bytes(device),
        is_question: record.len() == QUESTION,
    })
}

const QUESTION: usize = size_of::<QuestionPacket>();
const _: () = {
    assert!(offset_of!(LongPacket, copied) == offset_of!(AnswerPacket, copied));
    assert!(offset_of!(LongPacket, device) == offset_of!(AnswerPacket, device));
    assert!(offset_of!(QuestionPacket, device) == offset_of!(AnswerPacket, device));
    assert!(offset_of!(LongPacket, bytes) == offset_of!(AnswerPacket, bytes));
    assert!(offset_of!(QuestionPacket, copied) == offset_of!(AnswerPacket, copied));
    assert!(offset_of!(QuestionPacket, bytes) == offset_of!(AnswerPacket, bytes));
};

/// Reads an answer of DNS; a panic of the parser counts as an answer that can't be read.
fn read(message: &[u8]) -> Result<Answered, Unread> {
    catch_unwind(|| names::read(message)).unwrap_or(Err(Unread::Broken))
}

fn start(driver: &Driver, shared: Arc<Shared>) -> Result<UnixStream> {
    let (thread, end) = RingThread::<RECORD>::of(driver, "DNS_ANSWERS", RING_BYTES)?;
    let broken = shared.clone();
    thread.start(
        "names",
        move |record| shared.learn(record),
        move |cause| broken.break_down(cause),
    )?;
    Ok(end)
}

impl Driver {
    /// Returns what became of the answers of DNS that the zone got, as the driver counted.
    pub fn answers_seen(&self) -> Result<AnswersSeen> {
        self.value("DNS_SEEN", 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::named_sets::OwnResolver;
    use firewall_abi::dns;

    const CLIENT: [u8; 4] = [192, 0, 2, 1];
    const OWN: [u8; 4] = [192, 0, 2, 53];
    const CHOSEN: [u8; 4] = [203, 0, 113, 9];
    const BANK: &[u8] = b"\x04bank\x07example\0\0\x01\0\x01";
    const PORT: u16 = 4000;

    /// A datagram as the driver hands it on, in a record of so many bytes.
    fn record(
        bytes: usize,
        (from, to): ([u8; 4], [u8; 4]),
        ports: [u16; 2],
        said: &[u8],
    ) -> Vec<u8> {
        let length = 28 + said.len();
        let ip = [0x45, 0, 0, length as u8, 0, 0, 0, 0, 64, 17, 0, 0];
        let ports: Vec<u8> = ports.iter().flat_map(|port| port.to_be_bytes()).collect();
        let udp = [0, length as u8 - 20, 0, 0];
        let packet = [&ip[..], &from, &to, &ports, &udp, said].concat();
        let word = |number: usize| (number as u32).to_ne_bytes();
        let mut record = [word(length), word(length), word(3), word(0)].concat();
        record.extend(packet);
        record.resize(bytes, 0);
        record
    }

    fn question(id: u8, resolver: [u8; 4]) -> Vec<u8> {
        let said = [&[0, id, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0], BANK].concat();
        record(QUESTION, (CLIENT, resolver), [PORT, dns::DNS_PORT], &said)
    }

    /// An answer that the bank is at this address.
    fn answer(id: u8, resolver: [u8; 4], address: [u8; 4]) -> Vec<u8> {
        let header = [0, id, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
        let at = [0xc0, 12, 0, 1, 0, 1, 0, 1, 0, 0, 0, 4];
        let said = [&header[..], BANK, &at, &address].concat();
        let bytes = size_of::<AnswerPacket>();
        record(bytes, (resolver, CLIENT), [dns::DNS_PORT, PORT], &said)
    }

    /// A segment of TCP by this device, as the driver hands it on.
    fn segment(
        answers: bool,
        device: u32,
        (number, heard): (u32, u32),
        flags: u8,
        said: &[u8],
    ) -> Vec<u8> {
        let (from, to, ports) = if answers {
            (OWN, CLIENT, [dns::DNS_PORT, PORT])
        } else {
            (CLIENT, OWN, [PORT, dns::DNS_PORT])
        };
        let length = 40 + said.len();
        let ip = [0x45, 0, 0, length as u8, 0, 0, 0, 0, 64, 6, 0, 0];
        let ports: Vec<u8> = ports.iter().flat_map(|port| port.to_be_bytes()).collect();
        let numbers = [number.to_be_bytes(), heard.to_be_bytes()].concat();
        let tcp = [0x50, flags, 0, 0, 0, 0, 0, 0];
        let packet = [&ip[..], &from, &to, &ports, &numbers, &tcp, said].concat();
        let mut record: Vec<u8> = [length as u32, length as u32, device, 0]
            .iter()
            .flat_map(|word| word.to_ne_bytes())
            .collect();
        record.extend(packet);
        record.resize(
            if answers {
                size_of::<AnswerPacket>()
            } else {
                QUESTION
            },
            0,
        );
        record
    }

    #[test]
    fn an_answer_by_tcp_counts_by_the_device_alone_that_its_question_left_by() {
        const SYN: u8 = 2;
        const ACK: u8 = 16;
        /// Bytes before the message in a record of the helpers above.
        const BEFORE: usize = 16 + 28;
        let message = |record: &[u8]| {
            let whole = record[BEFORE - 28 + 3];
            let message = &record[BEFORE..16 + usize::from(whole)];
            [&(message.len() as u16).to_be_bytes(), message].concat()
        };
        let asked = message(&question(6, OWN));
        let (lie, truth) = (answer(6, OWN, CHOSEN), answer(6, OWN, [192, 0, 2, 7]));
        let shared = Shared::default();
        shared.belief().ask_them(vec![OwnResolver::at(OWN.into())]);
        shared.learn(&segment(false, 3, (100, 0), SYN, &[]));
        shared.learn(&segment(true, 3, (500, 101), SYN | ACK, &[]));
        shared.learn(&segment(false, 3, (101, 501), ACK, &asked));
        shared.learn(&segment(true, 4, (501, 0), ACK, &message(&lie)));
        let name = |address: [u8; 4]| shared.lock().name_of(address.into(), Instant::now());
        assert_eq!(name(CHOSEN), None, "by another device");
        shared.learn(&segment(true, 3, (501, 0), ACK, &message(&truth)));
        assert_eq!(name([192, 0, 2, 7]).as_deref(), Some("bank.example"));
    }

    #[test]
    fn an_answer_of_another_resolver_or_to_what_was_not_asked_names_no_address() {
        let shared = Shared::default();
        shared.belief().ask_them(vec![OwnResolver::at(OWN.into())]);
        let hears = |asked: Option<Vec<u8>>, answer: &[u8]| {
            if let Some(asked) = asked {
                shared.learn(&asked);
            }
            shared.learn(answer);
            shared.lock().name_of(CHOSEN.into(), Instant::now())
        };
        assert_eq!(hears(None, &answer(1, OWN, CHOSEN)), None);
        let other_number = answer(3, OWN, CHOSEN);
        assert_eq!(hears(Some(question(2, OWN)), &other_number), None);
        let accomplice = answer(4, CHOSEN, CHOSEN);
        assert_eq!(hears(Some(question(4, CHOSEN)), &accomplice), None);
        let in_its_name = answer(5, OWN, CHOSEN);
        assert_eq!(hears(Some(question(5, CHOSEN)), &in_its_name), None);
        let not_joined = shared.belief().not_joined();
        assert_eq!((not_joined.unasked, not_joined.strange), (3, 1));
        let true_one = answer(6, OWN, CHOSEN);
        let name = hears(Some(question(6, OWN)), &true_one);
        assert_eq!(name.as_deref(), Some("bank.example"));
        assert_eq!(shared.unread.load(Ordering::Relaxed), 0);
    }
}
