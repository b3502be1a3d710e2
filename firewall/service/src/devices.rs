//! The zone's devices: which there are, and which came and went since we looked last.

use crate::netlink::{self, LinkMonitor};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// A device of the zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    pub index: u32,
    pub name: String,
    /// Bytes before the IP header.
    pub link_header: u32,
}

/// What happened since we looked last.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// New ones, and such that are now called otherwise.
    pub come: Vec<Device>,
    /// Those that are gone.
    pub gone: Vec<Device>,
}

/// `ARPHRD_ETHER` and its header's length; `ARPHRD_LOOPBACK`. Any other device hands over packets without a header of its
/// own: tun, WireGuard, tunnels.
const ETHERNET: u16 = 1;
const ETHERNET_HEADER: u32 = 14;
const LOOPBACK: u16 = 772;

/// The devices that we know of.
pub struct Devices {
    /// Those that the zone is limited to; empty: every one but loopback.
    named: Vec<String>,
    known: Vec<Device>,
    /// Whether one of them could not be guarded.
    behind: bool,
    bell: LinkMonitor,
}

impl Devices {
    /// Those of the network namespace that this thread is in. The bell hangs before they are listed, so that none is missed.
    pub fn watch(named: &[String]) -> io::Result<Self> {
        Ok(Self {
            named: named.to_vec(),
            known: Vec::new(),
            behind: false,
            bell: LinkMonitor::hang_up()?,
        })
    }

    /// Every device that the zone has, as far as we know.
    pub fn known(&self) -> &[Device] {
        &self.known
    }

    /// What changed; nothing unless the kernel said that something did.
    pub fn changes(&mut self) -> io::Result<Changes> {
        if self.bell.rang() {
            self.look()
        } else {
            Ok(Changes::default())
        }
    }

    /// Looks whether anything changed.
    pub fn look(&mut self) -> io::Result<Changes> {
        let now: Vec<Device> = netlink::links()?
            .into_iter()
            .filter_map(|link| self.of_zone(link))
            .collect();
        let changes = compare(&self.known, &now);
        self.known = now;
        self.behind = false;
        Ok(changes)
    }

    /// Forgets a device that could not be guarded, so that the next look finds it again.
    pub fn forget(&mut self, index: u32) {
        self.known.retain(|device| device.index != index);
        self.behind = true;
    }

    /// Whether there are such.
    pub const fn is_behind(&self) -> bool {
        self.behind
    }

    fn of_zone(&self, link: netlink::Link) -> Option<Device> {
        let asked_for = self.named.is_empty() || self.named.contains(&link.name);
        let link_header = if link.kind == ETHERNET {
            ETHERNET_HEADER
        } else {
            0
        };
        (asked_for && link.kind != LOOPBACK).then_some(Device {
            index: link.index,
            name: link.name,
            link_header,
        })
    }
}

impl AsFd for Devices {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

fn compare(before: &[Device], now: &[Device]) -> Changes {
    let come = now
        .iter()
        .filter(|device| !before.contains(device))
        .cloned()
        .collect();
    let gone = |device: &&Device| now.iter().all(|other| other.index != device.index);
    Changes {
        come,
        gone: before.iter().filter(gone).cloned().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(index: u32, name: &str) -> Device {
        Device {
            index,
            name: name.to_owned(),
            link_header: 14,
        }
    }

    #[test]
    fn a_renamed_device_comes_under_its_new_name_and_is_not_gone() {
        let changes = compare(
            &[device(2, "a"), device(3, "b")],
            &[device(2, "c"), device(4, "b")],
        );
        assert_eq!(changes.come, [device(2, "c"), device(4, "b")]);
        assert_eq!(changes.gone, [device(3, "b")]);
    }
}
