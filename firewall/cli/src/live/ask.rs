//! `gatebell ask`: what the rules ask about, and answers.

use super::connect;
use crate::Error;
use crate::arguments::Time;
use crate::style;
use clap::{Args, ValueHint};
use control::{Client, Given, Lasts, Question};
use firewall_abi::asking::Width;
use firewall_abi::packet::Verdict;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use view::question::{self, Choice};
use view::text;

/// Text below the command's help.
pub const HELP: &str = "\
Examples:
  gatebell ask                                       shows and asks, until q or Ctrl-C
  gatebell ask --list --json                         what waits, one JSON object for each
  gatebell ask --answer 7 allow --for 1h --width port
  gatebell ask --answer 7 block --for always --width anywhere

Exit codes:
  0  it is as you asked
  1  no such question waits, or you may not answer it, or there is no service
  2  the command line is wrong";

/// `gatebell ask`.
#[derive(Debug, Args)]
pub struct QuestionArguments {
    /// Print what waits, and end
    #[arg(long, conflicts_with = "answer")]
    pub list: bool,
    /// Answer this question, and end
    #[arg(long, value_name = "NUMBER", requires = "verdict")]
    pub answer: Option<u64>,
    /// The answer: allow or block
    #[arg(requires = "answer", value_name = "allow|block")]
    pub verdict: Option<Yes>,
    /// How long the answer holds: connection (for the one that asks alone), 60s, 10m, 2h, program (until the process that asks ends),
    /// restart (until the service starts again) or always; if left out, 10m. To a link-local address: connection, program, or 1h at most
    #[arg(long = "for", value_name = "TIME", requires = "answer")]
    pub lasts: Option<AnswerTime>,
    /// What it is about: endpoint (address, protocol and port), address, port, or anywhere
    #[arg(long, default_value = "endpoint", requires = "answer")]
    pub width: AnswerWidth,
    /// The last place that you were shown, of a question about many: the answer is about the places up to that one (--list numbers them)
    #[arg(long, value_name = "NUMBER", requires = "answer")]
    pub listed: Option<u64>,
    /// The service's control socket
    #[arg(long, value_name = "PATH", default_value = control::SOCKET, value_hint = ValueHint::FilePath)]
    pub socket: PathBuf,
    /// Print one JSON object for each question
    #[arg(long)]
    pub json: bool,
}

impl QuestionArguments {
    /// Returns whether the command waits for questions and for typed lines.
    pub(crate) const fn sits(&self) -> bool {
        !self.list && self.answer.is_none()
    }
}

/// An answer.
#[derive(Clone, Copy, Debug)]
pub struct Yes(pub Verdict);

impl FromStr for Yes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "allow" => Ok(Self(Verdict::Allow)),
            "block" => Ok(Self(Verdict::Block)),
            _ => Err("it is allow or block".to_owned()),
        }
    }
}

/// Lifetime of an answer.
#[derive(Clone, Copy, Debug)]
pub enum AnswerTime {
    Connection,
    Process,
    For(Duration),
    UntilRestart,
    Always,
}

impl FromStr for AnswerTime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "connection" => Ok(Self::Connection),
            "program" => Ok(Self::Process),
            "restart" => Ok(Self::UntilRestart),
            "always" => Ok(Self::Always),
            time => time.parse().map(|Time(time)| Self::For(time)).map_err(|_| {
                "write it like 60s, 10m or 2h; or connection, program, restart or always".to_owned()
            }),
        }
    }
}

/// Width of an answer: the connections that it is about.
#[derive(Clone, Copy, Debug)]
pub struct AnswerWidth(pub Width);

impl FromStr for AnswerWidth {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Width::ALL.into_iter().find(|width| width.name() == text);
        found
            .map(Self)
            .ok_or_else(|| "it is endpoint, address, port or anywhere".to_owned())
    }
}

/// Interval between two looks for questions.
const EVERY: Duration = Duration::from_millis(300);

/// Lists, answers one, or asks whoever sits there until Ctrl-C.
pub fn ask(arguments: &QuestionArguments, out: &mut dyn Write) -> Result<u8, Error> {
    let mut client = connect(&arguments.socket)?;
    if let Some(id) = arguments.answer {
        return answer(id, arguments, &mut client, out);
    }
    if arguments.list {
        return list(&client.questions()?, arguments.json, out);
    }
    sit(&mut client, arguments.json, out)
}

fn list(questions: &[Question], json: bool, out: &mut dyn Write) -> Result<u8, Error> {
    for question in questions {
        if json {
            writeln!(out, "{}", json!(question))?;
        } else {
            show(question, out)?;
        }
    }
    if questions.is_empty() && !json {
        writeln!(out, "nothing waits for an answer")?;
    }
    Ok(0)
}

fn answer(
    id: u64,
    arguments: &QuestionArguments,
    client: &mut Client,
    out: &mut dyn Write,
) -> Result<u8, Error> {
    let lasts = match arguments.lasts {
        None => question::USUAL,
        Some(AnswerTime::Connection) => Lasts::Connection,
        Some(AnswerTime::Process) => Lasts::Process,
        Some(AnswerTime::For(time)) => Lasts::For(time),
        Some(AnswerTime::UntilRestart) => Lasts::UntilRestart,
        Some(AnswerTime::Always) => Lasts::Always,
    };
    let allow = arguments
        .verdict
        .is_some_and(|verdict| verdict.0 == Verdict::Allow);
    let given = Given {
        allow,
        width: arguments.width.0,
        lasts,
    };
    let answered = client.answer(id, arguments.listed, &given)?;
    if arguments.json {
        writeln!(out, "{}", json!(answered))?;
    } else {
        said(&answered, &given, out)?;
    }
    Ok(0)
}

/// Shows each question once, and takes lines as answers to the oldest that is not left aside.
fn sit(client: &mut Client, json: bool, out: &mut dyn Write) -> Result<u8, Error> {
    let lines = lines();
    let mut skipped = BTreeSet::new();
    let mut turn = Turn::default();
    if !json {
        writeln!(out, "{}{}{0:#}", style::FAINT, keys())?;
    }
    loop {
        let questions = client.questions()?;
        for question in &questions {
            if turn.is_new(question) {
                list(std::slice::from_ref(question), json, out)?;
                turn.shows(question);
            }
        }
        let waiting = questions.iter().map(|question| question.id);
        let waiting = waiting.filter(|id| !skipped.contains(id)).collect();
        if let Some(over) = turn.follow(waiting, Instant::now())
            && !json
        {
            writeln!(out, "{}{over} is over{0:#}", style::FAINT)?;
        }
        let stands_above = turn.stands_above();
        let again = questions
            .iter()
            .find(|asked| Some(asked.id) == stands_above);
        if let Some(question) = again.filter(|_| !json) {
            show(question, out)?;
            if question.many {
                // Others may be listed by now than when it was shown first.
                turn.shows(question);
            }
        }
        out.flush()?;
        turn.show(questions.iter().map(|question| question.id), Instant::now());
        let (line, typed) = match lines.recv_timeout(EVERY) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return Ok(0),
        };
        let meant = turn.take(typed);
        let asked = questions
            .iter()
            .find(|asked| Meant::Waiting(asked.id) == meant);
        match (Typed::of(&line, asked), meant) {
            (Some(Typed::Quit), _) => return Ok(0),
            (Some(Typed::Nothing), _) => {}
            (None, _) => writeln!(out, "{}", keys())?,
            (_, Meant::Nothing) => writeln!(out, "nothing waits for an answer")?,
            (_, Meant::Over(id)) => {
                writeln!(
                    out,
                    "{id} is over, and nothing was answered: type it again if you mean the next one"
                )?;
            }
            (_, Meant::Unseen(id)) => {
                writeln!(
                    out,
                    "{id} was shown after that was typed, and nothing was answered: type it again if you mean {id}"
                )?;
            }
            (Some(Typed::Skip), Meant::Waiting(id)) => {
                skipped.insert(id);
                turn.pass();
            }
            (Some(Typed::Given(given)), Meant::Waiting(id)) => {
                match client.answer(id, turn.listed(id), &given) {
                    Ok(answered) => {
                        turn.pass();
                        said(&answered, &given, out)?;
                    }
                    // Somebody else was quicker, or its time was over.
                    Err(control::Failed::Refused { message, .. }) => {
                        writeln!(out, "{}", rules::clean_lines(&message))?
                    }
                    Err(other) => return Err(other.into()),
                }
            }
        }
    }
}

/// Time after the end of a question in which a typed line may still have been meant for it.
const MEANWHILE: Duration = Duration::from_secs(2);

/// Queue of questions, which tells the one that a typed line is meant for.
#[derive(Debug, Default)]
struct Turn {
    /// Number of the current question, and the time at which it was seen to be over.
    current: Option<(u64, Option<Instant>)>,
    /// Numbers of the questions that wait, the oldest first.
    waiting: Vec<u64>,
    /// Since when those are shown that wait for an answer at all.
    shown: BTreeMap<u64, Instant>,
    /// Parts that were shown of the questions about many places.
    many: BTreeMap<u64, Many>,
    /// The one that was shown last, below all others.
    last: Option<u64>,
}

/// Part that was shown of a question about many places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Many {
    /// The first place that was listed, and the last one.
    first: Option<u64>,
    listed: Option<u64>,
    /// Number of all places when it was shown.
    all: u64,
}

impl Many {
    fn of(question: &Question) -> Option<Self> {
        let first = question.places.first().map(|place| place.number);
        question.many.then(|| Self {
            first,
            listed: question.listed(),
            all: (question.places.len() as u64).saturating_add(question.more),
        })
    }

    /// Returns whether the question is to be shown again: none of the places that were listed waits, or there are many more. Each place
    /// has its own time: of a flood another is the first at each look, and who reads the list would never come to its end.
    fn is_outdated(&self, now: &Self) -> bool {
        const MANY_TIMES: u64 = 4;
        now.first > self.listed || now.all >= self.all.saturating_mul(MANY_TIMES)
    }
}

/// Question that a typed line is meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meant {
    Waiting(u64),
    /// The question waits, but was not shown yet when the line was typed.
    Unseen(u64),
    Over(u64),
    Nothing,
}

impl Turn {
    /// Returns whether a question was not shown yet, or has changed too much since.
    fn is_new(&self, question: &Question) -> bool {
        let before = self.many.get(&question.id);
        let is_outdated = before
            .zip(Many::of(question))
            .is_some_and(|(before, now)| before.is_outdated(&now));
        !self.shown.contains_key(&question.id) || is_outdated
    }

    /// Notes that a question is shown now: lines typed before were not meant for it.
    fn shows(&mut self, question: &Question) {
        self.last = Some(question.id);
        self.shown.remove(&question.id);
        match Many::of(question) {
            Some(many) => self.many.insert(question.id, many),
            None => self.many.remove(&question.id),
        };
    }

    /// The number of the last place that was listed of this question.
    fn listed(&self, id: u64) -> Option<u64> {
        self.many.get(&id)?.listed
    }

    /// Takes in what waits. Returns the question whose turn it was, once, if it is over.
    fn follow(&mut self, waiting: Vec<u64>, now: Instant) -> Option<u64> {
        self.waiting = waiting;
        match self.current {
            Some((id, _)) if self.waiting.contains(&id) => None,
            Some((id, None)) => {
                self.current = Some((id, Some(now)));
                Some(id)
            }
            Some((_, Some(over))) if now.saturating_duration_since(over) < MEANWHILE => None,
            _ => {
                self.next();
                None
            }
        }
    }

    fn next(&mut self) {
        self.current = self.waiting.first().map(|id| (*id, None));
    }

    /// The question whose turn it is, once, if others were shown below it: nobody knows which of them the next line is for, some of
    /// which an answer to another one has settled.
    fn stands_above(&mut self) -> Option<u64> {
        let (current, over) = self.current?;
        if over.is_some() || self.last == Some(current) {
            return None;
        }
        self.last = Some(current);
        self.last
    }

    /// Passes to the next question, as the current one was answered or left aside.
    fn pass(&mut self) {
        self.current = None;
    }

    /// These are to be seen from now on, and no others.
    fn show(&mut self, ids: impl Iterator<Item = u64>, now: Instant) {
        let before = std::mem::take(&mut self.shown);
        let since = |id| (id, before.get(&id).copied().unwrap_or(now));
        self.shown = ids.map(since).collect();
        let shown = &self.shown;
        self.many.retain(|id, _| shown.contains_key(id));
    }

    /// Returns the question that a line typed at this time is meant for. The next line is for the next question.
    fn take(&mut self, typed: Instant) -> Meant {
        let has_been_seen = |id| self.shown.get(&id).is_some_and(|since| *since <= typed);
        let meant = match self.current {
            None => Meant::Nothing,
            Some((id, _)) if self.waiting.contains(&id) => {
                if has_been_seen(id) {
                    Meant::Waiting(id)
                } else {
                    Meant::Unseen(id)
                }
            }
            Some((id, _)) => Meant::Over(id),
        };
        if let Meant::Over(_) = meant {
            self.next();
        }
        meant
    }
}

/// Starts a thread that sends each typed line, with its time.
fn lines() -> Receiver<(String, Instant)> {
    let (tell, hear) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if tell.send((line, Instant::now())).is_err() {
                return;
            }
        }
    });
    hear
}

/// Returns the help on the keys that can be typed.
fn keys() -> String {
    format!(
        "{}, {} leave it, {} {}, q quit; then {}; then {}: `a` is `amp`, `bwe` blocks the program for always, `ac` allows this one \
         connection; where it is about many places `a` is `ame`, and `ap` is those listed",
        Choice::keys(&question::VERDICTS),
        question::LEAVE,
        question::MUTE,
        text!("choice-mute"),
        Choice::keys(&question::LASTS),
        Choice::keys(&question::WIDTHS)
    )
}

/// Meaning of a typed line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Typed {
    Given(Given),
    Skip,
    Quit,
    Nothing,
}

impl Typed {
    /// Parses a line typed about a question, if one waits; returns `None` if it has no known meaning.
    fn of(line: &str, asked: Option<&Question>) -> Option<Self> {
        let line = line.trim();
        let mut keys = line.chars();
        let allow = match keys.next() {
            None => return Some(Self::Nothing),
            Some('q') if line.len() == 1 => return Some(Self::Quit),
            Some(question::LEAVE) if line.len() == 1 => return Some(Self::Skip),
            // Where none waits it is said that none does.
            Some(question::MUTE) if line.len() == 1 => {
                return Some(asked.map_or(Self::Skip, |asked| Self::Given(question::mute(asked))));
            }
            Some(key) => Choice::of(&question::VERDICTS, key)?,
        };
        let mut given = asked.map_or(question::usual(allow), |asked| {
            question::usual_for(asked, allow)
        });
        let mut rest = keys.peekable();
        if let Some(lasts) = rest
            .peek()
            .and_then(|key| Choice::of(&question::LASTS, *key))
        {
            given.lasts = lasts;
            rest.next();
        }
        if let Some(width) = rest
            .peek()
            .and_then(|key| Choice::of(&question::WIDTHS, *key))
        {
            given.width = width;
            rest.next();
        }
        let makes_sense = question::can_be_wide(given.lasts, given.width);
        (rest.next().is_none() && makes_sense).then_some(Self::Given(given))
    }
}

fn show(asked: &Question, out: &mut dyn Write) -> Result<(), Error> {
    let (strong, faint) = (style::STRONG, style::FAINT);
    let Question {
        id,
        milliseconds_left,
        ..
    } = asked;
    writeln!(out, "{strong}{id}: {}{strong:#}", question::sentence(asked))?;
    let process = question::process(asked).map_or(String::new(), |process| format!("{process}; "));
    let left = Duration::from_millis(*milliseconds_left);
    writeln!(
        out,
        "{faint}   {process}{}; {}{faint:#}",
        question::asked_by(asked),
        question::unanswered(asked, left)
    )?;
    for (place, words) in asked.places.iter().zip(question::places(asked)) {
        writeln!(out, "{faint}   {}. {words}{faint:#}", place.number)?;
    }
    if let Some(remark) = question::remark(asked) {
        writeln!(out, "{faint}   {remark}{faint:#}")?;
    }
    Ok(())
}

fn said(asked: &Question, given: &Given, out: &mut dyn Write) -> Result<(), Error> {
    let verdict = question::verdict(given);
    let colour = style::verdict(verdict);
    writeln!(
        out,
        "{colour}{}{colour:#} {}: {}",
        verdict.name(),
        question::extent(given),
        question::sentence(asked)
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use firewall_abi::asking::Width;

    #[test]
    fn what_is_typed_answers_the_question_that_was_shown_and_no_other() {
        let mut turn = Turn::default();
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        turn.show(4..9, begin);
        assert_eq!(turn.take(at(0)), Meant::Nothing);
        assert_eq!(turn.follow(vec![5], at(0)), None);
        assert_eq!(turn.follow(vec![5, 6], at(300)), None);
        assert_eq!(turn.take(at(9000)), Meant::Waiting(5));
        turn.pass();
        assert_eq!(turn.follow(vec![4], at(450)), None, "it was answered here");
        turn.pass();
        assert_eq!(turn.follow(vec![5, 6], at(500)), None);
        // The window has answered it meanwhile, and somebody has another one asked.
        assert_eq!(turn.follow(vec![6, 7], at(600)), Some(5), "said once");
        assert_eq!(turn.follow(vec![6, 7], at(900)), None);
        assert_eq!(turn.take(at(9000)), Meant::Over(5));
        assert_eq!(turn.take(at(9000)), Meant::Waiting(6), "and then the next");
        // Whoever types nothing for a while has seen that it is over.
        assert_eq!(turn.follow(vec![7], at(2000)), Some(6));
        assert_eq!(turn.follow(vec![7], at(3900)), None);
        assert_eq!(turn.take(at(9000)), Meant::Over(6));
        assert_eq!(turn.follow(vec![], at(5000)), Some(7));
        assert_eq!(turn.follow(vec![8], at(7001)), None);
        assert_eq!(turn.take(at(9000)), Meant::Waiting(8));
    }

    #[test]
    fn the_question_whose_turn_it_is_stands_below_all_others() {
        let mut turn = Turn::default();
        let now = Instant::now();
        turn.last = Some(5);
        turn.follow(vec![5], now);
        assert_eq!(turn.stands_above(), None, "it is the only one");
        // Two more come, and the first is answered.
        turn.last = Some(7);
        turn.follow(vec![5, 6, 7], now);
        assert_eq!(turn.stands_above(), Some(5));
        assert_eq!(turn.stands_above(), None, "said once");
        turn.pass();
        turn.follow(vec![6, 7], now);
        assert_eq!(turn.stands_above(), Some(6));
        // The next answer settles another one too: which was next, nobody could tell.
        turn.pass();
        turn.last = Some(9);
        turn.follow(vec![8, 9], now);
        assert_eq!(turn.stands_above(), Some(8));
        turn.pass();
        turn.follow(vec![9], now);
        assert_eq!(turn.stands_above(), Some(9));
        turn.pass();
        turn.follow(vec![], now);
        assert_eq!(turn.stands_above(), None);
    }

    #[test]
    fn what_was_typed_before_a_question_was_shown_answers_it_not() {
        let mut turn = Turn::default();
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        assert_eq!(turn.follow(vec![5], at(0)), None);
        turn.show([5].into_iter(), at(1));
        assert_eq!(turn.take(at(20)), Meant::Waiting(5));
        turn.pass();
        // The next line was typed with that one, and meanwhile another question came.
        assert_eq!(turn.follow(vec![6], at(30)), None);
        assert_eq!(
            turn.take(at(21)),
            Meant::Unseen(6),
            "it is shown nowhere yet"
        );
        turn.show([6].into_iter(), at(31));
        assert_eq!(turn.take(at(21)), Meant::Unseen(6));
        turn.show([6].into_iter(), at(40));
        assert_eq!(
            turn.take(at(35)),
            Meant::Waiting(6),
            "seen since it was first shown"
        );
    }

    /// A question about many places, of which these are listed, and so many more wait.
    fn about_many(id: u64, listed: std::ops::RangeInclusive<u64>, more: u64) -> Question {
        let place = |number| control::AskedPlace {
            number,
            remote: [192, 0, 2, 7].into(),
            remote_name: None,
            protocol: 6,
            port: Some(443),
        };
        Question {
            id,
            many: true,
            places: listed.map(place).collect(),
            more,
            ..view::example::question()
        }
    }

    #[test]
    fn a_question_about_many_places_is_shown_again_where_others_are_listed_or_many_more_wait() {
        let mut turn = Turn::default();
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let mut sees = |question: Question, ms| {
            let is_new = turn.is_new(&question);
            if is_new {
                turn.shows(&question);
            }
            turn.follow(vec![question.id], at(ms));
            turn.show([question.id].into_iter(), at(ms));
            let typed = turn.take(at(ms.saturating_sub(1)));
            (is_new, turn.listed(question.id), typed)
        };
        let unseen = Meant::Unseen(7);
        assert_eq!(sees(about_many(7, 1..=2, 0), 10), (true, Some(2), unseen));
        // An answer is about those that were listed, though more are by now.
        let waiting = Meant::Waiting(7);
        assert_eq!(sees(about_many(7, 1..=7, 0), 20), (false, Some(2), waiting));
        assert_eq!(sees(about_many(7, 1..=8, 0), 30), (true, Some(8), unseen));
        assert_eq!(
            sees(about_many(7, 1..=8, 23), 40),
            (false, Some(8), waiting)
        );
        assert_eq!(sees(about_many(7, 1..=8, 24), 50), (true, Some(8), unseen));
        // Those were answered, and others take their place.
        assert_eq!(
            sees(about_many(7, 9..=16, 16), 60),
            (true, Some(16), unseen)
        );
    }

    #[test]
    fn a_flood_is_shown_again_only_where_none_that_was_listed_waits_or_four_times_as_many_do() {
        let mut turn = Turn::default();
        turn.shows(&about_many(7, 1..=8, 2));
        turn.show([7].into_iter(), Instant::now());
        // The oldest are over one after the other, and others come behind.
        for first in 2..=8 {
            assert!(!turn.is_new(&about_many(7, first..=first + 7, 2)));
        }
        assert_eq!(turn.listed(7), Some(8));
        assert!(!turn.is_new(&about_many(7, 8..=15, 31)));
        assert!(turn.is_new(&about_many(7, 8..=15, 32)));
        assert!(turn.is_new(&about_many(7, 9..=16, 2)));
    }

    #[test]
    fn a_verdict_alone_is_about_the_program_where_it_is_asked_about_many_places_and_one_key_mutes_it()
     {
        let many = about_many(7, 1..=8, 0);
        let given = |line, asked| match Typed::of(line, asked) {
            Some(Typed::Given(given)) => Some(given),
            _ => None,
        };
        let wide = given("a", Some(&many)).expect("an answer");
        assert!(wide.allow && wide.width == Width::Anywhere);
        assert_eq!(given("ap", Some(&many)), Some(question::usual(true)));
        assert_eq!(given("a", None), Some(question::usual(true)));
        assert_eq!(given("n", Some(&many)), Some(question::mute(&many)));
        assert_eq!(Typed::of("n", None), Some(Typed::Skip));
        assert_eq!(Typed::of("na", Some(&many)), None);
    }

    #[test]
    fn a_key_is_an_answer_and_more_keys_say_for_how_long_and_about_what() {
        let given = |line: &str| match Typed::of(line, None) {
            Some(Typed::Given(Given {
                allow,
                width,
                lasts,
            })) => Some((allow, width, lasts)),
            _ => None,
        };
        let usual = question::USUAL;
        assert_eq!(given("a"), Some((true, Width::Endpoint, usual)));
        assert_eq!(given(" b "), Some((false, Width::Endpoint, usual)));
        assert_eq!(given("ae"), Some((true, Width::Anywhere, usual)));
        assert_eq!(given("bwe"), Some((false, Width::Anywhere, Lasts::Always)));
        assert_eq!(given("aro"), Some((true, Width::Port, Lasts::UntilRestart)));
        assert_eq!(
            given("ac"),
            Some((true, Width::Endpoint, Lasts::Connection))
        );
        assert_eq!(
            given("bcp"),
            Some((false, Width::Endpoint, Lasts::Connection))
        );
        assert_eq!(given("ate"), Some((true, Width::Anywhere, Lasts::Process)));
        // A connection is to one endpoint.
        for nothing in ["x", "aa", "ax", "awpp", "apw", "allow", "A", "ace", "aco"] {
            assert_eq!(Typed::of(nothing, None), None, "{nothing}");
        }
        assert_eq!(Typed::of("q", None), Some(Typed::Quit));
        assert_eq!(Typed::of("", None), Some(Typed::Nothing));
    }
}
