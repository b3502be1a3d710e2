//! Page of the programs: what each talked with, how much and since when; and the rule that changes that, by click.

use super::of_the_past::{self, Asking, Reach, last_verdict};
use super::selection::{self, Selection};
use super::titled_table::{TitledTable, sortable};
use super::{Around, Page, PageSource, chart, wide};
use crate::changes::Changes;
use crate::past::{Endpoint, PastSeen, Talker, Wanted};
use crate::window::details::Details;
use crate::window::{colours, table_row};
use eframe::egui::{self, Key, RichText, Ui};
use egui_extras::TableRow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;
use view::history::{Sum, size};
use view::text;
use view::time::day_and_time;

const WIDTHS: [f32; 7] = [330.0, 80.0, 90.0, 70.0, 92.0, 88.0, 150.0];
const TABLE: TitledTable = TitledTable {
    name: "programs",
    widths: &WIDTHS,
    follows: false,
};
/// Width below which the table is scrolled sideways.
const NEEDED: f32 = 1_084.0;
/// Columns that count: their largest come first.
const COUNTS: std::ops::RangeInclusive<usize> = 1..=5;

/// State of the page.
#[derive(Debug, Default)]
pub struct Programs {
    asking: Asking,
    order: Order,
    /// Programs whose endpoints are shown.
    open: BTreeSet<String>,
    selection: Selection<Selected>,
    details: Details,
    lines: Lines,
}

/// Order of the lines: the column, and whether it is reversed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Order {
    column: usize,
    reverse: bool,
}

/// Default order: the programs that received most come first.
impl Default for Order {
    fn default() -> Self {
        Self {
            column: 2,
            reverse: false,
        }
    }
}

/// Program that is selected, or one of its endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Selected {
    program: String,
    endpoint: Option<String>,
}

/// Lines of the table, by the numbers of a program and of its endpoint, and what they were made of.
#[derive(Debug, Default)]
struct Lines {
    of: Option<(Arc<PastSeen>, Order, BTreeSet<String>)>,
    lines: Vec<(usize, Option<usize>)>,
}

impl Page for Programs {
    fn name(&self) -> String {
        text!("tab-programs")
    }

    fn source(&self) -> PageSource {
        PageSource::Past
    }

    fn past(&self) -> Option<&Wanted> {
        Some(&self.asking.wanted)
    }

    fn head(&mut self, ui: &mut Ui, _: &Around<'_>) {
        self.asking.show(ui);
    }

    fn show(&mut self, ui: &mut Ui, around: &Around<'_>) {
        let wanted = self.asking.wanted.clone();
        of_the_past::show(ui, around, &wanted, |ui, seen| {
            self.programs(ui, seen, around);
        });
    }
}

impl Programs {
    fn programs(&mut self, ui: &mut Ui, seen: &Arc<PastSeen>, around: &Around<'_>) {
        self.lines.make(seen, self.order, &self.open);
        self.keys(ui, seen, around.asked);
        self.lines.make(seen, self.order, &self.open);
        let selected = self.selection.get();
        match selected.and_then(|selected| selected.of(seen)) {
            Some((talker, endpoint)) => selection::details(
                self,
                |page| &mut page.selection,
                ui,
                "talker",
                |page, ui| page.details(ui, seen, talker, endpoint, &around.shown.changes),
            ),
            None => self.selection.clear(),
        }
        egui::CentralPanel::default().show(ui, |ui| wide(ui, NEEDED, |ui| self.table(ui, seen)));
    }

    fn table(&mut self, ui: &mut Ui, seen: &PastSeen) {
        let mut order = self.order;
        let titles = titles();
        let title = |ui: &mut Ui, column: usize| {
            if let Some(title) = titles.get(column) {
                order.title(ui, column, title);
            }
        };
        let lines = std::mem::take(&mut self.lines.lines);
        let mut clicked = None;
        let sought = self.selection.sought();
        TABLE.show(ui, lines.len(), sought, title, |mut row| {
            let Some((talker, endpoint)) = lines.get(row.index()).copied() else {
                return;
            };
            let Some(talker) = seen.talkers.get(talker) else {
                return;
            };
            let endpoint = endpoint.and_then(|endpoint| talker.endpoints.get(endpoint));
            let this = Selected::new(talker, endpoint);
            let selected = self.selection.is(&this);
            let open = self.open.contains(&talker.sum.what);
            line(&mut row, &titles, (talker, endpoint), open, selected);
            if row.response().clicked() {
                clicked = Some((this, row.index()));
            }
        });
        self.lines.lines = lines;
        self.order = order;
        if let Some((clicked, row)) = clicked {
            if clicked.endpoint.is_none() {
                self.turn(&clicked.program);
            }
            self.selection.select(clicked, row);
        }
    }

    /// Unfolds a program's endpoints, or folds them.
    fn turn(&mut self, program: &str) {
        if !self.open.remove(program) {
            self.open.insert(program.to_owned());
        }
    }

    /// Takes the keys: the arrow keys choose a line, and unfold and fold; Enter goes to the button; while nothing else
    /// takes them.
    fn keys(&mut self, ui: &Ui, seen: &PastSeen, asked: bool) {
        let lines = &self.lines.lines;
        let of_line = |line: &_| Selected::of_line(seen, *line);
        let row_of = |one: &Selected| {
            let mut lines = lines.iter();
            lines.position(|line| of_line(line).as_ref() == Some(one))
        };
        let at = |row: usize| lines.get(row).and_then(of_line);
        if self.selection.keys(ui, asked, lines.len(), row_of, at) {
            self.details.focus();
        }
        if ui.ctx().egui_wants_keyboard_input() {
            return;
        }
        let pressed = |key| ui.input(|input| input.key_pressed(key));
        if let Some(selected) = self.selection.get().cloned() {
            if pressed(Key::ArrowRight) {
                self.open.insert(selected.program);
            } else if pressed(Key::ArrowLeft) {
                self.open.remove(&selected.program);
                let program = Selected {
                    endpoint: None,
                    ..selected
                };
                if let Some(row) = row_of(&program) {
                    self.selection.select(program, row);
                }
            }
        }
    }

    /// Shows the details of a program or of an endpoint of it, and what can be done. Returns `true` if they are to be
    /// closed.
    fn details(
        &mut self,
        ui: &mut Ui,
        seen: &PastSeen,
        talker: &Talker,
        endpoint: Option<&Endpoint>,
        changes: &Changes,
    ) -> bool {
        let last = match endpoint {
            Some(endpoint) => Some(&endpoint.last),
            None => talker
                .endpoints
                .iter()
                .map(|endpoint| &endpoint.last)
                .max_by_key(|row| row.last),
        };
        let close = selection::head(ui, |ui| {
            let title = match endpoint {
                Some(endpoint) => format!("{}: {}", talker.sum.what, endpoint.sum.what),
                None => talker.sum.what.clone(),
            };
            ui.add(egui::Label::new(RichText::new(title).strong()).wrap());
            let sum = endpoint.map_or(&talker.sum, |endpoint| &endpoint.sum);
            let verdict = last.map(last_verdict).unwrap_or_default();
            ui.add(egui::Label::new(facts(sum, &verdict)).wrap());
        });
        if let Some(contact) = talker.contact {
            let text = RichText::new(contact.words()).color(colours::lost(ui));
            ui.add(egui::Label::new(text).wrap());
        }
        if endpoint.is_none() {
            chart::show(ui, &talker.bars, seen.wanted.since);
        }
        if let Some(last) = last {
            let reach = if endpoint.is_some() {
                Reach::Endpoint
            } else {
                Reach::Program
            };
            of_the_past::change(ui, &mut self.details, last, reach, changes);
        }
        close
    }
}

fn facts(sum: &Sum, last: &str) -> String {
    text!(
        "programs-facts",
        sent = size(sum.bytes_sent),
        received = size(sum.bytes_received),
        first = day_and_time(sum.first),
        last = day_and_time(sum.last),
        verdict = last,
    )
}

fn titles() -> [String; 8] {
    [
        text!("column-program"),
        text!("column-sent"),
        text!("column-received"),
        text!("column-allowed"),
        text!("column-refused"),
        text!("column-asked"),
        text!("column-first"),
        text!("column-last"),
    ]
}

/// Shows the line of a program, or of an endpoint of it.
fn line(
    row: &mut TableRow<'_, '_>,
    titles: &[String],
    (talker, endpoint): (&Talker, Option<&Endpoint>),
    open: bool,
    selected: bool,
) {
    let sum = endpoint.map_or(&talker.sum, |endpoint| &endpoint.sum);
    let (first, said) = match endpoint {
        Some(_) => (format!("        {}", sum.what), sum.what.clone()),
        None => {
            let mark = if open { "–" } else { "+" };
            let count = talker.endpoints.len();
            let counted = format!("{mark}  {}  ({count})", sum.what);
            let marked = |program: String| match talker.contact {
                Some(contact) => {
                    text!("programs-contact", program = program, mark = contact.mark())
                }
                None => program,
            };
            let words = text!(
                "programs-endpoints",
                program = marked(sum.what.clone()),
                count = count
            );
            let words = if open {
                words
            } else {
                text!("folded", words = words)
            };
            (marked(counted), words)
        }
    };
    let cells = [
        first,
        size(sum.bytes_sent),
        size(sum.bytes_received),
        sum.allowed.to_string(),
        sum.refused.to_string(),
        sum.asked.to_string(),
        day_and_time(sum.first),
        day_and_time(sum.last),
    ];
    let counts = titles.iter().zip(&cells).skip(1);
    let counts: Vec<_> = counts
        .map(|(title, cell)| format!("{} {cell}", title.to_lowercase()))
        .collect();
    let words = format!("{said}: {}", counts.join(", "));
    let refused = sum.refused > 0;
    let is_news = endpoint.is_none() && talker.contact.is_some();
    let id = table_row(row, &cells, &words, selected, |ui, column| match column {
        0 if is_news => Some(colours::lost(ui)),
        4 if refused => Some(colours::refused(ui)),
        _ => None,
    });
    if endpoint.is_none() {
        let context = row.response().ctx.clone();
        context.accesskit_node_builder(id, |node| node.set_expanded(open));
    }
}

impl Selected {
    fn new(talker: &Talker, endpoint: Option<&Endpoint>) -> Self {
        Self {
            program: talker.sum.what.clone(),
            endpoint: endpoint.map(|endpoint| endpoint.sum.what.clone()),
        }
    }

    fn of_line(seen: &PastSeen, (talker, endpoint): (usize, Option<usize>)) -> Option<Self> {
        let talker = seen.talkers.get(talker)?;
        let endpoint = match endpoint {
            Some(endpoint) => Some(talker.endpoints.get(endpoint)?),
            None => None,
        };
        Some(Self::new(talker, endpoint))
    }

    /// Returns the program and endpoint as they are now, if they are there still.
    fn of<'a>(&self, seen: &'a PastSeen) -> Option<(&'a Talker, Option<&'a Endpoint>)> {
        let mut talkers = seen.talkers.iter();
        let talker = talkers.find(|talker| talker.sum.what == self.program)?;
        let Some(named) = &self.endpoint else {
            return Some((talker, None));
        };
        let mut endpoints = talker.endpoints.iter();
        let endpoint = endpoints.find(|endpoint| endpoint.sum.what == *named)?;
        Some((talker, Some(endpoint)))
    }
}

impl Lines {
    /// Makes the lines anew if anything that they are made of has changed.
    fn make(&mut self, seen: &Arc<PastSeen>, order: Order, open: &BTreeSet<String>) {
        let made = self.of.as_ref();
        if made.is_some_and(|(of, by, unfolded)| {
            Arc::ptr_eq(of, seen) && *by == order && unfolded == open
        }) {
            return;
        }
        self.lines.clear();
        for talker in order.sorted(&seen.talkers, |talker| &talker.sum) {
            self.lines.push((talker, None));
            let endpoints = seen
                .talkers
                .get(talker)
                .filter(|it| open.contains(&it.sum.what));
            let endpoints =
                endpoints.map(|it| order.sorted(&it.endpoints, |endpoint| &endpoint.sum));
            let endpoints = endpoints.into_iter().flatten();
            self.lines
                .extend(endpoints.map(|endpoint| (talker, Some(endpoint))));
        }
        self.of = Some((seen.clone(), order, open.clone()));
    }
}

impl Order {
    /// Shows a column's title; a click orders by it, or the other way round.
    fn title(&mut self, ui: &mut Ui, column: usize, title: &str) {
        let mine = (self.column == column).then_some(self.reverse);
        if sortable(ui, title, mine) {
            *self = Self {
                column,
                reverse: mine == Some(false),
            };
        }
    }

    /// Returns the numbers of all in their order.
    fn sorted<T>(self, all: &[T], sum: impl Fn(&T) -> &Sum) -> Vec<usize> {
        let mut numbers: Vec<_> = (0..all.len()).collect();
        numbers.sort_by(|a, b| {
            let (a, b) = (sum(&all[*a]), sum(&all[*b]));
            let by = self.compare(a, b);
            let by = if self.reverse { by.reverse() } else { by };
            by.then_with(|| a.what.cmp(&b.what))
        });
        numbers
    }

    fn compare(self, a: &Sum, b: &Sum) -> Ordering {
        let number = |sum: &Sum| match self.column {
            1 => sum.bytes_sent,
            2 => sum.bytes_received,
            3 => sum.allowed,
            4 => sum.refused,
            5 => sum.asked,
            6 => sum.first,
            _ => sum.last,
        };
        match self.column {
            0 => a.what.cmp(&b.what),
            // The largest and the latest first.
            column if COUNTS.contains(&column) || column > 5 => number(b).cmp(&number(a)),
            _ => Ordering::Equal,
        }
    }
}
