//! Headers as they stand on the wire: bytes only, big-endian. Aligned once they are read,
//! so that they are copied in words.

use zerocopy::{FromBytes, Immutable, KnownLayout};

#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C, align(4))]
pub(crate) struct Ipv4 {
    pub(crate) version_and_words: u8,
    pub(crate) service: u8,
    pub(crate) length: [u8; 2],
    pub(crate) identification: [u8; 2],
    pub(crate) fragment: [u8; 2],
    pub(crate) time_to_live: u8,
    pub(crate) protocol: u8,
    pub(crate) checksum: [u8; 2],
    pub(crate) source: [u8; 4],
    pub(crate) destination: [u8; 4],
}

#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Ipv6 {
    /// Version, class and label, the payload's length, the next header and the hop limit.
    first: u64,
    source: [u64; 2],
    destination: [u64; 2],
}

impl Ipv6 {
    /// Bytes behind this header.
    #[inline(always)]
    pub(crate) const fn payload(&self) -> u16 {
        let [_, _, _, _, high, low, _, _] = self.first.to_ne_bytes();
        u16::from_be_bytes([high, low])
    }

    /// The protocol of what comes next.
    #[inline(always)]
    pub(crate) const fn next(&self) -> u8 {
        self.first.to_ne_bytes()[6]
    }

    #[inline(always)]
    pub(crate) const fn source(&self) -> [u8; 16] {
        zerocopy::transmute!(self.source)
    }

    #[inline(always)]
    pub(crate) const fn destination(&self) -> [u8; 16] {
        zerocopy::transmute!(self.destination)
    }
}

#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C, align(4))]
pub(crate) struct Extension {
    pub(crate) next: u8,
    pub(crate) length: u8,
    /// Offset of a fragment; or type of a routing header and number of its segments left.
    pub(crate) more: [u8; 2],
}

/// One option of IPv4, if it is longer than its kind.
#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Ipv4Option {
    pub(crate) kind: u8,
    pub(crate) length: u8,
    /// Position of a source route's next hop, counted from the option's first byte as 1.
    pub(crate) pointer: u8,
}

#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C, align(4))]
pub(crate) struct Tcp {
    pub(crate) source: [u8; 2],
    pub(crate) destination: [u8; 2],
    pub(crate) sequence: [u8; 4],
    pub(crate) acknowledgement: [u8; 4],
    pub(crate) words: u8,
    pub(crate) flags: u8,
    pub(crate) window: [u8; 2],
    pub(crate) checksum: [u8; 2],
    pub(crate) urgent: [u8; 2],
}

#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C, align(4))]
pub(crate) struct Udp {
    pub(crate) source: [u8; 2],
    pub(crate) destination: [u8; 2],
    pub(crate) length: [u8; 2],
    pub(crate) checksum: [u8; 2],
}

#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C, align(4))]
pub(crate) struct Icmp {
    pub(crate) kind: u8,
    pub(crate) code: u8,
    pub(crate) checksum: [u8; 2],
}

const _: () = {
    assert!(size_of::<Ipv4>() == 20 && size_of::<Ipv6>() == 40 && size_of::<Extension>() == 4);
    assert!(
        size_of::<Ipv4Option>() == 3
            && size_of::<Tcp>() == 20
            && size_of::<Udp>() == 8
            && size_of::<Icmp>() == 4
    );
};

/// IP protocol numbers, which are IPv6's next-header numbers too.
pub(crate) mod protocol {
    pub(crate) const HOP_BY_HOP: u8 = 0;
    pub(crate) const ICMP: u8 = 1;
    pub(crate) const IGMP: u8 = 2;
    pub(crate) const TCP: u8 = 6;
    pub(crate) const UDP: u8 = 17;
    pub(crate) const DCCP: u8 = 33;
    pub(crate) const ROUTING: u8 = 43;
    pub(crate) const FRAGMENT: u8 = 44;
    pub(crate) const AUTHENTICATION: u8 = 51;
    pub(crate) const ICMPV6: u8 = 58;
    pub(crate) const DESTINATION: u8 = 60;
    pub(crate) const SCTP: u8 = 132;
    pub(crate) const UDP_LITE: u8 = 136;
}
