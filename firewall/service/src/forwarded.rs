//! What the kernel counts of the packets that it forwards, held against what the driver has judged of them: no canary goes there.
//!
//! The kernel counts behind the hook what goes on from it. So what it counts beyond what was judged went past the driver: another's
//! program stands in the place of ours, or somebody before it lets pass without asking those behind. What others drop there is judged,
//! and not counted by the kernel; so what was judged and did not go on is taken anew at each look.

use crate::driver::Driver;
use anyhow::Result;
use std::fs;

/// What the kernel has counted in this network namespace, by version, what it calls it, and what it may have counted with it on its
/// way there: until Linux 6.7 what was too large to go on.
const COUNTED: [(&str, &str, Option<&str>); 2] = [
    ("/proc/thread-self/net/snmp", "Ip:ForwDatagrams", None),
    (
        "/proc/thread-self/net/snmp6",
        "Ip6OutForwDatagrams",
        Some("Ip6InTooBigErrors"),
    ),
];
/// The hooks, by what their links are called.
const HOOKS: [&str; 2] = ["enter_forward_ipv4", "enter_forward_ipv6"];
/// After so many looks at which something was judged, and nothing had gone past, it is taken to be over.
const CLEAN_LOOKS: u32 = 12;

/// What was seen of what is forwarded.
#[derive(Clone, Copy, Debug, Default)]
pub struct Forwarded {
    before: Option<Before>,
    /// Clean looks until it is over that packets went past us; 0: it is.
    suspect: u32,
    /// Some did again, although our hooks had been put there again.
    goes_on: bool,
}

/// What was seen at the look before.
#[derive(Clone, Copy, Debug)]
struct Before {
    counted: [u64; 2],
    judged: u64,
    /// At most so many more than were judged had gone on.
    beyond: i64,
}

/// One look at the counters.
#[derive(Clone, Copy, Debug)]
struct Look {
    /// What the kernel has counted of each version.
    counted: [u64; 2],
    /// What the driver had judged shortly before that was read, and shortly after.
    judged: [u64; 2],
}

/// What came of a look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// The versions of which packets went past us since the look before.
    pub versions: [bool; 2],
    /// They still do, although our hooks were put there again.
    pub goes_on: bool,
}

impl Past {
    /// The hooks by which they did not come, by what their links are called.
    pub fn hooks(self) -> impl Iterator<Item = String> {
        let hooks = HOOKS.into_iter().zip(self.versions);
        hooks
            .filter(|(_, is_past)| *is_past)
            .map(|(hook, _)| hook.to_owned())
    }
}

impl Forwarded {
    /// Looks whether packets went past the driver since the look before.
    pub fn look(&mut self, driver: &Driver) -> Result<Past> {
        let judged = || -> Result<u64> {
            let verdicts = driver.verdicts()?;
            let refused = verdicts.blocked_forward;
            Ok(verdicts.allowed_forward.wrapping_add(refused))
        };
        let before = judged()?;
        let counted = COUNTED.map(|(file, name, beside)| {
            // Without IPv6 there is no such file, and nothing of it is forwarded.
            let text = fs::read_to_string(file).unwrap_or_default();
            let beside = beside.and_then(|name| counter(&text, name));
            counter(&text, name)
                .unwrap_or_default()
                .wrapping_sub(beside.unwrap_or_default())
        });
        let judged = [before, judged()?];
        Ok(self.meet(Look { counted, judged }))
    }

    fn meet(&mut self, Look { counted, judged }: Look) -> Past {
        let all = counted[0].wrapping_add(counted[1]);
        // Each packet is judged first and counted then: the one number was read too early, the other one too late.
        let [most, least] = judged.map(|judged| all.wrapping_sub(judged).cast_signed());
        let before = self.before.unwrap_or(Before {
            counted,
            judged: judged[1],
            beyond: most,
        });
        let is_past = least > before.beyond;
        if is_past {
            self.goes_on |= self.suspect > 0;
            self.suspect = CLEAN_LOOKS;
        } else if judged[1] != before.judged {
            self.suspect = self.suspect.saturating_sub(1);
            self.goes_on &= self.suspect > 0;
        }
        let beyond = if is_past {
            most
        } else {
            most.min(before.beyond)
        };
        self.before = Some(Before {
            counted,
            judged: judged[1],
            beyond,
        });
        let grew = [0, 1].map(|version| counted[version] != before.counted[version]);
        Past {
            versions: grew.map(|grew| is_past && grew),
            goes_on: self.goes_on,
        }
    }
}

/// A counter in what the kernel says of them: a line of names above one of numbers, or each with its name (`snmp6`).
fn counter(text: &str, wanted: &str) -> Option<u64> {
    let number = match wanted.split_once(':') {
        Some((group, name)) => {
            let lines = text.lines().filter_map(|line| line.split_once(':'));
            let mut lines = lines.filter_map(|(of, rest)| (of == group).then_some(rest));
            let names = lines.next()?.split_whitespace();
            let at = names.into_iter().position(|other| other == name)?;
            lines.next()?.split_whitespace().nth(at)?
        }
        None => {
            let mut lines = text
                .lines()
                .filter_map(|line| line.split_once(char::is_whitespace));
            lines.find(|(name, _)| *name == wanted)?.1.trim()
        }
    };
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(v4: u64, v6: u64, judged: [u64; 2]) -> Look {
        Look {
            counted: [v4, v6],
            judged,
        }
    }

    fn hooks(past: Past) -> Vec<String> {
        past.hooks().collect()
    }

    #[test]
    fn the_kernels_counters_are_found_by_their_names_wherever_they_stand() {
        let snmp = "Ip: Forwarding ForwDatagrams InDelivers\nIp: 1 77 5\nIcmp: InMsgs\nIcmp: 3\n";
        assert_eq!(counter(snmp, "Ip:ForwDatagrams"), Some(77));
        assert_eq!(counter(snmp, "Ip:Other"), None);
        let snmp6 = "Ip6InReceives   \t9\nIp6OutForwDatagrams             \t12\n";
        assert_eq!(counter(snmp6, "Ip6OutForwDatagrams"), Some(12));
        assert_eq!(counter("", "Ip:ForwDatagrams"), None);
    }

    #[test]
    fn what_is_forwarded_past_us_is_seen_by_version_and_what_is_judged_is_not() {
        let mut forwarded = Forwarded::default();
        // What was before is not known; packets are judged while it is looked.
        let none = Past::default();
        assert_eq!(forwarded.meet(look(100, 50, [40, 60])), none);
        assert_eq!(forwarded.meet(look(1100, 550, [1530, 1560])), none);
        // Refused, or dropped by somebody behind us.
        assert_eq!(forwarded.meet(look(1100, 550, [9000, 9000])), none);
        assert_eq!(forwarded.meet(look(1100, 550, [9000, 9000])), none);
        // One past us is enough.
        assert_eq!(
            hooks(forwarded.meet(look(1101, 550, [9000, 9000]))),
            [HOOKS[0]]
        );
        assert_eq!(forwarded.meet(look(1111, 550, [9010, 9010])), none);
        assert_eq!(hooks(forwarded.meet(look(1112, 553, [9010, 9010]))), HOOKS);
    }

    #[test]
    fn what_goes_past_hooks_that_were_put_there_again_is_trouble_until_it_is_long_over() {
        let mut forwarded = Forwarded::default();
        forwarded.meet(look(0, 0, [0, 0]));
        assert!(!forwarded.meet(look(1, 0, [0, 0])).goes_on);
        assert!(!forwarded.meet(look(1, 0, [0, 0])).goes_on);
        assert!(forwarded.meet(look(2, 0, [0, 0])).goes_on);
        // Nothing comes: nothing is known.
        assert!(forwarded.meet(look(2, 0, [0, 0])).goes_on);
        for n in 1..CLEAN_LOOKS as u64 {
            assert!(forwarded.meet(look(2 + n, 0, [n, n])).goes_on, "{n}");
        }
        let n = u64::from(CLEAN_LOOKS);
        assert!(!forwarded.meet(look(2 + n, 0, [n, n])).goes_on);
    }
}
