//! Shares of the room: nobody takes that of others.

use super::*;

#[test]
fn the_file_stays_within_its_bytes_and_a_scan_makes_no_row_of_our_own_programs_go() {
    let folder = Folder::new();
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
        let file = fs::metadata(folder.0.path().join(FILE)).unwrap().len();
        assert!(file <= bounds.bytes, "{file}");
    }
    let rows = folder.all();
    let own = rows.iter().filter(|row| row.conversation.user.is_some());
    assert_eq!(own.count(), 100);
    assert!(rows.len() > 1000, "{}", rows.len());
    let wal = fs::metadata(folder.0.path().join("history.db-wal"))
        .unwrap()
        .len();
    assert!(wal < 8 << 20, "{wal}");
}

#[test]
fn an_hour_whose_sums_find_no_room_is_added_up_once_the_oldest_rows_have_made_some() {
    let folder = Folder::new();
    let mut database = folder.open(MANY);
    // Of a busy hour, then of a quiet day: as much as may be kept.
    let busy: Vec<_> = (0..5000).map(|n| one(scan(n), NOW)).collect();
    database.write(&busy).unwrap();
    let at = NOW + DAY + HOUR;
    let later: Vec<_> = (0..9000).map(|n| one(scan(n), at)).collect();
    database.write(&later).unwrap();
    drop(database);
    let length = fs::metadata(folder.0.path().join(FILE)).unwrap().len();
    let bounds = Bounds {
        bytes: length / 8 * 9,
        ..MANY
    };
    let mut database = folder.open(bounds);
    while database.tidy(at).unwrap() {}
    let rows = folder.all();
    let (hours, minutes): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.span == HOUR);
    assert_eq!(minutes.len(), 9000, "the oldest go first");
    assert!(minutes.iter().all(|row| row.start == at));
    assert!((1..5000).contains(&hours.len()), "{}", hours.len());
    database.write(&[one(curl(23), at)]).unwrap();
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
