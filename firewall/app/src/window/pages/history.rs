//! Page of the history: row by row or put together, how much at each time, and as a file.

use super::of_the_past::{self, Asking, Reach, last_verdict};
use super::selection::{self, Selection};
use super::titled_table::TitledTable;
use super::{Around, Page, PageSource, chart, saving, wide};
use crate::past::{Content, Past, PastSeen, Wanted};
use crate::window::details::Details;
use crate::window::{colours, table_row};
use control::HistoryRow;
use eframe::egui::{self, Color32, RichText, Ui};
use std::sync::Arc;
use view::history::{self, By, Sum, size};
use view::text;
use view::time::day_and_time;

const WIDTHS: [f32; 10] = [
    144.0, 156.0, 90.0, 66.0, 240.0, 120.0, 180.0, 62.0, 66.0, 76.0,
];
const TABLE: TitledTable = TitledTable {
    name: "history",
    widths: &WIDTHS,
    follows: false,
};
const SUM_WIDTHS: [f32; 7] = [360.0, 66.0, 82.0, 84.0, 80.0, 80.0, 150.0];
/// Widths below which a table is scrolled sideways.
const NEEDED: f32 = 1_360.0;
const SUM_NEEDED: f32 = 1_040.0;

/// State of the page.
#[derive(Debug, Default)]
pub struct History {
    asking: Asking,
    selection: Selection<KeptRow>,
    details: Details,
}

impl Page for History {
    fn name(&self) -> String {
        text!("tab-history")
    }

    fn source(&self) -> PageSource {
        PageSource::Past
    }

    fn past(&self) -> Option<&Wanted> {
        Some(&self.asking.wanted)
    }

    fn head(&mut self, ui: &mut Ui, around: &Around<'_>) {
        self.asking.show(ui);
        ui.horizontal_wrapped(|ui| {
            ui.label(text!("history-by"));
            let by = &mut self.asking.wanted.by;
            ui.radio_value(by, None, text!("history-by-nothing"));
            for choice in By::ALL {
                ui.radio_value(by, Some(choice), choice.words());
            }
            ui.separator();
            save(ui, &around.shown.past);
        });
        saving::outcome(ui, &around.shown.past);
    }

    fn show(&mut self, ui: &mut Ui, around: &Around<'_>) {
        let wanted = self.asking.wanted.clone();
        of_the_past::show(ui, around, &wanted, |ui, seen| {
            self.past(ui, seen, around);
        });
    }
}

/// Shows the buttons that write what is shown into a file.
fn save(ui: &mut Ui, past: &Past) {
    let state = past.look();
    let seen = state.seen().and_then(|seen| seen.as_ref().ok()).cloned();
    drop(state);
    let Some(seen) = seen else {
        return;
    };
    let possible = !seen.rows.is_empty();
    saving::buttons(ui, past, possible, || Content::Past(seen));
}

impl History {
    fn past(&mut self, ui: &mut Ui, seen: &Arc<PastSeen>, around: &Around<'_>) {
        egui::Panel::top("chart").show(ui, |ui| {
            chart::show(ui, &seen.bars, seen.wanted.since);
        });
        if seen.wanted.by.is_some() {
            self.selection.clear();
            egui::CentralPanel::default()
                .show(ui, |ui| wide(ui, SUM_NEEDED, |ui| sums(ui, &seen.sums)));
            return;
        }
        let entered = self.selection.keys(
            ui,
            around.asked,
            seen.rows.len(),
            |KeptRow(it)| seen.shown().position(|row| is_same(it, row)),
            |row| seen.shown().nth(row).cloned().map(KeptRow),
        );
        if entered {
            self.details.focus();
        }
        if let Some(KeptRow(row)) = self.selection.get().cloned() {
            selection::details(
                self,
                |page| &mut page.selection,
                ui,
                "kept",
                |page, ui| page.details(ui, &row, around),
            );
        }
        egui::CentralPanel::default().show(ui, |ui| wide(ui, NEEDED, |ui| self.rows(ui, seen)));
    }

    fn rows(&mut self, ui: &mut Ui, seen: &PastSeen) {
        let sought = self.selection.sought();
        TABLE.with_titles(
            ui,
            seen.rows.len(),
            sought,
            &history::titles(),
            |mut row| {
                let kept = seen.rows.get(row.index());
                let Some(kept) = kept.and_then(|at| seen.kept.rows.get(*at)) else {
                    return;
                };
                let selected = self
                    .selection
                    .get()
                    .is_some_and(|KeptRow(it)| is_same(it, kept));
                let mut cells = history::cells(kept);
                (cells[9], cells[10]) = (size(kept.bytes_sent), size(kept.bytes_received));
                let line = cells.join(" ");
                table_row(&mut row, &cells, &line, selected, |ui, column| {
                    verdict(ui, kept).filter(|_| column == 1)
                });
                if row.response().clicked() {
                    self.selection.select(KeptRow(kept.clone()), row.index());
                }
            },
        );
    }

    /// Shows a row's details, and what can be done. Returns `true` if they are to be closed.
    fn details(&mut self, ui: &mut Ui, row: &HistoryRow, around: &Around<'_>) -> bool {
        let close = selection::head(ui, |ui| {
            let title = text!(
                "history-row",
                program = history::program(row),
                verdict = last_verdict(row),
                count = row.count,
                first = day_and_time(row.first),
                last = day_and_time(row.last),
            );
            ui.add(egui::Label::new(RichText::new(title).strong()).wrap());
        });
        let changes = &around.shown.changes;
        of_the_past::change(ui, &mut self.details, row, Reach::Endpoint, changes);
        close
    }
}

/// Shows rows that were put together.
fn sums(ui: &mut Ui, sums: &[Sum]) {
    let sums_table = TitledTable {
        name: "sums",
        widths: &SUM_WIDTHS,
        follows: false,
    };
    let titles = history::sum_titles();
    sums_table.with_titles(ui, sums.len(), None, &titles, |mut row| {
        let Some(sum) = sums.get(row.index()) else {
            return;
        };
        let mut cells = sum.cells();
        (cells[4], cells[5]) = (size(sum.bytes_sent), size(sum.bytes_received));
        let counts = titles.iter().zip(&cells).skip(1);
        let counts: Vec<_> = counts
            .map(|(title, cell)| format!("{} {cell}", title.to_lowercase()))
            .collect();
        let line = format!("{}: {}", sum.what, counts.join(", "));
        let refused = sum.refused > 0;
        table_row(&mut row, &cells, &line, false, |ui, column| {
            (column == 2 && refused).then(|| colours::refused(ui))
        });
    });
}

/// Row that is selected: the same one, however much there is of it by now.
#[derive(Clone, Debug)]
struct KeptRow(HistoryRow);

impl PartialEq for KeptRow {
    fn eq(&self, other: &Self) -> bool {
        is_same(&self.0, &other.0)
    }
}

/// Returns whether both are the same row, however much there is of it by now.
fn is_same(one: &HistoryRow, other: &HistoryRow) -> bool {
    identity(one) == identity(other)
}

fn identity(row: &HistoryRow) -> impl PartialEq + '_ {
    let HistoryRow {
        start,
        seconds,
        direction,
        verdict,
        reason,
        protocol,
        remote,
        source,
        port,
        program,
        process,
        user,
        rule,
        name,
        contact,
        ..
    } = row;
    let what = (start, seconds, direction, verdict, reason, protocol);
    (
        what,
        (remote, source, port),
        (program, process, user),
        (rule, name, contact),
    )
}

fn verdict(ui: &Ui, row: &HistoryRow) -> Option<Color32> {
    match row.verdict.as_str() {
        "allow" => None,
        "ask" => Some(colours::lost(ui)),
        _ => Some(colours::refused(ui)),
    }
}
