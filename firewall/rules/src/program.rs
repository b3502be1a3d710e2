//! Programs: files, and two words for what is none.

use crate::report::shown;
use crate::resolver::Resolver;
use firewall_abi::packet::PacketMeta;

/// What stands for a program where nobody knows which it is.
const UNKNOWN: &str = "unknown";
/// What stands for a program where the kernel itself is at the zone's end.
const KERNEL: &str = "kernel";

/// What a word that is no path stands for.
pub(crate) fn special(word: &str) -> Option<[u64; 2]> {
    match word {
        UNKNOWN => Some(PacketMeta::UNKNOWN.program),
        KERNEL => Some(PacketMeta::KERNEL),
        _ => None,
    }
}

/// What the kernel calls a rule's program.
pub(crate) fn identity(word: &str, resolver: &dyn Resolver) -> Option<[u64; 2]> {
    special(word).or_else(|| resolver.program(word))
}

/// Whether this is a program with its arguments, and not a path with blanks in it; the text says what would be right.
pub(crate) fn arguments(path: &str, resolver: &dyn Resolver) -> Option<String> {
    let (program, rest) = path.split_once(' ')?;
    let is_one = rest.starts_with(['/', '-', '.']) || resolver.program(program).is_some();
    is_one.then(|| {
        format!(
            "`{}` is a program with arguments: a program is told by its file alone, and scripts are not told apart; write \
             {}, which means all that it runs, and `user` if they run as different users",
            shown(path),
            shown(program)
        )
    })
}
