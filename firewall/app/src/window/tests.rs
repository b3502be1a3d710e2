//! The window, read and clicked without a display.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use super::*;
use crate::questions::Model;
use crate::{changes, overview};
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
fn a_driver_that_is_gone_is_said_in_place_and_forgotten_when_it_is_back() {
    let mut window = window();
    window
        .state()
        .shown
        .end("can't be told by the device: start the service");
    window.run();
    assert!(sees(
        &window,
        "can't be told by the device: start the service"
    ));
    assert!(sees(&window, "asks again and goes on by itself"));
    let books = Account {
        kernel: Totals::default(),
        delivered: 0,
        in_ring: 0,
        lost_told: [0; 3],
        gaps: 0,
    };
    tell(&window, Update::Account(books));
    window.run();
    assert!(!sees(&window, "start the service"));
    tell(&window, refused());
    window.state().shown.end("gone again");
    window.run();
    assert!(sees(&window, "gone again"));
    assert_eq!(rows(&window).len(), 1, "what was read stays");
    tell(&window, Update::Account(books));
    window.run();
    assert!(!sees(&window, "gone again"), "the same books say so too");
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
fn a_connection_and_a_process_can_be_answered_by_keys_and_not_where_none_is_known() {
    use egui::Key;
    let mut window = window();
    let unknown = Question {
        of_connection: false,
        of_process: false,
        ..numbered(9)
    };
    let mut service = asked(&mut window, vec![numbered(7), numbered(8), unknown]);
    // About more than its place no connection is, whichever was chosen first.
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

/// Turns to a page, and has it show what the service says.
fn turned(window: &mut Harness<'_, Window>, page: &str, service: &mut overview::Model) {
    window.get_by_label(page).click();
    window.run_steps(2);
    window.state().shown.overview.turn(service);
    window.run_steps(4);
}

const RULES: &str = "# ours\n[default]\ninbound = 'block'\noutbound = 'allow'\n\n[[rule]]\nid = 'web'\naction = 'allow'\n\
    direction = 'in'\nprotocol = 'tcp'\nports = [80, 443]\ncomment = 'the site'\n\n# no telnet\n[[rule]]\nid = 'no-telnet'\n\
    action = 'block'\nprotocol = 'tcp'\nports = 23\n\n[[rule]]\nid = 'late'\naction = 'allow'\nprotocol = 'tcp'\nports = 23\n\n\
    [[rule]]\nid = 'off'\naction = 'allow'\nenabled = false\n";

/// A window on its page of the rules, and the two sides of its service.
fn on_rules() -> (Harness<'static, Window>, overview::Model, changes::Model) {
    let mut window = window();
    let mut service = overview::Model::with(RULES);
    service.status.lease = None;
    service.hits = vec![12, 3, 0, 0];
    let rules = changes::Model {
        text: RULES.to_owned(),
        generation: 4,
        ..changes::Model::default()
    };
    window.state().shown.changes.be_followed();
    window.state().shown.overview.be_followed();
    window.run_steps(3);
    turned(&mut window, "Rules", &mut service);
    (window, service, rules)
}

#[test]
fn the_rules_are_listed_in_order_with_hits_and_what_is_off_or_covered_and_the_defaults_last() {
    let (window, ..) = on_rules();
    assert_eq!(
        rows(&window),
        [
            "1 web: allow in, tcp to port 80, 443, hits 12, the site",
            "2 no-telnet: block tcp to port 23, hits 3, ",
            "3 late: allow tcp to port 23, hits 0, never matches: one before it takes all of it",
            "4 off: off everything, hits 0, disabled",
            "default for in: block, reported",
            "default for out: allow, not reported",
            "default for forward: block, reported",
        ]
    );
}

#[test]
fn a_rule_is_disabled_by_a_click_as_it_was_shown_and_that_is_undone_by_another() {
    let (mut window, _, mut service) = on_rules();
    window.get_by_label_contains("2 no-telnet: block").click();
    window.run_steps(3);
    work(&mut window, &mut service);
    assert!(sees(&window, "+ enabled = false"));
    window.get_by_label("Put in force").click();
    window.run_steps(2);
    work(&mut window, &mut service);
    assert!(sees(&window, "In force: disable no-telnet (generation 5)"));
    assert_eq!(
        service.text,
        RULES.replace(
            "ports = 23\n\n[[rule]]\nid = 'late'",
            "ports = 23\nenabled = false\n\n[[rule]]\nid = 'late'"
        )
    );
    window.get_by_label("Undo").click();
    window.run_steps(2);
    work(&mut window, &mut service);
    assert!(sees(
        &window,
        "Taken back: disable no-telnet (generation 6)"
    ));
    assert_eq!(service.text, RULES);
    assert_eq!(
        service.log,
        [
            ("disable no-telnet".to_owned(), None),
            ("undo 1: disable no-telnet".to_owned(), Some(1))
        ]
    );
}

#[test]
fn a_rule_is_moved_and_removed_with_its_comment_by_keys_alone() {
    use egui::Key;
    let (mut window, _, mut service) = on_rules();
    keys(&mut window, &[Key::ArrowDown, Key::ArrowDown]);
    work(&mut window, &mut service);
    let mut choose = |window: &mut Harness<'_, Window>, name: &str| {
        for _ in 0..20 {
            if window.get_by_label(name).accesskit_node().is_focused() {
                break;
            }
            keys(window, &[Key::Tab]);
        }
        keys(window, &[Key::Space]);
        work(window, &mut service);
    };
    choose(&mut window, "move down");
    assert!(sees(&window, "- # no telnet") && sees(&window, "+ # no telnet"));
    choose(&mut window, "Put in force");
    work(&mut window, &mut service);
    assert!(sees(&window, "In force: move no-telnet"));
    let order = |text: &str| rules::document::names(text).unwrap();
    assert_eq!(order(&service.text), ["web", "late", "no-telnet", "off"]);
    let mut choose = |window: &mut Harness<'_, Window>, name: &str| {
        window.get_by_label(name).click();
        window.run_steps(2);
        work(window, &mut service);
    };
    choose(&mut window, "remove");
    choose(&mut window, "Put in force");
    assert!(!service.text.contains("telnet"), "{}", service.text);
}

#[test]
fn what_a_change_makes_of_other_rules_is_said_before() {
    let (mut window, _, mut service) = on_rules();
    window.get_by_label_contains("4 off: off").click();
    window.run_steps(2);
    window.get_by_label("move up").click();
    window.run_steps(2);
    work(&mut window, &mut service);
    assert!(!sees(&window, "then rule"));
    service.text = RULES.replace("enabled = false\n", "").replace(
        "[[rule]]\nid = 'off'\naction = 'allow'\n",
        "[[rule]]\nid = 'off'\naction = 'allow'\nprotocol = 'udp'\n\n[[rule]]\nid = 'dns'\naction = 'allow'\nprotocol = 'udp'\nports = 53\n",
    );
    let dns = changes::Edit {
        id: "off".to_owned(),
        kind: changes::EditKind::MoveDown,
    };
    let changes = &window.state().shown.changes;
    changes.want_edit(&dns);
    changes.turn(&mut service);
    let draft = changes.look().edit_draft(&dns).cloned().unwrap().unwrap();
    assert_eq!(draft.warnings, Vec::<String>::new(), "{:?}", draft.lines);
    let up = changes::Edit {
        id: "late".to_owned(),
        kind: changes::EditKind::MoveUp,
    };
    changes.want_edit(&up);
    changes.turn(&mut service);
    let draft = changes.look().edit_draft(&up).cloned().unwrap().unwrap();
    assert!(
        draft.warnings.len() == 1 && draft.warnings[0].contains("`no-telnet` can never match"),
        "{draft:?}"
    );
}

#[test]
fn a_change_that_can_not_begin_says_why_in_place_and_its_button_can_not_be_pressed() {
    let (mut window, _, mut service) = on_rules();
    service.unreadable = Some(changes::Failure::Said(
        control::NotEditable::OnLease.to_string(),
    ));
    window.get_by_label_contains("1 web: allow").click();
    window.run_steps(2);
    work(&mut window, &mut service);
    assert!(sees(&window, "rules are on a lease; nothing was changed"));
    let button = window.get_by_label("Put in force");
    assert!(button.accesskit_node().is_disabled());
}

#[test]
fn what_becomes_of_the_file_is_said_anew_when_others_end_a_lease() {
    let (mut window, mut service, mut rules) = on_rules();
    service.status.lease = view::example::status().lease;
    let on_a_lease = changes::Failure::Said("rules are on a lease".to_owned());
    rules.unreadable = Some(on_a_lease);
    window.state().shown.overview.turn(&mut service);
    window.run_steps(3);
    window.get_by_label_contains("1 web: allow").click();
    window.run_steps(3);
    work(&mut window, &mut rules);
    assert!(sees(&window, "rules are on a lease"));
    service.status.lease = None;
    rules.unreadable = None;
    window.state().shown.overview.turn(&mut service);
    window.run_steps(3);
    work(&mut window, &mut rules);
    assert!(!sees(&window, "rules are on a lease"));
    assert!(sees(&window, "+ enabled = false"));
}

#[test]
fn who_may_not_change_a_rule_is_told_the_command_that_root_types() {
    let (mut window, _, mut service) = on_rules();
    service.says = vec![changes::Failure::NotPermitted("polkit said no".to_owned())];
    window.get_by_label_contains("3 late: allow").click();
    window.run_steps(2);
    window.get_by_label("move up").click();
    window.run_steps(2);
    work(&mut window, &mut service);
    window.get_by_label("Put in force").click();
    window.run_steps(2);
    work(&mut window, &mut service);
    assert!(sees(&window, "Nothing was changed. polkit said no"));
    assert!(sees(
        &window,
        "sudo gatebell rules move late --before no-telnet"
    ));
    assert_eq!(service.text, RULES);
}

#[test]
fn what_others_changed_since_is_not_taken_back_with_a_move() {
    let (mut window, _, mut service) = on_rules();
    window.get_by_label_contains("3 late: allow").click();
    window.run_steps(2);
    window.get_by_label("remove").click();
    window.run_steps(2);
    work(&mut window, &mut service);
    window.get_by_label("Put in force").click();
    window.run_steps(2);
    work(&mut window, &mut service);
    service.text.push_str("# others\n");
    let theirs = service.text.clone();
    window.get_by_label("Undo").click();
    window.run_steps(2);
    work(&mut window, &mut service);
    assert!(sees(&window, "Others have changed the rules since"));
    assert_eq!(service.text, theirs);
}

#[test]
fn a_change_to_a_rule_is_tried_out_on_a_lease_by_one_click() {
    let (mut window, _, mut service) = on_rules();
    window.get_by_label_contains("2 no-telnet: block").click();
    window.run_steps(3);
    work(&mut window, &mut service);
    window.get_by_label("Try for 60 s").click();
    window.run_steps(2);
    work(&mut window, &mut service);
    assert!(sees(&window, "Tried out: disable no-telnet (generation 5)"));
    assert!(
        window.query_by_label("Undo").is_none(),
        "that is what Return now is for"
    );
    let tried = "disable no-telnet on a lease".to_owned();
    assert_eq!(service.log, [(tried, None)]);
}

#[test]
fn a_lease_counts_down_with_buttons_that_keep_it_and_end_it() {
    let (mut window, mut service, mut rules) = on_rules();
    service.status.lease = view::example::status().lease;
    window.state().shown.overview.turn(&mut service);
    window.run_steps(3);
    assert!(sees(&window, "generation 3 returns by itself"));
    assert!(sees(&window, "Generation 4 is tried out: in 4"));
    window.get_by_label("Keep").click();
    window.run_steps(2);
    work(&mut window, &mut rules);
    assert!(sees(&window, "Generation 4 is kept"));
    window.get_by_label("Return now").click();
    window.run_steps(2);
    work(&mut window, &mut rules);
    assert!(sees(&window, "Generation 3 is back"));
    assert_eq!(
        rules.log,
        [("keep".to_owned(), None), ("return".to_owned(), None)]
    );
}

#[test]
fn a_file_without_rules_says_how_to_make_the_first_one() {
    let (mut window, mut service, _) = on_rules();
    service.text = RULES.split("[[rule]]").next().unwrap().to_owned();
    service.hits.clear();
    service.status.rules.generation += 1;
    window.state().shown.overview.turn(&mut service);
    window.run_steps(3);
    assert!(sees(&window, "has no rules: the defaults decide"));
    assert_eq!(rows(&window).len(), 3);
}

#[test]
fn control_and_a_number_turn_the_page_and_the_tabs_are_tabs() {
    let mut window = window();
    window.run_steps(2);
    let tabs: Vec<_> = window
        .query_all_by_role(accesskit::Role::Tab)
        .map(|tab| tab.accesskit_node().label().unwrap())
        .collect();
    assert_eq!(tabs, ["Live", "Rules", "Status"]);
    window.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::Num2);
    window.run_steps(2);
    assert!(window.query_by_label("Filter").is_none());
    let selected: Vec<_> = window
        .query_all_by_role(accesskit::Role::Tab)
        .map(|tab| tab.accesskit_node().is_selected() == Some(true))
        .collect();
    assert_eq!(selected, [false, true, false]);
    assert!(sees(&window, "there is no service that could be asked"));
    window.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::Num1);
    window.run_steps(2);
    assert!(window.query_by_label("Filter").is_some());
}

#[test]
fn who_comes_back_to_the_live_page_sees_the_newest_row() {
    let mut window = window();
    for n in 0..500 {
        tell(&window, lost(n));
    }
    window.run();
    let mut service = overview::Model::with(RULES);
    turned(&mut window, "Rules", &mut service);
    tell(&window, lost(500));
    turned(&mut window, "Live", &mut service);
    assert!(rows(&window).last().unwrap().contains("500 records"));
}

#[test]
fn a_service_that_is_gone_is_said_in_place_with_what_to_do_and_is_shown_when_it_is_back() {
    let (mut window, mut service, _) = on_rules();
    for page in ["Rules", "Status"] {
        service.unreachable = Some(control::Failed::NotRunning.to_string());
        turned(&mut window, page, &mut service);
        assert!(sees(&window, "sudo systemctl start gatebell"));
        assert!(rows(&window).is_empty());
        service.unreachable = None;
        window.state().shown.overview.turn(&mut service);
        window.run_steps(3);
        assert!(!sees(&window, "systemctl start"));
    }
}

#[test]
fn the_status_page_says_what_the_command_says_with_every_trouble() {
    let (mut window, mut service, _) = on_rules();
    service.status.trouble = vec!["the disk is full; make room".to_owned()];
    turned(&mut window, "Status", &mut service);
    for words in [
        "the disk is full; make room",
        "gatebelld 1.2.3, process 77",
        "generation 4: 12 rules",
        "eth0, tun0: judged in the IP stack",
        "1234",
        "7 of 4096",
        "Every record is accounted for",
    ] {
        assert!(sees(&window, words), "{words}");
    }
}

#[test]
fn each_page_fits_a_small_window_with_large_text() {
    // 1024×600, and the same at 200 %.
    for size in [egui::vec2(1024.0, 600.0), egui::vec2(512.0, 300.0)] {
        let (mut window, mut service, mut rules) = on_rules();
        window.set_size(size);
        window.get_by_label_contains("2 no-telnet: block").click();
        window.run_steps(3);
        work(&mut window, &mut rules);
        for name in [
            "Live",
            "Rules",
            "Status",
            "Put in force",
            "Try for 60 s",
            "remove",
            "Close",
        ] {
            let place = window.get_by_label(name).rect();
            assert!(
                place.max.x <= size.x && place.max.y <= size.y && place.height() > 8.0,
                "{name} at {size}: {place:?}"
            );
        }
        assert!(!rows(&window).is_empty(), "the table has room at {size}");
        turned(&mut window, "Status", &mut service);
        let place = window.get_by_label_contains("gatebelld 1.2.3").rect();
        assert!(place.max.x <= size.x, "{place:?}");
    }
}
