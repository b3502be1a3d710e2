//! Foreign text, for logs and terminals: a program's path or a process's name may hold anything but a zero.

/// Without what a terminal obeys or what begins a line.
pub fn plain(text: &[u8]) -> String {
    String::from_utf8_lossy(text).replace(is_odd, "\u{fffd}")
}

/// Whether somebody else than us may not have this shown: a control character, another end of a line, or what turns the direction
/// in which text is read.
pub fn is_odd(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
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
            "/opt/\u{fffd}cod.exe"
        );
        assert_eq!(plain("/opt/grün/b c".as_bytes()), "/opt/grün/b c");
    }
}
