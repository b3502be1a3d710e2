//! Tests of the questions that wait: their numbers, shares and times, and what an answer settles.

use super::super::example::subject;
use super::super::waiting_question::MOST_LISTED;
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
    let many = (0..MOST_WAITING as u64)
        .flat_map(|program| earlier.meet(asked([subject(program, 0, 1)]), usual, nameless, now));
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
fn what_a_program_floods_with_is_one_question_for_as_long_as_it_does_and_each_place_has_its_time() {
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
fn who_sends_from_everywhere_to_one_port_or_to_every_port_keeps_no_others_from_being_asked_about() {
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

/// Returns the names that people are shown of a question's places.
fn names(questions: &Questions, id: u64) -> Vec<Option<Arc<str>>> {
    let waiting = questions.get(id).unwrap();
    waiting.places().map(|place| place.name.clone()).collect()
}

#[test]
fn the_addresses_of_one_name_are_shown_with_that_name_though_one_has_another_by_now() {
    let (mut questions, now) = (Questions::default(), Instant::now());
    let called = |name: &'static str| move |_: &Subject| Some(Arc::from(name));
    let both = asked((1..=2).map(|remote| subject(7, 1000, remote)));
    let new = questions.meet(both.clone(), usual, called("site.example"), now);
    assert_eq!(new, [1]);
    let site = Some(Arc::from("site.example"));
    questions.meet(both, usual, called("other.example"), now);
    assert_eq!(names(&questions, 1), [site.clone(), site]);
    // Where there are many, each place has its own.
    let each = |subject: &Subject| Some(Arc::from(format!("{:?}.example", subject.remote)));
    let many = questions.meet(places(0..10), usual, each, now);
    let shown: BTreeSet<_> = names(&questions, *many.last().unwrap())
        .into_iter()
        .collect();
    assert_eq!(shown.len(), 10 - FEW + 1);
}

#[test]
fn a_name_that_comes_after_its_question_is_shown_and_no_later_one_takes_its_place() {
    let (mut questions, now) = (Questions::default(), Instant::now());
    let called = |name: Option<&'static str>| move |_: &Subject| name.map(Arc::from);
    let one = asked([subject(7, 1000, 1)]);
    for (known, shown) in [
        (None, None),
        (Some("site.example"), Some("site.example")),
        (Some("other.example"), Some("site.example")),
        (None, Some("site.example")),
    ] {
        questions.meet(one.clone(), usual, called(known), now);
        assert_eq!(names(&questions, 1), [shown.map(Arc::from)]);
    }
}

/// Returns places of one program of this process, as many as there are numbers.
fn places_of(pid: u32, numbers: std::ops::Range<u16>) -> Vec<(Subject, Question)> {
    let mut all = places(numbers);
    for (_, question) in &mut all {
        (question.pid, question.began_ns) = (pid, pid.into());
    }
    all
}

#[test]
fn a_question_is_one_processs_until_another_asks_it_and_then_no_ones() {
    let (mut questions, now) = (Questions::default(), Instant::now());
    let mut all = places_of(1, 0..10);
    let new = questions.meet(all.clone(), usual, nameless, now);
    let many = *new.last().unwrap();
    let process = |questions: &Questions| questions.get(many).unwrap().process();
    let first = all[0].1.process();
    assert!(first.is_some() && process(&questions) == first);
    all.extend(places_of(2, 10..11));
    questions.meet(all.clone(), usual, nameless, now);
    assert_eq!(process(&questions), None);
    // Also where those of the first are over: whoever answers may have been shown that one.
    for (subject, _) in &all[..10] {
        questions.drop(subject);
    }
    assert_eq!(questions.get(many).unwrap().places().count(), 1);
    assert_eq!(process(&questions), None);
    // So are those of a process that is not known.
    let unknown = questions.meet(asked([subject(9, 1000, 1)]), usual, nameless, now);
    assert_eq!(questions.get(unknown[0]).unwrap().process(), None);
}

#[test]
fn an_answer_by_place_is_to_those_that_were_listed_and_one_of_several_says_which_they_were() {
    let (mut questions, now) = (Questions::default(), Instant::now());
    let name = |_: &Subject| Some(Arc::from("site.example"));
    let mut all = asked([subject(7, 1000, 1)]);
    questions.meet(all.clone(), usual, name, now);
    let answered = |questions: &Questions, id, listed, width| {
        let places = questions.get(id).unwrap().answered_places(listed, width)?;
        Some(places.iter().map(|place| place.number).collect::<Vec<_>>())
    };
    assert_eq!(
        answered(&questions, 1, None, Width::Endpoint),
        Some(vec![1])
    );
    // Another address of the name is tried, after the first was shown.
    all.extend(asked([subject(7, 1000, 2)]));
    questions.meet(all, usual, name, now);
    for width in [Width::Endpoint, Width::Address] {
        assert_eq!(answered(&questions, 1, None, width), None);
        assert_eq!(answered(&questions, 1, Some(1), width), Some(vec![1]));
        assert_eq!(answered(&questions, 1, Some(2), width), Some(vec![1, 2]));
    }
    for width in [Width::Port, Width::Anywhere] {
        assert_eq!(answered(&questions, 1, None, width), Some(vec![1]));
    }
    questions.drop(&subject(7, 1000, 1));
    assert_eq!(answered(&questions, 1, None, Width::Endpoint), None);
    assert_eq!(
        answered(&questions, 1, Some(1), Width::Endpoint),
        Some(vec![])
    );
    // Of many the port is each place's own, and no more are listed than a person is shown.
    let many = *questions
        .meet(places(0..30), usual, nameless, now)
        .last()
        .unwrap();
    assert_eq!(answered(&questions, many, None, Width::Port), None);
    assert_eq!(
        answered(&questions, many, Some(3), Width::Port),
        Some(vec![1, 2, 3])
    );
    let listed = answered(&questions, many, Some(30), Width::Endpoint).unwrap();
    assert_eq!(listed.len(), MOST_LISTED);
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
