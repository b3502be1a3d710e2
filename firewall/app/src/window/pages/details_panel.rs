//! The panel below a table, of what is selected in it.

use eframe::egui::{self, Ui};

/// The part of the window's height that details take at most.
const MOST_OF_HEIGHT: f32 = 0.5;

/// A panel of details, as high as they are; of what finds no room the rest is scrolled to.
#[derive(Debug, Default)]
pub struct DetailsPanel {
    needed: f32,
}

impl DetailsPanel {
    /// Shows them.
    pub fn show<T>(&mut self, ui: &mut Ui, name: &str, add: impl FnOnce(&mut Ui) -> T) -> T {
        let most = ui.ctx().content_rect().height() * MOST_OF_HEIGHT;
        let room = (self.needed.ceil() + 1.0).min(most);
        let margins = egui::Frame::side_top_panel(ui.style()).total_margin();
        let panel = egui::Panel::bottom(name.to_owned()).exact_size(room + margins.sum().y);
        let shown = panel.show(ui, |ui| {
            let scrolled = egui::ScrollArea::vertical().max_height(room);
            scrolled.auto_shrink(false).show(ui, add)
        });
        let needed = shown.inner.content_size.y;
        if (needed - self.needed).abs() > 0.5 {
            self.needed = needed;
            ui.ctx().request_discard("the details have another height");
        }
        shown.inner.inner
    }
}
