//! Clients of the key-value store: hot keys, unique values, and a history that is checked.

use std::sync::Arc;

use crate::check::kv::{Action, Answer as Told, KvHistory, KvModel, Operation, stats};
use crate::check::{Budget, ProcessId, Stamp, Verdict, check};
use crate::check::{HistoryError, OperationId};
use crate::choices::Draw;
use crate::failure::{Failure, FailureKind};
use crate::kv::{Command, Key, Kv, Query, Response, Versioned};
use crate::swarm::LoadSetup;
use crate::workload::{Answer, AnswerOf, Ask, AskOf, At, OperationHandle, Witnessed, Workload};

/// What the checker may spend on one history. A key of a run has a few hundred operations.
const BUDGET: Budget = Budget { configurations: 2_000_000 };

/// A hot key is left for a new one after so much of its history is unknown. Each mutation that may or may not have
/// happened doubles what the checker may have to search; with few of them on each key, no history is undecided.
const AMBIGUOUS_MAX: u32 = 4;

/// In the end each client reads so many keys at most: the hot ones, then those that were left last. (A run that leaves
/// hundreds of keys has few operations on each.)
const CLOSING_READS_MAX: u32 = 20;

/// The clients of the key-value store.
#[derive(Clone, Debug)]
pub struct KvWorkload {
    /// The hot keys at present.
    hot: Vec<Hot>,
    /// Keys used so far.
    keys: u32,
    weights: [u32; 5],
    history: KvHistory,
    operations: Vec<OperationId>,
    /// The last value written, to make the next one unique.
    values: i64,
    error: Option<HistoryError>,
}

/// A key that clients contend for.
#[derive(Clone, Copy, Debug)]
struct Hot {
    key: Key,
    /// A value that somebody saw or wrote: what a compare-and-set may expect.
    seen: Option<i64>,
    ambiguous: u32,
}

impl KvWorkload {
    /// Clients with this load.
    #[must_use]
    pub fn new(load: &LoadSetup) -> KvWorkload {
        let keys = load.keys.max(1);
        KvWorkload {
            hot: (0..keys).map(Hot::new).collect(),
            keys,
            weights: load.weights,
            history: KvHistory::new(),
            operations: Vec::new(),
            values: 0,
            error: None,
        }
    }

    /// Far apart, so that increments of one never reach another.
    fn fresh(&mut self) -> i64 {
        self.values += 1_000_000;
        self.values
    }

    fn hot(&mut self, key: &str) -> Option<&mut Hot> {
        let key = key.parse().ok()?;
        self.hot.iter_mut().find(|hot| hot.key == Key(key))
    }

    /// A mutation's outcome is unknown: a key with too many of them is left.
    fn tire(&mut self, id: OperationId) {
        let Operation { key, action } = self.history.records()[id.index()].operation.clone();
        let cost = match action {
            Action::Increment(_) => AMBIGUOUS_MAX,
            Action::Delete => 2,
            // Their values are unique: a reader tells whether they happened.
            Action::Put(_) | Action::CompareAndSet { .. } | Action::Append(_) => 1,
            Action::Get => 0,
        };
        let next = self.keys;
        let Some(hot) = self.hot(&key) else { return };
        hot.ambiguous += cost;
        if hot.ambiguous >= AMBIGUOUS_MAX {
            *hot = Hot::new(next);
            self.keys += 1;
        }
    }

    fn note<T>(&mut self, result: Result<T, HistoryError>) {
        if let Err(error) = result {
            self.error.get_or_insert(error);
        }
    }
}

impl Hot {
    fn new(key: u32) -> Hot {
        Hot { key: Key(key), seen: None, ambiguous: 0 }
    }
}

fn text(value: i64) -> Arc<str> {
    value.to_string().into()
}

fn operation(ask: &AskOf<Kv>) -> Operation {
    match ask {
        Ask::Query(Query::Get { key }) => Operation::get(key.0.to_string()),
        Ask::Command(Command::Put { key, value }) => Operation::put(key.0.to_string(), text(*value)),
        Ask::Command(Command::Delete { key }) => {
            Operation { key: key.0.to_string().into(), action: Action::Delete }
        }
        Ask::Command(Command::CompareAndSet { key, expected, new }) => {
            Operation::compare_and_set(key.0.to_string(), expected.map(text), text(*new))
        }
        Ask::Command(Command::Increment { key, by }) => Operation::increment(key.0.to_string(), *by),
    }
}

fn told(action: &Action, answer: &AnswerOf<Kv>) -> (Told, Versioned) {
    match answer {
        Answer::Answer(held) => {
            (Told::Got { value: held.value.map(text), version: Some(held.version.0) }, *held)
        }
        Answer::Response(Response::Changed(held)) => {
            let version = Some(held.version.0);
            let told = match action {
                Action::Increment(_) => Told::Sum { value: held.value.unwrap_or_default(), version },
                Action::Get
                | Action::Put(_)
                | Action::Append(_)
                | Action::Delete
                | Action::CompareAndSet { .. } => Told::Done { version },
            };
            (told, *held)
        }
        Answer::Response(Response::Mismatch(held)) => {
            (Told::Mismatch { saw: held.value.map(text), version: Some(held.version.0) }, *held)
        }
    }
}

impl Workload<Kv> for KvWorkload {
    fn ask(&mut self, draw: &mut Draw<'_>, _client: u32) -> AskOf<Kv> {
        let Hot { key, seen, .. } = self.hot[draw.below(self.hot.len() as u64) as usize];
        let total: u64 = self.weights.iter().map(|weight| u64::from(*weight)).sum();
        let mut left = draw.below(total.max(1));
        let kind = self.weights.iter().position(|weight| {
            let hit = left < u64::from(*weight);
            left = left.saturating_sub(u64::from(*weight));
            hit
        });
        // A guess that is often right, and sometimes stale or wrong.
        let guess = draw.below(8);
        match kind {
            Some(0) => Ask::Command(Command::Put { key, value: self.fresh() }),
            Some(1) => Ask::Command(Command::Delete { key }),
            Some(2) => {
                let expected = if guess == 0 { None } else { seen };
                Ask::Command(Command::CompareAndSet { key, expected, new: self.fresh() })
            }
            Some(3) => Ask::Command(Command::Increment { key, by: 1 + guess as i64 }),
            Some(_) | None => Ask::Query(Query::Get { key }),
        }
    }

    fn closing(&mut self, _draw: &mut Draw<'_>, client: u32, clients: u32, step: u32) -> Option<AskOf<Kv>> {
        let Some(number) = step.checked_sub(1) else {
            let key = self.hot[client as usize % self.hot.len()].key;
            return Some(Ask::Command(Command::Put { key, value: self.fresh() }));
        };
        if number >= CLOSING_READS_MAX {
            return None;
        }
        let is_hot = |key: &Key| self.hot.iter().any(|hot| hot.key == *key);
        let left = (0..self.keys).rev().map(Key).filter(|key| !is_hot(key));
        let mut keys = self.hot.iter().map(|hot| hot.key).chain(left);
        keys.nth((client + number * clients) as usize).map(|key| Ask::Query(Query::Get { key }))
    }

    fn invoked(&mut self, process: u64, ask: &AskOf<Kv>, at: At) -> OperationHandle {
        let stamp = Stamp { time: at.time, sequence: at.sequence };
        match self.history.invoke(ProcessId(process), operation(ask), stamp) {
            Ok(id) => {
                self.operations.push(id);
                self.operations.len() as u64 - 1
            }
            Err(error) => {
                self.error.get_or_insert(error);
                u64::MAX
            }
        }
    }

    fn answered(&mut self, operation: OperationHandle, answer: &AnswerOf<Kv>, at: At) {
        let Some(id) = self.operations.get(operation as usize).copied() else { return };
        let record = &self.history.records()[id.index()];
        let (told, held) = told(&record.operation.action, answer);
        let key = record.operation.key.clone();
        if let Some(hot) = self.hot(&key) {
            hot.seen = held.value;
        }
        let result = self.history.ok(id, told, Stamp { time: at.time, sequence: at.sequence });
        self.note(result);
    }

    fn failed(&mut self, operation: OperationHandle) {
        if let Some(id) = self.operations.get(operation as usize).copied() {
            let result = self.history.fail(id);
            self.note(result);
        }
    }

    fn unknown(&mut self, operation: OperationHandle) {
        if let Some(id) = self.operations.get(operation as usize).copied() {
            let result = self.history.unknown(id);
            self.note(result);
            self.tire(id);
        }
    }

    fn verdict(&self) -> Result<Witnessed, Failure> {
        if let Some(error) = &self.error {
            return Err(Failure::new(FailureKind::Gate, "history", error.to_string()));
        }
        match check(KvModel::new(), &self.history, BUDGET).verdict {
            Verdict::Linearizable { .. } => {
                let reads_of_others = stats(&self.history).reads_of_others.unwrap_or(0);
                Ok(Witnessed { reads_of_others })
            }
            Verdict::Violation(found) => {
                let what = format!("key {}: {}", found.part, found.sentence);
                Err(Failure::new(FailureKind::Linearizability, "linearizability", what))
            }
            Verdict::Unknown { spent, partition } => {
                let what = format!("key {partition}: undecided after {spent} configurations");
                Err(Failure::new(FailureKind::Undecided, "linearizability", what))
            }
        }
    }
}
