//! `gatebell recover`: takes everything out of the kernel, from any state.

use crate::Error;
use crate::arguments::RecoverArguments;
use crate::style;
use service::Places;
use std::io::Write;

/// Takes everything out, and says what was there.
pub fn recover(arguments: &RecoverArguments, out: &mut dyn Write) -> Result<u8, Error> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Error::NotRoot);
    }
    let RecoverArguments {
        state,
        pins,
        device,
        socket,
        netns,
        json,
    } = arguments;
    let (state, pins, netns) = (state.clone(), pins.clone(), netns.clone());
    let places = Places {
        state,
        pins,
        sockets: vec![device.clone(), socket.clone()],
        netns,
    };
    let taken = service::recover(&places).map_err(Error::Recover)?;
    if *json {
        writeln!(out, "{}", serde_json::json!({ "recovered": taken }))?;
        return Ok(0);
    }
    for what in &taken {
        writeln!(out, "taken out: {what}")?;
    }
    let strong = style::STRONG;
    if taken.is_empty() {
        writeln!(out, "{strong}Nothing of Gatebell was there.{strong:#}")?;
    } else {
        writeln!(
            out,
            "{strong}Nothing is filtered any more.{strong:#} `sudo systemctl start gatebell` protects again; look at the \
             rules first: gatebell rules check /etc/gatebell/rules.toml"
        )?;
    }
    Ok(0)
}
