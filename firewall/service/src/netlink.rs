//! The few words that we speak with the kernel's network: which devices there are, that something changed with them, and
//! what stands in the way of a device's packets.
//!
//! Messages are framed by a library; of their contents only the few bytes are read that are used, so that a kernel that says
//! more than today's can't confuse us.

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR};
use netlink_packet_core::{NetlinkBuffer, NlasIterator};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::libc::{
    IFLA_IFNAME, MSG_DONTWAIT, RTM_DELQDISC, RTM_GETLINK, RTM_GETTFILTER, RTM_NEWLINK,
    RTM_NEWTFILTER, RTMGRP_LINK,
};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// A device as the kernel lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    /// `ARPHRD_`.
    pub kind: u16,
    pub name: String,
}

/// Every device of the network namespace that this thread is in.
pub fn links() -> io::Result<Vec<Link>> {
    let mut links = Vec::new();
    ask(RTM_GETLINK, NLM_F_DUMP, &[0; LINK_HEADER], |kind, body| {
        if kind == RTM_NEWLINK {
            links.extend(link(body));
        }
    })?;
    Ok(links)
}

/// Whether any filter at all stands at one of the device's two hooks.
pub fn has_filters(index: u32) -> io::Result<bool> {
    let mut found = false;
    for parent in [INGRESS, EGRESS] {
        // A hook whose chain nobody ever used says so by an entry without a handle.
        let met = ask(
            RTM_GETTFILTER,
            NLM_F_DUMP,
            &tc(index, 0, parent),
            |kind, body| {
                found |= kind == RTM_NEWTFILTER
                    && word(body, TC_HANDLE).is_some_and(|handle| handle != 0);
            },
        );
        ignore_missing(met)?;
    }
    Ok(found)
}

/// Takes the two hooks off a device. What is not there is as good.
pub fn remove_hooks(index: u32) -> io::Result<()> {
    ignore_missing(ask(
        RTM_DELQDISC,
        NLM_F_ACK,
        &tc(index, CLSACT_HANDLE, CLSACT),
        |_, _| {},
    ))
}

/// Rings when a device appears, changes or vanishes. What became of which, [`links`] says: a bell that is missed once its
/// buffer is full has rung all the same.
pub struct LinkMonitor(Socket);

impl LinkMonitor {
    pub fn hang_up() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind(&SocketAddr::new(0, RTMGRP_LINK.cast_unsigned()))?;
        Ok(Self(socket))
    }

    /// Whether it rang since this was asked last.
    pub fn rang(&self) -> bool {
        let mut rang = false;
        let mut room = Vec::with_capacity(ROOM);
        loop {
            match self.0.recv(&mut room, MSG_DONTWAIT) {
                Ok(_) => rang = true,
                Err(nothing) if nothing.kind() == io::ErrorKind::WouldBlock => return rang,
                Err(again) if again.kind() == io::ErrorKind::Interrupted => {}
                // Some were thrown away for want of room: there were some.
                Err(_) => rang = true,
            }
            room.clear();
        }
    }
}

impl AsFd for LinkMonitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// `TC_H_CLSACT`, and the hooks below it.
const CLSACT: u32 = 0xFFFF_FFF1;
const CLSACT_HANDLE: u32 = 0xFFFF_0000;
const INGRESS: u32 = 0xFFFF_FFF2;
const EGRESS: u32 = 0xFFFF_FFF3;
/// Bytes of `struct ifinfomsg`, and where in it a link's type and number are.
const LINK_HEADER: usize = 16;
const LINK_TYPE: usize = 2;
const LINK_INDEX: usize = 4;
/// Where the handle is in `struct tcmsg`.
const TC_HANDLE: usize = 8;
const TC_HEADER: usize = 20;
/// Before each message.
const HEADER: usize = 16;
/// More than the kernel says at once.
const ROOM: usize = 64 * 1024;

fn tc(index: u32, handle: u32, parent: u32) -> [u8; TC_HEADER] {
    let mut message = [0; TC_HEADER];
    for (at, value) in [(4, index), (TC_HANDLE, handle), (12, parent)] {
        message[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    }
    message
}

fn link(body: &[u8]) -> Option<Link> {
    let kind = u16::from_ne_bytes(body.get(LINK_TYPE..LINK_TYPE + 2)?.try_into().ok()?);
    let index = word(body, LINK_INDEX)?;
    let attributes = NlasIterator::new(body.get(LINK_HEADER..)?);
    let name = attributes
        .filter_map(Result::ok)
        .find(|attribute| attribute.kind() == IFLA_IFNAME)?;
    let name = String::from_utf8_lossy(name.value())
        .trim_end_matches('\0')
        .to_owned();
    Some(Link { index, kind, name })
}

fn word(body: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(body.get(at..at + 4)?.try_into().ok()?))
}

/// One question, and every message of its answer.
fn ask(kind: u16, flags: u16, body: &[u8], mut meet: impl FnMut(u16, &[u8])) -> io::Result<()> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut bytes = vec![0; HEADER + body.len()];
    let length = u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    bytes[HEADER..].copy_from_slice(body);
    let mut message = NetlinkBuffer::new(&mut bytes);
    message.set_length(length);
    message.set_message_type(kind);
    message.set_flags(NLM_F_REQUEST | flags);
    message.set_sequence_number(1);
    socket.send(&bytes, 0)?;
    let mut room = Vec::with_capacity(ROOM);
    loop {
        room.clear();
        socket.recv(&mut room, 0)?;
        if answered(&room, &mut meet)? {
            return Ok(());
        }
    }
}

/// Hands on the messages of one datagram. True: the answer is complete.
fn answered(mut datagram: &[u8], meet: &mut impl FnMut(u16, &[u8])) -> io::Result<bool> {
    while !datagram.is_empty() {
        let misfit = |_| io::Error::from(io::ErrorKind::InvalidData);
        let message = NetlinkBuffer::new_checked(datagram).map_err(misfit)?;
        match message.message_type() {
            NLMSG_DONE => return Ok(true),
            NLMSG_ERROR => return error(message.payload()),
            kind => meet(kind, message.payload()),
        }
        let length = (message.length() as usize).next_multiple_of(4).max(HEADER);
        datagram = datagram.get(length..).unwrap_or_default();
    }
    Ok(false)
}

fn error(body: &[u8]) -> io::Result<bool> {
    match word(body, 0).map(u32::cast_signed) {
        Some(0) => Ok(true),
        Some(code) => Err(io::Error::from_raw_os_error(code.saturating_neg())),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(none)
            if matches!(
                none.raw_os_error(),
                Some(nix::libc::ENOENT | nix::libc::EINVAL)
            ) =>
        {
            Ok(())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_device_is_listed_as_what_it_is() {
        let links = links().expect("the kernel lists its devices");
        let loopback = links
            .iter()
            .find(|link| link.name == "lo")
            .expect("every namespace has one");
        assert_eq!((loopback.index, loopback.kind), (1, 772));
    }

    #[test]
    fn an_answer_cut_short_is_an_error_and_not_a_panic() {
        let mut whole = vec![0; 32];
        NetlinkBuffer::new(&mut whole).set_length(32);
        for cut in 1..whole.len() {
            let met = answered(&whole[..cut], &mut |_, body| drop(link(body)));
            assert!(met.is_err(), "{cut}");
        }
    }
}
