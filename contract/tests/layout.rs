//! A changed layout must come with a new version: `layouts/VERSION.txt` is what each version looks like.
//!
//! When this fails on purpose: raise `contract::VERSION`, and add the new file. The old ones stay as they are.

use contract::command::{Drained, Reference, Referenced, References};
use contract::firewall::{
    FlowEntry, FlowKey, Lease, Offsets, Owner, Service, Ticks, Verdicts, ZoneDevice,
};
use contract::notice::{Notice, Operate, Operated, Seen};
use contract::packet::{Decision, Flow, Local, Packet};
use contract::process::Process;
use contract::rules::{Head, Otherwise, PortRange, SetsHead, Tree};
use contract::{Command, Counters, Header, Kind, Ledger, Refusal, Totals, VERSION};
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
        Flow { source, destination, source_port, destination_port, protocol, ip_version, direction, tcp_flags }
        Decision { rule, generation, verdict, reason, log, known }
        Local { program, interface, user, spare }
        Packet { header, flow, decision, length, interface, pid, user, spare, program, name }
        Verdicts { allowed_in, blocked_in, allowed_out, blocked_out, flows_full, spare }
        FlowKey { local, remote, local_port, remote_port, protocol }
        FlowEntry { stamp_ns, socket, rule, generation, direction, reason, state, spare }
        ZoneDevice { name, index, link_header, guarded, spare }
        Lease { deadline_ns, last_generation }
        Owner { pid, user, name, program }
        Service { pid, gone }
        Ticks { start, length_ns }
        Offsets {
            task_mm, task_parent, task_tgid, task_signal, task_leader, task_name, task_started, signal_live,
            signal_exit_code, mm_exe_file, mm_arg_start, mm_arg_end, file_inode, inode_number, inode_super_block,
            super_block_device, exit_group_dead, known,
        }
        Tree { levels, intervals, leaves, spare, nought, starts }
        Head {
            generation, rules, pages, inbound, outbound, sets, asks, gone, classes, outcomes, hits, no_ports,
            source_sets, destination_sets, atoms, source_v4, destination_v4, source_port,
            destination_port, user, source_v6, destination_v6, program, interface,
        }
        SetsHead { pages, atoms, v4, v6 }
        Otherwise { verdict, log }
        PortRange { first, last }
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
