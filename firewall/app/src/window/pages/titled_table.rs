//! Table of a page: its columns, its titles, and how it is chosen from.

use super::{ROW, colours};
use eframe::egui::scroll_area::ScrollAreaOutput;
use eframe::egui::{self, RichText, Ui, accesskit};
use egui_extras::{Column, TableBuilder, TableRow};
use view::text;

/// Description of one page's table.
#[derive(Clone, Copy)]
pub struct TitledTable {
    /// Name by which egui remembers how wide the table's columns were made.
    pub name: &'static str,
    /// Width of each column at first, but for the last one, which has what is left.
    pub widths: &'static [f32],
    /// `true` if the table follows what is added at its end.
    pub follows: bool,
}

impl TitledTable {
    /// Shows so many rows below their titles, the row in sight that is sought.
    pub fn show(
        self,
        ui: &mut Ui,
        rows: usize,
        sought: Option<usize>,
        mut title: impl FnMut(&mut Ui, usize),
        row: impl FnMut(TableRow<'_, '_>),
    ) {
        colours::bright(ui);
        let id = ui.scope_id().with(self.name);
        let before = ui.data(|data| data.get_temp::<Painted>(id));
        let sought = sought.or(before.and_then(|it| it.sought_among(rows)));
        let asked = Asked {
            rows,
            room: ui.available_height(),
            height: ROW + ui.spacing().item_spacing.y,
            follows: self.follows,
            sought,
        };
        let offset = before.and_then(|it| it.offset_for(asked));
        let table = self.table(ui, asked, offset);
        let table = table.header(ROW, |mut header| {
            for column in 0..=self.widths.len() {
                header.col(|ui| title(ui, column));
            }
        });
        let shown = table.body(|body| body.rows(ROW, rows, row));
        let wanted = offset.or(before.map(|it| it.offset));
        let painted = Painted::new(asked, wanted, &shown);
        ui.data_mut(|data| data.insert_temp(id, painted));
    }

    fn table(self, ui: &mut Ui, asked: Asked, offset: Option<f32>) -> TableBuilder<'_> {
        if offset.is_some() {
            // Beyond where the end was, egui would spring back to there.
            ui.spacing_mut().scroll.kinetic.rubber_band = false;
        }
        let mut table = TableBuilder::new(ui)
            .id_salt(self.name)
            .striped(true)
            .resizable(true)
            .stick_to_bottom(asked.follows && asked.sought.is_none())
            .auto_shrink(false)
            // Where there is little room, the end of the table is in sight, too.
            .min_scrolled_height(ROW)
            // Rows are chosen by the arrow keys: Tab goes past them, to what can be done.
            .sense(egui::Sense::CLICK);
        if let Some(offset) = offset {
            table = table.vertical_scroll_offset(offset);
        }
        for width in self.widths {
            table = table.column(Column::initial(*width).clip(true));
        }
        table.column(Column::remainder().clip(true))
    }

    /// Shows so many rows below these titles, the row in sight that is sought.
    pub fn with_titles(
        self,
        ui: &mut Ui,
        rows: usize,
        sought: Option<usize>,
        titles: &[String],
        row: impl FnMut(TableRow<'_, '_>),
    ) {
        let title = |ui: &mut Ui, column: usize| {
            if let Some(title) = titles.get(column) {
                ui.strong(title);
            }
        };
        self.show(ui, rows, sought, title, row);
    }
}

/// Request to paint a table.
#[derive(Clone, Copy, Debug)]
struct Asked {
    rows: usize,
    /// Height that there is for titles and rows.
    room: f32,
    /// Height of a row.
    height: f32,
    follows: bool,
    sought: Option<usize>,
}

/// State of a table as it was painted last.
///
/// egui learns where a table's end is when it has painted the rows, and puts them where they belong with the next
/// painting: of a window at rest there is none. So where they belong is known here before.
#[derive(Clone, Copy, Debug)]
struct Painted {
    rows: usize,
    /// Height that there was for titles and rows.
    room: f32,
    /// Height that the rows had of it.
    inner: f32,
    /// Offset to which the table was scrolled.
    offset: f32,
    /// Largest offset to which it could be scrolled; less than nothing where there was room for more.
    end: f32,
    /// Row that was sought, which stays in sight whatever the room is.
    sought: Option<usize>,
}

impl Painted {
    /// Notes how a table was painted. `wanted` is the offset to which it was to be scrolled. Who scrolls it meanwhile
    /// seeks something else.
    fn new(asked: Asked, wanted: Option<f32>, shown: &ScrollAreaOutput<()>) -> Self {
        let offset = shown.state.clamped_offset().y;
        let is_there = wanted.is_none_or(|wanted| (wanted - offset).abs() < 1.0);
        Self {
            rows: asked.rows,
            room: asked.room,
            inner: shown.inner_rect.height(),
            offset,
            end: shown.content_size.y - shown.inner_rect.height(),
            sought: asked.sought.filter(|_| is_there),
        }
    }

    /// Returns the row that was sought, as long as its number says where it is.
    fn sought_among(self, rows: usize) -> Option<usize> {
        self.sought.filter(|_| self.rows == rows)
    }

    /// Returns the offset to which the table is to be scrolled now, or `None` if it stays as it was.
    fn offset_for(self, asked: Asked) -> Option<f32> {
        let more = asked.rows as f32 - self.rows as f32;
        let inner = self.inner + asked.room - self.room;
        let end = self.end + more * asked.height + self.inner - inner;
        let mut offset = if asked.follows && self.offset >= self.end {
            end
        } else {
            self.offset
        };
        if let Some(row) = asked.sought {
            let top = row as f32 * asked.height;
            offset = offset.min(top).max(top + asked.height - inner);
        }
        let offset = offset.clamp(0.0, end.max(0.0));
        (offset != self.offset).then_some(offset)
    }
}

/// Shows the title of a column that a table can be ordered by. `mine` is `None` if it is ordered by another one, else
/// whether it is reversed. Returns `true` if the title was clicked.
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
