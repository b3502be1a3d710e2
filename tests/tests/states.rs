//! Promises of the service about the rules that it holds and the states that it finds,
//! which no kernel's release changes.
//!
//! Needs what the tests of the firewall need.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may fail")]

#[allow(
    dead_code,
    reason = "shared with the tests of the channel, which need all of it"
)]
#[path = "linux/hostile.rs"]
mod hostile;
#[path = "states/tamper.rs"]
mod tamper;
mod zone;

use control::{FALLBACK_FILE, FALLBACK_TABLE, Fallback};
use lab::{INSIDE, INSIDE_V6, OUTSIDE};
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use zone::probe::{
    add_pair, allowing, ip, lets_in, name, nothing_is_left, nothing_judges, refuses, version,
    wait_until,
};
use zone::{Protected, RULES};

#[test]
fn a_bad_rule_file_changes_nothing_and_a_good_one_takes_the_old_ones_place() {
    let mut zone = Protected::start();
    fs::write(&zone.rules, "[default]\ninbound = \"perhaps\"\n").unwrap();
    zone.signal(Signal::SIGHUP);
    assert_eq!(zone.hear("reloaded"), 1);
    assert!(refuses(&zone));
    fs::write(&zone.rules, allowing()).unwrap();
    zone.signal(Signal::SIGHUP);
    assert_eq!(zone.hear("reloaded"), 2);
    assert!(!refuses(&zone));
}

/// Returns the offset of this section of an object file.
fn section(object: &[u8], wanted: &str) -> usize {
    let number = |at: usize, bytes: usize| {
        object[at..at + bytes]
            .iter()
            .rev()
            .fold(0_usize, |number, byte| number << 8 | usize::from(*byte))
    };
    let header = |n: usize| number(0x28, 8) + n * number(0x3A, 2);
    let names = number(header(number(0x3E, 2)) + 0x18, 8);
    let is_wanted = |n: &usize| {
        let name = names + number(header(*n), 4);
        object[name..].starts_with(format!("{wanted}\0").as_bytes())
    };
    number(
        header((0..number(0x3C, 2)).find(is_wanted).unwrap()) + 0x18,
        8,
    )
}

#[test]
fn a_driver_that_the_kernel_refuses_is_said_in_short_and_what_its_verifier_says_is_kept() {
    let mut driver = fs::read(zone::driver()).unwrap();
    let program = section(&driver, "cgroup/sock_create");
    // r0 = r9, which nobody has written.
    driver[program..program + 8].copy_from_slice(&[0xBF, 0x90, 0, 0, 0, 0, 0, 0]);
    let (said, left) = Protected::refused_driver(&driver);
    let logs: Vec<_> = left
        .iter()
        .filter(|(path, _)| !path.ends_with(FALLBACK_FILE))
        .collect();
    let [(file, log)] = logs[..] else {
        panic!("{left:?}")
    };
    assert!(
        file.ends_with("verifier.log") && log.contains("R9 !read_ok"),
        "{left:?}"
    );
    for part in [
        "the program socket_made",
        "R9 !read_ok",
        &file.display().to_string(),
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(said.matches("R9 !read_ok").count(), 1, "{said}");
}

#[test]
fn where_no_driver_can_be_loaded_a_table_of_nftables_guards_until_one_judges() {
    let mut zone = Protected::start();
    let broken = zone.lab.folder().join("broken.o");
    let object = fs::read(zone::driver()).unwrap();
    fs::write(&broken, &object[..object.len() / 2]).unwrap();
    let state = zone.lab.folder().join("state");
    let table = |zone: &Protected| {
        let listed = zone.inside(&format!("nft list table inet {FALLBACK_TABLE}"));
        listed.status.success()
    };
    // A driver judges: while its service lives, and once that is dead.
    let said = zone.fails_to_start(&broken, &[]);
    assert!(said.contains("another service lives"), "{said}");
    assert!(!table(&zone) && Fallback::read(&state).is_none());
    zone.service.kill();
    let said = zone.fails_to_start(&broken, &[]);
    assert!(!said.contains(FALLBACK_TABLE), "{said}");
    assert!(!table(&zone) && refuses(&zone));
    zone.recover();
    assert!(lets_in(&zone, INSIDE, 8081, true), "nothing judges");

    let said = zone.fails_to_start(&broken, &[]);
    assert!(said.contains("no driver judges; the table"), "{said}");
    assert!(Fallback::read(&state).unwrap().in_force);
    assert!(!lets_in(&zone, INSIDE, 8081, false));
    assert!(lets_in(&zone, INSIDE, 22, true), "nobody is locked out");
    for who in [INSIDE, INSIDE_V6] {
        let pinged = zone.outside(&format!("busybox ping -c 1 -W 30 {who}"));
        assert!(pinged.status.success(), "{pinged:?}");
    }
    let page = zone.inside(&format!(
        "timeout 60 busybox wget -q -O - http://{OUTSIDE}/"
    ));
    assert!(!page.stdout.is_empty(), "what goes out passes");
    // Tried again and again, as systemd does.
    zone.fails_to_start(&broken, &[]);
    assert!(table(&zone) && !lets_in(&zone, INSIDE, 8081, false));

    assert!(!zone.start_again());
    assert!(!table(&zone), "a driver judges");
    assert!(Fallback::read(&state).is_none() && refuses(&zone));
    assert_eq!(zone.ask().status().unwrap().trouble, []);
    zone.service.stop();
    zone.recover();

    zone.fails_to_start(&broken, &[]);
    let taken = zone.recover();
    assert!(
        taken.iter().any(|what| what.contains(FALLBACK_TABLE)),
        "{taken:?}"
    );
    assert!(!table(&zone) && lets_in(&zone, INSIDE, 8081, true));
    // Where there is no nftables either, that is said.
    let said = zone.fails_to_start(&broken, &["--nft", "/nonexistent/nft"]);
    assert!(said.contains("EVERYTHING PASSES"), "{said}");
    let left = Fallback::read(&state).unwrap();
    assert!(!left.in_force && left.judges.contains("EVERYTHING PASSES"));
}

#[test]
fn what_the_service_leaves_is_what_the_rules_say_of_its_end() {
    let gone = |what: &str| format!("{RULES}\n[service]\nfail_mode = \"{what}\"\n");
    let get = |zone: &Protected, meant: bool| {
        let patience = if meant { 60 } else { 2 };
        !zone
            .inside(&format!(
                "timeout {patience} busybox wget -q -O - http://{OUTSIDE}/"
            ))
            .stdout
            .is_empty()
    };
    let mut zone = Protected::with(&gone("closed"));
    assert!(get(&zone, true) && refuses(&zone), "while it lives");
    zone.service.kill();
    assert!(!get(&zone, false), "closed");
    fs::write(&zone.rules, gone("open")).unwrap();
    zone.start_again();
    assert!(get(&zone, true) && refuses(&zone), "the next one serves");
    zone.service.kill();
    assert!(get(&zone, true) && !refuses(&zone), "open");
    fs::write(&zone.rules, gone("static")).unwrap();
    zone.start_again();
    zone.service.stop();
    assert!(
        get(&zone, true) && refuses(&zone),
        "static, also when it was asked to end"
    );
}

#[test]
fn a_renamed_device_is_known_to_rules_by_its_new_name_at_once() {
    let rule = "\n[[rule]]\nid = \"no-uplink\"\naction = \"block\"\ndirection = \"out\"\ninterface = \"uplink\"\n";
    let zone = Protected::with(&format!("{RULES}{rule}"));
    add_pair(&zone, "gb2", "gb3", 1);
    let sends = || zone.inside("echo > /dev/udp/10.78.1.1/19").status.success();
    assert!(sends());
    let netns = name(&zone.lab.netns());
    ip(&["-n", &netns, "link", "set", "gb2", "down"]);
    ip(&["-n", &netns, "link", "set", "gb2", "name", "uplink"]);
    ip(&["-n", &netns, "link", "set", "uplink", "up"]);
    assert!(!sends());
    ip(&["-n", &netns, "link", "set", "uplink", "down"]);
    ip(&["-n", &netns, "link", "set", "uplink", "name", "gb"]);
    ip(&["-n", &netns, "link", "set", "gb", "up"]);
    assert!(sends(), "a shorter one, too");
}

#[test]
fn a_lease_goes_on_through_a_killed_service_and_the_next_one_can_confirm_it() {
    let mut zone = Protected::start();
    zone.ask()
        .apply("new.toml", &allowing(), Some(Duration::from_secs(600)))
        .unwrap();
    zone.service.kill();
    zone.start_again();
    assert!(zone.ask().status().unwrap().lease.is_some() && !refuses(&zone));
    assert_eq!(
        fs::read_to_string(&zone.rules).unwrap(),
        RULES,
        "until then the disk has what was confirmed"
    );
    zone.ask().confirm(None).unwrap();
    assert_eq!(fs::read_to_string(&zone.rules).unwrap(), allowing());
    zone.service.kill();
    zone.start_again();
    assert!(zone.ask().status().unwrap().lease.is_none() && !refuses(&zone));
}

#[test]
fn a_second_lease_takes_the_candidates_place_and_never_that_of_the_confirmed_rules() {
    let mut zone = Protected::start();
    let lease = Some(Duration::from_secs(600));
    let first = zone
        .ask()
        .apply(
            "first.toml",
            &RULES.replace("\"allow\"", "\"block\""),
            lease,
        )
        .unwrap();
    let second = zone
        .ask()
        .apply("second.toml", &allowing(), Some(Duration::from_secs(6)))
        .unwrap();
    assert!(second.generation > first.generation && !refuses(&zone));
    assert_eq!(second.lease.unwrap().fallback, 1);
    assert_eq!(zone.hear("lease_ended"), second.generation);
    assert!(refuses(&zone));
    assert_eq!(zone.ask().status().unwrap().rules.generation, 1);
    zone.ask().apply("third.toml", &allowing(), lease).unwrap();
    assert_eq!(zone.ask().revert(None).unwrap().generation, 1);
    assert!(refuses(&zone) && fs::read_to_string(&zone.rules).unwrap() == RULES);
}

#[test]
fn hooks_of_another_release_go_once_the_new_ones_are_on() {
    let mut zone = Protected::start();
    zone.service.kill();
    fs::rename(version(&zone), zone.lab.pins().join("v1")).unwrap();
    assert!(refuses(&zone));
    assert!(!zone.start_again(), "its tables can't be used");
    assert!(version(&zone).exists() && !zone.lab.pins().join("v1").exists());
    assert!(refuses(&zone) && !lets_in(&zone, INSIDE, 5353, false));
    fs::write(&zone.rules, allowing()).unwrap();
    zone.signal(Signal::SIGHUP);
    zone.hear("reloaded");
    assert!(!refuses(&zone), "nobody judges by the old rules any more");
}

#[test]
fn a_bad_file_at_the_start_keeps_the_rules_that_the_kernel_has() {
    let mut zone = Protected::start();
    zone.service.kill();
    fs::write(&zone.rules, "[default]\n").unwrap();
    assert!(zone.start_again() && refuses(&zone));
    let status = zone.ask().status().unwrap();
    assert_eq!(
        (status.rules.generation, status.trouble.len()),
        (1, 1),
        "{status:?}"
    );
    assert_eq!(
        zone.ask().rules().unwrap().text.as_deref(),
        Some(RULES),
        "their text is kept beside"
    );
    fs::write(&zone.rules, allowing()).unwrap();
    zone.ask().reload().unwrap();
    assert!(zone.ask().status().unwrap().trouble.is_empty() && !refuses(&zone));
}

/// The service ends and takes everything out of the kernel, as a reboot does.
fn reboot(zone: &mut Protected) {
    zone.recover();
    zone.service.process.wait().unwrap();
    nothing_judges(zone);
}

#[test]
fn a_start_from_nothing_with_a_bad_rule_file_has_the_last_good_rules_and_says_so() {
    let mut zone = Protected::start();
    reboot(&mut zone);
    for bad in ["[default]\n", "<!DOCTYPE html>\n", "\u{0}"] {
        fs::write(&zone.rules, bad).unwrap();
        assert!(!zone.start_again(), "there was nothing in the kernel");
        assert!(
            refuses(&zone) && !lets_in(&zone, INSIDE, 5353, false),
            "{bad}"
        );
        let status = zone.ask().status().unwrap();
        let said = &status.trouble[0].detail;
        assert!(
            said.contains("the last good rules") && said.contains("systemctl reload gatebell"),
            "{said}"
        );
        assert!(
            status.trouble[1].detail.contains("rules.toml"),
            "{status:?}"
        );
        assert_eq!(zone.ask().rules().unwrap().text.as_deref(), Some(RULES));
        reboot(&mut zone);
    }
    fs::remove_file(&zone.rules).unwrap();
    zone.start_again();
    assert!(refuses(&zone) && zone.ask().status().unwrap().trouble.len() == 2);
    fs::write(&zone.rules, allowing()).unwrap();
    wait_until("the rule file is taken once it is good", || {
        zone.ask().status().unwrap().trouble.is_empty()
    });
    assert!(!refuses(&zone), "by the rule file");
}

#[test]
fn a_rule_file_that_is_no_file_or_too_large_is_as_wrong_as_any_other_and_is_not_waited_for() {
    /// Name of what is put at a path, and how.
    type Put = (&'static str, fn(&Path));
    let mut zone = Protected::start();
    reboot(&mut zone);
    let puts: [Put; 4] = [
        ("a pipe", |path| {
            let made = Command::new("mkfifo").arg(path).status().unwrap();
            assert!(made.success());
        }),
        ("a folder", |path| fs::create_dir(path).unwrap()),
        ("a link to itself", |path| symlink(path, path).unwrap()),
        ("larger than any", |path| {
            let file = fs::File::create_new(path).unwrap();
            file.set_len(2 << 30).unwrap();
        }),
    ];
    for (what, put) in puts {
        fs::remove_file(&zone.rules)
            .or_else(|_| fs::remove_dir(&zone.rules))
            .unwrap();
        put(&zone.rules);
        zone.start_again();
        assert!(refuses(&zone), "{what}");
        let troubles = zone.troubles();
        assert!(troubles[0].contains("the last good rules"), "{troubles:?}");
        reboot(&mut zone);
    }
}

#[test]
fn a_start_with_neither_configuration_nor_state_has_the_built_in_minimum_and_says_so() {
    let mut zone = Protected::start();
    reboot(&mut zone);
    let kept = zone.lab.folder().join("kept");
    fs::remove_file(&zone.rules).unwrap();
    for kept_bytes in [None, Some(&b"gatebell"[..])] {
        fs::remove_dir_all(&kept).unwrap();
        if let Some(bytes) = kept_bytes {
            fs::create_dir(&kept).unwrap();
            fs::write(kept.join("last-good"), bytes).unwrap();
        }
        zone.start_again();
        assert!(!lets_in(&zone, INSIDE, 5353, false), "nothing comes in");
        assert!(lets_in(&zone, INSIDE, 22, true), "but ssh");
        assert!(!refuses(&zone), "and everything goes out");
        let said = zone.troubles().join("\n");
        assert!(
            said.contains("the built-in minimum") && said.contains("systemctl reload gatebell"),
            "{said}"
        );
        reboot(&mut zone);
        fs::create_dir_all(&kept).unwrap();
    }
    // Somebody else's folder is not believed.
    zone.start_again();
    fs::write(&zone.rules, RULES).unwrap();
    zone.ask().reload().unwrap();
    reboot(&mut zone);
    fs::remove_file(&zone.rules).unwrap();
    chown(&kept, Some(1234), None).unwrap();
    zone.start_again();
    let said = zone.troubles().join("\n");
    assert!(said.contains("the built-in minimum"), "{said}");
    chown(&kept, Some(0), None).unwrap();
}

/// Small file systems, mounted on folders. Dropped, they are unmounted.
struct Full(Vec<PathBuf>);

impl Full {
    fn mount(folders: &[PathBuf]) -> Self {
        Self::of(folders, "4k")
    }

    fn of(folders: &[PathBuf], size: &str) -> Self {
        for folder in folders {
            fs::create_dir_all(folder).unwrap();
            let options = format!("size={size},mode=700");
            let words = ["-t", "tmpfs", "-o", &options, "none"];
            let mounted = Command::new("mount").args(words).arg(folder).status();
            assert!(mounted.unwrap().success());
            fill(folder);
        }
        Self(folders.to_vec())
    }

    /// A mount of a file over itself: nothing takes its place.
    fn over(file: &Path) -> Self {
        let words = [Path::new("--bind"), file, file];
        let mounted = Command::new("mount").args(words).status();
        assert!(mounted.unwrap().success());
        Self(vec![file.to_owned()])
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        for folder in &self.0 {
            let _stays = Command::new("umount").arg("-l").arg(folder).status();
        }
    }
}

/// Moves the rule file to a small file system of its own, and starts the service again.
fn on_a_small_disk(zone: &mut Protected) -> Full {
    zone.service.stop();
    let folder = zone.lab.folder().join("small");
    let disk = Full::of(std::slice::from_ref(&folder), "1m");
    free(&folder);
    fs::copy(&zone.rules, folder.join("rules.toml")).unwrap();
    fs::remove_file(&zone.rules).unwrap();
    symlink(folder.join("rules.toml"), &zone.rules).unwrap();
    zone.start_again();
    disk
}

fn fill(folder: &Path) {
    let _as_much_as_fits = fs::write(folder.join("filler"), vec![0; 2 << 20]);
}

fn free(folder: &Path) {
    fs::remove_file(folder.join("filler")).unwrap();
}

#[test]
fn a_reload_writes_what_could_not_be_written_and_takes_nothing_back_while_it_can_not_be() {
    let mut zone = Protected::start();
    let disk = on_a_small_disk(&mut zone);
    let folder = &disk.0[0];
    let trouble = || zone.troubles().concat();
    fill(folder);
    let said = zone.ask().apply("new", &allowing(), None).unwrap_err();
    assert!(said.to_string().contains("systemctl reload"), "{said}");
    let said = zone.ask().reload().unwrap_err();
    assert!(said.to_string().contains("rules apply"), "{said}");
    assert!(!refuses(&zone) && zone.ask().rules().unwrap().unwritten);
    assert!(trouble().contains("systemctl reload"), "{}", trouble());
    // The rules that the file holds need no room.
    zone.ask().apply("rules.toml", RULES, None).unwrap();
    assert!(refuses(&zone) && !zone.ask().rules().unwrap().unwritten);
    assert!(!trouble().contains("rule file"), "{}", trouble());
    zone.ask().apply("new", &allowing(), None).unwrap_err();
    free(folder);
    assert_eq!(fs::read_to_string(&zone.rules).unwrap(), RULES);
    zone.ask().reload().unwrap();
    assert_eq!(fs::read_to_string(&zone.rules).unwrap(), allowing());
    assert!(!refuses(&zone) && !trouble().contains("rule file"));

    // What somebody writes there meanwhile is what they want.
    fill(folder);
    zone.ask().apply("old", RULES, None).unwrap_err();
    free(folder);
    let by_hand = format!("# by hand\n{}", allowing());
    fs::write(&zone.rules, &by_hand).unwrap();
    zone.ask().reload().unwrap();
    assert_eq!(fs::read_to_string(&zone.rules).unwrap(), by_hand);
    assert!(!refuses(&zone) && !trouble().contains("rule file"));

    // A file that can't be replaced, in a folder that can be written to.
    zone.service.stop();
    let _mounted = Full::over(&folder.join("rules.toml"));
    assert!(zone.start_again());
    zone.ask().apply("old", RULES, None).unwrap_err();
    let kept = || {
        let states = fs::read_dir(folder.join("rules.toml.undo")).unwrap();
        states.count()
    };
    let before = kept();
    for _ in 0..3 {
        zone.ask().reload().unwrap_err();
    }
    assert_eq!(kept(), before, "it is kept once");
    zone.service.stop();
}

#[test]
fn a_full_disk_keeps_no_service_from_guarding_and_is_said() {
    let mut zone = Protected::start();
    reboot(&mut zone);
    let full = Full::mount(&["state", "kept"].map(|name| zone.lab.folder().join(name)));
    zone.start_again();
    assert!(refuses(&zone) && !lets_in(&zone, INSIDE, 5353, false));
    wait_until("both are said", || {
        let trouble = zone.troubles();
        trouble.len() == 2 && trouble.iter().all(|said| said.contains("make room"))
    });
    zone.service.stop();
    drop(full);
}

#[test]
fn a_list_that_is_none_today_is_used_as_it_was_and_said() {
    let lists = "\n[[set]]\nid = \"bad\"\nfile = \"bad.txt\"\n\n[[rule]]\nid = \"no-bad\"\naction = \"block\"\ndirection = \"out\"\ndestination = \"@bad\"\n";
    let mut zone = Protected::start();
    let list = zone.lab.folder().join("bad.txt");
    fs::write(&list, format!("{OUTSIDE}\n")).unwrap();
    fs::write(&zone.rules, format!("{RULES}{lists}")).unwrap();
    zone.ask().reload().unwrap();
    let is_blocked = |zone: &Protected| {
        !zone
            .inside(&format!("echo > /dev/udp/{OUTSIDE}/19"))
            .status
            .success()
    };
    assert!(is_blocked(&zone) && zone.ask().status().unwrap().trouble.is_empty());
    reboot(&mut zone);
    for wrong in [Some("<!DOCTYPE html>\n"), Some(""), None] {
        match wrong {
            Some(text) => fs::write(&list, text).unwrap(),
            None => fs::remove_file(&list).unwrap(),
        }
        zone.start_again();
        assert!(is_blocked(&zone), "{wrong:?}");
        let trouble = zone.troubles();
        assert!(
            trouble.len() == 1
                && trouble[0].contains("the copy of")
                && trouble[0].contains("bad.txt"),
            "{trouble:?}"
        );
        reboot(&mut zone);
    }
}

#[test]
fn a_program_that_was_replaced_is_known_again() {
    let program = std::env::temp_dir().join(format!("gatebell-program-{}", std::process::id()));
    let busybox = String::from_utf8(
        Command::new("sh")
            .args(["-c", "command -v busybox"])
            .output()
            .unwrap()
            .stdout,
    )
    .unwrap();
    fs::copy(busybox.trim(), &program).unwrap();
    let path = program.display();
    let rule = format!(
        "\n[[rule]]\nid = \"not-it\"\naction = \"block\"\ndirection = \"out\"\nprogram = \"{path}\"\n"
    );
    let zone = Protected::with(&format!("{RULES}{rule}"));
    let gets = || {
        !zone
            .inside(&format!("timeout 3 {path} wget -q -O - http://{OUTSIDE}/"))
            .stdout
            .is_empty()
    };
    assert!(
        !gets()
            && !zone
                .inside(&format!("busybox wget -q -O - http://{OUTSIDE}/"))
                .stdout
                .is_empty()
    );
    let upgraded = program.with_extension("new");
    fs::copy(busybox.trim(), &upgraded).unwrap();
    fs::rename(&upgraded, &program).unwrap();
    wait_until("the new file is known", || {
        zone.ask().status().unwrap().rules.generation == 2
    });
    assert!(!gets());
    fs::remove_file(program).unwrap();
}

#[test]
fn a_block_rule_holds_for_a_program_that_runs_while_its_file_is_replaced() {
    let folder = std::env::temp_dir().join(format!("gatebell-runs-{}", std::process::id()));
    let bash = fs::canonicalize("/bin/bash").unwrap();
    for version in ["v1", "v2"] {
        fs::create_dir_all(folder.join(version)).unwrap();
        fs::copy(&bash, folder.join(version).join("tool")).unwrap();
    }
    symlink("v1", folder.join("current")).unwrap();
    let path = folder.join("current/tool");
    let path = path.display();
    let rule = format!(
        "\n[[rule]]\nid = \"not-it\"\naction = \"block\"\ndirection = \"out\"\nprogram = \"{path}\"\n"
    );
    let zone = Protected::with(&format!("{RULES}{rule}"));
    let sends = || format!("echo > /dev/udp/{OUTSIDE}/19 && echo sent");
    let count = |folder: &Path| fs::read_to_string(folder.join("log")).unwrap_or_default();
    let log = folder.join("log");
    // It tries until it is ended.
    let script = format!(
        "while sleep 0.1; do ({}; echo tried) >> {} 2>/dev/null; done",
        sends(),
        log.display()
    );
    let mut runs = zone
        .lab
        .inside(&["bash", "-c", &format!("exec {path} -c '{script}'")])
        .spawn()
        .unwrap();
    let new = |generation| {
        wait_until("the new file is known", || {
            zone.ask().status().unwrap().rules.generation == generation
        });
        let before = count(&folder).matches("tried").count();
        wait_until("it goes on", || {
            count(&folder).matches("tried").count() > before + 3
        });
        assert!(!count(&folder).contains("sent"), "generation {generation}");
        let other = zone.inside(&format!("{path} -c '{}'", sends()));
        assert!(other.stdout.is_empty(), "nor does the new one");
    };
    wait_until("it begins", || count(&folder).contains("tried"));
    symlink("v2", folder.join("next")).unwrap();
    fs::rename(folder.join("next"), folder.join("current")).unwrap();
    new(2);
    fs::copy(&bash, folder.join("newer")).unwrap();
    fs::rename(folder.join("newer"), folder.join("v2/tool")).unwrap();
    new(3);
    zone.ask().reload().unwrap();
    new(4);
    runs.kill().unwrap();
    runs.wait().unwrap();
    wait_until("what it ran from is forgotten once it has ended", || {
        zone.ask().status().unwrap().rules.generation == 5
    });
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn recover_takes_out_what_is_half_there_or_another_releases() {
    let mut zone = Protected::start();
    zone.service.kill();
    fs::remove_file(version(&zone).join("RULES")).unwrap();
    fs::remove_file(version(&zone).join("link_enter_local_out_ipv4")).unwrap();
    assert!(!zone.recover().is_empty(), "half of it was there");
    nothing_is_left(&zone);
    zone.start_again();
    zone.service.kill();
    fs::rename(version(&zone), zone.lab.pins().join("v1")).unwrap();
    fs::remove_file(zone.lab.folder().join("state/zone.json")).unwrap();
    assert!(
        !zone.recover().is_empty(),
        "another version's, and nobody wrote down where"
    );
    nothing_is_left(&zone);
}
