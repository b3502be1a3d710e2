//! Coming of rules into force: from the file, by request, on a lease, and the record that is written of it.

use super::rule_file::{confirmed_change, keep, read_text, replaced_by_hand};
use super::{Firewall, bad_file, missing, now};
use crate::keeper::KeptLists;
use crate::last_good::{Compiled, LastGood};
use crate::last_reading::LastReading;
use crate::rulebook::{LoadedRules, NewRules, Renewed, refused};
use crate::surroundings::Surroundings;
use crate::troubles::Cause;
use crate::{confinement, fallback_rules, programs};
use anyhow::{Context, Result, anyhow};
use control::{Applied, ChangeNote, InForce, Refused};
use rules::Rules;
use std::time::Duration;
use store::NewChange;
use tracing::{error, info, warn};

impl Firewall {
    /// Puts the first rules in force: the rule file's; or those that the kernel has, if the file is no good; or the
    /// last good ones; or the built-in minimum. Whatever is wrong, something holds.
    pub(super) fn first_rules(&mut self) -> Result<()> {
        if self.reload().is_ok() {
            return Ok(());
        }
        if let Some(held) = self.rulebook.confirmed() {
            error!(
                "generation {} stays in force, which the kernel still has",
                held.generation
            );
            return Ok(());
        }
        self.stand_in()
    }

    pub(super) fn stand_in(&mut self) -> Result<()> {
        let (candidates, unusable) = fallback_rules::candidates(&self.keeper);
        unusable.iter().for_each(|why| error!("{why}"));
        let mut failed = None;
        for (good, what) in candidates {
            let budget = self.budget();
            let (driver, members) = (&self.driver, (&self.members, budget));
            // Nothing is known of what an earlier service put there.
            let put = self
                .rulebook
                .put_last_good(driver, &self.state, good, members, None);
            match put {
                Ok(_) => {
                    let said = format!(
                        "THE RULE FILE IS NOT IN FORCE, but {what}; mend {}, then `systemctl reload gatebell`",
                        self.config.rule_file()
                    );
                    self.troubles.of(Cause::StandIn).stands([said]);
                    // Programs may be other files than when those were good.
                    self.renew();
                    return Ok(());
                }
                Err(cause) => {
                    error!("{what} can't be put in force: {cause:#}");
                    failed = Some(cause);
                }
            }
        }
        Err(failed.unwrap_or_else(|| anyhow!("there are no rules at all")))
    }

    /// Looks again for rules and files that were no good or missing.
    pub(super) fn look_again(&mut self) {
        if self.troubles.holds(Cause::Programs) {
            self.renew();
        }
        if self.troubles.holds(Cause::StandIn) {
            let reloaded = self.reload_file();
            if let Ok(applied) = &reloaded {
                info!(
                    "the rule file is good now; generation {} is in force",
                    applied.generation
                );
            }
            let wrong = reloaded.as_ref().err().map(bad_file);
            self.troubles.of(Cause::RuleFile).stands(wrong);
            return;
        }
        let text = self.rulebook.confirmed().and_then(|held| held.text.clone());
        let Some((name, text)) = text else {
            return;
        };
        let known = self.troubles.of(Cause::Missing).said().into_iter();
        let known: Vec<_> = known.map(|wrong| wrong.detail).collect();
        let machine = KeptLists::beside(&self.config.rules, &self.keeper);
        let lacks_the_same = self
            .last_reading
            .get_mut()
            .lacks(&text, &machine)
            .is_some_and(|lacks| lacks == known);
        if lacks_the_same && !self.troubles.holds(Cause::Rules) {
            return;
        }
        let Ok(rules) = self.read(&name, &text) else {
            return;
        };
        if missing(&rules) == known && !self.troubles.holds(Cause::Rules) {
            return;
        }
        let taken = self.take(&name, &text, &rules, false);
        if let Some(applied) = self.noted(Cause::Rules, taken.map_err(anyhow::Error::from)) {
            info!(
                "what the rules name has changed; generation {} knows it",
                applied.generation
            );
        }
    }

    /// Makes these the confirmed rules, and keeps them for a start at which the rule file is no good.
    pub(super) fn take(
        &mut self,
        name: &str,
        text: &str,
        rules: &Rules,
        ends_lease: bool,
    ) -> Result<Applied, Refused> {
        let budget = self.budget();
        let new = NewRules {
            name,
            text,
            rules,
            members: &self.members,
            budget,
        };
        let before = self.rulebook.confirmed().map(|held| held.generation);
        let taken = self
            .rulebook
            .confirm_at_once(&self.driver, &self.state, new, ends_lease);
        let (held, compiled) = taken.map_err(|error| self.how_far(before, refused(error)))?;
        self.are_good(&held, rules, compiled);
        Ok(self.applied(&held, rules))
    }

    pub(super) fn are_good(&mut self, held: &LoadedRules, rules: &Rules, compiled: Compiled) {
        self.troubles.of(Cause::StandIn).is_over();
        self.troubles.of(Cause::Rules).is_over();
        self.troubles.of(Cause::Missing).stands(missing(rules));
        let Some((name, text)) = held.text.clone() else {
            return;
        };
        // The next start may be in any network.
        let compiled = if rules.network_rules().rules.is_empty() {
            Ok(compiled)
        } else {
            let tables = rules.compile_for_anywhere(held.generation);
            tables.map(Compiled::of)
        };
        self.keeper.keep(LastGood {
            name,
            text,
            since: now(),
            troubled: self.troubles.holds(Cause::Missing),
            programs: held.programs.clone(),
            compiled,
        });
    }

    /// Tidies up after a lease whose time is over. Returns the generation that is no longer tried out.
    pub(crate) fn expire(&mut self) -> Option<u32> {
        let ended = self.rulebook.expire(&self.driver, &self.state);
        self.noted(Cause::Lease, ended.context("ending a lease")).flatten().inspect(|generation| {
            warn!("generation {generation} was not confirmed in time; the confirmed rules are back");
        })
    }

    /// Takes these rules. `name` is what they are called in messages. Without a lease they are confirmed at once, and
    /// the rule file is replaced; with one they hold until then and no longer, unless [`Self::confirm`] comes first. A
    /// second lease takes the candidate's place, never that of the confirmed rules.
    pub fn apply(
        &mut self,
        name: &str,
        text: &str,
        lease: Option<Duration>,
        note: ChangeNote,
        by: String,
    ) -> Result<Applied, Refused> {
        let in_force = self.rulebook.in_force().map_or(0, |held| held.generation);
        if note.replaces.is_some_and(|read| read != in_force) {
            return Err(Refused::Replaced);
        }
        self.forget_reading();
        let rules = self.read(name, text)?;
        self.await_lists(&rules)?;
        let Some(time) = lease else {
            let mut applied = self.take(name, text, &rules, true)?;
            self.no_list_is_awaited();
            let what = note.what.unwrap_or_else(|| format!("apply {name}"));
            let change = NewChange {
                by,
                what,
                undoes: note.undoes,
            };
            let (change, warning) = self.write_file(text, change)?;
            applied.change = change;
            applied.warnings.extend(warning);
            info!("generation {} is in force", applied.generation);
            return Ok(applied);
        };
        let budget = self.budget();
        let new = NewRules {
            name,
            text,
            rules: &rules,
            members: &self.members,
            budget,
        };
        let held = self
            .rulebook
            .try_out(&self.driver, &self.state, new, time)
            .map_err(refused)?;
        self.tried_out = Some(note);
        info!(
            "generation {} is in force for {} s, unless it is confirmed",
            held.generation,
            time.as_secs()
        );
        Ok(self.applied(&held, &rules))
    }

    /// Makes the candidate the confirmed rules, if it is the one that was seen, and then replaces the rule file.
    pub fn confirm(&mut self, seen: Option<u32>, by: String) -> Result<Applied, Refused> {
        let before = self.rulebook.confirmed().map(|held| held.generation);
        let confirmed = self.rulebook.confirm(&self.driver, &self.state, seen);
        let held = confirmed.map_err(|error| self.how_far(before, error))?;
        info!("generation {} is confirmed", held.generation);
        let Some((name, text)) = held.text.clone() else {
            return Err(self.incomplete("their text is lost: apply them again".to_owned()));
        };
        let change = confirmed_change(self.tried_out.take(), &name, by);
        let (change, warning) = self.write_file(&text, change)?;
        // They are confirmed. The person who tried them out has seen their warnings;
        // files that they name may be gone by now.
        let mut applied = match self.read(&name, &text) {
            Ok(rules) => {
                self.are_good(&held, &rules, Compiled::of(rules.compile(held.generation)));
                self.applied(&held, &rules)
            }
            Err(unreadable) => self.confirmed_unread(&held, &unreadable),
        };
        applied.warnings.extend(warning);
        Ok(Applied { change, ..applied })
    }

    /// Ends the lease, if it is that of the candidate that was seen: the confirmed rules are back.
    pub fn revert(&mut self, seen: Option<u32>) -> Result<InForce, Refused> {
        self.rulebook.revert(&self.driver, &self.state, seen)?;
        let held = self.rulebook.confirmed().ok_or(Refused::NoLease)?;
        info!("the lease is ended; generation {} is back", held.generation);
        Ok(held.in_force())
    }

    /// Reads the rule file again, as SIGHUP does. A lease that runs goes on. What is in force and could not be written
    /// to the file is written first, and while it can't be, nothing changes: nobody asked for the rules before.
    pub fn reload(&mut self) -> Result<Applied, Refused> {
        self.write_what_is_owed()?;
        self.forget_reading();
        let reloaded = self.reload_file();
        let wrong = reloaded.as_ref().err().map(bad_file);
        let trouble = self.troubles.of(Cause::RuleFile);
        // Somebody asked for it, and is told each time.
        trouble.is_over();
        trouble.stands(wrong);
        reloaded
    }

    fn write_what_is_owed(&mut self) -> Result<(), Refused> {
        let confirmed = self.rulebook.confirmed().and_then(|held| held.text.clone());
        let owed = self.rule_file.owed(&self.config.rules);
        let Some(((_, text), change)) = confirmed.zip(owed) else {
            return Ok(());
        };
        // Somebody asked for it, and is told each time.
        self.troubles.of(Cause::RuleFile).is_over();
        let written = self.replace_file(&text, change);
        written
            .map(drop)
            .map_err(|unwritten| Refused::System(format!("nothing was changed, for {unwritten:#}")))
    }

    /// Has the next reading be a new one: whoever asks for it may have mended what no mark of a file tells.
    fn forget_reading(&mut self) {
        *self.last_reading.get_mut() = LastReading::default();
    }

    pub(super) fn read(&self, name: &str, text: &str) -> Result<Rules, Refused> {
        let machine = KeptLists::beside(&self.config.rules, &self.keeper);
        let mut reading = self.last_reading.borrow_mut();
        let read = reading.read(name, text, &machine);
        drop(reading);
        let mut rules = read.map_err(|errors| {
            Refused::Rules(errors.findings().iter().map(ToString::to_string).collect())
        })?;
        let known = self.rulebook.programs().chain(&self.earlier_programs);
        programs::keep_former(&mut rules, known, self.rulebook.births());
        self.members.combine(&mut rules).map_err(Refused::System)?;
        let here = Surroundings::default();
        here.put(&mut rules).map_err(Refused::System)?;
        Ok(rules)
    }

    pub(super) fn reload_file(&mut self) -> Result<Applied, Refused> {
        let name = self.config.rule_file();
        let text = read_text(&self.config.rules).map_err(|cause| {
            Refused::System(format!("can't read the rule file {name}: {cause}"))
        })?;
        let rules = self.read(&name, &text)?;
        // Where nothing holds yet they hold at once, each on its safe side.
        if self.rulebook.confirmed().is_some() {
            self.await_lists(&rules)
                .inspect_err(|_| self.reload_with_lists())?;
        }
        for warning in rules.warnings() {
            warn!("{warning}");
        }
        let before = self.rulebook.confirmed().and_then(|held| held.text.clone());
        let mut applied = self.take(&name, &text, &rules, false)?;
        self.rule_file.holds(&text);
        self.no_list_is_awaited();
        if let Some((_, before)) = before.filter(|(_, before)| *before != text) {
            let change = NewChange {
                by: "whoever wrote the file".to_owned(),
                what: "change the file by hand".to_owned(),
                undoes: None,
            };
            let kept = keep(&self.config.rules, &before, change);
            applied.change = self.noted(
                Cause::History,
                kept.context("the rules before this change are not kept"),
            );
        }
        Ok(applied)
    }

    /// Keeps the names of the rules in force, where nobody here has read the text yet.
    pub(super) fn keep_names(&mut self) {
        let (confirmed, in_force) = (self.rulebook.confirmed(), self.rulebook.in_force());
        for held in confirmed.into_iter().chain(in_force) {
            if let Some((file, text)) = &held.text {
                self.rule_names.insert_text(held.generation, file, text);
            }
        }
    }

    pub(super) fn applied(&mut self, held: &LoadedRules, rules: &Rules) -> Applied {
        let file = held.text.as_ref().map_or("", |(name, _)| name);
        self.rule_names.insert(held.generation, file, rules);
        self.programs.follow(self.rulebook.programs());
        self.follow_names();
        let lease = self
            .rulebook
            .lease()
            .filter(|lease| lease.generation == held.generation);
        let warnings = rules
            .warnings()
            .iter()
            .chain(rules.troubles())
            .map(ToString::to_string)
            .collect();
        Applied {
            generation: held.generation,
            rules: held.count,
            warnings,
            lease,
            change: None,
        }
    }

    /// Writes the rules to the rule file: the kernel has them by now, and the disk is to have them after the next start
    /// too. Returns the change's number, if the state before is kept, and a warning where somebody had written that by
    /// hand.
    pub(super) fn write_file(
        &mut self,
        text: &str,
        change: NewChange,
    ) -> Result<(Option<u64>, Option<String>), Refused> {
        self.replace_file(text, change)
            .map_err(|unwritten| self.incomplete(format!("{unwritten:#}")))
    }

    fn replace_file(
        &mut self,
        text: &str,
        change: NewChange,
    ) -> Result<(Option<u64>, Option<String>)> {
        let replaced = self.rule_file.replace(&self.config.rules, text, change);
        let replaced = replaced.map_err(|cause| {
            let file = self.config.rule_file();
            let file_word = control::shell_word(&file);
            let then = if self.rule_file.is_unwritten() {
                format!(
                    "make it writable or make room, then `sudo systemctl reload gatebell` writes them; to have those of the file \
                     instead: sudo gatebell rules apply {file_word}"
                )
            } else {
                "put that right and apply the rules again".to_owned()
            };
            anyhow!(
                "the rules in force are not in the rule file {file}, whose rules return with the next start: {cause:#}{}; {then}",
                confinement::hint(&cause)
            )
        });
        let lost = replaced.as_ref().err().map(|lost| format!("{lost:#}"));
        self.troubles.of(Cause::RuleFile).stands(lost);
        let replaced = replaced?;
        let warning = replaced
            .was_by_hand
            .then(|| replaced_by_hand(&self.config.rules));
        warning.iter().for_each(|said| warn!("{said}"));
        // Where there was nothing to keep, nothing is known of whether it could be.
        let change = replaced.kept.and_then(|kept| {
            let why = "the rule file's state before this change is not kept";
            self.noted(Cause::History, kept.context(why))
        });
        Ok((change, warning))
    }

    /// Returns an error as the peer that asked gets it, given the generation that was confirmed before: the kernel may
    /// have the rules although a later step failed.
    pub(super) fn how_far(&self, before: Option<u32>, error: Refused) -> Refused {
        let now = self.rulebook.confirmed().map(|held| held.generation);
        if now == before {
            return error;
        }
        self.incomplete(format!(
            "not all of it could be written down: {error}; apply the rules again"
        ))
    }

    pub(super) fn incomplete(&self, rest: String) -> Refused {
        Refused::Incomplete {
            generation: self.rulebook.in_force().map_or(0, |held| held.generation),
            confirmed: self.rulebook.lease().is_none(),
            rest,
        }
    }

    /// Returns the result for confirmed rules whose text can't be read any more: that is a warning, for everything is
    /// done.
    pub(super) fn confirmed_unread(&mut self, held: &LoadedRules, unreadable: &Refused) -> Applied {
        self.keep_names();
        self.programs.follow(self.rulebook.programs());
        let warning = format!(
            "the rules are confirmed, but can't be read again, and the service can't start with them: {unreadable}"
        );
        Applied {
            generation: held.generation,
            rules: held.count,
            warnings: vec![warning],
            lease: None,
            change: None,
        }
    }

    /// Renews what the rules name, as a program may be another file by now.
    pub(super) fn renew(&mut self) {
        let Renewed { generation, failed } = self.renewed(&Surroundings::default());
        let followed = failed.map_or(Ok(()), Err);
        self.noted(
            Cause::Programs,
            followed.context("following a program's new file"),
        );
        if let Some(generation) = generation {
            info!("what the rules name has changed; generation {generation} knows it");
        }
        self.keep_names();
        self.programs.follow(self.rulebook.programs());
    }
}
