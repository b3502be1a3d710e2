//! Rules in force where the rule file can't be read or is no good, and the kernel has no rules either: the last good
//! rules, else a minimum that is compiled into this program.

use crate::keeper::{Keeper, ago};
use crate::last_good::{Compiled, LastGood};
use rules::{NoResolver, Rules};

/// Rule file of the built-in minimum. It names nothing that stands outside of it.
const MINIMUM: &str = include_str!("minimum.toml");
/// Name of the built-in minimum.
const MINIMUM_NAME: &str = "the built-in minimum";

/// Returns rules to be put in force in the rule file's place, best first, each with what is said of it; and why others
/// can't be used.
pub fn candidates(keeper: &Keeper) -> (Vec<(LastGood, String)>, Vec<String>) {
    let (mut candidates, mut unusable) = (Vec::new(), Vec::new());
    match keeper.last_good() {
        Ok(good) => {
            let said = format!("the last good rules, those of {}", ago(good.since));
            match &good.compiled {
                Ok(_) => candidates.push((good, said)),
                Err(why) => {
                    unusable.push(format!("the last good rules' tables can't be used: {why}"));
                    candidates.extend(compiled_anew(good).map(|good| (good, said)));
                }
            }
        }
        Err(why) => unusable.push(why),
    }
    candidates.extend(minimum().map(|minimum| {
        let said = "the built-in minimum (out: everything; in: answers, ssh, DHCP, ICMP)";
        (minimum, said.to_owned())
    }));
    (candidates, unusable)
}

/// Compiles the last good rules anew: tables of another layout are of no use; their text is. What it names outside is
/// looked for once they are in force.
fn compiled_anew(good: LastGood) -> Option<LastGood> {
    let rules = rules::parse(&good.name, &good.text, &NoResolver).ok()?;
    Some(LastGood {
        troubled: true,
        compiled: Ok(Compiled::of(rules.compile(1))),
        ..good
    })
}

/// Returns the built-in minimum.
pub fn minimum_rules() -> Option<Rules> {
    rules::parse(MINIMUM_NAME, MINIMUM, &NoResolver).ok()
}

fn minimum() -> Option<LastGood> {
    let rules = minimum_rules()?;
    Some(LastGood {
        name: MINIMUM_NAME.to_owned(),
        text: MINIMUM.to_owned(),
        since: 0,
        troubled: false,
        programs: Vec::new(),
        compiled: Ok(Compiled::of(rules.compile(1))),
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use firewall_abi::packet::{Direction, Verdict};

    #[test]
    fn the_built_in_minimum_needs_nothing_refuses_what_comes_and_locks_nobody_out() {
        let rules = rules::parse(MINIMUM_NAME, MINIMUM, &NoResolver).unwrap();
        assert!(rules.warnings().is_empty() && rules.troubles().is_empty());
        assert_eq!(rules.default_for(Direction::Inbound).action, Verdict::Block);
        assert_eq!(
            rules.default_for(Direction::Outbound).action,
            Verdict::Allow
        );
        let ids: Vec<_> = rules.iter().map(|rule| rule.id.as_str()).collect();
        assert_eq!(ids, ["ssh", "icmp", "icmpv6", "dhcp", "dhcpv6"]);
        let asks_nothing = |rule: &rules::Rule| {
            rule.users.is_empty() && rule.programs.is_empty() && rule.interfaces.is_empty()
        };
        assert!(rules.iter().all(asks_nothing));
        assert!(minimum().unwrap().compiled.is_ok());
    }

    #[test]
    fn without_anything_kept_the_minimum_is_what_is_left() {
        let keeper = Keeper::open(std::path::Path::new("/nonexistent/gatebell"));
        let (candidates, unusable) = candidates(&keeper);
        assert_eq!(candidates.len(), 1);
        assert_eq!(unusable.len(), 1);
    }
}
