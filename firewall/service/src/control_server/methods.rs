//! Requests that the service takes, and what it does then: queries, which change nothing, and changes.
//!
//! A change says by itself whether it takes root and what the log has of it, with no "else":
//! one that is new can't be forgotten.

use super::failure::Failure;
use super::peer::Requester;
use crate::firewall::{Firewall, Mailbox};
use crate::recorder::HistoryReader;
use control::{Accounts, ChangeNote, Forgotten, Given};
use history::{PageRequest, RequestedProgram};
use serde_json::{Value, json};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;
use tracing::info;

/// Request of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Query, answered by the main loop.
    Query(Query),
    /// Request for a page of the history: read from its database, on which the main loop does not wait.
    History {
        since: u64,
        after: u64,
        program: Option<String>,
    },
    /// Change, done by the main loop.
    Change(Change),
}

/// Request that changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    Status,
    Rules,
    Networks,
    Stats,
    Hits,
    Accounts,
    RuleNames { generation: u32 },
    Program { device: u64, inode: u64 },
    AddressNames { since: u64 },
    SetMembers { set: Option<String> },
    Questions,
    Answers,
}

/// Request that changes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Apply {
        name: String,
        text: String,
        lease: Option<Duration>,
        note: ChangeNote,
    },
    Confirm {
        /// Generation of the candidate that was seen, if that is said.
        generation: Option<u32>,
    },
    Revert {
        /// Generation of the candidate that was seen, if that is said.
        generation: Option<u32>,
    },
    Reload,
    AddToSet {
        set: String,
        addresses: Vec<IpAddr>,
        time: Option<Duration>,
    },
    RemoveFromSet {
        set: String,
        addresses: Vec<IpAddr>,
    },
    RefreshList {
        set: String,
        /// `true` if the content fetched last is taken, whatever it is, as long as it is a list.
        take: bool,
    },
    Answer {
        id: u64,
        /// Number of the last place that whoever answers was shown.
        listed: Option<u64>,
        given: Given,
    },
    ForgetAnswers {
        which: Forgotten,
        /// `true` if answers about others' programs are meant too.
        everybody: bool,
    },
}

/// Parameters of an answer, or the error if there is none.
pub type Answered = Result<Value, Failure>;

/// Function that answers a request: the service's, or a test's.
pub trait Answer: Fn(Request, Requester) -> Answered + Send + Sync + 'static {}

impl<F: Fn(Request, Requester) -> Answered + Send + Sync + 'static> Answer for F {}

/// Command by which root makes a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootCommand {
    /// Command without the generation.
    pub words: &'static str,
    /// Generation of the rules that whoever asked has seen: root is to keep or end the lease of no others.
    pub generation: Option<u32>,
}

impl fmt::Display for RootCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words)?;
        self.generation
            .map_or(Ok(()), |generation| write!(f, " {generation}"))
    }
}

impl Request {
    /// Returns the command by which root does it, or `None` if the request does not take root.
    pub const fn as_root(&self) -> Option<RootCommand> {
        match self {
            Self::Query(_) | Self::History { .. } => None,
            Self::Change(change) => change.as_root(),
        }
    }
}

impl Change {
    /// Returns the command by which root does it, or `None` if each may do it about what is their own.
    const fn as_root(&self) -> Option<RootCommand> {
        let words = match self {
            Self::Apply { .. } => "sudo gatebell rules apply FILE",
            Self::Confirm { .. } => "sudo gatebell rules confirm",
            Self::Revert { .. } => "sudo gatebell rules revert",
            Self::Reload => "sudo systemctl reload gatebell",
            Self::AddToSet { .. } => "sudo gatebell set add NAME ADDRESS",
            Self::RemoveFromSet { .. } => "sudo gatebell set remove NAME ADDRESS",
            Self::RefreshList { .. } => "sudo gatebell set refresh NAME",
            Self::ForgetAnswers {
                everybody: true, ..
            } => "sudo gatebell answers forget",
            Self::Answer { .. }
            | Self::ForgetAnswers {
                everybody: false, ..
            } => return None,
        };
        let generation = match self {
            Self::Confirm { generation } | Self::Revert { generation } => *generation,
            _ => None,
        };
        Some(RootCommand { words, generation })
    }

    /// Returns the change as the service's log has it, or `None` for an answer, which has a trail of its own.
    fn logged(&self) -> Option<String> {
        Some(match self {
            Self::Apply { name, note, .. } => match &note.what {
                Some(what) => format!("ApplyRules ({what})"),
                None => format!("ApplyRules ({name})"),
            },
            Self::Confirm { .. } => "ConfirmRules".to_owned(),
            Self::Revert { .. } => "RevertRules".to_owned(),
            Self::Reload => "ReloadRules".to_owned(),
            Self::AddToSet { set, addresses, .. } => {
                format!("AddToSet ({set}, {})", in_short(addresses))
            }
            Self::RemoveFromSet { set, addresses } => {
                format!("RemoveFromSet ({set}, {})", in_short(addresses))
            }
            Self::RefreshList { set, take: false } => format!("RefreshList ({set})"),
            Self::RefreshList { set, take: true } => format!("RefreshList ({set}, taken as it is)"),
            Self::ForgetAnswers {
                everybody: true, ..
            } => "ForgetAnswers (everybody's)".to_owned(),
            Self::Answer { .. }
            | Self::ForgetAnswers {
                everybody: false, ..
            } => return None,
        })
    }

    fn perform(self, firewall: &mut Firewall, requester: Requester) -> Answered {
        Ok(match self {
            Self::Apply {
                name,
                text,
                lease,
                note,
            } => {
                let by = requester.name();
                json!({ "applied": firewall.apply(&name, &text, lease, note, by)? })
            }
            Self::Confirm { generation } => {
                json!({ "applied": firewall.confirm(generation, requester.name())? })
            }
            Self::Revert { generation } => json!({ "rules": firewall.revert(generation)? }),
            Self::Reload => json!({ "applied": firewall.reload()? }),
            Self::AddToSet {
                set,
                addresses,
                time,
            } => json!({ "added": firewall.add_to_set(&set, &addresses, time)? }),
            Self::RemoveFromSet { set, addresses } => {
                json!({ "removed": firewall.remove_from_set(&set, &addresses)? })
            }
            Self::RefreshList { set, take } => {
                json!({ "list": firewall.refresh_list(&set, take)? })
            }
            Self::Answer { id, listed, given } => {
                let (may, by) = (requester.sees(), requester.name());
                json!({ "answered": firewall.answer_question((id, listed), given, may, by)? })
            }
            Self::ForgetAnswers { which, everybody } => {
                let of = requester.sees().filter(|_| !everybody);
                json!({ "forgotten": firewall.forget_answers(&which, of, &requester.name())? })
            }
        })
    }
}

impl Query {
    fn answer(self, firewall: &mut Firewall, requester: Requester) -> Answered {
        Ok(match self {
            Self::Status => json!({ "status": firewall.status() }),
            Self::Rules => json!({ "rules": firewall.rules() }),
            Self::RuleNames { generation } => json!({ "names": firewall.rule_names(generation) }),
            Self::Networks => json!({ "networks": firewall.networks() }),
            Self::Stats => json!({ "stats": firewall.stats()? }),
            Self::Hits => json!({ "hits": firewall.hits()? }),
            Self::Accounts => json!({ "accounts": visible(firewall.accounts(), requester) }),
            Self::AddressNames { since } if requester.sees().is_none() => {
                json!({ "names": firewall.address_names(since) })
            }
            Self::AddressNames { .. } => {
                return Err(Failure::new(
                    "NotPermitted",
                    "only root sees the names of addresses, which say what everybody asked for; your questions have theirs",
                ));
            }
            Self::SetMembers { set } => {
                let mut members = firewall.set_members(set.as_deref())?;
                // What somebody asked for is nobody else's.
                if requester.sees().is_some() {
                    members.iter_mut().for_each(|member| member.name = None);
                }
                json!({ "members": members })
            }
            Self::Questions => json!({ "questions": firewall.questions(requester.sees()) }),
            Self::Answers => json!({ "answers": firewall.answers(requester.sees()) }),
            Self::Program { device, inode } => {
                json!({ "path": firewall.program([device, inode]) })
            }
        })
    }
}

/// Answers a request: from the history's database if it asks for a page of it, otherwise by the main loop.
pub fn answer(
    mailbox: &Mailbox,
    history: &HistoryReader,
    request: Request,
    requester: Requester,
) -> Answered {
    match request {
        Request::Query(query) => {
            in_main_loop(mailbox, move |firewall| query.answer(firewall, requester))
        }
        Request::History {
            since,
            after,
            program,
        } => {
            if after == 0 {
                // A service that ends says so below.
                let _ending = mailbox.ask(Firewall::tell_carried);
            }
            let asked = PageRequest {
                since,
                after,
                user: requester.sees(),
                program: program.map(RequestedProgram::asked),
            };
            page(history, asked)
        }
        Request::Change(change) => in_main_loop(mailbox, move |firewall| {
            let logged = change.logged();
            let answered = change.perform(firewall, requester);
            if let Some(what) = logged {
                log(&what, requester, answered.as_ref().err());
            }
            answered
        }),
    }
}

fn in_main_loop(
    mailbox: &Mailbox,
    work: impl FnOnce(&mut Firewall) -> Answered + Send + 'static,
) -> Answered {
    let ending = |_| {
        Failure::new(
            "ServiceEnding",
            "the service is about to end; ask again once it runs",
        )
    };
    mailbox.ask(work).map_err(ending)?
}

/// Returns a page of what was kept: all of it, or what this requester's own programs did.
fn page(history: &HistoryReader, asked: PageRequest) -> Answered {
    let page = history.page(asked);
    page.map(|page| json!({ "history": page }))
        .map_err(|why| Failure::new("SystemFailed", why))
}

fn in_short(addresses: &[IpAddr]) -> String {
    match addresses {
        [one] => one.to_string(),
        many => format!("{} addresses", many.len()),
    }
}

/// Logs who changed something, and by whose leave.
fn log(what: &str, requester: Requester, failed: Option<&Failure>) {
    let leave = if requester.by_polkit {
        "permitted by polkit"
    } else {
        "as root"
    };
    let process = requester.process.map_or(0, u32::from);
    let became = failed.map_or("done", |failure| failure.name);
    info!(
        "{what} by {}, user {}, process {process}, {leave}: {became}",
        requester.name(),
        requester.user
    );
}

/// Removes other people's apps from the accounts of a requester; whether everything balances stays for everybody.
fn visible(mut accounts: Accounts, requester: Requester) -> Accounts {
    accounts
        .apps
        .retain(|app| requester.may_change || app.user == requester.user);
    accounts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_advised_to_keep_or_end_the_lease_of_the_rules_that_were_seen() {
        let advised = |change| Request::Change(change).as_root().map(|it| it.to_string());
        for (change, command) in [
            (
                Change::Confirm {
                    generation: Some(8),
                },
                "sudo gatebell rules confirm 8",
            ),
            (
                Change::Revert {
                    generation: Some(8),
                },
                "sudo gatebell rules revert 8",
            ),
            (
                Change::Confirm { generation: None },
                "sudo gatebell rules confirm",
            ),
        ] {
            assert_eq!(advised(change).as_deref(), Some(command));
        }
    }
}
