//! The catalogue of planted bugs, without building one: each patch still fits the source, says what it breaks, and
//! expects oracles that exist. (`raft-sim bugs` builds and hunts them.)

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Whatever may speak first, by the name that reports show. A name that is only here, or a ghost oracle that is not,
/// fails a test below.
const ORACLES: [&str; 33] = [
    // The ghost oracles, in raft-sim/src/oracle.
    "abstaining",
    "ack-durable",
    "apply-order",
    "commit-quorum",
    "committed-never-lost",
    "election-safety",
    "leader-completeness",
    "log-matching",
    "monotonic",
    "orphans",
    "read-index",
    "snapshot",
    "stale-read",
    "state-digest",
    "state-machine-safety",
    "vote-durable",
    "vote-once",
    "vote-up-to-date",
    // The world's own.
    "busy-loop",
    "disk-operation",
    "gave-way",
    // Nothing happened, and the leader did not stay.
    "idle",
    // A client was told what no history can hold.
    "history",
    "linearizability",
    "liveness",
    "needless-election",
    "read-round",
    "recovery-refused",
    "standstill",
    "stopped",
    "violation",
    "waste",
    "wire-checksum",
];

/// The lines that each header has.
const KEYS: [&str; 4] = ["title", "breaks", "expect", "source"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Files of a folder and the folders in it, in order.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder is part of the source") {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            found.append(&mut files(&path, extension));
        } else if path.extension().is_some_and(|other| other == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

struct Patch {
    name: String,
    header: String,
    /// Beginning with `diff --git`.
    diff: String,
}

fn catalogue() -> Vec<Patch> {
    let paths = files(&root().join("raft-sim/bugs"), "patch");
    assert!(paths.len() >= 20, "the catalogue has lost patches: {}", paths.len());
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path).expect("the patch can be read");
        let (header, diff) = text.split_at(text.find("diff --git").unwrap_or(text.len()));
        let name = path.file_stem().expect("a patch has a name").to_string_lossy().into_owned();
        Patch { name, header: header.to_owned(), diff: diff.to_owned() }
    };
    paths.iter().map(read).collect()
}

impl Patch {
    fn field(&self, key: &str) -> Option<&str> {
        self.header.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
    }
}

#[test]
fn every_patch_fits_the_source() {
    for Patch { name, diff, .. } in catalogue() {
        let mut changed = 0;
        for file_diff in diff.split("diff --git ").skip(1) {
            let start = file_diff.find("--- ").unwrap_or_else(|| panic!("{name}: a diff without ---"));
            let patch = diffy::Patch::from_str(&file_diff[start..])
                .unwrap_or_else(|error| panic!("{name}: the patch can't be read: {error}"));
            let path = patch.modified().and_then(|path| path.strip_prefix("b/"));
            let path = path.unwrap_or_else(|| panic!("{name}: a diff without +++ b/..."));
            // Into the core, or into a host that misbehaves; an oracle that is patched away proves nothing.
            let is_code = path.starts_with("raft-core/src/") || path.starts_with("raft-sim/src/");
            assert!(is_code && !path.contains("/oracle"), "{name} patches {path}");
            let text = fs::read_to_string(root().join(path))
                .unwrap_or_else(|error| panic!("{name}: {path} is gone ({error}); make the patch anew"));
            let patched = diffy::apply(&text, &patch)
                .unwrap_or_else(|error| panic!("{name}: {path} has changed ({error}); make the patch anew"));
            assert_ne!(text, patched, "{name} changes nothing in {path}");
            changed += 1;
        }
        assert!(changed > 0, "{name} has no diff");
    }
}

#[test]
fn every_header_says_what_who_and_where_from() {
    let mut titles = BTreeSet::new();
    for patch in catalogue() {
        for key in KEYS {
            let value = patch.field(key);
            assert!(value.is_some_and(|value| !value.trim().is_empty()), "{}: no `{key}: ...`", patch.name);
        }
        let title = patch.field("title").expect("checked above").to_owned();
        assert!(titles.insert(title), "{}: another patch has the same title", patch.name);
    }
}

#[test]
fn every_expected_oracle_exists() {
    for patch in catalogue() {
        for oracle in patch.field("expect").into_iter().flat_map(|expected| expected.split(", ")) {
            assert!(ORACLES.contains(&oracle), "{} expects {oracle}; there are {ORACLES:?}", patch.name);
        }
    }
}

/// The list above is the source's own.
#[test]
fn the_list_of_oracles_is_that_of_the_source() {
    let source = root().join("raft-sim/src");
    let mut text = String::new();
    for path in files(&source, "rs").iter().filter(|path| !path.ends_with("tests.rs")) {
        text += &fs::read_to_string(path).expect("the source can be read");
    }
    for oracle in ORACLES {
        assert!(text.contains(&format!("\"{oracle}\"")), "no oracle is called {oracle} any more");
    }
    let named = text.lines().filter_map(|line| line.trim().strip_prefix("const NAME: &str = \""));
    let names: Vec<&str> = named.filter_map(|rest| rest.strip_suffix("\";")).collect();
    assert!(names.len() >= 11, "the oracles name themselves otherwise now: {names:?}");
    for name in names {
        assert!(ORACLES.contains(&name), "{name} is missing in the list");
    }
}
