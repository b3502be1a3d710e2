//! Answers of a running firewall: plain values, ready to be sent on.

mod asked;
mod counted;
mod members;
mod names;
mod networks;
mod past;
mod refused;
mod rules;
mod status;
mod trouble;

pub use asked::{AskedPlace, Forgotten, Given, HeldAnswer, Lasts, Question, is_link_local};
pub use counted::{Account, Accounts, Counted, NameStats, PacketCounts, RejectStats, Stats};
pub use members::{SetAdded, SetMember, SetRemoved};
pub use names::{AddressName, AddressNames};
pub use networks::{NetworkSign, NetworkStatus, Networks, RouteStatus};
pub use past::{HistoryPage, HistoryRow, HistoryStatus, Kept};
pub use refused::Refused;
pub use rules::{Applied, ChangeNote, Hits, InForce, Lease, NamedRule, RuleNames, RuleText};
pub use status::{Device, FetchFailure, Memory, Status, SubscribedList};
pub use trouble::{TroubleCause, TroubleStatus};
