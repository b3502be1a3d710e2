//! State of the firewall.

use super::{HistoryStatus, InForce, Lease, NetworkStatus, TroubleStatus};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// State of the firewall.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the service.
    pub version: String,
    /// Version of the contract between driver and service.
    pub contract: u32,
    /// Process of the service.
    pub pid: u32,
    /// Time of the service's start, in seconds since 1970.
    pub since: u64,
    /// `true` if the service took over hooks that an earlier service had left in the kernel.
    pub adopted: bool,
    /// Network namespace of the zone, or `None` if it is the one that the service was started in.
    pub netns: Option<PathBuf>,
    /// Control group of the zone.
    pub cgroup: PathBuf,
    /// Devices in the zone's network namespace.
    pub devices: Vec<Device>,
    /// Folder in which the kernel keeps the driver when the service is gone.
    pub pins: PathBuf,
    /// Rules in force.
    pub rules: InForce,
    /// Lease that runs, if one does.
    pub lease: Option<Lease>,
    /// Fail mode, which holds when the service is gone: `static`, `open` or `closed`.
    pub fail_mode: String,
    /// Kernel memory that the firewall holds.
    pub kernel_memory: Memory,
    /// State of the history, or `None` if none is to be kept.
    pub history: Option<HistoryStatus>,
    /// Lists that the rules subscribe to.
    pub lists: Vec<SubscribedList>,
    /// Networks that the rules name.
    pub networks: Vec<NetworkStatus>,
    /// Troubles: what is not as it should be, worst first; empty if all is well.
    pub trouble: Vec<TroubleStatus>,
}

/// List that a set of the rules subscribes to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscribedList {
    /// Name of the set.
    pub set: String,
    /// URL of the list, without what stands behind a question mark.
    pub url: String,
    /// Interval after which the list is fetched again, in seconds.
    pub refresh_seconds: u64,
    /// Date of the copy that rules are read with, in seconds since 1970, or `None` if there is none, or the date is not
    /// known.
    pub fetched: Option<u64>,
    /// Time of the last try to fetch the list, in seconds since 1970, or `None` if it is not known.
    pub tried: Option<u64>,
    /// Reason for which the last try failed, if it did.
    pub failed: Option<FetchFailure>,
    /// Number of entries in the copy.
    pub entries: u64,
    /// Number of entries in the copy that could not be read.
    pub unreadable: u64,
    /// Number of entries that the last change added, since the service started.
    pub added: u64,
    /// Number of entries that the last change removed.
    pub removed: u64,
    /// Trouble with the list, if there is any.
    pub trouble: Option<TroubleStatus>,
}

/// Reason for which a list could not be fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchFailure {
    /// Kind of the failure, by its name.
    pub kind: String,
    /// Amount, or what a server or the system says of the failure, if there is more to say.
    pub detail: Option<String>,
}

/// Kernel memory that the firewall holds and may hold, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Bytes that the firewall may hold: rules and rings that would take more are refused.
    pub budget: u64,
    /// Bytes that the firewall holds: the sum of what follows.
    pub used: u64,
    /// Bytes of the driver's own tables: connections, programs, devices, counters.
    pub tables: u64,
    /// Bytes of the rules of every generation that is held.
    pub rules: u64,
    /// Bytes of the rules' sets.
    pub sets: u64,
    /// Bytes of the rings of apps that are attached, and of their ledgers.
    pub rings: u64,
    /// Bytes of the rings that were let go of, and that somebody still has mapped or open.
    pub rings_let_go: u64,
}

/// Network device of the zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Name of the device now.
    pub name: String,
    /// Index of the device.
    pub index: u32,
}
