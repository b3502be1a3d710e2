//! First contacts: programs that talk for the first time, or for the first time since their files have changed. They
//! are asked for while the page is in sight that shows them among what happens, and not at all else. What was missed
//! meanwhile is told of once the page is in sight again.

use crate::followed::Followed;
use control::{HistoryPage, HistoryRow};
use view::contacts::{EVERY, NewContacts};

/// Service that has the history. Errors are sentences that say what to do.
pub trait ContactService {
    /// Returns a page of the history since this time, behind this row.
    fn history_page(&mut self, since: u64, after: u64) -> Result<HistoryPage, String>;

    /// Ends the connection. No more is asked for some seconds: users have few connections, and none is held for
    /// nothing.
    fn hang_up(&mut self);
}

/// State of the first contacts, shared by the window and the thread that asks for them.
pub type FirstContacts = Followed<ContactsState>;

/// State of the first contacts: whether they are wanted now.
#[derive(Debug, Default)]
pub struct ContactsState {
    wanted: bool,
}

#[cfg(test)]
impl ContactsState {
    /// Returns whether a page is in sight that shows them.
    pub fn is_wanted(&self) -> bool {
        self.wanted
    }
}

impl FirstContacts {
    /// Notes whether a page that shows them is in sight.
    pub fn want(&self, wanted: bool) {
        self.change(|state| std::mem::replace(&mut state.wanted, wanted) != wanted);
    }

    /// Asks until the end, and tells of each first contact from now on.
    pub fn follow(&self, service: &mut dyn ContactService, tell: &dyn Fn(HistoryRow)) {
        self.be_followed();
        let mut contacts = NewContacts::from_now_on();
        while self.wait_while(|state| !state.wanted) {
            contacts.look(
                |since, after| service.history_page(since, after),
                |row| {
                    tell(row);
                    true
                },
            );
            service.hang_up();
            self.rest_while(EVERY, |_| true);
        }
    }
}

#[cfg(target_os = "linux")]
impl ContactService for crate::questions::AtSocket {
    fn history_page(&mut self, since: u64, after: u64) -> Result<HistoryPage, String> {
        self.ask(|client| client.history_page(since, after, None))
            .map_err(|failed| crate::failed::words(&failed))
    }

    fn hang_up(&mut self) {
        self.forget_connection();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    /// Service whose history has one row, and that counts how often it was asked and let go.
    #[derive(Default)]
    struct Model {
        asked: u32,
        let_go: u32,
    }

    impl ContactService for Model {
        fn history_page(&mut self, since: u64, _: u64) -> Result<HistoryPage, String> {
            self.asked += 1;
            let row = HistoryRow {
                first: since,
                ..view::example::contact()
            };
            Ok(HistoryPage {
                rows: vec![row],
                ..HistoryPage::default()
            })
        }

        fn hang_up(&mut self) {
            self.let_go += 1;
        }
    }

    #[test]
    fn nobody_is_asked_for_first_contacts_while_no_page_is_in_sight_that_shows_them() {
        let contacts = FirstContacts::default();
        let (tell, told) = channel();
        let mut service = Model::default();
        std::thread::scope(|scope| {
            let (followed, asking) = (&contacts, &mut service);
            scope.spawn(move || followed.follow(asking, &|row| drop(tell.send(row))));
            let early = told.recv_timeout(Duration::from_millis(200));
            contacts.want(true);
            let first = told.recv_timeout(Duration::from_secs(60));
            contacts.want(false);
            contacts.end();
            assert!(early.is_err() && first.is_ok(), "{early:?}, {first:?}");
        });
        assert_eq!(told.try_iter().count(), 0, "once");
        assert_eq!((service.asked, service.let_go), (1, 1));
    }
}
