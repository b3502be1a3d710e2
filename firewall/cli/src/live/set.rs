//! `gatebell set`: addresses that join a set of the rules in force, and leave it.

use super::{connect, text_in_force};
use crate::Error;
use crate::arguments::{SocketArguments, Time};
use crate::check;
use crate::outputs::say;
use crate::rule_file::RuleFile;
use crate::style;
use clap::{Args, Subcommand};
use control::{Client, SetAdded, SetMember, SetRemoved, SubscribedList};
use rules::{Finding, OwnNetwork, SystemResolver, clean, own_network};
use serde_json::json;
use std::io::{BufRead, Write};

/// Text below the command's help.
pub const HELP: &str = "\
Examples:
  gatebell set add banned 192.0.2.7 --for 1h
  gatebell set add banned - < addresses.txt      (one a line; all in one request)
  gatebell set remove banned 192.0.2.7
  gatebell set list --json
  gatebell set refresh bad-hosts

Exit codes:
  0  it is as you asked
  1  it is not, and nothing was changed: no such set, no address, not permitted, no service
  2  the command line is wrong";

/// Commands for sets while they are in force.
#[derive(Debug, Subcommand)]
pub enum SetCommand {
    /// Have addresses be in a set
    #[command(after_help = HELP)]
    Add(SetAddArguments),
    /// Take addresses out of a set that were added to it
    #[command(after_help = HELP)]
    Remove(SetRemoveArguments),
    /// Show what was added or has joined by its name, and for how long it is there;
    /// and the lists that sets subscribe to
    #[command(after_help = HELP)]
    List(SetListArguments),
    /// Have the list fetched now that a set subscribes to
    #[command(after_help = HELP)]
    Refresh(SetRefreshArguments),
}

/// `gatebell set add`.
#[derive(Debug, Args)]
pub struct SetAddArguments {
    /// The set's name in the rule file
    pub name: String,
    /// Addresses, no prefixes; - reads them from standard input, one a line
    #[arg(required = true, value_name = "ADDRESS")]
    pub addresses: Vec<String>,
    /// For how long: 60s, 10m, 2h; left out: until they are removed
    #[arg(long = "for", value_name = "TIME")]
    pub time: Option<Time>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Control socket of the service.
    #[command(flatten)]
    pub service: SocketArguments,
}

/// `gatebell set remove`.
#[derive(Debug, Args)]
pub struct SetRemoveArguments {
    /// The set's name in the rule file
    pub name: String,
    /// Addresses; - reads them from standard input, one a line
    #[arg(required = true, value_name = "ADDRESS")]
    pub addresses: Vec<String>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Control socket of the service.
    #[command(flatten)]
    pub service: SocketArguments,
}

/// `gatebell set list`.
#[derive(Debug, Args)]
pub struct SetListArguments {
    /// The set's name; left out: all sets
    pub name: Option<String>,
    /// Print one JSON object for each address
    #[arg(long)]
    pub json: bool,
    /// Control socket of the service.
    #[command(flatten)]
    pub service: SocketArguments,
}

/// `gatebell set refresh`.
#[derive(Debug, Args)]
pub struct SetRefreshArguments {
    /// The set's name in the rule file
    pub name: String,
    /// Take what was fetched last as it is, if it is a list: also one that is empty, has lost most of its entries, or
    /// cuts this machine off from its own network
    #[arg(long)]
    pub take: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Control socket of the service.
    #[command(flatten)]
    pub service: SocketArguments,
}

/// Adds, removes, lists, or has a list fetched.
pub fn set(command: &SetCommand, out: &mut dyn Write) -> Result<u8, Error> {
    match command {
        SetCommand::Add(arguments) => add(arguments, out),
        SetCommand::Remove(arguments) => remove(arguments, out),
        SetCommand::List(arguments) => list(arguments, out),
        SetCommand::Refresh(arguments) => refresh(arguments, out),
    }
}

fn refresh(arguments: &SetRefreshArguments, out: &mut dyn Write) -> Result<u8, Error> {
    let mut client = connect(&arguments.service.socket)?;
    let list = client.refresh_list(&arguments.name, arguments.take)?;
    if arguments.json {
        writeln!(out, "{}", json!(list))?;
        return Ok(0);
    }
    let done = if arguments.take {
        "what was fetched last is taken, if it is a list"
    } else {
        "the list is fetched now"
    };
    writeln!(out, "{done}; `gatebell status` says what became of it")?;
    writeln!(out, "{}", clean(&view::status::subscribed(&list)))?;
    Ok(0)
}

fn add(arguments: &SetAddArguments, out: &mut dyn Write) -> Result<u8, Error> {
    let SetAddArguments { name, time, .. } = arguments;
    let addresses = given(&arguments.addresses)?;
    if addresses.is_empty() {
        return nothing_given();
    }
    let mut client = connect(&arguments.service.socket)?;
    // To read the rules takes a while where their sets are large.
    let network = own_network();
    let matters = addresses
        .iter()
        .any(|address| address.parse().is_ok_and(|it| network.needs(it)));
    let cuts = |client: &mut Client| {
        if matters {
            cut_off(client, &network)
        } else {
            Vec::new()
        }
    };
    let before = cuts(&mut client);
    let done = client.add_to_set(name, &addresses, time.map(|time| time.0))?;
    let after = cuts(&mut client);
    let new = after.into_iter().filter(|found| !before.contains(found));
    warn(new, name);
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

/// Returns warnings of what the rules in force cut this machine off from, joined members included; none if that can't
/// be found out.
fn cut_off(client: &mut Client, network: &OwnNetwork) -> Vec<Finding> {
    let find = |client: &mut Client| {
        let members = client.set_members(None).ok()?;
        let source = text_in_force(client).ok()?;
        let resolver = SystemResolver::beside(&source.place);
        let mut file = RuleFile::parse(&source.name, &source.text, &resolver).ok()?;
        file.join(members).ok()?;
        Some(check::cut_off(&file, network))
    };
    find(client).unwrap_or_default()
}

fn warn(new: impl Iterator<Item = Finding>, set: &str) {
    let warning = style::WARNING;
    let set_word = control::shell_word(set);
    for found in new {
        let found = clean(&found.to_string());
        say(format_args!(
            "{warning}warning:{warning:#} {found}; `gatebell set remove {set_word}` with that address takes it out"
        ));
    }
}

fn remove(arguments: &SetRemoveArguments, out: &mut dyn Write) -> Result<u8, Error> {
    let name = &arguments.name;
    let addresses = given(&arguments.addresses)?;
    if addresses.is_empty() {
        return nothing_given();
    }
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
            .map_or(String::new(), |name| format!(", {}", clean(name)));
        let set = clean(set);
        writeln!(out, "{set:<20} {address:<40} {left}{by}")?;
    }
    if arguments.json {
        return Ok(0);
    }
    if members.is_empty() {
        writeln!(out, "nothing was added, and nothing has joined by a name")?;
    }
    let lists = client.status()?.lists;
    let is_asked =
        |list: &&SubscribedList| arguments.name.as_ref().is_none_or(|name| *name == list.set);
    for list in lists.iter().filter(is_asked) {
        writeln!(out, "{}", clean(&view::status::subscribed(list)))?;
    }
    Ok(0)
}

/// The addresses that are named; of `-` those that standard input has.
/// A list that is empty for once is no fault of who hands it on, as a timer does.
fn nothing_given() -> Result<u8, Error> {
    say(format_args!(
        "standard input has no address: nothing was changed"
    ));
    Ok(0)
}

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
