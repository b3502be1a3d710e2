//! Reader of lists in JSON: one document, or one a line.

use super::List;
use crate::address::listed;
use crate::report::shown;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Keys under which publishers have addresses.
const KEYS: [&str; 13] = [
    "cidr",
    "ip_prefix",
    "ipv6_prefix",
    "ipv4Prefix",
    "ipv6Prefix",
    "prefix",
    "addressPrefixes",
    "network",
    "subnet",
    "range",
    "ip",
    "ip_address",
    "address",
];

pub(super) fn read(text: &[u8], list: &mut List) {
    let (mut at, mut line) = (0, 1);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.trim_ascii().is_empty()) {
        let mut found = Found { list, line };
        let mut reader = serde_json::Deserializer::from_slice(rest).into_iter::<IgnoredAny>();
        // To know where this document ends costs another look at it; none is looked at a third time.
        let whole = reader.next();
        let used = match whole {
            Some(Ok(_)) => {
                let used = reader.byte_offset();
                let document = rest.get(..used).unwrap_or_default();
                let mut document = serde_json::Deserializer::from_slice(document);
                // It was read once.
                let _read = Place::Elsewhere(&mut found).deserialize(&mut document);
                used
            }
            Some(Err(wrong)) => {
                let message = format!("this is not JSON: {wrong}");
                list.wrong(line, 1, &message);
                if wrong.is_eof() {
                    return;
                }
                let end = rest.iter().position(|byte| *byte == b'\n');
                end.map_or(rest.len(), |end| end + 1)
            }
            None => return,
        };
        let passed = rest.get(..used).unwrap_or_default();
        line += passed.iter().filter(|byte| **byte == b'\n').count();
        // Nothing used would be the same look again.
        at += used.max(1);
    }
}

/// Receiver of the entries that are found, with the line of the document.
struct Found<'a> {
    list: &'a mut List,
    line: usize,
}

impl Found<'_> {
    fn take(&mut self, entry: &str, wrong: bool) {
        match listed(entry.trim()) {
            Ok((addresses, false)) => self.list.add(addresses),
            Ok((addresses, true)) => self.list.add_cut(addresses, self.line, 1, shown(entry)),
            Err(message) if wrong => self.list.wrong(self.line, 1, &message),
            Err(_) => {}
        }
    }
}

/// Visitor of a JSON value, by the place of the value.
enum Place<'f, 'a> {
    /// A value under one of the [`KEYS`]: each text is an entry.
    Named(&'f mut Found<'a>),
    /// A value in a list under another key or none: a text that is an address is an entry.
    Listed(&'f mut Found<'a>),
    /// A value anywhere else: no text is an entry.
    Elsewhere(&'f mut Found<'a>),
}

impl<'de> DeserializeSeed<'de> for Place<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Place<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        match self {
            Self::Named(found) => found.take(text, true),
            Self::Listed(found) => found.take(text, false),
            Self::Elsewhere(_) => {}
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        let (found, named) = match self {
            Self::Named(found) => (found, true),
            Self::Listed(found) | Self::Elsewhere(found) => (found, false),
        };
        loop {
            let place = if named {
                Place::Named(found)
            } else {
                Place::Listed(found)
            };
            if values.next_element_seed(place)?.is_none() {
                return Ok(());
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let (Self::Named(found) | Self::Listed(found) | Self::Elsewhere(found)) = self;
        while let Some(key) = entries.next_key::<String>()? {
            let place = if KEYS.contains(&key.as_str()) {
                Place::Named(found)
            } else {
                Place::Elsewhere(found)
            };
            entries.next_value_seed(place)?;
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}
