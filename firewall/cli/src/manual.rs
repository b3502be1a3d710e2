//! `gatebell manual`: manual pages and completions, made of the same description as the command line.

use crate::{Error, command};
use clap_complete::Shell;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

const SHELLS: [Shell; 4] = [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell];

/// Writes `man/` and `completions/` below `directory`.
pub fn run(directory: &Path, out: &mut dyn Write) -> Result<u8, Error> {
    let (pages, completions) = (directory.join("man"), directory.join("completions"));
    write(&pages, |to| clap_mangen::generate_to(command(), to))?;
    write(&completions, |to| {
        SHELLS.into_iter().try_for_each(|shell| {
            clap_complete::generate_to(shell, &mut command(), "gatebell", to).map(drop)
        })
    })?;
    writeln!(
        out,
        "{}: manual pages\n{}: completions",
        pages.display(),
        completions.display()
    )?;
    Ok(0)
}

fn write(directory: &Path, generate: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), Error> {
    let made = fs::create_dir_all(directory).and_then(|()| generate(directory));
    made.map_err(|cause| Error::Unwritable {
        file: directory.to_owned(),
        cause,
    })
}
