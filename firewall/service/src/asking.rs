//! What the driver asks people: the questions that wait, and the answers that are in force.
//!
//! The driver keeps both in tables of its own and wakes the service for a new question. Here they get numbers, a time in which they
//! are to be answered, and a file for answers that hold for always.
//!
//! Rules that hold here:
//! - An answer is in force by one update of the driver's table.
//! - However many questions a program or a user raises, only so many of them wait at once, and others' are asked all the same.
//! - A user who is not root has so many answers, and no more.

use crate::answered_programs::AnsweredPrograms;
use crate::driver::Driver;
use crate::folders;
use crate::living;
use anyhow::{Context, Result, bail};
use channel::ring::Memory as _;
use channel::sys::linux::Ring;
use firewall_abi::asking::{Answer, Question, Subject, WAKER_BYTES, Who, Width};
use firewall_abi::packet::{Direction, NO_USER, PacketMeta, Reason, Verdict};
use rules::{Asking, Resolver, SystemResolver};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tracing::{error, warn};

/// Questions that wait at once.
const MOST_WAITING: usize = 256;
/// And those of one program of one user.
const MOST_OF_A_PROGRAM: usize = 8;
/// And those of one user, whatever the programs.
const MOST_OF_ONE: usize = 64;
/// Answers that one user may have in force, who is not root.
pub const MOST_OF_A_USER: usize = 512;
/// How long it holds that nobody answered.
pub const UNANSWERED: Duration = Duration::from_secs(60);
/// How often it is looked for questions that found no room.
const AGAIN: Duration = Duration::from_secs(1);
/// The file of answers that hold for always, in the folder for what is kept.
const FILE: &str = "answers.json";

/// A question that waits.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    pub id: u64,
    pub subject: Subject,
    pub question: Question,
    pub asking: Asking,
    /// By when it is to be answered.
    pub deadline: Instant,
    /// How many others of the same program found no room.
    pub more: u64,
}

/// The questions that wait, the oldest first.
#[derive(Debug, Default)]
pub struct Questions {
    waiting: Vec<Waiting>,
    last: u64,
    /// When it is looked again for those that found no room, if some did.
    again: Option<Instant>,
}

impl Questions {
    /// None yet. Each service counts from when it began, in milliseconds since the machine did: an answer that was meant for an
    /// earlier service's question is to none of this one's.
    pub fn numbered_from(boot: Duration) -> Self {
        Self {
            last: u64::try_from(boot.as_millis()).unwrap_or(u64::MAX / 2),
            ..Self::default()
        }
    }

    /// Takes in what the driver has asked. Returns the numbers of the new ones.
    pub fn meet(
        &mut self,
        mut asked: Vec<(Subject, Question)>,
        asking: impl Fn(&Question) -> Asking,
        now: Instant,
    ) -> Vec<u64> {
        let before = self.last;
        asked.sort_by_key(|(subject, question)| (question.since_ns, *subject));
        self.again = None;
        self.waiting.iter_mut().for_each(|waiting| waiting.more = 0);
        for (subject, question) in asked {
            let known = self
                .waiting
                .iter_mut()
                .find(|waiting| waiting.subject == subject);
            if let Some(known) = known {
                known.question.count = question.count;
                continue;
            }
            if !self.has_room(&subject) {
                self.again = Some(now + AGAIN);
                let last = self
                    .waiting
                    .iter_mut()
                    .rfind(|waiting| is_same_program(&waiting.subject, &subject));
                last.into_iter()
                    .for_each(|last| last.more = last.more.saturating_add(1));
                continue;
            }
            let asking = asking(&question);
            self.last += 1;
            self.waiting.push(Waiting {
                id: self.last,
                subject,
                question,
                asking,
                deadline: now + asking.within,
                more: 0,
            });
        }
        (before + 1..=self.last).collect()
    }

    /// Those that wait.
    pub fn iter(&self) -> impl Iterator<Item = &Waiting> {
        self.waiting.iter()
    }

    /// The one with this number.
    pub fn get(&self, id: u64) -> Option<&Waiting> {
        self.waiting.iter().find(|waiting| waiting.id == id)
    }

    /// Takes out those that nobody answered in time.
    pub fn overdue(&mut self, now: Instant) -> Vec<Waiting> {
        let (over, rest) = self
            .waiting
            .drain(..)
            .partition(|waiting| waiting.deadline <= now);
        self.waiting = rest;
        over
    }

    /// Takes out those that an answer of this width to this is about.
    pub fn settle(&mut self, to: Subject, width: Width) {
        self.waiting
            .retain(|waiting| !is_about(to, width, &waiting.subject, &waiting.question));
    }

    /// Takes out the one with this number.
    pub fn drop(&mut self, id: u64) {
        self.waiting.retain(|waiting| waiting.id != id);
    }

    /// Whether another one of this program and user may wait.
    fn has_room(&self, new: &Subject) -> bool {
        let of_user = self
            .waiting
            .iter()
            .filter(|waiting| have_one_share(waiting.subject.user, new.user));
        let of_program = of_user
            .clone()
            .filter(|waiting| waiting.subject.program == new.program);
        self.waiting.len() < MOST_WAITING
            && of_user.count() < MOST_OF_ONE
            && of_program.count() < MOST_OF_A_PROGRAM
    }

    /// When something is to be done.
    pub fn due(&self, now: Instant) -> Option<Duration> {
        let deadlines = self.waiting.iter().map(|waiting| waiting.deadline);
        let first = deadlines.chain(self.again).min();
        first.map(|first| first.saturating_duration_since(now))
    }
}

/// Whether an answer of this width to this is about what is asked. Of what waits behind a question for another process, or for another
/// connection, the next packet asks again.
fn is_about(to: Subject, width: Width, subject: &Subject, question: &Question) -> bool {
    let asks = match to.who() {
        Who::Program(_) => Some(subject.at(width)),
        Who::Process { .. } => question.process().map(|who| subject.at(width).of(who)),
        Who::Socket { .. } => question.socket().map(|who| subject.at(width).of(who)),
    };
    asks == Some(to)
}

fn is_same_program(one: &Subject, other: &Subject) -> bool {
    one.program == other.program && have_one_share(one.user, other.user)
}

/// Whether what these two users have counts as one's: they are the same, or of one block of a container's or a user's subordinate
/// ones, of which one person has as many as there are.
pub const fn have_one_share(one: u32, other: u32) -> bool {
    engine::buyer::of_user(one) == engine::buyer::of_user(other)
}

/// Whether this user may answer, who is not root: for what runs as them, and is known to.
pub fn may_answer(user: u32, subject: &Subject) -> bool {
    user != NO_USER && subject.user == user && is_program(subject.program)
}

/// Whether it is a file.
fn is_program(program: [u64; 2]) -> bool {
    program != [0; 2] && program != PacketMeta::KERNEL && program != PacketMeta::UNSURE
}

/// An answer for always, as the file has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Kept {
    /// `allow` or `block`.
    pub answer: String,
    /// The program's path; none: it has none, or is not known.
    pub program: Option<String>,
    /// The user; none: not known.
    pub user: Option<u32>,
    /// `out` or `in`.
    pub direction: String,
    /// The other end; none: any.
    pub remote: Option<IpAddr>,
    /// The name that it had been asked for by then, if known.
    #[serde(default)]
    pub remote_name: Option<String>,
    /// The protocol's number; none: any.
    pub protocol: Option<u8>,
    /// The port; none: any.
    pub port: Option<u16>,
    /// Who answered.
    pub by: String,
    /// When, in seconds since 1970.
    pub at: u64,
}

impl Kept {
    /// Of an answer of this width to a program at this path.
    pub fn of(
        to: &Subject,
        width: Width,
        allow: bool,
        program: Option<String>,
        by: String,
        at: u64,
    ) -> Self {
        let place = matches!(width, Width::Place | Width::Address);
        let port = matches!(width, Width::Place | Width::Port);
        Self {
            answer: verdict(allow).name().to_owned(),
            program,
            user: (to.user != NO_USER).then_some(to.user),
            direction: if to.goes_out() {
                Direction::Outbound
            } else {
                Direction::Inbound
            }
            .name()
            .to_owned(),
            remote: place.then(|| address(to.remote)),
            remote_name: None,
            protocol: port.then_some(to.protocol),
            port: (port && to.port != 0).then_some(to.port),
            by,
            at,
        }
    }

    /// How wide it is.
    pub const fn width(&self) -> Width {
        match (self.remote.is_some(), self.protocol.is_some()) {
            (true, true) => Width::Place,
            (true, false) => Width::Address,
            (false, true) => Width::Port,
            (false, false) => Width::Anywhere,
        }
    }

    /// What it is to; what is answered to the same takes its place.
    pub fn key(&self) -> KeptKey {
        (
            self.program.clone(),
            self.user,
            self.direction.clone(),
            self.remote,
            self.protocol,
            self.port,
        )
    }

    /// What it is to, if its program is there, and what it says.
    fn entry(&self, resolver: &dyn Resolver) -> Option<(Subject, bool)> {
        let program = match &self.program {
            Some(path) => resolver.program(path)?,
            None => [0; 2],
        };
        let direction = Direction::ALL
            .into_iter()
            .find(|direction| direction.name() == self.direction)?;
        let to = Subject {
            remote: self.remote.map_or([0; 16], octets),
            program,
            user: self.user.unwrap_or(NO_USER),
            port: self.port.unwrap_or(0),
            protocol: self.protocol.unwrap_or(0),
            direction: direction as u8,
        };
        match self.answer.as_str() {
            "allow" => Some((to, true)),
            "block" => Some((to, false)),
            _ => None,
        }
    }
}

/// See [`Kept::key`].
pub type KeptKey = (
    Option<String>,
    Option<u32>,
    String,
    Option<IpAddr>,
    Option<u8>,
    Option<u16>,
);

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// The other end, as people write it.
pub fn address(remote: [u8; 16]) -> IpAddr {
    let address = Ipv6Addr::from(remote);
    address
        .to_ipv4_mapped()
        .map_or(IpAddr::V6(address), IpAddr::V4)
}

const fn verdict(allow: bool) -> Verdict {
    if allow {
        Verdict::Allow
    } else {
        Verdict::Block
    }
}

/// An answer as the driver has it.
pub const fn answer(program: [u64; 2], allow: bool, reason: Reason, until_ns: u64) -> Answer {
    Answer {
        until_ns,
        program,
        verdict: verdict(allow) as u8,
        reason: reason as u8,
        spare: [0; 6],
    }
}

/// The answers that hold for always, in their file.
#[derive(Debug, Default)]
pub struct Always {
    folder: PathBuf,
    kept: Vec<Kept>,
    /// What is in force, and of which of them: a program that was replaced while it runs is two.
    put: BTreeMap<Subject, KeptKey>,
    /// Why the file can't be read. It is not written then, for what is in it would be lost.
    trouble: Option<String>,
}

impl Always {
    /// What is kept in this folder. A file that can't be read is left alone, answers nothing, and is trouble.
    pub fn open(folder: &Path) -> Self {
        let mut always = Self {
            folder: folder.to_owned(),
            ..Self::default()
        };
        always.read();
        always
    }

    fn read(&mut self) {
        let path = self.folder.join(FILE);
        if !path.exists() {
            self.trouble = None;
            return;
        }
        let read = folders::check(&self.folder).and_then(|()| {
            let text = fs::read_to_string(&path)?;
            Ok(serde_json::from_str::<Vec<Kept>>(&text)?)
        });
        match read {
            Ok(kept) => {
                self.kept = kept;
                self.trouble = None;
            }
            Err(cause) => {
                let said = format!(
                    "no answer for always holds, for {} can't be read: {cause:#}; mend it, or put it aside: it is read again by itself",
                    path.display()
                );
                if self.trouble.as_ref() != Some(&said) {
                    error!("{said}");
                }
                self.trouble = Some(said);
            }
        }
    }

    /// Why what was answered for always does not hold.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.clone()
    }

    /// Keeps one more, in the place of what was answered to the same before.
    pub fn keep(&mut self, new: Kept) -> Result<()> {
        if let Some(trouble) = &self.trouble {
            bail!("{trouble}");
        }
        let key = new.key();
        let others = self.kept.iter().filter(|old| old.key() != key);
        let mut kept: Vec<_> = others.cloned().collect();
        kept.push(new);
        self.write(kept)
    }

    fn write(&mut self, kept: Vec<Kept>) -> Result<()> {
        folders::own(&self.folder)?;
        let path = self.folder.join(FILE);
        let text = serde_json::to_string_pretty(&kept)? + "\n";
        store::replace(&path, text.as_bytes())
            .with_context(|| format!("can't write {}", path.display()))?;
        self.kept = kept;
        Ok(())
    }

    /// Keeps these no more. Returns what is in force of them.
    pub fn forget(&mut self, keys: &BTreeSet<KeptKey>) -> Result<BTreeSet<Subject>> {
        if keys.is_empty() {
            return Ok(BTreeSet::new());
        }
        if let Some(trouble) = &self.trouble {
            bail!("{trouble}");
        }
        let others = self.kept.iter().filter(|kept| !keys.contains(&kept.key()));
        self.write(others.cloned().collect())?;
        let (over, rest) = std::mem::take(&mut self.put)
            .into_iter()
            .partition(|(_, key)| keys.contains(key));
        self.put = rest;
        let over: BTreeMap<_, _> = over;
        Ok(over.into_keys().collect())
    }

    /// What is kept, each with its name for itself.
    pub fn kept(&self) -> impl Iterator<Item = (KeptKey, &Kept)> {
        self.kept.iter().map(|kept| (kept.key(), kept))
    }

    /// Of which of them this is in force.
    pub fn put_for(&self, to: &Subject) -> Option<&KeptKey> {
        self.put.get(to)
    }

    /// Puts in force what is kept. A program's file may be another one than before.
    pub fn put(&mut self, driver: &Driver, answered: &mut AnsweredPrograms) -> Result<()> {
        if self.trouble.is_some() {
            self.read();
        }
        let machine = SystemResolver::beside(Path::new("/"));
        for kept in &self.kept {
            if let Some((to, allow)) = kept.entry(&machine)
                && !self.put.contains_key(&to)
            {
                let answer = answer(to.program, allow, Reason::Answer, Answer::NO_END);
                driver.answer(to, answer)?;
                self.put.insert(to, kept.key());
                let path = kept.program.iter();
                path.for_each(|path| answered.note(to.program, path));
            }
        }
        Ok(())
    }

    /// What is in force of it.
    pub fn is_put(&self, to: &Subject) -> bool {
        self.put.contains_key(to)
    }

    /// Notes that nothing of these programs is in force any more.
    fn took_back(&mut self, programs: &BTreeSet<[u64; 2]>) {
        self.put.retain(|to, _| !programs.contains(&to.program));
    }

    /// Notes that this is in force of what is kept.
    pub fn was_put(&mut self, to: Subject, key: KeptKey) {
        self.put.insert(to, key);
    }
}

/// Where the driver wakes the service.
pub struct DriverWaker {
    map: OwnedFd,
    ring: Ring,
}

impl DriverWaker {
    /// The driver's.
    pub fn of(driver: &Driver) -> Result<Self> {
        let map = driver.map("WAKER")?.try_clone_to_owned()?;
        let ring = Ring::new(map.as_fd(), WAKER_BYTES as u32)
            .context("mapping the ring by which the driver wakes the service")?;
        Ok(Self { map, ring })
    }

    /// Whether it was woken since this was asked last. What was asked by then is in the table.
    pub fn is_woken(&self) -> bool {
        let woken = self.ring.producer() != self.ring.consumer();
        if woken {
            self.ring.reset();
            self.ring.fence();
        }
        woken
    }
}

impl AsFd for DriverWaker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.map.as_fd()
    }
}

impl Driver {
    /// What was asked and not answered yet.
    pub fn questions(&self) -> Result<Vec<(Subject, Question)>> {
        let mut asked = Vec::new();
        self.each("QUESTIONS", |subject: &Subject, question: &Question| {
            asked.push((*subject, *question));
        })?;
        Ok(asked)
    }

    /// Puts an answer in force.
    pub fn answer(&self, to: Subject, answer: Answer) -> Result<()> {
        self.table::<Subject, Answer>("ANSWERS")?
            .set(&to, &answer)
            .context("the driver did not take the answer")
    }

    /// The answer to this, if there is one.
    pub fn answer_to(&self, to: &Subject) -> Result<Option<Answer>> {
        self.table::<Subject, Answer>("ANSWERS")?
            .get(to)
            .context("looking for an answer")
    }

    /// Takes an answer back.
    pub fn forget_answer(&self, to: &Subject) -> Result<()> {
        self.table::<Subject, Answer>("ANSWERS")?
            .remove(to)
            .context("taking an answer back")?;
        Ok(())
    }

    /// Every answer, those that are over too.
    pub fn answers(&self) -> Result<Vec<(Subject, Answer)>> {
        let mut answers = Vec::new();
        self.each("ANSWERS", |to: &Subject, answer: &Answer| {
            answers.push((*to, *answer));
        })?;
        Ok(answers)
    }

    /// Has the driver ask again what an answer of this width to this was about, once it is over.
    pub fn settle(&self, to: Subject, width: Width) -> Result<()> {
        let asked = self.table::<Subject, Question>("QUESTIONS")?;
        for (subject, question) in self.questions()? {
            if is_about(to, width, &subject, &question) {
                asked.remove(&subject).context("forgetting a question")?;
            }
        }
        Ok(())
    }

    /// Has the driver ask again what it asked.
    pub fn forget_question(&self, subject: &Subject) -> Result<()> {
        let asked = self.table::<Subject, Question>("QUESTIONS")?;
        asked.remove(subject).context("forgetting a question")?;
        Ok(())
    }

    /// Whether somebody is there whom an answer is to. A process is watched from then on: the driver notes its end.
    pub fn watches(&self, who: Who) -> Result<bool> {
        match who {
            Who::Program(_) => Ok(true),
            Who::Socket { cookie } => {
                let asked = self.table::<u64, u64>("ASKED_SOCKETS")?;
                let found = asked.get(&cookie).context("looking for a socket")?;
                Ok(found.is_some())
            }
            Who::Process { pid, began_ns } => {
                let watched = self.table::<[u64; 2], u64>("ANSWERED_PROCESSES")?;
                let failed = "watching a process that was answered";
                watched.set(&who.words(), &1).context(failed)?;
                // Whoever ended before that was not seen to.
                let lives = living::is_alive(pid, began_ns);
                if !lives {
                    watched.remove(&who.words()).context(failed)?;
                }
                Ok(lives)
            }
        }
    }

    /// Whether somebody is there still whom an answer is to.
    pub fn is_watched(&self, who: Who) -> Result<bool> {
        match who {
            Who::Program(_) => Ok(true),
            Who::Socket { .. } => self.watches(who),
            Who::Process { pid, began_ns } => {
                let watched = self.table::<[u64; 2], u64>("ANSWERED_PROCESSES")?;
                let found = watched.get(&who.words()).context("looking for a process")?;
                Ok(found.is_some() && living::is_alive(pid, began_ns))
            }
        }
    }

    /// Whom answers may be to, of the processes and sockets: those that have not ended.
    fn watched(&self) -> Result<BTreeSet<Who>> {
        let (mut watched, mut gone) = (BTreeSet::new(), Vec::new());
        self.each("ANSWERED_PROCESSES", |words: &[u64; 2], _: &u64| {
            match Who::of(*words) {
                // Its end may have been as it began to be watched.
                Who::Process { pid, began_ns } if !living::is_alive(pid, began_ns) => {
                    gone.push(*words);
                }
                who => {
                    watched.insert(who);
                }
            }
        })?;
        let table = self.table::<[u64; 2], u64>("ANSWERED_PROCESSES")?;
        for words in gone {
            table.remove(&words).context("forgetting a process")?;
        }
        self.each("ASKED_SOCKETS", |cookie: &u64, _: &u64| {
            watched.insert(Who::Socket { cookie: *cookie });
        })?;
        Ok(watched)
    }
}

/// Takes out what is over, and what was given to programs that are replaced; at a start also what held until then. Returns what is left.
pub fn tidy(
    driver: &Driver,
    always: &mut Always,
    replaced: &BTreeSet<[u64; 2]>,
    now_ns: u64,
    starts: bool,
) -> Result<Vec<(Subject, Answer)>> {
    always.took_back(replaced);
    let answers = driver.answers()?;
    let programs_alone = |(to, _): &(Subject, Answer)| matches!(to.who(), Who::Program(_));
    let watched = if answers.iter().all(programs_alone) {
        BTreeSet::new()
    } else {
        driver.watched()?
    };
    let mut left = Vec::new();
    for (to, answer) in answers {
        let ended = answer.until_ns <= now_ns || replaced.contains(&to.program);
        let over = match to.who() {
            Who::Program(_) => starts && answer.until_ns == Answer::NO_END && !always.is_put(&to),
            who => !watched.contains(&who),
        };
        if ended || over {
            driver.forget_answer(&to)?;
        } else {
            left.push((to, answer));
        }
    }
    Ok(left)
}

/// Says in the log what was not answered.
pub fn say_unanswered(waiting: &Waiting) {
    let Waiting {
        subject, asking, ..
    } = waiting;
    warn!(
        "question {} was not answered in {} s: {} for {} s ({} {} port {}, user {})",
        waiting.id,
        asking.within.as_secs(),
        asking.unanswered.name(),
        UNANSWERED.as_secs(),
        if subject.goes_out() { "to" } else { "from" },
        address(subject.remote),
        subject.port,
        subject.user,
    );
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    fn subject(program: u64, user: u32, remote: u8) -> Subject {
        Subject {
            remote: [remote; 16],
            program: [1, program],
            user,
            port: 443,
            protocol: 6,
            direction: Direction::Outbound as u8,
        }
    }

    fn asked(subjects: impl IntoIterator<Item = Subject>) -> Vec<(Subject, Question)> {
        let each = subjects.into_iter();
        each.map(|subject| {
            let question = Question {
                since_ns: subject.remote[0].into(),
                count: 1,
                ..Question::default()
            };
            (subject, question)
        })
        .collect()
    }

    fn usual(_: &Question) -> Asking {
        Asking::default()
    }

    #[test]
    fn no_number_is_a_question_of_an_earlier_service() {
        let (begun, now) = (Duration::from_secs(100), Instant::now());
        let mut earlier = Questions::numbered_from(begun);
        let many = (0..MOST_WAITING as u64)
            .flat_map(|program| earlier.meet(asked([subject(program, 0, 1)]), usual, now));
        let last = many.last().unwrap();
        // It takes longer than a second to start a service.
        let mut next = Questions::numbered_from(begun + Duration::from_secs(1));
        let new = next.meet(asked([subject(1, 0, 1)]), usual, now);
        assert!(new[0] > last, "{new:?} {last}");
    }

    #[test]
    fn a_flood_of_one_programs_questions_waits_in_few_and_leaves_room_for_others() {
        let (mut questions, now) = (Questions::default(), Instant::now());
        let mut all = asked((1..=200).map(|remote| subject(7, 1000, remote)));
        let new = questions.meet(all.clone(), usual, now);
        assert_eq!(new.len(), MOST_OF_A_PROGRAM);
        assert_eq!(questions.iter().last().unwrap().more, 192);
        assert_eq!(questions.due(now), Some(AGAIN));
        all.extend(asked([subject(8, 1000, 9), subject(7, 1001, 9)]));
        assert_eq!(questions.meet(all, usual, now).len(), 2);
    }

    #[test]
    fn a_flood_of_one_users_questions_leaves_room_for_others() {
        let (mut questions, now) = (Questions::default(), Instant::now());
        let waits = |questions: &Questions| questions.iter().count();
        for program in 0..1000 {
            questions.meet(asked([subject(program, 1000, 1)]), usual, now);
        }
        assert_eq!(waits(&questions), MOST_OF_ONE);
        for user in 1001..2000 {
            questions.meet(asked([subject(7, user, 1)]), usual, now);
        }
        assert_eq!(waits(&questions), MOST_WAITING);
    }

    #[test]
    fn a_containers_users_have_one_users_share_of_questions_and_of_answers() {
        let (mut questions, now) = (Questions::default(), Instant::now());
        for user in 131_072..131_072 + 1000 {
            questions.meet(asked([subject(7, user, 1)]), usual, now);
        }
        assert_eq!(questions.iter().count(), MOST_OF_A_PROGRAM);
        for user in 131_072..131_072 + 1000 {
            questions.meet(asked([subject(user.into(), user, 1)]), usual, now);
        }
        assert_eq!(questions.iter().count(), MOST_OF_ONE);
        assert_eq!(
            questions
                .meet(asked([subject(7, 1000, 1)]), usual, now)
                .len(),
            1
        );
        assert!(have_one_share(131_072, 196_607) && !have_one_share(131_072, 196_608));
        assert!(!have_one_share(1000, 1001) && !have_one_share(0, NO_USER));
    }

    #[test]
    fn what_found_no_room_is_looked_for_again_and_not_at_every_turn() {
        let (mut questions, now) = (Questions::default(), Instant::now());
        let all = asked((1..=9).map(|remote| subject(7, 1000, remote)));
        questions.meet(all, usual, now);
        let later = now + AGAIN / 2;
        assert_eq!(questions.due(later), Some(AGAIN / 2));
        assert_eq!(questions.due(now + AGAIN), Some(Duration::ZERO));
    }

    #[test]
    fn a_question_is_met_once_and_counts_what_waits_for_it() {
        let (mut questions, now) = (Questions::default(), Instant::now());
        let mut one = asked([subject(7, 1000, 1)]);
        assert_eq!(questions.meet(one.clone(), usual, now), [1]);
        one[0].1.count = 5;
        assert_eq!(questions.meet(one, usual, now), [0_u64; 0]);
        assert_eq!(questions.get(1).unwrap().question.count, 5);
    }

    #[test]
    fn an_answer_settles_every_question_that_it_is_wide_enough_for() {
        let (mut questions, now) = (Questions::default(), Instant::now());
        let all = [
            subject(7, 1000, 1),
            subject(7, 1000, 2),
            subject(8, 1000, 1),
        ];
        questions.meet(asked(all), usual, now);
        questions.settle(all[0].at(Width::Place), Width::Place);
        assert_eq!(questions.iter().count(), 2);
        questions.settle(all[1].at(Width::Port), Width::Port);
        assert_eq!(questions.iter().next().unwrap().subject, all[2]);
    }

    #[test]
    fn an_answer_to_a_process_settles_what_it_asked_and_nothing_of_others() {
        let (mut questions, now) = (Questions::default(), Instant::now());
        let mut all = asked((1..=4).map(|remote| subject(7, 1000, remote)));
        for ((_, question), (pid, began_ns, socket)) in
            all.iter_mut()
                .zip([(5, 100, 1), (5, 100, 2), (5, 200, 3), (0, 0, 0)])
        {
            question.pid = pid;
            question.began_ns = began_ns;
            question.socket = socket;
        }
        questions.meet(all.clone(), usual, now);
        let (first, process) = (all[0].0, all[0].1.process().unwrap());
        let left = |questions: &Questions| {
            let each = questions.iter().map(|waiting| waiting.id);
            each.collect::<Vec<_>>()
        };
        let socket = first.of(Who::Socket { cookie: 9 });
        questions.settle(socket, Width::Place);
        assert_eq!(left(&questions), [1, 2, 3, 4]);
        questions.settle(first.of(all[0].1.socket().unwrap()), Width::Place);
        assert_eq!(left(&questions), [2, 3, 4]);
        questions.settle(first.at(Width::Anywhere).of(process), Width::Anywhere);
        assert_eq!(left(&questions), [3, 4]);
        assert_eq!(all[3].1.process(), None);
        assert_eq!(all[3].1.socket(), None);
    }

    #[test]
    fn what_nobody_answers_in_its_time_is_over() {
        let (mut questions, now) = (Questions::default(), Instant::now());
        questions.meet(asked([subject(7, 1000, 1)]), usual, now);
        let within = Asking::default().within;
        assert_eq!(questions.due(now), Some(within));
        assert!(questions.overdue(now + within / 2).is_empty());
        assert_eq!(questions.overdue(now + within).len(), 1);
        assert_eq!(questions.due(now), None);
    }

    #[test]
    fn a_user_answers_for_what_runs_as_them_and_for_nothing_else() {
        assert!(may_answer(1000, &subject(7, 1000, 1)));
        assert!(!may_answer(1000, &subject(7, 0, 1)));
        assert!(!may_answer(1000, &subject(7, 1001, 1)));
        for program in [[0; 2], PacketMeta::KERNEL, PacketMeta::UNSURE] {
            let unknown = Subject {
                program,
                ..subject(7, 1000, 1)
            };
            assert!(!may_answer(1000, &unknown));
        }
        let nobody = subject(7, NO_USER, 1);
        assert!(!may_answer(NO_USER, &nobody));
    }

    #[test]
    fn an_answer_for_always_is_read_back_from_its_file_as_it_was_given() {
        struct Curl;
        impl Resolver for Curl {
            fn set_file(&self, _: &str) -> Result<rules::SetFile, String> {
                Err(String::new())
            }
            fn user(&self, _: &str) -> Result<u32, String> {
                Err(String::new())
            }
            fn program(&self, path: &str) -> Option<[u64; 2]> {
                (path == "/usr/bin/curl").then_some([1, 7])
            }
        }
        let remote = octets("192.0.2.7".parse().unwrap());
        let asked = Subject {
            remote,
            ..subject(7, 1000, 1)
        };
        for width in Width::ALL {
            let path = Some("/usr/bin/curl".to_owned());
            let kept = Kept::of(&asked, width, true, path, "alice".to_owned(), 1);
            let text = serde_json::to_string_pretty(&kept).unwrap();
            let read: Kept = serde_json::from_str(&text).unwrap();
            assert_eq!(read.entry(&Curl), Some((asked.at(width), true)), "{text}");
        }
    }

    #[test]
    fn a_file_of_answers_that_is_no_good_is_trouble_and_stays_as_it_is() {
        let folder = std::env::temp_dir().join(format!("gatebell-always-{}", std::process::id()));
        folders::own(&folder).unwrap();
        let file = folder.join(FILE);
        let kept = |user| {
            Kept::of(
                &subject(0, user, 1),
                Width::Place,
                true,
                None,
                String::new(),
                1,
            )
        };
        let mut always = Always::open(&folder);
        assert_eq!(always.trouble(), None, "there is none yet");
        always.keep(kept(1)).unwrap();
        let good = fs::read_to_string(&file).unwrap();
        let comma = good.replace("}\n]", "},\n]");
        assert_ne!(comma, good);
        fs::write(&file, &comma).unwrap();
        let mut always = Always::open(&folder);
        let trouble = always.trouble().unwrap();
        assert!(
            trouble.contains(FILE) && trouble.contains("mend it"),
            "{trouble}"
        );
        assert_eq!(always.keep(kept(2)).unwrap_err().to_string(), trouble);
        assert_eq!(fs::read_to_string(&file).unwrap(), comma);
        fs::write(&file, &good).unwrap();
        always.read();
        assert_eq!(always.trouble(), None);
        always.keep(kept(2)).unwrap();
        assert_eq!(Always::open(&folder).kept.len(), 2);
        fs::remove_dir_all(&folder).unwrap();
    }
}
