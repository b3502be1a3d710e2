//! Promises that a Windows program sees kept, under Wine 8 in a prefix of its own, with the stand-ins of `tests/wine`.
//!
//! `tests/wine/promises` tries them all in one run of one machine; each is a test here. Needs what
//! `cargo xtask build windows` and `cargo xtask build wine` build.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail")]

use gatebell_tests::image::{Headers, Image};
use gatebell_tests::wine::{LIMITS, Machine};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

/// Output of the program, or the reason why there is none.
static RUN: LazyLock<Result<String, String>> = LazyLock::new(|| {
    let built = built();
    let machine = Machine::boot(&built).map_err(|why| format!("Wine does not boot: {why}"))?;
    for name in DRIVERS {
        machine
            .copy_driver(&image(name))
            .map_err(|why| why.to_string())?;
    }
    build_c_program(&built)?;
    let log = machine
        .run(
            &built.join("wine/promises.exe"),
            &[],
            Duration::from_secs(400),
        )
        .map_err(|why| why.to_string())?;
    println!("{LIMITS}\n{log}");
    Ok(log)
});

/// The example in C, beside the promises, which run it.
fn build_c_program(built: &Path) -> Result<(), String> {
    let (c, wine) = (built.join("c"), built.join("wine"));
    let example = built.with_file_name("examples/c/notices.c");
    let output = Command::new("x86_64-w64-mingw32-gcc")
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror"])
        .arg(example)
        .arg("-I")
        .arg(c.join("include"))
        .arg("-L")
        .arg(c.join("windows"))
        .args(["-lgatebell_channel", "-o"])
        .arg(wine.join("notices.exe"))
        .output()
        .map_err(|why| format!("no C compiler for Windows: {why}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let library = "gatebell_channel.dll";
    std::fs::copy(c.join("windows").join(library), wine.join(library))
        .map(drop)
        .map_err(|why| why.to_string())
}

fn built() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .join("target")
}

/// Every driver for Windows in the clone.
const DRIVERS: [&str; 2] = ["gatebell_sample", "pager"];

fn image(name: &str) -> PathBuf {
    built().join("drivers").join(name).with_extension("sys")
}

fn drivers() -> [Image; DRIVERS.len()] {
    DRIVERS.map(|name| Image::read(&image(name)).unwrap())
}

#[test]
fn the_driver_imports_only_what_windows_exports() {
    let known: BTreeSet<_> = include_str!("../wine/exports.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    for driver in drivers() {
        let imports = driver.imports().unwrap();
        let unknown: Vec<_> = imports
            .iter()
            .filter(|name| !known.contains(name.as_str()))
            .collect();
        assert!(
            imports.len() > 20 && unknown.is_empty(),
            "not known to be exported: {unknown:?}"
        );
    }
}

#[test]
fn the_driver_asks_windows_for_every_check() {
    // The whole of it: each bit is something that NT acts on, and Wine may not.
    let asked = Headers {
        machine: 0x8664,
        // An executable that takes any address.
        file: 0x0022,
        windows: [10, 0],
        subsystem_version: [10, 0],
        subsystem: 1,
        // High entropy, relocatable, integrity check (process callbacks want it), no code on data pages; and 0x8000,
        // which the linker gives every program. Not 0x2000: NT unloads no image that says it is a PnP driver.
        characteristics: 0x81E0,
    };
    for driver in drivers() {
        assert_ne!(driver.checksum().unwrap(), 0, "no checksum");
        assert_eq!(driver.headers().unwrap(), asked);
    }
}

/// Offset of the name in the record of an image's symbols: it follows a mark, a GUID and an age.
const SYMBOLS_NAME: usize = 4 + 16 + 4;

#[test]
fn a_driver_says_what_it_is_and_a_crash_dump_of_it_can_be_read() {
    let utf16 =
        |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    for name in DRIVERS {
        let bytes = std::fs::read(image(name)).unwrap();
        let holds = |what: &[u8]| bytes.windows(what.len()).any(|place| place == what);
        for text in ["VS_VERSION_INFO", "FileVersion", &format!("{name}.sys")] {
            assert!(holds(&utf16(text)), "{name}: no {text}");
        }
        // The image names its symbols by their file alone, wherever it was built.
        let symbols = format!("{name}.pdb");
        let record = bytes.windows(4).position(|place| place == b"RSDS").unwrap();
        let named = &bytes[record + SYMBOLS_NAME..][..=symbols.len()];
        assert_eq!(named, format!("{symbols}\0").as_bytes());
        let symbols = std::fs::read(built().join("drivers").join(symbols)).unwrap();
        assert!(symbols.starts_with(b"Microsoft C/C++ MSF 7.00"));
        // Functions, and the lines of files.
        for text in ["DriverEntry", "main.rs"] {
            let mut places = symbols.windows(text.len());
            assert!(places.any(|place| place == text.as_bytes()), "no {text}");
        }
    }
}

#[test]
fn no_page_of_the_driver_can_be_both_written_and_run() {
    // Code is read and run, constants and unwind data are read, variables are read and written. No section is paged
    // out, none is thrown away after the start, and none is for Windows to patch.
    let known = [
        (".text", 0x6000_0020),
        (".rdata", 0x4000_0040),
        (".data", 0xC000_0040),
        (".pdata", 0x4000_0040),
        (".rsrc", 0x4000_0040),
    ];
    for driver in drivers() {
        let sections = driver.sections().unwrap();
        let found: Vec<_> = sections
            .iter()
            .map(|section| (section.name.as_str(), section.flags))
            .collect();
        assert_eq!(found, known, "{found:x?}");
    }
}

#[test]
fn no_function_of_the_driver_takes_a_large_part_of_the_stack() {
    for driver in drivers() {
        let frames = driver.frames().unwrap();
        // A kernel's stack is 24 KiB for all drivers of a request together.
        let largest = frames.iter().copied().max().unwrap_or(0);
        assert!(
            frames.len() > 10 && largest <= 1024,
            "{largest} bytes, of {} functions",
            frames.len()
        );
    }
}

fn kept(name: &str) {
    let log = RUN.as_ref().expect("the run under Wine");
    let line = log
        .lines()
        .find(|line| line.split(' ').nth(1) == Some(name));
    let line = line.unwrap_or_else(|| panic!("the program did not get to {name}: {log}"));
    assert!(line.starts_with(&format!("promise {name} kept ")), "{line}");
}

macro_rules! promises {
    ($($name:ident)+) => { $(#[test] fn $name() { kept(stringify!($name)); })+ };
}

promises! {
    a_driver_is_installed_and_started
    a_handle_that_is_not_open_is_refused
    a_handle_on_something_else_is_refused
    a_handle_without_the_right_to_signal_is_refused
    another_version_is_refused
    a_queue_of_a_wrong_size_is_refused
    a_request_of_a_wrong_length_is_refused
    an_answer_without_room_is_refused
    an_unknown_command_is_refused
    numbers_out_of_range_are_refused
    a_second_reference_is_refused
    a_request_before_a_reference_is_refused
    a_request_after_dereference_is_refused
    a_request_after_close_is_refused
    one_app_more_than_there_are_slots_is_refused
    to_detach_all_takes_the_right_to_change_the_driver
    set_clear_pulse_and_query_do_what_they_say
    notices_from_a_request_arrive_in_order
    notices_from_a_timer_arrive_in_order
    a_c_program_reads_what_the_driver_tells_it
    what_one_app_says_to_the_pager_all_are_told
    the_driver_waits_until_the_app_sets
    a_wait_in_the_driver_ends_when_its_time_is_over
    a_driver_works_on_one_request_of_an_app_at_a_time
    one_hundred_thousand_signals_balance
    a_stopped_reader_loses_exactly_what_is_counted
    a_cancelled_request_ends_as_cancelled
    a_named_event_can_be_waited_on_but_not_reset
    a_named_event_that_nobody_waits_on_says_nothing
    a_process_that_starts_and_ends_is_reported
    a_mask_decides_what_is_told
    an_app_that_awaits_is_told_of_records_its_own_signal_and_the_end
    two_apps_at_once_each_get_their_own
    an_app_killed_while_referenced_leaves_no_reference
    an_app_killed_while_the_driver_waits_leaves_no_reference
    an_app_that_closes_its_device_leaves_no_reference
    references_come_and_go_a_thousand_times
    detach_all_ends_every_app_with_a_tombstone_and_a_last_signal
    a_driver_is_not_unloaded_while_its_device_is_open
    a_stopped_driver_starts_again_with_new_books
    a_name_that_somebody_else_has_keeps_no_driver_from_starting
    a_driver_is_removed
    the_driver_breaks_no_rule_of_the_kernels
    a_stop_that_windows_refuses_is_undone
}
