//! Tests on real files, each in a folder of its own.

mod aging;
mod contacts;
mod files;
mod pages;
mod shares;

use super::*;
use std::fs;
use std::path::Path;
use tempfile::{TempDir, tempdir};

const MANY: Bounds = Bounds {
    days: 90,
    bytes: 64 << 20,
};

/// Beginning of a day, in seconds since 1970.
const NOW: u64 = 30_000 * DAY;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempdir().unwrap())
    }

    fn open(&self, bounds: Bounds) -> Database {
        let opened = Database::open(self.0.path(), bounds).unwrap();
        assert_eq!(opened.put_aside, None);
        opened.database
    }

    /// Reads every row, page by page.
    fn rows(&self, asked: PageRequest) -> Vec<Row> {
        let (mut rows, mut asked) = (Vec::new(), asked);
        loop {
            let page = page(self.0.path(), &asked).unwrap();
            rows.extend(page.rows);
            match page.next {
                Some(next) => asked.after = next,
                None => return rows,
            }
        }
    }

    fn all(&self) -> Vec<Row> {
        self.rows(PageRequest::default())
    }
}

fn curl(port: u16) -> Conversation {
    Conversation {
        direction: Direction::Outbound,
        verdict: Verdict::Block,
        reason: Reason::Rule,
        protocol: 6,
        remote: Some("192.0.2.7".parse().unwrap()),
        source: None,
        port: Some(port),
        program: Some("/usr/bin/curl".into()),
        process: "curl".into(),
        user: Some(1000),
        rule: Some("no-telnet".into()),
        name: Some("example.org".into()),
        contact: Contact::Known,
    }
}

fn scan(from: u32) -> Conversation {
    Conversation {
        direction: Direction::Inbound,
        remote: Some(IpAddr::V4(from.into())),
        program: None,
        process: "".into(),
        user: None,
        name: None,
        ..curl(23)
    }
}

fn one(conversation: Conversation, at: u64) -> (u64, Conversation, Tally) {
    (at / MINUTE * MINUTE, conversation, Tally::one(at))
}

fn count(rows: &[Row]) -> u64 {
    rows.iter().map(|row| row.tally.count).sum()
}

/// Returns a statement that inserts so many copies of the first row, all of this time.
fn many_rows_at(rows: u32, at: u64) -> String {
    format!(
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {rows})
         INSERT INTO seen (span, start, others, direction, verdict, reason, protocol, process, count, first, last,
             packets_sent, bytes_sent, packets_received, bytes_received)
         SELECT span, {at}, others, direction, verdict, reason, protocol, process, 1, {at} + n, {at} + n, 0, 0, 0, 0
         FROM numbers, (SELECT * FROM seen ORDER BY id LIMIT 1)"
    )
}

/// Child process of another test, no promise by itself: it writes until it is killed.
#[test]
fn writes_until_it_is_killed() {
    let Some(folder) = std::env::var_os("GATEBELL_HISTORY_FOLDER") else {
        return;
    };
    let mut database = Database::open(Path::new(&folder), MANY).unwrap().database;
    for n in 1..u64::MAX {
        database.write(&[one(curl(23), NOW + n)]).unwrap();
        println!("\nwritten {n}");
    }
}
