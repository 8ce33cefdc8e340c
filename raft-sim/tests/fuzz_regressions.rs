//! What fuzzing once found, and the inputs that it starts from, on stable: each file of `fuzz/regressions/<target>/` and
//! `fuzz/seeds/<target>/` goes through its target. A crash becomes a test by being copied there.

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../../fuzz/src/lib.rs"]
pub mod fuzz;

/// The inputs of a kind, by target: (target, file). A directory that is no target's would be forgotten, so it fails.
fn inputs(kind: &str) -> Vec<(String, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz").join(kind);
    let list = |path: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
        paths.sort();
        paths
    };
    let mut inputs = Vec::new();
    for folder in list(&root).into_iter().filter(|path| path.is_dir()) {
        let target = folder.file_name().expect("a name").to_string_lossy().into_owned();
        assert!(fuzz::TARGETS.iter().any(|(name, _)| *name == target), "{} is no target", folder.display());
        inputs.extend(list(&folder).into_iter().map(|file| (target.clone(), file)));
    }
    inputs
}

fn replay(kind: &str) -> Vec<String> {
    let mut replayed = Vec::new();
    for (target, file) in inputs(kind) {
        let run = fuzz::TARGETS.iter().find(|(name, _)| *name == target).expect("checked above").1;
        let input = fs::read(&file).expect("it can be read");
        if std::panic::catch_unwind(|| run(&input)).is_err() {
            panic!("{} fails; what it says is above", file.display());
        }
        replayed.push(target);
    }
    replayed
}

#[test]
fn what_was_found_once_stays_fixed() {
    replay("regressions");
}

#[test]
fn every_target_has_inputs_to_start_from_and_they_pass() {
    let replayed = replay("seeds");
    for (target, _) in fuzz::TARGETS {
        assert!(replayed.iter().any(|name| name == target), "no seeds for {target}");
    }
}

/// What a leader does with snapshots is many steps away from a start: the fuzzer is given the way there.
#[test]
fn the_seeds_of_core_steps_reach_every_situation() {
    use fuzz::core_steps::{Situation, situations};
    let mut reached = std::collections::BTreeMap::new();
    for (_, file) in inputs("seeds").into_iter().filter(|(target, _)| target == "core_steps") {
        for situation in situations(&fs::read(&file).expect("it can be read")) {
            *reached.entry(situation).or_insert(0) += 1;
        }
    }
    let missing: Vec<_> =
        Situation::ALL.iter().filter(|situation| !reached.contains_key(situation)).collect();
    assert!(missing.is_empty(), "no seed reaches {missing:?}; reached by so many: {reached:?}");
}

#[test]
fn the_seeds_of_journal_recover_hold_snapshots() {
    let seeds = inputs("seeds").into_iter().filter(|(target, _)| target == "journal_recover");
    let mut all = fuzz::journal_recover::SnapshotCounts::default();
    for (_, file) in seeds {
        let one = fuzz::journal_recover::count_snapshots(&fs::read(&file).expect("it can be read"));
        all.installed += one.installed;
        all.taken += one.taken;
        all.begun += one.begun;
        all.interrupted += one.interrupted;
    }
    let least = all.installed.min(all.taken).min(all.begun).min(all.interrupted);
    assert!(least >= 2, "the fuzzer starts from too few histories with snapshots: {all:?}");
}
