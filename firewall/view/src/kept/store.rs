//! Entries, packed: what many share is kept once, and the oldest go many at a time.

use super::symbols::{NONE, Symbol, Symbols};
use crate::entry::{End, Entry, PacketSeen, ProcessSeen, Program, UnreadableRecord, What};
use channel::Lost;
use control::{HistoryRow, RuleName};
use firewall_abi::packet::{Direction, NO_RULE, NO_USER, PacketHeaders, Reason, Verdict};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// Entries that lie together, and go together.
pub const CHUNK: usize = 10_000;

/// The entries that are kept. Each has a number that it keeps.
#[derive(Debug, Default)]
pub struct Store {
    /// All but the last are full.
    chunks: VecDeque<Vec<Packed>>,
    /// The number of the first entry that is still here.
    first: u64,
    shared: Shared,
}

/// What entries share.
#[derive(Debug, Default)]
struct Shared {
    strings: Symbols<Arc<str>>,
    rules: Symbols<Arc<RuleName>>,
    files: Symbols<[u64; 2]>,
    contacts: Symbols<Arc<HistoryRow>>,
}

/// An entry, packed.
#[derive(Clone, Copy, Debug)]
pub struct Packed {
    /// When, in nanoseconds since 1970.
    pub at: u64,
    /// The number of the group that it is in, as long as its filter holds.
    pub group: u32,
    pub what: PackedWhat,
}

#[derive(Clone, Copy, Debug)]
pub enum PackedWhat {
    Packet(PackedPacket),
    Process(PackedProcess),
    Lost(Lost),
    Unreadable(UnreadableRecord),
    Contact(PackedContact),
}

#[derive(Clone, Copy, Debug)]
pub struct PackedPacket {
    pub flow: PacketHeaders,
    pub generation: u32,
    pub rule_number: u32,
    pub length: u32,
    pub rule: Symbol,
    pub device: Symbol,
    pub out_device: Symbol,
    pub source_name: Symbol,
    pub destination_name: Symbol,
    pub program: PackedProgram,
    pub user: u32,
    pub direction: Direction,
    pub verdict: Verdict,
    pub reason: Reason,
}

#[derive(Clone, Copy, Debug)]
pub struct PackedProcess {
    pub program: PackedProgram,
    pub user: Option<u32>,
    pub asked: Symbol,
    /// All of them, with a zero between two, which none of them has.
    pub arguments: Symbol,
    pub parent: u32,
    pub arguments_cut: bool,
    pub ended: Option<End>,
}

/// There are few: each row is kept whole.
#[derive(Clone, Copy, Debug)]
pub struct PackedContact {
    pub row: Symbol,
    /// What the program is called: its path, else its name.
    pub program: Symbol,
    pub user: Option<u32>,
    pub changed: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct PackedProgram {
    pub name: Symbol,
    pub pid: u32,
    pub file: Symbol,
    pub path: Symbol,
}

impl PackedProgram {
    /// What it is called: its path, else its name.
    pub fn called(&self) -> Symbol {
        if self.path == NONE {
            self.name
        } else {
            self.path
        }
    }
}

const BETWEEN: char = '\0';

impl Shared {
    fn string(&mut self, text: &str) -> Symbol {
        self.strings.take(text, || text.into())
    }

    fn shared_string(&mut self, text: Option<&Arc<str>>) -> Symbol {
        text.map_or(NONE, |text| self.strings.take(&**text, || text.clone()))
    }

    fn program(&mut self, program: &Program) -> PackedProgram {
        let file = program.file;
        PackedProgram {
            name: self.string(&program.name),
            pid: program.pid,
            file: file.map_or(NONE, |file| self.files.take(&file, || file)),
            path: self.shared_string(program.path.as_ref()),
        }
    }

    fn packet(&mut self, packet: &PacketSeen) -> PackedPacket {
        let rule = packet.rule.as_ref();
        PackedPacket {
            flow: packet.flow,
            generation: packet.generation,
            rule_number: packet.rule_number.unwrap_or(NO_RULE),
            length: packet.length,
            rule: rule.map_or(NONE, |rule| self.rules.take(rule, || rule.clone().into())),
            device: self.shared_string(packet.device.as_ref()),
            out_device: self.shared_string(packet.out_device.as_ref()),
            source_name: self.shared_string(packet.source_name.as_ref()),
            destination_name: self.shared_string(packet.destination_name.as_ref()),
            program: self.program(&packet.program),
            user: packet.program.user.unwrap_or(NO_USER),
            direction: packet.direction,
            verdict: packet.verdict,
            reason: packet.reason,
        }
    }

    fn process(&mut self, process: &ProcessSeen) -> PackedProcess {
        let arguments = &process.arguments;
        PackedProcess {
            program: self.program(&process.program),
            user: process.program.user,
            asked: self.string(&process.path),
            arguments: if arguments.is_empty() {
                NONE
            } else {
                let mut between = [0; 1];
                let all = arguments.join(&*BETWEEN.encode_utf8(&mut between));
                self.string(&all)
            },
            parent: process.parent,
            arguments_cut: process.arguments_cut,
            ended: process.ended,
        }
    }

    fn contact(&mut self, row: &Arc<HistoryRow>) -> PackedContact {
        let program = row.program.as_deref().unwrap_or(&row.process);
        PackedContact {
            row: self.contacts.take(&**row, || row.clone()),
            program: self.string(program),
            user: row.user,
            changed: row.contact.as_deref() != Some("first"),
        }
    }

    fn pack(&mut self, entry: &Entry) -> Packed {
        let at = entry.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        Packed {
            at: u64::try_from(at.as_nanos()).unwrap_or(u64::MAX),
            group: super::groups::NO_GROUP,
            what: match &entry.what {
                What::Packet(packet) => PackedWhat::Packet(self.packet(packet)),
                What::Process(process) => PackedWhat::Process(self.process(process)),
                What::Lost(lost) => PackedWhat::Lost(*lost),
                What::Unreadable(record) => PackedWhat::Unreadable(*record),
                What::Contact(row) => PackedWhat::Contact(self.contact(row)),
            },
        }
    }

    fn text(&self, symbol: Symbol) -> Option<Arc<str>> {
        self.strings.get(symbol).cloned()
    }

    fn owned(&self, symbol: Symbol) -> String {
        let known = self.strings.get(symbol);
        known.map_or_else(String::new, |text| text.to_string())
    }

    fn unpack_program(&self, program: PackedProgram, user: Option<u32>) -> Program {
        Program {
            name: self.owned(program.name),
            pid: program.pid,
            user,
            file: self.files.get(program.file).copied(),
            path: self.text(program.path),
        }
    }

    fn unpack(&self, packed: &Packed) -> Entry {
        let what = match &packed.what {
            PackedWhat::Packet(packet) => What::Packet(PacketSeen {
                direction: packet.direction,
                verdict: packet.verdict,
                reason: packet.reason,
                rule_number: (packet.rule_number != NO_RULE).then_some(packet.rule_number),
                rule: self.rules.get(packet.rule).map(|rule| (**rule).clone()),
                generation: packet.generation,
                flow: packet.flow,
                length: packet.length,
                device: self.text(packet.device),
                out_device: self.text(packet.out_device),
                source_name: self.text(packet.source_name),
                destination_name: self.text(packet.destination_name),
                program: self.unpack_program(
                    packet.program,
                    (packet.user != NO_USER).then_some(packet.user),
                ),
            }),
            PackedWhat::Process(process) => What::Process(ProcessSeen {
                program: self.unpack_program(process.program, process.user),
                path: self.owned(process.asked),
                arguments: self
                    .strings
                    .get(process.arguments)
                    .map(|all| all.split(BETWEEN).map(str::to_owned).collect())
                    .unwrap_or_default(),
                arguments_cut: process.arguments_cut,
                parent: process.parent,
                ended: process.ended,
            }),
            PackedWhat::Lost(lost) => What::Lost(*lost),
            PackedWhat::Unreadable(record) => What::Unreadable(*record),
            PackedWhat::Contact(contact) => {
                let row = self.contacts.get(contact.row).cloned();
                What::Contact(row.unwrap_or_default())
            }
        };
        Entry {
            at: UNIX_EPOCH + Duration::from_nanos(packed.at),
            what,
        }
    }

    fn give_back(&mut self, packed: &Packed) {
        let (program, strings) = match &packed.what {
            PackedWhat::Packet(packet) => {
                self.rules.give_back(packet.rule);
                let names = [packet.source_name, packet.destination_name];
                (
                    packet.program,
                    [packet.device, packet.out_device, names[0], names[1]],
                )
            }
            PackedWhat::Process(process) => (
                process.program,
                [process.asked, process.arguments, NONE, NONE],
            ),
            PackedWhat::Contact(contact) => {
                self.contacts.give_back(contact.row);
                self.strings.give_back(contact.program);
                return;
            }
            PackedWhat::Lost(_) | PackedWhat::Unreadable(_) => return,
        };
        self.files.give_back(program.file);
        for string in strings.into_iter().chain([program.name, program.path]) {
            self.strings.give_back(string);
        }
    }
}

impl Store {
    /// Keeps one more.
    pub fn push(&mut self, entry: &Entry) {
        if self.chunks.back().is_none_or(|last| last.len() == CHUNK) {
            self.chunks.push_back(Vec::with_capacity(CHUNK));
        }
        let packed = self.shared.pack(entry);
        if let Some(last) = self.chunks.back_mut() {
            last.push(packed);
        }
    }

    /// How many are here.
    pub fn len(&self) -> usize {
        let last = self.chunks.back().map_or(0, Vec::len);
        self.chunks.len().saturating_sub(1) * CHUNK + last
    }

    /// The number of the first that is still here.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The number of the one that comes next.
    pub fn end(&self) -> u64 {
        self.first + self.len() as u64
    }

    /// The one with this number, packed.
    pub fn packed(&self, number: u64) -> Option<&Packed> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.chunks.get(at / CHUNK)?.get(at % CHUNK)
    }

    /// Notes the group of the one with this number.
    pub fn set_group(&mut self, number: u64, group: u32) {
        let at = number.checked_sub(self.first);
        let at = at.and_then(|at| usize::try_from(at).ok());
        let packed = at.and_then(|at| self.chunks.get_mut(at / CHUNK)?.get_mut(at % CHUNK));
        if let Some(packed) = packed {
            packed.group = group;
        }
    }

    /// The one with this number.
    pub fn entry(&self, number: u64) -> Option<Entry> {
        self.packed(number).map(|packed| self.shared.unpack(packed))
    }

    /// A string by its number.
    pub fn text(&self, symbol: Symbol) -> Option<&str> {
        self.shared.strings.get(symbol).map(|text| &**text)
    }

    /// A first contact by its number.
    pub fn contact(&self, symbol: Symbol) -> Option<&HistoryRow> {
        self.shared.contacts.get(symbol).map(|row| &**row)
    }

    /// A rule's name by its number.
    pub fn rule(&self, symbol: Symbol) -> Option<&RuleName> {
        self.shared.rules.get(symbol).map(|rule| &**rule)
    }

    /// Drops the oldest ones that lie together, unless they are the only ones. `dropped` is told of each before.
    pub fn drop_oldest(&mut self, mut dropped: impl FnMut(u64, &Packed)) {
        if self.chunks.len() < 2 {
            return;
        }
        let oldest = self.chunks.pop_front().unwrap_or_default();
        for packed in &oldest {
            dropped(self.first, packed);
            self.shared.give_back(packed);
            self.first += 1;
        }
        let Shared {
            strings,
            rules,
            files,
            contacts,
        } = &mut self.shared;
        strings.tidy();
        rules.tidy();
        files.tidy();
        contacts.tidy();
    }

    /// Bytes that all of it takes.
    pub fn bytes(&self) -> usize {
        let Shared {
            strings,
            rules,
            files,
            contacts,
        } = &self.shared;
        let chunks = self.chunks.len() * CHUNK * size_of::<Packed>();
        chunks + strings.bytes() + rules.bytes() + files.bytes() + contacts.bytes()
    }
}

const _: () = assert!(size_of::<Packed>() <= 112);
