//! What the service leaves word of where no driver judges.

use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// The table of nftables, of the family inet, that judges where no driver can.
pub const FALLBACK_TABLE: &str = "gatebell_fallback";
/// The file in the service's folder that says so.
pub const FALLBACK_FILE: &str = "fallback.json";

/// No driver judges: what does, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fallback {
    /// The network namespace that the table is in; none: the one in which the service is started.
    pub netns: Option<PathBuf>,
    /// Whether the table is in force.
    pub in_force: bool,
    /// What judges in the driver's place, or that nothing does; and what to do.
    pub judges: String,
    /// Why no driver does.
    pub cause: String,
}

impl Fallback {
    /// What the service has left in its folder; none: a driver judges, or the service never tried to load one.
    #[must_use]
    pub fn read(folder: &Path) -> Option<Self> {
        let text = fs::read_to_string(folder.join(FALLBACK_FILE)).ok()?;
        serde_json::from_str(&text).ok()
    }
}
