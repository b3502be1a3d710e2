//! `gatebell ask`: what the rules ask about, and answers.

use super::connect;
use crate::Error;
use crate::arguments::{AnswerTime, QuestionArguments};
use crate::style;
use control::{Client, Given, Lasts, Question};
use firewall_abi::packet::Verdict;
use serde_json::json;
use std::collections::BTreeSet;
use std::io::Write;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;
use view::question::{self, Choice};

/// How often it is looked for questions.
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
    let answered = client.answer(id, &given)?;
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
    let (mut shown, mut skipped) = (BTreeSet::new(), BTreeSet::new());
    if !json {
        writeln!(out, "{}{}{0:#}", style::FAINT, keys())?;
    }
    loop {
        let questions = client.questions()?;
        for question in &questions {
            if shown.insert(question.id) {
                list(std::slice::from_ref(question), json, out)?;
            }
        }
        shown.retain(|id| questions.iter().any(|question| question.id == *id));
        out.flush()?;
        let line = match lines.recv_timeout(EVERY) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return Ok(0),
        };
        let next = questions
            .iter()
            .find(|question| !skipped.contains(&question.id));
        match (Typed::of(&line), next) {
            (Some(Typed::Quit), _) => return Ok(0),
            (Some(Typed::Nothing), _) => {}
            (None, _) => writeln!(out, "{}", keys())?,
            (_, None) => writeln!(out, "nothing waits for an answer")?,
            (Some(Typed::Skip), Some(question)) => {
                skipped.insert(question.id);
            }
            (Some(Typed::Given(given)), Some(question)) => {
                match client.answer(question.id, &given) {
                    Ok(answered) => said(&answered, &given, out)?,
                    // Somebody else was quicker, or its time was over.
                    Err(control::Failed::Refused { message, .. }) => writeln!(out, "{message}")?,
                    Err(other) => return Err(other.into()),
                }
            }
        }
    }
}

/// What is typed, line by line.
fn lines() -> Receiver<String> {
    let (tell, hear) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if tell.send(line).is_err() {
                return;
            }
        }
    });
    hear
}

/// What can be typed.
fn keys() -> String {
    format!(
        "{}, {} leave it, q quit; then {}; then {}: `a` is `amp`, `bwe` blocks the program for always, `ac` allows this one connection",
        Choice::keys(&question::VERDICTS),
        question::LEAVE,
        Choice::keys(&question::LASTS),
        Choice::keys(&question::WIDTHS)
    )
}

/// What a line means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Typed {
    Given(Given),
    Skip,
    Quit,
    Nothing,
}

impl Typed {
    /// None: nothing that is known.
    fn of(line: &str) -> Option<Self> {
        let line = line.trim();
        let mut keys = line.chars();
        let allow = match keys.next() {
            None => return Some(Self::Nothing),
            Some('q') if line.len() == 1 => return Some(Self::Quit),
            Some(question::LEAVE) if line.len() == 1 => return Some(Self::Skip),
            Some(key) => Choice::of(&question::VERDICTS, key)?,
        };
        let mut given = question::usual(allow);
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
    fn a_key_is_an_answer_and_more_keys_say_for_how_long_and_about_what() {
        let given = |line: &str| match Typed::of(line) {
            Some(Typed::Given(Given {
                allow,
                width,
                lasts,
            })) => Some((allow, width, lasts)),
            _ => None,
        };
        let usual = question::USUAL;
        assert_eq!(given("a"), Some((true, Width::Place, usual)));
        assert_eq!(given(" b "), Some((false, Width::Place, usual)));
        assert_eq!(given("ae"), Some((true, Width::Anywhere, usual)));
        assert_eq!(given("bwe"), Some((false, Width::Anywhere, Lasts::Always)));
        assert_eq!(given("aro"), Some((true, Width::Port, Lasts::UntilRestart)));
        assert_eq!(given("ac"), Some((true, Width::Place, Lasts::Connection)));
        assert_eq!(given("bcp"), Some((false, Width::Place, Lasts::Connection)));
        assert_eq!(given("ate"), Some((true, Width::Anywhere, Lasts::Process)));
        // A connection is to one place.
        for nothing in ["x", "aa", "ax", "awpp", "apw", "allow", "A", "ace", "aco"] {
            assert_eq!(Typed::of(nothing), None, "{nothing}");
        }
        assert_eq!(Typed::of("q"), Some(Typed::Quit));
        assert_eq!(Typed::of(""), Some(Typed::Nothing));
    }
}
