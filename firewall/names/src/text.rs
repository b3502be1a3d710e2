//! DNS names as text for display.

use simple_dns::Name;

/// Longest name that is shown, in characters: as long as DNS has them.
pub const LONGEST_DNS_NAME: usize = 253;

/// Writes a name for display: in lower case, without the last dot. Bytes that are neither letter, digit, hyphen nor
/// underscore are written by their number, as in zone files (`\007`). Returns `None` for the root's name, or one that
/// is too long to be valid.
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
        if text.len() > LONGEST_DNS_NAME {
            return None;
        }
    }
    (!text.is_empty()).then_some(text)
}
