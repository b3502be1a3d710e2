//! The names of all tests that the rooms run, as the compiled tests list them themselves:
//! what stands for a promise has to be among them.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::Result;

use super::programs::Programs;
use super::task::{KERNEL_TESTS, cargo, compilation};
use crate::command;
use crate::rooms::{ROOMS, Room, Step};

/// Compiles all tests and prints one a line: room, package, target, name, and `runs` or `ignored`, with tabs between.
pub fn print() -> Result<i32> {
    let programs = compiled()?;
    let mut lines = BTreeSet::new();
    for room in ROOMS.iter() {
        for step in room.all() {
            of_step(room, step, &programs, &mut lines)?;
        }
    }
    for line in lines {
        println!("{line}");
    }
    Ok(0)
}

fn compiled() -> Result<Programs> {
    let mut cargo = compilation(&["--workspace".to_owned()]);
    Ok(Programs::read(&command::output(cargo.arg("--quiet"))?))
}

fn of_step(
    room: &Room,
    step: &Step,
    programs: &Programs,
    lines: &mut BTreeSet<String>,
) -> Result<()> {
    let found = match step {
        Step::Package(package) => programs.of_package(package)?,
        Step::Kernel(file) => vec![programs.one(KERNEL_TESTS, file)?],
        // What runs there runs on this machine's kernel too, in the room of its file.
        Step::Emulated(_) => return Ok(()),
        Step::Cargo(_, flags, arguments) if arguments.first() == Some(&"test") => {
            let list = |more: &[&str]| {
                let mut cargo = cargo(flags, arguments);
                cargo.args(["--quiet", "--", "--list"]).args(more);
                command::output(&mut cargo)
            };
            add(room, "", "", &list(&[])?, &list(&["--ignored"])?, lines);
            return Ok(());
        }
        _ => return Ok(()),
    };
    for program in found {
        let list = |more: &[&str]| {
            let mut command = Command::new(&program.file);
            command.arg("--list").args(more);
            command::output(command.current_dir(&program.folder))
        };
        let (all, ignored) = (list(&[])?, list(&["--ignored"])?);
        add(
            room,
            &program.package,
            &program.target,
            &all,
            &ignored,
            lines,
        );
    }
    Ok(())
}

fn add(
    room: &Room,
    package: &str,
    target: &str,
    all: &str,
    ignored: &str,
    lines: &mut BTreeSet<String>,
) {
    let ignored: BTreeSet<&str> = names(ignored).collect();
    for name in names(all) {
        let state = if ignored.contains(name) {
            "ignored"
        } else {
            "runs"
        };
        let room = room.name;
        lines.insert(format!("{room}\t{package}\t{target}\t{name}\t{state}"));
    }
}

/// The names in what a program lists: `module::name: test`.
pub fn names(list: &str) -> impl Iterator<Item = &str> {
    list.lines().filter_map(|line| line.strip_suffix(": test"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tests_are_named_and_those_that_are_ignored_are_told_apart() {
        let mut lines = BTreeSet::new();
        let all = "one::holds: test\nslow: test\nfast: benchmark\n\n2 tests, 1 benchmark\n";
        add(&ROOMS[0], "p", "t", all, "slow: test\n", &mut lines);
        let room = ROOMS[0].name;
        let expected = [
            format!("{room}\tp\tt\tone::holds\truns"),
            format!("{room}\tp\tt\tslow\tignored"),
        ];
        assert_eq!(lines, BTreeSet::from(expected));
    }
}
