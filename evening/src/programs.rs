//! Who goes where in an evening: each program has other ends of its own, so that a connection's address says whose it is.

use std::net::{IpAddr, Ipv4Addr};

/// What all that lies outside is routed by.
pub const OUTSIDE_NETWORK: &str = "10.78.0.0/15";
/// The part of it that answers; the rest is silent, as peers are that have gone.
pub const ANSWERING: [&str; 2] = ["10.78.0.0/24", "10.79.0.0/16"];

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
/// Whatever else asks.
pub const OTHER: &str = "another";

/// A name that the resolver knows, and the address behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The name.
    pub name: String,
    /// Its address.
    pub address: Ipv4Addr,
}

/// What curl fetches from. What a person makes of it, says the name.
pub const CURLED: [&str; 5] = [
    "news.example",
    "weather.example",
    "radio.example",
    ADVERTISER,
    NOBODY_KNOWS,
];
/// Blocked by whoever is asked.
pub const ADVERTISER: &str = "ads.example";
/// Left unanswered: nobody knows what it is.
pub const NOBODY_KNOWS: &str = "cdn7.example";
/// Where apt gets its packages from.
pub const ARCHIVE: &str = "archive.example";
/// Where ssh goes.
pub const SSH_HOSTS: [&str; 2] = ["home.example", "git.example"];
/// How many names a browser goes to.
pub const SITES: u8 = 24;

/// The name of one of the browser's sites.
pub fn site(number: u8) -> String {
    format!("site{number}.example")
}

/// All names.
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

/// The peers that a torrent has: every third answers, the others are gone.
pub fn torrent_peers(count: u16) -> Vec<Ipv4Addr> {
    let each = (0..count).map(|n| {
        let last = u8::try_from(n % 250 + 1).unwrap_or(1);
        let third = if n.is_multiple_of(3) {
            0
        } else {
            1 + u8::try_from(n / 250).unwrap_or(0)
        };
        Ipv4Addr::new(10, 78, third, last)
    });
    each.collect()
}

/// Whom telemetry is sent to: as many as have an address in one network.
pub fn telemetry_peers() -> Vec<Ipv4Addr> {
    let each = (1..=250).map(|last| Ipv4Addr::new(10, 79, 5, last));
    each.collect()
}

/// The program that goes to this address.
pub fn who_goes_to(address: IpAddr) -> &'static str {
    let IpAddr::V4(address) = address else {
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

/// Whether somebody answers there.
pub fn answers(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(address) if matches!(address.octets(), [10, 78, 0, _] | [10, 79, ..]))
}

/// Whether a person lets curl get what this name has.
pub fn is_wanted(name: &str) -> bool {
    name != ADVERTISER && name != NOBODY_KNOWS
}

/// What a person calls the program of a question, by its path.
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
        }
        let peers = torrent_peers(600);
        assert!(
            peers
                .iter()
                .all(|peer| who_goes_to((*peer).into()) == TORRENT)
        );
        let answering = peers.iter().filter(|peer| answers((**peer).into())).count();
        assert_eq!(answering, 200);
        let all = telemetry_peers();
        assert!(
            all.iter()
                .all(|peer| who_goes_to((*peer).into()) == TELEMETRY)
        );
    }

    #[test]
    fn no_two_ends_have_one_address() {
        let mut addresses: Vec<_> = hosts().into_iter().map(|host| host.address).collect();
        addresses.extend(torrent_peers(300));
        addresses.extend(telemetry_peers());
        let all = addresses.len();
        addresses.sort_unstable();
        addresses.dedup();
        assert_eq!(addresses.len(), all);
    }
}
