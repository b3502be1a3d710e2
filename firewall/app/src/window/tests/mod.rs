//! Tests of the window, read and clicked without a display.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod card;
mod catalogue;
mod changes_by_click;
mod held;
mod languages;
mod live;
mod manual;
mod networks;
mod pages;
mod past;

use super::*;
use crate::changes::{self, ChangesModel};
use crate::overview::OverviewModel;
use crate::past::PastModel;
use crate::questions::QuestionsModel;
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

/// Returns a window whose live page shows each entry by itself.
fn window_of_each() -> Harness<'static, Window> {
    let mut window = window();
    window.run_steps(2);
    window.get_by_label("Together").click();
    window.run_steps(2);
    window
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

/// Returns whether the row that is selected is whole in sight above its details.
fn is_selected_in_sight(window: &Harness<'_, Window>) -> bool {
    let mut shown = window.query_all_by_role(accesskit::Role::Row);
    let selected = shown.find(|row| row.accesskit_node().is_selected() == Some(true));
    let details = window.get_by_label("Close").rect();
    selected.is_some_and(|row| row.rect().bottom() < details.top())
}

/// Clicks the row that stands lowest.
fn click_the_last_in_sight(window: &mut Harness<'_, Window>) {
    let end = window.get_by_label("no counters yet").rect().top();
    let last = {
        let mut shown = window.query_all_by_role(accesskit::Role::Row);
        shown.rfind(|row| row.rect().bottom() < end - 16.0).unwrap()
    };
    last.click();
    window.run_steps(4);
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

/// Has the service carry out what it is asked.
fn work(window: &mut Harness<'_, Window>, service: &mut ChangesModel) {
    window.state().shown.changes.turn(service);
    window.run_steps(4);
}
