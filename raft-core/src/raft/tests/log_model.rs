//! The log against a naive model: a plain vector, searched from one end to the other.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::cluster::command;
use crate::entry::{Entry, entries_size};
use crate::raft::log::Log;
use crate::types::{Index, LogId, Term};

/// Entries after a base, found by looking at each.
struct Model {
    base: LogId,
    entries: Vec<Entry>,
}

impl Model {
    fn ids(&self) -> Vec<LogId> {
        core::iter::once(self.base).chain(self.entries.iter().map(Entry::id)).collect()
    }

    fn term_at(&self, index: Index) -> Option<Term> {
        self.ids().into_iter().find(|id| id.index == index).map(|id| id.term)
    }

    /// The last entry whose index and term are both within those of `at`.
    fn agreement_hint(&self, at: LogId) -> Option<LogId> {
        let fits = |id: &LogId| id.index <= at.index && id.term <= at.term;
        self.ids().into_iter().rev().find(fits)
    }

    fn slice(&self, from: Index, through: Index, bytes_max: u64) -> Vec<Entry> {
        let within: Vec<Entry> = self
            .entries
            .iter()
            .filter(|entry| entry.index >= from && entry.index <= through)
            .cloned()
            .collect();
        let fits = |count: &usize| *count <= 1 || entries_size(&within[..*count]) <= bytes_max;
        let count = (0..=within.len()).rev().find(fits).unwrap_or(0);
        if from > self.base.index { within[..count].to_vec() } else { Vec::new() }
    }
}

/// Terms that never fall, in runs.
fn terms() -> impl Strategy<Value = Vec<u64>> {
    proptest::collection::vec(prop_oneof![4 => Just(0_u64), 1 => 1_u64..3], 0..30).prop_map(|steps| {
        let grow = |term: &mut u64, step: u64| {
            *term += step;
            Some(*term)
        };
        steps.into_iter().scan(1, grow).collect()
    })
}

fn build(base: u64, terms: &[u64]) -> (Log, Model) {
    let base = if base == 0 { LogId::default() } else { LogId { term: Term(1), index: Index(base) } };
    let entries: Vec<Entry> =
        terms.iter().zip(base.index.0 + 1..).map(|(term, index)| command(*term, index)).collect();
    let mut log = Log::new(base, base, Vec::new(), Vec::new());
    for entry in &entries {
        log.append(entry.clone());
    }
    (log, Model { base, entries })
}

fn check(log: &Log, model: &Model) {
    let ids = model.ids();
    assert_eq!(Some(log.last()), ids.last().copied());
    assert_eq!(log.bytes(), entries_size(&model.entries));
    assert!(log.iter().eq(&model.entries));
    let start = model.base.index.0.saturating_sub(2);
    for index in (start..log.last().index.0 + 3).map(Index) {
        assert_eq!(log.term_at(index), model.term_at(index), "term at {index}");
        assert_eq!(
            log.iter().find(|entry| entry.index == index),
            model.entries.iter().find(|entry| entry.index == index)
        );
        for term in (0..log.last().term.0 + 2).map(Term) {
            let id = LogId { term, index };
            assert_eq!(log.holds(id), ids.contains(&id), "holds {id}");
            assert_eq!(log.agreement_hint(id), model.agreement_hint(id), "hint at {id}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_answers_like_a_plain_vector(base in 0_u64..5, terms in terms(), cut in 0_u64..35, more in terms()) {
        let (mut log, mut model) = build(base, &terms);
        check(&log, &model);
        let from = Index(base + 1 + cut);
        log.truncate_from(from);
        model.entries.retain(|entry| entry.index < from);
        check(&log, &model);
        let last = log.last();
        for (step, index) in more.iter().zip(last.index.0 + 1..) {
            let entry = command(last.term.0.max(1) + step - 1, index);
            log.append(entry.clone());
            model.entries.push(entry);
        }
        check(&log, &model);
    }

    #[test]
    fn it_slices_like_a_plain_vector(
        base in 0_u64..5,
        terms in terms(),
        from in 0_u64..40,
        through in 0_u64..40,
        bytes_max in 0_u64..400,
    ) {
        let (mut log, model) = build(base, &terms);
        let (from, through) = (Index(from), Index(through));
        let expected = model.slice(from, through, bytes_max);
        let bytes = entries_size(&expected);
        prop_assert_eq!(log.slice(from, through, bytes_max, bytes_max * 3), (expected.into(), bytes));
    }

    /// Runs that are at hand from earlier change nothing: not after a truncation, nor after the beginning went.
    #[test]
    fn it_slices_alike_whatever_was_asked_before(
        base in 0_u64..5,
        terms in terms(),
        steps in proptest::collection::vec((0_u8..12, 0_u64..12, 0_u64..12, 0_u64..900), 1..60),
    ) {
        let (mut log, mut model) = build(base, &terms);
        for (what, a, b, bytes_max) in steps {
            // Near the end, where runs are.
            let last = log.last();
            let near = Index(last.index.0.saturating_sub(a).max(model.base.index.0));
            match what {
                0 | 1 => {
                    let next = last.index.0 + 1;
                    let run: Vec<Entry> =
                        (next..next + b).map(|index| command(last.term.0.max(1) + a % 2, index)).collect();
                    run.iter().for_each(|entry| log.append(entry.clone()));
                    log.remember(&run.clone().into());
                    model.entries.extend(run);
                }
                2 | 3 => {
                    log.truncate_from(near.next());
                    model.entries.retain(|entry| entry.index <= near);
                }
                4 if a > 6 => {
                    log.discard_through(log.id_at(near).expect("the log holds it"));
                    model.base = model.ids().into_iter().find(|id| id.index == near).expect("so does the model");
                    model.entries.retain(|entry| entry.index > near);
                }
                5 if a > 6 => log.evict(near, 0),
                _ => {
                    let (from, through) = (near.next(), Index(near.0 + b));
                    let expected =
                        if from < log.cached_from() { Vec::new() } else { model.slice(from, through, bytes_max) };
                    let bytes = entries_size(&expected);
                    prop_assert_eq!(log.slice(from, through, bytes_max, bytes_max * 3), (expected.into(), bytes));
                }
            }
            let is_held = |entry: &Entry| {
                entry.index >= log.cached_from() && log.iter().any(|held| held == entry)
            };
            prop_assert!(log.recent().flatten().all(is_held), "what is at hand is in memory");
        }
    }

    /// No run at hand has entries that were let go from memory.
    #[test]
    fn what_is_let_go_from_memory_is_not_at_hand(terms in terms(), asked in 1_u64..30, evicted in 0_u64..30, from in 1_u64..30) {
        let (mut log, model) = build(0, &terms);
        let run = log.slice(Index(asked), log.last().index, u64::MAX, 0).0;
        prop_assert_eq!(&*run, &model.slice(Index(asked), log.last().index, u64::MAX)[..]);
        log.evict(Index(evicted), 0);
        let first = log.cached_from();
        prop_assert_eq!(log.recent().count(), usize::from(!run.is_empty() && asked >= first.0));
        let expected = if from < first.0 { Vec::new() } else { model.slice(Index(from), log.last().index, 99) };
        prop_assert_eq!(log.slice(Index(from), log.last().index, 99, 0).0, expected.into());
    }

    /// The rule of fast backtracking: what two logs agree on is never above the hint that either gives.
    #[test]
    fn a_hint_never_skips_an_agreement(shared in terms(), one in terms(), two in terms()) {
        let shift = |tail: &[u64], by: u64| -> Vec<u64> { tail.iter().map(|term| term * 2 + by).collect() };
        let top = shared.last().copied().unwrap_or(0) + 1;
        let log = |tail: Vec<u64>| build(0, &[shared.clone(), tail].concat()).0;
        // Odd and even terms: the tails never agree.
        let (leader, follower) = (log(shift(&one, top * 2)), log(shift(&two, top * 2 + 1)));
        let mut at = leader.last();
        let mut trips = 0;
        while !follower.holds(at) {
            let below = LogId { term: at.term, index: at.index.previous() };
            let hint = follower.agreement_hint(below).expect("both logs start at 1");
            let next = leader.agreement_hint(hint).expect("both logs start at 1");
            prop_assert!(next.index < at.index && next.index.0 >= shared.len() as u64);
            (at, trips) = (next, trips + 1);
        }
        let distinct: alloc::collections::BTreeSet<&u64> = one.iter().collect();
        prop_assert!(trips <= distinct.len(), "{} trips for {} terms", trips, distinct.len());
    }
}
