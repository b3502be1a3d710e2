//! Hint that an AppArmor profile may deny the service a file: root is refused a file by little else, and the kernel's
//! error does not say by what.

use anyhow::Error;
use nix::errno::Errno;
use std::fs;
use std::io;

/// File in which the kernel names the profile of this process.
const LABEL: &str = "/proc/self/attr/current";

/// Returns a hint to add to an error that may come of the profile that bounds this process, else nothing.
#[must_use]
pub fn hint(cause: &Error) -> &'static str {
    let label = fs::read_to_string(LABEL).unwrap_or_default();
    hint_under(&label, cause)
}

fn hint_under(label: &str, cause: &Error) -> &'static str {
    if is_enforced(label) && is_refusal(cause) {
        "; the service's AppArmor profile may deny it: `journalctl -k --grep apparmor` says so, and what your machine needs \
         beyond goes into /etc/apparmor.d/local/gatebelld, see gatebelld(8)"
    } else {
        ""
    }
}

/// Returns whether the label's profile is enforced, by the mode behind its name. One that only complains denies
/// nothing.
fn is_enforced(label: &str) -> bool {
    label.trim_end_matches(['\n', '\0']).ends_with(" (enforce)")
}

/// Returns whether the error is the kernel's refusal of a file (`EACCES`). The refusal for lack of a capability has
/// another number.
fn is_refusal(cause: &Error) -> bool {
    cause.chain().any(|cause| {
        let number = cause
            .downcast_ref::<io::Error>()
            .and_then(io::Error::raw_os_error)
            .map(Errno::from_raw);
        let number = number.or_else(|| cause.downcast_ref::<Errno>().copied());
        number == Some(Errno::EACCES)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(number: Errno) -> Error {
        Error::from(io::Error::from_raw_os_error(number as i32)).context("binding /srv/fw.sock")
    }

    #[test]
    fn a_file_that_a_profile_may_deny_is_said_to_be_that_and_nothing_else_is() {
        let said = |label: &str, cause: &Error| !hint_under(label, cause).is_empty();
        let denied = refused(Errno::EACCES);
        for label in ["gatebelld (enforce)\n", "gatebelld (enforce)"] {
            assert!(said(label, &denied));
            assert!(said(label, &Error::from(Errno::EACCES).context("writing")));
            for other in [Errno::EPERM, Errno::ENOSPC, Errno::EROFS] {
                assert!(!said(label, &refused(other)), "{other}");
            }
            assert!(!said(label, &anyhow::anyhow!("a rule file that is none")));
        }
        for label in ["unconfined\n", "gatebelld (complain)\n", ""] {
            assert!(!said(label, &denied), "{label}");
        }
    }
}
