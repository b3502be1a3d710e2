//! What happened before, as the service kept it, put together for the pages that show it; shared by the thread that asks for it
//! and by the window.
//!
//! - The window never waits for it, and adds nothing up: the thread does.
//! - It is asked for while a page that shows it is in sight, and not at all else; and left alone twenty times as long as it took.
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

/// Rows that are kept here at most.
const MOST: usize = 100_000;
/// The least time between two looks.
const REST: Duration = Duration::from_secs(5);
/// So much longer than it took the history is left alone.
const SHARE: u32 = 20;

/// Who is asked. Errors are sentences that say what to do.
pub trait Service {
    /// What was kept since this time, and of more rows than so many the newest.
    fn history(&mut self, since: u64, most: usize) -> Result<Kept, String>;
    /// Whether anything is kept at all.
    fn is_kept(&mut self) -> Result<bool, String>;
}

/// What a page asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Of which time.
    pub since: Since,
    /// Of what.
    pub filter: Filter,
    /// What rows are put together by; none: not at all.
    pub by: Option<By>,
}

/// What was kept, put together.
#[derive(Clone, Debug, PartialEq)]
pub struct PastSeen {
    /// What was asked for.
    pub wanted: Wanted,
    /// All that was kept of that time.
    pub kept: Arc<Kept>,
    /// The numbers of the rows that the filter lets through, the last one first.
    pub rows: Vec<usize>,
    /// Those put together.
    pub sums: Vec<Sum>,
    /// By program.
    pub talkers: Vec<Talker>,
    /// By time.
    pub bars: Vec<Bar>,
    /// Whether anything is kept at all.
    pub is_kept: bool,
}

impl PastSeen {
    /// The rows that the filter lets through, the last one first.
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

/// What is known of the history, and what is wanted of it.
pub type Past = Followed<State>;

/// What is known now.
#[derive(Debug, Default)]
pub struct State {
    wanted: Option<Wanted>,
    seen: Option<Result<Arc<PastSeen>, String>>,
    read: Option<Read>,
    save: Option<Save>,
    saved: Option<Result<PathBuf, String>>,
}

/// What was read, and how long it is good for.
#[derive(Clone, Debug)]
struct Read {
    since: Since,
    kept: Arc<Kept>,
    is_kept: bool,
    until: Instant,
}

impl State {
    /// What was kept, or why that can't be said; none: it was not asked for yet.
    pub fn seen(&self) -> Option<&Result<Arc<PastSeen>, String>> {
        self.seen.as_ref()
    }

    /// What became of the last file that was to be written.
    pub fn saved(&self) -> Option<&Result<PathBuf, String>> {
        self.saved.as_ref()
    }

    fn rests(&self) -> bool {
        self.wanted.is_none() && self.save.is_none()
    }

    /// Whether what is wanted is not what is shown.
    fn is_behind(&self) -> bool {
        let shown = match &self.seen {
            Some(Ok(seen)) => Some(&seen.wanted),
            _ => None,
        };
        self.wanted.is_some() && self.wanted.as_ref() != shown
    }
}

impl Past {
    /// Notes what a page shows that is in sight; none: there is none.
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

    /// Forgets what became of the last file.
    pub fn dismiss(&self) {
        self.look().saved = None;
    }

    /// Asks the service until the end, and calls `changed` when there is something else to show.
    pub fn follow(&self, service: &mut dyn Service, changed: &dyn Fn()) {
        self.be_followed();
        while self.wait_while(State::rests) {
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

    /// Does what there is to do now. True: there is something else to show.
    pub fn turn(&self, service: &mut dyn Service) -> bool {
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

    /// What was read of this time, if that is new enough; else it is read.
    fn read(&self, service: &mut dyn Service, since: Since) -> Result<Read, String> {
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
impl Service for crate::questions::AtSocket {
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

/// A service for tests.
#[cfg(test)]
#[derive(Debug, Default)]
pub struct Model {
    /// What it has kept.
    pub rows: Vec<HistoryRow>,
    /// It keeps nothing.
    pub keeps_nothing: bool,
    /// What it says to everything instead.
    pub unreachable: Option<String>,
    /// Rows that it can't read.
    pub unread: u64,
    /// How often it was asked.
    pub asked: u32,
}

#[cfg(test)]
impl Service for Model {
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
        let mut service = Model {
            rows: vec![curl(now() - 90), ssh(now() - 30)],
            ..Model::default()
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
        let mut service = Model::default();
        let asked = std::thread::scope(|scope| {
            let asking = scope.spawn(|| {
                past.follow(&mut service, &|| ());
                service.asked
            });
            std::thread::sleep(Duration::from_millis(100));
            let early = past.look().seen().is_some();
            past.want(Some(&wanted("")));
            let end = Instant::now() + Duration::from_secs(60);
            while past.look().seen().is_none() && Instant::now() < end {
                std::thread::yield_now();
            }
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
        let mut service = Model {
            unreachable: Some("gatebelld is not running".to_owned()),
            ..Model::default()
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
        let mut service = Model {
            rows: rows.collect(),
            ..Model::default()
        };
        past.want(Some(&Wanted::default()));
        past.turn(&mut service);
        let shown = seen(&past);
        assert_eq!((shown.rows.len(), shown.kept.left_out), (MOST, 7));
    }
}
