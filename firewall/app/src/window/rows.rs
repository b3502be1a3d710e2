//! Rows that the window keeps of what it was told.

use channel::Account;
use view::entry::Update;
use view::kept;
use view::text;

/// Entries, counters, and whether more will come.
#[derive(Debug, Default)]
pub struct Rows {
    /// Entries, and the part of them that is shown.
    pub kept: kept::Rows,
    account: Option<Account>,
    ended: Option<String>,
}

impl Rows {
    /// Takes in what the reader has read. Returns `true` if that changes something.
    pub fn take(&mut self, update: Update) -> bool {
        match update {
            Update::Entry(entry) => self.kept.push(&entry),
            Update::Account(account) => {
                // Who has books is read, also if it was not before.
                let back = self.ended.take().is_some();
                return self.account.replace(account) != Some(account) || back;
            }
            Update::Ended(why) => return self.end(&why),
        }
        true
    }

    /// Notes that nothing comes now. Returns `true` if that was not known, or not why.
    pub fn end(&mut self, why: &str) -> bool {
        let known = self.ended.as_deref() == Some(why);
        self.ended = Some(why.to_owned());
        !known
    }

    /// Returns whether no entry is kept.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Returns the numbers of entries, in words.
    pub fn counts(&self) -> String {
        let kept::Counts {
            all,
            shown,
            dropped,
            since_pause,
        } = self.kept.shown_of_all();
        let counts = match shown {
            None => text!("live-counts", all = all),
            Some(shown) => text!("live-counts-shown", shown = shown, all = all),
        };
        let counts = match dropped {
            0 => counts,
            dropped => text!("live-dropped", counts = counts, dropped = dropped),
        };
        match since_pause {
            None => counts,
            Some(since) => text!("live-paused", counts = counts, since = since),
        }
    }

    /// Returns the counters of both sides, as the reader read them last.
    pub fn account(&self) -> Option<Account> {
        self.account
    }

    /// Returns the reason for which nothing comes now.
    pub fn ended(&self) -> Option<&str> {
        self.ended.as_deref()
    }
}
