//! Resolver of this machine's files, users and programs.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use nix::fcntl::{RenameFlags, renameat2};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use rules::{Resolver, SystemResolver};
use std::os::linux::fs::MetadataExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use tempfile::{TempDir, tempdir};

/// A folder of this test's own, removed at the end.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempdir().unwrap())
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    fn here(&self) -> SystemResolver {
        SystemResolver::beside(&self.0.path().join("rules.toml"))
    }
}

#[test]
fn a_sets_file_is_named_from_the_rule_files_folder_on() {
    let folder = Folder::new();
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
    let folder = Folder::new();
    mkfifo(&folder.0.path().join("pipe"), Mode::S_IRWXU).unwrap();
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

/// Calls `done` while the two files swap their places many times.
fn swapped_while(folder: &Folder, names: [&str; 2], mut done: impl FnMut()) {
    const SWAPS: usize = 50_000;
    let [one, other] = names.map(|name| folder.0.path().join(name));
    std::thread::scope(|scope| {
        let swapping = scope.spawn(|| {
            for _ in 0..SWAPS {
                let (here, flags) = (nix::fcntl::AT_FDCWD, RenameFlags::RENAME_EXCHANGE);
                renameat2(here, &one, here, &other, flags).unwrap();
            }
        });
        while !swapping.is_finished() {
            done();
        }
    });
}

#[test]
fn a_pipe_that_takes_a_files_place_meanwhile_keeps_nobody_waiting() {
    let folder = Folder::new();
    folder.file("list", "192.0.2.1\n");
    mkfifo(&folder.0.path().join("pipe"), Mode::S_IRWXU).unwrap();
    swapped_while(&folder, ["list", "pipe"], || {
        if let Err(said) = folder.here().set_file("list") {
            assert!(said.contains("it is no file"), "{said}");
        }
    });
}

#[test]
fn of_a_file_that_takes_anothers_place_meanwhile_it_is_known_who_may_read_it() {
    if !nix::unistd::geteuid().is_root() {
        println!("not as root: what root alone may read can't be made");
        return;
    }
    let folder = Folder::new();
    let may = |path: &Path, mode| {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    may(folder.0.path(), 0o755);
    may(&folder.file("list", "192.0.2.1\n"), 0o644);
    may(&folder.file("secret", "secret\n"), 0o600);
    // Where the folders above are root's alone, so is all that is in them.
    let is_roots = folder.here().set_file("list").unwrap().confidential;
    swapped_while(&folder, ["list", "secret"], || {
        let found = folder.here().set_file("list").unwrap();
        assert_eq!(found.confidential, is_roots || found.bytes == b"secret\n");
    });
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
    let folder = Folder::new();
    let path = folder.file("tool", "");
    symlink(&path, folder.0.path().join("link")).unwrap();
    std::fs::hard_link(&path, folder.0.path().join("second")).unwrap();
    folder.file("copy", "");
    let machine = folder.here();
    let program = |name: &str| machine.program(folder.0.path().join(name).to_str().unwrap());
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
