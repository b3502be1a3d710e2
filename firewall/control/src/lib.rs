//! The firewall's control interface, `org.gatebell.Firewall`: the types that cross, its description, its client, the
//! places of its sockets, and the names of rules.
//!
//! The service, the command line, the views and the window meet here. It depends on no kernel, on no driver and on no
//! service: asking the service does not link the service.
#![forbid(unsafe_code)]

mod answers;
#[cfg(target_os = "linux")]
mod client;
#[cfg(target_os = "linux")]
mod editable;
#[cfg(target_os = "linux")]
mod fallback;
mod names;
mod places;
mod shell;

pub use answers::{
    Account, Accounts, AddressName, AddressNames, Applied, AskedPlace, ChangeNote, Counted, Device,
    FetchFailure, Forgotten, Given, HeldAnswer, HistoryPage, HistoryRow, HistoryStatus, Hits,
    InForce, Kept, Lasts, Lease, Memory, NameStats, NamedRule, NetworkSign, NetworkStatus,
    Networks, PacketCounts, Question, Refused, RejectStats, RouteStatus, RuleNames, RuleText,
    SetAdded, SetMember, SetRemoved, Stats, Status, SubscribedList, TroubleCause, TroubleStatus,
    is_link_local,
};
#[cfg(target_os = "linux")]
pub use client::{Client, Failed};
#[cfg(target_os = "linux")]
pub use editable::{EditableRules, NotEditable};
#[cfg(target_os = "linux")]
pub use fallback::{FALLBACK_FILE, FALLBACK_TABLE, Fallback};
#[cfg(target_os = "linux")]
pub use names::ServiceNames;
pub use names::{Names, NoNames, RuleName};
pub use places::{DEVICE, GROUP, PINS, SOCKET, STATE, root_socket};
pub use shell::shell_word;

/// Name of the interface.
pub const INTERFACE: &str = "org.gatebell.Firewall";
/// Description of the interface, which `GetInterfaceDescription` hands out.
pub const DESCRIPTION: &str = include_str!("org.gatebell.Firewall.varlink");
/// Error message where a page of the history takes long: it is there a little later.
pub const HISTORY_READS: &str = "the history is still being read; ask again";
/// Error message where the service has no text of the rules in force.
pub const NO_TEXT: &str = "the service found the rules in the kernel and has no text of them; apply a rule file: gatebell rules apply FILE";
