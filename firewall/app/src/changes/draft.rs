//! Drafts of rules: the rule that a wish becomes, in its place.

use super::{InForce, Wish};
use firewall_abi::packet::NO_RULE;
use rules::Resolver;
use rules::document::{self, RulePosition};
use view::text;

/// Rule that a wish becomes, in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Name of the rule.
    pub id: String,
    /// Text of the rule, as it stands in the file.
    pub rule: String,
    /// Place of the rule in the file.
    pub place: RulePosition,
    /// Text of the whole file with the rule.
    pub(super) text: String,
    /// Command that does the same, if it can be typed.
    pub(super) command: Option<String>,
}

impl Draft {
    /// Returns the rule's place in words.
    pub fn place_words(&self) -> String {
        match &self.place {
            RulePosition::First => text!("place-first"),
            RulePosition::Last => text!("place-last"),
            RulePosition::Before(id) => text!("place-before", rule = id),
            RulePosition::After(id) => text!("place-after", rule = id),
        }
    }
}

/// Drafts the rule that fulfils a wish with these rules in force.
///
/// # Errors
/// No rule does; the text says why.
pub(super) fn draft(file: &InForce, wish: &Wish, resolver: &dyn Resolver) -> Result<Draft, String> {
    let names = document::names(&file.text).map_err(|wrong| wrong.to_string())?;
    let parse = |text: &str| file.rules_of(text, resolver);
    // What can't be read here, the service may read.
    let place = match parse(&file.text) {
        Ok(judged) => {
            let decision = wish.decide(&judged, resolver);
            if wish.is_granted(&decision) {
                return Err(if wish.allow {
                    text!("draft-allowed-already")
                } else {
                    text!("draft-blocked-already")
                });
            }
            let rule = (decision.rule != NO_RULE).then(|| judged.rules.rule(decision.rule));
            rule.flatten().map_or(RulePosition::Last, |rule| {
                RulePosition::Before(rule.id.clone())
            })
        }
        Err(_) => match &wish.packet.rule {
            Some(rule) if names.contains(&rule.id) => RulePosition::Before(rule.id.clone()),
            _ => RulePosition::First,
        },
    };
    let taken = |id: &str| names.iter().any(|name| name == id);
    let (keys, rule) = wish.with_suggestion(|it| (it.keys(taken), it.text(taken)));
    let text = document::add(&file.text, &keys, &place).map_err(|wrong| wrong.to_string())?;
    if let Ok(rules) = parse(&text) {
        if !wish.is_granted(&wish.decide(&rules, resolver)) {
            return Err(text!("draft-other-program"));
        }
    } else if let (Ok(_), Err(errors)) = (parse(&file.text), parse(&text)) {
        return Err(errors.to_string());
    }
    let id = keys.first().map(|(_, id)| id.trim_matches('"').to_owned());
    Ok(Draft {
        id: id.unwrap_or_default(),
        rule,
        command: command(&keys, &place),
        place,
        text,
    })
}

/// Returns the command that adds a rule, or `None` if it can't be typed as it is.
fn command(keys: &[(&str, String)], place: &RulePosition) -> Option<String> {
    let mut words = vec!["sudo gatebell rules add".to_owned()];
    for (key, value) in keys {
        let value = quoted(
            value
                .strip_prefix('"')
                .and_then(|it| it.strip_suffix('"'))
                .unwrap_or(value),
        )?;
        words.push(match *key {
            "action" => {
                words.insert(1, value);
                continue;
            }
            key => format!("--{} {value}", key.replace('_', "-")),
        });
    }
    match place {
        RulePosition::First => words.push("--first".to_owned()),
        RulePosition::Last => {}
        RulePosition::Before(id) => words.push(format!("--before {}", quoted(id)?)),
        RulePosition::After(id) => words.push(format!("--after {}", quoted(id)?)),
    }
    Some(words.join(" "))
}

/// Quotes a word for a shell, or returns `None` if it has in it what is not seen, or what TOML writes otherwise than a
/// shell.
pub(super) fn quoted(word: &str) -> Option<String> {
    let is_plain = !word.chars().any(|c| c == '\\' || c.is_control());
    is_plain.then(|| control::shell_word(word).into_owned())
}
