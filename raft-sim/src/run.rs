//! One run from one seed.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

use crate::choices::Choices;
use crate::counts::{Counts, Effect};
use crate::failure::{Failure, FailureKind};
use crate::kv::Kv;
use crate::machine::Machine;
use crate::marks::Marks;
use crate::measures::Measures;
use crate::swarm::{self, Setup};
use crate::trace::{Fingerprint, Trace, TraceOptions};
use crate::workload::Workload;
use crate::workload::kv::KvWorkload;
use crate::world::World;

/// How to run a seed.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// What to write down.
    pub trace: TraceOptions,
    /// So many events of chaos, whatever the seed says.
    pub events: Option<u64>,
    /// Run this, whatever the seed says.
    pub setup: Option<Setup>,
    /// Decide by this, whatever the seed says: a recording, or a fuzzer's bytes.
    pub decisions: Option<Choices>,
}

/// What a run was and how it ended.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// The seed.
    pub seed: u64,
    /// Everything that it started from.
    pub setup: Setup,
    /// `setup` is not what the seed means: somebody wrote it.
    pub is_edited: bool,
    /// A hash over all of `setup`: equal seeds of different versions of the swarm differ here.
    pub configuration_hash: u64,
    /// A hash over everything that happened.
    pub fingerprint: u64,
    /// Events handled.
    pub events: u64,
    /// Microseconds of virtual time.
    pub virtual_time: u64,
    /// The longest time for which a node that was well stood still, in hundredths of the time that it may.
    pub longest_still: u64,
    /// How long the healed core took to settle, in hundredths of an election timeout.
    pub settled_in: u64,
    /// Effects.
    pub counts: Counts,
    /// What it cost beyond what it needed.
    pub measures: Measures,
    /// Named situations.
    pub marks: Marks,
    /// What failed.
    pub failure: Option<FailureReport>,
    /// What was written down.
    pub trace: Trace,
}

/// A failure and when it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureReport {
    /// Its kind.
    pub kind: FailureKind,
    /// The oracle, or what else noticed.
    pub oracle: String,
    /// What happened, to whom.
    pub what: String,
    /// After so many events; where a run has several lives, of the one that failed.
    pub event: u64,
    /// At this virtual time.
    pub time: u64,
}

/// Runs a seed with the key-value store and its clients.
#[must_use]
pub fn run_seed(seed: u64, options: &RunOptions) -> RunReport {
    run_with(seed, options, Kv::default(), KvWorkload::new)
}

/// Runs a seed with any state machine.
pub(crate) fn run_with<S: Machine, W: Workload<S>>(
    seed: u64,
    options: &RunOptions,
    prototype: S,
    workload: impl FnOnce(&swarm::LoadSetup) -> W,
) -> RunReport {
    let decisions = |seed| options.decisions.clone().unwrap_or_else(|| Choices::seeded(seed));
    let mut choices = decisions(seed);
    let drawn = swarm::draw(seed, &mut choices);
    let mut setup = drawn.clone();
    if let Some(other) = &options.setup {
        setup = other.clone();
        choices = decisions(setup.seed);
    }
    if let Some(events) = options.events {
        setup.events = events;
    }
    let is_edited = setup != drawn;
    let workload = workload(&setup.load);
    let mut report = RunReport {
        seed,
        configuration_hash: hash_of(&setup),
        fingerprint: Fingerprint::default().0,
        events: 0,
        virtual_time: 0,
        longest_still: 0,
        settled_in: 0,
        failure: None,
        counts: Counts::default(),
        measures: Measures::default(),
        marks: Marks::default(),
        trace: Trace::new(options.trace),
        is_edited,
        setup,
    };
    for life in 0..report.setup.lives.max(1) {
        choices.begin_life(life);
        let setup = report.setup.of_life(life);
        choices = run_life(setup, choices, prototype.clone(), workload.clone(), &mut report);
        if let Some(failure) = &mut report.failure {
            if report.setup.lives > 1 {
                failure.what = format!("life {} of {}: {}", life + 1, report.setup.lives, failure.what);
            }
            break;
        }
    }
    report
}

/// Runs one cluster from its beginning to its end, and adds what happened. Returns the source of decisions.
fn run_life<S: Machine, W: Workload<S>>(
    setup: Setup,
    choices: Choices,
    prototype: S,
    workload: W,
    report: &mut RunReport,
) -> Choices {
    let mut world = World::new(setup, choices, prototype, workload, std::mem::take(&mut report.trace));
    world.fingerprint = Fingerprint(report.fingerprint);
    // A panic leaves the world in pieces; only its records are looked at then.
    let ended = catch_unwind(AssertUnwindSafe(|| run_world(&mut world)));
    let failure = match ended {
        Ok(Ok(())) => None,
        Ok(Err(failure)) => Some(failure),
        Err(panic) => Some(Failure::new(FailureKind::Panic, "panic", words_of(panic.as_ref()))),
    };
    let transfers = world.watch.transfers;
    world.counts.add_many(Effect::TransfersOfTen, transfers.begun);
    world.counts.add_many(Effect::TransfersInterrupted, transfers.interrupted);
    world.counts.add_many(Effect::TransfersFinished, transfers.finished);
    report.fingerprint = world.fingerprint.0;
    report.events += world.events;
    report.virtual_time += world.now;
    report.longest_still = report.longest_still.max(world.longest_still);
    report.settled_in = report.settled_in.max(world.closing_took());
    let (event, time) = (world.events, world.now);
    report.failure =
        failure.map(|Failure { kind, oracle, what }| FailureReport { kind, oracle, what, event, time });
    report.counts.add_all(&world.counts);
    report.marks.add(&world.watch.marks);
    report.measures.add(&world.measures);
    let (choices, trace) = world.into_records();
    report.trace = trace;
    choices
}

/// Chaos, then healing, then the last questions.
fn run_world<S: Machine, W: Workload<S>>(world: &mut World<S, W>) -> Result<(), Failure> {
    // Looking at every replica costs more than an event.
    const LOOK_EVERY: u64 = 16;
    let mut steps = 0u64;
    while !world.is_chaos_over() && world.step()? {
        steps += 1;
        if steps.is_multiple_of(4 * LOOK_EVERY) {
            world.check_calm()?;
        }
    }
    world.heal()?;
    loop {
        steps += 1;
        if steps.is_multiple_of(LOOK_EVERY) && world.advance_closing()? {
            break;
        }
        if !world.step()? {
            let what = "nothing is left to happen, and the core is not settled".to_owned();
            return Err(Failure::new(FailureKind::Liveness, "liveness", what));
        }
    }
    world.finish()
}

fn hash_of(setup: &Setup) -> u64 {
    xxh3_64(&serde_json::to_vec(setup).unwrap_or_default())
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without words").to_owned()
}

impl RunReport {
    /// One line that can be pasted to run the seed again; none if nothing failed.
    #[must_use]
    pub fn failure_line(&self) -> Option<String> {
        let failure = self.failure.as_ref()?;
        let again = match self.is_edited {
            false => format!("cargo sim replay {}", self.seed),
            true => format!("cargo sim replay FILE, with this edited setup of seed {}", self.seed),
        };
        Some(format!(
            "FAILED [{}] {}: {} | event {} at {}us, fingerprint {:016x}, configuration {:016x} | {again}",
            failure.kind.name(),
            failure.oracle,
            failure.what,
            failure.event,
            failure.time,
            self.fingerprint,
            self.configuration_hash,
        ))
    }

    /// Operations by how they ended: ok, failed, unknown.
    #[must_use]
    pub fn operations(&self) -> (u64, u64, u64) {
        let count = |effect| self.counts.get(effect);
        (count(Effect::OpsOk), count(Effect::OpsFailed), count(Effect::OpsUnknown))
    }

    /// Everything but the trace, as one JSON object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let failure = self.failure.as_ref().map(|failure| {
            json!({
                "kind": failure.kind,
                "oracle": failure.oracle,
                "what": failure.what,
                "event": failure.event,
                "time": failure.time,
            })
        });
        let counts: BTreeMap<_, _> = self.counts.to_map();
        json!({
            "v": 1,
            "seed": self.seed,
            "configuration": format!("{:016x}", self.configuration_hash),
            "fingerprint": format!("{:016x}", self.fingerprint),
            "mode": self.setup.mode,
            "voters": self.setup.voters,
            "lives": self.setup.lives,
            "events": self.events,
            "virtual_time": self.virtual_time,
            "settled_in": self.settled_in,
            "longest_still": self.longest_still,
            "counts": counts,
            "marks": self.marks.to_map(),
            "measures": self.measures.to_map(),
            "failure": failure,
        })
    }
}

impl fmt::Display for RunReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ok, failed, unknown) = self.operations();
        let setup = &self.setup;
        writeln!(
            f,
            "seed {}: {} voters, {:?}, {} faults planned, election timeout {} ms",
            self.seed,
            setup.voters,
            setup.mode,
            setup.faults.len(),
            setup.settings.election_timeout / 1_000
        )?;
        writeln!(
            f,
            "{} events, {}.{:06} s of virtual time, settled in {}.{:02} election timeouts",
            self.events,
            self.virtual_time / 1_000_000,
            self.virtual_time % 1_000_000,
            self.settled_in / 100,
            self.settled_in % 100
        )?;
        writeln!(f, "operations: {ok} answered, {failed} without effect, {unknown} unknown")?;
        writeln!(f, "fingerprint {:016x}, configuration {:016x}", self.fingerprint, self.configuration_hash)?;
        for (name, count) in self.counts.to_map().into_iter().filter(|(_, count)| *count > 0) {
            writeln!(f, "  {count:>9} {name}")?;
        }
        match self.failure_line() {
            Some(line) => writeln!(f, "{line}"),
            None => writeln!(f, "ok"),
        }
    }
}
