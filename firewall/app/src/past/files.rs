//! Files of the user's into which what is shown is written.

use super::PastSeen;
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;
use view::csv::{Csv, csv};
use view::entry::{Entry, titles};
use view::texts::{Language, speaking};
use view::{history, json, text};

/// Format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Table of comma-separated values, with the names first.
    Csv,
    /// JSON objects, one a line.
    Json,
}

impl Format {
    /// Returns the format's name.
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

/// Content of a file.
#[derive(Clone, Debug)]
pub enum Content {
    /// History that is shown.
    Past(Arc<PastSeen>),
    /// Entries as they are shown, the oldest first.
    Entries(Entries),
}

/// Entries that are shown, the oldest first. They are asked for some at a time: a million of them is never there twice.
#[derive(Clone)]
pub struct Entries {
    until: u64,
    from: Arc<FromNumber>,
}

/// Function that returns so many entries from this number on, with their numbers.
type FromNumber = dyn Fn(u64, usize) -> Vec<(u64, Entry)> + Send + Sync;

/// Number of entries that are asked for at a time.
const AT_A_TIME: usize = 1_000;

impl Entries {
    /// Returns the entries before this number, as `from` returns them.
    pub fn new(
        until: u64,
        from: impl Fn(u64, usize) -> Vec<(u64, Entry)> + Send + Sync + 'static,
    ) -> Self {
        let from = Arc::new(from);
        Self { until, from }
    }

    /// Writes the entries as these objects.
    fn write(
        &self,
        object: impl Fn(&Entry) -> Value,
        mut write: impl FnMut(&[Value]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut next = 0;
        loop {
            let some = (self.from)(next, AT_A_TIME);
            let before_the_end = some.iter().filter(|(number, _)| *number < self.until);
            let objects: Vec<_> = before_the_end.map(|(_, entry)| object(entry)).collect();
            let Some((last, _)) = some.last().filter(|_| !objects.is_empty()) else {
                return Ok(());
            };
            next = last + 1;
            write(&objects)?;
        }
    }
}

impl std::fmt::Debug for Entries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Entries(until {})", self.until)
    }
}

/// File that is to be written.
#[derive(Clone, Debug)]
pub struct Save {
    /// Content of the file.
    pub content: Content,
    /// Format of the file.
    pub format: Format,
    /// Folder of the file.
    pub folder: PathBuf,
}

impl Save {
    /// Saves into the user's folder for such things.
    pub fn usual(content: Content, format: Format) -> Self {
        Self {
            content,
            format,
            folder: folder(),
        }
    }
}

/// Returns the user's folder for what is downloaded, else their own.
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
    let what = match save.content {
        Content::Past(_) => "history",
        Content::Entries(_) => "live",
    };
    for number in 1..10_000 {
        let name = format!("gatebell-{what}-{number}.{}", save.format.ending());
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
    let folder = save.folder.display().to_string();
    Err(text!("save-full", folder = folder))
}

fn cannot(path: &Path, error: &io::Error) -> String {
    text!(
        "save-cannot",
        file = path.display().to_string(),
        why = error.to_string(),
    )
}

/// Creates a file that the user alone may read: what it says of a person's programs is theirs alone.
fn create(path: &Path) -> io::Result<BufWriter<std::fs::File>> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(BufWriter::new)
}

fn content(save: &Save, out: &mut dyn Write) -> io::Result<()> {
    // Programs read it, and people who compare it with another's.
    let _as_on_the_command_line = speaking(Language::English);
    match (&save.content, save.format) {
        (Content::Past(seen), Format::Csv) => csv(&of_the_past(seen), out),
        (Content::Past(seen), Format::Json) => lines(&of_the_past(seen), out),
        (Content::Entries(entries), Format::Csv) => {
            let mut table = Csv::default();
            entries.write(cells, |objects| table.add(objects, out))
        }
        (Content::Entries(entries), Format::Json) => {
            entries.write(json::entry, |objects| lines(objects, out))
        }
    }
}

fn lines(objects: &[Value], out: &mut dyn Write) -> io::Result<()> {
    objects
        .iter()
        .try_for_each(|object| writeln!(out, "{object}"))
}

/// Returns the history as `gatebell history` prints it.
fn of_the_past(seen: &PastSeen) -> Vec<Value> {
    match seen.wanted.by {
        Some(by) => history::named(&seen.sums, by),
        // The oldest first.
        None => {
            let mut rows: Vec<_> = seen.shown().map(|row| json!(row)).collect();
            rows.reverse();
            rows
        }
    }
}

/// Returns the cells of an entry, under the names of the columns, and the moment as a number.
fn cells(entry: &Entry) -> Value {
    let named = titles().into_iter().zip(entry.cells());
    let fields = named.map(|(name, cell)| (name.to_lowercase(), json!(cell)));
    let mut object: Value = fields.collect::<serde_json::Map<_, _>>().into();
    let at = entry.at.duration_since(UNIX_EPOCH).unwrap_or_default();
    object["seconds"] = json!(at.as_secs_f64());
    object
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use crate::past::talkers::tests::{curl, ssh};
    use crate::past::{Past, PastModel, Wanted, now};
    use view::example::{Named, packet};

    #[test]
    fn what_is_shown_is_written_as_csv_and_json_into_a_file_that_was_not_there() {
        let past = Past::default();
        let mut service = PastModel {
            rows: vec![curl(now() - 9), ssh(now() - 3)],
            ..PastModel::default()
        };
        past.want(Some(&Wanted::default()));
        past.turn(&mut service);
        let seen = past.look().seen().unwrap().clone().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let save = |content: &Content, format| {
            past.save(Save {
                content: content.clone(),
                format,
                folder: folder.path().to_owned(),
            });
            assert!(past.turn(&mut PastModel::default()));
            past.look().saved().unwrap().clone()
        };
        let kept = Content::Past(seen);
        let csv = std::fs::read_to_string(save(&kept, Format::Csv).unwrap()).unwrap();
        let lines: Vec<_> = csv.lines().collect();
        assert_eq!(lines.len(), 3, "{csv}");
        assert!(lines[1].contains("/usr/bin/curl") && lines[2].contains("/usr/sbin/sshd"));
        let other = save(&kept, Format::Csv).unwrap();
        assert!(other.ends_with("gatebell-history-2.csv"), "{other:?}");
        let json = std::fs::read_to_string(save(&kept, Format::Json).unwrap()).unwrap();
        let first: Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
        assert_eq!(first["name"], "example.org");
        let packet = Entry::from_packet(UNIX_EPOCH, &packet(), &mut Named).unwrap();
        let all: Vec<_> = (0..2_500).map(|number| (number, packet.clone())).collect();
        let live = Content::Entries(Entries::new(2_400, move |from, most| {
            let from = usize::try_from(from).unwrap();
            all.iter().skip(from).take(most).cloned().collect()
        }));
        let path = save(&live, Format::Csv).unwrap();
        assert!(path.ends_with("gatebell-live-1.csv"), "{path:?}");
        let csv = std::fs::read_to_string(path).unwrap();
        assert!(csv.contains("no-telnet (line 13)"));
        assert_eq!(csv.lines().count(), 2_401, "the names once");
        let json = std::fs::read_to_string(save(&live, Format::Json).unwrap()).unwrap();
        assert_eq!(json.lines().count(), 2_400);
        let first: Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
        assert_eq!(
            (&first["kind"], &first["destination_port"]),
            (&json!("packet"), &json!(23))
        );
        std::fs::remove_dir_all(folder.path()).unwrap();
        let why = save(&kept, Format::Csv).unwrap_err();
        assert!(why.contains("save it again"), "{why}");
    }
}
