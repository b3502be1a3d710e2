//! `gatebell set`: addresses that join a set of the rules in force, and leave it.

use super::connect;
use crate::Error;
use crate::arguments::{SetAddArguments, SetCommand, SetListArguments, SetRemoveArguments};
use crate::style;
use control::{SetAdded, SetMember, SetRemoved};
use serde_json::json;
use std::io::{BufRead, Write};

/// Adds, removes or lists.
pub fn set(command: &SetCommand, out: &mut dyn Write) -> Result<u8, Error> {
    match command {
        SetCommand::Add(arguments) => add(arguments, out),
        SetCommand::Remove(arguments) => remove(arguments, out),
        SetCommand::List(arguments) => list(arguments, out),
    }
}

fn add(arguments: &SetAddArguments, out: &mut dyn Write) -> Result<u8, Error> {
    let SetAddArguments { name, time, .. } = arguments;
    let addresses = given(&arguments.addresses)?;
    let mut client = connect(&arguments.service.socket)?;
    let done = client.add_to_set(name, &addresses, time.map(|time| time.0))?;
    if arguments.json {
        writeln!(out, "{}", json!(done))?;
        return Ok(0);
    }
    let SetAdded {
        added,
        renewed,
        generation,
    } = done;
    let lasts = time.map_or(String::new(), |time| format!(" for {} s", time.0.as_secs()));
    write!(out, "{} added to {name}{lasts}", number(added))?;
    if renewed > 0 {
        write!(
            out,
            ", {} in it before: the new time holds",
            number(renewed)
        )?;
    }
    writeln!(out)?;
    if let Some(generation) = generation {
        writeln!(
            out,
            "{}generation {generation} is in force: no address had been in these sets at once{0:#}",
            style::FAINT
        )?;
    }
    Ok(0)
}

fn remove(arguments: &SetRemoveArguments, out: &mut dyn Write) -> Result<u8, Error> {
    let name = &arguments.name;
    let addresses = given(&arguments.addresses)?;
    let done = connect(&arguments.service.socket)?.remove_from_set(name, &addresses)?;
    if arguments.json {
        writeln!(out, "{}", json!(done))?;
        return Ok(0);
    }
    let SetRemoved {
        removed,
        absent,
        stays,
    } = done;
    write!(out, "{} removed from {name}", number(removed))?;
    if absent > 0 {
        write!(out, ", {} not in it by having been added", number(absent))?;
    }
    writeln!(out)?;
    if stays > 0 {
        let stay = number(stays);
        writeln!(
            out,
            "{stay} in it all the same: the rule file has them there"
        )?;
    }
    Ok(0)
}

fn list(arguments: &SetListArguments, out: &mut dyn Write) -> Result<u8, Error> {
    let mut client = connect(&arguments.service.socket)?;
    let members = client.set_members(arguments.name.as_deref())?;
    for member in &members {
        let SetMember {
            set,
            address,
            seconds_left,
            name,
        } = member;
        if arguments.json {
            writeln!(out, "{}", json!(member))?;
            continue;
        }
        let left = seconds_left.map_or("until it is removed".to_owned(), |left| {
            format!("{left} s left")
        });
        let by = name
            .as_ref()
            .map_or(String::new(), |name| format!(", {name}"));
        writeln!(out, "{set:<20} {address:<40} {left}{by}")?;
    }
    if members.is_empty() && !arguments.json {
        writeln!(out, "nothing was added, and nothing has joined by a name")?;
    }
    Ok(0)
}

/// The addresses that are named; of `-` those that standard input has.
fn given(addresses: &[String]) -> Result<Vec<String>, Error> {
    let mut all = Vec::new();
    for address in addresses {
        if address != "-" {
            all.push(address.clone());
            continue;
        }
        for line in std::io::stdin().lock().lines() {
            let line = line.map_err(|cause| Error::Unreadable {
                file: "standard input".into(),
                cause,
            })?;
            let address = line.trim();
            if !address.is_empty() {
                all.push(address.to_owned());
            }
        }
    }
    Ok(all)
}

fn number(of: u64) -> String {
    if of == 1 {
        "1 address".to_owned()
    } else {
        format!("{} addresses", rules::grouped(of as usize))
    }
}
