//! Tests that the schema of rule files and the parser take the same.

use crate::DEFAULTS;
use crate::commands::gatebell;
use crate::place::Place;
use serde_json::Value;
use std::collections::BTreeSet;

fn schema() -> Value {
    serde_json::from_slice(&gatebell(&["rules", "schema"]).stdout).unwrap()
}

/// The keys that the parser itself lists when it meets one that it does not know.
fn parsers_keys(text: &str) -> BTreeSet<String> {
    let errors = rules::parse("r", text, &here()).unwrap_err().to_string();
    let line = errors
        .lines()
        .find(|line| line.contains("unknown key `qqqqqqqqqqqq`"))
        .unwrap();
    line.rsplit_once("there are: ")
        .unwrap()
        .1
        .split(", ")
        .map(str::to_owned)
        .collect()
}

fn keys(object: &Value) -> BTreeSet<String> {
    object.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn the_schema_has_the_parsers_keys() {
    let schema = schema();
    assert_eq!(
        keys(&schema["properties"]),
        parsers_keys("qqqqqqqqqqqq = 1")
    );
    assert_eq!(
        keys(&schema["properties"]["default"]["properties"]),
        parsers_keys("[default]\nqqqqqqqqqqqq = 1")
    );
    assert_eq!(
        keys(&schema["properties"]["service"]["properties"]),
        parsers_keys("[service]\nqqqqqqqqqqqq = 1")
    );
    assert_eq!(
        keys(&schema["$defs"]["set"]["properties"]),
        parsers_keys("[[set]]\nqqqqqqqqqqqq = 1")
    );
    assert_eq!(
        keys(&schema["$defs"]["rule"]["properties"]),
        parsers_keys("[[rule]]\nqqqqqqqqqqqq = 1")
    );
    for required in schema["$defs"]["rule"]["required"].as_array().unwrap() {
        let errors = rules::parse("r", "[[rule]]\nlog = true", &here())
            .unwrap_err()
            .to_string();
        assert!(
            errors.contains(&format!("`{}` is missing", required.as_str().unwrap())),
            "{errors}"
        );
    }
}

#[test]
fn the_parser_takes_each_name_limit_and_example_of_the_schema() {
    let defs = &schema()["$defs"];
    for action in defs["action"]["enum"].as_array().unwrap() {
        takes(&format!("id = 'r'\ndirection = 'out'\naction = {action}"));
    }
    let ask = |key: &str, value: &Value| {
        takes(&format!(
            "id = 'r'\ndirection = 'in'\naction = 'ask'\n{key} = {value}"
        ));
    };
    for unanswered in defs["unanswered"]["enum"].as_array().unwrap() {
        ask("unanswered", unanswered);
    }
    for limit in ["minimum", "maximum"] {
        ask("answer_within", &defs["answer_within"][limit]);
    }
    for key in ["direction", "id", "comment"] {
        let values = &defs["rule"]["properties"][key];
        for value in values["enum"]
            .as_array()
            .or(values["examples"].as_array())
            .unwrap()
        {
            let id = if key == "id" { "" } else { "id = 'r'\n" };
            takes(&format!("{id}action = 'allow'\n{key} = {value}"));
        }
    }
    each("protocol", "protocol", "", defs);
    for key in ["source", "destination"] {
        each("addresses", key, "", defs);
        each_of(&defs["end"]["anyOf"][1], key, "");
    }
    for key in ["interface", "user", "program"] {
        each(key, key, "", defs);
    }
    for gone in schema()["properties"]["service"]["properties"]["fail_mode"]["enum"]
        .as_array()
        .unwrap()
    {
        takes_file(&format!("{DEFAULTS}[service]\nfail_mode = {gone}\n"));
    }
    sets_are_taken(defs);
    networks_are_taken(defs);
    each("port", "ports", "protocol = 'tcp'\n", defs);
    each("port", "source_ports", "protocol = ['tcp', 'udp']\n", defs);
    for (number, protocol) in ["icmp", "icmpv6"].iter().enumerate() {
        let before = format!("protocol = '{protocol}'\n");
        each_of(&defs["icmp_type"]["anyOf"][number], "icmp_type", &before);
        each_of(&defs["icmp_type"]["anyOf"][2], "icmp_type", &before);
    }
}

fn networks_are_taken(defs: &Value) {
    let network = &defs["network"]["properties"];
    let file = |id: &str, key: &str| {
        format!(
            "{DEFAULTS}[[network]]\nid = {id}\n{key}\n[[rule]]\nid = 'r'\naction = 'allow'\nnetwork = {id}\n"
        )
    };
    for id in network["id"]["examples"].as_array().unwrap() {
        let comment = &network["comment"]["examples"][0];
        takes_file(&file(
            &id.to_string(),
            &format!("gateway = '::1'\ncomment = {comment}"),
        ));
    }
    let examples = |values: &Value| values["examples"].as_array().unwrap().clone();
    for (key, values) in [
        ("interface", examples(&network["interface"]["anyOf"][0])),
        ("ssid", examples(&network["ssid"]["anyOf"][0])),
        ("connection", examples(&network["connection"]["anyOf"][0])),
        ("gateway", examples(&defs["addresses"])),
        ("gateway_hardware", examples(&defs["hardware_address"])),
    ] {
        for value in &values {
            takes_file(&file("'home'", &format!("{key} = {value}")));
        }
        let all: Vec<_> = values.iter().map(ToString::to_string).collect();
        takes_file(&file("'home'", &format!("{key} = [{}]", all.join(", "))));
    }
    for asked in examples(&defs["rule"]["properties"]["network"]["anyOf"][0]) {
        let text = file("'home'", "gateway = '::1'");
        takes_file(&text.replace("network = 'home'", &format!("network = {asked}")));
    }
}

fn each(definition: &str, key: &str, before: &str, defs: &Value) {
    let definition = &defs[definition];
    match definition["anyOf"].as_array() {
        Some(kinds) => kinds.iter().for_each(|kind| each_of(kind, key, before)),
        None => each_of(definition, key, before),
    }
}

/// Every name, example and limit of one kind of value, alone and in a list; and nothing beyond a limit.
fn each_of(kind: &Value, key: &str, before: &str) {
    let rule = |value: &str| format!("id = 'r'\naction = 'allow'\n{before}{key} = {value}");
    let limits = ["minimum", "maximum"].map(|limit| kind[limit].as_i64());
    let mut values: Vec<String> = limits.iter().flatten().map(ToString::to_string).collect();
    values.extend(
        ["enum", "examples"]
            .iter()
            .flat_map(|list| kind[list].as_array())
            .flatten()
            .map(ToString::to_string),
    );
    assert!(!values.is_empty(), "{kind}");
    for value in &values {
        takes(&rule(value));
    }
    takes(&rule(&format!("[{}]", values.join(", "))));
    for beyond in [limits[0].map(|n| n - 1), limits[1].map(|n| n + 1)]
        .into_iter()
        .flatten()
    {
        assert!(
            rules::parse(
                "r",
                &format!("{DEFAULTS}[[rule]]\n{}", rule(&beyond.to_string())),
                &here()
            )
            .is_err()
        );
    }
}

/// Each example of a set's keys.
fn sets_are_taken(defs: &Value) {
    let set = |keys: &str| takes_file(&format!("{DEFAULTS}[[set]]\nid = 's'\n{keys}\n"));
    for addresses in defs["addresses"]["examples"].as_array().unwrap() {
        set(&format!("addresses = [{addresses}, {addresses}]"));
    }
    for key in ["file", "comment"] {
        for value in defs["set"]["properties"][key]["examples"]
            .as_array()
            .unwrap()
        {
            set(&format!("addresses = '::1'\n{key} = {value}"));
        }
    }
}

/// Returns the machine for which the schema's examples are right.
fn here() -> Place {
    let place = Place::default()
        .user("root", 0)
        .program("/usr/bin/curl", [1, 2]);
    place
        .file("lists/bad.txt", "192.0.2.1\n")
        .file("/etc/gatebell/bad.txt", "")
}

fn takes(rule: &str) {
    takes_file(&format!(
        "{DEFAULTS}[[set]]\nid = 'bad-hosts'\naddresses = '::1'\n[[rule]]\n{rule}\n"
    ));
}

fn takes_file(text: &str) {
    if let Err(errors) = rules::parse("r", text, &here()) {
        panic!("{errors}\n{text}");
    }
}
