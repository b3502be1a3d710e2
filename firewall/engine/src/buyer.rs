//! Whose a connection is, and how many of those that make no room for new ones a buyer may have.
//!
//! A user buys what its sockets begin; a device what is forwarded from it; a network outside what comes from there. Users and devices
//! can't be forged. An address outside can, by whoever sends two datagrams in its name to a port that answers: it counts for the network that it
//! is of, and arrivals have a share of their own. What nobody has confirmed is not counted.

use firewall_abi::firewall::{MAX_CONFIRMED_ARRIVALS, MAX_FLOWS};

/// As a user: the kernel sends by itself.
pub const KERNEL: u32 = u32::MAX - 1;

/// Users each by themselves, and of the numbers above each such block together: they are those that a container's users or a
/// user's subordinate ones have outside.
const USERS: u32 = 65_536;
const BLOCKS: u32 = USERS;
const DEVICES: u32 = BLOCKS + 65_536;
const NETWORKS: u32 = DEVICES + 1024;
const MOST_NETWORKS: u32 = 65_536 - 1024;

/// The number of a user as a buyer; `NO_USER` is one too.
#[must_use]
#[inline(always)]
pub const fn of_user(user: u32) -> u32 {
    match user {
        KERNEL => BLOCKS,
        user if user < USERS => user,
        user => BLOCKS + (user >> 16),
    }
}

/// That of a device that others are forwarded from.
#[must_use]
#[inline(always)]
pub const fn of_device(number: u32) -> u32 {
    DEVICES + number % (NETWORKS - DEVICES)
}

/// That of a network outside, a /24 or a /56 (which is what a site has at least), by the words of an address there. Two of them may have one number: which ones, who
/// does not know the seed can't choose.
#[must_use]
#[inline(always)]
pub const fn of_network(ip_version: u8, [high, low]: [u64; 2], seed: u64) -> u32 {
    let network = if ip_version == 4 { low >> 8 } else { high >> 8 };
    let mixed = (network ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ mixed >> 32 ^ seed.rotate_left(32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    NETWORKS + ((mixed >> 32) as u32) % MOST_NETWORKS
}

/// Whether a buyer may have another connection that makes no room: as long as more than the buyer has are free. So one alone may
/// have half of the room, two a third each, and a hundred leave a hundred-and-first part to who comes then.
#[must_use]
#[inline(always)]
pub const fn has_room(bought: u32, kept: u32, arrivals: Option<u32>) -> bool {
    let free = (MAX_FLOWS as u32).saturating_sub(kept);
    let free = match arrivals {
        Some(arrivals) if (MAX_CONFIRMED_ARRIVALS as u32).saturating_sub(arrivals) < free => {
            (MAX_CONFIRMED_ARRIVALS as u32).saturating_sub(arrivals)
        }
        _ => free,
    };
    bought < free
}

#[cfg(test)]
mod tests {
    use super::*;
    use firewall_abi::firewall::BUYERS;
    use firewall_abi::packet::NO_USER;
    use std::vec;
    use std::vec::Vec;

    #[test]
    fn each_buyer_has_a_number_and_users_have_their_own() {
        let networks = (0..100_000).map(|n| of_network(4, [0, n << 8], 7));
        let devices = (0..5000).map(of_device);
        let users = [
            0,
            1,
            65_535,
            65_536,
            165_536,
            KERNEL,
            NO_USER,
            u32::MAX - 65_536,
        ];
        let users: Vec<u32> = users.into_iter().map(of_user).collect();
        for (at, user) in users.iter().enumerate() {
            assert!(users[..at].iter().all(|other| other != user), "{users:?}");
        }
        assert_eq!(
            of_user(100_000),
            of_user(65_536 + 65_535),
            "a container's users"
        );
        assert!(
            networks
                .clone()
                .chain(devices.clone())
                .chain(users.clone())
                .all(|n| n < BUYERS as u32)
        );
        assert!(networks.min() > devices.max() && of_device(0) > *users.iter().max().unwrap_or(&0));
    }

    #[test]
    fn a_network_is_a_24_or_a_56() {
        assert_eq!(
            of_network(4, [0, 0x0A00_0001], 1),
            of_network(4, [0, 0x0A00_00FF], 1)
        );
        assert_ne!(
            of_network(4, [0, 0x0A00_0001], 1),
            of_network(4, [0, 0x0A00_0101], 1)
        );
        assert_eq!(of_network(6, [1, 2], 1), of_network(6, [255, 3], 1));
        assert_ne!(of_network(6, [1, 2], 1), of_network(6, [256, 2], 1));
    }

    #[test]
    fn no_number_of_buyers_takes_all_of_the_room() {
        let (most, half) = (MAX_FLOWS as u32, MAX_CONFIRMED_ARRIVALS as u32);
        for buyers in [1, 2, 10, 1000] {
            for arrive in [false, true] {
                let mut bought = vec![0; buyers];
                let mut all = 0;
                let mut more = true;
                while more {
                    more = false;
                    for one in &mut bought {
                        if has_room(*one, all, arrive.then_some(all)) {
                            *one += 1;
                            all += 1;
                            more = true;
                        }
                    }
                }
                let most = if arrive { half } else { most };
                let share = most / (buyers as u32 + 1);
                for one in bought {
                    assert!(one.abs_diff(share) <= 1, "{buyers} {arrive}: {one} {share}");
                }
                assert!(
                    has_room(0, all, arrive.then_some(all)),
                    "and the next one gets in"
                );
            }
        }
    }
}
