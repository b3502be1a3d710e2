//! `--expect`: numbers that must come out.

use super::account::Account;
use crate::Error;
use crate::rule_file::RuleFile;
use std::str::FromStr;

/// Numbers that must come out: `blocked=3,allowed=10`.
#[derive(Clone, Debug)]
pub struct Expectations(Vec<Expectation>);

#[derive(Clone, Debug)]
struct Expectation {
    what: What,
    number: u64,
}

#[derive(Clone, Debug)]
enum What {
    Total(&'static Total),
    Rule(String),
}

/// A number over the whole capture, by its name.
type Total = (&'static str, fn(&Account) -> u64);

const TOTALS: [Total; 9] = [
    ("packets", |account| account.packets),
    ("allowed", |account| account.allowed),
    ("blocked", |account| account.blocked),
    ("asked", |account| account.asked),
    ("replies", |account| account.replies),
    ("malformed", |account| account.malformed),
    ("fragments", |account| account.fragments),
    ("unjudged", Account::unjudged_packets),
    (CHANGED, |account| account.changed),
];
const CHANGED: &str = "changed";

impl FromStr for Expectations {
    /// Message that says what is wrong, and what would be right.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',')
            .map(expectation)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

fn expectation(text: &str) -> Result<Expectation, String> {
    let (name, number) = text
        .rsplit_once('=')
        .ok_or_else(|| format!("`{text}` is not NAME=NUMBER, like blocked=3"))?;
    let number = number
        .trim()
        .parse()
        .map_err(|_| format!("`{number}` is no number; write it like {name}=3"))?;
    Ok(Expectation {
        what: what(name.trim())?,
        number,
    })
}

fn what(name: &str) -> Result<What, String> {
    if let Some(id) = name.strip_prefix("rule:") {
        return Ok(What::Rule(id.to_owned()));
    }
    let total = TOTALS.iter().find(|(known, _)| *known == name);
    total.map(What::Total).ok_or_else(|| {
        let known: Vec<_> = TOTALS.iter().map(|(name, _)| *name).collect();
        format!(
            "nothing is called `{name}`; there are: {}, rule:ID",
            known.join(", ")
        )
    })
}

impl What {
    fn name(&self) -> String {
        match self {
            Self::Total((name, _)) => (*name).to_owned(),
            Self::Rule(id) => format!("rule:{id}"),
        }
    }

    fn number(&self, rules: &RuleFile, account: &Account) -> u64 {
        match self {
            Self::Total((_, number)) => number(account),
            Self::Rule(id) => {
                let number = rules.rules.iter().position(|rule| rule.id == *id);
                number
                    .and_then(|number| account.rules.get(number))
                    .map_or(0, |hits| hits.packets)
            }
        }
    }
}

/// Looks for names that mean nothing here, before a long capture is read for them.
pub fn check_names(
    expected: &[Expectations],
    rules: &RuleFile,
    against: bool,
) -> Result<(), Error> {
    for Expectation { what, .. } in all(expected) {
        match what {
            What::Rule(id) if !rules.rules.iter().any(|rule| rule.id == *id) => {
                let name = &rules.name;
                let name_word = control::shell_word(name);
                return Err(Error::Expectation(format!(
                    "{name} has no rule `{id}`; `gatebell rules show {name_word}` lists them"
                )));
            }
            What::Total((CHANGED, _)) if !against => {
                return Err(Error::Expectation(
                    "`changed` needs other rules: add --against OTHER".to_owned(),
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Holds the account against what was expected; all differences at once.
pub fn hold(expected: &[Expectations], rules: &RuleFile, account: &Account) -> Result<(), Error> {
    let differences: Vec<_> = all(expected)
        .filter_map(|Expectation { what, number }| {
            let found = what.number(rules, account);
            (found != *number).then(|| format!("{} is {found}, not {number}", what.name()))
        })
        .collect();
    if differences.is_empty() {
        Ok(())
    } else {
        Err(Error::Unexpected(differences.join("; ")))
    }
}

fn all(expected: &[Expectations]) -> impl Iterator<Item = &Expectation> {
    expected.iter().flat_map(|Expectations(several)| several)
}
