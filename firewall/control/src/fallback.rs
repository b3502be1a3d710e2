//! Word that the service leaves where no driver judges.

use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// Name of the nftables table, of the family inet, that judges where no driver can.
pub const FALLBACK_TABLE: &str = "gatebell_fallback";
/// Name of the file in the service's folder that says that no driver judges.
pub const FALLBACK_FILE: &str = "fallback.json";

/// State without a driver: what judges in its place, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fallback {
    /// Network namespace that the table is in, or `None` if it is the one in which the service is started.
    pub netns: Option<PathBuf>,
    /// `true` if the table is in force.
    pub in_force: bool,
    /// Description of what judges in the driver's place, or that nothing does; and what to do.
    pub judges: String,
    /// Reason for which no driver judges.
    pub cause: String,
}

impl Fallback {
    /// Reads what the service has left in its folder, or returns `None` if a driver judges, or the service never tried
    /// to load one.
    #[must_use]
    pub fn read(folder: &Path) -> Option<Self> {
        let text = fs::read_to_string(folder.join(FALLBACK_FILE)).ok()?;
        serde_json::from_str(&text).ok()
    }
}
