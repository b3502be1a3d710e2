//! The table that each page has: its columns, its titles, and how it is chosen from.

use super::{ROW, colours};
use eframe::egui::{self, RichText, Ui, accesskit};
use egui_extras::{Column, Table, TableBuilder};
use view::text;

/// What makes one page's table unlike another's.
#[derive(Clone, Copy)]
pub struct TitledTable {
    /// By which egui remembers how wide its columns were made.
    pub name: &'static str,
    /// How wide each column is at first, but for the last one, which has what is left.
    pub widths: &'static [f32],
    /// Whether it follows what is added at its end.
    pub follows: bool,
}

impl TitledTable {
    /// The table with its titles, the row in sight that is sought.
    pub fn show<'a>(
        self,
        ui: &'a mut Ui,
        sought: Option<usize>,
        mut title: impl FnMut(&mut Ui, usize),
    ) -> Table<'a> {
        colours::bright(ui);
        let mut table = TableBuilder::new(ui)
            .id_salt(self.name)
            .striped(true)
            .resizable(true)
            .stick_to_bottom(self.follows)
            .auto_shrink(false)
            // Rows are chosen by the arrow keys: Tab goes past them, to what can be done.
            .sense(egui::Sense::CLICK);
        if let Some(sought) = sought {
            table = table.scroll_to_row(sought, None);
        }
        for width in self.widths {
            table = table.column(Column::initial(*width).clip(true));
        }
        let table = table.column(Column::remainder().clip(true));
        table.header(ROW, |mut header| {
            for column in 0..=self.widths.len() {
                header.col(|ui| title(ui, column));
            }
        })
    }

    /// The same, each title as it is.
    pub fn with_titles<'a>(
        self,
        ui: &'a mut Ui,
        sought: Option<usize>,
        titles: &[String],
    ) -> Table<'a> {
        self.show(ui, sought, |ui, column| {
            if let Some(title) = titles.get(column) {
                ui.strong(title);
            }
        })
    }
}

/// The title of a column that a table can be ordered by. `mine`: it is ordered by this one, the other way round or not. True: it was clicked.
pub fn sortable(ui: &mut Ui, title: &str, mine: Option<bool>) -> bool {
    let mark = match mine {
        None => "",
        Some(false) => " v",
        Some(true) => " ^",
    };
    let words = RichText::new(format!("{title}{mark}")).strong();
    let button = ui.add(egui::Button::new(words).frame(false));
    let said = text!("order-by", column = title.to_lowercase());
    button.widget_info(|| {
        egui::WidgetInfo::selected(accesskit::Role::Button, true, mine.is_some(), said.as_str())
    });
    button.clicked()
}
