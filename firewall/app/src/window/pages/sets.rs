//! Page of the sets: what each holds, from where, what of it could not be read, and which addresses have joined it
//! since.

use super::selection::{self, Selection};
use super::titled_table::TitledTable;
use super::{Around, Page, PageSource, instead, of_the_service, wide};
use crate::changes::{Changes, Joining, Order};
use crate::overview::{OverviewSeen, Part, SetRow};
use crate::window::{colours, table_row};
use control::SetMember;
use eframe::egui::{self, RichText, Ui};
use egui_extras::TableRow;
use std::time::Duration;
use view::entry::clean;
use view::text;
use view::time::day_and_time;

const WIDTHS: [f32; 6] = [150.0, 240.0, 80.0, 98.0, 150.0, 180.0];
const TABLE: TitledTable = TitledTable {
    name: "sets",
    widths: &WIDTHS,
    follows: false,
};
/// Width below which the table is scrolled sideways.
const NEEDED: f32 = 1_104.0;
/// Largest number of joined addresses that are shown, the last ones; the command line shows all.
const SHOWN: usize = 200;
/// Height in which they are scrolled.
const MEMBERS: f32 = 96.0;

/// State of the page.
#[derive(Debug, Default)]
pub struct Sets {
    /// Set that is selected, by its name.
    selection: Selection<String>,
    /// Address that is typed, and the time for which it is to be in the set.
    address: String,
    time: Lasts,
    /// `true` if the line of the address is to get the focus.
    focus: bool,
}

/// Time for which an address joins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Lasts {
    /// One hour.
    #[default]
    Hour,
    /// One day.
    Day,
    /// No limit: the address stays until it is removed.
    Always,
}

impl Lasts {
    const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Always];

    fn words(self) -> String {
        match self {
            Self::Hour => text!("sets-hour"),
            Self::Day => text!("sets-day"),
            Self::Always => text!("sets-always"),
        }
    }

    fn time(self) -> Option<Duration> {
        match self {
            Self::Hour => Some(Duration::from_secs(3_600)),
            Self::Day => Some(Duration::from_secs(86_400)),
            Self::Always => None,
        }
    }
}

impl Page for Sets {
    fn name(&self) -> String {
        text!("tab-sets")
    }

    fn source(&self) -> PageSource {
        PageSource::Service(Part::Sets)
    }

    fn show(&mut self, ui: &mut Ui, around: &Around<'_>) {
        of_the_service(ui, around, |ui, seen| {
            if let Some(why) = &seen.rules.unreadable {
                egui::CentralPanel::default().show(ui, |ui| instead(ui, why));
            } else if seen.rules.sets.is_empty() {
                egui::CentralPanel::default().show(ui, |ui| no_sets(ui, seen));
            } else {
                self.sets(ui, seen, around);
            }
        });
    }
}

/// Shows what is to be known where there is no set.
fn no_sets(ui: &mut Ui, seen: &OverviewSeen) {
    colours::bright(ui);
    ui.add_space(16.0);
    let words = text!("sets-none", file = &seen.rules.file);
    ui.add(egui::Label::new(words).wrap());
}

impl Sets {
    fn sets(&mut self, ui: &mut Ui, seen: &OverviewSeen, around: &Around<'_>) {
        let sets = &seen.rules.sets;
        self.focus |= self.selection.keys(
            ui,
            around.asked,
            sets.len(),
            |id| sets.iter().position(|set| set.id == *id),
            |row| sets.get(row).map(|set| set.id.clone()),
        );
        if self.selection.is_new() {
            self.address.clear();
        }
        let selected = self.selection.get();
        match selected.and_then(|id| sets.iter().find(|set| set.id == *id)) {
            Some(set) => selection::details(
                self,
                |page| &mut page.selection,
                ui,
                "set",
                |page, ui| page.details(ui, set, seen, &around.shown.changes),
            ),
            None => self.selection.clear(),
        }
        egui::CentralPanel::default().show(ui, |ui| wide(ui, NEEDED, |ui| self.table(ui, seen)));
    }

    fn table(&mut self, ui: &mut Ui, seen: &OverviewSeen) {
        let sets = &seen.rules.sets;
        let sought = self.selection.sought();
        TABLE.with_titles(ui, sets.len(), sought, &titles(), |mut row| {
            let Some(set) = sets.get(row.index()) else {
                return;
            };
            let selected = self.selection.is(&set.id);
            let joined = seen.members.as_ref().map(|all| members(all, set).count());
            line(&mut row, set, joined, selected);
            if row.response().clicked() {
                self.selection.select(set.id.clone(), row.index());
            }
        });
    }

    /// Shows what a set holds, and has addresses join and leave it by a click. Returns `true` if this is to be closed.
    fn details(
        &mut self,
        ui: &mut Ui,
        set: &SetRow,
        seen: &OverviewSeen,
        changes: &Changes,
    ) -> bool {
        let close = selection::head(ui, |ui| facts(ui, set));
        let state = changes.look();
        let possible = state.is_followed() && state.on_its_way().is_none();
        drop(state);
        self.join(ui, set, possible, changes);
        let all = seen.members.as_deref().unwrap_or_default();
        let joined = members(all, set).count();
        if joined > SHOWN {
            ui.label(text!(
                "sets-many",
                joined = joined,
                shown = SHOWN,
                set_word = control::shell_word(&set.id).into_owned()
            ));
        }
        if joined > 0 {
            let scrolled = egui::ScrollArea::vertical()
                .id_salt("members")
                .max_height(MEMBERS)
                .min_scrolled_height(MEMBERS);
            scrolled.auto_shrink([false, true]).show(ui, |ui| {
                for member in members(all, set).skip(joined.saturating_sub(SHOWN)) {
                    self::member(ui, member, possible, changes);
                }
            });
        }
        close
    }

    /// Shows the line that an address is typed into, and the button that has it join.
    fn join(&mut self, ui: &mut Ui, set: &SetRow, possible: bool, changes: &Changes) {
        ui.horizontal_wrapped(|ui| {
            let label = ui.label(text!("sets-address"));
            let edit = egui::TextEdit::singleline(&mut self.address)
                .hint_text("192.0.2.7")
                .desired_width(180.0);
            let typed = ui.add(edit).labelled_by(label.id);
            if std::mem::take(&mut self.focus) {
                typed.request_focus();
            }
            for choice in Lasts::ALL {
                ui.radio_value(&mut self.time, choice, choice.words());
            }
            let address = self.address.trim();
            let possible = possible && !address.is_empty();
            let words = RichText::new(text!("sets-join")).strong();
            if ui.add_enabled(possible, egui::Button::new(words)).clicked() {
                changes.order(Order::Join(Joining {
                    set: set.id.clone(),
                    address: address.to_owned(),
                    time: self.time.time(),
                }));
            }
        });
    }
}

/// Shows what a set is, and what is amiss with it.
fn facts(ui: &mut Ui, set: &SetRow) {
    let asked = if set.rules.is_empty() {
        text!("sets-not-asked-for")
    } else {
        text!("sets-asked-for", rules = set.rules.join(", "))
    };
    let title = text!(
        "sets-title",
        set = &set.id,
        count = set.entries,
        grouped = rules::grouped(set.entries),
        from = &set.from,
        asked = asked,
    );
    ui.add(egui::Label::new(RichText::new(clean(&title)).strong()).wrap());
    let colour = colours::lost(ui);
    let amiss = set.trouble.iter().chain(&set.refused);
    for words in amiss {
        ui.add(egui::Label::new(RichText::new(clean(words)).color(colour)).wrap());
    }
    if let Some(comment) = &set.comment {
        ui.add(egui::Label::new(clean(comment)).wrap());
    }
}

/// Shows an address that has joined, for how long, and the button that has it leave.
fn member(ui: &mut Ui, member: &SetMember, possible: bool, changes: &Changes) {
    let SetMember {
        set,
        address,
        seconds_left,
        name,
    } = member;
    ui.horizontal_wrapped(|ui| {
        let button = ui.add_enabled(possible, egui::Button::new(text!("sets-remove")).small());
        let address_words = address.to_string();
        let said = text!("sets-remove-this", address = &address_words);
        button.widget_info(|| {
            egui::WidgetInfo::labeled(egui::accesskit::Role::Button, possible, said.as_str())
        });
        if button.clicked() {
            changes.order(Order::Leave {
                set: set.clone(),
                address: address.to_string(),
            });
        }
        let lasts = match seconds_left {
            None => text!("sets-always"),
            Some(left) => text!("sets-left", seconds = *left),
        };
        ui.label(match name {
            None => text!("sets-member", address = address_words, lasts = lasts),
            Some(name) => text!(
                "sets-member-by",
                address = address_words,
                lasts = lasts,
                name = clean(name),
            ),
        });
    });
}

/// Returns the addresses that have joined this set.
fn members<'a>(all: &'a [SetMember], set: &'a SetRow) -> impl Iterator<Item = &'a SetMember> {
    all.iter().filter(|member| member.set == set.id)
}

fn line(row: &mut TableRow<'_, '_>, set: &SetRow, joined: Option<usize>, selected: bool) {
    let cells = [
        clean(&set.id),
        clean(&set.from),
        rules::grouped(set.entries),
        joined.map_or_else(|| "–".to_owned(), rules::grouped),
        set.changed.map_or_else(String::new, day_and_time),
        set.rules.join(", "),
        remarks(set),
    ];
    let words = text!(
        "sets-row",
        set = &cells[0],
        count = set.entries,
        grouped = &cells[2],
        from = &cells[1],
        joined = &cells[3],
        rules = &cells[5],
        remarks = &cells[6],
    );
    let amiss = set.trouble.is_some() || !set.refused.is_empty();
    table_row(row, &cells, &words, selected, |ui, column| {
        (column == 6 && amiss).then(|| colours::lost(ui))
    });
}

fn titles() -> [String; 7] {
    [
        text!("column-set"),
        text!("column-from"),
        text!("column-entries"),
        text!("column-joined"),
        text!("column-changed"),
        text!("column-asked-for-by"),
        text!("column-remarks"),
    ]
}

/// Returns the remarks on a set beside what it holds.
fn remarks(set: &SetRow) -> String {
    let mut said: Vec<_> = set.trouble.iter().map(|why| clean(why)).collect();
    if !set.refused.is_empty() {
        said.push(text!("sets-remarks", count = set.refused.len()));
    }
    if set.rules.is_empty() {
        said.push(text!("sets-not-asked-for"));
    }
    said.extend(set.comment.as_deref().map(clean));
    said.join("; ")
}
