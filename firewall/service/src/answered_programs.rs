//! Programs that answers were given to, and the path by which each was known then.
//!
//! The kernel knows a program by its file's number, which the file system gives to another file once this one is gone:
//! an answer is over when the path leads to another file and nothing runs from the old one any more. What no path of
//! ours leads to, as in a container, is not followed.

use crate::programs::{Births, Running};
use rules::Resolver;
use std::collections::{BTreeMap, BTreeSet};

/// Paths of programs that were answered, by the program's file: its file system's device and its inode.
#[derive(Debug, Default)]
pub struct AnsweredPrograms {
    paths: BTreeMap<[u64; 2], String>,
    births: Births,
}

impl AnsweredPrograms {
    /// Notes that a path leads to a program that has been answered.
    pub fn note(&mut self, program: [u64; 2], path: &str, machine: &dyn Resolver) {
        self.births.note(program, path, machine);
        self.paths.insert(program, path.to_owned());
    }

    /// Returns the programs whose paths lead elsewhere by now and of which no process runs any more.
    pub fn replaced(&self, machine: &dyn Resolver) -> BTreeSet<[u64; 2]> {
        let running = Running::of(&self.births);
        let is_replaced = |(program, path): &(&[u64; 2], &String)| {
            machine.program(path) != Some(**program) && !running.is_from(program)
        };
        let replaced = self.paths.iter().filter(is_replaced);
        replaced.map(|(program, _)| *program).collect()
    }

    /// Forgets these programs, once nothing that was answered to them holds any more.
    pub fn forget(&mut self, programs: &BTreeSet<[u64; 2]>) {
        self.paths.retain(|program, _| !programs.contains(program));
        self.births
            .retain(|program| self.paths.contains_key(program));
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use rules::SystemResolver;
    use std::fs;
    use std::path::Path;

    #[test]
    fn a_program_is_answered_for_until_its_path_leads_elsewhere_and_nothing_runs_from_it() {
        let machine = SystemResolver::beside(Path::new("/"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        let path = path.to_str().unwrap();
        fs::write(path, "first").unwrap();
        let first = machine.program(path).unwrap();
        let ours = machine.program("/proc/self/exe").unwrap();
        let mut answered = AnsweredPrograms::default();
        answered.note(first, path, &machine);
        answered.note(ours, path, &machine);
        assert_eq!(answered.replaced(&machine), [].into(), "we run");
        // Beside the first one, so that it gets another number.
        let next = format!("{path}-next");
        fs::write(&next, "second").unwrap();
        fs::rename(&next, path).unwrap();
        assert_eq!(answered.replaced(&machine), [first].into());
        assert_eq!(answered.replaced(&machine), [first].into(), "until then");
        answered.forget(&[first].into());
        assert_eq!(answered.replaced(&machine), [].into());
    }
}
