//! Page of the firewall's state: what `gatebell status`, `stats` and `audit` say.

use super::{Around, Page, PageSource, of_the_service};
use crate::overview::{OverviewSeen, Part};
use crate::window::colours;
use control::{Counted, Stats};
use eframe::egui::{self, RichText, Ui};
use firewall_abi::packet::Direction;
use std::time::{SystemTime, UNIX_EPOCH};
use view::entry::way;
use view::{status, text};

/// Width of the column of names.
const NAMES: f32 = 132.0;

/// Page of the firewall's state, which has no state of its own.
#[derive(Debug, Default)]
pub struct StatusPage;

impl Page for StatusPage {
    fn name(&self) -> String {
        text!("tab-status")
    }

    fn source(&self) -> PageSource {
        PageSource::Service(Part::Rules)
    }

    fn show(&mut self, ui: &mut Ui, around: &Around<'_>) {
        of_the_service(ui, around, show);
    }
}

fn show(ui: &mut Ui, seen: &OverviewSeen) {
    egui::CentralPanel::default().show(ui, |ui| {
        colours::bright(ui);
        egui::ScrollArea::vertical()
            .auto_shrink(false)
            .show(ui, |ui| all(ui, seen));
    });
}

fn all(ui: &mut Ui, seen: &OverviewSeen) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    heading(ui, &text!("status-how"));
    if seen.status.trouble.is_empty() {
        let well = RichText::new(text!("status-well")).color(colours::allowed(ui));
        ui.label(well.strong());
    }
    for trouble in view::trouble::troubles(&seen.status) {
        let text = RichText::new(trouble).color(colours::lost(ui)).strong();
        ui.add(egui::Label::new(text).wrap());
    }
    let title = status::title(&seen.status, now.unwrap_or_default().as_secs());
    line(ui, &text!("status-service"), &title);
    if let Some(kernel) = kernel() {
        line(ui, &text!("status-kernel"), &kernel);
    }
    for (name, text) in status::lines(&seen.status) {
        line(ui, &name, &text);
    }
    heading(ui, &text!("status-packets"));
    packets(ui, &seen.stats);
    heading(ui, &text!("status-told"));
    let accounts = &seen.accounts;
    let words = if accounts.balances {
        text!("status-balances")
    } else {
        text!("status-no-balance")
    };
    ui.add(egui::Label::new(words).wrap());
    for app in &accounts.apps {
        let counted = counted(&app.counted);
        let counted = if app.lies {
            text!("status-app-lies", counted = counted)
        } else {
            counted
        };
        line(ui, &text!("status-app", pid = app.pid), &counted);
    }
    line(ui, &text!("status-past"), &counted(&accounts.past));
}

fn heading(ui: &mut Ui, words: &str) {
    ui.add_space(8.0);
    ui.label(RichText::new(words).heading());
}

fn line(ui: &mut Ui, name: &str, text: &str) {
    ui.horizontal_top(|ui| {
        let height = ui.text_style_height(&egui::TextStyle::Body);
        let layout = egui::Layout::left_to_right(egui::Align::Min);
        ui.allocate_ui_with_layout(egui::vec2(NAMES, height), layout, |ui| {
            ui.set_min_width(NAMES);
            ui.weak(name);
        });
        ui.add(egui::Label::new(view::entry::clean(text)).wrap());
    });
}

fn packets(ui: &mut Ui, stats: &Stats) {
    let rows = [
        (
            text!("status-allowed"),
            [stats.allowed_in, stats.allowed_out, stats.allowed_forward],
        ),
        (
            text!("status-refused"),
            [stats.blocked_in, stats.blocked_out, stats.blocked_forward],
        ),
    ];
    let grid = egui::Grid::new("packets").num_columns(4);
    let gap = ui.spacing().item_spacing.x;
    grid.spacing(egui::vec2(gap, 4.0))
        .min_col_width(72.0)
        .show(ui, |ui| {
            ui.allocate_space(egui::vec2(NAMES, 0.0));
            for title in Direction::ALL.map(way) {
                ui.weak(title);
            }
            ui.end_row();
            for (name, counts) in rows {
                ui.weak(name);
                for count in counts {
                    ui.label(count.to_string());
                }
                ui.end_row();
            }
        });
    let refused = text!("status-connects-refused", refused = stats.refused_connects);
    line(ui, &text!("status-connects"), &refused);
    for (name, words) in of_no_rule(stats) {
        line(ui, &name, &words);
    }
    let (flows, most) = (stats.flows, stats.flows_most);
    let flows = match stats.flows_full {
        0 => text!("status-flows", flows = flows, most = most),
        full => text!("status-flows-full", flows = flows, most = most, full = full),
    };
    line(ui, &text!("status-connections"), &flows);
}

/// Returns the lines about packets that were neither allowed nor refused, and about what else was to be told or
/// learned, where there was any.
fn of_no_rule(stats: &Stats) -> Vec<(String, String)> {
    let Stats {
        left_in,
        names,
        rejected,
        ..
    } = stats;
    let untold = rejected.lost + rejected.limited;
    let unread = names.lost + names.unread;
    let strange = names.unasked + names.strange + names.no_room;
    let all = [
        (
            *left_in,
            text!("status-nobody"),
            text!("status-left-in", count = *left_in),
        ),
        (
            rejected.handed + untold + rejected.failed,
            text!("status-rejected"),
            text!(
                "status-rejects",
                answered = rejected.answered,
                untold = untold,
                failed = rejected.failed,
            ),
        ),
        (
            unread,
            text!("status-names"),
            text!("status-names-unread", count = unread),
        ),
        (
            strange,
            text!("status-names"),
            text!("status-names-joined-none", count = strange),
        ),
    ];
    let some = all.into_iter().filter(|(count, ..)| *count > 0);
    some.map(|(_, name, words)| (name, words)).collect()
}

/// Describes the records that an app was offered.
fn counted(counted: &Counted) -> String {
    let (no_room, closing, too_large) = (
        counted.lost_no_room,
        counted.lost_closing,
        counted.lost_too_large,
    );
    let lost = [
        (no_room > 0).then(|| text!("status-lost-no-room", lost = no_room)),
        (closing > 0).then(|| text!("status-lost-closing", lost = closing)),
        (too_large > 0).then(|| text!("status-lost-too-large", lost = too_large)),
    ];
    let lost: Vec<_> = lost.into_iter().flatten().collect();
    let lost = if lost.is_empty() {
        text!("status-lost-none")
    } else {
        lost.join(", ")
    };
    text!(
        "status-counted",
        count = counted.offered,
        committed = counted.committed,
        lost = lost,
    )
}

/// Returns the release of the kernel that runs here: the service's, too.
fn kernel() -> Option<String> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    Some(format!("Linux {}", release.trim()))
}
