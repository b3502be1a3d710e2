//! Rules as they would be in other networks than those that are there.

use crate::Error;
use crate::outputs::say;
use crate::rule_file::RuleFile;
use clap::Args;
use rules::as_if;

/// Arguments that declare the networks for which rules are judged.
#[derive(Debug, Args)]
pub struct AsIfArguments {
    /// Judge as if these networks of the rule file were there and no others; none: as if none was; unknown: as if that
    /// was not known. Left out: as the running service sees it, if its rules are asked; else as if it was not known
    #[arg(long, value_name = "NETWORK,…", value_delimiter = ',')]
    pub as_if: Vec<String>,
}

impl AsIfArguments {
    /// Has the rules be on that would be there.
    ///
    /// # Errors
    /// There is no network of this name, or the tables would be too large.
    pub fn put(&self, file: &mut RuleFile) -> Result<(), Error> {
        if self.as_if.is_empty() {
            return Ok(());
        }
        let told = as_if(&self.as_if, &file.rules.network_rules().networks).map_err(Error::AsIf)?;
        file.put_at(&told)
    }

    /// Puts the declared networks into a rule file, and prints a notice if none are declared but its rules depend on
    /// them.
    ///
    /// # Errors
    /// As for [`Self::put`].
    pub fn put_or_say(&self, file: &mut RuleFile) -> Result<(), Error> {
        if self.as_if.is_empty() && !file.rules.network_rules().rules.is_empty() {
            say(format_args!(
                "{}: which of its networks are there is not known here, and rules that ask for them are on their safe side; \
                 --as-if says where to judge",
                file.shown_name()
            ));
        }
        self.put(file)
    }
}
