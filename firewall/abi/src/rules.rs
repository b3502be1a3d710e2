//! Rule tables: what the service hands to a driver, one generation at a time.
//!
//! A generation is a row of [`Page`]s. Page 0 is its [`Head`]; the others hold search trees, vectors and outcomes, at
//! the page numbers that the head names. Text becomes pages in `rules`, pages become verdicts in `engine`. The same bytes
//! serve every kernel, the dry run and the tests.
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

/// 64-bit words of a page.
pub const PAGE_WORDS: usize = 256;
/// Bytes of a page.
pub const PAGE_BYTES: usize = PAGE_WORDS * 8;
/// The unit of every table.
pub type Page = [u64; PAGE_WORDS];
/// Words at the start of a vector that say which of all its words are not zero.
pub const SUMMARY_WORDS: usize = 4;
/// The most rules that one generation may have: the bits of a vector.
pub const MAX_RULES: u32 = (PAGE_WORDS - SUMMARY_WORDS) as u32 * 64;
/// The most pages that one table may have: 128 MiB.
pub const MAX_PAGES: u32 = 65_536;
/// 32-bit numbers that a page holds.
pub const PAGE_NUMBERS: usize = PAGE_WORDS * 2;
/// The most levels that a tree may have above its leaves: no table has room for leaves that need more.
pub const MAX_LEVELS: usize = 4;
/// Keys of a tree's block, whatever their size: many, so that there are few levels. These are soon in the caches.
pub const BLOCK: usize = 64;
/// 32-bit keys of a leaf: one cache line, because what a leaf costs is to fetch it.
pub const NARROW_LEAF: usize = 16;
/// 128-bit keys of a leaf: two cache lines.
pub const WIDE_LEAF: usize = 8;
/// Values of the first dimension: direction, IP version and protocol in one number, [`class`].
pub const CLASSES: usize = 2048;

/// How many tables of sets a driver holds at the same time.
pub const SETS_TABLES: u32 = 8;
/// Stands in [`Head::sets`] and at its ends where no rule asks for a set.
pub const NO_SETS: u32 = u32::MAX;

/// A search tree. Its keys are the lowest values of its intervals, in order; the first one is the lowest there is.
///
/// Level 0 has one block. A key of a level is the first key of a block, or leaf, in the level below. Below the last level stand the
/// leaves, as many as fit into each page: their keys are the intervals themselves, and beside them stands what each interval
/// has, so that it is in the same memory page. Keys that fill up a level's last block, or the last leaf, are the highest value there is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Tree {
    /// How many levels there are above the leaves, at most [`MAX_LEVELS`].
    pub levels: u32,
    /// How many intervals there are. 1: there are no leaves.
    pub intervals: u32,
    /// The page at which the leaves start. If there are none, what everything has: a vector's page, or an equivalence class.
    pub leaves: u32,
    /// Fills the word.
    pub spare: u32,
    /// Always 0, which only the search as it runs finds out: see `engine`.
    pub opaque_zero: u64,
    /// The page at which each level starts.
    pub starts: [u32; MAX_LEVELS],
}

/// A leaf with 32-bit keys: two cache lines, side by side.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct NarrowLeaf {
    /// The lowest value of each interval.
    pub keys: [u32; NARROW_LEAF],
    /// What each has: a vector's page, or an equivalence class.
    pub values: [u32; NARROW_LEAF],
}

/// A leaf with 128-bit keys, each of two words, the higher one first.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct WideLeaf {
    /// The lowest value of each interval.
    pub keys: [[u64; 2]; WIDE_LEAF],
    /// What each has.
    pub values: [u32; WIDE_LEAF],
}

/// Leaves with 32-bit keys in a page.
pub const NARROW_LEAVES: usize = PAGE_BYTES / size_of::<NarrowLeaf>();
/// Leaves with 128-bit keys in a page, of which something is left.
pub const WIDE_LEAVES: usize = PAGE_BYTES / size_of::<WideLeaf>();

/// A page of leaves with 128-bit keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct WideLeaves {
    /// What counts.
    pub leaves: [WideLeaf; WIDE_LEAVES],
    /// Fills the page.
    pub spare: [u64; (PAGE_BYTES - WIDE_LEAVES * size_of::<WideLeaf>()) / 8],
}

/// What stands in page 0 of a generation.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Head {
    /// The generation's number, from 1. 0: a table that nobody has filled yet.
    pub generation: u32,
    /// How many rules there are, at most [`MAX_RULES`].
    pub rules: u32,
    /// How many pages there are, this one too.
    pub pages: u32,
    /// What packets get that no rule matches, into the zone.
    pub inbound: DefaultPolicy,
    /// What packets get that no rule matches, out of the zone.
    pub outbound: DefaultPolicy,
    /// What packets get that no rule matches, through the zone.
    pub forward: DefaultPolicy,
    /// Fills the word, and one more.
    pub spare: [u8; 6],
    /// The driver's table of sets that this generation asks, or [`NO_SETS`].
    pub sets: u32,
    /// What rules ask for besides the packet itself: bits [`NEEDS_USER`] and following.
    pub needs: u32,
    /// What becomes of packets when the service has ended: a [`FailMode`].
    pub fail_mode: u32,
    /// The page at which the [`CLASSES`] start: for each class the page of its vector.
    pub classes: u32,
    /// The page at which the [`Outcome`]s start, one for each rule.
    pub outcomes: u32,
    /// The page at which the rules' counters start, 64 bits each. Only a driver writes there.
    pub hits: u32,
    /// The vector of the rules that ask for no ports and no ICMP type: what a later fragment can match.
    pub no_ports: u32,
    /// The page at which the vectors of equivalence classes start, for sources: a page number each. [`NO_SETS`]: no rule asks.
    pub source_sets: u32,
    /// The same for destinations.
    pub destination_sets: u32,
    /// How many equivalence classes these know.
    pub equivalence_classes: u32,
    /// IPv4 sources, as 32-bit numbers.
    pub source_v4: Tree,
    /// IPv4 destinations.
    pub destination_v4: Tree,
    /// Source ports; for ICMP the types.
    pub source_port: Tree,
    /// Destination ports; for ICMP the codes.
    pub destination_port: Tree,
    /// Users, by their number.
    pub user: Tree,
    /// IPv6 sources, as 128-bit numbers.
    pub source_v6: Tree,
    /// IPv6 destinations.
    pub destination_v6: Tree,
    /// Programs, by [`crate::packet::PacketMeta::program`].
    pub program: Tree,
    /// Devices, by [`crate::packet::PacketMeta::interface`].
    pub interface: Tree,
    /// Devices that forwarded packets go out by, by [`crate::packet::PacketMeta::out_interface`].
    pub out_interface: Tree,
}

/// Some rule asks for a user.
pub const NEEDS_USER: u32 = 1;
/// Some rule asks for a program.
pub const NEEDS_PROGRAM: u32 = 2;
/// Some rule asks for a device.
pub const NEEDS_INTERFACE: u32 = 4;
/// Some rule asks for the device that a forwarded packet goes out by.
pub const NEEDS_OUT_INTERFACE: u32 = 8;

/// Some rule names the device `lo`: what never leaves the machine is judged too.
pub const NEEDS_LOOPBACK: u32 = 16;

/// Some rule asks for a destination that may be in a set by its name: who calls an address that was asked for just now may be faster
/// than whoever reads the answer.
pub const NEEDS_NAMES: u32 = 128;

/// Some rule asks a person, or a default does: who is at the zone's end is a part of the question.
pub const NEEDS_PERSON: u32 = 32;

/// Some rule asks for bridges that lead to guests alone, [`crate::packet::GUESTS`].
pub const NEEDS_GUESTS: u32 = 64;

/// What stands in page 0 of a table of sets.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct SetsHead {
    /// How many pages there are, this one too.
    pub pages: u32,
    /// How many equivalence classes there are. Class 0: in no set.
    pub equivalence_classes: u32,
    /// Equivalence classes of IPv4 addresses.
    pub v4: Tree,
    /// Equivalence classes of IPv6 addresses.
    pub v6: Tree,
}

macro_rules! page_zero {
    ($($(#[doc = $doc:literal])+ $page:ident of $head:ident;)+) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
        #[repr(C, align(8))]
        pub struct $page {
            /// What counts.
            pub head: $head,
            /// Fills the page.
            pub spare: [u32; (PAGE_BYTES - size_of::<$head>()) / 4],
        }

        impl $page {
            /// This page's words, seen as what they are.
            #[must_use]
            pub fn of(page: &Page) -> &Self {
                zerocopy::transmute_ref!(page)
            }

            /// The page as words.
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

/// What a packet gets that no rule matches.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct DefaultPolicy {
    /// A [`crate::packet::Verdict`].
    pub verdict: u8,
    /// 1 if such packets are to be reported.
    pub log: u8,
}

/// What a rule does with the packets that it matches, in 32 bits: the verdict in the lowest eight, above them 1 if its
/// packets are reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome(pub u32);

impl Outcome {
    /// Of a verdict and whether to report.
    #[must_use]
    pub const fn new(verdict: u8, log: bool) -> Self {
        Self(verdict as u32 | (log as u32) << 8)
    }

    /// A [`crate::packet::Verdict`].
    #[must_use]
    pub const fn verdict(self) -> u8 {
        self.0 as u8
    }

    /// The same, where nobody can be asked: what asks blocks.
    #[must_use]
    pub const fn unasked(self) -> Self {
        if self.verdict() == Verdict::Ask as u8 {
            Self(self.0 ^ (Verdict::Ask as u32 ^ Verdict::Block as u32))
        } else {
            self
        }
    }

    /// The same of a rule that asks for a program or a user.
    #[must_use]
    pub const fn asking_who(self) -> Self {
        Self(self.0 | Self::ASKS_WHO)
    }

    /// Whether the rule asks for a program or a user.
    #[must_use]
    pub const fn needs_owner(self) -> bool {
        self.0 & Self::ASKS_WHO != 0
    }

    /// The same of a rule that asks for nothing of where a packet comes from and by which device it goes.
    #[must_use]
    pub const fn of_any_source(self) -> Self {
        Self(self.0 | Self::ANY_SOURCE)
    }

    /// The same of a rule that asks for nothing of where a packet goes.
    #[must_use]
    pub const fn to_any_destination(self) -> Self {
        Self(self.0 | Self::ANY_DESTINATION)
    }

    /// Whether the rule decides about a call before its first packet is there: it asks for nothing that is not known then. A rule
    /// of a release that did not say so does not.
    #[must_use]
    #[inline(always)]
    pub const fn decides_at_connect(self, translated: bool) -> bool {
        self.0 & Self::ANY_SOURCE != 0 && (!translated || self.0 & Self::ANY_DESTINATION != 0)
    }

    const ASKS_WHO: u32 = 1 << 9;
    const ANY_SOURCE: u32 = 1 << 10;
    const ANY_DESTINATION: u32 = 1 << 11;

    /// 1 if such packets are to be reported.
    #[must_use]
    pub const fn log(self) -> u8 {
        (self.0 >> 8) as u8 & 1
    }
}

/// What becomes of packets when the service has ended, killed or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum FailMode {
    /// The rules stay in force.
    #[default]
    Static = 0,
    /// Everything passes, uncounted by rules.
    Open = 1,
    /// Nothing passes.
    Closed = 2,
}

impl FailMode {
    /// The name in rule files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

/// Ports from the first to the last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PortRange {
    /// The lowest port.
    pub first: u16,
    /// The highest port.
    pub last: u16,
}

/// Which of the [`CLASSES`] a packet is in. A version that is not 6 counts as 4: there is no other.
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
