//! The main job: the firewall on real input.

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::build;
use crate::interrupt::Interrupt;
use crate::place;
use crate::setup::{self, Need};

use lab::{Counted, Lab};

/// Arguments of `cargo xtask run`.
#[derive(clap::Args)]
pub struct Arguments {
    /// End after this long, for instance 20s; otherwise at Ctrl-C
    #[arg(long = "for", value_name = "TIME", value_parser = seconds)]
    duration: Option<Duration>,
    /// One JSON object per record, and the account as the last one
    #[arg(long)]
    json: bool,
    /// Another rule file than the lab's: verdicts are then not compared with nftables, which counts by the lab's
    #[arg(long)]
    rules: Option<PathBuf>,
    /// A service, an app and drivers that were built elsewhere: the folder they lie in
    #[arg(long, hide = true)]
    programs: Option<PathBuf>,
}

/// Runs the main job and returns its exit code.
pub fn run(arguments: &Arguments) -> Result<i32> {
    if let Err(lab::Why(why)) = lab::possible() {
        if arguments.programs.is_some() {
            bail!("{why}");
        }
        eprintln!("run: {why}");
        return crate::emulated::run();
    }
    let programs = Programs::find(arguments)?;
    let interrupt = Interrupt::watch()?;
    let lab = Lab::build()?;
    let rules = RuleFile::of(arguments, &lab)?;
    let mut service = Service::start(&programs, &lab, &rules.path)?;
    let mut app = App::start(&programs, &lab, arguments.json)?;
    // Both counted before: what went before the driver came is the judge's alone.
    let before = service.agree(&lab)?;
    let end = arguments.duration.map(|time| Instant::now() + time);
    while !interrupt.taken() && end.is_none_or(|end| Instant::now() < end) && app.runs() {
        lab::traffic(&lab);
        std::thread::sleep(Duration::from_millis(300));
    }
    let after = service.agree(&lab)?;
    let account = app.stop()?;
    service.stop()?;
    conclude(arguments, &account, [before, after], rules.is_the_labs()?)
}

/// Counts of both judges at one moment: the driver, and nftables.
#[derive(Clone, Copy)]
struct Agreed {
    driver: Counted,
    nft: Counted,
}

/// The rules that the service is started with.
struct RuleFile {
    path: PathBuf,
    /// Time at which the lab's own rules were written to the file, or `None` if the rules are others.
    written: Option<SystemTime>,
}

impl RuleFile {
    fn of(arguments: &Arguments, lab: &Lab) -> Result<Self> {
        if let Some(path) = &arguments.rules {
            return Ok(Self {
                path: path.clone(),
                written: None,
            });
        }
        // A click in the window changes the service's rule file: a copy, not the one in the clone.
        let path = lab.folder().join("lab.toml");
        fs::copy(
            place::root().join("firewall/rules/examples/lab.toml"),
            &path,
        )?;
        let written = Some(fs::metadata(&path)?.modified()?);
        Ok(Self { path, written })
    }

    /// Returns whether the lab's rules, by which nftables counts, were in force all the time: rules that were taken
    /// back were in force too.
    fn is_the_labs(&self) -> Result<bool> {
        let Some(written) = self.written else {
            return Ok(false);
        };
        Ok(fs::metadata(&self.path)?.modified()? == written)
    }
}

fn conclude(
    arguments: &Arguments,
    account: &Value,
    [before, after]: [Agreed; 2],
    by_the_labs_rules: bool,
) -> Result<i32> {
    let nft = Counted {
        blocked: after.nft.blocked - before.nft.blocked,
        allowed: after.nft.allowed - before.nft.allowed,
    };
    let driver = Counted {
        blocked: after.driver.blocked - before.driver.blocked,
        allowed: after.driver.allowed - before.driver.allowed,
    };
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut last = account.clone();
    last["blocked"] = json!(driver.blocked);
    last["allowed"] = json!(driver.allowed);
    last["kernel"] = json!(kernel.trim());
    if arguments.json {
        println!("{last}");
    } else {
        println!("\n{}", told(&last, by_the_labs_rules && driver == nft));
    }
    if !by_the_labs_rules {
        eprintln!(
            "nftables counted by the lab's rules, and others were in force, so the two are not compared"
        );
        return Ok(0);
    }
    if driver == nft {
        return Ok(0);
    }
    eprintln!("error: the driver and nftables disagree: driver {driver:?}, nftables {nft:?}");
    Ok(1)
}

/// The account in words; `agreed` if nftables counted the same.
fn told(account: &Value, agreed: bool) -> String {
    let n = |name: &str| account[name].to_string();
    let judge = if agreed { ", as nftables counted" } else { "" };
    format!(
        "refused {} and let through {} packets{judge}; {} processes started; kernel {}\n\
         records: offered {} = committed {} + lost {}; delivered {}, in ring {}; woke the app after {} µs (p50), {} µs (p99)",
        n("blocked"),
        n("allowed"),
        n("processes"),
        account["kernel"].as_str().unwrap_or("unknown"),
        n("offered"),
        n("committed"),
        n("lost"),
        n("delivered"),
        n("in_ring"),
        n("wake_p50_us"),
        n("wake_p99_us"),
    )
}

/// Paths of the built programs.
struct Programs {
    service: PathBuf,
    app: PathBuf,
    driver: PathBuf,
}

impl Programs {
    fn find(arguments: &Arguments) -> Result<Self> {
        if let Some(folder) = &arguments.programs {
            let at = |name: &str| folder.join(name);
            return Ok(Self {
                service: at("gatebelld"),
                app: at("gatebell-app"),
                driver: at("gatebell_firewall.bpf.o"),
            });
        }
        setup::ensure(&[Need::Lab])?;
        build::ebpf_drivers()?;
        let built = build::host(&["gatebell-service", "gatebell-app"])?;
        let program = |name: &str| build::named(&built, name).map(Path::to_owned);
        let driver = place::drivers().join("gatebell_firewall.bpf.o");
        Ok(Self {
            service: program("gatebelld")?,
            app: program("gatebell-app")?,
            driver,
        })
    }
}

/// Running service. Dropping it asks the service to end, and makes it.
struct Service {
    process: Process,
    says: Lines<BufReader<ChildStdout>>,
}

impl Service {
    fn start(programs: &Programs, lab: &Lab, rules: &Path) -> Result<Self> {
        let mut command = Command::new(&programs.service);
        command.arg("--zone-netns").arg(lab.netns());
        command
            .arg("--zone-cgroup")
            .arg(lab.cgroup())
            .arg("--rules")
            .arg(rules);
        command
            .arg("--socket")
            .arg(socket(lab))
            .arg("--driver")
            .arg(&programs.driver);
        command
            .arg("--control")
            .arg(lab.folder().join("control.sock"));
        command
            .arg("--pins")
            .arg(lab.pins())
            .arg("--state")
            .arg(lab.folder().join("state"))
            .arg("--leave-nothing");
        let mut process =
            Process::start(command.stdout(Stdio::piped())).context("starting the service")?;
        let out = process
            .0
            .stdout
            .take()
            .context("the service has no output")?;
        let mut service = Self {
            process,
            says: BufReader::new(out).lines(),
        };
        service
            .hear("ready")
            .context("the service did not start; its message is above")?;
        Ok(service)
    }

    /// The next line that says `what`.
    fn hear(&mut self, what: &str) -> Result<Value> {
        for line in self.says.by_ref() {
            let mut line: Value =
                serde_json::from_str(&line?).context("the service speaks otherwise")?;
            if let Some(said) = line.get_mut(what) {
                return Ok(said.take());
            }
        }
        bail!("the service has ended")
    }

    fn counted(&mut self) -> Result<Counted> {
        self.process.signal(Signal::SIGUSR1);
        let said = self.hear("verdicts")?;
        let number = |name: &str| {
            said[name]
                .as_u64()
                .with_context(|| format!("the service counts no {name}"))
        };
        Ok(Counted {
            blocked: number("blocked")?,
            allowed: number("allowed")?,
        })
    }

    /// Both judges' counts at one moment at which nothing moves.
    fn agree(&mut self, lab: &Lab) -> Result<Agreed> {
        for _ in 0..20 {
            let nft = lab.quiet()?;
            let driver = self.counted()?;
            if lab.judged()? == nft {
                return Ok(Agreed { driver, nft });
            }
        }
        bail!("the lab does not come to rest")
    }

    fn stop(mut self) -> Result<()> {
        self.process.signal(Signal::SIGTERM);
        self.hear("end")?;
        self.process.ended("the service")
    }
}

/// The running app, which shows what happens by itself.
struct App {
    process: Process,
    account: PathBuf,
}

impl App {
    fn start(programs: &Programs, lab: &Lab, json: bool) -> Result<Self> {
        let account = lab.folder().join("account.json");
        let mut command = Command::new(&programs.app);
        command
            .arg("--device")
            .arg(socket(lab))
            .arg("--control")
            .arg(lab.folder().join("control.sock"))
            .arg("--account")
            .arg(&account);
        if json {
            command.arg("--json");
        }
        Ok(Self {
            process: Process::start(&mut command).context("starting the app")?,
            account,
        })
    }

    fn runs(&mut self) -> bool {
        matches!(self.process.0.try_wait(), Ok(None))
    }

    /// Ends the app and returns its account.
    fn stop(mut self) -> Result<Value> {
        self.process.signal(Signal::SIGTERM);
        self.process.ended("the app")?;
        let text = fs::read_to_string(&self.account).context("the app left no account")?;
        serde_json::from_str(&text).context("the app's account is none")
    }
}

fn socket(lab: &Lab) -> PathBuf {
    lab.folder().join("gatebell.sock")
}

/// A program of ours that does not get the terminal's Ctrl-C: we end it, in order. Dropped, it is gone.
struct Process(Child);

impl Process {
    fn start(command: &mut Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        command
            .process_group(0)
            .spawn()
            .map(Self)
            .with_context(|| format!("can't start {name}"))
    }

    fn signal(&self, which: Signal) {
        if let Ok(id) = i32::try_from(self.0.id()) {
            // Gone already: whoever waits for its answer will notice.
            let _gone = signal::kill(Pid::from_raw(id), which);
        }
    }

    fn ended(&mut self, who: &str) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(10);
        while Instant::now() < end {
            if let Some(status) = self.0.try_wait()? {
                if !status.success() {
                    bail!("{who} failed ({status}); its message is above");
                }
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("{who} does not end when asked to")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.signal(Signal::SIGTERM);
            let end = Instant::now() + Duration::from_secs(3);
            while Instant::now() < end && matches!(self.0.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ended = self.0.kill();
            let _reaped = self.0.wait();
        }
    }
}

/// A time such as `20s`, `2m` or `90`.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix('m') {
        Some(minutes) => (minutes, 60),
        None => (text.strip_suffix('s').unwrap_or(text), 1),
    };
    let count: u64 = number
        .parse()
        .map_err(|_| format!("{text} is no time; 20s or 2m is"))?;
    Ok(Duration::from_secs(count.saturating_mul(unit)))
}
