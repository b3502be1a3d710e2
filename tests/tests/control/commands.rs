//! Tests of what the live commands show, and that they outlive the service.

use super::{NOBODY, control, discard};
use crate::person::{Person, Watch};
use crate::zone::{Protected, RULES};
use serde_json::json;

#[test]
fn each_question_is_answered_in_words_and_as_json() {
    let zone = Protected::start();
    let root = Person::root(&zone);
    assert!(discard(&zone));
    let status = root.ok(&["status", "--json"]);
    assert_eq!(status["rules"]["generation"], 1);
    assert_eq!(status["devices"][1]["name"], lab::DEVICE);
    let words = root.run(&["status"]);
    assert!(
        words.code == 0 && words.out.contains("generation 1: 6 rules of"),
        "{words:?}"
    );
    let stats = root.ok(&["stats", "--json"]);
    assert_eq!(stats["blocked_out"], 1, "{stats}");
    let rule = stats["rules"]
        .as_array()
        .unwrap()
        .iter()
        .find(|rule| rule["id"] == "no-discard")
        .unwrap();
    assert_eq!(rule["hits"], 1, "{stats}");
    assert!(root.run(&["stats"]).out.contains("connections"));
    let audit = root.run(&["audit"]);
    assert!(
        audit.code == 0 && audit.out.contains("Every record is accounted for"),
        "{audit:?}"
    );
    assert!(
        audit.out.contains("refused 1 + left to nobody 0"),
        "{audit:?}"
    );
    assert!(
        words.out.contains("allowed + 1 refused; forward 0"),
        "{words:?}"
    );
    let networks = root.ok(&["networks", "--json"]);
    assert_eq!(
        (&networks["networks"], &networks["routes"]),
        (&json!([]), &json!([]))
    );
    let networks = root.run(&["networks"]);
    let said = "The rules in force name no network.\nroute there is no default route\n";
    assert!(networks.code == 0 && networks.out == said, "{networks:?}");
    let show = root.run(&["rules", "show"]);
    assert!(show.code == 0 && show.out.contains("no-telnet"), "{show:?}");
    // Whoever changed the file by hand sees both.
    std::fs::write(&zone.rules, "by hand").unwrap();
    assert_eq!(root.run(&["rules", "show", "--text"]).out, RULES);
}

#[test]
fn without_a_service_each_command_says_how_to_start_it() {
    let root = Person::alone();
    let commands: [&[&str]; 7] = [
        &["status"],
        &["networks"],
        &["watch"],
        &["audit"],
        &["stats"],
        &["rules", "confirm"],
        &["why", "--packet", "in tcp 10.0.0.1:1 -> 10.0.0.2:23"],
    ];
    for command in commands {
        let said = root.run(command);
        assert_eq!(said.code, 1, "{command:?}: {said:?}");
        assert!(
            said.err.contains("gatebelld is not running; start it with"),
            "{command:?}: {said:?}"
        );
    }
}

#[test]
fn watch_shows_a_refused_packet_with_its_rule_and_ends_with_books_that_balance() {
    let zone = Protected::start();
    let mut watch = Watch::start(&zone, &["--kind", "packet", "--verdict", "block"]);
    let record = watch.next_of(&zone, "packet");
    assert_eq!(record["rule"], "no-discard", "{record}");
    let line = RULES
        .lines()
        .position(|line| line == "id = \"no-discard\"")
        .unwrap()
        + 1;
    assert_eq!(record["line"], line, "{record}");
    assert_eq!(record["generation"], 1);
    assert_eq!(record["program"]["name"], "bash");
    let (account, ended) = watch.end();
    assert_eq!(ended.code(), Some(0));
    assert_eq!(account["offered"], account["delivered"], "{account}");
    assert_eq!(account["lost"], 0);
    assert_eq!(account["in_ring"], 0);
}

#[test]
fn why_explains_what_was_refused_then_and_what_the_rules_say_now() {
    let zone = Protected::start();
    let root = Person::root(&zone);
    let mut watch = Watch::start(&zone, &["--kind", "packet", "--verdict", "block"]);
    let record = watch.next_of(&zone, "packet").to_string();
    watch.end();
    let then = format!("block by rule `no-discard` ({}:", zone.rules.display());
    for question in [&["why", "--last"] as &[_], &["why", "--record", &record]] {
        let why = root.run(question);
        assert!(why.code == 0 && why.out.contains(&then), "{why:?}");
        assert!(why.out.contains("out udp"), "{why:?}");
    }
    let other = RULES.replace("ports = 9\n", "ports = 19\n");
    std::fs::write(&zone.rules, other).unwrap();
    assert_eq!(
        root.run(&["rules", "apply", zone.rules.to_str().unwrap()])
            .code,
        0
    );
    let why = root.ok(&["why", "--record", &record, "--json"]);
    assert_eq!(why["then"]["rule"], "no-discard", "{why}");
    assert_eq!(why["now"]["verdict"], "allow", "{why}");
}

#[test]
fn watch_outlives_the_service_and_says_so() {
    let mut zone = Protected::start();
    let mut watch = Watch::start(&zone, &["--kind", "packet", "--verdict", "block"]);
    watch.next_of(&zone, "packet");
    zone.service.kill();
    let ended = watch.hear("ended");
    assert_eq!(ended["offered"], ended["delivered"], "{ended}");
    zone.start_again();
    watch.hear("attached");
    assert_eq!(watch.next_of(&zone, "packet")["rule"], "no-discard");
    let (_, ended) = watch.end();
    assert_eq!(ended.code(), Some(0));
}

#[test]
fn recover_takes_everything_out_and_twice_in_a_row_is_fine() {
    let mut zone = Protected::start();
    let root = Person::root(&zone);
    assert!(discard(&zone));
    let taken = root.recover();
    assert!(!taken["recovered"].as_array().unwrap().is_empty());
    zone.service.process.wait().unwrap();
    assert!(!discard(&zone), "nothing is filtered any more");
    assert!(!control(&zone).exists());
    assert_eq!(root.recover()["recovered"], json!([]));
    let nobody = root.user(NOBODY);
    let said = nobody.run(&["recover"]);
    assert!(
        said.code == 1 && said.err.contains("sudo gatebell recover"),
        "{said:?}"
    );
}
