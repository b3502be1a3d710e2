//! One generation of the rules, wherever it lives: in kernel maps, in slices.

use firewall_abi::members::Member;
use firewall_abi::rules::{Head, HeadPage, NO_SETS, PAGE_NUMBERS, Page};

/// A row of pages.
pub trait Pages {
    /// The page with this number; `None` beyond the last.
    fn page(&self, number: u32) -> Option<&Page>;
}

/// One generation of the rules, with the sets that it asks for.
///
/// A value of it stands for one generation: everything that is read through it must be of the same one (I8).
pub trait Tables {
    /// Type of the tables' pages.
    type Pages: Pages;

    /// The rules; `None` if there are none.
    fn rules(&self) -> Option<&Self::Pages>;

    /// The table of sets at this index.
    fn sets(&self, sets_index: u32) -> Option<&Self::Pages>;

    /// The class that an address of this version has in the table of sets at this index by what it has joined since the
    /// table was made, as long as that lasts.
    #[inline(always)]
    fn joined(&self, _sets_index: u32, _ip_version: u8, _address: &[u8; 16]) -> Option<u32> {
        None
    }

    /// Runs a loop of so many steps at most, until one is the last. A kernel may do it:
    /// its verifier then follows one step and not each.
    #[inline(always)]
    fn run_loop<W: LoopBody>(&self, max_steps: u32, body: &mut W) {
        let _last = (0..max_steps).find(|_| body.step());
    }
}

/// The body of a loop that a kernel may run.
pub trait LoopBody {
    /// Performs one step of the loop, and returns whether it was the last.
    fn step(&mut self) -> bool;
}

/// Returns the head of a generation of the rules, which stands before its other pages.
#[must_use]
#[inline(always)]
pub fn head<T: Tables>(tables: &T) -> Option<&Head> {
    Some(&HeadPage::of(tables.rules()?.page(0)?).head)
}

/// Pages in user space.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a>(pub &'a [Page]);

impl Pages for Row<'_> {
    fn page(&self, number: u32) -> Option<&Page> {
        self.0.get(usize::try_from(number).ok()?)
    }
}

/// Tables in user space: a generation, and the only table of sets that it can ask.
#[derive(Clone, Copy, Debug)]
pub struct Slices<'a> {
    /// The generation's pages.
    pub rules: Row<'a>,
    /// Pages of the sets; empty if the generation asks for none.
    pub sets: Row<'a>,
}

impl<'a> Tables for Slices<'a> {
    type Pages = Row<'a>;

    fn rules(&self) -> Option<&Row<'a>> {
        Some(&self.rules)
    }

    fn sets(&self, sets_index: u32) -> Option<&Row<'a>> {
        (sets_index != NO_SETS).then_some(&self.sets)
    }
}

/// Tables in user space, with the members that have joined sets since.
#[derive(Clone, Copy, Debug)]
pub struct WithMembers<'a, F> {
    /// The tables.
    pub tables: Slices<'a>,
    /// Function that returns what an address has joined.
    pub member: F,
    /// Time now, in nanoseconds of the clock by which memberships end.
    pub now_ns: u64,
}

impl<'a, F: Fn(&[u8; 16]) -> Option<Member>> Tables for WithMembers<'a, F> {
    type Pages = Row<'a>;

    fn rules(&self) -> Option<&Row<'a>> {
        self.tables.rules()
    }

    fn sets(&self, sets_index: u32) -> Option<&Row<'a>> {
        self.tables.sets(sets_index)
    }

    fn joined(&self, sets_index: u32, ip_version: u8, address: &[u8; 16]) -> Option<u32> {
        (self.member)(address)?.class(sets_index, ip_version, self.now_ns)
    }
}

/// The 32-bit number at `index` of those that start at page `start`.
#[inline(always)]
pub(crate) fn number<P: Pages>(pages: &P, start: u32, index: u32) -> Option<u32> {
    const IN_A_PAGE: u32 = PAGE_NUMBERS as u32;
    let page = pages.page(start.wrapping_add(index / IN_A_PAGE))?;
    let numbers: &[u32; PAGE_NUMBERS] = zerocopy::transmute_ref!(page);
    // In 64 bits: Linux 6.1's verifier loses a bound that is made in 32.
    let within = u64::from(index) & (PAGE_NUMBERS as u64 - 1);
    Some(numbers[within as usize])
}
