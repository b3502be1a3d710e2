//! Steps that a user can ask for: one button each, and the order in which `--headless` asks for them.

use crate::kernel::Kernel;
use channel::Refusal;
use sample_abi::Operation;

/// One step of the sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The app creates an event and has the driver reference it.
    Reference,
    /// The app creates an event, has the driver reference it, and wants to be told of new processes too.
    ReferenceForProcesses,
    /// The driver dereferences the event.
    Dereference,
    /// The driver operates the event at once.
    Driver(Operation),
    /// The driver sends notices.
    Notify(Burst),
    /// The driver waits while the app sets the event.
    DriverWaits,
    /// The driver waits and nobody sets the event.
    DriverWaitsInVain,
    /// The app sets its event.
    AppSets,
    /// The app clears its event.
    AppClears,
    /// The app looks at its event's state.
    AppLooks,
    /// The app waits once, for a moment, and drains.
    AppWaits,
    /// A thread of the app waits from now on.
    StartThread,
    /// The thread of the app stops waiting.
    StopThread,
    /// A process is created.
    StartProcess,
    /// The driver pulses its named event while the app waits on it.
    NamedHeard,
    /// The driver pulses its named event while nobody waits.
    NamedUnheard,
    /// The app tries to reset the driver's named event.
    NamedReset,
    /// The app shows both sides' counters.
    Account,
    /// The app compares the three ways of the article.
    Compare,
}

/// A burst of notices to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burst {
    /// Number of notices.
    pub count: u32,
    /// Time between two notices, in microseconds.
    pub interval_us: u32,
    /// `true` if a timer of the driver sends them; else they come from within the request.
    pub from_timer: bool,
}

impl Step {
    /// Buttons of the window, by the group that they stand in.
    pub const GROUPS: &[(&str, &[Self])] = &[
        (
            "The event",
            &[
                Self::Reference,
                Self::ReferenceForProcesses,
                Self::Dereference,
                Self::Account,
            ],
        ),
        (
            "The driver operates it",
            &[
                Self::Driver(Operation::Set),
                Self::Driver(Operation::Clear),
                Self::Driver(Operation::Pulse),
                Self::Driver(Operation::Query),
            ],
        ),
        (
            "The app operates it",
            &[
                Self::AppSets,
                Self::AppClears,
                Self::AppLooks,
                Self::AppWaits,
            ],
        ),
        (
            "A thread of the app",
            &[Self::StartThread, Self::StopThread],
        ),
        (
            "The driver waits",
            &[Self::DriverWaits, Self::DriverWaitsInVain],
        ),
        (
            "Background: a named event",
            &[Self::NamedHeard, Self::NamedUnheard, Self::NamedReset],
        ),
        ("A new process", &[Self::StartProcess]),
        ("The three ways", &[Self::Compare]),
    ];

    /// Returns the label of the step's button.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Reference => "Create and reference",
            Self::ReferenceForProcesses => "With new processes",
            Self::Dereference => "Dereference",
            Self::Driver(Operation::Set) => "Driver sets",
            Self::Driver(Operation::Clear) => "Driver clears",
            Self::Driver(Operation::Pulse) => "Driver pulses",
            Self::Driver(Operation::Query) => "Driver queries",
            Self::Driver(_) => "Driver operates",
            Self::Notify(Burst {
                from_timer: false, ..
            }) => "From a request",
            Self::Notify(Burst {
                from_timer: true, ..
            }) => "From a timer",
            Self::DriverWaits => "Driver waits, app sets",
            Self::DriverWaitsInVain => "Driver waits in vain",
            Self::AppSets => "App sets",
            Self::AppClears => "App clears",
            Self::AppLooks => "App looks",
            Self::AppWaits => "App waits once",
            Self::StartThread => "Start waiting",
            Self::StopThread => "Stop waiting",
            Self::StartProcess => "Start a program",
            Self::NamedHeard => "Pulse while waiting",
            Self::NamedUnheard => "Pulse unheard",
            Self::NamedReset => "Try to reset it",
            Self::Account => "Account",
            Self::Compare => "Compare",
        }
    }
}

/// A step of the script, and how it must end.
#[derive(Clone, Copy, Debug)]
pub struct Act {
    /// Step to take.
    pub step: Step,
    /// Refusal that must come, or `None` if the step must be done.
    pub refusal: Option<Refusal>,
    /// Findings that the app must have, where every kernel agrees.
    pub app: Option<&'static str>,
}

/// Returns the words for an event's state.
pub const fn state(set: bool) -> &'static str {
    if set { "signalled" } else { "not signalled" }
}

/// Returns all operations, in an order that shows what each does.
pub fn script<S: Kernel>() -> Vec<Act> {
    use Step::{
        Account, AppClears, AppLooks, AppSets, AppWaits, Dereference, Driver, DriverWaits,
        DriverWaitsInVain, NamedHeard, NamedReset, NamedUnheard, Notify, Reference,
        ReferenceForProcesses, StartProcess, StartThread, StopThread,
    };
    let (set, clear) = (Some(state(true)), Some(state(false)));
    let done = |step| Act {
        step,
        refusal: None,
        app: None,
    };
    let refused = |step, refusal| Act {
        step,
        refusal: Some(refusal),
        app: None,
    };
    let looks = |app| Act {
        step: AppLooks,
        refusal: None,
        app,
    };
    let driver = |operation| Act {
        step: Driver(operation),
        refusal: S::refuses(operation),
        app: None,
    };
    let burst = |count, interval_us, from_timer| {
        let operation = if from_timer {
            Operation::NotifyFromTimer
        } else {
            Operation::Notify
        };
        let step = Notify(Burst {
            count,
            interval_us,
            from_timer,
        });
        Act {
            step,
            refusal: S::refuses(operation),
            app: None,
        }
    };
    let cleared = if S::refuses(Operation::Clear).is_some() {
        set
    } else {
        clear
    };
    let pulsed = if S::PULSE_STAYS { set } else { clear };
    let named = |step| Act {
        step,
        refusal: S::refuses(Operation::PulseNamed),
        app: None,
    };
    vec![
        refused(Driver(Operation::Query), Refusal::NotReferenced),
        done(Reference),
        refused(Reference, Refusal::AlreadyReferenced),
        looks(clear),
        // Auto-reset: the wait takes the signal.
        driver(Operation::Set),
        looks(set),
        driver(Operation::Query),
        done(AppWaits),
        looks(clear),
        // The app operates it.
        done(AppSets),
        looks(set),
        done(AppClears),
        looks(clear),
        // The driver takes a signal back.
        driver(Operation::Set),
        driver(Operation::Clear),
        looks(cleared),
        done(AppWaits),
        // The article's pulse: who does not wait misses it.
        driver(Operation::Pulse),
        looks(pulsed),
        done(AppWaits),
        // The other way round.
        done(DriverWaits),
        refused(DriverWaitsInVain, Refusal::TimedOut),
        // The article's thread, and notices with a payload.
        done(Dereference),
        done(ReferenceForProcesses),
        done(StartThread),
        burst(10, 0, false),
        burst(5, 10_000, false),
        burst(5, 10_000, true),
        done(StartProcess),
        done(StopThread),
        // The article's background.
        named(NamedHeard),
        named(NamedUnheard),
        named(NamedReset),
        done(Account),
        done(Dereference),
        refused(Driver(Operation::Set), Refusal::NotReferenced),
    ]
}
