//! Parts that the pages of the history have in common.

use super::filter_line::FilterLine;
use super::{Around, not_yet, until_it_is_back};
use crate::changes::{Changes, Wish};
use crate::past::{self, PastSeen, Since, Wanted};
use crate::window::colours;
use crate::window::details::Details;
use control::HistoryRow;
use eframe::egui::{self, RichText, Ui};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use view::filter::Filter;
use view::history::By;
use view::text;

/// Request for a part of the history, and the line that its filter is typed into.
#[derive(Debug, Default)]
pub struct Asking {
    /// Request for a part of the history.
    pub wanted: Wanted,
    filter: FilterLine,
}

impl Asking {
    /// Shows the choices of the period, and the filter.
    pub fn show(&mut self, ui: &mut Ui) {
        ui.horizontal_wrapped(|ui| {
            ui.label(text!("past-last"));
            for since in Since::ALL {
                let chosen = self.wanted.since == since;
                if ui.radio(chosen, since.words()).clicked() {
                    self.wanted.since = since;
                }
            }
            ui.separator();
            if self.filter.show(ui, Filter::parse_for_kept) {
                self.wanted.filter = self.filter.filter().clone();
            }
        });
    }
}

/// Shows the history, or why there is nothing to show.
pub fn show(
    ui: &mut Ui,
    around: &Around<'_>,
    wanted: &Wanted,
    show: impl FnOnce(&mut Ui, &Arc<PastSeen>),
) {
    let state = around.shown.past.look();
    let (seen, followed) = (state.seen().cloned(), state.is_followed());
    drop(state);
    match seen {
        Some(Ok(seen)) if seen.rows.is_empty() && seen.kept.unread == 0 => {
            egui::CentralPanel::default().show(ui, |ui| nothing(ui, &seen, wanted));
        }
        Some(Ok(seen)) => {
            let is_short = seen.kept.left_out > 0 || seen.kept.unread > 0;
            if seen.wanted.since != wanted.since || is_short {
                egui::Panel::top("of what").show(ui, |ui| of_what(ui, &seen, wanted));
            }
            show(ui, &seen);
        }
        Some(Err(why)) => {
            egui::CentralPanel::default().show(ui, |ui| until_it_is_back(ui, &why));
        }
        None => {
            egui::CentralPanel::default().show(ui, |ui| not_yet(ui, followed));
        }
    }
}

fn of_what(ui: &mut Ui, seen: &PastSeen, wanted: &Wanted) {
    colours::bright(ui);
    if seen.wanted.since != wanted.since {
        ui.label(text!("past-reading"));
    }
    if seen.kept.left_out > 0 {
        lost(ui, text!("past-left-out", count = seen.kept.left_out));
    }
    if seen.kept.unread > 0 {
        lost(ui, text!("past-unread", count = seen.kept.unread));
    }
}

fn lost(ui: &mut Ui, words: String) {
    let text = RichText::new(words).color(colours::lost(ui));
    ui.add(egui::Label::new(text).wrap());
}

/// Shows why nothing is to be seen, and what can be done.
fn nothing(ui: &mut Ui, seen: &PastSeen, wanted: &Wanted) {
    colours::bright(ui);
    ui.add_space(16.0);
    let words = if !seen.is_kept {
        text!("past-not-kept")
    } else if seen.wanted != *wanted {
        text!("past-reading")
    } else if !seen.kept.rows.is_empty() {
        text!("past-filtered")
    } else {
        text!("past-nothing")
    };
    ui.add(egui::Label::new(words).wrap());
}

/// Width that is offered first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// The endpoint of the row.
    Endpoint,
    /// All that the program talks with.
    Program,
}

/// Shows the rule that decides otherwise about a row of the history, by click.
pub fn change(
    ui: &mut Ui,
    details: &mut Details,
    row: &HistoryRow,
    reach: Reach,
    changes: &Changes,
) {
    let packet = match past::packet(row) {
        Ok(packet) => packet,
        Err(why) => {
            ui.add(egui::Label::new(why).wrap());
            return;
        }
    };
    let usual = || {
        let mut wish = Wish::usual(&packet);
        if reach == Reach::Program {
            wish.width = firewall_abi::asking::Width::Anywhere;
        }
        wish
    };
    let place = text!("place-taking-rule");
    details.change(ui, number(row, reach), usual, &place, changes);
    ui.weak(text!("past-ends-not-kept"));
}

/// Returns a number of this row's connection, the same when there is more of it.
fn number(row: &HistoryRow, reach: Reach) -> u64 {
    let mut hasher = DefaultHasher::new();
    let HistoryRow {
        direction,
        verdict,
        protocol,
        remote,
        source,
        port,
        program,
        process,
        user,
        ..
    } = row;
    (direction, verdict, protocol, remote, source, port).hash(&mut hasher);
    (program, process, user, reach).hash(&mut hasher);
    hasher.finish()
}

/// Describes the last verdict on a row, and the rule or reason.
pub fn last_verdict(row: &HistoryRow) -> String {
    let by = By::Rule.of(row);
    let by = match (&row.rule, row.reason.as_str()) {
        (_, "answer") => text!("last-by-answer"),
        (_, "unanswered") => text!("last-by-nobody"),
        (Some(_), _) => text!("last-by-rule", rule = by),
        (None, "default") => text!("last-by-default"),
        (None, _) => by,
    };
    match row.verdict.as_str() {
        "allow" => text!("last-allowed", by = by),
        "ask" => text!("last-asked", by = by),
        _ => text!("last-refused", by = by),
    }
}
