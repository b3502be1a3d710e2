//! Question that a line typed at `gatebell ask` is meant for.

use control::Question;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Time after the end of a question in which a typed line may still have been meant for it.
const MEANWHILE: Duration = Duration::from_secs(2);

/// Queue of questions, which tells the one that a typed line is meant for.
#[derive(Debug, Default)]
pub struct Turn {
    /// Number of the current question, and the time at which it was seen to be over.
    current: Option<(u64, Option<Instant>)>,
    /// Numbers of the questions that wait, the oldest first.
    waiting: Vec<u64>,
    /// Since when those are shown that wait for an answer at all.
    shown: BTreeMap<u64, Instant>,
    /// Parts that were shown of the questions.
    parts: BTreeMap<u64, Part>,
    /// The one that was shown last, below all others.
    last: Option<u64>,
}

/// Part that was shown of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    /// Numbers of the first place that was shown, and of the last one.
    first: u64,
    listed: u64,
    /// Number of all places when it was shown, if the question is about many.
    of_many: Option<u64>,
}

impl Part {
    fn of(question: &Question) -> Self {
        let first = question.places.first();
        let all = (question.places.len() as u64).saturating_add(question.more);
        Self {
            first: first.map_or(question.listed, |place| place.number),
            listed: question.listed,
            of_many: question.many.then_some(all),
        }
    }

    /// Returns whether the question is to be shown again: another address of its name has joined, none of the many
    /// places that were listed waits, or there are many more. Each of these has its own time: of a flood another is the
    /// first at each look, and who reads the list would never come to its end.
    fn is_outdated(&self, now: &Self) -> bool {
        const MANY_TIMES: u64 = 4;
        match self.of_many.zip(now.of_many) {
            None => now.listed > self.listed,
            Some((before, now_all)) => {
                now.first > self.listed || now_all >= before.saturating_mul(MANY_TIMES)
            }
        }
    }
}

/// Question that a typed line is meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meant {
    Waiting(u64),
    /// The question waits, but was not shown yet when the line was typed.
    Unseen(u64),
    Over(u64),
    Nothing,
}

impl Turn {
    /// Returns whether a question was not shown yet, or has changed too much since.
    pub fn is_new(&self, question: &Question) -> bool {
        let before = self.parts.get(&question.id);
        let is_outdated = before.is_some_and(|before| before.is_outdated(&Part::of(question)));
        !self.shown.contains_key(&question.id) || is_outdated
    }

    /// Notes that a question is shown now: lines typed before were not meant for it.
    pub fn shows(&mut self, question: &Question) {
        self.last = Some(question.id);
        self.shown.remove(&question.id);
        self.parts.insert(question.id, Part::of(question));
    }

    /// Returns the number of the last place that was shown of this question.
    pub fn listed(&self, id: u64) -> Option<u64> {
        self.parts.get(&id).map(|part| part.listed)
    }

    /// Returns the question that the next line is for and the time since which it is shown so,
    /// or `None` if it is for none that waits.
    pub fn next_line_is_for(&self) -> Option<(u64, Instant)> {
        let (id, _) = self.current?;
        let since = self.shown.get(&id)?;
        Some((id, *since))
    }

    /// Has the question whose turn it is shown again.
    pub fn show_again(&mut self) {
        self.last = None;
    }

    /// Takes in what waits. Returns the question whose turn it was, once, if it is over.
    pub fn follow(&mut self, waiting: Vec<u64>, now: Instant) -> Option<u64> {
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

    /// The question whose turn it is, once, if others were shown below it: nobody knows which of them the next line is
    /// for, some of which an answer to another one has settled.
    pub fn stands_above(&mut self) -> Option<u64> {
        let (current, over) = self.current?;
        if over.is_some() || self.last == Some(current) {
            return None;
        }
        self.last = Some(current);
        self.last
    }

    /// Passes to the next question, as the current one was answered or left aside.
    pub fn pass(&mut self) {
        self.current = None;
    }

    /// These are to be seen from now on, and no others.
    pub fn show(&mut self, ids: impl Iterator<Item = u64>, now: Instant) {
        let before = std::mem::take(&mut self.shown);
        let since = |id| (id, before.get(&id).copied().unwrap_or(now));
        self.shown = ids.map(since).collect();
        let shown = &self.shown;
        self.parts.retain(|id, _| shown.contains_key(id));
    }

    /// Returns the question that a line typed at this time is meant for. The next line is for the next question.
    pub fn take(&mut self, typed: Instant) -> Meant {
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

#[cfg(test)]
mod tests {
    use super::super::example::about_many;
    use super::*;

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

    /// A question about a name, of which this address is the last that has joined.
    fn about_name(id: u64, last: u64) -> Question {
        Question {
            many: false,
            ..about_many(id, 1..=last, 0)
        }
    }

    #[test]
    fn a_question_about_a_name_is_shown_again_where_another_address_has_joined_and_answers_none_before()
     {
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
            (is_new, turn.listed(question.id), turn.next_line_is_for())
        };
        let since = |ms| Some((7, at(ms)));
        assert_eq!(sees(about_name(7, 1), 10), (true, Some(1), since(10)));
        assert_eq!(sees(about_name(7, 1), 20), (false, Some(1), since(10)));
        assert_eq!(sees(about_name(7, 2), 30), (true, Some(2), since(30)));
        // The first one has ended.
        let mut left = about_name(7, 2);
        left.places.remove(0);
        assert_eq!(sees(left, 40), (false, Some(2), since(30)));
    }
}
