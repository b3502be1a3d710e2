//! Context of a packet where there is no kernel: in a capture, and in tests.

use super::PacketContext;
use crate::quota;
use crate::tables::Tables;
use firewall_abi::firewall::FlowKey;
use firewall_abi::packet::{PacketHeaders, PacketMeta};

/// Packet context that is known beforehand: a capture has the time, but neither the user nor the program.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known {
    /// See [`PacketContext::now_ns`].
    pub now_ns: u64,
    /// Metadata of the packet's owner in the zone.
    pub local: PacketMeta,
    /// See [`PacketContext::device`].
    pub device: u32,
    /// See [`PacketContext::first_device`].
    pub first_device: u32,
    /// See [`PacketContext::last_device`].
    pub last_device: u32,
    /// See [`PacketContext::is_guests`].
    pub is_guests: bool,
    /// See [`PacketContext::goes_to_everyone`].
    pub goes_to_everyone: bool,
    /// See [`PacketContext::quoted`].
    pub quoted: Option<FlowKey>,
}

impl<T: Tables> PacketContext<T> for Known {
    fn now_ns(&self) -> u64 {
        self.now_ns
    }

    fn socket(&mut self) -> u64 {
        0
    }

    fn device(&mut self) -> u32 {
        self.device
    }

    fn user(&mut self) -> u32 {
        if self.local.program == PacketMeta::KERNEL {
            quota::KERNEL
        } else {
            self.local.user
        }
    }

    fn is_guests(&mut self) -> bool {
        self.is_guests
    }

    fn first_device(&self) -> u32 {
        self.first_device
    }

    fn last_device(&self) -> u32 {
        self.last_device
    }

    fn goes_to_everyone(&mut self) -> bool {
        self.goes_to_everyone
    }

    fn quoted(&mut self, _: &PacketHeaders, key: &mut FlowKey) -> bool {
        self.quoted.map(|quoted| *key = quoted).is_some()
    }

    fn find(&mut self, _: &PacketHeaders, local: &mut PacketMeta) {
        *local = self.local;
    }
}
