//! The wireless network that a device is in, as the kernel tells it by nl80211, a family of generic netlink.

use super::RoutesUnknown;
use super::netlink::{ATTRIBUTE, Socket, attributes_of, u16_at};
use crate::WirelessNetwork;
use nix::libc;
use std::path::Path;

/// `struct genlmsghdr` in bytes: a command, a version, and two that mean nothing.
const ABOUT: usize = 4;

/// The family of generic netlink that knows the others, what it is asked, and its attributes.
const FAMILIES: u16 = 16;
const GET_FAMILY: u8 = 3;
const FAMILY_NUMBER: u16 = 1;
const FAMILY_NAME: u16 = 2;
const VERSION: u8 = 1;

/// The kernel's family of messages about wireless devices, its request for one, and attributes of one.
const WIRELESS: &[u8] = b"nl80211\0";
const GET_DEVICE: u8 = 5;
const DEVICE: u16 = 3;
const SSID: u16 = 52;

/// Returns the wireless network that the device with this number and name is in. A device that is not wireless is not
/// asked about: the kernel would load its support for wireless devices to answer,
/// and look for it each time where there is none.
pub fn wireless_network_of(device: u32, name: &str) -> WirelessNetwork {
    if is_wired(name) {
        return WirelessNetwork::None;
    }
    let told = Socket::to_ask_families().and_then(|socket| asked(&socket, device));
    told.unwrap_or(WirelessNetwork::Unknown)
}

/// Returns whether the kernel lists this device, and not as a wireless one.
fn is_wired(name: &str) -> bool {
    let device = Path::new("/sys/class/net").join(name);
    device.exists() && !device.join("phy80211").exists()
}

fn asked(socket: &Socket, device: u32) -> Result<WirelessNetwork, RoutesUnknown> {
    let family = question(GET_FAMILY, FAMILY_NAME, WIRELESS);
    let Some(family) = answer(socket, FAMILIES, &family, family_in)? else {
        return Ok(WirelessNetwork::None);
    };
    let about = question(GET_DEVICE, DEVICE, &device.to_ne_bytes());
    let ssid = answer(socket, family, &about, ssid_in)?;
    Ok(ssid.map_or(WirelessNetwork::None, WirelessNetwork::In))
}

/// Returns the kernel's answer to this question; none: it knows nothing of that kind.
fn answer<T>(
    socket: &Socket,
    kind: u16,
    question: &[u8],
    read: impl Fn(&[u8]) -> Option<T>,
) -> Result<Option<T>, RoutesUnknown> {
    socket.ask(kind, 0, question)?;
    let mut found = None;
    let told = socket.answered(|_, body| found = read(body));
    match told {
        Err(RoutesUnknown::Refused(cause)) if is_no_such_thing(&cause) => Ok(None),
        told => told.map(|()| found),
    }
}

/// There is no such family, where the kernel knows no wireless devices, or the device is none.
fn is_no_such_thing(cause: &std::io::Error) -> bool {
    let none = [libc::ENOENT, libc::ENODEV, libc::EINVAL, libc::EOPNOTSUPP];
    cause
        .raw_os_error()
        .is_some_and(|cause| none.contains(&cause))
}

fn question(command: u8, attribute: u16, value: &[u8]) -> Vec<u8> {
    let mut body = vec![command, VERSION, 0, 0];
    body.extend(((ATTRIBUTE + value.len()) as u16).to_ne_bytes());
    body.extend(attribute.to_ne_bytes());
    body.extend(value);
    body
}

fn family_in(body: &[u8]) -> Option<u16> {
    u16_at(attributes_of(body.get(ABOUT..)?, FAMILY_NUMBER)?, 0)
}

/// A name of no letters is that of a network that hides, or of none.
fn ssid_in(body: &[u8]) -> Option<Vec<u8>> {
    let ssid = attributes_of(body.get(ABOUT..)?, SSID)?;
    (!ssid.is_empty()).then(|| ssid.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

    use super::*;
    use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};
    use std::os::fd::AsRawFd;

    /// The number that the family of wireless devices has here.
    const NUMBER: u16 = 0x1c;

    /// A message of the kernel's: a kind, and what it is about.
    type Said = (u16, Vec<u8>);

    fn with_attribute(command: u8, attribute: u16, value: &[u8]) -> Vec<u8> {
        let mut body = question(command, attribute, value);
        body.resize(body.len().next_multiple_of(4), 0);
        body
    }

    fn family() -> Said {
        let body = with_attribute(1, FAMILY_NUMBER, &NUMBER.to_ne_bytes());
        (FAMILIES, body)
    }

    fn wireless_device(ssid: Option<&[u8]>) -> Said {
        let mut body = with_attribute(7, DEVICE, &3_u32.to_ne_bytes());
        if let Some(ssid) = ssid {
            body.extend(&with_attribute(0, SSID, ssid)[ABOUT..]);
        }
        (NUMBER, body)
    }

    fn refused(cause: i32) -> Said {
        let body = (-cause).to_ne_bytes().to_vec();
        (libc::NLMSG_ERROR as u16, body)
    }

    /// Returns the wireless network of the device 3 where the kernel says this. There are no wireless devices here: it
    /// is a stand-in for the kernel, which takes the very questions that it would take and no others.
    fn known(said: &[Said]) -> Result<WirelessNetwork, RoutesUnknown> {
        let (kernel, us) = socketpair(
            AddressFamily::Unix,
            SockType::Datagram,
            None,
            SockFlag::SOCK_NONBLOCK,
        )
        .unwrap();
        // As the kernel, it has answered by the time that the question is sent.
        for (kind, body) in said {
            let mut message = ((16 + body.len()) as u32).to_ne_bytes().to_vec();
            message.extend(kind.to_ne_bytes());
            message.extend([0; 10]);
            message.extend(body);
            send(kernel.as_raw_fd(), &message, MsgFlags::empty()).unwrap();
        }
        let known = asked(&Socket::of(us), 3);
        let questions = [
            (16, b"\x03\x01\0\0\x0c\0\x02\0nl80211\0".to_vec()),
            (NUMBER, b"\x05\x01\0\0\x08\0\x03\0\x03\0\0\0".to_vec()),
        ];
        for (kind, body) in questions.iter().take(said.len()) {
            let mut question = [0; 256];
            let length = recv(kernel.as_raw_fd(), &mut question, MsgFlags::empty()).unwrap();
            assert_eq!(u16_at(&question, 4), Some(*kind));
            assert_eq!(u16_at(&question, 6), Some(libc::NLM_F_REQUEST as u16));
            assert_eq!(question[16..length], body[..]);
        }
        assert!(recv(kernel.as_raw_fd(), &mut [0; 1], MsgFlags::empty()).is_err());
        known
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn a_device_is_in_the_wireless_network_that_the_kernel_names_and_in_none_where_it_names_none() {
        let name = &b"Caf\xc3\xa9 \xff"[..];
        let home = known(&[family(), wireless_device(Some(name))]).unwrap();
        assert_eq!(home, WirelessNetwork::In(name.to_owned()));
        for said in [
            vec![refused(libc::ENOENT)],
            vec![family(), refused(libc::ENODEV)],
            vec![family(), wireless_device(None)],
            vec![family(), wireless_device(Some(b""))],
        ] {
            assert_eq!(known(&said).unwrap(), WirelessNetwork::None, "{said:?}");
        }
        // That it does not say is no word that there is none.
        for said in [
            vec![refused(libc::EPERM)],
            vec![family(), refused(libc::ENOMEM)],
        ] {
            assert!(known(&said).is_err(), "{said:?}");
        }
    }

    #[test]
    fn the_loopback_device_is_in_no_wireless_network_and_nobody_is_asked() {
        assert_eq!(wireless_network_of(1, "lo"), WirelessNetwork::None);
        assert!(is_wired("lo") && !is_wired("gb-is-not-here"));
        // The kernel takes the question for a family, of one that each kernel has.
        let socket = Socket::to_ask_families().unwrap();
        let family = question(GET_FAMILY, FAMILY_NAME, b"nlctrl\0");
        let number = answer(&socket, FAMILIES, &family, family_in).unwrap();
        assert_eq!(number, Some(FAMILIES));
    }

    #[test]
    fn any_bytes_in_place_of_a_wireless_device_are_read_to_their_end() {
        let whole = with_attribute(7, SSID, b"home");
        for cut in 0..whole.len() {
            let _any = (ssid_in(&whole[..cut]), family_in(&whole[..cut]));
            for bits in [0x00, 0x01, 0x04, 0xFF] {
                let mut other = whole.clone();
                other[cut] = bits;
                let _any = (ssid_in(&other), family_in(&other));
            }
        }
    }
}
