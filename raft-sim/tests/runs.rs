//! Whole runs: the same seed is the same run, and a user's state machine fits in.

use raft_core::Index;
use raft_core::replica::StateMachine;
use raft_core::snapshot::{Sink, Source, SourceError, read_value, write_value};
use raft_sim::run::{RunOptions, RunReport, run_seed};
use raft_sim::trace::TraceOptions;
use raft_sim::{Ask, Check};

fn short() -> RunOptions {
    RunOptions { events: Some(4_000), ..RunOptions::default() }
}

fn assert_passes(report: &RunReport) {
    assert_eq!(report.failure_line(), None);
}

#[test]
fn seeds_pass_and_do_something() {
    let mut operations = Vec::new();
    for seed in 0..12 {
        let report = run_seed(seed, &short());
        assert_passes(&report);
        let (answered, ..) = report.operations();
        // Where everything goes wrong at once, so short a run is hardly more than its end.
        assert!(answered > 5 && report.events > 4_000, "{report}");
        operations.push(answered);
    }
    operations.sort_unstable();
    assert!(operations[6] > 40, "{operations:?}");
}

#[test]
fn a_seed_is_one_execution_whether_it_is_watched_or_not() {
    let trace = TraceOptions { text: true, json: true };
    for seed in 20..24 {
        let blind = run_seed(seed, &short());
        let watched = run_seed(seed, &RunOptions { trace, ..short() });
        assert_eq!(blind.fingerprint, watched.fingerprint);
        assert_eq!(blind.counts, watched.counts);
        assert!(blind.trace.text.is_empty() && watched.trace.text.len() > 1_000);
        for line in &watched.trace.json {
            let object: serde_json::Value = serde_json::from_str(line).expect("each line is JSON");
            assert_eq!(object["v"], 1);
        }
    }
}

#[test]
fn a_setup_survives_a_file_and_runs_the_same() {
    for seed in 30..33 {
        let drawn = run_seed(seed, &short());
        let file = serde_json::to_string_pretty(&drawn.setup).expect("a setup is JSON");
        let setup = serde_json::from_str(&file).expect("and back");
        let again = run_seed(0, &RunOptions { setup: Some(setup), ..RunOptions::default() });
        assert_eq!(drawn.fingerprint, again.fingerprint);
    }
}

#[test]
fn a_fuzzers_bytes_decide_a_run() {
    for length in [0, 50, 5_000] {
        let bytes = (0..length).map(|place: u32| (place * 167 % 251) as u8).collect();
        let decisions = Some(raft_sim::choices::Choices::bytes(bytes));
        assert_passes(&run_seed(0, &RunOptions { decisions, ..short() }));
    }
}

#[test]
#[should_panic(expected = "state-digest")]
fn a_state_machine_that_is_not_deterministic_is_caught() {
    /// What it does depends on how often it was cloned, as it would depend on an address or a clock.
    #[derive(Debug, Default)]
    struct Leaky(u64, std::sync::Arc<std::sync::atomic::AtomicU64>);
    impl Clone for Leaky {
        fn clone(&self) -> Leaky {
            Leaky(self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed), self.1.clone())
        }
    }
    impl StateMachine for Leaky {
        type Command = u64;
        type Response = u64;
        type Query = ();
        type Answer = u64;
        type Image = u64;
        fn apply(&mut self, _: Index, add: u64) -> u64 {
            self.0 += add;
            self.0
        }
        fn query(&self, (): ()) -> u64 {
            self.0
        }
        fn freeze(&self) -> u64 {
            self.0
        }
        fn write(image: &u64, out: &mut dyn Sink) {
            write_value(image, out);
        }
        fn restore(input: &mut dyn Source) -> Result<Leaky, SourceError> {
            read_value(input).map(|sum| Leaky(sum, std::sync::Arc::default()))
        }
        fn digest(&self) -> Option<u64> {
            Some(self.0)
        }
    }
    let ask = |draw: &mut raft_sim::Draw<'_>, _| Ask::Command(draw.below(10));
    Check::new(Leaky::default(), ask).seeds(0..5).options(short()).run();
}
