//! Tests of the order of rules: the first that takes a packet decides,
//! wherever it stands among as many as there may be.

use crate::seen::{Seen, compiled};
use firewall_abi::packet::{Direction, NO_RULE, Verdict};
use firewall_abi::rules::MAX_RULES;

/// Rules at the ends of the words, and of the words' summaries, in which a vector has them.
const AT_ENDS: [u32; 10] = [2, 63, 66, 3839, 3842, 7935, 7938, 12_031, 12_034, LAST - 2];
const LAST: u32 = MAX_RULES - 1;

/// As many rules as there may be. Those of [`AT_ENDS`] ask for the user with their number, every other one of them
/// allows; the last takes all these users. In each word, two rules ask for ports so that each takes one of the packet's
/// and not the other; the last rule but one takes both.
fn as_many_as_there_may_be() -> String {
    let rules = (0..MAX_RULES).map(|n| {
        let by_ports = |source, destination| {
            format!("protocol = 'tcp'\nsource_ports = {source}\nports = {destination}")
        };
        let keys = match n {
            LAST => format!("user = {AT_ENDS:?}"),
            n if n == LAST - 1 => by_ports(5000, 443),
            n if AT_ENDS.contains(&n) => format!("user = {n}"),
            n if n % 64 == 0 => by_ports(5000, 9),
            n if n % 64 == 1 => by_ports(9, 443),
            _ => "enabled = false".to_owned(),
        };
        let action = if n % 2 == 0 { "allow" } else { "block" };
        format!("[[rule]]\nid = 'r{n}'\naction = '{action}'\n{keys}\n")
    });
    let default = "[default]\ninbound = 'block'\noutbound = 'block'\n";
    [default.to_owned(), rules.collect()].concat()
}

#[test]
fn the_first_of_as_many_rules_as_there_may_be_decides_wherever_it_stands() {
    let table = compiled(&as_many_as_there_may_be());
    let decided = |seen: Seen| {
        let decision = seen.decided_by(&table.slices());
        (decision.rule, decision.verdict)
    };
    let of_user = |user, port| {
        Seen::of(4, Direction::Outbound).with(|it| {
            it.local.user = user;
            it.flow.destination_port = port;
        })
    };
    let (allow, block) = (Verdict::Allow as u8, Verdict::Block as u8);
    for n in AT_ENDS {
        let verdict = if n % 2 == 0 { allow } else { block };
        assert_eq!(decided(of_user(n, 443)), (n, verdict));
    }
    // No word that both ports have rules in has a rule that both have, but the last.
    assert_eq!(decided(of_user(7, 443)), (LAST - 1, allow));
    assert_eq!(decided(of_user(7, 80)), (NO_RULE, block));
    assert_eq!(decided(of_user(AT_ENDS[0], 80)), (AT_ENDS[0], allow));
}
