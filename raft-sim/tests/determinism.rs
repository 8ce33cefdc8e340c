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
    (0, 0xade5_4bb9_8959_d973, 0xc9dc_b2b3_c53b_37e7),
    (1, 0x81ce_94ca_ef9f_ac64, 0x6d04_d53b_292b_65ff),
    (2, 0xd036_0ec0_566e_8817, 0x2cb3_262c_eedd_e3c8),
    (3, 0x2d81_0034_d055_a043, 0x53ce_46e1_5ce9_816d),
    (4, 0xa72e_adad_8956_adf0, 0x1c51_2388_379a_d50d),
    (5, 0xd29d_7513_3172_51f7, 0x21ab_bda8_44ea_9471),
    (6, 0x0088_a965_30ac_b355, 0x87ed_02bc_3110_1335),
    (7, 0x4359_fa68_be14_98c0, 0x8954_4bb1_e635_6dcb),
    (8, 0x6cb9_593e_007b_ef94, 0x4b2a_2382_6dec_97f0),
    (9, 0xd5f6_d63c_e658_5bde, 0xf0fe_9d9d_aac9_4c30),
    (1_000_003, 0xbb64_7909_e1e1_682d, 0xbe25_d6e8_ab0a_dbcd),
    (u64::MAX, 0x1833_0507_7623_cad8, 0xa7e0_8e54_af7e_ea7b),
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
