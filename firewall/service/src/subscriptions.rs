//! Lists that rules subscribe to: a thread looks at what was fetched, and what is good becomes a copy of the service's own.
//!
//! Who fetches is another program, which has no rights and is believed in nothing: see [`crate::foreign_folder`]. Rules are read with the
//! service's own copies alone.
//!
//! Rules that hold here:
//! - A copy stays until a better one is in force: one that is no list, is suddenly empty or next to it, cuts this machine off from its
//!   own network, or makes rules that do not fit, changes nothing and is said.
//! - All of it is read, unpacked and made into tables by this thread. The main loop gets rules that are ready.
//! - What a list may ask of us is bounded: bytes, and how often it is looked at.

use crate::foreign_folder::{FileState, ForeignFolder};
use crate::keeper::{Keeper, KeptLists};
use control::SubscribedList;
use rules::{
    Finding, Joined, ListContent, OwnNetwork, Resolver, Rules, SetFile, Subscription, copy_name,
    own_network, unpacked_list,
};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use store::lists::{COPY, CopyHead, LONGEST_HEAD, TRIED, Tried, Wanted, WantedList};
use tracing::info;

/// Where who fetches leaves its copies, unless the command line says otherwise.
pub const FOLDER: &str = "/var/lib/gatebell-lists";
/// How often it is looked whether something was fetched.
const EVERY: Duration = Duration::from_secs(5);
/// How often at most one list is read, unless somebody asks.
const READ_AT_MOST: Duration = Duration::from_secs(60);
/// A list with as many entries that has less than this part of them at once has lost too many.
const MANY: usize = 20;
const LEFT_PART: usize = 10;
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

/// What the thread has for the main loop, and waits for an answer to.
pub enum News {
    /// The rules in force, read with a new copy.
    Rules(RulesInForce, Box<Rules>),
    /// A copy of a list that no rules in force ask for.
    Copy,
}

/// What has become of that.
pub enum Became {
    /// It is taken; the generation that is in force with it.
    Taken(Option<u32>),
    /// Other rules are in force by now: it is to be read again.
    Outdated,
    /// It can't be taken; why.
    Refused(String),
}

/// Who follows the lists. Dropped, the thread ends.
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

/// What is known of a list.
#[derive(Clone, Debug, Default)]
struct ListState {
    /// What was read last, and when.
    read: Option<(FileState, Instant)>,
    /// Somebody asked for it: what comes next is read at once.
    is_owed: bool,
    /// Whether the service has a copy, and of when it is, as far as who fetched it says.
    has_copy: bool,
    fetched: Option<u64>,
    tried: Option<u64>,
    entries: u64,
    unreadable: u64,
    added: u64,
    removed: u64,
    /// Why the last try to fetch it failed.
    failed: Option<String>,
    /// Why what was fetched last is not taken.
    refused: Option<String>,
}

/// What the thread works with.
struct Reader {
    /// Of who fetches.
    fetched: PathBuf,
    rule_file: PathBuf,
    keeper: Arc<Keeper>,
    waker: UnixStream,
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
                .spawn(move || reader.run(&theirs))?;
            Ok((waker, thread))
        });
        if let Err(cause) = &started {
            let said =
                format!("lists that are fetched are not taken: {cause}; restart the service");
            shared.lock().broken = Some(said);
        }
        let (waker, thread) = started.ok().unzip();
        Self {
            shared,
            waker,
            thread,
        }
    }

    /// What wakes the main loop, which takes the news.
    pub fn waker(&self) -> Option<BorrowedFd<'_>> {
        self.waker.as_ref().map(AsFd::as_fd)
    }

    /// From now on these are the lists, and these the rules in force; none: none that may be replaced now.
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

    /// What is new. It has to be answered.
    pub fn news(&self) -> Option<News> {
        let mut wakes = [0; 16];
        if let Some(mut waker) = self.waker.as_ref() {
            while matches!(waker.read(&mut wakes), Ok(1..)) {}
        }
        self.shared.lock().news.take()
    }

    /// What has become of the news.
    pub fn answer(&self, became: Became) {
        self.shared.lock().answer = Some(became);
        self.shared.changed.notify_all();
    }

    /// Where the lists of this set are.
    pub fn urls(&self, set: &str) -> Vec<String> {
        let inner = self.shared.lock();
        let of_set = inner.followed.iter().filter(|one| one.set == set);
        of_set.map(|one| one.list.url.clone()).collect()
    }

    /// How each list is.
    pub fn lists(&self) -> Vec<SubscribedList> {
        let inner = self.shared.lock();
        let now = now();
        let lists = inner.followed.iter().map(|followed| {
            let state = inner.states.get(&followed.list.url);
            described(followed, state.unwrap_or(&ListState::default()), now)
        });
        lists.collect()
    }

    /// What is wrong with the lists.
    pub fn troubles(&self) -> Vec<String> {
        let broken = self.shared.lock().broken.clone();
        let lists = self.lists();
        let troubles = lists.into_iter().filter_map(|list| list.trouble);
        broken.into_iter().chain(troubles).collect()
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

/// What is to be fetched, as who fetches reads it: each list once, as often as the most impatient set wants it.
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
    let shown = list.shown();
    let refused = state.refused.as_ref().map(|why| {
        let stays = if state.has_copy {
            "the last good one stays"
        } else {
            "there is no other"
        };
        format!(
            "the list of the set `{set}` that was fetched from {shown} is not taken: {why}; {stays}, until another one comes or \
             `gatebell set refresh {set} --take` takes it as it is"
        )
    });
    let age = state.fetched.map(|fetched| now.saturating_sub(fetched));
    let is_late = age.is_some_and(|age| age > list.refresh.as_secs().saturating_add(LATE));
    let late = is_late.then(|| {
        let why = state
            .failed
            .as_deref()
            .unwrap_or("nobody fetches it: `systemctl status gatebell-lists` says why");
        format!(
            "the list of the set `{set}` from {shown} is old, and the last good one stays: {why}"
        )
    });
    SubscribedList {
        set: set.clone(),
        url: shown.to_owned(),
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

/// A copy that may be taken.
struct Fetched {
    head: CopyHead,
    text: Vec<u8>,
    content: ListContent,
}

impl Reader {
    fn run(self, shared: &Shared) {
        loop {
            let mut inner = shared.lock();
            if inner.asked.is_empty() && !inner.ends {
                inner = if inner.followed.is_empty() {
                    shared
                        .changed
                        .wait(inner)
                        .unwrap_or_else(PoisonError::into_inner)
                } else {
                    let waited = shared.changed.wait_timeout(inner, EVERY);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                };
            }
            if inner.ends {
                return;
            }
            let followed: BTreeSet<_> = inner
                .followed
                .iter()
                .map(|followed| followed.list.url.clone())
                .collect();
            let asked = std::mem::take(&mut inner.asked);
            drop(inner);
            for url in followed {
                self.look(shared, &url, asked.get(&url).copied());
            }
        }
    }

    /// Looks whether something was fetched for this list, and takes it if it is good.
    fn look(&self, shared: &Shared, url: &str, asked: Option<bool>) {
        let mut state = shared.lock().states.get(url).cloned();
        let state = state.get_or_insert_with(|| self.first_state(url));
        let looked = ForeignFolder::open(&self.fetched).and_then(|folder| match folder {
            Some(folder) => self.look_into(&folder, shared, url, state, asked),
            None => Ok(()),
        });
        state.refused = match looked {
            Ok(()) => None,
            Err(why) => Some(said(&why)),
        };
        let mut inner = shared.lock();
        if inner.followed.iter().any(|one| one.list.url == url) {
            inner.states.insert(url.to_owned(), state.clone());
        }
    }

    /// What is known of a list when it is followed first: what the copy of an earlier service says.
    fn first_state(&self, url: &str) -> ListState {
        let content = self.own_copy(url).map(|(_, content)| content);
        ListState {
            has_copy: content.is_some(),
            entries: content.as_ref().map_or(0, |one| one.entries() as u64),
            unreadable: content.as_ref().map_or(0, |one| one.unreadable as u64),
            ..ListState::default()
        }
    }

    /// The copy that rules are read with.
    fn own_copy(&self, url: &str) -> Option<(Vec<u8>, ListContent)> {
        let file = self.kept().fetched(url).ok()??;
        let content = ListContent::read(&file).ok()?;
        Some((file.bytes, content))
    }

    fn kept(&self) -> KeptLists<'_> {
        KeptLists::beside(&self.rule_file, &self.keeper)
    }

    fn look_into(
        &self,
        folder: &ForeignFolder,
        shared: &Shared,
        url: &str,
        state: &mut ListState,
        asked: Option<bool>,
    ) -> Result<(), String> {
        let name = copy_name(url);
        if let Some(tried) = tried(folder, &name, url)? {
            state.tried = Some(tried.tried.min(now()));
            state.failed = tried.failed.map(|why| said(&why));
        }
        let file = format!("{name}.{COPY}");
        let found = folder.state(&file);
        let is_read = state.read.is_some_and(|(read, _)| Some(read) == found);
        let is_soon = state
            .read
            .is_some_and(|(_, at)| at.elapsed() < READ_AT_MOST);
        let was_owed = state.is_owed;
        state.is_owed = asked.is_some() || was_owed && is_read;
        if asked.is_none() && (is_read || is_soon && !was_owed) {
            // What was said of it still holds.
            return state.refused.clone().map_or(Ok(()), Err);
        }
        let longest = rules::MOST_OF_FETCHED + LONGEST_HEAD as u64;
        let Some((read, bytes)) = folder.read(&file, longest)? else {
            return Ok(());
        };
        state.read = Some((read, Instant::now()));
        let fetched = understood(url, bytes)?;
        self.take(shared, url, state, fetched, asked == Some(true))
    }

    /// Takes what was fetched, if it is good.
    fn take(
        &self,
        shared: &Shared,
        url: &str,
        state: &mut ListState,
        fetched: Fetched,
        anyway: bool,
    ) -> Result<(), String> {
        let Fetched {
            head,
            text,
            content,
        } = fetched;
        let before = self.own_copy(url);
        if before.as_ref().is_some_and(|(bytes, _)| *bytes == text) {
            state.fetched = Some(head.fetched);
            return Ok(());
        }
        if let Some((_, old)) = before.as_ref().filter(|_| !anyway) {
            lost_too_many(old.entries(), content.entries())?;
        }
        let in_force = shared.lock().rules.clone();
        let kept = self.kept();
        let candidate = Candidate {
            kept: &kept,
            url,
            list: &text,
        };
        let read = match in_force {
            Some(rules) => {
                let cuts = before.is_some() && !anyway;
                self.rules_with(&candidate, &rules, cuts)?
                    .map(|read| (rules, read))
            }
            None => None,
        };
        let keep = |list: Option<&[u8]>| {
            let kept = self.keeper.keep_fetched(url, list);
            kept.map_err(|cause| format!("{cause:#}"))
        };
        keep(Some(&text))?;
        let news = match read {
            Some((rules, read)) => News::Rules(rules, Box::new(read)),
            None => News::Copy,
        };
        let became = self.tell(shared, news);
        if !matches!(became, Became::Taken(_)) {
            keep(before.as_ref().map(|(bytes, _)| bytes.as_slice()))?;
        }
        let generation = match became {
            Became::Taken(generation) => generation,
            Became::Outdated => {
                state.read = None;
                return Ok(());
            }
            Became::Refused(why) => return Err(why),
        };
        let old = before.map(|(_, content)| content).unwrap_or_default();
        state.has_copy = true;
        state.fetched = Some(head.fetched);
        state.entries = content.entries() as u64;
        state.unreadable = content.unreadable as u64;
        state.added = content.beyond(&old) as u64;
        state.removed = old.beyond(&content) as u64;
        let shown = url.split('?').next().unwrap_or_default();
        let in_force = generation.map_or(String::new(), |generation| {
            format!("; generation {generation} has it")
        });
        info!(
            "the list {shown}: {} entries, {} added, {} removed, {} unreadable{in_force}",
            state.entries, state.added, state.removed, state.unreadable
        );
        Ok(())
    }

    /// The rules in force read with this copy, if they ask for it.
    fn rules_with(
        &self,
        candidate: &Candidate<'_>,
        rules: &RulesInForce,
        may_not_cut: bool,
    ) -> Result<Option<Rules>, String> {
        let read = |resolver: &dyn Resolver| rules::parse(&rules.name, &rules.text, resolver);
        let new = read(candidate).map_err(|errors| format!("with it {errors}"))?;
        let of_url = |set: &&rules::Set| {
            let list = set.subscription.as_ref();
            list.is_some_and(|list| list.url == candidate.url)
        };
        if new.sets().find(of_url).is_none() {
            return Ok(None);
        }
        let trouble = new
            .sets()
            .filter(of_url)
            .find_map(|set| set.trouble.clone());
        if let Some(trouble) = trouble {
            return Err(trouble);
        }
        if may_not_cut {
            let network = OwnNetwork {
                login: None,
                ..own_network()
            };
            let before = read(candidate.kept).map_or(Vec::new(), |old| cut_off(&old, &network));
            let cut = cut_off(&new, &network);
            if let Some(first) = cut.iter().find(|finding| !before.contains(finding)) {
                return Err(format!("with it, {}", first.message));
            }
        }
        Ok(Some(new))
    }

    /// Hands something to the main loop, and waits for what becomes of it.
    fn tell(&self, shared: &Shared, news: News) -> Became {
        let mut inner = shared.lock();
        inner.answer = None;
        inner.news = Some(news);
        // A full waker has been written to.
        let _woken_already = (&self.waker).write(&[1]);
        loop {
            if let Some(answer) = inner.answer.take() {
                return answer;
            }
            if inner.ends {
                // The next service finds what was fetched as it lies there.
                return Became::Outdated;
            }
            inner = shared
                .changed
                .wait(inner)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// What these rules cut this machine off from.
fn cut_off(rules: &Rules, network: &OwnNetwork) -> Vec<Finding> {
    let table = rules.compile(1);
    let found = rules.cut_off("", (&table, &Joined::default()), network);
    rules.take_back(table);
    found
}

/// What became of the last try.
fn tried(folder: &ForeignFolder, name: &str, url: &str) -> Result<Option<Tried>, String> {
    let Some((_, text)) = folder.read(&format!("{name}.{TRIED}"), LONGEST_HEAD as u64)? else {
        return Ok(None);
    };
    let tried = serde_json::from_slice::<Tried>(&text).ok();
    Ok(tried.filter(|tried| tried.url == url))
}

/// What a file of who fetches says.
fn understood(url: &str, mut bytes: Vec<u8>) -> Result<Fetched, String> {
    let head = bytes
        .iter()
        .take(LONGEST_HEAD)
        .position(|byte| *byte == b'\n');
    let list = head.map(|end| (end, bytes.split_off(end + 1)));
    let head: Option<CopyHead> = list
        .as_ref()
        .and_then(|(end, _)| serde_json::from_slice(bytes.get(..*end)?).ok());
    let (Some(mut head), Some((_, list))) = (head.filter(|head| head.url == url), list) else {
        return Err("it does not say what it is".to_owned());
    };
    head.fetched = head.fetched.min(now());
    let text = unpacked_list(&list)?.into_owned();
    let file = SetFile {
        name: url.split('?').next().unwrap_or_default().to_owned(),
        bytes: text,
        confidential: false,
        trouble: None,
    };
    let content = ListContent::read(&file)?;
    Ok(Fetched {
        head,
        text: file.bytes,
        content,
    })
}

/// Foreign words, as they are shown: the first line of them.
fn said(why: &str) -> String {
    const MOST: usize = 400;
    let line: String = why
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(MOST)
        .collect();
    rules::clean(&line)
}

fn lost_too_many(before: usize, now: usize) -> Result<(), String> {
    match (before, now) {
        (1.., 0) => Err(format!(
            "it is empty, where {} entries were",
            rules::grouped(before)
        )),
        (MANY.., _) if now < before / LEFT_PART => Err(format!(
            "of {} entries {} are left",
            rules::grouped(before),
            rules::grouped(now)
        )),
        _ => Ok(()),
    }
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}

/// The service's copies, but of one list what was fetched.
struct Candidate<'a> {
    kept: &'a KeptLists<'a>,
    url: &'a str,
    list: &'a [u8],
}

impl Resolver for Candidate<'_> {
    fn set_file(&self, path: &str) -> Result<SetFile, String> {
        self.kept.set_file(path)
    }

    fn fetched(&self, url: &str) -> Result<Option<SetFile>, String> {
        if url != self.url {
            return self.kept.fetched(url);
        }
        Ok(Some(SetFile {
            name: url.split('?').next().unwrap_or_default().to_owned(),
            bytes: self.list.to_vec(),
            confidential: false,
            trouble: None,
        }))
    }

    fn user(&self, name: &str) -> Result<u32, String> {
        self.kept.user(name)
    }

    fn other_users(&self) -> Vec<u32> {
        self.kept.other_users()
    }

    fn program(&self, path: &str) -> Option<[u64; 2]> {
        self.kept.program(path)
    }

    fn program_trouble(&self, path: &str) -> Option<String> {
        self.kept.program_trouble(path)
    }
}
