//! Database file: opens it, and writes, adds up and forgets its rows.

mod aging;
mod programs;
mod writing;

use crate::Conversation;
use firewall_abi::packet::Direction;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use std::{fmt, fs, io};

/// Name of the database file in its folder. Beside it SQLite keeps its write-ahead log.
pub const FILE: &str = "history.db";
/// Name of a broken file that was put aside.
const ASIDE: &str = "history.db.broken";
/// Endings of SQLite's files beside the database: the write-ahead log, and its shared memory.
const AHEAD: &str = "-wal";
const SHARED: &str = "-shm";
/// Marks of a file that is ours: the application ID "GBHI", and the version of its tables.
const APPLICATION: i64 = 0x4742_4849;
const TABLES: i64 = 1;
/// Time for which another program that holds the file, such as `sqlite3`, is waited for.
const PATIENCE: Duration = Duration::from_millis(500);
/// Size of a page of SQLite's, in bytes.
const PAGE: u64 = 4096;

const CREATE: &str = "
CREATE TABLE seen (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    span INTEGER NOT NULL, start INTEGER NOT NULL, others INTEGER NOT NULL,
    direction INTEGER NOT NULL, verdict INTEGER NOT NULL, reason INTEGER NOT NULL, protocol INTEGER NOT NULL,
    remote BLOB, source BLOB, port INTEGER, program TEXT, process TEXT NOT NULL, user INTEGER, rule TEXT, name TEXT,
    count INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    packets_sent INTEGER NOT NULL, bytes_sent INTEGER NOT NULL,
    packets_received INTEGER NOT NULL, bytes_received INTEGER NOT NULL
) STRICT;
CREATE INDEX seen_span ON seen (span, start);
CREATE INDEX seen_user ON seen (user);
CREATE TABLE turns (turn INTEGER NOT NULL) STRICT;
INSERT INTO turns VALUES (0);
";

/// Statement that adds a later column, in a way that changes nothing that an earlier release asks for.
const ADD_CONTACT: &str = "ALTER TABLE seen ADD COLUMN contact INTEGER NOT NULL DEFAULT 0";

const ADD_PROGRAMS: &str = "
CREATE TABLE IF NOT EXISTS programs (
    program TEXT NOT NULL, user INTEGER NOT NULL, device INTEGER NOT NULL, inode INTEGER NOT NULL,
    size INTEGER, changed INTEGER, last INTEGER NOT NULL, PRIMARY KEY (program, user, device, inode)
) STRICT, WITHOUT ROWID";

/// Statement that adds an index by time, so that reading recent rows and finding the oldest is fast. Without it all is
/// as right, and slower.
const ADD_LAST: &str = "CREATE INDEX IF NOT EXISTS seen_last ON seen (last)";

/// Bounds of a database, in time and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Age, in days, after which rows are forgotten.
    pub days: u32,
    /// Highest size of the file, in bytes. The oldest rows go first, of this machine's own programs or of others,
    /// whichever have more.
    pub bytes: u64,
}

/// Result of opening a database.
#[derive(Debug)]
pub struct Opened {
    /// Database that was opened.
    pub database: Database,
    /// Path of the unusable file that stood in its place and was put aside, and the reason; `None` if there was none.
    pub put_aside: Option<(PathBuf, String)>,
}

/// Error of reading or writing the database.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failed {
    /// The file is broken, or is no such database: it is to be put aside, which [`Database::open`] does.
    Broken(String),
    /// The system refuses: the disk is full, or the folder is gone.
    System(String),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(why) => write!(f, "the file is broken: {why}"),
            Self::System(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Failed {}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Broken(error.to_string())
            }
            // A table or a column that is not there: somebody else's file.
            Some(ErrorCode::Unknown) => Self::Broken(error.to_string()),
            _ => Self::System(error.to_string()),
        }
    }
}

/// Key of a row: the beginning of its minute, in seconds since 1970, and its conversation.
type Minute = (u64, Conversation);

/// An open database.
#[derive(Debug)]
pub struct Database {
    connection: Connection,
    bounds: Bounds,
    /// IDs of the rows of the present minutes.
    row_ids: HashMap<Minute, i64>,
}

impl Database {
    /// Opens the database in this folder, or creates it. A file that can't be used is put aside, in place of one that
    /// was put aside before.
    ///
    /// # Errors
    /// Fails if the system refuses.
    pub fn open(folder: &Path, bounds: Bounds) -> Result<Opened, Failed> {
        let path = folder.join(FILE);
        match Self::open_file(&path, bounds) {
            Ok(database) => Ok(Opened {
                database,
                put_aside: None,
            }),
            Err(Failed::Broken(why)) => {
                let aside = put_aside(folder).map_err(|error| {
                    Failed::System(format!("{why}, and can't be put aside: {error}"))
                })?;
                Ok(Opened {
                    database: Self::open_file(&path, bounds)?,
                    put_aside: Some((aside, why)),
                })
            }
            Err(other) => Err(other),
        }
    }

    fn open_file(path: &Path, bounds: Bounds) -> Result<Self, Failed> {
        let connection = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_WRITE
                | OpenFlags::SQLITE_OPEN_CREATE
                | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        connection.busy_timeout(PATIENCE)?;
        // Until it is known to be whole, nothing is written into it as it is closed.
        leave_as_it_is(&connection, true)?;
        let _mode: String =
            connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        // A process that is killed loses nothing of what was committed;
        // a machine that loses its power the last seconds.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "journal_size_limit", 1 << 20)?;
        let number = |pragma: &str| connection.pragma_query_value(None, pragma, |row| row.get(0));
        let (application, tables): (i64, i64) =
            (number("application_id")?, number("user_version")?);
        let is_new: bool =
            connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| {
                row.get(0)
            })?;
        if is_new {
            let made = format!(
                "BEGIN IMMEDIATE; PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {TABLES}; {CREATE} COMMIT;"
            );
            connection.execute_batch(&made)?;
        } else if (application, tables) != (APPLICATION, TABLES) {
            return Err(Failed::Broken(
                "it is of another release, or not ours".to_owned(),
            ));
        } else {
            let whole: String =
                connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
            if whole != "ok" {
                return Err(Failed::Broken(whole));
            }
        }
        leave_as_it_is(&connection, false)?;
        keep_temporary_files_beside(path, &connection);
        add_what_is_new(&connection)?;
        // What keeps the file small is below; this is what holds if it can't.
        let most = signed((bounds.bytes / PAGE).clamp(64, u64::from(u32::MAX - 1)));
        connection.pragma_update_and_check(None, "max_page_count", most, |_| Ok(()))?;
        add_what_is_faster(&connection)?;
        Ok(Self {
            connection,
            bounds,
            row_ids: HashMap::new(),
        })
    }

    /// Returns the result, and has a file that has turned out broken be closed as it is.
    fn unless_broken<T>(&self, done: Result<T, Failed>) -> Result<T, Failed> {
        if matches!(done, Err(Failed::Broken(_))) {
            // What can't be said to SQLite changes nothing about that.
            let _as_before = leave_as_it_is(&self.connection, true);
        }
        done
    }

    /// Returns the size of the used pages of the file, in bytes.
    ///
    /// # Errors
    /// Fails if the file is broken or gone.
    pub fn size(&self) -> Result<u64, Failed> {
        let number = |pragma: &str| {
            self.connection
                .pragma_query_value(None, pragma, |row| row.get::<_, i64>(0))
        };
        let pages = number("page_count")? - number("freelist_count")?;
        Ok(u64::try_from(pages * number("page_size")?).unwrap_or(0))
    }
}

/// Sets whether the write-ahead log stays beside the file when it is closed, and is not put into it.
fn leave_as_it_is(connection: &Connection, leave: bool) -> rusqlite::Result<()> {
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, leave)
        .map(drop)
}

/// Has SQLite make its temporary files in the folder of the database. It needs some to add up or index many rows, and a
/// service that may write to its own folders alone has no other place for them. If that can't be set, SQLite takes the
/// system's folder.
fn keep_temporary_files_beside(path: &Path, connection: &Connection) {
    // It is one folder for a whole process, and looked at without a lock as a file is made: once it is said it stays.
    static IS_SAID: Mutex<bool> = Mutex::new(false);
    let mut is_said = IS_SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if let (false, Some(folder)) = (*is_said, path.parent().and_then(Path::to_str)) {
        let said = connection.pragma_update(None, "temp_store_directory", folder);
        *is_said = said.is_ok();
    }
}

/// Adds the column and the table that a file of an earlier release does not have.
fn add_what_is_new(connection: &Connection) -> rusqlite::Result<()> {
    let has_contact: bool = connection.query_row(
        "SELECT count(*) > 0 FROM pragma_table_info('seen') WHERE name = 'contact'",
        [],
        |row| row.get(0),
    )?;
    if !has_contact {
        connection.execute_batch(ADD_CONTACT)?;
    }
    connection.execute_batch(ADD_PROGRAMS)
}

/// Adds the index that makes reading faster, if there is room for it. If not, the next open tries again: a slow file is
/// better than none.
fn add_what_is_faster(connection: &Connection) -> Result<(), Failed> {
    match connection.execute_batch(ADD_LAST).map_err(Failed::from) {
        Err(Failed::System(_)) => Ok(()),
        done => done,
    }
}

/// Puts the file aside with its write-ahead log, which may be all that there is of the last hours. The file is moved
/// first: SQLite deletes a log without a file, and would take a log beside a new file for that file's.
fn put_aside(folder: &Path) -> io::Result<PathBuf> {
    let (file, aside) = (folder.join(FILE), folder.join(ASIDE));
    let beside = |path: &Path, ending: &str| {
        let mut beside = path.as_os_str().to_owned();
        beside.push(ending);
        PathBuf::from(beside)
    };
    let if_there = |done: io::Result<()>| match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    };
    // Of the one that was put aside before.
    if_there(fs::remove_file(beside(&aside, AHEAD)))?;
    fs::rename(&file, &aside)?;
    if_there(fs::rename(beside(&file, AHEAD), beside(&aside, AHEAD)))?;
    if_there(fs::remove_file(beside(&file, SHARED)))?;
    Ok(aside)
}

/// Converts a number to SQLite's signed integer; what is too large becomes the highest.
pub fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

const _: () = assert!(
    Direction::Outbound as u8 == 2,
    "what the file's numbers mean may not change"
);
