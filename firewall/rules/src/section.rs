//! Tables of a rule file and their keys.

use crate::report::{Report, SHOWN, Wrong, shown, suggestion};
use crate::set::grouped;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub(crate) type Value<'a> = Spanned<DeValue<'a>>;

/// A table of a rule file, with its place and the report that its errors go to.
pub(crate) struct Section<'a, 'r, 't> {
    pub(crate) table: &'a DeTable<'a>,
    pub(crate) place: Range<usize>,
    pub(crate) report: &'r mut Report<'t>,
}

impl<'a, 't> Section<'a, '_, 't> {
    pub(crate) fn unknown_keys(&mut self, known: &[&str]) {
        for key in self
            .table
            .keys()
            .filter(|key| !known.contains(&key.get_ref().as_ref()))
        {
            let name = shown(key.get_ref());
            self.report.error(
                key.span(),
                format!("unknown key `{name}`; {}", suggestion(name, known)),
            );
        }
    }

    pub(crate) fn value(&self, key: &str) -> Option<&'a Value<'a>> {
        self.table.get(key)
    }

    pub(crate) fn optional<T>(
        &mut self,
        key: &str,
        read: impl Fn(&DeValue<'_>) -> Result<T, Wrong>,
    ) -> Option<T> {
        let value = self.value(key)?;
        let read = read(value.get_ref());
        read.map_err(|wrong| self.report.error(value.span(), format!("`{key}`: {wrong}")))
            .ok()
    }

    pub(crate) fn required<T>(
        &mut self,
        key: &str,
        example: &str,
        read: impl Fn(&DeValue<'_>) -> Result<T, Wrong>,
    ) -> Option<T> {
        if self.value(key).is_none() {
            self.report.missing(
                self.place.clone(),
                format!("`{key}` is missing here; add one like {key} = {example}"),
            );
        }
        self.optional(key, read)
    }

    /// Reads one value or a list of values. Each wrong one is reported at its own place.
    pub(crate) fn several<T>(
        &mut self,
        key: &str,
        read: impl Fn(&DeValue<'_>) -> Result<T, Wrong>,
    ) -> Vec<T> {
        self.several_placed(key, |value| read(value.get_ref()))
    }

    /// Reads one value or a list of values, with a reader that gets the place of each.
    pub(crate) fn several_placed<T>(
        &mut self,
        key: &str,
        mut read: impl FnMut(&Value<'_>) -> Result<T, Wrong>,
    ) -> Vec<T> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let values: &[Value<'_>] = match value.get_ref().as_array() {
            Some(list) => list,
            None => std::slice::from_ref(value),
        };
        if values.is_empty() {
            let message = format!("`{key}`: this list is empty; leave the key out if any will do");
            self.report.error(value.span(), message);
        }
        let mut taken = Vec::with_capacity(values.len());
        let (mut wrong, mut beyond) = (0_usize, 0..0);
        for value in values {
            match read(value) {
                Ok(read) => taken.push(read),
                Err(_) if wrong > SHOWN => wrong += 1,
                Err(_) if wrong == SHOWN => (wrong, beyond) = (wrong + 1, value.span()),
                Err(message) => {
                    wrong += 1;
                    self.report
                        .error(value.span(), format!("`{key}`: {message}"));
                }
            }
        }
        if let more @ 1.. = wrong.saturating_sub(SHOWN) {
            let message = format!(
                "`{key}`: and {} more of this list are wrong, from here on",
                grouped(more)
            );
            self.report.error(beyond, message);
        }
        taken
    }

    /// Returns the table `[key]`; `None` if there is none, or if the key is no table, which is reported.
    pub(crate) fn table(&mut self, key: &str) -> Option<Section<'a, '_, 't>> {
        let value = self.value(key)?;
        let Some(table) = value.get_ref().as_table() else {
            self.report.error(
                value.span(),
                format!("`{key}` is a table; write [{key}] and its keys below"),
            );
            return None;
        };
        Some(Section {
            table,
            place: value.span(),
            report: self.report,
        })
    }

    /// Returns the tables `[[key]]`, with their places.
    pub(crate) fn tables(&mut self, key: &str) -> Vec<(&'a DeTable<'a>, Range<usize>)> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let Some(list) = value.get_ref().as_array() else {
            self.report.error(
                value.span(),
                format!("`{key}` stands once for each {key}; write [[{key}]]"),
            );
            return Vec::new();
        };
        let mut tables = Vec::new();
        for value in list.iter() {
            match value.get_ref().as_table() {
                Some(table) => tables.push((table, value.span())),
                None => self.report.error(
                    value.span(),
                    format!("this is no table; write [[{key}]] and its keys"),
                ),
            }
        }
        tables
    }
}
