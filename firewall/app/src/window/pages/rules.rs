//! Page of the rules: all of them in the order in which they are tried, and what can be done to the one that is
//! selected.

use super::selection::{self, Selection};
use super::titled_table::TitledTable;
use super::{Around, Page, PageSource, instead, of_the_service, wide};
use crate::changes::{
    Changes, Compared, DraftLine, Edit, EditDraft, EditKind, Order, Otherwise, TRIAL,
};
use crate::overview::{DefaultRow, OverviewSeen, Part, RuleRow};
use crate::past::{PastSeen, Since, Wanted};
use crate::window::{colours, table_row};
use eframe::egui::{self, Color32, RichText, Ui};
use egui_extras::TableRow;
use firewall_abi::packet::Verdict;
use rules::Presence;
use view::entry::{self, way};
use view::history::By;
use view::text;
use view::time::day_and_time;

const WIDTHS: [f32; 6] = [34.0, 190.0, 66.0, 340.0, 66.0, 146.0];
const TABLE: TitledTable = TitledTable {
    name: "rules",
    widths: &WIDTHS,
    follows: false,
};
/// Width below which the table is scrolled sideways.
const NEEDED: f32 = 990.0;
/// Largest number of lines that are shown of what a change would have done.
const SHOWN: usize = 5;
/// Part of the window's height that the draft of the file takes at most.
const MOST_OF_HEIGHT: f32 = 0.28;

/// State of the page.
#[derive(Debug, Default)]
pub struct RulesPage {
    selection: Selection<String>,
    kind: Option<EditKind>,
    /// Text that is typed in the place of the rule.
    written: Option<Written>,
    /// `true` if the button is to get the focus.
    focus: bool,
    /// Part of the history that is shown: when each rule has decided last, and what a change would have done.
    wanted: LastWeek,
    /// Rules in force when they were shown last.
    in_force: InForce,
}

/// Request for the history of the last week, by rule.
#[derive(Debug)]
struct LastWeek(Wanted);

impl Default for LastWeek {
    fn default() -> Self {
        Self(Wanted {
            since: Since::Week,
            by: Some(By::Rule),
            ..Wanted::default()
        })
    }
}

/// Rules in force, as far as the draft of the file depends on them.
#[derive(Debug, Default, PartialEq, Eq)]
struct InForce {
    generation: u32,
    /// `true` if the rules are on a lease.
    leased: bool,
    /// Presence of the networks.
    networks: Vec<(String, Presence)>,
}

/// Rule that somebody writes anew.
#[derive(Debug)]
struct Written {
    id: String,
    /// Text of the rule as it stood in the file.
    from: String,
    text: String,
}

impl Written {
    /// Returns the text that is typed for this rule. A text that nobody typed in follows the file.
    fn of<'a>(written: &'a mut Option<Self>, rule: &RuleRow) -> &'a mut Self {
        let keeps = written.as_ref().is_some_and(|known| {
            known.id == rule.id && (known.from == rule.text || known.from != known.text)
        });
        if !keeps {
            *written = None;
        }
        written.get_or_insert_with(|| Self {
            id: rule.id.clone(),
            from: rule.text.clone(),
            text: rule.text.clone(),
        })
    }
}

impl Page for RulesPage {
    fn name(&self) -> String {
        text!("tab-rules")
    }

    fn source(&self) -> PageSource {
        PageSource::Service(Part::Rules)
    }

    fn past(&self) -> Option<&Wanted> {
        Some(&self.wanted.0)
    }

    fn show(&mut self, ui: &mut Ui, around: &Around<'_>) {
        let changes = &around.shown.changes;
        let past = match around.shown.past.look().seen() {
            Some(Ok(past)) if past.wanted == self.wanted.0 => Some(past.clone()),
            _ => None,
        };
        changes.compare_with(past.as_ref().map(|past| &past.kept));
        of_the_service(ui, around, |ui, seen| {
            let seen = Shown {
                seen,
                past: past.as_deref(),
            };
            self.rules(ui, &seen, changes, around.asked);
        });
    }
}

/// State that is shown: the service's answers, and its history.
struct Shown<'a> {
    seen: &'a OverviewSeen,
    past: Option<&'a PastSeen>,
}

impl Shown<'_> {
    /// Returns the time at which a rule has decided last, as far as the history has it, in seconds since 1970.
    fn last_hit(&self, rule: &RuleRow) -> Option<u64> {
        let mut sums = self.past?.sums.iter();
        let sum = sums.find(|sum| sum.what == view::entry::clean(&rule.id))?;
        Some(sum.last)
    }

    /// Returns whether a rule is tried where the machine is.
    fn tried(&self, rule: &RuleRow) -> Tried {
        let mut networks = self.seen.status.networks.iter();
        if !rule.enabled {
            Tried::Disabled
        } else if networks
            .clone()
            .any(|network| network.off.contains(&rule.id))
        {
            Tried::Elsewhere
        } else if networks.any(|network| network.blocks.contains(&rule.id)) {
            Tried::Blocks
        } else {
            Tried::Yes
        }
    }
}

impl RulesPage {
    /// Shows the rules. `asked` is `true` if a card takes the keys.
    fn rules(&mut self, ui: &mut Ui, shown: &Shown<'_>, changes: &Changes, asked: bool) {
        let list = &*shown.seen.rules;
        let status = &shown.seen.status;
        let in_force = InForce {
            generation: list.generation,
            leased: status.lease.is_some(),
            networks: view::status::judged_as(&status.networks),
        };
        if self.in_force != in_force {
            self.in_force = in_force;
            changes.draft_again();
        }
        if let Some(why) = &list.unreadable {
            egui::CentralPanel::default().show(ui, |ui| instead(ui, why));
            return;
        }
        self.focus |= self.selection.keys(
            ui,
            asked,
            list.rows.len(),
            |id| list.rows.iter().position(|row| row.id == *id),
            |row| list.rows.get(row).map(|rule| rule.id.clone()),
        );
        if self.selection.is_new() {
            self.kind = None;
        }
        let selected = self.selection.get();
        match selected.and_then(|id| list.rows.iter().find(|row| row.id == *id)) {
            Some(row) => selection::details(
                self,
                |page| &mut page.selection,
                ui,
                "rule",
                |page, ui| page.details(ui, row, shown.tried(row), changes),
            ),
            None => self.selection.clear(),
        }
        egui::CentralPanel::default().show(ui, |ui| {
            for remark in &list.remarks {
                ui.add(egui::Label::new(RichText::new(remark).color(colours::lost(ui))).wrap());
            }
            if list.rows.is_empty() {
                ui.label(text!("rules-none", file = &list.file));
            }
            wide(ui, NEEDED, |ui| self.table(ui, shown));
        });
    }

    fn table(&mut self, ui: &mut Ui, shown: &Shown<'_>) {
        let list = &*shown.seen.rules;
        let sought = self.selection.sought();
        TABLE.with_titles(
            ui,
            list.rows.len() + list.defaults.len(),
            sought,
            &titles(),
            |mut row| {
                let number = row.index();
                if let Some(rule) = list.rows.get(number) {
                    let selected = self.selection.is(&rule.id);
                    let hits = shown.seen.hits.as_ref().and_then(|hits| hits.get(number));
                    let hits = (hits.copied(), shown.last_hit(rule));
                    rule_cells(&mut row, number, rule, shown.tried(rule), hits, selected);
                    let response = row.response();
                    if response.clicked() || response.is_pointer_button_down_on() {
                        self.selection.select(rule.id.clone(), number);
                    }
                } else if let Some(default) = list.defaults.get(number - list.rows.len()) {
                    default_cells(&mut row, *default);
                }
            },
        );
    }

    /// Shows what can be done to a rule. Returns `true` if this is to be closed.
    fn details(&mut self, ui: &mut Ui, rule: &RuleRow, tried: Tried, changes: &Changes) -> bool {
        let close = selection::head(ui, |ui| {
            let title = text!(
                "rules-title",
                rule = &rule.id,
                action = entry::verdict(rule.action),
                takes = &rule.words,
            );
            ui.add(egui::Label::new(RichText::new(title).strong()).wrap());
            let lost = colours::lost(ui);
            let covered = rule.covered.iter();
            let notes = covered.map(|why| RichText::new(why).color(lost));
            let here = tried.here().map(RichText::new);
            let comment = rule.comment.iter().map(RichText::new);
            for note in here.into_iter().chain(notes).chain(comment) {
                ui.add(egui::Label::new(note).wrap());
            }
        });
        let all = EditKind::all(rule.enabled);
        let kind = self
            .kind
            .filter(|kind| all.contains(kind))
            .unwrap_or(all[0]);
        self.kind = Some(kind);
        let text = match kind {
            EditKind::Rewrite => Written::of(&mut self.written, rule).text.clone(),
            _ => String::new(),
        };
        let edit = Edit {
            id: rule.id.clone(),
            kind,
            text,
        };
        changes.want_edit(&edit);
        let state = changes.look();
        let draft = state.edit_draft(&edit).cloned();
        let (followed, busy) = (state.is_followed(), state.on_its_way().is_some());
        drop(state);
        ui.horizontal_wrapped(|ui| {
            for choice in all {
                if ui.radio(kind == choice, choice.words()).clicked() {
                    self.kind = Some(choice);
                }
            }
            ui.separator();
            let possible = followed && !busy && matches!(draft, Some(Ok(_)));
            let words = RichText::new(text!("rules-put")).strong();
            let button = ui.add_enabled(possible, egui::Button::new(words));
            if std::mem::take(&mut self.focus) {
                button.request_focus();
            }
            let trial = egui::Button::new(text!("rules-try", seconds = TRIAL.as_secs()));
            let trial = ui.add_enabled(possible, trial);
            if button.clicked() {
                changes.order(Order::Edit(edit));
            } else if trial.clicked() {
                changes.order(Order::Try(edit));
            }
        });
        if kind == EditKind::Rewrite {
            editor(ui, &mut Written::of(&mut self.written, rule).text);
        }
        match &draft {
            None if followed => drop(ui.label(text!("rules-asking-file"))),
            None => drop(ui.label(text!("rules-no-click"))),
            Some(Err(why)) => {
                let colour = ui.visuals().warn_fg_color;
                let text = RichText::new(why).color(colour);
                // What is wrong with a text is pointed at below it.
                let text = if kind == EditKind::Rewrite {
                    text.monospace()
                } else {
                    text
                };
                ui.add(egui::Label::new(text).wrap());
            }
            Some(Ok(draft)) => becomes(ui, draft),
        }
        close
    }
}

/// Shows the lines that a rule is written into.
fn editor(ui: &mut Ui, text: &mut String) {
    let most = ui.ctx().content_rect().height() * MOST_OF_HEIGHT;
    let scrolled = egui::ScrollArea::vertical()
        .id_salt("editor")
        .max_height(most)
        .min_scrolled_height(most);
    scrolled.auto_shrink([false, true]).show(ui, |ui| {
        let lines = egui::TextEdit::multiline(text)
            .code_editor()
            .desired_width(f32::INFINITY)
            .desired_rows(3);
        let typed = ui.add(lines);
        let name = text!("rules-text");
        ui.ctx()
            .accesskit_node_builder(typed.id, |node| node.set_label(name));
    });
}

/// Shows the draft of the file.
fn becomes(ui: &mut Ui, draft: &EditDraft) {
    for warning in &draft.warnings {
        let text = RichText::new(text!("rules-then", warning = warning)).color(colours::lost(ui));
        ui.add(egui::Label::new(text).wrap());
    }
    if let Some(compared) = &draft.compared {
        would_have(ui, compared);
    }
    let most = ui.ctx().content_rect().height() * MOST_OF_HEIGHT;
    egui::Frame::group(ui.style()).show(ui, |ui| {
        let scrolled = egui::ScrollArea::vertical()
            .id_salt("becomes")
            .max_height(most)
            .min_scrolled_height(most);
        scrolled.auto_shrink([false, true]).show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = 1.0;
            for line in &draft.lines {
                file_line(ui, line);
            }
        });
    });
}

/// Shows what the change would have done to the history.
fn would_have(ui: &mut Ui, compared: &Compared) {
    let Compared {
        otherwise,
        told,
        untold,
        here,
    } = compared;
    let (told, untold) = (*told, *untold);
    let words = match (otherwise.is_empty(), untold) {
        (true, 0) => text!("rules-compared-none", told = told),
        (true, _) => text!("rules-compared-none-untold", told = told, untold = untold),
        (false, 0) => text!("rules-compared-some", told = told),
        (false, _) => text!("rules-compared-some-untold", told = told, untold = untold),
    };
    if told + untold == 0 {
        return;
    }
    if *here {
        ui.add(egui::Label::new(text!("rules-compared-here")).wrap());
    }
    if otherwise.is_empty() {
        ui.add(egui::Label::new(words).wrap());
        return;
    }
    let colour = colours::lost(ui);
    ui.add(egui::Label::new(RichText::new(words).color(colour)).wrap());
    for Otherwise {
        what,
        before,
        after,
        count,
    } in otherwise.iter().take(SHOWN)
    {
        let words = text!(
            "rules-otherwise",
            what = what,
            before = entry::verdict(*before),
            after = entry::verdict(*after),
            count = *count,
        );
        ui.add(egui::Label::new(format!("    {words}")).wrap());
    }
    if let Some(more) = otherwise.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        ui.label(format!("    {}", text!("rules-others", count = more)));
    }
}

fn file_line(ui: &mut Ui, line: &DraftLine) {
    let (mark, colour) = match line.comes {
        None => (' ', None),
        Some(true) => ('+', Some(colours::allowed(ui))),
        Some(false) => ('-', Some(colours::refused(ui))),
    };
    let text = view::entry::clean(&line.text);
    let mut text = RichText::new(format!("{mark} {text}")).monospace();
    if let Some(colour) = colour {
        text = text.color(colour);
    }
    ui.add(egui::Label::new(text).wrap());
}

/// State of a rule: whether it is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tried {
    /// The rule is tried.
    Yes,
    /// The rule is tried, and blocks what it would ask about: it is not known which network this is.
    Blocks,
    /// The rule is not tried in this network.
    Elsewhere,
    /// The rule is tried nowhere.
    Disabled,
}

impl Tried {
    /// Returns whether packets are compared with the rule at all.
    fn is_tried(self) -> bool {
        matches!(self, Self::Yes | Self::Blocks)
    }

    /// Returns the remark on the rule for the network that the machine is in, if there is one.
    fn here(self) -> Option<String> {
        match self {
            Self::Yes | Self::Disabled => None,
            Self::Elsewhere => Some(text!("rules-elsewhere")),
            Self::Blocks => Some(text!("rules-blocks")),
        }
    }
}

/// Shows the cells of a rule.
fn rule_cells(
    row: &mut TableRow<'_, '_>,
    number: usize,
    rule: &RuleRow,
    tried: Tried,
    (hits, last): (Option<u64>, Option<u64>),
    selected: bool,
) {
    let action = match tried {
        Tried::Yes => entry::verdict(rule.action),
        Tried::Blocks => entry::verdict(Verdict::Block),
        Tried::Elsewhere | Tried::Disabled => text!("rules-off"),
    };
    let cells = [
        (number + 1).to_string(),
        view::entry::clean(&rule.id),
        action,
        view::entry::clean(&rule.words),
        hits.map_or_else(|| "–".to_owned(), |hits| hits.to_string()),
        last.map_or_else(String::new, day_and_time),
        known(rule, tried),
    ];
    let line = rule_line(&cells);
    let covered = rule.covered.is_some();
    let action = rule.action;
    table_row(row, &cells, &line, selected, |ui, column| match column {
        _ if !tried.is_tried() => Some(ui.visuals().weak_text_color()),
        2 if tried == Tried::Blocks => verdict(ui, Verdict::Block),
        2 => verdict(ui, action),
        6 if covered => Some(colours::lost(ui)),
        _ => None,
    });
}

fn titles() -> [String; 7] {
    [
        "#".to_owned(),
        text!("column-rule"),
        text!("column-action"),
        text!("column-takes"),
        text!("column-hits"),
        text!("column-last"),
        text!("column-remarks"),
    ]
}

/// Returns the words of a screen reader for a rule's cells.
fn rule_line(cells: &[String; 7]) -> String {
    let [number, rule, action, takes, hits, last, remarks] = cells;
    if last.is_empty() {
        return text!(
            "rules-row",
            number = number,
            rule = rule,
            action = action,
            takes = takes,
            hits = hits,
            remarks = remarks,
        );
    }
    text!(
        "rules-row-last",
        number = number,
        rule = rule,
        action = action,
        takes = takes,
        hits = hits,
        last = last,
        remarks = remarks,
    )
}

/// Returns the remarks on a rule beside what it takes.
fn known(rule: &RuleRow, tried: Tried) -> String {
    let mut said = Vec::new();
    said.extend((tried == Tried::Disabled).then(|| text!("rules-disabled")));
    said.extend(tried.here());
    said.extend(rule.covered.as_ref().map(|_| text!("rules-covered")));
    if rule.log != (rule.action != Verdict::Allow) {
        said.push(reported(rule.log));
    }
    said.extend(rule.comment.as_deref().map(view::entry::clean));
    said.join("; ")
}

fn default_cells(row: &mut TableRow<'_, '_>, default: DefaultRow) {
    let DefaultRow {
        direction,
        action,
        log,
    } = default;
    let cells = [
        String::new(),
        text!("rules-default"),
        entry::verdict(action),
        text!("rules-default-takes", way = way(direction)),
        String::new(),
        String::new(),
        reported(log),
    ];
    let line = text!(
        "rules-default-row",
        way = way(direction),
        action = &cells[2],
        remarks = &cells[6],
    );
    table_row(row, &cells, &line, false, |ui, column| {
        if column == 2 {
            verdict(ui, action)
        } else {
            None
        }
    });
}

fn reported(log: bool) -> String {
    if log {
        text!("rules-reported")
    } else {
        text!("rules-not-reported")
    }
}

fn verdict(ui: &Ui, action: Verdict) -> Option<Color32> {
    match action {
        Verdict::Allow => Some(colours::allowed(ui)),
        Verdict::Block | Verdict::Reject => Some(colours::refused(ui)),
        _ => None,
    }
}
