//! The pages, the tabs that lead to them, and what stands on all of them.

use super::colours;
use crate::changes::{Changes, Order};
use crate::overview::Seen;
use eframe::egui::{self, Key, Modifiers, RichText, Ui, accesskit};
use std::time::{Duration, Instant};

/// A page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Page {
    /// What happens.
    #[default]
    Live,
    /// The rules.
    Rules,
    /// How the firewall is.
    Status,
}

const PAGES: [(Page, &str, Key); 3] = [
    (Page::Live, "Live", Key::Num1),
    (Page::Rules, "Rules", Key::Num2),
    (Page::Status, "Status", Key::Num3),
];

/// Ctrl with the number of a tab turns to its page.
pub fn keys(ui: &Ui, page: &mut Page) {
    for (to, _, key) in PAGES {
        if ui.input_mut(|input| input.consume_key(Modifiers::COMMAND, key)) {
            *page = to;
        }
    }
}

/// The tabs. The page that a click turns to is painted next.
pub fn show(ui: &mut Ui, page: &mut Page) {
    let now = *page;
    for (number, (to, name, _)) in (1..).zip(PAGES) {
        let selected = now == to;
        let tab = ui.selectable_label(selected, name);
        let tab = tab.on_hover_text(format!("Ctrl+{number}"));
        tab.widget_info(|| egui::WidgetInfo::selected(accesskit::Role::Tab, true, selected, name));
        // A tab is selected and not pressed, as a screen reader says it.
        ui.ctx().accesskit_node_builder(tab.id, |node| {
            node.clear_toggled();
            node.set_selected(selected);
        });
        if tab.clicked() && !selected {
            *page = to;
            ui.ctx().request_discard("another page");
        }
    }
}

/// Shows a table, or what of it there is room for, with the rest to be scrolled to.
pub fn wide(ui: &mut Ui, needed: f32, table: impl FnOnce(&mut Ui)) {
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

/// What stands in the place of a page that can't be shown.
pub fn instead(ui: &mut Ui, why: &str) {
    colours::bright(ui);
    ui.add_space(16.0);
    let text = RichText::new(why).color(colours::lost(ui)).heading();
    ui.add(egui::Label::new(text).wrap());
}

/// What stands in the place of a page while nobody answers.
pub fn until_it_is_back(ui: &mut Ui, why: &str) {
    instead(ui, why);
    ui.add_space(8.0);
    ui.add(egui::Label::new("This window asks again and goes on by itself.").wrap());
}

/// The lease that runs, its countdown, and the buttons that end it.
pub fn lease(ui: &mut Ui, seen: &Seen, changes: &Changes) {
    let (Some(lease), Some(until)) = (&seen.status.lease, seen.lease_until) else {
        return;
    };
    colours::bright(ui);
    let left = until.saturating_duration_since(Instant::now());
    ui.ctx()
        .request_repaint_after(Duration::from_millis(left.subsec_millis().max(20).into()));
    ui.horizontal_wrapped(|ui| {
        let words = format!(
            "Generation {} is tried out: in {} s generation {} returns by itself.",
            lease.generation,
            left.as_millis().div_ceil(1000),
            lease.fallback
        );
        ui.label(RichText::new(words).color(colours::lost(ui)).strong());
        let idle = changes.look().on_its_way().is_none();
        ui.add_enabled_ui(idle, |ui| {
            if ui.button("Keep").clicked() {
                changes.order(Order::Keep);
            }
            if ui.button("Return now").clicked() {
                changes.order(Order::Return);
            }
        });
    });
}
