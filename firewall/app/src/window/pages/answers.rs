//! Page of the answers: what was answered and holds, and what takes it back.

use super::selection::{self, Selection};
use super::titled_table::TitledTable;
use super::{Around, Page, PageSource, not_yet, of_the_service, wide};
use crate::changes::{Changes, Order};
use crate::overview::Part;
use crate::window::{colours, table_row};
use control::{Forgotten, HeldAnswer};
use eframe::egui::{self, RichText, Ui};
use egui_extras::TableRow;
use view::answer;
use view::entry::way_named;
use view::text;
use view::time::day_and_time;

const WIDTHS: [f32; 7] = [72.0, 240.0, 62.0, 76.0, 260.0, 190.0, 120.0];
const TABLE: TitledTable = TitledTable {
    name: "answers",
    widths: &WIDTHS,
    follows: false,
};
/// Width below which the table is scrolled sideways.
const NEEDED: f32 = 1_190.0;

/// State of the page.
#[derive(Debug, Default)]
pub struct Answers {
    /// Answer that is selected, by its identifier.
    selection: Selection<String>,
    /// `true` if the button is to get the focus.
    focus: bool,
}

impl Page for Answers {
    fn name(&self) -> String {
        text!("tab-answers")
    }

    fn source(&self) -> PageSource {
        PageSource::Service(Part::Answers)
    }

    fn show(&mut self, ui: &mut Ui, around: &Around<'_>) {
        of_the_service(ui, around, |ui, seen| match &seen.answers {
            None => drop(egui::CentralPanel::default().show(ui, |ui| not_yet(ui, true))),
            Some(held) if held.is_empty() => {
                egui::CentralPanel::default().show(ui, none_holds);
            }
            Some(held) => self.answers(ui, held, around),
        });
    }
}

/// Shows what is to be known where no answer holds.
fn none_holds(ui: &mut Ui) {
    colours::bright(ui);
    ui.add_space(16.0);
    ui.add(egui::Label::new(text!("answers-none")).wrap());
}

impl Answers {
    fn answers(&mut self, ui: &mut Ui, held: &[HeldAnswer], around: &Around<'_>) {
        self.focus |= self.selection.keys(
            ui,
            around.asked,
            held.len(),
            |id| held.iter().position(|one| one.id == *id),
            |row| held.get(row).map(|one| one.id.clone()),
        );
        let selected = self.selection.get();
        match selected.and_then(|id| held.iter().find(|one| one.id == *id)) {
            Some(one) => selection::details(
                self,
                |page| &mut page.selection,
                ui,
                "answer",
                |page, ui| page.details(ui, one, held, &around.shown.changes),
            ),
            None => self.selection.clear(),
        }
        egui::CentralPanel::default().show(ui, |ui| wide(ui, NEEDED, |ui| self.table(ui, held)));
    }

    fn table(&mut self, ui: &mut Ui, held: &[HeldAnswer]) {
        let sought = self.selection.sought();
        TABLE.with_titles(ui, held.len(), sought, &titles(), |mut row| {
            let Some(one) = held.get(row.index()) else {
                return;
            };
            let selected = self.selection.is(&one.id);
            line(&mut row, one, selected);
            if row.response().clicked() {
                self.selection.select(one.id.clone(), row.index());
            }
        });
    }

    /// Shows an answer's details, and what takes it back. Returns `true` if they are to be closed.
    fn details(
        &mut self,
        ui: &mut Ui,
        one: &HeldAnswer,
        held: &[HeldAnswer],
        changes: &Changes,
    ) -> bool {
        let close = selection::head(ui, |ui| {
            let title = text!(
                "answers-title",
                outcome = outcome(one),
                what = answer::sentence(one),
            );
            ui.add(egui::Label::new(RichText::new(title).strong()).wrap());
            let facts = text!(
                "answers-facts",
                lasts = answer::lasts(one),
                by = answer::by(one),
            );
            ui.add(egui::Label::new(facts).wrap());
        });
        let state = changes.look();
        let possible = state.is_followed() && state.on_its_way().is_none();
        drop(state);
        let about_it = |other: &&HeldAnswer| one.program.is_some() && other.program == one.program;
        let of_program = held.iter().filter(about_it).count();
        ui.horizontal_wrapped(|ui| {
            let words = RichText::new(text!("answers-take-back")).strong();
            let button = ui.add_enabled(possible, egui::Button::new(words));
            if std::mem::take(&mut self.focus) {
                button.request_focus();
            }
            if button.clicked() {
                let those = Forgotten::Those(vec![one.id.clone()]);
                changes.order(Order::Forget(those));
            }
            if let (Some(program), true) = (&one.program, of_program > 1) {
                let words = text!("answers-take-back-all", count = of_program);
                let button = ui.add_enabled(possible, egui::Button::new(words));
                if button.clicked() {
                    let of_program = Forgotten::Program(program.clone());
                    changes.order(Order::Forget(of_program));
                }
            }
            ui.label(text!("answers-asked-again"));
        });
        close
    }
}

fn outcome(one: &HeldAnswer) -> String {
    if one.verdict == "allow" {
        text!("what-allowed")
    } else {
        text!("what-refused")
    }
}

fn titles() -> [String; 8] {
    [
        text!("column-what"),
        text!("column-program"),
        text!("column-user"),
        text!("column-way"),
        text!("column-endpoint"),
        text!("column-holds"),
        text!("column-by"),
        text!("column-when"),
    ]
}

fn line(row: &mut TableRow<'_, '_>, one: &HeldAnswer, selected: bool) {
    let cells = [
        outcome(one),
        answer::program(one),
        one.user.map_or_else(String::new, |user| user.to_string()),
        way_named(&one.direction),
        answer::endpoint(one),
        answer::lasts(one),
        answer::by(one),
        one.at.map_or_else(String::new, day_and_time),
    ];
    let words = text!(
        "answers-row",
        outcome = &cells[0],
        what = answer::sentence(one),
        lasts = &cells[5],
        by = &cells[6],
    );
    let allowed = one.verdict == "allow";
    table_row(row, &cells, &words, selected, |ui, column| match column {
        0 if allowed => Some(colours::allowed(ui)),
        0 => Some(colours::refused(ui)),
        _ => None,
    });
}
