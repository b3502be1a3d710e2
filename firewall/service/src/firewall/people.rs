//! Questions to people: taken in, shown and answered, and settled if nobody answers in time.

use super::{Firewall, now};
use crate::asking::{self, Place, StoredAnswer, Waiting};
use crate::driver;
use crate::escape::plain;
use crate::held_answers::{AnswerInForce, Note};
use crate::rulebook::refused;
use crate::sweep::LastLook;
use crate::troubles::Cause;
use anyhow::{Context, Result};
use control::{AskedPlace, Given, Lasts, Question, Refused};
use firewall_abi::asking::{Answer, Subject, Width};
use firewall_abi::packet::{Direction, NO_RULE, NO_USER, Reason, Verdict};
use rules::{Resolver, SystemResolver};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tracing::{error, info};

impl Firewall {
    /// Puts answers for always in force, before there are rules that ask; those until a restart are over with it.
    pub(super) fn first_answers(&mut self) {
        self.tidy_answers(true);
        self.meet_questions();
    }

    /// Puts answers kept for always in force, and removes those that are over.
    pub(super) fn tidy_answers(&mut self, starts: bool) {
        let (put, replaced) = self.look_at_answered_programs();
        let tidied = put.and_then(|()| driver::now_ns()).and_then(|now| {
            asking::tidy(&self.driver, &mut self.permanent, &replaced, now, starts)
        });
        let tidied = tidied.context("answers are not as they should be");
        if let Some(left) = self.noted(Cause::Answers, tidied) {
            self.answered_programs.forget(&replaced);
            let driver = &self.driver;
            self.held_answers
                .follow(&left, |program| driver.program(program).ok().flatten());
        }
        if let Some(text) = self.held_answers.unwritten() {
            self.state.keep_answers(&text);
        }
    }

    /// Puts answers kept for always in force, and finds programs that were replaced. On a disk that is slow to open
    /// their paths this takes a part of the time alone.
    fn look_at_answered_programs(&mut self) -> (Result<()>, BTreeSet<[u64; 2]>) {
        let begun = Instant::now();
        let looked = self.answered_looked;
        let may_wait = !self.troubles.holds(Cause::Answers);
        if may_wait && looked.is_some_and(|looked| !looked.may_be_followed(begun)) {
            return (Ok(()), BTreeSet::new());
        }
        let taken = self.permanent.changed().into_iter().try_for_each(|to| {
            self.take_answer_back(&to)?;
            self.permanent.was_taken(&to);
            Ok(())
        });
        let put = taken.and_then(|()| {
            self.permanent
                .put(&self.driver, &mut self.answered_programs)
        });
        let machine = SystemResolver::beside(&self.config.rules);
        let replaced = self.answered_programs.replaced(&machine);
        self.answered_looked = Some(LastLook::new(begun, Instant::now()));
        (put, replaced)
    }

    /// Takes in the questions of the driver, and settles and logs those that nobody answered in time.
    pub(super) fn ask_people(&mut self) {
        let now = Instant::now();
        self.is_woken |= self.driver_waker.is_woken();
        if self.is_woken || self.questions.due(now).is_some_and(|due| due.is_zero()) {
            self.meet_questions();
        }
        for unanswered in self.questions.overdue(now) {
            asking::say_unanswered(&unanswered);
            let mut places = unanswered.places.iter();
            if let Err(cause) = places.try_for_each(|place| self.nobody_answered(place)) {
                error!(
                    "nobody answered question {}, and that can't be noted: {cause:#}",
                    unanswered.id
                );
            }
        }
    }

    fn nobody_answered(&mut self, place: &Place) -> Result<()> {
        let until = driver::now_ns()?.saturating_add(asking::UNANSWERED.as_nanos() as u64);
        let allow = place.asking.unanswered == Verdict::Allow;
        let program = place.subject.program;
        let answer = asking::answer(program, allow, Reason::Unanswered, until);
        self.driver.answer(place.subject, answer)?;
        let held = AnswerInForce {
            answer,
            program: self.driver.program(program).ok().flatten(),
            note: None,
        };
        self.held_answers.put(place.subject, held);
        self.driver.forget_question(&place.subject)
    }

    /// Returns the time until the main loop has to look for questions.
    pub(super) fn questions_due(&self, now: Instant) -> Option<Duration> {
        let rest = self
            .questions_read
            .map_or(Duration::ZERO, |met| met.rest(now));
        let rung = self.is_woken.then_some(rest);
        let due = self.questions.due(now).map(|due| due.max(rest));
        rung.into_iter().chain(due).min()
    }

    /// Takes in the driver's questions, unless that was just done: then new ones are taken in once that has paid.
    /// Whoever asks much, or looks often, does not keep the main loop busy.
    fn meet_questions(&mut self) {
        let begun = Instant::now();
        if self
            .questions_read
            .is_none_or(|met| met.may_be_followed(begun))
        {
            self.is_woken = false;
            self.meet_now();
            self.questions_read = Some(LastLook::new(begun, Instant::now()));
        }
    }

    fn meet_now(&mut self) {
        let asked = match self.driver.questions() {
            Ok(asked) => asked,
            Err(cause) => {
                error!("what is asked can't be read: {cause:#}");
                return;
            }
        };
        let (rules, addresses) = (&self.rule_names, &self.addresses);
        let new = self.questions.meet(
            asked,
            |question| rules.asking(question.generation, known_rule(question.rule)),
            |subject| addresses.name_of(asking::address(subject.remote)),
            Instant::now(),
        );
        for id in new {
            if let Some(asked) = self.questions.get(id).and_then(|one| self.shown(one)) {
                info!(
                    "question {id}: may {} ({}) {} {} {}{}?",
                    asked.program.as_deref().unwrap_or(&asked.name),
                    asked
                        .user
                        .map_or("no user".to_owned(), |user| format!("user {user}")),
                    if asked.direction == Direction::Outbound.name() {
                        "talk to"
                    } else {
                        "be talked to by"
                    },
                    asked.remote,
                    asked
                        .port
                        .map_or(String::new(), |port| format!("port {port}")),
                    if asked.many {
                        ", and wherever else it wants to"
                    } else {
                        ""
                    },
                );
            }
        }
    }

    /// Returns a question to show, or `None` if none of its places waits any more.
    fn shown(&self, waiting: &Waiting) -> Option<Question> {
        let Place {
            subject,
            question,
            asking,
            deadline,
            ..
        } = *waiting.first()?;
        let direction = if subject.goes_out() {
            Direction::Outbound
        } else {
            Direction::Inbound
        };
        let names = self.rule_names.get(question.generation);
        let rule = known_rule(question.rule).and_then(|rule| {
            names?
                .rules
                .get(usize::try_from(rule).ok()?)
                .map(|rule| rule.id.clone())
        });
        let left = deadline.saturating_duration_since(Instant::now());
        let all = waiting.places().count();
        let listed = waiting.places().take(asking::MOST_LISTED);
        let listed = listed.filter(|_| waiting.is_many || waiting.was_about_several());
        let places: Vec<_> = listed.map(asked_place).collect();
        let unlisted = all.saturating_sub(places.len().max(1));
        let mut sockets = waiting.places().map(|place| place.question.socket());
        let here = asked_place(waiting.first()?);
        Some(Question {
            id: waiting.id,
            direction: direction.name().to_owned(),
            protocol: here.protocol,
            remote: here.remote,
            remote_name: here.remote_name,
            port: here.port,
            user: (subject.user != NO_USER).then_some(subject.user),
            program: self.driver.program(subject.program).ok().flatten(),
            name: task_name(question.name),
            pid: question.pid,
            rule,
            count: waiting.count(),
            many: waiting.is_many,
            listed: places.last().map_or(here.number, |last| last.number),
            places,
            more: waiting.more.saturating_add(unlisted as u64),
            of_connection: !waiting.is_many && sockets.all(|socket| socket.is_some()),
            of_process: waiting.process().is_some(),
            milliseconds_left: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
            unanswered: asking.unanswered.name().to_owned(),
        })
    }

    /// Returns the questions that wait for an answer: those that this user may answer, or all.
    pub fn questions(&mut self, of: Option<u32>) -> Vec<Question> {
        self.meet_questions();
        let waiting = self.questions.iter();
        waiting
            .filter(|waiting| {
                let mut places = waiting.places();
                places.all(|place| of.is_none_or(|user| asking::may_answer(user, &place.subject)))
            })
            .filter_map(|waiting| self.shown(waiting))
            .collect()
    }

    /// Puts an answer in force, of this user, or of one who may answer everything. `listed` is the number of the last
    /// place that whoever answers was shown.
    pub fn answer_question(
        &mut self,
        (id, listed): (u64, Option<u64>),
        given: Given,
        of: Option<u32>,
        by: String,
    ) -> Result<Question, Refused> {
        let waiting = self.questions.get(id).ok_or(Refused::NoQuestion)?.clone();
        // Of others' questions nobody hears whether there are any.
        let may = |place: &Place| of.is_none_or(|user| asking::may_answer(user, &place.subject));
        if !waiting.places().all(may) {
            return Err(Refused::NoQuestion);
        }
        let mut asked = self.shown(&waiting).ok_or(Refused::NoQuestion)?;
        let places = waiting.answered_places(listed, given.width);
        let places = places.ok_or_else(|| {
            Refused::NotPermitted(
                "this question is or was about several places, and by now others may wait than you were shown: answer about anywhere, or \
                 say with --listed up to which number they were listed (`gatebell ask --list` has it)"
                    .to_owned(),
            )
        })?;
        if waiting.is_answered_by_place(given.width) {
            let last = places.last().ok_or(Refused::NoQuestion)?.number;
            asked.list_up_to(last);
            asked.more = 0;
        }
        let of_link = places.iter().find_map(|place| {
            let remote = asking::address(place.subject.remote);
            (!given.may_be_about(remote)).then_some(remote)
        });
        if let Some(remote) = of_link {
            return Err(Refused::NotPermitted(format!(
                "another machine has {remote} on each network, and an answer knows no network: allow it for the connection, until the \
                 program ends or for an hour at most, or whatever the address; or write a rule that names the interface"
            )));
        }
        let answered = self.whom(&waiting, &places, given)?;
        if let Some(user) = of {
            self.may_hold(&answered, user)?;
        }
        self.give(&answered, given, &asked, &by)?;
        info!(
            "{by} answered question {id}: {} {}, {} ({} {}, user {}, {} port {}{})",
            if given.allow { "allow" } else { "block" },
            given.width.name(),
            match given.lasts {
                Lasts::Connection => "for the connection".to_owned(),
                Lasts::Process => format!("until process {} ends", asked.pid),
                Lasts::For(time) => format!("for {} s", time.as_secs()),
                Lasts::UntilRestart => "until the service starts again".to_owned(),
                Lasts::Always => "always".to_owned(),
            },
            asked.direction,
            asked.program.as_deref().unwrap_or(&asked.name),
            asked
                .user
                .map_or("unknown".to_owned(), |user| user.to_string()),
            asked.remote,
            asked.port.unwrap_or(0),
            match answered.len() {
                0 | 1 => String::new(),
                more => format!(", and {} more", more - 1),
            },
        );
        Ok(asked)
    }

    /// Returns an error if a user's answers leave no room for these.
    fn may_hold(&self, answered: &[(Subject, Place)], user: u32) -> Result<(), Refused> {
        let held = self.driver.answers().map_err(refused)?;
        let is_new = |held: &Subject| answered.iter().all(|(to, _)| to != held);
        let own = held.iter().filter(|(held, answer)| {
            answer.reason == Reason::Answer as u8
                && asking::have_one_share(held.user, user)
                && is_new(held)
        });
        if own.count() + answered.len() > asking::MOST_OF_A_USER {
            return Err(Refused::NotPermitted(format!(
                "{} answers of yours may hold, and that is the most; wait until some are over, or have root answer",
                asking::MOST_OF_A_USER
            )));
        }
        Ok(())
    }

    /// Puts an answer in force for all of these, or for none.
    fn give(
        &mut self,
        answered: &[(Subject, Place)],
        given: Given,
        asked: &Question,
        by: &str,
    ) -> Result<(), Refused> {
        let until_ns = match given.lasts {
            Lasts::For(time) => driver::now_ns()
                .map_err(refused)?
                .saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)),
            Lasts::Connection | Lasts::Process | Lasts::UntilRestart | Lasts::Always => {
                Answer::NO_END
            }
        };
        let mut before = Vec::new();
        for (to, place) in answered {
            let given_to = self.give_one((*to, place), (given, until_ns), asked, by);
            match given_to {
                Ok(earlier) => before.push((*to, earlier)),
                Err(failed) => {
                    // A person who is told that it failed finds nothing changed.
                    for (to, earlier) in before {
                        self.undo(&to, earlier);
                    }
                    return Err(failed);
                }
            }
        }
        for (to, _) in answered {
            self.driver.settle(*to, given.width).map_err(refused)?;
            self.questions.settle(*to, given.width);
            self.takes_the_place_of_none(to, given.width);
        }
        Ok(())
    }

    /// Puts an answer in force for one subject. Returns the answer that was in force before.
    fn give_one(
        &mut self,
        (to, place): (Subject, &Place),
        (given, until_ns): (Given, u64),
        asked: &Question,
        by: &str,
    ) -> Result<Option<Answer>, Refused> {
        let program = place.subject.program;
        let path = self.path_to(program, asked);
        let answer = asking::answer(program, given.allow, Reason::Answer, until_ns);
        let before = self.driver.answer_to(&to).map_err(refused)?;
        self.driver.answer(to, answer).map_err(refused)?;
        let note = Note {
            by: by.to_owned(),
            at: now(),
            pid: place.question.pid,
            name: task_name(place.question.name),
            remote_name: place.name.as_ref().map(ToString::to_string),
        };
        if given.lasts == Lasts::Always {
            match self.keep_answer(&place.subject, given, path.as_deref(), &note) {
                Ok(kept) => self.permanent.was_put(to, &kept),
                Err(failed) => {
                    self.put_back(&to, before);
                    return Err(failed);
                }
            }
        }
        let held = AnswerInForce {
            answer,
            program: asked.program.clone(),
            note: Some(note),
        };
        self.held_answers.put(to, held);
        if let Some(path) = &path {
            let machine = SystemResolver::beside(&self.config.rules);
            self.answered_programs.note(program, path, &machine);
        }
        Ok(before)
    }

    /// Removes the answers that stand for nobody's having answered where somebody has answered by now, however wide.
    fn takes_the_place_of_none(&mut self, to: &Subject, width: Width) {
        let covered = |held: &Subject, answer: &Answer| {
            answer.reason == Reason::Unanswered as u8 && held != to && held.at(width) == *to
        };
        let held = self.held_answers.iter();
        let over: Vec<_> = held
            .filter(|(held, in_force)| covered(held, &in_force.answer))
            .map(|(held, _)| *held)
            .collect();
        for held in over {
            let taken = self.take_answer_back(&held);
            self.noted(
                Cause::Answers,
                taken.context("taking back that nobody answered"),
            );
        }
    }

    /// Returns the subjects of an answer, each once, with a place that it is about. Who has ended meanwhile is asked
    /// for no more.
    fn whom(
        &mut self,
        waiting: &Waiting,
        places: &[Place],
        given: Given,
    ) -> Result<Vec<(Subject, Place)>, Refused> {
        let (mut answered, mut ended) = (Vec::new(), None);
        for place in places {
            let whole = place.subject.at(given.width);
            let (who, what) = match given.lasts {
                Lasts::Connection => (place.question.socket(), "connection"),
                Lasts::Process => (waiting.process(), "process"),
                Lasts::For(_) | Lasts::UntilRestart | Lasts::Always => {
                    (Some(whole.who()), "program")
                }
            };
            let Some(who) = who else {
                return Err(Refused::NotPermitted(format!(
                    "which {what} asks is not known, or several have asked this; answer for some time, or until the service starts again"
                )));
            };
            if !self.driver.watch(who).map_err(refused)? {
                self.driver
                    .forget_question(&place.subject)
                    .map_err(refused)?;
                self.questions.drop(&place.subject);
                ended = Some(what);
                continue;
            }
            let to = whole.of(who);
            if answered.iter().all(|(known, _)| *known != to) {
                answered.push((to, place.clone()));
            }
        }
        match ended {
            Some(what) if answered.is_empty() => Err(Refused::NotPermitted(format!(
                "the {what} that asked has ended; if others wait for the same, they are asked about anew"
            ))),
            _ => Ok(answered),
        }
    }

    /// Undoes an answer that was put in force, and no longer keeps it if it was for always.
    fn undo(&mut self, to: &Subject, before: Option<Answer>) {
        let kept = self.permanent.put_for(to).cloned();
        let forgotten = self.permanent.forget(&kept.into_iter().collect());
        self.noted(
            Cause::Answers,
            forgotten.map(drop).context("undoing an answer"),
        );
        self.held_answers.remove(to);
        self.put_back(to, before);
    }

    fn put_back(&mut self, to: &Subject, before: Option<Answer>) {
        let back = match before {
            Some(before) => self.driver.answer(*to, before),
            None => self.driver.forget_answer(to),
        };
        self.noted(Cause::Answers, back.context("taking an answer back"));
    }

    /// Returns the path of the program that asks, if the path leads to it.
    fn path_to(&self, program: [u64; 2], asked: &Question) -> Option<String> {
        let machine = SystemResolver::beside(&self.config.rules);
        let path = asked.program.clone()?;
        (machine.program(&path) == Some(program)).then_some(path)
    }

    /// Writes down an answer for always. It names the program by its path, which must lead to it.
    fn keep_answer(
        &mut self,
        subject: &Subject,
        given: Given,
        path: Option<&str>,
        note: &Note,
    ) -> Result<StoredAnswer, Refused> {
        if path.is_none() && subject.program != [0; 2] {
            return Err(Refused::NotPermitted(
                "no path leads to this program, by which it would be known again (is it in a container, or was it replaced?); \
                 answer for some time, or until the service starts again"
                    .to_owned(),
            ));
        }
        let to = subject.at(given.width);
        let kept = StoredAnswer::of(
            &to,
            given.width,
            given.allow,
            path.map(str::to_owned),
            note.by.clone(),
            note.at,
        );
        let kept = StoredAnswer {
            remote_name: kept.remote.and(note.remote_name.clone()),
            ..kept
        };
        self.permanent.keep(kept.clone()).map_err(refused)?;
        Ok(kept)
    }
}

/// Returns a place as people are shown it.
fn asked_place(place: &Place) -> AskedPlace {
    let Subject {
        remote,
        protocol,
        port,
        ..
    } = place.subject;
    AskedPlace {
        number: place.number,
        remote: asking::address(remote),
        remote_name: place.name.as_ref().map(ToString::to_string),
        protocol,
        port: (port != 0).then_some(port),
    }
}

/// Returns the rule that asked, or `None` if the default policy did.
const fn known_rule(rule: u32) -> Option<u32> {
    if rule == NO_RULE { None } else { Some(rule) }
}

/// Returns a process's name, as people read it.
fn task_name(words: [u64; 2]) -> String {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let end = bytes.iter().position(|byte| *byte == 0);
    plain(&bytes[..end.unwrap_or(bytes.len())])
}
