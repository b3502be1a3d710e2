//! Filter of what is shown: the same words on the command line and in the window.

use crate::entry::{Entry, EntryContent, PacketSeen, ProcessSeen, ProgramSeen, address};
use crate::text;
use control::HistoryRow;
use firewall_abi::packet::{Direction, PacketHeaders, Verdict};
use rules::words;
use rules::{Addresses, Protocol, device_words, names_device};
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Filter of entries and of the history. Of one kind any value is enough, and each kind has to hold; nothing asked for
/// is all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Direction of the packet.
    pub direction: Option<Direction>,
    /// Verdict on the packet.
    pub verdict: Option<Verdict>,
    /// Addresses of either end.
    pub address: Vec<Addresses>,
    /// Names of the rule that decided.
    pub rule: Vec<String>,
    /// Paths of the program, or the kernel's names of it.
    pub program: Vec<String>,
    /// Names that an end was asked for by.
    pub name: Vec<String>,
    /// Ports of either end.
    pub port: Vec<u16>,
    /// Users at this end, by number.
    pub user: Vec<u32>,
    /// Devices that the packet came in or went out by, or how the names of such begin. The history does not tell.
    pub interface: Vec<String>,
    /// Time before which nothing is shown.
    pub since: Option<SystemTime>,
    /// Words that stand anywhere in it, in small letters.
    pub words: Vec<String>,
}

/// Error in a filter that was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongFilter {
    /// Character that the error begins at, counted from one.
    pub column: usize,
    /// Message: what is wrong, and what would be right.
    pub what: String,
}

impl fmt::Display for WrongFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { column, what } = self;
        f.write_str(&text!("filter-wrong", column = *column, what = what))
    }
}

impl std::error::Error for WrongFilter {}

/// Keys that may be asked for.
const KEYS: [&str; 10] = [
    "direction",
    "verdict",
    "address",
    "rule",
    "program",
    "name",
    "port",
    "user",
    "interface",
    "since",
];

impl Filter {
    /// Parses a filter as it is typed into one line: `program:curl`, or as on the command line `--program curl`; and
    /// words that are looked for everywhere. What has spaces in it stands in quotation marks.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place.
    pub fn parse(text: &str) -> Result<Self, WrongFilter> {
        Self::read(text, true)
    }

    /// Parses a filter of the history.
    ///
    /// # Errors
    /// As above; and it asks for a device, which is not kept.
    pub fn parse_for_kept(text: &str) -> Result<Self, WrongFilter> {
        Self::read(text, false)
    }

    fn read(text: &str, knows_devices: bool) -> Result<Self, WrongFilter> {
        let mut filter = Self::default();
        let mut parts = parts(text).into_iter().peekable();
        while let Some(Part { column, text, bare }) = parts.next() {
            let wrong = |what: String| WrongFilter { column, what };
            let option = text.strip_prefix("--").filter(|_| bare);
            let (key, value) = match (option, text.split_once([':', '='])) {
                (Some(option), _) => match option.split_once('=') {
                    Some((key, value)) => (key.to_owned(), value.to_owned()),
                    None => match parts.next() {
                        Some(value) => (option.to_owned(), value.text),
                        None => {
                            let key = format!("--{option}");
                            return Err(wrong(text!("filter-no-value", key = key)));
                        }
                    },
                },
                (None, Some((key, value))) if bare && KEYS.contains(&key) => {
                    (key.to_owned(), value.to_owned())
                }
                _ => {
                    filter.words.push(text.to_lowercase());
                    continue;
                }
            };
            if value.is_empty() {
                let key = format!("{key}:");
                return Err(wrong(text!("filter-no-value", key = key)));
            }
            if key == "interface" && !knows_devices {
                return Err(wrong(text!("filter-not-kept")));
            }
            filter.ask(&key, value).map_err(wrong)?;
        }
        Ok(filter)
    }

    fn ask(&mut self, key: &str, value: String) -> Result<(), String> {
        match key {
            "direction" => {
                let wrong = |_| text!("filter-direction");
                self.direction = Some(words::direction(&value).map_err(wrong)?);
            }
            "verdict" => {
                let wrong = |_| text!("filter-verdict");
                self.verdict = Some(words::verdict(&value).map_err(wrong)?);
            }
            "address" => self.address.push(value.parse::<Addresses>()?),
            "rule" => self.rule.push(value),
            "program" => self.program.push(value),
            "name" => self.name.push(value),
            "port" => {
                let wrong = |_| text!("filter-port");
                self.port.push(value.parse().map_err(wrong)?);
            }
            "user" => {
                let wrong = |_| text!("filter-user");
                self.user.push(value.parse().map_err(wrong)?);
            }
            "interface" => {
                let wrong = |_| text!("filter-interface");
                self.interface
                    .push(words::interface(&value).map_err(wrong)?);
            }
            "since" => {
                let wrong = |_| text!("filter-since");
                let time = words::time(&value).map_err(wrong)?;
                self.since = SystemTime::now().checked_sub(time);
            }
            _ => {
                let keys = KEYS.join(", ");
                return Err(text!("filter-unknown", key = key, keys = keys));
            }
        }
        Ok(())
    }

    /// Returns whether the filter lets everything through.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns whether the filter asks for what only packets have.
    #[must_use]
    pub fn asks_of_packets(&self) -> bool {
        let Self {
            direction,
            verdict,
            address,
            rule,
            program: _,
            name,
            port,
            user: _,
            interface,
            since: _,
            words: _,
        } = self;
        let lists_are_empty = address.is_empty()
            && rule.is_empty()
            && name.is_empty()
            && port.is_empty()
            && interface.is_empty();
        direction.is_some() || verdict.is_some() || !lists_are_empty
    }

    /// Returns whether to show an entry, words aside. Losses and what can't be read are always shown, unless they
    /// are older than the asked time.
    #[must_use]
    pub fn entry(&self, entry: &Entry) -> bool {
        self.since.is_none_or(|since| entry.at >= since) && self.shows(&entry.what)
    }

    /// Returns whether to show this content, whenever it was.
    #[must_use]
    pub fn shows(&self, what: &EntryContent) -> bool {
        match what {
            EntryContent::Packet(packet) => self.packet(packet),
            EntryContent::Process(process) => !self.asks_of_packets() && self.process(process),
            EntryContent::Lost(_) | EntryContent::Unreadable(_) => true,
            // By which device it went is not kept.
            EntryContent::Contact(row) => self.interface.is_empty() && self.row(row),
        }
    }

    fn packet(&self, packet: &PacketSeen) -> bool {
        let Self {
            direction,
            verdict,
            address,
            rule,
            program,
            name,
            port,
            user,
            interface,
            since: _,
            words: _,
        } = self;
        let headers = &packet.headers;
        let ports = || [headers.source_port, headers.destination_port];
        let shows_ports = Protocol(headers.protocol).has_ports();
        let rule_asked = || {
            let decided = packet.rule.as_ref();
            decided.is_some_and(|decided| rule.contains(&decided.id))
        };
        let devices = || [&packet.device, &packet.out_device].into_iter().flatten();
        let names = [&packet.source_name, &packet.destination_name];
        let mut names = names.into_iter().flatten();
        direction.is_none_or(|asked| asked == packet.direction)
            && verdict.is_none_or(|asked| asked == packet.verdict)
            && (address.is_empty() || at_an_end(address, &packet.headers))
            && (rule.is_empty() || rule_asked())
            && (program.is_empty() || program.iter().any(|asked| is(asked, &packet.program)))
            && (name.is_empty() || names.any(|known| is_any_of(name, known)))
            && (port.is_empty() || shows_ports && ports().iter().any(|known| port.contains(known)))
            && (user.is_empty() || is_user(user, packet.program.user))
            && (interface.is_empty() || devices().any(|known| is_device(interface, known)))
    }

    fn process(&self, process: &ProcessSeen) -> bool {
        let mut asked = self.program.iter();
        let program = self.program.is_empty()
            || asked.any(|asked| *asked == process.path || is(asked, &process.program));
        program && (self.user.is_empty() || is_user(&self.user, process.program.user))
    }

    /// Returns whether to show a row of the history, words aside. The history does not tell by which device it went.
    #[must_use]
    pub fn row(&self, row: &HistoryRow) -> bool {
        let Self {
            direction,
            verdict,
            address,
            rule,
            program,
            name,
            port,
            user,
            interface: _,
            since,
            words: _,
        } = self;
        let ends = || row.remote.into_iter().chain(row.source);
        direction.is_none_or(|asked| asked.name() == row.direction)
            && verdict.is_none_or(|asked| asked.name() == row.verdict)
            && (address.is_empty()
                || ends().any(|end| address.iter().any(|asked| asked.contains(end))))
            && (rule.is_empty() || row.rule.as_ref().is_some_and(|id| rule.contains(id)))
            && (program.is_empty()
                || program
                    .iter()
                    .any(|asked| is_named(asked, row.program.as_deref(), &row.process)))
            && (name.is_empty() || row.name.iter().any(|known| is_any_of(name, known)))
            && (port.is_empty() || row.port.is_some_and(|known| port.contains(&known)))
            && (user.is_empty() || is_user(user, row.user))
            && since.is_none_or(|since| UNIX_EPOCH + Duration::from_secs(row.last) >= since)
    }

    /// Returns whether each word stands in one of these cells, which are not made where nothing is looked for.
    #[must_use]
    pub fn words_are_in(&self, cells: impl FnOnce() -> Vec<String>) -> bool {
        if self.words.is_empty() {
            return true;
        }
        let cells: Vec<_> = cells().iter().map(|cell| cell.to_lowercase()).collect();
        let is_there = |word: &String| cells.iter().any(|cell| cell.contains(word));
        self.words.iter().all(is_there)
    }
}

/// Part of a line between spaces.
struct Part {
    /// Character that the part begins at, counted from one.
    column: usize,
    /// Text of the part, without quotation marks.
    text: String,
    /// `true` if the part does not begin with a quotation mark.
    bare: bool,
}

fn parts(line: &str) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut quote = None;
    let mut within = false;
    for (column, c) in (1..).zip(line.chars()) {
        if quote.is_none() && c.is_whitespace() {
            within = false;
            continue;
        }
        let is_quote = quote.map_or("'\"".contains(c), |open| open == c);
        if !within {
            within = true;
            parts.push(Part {
                column,
                text: String::new(),
                bare: !is_quote,
            });
        }
        match parts.last_mut() {
            Some(_) if is_quote => quote = if quote.is_some() { None } else { Some(c) },
            Some(part) => part.text.push(c),
            None => {}
        }
    }
    parts.retain(|part| !part.text.is_empty());
    parts
}

/// Returns whether a DNS name is one of these, or below one that begins with `*.`; capital letters and a last dot say
/// nothing.
fn is_any_of(asked: &[String], known: &str) -> bool {
    asked.iter().any(|asked| {
        let asked = asked.trim_end_matches('.').to_ascii_lowercase();
        match asked.strip_prefix('*') {
            Some(end) => known.len() > end.len() && known.ends_with(end),
            None => known == asked,
        }
    })
}

fn is_device(asked: &[String], known: &str) -> bool {
    let known = device_words(known);
    known.is_some_and(|known| asked.iter().any(|asked| names_device(asked, known)))
}

fn is_user(asked: &[u32], user: Option<u32>) -> bool {
    user.is_some_and(|user| asked.contains(&user))
}

fn at_an_end(asked: &[Addresses], headers: &PacketHeaders) -> bool {
    let ends = [address(headers.source), address(headers.destination)];
    let mut asked = asked.iter();
    asked.any(|addresses| ends.iter().any(|end| addresses.contains(*end)))
}

/// Returns whether this is the program that is asked for, by its path or by the kernel's name of the task. Where the
/// path is not known, its last part is the name.
fn is(asked: &str, program: &ProgramSeen) -> bool {
    is_named(asked, program.path.as_deref(), &program.name)
}

fn is_named(asked: &str, path: Option<&str>, name: &str) -> bool {
    if let Some(path) = path.filter(|_| asked.contains('/')) {
        return path == asked;
    }
    let task = asked.rsplit('/').next().unwrap_or_default();
    // The kernel keeps the first 15 bytes of a name.
    name == task.get(..15).unwrap_or(task)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    fn parse(text: &str) -> Filter {
        Filter::parse(text).unwrap()
    }

    #[test]
    fn a_filter_is_typed_as_on_the_command_line_or_with_colons() {
        let typed =
            parse("direction:out verdict:block program:/usr/bin/curl name:*.example.org 443");
        let command = parse(
            "--direction out --verdict=block --program /usr/bin/curl --name '*.example.org' 443",
        );
        assert_eq!(typed, command);
        assert_eq!(typed.direction, Some(Direction::Outbound));
        assert_eq!(typed.words, ["443"]);
        let quoted = parse("program:\"/opt/My App/x\" 'two words'");
        assert_eq!(quoted.program, ["/opt/My App/x"]);
        assert_eq!(quoted.words, ["two words"]);
        assert_eq!(parse("fd00::1").words, ["fd00::1"], "an address is a word");
        assert_eq!(parse("address:fd00::/8").address.len(), 1);
        assert!(parse("  ").is_empty());
        assert_eq!(parse("interface:wg*").interface, ["wg*"]);
    }

    #[test]
    fn what_was_before_the_asked_time_is_not_shown() {
        let now = SystemTime::now();
        let ago = |seconds| Entry::unreadable(now - Duration::from_secs(seconds), 99, 0);
        let asked = parse("since:10m");
        assert!(asked.entry(&ago(590)) && !asked.entry(&ago(610)));
        assert!(parse("").entry(&ago(610)));
        let kept = |seconds| HistoryRow {
            last: (now - Duration::from_secs(seconds))
                .duration_since(UNIX_EPOCH)
                .unwrap()
                .as_secs(),
            ..HistoryRow::default()
        };
        assert!(asked.row(&kept(590)) && !asked.row(&kept(610)));
    }

    #[test]
    fn what_is_wrong_with_a_filter_is_said_with_its_place() {
        for (text, column, words) in [
            ("curl direction:up", 6, "it is in, out or forward"),
            ("verdict:", 1, "what is asked for is missing"),
            ("a --rule", 3, "what is asked for is missing"),
            ("--colour red", 1, "one can ask for direction"),
            ("address:hello", 1, ""),
            ("port:70000", 1, "up to 65535"),
            ("tcp user:ann", 5, "a user is a number"),
            ("interface:@guests", 1, "like wg*"),
            ("since:yesterday", 1, "10m"),
        ] {
            let wrong = Filter::parse(text).unwrap_err();
            assert_eq!(wrong.column, column, "{text}: {wrong}");
            assert!(wrong.what.contains(words), "{text}: {wrong}");
        }
        let wrong = Filter::parse_for_kept("program:/interface interface:eth0").unwrap_err();
        assert!(
            wrong.column == 20 && wrong.what.contains("not kept"),
            "{wrong}"
        );
        assert!(Filter::parse_for_kept("tcp since:7d").is_ok());
    }

    #[test]
    fn each_word_has_to_be_somewhere_and_capital_letters_say_nothing() {
        let cells = || vec!["Firefox".to_owned(), "tcp".to_owned()];
        assert!(parse("TCP fox").words_are_in(cells));
        assert!(!parse("tcp curl").words_are_in(cells));
    }
}
