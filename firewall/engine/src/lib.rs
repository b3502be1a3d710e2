//! Decisions, pure: from a packet's bytes to a verdict and its reason.
//!
//! The same code decides in the Linux kernel (eBPF), in a dry run and in the tests, and would in a driver for Windows.
//! It may depend on `firewall_abi` and `zerocopy` only.
//!
//! Rules that hold here:
//! - Total: any bytes and any tables give a decision. No panic, no allocation, no `unsafe`, every loop bounded.
//! - Where the bytes come from and where the rules live is the caller's: [`Bytes`] and [`Tables`] are its two sides.
//! - What can't be understood is blocked, never let through: a malformed packet, a verdict that is no verdict, a
//!   table that nobody has filled.
//!
//! # What each packet gets
//! - **Malformed** (cut off, lying lengths, headers that contradict themselves, [`parse`] says which): blocked and
//!   reported, in both directions, before any rule is asked. Nobody can say which rule it would fall under.
//! - **First fragments** carry the whole transport header, or they are malformed (RFC 1858, RFC 7112). Rules judge
//!   them like whole packets.
//! - **Later fragments** have no ports. The rules judge them in order, but a rule that asks for ports or an ICMP type
//!   can't match; the first of the others decides, else the default. The reason is `Fragment` either way, and the
//!   decision names the rule if one decided. So a default of block refuses fragments unless a rule without ports
//!   allows their addresses, and a rule that blocks a port stops its packets by their first fragment. A fragment that
//!   could overwrite a TCP header already judged is malformed.
//! - **What a rule asks a person about** has the verdict `Ask`, which begins nothing and passes nothing. Who calls
//!   looks for an answer ([`connection::PacketContext::classify`]). Later fragments are not asked about, but blocked.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod asking;
mod classify;
pub mod connection;
mod headers;
mod link;
mod parse;
pub mod published;
pub mod quota;
mod quoted;
pub mod rejected;
mod tables;
mod tree;

pub use classify::{classify, default_of};
pub use link::{is_refused_by_default, may_keep_the_link, stay_on_the_link};
pub use parse::{Bytes, Ipv4Options, MAX_EXTENSIONS, Parsed, Shape, parse};
pub use quoted::{is_error, quoted};
pub use tables::{LoopBody, Pages, Row, Slices, Tables, WithMembers, head};
