//! Tests of a question's card, and of its answer.

use super::*;
/// Returns a service that asks about these, for a window that has heard of it.
fn asked(window: &mut Harness<'_, Window>, waiting: Vec<Question>) -> QuestionsModel {
    let mut service = QuestionsModel {
        waiting,
        ..QuestionsModel::default()
    };
    hear(window, &mut service);
    service
}

/// Has the window hear what the service says now, and the service what the window says.
fn hear(window: &mut Harness<'_, Window>, service: &mut QuestionsModel) {
    window.state().shown.questions.turn(service);
    window.run_steps(3);
}

fn numbered(id: u64) -> Question {
    Question { id, ..question() }
}

#[test]
fn a_question_is_a_card_with_program_user_endpoint_and_time_and_none_is_no_card() {
    let mut window = window();
    window.run();
    assert!(!sees(&window, "May this"));
    let long = format!("/opt/{}/program", "a-long-name-".repeat(40));
    let question = Question {
        program: Some(long.clone()),
        more: 4,
        ..question()
    };
    let mut service = asked(&mut window, vec![question, numbered(8), numbered(9)]);
    for words in [
        "May this go out?",
        "without an answer: block in 23 s",
        "1 of 3 questions",
        long.as_str(),
        "curl (pid 4711), user 1000",
        "out, to 192.0.2.7 tcp port 443",
        "the default asks; packets: 3; 4 more of this program",
    ] {
        assert!(sees(&window, words), "{words}");
    }
    let program = window.get_by_label(&long).rect();
    assert!(
        program.max.x <= 1200.0 && program.height() > 20.0,
        "it goes on in the next line: {program:?}"
    );
    service.waiting.clear();
    hear(&mut window, &mut service);
    assert!(!sees(&window, "May this"));
    let wish = window.output().viewport_output[&egui::ViewportId::ROOT].repaint_delay;
    assert!(wish > Duration::from_secs(3600), "{wish:?}");
}

#[test]
fn two_keys_answer_a_question_and_the_outcome_is_shown() {
    let mut window = window();
    let mut service = asked(&mut window, vec![numbered(7), numbered(8)]);
    keys(&mut window, &[egui::Key::A, egui::Key::Enter]);
    assert!(sees(&window, "the answer is on its way"));
    hear(&mut window, &mut service);
    assert_eq!(service.answered, [(7, usual(true))]);
    assert!(sees(
        &window,
        "answered: /usr/bin/curl: allow for 10 minutes: 192.0.2.7 tcp port 443"
    ));
    keys(&mut window, &[egui::Key::B, egui::Key::Enter]);
    hear(&mut window, &mut service);
    assert_eq!(service.answered[1], (8, usual(false)));
    assert!(!sees(&window, "May this"));
}

#[test]
fn keys_between_say_for_how_long_and_about_what() {
    let mut window = window();
    let mut service = asked(&mut window, vec![question()]);
    use egui::Key;
    keys(&mut window, &[Key::B, Key::W, Key::E]);
    assert!(sees(&window, "block always: whatever the address and port"));
    keys(&mut window, &[Key::Enter]);
    hear(&mut window, &mut service);
    let given = control::Given {
        allow: false,
        width: firewall_abi::asking::Width::Anywhere,
        lasts: control::Lasts::Always,
    };
    assert_eq!(service.answered, [(7, given)]);
}

#[test]
fn a_connection_and_a_process_can_be_answered_by_keys_and_not_where_none_is_known() {
    use egui::Key;
    let mut window = window();
    let unknown = Question {
        of_connection: false,
        of_process: false,
        ..numbered(9)
    };
    let mut service = asked(&mut window, vec![numbered(7), numbered(8), unknown]);
    // About more than its endpoint no connection is, whichever was chosen first.
    keys(&mut window, &[Key::A, Key::E, Key::C]);
    assert!(sees(
        &window,
        "allow for this connection alone: 192.0.2.7 tcp port 443"
    ));
    keys(&mut window, &[Key::Enter]);
    hear(&mut window, &mut service);
    keys(&mut window, &[Key::B, Key::E, Key::T]);
    assert!(sees(&window, "block until process 4711 ends: whatever"));
    keys(&mut window, &[Key::Enter]);
    hear(&mut window, &mut service);
    keys(&mut window, &[Key::A, Key::C, Key::T, Key::Enter]);
    hear(&mut window, &mut service);
    let given = control::Given {
        lasts: control::Lasts::Connection,
        ..usual(true)
    };
    assert_eq!(service.answered[0], (7, given));
    let given = control::Given {
        width: firewall_abi::asking::Width::Anywhere,
        lasts: control::Lasts::Process,
        ..usual(false)
    };
    assert_eq!(service.answered[1], (8, given));
    assert_eq!(service.answered[2], (9, usual(true)));
}

#[test]
fn a_link_local_address_is_not_allowed_for_always_and_the_card_says_why() {
    use egui::Key;
    let mut window = window();
    let of_link = |id| Question {
        remote: "fe80::99".parse().unwrap(),
        ..numbered(id)
    };
    let mut service = asked(&mut window, (7..=10).map(of_link).collect());
    assert!(sees(&window, "another machine's on each network"));
    let mut answers = |chosen: &[Key]| {
        keys(&mut window, chosen);
        keys(&mut window, &[Key::Enter]);
        hear(&mut window, &mut service);
        service.answered.last().unwrap().1
    };
    let for_always = |allow| control::Given {
        lasts: control::Lasts::Always,
        ..usual(allow)
    };
    assert_eq!(answers(&[Key::A, Key::W]), usual(true));
    assert_eq!(answers(&[Key::W, Key::A]), usual(true));
    assert_eq!(answers(&[Key::W, Key::B]), for_always(false));
    let everywhere = control::Given {
        width: firewall_abi::asking::Width::Anywhere,
        ..for_always(true)
    };
    assert_eq!(answers(&[Key::A, Key::E, Key::W]), everywhere);
}

/// Returns a question about many places, of which these are listed.
fn about_many(id: u64, listed: std::ops::RangeInclusive<u8>) -> Question {
    let place = |last: u8| control::AskedPlace {
        number: last.into(),
        remote: [192, 0, 2, last].into(),
        remote_name: None,
        protocol: 6,
        port: Some(443),
    };
    Question {
        many: true,
        listed: (*listed.end()).into(),
        places: listed.map(place).collect(),
        more: 100,
        ..numbered(id)
    }
}

#[test]
fn a_question_about_many_places_is_answered_for_the_program_by_two_keys_and_it_is_muted_by_two() {
    use egui::Key;
    let mut window = window();
    let mut service = asked(
        &mut window,
        vec![about_many(7, 1..=8), about_many(8, 1..=8)],
    );
    for words in [
        "out, to 192.0.2.7 tcp port 443 and 107 other places",
        "192.0.2.8 tcp port 443",
    ] {
        assert!(sees(&window, words), "{words}");
    }
    keys(&mut window, &[Key::A]);
    assert!(sees(&window, "allow for 10 minutes: whatever the address"));
    keys(&mut window, &[Key::Enter]);
    hear(&mut window, &mut service);
    let everywhere = control::Given {
        width: firewall_abi::asking::Width::Anywhere,
        ..usual(true)
    };
    assert_eq!(service.answered, [(7, everywhere)]);
    keys(&mut window, &[Key::N]);
    assert!(sees(&window, "block for 60 minutes: whatever the address"));
    keys(&mut window, &[Key::Enter]);
    hear(&mut window, &mut service);
    assert_eq!(service.answered[1].1, view::question::mute(&question()));
}

#[test]
fn an_answer_about_the_places_listed_is_about_those_that_were_when_something_was_chosen() {
    use egui::Key;
    let mut window = window();
    let mut service = asked(&mut window, vec![about_many(7, 1..=2)]);
    keys(&mut window, &[Key::A, Key::P]);
    assert!(sees(&window, "allow for 10 minutes: the 2 places listed"));
    // Others come meanwhile.
    service.waiting = vec![about_many(7, 1..=5)];
    hear(&mut window, &mut service);
    assert!(!sees(&window, "192.0.2.5"));
    keys(&mut window, &[Key::Enter]);
    hear(&mut window, &mut service);
    assert_eq!(service.answered, [(7, usual(true))]);
    assert_eq!(service.listed, [2]);
    // Those that were listed are answered elsewhere: nothing is chosen about others.
    service.waiting = vec![about_many(9, 1..=2)];
    hear(&mut window, &mut service);
    keys(&mut window, &[Key::A, Key::P]);
    service.waiting = vec![about_many(9, 3..=5)];
    hear(&mut window, &mut service);
    keys(&mut window, &[Key::Enter]);
    hear(&mut window, &mut service);
    assert_eq!(service.answered.len(), 1);
    assert!(sees(&window, "choose first: A allows, B blocks"));
}

#[test]
fn an_answer_about_a_name_is_about_the_addresses_that_were_shown_when_something_was_chosen() {
    use egui::Key;
    let mut window = window();
    let named = |addresses: std::ops::RangeInclusive<u8>| Question {
        many: false,
        more: 0,
        remote_name: Some("site.example".to_owned()),
        ..about_many(7, addresses)
    };
    let one = Question {
        places: Vec::new(),
        ..named(1..=1)
    };
    let mut service = asked(&mut window, vec![one]);
    keys(&mut window, &[Key::A]);
    // The program tries another address of the name.
    service.waiting = vec![named(1..=2)];
    hear(&mut window, &mut service);
    let shown = "allow for 10 minutes: 192.0.2.7 (site.example) tcp port 443";
    assert!(sees(&window, shown));
    keys(&mut window, &[Key::Enter]);
    hear(&mut window, &mut service);
    assert_eq!(
        (&service.answered[..], &service.listed[..]),
        (&[(7, usual(true))][..], &[1][..])
    );
    // What is left of it is asked about anew, and nothing is chosen.
    service.waiting = vec![named(2..=2)];
    hear(&mut window, &mut service);
    keys(&mut window, &[Key::Enter]);
    hear(&mut window, &mut service);
    assert_eq!(service.answered.len(), 1);
    keys(&mut window, &[Key::A, Key::Enter]);
    hear(&mut window, &mut service);
    assert_eq!(service.listed, [1, 2]);
}

#[test]
fn keys_that_come_with_another_question_were_pressed_at_the_one_before() {
    let mut window = window();
    let mut service = asked(&mut window, vec![numbered(7), numbered(8)]);
    // Both are pressed while the window paints nothing, and the first question is over by the next frame.
    service.waiting.remove(0);
    window.state().shown.questions.turn(&mut service);
    for key in [egui::Key::A, egui::Key::Enter] {
        window.key_press(key);
    }
    window.run_steps(3);
    hear(&mut window, &mut service);
    assert_eq!(service.answered, []);
    keys(&mut window, &[egui::Key::A, egui::Key::Enter]);
    hear(&mut window, &mut service);
    assert_eq!(service.answered, [(8, usual(true))]);
}

/// Clicks one of the card's buttons.
fn click(window: &mut Harness<'_, Window>, name: &str) {
    window.get_by_label(name).click();
    window.run_steps(4);
}

#[test]
fn what_is_chosen_about_places_holds_as_long_as_any_that_was_listed_waits() {
    let mut window = window();
    let mut service = asked(&mut window, vec![about_many(7, 1..=8)]);
    click(&mut window, "allow (A)");
    // The oldest one's time is over, and the next is listed in its stead.
    service.waiting = vec![about_many(7, 2..=9)];
    hear(&mut window, &mut service);
    click(&mut window, "this endpoint (P)");
    assert!(sees(&window, "allow for 10 minutes: the 7 places listed"));
    assert!(!sees(&window, "192.0.2.9"), "nobody was shown it");
    service.waiting = vec![about_many(7, 8..=15)];
    hear(&mut window, &mut service);
    click(&mut window, "Answer (Enter)");
    hear(&mut window, &mut service);
    assert_eq!(service.answered, [(7, usual(true))]);
    assert_eq!(service.listed, [8]);
}

#[test]
fn what_is_chosen_about_the_program_holds_whichever_places_wait_and_about_its_process_as_long_as_it_asks()
 {
    use egui::Key;
    let mut window = window();
    let mut service = asked(&mut window, vec![about_many(7, 1..=8)]);
    let everywhere = |lasts| control::Given {
        width: firewall_abi::asking::Width::Anywhere,
        lasts,
        ..usual(true)
    };
    keys(&mut window, &[Key::A, Key::T]);
    service.waiting = vec![about_many(7, 9..=16)];
    hear(&mut window, &mut service);
    keys(&mut window, &[Key::Enter]);
    hear(&mut window, &mut service);
    assert_eq!(service.answered, [(7, everywhere(control::Lasts::Process))]);
    // Another process asks by now.
    service.waiting = vec![about_many(8, 1..=8)];
    hear(&mut window, &mut service);
    keys(&mut window, &[Key::A, Key::T]);
    let other = Question {
        pid: 4712,
        ..about_many(8, 9..=16)
    };
    service.waiting = vec![other];
    hear(&mut window, &mut service);
    keys(&mut window, &[Key::Enter]);
    hear(&mut window, &mut service);
    assert_eq!(service.answered.len(), 1);
    assert!(sees(&window, "choose first: A allows, B blocks"));
}

#[test]
fn every_choice_has_a_name_and_can_be_clicked() {
    let mut window = window();
    let mut service = asked(&mut window, vec![question()]);
    let names: Vec<String> = window
        .query_all_by_role(accesskit::Role::RadioButton)
        .map(|choice| choice.accesskit_node().label().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "allow (A)",
            "block (B)",
            "this connection (C)",
            "10 minutes (M)",
            "until the program ends (T)",
            "until the service starts again (R)",
            "always (W)",
            "this endpoint (P)",
            "this address (D)",
            "this port (O)",
            "everywhere (E)"
        ]
    );
    for name in ["allow (A)", "until the service starts again (R)"] {
        window.get_by_label(name).click();
        window.run_steps(4);
    }
    assert!(sees(&window, "until the service starts again: 192.0.2.7"));
    window.get_by_label("Answer (Enter)").click();
    window.run_steps(4);
    hear(&mut window, &mut service);
    let given = control::Given {
        lasts: control::Lasts::UntilRestart,
        ..usual(true)
    };
    assert_eq!(service.answered, [(7, given)]);
}

#[test]
fn a_key_that_was_meant_for_one_question_answers_no_other() {
    let mut window = window();
    let mut service = asked(&mut window, vec![numbered(7), numbered(8)]);
    keys(&mut window, &[egui::Key::A]);
    // Its time is over before Enter is pressed.
    service.waiting.remove(0);
    hear(&mut window, &mut service);
    keys(&mut window, &[egui::Key::Enter]);
    hear(&mut window, &mut service);
    assert_eq!(service.answered, []);
    assert!(sees(&window, "choose first: A allows, B blocks"));
}

#[test]
fn who_types_a_filter_types_no_answer() {
    let mut window = window();
    let mut service = asked(&mut window, vec![question()]);
    window.get_by_label("Filter").focus();
    window.run_steps(2);
    assert!(sees(&window, "Esc leaves it"));
    window
        .get_by_role(accesskit::Role::TextInput)
        .type_text("a");
    keys(&mut window, &[egui::Key::A, egui::Key::Enter]);
    hear(&mut window, &mut service);
    assert_eq!(service.answered, []);
}

#[test]
fn a_question_can_be_left_to_its_time_and_shown_again() {
    let mut window = window();
    let mut service = asked(&mut window, vec![numbered(7)]);
    keys(&mut window, &[egui::Key::S]);
    assert!(!sees(&window, "May this"));
    assert!(sees(&window, "1 of 1 question left to their time"));
    keys(&mut window, &[egui::Key::A, egui::Key::Enter]);
    hear(&mut window, &mut service);
    assert_eq!(service.answered, [], "nothing is asked now");
    window.get_by_label("Show again").click();
    window.run_steps(2);
    assert!(sees(&window, "May this"));
}

#[test]
fn a_refused_answer_says_why_in_place_and_the_question_stays() {
    let mut window = window();
    let mut service = asked(&mut window, vec![question()]);
    service.refuses = Some("answer as that user or as root".to_owned());
    keys(&mut window, &[egui::Key::A, egui::Key::Enter]);
    hear(&mut window, &mut service);
    assert!(sees(&window, "answer as that user or as root"));
    assert!(sees(&window, "May this go out?"));
}

#[test]
fn a_service_that_cannot_be_asked_is_said_below_until_it_is_back() {
    let mut window = window();
    let mut service = asked(&mut window, vec![question()]);
    service.unreachable = Some("gatebelld is not running; start it".to_owned());
    hear(&mut window, &mut service);
    assert!(sees(&window, "questions: gatebelld is not running"));
    assert!(!sees(&window, "May this"), "nobody could answer");
    service.unreachable = None;
    hear(&mut window, &mut service);
    assert!(!sees(&window, "is not running"));
    assert!(sees(&window, "May this"));
}

#[test]
fn the_card_fits_a_small_window_with_large_text_and_scrolls() {
    // 1024×600 at 200 %.
    let size = egui::vec2(512.0, 300.0);
    let mut window = window();
    window.set_size(size);
    let long = format!("/opt/{}/program", "a-long-name-".repeat(40));
    let question = Question {
        program: Some(long),
        ..question()
    };
    let mut service = asked(&mut window, vec![question]);
    window.run_steps(3);
    for name in [
        "Filter",
        "May this go out?",
        "block (B)",
        "everywhere (E)",
        "Answer (Enter)",
        "no counters yet",
    ] {
        let place = window.get_by_label(name).rect();
        assert!(
            place.max.x <= size.x && place.max.y <= size.y,
            "{name}: {place:?}"
        );
    }
    keys(&mut window, &[egui::Key::B, egui::Key::Enter]);
    hear(&mut window, &mut service);
    assert_eq!(service.answered, [(7, usual(false))]);
}

#[test]
fn another_question_is_seen_from_its_beginning_and_has_no_focus_of_the_one_before() {
    let long = |id| Question {
        program: Some(format!("/opt/{}/program", "a-long-name-".repeat(40))),
        ..numbered(id)
    };
    // 1024×600 at 200 %.
    let mut window = window();
    window.set_size(egui::vec2(512.0, 300.0));
    let mut service = asked(&mut window, vec![long(7), long(8)]);
    // How far below the card's title its first line is.
    let begin = |window: &Harness<'_, Window>| {
        let title = window.get_by_label("May this go out?").rect().bottom();
        window.get_by_label("program").rect().top() - title
    };
    let begins = begin(&window);
    window.hover_at(window.get_by_label("program").rect().center());
    window.event(egui::Event::MouseWheel {
        source: egui::MouseWheelSource::Wheel,
        unit: egui::MouseWheelUnit::Point,
        delta: egui::vec2(0.0, -20.0),
        phase: egui::TouchPhase::Move,
        modifiers: egui::Modifiers::NONE,
    });
    window.run_steps(20);
    assert!(begin(&window) < begins - 10.0, "it is scrolled");
    window.get_by_label("block (B)").focus();
    window.run_steps(2);
    assert!(window.get_by_label("block (B)").is_focused());
    // Somebody has answered elsewhere.
    service.waiting.remove(0);
    hear(&mut window, &mut service);
    assert!((begin(&window) - begins).abs() < 1.0);
    assert!(!window.get_by_label("block (B)").is_focused());
}

#[test]
fn what_a_record_says_of_asking_wakes_and_the_rest_does_not() {
    let mut asked = packet();
    asked.decision.verdict = Verdict::Ask as u8;
    let entry = Entry::from_packet(UNIX_EPOCH, &asked, &mut Named).unwrap();
    assert!(tells_of_a_question(&Update::Entry(entry)));
    assert!(
        tells_of_a_question(&lost(1)),
        "it may have told of a question"
    );
    assert!(!tells_of_a_question(&refused()));
}
