//! The file: what is written, added up and forgotten.

use crate::{Change, Contacts, Conversation, DAY, EARLIEST, HOUR, KnownFile, Look, MINUTE, Tally};
use firewall_abi::packet::Direction;
use rusqlite::config::DbConfig;
use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, params};
use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file's name in its folder. Beside it SQLite keeps what it writes ahead.
pub const FILE: &str = "history.db";
/// What the file becomes that is put aside.
const ASIDE: &str = "history.db.broken";
/// What SQLite keeps beside a file: what it writes ahead, and who reads that.
const AHEAD: &str = "-wal";
const SHARED: &str = "-shm";
/// Which file is ours: "GBHI", and the release of its tables.
const APPLICATION: i64 = 0x4742_4849;
const TABLES: i64 = 1;
/// How long another program that holds the file is waited for: whoever looks with `sqlite3`.
const PATIENCE: Duration = Duration::from_millis(500);
/// Minutes become hours after this, and hours days after that.
const MINUTES_KEPT: u64 = DAY;
const HOURS_KEPT: u64 = 14 * DAY;
/// Rows whose places are known, so that one minute's row is one.
const MOST_PLACES: usize = 16 * 1024;
/// Rows that are forgotten at once where there are too many.
const FORGOTTEN_AT_ONCE: u64 = 2000;
/// SQLite's own page.
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

/// What was added since, in words that change nothing that a release before this one asks for.
const ADD_CONTACT: &str = "ALTER TABLE seen ADD COLUMN contact INTEGER NOT NULL DEFAULT 0";
const ADD_PROGRAMS: &str = "
CREATE TABLE IF NOT EXISTS programs (
    program TEXT NOT NULL, user INTEGER NOT NULL, device INTEGER NOT NULL, inode INTEGER NOT NULL,
    size INTEGER, changed INTEGER, last INTEGER NOT NULL, PRIMARY KEY (program, user, device, inode)
) STRICT, WITHOUT ROWID";
/// A user that is not known.
const NO_USER: i64 = -1;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// What is older than so many days is forgotten.
    pub days: u32,
    /// The file has at most so many bytes; the oldest goes first, of our own programs' rows and of others' whichever are more.
    pub bytes: u64,
}

/// A database that was opened.
#[derive(Debug)]
pub struct Opened {
    /// It.
    pub database: Database,
    /// Where the file lies that stood in its place and can't be used, and why.
    pub put_aside: Option<(PathBuf, String)>,
}

/// Why something is not in the file.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failed {
    /// The file is broken, or of something else: it is to be put aside, which [`Database::open`] does.
    Broken(String),
    /// The system does not let us: the disk is full, the folder is gone.
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

/// What one row is of: the minute's beginning, and who with whom.
type Minute = (u64, Conversation);

/// The open file.
#[derive(Debug)]
pub struct Database {
    connection: Connection,
    bounds: Bounds,
    /// Where the rows of the minutes in hand are.
    places: HashMap<Minute, i64>,
}

impl Database {
    /// Opens the database in this folder; made if it is not there. A file that can't be used is put aside, and one that was put aside
    /// before makes room for it.
    ///
    /// # Errors
    /// The system does not let us.
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
        // A process that is killed loses nothing of what was committed; a machine that loses its power the last seconds.
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
        add_what_is_new(&connection)?;
        let database = Self {
            connection,
            bounds,
            places: HashMap::new(),
        };
        // What keeps the file small is below; this is what holds if it can't.
        let most = signed((bounds.bytes / PAGE).clamp(64, u64::from(u32::MAX - 1)));
        database
            .connection
            .pragma_update_and_check(None, "max_page_count", most, |_| Ok(()))?;
        Ok(database)
    }

    /// Writes these rows: all of them, or on an error none.
    ///
    /// # Errors
    /// The file is full, broken or gone. Where it is broken, [`Database::open`] puts it aside.
    pub fn write(&mut self, rows: &[(u64, Conversation, Tally)]) -> Result<(), Failed> {
        if self.places.len() + rows.len() > MOST_PLACES {
            self.places.clear();
        }
        let written = self.add(rows);
        let written = self.unless_broken(written);
        let newest = rows.iter().map(|(start, ..)| *start).max().unwrap_or(0);
        self.places
            .retain(|(start, _), _| start.saturating_add(MINUTE) >= newest);
        // Places of rows that were taken back would be others' soon: they are not kept.
        self.places.extend(written?);
        Ok(())
    }

    /// A file that has turned out broken is closed as it is.
    fn unless_broken<T>(&self, done: Result<T, Failed>) -> Result<T, Failed> {
        if matches!(done, Err(Failed::Broken(_))) {
            // What can't be said to SQLite changes nothing about that.
            let _as_before = leave_as_it_is(&self.connection, true);
        }
        done
    }

    fn add(&mut self, rows: &[(u64, Conversation, Tally)]) -> Result<Vec<(Minute, i64)>, Failed> {
        let transaction = self.connection.transaction()?;
        let mut new = Vec::new();
        {
            let mut more = transaction.prepare(
                "UPDATE seen SET count = count + ?2, first = min(first, ?3), last = max(last, ?4), \
                 packets_sent = packets_sent + ?5, bytes_sent = bytes_sent + ?6, \
                 packets_received = packets_received + ?7, bytes_received = bytes_received + ?8 WHERE id = ?1",
            )?;
            let mut insert = transaction.prepare(
                "INSERT INTO seen (span, start, others, direction, verdict, reason, protocol, remote, source, port, program, \
                 process, user, rule, name, count, first, last, packets_sent, bytes_sent, packets_received, bytes_received, contact) \
                 VALUES (60, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)",
            )?;
            for (start, conversation, tally) in rows {
                let key = (*start, conversation.clone());
                let Tally {
                    count,
                    first,
                    last,
                    sent,
                    received,
                } = *tally;
                let [count, first, last] = [count, first, last].map(signed);
                let traffic = [sent.packets, sent.bytes, received.packets, received.bytes];
                let [packets_sent, bytes_sent, packets_received, bytes_received] =
                    traffic.map(signed);
                if let Some(id) = self.places.get(&key) {
                    let changed = more.execute(params![
                        id,
                        count,
                        first,
                        last,
                        packets_sent,
                        bytes_sent,
                        packets_received,
                        bytes_received
                    ])?;
                    if changed == 1 {
                        continue;
                    }
                }
                let of = conversation;
                insert.execute(params![
                    signed(*start),
                    of.is_others(),
                    of.direction as u8,
                    of.verdict as u8,
                    of.reason as u8,
                    of.protocol,
                    of.remote.map(octets),
                    of.source.map(octets),
                    of.port,
                    of.program.as_deref(),
                    &*of.process,
                    of.user,
                    of.rule.as_deref(),
                    of.name.as_deref(),
                    count,
                    first,
                    last,
                    packets_sent,
                    bytes_sent,
                    packets_received,
                    bytes_received,
                    of.contact as u8
                ])?;
                new.push((key, transaction.last_insert_rowid()));
            }
        }
        transaction.commit()?;
        Ok(new)
    }

    /// The programs that have talked, those that talked last first.
    ///
    /// # Errors
    /// The file is broken or gone.
    pub fn programs(&self) -> Result<Vec<KnownFile>, Failed> {
        let most = Contacts::most_files(self.bounds.bytes);
        let mut read = self.connection.prepare(
            "SELECT program, user, device, inode, size, changed, last FROM programs ORDER BY last DESC LIMIT ?1",
        )?;
        let mut found = read.query([signed(most as u64)])?;
        let mut programs = Vec::new();
        while let Some(columns) = found.next()? {
            let number = |n: usize| columns.get::<_, i64>(n);
            let program: String = columns.get(0)?;
            let (size, changed): (Option<i64>, Option<i64>) = (columns.get(4)?, columns.get(5)?);
            programs.push(KnownFile {
                program: program.into(),
                user: u32::try_from(number(1)?).ok(),
                file: [number(2)?.cast_unsigned(), number(3)?.cast_unsigned()],
                look: size.zip(changed).map(|(size, changed_ns)| Look {
                    size: size.cast_unsigned(),
                    changed_ns,
                }),
                last: u64::try_from(number(6)?).unwrap_or(0),
            });
        }
        Ok(programs)
    }

    /// Writes down what has become of programs: all of it, or on an error nothing.
    ///
    /// # Errors
    /// The file is full, broken or gone.
    pub fn write_programs(&mut self, changes: &[Change]) -> Result<(), Failed> {
        let written = self.put_programs(changes);
        self.unless_broken(written)
    }

    fn put_programs(&mut self, changes: &[Change]) -> Result<(), Failed> {
        let transaction = self.connection.transaction()?;
        {
            let mut put = transaction.prepare(
                "INSERT OR REPLACE INTO programs (program, user, device, inode, size, changed, last) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?;
            let mut take = transaction.prepare(
                "DELETE FROM programs WHERE program = ?1 AND user = ?2 AND device = ?3 AND inode = ?4",
            )?;
            for change in changes {
                let (Change::Known(of) | Change::Forgotten(of)) = change;
                let user = of.user.map_or(NO_USER, i64::from);
                let [device, inode] = of.file.map(u64::cast_signed);
                if matches!(change, Change::Forgotten(_)) {
                    take.execute(params![&*of.program, user, device, inode])?;
                    continue;
                }
                let size = of.look.map(|look| look.size.cast_signed());
                let changed = of.look.map(|look| look.changed_ns);
                let last = signed(of.last);
                put.execute(params![
                    &*of.program,
                    user,
                    device,
                    inode,
                    size,
                    changed,
                    last
                ])?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// Does some of what there is to do at this time (seconds since 1970): adds up an hour or a day, forgets. True: there is more.
    ///
    /// # Errors
    /// The file is full, broken or gone.
    pub fn tidy(&mut self, now: u64) -> Result<bool, Failed> {
        let tidied = self.tidy_by(now);
        self.unless_broken(tidied)
    }

    fn tidy_by(&mut self, now: u64) -> Result<bool, Failed> {
        if self.is_behind(now)? {
            // Only what takes too much room goes, by whatever clock it came.
            return Ok(self.size()? > self.bounds.bytes / 8 * 7 && self.forget_oldest()?);
        }
        let ended = now.saturating_sub(u64::from(self.bounds.days) * DAY);
        let (minutes, hours) = (
            now.saturating_sub(MINUTES_KEPT) / HOUR * HOUR,
            now.saturating_sub(HOURS_KEPT) / DAY * DAY,
        );
        let mut more = self.roll(MINUTE, HOUR, minutes)?;
        more |= self.roll(HOUR, DAY, hours)?;
        more |= self.forget_old(ended)?;
        // Room for a batch and for the sums of an hour.
        more |= self.size()? > self.bounds.bytes / 8 * 7 && self.forget_oldest()?;
        Ok(more)
    }

    /// Whether this is no time that it can be: before this program was made, or well before what was seen already. Nothing is put
    /// together and nothing too old by such a clock.
    fn is_behind(&self, now: u64) -> Result<bool, Failed> {
        // By what the index knows.
        let newest: i64 = self.connection.query_row(
            "SELECT max(coalesce((SELECT max(start) FROM seen WHERE span = 60), 0), \
             coalesce((SELECT max(start) FROM seen WHERE span = 3600), 0), \
             coalesce((SELECT max(start) FROM seen WHERE span = 86400), 0))",
            [],
            |row| row.get(0),
        )?;
        let newest = u64::try_from(newest).unwrap_or(0).saturating_sub(HOUR);
        Ok(now < EARLIEST.max(newest))
    }

    /// Moves what was seen while the clock was not set yet by so much: to when it was.
    ///
    /// # Errors
    /// The file is full, broken or gone.
    pub fn set_clock(&mut self, by: u64) -> Result<(), Failed> {
        let by = signed(by / MINUTE * MINUTE);
        let transaction = self.connection.transaction()?;
        let moved = transaction.execute(
            "UPDATE seen SET start = start + ?1, first = first + ?1, last = last + ?1 WHERE span = 60 AND start < ?2",
            params![by, signed(EARLIEST)],
        )?;
        if moved > 0 {
            turn(&transaction)?;
        }
        transaction.commit()?;
        self.places.clear();
        Ok(())
    }

    /// Adds the oldest rows of one span up to the next longer one, if they are older than this.
    fn roll(&mut self, from: u64, to: u64, before: u64) -> Result<bool, Failed> {
        let (from, to, before) = (signed(from), signed(to), signed(before));
        let transaction = self.connection.transaction()?;
        let oldest: Option<i64> = transaction.query_row(
            "SELECT min(start) FROM seen WHERE span = ?1 AND start < ?2",
            params![from, before],
            |row| row.get(0),
        )?;
        let Some(oldest) = oldest else {
            return Ok(false);
        };
        let start = oldest.div_euclid(to) * to;
        transaction.execute(
            "INSERT INTO seen (span, start, others, direction, verdict, reason, protocol, remote, source, port, program, process, \
             user, rule, name, contact, count, first, last, packets_sent, bytes_sent, packets_received, bytes_received) \
             SELECT ?1, ?2, others, direction, verdict, reason, protocol, remote, source, port, program, process, user, rule, name, contact, \
             sum(count), min(first), max(last), sum(packets_sent), sum(bytes_sent), sum(packets_received), sum(bytes_received) \
             FROM seen WHERE span = ?3 AND start >= ?2 AND start < ?2 + ?1 GROUP BY direction, verdict, reason, protocol, remote, \
             source, port, program, process, user, rule, name, contact",
            params![to, start, from],
        )?;
        transaction.execute(
            "DELETE FROM seen WHERE span = ?3 AND start >= ?2 AND start < ?2 + ?1",
            params![to, start, from],
        )?;
        turn(&transaction)?;
        transaction.commit()?;
        self.places.clear();
        Ok(true)
    }

    fn forget_old(&mut self, ended: u64) -> Result<bool, Failed> {
        self.forget(
            // In words that the index answers.
            "DELETE FROM seen WHERE id IN (SELECT id FROM seen WHERE span = 60 AND start <= ?1 - 60 \
             OR span = 3600 AND start <= ?1 - 3600 OR span = 86400 AND start <= ?1 - 86400 LIMIT ?2)",
            signed(ended),
        )
    }

    /// Forgets the oldest rows of those who have the most.
    fn forget_oldest(&mut self) -> Result<bool, Failed> {
        let others: bool = self.connection.query_row(
            "SELECT coalesce(sum(others) * 2 > count(*), 0) FROM seen",
            [],
            |row| row.get(0),
        )?;
        self.forget(
            "DELETE FROM seen WHERE id IN (SELECT id FROM seen WHERE others = ?1 ORDER BY last LIMIT ?2)",
            i64::from(others),
        )
    }

    fn forget(&mut self, statement: &str, which: i64) -> Result<bool, Failed> {
        let transaction = self.connection.transaction()?;
        let gone = transaction.execute(statement, params![which, signed(FORGOTTEN_AT_ONCE)])?;
        if gone > 0 {
            turn(&transaction)?;
            self.places.clear();
        }
        transaction.commit()?;
        Ok(gone > 0)
    }

    /// Bytes of the file that hold something.
    ///
    /// # Errors
    /// The file is broken or gone.
    pub fn size(&self) -> Result<u64, Failed> {
        let number = |pragma: &str| {
            self.connection
                .pragma_query_value(None, pragma, |row| row.get::<_, i64>(0))
        };
        let pages = number("page_count")? - number("freelist_count")?;
        Ok(u64::try_from(pages * number("page_size")?).unwrap_or(0))
    }
}

/// Whether what was written ahead stays beside the file when it is closed, and is not put into it.
fn leave_as_it_is(connection: &Connection, leave: bool) -> rusqlite::Result<()> {
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, leave)
        .map(drop)
}

/// Adds what a file of an earlier release has not.
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

/// Notes that rows were put together or forgotten: who reads page by page begins again.
fn turn(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute("UPDATE turns SET turn = turn + 1", [])?;
    Ok(())
}

/// Puts the file aside with what SQLite has written ahead of it, which may be all that there is of the last hours. The file goes first:
/// what is left beside none SQLite throws away, and what lies beside a new one it would take for that one's.
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

/// As SQLite has numbers.
pub fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn octets(address: IpAddr) -> Value {
    Value::Blob(match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    })
}

const _: () = assert!(
    Direction::Outbound as u8 == 2,
    "what the file's numbers mean may not change"
);
