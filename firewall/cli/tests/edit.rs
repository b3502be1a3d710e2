//! Rule files, and sets, changed by command.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod commands;

use commands::{File, command, err, gatebell, gatebell_given, nobody, out};
use std::path::{Path, PathBuf};

const RULES: &str = "# Ours.\n[default]\ninbound = \"block\"\noutbound = \"allow\"   # for now\n\n\
                     # the web\n[[rule]]\nid = \"web\"\naction = \"allow\"\nprotocol = 'tcp'\nports = [80, 443] # both\n\n\
                     [[rule]]\nid = \"no-telnet\"\naction = \"block\"\ndirection = \"out\"\nprotocol = \"tcp\"\nports = 23\n";

#[test]
fn rules_are_added_edited_moved_and_removed_and_all_else_stays() {
    let file = File::new(RULES);
    let added = file.shown(&[
        "add",
        "allow",
        "--direction",
        "out",
        "--protocol",
        "tcp,udp",
        "--ports",
        "53,8000-8080",
        "--destination",
        "192.0.2.7",
        "--comment",
        "a \"b\"",
        "--before",
        "no-telnet",
    ]);
    let rule = "[[rule]]\nid = \"allow-tcp-53-out\"\naction = \"allow\"\ndirection = \"out\"\nprotocol = [\"tcp\", \"udp\"]\n\
                destination = \"192.0.2.7\"\nports = [53, \"8000-8080\"]\ncomment = \"a \\\"b\\\"\"\n\n";
    let expected = RULES.replace(
        "[[rule]]\nid = \"no-telnet\"",
        &format!("{rule}[[rule]]\nid = \"no-telnet\""),
    );
    assert_eq!(file.text(), expected, "{added}");
    assert!(
        added.contains("\n+id = \"allow-tcp-53-out\"\n") && added.ends_with("exit code 0\n"),
        "{added}"
    );

    file.shown(&[
        "edit",
        "web",
        "--ports",
        "443",
        "--log",
        "--unset",
        "protocol",
        "--protocol",
        "tcp",
    ]);
    let web = "action = \"allow\"\nports = 443 # both\nprotocol = \"tcp\"\nlog = true\n";
    let expected = expected.replace(
        "action = \"allow\"\nprotocol = 'tcp'\nports = [80, 443] # both\n",
        web,
    );
    assert_eq!(file.text(), expected);

    file.shown(&["move", "web", "--last"]);
    assert!(
        file.text().ends_with(&format!(
            "ports = 23\n\n# the web\n[[rule]]\nid = \"web\"\n{web}"
        )),
        "{}",
        file.text()
    );
    file.shown(&["move", "web", "--first"]);
    assert_eq!(file.text(), expected);

    file.shown(&["disable", "web", "no-telnet"]);
    assert_eq!(file.text().matches("enabled = false").count(), 2);
    file.shown(&["enable", "web", "no-telnet"]);
    file.shown(&["remove", "allow-tcp-53-out"]);
    assert_eq!(file.text(), expected.replace(rule, ""));
}

#[test]
fn a_change_that_would_not_be_taken_changes_nothing_and_says_what_would_be_right() {
    let file = File::new(RULES);
    let refused = |words: &[&str], expected: &[&str]| {
        let shown = file.shown(words);
        assert!(shown.ends_with("exit code 1\n"), "{shown}");
        for expected in expected {
            assert!(shown.contains(expected), "{expected}: {shown}");
        }
        assert_eq!(file.text(), RULES);
    };
    refused(
        &["add", "allow", "--ports", "80"],
        &[
            "ports = 80",
            "`ports` goes with protocols that have ports",
            "the file would have 1 error",
        ],
    );
    refused(
        &["add", "alow", "--id", "web"],
        &["did you mean `allow`?", "is called `web` too"],
    );
    refused(
        &["remove", "wbe"],
        &["there is no rule `wbe`; did you mean `web`?"],
    );
    refused(&["move", "web", "--before", "x"], &["there is no rule `x`"]);
    refused(&["edit", "web"], &["say what to change"]);
    refused(
        &["edit", "web", "--unset", "user"],
        &["rule `web` has no key `user`"],
    );
    let wrong = gatebell(&["rules", "move", "web", "--file", &file.path]);
    assert_eq!(wrong.status.code(), Some(2), "{}", err(&wrong));

    let bad = File::new("[default]\ninbound = \"block\"\n");
    let shown = bad.shown(&["add", "allow"]);
    assert!(
        shown.contains("`outbound` is missing") && shown.contains("has 1 error as it is"),
        "{shown}"
    );
}

#[test]
fn a_change_can_be_seen_before_it_is_made_and_as_json() {
    let file = File::new(RULES);
    let words = ["disable", "web", "--dry-run"];
    let shown = file.shown(&words);
    assert!(
        shown.contains("+enabled = false\n") && shown.contains("nothing was written"),
        "{shown}"
    );
    let object: serde_json::Value = serde_json::from_str(&out(&file.rules(&[
        "disable",
        "web",
        "--dry-run",
        "--json",
    ])))
    .unwrap();
    assert_eq!(
        (&object["changed"], &object["written"]),
        (&true.into(), &false.into())
    );
    assert!(
        object["difference"]
            .as_str()
            .unwrap()
            .contains("+enabled = false")
    );
    assert_eq!(file.text(), RULES);
    let shown = file.shown(&["enable", "web"]);
    assert!(shown.contains("Nothing changes"), "{shown}");
    assert!(!Path::new(&format!("{}.undo", file.path)).exists());
}

#[test]
fn changes_are_listed_and_taken_back_one_after_another_and_what_was_taken_back_can_be_had_again() {
    let file = File::new(RULES);
    let nothing = file.shown(&["undo"]);
    assert!(
        nothing.contains("there is no change") && nothing.ends_with("exit code 1\n"),
        "{nothing}"
    );
    file.shown(&["disable", "web"]);
    let first = file.text();
    file.shown(&["remove", "no-telnet"]);
    let second = file.text();
    let log = file.shown(&["log"]);
    let lines: Vec<_> = log.lines().collect();
    assert!(
        lines[0].contains("remove no-telnet") && lines[0].contains("undo takes back this one"),
        "{log}"
    );
    assert!(
        lines[1].contains("disable web") && lines.len() == 3,
        "{log}"
    );
    let log = out(&file.rules(&["log", "--json"]));
    let object: serde_json::Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&object["number"], &object["what"]),
        (&2.into(), &"remove no-telnet".into())
    );

    file.shown(&["undo", "--dry-run"]);
    assert_eq!(file.text(), second);
    file.shown(&["undo"]);
    assert_eq!(file.text(), first);
    file.shown(&["undo"]);
    assert_eq!(file.text(), RULES);
    assert!(file.shown(&["undo"]).ends_with("exit code 1\n"));
    // The third change took back the second.
    file.shown(&["undo", "3"]);
    assert_eq!(file.text(), second);
    assert!(
        file.shown(&["undo", "99"])
            .contains("there is no change 99")
    );
}

#[test]
fn a_change_that_locks_out_who_is_logged_in_is_warned_of_as_a_check_does() {
    const LOGIN: &str = "203.0.113.7 50000 192.0.2.5 22";
    let rules = "[default]\ninbound = \"block\"\noutbound = \"allow\"\n\n[[rule]]\nid = \"ssh\"\naction = \"allow\"\n\
                 direction = \"in\"\nprotocol = \"tcp\"\nports = 22\n";
    let file = File::new(rules);
    let run = |words: &[&str]| {
        let mut all = [&["rules"], words, &["--file", &file.path]].concat();
        if cfg!(target_os = "linux") {
            all.extend(["--socket", "/nonexistent/gatebell.sock"]);
        }
        let ran = command(&all).env("SSH_CONNECTION", LOGIN).output().unwrap();
        assert!(ran.status.success(), "{words:?}: {}", err(&ran));
        ran
    };
    let is_warned_of =
        |words: &[&str]| err(&run(words)).contains("203.0.113.7, from where you are logged in");
    let locks: [&[&str]; 6] = [
        &["disable", "ssh"],
        &["remove", "ssh"],
        &["edit", "ssh", "--ports", "2222"],
        &["edit", "ssh", "--action", "block"],
        &["add", "block", "--direction", "in", "--first"],
        &["add", "block", "--protocol", "tcp", "--before", "ssh"],
    ];
    for words in locks {
        let asked = [words, &["--dry-run"]].concat();
        assert!(is_warned_of(&asked), "{words:?}");
        assert!(is_warned_of(words), "{words:?}");
        assert!(!is_warned_of(&["undo"]), "{words:?}");
    }
    assert!(is_warned_of(&["disable", "ssh"]));
    assert!(!is_warned_of(&["enable", "ssh"]));
    assert!(is_warned_of(&["undo", "--dry-run"]), "what is taken back");
    assert!(!is_warned_of(&[
        "add",
        "block",
        "--direction",
        "in",
        "--last"
    ]));
    assert!(is_warned_of(&["move", "block-in", "--first"]));
    let object = out(&run(&["undo", "--json", "--dry-run"]));
    assert!(!object.contains("logged in"), "{object}");
    let object = out(&run(&["remove", "ssh", "--json", "--dry-run"]));
    assert!(object.contains("logged in"), "{object}");
}

#[test]
fn a_change_is_made_and_a_verdict_is_the_exit_code_also_if_nobody_hears_of_it() {
    // The last rule is never reached, which is a warning; and the difference is larger than what is
    // gathered before it is written.
    let long = "x".repeat(100_000);
    let shadowed = "[[rule]]\nid = \"all\"\naction = \"allow\"\n[[rule]]\nid = \"never\"\naction = \"block\"\n";
    for (hears, reads) in [(false, true), (true, false), (false, false)] {
        let file = File::new(&format!("{RULES}{shadowed}"));
        let added = ["rules", "add", "block", "--id", "new", "--direction", "in"];
        let mut adds = command(&added);
        adds.args(["--comment", &long, "--file", &file.path]);
        let mut tests = command(&["test", "out", "tcp", "192.0.2.7:23", "--file", &file.path]);
        let wrong = file.folder.path().join("wrong.toml");
        std::fs::write(&wrong, "[[rule]]\nid = 1\n".repeat(2000)).unwrap();
        let mut checks = command(&["rules", "check", wrong.to_str().unwrap()]);
        let mut shows = command(&["rules", "show", wrong.to_str().unwrap()]);
        let codes = [&mut adds, &mut tests, &mut checks, &mut shows].map(|command| {
            if !hears {
                command.stderr(nobody());
            }
            if !reads {
                command.stdout(nobody());
            }
            command.output().unwrap().status.code()
        });
        let expected = [0, 3, 1, 1].map(Some);
        assert_eq!(codes, expected, "hears {hears}, reads {reads}");
        assert!(file.text().contains("id = \"new\""), "{hears}, {reads}");
    }
}

#[test]
fn beside_a_state_with_the_highest_number_nothing_is_changed_and_it_is_named() {
    let file = File::new(RULES);
    let undo = PathBuf::from(format!("{}.undo", file.path));
    std::fs::create_dir(&undo).unwrap();
    let planted = undo.join(format!("{}.state", u64::MAX));
    let change = format!(
        "{{\"number\":{},\"time\":5,\"by\":\"a\",\"what\":\"w\"}}\n",
        u64::MAX
    );
    std::fs::write(&planted, change).unwrap();
    let said = file.shown(&["disable", "web"]);
    assert!(said.contains("highest number that there is"), "{said}");
    assert!(said.ends_with("exit code 1\n"), "{said}");
    assert_eq!(file.text(), RULES);
}

#[test]
fn each_key_of_a_rule_is_an_option_and_a_question_becomes_an_answer_by_command() {
    let schema: serde_json::Value =
        serde_json::from_slice(&gatebell(&["rules", "schema"]).stdout).unwrap();
    let keys = schema["$defs"]["rule"]["properties"].as_object().unwrap();
    assert!(keys.len() > 15);
    let help = |command| out(&gatebell(&["rules", command, "--help"]));
    let (add, edit) = (help("add"), help("edit"));
    let unset = out(&gatebell(&["rules", "edit", "a", "--unset", "nothing"]))
        + &err(&gatebell(&["rules", "edit", "a", "--unset", "nothing"]));
    for key in keys.keys() {
        let option = format!("--{} ", key.replace('_', "-"));
        assert!(edit.contains(&option), "{option}");
        // Without these there is no rule.
        if key != "action" {
            assert!(add.contains(&option), "{option}");
        }
        if !["id", "action"].contains(&key.as_str()) {
            assert!(unset.contains(key), "{key}: {unset}");
        }
    }
    let file = File::new(RULES);
    let asks = [
        "--direction",
        "out",
        "--unanswered",
        "allow",
        "--answer-within",
        "5",
    ];
    let add = ["add", "ask", "--id", "q"]
        .into_iter()
        .chain(asks)
        .collect::<Vec<_>>();
    assert_eq!(file.rules(&add).status.code(), Some(0));
    assert!(
        file.text()
            .contains("unanswered = \"allow\"\nanswer_within = 5\n"),
        "{}",
        file.text()
    );
    let answered = [
        "edit",
        "q",
        "--action",
        "block",
        "--unset",
        "unanswered,answer_within",
    ];
    let output = file.rules(&answered);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(!file.text().contains("answer"), "{}", file.text());
}

#[test]
fn an_empty_list_for_a_set_changes_nothing_and_is_no_failure() {
    for change in ["add", "remove"] {
        let arguments = ["set", change, "banned", "-", "--socket", "/nobody/is/there"];
        let done = gatebell_given(b"\n", &arguments);
        assert_eq!(done.status.code(), Some(0), "{}", err(&done));
        assert!(err(&done).contains("nothing was changed"));
    }
}
