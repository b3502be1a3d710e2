//! Promises of the window itself, on a display, as a screen reader has it:
//! a real packet in a real kernel, and whoever can't see it.
//!
//! Needs what the tests of the firewall need, `gatebell-app` beside this program
//! (`cargo build --package gatebell-app`), and a display, a bus and AT-SPI's own services, which it starts for itself.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may fail")]

#[path = "window/screen_reader.rs"]
mod screen_reader;
mod zone;

use lab::OUTSIDE;
use screen_reader::ScreenReader;
use std::path::PathBuf;
use zone::Protected;
use zone::probe::wait_until;

/// AT-SPI's numbers of the roles that the window's parts have.
const TAB: u32 = 37;
const BUTTON: u32 = 43;
const ROW: u32 = 90;

const RULES: &str = "[default]\ninbound = \"block\"\noutbound = \"allow\"\n\n[[rule]]\nid = \"no-discard\"\naction = \"reject\"\nports = 9\nprotocol = \"tcp\"\n";

/// The window's program, which was built beside this one.
fn program() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let program = here
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .join("gatebell-app");
    assert!(
        program.exists(),
        "build it first: cargo build --package gatebell-app"
    );
    program
}

/// Returns whether the zone gets through to the port that a rule is about.
fn gets_through(zone: &Protected) -> bool {
    let line = format!("timeout 2 bash -c 'exec 3<>/dev/tcp/{OUTSIDE}/9'");
    zone.inside(&line).status.success()
}

#[test]
fn a_refused_packet_is_read_aloud_and_allowed_without_being_seen() {
    let zone = Protected::with(RULES);
    zone.lab.serve_outside("9").unwrap();
    let folder = zone.lab.folder();
    let (device, control) = (folder.join("s"), folder.join("c"));
    let words = [
        "--device",
        device.to_str().unwrap(),
        "--control",
        control.to_str().unwrap(),
        // Whatever this machine's user reads.
        "--language",
        "en",
    ];
    let reader = ScreenReader::of(&program(), &words, folder);
    let tab = reader.finds(TAB, "Live");
    assert!(reader.is_selected(&tab));
    assert!(!gets_through(&zone));
    let endpoint = format!("{OUTSIDE}, tcp 9");
    let row = reader.finds(ROW, &endpoint);
    assert!(
        row.name.contains("no-discard") && row.name.ends_with(", folded"),
        "{row:?}"
    );
    reader.click(&row);
    wait_until("its packets are below it", || {
        let row = reader.finds(ROW, &endpoint);
        // Whether a row is unfolded is in its name: what speaks AT-SPI for the window has no other word for it.
        reader.is_selected(&row) && !row.name.ends_with(", folded")
    });
    reader.finds(ROW, &format!("-> {OUTSIDE}:9"));
    let button = reader.finds(BUTTON, "Allow this");
    reader.click(&button);
    wait_until("the next one passes", || gets_through(&zone));
    let undo = reader.finds(BUTTON, "Undo");
    reader.click(&undo);
    wait_until("it is taken back", || !gets_through(&zone));
}
