//! Questions that wait for an answer: each has a number and a deadline, and nobody has more of them than a share.
//!
//! A question is about a place: the other end, by the name that it was asked for by if it has one, so that a program which tries a
//! name's addresses of both versions of IP has one question. A program that wants to go to many places within a minute has one question
//! about all further ones, which lasts as long as there are any: a person answers about the program, or about the places that they were
//! shown.

use super::{UNANSWERED, have_one_share, is_about};
use firewall_abi::asking::{Question, Subject, Width};
use firewall_abi::packet::NO_USER;
use rules::Asking;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv6Addr;
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
/// Maximum number of places of a question that a person is shown.
pub const MOST_LISTED: usize = 8;
/// Interval between looks for questions that found no room.
const AGAIN: Duration = Duration::from_secs(1);

/// Place that a question is about.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Number of the place within its question: later places have higher numbers.
    pub number: u64,
    pub subject: Subject,
    pub question: Question,
    pub asking: Asking,
    /// Time by which the place is to be answered.
    pub deadline: Instant,
    /// Time until which it holds that nobody answered, or `None` if the place still waits.
    over: Option<Instant>,
}

/// Question that waits for an answer.
#[derive(Clone, Debug)]
pub struct Waiting {
    pub id: u64,
    /// `true` if the question is about any place that its program wants, and not about a single one.
    pub is_many: bool,
    /// Number of other questions of the same program that found no room.
    pub more: u64,
    /// Asker: the places of one question are one program's of one user.
    asker: Subject,
    /// Name of the peer, if the question is about one place and the peer has one.
    name: Option<Arc<str>>,
    /// Places of the question, the oldest first.
    places: Vec<Place>,
    /// Number of the last place.
    last: u64,
}

impl Waiting {
    /// Returns the places that wait for an answer, the oldest first.
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        self.places.iter().filter(|place| place.over.is_none())
    }

    /// Returns the first place that waits, or `None` if none waits any more.
    pub fn first(&self) -> Option<&Place> {
        self.places().next()
    }

    /// Returns the name that people are shown for a place, of which `last` is the present one. The addresses of one name are asked about
    /// by that name, though one of them was asked for by another name since: the others never had that.
    pub fn name_of_place(&self, last: Option<Arc<str>>) -> Option<Arc<str>> {
        self.name.clone().or(last)
    }

    /// Returns the number of packets that wait.
    pub fn count(&self) -> u64 {
        self.places()
            .fold(0, |sum, place| sum.saturating_add(place.question.count))
    }

    fn is_over(&self) -> bool {
        self.first().is_none()
    }

    /// Returns whether a new place belongs to this question.
    fn takes(&self, new: &Subject, name: Option<&str>) -> bool {
        if self.is_many {
            return is_of_program(&self.asker, new);
        }
        let named = self.name.as_deref().zip(name);
        named.is_some_and(|(own, other)| own == other)
            && self.asker.at(Width::Port) == new.at(Width::Port)
            && !self.is_over()
    }

    fn add(&mut self, subject: Subject, question: Question, asking: Asking, now: Instant) {
        // The addresses of a name have the time of the first one.
        let deadline = self.places.first().filter(|_| !self.is_many);
        self.last += 1;
        self.places.push(Place {
            number: self.last,
            subject,
            question,
            asking,
            deadline: deadline.map_or(now + asking.within, |first| first.deadline),
            over: None,
        });
    }
}

/// Places of a question that nobody answered in time.
#[derive(Debug)]
pub struct Unanswered {
    pub id: u64,
    pub places: Vec<Place>,
}

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
                self.waiting[*waiting].places[*place].question.count = question.count;
                continue;
            }
            let name = name(&subject);
            let Some(at) = self.question_for(&subject, name, now) else {
                self.found_no_room(&subject, now);
                continue;
            };
            let waiting = &mut self.waiting[at];
            known.insert(subject, (at, waiting.places.len()));
            waiting.add(subject, question, asking(&question), now);
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
        self.waiting.push(Waiting {
            id: self.last,
            is_many,
            more: 0,
            asker: *new,
            name: name.filter(|_| !is_many),
            places: Vec::new(),
            last: 0,
        });
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
                *place
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

/// Returns whether both subjects are of one program of one user in one direction, so that one answer can be about both.
fn is_of_program(one: &Subject, other: &Subject) -> bool {
    one.at(Width::Anywhere) == other.at(Width::Anywhere)
}

/// Returns whether two questions count as one asker's: one program's of one user. Where no user is known, as of most
/// that comes in, those to one port count as one asker's, and those with one address: who sends to a port from
/// everywhere keeps no other port from being asked about, and who sends to every port nobody else.
fn is_same_asker(one: &Subject, other: &Subject) -> bool {
    if one.program != other.program || !have_one_share(one.user, other.user) {
        return false;
    }
    one.user != NO_USER
        || (one.protocol, one.port) == (other.protocol, other.port)
        || one.remote == other.remote
}

/// Returns whether no user is known for either subject, and both are with one network: who has all of its addresses
/// keeps no other from being asked about.
fn is_of_same_network(one: &Subject, other: &Subject) -> bool {
    (one.user, other.user) == (NO_USER, NO_USER) && network(one) == network(other)
}

/// Returns the peer's network, as far as it is known: 24 bits of an IPv4 address, 64 of an IPv6 address.
fn network(of: &Subject) -> Ipv6Addr {
    let remote = Ipv6Addr::from(of.remote);
    let kept = if remote.to_ipv4_mapped().is_some() {
        128 - 8
    } else {
        64
    };
    Ipv6Addr::from_bits(remote.to_bits() >> (128 - kept) << (128 - kept))
}

/// Returns whether the subject's user is known and is not root.
const fn is_a_users(subject: &Subject) -> bool {
    subject.user != 0 && subject.user != NO_USER
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::super::example::subject;
    use super::*;
    use firewall_abi::asking::Who;
    use firewall_abi::packet::Direction;

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

    fn nameless(_: &Subject) -> Option<Arc<str>> {
        None
    }

    #[test]
    fn no_number_is_a_question_of_an_earlier_service() {
        let (begun, now) = (Duration::from_secs(100), Instant::now());
        let mut earlier = Questions::numbered_from(begun);
        let many = (0..MOST_WAITING as u64).flat_map(|program| {
            earlier.meet(asked([subject(program, 0, 1)]), usual, nameless, now)
        });
        let last = many.last().unwrap();
        // It takes longer than a second to start a service.
        let mut next = Questions::numbered_from(begun + Duration::from_secs(1));
        let new = next.meet(asked([subject(1, 0, 1)]), usual, nameless, now);
        assert!(new[0] > last, "{new:?} {last}");
    }

    /// Returns places of one program, as many as there are numbers.
    fn places(numbers: std::ops::Range<u16>) -> Vec<(Subject, Question)> {
        let each = numbers.map(|number| {
            let mut place = subject(7, 1000, 1);
            place.remote[..2].copy_from_slice(&number.to_be_bytes());
            place
        });
        asked(each)
    }

    #[test]
    fn a_flood_of_one_programs_questions_is_a_few_and_one_about_all_others_and_leaves_room_for_others()
     {
        let (mut questions, now) = (Questions::default(), Instant::now());
        let mut all = places(0..200);
        let new = questions.meet(all.clone(), usual, nameless, now);
        assert_eq!(new.len(), FEW + 1);
        let waiting: Vec<_> = questions.iter().collect();
        assert!(waiting[..FEW].iter().all(|one| !one.is_many));
        let many = waiting[FEW];
        assert!(many.is_many && many.places().count() == 200 - FEW);
        assert_eq!((many.more, many.count()), (0, 200 - FEW as u64));
        // What it can't be about is behind it.
        all.extend(places(200..900));
        assert_eq!(
            questions.meet(all.clone(), usual, nameless, now),
            [0_u64; 0]
        );
        let many = questions.iter().last().unwrap();
        assert_eq!(many.places().count(), MOST_PLACES);
        assert_eq!(many.more, (900 - FEW - MOST_PLACES) as u64);
        assert_eq!(questions.due(now), Some(AGAIN));
        all.extend(asked([subject(8, 1000, 9), subject(7, 1001, 9)]));
        assert_eq!(questions.meet(all, usual, nameless, now).len(), 2);
    }

    #[test]
    fn what_a_program_floods_with_is_one_question_for_as_long_as_it_does_and_each_place_has_its_time()
     {
        let (mut questions, begun) = (Questions::default(), Instant::now());
        let within = Asking::default().within;
        let new = questions.meet(places(0..20), usual, nameless, begun);
        let many = *new.last().unwrap();
        let mut now = begun;
        // Each time others, of which nobody is asked anew.
        for turn in 1..10_u16 {
            now = begun + within / 2 * u32::from(turn);
            let over = questions.overdue(now);
            let all: usize = over.iter().map(|over| over.places.len()).sum();
            assert_eq!(all, if turn == 1 { 0 } else { 20 }, "{turn}");
            let more = places(20 * turn..20 * turn + 20);
            assert_eq!(
                questions.meet(more, usual, nameless, now),
                [0_u64; 0],
                "{turn}"
            );
            let waits: Vec<_> = questions.iter().map(|one| one.id).collect();
            assert_eq!(waits.last(), Some(&many), "{turn}");
        }
        // It ends, and what nobody answered holds for a while.
        now += within;
        assert_eq!(questions.overdue(now).len(), 1);
        assert_eq!(questions.iter().count(), 0);
        assert_eq!(questions.due(now), None);
        questions.meet(Vec::new(), usual, nameless, now + UNANSWERED);
        assert!(questions.waiting.is_empty());
        let new = questions.meet(places(0..1), usual, nameless, now + UNANSWERED);
        assert_eq!(new.len(), 1, "asked about by itself again");
        assert!(!questions.get(new[0]).unwrap().is_many);
    }

    #[test]
    fn a_program_that_wants_another_place_every_few_seconds_is_soon_asked_about_as_a_whole() {
        let (mut questions, begun) = (Questions::default(), Instant::now());
        let mut many = None;
        for turn in 0..40_u16 {
            let now = begun + Duration::from_secs(11) * u32::from(turn);
            questions.overdue(now);
            let new = questions.meet(places(turn..turn + 1), usual, nameless, now);
            assert_eq!(new.len(), usize::from(usize::from(turn) <= FEW), "{turn}");
            many = many.or(new.last().copied().filter(|_| usize::from(turn) == FEW));
        }
        assert!(questions.get(many.unwrap()).unwrap().is_many);
        // Who is slower is asked each time.
        let (mut questions, mut asked) = (Questions::default(), 0);
        for turn in 0..40_u16 {
            let now = begun + SOON / 4 * u32::from(turn);
            questions.overdue(now);
            asked += questions
                .meet(places(turn..turn + 1), usual, nameless, now)
                .len();
        }
        assert_eq!(asked, 40);
    }

    #[test]
    fn what_the_driver_asks_again_waits_again_though_nobody_had_answered_it() {
        let (mut questions, begun) = (Questions::default(), Instant::now());
        questions.meet(places(0..10), usual, nameless, begun);
        let now = begun + Asking::default().within;
        questions.overdue(now);
        assert_eq!(questions.iter().count(), 0);
        // Somebody has taken back that nobody answered.
        questions.meet(places(9..10), usual, nameless, now);
        let waiting = questions.iter().next().unwrap();
        let place = waiting.first().unwrap();
        assert!(waiting.is_many && place.number > 5, "{place:?}");
        assert_eq!(place.deadline, now + Asking::default().within);
    }

    #[test]
    fn addresses_of_one_name_that_are_tried_together_are_one_question() {
        let (mut questions, begun) = (Questions::default(), Instant::now());
        let name = |subject: &Subject| match subject.remote[0] {
            1 | 2 => Some(Arc::from("site.example")),
            3 => Some(Arc::from("other.example")),
            _ => None,
        };
        let first = asked([subject(7, 1000, 1)]);
        assert_eq!(questions.meet(first, usual, name, begun), [1]);
        let later = begun + Duration::from_millis(200);
        let all = asked((1..=3).map(|remote| subject(7, 1000, remote)));
        assert_eq!(questions.meet(all, usual, name, later), [2]);
        let places = |questions: &Questions, id| {
            let waiting = questions.get(id);
            waiting.map_or(0, |waiting| waiting.places().count())
        };
        assert_eq!((places(&questions, 1), places(&questions, 2)), (2, 1));
        // Another port, another program and another user are others, whatever the name; and so is what has none.
        let mut others = [1; 4].map(|remote| subject(7, 1000, remote));
        others[0].port = 80;
        others[1].program = [1, 8];
        others[2].user = 1001;
        others[3].remote = [9; 16];
        assert_eq!(questions.meet(asked(others), usual, name, later).len(), 4);
        // They have the time of the first one.
        let over = questions.overdue(begun + Asking::default().within);
        assert_eq!(over.len(), 1);
        assert_eq!((over[0].id, over[0].places.len()), (1, 2));
        assert_eq!(places(&questions, 1), 0);
    }

    #[test]
    fn a_flood_of_one_users_questions_leaves_room_for_others() {
        let (mut questions, now) = (Questions::default(), Instant::now());
        let waits = |questions: &Questions| questions.iter().count();
        for program in 0..1000 {
            questions.meet(asked([subject(program, 1000, 1)]), usual, nameless, now);
        }
        assert_eq!(waits(&questions), MOST_OF_ONE);
        for user in 1001..2000 {
            questions.meet(asked([subject(7, user, 1)]), usual, nameless, now);
        }
        assert_eq!(waits(&questions), MOST_OF_USERS);
        for user in [0, NO_USER] {
            for remote in 1..=200 {
                let new = Subject {
                    port: remote.into(),
                    ..subject(remote.into(), user, remote)
                };
                questions.meet(asked([new]), usual, nameless, now);
            }
        }
        assert_eq!(
            waits(&questions),
            MOST_WAITING,
            "root and nobody have shares of their own"
        );
    }

    /// Returns a subject that comes in, from this address to this port.
    fn comes_in(remote: [u8; 4], port: u16) -> Subject {
        Subject {
            remote: std::net::Ipv4Addr::from(remote).to_ipv6_mapped().octets(),
            program: [0; 2],
            port,
            direction: Direction::Inbound as u8,
            ..subject(0, NO_USER, 0)
        }
    }

    #[test]
    fn who_sends_from_everywhere_to_one_port_or_to_every_port_keeps_no_others_from_being_asked_about()
     {
        let (mut questions, now) = (Questions::default(), Instant::now());
        let everywhere = (0..200).map(|network| comes_in([203, 0, network, 7], 9000));
        let new = questions.meet(asked(everywhere), usual, nameless, now);
        assert_eq!(new.len(), MOST_OF_A_PROGRAM);
        let every_port = (0..200).map(|port| comes_in([192, 0, 2, 7], port));
        let new = questions.meet(asked(every_port), usual, nameless, now);
        assert_eq!(new.len(), MOST_OF_A_PROGRAM);
        // A neighbour of one who sends from each address of their network, to one port and then to all of them.
        let mut sends = |from: u16, ports: u16| {
            let all = (0..ports).flat_map(|port| (0..100).map(move |host| (port, host)));
            let all = all.map(|(port, host)| comes_in([198, 51, 100, 100 + host], from + port));
            questions.meet(asked(all), usual, nameless, now).len()
        };
        assert_eq!(sends(9001, 1), MOST_OF_A_PROGRAM);
        assert_eq!(sends(22, 1), MOST_OF_A_PROGRAM);
        assert_eq!(sends(9100, 50), MOST_OF_A_NETWORK - 2 * MOST_OF_A_PROGRAM);
        let others = [23, 443].map(|port| comes_in([198, 51, 101, 1], port));
        assert_eq!(questions.meet(asked(others), usual, nameless, now).len(), 2);
    }

    #[test]
    fn a_containers_users_have_one_users_share_of_questions_and_of_answers() {
        let (mut questions, now) = (Questions::default(), Instant::now());
        for user in 131_072..131_072 + 1000 {
            questions.meet(asked([subject(7, user, 1)]), usual, nameless, now);
        }
        assert_eq!(questions.iter().count(), MOST_OF_A_PROGRAM);
        for user in 131_072..131_072 + 1000 {
            questions.meet(asked([subject(user.into(), user, 1)]), usual, nameless, now);
        }
        assert_eq!(questions.iter().count(), MOST_OF_ONE);
        assert_eq!(
            questions
                .meet(asked([subject(7, 1000, 1)]), usual, nameless, now)
                .len(),
            1
        );
        assert!(have_one_share(131_072, 196_607) && !have_one_share(131_072, 196_608));
        assert!(!have_one_share(1000, 1001) && !have_one_share(0, NO_USER));
    }

    #[test]
    fn what_found_no_room_is_looked_for_again_and_not_at_every_turn() {
        let (mut questions, now) = (Questions::default(), Instant::now());
        let all = asked((1..=9).map(|port| comes_in([192, 0, 2, 7], port)));
        questions.meet(all, usual, nameless, now);
        let later = now + AGAIN / 2;
        assert_eq!(questions.due(later), Some(AGAIN / 2));
        assert_eq!(questions.due(now + AGAIN), Some(Duration::ZERO));
    }

    #[test]
    fn a_question_is_met_once_and_counts_what_waits_for_it() {
        let (mut questions, now) = (Questions::default(), Instant::now());
        let mut one = asked([subject(7, 1000, 1)]);
        assert_eq!(questions.meet(one.clone(), usual, nameless, now), [1]);
        one[0].1.count = 5;
        assert_eq!(questions.meet(one, usual, nameless, now), [0_u64; 0]);
        assert_eq!(questions.get(1).unwrap().count(), 5);
    }

    #[test]
    fn the_addresses_of_one_name_are_shown_with_that_name_though_one_has_another_by_now() {
        let (mut questions, now) = (Questions::default(), Instant::now());
        let name = |_: &Subject| Some(Arc::from("site.example"));
        let both = asked((1..=2).map(|remote| subject(7, 1000, remote)));
        assert_eq!(questions.meet(both, usual, name, now), [1]);
        let shown = |questions: &Questions, id| {
            let waiting = questions.get(id).unwrap();
            waiting.name_of_place(Some(Arc::from("other.example")))
        };
        assert_eq!(shown(&questions, 1).as_deref(), Some("site.example"));
        // Where no name was known, or there are many, each place has its own.
        questions.meet(asked([subject(8, 1000, 1)]), usual, nameless, now);
        assert_eq!(shown(&questions, 2).as_deref(), Some("other.example"));
        let each = |subject: &Subject| Some(Arc::from(format!("{:?}.example", subject.remote)));
        let many = questions.meet(places(0..10), usual, each, now);
        let many = many.last().copied().unwrap();
        assert!(questions.get(many).unwrap().is_many);
        assert_eq!(shown(&questions, many).as_deref(), Some("other.example"));
    }

    #[test]
    fn an_answer_settles_every_question_that_it_is_wide_enough_for() {
        let (mut questions, now) = (Questions::default(), Instant::now());
        let all = [
            subject(7, 1000, 1),
            subject(7, 1000, 2),
            subject(8, 1000, 1),
        ];
        questions.meet(asked(all), usual, nameless, now);
        questions.settle(all[0].at(Width::Endpoint), Width::Endpoint);
        assert_eq!(questions.iter().count(), 2);
        questions.settle(all[1].at(Width::Port), Width::Port);
        let left = questions.iter().next().unwrap();
        assert_eq!(left.first().unwrap().subject, all[2]);
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
        questions.meet(all.clone(), usual, nameless, now);
        let (first, process) = (all[0].0, all[0].1.process().unwrap());
        let left = |questions: &Questions| {
            let each = questions.iter().map(|waiting| waiting.id);
            each.collect::<Vec<_>>()
        };
        let socket = first.of(Who::Socket { cookie: 9 });
        questions.settle(socket, Width::Endpoint);
        assert_eq!(left(&questions), [1, 2, 3, 4]);
        questions.settle(first.of(all[0].1.socket().unwrap()), Width::Endpoint);
        assert_eq!(left(&questions), [2, 3, 4]);
        questions.settle(first.at(Width::Anywhere).of(process), Width::Anywhere);
        assert_eq!(left(&questions), [3, 4]);
        assert_eq!(all[3].1.process(), None);
        assert_eq!(all[3].1.socket(), None);
    }

    #[test]
    fn what_nobody_answers_in_its_time_is_over() {
        let (mut questions, now) = (Questions::default(), Instant::now());
        questions.meet(asked([subject(7, 1000, 1)]), usual, nameless, now);
        let within = Asking::default().within;
        assert_eq!(questions.due(now), Some(within));
        assert!(questions.overdue(now + within / 2).is_empty());
        assert_eq!(questions.overdue(now + within).len(), 1);
        assert_eq!(questions.due(now), None);
    }
}
