//! Programs that talk for the first time: told once each while somebody watches.

use super::connect;
use control::HistoryRow;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use view::contacts::{EVERY, NewContacts};

/// Tells of each from now on, for as long as somebody hears. Where nothing is kept,
/// or nobody may be asked, nothing is told.
pub fn follow(socket: &Path) -> Receiver<HistoryRow> {
    let (tell, hear) = channel();
    let socket = socket.to_owned();
    let contacts = NewContacts::from_now_on();
    std::thread::spawn(move || tell_all(&socket, contacts, &tell));
    hear
}

fn tell_all(socket: &Path, mut contacts: NewContacts, tell: &Sender<HistoryRow>) {
    // Nobody hears any more: that is found out with the next one.
    while tell_those_of_a_look(socket, &mut contacts, tell) {
        std::thread::sleep(EVERY);
    }
}

/// Sends the new contacts of one look, and returns `false` if the receiver is gone. Each look has a connection of its
/// own: users have few, and none is held between two looks.
fn tell_those_of_a_look(
    socket: &Path,
    contacts: &mut NewContacts,
    tell: &Sender<HistoryRow>,
) -> bool {
    let Ok(mut client) = connect(socket) else {
        return true;
    };
    contacts.look(
        |since, after| client.history_page(since, after, None),
        |row| tell.send(row).is_ok(),
    )
}
