//! The quota that a connection counts against, and how many of those that make no room for new ones its owner may have.
//!
//! Each connection is charged to one quota owner: what a user's sockets begin to the user, what comes from outside to
//! its network, and what is forwarded to the address that it comes from, out of what the device has by which it comes.
//! Users and devices can't be forged. An address can, by whoever sends two datagrams in its name to a port that
//! answers: outside it counts for the network that it is of, and arrivals have a share of their own; behind a device it
//! takes of that device's share and of no other. What nobody has confirmed is not counted.

use firewall_abi::firewall::{MAX_CONFIRMED_ARRIVALS, MAX_FLOWS};

/// Quota owner of connections that the kernel begins by itself, in the place of a user.
pub const KERNEL: u32 = u32::MAX - 1;

/// Users each by themselves, and of the numbers above each such block together: they are those that a container's users
/// or a user's subordinate ones have outside.
const USERS: u32 = 65_536;
const BLOCKS: u32 = USERS;
const DEVICES: u32 = BLOCKS + 65_536;
const NETWORKS: u32 = DEVICES + 1024;
const MOST_NETWORKS: u32 = 65_536 - 1024;

/// The number of a user as a quota owner; `NO_USER` is one too.
#[must_use]
#[inline(always)]
pub const fn of_user(user: u32) -> u32 {
    match user {
        KERNEL => BLOCKS,
        user if user < USERS => user,
        user => BLOCKS + (user >> 16),
    }
}

/// Returns the quota owner of a forwarded packet's sender, by the device that the packet comes in by and the words of
/// the address: both in one number, which [`charged_owners`] takes apart. The whole address counts, of IPv6 too: a
/// bridge's guests are in one network, and a sender with many addresses takes them from others behind the same device.
#[must_use]
#[inline(always)]
pub const fn of_forwarded(device: u32, [high, low]: [u64; 2], seed: u64) -> u32 {
    let device = device % (NETWORKS - DEVICES);
    FORWARDED | device << SENDER_BITS | mixed(mixed(low, seed) as u64 ^ high, seed) >> SENDER_BITS
}

/// Marks the number of who sends what is forwarded: below it stand the device's and, lowest, the sender's.
const FORWARDED: u32 = 1 << 31;
const SENDER_BITS: u32 = 16;
const SENDER: u32 = (1 << SENDER_BITS) - 1;

/// The quota owners that a connection is charged to: its own, and of what is forwarded its device too.
#[must_use]
#[inline(always)]
pub const fn charged_owners(quota_owner: u32) -> (u32, Option<u32>) {
    if quota_owner & FORWARDED == 0 {
        return (quota_owner, None);
    }
    (
        NETWORKS + (quota_owner & SENDER) % MOST_NETWORKS,
        Some(ring_owner(quota_owner)),
    )
}

/// Returns the owner of the ring whose slots a connection of this quota owner takes before it is confirmed: of a
/// forwarded connection, its device.
#[must_use]
#[inline(always)]
pub const fn ring_owner(quota_owner: u32) -> u32 {
    if quota_owner & FORWARDED == 0 {
        quota_owner
    } else {
        DEVICES + ((quota_owner & !FORWARDED) >> SENDER_BITS)
    }
}

/// Number of parts of a device's ring. A sender of forwarded packets may stand in two of them, and takes the slot of
/// whoever has been silent for longer: so one who takes all slots of their own leaves to all others, but to very few,
/// one of theirs.
pub const PARTS: u32 = 16;

/// Returns the two parts of the ring that a quota owner may stand in, or `None` if its ring is not divided.
#[must_use]
#[inline(always)]
pub const fn parts(quota_owner: u32) -> Option<[u32; 2]> {
    if quota_owner & FORWARDED == 0 {
        return None;
    }
    let one = quota_owner % PARTS;
    let other = (one + 1 + (quota_owner & SENDER) / PARTS % (PARTS - 1)) % PARTS;
    Some([one, other])
}

/// Returns the quota owner of a network outside, a /24 or a /56 (which is what a site has at least), by the words of an
/// address in it. Two networks may have one number: a sender who does not know the seed can't choose which.
#[must_use]
#[inline(always)]
pub const fn of_network(ip_version: u8, [high, low]: [u64; 2], seed: u64) -> u32 {
    let network = if ip_version == 4 { low >> 8 } else { high >> 8 };
    NETWORKS + mixed(network, seed) % MOST_NETWORKS
}

#[inline(always)]
const fn mixed(number: u64, seed: u64) -> u32 {
    let mixed = (number ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ mixed >> 32 ^ seed.rotate_left(32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    (mixed >> 32) as u32
}

/// Returns whether a quota owner may have another connection that makes no room: as long as more are free than it has.
/// So one alone may have half of the room, two a third each, and a hundred leave a hundred-and-first part to the next.
/// `charged` is the count of all of its [`charged_owners`]: so a sender behind a device has at most as many as the
/// device has left, which is likewise.
#[must_use]
#[inline(always)]
pub const fn has_room(charged: u32, kept: u32, arrivals: Option<u32>) -> bool {
    let free = (MAX_FLOWS as u32).saturating_sub(kept);
    let free = match arrivals {
        Some(arrivals) if (MAX_CONFIRMED_ARRIVALS as u32).saturating_sub(arrivals) < free => {
            (MAX_CONFIRMED_ARRIVALS as u32).saturating_sub(arrivals)
        }
        _ => free,
    };
    charged < free
}

#[cfg(test)]
mod tests {
    use super::*;
    use firewall_abi::firewall::QUOTA_OWNERS;
    use firewall_abi::packet::NO_USER;
    use std::vec;
    use std::vec::Vec;

    #[test]
    fn each_quota_owner_has_a_number_and_users_have_their_own() {
        let networks = (0..100_000).map(|n| of_network(4, [0, n << 8], 7));
        let devices = (0..5000).map(|n| ring_owner(of_forwarded(n, [0, 1], 7)));
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
                .all(|n| n < QUOTA_OWNERS as u32)
        );
        assert!(networks.min() > devices.clone().max());
        assert!(devices.min() > users.into_iter().max());
    }

    #[test]
    fn who_sends_what_is_forwarded_is_charged_with_its_device_and_stands_in_two_parts_of_its_ring()
    {
        let senders: Vec<u32> = (0..5000)
            .map(|n| of_forwarded(n % 3, [0, 0xFFFF_0A00_0000 + u64::from(n)], 7))
            .collect();
        let mut used = vec![0; PARTS as usize];
        for (n, sender) in (0..).zip(&senders) {
            let (own, device) = charged_owners(*sender);
            assert!((NETWORKS..QUOTA_OWNERS as u32).contains(&own));
            assert_eq!(device, Some(DEVICES + n % 3));
            let [one, other] = parts(*sender).unwrap_or_default();
            assert!(one != other && one < PARTS && other < PARTS);
            used[one as usize] += 1;
            used[other as usize] += 1;
        }
        assert!(used.iter().all(|used| *used > 500), "{used:?}");
        let mut own: Vec<u32> = senders.iter().map(|it| charged_owners(*it).0).collect();
        own.sort_unstable();
        own.dedup();
        assert!(own.len() > 4500, "few have one number: {}", own.len());
        let alike = senders.iter().filter(|it| parts(**it) == parts(senders[0]));
        assert!(alike.count() < 60, "of 5000, one in 240");
        assert_eq!((charged_owners(1234), parts(1234)), ((1234, None), None));
        for alone in [
            of_user(1234),
            of_user(NO_USER),
            of_network(4, [0, 1 << 8], 7),
        ] {
            assert_eq!(ring_owner(alone), alone, "of what is not forwarded");
        }
    }

    #[test]
    fn whoever_is_behind_a_device_leaves_room_to_others_there_and_the_device_to_other_devices() {
        let (mut charged, mut device, mut all) = ([0_u32; 3], 0, 0);
        let mut take = |who: usize, charged: &mut [u32; 3]| {
            while has_room(charged[who] + device, all, None) {
                charged[who] += 1;
                device += 1;
                all += 1;
            }
        };
        take(0, &mut charged);
        assert_eq!(charged[0], MAX_FLOWS as u32 / 3 + 1, "alone");
        for who in [1, 2] {
            take(who, &mut charged);
            assert!(charged[who] > 1000, "{charged:?}");
        }
        let all: u32 = charged.iter().sum();
        assert!(all < MAX_FLOWS as u32 / 2, "{charged:?}");
        assert!(has_room(0, all, None), "another device");
    }

    #[test]
    fn who_comes_from_outside_has_no_more_than_is_free_of_everything() {
        let (all, arrivals) = (MAX_FLOWS as u32, MAX_CONFIRMED_ARRIVALS as u32);
        for (charged, kept, arrived, expected) in [
            (9, all - 10, 0, true),
            (10, all - 10, 0, false),
            (9, arrivals, arrivals - 10, true),
            (10, arrivals, arrivals - 10, false),
            (0, all - 1, 0, true),
            (0, all, 0, false),
            (0, all + 1, 0, false),
            (0, arrivals, arrivals, false),
            (0, arrivals, arrivals + 1, false),
        ] {
            let has_room = has_room(charged, kept, Some(arrived));
            assert_eq!(has_room, expected, "{charged} {kept} {arrived}");
        }
    }

    #[test]
    fn every_bit_of_who_it_is_and_of_the_seed_makes_another_number() {
        for seed in [0, u64::MAX, 0x0123_4567_89AB_CDEF] {
            let (address, number) = (
                [0x2001_0DB8 << 32, 5],
                of_forwarded(3, [0x2001_0DB8 << 32, 5], seed),
            );
            for bit in (0..64).map(|bit| 1_u64 << bit) {
                let [high, low] = address;
                for other in [[high ^ bit, low], [high, low ^ bit]] {
                    assert_ne!(of_forwarded(3, other, seed), number, "{bit:#x}");
                }
                assert_ne!(of_forwarded(3, address, seed ^ bit), number, "{bit:#x}");
                let network = of_network(6, address, seed);
                let differs = of_network(6, [high ^ bit, low], seed) != network;
                assert_eq!(differs, bit >= 1 << 8, "{bit:#x}");
                assert_ne!(of_network(6, address, seed ^ bit), network, "{bit:#x}");
            }
        }
    }

    #[test]
    fn who_has_one_number_with_another_under_one_seed_has_another_under_others() {
        let of = |network: u64, seed| of_network(4, [0, network << 8], seed);
        let shares = |seed| (1..1_000_000).find(|other| of(*other, seed) == of(0, seed));
        for seed in [1, u64::MAX, 0x5555_5555_5555_5555] {
            let other = shares(seed).expect("there are not as many numbers");
            let seeds =
                (1..1000).map(|n: u64| seed.rotate_left(7) ^ n.wrapping_mul(0x9E37_79B9_97F4_A7C1));
            let again = seeds.filter(|seed| of(other, *seed) == of(0, *seed));
            assert!(again.count() < 5, "{seed:#x}");
        }
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
    fn no_number_of_quota_owners_takes_all_of_the_room() {
        let (most, half) = (MAX_FLOWS as u32, MAX_CONFIRMED_ARRIVALS as u32);
        for owners in [1, 2, 10, 1000] {
            for arrive in [false, true] {
                let mut charged = vec![0; owners];
                let mut all = 0;
                let mut more = true;
                while more {
                    more = false;
                    for one in &mut charged {
                        if has_room(*one, all, arrive.then_some(all)) {
                            *one += 1;
                            all += 1;
                            more = true;
                        }
                    }
                }
                let most = if arrive { half } else { most };
                let share = most / (owners as u32 + 1);
                for one in charged {
                    assert!(one.abs_diff(share) <= 1, "{owners} {arrive}: {one} {share}");
                }
                assert!(
                    has_room(0, all, arrive.then_some(all)),
                    "and the next one gets in"
                );
            }
        }
    }
}
