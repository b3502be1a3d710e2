//! Somebody who sits at `gatebell ask` in a terminal: reads what is shown, thinks for a moment,
//! and presses the keys that a person would.
//!
//! It is the command line itself, run as that user, on a terminal of its own: it prints what people read, and its
//! terminal shows what is typed. A person reads the question at the bottom, which is the one that a line answers.

use crate::clock::Clock;
use crate::observations::{Answer, Place, Question, Width};
use crate::programs::{self, APT, BROWSER, CURL, NOBODY_KNOWS, SSH, TELEMETRY, TORRENT, User};
use crate::stage::Process;
use anyhow::{Context, Result};
use nix::pty::openpty;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::IpAddr;
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Time that the command line may take to answer a typed line.
const REPLY: Duration = Duration::from_secs(10);
/// Interval at which a person reads what is shown.
const EVERY: Duration = Duration::from_millis(100);
/// Time after which a person has read the line at the bottom of the screen.
const READ: Duration = Duration::from_millis(700);

/// Decision of a person about a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    /// Key to type, whether it allows, its scope, and the time that it holds in minutes.
    Key(&'static str, bool, Width, u64),
    /// No answer: the question is left until its time is over.
    Leave,
}

const ALLOW: Choice = Choice::Key("a", true, Width::Endpoint, 10);
const BLOCK: Choice = Choice::Key("b", false, Width::Endpoint, 10);
/// Answer about the whole program: the same key as [`ALLOW`]'s, where a question is about many places.
const ALLOW_ALL: Choice = Choice::Key("a", true, Width::Anywhere, 10);
const MUTE: Choice = Choice::Key("n", false, Width::Anywhere, 60);

/// Returns the decision about a program that goes to this name.
fn choice(who: User, program: &str, asked: &Shown) -> Choice {
    match (program, asked.name.as_deref()) {
        (CURL, _) if asked.many => Choice::Leave,
        (CURL, Some(NOBODY_KNOWS) | None) => Choice::Leave,
        (CURL, Some(name)) if !programs::is_wanted(who, name) => BLOCK,
        (CURL | SSH | APT, _) => ALLOW,
        // What is not asked about as a whole yet will be soon.
        (TORRENT, _) if !asked.many => Choice::Leave,
        (BROWSER | TORRENT, _) if asked.many => ALLOW_ALL,
        (BROWSER, _) => ALLOW,
        (TELEMETRY, _) => MUTE,
        _ => Choice::Leave,
    }
}

/// Questions that a person saw, and keys that they pressed.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The questions.
    pub questions: Vec<Question>,
    /// The answers that the command line took.
    pub answers: Vec<Answer>,
    /// Keys pressed in all, Return too.
    pub keys: u64,
    /// Lines that were taken for another question's, or for none's.
    pub misunderstood: Vec<String>,
    /// Questions about what nobody started, or what is another's, as they were shown.
    pub unexpected: Vec<String>,
    /// Questions that wait.
    pub waiting: usize,
}

impl Seen {
    /// Adds what another person saw. No question is both's, for each is one user's.
    pub fn and(mut self, other: Self) -> Self {
        let Self {
            questions,
            answers,
            keys,
            misunderstood,
            unexpected,
            waiting,
        } = other;
        self.questions.extend(questions);
        self.answers.extend(answers);
        self.misunderstood.extend(misunderstood);
        self.unexpected.extend(unexpected);
        self.keys += keys;
        self.waiting += waiting;
        self
    }
}

/// The person, in a thread.
pub struct Person {
    seen: Arc<Mutex<Seen>>,
    thread: JoinHandle<Result<()>>,
}

impl Person {
    /// Sits down at this command line, until the clock's evening is over.
    pub fn sit_down(who: User, command: &mut Command, clock: Clock) -> Result<Self> {
        let terminal = openpty(None, None).context("can't make a terminal")?;
        let end = || terminal.slave.try_clone();
        command.stdin(end()?).stdout(end()?).stderr(end()?);
        let ask = Process::start(command)?;
        // What the command still holds of the terminal would keep it from being hung up.
        command.stdin(std::process::Stdio::null());
        command.stdout(std::process::Stdio::null());
        command.stderr(std::process::Stdio::null());
        drop(terminal.slave);
        let shows = File::from(terminal.master);
        let types = shows.try_clone()?;
        let (tell, hear) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(shows).lines().map_while(Result::ok) {
                if tell.send((plain(&line), Instant::now())).is_err() {
                    return;
                }
            }
        });
        let seen = Arc::new(Mutex::default());
        let mut sits = Sits {
            who,
            seen: Arc::clone(&seen),
            clock,
            hear,
            types,
            waiting: BTreeMap::new(),
            bottom: None,
            heading: None,
            thought: 0,
        };
        let thread = std::thread::spawn(move || {
            let done = sits.answer_all();
            drop(ask);
            done
        });
        Ok(Self { seen, thread })
    }

    /// Returns what was seen so far.
    pub fn so_far(&self) -> Seen {
        lock(&self.seen).clone()
    }

    /// Returns whether the person still sits there.
    pub fn sits(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Waits until the person has left, and returns what was seen.
    pub fn end(self) -> Result<Seen> {
        let ended = self.thread.join();
        ended.map_err(|_| anyhow::anyhow!("the person has panicked"))??;
        Ok(lock(&self.seen).clone())
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns a line as a terminal shows it, without colours.
fn plain(line: &str) -> String {
    let mut shown = String::new();
    let mut rest = line.trim_end_matches('\r');
    while let Some((before, escape)) = rest.split_once("\x1b[") {
        shown += before;
        let end = escape.find(|letter: char| letter.is_ascii_alphabetic());
        rest = end.map_or("", |end| &escape[end + 1..]);
    }
    shown + rest
}

/// A question, as its line says it: `7: /usr/bin/curl of user 1000 -> fd79::1, 10.79.1.1 (news.example) tcp port 80`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shown {
    id: u64,
    program: String,
    user: u32,
    first: IpAddr,
    name: Option<String>,
    protocol: u8,
    port: u16,
    /// `true` if the question is about other places besides.
    many: bool,
    /// Number of these other places.
    others: u64,
}

impl Shown {
    fn read(line: &str) -> Option<Self> {
        let (id, rest) = line.split_once(": ")?;
        let (who, whither) = rest.split_once(" -> ")?;
        let (program, user) = who.rsplit_once(" of user ")?;
        let mut words = whither.split_whitespace().peekable();
        let first = address(words.next()?)?;
        while words.next_if(|word| address(word).is_some()).is_some() {}
        let name = words.next_if(|word| word.starts_with('('));
        let protocol = protocol(words.next()?)?;
        let port = words.next_if_eq(&"port").and_then(|_| words.next());
        let port = port.map_or(Some(0), |port| port.trim_end_matches(',').parse().ok())?;
        let rest: Vec<_> = words.collect();
        Some(Self {
            id: id.parse().ok()?,
            program: program.to_owned(),
            user: user.parse().ok()?,
            first,
            name: name.map(|name| name.trim_matches(['(', ')']).to_owned()),
            protocol,
            port,
            many: !rest.is_empty(),
            others: rest
                .get(1)
                .and_then(|number| number.parse().ok())
                .unwrap_or(0),
        })
    }
}

fn address(word: &str) -> Option<IpAddr> {
    word.trim_end_matches(',').parse().ok()
}

fn protocol(word: &str) -> Option<u8> {
    match word {
        "tcp" => Some(6),
        "udp" => Some(17),
        _ => None,
    }
}

/// Reads one of a question's many places: `3. 10.78.0.7 tcp port 6881`.
fn listed(line: &str) -> Option<Place> {
    let (number, rest) = line.trim().split_once(". ")?;
    number.parse::<u64>().ok()?;
    let mut words = rest.split_whitespace();
    let remote = address(words.next()?)?;
    let mut words = words.skip_while(|word| protocol(word).is_none());
    Some(Place {
        protocol: protocol(words.next()?)?,
        remote: programs::host_at(remote),
        port: words.nth(1).and_then(|port| port.parse().ok()).unwrap_or(0),
    })
}

/// Reads the time that a question still waits, in seconds: `curl (pid 7); the default asks; packets: 2; block in 23 s`.
fn seconds_left(line: &str) -> Option<u64> {
    let (_, left) = line.strip_prefix("   ")?.rsplit_once(" in ")?;
    left.strip_suffix(" s")?.parse().ok()
}

/// A question that waits, as a person remembers it.
#[derive(Clone, Debug)]
struct Waits {
    question: Question,
    /// Program that wants to go, as the screen shows it.
    program: String,
    first: IpAddr,
    choice: Choice,
    /// Time at which the person will answer.
    ready: Instant,
}

struct Sits {
    who: User,
    seen: Arc<Mutex<Seen>>,
    clock: Clock,
    hear: Receiver<(String, Instant)>,
    types: File,
    waiting: BTreeMap<u64, Waits>,
    /// The question at the bottom of the screen, and since when.
    bottom: Option<(u64, Instant)>,
    /// The line of a question whose next line is not there yet.
    heading: Option<Shown>,
    /// Number of answers that were thought about: each takes another while.
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
            let now = self.clock.now_ms();
            self.waiting
                .retain(|_, waits| waits.question.many || waits.question.deadline_ms > now);
            if let Some(first) = self.ready() {
                self.answer(&first)?;
            }
            lock(&self.seen).waiting = self.waiting.len();
        }
        writeln!(self.types, "q").context("gatebell ask has ended")
    }

    /// Returns the question at the bottom, once it was read and thought about.
    fn ready(&self) -> Option<Waits> {
        let (id, since) = self.bottom?;
        let waits = self.waiting.get(&id)?;
        let is_ready = waits.ready <= Instant::now() && since.elapsed() >= READ;
        is_ready.then(|| waits.clone())
    }

    /// Reads a line, and returns whether it is one of those that show a question, or say that one is over.
    fn read(&mut self, line: &str, when: Instant) -> bool {
        if let Some(shown) = Shown::read(line) {
            self.heading = Some(shown);
            return true;
        }
        if let Some(seconds) = seconds_left(line) {
            if let Some(shown) = self.heading.take() {
                self.take_in(&shown, seconds, line, when);
            }
            return true;
        }
        if let Some(place) = listed(line).filter(|_| line.starts_with("   ")) {
            let mut seen = lock(&self.seen);
            let id = self.bottom.map(|(id, _)| id);
            let question = seen.questions.iter_mut().find(|one| Some(one.id) == id);
            if let Some(question) = question.filter(|one| !one.places.contains(&place)) {
                question.places.push(place);
            }
            return true;
        }
        let over = line.strip_suffix(" is over").map(str::parse::<u64>);
        if let Some(Ok(id)) = over {
            self.waiting.remove(&id);
            return true;
        }
        false
    }

    /// Takes in a question that is shown, maybe again.
    fn take_in(&mut self, shown: &Shown, seconds: u64, line: &str, when: Instant) {
        let called = programs::called(&shown.program);
        let now_ms = self.clock.ms_at(when);
        let place = Place {
            protocol: shown.protocol,
            remote: programs::host_at(shown.first),
            port: shown.port,
        };
        let mut seen = lock(&self.seen);
        if called == programs::OTHER || shown.user != self.who.id {
            seen.unexpected.push(format!("{shown:?} {line}"));
        }
        let known = seen.questions.iter().position(|one| one.id == shown.id);
        let known = known.map(|at| &mut seen.questions[at]);
        let question = match known {
            Some(known) => {
                known.more = known.more.max(shown.others);
                if shown.many {
                    // Those that are listed now follow; each has a time of its own.
                    known.places.clear();
                    known.deadline_ms = now_ms + seconds * 1000;
                }
                known.clone()
            }
            None => {
                let new = Question {
                    id: shown.id,
                    program: programs::of(called, shown.user),
                    places: vec![place],
                    many: shown.many,
                    shown_ms: now_ms,
                    deadline_ms: now_ms + seconds * 1000,
                    more: shown.others,
                };
                seen.questions.push(new.clone());
                new
            }
        };
        drop(seen);
        self.bottom = Some((shown.id, when));
        if !self.waiting.contains_key(&shown.id) {
            self.thought += 1;
        }
        let ready = when + thinks_for(self.thought);
        let waits = self.waiting.entry(shown.id).or_insert_with(|| Waits {
            question: question.clone(),
            program: shown.program.clone(),
            first: shown.first,
            choice: choice(self.who, called, shown),
            ready,
        });
        (waits.question, waits.first) = (question, shown.first);
    }

    fn answer(&mut self, first: &Waits) -> Result<()> {
        let id = first.question.id;
        self.waiting.remove(&id);
        self.bottom = None;
        let (key, given) = match first.choice {
            Choice::Key(key, allow, width, minutes) => (key, Some((allow, width, minutes))),
            Choice::Leave => ("s", None),
        };
        let typed_ms = self.clock.now_ms();
        writeln!(self.types, "{key}").context("gatebell ask has ended")?;
        let keys = key.len() as u64 + 1;
        lock(&self.seen).keys += keys;
        let Some((allow, width, minutes)) = given else {
            return Ok(());
        };
        let reply = self.reply(key);
        let reply = reply.unwrap_or_else(|| "nothing".to_owned());
        if reply.contains("was shown after that was typed") {
            // It is read again.
            self.waiting.insert(id, first.clone());
            self.bottom = Some((id, Instant::now()));
            return Ok(());
        }
        let about = match width {
            Width::Endpoint => Some(first.first),
            // Of many places another one may be the first by now.
            Width::Anywhere => None,
        };
        if !is_about(&reply, allow, &first.program, about) {
            let otherwise = format!("{id}: {key}: {reply}");
            lock(&self.seen).misunderstood.push(otherwise);
            return Ok(());
        }
        lock(&self.seen).answers.push(Answer {
            id,
            at_ms: typed_ms,
            allow,
            width,
            lasts_ms: Some(minutes * 60_000),
            keys,
        });
        if width == Width::Anywhere {
            let program = &first.question.program;
            self.waiting
                .retain(|_, waits| waits.question.program != *program);
        }
        Ok(())
    }

    /// Waits for the next line that shows no question, and is not what the terminal shows of the keys.
    fn reply(&mut self, typed: &str) -> Option<String> {
        let end = Instant::now() + REPLY;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let (line, when) = self.hear.recv_timeout(left).ok()?;
            if line != typed && !self.read(&line, when) {
                return Some(line);
            }
        }
    }
}

/// Returns whether a reply is about this answer: `allow for 600 s, endpoint: /usr/bin/curl of user 1000 -> 10.79.1.1
/// (news.example) tcp port 80`.
fn is_about(reply: &str, allow: bool, program: &str, first: Option<IpAddr>) -> bool {
    let verdict = if allow { "allow " } else { "block " };
    let Some((extent, rest)) = reply.split_once(": ") else {
        return false;
    };
    let Some((who, whither)) = rest.split_once(" -> ") else {
        return false;
    };
    let is_to = match first {
        Some(first) => {
            extent.ends_with(" endpoint") && {
                let word = whither.split_whitespace().next();
                word.and_then(address) == Some(first)
            }
        }
        None => extent.ends_with(" anywhere"),
    };
    let whose = who.rsplit_once(" of user ").map(|(program, _)| program);
    extent.starts_with(verdict) && whose == Some(program) && is_to
}

/// Returns the time that a person thinks about an answer: one to four seconds, another one each time.
fn thinks_for(number: u64) -> Duration {
    Duration::from_millis(1000 + number.wrapping_mul(1_234_567) % 3000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::programs::{ADVERTISER, ANN, BEN};

    const LINE: &str =
        "7: /usr/bin/curl of user 64001 -> fd79::1:0:0:1, 10.79.1.1 (news.example) tcp port 80";

    #[test]
    fn a_question_is_read_as_it_is_shown() {
        let shown = Shown::read(LINE).expect("a question");
        assert_eq!((shown.id, shown.user), (7, 64_001));
        assert_eq!(shown.program, "/usr/bin/curl");
        assert_eq!(shown.first, "fd79::1:0:0:1".parse::<IpAddr>().expect("one"));
        assert_eq!(shown.name.as_deref(), Some("news.example"));
        assert_eq!((shown.protocol, shown.port, shown.many), (6, 80, false));
        let many = "8: /tmp/torrent of user 64002 -> 10.78.0.1 udp port 6881 and 12 other places";
        let many = Shown::read(many).expect("a question");
        assert_eq!((many.protocol, many.port), (17, 6881));
        assert!(many.many && many.others == 12);
        let more = "9: /tmp/torrent of user 64002 -> 10.78.0.1 tcp port 6881, and wherever else";
        let more = Shown::read(more).expect("a question");
        assert!(more.many && more.port == 6881 && more.others == 0);
        for other in [
            "allow for 600 s, endpoint: /usr/bin/curl of user 64001 -> 10.79.1.1 (news.example) tcp port 80",
            "7 is over",
            "nothing waits for an answer",
            "a",
        ] {
            assert_eq!(Shown::read(other), None, "{other}");
        }
        let detail = "   curl (pid 7); the default asks; packets: 2; block in 23 s";
        assert_eq!(seconds_left(detail), Some(23));
        assert_eq!(seconds_left(LINE), None);
        let place = listed("   3. fd78::1:0:0:7 (a.example) tcp port 6881").expect("a place");
        assert_eq!(place.remote, "10.78.1.7".parse::<IpAddr>().expect("one"));
        assert_eq!((place.protocol, place.port), (6, 6881));
        assert_eq!(listed(detail), None);
    }

    #[test]
    fn what_a_terminal_shows_has_no_colours() {
        assert_eq!(plain("\x1b[1m7: x\x1b[0m\r"), "7: x");
        assert_eq!(plain("\x1b[2m   7 is over\x1b[0m"), "   7 is over");
        assert_eq!(plain("as it is"), "as it is");
    }

    #[test]
    fn a_reply_is_about_the_question_that_was_meant_or_about_another_one() {
        let reply = "allow for 600 s, endpoint: /usr/bin/curl of user 0 -> 10.79.1.1, fd79::1 (news.example) tcp port 80";
        let curl = "/usr/bin/curl";
        let one = |first: &str| Some(first.parse().expect("an address"));
        let about = |first, allow| is_about(reply, allow, curl, one(first));
        assert!(about("10.79.1.1", true));
        assert!(!about("10.79.1.10", true) && !about("10.79.1.1", false));
        assert!(!is_about(reply, true, "/usr/bin/ssh", one("10.79.1.1")));
        assert!(!is_about(reply, true, curl, None), "it is to one endpoint");
        let all = "block for 3600 s, anywhere: /usr/bin/curl of user 0 -> 10.79.1.9 tcp port 80, and wherever else";
        assert!(is_about(all, false, curl, None) && !is_about(all, false, curl, one("10.79.1.9")));
        let over = "7 is over, and nothing was answered: type it again if you mean the next one";
        assert!(!is_about(over, true, curl, one("10.79.1.1")));
    }

    #[test]
    fn a_person_takes_one_to_four_seconds() {
        for number in 0..1000 {
            let thinks = thinks_for(number).as_millis();
            assert!((1000..4000).contains(&thinks), "{thinks}");
        }
    }

    #[test]
    fn two_people_answer_otherwise_about_one_place_and_leave_what_is_unknown() {
        let named = |name: &str| Shown {
            name: Some(name.to_owned()),
            ..Shown::read(LINE).expect("a question")
        };
        assert_eq!(choice(ANN, CURL, &named(ADVERTISER)), BLOCK);
        assert_eq!(choice(BEN, CURL, &named(ADVERTISER)), ALLOW);
        assert_eq!(choice(BEN, CURL, &named(programs::NEWS)), BLOCK);
        assert_eq!(choice(ANN, CURL, &named(NOBODY_KNOWS)), Choice::Leave);
        assert_eq!(choice(ANN, programs::OTHER, &named("x")), Choice::Leave);
        let many = Shown {
            many: true,
            ..named("peer.example")
        };
        assert_eq!(choice(BEN, TORRENT, &many), ALLOW_ALL);
        assert_eq!(choice(BEN, TORRENT, &named("x")), Choice::Leave);
    }
}
