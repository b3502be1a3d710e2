//! Promises of the control socket and of the command line's live commands, on this machine's kernel.
//!
//! Needs what the tests of the firewall need.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may fail")]

#[path = "control/commands.rs"]
mod commands;
#[path = "control/hostile.rs"]
mod hostile;
#[path = "control/permission.rs"]
mod permission;
#[path = "control/person.rs"]
mod person;
#[path = "control/rules.rs"]
mod rules;
#[path = "control/sets.rs"]
mod sets;
#[path = "control/threads.rs"]
mod threads;
mod zone;

use gatebell_tests::PATIENCE;
use person::Person;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use zone::Protected;
use zone::probe::{NOBODY, control, discard};

fn request(method: &str, parameters: &Value) -> Vec<u8> {
    let request =
        json!({ "method": format!("org.gatebell.Firewall.{method}"), "parameters": parameters });
    format!("{request}\0").into_bytes()
}

/// Says this, and returns the answer; none if the service hangs up.
fn say(stream: &mut UnixStream, bytes: &[u8]) -> Option<Value> {
    // It may be hung up on before it has said everything.
    let _unheard = stream.write_all(bytes);
    hear(stream)
}

fn hear(stream: &mut UnixStream) -> Option<Value> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = Vec::new();
    let _reset = BufReader::with_capacity(1, stream).read_until(0, &mut answer);
    (answer.pop() == Some(0)).then(|| serde_json::from_slice(&answer).unwrap())
}

/// The driver still judges, the service still answers, and nothing is unaccounted for.
fn all_is_well(zone: &Protected) {
    assert!(discard(zone));
    let root = Person::root(zone);
    assert_eq!(root.ok(&["status", "--json"])["trouble"], json!([]));
    assert_eq!(root.run(&["audit"]).code, 0);
}
