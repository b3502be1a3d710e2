//! Headers of a packet and its verdict: record kind `PACKET`.

use channel_abi::Header;
pub use channel_abi::command::NO_USER;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Direction of a packet, seen from the protected zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Direction {
    /// Inbound: into the zone.
    Inbound = 1,
    /// Outbound: out of the zone.
    Outbound = 2,
    /// Through the zone, which forwards the packet from one device to another and is neither of its ends.
    Forward = 3,
}

impl Direction {
    /// Every direction, in the order in which people are shown them.
    pub const ALL: [Self; 3] = [Self::Inbound, Self::Outbound, Self::Forward];
}

/// Returns the number of the [`Direction`] of replies to packets of this one. What the zone forwards comes back through
/// it.
#[must_use]
#[inline(always)]
pub const fn reply_direction(direction: u8) -> u8 {
    const FORWARD: u8 = Direction::Forward as u8;
    if direction == FORWARD {
        FORWARD
    } else {
        direction ^ (Direction::Inbound as u8 ^ Direction::Outbound as u8)
    }
}

/// Verdict of the engine on a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Verdict {
    /// The packet is allowed.
    Allow = 1,
    /// The packet is dropped.
    Block = 2,
    /// The packet is dropped, and its sender is told.
    Reject = 3,
    /// The packet is dropped quietly until somebody has said what is to become of its like.
    Ask = 4,
    /// The headers alone do not decide: the packet passes at the stack's hook, and is judged where its socket is known.
    /// No rule has this verdict.
    Socket = 5,
}

/// Reason of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Reason {
    /// A rule matched: the first one that did.
    Rule = 1,
    /// No rule matched; the default policy of the packet's direction applied.
    Default = 2,
    /// The packet's headers contradict themselves or are cut off, or lead on from their destination: segments left of a
    /// routing header, a source route among the options.
    Malformed = 3,
    /// The packet is a later fragment, which has no ports to check.
    Fragment = 4,
    /// The packet is a reply of a connection that was allowed.
    Reply = 5,
    /// The service has ended; the fail mode of the rules applied.
    FailMode = 6,
    /// A rule, or the default policy, asks, and somebody has answered.
    Answer = 7,
    /// A rule, or the default policy, asks, and nobody has answered in time.
    Unanswered = 8,
    /// The kernel itself sends the packet to keep its link working: neither a default policy refuses that, nor is
    /// anybody asked about it.
    Link = 9,
}

macro_rules! from_integer {
    ($($kind:ident { $($name:ident = $number:literal, $key:literal;)+ })+) => {$(
        impl TryFrom<u8> for $kind {
            type Error = UnknownNumber;

            fn try_from(n: u8) -> Result<Self, UnknownNumber> {
                match n { $($number => Ok(Self::$name),)+ n => Err(UnknownNumber(n)) }
            }
        }

        impl $kind {
            /// Returns the name in JSON, in rule files and on the command line.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $key,)+ }
            }
        }
    )+};
}

from_integer! {
    Direction { Inbound = 1, "in"; Outbound = 2, "out"; Forward = 3, "forward"; }
    Verdict { Allow = 1, "allow"; Block = 2, "block"; Reject = 3, "reject"; Ask = 4, "ask"; Socket = 5, "socket"; }
    Reason {
        Rule = 1, "rule"; Default = 2, "default"; Malformed = 3, "malformed"; Fragment = 4, "fragment";
        Reply = 5, "reply"; FailMode = 6, "fail_mode"; Answer = 7, "answer"; Unanswered = 8, "unanswered";
        Link = 9, "link";
    }
}

impl Verdict {
    /// Returns whether the verdict of this number refuses for good, whether its sender is told or not.
    #[must_use]
    #[inline(always)]
    pub const fn refuses(number: u8) -> bool {
        number == Self::Block as u8 || number == Self::Reject as u8
    }
}

/// Error of a number that this layout gives no meaning to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownNumber(pub u8);

/// Headers of one packet, as `engine` decodes them, in the driver and in a dry run alike.
///
/// Addresses are 16 bytes; IPv4 ones stand in their IPv4-mapped form (`::ffff:a.b.c.d`). Ports are in host order;
/// for ICMP the type stands in `source_port` and the code in `destination_port`. Aligned,
/// so that it is copied in words.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C, align(8))]
pub struct PacketHeaders {
    /// Source address.
    pub source: [u8; 16],
    /// Destination address.
    pub destination: [u8; 16],
    /// Source port, or ICMP type.
    pub source_port: u16,
    /// Destination port, or ICMP code.
    pub destination_port: u16,
    /// IP protocol number: 6 TCP, 17 UDP, 1 ICMP, 58 ICMPv6.
    pub protocol: u8,
    /// IP version, 4 or 6.
    pub ip_version: u8,
    /// Number of the [`Direction`].
    pub direction: u8,
    /// TCP flags; SYN for an SCTP chunk that asks for an association; else 0.
    pub tcp_flags: u8,
}

/// A decision of the engine on one packet, as records carry it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Decision {
    /// Number of the rule in its generation, from 0; [`NO_RULE`] if no rule decided.
    pub rule: u32,
    /// Generation of the rules that decided.
    pub generation: u32,
    /// Number of the [`Verdict`].
    pub verdict: u8,
    /// Number of the [`Reason`].
    pub reason: u8,
    /// 1 if the packet is to be reported.
    pub log: u8,
    /// 1 if the packet belongs to a connection that was allowed before: the rules were not asked about it.
    pub known: u8,
}

/// Rule number of a decision that no rule made.
pub const NO_RULE: u32 = u32::MAX;

/// Local identity of a packet: the program and user at its end in the zone, and the devices that it passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PacketMeta {
    /// File of the program: on Linux its file system's device number and its inode; zeros if not known.
    pub program: [u64; 2],
    /// Name of the network device that the packet comes in or goes out by, encoded by [`name_words`], with [`GUESTS`]
    /// before it or not; zeros if not known. For a forwarded packet, the device that it comes in by.
    pub interface: [u64; 2],
    /// Name of the device that a forwarded packet goes out by; else zeros.
    pub out_interface: [u64; 2],
    /// User, or [`NO_USER`] if not known.
    pub user: u32,
    /// Phase of the lookup: 0 if nothing more will become known, else [`PacketMeta::BEFORE_SOCKET`] or one of the
    /// following.
    pub phase: u32,
}

impl PacketMeta {
    /// Phase before the socket lookup: the receiver is known at its socket only, and a rule that asks for it does not
    /// decide before.
    pub const BEFORE_SOCKET: u32 = 1;
    /// Phase of a call (`connect`): there is no packet yet, and the device and source address are known with the first
    /// one only.
    pub const CONNECT: u32 = 2;
    /// Phase of a call whose destination address may be translated (NAT) before the rules see its packet.
    pub const CONNECT_TRANSLATED: u32 = 3;
    /// Phase of a packet that the service sends to answer a rejected one: whatever the rules decide about it, as about
    /// a call, it passes.
    pub const ANSWERS: u32 = 4;
    /// Program of a packet whose local end is the kernel itself. No file has such a device.
    pub const KERNEL: [u64; 2] = [u64::MAX, 0];
    /// Program of a packet whose local end is some program that can't be identified: rules that block any program match
    /// it.
    pub const UNSURE: [u64; 2] = [u64::MAX, 1];
    /// Program of a packet of whose connection the zone is no end, as is any value with more bits in the second word:
    /// no rule asks for it.
    pub const ELSEWHERE: [u64; 2] = [u64::MAX, 2];

    /// Returns whether nothing more will become known of program and user.
    #[must_use]
    #[inline(always)]
    pub const fn knows_who(&self) -> bool {
        self.phase != Self::BEFORE_SOCKET
    }

    /// Returns whether the rules are asked as for a call, whose packet is not there yet.
    #[must_use]
    #[inline(always)]
    pub const fn is_connect(&self) -> bool {
        self.phase >= Self::CONNECT
    }

    /// Local identity of which nothing is known.
    pub const UNKNOWN: Self = Self {
        program: [0; 2],
        interface: [0; 2],
        out_interface: [0; 2],
        user: NO_USER,
        phase: 0,
    };
}

impl Default for PacketMeta {
    fn default() -> Self {
        Self::UNKNOWN
    }
}

/// Encodes the name of a network device for [`PacketMeta::interface`]: words that sort as names do, so that all names
/// with the same prefix are one interval. Returns `None` if it is longer than the 15 bytes that Linux allows.
#[must_use]
pub fn name_words(name: &str) -> Option<[u64; 2]> {
    process_name(name).map(|words| behind_kind(words.map(u64::from_be)))
}

/// Mark before a device's name, in the first of its words, of a bridge that leads to guests of this machine alone.
/// Other names have no mark.
pub const GUESTS: u64 = 1 << 56;
/// Mark of a device of which it can't be known whether it leads to guests alone: rules that block what comes from
/// guests match it.
pub const MAYBE_GUESTS: u64 = 2 << 56;

/// Moves a name in two words behind a byte for the mark ([`GUESTS`]): the last byte of the kernel's buffer ends the
/// name and is no part of it.
#[inline(always)]
const fn behind_kind([first, second]: [u64; 2]) -> [u64; 2] {
    [first >> 8, first << 56 | second >> 8]
}

/// Encodes the name of a process as the kernel stores it: its bytes, the rest zero. Returns `None` if it is longer than
/// the 15 bytes that Linux allows.
#[must_use]
pub fn process_name(name: &str) -> Option<[u64; 2]> {
    let mut bytes = [0_u8; 16];
    bytes
        .get_mut(..name.len())
        .filter(|_| name.len() < 16)?
        .copy_from_slice(name.as_bytes());
    Some(zerocopy::transmute!(bytes))
}

/// Encodes the name of a device like [`name_words`], from the kernel's buffer: bytes behind its end, left over from a
/// longer name, are no part of it.
#[must_use]
#[inline(always)]
pub const fn name_until_end([first, second]: [u64; 2]) -> [u64; 2] {
    const ONES: u64 = 0x0101_0101_0101_0101;
    /// Returns the highest bit of the first byte that is zero (Warren, Hacker's Delight, 6-1), or 0 if no byte is.
    const fn end(word: u64) -> u64 {
        let word = u64::from_le(word);
        let zeros = word.wrapping_sub(ONES) & !word & ONES << 7;
        zeros & zeros.wrapping_neg()
    }
    /// Returns the bytes of the word below that end.
    const fn until(word: u64, end: u64) -> u64 {
        let below = if end == 0 {
            u64::MAX
        } else {
            (end >> 7).wrapping_sub(1)
        };
        word & below.to_le()
    }
    let end_of_first = end(first);
    let rest = if end_of_first == 0 {
        until(second, end(second))
    } else {
        0
    };
    // As `name_words` has them.
    behind_kind([u64::from_be(until(first, end_of_first)), u64::from_be(rest)])
}

/// A packet and its verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Packet {
    /// Header of every record; stands first.
    pub header: Header,
    /// Headers of the packet.
    pub headers: PacketHeaders,
    /// Decision on the packet.
    pub decision: Decision,
    /// Length of the packet, in bytes from its IP header on.
    pub length: u32,
    /// Index of the network device that it came in or went out by; for a forwarded packet, the one that it came in by.
    pub interface: u32,
    /// Process that owns its socket; 0 if not known.
    pub pid: u32,
    /// User that the process runs as; [`NO_USER`] if not known.
    pub user: u32,
    /// Index of the device that a forwarded packet goes out by; else 0.
    pub out_interface: u32,
    /// File of the program, as in [`PacketMeta::program`].
    pub program: [u64; 2],
    /// Name of the process; zeros if not known.
    pub name: [u8; 16],
}

const _: () = {
    assert!(
        size_of::<PacketHeaders>() == 40
            && size_of::<Decision>() == 12
            && size_of::<PacketMeta>() == 56
    );
    assert!(size_of::<Packet>() == 56 + 40 + 12 + 20 + 32);
};
