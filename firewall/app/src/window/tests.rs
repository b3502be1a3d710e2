//! The window, read and clicked without a display.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use super::*;
use channel::{Account, Lost};
use channel_abi::{Cause, Totals};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use std::time::UNIX_EPOCH;
use view::example::{Named, packet};

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
    let painted = window.state().painted.last.len();
    assert!(
        (1..200).contains(&painted),
        "{painted} rows of 5000 have text"
    );
}
