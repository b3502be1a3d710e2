//! Default routes of this thread's network namespace, read from the kernel by rtnetlink.
//!
//! What the kernel does not report is not known: half an answer is none, and one that was changed while it was read is
//! requested again.

use super::RoutesUnknown;
use super::connection::connection_of;
use super::netlink::{
    ATTRIBUTE, CREATE, DUMP, Socket, attributes, attributes_of, once_unchanged, u16_at, u32_at,
};
use super::wireless::wireless_network_of;
use crate::{ActiveConnection, DefaultRoute, GatewayHardware, HardwareAddress, WirelessNetwork};
use nix::libc;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Sizes, in bytes, of `struct ifinfomsg`, of `struct rtmsg` and `struct ndmsg`, and of `struct rtnexthop`.
const ABOUT_DEVICE: usize = 16;
const ABOUT: usize = 12;
const NEXT_HOP: usize = 8;

const NEW_DEVICE: u16 = libc::RTM_NEWLINK;
const GET_DEVICE: u16 = libc::RTM_GETLINK;
const NEW_ROUTE: u16 = libc::RTM_NEWROUTE;
const GET_ROUTE: u16 = libc::RTM_GETROUTE;
const NEW_NEIGHBOUR: u16 = libc::RTM_NEWNEIGH;
const GET_NEIGHBOUR: u16 = libc::RTM_GETNEIGH;

/// Attribute types of a device, of a route and of a neighbour.
const NAME: u16 = libc::IFLA_IFNAME;
const OUT_DEVICE: u16 = libc::RTA_OIF;
const GATEWAY: u16 = libc::RTA_GATEWAY;
const SEVERAL: u16 = libc::RTA_MULTIPATH;
const VIA: u16 = 18;
const DESTINATION: u16 = libc::NDA_DST;
const HARDWARE: u16 = libc::NDA_LLADDR;

/// Flags of a next hop that can't be used by now: its device is down, or has no carrier.
const DOWN: u32 = 1 | 16;
/// States in which a neighbour's hardware address is known.
const KNOWN: u16 = 0x02 | 0x04 | 0x08 | 0x10 | 0x40 | 0x80;
/// Flags of a device whose ends have no hardware addresses of their own.
const NO_HARDWARE: u32 = (libc::IFF_NOARP | libc::IFF_POINTOPOINT | libc::IFF_LOOPBACK) as u32;
/// Flag (`NTF_USE`) that has the kernel look for a neighbour.
const LOOK_FOR_IT: u8 = 1;

/// Reads the present default routes, of IPv4 and IPv6.
///
/// # Errors
/// Fails if the kernel does not tell them all: then nothing is known of any route.
pub fn default_routes() -> Result<Vec<DefaultRoute>, RoutesUnknown> {
    once_unchanged(routes_of_now)
}

/// Reads the gateways of the present default routes.
pub fn gateways() -> Result<Vec<IpAddr>, RoutesUnknown> {
    once_unchanged(|| {
        let hops = hops_of_now(&Socket::to_ask()?)?;
        Ok(hops.into_iter().filter_map(|hop| hop.gateway).collect())
    })
}

/// Reads the routes once, on a socket of its own: the rest of an answer that was changed may still be queued on the
/// last one.
fn routes_of_now() -> Result<Vec<DefaultRoute>, RoutesUnknown> {
    let socket = Socket::to_ask()?;
    let hops = hops_of_now(&socket)?;
    let mut devices = HashMap::new();
    let mut routes = Vec::with_capacity(hops.len());
    for Hop { index, gateway } in hops {
        let device = match devices.entry(index) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(device_of(&socket, index)?),
        };
        // A device that is gone by now leads nowhere.
        let Some(Device {
            name,
            has_hardware,
            wireless,
            connection,
        }) = device
        else {
            continue;
        };
        let hardware = match gateway {
            Some(gateway) if *has_hardware => hardware_of(&socket, index, gateway)?,
            _ => GatewayHardware::None,
        };
        let route = DefaultRoute {
            device: name.clone(),
            index,
            gateway,
            hardware,
            wireless: wireless.clone(),
            connection: connection.clone(),
        };
        if !routes.contains(&route) {
            routes.push(route);
        }
    }
    Ok(routes)
}

/// Reads the next hops of the default routes of IPv4 and IPv6.
fn hops_of_now(socket: &Socket) -> Result<Vec<Hop>, RoutesUnknown> {
    let mut hops = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let mut about = [0; ABOUT];
        about[0] = family as u8;
        about[4] = libc::RT_TABLE_MAIN;
        socket.ask(GET_ROUTE, DUMP, &about)?;
        socket.answered(|kind, body| {
            if kind == NEW_ROUTE {
                hops.extend(next_hops(body));
            }
        })?;
    }
    Ok(hops)
}

/// Has the kernel look for the hardware address of this route's gateway, as it would to send a packet there.
///
/// # Errors
/// Fails if the kernel can't be asked.
pub fn look_for_gateway(route: &DefaultRoute) -> Result<(), RoutesUnknown> {
    let Some(gateway) = route.gateway else {
        return Ok(());
    };
    let body = neighbour(route.index, gateway, LOOK_FOR_IT);
    Socket::to_ask()?.ask(NEW_NEIGHBOUR, CREATE, &body)
}

/// A network device that routes go by.
#[derive(Debug, PartialEq, Eq)]
struct Device {
    name: String,
    /// `true` if its neighbours have Ethernet addresses, and the kernel keeps them.
    has_hardware: bool,
    /// The wireless network that it is in.
    wireless: WirelessNetwork,
    /// NetworkManager's connection of it.
    connection: ActiveConnection,
}

/// Reads the device with this index; `None` if it is gone.
fn device_of(socket: &Socket, index: u32) -> Result<Option<Device>, RoutesUnknown> {
    let mut about = [0; ABOUT_DEVICE];
    about[4..8].copy_from_slice(&index.to_ne_bytes());
    socket.ask(GET_DEVICE, 0, &about)?;
    let mut found = None;
    let told = socket.answered(|kind, body| {
        if kind == NEW_DEVICE {
            found = device_in(body);
        }
    });
    match told {
        Err(RoutesUnknown::Refused(cause)) if cause.raw_os_error() == Some(libc::ENODEV) => {
            Ok(None)
        }
        told => {
            told?;
            Ok(found.map(|device| Device {
                wireless: wireless_network_of(index, &device.name),
                connection: connection_of(index, &device.name),
                ..device
            }))
        }
    }
}

/// Reads the device in a message; neither in which wireless network it is nor which connection it has.
fn device_in(body: &[u8]) -> Option<Device> {
    let (kind, flags) = (u16_at(body, 2)?, u32_at(body, 8)?);
    let name = attributes_of(body.get(ABOUT_DEVICE..)?, NAME)?;
    let name = name.split(|byte| *byte == 0).next()?;
    Some(Device {
        name: String::from_utf8_lossy(name).into_owned(),
        has_hardware: kind == libc::ARPHRD_ETHER && flags & NO_HARDWARE == 0,
        wireless: WirelessNetwork::Unknown,
        connection: ActiveConnection::Unknown,
    })
}

/// Next hop of a route.
#[derive(Debug, PartialEq, Eq)]
struct Hop {
    index: u32,
    gateway: Option<IpAddr>,
}

/// Returns the next hops of a usable default route of the main table; none of any other route.
fn next_hops(body: &[u8]) -> Vec<Hop> {
    let [_, to, from, _, table, _, _, kind, ..] = body else {
        return Vec::new();
    };
    let flags = u32_at(body, 8).unwrap_or(DOWN);
    let is_default = (*to, *from) == (0, 0) && *table == libc::RT_TABLE_MAIN;
    if !is_default || *kind != libc::RTN_UNICAST || flags & DOWN != 0 {
        return Vec::new();
    }
    let rest = body.get(ABOUT..).unwrap_or_default();
    let several = attributes(rest).find(|(kind, _)| *kind == SEVERAL);
    match several {
        Some((_, hops)) => several_hops(hops),
        None => {
            let index = attributes_of(rest, OUT_DEVICE).and_then(|value| u32_at(value, 0));
            let hop = index.map(|index| Hop {
                index,
                gateway: gateway_in(rest),
            });
            hop.into_iter().collect()
        }
    }
}

/// Decodes a list of `struct rtnexthop`: length, flags, weight, device, then attributes.
fn several_hops(mut bytes: &[u8]) -> Vec<Hop> {
    let mut hops = Vec::new();
    while let Some(length) = u16_at(bytes, 0).map(usize::from)
        && let Some(attributes) = bytes.get(NEXT_HOP..length)
        && let (Some(flags), Some(index)) = (bytes.get(2), u32_at(bytes, 4))
    {
        if u32::from(*flags) & DOWN == 0 {
            hops.push(Hop {
                index,
                gateway: gateway_in(attributes),
            });
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    hops
}

fn gateway_in(attributes: &[u8]) -> Option<IpAddr> {
    let plain = attributes_of(attributes, GATEWAY).and_then(address);
    // Behind its family, of another version than the route's.
    plain.or_else(|| address(attributes_of(attributes, VIA)?.get(2..)?))
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|v4| IpAddr::V4(Ipv4Addr::from(v4)));
    let address = v4
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(|v6| IpAddr::V6(Ipv6Addr::from(v6))))
        .ok()?;
    (!address.is_unspecified()).then_some(address)
}

/// Reads the hardware address of a neighbour.
fn hardware_of(
    socket: &Socket,
    index: u32,
    gateway: IpAddr,
) -> Result<GatewayHardware, RoutesUnknown> {
    let mut found = GatewayHardware::Unknown;
    socket.ask(GET_NEIGHBOUR, 0, &neighbour(index, gateway, 0))?;
    let told = socket.answered(|kind, body| {
        if kind == NEW_NEIGHBOUR {
            found = hardware_in(body);
        }
    });
    // None of this address is known, and that is what the kernel says then.
    Ok(told.map_or(GatewayHardware::Unknown, |()| found))
}

fn hardware_in(body: &[u8]) -> GatewayHardware {
    if u16_at(body, 8).is_none_or(|state| state & KNOWN == 0) {
        return GatewayHardware::Unknown;
    }
    let attributes = body.get(ABOUT..).unwrap_or_default();
    let bytes = attributes_of(attributes, HARDWARE).and_then(|bytes| bytes.try_into().ok());
    // What is known and is no such address, or none, is no Ethernet's.
    bytes.map_or(GatewayHardware::None, |bytes| {
        GatewayHardware::Is(HardwareAddress(bytes))
    })
}

/// Encodes a `struct ndmsg` and the address of the neighbour.
fn neighbour(index: u32, address: IpAddr, flags: u8) -> Vec<u8> {
    let (family, bytes) = match address {
        IpAddr::V4(v4) => (libc::AF_INET, v4.octets().to_vec()),
        IpAddr::V6(v6) => (libc::AF_INET6, v6.octets().to_vec()),
    };
    let mut body = vec![family as u8, 0, 0, 0];
    body.extend(index.to_ne_bytes());
    // No state of its own; the flags; the type.
    body.extend([0, 0, flags, 0]);
    let length = (ATTRIBUTE + bytes.len()) as u16;
    body.extend(length.to_ne_bytes());
    body.extend(DESTINATION.to_ne_bytes());
    body.extend(bytes);
    body
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

    use super::super::netlink::split;
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = ((ATTRIBUTE + value.len()) as u16).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn route(to: u8, table: u8, kind: u8, flags: u32, attributes: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = vec![2, to, 0, 0, table, 0, 0, kind];
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(attributes.concat());
        bytes
    }

    fn hop(index: u32, gateway: Option<[u8; 4]>) -> Hop {
        Hop {
            index,
            gateway: gateway.map(IpAddr::from),
        }
    }

    #[test]
    fn a_default_route_is_read_with_each_of_its_gateways_and_any_other_is_passed_over() {
        let device = |index: u32| attribute(OUT_DEVICE, &index.to_ne_bytes());
        let by = attribute(GATEWAY, &[192, 0, 2, 1]);
        let plain = [by.clone(), device(3)];
        assert_eq!(
            next_hops(&route(0, 254, 1, 0, &plain)),
            [hop(3, Some([192, 0, 2, 1]))]
        );
        assert_eq!(
            next_hops(&route(0, 254, 1, 0, &[device(4)])),
            [hop(4, None)]
        );
        let v6: Ipv6Addr = "fe80::1".parse().unwrap();
        let via = [&10_u16.to_ne_bytes()[..], &v6.octets()].concat();
        let through = next_hops(&route(0, 254, 1, 0, &[attribute(VIA, &via), device(3)]));
        assert_eq!(through[0].gateway, Some(v6.into()));
        let one = |index: u32, flags: u8, last: u8| {
            let gateway = attribute(GATEWAY, &[192, 0, 2, last]);
            let length = (NEXT_HOP + gateway.len()) as u16;
            let mut bytes = length.to_ne_bytes().to_vec();
            bytes.extend([flags, 0]);
            bytes.extend(index.to_ne_bytes());
            bytes.extend(gateway);
            bytes
        };
        let several = [one(3, 0, 1), one(4, 16, 2), one(5, 0, 3)].concat();
        assert_eq!(
            next_hops(&route(0, 254, 1, 0, &[attribute(SEVERAL, &several)])),
            [hop(3, Some([192, 0, 2, 1])), hop(5, Some([192, 0, 2, 3]))]
        );
        for other in [
            route(24, 254, 1, 0, &plain),
            route(0, 255, 1, 0, &plain),
            route(0, 254, 7, 0, &plain),
            route(0, 254, 1, 16, &plain),
        ] {
            assert_eq!(next_hops(&other), []);
        }
    }

    #[test]
    fn a_gateway_that_can_have_no_hardware_address_has_none_and_one_that_was_not_heard_may_have_any()
     {
        let device = |kind: u16, flags: u32, name: &[u8]| {
            let mut body = vec![0; 2];
            body.extend(kind.to_ne_bytes());
            body.extend([0; 4]);
            body.extend(flags.to_ne_bytes());
            body.extend([0; 4]);
            body.extend(attribute(NAME, name));
            device_in(&body).unwrap()
        };
        let plain = device(1, 0x1043, b"eth0\0");
        assert!(plain.has_hardware && plain.name == "eth0");
        // A tun, a modem that does as if it was Ethernet, a peer to peer link, the machine itself.
        for (kind, flags) in [(65534, 0x10D1), (1, 0x10C3), (1, 0x1053), (772, 0x49)] {
            assert!(!device(kind, flags, b"tun0\0").has_hardware, "{kind}");
        }
        let neighbour = |state: u16, address: Option<&[u8]>| {
            let mut body = vec![2, 0, 0, 0, 3, 0, 0, 0];
            body.extend(state.to_ne_bytes());
            body.extend([0; 2]);
            body.extend(
                address
                    .into_iter()
                    .flat_map(|address| attribute(HARDWARE, address)),
            );
            hardware_in(&body)
        };
        let address = [2, 0, 0, 0, 0, 1];
        let known = GatewayHardware::Is(HardwareAddress(address));
        assert_eq!(neighbour(0x02, Some(&address)), known);
        assert_eq!(neighbour(0x01, Some(&address)), GatewayHardware::Unknown);
        assert_eq!(neighbour(0x20, None), GatewayHardware::Unknown);
        for other in [None, Some(&[][..]), Some(&address[..4]), Some(&[0; 20])] {
            assert_eq!(neighbour(0x40, other), GatewayHardware::None, "{other:?}");
        }
    }

    #[test]
    fn any_bytes_in_place_of_a_route_are_read_to_their_end() {
        let device = attribute(OUT_DEVICE, &3_u32.to_ne_bytes());
        let whole = route(0, 254, 1, 0, &[device, attribute(SEVERAL, &[9; 24])]);
        for cut in 0..whole.len() {
            let _any = next_hops(&whole[..cut]);
            for bits in [0x00, 0x01, 0x04, 0xFF] {
                let mut other = whole.clone();
                other[cut] = bits;
                let _any = (next_hops(&other), split(&other).is_some());
                let _any = (device_in(&other), hardware_in(&other));
            }
        }
    }
}
