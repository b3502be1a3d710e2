//! Parsing of a method and its parameters, as they came, into a request: each is checked once, here.

use super::failure::{Failure, Misunderstood};
use super::methods::{Change, Query, Request};
use control::{ChangeNote, Forgotten, Given, Lasts};
use firewall_abi::asking::{MAX_ANSWERS, Width};
use firewall_abi::members::MAX_MEMBERS;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

/// Maximum length of a lease, in seconds.
const LONGEST_LEASE: u64 = 24 * 60 * 60;
/// Maximum length of a rule file's name, and of a change's description, in bytes.
const LONGEST_TEXT: usize = 4096;
/// Maximum time that an answer may hold, but for always, in seconds: a year.
const LONGEST_ANSWER: u64 = 366 * 24 * 60 * 60;
/// Maximum number of answers that may be named at once: more than there are.
const MOST_ANSWERS: usize = 2 * MAX_ANSWERS;

pub fn understand(method: &str, parameters: Option<&Value>) -> Result<Request, Misunderstood> {
    let without = |query| read::<Nothing>(parameters).map(|Nothing {}| Request::Query(query));
    let change =
        |change| read::<OfAChange>(parameters).map(|OfAChange { .. }| Request::Change(change));
    match method {
        "GetStatus" => without(Query::Status),
        "ApplyRules" => apply(read(parameters)?).map(Request::Change),
        "ConfirmRules" => read(parameters)
            .map(|OfLease { generation, .. }| Request::Change(Change::Confirm { generation })),
        "RevertRules" => read(parameters)
            .map(|OfLease { generation, .. }| Request::Change(Change::Revert { generation })),
        "ReloadRules" => change(Change::Reload),
        "GetRules" => without(Query::Rules),
        "GetRuleNames" => read(parameters)
            .map(|OfGeneration { generation }| Request::Query(Query::RuleNames { generation })),
        "GetNetworks" => without(Query::Networks),
        "GetStats" => without(Query::Stats),
        "GetHits" => without(Query::Hits),
        "GetAccounts" => without(Query::Accounts),
        "GetAddressNames" => {
            read(parameters).map(|Since { since }| Request::Query(Query::AddressNames { since }))
        }
        "GetHistory" => read(parameters).map(
            |SinceAfter {
                 since,
                 after,
                 program,
             }| Request::History {
                since,
                after,
                program,
            },
        ),
        "AddToSet" => add_to_set(read(parameters)?).map(Request::Change),
        "RemoveFromSet" => remove_from_set(read(parameters)?).map(Request::Change),
        "RefreshList" => read(parameters).map(|RefreshList { set, take, .. }| {
            let take = take.unwrap_or(false);
            Request::Change(Change::RefreshList { set, take })
        }),
        "GetSetMembers" => {
            read(parameters).map(|OfSet { set }| Request::Query(Query::SetMembers { set }))
        }
        "GetQuestions" => without(Query::Questions),
        "AnswerQuestion" => answer(read(parameters)?).map(Request::Change),
        "GetAnswers" => without(Query::Answers),
        "ForgetAnswers" => forget_answers(read(parameters)?).map(Request::Change),
        "GetProgram" => read(parameters)
            .map(|Program { device, inode }| Request::Query(Query::Program { device, inode })),
        _ => Err(Misunderstood::Method),
    }
}

/// Returns whether somebody may be asked for a password; a request that does not say so comes from a person.
pub fn may_interact(parameters: Option<&Value>) -> bool {
    let said = parameters.and_then(|parameters| parameters.get("interactive"));
    said.and_then(Value::as_bool) != Some(false)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Apply {
    name: String,
    text: String,
    lease_seconds: Option<u64>,
    what: Option<String>,
    undoes: Option<u64>,
    replaces: Option<u32>,
    #[serde(rename = "interactive")]
    _interactive: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfGeneration {
    generation: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Since {
    since: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SinceAfter {
    since: u64,
    after: u64,
    program: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Program {
    device: u64,
    inode: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfSet {
    set: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Parameters that every change takes: see [`may_interact`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfLease {
    generation: Option<u32>,
    #[serde(rename = "interactive")]
    _interactive: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfAChange {
    #[serde(rename = "interactive")]
    _interactive: Option<bool>,
}

fn apply(
    Apply {
        name,
        text,
        lease_seconds,
        what,
        undoes,
        replaces,
        ..
    }: Apply,
) -> Result<Change, Misunderstood> {
    let range = |parameter, message| {
        Err(Misunderstood::Range(Failure::out_of_range(
            parameter, message,
        )))
    };
    if name.is_empty() || name.len() > LONGEST_TEXT || name.chars().any(char::is_control) {
        return range(
            "name",
            format!("the name has 1 to {LONGEST_TEXT} bytes, none of them for control"),
        );
    }
    if lease_seconds.is_some_and(|seconds| !(1..=LONGEST_LEASE).contains(&seconds)) {
        return range(
            "lease_seconds",
            format!("a lease has 1 to {LONGEST_LEASE} seconds"),
        );
    }
    if let Some(what) = &what
        && (what.is_empty() || what.len() > LONGEST_TEXT || what.chars().any(char::is_control))
    {
        return range(
            "what",
            format!("what a change is has 1 to {LONGEST_TEXT} bytes, none of them for control"),
        );
    }
    let note = ChangeNote {
        what,
        undoes,
        replaces,
    };
    Ok(Change::Apply {
        name,
        text,
        lease: lease_seconds.map(Duration::from_secs),
        note,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerQuestion {
    id: u64,
    allow: bool,
    width: String,
    seconds: Option<u64>,
    always: Option<bool>,
    until: Option<String>,
    listed: Option<u64>,
}

fn answer(
    AnswerQuestion {
        id,
        allow,
        width,
        seconds,
        always,
        until,
        listed,
    }: AnswerQuestion,
) -> Result<Change, Misunderstood> {
    let range =
        |parameter, message| Misunderstood::Range(Failure::out_of_range(parameter, message));
    let known = Width::ALL.into_iter().find(|known| known.name() == width);
    let width = known.ok_or_else(|| {
        range(
            "width",
            "the width is endpoint, address, port or anywhere".to_owned(),
        )
    })?;
    let lasts = match (seconds, always.unwrap_or(false), until.as_deref()) {
        (None, false, None) => Lasts::UntilRestart,
        (None, true, None) => Lasts::Always,
        (None, false, Some("connection")) if width == Width::Endpoint => Lasts::Connection,
        (None, false, Some("program")) => Lasts::Process,
        (Some(seconds), false, None) if (1..=LONGEST_ANSWER).contains(&seconds) => {
            Lasts::For(Duration::from_secs(seconds))
        }
        (None, false, Some(until)) => {
            let message = if until == "connection" {
                "an answer to a connection is about its endpoint"
            } else {
                "it is until the \"connection\" or the \"program\" ends"
            };
            return Err(range("until", message.to_owned()));
        }
        _ => {
            return Err(range(
                "seconds",
                format!(
                    "an answer holds for 1 to {LONGEST_ANSWER} seconds, for always, or until something ends"
                ),
            ));
        }
    };
    let given = Given {
        allow,
        width,
        lasts,
    };
    Ok(Change::Answer { id, listed, given })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ForgetAnswers {
    ids: Option<Vec<String>>,
    program: Option<String>,
    all: Option<bool>,
    everybody: Option<bool>,
    #[serde(rename = "interactive")]
    _interactive: Option<bool>,
}

fn forget_answers(
    ForgetAnswers {
        ids,
        program,
        all,
        everybody,
        ..
    }: ForgetAnswers,
) -> Result<Change, Misunderstood> {
    let which = match (ids, program, all.unwrap_or(false)) {
        (Some(ids), None, false) if (1..=MOST_ANSWERS).contains(&ids.len()) => {
            Forgotten::Those(ids)
        }
        (None, Some(program), false) => Forgotten::Program(program),
        (None, None, true) => Forgotten::All,
        _ => {
            return Err(Misunderstood::Range(Failure::out_of_range(
                "ids",
                format!(
                    "taken back are 1 to {MOST_ANSWERS} answers by their ids, those about a program, or all; nothing was changed"
                ),
            )));
        }
    };
    Ok(Change::ForgetAnswers {
        which,
        everybody: everybody.unwrap_or(false),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddToSet {
    set: String,
    addresses: Vec<String>,
    seconds: Option<u64>,
    #[serde(rename = "interactive")]
    _interactive: Option<bool>,
}

fn add_to_set(
    AddToSet {
        set,
        addresses,
        seconds,
        ..
    }: AddToSet,
) -> Result<Change, Misunderstood> {
    if seconds.is_some_and(|seconds| !(1..=LONGEST_ANSWER).contains(&seconds)) {
        return Err(Misunderstood::Range(Failure::out_of_range(
            "seconds",
            format!(
                "an address is in a set for 1 to {LONGEST_ANSWER} seconds, or until it is removed"
            ),
        )));
    }
    Ok(Change::AddToSet {
        set,
        addresses: single_addresses(&addresses)?,
        time: seconds.map(Duration::from_secs),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RemoveFromSet {
    set: String,
    addresses: Vec<String>,
    #[serde(rename = "interactive")]
    _interactive: Option<bool>,
}

fn remove_from_set(
    RemoveFromSet { set, addresses, .. }: RemoveFromSet,
) -> Result<Change, Misunderstood> {
    Ok(Change::RemoveFromSet {
        set,
        addresses: single_addresses(&addresses)?,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefreshList {
    set: String,
    take: Option<bool>,
    #[serde(rename = "interactive")]
    _interactive: Option<bool>,
}

/// Returns each address of these texts once.
fn single_addresses(texts: &[String]) -> Result<Vec<IpAddr>, Misunderstood> {
    let range = |message| Misunderstood::Range(Failure::out_of_range("addresses", message));
    if texts.is_empty() || texts.len() > MAX_MEMBERS {
        return Err(range(format!("there are 1 to {MAX_MEMBERS} addresses")));
    }
    let mut addresses = BTreeSet::new();
    for text in texts {
        let address: IpAddr = text.parse().map_err(|_| {
            range(format!(
                "`{}` is no single address: prefixes, ranges and names stand in the rule file; nothing was changed",
                text.escape_debug()
            ))
        })?;
        addresses.insert(address.to_canonical());
    }
    Ok(addresses.into_iter().collect())
}

/// Reads parameters into a type; missing ones are as good as no fields. The error that serde reports names the field.
fn read<T: DeserializeOwned>(parameters: Option<&Value>) -> Result<T, Misunderstood> {
    let none = json!({});
    T::deserialize(parameters.unwrap_or(&none))
        .map_err(|error| Misunderstood::Parameter(error.to_string()))
}
