//! What the firewall's driver and the service that fills its tables share.

use crate::packet::{Direction, NO_USER, Verdict};
use channel_abi::Header;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Lines of [`Verdicts`]; processors above share them.
pub const VERDICT_LINES: usize = 64;

/// What one processor counted since the driver was loaded, in cache lines of its own. Grows by atomic adds (I5); what is decided anew is
/// taken back.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Verdicts {
    /// Packets into the zone that went on.
    pub allowed_in: u64,
    /// Packets into the zone that were dropped.
    pub blocked_in: u64,
    /// Packets out of the zone that went on.
    pub allowed_out: u64,
    /// Packets out of the zone that were dropped.
    pub blocked_out: u64,
    /// Packets of connections that found no room: confirmed ones among those that make none, which stay where they make it, or new ones.
    pub flows_full: u64,
    /// Packets through the zone that went on.
    pub allowed_forward: u64,
    /// Packets through the zone that were dropped.
    pub blocked_forward: u64,
    /// Connects that failed at once: there was no packet yet.
    pub refused_connects: u64,
    /// Packets into the zone that a rule left to the socket that gets them, and that no socket which is judged has got: one that does takes its
    /// own back, on whichever processor.
    pub left_in: u64,
    /// Fills up the line.
    pub spare: [u64; 7],
}

impl Verdicts {
    /// Two lines together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            allowed_in: self.allowed_in.wrapping_add(other.allowed_in),
            blocked_in: self.blocked_in.wrapping_add(other.blocked_in),
            allowed_out: self.allowed_out.wrapping_add(other.allowed_out),
            blocked_out: self.blocked_out.wrapping_add(other.blocked_out),
            flows_full: self.flows_full.wrapping_add(other.flows_full),
            allowed_forward: self.allowed_forward.wrapping_add(other.allowed_forward),
            blocked_forward: self.blocked_forward.wrapping_add(other.blocked_forward),
            refused_connects: self.refused_connects.wrapping_add(other.refused_connects),
            left_in: self.left_in.wrapping_add(other.left_in),
            spare: [0; 7],
        }
    }

    /// Dropped packets, in every direction.
    #[must_use]
    pub const fn blocked(&self) -> u64 {
        self.blocked_in
            .wrapping_add(self.blocked_out)
            .wrapping_add(self.blocked_forward)
    }

    /// Packets that went on, in every direction.
    #[must_use]
    pub const fn allowed(&self) -> u64 {
        self.allowed_in
            .wrapping_add(self.allowed_out)
            .wrapping_add(self.allowed_forward)
    }

    /// The counter of one direction and verdict, by their numbers.
    #[must_use]
    pub const fn counter(&self, direction: u8, verdict: u8) -> &u64 {
        const INBOUND: u8 = Direction::Inbound as u8;
        const FORWARD: u8 = Direction::Forward as u8;
        match (direction, verdict == Verdict::Allow as u8) {
            (INBOUND, true) => &self.allowed_in,
            (INBOUND, false) => &self.blocked_in,
            (FORWARD, true) => &self.allowed_forward,
            (FORWARD, false) => &self.blocked_forward,
            (_, true) => &self.allowed_out,
            (_, false) => &self.blocked_out,
        }
    }
}

/// Both ends of a connection, as seen from the zone; of one that the zone forwards, the local end is the one with the lower
/// address. Aligned, so that it is copied in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(8))]
pub struct FlowKey {
    /// The zone's end.
    pub local: [u8; 16],
    /// The other one.
    pub remote: [u8; 16],
    /// The zone's port; for an ICMP echo 1 at the end that asks, 0 at the other.
    pub local_port: u16,
    /// The other one's.
    pub remote_port: u16,
    /// IP protocol number, and [`FlowKey::FORWARDED`] or [`FlowKey::GROUP`].
    pub protocol: u32,
}

impl FlowKey {
    /// The zone is neither end: what passes through it is not what begins or ends in it, between the same addresses.
    pub const FORWARDED: u32 = 1 << 8;
    /// A question asked of a group, which anybody may answer: the remote address is zeros.
    pub const GROUP: u32 = 1 << 9;
}

/// Who began the connection, by which rule, and what it has carried.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct FlowEntry {
    /// When it was last used, in nanoseconds by the kernel's [`Ticks`].
    pub stamp_ns: u64,
    /// The socket that began it, by the kernel's cookie; 0 if there was none.
    pub socket: u64,
    /// The rule that allowed its beginning; [`crate::packet::NO_RULE`] if none did.
    pub rule: u32,
    /// The generation that this rule is of.
    pub generation: u32,
    /// The initiator's [`Direction`].
    pub direction: u8,
    /// The [`crate::packet::Reason`] of the verdict on its beginning.
    pub reason: u8,
    /// What was seen of it: bits [`FlowEntry::INITIATOR_DONE`] and following.
    pub state: u8,
    /// 1 if the key's local end began it, which of what is forwarded the direction does not say.
    pub local_is_originator: u8,
    /// The device by which the packet that began it came or went; of what is forwarded, both devices in one number.
    pub device: u32,
    /// Whose it is, as `engine::quota` numbers them: it counts among theirs.
    pub quota_owner: u32,
    /// Its slot among the connections that are not confirmed, of all rings' slots.
    pub pending_slot: u32,
    /// The program at the zone's end, as in [`crate::packet::PacketMeta::program`]; zeros: nobody has looked yet.
    pub program: [u64; 2],
    /// The process's name, zeros if not known.
    pub name: [u64; 2],
    /// The user there, [`NO_USER`] if not known.
    pub user: u32,
    /// 1 if its beginning was told as a packet.
    pub logged: u16,
    /// The device by which the packet that began it came, or went if it came by none: see [`FlowEntry::folded`].
    pub came_by: u16,
    /// What the key's local end has sent since that was last told: see [`carried`].
    pub sent: u64,
    /// What the other end has.
    pub received: u64,
}

/// Packets and their bytes in one number, so that both are counted by one addition.
///
/// There is room for 2^27 packets and 2^37 bytes (128 GiB) of one direction of one connection, until the service takes them: where
/// there is traffic, after five seconds; where there was none, after a minute at most.
#[must_use]
#[inline(always)]
pub const fn carried(packets: u64, bytes: u64) -> u64 {
    (packets << BYTE_BITS).wrapping_add(bytes)
}

/// The packets and bytes that [`carried`] has put together.
#[must_use]
pub const fn packets_and_bytes(carried: u64) -> (u64, u64) {
    (carried >> BYTE_BITS, carried & ((1 << BYTE_BITS) - 1))
}

const BYTE_BITS: u32 = 37;

/// What a connection has carried since that was last told, and whose it is: told when the service asks, and when it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Carried {
    /// Stands first in every record.
    pub header: Header,
    /// Both ends.
    pub key: FlowKey,
    /// The connection.
    pub entry: FlowEntry,
}

impl FlowEntry {
    /// One that begins just now: of no generation, so that nothing passes by it before it is filled in.
    pub const NEW: Self = Self {
        stamp_ns: u64::MAX,
        socket: 0,
        rule: crate::packet::NO_RULE,
        generation: 0,
        direction: 0,
        reason: 0,
        state: 0,
        local_is_originator: 0,
        device: 0,
        quota_owner: 0,
        pending_slot: 0,
        program: [0; 2],
        name: [0; 2],
        user: NO_USER,
        logged: 0,
        came_by: 0,
        sent: 0,
        received: 0,
    };

    /// A device's number in 16 bits. It is that number as long as the system has made no 65,536 devices; after that another one's may be
    /// the same.
    #[must_use]
    #[inline(always)]
    pub const fn folded(device: u32) -> u16 {
        (device ^ device >> 16) as u16
    }

    /// The initiator sends no more (TCP: FIN).
    pub const INITIATOR_DONE: u8 = 1;
    /// The other end sends no more.
    pub const RESPONDER_DONE: u8 = 2;
    /// One end broke it off (TCP: RST).
    pub const BROKEN_OFF: u8 = 4;
    /// The other end has answered.
    pub const ANSWERED: u8 = 8;
    /// The initiator has gone on after the answer; a sender that forges its address can do that too, without seeing the answer.
    pub const CONFIRMED: u8 = 16;
    /// It stands where it makes no room for new ones.
    pub const ASSURED: u8 = 32;
    /// Something that it has carried was told.
    pub const TOLD: u8 = 64;
    /// It was looked who is at the zone's end.
    pub const OWNED: u8 = 128;
    /// Both have ended it.
    pub const DONE: u8 = Self::INITIATOR_DONE | Self::RESPONDER_DONE;
    /// One of them has, one way or another.
    pub const ENDING: u8 = Self::DONE | Self::BROKEN_OFF;
}

/// How many confirmed connections are remembered.
pub const MAX_FLOWS: usize = 65_536;
/// How many of them may have begun outside: a flood from outside leaves room for what the zone begins itself.
pub const MAX_CONFIRMED_ARRIVALS: usize = MAX_FLOWS / 2;
/// How many are remembered that began outside and are not confirmed: the oldest makes room for the next.
pub const MAX_UNCONFIRMED_ARRIVALS: usize = 32_768;
/// How many of the others that are not confirmed each quota owner has: his oldest makes room for his next.
pub const RING: usize = 4096;
/// So many quota owners have as many each; who comes later shares the last ones.
pub const RINGS: usize = 16;
/// How many whose connections are counted: users, the devices that others are forwarded from, networks outside and who sends what is
/// forwarded.
pub const QUOTA_OWNERS: usize = 3 * 65_536;
/// How many ended connections it remembers in the table of the retired, so that what is sent again passes. Each has two slots where it may stand.
pub const MAX_RETIRED: usize = 16_384;

/// The first of the two slots of an ended connection: the other one follows. `seed` keeps those outside from choosing who shares them.
#[must_use]
#[inline(always)]
pub fn first_retired_slot(key: &FlowKey, seed: u64) -> u32 {
    const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
    let [a, b, c, d, e]: &[u64; 5] = zerocopy::transmute_ref!(key);
    let mixed = |so_far: u64, word: u64| {
        let product = (so_far ^ word).wrapping_mul(ODD);
        product ^ product >> 32
    };
    let mixed = mixed(mixed(mixed(mixed(mixed(seed, *a), *b), *c), *d), *e);
    (mixed as u32 & (MAX_RETIRED as u32 / 2 - 1)) * 2
}
/// How many programs' paths the driver remembers.
pub const MAX_PROGRAMS: usize = 8192;

/// The device whose packets never leave the machine, in every network namespace.
pub const LOOPBACK: u32 = 1;

/// The indices of the driver's counters of the service's own packets, by which it sees whether the hooks judge: the version's and the
/// way's added up.
pub mod canary {
    /// IPv4.
    pub const V4: u32 = 0;
    /// IPv6.
    pub const V6: u32 = 1;
    /// It leaves.
    pub const OUT: u32 = 0;
    /// It comes in.
    pub const IN: u32 = 2;
    /// How many counters there are.
    pub const COUNTERS: usize = 4;
    /// How long such a packet is, of IPv4 and of IPv6: its headers, and behind them eight bytes that only the service and its driver know.
    pub const LENGTHS: [u32; 2] = [20 + 8 + 8, 40 + 8 + 8];
}

/// Until when the candidate generation is in force, instead of the confirmed one.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Lease {
    /// The moment at which it ends, in nanoseconds of the clock that includes sleep; 0: there is no candidate.
    pub deadline_ns: u64,
    /// The highest generation's number that was given out. None is given twice, also over restarts of the service.
    pub last_generation: u64,
}

/// The indices of the driver's map of generations.
pub mod generation_index {
    /// The generation that holds without a lease.
    pub const CONFIRMED: u32 = 0;
    /// The one that is tried out.
    pub const CANDIDATE: u32 = 1;
}

/// Who made a socket: what the driver keeps with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Owner {
    /// The process; 0: not known.
    pub pid: u32,
    /// The user it ran as; [`NO_USER`]: not known.
    pub user: u32,
    /// When the process began, in nanoseconds of the clock that includes sleep; 0: not known.
    pub began_ns: u64,
    /// The process's name, in words, which eBPF's compiler copies without a loop.
    pub name: [u64; 2],
    /// See [`crate::packet::PacketMeta::program`].
    pub program: [u64; 2],
}

impl Owner {
    /// Not known.
    pub const NOBODY: Self = Self {
        pid: 0,
        user: NO_USER,
        began_ns: 0,
        name: [0; 2],
        program: [0; 2],
    };
}

/// The service's process, as the driver watches over it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Service {
    /// Its number.
    pub pid: u64,
    /// 1 once it has ended.
    pub gone: u64,
    /// The zone's network namespace, by the kernel's cookie: sockets of the zone's control group may be in others.
    pub netns: u64,
    /// The sockets by which it answers what was rejected, of IPv4 and of IPv6, by their cookies; 0: there is none.
    pub answering: [u64; 2],
}

/// How the kernel's count of ticks becomes nanoseconds since it started. Ticks stand still while the machine sleeps, and nobody
/// corrects them as the clocks are.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Ticks {
    /// The count as the kernel started.
    pub start: u64,
    /// Nanoseconds of one.
    pub length_ns: u64,
}

impl Ticks {
    /// Of a kernel whose ticks are so long. Its count starts five minutes before it fits no more into 32 bits (Linux,
    /// `INITIAL_JIFFIES`).
    #[must_use]
    pub const fn of(length_ns: u64) -> Self {
        let five_minutes = match 1_000_000_000_u64.checked_div(length_ns) {
            Some(per_second) => 300 * per_second,
            None => 0,
        };
        Self {
            start: (1_u64 << 32).wrapping_sub(five_minutes),
            length_ns,
        }
    }

    /// Nanoseconds since the kernel started, at this count.
    #[must_use]
    #[inline(always)]
    pub const fn nanoseconds(self, count: u64) -> u64 {
        count.wrapping_sub(self.start).wrapping_mul(self.length_ns)
    }
}

/// Where the driver finds things in this kernel's own structures, in bytes. A kernel that does not say all of it (no BTF, or a
/// field that it names otherwise) does not get the driver.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Offsets {
    /// `task_struct.mm`
    pub task_mm: u32,
    /// `task_struct.real_parent`
    pub task_parent: u32,
    /// `task_struct.tgid`
    pub task_tgid: u32,
    /// `task_struct.signal`
    pub task_signal: u32,
    /// `task_struct.group_leader`
    pub task_leader: u32,
    /// `task_struct.comm`
    pub task_name: u32,
    /// `task_struct.start_boottime`
    pub task_started: u32,
    /// `signal_struct.live`
    pub signal_live: u32,
    /// `signal_struct.group_exit_code`
    pub signal_exit_code: u32,
    /// `mm_struct.exe_file`
    pub mm_exe_file: u32,
    /// `mm_struct.arg_start`
    pub mm_arg_start: u32,
    /// `mm_struct.arg_end`
    pub mm_arg_end: u32,
    /// `file.f_inode`
    pub file_inode: u32,
    /// `inode.i_ino`
    pub inode_number: u32,
    /// `inode.i_sb`
    pub inode_super_block: u32,
    /// `super_block.s_dev`
    pub super_block_device: u32,
    /// `group_dead` in what `sched_process_exit` says; 0 where it does not (before Linux 6.16).
    pub exit_group_dead: u32,
    /// `sk_buff.head`
    pub skb_head: u32,
    /// `sk_buff.sk`
    pub skb_socket: u32,
    /// `sk_buff.dev`
    pub skb_device: u32,
    /// `sk_buff.len`
    pub skb_length: u32,
    /// `sk_buff._skb_refdst`: the route, and in its lowest bit whose reference it is.
    pub skb_route: u32,
    /// `rtable.rt_flags`, of IPv4's routes.
    pub route_flags: u32,
    /// `dst_entry.dev`: the device that a route leads out by.
    pub route_device: u32,
    /// `nf_hook_state.in`
    pub state_in: u32,
    /// `nf_hook_state.out`
    pub state_out: u32,
    /// `net_device.ifindex`
    pub device_index: u32,
    /// `net_device.name`
    pub device_name: u32,
    /// `sock_common.skc_state`
    pub socket_state: u32,
    /// `sock_common.skc_cookie`
    pub socket_cookie: u32,
    /// `sock_common.skc_listener`, of what waits for the last packet of a handshake.
    pub socket_listener: u32,
    /// `sock_common.skc_net`
    pub socket_netns: u32,
    /// `net.net_cookie`
    pub netns_cookie: u32,
    /// `sock.sk_uid`
    pub socket_user: u32,
    /// `sock.sk_protocol`
    pub socket_protocol: u32,
    /// `sock.sk_kern_sock`: the byte in which it is one bit.
    pub socket_kernel: u32,
    /// That bit.
    pub socket_kernel_bit: u32,
    /// `sock.sk_bpf_storage`
    pub socket_storage: u32,
    /// `bpf_local_storage.list`
    pub storage_list: u32,
    /// `bpf_local_storage_elem.snode`
    pub element_node: u32,
    /// `bpf_local_storage_elem.sdata`
    pub element_data: u32,
    /// `bpf_local_storage_data.data`, behind the map that it is of.
    pub data_value: u32,
    /// 1 if the others hold, but for the following.
    pub known: u32,
    /// What is found out before a connection is asked for.
    pub calls: CallOffsets,
    /// What is found out of a packet whose destination was translated.
    pub translated: TranslatedOffsets,
    /// What is found out of a bridge.
    pub guests: GuestOffsets,
    /// What is found out of a subflow of MPTCP.
    pub subflows: SubflowOffsets,
}

/// Where the driver finds whose a subflow of MPTCP is that the kernel has made; all 0 where the kernel does not say all of it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct SubflowOffsets {
    /// `inet_connection_sock.icsk_ulp_data`
    pub socket_context: u32,
    /// `mptcp_subflow_context.tcp_sock`
    pub context_socket: u32,
    /// `mptcp_subflow_context.conn`
    pub context_connection: u32,
    /// 1 if the others hold.
    pub known: u32,
}

/// Where the driver finds what is behind a bridge's ports; all 0 where the kernel does not say all of it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct GuestOffsets {
    /// `net_device.nd_net`
    pub device_netns: u32,
    /// `net_device.rtnl_link_ops`
    pub device_link: u32,
    /// `rtnl_link_ops.kind`
    pub link_kind: u32,
    /// What stands behind a `net_device` and is its kind's own.
    pub device_private: u32,
    /// `net_device.adj_list.lower`: a bridge's ports.
    pub device_lower: u32,
    /// `netdev_adjacent.dev`
    pub neighbour_device: u32,
    /// `netdev_adjacent.list`
    pub neighbour_list: u32,
    /// `net.list`
    pub netns_list: u32,
    /// `net.loopback_dev`
    pub netns_loopback: u32,
    /// 1 if the others hold.
    pub known: u32,
}

/// Where the driver finds what the kernel's connection tracking knows of a packet; all 0 where the kernel does not say all of it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct TranslatedOffsets {
    /// `sk_buff._nfct`
    pub skb_tracked: u32,
    /// `nf_hook_state.net`
    pub state_netns: u32,
    /// `nf_conn.status`
    pub status: u32,
    /// `nf_conn.tuplehash[0].tuple.src`
    pub source: u32,
    /// `nf_conn.tuplehash[0].tuple.dst`
    pub destination: u32,
    /// 1 if the others hold.
    pub known: u32,
}

/// Where the driver finds what it takes to refuse a call at once; all 0 where the kernel does not say all of it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct CallOffsets {
    /// `bpf_sock_addr_kern.sk`
    pub socket: u32,
    /// `net.dev_base_head`
    pub netns_devices: u32,
    /// `net_device.dev_list`
    pub device_list: u32,
    /// `net_device.ip_ptr`
    pub device_v4: u32,
    /// `net_device.ip6_ptr`
    pub device_v6: u32,
    /// `in_device.ifa_list`
    pub v4_list: u32,
    /// `in_ifaddr.ifa_next`
    pub v4_next: u32,
    /// `in_ifaddr.ifa_local`
    pub v4_address: u32,
    /// `in_ifaddr.ifa_mask`
    pub v4_mask: u32,
    /// `inet6_dev.addr_list`
    pub v6_list: u32,
    /// `inet6_ifaddr.if_list`
    pub v6_node: u32,
    /// `inet6_ifaddr.addr`
    pub v6_address: u32,
    /// `inet6_ifaddr.prefix_len`
    pub v6_prefix: u32,
    /// `net.ipv4.fib_has_custom_local_routes`
    pub netns_own_routes_v4: u32,
    /// `net.nf.hooks_ipv4`
    pub netns_hooks_v4: u32,
    /// `net.nf.hooks_ipv6`
    pub netns_hooks_v6: u32,
    /// `nf_hook_entries.num_hook_entries`
    pub hooks_count: u32,
    /// `nf_hook_entries.hooks`
    pub hooks_first: u32,
    /// `nf_hook_entry.priv`
    pub hook_private: u32,
    /// `nf_hook_ops.hook_ops_type`
    pub hook_kind: u32,
    /// `nf_hook_ops.priority`
    pub hook_priority: u32,
    /// 1 if the others hold.
    pub known: u32,
}

/// [`Offsets`] in words, as the driver has them.
pub type OffsetWords = [u32; size_of::<Offsets>() / 4];

const _: () = {
    assert!(
        size_of::<Verdicts>() == 128 && size_of::<FlowKey>() == 40 && size_of::<FlowEntry>() == 96
    );
    assert!(size_of::<Lease>() == 16 && size_of::<Service>() == 40);
    assert!(size_of::<Owner>() == 48 && size_of::<Offsets>() == 340 && size_of::<Ticks>() == 16);
};
