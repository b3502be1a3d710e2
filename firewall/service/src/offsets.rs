//! Offsets in this kernel's own structures, for the driver: read from the type data (BTF) that the kernel shows of
//! itself. Rust's compiler writes no relocations for such fields, so the driver is told when it is loaded.
//!
//! The data is walked as it lies there, 5 MiB of it, and nothing is kept:
//! a parsed copy would be most of the service's memory.

use firewall_abi::firewall::{
    CallOffsets, GuestOffsets, Offsets, SubflowOffsets, TranslatedOffsets,
};
use std::path::Path;

/// File in which the kernel shows its type data.
const SHOWN: &str = "/sys/kernel/btf/vmlinux";

/// Record of the tracepoint at a thread's end: it has a field `group_dead` where the tracepoint
/// has an argument of that name.
const EXIT: &str = "trace_event_raw_sched_process_exit";

/// Facts about the running kernel that the driver is told as it is loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kernel {
    pub offsets: Offsets,
    /// The numbers of the kernel's own functions that the driver calls, in the order of [`CALLED`].
    pub functions: [u32; 3],
}

/// The functions of the kernel that the driver calls: by the number after the mark in its code, from 1.
const CALLED: [&str; 3] = ["bpf_dynptr_from_skb", "bpf_dynptr_slice", "bpf_rdonly_cast"];
/// A structure that begins with a number of 64 bits.
const NUMBER: &str = "timespec64";

/// Reads this kernel's type data; `None`: there is none, or it lacks something that the driver needs.
pub fn of_this_kernel() -> Option<Kernel> {
    kernel(&std::fs::read(Path::new(SHOWN)).ok()?)
}

fn kernel(bytes: &[u8]) -> Option<Kernel> {
    let types = Types::of(bytes)?;
    let [view, slice, cast] = CALLED.map(|name| types.function(name));
    Some(Kernel {
        offsets: offsets(&types)?,
        functions: [view?, slice?, cast?],
    })
}

fn offsets(types: &Types<'_>) -> Option<Offsets> {
    let task = types.structure("task_struct")?;
    let signal = types.structure("signal_struct")?;
    let memory = types.structure("mm_struct")?;
    let file = types.structure("file")?;
    let inode = types.structure("inode")?;
    let super_block = types.structure("super_block")?;
    let skb = types.structure("sk_buff")?;
    let state = types.structure("nf_hook_state")?;
    let device = types.structure("net_device")?;
    let common = types.structure("sock_common")?;
    let socket = types.structure("sock")?;
    let storage = types.structure("bpf_local_storage")?;
    let element = types.structure("bpf_local_storage_elem")?;
    let data = types.structure("bpf_local_storage_data")?;
    let kernels_own = types.bits(socket, "sk_kern_sock")?;
    Some(Offsets {
        task_mm: types.member(task, "mm")?,
        task_parent: types.member(task, "real_parent")?,
        task_tgid: types.member(task, "tgid")?,
        task_signal: types.member(task, "signal")?,
        task_leader: types.member(task, "group_leader")?,
        task_name: types.member(task, "comm")?,
        task_started: types.member(task, "start_boottime")?,
        signal_live: types.member(signal, "live")?,
        signal_exit_code: types.member(signal, "group_exit_code")?,
        mm_exe_file: types.member(memory, "exe_file")?,
        mm_arg_start: types.member(memory, "arg_start")?,
        mm_arg_end: types.member(memory, "arg_end")?,
        file_inode: types.member(file, "f_inode")?,
        inode_number: types.member(inode, "i_ino")?,
        inode_super_block: types.member(inode, "i_sb")?,
        super_block_device: types.member(super_block, "s_dev")?,
        executed_path: types.member(types.structure("linux_binprm")?, "filename")?,
        exit_says_last: types
            .structure(EXIT)
            .and_then(|exit| types.member(exit, "group_dead"))
            .is_some()
            .into(),
        skb_head: types.member(skb, "head")?,
        skb_socket: types.member(skb, "sk")?,
        skb_device: types.member(skb, "dev")?,
        skb_length: types.member(skb, "len")?,
        skb_route: types.member(skb, "_skb_refdst")?,
        route_flags: types.member(types.structure("rtable")?, "rt_flags")?,
        route_device: types.member(types.structure("dst_entry")?, "dev")?,
        state_in: types.member(state, "in")?,
        state_out: types.member(state, "out")?,
        device_index: types.member(device, "ifindex")?,
        device_name: types.member(device, "name")?,
        socket_state: types.member(common, "skc_state")?,
        socket_cookie: types.member(common, "skc_cookie")?,
        socket_listener: types.member(common, "skc_listener")?,
        socket_netns: types.member(common, "skc_net")?,
        netns_cookie: types.member(types.structure("net")?, "net_cookie")?,
        socket_user: types.member(socket, "sk_uid")?,
        socket_protocol: types.member(socket, "sk_protocol")?,
        socket_kernel: kernels_own / 8,
        socket_kernel_bit: 1 << (kernels_own % 8),
        socket_storage: types.member(socket, "sk_bpf_storage")?,
        storage_list: types.member(storage, "list")?,
        element_node: types.member(element, "snode")?,
        element_data: types.member(element, "sdata")?,
        data_value: types.member(data, "data")?,
        netns_first_free_port: first_free_port(types).unwrap_or(0),
        number_type: types.number_of(STRUCT, NUMBER)?,
        known: 1,
        calls: calls(types).unwrap_or_default(),
        translated: translated(types).unwrap_or_default(),
        guests: guests(types).unwrap_or_default(),
        subflows: subflows(types).unwrap_or_default(),
    })
}

/// Reads where a network namespace has the first port that takes no right to bind.
fn first_free_port(types: &Types<'_>) -> Option<u32> {
    let ports = types.member(types.structure("netns_ipv4")?, "sysctl_ip_prot_sock")?;
    Some(types.member(types.structure("net")?, "ipv4")? + ports)
}

/// Reads the offsets that tell whose a subflow is that the kernel has made. Without them,
/// or MPTCP, it may be anybody's.
fn subflows(types: &Types<'_>) -> Option<SubflowOffsets> {
    let context = types.structure("mptcp_subflow_context")?;
    let socket = types.structure("inet_connection_sock")?;
    Some(SubflowOffsets {
        socket_context: types.member(socket, "icsk_ulp_data")?,
        context_socket: types.member(context, "tcp_sock")?,
        context_connection: types.member(context, "conn")?,
        known: 1,
    })
}

/// Reads the offsets that tell what is behind a bridge's ports. Without them, no bridge leads to guests alone.
fn guests(types: &Types<'_>) -> Option<GuestOffsets> {
    /// `NETDEV_ALIGN`
    const ALIGNED: u32 = 32;
    let device = types.structure("net_device")?;
    let neighbour = types.structure("netdev_adjacent")?;
    let netns = types.structure("net")?;
    let link = types.structure("rtnl_link_ops")?;
    // A member since Linux 6.10.
    let private = types.member(device, "priv");
    Some(GuestOffsets {
        device_netns: types.member(device, "nd_net")?,
        device_link: types.member(device, "rtnl_link_ops")?,
        link_kind: types.member(link, "kind")?,
        device_private: private.unwrap_or(device.other.next_multiple_of(ALIGNED)),
        device_lower: types.member_of(device, "adj_list", "lower")?,
        neighbour_device: types.member(neighbour, "dev")?,
        neighbour_list: types.member(neighbour, "list")?,
        netns_list: types.member(netns, "list")?,
        netns_loopback: types.member(netns, "loopback_dev")?,
        known: 1,
    })
}

/// Reads the offsets of a packet's destination before translation. Without them, only the translated one is known.
fn translated(types: &Types<'_>) -> Option<TranslatedOffsets> {
    let member = |structure, name| types.member(types.structure(structure)?, name);
    // The first of two: of the direction in which the connection began.
    let began = member("nf_conn", "tuplehash")? + member("nf_conntrack_tuple_hash", "tuple")?;
    Some(TranslatedOffsets {
        skb_tracked: member("sk_buff", "_nfct")?,
        state_netns: member("nf_hook_state", "net")?,
        status: member("nf_conn", "status")?,
        source: began + member("nf_conntrack_tuple", "src")?,
        destination: began + member("nf_conntrack_tuple", "dst")?,
        known: 1,
    })
}

/// Reads the offsets by which a connect is refused at once. Without them that is left to the connection's first packet.
fn calls(types: &Types<'_>) -> Option<CallOffsets> {
    let netns = types.structure("net")?;
    let hooks = types.structure("netns_nf")?;
    let device = types.structure("net_device")?;
    let address = types.structure("in_ifaddr")?;
    let address_v6 = types.structure("inet6_ifaddr")?;
    let entries = types.structure("nf_hook_entries")?;
    let member = |structure, name| types.member(types.structure(structure)?, name);
    let netns_hooks = types.member(netns, "nf")?;
    Some(CallOffsets {
        socket: member("bpf_sock_addr_kern", "sk")?,
        netns_devices: types.member(netns, "dev_base_head")?,
        device_list: types.member(device, "dev_list")?,
        device_v4: types.member(device, "ip_ptr")?,
        device_v6: types.member(device, "ip6_ptr")?,
        v4_list: member("in_device", "ifa_list")?,
        v4_next: types.member(address, "ifa_next")?,
        v4_address: types.member(address, "ifa_local")?,
        v4_mask: types.member(address, "ifa_mask")?,
        v6_list: member("inet6_dev", "addr_list")?,
        v6_node: types.member(address_v6, "if_list")?,
        v6_address: types.member(address_v6, "addr")?,
        v6_prefix: types.member(address_v6, "prefix_len")?,
        netns_own_routes_v4: types.member(netns, "ipv4")?
            + member("netns_ipv4", "fib_has_custom_local_routes")?,
        netns_hooks_v4: netns_hooks + types.member(hooks, "hooks_ipv4")?,
        netns_hooks_v6: netns_hooks + types.member(hooks, "hooks_ipv6")?,
        hooks_count: types.member(entries, "num_hook_entries")?,
        hooks_first: types.member(entries, "hooks")?,
        hook_private: member("nf_hook_entry", "priv")?,
        hook_kind: member("nf_hook_ops", "hook_ops_type")?,
        hook_priority: member("nf_hook_ops", "priority")?,
        known: 1,
    })
}

/// `BTF_KIND_`.
const INT: u32 = 1;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ENUM: u32 = 6;
const FUNCTION: u32 = 12;
const PROTOTYPE: u32 = 13;
const VARIABLE: u32 = 14;
const SECTION: u32 = 15;
const DECLARATION_TAG: u32 = 17;
const ENUM64: u32 = 19;
/// The kinds that stand for another type: typedef, volatile, const, restrict, type tag.
const OTHERS: [u32; 5] = [8, 9, 10, 11, 18];

const MAGIC: u16 = 0xEB9F;
/// Bytes of a type before what its kind has besides, and of a member.
const TYPE: usize = 12;
const MEMBER: usize = 12;
/// Structures without a name in structures: deeper than any kernel's.
const DEEPEST: u32 = 8;

/// Type data, where it lies.
struct Types<'a> {
    types: &'a [u8],
    names: &'a [u8],
    /// Offset of each type's start, by its number; type 0 is `void` and has no place.
    places: Vec<u32>,
}

/// One type.
#[derive(Clone, Copy)]
struct Type<'a> {
    name: u32,
    kind: u32,
    /// `true` if members may be bit fields, whose width stands in the offset's upper byte.
    bit_fields: bool,
    /// Size, or the type that it stands for.
    other: u32,
    members: &'a [u8],
}

impl<'a> Types<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        if u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?) != MAGIC {
            return None;
        }
        let header = word(bytes, 4)? as usize;
        let part = |at: usize| {
            let (start, length) = (
                header + word(bytes, at)? as usize,
                word(bytes, at + 4)? as usize,
            );
            bytes.get(start..start.checked_add(length)?)
        };
        let mut all = Self {
            types: part(8)?,
            names: part(16)?,
            places: vec![0],
        };
        let mut at = 0;
        while at < all.types.len() {
            all.places.push(u32::try_from(at).ok()?);
            let (_, length) = all.at(at)?;
            at += length;
        }
        Some(all)
    }

    /// The type at a place, and how many bytes it takes.
    fn at(&self, at: usize) -> Option<(Type<'a>, usize)> {
        let info = word(self.types, at + 4)?;
        let (count, kind) = ((info & 0xFFFF) as usize, info >> 24 & 0x1F);
        let besides = match kind {
            INT | VARIABLE | DECLARATION_TAG => 4,
            ARRAY => 12,
            STRUCT | UNION | SECTION | ENUM64 => count * 12,
            ENUM | PROTOTYPE => count * 8,
            _ => 0,
        };
        let (name, other) = (word(self.types, at)?, word(self.types, at + 8)?);
        let members = self.types.get(at + TYPE..at + TYPE + besides)?;
        Some((
            Type {
                name,
                kind,
                bit_fields: info >> 31 == 1,
                other,
                members,
            },
            TYPE + besides,
        ))
    }

    fn number(&self, number: u32) -> Option<Type<'a>> {
        let place = self.places.get(number as usize).filter(|_| number != 0)?;
        self.at(*place as usize).map(|(found, _)| found)
    }

    fn is_called(&self, name: u32, wanted: &str) -> bool {
        let here = self.names.get(name as usize..).unwrap_or_default();
        here.strip_prefix(wanted.as_bytes())
            .is_some_and(|rest| rest.first() == Some(&0))
    }

    fn structure(&self, name: &str) -> Option<Type<'a>> {
        self.number(self.number_of(STRUCT, name)?)
    }

    /// The number of a function.
    fn function(&self, name: &str) -> Option<u32> {
        self.number_of(FUNCTION, name)
    }

    /// The number of the first type of this kind and name.
    fn number_of(&self, kind: u32, name: &str) -> Option<u32> {
        (1..u32::try_from(self.places.len()).ok()?).find(|number| {
            self.number(*number)
                .is_some_and(|found| found.kind == kind && self.is_called(found.name, name))
        })
    }

    /// Returns the offset of a member in a structure, in bytes.
    fn member(&self, structure: Type<'_>, name: &str) -> Option<u32> {
        Some(self.bits(structure, name)? / 8)
    }

    /// Returns the offset of a member in a member that is itself a structure, in bytes.
    fn member_of(&self, structure: Type<'_>, outer: &str, name: &str) -> Option<u32> {
        let (bits, kind) = self.member_within(structure, outer, DEEPEST)?;
        Some(bits / 8 + self.member(self.resolved(kind)?, name)?)
    }

    /// Returns the offset of a member, in bits: it may be a bit field.
    fn bits(&self, structure: Type<'_>, name: &str) -> Option<u32> {
        self.member_within(structure, name, DEEPEST)
            .map(|(bits, _)| bits)
    }

    /// Returns a member's offset, in bits, and its type's number.
    /// Members of a nameless structure count as the outer one's.
    fn member_within(&self, structure: Type<'_>, name: &str, deep: u32) -> Option<(u32, u32)> {
        for member in structure.members.chunks_exact(MEMBER) {
            let (called, kind, place) = (word(member, 0)?, word(member, 4)?, word(member, 8)?);
            let bits = if structure.bit_fields {
                place & 0x00FF_FFFF
            } else {
                place
            };
            if self.is_called(called, name) {
                return Some((bits, kind));
            }
            if called == 0 && deep > 0 {
                let inside = self
                    .resolved(kind)
                    .and_then(|inner| self.member_within(inner, name, deep - 1));
                if let Some((inside, kind)) = inside {
                    return Some((bits + inside, kind));
                }
            }
        }
        None
    }

    fn resolved(&self, mut number: u32) -> Option<Type<'a>> {
        for _ in 0..DEEPEST {
            let found = self.number(number)?;
            if matches!(found.kind, STRUCT | UNION) {
                return Some(found);
            }
            number = OTHERS.contains(&found.kind).then_some(found.other)?;
        }
        None
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(
        bytes.get(at..at.checked_add(4)?)?.try_into().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `struct outer { int a; struct { int b; int c; }; }`, as a compiler would write it.
    fn made() -> Vec<u8> {
        let names = b"\0int\0a\0b\0c\0outer\0";
        let mut types: Vec<u32> = vec![1, INT << 24, 4, 32];
        types.extend([0, STRUCT << 24 | 2, 8, 7, 1, 0, 9, 1, 32]);
        types.extend([11, STRUCT << 24 | 2, 12, 5, 1, 0, 0, 2, 32]);
        let types: Vec<u8> = types.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let mut bytes = MAGIC.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        for word in [
            24,
            0,
            types.len() as u32,
            types.len() as u32,
            names.len() as u32,
        ] {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.extend(types);
        bytes.extend(names);
        bytes
    }

    #[test]
    fn a_member_is_found_also_in_a_structure_without_a_name() {
        let bytes = made();
        let types = Types::of(&bytes).expect("it is whole");
        let outer = types.structure("outer").expect("it is there");
        let found = ["a", "b", "c", "d"].map(|name| types.member(outer, name));
        assert_eq!(found, [Some(0), Some(4), Some(8), None]);
    }

    #[test]
    fn data_that_is_cut_short_or_changed_gives_nothing_and_does_not_panic() {
        let whole = made();
        for cut in 0..whole.len() {
            let _nothing =
                Types::of(&whole[..cut]).and_then(|types| types.structure("outer").map(|_| ()));
            let mut changed = whole.clone();
            changed[cut] ^= 0xFF;
            let _anything = kernel(&changed);
        }
    }

    #[test]
    fn this_kernel_says_where_its_structures_have_what() {
        if Path::new(SHOWN).exists() {
            let kernel = of_this_kernel().expect("all that the driver cannot do without");
            assert_eq!(kernel.offsets.calls.known, 1);
            assert_eq!(kernel.offsets.translated.known, 1);
            assert_eq!(kernel.offsets.guests.known, 1);
        }
    }
}
