//! Programs of an evening and their destinations: each program has other ends of its own, so that a connection's
//! address tells its program.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IPv4 network that everything outside is routed by.
pub const OUTSIDE_NETWORK: &str = "10.78.0.0/15";
/// IPv6 network that everything outside is routed by, in which each address there stands behind its own two bytes: see
/// [`six`].
pub const OUTSIDE_NETWORK_V6: &str = "fd78::/15";
/// Parts of the IPv4 network outside that answer; the rest is silent, as peers are that have gone.
pub const ANSWERING: [&str; 2] = ["10.78.0.0/24", "10.79.0.0/16"];
/// See [`ANSWERING`].
pub const ANSWERING_V6: [&str; 2] = ["fd78::/112", "fd79::/16"];

/// User at the machine. Both are at it at once, as over ssh, and each answers what their own programs are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: &'static str,
    /// The number; no other of this machine's programs runs by it.
    pub id: u32,
}

/// See [`User`].
pub const ANN: User = User {
    name: "ann",
    id: 64_001,
};
/// See [`User`].
pub const BEN: User = User {
    name: "ben",
    id: 64_002,
};
/// Both users.
pub const USERS: [User; 2] = [ANN, BEN];

/// A program of a user's: who is asked twice is asked by two programs, or for two people.
pub fn of(program: &str, user: u32) -> String {
    let known = USERS.into_iter().find(|known| known.id == user);
    known.map_or_else(
        || format!("{program} of {user}"),
        |user| format!("{program} of {}", user.name),
    )
}

/// The programs, as a person calls them.
pub const CURL: &str = "curl";
/// See [`CURL`].
pub const APT: &str = "apt";
/// See [`CURL`].
pub const SSH: &str = "ssh";
/// See [`CURL`].
pub const BROWSER: &str = "browser";
/// See [`CURL`].
pub const TORRENT: &str = "torrent";
/// A program that phones home to everybody, and is not wanted.
pub const TELEMETRY: &str = "telemetry";
/// Name of any other program that asks.
pub const OTHER: &str = "another";

/// A name that the resolver knows, and the address behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The name.
    pub name: String,
    /// IPv4 address of the host.
    pub address: Ipv4Addr,
}

/// The IPv6 address of who has this address too: `fd79::1:0:0:5` is 10.79.1.5.
pub fn six(address: Ipv4Addr) -> Ipv6Addr {
    let [_, second, third, last] = address.octets();
    let network = 0xFD00 | u16::from(second - 78 + 0x78);
    Ipv6Addr::new(network, 0, 0, 0, third.into(), 0, 0, last.into())
}

/// A host by its IPv4 address, whichever of its addresses this is.
pub fn host_at(address: IpAddr) -> IpAddr {
    let IpAddr::V6(of_six) = address else {
        return address;
    };
    let [network, .., third, 0, 0, last] = of_six.segments() else {
        return address;
    };
    let byte = |number: u16| u8::try_from(number).ok();
    let second = byte(network & 0xFF).and_then(|second| second.checked_sub(0x78 - 78));
    match (second, byte(third), byte(last)) {
        (Some(second @ (78 | 79)), Some(third), Some(last)) => {
            let four = Ipv4Addr::new(10, second, third, last);
            if six(four) == of_six {
                four.into()
            } else {
                address
            }
        }
        _ => address,
    }
}

/// Names that curl fetches from. A person's decision about each is told by the name.
pub const CURLED: [&str; 5] = [
    NEWS,
    "weather.example",
    "radio.example",
    ADVERTISER,
    NOBODY_KNOWS,
];
/// Name that ann blocks, and ben allows.
pub const ADVERTISER: &str = "ads.example";
/// Name that ben blocks, and ann allows.
pub const NEWS: &str = "news.example";
/// Name that is left unanswered: nobody knows what it is.
pub const NOBODY_KNOWS: &str = "cdn7.example";
/// Name of the archive that apt gets its packages from.
pub const ARCHIVE: &str = "archive.example";
/// Names that ssh goes to.
pub const SSH_HOSTS: [&str; 2] = ["home.example", "git.example"];
/// Number of names that a browser goes to.
pub const SITES: u8 = 24;

/// The name of one of the browser's sites.
pub fn site(number: u8) -> String {
    format!("site{number}.example")
}

/// Returns all names that the resolver knows.
pub fn hosts() -> Vec<Host> {
    let host = |name: &str, third: u8, last: usize| Host {
        name: name.to_owned(),
        address: Ipv4Addr::new(10, 79, third, u8::try_from(last + 1).unwrap_or(u8::MAX)),
    };
    let curled = CURLED.iter().enumerate().map(|(n, name)| host(name, 1, n));
    let ssh = SSH_HOSTS
        .iter()
        .enumerate()
        .map(|(n, name)| host(name, 3, n));
    let sites = (0..SITES).map(|n| host(&site(n), 4, n.into()));
    let archive = std::iter::once(host(ARCHIVE, 2, 0));
    curled.chain(archive).chain(ssh).chain(sites).collect()
}

/// The peers that a torrent has: every third answers, the others are gone. Every fourth is there by IPv6 alone.
pub fn torrent_peers(count: u16) -> Vec<IpAddr> {
    let each = (0..count).map(|n| {
        let last = u8::try_from(n % 250 + 1).unwrap_or(1);
        let third = if n.is_multiple_of(3) {
            0
        } else {
            1 + u8::try_from(n / 250).unwrap_or(0)
        };
        let peer = Ipv4Addr::new(10, 78, third, last);
        if n.is_multiple_of(4) {
            six(peer).into()
        } else {
            peer.into()
        }
    });
    each.collect()
}

/// Returns the peers that telemetry is sent to: as many as have an address in one network.
pub fn telemetry_peers() -> Vec<IpAddr> {
    let each = (1..=250).map(|last| Ipv4Addr::new(10, 79, 5, last).into());
    each.collect()
}

/// The program that goes to this address.
pub fn who_goes_to(address: IpAddr) -> &'static str {
    let IpAddr::V4(address) = host_at(address) else {
        return OTHER;
    };
    match address.octets() {
        [10, 78, ..] => TORRENT,
        [10, 79, 1, _] => CURL,
        [10, 79, 2, _] => APT,
        [10, 79, 3, _] => SSH,
        [10, 79, 4, _] => BROWSER,
        [10, 79, 5, _] => TELEMETRY,
        _ => OTHER,
    }
}

/// Returns whether somebody answers at this address.
pub fn answers(address: IpAddr) -> bool {
    matches!(host_at(address), IpAddr::V4(address) if matches!(address.octets(), [10, 78, 0, _] | [10, 79, ..]))
}

/// Returns whether this person lets curl fetch from this name.
pub fn is_wanted(by: User, name: &str) -> bool {
    let unwanted = if by == ANN { ADVERTISER } else { NEWS };
    name != unwanted && name != NOBODY_KNOWS
}

/// Returns the name that a person has for the program of a question, by its path.
pub fn called(path: &str) -> &'static str {
    let file = path.rsplit('/').next().unwrap_or_default();
    match file {
        "curl" => CURL,
        "http" => APT,
        "ssh" => SSH,
        "browser" => BROWSER,
        "torrent" => TORRENT,
        "telemetry" => TELEMETRY,
        _ => OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_of_the_evening_is_one_programs() {
        for Host { name, address } in hosts() {
            assert_ne!(who_goes_to(address.into()), OTHER, "{name}");
            assert!(answers(address.into()), "{name}");
            let other = six(address).into();
            assert_eq!(host_at(other), address, "{name}");
            assert_eq!(who_goes_to(other), who_goes_to(address.into()), "{name}");
        }
        assert_eq!(
            six(Ipv4Addr::new(10, 79, 1, 5)).to_string(),
            "fd79::1:0:0:5"
        );
        for strange in [
            "fd77::1",
            "fd79::1:0:1:5",
            "fd7a::1:0:0:5",
            "fd79:1::1:0:0:5",
        ] {
            let strange = strange.parse().expect("an address");
            assert_eq!(host_at(strange), strange);
        }
        let peers = torrent_peers(600);
        assert!(peers.iter().all(|peer| who_goes_to(*peer) == TORRENT));
        let answering = peers.iter().filter(|peer| answers(**peer)).count();
        assert_eq!(answering, 200);
        let all = telemetry_peers();
        assert!(all.iter().all(|peer| who_goes_to(*peer) == TELEMETRY));
    }

    #[test]
    fn no_two_ends_have_one_address() {
        let hosts = hosts().into_iter().map(|host| host.address.into());
        let peers = torrent_peers(300).into_iter().chain(telemetry_peers());
        let mut addresses: Vec<_> = hosts.chain(peers.map(host_at)).collect();
        let all = addresses.len();
        addresses.sort_unstable();
        addresses.dedup();
        assert_eq!(addresses.len(), all);
    }
}
