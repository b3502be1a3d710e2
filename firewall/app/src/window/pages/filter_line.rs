//! Line that a filter is typed into.

use crate::window::colours;
use eframe::egui::{self, RichText, Ui};
use view::filter::{Filter, WrongFilter};
use view::text;

/// Width of the line where there is room for it, and the part of the room that it takes where there is less.
const WIDTH: f32 = 320.0;
const PART: f32 = 0.5;

/// Text that is typed, and the filter that it means.
#[derive(Debug, Default)]
pub struct FilterLine {
    text: String,
    /// Error in the text. The filter that was right before holds on.
    wrong: Option<WrongFilter>,
    filter: Filter,
}

impl FilterLine {
    /// Returns the filter.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Shows the line, and below it the error, as `parse` says. Returns `true` if the filter is another one.
    pub fn show(&mut self, ui: &mut Ui, parse: fn(&str) -> Result<Filter, WrongFilter>) -> bool {
        let label = ui.label(text!("filter"));
        let edit = egui::TextEdit::singleline(&mut self.text)
            .hint_text(text!("filter-hint"))
            .desired_width(WIDTH.min(PART * ui.available_width()));
        let typed = ui.add(edit).labelled_by(label.id);
        let typed = typed.on_hover_text(text!("filter-help"));
        if let Some(wrong) = &self.wrong {
            ui.label(RichText::new(wrong.to_string()).color(colours::lost(ui)));
        }
        if !typed.changed() {
            return false;
        }
        match parse(&self.text) {
            Ok(filter) => {
                self.wrong = None;
                std::mem::replace(&mut self.filter, filter) != self.filter
            }
            Err(wrong) => {
                self.wrong = Some(wrong);
                false
            }
        }
    }
}
