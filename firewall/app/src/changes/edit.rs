//! A change to a rule that is there, and what becomes of the file by it.

use super::InForce;
use super::compare::{Compared, compare};
use super::draft::quoted;
use super::service::NotJudged;
use control::Kept;
use rules::document::{self, Place};
use rules::{Errors, Resolver, Rules};
use similar::{ChangeTag, TextDiff};
use view::text;

/// Lines of what stays the same that are shown around each change.
const AROUND: usize = 2;

/// What becomes of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EditKind {
    /// It is tried again.
    Enable,
    /// It is tried no more.
    Disable,
    /// It is tried before the one that stands before it now.
    MoveUp,
    /// It is tried after the one that stands after it now.
    MoveDown,
    /// It goes.
    Remove,
    /// Another text takes its place.
    Rewrite,
}

/// A change to one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The rule's name.
    pub id: String,
    /// What becomes of it.
    pub kind: EditKind,
    /// The text that takes its place, if one does.
    pub text: String,
}

/// What becomes of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EditDraft {
    /// The lines that change, and some around them.
    pub lines: Vec<DraftLine>,
    /// What is suspicious then, and was not before.
    pub warnings: Vec<String>,
    /// What it would have done to what was kept, if that is known.
    pub compared: Option<Compared>,
    /// What the change is, in a few words: in the command's, for the log.
    pub(super) what: String,
    /// The whole file with it.
    pub(super) text: String,
    /// The command that does the same.
    pub(super) command: Option<String>,
}

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DraftLine {
    /// Whether it comes or goes; none: it stays.
    pub comes: Option<bool>,
    /// What is in it.
    pub text: String,
}

impl EditKind {
    /// What can be done to a rule.
    pub fn all(enabled: bool) -> [Self; 5] {
        let switch = if enabled { Self::Disable } else { Self::Enable };
        [
            switch,
            Self::MoveUp,
            Self::MoveDown,
            Self::Remove,
            Self::Rewrite,
        ]
    }

    /// On a choice.
    pub fn words(self) -> String {
        match self {
            Self::Enable => text!("rules-enable"),
            Self::Disable => text!("rules-disable"),
            Self::MoveUp => text!("rules-move-up"),
            Self::MoveDown => text!("rules-move-down"),
            Self::Remove => text!("rules-remove"),
            Self::Rewrite => text!("rules-edit"),
        }
    }

    /// What was done to the rule of this name.
    pub(super) fn done_to(self, id: &str) -> String {
        match self {
            Self::Enable => text!("change-enable", rule = id),
            Self::Disable => text!("change-disable", rule = id),
            Self::MoveUp | Self::MoveDown => text!("change-move", rule = id),
            Self::Remove => text!("change-remove", rule = id),
            Self::Rewrite => text!("change-edit", rule = id),
        }
    }
}

/// The file with a change.
///
/// # Errors
/// It can't be made; the text says why.
pub(super) fn edited(
    file: &InForce,
    edit: &Edit,
    kept: Option<&Kept>,
    resolver: &dyn Resolver,
) -> Result<EditDraft, String> {
    let Edit { id, kind, .. } = edit;
    let made = change(file, edit)?;
    let text = made.text.map_err(|wrong| wrong.to_string())?;
    if text == file.text {
        return Err(text!("edit-nothing-changes", rule = id));
    }
    let parse = |text: &str| file.rules_of(text, resolver);
    let (warnings, compared) = match (parse(&file.text), parse(&text)) {
        (Ok(before), Ok(after)) => (
            new_warnings(&before.rules, &after.rules),
            kept.map(|kept| compare(&before, &after, &kept.rows, resolver)),
        ),
        // What can't be read here, the service may read.
        (Err(_), _) => (Vec::new(), None),
        (Ok(_), Err(NotJudged::Wrong(errors))) => {
            return Err(wrong(&text, edit, made.first, &errors));
        }
        (Ok(_), Err(NotJudged::TooLarge(why))) => return Err(why),
    };
    let command = quoted(id).filter(|_| *kind != EditKind::Rewrite);
    let command = command.and_then(|id_word| {
        let place_words = match made.place {
            Some(Place::Before(other)) => format!(" --before {}", quoted(&other)?),
            Some(Place::After(other)) => format!(" --after {}", quoted(&other)?),
            _ => String::new(),
        };
        let verb_word = verb(*kind);
        Some(format!(
            "sudo gatebell rules {verb_word} {id_word}{place_words}"
        ))
    });
    Ok(EditDraft {
        lines: difference(&file.text, &text),
        warnings,
        compared,
        what: format!("{} {id}", verb(*kind)),
        text,
        command,
    })
}

/// The file's text with a change, and the rule's new place.
struct Changed {
    text: Result<String, document::Wrong>,
    place: Option<Place>,
    /// The line that the rule begins on.
    first: usize,
}

fn change(file: &InForce, edit: &Edit) -> Result<Changed, String> {
    let Edit {
        id,
        kind,
        text: written,
    } = edit;
    let names = document::names(&file.text).map_err(|wrong| wrong.to_string())?;
    let at = names.iter().position(|name| name == id);
    let Some(at) = at else {
        return Err(text!("edit-rule-gone", rule = id));
    };
    let place = match kind {
        EditKind::MoveUp => {
            let before = at.checked_sub(1).and_then(|before| names.get(before));
            let before = before.ok_or_else(|| text!("edit-is-first"))?;
            Some(Place::Before(before.clone()))
        }
        EditKind::MoveDown => {
            let after = names.get(at + 1);
            let after = after.ok_or_else(|| text!("edit-is-last"))?;
            Some(Place::After(after.clone()))
        }
        _ => None,
    };
    let text = match (kind, &place) {
        (_, Some(place)) => document::move_to(&file.text, id, place),
        (EditKind::Enable, _) => document::enable(&file.text, id, true),
        (EditKind::Disable, _) => document::enable(&file.text, id, false),
        (EditKind::Rewrite, _) => document::rewrite(&file.text, id, written),
        _ => document::remove(&file.text, id),
    };
    let first = document::rule_text(&file.text, id).map_or(1, |(first, _)| first);
    Ok(Changed { text, place, first })
}

/// What is wrong with the file then. What stands in a text that was typed is said by its place in that, and shown.
fn wrong(text: &str, edit: &Edit, first: usize, errors: &Errors) -> String {
    if edit.kind != EditKind::Rewrite {
        return errors.to_string();
    }
    let typed = first..first + edit.text.lines().count();
    let said = errors.findings().iter().map(|finding| {
        if !typed.contains(&finding.line) {
            return finding.to_string();
        }
        let line = text.lines().nth(finding.line - 1).unwrap_or_default();
        let before = " ".repeat(finding.column.saturating_sub(1));
        let said = text!(
            "edit-wrong",
            line = finding.line + 1 - first,
            column = finding.column,
            what = &finding.message,
        );
        format!("{said}\n    {line}\n    {before}^")
    });
    said.collect::<Vec<_>>().join("\n")
}

/// The command's word for it, which the log has too.
fn verb(kind: EditKind) -> &'static str {
    match kind {
        EditKind::Enable => "enable",
        EditKind::Disable => "disable",
        EditKind::MoveUp | EditKind::MoveDown => "move",
        EditKind::Remove => "remove",
        EditKind::Rewrite => "edit",
    }
}

/// What is suspicious now and was not before, wherever in the file it stands by now.
fn new_warnings(before: &Rules, after: &Rules) -> Vec<String> {
    let placeless = |message: &str| {
        let mut left = String::new();
        let mut parts = message.split("(line ");
        left.extend(parts.next());
        parts.for_each(|part| left.extend(part.split_once(')').map(|(_, rest)| rest)));
        left
    };
    let known: Vec<_> = before
        .warnings()
        .iter()
        .map(|warning| placeless(&warning.message))
        .collect();
    let new = after.warnings().iter();
    new.filter(|warning| !known.contains(&placeless(&warning.message)))
        .map(|warning| warning.message.clone())
        .collect()
}

fn difference(old: &str, new: &str) -> Vec<DraftLine> {
    let difference = TextDiff::from_lines(old, new);
    let mut unified = difference.unified_diff();
    let mut lines = Vec::new();
    for hunk in unified.context_radius(AROUND).iter_hunks() {
        if !lines.is_empty() {
            lines.push(DraftLine {
                comes: None,
                text: "…".to_owned(),
            });
        }
        lines.extend(hunk.iter_changes().map(|change| DraftLine {
            comes: match change.tag() {
                ChangeTag::Equal => None,
                tag => Some(tag == ChangeTag::Insert),
            },
            text: change.value().trim_end_matches(['\n', '\r']).to_owned(),
        }));
    }
    lines
}
