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
    (1, 0xa15a_8b09_2a90_08b7, 0x4d51_3a91_2f3b_775d),
    (2, 0x2799_4180_f09d_0083, 0xb39c_258e_1299_bda6),
    (3, 0xef46_9b50_e68a_89a5, 0x3186_a898_7c88_a45d),
    (4, 0x6593_e249_fe92_d295, 0x4c2e_8780_e471_a42c),
    (5, 0x4591_a78f_e35a_be8a, 0x2175_1db3_336f_dcb8),
    (6, 0x7752_e53c_60b7_0587, 0xf5a3_2cc6_7e43_ef1a),
    (7, 0x08d6_c4c6_cef2_ed42, 0xb75a_776e_d1f6_194f),
    (8, 0x036a_11e4_af89_fce9, 0xdf80_4896_6a96_e927),
    (9, 0x2d11_497f_dac8_b8c9, 0xed62_f598_4572_ce6f),
    (1_000_003, 0xdd4d_e178_7973_2fff, 0x0921_1152_20b1_f352),
    (u64::MAX, 0x1ce1_d119_7dc7_4870, 0x0293_36a7_4c8d_1346),
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
