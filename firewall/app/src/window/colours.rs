//! Colours that say something, readable on a dark and on a light ground.

use eframe::egui::{Color32, Ui};

/// Returns the colour of what was refused.
pub fn refused(ui: &Ui) -> Color32 {
    by_ground(ui, [0xe0, 0x6c, 0x5b], [0xb0, 0x2a, 0x1a])
}

/// Returns the colour of what is allowed.
pub fn allowed(ui: &Ui) -> Color32 {
    by_ground(ui, [0x7c, 0xc0, 0x7c], [0x1d, 0x6f, 0x2b])
}

/// Returns the colour of what was lost, and of what is not as it should be.
pub fn lost(ui: &Ui) -> Color32 {
    by_ground(ui, [0xf2, 0xb1, 0x34], [0x8a, 0x57, 0x00])
}

/// Makes text that is there to be read as bright as a button's.
pub fn bright(ui: &mut Ui) {
    let visuals = ui.visuals_mut();
    visuals.widgets.noninteractive.fg_stroke = visuals.widgets.inactive.fg_stroke;
}

fn by_ground(ui: &Ui, dark: [u8; 3], light: [u8; 3]) -> Color32 {
    let [red, green, blue] = if ui.visuals().dark_mode { dark } else { light };
    Color32::from_rgb(red, green, blue)
}
