//! Numbers and addresses that look random and are the same each time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Numbers (xorshift).
pub struct Scatter(u64);

impl Scatter {
    /// Creates a generator with this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// The next one.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Addresses all over, none of which is the lab's.
pub fn strangers(six: bool, seed: u64, count: usize) -> Vec<IpAddr> {
    let mut scatter = Scatter::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xABCD);
    let one = |_| {
        let [a, b, c, d, e, f, g, h] = scatter.next().to_be_bytes();
        if six {
            Ipv6Addr::from([0x20, 1, a, b, c, d, e, f, g, h, 0, 0, 0, 0, 0, 1]).into()
        } else {
            Ipv4Addr::from([100 + a % 100, b, c, d]).into()
        }
    };
    (0..count).map(one).collect()
}
