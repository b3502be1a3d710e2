//! Labs that were left behind: whoever is killed, as a test that hangs or one that Ctrl-C
//! ends, has no time to clean up.

use crate::{cgroup_root, remove_folder, remove_groups, remove_netns};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Takes away what labs have left whose process is gone, and what their tests had made beside them: namespaces, control
/// groups with all that runs there, and folders.
pub fn sweep() {
    let folders = std::env::temp_dir();
    let root = cgroup_root().ok();
    let mut names = left_in(Path::new("/run/netns"), "");
    for name in &names {
        remove_netns(name);
    }
    names.extend(left_in(&folders, FOLDER));
    if let Some(root) = &root {
        names.extend(left_in(root, ""));
    }
    for name in names {
        if let Some(root) = &root {
            remove_groups(&root.join(&name));
        }
        remove_folder(&folders.join(format!("{FOLDER}{name}")));
    }
}

/// Begin of the name of a lab's folder; the lab's name follows.
pub(crate) const FOLDER: &str = "gatebell-";

/// Returns the names of labs in a folder, of whose entries each begins with this word, if their processes are gone.
fn left_in(folder: &Path, begin: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names
        .filter_map(|name| name.strip_prefix(begin).map(str::to_owned))
        .filter(|name| maker(name).is_some_and(|maker| !Path::new("/proc").join(maker).exists()))
        .collect()
}

/// Returns the process in the name of a lab, or of what a test makes beside one: `gbPROCESSxREST`.
fn maker(name: &str) -> Option<&str> {
    let (process, rest) = name.strip_prefix("gb")?.split_once('x')?;
    let is_number = !process.is_empty() && process.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && !rest.is_empty()).then_some(process)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_of_a_lab_names_its_process() {
        assert_eq!(maker("gb12x0"), Some("12"));
        assert_eq!(maker("gb12x0i"), Some("12"));
        assert_eq!(maker("gb7xguest"), Some("7"));
        for other in [
            "gb0", "gbx0", "gb12x", "gb1 2x0", "12x0", "gb-12x0", "gbp12", "docker0",
        ] {
            assert_eq!(maker(other), None, "{other}");
        }
    }
}
