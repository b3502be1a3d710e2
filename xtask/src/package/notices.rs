//! The licences of the libraries that are compiled into the programs: each one's name, and each text once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::command;
use crate::place;
use crate::toolchain;

/// Names under which a library keeps its licence.
const NAMES: [&str; 5] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE"];

/// The notices of what these packages of ours are linked with, and of what the driver is.
pub fn of(packages: &[&str]) -> Result<String> {
    let mut linked = linked(&place::root(), packages)?;
    let mut about = about(&place::root())?;
    let driver = place::root().join("firewall/driver/linux");
    linked.extend(self::linked(&driver, &[])?);
    about.extend(self::about(&driver)?);
    let mut listed =
        String::from("Libraries in these programs and in the driver, with their licences.\n\n");
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in linked {
        let library = about
            .get(&name)
            .with_context(|| format!("cargo knows nothing of {name}"))?;
        listed.push_str(&format!(
            "{name}: {}\n",
            library["license"].as_str().unwrap_or("see below")
        ));
        let folder = Path::new(library["manifest_path"].as_str().unwrap_or_default()).parent();
        for text in licences(folder.context("a library has a folder")?)? {
            texts.entry(text).or_default().push(name.clone());
        }
    }
    for (text, libraries) in texts {
        listed.push_str(&format!(
            "\n{}\nOf {}:\n\n{text}\n",
            "-".repeat(80),
            libraries.join(", ")
        ));
    }
    Ok(listed)
}

/// Returns "name version" of each library that these packages are linked with, none of them ours; if no package is
/// named, those of the folder.
fn linked(folder: &Path, packages: &[&str]) -> Result<BTreeSet<String>> {
    let mut cargo = toolchain::cargo();
    cargo.args([
        "tree",
        "--locked",
        "--edges=normal",
        "--prefix=none",
        "--format={p}",
    ]);
    cargo
        .args(["--target=x86_64-unknown-linux-gnu"])
        .current_dir(folder);
    cargo.args(packages.iter().map(|name| format!("--package={name}")));
    let text = command::output(&mut cargo)?;
    // Ours say where they lie: "gatebell-cli v0.1.0 (/…)".
    let foreign = text
        .lines()
        .filter(|line| !line.is_empty() && !line.contains("(/"));
    // What cargo adds: "(*)" to a library that it has listed before, and what is a macro.
    Ok(foreign
        .map(|line| line.split(" (").next().unwrap_or(line).replace(" v", " "))
        .collect())
}

/// Returns cargo's metadata of each library, by "name version".
fn about(folder: &Path) -> Result<BTreeMap<String, Value>> {
    let mut cargo = toolchain::cargo();
    cargo
        .args(["metadata", "--format-version=1", "--locked"])
        .current_dir(folder);
    let mut metadata: Value = serde_json::from_str(&command::output(&mut cargo)?)?;
    let Value::Array(packages) = metadata["packages"].take() else {
        bail!("cargo metadata names no packages")
    };
    let text = |package: &Value, key: &str| package[key].as_str().unwrap_or_default().to_owned();
    Ok(packages
        .into_iter()
        .map(|package| {
            (
                format!("{} {}", text(&package, "name"), text(&package, "version")),
                package,
            )
        })
        .collect())
}

fn licences(folder: &Path) -> Result<BTreeSet<String>> {
    let mut texts = BTreeSet::new();
    for entry in folder
        .read_dir()
        .with_context(|| format!("reading {}", folder.display()))?
    {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .to_uppercase();
        if NAMES.iter().any(|start| name.starts_with(start)) && path.is_file() {
            texts.insert(
                String::from_utf8_lossy(&fs::read(&path)?)
                    .trim_end()
                    .to_owned(),
            );
        }
    }
    Ok(texts)
}
