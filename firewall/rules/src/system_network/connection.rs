//! NetworkManager's connection of a device, read from files: its bus is neither needed nor asked.
//!
//! NetworkManager writes for each device which connection it has, as one begins or ends, and reads that again after a
//! restart. The file stays when it ends, and then others may have taken the device elsewhere: it counts while
//! NetworkManager's process runs. The connection's name is in its profile alone, beside passwords, which are not for
//! the service: a program of the package that NetworkManager's dispatcher runs as
//! connections come and go writes it down.

use crate::ActiveConnection;
use crate::network::is_uuid;
use nix::libc;
use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Folders whose files say which connections devices have, and what those are called.
pub const CONNECTION_FOLDERS: [&str; 2] = [DEVICES, NAMES];

/// Folder in which NetworkManager writes a file for each device, named by the device's index.
const DEVICES: &str = "/run/NetworkManager/devices";
/// Folder in which the dispatcher's program writes a file for each device, named as the device is: in its first line
/// the connection's UUID, behind it the connection's name.
const NAMES: &str = "/run/gatebell/connections";
/// Files that list NetworkManager's process: of systemd, and its own where it runs as a daemon.
const PROCESS_LISTS: [&str; 2] = [
    "/sys/fs/cgroup/system.slice/NetworkManager.service/cgroup.procs",
    "/run/NetworkManager/NetworkManager.pid",
];
/// Name of NetworkManager's process.
const PROCESS: &str = "NetworkManager";

/// Group and keys of a device's file.
const GROUP: &str = "[device]";
const MANAGED: &str = "managed";
const UUID: &str = "connection-uuid";

/// Longest file that is read, in bytes: what a DHCP server says is in it too.
const LONGEST: u64 = 64 << 10;
/// User whose files and processes count.
const ROOT: u32 = 0;

/// Returns NetworkManager's connection of the device with this index and name.
pub fn connection_of(index: u32, device: &str) -> ActiveConnection {
    Sources::of_this_machine().connection_of(index, device)
}

/// The places where all that is written.
struct Sources<'a> {
    devices: &'a Path,
    names: &'a Path,
    process_lists: [&'a Path; 2],
    /// User whose files and processes count.
    owner: u32,
}

impl Sources<'static> {
    fn of_this_machine() -> Self {
        Self {
            devices: Path::new(DEVICES),
            names: Path::new(NAMES),
            process_lists: PROCESS_LISTS.map(Path::new),
            owner: ROOT,
        }
    }
}

impl Sources<'_> {
    fn connection_of(&self, index: u32, device: &str) -> ActiveConnection {
        let state = self.read(&self.devices.join(index.to_string()));
        // Read first: what a process that has ended since has written was right then.
        if !self.is_running() {
            return ActiveConnection::NoManager;
        }
        match state.map(|state| device_state(&state)) {
            Ok(DeviceState::Connected(uuid)) => ActiveConnection::Is {
                name: self.name_of(&uuid, device),
                uuid,
            },
            Ok(DeviceState::Unmanaged) => ActiveConnection::None,
            // A device that is connecting has a route a moment before its connection is written down.
            Ok(DeviceState::Unconnected) | Err(_) => ActiveConnection::Unknown,
        }
    }

    /// Returns the name of the connection with this UUID, if it was written down for this device.
    fn name_of(&self, uuid: &str, device: &str) -> Option<String> {
        // No kernel gives a device such a name, and no other leads out of the folder.
        if device.contains('/') || [".", ".."].contains(&device) {
            return None;
        }
        let text = self.read(&self.names.join(device)).ok()?;
        let (of, name) = text.split_once('\n')?;
        (of.eq_ignore_ascii_case(uuid) && !name.is_empty()).then(|| name.to_owned())
    }

    fn is_running(&self) -> bool {
        self.process_lists.iter().any(|list| {
            let list = self.read(list).unwrap_or_default();
            let mut processes = list.lines().filter_map(|line| line.trim().parse().ok());
            processes.any(|process| self.is_manager(process))
        })
    }

    /// Returns whether this process is NetworkManager: a number in a file that was left may be another's by now.
    fn is_manager(&self, process: u32) -> bool {
        let process = Path::new("/proc").join(process.to_string());
        let is_its_users = process
            .metadata()
            .is_ok_and(|folder| folder.uid() == self.owner);
        let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
        is_its_users && name.trim_end() == PROCESS && is_of_this_network(&process)
    }

    /// Reads a file that nobody else could have put there, if it is no longer than such files are.
    fn read(&self, path: &Path) -> io::Result<String> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open(path)?;
        let about = file.metadata()?;
        if !about.is_file() || about.uid() != self.owner {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let mut bytes = Vec::new();
        let length = file.take(LONGEST + 1).read_to_end(&mut bytes)?;
        if length as u64 > LONGEST {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Returns whether a process of this folder in /proc is in the network namespace of the calling thread: devices have
/// the same numbers in another one. Each namespace has files of its own there, and their numbers can be asked by who
/// may not trace the process, as that of `ns/net` can't.
fn is_of_this_network(process: &Path) -> bool {
    let number = |of: &Path| {
        let file = of.join("net/dev").metadata().ok()?;
        Some((file.dev(), file.ino()))
    };
    let own = number(Path::new("/proc/thread-self"));
    own.is_some() && number(process) == own
}

/// State of a device as NetworkManager writes it down.
#[derive(Debug, PartialEq, Eq)]
enum DeviceState {
    /// It has the connection with this UUID, in lower case.
    Connected(String),
    /// It has none, or none that is written down yet.
    Unconnected,
    /// NetworkManager leaves it to others.
    Unmanaged,
}

/// Decodes the file of a device: lines of keys and values in groups, as GLib writes them.
fn device_state(text: &str) -> DeviceState {
    let lines = text.lines().map(str::trim);
    let of_device: Vec<_> = lines
        .skip_while(|line| *line != GROUP)
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.trim_end(), value.trim_start()))
        .collect();
    let value = |wanted| {
        let mut found = of_device.iter().filter(|(key, _)| *key == wanted);
        found.next().map(|(_, value)| *value)
    };
    if value(MANAGED) != Some("true") {
        return DeviceState::Unmanaged;
    }
    match value(UUID).filter(|uuid| is_uuid(uuid)) {
        Some(uuid) => DeviceState::Connected(uuid.to_ascii_lowercase()),
        None => DeviceState::Unconnected,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

    use super::*;
    use std::os::unix::fs::symlink;
    use std::process::{Child, Command};
    use tempfile::TempDir;

    const HOME: &str = "24350f96-ff2c-4807-9da7-5d772d9f215f";

    /// A folder with what NetworkManager writes, and a process that is called as it is. NetworkManager's own process
    /// writes the same in the tests that have one (`network_manager`).
    struct StandIn {
        folder: TempDir,
        process: Child,
    }

    impl StandIn {
        fn start() -> Self {
            let folder = tempfile::tempdir().unwrap();
            for name in ["devices", "names"] {
                fs::create_dir(folder.path().join(name)).unwrap();
            }
            let program = folder.path().join(PROCESS);
            symlink("/bin/sleep", &program).unwrap();
            let process = Command::new(program).arg("60").spawn().unwrap();
            let stand_in = Self { folder, process };
            stand_in.write("pid", &stand_in.process.id().to_string());
            stand_in
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.folder.path().join(name), text).unwrap();
        }

        fn seen(&self) -> ActiveConnection {
            let at = |name: &str| self.folder.path().join(name);
            Sources {
                devices: &at("devices"),
                names: &at("names"),
                process_lists: [&at("no-such-group"), &at("pid")],
                owner: nix::unistd::geteuid().as_raw(),
            }
            .connection_of(3, "wlan0")
        }
    }

    impl Drop for StandIn {
        fn drop(&mut self) {
            let _ended = self.process.kill();
            let _ended = self.process.wait();
        }
    }

    fn connected(uuid: &str) -> String {
        format!(
            "[device]\nmanaged=true\nperm-hw-addr-fake=02:00:00:00:00:01\nconnection-uuid={uuid}\nnm-owned=false\n\n\
             [dhcp4]\ndhcp4.domain_name=connection-uuid\\nmanaged\n"
        )
    }

    fn is(name: Option<&str>) -> ActiveConnection {
        ActiveConnection::Is {
            uuid: HOME.to_owned(),
            name: name.map(str::to_owned),
        }
    }

    #[test]
    fn a_device_has_the_connection_that_networkmanager_wrote_down_and_its_name_by_the_dispatcher() {
        let stand_in = StandIn::start();
        // The process has its name once it runs its program.
        let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while stand_in.seen() == ActiveConnection::NoManager && std::time::Instant::now() < end {
            std::thread::yield_now();
        }
        assert_eq!(stand_in.seen(), ActiveConnection::Unknown, "no file");
        stand_in.write("devices/3", &connected(HOME));
        assert_eq!(stand_in.seen(), is(None));
        stand_in.write("names/wlan0", &format!("{HOME}\nCafé = \"2\""));
        assert_eq!(stand_in.seen(), is(Some("Café = \"2\"")));
        stand_in.write("devices/3", &connected(&HOME.to_uppercase()));
        assert_eq!(stand_in.seen(), is(Some("Café = \"2\"")));
        // A name that was written for the connection before.
        for other in [
            "aa808ac0-e870-4bc8-8a1a-65f4b5e8d547\nHome",
            HOME,
            &format!("{HOME}\n"),
            "",
        ] {
            stand_in.write("names/wlan0", other);
            assert_eq!(stand_in.seen(), is(None), "{other:?}");
        }
        stand_in.write("devices/3", "[device]\nmanaged=true\nnm-owned=false\n");
        assert_eq!(stand_in.seen(), ActiveConnection::Unknown);
        for unmanaged in ["[device]\nmanaged=false\n", "[device]\nnm-owned=false\n"] {
            stand_in.write("devices/3", unmanaged);
            assert_eq!(stand_in.seen(), ActiveConnection::None, "{unmanaged}");
        }
    }

    #[test]
    fn what_networkmanager_left_when_it_ended_and_what_another_put_there_is_no_connection() {
        let mut stand_in = StandIn::start();
        stand_in.write("devices/3", &connected(HOME));
        let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while stand_in.seen() != is(None) && std::time::Instant::now() < end {
            std::thread::yield_now();
        }
        let file = stand_in.folder.path().join("devices/3");
        let other = stand_in.folder.path().join("other");
        fs::rename(&file, &other).unwrap();
        symlink(&other, &file).unwrap();
        assert_eq!(stand_in.seen(), ActiveConnection::Unknown, "a link");
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        assert_eq!(stand_in.seen(), ActiveConnection::Unknown, "a folder");
        fs::remove_dir(&file).unwrap();
        let long = connected(HOME) + &"#".repeat(LONGEST as usize);
        stand_in.write("devices/3", &long);
        assert_eq!(stand_in.seen(), ActiveConnection::Unknown, "too long");
        stand_in.write("devices/3", &connected(HOME));
        assert_eq!(stand_in.seen(), is(None));
        // Its number is another process's by now.
        stand_in.write("pid", &std::process::id().to_string());
        assert_eq!(stand_in.seen(), ActiveConnection::NoManager);
        stand_in.write("pid", &stand_in.process.id().to_string());
        assert_eq!(stand_in.seen(), is(None));
        stand_in.process.kill().unwrap();
        stand_in.process.wait().unwrap();
        assert_eq!(stand_in.seen(), ActiveConnection::NoManager);
        fs::remove_file(stand_in.folder.path().join("pid")).unwrap();
        assert_eq!(stand_in.seen(), ActiveConnection::NoManager);
    }

    #[test]
    fn networkmanager_in_another_network_namespace_says_nothing_of_this_ones_devices() {
        let mut stand_in = StandIn::start();
        stand_in.write("devices/3", &connected(HOME));
        let mut elsewhere = Command::new("unshare");
        // Without root, in a user namespace too.
        if !nix::unistd::geteuid().is_root() {
            elsewhere.arg("--user");
        }
        let program = stand_in.folder.path().join(PROCESS);
        let other = elsewhere.arg("--net").arg(program).arg("60").spawn();
        let here = std::mem::replace(&mut stand_in.process, other.unwrap());
        let elsewhere = stand_in.process.id();
        stand_in.write("pid", &format!("{elsewhere}\n{}", here.id()));
        let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let runs = |process| {
            let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
            name.trim_end() == PROCESS
        };
        while !runs(elsewhere) && std::time::Instant::now() < end {
            std::thread::yield_now();
        }
        let both = stand_in.seen();
        stand_in.write("pid", &elsewhere.to_string());
        let other = stand_in.seen();
        let mut here = here;
        here.kill().unwrap();
        here.wait().unwrap();
        assert_eq!(both, is(None));
        if runs(elsewhere) {
            assert_eq!(other, ActiveConnection::NoManager);
        } else {
            eprintln!("not shown: this machine lets who is not root make no namespace");
        }
    }

    #[test]
    fn any_text_in_place_of_a_devices_state_is_read_to_its_end() {
        let whole = connected(HOME);
        for cut in 0..whole.len() {
            let _any = device_state(&whole[..cut]);
            for other in ["\0", "[", "=", "\n", "[device]"] {
                let _any = device_state(&format!("{}{other}{}", &whole[..cut], &whole[cut..]));
            }
        }
        // What a DHCP server says stands in groups of its own.
        let foreign = format!("[dhcp4]\nmanaged=true\nconnection-uuid={HOME}\n");
        assert_eq!(device_state(&foreign), DeviceState::Unmanaged);
        let behind = format!("[device]\nmanaged=true\n{foreign}");
        assert_eq!(device_state(&behind), DeviceState::Unconnected);
    }
}
