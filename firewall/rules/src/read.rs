//! Reads rules, sets and networks from TOML, and reports all that is wrong.

mod names;
mod network;
mod rule;
mod set;

use crate::report::Report;
use crate::resolver::Resolver;
use crate::section::Section;
use crate::set::{Members, Set, grouped};
use crate::value::{
    action, action_of_forwarded, answer_within, boolean, fail_mode, unanswered, version,
};
use crate::{Asking, DefaultAction, Defaults, Network, Rule};
use firewall_abi::packet::Verdict;
use firewall_abi::rules::{FailMode, MAX_RULES};
use names::Names;
use network::{asked_networks, networks};
use rule::rule;
use set::{asked_sets, check_fetched, set};
use std::collections::HashMap;
use std::ops::Range;
use toml::de::DeTable;

const FILE_KEYS: &[&str] = &["version", "default", "service", "set", "network", "rule"];
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

/// Contents of a rule file.
pub(crate) struct File {
    pub(crate) defaults: Defaults,
    pub(crate) asking: Asking,
    pub(crate) fail_mode: FailMode,
    pub(crate) rules: Vec<Rule>,
    pub(crate) sets: Vec<Set>,
    pub(crate) networks: Vec<Network>,
    /// Members of each set; empty if no rule asks for it.
    pub(crate) members: Vec<Members>,
}

/// Reads a whole text. The result is void if an error was reported.
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
    let networks = networks(&mut section);
    let mut names = Names::new(&sets, &networks, resolver);
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
    let Names {
        asked,
        networks_asked,
        ..
    } = names;
    let networks = asked_networks(networks, &networks_asked, section.report);
    let rules = rules.into_iter().map(|(rule, _)| rule).collect();
    let (sets, members) = asked_sets(sets, &asked, section.report);
    File {
        defaults,
        asking,
        fail_mode,
        rules,
        sets,
        networks,
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

/// Reads the timeout and default answer of questions, which are errors where nobody is asked.
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

/// Reports names that occur twice. Each name comes with its line and place.
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
