//! Reader of the history, page by page, which may run beside the writer.

use crate::database::{FILE, Failed, signed};
use crate::{Contact, Conversation, Tally, Traffic};
use firewall_abi::packet::{Direction, Reason, Verdict};
use rusqlite::{Connection, OpenFlags, Row as Columns, params};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Number of rows in a page, at most.
const MOST: usize = 1000;
/// Length of a page's texts, in bytes, behind which the page ends.
const LONGEST: usize = 256 << 10;
/// Number of rows that are looked at for a page, at most. Of a rare program none may be among so many: one thread reads
/// for all, and must not read a whole history for longer than others wait.
pub const LOOKED_AT: usize = 50_000;
const PATIENCE: Duration = Duration::from_millis(500);
/// Number of rows since the requested time, below which the first of them is looked up: of more, a page is full soon.
const FEW: u64 = 500_000;

/// Query for the first of the rows that are new enough, and for their number, counted up to a limit. It uses the index
/// alone.
pub const FIRST: &str =
    "SELECT min(id), count(*) FROM (SELECT id FROM seen WHERE last >= ?1 LIMIT ?2)";

/// Returns the query for the rows that are looked at for a page, in the order in which they were begun, each with
/// whether it is requested. Older rows were passed over by then, and for a user with few rows not all are looked
/// through.
pub fn look_through(asked: &PageRequest) -> String {
    let whose = if asked.user.is_some() {
        "user = ?3"
    } else {
        "?3 IS NULL"
    };
    let what = if asked.program.is_some() {
        "(program IS ?5 OR process = ?6)"
    } else {
        "?5 IS NULL AND ?6 IS NULL"
    };
    format!(
        "SELECT id, last >= ?2 AND {what} FROM seen WHERE id > ?1 AND {whose} ORDER BY id LIMIT ?4"
    )
}

const ROW: &str = "SELECT start, span, direction, verdict, reason, protocol, remote, source, port, program, process, user, rule, name, \
     count, first, last, packets_sent, bytes_sent, packets_received, bytes_received, contact FROM seen WHERE id = ?1";

/// Request for a page of rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageRequest {
    /// Time, in seconds since 1970, that the last record of a row is not older than.
    pub since: u64,
    /// Position behind which rows are read: [`Page::next`] of the page before, or 0 for the beginning.
    pub after: u64,
    /// User whose programs' rows are read; `None` for all rows.
    pub user: Option<u32>,
    /// Program whose rows are read, by its path or by the kernel's name of it; `None` for all rows.
    pub program: Option<RequestedProgram>,
}

/// Program in a request, whose rows have its path or the kernel's name of it. All that a user may mean by it are among
/// them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestedProgram {
    path: String,
    process: String,
}

impl RequestedProgram {
    /// Makes the request for a program by its path, or by the kernel's name of the process, which is the first 15 bytes
    /// of the path's last part.
    #[must_use]
    pub fn asked(path: String) -> Self {
        let task = path.rsplit('/').next().unwrap_or_default();
        let process = task.get(..15).unwrap_or(task).to_owned();
        Self { path, process }
    }
}

/// Page of rows, in the order in which they were begun.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Rows of the page.
    pub rows: Vec<Row>,
    /// Position at which the next page begins, which may have rows where this one has none; `None` if this is the last
    /// page.
    pub next: Option<u64>,
    /// Turn of the database. If it is not that of the page before, rows were added up or forgotten since, and a reader
    /// of all pages begins again.
    pub turn: u64,
    /// Number of rows that were left out because they hold values unknown to this release, as one of a later release
    /// may.
    pub unread: u64,
}

/// Row of a conversation in one minute, hour or day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Beginning of that span, in seconds since 1970.
    pub start: u64,
    /// Length of that span, in seconds.
    pub span: u64,
    /// Conversation that the row counts.
    pub conversation: Conversation,
    /// Tally of the conversation in that span.
    pub tally: Tally,
}

/// Reads a page of the history in this folder; an empty page if there is no history yet.
///
/// # Errors
/// Fails if the file is broken, or the system refuses. A row that can't be read is no error: it is left out.
pub fn page(folder: &Path, asked: &PageRequest) -> Result<Page, Failed> {
    let path = folder.join(FILE);
    if !path.exists() {
        return Ok(Page::default());
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(&path, flags)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.busy_timeout(PATIENCE)?;
    // One state of the file for all that follows.
    let connection = connection.transaction()?;
    let turn: i64 = connection.query_row("SELECT turn FROM turns", [], |row| row.get(0))?;
    let Some(after) = begin(&connection, asked)? else {
        return Ok(Page {
            turn: unsigned(turn),
            ..Page::default()
        });
    };
    let found = look(&connection, asked, after)?;
    let mut read = connection.prepare(ROW)?;
    let mut page = Page {
        turn: unsigned(turn),
        next: found.next,
        ..Page::default()
    };
    let (mut last, mut length) = (after, 0);
    for id in found.ids {
        if length > LONGEST {
            page.next = Some(unsigned(last));
            break;
        }
        last = id;
        let Ok(row) = read.query_row([id], |columns| Ok(row(columns)))? else {
            page.unread += 1;
            continue;
        };
        let of = &row.conversation;
        let texts = [&of.program, &of.rule, &of.name].into_iter().flatten();
        length += texts.map(|text| text.len()).sum::<usize>() + of.process.len();
        page.rows.push(row);
    }
    Ok(page)
}

/// Rows that were found for a page.
struct Found {
    /// IDs of the rows.
    ids: Vec<i64>,
    /// ID of the last row that was looked at; `None` if there are no others behind it.
    next: Option<u64>,
}

fn look(connection: &Connection, asked: &PageRequest, after: i64) -> Result<Found, Failed> {
    let mut look = connection.prepare(&look_through(asked))?;
    let most = signed(LOOKED_AT as u64 + 1);
    let program = asked.program.as_ref();
    let (path, process) = (program.map(|of| &of.path), program.map(|of| &of.process));
    let asked = params![after, signed(asked.since), asked.user, most, path, process];
    let mut looked_at = look.query(asked)?;
    let (mut ids, mut last, mut count) = (Vec::new(), after, 0);
    while let Some(columns) = looked_at.next()? {
        if count == LOOKED_AT || ids.len() == MOST {
            let next = Some(unsigned(last));
            return Ok(Found { ids, next });
        }
        last = columns.get(0)?;
        count += 1;
        if columns.get(1)? {
            ids.push(last);
        }
    }
    Ok(Found { ids, next: None })
}

/// Returns the ID behind which rows may be new enough; `None` if there are none.
fn begin(connection: &Connection, asked: &PageRequest) -> Result<Option<i64>, Failed> {
    let after = signed(asked.after);
    // A page behind another one begins where that ended.
    if asked.since == 0 || after > 0 {
        return Ok(Some(after));
    }
    let bounds = params![signed(asked.since), signed(FEW)];
    let (first, found): (Option<i64>, i64) =
        connection.query_row(FIRST, bounds, |row| Ok((row.get(0)?, row.get(1)?)))?;
    if found >= signed(FEW) {
        return Ok(Some(after));
    }
    Ok(first.map(|first| first - 1))
}

fn row(columns: &Columns<'_>) -> Result<Row, Failed> {
    let number = |n: usize| columns.get::<_, i64>(n).map(unsigned);
    let text = |n: usize| {
        let text: Option<String> = columns.get(n)?;
        Ok::<_, Failed>(text.map(Arc::from))
    };
    let unknown = |_| Failed::Broken("a number means nothing".to_owned());
    let conversation = Conversation {
        direction: Direction::try_from(columns.get::<_, u8>(2)?).map_err(unknown)?,
        verdict: Verdict::try_from(columns.get::<_, u8>(3)?).map_err(unknown)?,
        reason: Reason::try_from(columns.get::<_, u8>(4)?).map_err(unknown)?,
        protocol: columns.get(5)?,
        remote: address(columns, 6)?,
        source: address(columns, 7)?,
        port: columns.get(8)?,
        program: text(9)?,
        process: text(10)?.unwrap_or_default(),
        user: columns.get(11)?,
        rule: text(12)?,
        name: text(13)?,
        contact: Contact::try_from(columns.get::<_, u8>(21)?).map_err(unknown)?,
    };
    let traffic = |packets, bytes| {
        Ok::<_, Failed>(Traffic {
            packets: number(packets)?,
            bytes: number(bytes)?,
        })
    };
    Ok(Row {
        start: number(0)?,
        span: number(1)?,
        conversation,
        tally: Tally {
            count: number(14)?,
            first: number(15)?,
            last: number(16)?,
            sent: traffic(17, 18)?,
            received: traffic(19, 20)?,
        },
    })
}

fn address(columns: &Columns<'_>, n: usize) -> Result<Option<IpAddr>, Failed> {
    let bytes: Option<Vec<u8>> = columns.get(n)?;
    let Some(bytes) = bytes else {
        return Ok(None);
    };
    let v4 = <[u8; 4]>::try_from(bytes.as_slice()).map(IpAddr::from);
    let address = v4.or_else(|_| <[u8; 16]>::try_from(bytes.as_slice()).map(IpAddr::from));
    address
        .map(Some)
        .map_err(|_| Failed::Broken("an address has another length".to_owned()))
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
