//! A Debian under systemd for the emulated machine: the image of a disk, made once of a suite's packages.
//! Every machine gets a copy of its own.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command;
use crate::debian;
use crate::place;

/// The stable release: what people have.
pub const SUITE: &str = "trixie";

/// Disk to be made: its packages beside the essential ones, and its size.
#[derive(Debug, Hash, PartialEq, Eq)]
pub struct Disk {
    packages: &'static [&'static [&'static str]],
    /// Size of the disk, with room for what is installed later.
    size: &'static str,
}

/// systemd, and what jobs look at the kernel with.
const PLAIN: [&str; 9] = [
    // What the package depends on.
    "passwd",
    "systemd-sysv",
    "udev",
    "dbus",
    "iproute2",
    "iputils-ping",
    "procps",
    "bpftool",
    "nftables",
];

/// Packages that a part of the package works with: what loads its AppArmor profiles, who may permit changes, and who
/// vouches for a server of lists.
const ASKED: [&str; 4] = ["apparmor", "polkitd", "ca-certificates", "openssl"];

/// Packages that people run beside a firewall: containers with their names, libvirt's network without its virtual
/// machines, a VPN.
const GUESTS: [&str; 8] = [
    "podman",
    "netavark",
    "aardvark-dns",
    "libvirt-daemon-driver-network",
    "libvirt-daemon-config-network",
    "libvirt-clients",
    "wireguard-tools",
    // All that is in a container, and who asks in its place.
    "busybox-static",
];

/// Disk of a machine without guests.
pub const ALONE: Disk = Disk {
    packages: &[&PLAIN, &ASKED],
    size: "896M",
};

/// Disk of a machine with Podman, libvirt's network and WireGuard.
pub const WITH_GUESTS: Disk = Disk {
    packages: &[&PLAIN, &GUESTS],
    size: "1536M",
};

/// The disk that an earlier run made, or one made now.
pub fn prepare(disk: &Disk) -> Result<PathBuf> {
    let sources = debian::source(SUITE)?;
    let name = format!("debian-{:016x}.ext4", fingerprint(disk, &sources));
    let image = place::machine().join(name);
    if image.is_file() {
        return Ok(image);
    }
    eprintln!("vm: making a Debian with systemd for the emulated machine (a minute, once)");
    let folder = place::machine().join(format!("debian-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    // Made beside and then renamed: a broken run leaves no half disk.
    let made = make(disk, &sources, &folder).and_then(|made| Ok(fs::rename(made, &image)?));
    let _ = fs::remove_dir_all(&folder);
    made.map(|()| image)
}

/// A copy of the disk that one machine may write to.
pub fn copy(image: &Path, to: &Path) -> Result<()> {
    // Most of it are holes; cp keeps them.
    command::run(Command::new("cp").arg("--sparse=always").arg(image).arg(to))
}

/// Returns a number for the disk: another list of packages makes another one.
fn fingerprint(disk: &Disk, sources: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (disk, SCRIPT, sources).hash(&mut hasher);
    hasher.finish()
}

/// Unpacks the archive, takes out what only people read, and fills the image. A machine's own number is given to it
/// here: one without would take its first boot for a new installation, and decide on every service anew.
const SCRIPT: &str = r#"
set -e
mkdir root
tar -C root -xpf root.tar
rm -rf root/usr/share/doc root/usr/share/locale root/usr/share/man
# Profiles of programs that are not there take an emulated processor long to compile.
[ ! -d root/etc/apparmor.d ] || find root/etc/apparmor.d -maxdepth 1 -type f -delete
echo 6761746562656c6c2d6d616368696e65 >root/etc/machine-id
echo gatebell-vm >root/etc/hostname
printf '127.0.0.1 localhost gatebell-vm\n::1 localhost\n' >root/etc/hosts
mke2fs -q -t ext4 -L gatebell -d root -E root_owner=0:0,lazy_itable_init=1,lazy_journal_init=1 disk "$1"
"#;

fn make(disk: &Disk, sources: &str, folder: &Path) -> Result<PathBuf> {
    fs::write(folder.join("sources.list"), sources)?;
    let packages = format!("--include={}", disk.packages.concat().join(","));
    command::run(
        Command::new("mmdebstrap")
            .args([
                "--quiet",
                "--variant=essential",
                &packages,
                SUITE,
                "root.tar",
                "sources.list",
            ])
            .current_dir(folder),
    )
    .context("making a Debian; `cargo xtask setup vm` installs what it takes")?;
    // Files keep their owners in the image, also where we are not root.
    let mut shell = match nix::unistd::geteuid().is_root() {
        true => Command::new("sh"),
        false => {
            let mut fake = Command::new("fakeroot");
            fake.arg("sh");
            fake
        }
    };
    shell
        .args(["-c", SCRIPT, "sh", disk.size])
        .env("PATH", path_of_root())
        .current_dir(folder);
    command::run(&mut shell)?;
    Ok(folder.join("disk"))
}

/// mke2fs is where a user's PATH may not lead.
fn path_of_root() -> std::ffi::OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}
