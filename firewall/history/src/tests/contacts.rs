//! First contacts.

use super::*;

#[test]
fn programs_that_have_talked_are_known_again_and_a_first_contact_stays_one_in_an_hours_row() {
    let folder = Folder::new();
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
