//! What the window keeps, bounded, and what of it the filter lets through.

use channel::Account;
use std::collections::VecDeque;
use view::entry::{Entry, Update};
use view::filter::Filter;

/// Entries that are kept.
const KEPT: usize = 100_000;
/// The oldest go this many at a time, so that a table somebody reads does not creep under the eyes.
const DROPPED_AT_ONCE: usize = 10_000;

/// The entries. Each has a number that it keeps, so that a selection stays on its row.
#[derive(Debug, Default)]
pub struct Rows {
    entries: VecDeque<Entry>,
    /// The number of the first entry that is still here.
    first: u64,
    filter: Filter,
    /// The numbers of the entries that the filter lets through, as far as it has looked.
    passed: VecDeque<u64>,
    /// The number of the entry that the filter looks at next.
    next: u64,
    /// Entries from this number on are kept and not shown.
    paused: Option<u64>,
    account: Option<Account>,
    ended: Option<String>,
}

impl Rows {
    /// Takes in what the reader has read. True: that changes something.
    pub fn take(&mut self, update: Update) -> bool {
        match update {
            Update::Entry(entry) => self.push(entry),
            Update::Account(account) => {
                // Who has books is read, also if it was not before.
                let back = self.ended.take().is_some();
                return self.account.replace(account) != Some(account) || back;
            }
            Update::Ended(why) => return self.end(&why),
        }
        true
    }

    /// Nothing comes now. True: that was not known, or not why.
    pub fn end(&mut self, why: &str) -> bool {
        let known = self.ended.as_deref() == Some(why);
        self.ended = Some(why.to_owned());
        !known
    }

    /// Shows only what this lets through.
    pub fn filter(&mut self, filter: Filter) {
        self.filter = filter;
        self.passed.clear();
        self.next = self.first;
    }

    /// Has the filter look at so many further entries at most; whether it has more to look at.
    pub fn look_through(&mut self, at_most: usize) -> bool {
        let end = self.end_number();
        if self.filter.is_empty() {
            return false;
        }
        for number in (self.next..end).take(at_most) {
            if self
                .numbered(number)
                .is_some_and(|entry| self.passes(entry))
            {
                self.passed.push_back(number);
            }
            self.next = number + 1;
        }
        self.next < end
    }

    /// Whether nothing was read yet.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Has what comes from now on kept and not shown, or all of it shown again.
    pub fn pause(&mut self, paused: bool) {
        self.paused = paused.then(|| self.end_number());
    }

    /// How many entries the table has.
    pub fn shown(&self) -> usize {
        let end = self.paused.unwrap_or(u64::MAX);
        if self.filter.is_empty() {
            let shown = end.min(self.end_number()).saturating_sub(self.first);
            usize::try_from(shown).unwrap_or(usize::MAX)
        } else {
            self.passed.partition_point(|number| *number < end)
        }
    }

    /// Those in the table, the oldest first.
    pub fn all_shown(&self) -> Vec<Entry> {
        let numbers = 0..self.shown();
        let entries = numbers.filter_map(|n| self.nth_shown(n));
        entries.map(|(_, entry)| entry.clone()).collect()
    }

    /// The number of the entry that comes next.
    fn end_number(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// One of them, with its number.
    pub fn nth_shown(&self, n: usize) -> Option<(u64, &Entry)> {
        let number = if self.filter.is_empty() {
            self.first + n as u64
        } else {
            self.passed.get(n).copied()?
        };
        self.numbered(number).map(|entry| (number, entry))
    }

    /// The place in the table of the entry with this number.
    pub fn place_of(&self, number: u64) -> Option<usize> {
        if self.filter.is_empty() {
            let place = number.checked_sub(self.first)?;
            let place = usize::try_from(place).ok();
            return place.filter(|place| *place < self.shown());
        }
        let place = self.passed.binary_search(&number).ok();
        place.filter(|place| *place < self.shown())
    }

    /// The entry with this number, if it is still here.
    pub fn numbered(&self, number: u64) -> Option<&Entry> {
        let place = number.checked_sub(self.first)?;
        self.entries.get(usize::try_from(place).ok()?)
    }

    /// In words, beside the filter.
    pub fn shown_of_all(&self) -> String {
        let all = self.entries.len();
        let dropped = if self.first > 0 {
            format!(", {} older ones dropped", self.first)
        } else {
            String::new()
        };
        let since = self.paused.map(|paused| self.end_number() - paused);
        let paused =
            since.map_or_else(String::new, |since| format!("; paused, {since} more since"));
        if self.filter.is_empty() {
            format!("{all} rows{dropped}{paused}")
        } else {
            format!("{} of {all} rows{dropped}{paused}", self.shown())
        }
    }

    /// The counters of both sides, as the reader read them last.
    pub fn account(&self) -> Option<Account> {
        self.account
    }

    /// Why nothing comes now.
    pub fn ended(&self) -> Option<&str> {
        self.ended.as_deref()
    }

    fn push(&mut self, entry: Entry) {
        self.entries.push_back(entry);
        if self.entries.len() > KEPT {
            self.entries.drain(..DROPPED_AT_ONCE);
            self.first += DROPPED_AT_ONCE as u64;
            self.next = self.next.max(self.first);
            while self
                .passed
                .front()
                .is_some_and(|number| *number < self.first)
            {
                self.passed.pop_front();
            }
        }
    }

    fn passes(&self, entry: &Entry) -> bool {
        self.filter.shows(&entry.what) && self.filter.words_are_in(|| entry.cells().into())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use channel::Lost;
    use channel_abi::Cause;
    use std::time::UNIX_EPOCH;
    use view::entry::What;

    fn lost(count: u64) -> Update {
        let lost = Lost {
            processor: 0,
            cause: Cause::NoRoom,
            count,
        };
        Update::Entry(Entry::lost(UNIX_EPOCH, lost))
    }

    fn count(entry: &Entry) -> u64 {
        match &entry.what {
            What::Lost(lost) => lost.count,
            _ => 0,
        }
    }

    #[test]
    fn memory_is_bounded_and_a_selection_stays_on_its_row() {
        let mut rows = Rows::default();
        (0..KEPT as u64 + 1).for_each(|n| assert!(rows.take(lost(n))));
        assert_eq!(rows.shown(), KEPT + 1 - DROPPED_AT_ONCE);
        assert_eq!(rows.numbered(0), None, "dropped");
        assert_eq!(rows.numbered(50_000).map(count), Some(50_000));
        assert_eq!(
            rows.nth_shown(0)
                .map(|(number, entry)| (number, count(entry))),
            Some((10_000, 10_000))
        );
    }

    #[test]
    fn a_filter_looks_a_little_at_a_time_and_then_at_what_comes() {
        let mut rows = Rows::default();
        (0..1_000).for_each(|n| assert!(rows.take(lost(n))));
        rows.filter(Filter::parse("'77 Records'").unwrap());
        assert!(rows.look_through(100), "there is more to look at");
        assert!(!rows.look_through(10_000));
        assert_eq!(rows.shown(), 10, "77, 177, … 977");
        rows.take(lost(5077));
        assert!(!rows.look_through(10_000));
        assert_eq!(
            rows.nth_shown(10).map(|(_, entry)| count(entry)),
            Some(5077)
        );
        rows.filter(Filter::default());
        assert_eq!(rows.shown(), 1_001);
    }
}
