//! Tests of a driver's reports: opened files and process creations.

use super::{RING, attach};
use crate::place::{Child, Folder, Host, Zone, object, within};
use crate::tripwire;
use channel::{Ending, Item, Mask};
use gatebell_tests::PATIENCE;
use sample_abi::{Process, kind};
use sample_host::tracing::with_tracefs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tripwire_record::Opened;

#[test]
fn an_app_that_loads_its_own_driver_is_told_who_opens_a_file() {
    let folder = Folder::make();
    let (bait, socket) = (folder.path("bait"), folder.path("device.sock"));
    std::fs::write(&bait, "bait").unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let (name, device) = (bait.to_str().unwrap().to_owned(), socket.clone());
    let app = std::thread::spawn(move || {
        let opened = |opened: &Opened| tell.send(*opened).unwrap();
        with_tracefs(|| tripwire::watch(&object("tripwire"), &device, &name, opened)).unwrap()
    });
    let read = |file: &Path| {
        let mut cat = std::process::Command::new("cat")
            .arg(file)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        cat.wait().unwrap();
        cat.id()
    };
    // Until the driver is loaded nobody is told of anything.
    let mut reader = 0;
    within(PATIENCE, || {
        reader = read(&bait);
        std::iter::from_fn(|| told.recv_timeout(Duration::from_millis(200)).ok())
            .any(|opened| opened.pid == reader && opened.user == 0)
    });
    read(&folder.path("other"));
    let second = read(&bait);
    let opened = told.recv_timeout(PATIENCE).unwrap();
    assert_eq!(opened.pid, second, "and of no other file");
    channel::open(&socket).unwrap().detach_all().unwrap();
    assert_eq!(app.join().unwrap().unwrap(), Ending::DriverStopping);
}

#[test]
fn a_new_process_of_the_zone_is_reported_to_every_app_and_no_other_is() {
    let zone = Zone::make();
    let host = Host::start(Some(&zone));
    let mut apps = [0, 1].map(|_| attach(&host.open(), RING, Mask::of(kind::PROCESS_START)));
    let named = host.open().system().named().unwrap();
    let pulsed = std::thread::spawn(move || named.wait(Some(PATIENCE)).unwrap());
    Child::start("nothing", &host).ends_well();
    std::thread::sleep(Duration::from_millis(50));
    let mut child = Child::start(&format!("exec {}", zone.path().display()), &host);
    let pid: u32 = child.says("pid").parse().unwrap();
    child.ends_well();
    for app in &mut apps {
        let mut seen = Vec::new();
        app.drain(|item| {
            if let Item::Record(record) = item {
                seen.push(*record.read::<Process>().unwrap());
            }
        })
        .unwrap();
        let [process] = seen[..] else {
            panic!("not one process: {seen:?}")
        };
        assert_eq!((process.pid, process.user), (pid, 0));
        let path = std::env::current_exe().unwrap().display().to_string();
        let told = process.path.split(|byte| *byte == 0).next().unwrap();
        assert!(
            path.as_bytes().starts_with(told) && told.len() > 8,
            "{process:?}"
        );
    }
    // A pulse that comes before its waiter waits is lost, which is the article's fault and not
    // this test's: another one then.
    while !pulsed.is_finished() {
        Child::start(&format!("exec {}", zone.path().display()), &host).ends_well();
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(pulsed.join().unwrap(), "the background's way");
}
