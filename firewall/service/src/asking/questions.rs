//! The questions that wait for an answer: each has a number and a time, and nobody has more of them than a share.

use super::{have_one_share, is_about};
use firewall_abi::asking::{Question, Subject, Width};
use firewall_abi::packet::NO_USER;
use rules::Asking;
use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

/// Questions that wait at once.
const MOST_WAITING: usize = 256;
/// And those of one program of one user; or, of whom nobody is known for, to one port or with one address.
const MOST_OF_A_PROGRAM: usize = 8;
/// And those of whom nobody is known for with one network.
const MOST_OF_A_NETWORK: usize = 32;
/// And those of one user, whatever the programs; or of nobody.
const MOST_OF_ONE: usize = 64;
/// And those of all users but root: what root's programs and what nobody is known for ask has a share of its own.
const MOST_OF_USERS: usize = MOST_WAITING - 2 * MOST_OF_ONE;
/// How often it is looked for questions that found no room.
const AGAIN: Duration = Duration::from_secs(1);

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
                    .rfind(|waiting| is_same_asker(&waiting.subject, &subject));
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
        let fewer_than = |most: usize, count: fn(&Subject, &Subject) -> bool| {
            let waiting = self.waiting.iter();
            let alike = waiting.filter(|waiting| count(&waiting.subject, new));
            alike.count() < most
        };
        (!is_a_users(new) || fewer_than(MOST_OF_USERS, |other, _| is_a_users(other)))
            && fewer_than(MOST_OF_ONE, |other, new| {
                have_one_share(other.user, new.user)
            })
            && fewer_than(MOST_OF_A_PROGRAM, is_same_asker)
            && fewer_than(MOST_OF_A_NETWORK, is_of_same_network)
    }

    /// When something is to be done.
    pub fn due(&self, now: Instant) -> Option<Duration> {
        let deadlines = self.waiting.iter().map(|waiting| waiting.deadline);
        let first = deadlines.chain(self.again).min();
        first.map(|first| first.saturating_duration_since(now))
    }
}

/// Whether the questions count as one asker's: one program's of one user. Of whom nobody is known for, as of most that comes in, those to
/// one port, and those with one address: who sends to a port from everywhere keeps no other port from being asked about, and who
/// sends to every port nobody else.
fn is_same_asker(one: &Subject, other: &Subject) -> bool {
    if one.program != other.program || !have_one_share(one.user, other.user) {
        return false;
    }
    one.user != NO_USER
        || (one.protocol, one.port) == (other.protocol, other.port)
        || one.remote == other.remote
}

/// Whether nobody is known for either, and both are with one network: who has all of its addresses keeps no other from being asked about.
fn is_of_same_network(one: &Subject, other: &Subject) -> bool {
    (one.user, other.user) == (NO_USER, NO_USER) && network(one) == network(other)
}

/// The network of the other end, in so far as it is known: 24 bits of an IPv4 address, 64 of an IPv6 address.
fn network(of: &Subject) -> Ipv6Addr {
    let remote = Ipv6Addr::from(of.remote);
    let kept = if remote.to_ipv4_mapped().is_some() {
        128 - 8
    } else {
        64
    };
    Ipv6Addr::from_bits(remote.to_bits() >> (128 - kept) << (128 - kept))
}

/// Whether it is what a user asks who is not root.
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
        assert_eq!(waits(&questions), MOST_OF_USERS);
        for user in [0, NO_USER] {
            for remote in 1..=200 {
                let new = Subject {
                    port: remote.into(),
                    ..subject(remote.into(), user, remote)
                };
                questions.meet(asked([new]), usual, now);
            }
        }
        assert_eq!(
            waits(&questions),
            MOST_WAITING,
            "root and nobody have shares of their own"
        );
    }

    /// What comes in, from this address to this port.
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
        let new = questions.meet(asked(everywhere), usual, now);
        assert_eq!(new.len(), MOST_OF_A_PROGRAM);
        let every_port = (0..200).map(|port| comes_in([192, 0, 2, 7], port));
        let new = questions.meet(asked(every_port), usual, now);
        assert_eq!(new.len(), MOST_OF_A_PROGRAM);
        // A neighbour of one who sends from each address of their network, to one port and then to all of them.
        let mut sends = |from: u16, ports: u16| {
            let all = (0..ports).flat_map(|port| (0..100).map(move |host| (port, host)));
            let all = all.map(|(port, host)| comes_in([198, 51, 100, 100 + host], from + port));
            questions.meet(asked(all), usual, now).len()
        };
        assert_eq!(sends(9001, 1), MOST_OF_A_PROGRAM);
        assert_eq!(sends(22, 1), MOST_OF_A_PROGRAM);
        assert_eq!(sends(9100, 50), MOST_OF_A_NETWORK - 2 * MOST_OF_A_PROGRAM);
        let others = [23, 443].map(|port| comes_in([198, 51, 101, 1], port));
        assert_eq!(questions.meet(asked(others), usual, now).len(), 2);
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
        questions.settle(all[0].at(Width::Endpoint), Width::Endpoint);
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
        questions.meet(asked([subject(7, 1000, 1)]), usual, now);
        let within = Asking::default().within;
        assert_eq!(questions.due(now), Some(within));
        assert!(questions.overdue(now + within / 2).is_empty());
        assert_eq!(questions.overdue(now + within).len(), 1);
        assert_eq!(questions.due(now), None);
    }
}
