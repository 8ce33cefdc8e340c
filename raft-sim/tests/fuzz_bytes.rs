//! A fuzzer's bytes are the decisions of a run: a changed byte changes nothing that was decided before it.

use raft_sim::run::RunReport;
use raft_sim::trace::TraceOptions;

#[path = "../../fuzz/src/lib.rs"]
pub mod fuzz;

use fuzz::cluster::{HEAD_BYTES, simulate};

const TRACE: TraceOptions = TraceOptions { text: true, json: false };

/// Five nodes, every fault of the network, a power loss and a partition. No drawn crashes: those are a decision at every
/// action, and nearly always "no", so few of their bytes would change anything.
fn input() -> Vec<u8> {
    let mut input = vec![1, 3, 0xff, 0, 0xff, 9, 40, 0];
    input.extend([1, 40, 20, 0, 0, 0, 0, 0, 14, 90, 30, 0x41, 0, 0, 0, 0]);
    input.resize(HEAD_BYTES, 0);
    // xorshift64: the same bytes everywhere.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..3_000 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        input.push((state >> 32) as u8);
    }
    input
}

fn run(input: &[u8]) -> RunReport {
    let report = simulate(input, TRACE);
    assert_eq!(report.failure_line(), None);
    report
}

#[test]
fn a_changed_byte_leaves_the_trace_before_it_as_it_was() {
    let first = run(&input());
    let asked = &first.trace.bytes_asked;
    assert_eq!(asked.len(), first.trace.text.len());
    assert!(asked.is_sorted() && asked.last().is_some_and(|asked| *asked > 1_000), "it decides little");
    let (mut changed, mut latest) = (0, 0);
    for place in [0, 50, 200, 500, 800, 1_000, 1_500, 2_000, 2_500] {
        let mut input = input();
        input[HEAD_BYTES + place] ^= 0xff;
        let other = run(&input);
        // The lines that were written before this byte was asked for.
        let before = asked.partition_point(|asked| *asked <= place);
        assert_eq!(first.trace.text[..before], other.trace.text[..before], "byte {place}");
        assert!(before > latest || place < 200, "a later byte leaves more: {before} lines at byte {place}");
        latest = before;
        changed += usize::from(first.trace.text[before..] != other.trace.text[before..]);
    }
    assert!(changed >= 5, "only {changed} of 9 bytes change anything: the test shows little");
}

#[test]
fn the_same_bytes_are_the_same_run_and_none_is_a_calm_one() {
    let (one, two) = (run(&input()), run(&input()));
    assert_eq!((one.fingerprint, one.trace), (two.fingerprint, two.trace));
    let calm = run(&[]);
    assert!(calm.operations().0 >= 5, "{calm}");
    for (name, count) in calm.counts.to_map() {
        let is_fault = ["lost", "crash", "killed", "power", "cut"].iter().any(|word| name.contains(word));
        assert!(!is_fault || count == 0, "{name} in a calm run:\n{calm}");
    }
}
