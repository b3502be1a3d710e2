//! The window, read and clicked without a display.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use super::*;
use crate::changes;
use crate::questions::Model;
use channel::{Account, Lost};
use channel_abi::{Cause, Totals};
use control::Question;
use eframe::egui::accesskit;
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use std::time::UNIX_EPOCH;
use view::entry::Entry;
use view::example::{Named, packet, question};
use view::question::usual;

fn window() -> Harness<'static, Window> {
    let mut frame = eframe::Frame::_new_kittest();
    Harness::builder()
        .with_size(egui::vec2(1200.0, 800.0))
        .build_ui_state(
            move |ui, window: &mut Window| eframe::App::ui(window, ui, &mut frame),
            Window::new("a zone".to_owned(), Arc::default()),
        )
}

fn tell(window: &Harness<'_, Window>, update: Update) {
    window.state().shown.take(update);
}

fn refused() -> Update {
    Update::Entry(Entry::from_packet(UNIX_EPOCH, &packet(), &mut Named).unwrap())
}

fn lost(count: u64) -> Update {
    Update::Entry(Entry::lost(
        UNIX_EPOCH,
        Lost {
            processor: 0,
            cause: Cause::NoRoom,
            count,
        },
    ))
}

fn rows(window: &Harness<'_, Window>) -> Vec<String> {
    window
        .query_all_by_role(accesskit::Role::Row)
        .map(|row| row.accesskit_node().label().unwrap())
        .collect()
}

#[test]
fn a_refused_packet_is_shown_with_its_rule_and_how_to_allow_it() {
    let mut window = window();
    tell(&window, refused());
    window.run();
    let shown = rows(&window);
    assert_eq!(shown.len(), 1);
    assert!(
        shown[0].contains("refused in tcp 10.0.0.1:40000 -> 10.0.0.2:23 no-telnet (line 13)"),
        "{shown:?}"
    );

    window.get_by_role(accesskit::Role::Row).click();
    window.run();
    assert!(
        window
            .query_by_label_contains("Refused by rule \"no-telnet\", line 13")
            .is_some()
    );
    assert!(window.query_by_label_contains("ports = 23").is_some());
    window.get_by_label("Copy").click();
    window.step();
    let copied = |command: &egui::OutputCommand| matches!(command, egui::OutputCommand::CopyText(text) if text.contains("ports = 23"));
    assert!(window.output().platform_output.commands.iter().any(copied));
}

#[test]
fn a_loss_stands_where_it_happened() {
    let mut window = window();
    for update in [refused(), lost(7), refused()] {
        tell(&window, update);
    }
    window.run();
    let shown = rows(&window);
    assert!(
        shown[1].contains("LOST") && shown[1].contains("7 records (no_room)"),
        "{shown:?}"
    );
}

#[test]
fn a_filter_that_is_typed_leaves_what_matches() {
    let mut window = window();
    for update in [refused(), lost(7), refused()] {
        tell(&window, update);
    }
    window.run();
    window.get_by_label("Filter").focus();
    window.run();
    window
        .get_by_role(accesskit::Role::TextInput)
        .type_text("telnet");
    window.run();
    assert_eq!(rows(&window).len(), 2);
    assert!(window.query_by_label("2 of 3 rows").is_some());
}

#[test]
fn the_books_stand_below_and_then_the_end() {
    let mut window = window();
    let kernel = Totals {
        offered: 12,
        committed: 10,
        lost: [2, 0, 0],
    };
    tell(
        &window,
        Update::Account(Account {
            kernel,
            delivered: 9,
            in_ring: 1,
            lost_told: [2, 0, 0],
            gaps: 2,
        }),
    );
    tell(&window, Update::Ended("the driver is stopping".to_owned()));
    window.run();
    for words in [
        "driver: offered 12, committed 10",
        "lost 2",
        "app: delivered 9, in the ring 1",
        "the driver is stopping",
    ] {
        assert!(window.query_by_label(words).is_some(), "{words}");
    }
}

#[test]
fn the_same_books_again_are_nothing_to_paint() {
    let window = window();
    let kernel = Totals {
        offered: 1,
        committed: 1,
        lost: [0; 3],
    };
    let books = Account {
        kernel,
        delivered: 1,
        in_ring: 0,
        lost_told: [0; 3],
        gaps: 0,
    };
    let mut rows = window.state().shown.rows();
    assert!(rows.take(Update::Account(books)));
    assert!(!rows.take(Update::Account(books)));
}

#[test]
fn the_newest_row_is_in_sight_and_a_window_at_rest_paints_nothing() {
    let mut window = window();
    for n in 0..500 {
        tell(&window, lost(n));
    }
    window.run();
    assert!(
        rows(&window).last().unwrap().contains("499 records"),
        "{:?}",
        rows(&window).last()
    );
    let wish = window.output().viewport_output[&egui::ViewportId::ROOT].repaint_delay;
    assert!(wish > Duration::from_secs(3600), "{wish:?}");
}

#[test]
fn a_row_that_is_not_in_sight_has_no_text() {
    let mut window = window();
    for n in 0..5_000 {
        tell(&window, lost(n));
    }
    window.run();
    let painted = window.state().live.painted.last.len();
    assert!(
        (1..200).contains(&painted),
        "{painted} rows of 5000 have text"
    );
}

/// A service that asks about these, and the window that has heard of it.
fn asked(window: &mut Harness<'_, Window>, waiting: Vec<Question>) -> Model {
    let mut service = Model {
        waiting,
        ..Model::default()
    };
    hear(window, &mut service);
    service
}

/// Has the window hear what the service says now, and the service what the window says.
fn hear(window: &mut Harness<'_, Window>, service: &mut Model) {
    window.state().shown.questions.turn(service);
    window.run_steps(3);
}

fn keys(window: &mut Harness<'_, Window>, keys: &[egui::Key]) {
    for key in keys {
        window.key_press(*key);
        window.run_steps(2);
    }
}

fn sees(window: &Harness<'_, Window>, words: &str) -> bool {
    window.query_all_by_label_contains(words).next().is_some()
}

fn numbered(id: u64) -> Question {
    Question { id, ..question() }
}

#[test]
fn a_question_is_a_card_with_program_user_place_and_time_and_none_is_no_card() {
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
            "10 minutes (M)",
            "until the service starts again (R)",
            "always (W)",
            "this place (P)",
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
    assert!(sees(&window, "1 of 1 questions left to their time"));
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

/// A window with a refused packet selected, and a service that has these rules.
fn selected(service: &mut changes::Model) -> Harness<'static, Window> {
    let mut window = window();
    tell(&window, refused());
    window.state().shown.changes.be_followed();
    window.run_steps(3);
    keys(&mut window, &[egui::Key::ArrowDown]);
    work(&mut window, service);
    window
}

/// Has the service do what it is asked.
fn work(window: &mut Harness<'_, Window>, service: &mut changes::Model) {
    window.state().shown.changes.turn(service);
    window.run_steps(4);
}

const TELNET: &str = "[default]\ninbound = 'block'\noutbound = 'allow'\n\n[[rule]]\nid = 'no-telnet'\naction = 'block'\n";

fn telnet() -> changes::Model {
    changes::Model {
        text: TELNET.to_owned(),
        generation: 4,
        ..changes::Model::default()
    }
}

#[test]
fn a_refused_packet_is_allowed_by_one_click_and_that_is_undone_by_another() {
    let mut service = telnet();
    let mut window = selected(&mut service);
    assert!(sees(&window, "as this rule, before rule \"no-telnet\""));
    window.get_by_label("Allow this").click();
    window.run_steps(2);
    assert!(sees(&window, "asking the firewall"));
    work(&mut window, &mut service);
    assert!(sees(
        &window,
        "In force as rule allow-tcp-23-from-10-0-0-1 (generation 5)"
    ));
    assert!(
        service
            .text
            .contains("source = \"10.0.0.1\"\nports = 23\n\n[[rule]]\nid = 'no-telnet'")
    );
    work(&mut window, &mut service);
    assert!(sees(&window, "in force now allow it already"));
    window.get_by_label("Undo").click();
    window.run_steps(2);
    work(&mut window, &mut service);
    assert!(sees(&window, "is taken back (generation 6)"));
    assert_eq!(service.text, TELNET);
}

#[test]
fn keys_alone_select_a_row_choose_a_width_and_allow_it() {
    use egui::Key;
    let mut service = telnet();
    let mut window = selected(&mut service);
    let radios = window.query_all_by_role(accesskit::Role::RadioButton);
    let names: Vec<_> = radios
        .map(|it| it.accesskit_node().label().unwrap())
        .collect();
    assert_eq!(names, ["this place", "this address", "this port"]);
    // The filter, then the choices.
    keys(&mut window, &[Key::Tab, Key::Tab]);
    for _ in 0..6 {
        if window
            .get_by_label("this address")
            .accesskit_node()
            .is_focused()
        {
            break;
        }
        keys(&mut window, &[Key::Tab]);
    }
    keys(&mut window, &[Key::Space]);
    work(&mut window, &mut service);
    assert!(sees(&window, "from 10.0.0.1, whatever the port"));
    for _ in 0..6 {
        if window
            .get_by_label("Allow this")
            .accesskit_node()
            .is_focused()
        {
            break;
        }
        keys(&mut window, &[Key::Tab]);
    }
    keys(&mut window, &[Key::Enter]);
    work(&mut window, &mut service);
    assert!(sees(&window, "In force as rule allow-from-10-0-0-1"));
}

#[test]
fn a_change_that_is_refused_says_why_and_what_root_types() {
    let mut service = telnet();
    service.says = vec![changes::Failure::NotPermitted(
        "only root may do this".to_owned(),
    )];
    let mut window = selected(&mut service);
    keys(&mut window, &[egui::Key::Enter, egui::Key::Enter]);
    work(&mut window, &mut service);
    assert!(sees(&window, "Nothing was changed. only root may do this"));
    assert!(sees(&window, "sudo gatebell rules add allow"));
    assert_eq!(service.text, TELNET);
}

#[test]
fn without_a_service_the_rule_can_be_copied_and_the_button_can_not_be_pressed() {
    let mut window = window();
    tell(&window, refused());
    window.run_steps(3);
    keys(&mut window, &[egui::Key::ArrowDown]);
    window.run_steps(3);
    assert!(
        window
            .get_by_label("Allow this")
            .accesskit_node()
            .is_disabled()
    );
    assert!(sees(
        &window,
        "put this into the rule file, above rule \"no-telnet\""
    ));
    assert!(window.query_by_label("Copy").is_some());
}

#[test]
fn a_rule_and_its_button_fit_a_small_window() {
    let size = egui::vec2(1024.0, 600.0);
    let mut service = telnet();
    let mut window = selected(&mut service);
    window.set_size(size);
    window.run_steps(4);
    for name in [
        "Allow this",
        "Copy",
        "Close",
        "this port",
        "no counters yet",
    ] {
        let place = window.get_by_label(name).rect();
        assert!(
            place.max.x <= size.x && place.max.y <= size.y,
            "{name}: {place:?}"
        );
    }
    assert!(!rows(&window).is_empty(), "the table has room");
}
