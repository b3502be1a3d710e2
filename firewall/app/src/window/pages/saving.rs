//! Buttons that write what is shown into a file of the user's, and the outcome.

use crate::past::{Content, Format, Past, Save};
use crate::window::colours;
use eframe::egui::{self, RichText, Ui};
use view::text;

/// Shows the buttons; where nobody writes, there are none.
pub fn buttons(ui: &mut Ui, past: &Past, possible: bool, content: impl FnOnce() -> Content) {
    if !past.look().is_followed() {
        return;
    }
    let mut wanted = None;
    for format in [Format::Csv, Format::Json] {
        let button = egui::Button::new(text!("save-as", format = format.name()));
        if ui.add_enabled(possible, button).clicked() {
            wanted = Some(format);
        }
    }
    if let Some(format) = wanted {
        past.save(Save::usual(content(), format));
    }
}

/// Shows the path of the file that was written, or why none was.
pub fn outcome(ui: &mut Ui, past: &Past) {
    let saved = past.look().saved().cloned();
    let Some(saved) = saved else {
        return;
    };
    ui.horizontal_wrapped(|ui| {
        colours::bright(ui);
        match saved {
            Ok(path) => drop(ui.strong(text!("save-written", file = path.display().to_string()))),
            Err(why) => {
                let colour = ui.visuals().error_fg_color;
                ui.label(RichText::new(text!("save-not-written", why = why)).color(colour));
            }
        }
        if ui.button(text!("done")).clicked() {
            past.dismiss();
        }
    });
}
