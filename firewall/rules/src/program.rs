//! Programs of rules: files, and two words for what is no file.

use crate::report::shown;
use crate::resolver::Resolver;
use firewall_abi::packet::PacketMeta;

/// Word for an unknown program.
const UNKNOWN: &str = "unknown";
/// Word for the kernel itself at the local end.
const KERNEL: &str = "kernel";

/// Returns the identity that a word which is no path stands for.
pub(crate) fn special(word: &str) -> Option<[u64; 2]> {
    match word {
        UNKNOWN => Some(PacketMeta::UNKNOWN.program),
        KERNEL => Some(PacketMeta::KERNEL),
        _ => None,
    }
}

/// Returns the identity of a rule's program; `None` if its file is not there.
pub(crate) fn identity(word: &str, resolver: &dyn Resolver) -> Option<[u64; 2]> {
    special(word).or_else(|| resolver.program(word))
}

/// Returns a message, with what would be right, if this is a program with its arguments and not a path with blanks in
/// it.
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
