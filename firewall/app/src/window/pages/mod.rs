//! Pages, and the tabs that lead to them.
//!
//! A page is a file here and a line of [`Pages::default`]; its place there is its place among the tabs.

mod answers;
mod chart;
mod filter_line;
mod history;
pub mod live;
mod networks;
pub(in crate::window) mod of_the_past;
mod programs;
mod rules;
mod saving;
pub(in crate::window) mod selection;
mod sets;
mod status;
mod titled_table;

use super::{Shown, colours};
use crate::changes::{Changes, Order};
use crate::overview::{OverviewSeen, Part};
use crate::past::Wanted;
use eframe::egui::{self, Key, Modifiers, RichText, Ui, accesskit};
use std::sync::Arc;
use std::time::{Duration, Instant};
use view::text;

/// Height of a table's row.
pub const ROW: f32 = 20.0;
/// Width below which the window's name and its device give way to the tabs.
const ROOM_FOR_TITLES: f32 = 760.0;
/// Room between tabs, and beside their words, where there is little.
const CLOSE: f32 = 3.0;
/// Keys that turn to the pages, with Ctrl: the number of the tab.
pub(in crate::window) const KEYS: [Key; 9] = [
    Key::Num1,
    Key::Num2,
    Key::Num3,
    Key::Num4,
    Key::Num5,
    Key::Num6,
    Key::Num7,
    Key::Num8,
    Key::Num9,
];

/// Page of the window.
pub trait Page {
    /// Returns the words on the page's tab, of the catalogue.
    fn name(&self) -> String;

    /// Returns the source that the page shows: no other is asked while it is in sight.
    fn source(&self) -> PageSource;

    /// Returns the part of the history that the page shows, or `None` if it shows nothing of it.
    fn past(&self) -> Option<&Wanted> {
        None
    }

    /// Shows what stands below the tabs.
    fn head(&mut self, _: &mut Ui, _: &Around<'_>) {}

    /// Shows the page itself.
    fn show(&mut self, ui: &mut Ui, around: &Around<'_>);
}

/// Source of what a page shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageSource {
    /// Records of the driver.
    Driver,
    /// State of the service and of its rules, with a part of that.
    Service(Part),
    /// History of the service.
    Past,
}

/// State that a page is painted with.
pub struct Around<'a> {
    /// State that the threads beside the window share with it.
    pub shown: &'a Arc<Shown>,
    /// `true` if a card takes the keys.
    pub asked: bool,
}

/// Pages, and the one that is in sight.
pub struct Pages {
    all: Vec<Box<dyn Page>>,
    at: usize,
}

impl Default for Pages {
    fn default() -> Self {
        let all: Vec<Box<dyn Page>> = vec![
            Box::<live::Live>::default(),
            Box::<programs::Programs>::default(),
            Box::<history::History>::default(),
            Box::<rules::RulesPage>::default(),
            Box::<answers::Answers>::default(),
            Box::<sets::Sets>::default(),
            Box::<networks::NetworksPage>::default(),
            Box::<status::StatusPage>::default(),
        ];
        Self { all, at: 0 }
    }
}

impl Pages {
    /// Returns the page that is in sight.
    pub fn current(&mut self) -> &mut dyn Page {
        &mut *self.all[self.at]
    }

    /// Takes the keys: Ctrl with the number of a tab turns to its page.
    pub fn keys(&mut self, ui: &Ui) {
        for (to, key) in KEYS.into_iter().enumerate().take(self.all.len()) {
            if ui.input_mut(|input| input.consume_key(Modifiers::COMMAND, key)) {
                self.at = to;
            }
        }
    }

    /// Shows the tabs, between the window's name and that of its device.
    pub fn tabs(&mut self, ui: &mut Ui, title: &str) {
        let titles = ui.available_width() >= ROOM_FOR_TITLES;
        ui.horizontal_wrapped(|ui| {
            // A tab that finds no room stands in the next line, whole.
            ui.style_mut().wrap_mode = Some(egui::TextWrapMode::Extend);
            if titles {
                ui.heading("Gatebell");
            } else {
                ui.spacing_mut().item_spacing.x = CLOSE;
                ui.spacing_mut().button_padding.x = CLOSE;
            }
            for to in 0..self.all.len() {
                self.tab(ui, to);
            }
            if titles {
                ui.add(egui::Label::new(RichText::new(title).weak()).truncate());
            }
        });
    }

    /// Shows a tab. The page that a click turns to is painted next.
    fn tab(&mut self, ui: &mut Ui, to: usize) {
        let (name, selected) = (self.all[to].name(), self.at == to);
        let tab = ui.selectable_label(selected, name.as_str());
        let tab = tab.on_hover_text(text!("tab-keys", number = to + 1));
        tab.widget_info(|| {
            egui::WidgetInfo::selected(accesskit::Role::Tab, true, selected, name.as_str())
        });
        // A tab is selected and not pressed, as a screen reader says it.
        ui.ctx().accesskit_node_builder(tab.id, |node| {
            node.clear_toggled();
            node.set_selected(selected);
        });
        if tab.clicked() && !selected {
            self.at = to;
            ui.ctx().request_discard("another page");
        }
    }
}

/// Shows the service's last answers, with the lease that runs; or why there is nothing to show.
fn of_the_service(ui: &mut Ui, around: &Around<'_>, show: impl FnOnce(&mut Ui, &OverviewSeen)) {
    let state = around.shown.overview.look();
    let (seen, followed) = (state.seen().cloned(), state.is_followed());
    drop(state);
    let seen = match seen {
        Some(Ok(seen)) => seen,
        Some(Err(why)) => {
            egui::CentralPanel::default().show(ui, |ui| until_it_is_back(ui, &why));
            return;
        }
        None => {
            egui::CentralPanel::default().show(ui, |ui| not_yet(ui, followed));
            return;
        }
    };
    if seen.status.lease.is_some() {
        let changes = &around.shown.changes;
        egui::Panel::top("lease").show(ui, |ui| lease(ui, &seen, changes));
    }
    show(ui, &seen);
}

/// Shows what stands in the place of a page before there was an answer.
fn not_yet(ui: &mut Ui, followed: bool) {
    let words = if followed {
        text!("asking-firewall")
    } else {
        text!("no-service-here")
    };
    ui.label(words);
}

/// Returns the row to which the arrow keys lead from this one of so many, or `None` if they were not pressed, or
/// something else takes them.
fn arrows(ui: &Ui, at: Option<usize>, rows: usize) -> Option<usize> {
    let last = rows.checked_sub(1)?;
    if ui.ctx().egui_wants_keyboard_input() {
        return None;
    }
    let pressed = |key| ui.input(|input| input.key_pressed(key));
    if pressed(Key::ArrowUp) {
        Some(at.map_or(last, |at| at.saturating_sub(1)))
    } else if pressed(Key::ArrowDown) {
        Some(at.map_or(0, |at| (at + 1).min(last)))
    } else {
        None
    }
}

/// Returns whether Enter was pressed, which goes to the button of what is selected; while nothing else takes it.
fn is_entered(ui: &Ui, asked: bool) -> bool {
    let free = !asked && !ui.ctx().egui_wants_keyboard_input();
    free && ui.input(|input| input.key_pressed(Key::Enter))
}

/// Shows a table, or the part of it that there is room for, with the rest to be scrolled to.
fn wide(ui: &mut Ui, needed: f32, table: impl FnOnce(&mut Ui)) {
    if ui.available_width() >= needed {
        return table(ui);
    }
    egui::ScrollArea::horizontal()
        .auto_shrink(false)
        .show(ui, |ui| {
            ui.set_width(needed);
            table(ui);
        });
}

/// Shows what stands in the place of a page that can't be shown.
fn instead(ui: &mut Ui, why: &str) {
    colours::bright(ui);
    ui.add_space(16.0);
    let text = RichText::new(why).color(colours::lost(ui)).heading();
    ui.add(egui::Label::new(text).wrap());
}

/// Shows what stands in the place of a page while nobody answers.
fn until_it_is_back(ui: &mut Ui, why: &str) {
    instead(ui, why);
    ui.add_space(8.0);
    ui.add(egui::Label::new(text!("goes-on-by-itself")).wrap());
}

/// Shows the lease that runs, its countdown, and the buttons that end it.
fn lease(ui: &mut Ui, seen: &OverviewSeen, changes: &Changes) {
    let (Some(lease), Some(until)) = (&seen.status.lease, seen.lease_until) else {
        return;
    };
    colours::bright(ui);
    let left = until.saturating_duration_since(Instant::now());
    ui.ctx()
        .request_repaint_after(Duration::from_millis(left.subsec_millis().max(20).into()));
    ui.horizontal_wrapped(|ui| {
        let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
        let words = text!(
            "lease-runs",
            generation = lease.generation,
            seconds = seconds,
            fallback = lease.fallback,
        );
        ui.label(RichText::new(words).color(colours::lost(ui)).strong());
        let idle = changes.look().on_its_way().is_none();
        // Where there is no room for a button beside the words, it stands below them.
        let whole = |words: String| egui::Button::new(words).wrap_mode(egui::TextWrapMode::Extend);
        if ui.add_enabled(idle, whole(text!("lease-keep"))).clicked() {
            changes.order(Order::Keep(lease.generation));
        }
        if ui.add_enabled(idle, whole(text!("lease-return"))).clicked() {
            changes.order(Order::Return(lease.generation));
        }
    });
}
