//! Tables of comma-separated values, for other programs.

use serde_json::Value;
use std::io::{self, Write};

/// Writes objects with the same fields as RFC 4180 has it; the names first. A program chooses its own name, and a table
/// calculates what begins like a formula: such a field begins with an apostrophe.
///
/// # Errors
/// It can't be written.
pub fn csv(objects: &[Value], out: &mut dyn Write) -> io::Result<()> {
    Csv::default().add(objects, out)
}

/// Writer of objects with the same fields, some at a time.
#[derive(Debug, Default)]
pub struct Csv {
    names: Option<Vec<String>>,
}

impl Csv {
    /// Writes some more objects, before the first the names.
    ///
    /// # Errors
    /// They can't be written.
    pub fn add(&mut self, objects: &[Value], out: &mut dyn Write) -> io::Result<()> {
        let Some(first) = objects.first() else {
            return Ok(());
        };
        if self.names.is_none() {
            let fields = first.as_object().into_iter();
            let names: Vec<_> = fields.flat_map(|it| it.keys().cloned()).collect();
            write!(out, "{}\r\n", names.join(","))?;
            self.names = Some(names);
        }
        for object in objects {
            let names = self.names.iter().flatten();
            let fields: Vec<_> = names.map(|name| field(&object[name])).collect();
            write!(out, "{}\r\n", fields.join(","))?;
        }
        Ok(())
    }
}

fn field(value: &Value) -> String {
    let text = match value {
        Value::Null => return String::new(),
        Value::String(text) if text.starts_with(['=', '+', '-', '@', '\t', '\r']) => {
            format!("'{text}")
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_field_of_csv_is_quoted_where_it_holds_what_separates_fields() {
        let printed = |objects: &[Value]| {
            let mut out = Vec::new();
            csv(objects, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let objects = [json!({ "a": "x,\"y\"\n", "b": null, "c": 7 })];
        assert_eq!(printed(&objects), "a,b,c\r\n\"x,\"\"y\"\"\n\",,7\r\n");
        assert_eq!(printed(&[]), "");
        for (said, written) in [
            ("=1+2", "'=1+2"),
            ("@SUM(A1),x", "\"'@SUM(A1),x\""),
            ("a=b", "a=b"),
        ] {
            assert_eq!(field(&json!(said)), written);
        }
        assert_eq!(field(&json!(-1)), "-1", "a number is one");
    }
}
