//! Addresses, gateways, resolvers and remote login of this machine, read from Linux.

use super::default_routes::gateways;
use crate::{Login, OwnNetwork};
use nix::ifaddrs::getifaddrs;
use std::fs;
use std::net::IpAddr;

/// Files that name this machine's DNS resolvers: the one that programs read, and those of systemd-resolved and
/// NetworkManager, which have the real ones where the first has an address of this machine.
pub const RESOLVER_FILES: [&str; 3] = [
    "/etc/resolv.conf",
    "/run/systemd/resolve/resolv.conf",
    "/run/NetworkManager/no-stub-resolv.conf",
];

/// Reads this machine's own network, as seen from this thread's network namespace: what can't be read is left out.
#[must_use]
pub fn own_network() -> OwnNetwork {
    let resolvers = RESOLVER_FILES.iter().flat_map(|path| {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().filter_map(resolver).collect::<Vec<_>>()
    });
    OwnNetwork {
        addresses: addresses(),
        routers: gateways().unwrap_or_default(),
        resolvers: resolvers.collect(),
        login: connection().as_deref().and_then(login),
    }
}

fn addresses() -> Vec<(IpAddr, String)> {
    let found = getifaddrs().into_iter().flatten();
    let found = found.filter_map(|one| {
        let address = one.address?;
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        let address = v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))?;
        (!address.is_loopback()).then_some((address, one.interface_name))
    });
    found.collect()
}

/// Parses a line like `nameserver fe80::1%eth0`. A resolver on this machine is left out: it is asked by no device.
fn resolver(line: &str) -> Option<IpAddr> {
    let mut words = line.split_ascii_whitespace();
    let name = words.next().filter(|word| *word == "nameserver");
    let address = name.and(words.next())?.split('%').next()?;
    address
        .parse()
        .ok()
        .filter(|found: &IpAddr| !found.is_loopback())
}

/// Returns sshd's description of its connection (`SSH_CONNECTION`): from this process's environment, or from a
/// parent's, as `sudo` clears it.
fn connection() -> Option<String> {
    const NAME: &str = "SSH_CONNECTION";
    const MOST: usize = 16;
    if let Ok(here) = std::env::var(NAME) {
        return Some(here);
    }
    let mut process = std::process::id();
    for _ in 0..MOST {
        let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
        process = parent.trim().parse().ok().filter(|parent| *parent > 1)?;
        let environment = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        let said = environment.split(|byte| *byte == 0).find_map(|entry| {
            let text = std::str::from_utf8(entry).ok()?;
            text.strip_prefix(NAME)?
                .strip_prefix('=')
                .map(str::to_owned)
        });
        if said.is_some() {
            return said;
        }
    }
    None
}

/// Parses sshd's description of a connection: `203.0.113.7 50000 192.0.2.5 22`.
fn login(said: &str) -> Option<Login> {
    let mut words = said.split_ascii_whitespace();
    let mut end = || {
        let address: IpAddr = words.next()?.split('%').next()?.parse().ok()?;
        Some((address.to_canonical(), words.next()?.parse().ok()?))
    };
    let (from, to) = (end()?, end()?);
    (!from.0.is_loopback()).then_some(Login { from, to })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_of_its_network_is_read() {
        let address = |text: &str| text.parse::<IpAddr>().ok();
        assert_eq!(resolver("nameserver 9.9.9.9 # x"), address("9.9.9.9"));
        assert_eq!(resolver("nameserver fe80::1%eth0"), address("fe80::1"));
        assert_eq!(resolver("nameserver 127.0.0.53"), None);
        assert_eq!(resolver("search example"), None);
        let said = login("203.0.113.7 50000 192.0.2.5 22").map(|login| (login.from.1, login.to.1));
        assert_eq!(said, Some((50000, 22)));
        assert_eq!(login("::1 50000 ::1 22"), None);
        assert_eq!(login("nonsense"), None);
    }
}
