//! Compiled tests, and what was compiled beside them: cargo builds all in one go, and each step then runs its own.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Compiled file of tests, or program.
#[derive(Clone, Debug)]
pub struct Program {
    /// Package of the program.
    pub package: String,
    /// The library, program or test file that it was made of.
    pub target: String,
    /// Path of the executable.
    pub file: PathBuf,
    /// Folder that cargo would run the program in: the package's.
    pub folder: PathBuf,
    /// `true` if the program is a file of tests.
    is_test: bool,
}

/// Programs that cargo compiled.
#[derive(Clone, Default)]
pub struct Programs {
    all: Vec<Program>,
    /// Path of the file with cargo's messages.
    list: Option<PathBuf>,
}

impl Programs {
    /// Reads cargo's messages, one JSON object a line.
    pub fn read(messages: &str) -> Self {
        let values = messages
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        Self {
            all: values.filter_map(|message| program(&message)).collect(),
            list: None,
        }
    }

    /// Reads the programs in a file of cargo's messages.
    pub fn open(list: &Path) -> Result<Self> {
        let messages = fs::read_to_string(list)
            .with_context(|| format!("what cargo compiled: {}", list.display()))?;
        Ok(Self {
            list: Some(list.to_owned()),
            ..Self::read(&messages)
        })
    }

    /// Returns the path of the file that the programs were read in.
    pub fn list(&self) -> Option<&Path> {
        self.list.as_deref()
    }

    /// Returns the paths of all programs of a package that are no tests.
    pub fn ordinary(&self, package: &str) -> impl Iterator<Item = &Path> {
        let found = self
            .all
            .iter()
            .filter(move |program| !program.is_test && program.package == package);
        found.map(|program| program.file.as_path())
    }

    fn tests(&self, package: &str) -> impl Iterator<Item = &Program> {
        self.all
            .iter()
            .filter(move |program| program.is_test && program.package == package)
    }

    /// Returns all test programs of a package; none is an error, for then nothing was tested.
    pub fn of_package(&self, package: &str) -> Result<Vec<Program>> {
        let found: Vec<Program> = self.tests(package).cloned().collect();
        if found.is_empty() {
            bail!("cargo compiled no tests of {package}");
        }
        Ok(found)
    }

    /// Returns one test program of a package.
    pub fn one(&self, package: &str, target: &str) -> Result<Program> {
        let mut tests = self.tests(package);
        tests
            .find(|program| program.target == target)
            .cloned()
            .with_context(|| format!("cargo compiled no tests/{target}.rs of {package}"))
    }
}

fn program(message: &Value) -> Option<Program> {
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
        is_test: message["profile"]["test"] == Value::Bool(true),
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
    fn tests_are_told_from_what_was_compiled_beside_them() {
        let id = "path+file:///x/xtask#0.1.0";
        let line = |test: bool| {
            format!(
                r#"{{"package_id":"{id}","manifest_path":"/x/xtask/Cargo.toml","target":{{"name":"t"}},"profile":{{"test":{test}}},"executable":"/x/{test}"}}"#
            )
        };
        let programs = Programs::read(&[line(false), line(true), "not json".to_owned()].join("\n"));
        let test = programs.one("xtask", "t").map(|program| program.file);
        assert_eq!(test.ok().as_deref(), Some(Path::new("/x/true")));
        let ordinary: Vec<_> = programs.ordinary("xtask").collect();
        assert_eq!(ordinary, [Path::new("/x/false")]);
        assert!(programs.of_package("engine").is_err());
    }
}
