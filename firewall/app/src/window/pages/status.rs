//! The page that says how the firewall is: what `gatebell status`, `stats` and `audit` say.

use super::{Around, Page, Source, of_the_service};
use crate::overview::{Part, Seen};
use crate::window::colours;
use control::{Counted, Stats};
use eframe::egui::{self, RichText, Ui};
use std::time::{SystemTime, UNIX_EPOCH};
use view::status;

/// The width of the column of names.
const NAMES: f32 = 96.0;

/// The page; nothing of it is the window's own.
#[derive(Debug, Default)]
pub struct StatusPage;

impl Page for StatusPage {
    fn name(&self) -> &'static str {
        "Status"
    }

    fn source(&self) -> Source {
        Source::Service(Part::Rules)
    }

    fn show(&mut self, ui: &mut Ui, around: &Around<'_>) {
        of_the_service(ui, around, show);
    }
}

fn show(ui: &mut Ui, seen: &Seen) {
    egui::CentralPanel::default().show(ui, |ui| {
        colours::bright(ui);
        egui::ScrollArea::vertical()
            .auto_shrink(false)
            .show(ui, |ui| all(ui, seen));
    });
}

fn all(ui: &mut Ui, seen: &Seen) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    heading(ui, "How it is");
    if seen.status.trouble.is_empty() {
        let well = RichText::new("Nothing is amiss.").color(colours::allowed(ui));
        ui.label(well.strong());
    }
    for trouble in &seen.status.trouble {
        let text = RichText::new(trouble).color(colours::lost(ui)).strong();
        ui.add(egui::Label::new(text).wrap());
    }
    let title = status::title(&seen.status, now.unwrap_or_default().as_secs());
    line(ui, "service", &title);
    if let Some(kernel) = kernel() {
        line(ui, "kernel", &kernel);
    }
    for (name, text) in status::lines(&seen.status) {
        line(ui, name, &text);
    }
    heading(ui, "Packets");
    packets(ui, &seen.stats);
    heading(ui, "What apps were told");
    let accounts = &seen.accounts;
    let words = if accounts.balances {
        "Every record is accounted for: what was offered is what was written and what was lost."
    } else {
        "The books do not balance at this moment; if that stays so, report it: gatebell audit"
    };
    ui.add(egui::Label::new(words).wrap());
    for app in &accounts.apps {
        let name = format!("process {}", app.pid);
        let lies = if app.lies {
            "; it says of its ring what can't be: end it"
        } else {
            ""
        };
        line(ui, &name, &format!("{}{lies}", counted(&app.counted)));
    }
    line(ui, "those gone", &counted(&accounts.past));
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
            "allowed",
            [stats.allowed_in, stats.allowed_out, stats.allowed_forward],
        ),
        (
            "refused",
            [stats.blocked_in, stats.blocked_out, stats.blocked_forward],
        ),
    ];
    let grid = egui::Grid::new("packets").num_columns(4);
    let gap = ui.spacing().item_spacing.x;
    grid.spacing(egui::vec2(gap, 4.0))
        .min_col_width(72.0)
        .show(ui, |ui| {
            ui.allocate_space(egui::vec2(NAMES, 0.0));
            for title in ["in", "out", "forward"] {
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
    line(
        ui,
        "connects",
        &format!(
            "{} refused at once, before there was a packet",
            stats.refused_connects
        ),
    );
    let full = if stats.flows_full > 0 {
        format!(
            "; {} packets found no lasting room, and new connections may push theirs out: end what opens so many",
            stats.flows_full
        )
    } else {
        String::new()
    };
    let flows = format!("{} of {}{full}", stats.flows, stats.flows_most);
    line(ui, "connections", &flows);
}

/// What an app was told, in words.
fn counted(counted: &Counted) -> String {
    let lost = [
        (counted.lost_no_room, "as its ring was full"),
        (counted.lost_closing, "as it was ending"),
        (counted.lost_too_large, "as larger than its ring"),
    ];
    let lost: Vec<_> = lost
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, why)| format!("{count} lost {why}"))
        .collect();
    let lost = if lost.is_empty() {
        "none lost".to_owned()
    } else {
        lost.join(", ")
    };
    format!(
        "{} records offered, {} written, {lost}",
        counted.offered, counted.committed
    )
}

/// The kernel that runs here: the service's, too.
fn kernel() -> Option<String> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    Some(format!("Linux {}", release.trim()))
}
