//! Tests that hold the committed description against what is really understood and sent, method by method.

use super::super::failure::Failure;
use super::super::interface::Interface;
use super::super::methods::{Answered, Change, Request};
use super::super::peer::Requester;
use super::made_up::*;
use super::parsed;
use control::{
    Counted, DESCRIPTION, HistoryPage, HistoryRow, HistoryStatus, INTERFACE, Refused, Stats,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use varlink::{ConnectionHandler, VarlinkService};
use zlink_idl::{Field, Type};

/// Tries each method that there is, not those alone that somebody thought of.
#[test]
fn who_is_not_root_may_ask_and_change_nothing() {
    let requester = Requester {
        process: None,
        user: 1000,
        may_change: false,
        by_polkit: false,
    };
    let own = |request: Request, requester| {
        assert!(
            matches!(
                request,
                Request::Query(_)
                    | Request::History { .. }
                    | Request::Change(Change::Answer { .. })
            ),
            "{request:?}"
        );
        made_up(request, requester)
    };
    let description = zlink_idl::Interface::try_from(DESCRIPTION).unwrap();
    let mut refused = BTreeSet::new();
    for method in description.methods() {
        let name = method.name().as_str();
        let reply = answered(
            own,
            requester,
            name,
            given(name).unwrap_or_else(|| json!({})),
        );
        if reply["error"] == "org.gatebell.Firewall.NotPermitted" {
            refused.insert(name.to_owned());
        } else {
            assert_eq!(reply["error"], Value::Null, "{name}");
        }
    }
    let changes = [
        "AddToSet",
        "ApplyRules",
        "ConfirmRules",
        "ForgetAnswers",
        "RefreshList",
        "ReloadRules",
        "RemoveFromSet",
        "RevertRules",
    ];
    assert_eq!(refused, BTreeSet::from(changes.map(str::to_owned)));
}

/// Compares the committed description, which is the contract, with what is really sent: the same fields under the same
/// names.
#[test]
fn the_description_names_every_field_method_and_error_that_there_is() {
    let description = zlink_idl::Interface::try_from(DESCRIPTION).unwrap();
    assert_eq!(description.name().as_str(), INTERFACE);
    names_are_used_once(&description);
    types_are_as_described(&description);
    methods_are_as_described(&description);
    errors_are_as_described(&description);
}

/// Checks that each name is used once: types, methods and errors share their names, and readers of varlink take two of
/// one name for an error, or for each other.
fn names_are_used_once(description: &zlink_idl::Interface<'_>) {
    let types = description
        .custom_types()
        .map(|described| described.name().as_str());
    let methods = description.methods().map(|method| method.name().as_str());
    let all: Vec<_> = types
        .chain(methods)
        .chain(description.errors().map(|error| error.name().as_str()))
        .collect();
    assert_eq!(
        all.len(),
        all.iter().collect::<BTreeSet<_>>().len(),
        "{all:?}"
    );
}

fn types_are_as_described(description: &zlink_idl::Interface<'_>) {
    let sent: [(&str, Value); 34] = [
        ("SubscribedList", json!(subscribed_list())),
        ("FetchFailure", json!(subscribed_list().failed)),
        ("TroubleStatus", json!(trouble())),
        ("NetworkSign", json!(networks().networks[0].why[0])),
        ("SetAdded", json!(set_added())),
        ("SetRemoved", json!(set_removed())),
        ("SetMember", json!(set_member())),
        ("Status", json!(status())),
        ("Networks", json!(networks())),
        ("NetworkStatus", json!(networks().networks[0])),
        ("RouteStatus", json!(networks().routes[0])),
        ("Memory", json!(status().kernel_memory)),
        ("Device", json!(status().devices[0])),
        ("InForce", json!(status().rules)),
        ("Lease", json!(lease())),
        ("Applied", json!(applied())),
        ("RuleText", json!(text())),
        ("RuleNames", json!(rule_names())),
        ("NamedRule", json!(rule_names().rules[0])),
        ("Stats", json!(Stats::default())),
        ("NameStats", json!(Stats::default().names)),
        ("RejectStats", json!(Stats::default().rejected)),
        ("AddressNames", json!(address_names(0))),
        ("AddressName", json!(address_names(0).names[0])),
        ("Hits", json!(hits())),
        ("Accounts", json!(accounts())),
        ("Account", json!(accounts().apps[0])),
        ("Counted", json!(Counted::default())),
        ("Question", json!(question())),
        ("AskedPlace", json!(question().places[0])),
        ("HeldAnswer", json!(held_answer())),
        ("HistoryStatus", json!(HistoryStatus::default())),
        ("HistoryPage", json!(HistoryPage::default())),
        ("HistoryRow", json!(HistoryRow::default())),
    ];
    let said: BTreeSet<_> = description
        .custom_types()
        .map(|described| described.name().as_str())
        .collect();
    assert_eq!(said, sent.iter().map(|(name, _)| *name).collect());
    for described in description.custom_types() {
        let fields = names(described.as_object().unwrap().fields());
        let (name, value) = sent
            .iter()
            .find(|(name, _)| *name == described.name().as_str())
            .unwrap();
        assert_eq!(fields, keys(value), "{name}");
        for field in described.as_object().unwrap().fields() {
            assert!(
                fits(field.ty(), &value[field.name().as_str()]),
                "{name}: {field:?}"
            );
        }
    }
}

/// Fields whose texts are words of a kind, by which views choose their own, in the language of who reads them.
const KINDS: [&str; 20] = [
    "Status.fail_mode",
    "TroubleStatus.cause",
    "FetchFailure.kind",
    "NetworkStatus.presence",
    "NetworkStatus.judged_as",
    "NetworkSign.kind",
    "HistoryRow.direction",
    "HistoryRow.verdict",
    "HistoryRow.reason",
    "HistoryRow.contact",
    "Question.direction",
    "Question.unanswered",
    "HeldAnswer.verdict",
    "HeldAnswer.width",
    "HeldAnswer.lasts",
    "HeldAnswer.direction",
    "OutOfRange.parameter",
    "Status.version",
    "HeldAnswer.id",
    "NetworkSign.asked",
];
/// Fields whose texts are names, places, and what a person wrote: the same in every language.
const NAMES: [&str; 52] = [
    "Status.netns",
    "Status.cgroup",
    "Status.pins",
    "TroubleStatus.about",
    "SubscribedList.set",
    "SubscribedList.url",
    "NetworkStatus.name",
    "NetworkStatus.on",
    "NetworkStatus.off",
    "NetworkStatus.blocks",
    "NetworkSign.interface",
    "NetworkSign.gateway",
    "NetworkSign.gateway_hardware",
    "NetworkSign.ssid",
    "NetworkSign.connection",
    "RouteStatus.interface",
    "RouteStatus.gateway",
    "RouteStatus.gateway_hardware",
    "RouteStatus.ssid",
    "RouteStatus.connection",
    "HistoryRow.remote",
    "HistoryRow.source",
    "HistoryRow.program",
    "HistoryRow.process",
    "HistoryRow.rule",
    "HistoryRow.name",
    "Device.name",
    "InForce.name",
    "RuleText.name",
    "RuleText.text",
    "RuleText.folder",
    "RuleText.file",
    "RuleNames.name",
    "NamedRule.id",
    "AddressName.address",
    "AddressName.name",
    "AskedPlace.remote",
    "AskedPlace.remote_name",
    "Question.remote",
    "Question.remote_name",
    "Question.program",
    "Question.name",
    "Question.rule",
    "HeldAnswer.remote",
    "HeldAnswer.remote_name",
    "HeldAnswer.program",
    "HeldAnswer.name",
    "HeldAnswer.by",
    "GetProgram.path",
    "SetMember.set",
    "SetMember.address",
    "SetMember.name",
];
/// Fields whose texts are sentences in English, with the reasons.
const SENTENCES: [(&str, &str); 6] = [
    (
        "TroubleStatus.detail",
        "beside the cause: what the system says, as the journal has it",
    ),
    (
        "FetchFailure.detail",
        "beside the kind: what a server or the system says",
    ),
    (
        "NetworkSign.detail",
        "beside the kind: what the system says",
    ),
    (
        "Applied.warnings",
        "about a rule file, with its words: what `gatebell rules check` says",
    ),
    (
        "RulesWrong.errors",
        "about a rule file, with its words: what `gatebell rules check` says",
    ),
    (
        "*.message",
        "beside the error's name: what it is about, which is in no other field",
    ),
];

/// Checks that each text is one of these, and each sentence has a reason why it is no kind with what belongs to it.
#[test]
fn no_sentence_crosses_for_a_person_but_for_those_that_are_listed_with_a_reason() {
    let description = zlink_idl::Interface::try_from(DESCRIPTION).unwrap();
    let types = description.custom_types().map(|described| {
        let fields = described.as_object().unwrap().fields();
        (described.name().as_str(), texts(fields))
    });
    let methods = description
        .methods()
        .map(|method| (method.name().as_str(), texts(method.outputs())));
    let errors = description
        .errors()
        .map(|error| (error.name().as_str(), texts(error.fields())));
    let is_message = |(of, field): &(&str, &str)| {
        *field == "message"
            && description
                .errors()
                .any(|error| error.name().as_str() == *of)
    };
    let found: BTreeSet<String> = types
        .chain(methods)
        .chain(errors)
        .flat_map(|(of, fields)| fields.into_iter().map(move |field| (of, field)))
        .map(|found| {
            let of = if is_message(&found) { "*" } else { found.0 };
            format!("{of}.{}", found.1)
        })
        .collect();
    let listed = KINDS.into_iter().chain(NAMES);
    let sentences = SENTENCES.iter().map(|(text, why)| {
        assert!(!why.is_empty(), "{text}");
        *text
    });
    let listed: BTreeSet<String> = listed.chain(sentences).map(str::to_owned).collect();
    assert_eq!(found, listed);
}

/// Returns the names of those fields that are texts.
fn texts<'a>(fields: impl Iterator<Item = &'a Field<'a>>) -> Vec<&'a str> {
    fn is_text(described: &Type<'_>) -> bool {
        match described {
            Type::String => true,
            Type::Array(of) | Type::Optional(of) | Type::Map(of) => is_text(of),
            _ => false,
        }
    }
    fields
        .filter(|field| is_text(field.ty()))
        .map(|field| field.name().as_str())
        .collect()
}

fn fits(described: &Type<'_>, sent: &Value) -> bool {
    match described {
        Type::Bool => sent.is_boolean(),
        Type::Int => sent.is_u64(),
        Type::String => sent.is_string(),
        Type::Custom(_) => sent.is_object(),
        Type::Array(of) => sent
            .as_array()
            .is_some_and(|all| all.iter().all(|one| fits(of, one))),
        Type::Optional(of) => sent.is_null() || fits(of, sent),
        _ => false,
    }
}

fn methods_are_as_described(description: &zlink_idl::Interface<'_>) {
    for method in description.methods() {
        let name = method.name().as_str();
        let parameters = given(name);
        assert_eq!(parameters.is_some(), !method.has_no_inputs(), "{name}");
        let requester = Requester {
            process: None,
            user: 0,
            may_change: true,
            by_polkit: false,
        };
        let reply = answered(
            made_up,
            requester,
            name,
            parameters.unwrap_or_else(|| json!({})),
        );
        match reply["error"].as_str() {
            None => assert_eq!(
                names(method.outputs()),
                keys(&reply["parameters"]),
                "{name}"
            ),
            // Errors of the protocol would say that there is no such method.
            Some(error) => assert!(error.starts_with(INTERFACE), "{name}: {error}"),
        }
    }
}

fn errors_are_as_described(description: &zlink_idl::Interface<'_>) {
    let known = [
        Failure::from(Refused::Rules(vec![])),
        Failure::from(Refused::TooMuchMemory {
            needed: 3,
            left: 2,
            budget: 1,
        }),
        Failure::from(Refused::NoLease),
        Failure::from(Refused::LeaseOver),
        Failure::from(Refused::Replaced),
        Failure::from(Refused::NoQuestion),
        Failure::from(Refused::NoAnswer(String::new())),
        Failure::from(Refused::NoSuchSet(String::new())),
        Failure::from(Refused::StaysInSet(String::new())),
        Failure::from(Refused::SetFull(String::new())),
        Failure::from(Refused::ListsAwaited(String::new())),
        Failure::from(Refused::System(String::new())),
        Failure::from(Refused::Incomplete {
            generation: 8,
            confirmed: true,
            rest: String::new(),
        }),
        Failure::new("NotPermitted", ""),
        Failure::new("ServiceEnding", ""),
        Failure::out_of_range("", String::new()),
        Failure::too_long(1),
    ];
    let said: BTreeSet<_> = description
        .errors()
        .map(|error| error.name().as_str())
        .collect();
    assert_eq!(said, known.iter().map(|failure| failure.name).collect());
    for error in description.errors() {
        let Failure { name, parameters } = known
            .iter()
            .find(|known| known.name == error.name().as_str())
            .unwrap();
        assert_eq!(names(error.fields()), keys(parameters), "{name}");
    }
}

fn names<'a>(fields: impl Iterator<Item = &'a Field<'a>>) -> BTreeSet<&'a str> {
    fields.map(|field| field.name().as_str()).collect()
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

/// Returns the reply to one request, without a socket.
fn answered(
    answer: impl Fn(Request, Requester) -> Answered + Send + Sync + 'static,
    requester: Requester,
    method: &str,
    parameters: Value,
) -> Value {
    let interface = Interface {
        answer: Arc::new(answer),
        requester,
        permission: Arc::default(),
    };
    interface
        .permission
        .decide(Err(Failure::new("NotPermitted", "polkit says no")));
    let service = VarlinkService::new("", "", "", "", vec![Box::new(interface) as Box<_>]);
    let request = json!({ "method": format!("{INTERFACE}.{method}"), "parameters": parameters });
    let mut reply = Vec::new();
    service
        .handle(&mut format!("{request}\0").as_bytes(), &mut reply, None)
        .unwrap();
    parsed(&reply)
}

/// Returns the parameters that each method that takes any is given here.
fn given(method: &str) -> Option<Value> {
    let given = [
        (
            "ApplyRules",
            json!({ "name": "r", "text": "x", "interactive": false }),
        ),
        (
            "ConfirmRules",
            json!({ "generation": 4, "interactive": true }),
        ),
        (
            "RevertRules",
            json!({ "generation": null, "interactive": false }),
        ),
        ("ReloadRules", json!({ "interactive": null })),
        (
            "AddToSet",
            json!({ "set": "s", "addresses": ["::1"], "seconds": 9 }),
        ),
        (
            "RemoveFromSet",
            json!({ "set": "s", "addresses": ["127.0.0.1"] }),
        ),
        ("RefreshList", json!({ "set": "s", "take": true })),
        ("GetSetMembers", json!({ "set": null })),
        ("GetRuleNames", json!({ "generation": 7 })),
        ("GetProgram", json!({ "device": 1, "inode": 1 })),
        ("GetAddressNames", json!({ "since": 0 })),
        (
            "GetHistory",
            json!({ "since": 0, "after": 0, "program": "/usr/bin/curl" }),
        ),
        (
            "AnswerQuestion",
            json!({ "id": 1, "allow": true, "width": "endpoint", "listed": 8 }),
        ),
        ("ForgetAnswers", json!({ "all": true, "everybody": true })),
    ];
    let mut given = given.into_iter();
    given
        .find(|(name, _)| *name == method)
        .map(|(_, given)| given)
}
