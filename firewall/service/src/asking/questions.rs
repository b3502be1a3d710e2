//! Questions that wait for an answer: each has a number and a deadline, and nobody has more of them than a share.
//!
//! A question is about a place: the other end, by the name that it was asked for by if it has one, so that a program
//! which tries a name's addresses of both versions of IP has one question. A program that wants to go to many places
//! within a minute has one question about all further ones, which lasts as long as there are any: a person answers
//! about the program, or about the places that they were shown.

use super::askers::{is_a_users, is_of_program, is_of_same_network, is_same_asker};
use super::waiting_question::{Place, Unanswered, Waiting};
use super::{UNANSWERED, have_one_share, is_about};
use firewall_abi::asking::{Question, Subject, Width};
use firewall_abi::packet::NO_USER;
use rules::Asking;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Maximum number of questions that wait at once.
const MOST_WAITING: usize = 256;
/// Maximum number of waiting questions of one program of one user; where no user is known, to one port or with one
/// address.
const MOST_OF_A_PROGRAM: usize = 8;
/// Maximum number of waiting questions with one network where no user is known.
const MOST_OF_A_NETWORK: usize = 32;
/// Maximum number of waiting questions of one user, whatever the programs; or where no user is known.
const MOST_OF_ONE: usize = 64;
/// Maximum number of waiting questions of all users but root: root's programs, and packets of no known user, have a
/// share of their own.
const MOST_OF_USERS: usize = MOST_WAITING - 2 * MOST_OF_ONE;
/// Number of places of one program that are asked about one by one within [`SOON`]: what comes then is asked about
/// together.
const FEW: usize = 5;
/// Time within which [`FEW`] places of a program are asked about one by one.
const SOON: Duration = Duration::from_secs(60);
/// Maximum number of moments remembered at which programs were asked about.
const MOST_RECENT: usize = 4096;
/// Maximum number of places that one question is about at once, waiting or decided by nobody for [`UNANSWERED`]. Each
/// of these may be an answer in the driver's table.
const MOST_PLACES: usize = 512;
/// Maximum number of places of one user's questions.
const MOST_PLACES_OF_ONE: usize = 1024;
/// Maximum number of places of the questions of all users but root.
const MOST_PLACES_OF_USERS: usize = 3072;
/// Maximum number of addresses of one name that are asked about together.
const MOST_OF_A_NAME: usize = 8;
/// Interval between looks for questions that found no room.
const AGAIN: Duration = Duration::from_secs(1);

/// Questions that wait, the oldest first.
#[derive(Debug, Default)]
pub struct Questions {
    waiting: Vec<Waiting>,
    /// Programs that somebody was asked about within [`SOON`], each with the moment.
    recent: VecDeque<(Subject, Instant)>,
    last: u64,
    /// Time of the next look for questions that found no room, if some did not.
    again: Option<Instant>,
}

impl Questions {
    /// Returns an empty list of questions. Each service counts from when it began, in milliseconds since the machine
    /// did: an answer that was meant for an earlier service's question is to none of this one's.
    pub fn numbered_from(boot: Duration) -> Self {
        Self {
            last: u64::try_from(boot.as_millis()).unwrap_or(u64::MAX / 2),
            ..Self::default()
        }
    }

    /// Takes in the questions of the driver. Returns the numbers of the new ones.
    pub fn meet(
        &mut self,
        mut asked: Vec<(Subject, Question)>,
        asking: impl Fn(&Question) -> Asking,
        name: impl Fn(&Subject) -> Option<Arc<str>>,
        now: Instant,
    ) -> Vec<u64> {
        let before = self.last;
        asked.sort_by_key(|(subject, question)| (question.since_ns, *subject));
        self.forget_old(&asked, now);
        self.again = None;
        self.waiting.iter_mut().for_each(|waiting| waiting.more = 0);
        let mut known = self.known();
        for (subject, question) in asked {
            if let Some((waiting, place)) = known.get(&subject) {
                let place = &mut self.waiting[*waiting].places[*place];
                place.question.count = question.count;
                if place.name.is_none() {
                    place.name = name(&subject);
                }
                continue;
            }
            let name = name(&subject);
            let Some(at) = self.question_for(&subject, name.clone(), now) else {
                self.found_no_room(&subject, now);
                continue;
            };
            let waiting = &mut self.waiting[at];
            known.insert(subject, (at, waiting.places.len()));
            waiting.add(subject, question, asking(&question), name, now);
        }
        self.waiting.retain(|waiting| !waiting.places.is_empty());
        (before + 1..=self.last).collect()
    }

    /// Maps each subject that is asked about to the indices of its question and of its place.
    fn known(&self) -> BTreeMap<Subject, (usize, usize)> {
        let mut known = BTreeMap::new();
        for (at, waiting) in self.waiting.iter().enumerate() {
            let places = waiting.places.iter().enumerate();
            known.extend(places.map(|(place, Place { subject, .. })| (*subject, (at, place))));
        }
        known
    }

    /// Returns the question that a new place belongs to, a new one where there is none, or `None` if there is no room.
    fn question_for(
        &mut self,
        new: &Subject,
        name: Option<Arc<str>>,
        now: Instant,
    ) -> Option<usize> {
        let taking = self.waiting.iter();
        let taking = taking
            .enumerate()
            .filter(|(_, waiting)| waiting.takes(new, name.as_deref()));
        if let Some((at, waiting)) = taking.min_by_key(|(_, waiting)| waiting.is_many) {
            return self.has_place(waiting, new).then_some(at);
        }
        let is_many = new.user != NO_USER && self.was_asked_often(new);
        if !self.has_room(new) || new.user != NO_USER && !self.has_place_of_one(new) {
            return None;
        }
        self.last += 1;
        self.waiting
            .push(Waiting::new(self.last, *new, is_many, name));
        if !is_many {
            if self.recent.len() >= MOST_RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back((*new, now));
        }
        Some(self.waiting.len() - 1)
    }

    /// Returns whether this program was asked about [`FEW`] times within [`SOON`], or has as many questions that wait.
    fn was_asked_often(&self, new: &Subject) -> bool {
        let recent = self.recent.iter().map(|(subject, _)| subject);
        let recent = recent.filter(|subject| is_of_program(subject, new)).count();
        let waiting = self.waiting.iter();
        let waiting = waiting.filter(|waiting| is_of_program(&waiting.asker, new));
        let waiting = waiting.count();
        recent.max(waiting) >= FEW
    }

    /// Returns whether a question may be about one more place.
    fn has_place(&self, waiting: &Waiting, new: &Subject) -> bool {
        let most = if waiting.is_many {
            MOST_PLACES
        } else {
            MOST_OF_A_NAME
        };
        waiting.places.len() < most && self.has_place_of_one(new)
    }

    /// Returns whether this user's questions may be about one more place.
    fn has_place_of_one(&self, new: &Subject) -> bool {
        let (mut of_one, mut of_users) = (0, 0);
        for waiting in &self.waiting {
            let places = waiting.places.len();
            if have_one_share(waiting.asker.user, new.user) {
                of_one += places;
            }
            if is_a_users(&waiting.asker) {
                of_users += places;
            }
        }
        of_one < MOST_PLACES_OF_ONE && (!is_a_users(new) || of_users < MOST_PLACES_OF_USERS)
    }

    fn found_no_room(&mut self, new: &Subject, now: Instant) {
        self.again = Some(now + AGAIN);
        let same =
            |waiting: &&mut Waiting| !waiting.is_over() && is_same_asker(&waiting.asker, new);
        let last = self.waiting.iter_mut().rfind(same);
        last.into_iter()
            .for_each(|last| last.more = last.more.saturating_add(1));
    }

    /// Forgets places that nobody answered where that holds no more: its time is over, or the driver asks again.
    fn forget_old(&mut self, asked: &[(Subject, Question)], now: Instant) {
        let again: BTreeSet<_> = asked.iter().map(|(subject, _)| subject).collect();
        let holds = |place: &Place| {
            let is_left = |over| over > now && !again.contains(&place.subject);
            place.over.is_none_or(is_left)
        };
        for waiting in &mut self.waiting {
            waiting.places.retain(holds);
        }
        let is_old = |(_, at): &(Subject, Instant)| *at + SOON <= now;
        while self.recent.front().is_some_and(is_old) {
            self.recent.pop_front();
        }
    }

    /// Iterates over the questions that wait.
    pub fn iter(&self) -> impl Iterator<Item = &Waiting> {
        self.waiting.iter().filter(|waiting| !waiting.is_over())
    }

    /// Returns the question with this number.
    pub fn get(&self, id: u64) -> Option<&Waiting> {
        self.iter().find(|waiting| waiting.id == id)
    }

    /// Marks the places whose deadline has passed as unanswered, so that they wait no more, and returns them.
    pub fn overdue(&mut self, now: Instant) -> Vec<Unanswered> {
        let mut over = Vec::new();
        for waiting in &mut self.waiting {
            let late = |place: &&mut Place| place.over.is_none() && place.deadline <= now;
            let late = waiting.places.iter_mut().filter(late).map(|place| {
                place.over = Some(now + UNANSWERED);
                place.clone()
            });
            let places: Vec<_> = late.collect();
            if !places.is_empty() {
                over.push(Unanswered {
                    id: waiting.id,
                    places,
                });
            }
        }
        self.waiting
            .retain(|waiting| waiting.is_many || !waiting.is_over());
        over
    }

    /// Removes the places that an answer of this width to `to` decides.
    pub fn settle(&mut self, to: Subject, width: Width) {
        self.drop_places(|place| is_about(to, width, &place.subject, &place.question));
    }

    /// Removes the place of this subject.
    pub fn drop(&mut self, subject: &Subject) {
        self.drop_places(|place| place.subject == *subject);
    }

    fn drop_places(&mut self, is_settled: impl Fn(&Place) -> bool) {
        for waiting in &mut self.waiting {
            waiting.places.retain(|place| !is_settled(place));
        }
        self.waiting.retain(|waiting| !waiting.places.is_empty());
    }

    /// Returns whether another question of this program and user may wait.
    fn has_room(&self, new: &Subject) -> bool {
        let fewer_than = |most: usize, count: fn(&Subject, &Subject) -> bool| {
            let waiting = self.waiting.iter();
            let alike = waiting.filter(|waiting| count(&waiting.asker, new));
            alike.count() < most
        };
        (!is_a_users(new) || fewer_than(MOST_OF_USERS, |other, _| is_a_users(other)))
            && fewer_than(MOST_OF_ONE, |other, new| {
                have_one_share(other.user, new.user)
            })
            && fewer_than(MOST_OF_A_PROGRAM, is_same_asker)
            && fewer_than(MOST_OF_A_NETWORK, is_of_same_network)
    }

    /// Returns the time until the next deadline, or the next look for questions that found no room.
    pub fn due(&self, now: Instant) -> Option<Duration> {
        let places = self.waiting.iter().flat_map(Waiting::places);
        let deadlines = places.map(|place| place.deadline);
        let first = deadlines.chain(self.again).min();
        first.map(|first| first.saturating_duration_since(now))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests;
