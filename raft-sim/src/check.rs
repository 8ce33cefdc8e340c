//! A linearizability checker, usable alone.
//!
//! A [`History`] says what the clients asked and were told, and when. A [`Model`] says what the object does when
//! nothing else runs; [`kv::KvModel`] is a key-value store. [`check`] decides whether the operations can be put in
//! one order that respects the clock and the model, and proves it: by a witness, which it has replayed through
//! the model, or by a minimal counterexample.
//!
//! Each independent part (a key) is decided by the first algorithm that applies:
//!
//! | part | algorithm | time |
//! |---|---|---|
//! | a register whose values (or versions) are unique | zones | O(n log n) |
//! | anything else | search | exponential at worst; bounded by a [`Budget`] |
//!
//! A verdict depends on the history alone, never on the clock or on how fast the machine is. An operation of
//! unknown outcome may take effect at any time after its call, or never. An undecided history is
//! [`Verdict::Unknown`], which is never a pass.

mod counterexample;
mod explain;
mod files;
mod history;
mod interner;
pub mod kv;
mod model;
mod part;
mod problem;
mod report;
mod search;
mod zones;

pub use counterexample::{Counterexample, ShownOperation};
pub use files::{FileModel, InputError, InputProblem, check_file, export, read_file, read_history};
pub use history::{Event, EventKind, History, HistoryError, OperationId, Outcome, ProcessId, Record, Stamp};
pub use model::{Access, Call, Model, Register, Seen};
pub use report::{HistoryStats, Method, PartReport, Report, Verdict, Witness};

use explain::explain;
use part::{Decision, Part, parts};

/// How much may be spent on searching: configurations, never time, so that a verdict is the same everywhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    /// Configurations of all parts together. A configuration takes about 50 bytes.
    pub configurations: u64,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget { configurations: 10_000_000 }
    }
}

/// What each undecided part gets in the first round; a part gets twice as much in each further round.
const ROUND_FIRST: u64 = 4096;

/// Decides whether a history is linearizable.
///
/// The budget is dealt out in rounds to all undecided parts, so a hard part can't hide an easy violation.
///
/// # Panics
/// If a witness doesn't replay through the model: a bug of the checker, or a model whose `register` view or
/// `read_only` contradicts its `step`.
pub fn check<M: Model>(mut model: M, history: &History<M::Operation, M::Answer>, budget: Budget) -> Report {
    let calls: Vec<_> = part::possible_calls(history).collect();
    model.prepare(&calls);
    drop(calls);
    let mut parts = parts(&model, history);
    let spent = decide_all(&model, &mut parts, budget);
    let reports = parts.iter().map(Part::report).collect();
    let verdict = verdict(&model, history, &parts, spent);
    Report { verdict, parts: reports, stats: HistoryStats::of(history), spent }
}

/// Decides the parts, or spends the budget. Stops after the round that finds a violation.
fn decide_all<M: Model>(model: &M, parts: &mut [Part<'_, M>], budget: Budget) -> u64 {
    for part in parts.iter_mut() {
        part.try_zones();
    }
    let mut spent = 0;
    let mut share = ROUND_FIRST;
    loop {
        let violated = parts.iter().any(|part| matches!(part.decision, Decision::Illegal { .. }));
        let mut progress = false;
        for part in parts.iter_mut() {
            let open = matches!(part.decision, Decision::Open);
            if violated || !open || spent >= budget.configurations {
                continue;
            }
            spent += part.search(model, share.min(budget.configurations - spent));
            progress = true;
        }
        if !progress {
            return spent;
        }
        share = share.saturating_mul(2);
    }
}

fn verdict<M: Model>(
    model: &M,
    history: &History<M::Operation, M::Answer>,
    parts: &[Part<'_, M>],
    spent: u64,
) -> Verdict {
    let mut undecided = None;
    let mut orders = Vec::with_capacity(parts.len());
    for part in parts {
        match &part.decision {
            Decision::Legal(order) => {
                part.certify(model, order);
                let ids = order.iter().map(|index| part.id(*index)).collect();
                orders.push((part.name.clone(), ids));
            }
            Decision::Illegal { hint, at_least } => {
                return Verdict::Violation(Box::new(explain(model, history, part, hint, *at_least)));
            }
            Decision::Open | Decision::Exhausted => {
                undecided = undecided.or(Some(part.name.clone()));
            }
        }
    }
    match undecided {
        Some(partition) => Verdict::Unknown { spent, partition },
        None => Verdict::Linearizable { witness: Witness { parts: orders } },
    }
}
