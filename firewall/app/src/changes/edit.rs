//! Changes to a rule that is there, and the file with them.

use super::InForce;
use super::compare::{Compared, compare};
use super::draft::quoted;
use super::service::NotJudged;
use control::Kept;
use rules::document::{self, RulePosition};
use rules::{Errors, Resolver, Rules};
use similar::{ChangeTag, TextDiff};
use view::text;

/// Number of unchanged lines that are shown around each change.
const AROUND: usize = 2;

/// Kind of change to a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EditKind {
    /// The rule is tried again.
    Enable,
    /// The rule is tried no more.
    Disable,
    /// The rule is tried before the one that stands before it now.
    MoveUp,
    /// The rule is tried after the one that stands after it now.
    MoveDown,
    /// The rule is removed.
    Remove,
    /// Another text takes the rule's place.
    Rewrite,
}

/// Change to one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Name of the rule.
    pub id: String,
    /// Kind of the change.
    pub kind: EditKind,
    /// Text that takes the rule's place, if one does.
    pub text: String,
}

/// Draft of the file with a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EditDraft {
    /// Lines that change, and some around them.
    pub lines: Vec<DraftLine>,
    /// Warnings about what is suspicious then, and was not before.
    pub warnings: Vec<String>,
    /// Comparison with the rules before by the history, if that is known.
    pub compared: Option<Compared>,
    /// Description of the change, in a few words: in the command's, for the log.
    pub(super) what: String,
    /// Text of the whole file with the change.
    pub(super) text: String,
    /// Command that does the same, if it can be typed.
    pub(super) command: Option<String>,
}

/// Line of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DraftLine {
    /// `true` if the line is added, `false` if it is removed, or `None` if it stays.
    pub comes: Option<bool>,
    /// Text of the line.
    pub text: String,
}

impl EditKind {
    /// Returns the kinds of change that can be made to a rule.
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

    /// Returns the words on a choice.
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

    /// Returns the words for the change that was made to the rule of this name.
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

/// Drafts the file with a change.
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
            Some(RulePosition::Before(other)) => format!(" --before {}", quoted(&other)?),
            Some(RulePosition::After(other)) => format!(" --after {}", quoted(&other)?),
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

/// Text of the file with a change, and the rule's new place.
struct Changed {
    text: Result<String, document::DocumentError>,
    place: Option<RulePosition>,
    /// Number of the line that the rule begins on.
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
            Some(RulePosition::Before(before.clone()))
        }
        EditKind::MoveDown => {
            let after = names.get(at + 1);
            let after = after.ok_or_else(|| text!("edit-is-last"))?;
            Some(RulePosition::After(after.clone()))
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

/// Describes the errors in the changed file. An error in a text that was typed is said by its place in that, and shown.
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

/// Returns the command's word for the change, which the log has too.
fn verb(kind: EditKind) -> &'static str {
    match kind {
        EditKind::Enable => "enable",
        EditKind::Disable => "disable",
        EditKind::MoveUp | EditKind::MoveDown => "move",
        EditKind::Remove => "remove",
        EditKind::Rewrite => "edit",
    }
}

/// Returns the warnings that were not there before, wherever in the file they stand by now.
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
