//! Zone without a kernel: its rules, its flow table, and the context of the packets that it classifies.

use engine::connection::{Connections, PacketContext, Retired, decide};
use engine::{Parsed, Shape, Tables};
use firewall_abi::firewall::{FlowEntry, FlowKey};
use firewall_abi::packet::{
    Decision, Direction, NO_USER, PacketHeaders, PacketMeta, Reason, Verdict, reply_direction,
};
use std::collections::HashMap;

pub const SECOND: u64 = 1_000_000_000;

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const ACK: u8 = 16;

pub const ICMP: u8 = 1;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const DCCP: u8 = 33;
pub const ICMPV6: u8 = 58;
pub const SCTP: u8 = 132;
pub const UDP_LITE: u8 = 136;
/// Protocols that a connection can have.
pub const CONVERSING: [u8; 7] = [ICMP, TCP, UDP, DCCP, ICMPV6, SCTP, UDP_LITE];

pub const HERE: [u8; 4] = [10, 0, 0, 2];
pub const THERE: [u8; 4] = [192, 0, 2, 1];
pub const GUEST: [u8; 4] = [172, 17, 0, 2];

pub const BLOCKED: (Verdict, Reason) = (Verdict::Block, Reason::Default);
pub const BY_RULE: (Verdict, Reason) = (Verdict::Allow, Reason::Rule);
pub const REPLY: (Verdict, Reason) = (Verdict::Allow, Reason::Reply);

/// Rules that let port 443 and echoes be asked, whichever way, and tell of it;
/// answers pass by what is remembered alone.
pub const ASKING_PASSES: &str = "
    [default]
    inbound = 'block'
    outbound = 'block'
    forward = 'block'
    [[rule]]
    id = 'ports'
    action = 'allow'
    protocol = ['tcp', 'udp', 'sctp', 'dccp', 'udplite']
    ports = 443
    log = true
    [[rule]]
    id = 'echo'
    action = 'allow'
    protocol = 'icmp'
    icmp_type = 'echo-request'
    log = true
    [[rule]]
    id = 'echo6'
    action = 'allow'
    protocol = 'icmpv6'
    icmp_type = 'echo-request'
    log = true
";

/// Rules that refuse everything.
pub const REFUSE_ALL: &str = "
    [default]
    inbound = 'block'
    outbound = 'block'
    forward = 'block'
";

pub fn mapped([a, b, c, d]: [u8; 4]) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, a, b, c, d]
}

/// The address of IPv6 of who has this one.
pub fn of_v6(of_v4: [u8; 4]) -> [u8; 16] {
    let mut address = mapped(of_v4);
    address[..2].copy_from_slice(&[0xFD, 0x77]);
    address
}

/// Returns a packet that begins a connection: from port 5000 to port 443, or an echo request.
pub fn asks(direction: Direction, protocol: u8) -> PacketHeaders {
    let (source, destination) = match direction {
        Direction::Outbound => (HERE, THERE),
        Direction::Inbound => (THERE, HERE),
        Direction::Forward => (GUEST, THERE),
    };
    let address = if protocol == ICMPV6 { of_v6 } else { mapped };
    let (source_port, destination_port) = match protocol {
        ICMP => (8, 0),
        ICMPV6 => (128, 0),
        _ => (5000, 443),
    };
    PacketHeaders {
        source: address(source),
        destination: address(destination),
        source_port,
        destination_port,
        protocol,
        ip_version: if protocol == ICMPV6 { 6 } else { 4 },
        direction: direction as u8,
        tcp_flags: if matches!(protocol, TCP | SCTP) {
            SYN
        } else {
            0
        },
    }
}

/// Returns the answer to a packet.
pub fn answers(asked: &PacketHeaders) -> PacketHeaders {
    let (source_port, destination_port) = match asked.protocol {
        ICMP => (0, 0),
        ICMPV6 => (129, 0),
        _ => (asked.destination_port, asked.source_port),
    };
    PacketHeaders {
        source: asked.destination,
        destination: asked.source,
        source_port,
        destination_port,
        direction: reply_direction(asked.direction),
        tcp_flags: if asked.protocol == TCP { SYN | ACK } else { 0 },
        ..*asked
    }
}

/// Returns a packet with these TCP flags.
pub fn flagged(packet: PacketHeaders, tcp_flags: u8) -> PacketHeaders {
    PacketHeaders {
        tcp_flags,
        ..packet
    }
}

/// Returns a packet as one that neither begins a connection nor accepts one.
pub fn goes_on(packet: &PacketHeaders) -> PacketHeaders {
    flagged(*packet, if packet.protocol == TCP { ACK } else { 0 })
}

/// Context of a packet beside its headers.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub now_ns: u64,
    pub socket: u64,
    pub receiver: u64,
    pub user: u32,
    pub is_anothers: bool,
    pub device: u32,
    pub first_device: u32,
    pub last_device: u32,
    pub is_guests: bool,
    pub goes_to_everyone: bool,
    pub length: u32,
    pub quoted: Option<FlowKey>,
    pub local: PacketMeta,
}

pub const SEED: u64 = 77;

impl Default for Seen {
    fn default() -> Self {
        Self {
            now_ns: SECOND,
            socket: 0,
            receiver: 0,
            user: NO_USER,
            is_anothers: false,
            device: 0,
            first_device: 0,
            last_device: 0,
            is_guests: false,
            goes_to_everyone: false,
            length: 100,
            quoted: None,
            local: PacketMeta::UNKNOWN,
        }
    }
}

/// Context of a packet for the engine; with `AT_SOCKET`, of one that was seen before and is about to be received by a
/// socket.
struct Context<'a, const AT_SOCKET: bool> {
    seen: Seen,
    owners_noted: &'a mut u32,
}

impl<T: Tables, const AT_SOCKET: bool> PacketContext<T> for Context<'_, AT_SOCKET> {
    const SEEN_BEFORE: bool = AT_SOCKET;

    fn now_ns(&self) -> u64 {
        self.seen.now_ns
    }

    fn socket(&mut self) -> u64 {
        self.seen.socket
    }

    fn device(&mut self) -> u32 {
        self.seen.device
    }

    fn is_guests(&mut self) -> bool {
        self.seen.is_guests
    }

    fn user(&mut self) -> u32 {
        self.seen.user
    }

    fn first_device(&self) -> u32 {
        self.seen.first_device
    }

    fn last_device(&self) -> u32 {
        self.seen.last_device
    }

    fn seed(&self) -> u64 {
        SEED
    }

    fn length(&self) -> u32 {
        self.seen.length
    }

    fn note_owner(&mut self, _: &PacketHeaders, entry: &mut FlowEntry) {
        *self.owners_noted += 1;
        entry.state |= FlowEntry::OWNED;
    }

    fn receiver(&self) -> u64 {
        self.seen.receiver
    }

    fn is_anothers(&mut self, _: &FlowEntry) -> bool {
        self.seen.is_anothers
    }

    fn goes_to_everyone(&mut self) -> bool {
        self.seen.goes_to_everyone
    }

    fn quoted(&mut self, _: &PacketHeaders, key: &mut FlowKey) -> bool {
        self.seen.quoted.map(|quoted| *key = quoted).is_some()
    }

    fn find(&mut self, _: &PacketHeaders, local: &mut PacketMeta) {
        *local = self.seen.local;
    }
}

/// Flow table of a zone, with room for everything.
#[derive(Default)]
pub struct Remembered {
    pub entries: HashMap<FlowKey, FlowEntry>,
    pub retired: HashMap<FlowKey, Retired>,
    /// `true` if there is no room for confirmed connections.
    pub is_full: bool,
    /// Number of times that room for a confirmed connection was asked for.
    pub assured: u32,
    /// Quota owner whose beginnings make room for each other.
    pub short: Option<u32>,
}

impl Connections for Remembered {
    fn find(&mut self, key: &FlowKey) -> Option<&mut FlowEntry> {
        self.entries.get_mut(key)
    }

    fn insert(&mut self, key: &FlowKey, quota_owner: u32, direction: u8) -> Option<&mut FlowEntry> {
        let new = FlowEntry {
            quota_owner,
            direction,
            ..FlowEntry::NEW
        };
        assert!(
            self.entries.insert(*key, new).is_none(),
            "{key:?} was there"
        );
        self.entries.get_mut(key)
    }

    fn assure(&mut self, key: &FlowKey) {
        self.assured += 1;
        if let Some(entry) = self.entries.get_mut(key).filter(|_| !self.is_full) {
            entry.state |= FlowEntry::ASSURED;
        }
    }

    fn is_short(&mut self, quota_owner: u32, _: u64) -> bool {
        self.short == Some(quota_owner)
    }

    fn remove(&mut self, key: &FlowKey) {
        self.entries.remove(key);
    }

    fn retire(&mut self, key: &FlowKey) {
        if let Some(entry) = self.entries.remove(key) {
            self.retired.insert(*key, Retired::from(&entry));
        }
    }

    fn retired(&mut self, key: &FlowKey) -> Option<Retired> {
        self.retired.get(key).copied()
    }
}

/// A zone.
pub struct Zone {
    rules: rules::Table,
    pub remembered: Remembered,
    /// Context of the next packet.
    pub seen: Seen,
    /// Number of times that the owner of a connection was looked up.
    pub owners_noted: u32,
}

impl Zone {
    /// A zone under the first generation of rules.
    pub fn under(rules: &str) -> Self {
        Self {
            rules: table(rules, 1),
            remembered: Remembered::default(),
            seen: Seen::default(),
            owners_noted: 0,
        }
    }

    /// Puts the next generation of rules in force.
    pub fn renew(&mut self, rules: &str) {
        self.rules = table(rules, self.rules.head().generation + 1);
    }

    /// Classifies a packet, which is unchanged afterwards.
    pub fn judge(&mut self, headers: PacketHeaders) -> Decision {
        self.decide::<false>(headers, Shape::Whole)
    }

    /// Judges what was seen before, where a socket gets it.
    pub fn judge_at_socket(&mut self, headers: PacketHeaders) -> Decision {
        self.decide::<true>(headers, Shape::Whole)
    }

    /// Judges a later fragment.
    pub fn judge_fragment(&mut self, headers: PacketHeaders) -> Decision {
        self.decide::<false>(headers, Shape::LaterFragment)
    }

    /// Returns the verdict on a packet, and its reason.
    pub fn says(&mut self, headers: PacketHeaders) -> (Verdict, Reason) {
        said(&self.judge(headers))
    }

    /// Returns the entry of a packet's connection.
    pub fn entry(&mut self, headers: &PacketHeaders) -> Option<FlowEntry> {
        let key = engine::connection::key_of(headers);
        self.remembered.entries.get(&key).copied()
    }

    /// Returns the state bits of a packet's connection, but for the one that its owner was looked up.
    pub fn state(&mut self, headers: &PacketHeaders) -> Option<u8> {
        let entry = self.entry(headers)?;
        Some(entry.state & !FlowEntry::OWNED)
    }

    fn decide<const AT_SOCKET: bool>(&mut self, flow: PacketHeaders, shape: Shape) -> Decision {
        let mut packet = Parsed { flow, shape };
        let mut context = Context::<AT_SOCKET> {
            seen: self.seen,
            owners_noted: &mut self.owners_noted,
        };
        let tables = self.rules.slices();
        let decision = decide(&mut packet, &mut context, &tables, &mut self.remembered);
        assert_eq!(packet, Parsed { flow, shape }, "it is as it was");
        decision
    }
}

pub fn table(rules: &str, generation: u32) -> rules::Table {
    rules::parse("zone.toml", rules, &rules::NoResolver)
        .expect("these rules are right")
        .compile(generation)
}

pub fn said(decision: &Decision) -> (Verdict, Reason) {
    (
        Verdict::try_from(decision.verdict).expect("a verdict"),
        Reason::try_from(decision.reason).expect("a reason"),
    )
}
