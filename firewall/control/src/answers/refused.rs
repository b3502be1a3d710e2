//! Reasons for which something was not done.

use serde::{Deserialize, Serialize};

/// Reason for which something was not done. Nothing was changed, but with [`Refused::Incomplete`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refused {
    /// The rules are not right: each error with file, line and column.
    Rules(Vec<String>),
    /// The rules' tables do not fit into the budget of kernel memory, in bytes.
    TooMuchMemory {
        /// Memory that the rules take, in bytes.
        needed: u64,
        /// Memory that is left, in bytes.
        left: u64,
        /// The whole budget, in bytes.
        budget: u64,
    },
    /// There is no lease: nothing to confirm or to take back.
    NoLease,
    /// The lease ended before: the confirmed rules are back.
    LeaseOver,
    /// Other rules are in force than those that were read before.
    Replaced,
    /// No question of this number waits, or not any more.
    NoQuestion,
    /// No answer of this description holds.
    NoAnswer(String),
    /// The rules in force have no such set; the text says which they have.
    NoSuchSet(String),
    /// The rule file has the address in the set; the text says where.
    StaysInSet(String),
    /// There is no room for more; the text says for what there is.
    SetFull(String),
    /// Lists of the rules have never been fetched; the text says which, and that they are now.
    ListsAwaited(String),
    /// The requester may not do this; the text says what to do.
    NotPermitted(String),
    /// The system did not let us; the text has its error and what to do.
    System(String),
    /// The rules are in force, and what belongs to them could not be done.
    Incomplete {
        /// Generation of the rules in force.
        generation: u32,
        /// `true` if no lease runs out: these are the confirmed rules.
        confirmed: bool,
        /// Part that could not be done, and what to do.
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
