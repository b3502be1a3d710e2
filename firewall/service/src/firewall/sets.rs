//! Sets while the rules are in force: addresses that join one, and addresses that leave it.

use super::{Firewall, Refused};
use crate::driver::now_ns;
use crate::members::{self, JoinedByName, Now};
use crate::named_sets::{Join, Wanted};
use crate::rulebook::{LoadedRules, refused};
use crate::surroundings::Surroundings;
use crate::troubles::Cause;
use anyhow::{Context, Result};
use control::{SetAdded, SetMember, SetRemoved};
use firewall_abi::members::NO_END;
use rules::Set;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tracing::info;

/// Minimum interval between compilations of the rules because addresses join several sets by their names.
const COMPILED_BY_NAMES: Duration = Duration::from_secs(10);

/// Returns the time now, by both clocks.
pub(super) fn now() -> Result<Now> {
    let unix = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Ok(Now {
        boot_ns: now_ns()?,
        unix_ms: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX),
    })
}

impl Firewall {
    /// Adds addresses to a set, for so long or until they are removed.
    pub fn add_to_set(
        &mut self,
        set: &str,
        addresses: &[IpAddr],
        time: Option<Duration>,
    ) -> Result<SetAdded, Refused> {
        let set = self.set_in_force(set)?;
        let kept_out = addresses.iter().find(|address| {
            let is = |except: &rules::Addresses| except.contains(**address);
            set.except.iter().any(is)
        });
        if let Some(address) = kept_out {
            return Err(Refused::StaysInSet(format!(
                "{address} is in the `except` of the set `{}` ({}:{}), which holds it never; nothing was changed",
                set.id,
                self.config.rule_file(),
                set.line
            )));
        }
        let now_ns = now_ns().map_err(refused)?;
        let until_ns = time.map_or(NO_END, |time| {
            let time = u64::try_from(time.as_nanos()).unwrap_or(NO_END);
            now_ns.saturating_add(time).min(NO_END - 1)
        });
        let (added, before) = self.members.add(&set.id, addresses, until_ns, now_ns)?;
        let put = self.put_members(addresses);
        let generation = put.inspect_err(|_| self.take_back(before, addresses))?;
        Ok(SetAdded {
            added,
            renewed: (addresses.len() as u64).saturating_sub(added),
            generation,
        })
    }

    /// Removes addresses from a set that they have joined.
    pub fn remove_from_set(
        &mut self,
        set: &str,
        addresses: &[IpAddr],
    ) -> Result<SetRemoved, Refused> {
        let set = self.set_in_force(set)?;
        let now_ns = now_ns().map_err(refused)?;
        let known = self.rulebook.sets_in_force();
        let holds = |address: &&IpAddr| {
            known
                .as_ref()
                .is_some_and(|known| known.holds(&set.id, **address))
        };
        let held: Vec<_> = addresses.iter().filter(holds).collect();
        let only_held = held
            .iter()
            .find(|address| !self.members.has(&set.id, ***address, now_ns));
        if let Some(address) = only_held {
            return Err(stays(&set, &self.config.rule_file(), **address));
        }
        let stays = held.len() as u64;
        let (removed, before) = self.members.remove(&set.id, addresses);
        let put = self.put_members(addresses);
        put.inspect_err(|_| self.take_back(before, addresses))?;
        Ok(SetRemoved {
            removed,
            absent: (addresses.len() as u64).saturating_sub(removed),
            stays,
        })
    }

    /// Returns the addresses that have joined this set, or any set.
    pub fn set_members(&mut self, set: Option<&str>) -> Result<Vec<SetMember>, Refused> {
        let now_ns = now_ns().map_err(refused)?;
        let members = self.members.list(set, now_ns);
        // Rules that have it no more may have had it when something joined it.
        if let Some(set) = set.filter(|_| members.is_empty()) {
            self.set_in_force(set)?;
        }
        Ok(members)
    }

    /// Returns the sets that the rules in force have.
    fn listed_in_force(&self) -> Result<Arc<[Set]>, Refused> {
        let held = self.rulebook.in_force();
        match held.and_then(|held| held.listed.clone()) {
            Some(listed) => Ok(listed),
            None => self.read_listed(held),
        }
    }

    /// Follows the sets of the rules in force that ask for names, where these are others by now: what is known of their
    /// names joins them, and what no set asks for any more leaves.
    pub(super) fn follow_names(&mut self) {
        let generation = self.rulebook.in_force().map(|held| held.generation);
        if self.names_followed == generation {
            return;
        }
        self.names_followed = generation;
        // What can't be read has no names that could be had.
        let listed = self.listed_in_force().unwrap_or_else(|_| [].into());
        let wanted = Wanted::of(&listed);
        let left = self
            .members
            .drop_unasked(|set, name| wanted.asks(set, name));
        let tables = self.rulebook.tables();
        let put = self.members.put(&self.driver, &tables, &left);
        self.noted(
            Cause::Members,
            put.context("taking out of sets what they do not ask for any more"),
        );
        self.addresses.look_for_resolvers();
        let joins = self.addresses.want(wanted);
        self.hear_resolver_here();
        self.join_sets(&joins);
    }

    /// Reads whom this machine asks for names, who may be others by now.
    pub(super) fn look_for_resolvers(&mut self) {
        self.addresses.look_for_resolvers();
        self.hear_resolver_here();
    }

    /// Has the driver hand on what a resolver on this machine is asked and answers, if there is one.
    fn hear_resolver_here(&mut self) {
        let told = self.driver.hear_resolver_here(self.addresses.asks_here());
        self.unheard_resolver = told.err().map(|cause| {
            format!("what a resolver on this machine answers is not heard: {cause:#}; restart the service")
        });
    }

    /// Has addresses join the sets that ask for their names.
    pub(super) fn join_by_name(&mut self) {
        let joins = self.addresses.joins();
        self.join_sets(&joins);
    }

    fn join_sets(&mut self, joins: &[Join]) {
        if joins.is_empty() {
            return;
        }
        let Ok(now_ns) = now_ns() else { return };
        let JoinedByName {
            mut addresses,
            before,
            mut no_room,
        } = self.members.join_by_name(joins, Instant::now(), now_ns);
        let tables = self.rulebook.tables();
        let is_unread = self.rulebook.asks_unread(&self.members);
        let lacking: Vec<_> = addresses
            .iter()
            .filter(|address| {
                is_unread
                    || self
                        .members
                        .any_lacking(std::slice::from_ref(address), &tables)
            })
            .copied()
            .collect();
        if !lacking.is_empty() {
            // Who owns a name says what it has: such a compilation is nothing that others
            // may order as often as they like.
            let is_due = self
                .named_compiled
                .is_none_or(|last| last.elapsed() >= COMPILED_BY_NAMES);
            if is_due {
                self.named_compiled = Some(Instant::now());
            }
            if !is_due || self.put_members(&lacking).is_err() {
                self.take_back(before.of(&lacking), &lacking);
                no_room += lacking.len() as u64;
            }
            addresses.retain(|address| !lacking.contains(address));
        }
        self.addresses.found_no_room(no_room);
        let tables = self.rulebook.tables();
        let put = self.members.put(&self.driver, &tables, &addresses);
        self.noted(
            Cause::Members,
            put.context("having addresses join sets by their names"),
        );
        self.keep_members(false);
    }

    /// Returns the set of this name that the rules in force have.
    fn set_in_force(&mut self, name: &str) -> Result<Set, Refused> {
        let listed = self.listed_in_force()?;
        let set = listed.iter().find(|set| set.id == name).cloned();
        set.ok_or_else(|| no_such_set(name, &listed))
    }

    /// Reads the sets of rules that an earlier service compiled.
    fn read_listed(&self, held: Option<&LoadedRules>) -> Result<Arc<[Set]>, Refused> {
        let Some((name, text)) = held.and_then(|held| held.text.as_ref()) else {
            return Err(Refused::System(control::NO_TEXT.to_owned()));
        };
        Ok(self.read(name, text)?.sets().cloned().collect())
    }

    /// Tells the driver the membership of these addresses. Returns a generation that it took, if some address is in
    /// sets that none was in at once.
    fn put_members(&mut self, addresses: &[IpAddr]) -> Result<Option<u32>, Refused> {
        let lacks = self.members.any_lacking(addresses, &self.rulebook.tables());
        let mut generation = None;
        if lacks || self.rulebook.asks_unread(&self.members) {
            let renewed = self.renewed(&Surroundings::default());
            generation = renewed.generation;
            self.keep_names();
            if let Some(generation) = generation {
                info!(
                    "addresses are in sets at once that none was in before; generation {generation} knows it"
                );
            }
            renewed.failed.map_or(Ok(()), Err).map_err(refused)?;
        }
        let tables = self.rulebook.tables();
        if self.members.any_lacking(addresses, &tables) || self.rulebook.asks_unread(&self.members)
        {
            return Err(Refused::System(
                "the rules in force were compiled by an earlier service, and what they name can't be had now: `gatebell status` says \
                 what; nothing was changed"
                    .to_owned(),
            ));
        }
        self.members
            .put(&self.driver, &tables, addresses)
            .map_err(refused)?;
        self.keep_members(false);
        Ok(generation)
    }

    fn take_back(&mut self, before: members::MembersBefore, addresses: &[IpAddr]) {
        self.members.restore(before);
        let put = self
            .members
            .put(&self.driver, &self.rulebook.tables(), addresses);
        self.noted(Cause::Members, put.context("undoing a change of a set"));
    }

    /// Tells the driver the members that were on disk, and nothing else.
    pub(super) fn first_members(&mut self) {
        // What fails is tried again with what is tidied. A firewall without it guards, and none does not.
        let put = self
            .members
            .put_all(&self.driver, &self.rulebook.tables())
            .context("telling the driver what had joined sets");
        self.noted(Cause::Members, put);
    }

    /// Removes members whose time is over.
    pub(super) fn tidy_members(&mut self) {
        let is_wrong = self.troubles.holds(Cause::Members);
        if self.members.is_empty() && !is_wrong {
            return;
        }
        let tidied = now().and_then(|now| {
            self.members.meet_clock(now);
            let over = self.members.forget_over(now.boot_ns);
            let tables = self.rulebook.tables();
            if is_wrong {
                return self.members.put_no_other(&self.driver, &tables);
            }
            self.members.put(&self.driver, &tables, &over)
        });
        self.noted(
            Cause::Members,
            tidied.context("taking out of sets what is over"),
        );
    }

    /// Writes members down, at once or when it is time to, and has the rules asked again about their connections.
    pub(super) fn keep_members(&mut self, at_once: bool) {
        if self.members.due().is_none() {
            return;
        }
        let kept = now().map(|now| self.members.save(&self.keeper, now, at_once));
        let asked = kept.and_then(|()| self.members.reclassify(&self.driver));
        // It may not have been time to ask yet.
        if let Some(asked) = asked.transpose() {
            let why = "asking the rules again about what has joined or left sets";
            self.noted(Cause::AskedAgain, asked.context(why));
        }
    }
}

/// Builds the error for a set that the rules do not have.
fn no_such_set(set: &str, sets: &[Set]) -> Refused {
    let names: Vec<_> = sets.iter().map(|set| format!("`{}`", set.id)).collect();
    let known = match &names[..] {
        [] => {
            "they have none; add a [[set]] to the rule file, and a rule that asks for it".to_owned()
        }
        names => format!("they have {}", names.join(", ")),
    };
    Refused::NoSuchSet(format!(
        "the rules in force have no set `{set}`: {known}; nothing was changed"
    ))
}

/// Builds the error for removing an address that the rule file itself has in a set.
fn stays(set: &Set, rule_file: &str, address: IpAddr) -> Refused {
    let list = set
        .file
        .as_ref()
        .map_or(String::new(), |list| format!(", or its list {list}"));
    Refused::StaysInSet(format!(
        "{address} was not added to `{0}`: the rule file has it there, {rule_file}:{1}{list}, and only what was added can be removed; take \
         it out there, or name it in `except`; nothing was changed",
        set.id, set.line
    ))
}
