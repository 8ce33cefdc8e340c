//! Recorded histories, each with the verdict that is known for it.

use std::path::{Path, PathBuf};

use raft_sim::check::{FileModel, Verdict, check_file};

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/histories")
}

#[test]
fn every_recorded_history_gets_its_verdict() {
    let table = std::fs::read_to_string(data().join("verdicts.tsv")).unwrap();
    let mut count = 0;
    for line in table.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [file, model, expected] = fields[..] else { panic!("three columns: {line}") };
        let model: FileModel = model.parse().unwrap();
        let report = check_file(data().join(file), model).unwrap();
        let got = match &report.verdict {
            Verdict::Linearizable { .. } => "ok",
            Verdict::Violation(_) => "illegal",
            Verdict::Unknown { .. } => "unknown",
        };
        assert_eq!(got, expected, "{line}\n{report}");
        count += 1;
    }
    assert!(count >= 70, "only {count} histories");
}
