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
    (0, 0x45f7_e5ac_0f4e_ad23, 0x2900_d51d_2dd3_96ac),
    (1, 0xa15a_8b09_2a90_08b7, 0x1574_5124_1e6a_7d2c),
    (2, 0x2799_4180_f09d_0083, 0x6d39_9278_2c88_325f),
    (3, 0xef46_9b50_e68a_89a5, 0x728a_9abe_e8e4_4848),
    (4, 0x6593_e249_fe92_d295, 0x2c6d_40e0_6399_5194),
    (5, 0x4591_a78f_e35a_be8a, 0xc392_2792_85f1_b183),
    (6, 0x7752_e53c_60b7_0587, 0x7012_e4d7_d7d0_fdec),
    (7, 0x08d6_c4c6_cef2_ed42, 0x6ffc_0cce_9993_881d),
    (8, 0x036a_11e4_af89_fce9, 0x3a68_d16b_e530_15a2),
    (9, 0x2d11_497f_dac8_b8c9, 0x7a66_1e6a_1b00_2a6c),
    (1_000_003, 0xdd4d_e178_7973_2fff, 0x0921_1152_20b1_f352),
    (u64::MAX, 0x1ce1_d119_7dc7_4870, 0xcff4_a0a6_a4a2_b84b),
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
