//! From TOML to rules and sets, saying all that is wrong.

use crate::list::{self, List};
use crate::program::{arguments, identity};
use crate::report::{Finding, Report, suggestion};
use crate::resolver::{Resolver, SetFile};
use crate::section::{Section, Value};
use crate::set::{Members, Set, Subscription, grouped, outside};
use crate::value::{
    action, action_of_forwarded, addresses, answer_within, boolean, direction, fail_mode, host,
    icmp_type, id, interface, list_address, port_range, program, protocol, refresh,
    resolver as resolver_of_names, text, unanswered, user, version,
};
use crate::{
    Addresses, Asking, DefaultAction, Defaults, Presumed, Program, Protocol, Rule, User, compile,
};
use firewall_abi::packet::{Direction, NO_USER, Verdict};
use firewall_abi::rules::{FailMode, MAX_RULES};
use std::collections::HashMap;
use std::ops::Range;
use toml::Spanned;
use toml::de::DeTable;

const FILE_KEYS: &[&str] = &["version", "default", "service", "set", "rule"];
const DEFAULT_KEYS: &[&str] = &[
    "inbound",
    "outbound",
    "forward",
    "log_inbound",
    "log_outbound",
    "log_forward",
    "unanswered",
    "answer_within",
];
const SERVICE_KEYS: &[&str] = &["fail_mode"];
const SET_KEYS: &[&str] = &[
    "id",
    "addresses",
    "file",
    "url",
    "refresh",
    "names",
    "resolvers",
    "except",
    "strict",
    "comment",
];
/// How many names a set may ask for.
const MOST_NAMES: usize = 4096;
/// How many sets may have lists that are fetched.
const MOST_FETCHED: usize = 64;
const RULE_KEYS: &[&str] = &[
    "id",
    "action",
    "unanswered",
    "answer_within",
    "direction",
    "protocol",
    "source",
    "destination",
    "source_ports",
    "ports",
    "icmp_type",
    "interface",
    "out_interface",
    "user",
    "program",
    "log",
    "enabled",
    "comment",
];

/// What a file says.
pub(crate) struct File {
    pub(crate) defaults: Defaults,
    pub(crate) asking: Asking,
    pub(crate) fail_mode: FailMode,
    pub(crate) rules: Vec<Rule>,
    pub(crate) sets: Vec<Set>,
    /// What each set holds; nothing if no rule asks for it.
    pub(crate) members: Vec<Members>,
}

/// What a whole text says. What was reported makes the result void.
pub(crate) fn file(text: &str, report: &mut Report<'_>, resolver: &dyn Resolver) -> File {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        report.syntax(error.span().unwrap_or(0..0), error.message());
    }
    let mut section = Section {
        table: table.get_ref(),
        place: 0..0,
        report,
    };
    section.unknown_keys(FILE_KEYS);
    section.optional("version", version);
    let (defaults, asking) = defaults(&mut section);
    let fail_mode = service(&mut section);
    let sets = section.tables("set");
    let sets: Vec<_> = sets
        .into_iter()
        .map(|(table, place)| set(table, place, section.report, resolver))
        .collect();
    check_ids(
        sets.iter()
            .map(|(set, _, [place, _])| (&set.id, set.line, place)),
        "set",
        section.report,
    );
    check_fetched(&sets, section.report);
    let mut names = Names::new(&sets, resolver);
    let tables = section.tables("rule");
    let rules: Vec<_> = tables
        .into_iter()
        .map(|(table, place)| rule(table, place, section.report, &mut names))
        .collect();
    check_ids(
        rules
            .iter()
            .map(|(rule, place)| (&rule.id, rule.line, place)),
        "rule",
        section.report,
    );
    check_size(&rules, section.report);
    let asked = names.asked;
    let rules = rules.into_iter().map(|(rule, _)| rule).collect();
    let (sets, members) = asked_sets(sets, &asked, section.report);
    File {
        defaults,
        asking,
        fail_mode,
        rules,
        sets,
        members,
    }
}

fn defaults(file: &mut Section<'_, '_, '_>) -> (Defaults, Asking) {
    let refused = DefaultAction {
        action: Verdict::Block,
        log: true,
    };
    if file.value("default").is_none() {
        let message =
            "`default` is missing; add [default] with inbound = \"block\" and outbound = \"allow\"";
        file.report.missing(0..0, message);
    }
    let Some(mut section) = file.table("default") else {
        let defaults = Defaults {
            inbound: refused,
            outbound: refused,
            forward: refused,
        };
        return (defaults, Asking::default());
    };
    section.unknown_keys(DEFAULT_KEYS);
    let inbound = section.required("inbound", "\"block\"", action);
    let outbound = section.required("outbound", "\"allow\"", action);
    // Whoever lets nothing in unasked lets nothing through.
    let forward = section
        .optional("forward", action_of_forwarded)
        .or(inbound.filter(|inbound| *inbound != Verdict::Ask));
    let asks = [inbound, outbound].contains(&Some(Verdict::Ask));
    let asking = asking(&mut section, asks, "`inbound` or `outbound` = \"ask\"");
    let mut default = |action: Option<Verdict>, log_key| {
        let action = action.unwrap_or(Verdict::Block);
        let log = section
            .optional(log_key, boolean)
            .unwrap_or(action != Verdict::Allow);
        DefaultAction { action, log }
    };
    let defaults = Defaults {
        inbound: default(inbound, "log_inbound"),
        outbound: default(outbound, "log_outbound"),
        forward: default(forward, "log_forward"),
    };
    (defaults, asking)
}

/// How long is waited for an answer, and what then; only where somebody is asked.
fn asking(section: &mut Section<'_, '_, '_>, asks: bool, goes_with: &str) -> Asking {
    let usual = Asking::default();
    let asking = Asking {
        unanswered: section
            .optional("unanswered", unanswered)
            .unwrap_or(usual.unanswered),
        within: section
            .optional("answer_within", answer_within)
            .unwrap_or(usual.within),
    };
    for key in ["unanswered", "answer_within"] {
        if let Some(value) = section.value(key).filter(|_| !asks) {
            let message = format!("`{key}` goes with {goes_with}");
            section.report.error(value.span(), message);
        }
    }
    asking
}

fn service(file: &mut Section<'_, '_, '_>) -> FailMode {
    let Some(mut section) = file.table("service") else {
        return FailMode::Static;
    };
    section.unknown_keys(SERVICE_KEYS);
    section.optional("fail_mode", fail_mode).unwrap_or_default()
}

/// A set, what it holds, and where its name stands and its file's.
type ReadSet = (Set, Members, [Range<usize>; 2]);

fn set(
    table: &DeTable<'_>,
    place: Range<usize>,
    report: &mut Report<'_>,
    resolver: &dyn Resolver,
) -> ReadSet {
    let mut section = Section {
        table,
        place: place.clone(),
        report,
    };
    section.unknown_keys(SET_KEYS);
    let id_place = section.value("id").map_or(place.clone(), Spanned::span);
    let name = section
        .required("id", "\"bad-hosts\"", id)
        .unwrap_or_default();
    let mut members = Members::default();
    // An empty list is a set that is filled while the rules are in force.
    let is_filled_later = section.value("addresses").is_some_and(|value| {
        let list = value.get_ref().as_array();
        list.is_some_and(|list| list.is_empty())
    });
    if !is_filled_later {
        section
            .several("addresses", addresses)
            .into_iter()
            .for_each(|addresses| members.add(addresses));
    }
    let except = section.several("except", addresses);
    let strict = section.optional("strict", boolean).unwrap_or(false);
    let file = section.optional("file", text);
    let subscription = subscription(&mut section);
    let list_place = ["file", "url"]
        .iter()
        .find_map(|key| section.value(key))
        .map_or(place.clone(), Spanned::span);
    let mut is_awaited = false;
    let mut found = None;
    if let Some(path) = &file {
        found = Some(resolver.set_file(path));
    } else if let Some(list) = &subscription {
        found = Some(resolver.fetched(&list.url).and_then(|fetched| {
            is_awaited = fetched.is_none();
            fetched.ok_or_else(|| format!("{} has not been fetched yet", list.shown()))
        }));
    } else if ["addresses", "file", "url", "names"]
        .iter()
        .all(|key| section.value(key).is_none())
    {
        let message = "this set holds nothing; add addresses = [\"192.0.2.0/24\"], file = \"list.txt\", url = \"https://…\" or names = [\"example.org\"]; \
                       addresses = [] is a set that is filled while it runs: gatebell set add";
        section.report.missing(place, message);
    }
    let key = list_key(subscription.is_some());
    let found = found.map(|file| {
        file.and_then(|file| listed(&file, strict, (key, &list_place), section.report))
    });
    let mut trouble = None;
    match found {
        Some(Ok(more)) => members.append(more),
        Some(Err(wrong)) => trouble = Some(wrong),
        None => {}
    }
    let names = section.several("names", host);
    if let Some(value) = section.value("names").filter(|_| names.len() > MOST_NAMES) {
        let message = format!(
            "`names`: there are {}, and {} is the most of a set; *.example.org is all that lies below a domain",
            grouped(names.len()),
            grouped(MOST_NAMES)
        );
        section.report.error(value.span(), message);
    }
    let resolvers = section.several("resolvers", resolver_of_names);
    if let Some(value) = section
        .value("resolvers")
        .filter(|_| section.value("names").is_none())
    {
        let message = "`resolvers` goes with `names`";
        section.report.error(value.span(), message);
    }
    let comment = section.optional("comment", text);
    let line = section.report.line(id_place.start);
    let entries = members.entries();
    members.except(&except);
    (
        Set {
            id: name,
            line,
            file,
            subscription,
            is_awaited,
            entries,
            trouble,
            except,
            names,
            resolvers,
            comment,
        },
        members,
        [id_place, list_place],
    )
}

/// Where a set's list is fetched from.
fn subscription(section: &mut Section<'_, '_, '_>) -> Option<Subscription> {
    let url = section.optional("url", list_address);
    let refresh = section.optional("refresh", refresh);
    let wrong = |key| section.value(key).map(Spanned::span);
    let wrong = match (wrong("file"), wrong("url"), wrong("refresh")) {
        (Some(_), Some(url), _) => Some((
            url,
            "a set has a `file` or a `url`, not both; a rule may ask for two sets",
        )),
        (_, None, Some(refresh)) => Some((refresh, "`refresh` goes with `url`")),
        _ => None,
    };
    if let Some((place, message)) = wrong {
        section.report.error(place, message.to_owned());
    }
    Some(Subscription {
        url: url?,
        refresh: refresh.unwrap_or(Subscription::USUAL_REFRESH),
    })
}

/// Somebody fetches them all, one after the other.
fn check_fetched(sets: &[ReadSet], report: &mut Report<'_>) {
    let mut fetched = sets.iter().filter(|(set, ..)| set.subscription.is_some());
    if let Some((.., [_, place])) = fetched.nth(MOST_FETCHED) {
        let message = format!("`url`: at most {MOST_FETCHED} lists of a file are fetched");
        report.error(place.clone(), message);
    }
}

/// The key that names a set's list.
const fn list_key(is_fetched: bool) -> &'static str {
    if is_fetched { "url" } else { "file" }
}

/// What a set's file holds; what is wrong with single entries is said.
fn listed(
    file: &SetFile,
    strict: bool,
    (key, place): (&str, &Range<usize>),
    report: &mut Report<'_>,
) -> Result<Members, String> {
    if let Some(trouble) = &file.trouble {
        report.trouble(place.clone(), format!("`{key}`: {trouble}"));
    }
    let List {
        members,
        remarks,
        wrong,
        ..
    } = list::read(file).map_err(|what| format!("{} is no list: {what}", file.name))?;
    for remark in remarks {
        report.warning_elsewhere(Finding {
            file: file.name.clone(),
            line: remark.line,
            column: remark.column,
            message: remark.message,
        });
    }
    if strict && wrong > 0 {
        return Err(format!(
            "{} has entries that can't be read ({}), and the set is strict",
            file.name,
            grouped(wrong)
        ));
    }
    Ok(members)
}

/// The sets, with what those hold that a rule asks for.
fn asked_sets(
    sets: Vec<ReadSet>,
    asked: &[bool],
    report: &mut Report<'_>,
) -> (Vec<Set>, Vec<Members>) {
    let mut kept = (
        Vec::with_capacity(sets.len()),
        Vec::with_capacity(sets.len()),
    );
    for ((set, members, [place, file]), asked) in sets.into_iter().zip(asked) {
        if !asked {
            report.warning(
                place,
                format!(
                    "no rule asks for the set `{0}`; one would by \"@{0}\"",
                    set.id
                ),
            );
        } else if let Some(trouble) = &set.trouble {
            report.trouble(
                file,
                format!(
                    "`{}`: {trouble}; until it can be read, rules that block take `@{}` for every address but those of \
                     its `except`, and rules that allow for none that is not in its `addresses`",
                    list_key(set.subscription.is_some()),
                    set.id
                ),
            );
        } else if set.entries == 0 && (set.file.is_some() || set.subscription.is_some()) {
            report.warning(
                place,
                format!("the set `{}` is empty: it holds no address", set.id),
            );
        }
        kept.0.push(set);
        kept.1
            .push(if *asked { members } else { Members::default() });
    }
    kept
}

/// What rules name, and what was found out about it.
struct Names<'a> {
    resolver: &'a dyn Resolver,
    sets: HashMap<String, u32>,
    /// What each set may hold while its file is not known.
    presumed: Vec<Vec<Addresses>>,
    /// Which sets a rule asks for, by their places.
    asked: Vec<bool>,
    users: HashMap<String, Result<u32, String>>,
    programs: HashMap<String, (Option<[u64; 2]>, Option<String>)>,
}

impl<'a> Names<'a> {
    fn new(sets: &[ReadSet], resolver: &'a dyn Resolver) -> Self {
        let places = (0..)
            .zip(sets)
            .map(|(place, (set, ..))| (set.id.clone(), place));
        Self {
            resolver,
            sets: places.collect(),
            presumed: sets.iter().map(|(set, ..)| set.presumed()).collect(),
            asked: vec![false; sets.len()],
            users: HashMap::new(),
            programs: HashMap::new(),
        }
    }

    fn set(&mut self, name: &str) -> Result<u32, String> {
        let Some(place) = self.sets.get(name) else {
            if self.sets.is_empty() {
                return Err(format!(
                    "there is no set `{name}`; add [[set]] with id = \"{name}\""
                ));
            }
            let known: Vec<_> = self.sets.keys().map(String::as_str).collect();
            return Err(format!(
                "there is no set `{name}`; {}",
                suggestion(name, &known)
            ));
        };
        self.asked
            .get_mut(*place as usize)
            .into_iter()
            .for_each(|asked| *asked = true);
        Ok(*place)
    }

    fn user(&mut self, name: &str) -> Result<u32, String> {
        let resolver = self.resolver;
        self.users
            .entry(name.to_owned())
            .or_insert_with(|| resolver.user(name))
            .clone()
    }

    /// A program, and why it can't be looked at.
    fn program(&mut self, path: String) -> (Program, Option<String>) {
        let resolver = self.resolver;
        let look = || {
            let identity = identity(&path, resolver);
            let known = identity.is_some();
            let trouble = if known {
                None
            } else {
                resolver.program_trouble(&path)
            };
            (identity, trouble)
        };
        let (identity, trouble) = self
            .programs
            .entry(path.clone())
            .or_insert_with(look)
            .clone();
        let program = Program {
            path,
            identity,
            former: Vec::new(),
        };
        (program, trouble)
    }

    /// Who may be a user whom nobody knows.
    fn strangers(&self) -> Vec<(u32, u32)> {
        let mut others: Vec<_> = self
            .resolver
            .other_users()
            .into_iter()
            .map(|number| (number, number))
            .collect();
        others.push((NO_USER, NO_USER));
        outside(&others)
    }

    /// What these sets may hold while their files are not known.
    fn presumed(&self, sets: &[u32]) -> Vec<Addresses> {
        let presumed = sets
            .iter()
            .filter_map(|set| self.presumed.get(*set as usize));
        presumed.flatten().copied().collect()
    }
}

fn rule(
    table: &DeTable<'_>,
    place: Range<usize>,
    report: &mut Report<'_>,
    names: &mut Names<'_>,
) -> (Rule, Range<usize>) {
    let mut section = Section {
        table,
        place: place.clone(),
        report,
    };
    section.unknown_keys(RULE_KEYS);
    let action = section
        .required("action", "\"allow\"", action)
        .unwrap_or(Verdict::Block);
    let protocols = section.several("protocol", protocol);
    let types_of = protocols.first().copied().unwrap_or(Protocol::ICMP);
    let id_place = section.value("id").map_or(place, Spanned::span);
    let (sources, source_sets) = end(&mut section, "source", names);
    let (destinations, destination_sets) = end(&mut section, "destination", names);
    let (users, unknown_user) = users(&mut section, names, action);
    let (programs, unknown_program) = programs(&mut section, names, action);
    let presumed = if action != Verdict::Allow {
        Presumed {
            sources: names.presumed(&source_sets),
            destinations: names.presumed(&destination_sets),
            users: if unknown_user {
                names.strangers()
            } else {
                Vec::new()
            },
            programs: unknown_program,
        }
    } else {
        Presumed::default()
    };
    let rule = Rule {
        id: section.required("id", "\"web\"", id).unwrap_or_default(),
        line: section.report.line(id_place.start),
        action,
        direction: section.optional("direction", direction),
        sources,
        source_sets,
        destinations,
        destination_sets,
        source_ports: section.several("source_ports", port_range),
        ports: section.several("ports", port_range),
        icmp_types: section.several("icmp_type", |value| icmp_type(types_of, value)),
        interfaces: section.several("interface", interface),
        out_interfaces: section.several("out_interface", interface),
        users,
        programs,
        log: section
            .optional("log", boolean)
            .unwrap_or(action != Verdict::Allow),
        asking: asking(&mut section, action == Verdict::Ask, "action = \"ask\""),
        enabled: section.optional("enabled", boolean).unwrap_or(true),
        comment: section.optional("comment", text),
        protocols,
        presumed,
    };
    check_together(&rule, &mut section);
    (rule, id_place)
}

/// One end of a packet: addresses, and sets by their places.
fn end(
    section: &mut Section<'_, '_, '_>,
    key: &str,
    names: &mut Names<'_>,
) -> (Vec<Addresses>, Vec<u32>) {
    let mut sets = Vec::new();
    let listed = section.several_placed(key, |value: &Value<'_>| {
        match value
            .get_ref()
            .as_str()
            .and_then(|text| text.strip_prefix('@'))
        {
            Some(name) => names.set(name).map(|set| {
                sets.push(set);
                None
            }),
            None => addresses(value.get_ref()).map(Some),
        }
    });
    (listed.into_iter().flatten().collect(), sets)
}

/// The users, and whether one of them is not known.
fn users(
    section: &mut Section<'_, '_, '_>,
    names: &mut Names<'_>,
    action: Verdict,
) -> (Vec<User>, bool) {
    let mut troubles = Vec::new();
    let users = section.several_placed("user", |value: &Value<'_>| {
        user(value.get_ref(), |name| {
            let found = names.user(name);
            found
                .map_err(|wrong| troubles.push((value.span(), wrong)))
                .ok()
        })
    });
    let unknown = !troubles.is_empty();
    for (place, wrong) in troubles {
        let until = match action {
            Verdict::Block | Verdict::Reject | Verdict::Ask | Verdict::Socket => {
                "until then the rule blocks everybody who is no user of this machine's own"
            }
            Verdict::Allow => "until then the rule allows nothing for this name",
        };
        section
            .report
            .trouble(place, format!("`user`: {wrong}; {until}"));
    }
    (users, unknown)
}

/// The programs, and whether one of them can't be looked at.
fn programs(
    section: &mut Section<'_, '_, '_>,
    names: &mut Names<'_>,
    action: Verdict,
) -> (Vec<Program>, bool) {
    let (mut missing, mut troubles) = (Vec::new(), Vec::new());
    let programs = section.several_placed("program", |value: &Value<'_>| {
        let (program, trouble) = names.program(program(value.get_ref())?);
        if program.identity.is_none()
            && let Some(wrong) = arguments(&program.path, names.resolver)
        {
            return Err(wrong);
        }
        match trouble {
            Some(trouble) => troubles.push((value.span(), program.path.clone(), trouble)),
            None if program.identity.is_none() => {
                missing.push((value.span(), program.path.clone()))
            }
            None => {}
        }
        Ok(program)
    });
    for (place, path) in missing {
        let message =
            format!("`program`: there is no file {path}; the rule matches it once it is there");
        section.report.warning(place, message);
    }
    let unknown = !troubles.is_empty();
    for (place, path, trouble) in troubles {
        let until = match action {
            Verdict::Block | Verdict::Reject | Verdict::Ask | Verdict::Socket => {
                "until it can be, the rule blocks every program"
            }
            Verdict::Allow => "until it can be, the rule does not match it",
        };
        let message = format!("`program`: {path} can't be looked at: {trouble}; {until}");
        section.report.trouble(place, message);
    }
    (programs, unknown)
}

/// What is right alone but not beside the rule's other keys.
fn check_together(rule: &Rule, section: &mut Section<'_, '_, '_>) {
    let with_ports = !rule.protocols.is_empty() && rule.protocols.iter().all(|p| p.has_ports());
    let wrong_protocol = section.value("protocol").is_some() && rule.protocols.is_empty();
    for key in ["ports", "source_ports"] {
        if let Some(value) = section.value(key)
            && !with_ports
            && !wrong_protocol
        {
            let message = format!(
                "`{key}` goes with protocols that have ports; add protocol = \"tcp\", \"udp\" or both"
            );
            section.report.error(value.span(), message);
        }
    }
    if let Some(value) = section.value("icmp_type")
        && !wrong_protocol
        && !matches!(rule.protocols.as_slice(), [one] if one.has_types())
    {
        let message = "`icmp_type` goes with one protocol, icmp or icmpv6; add protocol = \"icmp\"";
        section.report.error(value.span(), message);
    }
    if let Some(value) = section.value("out_interface")
        && rule.direction != Some(Direction::Forward)
    {
        let message = "`out_interface` goes with direction = \"forward\"; of what goes out, `interface` is the device";
        section.report.error(value.span(), message);
    }
    if rule.action == Verdict::Ask
        && !matches!(
            rule.direction,
            Some(Direction::Inbound | Direction::Outbound)
        )
    {
        let place = section
            .value("direction")
            .or(section.value("action"))
            .map_or(section.place.clone(), Spanned::span);
        let message = "action = \"ask\" goes with direction = \"out\" or \"in\": nobody at this machine can be asked about \
                       what it only forwards";
        section.report.error(place, message);
    }
    for key in ["user", "program"] {
        if let Some(value) = section.value(key)
            && rule.direction == Some(Direction::Forward)
        {
            let message = format!(
                "`{key}` asks who is at this machine's end, and what is forwarded has none there; leave it out"
            );
            section.report.error(value.span(), message);
        }
    }
    if let (Some(first), Some(_)) = (rule.sources.first(), rule.destinations.first())
        && !compile::can_be(rule, 4)
        && !compile::can_be(rule, 6)
    {
        let place = section
            .value("destination")
            .map_or(section.place.clone(), Spanned::span);
        let version = first.version();
        let message = format!(
            "`source` is IPv{version} and `destination` is not: no packet has both; make it two rules"
        );
        section.report.error(place, message);
    }
}

/// Names must tell one from the other. Each comes with its line and place.
fn check_ids<'a>(
    named: impl Iterator<Item = (&'a String, usize, &'a Range<usize>)>,
    what: &str,
    report: &mut Report<'_>,
) {
    let mut first_line = HashMap::new();
    for (id, line, place) in named.filter(|(id, ..)| !id.is_empty()) {
        if let Some(line) = first_line.insert(id, line) {
            let message = format!(
                "`id`: the {what} in line {line} is called `{id}` too; each needs a name of its own"
            );
            report.error(place.clone(), message);
        }
    }
}

fn check_size(rules: &[(Rule, Range<usize>)], report: &mut Report<'_>) {
    if let Some((_, place)) = rules.get(MAX_RULES as usize) {
        let (most, count) = (grouped(MAX_RULES as usize), grouped(rules.len()));
        let message = format!(
            "there are {count} rules, and {most} is the most; a rule may list many addresses and ports, or a set"
        );
        report.error(place.clone(), message);
    }
}
