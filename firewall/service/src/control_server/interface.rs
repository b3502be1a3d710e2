//! The interface as varlink sees it: methods in, answers or named errors out.

use super::peer::Requester;
use crate::firewall::{Firewall, Mailbox};
use crate::recorder::HistoryReader;
use control::{Accounts, ChangeNote, DESCRIPTION, Forgotten, Given, INTERFACE, Lasts, Refused};
use firewall_abi::asking::{MAX_ANSWERS, Width};
use firewall_abi::members::MAX_MEMBERS;
use history::PageRequest;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::BufRead;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tracing::info;
use varlink::{Call, CallTrait, Reply};

/// The longest lease that can be asked for.
const LONGEST_LEASE: u64 = 24 * 60 * 60;
/// The longest name of a rule file.
const LONGEST_NAME: usize = 4096;

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    Status,
    Apply {
        name: String,
        text: String,
        lease: Option<Duration>,
        note: ChangeNote,
    },
    Confirm,
    Revert,
    Reload,
    Rules,
    Stats,
    Hits,
    Accounts,
    RuleNames {
        generation: u32,
    },
    Program {
        device: u64,
        inode: u64,
    },
    AddressNames {
        since: u64,
    },
    History {
        since: u64,
        after: u64,
    },
    AddToSet {
        set: String,
        addresses: Vec<IpAddr>,
        time: Option<Duration>,
    },
    RemoveFromSet {
        set: String,
        addresses: Vec<IpAddr>,
    },
    SetMembers {
        set: Option<String>,
    },
    Questions,
    Answer {
        id: u64,
        given: Given,
    },
    Answers,
    ForgetAnswers {
        which: Forgotten,
        /// About others' programs too.
        everybody: bool,
    },
}

/// An answer's parameters, or why there is none.
pub type Answered = Result<Value, Failure>;

/// Whoever has the answers.
pub trait Answer: Fn(Ask, Requester) -> Answered + Send + Sync + 'static {}

impl<F: Fn(Ask, Requester) -> Answered + Send + Sync + 'static> Answer for F {}

/// An error of the interface.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    pub name: &'static str,
    pub parameters: Value,
}

impl Failure {
    /// An error that needs no more than a sentence.
    pub fn new(name: &'static str, message: impl Into<String>) -> Self {
        Self {
            name,
            parameters: json!({ "message": message.into() }),
        }
    }

    /// Of a parameter that is beyond what there is.
    pub fn out_of_range(parameter: &str, message: String) -> Self {
        Self {
            name: "OutOfRange",
            parameters: json!({ "parameter": parameter, "message": message }),
        }
    }

    /// Of a request that is longer than it may be.
    pub fn too_long(most: usize) -> Self {
        let message = format!(
            "a request of yours may have {most} bytes; longer rule files are applied by root"
        );
        Self {
            name: "MessageTooLong",
            parameters: json!({ "most": most, "message": message }),
        }
    }

    /// The whole reply.
    pub fn reply(self) -> Reply {
        Reply::error(format!("{INTERFACE}.{}", self.name), Some(self.parameters))
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        let message = refused.to_string();
        match refused {
            Refused::Rules(errors) => {
                let message =
                    "the rules are not right, and nothing was changed; put right what is listed";
                Self {
                    name: "RulesWrong",
                    parameters: json!({ "errors": errors, "message": message }),
                }
            }
            Refused::TooMuchMemory {
                needed,
                left,
                budget,
            } => Self {
                name: "TooMuchMemory",
                parameters: json!({ "needed": needed, "left": left, "budget": budget, "message": message }),
            },
            Refused::NoLease => Self::new("NoLease", message),
            Refused::LeaseOver => Self::new("LeaseOver", message),
            Refused::Replaced => Self::new("RulesReplaced", message),
            Refused::NoQuestion => Self::new("NoQuestion", message),
            Refused::NoAnswer(_) => Self::new("NoAnswer", message),
            Refused::NoSuchSet(_) => Self::new("NoSuchSet", message),
            Refused::StaysInSet(_) => Self::new("StaysInSet", message),
            Refused::SetFull(_) => Self::new("SetFull", message),
            Refused::NotPermitted(_) => Self::new("NotPermitted", message),
            Refused::System(_) => Self::new("SystemFailed", message),
            Refused::Incomplete {
                generation,
                confirmed,
                ..
            } => Self {
                name: "Incomplete",
                parameters: json!({ "generation": generation, "confirmed": confirmed, "message": message }),
            },
        }
    }
}

/// Has the service's main loop answer.
pub fn in_main_loop(mailbox: &Mailbox, ask: Ask, requester: Requester) -> Answered {
    let ending = |_| {
        Failure::new(
            "ServiceEnding",
            "the service is about to end; ask again once it runs",
        )
    };
    mailbox
        .ask(move |firewall| {
            let noted = noted(&ask);
            let answered = perform(firewall, ask, requester);
            if let Some(what) = noted {
                note(&what, requester, answered.as_ref().err());
            }
            answered
        })
        .map_err(ending)?
}

/// A page of what was kept: all of it, or what this requester's own programs did.
pub fn page(history: &HistoryReader, since: u64, after: u64, requester: Requester) -> Answered {
    let asked = PageRequest {
        since,
        after,
        user: requester.sees(),
    };
    let page = history.page(asked);
    page.map(|page| json!({ "history": page }))
        .map_err(|why| Failure::new("SystemFailed", why))
}

/// A change as the service's log has it.
fn noted(ask: &Ask) -> Option<String> {
    Some(match ask {
        Ask::Apply { name, note, .. } => match &note.what {
            Some(what) => format!("ApplyRules ({what})"),
            None => format!("ApplyRules ({name})"),
        },
        Ask::Confirm => "ConfirmRules".to_owned(),
        Ask::Revert => "RevertRules".to_owned(),
        Ask::Reload => "ReloadRules".to_owned(),
        Ask::AddToSet { set, addresses, .. } => {
            format!("AddToSet ({set}, {})", in_short(addresses))
        }
        Ask::RemoveFromSet { set, addresses } => {
            format!("RemoveFromSet ({set}, {})", in_short(addresses))
        }
        Ask::ForgetAnswers {
            everybody: true, ..
        } => "ForgetAnswers (everybody's)".to_owned(),
        _ => return None,
    })
}

fn in_short(addresses: &[IpAddr]) -> String {
    match addresses {
        [one] => one.to_string(),
        many => format!("{} addresses", many.len()),
    }
}

/// Writes down who changed something, and by whose leave.
fn note(what: &str, requester: Requester, failed: Option<&Failure>) {
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

fn perform(firewall: &mut Firewall, ask: Ask, requester: Requester) -> Answered {
    Ok(match ask {
        Ask::Status => json!({ "status": firewall.status() }),
        Ask::Apply {
            name,
            text,
            lease,
            note,
        } => {
            let by = requester.name();
            json!({ "applied": firewall.apply(&name, &text, lease, note, by)? })
        }
        Ask::Confirm => json!({ "applied": firewall.confirm(requester.name())? }),
        Ask::Revert => json!({ "rules": firewall.revert()? }),
        Ask::Reload => json!({ "applied": firewall.reload()? }),
        Ask::Rules => json!({ "rules": firewall.rules() }),
        Ask::RuleNames { generation } => json!({ "names": firewall.rule_names(generation) }),
        Ask::Stats => json!({ "stats": firewall.stats()? }),
        Ask::Hits => json!({ "hits": firewall.hits()? }),
        Ask::Accounts => json!({ "accounts": visible(firewall.accounts(), requester) }),
        Ask::AddressNames { since } if requester.sees().is_none() => {
            json!({ "names": firewall.address_names(since) })
        }
        Ask::AddressNames { .. } => {
            return Err(Failure::new(
                "NotPermitted",
                "only root sees the names of addresses, which say what everybody asked for; your questions have theirs",
            ));
        }
        Ask::History { since, after } => {
            return page(&firewall.history(), since, after, requester);
        }
        Ask::AddToSet {
            set,
            addresses,
            time,
        } => json!({ "added": firewall.add_to_set(&set, &addresses, time)? }),
        Ask::RemoveFromSet { set, addresses } => {
            json!({ "removed": firewall.remove_from_set(&set, &addresses)? })
        }
        Ask::SetMembers { set } => {
            let mut members = firewall.set_members(set.as_deref())?;
            // What somebody asked for is nobody else's.
            if requester.sees().is_some() {
                members.iter_mut().for_each(|member| member.name = None);
            }
            json!({ "members": members })
        }
        Ask::Questions => json!({ "questions": firewall.questions(requester.sees()) }),
        Ask::Answer { id, given } => {
            let (may, by) = (requester.sees(), requester.name());
            json!({ "answered": firewall.answer_question(id, given, may, by)? })
        }
        Ask::Answers => json!({ "answers": firewall.answers(requester.sees()) }),
        Ask::ForgetAnswers { which, everybody } => {
            let of = requester.sees().filter(|_| !everybody);
            json!({ "forgotten": firewall.forget_answers(&which, of, &requester.name())? })
        }
        Ask::Program { device, inode } => json!({ "path": firewall.program([device, inode]) }),
    })
}

/// Other people's apps are theirs; that everything balances is everybody's.
fn visible(mut accounts: Accounts, requester: Requester) -> Accounts {
    accounts
        .apps
        .retain(|app| requester.may_change || app.user == requester.user);
    accounts
}

/// The interface for one connection.
pub struct Interface {
    pub answer: Arc<dyn Answer>,
    pub requester: Requester,
    pub permission: Arc<Permission>,
}

/// A change that takes root, or polkit's permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The command by which root does it.
    pub as_root: &'static str,
    /// Whether somebody may be asked for a password.
    pub interactive: bool,
}

/// What is known about the request in hand of somebody who is not root. It is handled once to find out that it takes
/// permission, and once more when that is decided; in between there is no answer.
#[derive(Debug, Default)]
pub struct Permission(Mutex<Known>);

#[derive(Debug, Default)]
enum Known {
    #[default]
    Nothing,
    Wanted(Change),
    Decided(Result<(), Failure>),
}

impl Permission {
    /// The change that waits for a decision, if one does.
    pub fn wanted(&self) -> Option<Change> {
        match *self.lock() {
            Known::Wanted(change) => Some(change),
            _ => None,
        }
    }

    /// What the same request hears when it is handled again.
    pub fn decide(&self, decision: Result<(), Failure>) {
        *self.lock() = Known::Decided(decision);
    }

    /// Forgets all: a decision holds for one request.
    pub fn forget(&self) {
        *self.lock() = Known::Nothing;
    }

    /// The decision, once; none: it is wanted from here on.
    fn take(&self, change: Change) -> Option<Result<(), Failure>> {
        let mut known = self.lock();
        match std::mem::replace(&mut *known, Known::Wanted(change)) {
            Known::Decided(decision) => {
                *known = Known::Nothing;
                Some(decision)
            }
            Known::Nothing | Known::Wanted(_) => None,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl varlink::Interface for Interface {
    fn get_description(&self) -> &'static str {
        DESCRIPTION
    }

    fn get_name(&self) -> &'static str {
        INTERFACE
    }

    fn call_upgraded(&self, _: &mut Call<'_>, _: &mut dyn BufRead) -> varlink::Result<Vec<u8>> {
        // No method upgrades a connection.
        Ok(Vec::new())
    }

    fn call(&self, call: &mut Call<'_>) -> varlink::Result<()> {
        let Some(request) = call.get_request() else {
            return Ok(());
        };
        let method = request
            .method
            .rsplit('.')
            .next()
            .unwrap_or_default()
            .to_owned();
        match understand(&method, request.parameters.as_ref()) {
            Ok(ask) => match self.reply(ask, may_interact(request.parameters.as_ref())) {
                Some(reply) => call.reply_struct(reply),
                // It waits for permission.
                None => Ok(()),
            },
            Err(Misunderstood::Method) => call.reply_method_not_found(method),
            Err(Misunderstood::Parameter(name)) => call.reply_invalid_parameter(name),
            Err(Misunderstood::Range(failure)) => call.reply_struct(failure.reply()),
        }
    }
}

impl Interface {
    /// None: whether it may be done is to be found out first.
    fn reply(&self, ask: Ask, interactive: bool) -> Option<Reply> {
        let mut requester = self.requester;
        if let Some(as_root) = as_root(&ask)
            && !requester.may_change
        {
            let change = Change {
                as_root,
                interactive,
            };
            if let Err(refused) = self.permission.take(change)? {
                return Some(refused.reply());
            }
            requester.by_polkit = true;
        }
        let answered = (self.answer)(ask, requester);
        Some(answered.map_or_else(Failure::reply, |parameters| {
            Reply::parameters(Some(parameters))
        }))
    }
}

/// The command by which root does what takes root; none: it does not.
pub const fn as_root(ask: &Ask) -> Option<&'static str> {
    match ask {
        Ask::Apply { .. } => Some("sudo gatebell rules apply FILE"),
        Ask::Confirm => Some("sudo gatebell rules confirm"),
        Ask::Revert => Some("sudo gatebell rules revert"),
        Ask::Reload => Some("sudo systemctl reload gatebell"),
        Ask::AddToSet { .. } => Some("sudo gatebell set add NAME ADDRESS"),
        Ask::RemoveFromSet { .. } => Some("sudo gatebell set remove NAME ADDRESS"),
        Ask::ForgetAnswers {
            everybody: true, ..
        } => Some("sudo gatebell answers forget"),
        _ => None,
    }
}

/// Whether somebody may be asked for a password; a request that does not say so comes from a person.
fn may_interact(parameters: Option<&Value>) -> bool {
    let said = parameters.and_then(|parameters| parameters.get("interactive"));
    said.and_then(Value::as_bool) != Some(false)
}

/// The longest time that an answer may hold, but for always: a year.
const LONGEST_ANSWER: u64 = 366 * 24 * 60 * 60;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerQuestion {
    id: u64,
    allow: bool,
    width: String,
    seconds: Option<u64>,
    always: Option<bool>,
    until: Option<String>,
}

fn answer(
    AnswerQuestion {
        id,
        allow,
        width,
        seconds,
        always,
        until,
    }: AnswerQuestion,
) -> Result<Ask, Misunderstood> {
    let range =
        |parameter, message| Misunderstood::Range(Failure::out_of_range(parameter, message));
    let known = Width::ALL.into_iter().find(|known| known.name() == width);
    let width = known.ok_or_else(|| {
        range(
            "width",
            "the width is place, address, port or anywhere".to_owned(),
        )
    })?;
    let lasts = match (seconds, always.unwrap_or(false), until.as_deref()) {
        (None, false, None) => Lasts::UntilRestart,
        (None, true, None) => Lasts::Always,
        (None, false, Some("connection")) if width == Width::Place => Lasts::Connection,
        (None, false, Some("program")) => Lasts::Process,
        (Some(seconds), false, None) if (1..=LONGEST_ANSWER).contains(&seconds) => {
            Lasts::For(Duration::from_secs(seconds))
        }
        (None, false, Some(until)) => {
            let message = if until == "connection" {
                "an answer to a connection is about its place"
            } else {
                "it is until the \"connection\" or the \"program\" ends"
            };
            return Err(range("until", message.to_owned()));
        }
        _ => {
            return Err(range(
                "seconds",
                format!(
                    "an answer holds for 1 to {LONGEST_ANSWER} seconds, for always, or until something ends"
                ),
            ));
        }
    };
    let given = Given {
        allow,
        width,
        lasts,
    };
    Ok(Ask::Answer { id, given })
}

/// So many answers may be named at once: more than there are.
const MOST_ANSWERS: usize = 2 * MAX_ANSWERS;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ForgetAnswers {
    ids: Option<Vec<String>>,
    program: Option<String>,
    all: Option<bool>,
    everybody: Option<bool>,
    #[serde(rename = "interactive")]
    _interactive: Option<bool>,
}

fn forget_answers(
    ForgetAnswers {
        ids,
        program,
        all,
        everybody,
        ..
    }: ForgetAnswers,
) -> Result<Ask, Misunderstood> {
    let which = match (ids, program, all.unwrap_or(false)) {
        (Some(ids), None, false) if (1..=MOST_ANSWERS).contains(&ids.len()) => {
            Forgotten::Those(ids)
        }
        (None, Some(program), false) => Forgotten::Program(program),
        (None, None, true) => Forgotten::All,
        _ => {
            return Err(Misunderstood::Range(Failure::out_of_range(
                "ids",
                format!(
                    "taken back are 1 to {MOST_ANSWERS} answers by their ids, those about a program, or all; nothing was changed"
                ),
            )));
        }
    };
    Ok(Ask::ForgetAnswers {
        which,
        everybody: everybody.unwrap_or(false),
    })
}

/// Why a request makes no sense.
enum Misunderstood {
    Method,
    Parameter(String),
    Range(Failure),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Apply {
    name: String,
    text: String,
    lease_seconds: Option<u64>,
    what: Option<String>,
    undoes: Option<u64>,
    replaces: Option<u32>,
    #[serde(rename = "interactive")]
    _interactive: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfGeneration {
    generation: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Since {
    since: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SinceAfter {
    since: u64,
    after: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Program {
    device: u64,
    inode: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfSet {
    set: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddToSet {
    set: String,
    addresses: Vec<String>,
    seconds: Option<u64>,
    #[serde(rename = "interactive")]
    _interactive: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RemoveFromSet {
    set: String,
    addresses: Vec<String>,
    #[serde(rename = "interactive")]
    _interactive: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// What every change takes: see [`may_interact`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfAChange {
    #[serde(rename = "interactive")]
    _interactive: Option<bool>,
}

fn understand(method: &str, parameters: Option<&Value>) -> Result<Ask, Misunderstood> {
    let without = |ask| read::<Nothing>(parameters).map(|Nothing {}| ask);
    let change = |ask| read::<OfAChange>(parameters).map(|OfAChange { .. }| ask);
    match method {
        "GetStatus" => without(Ask::Status),
        "ApplyRules" => apply(read(parameters)?),
        "ConfirmRules" => change(Ask::Confirm),
        "RevertRules" => change(Ask::Revert),
        "ReloadRules" => change(Ask::Reload),
        "GetRules" => without(Ask::Rules),
        "GetRuleNames" => {
            read(parameters).map(|OfGeneration { generation }| Ask::RuleNames { generation })
        }
        "GetStats" => without(Ask::Stats),
        "GetHits" => without(Ask::Hits),
        "GetAccounts" => without(Ask::Accounts),
        "GetAddressNames" => read(parameters).map(|Since { since }| Ask::AddressNames { since }),
        "GetHistory" => {
            read(parameters).map(|SinceAfter { since, after }| Ask::History { since, after })
        }
        "AddToSet" => add_to_set(read(parameters)?),
        "RemoveFromSet" => remove_from_set(read(parameters)?),
        "GetSetMembers" => read(parameters).map(|OfSet { set }| Ask::SetMembers { set }),
        "GetQuestions" => without(Ask::Questions),
        "AnswerQuestion" => answer(read(parameters)?),
        "GetAnswers" => without(Ask::Answers),
        "ForgetAnswers" => forget_answers(read(parameters)?),
        "GetProgram" => {
            read(parameters).map(|Program { device, inode }| Ask::Program { device, inode })
        }
        _ => Err(Misunderstood::Method),
    }
}

fn add_to_set(
    AddToSet {
        set,
        addresses,
        seconds,
        ..
    }: AddToSet,
) -> Result<Ask, Misunderstood> {
    if seconds.is_some_and(|seconds| !(1..=LONGEST_ANSWER).contains(&seconds)) {
        return Err(Misunderstood::Range(Failure::out_of_range(
            "seconds",
            format!(
                "an address is in a set for 1 to {LONGEST_ANSWER} seconds, or until it is removed"
            ),
        )));
    }
    Ok(Ask::AddToSet {
        set,
        addresses: single_addresses(&addresses)?,
        time: seconds.map(Duration::from_secs),
    })
}

fn remove_from_set(
    RemoveFromSet { set, addresses, .. }: RemoveFromSet,
) -> Result<Ask, Misunderstood> {
    Ok(Ask::RemoveFromSet {
        set,
        addresses: single_addresses(&addresses)?,
    })
}

/// Each once.
fn single_addresses(texts: &[String]) -> Result<Vec<IpAddr>, Misunderstood> {
    let range = |message| Misunderstood::Range(Failure::out_of_range("addresses", message));
    if texts.is_empty() || texts.len() > MAX_MEMBERS {
        return Err(range(format!("there are 1 to {MAX_MEMBERS} addresses")));
    }
    let mut addresses = BTreeSet::new();
    for text in texts {
        let address: IpAddr = text.parse().map_err(|_| {
            range(format!(
                "`{}` is no single address: prefixes, ranges and names stand in the rule file; nothing was changed",
                text.escape_debug()
            ))
        })?;
        addresses.insert(address.to_canonical());
    }
    Ok(addresses.into_iter().collect())
}

fn apply(
    Apply {
        name,
        text,
        lease_seconds,
        what,
        undoes,
        replaces,
        ..
    }: Apply,
) -> Result<Ask, Misunderstood> {
    let range = |parameter, message| {
        Err(Misunderstood::Range(Failure::out_of_range(
            parameter, message,
        )))
    };
    if name.is_empty() || name.len() > LONGEST_NAME || name.chars().any(char::is_control) {
        return range(
            "name",
            format!("the name has 1 to {LONGEST_NAME} bytes, none of them for control"),
        );
    }
    if lease_seconds.is_some_and(|seconds| !(1..=LONGEST_LEASE).contains(&seconds)) {
        return range(
            "lease_seconds",
            format!("a lease has 1 to {LONGEST_LEASE} seconds"),
        );
    }
    if let Some(what) = &what
        && (what.is_empty() || what.len() > LONGEST_NAME || what.chars().any(char::is_control))
    {
        return range(
            "what",
            format!("what a change is has 1 to {LONGEST_NAME} bytes, none of them for control"),
        );
    }
    let note = ChangeNote {
        what,
        undoes,
        replaces,
    };
    Ok(Ask::Apply {
        name,
        text,
        lease: lease_seconds.map(Duration::from_secs),
        note,
    })
}

/// Parameters as a type; none are as good as no fields. What serde says names the field.
fn read<T: DeserializeOwned>(parameters: Option<&Value>) -> Result<T, Misunderstood> {
    let none = json!({});
    T::deserialize(parameters.unwrap_or(&none))
        .map_err(|error| Misunderstood::Parameter(error.to_string()))
}
