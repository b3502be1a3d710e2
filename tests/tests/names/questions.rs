//! Questions to a person, with the names of the other ends.

use super::resolver::{BELIEVED, Resolver};
use super::{Asks, NOBODY, control, names};
use crate::person::{self, Person};
use crate::zone::Protected;
use crate::zone::probe::wait_until;
use lab::{OUTSIDE, OUTSIDE_V6};
use serde_json::{Value, json};

#[test]
fn a_question_names_the_other_end_and_others_than_root_hear_no_other_names() {
    let zone = Protected::with(&format!(
        "[default]\ninbound = \"block\"\noutbound = \"ask\"\nanswer_within = 60\n\
         [[rule]]\nid = \"names\"\naction = \"allow\"\ndirection = \"out\"\nprotocol = \"udp\"\nports = 53\n\
         [[rule]]\nid = \"neighbours\"\naction = \"allow\"\nprotocol = \"icmpv6\"\n{BELIEVED}"
    ));
    let _resolver = Resolver::start(&zone);
    let connect = format!("exec 3<>/dev/tcp/{OUTSIDE}/4001");
    let user = format!("--reuid={NOBODY}");
    let words = [
        "setpriv",
        &user,
        "--clear-groups",
        "timeout",
        "20",
        "bash",
        "-c",
        &connect,
    ];
    let mut waits = Resolver::run(zone.lab.inside(&words));
    let nobody = Person::root(&zone).user(NOBODY);
    std::fs::set_permissions(
        control(&zone),
        std::os::unix::fs::PermissionsExt::from_mode(0o666),
    )
    .unwrap();
    let mut asked = String::new();
    wait_until("the question is asked", || {
        asked = nobody.run(&["ask", "--list", "--json"]).out;
        !asked.is_empty()
    });
    let asked: Value = serde_json::from_str(&asked).unwrap();
    assert_eq!(asked["remote_name"], "www.example", "{asked}");
    let shown = nobody.run(&["ask", "--list"]).out;
    assert!(shown.contains("10.77.0.1 (www.example)"), "{shown}");
    assert!(waits.0.try_wait().unwrap().is_none());
    let stream = person::connect_as(NOBODY, &control(&zone)).unwrap();
    let said = said(stream, "GetAddressNames", &json!({ "since": 0 }));
    assert_eq!(said["error"], "org.gatebell.Firewall.NotPermitted");
    assert!(!said.to_string().contains("www.example"), "{said}");
}

/// Starts a zone that asks about all but names, and a resolver whose answer about web.example has been read.
fn asking_of_names() -> (Protected, Resolver) {
    let zone = Protected::with(&format!(
        "[default]\ninbound = \"block\"\noutbound = \"ask\"\nanswer_within = 600\n\
         [[rule]]\nid = \"names\"\naction = \"allow\"\ndirection = \"out\"\nprotocol = \"udp\"\nports = 53\n\
         [[rule]]\nid = \"neighbours\"\naction = \"allow\"\nprotocol = \"icmpv6\"\n{BELIEVED}"
    ));
    let resolver = Resolver::start(&zone);
    wait_until("both addresses have the name", || {
        zone.asks("web.example", "a") && zone.asks("web.example", "aaaa") && {
            let known = names(&zone);
            known.len() == 2 && known.iter().all(|(_, name)| name == "web.example")
        }
    });
    (zone, resolver)
}

/// Has a program of the zone send a datagram to this address. Returns whether it could.
fn sends(zone: &Protected, address: &str) -> bool {
    let line = format!("echo > /dev/udp/{address}/4001");
    zone.inside(&line).status.success()
}

/// Returns the questions that wait.
fn waiting(person: &Person) -> Vec<Value> {
    let said = person.run(&["ask", "--list", "--json"]).out;
    let lines = said.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}

/// Returns the only question that waits, once this place is the last that it shows.
fn question_up_to(person: &Person, listed: u64) -> Value {
    let mut all = Vec::new();
    wait_until("it is asked about", || {
        all = waiting(person);
        all.iter().any(|one| one["listed"] == listed)
    });
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

#[test]
fn the_addresses_of_one_name_are_asked_about_once_and_answered_at_once() {
    let (zone, _resolver) = asking_of_names();
    let root = Person::root(&zone);
    assert!(!sends(&zone, OUTSIDE_V6) && !sends(&zone, OUTSIDE));
    let question = question_up_to(&root, 2);
    assert_eq!(
        (&question["many"], &question["more"]),
        (&json!(false), &json!(0))
    );
    let shown = root.run(&["ask", "--list"]).out;
    let both = format!("{OUTSIDE_V6}, {OUTSIDE} (web.example) udp port 4001");
    assert!(shown.contains(&both), "{shown}");
    let id = question["id"].to_string();
    let said = root.run(&["ask", "--answer", &id, "allow", "--listed", "2"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(sends(&zone, OUTSIDE_V6) && sends(&zone, OUTSIDE));
    assert_eq!(waiting(&root), [] as [Value; 0]);
}

#[test]
fn an_answer_about_a_name_is_to_the_addresses_that_were_shown_and_is_kept_with_the_name_that_was() {
    let (zone, _resolver) = asking_of_names();
    let root = Person::root(&zone);
    assert!(!sends(&zone, OUTSIDE_V6));
    let shown = question_up_to(&root, 1);
    assert_eq!(shown["remote_name"], "web.example");
    // The other address joins, and this one has another name by now.
    assert!(!sends(&zone, OUTSIDE));
    question_up_to(&root, 2);
    wait_until("it has another name", || {
        zone.asks("www.example", "aaaa")
            && names(&zone).iter().any(|(_, name)| name == "www.example")
    });
    let id = shown["id"].to_string();
    let answers = |more: &[&str]| root.run(&[&["ask", "--answer", &id, "allow"], more].concat());
    let said = answers(&[]);
    assert!(
        said.code == 1 && said.err.contains("--listed"),
        "which they were is not said: {said:?}"
    );
    let said = answers(&["--listed", "1", "--for", "always"]);
    assert!(
        said.code == 0 && !said.out.contains(OUTSIDE),
        "what was answered: {said:?}"
    );
    assert!(sends(&zone, OUTSIDE_V6) && !sends(&zone, OUTSIDE));
    let kept: Value = serde_json::from_str(&root.run(&["answers", "--json"]).out).unwrap();
    assert_eq!(
        (&kept["remote"], &kept["remote_name"]),
        (&json!(OUTSIDE_V6), &json!("web.example"))
    );
    let left = question_up_to(&root, 2);
    assert_eq!(
        (&left["id"], &left["remote"]),
        (&shown["id"], &json!(OUTSIDE))
    );
    let shown = root.run(&["ask", "--list"]).out;
    let numbered = format!("2. {OUTSIDE} (web.example) udp port 4001");
    assert!(shown.contains(&numbered), "{shown}");
}

/// Returns the service's answer to one call.
fn said(mut stream: std::os::unix::net::UnixStream, method: &str, parameters: &Value) -> Value {
    use std::io::{BufRead, BufReader, Write};
    let call =
        json!({ "method": format!("org.gatebell.Firewall.{method}"), "parameters": parameters });
    write!(stream, "{call}\0").unwrap();
    let mut said = Vec::new();
    BufReader::new(stream).read_until(0, &mut said).unwrap();
    said.pop();
    serde_json::from_slice(&said).unwrap()
}
