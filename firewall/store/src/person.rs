//! Names of the users who change something, for people to read.

/// Returns the user who runs this process: `alice`, or `root (alice)` where they logged in as another.
#[must_use]
pub fn this_person() -> String {
    system::this_person()
}

/// Returns a user, with the one that they logged in as, if the process with this number tells; `name` looks up users'
/// names.
#[cfg(target_os = "linux")]
#[must_use]
pub fn person(user: u32, process: Option<u32>, name: impl Fn(u32) -> String) -> String {
    let login = process.and_then(|process| system::login(&process.to_string()));
    system::said(user, login, name)
}

#[cfg(target_os = "linux")]
mod system {
    use nix::unistd::{Uid, User, getuid};

    /// Login user of a process without one, in the kernel.
    const NOBODY: u32 = u32::MAX;

    pub fn this_person() -> String {
        said(getuid().as_raw(), login("self"), name)
    }

    pub fn login(process: &str) -> Option<u32> {
        let text = std::fs::read_to_string(format!("/proc/{process}/loginuid")).ok()?;
        text.trim().parse().ok().filter(|user| *user != NOBODY)
    }

    pub fn said(user: u32, login: Option<u32>, name: impl Fn(u32) -> String) -> String {
        match login.filter(|login| *login != user) {
            Some(login) => format!("{} ({})", name(user), name(login)),
            None => name(user),
        }
    }

    fn name(user: u32) -> String {
        let found = User::from_uid(Uid::from_raw(user)).ok().flatten();
        found.map_or_else(|| user.to_string(), |user| user.name)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    pub fn this_person() -> String {
        ["USERNAME", "USER"]
            .iter()
            .find_map(|name| std::env::var(name).ok())
            .unwrap_or_else(|| "somebody".to_owned())
    }
}
