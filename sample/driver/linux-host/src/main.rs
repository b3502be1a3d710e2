//! Program `gatebell-sample-host`: installs and starts the sample's driver, and serves its device until it is told to
//! stop.

#[cfg(target_os = "linux")]
mod stop;

#[cfg(target_os = "linux")]
fn main() -> anyhow::Result<()> {
    use channel::server::Policy;
    use clap::{Arg, ArgAction, Command, value_parser};
    use sample_host::{Config, Sample};
    use std::os::fd::AsFd;
    use std::path::PathBuf;

    let path = |name: &'static str| {
        Arg::new(name)
            .long(name)
            .value_parser(value_parser!(PathBuf))
    };
    let object = path("object").default_value("target/drivers/gatebell_sample.bpf.o");
    let socket = path("socket").default_value("/run/gatebell/sample.sock");
    let everybody = Arg::new("everybody")
        .long("everybody")
        .action(ArgAction::SetTrue);
    let mut said = Command::new("gatebell-sample-host")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Installs and starts the sample's driver, and serves its device until Ctrl-C")
        .arg(object.help("The driver: an eBPF object"))
        .arg(socket.help("Where the device server shall be"))
        .arg(
            path("zone")
                .help("The control group (its folder) whose process creations are reported"),
        )
        .arg(everybody.help("Let every user in, not only this one"))
        .get_matches();
    let mut taken = |name| said.remove_one::<PathBuf>(name);
    let (object, zone) = (taken("object").unwrap_or_default(), taken("zone"));
    let socket = taken("socket").unwrap_or_default();
    let everybody = said.get_flag("everybody");
    let policy = Policy {
        mode: if everybody { 0o666 } else { 0o600 },
        ..Policy::default()
    };
    let signals = stop::Signals::block()?;
    if let Some(folder) = socket.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut sample = Sample::start(&Config {
        object,
        socket: socket.clone(),
        zone,
        policy,
    })?;
    eprintln!(
        "gatebell-sample-host: the driver is started, its device is {}",
        socket.display()
    );
    if sample.server().records_may_overlap() {
        eprintln!(
            "gatebell-sample-host: this kernel lacks the fix of CVE-2024-41009, so only apps of root and of its own user are let in"
        );
    }
    while !signals.came()? {
        sample.turn(signals.as_fd())?;
    }
    let account = sample.server().references();
    drop(sample);
    eprintln!(
        "gatebell-sample-host: the driver is stopped; {} references taken",
        account.taken
    );
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!(
        "This program starts the sample's driver on Linux. On Windows the service manager does."
    );
}
