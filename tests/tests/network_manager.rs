//! Promises about networks that are known by NetworkManager's connection: Debian's NetworkManager, unpacked and not
//! installed, in the zone's namespace, with a bus and folders of the test's own.
//!
//! Needs what the tests of the firewall need, `dbus-daemon`, and the packages that `cargo xtask setup network-manager`
//! unpacks into `target/network-manager`.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod zone;

use control::NetworkStatus;
use gatebell_tests::PATIENCE;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use zone::Protected;
use zone::probe::{add_pair, ip, name, wait_until};

/// Device of the zone that NetworkManager connects, and its router.
const DEVICE: &str = "gb2";
const ROUTER: &str = "10.78.1.1";
/// UUIDs of its connections: one network asks for the first by its name, another for the second by this.
const HOME: &str = "24350f96-ff2c-4807-9da7-5d772d9f215f";
const CAFE: &str = "aa808ac0-e870-4bc8-8a1a-65f4b5e8d547";

/// The folders that NetworkManager has as Debian builds it: seen by this process and what it starts, and by nobody
/// else. Words: where it is unpacked, and a folder for what is written.
const MOUNTS: &str = r#"
mount --make-rprivate /
mount -t tmpfs gatebell "$2"
mkdir "$2/unpacked" "$2/run"
mount --bind "$1" "$2/unpacked"
cd "$2"
for folder in etc usr var/lib; do
    mkdir -p "new/$folder" "work/$folder"
    mount -t overlay -o "lowerdir=unpacked/$folder:/$folder,upperdir=new/$folder,workdir=work/$folder" gatebell "/$folder"
done
mount --bind run /run
# One that runs as this machine's service is none of the zone's.
machines=/sys/fs/cgroup/system.slice/NetworkManager.service
[ ! -d $machines ] || mount -t tmpfs gatebell $machines
mkdir -p /run/dbus /run/gatebell /usr/lib/NetworkManager/dispatcher.d
install -m 0755 "$3" /usr/lib/NetworkManager/dispatcher.d/10-gatebell
"#;
/// Bus on which NetworkManager and its dispatcher speak to each other and to nmcli.
const BUS: &str = r#"<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*" eavesdrop="false"/>
    <allow receive_sender="*" eavesdrop="false"/>
  </policy>
</busconfig>
"#;
/// No connections but ours, no names, no polkit.
const SETTINGS: &str = "[main]\nplugins=keyfile\nno-auto-default=*\ndns=none\nrc-manager=unmanaged\nauth-polkit=false\n";
/// As a daemon, where /sys shows the zone's devices, and no udev is waited for, for nobody may write there.
const NETWORK_MANAGER: &str = "mount -t sysfs -o ro gatebell /sys && exec /usr/sbin/NetworkManager";

/// NetworkManager in a zone. What it starts is in the zone's control group, and ends with it.
struct Manager<'a> {
    zone: &'a Protected,
}

impl<'a> Manager<'a> {
    /// Starts the bus, the dispatcher and NetworkManager, which has two connections.
    fn start(zone: &'a Protected) -> Self {
        fs::write("/run/bus.conf", BUS).unwrap();
        fs::write("/etc/NetworkManager/NetworkManager.conf", SETTINGS).unwrap();
        let manager = Self { zone };
        manager.begin(&[
            "dbus-daemon",
            "--nofork",
            "--nopidfile",
            "--config-file=/run/bus.conf",
        ]);
        let bus = Path::new("/run/dbus/system_bus_socket");
        wait_until("the bus is there", || bus.exists());
        manager.begin(&["/usr/lib/NetworkManager/nm-dispatcher", "--persist"]);
        profile("Home", HOME, 2);
        profile("Café \"2\"", CAFE, 3);
        manager.begin_again();
        manager
    }

    /// Starts NetworkManager, and waits until it answers.
    fn begin_again(&self) {
        self.begin(&["unshare", "--mount", "sh", "-c", NETWORK_MANAGER]);
        wait_until("NetworkManager answers", || {
            self.tells(&["general", "status"])
        });
        self.told(&["device", "set", DEVICE, "managed", "yes"]);
    }

    /// Starts a program that goes on by itself.
    fn begin(&self, program: &[&str]) {
        let line = [&["sh", "-c", "\"$@\" &", "sh"], program].concat();
        let mut command = self.zone.lab.inside(&line);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        assert!(command.stderr(Stdio::null()).status().unwrap().success());
    }

    fn tells(&self, words: &[&str]) -> bool {
        let mut command = self.zone.lab.inside(&["nmcli", "--wait", "30"]);
        let output = command.args(words).output().unwrap();
        output.status.success()
    }

    fn told(&self, words: &[&str]) {
        assert!(self.tells(words), "nmcli {words:?}");
    }

    fn signal(&self, signal: Signal) {
        let number = fs::read_to_string("/run/NetworkManager/NetworkManager.pid").unwrap();
        let process = Pid::from_raw(number.trim().parse().unwrap());
        kill(process, signal).unwrap();
        let folder = PathBuf::from(format!("/proc/{process}"));
        wait_until("NetworkManager has ended", || {
            let state = fs::read_to_string(folder.join("stat")).unwrap_or_default();
            state.is_empty() || state.contains(") Z ")
        });
    }
}

/// Writes a connection that does not begin by itself.
fn profile(name: &str, uuid: &str, host: u8) {
    let text = format!(
        "[connection]\nid={name}\nuuid={uuid}\ntype=ethernet\ninterface-name={DEVICE}\nautoconnect=false\n\n\
         [ipv4]\nmethod=manual\naddress1=10.78.1.{host}/24,{ROUTER}\n\n[ipv6]\nmethod=disabled\n"
    );
    let path = format!("/etc/NetworkManager/system-connections/{host}.nmconnection");
    fs::write(&path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

fn rules() -> String {
    let network = |id: &str, key: &str| {
        format!(
            "[[network]]\nid = \"{id}\"\nconnection = \"{key}\"\n\
             [[rule]]\nid = \"at-{id}\"\naction = \"allow\"\ndirection = \"out\"\nnetwork = \"{id}\"\n\
             [[rule]]\nid = \"not-at-{id}\"\naction = \"allow\"\ndirection = \"out\"\nnetwork = \"!{id}\"\n"
        )
    };
    format!(
        "[default]\ninbound = \"block\"\noutbound = \"block\"\n{}{}",
        network("home", "Home"),
        network("café", CAFE)
    )
}

/// Waits until the networks are seen and judged so, by these signs.
fn are(zone: &Protected, home: (&str, &str), cafe: (&str, &str)) {
    let seen = |network: &NetworkStatus| {
        let kinds: Vec<_> = network.why.iter().map(|sign| sign.kind.clone()).collect();
        (network.presence.clone(), network.judged_as.clone(), kinds)
    };
    let expected = [home, cafe].map(|(presence, kind)| {
        let gateway = (presence == "there").then(|| "gateway".to_owned());
        let kinds = std::iter::once(kind.to_owned()).chain(gateway).collect();
        (presence.to_owned(), presence.to_owned(), kinds)
    });
    let end = Instant::now() + PATIENCE;
    loop {
        let networks = zone.ask().status().unwrap().networks;
        let seen: Vec<_> = networks.iter().map(seen).collect();
        if seen == expected {
            break;
        }
        assert!(Instant::now() < end, "{seen:?} and not {expected:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    // What is not known opens nothing, whichever way round a rule asks.
    for (network, (presence, _)) in zone
        .ask()
        .status()
        .unwrap()
        .networks
        .iter()
        .zip([home, cafe])
    {
        let on: &[String] = match presence {
            "there" => &[format!("at-{}", network.name)],
            "away" => &[format!("not-at-{}", network.name)],
            _ => &[],
        };
        assert_eq!(network.on, on, "{presence}");
    }
}

/// Variable that says to a copy of this program that its mounts are its own.
const OWN_MOUNTS: &str = "GATEBELL_OWN_MOUNTS";

/// NetworkManager's folders in mounts of this process's own; they end with it and what it starts.
struct Mounts(PathBuf);

impl Mounts {
    fn of_this_process() -> Self {
        let clone = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let unpacked = clone.join("target/network-manager");
        assert!(unpacked.is_dir(), "run: cargo xtask setup network-manager");
        let folder = std::env::temp_dir().join(format!("gatebell-nm-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let mounts = Self(folder);
        let script = clone.join("package/gatebell/connection-names");
        let mut command = Command::new("sh");
        command.args(["-euc", MOUNTS, "sh"]);
        command.args([&unpacked, &mounts.0, &script]);
        assert!(command.status().unwrap().success());
        mounts
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        let mut unmount = Command::new("umount");
        unmount.args(["--lazy", "--recursive"]).arg(&self.0);
        let _not_mounted = unmount.status();
        let _not_empty = fs::remove_dir(&self.0);
    }
}

#[test]
fn rules_follow_networkmanagers_connection_by_name_and_by_uuid_and_open_nothing_where_it_does_not_run()
 {
    if std::env::var_os(OWN_MOUNTS).is_some() {
        let _mounts = Mounts::of_this_process();
        return follows_connections();
    }
    // The service's parent has to see its mounts as well, so it is a process that has others and not only a thread.
    let again = Command::new("unshare")
        .arg("--mount")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg("rules_follow_networkmanagers_connection_by_name_and_by_uuid_and_open_nothing_where_it_does_not_run")
        .env(OWN_MOUNTS, "yes")
        .status();
    assert!(again.unwrap().success());
}

fn follows_connections() {
    let zone = Protected::with(&rules());
    add_pair(&zone, DEVICE, "gb3", 1);
    let inside = name(&zone.lab.netns());
    let by_hand = ["-n", &inside, "route", "replace", "default", "via", ROUTER];
    ip(&by_hand);
    are(&zone, ("unknown", "no_manager"), ("unknown", "no_manager"));

    let manager = Manager::start(&zone);
    manager.told(&["connection", "up", "Home"]);
    are(&zone, ("there", "connection"), ("away", "other_connection"));
    manager.told(&["connection", "up", "Café \"2\""]);
    are(&zone, ("away", "other_connection"), ("there", "connection"));
    // Renamed, it has its old name until it begins again.
    manager.told(&["connection", "modify", "Home", "connection.id", "Office"]);
    manager.told(&["connection", "up", "Office"]);
    are(
        &zone,
        ("away", "other_connection"),
        ("away", "other_connection"),
    );
    manager.told(&["connection", "modify", "Office", "connection.id", "Home"]);
    manager.told(&["connection", "up", "Home"]);
    are(&zone, ("there", "connection"), ("away", "other_connection"));
    // Whose name nobody has told may be any.
    fs::remove_file(Path::new("/run/gatebell/connections").join(DEVICE)).unwrap();
    are(
        &zone,
        ("unknown", "unnamed_connection"),
        ("away", "other_connection"),
    );

    // What it left is there still, and says nothing any more: the route is its own or another's.
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        manager.told(&["connection", "up", "Home"]);
        are(&zone, ("there", "connection"), ("away", "other_connection"));
        manager.signal(signal);
        ip(&by_hand);
        are(&zone, ("unknown", "no_manager"), ("unknown", "no_manager"));
        manager.begin_again();
    }
    manager.told(&["device", "set", DEVICE, "managed", "no"]);
    ip(&[
        "-n",
        &inside,
        "addr",
        "replace",
        "10.78.1.9/24",
        "dev",
        DEVICE,
    ]);
    ip(&by_hand);
    are(&zone, ("away", "no_connection"), ("away", "no_connection"));
    assert_eq!(zone.troubles(), [""; 0]);
}
