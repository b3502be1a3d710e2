//! Lists that rules subscribe to: which they are, what is new of them, and rules whose lists have never been fetched.

use super::{Firewall, Refused, now};
use crate::programs;
use crate::rulebook::LoadedRules;
use crate::subscriptions::{Became, Followed, News, RulesInForce, wanted};
use crate::troubles::Cause;
use control::{FetchFailure, SubscribedList};
use rules::{Rules, Set};
use std::collections::BTreeMap;
use tracing::info;

/// Maximum number of lists waited for at once, that rules ask for which are not in force.
const MOST_AWAITED: usize = 64;

/// Lists that are followed.
#[derive(Default)]
pub(super) struct Lists {
    /// Generations whose lists are followed, confirmed and in force, or `None` if they are to be looked at again.
    of: Option<[Option<u32>; 2]>,
    /// Lists of rules that are not in force because these lists have never been fetched.
    awaited: Vec<Followed>,
    /// `true` if the rule file is to be read again once the awaited lists are there.
    reload_then: bool,
    /// Times at which somebody asked for a list, by its address.
    asked: BTreeMap<String, u64>,
    /// List of what to fetch, as it was written down for the fetcher.
    wanted: Option<String>,
}

impl Firewall {
    /// Follows the lists of the rules that the kernel has, where these are others by now, and the lists that are waited
    /// for.
    pub(super) fn follow_lists(&mut self) {
        let (confirmed, in_force) = (self.rulebook.confirmed(), self.rulebook.in_force());
        let of = [confirmed, in_force].map(|held| held.map(|held| held.generation));
        if self.lists.of == Some(of) {
            return;
        }
        let is_leased = of[0] != of[1];
        let mut followed = self.lists_of(confirmed);
        if is_leased {
            followed.extend(self.lists_of(in_force));
        }
        followed.extend(self.lists.awaited.iter().cloned());
        followed
            .sort_by(|one, other| (&one.set, &one.list.url).cmp(&(&other.set, &other.list.url)));
        followed.dedup();
        // What is tried out, or holds in the place of the rule file, is not what a list is for.
        let rules = confirmed
            .filter(|_| !is_leased && !self.troubles.holds(Cause::StandIn))
            .and_then(|held| {
                let (name, text) = held.text.clone()?;
                Some(RulesInForce {
                    generation: held.generation,
                    name,
                    text,
                })
            });
        self.lists.of = Some(of);
        self.lists
            .asked
            .retain(|url, _| followed.iter().any(|one| one.list.url == *url));
        let wanted = wanted(&followed, &self.lists.asked);
        if wanted != self.lists.wanted || wanted.is_none() {
            self.state.keep_wanted(wanted.as_deref());
            self.lists.wanted = wanted;
        }
        self.subscriptions.follow(followed, rules);
    }

    fn lists_of(&self, held: Option<&LoadedRules>) -> Vec<Followed> {
        let Some(held) = held else {
            return Vec::new();
        };
        match &held.listed {
            Some(listed) => listed.iter().filter_map(followed).collect(),
            // Of what an earlier service compiled nobody here has read the text.
            None => {
                let text = held.text.as_ref();
                let read = text.and_then(|(name, text)| self.read(name, text).ok());
                read.map_or(Vec::new(), |rules| {
                    rules.sets().filter_map(followed).collect()
                })
            }
        }
    }

    /// Takes in the news of the lists.
    pub(super) fn take_list_news(&mut self) {
        let Some(news) = self.subscriptions.news() else {
            return;
        };
        match news {
            News::Rules(rules, read) => {
                let became = self.take_with_list(&rules, *read);
                self.subscriptions.answer(became);
            }
            News::Copy => {
                self.subscriptions.answer(Became::Taken(None));
                self.list_arrived();
            }
        }
    }

    /// Puts the rules in force again as they were read with a new list.
    fn take_with_list(&mut self, rules: &RulesInForce, mut read: Rules) -> Became {
        let is_same = self
            .rulebook
            .confirmed()
            .is_some_and(|held| held.generation == rules.generation);
        if !is_same || self.rulebook.lease().is_some() || self.troubles.holds(Cause::StandIn) {
            return Became::Outdated;
        }
        let known = self.rulebook.programs().chain(&self.earlier_programs);
        programs::keep_former(&mut read, known, self.rulebook.births());
        let combined = self.members.combine(&mut read).map_err(Refused::System);
        let taken = combined.and_then(|()| self.take(&rules.name, &rules.text, &read, false));
        match taken {
            Ok(applied) => Became::Taken(Some(applied.generation)),
            Err(refused) => Became::Refused(refused.to_string()),
        }
    }

    /// Reads the rule file again if it was this list that kept it from being in force.
    fn list_arrived(&mut self) {
        if std::mem::take(&mut self.lists.reload_then) && self.reload().is_ok() {
            info!("what the rule file's lists hold is known, and it is in force");
        }
    }

    /// Refuses rules whose lists have never been fetched, and has the lists fetched: such rules would block everything
    /// that the lists might hold, maybe the way to them too. The rules that hold go on holding meanwhile.
    pub(super) fn await_lists(&mut self, rules: &Rules) -> Result<(), Refused> {
        let missing: Vec<_> = rules
            .sets()
            .filter(|set| set.is_awaited)
            .filter_map(followed)
            .collect();
        let Some(first) = missing.first() else {
            return Ok(());
        };
        let said = self.subscriptions.lists().into_iter();
        let failed = said
            .filter(|list| missing.iter().any(|one| one.set == list.set))
            .find_map(|list| Some((list.set, list.failed?)));
        let tried = failed.map_or(String::new(), |(set, why)| {
            let FetchFailure { kind, detail } = why;
            let detail = detail.map_or(String::new(), |detail| format!(": {detail}"));
            format!(" The last try for `{set}` failed: {kind}{detail}.")
        });
        let more = match missing.len() {
            1 => String::new(),
            many => format!(" (and {} more)", many - 1),
        };
        let said = format!(
            "the list of the set `{}` from {}{more} has never been fetched; the rules in force stay, and it is fetched now: try again in a \
             minute, `gatebell status` says how it is.{tried}",
            first.set,
            first.list.shown()
        );
        let asked_at = now();
        for one in missing {
            self.lists.asked.insert(one.list.url.clone(), asked_at);
            if !self.lists.awaited.contains(&one) && self.lists.awaited.len() < MOST_AWAITED {
                self.lists.awaited.push(one);
            }
        }
        self.lists.of = None;
        self.follow_lists();
        Err(Refused::ListsAwaited(said))
    }

    /// Has the rule file read again once its lists are there.
    pub(super) fn reload_with_lists(&mut self) {
        self.lists.reload_then = true;
    }

    /// Ends the wait for lists, as other rules are in force now.
    pub(super) fn no_list_is_awaited(&mut self) {
        self.lists.awaited.clear();
        self.lists.reload_then = false;
        self.lists.of = None;
    }

    /// Fetches the list of this set now; with `take`, the content fetched last is taken whatever it is, as long as it
    /// is a list.
    pub fn refresh_list(&mut self, set: &str, take: bool) -> Result<SubscribedList, Refused> {
        self.follow_lists();
        let urls = self.subscriptions.urls(set);
        if urls.is_empty() {
            return Err(Refused::NoSuchSet(format!(
                "no set `{set}` of the rules has a `url`, from which its list would be fetched; `gatebell status` shows those that have"
            )));
        }
        for url in urls {
            self.lists.asked.insert(url.clone(), now());
            self.subscriptions.look_at(&url, take);
        }
        self.lists.of = None;
        self.follow_lists();
        let found = self.subscriptions.lists();
        found
            .into_iter()
            .find(|list| list.set == set)
            .ok_or_else(|| Refused::NoSuchSet(format!("no set `{set}` has a list any more")))
    }
}

fn followed(set: &Set) -> Option<Followed> {
    Some(Followed {
        set: set.id.clone(),
        list: set.subscription.clone()?,
    })
}
