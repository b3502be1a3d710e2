//! Wine prefixes that were left behind by a test that was killed: its clean-up did not get to run.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::place;

/// Ends what runs in prefixes whose makers are gone, and removes them.
pub fn sweep() {
    let Ok(folder) = place::wine().read_dir() else {
        return;
    };
    for entry in folder.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if maker(&name).is_some_and(|maker| !Path::new("/proc").join(maker).exists()) {
            end(&entry.path());
        }
    }
}

/// The process in a prefix's name: `machine-PROCESS-NUMBER`.
fn maker(name: &str) -> Option<&str> {
    let (process, _) = name.strip_prefix("machine-")?.split_once('-')?;
    process
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then_some(process)
}

fn end(prefix: &Path) {
    let mut server = Command::new("wineserver");
    server
        .env("WINEPREFIX", prefix)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // Told to end, then waited for; where Wine is gone too, there is nothing to end.
    let _ = server
        .arg("-k")
        .status()
        .and_then(|_| server.arg("-w").status());
    let _ = fs::remove_dir_all(prefix);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_prefix_of_the_tests_names_its_maker() {
        assert_eq!(maker("machine-12-0"), Some("12"));
        assert_eq!(maker("machine-x-0"), None);
        assert_eq!(maker("promises.exe"), None);
    }
}
