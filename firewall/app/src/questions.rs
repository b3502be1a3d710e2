//! Questions of the rules, as the service says them, and the answers on their way to it: shared by the thread that
//! speaks with the service and by those who show questions.
//!
//! - Nobody who shows a question waits for the service: the thread does.
//! - The thread looks when a record tells that something was asked, once a second while something waits, and every few
//!   seconds in any case: a rule may tell nothing of what it asks, a record may be lost, and the service may come back.

use control::{Given, Question};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Time between two looks while something waits.
const WHILE_ASKED: Duration = Duration::from_secs(1);
/// Time between two looks while nothing does.
const IN_ANY_CASE: Duration = Duration::from_secs(3);
/// Shortest time between two looks: a flood of questions is no flood of requests.
const AT_LEAST: Duration = Duration::from_millis(50);

/// Service that is asked for questions, and takes answers. Errors are sentences that say what to do.
pub trait QuestionService {
    /// Returns the questions that wait.
    fn questions(&mut self) -> Result<Vec<Question>, String>;
    /// Answers a question, as it was shown.
    fn answer(&mut self, asked: &Question, given: &Given) -> Result<Question, String>;
}

/// Questions that wait, and the answer that is on its way.
#[derive(Debug, Default)]
pub struct Questions {
    state: Mutex<QuestionsState>,
    /// Call by which the thread hears that there is something to do before the time.
    call: Condvar,
}

/// State of the questions now.
#[derive(Debug, Default)]
pub struct QuestionsState {
    waiting: Vec<Waiting>,
    unreachable: Option<String>,
    answer: Option<(Question, Given)>,
    outcome: Option<AnswerOutcome>,
    rung: bool,
    ended: bool,
}

/// Question that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The question itself.
    pub question: Question,
    /// Time until which the question can be answered.
    pub until: Instant,
}

/// Outcome of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerOutcome {
    /// Question that was answered.
    pub question: Question,
    /// Answer that was given.
    pub given: Given,
    /// Reason for which the answer is not in force, if it is not.
    pub refused: Option<String>,
    /// Time of the outcome.
    pub at: Instant,
}

impl QuestionsState {
    /// Returns the questions that wait, the oldest first.
    pub fn waiting(&self) -> &[Waiting] {
        &self.waiting
    }

    /// Returns the reason for which the service can't be asked.
    pub fn unreachable(&self) -> Option<&str> {
        self.unreachable.as_deref()
    }

    /// Returns the number of the question whose answer is on its way.
    pub fn is_being_answered(&self) -> Option<u64> {
        self.answer.as_ref().map(|(question, _)| question.id)
    }

    /// Returns the outcome of the last answer.
    pub fn outcome(&self) -> Option<&AnswerOutcome> {
        self.outcome.as_ref()
    }

    /// Takes in what the service says now. Returns `true` if that is something else to show; that time passes is not.
    fn take(&mut self, said: Result<Vec<Question>, String>, now: Instant) -> bool {
        let (questions, unreachable) = match said {
            Ok(questions) => (questions, None),
            Err(why) => (Vec::new(), Some(why)),
        };
        let timeless = |question: &Question| Question {
            milliseconds_left: 0,
            ..question.clone()
        };
        let shown = self
            .waiting
            .iter()
            .map(|waiting| timeless(&waiting.question));
        let same = shown.eq(questions.iter().map(timeless)) && self.unreachable == unreachable;
        self.waiting = questions
            .into_iter()
            .map(|question| Waiting {
                until: now + Duration::from_millis(question.milliseconds_left),
                question,
            })
            .collect();
        self.unreachable = unreachable;
        !same
    }
}

impl Questions {
    /// Locks the state for a look at it.
    pub fn look(&self) -> MutexGuard<'_, QuestionsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that something was asked.
    pub fn ring(&self) {
        self.look().rung = true;
        self.call.notify_one();
    }

    /// Hands in an answer. Returns `false` if another one is still on its way.
    pub fn answer(&self, question: Question, given: Given) -> bool {
        let mut state = self.look();
        if state.answer.is_some() {
            return false;
        }
        state.outcome = None;
        state.answer = Some((question, given));
        drop(state);
        self.call.notify_one();
        true
    }

    /// Ends the thread that follows.
    pub fn end(&self) {
        self.look().ended = true;
        self.call.notify_one();
    }

    /// Speaks with the service until the end, and calls `changed` when there is something else to show.
    pub fn follow(&self, service: &mut dyn QuestionService, changed: &dyn Fn()) {
        while !self.look().ended {
            let asked = self.look().answer.clone();
            let outcome = asked.map(|(question, given)| AnswerOutcome {
                refused: service.answer(&question, &given).err(),
                question,
                given,
                at: Instant::now(),
            });
            self.look().rung = false;
            let said = service.questions();
            let mut state = self.look();
            let mut news = state.take(said, Instant::now());
            if outcome.is_some() {
                state.answer = None;
                state.outcome = outcome;
                news = true;
            }
            drop(state);
            if news {
                changed();
            }
            self.rest();
        }
    }

    /// Waits until there is something to do.
    fn rest(&self) {
        let no_answer = |state: &mut QuestionsState| state.answer.is_none() && !state.ended;
        let nothing = |state: &mut QuestionsState| no_answer(state) && !state.rung;
        let state = self.look();
        let whole = if state.waiting.is_empty() {
            IN_ANY_CASE
        } else {
            WHILE_ASKED
        };
        let waited = self.call.wait_timeout_while(state, AT_LEAST, no_answer);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let waited = self.call.wait_timeout_while(state, whole, nothing);
        drop(waited);
    }
}

/// Service behind a control socket.
#[cfg(target_os = "linux")]
pub struct AtSocket {
    path: std::path::PathBuf,
    client: Option<control::Client>,
}

#[cfg(target_os = "linux")]
impl AtSocket {
    /// Returns the service behind the control socket at this path. It need not run yet.
    pub fn new(path: &std::path::Path) -> Self {
        Self {
            path: path.to_owned(),
            client: None,
        }
    }

    /// Ends the connection, if there is one: the next request makes another.
    pub fn forget_connection(&mut self) {
        self.client = None;
    }

    /// Makes a request, over the connection that there is if there is one.
    pub fn ask<T>(
        &mut self,
        ask: impl Fn(&mut control::Client) -> Result<T, control::Failed>,
    ) -> Result<T, control::Failed> {
        let known = self.client.is_some();
        let client = match self.client.take() {
            Some(client) => Ok(client),
            None => control::Client::connect(&self.path),
        };
        let mut client = client?;
        match ask(&mut client) {
            Ok(said) => {
                self.client = Some(client);
                Ok(said)
            }
            // The service was started again meanwhile: nobody took the request.
            Err(control::Failed::HungUp) if known => self.ask(ask),
            Err(failed) => {
                if matches!(failed, control::Failed::Refused { .. }) {
                    self.client = Some(client);
                }
                Err(failed)
            }
        }
    }
}

#[cfg(target_os = "linux")]
impl QuestionService for AtSocket {
    fn questions(&mut self) -> Result<Vec<Question>, String> {
        let asked = self.ask(control::Client::questions);
        asked.map_err(|failed| crate::failed::words(&failed))
    }

    fn answer(&mut self, asked: &Question, given: &Given) -> Result<Question, String> {
        let answered = self.ask(|client| client.answer(asked.id, Some(asked.listed), given));
        answered.map_err(|failed| crate::failed::words(&failed))
    }
}

/// Service for tests: its questions, and its answer to an answer.
#[cfg(test)]
#[derive(Debug, Default)]
pub struct QuestionsModel {
    /// Questions that wait.
    pub waiting: Vec<Question>,
    /// Answers that were given, with the questions' numbers.
    pub answered: Vec<(u64, Given)>,
    /// Number of the last place that was shown, for each answer.
    pub listed: Vec<u64>,
    /// Error that it answers every answer with, if it refuses them.
    pub refuses: Option<String>,
    /// Error that it answers everything with, if it can't be asked.
    pub unreachable: Option<String>,
}

#[cfg(test)]
impl QuestionService for QuestionsModel {
    fn questions(&mut self) -> Result<Vec<Question>, String> {
        match &self.unreachable {
            Some(why) => Err(why.clone()),
            None => Ok(self.waiting.clone()),
        }
    }

    fn answer(&mut self, asked: &Question, given: &Given) -> Result<Question, String> {
        if let Some(why) = self.refuses.as_ref().or(self.unreachable.as_ref()) {
            return Err(why.clone());
        }
        let id = asked.id;
        let found = self.waiting.iter().position(|question| question.id == id);
        let question = self
            .waiting
            .remove(found.ok_or("no question of this number waits")?);
        self.answered.push((id, *given));
        self.listed.push(asked.listed);
        Ok(question)
    }
}

#[cfg(test)]
impl Questions {
    /// Runs one round of [`Questions::follow`].
    pub fn turn(&self, service: &mut QuestionsModel) {
        struct Once<'a>(&'a Questions, &'a mut QuestionsModel);
        impl QuestionService for Once<'_> {
            fn questions(&mut self) -> Result<Vec<Question>, String> {
                self.0.end();
                self.1.questions()
            }
            fn answer(&mut self, asked: &Question, given: &Given) -> Result<Question, String> {
                self.1.answer(asked, given)
            }
        }
        self.look().ended = false;
        self.follow(&mut Once(self, service), &|| ());
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use view::example::question;
    use view::question::usual;

    /// Model that says when it is asked.
    struct Telling(QuestionsModel, std::sync::mpsc::Sender<Instant>);

    impl QuestionService for Telling {
        fn questions(&mut self) -> Result<Vec<Question>, String> {
            self.1.send(Instant::now()).unwrap();
            self.0.questions()
        }
        fn answer(&mut self, asked: &Question, given: &Given) -> Result<Question, String> {
            self.0.answer(asked, given)
        }
    }

    #[test]
    fn a_record_and_an_answer_wake_whoever_speaks_with_the_service_and_nothing_else_does_for_seconds()
     {
        let questions = Questions::default();
        let (tell, hear) = channel();
        let next = || hear.recv_timeout(Duration::from_secs(60)).unwrap();
        // Unwoken, each look is so much later than the last. A busy machine may be as late once, but not each time.
        let wakes = |last: &mut Instant, wake: &dyn Fn()| {
            (0..20).any(|_| {
                wake();
                let before = std::mem::replace(last, next());
                *last < before + IN_ANY_CASE
            })
        };
        std::thread::scope(|scope| {
            scope.spawn(|| questions.follow(&mut Telling(QuestionsModel::default(), tell), &|| ()));
            let first = next();
            let mut last = next();
            assert!(last >= first + IN_ANY_CASE, "at rest");
            let ring = || questions.ring();
            assert!(wakes(&mut last, &ring), "a record wakes it");
            let answer = || {
                let _one_is_on_its_way = questions.answer(question(), usual(true));
            };
            assert!(wakes(&mut last, &answer), "an answer wakes it");
            let begun = Instant::now();
            for _ in 0..1_000 {
                questions.ring();
                std::thread::sleep(Duration::from_micros(200));
            }
            let looks = hear.try_iter().count() as u128;
            // And those that were due before.
            let most = begun.elapsed().as_millis() / AT_LEAST.as_millis() + 3;
            assert!(looks <= most, "{looks} looks for 1000 records");
            questions.end();
        });
    }

    #[test]
    fn that_time_passes_is_nothing_to_paint_and_everything_else_is() {
        let mut state = QuestionsState::default();
        let (now, mut asked) = (Instant::now(), question());
        assert!(!state.take(Ok(Vec::new()), now), "nothing, as before");
        assert!(state.take(Ok(vec![asked.clone()]), now));
        asked.milliseconds_left -= 1_000;
        assert!(!state.take(Ok(vec![asked.clone()]), now));
        asked.count += 1;
        assert!(state.take(Ok(vec![asked]), now));
        assert!(state.take(Err("gone".to_owned()), now));
        assert!(!state.take(Err("gone".to_owned()), now));
        assert!(state.take(Ok(Vec::new()), now), "it is back");
    }

    #[test]
    fn one_answer_is_on_its_way_at_a_time() {
        let questions = Questions::default();
        assert!(questions.answer(question(), usual(true)));
        assert!(!questions.answer(question(), usual(false)));
        assert_eq!(questions.look().is_being_answered(), Some(7));
        let mut service = QuestionsModel {
            waiting: vec![question()],
            ..QuestionsModel::default()
        };
        questions.turn(&mut service);
        assert_eq!(service.answered, [(7, usual(true))]);
        assert_eq!(questions.look().is_being_answered(), None);
    }
}
