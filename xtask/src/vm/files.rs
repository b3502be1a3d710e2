//! Files that a program needs to start: itself and the shared libraries that `ldd` names.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The files themselves, all files of those that are folders, and the libraries of those that are programs.
pub fn with_libraries(files: impl Iterator<Item = PathBuf>) -> Result<BTreeSet<PathBuf>> {
    let mut all = without_libraries(files)?;
    for file in all.clone() {
        all.extend(libraries(&file)?);
    }
    Ok(all)
}

/// The files themselves, and all files of those that are folders.
pub fn without_libraries(files: impl Iterator<Item = PathBuf>) -> Result<BTreeSet<PathBuf>> {
    let mut all = BTreeSet::new();
    for file in files {
        if file.is_dir() {
            add_folder(&file, &mut all)?;
        } else if file.is_file() {
            all.insert(file);
        } else {
            bail!(
                "{} is not there to be copied into the emulated machine",
                file.display()
            );
        }
    }
    Ok(all)
}

fn add_folder(folder: &Path, all: &mut BTreeSet<PathBuf>) -> Result<()> {
    for entry in folder
        .read_dir()
        .with_context(|| format!("reading {}", folder.display()))?
    {
        let path = entry?.path();
        if path.is_dir() {
            add_folder(&path, all)?;
        } else if path.is_file() {
            all.insert(path);
        }
    }
    Ok(())
}

fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    // ldd fails on what is not a dynamic program (a script, an eBPF object): that has no libraries.
    let output = Command::new("ldd")
        .arg(program)
        .output()
        .context("running ldd")?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().filter_map(library).collect())
}

/// The path in one line of ldd: `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)` or `/lib64/ld-linux… (0x…)`.
fn library(line: &str) -> Option<PathBuf> {
    let path = line.split_whitespace().find(|word| word.starts_with('/'))?;
    Some(PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_the_first_path_of_its_line() {
        let line = "\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)";
        assert_eq!(
            library(line),
            Some(PathBuf::from("/lib/x86_64-linux-gnu/libc.so.6"))
        );
        assert_eq!(library("\tlinux-vdso.so.1 (0x00007f)"), None);
        assert_eq!(library("\tnot a dynamic executable"), None);
    }
}
