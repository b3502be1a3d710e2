//! A name as people read it.

use simple_dns::Name;

/// The longest name that is shown, in characters: as long as DNS has them.
pub const LONGEST_NAME: usize = 253;

/// A name for people: in small letters, without the last dot. What is neither letter, digit, hyphen nor underscore stands there by
/// its number, as in zone files (`\007`). None: it is the root's, or too long to be anybody's.
pub fn text(name: &Name<'_>) -> Option<String> {
    let mut text = String::new();
    for label in name.as_bytes() {
        if !text.is_empty() {
            text.push('.');
        }
        for byte in label {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
                text.push(byte.to_ascii_lowercase().into());
            } else {
                text.push_str(&format!("\\{byte:03}"));
            }
        }
        if text.len() > LONGEST_NAME {
            return None;
        }
    }
    (!text.is_empty()).then_some(text)
}
