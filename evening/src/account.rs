//! Account of an evening: questions that were too many, connections that waited too long, and promises that did not
//! hold. No clock, no kernel.

use crate::observations::{
    ANSWER_WITHIN_MS, Answer, Connect, Evening, Place, Question, Runs, Width,
};
use std::collections::{BTreeMap, BTreeSet};

/// Time during which an unanswered question stays decided, in milliseconds, as docs/rules.md says.
pub const UNANSWERED_MS: u64 = 60_000;
/// Greatest error of the times of questions and answers, in milliseconds: an answer's time is when it was typed, and a
/// question's follows from its remaining time as shown.
const NEARLY_MS: u64 = 1500;
/// Time that a connection may take, in milliseconds, beyond TCP's delay before it sends its first packet again, which
/// is at most as long as it has waited.
const GRACE_MS: u64 = 5000;

/// Period in which one or all places of a program are decided.
struct Hold<'a> {
    program: &'a str,
    /// Places that are decided, or `None` for all of them.
    places: Option<&'a [Place]>,
    from_ms: u64,
    until_ms: u64,
    allow: bool,
    answered: bool,
}

impl Hold<'_> {
    fn is_about(&self, program: &str, places: &[Place]) -> bool {
        let own = self.places;
        self.program == program && own.is_none_or(|own| own.iter().any(|own| places.contains(own)))
    }
}

/// Counts of an evening for one program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Number of questions about the program.
    pub questions: u64,
    /// Number of endpoints that these questions were about.
    pub endpoints: u64,
    /// Answers.
    pub answers: u64,
    /// Number of keys typed for the answers.
    pub keys: u64,
    /// Questions that were over unanswered.
    pub unanswered: u64,
    /// The most that stood behind one.
    pub most_behind: u64,
    /// Questions about what an answer held for.
    pub repeated: u64,
    /// Connections that were seen to wait.
    pub waited: u64,
    /// The longest from when "allow" was typed to connected, in milliseconds.
    pub longest_allowed_ms: Option<u64>,
    /// The longest from "block", or from when the time was over, to when the program was told.
    pub longest_blocked_ms: Option<u64>,
    /// Connections that were neither connected nor refused in time.
    pub hung: u64,
    /// Counts of the program's runs.
    pub runs: Runs,
}

/// Account of an evening.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Counts of each program, by its name.
    pub rows: BTreeMap<String, Row>,
    /// Promises that do not hold, one sentence each; empty if all do.
    pub faults: Vec<String>,
}

impl Evening {
    /// Counts.
    #[must_use]
    pub fn account(&self) -> Account {
        let mut account = Account::default();
        for (program, runs) in &self.runs {
            account.row(program).runs = *runs;
        }
        let holds = self.holds();
        self.count_questions(&holds, &mut account);
        self.count_connects(&holds, &mut account);
        account.faults = self.faults(&account);
        account
    }

    fn count_questions(&self, holds: &[Hold<'_>], account: &mut Account) {
        let mut places: BTreeMap<&str, BTreeSet<Place>> = BTreeMap::new();
        for question in &self.questions {
            let of_program = places.entry(&question.program).or_default();
            of_program.extend(&question.places);
            let answer = self.answer_to(question.id);
            let is_over_unanswered = answer.is_none() && !is_covered(question, holds);
            let repeated = self.is_repeated(question, holds);
            let row = account.row(&question.program);
            row.questions += 1;
            row.most_behind = row.most_behind.max(question.more);
            row.repeated += u64::from(repeated);
            row.unanswered += u64::from(is_over_unanswered);
            row.answers += u64::from(answer.is_some());
            row.keys += answer.map_or(0, |answer| answer.keys);
        }
        for (program, places) in places {
            account.row(program).endpoints = places.len() as u64;
        }
    }

    fn answer_to(&self, id: u64) -> Option<&Answer> {
        self.answers.iter().find(|answer| answer.id == id)
    }

    /// Returns whether a question was shown about a place that was decided already, by an answer or for want of one, or
    /// that another question was waiting about.
    fn is_repeated(&self, question: &Question, holds: &[Hold<'_>]) -> bool {
        let waits_twice = self.questions.iter().any(|other| {
            other.id < question.id
                && other.program == question.program
                && other
                    .places
                    .iter()
                    .any(|place| question.places.contains(place))
                && question.asked_ms() + NEARLY_MS < over_ms(other, holds)
        });
        let is_decided = |hold: &Hold<'_>| {
            let surely = hold.from_ms + NEARLY_MS..hold.until_ms.saturating_sub(NEARLY_MS);
            surely.contains(&question.asked_ms())
        };
        waits_twice || about(&question.program, &question.places, holds).any(is_decided)
    }

    /// Returns the periods that answers decided, and those that unanswered questions did.
    fn holds(&self) -> Vec<Hold<'_>> {
        let mut holds = Vec::new();
        for question in &self.questions {
            if let Some(answer) = self.answer_to(question.id) {
                holds.push(given(question, answer));
            }
        }
        // Of many places each has its own time.
        let unanswered = self.questions.iter().filter(|question| {
            !question.many && self.answer_to(question.id).is_none() && !is_covered(question, &holds)
        });
        let unanswered: Vec<_> = unanswered.map(left).collect();
        holds.extend(unanswered);
        holds
    }

    fn count_connects(&self, holds: &[Hold<'_>], account: &mut Account) {
        for connect in &self.connects {
            let row = account.row(&connect.program);
            row.waited += 1;
            let Some((allow, from_ms)) = settled(connect, holds) else {
                row.hung += u64::from(is_forgotten(connect));
                continue;
            };
            if allow && !connect.reachable {
                // How long that takes is the program's affair.
                continue;
            }
            let took = connect.end.at_ms().saturating_sub(from_ms);
            let limit = from_ms.saturating_sub(connect.began_ms) + GRACE_MS;
            row.hung += u64::from(took > limit);
            let longest = if allow {
                // What is connected and over between two looks is gone at the second.
                &mut row.longest_allowed_ms
            } else {
                &mut row.longest_blocked_ms
            };
            keep_longest(longest, took);
        }
    }

    fn faults(&self, account: &Account) -> Vec<String> {
        let mut faults = Vec::new();
        for (program, row) in &account.rows {
            if row.repeated > 0 {
                faults.push(format!(
                    "{program}: {} questions were about what an answer held for",
                    row.repeated
                ));
            }
            if row.hung > 0 {
                faults.push(format!(
                    "{program}: {} connections hung: they waited on once it was answered or too late to, or without a question",
                    row.hung
                ));
            }
            if row.runs.ill > 0 {
                faults.push(format!(
                    "{program}: {} of {} runs did not end as they were meant to",
                    row.runs.ill,
                    row.runs.ill + row.runs.well
                ));
            }
        }
        faults.extend(self.what_is_missing());
        let idle = self
            .questions
            .iter()
            .filter(|question| question.asked_ms() > self.idle_from_ms + NEARLY_MS);
        for (number, what) in [
            (
                self.misunderstood,
                "lines typed for a question answered another one, or none",
            ),
            (
                self.unexpected,
                "questions were about programs that are none of the evening's",
            ),
            (self.lost, "records were lost"),
            (idle.count() as u64, "questions came while nothing happened"),
        ] {
            if number > 0 {
                faults.push(format!("{number} {what}"));
            }
        }
        faults
    }

    /// Lists what an evening lacks without which nothing could have gone wrong.
    fn what_is_missing(&self) -> impl Iterator<Item = String> {
        let runs = self.runs.values().map(|runs| runs.well + runs.ill);
        let counts = [
            (self.questions.len() as u64, "nobody was asked"),
            (self.answers.len() as u64, "nobody answered"),
            (self.connects.len() as u64, "no connection was seen to wait"),
            (self.records, "who watched heard of no packet"),
            (runs.sum(), "no program came to its end"),
        ];
        let missing = counts.into_iter().filter(|(count, _)| *count == 0);
        missing.map(|(_, what)| format!("{what}: this was no evening"))
    }
}

/// Returns the period that an answer decides.
fn given<'a>(question: &'a Question, answer: &Answer) -> Hold<'a> {
    Hold {
        program: &question.program,
        places: match answer.width {
            Width::Endpoint => Some(&question.places),
            Width::Anywhere => None,
        },
        from_ms: answer.at_ms,
        until_ms: answer
            .lasts_ms
            .map_or(u64::MAX, |lasts| answer.at_ms.saturating_add(lasts)),
        allow: answer.allow,
        answered: true,
    }
}

/// Returns the period that an unanswered question decides.
fn left(question: &Question) -> Hold<'_> {
    Hold {
        program: &question.program,
        places: Some(&question.places),
        from_ms: question.deadline_ms,
        until_ms: question.deadline_ms + UNANSWERED_MS,
        allow: false,
        answered: false,
    }
}

fn about<'a>(
    program: &'a str,
    places: &'a [Place],
    holds: &'a [Hold<'a>],
) -> impl Iterator<Item = &'a Hold<'a>> {
    holds
        .iter()
        .filter(move |hold| hold.is_about(program, places))
}

/// Returns whether the answer to another question was about this question too, while it waited.
fn is_covered(question: &Question, holds: &[Hold<'_>]) -> bool {
    let waits = question.shown_ms..question.deadline_ms;
    about(&question.program, &question.places, holds)
        .any(|hold| hold.answered && waits.contains(&hold.from_ms))
}

/// Returns the time at which a question was over, in milliseconds.
fn over_ms(question: &Question, holds: &[Hold<'_>]) -> u64 {
    let about = about(&question.program, &question.places, holds).map(|hold| hold.from_ms);
    let first = about.filter(|from| *from >= question.shown_ms).min();
    first.unwrap_or(question.deadline_ms)
}

/// Returns whether a connection was allowed, by a decision before or while it waited, and the time as of which it could
/// act on that, in milliseconds.
fn settled(connect: &Connect, holds: &[Hold<'_>]) -> Option<(bool, u64)> {
    let end = connect.end.at_ms();
    let during = about(
        &connect.program,
        std::slice::from_ref(&connect.place),
        holds,
    )
    .filter(|hold| hold.from_ms <= end && hold.until_ms > connect.began_ms);
    let first = during.min_by_key(|hold| hold.from_ms)?;
    Some((first.allow, first.from_ms.max(connect.began_ms)))
}

/// Returns whether a connection waited for longer than a question does, and nobody was asked about it.
fn is_forgotten(connect: &Connect) -> bool {
    let waited = connect.end.at_ms().saturating_sub(connect.began_ms);
    connect.reachable && waited > ANSWER_WITHIN_MS + GRACE_MS
}

fn keep_longest(longest: &mut Option<u64>, took: u64) {
    *longest = Some(longest.map_or(took, |longest| longest.max(took)));
}

impl Account {
    fn row(&mut self, program: &str) -> &mut Row {
        self.rows.entry(program.to_owned()).or_default()
    }

    /// Returns the counts of all programs together.
    #[must_use]
    pub fn sum(&self) -> Row {
        let mut sum = Row::default();
        for row in self.rows.values() {
            let Row {
                questions,
                endpoints,
                answers,
                keys,
                unanswered,
                most_behind,
                repeated,
                waited,
                longest_allowed_ms,
                longest_blocked_ms,
                hung,
                runs,
            } = row;
            sum.questions += questions;
            sum.endpoints += endpoints;
            sum.answers += answers;
            sum.keys += keys;
            sum.unanswered += unanswered;
            sum.most_behind = sum.most_behind.max(*most_behind);
            sum.repeated += repeated;
            sum.waited += waited;
            sum.longest_allowed_ms = sum.longest_allowed_ms.max(*longest_allowed_ms);
            sum.longest_blocked_ms = sum.longest_blocked_ms.max(*longest_blocked_ms);
            sum.hung += hung;
            sum.runs.well += runs.well;
            sum.runs.ill += runs.ill;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observations::End;

    fn place(last: u8) -> Place {
        Place {
            protocol: 6,
            remote: [10, 79, 0, last].into(),
            port: 80,
        }
    }

    fn question(id: u64, last: u8, shown_ms: u64) -> Question {
        Question {
            id,
            program: "curl".to_owned(),
            places: vec![place(last)],
            many: false,
            shown_ms,
            deadline_ms: shown_ms + ANSWER_WITHIN_MS,
            more: 0,
        }
    }

    fn answer(id: u64, at_ms: u64, allow: bool, width: Width) -> Answer {
        Answer {
            id,
            at_ms,
            allow,
            width,
            lasts_ms: None,
            keys: 3,
        }
    }

    fn connect(last: u8, began_ms: u64, end: End) -> Connect {
        Connect {
            program: "curl".to_owned(),
            place: place(last),
            began_ms,
            end,
            reachable: true,
        }
    }

    fn evening(questions: Vec<Question>, answers: Vec<Answer>) -> Evening {
        Evening {
            questions,
            answers,
            idle_from_ms: u64::MAX / 2,
            ..Evening::default()
        }
    }

    fn row(evening: &Evening) -> Row {
        evening.account().sum()
    }

    #[test]
    fn a_question_about_what_an_answer_holds_for_is_one_too_many() {
        let answered = answer(1, 4000, true, Width::Endpoint);
        let asked = |again| evening(vec![question(1, 1, 1000), again], vec![answered]);
        assert_eq!(row(&asked(question(2, 1, 20_000))).repeated, 1);
        assert_eq!(row(&asked(question(2, 2, 20_000))).repeated, 0, "elsewhere");
        // It was asked before, and shown when it was looked again.
        assert_eq!(row(&asked(question(2, 1, 4300))).repeated, 0);
        // A person who is asked twice at once, by two numbers.
        assert_eq!(row(&asked(question(2, 1, 1300))).repeated, 1);
        let mut other = question(2, 1, 20_000);
        other.program = "ssh".to_owned();
        assert_eq!(row(&asked(other)).repeated, 0);
        let mut short = asked(question(2, 1, 20_000));
        short.answers[0].lasts_ms = Some(10_000);
        assert_eq!(row(&short).repeated, 0, "it was over");
        assert!(asked(question(2, 1, 20_000)).account().faults[0].contains("curl: 1 questions"));
    }

    #[test]
    fn a_question_that_is_shown_late_was_asked_when_its_time_began() {
        let late = Question {
            shown_ms: 20_000,
            ..question(2, 1, 3900)
        };
        let asked = vec![question(1, 1, 1000), late];
        let mut all = evening(asked, vec![answer(1, 4000, true, Width::Endpoint)]);
        assert_eq!(row(&all).repeated, 0);
        all.idle_from_ms = 4000;
        let while_idle = |fault: &String| fault.contains("while nothing happened");
        assert!(!all.account().faults.iter().any(while_idle));
    }

    #[test]
    fn an_answer_about_anywhere_is_about_each_place_of_its_program() {
        let all = evening(
            vec![
                question(1, 1, 1000),
                question(2, 2, 1000),
                question(3, 3, 9000),
            ],
            vec![answer(1, 4000, true, Width::Anywhere)],
        );
        let row = row(&all);
        assert_eq!((row.questions, row.endpoints, row.answers), (3, 3, 1));
        assert_eq!(row.unanswered, 1, "the second was settled with the first");
        assert_eq!(row.repeated, 1, "the third came later");
    }

    #[test]
    fn a_question_about_many_places_repeats_what_an_answer_holds_for_and_nothing_else() {
        let many = |last: &[u8], shown_ms| Question {
            many: true,
            places: last.iter().map(|last| place(*last)).collect(),
            ..question(2, 1, shown_ms)
        };
        let asked = |many| {
            let answers = vec![answer(1, 4000, true, Width::Endpoint)];
            row(&evening(vec![question(1, 1, 1000), many], answers))
        };
        assert_eq!(asked(many(&[2, 3], 20_000)).repeated, 0);
        assert_eq!(asked(many(&[2, 1], 20_000)).repeated, 1);
        assert_eq!(asked(many(&[2, 3], 20_000)).endpoints, 3);
        // Those listed are answered, and the next ones are asked about.
        let next = Question {
            id: 3,
            ..many(&[4], 30_000)
        };
        let answers = vec![answer(2, 21_000, false, Width::Endpoint)];
        let all = evening(vec![many(&[2, 3], 20_000), next], answers);
        assert_eq!(row(&all).repeated, 0);
    }

    #[test]
    fn what_nobody_answers_is_decided_for_a_minute_and_asked_again_then() {
        let asked = |shown| evening(vec![question(1, 1, 0), question(2, 1, shown)], vec![]);
        assert_eq!(row(&asked(60_000)).repeated, 1);
        assert_eq!(row(&asked(90_100)).repeated, 0);
        assert_eq!(row(&asked(90_100)).unanswered, 2);
    }

    #[test]
    fn a_connection_hangs_that_takes_longer_than_it_had_waited_and_some_seconds() {
        let with = |allow, end| {
            let mut all = evening(
                vec![question(1, 1, 1000)],
                vec![answer(1, 4000, allow, Width::Endpoint)],
            );
            all.connects = vec![connect(1, 800, end)];
            row(&all)
        };
        let well = with(true, End::Connected(5000));
        assert_eq!((well.hung, well.longest_allowed_ms), (0, Some(1000)));
        assert_eq!(with(true, End::Connected(13_000)).hung, 1);
        assert_eq!(with(true, End::Waits(13_000)).hung, 1);
        assert_eq!(with(true, End::Waits(6000)).hung, 0, "not yet");
        let told = with(false, End::Gone(7000));
        assert_eq!((told.hung, told.longest_blocked_ms), (0, Some(3000)));
        assert_eq!(with(false, End::Gone(131_000)).hung, 1, "until TCP gave up");
    }

    #[test]
    fn a_connection_that_begins_under_an_answer_is_measured_from_its_beginning() {
        let mut all = evening(
            vec![question(1, 1, 1000)],
            vec![answer(1, 4000, false, Width::Endpoint)],
        );
        all.connects = vec![connect(1, 50_000, End::Gone(50_400))];
        assert_eq!(row(&all).longest_blocked_ms, Some(400));
        assert_eq!(row(&all).hung, 0);
        all.connects = vec![connect(1, 50_000, End::Gone(60_400))];
        assert_eq!(row(&all).hung, 1);
    }

    #[test]
    fn a_connection_that_nobody_is_asked_about_hangs_once_a_question_would_be_over() {
        let with = |end| {
            let mut all = whole();
            all.connects.push(connect(2, 1000, end));
            row(&all).hung
        };
        assert_eq!(with(End::Waits(36_100)), 1);
        assert_eq!(with(End::Gone(131_000)), 1, "until TCP gave up");
        assert_eq!(with(End::Connected(50_000)), 1, "by chance, much later");
        assert_eq!(with(End::Waits(31_000)), 0, "not yet");
        let mut all = whole();
        let mut silent = connect(2, 1000, End::Waits(131_000));
        silent.reachable = false;
        all.connects.push(silent);
        assert_eq!(row(&all).hung, 0, "nobody would answer it");
    }

    #[test]
    fn what_does_not_answer_hangs_by_nobodys_fault() {
        let mut all = evening(
            vec![question(1, 1, 1000)],
            vec![answer(1, 4000, true, Width::Endpoint)],
        );
        let mut silent = connect(1, 1000, End::Gone(60_000));
        silent.reachable = false;
        all.connects = vec![silent.clone()];
        assert_eq!(row(&all).hung, 0);
        all.answers[0].allow = false;
        assert_eq!(row(&all).hung, 1, "but for what is blocked");
    }

    /// An evening that holds.
    fn whole() -> Evening {
        let mut all = evening(
            vec![question(1, 1, 1000)],
            vec![answer(1, 4000, true, Width::Endpoint)],
        );
        all.connects = vec![connect(1, 800, End::Connected(5000))];
        all.records = 1;
        all.runs.insert("curl".to_owned(), Runs { well: 1, ill: 0 });
        all
    }

    #[test]
    fn an_evening_in_which_nothing_happened_does_not_hold() {
        assert_eq!(Evening::default().account().faults.len(), 5);
        let without = |change: fn(&mut Evening)| {
            let mut all = whole();
            change(&mut all);
            all.account().faults.join("; ")
        };
        assert!(without(|all| all.questions.clear()).contains("nobody was asked"));
        assert!(without(|all| all.answers.clear()).contains("nobody answered"));
        assert!(without(|all| all.connects.clear()).contains("no connection"));
        assert!(without(|all| all.records = 0).contains("no packet"));
        assert!(without(|all| all.runs.clear()).contains("no program"));
    }

    #[test]
    fn each_kind_of_fault_is_said_and_an_evening_without_any_has_none() {
        assert_eq!(whole().account().faults, [] as [String; 0]);
        let with = |change: fn(&mut Evening)| {
            let mut all = whole();
            change(&mut all);
            all.account().faults.len()
        };
        assert_eq!(with(|all| all.lost = 1), 1);
        assert_eq!(with(|all| all.misunderstood = 1), 1);
        assert_eq!(with(|all| all.unexpected = 1), 1);
        assert_eq!(with(|all| all.idle_from_ms = 0), 0, "asked just before");
        assert_eq!(
            with(|all| {
                all.idle_from_ms = 0;
                all.questions[0] = question(1, 1, 9000);
                all.answers[0].at_ms = 10_000;
            }),
            1
        );
        let failed = |all: &mut Evening| {
            all.runs.insert("apt".to_owned(), Runs { well: 3, ill: 1 });
        };
        assert_eq!(with(failed), 1);
    }
}
