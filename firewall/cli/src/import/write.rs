//! Writer of a rule file from an imported foreign file.

use super::model::{DefaultVerdict, ImportPlace, Imported, Item, NewRule, Version};
use crate::edit::KeyArguments;
use firewall_abi::packet::Verdict;
use rules::document::{text_value, unlike};
use rules::{Resolver, clean, is_visible};
use std::fmt::Write;

/// A rule file, and how much of the other it says.
pub struct Written {
    /// The rule file.
    pub text: String,
    /// Rules in it.
    pub rules: usize,
    /// Parts that could not be translated, each with its reason.
    pub unsaid: Vec<(ImportPlace, String)>,
}

/// Writes it down. Each rule is tried alone, as this machine understands it: what would be an error becomes a comment.
pub fn rule_file(head: &str, imported: &Imported, resolver: &dyn Resolver) -> Written {
    let (mut defaults, mut unsaid, mut last) = (String::new(), Vec::new(), Vec::new());
    for (key, direction, packets, default) in [
        ("inbound", "in", "come in", imported.inbound),
        ("outbound", "out", "go out", imported.outbound),
        ("forward", "forward", "are forwarded", imported.forward),
    ] {
        if key == "forward" && default == DefaultVerdict::default() && !opens(imported.inbound) {
            // It is what inbound says.
            continue;
        }
        let (verdict, rule) = one_verdict(default, direction);
        let _infallible = writeln!(defaults, "{key} = \"{}\"", verdict.name());
        unsaid.extend(unknown(default, packets, imported.defaults_are));
        last.extend(rule);
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
    for (place, why) in &unsaid {
        writer.unsaid(place, why);
    }
    for item in imported.items.iter().chain(&last) {
        match item {
            Item::Rule(rule) => writer.rule(rule),
            Item::NotNeeded(place, why) => writer.comment("Needs no rule", place, why),
            Item::Unsaid(place, why) => writer.unsaid(place, why),
        }
    }
    let mut text = format!("# {}\n", in_one_line(head));
    for note in &imported.notes {
        let _infallible = writeln!(text, "# {}", in_one_line(note));
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

/// Returns whether a default policy allows packets of either version of IP.
fn opens(default: DefaultVerdict) -> bool {
    [default.v4, default.v6].contains(&Some(Verdict::Allow))
}

/// The default for a direction, which has one for both versions of IP, and the rule behind all others for the version
/// that gets something else. What is not known is refused.
fn one_verdict(default: DefaultVerdict, direction: &str) -> (Verdict, Option<Item>) {
    let known = |verdict: Option<Verdict>| verdict.unwrap_or(Verdict::Block);
    let (v4, v6) = (known(default.v4), known(default.v6));
    if v4 == v6 {
        return (v4, None);
    }
    let (verdict, other, version) = if v6 == Verdict::Allow || v4 == Verdict::Block {
        (v4, v6, Version::V6)
    } else {
        (v6, v4, Version::V4)
    };
    let keys = KeyArguments {
        id: Some(format!("{}-{}-{direction}", other.name(), version.name())),
        direction: Some(direction.to_owned()),
        destination: vec![version.all().to_owned()],
        ..KeyArguments::default()
    };
    let rule = NewRule {
        from: ImportPlace::named(format!("the default for {} {direction}", version.name())),
        action: other,
        keys,
    };
    (verdict, Some(Item::Rule(Box::new(rule))))
}

/// Returns the message about a default policy that is unknown, or `None` if it is known for both versions.
fn unknown(
    default: DefaultVerdict,
    packets: &str,
    where_it_is: Option<&str>,
) -> Option<(ImportPlace, String)> {
    let of = match (default.v4, default.v6) {
        (None, None) => "packets",
        (None, _) => "IPv4 packets",
        (_, None) => "IPv6 packets",
        _ => return None,
    };
    let hint = where_it_is.map_or(String::new(), |place| format!("; {place}"));
    let why = format!("the file does not say it, so they are refused here{hint}");
    let place = ImportPlace::named(format!(
        "what {of} get that {packets} and that no rule matches"
    ));
    Some((place, why))
}

/// Returns foreign text in one line, for a comment, which ends with its line.
fn in_one_line(text: &str) -> String {
    clean(&text.replace(char::is_control, " "))
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
                let id: String = id.chars().filter(|c| is_visible(*c)).take(56).collect();
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
            // It would be taken, with another meaning: a user whom nobody knows is anybody, or nobody.
            Ok(rules) if !rules.troubles().is_empty() => {
                let trouble = rules.troubles().first().map(|first| first.message.clone());
                self.unsaid(&rule.from, &trouble.unwrap_or_default());
            }
            Ok(_) => {
                self.ids.push(id);
                self.written.rules += 1;
                let _infallible = write!(self.written.text, "\n{text}");
            }
        }
    }

    fn unsaid(&mut self, place: &ImportPlace, why: &str) {
        self.comment("Not said", place, why);
        self.written.unsaid.push((place.clone(), why.to_owned()));
    }

    fn comment(&mut self, what: &str, place: &ImportPlace, why: &str) {
        let line = place
            .line
            .map(|line| format!(", line {line}"))
            .unwrap_or_default();
        let _infallible = write!(
            self.written.text,
            "\n# {what}{line}: {}\n#   {}\n",
            in_one_line(why),
            in_one_line(&place.text)
        );
    }
}
