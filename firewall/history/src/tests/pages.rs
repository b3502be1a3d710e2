//! Reading page by page.

use super::*;
use crate::page::{FIRST, LOOKED_AT, look_through};

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
        page(folder.0.path(), &PageRequest::default()).unwrap(),
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
        ..PageRequest::default()
    });
    assert_eq!(own.len(), 1000);
    assert!(
        own.iter()
            .all(|row| row.conversation.user == Some(1001) && row.tally.last >= NOW + 500)
    );
}

/// Returns SQLite's plan of a query.
fn plan(folder: &Folder, statement: &str) -> String {
    let connection = rusqlite::Connection::open(folder.0.path().join(FILE)).unwrap();
    let mut asked = connection
        .prepare(&format!("EXPLAIN QUERY PLAN {statement}"))
        .unwrap();
    let parameters = (1..=asked.parameter_count()).map(|_| 7);
    let steps = asked.query_map(rusqlite::params_from_iter(parameters), |row| row.get(3));
    let steps: Vec<String> = steps.unwrap().map(Result::unwrap).collect();
    steps.join("; ")
}

fn of_user(user: u32) -> PageRequest {
    PageRequest {
        user: Some(user),
        ..PageRequest::default()
    }
}

#[test]
fn whoever_has_few_rows_does_not_have_all_be_looked_through() {
    let folder = Folder::new();
    drop(folder.open(MANY));
    let plan = plan(&folder, &look_through(&of_user(7)));
    assert!(
        plan.contains("seen_user (user=? AND rowid>?)") && !plan.contains("SORT"),
        "{plan}"
    );
}

#[test]
fn of_a_recent_time_what_is_older_is_not_looked_through() {
    let folder = Folder::new();
    drop(folder.open(MANY));
    let first = plan(&folder, FIRST);
    assert!(
        first.contains("USING COVERING INDEX seen_last (last>?)"),
        "{first}"
    );
    let rows = plan(&folder, &look_through(&PageRequest::default()));
    assert!(
        rows.contains("USING INTEGER PRIMARY KEY (rowid>?)") && !rows.contains("SORT"),
        "{rows}"
    );
}

#[test]
fn what_is_new_enough_is_found_among_older_rows_wherever_it_stands() {
    let folder = Folder::new();
    let mut database = folder.open(MANY);
    let at = |n: u64| if n % 700 == 5 { NOW + n } else { NOW - DAY - n };
    let rows: Vec<_> = (0..5000).map(|n| one(curl(n as u16), at(n))).collect();
    for rows in rows.chunks(100) {
        database.write(rows).unwrap();
    }
    let since = |since, after| PageRequest {
        since,
        after,
        ..PageRequest::default()
    };
    let ports = |asked| -> Vec<_> {
        let rows = folder.rows(asked);
        let ports = rows.iter().map(|row| row.conversation.port);
        ports.map(Option::unwrap).collect()
    };
    let new: Vec<u16> = (0..5000).filter(|n| n % 700 == 5).collect();
    assert_eq!(ports(since(NOW, 0)), new);
    assert_eq!(ports(since(NOW + 700, 0)), new[1..]);
    assert_eq!(ports(since(NOW + 10_000, 0)), [] as [u16; 0]);
    // Behind the first two, and behind all of them.
    assert_eq!(ports(since(NOW, 1000)), new[2..]);
    assert_eq!(ports(since(NOW, 5000)), [] as [u16; 0]);
    let none = page(folder.0.path(), &since(NOW + 10_000, 0)).unwrap();
    let all = page(folder.0.path(), &since(0, 0)).unwrap();
    assert_eq!(none.turn, all.turn, "whatever is asked for");
}

#[test]
fn of_a_program_its_own_rows_are_read_by_its_path_or_by_its_name() {
    let folder = Folder::new();
    let mut database = folder.open(MANY);
    let of = |port: u16, path: Option<&str>, process: &str| {
        let mut of = curl(port);
        (of.program, of.process) = (path.map(Arc::from), process.into());
        one(of, NOW)
    };
    let rows = [
        of(1, Some("/usr/bin/curl"), "curl"),
        of(2, Some("/usr/bin/wget"), "wget"),
        of(3, None, "curl"),
        of(4, None, ""),
        of(5, Some("/opt/curl"), "curl"),
        of(6, Some("/usr/bin/curl"), "renamed"),
    ];
    database.write(&rows).unwrap();
    let asked = PageRequest {
        program: Some(RequestedProgram::asked("/usr/bin/curl".to_owned())),
        ..of_user(1000)
    };
    let ports = |asked| -> Vec<_> {
        let rows = folder.rows(asked);
        let mut ports: Vec<_> = rows.iter().map(|row| row.conversation.port).collect();
        ports.sort_unstable();
        ports
    };
    assert_eq!(ports(asked.clone()), [1, 3, 5, 6].map(Some));
    assert_eq!(
        ports(PageRequest {
            user: Some(7),
            ..asked
        }),
        []
    );
    let by_name = PageRequest {
        program: Some(RequestedProgram::asked("wget".to_owned())),
        ..PageRequest::default()
    };
    assert_eq!(ports(by_name), [Some(2)]);
    // The kernel keeps the beginning of a long name.
    let long = of(7, None, "a-long-name-of-");
    database.write(&[long]).unwrap();
    let long = PageRequest {
        program: Some(RequestedProgram::asked(
            "/bin/a-long-name-of-a-program".to_owned(),
        )),
        ..PageRequest::default()
    };
    assert_eq!(ports(long), [Some(7)]);
}

#[test]
fn of_a_rare_program_or_a_recent_time_a_page_looks_through_a_part_and_the_pages_together_have_all()
{
    let folder = Folder::new();
    let mut database = folder.open(MANY);
    let mut fill = |row| {
        database.write(&[row]).unwrap();
        let connection = rusqlite::Connection::open(folder.0.path().join(FILE)).unwrap();
        let others = many_rows_at(LOOKED_AT as u32, NOW - DAY);
        connection.execute_batch(&others).unwrap();
    };
    // Behind each of the first two lie so many of others'.
    fill(one(scan(1), NOW));
    fill(one(curl(1), NOW));
    database.write(&[one(curl(2), NOW)]).unwrap();
    let look = LOOKED_AT as u64;
    let of_curl = PageRequest {
        program: Some(RequestedProgram::asked("curl".to_owned())),
        ..PageRequest::default()
    };
    let recent = PageRequest {
        since: NOW,
        after: 1,
        ..PageRequest::default()
    };
    for (asked, ends) in [
        (of_curl.clone(), [look, 2 * look]),
        (recent, [look + 1, 2 * look + 1]),
    ] {
        let (mut asked, mut next, mut ports) = (asked, Vec::new(), Vec::new());
        loop {
            let page = page(folder.0.path(), &asked).unwrap();
            ports.extend(page.rows.iter().map(|row| row.conversation.port));
            let Some(end) = page.next else { break };
            next.push(end);
            asked.after = end;
        }
        assert_eq!(next, ends, "{asked:?}");
        assert_eq!(ports, [Some(1), Some(2)], "{asked:?}");
    }
    // Of a user's few rows none of others' is looked at.
    let theirs = PageRequest {
        user: Some(1000),
        ..of_curl
    };
    let theirs = page(folder.0.path(), &theirs).unwrap();
    assert_eq!((theirs.rows.len(), theirs.next), (2, None));
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
    let page = page(folder.0.path(), &PageRequest::default()).unwrap();
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
        let page = page(folder.0.path(), &asked).unwrap();
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
