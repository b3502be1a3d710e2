//! How the firewall is.

use super::{HistoryStatus, InForce, Lease, NetworkStatus, TroubleStatus};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How the firewall is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The service's version.
    pub version: String,
    /// The contract that driver and service speak.
    pub contract: u32,
    /// The service's process.
    pub pid: u32,
    /// When the service started, in seconds since 1970.
    pub since: u64,
    /// Whether it took over hooks that an earlier service had left in the kernel.
    pub adopted: bool,
    /// The zone's network namespace; none: the one that the service was started in.
    pub netns: Option<PathBuf>,
    /// The zone's control group.
    pub cgroup: PathBuf,
    /// The devices in the zone's network namespace.
    pub devices: Vec<Device>,
    /// Where the kernel keeps the driver when the service is gone.
    pub pins: PathBuf,
    /// The rules that are judged by now.
    pub rules: InForce,
    /// The lease that runs, if one does.
    pub lease: Option<Lease>,
    /// What holds when the service is gone: `keep`, `open` or `block`.
    pub fail_mode: String,
    /// The kernel memory that the firewall holds.
    pub kernel_memory: Memory,
    /// What is kept of what happened; none: nothing is to be.
    pub history: Option<HistoryStatus>,
    /// The lists that the rules subscribe to.
    pub lists: Vec<SubscribedList>,
    /// The networks that the rules name.
    pub networks: Vec<NetworkStatus>,
    /// What is not as it should be, worst first. Empty: all is well.
    pub trouble: Vec<TroubleStatus>,
}

/// A list that a set of the rules subscribes to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscribedList {
    /// The set's name.
    pub set: String,
    /// Where the list is from, without what stands behind a question mark.
    pub url: String,
    /// When it is fetched again: so many seconds later.
    pub refresh_seconds: u64,
    /// Of when the copy is that rules are read with, in seconds since 1970; none: there is none, or that is not known.
    pub fetched: Option<u64>,
    /// When it was tried last to fetch it; none: that is not known.
    pub tried: Option<u64>,
    /// Why that failed, if it did.
    pub failed: Option<FetchFailure>,
    /// How many entries the copy has.
    pub entries: u64,
    /// How many of its entries could not be read.
    pub unreadable: u64,
    /// How many the last change brought, since the service started.
    pub added: u64,
    /// How many it took away.
    pub removed: u64,
    /// What is wrong with it.
    pub trouble: Option<TroubleStatus>,
}

/// Why a list could not be fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchFailure {
    /// What it is, by its name.
    pub kind: String,
    /// How much, or what a server or the system says of it, if there is more to say.
    pub detail: Option<String>,
}

/// Bytes of kernel memory that the firewall holds, and how many it may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// How many it may hold: rules and rings that would take more are refused.
    pub budget: u64,
    /// How many it holds: the sum of what follows.
    pub used: u64,
    /// The driver's own tables: connections, programs, devices, counters.
    pub tables: u64,
    /// The rules of every generation that is held.
    pub rules: u64,
    /// Their sets.
    pub sets: u64,
    /// The rings of apps that are attached, and their ledgers.
    pub rings: u64,
    /// Those that were let go of, and that somebody still has mapped or open.
    pub rings_let_go: u64,
}

/// A device of the zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its name now.
    pub name: String,
    /// Its number.
    pub index: u32,
}
