//! Rules about the sources themselves.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::Outcome;
use crate::process::{cargo, output};
use crate::root;

/// The longest file that one still reads as a whole.
const MAX_LINES: usize = 800;

/// The crates that must do without std.
const NO_STD: [&str; 2] = ["mesos-proto", "mesos-core"];

/// All sources keep to the rules that no tool knows.
pub(super) fn rules() -> Outcome {
    let mut faults = Vec::new();
    for file in sources(&root()) {
        let Ok(text) = fs::read_to_string(&file) else {
            faults.push(format!("{} cannot be read as text", file.display()));
            continue;
        };
        let name = file.strip_prefix(root()).unwrap_or(&file).to_path_buf();
        let generated = name.components().any(|part| part.as_os_str() == "generated");
        let lines = text.lines().count();
        if lines > MAX_LINES && !generated {
            faults.push(format!("{} has {lines} lines, more than {MAX_LINES}", name.display()));
        }
        let no_std = NO_STD.iter().any(|krate| name.starts_with(krate));
        if no_std && !name.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "benches") {
            faults.extend(extern_std(&text).map(|line| format!("{}:{line}: `extern crate std`", name.display())));
        }
    }
    if faults.is_empty() { Outcome::Passed } else { Outcome::Failed(faults.join("\n        ")) }
}

/// The lines, counted from 1, that bring std in without standing right below `#[cfg(test)]`.
fn extern_std(text: &str) -> impl Iterator<Item = usize> + '_ {
    let mut before = "";
    text.lines().enumerate().filter_map(move |(index, line)| {
        let (line, above) = (line.trim(), std::mem::replace(&mut before, line.trim()));
        (line.starts_with("extern crate std") && above != "#[cfg(test)]").then_some(index + 1)
    })
}

/// The Rust files of the workspace.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if hidden || path.ends_with("target") {
            continue;
        }
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The crates that mesos-core brings along are the ones on the checked-in list, no more and no fewer.
pub(super) fn dependencies() -> Outcome {
    let list = root().join("xtask/mesos-core-dependencies.txt");
    let wanted: BTreeSet<String> = match fs::read_to_string(&list) {
        Ok(text) => text.lines().filter(|l| !l.starts_with('#') && !l.is_empty()).map(str::to_owned).collect(),
        Err(error) => return Outcome::Failed(format!("{}: {error}", list.display())),
    };
    let found = match tree("mesos-core") {
        Ok(found) => found,
        Err(why) => return Outcome::Failed(why),
    };
    let added: Vec<_> = found.difference(&wanted).cloned().collect();
    let gone: Vec<_> = wanted.difference(&found).cloned().collect();
    if added.is_empty() && gone.is_empty() {
        return Outcome::Passed;
    }
    Outcome::Failed(format!("{}: not on it: {added:?}; on it, but not there: {gone:?}", list.display()))
}

/// The crates that one brings along, with all its features.
fn tree(name: &str) -> Result<BTreeSet<String>, String> {
    let words = ["tree", "-p", name, "--all-features", "-e", "normal", "--prefix", "none", "-f", "{p}"];
    let text = output(cargo().args(words))?;
    Ok(text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

/// Names, or beginnings of names, of async runtimes and what comes with them.
const ASYNC: [&str; 8] = ["tokio", "async-", "smol", "hyper", "mio", "futures-executor", "futures-util", "polling"];

/// mesos-blocking is for programs without an async runtime.
pub(super) fn no_async() -> Outcome {
    let found = match tree("mesos-blocking") {
        Ok(found) => found,
        Err(why) => return Outcome::Failed(why),
    };
    // Otherwise nothing has been looked at.
    if !found.contains("ureq") {
        return Outcome::Failed(format!("mesos-blocking without ureq: {found:?}"));
    }
    let faults: Vec<_> = found.iter().filter(|name| ASYNC.iter().any(|start| name.starts_with(start))).collect();
    if faults.is_empty() { Outcome::Passed } else { Outcome::Failed(format!("mesos-blocking brings {faults:?}")) }
}

#[cfg(test)]
mod tests {
    use super::extern_std;

    #[test]
    fn std_may_come_in_for_tests_only() {
        let text = "#[cfg(test)]\nextern crate std;\n\nextern crate alloc;\nextern crate std;\n";
        assert_eq!(extern_std(text).collect::<Vec<_>>(), [5]);
    }
}
