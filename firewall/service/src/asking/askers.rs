//! Askers: whose questions one answer can be about, and whose count as one's share.

use super::have_one_share;
use firewall_abi::asking::{Subject, Width};
use firewall_abi::packet::NO_USER;
use std::net::Ipv6Addr;

/// Returns whether both subjects are of one program of one user in one direction, so that one answer can be about both.
pub fn is_of_program(one: &Subject, other: &Subject) -> bool {
    one.at(Width::Anywhere) == other.at(Width::Anywhere)
}

/// Returns whether two questions count as one asker's: one program's of one user. Where no user is known, as of most
/// that comes in, those to one port count as one asker's, and those with one address: who sends to a port from
/// everywhere keeps no other port from being asked about, and who sends to every port nobody else.
pub fn is_same_asker(one: &Subject, other: &Subject) -> bool {
    if one.program != other.program || !have_one_share(one.user, other.user) {
        return false;
    }
    one.user != NO_USER
        || (one.protocol, one.port) == (other.protocol, other.port)
        || one.remote == other.remote
}

/// Returns whether no user is known for either subject, and both are with one network: who has all of its addresses
/// keeps no other from being asked about.
pub fn is_of_same_network(one: &Subject, other: &Subject) -> bool {
    (one.user, other.user) == (NO_USER, NO_USER) && network(one) == network(other)
}

/// Returns the peer's network, as far as it is known: 24 bits of an IPv4 address, 64 of an IPv6 address.
fn network(of: &Subject) -> Ipv6Addr {
    let remote = Ipv6Addr::from(of.remote);
    let kept = if remote.to_ipv4_mapped().is_some() {
        128 - 8
    } else {
        64
    };
    Ipv6Addr::from_bits(remote.to_bits() >> (128 - kept) << (128 - kept))
}

/// Returns whether the subject's user is known and is not root.
pub const fn is_a_users(subject: &Subject) -> bool {
    subject.user != 0 && subject.user != NO_USER
}
