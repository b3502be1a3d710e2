//! Groups of entries: a line for each program and endpoint, and what became of it.

use super::store::{Packed, PackedContent, PackedPacket, PacketContext, Store};
use super::symbols::{NONE, Symbol, map_bytes};
use crate::entry::End;
use channel::Cause;
use firewall_abi::packet::{Direction, Verdict};
use rules::Protocol;
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Number of no group.
pub const NO_GROUP: u32 = u32::MAX;

/// Key that the entries of one group have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    Packet {
        /// Address of the other end; of what is forwarded, both ends.
        ends: [[u8; 16]; 2],
        /// Port that was asked for, or what ICMP has in its place.
        port: u16,
        protocol: u8,
        direction: Direction,
        verdict: Verdict,
        program: Symbol,
        user: u32,
    },
    Process {
        program: Symbol,
        asked: Symbol,
        ended: Option<Outcome>,
    },
    Lost(Cause),
    Unreadable(u32),
    Contact {
        program: Symbol,
        user: Option<u32>,
        changed: bool,
    },
}

/// End of processes, as far as it makes two groups of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Outcome {
    Well,
    Failed,
    Killed,
}

impl Outcome {
    const fn of(end: End) -> Self {
        match end {
            End::Exit(0) => Self::Well,
            End::Exit(_) => Self::Failed,
            End::Signal(_) => Self::Killed,
        }
    }
}

impl Key {
    /// Returns an entry's key, or `None` if the packet's context is not in the store, which has it as long as the
    /// entry.
    fn of(packed: &Packed, store: &Store) -> Option<Self> {
        Some(match &packed.what {
            PackedContent::Packet(packet) => {
                Self::of_packet(packet, store.context(packet.context)?)
            }
            PackedContent::Process(process) => Self::Process {
                program: process.program.called(),
                asked: process.asked,
                ended: process.ended.map(Outcome::of),
            },
            PackedContent::Lost(lost) => Self::Lost(lost.cause),
            PackedContent::Unreadable(record) => Self::Unreadable(record.kind),
            PackedContent::Contact(contact) => Self::Contact {
                program: contact.program,
                user: contact.user,
                changed: contact.changed,
            },
        })
    }

    fn of_packet(packet: &PackedPacket, context: &PacketContext) -> Self {
        let headers = &packet.headers;
        let ends = match context.direction {
            Direction::Inbound => [headers.source, [0; 16]],
            Direction::Outbound => [[0; 16], headers.destination],
            Direction::Forward => [headers.source, headers.destination],
        };
        Self::Packet {
            ends,
            port: if Protocol(headers.protocol).has_types() {
                headers.source_port
            } else {
                headers.destination_port
            },
            protocol: headers.protocol,
            direction: context.direction,
            verdict: packet.verdict,
            program: context.program.called(),
            user: context.user,
        }
    }
}

/// Group of entries with the same program and endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    key: Key,
    /// Number of entries.
    pub count: u64,
    /// Number of records that the losses are of.
    pub lost: u64,
    /// Number of the first entry that there ever was.
    pub first: u64,
    /// Number of the last entry.
    pub last: u64,
}

/// Key by which groups are put in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum By {
    /// Time of the first entry: a group keeps its place.
    #[default]
    First,
    /// Time of the last entry.
    Last,
    /// Verdict, or what else became of it.
    What,
    /// Direction.
    Way,
    /// Number of entries, the most first.
    Times,
    /// Program.
    Program,
    /// Endpoint.
    Endpoint,
    /// Rule.
    Rule,
}

/// Order of groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// Key by which groups are put in order.
    pub by: By,
    /// `true` if the order is reversed.
    pub reverse: bool,
}

/// Line of the entries that were put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// The group with this number.
    Group(u32),
    /// The entry with this number, of the group above it.
    Entry(u64),
}

/// Table of all groups, and of those that are unfolded.
#[derive(Debug, Default)]
pub struct Groups {
    of: HashMap<Key, u32>,
    /// Groups by number; those without entries wait for their next use.
    all: Vec<Group>,
    free: Vec<u32>,
    /// Numbers of the groups in the order in which they are shown.
    order: Vec<u32>,
    /// Numbers of the entries of groups that are unfolded.
    open: BTreeMap<u32, VecDeque<u64>>,
    /// Places of the unfolded groups in the order, or `None` if they have to be looked for.
    open_at: Option<Vec<(usize, u32)>>,
}

impl Groups {
    /// Adds an entry, and returns the number of its group.
    pub fn add(&mut self, number: u64, packed: &Packed, store: &Store) -> u32 {
        let Some(key) = Key::of(packed, store) else {
            return NO_GROUP;
        };
        let lost = lost(packed);
        if let Some(id) = self.of.get(&key).copied() {
            let group = &mut self.all[id as usize];
            group.count += 1;
            group.lost += lost;
            group.last = number;
            if let Some(entries) = self.open.get_mut(&id) {
                entries.push_back(number);
            }
            return id;
        }
        let group = Group {
            key,
            count: 1,
            lost,
            first: number,
            last: number,
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.all[id as usize] = group;
                id
            }
            None => {
                self.all.push(group);
                (self.all.len() - 1) as u32
            }
        };
        self.of.insert(key, id);
        self.order.push(id);
        id
    }

    /// Takes an entry that goes out of its group.
    pub fn remove(&mut self, id: u32, packed: &Packed) {
        let Some(group) = self.all.get_mut(id as usize) else {
            return;
        };
        group.count = group.count.saturating_sub(1);
        group.lost = group.lost.saturating_sub(lost(packed));
        if group.count == 0 {
            let key = group.key;
            self.of.remove(&key);
            self.open.remove(&id);
        } else if let Some(entries) = self.open.get_mut(&id) {
            entries.pop_front();
        }
    }

    /// Forgets the groups that nothing is left of, after some were taken out.
    pub fn tidy(&mut self) {
        let Self {
            all, free, order, ..
        } = self;
        order.retain(|id| {
            let stays = all.get(*id as usize).is_some_and(|group| group.count > 0);
            if !stays {
                free.push(*id);
            }
            stays
        });
        if self.of.capacity() > 4 * self.of.len() {
            self.of.shrink_to(2 * self.of.len());
        }
        self.open_at = None;
    }

    /// Returns the group with this number.
    pub fn get(&self, id: u32) -> Option<&Group> {
        self.all.get(id as usize).filter(|group| group.count > 0)
    }

    /// Returns whether the entries of a group have lines of their own.
    pub fn is_open(&self, id: u32) -> bool {
        self.open.contains_key(&id)
    }

    /// Gives the entries of a group lines of their own.
    pub fn unfold(&mut self, id: u32, entries: VecDeque<u64>) {
        self.open.insert(id, entries);
        self.open_at = None;
    }

    /// Takes the lines of a group's entries away.
    pub fn fold(&mut self, id: u32) {
        self.open.remove(&id);
        self.open_at = None;
    }

    /// Returns the number of lines.
    pub fn lines(&self) -> usize {
        let opened: usize = self.open.values().map(VecDeque::len).sum();
        self.order.len() + opened
    }

    /// Returns the number of groups.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Finds the places of the unfolded groups, before lines are asked for.
    pub fn settle(&mut self) {
        if self.open_at.is_some() {
            return;
        }
        let mut at = Vec::with_capacity(self.open.len());
        if !self.open.is_empty() {
            let order = self.order.iter().enumerate();
            let opened = order.filter(|(_, id)| self.open.contains_key(id));
            at.extend(opened.map(|(at, id)| (at, *id)));
        }
        self.open_at = Some(at);
    }

    fn opened(&self) -> impl Iterator<Item = (usize, u32, &VecDeque<u64>)> {
        let at = self.open_at.iter().flatten();
        at.filter_map(|(at, id)| Some((*at, *id, self.open.get(id)?)))
    }

    /// Returns a line by its place.
    pub fn line(&self, place: usize) -> Option<Line> {
        let (mut left, mut passed) = (place, 0);
        for (at, _, entries) in self.opened() {
            let until = at - passed;
            if left <= until {
                break;
            }
            left -= until + 1;
            passed = at + 1;
            if let Some(number) = entries.get(left) {
                return Some(Line::Entry(*number));
            }
            left -= entries.len();
        }
        self.order.get(passed + left).copied().map(Line::Group)
    }

    /// Returns the place of a line.
    pub fn place_of(&self, line: Line, group_of: impl Fn(u64) -> Option<u32>) -> Option<usize> {
        let (id, number) = match line {
            Line::Group(id) => (id, None),
            Line::Entry(number) => (group_of(number)?, Some(number)),
        };
        let at = self.order.iter().position(|known| *known == id)?;
        let before = self.opened().take_while(|(place, ..)| *place < at);
        let before: usize = before.map(|(.., entries)| entries.len()).sum();
        match number {
            None => Some(at + before),
            Some(number) => {
                let within = self.open.get(&id)?.binary_search(&number).ok()?;
                Some(at + before + 1 + within)
            }
        }
    }

    /// Puts the groups in order.
    pub fn arrange(&mut self, order: Order, store: &Store) {
        let all = &self.all;
        let compare = |a: &u32, b: &u32| {
            let (a, b) = (&all[*a as usize], &all[*b as usize]);
            let by = compare(order.by, a, b, store);
            let by = if order.reverse { by.reverse() } else { by };
            by.then_with(|| a.first.cmp(&b.first))
        };
        self.order.sort_unstable_by(compare);
        self.open_at = None;
    }

    /// Returns the bytes that all of it takes.
    pub fn bytes(&self) -> usize {
        let opened: usize = self.open.values().map(VecDeque::capacity).sum();
        map_bytes::<Key, u32>(self.of.capacity())
            + self.all.capacity() * size_of::<Group>()
            + (self.free.capacity() + self.order.capacity()) * size_of::<u32>()
            + opened * size_of::<u64>()
    }
}

fn lost(packed: &Packed) -> u64 {
    match packed.what {
        PackedContent::Lost(lost) => lost.count,
        _ => 0,
    }
}

fn compare(by: By, a: &Group, b: &Group, store: &Store) -> Ordering {
    match by {
        By::First => a.first.cmp(&b.first),
        By::Last => b.last.cmp(&a.last),
        By::Times => b.count.cmp(&a.count),
        By::What => what(&a.key).cmp(&what(&b.key)),
        By::Way => way(&a.key).cmp(&way(&b.key)),
        By::Program => program(a, store).cmp(&program(b, store)),
        By::Endpoint => endpoint(&a.key).cmp(&endpoint(&b.key)),
        By::Rule => rule(a, store).cmp(&rule(b, store)),
    }
}

/// Returns a rank by which what was refused comes first.
fn what(key: &Key) -> (u8, u8) {
    match key {
        Key::Packet { verdict, .. } => match verdict {
            Verdict::Block => (0, 0),
            Verdict::Reject => (0, 1),
            Verdict::Ask => (0, 2),
            Verdict::Socket => (0, 3),
            Verdict::Allow => (0, 4),
        },
        Key::Contact { changed, .. } => (1, u8::from(*changed)),
        Key::Process { ended, .. } => (2, ended.map_or(0, |end| end as u8 + 1)),
        Key::Lost(_) => (3, 0),
        Key::Unreadable(_) => (3, 1),
    }
}

fn way(key: &Key) -> u8 {
    match key {
        Key::Packet { direction, .. } => *direction as u8,
        _ => 0,
    }
}

fn endpoint(key: &Key) -> ([[u8; 16]; 2], u8, u16) {
    match key {
        Key::Packet {
            ends,
            protocol,
            port,
            ..
        } => (*ends, *protocol, *port),
        _ => Default::default(),
    }
}

/// Returns a program's name for the order, where what nobody is known to have done comes last.
fn program<'a>(group: &Group, store: &'a Store) -> (bool, &'a str) {
    let symbol = match group.key {
        Key::Packet { program, .. } => program,
        Key::Process { program, .. } | Key::Contact { program, .. } => program,
        Key::Lost(_) | Key::Unreadable(_) => NONE,
    };
    let name = store.text(symbol).unwrap_or_default();
    (name.is_empty(), name)
}

fn rule<'a>(group: &Group, store: &'a Store) -> (bool, &'a str) {
    let last = store.packed(group.last);
    let id = match last.map(|packed| &packed.what) {
        Some(PackedContent::Packet(packet)) => store
            .context(packet.context)
            .and_then(|context| store.rule(context.rule))
            .map(|rule| rule.id.as_str()),
        Some(PackedContent::Contact(contact)) => store
            .contact(contact.row)
            .and_then(|row| row.rule.as_deref()),
        _ => None,
    };
    (id.is_none(), id.unwrap_or_default())
}
