//! Host names that sets ask for.

use crate::report::{Wrong, shown};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Longest name in DNS, and longest label of one, in characters.
const LONGEST: usize = 253;
const LONGEST_LABEL: usize = 63;

/// Pattern of host names that a set asks for: one host, or every name below a domain, at any depth, without the domain
/// itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern {
    below: bool,
    name: String,
}

impl HostPattern {
    /// Returns the name of the host or of the domain: in lower case, without a dot at its end.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns whether the pattern stands for the names below a domain.
    #[must_use]
    pub const fn is_below(&self) -> bool {
        self.below
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let below = if self.below { "*." } else { "" };
        write!(f, "{below}{}", self.name)
    }
}

impl FromStr for HostPattern {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        let (below, name) = match text.strip_prefix("*.") {
            Some(domain) => (true, domain),
            None => (false, text),
        };
        let name = name.strip_suffix('.').unwrap_or(name).to_lowercase();
        let said = shown(text);
        if name.parse::<IpAddr>().is_ok() {
            return Err(format!("`{said}` is an address; it goes into `addresses`"));
        }
        if name.contains('*') || text == "*" {
            return Err(format!(
                "`{said}` is no pattern that works here: write a whole name, or *. and a domain for all that lies below it"
            ));
        }
        if name.contains(['/', ':', '@']) {
            return Err(format!(
                "`{said}` is more than a name; write the host's name alone, like www.example.org"
            ));
        }
        if !name.is_ascii() {
            return Err(format!(
                "`{said}` has letters that names in DNS do not have; write it as it travels, with xn--: `idn2 NAME` says how"
            ));
        }
        if name.len() > LONGEST {
            return Err(format!(
                "`{said}` is longer than the {LONGEST} characters that a name may have"
            ));
        }
        match name.split('.').find_map(wrong_label) {
            Some(wrong) => Err(format!("`{said}` is no host's name: {wrong}")),
            None => Ok(Self { below, name }),
        }
    }
}

/// Returns a message if a label of a name is wrong.
fn wrong_label(label: &str) -> Option<String> {
    let other = |c: &char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if label.is_empty() {
        Some("a part of it is empty".to_owned())
    } else if label.len() > LONGEST_LABEL {
        Some(format!(
            "a part of it has more than {LONGEST_LABEL} characters"
        ))
    } else if label.starts_with('-') || label.ends_with('-') {
        Some("a part of it begins or ends with a hyphen".to_owned())
    } else {
        let other = label.chars().find(other)?;
        Some(format!(
            "it has {other:?}, and names have letters, digits, hyphens and dots"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, Wrong> {
        text.parse::<HostPattern>().map(|name| name.to_string())
    }

    #[test]
    fn a_hosts_name_is_taken_as_dns_has_it_and_what_is_none_is_refused_with_its_reason() {
        for (text, name) in [
            ("example.org", "example.org"),
            ("WWW.Example.ORG.", "www.example.org"),
            ("*.Example.net", "*.example.net"),
            ("_sip._udp.example.org", "_sip._udp.example.org"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("localhost", "localhost"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(name));
        }
        let long = format!("{}.org", "a".repeat(64));
        let longest = vec!["a".repeat(60); 5].join(".");
        for (text, why) in [
            ("", "empty"),
            (".", "empty"),
            ("example..org", "empty"),
            ("*", "no pattern"),
            ("*.", "empty"),
            ("www.*.org", "no pattern"),
            ("*example.org", "no pattern"),
            ("192.0.2.7", "`addresses`"),
            ("2001:db8::1", "`addresses`"),
            ("https://example.org/", "more than a name"),
            ("example.org:443", "more than a name"),
            ("bücher.example", "xn--"),
            ("-a.example", "hyphen"),
            ("a b.example", "' '"),
            (&long, "more than 63"),
            (&longest, "longer than the 253"),
        ] {
            let wrong = read(text).expect_err(text);
            assert!(wrong.contains(why), "{text}: {wrong}");
        }
    }
}
