//! Answers that hold: which they are, and how they are taken back.

use super::Firewall;
use crate::asking::{self, StoredAnswerKey};
use crate::driver;
use crate::escape::plain;
use crate::held_answers::{self, AnswerInForce};
use crate::rulebook::refused;
use crate::sweep::LastLook;
use crate::troubles::Cause;
use anyhow::{Context, Result};
use control::{Forgotten, HeldAnswer, Refused};
use firewall_abi::asking::{Answer, Subject, Who, Width};
use firewall_abi::packet::{Direction, NO_USER, Reason, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use tracing::info;

/// Answer to show, with the places from which it is to be removed.
struct Found {
    shown: HeldAnswer,
    /// Subjects of the answer in the driver's table.
    held: BTreeSet<Subject>,
    /// Key of the answer if it is kept for always.
    kept: Option<StoredAnswerKey>,
}

impl Firewall {
    /// Returns the answers that hold or are kept: those that this user may give, or all.
    pub fn answers(&self, of: Option<u32>) -> Vec<HeldAnswer> {
        self.found_answers(of).map_or_else(
            |_| Vec::new(),
            |found| found.into_iter().map(|found| found.shown).collect(),
        )
    }

    /// Takes answers back, of those that this user may give, or of all.
    pub fn forget_answers(
        &mut self,
        which: &Forgotten,
        of: Option<u32>,
        by: &str,
    ) -> Result<Vec<HeldAnswer>, Refused> {
        let found = self.found_answers(of).map_err(refused)?;
        let chosen = chosen(found, which)?;
        let kept = chosen.iter().filter_map(|found| found.kept.clone());
        // What is written on the disk first: what fails there has changed nothing.
        let put = self.permanent.forget(&kept.collect()).map_err(refused)?;
        let held = chosen.iter().flat_map(|found| &found.held).copied();
        let all: BTreeSet<_> = held.chain(put).collect();
        let taken = all.iter().try_for_each(|to| self.take_answer_back(to));
        taken.map_err(refused)?;
        let shown: Vec<_> = chosen.into_iter().map(|found| found.shown).collect();
        for answer in &shown {
            info!("{by} took back {}", in_words(answer));
        }
        Ok(shown)
    }

    pub(super) fn take_answer_back(&mut self, to: &Subject) -> Result<()> {
        let answer = self.driver.answer_to(to)?;
        self.driver.forget_answer(to)?;
        self.held_answers.remove(to);
        if let Some(answer) = answer {
            self.taken_back.add(to, &answer);
        }
        Ok(())
    }

    /// Has the rules asked again about what answers had allowed that were taken back, if it is time to.
    pub(super) fn ask_about_taken_back(&mut self) {
        let begun = Instant::now();
        let due = self.taken_back_due(begun);
        if due.is_some_and(|due| due.is_zero()) {
            let asked = self.taken_back.reclassify(&self.driver);
            self.reclassified = Some(LastLook::new(begun, Instant::now()));
            let why = "asking the rules again about what answers had allowed that were taken back";
            self.noted(Cause::AnswersAskedAgain, asked.context(why));
        }
    }

    /// Returns the time until the rules are asked again about answers taken back, or `None` if there are none.
    pub(super) fn taken_back_due(&self, now: Instant) -> Option<Duration> {
        let rest = self
            .reclassified
            .map_or(Duration::ZERO, |last| last.rest(now));
        (!self.taken_back.is_empty()).then_some(rest)
    }

    /// Returns the answers that hold or are kept, sorted by program, direction and endpoint.
    fn found_answers(&self, of: Option<u32>) -> Result<Vec<Found>> {
        let now_ns = driver::now_ns()?;
        let always: BTreeMap<_, _> = self.permanent.kept().collect();
        let mut all: BTreeMap<String, Found> = BTreeMap::new();
        for (to, held) in self.held_answers.iter() {
            let answered = Subject {
                program: held.answer.program,
                ..*to
            };
            let is_seen = of.is_none_or(|user| asking::may_answer(user, &answered));
            if !is_seen || held.answer.until_ns <= now_ns || !self.driver.is_watched(to.who())? {
                continue;
            }
            let kept = self.permanent.put_for(to);
            let kept = kept.and_then(|key| always.get_key_value(key));
            let shown = shown(to, held, kept.map(|(_, kept)| *kept), now_ns);
            let found = all.entry(shown.id.clone()).or_insert_with(|| Found {
                shown,
                held: BTreeSet::new(),
                kept: kept.map(|(key, _)| key.clone()),
            });
            found.held.insert(*to);
        }
        for (key, kept) in always {
            let is_seen = of.is_none_or(|user| kept.user == Some(user) && kept.program.is_some());
            let shown = shown_of_kept(kept);
            if is_seen && !all.contains_key(&shown.id) {
                let found = Found {
                    shown,
                    held: BTreeSet::new(),
                    kept: Some(key),
                };
                all.insert(found.shown.id.clone(), found);
            }
        }
        let mut all: Vec<_> = all.into_values().collect();
        all.sort_by(|one, other| order(&one.shown).cmp(&order(&other.shown)));
        Ok(all)
    }
}

/// Returns the answers that are meant.
fn chosen(found: Vec<Found>, which: &Forgotten) -> Result<Vec<Found>, Refused> {
    match which {
        Forgotten::All => Ok(found),
        Forgotten::Program(path) => {
            let about = |found: &Found| found.shown.program.as_ref() == Some(path);
            let chosen: Vec<_> = found.into_iter().filter(about).collect();
            if chosen.is_empty() {
                let path = plain(path.as_bytes());
                return Err(Refused::NoAnswer(format!("about `{path}`")));
            }
            Ok(chosen)
        }
        Forgotten::Those(ids) => {
            let mut found: BTreeMap<_, _> = found
                .into_iter()
                .map(|found| (found.shown.id.clone(), found))
                .collect();
            let ids: BTreeSet<_> = ids.iter().collect();
            let each = ids.into_iter().map(|id| {
                let found = found.remove(id);
                found.ok_or_else(|| Refused::NoAnswer(format!("`{}`", plain(id.as_bytes()))))
            });
            each.collect()
        }
    }
}

type Order<'a> = (
    Option<&'a str>,
    &'a str,
    Option<u32>,
    Option<std::net::IpAddr>,
    Option<u8>,
    Option<u16>,
    &'a str,
);

fn order(answer: &HeldAnswer) -> Order<'_> {
    (
        answer.program.as_deref(),
        &answer.direction,
        answer.user,
        answer.remote,
        answer.protocol,
        answer.port,
        &answer.id,
    )
}

/// Returns an answer that the driver has, to show.
fn shown(
    to: &Subject,
    held: &AnswerInForce,
    kept: Option<&asking::StoredAnswer>,
    now_ns: u64,
) -> HeldAnswer {
    let AnswerInForce {
        answer,
        program,
        note,
    } = held;
    if let Some(kept) = kept {
        return HeldAnswer {
            in_force: true,
            ..shown_of_kept(kept)
        };
    }
    let width = held_answers::width(to);
    let direction = if to.goes_out() {
        Direction::Outbound
    } else {
        Direction::Inbound
    };
    let has_end = answer.until_ns != Answer::NO_END;
    let (lasts, pid) = match to.who() {
        Who::Socket { .. } => ("connection", None),
        Who::Process { pid, .. } => ("program", Some(pid)),
        Who::Program(_) if has_end => ("time", None),
        Who::Program(_) => ("restart", None),
    };
    let note = note.as_ref();
    let has_address = matches!(width, Width::Endpoint | Width::Address);
    let at = note.map(|note| note.at);
    HeldAnswer {
        id: held_answers::id((to, answer.until_ns, at)),
        verdict: verdict(answer.verdict == Verdict::Allow as u8).to_owned(),
        unanswered: answer.reason == Reason::Unanswered as u8,
        width: width.name().to_owned(),
        lasts: lasts.to_owned(),
        seconds_left: has_end
            .then(|| Duration::from_nanos(answer.until_ns.saturating_sub(now_ns)).as_secs()),
        direction: direction.name().to_owned(),
        remote: has_address.then(|| asking::address(to.remote)),
        remote_name: note
            .filter(|_| has_address)
            .and_then(|note| note.remote_name.clone()),
        protocol: matches!(width, Width::Endpoint | Width::Port).then_some(to.protocol),
        port: (to.port != 0).then_some(to.port),
        user: (to.user != NO_USER).then_some(to.user),
        program: program.clone(),
        name: note.map_or_else(String::new, |note| note.name.clone()),
        pid: pid.or(note.map(|note| note.pid)).unwrap_or(0),
        in_force: true,
        by: note.map(|note| note.by.clone()),
        at,
    }
}

/// Returns an answer for always whose program is not there, to show.
fn shown_of_kept(kept: &asking::StoredAnswer) -> HeldAnswer {
    HeldAnswer {
        id: held_answers::id(kept),
        verdict: kept.answer.name().to_owned(),
        unanswered: false,
        width: kept.width().name().to_owned(),
        lasts: "always".to_owned(),
        seconds_left: None,
        direction: kept.direction.name().to_owned(),
        remote: kept.remote,
        remote_name: kept.remote_name.clone(),
        protocol: kept.protocol,
        port: kept.port,
        user: kept.user,
        program: kept.program.clone(),
        name: String::new(),
        pid: 0,
        in_force: false,
        by: Some(kept.by.clone()),
        at: Some(kept.at),
    }
}

const fn verdict(allow: bool) -> &'static str {
    if allow {
        Verdict::Allow.name()
    } else {
        Verdict::Block.name()
    }
}

/// Returns an answer in words, as the log has it.
fn in_words(answer: &HeldAnswer) -> String {
    let known =
        |number: Option<u32>| number.map_or("unknown".to_owned(), |known| known.to_string());
    let of = answer.program.as_deref().unwrap_or(&answer.name);
    let remote = answer
        .remote
        .map_or("anywhere".to_owned(), |remote| remote.to_string());
    let port = answer
        .port
        .map_or("any port".to_owned(), |port| format!("port {port}"));
    let given = answer.by.as_deref().unwrap_or("nobody that is known");
    format!(
        "answer {}: {} {}, {} ({} {}, user {}, {remote} {port}), given by {}",
        answer.id,
        answer.verdict,
        answer.width,
        answer.lasts,
        answer.direction,
        plain(of.as_bytes()),
        known(answer.user),
        plain(given.as_bytes()),
    )
}
