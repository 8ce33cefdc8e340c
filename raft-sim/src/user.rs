//! Your own state machine under the same attacks, from a plain `#[test]`.

use std::ops::Range;

use crate::choices::Draw;
use crate::failure::{Failure, FailureKind};
use crate::machine::Machine;
use crate::run::{RunOptions, RunReport, run_with};
use crate::workload::{AnswerOf, AskOf, At, OperationHandle, Witnessed, Workload};

/// What to run instead of the seeds in the code: `RAFT_SIM_SEEDS=5000` runs so many, from `RAFT_SIM_START` on.
const SEEDS_VARIABLE: &str = "RAFT_SIM_SEEDS";
/// See [`SEEDS_VARIABLE`].
const START_VARIABLE: &str = "RAFT_SIM_START";

/// Runs a state machine in many worlds. Every oracle watches; replicas' states are compared by their digests, if the
/// machine has them.
///
/// # Example
/// ```no_run
/// # use raft_core::{Index, replica::StateMachine};
/// # use raft_core::snapshot::{Sink, Source, SourceError, read_value, write_value};
/// use raft_sim::{Ask, Check};
///
/// #[derive(Clone, Debug, Default)]
/// struct Counter(u64);
///
/// impl StateMachine for Counter {
///     type Command = u64;
///     type Response = u64;
///     type Query = ();
///     type Answer = u64;
///     type Image = u64;
///     fn apply(&mut self, _: Index, add: u64) -> u64 {
///         self.0 += add;
///         self.0
///     }
///     fn query(&self, (): ()) -> u64 {
///         self.0
///     }
///     fn freeze(&self) -> u64 {
///         self.0
///     }
///     fn write(image: &u64, out: &mut dyn Sink) {
///         write_value(image, out);
///     }
///     fn restore(input: &mut dyn Source) -> Result<Counter, SourceError> {
///         read_value(input).map(Counter)
///     }
///     fn digest(&self) -> Option<u64> {
///         Some(self.0)
///     }
/// }
///
/// // In a #[test]:
/// Check::new(Counter::default(), |draw, _client| match draw.below(2) {
///     0 => Ask::Query(()),
///     _ => Ask::Command(draw.below(10)),
/// })
/// .seeds(0..50)
/// .run();
/// ```
#[derive(Clone, Debug)]
pub struct Check<S, F> {
    prototype: S,
    ask: F,
    seeds: Range<u64>,
    options: RunOptions,
}

impl<S, F> Check<S, F>
where
    S: Machine,
    F: FnMut(&mut Draw<'_>, u32) -> AskOf<S> + Clone,
{
    /// The empty state machine, and what its clients ask: given their choices and the client's number.
    pub fn new(prototype: S, ask: F) -> Check<S, F> {
        Check { prototype, ask, seeds: 0..20, options: RunOptions::default() }
    }

    /// Which seeds to run, unless the environment says otherwise.
    #[must_use]
    pub fn seeds(mut self, seeds: Range<u64>) -> Check<S, F> {
        self.seeds = seeds;
        self
    }

    /// How to run each.
    #[must_use]
    pub fn options(mut self, options: RunOptions) -> Check<S, F> {
        self.options = options;
        self
    }

    /// Runs the seeds.
    ///
    /// # Panics
    /// At the first failure, with one line that says the seed and what happened; if there is no seed to run, or a
    /// variable is not a number.
    pub fn run(&self) {
        for seed in self.range() {
            let report = self.run_one(seed);
            if let Some(line) = report.failure_line() {
                // The command line replays the key-value store; this machine is replayed by its own test.
                let line = line.replace(
                    &format!("cargo sim replay {seed}"),
                    &format!("{START_VARIABLE}={seed} {SEEDS_VARIABLE}=1 cargo test"),
                );
                panic!("{line}");
            }
        }
    }

    /// Runs one seed.
    #[must_use]
    pub fn run_one(&self, seed: u64) -> RunReport {
        let clients = Asker { ask: self.ask.clone(), operations: 0 };
        run_with(seed, &self.options, self.prototype.clone(), |_| clients)
    }

    fn range(&self) -> Range<u64> {
        let number = |name: &str| {
            let text = std::env::var(name).ok()?;
            let parsed = text.parse::<u64>();
            Some(parsed.unwrap_or_else(|_| panic!("{name}={text} is not a number of seeds")))
        };
        let start = number(START_VARIABLE).unwrap_or(self.seeds.start);
        let count = number(SEEDS_VARIABLE).unwrap_or(self.seeds.end.saturating_sub(self.seeds.start));
        assert!(count > 0, "no seed to run: {SEEDS_VARIABLE} and the range in the code must not be empty");
        start..start.saturating_add(count)
    }
}

/// Clients that ask what a closure says, and keep no history.
#[derive(Clone, Debug)]
struct Asker<F> {
    ask: F,
    operations: u64,
}

/// So many operations of each client must be answered after the healing.
const CLOSING_STEPS: u32 = 3;

impl<S, F> Workload<S> for Asker<F>
where
    S: Machine,
    F: FnMut(&mut Draw<'_>, u32) -> AskOf<S> + Clone,
{
    fn ask(&mut self, draw: &mut Draw<'_>, client: u32) -> AskOf<S> {
        (self.ask)(draw, client)
    }

    fn closing(&mut self, draw: &mut Draw<'_>, client: u32, _clients: u32, step: u32) -> Option<AskOf<S>> {
        (step < CLOSING_STEPS).then(|| (self.ask)(draw, client))
    }

    fn invoked(&mut self, _process: u64, _ask: &AskOf<S>, _at: At) -> OperationHandle {
        self.operations += 1;
        self.operations
    }

    fn answered(&mut self, _operation: OperationHandle, _answer: &AnswerOf<S>, _at: At) {}

    fn failed(&mut self, _operation: OperationHandle) {}

    fn unknown(&mut self, _operation: OperationHandle) {}

    fn verdict(&self) -> Result<Witnessed, Failure> {
        if self.operations == 0 {
            let what = "no client asked anything".to_owned();
            return Err(Failure::new(FailureKind::Gate, "vacuity", what));
        }
        Ok(Witnessed::default())
    }
}
