//! `gatebell status`: how the firewall is.

use super::connect;
use crate::Error;
use crate::arguments::AskArguments;
use crate::style;
use control::Status;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};
use view::status;

/// Says how the firewall is; 1 if something is not as it should be.
pub fn status(arguments: &AskArguments, out: &mut dyn Write) -> Result<u8, Error> {
    let status = connect(&arguments.socket)?.status()?;
    if arguments.json {
        writeln!(out, "{}", serde_json::json!(status))?;
    } else {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        print(&status, now, out)?;
    }
    Ok(u8::from(!status.trouble.is_empty()))
}

fn print(status: &Status, now: u64, out: &mut dyn Write) -> Result<(), Error> {
    let title = status::title(status, now);
    let (service, rest) = title.split_once(',').unwrap_or((&title, ""));
    let strong = style::STRONG;
    writeln!(out, "{strong}{service}{strong:#},{rest}")?;
    let faint = style::FAINT;
    for (what, text) in status::lines(status) {
        writeln!(out, "{faint}{what:<10}{faint:#} {text}")?;
    }
    let warning = style::WARNING;
    for trouble in &status.trouble {
        writeln!(out, "{warning}trouble{warning:#}    {trouble}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

    use super::*;

    #[test]
    fn each_line_has_its_name_and_trouble_is_said_last_with_what_to_do() {
        let mut shown = Vec::new();
        print(&view::example::status(), 1090, &mut shown).unwrap();
        let shown = anstream::adapter::strip_str(&String::from_utf8(shown).unwrap()).to_string();
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(
            lines[..2],
            [
                "gatebelld 1.2.3, process 77, for 90 s; contract 2",
                "rules      generation 4: 12 rules of /etc/gatebell/rules.toml"
            ]
        );
        assert_eq!(
            lines.last(),
            Some(&"trouble    the disk is full; make room")
        );
    }
}
