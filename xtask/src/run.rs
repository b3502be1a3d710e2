//! The main job: the firewall on real input.

use anyhow::{Result, bail};

/// What `cargo xtask run` can be told.
#[derive(clap::Args)]
pub struct Arguments {
    /// End after this long, for instance 20s; otherwise at Ctrl-C
    #[arg(long = "for", value_name = "TIME")]
    duration: Option<String>,
    /// One JSON object per record, and the account as the last one
    #[arg(long)]
    json: bool,
}

/// Runs the main job and returns its exit code.
pub fn run(arguments: &Arguments) -> Result<i32> {
    let Arguments { duration: _, json: _ } = arguments;
    bail!("there is no firewall to run yet")
}
