//! One seed, one execution: twice in one process, in debug and release, with and without a trace, on one job or many.

use std::path::Path;
use std::process::Command;

use raft_sim::run::{RunOptions, run_seed};
use raft_sim::trace::TraceOptions;

/// Seeds, the hashes of their configurations, and their fingerprints, which debug and release builds must both meet, on
/// every platform. Another hash means that the swarm draws another run; the same hash and another fingerprint mean that
/// the same run goes another way.
///
/// A change that is meant to alter traces updates them: the test prints the new table. Its commit message says that
/// fingerprints change and why, since seeds in old reports then show other runs. A change that is not meant to (a
/// refactoring, a new dependency, a compiler) and alters one is wrong.
const FINGERPRINTS: [(u64, u64, u64); 12] = [
    (0, 0xf1cd_7da0_2504_2cce, 0xdeee_47f5_374f_7e20),
    (1, 0x641d_5ece_f699_1827, 0x8099_57a6_88b0_04de),
    (2, 0x6e22_ad8e_3962_176d, 0x0516_848c_8183_68e9),
    (3, 0x07ad_988f_b191_b765, 0xb6b1_9fca_2031_0951),
    (4, 0x93bf_a65f_61f5_0832, 0xd760_e8d0_5dd3_6520),
    (5, 0xd719_f590_4607_54f4, 0x293b_5800_975c_1efb),
    (6, 0x113c_01bc_57f9_9dbd, 0xec30_fa23_0d2c_090c),
    (7, 0x0a2d_d180_09f0_5265, 0x6421_8e9d_d99f_187b),
    (8, 0x8374_5fb7_56d8_19d5, 0xef21_51c5_f635_ce3a),
    (9, 0xf279_713a_564d_be6a, 0xe79a_12bf_8647_f339),
    (1_000_003, 0x61e3_5a09_d212_94a2, 0xc301_46cf_9d73_8fcb),
    (u64::MAX, 0x0133_e686_c5e6_240c, 0xd147_29f6_ece5_ff4f),
];

#[test]
fn fingerprints_are_the_committed_ones() {
    let found = FINGERPRINTS.map(|(seed, ..)| {
        let report = run_seed(seed, &RunOptions::default());
        (seed, report.configuration_hash, report.fingerprint)
    });
    let row = |(seed, configuration, fingerprint)| {
        format!("    ({seed}, {}, {}),\n", literal(configuration), literal(fingerprint))
    };
    let table: String = found.into_iter().map(row).collect();
    assert!(found == FINGERPRINTS, "traces have changed; if that is meant, the table is now\n{table}");
}

/// As it stands in the table.
fn literal(number: u64) -> String {
    let digits: String = [48, 32, 16, 0].map(|shift| format!("_{:04x}", number >> shift & 0xffff)).concat();
    format!("0x{}", &digits[1..])
}

#[test]
fn a_seed_runs_the_same_twice_and_a_trace_changes_nothing() {
    for seed in [11, 12] {
        let plain = run_seed(seed, &RunOptions::default());
        let trace = TraceOptions { text: true, json: true };
        let traced = run_seed(seed, &RunOptions { trace, ..RunOptions::default() });
        let again = run_seed(seed, &RunOptions { trace, ..RunOptions::default() });
        assert_eq!(plain.fingerprint, traced.fingerprint);
        assert_eq!((&plain.counts, plain.events), (&traced.counts, traced.events));
        assert_eq!((traced.fingerprint, &traced.counts), (again.fingerprint, &again.counts));
        assert_eq!(traced.trace, again.trace);
        assert_eq!(plain.to_json(), traced.to_json());
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
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("jobs-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the folder for tests can be written");
    let run = |jobs: &str| {
        let file = folder.join(format!("{jobs}.jsonl"));
        let status = Command::new(env!("CARGO_BIN_EXE_raft-sim"))
            .args(["run", "--seeds", "0..12", "--jobs", jobs, "--json"])
            .arg(&file)
            .output()
            .expect("the simulator starts")
            .status;
        assert!(status.success(), "{status}");
        std::fs::read(file).expect("the simulator wrote its results")
    };
    let (one, many) = (run("1"), run("4"));
    assert_eq!(one.iter().filter(|byte| **byte == b'\n').count(), 12);
    assert!(one == many, "the number of jobs changes the results");
    std::fs::remove_dir_all(folder).expect("the folder for tests can be removed");
}
