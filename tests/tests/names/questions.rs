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

#[test]
fn the_addresses_of_one_name_are_asked_about_once_and_answered_at_once() {
    let zone = Protected::with(&format!(
        "[default]\ninbound = \"block\"\noutbound = \"ask\"\nanswer_within = 600\n\
         [[rule]]\nid = \"names\"\naction = \"allow\"\ndirection = \"out\"\nprotocol = \"udp\"\nports = 53\n\
         [[rule]]\nid = \"neighbours\"\naction = \"allow\"\nprotocol = \"icmpv6\"\n{BELIEVED}"
    ));
    let _resolver = Resolver::start(&zone);
    wait_until("both addresses have the name", || {
        zone.asks("web.example", "a") && zone.asks("web.example", "aaaa") && {
            let known = names(&zone);
            known.len() == 2 && known.iter().all(|(_, name)| name == "web.example")
        }
    });
    let root = Person::root(&zone);
    let sends = |address: &str| {
        let line = format!("echo > /dev/udp/{address}/4001");
        zone.inside(&line).status.success()
    };
    assert!(!sends(OUTSIDE_V6) && !sends(OUTSIDE));
    let waiting = || {
        let said = root.run(&["ask", "--list", "--json"]).out;
        let lines = said.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect::<Vec<Value>>()
    };
    let mut all = Vec::new();
    wait_until("both are asked about", || {
        all = waiting();
        all.iter()
            .any(|one| one["places"].as_array().unwrap().len() == 2)
    });
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(
        (&all[0]["many"], &all[0]["more"]),
        (&json!(false), &json!(0))
    );
    let shown = root.run(&["ask", "--list"]).out;
    let both = format!("{OUTSIDE_V6}, {OUTSIDE} (web.example) udp port 4001");
    assert!(shown.contains(&both), "{shown}");
    root.run(&["ask", "--answer", &all[0]["id"].to_string(), "allow"]);
    assert!(sends(OUTSIDE_V6) && sends(OUTSIDE));
    assert_eq!(waiting(), [] as [Value; 0]);
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
