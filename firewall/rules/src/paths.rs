//! Absolute paths of sets' files, so that a text means the same wherever it is kept.

use crate::document::text_value;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Replaces each relative path of a set's file with its absolute path, from `folder` on. Nothing else is changed; a
/// text that can't be parsed is returned as it is.
#[must_use]
pub fn with_whole_paths(text: &str, folder: &Path) -> String {
    let Ok(table) = DeTable::parse(text) else {
        return text.to_owned();
    };
    let sets = table
        .get_ref()
        .get("set")
        .and_then(|sets| sets.get_ref().as_array())
        .into_iter()
        .flatten();
    let mut files: Vec<_> = sets
        .filter_map(|set| set.get_ref().as_table()?.get("file"))
        .collect();
    files.sort_by_key(|file| file.span().start);
    let (mut whole, mut done) = (String::with_capacity(text.len()), 0);
    for (file, path) in files
        .into_iter()
        .filter_map(|file| Some((file, relative(file)?)))
    {
        let Some(before) = text.get(done..file.span().start) else {
            continue;
        };
        whole.push_str(before);
        whole.push_str(&text_value(&folder.join(path).display().to_string()));
        done = file.span().end;
    }
    whole.push_str(text.get(done..).unwrap_or_default());
    whole
}

fn relative<'a>(file: &'a Spanned<DeValue<'_>>) -> Option<&'a str> {
    file.get_ref()
        .as_str()
        .filter(|path| Path::new(path).is_relative())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> String {
        with_whole_paths(text, Path::new("/a \"b\"\\c\u{7}"))
    }

    #[test]
    fn files_of_sets_get_their_whole_paths_and_nothing_else_changes() {
        let text = "# file = 'x'\n[[set]] # one\nid = 'file'\nfile  =  'l/é.txt' # here\n\n\
                    [[rule]]\nid = 'file'\n[[set]]\nid = \"two\"\nfile = \"/w\"\n[[set]]\nfile = '''../t'''\n";
        let expected = text
            .replace("'l/é.txt'", r#""/a \"b\"\\c\u0007/l/é.txt""#)
            .replace("'''../t'''", r#""/a \"b\"\\c\u0007/../t""#);
        assert_eq!(whole(text), expected);
        assert_eq!(whole(&expected), expected, "a whole path is left alone");
        assert_eq!(
            whole("set = [{id = 'i', file = 'f'}]"),
            "set = [{id = 'i', file = \"/a \\\"b\\\"\\\\c\\u0007/f\"}]"
        );
    }

    #[test]
    fn what_is_written_is_read_as_the_same_path() {
        let text = whole("[[set]]\nfile = 'f'\n");
        let table = DeTable::parse(&text).expect("it is right");
        let set = table.get_ref()["set"].get_ref().as_array().expect("sets")[0]
            .get_ref()
            .as_table();
        assert_eq!(
            set.expect("a set")["file"].get_ref().as_str(),
            Some("/a \"b\"\\c\u{7}/f")
        );
    }

    #[test]
    fn what_is_not_understood_comes_back_as_it_is() {
        for text in [
            "",
            "set = 1",
            "[[set]]\nfile = 7\n",
            "[[set]]\nfile = \n",
            "[set]\nfile = 'x'\n",
            "\u{0}[[",
            "[[set]]\nfile = ['x']",
        ] {
            assert_eq!(whole(text), text);
        }
    }
}
