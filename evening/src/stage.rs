//! Place of the evening: the lab, with names, an archive of packages and ssh outside, and the service inside.

use crate::clock::{go_on, until};
use crate::observations::ANSWER_WITHIN_MS;
use crate::programs::{
    self, ANN, ANSWERING, ANSWERING_V6, BEN, OUTSIDE_NETWORK, OUTSIDE_NETWORK_V6, USERS, User,
};
use anyhow::{Context, Result, bail};
use lab::{Lab, OUTSIDE, OUTSIDE_V6};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{TryRecvError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Greatest time to wait for what is to come about.
const PATIENCE: Duration = Duration::from_secs(60);
/// Search path for programs.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Port that the browser's sites listen on.
pub const SITE_PORT: u16 = 8000;
/// Port that peers listen on.
pub const PEER_PORT: u16 = 6881;

/// Paths of the built programs.
#[derive(Clone, clap::Args)]
pub struct Programs {
    /// The service
    #[arg(long)]
    pub service: PathBuf,
    /// The command line
    #[arg(long)]
    pub command_line: PathBuf,
    /// The driver's object
    #[arg(long)]
    pub driver: PathBuf,
}

/// The rules: everything that goes out is asked about, but for DNS, without which no program gets as far as to go
/// anywhere. Nobody's files name the lab's resolver, so a set believes it.
fn rules() -> String {
    format!(
        "[default]\ninbound = \"block\"\noutbound = \"ask\"\nanswer_within = {}\n\
         [[rule]]\nid = \"names\"\naction = \"allow\"\ndirection = \"out\"\nprotocol = [\"udp\", \"tcp\"]\n\
         destination = \"{OUTSIDE}\"\nports = 53\n\
         [[rule]]\nid = \"neighbours\"\naction = \"allow\"\nprotocol = \"icmpv6\"\n\
         [[set]]\nid = \"believed\"\nnames = \"believed.example\"\nresolvers = \"{OUTSIDE}\"\n",
        ANSWER_WITHIN_MS / 1000
    )
}

/// Lab, servers and service of the evening. Dropping it takes all of them down, the service first.
pub struct Stage {
    service: Mutex<Process>,
    /// Servers outside, each with its name.
    servers: Mutex<Vec<(&'static str, Process)>>,
    /// Path of the command line, where every user gets at it.
    gatebell: String,
    /// The lab. It goes last.
    pub lab: Lab,
}

impl Stage {
    /// Builds the stage, and waits until the service is ready.
    pub fn build(programs: &Programs) -> Result<Self> {
        let lab = Lab::build()?;
        network(&lab)?;
        homes(&lab)?;
        archive(&lab)?;
        keys_for_ssh(&lab)?;
        files_inside(&lab)?;
        let servers = vec![
            ("dnsmasq", resolver(&lab)?),
            ("dropbear", ssh_server(&lab)?),
            ("the browser's sites", sites(&lab)?),
        ];
        lab.serve_outside(&PEER_PORT.to_string())?;
        go_on()?;
        let service = service(programs, &lab)?;
        let stage = Self {
            service: Mutex::new(service),
            servers: Mutex::new(servers),
            gatebell: copied(&lab, &programs.command_line, "gatebell")?,
            lab,
        };
        stage.resolves()?;
        // As the group does on a machine of theirs, by the file of this very socket.
        fs::set_permissions(control(&stage.lab), fs::Permissions::from_mode(0o666))?;
        Ok(stage)
    }

    /// A program of the zone that this user runs, which finds names by the lab's resolver, and no file or variable of
    /// this machine's that says where else to look.
    pub fn inside(&self, user: User, program: &[&str]) -> Command {
        let folder = self.lab.folder().join("etc");
        let folder = folder.to_string_lossy().into_owned();
        let over = "for file in passwd resolv.conf nsswitch.conf; do mount --bind \"$0/$file\" /etc/$file || exit; done; exec \"$@\"";
        let words = ["unshare", "--mount", "sh", "-c", over, &folder];
        let words = [&words[..], &by(user), program].concat();
        let mut command = self.lab.inside(&words);
        of_nobody(&mut command, &home_of(&self.lab, user));
        command.stdin(Stdio::null()).process_group(0);
        command
    }

    /// Copies a program under another name, so that it is one of its own to the firewall.
    pub fn copy(&self, program: &Path, name: &str) -> Result<String> {
        copied(&self.lab, program, name)
    }

    /// Returns `gatebell`, which asks this service.
    pub fn command_line(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.gatebell);
        command.args(words).arg("--socket").arg(control(&self.lab));
        command.process_group(0);
        command
    }

    /// Returns `gatebell`, which asks this service, as this user runs it at a terminal.
    pub fn command_line_of(&self, user: User, words: &[&str]) -> Command {
        let [first, as_user @ ..] = by(user);
        let mut command = Command::new(first);
        command.args(as_user).arg(&self.gatebell).args(words);
        command.arg("--socket").arg(control(&self.lab));
        of_nobody(&mut command, &home_of(&self.lab, user));
        command.env("TERM", "xterm").process_group(0);
        command
    }

    /// The socket of the driver's device.
    pub fn device(&self) -> PathBuf {
        device(&self.lab)
    }

    /// Returns the service's log.
    pub fn log(&self) -> String {
        fs::read_to_string(log(&self.lab)).unwrap_or_default()
    }

    /// Fails if the service or a server has ended.
    pub fn still_stands(&self) -> Result<()> {
        let runs = |one: &Mutex<Process>| one.lock().unwrap_or_else(PoisonError::into_inner).runs();
        if !runs(&self.service) {
            bail!("the service has ended: {}", last_line(&self.log()));
        }
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        let each = servers.iter_mut();
        let mut ended = each.filter_map(|(name, server)| (!server.runs()).then_some(*name));
        if let Some(name) = ended.next() {
            bail!("a server outside has ended, or can't be started: {name}");
        }
        Ok(())
    }

    fn resolves(&self) -> Result<()> {
        let name = programs::site(0);
        let mut stands = Ok(());
        let resolves = until(PATIENCE, || {
            stands = self.still_stands();
            let resolves = |user| {
                let found = self.inside(user, &["getent", "ahosts", &name]).output();
                found.is_ok_and(|found| found.status.success())
            };
            stands.is_err() || USERS.into_iter().all(resolves)
        });
        go_on()?;
        stands?;
        if !resolves {
            bail!(
                "the lab's resolver does not answer the zone, or its users do not get to the lab's folder {}",
                self.lab.folder().display()
            );
        }
        Ok(())
    }
}

/// Takes from a program what whoever started the evening has in the environment:
/// a proxy would be gone to in place of the lab.
fn of_nobody(command: &mut Command, home: &Path) {
    command.env_clear().env("PATH", PATH).env("HOME", home);
}

fn control(lab: &Lab) -> PathBuf {
    lab.folder().join("control.sock")
}

fn device(lab: &Lab) -> PathBuf {
    lab.folder().join("gatebell.sock")
}

fn log(lab: &Lab) -> PathBuf {
    lab.folder().join("service.log")
}

/// A world behind the other side: what answers is its own, all else it drops.
fn network(lab: &Lab) -> Result<()> {
    for (network, by) in [(OUTSIDE_NETWORK, OUTSIDE), (OUTSIDE_NETWORK_V6, OUTSIDE_V6)] {
        done(&mut lab.inside(&["ip", "route", "add", network, "via", by]))?;
    }
    for answering in ANSWERING.into_iter().chain(ANSWERING_V6) {
        done(&mut lab.outside(&["ip", "route", "add", "local", answering, "dev", "lo"]))?;
    }
    Ok(())
}

/// A folder for each user, and the lab's own, which all of them look into.
fn homes(lab: &Lab) -> Result<()> {
    fs::set_permissions(lab.folder(), fs::Permissions::from_mode(0o755))?;
    for user in USERS {
        let home = home_of(lab, user);
        fs::create_dir(&home)?;
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700))?;
        chown(&home, Some(user.id), Some(user.id))?;
    }
    Ok(())
}

fn home_of(lab: &Lab, user: User) -> PathBuf {
    lab.folder().join(format!("home-{}", user.name))
}

/// Returns the words before a command that run it as this user, with no right that is root's.
fn by(user: User) -> [&'static str; 5] {
    let (as_user, as_group) = if user == ANN {
        ("--reuid=64001", "--regid=64001")
    } else {
        ("--reuid=64002", "--regid=64002")
    };
    ["setpriv", as_user, as_group, "--clear-groups", "--"]
}

fn copied(lab: &Lab, program: &Path, name: &str) -> Result<String> {
    let at = lab.folder().join(name);
    fs::copy(program, &at).with_context(|| format!("can't copy {}", program.display()))?;
    fs::set_permissions(&at, fs::Permissions::from_mode(0o755))?;
    Ok(at.to_string_lossy().into_owned())
}

/// Has everybody read this file.
fn write_for_all(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text)?;
    Ok(fs::set_permissions(
        file,
        fs::Permissions::from_mode(0o644),
    )?)
}

/// Writes the files that programs of the zone see in place of this machine's.
fn files_inside(lab: &Lab) -> Result<()> {
    let folder = lab.folder().join("etc");
    fs::create_dir(&folder)?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
    for file in ["/etc/passwd", "/etc/resolv.conf", "/etc/nsswitch.conf"] {
        if !Path::new(file).exists() {
            bail!(
                "there is no {file}, in whose place the programs see the lab's: make an empty one"
            );
        }
    }
    let users = USERS.map(|user| {
        let (User { name, id }, home) = (user, home_of(lab, user));
        format!("{name}:x:{id}:{id}::{}:/bin/sh\n", home.display())
    });
    write_for_all(
        &folder.join("passwd"),
        &format!("root:x:0:0:root:/root:/bin/sh\n{}", users.concat()),
    )?;
    write_for_all(
        &folder.join("resolv.conf"),
        &format!("nameserver {OUTSIDE}\n"),
    )?;
    write_for_all(
        &folder.join("nsswitch.conf"),
        "passwd: files\ngroup: files\nhosts: files dns\n",
    )
}

fn resolver(lab: &Lab) -> Result<Process> {
    let listen = format!("--listen-address={OUTSIDE}");
    let fixed = [
        "dnsmasq",
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--pid-file=",
        "--user=root",
        "--no-resolv",
        "--no-hosts",
        "--log-facility=/dev/null",
        "--bind-interfaces",
        "--local=/example/",
        &listen,
    ];
    let hosts = programs::hosts();
    let records: Vec<_> = hosts
        .iter()
        .map(|host| {
            let six = programs::six(host.address);
            format!("--host-record={},{},{six}", host.name, host.address)
        })
        .collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    Process::serve(&mut lab.outside(&[&fixed[..], &records].concat()))
}

/// Starts this very program again outside, as the server of the sites.
fn sites(lab: &Lab) -> Result<Process> {
    let ourselves = std::env::current_exe()?;
    let ourselves = ourselves.to_string_lossy();
    Process::serve(&mut lab.outside(&[&ourselves, "serve", &SITE_PORT.to_string()]))
}

/// An archive of one package, beside the lab's page.
fn archive(lab: &Lab) -> Result<()> {
    let folder = lab.folder().join("pages/archive");
    fs::create_dir(&folder)?;
    let packages = "Package: evening\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nFilename: ./evening_1_all.deb\n\
                    Size: 0\nSHA256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n\
                    Description: a package of the lab\n";
    fs::write(folder.join("Packages"), packages)?;
    let sum = done(Command::new("sha256sum").arg(folder.join("Packages")))?;
    let sum = sum.split_whitespace().next().unwrap_or_default();
    let length = packages.len();
    // It is valid whatever this machine's clock says.
    fs::write(
        folder.join("Release"),
        format!(
            "Suite: evening\nDate: Thu, 01 Jan 2015 00:00:00 UTC\nSHA256:\n {sum} {length} Packages\n"
        ),
    )?;
    // Folders of its own, and no setting of the machine's: this file is read before those would be looked for.
    let own = home_of(lab, BEN).join("apt");
    let parts = [
        "etc/apt/apt.conf.d",
        "var/lib/apt/lists/partial",
        "var/cache/apt/archives/partial",
        "var/log/apt",
        "var/lib/dpkg",
    ];
    for part in parts {
        fs::create_dir_all(own.join(part))?;
    }
    fs::write(own.join("var/lib/dpkg/status"), "")?;
    fs::write(
        own.join("etc/apt/sources.list"),
        format!(
            "deb [trusted=yes] http://{}/archive ./\n",
            programs::ARCHIVE
        ),
    )?;
    let whose = format!("{0}:{0}", BEN.id);
    done(Command::new("chown").args(["-R", &whose]).arg(&own))?;
    let own = own.display();
    write_for_all(
        &apt_configuration(lab),
        &format!(
            "Dir \"{own}\";\nDir::State::status \"{own}/var/lib/dpkg/status\";\nAPT::Sandbox::User \"root\";\n\
             Acquire::Languages \"none\";\nAcquire::Retries \"0\";\n"
        ),
    )
}

/// Path of apt's configuration, for `APT_CONFIG`.
pub fn apt_configuration(lab: &Lab) -> PathBuf {
    lab.folder().join("apt.conf")
}

/// The key that ann's ssh shows.
pub fn ssh_key(lab: &Lab) -> PathBuf {
    home_of(lab, ANN).join("ssh-key")
}

/// Home directory of the ssh server's user.
fn home(lab: &Lab) -> PathBuf {
    lab.folder().join("home")
}

fn keys_for_ssh(lab: &Lab) -> Result<()> {
    let (own, key) = (home(lab).join(".ssh"), ssh_key(lab));
    fs::create_dir_all(&own)?;
    for folder in [home(lab), own.clone()] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    }
    done(
        Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(&key),
    )?;
    fs::copy(key.with_extension("pub"), own.join("authorized_keys"))?;
    chown(&key, Some(ANN.id), Some(ANN.id))?;
    fs::set_permissions(
        own.join("authorized_keys"),
        fs::Permissions::from_mode(0o600),
    )?;
    let host_key = lab.folder().join("host-key");
    done(
        Command::new("dropbearkey")
            .args(["-t", "ed25519", "-f"])
            .arg(host_key),
    )?;
    // Root of the server's: at home in the lab's folder.
    fs::write(
        lab.folder().join("passwd"),
        format!("root:x:0:0:root:{}:/bin/sh\n", home(lab).display()),
    )?;
    Ok(())
}

fn ssh_server(lab: &Lab) -> Result<Process> {
    let folder = lab.folder();
    let (passwd, host_key) = (folder.join("passwd"), folder.join("host-key"));
    let server =
        "mount --bind \"$0\" /etc/passwd && exec dropbear -F -E -s -r \"$1\" -p 22 -P \"$1.pid\"";
    let mut command = lab.outside(&["unshare", "--mount", "sh", "-c", server]);
    command.arg(passwd).arg(host_key);
    command.stderr(File::create(folder.join("ssh-server.log"))?);
    Process::serve(&mut command)
}

/// Starts the service, and waits until it is ready.
fn service(programs: &Programs, lab: &Lab) -> Result<Process> {
    let folder = lab.folder();
    let file = folder.join("rules.toml");
    fs::write(&file, rules())?;
    let mut command = Command::new(&programs.service);
    for (option, path) in [
        ("--zone-netns", lab.netns()),
        ("--zone-cgroup", lab.cgroup()),
        ("--rules", file),
        ("--socket", device(lab)),
        ("--control", control(lab)),
        ("--driver", programs.driver.clone()),
        ("--pins", lab.pins()),
        ("--state", folder.join("state")),
        ("--kept", folder.join("kept")),
    ] {
        command.arg(option).arg(path);
    }
    command.arg("--leave-nothing").stdout(Stdio::piped());
    command.stderr(File::create(log(lab))?);
    let mut process = Process::start(&mut command).context("starting the service")?;
    let out = process
        .0
        .stdout
        .take()
        .context("the service has no output")?;
    let is_ready = says_ready(out);
    go_on()?;
    if !is_ready {
        let said = fs::read_to_string(log(lab)).unwrap_or_default();
        bail!("the service did not start: {}", last_line(&said));
    }
    Ok(process)
}

/// Returns whether the output comes to say that the program is ready. Reading goes on in a thread, for a full pipe
/// would hold the program up.
fn says_ready(out: impl Read + Send + 'static) -> bool {
    let (tell, hear) = channel();
    std::thread::spawn(move || {
        let lines = BufReader::new(out).lines().map_while(Result::ok);
        for said in lines.filter_map(|line| serde_json::from_str::<Value>(&line).ok()) {
            if said.get("ready").is_some() {
                // Whoever waits for no longer has given it up.
                let _given_up = tell.send(());
            }
        }
    });
    let mut heard = Err(TryRecvError::Empty);
    until(PATIENCE, || {
        heard = hear.try_recv();
        heard != Err(TryRecvError::Empty)
    });
    heard.is_ok()
}

fn last_line(text: &str) -> String {
    let last = text.trim().lines().last();
    last.unwrap_or("it says nothing").to_owned()
}

/// Runs a program to its end, which has to be a good one.
pub fn done(command: &mut Command) -> Result<String> {
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

/// A program that runs beside, which the terminal's Ctrl-C does not reach. Dropped, it is asked to end, and made to.
pub struct Process(pub Child);

impl Process {
    /// Starts a server: what it says is nobody's, but for its errors.
    pub fn serve(command: &mut Command) -> Result<Self> {
        Self::start(command.stdin(Stdio::null()).stdout(Stdio::null()))
    }

    /// Starts a program.
    pub fn start(command: &mut Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.process_group(0).spawn();
        child
            .map(Self)
            .with_context(|| format!("can't start {name}"))
    }

    /// Returns whether the process still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }

    /// Sends the process a signal.
    pub fn signal(&self, which: Signal) {
        if let Ok(id) = i32::try_from(self.0.id()) {
            // Gone already: nothing to ask for.
            let _gone = kill(Pid::from_raw(id), which);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.runs() {
            self.signal(Signal::SIGTERM);
            let end = std::time::Instant::now() + Duration::from_secs(5);
            while self.runs() && std::time::Instant::now() < end {
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ended = self.0.kill();
        }
        let _reaped = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_the_evening_has_nothing_of_the_environment_that_it_was_started_from() {
        let mut command = Command::new("env");
        of_nobody(
            command.env("http_proxy", "http://elsewhere"),
            Path::new("/home"),
        );
        let said = done(&mut command).expect("it says its environment");
        let mut lines: Vec<_> = said.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["HOME=/home", &format!("PATH={PATH}")]);
    }

    #[test]
    fn a_service_that_ends_before_it_is_ready_is_not_waited_for() {
        assert!(says_ready(
            "{\"other\":1}\n{\"ready\":true}\n{\"more\":1}\n".as_bytes()
        ));
        assert!(!says_ready("{\"other\":1}\nready\n".as_bytes()));
    }
}
