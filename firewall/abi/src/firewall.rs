//! Counters, flow table, kernel offsets and other state that the firewall's driver and its service share.

use crate::packet::{Direction, NO_USER, Verdict};
use channel_abi::Header;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Number of cache-line groups of [`Verdicts`]; processors with higher numbers share them.
pub const VERDICT_LINES: usize = 64;

/// Packet counters of one processor since the driver was loaded, in cache lines of its own. They grow by atomic adds
/// (I5); what is decided anew is taken back.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Verdicts {
    /// Packets into the zone that were allowed.
    pub allowed_in: u64,
    /// Packets into the zone that were dropped.
    pub blocked_in: u64,
    /// Packets out of the zone that were allowed.
    pub allowed_out: u64,
    /// Packets out of the zone that were dropped.
    pub blocked_out: u64,
    /// Packets of connections that found no room: confirmed ones in the table of assured connections, which stay where
    /// new ones may evict them, or new ones.
    pub flows_full: u64,
    /// Packets through the zone that were allowed.
    pub allowed_forward: u64,
    /// Packets through the zone that were dropped.
    pub blocked_forward: u64,
    /// Calls of `connect` that failed at once, before there was a packet.
    pub refused_connects: u64,
    /// Packets into the zone that a rule left to the receiving socket, and that no judged socket has received: one that
    /// does takes its own back, on whichever processor.
    pub left_in: u64,
    /// Padding to two cache lines.
    pub spare: [u64; 7],
}

impl Verdicts {
    /// Adds the counters of two processors.
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

    /// Returns the number of dropped packets, in every direction.
    #[must_use]
    pub const fn blocked(&self) -> u64 {
        self.blocked_in
            .wrapping_add(self.blocked_out)
            .wrapping_add(self.blocked_forward)
    }

    /// Returns the number of allowed packets, in every direction.
    #[must_use]
    pub const fn allowed(&self) -> u64 {
        self.allowed_in
            .wrapping_add(self.allowed_out)
            .wrapping_add(self.allowed_forward)
    }

    /// Returns the counter of one direction and verdict, by their numbers.
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

/// Key of the flow table: both endpoints of a connection, as seen from the zone. Of a connection that the zone
/// forwards, the local end is the one with the lower address. Aligned, so that it is copied in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(8))]
pub struct FlowKey {
    /// Address of the local end.
    pub local: [u8; 16],
    /// Address of the remote end.
    pub remote: [u8; 16],
    /// Port of the local end; for an ICMP echo 1 at the end that asks, 0 at the other.
    pub local_port: u16,
    /// Port of the remote end, likewise.
    pub remote_port: u16,
    /// IP protocol number, with the bit [`FlowKey::FORWARDED`] or [`FlowKey::GROUP`].
    pub protocol: u32,
}

impl FlowKey {
    /// Bit of a forwarded connection, of which the zone is neither end: it is not the one that begins or ends in the
    /// zone between the same addresses.
    pub const FORWARDED: u32 = 1 << 8;
    /// Bit of a request to a multicast group or broadcast address, which anybody may answer: the remote address is
    /// zeros.
    pub const GROUP: u32 = 1 << 9;
}

/// Entry of the flow table: originator, owner, rule, state and counters of a tracked connection.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct FlowEntry {
    /// Time of its last packet, in nanoseconds by the kernel's [`Ticks`].
    pub stamp_ns: u64,
    /// Socket that began it, by the kernel's cookie; 0 if there was none.
    pub socket: u64,
    /// Rule that allowed its first packet; [`crate::packet::NO_RULE`] if none did.
    pub rule: u32,
    /// Generation of that rule.
    pub generation: u32,
    /// [`Direction`] of the originator's packets.
    pub direction: u8,
    /// [`crate::packet::Reason`] of the verdict on its first packet.
    pub reason: u8,
    /// State of the connection: bits [`FlowEntry::ORIGINATOR_DONE`] and following.
    pub state: u8,
    /// 1 if the key's local end is the originator; of a forwarded connection the direction does not say so.
    pub local_is_originator: u8,
    /// Network device by which its first packet came or went; of a forwarded connection, both devices in one number.
    pub device: u32,
    /// Quota owner that it is charged to, by its number in `engine::quota`.
    pub quota_owner: u32,
    /// Slot among the unconfirmed connections, numbered through all rings.
    pub pending_slot: u32,
    /// Program at the local end, as in [`crate::packet::PacketMeta::program`]; zeros if it was not looked up yet.
    pub program: [u64; 2],
    /// Name of the process at the local end; zeros if not known.
    pub name: [u64; 2],
    /// User at the local end; [`NO_USER`] if not known.
    pub user: u32,
    /// 1 if its first packet was reported as a record.
    pub logged: u16,
    /// Network device by which its first packet came, or went if it came by none, as [`FlowEntry::folded`] numbers it.
    pub came_by: u16,
    /// Packets and bytes that the key's local end has sent since the last report, encoded by [`carried`].
    pub sent: u64,
    /// Packets and bytes that the key's remote end has sent since then, likewise.
    pub received: u64,
}

/// Encodes a number of packets and their bytes in one integer, so that both are counted by one addition.
///
/// There is room for 2^27 packets and 2^37 bytes (128 GiB) of one direction of one connection, until the service takes
/// them: where there is traffic, after five seconds; where there was none, after a minute at most.
#[must_use]
#[inline(always)]
pub const fn carried(packets: u64, bytes: u64) -> u64 {
    (packets << BYTE_BITS).wrapping_add(bytes)
}

/// Decodes the packets and bytes that [`carried`] has encoded.
#[must_use]
pub const fn packets_and_bytes(carried: u64) -> (u64, u64) {
    (carried >> BYTE_BITS, carried & ((1 << BYTE_BITS) - 1))
}

const BYTE_BITS: u32 = 37;

/// Record of the packets and bytes that a connection has carried since the last report, with its owner: made when the
/// service asks, and when the connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Carried {
    /// Header of every record; stands first.
    pub header: Header,
    /// Both endpoints of the connection.
    pub key: FlowKey,
    /// Entry of the connection in the flow table.
    pub entry: FlowEntry,
}

impl FlowEntry {
    /// Entry of a connection that begins just now: of no generation, so that nothing passes by it before it is filled
    /// in.
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

    /// Folds the index of a network device into 16 bits. The result is the index itself as long as the system has made
    /// no 65,536 devices; after that two devices may share one.
    #[must_use]
    #[inline(always)]
    pub const fn folded(device: u32) -> u16 {
        (device ^ device >> 16) as u16
    }

    /// State bit: the originator sends no more (TCP: FIN).
    pub const ORIGINATOR_DONE: u8 = 1;
    /// State bit: the responder sends no more.
    pub const RESPONDER_DONE: u8 = 2;
    /// State bit: one end has aborted the connection (TCP: RST).
    pub const BROKEN_OFF: u8 = 4;
    /// State bit: the responder has answered.
    pub const ANSWERED: u8 = 8;
    /// State bit: the originator has gone on after the answer. A sender that forges its address can do that too,
    /// without seeing the answer.
    pub const CONFIRMED: u8 = 16;
    /// State bit: the entry stands in the table whose entries new connections do not evict.
    pub const ASSURED: u8 = 32;
    /// State bit: a [`Carried`] record of the connection was made.
    pub const TOLD: u8 = 64;
    /// State bit: the socket owner at the local end was looked up.
    pub const OWNED: u8 = 128;
    /// State bits of a connection that both ends have closed.
    pub const DONE: u8 = Self::ORIGINATOR_DONE | Self::RESPONDER_DONE;
    /// State bits of which one is set once an end has closed or aborted the connection.
    pub const ENDING: u8 = Self::DONE | Self::BROKEN_OFF;
}

/// Capacity of the table of confirmed connections.
pub const MAX_FLOWS: usize = 65_536;
/// Number of confirmed connections that may have begun outside: a flood from outside leaves room for what the zone
/// begins itself.
pub const MAX_CONFIRMED_ARRIVALS: usize = MAX_FLOWS / 2;
/// Capacity of the table of connections that began outside and are not confirmed: the oldest makes room for the next.
pub const MAX_UNCONFIRMED_ARRIVALS: usize = 32_768;
/// Slots for each quota owner's other unconfirmed connections: its oldest makes room for its next.
pub const RING: usize = 4096;
/// Number of rings of such slots: the first quota owners have one each, later ones share the last.
pub const RINGS: usize = 16;
/// Number of quota owners whose connections are counted: users, devices that others are forwarded from, remote
/// networks, and senders of forwarded packets.
pub const QUOTA_OWNERS: usize = 3 * 65_536;
/// Slots of the table of retired connections, which lets retransmissions of ended connections pass (as in `TIME_WAIT`).
/// Each connection may stand in either of two slots.
pub const MAX_RETIRED: usize = 16_384;

/// Returns the first of the two slots of an ended connection; the other one follows it. `seed` keeps remote hosts from
/// choosing which connections share a slot.
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
/// Capacity of the driver's table of programs' paths.
pub const MAX_PROGRAMS: usize = 8192;

/// Index of the loopback device, in every network namespace.
pub const LOOPBACK: u32 = 1;

/// Indices of the driver's counters of canary packets, which the service sends to see whether the hooks judge: the
/// index of the IP version plus that of the direction.
pub mod canary {
    /// Index of IPv4.
    pub const V4: u32 = 0;
    /// Index of IPv6.
    pub const V6: u32 = 1;
    /// Index of outbound packets.
    pub const OUT: u32 = 0;
    /// Index of inbound packets.
    pub const IN: u32 = 2;
    /// Number of counters.
    pub const COUNTERS: usize = 4;
    /// Lengths of a canary packet of IPv4 and of IPv6, in bytes: its headers, and behind them eight bytes that only the
    /// service and its driver know.
    pub const LENGTHS: [u32; 2] = [20 + 8 + 8, 40 + 8 + 8];
}

/// Lease of the candidate generation, which is in force instead of the confirmed one until it ends (commit-confirmed).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Lease {
    /// End of the lease, in nanoseconds of the clock that includes sleep; 0 if there is no candidate.
    pub deadline_ns: u64,
    /// Highest generation number that was given out. No number is given twice, also over restarts of the service.
    pub last_generation: u64,
}

/// Indices into the driver's map of generations.
pub mod generation_index {
    /// Index of the generation that is in force without a lease.
    pub const CONFIRMED: u32 = 0;
    /// Index of the generation that is tried out on a lease.
    pub const CANDIDATE: u32 = 1;
}

/// Socket owner: the process, user and program that made a socket, in the driver's socket storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Owner {
    /// Process; 0 if not known.
    pub pid: u32,
    /// User that the process ran as; [`NO_USER`] if not known.
    pub user: u32,
    /// Start time of the process, in nanoseconds of the clock that includes sleep; 0 if not known.
    pub began_ns: u64,
    /// Name of the process, in words, which the eBPF compiler copies without a loop.
    pub name: [u64; 2],
    /// Program of the process, as in [`crate::packet::PacketMeta::program`].
    pub program: [u64; 2],
}

impl Owner {
    /// Owner of which nothing is known.
    pub const NOBODY: Self = Self {
        pid: 0,
        user: NO_USER,
        began_ns: 0,
        name: [0; 2],
        program: [0; 2],
    };
}

/// State of the service that the driver watches and uses.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Service {
    /// Process number of the service.
    pub pid: u64,
    /// 1 once the service has ended.
    pub gone: u64,
    /// Network namespace of the zone, by the kernel's cookie: sockets of the zone's control group may be in others.
    pub netns: u64,
    /// Sockets by which the service answers rejected packets, of IPv4 and of IPv6, by their cookies; 0 if there is
    /// none.
    pub answering: [u64; 2],
    /// 1 if a resolver on this machine is asked for names: what goes to and fro between it and programs here says the
    /// names of addresses.
    pub resolver_here: u64,
}

/// Conversion of the kernel's tick count (jiffies) to nanoseconds since it started. Ticks stand still while the machine
/// sleeps, and are not corrected as the clocks are.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Ticks {
    /// Tick count at the kernel's start.
    pub start: u64,
    /// Length of one tick, in nanoseconds.
    pub length_ns: u64,
}

impl Ticks {
    /// Makes the conversion for a kernel with ticks of this length. Its count starts five minutes before it overflows
    /// 32 bits (Linux, `INITIAL_JIFFIES`).
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

    /// Converts a tick count to nanoseconds since the kernel started.
    #[must_use]
    #[inline(always)]
    pub const fn nanoseconds(self, count: u64) -> u64 {
        count.wrapping_sub(self.start).wrapping_mul(self.length_ns)
    }
}

/// Offsets, in bytes, of fields in this kernel's own structures. A kernel that does not tell all of them (no BTF, or a
/// field with another name) does not get the driver.
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
    /// `linux_binprm.filename`
    pub executed_path: u32,
    /// 1 if the tracepoint `sched_process_exit` has the argument `group_dead`; 0 before Linux 6.16.
    pub exit_says_last: u32,
    /// `sk_buff.head`
    pub skb_head: u32,
    /// `sk_buff.sk`
    pub skb_socket: u32,
    /// `sk_buff.dev`
    pub skb_device: u32,
    /// `sk_buff.len`
    pub skb_length: u32,
    /// `sk_buff._skb_refdst`: the route, and in its lowest bit whether a reference to it is held.
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
    /// `sock_common.skc_listener`, of a socket that waits for the last packet of a handshake.
    pub socket_listener: u32,
    /// `sock_common.skc_net`
    pub socket_netns: u32,
    /// `net.net_cookie`
    pub netns_cookie: u32,
    /// `sock.sk_uid`
    pub socket_user: u32,
    /// `sock.sk_protocol`
    pub socket_protocol: u32,
    /// `sock.sk_kern_sock`: the byte that holds this bit.
    pub socket_kernel: u32,
    /// `sock.sk_kern_sock`: the bit in that byte.
    pub socket_kernel_bit: u32,
    /// `sock.sk_bpf_storage`
    pub socket_storage: u32,
    /// `bpf_local_storage.list`
    pub storage_list: u32,
    /// `bpf_local_storage_elem.snode`
    pub element_node: u32,
    /// `bpf_local_storage_elem.sdata`
    pub element_data: u32,
    /// `bpf_local_storage_data.data`, behind the pointer to its map.
    pub data_value: u32,
    /// `net.ipv4.sysctl_ip_prot_sock`: the first port that takes no right to bind; 0 where there is none.
    pub netns_first_free_port: u32,
    /// Type number (BTF) of a structure that begins with 64 bits: numbers are read as its first member.
    pub number_type: u32,
    /// 1 if the offsets above are valid.
    pub known: u32,
    /// Offsets for refusing a call (`connect`) at once.
    pub calls: CallOffsets,
    /// Offsets for packets whose destination was translated (NAT).
    pub translated: TranslatedOffsets,
    /// Offsets for what is behind a bridge.
    pub guests: GuestOffsets,
    /// Offsets for subflows of MPTCP.
    pub subflows: SubflowOffsets,
}

/// Offsets of the fields that lead to the owner of an MPTCP subflow that the kernel has made; all 0 where the kernel
/// does not tell all of them.
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
    /// 1 if the other offsets are valid.
    pub known: u32,
}

/// Offsets of the fields that lead to what is behind a bridge's ports; all 0 where the kernel does not tell all of
/// them.
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
    /// Private data of the device's kind, behind its `net_device`.
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
    /// 1 if the other offsets are valid.
    pub known: u32,
}

/// Offsets of the fields of conntrack's entry of a packet; all 0 where the kernel does not tell all of them.
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
    /// 1 if the other offsets are valid.
    pub known: u32,
}

/// Offsets of the fields that it takes to refuse a call (`connect`) at once; all 0 where the kernel does not tell all
/// of them.
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
    /// 1 if the other offsets are valid.
    pub known: u32,
}

/// [`Offsets`] in words, by whose indices the driver's code names them.
pub type OffsetWords = [u32; size_of::<Offsets>() / 4];

const _: () = {
    assert!(
        size_of::<Verdicts>() == 128 && size_of::<FlowKey>() == 40 && size_of::<FlowEntry>() == 96
    );
    assert!(size_of::<Lease>() == 16 && size_of::<Service>() == 48);
    assert!(size_of::<Owner>() == 48 && size_of::<Offsets>() == 352 && size_of::<Ticks>() == 16);
};
