//! From a flow to a decision.

use crate::{Parsed, Shape};
use contract::packet::{Decision, Direction, Flow, NO_RULE, Reason, Verdict};
use contract::rules::{Head, MAX_ROWS, Otherwise, RuleRow, version_bit};

/// One generation of the rules, wherever it lives: in kernel maps, in a slice.
///
/// A value of it stands for one generation: `head` and `row` must not be from different ones (I8).
pub trait Tables {
    /// What stands before the rows; `None` if there is no table.
    fn head(&self) -> Option<Head>;

    /// The row at `index`; `None` beyond the last.
    fn row(&self, index: u32) -> Option<&RuleRow>;

    /// The first row that matches. As given it tries one after the other; a table with a better way overrides it.
    #[inline(always)]
    fn first_match(&self, head: &Head, packet: &Key) -> Option<&RuleRow> {
        let mut index = 0;
        // "Not equal", and no "less than": the compiler would make one bound of both, and Linux 6.1 forgets the
        // bounds of a number that it had to put on the stack. It must see the constant.
        while index < MAX_ROWS && index != head.rows {
            let row = self.row(index)?;
            if packet.matches(row) {
                return Some(row);
            }
            index += 1;
        }
        None
    }
}

/// Tables in user space.
#[derive(Clone, Copy, Debug)]
pub struct Slices<'a> {
    /// What stands before the rows.
    pub head: Head,
    /// The rows.
    pub rows: &'a [RuleRow],
}

impl Tables for Slices<'_> {
    fn head(&self) -> Option<Head> {
        Some(self.head)
    }

    fn row(&self, index: u32) -> Option<&RuleRow> {
        self.rows.get(usize::try_from(index).ok()?)
    }
}

/// What the rows of a table are compared with: a flow, in words.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    source: [u64; 2],
    destination: [u64; 2],
    source_port: u16,
    destination_port: u16,
    direction: u8,
    version: u8,
    protocol: u8,
    shows_no_ports: u8,
}

/// Decides what becomes of a packet. See the head of this crate for what each kind of packet gets.
///
/// Out of line for eBPF's sake: called with the flow in memory, it is verified for few states, not for each path that
/// leads here.
#[inline(never)]
pub fn classify<T: Tables>(packet: &Parsed, tables: &T) -> Decision {
    let head = tables.head().unwrap_or_default();
    if packet.shape == Shape::Malformed {
        return decision(&head, NO_RULE, Verdict::Block as u8, Reason::Malformed, 1);
    }
    let fragment = packet.shape == Shape::LaterFragment;
    let Some(row) = tables.first_match(&head, &Key::new(packet)) else {
        let reason = if fragment { Reason::Fragment } else { Reason::Default };
        let otherwise = otherwise(&head, packet.flow.direction);
        return decision(&head, NO_RULE, otherwise.verdict, reason, otherwise.log);
    };
    let reason = if fragment { Reason::Fragment } else { Reason::Rule };
    decision(&head, row.rule, row.verdict, reason, row.log)
}

/// A table that nobody has filled says nothing: that blocks, and is reported.
#[inline(always)]
fn otherwise(head: &Head, direction: u8) -> Otherwise {
    if head.generation == 0 {
        Otherwise { verdict: Verdict::Block as u8, log: 1 }
    } else if direction == Direction::Inbound as u8 {
        head.inbound
    } else {
        head.outbound
    }
}

#[inline(always)]
fn decision(head: &Head, rule: u32, verdict: u8, reason: Reason, log: u8) -> Decision {
    // Whatever is no clear "allow" blocks.
    let verdict = if verdict == Verdict::Allow as u8 { Verdict::Allow } else { Verdict::Block };
    let generation = head.generation;
    Decision { rule, generation, verdict: verdict as u8, reason: reason as u8, log, spare: 0 }
}

impl Key {
    /// The key of a packet that is not malformed.
    #[must_use]
    #[inline(always)]
    pub fn new(packet: &Parsed) -> Self {
        let Flow {
            source, destination, source_port, destination_port, protocol, ip_version, direction, ..
        } = packet.flow;
        Self {
            source: words(source),
            destination: words(destination),
            source_port,
            destination_port,
            direction,
            version: version_bit(ip_version),
            protocol,
            shows_no_ports: packet.shape as u8 & Shape::LaterFragment as u8,
        }
    }

    /// Whether a row takes this packet. One sum of differences and one branch: a verifier has two paths to follow
    /// for each row, not one for each field.
    #[must_use]
    #[inline(always)]
    pub fn matches(&self, row: &RuleRow) -> bool {
        let addresses = differs(self.source, row.source_mask, row.source)
            | differs(self.destination, row.destination_mask, row.destination);
        let numbers = (self.protocol ^ row.protocol) & row.protocol_mask
            | self.shows_no_ports & row.asks_ports
            | self.direction & !row.directions
            | self.version & !row.versions;
        let ports = outside(self.source_port, row.source_ports.first, row.source_ports.last)
            | outside(self.destination_port, row.destination_ports.first, row.destination_ports.last);
        addresses | u64::from(numbers) | u64::from(ports) == 0
    }
}

#[inline(always)]
fn differs(address: [u64; 2], mask: [u64; 2], prefix: [u64; 2]) -> u64 {
    let [a, b] = address;
    let [mask_a, mask_b] = mask;
    let [prefix_a, prefix_b] = prefix;
    (a & mask_a ^ prefix_a) | (b & mask_b ^ prefix_b)
}

/// 0 if the port lies in the range: a difference below 0 shows in the upper half.
#[inline(always)]
fn outside(port: u16, first: u16, last: u16) -> u32 {
    let (port, first, last) = (u32::from(port), u32::from(first), u32::from(last));
    (port.wrapping_sub(first) | last.wrapping_sub(port)) >> 16
}

#[inline(always)]
fn words(address: [u8; 16]) -> [u64; 2] {
    let address = u128::from_be_bytes(address);
    [(address >> 64) as u64, address as u64]
}
