//! The live page: what was refused and what was started, as it happens.

use super::filter_line::FilterLine;
use super::titled_table::TitledTable;
use super::{Around, Page, ROW, Source, saving, until_it_is_back, wide};
use crate::past::Content;
use crate::window::details::Details;
use crate::window::rows::Rows;
use crate::window::{colours, table_row};
use eframe::egui::{self, Color32, RichText, Ui};
use firewall_abi::packet::Verdict;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use view::entry::{COLUMNS, Entry, What};

/// Rows that one painting looks through for the filter at most.
const FILTERED_AT_ONCE: usize = 5_000;
/// The width below which the table is scrolled sideways.
const NEEDED: f32 = 900.0;
const WIDTHS: [f32; 6] = [96.0, 72.0, 34.0, 66.0, 330.0, 190.0];
const TABLE: TitledTable = TitledTable {
    name: "live",
    widths: &WIDTHS,
    follows: true,
};

/// What of the page is the window's own.
#[derive(Default)]
pub struct Live {
    filter: FilterLine,
    paused: bool,
    selected: Option<u64>,
    pub(in crate::window) painted: PaintedRows,
    details: Details,
    /// The row that is to be brought into sight.
    sought: Option<usize>,
}

/// The cells of the rows that were painted last, by the rows' numbers: a row's text is made when it comes into sight, and no
/// other's is.
#[derive(Default)]
pub(in crate::window) struct PaintedRows {
    pub(in crate::window) last: HashMap<u64, Arc<RowText>>,
    now: HashMap<u64, Arc<RowText>>,
}

/// One row as it is painted, and as a screen reader says it.
pub(in crate::window) struct RowText {
    cells: [String; COLUMNS.len()],
    line: String,
}

impl PaintedRows {
    fn of(&mut self, number: u64, entry: &Entry) -> Arc<RowText> {
        let known = self.now.get(&number).or_else(|| self.last.get(&number));
        let text = known.cloned().unwrap_or_else(|| {
            let cells = entry.cells();
            let line = cells.join(" ");
            Arc::new(RowText { cells, line })
        });
        self.now.insert(number, text.clone());
        text
    }

    /// Forgets the rows that were not painted this time.
    fn end_of_painting(&mut self) {
        self.last = std::mem::take(&mut self.now);
    }
}

impl Page for Live {
    fn name(&self) -> &'static str {
        "Live"
    }

    fn source(&self) -> Source {
        Source::Driver
    }

    /// The filter, and how many rows it lets through.
    fn head(&mut self, ui: &mut Ui, around: &Around<'_>) {
        let mut rows = around.shown.rows();
        if rows.look_through(FILTERED_AT_ONCE) {
            ui.ctx().request_repaint_after(Duration::from_millis(1));
        }
        ui.horizontal_wrapped(|ui| {
            if self.filter.show(ui) {
                rows.filter(self.filter.filter().clone());
            }
            if ui.toggle_value(&mut self.paused, "Pause").changed() {
                rows.pause(self.paused);
            }
            saving::buttons(ui, &around.shown.past, rows.shown() > 0, || {
                Content::Entries(rows.all_shown())
            });
            ui.label(RichText::new(rows.shown_of_all()).weak());
        });
        drop(rows);
        saving::outcome(ui, &around.shown.past);
    }

    /// The rows, and the details of the one that is selected.
    fn show(&mut self, ui: &mut Ui, around: &Around<'_>) {
        let rows = &*around.shown.rows();
        let changes = &around.shown.changes;
        self.keys(ui, rows, around.asked);
        if let Some(number) = self.selected
            && let Some(entry) = rows.numbered(number)
        {
            let panel = egui::Panel::bottom("details");
            let details = panel.show(ui, |ui| self.details.show(ui, number, entry, changes));
            if details.inner {
                self.selected = None;
            }
        }
        egui::CentralPanel::default().show(ui, |ui| match rows.ended() {
            Some(why) if rows.is_empty() => until_it_is_back(ui, why),
            _ => wide(ui, NEEDED, |ui| self.table(ui, rows)),
        });
    }
}

impl Live {
    fn table(&mut self, ui: &mut Ui, rows: &Rows) {
        let table = TABLE.with_titles(ui, self.sought.take(), &COLUMNS);
        table.body(|body| {
            body.rows(ROW, rows.shown(), |mut row| {
                let Some((number, entry)) = rows.nth_shown(row.index()) else {
                    return;
                };
                let selected = self.selected == Some(number);
                row.set_selected(selected);
                let text = self.painted.of(number, entry);
                table_row(&mut row, &text.cells, &text.line, |ui, _| {
                    // On the ground of what is selected it would be hard to read.
                    colour(ui, &entry.what).filter(|_| !selected)
                });
                // Already when it is pressed: while rows come, another one may lie there at the release.
                let response = row.response();
                if response.clicked() || response.is_pointer_button_down_on() {
                    self.selected = Some(number);
                }
            });
        });
        self.painted.end_of_painting();
    }

    /// The arrow keys choose a row, and Enter goes to the button that changes what becomes of its like; while nothing else has
    /// the focus, which would take them, and while nothing is asked.
    fn keys(&mut self, ui: &Ui, rows: &Rows, asked: bool) {
        if ui.ctx().egui_wants_keyboard_input() || rows.shown() == 0 {
            return;
        }
        let pressed = |key| ui.input(|input| input.key_pressed(key));
        let last = rows.shown() - 1;
        let at = self.selected.and_then(|number| rows.place_of(number));
        let to = if pressed(egui::Key::ArrowUp) {
            Some(at.map_or(last, |at| at.saturating_sub(1)))
        } else if pressed(egui::Key::ArrowDown) {
            Some(at.map_or(last, |at| (at + 1).min(last)))
        } else {
            None
        };
        if let Some((number, _)) = to.and_then(|to| rows.nth_shown(to)) {
            (self.selected, self.sought) = (Some(number), to);
        }
        if self.selected.is_some() && !asked && pressed(egui::Key::Enter) {
            self.details.focus();
        }
    }
}

fn colour(ui: &Ui, what: &What) -> Option<Color32> {
    match what {
        What::Packet(packet) if Verdict::refuses(packet.verdict as u8) => {
            Some(colours::refused(ui))
        }
        What::Lost(_) | What::Unreadable(_) => Some(colours::lost(ui)),
        _ => None,
    }
}
