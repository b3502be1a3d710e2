//! Colours. They are always written; `anstream` takes them out where no terminal shows them or `NO_COLOR` is set.

use anstyle::{AnsiColor, Style};
use firewall_abi::packet::Verdict;

/// Style of errors.
pub const ERROR: Style = AnsiColor::Red.on_default().bold();
/// Style of warnings.
pub const WARNING: Style = AnsiColor::Yellow.on_default().bold();
/// Style of the words that a reader looks for first.
pub const STRONG: Style = Style::new().bold();
/// Style of the words that a reader can skip.
pub const FAINT: Style = Style::new().dimmed();

const ALLOW: Style = AnsiColor::Green.on_default();
const BLOCK: Style = AnsiColor::Red.on_default();
const ASK: Style = AnsiColor::Yellow.on_default();

/// The colour of a verdict.
pub const fn verdict(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Allow => ALLOW,
        Verdict::Ask => ASK,
        Verdict::Block | Verdict::Reject | Verdict::Socket => BLOCK,
    }
}
