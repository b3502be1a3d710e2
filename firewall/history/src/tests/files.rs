//! Fates of the file: a kill, a full disk, broken bytes, another release.

use super::*;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

#[test]
fn what_was_written_survives_a_kill() {
    let folder = Folder::new();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::writes_until_it_is_killed"])
        .args(["--nocapture", "--test-threads=1"])
        .env("GATEBELL_HISTORY_FOLDER", folder.0.path())
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
    let opened = Database::open(folder.0.path(), MANY).unwrap();
    assert_eq!(opened.put_aside, None);
    assert!(
        count(&folder.all()) >= last,
        "{} of {last}",
        count(&folder.all())
    );
}

#[test]
fn a_full_file_takes_nothing_and_takes_again_once_there_is_room() {
    let folder = Folder::new();
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
        let folder = Folder::new();
        let mut database = folder.open(MANY);
        let rows: Vec<_> = (0..2000).map(|n| one(scan(n), NOW)).collect();
        database.write(&rows).unwrap();
        drop(database);
        fs::read(folder.0.path().join(FILE)).unwrap()
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
        let folder = Folder::new();
        fs::write(folder.0.path().join(FILE), &bytes).unwrap();
        let opened = Database::open(folder.0.path(), MANY).unwrap();
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
    let folder = Folder::new();
    let mut database = folder.open(MANY);
    // More than SQLite keeps in memory.
    let rows: Vec<_> = (0..20_000).map(|n| one(scan(n), NOW)).collect();
    database.write(&rows).unwrap();
    drop(database);
    let mut database = folder.open(MANY);
    let path = folder.0.path().join(FILE);
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
    let opened = Database::open(folder.0.path(), MANY).unwrap();
    assert!(opened.put_aside.is_some());
}

#[test]
fn a_file_of_the_release_before_goes_on() {
    let folder = Folder::new();
    let mut database = folder.open(MANY);
    database.write(&[one(curl(23), NOW)]).unwrap();
    drop(database);
    let connection = rusqlite::Connection::open(folder.0.path().join(FILE)).unwrap();
    connection.execute_batch("DROP INDEX seen_last").unwrap();
    let recent = PageRequest {
        since: NOW,
        ..PageRequest::default()
    };
    assert_eq!(
        folder.rows(recent).len(),
        1,
        "read before it is written to again"
    );
    connection
        .execute_batch("DROP TABLE programs; ALTER TABLE seen DROP COLUMN contact")
        .unwrap();
    let mut database = folder.open(MANY);
    assert!(has_index(&connection));
    drop(connection);
    database.write(&[one(curl(24), NOW)]).unwrap();
    assert!(database.programs().unwrap().is_empty());
    let known = |row: &Row| row.conversation.contact == Contact::Known;
    assert_eq!(
        (folder.all().len(), folder.all().iter().all(known)),
        (2, true)
    );
}

/// Numbers of rows of an index, and of an hour to add up, that are more than SQLite handles in memory.
const ROWS_OF_AN_INDEX: u32 = 100_000;
const ROWS_OF_AN_HOUR: u32 = 3000;

/// Script that runs a command where no folder for temporary files can be written to but this one.
const IN_THIS_FOLDER_ALONE: &str = r#"
for folder in /var/tmp /usr/tmp /tmp; do
    [ ! -d $folder ] || { mount --rbind $folder $folder; mount -o remount,bind,ro $folder; }
done
mount --bind "$1" "$1"; mount -o remount,bind,rw "$1"
cd /tmp; shift; exec "$@""#;

#[test]
fn many_rows_are_added_up_and_indexed_in_the_historys_own_folder_where_no_other_can_be_written_to()
{
    let folder = Folder::new();
    let alone = || {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-euc", IN_THIS_FOLDER_ALONE, "sh"]);
        command.arg(folder.0.path());
        command
    };
    let probed = alone().arg("true").stderr(Stdio::null()).status();
    let program = std::env::current_exe().unwrap();
    // Only root may, and not everywhere: others see where SQLite is told to go.
    let mut child = if probed.is_ok_and(|status| status.success()) {
        let mut command = alone();
        command.arg(program);
        command
    } else {
        Command::new(program)
    };
    let done = child
        .args(["--exact", "tests::files::adds_up_and_indexes_many_rows"])
        .args(["--nocapture", "--test-threads=1"])
        .env("GATEBELL_HISTORY_OF_MANY", folder.0.path())
        .env_remove("SQLITE_TMPDIR")
        .env_remove("TMPDIR")
        .status()
        .unwrap();
    assert!(done.success());
    let rows = u64::from(ROWS_OF_AN_INDEX + ROWS_OF_AN_HOUR);
    assert_eq!(count(&folder.all()), rows);
}

/// Child process of the test above, no promise by itself.
#[test]
fn adds_up_and_indexes_many_rows() {
    let Some(folder) = std::env::var_os("GATEBELL_HISTORY_OF_MANY") else {
        return;
    };
    let folder = Path::new(&folder);
    let open = || Database::open(folder, MANY).unwrap().database;
    let rows: Vec<_> = (0..ROWS_OF_AN_HOUR).map(|n| one(scan(n), NOW)).collect();
    open().write(&rows).unwrap();
    let beside = rusqlite::Connection::open(folder.join(FILE)).unwrap();
    let told: String = beside
        .query_row("PRAGMA temp_store_directory", [], |row| row.get(0))
        .unwrap();
    assert_eq!(Path::new(&told), folder);
    // That the test can put them in says nothing.
    beside.execute_batch("PRAGMA temp_store = MEMORY").unwrap();
    let of_a_later_time = many_rows_at(ROWS_OF_AN_INDEX, NOW + 3 * DAY);
    beside.execute_batch(&of_a_later_time).unwrap();
    beside.execute_batch("DROP INDEX seen_last").unwrap();
    let mut database = open();
    assert!(has_index(&beside));
    while database.tidy(NOW + 3 * DAY).unwrap() {}
    let hours = "SELECT count(*) FROM seen WHERE span = 3600";
    let hours = beside.query_row(hours, [], |row| row.get(0));
    assert_eq!(hours, Ok(ROWS_OF_AN_HOUR));
}

#[test]
fn an_index_that_finds_no_room_keeps_nobody_from_the_history_and_is_made_once_there_is_some() {
    let folder = Folder::new();
    let rows: Vec<_> = (0..5000).map(|n| one(scan(n), NOW)).collect();
    folder.open(MANY).write(&rows).unwrap();
    let file = folder.0.path().join(FILE);
    let connection = rusqlite::Connection::open(&file).unwrap();
    connection
        .execute_batch("DROP INDEX seen_last; VACUUM; PRAGMA wal_checkpoint(TRUNCATE)")
        .unwrap();
    let full = Bounds {
        bytes: fs::metadata(&file).unwrap().len(),
        ..MANY
    };
    let mut database = folder.open(full);
    assert!(!has_index(&connection));
    assert_eq!(folder.all().len(), 5000);
    while database.tidy(NOW).unwrap() {}
    database.write(&[one(curl(23), NOW)]).unwrap();
    drop(database);
    drop(folder.open(MANY));
    assert!(has_index(&connection));
}

#[test]
fn what_was_written_ahead_is_put_aside_with_the_file_and_is_not_the_next_ones() {
    let folder = Folder::new();
    let rows: Vec<_> = (0..2000).map(|n| one(scan(n), NOW)).collect();
    folder.open(MANY).write(&rows).unwrap();
    let mut database = folder.open(MANY);
    database.write(&[one(curl(23), NOW)]).unwrap();
    let ahead = fs::read(folder.0.path().join("history.db-wal")).unwrap();
    let mut file = fs::read(folder.0.path().join(FILE)).unwrap();
    assert!(ahead.len() > 4096 && file.len() > 100_000);
    // Killed, and scribbled over.
    file[40_000..80_000].fill(0xa5);
    let other = Folder::new();
    fs::write(
        other.0.path().join("history.db.broken-wal"),
        b"an older one",
    )
    .unwrap();
    fs::write(other.0.path().join(FILE), file).unwrap();
    fs::write(other.0.path().join("history.db-wal"), &ahead).unwrap();
    let opened = Database::open(other.0.path(), MANY).unwrap();
    let (aside, _) = opened.put_aside.expect("it is broken");
    assert_eq!(aside, other.0.path().join("history.db.broken"));
    let kept = fs::read(other.0.path().join("history.db.broken-wal")).unwrap();
    assert_eq!(kept, ahead);
    assert_eq!(
        other.all().len(),
        0,
        "nothing of it is taken for the new one's"
    );
}

fn has_index(connection: &rusqlite::Connection) -> bool {
    let index = "SELECT count(*) FROM sqlite_schema WHERE name = 'seen_last'";
    let found = connection.query_row(index, [], |row| row.get(0));
    found.unwrap()
}
