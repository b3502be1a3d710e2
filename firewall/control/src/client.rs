//! Client of the control socket: the requests of the command line and of the window.

use crate::{
    Accounts, AddressNames, Applied, ChangeNote, Forgotten, Given, HeldAnswer, HistoryPage,
    HistoryRow, Hits, InForce, Kept, Lasts, Networks, Question, RuleNames, RuleText, SetAdded,
    SetMember, SetRemoved, Stats, Status, SubscribedList,
};
use crate::{HISTORY_READS, INTERFACE, root_socket};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};
use varlink::sansio::protocol::serialize_request;
use varlink::{Reply, Request};

/// Longest time that an answer may take: a rule file with a million addresses takes seconds, on a slow machine many.
const PATIENCE: Duration = Duration::from_secs(120);
/// Length of the longest answer, in bytes: the text of a rule file.
const LONGEST: u64 = 64 << 20;

/// Time for which a page of a history is waited for,
const HISTORY_PATIENCE: Duration = Duration::from_secs(10);
/// and the interval at which it is asked for meanwhile.
const HISTORY_REST: Duration = Duration::from_millis(100);
/// Number of tries to read a history that is put together meanwhile.
const HISTORY_TRIES: usize = 20;

/// Connection to the running service.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
    interactive: bool,
}

/// Reason for which there is no answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failed {
    /// Nobody serves that socket.
    NotRunning,
    /// The user may not connect.
    NotAllowed,
    /// The service hung up: it has ended, or this user asks too much.
    HungUp,
    /// The service refused, and says why and what to do.
    Refused {
        /// Name of the error, without the interface's.
        name: String,
        /// Message: what is wrong and what to do.
        message: String,
        /// Each error in the rules, with `RulesWrong`.
        errors: Vec<String>,
    },
    /// Another error of the system.
    System(io::Error),
    /// The service answers what this release does not understand; the text says what.
    Misfit(String),
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotRunning => {
                f.write_str("gatebelld is not running; start it with `sudo systemctl start gatebell`")
            }
            Self::NotAllowed => f.write_str(
                "you may not ask the firewall; run this as root, or have root add you to the group gatebell: \
                 `sudo usermod -aG gatebell $USER`, then log in again",
            ),
            Self::HungUp => f.write_str(
                "gatebelld hung up; `systemctl status gatebell` says whether it has ended, else ask again more slowly",
            ),
            Self::Refused { message, .. } => f.write_str(message),
            Self::System(error) => write!(f, "can't ask gatebelld: {error}; `systemctl status gatebell` says how it is"),
            Self::Misfit(what) => {
                write!(f, "gatebelld answers {what}; install the same release of gatebell and gatebelld, then restart it")
            }
        }
    }
}

impl std::error::Error for Failed {}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => Self::NotRunning,
            ErrorKind::PermissionDenied => Self::NotAllowed,
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof => {
                Self::HungUp
            }
            _ => Self::System(error),
        }
    }
}

impl Client {
    /// Connects to the service behind the control socket at `path`; root by the one beside it that is for root alone.
    pub fn connect(path: &Path) -> Result<Self, Failed> {
        let of_root = UnixStream::connect(root_socket(path));
        let stream = of_root.or_else(|_| UnixStream::connect(path))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream: BufReader::new(stream),
            interactive: true,
        })
    }

    /// Sets whether somebody may be asked for a password where a change takes permission: not for a script, which is
    /// refused at once. Unless this is called, they may be.
    #[must_use]
    pub fn interactive(mut self, interactive: bool) -> Self {
        self.interactive = interactive;
        self
    }

    /// Returns the state of the firewall.
    pub fn status(&mut self) -> Result<Status, Failed> {
        self.ask("GetStatus", json!({}), "status")
    }

    /// Applies these rules; with a lease, until it ends.
    pub fn apply(
        &mut self,
        name: &str,
        text: &str,
        lease: Option<Duration>,
    ) -> Result<Applied, Failed> {
        self.apply_change(name, text, lease, &ChangeNote::default())
    }

    /// Applies these rules, with a description of the change.
    pub fn apply_change(
        &mut self,
        name: &str,
        text: &str,
        lease: Option<Duration>,
        note: &ChangeNote,
    ) -> Result<Applied, Failed> {
        let mut parameters = json!({ "name": name, "text": text });
        if let Some(what) = &note.what {
            parameters["what"] = json!(what);
        }
        if let Some(undoes) = note.undoes {
            parameters["undoes"] = json!(undoes);
        }
        if let Some(replaces) = note.replaces {
            parameters["replaces"] = json!(replaces);
        }
        if let Some(lease) = lease {
            parameters["lease_seconds"] = json!(lease.as_secs());
        }
        self.change("ApplyRules", parameters, "applied")
    }

    /// Confirms the candidate; with its generation when it was seen, no other one.
    pub fn confirm(&mut self, seen: Option<u32>) -> Result<Applied, Failed> {
        self.change("ConfirmRules", of_lease(seen), "applied")
    }

    /// Ends the lease; with the candidate's generation when it was seen, no other one's: the confirmed rules are back.
    pub fn revert(&mut self, seen: Option<u32>) -> Result<InForce, Failed> {
        self.change("RevertRules", of_lease(seen), "rules")
    }

    /// Reads the rule file again.
    pub fn reload(&mut self) -> Result<Applied, Failed> {
        self.change("ReloadRules", json!({}), "applied")
    }

    /// Returns the text of the rules in force.
    pub fn rules(&mut self) -> Result<RuleText, Failed> {
        self.ask("GetRules", json!({}), "rules")
    }

    /// Returns the names of this generation's rules, or `None` if the service does not know them, or not any more.
    pub fn rule_names(&mut self, generation: u32) -> Result<Option<RuleNames>, Failed> {
        let parameters = json!({ "generation": generation });
        self.ask("GetRuleNames", parameters, "names")
    }

    /// Returns the counters of the driver.
    pub fn stats(&mut self) -> Result<Stats, Failed> {
        self.ask("GetStats", json!({}), "stats")
    }

    /// Returns the number of decisions of each rule.
    pub fn hits(&mut self) -> Result<Hits, Failed> {
        self.ask("GetHits", json!({}), "hits")
    }

    /// Returns every app's account; for others than root, their own.
    pub fn accounts(&mut self) -> Result<Accounts, Failed> {
        self.ask("GetAccounts", json!({}), "accounts")
    }

    /// Returns the path of a program that records name by its file's device and inode.
    pub fn program(&mut self, device: u64, inode: u64) -> Result<Option<String>, Failed> {
        self.ask(
            "GetProgram",
            json!({ "device": device, "inode": inode }),
            "path",
        )
    }

    /// Returns the names of addresses that were learned after this turn; 0 for all. For root.
    pub fn address_names(&mut self, since: u64) -> Result<AddressNames, Failed> {
        self.ask("GetAddressNames", json!({ "since": since }), "names")
    }

    /// Returns a page of the history, of records since this time (seconds since 1970) and behind this row; of a
    /// program's, if one is given, and of others of its name.
    pub fn history_page(
        &mut self,
        since: u64,
        after: u64,
        program: Option<&str>,
    ) -> Result<HistoryPage, Failed> {
        let mut parameters = json!({ "since": since, "after": after });
        // A service of the release before knows no more.
        if let Some(program) = program {
            parameters["program"] = json!(program);
        }
        self.ask("GetHistory", parameters, "history")
    }

    /// Returns a page of the history, and asks for it again while the service's disk is slow.
    fn patient_history_page(
        &mut self,
        since: u64,
        after: u64,
        program: Option<&str>,
    ) -> Result<HistoryPage, Failed> {
        let end = Instant::now() + HISTORY_PATIENCE;
        loop {
            match self.history_page(since, after, program) {
                Err(Failed::Refused { message, .. })
                    if message == HISTORY_READS && Instant::now() < end =>
                {
                    std::thread::sleep(HISTORY_REST);
                }
                page => return page,
            }
        }
    }

    /// Returns the whole history since this time; for others than root, of what their own programs did.
    pub fn history(&mut self, since: u64) -> Result<Vec<HistoryRow>, Failed> {
        let Kept { rows, .. } = self.latest_history(since, usize::MAX, None)?;
        Ok(rows)
    }

    /// Returns the history since this time, but of more rows than `most` those that were begun last; of a program's, if
    /// one is given, and of others of its name.
    pub fn latest_history(
        &mut self,
        since: u64,
        most: usize,
        program: Option<&str>,
    ) -> Result<Kept, Failed> {
        for _ in 0..HISTORY_TRIES {
            if let Some(kept) = self.whole_history(since, most, program)? {
                return Ok(kept);
            }
        }
        Err(Failed::Misfit(
            "a history that changes faster than it can be read".to_owned(),
        ))
    }

    /// Reads all pages of the history, or returns `None` if rows were put together meanwhile.
    fn whole_history(
        &mut self,
        since: u64,
        most: usize,
        program: Option<&str>,
    ) -> Result<Option<Kept>, Failed> {
        let (mut kept, mut after, mut turn) = (Kept::default(), 0, None);
        loop {
            let page = self.patient_history_page(since, after, program)?;
            if *turn.get_or_insert(page.turn) != page.turn {
                return Ok(None);
            }
            kept.rows.extend(page.rows);
            let over = kept.rows.len().saturating_sub(most);
            kept.rows.drain(..over);
            kept.left_out += over;
            kept.unread += page.unread;
            match page.next {
                Some(next) if next > after => after = next,
                _ => return Ok(Some(kept)),
            }
        }
    }

    /// Returns the questions that wait for an answer; for others than root, those about their programs.
    pub fn questions(&mut self) -> Result<Vec<Question>, Failed> {
        self.ask("GetQuestions", json!({}), "questions")
    }

    /// Answers a question, as it was shown: with the number of the last place that it listed
    /// ([`Question::listed`]), if that is known.
    pub fn answer(
        &mut self,
        id: u64,
        listed: Option<u64>,
        given: &Given,
    ) -> Result<Question, Failed> {
        let mut parameters = json!({ "id": id, "allow": given.allow, "width": given.width.name() });
        match given.lasts {
            Lasts::Connection => parameters["until"] = json!("connection"),
            Lasts::Process => parameters["until"] = json!("program"),
            Lasts::For(time) => parameters["seconds"] = json!(time.as_secs()),
            Lasts::UntilRestart => {}
            Lasts::Always => parameters["always"] = json!(true),
        }
        if let Some(listed) = listed {
            parameters["listed"] = json!(listed);
        }
        self.ask("AnswerQuestion", parameters, "answered")
    }

    /// Returns the answers that hold, or are kept for always; for others than root, those about their own programs.
    pub fn answers(&mut self) -> Result<Vec<HeldAnswer>, Failed> {
        self.ask("GetAnswers", json!({}), "answers")
    }

    /// Takes answers back: with `everybody` also those about others' programs, which takes root or permission.
    pub fn forget_answers(
        &mut self,
        which: &Forgotten,
        everybody: bool,
    ) -> Result<Vec<HeldAnswer>, Failed> {
        let mut parameters = match which {
            Forgotten::Those(ids) => json!({ "ids": ids }),
            Forgotten::Program(path) => json!({ "program": path }),
            Forgotten::All => json!({ "all": true }),
        };
        if everybody {
            parameters["everybody"] = json!(true);
        }
        self.change("ForgetAnswers", parameters, "forgotten")
    }

    /// Adds these addresses to a set, for this time or until they are removed.
    pub fn add_to_set(
        &mut self,
        set: &str,
        addresses: &[String],
        time: Option<Duration>,
    ) -> Result<SetAdded, Failed> {
        let mut parameters = json!({ "set": set, "addresses": addresses });
        if let Some(time) = time {
            parameters["seconds"] = json!(time.as_secs());
        }
        self.change("AddToSet", parameters, "added")
    }

    /// Takes addresses out of a set that they have joined.
    pub fn remove_from_set(
        &mut self,
        set: &str,
        addresses: &[String],
    ) -> Result<SetRemoved, Failed> {
        let parameters = json!({ "set": set, "addresses": addresses });
        self.change("RemoveFromSet", parameters, "removed")
    }

    /// Returns the addresses that have joined this set, or any.
    pub fn set_members(&mut self, set: Option<&str>) -> Result<Vec<SetMember>, Failed> {
        let parameters = set.map_or_else(|| json!({}), |set| json!({ "set": set }));
        self.ask("GetSetMembers", parameters, "members")
    }

    /// Returns the rules' networks, which of them are there, and the routes by which they are known.
    pub fn networks(&mut self) -> Result<Networks, Failed> {
        self.ask("GetNetworks", json!({}), "networks")
    }

    /// Has the list of this set fetched now; with `take` whatever was fetched last is taken that is a list.
    pub fn refresh_list(&mut self, set: &str, take: bool) -> Result<SubscribedList, Failed> {
        self.change("RefreshList", json!({ "set": set, "take": take }), "list")
    }

    /// Makes a request that may take permission.
    fn change<T: DeserializeOwned>(
        &mut self,
        method: &str,
        mut parameters: Value,
        field: &str,
    ) -> Result<T, Failed> {
        if !self.interactive {
            parameters["interactive"] = json!(false);
        }
        self.ask(method, parameters, field)
    }

    /// Makes a request, and takes one field of the answer.
    fn ask<T: DeserializeOwned>(
        &mut self,
        method: &str,
        parameters: Value,
        field: &str,
    ) -> Result<T, Failed> {
        let request = Request::create(format!("{INTERFACE}.{method}"), Some(parameters));
        let request =
            serialize_request(&request).map_err(|error| Failed::Misfit(error.to_string()))?;
        // Who is hung up on while it still speaks may have been told why.
        let sent = self.stream.get_mut().write_all(&request);
        let reply = self.hear();
        if let (Err(unsent), Err(_)) = (sent, &reply) {
            return Err(unsent.into());
        }
        let mut parameters = parameters_of(reply?)?;
        let value = parameters
            .get_mut(field)
            .map(Value::take)
            .unwrap_or_default();
        serde_json::from_value(value)
            .map_err(|error| Failed::Misfit(format!("{method} otherwise ({error})")))
    }

    fn hear(&mut self) -> Result<Reply, Failed> {
        let mut message = Vec::new();
        self.stream
            .by_ref()
            .take(LONGEST)
            .read_until(0, &mut message)?;
        match message.pop() {
            Some(0) => {
                serde_json::from_slice(&message).map_err(|error| Failed::Misfit(error.to_string()))
            }
            Some(_) if message.len() as u64 + 1 == LONGEST => {
                Err(Failed::Misfit("without end".to_owned()))
            }
            _ => Err(Failed::HungUp),
        }
    }
}

/// Returns the parameters by which a lease is named, if its candidate was seen.
fn of_lease(seen: Option<u32>) -> Value {
    seen.map_or_else(
        || json!({}),
        |generation| json!({ "generation": generation }),
    )
}

/// Returns the parameters of a reply that is no error.
fn parameters_of(reply: Reply) -> Result<Value, Failed> {
    let parameters = reply.parameters.unwrap_or_default();
    let Some(error) = reply.error else {
        return Ok(parameters);
    };
    let name = error
        .strip_prefix(INTERFACE)
        .and_then(|rest| rest.strip_prefix('.'));
    let Some(name) = name else {
        return Err(Failed::Misfit(format!("{error} {parameters}")));
    };
    let message = parameters["message"]
        .as_str()
        .unwrap_or("the service does not say why")
        .to_owned();
    let errors = parameters["errors"].as_array().into_iter().flatten();
    let errors = errors
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    Err(Failed::Refused {
        name: name.to_owned(),
        message,
        errors,
    })
}
