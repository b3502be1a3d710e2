//! Parser of ports and port ranges.

use crate::report::Wrong;
use firewall_abi::rules::PortRange;

/// Parses a port or a range of ports: `80` or `8000-8080`.
pub(crate) fn range(text: &str) -> Result<PortRange, Wrong> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (
        number(first).ok_or_else(|| wrong(text))?,
        number(last).ok_or_else(|| wrong(text))?,
    );
    if first > last {
        return Err(format!(
            "`{text}` ends before it begins; write \"{last}-{first}\""
        ));
    }
    Ok(PortRange { first, last })
}

fn number(text: &str) -> Option<u16> {
    let text = text.trim();
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

fn wrong(text: &str) -> Wrong {
    format!("`{text}` is no port; write a number from 0 to 65535, or a range like \"8000-8080\"")
}
