//! Tests of the rights of each of the service's threads.

use crate::person::Person;
use crate::zone::probe::wait_until;
use crate::zone::{Protected, RULES};
use std::fs;
use std::path::Path;

/// Bit of `CAP_DAC_READ_SEARCH`, as `/proc` writes it.
const READS_ANYTHING: u64 = 1 << 2;
/// Threads that deal with what others say, and the rights of each.
const DEAL_WITH_OTHERS: [(&str, u64); 8] = [
    ("control", 0),
    ("history", 0),
    ("history reader", 0),
    ("keeper", 0),
    ("lists", READS_ANYTHING),
    ("names", 0),
    ("program files", 0),
    ("user names", 0),
];

/// The main loop's, where a test runs the service; the process's first thread waits for it.
const MAIN_LOOP: &str = "zone::the_servi";
/// Closes what apps have sent, for the main loop or for another thread, and has what that one has.
const CLOSES: &str = "closer";

/// The capabilities that each thread of a process but its first has,
/// and whether it can get no more, with the thread's name.
fn threads(process: u32) -> Vec<(String, (u64, bool))> {
    let found = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let of = |folder: fs::DirEntry| {
        if folder.file_name().to_str() == Some(&process.to_string()) {
            return None;
        }
        let name = fs::read_to_string(folder.path().join("comm")).ok()?;
        Some((name.trim_end().to_owned(), rights(&folder.path())?))
    };
    found.flatten().filter_map(of).collect()
}

/// The capabilities of a process or a thread, by its folder in `/proc`, and whether it can get no more.
fn rights(folder: &Path) -> Option<(u64, bool)> {
    let status = fs::read_to_string(folder.join("status")).ok()?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let capabilities = u64::from_str_radix(field("CapPrm:\t")?, 16).ok()?;
    Some((capabilities, field("NoNewPrivs:\t")? == "1"))
}

#[test]
fn what_deals_with_others_has_no_more_capabilities_than_it_needs() {
    let zone = Protected::with_options(RULES, &["--history-days", "30"]);
    // A change is told of with who made it.
    Person::root(&zone).run(&["rules", "revert"]);
    let process = zone.service.process.id();
    // Who runs the tests may have been given less than a machine's root.
    let (own, _) = rights(Path::new(&format!("/proc/{process}"))).unwrap();
    let deal_with_others = DEAL_WITH_OTHERS.map(|(name, needed)| (name, needed & own));
    for (name, needed) in deal_with_others {
        wait_until(name, || {
            threads(process).contains(&(name.to_owned(), (needed, true)))
        });
    }
    let others: Vec<_> = threads(process)
        .into_iter()
        .filter(|(name, has)| {
            let is_known = |(known, needed): &(&str, u64)| known == name && *has == (*needed, true);
            ![MAIN_LOOP, CLOSES].contains(&name.as_str()) && !deal_with_others.iter().any(is_known)
        })
        .collect();
    assert!(others.is_empty(), "{others:x?}");
}
