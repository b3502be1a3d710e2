//! A packet as the kernel holds it.

use crate::ZONE;
use aya_ebpf::bindings::{__sk_buff, bpf_sock};
use aya_ebpf::helpers::generated::{
    bpf_get_socket_cookie, bpf_get_socket_uid, bpf_skb_load_bytes_relative, bpf_skb_under_cgroup,
};
use core::mem::MaybeUninit;
use engine::Bytes;
use zerocopy::FromBytes;

/// `BPF_HDR_START_MAC` and `BPF_HDR_START_NET`.
const LINK: u32 = 0;
const NETWORK: u32 = 1;

/// `AF_INET` and `AF_INET6`.
const INET: u32 = 2;
const INET6: u32 = 10;

/// `TCP_LISTEN` and `TCP_NEW_SYN_RECV`.
const LISTEN: u32 = 10;
const NEW_SYN_RECV: u32 = 12;

/// `ETH_P_IP` and `ETH_P_IPV6`.
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86DD;

/// Where an Ethernet frame says what it carries, and how long its header is.
const ETHERTYPE: u32 = 12;
const ETHERNET_HEADER: u32 = 14;

/// How far into a packet its headers are read where they lie. The verifier wants a bound; what lies behind it is copied.
const REACH: u64 = 1024;

/// A socket buffer. Its bytes start at the IP header, whatever link carries it.
#[derive(Clone, Copy)]
pub struct Skb {
    context: *mut __sk_buff,
    /// Where the IP header stands behind the first byte that programs see.
    start: u64,
}

impl Bytes for Skb {
    /// Reads where the bytes lie. A packet may lie in pieces: what is not in the first one the kernel copies together.
    #[inline(always)]
    fn load<T: FromBytes>(&self, offset: u32) -> Option<T> {
        match self.read(offset) {
            Some(value) => Some(value),
            None => self.copy(NETWORK, offset),
        }
    }
}

impl Skb {
    /// At a device, where a frame starts with its link's header.
    #[inline(always)]
    pub fn at_device(context: *mut __sk_buff, link_header: u32) -> Self {
        Self {
            context,
            start: link_header.into(),
        }
    }

    /// At a socket, where there is no link.
    #[inline(always)]
    pub fn at_socket(context: *mut __sk_buff) -> Self {
        Self { context, start: 0 }
    }

    /// As programs get it.
    #[inline(always)]
    pub fn context(&self) -> *mut __sk_buff {
        self.context
    }

    /// Bytes of the whole frame: with the link's header at a device, without it at a socket.
    #[inline(always)]
    pub fn length(&self) -> u32 {
        // SAFETY: the program's own context.
        unsafe { (*self.context).len }
    }

    /// The device it came in or goes out by.
    #[inline(always)]
    pub fn interface(&self) -> u32 {
        // SAFETY: the program's own context.
        unsafe { (*self.context).ifindex }
    }

    /// Whether it carries IP, by what the kernel says or by what the frame itself says: a packet socket may tell the
    /// kernel whatever it likes.
    #[inline(always)]
    pub fn is_ip(&self, link_header: u32) -> bool {
        // SAFETY: the program's own context.
        let said = unsafe { (*self.context).protocol } as u16;
        if ip(u16::from_be(said)) {
            return true;
        }
        link_header == ETHERNET_HEADER
            && self
                .copy::<[u8; 2]>(LINK, ETHERTYPE)
                .is_some_and(|bytes| ip(u16::from_be_bytes(bytes)))
    }

    /// Whether it is sent for a listener: an answer to who knocks (SYN-ACK), which is owned by no whole socket yet. Linux
    /// 6.1 shows it to the hook at the sockets over IPv4 and not over IPv6, so it is judged at the device alone.
    #[inline(always)]
    pub fn of_a_listener(&self) -> bool {
        let socket = self.socket();
        if socket.is_null() {
            return false;
        }
        // SAFETY: not null; the verifier knows the type.
        let state = unsafe { (*socket).state };
        state == LISTEN || state == NEW_SYN_RECV
    }

    /// Whether [`crate::zone_socket_egress`] has judged it: the kernel runs that for whole sockets of IP alone.
    #[inline(always)]
    pub fn judged_at_its_socket(&self) -> bool {
        let socket = self.socket();
        if socket.is_null() || self.of_a_listener() {
            return false;
        }
        // SAFETY: not null; the verifier knows the type.
        let family = unsafe { (*socket).family };
        let zone = core::ptr::from_ref(&ZONE).cast_mut().cast();
        // SAFETY: the program's own context and a map of control groups.
        (family == INET || family == INET6)
            && unsafe { bpf_skb_under_cgroup(self.context, zone, 0) } == 1
    }

    /// The socket that sends it, if there is one.
    #[inline(always)]
    pub fn socket(&self) -> *mut bpf_sock {
        // SAFETY: the program's own context.
        let field = unsafe { &raw const (*self.context).__bindgen_anon_2 };
        // SAFETY: part of it, and any bytes are a pointer; the verifier knows which one.
        unsafe { field.cast::<*mut bpf_sock>().read() }
    }

    /// The number of the socket that sends it; 0 if none does. What comes in has been given to none yet, or to one that
    /// shares it with others.
    #[inline(always)]
    pub fn socket_number(&self) -> u64 {
        // SAFETY: the program's own context.
        unsafe { bpf_get_socket_cookie(self.context.cast()) }
    }

    /// The user that its socket belongs to.
    #[inline(always)]
    pub fn user(&self) -> u32 {
        // SAFETY: the program's own context.
        unsafe { bpf_get_socket_uid(self.context) }
    }

    #[inline(always)]
    fn read<T: FromBytes>(&self, offset: u32) -> Option<T> {
        // SAFETY: the program's own context.
        let data = unsafe { (*self.context).data as usize };
        // SAFETY: the same.
        let end = unsafe { (*self.context).data_end as usize };
        let within = self.start + u64::from(offset);
        if within > REACH {
            return None;
        }
        let from = data + within as usize;
        if from + size_of::<T>() > end {
            return None;
        }
        // SAFETY: inside of the packet, as just checked; any bytes are a `T`.
        Some(unsafe { (from as *const T).read_unaligned() })
    }

    #[inline(always)]
    fn copy<T: FromBytes>(&self, start: u32, offset: u32) -> Option<T> {
        let mut bytes = MaybeUninit::<T>::uninit();
        let (to, size) = (bytes.as_mut_ptr().cast(), size_of::<T>() as u32);
        // SAFETY: `to` has room for `size` bytes; the helper checks where they come from.
        let failed =
            unsafe { bpf_skb_load_bytes_relative(self.context.cast(), offset, to, size, start) };
        // SAFETY: the helper has written all of it, and any bytes are a `T`.
        (failed == 0).then(|| unsafe { bytes.assume_init() })
    }
}

#[inline(always)]
fn ip(ethertype: u16) -> bool {
    ethertype == IPV4 || ethertype == IPV6
}
