//! Judge of past traffic: the verdicts that rules would have given to the rows of the history.
//!
//! The engine judges, as in every other dry run. Of what the history does not keep nothing is guessed: rules that ask
//! for it may match or not, and where that changes the verdict, it can't be said.

use crate::here::Here;
use crate::rule_file::RuleFile;
use control::HistoryRow;
use engine::{Parsed, Shape, classify, stay_on_the_link};
use firewall_abi::packet::{Direction, PacketHeaders, PacketMeta, Verdict};
use rules::{Protocol, Resolver, Rule, Table, Unknown};
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Rules that may match and surely do not decide, of one row; with more it can't be said.
const MOST_STEPS: usize = 8;
/// Tables of rules without what is unknown; with more it can't be said.
const MOST_TABLES: usize = 128;
/// The port of a row of which nothing asks.
const SOME_PORT: u16 = 50_000;
/// The protocol whose types the kernel itself keeps the link by.
const ICMPV6: u8 = 58;

/// Result of judging a row of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged<'a> {
    /// The verdict, and the rule that gave it, or `None` for the default policy.
    Verdict(Verdict, Option<&'a Rule>),
    /// The verdict is unknown: these rules ask for what the history does not keep. Empty if there are too many of them.
    Unsure(Vec<MayMatch<'a>>),
    /// Rules are not asked: it is a reply, or malformed.
    NotAsked,
}

/// A rule that may have matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MayMatch<'a> {
    /// The rule, or `None` for the default policy.
    pub rule: Option<&'a Rule>,
    /// Properties that the rule asks for and the history does not keep.
    pub asks: BTreeSet<Unknown>,
}

/// Judges rows.
pub struct PastJudge<'a> {
    file: &'a RuleFile,
    here: &'a Here,
    /// The rules from this one on, without what is unknown; none: they do not fit.
    tables: HashMap<(BTreeSet<Unknown>, usize), Option<Table>>,
    programs: HashMap<String, [u64; 2]>,
    /// `true` if the rules judge packets on the loopback device.
    loopback: bool,
}

impl<'a> PastJudge<'a> {
    /// Creates a judge by these rules, whose names were resolved by this resolver.
    pub fn new(file: &'a RuleFile, here: &'a Here) -> Self {
        Self {
            file,
            here,
            tables: HashMap::new(),
            programs: HashMap::new(),
            loopback: file.rules.judges_loopback(),
        }
    }

    /// Returns the verdict that the rules would have given to a row.
    pub fn judge(&mut self, row: &HistoryRow) -> Judged<'a> {
        let direction = Direction::ALL
            .into_iter()
            .find(|direction| direction.name() == row.direction);
        let Some(direction) = direction else {
            return Judged::NotAsked;
        };
        if matches!(row.reason.as_str(), "reply" | "malformed") {
            return Judged::NotAsked;
        }
        if !self.loopback && row.remote.is_some_and(|remote| remote.is_loopback()) {
            return Judged::Verdict(Verdict::Allow, None);
        }
        let unknown = unknown(row, direction);
        let packet = packet(row, direction);
        let local = self.local(row, direction);
        self.first_match(row, &packet, &local, &unknown)
    }

    fn first_match(
        &mut self,
        row: &HistoryRow,
        packet: &Parsed,
        local: &PacketMeta,
        unknown: &BTreeSet<Unknown>,
    ) -> Judged<'a> {
        let file = self.file;
        let (mut first, mut may_match, mut verdicts) = (0, Vec::new(), BTreeSet::new());
        for _ in 0..MOST_STEPS {
            let Some(table) = self.table(unknown, first) else {
                break;
            };
            let mut decision = classify(packet, local, &file.joined.beside(table.slices()));
            stay_on_the_link(packet, local, &mut decision);
            let verdict = of_three(Verdict::try_from(decision.verdict).unwrap_or(Verdict::Block));
            let rule = file.rule_of(&decision);
            let by_link = (rule.is_none() || verdict == Verdict::Ask)
                && may_keep_the_link(packet, local, verdict);
            if by_link && row.reason == "link" {
                return Judged::Verdict(Verdict::Allow, None);
            }
            if by_link {
                let asks = [Unknown::IcmpType].into();
                may_match.push(MayMatch { rule, asks });
                return Judged::Unsure(may_match);
            }
            let asks = rule.map_or_else(BTreeSet::new, |rule| file.rules.asked_of(rule, unknown));
            verdicts.insert(verdict.name());
            let is_sure = asks.is_empty();
            may_match.push(MayMatch { rule, asks });
            if !is_sure && rule.is_some() {
                first = usize::try_from(decision.rule).map_or(usize::MAX, |number| number + 1);
                continue;
            }
            if is_sure && verdicts.len() == 1 {
                return Judged::Verdict(verdict, rule.filter(|_| may_match.len() == 1));
            }
            may_match.retain(|may| !may.asks.is_empty());
            return Judged::Unsure(may_match);
        }
        Judged::Unsure(Vec::new())
    }

    fn table(&mut self, unknown: &BTreeSet<Unknown>, first: usize) -> Option<&Table> {
        let key = (unknown.clone(), first);
        if !self.tables.contains_key(&key) {
            if self.tables.len() >= MOST_TABLES {
                return None;
            }
            let without = self.file.rules.without(unknown, first);
            let table = without.ok().map(|rules| rules.compile(1));
            self.tables.insert(key.clone(), table);
        }
        self.tables.get(&key)?.as_ref()
    }

    fn local(&mut self, row: &HistoryRow, direction: Direction) -> PacketMeta {
        let mut local = PacketMeta::UNKNOWN;
        if direction == Direction::Forward {
            return local;
        }
        local.user = row.user.unwrap_or(local.user);
        if row.process == KERNEL {
            local.program = PacketMeta::KERNEL;
        }
        if let Some(path) = &row.program {
            let here = self.here;
            let known = self.programs.entry(path.clone());
            local.program = *known.or_insert_with(|| here.program(path).unwrap_or_default());
        }
        local
    }
}

/// Returns whether a packet may be one of the kernel's messages that keep it on its link (neighbour discovery, MLD),
/// which no default policy refuses: the history does not keep the ICMPv6 type that tells.
fn may_keep_the_link(packet: &Parsed, local: &PacketMeta, verdict: Verdict) -> bool {
    verdict != Verdict::Allow
        && packet.flow.protocol == ICMPV6
        && packet.flow.direction == Direction::Outbound as u8
        && local.program == PacketMeta::KERNEL
}

/// The kernel's own packets have its name in the place of a process's.
const KERNEL: &str = "kernel";

/// Reduces a verdict to allow, block or ask, as the history is compared.
fn of_three(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Allow | Verdict::Ask => verdict,
        Verdict::Block | Verdict::Reject | Verdict::Socket => Verdict::Block,
    }
}

/// Returns the properties of a row that the history does not keep.
fn unknown(row: &HistoryRow, direction: Direction) -> BTreeSet<Unknown> {
    let mut unknown = BTreeSet::from([
        Unknown::SourcePorts,
        Unknown::IcmpType,
        Unknown::Interface,
        Unknown::Names,
    ]);
    let (ours, theirs) = match direction {
        Direction::Inbound => (Unknown::Destination, Unknown::Source),
        Direction::Outbound => (Unknown::Source, Unknown::Destination),
        // What was forwarded has both its ends.
        Direction::Forward => (Unknown::IcmpType, Unknown::Destination),
    };
    unknown.insert(ours);
    if row.remote.is_none() {
        unknown.insert(theirs);
    }
    if direction == Direction::Forward && row.source.is_none() {
        unknown.insert(Unknown::Source);
    }
    if row.port.is_none() && !is_fragment(row) {
        unknown.insert(Unknown::Ports);
    }
    if row.user.is_none() {
        unknown.insert(Unknown::User);
    }
    if row.program.is_none() && row.process != KERNEL {
        unknown.insert(Unknown::Program);
    }
    unknown
}

fn is_fragment(row: &HistoryRow) -> bool {
    row.reason == "fragment"
}

/// The row as a packet. What is not kept is filled with what no rule asks for any more.
fn packet(row: &HistoryRow, direction: Direction) -> Parsed {
    let remote = row.remote.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    let ours = match remote {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let (source, destination) = match direction {
        Direction::Inbound => (remote, ours),
        Direction::Outbound => (ours, remote),
        Direction::Forward => (row.source.unwrap_or(ours), remote),
    };
    let has_ports = Protocol(row.protocol).has_ports() && !is_fragment(row);
    let port = |port: u16| if has_ports { port } else { 0 };
    Parsed {
        flow: PacketHeaders {
            source: octets(source),
            destination: octets(destination),
            source_port: port(SOME_PORT),
            destination_port: port(row.port.unwrap_or(0)),
            protocol: row.protocol,
            ip_version: if remote.is_ipv4() { 4 } else { 6 },
            direction: direction as u8,
            tcp_flags: 2,
        },
        shape: if is_fragment(row) {
            Shape::LaterFragment
        } else {
            Shape::Whole
        },
    }
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use crate::flow::{PacketQuestion, destination, source};
    use crate::miss::tests::{SETS, packet as packet_text, rule as rule_text};
    use firewall_abi::packet::NO_USER;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;
    use std::path::Path;

    fn row() -> HistoryRow {
        HistoryRow {
            direction: "out".to_owned(),
            verdict: "allow".to_owned(),
            reason: "default".to_owned(),
            protocol: 6,
            remote: "192.0.2.7".parse().ok(),
            port: Some(443),
            program: Some("/opt/not/there/curl".to_owned()),
            process: "curl".to_owned(),
            user: Some(1000),
            count: 1,
            ..HistoryRow::default()
        }
    }

    /// `verdict by`, or the keys for want of which it can't be said.
    fn judged(rules: &str, row: &HistoryRow) -> String {
        let here = Here::beside(Path::new("r"));
        let text = format!("[default]\ninbound = 'block'\noutbound = 'block'\n{rules}");
        let file = RuleFile::parse("r", &text, &here).unwrap();
        match PastJudge::new(&file, &here).judge(row) {
            Judged::Verdict(verdict, rule) => {
                let rule = rule.map_or("default", |rule| &rule.id);
                format!("{} by {rule}", verdict.name())
            }
            Judged::Unsure(may) => {
                let each = may.iter().map(|may| {
                    let asks: Vec<_> = may.asks.iter().map(|key| key.name()).collect();
                    let rule = may.rule.map_or("default", |rule| &rule.id);
                    format!("{rule}: {}", asks.join(" "))
                });
                each.collect::<Vec<_>>().join(", ")
            }
            Judged::NotAsked => "not asked".to_owned(),
        }
    }

    fn rule(id: &str, action: &str, keys: &str) -> String {
        format!("[[rule]]\nid = '{id}'\naction = '{action}'\n{keys}\n")
    }

    #[test]
    fn what_is_kept_of_the_past_is_judged_as_it_would_have_been() {
        for (keys, expected) in [
            ("", "allow by r"),
            ("direction = 'in'", "block by default"),
            ("protocol = 'tcp'\nports = 443", "allow by r"),
            ("protocol = 'tcp'\nports = 444", "block by default"),
            ("destination = '192.0.2.0/24'", "allow by r"),
            ("destination = '192.0.3.0/24'", "block by default"),
            ("user = 1000", "allow by r"),
            ("user = 1001", "block by default"),
            ("program = '/opt/not/there/curl'", "allow by r"),
            ("program = '/opt/not/there/wget'", "block by default"),
        ] {
            assert_eq!(
                judged(&rule("r", "allow", keys), &row()),
                expected,
                "{keys}"
            );
        }
        let ask = rule("r", "ask", "direction = 'out'");
        assert_eq!(judged(&ask, &row()), "ask by r");
        // The port of what comes in is ours, and its other end the source.
        let inbound = HistoryRow {
            direction: "in".to_owned(),
            port: Some(22),
            ..row()
        };
        let ssh = rule(
            "r",
            "allow",
            "source = '192.0.2.7'\nprotocol = 'tcp'\nports = 22",
        );
        assert_eq!(judged(&ssh, &inbound), "allow by r");
        let forwarded = HistoryRow {
            direction: "forward".to_owned(),
            source: "10.0.0.9".parse().ok(),
            ..row()
        };
        let through = rule(
            "r",
            "allow",
            "direction = 'forward'\nsource = '10.0.0.9'\ndestination = '192.0.2.7'",
        );
        assert_eq!(judged(&through, &forwarded), "allow by r");
        let reply = HistoryRow {
            reason: "reply".to_owned(),
            ..row()
        };
        assert_eq!(judged("", &reply), "not asked");
    }

    #[test]
    fn what_is_not_kept_is_not_guessed_and_is_said_where_the_verdict_hangs_on_it() {
        for (keys, asks) in [
            ("interface = 'eth0'", "interface"),
            ("source = '10.0.0.2'", "source"),
            ("protocol = 'tcp'\nsource_ports = 50000", "source_ports"),
            (
                "interface = 'wg0'\nsource = '10.0.0.2'\nuser = 1000",
                "source interface",
            ),
        ] {
            let text = rule("r", "allow", keys);
            assert_eq!(judged(&text, &row()), format!("r: {asks}"), "{keys}");
            // Whatever is known says no already.
            let other = rule(
                "r",
                "allow",
                &format!("{keys}\ndestination = '192.0.3.0/24'"),
            );
            assert_eq!(judged(&other, &row()), "block by default", "{keys}");
            // It would be the same either way.
            let same = rule("r", "block", keys);
            assert_eq!(judged(&same, &row()), "block by default", "{keys}");
            // A rule before it decides.
            let before = rule("b", "allow", "user = 1000") + &text;
            assert_eq!(judged(&before, &row()), "allow by b", "{keys}");
        }
        let both =
            rule("a", "allow", "interface = 'eth0'") + &rule("b", "allow", "interface = 'eth1'");
        assert_eq!(judged(&both, &row()), "a: interface, b: interface");
        let ends = both + &rule("c", "allow", "user = 1000");
        assert_eq!(judged(&ends, &row()), "allow by default", "by any of three");
        let ping = HistoryRow {
            protocol: 1,
            port: None,
            ..row()
        };
        let types = rule("r", "allow", "protocol = 'icmp'\nicmp_type = 8");
        assert_eq!(judged(&types, &ping), "r: icmp_type");
        let many = HistoryRow {
            remote: None,
            port: None,
            program: None,
            process: String::new(),
            user: None,
            ..row()
        };
        for keys in [
            "destination = '192.0.2.7'",
            "protocol = 'tcp'\nports = 443",
            "user = 1000",
            "program = '/bin/x'",
        ] {
            let key = keys
                .rsplit('\n')
                .next()
                .and_then(|key| key.split(' ').next())
                .unwrap();
            assert_eq!(
                judged(&rule("r", "allow", keys), &many),
                format!("r: {key}")
            );
        }
        let names = "[[set]]\nid = 's'\nnames = ['example.org']\naddresses = []\n".to_owned();
        let names = names + &rule("r", "allow", "direction = 'out'\ndestination = '@s'");
        assert_eq!(judged(&names, &row()), "r: names");
    }

    /// Returns the row of the history for a packet.
    fn kept(
        PacketQuestion(Parsed { flow, shape }, who): &PacketQuestion,
        here: &Here,
    ) -> HistoryRow {
        let direction = Direction::try_from(flow.direction).unwrap();
        let has_port = Protocol(flow.protocol).has_ports() && *shape == Shape::Whole;
        let user = who.local(here).unwrap().user;
        let forwarded = direction == Direction::Forward;
        let remote = if direction == Direction::Inbound {
            source(flow)
        } else {
            destination(flow)
        };
        HistoryRow {
            direction: direction.name().to_owned(),
            reason: if *shape == Shape::Whole {
                "default"
            } else {
                "fragment"
            }
            .to_owned(),
            protocol: flow.protocol,
            remote: Some(remote),
            source: forwarded.then(|| source(flow)),
            port: has_port.then_some(flow.destination_port),
            program: who.program.clone(),
            process: String::new(),
            user: (user != NO_USER).then_some(user),
            ..row()
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_said_for_sure_of_the_past_is_what_the_engine_says_of_the_packet(
            rules in vec((rule_text(), select(vec!["allow", "block", "ask"])), 1..5), packet in packet_text()
        ) {
            let here = Here::beside(Path::new("r"));
            let each = rules.iter().enumerate().map(|(n, (rule, action))| {
                // Nobody is asked about what is forwarded.
                let action = if rule.contains("direction = 'in'") || rule.contains("direction = 'out'") || *action != "ask" { *action } else { "allow" };
                rule.replace("id = 'r'", &format!("id = 'r{n}'")).replace("'block'", &format!("'{action}'"))
            });
            let text = format!("[default]\ninbound = 'block'\noutbound = 'allow'\n{SETS}{}", each.collect::<String>());
            let file = RuleFile::parse("r", &text, &here).unwrap();
            let mut question: PacketQuestion = packet.parse().unwrap();
            if packet.starts_with("forward") {
                // Nobody here is at an end of it.
                (question.1.user, question.1.program) = (None, None);
            }
            let local = question.1.local(&here).unwrap();
            let decided = classify(&question.0, &local, &file.tables());
            let expected = of_three(Verdict::try_from(decided.verdict).unwrap());
            if let Judged::Verdict(verdict, rule) = PastJudge::new(&file, &here).judge(&kept(&question, &here)) {
                prop_assert_eq!(verdict, expected, "{}\n{}", text, packet);
                if let Some(rule) = rule {
                    prop_assert_eq!(Some(rule), file.rule_of(&decided));
                }
            }
        }
    }

    #[test]
    fn what_keeps_the_kernel_on_its_link_went_by_no_rule_and_would_again() {
        let kernel = |reason: &str| HistoryRow {
            protocol: ICMPV6,
            remote: "ff02::1".parse().ok(),
            port: None,
            program: None,
            process: "kernel".to_owned(),
            user: None,
            reason: reason.to_owned(),
            ..row()
        };
        assert_eq!(judged("", &kernel("link")), "allow by default");
        assert_eq!(judged("", &kernel("default")), "default: icmp_type");
        let came = HistoryRow {
            direction: "in".to_owned(),
            ..kernel("default")
        };
        assert_eq!(
            judged("", &came),
            "block by default",
            "it was sent to the kernel, not by it"
        );
        let block = rule("r", "block", "protocol = 'icmpv6'");
        assert_eq!(judged(&block, &kernel("link")), "block by r");
        let lo = HistoryRow {
            remote: "127.0.0.1".parse().ok(),
            ..row()
        };
        assert_eq!(judged("", &lo), "allow by default", "it is not judged");
        let named = rule("r", "allow", "interface = 'lo'");
        assert_eq!(judged(&named, &lo), "r: interface");
    }
}
