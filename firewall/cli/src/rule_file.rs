//! A rule file, read and understood, and what is said about one that is not.

use crate::outputs::say;
use crate::{Error, style};
use control::SetMember;
use engine::Tables;
use firewall_abi::packet::{Decision, Direction, NO_RULE};
use rules::{
    Finding, Joined, Network, Presence, Resolver, Rule, Rules, SystemResolver, Table, clean,
    clean_line,
};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A rule file that was found right.
pub struct RuleFile {
    /// Name of the file in messages.
    pub name: String,
    /// Checked rules of the file.
    pub rules: Rules,
    /// Rules as compiled for the engine: generation 1.
    pub table: Table,
    /// Members that have joined the rules' sets, if the service was asked.
    pub joined: Joined,
    /// Joined members as the service reported them.
    pub members: Vec<SetMember>,
}

impl RuleFile {
    /// Reads a rule file; what is wrong with it, or what it names and can't be had, is shown on standard error.
    ///
    /// # Errors
    /// It can't be read, or not understood.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let source = RuleSource::read(path)?;
        let file = Self::understand(&source, &SystemResolver::beside(path))?;
        Lines::of(&source.name, &source.text).say(file.rules.troubles(), Severity::Trouble);
        Ok(file)
    }

    /// Understands a rule file; what is wrong with it is shown on standard error.
    ///
    /// # Errors
    /// It is not understood.
    pub fn understand(
        RuleSource {
            name,
            text,
            members,
            networks,
            ..
        }: &RuleSource,
        resolver: &dyn Resolver,
    ) -> Result<Self, Error> {
        let errors = match Self::parse(name, text, resolver) {
            Ok(mut file) => {
                file.put_at(networks)?;
                if !members.is_empty() {
                    file.join(members.clone())?;
                }
                return Ok(file);
            }
            Err(errors) => errors,
        };
        Lines::of(name, text).say(&errors, Severity::Error);
        Err(Error::Rules {
            file: name.to_owned(),
            errors: errors.len(),
        })
    }

    /// Understands a rule file's text.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(name: &str, text: &str, resolver: &dyn Resolver) -> Result<Self, Vec<Finding>> {
        let rules =
            rules::parse(name, text, resolver).map_err(|errors| errors.findings().to_vec())?;
        let table = rules.compile(1);
        Ok(Self {
            name: name.to_owned(),
            rules,
            table,
            joined: Joined::default(),
            members: Vec::new(),
        })
    }

    /// Takes in what has joined the sets of these names while rules were in force.
    ///
    /// # Errors
    /// The tables would be too large.
    pub fn join(&mut self, members: Vec<SetMember>) -> Result<(), Error> {
        let joined = members
            .iter()
            .map(|member| (member.set.as_str(), member.address));
        let too_large = |message| Error::Joined {
            file: self.name.clone(),
            message,
        };
        self.joined = self.rules.know_joined(joined).map_err(too_large)?;
        self.table = self.rules.compile(1);
        self.members = members;
        Ok(())
    }

    /// Has the rules be on that are right where these networks are there, and those not; any other is not known.
    ///
    /// # Errors
    /// The tables would be too large.
    pub fn put_at(&mut self, networks: &[(String, Presence)]) -> Result<(), Error> {
        let presence = |asked: &Network| Presence::among(networks, asked);
        let too_large = |message| Error::Elsewhere {
            file: self.name.clone(),
            message,
        };
        self.rules.put_at(presence).map_err(too_large)?;
        self.table = self.rules.compile(1);
        Ok(())
    }

    /// The rules and what has joined their sets, as the engine takes them.
    pub fn tables(&self) -> impl Tables {
        self.joined.beside(self.table.slices())
    }

    /// The rule that a decision names.
    pub fn rule_of(&self, decision: &Decision) -> Option<&Rule> {
        (decision.rule != NO_RULE).then(|| self.rules.rule(decision.rule))?
    }

    /// Returns the place of a rule: file and line.
    pub fn place(&self, rule: &Rule) -> String {
        format!("{}:{}", self.shown_name(), rule.line)
    }

    /// Returns the name in messages, escaped for a terminal.
    pub fn shown_name(&self) -> String {
        clean(&self.name)
    }
}

/// A rule file's text, and what it is called.
pub struct RuleSource {
    /// Name in messages: the path if the source is a file.
    pub name: String,
    /// Text of the rules.
    pub text: String,
    /// Path beside which the relative paths of the rule file begin.
    pub place: PathBuf,
    /// Members that have joined sets, if the service was asked for the rules in force.
    pub members: Vec<SetMember>,
    /// Presence of the networks in the rules in force, if the service was asked for it.
    pub networks: Vec<(String, Presence)>,
}

impl RuleSource {
    /// The rule file at this path.
    ///
    /// # Errors
    /// It can't be read.
    pub fn read(path: &Path) -> Result<Self, Error> {
        Ok(Self {
            name: name(path),
            text: read(path)?,
            place: path.to_owned(),
            members: Vec::new(),
            networks: Vec::new(),
        })
    }

    /// The rule file at this path, or if there is none the rules that the service has in force.
    ///
    /// # Errors
    /// It can't be read; or there is no service.
    #[cfg(target_os = "linux")]
    pub fn given(
        path: Option<&Path>,
        service: &crate::arguments::SocketArguments,
    ) -> Result<Self, Error> {
        path.map_or_else(|| crate::live::in_force(&service.socket), Self::read)
    }

    /// The rule file at this path. There is no service that could be asked for others.
    ///
    /// # Errors
    /// It can't be read; or there is no path.
    #[cfg(not(target_os = "linux"))]
    pub fn given(path: Option<&Path>) -> Result<Self, Error> {
        path.map_or(Err(Error::NoFile), Self::read)
    }
}

/// Returns the name of a path in messages.
pub fn name(path: &Path) -> String {
    if is_standard_input(path) {
        "standard input".to_owned()
    } else {
        path.display().to_string()
    }
}

/// A file's text, or that of standard input for `-`. Bytes that are no UTF-8 become errors of their place.
///
/// # Errors
/// It can't be read.
pub fn read(path: &Path) -> Result<String, Error> {
    let mut bytes = Vec::new();
    let read = if is_standard_input(path) {
        io::stdin().lock().read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes))
    };
    let unreadable = |cause| Error::Unreadable {
        file: path.to_owned(),
        cause,
    };
    read.map_err(unreadable)?;
    String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()]
            .iter()
            .filter(|b| **b == b'\n')
            .count()
            + 1;
        let cause = format!("line {line} is not UTF-8; save it as UTF-8");
        unreadable(io::Error::new(io::ErrorKind::InvalidData, cause))
    })
}

/// Returns whether a path stands for standard input.
pub fn is_standard_input(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The file is not taken.
    Error,
    /// The file is taken, but is probably not meant so.
    Warning,
    /// The file is taken, but something that it names is missing; a warning, and a loud one.
    Trouble,
}

impl Severity {
    /// Returns the name of the severity in messages and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning | Self::Trouble => "warning",
        }
    }
}

/// A rule file's text in lines, to show what findings are about.
pub struct Lines<'a> {
    name: &'a str,
    lines: Vec<&'a str>,
}

impl<'a> Lines<'a> {
    /// The lines of the file that is called so in messages.
    pub fn of(name: &'a str, text: &'a str) -> Self {
        Self {
            name,
            lines: text.lines().collect(),
        }
    }

    /// The line that a finding is about, if it is one of this file's,
    /// and how many of its characters stand before the place.
    fn about(&self, finding: &Finding) -> Option<(&'a str, usize)> {
        let said = self
            .lines
            .get(finding.line.checked_sub(1)?)
            .filter(|_| finding.file == self.name)?;
        (!said.trim().is_empty()).then_some((*said, finding.column.saturating_sub(1)))
    }

    /// Says findings and the lines that they are about on standard error.
    pub fn say(&self, findings: &[Finding], severity: Severity) {
        for finding in findings {
            say(format_args!("{}", self.shown(finding, severity)));
        }
    }

    /// A finding, and below it the line that it is about.
    pub fn shown(&self, finding: &Finding, severity: Severity) -> String {
        let Finding {
            file,
            line,
            column,
            message,
        } = finding;
        let colour = match severity {
            Severity::Error | Severity::Trouble => style::ERROR,
            Severity::Warning => style::WARNING,
        };
        let (strong, faint) = (style::STRONG, style::FAINT);
        let shown = format!(
            "{strong}{}:{line}:{column}:{strong:#} {colour}{}:{colour:#} {}",
            clean(file),
            severity.name(),
            clean(message)
        );
        let Some((said, before)) = self.about(finding) else {
            return shown;
        };
        let (said, before) = part(said, before);
        let place = said
            .char_indices()
            .nth(before)
            .map_or(said.len(), |(place, _)| place);
        let (before, behind) = said.split_at(place);
        let (before, behind) = (clean_line(before), clean_line(behind));
        // A tab stays a tab, so that the mark stands under what it marks.
        let blank: String = before
            .chars()
            .map(|c| if c == '\t' { c } else { ' ' })
            .collect();
        format!(
            "{shown}\n{faint}{line:>5} |{faint:#} {before}{behind}\n{faint}      |{faint:#} {blank}{colour}^{colour:#}"
        )
    }
}

/// Cuts a long line to the part around a place, and returns the number of characters before the place too.
fn part(line: &str, before: usize) -> (String, usize) {
    const AROUND: usize = 80;
    let skipped = before.saturating_sub(AROUND);
    let mut rest = line.chars().skip(skipped);
    let mut part: String = rest.by_ref().take(2 * AROUND).collect();
    if rest.next().is_some() {
        part.push('…');
    }
    if skipped == 0 {
        (part, before)
    } else {
        (format!("…{part}"), before - skipped + 1)
    }
}

/// The words for what a packet gets that no rule matches.
pub fn default_name(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "the default for in",
        Direction::Outbound => "the default for out",
        Direction::Forward => "the default for forward",
    }
}
