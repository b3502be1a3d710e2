//! Rule files: parses their text, reports each error with its place, and compiles the rules to the engine's tables.
//!
//! One TOML file is the whole configuration. [`parse`] reads no file and asks no kernel: the service, the dry run and
//! the command line hand it text, and a [`Resolver`] for the files and names that the text refers to.
//! [`SystemResolver`] asks this machine; it and what tells this machine's network ([`own_network`]) are the only parts
//! of this crate that ask a system. It may depend on `firewall_abi`, `engine` and a TOML parser.
//!
//! Rules that hold here:
//! - A file is taken whole or not at all, and all that is wrong with it is said at once: file, line, column, what is
//!   wrong and what would be right.
//! - Nothing is guessed: an unknown key is an error, a default that is not written is one too.
//! - What was parsed can be compiled: whatever could fail failed in [`parse`].
//!
//! # The keys
//! ```toml
//! version = 1                  # of this format; may be left out
//!
//! [default]                    # for packets that no rule matches
//! inbound = "block"
//! outbound = "allow"
//! forward = "block"            # through the machine; if left out: as inbound
//! log_inbound = true           # reported? if left out: refused ones are, allowed ones are not
//! log_outbound = false
//! log_forward = true
//!
//! [service]
//! fail_mode = "static"         # when the service has ended: the rules stay; or "open", or "closed": nothing passes
//!
//! [[set]]                      # addresses under one name; rules ask for it as "@bad-hosts"
//! id = "bad-hosts"
//! addresses = ["192.0.2.0/24", "2001:db8::1-2001:db8::ff"]   # here
//! file = "lists/bad.txt"       # and in a file, one entry a line; beside the rule file unless it begins with /
//! # url = "https://lists.example.org/bad.txt"   # in place of a file: what the service has fetched from there
//! # refresh = "1d"             # with url: when it is fetched again
//! except = "192.168.0.0/16"    # what it does not hold, whatever the file says
//! strict = false               # true: a file with one wrong entry is not read at all
//! names = ["example.org", "*.example.net"]   # addresses that answers of DNS say these names have, while they say so
//! resolvers = "192.0.2.53"     # whose answers count; if left out: those of whom this machine asks
//! comment = "where it is from"
//!
//! [[network]]                  # where the machine may be, known by the default route that leads out of there
//! id = "home"
//! interface = ["eth0", "wlan*"]                # the device that the route goes by, or a list; any if left out
//! ssid = "our flat"                            # the wireless network of that device, or a list; any if left out
//! connection = "Home"                          # NetworkManager's connection of it: name or UUID, or a list
//! gateway = "192.168.1.1"                      # the gateway: address, prefix, range, or a list; any if left out
//! gateway_hardware = "02:00:5e:10:00:01"       # the gateway's hardware address, or a list; any if left out
//! comment = "the flat"
//!
//! [[rule]]                     # tried in this order, the first that matches decides
//! id = "web"                   # its name in records and messages
//! action = "allow"             # or "block"; or "reject", which tells the sender
//!                              # or "ask", with direction = "out" or "in": a person decides
//! # unanswered = "block"       # with "ask": what becomes of what nobody answered in time; or "allow"
//! # answer_within = 30         # with "ask": that time, in seconds
//! direction = "in"             # or "out" or "forward"; all of them if left out
//! protocol = "tcp"             # tcp, udp, icmp, icmpv6, a number, or a list of them; any if left out
//! source = ["192.0.2.0/24", "2001:db8::/32", "@bad-hosts"]   # address, prefix, range, set, or a list; any if left out
//! destination = "198.51.100.7-198.51.100.9"
//! ports = [80, 443, "8000-8080"]               # the ones it goes to: with protocols that have ports
//! source_ports = "1024-65535"                  # the ones it comes from
//! interface = ["eth0", "wg*"]                  # the device it comes in or goes out by, or a list; forwarded: in by
//! # out_interface = "docker0"                  # the device it goes out by: with direction = "forward" only
//! user = [1000, "root"]                        # the user at this machine's end: a number, a name, or a list
//! program = "/usr/bin/curl"                    # the program at this machine's end, or a list
//! network = "home"                             # on while it, or one of a list, is there; "!home": while it is not
//! log = true                   # reported? if left out: blocked packets are, allowed ones are not
//! enabled = true
//! comment = "what it is for"
//!
//! [[rule]]
//! id = "ping"
//! action = "allow"
//! protocol = "icmp"            # one protocol: the types of icmp and icmpv6 have different numbers
//! icmp_type = "echo-request"   # or a number, or a list
//! ```
#![forbid(unsafe_code)]

mod address;
mod clean;
mod compile;
mod device;
pub mod document;
mod host;
mod joined;
mod kill_switch;
mod list;
mod network;
mod own_network;
mod paths;
mod ports;
mod program;
mod protocol;
mod read;
mod report;
mod resolver;
mod section;
mod set;
mod shadow;
mod suggest;
mod system_network;
mod system_resolver;
mod unknown;
mod value;
pub mod words;

pub use address::Addresses;
pub use clean::{clean, clean_line, clean_lines, is_visible};
pub use compile::{Combination, Sets, Table};
pub use device::{device_words, names_device};
pub use host::HostPattern;
pub use joined::Joined;
pub use list::{ListContent, MOST_OF_FETCHED, list_entries, unpacked_list};
pub use network::{
    ActiveConnection, DefaultRoute, Effect, GatewayHardware, HardwareAddress, NO_NETWORKS, Network,
    NetworkRule, NetworkRules, Presence, RuleNetworks, Sighting, Sign, SignKind, WirelessNetwork,
    as_if,
};
pub use own_network::{Login, OwnNetwork};
pub use paths::with_whole_paths;
pub use protocol::Protocol;
pub use report::{Errors, Finding, suggestion};
pub use resolver::{FileMark, FileStamp, NoResolver, Resolver, SetFile};
pub use set::{Set, Subscription, grouped};
pub use suggest::{Reach, SuggestedPlace, Suggestion};
pub use system_network::own_network;
#[cfg(target_os = "linux")]
pub use system_network::{
    CONNECTION_FOLDERS, RouteChanges, RoutesUnknown, default_routes, look_for_gateway,
    resolver_files,
};
pub use system_resolver::{FETCHED, SystemResolver, copy_name, file_mark, read_rule_file};
pub use unknown::Unknown;

use firewall_abi::packet::{Direction, Verdict};
use firewall_abi::rules::{FailMode, Page, PortRange};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A rule file that was read and found valid.
pub struct Rules {
    defaults: Defaults,
    asking: Asking,
    fail_mode: FailMode,
    rules: Vec<Rule>,
    sets: Vec<Set>,
    networks: Vec<Network>,
    /// Presence of each network, as far as it was reported.
    presences: Vec<Presence>,
    /// Contents of the sets, if rules ask for any.
    members: Option<Arc<Sets>>,
    warnings: Vec<Finding>,
    troubles: Vec<Finding>,
    /// Pages that were built to see whether they fit; the first caller of [`Rules::compile`] gets them.
    ready: Mutex<Option<Vec<Page>>>,
}

/// One rule. An empty list matches anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Name of the rule, unique in the file.
    pub id: String,
    /// Line of the file that the name stands in, from 1.
    pub line: usize,
    /// Verdict on packets that it matches.
    pub action: Verdict,
    /// Direction of the packets that it matches; `None` for every direction.
    pub direction: Option<Direction>,
    /// Protocols that it matches.
    pub protocols: Vec<Protocol>,
    /// Source addresses; any if it names no source sets either.
    pub sources: Vec<Addresses>,
    /// Sets of source addresses, by their index in the file ([`Rules::set`]).
    pub source_sets: Vec<u32>,
    /// Destination addresses, likewise.
    pub destinations: Vec<Addresses>,
    /// Sets of destination addresses.
    pub destination_sets: Vec<u32>,
    /// Source ports that it matches.
    pub source_ports: Vec<PortRange>,
    /// Destination ports that it matches.
    pub ports: Vec<PortRange>,
    /// ICMP types that it matches.
    pub icmp_types: Vec<u8>,
    /// Network devices that packets come in or go out by; for forwarded packets, those that they come in by.
    pub interfaces: Vec<String>,
    /// Network devices that forwarded packets go out by.
    pub out_interfaces: Vec<String>,
    /// Users at the local end.
    pub users: Vec<User>,
    /// Programs at the local end.
    pub programs: Vec<Program>,
    /// `true` if packets that it matches are reported.
    pub log: bool,
    /// Timeout and default answer of its questions, if it asks a person.
    pub asking: Asking,
    /// `true` unless the file switches it off.
    pub enabled: bool,
    /// Networks in which it is on.
    pub networks: RuleNetworks,
    /// Effect of these networks on it where the machine is, as far as that was reported ([`Rules::put_at`]).
    pub effect: Effect,
    /// Comment of the file on its purpose.
    pub comment: Option<String>,
    /// Matches beside the above while something that it names can't be had.
    pub presumed: Presumed,
}

/// Conditions of a rule, key by key. Code that goes through the keys destructures this whole, without `..`: there a new
/// key is a compile error until it is handled.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the fields are the rule's")]
pub struct RuleKeys<'a> {
    pub direction: Option<Direction>,
    pub protocols: &'a [Protocol],
    pub sources: &'a [Addresses],
    pub source_sets: &'a [u32],
    pub destinations: &'a [Addresses],
    pub destination_sets: &'a [u32],
    pub source_ports: &'a [PortRange],
    pub ports: &'a [PortRange],
    pub icmp_types: &'a [u8],
    pub interfaces: &'a [String],
    pub out_interfaces: &'a [String],
    pub users: &'a [User],
    pub programs: &'a [Program],
}

impl Rule {
    /// Returns the conditions of the rule.
    #[must_use]
    pub fn keys(&self) -> RuleKeys<'_> {
        let Self {
            id: _,
            line: _,
            action: _,
            direction,
            protocols,
            sources,
            source_sets,
            destinations,
            destination_sets,
            source_ports,
            ports,
            icmp_types,
            interfaces,
            out_interfaces,
            users,
            programs,
            log: _,
            asking: _,
            enabled: _,
            networks: _,
            effect: _,
            comment: _,
            presumed: _,
        } = self;
        RuleKeys {
            direction: *direction,
            protocols,
            sources,
            source_sets,
            destinations,
            destination_sets,
            source_ports,
            ports,
            icmp_types,
            interfaces,
            out_interfaces,
            users,
            programs,
        }
    }

    /// Returns whether the rule is on and names the loopback device, by its whole name: a prefix that other devices'
    /// names share does not have loopback packets judged.
    pub(crate) fn names_loopback(&self) -> bool {
        self.is_on() && self.interfaces.iter().any(|word| word == "lo")
    }
}

/// Matches of a blocking rule beside what it names, while something that it names can't be had: everything that this
/// might be. A rule that allows presumes nothing: it matches what is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presumed {
    /// Addresses that its source sets may hold.
    pub sources: Vec<Addresses>,
    /// Addresses that its destination sets may hold.
    pub destinations: Vec<Addresses>,
    /// Users that may be the one whom it names, as ranges, both ends included.
    pub users: Vec<(u32, u32)>,
    /// `true` if any program may be the one that it names.
    pub programs: bool,
}

impl Presumed {
    /// Returns whether all that the rule names is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A user that a rule asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Number of the user; `None` while nobody is known by the name.
    pub number: Option<u32>,
    /// Name of the user, if the rule file has one.
    pub name: Option<String>,
}

/// A program that a rule asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Path of the file; or "unknown" or "kernel", which no path is.
    pub path: String,
    /// Identity of the file ([`firewall_abi::packet::PacketMeta::program`]) at the last lookup; `None` if it was not
    /// there.
    pub identity: Option<[u64; 2]>,
    /// Identities of the files that the path led to before, as long as a process runs from them: see
    /// [`Rules::match_former`].
    pub former: Vec<[u64; 2]>,
}

impl Program {
    /// Looks up the present identity of the file; `None` if it is not there.
    #[must_use]
    pub fn look(&self, resolver: &dyn Resolver) -> Option<[u64; 2]> {
        program::identity(&self.path, resolver)
    }

    /// Returns all identities that the rule matches, the former ones too.
    pub fn identities(&self) -> impl Iterator<Item = [u64; 2]> {
        self.identity.into_iter().chain(self.former.iter().copied())
    }
}

/// Timeout of a question to a person, and the verdict when it has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asking {
    /// Verdict if nobody has answered in time: [`Verdict::Block`] or [`Verdict::Allow`].
    pub unanswered: Verdict,
    /// Time in which an answer is waited for.
    pub within: Duration,
}

impl Default for Asking {
    fn default() -> Self {
        Self {
            unanswered: Verdict::Block,
            within: Duration::from_secs(30),
        }
    }
}

/// Default policy of one direction, for packets that no rule matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DefaultAction {
    /// Verdict on these packets.
    pub action: Verdict,
    /// `true` if these packets are reported.
    pub log: bool,
}

/// Default policies of all directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Defaults {
    pub(crate) inbound: DefaultAction,
    pub(crate) outbound: DefaultAction,
    pub(crate) forward: DefaultAction,
}

/// Parses the text of a rule file. `name` is the name of the file in messages.
///
/// A fault of what the text refers to is no error of the text: see [`Rules::troubles`].
///
/// # Errors
/// Returns all errors of the text at once.
pub fn parse(name: &str, text: &str, resolver: &dyn Resolver) -> Result<Rules, Errors> {
    let mut report = report::Report::new(name, text);
    let read::File {
        defaults,
        asking,
        fail_mode,
        rules,
        sets,
        networks,
        members,
    } = read::file(text, &mut report, resolver);
    let report::Remarks {
        mut warnings,
        troubles,
        mut elsewhere,
    } = report.close()?;
    let too_big = |message| {
        Errors::of(Finding {
            file: name.to_owned(),
            line: 1,
            column: 1,
            message,
        })
    };
    let asked: Vec<u32> = rules
        .iter()
        .flat_map(|rule| rule.source_sets.iter().chain(&rule.destination_sets))
        .copied()
        .collect();
    let members = if asked.is_empty() {
        None
    } else {
        let built = Sets::build(members, &sets, asked).map_err(too_big)?;
        Some(Arc::new(built))
    };
    let mut read = Rules {
        defaults,
        asking,
        fail_mode,
        rules,
        sets,
        networks,
        presences: Vec::new(),
        members,
        warnings: Vec::new(),
        troubles,
        ready: Mutex::default(),
    };
    let built = compile::build(read.source()).map_err(too_big)?;
    warnings.extend(shadow::warnings(name, &read.rules, &built));
    warnings.extend(kill_switch::warnings(name, &read.rules, &read.defaults));
    warnings.sort();
    warnings.append(&mut elsewhere);
    read.warnings = warnings;
    read.ready = Mutex::new(Some(built.pages));
    Ok(read)
}

impl fmt::Debug for Rules {
    /// Leaves out the pages: they are many.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            defaults, rules, ..
        } = self;
        let mut shown = f.debug_struct("Rules");
        shown
            .field("defaults", defaults)
            .field("rules", rules)
            .finish_non_exhaustive()
    }
}

impl Rules {
    /// Returns the rule that a decision names, by its index in the file, from 0.
    #[must_use]
    pub fn rule(&self, number: u32) -> Option<&Rule> {
        self.rules.get(usize::try_from(number).ok()?)
    }

    /// Returns every rule in the order of the file, the disabled ones too.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Rule> {
        self.rules.iter()
    }

    /// Returns the set that a rule names, by its index in the file, from 0.
    #[must_use]
    pub fn set(&self, number: u32) -> Option<&Set> {
        self.sets.get(usize::try_from(number).ok()?)
    }

    /// Returns every set in the order of the file.
    pub fn sets(&self) -> impl ExactSizeIterator<Item = &Set> {
        self.sets.iter()
    }

    /// Returns the contents of the sets, if rules ask for any.
    #[must_use]
    pub fn members(&self) -> Option<&Arc<Sets>> {
        self.members.as_ref()
    }

    /// Returns the warnings of the text: rules that can never match or that let guests past a kill switch, sets that no
    /// rule asks for, programs that are not there.
    #[must_use]
    pub fn warnings(&self) -> &[Finding] {
        &self.warnings
    }

    /// Returns the troubles: what the rules name and the machine could not provide, such as a list that can't be read
    /// or is none, an unknown user, or a program that can't be looked at. The rules hold nevertheless, each on its safe
    /// side ([`Presumed`]); a trouble lasts until the text is parsed again.
    #[must_use]
    pub fn troubles(&self) -> &[Finding] {
        &self.troubles
    }

    /// Returns the default policy of a direction.
    #[must_use]
    pub fn default_for(&self, direction: Direction) -> DefaultAction {
        match direction {
            Direction::Inbound => self.defaults.inbound,
            Direction::Outbound => self.defaults.outbound,
            Direction::Forward => self.defaults.forward,
        }
    }

    /// Returns the timeout and default answer of questions that a default policy asks.
    #[must_use]
    pub fn default_asking(&self) -> Asking {
        self.asking
    }

    /// Returns whether a rule that is on where the machine is, or a default policy, asks a person.
    #[must_use]
    pub fn asks(&self) -> bool {
        let defaults = Direction::ALL.map(|direction| self.default_for(direction).action);
        let on = self.rules.iter().filter(|rule| rule.is_on());
        on.map(Rule::verdict)
            .chain(defaults)
            .any(|action| action == Verdict::Ask)
    }

    /// Returns the fail mode: the treatment of packets after the service has ended.
    #[must_use]
    pub fn fail_mode(&self) -> FailMode {
        self.fail_mode
    }

    /// Compiles the rules to the table of the generation with this number (from 1).
    #[must_use]
    pub fn compile(&self, generation: u32) -> Table {
        let ready = self
            .ready
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        // They fitted when they were parsed, or last looked at: they do again. No table at all would block.
        let pages = ready
            .or_else(|| Some(compile::build(self.source()).ok()?.pages))
            .unwrap_or_default();
        self.table(pages, generation)
    }

    fn table(&self, pages: Vec<Page>, generation: u32) -> Table {
        let sets = self.members.clone().filter(|_| compile::asks_sets(&pages));
        let mut table = Table { pages, sets };
        table.number(generation);
        table
    }

    /// Takes back a table of these rules that was only looked at: the next [`Rules::compile`] need not build its pages
    /// again.
    pub fn take_back(&self, table: Table) {
        *self.ready.lock().unwrap_or_else(PoisonError::into_inner) = Some(table.pages);
    }

    /// Returns whether loopback packets are judged: a rule that is on names the loopback device.
    #[must_use]
    pub fn judges_loopback(&self) -> bool {
        self.rules.iter().any(Rule::names_loopback)
    }

    /// Looks up every program that rules name again. Returns whether the identity of one of them has changed: it was
    /// installed, replaced or removed, and only tables that are compiled after this know it.
    ///
    /// # Errors
    /// Fails if the tables would be too large; nothing has changed then.
    pub fn look_again(&mut self, resolver: &dyn Resolver) -> Result<bool, String> {
        let before: Vec<_> = self.programs().map(|program| program.identity).collect();
        self.programs()
            .for_each(|program| program.identity = program::identity(&program.path, resolver));
        if self.programs().map(|program| &program.identity).eq(&before) {
            return Ok(false);
        }
        match compile::build(self.source()) {
            Ok(built) => self.ready = Mutex::new(Some(built.pages)),
            Err(too_big) => {
                self.programs()
                    .zip(before)
                    .for_each(|(program, before)| program.identity = before);
                return Err(too_big);
            }
        }
        Ok(true)
    }

    /// Has the rules match, beside each program's file, the files that its path led to before: a process whose file is
    /// replaced stays the program that it was. `former` returns the identities of these files.
    ///
    /// # Errors
    /// Fails if the tables would be too large; nothing has changed then.
    pub fn match_former(
        &mut self,
        former: impl Fn(&Program) -> Vec<[u64; 2]>,
    ) -> Result<(), String> {
        let before: Vec<_> = self
            .programs()
            .map(|program| program.former.clone())
            .collect();
        self.programs()
            .for_each(|program| program.former = former(program));
        if self.programs().map(|program| &program.former).eq(&before) {
            return Ok(());
        }
        match compile::build(self.source()) {
            Ok(built) => self.ready = Mutex::new(Some(built.pages)),
            Err(too_big) => {
                self.programs()
                    .zip(before)
                    .for_each(|(program, before)| program.former = before);
                return Err(too_big);
            }
        }
        Ok(())
    }

    /// Adds an equivalence class for each of these combinations of sets: some address is in one of them by the sets
    /// that it has joined.
    ///
    /// # Errors
    /// Fails if the tables would be too large; nothing has changed then.
    pub fn combine(&mut self, combinations: &[Combination]) -> Result<(), String> {
        let Some(members) = self.members.clone().filter(|_| !combinations.is_empty()) else {
            return Ok(());
        };
        self.members = Some(Arc::new(members.with(combinations)));
        match compile::build(self.source()) {
            Ok(built) => self.ready = Mutex::new(Some(built.pages)),
            Err(too_big) => {
                self.members = Some(members);
                return Err(too_big);
            }
        }
        Ok(())
    }

    fn programs(&mut self) -> impl Iterator<Item = &mut Program> {
        self.rules.iter_mut().flat_map(|rule| &mut rule.programs)
    }

    fn source(&self) -> compile::Source<'_> {
        let Self {
            defaults,
            fail_mode,
            rules,
            members,
            sets,
            ..
        } = self;
        compile::Source {
            rules,
            listed: sets,
            defaults: *defaults,
            fail_mode: *fail_mode,
            sets: members.as_deref(),
        }
    }
}
