//! A packet's header and what became of it: kind `PACKET`.

use channel_abi::Header;
pub use channel_abi::command::NO_USER;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Which way a packet goes, seen from the protected zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Direction {
    /// Into the zone.
    Inbound = 1,
    /// Out of the zone.
    Outbound = 2,
    /// Through it: the zone forwards the packet from one device to another, and is neither of its ends.
    Forward = 3,
}

impl Direction {
    /// Every direction, in the order in which people are shown them.
    pub const ALL: [Self; 3] = [Self::Inbound, Self::Outbound, Self::Forward];
}

/// The number of the [`Direction`] in which replies to packets of this one go. What the zone forwards comes back through it.
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

/// What the engine decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Verdict {
    /// The packet goes on.
    Allow = 1,
    /// The packet is dropped.
    Block = 2,
    /// The packet is dropped, and its sender is told.
    Reject = 3,
    /// The packet is dropped quietly until somebody has said what is to become of its like.
    Ask = 4,
    /// The headers alone do not decide: the packet passes where the stack shows it, and is judged where its socket is known. No rule has it.
    Socket = 5,
}

/// Why the verdict is what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Reason {
    /// A rule matched: the first one that did.
    Rule = 1,
    /// No rule matched; the default of the packet's direction applied.
    Default = 2,
    /// The packet's headers contradict themselves or are cut off, or lead on from where they say that it goes: segments that are left
    /// of a routing header, a source route among the options.
    Malformed = 3,
    /// A later fragment, which has no ports to check.
    Fragment = 4,
    /// A reply to what was allowed.
    Reply = 5,
    /// The service has ended, and the rules say what then.
    FailMode = 6,
    /// A rule, or the default, asks, and somebody has answered.
    Answer = 7,
    /// A rule, or the default, asks, and nobody has answered in time.
    Unanswered = 8,
    /// The kernel itself sends it to stay on its link: neither a default refuses that, nor is anybody asked about it.
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
            /// The name in JSON, in rule files and on the command line.
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
    /// Whether the verdict of this number refuses for good, with an answer or without.
    #[must_use]
    #[inline(always)]
    pub const fn refuses(number: u8) -> bool {
        number == Self::Block as u8 || number == Self::Reject as u8
    }
}

/// Not a number that this layout gives a meaning to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownNumber(pub u8);

/// What the engine reads of a packet: as decoded by `engine`, the same in the driver and in a dry run.
///
/// Addresses are 16 bytes; IPv4 ones stand in their IPv4-mapped form (`::ffff:a.b.c.d`). Ports are in host order;
/// for ICMP the type stands in `source_port` and the code in `destination_port`. Aligned, so that it is copied in words.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C, align(8))]
pub struct PacketHeaders {
    /// Where it comes from.
    pub source: [u8; 16],
    /// Where it goes.
    pub destination: [u8; 16],
    /// Port, or ICMP type.
    pub source_port: u16,
    /// Port, or ICMP code.
    pub destination_port: u16,
    /// IP protocol number: 6 TCP, 17 UDP, 1 ICMP, 58 ICMPv6.
    pub protocol: u8,
    /// 4 or 6.
    pub ip_version: u8,
    /// A [`Direction`].
    pub direction: u8,
    /// TCP flags; SYN of what asks for an association of SCTP; else 0.
    pub tcp_flags: u8,
}

/// A decision, as it travels.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Decision {
    /// The rule's number in its generation, from 0; [`NO_RULE`] if no rule decided.
    pub rule: u32,
    /// The generation of the rules that decided.
    pub generation: u32,
    /// A [`Verdict`].
    pub verdict: u8,
    /// A [`Reason`].
    pub reason: u8,
    /// 1 if the packet is to be reported.
    pub log: u8,
    /// 1 if the packet goes on with a connection that was allowed before: the rules were not asked about it.
    pub known: u8,
}

/// Stands where no rule decided.
pub const NO_RULE: u32 = u32::MAX;

/// Who is at the zone's end of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PacketMeta {
    /// The program's file: on Linux its file system's device number and its inode; zeros if not known.
    pub program: [u64; 2],
    /// The name of the device it comes in or goes out by as [`name_words`] has it, with [`GUESTS`] before it or not; zeros if not
    /// known. Of what is forwarded, the device that it comes in by.
    pub interface: [u64; 2],
    /// Of what is forwarded, the device that it goes out by; else zeros.
    pub out_interface: [u64; 2],
    /// The user, or [`NO_USER`].
    pub user: u32,
    /// 0: everything is as good as it will be known. Else [`PacketMeta::BEFORE_SOCKET`] and what follows it.
    pub phase: u32,
}

impl PacketMeta {
    /// Who gets the packet comes out at its socket: a rule that asks for that does not decide before.
    pub const BEFORE_SOCKET: u32 = 1;
    /// There is no packet yet, but somebody who is about to send the first: by which device, and from where, comes out then.
    pub const CONNECT: u32 = 2;
    /// The same, where the address that is called may be translated before the rules see it.
    pub const CONNECT_TRANSLATED: u32 = 3;
    /// The service sends it to answer what was rejected: whatever rules say of it, as of a call, it passes.
    pub const ANSWERS: u32 = 4;
    /// Stands for the program where the kernel itself is at the zone's end. No file has such a device.
    pub const KERNEL: [u64; 2] = [u64::MAX, 0];
    /// Stands for the program where somebody's is at the zone's end, and it can't be known whose: rules that block any take it.
    pub const UNSURE: [u64; 2] = [u64::MAX, 1];
    /// Stands for the program where the zone is no end of the connection, and so does whatever has more bits in the second word: no
    /// rule asks for it.
    pub const ELSEWHERE: [u64; 2] = [u64::MAX, 2];

    /// Whether program and user are as good as they will be known.
    #[must_use]
    #[inline(always)]
    pub const fn knows_who(&self) -> bool {
        self.phase != Self::BEFORE_SOCKET
    }

    /// Whether there is no packet yet.
    #[must_use]
    #[inline(always)]
    pub const fn is_connect(&self) -> bool {
        self.phase >= Self::CONNECT
    }

    /// Nobody is known to be there.
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

/// The name of a device, as [`PacketMeta::interface`] has it: words that sort as names do, so that all names which begin alike are
/// one interval. `None` if it is longer than the 15 bytes that Linux allows.
#[must_use]
pub fn name_words(name: &str) -> Option<[u64; 2]> {
    process_name(name).map(|words| behind_kind(words.map(u64::from_be)))
}

/// Stands before a device's name, in the first of its words, where it is a bridge that leads to guests of this machine alone. Before
/// another's there is nothing.
pub const GUESTS: u64 = 1 << 56;
/// The same where that can't be known: rules that block what comes from guests take it.
pub const MAYBE_GUESTS: u64 = 2 << 56;

/// A name in two words behind a byte for what [`GUESTS`] says: the last byte of the kernel's room is for a name's end, and so none of it.
#[inline(always)]
const fn behind_kind([first, second]: [u64; 2]) -> [u64; 2] {
    [first >> 8, first << 56 | second >> 8]
}

/// The name of a process, as the kernel has it: bytes, the rest zero. `None` if it is longer than the 15 bytes that Linux
/// allows.
#[must_use]
pub fn process_name(name: &str) -> Option<[u64; 2]> {
    let mut bytes = [0_u8; 16];
    bytes
        .get_mut(..name.len())
        .filter(|_| name.len() < 16)?
        .copy_from_slice(name.as_bytes());
    Some(zerocopy::transmute!(bytes))
}

/// A device's name, as [`name_words`] has it, from how the kernel keeps it: what stands behind its end, left over from a longer
/// name, is no part of it.
#[must_use]
#[inline(always)]
pub const fn name_until_end([first, second]: [u64; 2]) -> [u64; 2] {
    const ONES: u64 = 0x0101_0101_0101_0101;
    /// The highest bit of the first byte that is zero (Warren, Hacker's Delight, 6-1); 0: none is.
    const fn end(word: u64) -> u64 {
        let word = u64::from_le(word);
        let zeros = word.wrapping_sub(ONES) & !word & ONES << 7;
        zeros & zeros.wrapping_neg()
    }
    /// The bytes below it.
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
    /// Stands first in every record.
    pub header: Header,
    /// The packet's headers.
    pub flow: PacketHeaders,
    /// What was decided.
    pub decision: Decision,
    /// The packet's length in bytes, from its IP header on.
    pub length: u32,
    /// The device it came in or went out by; of what is forwarded, the one that it came in by.
    pub interface: u32,
    /// The process that made its socket, 0 if not known.
    pub pid: u32,
    /// The user it runs as, [`NO_USER`] if not known.
    pub user: u32,
    /// Of what is forwarded, the device that it goes out by; else 0.
    pub out_interface: u32,
    /// See [`PacketMeta::program`].
    pub program: [u64; 2],
    /// The process's name, zero if not known.
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
