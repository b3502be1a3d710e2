//! Kinds of firewall exports, and their detection.

use super::model::Imported;
use super::{firewalld, iptables, json, nft, simplewall, xml};
use clap::ValueEnum;
use serde_json::Value;

/// A firewall whose exports are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "kebab-case")]
pub enum Kind {
    /// OpenSnitch: a rule's JSON, or a list of them
    Opensnitch,
    /// ufw: user.rules or user6.rules
    Ufw,
    /// iptables-save or ip6tables-save
    Iptables,
    /// nft list ruleset
    Nft,
    /// firewall-cmd --list-all or --list-all-zones
    Firewalld,
    /// simplewall: profile.xml
    Simplewall,
    /// Portmaster: settings or profiles as JSON
    Portmaster,
    /// Little Snitch: .lsrules
    LittleSnitch,
}

impl Kind {
    /// Returns the kind that a text looks like, or `None` if it looks like none.
    pub fn of(text: &str) -> Option<Self> {
        if let Ok(value) = serde_json::from_str::<Value>(text) {
            return Self::of_json(
                value
                    .as_array()
                    .and_then(|list| list.first())
                    .unwrap_or(&value),
            );
        }
        if let Ok(document) = xml::document(text) {
            let ours = |name| {
                document
                    .root_element()
                    .children()
                    .any(|node| node.has_tag_name(name))
            };
            return (ours("apps") || ours("rules_custom")).then_some(Self::Simplewall);
        }
        let line = |test: &dyn Fn(&str) -> bool| text.lines().map(str::trim).any(test);
        // What iptables-save prints where ufw runs has ufw's chains too, and those that lead to them.
        let whole = line(&|line| line.starts_with(":INPUT "));
        let of_ufw = |line: &str| {
            let starts = [
                "### tuple ###",
                "-A ufw-user",
                "-A ufw6-user",
                ":ufw-user",
                ":ufw6-user",
            ];
            starts.iter().any(|start| line.starts_with(start))
        };
        if !whole && line(&of_ufw) {
            Some(Self::Ufw)
        } else if line(&|line| line.starts_with('*') && line.len() > 1)
            && line(&|line| line == "COMMIT")
        {
            Some(Self::Iptables)
        } else if line(&|line| line.starts_with("table ") && line.contains('{')) {
            Some(Self::Nft)
        } else if line(&|line| line.starts_with("target: "))
            && line(&|line| line.starts_with("services:"))
        {
            Some(Self::Firewalld)
        } else {
            None
        }
    }

    fn of_json(value: &Value) -> Option<Self> {
        let has = |key: &str| value.get(key).is_some();
        if has("operator") && has("action") {
            Some(Self::Opensnitch)
        } else if has("rules")
            || has("denied-remote-addresses")
            || has("denied-remote-domains")
            || has("denied-remote-hosts")
        {
            Some(Self::LittleSnitch)
        } else if has("config") && has("type") {
            Some(Self::Portmaster)
        } else {
            None
        }
    }

    /// Returns the name of the kind on the command line.
    pub fn name(self) -> String {
        self.to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }

    /// Returns the name of the firewall in sentences.
    pub fn title(self) -> &'static str {
        match self {
            Self::Opensnitch => "OpenSnitch",
            Self::Ufw => "ufw",
            Self::Iptables => "iptables-save",
            Self::Nft => "nft list ruleset",
            Self::Firewalld => "firewalld",
            Self::Simplewall => "simplewall",
            Self::Portmaster => "Portmaster",
            Self::LittleSnitch => "Little Snitch",
        }
    }

    /// Translates a text of this kind.
    ///
    /// # Errors
    /// The text is not of this kind.
    pub fn understand(self, text: &str) -> Result<Imported, String> {
        let value = || {
            serde_json::from_str::<Value>(text)
                .map_err(|wrong| format!("this is not JSON: {wrong}"))
        };
        Ok(match self {
            Self::Opensnitch => json::opensnitch(&value()?),
            Self::LittleSnitch => json::little_snitch(&value()?),
            Self::Portmaster => json::portmaster(&value()?),
            Self::Ufw => iptables::ufw(text),
            Self::Iptables => iptables::saved(text),
            Self::Nft => nft::ruleset(text),
            Self::Firewalld => firewalld::zones(text),
            Self::Simplewall => simplewall::profile(&xml::document(text)?),
        })
    }
}
