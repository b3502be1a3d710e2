//! What was rejected is answered: the driver hands on the headers, for it can drop a packet and no more, and a thread sends what
//! its sender is told.
//!
//! Rules that hold here:
//! - No verdict waits for it. Without it what is rejected is blocked, and the status says so.
//! - The thread has two raw sockets, which were made for it, and no capabilities ([`crate::ring_thread`]).
//! - So many answers a second, to each and in all, and no more: what is beyond is counted. Whoever forges addresses has few packets
//!   sent to them.

use crate::driver::Driver;
use crate::ring_thread::RingThread;
use crate::troubles::Trouble;
use anyhow::{Context, Result};
use engine::rejected::{Answer, answer};
use firewall_abi::packet::Direction;
use firewall_abi::rejected::{RING_BYTES, RejectedPacket, RejectedSeen};
use rustix::net::sockopt::socket_cookie;
use rustix::net::{
    AddressFamily, Protocol, SendFlags, SocketFlags, SocketType, ipproto, sendto, socket_with,
};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use zerocopy::FromBytes;

/// To everybody together.
const ALL: Limit = Limit::per_second(1000, 250);
/// To one address, of IPv6 one network of 64 bits; those whose numbers are alike share one.
const EACH: Limit = Limit::per_second(100, 50);
/// How many of those are told apart.
const PLACES: usize = 1024;

/// The thread that answers what was rejected. Dropped, it ends.
pub struct Rejected {
    shared: Arc<Shared>,
    sockets: [u64; 2],
    _end: Option<UnixStream>,
}

/// What became of what was rejected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// Its sender was told.
    pub answered: u64,
    /// Not: it was one too many.
    pub limited: u64,
    /// Not: the answer could not be sent.
    pub failed: u64,
}

#[derive(Default)]
struct Shared {
    answered: AtomicU64,
    limited: AtomicU64,
    failed: AtomicU64,
    /// Why no more are sent.
    broken: Trouble,
}

impl Rejected {
    /// Begins to answer, in the network namespace of who calls. Without it the firewall guards all the same.
    pub fn answer(driver: &Driver) -> Self {
        let shared = Arc::new(Shared::default());
        match start(driver, shared.clone()) {
            Ok((sockets, end)) => Self {
                shared,
                sockets,
                _end: Some(end),
            },
            Err(cause) => {
                shared.break_down(&cause);
                Self {
                    shared,
                    sockets: [0; 2],
                    _end: None,
                }
            }
        }
    }

    /// The sockets by which it answers, by their cookies: what they send of that passes.
    pub const fn sockets(&self) -> [u64; 2] {
        self.sockets
    }

    /// Why nobody is answered, if nobody is.
    pub fn trouble(&self) -> &Trouble {
        &self.shared.broken
    }

    /// What became of what was rejected.
    pub fn answered(&self) -> Answered {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Answered {
            answered: count(&self.shared.answered),
            limited: count(&self.shared.limited),
            failed: count(&self.shared.failed),
        }
    }
}

impl Shared {
    fn break_down(&self, cause: &anyhow::Error) {
        let said = format!(
            "what is rejected is blocked, and nobody is told: {cause:#}; restart the service"
        );
        self.broken.stands([said]);
    }
}

fn start(driver: &Driver, shared: Arc<Shared>) -> Result<([u64; 2], UnixStream)> {
    let (mut thread, end) =
        RingThread::<{ size_of::<RejectedPacket>() }>::of(driver, "REJECTED", RING_BYTES)?;
    // What an earlier service left there nobody waits for any more.
    thread.skip()?;
    let mut sender = Sender {
        sockets: [
            raw(AddressFamily::INET).context("making a raw socket of IPv4")?,
            raw(AddressFamily::INET6).context("making a raw socket of IPv6")?,
        ],
        limits: Limits::default(),
        began: Instant::now(),
        shared: shared.clone(),
    };
    let [four, six] = &sender.sockets;
    let cookies = [socket_cookie(four)?, socket_cookie(six)?];
    thread.start(
        "rejected",
        move |record| {
            sender.read(record);
            false
        },
        move |cause| shared.break_down(cause),
    )?;
    Ok((cookies, end))
}

/// One that sends whole packets, and gets none.
fn raw(family: AddressFamily) -> io::Result<OwnedFd> {
    const WHOLE: Protocol = ipproto::RAW;
    Ok(socket_with(
        family,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(WHOLE),
    )?)
}

struct Sender {
    sockets: [OwnedFd; 2],
    limits: Limits,
    began: Instant,
    shared: Arc<Shared>,
}

impl Sender {
    fn read(&mut self, record: &[u8]) {
        let Ok(rejected) = RejectedPacket::read_from_bytes(record) else {
            return;
        };
        let Some(answer) = answer_to(&rejected) else {
            return;
        };
        let counter = if !self.limits.take(&answer, self.began.elapsed()) {
            &self.shared.limited
        } else if self.send(&answer, rejected.device).is_ok() {
            &self.shared.answered
        } else {
            &self.shared.failed
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn send(&self, answer: &Answer, device: u32) -> io::Result<()> {
        let [four, six] = &self.sockets;
        match place(&answer.to, answer.ip_version, device, 0) {
            SocketAddr::V4(to) => sendto(four, answer.bytes(), SendFlags::DONTWAIT, &to)?,
            SocketAddr::V6(to) => sendto(six, answer.bytes(), SendFlags::DONTWAIT, &to)?,
        };
        Ok(())
    }
}

fn answer_to(rejected: &RejectedPacket) -> Option<Answer> {
    let direction = Direction::try_from(rejected.direction).ok()?;
    let packet = rejected.bytes.get(..rejected.copied as usize)?;
    let ip_version = packet.first()? >> 4;
    // Of IPv6 the address says it, and the route something else.
    if ip_version == 4 && rejected.to_everyone != 0 {
        return None;
    }
    answer(packet, rejected.length, direction, |to| {
        own_address(to, ip_version, rejected.device)
    })
}

/// The address by which this machine sends to another.
fn own_address(to: &[u8; 16], ip_version: u8, device: u32) -> Option<[u8; 16]> {
    /// Nothing is sent there.
    const DISCARD: u16 = 9;
    let to = place(to, ip_version, device, DISCARD);
    let any = if to.is_ipv4() {
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
    } else {
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(to).ok()?;
    Some(match socket.local_addr().ok()?.ip() {
        IpAddr::V4(own) => own.to_ipv6_mapped().octets(),
        IpAddr::V6(own) => own.octets(),
    })
}

/// Where an answer goes. Addresses of one link are told apart by their device.
fn place(to: &[u8; 16], ip_version: u8, device: u32, port: u16) -> SocketAddr {
    let address = Ipv6Addr::from(*to);
    match address.to_ipv4_mapped() {
        Some(four) if ip_version == 4 => SocketAddrV4::new(four, port).into(),
        _ => {
            let link = if address.is_unicast_link_local() {
                device
            } else {
                0
            };
            SocketAddrV6::new(address, port, 0, link).into()
        }
    }
}

/// One every so often, and so many at once (the generic cell rate algorithm, ITU-T I.371).
#[derive(Clone, Copy)]
struct Limit {
    each: Duration,
    at_once: Duration,
}

impl Limit {
    const fn per_second(number: u32, at_once: u32) -> Self {
        let each = Duration::from_nanos(1_000_000_000 / number as u64);
        Self {
            each,
            at_once: Duration::from_nanos(each.as_nanos() as u64 * at_once as u64),
        }
    }

    /// Whether one more may be, given when the next would be due if none came at once; if so, that is moved on.
    fn take(self, due: &mut Duration, now: Duration) -> bool {
        let next = now.max(*due) + self.each;
        let may = next <= now + self.at_once;
        if may {
            *due = next;
        }
        may
    }
}

/// What is left to everybody, and to each.
struct Limits {
    all: Duration,
    each: Box<[Duration]>,
    /// So that nobody can choose to share another's.
    numbers: RandomState,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            all: Duration::ZERO,
            each: vec![Duration::ZERO; PLACES].into(),
            numbers: RandomState::new(),
        }
    }
}

impl Limits {
    fn take(&mut self, answer: &Answer, now: Duration) -> bool {
        let network = if answer.ip_version == 4 {
            &answer.to[8..]
        } else {
            &answer.to[..8]
        };
        let number = self.numbers.hash_one(network) as usize % PLACES;
        // Who has had enough takes nothing of what is for all.
        EACH.take(&mut self.each[number], now) && ALL.take(&mut self.all, now)
    }
}

impl Driver {
    /// What became of what it rejected.
    pub fn rejected_seen(&self) -> Result<RejectedSeen> {
        self.value("REJECTED_SEEN", 0)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use firewall_abi::rejected::MOST_BYTES;

    /// A datagram of IPv4.
    fn datagram(from: [u8; 4], to_everyone: u8) -> RejectedPacket {
        let mut bytes = [0; MOST_BYTES];
        bytes[..12].copy_from_slice(&[0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0]);
        bytes[12..16].copy_from_slice(&from);
        bytes[16..20].copy_from_slice(&[10, 77, 0, 1]);
        bytes[20..28].copy_from_slice(&[0x9C, 0x40, 0, 9, 0, 8, 0, 0]);
        RejectedPacket {
            length: 28,
            copied: 28,
            device: 2,
            direction: Direction::Inbound as u8,
            to_everyone,
            spare: [0; 2],
            bytes,
        }
    }

    #[test]
    fn answers_are_bounded_for_each_and_in_all_and_nobody_has_anothers_used_up() {
        let mut limits = Limits::default();
        let to = |a: u8, b: u8| answer_to(&datagram([10, 79, a, b], 0)).unwrap();
        let second = Duration::from_secs(1);
        let at_once = (0..10_000).filter(|_| limits.take(&to(0, 1), second));
        assert_eq!(at_once.count(), 50);
        let later = (1..=10_000_u32)
            .filter(|n| limits.take(&to(0, 1), second + second * *n / 10_000))
            .count();
        assert!((99..=101).contains(&later), "{later}");
        let others = (0..=255).flat_map(|a| (2..=255).map(move |b| (a, b)));
        let all = others.filter(|(a, b)| limits.take(&to(*a, *b), second * 10));
        assert_eq!(all.count(), 250);
    }

    #[test]
    fn what_goes_to_everyone_or_says_something_else_of_itself_is_not_answered() {
        let mut rejected = datagram([10, 79, 0, 1], 0);
        assert!(answer_to(&rejected).is_some());
        rejected.to_everyone = 1;
        assert!(answer_to(&rejected).is_none());
        for wrong in [
            RejectedPacket {
                direction: 0,
                ..datagram([10, 79, 0, 1], 0)
            },
            RejectedPacket {
                copied: u32::MAX,
                ..datagram([10, 79, 0, 1], 0)
            },
            RejectedPacket {
                copied: 0,
                ..datagram([10, 79, 0, 1], 0)
            },
        ] {
            assert!(answer_to(&wrong).is_none());
        }
    }
}
