//! The clock by which connections grow old: the kernel's ticks, whose count a program reads without a call.

use crate::tables::UNSET;
use aya_ebpf::Global;
use aya_ebpf::helpers::generated::bpf_jiffies64;
use aya_ebpf::programs::TcContext;
use firewall_abi::firewall::Ticks;

/// Set by the service as it loads the driver.
#[unsafe(no_mangle)]
static TICKS: Global<[u64; 2]> = Global::new([UNSET; 2]);

/// Nanoseconds since the kernel started, to the tick. It stands still while the machine sleeps.
#[inline(always)]
pub fn now_ns() -> u64 {
    let ticks: Ticks = zerocopy::transmute!(TICKS.load());
    // SAFETY: the helper has no preconditions.
    ticks.nanoseconds(unsafe { bpf_jiffies64() })
}

/// Writes down what the clock says where the packet begins.
#[inline(always)]
pub fn tell(packet: &TcContext) {
    // One that is too short has no room for it: who made it reads that it was not answered.
    let _too_short = packet.store(0, &now_ns(), 0);
}
