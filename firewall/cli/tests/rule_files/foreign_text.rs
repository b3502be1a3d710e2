//! Tests of what commands show of text that is not theirs.

use crate::DEFAULTS;
use crate::commands::{File, command, gatebell, gatebell_given, out, shown};
use serde_json::Value;

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
