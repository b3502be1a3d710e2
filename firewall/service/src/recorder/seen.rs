//! Keys of traffic that is counted together: by its numbers as it comes, and by its names as it is kept.

use crate::address_names::KnownNames;
use crate::asking::address;
use crate::escape::plain;
use control::{Names, ServiceNames};
use firewall_abi::firewall::{Carried, FlowEntry, packets_and_bytes};
use firewall_abi::packet::{
    Direction, NO_RULE, NO_USER, Packet, PacketMeta, UnknownNumber, Verdict,
};
use history::{Contact, Conversation, Tally, Traffic};

/// Key of traffic that is counted together, by its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Unnamed {
    direction: Direction,
    verdict: u8,
    reason: u8,
    protocol: u8,
    remote: [u8; 16],
    source: Option<[u8; 16]>,
    port: Option<u16>,
    /// The file of its program; zeros: it has none.
    pub program: [u64; 2],
    process: [u8; 16],
    user: u32,
    rule: u32,
    generation: u32,
}

impl Unnamed {
    /// Returns the key of a packet that was reported.
    pub fn of(packet: &Packet) -> Result<Self, UnknownNumber> {
        let (headers, decision) = (&packet.headers, &packet.decision);
        let direction = Direction::try_from(headers.direction)?;
        let (remote, source) = match direction {
            Direction::Inbound => (headers.source, None),
            Direction::Outbound => (headers.destination, None),
            Direction::Forward => (headers.destination, Some(headers.source)),
        };
        // Of ICMP it is a code.
        let has_ports = !matches!(headers.protocol, 1 | 58) && headers.destination_port != 0;
        Ok(Self {
            direction,
            verdict: decision.verdict,
            reason: decision.reason,
            protocol: headers.protocol,
            remote,
            source,
            port: has_ports.then_some(headers.destination_port),
            program: packet.program,
            process: packet.name,
            user: packet.user,
            rule: decision.rule,
            generation: decision.generation,
        })
    }

    /// Returns the key of a connection's carried traffic, and the amount.
    pub fn of_carried(carried: &Carried, at: u64) -> Result<(Self, Tally), UnknownNumber> {
        let Carried { key, entry, .. } = carried;
        let direction = Direction::try_from(entry.direction)?;
        let mut from = (key.local, key.local_port, traffic(entry.sent));
        let mut to = (key.remote, key.remote_port, traffic(entry.received));
        // Of what is forwarded the key does not say who began.
        if entry.local_is_originator == 0 {
            std::mem::swap(&mut from, &mut to);
        }
        let (here, there) = match direction {
            Direction::Inbound => (to, from),
            Direction::Outbound | Direction::Forward => (from, to),
        };
        let protocol = key.protocol as u8;
        let port = (!matches!(protocol, 1 | 58) && to.1 != 0).then_some(to.1);
        let seen = Self {
            direction,
            verdict: Verdict::Allow as u8,
            reason: entry.reason,
            protocol,
            remote: there.0,
            source: (direction == Direction::Forward).then_some(here.0),
            port,
            program: entry.program,
            process: zerocopy::transmute!(entry.name),
            user: entry.user,
            rule: entry.rule,
            generation: entry.generation,
        };
        let mut tally = Tally::one(at);
        // What was told as a packet too is one already, and so is what was told of before.
        if entry.state & FlowEntry::TOLD != 0 || entry.logged != 0 {
            tally.count = 0;
        }
        (tally.sent, tally.received) = (here.2, there.2);
        Ok((seen, tally))
    }
}

fn traffic(carried: u64) -> Traffic {
    let (packets, bytes) = packets_and_bytes(carried);
    Traffic { packets, bytes }
}

/// The names behind the numbers: of rules and programs the service's,
/// which is asked as any app asks; of addresses our own.
pub struct Named {
    pub service: ServiceNames,
    pub addresses: KnownNames,
}

impl Named {
    /// Replaces the key's numbers by names.
    pub fn name(&mut self, seen: Unnamed) -> Result<Conversation, UnknownNumber> {
        let remote = address(seen.remote);
        // What stands for no program is none's.
        let file = (seen.program != [0; 2] && seen.program[0] != PacketMeta::KERNEL[0])
            .then_some(seen.program);
        let process = if seen.program == PacketMeta::KERNEL {
            "kernel".into()
        } else {
            text(&seen.process).into()
        };
        let rule = (seen.rule != NO_RULE)
            .then(|| self.service.rule(seen.generation, seen.rule))
            .flatten();
        Ok(Conversation {
            direction: seen.direction,
            verdict: seen.verdict.try_into()?,
            reason: seen.reason.try_into()?,
            protocol: seen.protocol,
            remote: Some(remote),
            source: seen.source.map(address),
            port: seen.port,
            program: file.and_then(|file| self.service.program(file)),
            process,
            user: (seen.user != NO_USER).then_some(seen.user),
            rule: rule.map(|rule| rule.id.into()),
            name: self.addresses.name_of(remote),
            contact: Contact::Known,
        })
    }
}

fn text(bytes: &[u8]) -> String {
    let whole = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    plain(whole)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::super::example::refused;
    use super::*;
    use zerocopy::FromZeros;

    #[test]
    fn the_port_that_is_kept_is_the_one_that_was_asked_for_and_of_what_has_none_there_is_none() {
        let mut packet = refused(443);
        packet.headers.source_port = 50_000;
        let kept = |packet: &Packet| Unnamed::of(packet).unwrap().port;
        assert_eq!(kept(&packet), Some(443));
        for protocol in [1, 58] {
            packet.headers.protocol = protocol;
            assert_eq!(kept(&packet), None);
        }
        packet.headers.direction = 9;
        assert!(Unnamed::of(&packet).is_err(), "no number is guessed at");
    }

    #[test]
    fn what_a_connection_carries_is_told_of_the_end_that_sent_it_and_counts_once() {
        use firewall_abi::firewall::carried;
        let mut told = Carried::new_zeroed();
        (told.key.local, told.key.remote) = ([1; 16], [2; 16]);
        (told.key.local_port, told.key.remote_port) = (50_000, 443);
        told.key.protocol = 6;
        told.entry = FlowEntry {
            direction: Direction::Outbound as u8,
            reason: 2,
            local_is_originator: 1,
            sent: carried(3, 1 << 36),
            received: carried(1 << 26, 7),
            ..FlowEntry::NEW
        };
        let of = |told: &Carried| {
            let (seen, tally) = Unnamed::of_carried(told, 60).unwrap();
            let carried = [tally.sent, tally.received].map(|it| (it.packets, it.bytes));
            (seen.remote, seen.source, seen.port, tally.count, carried)
        };
        let (sent, received) = ((3, 1 << 36), (1 << 26, 7));
        assert_eq!(of(&told), ([2; 16], None, Some(443), 1, [sent, received]));
        told.entry.state = FlowEntry::TOLD;
        assert_eq!(of(&told).3, 0, "it was told of before");
        (told.entry.state, told.entry.logged) = (0, 1);
        assert_eq!(of(&told).3, 0, "its first packet was told");
        // What began outside: the port that was asked for is ours.
        (told.entry.direction, told.entry.local_is_originator) = (Direction::Inbound as u8, 0);
        assert_eq!(of(&told).0, [2; 16]);
        assert_eq!((of(&told).2, of(&told).4), (Some(50_000), [sent, received]));
        // Of what is forwarded, sent is what the end has that began.
        told.entry.direction = Direction::Forward as u8;
        told.key.protocol = 17 | firewall_abi::firewall::FlowKey::FORWARDED;
        assert_eq!(
            of(&told),
            ([1; 16], Some([2; 16]), Some(50_000), 0, [received, sent])
        );
        told.entry.direction = 9;
        assert!(Unnamed::of_carried(&told, 60).is_err());
    }
}
