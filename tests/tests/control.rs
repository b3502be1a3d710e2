//! Promises of the control socket and of the command line's live commands, on this machine's kernel.
//!
//! Needs what the tests of the firewall need.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may fail")]

#[path = "control/commands.rs"]
mod commands;
#[path = "control/hostile.rs"]
mod hostile;
#[expect(
    dead_code,
    reason = "the lab of `cargo xtask run`, not all of which is needed here"
)]
#[path = "../../xtask/src/lab.rs"]
mod lab;
#[path = "control/permission.rs"]
mod permission;
#[path = "control/person.rs"]
mod person;
#[path = "control/rules.rs"]
mod rules;
#[path = "control/sets.rs"]
mod sets;
#[allow(
    dead_code,
    reason = "shared with the tests of the firewall, each of which needs a part"
)]
mod zone;

use lab::OUTSIDE;
use person::Person;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;
use zone::Protected;

/// Somebody with no rights.
const NOBODY: u32 = 65_534;

/// The zone's control socket.
fn control(zone: &Protected) -> PathBuf {
    zone.lab.folder().join("c")
}

/// Has the zone send a packet to the discard port; whether it was refused.
fn discard(zone: &Protected) -> bool {
    !zone
        .inside(&format!("echo > /dev/udp/{OUTSIDE}/9"))
        .status
        .success()
}

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
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
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
