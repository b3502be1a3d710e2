//! Time to put large rule files in force, from the request to the answer: read, parsed, compiled, published.

use super::Setting;
use crate::book::Book;
use crate::gatebell::Gatebell;
use crate::ruleset::{Listed, Ordered, refuse};
use anyhow::Result;

/// Measures both files.
pub fn measure(setting: &Setting<'_>, book: &mut Book) -> Result<()> {
    let mut gatebell = Gatebell::start(setting.programs, setting.ground, &refuse(true))?;
    match ordered(setting, &mut gatebell) {
        Ok(seconds) => book.put("rules_10000", &seconds),
        Err(why) => book.cannot("rules_10000", format!("{why:#}")),
    }
    match set(setting, &mut gatebell) {
        Ok(seconds) => book.put("rules_set", &seconds),
        Err(why) => book.cannot("rules_set", format!("{why:#}")),
    }
    Ok(())
}

fn ordered(setting: &Setting<'_>, gatebell: &mut Gatebell) -> Result<Vec<f64>> {
    let rules = Ordered::of(10_000).toml;
    let mut seconds = Vec::new();
    for _ in 0..setting.choose(5, 2) {
        seconds.push(gatebell.publish(&rules)?.as_secs_f64());
        gatebell.publish(&refuse(true))?;
    }
    Ok(seconds)
}

/// Another list each time: one that is there already would be used again.
fn set(setting: &Setting<'_>, gatebell: &mut Gatebell) -> Result<Vec<f64>> {
    let mut seconds = Vec::new();
    for round in 0..setting.choose(3, 2) {
        let file = setting.ground.lab.folder().join("many.txt");
        std::fs::write(&file, Listed::of(1_000_000, true, 100 + round).list)?;
        seconds.push(
            gatebell
                .publish(&Listed::rules("@many", Some(&file)))?
                .as_secs_f64(),
        );
        gatebell.publish(&refuse(true))?;
    }
    Ok(seconds)
}
