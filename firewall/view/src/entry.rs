//! Entries of the views, in a window or in a terminal: one for each packet, process and loss.
//!
//! The reader thread makes entries from records ([`Entry::from_packet`], [`Entry::from_process`], [`Entry::lost`]) and
//! sends them as [`Update`]s; what is shown of them is written here once, for both views.

use crate::history;
use crate::text;
use crate::time::clock_time;
use channel::{Account, Lost};
use channel_abi::Cause;
use control::{HistoryRow, Names, RuleName};
use firewall_abi::packet::{
    Direction, NO_RULE, NO_USER, Packet, PacketHeaders, Reason, UnknownNumber, Verdict,
};
use firewall_abi::process::Process;
use rules::Protocol;
pub use rules::{clean, clean_lines};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Message of the reader thread to a view.
#[derive(Clone, Debug)]
pub enum Update {
    /// An entry for something that happened.
    Entry(Entry),
    /// Accounting of both sides, as it stands now.
    Account(Account),
    /// The end, with its reason: nothing more will come.
    Ended(String),
}

/// Entry of a view: one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Time at which the driver saw it.
    pub at: SystemTime,
    /// Content of the entry.
    pub what: EntryContent,
}

/// Content of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryContent {
    /// A packet and its verdict.
    Packet(PacketSeen),
    /// A process that started (`ended: None`) or ended.
    Process(ProcessSeen),
    /// Records that did not reach this app, in their place.
    Lost(Lost),
    /// A record that this release can't read.
    Unreadable(UnreadableRecord),
    /// A program that talked for the first time, or for the first time since its file has
    /// changed, as the history has it.
    Contact(Arc<HistoryRow>),
}

/// Record of a kind that this release does not know, or that holds a number that it gives no meaning to. It was
/// delivered and is shown: it is neither swallowed nor guessed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnreadableRecord {
    /// Number of the record's kind.
    pub kind: u32,
    /// Length of the record in bytes, with its header.
    pub bytes: usize,
}

/// Packet, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketSeen {
    /// Direction: into the zone, out of it or through it.
    pub direction: Direction,
    /// Verdict on the packet.
    pub verdict: Verdict,
    /// Reason of the verdict.
    pub reason: Reason,
    /// Number of the rule that decided, in its generation, if one did.
    pub rule_number: Option<u32>,
    /// Name of the rule that decided, if one did and its name is known.
    pub rule: Option<RuleName>,
    /// Generation of the rules that decided.
    pub generation: u32,
    /// Headers of the packet.
    pub headers: PacketHeaders,
    /// Length of the packet in bytes, from the IP header on.
    pub length: u32,
    /// Name of the device that the packet came in or went out by, if known; of what is forwarded, the one that it came
    /// in by.
    pub device: Option<Arc<str>>,
    /// Name of the device that what is forwarded goes out by, if known.
    pub out_device: Option<Arc<str>>,
    /// Name that the source was asked for by last, if known. It labels, and proves nothing.
    pub source_name: Option<Arc<str>>,
    /// Name that the destination was asked for by last, if known. It labels, and proves nothing.
    pub destination_name: Option<Arc<str>>,
    /// Program that owns the packet's socket at this end, as far as it is known.
    pub program: ProgramSeen,
}

/// Process, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessSeen {
    /// Process that started or ended.
    pub program: ProgramSeen,
    /// Path of the program, as it was asked for.
    pub path: String,
    /// Arguments, the first one too, as far as they are known.
    pub arguments: Vec<String>,
    /// `true` if there are more arguments.
    pub arguments_cut: bool,
    /// Process number of the parent, 0 if not known.
    pub parent: u32,
    /// End of the process, if it ended.
    pub ended: Option<End>,
}

/// End of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Exit by itself, with this code.
    Exit(u8),
    /// End by this signal.
    Signal(u8),
}

impl End {
    /// Decodes a status as `wait` has it: the code in the second byte, the signal in the first.
    const fn of(status: u32) -> Self {
        match (status & 0x7f) as u8 {
            0 => Self::Exit((status >> 8) as u8),
            signal => Self::Signal(signal),
        }
    }
}

/// Task that an entry is about. Each part may be unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgramSeen {
    /// The kernel's name for the task.
    pub name: String,
    /// Process number, 0 if not known.
    pub pid: u32,
    /// User, if known.
    pub user: Option<u32>,
    /// File of the program, as the kernel knows it: its file system's device and its inode.
    pub file: Option<[u64; 2]>,
    /// Path of the file, if somebody knows it.
    pub path: Option<Arc<str>>,
}

impl Entry {
    /// Makes an entry of a packet's record. Numbers that the driver's tables give no meaning to are an error.
    pub fn from_packet(
        at: SystemTime,
        packet: &Packet,
        names: &mut dyn Names,
    ) -> Result<Self, UnknownNumber> {
        let decision = &packet.decision;
        let number = (decision.rule != NO_RULE).then_some(decision.rule);
        let rule = number.and_then(|number| names.rule(decision.generation, number));
        let file = known_file(packet.program);
        let program = ProgramSeen {
            name: text(&packet.name),
            pid: packet.pid,
            user: (packet.user != NO_USER).then_some(packet.user),
            path: file.and_then(|file| names.program(file)),
            file,
        };
        let seen = PacketSeen {
            direction: packet.headers.direction.try_into()?,
            verdict: decision.verdict.try_into()?,
            reason: decision.reason.try_into()?,
            rule_number: number,
            rule,
            generation: decision.generation,
            headers: packet.headers,
            length: packet.length,
            source_name: names.address(address(packet.headers.source)),
            destination_name: names.address(address(packet.headers.destination)),
            device: names.device(packet.interface),
            out_device: names.device(packet.out_interface),
            program,
        };
        Ok(Self {
            at,
            what: EntryContent::Packet(seen),
        })
    }

    /// Makes an entry of a process's record.
    #[must_use]
    pub fn from_process(at: SystemTime, process: &Process, ended: bool) -> Self {
        let file = known_file(process.program);
        let path = text(&process.path);
        let program = ProgramSeen {
            name: text(&process.name),
            pid: process.pid,
            user: Some(process.user),
            path: None,
            file,
        };
        let seen = ProcessSeen {
            program,
            path,
            arguments: arguments(process),
            arguments_cut: process.arguments_length as usize > process.arguments.len(),
            parent: process.parent,
            ended: ended.then(|| End::of(process.exit_code)),
        };
        Self {
            at,
            what: EntryContent::Process(seen),
        }
    }

    /// Makes an entry of a record that this release can't read.
    #[must_use]
    pub const fn unreadable(at: SystemTime, kind: u32, bytes: usize) -> Self {
        Self {
            at,
            what: EntryContent::Unreadable(UnreadableRecord { kind, bytes }),
        }
    }

    /// Makes an entry of a loss, in its place between two records.
    #[must_use]
    pub const fn lost(at: SystemTime, lost: Lost) -> Self {
        Self {
            at,
            what: EntryContent::Lost(lost),
        }
    }

    /// Makes an entry of a first contact, at its time.
    #[must_use]
    pub fn contact(row: HistoryRow) -> Self {
        let at = UNIX_EPOCH.checked_add(Duration::from_secs(row.first));
        Self {
            at: at.unwrap_or(UNIX_EPOCH),
            what: EntryContent::Contact(Arc::new(row)),
        }
    }

    /// Returns the cells of the entry's row, as [`titles`] names them.
    #[must_use]
    pub fn cells(&self) -> [String; COLUMNS] {
        let time = clock_time(self.at);
        match &self.what {
            EntryContent::Packet(packet) => [
                time,
                packet.outcome(),
                way(packet.direction),
                packet.protocol(),
                packet.ends(),
                packet.decided_by(),
                packet.program.to_string(),
            ],
            EntryContent::Process(process) => [
                time,
                process.outcome(),
                String::new(),
                String::new(),
                process.line(),
                String::new(),
                process.program.to_string(),
            ],
            EntryContent::Unreadable(record) => [
                time,
                text!("what-unknown"),
                String::new(),
                String::new(),
                record.to_string(),
                String::new(),
                String::new(),
            ],
            EntryContent::Lost(lost) => [
                time,
                text!("what-lost"),
                String::new(),
                String::new(),
                text!(
                    "lost-records",
                    count = lost.count,
                    cause = cause(lost.cause),
                    processor = lost.processor,
                ),
                String::new(),
                String::new(),
            ],
            EntryContent::Contact(row) => {
                let [_, what, way, protocol, end, rule, ..] = history::cells(row);
                [time, what, way, protocol, end, rule, history::whose(row)]
            }
        }
    }
}

/// Number of cells in a row.
pub const COLUMNS: usize = 7;

/// Returns the titles of a row's cells.
#[must_use]
pub fn titles() -> [String; COLUMNS] {
    [
        text!("column-time"),
        text!("column-what"),
        text!("column-way"),
        text!("column-protocol"),
        text!("column-ends"),
        text!("column-rule"),
        text!("column-program"),
    ]
}

/// Returns the word for what a rule does to what it takes.
#[must_use]
pub fn verdict(verdict: Verdict) -> String {
    match verdict {
        Verdict::Allow => text!("verdict-allow"),
        Verdict::Block => text!("verdict-block"),
        Verdict::Reject => text!("verdict-reject"),
        Verdict::Ask => text!("verdict-ask"),
        Verdict::Socket => text!("verdict-defer"),
    }
}

/// Returns the word for a verdict by its name; a name that this release does not know stands for itself.
#[must_use]
pub fn verdict_named(name: &str) -> String {
    rules::words::verdict(name).map_or_else(|_| clean(name), verdict)
}

/// Returns the word for a packet's direction.
#[must_use]
pub fn way(direction: Direction) -> String {
    match direction {
        Direction::Inbound => text!("way-in"),
        Direction::Outbound => text!("way-out"),
        Direction::Forward => text!("way-forward"),
    }
}

/// Returns the word for a direction by its name; a name that this release does not know stands for itself.
#[must_use]
pub fn way_named(name: &str) -> String {
    rules::words::direction(name).map_or_else(|_| clean(name), way)
}

/// Returns the words for the reason of a verdict.
#[must_use]
pub fn reason(reason: Reason) -> String {
    match reason {
        Reason::Rule => text!("reason-rule"),
        Reason::Default => text!("reason-default"),
        Reason::Malformed => text!("reason-malformed"),
        Reason::Fragment => text!("reason-fragment"),
        Reason::Reply => text!("reason-reply"),
        Reason::FailMode => text!("reason-fail-mode"),
        Reason::Answer => text!("reason-answer"),
        Reason::Unanswered => text!("reason-unanswered"),
        Reason::Link => text!("reason-link"),
    }
}

/// Returns the words for the cause of a loss of records.
#[must_use]
pub fn cause(cause: Cause) -> String {
    match cause {
        Cause::NoRoom => text!("cause-no-room"),
        Cause::Closing => text!("cause-closing"),
        Cause::TooLarge => text!("cause-too-large"),
    }
}

/// Formats the entry as one line for a terminal.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [time, what, way, protocol, ends, rule, program] = self.cells();
        let line =
            format!("{time}  {what:<8} {way:<7} {protocol:<6} {ends:<44} {rule:<28} {program}");
        f.write_str(line.trim_end())
    }
}

impl PacketSeen {
    /// Returns the verdict as a word of its own.
    #[must_use]
    pub fn outcome(&self) -> String {
        match self.verdict {
            Verdict::Allow => text!("what-allowed"),
            Verdict::Block => text!("what-refused"),
            Verdict::Reject => text!("what-rejected"),
            Verdict::Ask => text!("what-asked"),
            Verdict::Socket => text!("what-deferred"),
        }
    }

    /// Returns the protocol's name, or its number.
    #[must_use]
    pub fn protocol(&self) -> String {
        Protocol(self.headers.protocol).to_string()
    }

    /// Returns source and destination, with the names that are known: `10.0.0.1:40000 -> 192.0.2.7:443 (example.org)`.
    #[must_use]
    pub fn ends(&self) -> String {
        let named = |end: String, name: &Option<Arc<str>>| match name {
            Some(name) => format!("{end} ({})", clean(name)),
            None => end,
        };
        let headers = &self.headers;
        let (from, to) = (address(headers.source), address(headers.destination));
        let protocol = Protocol(headers.protocol);
        let (from, to) = match protocol.has_ports() {
            true if self.is_before_any_packet() => {
                (text!("ends-connect"), end(to, headers.destination_port))
            }
            true => (
                end(from, headers.source_port),
                end(to, headers.destination_port),
            ),
            false => (from.to_string(), to.to_string()),
        };
        let ends = format!(
            "{} -> {}",
            named(from, &self.source_name),
            named(to, &self.destination_name)
        );
        if protocol.has_types() {
            return text!(
                "ends-icmp",
                ends = ends,
                type = headers.source_port,
                code = headers.destination_port,
            );
        }
        ends
    }

    /// Returns whether a program was refused as it asked for a connection, before it had an address and a port of its
    /// own.
    fn is_before_any_packet(&self) -> bool {
        let Self {
            headers, direction, ..
        } = self;
        *direction == Direction::Outbound
            && headers.source_port == 0
            && address(headers.source).is_unspecified()
    }

    /// Returns the rule with its line, or the reason if no rule decided.
    #[must_use]
    pub fn decided_by(&self) -> String {
        let by = match (&self.rule, self.rule_number) {
            (Some(rule), _) => text!("decided-by-rule", rule = &rule.id, line = rule.line),
            (None, Some(_)) => text!("decided-by-unnamed", generation = self.generation),
            (None, None) => return reason(self.reason),
        };
        match self.reason {
            Reason::Answer | Reason::Unanswered => format!("{by}, {}", reason(self.reason)),
            _ => by,
        }
    }
}

impl fmt::Display for UnreadableRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, bytes } = self;
        f.write_str(&text!("unreadable-record", kind = *kind, count = *bytes))
    }
}

impl ProcessSeen {
    /// Returns the words for the start of the process, or for its end and how it ended.
    #[must_use]
    pub fn outcome(&self) -> String {
        match self.ended {
            None => text!("what-started"),
            Some(End::Exit(0)) => text!("what-ended"),
            Some(End::Exit(code)) => text!("what-ended-code", code = code),
            Some(End::Signal(signal)) => text!("what-killed", signal = signal),
        }
    }

    /// Returns the path and the arguments, as one would type them.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = self.path.clone();
        for argument in self.arguments.iter().skip(1) {
            line.push(' ');
            line.push_str(argument);
        }
        if self.arguments_cut {
            line.push_str(" …");
        }
        line
    }
}

/// Splits the arguments that travelled: each ended by a zero, the last one perhaps cut off.
fn arguments(process: &Process) -> Vec<String> {
    let length = (process.arguments_length as usize).min(process.arguments.len());
    let all = &process.arguments[..length];
    let all = all.strip_suffix(&[0]).unwrap_or(all);
    if all.is_empty() {
        Vec::new()
    } else {
        all.split(|byte| *byte == 0).map(text).collect()
    }
}

/// Returns the file of a program, or `None` for zeros, which are nobody's.
fn known_file(file: [u64; 2]) -> Option<[u64; 2]> {
    (file != [0; 2]).then_some(file)
}

impl fmt::Display for ProgramSeen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if !self.name.is_empty() {
            parts.push(self.name.clone());
        }
        if self.pid != 0 {
            parts.push(text!("program-pid", pid = self.pid));
        }
        if let (Some(user), true) = (self.user, self.pid != 0) {
            parts.push(text!("program-user", user = user));
        }
        f.write_str(&parts.join(", "))
    }
}

/// Decodes an address of a [`PacketHeaders`], in the form that people write.
#[must_use]
pub fn address(bytes: [u8; 16]) -> IpAddr {
    let address = Ipv6Addr::from(bytes);
    address
        .to_ipv4_mapped()
        .map_or(IpAddr::V6(address), IpAddr::V4)
}

fn end(address: IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(address, port).to_string()
}

/// Decodes the bytes up to the first zero. Names come from any program: control characters are shown as such, never
/// obeyed.
fn text(bytes: &[u8]) -> String {
    let whole = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    clean(&String::from_utf8_lossy(whole))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use crate::example::{self, Named, packet};
    use channel_abi::Cause;
    use zerocopy::FromZeros;

    #[test]
    fn a_refused_packet_shows_its_ends_and_its_rule() {
        let entry = Entry::from_packet(UNIX_EPOCH, &packet(), &mut Named).unwrap();
        let cells = entry.cells();
        assert_eq!(cells[1..4], ["refused", "in", "tcp"]);
        assert_eq!(cells[4], "10.0.0.1:40000 -> 10.0.0.2:23");
        assert_eq!(cells[5], "no-telnet (line 13)");
        assert_eq!(cells[6], "", "who sent it is not known");
    }

    #[test]
    fn a_refused_connect_shows_where_to_and_no_address_that_nobody_has() {
        let mut packet = packet();
        packet.headers.direction = Direction::Outbound as u8;
        packet.headers.source = std::net::Ipv4Addr::UNSPECIFIED.to_ipv6_mapped().octets();
        packet.headers.source_port = 0;
        let shown = |packet: &Packet| {
            let entry = Entry::from_packet(UNIX_EPOCH, packet, &mut Named).unwrap();
            entry.cells()[4].to_string()
        };
        assert_eq!(shown(&packet), "connect -> 10.0.0.2:23");
        // A machine that asks for an address of its own has none either, and sends.
        packet.headers.source_port = 68;
        assert_eq!(shown(&packet), "0.0.0.0:68 -> 10.0.0.2:23");
    }

    #[test]
    fn a_number_without_a_meaning_is_not_guessed_at() {
        let mut packet = packet();
        packet.decision.verdict = 9;
        assert_eq!(
            Entry::from_packet(UNIX_EPOCH, &packet, &mut Named),
            Err(UnknownNumber(9))
        );
    }

    #[test]
    fn a_name_from_outside_moves_no_cursor() {
        let mut process = Process::new_zeroed();
        process.name[..5].copy_from_slice(b"a\x1b[2J");
        let entry = Entry::from_process(UNIX_EPOCH, &process, false);
        assert!(!entry.to_string().contains('\x1b'), "{entry}");
    }

    #[test]
    fn a_process_shows_what_it_was_given_and_how_it_ended() {
        let mut process = Process::new_zeroed();
        process.path[..7].copy_from_slice(b"/bin/nc");
        process.arguments[..9].copy_from_slice(b"nc\0-l\0\x1b9\0");
        process.arguments_length = 9;
        process.exit_code = 3 << 8;
        let started = Entry::from_process(UNIX_EPOCH, &process, false);
        assert_eq!(
            started.cells()[1..5],
            ["started", "", "", "/bin/nc -l \u{fffd}9"]
        );
        assert_eq!(
            Entry::from_process(UNIX_EPOCH, &process, true).cells()[1],
            "ended 3"
        );
        process.exit_code = 9;
        assert_eq!(
            Entry::from_process(UNIX_EPOCH, &process, true).cells()[1],
            "killed 9"
        );
        process.arguments_length = 4000;
        assert!(Entry::from_process(UNIX_EPOCH, &process, false).cells()[4].ends_with('…'));
    }

    #[test]
    fn a_loss_says_how_many_and_why() {
        let lost = Lost {
            processor: 1,
            cause: Cause::NoRoom,
            count: 7,
        };
        let line = Entry::lost(UNIX_EPOCH, lost).to_string();
        assert!(
            line.contains("LOST") && line.contains("7 records (no_room)"),
            "{line}"
        );
    }

    #[test]
    fn a_rule_whose_name_is_not_known_is_not_taken_for_the_default() {
        let packet = packet();
        let entry = Entry::from_packet(UNIX_EPOCH, &packet, &mut control::NoNames).unwrap();
        assert_eq!(entry.cells()[5], "a rule of generation 1");
    }

    #[test]
    fn a_first_contact_is_one_line_among_records() {
        let mut row = example::contact();
        let line = Entry::contact(row.clone()).to_string();
        let words: Vec<_> = line.split_whitespace().skip(1).collect();
        assert_eq!(
            words.join(" "),
            "refused, first contact out tcp 192.0.2.7:443 (example.org) no-web /usr/bin/curl (user 1000)"
        );
        assert!(line.starts_with(&clock_time(UNIX_EPOCH + Duration::from_secs(row.first))));
        row.first = u64::MAX;
        assert_eq!(Entry::contact(row).at, UNIX_EPOCH, "no time at all");
    }

    #[test]
    fn a_record_that_can_t_be_read_is_shown_as_one() {
        let line = Entry::unreadable(UNIX_EPOCH, 77, 100).to_string();
        assert!(
            line.contains("UNKNOWN") && line.contains("kind 77, 100 bytes"),
            "{line}"
        );
    }
}
