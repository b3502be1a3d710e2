//! A changed layout must come with a new version: `layouts/VERSION.txt` is what each version looks like.
//!
//! When this fails on purpose: raise `channel_abi::VERSION`, and add the new file. The old ones stay as they are.

use channel_abi::command::{Drained, Reference, Referenced, References};
use channel_abi::notice::{Notice, Operate, Operated, Seen};
use channel_abi::process::Process;
use channel_abi::{Command, Counters, Header, Kind, Ledger, Refusal, Totals, VERSION};
use std::fmt::Write;
use std::mem::offset_of;

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
        Operate { command, operation, slot, count, token, interval_us, refusal, seen }
        Seen { before, after, offered, waiting }
        Notice { header, number, from_timer }
        Operated { header, operation, refusal, seen }
        Process {
            header, pid, parent, user, exit_code, name, path, program, arguments_length, spare, arguments,
        }
    }
    text
}

#[test]
fn a_changed_layout_has_a_new_version() {
    let file = format!("{}/tests/layouts/{VERSION}.txt", env!("CARGO_MANIFEST_DIR"));
    let known = std::fs::read_to_string(&file).unwrap_or_default();
    let layout = layout();
    assert!(
        layout == known,
        "this is not the layout of version {VERSION} in {file}:\n{layout}"
    );
}

#[test]
fn numbers_that_cross_come_back_as_they_went() {
    for refusal in Refusal::ALL {
        assert_eq!(Refusal::try_from(refusal.number()), Ok(*refusal));
        assert_eq!(Refusal::from_ntstatus(refusal.ntstatus()), Some(*refusal));
    }
    assert!(Refusal::try_from(0).is_err() && Refusal::from_ntstatus(0).is_none());
    for n in 0..=u16::MAX.into() {
        if let Ok(command) = Command::try_from(n) {
            assert_eq!(
                Command::from_control_code(command.control_code()),
                Some(command)
            );
        }
    }
    assert_eq!(
        Command::from_control_code(Command::Reference.control_code() | 3),
        None,
        "METHOD_NEITHER"
    );
    assert!((0..64).all(|n| Kind::try_from(n).is_ok()) && Kind::try_from(64).is_err());
    assert!(Kind::own(31).is_none() && Kind::own(32).is_some() && Kind::own(64).is_none());
}
