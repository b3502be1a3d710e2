//! Packed entries: what many share is kept once, and the oldest go many at a time.

use super::groups::NO_GROUP;
use super::symbols::{NONE, Symbol, Symbols};
use crate::entry::{
    End, Entry, EntryContent, PacketSeen, ProcessSeen, ProgramSeen, UnreadableRecord,
};
use channel::Lost;
use control::{HistoryRow, RuleName};
use firewall_abi::packet::{Direction, NO_RULE, NO_USER, PacketHeaders, Reason, Verdict};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// Number of entries that lie together, and go together.
pub const CHUNK: usize = 10_000;

/// Entries that are kept. Each has a number that it keeps.
#[derive(Debug, Default)]
pub struct Store {
    /// Chunks of entries; all but the last are full.
    chunks: VecDeque<Chunk>,
    /// Number of the first entry that is still here.
    first: u64,
    shared: Shared,
}

/// Entries that lie together, and beside them the number of each one's group, as long as the filter holds.
#[derive(Debug)]
struct Chunk {
    entries: Vec<Packed>,
    groups: Vec<u32>,
}

impl Chunk {
    /// Bytes of a chunk, which has its whole room from the beginning.
    const BYTES: usize = CHUNK * (size_of::<Packed>() + size_of::<u32>());

    fn new() -> Self {
        Self {
            entries: Vec::with_capacity(CHUNK),
            groups: Vec::with_capacity(CHUNK),
        }
    }
}

/// Values that entries share.
#[derive(Debug, Default)]
struct Shared {
    strings: Symbols<Arc<str>>,
    rules: Symbols<Arc<RuleName>>,
    files: Symbols<[u64; 2]>,
    contacts: Symbols<Arc<HistoryRow>>,
    contexts: Symbols<PacketContext>,
}

/// Packed entry.
#[derive(Clone, Copy, Debug)]
pub struct Packed {
    /// Time in nanoseconds since 1970.
    pub at: u64,
    pub what: PackedContent,
}

#[derive(Clone, Copy, Debug)]
pub enum PackedContent {
    Packet(PackedPacket),
    Process(PackedProcess),
    Lost(Lost),
    Unreadable(UnreadableRecord),
    Contact(PackedContact),
}

#[derive(Clone, Copy, Debug)]
pub struct PackedPacket {
    pub headers: PacketHeaders,
    pub length: u32,
    pub pid: u32,
    /// Number of its [`PacketContext`].
    pub context: Symbol,
    /// Verdict on the packet. It stands here since its unused values spare [`PackedContent`] a tag of eight bytes.
    pub verdict: Verdict,
}

/// The part of a packet's entry that many packets of one program have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PacketContext {
    pub generation: u32,
    pub rule_number: u32,
    pub rule: Symbol,
    pub device: Symbol,
    pub out_device: Symbol,
    pub source_name: Symbol,
    pub destination_name: Symbol,
    pub program: PackedProgram,
    pub user: u32,
    pub direction: Direction,
    pub reason: Reason,
}

#[derive(Clone, Copy, Debug)]
pub struct PackedProcess {
    pub program: PackedProgram,
    pub pid: u32,
    pub user: Option<u32>,
    pub asked: Symbol,
    /// Arguments of the process, with a zero between two, which none of them has.
    pub arguments: Symbol,
    pub parent: u32,
    pub arguments_cut: bool,
    pub ended: Option<End>,
}

/// Packed first contact. There are few: each row is kept whole.
#[derive(Clone, Copy, Debug)]
pub struct PackedContact {
    pub row: Symbol,
    /// Name of the program: its path, else the process's name.
    pub program: Symbol,
    pub user: Option<u32>,
    pub changed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PackedProgram {
    pub name: Symbol,
    pub file: Symbol,
    pub path: Symbol,
}

impl PackedProgram {
    /// Returns the program's path, else its name.
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

    fn program(&mut self, program: &ProgramSeen) -> PackedProgram {
        let file = program.file;
        PackedProgram {
            name: self.string(&program.name),
            file: file.map_or(NONE, |file| self.files.take(&file, || file)),
            path: self.shared_string(program.path.as_ref()),
        }
    }

    fn packet(&mut self, packet: &PacketSeen) -> PackedPacket {
        let context = self.context(packet);
        PackedPacket {
            headers: packet.headers,
            length: packet.length,
            pid: packet.program.pid,
            context: self.shared_context(context),
            verdict: packet.verdict,
        }
    }

    fn context(&mut self, packet: &PacketSeen) -> PacketContext {
        let rule = packet.rule.as_ref();
        PacketContext {
            generation: packet.generation,
            rule_number: packet.rule_number.unwrap_or(NO_RULE),
            rule: rule.map_or(NONE, |rule| self.rules.take(rule, || rule.clone().into())),
            device: self.shared_string(packet.device.as_ref()),
            out_device: self.shared_string(packet.out_device.as_ref()),
            source_name: self.shared_string(packet.source_name.as_ref()),
            destination_name: self.shared_string(packet.destination_name.as_ref()),
            program: self.program(&packet.program),
            user: packet.program.user.unwrap_or(NO_USER),
            direction: packet.direction,
            reason: packet.reason,
        }
    }

    /// Number of a context. A context uses each of its values once, however many packets use the context.
    fn shared_context(&mut self, context: PacketContext) -> Symbol {
        let mut is_new = false;
        let number = self.contexts.take(&context, || {
            is_new = true;
            context
        });
        if !is_new {
            self.give_back_context(&context);
        }
        number
    }

    fn process(&mut self, process: &ProcessSeen) -> PackedProcess {
        let arguments = &process.arguments;
        PackedProcess {
            program: self.program(&process.program),
            pid: process.program.pid,
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
            what: match &entry.what {
                EntryContent::Packet(packet) => PackedContent::Packet(self.packet(packet)),
                EntryContent::Process(process) => PackedContent::Process(self.process(process)),
                EntryContent::Lost(lost) => PackedContent::Lost(*lost),
                EntryContent::Unreadable(record) => PackedContent::Unreadable(*record),
                EntryContent::Contact(row) => PackedContent::Contact(self.contact(row)),
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

    fn unpack_program(&self, program: PackedProgram, pid: u32, user: Option<u32>) -> ProgramSeen {
        ProgramSeen {
            name: self.owned(program.name),
            pid,
            user,
            file: self.files.get(program.file).copied(),
            path: self.text(program.path),
        }
    }

    /// Returns the packet's entry, if its context is still here: it is as long as the entry is.
    fn unpack_packet(&self, packet: &PackedPacket) -> Option<PacketSeen> {
        let context = self.contexts.get(packet.context)?;
        let user = (context.user != NO_USER).then_some(context.user);
        Some(PacketSeen {
            direction: context.direction,
            verdict: packet.verdict,
            reason: context.reason,
            rule_number: (context.rule_number != NO_RULE).then_some(context.rule_number),
            rule: self.rules.get(context.rule).map(|rule| (**rule).clone()),
            generation: context.generation,
            headers: packet.headers,
            length: packet.length,
            device: self.text(context.device),
            out_device: self.text(context.out_device),
            source_name: self.text(context.source_name),
            destination_name: self.text(context.destination_name),
            program: self.unpack_program(context.program, packet.pid, user),
        })
    }

    fn unpack(&self, packed: &Packed) -> Option<Entry> {
        let what = match &packed.what {
            PackedContent::Packet(packet) => EntryContent::Packet(self.unpack_packet(packet)?),
            PackedContent::Process(process) => EntryContent::Process(ProcessSeen {
                program: self.unpack_program(process.program, process.pid, process.user),
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
            PackedContent::Lost(lost) => EntryContent::Lost(*lost),
            PackedContent::Unreadable(record) => EntryContent::Unreadable(*record),
            PackedContent::Contact(contact) => {
                let row = self.contacts.get(contact.row).cloned();
                EntryContent::Contact(row.unwrap_or_default())
            }
        };
        Some(Entry {
            at: UNIX_EPOCH + Duration::from_nanos(packed.at),
            what,
        })
    }

    fn give_back(&mut self, packed: &Packed) {
        match &packed.what {
            PackedContent::Packet(packet) => {
                if let Some(unused) = self.contexts.give_back(packet.context) {
                    self.give_back_context(&unused);
                }
            }
            PackedContent::Process(process) => {
                self.give_back_program(process.program);
                self.give_back_strings(&[process.asked, process.arguments]);
            }
            PackedContent::Contact(contact) => {
                self.contacts.give_back(contact.row);
                self.strings.give_back(contact.program);
            }
            PackedContent::Lost(_) | PackedContent::Unreadable(_) => {}
        }
    }

    fn give_back_context(&mut self, context: &PacketContext) {
        self.rules.give_back(context.rule);
        self.give_back_program(context.program);
        self.give_back_strings(&[
            context.device,
            context.out_device,
            context.source_name,
            context.destination_name,
        ]);
    }

    fn give_back_program(&mut self, program: PackedProgram) {
        self.files.give_back(program.file);
        self.give_back_strings(&[program.name, program.path]);
    }

    fn give_back_strings(&mut self, strings: &[Symbol]) {
        for string in strings {
            self.strings.give_back(*string);
        }
    }

    fn tidy(&mut self) {
        self.contexts.tidy();
        self.contacts.tidy();
        self.strings.tidy();
        self.rules.tidy();
        self.files.tidy();
    }

    fn bytes(&self) -> usize {
        self.contexts.bytes()
            + self.contacts.bytes()
            + self.strings.bytes()
            + self.rules.bytes()
            + self.files.bytes()
    }
}

impl Store {
    /// Keeps one more entry.
    pub fn push(&mut self, entry: &Entry) {
        if self
            .chunks
            .back()
            .is_none_or(|last| last.entries.len() == CHUNK)
        {
            self.chunks.push_back(Chunk::new());
        }
        let packed = self.shared.pack(entry);
        if let Some(last) = self.chunks.back_mut() {
            last.entries.push(packed);
            last.groups.push(NO_GROUP);
        }
    }

    /// Returns how many entries are here.
    pub fn len(&self) -> usize {
        let last = self.chunks.back().map_or(0, |last| last.entries.len());
        self.chunks.len().saturating_sub(1) * CHUNK + last
    }

    /// Returns the number of the first entry that is still here.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Returns the number of the entry that comes next.
    pub fn end(&self) -> u64 {
        self.first + self.len() as u64
    }

    /// Returns the chunk of the entry with this number, and its place there.
    fn place_of(&self, number: u64) -> Option<(usize, usize)> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        Some((at / CHUNK, at % CHUNK))
    }

    /// Returns the packed entry with this number.
    pub fn packed(&self, number: u64) -> Option<&Packed> {
        let (chunk, place) = self.place_of(number)?;
        self.chunks.get(chunk)?.entries.get(place)
    }

    /// Returns the group of the entry with this number; [`NO_GROUP`] as long as none was set.
    pub fn group(&self, number: u64) -> Option<u32> {
        let (chunk, place) = self.place_of(number)?;
        self.chunks.get(chunk)?.groups.get(place).copied()
    }

    /// Sets the group of the entry with this number, if it is still here.
    pub fn set_group(&mut self, number: u64, group: u32) {
        let place = self.place_of(number);
        let its =
            place.and_then(|(chunk, place)| self.chunks.get_mut(chunk)?.groups.get_mut(place));
        if let Some(its) = its {
            *its = group;
        }
    }

    /// Returns the entry with this number.
    pub fn entry(&self, number: u64) -> Option<Entry> {
        self.shared.unpack(self.packed(number)?)
    }

    /// Returns a string by its number.
    pub fn text(&self, symbol: Symbol) -> Option<&str> {
        self.shared.strings.get(symbol).map(|text| &**text)
    }

    /// Returns a first contact by its number.
    pub fn contact(&self, symbol: Symbol) -> Option<&HistoryRow> {
        self.shared.contacts.get(symbol).map(|row| &**row)
    }

    /// Returns a rule's name by its number.
    pub fn rule(&self, symbol: Symbol) -> Option<&RuleName> {
        self.shared.rules.get(symbol).map(|rule| &**rule)
    }

    /// Returns a context by its number.
    pub fn context(&self, symbol: Symbol) -> Option<&PacketContext> {
        self.shared.contexts.get(symbol)
    }

    /// Drops the oldest chunk, unless it is the only one. `dropped` is told of each entry before,
    /// with its number and its group.
    pub fn drop_oldest(&mut self, mut dropped: impl FnMut(u64, u32, &Packed)) {
        if self.chunks.len() < 2 {
            return;
        }
        let Some(oldest) = self.chunks.pop_front() else {
            return;
        };
        for (packed, group) in oldest.entries.iter().zip(oldest.groups) {
            dropped(self.first, group, packed);
            self.shared.give_back(packed);
            self.first += 1;
        }
        self.shared.tidy();
    }

    /// Returns the bytes that all of it takes.
    pub fn bytes(&self) -> usize {
        self.chunks.len() * Chunk::BYTES + self.shared.bytes()
    }
}

const _: () = assert!(size_of::<Packed>() <= 64);
