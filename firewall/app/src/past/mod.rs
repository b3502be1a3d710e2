//! History as the service kept it, put together for the pages that show it; shared by the thread that asks for it and
//! by the window.
//!
//! - The window never waits for it, and adds nothing up: the thread does.
//! - It is asked for while a page that shows it is in sight, and not at all else;
//!   and left alone twenty times as long as it took.
//! - Of more than there is room for, the newest is shown, and that there is more is said.

mod files;
#[cfg(test)]
pub mod talkers;
#[cfg(not(test))]
mod talkers;
mod times;

pub use files::{Content, Entries, Format, Save};
pub use talkers::{Contact, Endpoint, Talker, endpoint_words, packet};
pub use times::{Bar, Since};

use crate::followed::Followed;
use control::{HistoryRow, Kept};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use view::filter::Filter;
use view::history::{self, By, Sum};

/// Largest number of rows that are kept here.
const MOST: usize = 100_000;
/// Shortest time between two looks.
const REST: Duration = Duration::from_secs(5);
/// Factor of the time that a look took, for which the history is left alone after it.
const SHARE: u32 = 20;

/// Service that has the history. Errors are sentences that say what to do.
pub trait HistoryService {
    /// Returns the history since this time, and of more than `most` rows the newest.
    fn history(&mut self, since: u64, most: usize) -> Result<Kept, String>;
    /// Returns whether a history is kept at all.
    fn is_kept(&mut self) -> Result<bool, String>;
}

/// Request of a page for a part of the history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Period that is shown.
    pub since: Since,
    /// Filter of the rows.
    pub filter: Filter,
    /// Key by which rows are put together, or `None` if they are not.
    pub by: Option<By>,
}

/// History, put together.
#[derive(Clone, Debug, PartialEq)]
pub struct PastSeen {
    /// Request that this answers.
    pub wanted: Wanted,
    /// History of the whole period.
    pub kept: Arc<Kept>,
    /// Places of the rows that the filter lets through, the last one first.
    pub rows: Vec<usize>,
    /// Sums of these rows by the key.
    pub sums: Vec<Sum>,
    /// Programs, with what they talked with.
    pub talkers: Vec<Talker>,
    /// Bars of a chart, by time.
    pub bars: Vec<Bar>,
    /// `true` if a history is kept at all.
    pub is_kept: bool,
}

impl PastSeen {
    /// Returns the rows that the filter lets through, the last one first.
    pub fn shown(&self) -> impl Iterator<Item = &HistoryRow> {
        self.rows.iter().filter_map(|row| self.kept.rows.get(*row))
    }

    fn of(wanted: &Wanted, kept: Arc<Kept>, is_kept: bool, now: u64) -> Self {
        let mut rows: Vec<_> = (0..kept.rows.len())
            .filter(|at| passes(&wanted.filter, &kept.rows[*at]))
            .collect();
        rows.sort_by_key(|at| std::cmp::Reverse((kept.rows[*at].last, kept.rows[*at].first)));
        let shown = || rows.iter().map(|at| &kept.rows[*at]);
        let sums = wanted.by.map(|by| history::sums(shown(), by));
        Self {
            sums: sums.unwrap_or_default(),
            talkers: talkers::talkers(shown(), wanted.since, now),
            bars: times::bars(shown(), wanted.since, now),
            wanted: wanted.clone(),
            rows,
            kept,
            is_kept,
        }
    }
}

fn passes(filter: &Filter, row: &HistoryRow) -> bool {
    filter.row(row) && filter.words_are_in(|| history::cells(row).into())
}

/// History as it is known, and the request for it.
pub type Past = Followed<PastState>;

/// State of the history now.
#[derive(Debug, Default)]
pub struct PastState {
    wanted: Option<Wanted>,
    seen: Option<Result<Arc<PastSeen>, String>>,
    read: Option<Read>,
    save: Option<Save>,
    saved: Option<Result<PathBuf, String>>,
}

/// History that was read, and the time until which it is good enough.
#[derive(Clone, Debug)]
struct Read {
    since: Since,
    kept: Arc<Kept>,
    is_kept: bool,
    until: Instant,
}

impl PastState {
    /// Returns the history, or the reason for which it can't be told; `None` if it was not asked for yet.
    pub fn seen(&self) -> Option<&Result<Arc<PastSeen>, String>> {
        self.seen.as_ref()
    }

    /// Returns the outcome of the last file that was to be written.
    pub fn saved(&self) -> Option<&Result<PathBuf, String>> {
        self.saved.as_ref()
    }

    fn rests(&self) -> bool {
        self.wanted.is_none() && self.save.is_none()
    }

    /// Returns whether what is wanted is not what is shown.
    fn is_behind(&self) -> bool {
        let shown = match &self.seen {
            Some(Ok(seen)) => Some(&seen.wanted),
            _ => None,
        };
        self.wanted.is_some() && self.wanted.as_ref() != shown
    }
}

impl Past {
    /// Notes what a page in sight shows, or `None` if there is no such page.
    pub fn want(&self, wanted: Option<&Wanted>) {
        self.change(|state| {
            let is_news = state.wanted.as_ref() != wanted;
            if is_news {
                state.wanted = wanted.cloned();
            }
            is_news
        });
    }

    /// Has what is shown written into a file.
    pub fn save(&self, save: Save) {
        self.change(|state| {
            (state.save, state.saved) = (Some(save), None);
            true
        });
    }

    /// Forgets the outcome of the last file.
    pub fn dismiss(&self) {
        self.look().saved = None;
    }

    /// Asks the service until the end, and calls `changed` when there is something else to show.
    pub fn follow(&self, service: &mut dyn HistoryService, changed: &dyn Fn()) {
        self.be_followed();
        while self.wait_while(PastState::rests) {
            if self.turn(service) {
                changed();
            }
            let state = self.look();
            let until = state.read.as_ref().map(|read| read.until);
            let rest = until.map_or(REST, |until| {
                until.saturating_duration_since(Instant::now())
            });
            let failed = matches!(state.seen, Some(Err(_)));
            let before = state.wanted.clone();
            drop(state);
            self.rest_while(rest, |state| {
                let other = state.wanted != before || (!failed && state.is_behind());
                !other && state.save.is_none()
            });
        }
    }

    /// Does what there is to do now. Returns `true` if there is something else to show.
    pub fn turn(&self, service: &mut dyn HistoryService) -> bool {
        let save = self.look().save.take();
        let written = save.map(|save| {
            let saved = files::write(&save);
            self.look().saved = Some(saved);
        });
        let Some(wanted) = self.look().wanted.clone() else {
            return written.is_some();
        };
        let seen = self.read(service, wanted.since).map(|read| {
            let Read { kept, is_kept, .. } = read;
            Arc::new(PastSeen::of(&wanted, kept, is_kept, now()))
        });
        let mut state = self.look();
        let news = state.seen.as_ref() != Some(&seen);
        state.seen = Some(seen);
        news || written.is_some()
    }

    /// Returns the history of this period as it was read, if that is new enough; else reads it.
    fn read(&self, service: &mut dyn HistoryService, since: Since) -> Result<Read, String> {
        let begun = Instant::now();
        let known = self.look().read.clone();
        if let Some(read) = known.filter(|read| read.since == since && begun < read.until) {
            return Ok(read);
        }
        self.look().read = None;
        let kept = service.history(since.begin(now()), MOST)?;
        let is_kept = !kept.rows.is_empty() || service.is_kept()?;
        let read = Read {
            since,
            kept: Arc::new(kept),
            is_kept,
            until: Instant::now() + (begun.elapsed() * SHARE).max(REST),
        };
        self.look().read = Some(read.clone());
        Ok(read)
    }
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}

#[cfg(target_os = "linux")]
impl HistoryService for crate::questions::AtSocket {
    fn history(&mut self, since: u64, most: usize) -> Result<Kept, String> {
        self.ask(|client| client.latest_history(since, most, None))
            .map_err(|failed| crate::failed::words(&failed))
    }

    fn is_kept(&mut self) -> Result<bool, String> {
        let status = self.ask(control::Client::status);
        let status = status.map_err(|failed| crate::failed::words(&failed))?;
        Ok(status.history.is_some())
    }
}

/// Service for tests.
#[cfg(test)]
#[derive(Debug, Default)]
pub struct PastModel {
    /// Rows of its history.
    pub rows: Vec<HistoryRow>,
    /// `true` if it keeps no history.
    pub keeps_nothing: bool,
    /// Error that it answers everything with, if it can't be asked.
    pub unreachable: Option<String>,
    /// Number of rows that it can't read.
    pub unread: u64,
    /// Number of times that it was asked.
    pub asked: u32,
}

#[cfg(test)]
impl HistoryService for PastModel {
    fn history(&mut self, since: u64, most: usize) -> Result<Kept, String> {
        self.asked += 1;
        if let Some(why) = &self.unreachable {
            return Err(why.clone());
        }
        let rows = self.rows.iter().filter(|row| row.last >= since);
        let mut rows: Vec<_> = rows.cloned().collect();
        let left_out = rows.len().saturating_sub(most);
        rows.drain(..left_out);
        Ok(Kept {
            rows,
            left_out,
            unread: self.unread,
        })
    }

    fn is_kept(&mut self) -> Result<bool, String> {
        Ok(!self.keeps_nothing)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use talkers::tests::{curl, ssh};

    fn seen(past: &Past) -> Arc<PastSeen> {
        past.look().seen().unwrap().clone().unwrap()
    }

    fn wanted(filter: &str) -> Wanted {
        Wanted {
            filter: Filter::parse(filter).unwrap(),
            by: Some(By::Program),
            ..Wanted::default()
        }
    }

    #[test]
    fn a_filter_that_is_typed_is_answered_from_what_was_read_and_the_last_row_comes_first() {
        let past = Past::default();
        let mut service = PastModel {
            rows: vec![curl(now() - 90), ssh(now() - 30)],
            ..PastModel::default()
        };
        past.want(Some(&wanted("")));
        assert!(past.turn(&mut service));
        let shown = seen(&past);
        let programs: Vec<_> = shown.shown().map(history::program).collect();
        assert_eq!(programs, ["/usr/sbin/sshd", "/usr/bin/curl"]);
        assert_eq!((shown.talkers.len(), shown.sums.len()), (2, 2));
        past.want(Some(&wanted("program:curl")));
        assert!(past.turn(&mut service));
        assert_eq!(seen(&past).rows.len(), 1);
        past.want(Some(&wanted("example.org")));
        assert!(past.turn(&mut service));
        assert_eq!(seen(&past).rows.len(), 1);
        assert_eq!(service.asked, 1, "a filter alone is nothing to ask for");
    }

    #[test]
    fn nobody_is_asked_for_what_was_while_no_page_is_in_sight_that_shows_it() {
        let past = Past::default();
        let mut service = PastModel::default();
        let (tell, changed) = std::sync::mpsc::channel();
        let asked = std::thread::scope(|scope| {
            let past = &past;
            let asking = scope.spawn(move || {
                past.follow(&mut service, &|| {
                    let _gone = tell.send(());
                });
                service.asked
            });
            std::thread::sleep(Duration::from_millis(100));
            let early = past.look().seen().is_some();
            past.want(Some(&wanted("")));
            let _asked = changed.recv_timeout(Duration::from_secs(60));
            past.want(None);
            std::thread::sleep(Duration::from_millis(300));
            past.end();
            (early, asking.join().unwrap())
        });
        assert_eq!(asked, (false, 1));
    }

    #[test]
    fn who_can_not_be_asked_for_what_was_is_asked_again_and_shown_when_it_is_back() {
        let past = Past::default();
        let mut service = PastModel {
            unreachable: Some("gatebelld is not running".to_owned()),
            ..PastModel::default()
        };
        past.want(Some(&wanted("")));
        assert!(past.turn(&mut service) && !past.turn(&mut service));
        assert!(past.look().seen().unwrap().is_err());
        service.unreachable = None;
        assert!(past.turn(&mut service));
        assert!(seen(&past).is_kept);
    }

    #[test]
    fn of_more_than_there_is_room_for_the_newest_is_shown_and_what_is_left_out_is_counted() {
        let past = Past::default();
        let rows = (0..MOST as u64 + 7).map(|n| curl(now() - 1_000 + n / 1_000));
        let mut service = PastModel {
            rows: rows.collect(),
            ..PastModel::default()
        };
        past.want(Some(&Wanted::default()));
        past.turn(&mut service);
        let shown = seen(&past);
        assert_eq!((shown.rows.len(), shown.kept.left_out), (MOST, 7));
    }
}
