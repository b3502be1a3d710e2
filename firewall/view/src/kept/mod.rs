//! Entries that a view keeps: a million, or as many as have room in bounded memory; those that a filter lets through;
//! and those put together by program and endpoint.
//!
//! - `store`: entries packed, what many share kept once in `symbols`;
//! - `groups`: a line for each program and endpoint, with its entries on demand.

mod groups;
mod store;
mod symbols;

pub use groups::{By, Group, Line, Order};

use crate::entry::{Entry, EntryContent, PacketSeen, address};
use crate::filter::Filter;
use crate::history;
use crate::text;
use crate::time::clock_time;
use firewall_abi::packet::Direction;
use groups::{Groups, NO_GROUP};
use rules::Protocol;
use std::collections::VecDeque;
use store::{CHUNK, Store};

/// Largest number of entries that are kept.
pub const KEPT: usize = 1_000_000;
/// Bytes that the entries take at most: beside them a window without entries takes some 110 MiB, and all of it is to
/// stay below 200 MiB.
const BYTES: usize = 84 << 20;

/// Entries that are kept. Each has a number that it keeps, so that a selection stays on its row.
#[derive(Debug, Default)]
pub struct Rows {
    store: Store,
    filter: Filter,
    /// Numbers of the entries that the filter lets through, as far as it has looked; none are noted where it lets all
    /// through.
    passed: VecDeque<u64>,
    groups: Groups,
    /// Number of the entry that the filter looks at next.
    next: u64,
    /// Number from which on entries are kept and not shown, while the view is paused.
    paused: Option<u64>,
}

impl Rows {
    /// Keeps one more entry.
    pub fn push(&mut self, entry: &Entry) {
        self.store.push(entry);
        if self.store.len() > KEPT {
            self.drop_oldest();
        }
        // Counted now and then: most entries bring nothing new.
        if self.store.len().is_multiple_of(CHUNK / 10) {
            while self.bytes() > BYTES && self.store.len() > CHUNK {
                self.drop_oldest();
            }
        }
    }

    fn drop_oldest(&mut self) {
        let Self {
            store,
            groups,
            next,
            ..
        } = self;
        store.drop_oldest(|number, group, packed| {
            if number < *next {
                groups.remove(group, packed);
            }
        });
        groups.tidy();
        let first = self.store.first();
        self.next = self.next.max(first);
        let gone = self.passed.partition_point(|number| *number < first);
        self.passed.drain(..gone);
    }

    /// Shows only the entries that this filter lets through.
    pub fn filter(&mut self, filter: Filter) {
        self.filter = filter;
        self.passed = VecDeque::new();
        self.groups = Groups::default();
        self.next = self.store.first();
    }

    /// Has the filter look at so many further entries at most, and puts together what it lets through. Returns whether
    /// there is more to look at.
    pub fn look_through(&mut self, at_most: usize) -> bool {
        let end = self.shown_until();
        let all = self.filter.is_empty();
        for number in (self.next..end).take(at_most) {
            let passes = all || self.store.entry(number).is_some_and(|it| self.passes(&it));
            let group = match self.store.packed(number) {
                Some(packed) if passes => self.groups.add(number, packed, &self.store),
                _ => NO_GROUP,
            };
            self.store.set_group(number, group);
            if passes && !all {
                self.passed.push_back(number);
            }
            self.next = number + 1;
        }
        self.next < end
    }

    fn passes(&self, entry: &Entry) -> bool {
        self.filter.entry(entry) && self.filter.words_are_in(|| entry.cells().into())
    }

    /// Returns whether no entry is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.store.len() == 0
    }

    /// Has what comes from now on kept and not shown, or all of it shown again.
    pub fn pause(&mut self, paused: bool) {
        self.paused = paused.then(|| self.store.end());
    }

    /// Returns the number of the entry that is looked at next.
    #[must_use]
    pub fn looked_until(&self) -> u64 {
        self.next
    }

    /// Returns the number of the first entry that is not to be shown yet.
    #[must_use]
    pub fn shown_until(&self) -> u64 {
        self.paused
            .map_or(self.store.end(), |paused| paused.min(self.store.end()))
    }

    /// Returns the number of entries that are shown.
    #[must_use]
    pub fn shown(&self) -> usize {
        if self.filter.is_empty() {
            let shown = self.shown_until().saturating_sub(self.store.first());
            usize::try_from(shown).unwrap_or(usize::MAX)
        } else {
            self.passed.len()
        }
    }

    /// Returns the number of the n-th entry that is shown, the oldest first.
    #[must_use]
    pub fn nth_shown(&self, n: usize) -> Option<u64> {
        if self.filter.is_empty() {
            Some(self.store.first() + n as u64).filter(|_| n < self.shown())
        } else {
            self.passed.get(n).copied()
        }
    }

    /// Returns the place of the entry with this number among those that are shown.
    #[must_use]
    pub fn place_of(&self, number: u64) -> Option<usize> {
        if self.filter.is_empty() {
            let place = number.checked_sub(self.store.first())?;
            let place = usize::try_from(place).ok();
            return place.filter(|place| *place < self.shown());
        }
        self.passed.binary_search(&number).ok()
    }

    /// Returns so many of the entries that are shown, from this number on, the oldest first, each with its number.
    #[must_use]
    pub fn shown_from(&self, from: u64, most: usize) -> Vec<(u64, Entry)> {
        let from = from.max(self.store.first());
        let place = if self.filter.is_empty() {
            usize::try_from(from - self.store.first()).unwrap_or(usize::MAX)
        } else {
            self.passed.partition_point(|number| *number < from)
        };
        let numbers = (place..self.shown())
            .take(most)
            .filter_map(|n| self.nth_shown(n));
        numbers
            .filter_map(|number| Some((number, self.store.entry(number)?)))
            .collect()
    }

    /// Returns the entry with this number, if it is still here.
    #[must_use]
    pub fn entry(&self, number: u64) -> Option<Entry> {
        self.store.entry(number)
    }

    /// Returns the numbers of entries that are said beside the filter.
    #[must_use]
    pub fn shown_of_all(&self) -> Counts {
        Counts {
            all: self.store.len(),
            shown: (!self.filter.is_empty()).then(|| self.shown()),
            dropped: self.store.first(),
            since_pause: self
                .paused
                .map(|paused| self.store.end().saturating_sub(paused)),
        }
    }

    /// Returns the bytes that all of it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.store.bytes() + self.groups.bytes() + self.passed.capacity() * size_of::<u64>()
    }
}

/// Numbers of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Entries that are kept.
    pub all: usize,
    /// Entries that the filter lets through, if there is one.
    pub shown: Option<usize>,
    /// Older entries that were dropped.
    pub dropped: u64,
    /// Entries that came since the view was paused, if it is.
    pub since_pause: Option<u64>,
}

/// Entries put together by program and endpoint.
impl Rows {
    /// Makes the lines ready: they are as they are until something is added, unfolded or arranged.
    pub fn settle(&mut self) {
        self.groups.settle();
    }

    /// Returns the number of lines: one for each group, and one for each entry of those that are unfolded.
    #[must_use]
    pub fn lines(&self) -> usize {
        self.groups.lines()
    }

    /// Returns the number of groups.
    #[must_use]
    pub fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// Returns a line by its place.
    #[must_use]
    pub fn line(&self, place: usize) -> Option<Line> {
        self.groups.line(place)
    }

    /// Returns the place of a line.
    #[must_use]
    pub fn line_place(&self, line: Line) -> Option<usize> {
        self.groups.place_of(line, |number| self.group_of(number))
    }

    /// Returns the group with this number.
    #[must_use]
    pub fn group(&self, id: u32) -> Option<&Group> {
        self.groups.get(id)
    }

    /// Returns the group of the entry with this number, if the filter lets it through and has looked at it.
    #[must_use]
    pub fn group_of(&self, number: u64) -> Option<u32> {
        let id = self.store.group(number).filter(|_| number < self.next)?;
        Some(id).filter(|id| *id != NO_GROUP)
    }

    /// Returns whether the entries of a group have lines of their own.
    #[must_use]
    pub fn is_unfolded(&self, id: u32) -> bool {
        self.groups.is_open(id)
    }

    /// Gives the entries of a group lines of their own.
    pub fn unfold(&mut self, id: u32) {
        let numbers = self.store.first()..self.next;
        let its = |number: &u64| self.store.group(*number) == Some(id);
        let entries = numbers.filter(its).collect();
        if self.groups.get(id).is_some() {
            self.groups.unfold(id, entries);
        }
    }

    /// Takes the lines of a group's entries away.
    pub fn fold(&mut self, id: u32) {
        self.groups.fold(id);
    }

    /// Puts the groups in order. Those that come later stand at the end until it is done again.
    pub fn arrange(&mut self, order: Order) {
        self.groups.arrange(order, &self.store);
    }

    /// Returns a group's line.
    #[must_use]
    pub fn group_line(&self, id: u32) -> Option<GroupLine> {
        let group = self.groups.get(id)?;
        let last = self.store.entry(group.last)?;
        let [time, what, way, _, ends, rule, _] = last.cells();
        let (program, endpoint) = match &last.what {
            EntryContent::Packet(packet) => (called(&packet.program), endpoint(packet)),
            EntryContent::Process(process) => (called(&process.program), process.path.clone()),
            EntryContent::Lost(lost) => {
                let cause = crate::entry::cause(lost.cause);
                let words = text!("lost-together", count = group.lost, cause = cause);
                (String::new(), words)
            }
            EntryContent::Unreadable(_) => (String::new(), ends),
            EntryContent::Contact(row) => (history::whose(row), history::endpoint_with_name(row)),
        };
        let times = group.count.to_string();
        Some(GroupLine {
            cells: [time, what, way, times, program, endpoint, rule],
            count: group.count,
            last,
        })
    }
}

/// Line of a group.
#[derive(Clone, Debug)]
pub struct GroupLine {
    /// Cells of the line, as [`together_titles`] names them.
    pub cells: [String; TOGETHER],
    /// Number of entries in the group.
    pub count: u64,
    /// Last entry of the group, which the cells are of, but for the number of entries.
    pub last: Entry,
}

/// Number of cells in a group's line.
pub const TOGETHER: usize = 7;

/// Returns the titles of the cells in a group's line.
#[must_use]
pub fn together_titles() -> [String; TOGETHER] {
    [
        text!("column-last"),
        text!("column-what"),
        text!("column-way"),
        text!("column-times"),
        text!("column-program"),
        text!("column-endpoint"),
        text!("column-rule"),
    ]
}

/// Returns the cells of an entry's line below its group's, as [`together_titles`] names them.
#[must_use]
pub fn entry_cells(entry: &Entry) -> [String; TOGETHER] {
    let [_, what, way, _, ends, rule, program] = entry.cells();
    let time = clock_time(entry.at);
    [time, what, way, String::new(), program, ends, rule]
}

fn called(program: &crate::entry::ProgramSeen) -> String {
    let path = program.path.as_deref();
    path.map_or_else(|| program.name.clone(), crate::entry::clean)
}

/// Returns the other end with the name that is known, with protocol and port: `192.0.2.7 (example.org), tcp 443`,
/// `from 192.0.2.7, icmp`; of what is forwarded both ends.
#[must_use]
pub fn endpoint(packet: &PacketSeen) -> String {
    let headers = &packet.headers;
    let end = |bytes, name: &Option<std::sync::Arc<str>>| match name {
        Some(name) => format!("{} ({})", address(bytes), crate::entry::clean(name)),
        None => address(bytes).to_string(),
    };
    let from = || end(headers.source, &packet.source_name);
    let to = || end(headers.destination, &packet.destination_name);
    let ends = match packet.direction {
        Direction::Inbound => text!("end-from", end = from()),
        Direction::Outbound => to(),
        Direction::Forward => text!("end-from-to", from = from(), to = to()),
    };
    let name = packet.protocol();
    let protocol = Protocol(headers.protocol);
    if protocol.has_ports() {
        return format!("{ends}, {name} {}", headers.destination_port);
    }
    if protocol.has_types() {
        return text!(
            "endpoint-icmp",
            ends = ends,
            protocol = name,
            type = headers.source_port,
        );
    }
    format!("{ends}, {name}")
}

#[cfg(test)]
mod tests;
