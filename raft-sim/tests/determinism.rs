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
    (0, 0xa158_a034_cdc0_f784, 0x826d_956b_fcd0_f6ea),
    (1, 0xb4a4_8e41_67a3_9bb9, 0x41f8_13a3_b112_62ff),
    (2, 0x192e_6b87_55cb_110e, 0xa0f4_94a2_2501_07b9),
    (3, 0xcec6_afe8_be61_d691, 0xea37_5cee_9cd2_d862),
    (4, 0x4784_aba0_12b6_d95d, 0x8907_48e6_4ee8_ad21),
    (5, 0x566c_55d1_6836_4e8c, 0x5756_ce99_4fe5_1518),
    (6, 0x96ae_c5fb_4c61_51ad, 0x4d0c_ae29_d229_d855),
    (7, 0x03c1_7ab1_a5df_93fc, 0xd945_80f3_b647_c28f),
    (8, 0xcef4_d24c_bd4d_bd67, 0xf3e8_8ca8_c019_ba18),
    (9, 0xb3a6_546e_8086_4f7e, 0xbc09_a3bc_a41c_50f0),
    (1_000_003, 0x1da0_54f5_966c_ccff, 0xb077_1a9b_f4d9_9c3a),
    (u64::MAX, 0xcc82_2dfd_4e87_6915, 0xad81_44db_36a4_324e),
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
