//! Tests of what the history keeps, with its names.

use super::resolver::{BELIEVED, Resolver};
use super::{NOBODY, control, discard};
use crate::person::{Person, Watch};
use crate::zone::Protected;
use crate::zone::probe::wait_until;
use lab::OUTSIDE;
use serde_json::{Value, json};

/// Keeps what happens, in a zone that may not telnet and whose calls of port 4001 are reported.
pub const KEPT: &[&str] = &["--history-days", "30", "--history-size", "2MiB"];

pub fn shown(who: &Person, words: &[&str]) -> Vec<Value> {
    let words: Vec<_> = ["history", "--json"].iter().chain(words).copied().collect();
    let said = who.run(&words);
    assert_eq!(said.code, 0, "{words:?}: {said:?}");
    let lines = said.out.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The only row of this port, once there is one.
fn kept(who: &Person, port: u16, count: u64) -> Value {
    let mut found = Value::Null;
    wait_until("it is kept", || {
        let rows = shown(who, &["--direction", "out"]);
        let mut rows = rows.into_iter().filter(|row| row["port"] == port);
        found = rows.next().unwrap_or_default();
        rows.all(|row| row["port"] != port) && found["count"].as_u64() >= Some(count)
    });
    found
}

#[test]
fn what_was_refused_and_what_was_reported_is_kept_with_program_rule_and_name_over_a_kill_and_a_broken_file()
 {
    let rules = "[default]\ninbound = \"block\"\noutbound = \"allow\"\n\
         [[rule]]\nid = \"no-telnet\"\naction = \"block\"\ndirection = \"out\"\nprotocol = \"tcp\"\nports = 23\n\
         [[rule]]\nid = \"told\"\naction = \"allow\"\ndirection = \"out\"\nprotocol = \"tcp\"\nports = 4001\nlog = true\n\
         [[rule]]\nid = \"neighbours\"\naction = \"allow\"\nprotocol = \"icmpv6\"\n";
    let mut zone = Protected::with_options(&format!("{rules}{BELIEVED}"), KEPT);
    let socket = control(&zone);
    let open = || {
        std::fs::set_permissions(&socket, std::os::unix::fs::PermissionsExt::from_mode(0o666))
            .unwrap()
    };
    open();
    let root = Person::root(&zone);
    let nobody = Person::root(&zone).user(NOBODY);
    let _resolver = Resolver::start(&zone);
    let call = |port: u16, user: u32| {
        let line = format!(
            "setpriv --reuid={user} --clear-groups timeout 2 bash -c 'exec 3<>/dev/tcp/{OUTSIDE}/{port}'"
        );
        zone.inside(&line);
    };
    call(23, 0);
    call(4001, NOBODY);
    let refused = kept(&root, 23, 1);
    assert_eq!(
        [
            &refused["verdict"],
            &refused["rule"],
            &refused["remote"],
            &refused["name"],
            &refused["process"]
        ],
        [
            &json!("block"),
            &json!("no-telnet"),
            &json!(OUTSIDE),
            &json!("www.example"),
            &json!("bash")
        ]
    );
    assert_eq!(
        (&refused["user"], &refused["protocol"]),
        (&json!(0), &json!(6))
    );
    let bash = refused["program"].as_str().unwrap().to_owned();
    assert!(bash.ends_with("/bash"), "{refused}");
    let told = kept(&root, 4001, 1);
    assert_eq!(
        [&told["verdict"], &told["rule"], &told["user"]],
        [&json!("allow"), &json!("told"), &json!(NOBODY)]
    );
    let own = shown(&nobody, &[]);
    assert!(
        !own.is_empty() && own.iter().all(|row| row["user"] == NOBODY),
        "{own:?}"
    );
    let sums = shown(
        &root,
        &["--by", "rule", "--program", &bash, "--since", "1h"],
    );
    let refusals = sums.iter().find(|sum| sum["rule"] == "no-telnet").unwrap();
    assert_eq!(
        (&refusals["refused"], &refusals["allowed"]),
        (&refused["count"], &json!(0))
    );
    let csv = root.run(&["history", "--csv", "--rule", "no-telnet"]);
    assert!(
        csv.code == 0 && csv.out.lines().count() == 2 && csv.out.contains("www.example"),
        "{csv:?}"
    );
    let table = root.run(&["history", "--rule", "no-telnet"]);
    assert!(
        table.out.contains("192") || table.out.contains(OUTSIDE),
        "{table:?}"
    );
    let audit = root.ok(&["audit", "--json"]);
    assert_eq!(
        (
            audit["balances"].as_bool(),
            audit["apps"].as_array().unwrap().len()
        ),
        (Some(true), 1)
    );
    let status = root.ok(&["status", "--json"]);
    let state = &status["history"];
    assert_eq!(
        (&status["trouble"], &state["lost"], &state["days"]),
        (&json!([]), &json!(0), &json!(30))
    );
    assert!(state["kept"].as_u64() >= Some(2), "{state}");

    // What is in the file, a kill leaves there.
    let count = || {
        let page = history::page(
            &zone.lab.folder().join("kept"),
            &history::PageRequest::default(),
        );
        let rows = page.unwrap().rows.into_iter();
        let refused = rows.filter(|row| row.conversation.port == Some(23));
        refused.map(|row| row.tally.count).sum::<u64>()
    };
    let before = count();
    call(23, 0);
    wait_until("it is in the file", || count() > before);
    zone.service.process.kill().unwrap();
    zone.service.process.wait().unwrap();
    assert!(count() > before);

    // A file that is broken is put aside; packets are judged all the same, and what happens is kept again.
    let file = zone.lab.folder().join("kept/history.db");
    std::fs::write(&file, b"no database").unwrap();
    assert!(zone.start_again_with(KEPT));
    open();
    let call = format!("timeout 2 bash -c 'exec 3<>/dev/tcp/{OUTSIDE}/23'");
    wait_until("it is kept again", || {
        assert!(!zone.inside(&call).status.success());
        // Until it is put aside, nothing can be read.
        let said = root.run(&["history", "--json", "--rule", "no-telnet"]);
        said.code == 0 && !said.out.is_empty()
    });
    let aside = zone.lab.folder().join("kept/history.db.broken");
    assert_eq!(std::fs::read(aside).unwrap(), b"no database");
    let status = root.ok(&["status", "--json"]);
    assert_eq!(
        (&status["history"]["put_aside"], &status["trouble"]),
        (&json!(true), &json!([]))
    );
}

#[test]
fn the_first_contact_of_a_program_and_of_one_whose_file_has_changed_is_told_once_over_restarts() {
    let rules = "[default]\ninbound = \"block\"\noutbound = \"allow\"\n\
         [[rule]]\nid = \"told\"\naction = \"allow\"\ndirection = \"out\"\nprotocol = \"udp\"\nports = [9, 10, 11, 12, 13]\nlog = true\n\
         [[rule]]\nid = \"neighbours\"\naction = \"allow\"\nprotocol = \"icmpv6\"\n";
    let mut zone = Protected::with_options(rules, KEPT);
    let root = Person::root(&zone);
    let program = zone.lab.folder().join("a talker");
    let replace = || {
        let next = program.with_extension("next");
        std::fs::copy("/bin/bash", &next).unwrap();
        std::fs::rename(next, &program).unwrap();
    };
    let path = program.to_str().unwrap();
    let talk = |zone: &Protected, port: u16| {
        wait_until("the history hears", || {
            let audit = root.ok(&["audit", "--json"]);
            audit["apps"].as_array().unwrap().len() == 1
        });
        zone.inside(&format!("'{path}' -c 'echo > /dev/udp/{OUTSIDE}/{port}'"));
        kept(&root, port, 1)
    };
    replace();
    assert_eq!(talk(&zone, 9)["contact"], "first");
    assert_eq!(talk(&zone, 10)["contact"], Value::Null);
    replace();
    assert_eq!(talk(&zone, 11)["contact"], "changed");
    zone.service.kill();
    zone.start_again_with(KEPT);
    assert_eq!(talk(&zone, 12)["contact"], Value::Null);
    replace();
    assert_eq!(talk(&zone, 13)["contact"], "changed");
    let mut first = shown(&root, &["--first", "--program", path]);
    first.sort_by_key(|row| row["port"].as_u64());
    let contacts: Vec<_> = first
        .iter()
        .map(|row| (&row["port"], &row["contact"]))
        .collect();
    let expected = [
        (json!(9), json!("first")),
        (json!(11), json!("changed")),
        (json!(13), json!("changed")),
    ];
    assert_eq!(
        contacts,
        expected.each_ref().map(|(port, contact)| (port, contact))
    );
}

#[test]
fn who_watches_is_told_once_of_a_program_that_talks_for_the_first_time() {
    let rules = "[default]\ninbound = \"block\"\noutbound = \"allow\"\n\
         [[rule]]\nid = \"told\"\naction = \"allow\"\ndirection = \"out\"\nprotocol = \"udp\"\nports = [9, 10, 11]\nlog = true\n\
         [[rule]]\nid = \"neighbours\"\naction = \"allow\"\nprotocol = \"icmpv6\"\n";
    let zone = Protected::with_options(rules, KEPT);
    let root = Person::root(&zone);
    wait_until("the history hears", || {
        let audit = root.ok(&["audit", "--json"]);
        audit["apps"].as_array().unwrap().len() == 1
    });
    let program = zone.lab.folder().join("a talker");
    let path = program.to_str().unwrap();
    let replace = || {
        let next = program.with_extension("next");
        std::fs::copy("/bin/bash", &next).unwrap();
        std::fs::rename(next, &program).unwrap();
    };
    let talk = |port: u16| {
        zone.inside(&format!("'{path}' -c 'echo > /dev/udp/{OUTSIDE}/{port}'"));
        kept(&root, port, 1);
    };
    let mut watch = Watch::start(&zone, &[]);
    let told = || {
        loop {
            let contact = watch.hear("contact");
            if contact["program"] == path {
                return (contact["port"].clone(), contact["contact"].clone());
            }
        }
    };
    replace();
    talk(9);
    assert_eq!(told(), (json!(9), json!("first")));
    talk(10);
    replace();
    talk(11);
    assert_eq!(told(), (json!(11), json!("changed")), "and of no other");
    assert!(watch.end().1.success());
}

#[test]
fn what_rules_would_have_done_to_what_was_kept_is_said_and_what_can_t_be_said_is_not_guessed() {
    let rules = |nine: &str, more: &str| {
        format!(
            "[default]\ninbound = \"block\"\noutbound = \"block\"\n\
             [[rule]]\nid = \"nine\"\naction = \"{nine}\"\ndirection = \"out\"\nprotocol = \"udp\"\nports = 9\nlog = true\n{more}\
             [[rule]]\nid = \"ten\"\naction = \"allow\"\ndirection = \"out\"\nprotocol = \"udp\"\nports = 10\nlog = true\n\
             [[rule]]\nid = \"neighbours\"\naction = \"allow\"\nprotocol = \"icmpv6\"\n"
        )
    };
    let zone = Protected::with_options(&rules("allow", ""), KEPT);
    let root = Person::root(&zone);
    wait_until("the history hears", || {
        let audit = root.ok(&["audit", "--json"]);
        audit["apps"].as_array().unwrap().len() == 1
    });
    for port in [9, 10, 11] {
        zone.inside(&format!("echo > /dev/udp/{OUTSIDE}/{port}"));
        kept(&root, port, 1);
    }
    let by_device = "[[rule]]\nid = \"wired\"\naction = \"block\"\ninterface = \"gb0\"\nprotocol = \"udp\"\nports = 10\n\
         [[rule]]\nid = \"eleven\"\naction = \"allow\"\nuser = 0\nprotocol = \"udp\"\nports = 11\n";
    let new = zone.lab.folder().join("new.toml");
    std::fs::write(&new, rules("block", by_device)).unwrap();
    let words = [
        "dry-run",
        new.to_str().unwrap(),
        "--history",
        "--since",
        "1h",
    ];
    let said = root.run(&[&words[..], &["--json"]].concat());
    assert_eq!(said.code, 0, "{said:?}");
    let lines: Vec<Value> = said
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |port: u16| {
        let mut found = lines.iter().filter(|line| line["port"] == port);
        let line = found.next().unwrap();
        assert!(found.next().is_none(), "{lines:?}");
        (&line["was"], &line["would"], &line["rule"], &line["unsure"])
    };
    let none = &json!([]);
    assert_eq!(
        of(9),
        (&json!("allow"), &json!("block"), &json!("nine"), none)
    );
    assert_eq!(
        of(11),
        (&json!("block"), &json!("allow"), &json!("eleven"), none)
    );
    let wired = &json!([{ "rule": "wired", "asks": ["interface"] }]);
    assert_eq!(of(10), (&json!("allow"), &Value::Null, &Value::Null, wired));
    let summary = lines.last().unwrap();
    assert_eq!(summary["kind"], "summary");
    let table = root.run(&words);
    assert!(
        table.out.contains("allowed -> blocked")
            && table.out.contains("`wired` asks for interface"),
        "{table:?}"
    );
    assert!(!discard(&zone), "nothing is changed");
}
