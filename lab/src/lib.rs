//! The lab: two network namespaces joined by a veth pair, control groups of its own, real programs, and nftables beside
//! as an independent judge. Everything has the process's number in its name and is gone when the lab is dropped.
//!
//! It touches nothing that it did not make itself.

mod left;

pub use left::sweep;

use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Number of labs that this process has built: each has a name of its own.
static BUILT: AtomicU32 = AtomicU32::new(0);

/// IPv4 address of the zone.
pub const INSIDE: &str = "10.77.0.2";
/// IPv4 address of the world outside the zone.
pub const OUTSIDE: &str = "10.77.0.1";
/// IPv6 address of the zone.
pub const INSIDE_V6: &str = "fd77::2";
/// IPv6 address of the world outside the zone.
pub const OUTSIDE_V6: &str = "fd77::1";
/// Name of the zone's network device.
pub const DEVICE: &str = "gb0";
const OUTSIDE_DEVICE: &str = "gb1";

/// Returns a folder as it stands in an address of D-Bus, and in a file of XML: a blank or a comma in its name would end
/// it there.
#[must_use]
pub fn in_bus_address(folder: &Path) -> String {
    let mut escaped = String::new();
    for byte in folder.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"-_/.".contains(byte) {
            escaped.push(char::from(*byte));
        } else {
            escaped.push_str(&format!("%{byte:02x}"));
        }
    }
    escaped
}

/// Longest time that the lab waits for something to come about. A safety net: on a busy machine that takes longer than
/// elsewhere.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reason for which this machine can't have a lab.
#[derive(Debug)]
pub struct Why(pub String);

/// Checks that this kernel lets us make namespaces, control groups and BPF programs. Leaves nothing behind.
pub fn possible() -> std::result::Result<(), Why> {
    let refused = |why: String| Why(why);
    let status = fs::read_to_string("/proc/self/status")
        .map_err(|e| refused(format!("/proc is not readable: {e}")))?;
    let capabilities = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:\t"))
        .unwrap_or("0");
    let capabilities = u64::from_str_radix(capabilities.trim(), 16).unwrap_or(0);
    if !status.lines().any(|line| line.starts_with("Uid:\t0\t")) {
        return Err(refused(
            "only root may load a driver; run: sudo -E env \"PATH=$PATH\" cargo xtask run"
                .to_owned(),
        ));
    }
    // CAP_NET_ADMIN and CAP_SYS_ADMIN.
    if capabilities >> 12 & 1 == 0 || capabilities >> 21 & 1 == 0 {
        return Err(refused(
            "this container's root may neither make namespaces nor load programs".to_owned(),
        ));
    }
    if !Path::new("/proc/sys/net/core/bpf_jit_enable").exists() {
        return Err(refused("this kernel has no BPF".to_owned()));
    }
    let root = cgroup_root().map_err(|e| refused(format!("{e:#}")))?;
    let name = format!("gbp{}", std::process::id());
    fs::create_dir(root.join(&name))
        .map_err(|e| refused(format!("no control group can be made: {e}")))?;
    let _made_above = fs::remove_dir(root.join(&name));
    done(Command::new("ip").args(["netns", "add", &name]))
        .map_err(|e| refused(format!("no network namespaces: {e:#}")))?;
    let _made_above = done(Command::new("ip").args(["netns", "del", &name]));
    Ok(())
}

/// Packet counts of both verdicts, by one judge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Number of packets refused.
    pub blocked: u64,
    /// Number of packets that went on.
    pub allowed: u64,
}

/// A lab: its namespaces, control groups and folder. Dropped, it is gone, with every program that still runs in it.
pub struct Lab {
    name: String,
    folder: PathBuf,
    cgroups: PathBuf,
}

impl Lab {
    /// Builds the lab: namespaces, devices, addresses, control groups, the judge, and servers on both sides.
    pub fn build() -> Result<Self> {
        let name = format!(
            "gb{}x{}",
            std::process::id(),
            BUILT.fetch_add(1, Ordering::Relaxed)
        );
        let cgroups = cgroup_root()?.join(&name);
        let folder = std::env::temp_dir().join(format!("{}{name}", left::FOLDER));
        // From here on whatever was made is taken away again.
        let lab = Self {
            name,
            folder,
            cgroups,
        };
        fs::create_dir_all(&lab.folder)?;
        for group in [&lab.cgroups, &lab.cgroup(), &lab.cgroups.join("outside")] {
            fs::create_dir(group)
                .with_context(|| format!("can't make the control group {}", group.display()))?;
        }
        lab.mount_bpffs()
            .context("can't mount a bpffs for the lab")?;
        lab.network().context("can't make the lab's network")?;
        lab.judge_by_nft()
            .context("can't set nftables up as a judge")?;
        lab.serve()?;
        Ok(lab)
    }

    /// Returns the zone's control group.
    pub fn cgroup(&self) -> PathBuf {
        self.cgroups.join("zone")
    }

    /// Returns the zone's network namespace.
    pub fn netns(&self) -> PathBuf {
        self.netns_of("i")
    }

    /// Returns a folder that goes with the lab.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns a folder in a bpffs of the lab's own, for what outlives the service; it goes with the lab.
    pub fn pins(&self) -> PathBuf {
        self.bpffs().join("gatebell")
    }

    /// Returns the command of a program inside the zone: in its namespace and its control group.
    pub fn inside(&self, program: &[&str]) -> Command {
        within(&self.netns(), &self.cgroup(), program)
    }

    /// Returns the command of a program outside of the zone.
    pub fn outside(&self, program: &[&str]) -> Command {
        within(&self.netns_of("o"), &self.cgroups.join("outside"), program)
    }

    /// Returns the packets that nftables has counted since the lab was built.
    pub fn judged(&self) -> Result<Counted> {
        let mut sum = Counted::default();
        for side in ["i", "o"] {
            let text = output(within_net(&self.netns_of(side)).args(["nft", "list", "counters"]))?;
            sum.blocked += counter(&text, "blocked")?;
            sum.allowed += counter(&text, "allowed")?;
        }
        Ok(sum)
    }

    /// Waits until no packet has gone either way for a while, and returns the judge's count.
    pub fn quiet(&self) -> Result<Counted> {
        let end = Instant::now() + PATIENCE;
        let mut last = self.judged()?;
        while Instant::now() < end {
            std::thread::sleep(Duration::from_millis(400));
            let now = self.judged()?;
            if now == last {
                return Ok(now);
            }
            last = now;
        }
        bail!("the lab does not come to rest: packets still go after {PATIENCE:?}")
    }

    fn netns_of(&self, side: &str) -> PathBuf {
        Path::new("/run/netns").join(format!("{}{side}", self.name))
    }

    fn bpffs(&self) -> PathBuf {
        self.folder.join(BPFFS)
    }

    fn mount_bpffs(&self) -> Result<()> {
        fs::create_dir(self.bpffs())?;
        done(
            Command::new("mount")
                .args(["-t", "bpf", "bpf"])
                .arg(self.bpffs()),
        )
    }

    fn network(&self) -> Result<()> {
        let (inside, outside) = (format!("{}i", self.name), format!("{}o", self.name));
        for netns in [&inside, &outside] {
            done(Command::new("ip").args(["netns", "add", netns]))?;
            // No router will answer; what is not sent need not be counted.
            let quiet = "for f in all default; do echo 0 > /proc/sys/net/ipv6/conf/$f/router_solicitations; \
                         echo 0 > /proc/sys/net/ipv6/conf/$f/accept_dad; done";
            done(within_net(&Path::new("/run/netns").join(netns)).args(["sh", "-c", quiet]))?;
        }
        let pair = [
            "link",
            "add",
            DEVICE,
            "netns",
            &inside,
            "type",
            "veth",
            "peer",
            "name",
            OUTSIDE_DEVICE,
            "netns",
        ];
        done(Command::new("ip").args(pair).arg(&outside))?;
        let ends = [
            (&inside, DEVICE, INSIDE, INSIDE_V6),
            (&outside, OUTSIDE_DEVICE, OUTSIDE, OUTSIDE_V6),
        ];
        for (netns, device, v4, v6) in ends {
            done(Command::new("ip").args([
                "-n",
                netns,
                "addr",
                "add",
                &format!("{v4}/24"),
                "dev",
                device,
            ]))?;
            done(Command::new("ip").args([
                "-n",
                netns,
                "addr",
                "add",
                &format!("{v6}/64"),
                "dev",
                device,
                "nodad",
            ]))?;
            done(Command::new("ip").args(["-n", netns, "link", "set", device, "up"]))?;
            done(Command::new("ip").args(["-n", netns, "link", "set", "lo", "up"]))?;
        }
        Ok(())
    }

    /// Has nftables count packets by the rules of examples/lab.toml, written by hand: outbound is counted in the zone
    /// before the driver sees it, inbound as it leaves the other side.
    fn judge_by_nft(&self) -> Result<()> {
        let frame = |device: &str, rules: &str| {
            format!(
                "table inet judge {{\n counter blocked {{ }}\n counter allowed {{ }}\n chain out {{\n  \
                 type filter hook output priority 0; policy accept;\n  oifname != \"{device}\" accept\n{rules} }}\n}}\n"
            )
        };
        let outbound = "  tcp dport 23 counter name blocked accept\n  udp dport 9 counter name blocked accept\n  \
                        counter name allowed\n";
        // Who is of which group is said to routers alone: the zone's stack delivers that to nobody,
        // and the driver does not see it.
        let inbound = "  icmpv6 type 143 ip6 daddr ff02::16 accept\n  tcp dport 8080 counter name allowed accept\n  \
                       icmp type echo-request counter name allowed accept\n  \
                       icmpv6 type { 128, 133, 134, 135, 136, 143 } counter name allowed accept\n  \
                       tcp sport 80 counter name allowed accept\n  icmp type echo-reply counter name allowed accept\n  \
                       icmpv6 type echo-reply counter name allowed accept\n  counter name blocked\n";
        for (side, device, rules) in [("i", DEVICE, outbound), ("o", OUTSIDE_DEVICE, inbound)] {
            let file = self.folder.join(format!("{side}.nft"));
            fs::write(&file, frame(device, rules))?;
            done(
                within_net(&self.netns_of(side))
                    .arg("nft")
                    .arg("-f")
                    .arg(&file),
            )?;
        }
        Ok(())
    }

    fn serve(&self) -> Result<()> {
        let pages = self.folder.join("pages");
        fs::create_dir_all(&pages)?;
        fs::write(pages.join("index.html"), "a page of the lab\n")?;
        self.serve_outside("80")?;
        detached(
            self.inside(&["busybox", "httpd", "-f", "-p", "8080", "-h"])
                .arg(&pages),
        )?;
        self.reachable(&self.netns(), "8080")
    }

    /// Starts one more server outside, on another port, and waits until it answers. It ends with its control group, as
    /// all do.
    pub fn serve_outside(&self, port: &str) -> Result<()> {
        detached(
            self.outside(&["busybox", "httpd", "-f", "-p", port, "-h"])
                .arg(self.folder.join("pages")),
        )?;
        self.reachable(&self.netns_of("o"), port)
    }

    fn reachable(&self, netns: &Path, port: &str) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        let knock = format!("exec 3<>/dev/tcp/127.0.0.1/{port}");
        while Instant::now() < end {
            if quietly(within_net(netns).args(["bash", "-c", &knock])).is_ok_and(|ok| ok) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!(
            "the lab's server on port {port} does not answer; is busybox there (package busybox-static)?"
        )
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        remove_groups(&self.cgroups);
        for side in ["i", "o"] {
            remove_netns(&format!("{}{side}", self.name));
        }
        remove_folder(&self.folder);
    }
}

/// Makes one round of the traffic that people make: some of it allowed, some refused, over both IP versions.
pub fn traffic(lab: &Lab) {
    let web = |address: &str| format!("http://{address}/");
    let get = |url: &str| {
        ["curl", "-sS", "-o", "/dev/null", "-m", "2"]
            .map(str::to_owned)
            .into_iter()
            .chain([url.to_owned()])
    };
    let v6 = |address: &str| format!("[{address}]");
    let strings = |args: Vec<String>| args;
    let round = [
        (true, strings(get(&web(OUTSIDE)).collect())),
        (true, strings(get(&web(&v6(OUTSIDE_V6))).collect())),
        (
            false,
            strings(get(&web(&format!("{INSIDE}:8080"))).collect()),
        ),
        (
            false,
            strings(get(&web(&format!("{}:8080", v6(INSIDE_V6)))).collect()),
        ),
        (false, words(&format!("busybox ping -c 1 -W 1 {INSIDE}"))),
        (false, words(&format!("busybox ping -c 1 -W 1 {INSIDE_V6}"))),
        (true, words(&format!("busybox ping -c 1 -W 1 {OUTSIDE}"))),
        (true, send(&format!("/dev/udp/{OUTSIDE}/9"))),
        (true, send(&format!("/dev/udp/{OUTSIDE_V6}/9"))),
        (true, words(&format!("timeout 0.5 busybox nc {OUTSIDE} 23"))),
        (
            false,
            words(&format!("timeout 0.5 busybox nc {INSIDE} 2222")),
        ),
        (false, send(&format!("/dev/udp/{INSIDE}/5353"))),
    ];
    for (inside, program) in round {
        let program: Vec<&str> = program.iter().map(String::as_str).collect();
        let mut command = if inside {
            lab.inside(&program)
        } else {
            lab.outside(&program)
        };
        // Some of it is refused; that is the point.
        let _refused = quietly(&mut command);
    }
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

/// Returns the command that sends a datagram, by bash itself.
fn send(to: &str) -> Vec<String> {
    ["bash", "-c", &format!("echo hello > {to}")]
        .map(str::to_owned)
        .to_vec()
}

/// Returns the place where cgroup2 is mounted, wherever this machine has it.
fn cgroup_root() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("can't read /proc/self/mounts")?;
    let mount = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .find(|m| m.get(2) == Some(&"cgroup2"));
    let at = mount.and_then(|m| m.get(1).copied());
    at.map(PathBuf::from)
        .context("control groups of version 2 are not mounted here")
}

/// Returns the command of a program in this control group: the shell joins the group and becomes the program, so
/// nothing but the program ever runs there.
fn within(netns: &Path, cgroup: &Path, program: &[&str]) -> Command {
    let mut command = within_net(netns);
    command
        .args(["sh", "-c", "echo $$ > \"$0/cgroup.procs\" && exec \"$@\""])
        .arg(cgroup)
        .args(program);
    command
}

fn within_net(netns: &Path) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", netns.display()));
    command
}

/// Ends whatever still runs in a control group of a lab, and removes it with those below it.
fn remove_groups(group: &Path) {
    let below = fs::read_dir(group).into_iter().flatten().flatten();
    for entry in below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_groups(&entry.path());
    }
    empty(group);
    let _not_made = fs::remove_dir(group);
}

fn remove_netns(name: &str) {
    let _not_made = quietly(Command::new("ip").args(["netns", "del", name]));
}

/// Removes a lab's folder, and with its bpffs all that is pinned there.
fn remove_folder(folder: &Path) {
    let _not_mounted = quietly(Command::new("umount").arg("-l").arg(folder.join(BPFFS)));
    let _not_made = fs::remove_dir_all(folder);
}

/// Name of the mount point of a bpffs in a lab's folder.
const BPFFS: &str = "bpf";

/// Ends whatever still runs in a control group.
fn empty(group: &Path) {
    let _not_made = fs::write(group.join("cgroup.kill"), "1");
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end
        && fs::read_to_string(group.join("cgroup.procs")).is_ok_and(|left| !left.is_empty())
    {
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn detached(command: &mut Command) -> Result<Child> {
    let nothing = Stdio::null;
    command
        .stdin(nothing())
        .stdout(nothing())
        .stderr(nothing())
        .spawn()
        .context("can't start a server of the lab")
}

fn quietly(command: &mut Command) -> std::io::Result<bool> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map(|status| status.success())
}

fn done(command: &mut Command) -> Result<()> {
    output(command).map(drop)
}

fn output(command: &mut Command) -> Result<String> {
    let done = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("can't start {command:?}"))?;
    if !done.status.success() {
        bail!(
            "{command:?} failed: {}",
            String::from_utf8_lossy(&done.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// Returns the packets of a named counter, out of what nft prints.
fn counter(text: &str, name: &str) -> Result<u64> {
    let (_, after) = text
        .split_once(&format!("counter {name} {{"))
        .with_context(|| format!("nft has no counter {name}"))?;
    let packets = after
        .split_whitespace()
        .skip_while(|word| *word != "packets")
        .nth(1);
    packets
        .and_then(|n| n.parse().ok())
        .with_context(|| format!("nft's counter {name} has no packets"))
}
