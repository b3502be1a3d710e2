//! Version of the layout, a hash that changes with each type, field, order and number, and with nothing else.

#[expect(dead_code, reason = "a build script's main is for the build")]
#[path = "../build.rs"]
mod build;

use build::hash;

const LAYOUT: &str = "pub struct Owner {\n    pub pid: u32,\n    pub user: u32,\n}\npub enum Verdict { Allow = 1, Block = 2 }\n";

fn changed(from: &str, to: &str) -> u32 {
    assert!(LAYOUT.contains(from), "{from}");
    hash(&[LAYOUT.replace(from, to)])
}

#[test]
fn a_changed_layout_has_a_new_version_by_itself() {
    let version = hash(&[LAYOUT.to_owned()]);
    for (from, to) in [
        ("pid: u32", "pid: u64"),
        ("pub pid: u32,\n    pub user", "pub user: u32,\n    pub pid"),
        ("Block = 2", "Block = 3"),
        ("user", "owner"),
        (",\n}", ",\n    pub spare: u32,\n}"),
    ] {
        assert_ne!(changed(from, to), version, "{from} became {to}");
    }
}

#[test]
fn words_and_white_space_change_no_version() {
    let version = hash(&[LAYOUT.to_owned()]);
    assert_eq!(changed("pub pid", "/// The process.\n    pub pid"), version);
    assert_eq!(changed("{ Allow = 1", "{\n    Allow = 1"), version);
}
