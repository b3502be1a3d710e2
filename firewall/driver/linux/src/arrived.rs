//! Record of the packet that the stack has just delivered on this processor, and of whether it was judged then.
//!
//! A socket gets a packet before the processor delivers the next one. But what comes to the socket need not look like
//! what was delivered: behind the judge there may be who translates it, and UDP cuts off what its own length leaves
//! out. So whether something is left to judge, and what, is written down here,
//! and not read out of the packet a second time.

use crate::packet::{AtSocket, PacketView};
use crate::tables;
use aya_ebpf::btf_maps::PerCpuArray;
use aya_ebpf::macros::btf_map;
use engine::{Parsed, Shape, parse};
use firewall_abi::packet::{Direction, NO_RULE, PacketHeaders, Verdict};

/// Packet that was delivered last.
#[repr(C)]
struct Arrived {
    /// Addresses of the packet and of its bytes in the kernel's memory: each member of a group gets a packet of its
    /// own, with the same bytes.
    at: [u64; 2],
    headers: PacketHeaders,
    shape: Shape,
    /// 1: who gets it is to be asked at the socket.
    left: u8,
    /// 1: some socket was asked about, and what was counted before is taken back.
    taken: u8,
    /// A bit for each verdict that was counted at a socket,
    settled: u8,
    /// and for each that was told there.
    told: u8,
    /// The rules that were counted at a socket, the last one first: few sockets get one packet by more of them.
    rules: [u32; 4],
}

impl Arrived {
    /// Begins to count at sockets: nothing was counted or told of the packet there yet.
    #[inline(always)]
    const fn begin_to_count(&mut self) {
        (self.settled, self.told) = (0, 0);
        self.rules = [NO_RULE; 4];
    }
}

#[btf_map]
static ARRIVED: PerCpuArray<Arrived, 1> = PerCpuArray::new();

/// Notes a packet that is about to be delivered, and whether it is left to its socket.
#[inline(always)]
pub fn note<P: PacketView>(packet: &P, parsed: &Parsed, left: bool) {
    let Some(arrived) = here() else {
        return;
    };
    arrived.at = packet.at();
    arrived.headers = parsed.flow;
    arrived.shape = parsed.shape;
    arrived.left = left.into();
    arrived.taken = 0;
    arrived.begin_to_count();
}

/// Returns whether a packet was allowed as it was delivered; it becomes again what it was then. A packet that is not
/// known here was held back in between: nothing is known of it, and it is judged as it is.
#[inline(always)]
pub fn was_allowed(packet: &AtSocket, parsed: &mut Parsed) -> bool {
    let [at, bytes] = packet.at();
    let Some(arrived) = here() else {
        *parsed = parse(packet, packet.length(), Direction::Inbound);
        return false;
    };
    if arrived.at[0] != at && arrived.at[1] != bytes {
        *parsed = parse(packet, packet.length(), Direction::Inbound);
        // One that was several, and is taken apart on its way to the socket, has the same headers.
        if words(&arrived.headers) != words(&parsed.flow) {
            arrived.at = [at, bytes];
            arrived.headers = parsed.flow;
            arrived.shape = parsed.shape;
            (arrived.left, arrived.taken) = (1, 1);
            arrived.begin_to_count();
            return false;
        }
    }
    parsed.flow = arrived.headers;
    parsed.shape = arrived.shape;
    arrived.left == 0
}

/// Takes back what was counted of the packet as it was delivered:
/// that it was left to the socket that gets it. Once. 1: it was this time.
///
/// A global function for the verifier, as `gatebell_classify` is.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn gatebell_take_back_left() -> u32 {
    let first = here().is_some_and(|arrived| core::mem::replace(&mut arrived.taken, 1) == 0);
    if first {
        tables::take_back_left();
    }
    first.into()
}

/// Takes back the count of what was allowed as it was delivered, unless some socket has got it by that.
///
/// A global function for the verifier, as `gatebell_classify` is.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn gatebell_take_back_allowed() -> u32 {
    let is_counted = here().is_some_and(|arrived| {
        let before = core::mem::replace(&mut arrived.taken, 1);
        before == 0 && arrived.settled & bit(Verdict::Allow as u32) == 0
    });
    if is_counted {
        tables::take_back(Direction::Inbound as u8, Verdict::Allow as u8);
    }
    0
}

/// Notes that some socket gets what was allowed as it was delivered: that stays counted, or is so again.
///
/// A global function for the verifier, as `gatebell_classify` is.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn gatebell_keep_allowed() -> u32 {
    let Some(arrived) = here() else { return 0 };
    if arrived.taken == 0 {
        arrived.settled |= bit(Verdict::Allow as u32);
        return 0;
    }
    gatebell_count_once(Verdict::Allow as u32)
}

/// Counts a verdict on the packet, unless that was done where another socket gets it.
///
/// A global function for the verifier, as `gatebell_classify` is.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn gatebell_count_once(verdict: u32) -> u32 {
    let before = here().map_or(0, |arrived| {
        let settled = arrived.settled | bit(verdict);
        core::mem::replace(&mut arrived.settled, settled)
    });
    if before & bit(verdict) == 0 {
        tables::count(Direction::Inbound as u8, verdict as u8);
    }
    0
}

/// Returns 1 if a verdict on the packet was told where another socket gets it. Else it is taken to be told now.
///
/// A global function for the verifier, as `gatebell_classify` is.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn gatebell_was_told(verdict: u32) -> u32 {
    let before = here().map_or(0, |arrived| {
        let told = arrived.told | bit(verdict);
        core::mem::replace(&mut arrived.told, told)
    });
    (before & bit(verdict) != 0).into()
}

/// Returns 1 if a rule was counted for the packet where another socket gets it, or the same one is asked about once
/// more, as DCCP does over IPv6. Else it is taken to be counted now.
///
/// A global function for the verifier, as `gatebell_classify` is.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn gatebell_was_counted(rule: u32) -> u32 {
    let Some(arrived) = here() else { return 0 };
    let [first, second, third, fourth] = arrived.rules;
    if rule == first || rule == second || rule == third || rule == fourth {
        return 1;
    }
    arrived.rules = [rule, first, second, third];
    0
}

/// A bit for each verdict.
#[inline(always)]
const fn bit(verdict: u32) -> u8 {
    1 << (verdict & 7)
}

/// The packet that was delivered last on this processor.
#[inline(always)]
fn here() -> Option<&'static mut Arrived> {
    let arrived = ARRIVED.get_ptr_mut(0)?;
    // SAFETY: the map's value for this processor, which outlives the program. Programs of one kind do not interrupt
    // each other, and none of them holds two of these at a time.
    Some(unsafe { &mut *arrived })
}

/// All of the headers in numbers, which are compared without a function that eBPF does not have.
#[inline(always)]
fn words(headers: &PacketHeaders) -> (u64, u64, u64, u64, u64) {
    let [a, b, c, d, e]: [u64; 5] = zerocopy::transmute!(*headers);
    (a, b, c, d, e)
}
