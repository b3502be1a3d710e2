//! `gatebell status`: how the firewall is.

use super::connect;
use crate::Error;
use crate::arguments::AskArguments;
use crate::style;
use control::{Fallback, Stats, Status};
use rules::{clean, clean_lines};
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};
use view::status;

/// Text below the command's help.
pub const HELP: &str = "\
Exit codes:
  0  all is well
  1  something is not: the service does not run, or says what troubles it
  2  the command line is wrong";

/// Says how the firewall is; 1 if something is not as it should be.
pub fn status(arguments: &AskArguments, out: &mut dyn Write) -> Result<u8, Error> {
    let (status, mut service) = match connect(&arguments.socket) {
        Ok(mut service) => (service.status()?, service),
        Err(none) => {
            let folder = arguments.socket.parent();
            let Some(fallback) = folder.and_then(Fallback::read) else {
                return Err(none);
            };
            print_fallback(&fallback, arguments.json, out)?;
            return Ok(1);
        }
    };
    if arguments.json {
        writeln!(out, "{}", serde_json::json!(status))?;
    } else {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        // Where the counters can't be had, it is all the more of use what is wrong.
        let stats = service.stats().ok();
        print(&status, stats.as_ref(), now, out)?;
    }
    Ok(u8::from(!status.trouble.is_empty()))
}

/// No service lives, and the last one that was started could not load a driver.
fn print_fallback(fallback: &Fallback, as_json: bool, out: &mut dyn Write) -> Result<(), Error> {
    let Fallback { judges, cause, .. } = fallback;
    if as_json {
        let trouble = [judges, cause];
        writeln!(out, "{}", serde_json::json!({ "trouble": trouble }))?;
        return Ok(());
    }
    let error = style::ERROR;
    writeln!(
        out,
        "{error}gatebelld does not run{error:#}: {}",
        clean(judges)
    )?;
    writeln!(out, "{error}why{error:#}        {}", clean_lines(cause))?;
    Ok(())
}

fn print(
    status: &Status,
    stats: Option<&Stats>,
    now: u64,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let title = clean(&status::title(status, now));
    let (service, rest) = title.split_once(',').unwrap_or((&title, ""));
    let strong = style::STRONG;
    writeln!(out, "{strong}{service}{strong:#},{rest}")?;
    let faint = style::FAINT;
    let lines = status::lines(status);
    for (what, text) in lines.into_iter().chain(stats.map(status::judged)) {
        writeln!(out, "{faint}{what:<10}{faint:#} {}", clean(&text))?;
    }
    let warning = style::WARNING;
    for trouble in view::trouble::troubles(status) {
        let trouble = clean_lines(&trouble);
        writeln!(out, "{warning}trouble{warning:#}    {trouble}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

    use super::*;

    #[test]
    fn without_a_service_it_is_said_what_judges_and_that_is_trouble() {
        let own = tempfile::tempdir().unwrap();
        let folder = own.path();
        let ask = |json| AskArguments {
            socket: folder.join("gatebell.sock"),
            json,
        };
        assert!(status(&ask(false), &mut Vec::new()).is_err());
        let fallback = Fallback {
            netns: None,
            in_force: true,
            judges: "nftables does; restart it".to_owned(),
            cause: "the driver is broken:\nline 2".to_owned(),
        };
        let text = serde_json::to_vec(&fallback).unwrap();
        std::fs::write(folder.join(control::FALLBACK_FILE), text).unwrap();
        let said = |json| {
            let mut shown = Vec::new();
            assert_eq!(status(&ask(json), &mut shown).unwrap(), 1);
            anstream::adapter::strip_str(&String::from_utf8(shown).unwrap()).to_string()
        };
        let lines = "gatebelld does not run: nftables does; restart it\nwhy        the driver is broken:\nline 2\n";
        assert_eq!(said(false), lines);
        let object: serde_json::Value = serde_json::from_str(&said(true)).unwrap();
        assert_eq!(object["trouble"][0], "nftables does; restart it");
    }

    #[test]
    fn each_line_has_its_name_and_trouble_is_said_last_with_what_to_do() {
        let mut shown = Vec::new();
        let stats = Stats {
            left_in: 3,
            ..Stats::default()
        };
        print(&view::example::status(), Some(&stats), 1090, &mut shown).unwrap();
        let shown = anstream::adapter::strip_str(&String::from_utf8(shown).unwrap()).to_string();
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(
            lines[..2],
            [
                "gatebelld 1.2.3, process 77, for 90 s; contract 2",
                "rules      generation 4: 12 rules of /etc/gatebell/rules.toml"
            ]
        );
        let judged =
            "packets    in 3 = 0 allowed + 0 refused + 3 left to who gets them, and nobody did; ";
        assert!(
            lines.iter().any(|line| line.starts_with(judged)),
            "{lines:?}"
        );
        assert_eq!(
            lines.last(),
            Some(&"trouble    the disk is full; make room")
        );
    }
}
