//! Live page: what was refused and what was started, as it happens; put together by program and endpoint, or each by
//! itself.

use super::filter_line::FilterLine;
use super::selection::Panel;
use super::titled_table::{TitledTable, sortable};
use super::{Around, Page, PageSource, arrows, is_entered, saving, until_it_is_back, wide};
use crate::past::{Content, Entries};
use crate::window::details::Details;
use crate::window::{Shown, colours, table_row};
use eframe::egui::{self, Color32, Key, RichText, Ui};
use egui_extras::TableRow;
use firewall_abi::packet::Verdict;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use view::entry::{self, COLUMNS, EntryContent};
use view::filter::Filter;
use view::kept::{self, By, Line, Order, TOGETHER};
use view::text;

/// Largest number of rows that one painting looks through for the filter.
const LOOKED_THROUGH_AT_ONCE: usize = 5_000;
/// Width below which the table is scrolled sideways.
const NEEDED: f32 = 1_002.0;
const EACH: TitledTable = TitledTable {
    name: "live",
    widths: &[96.0, 156.0, 90.0, 66.0, 330.0, 190.0],
    follows: true,
};
const BY_ENDPOINT: TitledTable = TitledTable {
    name: "live-together",
    widths: &[112.0, 156.0, 90.0, 56.0, 190.0, 260.0],
    follows: true,
};
/// Keys by which the columns put groups in order.
const ORDERS: [By; TOGETHER] = [
    By::Last,
    By::What,
    By::Way,
    By::Times,
    By::Program,
    By::Endpoint,
    By::Rule,
];
/// Shortest time between two arrangements while things happen.
const ARRANGED_FOR: Duration = Duration::from_secs(1);
/// Factor of the time that an arrangement took, for which the lines are left as they are.
const SHARE: u32 = 20;

/// State of the page.
pub struct Live {
    filter: FilterLine,
    paused: bool,
    pub(in crate::window) together: bool,
    order: Order,
    arranged: Option<Arranged>,
    selected: Option<Selected>,
    pub(in crate::window) painted: PaintedRows,
    details: Details,
    panel: Panel,
    /// Row that is to be brought into sight.
    sought: Option<usize>,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            filter: FilterLine::default(),
            paused: false,
            together: true,
            order: Order::default(),
            arranged: None,
            selected: None,
            painted: PaintedRows::default(),
            details: Details::default(),
            panel: Panel::default(),
            sought: None,
        }
    }
}

/// Arrangement of the lines: their order, what was there then, and how long that is good for.
#[derive(Clone, Copy, Debug)]
struct Arranged {
    order: Order,
    looked_until: u64,
    until: Instant,
}

/// Entry that is selected: by its own line, or as the last one of its group when that was selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Selected {
    number: u64,
    as_group: bool,
}

impl Selected {
    fn of(line: Line, rows: &kept::Rows) -> Option<Self> {
        Some(match line {
            Line::Group(id) => Self {
                number: rows.group(id)?.last,
                as_group: true,
            },
            Line::Entry(number) => Self {
                number,
                as_group: false,
            },
        })
    }

    fn line(self, rows: &kept::Rows) -> Option<Line> {
        if self.as_group {
            rows.group_of(self.number).map(Line::Group)
        } else {
            Some(Line::Entry(self.number))
        }
    }
}

/// Cells of the rows that were painted last, by the rows' numbers: a row's text is made when it comes into sight, and
/// no other's is.
#[derive(Default)]
pub(in crate::window) struct PaintedRows {
    pub(in crate::window) last: HashMap<u64, Arc<RowText>>,
    now: HashMap<u64, Arc<RowText>>,
}

/// Row as it is painted, and as a screen reader says it.
pub(in crate::window) struct RowText {
    cells: [String; COLUMNS],
    line: String,
    colour: RowColour,
}

/// Meaning of a row's colour.
#[derive(Clone, Copy)]
enum RowColour {
    Refused,
    Lost,
    News,
    Nothing,
}

impl PaintedRows {
    fn of(&mut self, number: u64, rows: &kept::Rows) -> Option<Arc<RowText>> {
        let known = self.now.get(&number).or_else(|| self.last.get(&number));
        let text = match known {
            Some(known) => known.clone(),
            None => {
                let entry = rows.entry(number)?;
                let cells = entry.cells();
                Arc::new(RowText {
                    line: cells.join(" "),
                    cells,
                    colour: RowColour::of(&entry.what),
                })
            }
        };
        self.now.insert(number, text.clone());
        Some(text)
    }

    /// Forgets the rows that were not painted this time.
    fn end_of_painting(&mut self) {
        self.last = std::mem::take(&mut self.now);
    }
}

impl Page for Live {
    fn name(&self) -> String {
        text!("tab-live")
    }

    fn source(&self) -> PageSource {
        PageSource::Driver
    }

    /// Shows the filter, and the number of rows that it lets through.
    fn head(&mut self, ui: &mut Ui, around: &Around<'_>) {
        let mut rows = around.shown.rows();
        if rows.kept.look_through(LOOKED_THROUGH_AT_ONCE) {
            ui.ctx().request_repaint_after(Duration::from_millis(1));
        }
        ui.horizontal_wrapped(|ui| {
            if self.filter.show(ui, Filter::parse) {
                rows.kept.filter(self.filter.filter().clone());
                self.arranged = None;
                ui.ctx().request_repaint();
            }
            if ui
                .toggle_value(&mut self.paused, text!("live-pause"))
                .changed()
            {
                rows.kept.pause(self.paused);
            }
            let together = ui.toggle_value(&mut self.together, text!("live-together"));
            together.on_hover_text(text!("live-together-help"));
            let until = rows.kept.shown_until();
            saving::buttons(ui, &around.shown.past, rows.kept.shown() > 0, || {
                Content::Entries(entries(around.shown, until))
            });
            ui.label(RichText::new(rows.counts()).weak());
        });
        drop(rows);
        saving::outcome(ui, &around.shown.past);
    }

    /// Shows the rows, and the details of the one that is selected.
    fn show(&mut self, ui: &mut Ui, around: &Around<'_>) {
        let rows = &mut *around.shown.rows();
        let changes = &around.shown.changes;
        if self.together {
            self.arrange(ui, &mut rows.kept);
            self.keys_together(ui, &mut rows.kept);
        } else {
            self.keys_each(ui, &rows.kept);
        }
        if self.selected.is_some() && is_entered(ui, around.asked) {
            self.details.focus();
        }
        if let Some(Selected { number, .. }) = self.selected
            && let Some(entry) = rows.kept.entry(number)
        {
            let show = |ui: &mut Ui| self.details.show(ui, number, &entry, changes);
            if self.panel.show(ui, EACH.name, show) {
                self.selected = None;
            }
        }
        egui::CentralPanel::default().show(ui, |ui| match rows.ended() {
            Some(why) if rows.is_empty() => until_it_is_back(ui, why),
            _ if self.together => wide(ui, NEEDED, |ui| self.by_endpoint(ui, &mut rows.kept)),
            _ => wide(ui, NEEDED, |ui| self.each(ui, &rows.kept)),
        });
    }
}

/// Returns the entries that are shown now, some at a time, for whoever writes them into a file.
fn entries(shown: &Arc<Shown>, until: u64) -> Entries {
    let shown = shown.clone();
    Entries::new(until, move |from, most| {
        shown.rows().kept.shown_from(from, most)
    })
}

impl Live {
    /// Shows each entry by itself.
    fn each(&mut self, ui: &mut Ui, rows: &kept::Rows) {
        let sought = self.sought.take();
        EACH.with_titles(ui, rows.shown(), sought, &entry::titles(), |mut row| {
            let Some(number) = rows.nth_shown(row.index()) else {
                return;
            };
            let Some(text) = self.painted.of(number, rows) else {
                return;
            };
            let this = Selected {
                number,
                as_group: false,
            };
            let selected = self.selected.is_some_and(|it| it.number == number);
            table_row(&mut row, &text.cells, &text.line, selected, |ui, _| {
                text.colour.shown(ui)
            });
            // Already when it is pressed: while rows come, another one may lie there at the release.
            let response = row.response();
            if response.clicked() || response.is_pointer_button_down_on() {
                self.selected = Some(this);
            }
        });
        self.painted.end_of_painting();
    }

    /// Shows a row for each program and endpoint.
    fn by_endpoint(&mut self, ui: &mut Ui, rows: &mut kept::Rows) {
        rows.settle();
        let mut order = self.order;
        let by_endpoint = TitledTable {
            // What is selected stays in sight.
            follows: self.selected.is_none(),
            ..BY_ENDPOINT
        };
        let titles = kept::together_titles();
        let title = |ui: &mut Ui, column: usize| {
            if let (Some(title), Some(by)) = (titles.get(column), ORDERS.get(column)) {
                title_of(ui, &mut order, *by, title);
            }
        };
        let selected_line = self.selected.and_then(|it| it.line(rows));
        let mut clicked = None;
        by_endpoint.show(ui, rows.lines(), self.sought.take(), title, |mut row| {
            let Some(line) = rows.line(row.index()) else {
                return;
            };
            let selected = selected_line == Some(line);
            let shown = match line {
                Line::Group(id) => group_line(&mut row, rows, id, selected),
                Line::Entry(number) => entry_line(&mut row, rows, number, selected),
            };
            let response = row.response();
            if shown.is_some() && response.clicked() {
                clicked = Some((line, row.index()));
            }
        });
        if order != self.order {
            self.order = order;
            ui.ctx().request_repaint();
        }
        if let Some((line, row)) = clicked {
            self.sought = Some(row);
            self.selected = Selected::of(line, rows);
            if let Line::Group(id) = line {
                turn(rows, id);
            }
        }
    }

    /// Puts the lines in order, at once if another order was asked for, else now and then: what is read does not run
    /// away. In the order in which they came, each line keeps its place.
    fn arrange(&mut self, ui: &Ui, rows: &mut kept::Rows) {
        let looked_until = rows.looked_until();
        let (now, mut rest) = (Instant::now(), None);
        if let Some(arranged) = self.arranged.filter(|it| it.order == self.order) {
            if arranged.looked_until == looked_until || self.order == Order::default() {
                return;
            }
            rest = Some(arranged.until.saturating_duration_since(now));
        }
        if let Some(rest) = rest.filter(|rest| !rest.is_zero()) {
            ui.ctx().request_repaint_after(rest);
            return;
        }
        rows.arrange(self.order);
        self.arranged = Some(Arranged {
            order: self.order,
            looked_until,
            until: now + ARRANGED_FOR.max(now.elapsed() * SHARE),
        });
    }

    /// Has the arrow keys choose a row.
    fn keys_each(&mut self, ui: &Ui, rows: &kept::Rows) {
        let at = self.selected.and_then(|it| rows.place_of(it.number));
        let to = live_arrows(ui, at, rows.shown());
        if let Some(number) = to.and_then(|to| rows.nth_shown(to)) {
            let as_group = false;
            self.selected = Some(Selected { number, as_group });
            self.sought = to;
        }
    }

    /// Has the arrow keys choose a line, and unfold and fold.
    fn keys_together(&mut self, ui: &Ui, rows: &mut kept::Rows) {
        if ui.ctx().egui_wants_keyboard_input() {
            return;
        }
        rows.settle();
        let pressed = |key| ui.input(|input| input.key_pressed(key));
        let line = self.selected.and_then(|it| it.line(rows));
        if let Some(line) = line {
            let group = match line {
                Line::Group(id) => Some(id),
                Line::Entry(number) => rows.group_of(number),
            };
            if let (Some(id), true) = (group, pressed(Key::ArrowRight)) {
                rows.unfold(id);
                rows.settle();
            } else if let (Some(id), true) = (group, pressed(Key::ArrowLeft)) {
                rows.fold(id);
                rows.settle();
                self.selected = Selected::of(Line::Group(id), rows);
                self.sought = rows.line_place(Line::Group(id));
            }
        }
        // Where a line is takes a look at each group, and most of the time nobody presses a key.
        if live_arrows(ui, None, rows.lines()).is_none() {
            return;
        }
        let at = line.and_then(|line| rows.line_place(line));
        let to = live_arrows(ui, at, rows.lines());
        if let Some(line) = to.and_then(|to| rows.line(to)) {
            (self.selected, self.sought) = (Selected::of(line, rows), to);
        }
    }
}

/// Returns the row to which the arrow keys lead from this one of so many; from none to the newest.
fn live_arrows(ui: &Ui, at: Option<usize>, rows: usize) -> Option<usize> {
    let to = arrows(ui, at, rows)?;
    Some(if at.is_some() { to } else { rows - 1 })
}

/// Shows a column's title: a click orders by it, the next the other way round, and one more as it was.
fn title_of(ui: &mut Ui, order: &mut Order, by: By, title: &str) {
    let mine = (order.by == by).then_some(order.reverse);
    if sortable(ui, title, mine) {
        *order = match mine {
            None => Order { by, reverse: false },
            Some(false) => Order { by, reverse: true },
            Some(true) => Order::default(),
        };
    }
}

/// Unfolds a group, or folds it.
fn turn(rows: &mut kept::Rows, id: u32) {
    if rows.is_unfolded(id) {
        rows.fold(id);
    } else {
        rows.unfold(id);
    }
}

fn group_line(
    row: &mut TableRow<'_, '_>,
    rows: &kept::Rows,
    id: u32,
    selected: bool,
) -> Option<()> {
    let kept::GroupLine {
        mut cells,
        count,
        last,
    } = rows.group_line(id)?;
    let open = rows.is_unfolded(id);
    let [time, what, way, _, program, endpoint, rule] = &cells;
    let words = [what, way, program, endpoint, rule];
    let words: Vec<_> = words.into_iter().filter(|it| !it.is_empty()).collect();
    let words = words
        .into_iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(" ");
    let words = text!("live-group", words = words, times = count, last = time);
    let words = if open {
        words
    } else {
        text!("folded", words = words)
    };
    cells[0] = format!("{}  {}", if open { "–" } else { "+" }, cells[0]);
    let colour = RowColour::of(&last.what);
    let line = table_row(row, &cells, &words, selected, |ui, _| colour.shown(ui));
    let context = row.response().ctx.clone();
    context.accesskit_node_builder(line, |node| node.set_expanded(open));
    Some(())
}

fn entry_line(
    row: &mut TableRow<'_, '_>,
    rows: &kept::Rows,
    number: u64,
    selected: bool,
) -> Option<()> {
    let entry = rows.entry(number)?;
    let mut cells = kept::entry_cells(&entry);
    let words = entry.cells().join(" ");
    cells[0] = format!("     {}", cells[0]);
    let colour = RowColour::of(&entry.what);
    table_row(row, &cells, &words, selected, |ui, _| colour.shown(ui));
    Some(())
}

impl RowColour {
    fn of(what: &EntryContent) -> Self {
        match what {
            EntryContent::Packet(packet) if Verdict::refuses(packet.verdict as u8) => Self::Refused,
            EntryContent::Lost(_) | EntryContent::Unreadable(_) => Self::Lost,
            EntryContent::Contact(_) => Self::News,
            EntryContent::Packet(_) | EntryContent::Process(_) => Self::Nothing,
        }
    }

    fn shown(self, ui: &Ui) -> Option<Color32> {
        match self {
            Self::Refused => Some(colours::refused(ui)),
            // As on the page of the programs.
            Self::Lost | Self::News => Some(colours::lost(ui)),
            Self::Nothing => None,
        }
    }
}
