//! Addresses, gateways, resolvers and remote login of this machine, read from Linux.

use super::default_routes::gateways;
use super::other_names::other_names;
use crate::system_resolver::read_beginning;
use crate::{Login, OwnNetwork};
use nix::ifaddrs::getifaddrs;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

/// Files that name this machine's DNS resolvers: the one that programs read, and those of systemd-resolved and
/// NetworkManager, which have the real ones where the first has an address of this machine.
const RESOLVER_FILES: [&str; 3] = [
    "/etc/resolv.conf",
    "/run/systemd/resolve/resolv.conf",
    "/run/NetworkManager/no-stub-resolv.conf",
];

/// Reads the files that name this machine's DNS resolvers: of one that is not there, or is no file, nothing.
#[must_use]
pub fn resolver_files() -> [String; 3] {
    RESOLVER_FILES.map(|file| read(Path::new(file)))
}

/// Reads the beginning of a file that another user may write (systemd-resolved has one of its own): what is put in its
/// place and would be waited for, as a pipe, is passed over.
fn read(path: &Path) -> String {
    const MOST: u64 = 64 * 1024;
    let bytes = read_beginning(path, MOST).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads this machine's own network, as seen from this thread's network namespace: what can't be read is left out.
#[must_use]
pub fn own_network() -> OwnNetwork {
    let files = resolver_files();
    let resolvers = files.iter().flat_map(|text| text.lines());
    let resolvers = resolvers.filter_map(resolver);
    OwnNetwork {
        addresses: addresses(),
        other_names: other_names().unwrap_or_default(),
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
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_the_place_of_a_file_of_resolvers_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let (file, pipe) = (folder.path().join("file"), folder.path().join("pipe"));
        fs::write(&file, "nameserver 192.0.2.53\n").unwrap();
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let (done, says) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let paths = [file, pipe, "/dev/tty".into(), "/dev/zero".into()];
            done.send(paths.map(|path| read(&path)))
        });
        let found = says.recv_timeout(std::time::Duration::from_secs(5));
        let none = String::new;
        let expected = ["nameserver 192.0.2.53\n".into(), none(), none(), none()];
        assert_eq!(found.unwrap(), expected);
    }

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
