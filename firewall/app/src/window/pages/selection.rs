//! Selection in a page's table, and the panel below the table with its details.

use super::{arrows, colours, is_entered};
use eframe::egui::{self, Ui};

/// Part of the window's height that details take at most.
const MOST_OF_HEIGHT: f32 = 0.5;

/// Selection in a table, by what tells its row from others.
#[derive(Debug)]
pub struct Selection<T> {
    selected: Option<T>,
    is_new: bool,
    /// Row that is to be brought into sight.
    sought: Option<usize>,
    panel: Panel,
}

impl<T> Default for Selection<T> {
    fn default() -> Self {
        Self {
            selected: None,
            is_new: false,
            sought: None,
            panel: Panel::default(),
        }
    }
}

impl<T: PartialEq> Selection<T> {
    /// Returns what is selected.
    pub fn get(&self) -> Option<&T> {
        self.selected.as_ref()
    }

    /// Returns whether this is selected.
    pub fn is(&self, one: &T) -> bool {
        self.get() == Some(one)
    }

    /// Selects this, whose row is to be brought into sight.
    pub fn select(&mut self, one: T, row: usize) {
        self.is_new |= !self.is(&one);
        self.selected = Some(one);
        self.sought = Some(row);
    }

    /// Selects nothing.
    pub fn clear(&mut self) {
        self.selected = None;
    }

    /// Returns the row that is to be brought into sight, once.
    pub fn sought(&mut self) -> Option<usize> {
        self.sought.take()
    }

    /// Returns whether something else is selected than when this was asked last.
    pub fn is_new(&mut self) -> bool {
        std::mem::take(&mut self.is_new)
    }

    /// Has the arrow keys select one of so many rows. `row_of` returns the row of something, `at` what is in a row.
    /// Returns `true` if Enter was pressed, and something is selected that it can go to.
    pub fn keys(
        &mut self,
        ui: &Ui,
        asked: bool,
        rows: usize,
        row_of: impl FnOnce(&T) -> Option<usize>,
        at: impl FnOnce(usize) -> Option<T>,
    ) -> bool {
        // Most of the time nobody presses a key, and where it is now may take a look at each row.
        if arrows(ui, None, rows).is_some() {
            let from = self.get().and_then(row_of);
            let to = arrows(ui, from, rows);
            if let Some((row, one)) = to.and_then(|row| Some((row, at(row)?))) {
                self.select(one, row);
            }
        }
        self.selected.is_some() && is_entered(ui, asked)
    }
}

/// Shows the details of what is selected on a page, in the panel below its table. `show` returns whether they are to be
/// closed.
pub fn details<P, T: PartialEq>(
    page: &mut P,
    selection: fn(&mut P) -> &mut Selection<T>,
    ui: &mut Ui,
    name: &str,
    show: impl FnOnce(&mut P, &mut Ui) -> bool,
) {
    let mut panel = std::mem::take(&mut selection(page).panel);
    let close = panel.show(ui, name, |ui| {
        colours::bright(ui);
        ui.add_space(4.0);
        let close = show(page, ui);
        ui.add_space(4.0);
        close
    });
    selection(page).panel = panel;
    if close {
        selection(page).clear();
    }
}

/// Shows the head of details: what they are of, and beside it the button that closes them. Returns `true` if that was
/// clicked.
pub fn head(ui: &mut Ui, add: impl FnOnce(&mut Ui)) -> bool {
    head_with(ui, |_| {}, add)
}

/// Shows the head of details with more buttons.
pub fn head_with(ui: &mut Ui, buttons: impl FnOnce(&mut Ui), add: impl FnOnce(&mut Ui)) -> bool {
    let mut close = false;
    ui.horizontal_top(|ui| {
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Min), |ui| {
            close = ui.button(view::text!("close")).clicked();
            buttons(ui);
            ui.with_layout(egui::Layout::top_down(egui::Align::Min), add);
        });
    });
    close
}

/// Panel of details, as high as they are; of what finds no room the rest is scrolled to.
#[derive(Debug, Default)]
pub struct Panel {
    needed: f32,
}

impl Panel {
    /// Shows the details.
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
