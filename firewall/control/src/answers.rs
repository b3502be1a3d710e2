//! What a running firewall answers: plain values, ready to be sent on.

use channel_abi::Totals;
use firewall_abi::asking::Width;
use firewall_abi::firewall::{MAX_FLOWS, MAX_UNCONFIRMED_ARRIVALS, RING, RINGS, Verdicts};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

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
    /// What is not as it should be, each in one sentence that says what to do. Empty: all is well.
    pub trouble: Vec<String>,
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
    pub failed: Option<String>,
    /// How many entries the copy has.
    pub entries: u64,
    /// How many of its entries could not be read.
    pub unreadable: u64,
    /// How many the last change brought, since the service started.
    pub added: u64,
    /// How many it took away.
    pub removed: u64,
    /// What is wrong with it, and what to do.
    pub trouble: Option<String>,
}

/// How the history is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryStatus {
    /// What is older than so many days is forgotten.
    pub days: u32,
    /// Bytes that it may have on the disk.
    pub budget: u64,
    /// Bytes that it has.
    pub used: u64,
    /// Records that it took since the service started.
    pub kept: u64,
    /// Records that it could not take.
    pub lost: u64,
    /// Whether one could not be read at this start, or since: it lies beside the one that was begun.
    pub put_aside: bool,
}

/// Some of what was kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryPage {
    /// In the order in which it was begun.
    pub rows: Vec<HistoryRow>,
    /// What to ask for as `after` to get more; none: there is no more.
    pub next: Option<u64>,
    /// Another number than in the page before: what was kept has been put together since. Begin again.
    pub turn: u64,
}

/// Who talked with whom in one minute, hour or day, what became of it and how often.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryRow {
    /// When that time begins, in seconds since 1970.
    pub start: u64,
    /// How long it is: a minute, an hour or a day.
    pub seconds: u64,
    /// `in`, `out` or `forward`.
    pub direction: String,
    /// `allow`, `block` or `ask`.
    pub verdict: String,
    /// Why: `rule`, `default`, `reply`, ….
    pub reason: String,
    /// The protocol's number.
    pub protocol: u8,
    /// The other end: of what is forwarded, where it goes; none: many, that are counted together.
    pub remote: Option<IpAddr>,
    /// Of what is forwarded, where it comes from.
    pub source: Option<IpAddr>,
    /// The port that was asked for: of what goes out the other end's, of what comes in our own; none: there are no ports.
    pub port: Option<u16>,
    /// The program's path, if known.
    pub program: Option<String>,
    /// The process's name; empty: not known.
    pub process: String,
    /// The user at this end, if known.
    pub user: Option<u32>,
    /// The rule that decided, if one did.
    pub rule: Option<String>,
    /// The name that the other end was asked for by, if known.
    pub name: Option<String>,
    /// `first`: the program had never talked before. `changed`: it had, and its file is another one by now, or was changed.
    pub contact: Option<String>,
    /// How many records there were.
    pub count: u64,
    /// When the first was, in seconds since 1970.
    pub first: u64,
    /// When the last was.
    pub last: u64,
    /// Packets that this end sent; 0: not counted.
    pub packets_sent: u64,
    /// Their bytes.
    pub bytes_sent: u64,
    /// Packets that it got; 0: not counted.
    pub packets_received: u64,
    /// Their bytes.
    pub bytes_received: u64,
}

/// What was kept of a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// In the order in which it was begun.
    pub rows: Vec<HistoryRow>,
    /// So many rows that were begun before these.
    pub left_out: usize,
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

/// Rules as the kernel has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    /// The generation's number.
    pub generation: u32,
    /// What the file is called; none: the service found these rules in the kernel and no text for them.
    pub name: Option<String>,
    /// How many rules there are.
    pub rules: u32,
}

/// Rules on probation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The candidate's generation.
    pub generation: u32,
    /// The confirmed generation, which returns unless the candidate is confirmed.
    pub fallback: u32,
    /// Milliseconds until it returns.
    pub milliseconds_left: u64,
}

/// Rules that were taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Their generation.
    pub generation: u32,
    /// How many rules there are.
    pub rules: u32,
    /// What is not wrong but suspicious, each with its place.
    pub warnings: Vec<String>,
    /// The lease, if they have one to be confirmed in.
    pub lease: Option<Lease>,
    /// The number that the change has among the rule file's changes, if the state before is kept.
    #[serde(default)]
    pub change: Option<u64>,
}

/// The text of the rules that are judged by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleText {
    /// Their generation.
    pub generation: u32,
    /// What the file is called.
    pub name: Option<String>,
    /// What is in it; none: see [`InForce::name`].
    pub text: Option<String>,
    /// The service's folder for rules, from which on they name the files of sets.
    pub folder: PathBuf,
    /// The service's rule file, which holds the confirmed rules.
    pub file: PathBuf,
}

/// What is said of a change to the rules beside the new text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeNote {
    /// What it is, in a few words, for the file's earlier states.
    pub what: Option<String>,
    /// The earlier change that it takes back.
    pub undoes: Option<u64>,
    /// The generation that was read before; in force is another: nothing is changed.
    pub replaces: Option<u32>,
}

/// The names of one generation's rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleNames {
    /// The generation.
    pub generation: u32,
    /// The rule file's name, if that is known.
    pub name: Option<String>,
    /// Its rules: a rule's number is its place here.
    pub rules: Vec<NamedRule>,
}

/// The name of one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedRule {
    /// Its name in the file.
    pub id: String,
    /// The line of the file that it stands on.
    pub line: u32,
}

/// What the driver counted since its tables were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// The generation that is judged by.
    pub generation: u32,
    /// Packets into the zone that went on.
    pub allowed_in: u64,
    /// Packets into the zone that were dropped.
    pub blocked_in: u64,
    /// Packets out of the zone that went on.
    pub allowed_out: u64,
    /// Packets out of the zone that were dropped.
    pub blocked_out: u64,
    /// Packets through the zone that went on.
    pub allowed_forward: u64,
    /// Packets through the zone that were dropped.
    pub blocked_forward: u64,
    /// Connects of the zone that failed at once, before there was a packet.
    pub refused_connects: u64,
    /// Packets of confirmed connections that found no lasting room.
    pub flows_full: u64,
    /// Connections that are remembered, confirmed or not.
    pub flows: u64,
    /// Connections that there is room for.
    pub flows_most: u64,
    /// What is known of addresses' names.
    pub names: NameStats,
    /// What became of what was rejected.
    pub rejected: RejectStats,
}

/// What became of the packets that were rejected, whose senders are to be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectStats {
    /// Packets that the driver handed to the service to be answered, since its tables were made.
    pub handed: u64,
    /// Packets that found no room on that way, or could not be copied: nobody was told.
    pub lost: u64,
    /// Answers that were sent, since the service started.
    pub answered: u64,
    /// Packets that were not answered because there were too many, since then.
    pub limited: u64,
    /// Answers that could not be sent, since then.
    pub failed: u64,
}

/// What became of the answers of DNS that the zone got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameStats {
    /// Addresses whose names are kept.
    pub known: u64,
    /// Answers that the driver handed to the service, since its tables were made.
    pub answers: u64,
    /// Answers that found no room on that way, or could not be copied: they name nothing.
    pub lost: u64,
    /// Answers that the service could not read, since it started: they name nothing.
    pub unread: u64,
    /// Questions that found no room on that way: what answers them has no address join a set.
    pub questions_lost: u64,
    /// Answers for names that sets ask for, which the zone was not seen to ask for, since the service started.
    pub unasked: u64,
    /// Answers for such names from other resolvers than the sets name, or than this machine asks, since then.
    pub strange: u64,
    /// Addresses that found no room in sets that ask for their names, since then.
    pub no_room: u64,
}

/// An address and the name that it was asked for by last. It labels, and proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressName {
    /// The address.
    pub address: IpAddr,
    /// The name.
    pub name: String,
    /// For how many seconds it is kept from now on.
    pub seconds_left: u64,
}

/// Names of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressNames {
    /// In the order in which they were learned.
    pub names: Vec<AddressName>,
    /// The last turn: what is learned after this, the next question may ask for alone.
    pub turn: u64,
}

/// How often each rule has decided.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hits {
    /// The generation that is judged by.
    pub generation: u32,
    /// A number for each of its rules, in their order, since it was put in force. What goes on with what a rule allowed is not
    /// counted.
    pub hits: Vec<u64>,
}

/// The books of every app, and of those that are gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accounts {
    /// References taken.
    pub taken: u64,
    /// References released.
    pub released: u64,
    /// Those that stand.
    pub apps: Vec<Account>,
    /// All that are gone, together.
    pub past: Counted,
    /// Whether every one of these balances, and the references do.
    pub balances: bool,
}

/// One app's books as the driver keeps them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its slot.
    pub slot: u32,
    /// Its process.
    pub pid: u32,
    /// Its user.
    pub user: u32,
    /// What it was offered.
    pub counted: Counted,
    /// Whether what was offered is what was committed and lost.
    pub balances: bool,
    /// Whether its page of the ring says what no reader can have come to. That harms nobody but itself.
    pub lies: bool,
}

/// What was offered, and what became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Records that the mask asked for.
    pub offered: u64,
    /// Records put into the ring.
    pub committed: u64,
    /// Records lost for want of room.
    pub lost_no_room: u64,
    /// Records lost because the reference was being let go of.
    pub lost_closing: u64,
    /// Records lost because they are larger than the ring.
    pub lost_too_large: u64,
}

/// A question of a rule's, or of a default's, that waits for its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Its number: no other has had it since the service started.
    pub id: u64,
    /// `out` or `in`.
    pub direction: String,
    /// The protocol's number.
    pub protocol: u8,
    /// The other end.
    pub remote: IpAddr,
    /// The name that the other end was asked for by last, if known. It labels, and proves nothing.
    pub remote_name: Option<String>,
    /// The port that is asked for: the other end's, or of what comes in our own; none: there are no ports.
    pub port: Option<u16>,
    /// The user at this end, if known.
    pub user: Option<u32>,
    /// The program's path, if known.
    pub program: Option<String>,
    /// The process's name, if known.
    pub name: String,
    /// The process; 0: not known.
    pub pid: u32,
    /// The rule that asks, if it is not the default.
    pub rule: Option<String>,
    /// Packets that waited for the answer.
    pub count: u64,
    /// Other questions of the same program that are not asked before this one is answered.
    pub more: u64,
    /// Whether an answer can be to this connection alone.
    pub of_connection: bool,
    /// Whether an answer can be to this process alone, until it ends.
    pub of_process: bool,
    /// Milliseconds in which it is to be answered.
    pub milliseconds_left: u64,
    /// What becomes of it if nobody does: `block` or `allow`.
    pub unanswered: String,
}

/// An answer that holds, or that is kept for always.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldAnswer {
    /// By what it is taken back: 16 hexadecimal digits. Another answer to the same has another one.
    pub id: String,
    /// `allow` or `block`.
    pub verdict: String,
    /// Nobody answered in time, and this became of it for a minute.
    pub unanswered: bool,
    /// How much it is about: `place`, `address`, `port` or `anywhere`.
    pub width: String,
    /// How long it holds: for the `connection`, until the process of the `program` ends, for a `time`, until a `restart`, `always`.
    pub lasts: String,
    /// For how many seconds it holds from now on; none: until something else ends it.
    pub seconds_left: Option<u64>,
    /// `out` or `in`.
    pub direction: String,
    /// The other end; none: any.
    pub remote: Option<IpAddr>,
    /// The name that the other end had been asked for by then, if known. It labels, and proves nothing.
    pub remote_name: Option<String>,
    /// The protocol's number; none: any.
    pub protocol: Option<u8>,
    /// The port that is asked for; none: any, or there are none.
    pub port: Option<u16>,
    /// The user at this end, if known.
    pub user: Option<u32>,
    /// The program's path, if known.
    pub program: Option<String>,
    /// The name of the process that asked, if known.
    pub name: String,
    /// The process that asked; 0: not known.
    pub pid: u32,
    /// Whether the driver has it. One for always to a program that is not there is kept, and comes into force with it.
    pub in_force: bool,
    /// Who answered, if known.
    pub by: Option<String>,
    /// When, in seconds since 1970, if known.
    pub at: Option<u64>,
}

/// Which answers are taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forgotten {
    /// These, by [`HeldAnswer::id`].
    Those(Vec<String>),
    /// What was answered about this program, by its path.
    Program(String),
    /// All.
    All,
}

/// An answer to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// Let it through.
    pub allow: bool,
    /// What it is about.
    pub width: Width,
    /// For how long.
    pub lasts: Lasts,
}

/// How long an answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasts {
    /// For this connection alone; of datagrams, for what this socket sends to this place.
    Connection,
    /// Until this process ends, or runs another program.
    Process,
    /// So long.
    For(Duration),
    /// Until the service starts again.
    UntilRestart,
    /// Always.
    Always,
}

/// An address that has joined a set while the rules were in force: it was added, or has a name that the set asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetMember {
    /// The set's name.
    pub set: String,
    /// The address.
    pub address: IpAddr,
    /// For how long it is in it from now on; none: until it is removed.
    pub seconds_left: Option<u64>,
    /// The name by which it has joined it; none: it was added, or who asks may not know.
    pub name: Option<String>,
}

/// What became of addresses that were to join a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAdded {
    /// How many are in it that were not.
    pub added: u64,
    /// How many were in it by having been added before: the new time holds.
    pub renewed: u64,
    /// The generation that it took, if it took one: some address is in a combination of sets that none had been in.
    pub generation: Option<u32>,
}

/// What became of addresses that were to leave a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetRemoved {
    /// How many had been added, and are not any more.
    pub removed: u64,
    /// How many had not been added, or their time was over.
    pub absent: u64,
    /// How many of those removed are in it all the same: the rule file has them there.
    pub stays: u64,
}

/// The reason for which something was not done. Nothing was changed, but with [`Refused::Incomplete`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refused {
    /// The rules are not right: each error with file, line and column.
    Rules(Vec<String>),
    /// The rules' tables do not fit into the budget of kernel memory, in bytes.
    TooMuchMemory {
        /// What they take.
        needed: u64,
        /// What is left.
        left: u64,
        /// The whole budget.
        budget: u64,
    },
    /// There is no lease: nothing to confirm or to take back.
    NoLease,
    /// The lease ended before: the confirmed rules are back.
    LeaseOver,
    /// In force are other rules than those that were read before.
    Replaced,
    /// Nothing of this number is asked, or not any more.
    NoQuestion,
    /// No answer that this is about holds; what it is.
    NoAnswer(String),
    /// The rules in force have no such set; which they have.
    NoSuchSet(String),
    /// The rule file has the address in the set; where.
    StaysInSet(String),
    /// There is no room for more; what there is room for.
    SetFull(String),
    /// Lists of the rules have never been fetched; which, and that they are now.
    ListsAwaited(String),
    /// Who asked may not do this; what to do.
    NotPermitted(String),
    /// The system did not let us; what it said and what to do.
    System(String),
    /// The rules are in force, and what belongs to them could not be done.
    Incomplete {
        /// The generation that is in force.
        generation: u32,
        /// No lease runs out: these are the confirmed rules.
        confirmed: bool,
        /// What could not be done, and what to do.
        rest: String,
    },
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rules(errors) => f.write_str(&errors.join("\n")),
            Self::TooMuchMemory {
                needed,
                left,
                budget,
            } => write!(
                f,
                "the rules take {} of kernel memory, and {} of the budget of {} are left while what is there stays in \
                 force: give gatebelld a larger --kernel-memory, or make the sets smaller; `gatebell status` shows what \
                 takes how much",
                mebibytes(*needed),
                mebibytes(*left),
                mebibytes(*budget)
            ),
            Self::NoLease => {
                f.write_str("no lease runs; `gatebell rules apply --lease` starts one")
            }
            Self::Replaced => f.write_str(
                "somebody else changed the rules meanwhile, and nothing was changed now; ask again",
            ),
            Self::LeaseOver => f.write_str(
                "the lease has ended, and the rules that were confirmed are back; apply them again",
            ),
            Self::NoAnswer(about) => write!(
                f,
                "no answer {about} holds, or it is not about a program of yours; `gatebell answers` lists those that do; nothing was changed"
            ),
            Self::NoQuestion => f.write_str(
                "no question of this number waits: it was answered, or its time is over; `gatebell ask --list` shows those that do",
            ),
            Self::NotPermitted(what)
            | Self::NoSuchSet(what)
            | Self::StaysInSet(what)
            | Self::SetFull(what)
            | Self::ListsAwaited(what) => f.write_str(what),
            Self::System(report) => f.write_str(report),
            Self::Incomplete {
                generation,
                confirmed,
                rest,
            } => {
                let state = if *confirmed {
                    "confirmed"
                } else {
                    "on a lease"
                };
                write!(
                    f,
                    "generation {generation} is in force and {state}, but {rest}"
                )
            }
        }
    }
}

impl std::error::Error for Refused {}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

impl Stats {
    /// What the driver counted.
    #[must_use]
    pub const fn of(
        generation: u32,
        verdicts: Verdicts,
        flows: u64,
        names: NameStats,
        rejected: RejectStats,
    ) -> Self {
        let Verdicts {
            allowed_in,
            blocked_in,
            allowed_out,
            blocked_out,
            flows_full,
            allowed_forward,
            blocked_forward,
            refused_connects,
        } = verdicts;
        let flows_most = (MAX_FLOWS + MAX_UNCONFIRMED_ARRIVALS + RING * RINGS) as u64;
        Self {
            generation,
            allowed_in,
            blocked_in,
            allowed_out,
            blocked_out,
            allowed_forward,
            blocked_forward,
            refused_connects,
            flows_full,
            flows,
            flows_most,
            names,
            rejected,
        }
    }
}

impl From<Totals> for Counted {
    fn from(totals: Totals) -> Self {
        let Totals {
            offered,
            committed,
            lost: [lost_no_room, lost_closing, lost_too_large],
        } = totals;
        Self {
            offered,
            committed,
            lost_no_room,
            lost_closing,
            lost_too_large,
        }
    }
}
