//! Programs that talk for the first time, as the service's history has them: told once each while somebody watches.

use super::is_somebody_there;
use control::{Client, HistoryPage, HistoryRow};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often the history is asked. More often would have the driver tell of each connection more often than it does by itself.
const EVERY: Duration = Duration::from_secs(5);
/// So many are told at most between two that the service has put together.
const MOST: usize = 65_536;

/// Tells of each from now on, for as long as somebody hears. Where nothing is kept, or nobody may be asked, nothing is told.
pub fn follow(socket: &Path) -> Receiver<HistoryRow> {
    let (tell, hear) = channel();
    let socket = socket.to_owned();
    let begun = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let contacts = NewContacts::since(begun.as_secs());
    std::thread::spawn(move || tell_all(&socket, contacts, &tell));
    hear
}

fn tell_all(socket: &Path, mut contacts: NewContacts, tell: &Sender<HistoryRow>) {
    let mut client = None;
    loop {
        if client.is_none() {
            let connected = Client::connect(socket).ok();
            client = connected.map(|client| client.interactive(is_somebody_there()));
        }
        let asked = client
            .as_mut()
            .map(|client| client.history_page(contacts.begun, contacts.after));
        let is_more = match asked {
            Some(Ok(page)) => {
                let is_more = page.next.is_some();
                for row in contacts.take(page) {
                    if tell.send(row).is_err() {
                        return;
                    }
                }
                is_more
            }
            // The service has ended, or its disk is slow: it is asked again.
            Some(Err(_)) | None => {
                client = None;
                false
            }
        };
        if !is_more {
            std::thread::sleep(EVERY);
        }
    }
}

/// What there is to tell of pages that are asked for one after the other, the last one again and again.
struct NewContacts {
    /// Nothing is told that was before, in seconds since 1970.
    begun: u64,
    /// What the next page is to be behind.
    after: u64,
    turn: Option<u64>,
    told: BTreeSet<Told>,
}

/// Program, user, way of being new, and when.
type Told = (Option<String>, Option<u32>, Option<String>, u64);

impl NewContacts {
    fn since(begun: u64) -> Self {
        Self {
            begun,
            after: 0,
            turn: None,
            told: BTreeSet::new(),
        }
    }

    fn take(&mut self, page: HistoryPage) -> Vec<HistoryRow> {
        // Rows were put together since: their places are others.
        if self
            .turn
            .replace(page.turn)
            .is_some_and(|turn| turn != page.turn)
            && self.after != 0
        {
            self.after = 0;
            return Vec::new();
        }
        self.after = page.next.unwrap_or(self.after);
        let rows = page.rows.into_iter();
        rows.filter(|row| row.contact.is_some() && row.first >= self.begun && self.is_new(row))
            .collect()
    }

    fn is_new(&mut self, row: &HistoryRow) -> bool {
        let (program, contact) = (row.program.clone(), row.contact.clone());
        self.told.len() < MOST && self.told.insert((program, row.user, contact, row.first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(program: &str, contact: Option<&str>, first: u64) -> HistoryRow {
        HistoryRow {
            program: Some(program.to_owned()),
            contact: contact.map(str::to_owned),
            first,
            ..HistoryRow::default()
        }
    }

    fn page(rows: &[HistoryRow], next: Option<u64>, turn: u64) -> HistoryPage {
        HistoryPage {
            rows: rows.to_vec(),
            next,
            turn,
            ..HistoryPage::default()
        }
    }

    #[test]
    fn a_first_contact_is_told_once_however_often_its_row_is_read() {
        let mut contacts = NewContacts::since(100);
        let (old, curl) = (
            row("/old", Some("first"), 99),
            row("/curl", Some("first"), 100),
        );
        let known = row("/known", None, 101);
        let first = page(&[old, curl.clone(), known], Some(3), 1);
        assert_eq!(contacts.take(first), std::slice::from_ref(&curl));
        assert_eq!(contacts.after, 3);
        let changed = row("/curl", Some("changed"), 102);
        let last = page(std::slice::from_ref(&changed), None, 1);
        assert_eq!(contacts.take(last.clone()), std::slice::from_ref(&changed));
        assert_eq!(contacts.take(last), []);
        assert_eq!(contacts.after, 3, "the last page is asked for again");
        // What was put together is read from the beginning.
        let late = row("/late", Some("first"), 103);
        assert_eq!(
            contacts.take(page(std::slice::from_ref(&late), None, 2)),
            []
        );
        assert_eq!(contacts.after, 0);
        let all = page(&[curl, changed, late.clone()], None, 2);
        assert_eq!(contacts.take(all), [late]);
    }
}
