//! Screen reader of a test: the accessible tree over AT-SPI, on a display and a bus that nobody else is on.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use zbus::blocking::{Connection, Proxy, connection, proxy};
use zbus::proxy::CacheProperties;
use zbus::zvariant::OwnedObjectPath;

/// Greatest time to wait for something that is to be seen.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time between two looks at the tree.
const REST: Duration = Duration::from_millis(200);
const ACCESSIBLE: &str = "org.a11y.atspi.Accessible";
const ROOT: &str = "/org/a11y/atspi/accessible/root";
/// AT-SPI's numbers of states.
const SELECTED: u32 = 23;

/// A process of ours, ended with this.
struct Ours(Child);

impl Ours {
    /// Starts a program, and reads the first line that it prints on standard output.
    fn that_says(command: &mut Command) -> (Self, String) {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let said = child.stdout.take().unwrap();
        BufReader::new(said).read_line(&mut line).unwrap();
        (Self(child), line.trim().to_owned())
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.0.id()).unwrap());
        // What has ended already needs no end.
        let _ended = kill(pid, Signal::SIGTERM);
        let end = Instant::now() + Duration::from_secs(5);
        while self.0.try_wait().unwrap().is_none() {
            if Instant::now() > end {
                self.0.kill().unwrap();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Display with a window on it, and a reader of its accessible tree.
pub struct ScreenReader {
    accessibility: Connection,
    // In this order: the window goes before its display and its bus.
    _window: Ours,
    _display: Ours,
    _bus: Ours,
}

/// Node of the accessible tree: its owner on the bus, and its path.
#[derive(Clone, PartialEq, Eq)]
pub struct Node {
    owner: String,
    path: OwnedObjectPath,
    pub role: u32,
    pub name: String,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "role {}: {}", self.role, self.name)
    }
}

impl ScreenReader {
    /// Starts a program with a window, and waits until it can be read.
    pub fn of(program: &Path, words: &[&str], folder: &Path) -> Self {
        let configuration = folder.join("bus.conf");
        std::fs::write(
            &configuration,
            BUS.replace("FOLDER", &lab::in_bus_address(folder)),
        )
        .unwrap();
        let configuration = format!("--config-file={}", configuration.display());
        let mut bus = Command::new("dbus-daemon");
        bus.args([&configuration, "--nofork", "--print-address"])
            .env_remove("DISPLAY")
            // What it starts keeps in memory what is switched on here, and its sockets there: nothing of the user's.
            .env("GSETTINGS_BACKEND", "memory")
            .env("XDG_RUNTIME_DIR", folder)
            .env("HOME", folder);
        let (bus, address) = Ours::that_says(&mut bus);
        let mut display = Command::new("Xvfb");
        display.args([
            "-displayfd",
            "1",
            "-screen",
            "0",
            "1280x800x24",
            "-nolisten",
            "tcp",
        ]);
        let (display, number) = Ours::that_says(display.stderr(Stdio::null()));
        let session = connection::Builder::address(address.as_str()).unwrap();
        let session = session.build().unwrap();
        let status = Proxy::new(&session, "org.a11y.Bus", "/org/a11y/bus", "org.a11y.Status");
        status.unwrap().set_property("IsEnabled", true).unwrap();
        let asked = Proxy::new(&session, "org.a11y.Bus", "/org/a11y/bus", "org.a11y.Bus");
        let asked = asked.unwrap().call("GetAddress", &());
        let accessibility: String = asked.unwrap();
        let accessibility = connection::Builder::address(accessibility.as_str()).unwrap();
        let accessibility = accessibility.build().unwrap();
        let window = Command::new(program)
            .args(words)
            .env("DISPLAY", format!(":{number}"))
            .env("DBUS_SESSION_BUS_ADDRESS", &address)
            .env_remove("WAYLAND_DISPLAY")
            .env("LIBGL_ALWAYS_SOFTWARE", "1")
            .spawn()
            .unwrap();
        Self {
            accessibility,
            _window: Ours(window),
            _display: display,
            _bus: bus,
        }
    }

    fn at<'a>(&'a self, node: &'a Node, interface: &'static str) -> Proxy<'a> {
        let at = proxy::Builder::new(&self.accessibility);
        let at = at.destination(node.owner.as_str()).unwrap();
        let at = at.path(node.path.as_str()).unwrap();
        // What is read is what is there now.
        let at = at.cache_properties(CacheProperties::No);
        at.interface(interface).unwrap().build().unwrap()
    }

    /// Returns all nodes that are there now. What goes while it is read is left out.
    pub fn tree(&self) -> Vec<Node> {
        let root = (
            "org.a11y.atspi.Registry".to_owned(),
            ROOT.try_into().unwrap(),
        );
        let mut found = Vec::new();
        let mut left: Vec<(String, OwnedObjectPath)> = vec![root];
        while let Some((owner, path)) = left.pop() {
            let mut node = Node {
                owner,
                path,
                role: 0,
                name: String::new(),
            };
            let accessible = self.at(&node, ACCESSIBLE);
            let role = accessible.call("GetRole", &());
            let name = accessible.get_property::<String>("Name");
            let children: zbus::Result<Vec<_>> = accessible.call("GetChildren", &());
            drop(accessible);
            left.extend(children.into_iter().flatten().rev());
            if let (Ok(role), Ok(name)) = (role, name) {
                (node.role, node.name) = (role, name);
                found.push(node);
            }
        }
        found
    }

    /// Waits for a node that has this role and these words in its name.
    pub fn finds(&self, role: u32, words: &str) -> Node {
        let end = Instant::now() + PATIENCE;
        loop {
            let tree = self.tree();
            let mut its = tree.iter();
            let found = its.find(|node| node.role == role && node.name.contains(words));
            if let Some(found) = found {
                return found.clone();
            }
            assert!(
                Instant::now() < end,
                "no role {role} is called {words}: {tree:#?}"
            );
            std::thread::sleep(REST);
        }
    }

    /// Does what a click does.
    pub fn click(&self, node: &Node) {
        let action = self.at(node, "org.a11y.atspi.Action");
        let done: bool = action.call("DoAction", &(0_i32,)).unwrap();
        assert!(done, "{node:?} can be clicked");
    }

    fn is(&self, node: &Node, state: u32) -> bool {
        let states: Vec<u32> = self.at(node, ACCESSIBLE).call("GetState", &()).unwrap();
        let word = states.get(state as usize / 32).copied().unwrap_or(0);
        word >> (state % 32) & 1 == 1
    }

    /// Returns whether this node is the selected one.
    pub fn is_selected(&self, node: &Node) -> bool {
        self.is(node, SELECTED)
    }
}

/// Configuration of a session's bus of its own; what starts by itself on the machine's is found where Debian has it.
const BUS: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:dir=FOLDER</listen>
  <servicedir>/usr/share/dbus-1/services</servicedir>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"#;
