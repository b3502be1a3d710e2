//! Addresses and prefixes.

use crate::report::Wrong;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// An address with how many of its first bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// 4 or 6.
    #[must_use]
    pub fn version(self) -> u8 {
        if self.address.is_ipv4() { 4 } else { 6 }
    }

    /// Whether an address lies in it.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        let other = Self { address, bits: 0 };
        other.version() == self.version() && other.prefix() & self.mask() == self.prefix()
    }

    /// The one address, if it has no others.
    #[must_use]
    pub fn single(self) -> Option<IpAddr> {
        (self.mask() == u128::MAX).then_some(self.address)
    }

    /// The prefix as the tables have it: 128 bits, IPv4 in its IPv4-mapped form.
    pub(crate) fn prefix(self) -> u128 {
        match self.address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
            IpAddr::V6(v6) => v6.to_bits(),
        }
    }

    /// Which of these bits count.
    pub(crate) fn mask(self) -> u128 {
        let bits = u32::from(self.bits) + if self.version() == 4 { 96 } else { 0 };
        leading_ones(bits)
    }
}

fn leading_ones(bits: u32) -> u128 {
    !u128::MAX.checked_shr(bits).unwrap_or(0)
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl std::str::FromStr for Network {
    /// What is wrong, and what would be right.
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let address: IpAddr = address.parse().map_err(|_| not_an_address(text))?;
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits
            .map_or(Some(all), prefix_length)
            .filter(|bits| *bits <= all)
            .ok_or_else(|| format!("`{text}` has no prefix length from 0 to {all} after its slash"))?;
        Self { address, bits }.checked()
    }
}

/// A prefix length, without the signs and leading zeros that `u8` would take.
fn prefix_length(text: &str) -> Option<u8> {
    text.parse().ok().filter(|bits: &u8| bits.to_string() == text)
}

fn not_an_address(text: &str) -> Wrong {
    format!("`{text}` is no address; write one like 192.0.2.7 or 2001:db8::7, or a prefix like 192.0.2.0/24")
}

impl Network {
    fn checked(self) -> Result<Self, Wrong> {
        if let IpAddr::V6(v6) = self.address
            && let Some(v4) = v6.to_ipv4_mapped()
        {
            return Err(format!(
                "`{v6}` is an IPv4 address in disguise, which no packet carries; write {v4}"
            ));
        }
        let right = Self { address: self.cut(), ..self };
        if right == self {
            return Ok(self);
        }
        Err(format!(
            "`{self}` has bits set behind its prefix; write {right}, or {} for the one address",
            self.address
        ))
    }

    fn cut(self) -> IpAddr {
        let cut = Ipv6Addr::from_bits(self.prefix() & self.mask());
        match self.address {
            IpAddr::V4(_) => cut.to_ipv4_mapped().map_or(cut.into(), IpAddr::V4),
            IpAddr::V6(_) => cut.into(),
        }
    }
}
