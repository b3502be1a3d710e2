//! Message for a driver that the kernel refuses: its verifier explains itself in up to thousands of lines, of which the
//! last say why.

use anyhow::Error;
use aya::programs::ProgramError;
use std::error::Error as StdError;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Number of the verifier's last lines that are shown; all of them are kept.
const LINES: usize = 20;
/// Name of the file for the verifier's whole log, in the service's folder.
pub const KEPT: &str = "verifier.log";

/// Describes for people why the service failed. The verifier's whole log goes into a file in `folder`.
pub fn said(failed: &Error, folder: &Path) -> String {
    let mut causes = Vec::new();
    for cause in failed.chain() {
        if let Some((error, log)) = refused(cause) {
            causes.push(error.to_string());
            return format!(
                "{}. {}",
                causes.join(": "),
                in_short(&log, keep(&log, folder))
            );
        }
        causes.push(cause.to_string());
    }
    format!("{failed:#}")
}

/// Returns the kernel's error and the verifier's log, if this is how the kernel refused a program.
fn refused<'a>(cause: &'a (dyn StdError + 'static)) -> Option<(&'a io::Error, String)> {
    let error = cause.downcast_ref::<ProgramError>();
    // The device server's error has it in a box.
    let error = error.or_else(|| cause.downcast_ref::<Box<ProgramError>>().map(AsRef::as_ref))?;
    match error {
        ProgramError::LoadError {
            io_error,
            verifier_log,
        } => Some((io_error, verifier_log.to_string())),
        _ => None,
    }
}

fn keep(log: &str, folder: &Path) -> io::Result<PathBuf> {
    let path = folder.join(KEPT);
    fs::create_dir_all(folder)?;
    fs::write(&path, log)?;
    Ok(path)
}

fn in_short(log: &str, kept: io::Result<PathBuf>) -> String {
    let lines: Vec<_> = log.trim_end().lines().collect();
    let last = &lines[lines.len().saturating_sub(LINES)..];
    let rest = match kept {
        Ok(path) => format!("all {} are in {}", lines.len(), path.display()),
        Err(cause) => format!("all {} could not be kept: {cause}", lines.len()),
    };
    format!(
        "The last lines of its verifier ({rest}):\n{}",
        last.join("\n")
    )
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use anyhow::Context;
    use aya_obj::VerifierLog;

    fn refusal() -> ProgramError {
        let log = (1..=3000).map(|n| format!("line {n}\n")).collect();
        let io_error = io::Error::from_raw_os_error(13);
        ProgramError::LoadError {
            io_error,
            verifier_log: VerifierLog::new(log),
        }
    }

    #[test]
    fn of_a_long_verifier_log_the_last_lines_are_said_and_all_are_kept() {
        let own = tempfile::tempdir().unwrap();
        let folder = own.path().join("state");
        let boxed = Err::<(), _>(Box::new(refusal()))
            .context("the device server")
            .unwrap_err();
        for failed in [Error::new(refusal()).context("the program x"), boxed] {
            let said = said(&failed, &folder);
            assert!(
                said.contains("Permission denied (os error 13). The last lines"),
                "{said}"
            );
            assert!(
                said.contains(&format!("all 3000 are in {}", folder.join(KEPT).display())),
                "{said}"
            );
            assert!(said.ends_with("line 2999\nline 3000"), "{said}");
            assert_eq!(said.lines().count(), 1 + LINES, "{said}");
            let kept = fs::read_to_string(folder.join(KEPT)).unwrap();
            assert!(kept.starts_with("line 1\nline 2\n") && kept.ends_with("line 3000\n"));
            fs::remove_dir_all(&folder).unwrap();
        }
    }

    #[test]
    fn other_failures_are_said_whole() {
        let failed =
            anyhow::anyhow!("{}", "wrong\n".repeat(100)).context("the rule file is no good");
        assert_eq!(
            said(&failed, Path::new("/nonexistent")),
            format!("{failed:#}")
        );
    }
}
