//! Troubles: each has a kind, which views say in words in the language of who reads it, and what there is to know
//! beside that.

use serde::{Deserialize, Serialize};

/// Kind of trouble, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TroubleCause {
    /// Hooks that are gone.
    Hooks,
    /// The rule file is no good at a start, and something else is in force.
    StandIn,
    /// The rule file on disk.
    RuleFile,
    /// Files and lists that the rules in force name and that could not be had.
    Missing,
    /// The end of a lease.
    Lease,
    /// Rules compiled anew as what they name has changed.
    Rules,
    /// Rules compiled anew as the machine is in another network.
    Networks,
    /// Word of changes of the routes by which networks are known.
    Routes,
    /// Rules compiled anew as a program is another file.
    Programs,
    /// The driver's table of addresses that have joined sets.
    Members,
    /// Connections about which the rules are to be asked again.
    AskedAgain,
    /// The driver's table of answers.
    Answers,
    /// Connections that answers had allowed which were taken back.
    AnswersAskedAgain,
    /// The search for idle connections.
    Sweep,
    /// The rule file's earlier states.
    History,
    /// The process that has what the driver rejected answered.
    Answering,
    /// The table that judged before a driver did.
    Fallback,
    /// The socket at which apps attach.
    DeviceServer,
    /// The thread that takes the lists that rules subscribe to.
    Lists,
    /// A list that was fetched and is not taken. The trouble is about the set.
    ListNotTaken,
    /// A copy of a list that is older than it should be. The trouble is about the set.
    ListOld,
    /// The watch over the files of programs.
    ProgramFiles,
    /// The rules kept for a start without a kernel's tables.
    Kept,
    /// Addresses that had joined sets and are lost.
    LostMembers,
    /// The file of answers for always.
    AnswersFile,
    /// The state that is written down for the next service.
    State,
    /// The thread that learns names.
    Names,
    /// Sets that ask for names.
    NamedSets,
    /// The process that answers what was rejected.
    Rejected,
    /// The thread that keeps what happens.
    Recorder,
    /// The rows of the history, where they are read.
    HistoryRows,
}

impl TroubleCause {
    /// All kinds, worst first.
    pub const ALL: [Self; 31] = [
        Self::Hooks,
        Self::StandIn,
        Self::RuleFile,
        Self::Missing,
        Self::Lease,
        Self::Rules,
        Self::Networks,
        Self::Routes,
        Self::Programs,
        Self::Members,
        Self::AskedAgain,
        Self::Answers,
        Self::AnswersAskedAgain,
        Self::Sweep,
        Self::History,
        Self::Answering,
        Self::Fallback,
        Self::DeviceServer,
        Self::Lists,
        Self::ListNotTaken,
        Self::ListOld,
        Self::ProgramFiles,
        Self::Kept,
        Self::LostMembers,
        Self::AnswersFile,
        Self::State,
        Self::Names,
        Self::NamedSets,
        Self::Rejected,
        Self::Recorder,
        Self::HistoryRows,
    ];

    /// Returns the name of the kind on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hooks => "hooks",
            Self::StandIn => "stand_in",
            Self::RuleFile => "rule_file",
            Self::Missing => "missing",
            Self::Lease => "lease",
            Self::Rules => "rules",
            Self::Networks => "networks",
            Self::Routes => "routes",
            Self::Programs => "programs",
            Self::Members => "members",
            Self::AskedAgain => "asked_again",
            Self::Answers => "answers",
            Self::AnswersAskedAgain => "answers_asked_again",
            Self::Sweep => "sweep",
            Self::History => "rule_file_states",
            Self::Answering => "answering",
            Self::Fallback => "fallback",
            Self::DeviceServer => "device_server",
            Self::Lists => "lists",
            Self::ListNotTaken => "list_not_taken",
            Self::ListOld => "list_old",
            Self::ProgramFiles => "program_files",
            Self::Kept => "kept",
            Self::LostMembers => "lost_members",
            Self::AnswersFile => "answers_file",
            Self::State => "state",
            Self::Names => "names",
            Self::NamedSets => "named_sets",
            Self::Rejected => "rejected",
            Self::Recorder => "recorder",
            Self::HistoryRows => "history_rows",
        }
    }

    /// Returns the kind with this name on the wire, or `None` if it is a later release's.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.name() == name)
    }
}

/// Trouble: one thing that is not as it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TroubleStatus {
    /// Kind of the trouble, by its name ([`TroubleCause::name`]).
    pub cause: String,
    /// Set that the trouble is about, if it is about one.
    pub about: Option<String>,
    /// Detail of the trouble, in English, as the journal has it; may be empty.
    pub detail: String,
}

impl TroubleStatus {
    /// Describes a trouble of this kind.
    #[must_use]
    pub fn of(cause: TroubleCause, about: Option<String>, detail: String) -> Self {
        Self {
            cause: cause.name().to_owned(),
            about,
            detail,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_of_trouble_is_known_by_a_name_of_its_own_and_the_worst_comes_first() {
        for cause in TroubleCause::ALL {
            assert_eq!(TroubleCause::named(cause.name()), Some(cause));
        }
        assert!(TroubleCause::ALL.is_sorted());
        assert_eq!(TroubleCause::named("of a later release"), None);
    }
}
