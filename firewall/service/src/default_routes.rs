//! The default routes of the zone's network namespace, as the kernel tells them by rtnetlink, and word that they change.
//!
//! Rules that hold here:
//! - What the kernel does not say is not known: half an answer is none, and one that was changed while it was read is asked for again.
//! - However often they change, they are looked at once in [`BETWEEN`] at most, and one look is due at a time.

use crate::sweep::EVERY;
use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send,
    socket,
};
use rules::{DefaultRoute, GatewayHardware, HardwareAddress};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// What changes together is looked at once: so long after the first word of it,
const SETTLE: Duration = Duration::from_millis(30);
/// and so long after the look before.
const BETWEEN: Duration = Duration::from_secs(1);

/// Bytes of one message at most, and of an answer: who has more routes is no person's machine, and is told nothing.
const MESSAGE: usize = 64 << 10;
const MOST: usize = 8 << 20;
/// How often the routes are asked for while they change meanwhile: any route's change counts, not only a default one's.
const TRIES: usize = 5;
/// Messages of changes that are thrown away at a time, before it is looked what has become of it.
const WORDS: usize = 4096;

/// `struct nlmsghdr`, `struct ifinfomsg`, `struct rtmsg` and `struct ndmsg`, `struct rtnexthop` and what stands before an attribute,
/// in bytes.
const HEADER: usize = 16;
const ABOUT_DEVICE: usize = 16;
const ABOUT: usize = 12;
const NEXT_HOP: usize = 8;
const ATTRIBUTE: usize = 4;
/// An attribute's type without its marks.
const TYPE: u16 = 0x3FFF;
/// The answer was changed while it was read.
const INTERRUPTED: u16 = 0x10;

const NEW_DEVICE: u16 = libc::RTM_NEWLINK;
const GET_DEVICE: u16 = libc::RTM_GETLINK;
const NEW_ROUTE: u16 = libc::RTM_NEWROUTE;
const GET_ROUTE: u16 = libc::RTM_GETROUTE;
const NEW_NEIGHBOUR: u16 = libc::RTM_NEWNEIGH;
const GET_NEIGHBOUR: u16 = libc::RTM_GETNEIGH;
const REQUEST: u16 = libc::NLM_F_REQUEST as u16;
const DUMP: u16 = libc::NLM_F_DUMP as u16;
const CREATE: u16 = libc::NLM_F_CREATE as u16;
const ERROR: u16 = libc::NLMSG_ERROR as u16;
const DONE: u16 = libc::NLMSG_DONE as u16;

/// Attributes of a device, of a route and of a neighbour.
const NAME: u16 = libc::IFLA_IFNAME;
const OUT_DEVICE: u16 = libc::RTA_OIF;
const GATEWAY: u16 = libc::RTA_GATEWAY;
const SEVERAL: u16 = libc::RTA_MULTIPATH;
const VIA: u16 = 18;
const DESTINATION: u16 = libc::NDA_DST;
const HARDWARE: u16 = libc::NDA_LLADDR;

/// A next hop that is none by now: its device is down, or has no carrier.
const DOWN: u32 = 1 | 16;
/// States in which a neighbour's hardware address is known.
const KNOWN: u16 = 0x02 | 0x04 | 0x08 | 0x10 | 0x40 | 0x80;
/// What a device has whose ends have no hardware addresses of their own.
const NO_HARDWARE: u32 = (libc::IFF_NOARP | libc::IFF_POINTOPOINT | libc::IFF_LOOPBACK) as u32;
/// Has the kernel look for a neighbour.
const LOOK_FOR_IT: u8 = 1;

/// Groups of what the kernel tells: devices, neighbours, routes of both versions.
const GROUPS: u32 = 0x1 | 0x4 | 0x40 | 0x400;

/// Word of changes to routes, devices and neighbours, while rules ask for networks.
#[derive(Default)]
pub struct RouteWatch {
    wanted: bool,
    /// None: nobody wants to know, or the kernel does not tell.
    socket: Option<OwnedFd>,
    due: Option<Instant>,
    looked: Option<Instant>,
}

impl RouteWatch {
    /// Begins to listen, or ends. What was there before is looked at first.
    ///
    /// # Errors
    /// The kernel does not tell. It is looked from time to time all the same.
    pub fn listen(&mut self, wanted: bool) -> Result<()> {
        if !wanted {
            *self = Self::default();
            return Ok(());
        }
        if !self.wanted {
            self.wanted = true;
            self.due = Some(Instant::now());
        }
        if self.socket.is_none() {
            self.socket = Some(open(GROUPS).context("can't listen for changes of routes")?);
        }
        Ok(())
    }

    /// What wakes the main loop once something changes; none while a look is due anyway.
    pub fn waker(&self) -> Option<BorrowedFd<'_>> {
        let socket = self.socket.as_ref().filter(|_| self.due.is_none());
        socket.map(AsFd::as_fd)
    }

    /// When it is to be looked, if it is.
    pub fn due(&self) -> Option<Duration> {
        self.due
            .map(|due| due.saturating_duration_since(Instant::now()))
    }

    /// Has it looked soon, as after a change.
    pub fn is_to_look(&mut self) {
        let soon = Instant::now() + SETTLE;
        let next = self.looked.map_or(soon, |looked| looked + BETWEEN);
        self.due.get_or_insert(soon.max(next));
    }

    /// Whether it is to be looked now: something had changed before. What changes from here on has it looked again.
    pub fn takes_turn(&mut self) -> bool {
        if !self.wanted {
            return false;
        }
        if self.due.is_none() {
            let is_old = self.looked.is_none_or(|looked| looked.elapsed() >= EVERY);
            if is_old || self.socket.as_ref().is_some_and(has_word) {
                self.is_to_look();
            }
        }
        if self.due.is_none_or(|due| Instant::now() < due) {
            return false;
        }
        if let Some(socket) = &self.socket {
            // What is left has it looked once more.
            let _rest = (0..WORDS).all(|_| has_word(socket));
        }
        self.due = None;
        self.looked = Some(Instant::now());
        true
    }
}

/// Takes a word of a change off, if there is one. One that found no room is one too.
fn has_word(socket: &OwnedFd) -> bool {
    let taken = recv(socket.as_raw_fd(), &mut [0; 1], MsgFlags::MSG_DONTWAIT);
    !matches!(taken, Err(Errno::EAGAIN))
}

/// The default routes of now, of both versions of IP.
///
/// # Errors
/// The kernel does not say: of none anything is known.
pub fn default_routes() -> Result<Vec<DefaultRoute>> {
    once_unchanged(routes_of_now)
}

/// What was read while nothing changed; or that it always did.
fn once_unchanged<T>(read: impl Fn() -> Result<T>) -> Result<T> {
    let has_changed = |told: &Result<T>| {
        let failed = told.as_ref().err();
        failed.is_some_and(|cause| cause.is::<ChangedMeanwhile>())
    };
    let mut told = read();
    for _ in 1..TRIES {
        if !has_changed(&told) {
            break;
        }
        told = read();
    }
    told
}

/// An answer was changed while the kernel told it.
#[derive(Debug)]
struct ChangedMeanwhile;

impl std::error::Error for ChangedMeanwhile {}

impl fmt::Display for ChangedMeanwhile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("routes change all the time")
    }
}

/// On a socket of its own: of an answer that was changed the rest is still to come.
fn routes_of_now() -> Result<Vec<DefaultRoute>> {
    let socket = open(0)?;
    let mut hops = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let about = [
            family as u8,
            0,
            0,
            0,
            libc::RT_TABLE_MAIN,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
        ];
        ask(&socket, GET_ROUTE, REQUEST | DUMP, &about)?;
        answered(&socket, |kind, body| {
            if kind == NEW_ROUTE {
                hops.extend(next_hops(body));
            }
        })?;
    }
    let mut devices = HashMap::new();
    let mut routes = Vec::with_capacity(hops.len());
    for Hop { index, gateway } in hops {
        let device = match devices.entry(index) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(device_of(&socket, index)?),
        };
        // A device that is gone by now leads nowhere.
        let Some(Device { name, has_hardware }) = device else {
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
        };
        if !routes.contains(&route) {
            routes.push(route);
        }
    }
    Ok(routes)
}

/// Has the kernel look for the hardware address of this route's gateway, as it would to send something there.
pub fn look_for_gateway(route: &DefaultRoute) -> Result<()> {
    let Some(gateway) = route.gateway else {
        return Ok(());
    };
    let body = neighbour(route.index, gateway, LOOK_FOR_IT);
    ask(&open(0)?, NEW_NEIGHBOUR, REQUEST | CREATE, &body)
}

fn open(groups: u32) -> Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let protocol = SockProtocol::NetlinkRoute;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
    Ok(socket)
}

/// A device that routes go by.
#[derive(Debug, PartialEq, Eq)]
struct Device {
    name: String,
    /// Whether those whom it leads to have Ethernet addresses, and the kernel keeps them.
    has_hardware: bool,
}

/// The device with this number; none: it is gone.
fn device_of(socket: &OwnedFd, index: u32) -> Result<Option<Device>> {
    let mut about = [0; ABOUT_DEVICE];
    about[4..8].copy_from_slice(&index.to_ne_bytes());
    ask(socket, GET_DEVICE, REQUEST, &about)?;
    let mut found = None;
    let told = answered(socket, |kind, body| {
        if kind == NEW_DEVICE {
            found = device_in(body);
        }
    });
    match told {
        Err(cause) if cause.downcast_ref() == Some(&Errno::ENODEV) => Ok(None),
        told => told.map(|()| found),
    }
}

fn device_in(body: &[u8]) -> Option<Device> {
    let (kind, flags) = (u16_at(body, 2)?, u32_at(body, 8)?);
    let name = attributes_of(body.get(ABOUT_DEVICE..)?, NAME)?;
    let name = name.split(|byte| *byte == 0).next()?;
    Some(Device {
        name: String::from_utf8_lossy(name).into_owned(),
        has_hardware: kind == libc::ARPHRD_ETHER && flags & NO_HARDWARE == 0,
    })
}

fn ask(socket: &OwnedFd, kind: u16, flags: u16, body: &[u8]) -> Result<()> {
    let length = u32::try_from(HEADER + body.len())?;
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    // Neither a number nor a sender's: there is one question at a time.
    message.extend([0; 8]);
    message.extend(body);
    send(socket.as_raw_fd(), &message, MsgFlags::empty()).context("can't ask for routes")?;
    Ok(())
}

/// Hands on each message of an answer, which ends by itself or is one message.
fn answered(socket: &OwnedFd, mut take: impl FnMut(u16, &[u8])) -> Result<()> {
    let mut buffer = vec![0; MESSAGE];
    let mut whole = 0;
    loop {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
        let length = recv(socket.as_raw_fd(), &mut buffer, flags)
            .context("the kernel does not answer about its routes")?;
        whole += length;
        ensure!(whole <= MOST, "there are too many routes");
        let mut rest = buffer.get(..length).context("an answer is cut short")?;
        while !rest.is_empty() {
            let message;
            (message, rest) = split(rest).context("an answer is not whole")?;
            if message.flags & INTERRUPTED != 0 {
                return Err(ChangedMeanwhile.into());
            }
            match message.kind {
                DONE => return Ok(()),
                ERROR => return Err(error_of(message.body)).context("the kernel does not tell"),
                kind => take(kind, message.body),
            }
            if message.flags & libc::NLM_F_MULTI as u16 == 0 {
                return Ok(());
            }
        }
    }
}

struct Message<'a> {
    kind: u16,
    flags: u16,
    body: &'a [u8],
}

/// The first message, and what follows it.
fn split(bytes: &[u8]) -> Option<(Message<'_>, &[u8])> {
    let length = u32_at(bytes, 0)? as usize;
    let message = Message {
        kind: u16_at(bytes, 4)?,
        flags: u16_at(bytes, 6)?,
        body: bytes.get(HEADER..length)?,
    };
    let next = length.next_multiple_of(4).min(bytes.len());
    Some((message, bytes.get(next..)?))
}

fn error_of(body: &[u8]) -> Errno {
    let number = u32_at(body, 0).map_or(0, |number| number as i32);
    Errno::from_raw(number.saturating_neg())
}

/// Where a route leads next.
#[derive(Debug, PartialEq, Eq)]
struct Hop {
    index: u32,
    gateway: Option<IpAddr>,
}

/// Of a default route of the main table that leads somewhere: where.
fn next_hops(body: &[u8]) -> Vec<Hop> {
    let [_, to, from, _, table, _, _, kind, ..] = body else {
        return Vec::new();
    };
    let flags = u32_at(body, 8).unwrap_or(DOWN);
    let is_default = (*to, *from) == (0, 0) && *table == libc::RT_TABLE_MAIN;
    if !is_default || *kind != libc::RTN_UNICAST || flags & DOWN != 0 {
        return Vec::new();
    }
    let attributes = body.get(ABOUT..).unwrap_or_default();
    let several = self::attributes(attributes).find(|(kind, _)| *kind == SEVERAL);
    match several {
        Some((_, hops)) => several_hops(hops),
        None => {
            let index = attributes_of(attributes, OUT_DEVICE).and_then(|value| u32_at(value, 0));
            let hop = index.map(|index| Hop {
                index,
                gateway: gateway_in(attributes),
            });
            hop.into_iter().collect()
        }
    }
}

/// `struct rtnexthop`: length, flags, weight, device, then attributes.
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

fn attributes_of(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(bytes)
        .find(|(kind, _)| *kind == wanted)
        .map(|(_, value)| value)
}

fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        let found = (u16_at(bytes, 2)? & TYPE, bytes.get(ATTRIBUTE..length)?);
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(found)
    })
}

/// The hardware address of this neighbour.
fn hardware_of(socket: &OwnedFd, index: u32, gateway: IpAddr) -> Result<GatewayHardware> {
    let mut found = GatewayHardware::Unknown;
    ask(
        socket,
        GET_NEIGHBOUR,
        REQUEST,
        &neighbour(index, gateway, 0),
    )?;
    let told = answered(socket, |kind, body| {
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

/// `struct ndmsg` and the address that it is about.
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

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_ne_bytes(*bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

    use super::*;
    use nix::sys::socket::socketpair;

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
    fn routes_that_change_while_they_are_read_are_read_again_and_half_an_answer_is_none() {
        let (kernel, us) = socketpair(
            AddressFamily::Unix,
            SockType::Datagram,
            None,
            SockFlag::SOCK_NONBLOCK,
        )
        .unwrap();
        let tell = |flags: u16| {
            let mut message = (HEADER as u32).to_ne_bytes().to_vec();
            message.extend(DONE.to_ne_bytes());
            message.extend((flags | libc::NLM_F_MULTI as u16).to_ne_bytes());
            message.extend([0; 8]);
            send(kernel.as_raw_fd(), &message, MsgFlags::empty()).unwrap();
        };
        let read = || answered(&us, |_, _| ());
        (1..TRIES).for_each(|_| tell(INTERRUPTED));
        tell(0);
        once_unchanged(read).unwrap();
        (0..TRIES).for_each(|_| tell(INTERRUPTED));
        assert!(once_unchanged(read).unwrap_err().is::<ChangedMeanwhile>());
        // What fails otherwise fails at once.
        assert!(once_unchanged(read).is_err());
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

    #[test]
    fn however_often_routes_change_they_are_looked_at_once_a_second_and_not_forgotten() {
        let mut watch = RouteWatch::default();
        assert!(!watch.takes_turn() && watch.due().is_none());
        watch.listen(true).unwrap();
        assert!(watch.takes_turn(), "what was there before");
        watch.is_to_look();
        let due = watch.due;
        assert!(due.unwrap() >= watch.looked.unwrap() + BETWEEN);
        for _ in 0..1000 {
            watch.is_to_look();
            assert!(watch.waker().is_none(), "one look is due, and nobody wakes");
        }
        assert_eq!(watch.due, due, "none puts it off");
        watch.due = Some(Instant::now() + Duration::from_secs(600));
        assert!(!watch.takes_turn());
        watch.looked = Instant::now().checked_sub(BETWEEN);
        watch.due = Some(Instant::now());
        assert!(watch.takes_turn() && watch.waker().is_some());
        watch.listen(false).unwrap();
        assert!(watch.waker().is_none() && watch.due().is_none());
    }
}
