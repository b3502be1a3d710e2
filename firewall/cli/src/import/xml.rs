//! A document of XML, unless it is one that no firewall writes.

use roxmltree::Document;

/// Maximum depth of nested elements; those of a profile are three deep. The parser calls itself for each.
const DEEPEST: usize = 32;

/// The document that a text is.
///
/// # Errors
/// The text is no document, or its elements are nested too deep.
pub fn document(text: &str) -> Result<Document<'_>, String> {
    if depth(text) > DEEPEST {
        return Err(format!(
            "its elements stand more than {DEEPEST} deep in each other, which no profile's do; look whether it is one"
        ));
    }
    Document::parse(text).map_err(|wrong| format!("this is not XML: {wrong}"))
}

/// Returns the depth of nested elements, up to where a parser that takes no entities would find the text wrong.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut rest = text;
    while let Some((_, tag)) = rest.split_once('<') {
        let behind = [("!--", "-->"), ("![CDATA[", "]]>"), ("?", "?>")]
            .iter()
            .find_map(|(begin, end)| Some((tag.strip_prefix(begin)?, *end)));
        let (is_end, end) = match behind {
            Some((inner, end)) => match inner.split_once(end) {
                Some((_, behind)) => {
                    rest = behind;
                    continue;
                }
                None => break,
            },
            // Here entities are declared.
            None if tag.starts_with('!') => break,
            None => (tag.starts_with('/'), end_of_tag(tag)),
        };
        let Some(end) = end else {
            break;
        };
        let (tag, behind) = tag.split_at(end);
        rest = behind;
        if is_end {
            depth = depth.saturating_sub(1);
        } else if !tag.ends_with('/') {
            depth += 1;
            deepest = deepest.max(depth);
        }
    }
    deepest
}

/// Returns the place of a tag's `>`, without those in quoted values.
fn end_of_tag(tag: &str) -> Option<usize> {
    let mut quote = None;
    for (place, c) in tag.char_indices() {
        match (quote, c) {
            (None, '>') => return Some(place),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    #[test]
    fn how_deep_elements_stand_is_seen_whatever_stands_between_them() {
        for (text, expected) in [
            ("<a/>", 0),
            ("<a></a>", 1),
            ("<?xml?><a><b x='/>'><c y=\"'>\"/></b><b></b></a>", 2),
            ("<a><!-- </a> --><b><![CDATA[</b></a>]]><c></c></b></a>", 3),
            ("<a><b", 1),
            ("<!DOCTYPE a><a>", 0),
            ("a < b", 0),
        ] {
            assert_eq!(depth(text), expected, "{text}");
        }
        document("<a><b/></a>").unwrap();
        let deep = "<a x='/>'><!-- </a> -->".repeat(100_000);
        assert!(document(&deep).unwrap_err().contains("32 deep"));
    }
}
