//! One JSON object per record, one line each.

use crate::entry::{
    End, Entry, EntryContent, PacketSeen, ProcessSeen, ProgramSeen, Update, address,
};
use crate::reader::{Summary, Told};
use firewall_abi::packet::PacketHeaders;
use serde_json::{Value, json};
use std::io::Write;
use std::time::UNIX_EPOCH;

/// Prints an update as one line. Returns `false` if nobody reads any more.
pub fn print(told: &Told<'_>) -> bool {
    line(told).is_none_or(|line| writeln!(std::io::stdout(), "{line}").is_ok())
}

/// Returns an update as an object, if it is a record or a loss.
#[must_use]
pub fn line(told: &Told<'_>) -> Option<Value> {
    let Update::Entry(entry) = &told.update else {
        return None;
    };
    let mut object = self::entry(entry);
    if let Some(header) = told.record.as_ref().map(|record| *record.header()) {
        object["stamp_ns"] = json!(header.stamp_ns);
        object["processor"] = json!(header.processor);
        object["sequence"] = json!(header.sequence);
    }
    Some(object)
}

/// Returns an entry as an object, without what only its record says.
#[must_use]
pub fn entry(entry: &Entry) -> Value {
    let mut object = match &entry.what {
        EntryContent::Packet(seen) => packet(seen),
        EntryContent::Process(seen) => process(seen),
        EntryContent::Unreadable(record) => {
            json!({ "kind": "unknown", "record_kind": record.kind, "bytes": record.bytes })
        }
        EntryContent::Lost(lost) => {
            json!({ "kind": "lost", "count": lost.count, "cause": lost.cause.name(), "processor": lost.processor })
        }
        EntryContent::Contact(row) => {
            let mut object = json!(**row);
            object["kind"] = json!("contact");
            object
        }
    };
    let at = entry.at.duration_since(UNIX_EPOCH).unwrap_or_default();
    object["time"] = json!(at.as_secs_f64());
    object
}

fn packet(seen: &PacketSeen) -> Value {
    let PacketHeaders {
        source,
        destination,
        source_port,
        destination_port,
        protocol,
        ..
    } = seen.headers;
    let rule = seen.rule.as_ref();
    json!({
        "kind": "packet", "verdict": seen.verdict.name(), "direction": seen.direction.name(),
        "reason": seen.reason.name(), "rule": rule.map(|r| &r.id), "line": rule.map(|r| r.line),
        "rule_number": seen.rule_number, "file": rule.and_then(|r| r.file.as_deref()),
        "generation": seen.generation, "protocol": seen.protocol(), "protocol_number": protocol,
        "source": address(source), "source_port": source_port, "source_name": seen.source_name.as_deref(),
        "destination": address(destination), "destination_port": destination_port,
        "destination_name": seen.destination_name.as_deref(),
        "length": seen.length, "device": seen.device.as_deref(), "out_device": seen.out_device.as_deref(),
        "program": program(&seen.program),
    })
}

fn process(seen: &ProcessSeen) -> Value {
    let kind = if seen.ended.is_none() {
        "process_start"
    } else {
        "process_exit"
    };
    let mut object = json!({
        "kind": kind, "program": program(&seen.program), "path": seen.path, "parent": seen.parent,
        "arguments": seen.arguments, "arguments_cut": seen.arguments_cut,
    });
    match seen.ended {
        Some(End::Exit(code)) => object["exit_code"] = json!(code),
        Some(End::Signal(signal)) => object["signal"] = json!(signal),
        None => {}
    }
    object
}

fn program(program: &ProgramSeen) -> Value {
    let ProgramSeen {
        name,
        pid,
        user,
        file,
        path,
    } = program;
    let mut object = json!({ "user": user });
    if *pid != 0 {
        object["name"] = json!(name);
        object["pid"] = json!(pid);
    }
    if let Some([device, inode]) = file {
        object["device"] = json!(device);
        object["inode"] = json!(inode);
    }
    if let Some(path) = path {
        object["path"] = json!(path.as_ref());
    }
    object
}

/// Returns the accounting of both sides and what the app counted itself.
#[must_use]
pub fn summary(summary: &Summary) -> Value {
    let Summary {
        account,
        processes,
        unreadable,
        latency,
        ended,
    } = summary;
    json!({
        "offered": account.kernel.offered, "committed": account.kernel.committed,
        "lost": account.kernel.lost_in_all(), "delivered": account.delivered, "in_ring": account.in_ring,
        "processes": processes, "unreadable": unreadable,
        "ended": ended.map(|why| format!("{why:?}")),
        "wake_p50_us": latency.percentile_us(50), "wake_p99_us": latency.percentile_us(99),
    })
}
