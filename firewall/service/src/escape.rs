//! Escaping of foreign text, for logs and terminals: a program's path or a process's name may hold anything but a zero.

/// Returns bytes as text without what a terminal obeys or what begins a line. What can't be seen, or turns the
/// direction in which text is read, is written by its number: two paths that look the same are not.
pub fn plain(text: &[u8]) -> String {
    shown(&String::from_utf8_lossy(text))
}

/// Returns text without what a terminal obeys or what begins a line, as [`plain`] does.
pub fn shown(text: &str) -> String {
    rules::clean(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_begins_no_line_and_tells_a_terminal_nothing() {
        let path = b"/tmp/x\n INFO generation 9 is in force\x1b[2J\xff\r\x9b";
        let shown = plain(path);
        assert!(!shown.contains(char::is_control), "{shown:?}");
        assert!(shown.starts_with("/tmp/x\u{fffd} INFO"));
        assert_eq!(
            plain("/opt/\u{202e}cod.exe".as_bytes()),
            "/opt/\\u{202e}cod.exe"
        );
        assert_eq!(plain("/opt/grün/b c".as_bytes()), "/opt/grün/b c");
    }
}
