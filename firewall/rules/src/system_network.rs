//! This machine's own network: what rules must not cut it off from. Asks the system, as [`crate::SystemResolver`] does.

#[cfg(target_os = "linux")]
pub use linux::own_network;

/// Nothing of it is known here.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn own_network() -> crate::OwnNetwork {
    crate::OwnNetwork::default()
}

#[cfg(target_os = "linux")]
mod linux {
    use crate::{Login, OwnNetwork};
    use nix::ifaddrs::getifaddrs;
    use std::fs;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    /// Files that name resolvers: what programs read, and what stands behind systemd's own answerer.
    const RESOLVERS: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];

    /// This machine, as far as it can be seen from this thread's network namespace: what can't be read is left out.
    #[must_use]
    pub fn own_network() -> OwnNetwork {
        let lines = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let v4 = lines("/proc/thread-self/net/route");
        let v6 = lines("/proc/thread-self/net/ipv6_route");
        let mut routers: Vec<_> = v4.lines().filter_map(router_v4).collect();
        routers.extend(v6.lines().filter_map(router_v6));
        let resolvers = RESOLVERS.iter().flat_map(|path| {
            let text = lines(path);
            text.lines().filter_map(resolver).collect::<Vec<_>>()
        });
        OwnNetwork {
            addresses: addresses(),
            routers,
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

    /// `eth0 00000000 0101A8C0 …`: of the default, the gateway as the machine has the number.
    fn router_v4(line: &str) -> Option<IpAddr> {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (to, by) = (fields.next()?, fields.next()?);
        let gateway = Ipv4Addr::from(u32::from_str_radix(by, 16).ok()?.to_ne_bytes());
        (to == "00000000" && !gateway.is_unspecified()).then_some(gateway.into())
    }

    /// `0…0 00 0…0 00 fe80…01 …`
    fn router_v6(line: &str) -> Option<IpAddr> {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let [to, "00", _, _, by, ..] = fields.as_slice() else {
            return None;
        };
        let number = |text: &str| u128::from_str_radix(text, 16).ok();
        let gateway = Ipv6Addr::from_bits(number(by)?);
        (number(to)? == 0 && !gateway.is_unspecified()).then_some(gateway.into())
    }

    /// `nameserver fe80::1%eth0`. One on this machine is asked by no device.
    fn resolver(line: &str) -> Option<IpAddr> {
        let mut words = line.split_ascii_whitespace();
        let name = words.next().filter(|word| *word == "nameserver");
        let address = name.and(words.next())?.split('%').next()?;
        address
            .parse()
            .ok()
            .filter(|found: &IpAddr| !found.is_loopback())
    }

    /// What sshd says of its connection: here, or to a parent of ours whose environment `sudo` has cleared away.
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

    /// `203.0.113.7 50000 192.0.2.5 22`
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
            let v4 = format!(
                "eth0\t00000000\t{:08X}\t0003",
                u32::from_ne_bytes([192, 168, 1, 1])
            );
            assert_eq!(router_v4(&v4), address("192.168.1.1"));
            assert_eq!(router_v4("Iface\tDestination\tGateway"), None);
            assert_eq!(router_v4("eth0\t0001A8C0\t00000000\t0001"), None);
            let zeros = "0".repeat(32);
            let by = "fe800000000000000000000000000001";
            let v6 = format!("{zeros} 00 {zeros} 00 {by} 00000400 1 0 3 eth0");
            assert_eq!(router_v6(&v6), address("fe80::1"));
            let none = format!("{zeros} 00 {zeros} 00 {zeros} 00000400 1 0 3 lo");
            assert_eq!(router_v6(&none), None);
            assert_eq!(resolver("nameserver 9.9.9.9 # x"), address("9.9.9.9"));
            assert_eq!(resolver("nameserver fe80::1%eth0"), address("fe80::1"));
            assert_eq!(resolver("nameserver 127.0.0.53"), None);
            assert_eq!(resolver("search example"), None);
            let said =
                login("203.0.113.7 50000 192.0.2.5 22").map(|login| (login.from.1, login.to.1));
            assert_eq!(said, Some((50000, 22)));
            assert_eq!(login("::1 50000 ::1 22"), None);
            assert_eq!(login("nonsense"), None);
        }
    }
}
