//! Lists that rules subscribe to: a thread looks at what was fetched,
//! and what is good becomes a copy of the service's own.
//!
//! Who fetches is another program, which has no rights and is believed in nothing: see [`crate::foreign_folder`]. Rules
//! are read with the service's own copies alone.
//!
//! Rules that hold here:
//! - A copy stays until a better one is in force: one that is no list, is suddenly empty or next to it, cuts this
//!   machine off from its own network, or makes rules that do not fit, changes nothing and is said.
//! - All of it is read, unpacked and made into tables by this thread. The main loop gets rules that are ready.
//! - What a list may ask of us is bounded: bytes, and how often it is looked at.

mod fetched;
mod reader;

use crate::capabilities;
use crate::foreign_folder::FileState;
use crate::keeper::Keeper;
use crate::troubles::Cause;
use control::{FetchFailure, SubscribedList, TroubleStatus};
use reader::Reader;
use rules::{Rules, Subscription, copy_name};
use std::collections::BTreeMap;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use store::lists::{Wanted, WantedList};

/// Folder in which the program that fetches lists leaves its copies, unless the command line says otherwise.
pub const FOLDER: &str = "/var/lib/gatebell-lists";
/// A copy that is older than its refresh by this is trouble.
const LATE: u64 = 24 * 60 * 60;

/// A list that a set subscribes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// The set's name.
    pub set: String,
    pub list: Subscription,
}

/// The confirmed rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulesInForce {
    pub generation: u32,
    pub name: String,
    pub text: String,
}

/// News that the thread has for the main loop, and waits for an answer to.
pub enum News {
    /// The rules in force, read with a new copy.
    Rules(RulesInForce, Box<Rules>),
    /// A copy of a list that no rules in force ask for.
    Copy,
}

/// Answer of the main loop to news.
pub enum Became {
    /// The news is taken; the value is the generation that is in force with it.
    Taken(Option<u32>),
    /// Other rules are in force by now: it is to be read again.
    Outdated,
    /// The news can't be taken; the value is the reason.
    Refused(String),
}

/// Handle of the thread that follows the lists. Dropped, the thread ends.
pub struct Subscriptions {
    shared: Arc<Shared>,
    waker: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    followed: Vec<Followed>,
    rules: Option<RulesInForce>,
    states: BTreeMap<String, ListState>,
    /// Lists that are to be looked at at once, by their addresses, and whether whatever was fetched is to be taken.
    asked: BTreeMap<String, bool>,
    news: Option<News>,
    answer: Option<Became>,
    ends: bool,
    broken: Option<String>,
}

/// State of a list that a set subscribes to.
#[derive(Clone, Debug, Default)]
struct ListState {
    /// State of the file that was read last, and the moment of that reading.
    read: Option<(FileState, Instant)>,
    /// `true` if somebody asked for the list: the next copy is read at once.
    is_owed: bool,
    /// `true` if the service has a copy; the next field says of when it is, as far as the program that fetched it says.
    has_copy: bool,
    fetched: Option<u64>,
    tried: Option<u64>,
    entries: u64,
    unreadable: u64,
    added: u64,
    removed: u64,
    /// Reason why the last try to fetch the list failed.
    failed: Option<FetchFailure>,
    /// Reason why what was fetched last is not taken.
    refused: Option<String>,
}

impl Subscriptions {
    /// Begins to follow lists; which, [`Self::follow`] says. Without the thread the copies stay as they are.
    pub fn begin(fetched: &Path, rule_file: &Path, keeper: Arc<Keeper>) -> Self {
        let shared = Arc::new(Shared {
            inner: Mutex::default(),
            changed: Condvar::new(),
        });
        let started = UnixStream::pair().and_then(|(waker, wakes)| {
            waker.set_nonblocking(true)?;
            wakes.set_nonblocking(true)?;
            let reader = Reader {
                fetched: fetched.to_owned(),
                rule_file: rule_file.to_owned(),
                keeper,
                waker: wakes,
            };
            let theirs = shared.clone();
            let thread = std::thread::Builder::new()
                .name("lists".to_owned())
                .spawn(move || match capabilities::give_up_all_but_reading() {
                    Ok(()) => reader.run(&theirs),
                    Err(cause) => theirs.lock().broken = Some(broken(&cause)),
                })?;
            Ok((waker, thread))
        });
        if let Err(cause) = &started {
            shared.lock().broken = Some(broken(cause));
        }
        let (waker, thread) = started.ok().unzip();
        Self {
            shared,
            waker,
            thread,
        }
    }

    /// Returns the descriptor that wakes the main loop, which takes the news.
    pub fn waker(&self) -> Option<BorrowedFd<'_>> {
        self.waker.as_ref().map(AsFd::as_fd)
    }

    /// Sets the lists to follow and the rules in force, or `None` if there are none that may be replaced now.
    pub fn follow(&self, followed: Vec<Followed>, rules: Option<RulesInForce>) {
        let mut inner = self.shared.lock();
        let Inner { states, .. } = &mut *inner;
        states.retain(|url, _| followed.iter().any(|one| one.list.url == *url));
        inner.followed = followed;
        inner.rules = rules;
        self.shared.changed.notify_all();
    }

    /// Has the list at this address looked at at once; with `anyway` whatever was fetched is taken that is a list.
    pub fn look_at(&self, url: &str, anyway: bool) {
        self.shared.lock().asked.insert(url.to_owned(), anyway);
        self.shared.changed.notify_all();
    }

    /// Takes the news, which has to be answered.
    pub fn news(&self) -> Option<News> {
        let mut wakes = [0; 16];
        if let Some(mut waker) = self.waker.as_ref() {
            while matches!(waker.read(&mut wakes), Ok(1..)) {}
        }
        self.shared.lock().news.take()
    }

    /// Answers the news.
    pub fn answer(&self, became: Became) {
        self.shared.lock().answer = Some(became);
        self.shared.changed.notify_all();
    }

    /// Returns the addresses (URLs) of the lists of this set.
    pub fn urls(&self, set: &str) -> Vec<String> {
        let inner = self.shared.lock();
        let of_set = inner.followed.iter().filter(|one| one.set == set);
        of_set.map(|one| one.list.url.clone()).collect()
    }

    /// Returns the state of each list.
    pub fn lists(&self) -> Vec<SubscribedList> {
        let inner = self.shared.lock();
        let now = now();
        let lists = inner.followed.iter().map(|followed| {
            let state = inner.states.get(&followed.list.url);
            described(followed, state.unwrap_or(&ListState::default()), now)
        });
        lists.collect()
    }

    /// Returns why no list is taken, or `None` if lists are taken.
    pub fn broken(&self) -> Option<String> {
        self.shared.lock().broken.clone()
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        self.shared.lock().ends = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _broke_down = thread.join();
        }
    }
}

/// Returns the text for the program that fetches: each list once, as often as the most impatient set wants it.
pub fn wanted(followed: &[Followed], asked: &BTreeMap<String, u64>) -> Option<String> {
    let mut lists: BTreeMap<&str, WantedList> = BTreeMap::new();
    for Followed { list, .. } in followed {
        let refresh_seconds = list.refresh.as_secs();
        lists
            .entry(&list.url)
            .and_modify(|one| one.refresh_seconds = one.refresh_seconds.min(refresh_seconds))
            .or_insert_with(|| WantedList {
                url: list.url.clone(),
                name: copy_name(&list.url),
                refresh_seconds,
                asked: asked.get(&list.url).copied().unwrap_or(0),
            });
    }
    if lists.is_empty() {
        return None;
    }
    let lists = lists.into_values().collect();
    serde_json::to_string_pretty(&Wanted { lists })
        .ok()
        .map(|text| format!("{text}\n"))
}

fn described(followed: &Followed, state: &ListState, now: u64) -> SubscribedList {
    let Followed { set, list } = followed;
    let trouble = |cause, detail| TroubleStatus::of(cause, Some(set.clone()), detail);
    let refused = state.refused.clone();
    let refused = refused.map(|why| trouble(Cause::ListNotTaken, why));
    let age = state.fetched.map(|fetched| now.saturating_sub(fetched));
    let is_late = age.is_some_and(|age| age > list.refresh.as_secs().saturating_add(LATE));
    let late = is_late.then(|| {
        let why = state.failed.as_ref().map_or("nobody fetches it", |failed| {
            failed.detail.as_deref().unwrap_or(&failed.kind)
        });
        trouble(Cause::ListOld, format!("its copy is old: {why}"))
    });
    SubscribedList {
        set: set.clone(),
        url: list.shown().to_owned(),
        refresh_seconds: list.refresh.as_secs(),
        fetched: state.fetched.filter(|_| state.has_copy),
        tried: state.tried,
        failed: state.failed.clone(),
        entries: state.entries,
        unreadable: state.unreadable,
        added: state.added,
        removed: state.removed,
        trouble: refused.or(late),
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn broken(cause: &std::io::Error) -> String {
    format!("lists that are fetched are not taken: {cause}; restart the service")
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}
