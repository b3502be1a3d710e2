//! Layout of rule tables, which the service hands to a driver one generation at a time.
//!
//! A generation is a row of [`Page`]s. Page 0 is its [`Head`]; the others hold search trees, vectors and outcomes, at
//! the page numbers that the head names. Text becomes pages in `rules`, pages become verdicts in `engine`. The same
//! bytes serve every kernel, the dry run and the tests.
//!
//! - A *vector* is a page with one bit for each rule: which of them take a value. Its first [`SUMMARY_WORDS`] words say
//!   which of its words are not zero.
//! - A [`Tree`] finds the vector of a value: the values of a dimension (an address, a port, …) are cut into intervals,
//!   and all values of one interval have the same vector.
//! - The first bit that the vectors of all dimensions share is the first rule that matches.
//!
//! Sets of addresses are a table of their own, [`SetsHead`], so that generations can share them: it says of an address
//! which sets hold it, by a number (an *equivalence class*); the generation says which rules ask for these sets.

use crate::packet::{Direction, Verdict};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Number of 64-bit words in a page.
pub const PAGE_WORDS: usize = 256;
/// Size of a page, in bytes.
pub const PAGE_BYTES: usize = PAGE_WORDS * 8;
/// Page, the unit of every table.
pub type Page = [u64; PAGE_WORDS];
/// Number of words at the start of a vector that say which of all its words are not zero.
pub const SUMMARY_WORDS: usize = 4;
/// Highest number of rules in one generation: the bits of a vector.
pub const MAX_RULES: u32 = (PAGE_WORDS - SUMMARY_WORDS) as u32 * 64;
/// Highest number of pages in one table: 128 MiB.
pub const MAX_PAGES: u32 = 65_536;
/// Number of 32-bit integers in a page.
pub const PAGE_NUMBERS: usize = PAGE_WORDS * 2;
/// Highest number of levels that a tree has above its leaves: no table has room for leaves that need more.
pub const MAX_LEVELS: usize = 4;
/// Number of keys in a tree's block, whatever their size: many, so that there are few levels, which are soon in the
/// caches.
pub const BLOCK: usize = 64;
/// Number of 32-bit keys in a leaf: one cache line, because what a leaf costs is to fetch it.
pub const NARROW_LEAF: usize = 16;
/// Number of 128-bit keys in a leaf: two cache lines.
pub const WIDE_LEAF: usize = 8;
/// Number of values of the first dimension: direction, IP version and protocol in one number, [`class`].
pub const CLASSES: usize = 2048;

/// Number of tables of sets that a driver holds at the same time.
pub const SETS_TABLES: u32 = 8;
/// Value of [`Head::sets`], [`Head::source_sets`] and [`Head::destination_sets`] where no rule asks for a set.
pub const NO_SETS: u32 = u32::MAX;

/// A search tree. Its keys are the lowest values of its intervals, in order; the first one is the lowest there is.
///
/// Level 0 has one block. A key of a level is the first key of a block, or leaf, in the level below. Below the last
/// level stand the leaves, as many as fit into each page: their keys are the intervals themselves, and beside them
/// stands what each interval has, so that it is in the same memory page. Keys that fill up a level's last block, or the
/// last leaf, are the highest value there is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Tree {
    /// Number of levels above the leaves, at most [`MAX_LEVELS`].
    pub levels: u32,
    /// Number of intervals. If it is 1, there are no leaves.
    pub intervals: u32,
    /// Page at which the leaves start. If there are none, the value of every key: a vector's page, or an equivalence
    /// class.
    pub leaves: u32,
    /// Padding to a whole word.
    pub spare: u32,
    /// Zero that the verifier can't fold: it is always 0, but only the running search knows (see `engine`).
    pub opaque_zero: u64,
    /// Page at which each level starts.
    pub starts: [u32; MAX_LEVELS],
}

/// A leaf with 32-bit keys: two cache lines, side by side.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct NarrowLeaf {
    /// Lowest value of each interval.
    pub keys: [u32; NARROW_LEAF],
    /// Value of each interval: a vector's page, or an equivalence class.
    pub values: [u32; NARROW_LEAF],
}

/// A leaf with 128-bit keys, each of two words, the higher one first.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct WideLeaf {
    /// Lowest value of each interval.
    pub keys: [[u64; 2]; WIDE_LEAF],
    /// Value of each interval, likewise.
    pub values: [u32; WIDE_LEAF],
}

/// Number of leaves with 32-bit keys in a page.
pub const NARROW_LEAVES: usize = PAGE_BYTES / size_of::<NarrowLeaf>();
/// Number of leaves with 128-bit keys in a page, which they do not fill.
pub const WIDE_LEAVES: usize = PAGE_BYTES / size_of::<WideLeaf>();

/// A page of leaves with 128-bit keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct WideLeaves {
    /// Leaves of the page.
    pub leaves: [WideLeaf; WIDE_LEAVES],
    /// Padding to a whole page.
    pub spare: [u64; (PAGE_BYTES - WIDE_LEAVES * size_of::<WideLeaf>()) / 8],
}

/// Head of a generation, at the start of its page 0.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Head {
    /// Number of the generation, from 1; 0 if the table was not filled yet.
    pub generation: u32,
    /// Number of rules, at most [`MAX_RULES`].
    pub rules: u32,
    /// Number of pages, this one included.
    pub pages: u32,
    /// Default policy of packets into the zone.
    pub inbound: DefaultPolicy,
    /// Default policy of packets out of the zone.
    pub outbound: DefaultPolicy,
    /// Default policy of packets through the zone.
    pub forward: DefaultPolicy,
    /// Padding to a whole word.
    pub spare: [u8; 6],
    /// Index of the driver's table of sets that this generation asks, or [`NO_SETS`].
    pub sets: u32,
    /// Information besides the packet itself that rules ask for: bits [`NEEDS_USER`] and following.
    pub needs: u32,
    /// [`FailMode`] of packets after the service has ended.
    pub fail_mode: u32,
    /// Page at which the [`CLASSES`] start: for each class the page of its vector.
    pub classes: u32,
    /// Page at which the [`Outcome`]s start, one for each rule.
    pub outcomes: u32,
    /// Page at which the rules' counters start, 64 bits each. Only a driver writes there.
    pub hits: u32,
    /// Page of the vector of the rules that ask for no ports and no ICMP type: those that a later fragment can match.
    pub no_ports: u32,
    /// Page at which the vectors of the source's equivalence classes start, a page number each; [`NO_SETS`] if no rule
    /// asks for them.
    pub source_sets: u32,
    /// Page at which the vectors of the destination's equivalence classes start, likewise.
    pub destination_sets: u32,
    /// Number of equivalence classes that have vectors there.
    pub equivalence_classes: u32,
    /// Tree of IPv4 source addresses, as 32-bit numbers.
    pub source_v4: Tree,
    /// Tree of IPv4 destination addresses.
    pub destination_v4: Tree,
    /// Tree of source ports; for ICMP of types.
    pub source_port: Tree,
    /// Tree of destination ports; for ICMP of codes.
    pub destination_port: Tree,
    /// Tree of users, by their number.
    pub user: Tree,
    /// Tree of IPv6 source addresses, as 128-bit numbers.
    pub source_v6: Tree,
    /// Tree of IPv6 destination addresses.
    pub destination_v6: Tree,
    /// Tree of programs, by [`crate::packet::PacketMeta::program`].
    pub program: Tree,
    /// Tree of network devices, by [`crate::packet::PacketMeta::interface`].
    pub interface: Tree,
    /// Tree of devices that forwarded packets go out by, by [`crate::packet::PacketMeta::out_interface`].
    pub out_interface: Tree,
}

/// Bit of [`Head::needs`]: some rule asks for a user.
pub const NEEDS_USER: u32 = 1;
/// Bit of [`Head::needs`]: some rule asks for a program.
pub const NEEDS_PROGRAM: u32 = 2;
/// Bit of [`Head::needs`]: some rule asks for a network device.
pub const NEEDS_INTERFACE: u32 = 4;
/// Bit of [`Head::needs`]: some rule asks for the device that a forwarded packet goes out by.
pub const NEEDS_OUT_INTERFACE: u32 = 8;

/// Bit of [`Head::needs`]: some rule names the device `lo`, so that loopback packets are judged too.
pub const NEEDS_LOOPBACK: u32 = 16;

/// Bit of [`Head::needs`]: some rule asks for a destination that may be in a set by its name. A connection to an
/// address that was resolved just now may be faster than the reader of the DNS answer.
pub const NEEDS_NAMES: u32 = 128;

/// Bit of [`Head::needs`]: some rule or default policy asks a person, and the question includes the local identity.
pub const NEEDS_PERSON: u32 = 32;

/// Bit of [`Head::needs`]: some rule asks for bridges that lead to guests alone ([`crate::packet::GUESTS`]).
pub const NEEDS_GUESTS: u32 = 64;

/// Head of a table of sets, at the start of its page 0.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct SetsHead {
    /// Number of pages, this one included.
    pub pages: u32,
    /// Number of equivalence classes. Class 0 is in no set.
    pub equivalence_classes: u32,
    /// Tree of the equivalence classes of IPv4 addresses.
    pub v4: Tree,
    /// Tree of the equivalence classes of IPv6 addresses.
    pub v6: Tree,
}

macro_rules! page_zero {
    ($($(#[doc = $doc:literal])+ $page:ident of $head:ident;)+) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
        #[repr(C, align(8))]
        pub struct $page {
            /// Head at the start of the page.
            pub head: $head,
            /// Padding to a whole page.
            pub spare: [u32; (PAGE_BYTES - size_of::<$head>()) / 4],
        }

        impl $page {
            /// Views the words of a page as this type.
            #[must_use]
            pub fn of(page: &Page) -> &Self {
                zerocopy::transmute_ref!(page)
            }

            /// Views this type as the words of a page.
            #[must_use]
            pub fn words(&self) -> &Page {
                zerocopy::transmute_ref!(self)
            }
        }

        impl From<$head> for $page {
            fn from(head: $head) -> Self {
                Self { head, spare: [0; (PAGE_BYTES - size_of::<$head>()) / 4] }
            }
        }
    )+};
}

page_zero! {
    /// Page 0 of a generation.
    HeadPage of Head;
    /// Page 0 of a table of sets.
    SetsPage of SetsHead;
}

/// Default policy of a direction: the verdict on a packet that no rule matches.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct DefaultPolicy {
    /// Number of the [`crate::packet::Verdict`].
    pub verdict: u8,
    /// 1 if such packets are to be reported.
    pub log: u8,
}

/// Outcome of a rule for the packets that it matches, in 32 bits: the verdict in the lowest eight, above them 1 if its
/// packets are reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome(pub u32);

impl Outcome {
    /// Makes an outcome of a verdict's number and of whether to report.
    #[must_use]
    pub const fn new(verdict: u8, log: bool) -> Self {
        Self(verdict as u32 | (log as u32) << 8)
    }

    /// Returns the number of the [`crate::packet::Verdict`].
    #[must_use]
    pub const fn verdict(self) -> u8 {
        self.0 as u8
    }

    /// Returns the outcome where nobody can be asked: ask becomes block.
    #[must_use]
    pub const fn unasked(self) -> Self {
        if self.verdict() == Verdict::Ask as u8 {
            Self(self.0 ^ (Verdict::Ask as u32 ^ Verdict::Block as u32))
        } else {
            self
        }
    }

    /// Marks the outcome as that of a rule that asks for a program or a user.
    #[must_use]
    pub const fn asking_who(self) -> Self {
        Self(self.0 | Self::ASKS_WHO)
    }

    /// Returns whether the rule asks for a program or a user.
    #[must_use]
    pub const fn needs_owner(self) -> bool {
        self.0 & Self::ASKS_WHO != 0
    }

    /// Marks the outcome as that of a rule that asks for neither the source nor the device of a packet.
    #[must_use]
    pub const fn of_any_source(self) -> Self {
        Self(self.0 | Self::ANY_SOURCE)
    }

    /// Marks the outcome as that of a rule that asks for nothing of a packet's destination.
    #[must_use]
    pub const fn to_any_destination(self) -> Self {
        Self(self.0 | Self::ANY_DESTINATION)
    }

    /// Returns whether the rule decides about a call (`connect`) before its first packet: it asks for nothing that is
    /// not known then. A rule compiled by a release that did not mark it does not.
    #[must_use]
    #[inline(always)]
    pub const fn decides_at_connect(self, translated: bool) -> bool {
        self.0 & Self::ANY_SOURCE != 0 && (!translated || self.0 & Self::ANY_DESTINATION != 0)
    }

    const ASKS_WHO: u32 = 1 << 9;
    const ANY_SOURCE: u32 = 1 << 10;
    const ANY_DESTINATION: u32 = 1 << 11;

    /// Returns 1 if such packets are to be reported, else 0.
    #[must_use]
    pub const fn log(self) -> u8 {
        (self.0 >> 8) as u8 & 1
    }
}

/// Fail mode: the treatment of packets after the service has ended, killed or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum FailMode {
    /// Fail-static: the rules stay in force.
    #[default]
    Static = 0,
    /// Fail-open: everything passes, uncounted by rules.
    Open = 1,
    /// Fail-closed: nothing passes.
    Closed = 2,
}

impl FailMode {
    /// Returns the name of the fail mode in rule files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

/// Range of ports from the first to the last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PortRange {
    /// Lowest port.
    pub first: u16,
    /// Highest port.
    pub last: u16,
}

/// Returns the number of a packet's class among the [`CLASSES`]. A version that is not 6 counts as 4: there is no
/// other.
#[must_use]
pub const fn class(direction: u8, version: u8, protocol: u8) -> u32 {
    // Two bits for three directions; whatever is none of them has classes that no rule is in.
    let way = direction.wrapping_sub(Direction::Inbound as u8) as u32 & 3;
    let six = (version == 6) as u32;
    way << 9 | six << 8 | protocol as u32
}

const _: () = {
    assert!(
        size_of::<Tree>() == 40
            && size_of::<Head>() == 64 + 10 * 40
            && size_of::<SetsHead>() == 8 + 80
    );
    assert!(MAX_PAGES as usize * NARROW_LEAVES <= BLOCK.pow(MAX_LEVELS as u32));
    assert!(size_of::<NarrowLeaf>() == 128 && size_of::<WideLeaf>() == 160);
    assert!(
        NARROW_LEAVES * size_of::<NarrowLeaf>() == PAGE_BYTES
            && size_of::<WideLeaves>() == PAGE_BYTES
    );
    assert!(size_of::<HeadPage>() == PAGE_BYTES && size_of::<SetsPage>() == PAGE_BYTES);
    assert!(MAX_RULES == 16_128 && SUMMARY_WORDS * 64 == PAGE_WORDS);
};
