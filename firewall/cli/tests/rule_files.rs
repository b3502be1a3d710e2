//! Tests of the messages about rule files, and of their explanations.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod commands;
#[path = "../../rules/tests/place/mod.rs"]
mod place;

use commands::{File, captures, command, err, gatebell, gatebell_given, golden, out, shown};
use place::Place;
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Output;

const WRONG: &str = "[default]\ninbound = \"block\"\n\n[[rule]]\nid = \"web\"\naction = \"alow\"\n\tportz = 80\n\
                     source = \"10.0.0.1/8\"\n\n[[rule]]\nid = \"web\"\naction = \"allow\"\nports = 99999\n";

#[test]
fn all_errors_are_shown_with_their_place_and_line() {
    golden(
        "wrong.txt",
        &gatebell_given(WRONG.as_bytes(), &["rules", "check", "--elsewhere", "-"]),
    );
    golden(
        "wrong.json",
        &gatebell_given(
            WRONG.as_bytes(),
            &["rules", "check", "--elsewhere", "-", "--json"],
        ),
    );
}

#[test]
fn of_a_long_line_the_part_around_the_error_is_shown() {
    let list = "192.0.2.1', '".repeat(100);
    let text = format!("{DEFAULTS}[[set]]\nid = 's'\naddresses = ['{list}no', '{list}::1']\n");
    let output = gatebell_given(text.as_bytes(), &["rules", "check", "--elsewhere", "-"]);
    let lines: Vec<_> = out(&output).lines().map(str::to_owned).collect();
    let mark = lines[2].chars().position(|c| c == '^').unwrap();
    let marked: String = lines[1].chars().skip(mark).take(4).collect();
    assert_eq!(marked, "'no'");
    assert!(lines[1].chars().count() < 200, "{}", lines[1]);
}

#[test]
fn a_shadowed_rule_is_a_warning() {
    let text = "[default]\ninbound = \"block\"\noutbound = \"allow\"\n[[rule]]\nid = \"all\"\naction = \"allow\"\n\
                [[rule]]\nid = \"late\"\naction = \"block\"\nprotocol = \"tcp\"\n";
    golden(
        "shadowed.txt",
        &gatebell_given(text.as_bytes(), &["rules", "check", "--elsewhere", "-"]),
    );
}

#[test]
#[cfg(unix)]
fn a_wrong_entry_in_a_sets_file_is_shown_with_that_files_line() {
    let (shown, _) = check_wrong_list(0o644);
    golden("wrong-list.txt", &shown);
}

#[test]
#[cfg(unix)]
fn of_a_sets_file_that_root_alone_may_read_the_line_alone_is_shown() {
    let (shown, root) = check_wrong_list(0o600);
    let name = if root {
        "wrong-list-unreadable.txt"
    } else {
        "wrong-list.txt"
    };
    golden(name, &shown);
}

/// Returns the output of `rules check` for rules whose wrong list has this file mode, and whether root asks. In a copy
/// that everybody can reach: a checkout's permissions depend on the umask and the folders of its owner.
#[cfg(unix)]
fn check_wrong_list(mode: u32) -> (Output, bool) {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    let folder = folder.path();
    let may = |path: &std::path::Path, mode| {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    };
    fs::create_dir(folder.join("lists")).unwrap();
    for name in ["wrong-list.toml", "lists/wrong.txt"] {
        fs::copy(captures().join(name), folder.join(name)).unwrap();
    }
    may(folder, 0o755);
    may(&folder.join("lists"), 0o755);
    may(&folder.join("lists/wrong.txt"), mode);
    let output = command(&["rules", "check", "--elsewhere", "wrong-list.toml"])
        .current_dir(folder)
        .output();
    let root = fs::metadata(folder).unwrap().uid() == 0;
    (output.unwrap(), root)
}

#[test]
fn sets_users_programs_and_devices_are_checked_shown_and_asked_about() {
    golden(
        "who-check.txt",
        &gatebell(&["rules", "check", "--elsewhere", "who.toml"]),
    );
    golden("who-show.txt", &gatebell(&["rules", "show", "who.toml"]));
    golden(
        "who-show.json",
        &gatebell(&["rules", "show", "who.toml", "--json"]),
    );
    let why = |name: &str, who: &str| {
        let packet = format!("out tcp 10.0.0.2:5000 -> 192.0.2.9:443{who}");
        golden(name, &gatebell(&["why", "who.toml", "--packet", &packet]));
    };
    why("who-nobody.txt", "");
    why("who-tool.txt", " program /opt/there-is-none/tool user 1000");
    why(
        "who-root.txt",
        " user root program /opt/there-is-none/other interface eth0",
    );
    why("who-unknown.txt", " user there-is-none");
}

#[test]
fn a_set_of_one_entry_is_said_to_have_one_entry() {
    let said = |addresses: &str| {
        let text = format!(
            "{DEFAULTS}[[set]]\nid = 's'\naddresses = {addresses}\n\n[[rule]]\nid = 'r'\naction = 'block'\nsource = '@s'\n"
        );
        let checked = gatebell_given(text.as_bytes(), &["rules", "check", "--elsewhere", "-"]);
        out(&checked)
    };
    let one = said("'192.0.2.1'");
    assert!(one.contains("1 set of 1 entry;"), "{one}");
    let two = said("['192.0.2.1', '192.0.2.3']");
    assert!(two.contains("1 set of 2 entries;"), "{two}");
}

#[test]
fn several_files_are_checked_and_one_that_is_missing_is_an_error() {
    let output = gatebell(&["rules", "check", "--elsewhere", "rules.toml", "before.toml"]);
    assert_eq!(
        (output.status.code(), out(&output).lines().count()),
        (Some(0), 2)
    );
    let output = gatebell(&["rules", "check", "there-is-none.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("there-is-none.toml: can't be read"));
    assert_eq!(gatebell(&["rules", "check"]).status.code(), Some(2));
}

#[test]
fn bytes_that_are_no_text_are_an_error_with_their_line() {
    let output = gatebell_given(b"# fine\n\xFF\xFE", &["rules", "check", "--elsewhere", "-"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        err(&output).contains("line 2 is not UTF-8"),
        "{}",
        err(&output)
    );
}

/// Clears the screen, names the window, colours as nothing of ours is coloured, turns what is read, and can't be seen.
const STEERS: &str = "a\x1b[2J\x1b]0;gotcha\x07\x1b[35;45m\n\u{9b}J\u{202e}b\u{200b}c";

/// Terminal escapes in a string of JSON or TOML.
const STEERS_ESCAPED: &str =
    "a\\u001b[2J\\u001b]0;gotcha\\u0007\\u001b[35;45m\\n\\u009bJ\\u202eb\\u200bc";

/// Returns the output of a command to a terminal, and asserts that it holds no terminal escapes.
fn harmless(arguments: &[&str]) -> String {
    let output = command(arguments)
        .env("CLICOLOR_FORCE", "1")
        .output()
        .unwrap();
    let said = shown(&output);
    assert!(!said.contains("\x1b[35;45m"), "{arguments:?}: {said:?}");
    let plain = without_colours(&said);
    let odd = plain
        .chars()
        .find(|c| !rules::is_visible(*c) && *c != '\n' && *c != '\t');
    assert_eq!(odd, None, "{arguments:?}: {said:?}");
    plain
}

fn without_colours(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
        match rest.strip_prefix('m') {
            Some(rest) => plain += rest,
            None => plain += &format!("\x1b[{part}"),
        }
    }
    plain
}

#[test]
fn a_rule_files_text_is_printed_as_it_is() {
    let text = format!("# a word\r\n{DEFAULTS}no rules = [");
    let place = File::new(&text);
    let said = gatebell(&["rules", "show", "--text", &place.path]);
    assert_eq!(said.status.code(), Some(0));
    assert_eq!(said.stdout, text.as_bytes());
    let asked = ["rules", "show", "--text", "--json"];
    assert_eq!(gatebell(&asked).status.code(), Some(2));
}

#[test]
fn foreign_text_steers_no_terminal_whatever_command_shows_it() {
    let place = File::new(DEFAULTS);
    let path = |name: &str, text: &str| {
        let path = place.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let rules = format!(
        "{DEFAULTS}[[network]]\nid = 'home'\ngateway = '192.0.2.1'\ncomment = \"{STEERS_ESCAPED}\"\n\
         [[set]]\nid = 's'\naddresses = '192.0.2.9'\ncomment = \"{STEERS_ESCAPED}\"\n\
         [[rule]]\nid = 'who'\naction = 'block'\ndirection = 'in'\nuser = \"{STEERS_ESCAPED}\"\n\
         comment = \"{STEERS_ESCAPED}\"\nnetwork = 'home'\n\
         [[rule]]\nid = 'tool'\naction = 'block'\nprogram = \"/opt/\u{202e}tool\"\nsource = '@s'\n"
    );
    let file = path("odd\u{202e}\u{200b}.toml", &rules);
    let wrong = path("wrong\x1b[2J.toml", &format!("{DEFAULTS}{STEERS} = 1\n"));
    let packet = "in tcp 192.0.2.1:50000 -> 192.0.2.2:23 program /opt/\u{202e}x";
    let record = format!(
        "{{\"kind\":\"packet\",\"verdict\":\"{STEERS_ESCAPED}\",\"direction\":\"out\",\"reason\":\"rule\",\
         \"rule\":\"{STEERS_ESCAPED}\",\"generation\":1,\"protocol_number\":6,\"source\":\"192.0.2.2\",\"source_port\":1,\
         \"destination\":\"192.0.2.1\",\"destination_port\":2,\"file\":\"{STEERS_ESCAPED}\",\"line\":1,\
         \"program\":{{\"path\":\"/{STEERS_ESCAPED}\"}}}}"
    );
    let undo = place.folder.path().join("odd\u{202e}\u{200b}.toml.undo");
    std::fs::create_dir(&undo).unwrap();
    let change = format!(
        "{{\"number\":1,\"time\":5,\"by\":\"{STEERS_ESCAPED}\",\"what\":\"{STEERS_ESCAPED}\"}}\nold"
    );
    std::fs::write(undo.join("1.state"), change).unwrap();
    let export = path(
        "export",
        &format!(
            "{{\"name\":\"{STEERS_ESCAPED}\",\"description\":\"{STEERS_ESCAPED}\",\"action\":\"allow\",\
             \"duration\":\"always\",\"enabled\":true,\"operator\":{{\"type\":\"simple\",\"operand\":\"process.path\",\
             \"data\":\"/usr/bin/cu\\u202erl\"}}}}"
        ),
    );
    let said = harmless(&["rules", "show", &file]);
    assert!(said.contains("b\\u{200b}c"), "{said}");
    for arguments in [
        &["rules", "check", "--elsewhere", &file, &wrong] as &[_],
        &["rules", "check", "/nonexistent\x1b[2J\u{202e}"],
        &["rules", "show", &wrong],
        &["rules", "log", "--file", &file],
        &["rules", "disable", "who", "--dry-run", "--file", &file],
        &["rules", "edit", "who", "--comment", STEERS, "--file", &file],
        &["rules", "undo", "7", "--file", &file],
        &["rules", "remove", STEERS, "--file", &file],
        &["why", &file, "--packet", packet],
        &["why", &file, "--record", &record],
        &["test", "out", "tcp", "192.0.2.1:23", "--file", &file],
        &[
            "dry-run",
            &file,
            "--pcap",
            "ethernet.pcap",
            "--zone",
            "10.0.0.2",
        ],
        &["dry-run", &file, "--pcap", &wrong],
        &["rules", "import", &export],
    ] {
        harmless(arguments);
    }
    let object: Value =
        serde_json::from_slice(&gatebell(&["rules", "show", &file, "--json"]).stdout).unwrap();
    assert_eq!(object["rules"][0]["comment"], STEERS);
    let imported = out(&gatebell(&["rules", "import", &export]));
    let imported = rules::parse("f", &imported, &rules::NoResolver).unwrap();
    let rule = imported.iter().next().unwrap();
    assert_eq!(rule.programs[0].path, "/usr/bin/cu\u{202e}rl");
    assert!(rule.id.chars().all(rules::is_visible), "{:?}", rule.id);
}

#[test]
fn the_mark_stands_under_what_it_marks_also_behind_what_is_written_by_its_number() {
    let text = format!("{DEFAULTS}[[rule]]\nid = 'a'\n\taction = 'a\u{200b}'; x\n");
    let output = gatebell_given(text.as_bytes(), &["rules", "check", "--elsewhere", "-"]);
    let said = out(&output);
    let mut lines = said.lines().rev().skip_while(|line| !line.contains('^'));
    let (mark, line) = (lines.next().unwrap(), lines.next().unwrap());
    let at = mark.chars().position(|c| c == '^').unwrap();
    let before: String = line.chars().take(at).collect();
    assert!(before.ends_with("a\\u{200b}'"), "{said}");
}

#[test]
fn no_text_is_too_wide_for_a_table() {
    let wide = "x".repeat(70_000);
    let rule = format!(
        "[[rule]]\nid = 'a'\naction = 'block'\nprogram = '/{wide}'\nuser = '{wide}'\ncomment = '{wide}'\n"
    );
    let file = File::new(&format!("{DEFAULTS}{rule}"));
    let undo = file.folder.path().join("rules.toml.undo");
    std::fs::create_dir(&undo).unwrap();
    let change = format!("{{\"number\":1,\"time\":5,\"by\":\"{wide}\",\"what\":\"w\"}}\nold");
    std::fs::write(undo.join("1.state"), change).unwrap();
    let shows = ["rules", "show", &file.path];
    for output in [gatebell(&shows), file.rules(&["log"])] {
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        let said = out(&output);
        assert!(said.contains(&wide));
        // Nobody else's line is as wide.
        assert!(said.lines().last().unwrap().len() < 140_000 && said.len() < 500_000);
    }
}

#[test]
fn rules_are_shown_in_the_order_in_which_they_are_tried() {
    golden("show.txt", &gatebell(&["rules", "show", "rules.toml"]));
    golden(
        "show.json",
        &gatebell(&["rules", "show", "rules.toml", "--json"]),
    );
}

#[test]
fn why_names_the_rule_and_what_those_before_it_missed_on() {
    golden(
        "why-rule.txt",
        &gatebell(&[
            "why",
            "rules.toml",
            "--packet",
            "in icmp 10.0.0.1 -> 10.0.0.2 type echo-request",
        ]),
    );
    golden(
        "why-default.txt",
        &gatebell(&[
            "why",
            "rules.toml",
            "--packet",
            "in tcp 10.0.0.1:80 -> 10.0.0.2:50000",
        ]),
    );
    golden(
        "why.json",
        &gatebell(&[
            "why",
            "rules.toml",
            "--packet",
            "out tcp [fd00::2]:5000 -> [fd00::1]:23",
            "--json",
        ]),
    );
    golden(
        "why-error.txt",
        &gatebell(&[
            "why",
            "rules.toml",
            "--packet",
            "in icmp 10.0.0.1 -> 10.0.0.2 type time-exceeded",
        ]),
    );
    golden(
        "why-what.txt",
        &gatebell(&[
            "why",
            "rules.toml",
            "--packet",
            "out tcp 10.0.0.2 -> 10.0.0.1:23",
        ]),
    );
}

#[test]
fn the_rule_that_why_proposes_turns_the_verdict() {
    let rules = std::fs::read_to_string(commands::captures().join("rules.toml")).unwrap();
    for packet in [
        "out tcp 10.0.0.2:5000 -> 10.0.0.1:23",
        "out udp [fd00::2]:5000 -> [fd00::1]:53",
        "in icmp 10.0.0.1 -> 10.0.0.2 type echo-request",
        "in icmp 10.0.0.1 -> 10.0.0.2 type 77 code 3",
        "in icmpv6 fd00::1 -> fd00::2 type echo-reply",
        "out 47 10.0.0.2 -> 10.0.0.1",
        "in tcp 10.0.0.1 -> 10.0.0.2 fragment",
        "out tcp 10.0.0.2:5000 -> 10.0.0.1:23 user 1000 program /opt/there-is-none/tool interface eth0",
        "out tcp 10.0.0.2:5000 -> 10.0.0.1:23 user root",
    ] {
        let first = answer(&rules, packet);
        let snippet = first["to_change"].as_str().unwrap();
        let changed = rules.replacen("[[rule]]", &format!("{snippet}\n[[rule]]"), 1);
        let second = answer(&changed, packet);
        assert_ne!(first["verdict"], second["verdict"], "{packet}");
        // And back, although a rule of the first name is there already.
        let snippet = second["to_change"].as_str().unwrap();
        let back = answer(
            &changed.replacen("[[rule]]", &format!("{snippet}\n[[rule]]"), 1),
            packet,
        );
        assert_eq!(first["verdict"], back["verdict"], "{packet}");
    }
}

fn answer(rules: &str, packet: &str) -> Value {
    let output = gatebell_given(
        rules.as_bytes(),
        &["why", "-", "--packet", packet, "--json"],
    );
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

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

const DEFAULTS: &str = "[default]\ninbound = \"block\"\noutbound = \"allow\"\n";

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

#[test]
fn a_file_is_judged_as_if_a_network_was_there() {
    let text = format!(
        "{DEFAULTS}[[network]]\nid = 'home'\ngateway = '192.0.2.1'\n[[network]]\nid = 'office'\ngateway = '::1'\n\
         [[rule]]\nid = 'ssh'\naction = 'allow'\ndirection = 'in'\nprotocol = 'tcp'\nports = 22\nnetwork = 'home'\n\
         [[rule]]\nid = 'no-web'\naction = 'block'\ndirection = 'out'\nprotocol = 'tcp'\nports = 80\nnetwork = ['!home', '!office']\n"
    );
    let run = |words: &[&str], as_if: Option<&str>| {
        let as_if = as_if.map(|name| ["--as-if", name]);
        let words: Vec<_> = words
            .iter()
            .copied()
            .chain(as_if.into_iter().flatten())
            .collect();
        gatebell_given(text.as_bytes(), &words)
    };
    let ssh = ["test", "in", "tcp", "192.0.2.9:22", "--file", "-"];
    let web = ["test", "out", "tcp", "192.0.2.9:80", "--file", "-"];
    for (as_if, codes) in [
        (Some("home"), [0, 0]),
        (Some("office"), [3, 0]),
        (Some("home,office"), [0, 0]),
        (Some("none"), [3, 3]),
        (Some("unknown"), [3, 3]),
        (None, [3, 3]),
    ] {
        let decided = [&ssh, &web].map(|words| run(&words[..], as_if));
        let found = decided
            .each_ref()
            .map(|output| output.status.code().unwrap());
        assert_eq!(found, codes, "{as_if:?}: {decided:?}");
        let said = decided
            .iter()
            .all(|output| err(output).contains("--as-if says where to judge"));
        assert_eq!(said, as_if.is_none(), "{decided:?}");
    }
    let why = [
        "why",
        "-",
        "--packet",
        "in tcp 192.0.2.9:50000 -> 192.0.2.1:22",
    ];
    let missed = out(&run(&why, Some("office")));
    assert!(missed.contains("it is on at home only"), "{missed}");
    let shown = out(&run(&["rules", "show", "-"], Some("office")));
    assert!(
        shown.contains("at home") && shown.contains("(off here)"),
        "{shown}"
    );
    let check = ["rules", "check", "--elsewhere", "-"];
    assert_eq!(run(&check, Some("home")).status.code(), Some(0));
    for words in [&ssh[..], &why, &check, &["rules", "show", "-"]] {
        let wrong = run(words, Some("hone"));
        let said = err(&wrong);
        assert!(
            wrong.status.code() == Some(1)
                && said.contains("there is no network `hone`; did you mean `home`?"),
            "{words:?}: {said}"
        );
    }
    let wrong = text.replace("network = 'home'", "network = 'hone'");
    let checked = gatebell_given(wrong.as_bytes(), &check);
    let said = out(&checked);
    assert!(
        checked.status.code() == Some(1)
            && said.contains("there is no network `hone`; did you mean `home`?"),
        "{said}"
    );
}

#[test]
fn a_word_for_all_networks_stands_alone() {
    let home = "[[network]]\nid = 'home'\ngateway = '192.0.2.1'\n";
    let file = File::new(&format!("{DEFAULTS}{home}"));
    for (words, word) in [("none,unknown", "none"), ("home,unknown", "unknown")] {
        let output = gatebell(&["rules", "show", &file.path, "--as-if", words]);
        let said = format!("`{word}` stands for all networks, so it stands alone");
        assert_eq!(output.status.code(), Some(1));
        assert!(err(&output).contains(&said), "{}", err(&output));
    }
}
