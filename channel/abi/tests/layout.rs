//! Tests that a layout which differs from a released one has a new version: `layouts/released` holds the released
//! layouts.
//!
//! When this fails on purpose: raise `channel_abi::VERSION`. What was released stays as it is.
#![expect(clippy::expect_used, reason = "a test may fail")]

use channel_abi::command::{AnyCommand, Drained, Reference, Referenced, References, RequestHeader};
use channel_abi::{
    Cause, Command, Counters, Ending, Header, Kind, Ledger, Mask, Refusal, Totals, UnknownRefusal,
    VERSION,
};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::mem::offset_of;
use std::process;

macro_rules! describe {
    ($text:ident, $($type:ident { $($field:ident),+ $(,)? })+) => {$(
        // Names every field, so that a new one breaks this test's build.
        #[allow(dead_code, clippy::no_effect_underscore_binding, reason = "only the pattern matters")]
        fn $type(value: $type) {
            let $type { $($field: _),+ } = value;
        }
        writeln!($text, "{} {}", stringify!($type), size_of::<$type>()).expect("a string grows");
        $(writeln!($text, "    {} {}", stringify!($field), offset_of!($type, $field)).expect("a string grows");)+
    )+};
}

macro_rules! number {
    ($text:ident, $($type:ident { $($name:ident),+ $(,)? })+) => {$(
        // Names every variant, so that a new one breaks this test's build.
        #[allow(dead_code, reason = "only the match matters")]
        fn $type(value: $type) {
            match value { $($type::$name => {})+ }
        }
        writeln!($text, "{}", stringify!($type)).expect("a string grows");
        $(writeln!($text, "    {} {}", stringify!($name), $type::$name as u64).expect("a string grows");)+
    )+};
}

#[allow(
    non_snake_case,
    reason = "the functions in `describe` are named after the types"
)]
fn layout() -> String {
    let mut text = String::new();
    describe! { text,
        Header { length, kind, version, processor, sequence, stamp_ns, lost }
        Counters { offered, committed, lost, spare }
        Ledger { ended, spare, processors }
        Totals { offered, committed, lost }
        Reference { version, ring_bytes, mask, users, event }
        Referenced { version, slot, token }
        Drained { bytes, records, waiting, ended }
        References { taken, released, attached, past }
        RequestHeader { command, slot, token, refusal, spare }
    }
    number! { text,
        Command { Reference, Dereference, Drain, Account, References, DetachAll, Resume }
        Cause { NoRoom, Closing, TooLarge }
        Ending { Dereferenced, DriverStopping, Incompatible }
    }
    text.push_str("Refusal\n");
    for refusal in Refusal::ALL {
        writeln!(text, "    {} {}", refusal.name(), refusal.number()).expect("a string grows");
    }
    writeln!(
        text,
        "Mask\n    ALL {}\n    NONE {}",
        Mask::ALL.0,
        Mask::NONE.0
    )
    .expect("a string grows");
    text
}

/// The library's own types and numbers in v0.1.0, whose file holds the firewall's and the sample's too.
const OWN: [&str; 13] = [
    "Header",
    "Counters",
    "Ledger",
    "Totals",
    "Reference",
    "Referenced",
    "Drained",
    "References",
    "Command",
    "Cause",
    "Ending",
    "Refusal",
    "Mask",
];

/// A release: its tag, its version, the file of its layout at that tag, what that file holds, and the hash of that.
struct Release {
    tag: &'static str,
    version: u32,
    file: &'static str,
    layout: &'static str,
    hash: u64,
}

/// The released layouts, which no change may edit. A new release adds its file, under `layouts/released`.
const RELEASES: &[Release] = &[
    Release {
        tag: "v0.1.0",
        version: 2,
        file: "contract/tests/layouts/2.txt",
        layout: include_str!("layouts/released/v0.1.0.txt"),
        hash: 0x3ADE_1E33_B0C8_056D,
    },
    // That file has no numbers in it. These were read from the source of the same tag.
    Release {
        tag: "v0.1.0",
        version: 2,
        file: "",
        layout: include_str!("layouts/released/v0.1.0-numbers.txt"),
        hash: 0x7755_B333_07F1_5FB5,
    },
];

/// Returns the lines of each type (size and fields) and of each set of numbers, by its name.
fn entries(layout: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut found = BTreeMap::new();
    let mut last = "";
    for line in layout.lines() {
        if !line.starts_with(' ') {
            last = line.split(' ').next().unwrap_or_default();
        }
        found.entry(last).or_insert_with(Vec::new).push(line);
    }
    found
}

/// Returns the library's own types and numbers of a release that are laid out otherwise now.
fn changes(released: &str, now: &str) -> Vec<String> {
    let (released, now) = (entries(released), entries(now));
    let own = released.iter().filter(|(name, _)| OWN.contains(name));
    own.filter(|(name, lines)| now.get(*name) != Some(lines))
        .map(|(name, lines)| format!("{name} was {lines:#?} and is {:#?}", now.get(name)))
        .collect()
}

#[test]
fn a_layout_that_differs_from_a_released_one_has_a_new_version() {
    let now = layout();
    for release in RELEASES.iter().filter(|it| it.version == VERSION) {
        let changes = changes(release.layout, &now);
        assert!(
            changes.is_empty(),
            "this is not the layout of version {VERSION} as released in {}: raise channel_abi::VERSION. {}",
            release.tag,
            changes.join("\n")
        );
    }
    let newest = RELEASES.iter().map(|release| release.version).max();
    assert!(Some(VERSION) >= newest, "a version that is over comes back");
}

#[test]
fn what_was_released_is_not_edited() {
    for release in RELEASES {
        assert_eq!(
            hash(release.layout),
            release.hash,
            "what {} laid out stays as it was",
            release.tag
        );
        let object = format!("{}:{}", release.tag, release.file);
        let git = process::Command::new("git")
            .args(["show", &object])
            .output();
        // Without git, or in a clone without tags, the hash alone has to do.
        let shown = git.ok().filter(|git| git.status.success());
        if let Some(text) = shown.filter(|_| !release.file.is_empty()) {
            assert_eq!(release.layout.as_bytes(), text.stdout, "{object}");
        }
    }
}

#[test]
fn a_changed_field_type_or_number_is_a_change() {
    let released = "Header 56\n    length 0\nCause\n    NoRoom 0\nPacket 160\n";
    assert!(changes(released, released).is_empty());
    for (from, to) in [
        ("Header 56", "Header 64"),
        ("length 0", "size 0"),
        ("NoRoom 0", "NoRoom 1"),
        ("Cause\n    NoRoom 0\n", ""),
    ] {
        assert_eq!(changes(released, &released.replace(from, to)).len(), 1);
    }
    let others = changes(released, &released.replace("Packet 160\n", ""));
    assert!(others.is_empty(), "what is not the library's own");
}

/// Returns the FNV-1a hash of a text, 64 bits.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

#[test]
fn numbers_that_cross_come_back_as_they_went() {
    for refusal in Refusal::ALL {
        assert_eq!(Refusal::try_from(refusal.number()), Ok(*refusal));
        assert_eq!(Refusal::from_ntstatus(refusal.ntstatus()), Some(*refusal));
    }
    assert!(Refusal::try_from(0).is_err() && Refusal::from_ntstatus(0).is_none());
    let later = Refusal::ALL.len() as u32 + 1;
    let status = Refusal::Busy.ntstatus() - Refusal::Busy as i32 + later as i32;
    assert_eq!(Refusal::from_ntstatus(status), None);
    assert_eq!(
        UnknownRefusal::from_ntstatus(status),
        Some(UnknownRefusal(later))
    );
    assert!(
        [0, -1, Refusal::Busy.ntstatus()]
            .iter()
            .all(|none| UnknownRefusal::from_ntstatus(*none).is_none())
    );
    for n in 0..=u16::MAX.into() {
        if let Ok(command) = AnyCommand::try_from(n) {
            assert_eq!(command.number(), n);
            assert_eq!(
                AnyCommand::from_control_code(command.control_code()),
                Some(command)
            );
        }
    }
    assert_eq!(
        AnyCommand::from_control_code(Command::Reference.control_code() | 3),
        None,
        "METHOD_NEITHER"
    );
    assert!((0..64).all(|n| Kind::try_from(n).is_ok()) && Kind::try_from(64).is_err());
    assert_eq!(Kind::try_from(63), Ok(Kind::new::<63>()));
}
