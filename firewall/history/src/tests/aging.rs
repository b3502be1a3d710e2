//! Aging of minutes to hours and days until they go, and wrong clocks.

use super::*;

#[test]
fn minutes_are_added_up_to_hours_and_hours_to_days_and_nothing_is_lost_on_the_way() {
    let folder = Folder::new();
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
    let folder = Folder::new();
    let mut database = folder.open(Bounds { days: 3, ..MANY });
    database
        .write(&[one(curl(23), NOW), one(curl(80), NOW + 3 * DAY)])
        .unwrap();
    let turn = page(folder.0.path(), &PageRequest::default()).unwrap().turn;
    while database.tidy(NOW + 4 * DAY).unwrap() {}
    let page = page(folder.0.path(), &PageRequest::default()).unwrap();
    assert_eq!(page.rows.len(), 1, "{page:?}");
    assert_eq!(page.rows[0].conversation, curl(80));
    assert!(page.turn > turn, "who reads page by page hears of it");
}

#[test]
fn a_clock_that_is_not_set_yet_makes_nothing_old_and_what_it_saw_is_moved_to_when_it_was() {
    let folder = Folder::new();
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
