//! Clicks through the window, without a display, against the model of a kernel.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use super::*;
use crate::headless;
use crate::step::script;
use channel::sys::model::Model;
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use std::time::Instant;

type Clicked = Harness<'static, Window<Model>>;

fn window() -> Clicked {
    let size = egui::vec2(1400.0, 2400.0);
    let mut frame = eframe::Frame::_new_kittest();
    let state = Window::<Model>::open("", &egui::Context::default()).unwrap();
    Harness::builder().with_size(size).build_ui_state(
        move |ui, window: &mut Window<Model>| eframe::App::ui(window, ui, &mut frame),
        state,
    )
}

/// Clicks the step's button and waits until the log tells of it.
fn click(window: &mut Clicked, step: Step) {
    let before = by_user(window.state().log()).len();
    if let Step::Notify(burst) = step {
        window.state_mut().set_burst(burst);
    }
    window.step();
    window
        .get_by_role_and_label(accesskit::Role::Button, step.label())
        .click();
    window.step();
    let end = Instant::now() + Duration::from_secs(10);
    while by_user(window.state().log()).len() == before {
        assert!(Instant::now() < end, "nothing came of {step:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
    window.step();
}

/// Returns the time after which the window asks to be painted again.
fn wish(window: &Clicked) -> Duration {
    window.output().viewport_output[&egui::ViewportId::ROOT].repaint_delay
}

/// Returns the lines of the log about the user's operations. The thread's own lines come when they come.
fn by_user(log: &Log) -> Vec<String> {
    log.lines()
        .iter()
        .filter(|line| line.by == crate::log::By::App)
        .map(Line::told)
        .collect()
}

#[test]
fn every_button_does_what_headless_does_and_logs_the_same() {
    let mut window = window();
    for act in script::<Model>() {
        click(&mut window, act.step);
    }
    let log = Log::new(|_| {});
    let outcome = headless::run::<Model>("", log.clone()).unwrap();
    assert_eq!(outcome.unexpected, [""; 0]);
    assert_eq!(by_user(window.state().log()), by_user(&log));
}

#[test]
fn the_log_can_be_read_row_by_row() {
    let mut window = window();
    click(&mut window, Step::Reference);
    click(&mut window, Step::Driver(sample_abi::Operation::Set));
    let rows: Vec<_> = window
        .query_all_by_role(accesskit::Role::Row)
        .map(|row| row.accesskit_node().label().unwrap())
        .collect();
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert!(
        rows[1].contains("Driver sets; driver saw: not signalled -> signalled"),
        "{rows:?}"
    );
    assert!(
        window.query_by_label("the event is signalled").is_some(),
        "the state is shown live"
    );
}

#[test]
fn one_more_line_of_the_log_is_in_sight_though_nothing_else_happens() {
    let mut window = window();
    window.set_size(egui::vec2(1400.0, 600.0));
    let log = window.state().log().clone();
    let add =
        |line: usize| drop(log.add(Line::of(crate::log::By::Driver, &format!("line {line};"))));
    (0..100).for_each(add);
    window.run();
    for (line, height) in [(100, 600.0), (101, 600.0), (102, 500.0)] {
        add(line);
        window.set_size(egui::vec2(1400.0, height));
        // It is painted as often as it asks for, and then no more.
        window.step();
        assert!(wish(&window) < Duration::from_millis(100));
        window.step();
        assert!(wish(&window) > Duration::from_secs(3600));
        let last = window.query_all_by_role(accesskit::Role::Row).last();
        let last = last.unwrap();
        let label = last.accesskit_node().label().unwrap();
        assert!(label.contains(&format!("line {line};")), "{label}");
        assert!(last.rect().bottom() < height, "{label}");
    }
}

#[test]
fn every_step_of_the_script_has_a_button() {
    let mut window = window();
    window.step();
    for act in script::<Model>() {
        let button = window.query_by_role_and_label(accesskit::Role::Button, act.step.label());
        assert!(button.is_some(), "{:?}", act.step);
    }
}

#[test]
fn a_window_at_rest_asks_for_no_painting() {
    let mut window = window();
    click(&mut window, Step::Reference);
    click(&mut window, Step::StartThread);
    window.run();
    let wish = wish(&window);
    assert!(wish > Duration::from_secs(3600), "{wish:?}");
}
