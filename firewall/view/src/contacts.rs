//! Programs that talk for the first time, or for the first time since their file has changed, as the service's history
//! has them: told once each to whoever watches.

use control::{HistoryPage, HistoryRow};
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Interval at which the history is asked. More often would have the driver tell of each connection more often than it
/// does by itself.
pub const EVERY: Duration = Duration::from_secs(5);
/// Largest number of contacts that are remembered as told: the latest.
const MOST: usize = 4096;
/// Seconds after others' row in which an older one may still be written.
const LATE: u64 = 120;

/// First contacts in pages of the history that are asked for one after the other, the last one again and again.
#[derive(Debug)]
pub struct NewContacts {
    /// Time before which nothing is told, in seconds since 1970.
    begun: u64,
    /// Time of the newest record that was read, in seconds since 1970.
    newest: u64,
    /// Row that the next page is to be behind.
    after: u64,
    turn: Option<u64>,
    told: BTreeSet<Told>,
    /// Largest number of contacts in `told`.
    most: usize,
}

/// First contact that was told: time, program, user, and way of being new.
type Told = (u64, Option<String>, Option<u32>, Option<String>);

impl NewContacts {
    /// Begins now: nothing is told that was before.
    #[must_use]
    pub fn from_now_on() -> Self {
        Self::since(now())
    }

    /// Reads what is new, a page at a time as `page` hands them out (since when, and behind which row), and tells of
    /// each. What can't be read, as of a service that has ended or whose disk is slow, is read at the next look.
    /// Returns `false` if nobody hears it any more.
    pub fn look<E>(
        &mut self,
        mut page: impl FnMut(u64, u64) -> Result<HistoryPage, E>,
        mut tell: impl FnMut(HistoryRow) -> bool,
    ) -> bool {
        while let Ok(page) = page(self.asked_since(now()), self.after) {
            let is_more = page.next.is_some();
            if !self.take(page).into_iter().all(&mut tell) {
                return false;
            }
            if !is_more {
                break;
            }
        }
        true
    }

    fn since(begun: u64) -> Self {
        Self {
            begun,
            newest: 0,
            after: 0,
            turn: None,
            told: BTreeSet::new(),
            most: MOST,
        }
    }

    /// Returns the time since which rows are to be read now: what is older than what was read already comes late only.
    /// A record of the time to come, as of a clock that was wrong, says nothing of that.
    fn asked_since(&self, now: u64) -> u64 {
        let read = self.newest.min(now);
        self.begun.max(read.saturating_sub(LATE))
    }

    fn take(&mut self, page: HistoryPage) -> Vec<HistoryRow> {
        // Rows were put together since: their places are others.
        if self
            .turn
            .replace(page.turn)
            .is_some_and(|turn| turn != page.turn)
            && self.after != 0
        {
            self.after = 0;
            return Vec::new();
        }
        self.after = page.next.unwrap_or(self.after);
        let newest = page.rows.iter().map(|row| row.last).max();
        self.newest = self.newest.max(newest.unwrap_or(0));
        let rows = page.rows.into_iter();
        rows.filter(|row| row.contact.is_some() && row.first >= self.begun && self.is_new(row))
            .collect()
    }

    /// Returns whether a contact was not told yet, and remembers it. Of more than are remembered the oldest was, and so
    /// was all that is older.
    fn is_new(&mut self, row: &HistoryRow) -> bool {
        let (program, contact) = (row.program.clone(), row.contact.clone());
        let is_new = self.told.insert((row.first, program, row.user, contact));
        if self.told.len() > self.most
            && let Some((first, ..)) = self.told.pop_first()
        {
            self.begun = self.begun.max(first + 1);
        }
        is_new
    }
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(program: &str, contact: Option<&str>, first: u64) -> HistoryRow {
        HistoryRow {
            program: Some(program.to_owned()),
            contact: contact.map(str::to_owned),
            first,
            ..HistoryRow::default()
        }
    }

    fn page(rows: &[HistoryRow], next: Option<u64>, turn: u64) -> HistoryPage {
        HistoryPage {
            rows: rows.to_vec(),
            next,
            turn,
            ..HistoryPage::default()
        }
    }

    #[test]
    fn a_first_contact_is_told_once_however_often_its_row_is_read() {
        let mut contacts = NewContacts::since(100);
        let (old, curl) = (
            row("/old", Some("first"), 99),
            row("/curl", Some("first"), 100),
        );
        let known = row("/known", None, 101);
        let first = page(&[old, curl.clone(), known], Some(3), 1);
        assert_eq!(contacts.take(first), std::slice::from_ref(&curl));
        assert_eq!(contacts.after, 3);
        let changed = row("/curl", Some("changed"), 102);
        let last = page(std::slice::from_ref(&changed), None, 1);
        assert_eq!(contacts.take(last.clone()), std::slice::from_ref(&changed));
        assert_eq!(contacts.take(last), []);
        assert_eq!(contacts.after, 3, "the last page is asked for again");
        // What was put together is read from the beginning.
        let late = row("/late", Some("first"), 103);
        assert_eq!(
            contacts.take(page(std::slice::from_ref(&late), None, 2)),
            []
        );
        assert_eq!(contacts.after, 0);
        let all = page(&[curl, changed, late.clone()], None, 2);
        assert_eq!(contacts.take(all), [late]);
    }

    #[test]
    fn however_many_were_told_the_next_one_is_told_and_none_twice() {
        let mut contacts = NewContacts::since(100);
        contacts.most = 3;
        let all: Vec<_> = (0..9)
            .map(|n| row(&format!("/{n}"), Some("first"), 100 + n))
            .collect();
        for told in 0..all.len() {
            let page = page(&all[..=told], None, 1);
            assert_eq!(contacts.take(page), std::slice::from_ref(&all[told]));
        }
        assert_eq!(contacts.take(page(&all, None, 1)), []);
        assert!(contacts.told.len() <= 3);
    }

    #[test]
    fn what_was_read_is_not_read_again_but_for_what_comes_late() {
        let mut contacts = NewContacts::since(1000);
        assert_eq!(contacts.asked_since(1000), 1000);
        let read = HistoryRow {
            last: 9000,
            ..row("/known", None, 1500)
        };
        contacts.take(page(&[read], None, 1));
        assert_eq!(contacts.asked_since(9001), 9000 - LATE);
        assert_eq!(contacts.asked_since(5000), 5000 - LATE, "the clock was set");
        let late = row("/late", Some("first"), 8000);
        let told = contacts.take(page(std::slice::from_ref(&late), None, 1));
        assert_eq!(told, [late]);
    }
}
