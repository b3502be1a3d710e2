//! `gatebell ask`: what the rules ask about, and answers.

mod arguments;
mod terminal;
mod turn;
mod typed;

pub use arguments::{HELP, QuestionArguments};

use super::connect;
use crate::Error;
use crate::style;
use arguments::AnswerTime;
use control::{Client, Given, Lasts, Question};
use firewall_abi::packet::Verdict;
use serde_json::json;
use std::collections::BTreeSet;
use std::io::Write;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};
use terminal::{discard_typed, lines};
use turn::{Meant, Turn};
use typed::{Typed, keys};
use view::question;

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
    let lines = lines(std::io::stdin());
    let mut skipped = BTreeSet::new();
    let mut turn = Turn::default();
    let mut is_for = None;
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
            if question.many || turn.listed(question.id) != Some(question.listed) {
                // Others may be listed by now than when it was shown first.
                turn.shows(question);
            }
        }
        out.flush()?;
        turn.show(questions.iter().map(|question| question.id), Instant::now());
        let was_for = std::mem::replace(&mut is_for, turn.next_line_is_for());
        if is_for != was_for
            && let Some((id, _)) = is_for
            && discard_typed(&std::io::stdin())
        {
            say_unseen(id, out)?;
        }
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
            (Some(Typed::Nothing), Meant::Waiting(_)) => turn.show_again(),
            (Some(Typed::Nothing), _) => {}
            (None, _) => writeln!(out, "{}", keys())?,
            (_, Meant::Nothing) => writeln!(out, "nothing waits for an answer")?,
            (_, Meant::Over(id)) => {
                writeln!(
                    out,
                    "{id} is over, and nothing was answered: type it again if you mean the next one"
                )?;
            }
            (_, Meant::Unseen(id)) => say_unseen(id, out)?,
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

/// Says that a line was not meant for this question, which was shown after it.
fn say_unseen(id: u64, out: &mut dyn Write) -> Result<(), Error> {
    writeln!(
        out,
        "{id} was shown after that was typed, and nothing was answered: type it again if you mean {id}"
    )?;
    Ok(())
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
mod example {
    use control::Question;

    /// A question about many places, of which these are listed, and so many more wait.
    pub fn about_many(id: u64, listed: std::ops::RangeInclusive<u64>, more: u64) -> Question {
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
            listed: *listed.end(),
            places: listed.map(place).collect(),
            more,
            ..view::example::question()
        }
    }
}
