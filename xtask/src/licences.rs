//! The licence of every dependency against the list in deny.toml: what `cargo deny check licenses` does, without the
//! minutes that building cargo-deny takes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::place;
use crate::toolchain::{self, Toolchain};

/// Every workspace of the clone; those with a driver build with the library's source.
const MANIFESTS: [&str; 6] = [
    "Cargo.toml",
    "sample/driver/linux/Cargo.toml",
    "sample/driver/windows/Cargo.toml",
    "firewall/driver/linux/Cargo.toml",
    "firewall/driver/windows/Cargo.toml",
    "fuzz/Cargo.toml",
];
const PLATFORMS: [&str; 2] = ["x86_64-unknown-linux-gnu", "x86_64-pc-windows-gnu"];

/// Fails when a dependency has no licence that deny.toml allows.
pub fn check() -> Result<()> {
    let allowed = allowed(
        &fs::read_to_string(place::root().join("deny.toml")).context("reading deny.toml")?,
    )?;
    let mut refused = BTreeMap::new();
    for manifest in MANIFESTS.map(|name| place::root().join(name)) {
        if manifest.is_file() {
            check_manifest(&manifest, &allowed, &mut refused)?;
        }
    }
    if refused.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = refused
        .iter()
        .map(|(package, licence)| format!("  {package}: {licence}"))
        .collect();
    bail!(
        "deny.toml allows none of these licences:\n{}",
        lines.join("\n")
    )
}

fn check_manifest(
    manifest: &Path,
    allowed: &[String],
    refused: &mut BTreeMap<String, String>,
) -> Result<()> {
    let mut cargo = Toolchain::with_library_source()
        .map_or_else(toolchain::cargo, |toolchain| toolchain.cargo());
    cargo
        .args([
            "metadata",
            "--format-version=1",
            "--locked",
            "--manifest-path",
        ])
        .arg(manifest);
    cargo.args(PLATFORMS.map(|platform| format!("--filter-platform={platform}")));
    let output = cargo.output().context("running cargo metadata")?;
    if !output.status.success() {
        bail!(
            "cargo metadata of {}: {}",
            manifest.display(),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let licence = package["license"].as_str().unwrap_or("none named");
        if !permits(licence, allowed) {
            let [name, version] =
                ["name", "version"].map(|key| package[key].as_str().unwrap_or_default());
            refused.insert(format!("{name} {version}"), licence.to_owned());
        }
    }
    Ok(())
}

/// The strings of `allow = [ … ]` in the section `[licenses]`.
fn allowed(deny: &str) -> Result<Vec<String>> {
    let section = deny
        .split("\n[licenses]")
        .nth(1)
        .context("deny.toml has no [licenses]")?;
    let list = section
        .split("allow = [")
        .nth(1)
        .and_then(|rest| rest.split(']').next());
    let list = list.context("[licenses] in deny.toml has no allow = [ … ]")?;
    let lines = list
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default());
    let names = lines
        .flat_map(|line| line.split(','))
        .map(|word| word.trim().trim_matches('"').to_owned());
    Ok(names.filter(|name| !name.is_empty()).collect())
}

/// Whether a licence expression can be satisfied with the allowed ones.
fn permits(expression: &str, allowed: &[String]) -> bool {
    // An old way to write OR.
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Expression {
        words: &words,
        allowed,
    };
    let result = parser.any();
    result && parser.words.is_empty()
}

struct Expression<'a> {
    words: &'a [&'a str],
    allowed: &'a [String],
}

impl Expression<'_> {
    fn any(&mut self) -> bool {
        let mut result = self.every();
        while self.take("OR") {
            // Evaluated first: the words have to be read either way.
            result = self.every() || result;
        }
        result
    }

    fn every(&mut self) -> bool {
        let mut result = self.one();
        while self.take("AND") {
            result = self.one() && result;
        }
        result
    }

    fn one(&mut self) -> bool {
        if self.take("(") {
            return self.any() && self.take(")");
        }
        let Some((name, rest)) = self.words.split_first() else {
            return false;
        };
        self.words = rest;
        if self.take("WITH") {
            let Some((exception, rest)) = self.words.split_first() else {
                return false;
            };
            self.words = rest;
            return self.allows(&format!("{name} WITH {exception}"));
        }
        self.allows(name)
    }

    fn allows(&self, name: &str) -> bool {
        self.allowed.iter().any(|allowed| allowed == name)
    }

    fn take(&mut self, word: &str) -> bool {
        match self.words.split_first() {
            Some((first, rest)) if *first == word => {
                self.words = rest;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permitted(expression: &str) -> bool {
        permits(
            expression,
            &[
                "MIT".to_owned(),
                "Apache-2.0 WITH LLVM-exception".to_owned(),
                "Zlib".to_owned(),
            ],
        )
    }

    #[test]
    fn one_allowed_licence_of_several_is_enough_and_all_of_a_conjunction_are_needed() {
        assert!(permitted("GPL-3.0 OR MIT"));
        assert!(permitted("MIT/Apache-2.0"));
        assert!(permitted("(GPL-3.0 OR MIT) AND Zlib"));
        assert!(permitted("Apache-2.0 WITH LLVM-exception"));
        assert!(!permitted("MIT AND GPL-3.0"));
        assert!(!permitted("Apache-2.0"));
        assert!(!permitted("(MIT"));
        assert!(!permitted(""));
    }

    #[test]
    fn the_list_is_read_without_its_comments() -> Result<()> {
        let text =
            "[bans]\nallow = []\n[licenses]\nallow = [\n  \"MIT\", # short\n  \"Zlib\",\n]\n";
        assert_eq!(allowed(text)?, ["MIT", "Zlib"]);
        Ok(())
    }
}
