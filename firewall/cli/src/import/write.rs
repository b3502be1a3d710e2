//! What a foreign file says, as a rule file of ours.

use super::model::{Imported, Item, NewRule, Place};
use crate::edit::KeyArguments;
use firewall_abi::packet::Verdict;
use rules::Resolver;
use rules::document::{text_value, unlike};
use std::fmt::Write;

/// A rule file, and how much of the other it says.
pub struct Written {
    /// The rule file.
    pub text: String,
    /// Rules in it.
    pub rules: usize,
    /// What could not be said, with the reason of each.
    pub unsaid: Vec<(Place, String)>,
}

/// Writes it down. Each rule is tried alone, as this machine understands it: what would be an error becomes a comment.
pub fn rule_file(head: &str, imported: &Imported, resolver: &dyn Resolver) -> Written {
    let mut defaults = String::new();
    let mut default = |key: &str, verdict: Verdict| {
        let _infallible = writeln!(defaults, "{key} = \"{}\"", verdict.name());
    };
    default("inbound", imported.inbound.unwrap_or(Verdict::Allow));
    default("outbound", imported.outbound.unwrap_or(Verdict::Allow));
    if let Some(verdict) = imported.forward {
        default("forward", verdict);
    }
    let mut writer = Writer {
        defaults: format!("[default]\n{defaults}"),
        sets: String::new(),
        resolver,
        ids: Vec::new(),
        written: Written {
            text: String::new(),
            rules: 0,
            unsaid: Vec::new(),
        },
    };
    for set in &imported.sets {
        let list: Vec<_> = set.addresses.iter().map(|it| text_value(it)).collect();
        let _infallible = write!(
            writer.sets,
            "\n[[set]]\nid = {}\naddresses = [{}]\n",
            text_value(&set.id),
            list.join(", ")
        );
    }
    for item in &imported.items {
        match item {
            Item::Rule(rule) => writer.rule(rule),
            Item::NotNeeded(place, why) => writer.comment("Needs no rule", place, why),
            Item::Unsaid(place, why) => writer.unsaid(place, why),
        }
    }
    let mut text = format!("# {head}\n");
    for note in &imported.notes {
        let _infallible = writeln!(text, "# {note}");
    }
    if !writer.written.unsaid.is_empty() {
        text.push_str(
            "# What is not said here may have kept packets from the rules below it: look at each.\n",
        );
    }
    let _infallible = write!(
        text,
        "\n{}{}{}",
        writer.defaults, writer.sets, writer.written.text
    );
    writer.written.text = text;
    writer.written
}

struct Writer<'a> {
    defaults: String,
    sets: String,
    resolver: &'a dyn Resolver,
    ids: Vec<String>,
    written: Written,
}

impl Writer<'_> {
    fn rule(&mut self, rule: &NewRule) {
        let action = rule.action.name();
        let id = match &rule.keys.id {
            Some(id) => {
                let id: String = id.chars().filter(|c| !c.is_control()).take(56).collect();
                unlike(&id, |id| self.ids.iter().any(|other| other == id))
            }
            None => rule.keys.made_up_id(action, &self.ids),
        };
        let keys = KeyArguments {
            id: Some(id.clone()),
            comment: rule
                .keys
                .comment
                .as_ref()
                .map(|it| it.replace(char::is_control, " ")),
            ..rule.keys.clone()
        };
        let mut text = "[[rule]]\n".to_owned();
        for (key, value) in keys.values(Some(action)) {
            let _infallible = writeln!(text, "{key} = {value}");
        }
        let alone = format!("{}{}\n{text}", self.defaults, self.sets);
        match rules::parse("", &alone, self.resolver) {
            Err(wrong) => {
                let message = wrong.findings().first().map(|first| first.message.clone());
                self.unsaid(&rule.from, &message.unwrap_or_default());
            }
            Ok(_) => {
                self.ids.push(id);
                self.written.rules += 1;
                let _infallible = write!(self.written.text, "\n{text}");
            }
        }
    }

    fn unsaid(&mut self, place: &Place, why: &str) {
        self.comment("Not said", place, why);
        self.written.unsaid.push((place.clone(), why.to_owned()));
    }

    fn comment(&mut self, what: &str, place: &Place, why: &str) {
        let line = place
            .line
            .map(|line| format!(", line {line}"))
            .unwrap_or_default();
        // A comment ends with its line: what is foreign must not.
        let plain = |text: &str| text.replace(char::is_control, " ");
        let _infallible = write!(
            self.written.text,
            "\n# {what}{line}: {}\n#   {}\n",
            plain(why),
            plain(&place.text)
        );
    }
}
