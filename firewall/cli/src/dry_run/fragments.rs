//! The fragments of one datagram.
//!
//! A kernel puts them together before a packet is judged, so what becomes of the datagram becomes of each of them; a
//! capture shows them one by one, and only the first shows ports.

use super::judge::BothSides;
use crate::capture::Way;
use std::collections::{HashMap, VecDeque};

/// Datagrams whose first fragment is remembered, at most.
const MOST: usize = 4096;
/// Time that a kernel waits for the other fragments, in nanoseconds: IPv6's 60 s, and more than IPv4's 30 s.
const PATIENCE_NS: u64 = 60_000_000_000;

/// Identifier of a fragmented datagram: version, addresses, protocol, identification and direction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Datagram(Vec<u8>, Option<Way>);

impl Datagram {
    /// Returns the datagram of a fragment, by its bytes from the IP header on, or `None` if the packet is no fragment.
    pub fn of(bytes: &[u8], way: Option<Way>) -> Option<Self> {
        match bytes.first()? >> 4 {
            4 => of_v4(bytes),
            6 => of_v6(bytes),
            _ => None,
        }
        .map(|number| Self(number, way))
    }
}

fn of_v4(bytes: &[u8]) -> Option<Vec<u8>> {
    const MORE_OR_OFFSET: u16 = 0x3FFF;
    let field = u16::from_be_bytes(*bytes.get(6..)?.first_chunk()?);
    let is_fragment = field & MORE_OR_OFFSET != 0;
    let (number, protocol, ends) = (bytes.get(4..6)?, bytes.get(9..10)?, bytes.get(12..20)?);
    is_fragment.then(|| [&[4], number, protocol, ends].concat())
}

/// IPv6 has the number in a header of its own, behind those that each router reads.
fn of_v6(bytes: &[u8]) -> Option<Vec<u8>> {
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    const FRAGMENT: u8 = 44;
    const DESTINATION: u8 = 60;
    const MOST_HEADERS: usize = 8;
    let (mut header, mut start) = (*bytes.get(6)?, 40);
    for _ in 0..MOST_HEADERS {
        let here = bytes.get(start..)?;
        match header {
            FRAGMENT => {
                let ends = bytes.get(8..40)?;
                return Some([&[6], here.get(4..8)?, ends].concat());
            }
            HOP_BY_HOP | ROUTING | DESTINATION => {
                header = *here.first()?;
                start += 8 + 8 * usize::from(*here.get(1)?);
            }
            _ => return None,
        }
    }
    None
}

/// Verdicts on first fragments.
#[derive(Default)]
pub struct Fragments {
    verdicts: HashMap<Datagram, (u64, Vec<BothSides>)>,
    order: VecDeque<Datagram>,
}

impl Fragments {
    /// Remembers what became of the first fragment.
    pub fn keep(&mut self, datagram: Datagram, now_ns: u64, verdicts: &[BothSides]) {
        let kept = (now_ns, verdicts.to_vec());
        if self.verdicts.insert(datagram.clone(), kept).is_none() {
            self.order.push_back(datagram);
        }
        while self.order.len() > MOST {
            let oldest = self.order.pop_front();
            oldest.and_then(|oldest| self.verdicts.remove(&oldest));
        }
    }

    /// Returns the verdicts on a later fragment, or `None` if the first was not seen, or too long ago.
    pub fn of(&self, datagram: &Datagram, now_ns: u64) -> Option<Vec<BothSides>> {
        let (then_ns, verdicts) = self.verdicts.get(datagram)?;
        (now_ns.saturating_sub(*then_ns) <= PATIENCE_NS).then(|| verdicts.clone())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

    use super::*;

    fn v4(number: u16, field: u16) -> Vec<u8> {
        let mut bytes = vec![0x45, 0, 0, 28];
        bytes.extend(number.to_be_bytes());
        bytes.extend(field.to_be_bytes());
        bytes.extend([64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        bytes
    }

    /// Behind a header that each router reads.
    fn v6(number: u32) -> Vec<u8> {
        let mut bytes = vec![0x60, 0, 0, 0, 0, 16, 0, 64];
        bytes.extend([1; 32]);
        bytes.extend([44, 0, 1, 4, 0, 0, 0, 0, 17, 0, 0, 1]);
        bytes.extend(number.to_be_bytes());
        bytes
    }

    #[test]
    fn fragments_are_told_by_their_datagram_and_are_remembered_for_a_while() {
        let of = |bytes: &[u8]| Datagram::of(bytes, None);
        assert_eq!(of(&v4(7, 0)), None);
        assert_eq!(of(&v4(7, 0x4000)), None, "not to be fragmented");
        assert_eq!(of(&v4(7, 0x2000)), of(&v4(7, 185)));
        assert_ne!(of(&v4(7, 0x2000)), of(&v4(8, 185)));
        assert!(of(&v6(1)).is_some() && of(&v6(1)) != of(&v6(2)));
        for bytes in [v4(7, 0x2000), v6(1)] {
            for end in 0..bytes.len() {
                assert_eq!(of(&bytes[..end]), None);
            }
        }
        let mut fragments = Fragments::default();
        for number in 0..=MOST as u32 {
            fragments.keep(of(&v6(number)).unwrap(), 5, &[]);
        }
        let known = |number, now_ns| fragments.of(&of(&v6(number)).unwrap(), now_ns).is_some();
        assert!(!known(0, 5) && known(1, 5));
        assert!(known(1, PATIENCE_NS + 5) && !known(1, PATIENCE_NS + 6));
    }
}
