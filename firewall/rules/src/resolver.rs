//! What a rule file needs to know of the machine that it is for.

/// What [`crate::parse`] asks of the machine: it reads no file and asks no kernel itself.
pub trait Resolver {
    /// The file of a set, by the path that the rule file gives it.
    ///
    /// # Errors
    /// It can't be read; the text says why, and what would be right.
    fn set_file(&self, path: &str) -> Result<SetFile, String>;

    /// The last good copy of the list at this address; none: it has never been fetched.
    ///
    /// # Errors
    /// Whether there is one can't be told, or it can't be read; the text says why, and what would be right.
    fn fetched(&self, url: &str) -> Result<Option<SetFile>, String> {
        let shown = url.split('?').next().unwrap_or_default();
        Err(format!(
            "{shown} is fetched by the service, and its copies are not known here"
        ))
    }

    /// The number of the user with this name.
    ///
    /// # Errors
    /// There is none; the text says what would be right.
    fn user(&self, name: &str) -> Result<u32, String>;

    /// Numbers of users that surely have other names than one that [`Self::user`] does not know: of this machine's own.
    /// While a name is not known, a rule that blocks takes anybody else for who bears it.
    fn other_users(&self) -> Vec<u32> {
        Vec::new()
    }

    /// Why it can't be told whether this program's file is there or what the kernel calls it; `None` if it can.
    fn program_trouble(&self, _path: &str) -> Option<String> {
        None
    }

    /// What the kernel calls this program's file: [`firewall_abi::packet::PacketMeta::program`]. `None` if it is not there.
    fn program(&self, path: &str) -> Option<[u64; 2]>;
}

/// The file of a set, or the copy of its list.
#[derive(Clone, Debug)]
pub struct SetFile {
    /// What it is called in messages.
    pub name: String,
    /// What stands in it.
    pub bytes: Vec<u8>,
    /// Whether not everybody may read it. Then no message quotes it: those who see messages may be others.
    pub confidential: bool,
    /// Why these bytes are not what stands there now, if they are an older copy.
    pub trouble: Option<String>,
}

/// Resolver of which nothing is known: no files, no users, no programs.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoResolver;

impl Resolver for NoResolver {
    fn set_file(&self, _: &str) -> Result<SetFile, String> {
        Err("no files are read here; write the addresses into the rule file".into())
    }

    fn user(&self, name: &str) -> Result<u32, String> {
        Err(format!(
            "the users' names are not known here, so nobody is called `{name}`; write the number"
        ))
    }

    fn program(&self, _: &str) -> Option<[u64; 2]> {
        None
    }
}
