//! One seed, one execution: twice in one process, in debug and release, with and without a trace, on one job or many.

use std::process::Command;

use raft_sim::run::{RunOptions, run_seed};
use raft_sim::trace::TraceOptions;

/// Seeds with their fingerprints, which debug and release builds must both meet, on every platform.
///
/// A change that alters traces updates them (the test prints the new ones), and its commit message says so.
const FINGERPRINTS: [(u64, u64); 6] = [
    (0, 0x2900_d51d_2dd3_96ac),
    (1, 0x1574_5124_1e6a_7d2c),
    (2, 0x6d39_9278_2c88_325f),
    (3, 0x728a_9abe_e8e4_4848),
    (7, 0x6ffc_0cce_9993_881d),
    (1_000_003, 0x0921_1152_20b1_f352),
];

#[test]
fn fingerprints_are_the_committed_ones() {
    let found = FINGERPRINTS.map(|(seed, _)| (seed, run_seed(seed, &RunOptions::default()).fingerprint));
    assert_eq!(found, FINGERPRINTS, "now: {found:#018x?}");
}

#[test]
fn a_seed_runs_the_same_twice_and_a_trace_changes_nothing() {
    for seed in [11, 12] {
        let plain = run_seed(seed, &RunOptions::default());
        let trace = TraceOptions { text: true, json: true };
        let traced = run_seed(seed, &RunOptions { trace, ..RunOptions::default() });
        let again = run_seed(seed, &RunOptions { trace, ..RunOptions::default() });
        assert_eq!(plain.fingerprint, traced.fingerprint);
        assert_eq!(plain.counts, traced.counts);
        assert_eq!(traced.trace, again.trace);
        assert!(plain.trace.text.is_empty() && traced.trace.text.len() > 1_000);
    }
}

#[test]
fn a_setup_that_was_printed_and_read_again_runs_the_same() {
    let first = run_seed(5, &RunOptions::default());
    let json = serde_json::to_string(&first.setup).expect("a setup is plain data");
    let setup = serde_json::from_str(&json).expect("what was printed can be read");
    let again = run_seed(5, &RunOptions { setup: Some(setup), ..RunOptions::default() });
    assert_eq!((first.fingerprint, first.configuration_hash), (again.fingerprint, again.configuration_hash));
}

#[test]
fn one_job_and_many_find_the_same() {
    let folder = std::env::temp_dir().join(format!("raft-sim-jobs-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the temporary folder can be written");
    let run = |jobs: &str| {
        let file = folder.join(format!("{jobs}.jsonl"));
        let status = Command::new(env!("CARGO_BIN_EXE_raft-sim"))
            .args(["run", "--seeds", "0..6", "--jobs", jobs, "--json"])
            .arg(&file)
            .output()
            .expect("the simulator starts")
            .status;
        assert!(status.success(), "{status}");
        std::fs::read(file).expect("the simulator wrote its results")
    };
    assert_eq!(run("1"), run("4"));
    std::fs::remove_dir_all(folder).expect("the temporary folder can be removed");
}
