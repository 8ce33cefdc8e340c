//! What a check tells.

use std::fmt;

use super::counterexample::Counterexample;
use super::history::{EventKind, History, OperationId, Outcome, Stamp};
use crate::failure::FailureKind;

/// Whether a history is linearizable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Yes, and here is an order.
    Linearizable {
        /// The order, already replayed through the model.
        witness: Witness,
    },
    /// No, and here is why.
    Violation(Box<Counterexample>),
    /// The budget or the memory was spent first. This is never a pass.
    Unknown {
        /// Configurations seen, of all parts.
        spent: u64,
        /// The first part that is undecided.
        partition: String,
    },
}

impl Verdict {
    /// Whether an order was found.
    pub fn is_linearizable(&self) -> bool {
        matches!(self, Verdict::Linearizable { .. })
    }

    /// The counterexample, if there is one.
    pub fn violation(&self) -> Option<&Counterexample> {
        match self {
            Verdict::Violation(counterexample) => Some(counterexample),
            Verdict::Linearizable { .. } | Verdict::Unknown { .. } => None,
        }
    }

    /// The exit code of `check`: 0 linearizable, 4 violation, 9 undecided (2 is left for malformed input).
    pub fn exit_code(&self) -> u8 {
        match self {
            Verdict::Linearizable { .. } => 0,
            Verdict::Violation(_) => FailureKind::Linearizability.exit_code(),
            Verdict::Unknown { .. } => FailureKind::Undecided.exit_code(),
        }
    }
}

/// For each part an order of its operations. Operations that failed, and pending ones that need not have
/// happened, are not in it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Witness {
    /// The parts by name.
    pub parts: Vec<(String, Vec<OperationId>)>,
}

/// How a part was decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// The fast path for unique values.
    Zones,
    /// The general search.
    Search,
}

/// One part of the object, and how it was decided.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartReport {
    /// Its name, such as the key.
    pub name: String,
    /// Its operations, without those that certainly failed.
    pub operations: u64,
    /// How it was decided.
    pub method: Method,
    /// The configurations that the search saw.
    pub spent: u64,
}

/// How much a history can show. A history without concurrency or without answers passes any check.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HistoryStats {
    /// All operations.
    pub operations: u64,
    /// Those that were answered.
    pub ok: u64,
    /// Those that certainly had no effect.
    pub failed: u64,
    /// Those of unknown outcome, or still open.
    pub pending: u64,
    /// The most operations open at one time; one of unknown outcome counts until its client gave up.
    pub concurrency_max: u64,
    /// Reads that saw what another process wrote, if the model can tell ([`super::kv::stats`] can).
    pub reads_of_others: Option<u64>,
}

impl HistoryStats {
    /// Counts what every history has.
    pub fn of<O, A>(history: &History<O, A>) -> HistoryStats {
        let mut stats = HistoryStats { operations: history.len() as u64, ..HistoryStats::default() };
        let mut last = Stamp::default();
        let mut events: Vec<(Stamp, EventKind)> = Vec::with_capacity(history.len() * 2);
        for event in history.events() {
            let record = &history.records()[event.id.index()];
            // The moment when a client gave up or failed has no stamp: take that of the event before it.
            let at = match (event.kind, &record.outcome) {
                (EventKind::Invoke, _) => record.call,
                (EventKind::End, Outcome::Ok { at, .. }) => *at,
                (EventKind::End, Outcome::Open | Outcome::Failed | Outcome::Unknown) => last.max(record.call),
            };
            last = at;
            events.push((at, event.kind));
        }
        if !events.is_sorted() {
            events.sort_unstable();
        }
        let mut open = 0u64;
        for (_, kind) in events {
            match kind {
                EventKind::Invoke => open += 1,
                EventKind::End => open -= 1,
            }
            stats.concurrency_max = stats.concurrency_max.max(open);
        }
        for record in history.records() {
            match record.outcome {
                Outcome::Ok { .. } => stats.ok += 1,
                Outcome::Failed => stats.failed += 1,
                Outcome::Open | Outcome::Unknown => stats.pending += 1,
            }
        }
        stats
    }
}

impl fmt::Display for HistoryStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} operations: {} ok, {} failed, {} pending; at most {} at a time",
            self.operations, self.ok, self.failed, self.pending, self.concurrency_max
        )?;
        if let Some(reads) = self.reads_of_others {
            write!(f, "; {reads} reads saw another process's write")?;
        }
        Ok(())
    }
}

/// A verdict with its circumstances. `Display` is meant for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// The verdict.
    pub verdict: Verdict,
    /// The parts, by name.
    pub parts: Vec<PartReport>,
    /// How much the history can show.
    pub stats: HistoryStats,
    /// The configurations that all searches saw.
    pub spent: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.stats)?;
        let zones = self.parts.iter().filter(|part| part.method == Method::Zones).count();
        let searched = self.parts.len() - zones;
        writeln!(
            f,
            "{} parts: {zones} by zones, {searched} by search ({} configurations)",
            self.parts.len(),
            self.spent
        )?;
        match &self.verdict {
            Verdict::Linearizable { .. } => writeln!(f, "linearizable"),
            Verdict::Violation(counterexample) => {
                writeln!(f, "NOT linearizable")?;
                writeln!(f)?;
                write!(f, "{counterexample}")
            }
            Verdict::Unknown { spent, partition } => writeln!(
                f,
                "UNDECIDED after {spent} configurations, at least in part {partition}; \
                 raise the budget or make the values unique"
            ),
        }
    }
}
