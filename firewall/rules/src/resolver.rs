//! Resolver of the files, lists, users and programs that a rule file names.

/// Access of [`crate::parse`] to the machine: it reads no file and asks no kernel itself.
pub trait Resolver {
    /// Reads the file of a set, by the path that the rule file gives it.
    ///
    /// # Errors
    /// Fails if it can't be read; the text says why, and what would be right.
    fn set_file(&self, path: &str) -> Result<SetFile, String>;

    /// Reads the last good copy of the list at this URL; `None` if it was never fetched.
    ///
    /// # Errors
    /// Fails if it can't be told whether there is a copy, or if it can't be read; the text says why, and what would be
    /// right.
    fn fetched(&self, url: &str) -> Result<Option<SetFile>, String> {
        let shown = url.split('?').next().unwrap_or_default();
        Err(format!(
            "{shown} is fetched by the service, and its copies are not known here"
        ))
    }

    /// Returns a mark of a set's file: another one once it is another file,
    /// or was written to. `None`: that can't be told.
    fn set_file_mark(&self, _path: &str) -> Option<FileMark> {
        None
    }

    /// The same of the last good copy of the list at this address.
    fn fetched_mark(&self, _url: &str) -> Option<FileMark> {
        None
    }

    /// Looks up the number of the user with this name.
    ///
    /// # Errors
    /// Fails if there is none; the text says what would be right.
    fn user(&self, name: &str) -> Result<u32, String>;

    /// Returns the numbers of this machine's own users, who surely have other names than one that [`Self::user`] does
    /// not know. While a name is not known, a rule that blocks matches anybody else.
    fn other_users(&self) -> Vec<u32> {
        Vec::new()
    }

    /// Returns the reason for which this program's file can't be looked up; `None` if it can.
    fn program_trouble(&self, _path: &str) -> Option<String> {
        None
    }

    /// Looks up the identity of this program's file ([`firewall_abi::packet::PacketMeta::program`]); `None` if it is
    /// not there.
    fn program(&self, path: &str) -> Option<[u64; 2]>;
}

/// Contents of a set's file, or of the copy of its list.
#[derive(Clone, Debug)]
pub struct SetFile {
    /// Name of the file in messages.
    pub name: String,
    /// Bytes of the file.
    pub bytes: Vec<u8>,
    /// `true` if not everybody may read the file. Then no message quotes it: others may see messages.
    pub confidential: bool,
    /// Reason for which these bytes are an older copy; `None` if they are the present ones.
    pub trouble: Option<String>,
}

/// The identity of a file without its bytes: which one, how long, when it was written to. One that is not there has a
/// mark too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileMark(Vec<Option<FileStamp>>);

/// A system's account of a file: its device and number there, its length, and when its bytes and what is kept beside
/// them were changed last, in seconds and nanoseconds.
pub type FileStamp = [i64; 7];

impl FileMark {
    /// Of a file that is there, or of none.
    #[must_use]
    pub fn of(stamp: Option<FileStamp>) -> Self {
        Self(vec![stamp])
    }

    /// Of both.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Returns whether nothing is there.
    #[must_use]
    pub fn is_of_none(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }
}

/// Resolver that knows nothing: no files, no users, no programs.
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
