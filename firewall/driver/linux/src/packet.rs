//! A packet as the kernel holds it, where the IP stack shows it (netfilter) or where a socket gets it.

use crate::flows::Flows;
use crate::kernel::{self, offset};
use crate::socket_owner;
use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated::{bpf_dynptr_read, bpf_loop, bpf_skb_load_bytes_relative};
use core::arch::asm;
use core::ffi::c_void;
use core::hint::black_box;
use core::mem::MaybeUninit;
use engine::connection::{Connections, ends_at_socket};
use engine::{Bytes, Ipv4Options};
use firewall_abi::firewall::Owner;
use firewall_abi::packet::{Direction, NO_USER, PacketHeaders, PacketMeta, name_until_end};
use zerocopy::FromBytes;

/// A packet, who is at its end in the zone, and by which devices it goes.
pub trait PacketView: Bytes {
    /// `true` if the packet goes through the machine.
    const FORWARDED: bool = false;

    /// The connections that it may go on with.
    type Flows: Connections + Default;

    /// `true` if a socket is about to get the packet, and it was seen before, as it came in.
    const AT_SOCKET: bool = false;

    /// Bytes of the packet, from its IP header on.
    fn length(&self) -> u32;

    /// Returns the addresses of the packet and of its bytes in the kernel's memory: numbers, to know it by.
    fn at(&self) -> [u64; 2];

    /// The number of the device that it comes in by, or goes out by; of what is forwarded,
    /// the one that it comes in by. 0: there is none.
    fn device_number(&self) -> u32;

    /// Returns the name of that device, as rules ask for it.
    fn device_name(&self) -> [u64; 2];

    /// Returns the address of that device in the kernel's memory, for the verifier a number; 0: there is none.
    fn device_address(&self) -> u64;

    /// The number of the device that what is forwarded goes out by; else 0.
    fn out_device_number(&self) -> u32;

    /// Returns the name of the device that what is forwarded goes out by.
    fn out_device_name(&self) -> [u64; 2];

    /// Returns the address of the device that what is forwarded goes out by.
    #[inline(always)]
    fn out_device_address(&self) -> u64 {
        0
    }

    /// The number of the socket that sends it; 0 if none does.
    fn socket_number(&self) -> u64;

    /// The number of the socket that is about to get it; 0: none is.
    fn receiver_number(&self) -> u64 {
        0
    }

    /// Returns the kernel's address of the socket that sends or gets the packet; 0: none is known, or the packet is
    /// forwarded.
    fn socket_address(&self) -> u64;

    /// The user whose socket sends it: `NO_USER` if that is not known, [`engine::quota::KERNEL`] if none does.
    fn user(&self) -> u32;

    /// Returns whether the packet goes to everyone on its link, as its route has it.
    fn goes_to_everyone(&self) -> bool;

    /// Returns the kernel's tracked connection of what is forwarded, and the network namespace; zeros: it is not
    /// tracked, or can't be looked at.
    #[inline(always)]
    fn tracked(&self) -> (u64, u64) {
        (0, 0)
    }

    /// Writes down who is at its end in the zone, as far as that is known here.
    /// Returns [`PacketMeta::BEFORE_SOCKET`] if that is not yet.
    fn find_owner(&self, flow: &PacketHeaders, owner: &mut Owner) -> u32;
}

/// The number of the kernel's device at this address; 0: there is none.
#[inline(always)]
pub fn number_of(device: u64) -> u32 {
    if device == 0 {
        0
    } else {
        kernel::peek(device, offset!(device_index))
    }
}

/// Returns the name of the kernel's device at this address.
#[inline(always)]
fn name_of(device: u64) -> [u64; 2] {
    if device == 0 {
        [0; 2]
    } else {
        let name = [0, 8].map(|at| kernel::peek(device, offset!(device_name) + at));
        name_until_end(name)
    }
}

/// `SKB_DST_NOREF`: the packet borrows its route.
const BORROWED: u64 = 1;
/// `RTCF_BROADCAST`: the route of IPv4 leads to everyone on the link.
const BROADCAST: u32 = 0x1000_0000;

/// The flags of a route of IPv4, as a packet has it; 0: it has none.
#[inline(always)]
fn route_flags(route: u64) -> u32 {
    match route & !BORROWED {
        0 => 0,
        route => kernel::peek(route, offset!(route_flags)),
    }
}

/// Context that netfilter hands to a program, under the kernel's own name: its verifier goes by that.
#[repr(C)]
#[allow(non_camel_case_types, reason = "the kernel's name")]
pub struct bpf_nf_ctx {
    /// `struct nf_hook_state`
    state: *const c_void,
    /// `struct sk_buff`
    skb: *const c_void,
}

/// A pointer of `struct sk_buff`.
///
/// Pointers are read once, as a packet is opened: each time that the kernel's verifier comes by such a read, it looks
/// through all of the kernel's types by name, and it comes by whatever depends on the rules some thousand times.
#[inline(always)]
fn of_packet(skb: *const c_void, offset: u64) -> u64 {
    // SAFETY: the kernel's packet, and where its type data has such a field.
    unsafe { kernel::field(skb, offset) }
}

/// A pointer of `struct nf_hook_state`; see [`of_packet`].
#[inline(always)]
fn of_hook(state: *const c_void, offset: u64) -> u64 {
    // SAFETY: the kernel's description of the hook, and where its type data has such a field.
    unsafe { kernel::field(state, offset) }
}

/// A packet on its way through the IP stack, `FORWARDED` or to or from the machine itself.
/// Its bytes start at its IP header.
pub struct InStack<const FORWARDED: bool> {
    /// The kernel's view of the packet's bytes, a `struct bpf_dynptr` on the program's stack:
    /// not to be moved once it is filled.
    view: MaybeUninit<[u64; 2]>,
    skb: *const c_void,
    state: *const c_void,
    /// The device by which it comes, or goes if it comes by none,
    /// as the stack names it to those who judge: a bridge, not its port.
    device: u64,
    /// Context of the program if the packet is forwarded, else the packet's socket: one word, because the stack is
    /// small. What is forwarded carries none: the IP stack has let go of it as the packet came in.
    beside: u64,
}

impl<const FORWARDED: bool> InStack<FORWARDED> {
    /// The packet that a program of netfilter was called for. Nothing can be read of it before it
    /// is looked [into](Self::open).
    #[inline(always)]
    pub fn of(ctx: *mut bpf_nf_ctx) -> Self {
        // SAFETY: the program's own context.
        let skb = unsafe { &raw const (*ctx).skb };
        // SAFETY: likewise.
        let state = unsafe { &raw const (*ctx).state };
        // SAFETY: the program's own context. Volatile: the verifier takes no other access to it than this.
        let skb = unsafe { skb.read_volatile() };
        // SAFETY: likewise.
        let state = unsafe { state.read_volatile() };
        Self {
            view: MaybeUninit::uninit(),
            skb,
            state,
            device: of_hook(state, offset!(state_in)),
            beside: if FORWARDED {
                ctx as u64
            } else {
                of_packet(skb, offset!(skb_socket))
            },
        }
    }

    /// Looks by which device it leaves if it comes by none, and has the kernel make a view of
    /// its bytes. False: it does not.
    ///
    /// Whether it `leaves` is known where it is judged, by the hook; else by whether it comes by a device. Both
    /// together are a state of the verifier's each, for all that follows.
    #[inline(always)]
    pub fn open(&mut self, leaves: Option<bool>) -> bool {
        if !FORWARDED && leaves.unwrap_or(self.device == 0) {
            self.find_way_out();
        }
        let view: *mut MaybeUninit<_> = &mut self.view;
        let failed: i64;
        // SAFETY: a call of the kernel's `bpf_dynptr_from_skb(skb, 0, view)`, whose number the loader writes in.
        unsafe {
            asm!(
                ".byte 0x85, 0x20, 0, 0, 1, 0, 0x66, 0x6b",
                inlateout("r1") self.skb => _,
                inlateout("r2") 0_u64 => _,
                inlateout("r3") view => _,
                lateout("r4") _,
                lateout("r5") _,
                lateout("r0") failed,
            );
        }
        failed == 0
    }

    /// The device by which it leaves is its route's, and not the one that the hook names: who translates it, or marks
    /// it, before it is judged here may have given it another route, and the hook still names what the former one did.
    ///
    /// Written where it stays; what can't be read is 0.
    #[inline(always)]
    fn find_way_out(&mut self) {
        let route = of_packet(self.skb, offset!(skb_route)) & !BORROWED;
        self.device = kernel::peek(route, offset!(route_device));
    }

    /// The device by which it comes, or goes. Read as the kernel's memory is: for the verifier it is any number then,
    /// each time, and what is asked of it once makes no two states for all that follows.
    #[inline(always)]
    fn device(&self) -> u64 {
        kernel::peek((&raw const self.device) as u64, 0)
    }

    /// Copies its first bytes, at most as many as there is room for. False: it has not so many.
    #[inline(always)]
    pub fn read_into<const ROOM: usize>(&self, to: &mut [u8; ROOM], length: u32) -> bool {
        if length > ROOM as u32 {
            return false;
        }
        let view = (&raw const self.view).cast();
        // SAFETY: the view was filled by `open`; there is room for so many bytes,
        // and the helper checks where they come from.
        unsafe { bpf_dynptr_read(to.as_mut_ptr().cast(), length, view, 0, 0) == 0 }
    }

    /// Returns the packet's direction, by whether it comes and goes by devices.
    #[inline(always)]
    pub fn direction(&self) -> Direction {
        let comes_in = of_hook(self.state, offset!(state_in)) != 0;
        let goes_out = of_hook(self.state, offset!(state_out)) != 0;
        match (comes_in, goes_out) {
            (true, true) => Direction::Forward,
            (true, false) => Direction::Inbound,
            _ => Direction::Outbound,
        }
    }

    /// Returns whether a bridge passes it on from one of its ports to another, and shows it here for `br_netfilter`'s
    /// sake: its device is a port then, and neither of those that the stack names. That of IPv6 to a group is the one
    /// that it goes out by.
    #[inline(always)]
    pub fn is_bridged(&self) -> bool {
        let device = of_packet(self.skb, offset!(skb_device));
        device != self.device && device != of_hook(self.state, offset!(state_out))
    }

    /// The socket that it carries; 0: none.
    #[inline(always)]
    const fn socket(&self) -> u64 {
        if FORWARDED { 0 } else { self.beside }
    }

    /// Returns the program's context, if the packet is forwarded. Read where it stands: kept elsewhere besides, it
    /// takes room that the stack does not have.
    #[inline(always)]
    pub fn context(&self) -> *mut bpf_nf_ctx {
        black_box(self).beside as *mut bpf_nf_ctx
    }
}

impl<const FORWARDED: bool> Bytes for InStack<FORWARDED> {
    /// Reads where the bytes lie; what does not lie in one piece, the kernel copies.
    #[inline(always)]
    fn load<T: FromBytes>(&self, offset: u32) -> Option<T> {
        let mut room = MaybeUninit::<T>::uninit();
        let found: *const T;
        // SAFETY: a call of the kernel's `bpf_dynptr_slice(view, offset, room, size)`, whose number the loader writes
        // in. It writes at most `size` bytes to `room`.
        unsafe {
            asm!(
                ".byte 0x85, 0x20, 0, 0, 2, 0, 0x66, 0x6b",
                inlateout("r1") &raw const self.view => _,
                inlateout("r2") u64::from(offset) => _,
                inlateout("r3") room.as_mut_ptr() => _,
                inlateout("r4") size_of::<T>() as u64 => _,
                lateout("r5") _,
                lateout("r0") found,
            );
        }
        if found.is_null() {
            return None;
        }
        // SAFETY: the kernel says that so many bytes are there.
        Some(unsafe { read_anywhere(found) })
    }

    #[inline(always)]
    fn walk(&self, options: &mut Ipv4Options) {
        let mut walk = Walk {
            packet: self,
            options,
        };
        let callback: extern "C" fn(u32, *mut Walk<'_, FORWARDED>) -> i64 = step::<FORWARDED>;
        // SAFETY: the verifier checks the function as a program of its own; `walk` outlives the loop.
        unsafe {
            bpf_loop(
                Ipv4Options::MOST,
                callback as *mut c_void,
                (&raw mut walk).cast(),
                0,
            )
        };
    }
}

/// Reads what lies anywhere, in words as large as its own alignment: a compiler that does not know where it lies does
/// it byte by byte, and the kernel takes words wherever they lie in a packet.
///
/// # Safety
/// So many bytes are there.
#[inline(always)]
unsafe fn read_anywhere<T: FromBytes>(from: *const T) -> T {
    let mut to = MaybeUninit::<T>::uninit();
    macro_rules! words {
        ($word:ident, $load:literal, $($at:literal)+) => {$(
            if ($at + 1) * size_of::<$word>() <= size_of::<T>() {
                let word: u64;
                // SAFETY: within what is there.
                unsafe {
                    asm!(
                        $load,
                        word = out(reg) word,
                        from = in(reg) from,
                        at = const $at * size_of::<$word>(),
                        options(pure, readonly, nostack),
                    );
                }
                let place = to.as_mut_ptr().cast::<$word>().wrapping_add($at);
                // SAFETY: within `to`, which is aligned like this word.
                unsafe { place.write(word as $word) };
            }
        )+};
    }
    const MOST: usize = 5;
    match (align_of::<T>(), size_of::<T>()) {
        (8, size) if size.is_multiple_of(8) && size <= MOST * 8 => {
            words!(u64, "{word} = *(u64 *)({from} + {at})", 0 1 2 3 4);
        }
        (4, size) if size.is_multiple_of(4) && size <= MOST * 4 => {
            words!(u32, "{word} = *(u32 *)({from} + {at})", 0 1 2 3 4);
        }
        // SAFETY: any bytes are a `T`.
        _ => return unsafe { from.read_unaligned() },
    }
    // SAFETY: written, word by word; any bytes are a `T`.
    unsafe { to.assume_init() }
}

/// A walk over a packet's options.
struct Walk<'a, const FORWARDED: bool> {
    packet: &'a InStack<FORWARDED>,
    options: &'a mut Ipv4Options,
}

/// One step of it. 0: go on.
extern "C" fn step<const FORWARDED: bool>(_: u32, walk: *mut Walk<'_, FORWARDED>) -> i64 {
    // SAFETY: the kernel hands on what `walk` gave it.
    let walk = unsafe { &mut *walk };
    i64::from(!walk.options.step(walk.packet))
}

impl<const FORWARDED: bool> PacketView for InStack<FORWARDED> {
    type Flows = Flows<FORWARDED>;
    const FORWARDED: bool = FORWARDED;

    #[inline(always)]
    fn length(&self) -> u32 {
        // SAFETY: the kernel's packet, and where its type data has its length.
        unsafe { kernel::field(self.skb, offset!(skb_length)) }
    }

    #[inline(always)]
    fn at(&self) -> [u64; 2] {
        [self.skb as u64, of_packet(self.skb, offset!(skb_head))]
    }

    #[inline(always)]
    fn device_number(&self) -> u32 {
        number_of(self.device())
    }

    #[inline(always)]
    fn device_name(&self) -> [u64; 2] {
        name_of(self.device())
    }

    #[inline(always)]
    fn device_address(&self) -> u64 {
        self.device()
    }

    #[inline(always)]
    fn out_device_address(&self) -> u64 {
        if FORWARDED {
            // For the verifier it is a number then, which a global function takes.
            kernel::peek(self.state as u64, offset!(state_out))
        } else {
            0
        }
    }

    #[inline(always)]
    fn out_device_number(&self) -> u32 {
        number_of(self.out_device_address())
    }

    #[inline(always)]
    fn out_device_name(&self) -> [u64; 2] {
        name_of(self.out_device_address())
    }

    #[inline(always)]
    fn socket_number(&self) -> u64 {
        let socket = self.socket();
        if socket == 0 {
            0
        } else {
            kernel::peek(socket, offset!(socket_cookie))
        }
    }

    #[inline(always)]
    fn socket_address(&self) -> u64 {
        if FORWARDED {
            return 0;
        }
        // For the verifier it is a number then, which a global function takes.
        kernel::peek(self.skb as u64, offset!(skb_socket))
    }

    #[inline(always)]
    fn user(&self) -> u32 {
        socket_owner::user_of(self.socket())
    }

    #[inline(always)]
    fn goes_to_everyone(&self) -> bool {
        // SAFETY: the kernel's packet, and where its type data has its route.
        route_flags(unsafe { kernel::field(self.skb, offset!(skb_route)) }) & BROADCAST != 0
    }

    #[inline(always)]
    fn tracked(&self) -> (u64, u64) {
        if FORWARDED && offset!(translated.known) != 0 {
            (
                of_packet(self.skb, offset!(translated.skb_tracked)),
                // For the verifier it is a number then, which a global function takes.
                kernel::peek(self.state as u64, offset!(translated.state_netns)),
            )
        } else {
            (0, 0)
        }
    }

    #[inline(always)]
    fn find_owner(&self, flow: &PacketHeaders, owner: &mut Owner) -> u32 {
        if flow.direction == Direction::Outbound as u8 {
            socket_owner::of_socket(self.socket(), owner);
            return 0;
        }
        if flow.direction == Direction::Inbound as u8 && ends_at_socket(flow.protocol) {
            return PacketMeta::BEFORE_SOCKET;
        }
        // Through the machine nobody's here is at either end, the kernel neither.
        owner.program = if FORWARDED {
            PacketMeta::ELSEWHERE
        } else {
            PacketMeta::KERNEL
        };
        0
    }
}

/// `BPF_HDR_START_NET`.
const NETWORK: u32 = 1;

/// A packet that a socket of the zone is about to get.
pub struct AtSocket {
    context: *mut __sk_buff,
}

impl AtSocket {
    /// Takes the context that the socket's hook gets.
    #[inline(always)]
    pub const fn of(context: *mut __sk_buff) -> Self {
        Self { context }
    }

    /// The kernel's own packet.
    #[inline(always)]
    fn of_packet(&self, offset: u64) -> u64 {
        kernel::peek(self.context as u64, offset)
    }

    /// The socket that gets it.
    #[inline(always)]
    pub fn socket(&self) -> u64 {
        self.of_packet(offset!(skb_socket))
    }

    /// Returns whether a datagram of IPv4 went to everyone on its link, as its route has it.
    #[inline(always)]
    pub fn went_to_everyone(&self) -> bool {
        route_flags(self.of_packet(offset!(skb_route))) & BROADCAST != 0
    }

    /// Copies its first bytes, at most as many as there is room for. False: it has not so many.
    #[inline(always)]
    pub fn read_into<const ROOM: usize>(&self, to: &mut [u8; ROOM], length: u32) -> bool {
        if length == 0 || length > ROOM as u32 {
            return false;
        }
        let context = self.context.cast();
        // SAFETY: there is room for so many bytes, and the helper checks where they come from.
        unsafe {
            bpf_skb_load_bytes_relative(context, 0, to.as_mut_ptr().cast(), length, NETWORK) == 0
        }
    }
}

impl Bytes for AtSocket {
    #[inline(always)]
    fn load<T: FromBytes>(&self, offset: u32) -> Option<T> {
        let mut bytes = MaybeUninit::<T>::uninit();
        let (to, size) = (bytes.as_mut_ptr().cast(), size_of::<T>() as u32);
        // SAFETY: `to` has room for `size` bytes; the helper checks where they come from.
        let failed =
            unsafe { bpf_skb_load_bytes_relative(self.context.cast(), offset, to, size, NETWORK) };
        // SAFETY: the helper has written all of it, and any bytes are a `T`.
        (failed == 0).then(|| unsafe { bytes.assume_init() })
    }

    /// Does nothing: the options were walked over as the packet was delivered, and nothing that they lead on has come
    /// here.
    #[inline(always)]
    fn walk(&self, _: &mut Ipv4Options) {}
}

impl PacketView for AtSocket {
    type Flows = Flows<false>;
    const AT_SOCKET: bool = true;

    #[inline(always)]
    fn length(&self) -> u32 {
        // SAFETY: the program's own context.
        unsafe { (*self.context).len }
    }

    #[inline(always)]
    fn at(&self) -> [u64; 2] {
        [self.context as u64, self.of_packet(offset!(skb_head))]
    }

    #[inline(always)]
    fn device_number(&self) -> u32 {
        // SAFETY: the program's own context.
        unsafe { (*self.context).ifindex }
    }

    #[inline(always)]
    fn device_name(&self) -> [u64; 2] {
        name_of(self.of_packet(offset!(skb_device)))
    }

    #[inline(always)]
    fn device_address(&self) -> u64 {
        self.of_packet(offset!(skb_device))
    }

    #[inline(always)]
    fn out_device_number(&self) -> u32 {
        0
    }

    #[inline(always)]
    fn out_device_name(&self) -> [u64; 2] {
        [0; 2]
    }

    #[inline(always)]
    fn socket_number(&self) -> u64 {
        0
    }

    #[inline(always)]
    fn receiver_number(&self) -> u64 {
        kernel::peek(self.socket(), offset!(socket_cookie))
    }

    #[inline(always)]
    fn socket_address(&self) -> u64 {
        self.socket()
    }

    /// Returns `false`: of what comes in nobody asks that.
    #[inline(always)]
    fn goes_to_everyone(&self) -> bool {
        false
    }

    #[inline(always)]
    fn user(&self) -> u32 {
        NO_USER
    }

    #[inline(always)]
    fn find_owner(&self, _: &PacketHeaders, owner: &mut Owner) -> u32 {
        socket_owner::of_socket(self.socket(), owner);
        0
    }
}
