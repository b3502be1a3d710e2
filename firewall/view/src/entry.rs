//! What the app shows, in a window or in a terminal: one entry for each packet, process and loss.
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

/// What the reader thread tells a view.
#[derive(Clone, Debug)]
pub enum Update {
    /// Something happened.
    Entry(Entry),
    /// Both sides' books, as they stand now.
    Account(Account),
    /// No more will come, and why.
    Ended(String),
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When the driver saw it.
    pub at: SystemTime,
    /// What it saw.
    pub what: What,
}

/// What a row is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A packet and its verdict.
    Packet(PacketSeen),
    /// A process that started (`ended: None`) or ended.
    Process(ProcessSeen),
    /// Records that did not reach this app, here.
    Lost(Lost),
    /// A record that this release can't read.
    Unreadable(UnreadableRecord),
    /// A program that talked for the first time, or for the first time since its file has changed, as the history has it.
    Contact(Arc<HistoryRow>),
}

/// A record of a kind that this release does not know, or that holds a number that it gives no meaning to. It was delivered
/// and is shown: it is neither swallowed nor guessed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnreadableRecord {
    /// The number of its kind.
    pub kind: u32,
    /// Its length in bytes, with its header.
    pub bytes: usize,
}

/// A packet, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketSeen {
    /// Into the zone, out of it or through it.
    pub direction: Direction,
    /// What became of it.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// The number of the rule that decided, in its generation, if one did.
    pub rule_number: Option<u32>,
    /// The name of the rule that decided, if one did and its name is known.
    pub rule: Option<RuleName>,
    /// The generation of the rules that decided.
    pub generation: u32,
    /// Its headers.
    pub flow: PacketHeaders,
    /// Bytes, from the IP header on.
    pub length: u32,
    /// The device it came in or went out by, if its name is known; of what is forwarded, the one that it came in by.
    pub device: Option<Arc<str>>,
    /// The device that what is forwarded goes out by, if its name is known.
    pub out_device: Option<Arc<str>>,
    /// The name that the source was asked for by last, if it is known. It labels, and proves nothing.
    pub source_name: Option<Arc<str>>,
    /// The same of the destination.
    pub destination_name: Option<Arc<str>>,
    /// Who sent it, as far as it is known.
    pub program: Program,
}

/// A process, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessSeen {
    /// Who.
    pub program: Program,
    /// The program's path, as it was asked for.
    pub path: String,
    /// Its arguments, the first one too, as far as they are known.
    pub arguments: Vec<String>,
    /// Whether there are more of them.
    pub arguments_cut: bool,
    /// The parent's number, 0 if not known.
    pub parent: u32,
    /// How it ended, if it did.
    pub ended: Option<End>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with this exit code.
    Exit(u8),
    /// By a signal.
    Signal(u8),
}

impl End {
    /// As `wait` has it: the code in the second byte, the signal in the first.
    const fn of(status: u32) -> Self {
        match (status & 0x7f) as u8 {
            0 => Self::Exit((status >> 8) as u8),
            signal => Self::Signal(signal),
        }
    }
}

/// Who did it. Each part may be unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// The kernel's name for the task.
    pub name: String,
    /// Its number, 0 if not known.
    pub pid: u32,
    /// Its user, if known.
    pub user: Option<u32>,
    /// The program's file, as the kernel knows it: its file system's device and its inode.
    pub file: Option<[u64; 2]>,
    /// The file's path, if somebody knows it.
    pub path: Option<Arc<str>>,
}

impl Entry {
    /// A packet's record. Numbers that the driver's tables give no meaning to are an error.
    pub fn from_packet(
        at: SystemTime,
        packet: &Packet,
        names: &mut dyn Names,
    ) -> Result<Self, UnknownNumber> {
        let decision = &packet.decision;
        let number = (decision.rule != NO_RULE).then_some(decision.rule);
        let rule = number.and_then(|number| names.rule(decision.generation, number));
        let file = known_file(packet.program);
        let program = Program {
            name: text(&packet.name),
            pid: packet.pid,
            user: (packet.user != NO_USER).then_some(packet.user),
            path: file.and_then(|file| names.program(file)),
            file,
        };
        let seen = PacketSeen {
            direction: packet.flow.direction.try_into()?,
            verdict: decision.verdict.try_into()?,
            reason: decision.reason.try_into()?,
            rule_number: number,
            rule,
            generation: decision.generation,
            flow: packet.flow,
            length: packet.length,
            source_name: names.address(address(packet.flow.source)),
            destination_name: names.address(address(packet.flow.destination)),
            device: names.device(packet.interface),
            out_device: names.device(packet.out_interface),
            program,
        };
        Ok(Self {
            at,
            what: What::Packet(seen),
        })
    }

    /// A process's record.
    #[must_use]
    pub fn from_process(at: SystemTime, process: &Process, ended: bool) -> Self {
        let file = known_file(process.program);
        let path = text(&process.path);
        let program = Program {
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
            what: What::Process(seen),
        }
    }

    /// A record that this release can't read.
    #[must_use]
    pub const fn unreadable(at: SystemTime, kind: u32, bytes: usize) -> Self {
        Self {
            at,
            what: What::Unreadable(UnreadableRecord { kind, bytes }),
        }
    }

    /// A loss, in its place between two records.
    #[must_use]
    pub const fn lost(at: SystemTime, lost: Lost) -> Self {
        Self {
            at,
            what: What::Lost(lost),
        }
    }

    /// A first contact, when it was.
    #[must_use]
    pub fn contact(row: HistoryRow) -> Self {
        let at = UNIX_EPOCH.checked_add(Duration::from_secs(row.first));
        Self {
            at: at.unwrap_or(UNIX_EPOCH),
            what: What::Contact(Arc::new(row)),
        }
    }

    /// The cells of its row, as [`titles`] names them.
    #[must_use]
    pub fn cells(&self) -> [String; COLUMNS] {
        let time = clock_time(self.at);
        match &self.what {
            What::Packet(packet) => [
                time,
                packet.outcome(),
                way(packet.direction),
                packet.protocol(),
                packet.ends(),
                packet.decided_by(),
                packet.program.to_string(),
            ],
            What::Process(process) => [
                time,
                process.outcome(),
                String::new(),
                String::new(),
                process.line(),
                String::new(),
                process.program.to_string(),
            ],
            What::Unreadable(record) => [
                time,
                text!("what-unknown"),
                String::new(),
                String::new(),
                record.to_string(),
                String::new(),
                String::new(),
            ],
            What::Lost(lost) => [
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
            What::Contact(row) => {
                let [_, what, way, protocol, end, rule, ..] = history::cells(row);
                [time, what, way, protocol, end, rule, history::whose(row)]
            }
        }
    }
}

/// How many cells a row has.
pub const COLUMNS: usize = 7;

/// What the cells of a row are.
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

/// What a rule does to what it takes.
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

/// The same by its name; a name that this release does not know stands for itself.
#[must_use]
pub fn verdict_named(name: &str) -> String {
    rules::words::verdict(name).map_or_else(|_| clean(name), verdict)
}

/// Which way a packet goes.
#[must_use]
pub fn way(direction: Direction) -> String {
    match direction {
        Direction::Inbound => text!("way-in"),
        Direction::Outbound => text!("way-out"),
        Direction::Forward => text!("way-forward"),
    }
}

/// The same by its name; a name that this release does not know stands for itself.
#[must_use]
pub fn way_named(name: &str) -> String {
    rules::words::direction(name).map_or_else(|_| clean(name), way)
}

/// Why something became of a packet.
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

/// Why records were lost.
#[must_use]
pub fn cause(cause: Cause) -> String {
    match cause {
        Cause::NoRoom => text!("cause-no-room"),
        Cause::Closing => text!("cause-closing"),
        Cause::TooLarge => text!("cause-too-large"),
    }
}

/// One line for a terminal.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [time, what, way, protocol, ends, rule, program] = self.cells();
        let line =
            format!("{time}  {what:<8} {way:<7} {protocol:<6} {ends:<44} {rule:<28} {program}");
        f.write_str(line.trim_end())
    }
}

impl PacketSeen {
    /// The verdict as a word of its own.
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

    /// The protocol's name, or its number.
    #[must_use]
    pub fn protocol(&self) -> String {
        Protocol(self.flow.protocol).to_string()
    }

    /// Where from and where to, with the names that are known: `10.0.0.1:40000 -> 192.0.2.7:443 (example.org)`.
    #[must_use]
    pub fn ends(&self) -> String {
        let named = |end: String, name: &Option<Arc<str>>| match name {
            Some(name) => format!("{end} ({})", clean(name)),
            None => end,
        };
        let flow = &self.flow;
        let (from, to) = (address(flow.source), address(flow.destination));
        let protocol = Protocol(flow.protocol);
        let (from, to) = match protocol.has_ports() {
            true if self.is_before_any_packet() => {
                (text!("ends-connect"), end(to, flow.destination_port))
            }
            true => (end(from, flow.source_port), end(to, flow.destination_port)),
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
                type = flow.source_port,
                code = flow.destination_port,
            );
        }
        ends
    }

    /// Whether a program was refused as it asked for a connection, before it had an address and a port of its own.
    fn is_before_any_packet(&self) -> bool {
        let Self {
            flow, direction, ..
        } = self;
        *direction == Direction::Outbound
            && flow.source_port == 0
            && address(flow.source).is_unspecified()
    }

    /// The rule with its line, or the reason if no rule decided.
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
    /// Started, or ended and how.
    #[must_use]
    pub fn outcome(&self) -> String {
        match self.ended {
            None => text!("what-started"),
            Some(End::Exit(0)) => text!("what-ended"),
            Some(End::Exit(code)) => text!("what-ended-code", code = code),
            Some(End::Signal(signal)) => text!("what-killed", signal = signal),
        }
    }

    /// The path and what it was given, as one would type it.
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

/// The arguments that travelled: each ended by a zero, the last one perhaps cut off.
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

/// Zeros are nobody's file.
fn known_file(file: [u64; 2]) -> Option<[u64; 2]> {
    (file != [0; 2]).then_some(file)
}

impl fmt::Display for Program {
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

/// An address of a [`PacketHeaders`], in the form that people write.
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

/// Bytes up to the first zero. Names come from any program: control characters are shown as such, never obeyed.
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
        packet.flow.direction = Direction::Outbound as u8;
        packet.flow.source = std::net::Ipv4Addr::UNSPECIFIED.to_ipv6_mapped().octets();
        packet.flow.source_port = 0;
        let shown = |packet: &Packet| {
            let entry = Entry::from_packet(UNIX_EPOCH, packet, &mut Named).unwrap();
            entry.cells()[4].to_string()
        };
        assert_eq!(shown(&packet), "connect -> 10.0.0.2:23");
        // A machine that asks for an address of its own has none either, and sends.
        packet.flow.source_port = 68;
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
