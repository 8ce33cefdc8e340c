//! Times the checker on recorded and made histories; reading them is not counted.

use std::path::{Path, PathBuf};

use divan::Bencher;
use raft_sim::check::kv::{Answer, KvHistory, KvModel, Operation};
use raft_sim::check::{Budget, FileModel, OperationId, ProcessId, Stamp, check, read_file};

fn main() {
    divan::main();
}

fn data(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/histories").join(file)
}

const RECORDED: [&str; 14] = [
    "synthetic/a-c10-k10-1k-ok.txt",
    "synthetic/a-c10-k10-1k-bad.txt",
    "synthetic/a-c10-k10-10k-ok.txt.gz",
    "synthetic/a-c10-k10-10k-bad.txt.gz",
    "synthetic/b-c10-k1-1k-ok.txt",
    "synthetic/b-c10-k1-1k-bad.txt",
    "synthetic/b-c10-k1-10k-ok.txt.gz",
    "synthetic/b-c10-k1-10k-bad.txt.gz",
    "synthetic/d-c20-k1-1k-ok.txt",
    "synthetic/d-c20-k1-1k-bad.txt",
    "synthetic/d-c50-k1-10k-ok.txt.gz",
    "synthetic/d-c50-k1-10k-bad.txt.gz",
    "synthetic/e-c10-k1-1k-p10-ok.txt",
    "synthetic/e-c10-k1-1k-p10-bad.txt",
];

#[divan::bench(args = RECORDED)]
fn recorded(bencher: Bencher<'_, '_>, file: &str) {
    let (history, model) = read_file(data(file), FileModel::Kv).expect("the file is in the repository");
    bencher.bench(|| check(model.clone(), &history, Budget::default()).verdict.exit_code());
}

#[divan::bench]
fn all_etcd_logs(bencher: Bencher<'_, '_>) {
    let table = std::fs::read_to_string(data("verdicts.tsv")).expect("the table is in the repository");
    let files =
        table.lines().filter_map(|line| line.split('\t').next()).filter(|file| file.ends_with(".log"));
    let histories: Vec<_> = files
        .map(|file| read_file(data(file), FileModel::Etcd).expect("the file is in the repository"))
        .collect();
    bencher.bench(|| {
        let check = |(history, model): &(KvHistory, KvModel)| {
            u64::from(check(model.clone(), history, Budget::default()).verdict.exit_code())
        };
        histories.iter().map(check).sum::<u64>()
    });
}

/// Idle; or has called (to put a value, or to get one), and when that took effect, knows its answer.
type Client = (Option<(OperationId, Option<String>)>, Option<Answer>);

/// Ten clients on one key, half of them writing; `values` bounds the distinct values (0: all unique).
fn made(operations: u64, values: u64) -> KvHistory {
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut below = |bound: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % bound
    };
    let mut history = KvHistory::new();
    let mut held = String::new();
    let mut clients: Vec<Client> = vec![(None, None); 10];
    let mut called = 0;
    let mut time = 0;
    while called < operations || clients.iter().any(|client| client.0.is_some()) {
        time += 1;
        let number = below(10) as usize;
        let client = &mut clients[number];
        match (&client.0, &client.1) {
            (None, _) if called == operations => {}
            (None, _) => {
                called += 1;
                let value =
                    (below(2) == 0).then(|| format!("v{}", if values == 0 { called } else { below(values) }));
                let operation = match &value {
                    Some(value) => Operation::put("k", value.as_str()),
                    None => Operation::get("k"),
                };
                let id = history.invoke(ProcessId(number as u64), operation, Stamp::at(time));
                client.0 = Some((id.expect("the clock only goes on"), value));
            }
            (Some((_, Some(value))), None) => {
                held = value.clone();
                client.1 = Some(Answer::done());
            }
            (Some((_, None)), None) => client.1 = Some(Answer::got(Some(&held))),
            (Some((id, _)), Some(answer)) => {
                history.ok(*id, answer.clone(), Stamp::at(time)).expect("the clock only goes on");
                *client = (None, None);
            }
        }
    }
    history
}

#[divan::bench(args = [10_000, 100_000, 1_000_000], sample_count = 10, sample_size = 1)]
fn one_key_unique_values(bencher: Bencher<'_, '_>, operations: u64) {
    let history = made(operations, 0);
    let judge = || check(KvModel::starting_with(""), &history, Budget::default()).verdict;
    assert!(judge().is_linearizable());
    bencher.bench(|| judge().exit_code());
}

#[divan::bench(args = [10_000, 100_000, 1_000_000], sample_count = 10, sample_size = 1)]
fn one_key_repeated_values(bencher: Bencher<'_, '_>, operations: u64) {
    let history = made(operations, operations / 20);
    let judge = || check(KvModel::starting_with(""), &history, Budget::default()).verdict;
    assert!(judge().is_linearizable());
    bencher.bench(|| judge().exit_code());
}
