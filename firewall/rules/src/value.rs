//! Readers of single TOML values.

use crate::device::{ANY, GUESTS_WORD, KIND};
use crate::network::check_name;
use crate::program::special;
use crate::report::{Wrong, shown, suggestion};
use crate::{Addresses, HardwareAddress, HostPattern, Protocol, User, is_visible, ports};
use firewall_abi::packet::{Direction, NO_USER, Verdict, name_words};
use firewall_abi::rules::{FailMode, PortRange};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;
use toml::de::DeValue;

pub(crate) fn version(value: &DeValue<'_>) -> Result<(), Wrong> {
    match integer(value) {
        Some(1) => Ok(()),
        _ => Err("this release reads version 1 only; write version = 1".into()),
    }
}

pub(crate) fn id(value: &DeValue<'_>) -> Result<String, Wrong> {
    let text = string(value)?;
    let unseen = text.chars().find(|c| !is_visible(*c));
    if let Some(unseen) = unseen {
        // Two names that differ by these alone look the same in most terminals.
        let of_emoji = matches!(unseen, '\u{200d}' | '\u{fe0e}' | '\u{fe0f}');
        let hint = if of_emoji {
            ", as with an emoji that is one character: \u{1f3e0} and \u{1f468} are, \u{1f468} joined to another and many a symbol in colour are not"
        } else {
            ""
        };
        return Err(format!(
            "`{}` has a character that nobody sees, U+{:04X}: a name has visible ones alone; write it anew without that one{hint}",
            shown(text),
            u32::from(unseen)
        ));
    }
    let fits = (1..=64).contains(&text.chars().count());
    fits.then(|| text.to_owned())
        .ok_or_else(|| "a name has 1 to 64 characters, all of them visible".into())
}

pub(crate) fn action(value: &DeValue<'_>) -> Result<Verdict, Wrong> {
    let actions = [
        Verdict::Allow,
        Verdict::Block,
        Verdict::Reject,
        Verdict::Ask,
    ];
    one_of(value, &actions.map(|verdict| (verdict.name(), verdict)))
}

/// Reads the verdict on what nobody has answered in time.
pub(crate) fn unanswered(value: &DeValue<'_>) -> Result<Verdict, Wrong> {
    one_of(
        value,
        &[Verdict::Block, Verdict::Allow].map(|verdict| (verdict.name(), verdict)),
    )
}

/// Reads the verdict on forwarded packets, which can't be "ask": nobody is at the local end.
pub(crate) fn action_of_forwarded(value: &DeValue<'_>) -> Result<Verdict, Wrong> {
    match action(value)? {
        Verdict::Ask => Err(
            "nobody at this machine can be asked about what it only forwards; write \"block\", \"reject\" or \"allow\"".into(),
        ),
        other => Ok(other),
    }
}

/// Reads the number of seconds in which a question is to be answered.
pub(crate) fn answer_within(value: &DeValue<'_>) -> Result<Duration, Wrong> {
    let seconds = integer(value).and_then(|seconds| u64::try_from(seconds).ok());
    seconds
        .filter(|seconds| (1..=LONGEST_QUESTION).contains(seconds))
        .map(Duration::from_secs)
        .ok_or_else(|| format!("write a number of seconds, from 1 to {LONGEST_QUESTION}"))
}

/// Longest timeout of a question, in seconds.
const LONGEST_QUESTION: u64 = 3600;

pub(crate) fn direction(value: &DeValue<'_>) -> Result<Direction, Wrong> {
    one_of(
        value,
        &Direction::ALL.map(|direction| (direction.name(), direction)),
    )
    .map_err(|wrong| format!("{wrong}; leave the key out for every direction"))
}

pub(crate) fn one_of<T: Copy>(value: &DeValue<'_>, known: &[(&str, T)]) -> Result<T, Wrong> {
    let text = string(value)?;
    let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
    let found = known
        .iter()
        .find(|(name, _)| *name == text)
        .map(|(_, meaning)| *meaning);
    found.ok_or_else(|| {
        format!(
            "`{}` is not known here; {}",
            shown(text),
            suggestion(text, &names)
        )
    })
}

pub(crate) fn protocol(value: &DeValue<'_>) -> Result<Protocol, Wrong> {
    match value.as_str() {
        Some(name) => Protocol::named(name),
        None => small(value).map(Protocol),
    }
}

pub(crate) fn icmp_type(of: Protocol, value: &DeValue<'_>) -> Result<u8, Wrong> {
    match value.as_str() {
        Some(name) => of.icmp_type(name),
        None => small(value),
    }
}

pub(crate) fn addresses(value: &DeValue<'_>) -> Result<Addresses, Wrong> {
    string(value)?.parse()
}

/// Reads a host name that a set asks for.
pub(crate) fn host(value: &DeValue<'_>) -> Result<HostPattern, Wrong> {
    string(value)?.parse()
}

/// Reads the address of a DNS resolver.
pub(crate) fn resolver(value: &DeValue<'_>) -> Result<IpAddr, Wrong> {
    let text = string(value)?;
    let found = text.parse().map(|address: IpAddr| address.to_canonical());
    found.map_err(|_| {
        format!(
            "`{}` is no address of a resolver: write the one that is asked, like 192.0.2.53",
            shown(text)
        )
    })
}

/// Reads the URL that a list is fetched from.
pub(crate) fn list_address(value: &DeValue<'_>) -> Result<String, Wrong> {
    const LONGEST: usize = 2048;
    let text = string(value)?;
    let wrong = |why: &str| format!("`{}` {why}", shown(text));
    let Some(rest) = text.strip_prefix("https://") else {
        return Err(wrong(
            "does not begin with https://; without TLS, whoever stands between can write the list",
        ));
    };
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    if host.contains('@') {
        return Err(wrong(
            "has a name or a password before its host; leave it out",
        ));
    }
    let is_plain = text
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(&byte));
    if host.is_empty() || host.starts_with(':') || text.len() > LONGEST || !is_plain {
        return Err(wrong(
            "is no address of a list; write it as \"https://lists.example.org/bad.txt\"",
        ));
    }
    Ok(text.to_owned())
}

/// Reads the interval at which a list is fetched again.
pub(crate) fn refresh(value: &DeValue<'_>) -> Result<Duration, Wrong> {
    const UNITS: [(char, u64); 3] = [('m', 60), ('h', 60 * 60), ('d', 24 * 60 * 60)];
    const BOUNDS: RangeInclusive<u64> = 5 * 60..=30 * 24 * 60 * 60;
    let text = value.as_str().unwrap_or_default();
    let seconds = UNITS.iter().find_map(|(unit, seconds)| {
        let number: u64 = text.strip_suffix(*unit)?.parse().ok()?;
        number.checked_mul(*seconds)
    });
    seconds
        .filter(|seconds| BOUNDS.contains(seconds))
        .map(Duration::from_secs)
        .ok_or_else(|| {
            "write a whole number and a unit, as \"12h\": from \"5m\" to \"30d\"".to_owned()
        })
}

pub(crate) fn fail_mode(value: &DeValue<'_>) -> Result<FailMode, Wrong> {
    one_of(
        value,
        &[FailMode::Static, FailMode::Open, FailMode::Closed]
            .map(|fail_mode| (fail_mode.name(), fail_mode)),
    )
}

/// Reads a user by number or name. `number` looks up the number of a name.
pub(crate) fn user(
    value: &DeValue<'_>,
    number: impl FnOnce(&str) -> Option<u32>,
) -> Result<User, Wrong> {
    if let Some(name) = value.as_str() {
        return Ok(User {
            number: number(name),
            name: Some(name.to_owned()),
        });
    }
    let found = integer(value)
        .and_then(|number| u32::try_from(number).ok())
        .filter(|number| *number != NO_USER);
    let number = found.ok_or_else(|| {
        format!(
            "write a user's name in quotes, or a number from 0 to {}",
            NO_USER - 1
        )
    })?;
    Ok(User {
        number: Some(number),
        name: None,
    })
}

/// Reads a network device by its name, by a prefix of names, or by what devices lead to.
pub(crate) fn interface(value: &DeValue<'_>) -> Result<String, Wrong> {
    let word = string(value)?;
    if word.starts_with(KIND) {
        return if word == GUESTS_WORD {
            Ok(word.to_owned())
        } else {
            Err(format!(
                "`{}` is no kind of device; \"{GUESTS_WORD}\" is the only one: bridges that lead to containers and virtual \
                 machines alone",
                shown(word)
            ))
        };
    }
    let name = word.strip_suffix(ANY).unwrap_or(word);
    if name.contains(['*', '?', '[', ']']) || name.ends_with('+') || word == "*" {
        return Err(format!(
            "`{}` is no pattern that works here: write a device's whole name, or how names begin and one * at the end, like \
             veth*",
            shown(word)
        ));
    }
    if name_words(name).is_none() {
        return Err(format!(
            "`{}` is longer than the 15 bytes that a device's name may have",
            shown(name)
        ));
    }
    let fits = !name.is_empty()
        && !name.contains(|c: char| c.is_whitespace() || c.is_control() || "/:".contains(c));
    fits.then(|| word.to_owned()).ok_or_else(|| {
        format!(
            "`{word}` is no device's name; `ip link` shows them, like eth0 or wg0; veth* is all that begin so"
        )
    })
}

/// Reads a network device by its name, or by a prefix of names.
pub(crate) fn device(value: &DeValue<'_>) -> Result<String, Wrong> {
    let word = interface(value)?;
    if word.starts_with(KIND) {
        return Err(format!(
            "`{word}` is no device that a default route goes by; write its name, or how names begin and one {ANY}"
        ));
    }
    Ok(word)
}

/// Reads the name of a network.
pub(crate) fn network_id(value: &DeValue<'_>) -> Result<String, Wrong> {
    let name = id(value)?;
    check_name(&name).map(|()| name)
}

/// Reads the hardware address of a gateway.
pub(crate) fn hardware_address(value: &DeValue<'_>) -> Result<HardwareAddress, Wrong> {
    string(value)?.parse()
}

/// Reads the name of a wireless network.
pub(crate) fn ssid(value: &DeValue<'_>) -> Result<String, Wrong> {
    const LONGEST: usize = 32;
    let name = string(value)?;
    if name.is_empty() || name.len() > LONGEST {
        return Err(format!(
            "`{}` is no name of a wireless network: one has 1 to {LONGEST} bytes; `gatebell networks` shows that of here",
            shown(name)
        ));
    }
    Ok(name.to_owned())
}

/// Reads the name or the UUID of a connection of NetworkManager's.
pub(crate) fn connection(value: &DeValue<'_>) -> Result<String, Wrong> {
    const LONGEST: usize = 255;
    let name = string(value)?;
    if name.is_empty() || name.len() > LONGEST {
        return Err(format!(
            "`{}` is no name and no UUID of a connection: one has 1 to {LONGEST} bytes; `nmcli connection` lists those of here",
            shown(name)
        ));
    }
    Ok(name.to_owned())
}

/// Reads the path of a program, or a word for what has no path ("unknown", "kernel").
pub(crate) fn program(value: &DeValue<'_>) -> Result<String, Wrong> {
    let path = string(value)?;
    if special(path).is_some() {
        return Ok(path.to_owned());
    }
    if path.contains(['*', '?']) {
        return Err(format!(
            "`{}` is a pattern, and a program is one file: write the path of each; what runs from a folder with another \
             name each time (AppImage) can be told by its `user` only",
            shown(path)
        ));
    }
    let fits = path.starts_with('/') && !path.ends_with('/') && !path.contains(char::is_control);
    fits.then(|| path.to_owned()).ok_or_else(|| {
        format!(
            "`{}` is no program's whole path; write it like /usr/bin/curl, or \"unknown\" or \"kernel\"",
            shown(path)
        )
    })
}

/// Reads text of any kind.
pub(crate) fn text(value: &DeValue<'_>) -> Result<String, Wrong> {
    string(value).map(str::to_owned)
}

pub(crate) fn port_range(value: &DeValue<'_>) -> Result<PortRange, Wrong> {
    match value.as_integer() {
        Some(number) if number.radix() == 10 => ports::range(number.as_str()),
        _ => ports::range(string(value)?),
    }
}

pub(crate) fn boolean(value: &DeValue<'_>) -> Result<bool, Wrong> {
    value
        .as_bool()
        .ok_or_else(|| "write true or false, without quotes".into())
}

pub(crate) fn string<'v>(value: &'v DeValue<'_>) -> Result<&'v str, Wrong> {
    value
        .as_str()
        .ok_or_else(|| format!("this is {}, not text; write it in quotes", value.type_str()))
}

pub(crate) fn small(value: &DeValue<'_>) -> Result<u8, Wrong> {
    let number = integer(value).and_then(|number| u8::try_from(number).ok());
    number.ok_or_else(|| "write a name in quotes, or a number from 0 to 255".into())
}

pub(crate) fn integer(value: &DeValue<'_>) -> Option<i64> {
    let number = value.as_integer()?;
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}
