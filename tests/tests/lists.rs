//! Promises about lists that rules subscribe to: a real server, a real fetcher inside the zone, and the driver.
//!
//! Needs what the tests of the firewall need.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may fail")]

#[path = "../../firewall/fetcher/tests/server/mod.rs"]
mod server;
mod zone;

use control::{Failed, Status, SubscribedList, TroubleStatus};
use gatebell_tests::PATIENCE;
use lab::OUTSIDE;
use server::{Authority, Server, ok, status};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};
use zone::Protected;

const BEFORE: &str = "[default]\ninbound = 'block'\noutbound = 'allow'\n";
/// Address in the zone's network at which nobody is.
const BAD: &str = "10.77.0.66";
const WORSE: &str = "10.77.0.67";

/// Zone, and a server outside of it whose list a test changes.
struct Subscribed {
    zone: Protected,
    server: Server,
    list: Arc<Mutex<Option<Vec<u8>>>>,
}

impl Subscribed {
    fn start() -> Self {
        let zone = Protected::with(BEFORE);
        let list: Arc<Mutex<Option<Vec<u8>>>> = Arc::default();
        let authority = Authority::new();
        fs::write(zone.lab.folder().join("roots"), authority.pem()).unwrap();
        let inside = zone.lab.netns();
        let name = inside.file_name().unwrap().to_str().unwrap();
        let outside = inside.with_file_name(format!("{}o", name.strip_suffix('i').unwrap()));
        let outside = fs::File::open(outside).unwrap();
        let (tell, hear) = mpsc::channel();
        let served = list.clone();
        std::thread::spawn(move || {
            nix::sched::setns(outside, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            let server = authority.serve(OUTSIDE, move |_, stream| {
                let list = served.lock().unwrap().clone();
                match list {
                    Some(list) => ok(stream, "", &list),
                    None => status(stream, "404 Not Found", ""),
                }
            });
            tell.send(server).unwrap();
        });
        let subscribed = Self {
            zone,
            server: hear.recv().unwrap(),
            list,
        };
        fs::create_dir(subscribed.fetched()).unwrap();
        subscribed
    }

    fn url(&self) -> String {
        self.server.url(OUTSIDE, "bad.txt?key=secret")
    }

    fn rules(&self) -> String {
        let url = self.url();
        format!(
            "{BEFORE}[[set]]\nid = 'bad'\nurl = '{url}'\nrefresh = '1h'\n\
             [[rule]]\nid = 'no-bad'\naction = 'block'\ndirection = 'out'\ndestination = '@bad'\n"
        )
    }

    fn fetched(&self) -> PathBuf {
        self.zone.lab.folder().join("state/lists")
    }

    fn serve(&self, list: &str) {
        *self.list.lock().unwrap() = Some(list.as_bytes().to_vec());
    }

    /// Runs who fetches, inside the zone, and waits until it has ended.
    fn fetch(&self) {
        let folder = self.zone.lab.folder();
        let words = [
            "gatebell-fetch".to_owned(),
            "--wanted".to_owned(),
            folder.join("state/lists.json").display().to_string(),
            "--copies".to_owned(),
            self.fetched().display().to_string(),
            "--roots".to_owned(),
            folder.join("roots").display().to_string(),
        ];
        let program = std::env::current_exe().unwrap();
        let program = [program.to_str().unwrap(), "who_fetches", "--exact"];
        let mut command = self.zone.lab.inside(&program);
        command.env("GATEBELL_FETCH", words.join("\n"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// Has the list fetched as somebody asks for it.
    fn refresh(&self) {
        self.zone.ask().refresh_list("bad", false).unwrap();
        self.fetch();
    }

    fn list(&self) -> SubscribedList {
        self.status().lists.remove(0)
    }

    fn status(&self) -> Status {
        self.zone.ask().status().unwrap()
    }

    /// Waits until the list is so.
    fn within(&self, what: &str, holds: impl Fn(&SubscribedList) -> bool) -> SubscribedList {
        let end = Instant::now() + PATIENCE;
        loop {
            let lists = self.status().lists;
            if let Some(list) = lists.first().filter(|list| holds(list)) {
                return list.clone();
            }
            assert!(Instant::now() < end, "{what}: {lists:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Puts rules in force that subscribe to this list.
    fn take(&self, list: &str) {
        self.serve(list);
        let refused = self.zone.ask().apply("r.toml", &self.rules(), None);
        assert!(
            matches!(&refused, Err(Failed::Refused { name, .. }) if name == "ListsAwaited"),
            "{refused:?}"
        );
        self.fetch();
        self.within("it is fetched", |list| list.entries > 0);
        self.zone
            .ask()
            .apply("r.toml", &self.rules(), None)
            .unwrap();
    }

    fn passes(&self, address: &str) -> bool {
        self.zone
            .inside(&format!("echo > /dev/udp/{address}/9"))
            .status
            .success()
    }
}

#[test]
fn rules_whose_list_was_never_fetched_wait_for_it_and_the_list_is_in_force_as_it_changes() {
    let lists = Subscribed::start();
    let refused = lists.zone.ask().apply("r.toml", &lists.rules(), None);
    let Err(Failed::Refused { name, message, .. }) = &refused else {
        panic!("{refused:?}");
    };
    assert!(
        name == "ListsAwaited" && !message.contains("secret"),
        "{message}"
    );
    assert_eq!(lists.status().rules.generation, 1, "nothing was changed");
    assert!(lists.passes(BAD), "and nothing is closed");
    // The server has none: that is said, and the rules wait.
    lists.fetch();
    let list = lists.within("the try is known", |list| list.failed.is_some());
    let failed = list.failed.unwrap();
    assert_eq!(failed.kind, "status");
    assert!(failed.detail.unwrap().contains("404"));
    let refused = lists.zone.ask().apply("r.toml", &lists.rules(), None);
    assert!(format!("{refused:?}").contains("404"), "{refused:?}");
    // Asked for again by that: it is due.
    lists.serve(&format!("{BAD}\n198.51.100.0/24\n"));
    lists
        .zone
        .ask()
        .apply("r.toml", &lists.rules(), None)
        .unwrap_err();
    lists.fetch();
    lists.within("it is fetched", |list| list.entries == 2);
    let applied = lists
        .zone
        .ask()
        .apply("r.toml", &lists.rules(), None)
        .unwrap();
    assert_eq!(lists.status().trouble, []);
    assert!(!lists.passes(BAD) && lists.passes(WORSE));
    // It changes: that is another generation, and said.
    lists.serve(&format!("{WORSE}\n198.51.100.0/24\nnonsense\n192.0.2.1\n"));
    lists.refresh();
    let list = lists.within("the new one is taken", |list| list.entries == 3);
    assert_eq!((list.added, list.removed, list.unreadable), (2, 1, 1));
    assert!(
        !list.url.contains("secret") && list.trouble.is_none(),
        "{list:?}"
    );
    assert!(lists.status().rules.generation > applied.generation);
    assert!(lists.passes(BAD) && !lists.passes(WORSE));
    assert_eq!(lists.server.asked().len(), 3);
}

#[test]
fn a_list_that_went_wrong_changes_nothing_until_somebody_takes_it_as_it_is() {
    let lists = Subscribed::start();
    let route = format!("ip route add default via {OUTSIDE}");
    assert!(lists.zone.inside(&route).status.success());
    let many: String = (0..40).map(|n| format!("198.51.100.{n}\n")).collect();
    lists.take(&format!("{many}{BAD}\n"));
    let generation = lists.status().rules.generation;
    for (list, said) in [
        ("".to_owned(), "it is empty"),
        ("<!DOCTYPE html>\n".to_owned(), "web page"),
        ("198.51.100.1\n".to_owned(), "of 41 entries 1 are left"),
        (format!("{many}{BAD}\n{OUTSIDE}\n"), "blocks your router"),
    ] {
        lists.serve(&list);
        lists.refresh();
        let is_said = |list: &SubscribedList| {
            let trouble = list.trouble.as_ref();
            trouble.is_some_and(|trouble| trouble.detail.contains(said))
        };
        let list = lists.within(said, is_said);
        assert_eq!(list.entries, 41, "{said}");
        let trouble = lists.status().trouble;
        let is_said = |one: &TroubleStatus| {
            one.cause == "list_not_taken"
                && one.about.as_deref() == Some("bad")
                && one.detail.contains(said)
        };
        assert!(trouble.iter().any(is_said), "{trouble:?}");
        assert_eq!(lists.status().rules.generation, generation, "{said}");
        assert!(!lists.passes(BAD), "{said}");
    }
    lists.serve("198.51.100.1\n");
    lists.refresh();
    lists.within("it is refused", |list| list.trouble.is_some());
    lists.zone.ask().refresh_list("bad", true).unwrap();
    lists.within("it is taken as it is", |list| {
        list.entries == 1 && list.trouble.is_none()
    });
    assert!(lists.passes(BAD));
    let unknown = lists.zone.ask().refresh_list("other", false);
    assert!(matches!(unknown, Err(Failed::Refused { name, .. }) if name == "NoSuchSet"));
}

#[test]
fn the_last_good_list_outlives_the_service_its_fetcher_and_what_that_leaves() {
    let mut lists = Subscribed::start();
    lists.take(&format!("{BAD}\n"));
    // Who fetches has gone mad.
    let name = fs::read_dir(lists.fetched()).unwrap();
    let copy = name
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|ending| ending == "list"))
        .unwrap();
    fs::remove_file(&copy).unwrap();
    symlink(&lists.zone.rules, &copy).unwrap();
    lists.zone.ask().refresh_list("bad", true).unwrap();
    let list = lists.within("it is refused", |list| list.trouble.is_some());
    let trouble = list.trouble.unwrap().detail;
    assert!(trouble.contains("leads out of its folder"), "{trouble}");
    assert!(!lists.passes(BAD));
    // A service that starts anew, with nothing in the kernel and nobody who fetches.
    fs::remove_dir_all(lists.fetched()).unwrap();
    lists.zone.service.kill();
    lists.zone.recover();
    assert!(lists.passes(BAD), "nothing guards");
    assert!(!lists.zone.start_again());
    assert_eq!(lists.status().trouble, []);
    assert_eq!(lists.list().entries, 1);
    assert!(!lists.passes(BAD));
}

/// Not a promise: what a started-again copy of this program does.
#[test]
fn who_fetches() {
    let Ok(words) = std::env::var("GATEBELL_FETCH") else {
        return;
    };
    let done = fetcher::run(words.lines().map(Into::into));
    std::process::exit(i32::from(done != std::process::ExitCode::SUCCESS));
}
