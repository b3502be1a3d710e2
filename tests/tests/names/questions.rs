//! Questions to a person, with the names of the other ends.

use super::resolver::{BELIEVED, Resolver};
use super::{NOBODY, control};
use crate::person::{self, Person};
use crate::zone::Protected;
use crate::zone::probe::wait_until;
use lab::OUTSIDE;
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

/// What the service answers to one call.
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
