//! The process that answers what was rejected: it has two raw sockets, which it makes as it starts, the driver's ring,
//! which the service hands to it, and then no capability any more. It ends with the service. The sockets by which the
//! service sees whether its hooks judge it makes too, and hands over.
//!
//! What it reads was sent by anybody; so it shares no memory with the service,
//! but for the ring and the file with its counts.

use super::{AnswerCounts, IS_BROKEN, IS_READY};
use crate::canary::CanarySocket;
use crate::helper;
use crate::ring_thread::RingThread;
use anyhow::{Context, Result, bail};
use engine::rejected::{Answer, answer};
use firewall_abi::firewall::LOOPBACK;
use firewall_abi::packet::Direction;
use firewall_abi::rejected::{RING_BYTES, RejectedPacket};
use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, SockaddrIn6, sendmsg};
use rustix::net::sockopt::socket_cookie;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto, send,
    socket_with,
};
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tracing::error;
use zerocopy::{FromBytes, IntoBytes};

/// Limit of answers to everybody together.
const ALL: Limit = Limit::per_second(1000, 250);
/// Limit of answers to one address, of IPv6 one network of 64 bits; those whose hashes are alike share one.
const EACH: Limit = Limit::per_second(100, 50);
/// Limit of all answers to what was forwarded. Whoever sends it may name any source, and each IPv4 address that is sent
/// to by the device that it came in by becomes a neighbour that is looked for,
/// of which a kernel keeps 1,024 by default for three seconds.
const FORWARDED: Limit = Limit::per_second(100, 50);
/// Number of hash values by which addresses are told apart.
const PLACES: usize = 1024;

/// The name by which the service's own program is started for this.
pub const NAME: &str = "gatebell-reject";

/// Answers for the service at the other end of standard input, until that ends.
pub fn answer_rejected() -> ExitCode {
    let service = match helper::service() {
        Ok(service) => service,
        Err(cause) => {
            error!("who starts this has no connection for it: {cause}");
            return ExitCode::FAILURE;
        }
    };
    let Err(cause) = run(&service) else {
        return ExitCode::SUCCESS;
    };
    error!("what is rejected is answered no more: {cause:#}");
    // Who reads it no more knows by its end.
    let _said = say(&service, IS_BROKEN, format!("{cause:#}").as_bytes());
    ExitCode::FAILURE
}

fn run(service: &OwnedFd) -> Result<()> {
    let sockets = [
        raw(AddressFamily::INET).context("making a raw socket of IPv4")?,
        raw(AddressFamily::INET6).context("making a raw socket of IPv6")?,
    ];
    let cookies = [socket_cookie(&sockets[0])?, socket_cookie(&sockets[1])?];
    let (ring, counts) = handed(service).context("taking what the service hands over")?;
    let end = UnixStream::from(service.try_clone()?);
    let mut ring = RingThread::<{ size_of::<RejectedPacket>() }>::of_map(ring, RING_BYTES, end)
        .context("mapping the ring of what is rejected")?;
    // What an earlier service left there nobody waits for any more.
    ring.skip()?;
    let mut sender = Sender {
        sockets,
        limits: Limits::default(),
        began: Instant::now(),
        counts: counts.into(),
        counted: AnswerCounts::default(),
    };
    say_ready(service, cookies)?;
    ring.run(|record| {
        sender.read(record);
        false
    })
}

fn say(service: &OwnedFd, kind: u8, what: &[u8]) -> Result<()> {
    send(service, &[&[kind], what].concat(), SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Says by which sockets it answers, by their cookies, and hands over those of [`crate::canary`].
fn say_ready(service: &OwnedFd, cookies: [u64; 2]) -> Result<()> {
    let canaries = CanarySocket::open_all();
    let descriptors: Vec<_> = canaries.iter().map(AsFd::as_fd).collect();
    let message = [&[IS_READY], cookies.as_bytes()].concat();
    Ok(helper::send(service, &message, &descriptors)?)
}

/// The driver's ring, and the file for what is counted.
fn handed(service: &OwnedFd) -> Result<(OwnedFd, OwnedFd)> {
    let (_, descriptors) = helper::receive(service, &mut [0], RecvFlags::empty())?;
    let mut descriptors = descriptors.into_iter();
    match (descriptors.next(), descriptors.next()) {
        (Some(ring), Some(counts)) => Ok((ring, counts)),
        _ => bail!("who started this is no service of Gatebell's"),
    }
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
    counts: File,
    counted: AnswerCounts,
}

impl Sender {
    fn read(&mut self, record: &[u8]) {
        let Ok(rejected) = RejectedPacket::read_from_bytes(record) else {
            return;
        };
        let Some(answer) = answer_to(&rejected) else {
            return;
        };
        if !goes_back(&answer, &rejected) {
            self.counted.failed += 1;
        } else if !self.limits.take(
            &answer,
            device_of_answer(&rejected).is_some(),
            self.began.elapsed(),
        ) {
            self.counted.limited += 1;
        } else if self.send(&answer, &rejected).is_ok() {
            self.counted.answered += 1;
        } else {
            self.counted.failed += 1;
        }
        let _the_next_one_says_it_too = self.counts.write_all_at(self.counted.as_bytes(), 0);
    }

    fn send(&self, answer: &Answer, rejected: &RejectedPacket) -> io::Result<()> {
        let [four, six] = &self.sockets;
        let packet = [IoSlice::new(answer.bytes())];
        let flags = MsgFlags::MSG_DONTWAIT;
        let by = device_of_answer(rejected);
        match socket_address(&answer.to, answer.ip_version, rejected.device, 0) {
            SocketAddr::V4(to) => {
                let by = by.map(by_device);
                let by = by.as_ref().map(ControlMessage::Ipv4PacketInfo);
                let to = SockaddrIn::from(to);
                sendmsg(four.as_raw_fd(), &packet, by.as_slice(), flags, Some(&to))?
            }
            SocketAddr::V6(to) => {
                let by = by.map(by_device_v6);
                let by = by.as_ref().map(ControlMessage::Ipv6PacketInfo);
                let to = SockaddrIn6::from(to);
                sendmsg(six.as_raw_fd(), &packet, by.as_slice(), flags, Some(&to))?
            }
        };
        Ok(())
    }
}

/// The one device that an answer may leave by: of what is forwarded, the one that it came in by. Whoever sends through
/// this machine may name any source, and the answer quotes what they wrote:
/// it reaches nobody whom they can't reach without this machine.
fn device_of_answer(rejected: &RejectedPacket) -> Option<u32> {
    (rejected.direction == Direction::Forward as u8).then_some(rejected.device)
}

fn by_device(device: u32) -> in_pktinfo {
    const ANY: in_addr = in_addr { s_addr: 0 };
    in_pktinfo {
        ipi_ifindex: device.cast_signed(),
        ipi_spec_dst: ANY,
        ipi_addr: ANY,
    }
}

fn by_device_v6(device: u32) -> in6_pktinfo {
    in6_pktinfo {
        ipi6_addr: in6_addr { s6_addr: [0; 16] },
        ipi6_ifindex: device,
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

/// Returns whether an answer goes to who sent the packet, as far as this machine can know. Its own programs send from
/// its own addresses. Who does not would have others sent what it may not send: IPv6 lets each program name any source,
/// and the answer quotes what it wrote.
fn goes_back(answer: &Answer, rejected: &RejectedPacket) -> bool {
    let is_of_a_program =
        rejected.direction == Direction::Outbound as u8 || rejected.device == LOOPBACK;
    !is_of_a_program || is_own(&answer.to, answer.ip_version, rejected.device)
}

/// Returns whether this machine has an address.
fn is_own(address: &[u8; 16], ip_version: u8, device: u32) -> bool {
    if ip_version == 4 {
        UdpSocket::bind(socket_address(address, ip_version, device, 0)).is_ok()
    } else {
        // Asked so, for `ip_nonlocal_bind` has any be bound: what is sent to an own address has it for its
        // source (RFC 6724, 5, rule 1).
        own_address(address, ip_version, device).as_ref() == Some(address)
    }
}

/// The address by which this machine sends to another.
fn own_address(to: &[u8; 16], ip_version: u8, device: u32) -> Option<[u8; 16]> {
    /// Port of the discard protocol; nothing is sent there.
    const DISCARD: u16 = 9;
    let to = socket_address(to, ip_version, device, DISCARD);
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

/// Returns the socket address that an answer goes to. Addresses of one link are told apart by their device.
fn socket_address(to: &[u8; 16], ip_version: u8, device: u32, port: u16) -> SocketAddr {
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

    /// Returns whether one more answer may be sent, by the moment at which the next is due if none came at once;
    /// if so, it moves that moment on.
    fn take(self, due: &mut Duration, now: Duration) -> bool {
        let next = now.max(*due) + self.each;
        let may = next <= now + self.at_once;
        if may {
            *due = next;
        }
        may
    }
}

/// Limiter of answers: moments at which the next is due, for everybody and for each.
struct Limits {
    all: Duration,
    forwarded: Duration,
    each: Box<[Duration]>,
    /// Keys of the hash, random so that nobody can choose to share another's limit.
    numbers: RandomState,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            all: Duration::ZERO,
            forwarded: Duration::ZERO,
            each: vec![Duration::ZERO; PLACES].into(),
            numbers: RandomState::new(),
        }
    }
}

impl Limits {
    fn take(&mut self, answer: &Answer, is_forwarded: bool, now: Duration) -> bool {
        let network = if answer.ip_version == 4 {
            &answer.to[8..]
        } else {
            &answer.to[..8]
        };
        let number = self.numbers.hash_one(network) as usize % PLACES;
        // Who has had enough takes nothing of what is for all.
        EACH.take(&mut self.each[number], now)
            && (!is_forwarded || FORWARDED.take(&mut self.forwarded, now))
            && ALL.take(&mut self.all, now)
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
        let at_once = (0..10_000).filter(|_| limits.take(&to(0, 1), false, second));
        assert_eq!(at_once.count(), 50);
        let later = (1..=10_000_u32)
            .filter(|n| limits.take(&to(0, 1), false, second + second * *n / 10_000))
            .count();
        assert!((99..=101).contains(&later), "{later}");
        let others = (0..=255).flat_map(|a| (2..=255).map(move |b| (a, b)));
        let all = others.filter(|(a, b)| limits.take(&to(*a, *b), false, second * 10));
        assert_eq!(all.count(), 250);
    }

    #[test]
    fn answers_to_what_is_forwarded_leave_most_of_the_neighbours_to_others() {
        let mut limits = Limits::default();
        let sources = (0..20).flat_map(|a| (1..=250).map(move |b| [10, 79, a, b]));
        let answered = sources.enumerate().filter(|(n, source)| {
            let answer = answer_to(&datagram(*source, 0)).unwrap();
            let now = Duration::from_secs(1) + Duration::from_secs(3) * *n as u32 / 5000;
            limits.take(&answer, true, now)
        });
        let answered = answered.count();
        assert!((300..=350).contains(&answered), "{answered}");
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

    /// A datagram of IPv6.
    fn datagram_v6(from: Ipv6Addr) -> RejectedPacket {
        let mut bytes = [0; MOST_BYTES];
        bytes[..8].copy_from_slice(&[0x60, 0, 0, 0, 0, 8, 17, 64]);
        bytes[8..24].copy_from_slice(&from.octets());
        bytes[24..40].copy_from_slice(&Ipv6Addr::new(0xFD77, 0, 0, 0, 0, 0, 0, 1).octets());
        bytes[40..48].copy_from_slice(&[0x9C, 0x40, 0, 9, 0, 8, 0, 0]);
        RejectedPacket {
            length: 48,
            copied: 48,
            bytes,
            ..datagram([0; 4], 0)
        }
    }

    #[test]
    fn only_what_is_forwarded_is_answered_by_the_device_alone_that_it_came_in_by() {
        let device = |direction: Direction| {
            device_of_answer(&RejectedPacket {
                direction: direction as u8,
                ..datagram([10, 79, 0, 1], 0)
            })
        };
        let all = Direction::ALL.map(|direction| (direction, device(direction)));
        let expected = Direction::ALL.map(|direction| {
            let is_forwarded = direction == Direction::Forward;
            (direction, is_forwarded.then_some(2))
        });
        assert_eq!(all, expected);
        assert_eq!(by_device(2).ipi_ifindex, 2);
        assert_eq!(by_device_v6(2).ipi6_ifindex, 2);
    }

    #[test]
    fn what_this_machine_sends_is_answered_to_its_own_addresses_alone() {
        let goes_back = |packet: RejectedPacket, direction: Direction, device| {
            let rejected = RejectedPacket {
                direction: direction as u8,
                device,
                ..packet
            };
            answer_to(&rejected).is_some_and(|answer| goes_back(&answer, &rejected))
        };
        let (inbound, outbound) = (Direction::Inbound, Direction::Outbound);
        let foreign = Ipv6Addr::new(0x2001, 0xDB8, 0xBAD, 0, 0, 0, 0, 7);
        for foreign in [datagram([192, 0, 2, 7], 0), datagram_v6(foreign)] {
            assert!(!goes_back(foreign, outbound, 2));
            // It came by the loopback device: one of this machine's own has sent it.
            assert!(!goes_back(foreign, inbound, LOOPBACK));
            assert!(goes_back(foreign, inbound, 2));
        }
        assert!(goes_back(datagram([127, 0, 0, 1], 0), outbound, LOOPBACK));
        assert!(goes_back(datagram([127, 0, 0, 5], 0), outbound, LOOPBACK));
        // A machine may be without IPv6.
        if UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
            let own = datagram_v6(Ipv6Addr::LOCALHOST);
            assert!(goes_back(own, outbound, LOOPBACK));
        }
    }
}
