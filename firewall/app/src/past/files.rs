//! What is shown, in a file of the user's.

use super::PastSeen;
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use view::csv::csv;
use view::history;

/// As what it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A table with names first.
    Csv,
    /// An object a line.
    Json,
}

impl Format {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Csv => "CSV",
            Self::Json => "JSON",
        }
    }

    fn ending(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Json => "json",
        }
    }
}

/// What is to be written.
#[derive(Clone, Debug)]
pub struct Save {
    /// What is shown.
    pub seen: Arc<PastSeen>,
    /// How.
    pub format: Format,
    /// Into which folder.
    pub folder: PathBuf,
}

impl Save {
    /// Into the user's folder for such things.
    pub fn usual(seen: &Arc<PastSeen>, format: Format) -> Self {
        Self {
            seen: seen.clone(),
            format,
            folder: folder(),
        }
    }
}

/// The user's folder for what is downloaded, else their own.
fn folder() -> PathBuf {
    let home = if cfg!(windows) { "USERPROFILE" } else { "HOME" };
    let home = std::env::var_os(home).map_or_else(|| PathBuf::from("."), PathBuf::from);
    let downloads = home.join("Downloads");
    if downloads.is_dir() { downloads } else { home }
}

/// Writes a file that was not there.
///
/// # Errors
/// It can't be written; the text says why.
pub fn write(save: &Save) -> Result<PathBuf, String> {
    for number in 1..10_000 {
        let name = format!("gatebell-history-{number}.{}", save.format.ending());
        let path = save.folder.join(name);
        match create(&path) {
            Ok(mut file) => {
                let written = content(save, &mut file).and_then(|()| file.flush());
                return match written {
                    Ok(()) => Ok(path),
                    Err(error) => Err(cannot(&path, &error)),
                };
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(cannot(&path, &error)),
        }
    }
    Err(format!(
        "{} is full of such files: remove some, then save it again",
        save.folder.display()
    ))
}

fn cannot(path: &Path, error: &io::Error) -> String {
    format!(
        "can't write {}: {error}; make that right, then save it again",
        path.display()
    )
}

/// What it says of a person's programs is theirs alone.
fn create(path: &Path) -> io::Result<BufWriter<std::fs::File>> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(BufWriter::new)
}

/// As `gatebell history` prints it.
fn content(save: &Save, out: &mut dyn Write) -> io::Result<()> {
    let seen = &save.seen;
    let objects: Vec<Value> = match seen.wanted.by {
        Some(by) => history::named(&seen.sums, by),
        // The oldest first.
        None => {
            let mut rows: Vec<_> = seen.shown().map(|row| json!(row)).collect();
            rows.reverse();
            rows
        }
    };
    match save.format {
        Format::Csv => csv(&objects, out),
        Format::Json => objects
            .iter()
            .try_for_each(|object| writeln!(out, "{object}")),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use crate::past::talkers::tests::{curl, ssh};
    use crate::past::{Model, Past, Wanted, now};
    use std::time::UNIX_EPOCH;

    #[test]
    fn what_is_shown_is_written_as_csv_and_json_into_a_file_that_was_not_there() {
        let past = Past::default();
        let mut service = Model {
            rows: vec![curl(now() - 9), ssh(now() - 3)],
            ..Model::default()
        };
        past.want(Some(&Wanted::default()));
        past.turn(&mut service);
        let seen = past.look().seen().unwrap().clone().unwrap();
        let unique = std::time::SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap();
        let folder = std::env::temp_dir().join(format!("gatebell-saved-{}", unique.as_nanos()));
        std::fs::create_dir(&folder).unwrap();
        let save = |format| {
            past.save(Save {
                seen: seen.clone(),
                format,
                folder: folder.clone(),
            });
            assert!(past.turn(&mut Model::default()));
            past.look().saved().unwrap().clone()
        };
        let csv = std::fs::read_to_string(save(Format::Csv).unwrap()).unwrap();
        let lines: Vec<_> = csv.lines().collect();
        assert_eq!(lines.len(), 3, "{csv}");
        assert!(lines[1].contains("/usr/bin/curl") && lines[2].contains("/usr/sbin/sshd"));
        let other = save(Format::Csv).unwrap();
        assert!(other.ends_with("gatebell-history-2.csv"), "{other:?}");
        let json = std::fs::read_to_string(save(Format::Json).unwrap()).unwrap();
        let first: Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
        assert_eq!(first["name"], "example.org");
        std::fs::remove_dir_all(&folder).unwrap();
        let why = save(Format::Csv).unwrap_err();
        assert!(why.contains("save it again"), "{why}");
    }
}
