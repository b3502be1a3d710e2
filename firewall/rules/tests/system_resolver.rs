//! What the machine is asked: its files, users and programs.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use rules::{Resolver, SystemResolver};
use std::os::linux::fs::MetadataExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// A folder of this test's own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("gatebell-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    fn here(&self) -> SystemResolver {
        SystemResolver::beside(&self.0.join("rules.toml"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone_already = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_sets_file_is_named_from_the_rule_files_folder_on() {
    let folder = Folder::new("sets");
    let path = folder.file("lists/bad.txt", "192.0.2.1\n");
    let found = folder.here().set_file("lists/bad.txt").unwrap();
    assert_eq!(
        (found.name.as_str(), found.bytes.as_slice()),
        (path.to_str().unwrap(), &b"192.0.2.1\n"[..])
    );
    let whole = SystemResolver::beside(Path::new("elsewhere/rules.toml"))
        .set_file(path.to_str().unwrap())
        .unwrap();
    assert_eq!(whole.bytes, found.bytes);
}

#[test]
fn what_is_no_file_is_not_read() {
    let folder = Folder::new("no-files");
    nix::unistd::mkfifo(&folder.0.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for (name, why) in [
        ("pipe", "it is no file"),
        (".", "it is no file"),
        ("missing", "No such file"),
    ] {
        let said = folder.here().set_file(name).unwrap_err();
        assert!(
            said.contains("can't be read") && said.contains(why),
            "{said}"
        );
    }
}

#[test]
fn users_are_known_by_name() {
    let machine = SystemResolver::beside(Path::new("rules.toml"));
    assert_eq!(machine.user("root"), Ok(0));
    assert!(
        machine
            .user("nobody-is-called-so")
            .unwrap_err()
            .contains("no user is called")
    );
    assert!(
        machine
            .user("1000")
            .unwrap_err()
            .contains("a number is written without quotes")
    );
}

#[test]
fn a_program_is_its_file_whatever_path_leads_there() {
    let folder = Folder::new("programs");
    let path = folder.file("tool", "");
    symlink(&path, folder.0.join("link")).unwrap();
    std::fs::hard_link(&path, folder.0.join("second")).unwrap();
    folder.file("copy", "");
    let machine = folder.here();
    let program = |name: &str| machine.program(folder.0.join(name).to_str().unwrap());
    let [_, inode] = program("tool").unwrap();
    assert_eq!(inode, path.metadata().unwrap().st_ino());
    assert_eq!(
        (program("link"), program("second")),
        (program("tool"), program("tool"))
    );
    assert_ne!(program("copy"), program("tool"));
    assert_eq!((program("missing"), program(".")), (None, None));
    // It need not be one that we may read.
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o111)).unwrap();
    assert!(program("tool").is_some());
}

#[test]
fn a_program_is_called_what_the_kernel_calls_it() {
    // The kernel's own numbers of the file that this test runs from: `5581-5582 r--p 0 fd:01 1234 /path`.
    let path = std::env::current_exe().unwrap();
    if nix::sys::statfs::statfs(&path).unwrap().filesystem_type()
        == nix::sys::statfs::OVERLAYFS_SUPER_MAGIC
    {
        // Of files in such a file system older kernels name the file below it there.
        return;
    }
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let line = maps
        .lines()
        .find(|line| line.ends_with(path.to_str().unwrap()))
        .unwrap();
    let fields: Vec<_> = line.split_whitespace().collect();
    let [_, _, _, device, inode, ..] = fields.as_slice() else {
        panic!("{line}")
    };
    let (major, minor) = device.split_once(':').unwrap();
    let number = |hex| u64::from_str_radix(hex, 16).unwrap();
    let expected = Some([number(major) << 20 | number(minor), inode.parse().unwrap()]);
    let machine = SystemResolver::beside(Path::new("rules.toml"));
    assert_eq!(machine.program(path.to_str().unwrap()), expected);
    assert_eq!(machine.program("/proc/self/exe"), expected);
}
