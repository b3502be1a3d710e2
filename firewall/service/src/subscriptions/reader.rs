//! The thread that looks at what was fetched, and makes what is good a copy of the service's own.

use super::fetched::{Fetched, lost_too_many, said, tried, understood};
use super::{Became, ListState, News, RulesInForce, Shared, now};
use crate::foreign_folder::ForeignFolder;
use crate::keeper::{Keeper, KeptLists};
use control::FetchFailure;
use rules::{
    Finding, Joined, ListContent, OwnNetwork, Resolver, Rules, SetFile, copy_name, own_network,
};
use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use store::lists::{COPY, LONGEST_HEAD};
use tracing::info;

/// Interval at which the thread looks whether something was fetched.
const EVERY: Duration = Duration::from_secs(5);
/// Shortest time between two readings of one list, unless somebody asks.
const READ_AT_MOST: Duration = Duration::from_secs(60);

/// Tools of the thread that follows the lists.
pub struct Reader {
    /// Folder of the program that fetches lists.
    pub fetched: PathBuf,
    pub rule_file: PathBuf,
    pub keeper: Arc<Keeper>,
    pub waker: UnixStream,
}

impl Reader {
    /// Goes on until the service ends.
    pub fn run(self, shared: &Shared) {
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

    /// Returns the state of a list that is followed from now on, by the copy that an earlier service kept.
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
            state.failed = tried.failed.map(|failed| FetchFailure {
                kind: failed.kind.name().to_owned(),
                detail: failed.detail.map(|detail| said(&detail)),
            });
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

/// Returns findings for what of its own network these rules cut this machine off from.
fn cut_off(rules: &Rules, network: &OwnNetwork) -> Vec<Finding> {
    let table = rules.compile(1);
    let found = rules.cut_off("", (&table, &Joined::default()), network);
    rules.take_back(table);
    found
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
