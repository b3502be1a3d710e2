//! `gatebell ask`: what the rules ask about, and answers.

use super::connect;
use crate::Error;
use crate::arguments::{AnswerTime, QuestionArguments};
use crate::style;
use control::{Client, Given, Lasts, Question};
use firewall_abi::asking::Width;
use firewall_abi::packet::{Direction, Verdict};
use serde_json::json;
use std::collections::BTreeSet;
use std::io::Write;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;
use view::entry::protocol_name;

/// How often it is looked for questions.
const EVERY: Duration = Duration::from_millis(300);
/// How long an answer holds that says no more.
const USUAL: Duration = Duration::from_secs(600);

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
        None => Lasts::For(USUAL),
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
        writeln!(out, "{}{KEYS}{0:#}", style::FAINT)?;
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
            (None, _) => writeln!(out, "{KEYS}")?,
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

const KEYS: &str = "a allow, b block, s leave it, q quit; then m 10 minutes, r until the service starts again, w always; then p this place, \
                    d this address, o this port, e everywhere: `a` is `amp`, `bwe` blocks the program for always";

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
        match line {
            "" => return Some(Self::Nothing),
            "s" => return Some(Self::Skip),
            "q" => return Some(Self::Quit),
            _ => {}
        }
        let mut keys = line.chars();
        let allow = match keys.next()? {
            'a' => true,
            'b' => false,
            _ => return None,
        };
        let mut given = Given {
            allow,
            width: Width::Place,
            lasts: Lasts::For(USUAL),
        };
        let mut rest = keys.peekable();
        if let Some(lasts) = rest.peek().and_then(|key| lasts(*key)) {
            given.lasts = lasts;
            rest.next();
        }
        if let Some(width) = rest.peek().and_then(|key| width(*key)) {
            given.width = width;
            rest.next();
        }
        rest.next().is_none().then_some(Self::Given(given))
    }
}

const fn lasts(key: char) -> Option<Lasts> {
    Some(match key {
        'm' => Lasts::For(USUAL),
        'r' => Lasts::UntilRestart,
        'w' => Lasts::Always,
        _ => return None,
    })
}

const fn width(key: char) -> Option<Width> {
    Some(match key {
        'p' => Width::Place,
        'd' => Width::Address,
        'o' => Width::Port,
        'e' => Width::Anywhere,
        _ => return None,
    })
}

fn show(question: &Question, out: &mut dyn Write) -> Result<(), Error> {
    let Question {
        id,
        pid,
        count,
        more,
        milliseconds_left,
        unanswered,
        ..
    } = question;
    let (strong, faint) = (style::STRONG, style::FAINT);
    writeln!(out, "{strong}{id}: {}{strong:#}", sentence(question))?;
    let process = if *pid == 0 {
        String::new()
    } else {
        format!("{} (pid {pid}); ", clean(&question.name))
    };
    let by = question
        .rule
        .as_ref()
        .map_or("the default asks".to_owned(), |rule| {
            format!("rule `{}` asks", clean(rule))
        });
    let others = if *more == 0 {
        String::new()
    } else {
        format!("; {more} more of this program wait behind it")
    };
    writeln!(
        out,
        "{faint}   {process}{by}; packets: {count}{others}; {unanswered} in {} s{faint:#}",
        milliseconds_left.div_ceil(1000)
    )?;
    Ok(())
}

/// `/usr/bin/curl of user 1000 -> 192.0.2.7 tcp port 443`.
fn sentence(question: &Question) -> String {
    let Question {
        direction,
        protocol,
        remote,
        port,
        user,
        program,
        name,
        ..
    } = question;
    let who = program.as_deref().unwrap_or(name);
    let who = if who.is_empty() {
        "somebody here".to_owned()
    } else {
        clean(who)
    };
    let user = user.map_or(String::new(), |user| format!(" of user {user}"));
    let protocol = protocol_name(*protocol).map_or_else(|| protocol.to_string(), str::to_owned);
    let port = port.map_or(String::new(), |port| format!(" port {port}"));
    let arrow = if direction == Direction::Inbound.name() {
        "<-"
    } else {
        "->"
    };
    format!("{who}{user} {arrow} {remote} {protocol}{port}")
}

/// Programs may have any name: control characters are shown as such, never obeyed.
fn clean(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

fn said(question: &Question, given: &Given, out: &mut dyn Write) -> Result<(), Error> {
    let verdict = if given.allow {
        Verdict::Allow
    } else {
        Verdict::Block
    };
    let colour = style::verdict(verdict);
    let lasts = match given.lasts {
        Lasts::For(time) => format!("for {} s", time.as_secs()),
        Lasts::UntilRestart => "until the service starts again".to_owned(),
        Lasts::Always => "always".to_owned(),
    };
    writeln!(
        out,
        "{colour}{}{colour:#} {lasts}, {}: {}",
        verdict.name(),
        given.width.name(),
        sentence(question)
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let usual = Lasts::For(USUAL);
        assert_eq!(given("a"), Some((true, Width::Place, usual)));
        assert_eq!(given(" b "), Some((false, Width::Place, usual)));
        assert_eq!(given("ae"), Some((true, Width::Anywhere, usual)));
        assert_eq!(given("bwe"), Some((false, Width::Anywhere, Lasts::Always)));
        assert_eq!(given("aro"), Some((true, Width::Port, Lasts::UntilRestart)));
        for nothing in ["x", "aa", "ax", "awpp", "apw", "allow", "A"] {
            assert_eq!(Typed::of(nothing), None, "{nothing}");
        }
        assert_eq!(Typed::of("q"), Some(Typed::Quit));
        assert_eq!(Typed::of(""), Some(Typed::Nothing));
    }
}
