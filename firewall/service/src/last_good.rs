//! The last good rules on disk, compiled: what a start loads that finds no usable rule file and no rules in the kernel.
//!
//! Rules that hold here:
//! - Nothing of it is believed before its checksum is right, and no tables are that another layout made or that are not
//!   as long as they say. What they hold beyond that the engine checks at every step:
//!   a table that names pages which it has not blocks.
//! - The text stands beside the tables: a release with another layout compiles it anew.

use firewall_abi::VERSION;
use firewall_abi::rules::{Head, HeadPage, MAX_RULES, NO_SETS, PAGE_BYTES, Page, SetsPage};
use rules::{Program, Table};
use serde::{Deserialize, Serialize};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// Tables that were compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// Pages of the generation; the first is its head.
    pub pages: Vec<Page>,
    /// Pages of the sets, with the hash that says that two tables of sets are the same.
    pub sets: Option<(u64, Vec<Page>)>,
}

/// Rules that were good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastGood {
    /// Name that the rule file had.
    pub name: String,
    pub text: String,
    /// Seconds since 1970 at which they were put in force.
    pub since: u64,
    /// `true` if something that the rules name could not be had by then.
    pub troubled: bool,
    /// The programs that the rules name.
    pub programs: Vec<Program>,
    /// Their tables; or why those are not believed.
    pub compiled: Result<Compiled, String>,
}

/// First bytes of the file.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Start {
    magic: [u8; 8],
    format: u32,
    /// Checksum of all that follows this struct.
    checksum: u32,
    /// The layout of the tables.
    version: u32,
    head_bytes: u32,
    /// Bytes of the description, which comes next.
    about: u32,
    /// Pages of the generation, then those of its sets.
    pages: u32,
    sets: u32,
    spare: u32,
}

const MAGIC: [u8; 8] = *b"gatebell";
const FORMAT: u32 = 2;

/// A program's path, the file that it was, and the files that it had been.
type KeptProgram = (String, Option<[u64; 2]>, Vec<[u64; 2]>);

/// All but the tables.
#[derive(Serialize, Deserialize)]
struct About {
    name: String,
    text: String,
    since: u64,
    troubled: bool,
    programs: Vec<KeptProgram>,
    /// Hash of the sets' content.
    content: u64,
}

impl Compiled {
    /// Takes the pages of a table that was compiled from rules.
    pub fn of(table: Table) -> Self {
        Self {
            pages: table.pages,
            sets: table.sets.map(|sets| (sets.content, sets.pages.clone())),
        }
    }

    /// Returns the head of the generation, which stands before the other pages.
    pub fn head(&self) -> Head {
        let first = self.pages.first();
        first
            .map(|page| HeadPage::of(page).head)
            .unwrap_or_default()
    }

    /// Replaces the head.
    pub fn set_head(&mut self, head: Head) {
        if let Some(first) = self.pages.first_mut() {
            *first = *HeadPage::from(head).words();
        }
    }

    /// Returns why this can be no generation, or `None` if it can.
    fn wrong(&self) -> Option<&'static str> {
        let head = self.head();
        if head.generation == 0 || head.pages as usize != self.pages.len() {
            return Some("the tables are not as long as they say");
        }
        if head.rules > MAX_RULES {
            return Some("the tables say that they have more rules than there can be");
        }
        let sets = self.sets.as_ref().and_then(|(_, pages)| {
            let head = SetsPage::of(pages.first()?).head;
            Some((head.pages as usize, pages.len()))
        });
        match sets {
            None if head.sets == NO_SETS => None,
            Some((said, there)) if said == there => None,
            _ => Some("the tables of sets are not those of the rules"),
        }
    }
}

/// The file.
pub fn written(good: &LastGood) -> Option<Vec<u8>> {
    let LastGood {
        name,
        text,
        since,
        troubled,
        programs,
        compiled,
    } = good;
    let Compiled { pages, sets } = compiled.as_ref().ok()?;
    let (content, sets) = match sets {
        Some((content, pages)) => (*content, &pages[..]),
        None => (0, &[][..]),
    };
    let programs = programs
        .iter()
        .cloned()
        .map(|program| (program.path, program.identity, program.former))
        .collect();
    let about = serde_json::to_vec(&About {
        name: name.clone(),
        text: text.clone(),
        since: *since,
        troubled: *troubled,
        programs,
        content,
    });
    let about = about.ok()?;
    let mut start = Start {
        magic: MAGIC,
        format: FORMAT,
        checksum: 0,
        version: VERSION,
        head_bytes: size_of::<Head>() as u32,
        about: u32::try_from(about.len()).ok()?,
        pages: u32::try_from(pages.len()).ok()?,
        sets: u32::try_from(sets.len()).ok()?,
        spare: 0,
    };
    let mut bytes = start.as_bytes().to_vec();
    for part in [&about, pages.as_bytes(), sets.as_bytes()] {
        bytes.extend_from_slice(part);
    }
    start.checksum = checksum(&start, &bytes[size_of::<Start>()..]);
    bytes[..size_of::<Start>()].copy_from_slice(start.as_bytes());
    Some(bytes)
}

/// Parses the file with the last good rules.
///
/// # Errors
/// Why nothing of it is believed.
pub fn read(bytes: &[u8]) -> Result<LastGood, String> {
    let cut = || "the file is cut short".to_owned();
    let (start, rest) = Start::read_from_prefix(bytes).map_err(|_| cut())?;
    if start.magic != MAGIC || start.format != FORMAT {
        return Err("it is no such file, or another release's".to_owned());
    }
    if start.checksum != checksum(&start, rest) {
        return Err("its checksum is wrong".to_owned());
    }
    let (about, rest) = rest
        .split_at_checked(start.about as usize)
        .ok_or_else(cut)?;
    let About {
        name,
        text,
        since,
        troubled,
        programs,
        content,
    } = serde_json::from_slice(about).map_err(|error| error.to_string())?;
    let programs = programs
        .into_iter()
        .map(|(path, identity, former)| Program {
            path,
            identity,
            former,
        })
        .collect();
    Ok(LastGood {
        name,
        text,
        since,
        troubled,
        programs,
        compiled: compiled(&start, content, rest),
    })
}

fn compiled(start: &Start, content: u64, bytes: &[u8]) -> Result<Compiled, String> {
    if (start.version, start.head_bytes) != (VERSION, size_of::<Head>() as u32) {
        return Err("another release with another layout of tables made them".to_owned());
    }
    let all = u64::from(start.pages) + u64::from(start.sets);
    if all * PAGE_BYTES as u64 != bytes.len() as u64 {
        return Err("the tables are not as long as they say".to_owned());
    }
    let mut pages: Vec<Page> = bytes.chunks_exact(PAGE_BYTES).map(page).collect();
    let sets = pages.split_off((start.pages as usize).min(pages.len()));
    let compiled = Compiled {
        pages,
        sets: (!sets.is_empty()).then_some((content, sets)),
    };
    match compiled.wrong() {
        Some(wrong) => Err(wrong.to_owned()),
        None => Ok(compiled),
    }
}

fn page(bytes: &[u8]) -> Page {
    let mut page: Page = FromZeros::new_zeroed();
    page.as_mut_bytes().copy_from_slice(bytes);
    page
}

fn checksum(start: &Start, rest: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(
        Start {
            checksum: 0,
            ..*start
        }
        .as_bytes(),
    );
    hasher.update(rest);
    hasher.finalize()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use rules::NoResolver;

    const TEXT: &str = r#"
        [default]
        inbound = "block"
        outbound = "allow"
        [[set]]
        id = "bad"
        addresses = ["192.0.2.0/24", "2001:db8::/32"]
        [[rule]]
        id = "no"
        action = "block"
        source = "@bad"
        [[rule]]
        id = "curl"
        action = "block"
        program = "/usr/bin/curl"
    "#;

    fn good() -> LastGood {
        let rules = rules::parse("r.toml", TEXT, &NoResolver).unwrap();
        LastGood {
            name: "r.toml".to_owned(),
            text: TEXT.to_owned(),
            since: 7,
            troubled: false,
            programs: rules
                .iter()
                .flat_map(|rule| rule.programs.clone())
                .collect(),
            compiled: Ok(Compiled::of(rules.compile(3))),
        }
    }

    #[test]
    fn the_last_good_rules_are_read_as_they_were_written() {
        let good = good();
        assert!(good.compiled.as_ref().unwrap().sets.is_some());
        assert_eq!(read(&written(&good).unwrap()).unwrap(), good);
    }

    #[test]
    fn nothing_of_the_last_good_rules_is_believed_if_one_bit_or_byte_is_not_right() {
        let whole = written(&good()).unwrap();
        for cut in (0..whole.len()).step_by(97) {
            assert!(read(&whole[..cut]).is_err(), "{cut}");
        }
        for at in (0..whole.len()).step_by(131) {
            let mut wrong = whole.clone();
            wrong[at] ^= 1 << (at % 8);
            assert!(read(&wrong).is_err(), "{at}");
        }
    }

    #[test]
    fn tables_of_another_layout_or_length_are_not_believed_and_their_text_is() {
        let mut other = good();
        if let Ok(compiled) = &mut other.compiled {
            compiled.pages.pop();
        }
        let read_again = read(&written(&other).unwrap()).unwrap();
        assert!(read_again.compiled.is_err() && read_again.text == TEXT);
        let mut sets = good();
        if let Ok(compiled) = &mut sets.compiled {
            compiled.sets = None;
        }
        assert!(read(&written(&sets).unwrap()).unwrap().compiled.is_err());
        let mut bytes = written(&good()).unwrap();
        let (mut start, rest) = Start::read_from_prefix(&bytes).unwrap();
        start.version += 1;
        start.checksum = checksum(&start, rest);
        bytes[..size_of::<Start>()].copy_from_slice(start.as_bytes());
        let read_again = read(&bytes).unwrap();
        assert!(read_again.compiled.is_err() && read_again.text == TEXT);
    }
}
