//! From "there is no order" to the few operations that show it.

use super::counterexample::{Counterexample, ShownOperation, sentence};
use super::history::{History, Outcome};
use super::model::Model;
use super::part::{AnyMachine, Part};
use super::problem::{NEVER, Op, Problem};
use super::search::{Progress, Search};
use super::zones::{self, Zones};

/// What finding the earliest event may cost, in multiples of what the verdict cost.
const EARLIEST_FACTOR: u64 = 8;

/// The least that one question may cost, in configurations.
const TRIAL_MIN: u64 = 1_000;

/// What shrinking may cost altogether, in configurations; a question counts for at least `TRIAL_COST`.
const SHRINK_MAX: u64 = 40_000;

/// What it costs to ask, whatever the answer.
const TRIAL_COST: u64 = 40;

/// Answers whether there is certainly no order, within a budget. An answer that would cost more counts as "perhaps".
struct Judge<'j, 'p, M: Model> {
    machine: &'j mut AnyMachine<'p, M>,
    left: u64,
    trial: u64,
}

impl<M: Model> Judge<'_, '_, M> {
    fn illegal(&mut self, problem: &Problem) -> bool {
        match zones::decide(problem) {
            Zones::Legal(_) => return false,
            Zones::Illegal(_) => return true,
            Zones::NotApplicable => {}
        }
        let mut search = Search::new(problem, self.machine);
        let progress = search.run(self.machine, self.trial.min(self.left));
        self.left = self.left.saturating_sub(search.spent() + TRIAL_COST);
        match progress {
            Progress::Illegal(_) => true,
            Progress::Legal(_) | Progress::Open | Progress::Exhausted => false,
        }
    }
}

/// Finds the earliest event without an order, and a minimal set of operations that shows it.
pub(crate) fn explain<M: Model>(
    model: &M,
    history: &History<M::Operation, M::Answer>,
    part: &Part<'_, M>,
    hint: &[u32],
    at_least: u32,
) -> Counterexample {
    let mut machine = part.machine(model);
    let cost = part.spent() + TRIAL_MIN;
    let mut judge = Judge { machine: &mut machine, left: cost * EARLIEST_FACTOR, trial: cost };
    let earliest = earliest(&part.problem, &mut judge, hint, at_least);
    let cut = part.problem.cut(earliest);
    let hinted: Vec<u32> = hint.iter().map(|index| part.problem.ops[*index as usize].source).collect();
    judge = Judge { machine: &mut machine, left: SHRINK_MAX, trial: TRIAL_MIN };
    let essential = shrink(&cut, &mut judge, &hinted);
    let ops: Vec<Op> = essential.ops.iter().filter(|op| !op.optional()).copied().collect();
    let shown = ops.iter().map(|op| {
        let id = part.source_id(op.source);
        let record = &history.records()[id.index()];
        let returned = match &record.outcome {
            Outcome::Ok { at, .. } => Some(*at),
            Outcome::Open | Outcome::Failed | Outcome::Unknown => None,
        };
        ShownOperation {
            id,
            process: record.process,
            call: record.call,
            returned,
            text: model.describe(part.call(op.source)),
            positions: (op.call, op.ret),
        }
    });
    let operations: Vec<ShownOperation> = shown.collect();
    let last = operations.iter().position(|shown| shown.positions.1 == earliest);
    let last = last.unwrap_or(operations.len().saturating_sub(1));
    let sentence = sentence(&part.name, &operations, last, &ops, &part.problem);
    let called = part.problem.ops.iter().filter(|op| op.call <= earliest).count();
    let others = called - ops.len();
    Counterexample { part: part.name.clone(), operations, last, others: others as u64, sentence }
}

/// The position of the first return that no order can include, whatever the operations open then do.
///
/// Cutting later keeps what is illegal illegal, so this is a binary search.
fn earliest<M: Model>(problem: &Problem, judge: &mut Judge<'_, '_, M>, hint: &[u32], at_least: u32) -> u32 {
    let mut returns: Vec<u32> =
        problem.ops.iter().map(|op| op.ret).filter(|ret| *ret != NEVER && *ret >= at_least).collect();
    returns.sort_unstable();
    // The operations of a hint exclude each other once all of them have returned.
    let hinted = hint.iter().map(|index| problem.ops[*index as usize].ret).filter(|ret| *ret != NEVER).max();
    if let Some(known) = hinted
        && judge.illegal(&problem.cut(known))
    {
        returns.retain(|ret| *ret <= known);
    }
    // Gallop from the first candidate, which a search has mostly got right.
    let mut low = 0;
    let mut high = returns.len().saturating_sub(1);
    if hint.is_empty() {
        let mut step = 1;
        let mut probe = 0;
        while probe < high {
            if judge.illegal(&problem.cut(returns[probe])) {
                high = probe;
                break;
            }
            low = probe + 1;
            probe += step;
            step *= 2;
        }
    }
    while low < high {
        let middle = (low + high) / 2;
        if judge.illegal(&problem.cut(returns[middle])) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    returns.get(high).copied().unwrap_or(NEVER - 1)
}

/// Frees as many operations as possible from having to happen, while there still is no order.
///
/// Operations are never taken away if somebody may have seen their effect: that would make innocent readers look
/// guilty.
fn shrink<M: Model>(cut: &Problem, judge: &mut Judge<'_, '_, M>, hinted: &[u32]) -> Problem {
    let mut best = cut.clone();
    if !hinted.is_empty() {
        let weak = cut.weakened(|op| hinted.contains(&op.source));
        if judge.illegal(&weak) {
            best = weak;
        }
    }
    // Readers go first: then the writes that only they saw are free as well.
    for readers in [true, false] {
        let mut size = bound(&best, readers).len().div_ceil(2).max(1);
        loop {
            let mut position = 0;
            loop {
                let sources = bound(&best, readers);
                if position >= sources.len() || judge.left == 0 {
                    break;
                }
                let end = (position + size).min(sources.len());
                let freed = &sources[position..end];
                let weak = best.weakened(|op| freed.binary_search(&op.source).is_err());
                if judge.illegal(&weak) {
                    best = weak;
                } else {
                    position = end;
                }
            }
            if size == 1 {
                break;
            }
            size = size.div_ceil(2);
        }
    }
    best
}

/// The operations that must happen, by source, which is also the order of their calls.
fn bound(problem: &Problem, readers: bool) -> Vec<u32> {
    let bound = problem.ops.iter().filter(|op| !op.optional() && op.read_only == readers);
    bound.map(|op| op.source).collect()
}
