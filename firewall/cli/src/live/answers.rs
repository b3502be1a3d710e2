//! `gatebell answers`: the answers that hold, and taking them back.

use super::connect;
use crate::Error;
use crate::arguments::SocketArguments;
use crate::style;
use clap::{Args, Subcommand, ValueHint};
use control::{Client, Forgotten, HeldAnswer};
use firewall_abi::packet::Verdict;
use serde_json::json;
use std::io::Write;
use view::answer;
use view::time::day_and_time;

/// Text below the command's help.
pub const HELP: &str = "\
Examples:
  gatebell answers                                   those that hold, one a line
  gatebell answers --json
  gatebell answers forget 3f2a91c0                   this one, by the name that stands first in its line
  gatebell answers forget --program /usr/bin/curl
  sudo gatebell answers forget --all

Exit codes:
  0  it is as you asked, also if there is none
  1  no such answer holds, or you may not take it back, and nothing was changed; or there is no service
  2  the command line is wrong";

/// `gatebell answers`.
#[derive(Debug, Args)]
pub struct AnswersArguments {
    /// Subcommand to run, or `None` to show the answers.
    #[command(subcommand)]
    pub command: Option<AnswersCommand>,
    /// Print one JSON object for each answer
    #[arg(long)]
    pub json: bool,
    /// Control socket of the service.
    #[command(flatten)]
    pub service: SocketArguments,
}

/// Commands for answers that hold.
#[derive(Debug, Subcommand)]
pub enum AnswersCommand {
    /// Take answers back: what they were about is asked about again, and what they had allowed is judged again
    #[command(after_help = HELP)]
    Forget(ForgetArguments),
}

/// `gatebell answers forget`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["answers", "program", "all"]))]
pub struct ForgetArguments {
    /// These: what stands first in their lines, or as much of it as no other answer begins with
    #[arg(value_name = "WHICH")]
    pub answers: Vec<String>,
    /// All about this program, by its path
    #[arg(long, value_name = "PATH", value_hint = ValueHint::ExecutablePath)]
    pub program: Option<String>,
    /// All
    #[arg(long)]
    pub all: bool,
    /// Also those about programs of others; who is not root needs permission for it, and names answers in full
    #[arg(long)]
    pub everybody: bool,
    /// Print one JSON object for each answer
    #[arg(long)]
    pub json: bool,
    /// Control socket of the service.
    #[command(flatten)]
    pub service: SocketArguments,
}

/// Length of an answer's whole name, in characters.
const WHOLE: usize = 16;

/// Shows them, or takes some back.
pub fn answers(arguments: &AnswersArguments, out: &mut dyn Write) -> Result<u8, Error> {
    match &arguments.command {
        None => {
            let held = connect(&arguments.service.socket)?.answers()?;
            list(&held, arguments.json, out)?;
            if held.is_empty() && !arguments.json {
                writeln!(out, "no answer holds")?;
            }
        }
        Some(AnswersCommand::Forget(arguments)) => forget(arguments, out)?,
    }
    Ok(0)
}

fn forget(arguments: &ForgetArguments, out: &mut dyn Write) -> Result<(), Error> {
    let mut client = connect(&arguments.service.socket)?;
    let which = match &arguments.program {
        Some(path) => Forgotten::Program(path.clone()),
        None if arguments.all => Forgotten::All,
        None => Forgotten::Those(whole(&arguments.answers, &mut client)?),
    };
    let forgotten = client.forget_answers(&which, arguments.everybody)?;
    list(&forgotten, arguments.json, out)?;
    if !arguments.json {
        let many = match forgotten.len() {
            0 => "no answer held".to_owned(),
            1 => "taken back: it is asked about again".to_owned(),
            many => format!("{many} taken back: they are asked about again"),
        };
        writeln!(out, "{many}")?;
    }
    Ok(())
}

/// The whole names of those that begin so.
fn whole(beginnings: &[String], client: &mut Client) -> Result<Vec<String>, Error> {
    if beginnings.iter().all(|which| which.len() == WHOLE) {
        return Ok(beginnings.to_vec());
    }
    let held = client.answers()?;
    let each = beginnings
        .iter()
        .map(|which| begins_so(which, &held).map(str::to_owned));
    each.collect()
}

/// The only one of these that begins so.
fn begins_so<'a>(which: &str, held: &'a [HeldAnswer]) -> Result<&'a str, Error> {
    let mut found = held.iter().filter(|held| held.id.starts_with(which));
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(&one.id),
        (one, _) => Err(Error::WhichAnswer {
            which: which.to_owned(),
            several: one.is_some(),
        }),
    }
}

fn list(held: &[HeldAnswer], json: bool, out: &mut dyn Write) -> Result<(), Error> {
    for one in held {
        if json {
            writeln!(out, "{}", json!(one))?;
        } else {
            show(one, out)?;
        }
    }
    Ok(())
}

fn show(one: &HeldAnswer, out: &mut dyn Write) -> Result<(), Error> {
    let (strong, faint) = (style::STRONG, style::FAINT);
    let verdict = if one.verdict == Verdict::Allow.name() {
        Verdict::Allow
    } else {
        Verdict::Block
    };
    let colour = style::verdict(verdict);
    writeln!(
        out,
        "{strong}{}{strong:#}  {colour}{}{colour:#} {}",
        answer::short_id(one),
        verdict.name(),
        answer::sentence(one)
    )?;
    let at = one
        .at
        .map_or(String::new(), |at| format!(", {}", day_and_time(at)));
    let (lasts, by) = (answer::lasts(one), answer::by(one));
    writeln!(out, "{faint}   {lasts}; {by}{at}{faint:#}")?;
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    fn held(id: &str) -> HeldAnswer {
        let answer = json!({
            "id": id, "verdict": "allow", "unanswered": false, "width": "anywhere", "lasts": "always", "direction": "out",
            "name": "", "pid": 0, "in_force": true
        });
        serde_json::from_value(answer).unwrap()
    }

    #[test]
    fn an_answer_is_named_by_as_much_as_no_other_begins_with() {
        let all = [held("3f2a91c000000000"), held("3f2b000000000000")];
        assert_eq!(begins_so("3f2a", &all).unwrap(), "3f2a91c000000000");
        assert_eq!(begins_so(&all[1].id, &all).unwrap(), all[1].id);
        for (which, why) in [("3f2", "several"), ("", "several"), ("4", "no answer")] {
            let said = begins_so(which, &all).unwrap_err().to_string();
            assert!(said.contains(why), "{said}");
        }
    }
}
