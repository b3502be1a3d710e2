//! Check for packets that the kernel forwards past the driver's hooks: no canary goes there.
//!
//! The kernel counts what it forwards; since Linux 6.7 before anybody is asked about it, and with what others refuse
//! ahead of us or what is too large to go on. So that nothing was judged while something was counted proves nothing:
//! the hook is attached anew, at a place of which it is known then that it is ours, and nothing is called wrong. While
//! other packets are judged, it is not seen.
//!
//! That more were counted than judged would not show it then either: beside a firewall that refuses ahead of us
//! (Docker's, ufw's) it is so all the time, and the two are never read at one moment. Attaching anew for that, every
//! few seconds while much is forwarded, would judge and count packets twice each time, for both hooks stand there for a
//! moment; and an older kernel, which counts what has passed, would hide as many as we refuse. A counter of what is
//! judged for each version, in the driver, would only show the one hook beside the other.

use crate::driver::Driver;
use anyhow::Result;
use std::fs;

/// Counters of forwarded packets in this network namespace, by IP version: file, counter's name there, and hook.
const COUNTED: [(&str, &str, &str); 2] = [
    (
        "/proc/thread-self/net/snmp",
        "Ip:ForwDatagrams",
        "enter_forward_ipv4",
    ),
    (
        "/proc/thread-self/net/snmp6",
        "Ip6OutForwDatagrams",
        "enter_forward_ipv6",
    ),
];

/// Detector of hooks that see none of the packets that the kernel forwards.
#[derive(Clone, Copy, Debug, Default)]
pub struct Forwarded {
    /// Counters at the look before, or `None` at the first.
    before: Option<Look>,
}

/// One look at the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    /// Packets that the kernel has counted, by IP version.
    counted: [u64; 2],
    /// Packets that the driver has judged, of both versions.
    judged: u64,
}

impl Forwarded {
    /// The hooks by which nothing came since the look before, though the kernel forwarded something,
    /// by what their links are called.
    pub fn silent(&mut self, driver: &Driver) -> Result<Vec<&'static str>> {
        let counted = COUNTED.map(|(file, name, _)| {
            // Without IPv6 there is no such file, and nothing of it is forwarded.
            let text = fs::read_to_string(file).unwrap_or_default();
            counter(&text, name).unwrap_or_default()
        });
        let verdicts = driver.verdicts()?;
        let judged = verdicts
            .allowed_forward
            .wrapping_add(verdicts.blocked_forward);
        Ok(self.meet(Look { counted, judged }))
    }

    fn meet(&mut self, look: Look) -> Vec<&'static str> {
        let before = self.before.replace(look).unwrap_or(look);
        if look.judged != before.judged {
            return Vec::new();
        }
        let versions = COUNTED.iter().zip(look.counted.iter().zip(before.counted));
        let silent = versions.filter(|(_, (now, before))| **now != *before);
        silent.map(|((_, _, hook), _)| *hook).collect()
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
    fn a_hook_is_silent_where_something_is_forwarded_and_nothing_judged() {
        let mut forwarded = Forwarded::default();
        let mut silent = |v4, v6, judged| {
            let counted = [v4, v6];
            forwarded.meet(Look { counted, judged })
        };
        let [v4, v6] = COUNTED.map(|(_, _, hook)| hook);
        assert!(
            silent(100, 50, 7).is_empty(),
            "what was before is not known"
        );
        assert!(silent(100, 50, 7).is_empty(), "nothing comes");
        assert!(silent(200, 90, 8).is_empty(), "something is judged");
        assert!(silent(200, 90, 9).is_empty(), "all of it is refused");
        assert_eq!(silent(201, 90, 9), [v4]);
        assert_eq!(silent(201, 91, 9), [v6]);
        assert_eq!(silent(205, 95, 9), [v4, v6]);
        assert!(silent(205, 95, 9).is_empty());
    }
}
