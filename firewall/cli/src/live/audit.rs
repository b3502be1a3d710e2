//! `gatebell audit`: whether every app's books balance (I1, I7), and what was counted of packets.

use super::connect;
use crate::Error;
use crate::arguments::AskArguments;
use crate::check::counted as number_of;
use crate::outputs::say;
use crate::style;
use control::{Account, Accounts, Client, Counted, PacketCounts};
use firewall_abi::packet::Direction;
use serde_json::json;
use std::io::Write;
use std::time::Duration;

/// Text below the command's help.
pub const HELP: &str = "\
Exit codes:
  0  every record and every packet is accounted for
  1  it is not, and the app or the way is named; or there is no service
  2  the command line is wrong";

/// Number of further reads if the books do not balance, and the time between them.
const TRIES: usize = 20;
const BREATH: Duration = Duration::from_millis(100);

/// Shows every app's books; 1 if some do not balance.
pub fn audit(arguments: &AskArguments, out: &mut dyn Write) -> Result<u8, Error> {
    let mut client = connect(&arguments.socket)?;
    let mut books = Books::read(&mut client)?;
    // What moves while it is read does not balance at that moment. What is lost stays lost.
    for _ in 0..TRIES {
        if books.balance() {
            break;
        }
        std::thread::sleep(BREATH);
        books = Books::read(&mut client)?;
    }
    if arguments.json {
        writeln!(out, "{}", books.json())?;
    } else {
        print(&books, out)?;
        out.flush()?;
        warn(&books.accounts);
    }
    let faults = faults(&books);
    if faults.is_empty() {
        Ok(0)
    } else {
        Err(Error::Unbalanced(faults.join("; ")))
    }
}

/// Counters that have to balance.
struct Books {
    accounts: Accounts,
    packets: [(Direction, PacketCounts); 3],
}

impl Books {
    fn read(client: &mut Client) -> Result<Self, Error> {
        let (accounts, stats) = (client.accounts()?, client.stats()?);
        let packets = Direction::ALL.map(|direction| (direction, stats.packets(direction)));
        Ok(Self { accounts, packets })
    }

    fn balance(&self) -> bool {
        self.accounts.balances && self.packets.iter().all(|(_, packets)| packets.balances())
    }

    fn json(&self) -> serde_json::Value {
        let mut object = json!(self.accounts);
        let packets = self.packets.iter().map(|(direction, packets)| {
            let mut counted = json!(packets);
            counted["judged"] = packets.judged().into();
            (direction.name().to_owned(), counted)
        });
        object["packets"] = packets.collect();
        object["balances"] = self.balance().into();
        object
    }
}

/// Mark behind books that do not balance.
const UNBALANCED: &str = "  DOES NOT BALANCE";

fn print(books: &Books, out: &mut dyn Write) -> Result<(), Error> {
    let Books { accounts, packets } = books;
    for app in &accounts.apps {
        let sign = if app.balances { "" } else { UNBALANCED };
        writeln!(out, "{:<34} {}{sign}", name(app), offered(&app.counted))?;
    }
    writeln!(
        out,
        "{:<34} {}",
        "apps that are gone",
        offered(&accounts.past)
    )?;
    let attached = accounts.taken.wrapping_sub(accounts.released);
    let Accounts {
        taken, released, ..
    } = accounts;
    writeln!(
        out,
        "{:<34} {taken} taken = {released} released + {attached} held",
        "references"
    )?;
    for (direction, packets) in packets {
        let PacketCounts {
            allowed,
            refused,
            left,
        } = packets;
        let sign = if packets.balances() { "" } else { UNBALANCED };
        writeln!(
            out,
            "{:<34} judged {} = allowed {allowed} + refused {refused} + left to nobody {left}{sign}",
            way(*direction),
            packets.judged(),
        )?;
    }
    if books.balance() {
        let strong = style::STRONG;
        let apps = number_of(accounts.apps.len() as u64, "app");
        writeln!(
            out,
            "{strong}Every record is accounted for{strong:#}: {apps} attached, and those that are gone."
        )?;
    }
    Ok(())
}

/// Names the apps whose pages lie. The driver's books are not made of what apps say, so they balance all the same.
fn warn(accounts: &Accounts) {
    let warning = style::WARNING;
    for liar in accounts.apps.iter().filter(|app| app.lies) {
        say(format_args!(
            "{warning}warning:{warning:#} {} lies about what it has read of its ring; that harms nobody but itself: what it \
             shows is not to be trusted, end it",
            name(liar)
        ));
    }
}

fn name(app: &Account) -> String {
    format!("slot {}, process {}, user {}", app.slot, app.pid, app.user)
}

fn offered(counted: &Counted) -> String {
    let Counted {
        offered,
        committed,
        lost_no_room,
        lost_closing,
        lost_too_large,
    } = *counted;
    let lost = lost_no_room
        .wrapping_add(lost_closing)
        .wrapping_add(lost_too_large);
    let causes = [
        ("no room", lost_no_room),
        ("closing", lost_closing),
        ("too large", lost_too_large),
    ];
    let causes: Vec<_> = causes
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(cause, count)| format!("{cause} {count}"))
        .collect();
    let causes = if causes.is_empty() {
        String::new()
    } else {
        format!(" ({})", causes.join(", "))
    };
    format!("offered {offered} = committed {committed} + lost {lost}{causes}")
}

fn way(direction: Direction) -> String {
    format!("packets {}", direction.name())
}

/// Returns the names of the apps and the directions whose counters do not balance.
fn faults(books: &Books) -> Vec<String> {
    let Books { accounts, packets } = books;
    let mut faults: Vec<_> = accounts
        .apps
        .iter()
        .filter(|app| !app.balances)
        .map(name)
        .collect();
    if faults.is_empty() && !accounts.balances {
        faults.push("the references, or the books of apps that are gone".to_owned());
    }
    let packets = packets.iter().filter(|(_, packets)| !packets.balances());
    faults.extend(packets.map(|(direction, _)| way(*direction)));
    faults
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

    use super::*;

    fn books(balances: bool) -> Books {
        let counted = Counted {
            offered: 10,
            committed: 7,
            lost_no_room: 2,
            lost_closing: 1,
            lost_too_large: 0,
        };
        let app = |slot, balances| Account {
            slot,
            pid: 100 + slot,
            user: 1000,
            counted,
            balances,
            lies: false,
        };
        let apps = vec![app(0, true), app(1, balances)];
        let accounts = Accounts {
            taken: 5,
            released: 3,
            apps,
            past: Counted::default(),
            balances,
        };
        let packets = PacketCounts {
            allowed: 5,
            refused: 1,
            left: 2,
        };
        Books {
            accounts,
            packets: Direction::ALL.map(|direction| (direction, packets)),
        }
    }

    #[test]
    fn who_does_not_balance_is_named() {
        assert_eq!(faults(&books(true)), Vec::<String>::new());
        assert_eq!(faults(&books(false)), ["slot 1, process 101, user 1000"]);
    }

    #[test]
    fn references_that_do_not_balance_are_nobodys_and_named_too() {
        let mut books = books(true);
        books.accounts.balances = false;
        assert_eq!(faults(&books).len(), 1);
    }

    #[test]
    fn packets_that_are_left_to_nobody_stand_in_the_books_and_more_taken_back_than_counted_is_named()
     {
        let mut books = books(true);
        let mut shown = Vec::new();
        print(&books, &mut shown).unwrap();
        let shown = String::from_utf8(shown).unwrap();
        assert!(
            shown.contains("packets in                         judged 8 = allowed 5 + refused 1 + left to nobody 2\n"),
            "{shown}"
        );
        assert_eq!(books.json()["packets"]["in"]["judged"], 8);
        books.packets[0].1.left = u64::MAX;
        assert!(!books.balance());
        assert_eq!(faults(&books), ["packets in"]);
        let mut shown = Vec::new();
        print(&books, &mut shown).unwrap();
        let shown = String::from_utf8(shown).unwrap();
        assert!(
            shown.contains("DOES NOT BALANCE") && !shown.contains("accounted for"),
            "{shown}"
        );
    }

    #[test]
    fn losses_are_shown_by_their_causes() {
        let mut shown = Vec::new();
        print(&books(true), &mut shown).unwrap();
        let shown = String::from_utf8(shown).unwrap();
        assert!(
            shown.contains("offered 10 = committed 7 + lost 3 (no room 2, closing 1)"),
            "{shown}"
        );
        assert!(shown.contains("5 taken = 3 released + 2 held"), "{shown}");
    }
}
