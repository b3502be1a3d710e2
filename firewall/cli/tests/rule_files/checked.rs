//! Tests of what is wrong with a rule file, as `rules check` shows it.

use crate::DEFAULTS;
use crate::commands::{captures, command, err, gatebell, gatebell_given, golden, out};
use std::process::Output;

const WRONG: &str = "[default]\ninbound = \"block\"\n\n[[rule]]\nid = \"web\"\naction = \"alow\"\n\tportz = 80\n\
                     source = \"10.0.0.1/8\"\n\n[[rule]]\nid = \"web\"\naction = \"allow\"\nports = 99999\n";

#[test]
fn all_errors_are_shown_with_their_place_and_line() {
    golden(
        "wrong.txt",
        &gatebell_given(WRONG.as_bytes(), &["rules", "check", "--elsewhere", "-"]),
    );
    golden(
        "wrong.json",
        &gatebell_given(
            WRONG.as_bytes(),
            &["rules", "check", "--elsewhere", "-", "--json"],
        ),
    );
}

#[test]
fn of_a_long_line_the_part_around_the_error_is_shown() {
    let list = "192.0.2.1', '".repeat(100);
    let text = format!("{DEFAULTS}[[set]]\nid = 's'\naddresses = ['{list}no', '{list}::1']\n");
    let output = gatebell_given(text.as_bytes(), &["rules", "check", "--elsewhere", "-"]);
    let lines: Vec<_> = out(&output).lines().map(str::to_owned).collect();
    let mark = lines[2].chars().position(|c| c == '^').unwrap();
    let marked: String = lines[1].chars().skip(mark).take(4).collect();
    assert_eq!(marked, "'no'");
    assert!(lines[1].chars().count() < 200, "{}", lines[1]);
}

#[test]
fn a_shadowed_rule_is_a_warning() {
    let text = "[default]\ninbound = \"block\"\noutbound = \"allow\"\n[[rule]]\nid = \"all\"\naction = \"allow\"\n\
                [[rule]]\nid = \"late\"\naction = \"block\"\nprotocol = \"tcp\"\n";
    golden(
        "shadowed.txt",
        &gatebell_given(text.as_bytes(), &["rules", "check", "--elsewhere", "-"]),
    );
}

#[test]
#[cfg(unix)]
fn a_wrong_entry_in_a_sets_file_is_shown_with_that_files_line() {
    let (shown, _) = check_wrong_list(0o644);
    golden("wrong-list.txt", &shown);
}

#[test]
#[cfg(unix)]
fn of_a_sets_file_that_root_alone_may_read_the_line_alone_is_shown() {
    let (shown, root) = check_wrong_list(0o600);
    let name = if root {
        "wrong-list-unreadable.txt"
    } else {
        "wrong-list.txt"
    };
    golden(name, &shown);
}

/// Returns the output of `rules check` for rules whose wrong list has this file mode, and whether root asks. In a copy
/// that everybody can reach: a checkout's permissions depend on the umask and the folders of its owner.
#[cfg(unix)]
fn check_wrong_list(mode: u32) -> (Output, bool) {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    let folder = folder.path();
    let may = |path: &std::path::Path, mode| {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    };
    fs::create_dir(folder.join("lists")).unwrap();
    for name in ["wrong-list.toml", "lists/wrong.txt"] {
        fs::copy(captures().join(name), folder.join(name)).unwrap();
    }
    may(folder, 0o755);
    may(&folder.join("lists"), 0o755);
    may(&folder.join("lists/wrong.txt"), mode);
    let output = command(&["rules", "check", "--elsewhere", "wrong-list.toml"])
        .current_dir(folder)
        .output();
    let root = fs::metadata(folder).unwrap().uid() == 0;
    (output.unwrap(), root)
}

#[test]
fn sets_users_programs_and_devices_are_checked_shown_and_asked_about() {
    golden(
        "who-check.txt",
        &gatebell(&["rules", "check", "--elsewhere", "who.toml"]),
    );
    golden("who-show.txt", &gatebell(&["rules", "show", "who.toml"]));
    golden(
        "who-show.json",
        &gatebell(&["rules", "show", "who.toml", "--json"]),
    );
    let why = |name: &str, who: &str| {
        let packet = format!("out tcp 10.0.0.2:5000 -> 192.0.2.9:443{who}");
        golden(name, &gatebell(&["why", "who.toml", "--packet", &packet]));
    };
    why("who-nobody.txt", "");
    why("who-tool.txt", " program /opt/there-is-none/tool user 1000");
    why(
        "who-root.txt",
        " user root program /opt/there-is-none/other interface eth0",
    );
    why("who-unknown.txt", " user there-is-none");
}

#[test]
fn several_files_are_checked_and_one_that_is_missing_is_an_error() {
    let output = gatebell(&["rules", "check", "--elsewhere", "rules.toml", "before.toml"]);
    assert_eq!(
        (output.status.code(), out(&output).lines().count()),
        (Some(0), 2)
    );
    let output = gatebell(&["rules", "check", "there-is-none.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("there-is-none.toml: can't be read"));
    assert_eq!(gatebell(&["rules", "check"]).status.code(), Some(2));
}

#[test]
fn bytes_that_are_no_text_are_an_error_with_their_line() {
    let output = gatebell_given(b"# fine\n\xFF\xFE", &["rules", "check", "--elsewhere", "-"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        err(&output).contains("line 2 is not UTF-8"),
        "{}",
        err(&output)
    );
}
