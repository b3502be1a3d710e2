//! Compiled tests: cargo builds them all in one go, and each step then runs its own.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// One compiled file of tests.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its package.
    pub package: String,
    /// The library, program or test file that it was made of.
    pub target: String,
    /// What to run.
    pub file: PathBuf,
    /// Where cargo would run it: the package's folder.
    pub folder: PathBuf,
}

/// What cargo compiled.
#[derive(Clone, Default)]
pub struct Programs(Vec<Program>);

impl Programs {
    /// Reads cargo's messages, one JSON object a line.
    pub fn read(messages: &str) -> Self {
        let values = messages
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        Self(values.filter_map(|message| program(&message)).collect())
    }

    /// All programs of a package; none is an error, for then nothing was tested.
    pub fn of_package(&self, package: &str) -> Result<Vec<Program>> {
        let found: Vec<Program> = self
            .0
            .iter()
            .filter(|program| program.package == package)
            .cloned()
            .collect();
        if found.is_empty() {
            bail!("cargo compiled no tests of {package}");
        }
        Ok(found)
    }

    /// One program of a package.
    pub fn one(&self, package: &str, target: &str) -> Result<Program> {
        let found = self
            .0
            .iter()
            .find(|program| program.package == package && program.target == target);
        found
            .cloned()
            .with_context(|| format!("cargo compiled no tests/{target}.rs of {package}"))
    }
}

fn program(message: &Value) -> Option<Program> {
    if message["profile"]["test"] != Value::Bool(true) {
        return None;
    }
    let file = PathBuf::from(message["executable"].as_str()?);
    let folder = Path::new(message["manifest_path"].as_str()?)
        .parent()?
        .to_path_buf();
    let package = package_name(message["package_id"].as_str()?)?;
    let target = message["target"]["name"].as_str()?.to_owned();
    Some(Program {
        package,
        target,
        file,
        folder,
    })
}

/// The name in `path+file:///clone/contract#gatebell-contract@0.1.0`, or, where the folder has the package's name, in
/// `path+file:///clone/xtask#0.1.0`.
fn package_name(id: &str) -> Option<String> {
    let (folder, rest) = id.rsplit_once('#')?;
    match rest.split_once('@') {
        Some((name, _)) => Some(name.to_owned()),
        None => folder.rsplit('/').next().map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_package_id_give_its_name() {
        assert_eq!(
            package_name("path+file:///x/contract#gatebell-contract@0.1.0").as_deref(),
            Some("gatebell-contract")
        );
        assert_eq!(
            package_name("path+file:///x/xtask#0.1.0").as_deref(),
            Some("xtask")
        );
    }

    #[test]
    fn only_programs_with_tests_count() {
        let id = "path+file:///x/xtask#0.1.0";
        let line = |test: bool| {
            format!(
                r#"{{"package_id":"{id}","manifest_path":"/x/xtask/Cargo.toml","target":{{"name":"t"}},"profile":{{"test":{test}}},"executable":"/x/t"}}"#
            )
        };
        let programs = Programs::read(&[line(true), line(false), "not json".to_owned()].join("\n"));
        assert_eq!(programs.0.len(), 1);
        assert!(programs.one("xtask", "t").is_ok());
        assert!(programs.of_package("engine").is_err());
    }
}
