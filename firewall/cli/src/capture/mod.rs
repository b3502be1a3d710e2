//! Captures: pcap and pcapng, read packet by packet, and what their links carry.

mod link;
mod reader;

pub use link::{Carried, Way, carried, link_advice, link_name};
pub use reader::{Broken, Capture, Packet};
