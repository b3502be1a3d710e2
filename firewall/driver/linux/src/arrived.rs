//! What the stack has just delivered on this processor, and whether it was judged then.
//!
//! A socket gets a packet before the processor delivers the next one. But what comes to the socket need not look like what was
//! delivered: behind the judge there may be who translates it, and UDP cuts off what its own length leaves out. So whether something
//! is left to judge, and what, is written down here, and not read out of the packet a second time.

use crate::packet::{AtSocket, PacketView};
use aya_ebpf::btf_maps::PerCpuArray;
use aya_ebpf::macros::btf_map;
use engine::{Parsed, Shape, parse};
use firewall_abi::packet::{Direction, PacketHeaders};

/// What was delivered last.
#[repr(C)]
struct Arrived {
    /// Where the packet is in the kernel's memory, and where its bytes are: each member of a group gets a packet of its own, with
    /// the same bytes.
    at: [u64; 2],
    headers: PacketHeaders,
    shape: Shape,
    /// 1: who gets it is to be asked at the socket.
    left: u8,
}

#[btf_map]
static ARRIVED: PerCpuArray<Arrived, 1> = PerCpuArray::new();

/// Notes a packet that is about to be delivered, and whether it is left to its socket.
#[inline(always)]
pub fn note<P: PacketView>(packet: &P, parsed: &Parsed, left: bool) {
    let Some(arrived) = ARRIVED.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: the map's value for this processor, which outlives the program. Programs of one kind do not interrupt each other.
    let arrived = unsafe { &mut *arrived };
    arrived.at = packet.at();
    arrived.headers = parsed.flow;
    arrived.shape = parsed.shape;
    arrived.left = left.into();
}

/// Whether a packet was allowed as it was delivered; it becomes again what it was then. What is not known here was held back in
/// between: nothing is known of it, and it is judged as it is.
#[inline(always)]
pub fn was_allowed(packet: &AtSocket, parsed: &mut Parsed) -> bool {
    let arrived = ARRIVED.get_ptr(0);
    // SAFETY: as above; nobody writes to it now.
    let arrived = arrived.map(|arrived| unsafe { &*arrived });
    let [at, bytes] = packet.at();
    let known = arrived.filter(|arrived| arrived.at[0] == at || arrived.at[1] == bytes);
    let known = if known.is_some() {
        known
    } else {
        *parsed = parse(packet, packet.length(), Direction::Inbound);
        // One that was several, and is taken apart on its way to the socket, has the same headers.
        arrived.filter(|arrived| words(&arrived.headers) == words(&parsed.flow))
    };
    let Some(arrived) = known else {
        return false;
    };
    parsed.flow = arrived.headers;
    parsed.shape = arrived.shape;
    arrived.left == 0
}

/// All of the headers in numbers, which are compared without a function that eBPF does not have.
#[inline(always)]
fn words(headers: &PacketHeaders) -> (u64, u64, u64, u64, u64) {
    let [a, b, c, d, e]: [u64; 5] = zerocopy::transmute!(*headers);
    (a, b, c, d, e)
}
