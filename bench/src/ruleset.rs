//! Rule sets with equal meaning in two languages: Gatebell's and nftables'.

use crate::scatter::Scatter;
use std::fmt::Write;
use std::path::Path;

/// Rules that refuse what comes in, with or without a word to the apps.
pub fn refuse(log: bool) -> String {
    format!(
        "version = 1\n[default]\ninbound = \"block\"\noutbound = \"allow\"\n\n\
         {}{NEIGHBOURS}",
        refuse_one(log)
    )
}

fn refuse_one(log: bool) -> String {
    format!(
        "[[rule]]\nid = \"refused\"\naction = \"block\"\ndirection = \"in\"\nprotocol = \"udp\"\nports = 9\nlog = {log}\n\n"
    )
}

/// IPv6 does not work without.
const NEIGHBOURS: &str = "[[rule]]\nid = \"neighbours\"\naction = \"allow\"\nprotocol = \"icmpv6\"\n\
                          icmp_type = [133, 134, 135, 136, 143]\n\n";

/// Ordered rules of which the lab's packets match only the last: it allows them.
pub struct Ordered {
    /// Rule file for Gatebell.
    pub toml: String,
    /// Lines of a chain for nftables.
    pub nft: String,
}

impl Ordered {
    /// Makes them. The same number makes the same rules.
    pub fn of(count: u32) -> Self {
        Self::before(
            count,
            "[[rule]]\nid = \"last\"\naction = \"allow\"\nlog = false\n",
            "  accept\n",
        )
    }

    /// Returns ordered rules of which the last refuses datagrams to port 9, without a record.
    pub fn refusing(count: u32) -> Self {
        Self::before(count, &refuse_one(false), "  udp dport 9 drop\n")
    }

    fn before(count: u32, last: &str, nft_last: &str) -> Self {
        let mut toml =
            "version = 1\n[default]\ninbound = \"block\"\noutbound = \"allow\"\n\n".to_owned();
        let mut nft = String::new();
        for number in 1..count {
            let Line {
                source,
                port,
                to_port,
                tcp,
                six,
            } = Line::of(number);
            let (protocol, family) = (
                if tcp { "tcp" } else { "udp" },
                if six { "ip6" } else { "ip" },
            );
            toml += &format!(
                "[[rule]]\nid = \"r{number}\"\naction = \"block\"\nprotocol = \"{protocol}\"\n\
                 source = \"{source}\"\nports = \"{port}-{to_port}\"\nlog = false\n\n"
            );
            nft += &format!("  {family} saddr {source} {protocol} dport {port}-{to_port} drop\n");
        }
        toml += last;
        nft += nft_last;
        Self { toml, nft }
    }
}

/// A million entries of a set, one a line, and a file of rules that refuses what they hold.
pub struct Listed {
    /// The list.
    pub list: String,
    /// Some of the addresses that are in it.
    pub members: Vec<[u8; 4]>,
}

impl Listed {
    /// Addresses, or prefixes. The same seed makes the same list.
    pub fn of(count: u32, prefixes: bool, seed: u64) -> Self {
        let mut scatter = Scatter::new(seed);
        let (mut list, mut members) = (String::with_capacity(20 * count as usize), Vec::new());
        for _ in 0..count {
            let [a, b, c, d, length, ..] = scatter.next().to_be_bytes();
            let length = if prefixes {
                20 + u32::from(length % 11)
            } else {
                32
            };
            let address = u32::from_be_bytes([100 + a % 100, b, c, d]) & u32::MAX << (32 - length);
            let [a, b, c, d] = address.to_be_bytes();
            let end = if prefixes {
                format!("/{length}")
            } else {
                String::new()
            };
            let _written = writeln!(list, "{a}.{b}.{c}.{d}{end}");
            if members.len() < 20_000 {
                members.push([a, b, c, d]);
            }
        }
        Self { list, members }
    }

    /// Rules that refuse what comes from this source, and everything else too, without a word.
    pub fn rules(source: &str, set: Option<&Path>) -> String {
        let set =
            set.map(|file| format!("[[set]]\nid = \"many\"\nfile = \"{}\"\n\n", file.display()));
        format!(
            "version = 1\n[default]\ninbound = \"block\"\noutbound = \"allow\"\n\n{}\
             [[rule]]\nid = \"listed\"\naction = \"block\"\ndirection = \"in\"\nsource = \"{source}\"\nlog = false\n\n\
             {NEIGHBOURS}[[rule]]\nid = \"rest\"\naction = \"block\"\ndirection = \"in\"\nlog = false\n",
            set.unwrap_or_default()
        )
    }
}

struct Line {
    source: String,
    port: u16,
    to_port: u16,
    tcp: bool,
    six: bool,
}

impl Line {
    fn of(number: u32) -> Self {
        // Scattered over the address space and the ports by odd multipliers. No source is one of the lab's (10.…, fd…).
        let scattered = number.wrapping_mul(0x9E37_79B1);
        let [a, b, c, _] = scattered.to_be_bytes();
        let port = 1024 + (number.wrapping_mul(7919) % 60_000) as u16;
        let six = number.is_multiple_of(2);
        let source = if six {
            format!(
                "2001:{:x}:{:x}::/48",
                u16::from_be_bytes([a, b]),
                u16::from(c) << 8 | 1
            )
        } else {
            format!("{}.{b}.{c}.0/24", 100 + a % 100)
        };
        Self {
            source,
            port,
            to_port: port + (number % 50) as u16,
            tcp: number.is_multiple_of(3),
            six,
        }
    }
}

/// A chain of nftables' at a hook.
pub fn chain(hook: &str, priority: &str, lines: &str) -> String {
    format!(
        "table inet figures {{\n chain c {{\n  type filter hook {hook} priority {priority}; policy accept;\n{lines} }}\n}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_rules_stand_in_both_languages() {
        let rules = Ordered::of(50);
        assert_eq!(rules.toml.matches("[[rule]]").count(), 50);
        assert_eq!(rules.nft.lines().count(), 50);
        assert!(rules.nft.contains("ip6 saddr") && rules.nft.contains("ip saddr"));
    }
}
