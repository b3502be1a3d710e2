//! Captures: pcap and pcapng, read packet by packet, and what their links carry.

mod link;
mod reader;

pub use link::{Carried, Way, carried};
pub use reader::{Broken, Capture, Packet};
