//! What is read, page by page.

use super::*;

#[test]
fn a_row_is_read_as_it_was_written_and_one_minutes_is_one() {
    let folder = Folder::new();
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

#[test]
fn pages_hold_every_row_once_and_of_one_user_theirs_alone() {
    let folder = Folder::new();
    assert_eq!(
        page(folder.0.path(), PageRequest::default()).unwrap(),
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
    let folder = Folder::new();
    drop(folder.open(MANY));
    let connection = rusqlite::Connection::open(folder.0.path().join(FILE)).unwrap();
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
    let folder = Folder::new();
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
    let page = page(folder.0.path(), PageRequest::default()).unwrap();
    assert!(page.rows.len() < 100 && page.next.is_some());
    assert_eq!(folder.all().len(), 500);
}

#[test]
fn a_row_that_can_not_be_read_is_passed_over_and_counted_and_the_others_are_read() {
    let folder = Folder::new();
    let mut database = folder.open(MANY);
    let rows: Vec<_> = (0..2500).map(|n| one(curl(n), NOW)).collect();
    database.write(&rows).unwrap();
    let connection = rusqlite::Connection::open(folder.0.path().join(FILE)).unwrap();
    // As a later release may write, and as none does; a whole page of them too.
    let foreign = "UPDATE seen SET verdict = 77 WHERE port BETWEEN 1 AND 1500;
        UPDATE seen SET reason = -1 WHERE port = 1501; UPDATE seen SET contact = 99 WHERE port = 1502;
        UPDATE seen SET direction = 300 WHERE port = 1503; UPDATE seen SET remote = x'0102' WHERE port = 1504;
        UPDATE seen SET program = CAST(x'FF' AS TEXT) WHERE port = 1505;";
    connection.execute_batch(foreign).unwrap();
    let (mut asked, mut rows, mut unread) = (PageRequest::default(), Vec::new(), 0);
    loop {
        let page = page(folder.0.path(), asked).unwrap();
        unread += page.unread;
        rows.extend(page.rows);
        match page.next {
            Some(next) => asked.after = next,
            None => break,
        }
    }
    assert_eq!((rows.len(), unread), (2500 - 1505, 1505));
    assert_eq!(rows[0].conversation, curl(0));
    assert_eq!(rows[994].conversation, curl(2499));
}
