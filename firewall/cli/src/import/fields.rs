//! The fields of a JSON object, each of the kind that it must have, and none that is passed over.
//!
//! A condition that is read as missing because it has another kind, or another name,
//! would make a rule that asks for less.

use serde_json::{Map, Value};

/// A JSON object, and which of its fields were taken.
pub struct Fields<'v> {
    object: &'v Map<String, Value>,
    taken: Vec<&'static str>,
}

impl<'v> Fields<'v> {
    /// Reads the fields of a JSON value.
    ///
    /// # Errors
    /// The value is no object.
    pub fn of(value: &'v Value) -> Result<Self, String> {
        let object = value
            .as_object()
            .ok_or_else(|| "this is no object with fields".to_owned())?;
        Ok(Self {
            object,
            taken: Vec::new(),
        })
    }

    /// A field of any kind.
    pub fn any(&mut self, name: &'static str) -> Option<&'v Value> {
        self.taken.push(name);
        self.object.get(name)
    }

    /// A text, if there is the field.
    ///
    /// # Errors
    /// It is something else.
    pub fn text(&mut self, name: &'static str) -> Result<Option<&'v str>, String> {
        match self.any(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(format!("`{name}` is {other}, which is no text")),
        }
    }

    /// A text, empty if there is no such field.
    ///
    /// # Errors
    /// It is something else.
    pub fn text_or_empty(&mut self, name: &'static str) -> Result<&'v str, String> {
        self.text(name).map(Option::unwrap_or_default)
    }

    /// Yes or no; no if there is no such field.
    ///
    /// # Errors
    /// It is something else.
    pub fn flag(&mut self, name: &'static str) -> Result<bool, String> {
        match self.any(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(format!(
                "`{name}` is {other}, which is neither true nor false"
            )),
        }
    }

    /// Texts; none if there is no such field.
    ///
    /// # Errors
    /// It is something else.
    pub fn texts(&mut self, name: &'static str) -> Result<Vec<&'v str>, String> {
        let Some(value) = self.any(name) else {
            return Ok(Vec::new());
        };
        let list = value.as_array().map(|list| list.iter().map(Value::as_str));
        let texts: Option<Vec<_>> = list.and_then(Iterator::collect);
        texts.ok_or_else(|| format!("`{name}` is no list of texts"))
    }

    /// Passes over fields that say nothing of packets.
    pub fn pass_over(&mut self, names: &[&'static str]) {
        self.taken.extend(names);
    }

    /// The fields that nobody took.
    pub fn left(&self) -> impl Iterator<Item = (&'v String, &'v Value)> {
        self.object
            .iter()
            .filter(|(name, _)| !self.taken.contains(&name.as_str()))
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// There is a field that nobody took.
    pub fn finish(&self) -> Result<(), String> {
        match self.left().next() {
            None => Ok(()),
            Some((name, _)) => Err(format!("`{name}` has no key of ours")),
        }
    }
}
