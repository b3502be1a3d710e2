//! The layout of what driver, service and tools share, as text: a changed layout is a change that somebody meant.
//!
//! When this fails on purpose: raise `firewall_abi::VERSION`, and add the new file. The old ones stay as they are.

use firewall_abi::VERSION;
use firewall_abi::firewall::{
    FlowEntry, FlowKey, Lease, Offsets, Owner, Service, Ticks, Verdicts, ZoneDevice,
};
use firewall_abi::packet::{Decision, Local, Packet, PacketHeaders};
use firewall_abi::rules::{DefaultPolicy, Head, PortRange, SetsHead, Tree};
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
        PacketHeaders { source, destination, source_port, destination_port, protocol, ip_version, direction, tcp_flags }
        Decision { rule, generation, verdict, reason, log, known }
        Local { program, interface, out_interface, user, spare }
        Packet { header, flow, decision, length, interface, pid, user, out_interface, program, name }
        Verdicts {
            allowed_in, blocked_in, allowed_out, blocked_out, flows_full, allowed_forward, blocked_forward, spare,
        }
        FlowKey { local, remote, local_port, remote_port, protocol }
        FlowEntry { stamp_ns, socket, rule, generation, direction, reason, state, local_began, spare }
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
        Tree { levels, intervals, leaves, spare, opaque_zero, starts }
        Head {
            generation, rules, pages, inbound, outbound, forward, spare, sets, asks, fail_mode, classes, outcomes, hits, no_ports,
            source_sets, destination_sets, equivalence_classes, source_v4, destination_v4, source_port,
            destination_port, user, source_v6, destination_v6, program, interface, out_interface,
        }
        SetsHead { pages, equivalence_classes, v4, v6 }
        DefaultPolicy { verdict, log }
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
