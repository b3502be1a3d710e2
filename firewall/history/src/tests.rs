//! On real files, in a folder of each test's own.

use super::*;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const MANY: Bounds = Bounds {
    days: 90,
    bytes: 64 << 20,
};
/// A day's beginning.
const NOW: u64 = 30_000 * DAY;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("gatebell-history-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn open(&self, bounds: Bounds) -> Database {
        let opened = Database::open(&self.0, bounds).unwrap();
        assert_eq!(opened.put_aside, None);
        opened.database
    }

    /// Every row, page by page.
    fn rows(&self, asked: PageRequest) -> Vec<Row> {
        let (mut rows, mut asked) = (Vec::new(), asked);
        loop {
            let page = page(&self.0, asked).unwrap();
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

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
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

#[test]
fn a_row_is_read_as_it_was_written_and_one_minutes_is_one() {
    let folder = Folder::new("one");
    let mut database = folder.open(MANY);
    let bare = Conversation {
        remote: Some("2001:db8::7".parse().unwrap()),
        source: Some("10.0.0.1".parse().unwrap()),
        direction: Direction::Forward,
        verdict: Verdict::Allow,
        port: None,
        program: None,
        rule: None,
        ..scan(1)
    };
    let traffic = Traffic {
        packets: 3,
        bytes: 4000,
    };
    let busy = Tally {
        sent: traffic,
        received: traffic,
        ..Tally::one(NOW + 5)
    };
    database.write(&[(NOW, bare.clone(), busy)]).unwrap();
    database.write(&[one(curl(23), NOW + 7)]).unwrap();
    database
        .write(&[one(curl(23), NOW + 59), one(curl(23), NOW + 60)])
        .unwrap();
    let rows = folder.all();
    assert_eq!(rows.len(), 3, "{rows:?}");
    assert_eq!((&rows[0].conversation, rows[0].tally), (&bare, busy));
    let Tally {
        count, first, last, ..
    } = rows[1].tally;
    assert_eq!((count, first, last), (2, NOW + 7, NOW + 59));
    assert_eq!((rows[1].start, rows[1].span), (NOW, MINUTE));
    assert_eq!(rows[1].conversation, curl(23));
    assert_eq!((rows[2].start, rows[2].tally.count), (NOW + 60, 1));
}

/// Not a promise: the child of the next test, which writes until it is killed.
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

#[test]
fn what_was_written_survives_a_kill() {
    let folder = Folder::new("kill");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::writes_until_it_is_killed"])
        .args(["--nocapture", "--test-threads=1"])
        .env("GATEBELL_HISTORY_FOLDER", &folder.0)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let numbers = lines.map_while(Result::ok).filter_map(|line| {
        let number = line.strip_prefix("written ")?;
        number.parse::<u64>().ok()
    });
    // Dropped with its loop, the pipe would end the child another way.
    let mut numbers = numbers.into_iter();
    let written = numbers.by_ref().find(|n| *n >= 200).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let last = numbers.last().unwrap_or(written);
    let opened = Database::open(&folder.0, MANY).unwrap();
    assert_eq!(opened.put_aside, None);
    assert!(
        count(&folder.all()) >= last,
        "{} of {last}",
        count(&folder.all())
    );
}

#[test]
fn minutes_are_added_up_to_hours_and_hours_to_days_and_nothing_is_lost_on_the_way() {
    let folder = Folder::new("roll");
    let mut database = folder.open(MANY);
    for minute in 0..3 * 60 {
        let at = NOW + minute * MINUTE;
        database
            .write(&[
                one(curl(23), at),
                one(curl(80), at),
                one(scan(minute as u32 % 2), at),
            ])
            .unwrap();
    }
    let spans = |at: u64| {
        let mut database = folder.open(MANY);
        while database.tidy(at).unwrap() {}
        let rows = folder.all();
        assert_eq!(count(&rows), 3 * 180);
        let mut spans: Vec<_> = rows.iter().map(|row| (row.span, row.start - NOW)).collect();
        spans.sort_unstable();
        spans.dedup();
        (rows, spans)
    };
    let (rows, kept) = spans(NOW + DAY);
    assert_eq!(
        (rows.len(), kept.len()),
        (3 * 180, 180),
        "a day of minutes is kept"
    );
    let (rows, kept) = spans(NOW + DAY + HOUR);
    assert_eq!(rows.len(), 4 + 3 * 120);
    assert_eq!(kept[120], (HOUR, 0), "the first hour is one");
    let (rows, kept) = spans(NOW + 2 * DAY);
    assert_eq!(
        (rows.len(), kept),
        (3 * 4, vec![(HOUR, 0), (HOUR, HOUR), (HOUR, 2 * HOUR)])
    );
    let (rows, kept) = spans(NOW + 15 * DAY);
    assert_eq!((rows.len(), kept), (4, vec![(DAY, 0)]));
    let telnet = rows
        .iter()
        .find(|row| row.conversation == curl(23))
        .unwrap();
    let Tally {
        count, first, last, ..
    } = telnet.tally;
    assert_eq!((count, first, last), (180, NOW, NOW + 179 * MINUTE));
}

#[test]
fn what_is_older_than_its_days_is_forgotten() {
    let folder = Folder::new("days");
    let mut database = folder.open(Bounds { days: 3, ..MANY });
    database
        .write(&[one(curl(23), NOW), one(curl(80), NOW + 3 * DAY)])
        .unwrap();
    let turn = page(&folder.0, PageRequest::default()).unwrap().turn;
    while database.tidy(NOW + 4 * DAY).unwrap() {}
    let page = page(&folder.0, PageRequest::default()).unwrap();
    assert_eq!(page.rows.len(), 1, "{page:?}");
    assert_eq!(page.rows[0].conversation, curl(80));
    assert!(page.turn > turn, "who reads page by page hears of it");
}

#[test]
fn the_file_stays_within_its_bytes_and_a_scan_makes_no_row_of_our_own_programs_go() {
    let folder = Folder::new("bytes");
    let bounds = Bounds {
        bytes: 1 << 20,
        ..MANY
    };
    let mut database = folder.open(bounds);
    let ours: Vec<_> = (0..100).map(|port| one(curl(port), NOW)).collect();
    database.write(&ours).unwrap();
    for second in 0..200 {
        let at = NOW + 10 + second;
        let scans: Vec<_> = (0..256)
            .map(|n| one(scan(second as u32 * 256 + n), at))
            .collect();
        database.write(&scans).unwrap();
        while database.tidy(at).unwrap() {}
        let file = fs::metadata(folder.0.join(FILE)).unwrap().len();
        assert!(file <= bounds.bytes, "{file}");
    }
    let rows = folder.all();
    let own = rows.iter().filter(|row| row.conversation.user.is_some());
    assert_eq!(own.count(), 100);
    assert!(rows.len() > 1000, "{}", rows.len());
    let wal = fs::metadata(folder.0.join("history.db-wal")).unwrap().len();
    assert!(wal < 8 << 20, "{wal}");
}

#[test]
fn a_full_file_takes_nothing_and_takes_again_once_there_is_room() {
    let folder = Folder::new("full");
    let bounds = Bounds {
        bytes: 512 << 10,
        ..MANY
    };
    let mut database = folder.open(bounds);
    let mut taken = 0;
    let refused = (0..1000).find_map(|second| {
        let rows: Vec<_> = (0..64).map(|n| one(scan(second * 64 + n), NOW)).collect();
        let failed = database.write(&rows).err();
        taken += if failed.is_none() { 64 } else { 0 };
        failed
    });
    assert!(matches!(refused, Some(Failed::System(_))), "{refused:?}");
    assert_eq!(
        count(&folder.all()),
        taken,
        "what was refused is not there by half"
    );
    while database.tidy(NOW).unwrap() {}
    database.write(&[one(curl(23), NOW)]).unwrap();
    assert!(folder.all().iter().any(|row| row.conversation == curl(23)));
}

#[test]
fn a_broken_file_is_put_aside_and_a_new_one_begins() {
    let whole = {
        let folder = Folder::new("whole");
        let mut database = folder.open(MANY);
        let rows: Vec<_> = (0..2000).map(|n| one(scan(n), NOW)).collect();
        database.write(&rows).unwrap();
        drop(database);
        fs::read(folder.0.join(FILE)).unwrap()
    };
    assert!(whole.len() > 100_000);
    let mut scribbled = whole.clone();
    scribbled[40_000..80_000].fill(0xa5);
    let mut other = whole.clone();
    // `user_version`: the release of its tables.
    other[60..64].copy_from_slice(&99_u32.to_be_bytes());
    let broken = [
        b"what is this".to_vec(),
        vec![0; 10_000],
        whole[..50_000].to_vec(),
        scribbled,
        other,
    ];
    for (n, bytes) in broken.into_iter().enumerate() {
        let folder = Folder::new("broken");
        fs::write(folder.0.join(FILE), &bytes).unwrap();
        let opened = Database::open(&folder.0, MANY).unwrap();
        let (aside, why) = opened.put_aside.expect("it is broken");
        assert_eq!(
            fs::read(aside).unwrap(),
            bytes,
            "{n}: nothing of it is lost: {why}"
        );
        let mut database = opened.database;
        database.write(&[one(curl(23), NOW)]).unwrap();
        assert_eq!(folder.all().len(), 1, "{n}");
    }
}

#[test]
fn a_file_that_breaks_while_it_is_written_says_so_and_is_put_aside_by_the_next_open() {
    let folder = Folder::new("breaks");
    let mut database = folder.open(MANY);
    // More than SQLite keeps in memory.
    let rows: Vec<_> = (0..20_000).map(|n| one(scan(n), NOW)).collect();
    database.write(&rows).unwrap();
    drop(database);
    let mut database = folder.open(MANY);
    let path = folder.0.join(FILE);
    let length = fs::metadata(&path).unwrap().len();
    let garbage = vec![0xa5; usize::try_from(length).unwrap()];
    // In place, as a disk does it.
    std::io::Write::write_all(
        &mut fs::OpenOptions::new().write(true).open(&path).unwrap(),
        &garbage,
    )
    .unwrap();
    let failed = database.tidy(NOW + 3 * DAY).unwrap_err();
    assert!(matches!(failed, Failed::Broken(_)), "{failed}");
    drop(database);
    let opened = Database::open(&folder.0, MANY).unwrap();
    assert!(opened.put_aside.is_some());
}

#[test]
fn pages_hold_every_row_once_and_of_one_user_theirs_alone() {
    let folder = Folder::new("pages");
    assert_eq!(
        page(&folder.0, PageRequest::default()).unwrap(),
        Page::default()
    );
    let mut database = folder.open(MANY);
    let rows: Vec<_> = (0..2500)
        .map(|n| {
            let mut of = curl(n);
            of.user = Some(1000 + u32::from(n % 2));
            one(of, NOW + u64::from(n))
        })
        .collect();
    database.write(&rows).unwrap();
    let rows = folder.all();
    assert_eq!((rows.len(), count(&rows)), (2500, 2500));
    let own = folder.rows(PageRequest {
        user: Some(1001),
        since: NOW + 500,
        after: 0,
    });
    assert_eq!(own.len(), 1000);
    assert!(
        own.iter()
            .all(|row| row.conversation.user == Some(1001) && row.tally.last >= NOW + 500)
    );
}

#[test]
fn whoever_has_few_rows_does_not_have_all_be_looked_through() {
    let folder = Folder::new("plan");
    drop(folder.open(MANY));
    let connection = rusqlite::Connection::open(folder.0.join(FILE)).unwrap();
    let plan: String = connection
        .query_row(
            "EXPLAIN QUERY PLAN SELECT * FROM seen WHERE id > 0 AND last >= 0 AND user = 7 ORDER BY id LIMIT 9",
            [],
            |row| row.get(3),
        )
        .unwrap();
    assert!(plan.contains("seen_user"), "{plan}");
}

#[test]
fn a_page_of_long_texts_is_short() {
    let folder = Folder::new("long");
    let mut database = folder.open(MANY);
    let long: Arc<str> = "x".repeat(4096).into();
    let rows: Vec<_> = (0..500)
        .map(|n| {
            let mut of = curl(n);
            of.program = Some(long.clone());
            one(of, NOW)
        })
        .collect();
    database.write(&rows).unwrap();
    let page = page(&folder.0, PageRequest::default()).unwrap();
    assert!(page.rows.len() < 100 && page.next.is_some());
    assert_eq!(folder.all().len(), 500);
}

#[test]
fn no_name_that_a_program_takes_and_no_number_of_users_takes_others_rows() {
    let mut batch = Batch::default();
    let named = |user: u32, n: u32| Conversation {
        process: format!("{n:x}").into(),
        program: Some(format!("/tmp/{n}").into()),
        user: Some(user),
        ..curl(9)
    };
    for n in 0..10_000 {
        batch.add(named(1000, n), &Tally::one(NOW));
    }
    let rows = |batch: &mut Batch| batch.take().len();
    assert_eq!(rows(&mut batch), MOST_OF_ONE + 1, "the rest is in one row");
    // A container's users, and then ten people more: each finds rows.
    for n in 0..10_000 {
        batch.add(named(100_000 + n % 5000, n), &Tally::one(NOW));
    }
    assert!(
        rows(&mut batch) < MOST_OF_ONE + 5001,
        "a row of many for each"
    );
    for user in 2000..2010 {
        for n in 0..1000 {
            batch.add(named(user, n), &Tally::one(NOW));
        }
        let own = batch.take();
        let own = own.iter().filter(|(_, one, _)| one.remote.is_some());
        assert!(own.count() > 0, "user {user}");
    }
}

#[test]
fn whoever_talks_to_many_takes_their_share_of_a_minute_and_the_rest_is_counted_together() {
    let mut batch = Batch::default();
    for n in 0..10_000 {
        batch.add(scan(n), &Tally::one(NOW));
    }
    batch.add(curl(23), &Tally::one(NOW));
    assert_eq!(batch.count(), 10_001);
    let rows = batch.take();
    assert_eq!(
        rows.len(),
        MOST_OF_ONE + 2,
        "the scan's share, all others, and curl"
    );
    let many = rows.iter().find(|(_, of, _)| of.remote.is_none()).unwrap();
    assert_eq!(many.2.count, 10_000 - MOST_OF_ONE as u64);
    // The share is the minute's, not the batch's.
    batch.add(scan(20_000), &Tally::one(NOW + 59));
    batch.add(scan(7), &Tally::one(NOW + 59));
    let remotes: Vec<_> = batch
        .take()
        .into_iter()
        .map(|(_, of, _)| of.remote)
        .collect();
    assert!(
        remotes.contains(&None) && remotes.contains(&scan(7).remote),
        "{remotes:?}"
    );
    batch.add(scan(20_000), &Tally::one(NOW + 60));
    assert_eq!(batch.take()[0].1, scan(20_000));
    assert!(batch.is_empty());
}

#[test]
fn programs_that_have_talked_are_known_again_and_a_first_contact_stays_one_in_an_hours_row() {
    let folder = Folder::new("programs");
    let mut database = folder.open(MANY);
    let mut contacts = Contacts::new(Vec::new(), MANY.bytes);
    let (program, file) = (curl(23).program.unwrap(), [u64::MAX, u64::MAX - 1]);
    let look = Look {
        size: 10,
        changed_ns: -5,
    };
    assert_eq!(contacts.meet(&program, None, file, NOW), Contact::First);
    assert_eq!(
        contacts.meet(&program, Some(0), [1, 2], NOW),
        Contact::First
    );
    contacts.looked(&program, file, look);
    database.write_programs(&contacts.take_changes()).unwrap();
    let first = Conversation {
        contact: Contact::First,
        ..curl(23)
    };
    let rows = [
        one(first.clone(), NOW),
        one(curl(23), NOW),
        one(curl(23), NOW + 90),
    ];
    database.write(&rows).unwrap();
    drop(database);
    let mut database = folder.open(MANY);
    let mut known = Contacts::new(database.programs().unwrap(), MANY.bytes);
    assert_eq!(known.meet(&program, None, file, NOW), Contact::Known);
    assert_eq!(known.meet(&program, Some(0), [1, 2], NOW), Contact::Known);
    known.looked(&program, file, look);
    assert_eq!(known.meet(&program, None, file, NOW), Contact::Known);
    known.looked(&program, file, Look { size: 11, ..look });
    assert_eq!(known.meet(&program, None, file, NOW), Contact::Changed);
    let gone = KnownFile {
        program,
        user: Some(0),
        file: [1, 2],
        look: None,
        last: NOW,
    };
    database.write_programs(&[Change::Forgotten(gone)]).unwrap();
    assert_eq!(database.programs().unwrap().len(), 1);
    while database.tidy(NOW + 3 * DAY).unwrap() {}
    let rows = folder.all();
    let counts: Vec<_> = rows
        .iter()
        .map(|row| (row.conversation.contact, row.tally.count))
        .collect();
    assert_eq!(counts.len(), 2, "{counts:?}");
    assert!(counts.contains(&(Contact::First, 1)) && counts.contains(&(Contact::Known, 2)));
}

#[test]
fn a_file_of_the_release_before_goes_on() {
    let folder = Folder::new("before");
    let mut database = folder.open(MANY);
    database.write(&[one(curl(23), NOW)]).unwrap();
    drop(database);
    let connection = rusqlite::Connection::open(folder.0.join(FILE)).unwrap();
    connection
        .execute_batch("DROP TABLE programs; ALTER TABLE seen DROP COLUMN contact")
        .unwrap();
    drop(connection);
    let mut database = folder.open(MANY);
    database.write(&[one(curl(24), NOW)]).unwrap();
    assert!(database.programs().unwrap().is_empty());
    let known = |row: &Row| row.conversation.contact == Contact::Known;
    assert_eq!(
        (folder.all().len(), folder.all().iter().all(known)),
        (2, true)
    );
}

#[test]
fn what_else_comes_of_a_first_contact_in_its_minute_is_in_its_row() {
    let mut batch = Batch::default();
    let first = Conversation {
        contact: Contact::First,
        ..curl(23)
    };
    batch.add(first.clone(), &Tally::one(NOW));
    batch.add(curl(23), &Tally::one(NOW + 1));
    batch.add(curl(24), &Tally::one(NOW + 1));
    assert_eq!(batch.take().len(), 2);
    batch.add(curl(23), &Tally::one(NOW + 2));
    assert_eq!(batch.take()[0].1, first, "after a write too");
    batch.add(curl(23), &Tally::one(NOW + MINUTE));
    assert_eq!(batch.take()[0].1, curl(23));
}

#[test]
fn a_clock_that_is_not_set_yet_makes_nothing_old_and_what_it_saw_is_moved_to_when_it_was() {
    let folder = Folder::new("clock");
    let bounds = Bounds { days: 2, ..MANY };
    let mut database = folder.open(bounds);
    // The clock begins in 1970, and is set an hour later.
    let begun = NOW - HOUR;
    database.write(&[one(curl(23), 5 * MINUTE)]).unwrap();
    database.write(&[one(curl(24), begun - DAY)]).unwrap();
    assert!(!database.tidy(6 * MINUTE).unwrap());
    // It leaps, as it is set by hand to another time that is not.
    assert!(!database.tidy(5 * DAY).unwrap());
    assert_eq!(folder.all().len(), 2);
    database.set_clock(begun + 7).unwrap();
    while database.tidy(NOW).unwrap() {}
    let mut rows = folder.all();
    rows.sort_by_key(|row| row.conversation.port);
    let times: Vec<_> = rows.iter().map(|row| (row.start, row.tally.last)).collect();
    assert_eq!(times[0], (begun + 5 * MINUTE, begun + 5 * MINUTE));
    assert_eq!(rows.len(), 2, "{times:?}");
    // Set back by days: what has been seen stays, until that time has come again.
    while database.tidy(NOW - 10 * DAY).unwrap() {}
    database.write(&[one(curl(25), NOW - 10 * DAY)]).unwrap();
    assert!(!database.tidy(NOW - 10 * DAY).unwrap());
    assert_eq!(folder.all().len(), 3);
    while database.tidy(NOW).unwrap() {}
    assert_eq!(folder.all().len(), 2);
}

#[test]
fn what_was_written_ahead_is_put_aside_with_the_file_and_is_not_the_next_ones() {
    let folder = Folder::new("ahead");
    let rows: Vec<_> = (0..2000).map(|n| one(scan(n), NOW)).collect();
    folder.open(MANY).write(&rows).unwrap();
    let mut database = folder.open(MANY);
    database.write(&[one(curl(23), NOW)]).unwrap();
    let ahead = fs::read(folder.0.join("history.db-wal")).unwrap();
    let mut file = fs::read(folder.0.join(FILE)).unwrap();
    assert!(ahead.len() > 4096 && file.len() > 100_000);
    // Killed, and scribbled over.
    file[40_000..80_000].fill(0xa5);
    let other = Folder::new("ahead-2");
    fs::write(other.0.join("history.db.broken-wal"), b"an older one").unwrap();
    fs::write(other.0.join(FILE), file).unwrap();
    fs::write(other.0.join("history.db-wal"), &ahead).unwrap();
    let opened = Database::open(&other.0, MANY).unwrap();
    let (aside, _) = opened.put_aside.expect("it is broken");
    assert_eq!(aside, other.0.join("history.db.broken"));
    let kept = fs::read(other.0.join("history.db.broken-wal")).unwrap();
    assert_eq!(kept, ahead);
    assert_eq!(
        other.all().len(),
        0,
        "nothing of it is taken for the new one's"
    );
}
