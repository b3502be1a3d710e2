//! The rooms of the house as its tests know them: what each is for, what it needs, and its steps.

use std::sync::LazyLock;

use crate::build::BuildGoal;
use crate::setup::Need;
use crate::vm::kernel::{KernelLine, LINES};

/// A part of the project whose tests run together, in under three minutes once things are built.
pub struct Room {
    /// Name of the room in `cargo xtask test ROOM`.
    pub name: &'static str,
    /// Promise that the room's tests show.
    pub promise: &'static str,
    /// Needs of the machine beside Rust.
    pub needs: &'static [Need],
    /// Things to build first, beside the room's tests.
    pub built: &'static [BuildGoal],
    /// `true` if the room's tests make namespaces, control groups and BPF programs.
    pub root: bool,
    /// Steps of the room, in their order.
    pub steps: &'static [Step],
    /// Steps that are done beside these, and behind the steps of every room: nothing in them asks a clock, so that they
    /// can be kept waiting.
    pub computed: &'static [Step],
    /// Steps that take minutes more, and are done only where everything is asked for.
    pub thorough: &'static [Step],
}

/// One thing that passes or fails.
pub enum Step {
    /// The compiled tests of a package: of its library, its programs and its test files.
    Package(&'static str),
    /// One test file of the kernel tests' package, on this machine's kernel.
    Kernel(&'static str),
    /// Test files of the kernel tests' package on one of Debian's kernels, in one emulated machine.
    Emulated(&'static KernelLine),
    /// A command of `cargo xtask` itself, as a user gives it: what it shows, and its words.
    Ourselves(&'static str, &'static [&'static str]),
    /// A command of `cargo xtask` itself that boots an emulated machine: what it shows, and its words.
    Machine(&'static str, &'static [&'static str]),
    /// A cargo command of its own: what it shows, flags for rustc, and its arguments.
    Cargo(&'static str, &'static str, &'static [&'static str]),
}

impl Room {
    /// Returns all steps of the room but the thorough ones.
    pub fn all(&self) -> impl Iterator<Item = &'static Step> {
        self.steps.iter().chain(self.computed)
    }
}

/// All rooms, cheap ones first: the listed ones, and one for each of Debian's kernels.
pub static ROOMS: LazyLock<Vec<Room>> = LazyLock::new(|| {
    LISTED
        .into_iter()
        .chain(LINES.iter().map(emulated))
        .collect()
});

const LISTED: [Room; 27] = [
    Room {
        name: "style",
        promise: "all source is formatted and free of lints, every dependency is one that deny.toml allows",
        needs: &[Need::Deny, Need::Lint, Need::Windows, Need::Fuzz],
        steps: &[Step::Kernel("style")],
        computed: &[
            Step::Cargo("format", "", &["fmt", "--all", "--check"]),
            Step::Cargo(
                "clippy",
                "",
                &[
                    "clippy",
                    "--workspace",
                    "--all-targets",
                    // The driver's half for Windows is run on a model of its kernel too.
                    "--features=gatebell-channel/wdm",
                    "--locked",
                    "--",
                    "-Dwarnings",
                ],
            ),
            Step::Ourselves("licences, bans and sources", &["lint", "deny"]),
            Step::Ourselves("clippy for other machines", &["lint", "clippy"]),
        ],
        ..BARE
    },
    plain(
        "abi",
        "what crosses the kernel's boundary keeps its layout",
        &[
            Step::Package("gatebell-channel-abi"),
            Step::Package("gatebell-firewall-abi"),
        ],
    ),
    plain(
        "engine",
        "headers are parsed and rules decide as a naive oracle does",
        &[Step::Package("gatebell-engine")],
    ),
    plain(
        "rules",
        "a rule file becomes tables, or errors with line and column",
        &[Step::Package("gatebell-rules")],
    ),
    plain(
        "names",
        "any answer of DNS names addresses or nothing, and what it names can be shown",
        &[Step::Package("gatebell-names")],
    ),
    plain(
        "history",
        "what happened is kept within its bounds, over a kill, a full disk and a broken file, and can be read page by page",
        &[Step::Package("gatebell-history")],
    ),
    Room {
        name: "channel",
        promise: "event, attachment, records and losses on the model of a kernel",
        // With its server: the kernel tests want that, and are compiled along.
        steps: &[
            Step::Package("gatebell-channel"),
            Step::Package("gatebell-channel-c"),
            Step::Package("gatebell-channel-link"),
            Step::Kernel("library"),
        ],
        computed: &[
            Step::Cargo(
                "what its page shows, run",
                "",
                &[
                    "test",
                    "--package",
                    "gatebell-channel",
                    "--features",
                    "async",
                    "--doc",
                    "--locked",
                ],
            ),
            // Each is built from what was packed, with those that it needs as packed before it.
            Step::Cargo(
                "its crates, as a registry gets them",
                "",
                &[
                    "package",
                    "--package=gatebell-channel-abi",
                    "--package=gatebell-channel",
                    "--package=gatebell-channel-link",
                    "--package=gatebell-channel-c",
                    "--allow-dirty",
                    // The project has no page of its own that it could name.
                    "--no-metadata",
                    "--offline",
                    "--locked",
                ],
            ),
        ],
        ..BARE
    },
    computing(
        "loom",
        "no signal is lost in any order of two processors",
        &[Step::Cargo(
            "every order of waiter and signaller",
            "--cfg loom",
            &[
                "test",
                "--package",
                "gatebell-channel",
                "--release",
                // What is in the documentation runs where a lock is one.
                "--tests",
                "--locked",
            ],
        )],
    ),
    computing(
        "shuttle",
        "four producers and a reader account for every record, in 100,000 orders that chance chooses",
        &[Step::Cargo(
            "100,000 orders of four producers",
            "--cfg shuttle",
            &[
                "test",
                "--package",
                "gatebell-channel",
                "--release",
                "--test",
                "shuttle",
                "--locked",
            ],
        )],
    ),
    plain(
        "cli",
        "the command line decides as the kernel does",
        &[Step::Package("gatebell-cli")],
    ),
    plain(
        "service",
        "what the service decides by itself",
        &[
            Step::Package("gatebell-store"),
            Step::Package("gatebell-fetcher"),
            Step::Package("gatebell-control"),
            Step::Package("gatebell-service"),
        ],
    ),
    plain(
        "app",
        "the window and the terminal view show what they are told",
        &[
            Step::Package("gatebell-view"),
            Step::Package("gatebell-app"),
        ],
    ),
    plain(
        "sample",
        "the article's window logs every operation",
        &[Step::Package("gatebell-sample-app")],
    ),
    Room {
        name: "xtask",
        promise: "these commands themselves and their lab, what figures are said to show, and what an evening is said to have been",
        needs: &[Need::Package],
        steps: &[
            Step::Package("xtask"),
            Step::Package("gatebell-lab"),
            Step::Package("gatebell-bench"),
            Step::Package("gatebell-evening"),
        ],
        ..BARE
    },
    Room {
        name: "linux",
        promise: "the channel and the sample's driver keep their promises on this machine's kernel",
        needs: &[Need::Ebpf, Need::Lab, Need::C],
        built: &[BuildGoal::Ebpf, BuildGoal::C, BuildGoal::Host],
        root: true,
        steps: &[
            Step::Kernel("linux"),
            Step::Kernel("c_programs"),
            Step::Ourselves("the sample, each operation once", &["sample", "--headless"]),
        ],
        thorough: &[Step::Ourselves(
            "the guide to a driver of one's own, followed",
            &["guide"],
        )],
        ..BARE
    },
    Room {
        name: "firewall",
        promise: "every packet of a zone is judged by the rules, as nftables counts beside",
        needs: &[Need::Ebpf, Need::Lab, Need::Scan, Need::NetworkManager],
        built: &[BuildGoal::Ebpf, BuildGoal::Host],
        root: true,
        steps: &[
            Step::Kernel("firewall"),
            Step::Kernel("decisions"),
            Step::Kernel("network_manager"),
            Step::Ourselves(
                "the main job, for some seconds",
                &["run", "--for", "5s", "--json"],
            ),
        ],
        ..BARE
    },
    Room {
        name: "carriers",
        promise: "whatever carries a packet in, out or through, it is judged once, as far as this machine's kernel has it",
        needs: &[Need::Ebpf, Need::Lab],
        built: &[BuildGoal::Ebpf],
        root: true,
        steps: &[Step::Kernel("carriers")],
        ..BARE
    },
    Room {
        name: "flood",
        promise: "under load, and while rules change, every packet is judged and every record accounted for",
        needs: &[Need::Ebpf, Need::Lab],
        built: &[BuildGoal::Ebpf],
        root: true,
        steps: &[Step::Kernel("flood")],
        ..BARE
    },
    Room {
        name: "control",
        promise: "what can be asked of the running service, by whom, and what the command line makes of it",
        needs: &[Need::Ebpf, Need::Lab, Need::Polkit, Need::Resolver],
        built: &[BuildGoal::Ebpf],
        root: true,
        steps: &[
            Step::Kernel("control"),
            Step::Kernel("asking"),
            Step::Kernel("names"),
            Step::Kernel("lists"),
        ],
        thorough: &[Step::Ourselves(
            "an evening with questions, in two minutes",
            &["evening", "--for", "2m"],
        )],
        ..BARE
    },
    Room {
        name: "window",
        promise: "the window on a display, as a screen reader has it, in front of a real kernel",
        needs: &[Need::Ebpf, Need::Lab, Need::Desktop, Need::ScreenReader],
        built: &[BuildGoal::Ebpf, BuildGoal::Host],
        root: true,
        steps: &[Step::Kernel("window")],
        ..BARE
    },
    Room {
        name: "outlives",
        promise: "what the service leaves in the kernel is taken over, and taken out",
        needs: &[Need::Ebpf, Need::Lab],
        built: &[BuildGoal::Ebpf],
        root: true,
        steps: &[Step::Kernel("service"), Step::Kernel("states")],
        ..BARE
    },
    Room {
        name: "windows",
        promise: "the driver for Windows keeps its promises, as far as Wine 8 shows",
        needs: &[Need::Windows, Need::Wine],
        built: &[BuildGoal::Windows, BuildGoal::Wine],
        steps: &[
            Step::Kernel("windows_headers"),
            Step::Kernel("windows"),
            Step::Ourselves(
                "the sample, each operation once",
                &["sample", "--windows", "--headless"],
            ),
        ],
        ..BARE
    },
    // What follows is compiled first: behind what only computes nobody waits for it.
    plain(
        "nt",
        "a driver for Windows breaks no rule of NT's, whichever call fails, on a model of its kernel",
        &[Step::Cargo(
            "the driver's half for Windows, each of its calls held to the kernel's rules",
            "",
            &[
                "test",
                "--package",
                "gatebell-channel",
                "--features",
                "wdm",
                "--test",
                "nt",
                "--locked",
            ],
        )],
    ),
    Room {
        name: "fuzz",
        promise: "any bytes are taken or refused: packets, rules, captures, records, answers, requests, questions",
        needs: &[Need::Fuzz],
        steps: &[Step::Ourselves(
            "each target, for some seconds",
            &["fuzz", "--for", "5s", "--seed", "1"],
        )],
        ..BARE
    },
    plain(
        "docs",
        "each promise in SPECIFICATION.md names a test that exists",
        // It has the tests compiled to ask them for their names, and one that is linked anew is not there
        // for a moment: none may run then.
        &[Step::Kernel("specification")],
    ),
    Room {
        name: "vm",
        promise: "sample and main job run in the emulated machine as they do here",
        needs: &[Need::Ebpf, Need::Lab, Need::Vm],
        built: &[BuildGoal::Ebpf],
        steps: &[
            Step::Machine(
                "the sample, each operation once",
                &["sample", "--vm", "--headless"],
            ),
            Step::Machine(
                "the main job, for some seconds",
                &["run", "--vm", "--for", "5s", "--json"],
            ),
        ],
        ..BARE
    },
    Room {
        name: "package",
        promise: "the package protects a machine under systemd, survives, and leaves nothing",
        needs: &[Need::Ebpf, Need::Vm, Need::Systemd, Need::Package],
        built: &[BuildGoal::Ebpf],
        computed: &[Step::Ourselves(
            "the package itself",
            &["package", "--without-window"],
        )],
        steps: &[Step::Machine(
            "install, kill, upgrade, reboot, purge",
            &["package", "--prove"],
        )],
        thorough: &[Step::Machine(
            "containers, libvirt's guests and a VPN beside it",
            &["package", "--prove", "--guests"],
        )],
        ..BARE
    },
];

fn emulated(line: &'static KernelLine) -> Room {
    Room {
        name: line.name,
        promise: line.promise,
        needs: &[Need::Ebpf, Need::Lab, Need::Vm],
        built: &[BuildGoal::Ebpf],
        steps: vec![Step::Emulated(line)].leak(),
        ..BARE
    }
}

/// A room that needs nothing beside Rust.
const BARE: Room = Room {
    name: "",
    promise: "",
    needs: &[],
    built: &[],
    root: false,
    steps: &[],
    computed: &[],
    thorough: &[],
};

const fn plain(name: &'static str, promise: &'static str, steps: &'static [Step]) -> Room {
    Room {
        name,
        promise,
        steps,
        ..BARE
    }
}

/// Creates a room all of whose steps only compute.
const fn computing(name: &'static str, promise: &'static str, computed: &'static [Step]) -> Room {
    Room {
        name,
        promise,
        computed,
        ..BARE
    }
}
