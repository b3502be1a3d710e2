//! IP addresses: one, a prefix, or a range.

use crate::report::{Wrong, shown};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Range of addresses of one IP version, from the first to the last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Addresses(Span);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Span {
    V4 { first: u32, last: u32 },
    V6 { first: u128, last: u128 },
}

impl Addresses {
    /// Returns the IP version, 4 or 6.
    #[must_use]
    pub fn version(self) -> u8 {
        match self.0 {
            Span::V4 { .. } => 4,
            Span::V6 { .. } => 6,
        }
    }

    /// Returns whether the range contains an address.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        match (self.0, address) {
            (Span::V4 { first, last }, IpAddr::V4(v4)) => (first..=last).contains(&v4.to_bits()),
            (Span::V6 { first, last }, IpAddr::V6(v6)) => (first..=last).contains(&v6.to_bits()),
            _ => false,
        }
    }

    /// Returns the first address of the range.
    #[must_use]
    pub fn first(self) -> IpAddr {
        match self.0 {
            Span::V4 { first, .. } => Ipv4Addr::from_bits(first).into(),
            Span::V6 { first, .. } => Ipv6Addr::from_bits(first).into(),
        }
    }

    /// Returns the last address of the range.
    #[must_use]
    pub fn last(self) -> IpAddr {
        match self.0 {
            Span::V4 { last, .. } => Ipv4Addr::from_bits(last).into(),
            Span::V6 { last, .. } => Ipv6Addr::from_bits(last).into(),
        }
    }

    /// Makes a range of IPv4 addresses, both ends included.
    pub(crate) fn of_v4((first, last): (u32, u32)) -> Self {
        Self(Span::V4 { first, last })
    }

    /// Makes a range of IPv6 addresses, both ends included.
    pub(crate) fn of_v6((first, last): (u128, u128)) -> Self {
        Self(Span::V6 { first, last })
    }

    pub(crate) fn v4(self) -> Option<(u32, u32)> {
        match self.0 {
            Span::V4 { first, last } => Some((first, last)),
            Span::V6 { .. } => None,
        }
    }

    pub(crate) fn v6(self) -> Option<(u128, u128)> {
        match self.0 {
            Span::V4 { .. } => None,
            Span::V6 { first, last } => Some((first, last)),
        }
    }

    /// Returns the prefix length, or `None` if the range is no prefix.
    fn prefix_length(self) -> Option<u32> {
        match self.0 {
            Span::V4 { first, last } => {
                let bits = (first ^ last).leading_zeros();
                (cut_v4(first, bits) == (first, last)).then_some(bits)
            }
            Span::V6 { first, last } => {
                let bits = (first ^ last).leading_zeros();
                (cut_v6(first, bits) == (first, last)).then_some(bits)
            }
        }
    }
}

/// Returns the first and last address with the first `bits` bits of this one.
fn cut_v4(address: u32, bits: u32) -> (u32, u32) {
    let rest = u32::MAX.checked_shr(bits).unwrap_or(0);
    (address & !rest, address | rest)
}

fn cut_v6(address: u128, bits: u32) -> (u128, u128) {
    let rest = u128::MAX.checked_shr(bits).unwrap_or(0);
    (address & !rest, address | rest)
}

impl fmt::Display for Addresses {
    /// Writes the range as rule files have it: one address without a slash, a prefix with one, else both ends.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (self.first(), self.last());
        if first == last {
            return write!(f, "{first}");
        }
        match self.prefix_length() {
            Some(bits) => write!(f, "{first}/{bits}"),
            None => write!(f, "{first}-{last}"),
        }
    }
}

impl FromStr for Addresses {
    /// Message that says what is wrong, and what would be right.
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        if let Some((address, bits)) = text.split_once('/') {
            return prefix(text, address, bits);
        }
        let Some((first, last)) = text.split_once('-') else {
            let one = address(text, text)?;
            return between(text, one, one);
        };
        between(
            text,
            address(text, first.trim())?,
            address(text, last.trim())?,
        )
    }
}

fn address(all: &str, text: &str) -> Result<IpAddr, Wrong> {
    let address = text.parse().map_err(|_| no_address(all))?;
    match address {
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => Err(format!(
                "`{v6}` is an IPv4 address in disguise, which no packet carries; write {v4}"
            )),
            None => Ok(address),
        },
        IpAddr::V4(_) => Ok(address),
    }
}

fn no_address(all: &str) -> Wrong {
    format!(
        "`{}` is no address; write one like 192.0.2.7 or 2001:db8::7, a prefix like 192.0.2.0/24, or a range \
         like 192.0.2.10-192.0.2.20",
        shown(all)
    )
}

fn between(text: &str, first: IpAddr, last: IpAddr) -> Result<Addresses, Wrong> {
    let span = match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => Span::V4 {
            first: first.to_bits(),
            last: last.to_bits(),
        },
        (IpAddr::V6(first), IpAddr::V6(last)) => Span::V6 {
            first: first.to_bits(),
            last: last.to_bits(),
        },
        _ => {
            return Err(format!(
                "`{}` goes from one IP version to the other; make it two ranges",
                shown(text)
            ));
        }
    };
    if first > last {
        return Err(format!(
            "`{}` ends before it begins; write {last}-{first}",
            shown(text)
        ));
    }
    Ok(Addresses(span))
}

fn prefix(text: &str, start: &str, bits: &str) -> Result<Addresses, Wrong> {
    let start = address(text, start)?;
    let all = if start.is_ipv4() { 32 } else { 128 };
    let bits = length(bits).filter(|bits| *bits <= all).ok_or_else(|| {
        format!(
            "`{}` has no prefix length from 0 to {all} after its slash",
            shown(text)
        )
    })?;
    let prefix = with_first_bits(start, bits);
    let cut = prefix.first();
    if cut == start {
        return Ok(prefix);
    }
    Err(format!(
        "`{}` has bits set behind its prefix; write {cut}/{bits}, or {start} for the one address",
        shown(text)
    ))
}

/// Returns the prefix of the first `bits` bits of this address.
fn with_first_bits(address: IpAddr, bits: u32) -> Addresses {
    Addresses(match address {
        IpAddr::V4(v4) => {
            let (first, last) = cut_v4(v4.to_bits(), bits);
            Span::V4 { first, last }
        }
        IpAddr::V6(v6) => {
            let (first, last) = cut_v6(v6.to_bits(), bits);
            Span::V6 { first, last }
        }
    })
}

/// Parses an entry of a published list: leading zeros of a decimal number, netmasks, bits behind a prefix and
/// IPv4-mapped addresses are all read. The second value says whether bits behind the prefix were cut off.
pub(crate) fn listed(text: &str) -> Result<(Addresses, bool), Wrong> {
    if let Some((start, bits)) = text.split_once('/') {
        return listed_prefix(text, start.trim(), bits.trim());
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, _) = listed_address(text, first.trim())?;
    let (last, _) = listed_address(text, last.trim())?;
    Ok((between(text, first, last)?, false))
}

fn listed_prefix(text: &str, start: &str, bits: &str) -> Result<(Addresses, bool), Wrong> {
    let (start, folded) = listed_address(text, start)?;
    let all = if start.is_ipv4() { 32 } else { 128 };
    let bits = match bits.contains('.').then(|| netmask(bits)) {
        Some(bits) => bits.filter(|_| start.is_ipv4() && !folded),
        None if folded => digits(bits).and_then(|bits| bits.checked_sub(MAPPED_BITS)),
        None => digits(bits),
    };
    let bits = bits.filter(|bits| *bits <= all).ok_or_else(|| {
        format!(
            "`{}` has neither a prefix length nor a netmask after its slash",
            shown(text)
        )
    })?;
    let cut = with_first_bits(start, bits);
    Ok((cut, cut.first() != start))
}

/// Number of bits before the IPv4 address in an IPv4-mapped IPv6 address.
const MAPPED_BITS: u32 = 96;

/// Parses an address. The second value says whether it is an IPv4 address that was written as IPv6.
fn listed_address(all: &str, text: &str) -> Result<(IpAddr, bool), Wrong> {
    let read = decimal_v4(text)
        .map(IpAddr::V4)
        .or_else(|| text.parse().ok());
    match read {
        Some(IpAddr::V6(v6)) => Ok(v6
            .to_ipv4_mapped()
            .map_or((IpAddr::V6(v6), false), |v4| (IpAddr::V4(v4), true))),
        Some(v4) => Ok((v4, false)),
        None => Err(no_address(all)),
    }
}

/// Parses an IPv4 address of four decimal numbers, with leading zeros or not.
fn decimal_v4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next().filter(|part| part.len() <= 3)?;
        *octet = u8::try_from(digits(part)?).ok()?;
    }
    parts.next().is_none().then(|| octets.into())
}

fn digits(text: &str) -> Option<u32> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok())?
}

/// Returns the prefix length of a netmask, or `None` if the text is no netmask.
pub(crate) fn netmask(text: &str) -> Option<u32> {
    let mask = decimal_v4(text)?.to_bits();
    let bits = mask.leading_ones();
    (mask.checked_shl(bits).unwrap_or(0) == 0).then_some(bits)
}

/// Parses a prefix length, without the signs and leading zeros that a number's parser would accept.
fn length(text: &str) -> Option<u32> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit())
        && (text.len() == 1 || !text.starts_with('0'));
    plain.then(|| text.parse().ok())?
}
