//! `gatebell stats`: what the driver counted.

use super::connect;
use crate::Error;
use crate::arguments::AskArguments;
use crate::style;
use control::Client;
use control::{Hits, NamedRule, Stats};
use firewall_abi::packet::Verdict;
use rules::clean;
use serde_json::json;
use std::io::Write;

/// Prints what the driver counted.
pub fn stats(arguments: &AskArguments, out: &mut dyn Write) -> Result<u8, Error> {
    let mut client = connect(&arguments.socket)?;
    let stats = client.stats()?;
    let rules = rules(&mut client)?;
    if arguments.json {
        let mut object = json!(stats);
        object["rules"] = rules
            .iter()
            .map(|(rule, hits)| json!({ "id": rule.id, "line": rule.line, "hits": hits }))
            .collect();
        writeln!(out, "{object}")?;
    } else {
        print(&stats, out)?;
        print_rules(&rules, out)?;
    }
    Ok(0)
}

/// The rules in force, each with how often it has decided; none if their names are not known.
fn rules(client: &mut Client) -> Result<Vec<(NamedRule, u64)>, Error> {
    let Hits { generation, hits } = client.hits()?;
    let names = client.rule_names(generation)?;
    Ok(names.map_or_else(Vec::new, |names| {
        names.rules.into_iter().zip(hits).collect()
    }))
}

fn print_rules(rules: &[(NamedRule, u64)], out: &mut dyn Write) -> Result<(), Error> {
    let faint = style::FAINT;
    if !rules.is_empty() {
        writeln!(out, "\n{faint}{:<28}{:>14}{faint:#}", "rule", "has decided")?;
    }
    for (NamedRule { id, line }, hits) in rules {
        let id = clean(id);
        writeln!(out, "{id:<28}{hits:>14}  {faint}line {line}{faint:#}")?;
    }
    Ok(())
}

fn print(stats: &Stats, out: &mut dyn Write) -> Result<(), Error> {
    let Stats {
        generation,
        allowed_in,
        blocked_in,
        allowed_out,
        blocked_out,
        allowed_forward,
        blocked_forward,
        refused_connects,
        left_in,
        flows_full,
        flows,
        flows_most,
        names,
        rejected,
    } = *stats;
    let (allow, block) = (
        style::verdict(Verdict::Allow),
        style::verdict(Verdict::Block),
    );
    let (faint, strong) = (style::FAINT, style::STRONG);
    writeln!(
        out,
        "{faint}{:<14}{:>14}{:>14}{:>14}{faint:#}",
        "packets", "in", "out", "forward"
    )?;
    writeln!(
        out,
        "{allow}{:<14}{allow:#}{allowed_in:>14}{allowed_out:>14}{allowed_forward:>14}",
        "allowed"
    )?;
    writeln!(
        out,
        "{block}{:<14}{block:#}{blocked_in:>14}{blocked_out:>14}{blocked_forward:>14}",
        "refused"
    )?;
    if left_in > 0 {
        writeln!(
            out,
            "{block}{:<14}{block:#}{left_in:>14}  were left to who gets them, and nobody did",
            "to nobody"
        )?;
    }
    writeln!(
        out,
        "{block}{:<14}{block:#}{:>14}{refused_connects:>14}  at once, before there was a packet",
        "connects", ""
    )?;
    let unanswered = rejected.lost + rejected.limited + rejected.failed;
    if rejected.handed + unanswered > 0 {
        writeln!(
            out,
            "{block}{:<14}{block:#}{:>14} were told, {} were too many to be, {} answers failed",
            "rejected",
            rejected.answered,
            rejected.lost + rejected.limited,
            rejected.failed
        )?;
    }
    writeln!(
        out,
        "{strong}{:<14}{strong:#}{flows:>14} of {flows_most}",
        "connections"
    )?;
    writeln!(
        out,
        "{strong}{:<14}{strong:#}{:>14} of addresses, from {} answers of DNS",
        "names", names.known, names.answers
    )?;
    if names.lost + names.unread > 0 {
        writeln!(
            out,
            "{} answers of DNS found no room and {} could not be read: what they told of has no name",
            names.lost, names.unread
        )?;
    }
    if names.unasked + names.strange + names.no_room > 0 {
        writeln!(
            out,
            "{} answers of DNS to nothing that was seen asked: they name no address and join no set; {} joined no set: \
             of a resolver whose answers do not count there, or with addresses that the set leaves out; {} addresses found no room in \
             sets by name",
            names.unasked, names.strange, names.no_room
        )?;
    }
    if flows_full > 0 {
        writeln!(
            out,
            "{flows_full} packets went on in connections that found no lasting room: new ones may push those out. End what \
             opens so many"
        )?;
    }
    writeln!(
        out,
        "{faint}since the driver's tables were made; generation {generation} judges now{faint:#}"
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

    use super::*;

    #[test]
    fn a_table_that_was_full_is_said_with_what_to_do() {
        let mut shown = Vec::new();
        let stats = Stats {
            allowed_in: 5,
            blocked_out: 6,
            refused_connects: 3,
            left_in: 2,
            flows_full: 7,
            flows: 8,
            flows_most: 9,
            rejected: control::RejectStats {
                handed: 12,
                lost: 1,
                answered: 10,
                limited: 2,
                failed: 4,
            },
            ..Stats::default()
        };
        print(&stats, &mut shown).unwrap();
        let shown = anstream::adapter::strip_str(&String::from_utf8(shown).unwrap()).to_string();
        assert!(
            shown.contains("allowed                    5             0"),
            "{shown}"
        );
        assert!(
            shown.contains("refused                    0             6"),
            "{shown}"
        );
        assert!(
            shown.contains(
                "to nobody                  2  were left to who gets them, and nobody did"
            ),
            "{shown}"
        );
        assert!(
            shown.contains("connects                                 3  at once"),
            "{shown}"
        );
        assert!(
            shown.contains(
                "rejected                  10 were told, 3 were too many to be, 4 answers failed"
            ),
            "{shown}"
        );
        assert!(
            shown.contains("8 of 9")
                && shown.contains("7 packets went on in connections that found no lasting room"),
            "{shown}"
        );
    }
}
