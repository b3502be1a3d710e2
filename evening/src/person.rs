//! Somebody who sits at `gatebell ask`: reads what is shown, thinks for a moment, and types what a person would.
//!
//! It is the command line itself, by its standard input and output. `--json` has it print each question as an object; what is typed,
//! and what it is taken for, is the same.

use crate::account::{Answer, Place, Question, Width};
use crate::clock::Clock;
use crate::programs::{
    self, ADVERTISER, APT, BROWSER, CURL, NOBODY_KNOWS, SSH, TELEMETRY, TORRENT,
};
use crate::stage::Process;
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the command line may take to say what became of a line.
const REPLY: Duration = Duration::from_secs(10);
/// How soon somebody reads what is shown.
const EVERY: Duration = Duration::from_millis(100);

/// What a person makes of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    /// These keys, and what they mean.
    Keys(&'static str, bool, Width),
    /// It is left to its time.
    Leave,
}

/// What is typed about a program that goes to this name.
fn choice(program: &str, name: Option<&str>) -> Choice {
    match program {
        CURL if name == Some(ADVERTISER) => Choice::Keys("bw", false, Width::Endpoint),
        CURL if name == Some(NOBODY_KNOWS) => Choice::Leave,
        CURL | SSH => Choice::Keys("aw", true, Width::Endpoint),
        APT | BROWSER => Choice::Keys("awe", true, Width::Anywhere),
        TORRENT => Choice::Keys("are", true, Width::Anywhere),
        TELEMETRY => Choice::Keys("bwe", false, Width::Anywhere),
        _ => Choice::Leave,
    }
}

/// What a person saw and did.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The questions.
    pub questions: Vec<Question>,
    /// The answers that the command line took.
    pub answers: Vec<Answer>,
    /// Keys typed in all, Return too.
    pub keys: u64,
    /// Lines that were taken for another question's, or for none's.
    pub misunderstood: Vec<String>,
    /// Questions about what nobody started, as they were shown.
    pub unexpected: Vec<String>,
    /// Questions that wait.
    pub waiting: usize,
}

/// The person, in a thread.
pub struct Person {
    seen: Arc<Mutex<Seen>>,
    thread: JoinHandle<Result<()>>,
}

impl Person {
    /// Sits down at this command line, until the clock's evening is over.
    pub fn sit_down(command: &mut Command, clock: Clock) -> Result<Self> {
        let mut ask = Process::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let types = ask.0.stdin.take().context("gatebell ask has no input")?;
        let says = ask.0.stdout.take().context("gatebell ask has no output")?;
        let (tell, hear) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(says).lines().map_while(Result::ok) {
                if tell.send((line, Instant::now())).is_err() {
                    return;
                }
            }
        });
        let seen = Arc::new(Mutex::default());
        let mut sits = Sits {
            seen: Arc::clone(&seen),
            clock,
            hear,
            types,
            waiting: VecDeque::new(),
            thought: 0,
        };
        let thread = std::thread::spawn(move || {
            let done = sits.answer_all();
            drop(ask);
            done
        });
        Ok(Self { seen, thread })
    }

    /// What was seen so far.
    pub fn so_far(&self) -> Seen {
        lock(&self.seen).clone()
    }

    /// Whether it still sits there.
    pub fn sits(&self) -> bool {
        !self.thread.is_finished()
    }

    /// What was seen.
    pub fn end(self) -> Result<Seen> {
        let ended = self.thread.join();
        ended.map_err(|_| anyhow::anyhow!("the person has panicked"))??;
        Ok(lock(&self.seen).clone())
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A question that waits, as a person remembers it.
#[derive(Clone, Debug)]
struct Waits {
    question: Question,
    /// What stands on the screen of where it goes.
    remote: String,
    choice: Choice,
    /// When there will be an answer.
    ready: Instant,
}

struct Sits {
    seen: Arc<Mutex<Seen>>,
    clock: Clock,
    hear: Receiver<(String, Instant)>,
    types: ChildStdin,
    /// The oldest first, as the command line takes answers.
    waiting: VecDeque<Waits>,
    /// How many answers were thought about: each takes another while.
    thought: u64,
}

impl Sits {
    fn answer_all(&mut self) -> Result<()> {
        while !self.clock.left().is_zero() && !crate::clock::is_interrupted() {
            match self.hear.recv_timeout(EVERY) {
                Ok((line, when)) => {
                    self.read(&line, when);
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => anyhow::bail!("gatebell ask has ended"),
            }
            self.forget_what_is_over();
            let ready = self
                .waiting
                .front()
                .filter(|first| first.ready <= Instant::now());
            if let Some(first) = ready.cloned() {
                self.answer(&first)?;
            }
            lock(&self.seen).waiting = self.waiting.len();
        }
        writeln!(self.types, "q").context("gatebell ask has ended")
    }

    /// What is no reply is a question.
    fn read(&mut self, line: &str, when: Instant) {
        let Ok(said) = serde_json::from_str::<Value>(line) else {
            lock(&self.seen).misunderstood.push(line.to_owned());
            return;
        };
        let Some(question) = read_question(&said, self.clock.ms_at(when)) else {
            return;
        };
        let choice = choice(&question.program, said["remote_name"].as_str());
        let mut seen = lock(&self.seen);
        if question.program == programs::OTHER {
            seen.unexpected.push(line.to_owned());
        }
        seen.questions.push(question.clone());
        self.thought += 1;
        let waits = Waits {
            question,
            remote: said["remote"].as_str().unwrap_or_default().to_owned(),
            choice,
            ready: when + thinks_for(self.thought),
        };
        self.waiting.push_back(waits);
    }

    /// A person sees which questions their answers were about, and that time goes by.
    fn forget_what_is_over(&mut self) {
        let now = self.clock.now_ms();
        self.waiting
            .retain(|waits| waits.question.deadline_ms > now);
    }

    fn answer(&mut self, first: &Waits) -> Result<()> {
        let (keys, given) = match first.choice {
            Choice::Keys(keys, allow, width) => (keys, Some((allow, width))),
            Choice::Leave => ("s", None),
        };
        let typed_ms = self.clock.now_ms();
        writeln!(self.types, "{keys}").context("gatebell ask has ended")?;
        self.types.flush()?;
        let typed = keys.len() as u64 + 1;
        lock(&self.seen).keys += typed;
        let Some((allow, width)) = given else {
            self.waiting.pop_front();
            return Ok(());
        };
        let Some(reply) = self.reply() else {
            let nothing = format!("{}: no reply to {keys}", first.question.id);
            lock(&self.seen).misunderstood.push(nothing);
            self.waiting.pop_front();
            return Ok(());
        };
        if !is_about(&reply, allow, &first.remote) {
            let otherwise = format!("{}: {keys}: {reply}", first.question.id);
            lock(&self.seen).misunderstood.push(otherwise);
            // Whatever it was taken for, this one is asked about no more if it is over, else a person types it again.
            self.waiting.pop_front();
            return Ok(());
        }
        lock(&self.seen).answers.push(Answer {
            id: first.question.id,
            at_ms: typed_ms,
            allow,
            width,
            lasts_ms: None,
            keys: typed,
        });
        let answered = &first.question;
        self.waiting.retain(|waits| match width {
            Width::Endpoint => waits.question.id != answered.id,
            Width::Anywhere => waits.question.program != answered.program,
        });
        Ok(())
    }

    /// The next line that is no question.
    fn reply(&mut self) -> Option<String> {
        let end = Instant::now() + REPLY;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let (line, when) = self.hear.recv_timeout(left).ok()?;
            if !line.starts_with('{') {
                return Some(line);
            }
            self.read(&line, when);
        }
    }
}

/// `allow always, endpoint: /usr/bin/curl of user 0 -> 10.79.1.1 (news.example) tcp port 80`.
fn is_about(reply: &str, allow: bool, remote: &str) -> bool {
    let verdict = if allow { "allow " } else { "block " };
    let words = reply.split_whitespace();
    reply.starts_with(verdict) && words.skip_while(|word| *word != "->").nth(1) == Some(remote)
}

/// One to four seconds, another one each time.
fn thinks_for(number: u64) -> Duration {
    Duration::from_millis(1000 + number.wrapping_mul(1_234_567) % 3000)
}

fn read_question(said: &Value, now_ms: u64) -> Option<Question> {
    let path = said["program"].as_str().or(said["name"].as_str());
    let program = if said["direction"] == "out" {
        programs::called(path.unwrap_or_default())
    } else {
        programs::OTHER
    };
    Some(Question {
        id: said["id"].as_u64()?,
        program: program.to_owned(),
        place: Place {
            protocol: u8::try_from(said["protocol"].as_u64()?).ok()?,
            remote: said["remote"].as_str()?.parse().ok()?,
            port: said["port"]
                .as_u64()
                .and_then(|port| port.try_into().ok())
                .unwrap_or(0),
        },
        shown_ms: now_ms,
        deadline_ms: now_ms + said["milliseconds_left"].as_u64()?,
        more: said["more"].as_u64().unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_question_is_read_as_it_is_printed() {
        let said = json!({
            "id": 7, "direction": "out", "protocol": 6, "remote": "10.79.4.2", "port": 80, "program": "/tmp/lab/browser",
            "name": "browser", "milliseconds_left": 29_000, "more": 3, "remote_name": "site1.example"
        });
        let question = read_question(&said, 1000).expect("a question");
        assert_eq!((question.id, question.program.as_str()), (7, BROWSER));
        assert_eq!((question.deadline_ms, question.more), (30_000, 3));
        let mut comes_in = said;
        comes_in["direction"] = json!("in");
        let question = read_question(&comes_in, 1000).expect("a question");
        assert_eq!(question.program, programs::OTHER);
        assert!(read_question(&json!({"ended": true}), 0).is_none());
    }

    #[test]
    fn a_reply_is_about_the_question_that_was_meant_or_about_another_one() {
        let reply = "allow always, endpoint: /usr/bin/curl of user 0 -> 10.79.1.1 (news.example) tcp port 80";
        assert!(is_about(reply, true, "10.79.1.1"));
        assert!(!is_about(reply, true, "10.79.1.10"));
        assert!(!is_about(reply, false, "10.79.1.1"));
        let over = "7 is over, and nothing was answered: type it again if you mean the next one";
        assert!(!is_about(over, true, "10.79.1.1"));
    }

    #[test]
    fn a_person_takes_one_to_four_seconds() {
        for number in 0..1000 {
            let thinks = thinks_for(number).as_millis();
            assert!((1000..4000).contains(&thinks), "{thinks}");
        }
    }

    #[test]
    fn what_is_unknown_is_left_and_what_is_not_wanted_is_blocked() {
        assert_eq!(choice(CURL, Some(NOBODY_KNOWS)), Choice::Leave);
        assert_eq!(choice(programs::OTHER, None), Choice::Leave);
        let Choice::Keys(_, allow, _) = choice(CURL, Some(ADVERTISER)) else {
            panic!("a person blocks what advertises");
        };
        assert!(!allow);
    }
}
