//! The checker against brute force: small histories of few keys, of which some answers are lies. Zones where values are
//! unique, the search everywhere, by key and over the whole; all say what trying every order says.
//!
//! The input is a head of one byte, and then operations of six bytes each: what, its value, when it is called, when it
//! takes effect and returns, how it ends, and with which lie.

use raft_sim::check::kv::{Answer, KvHistory, KvModel, Operation, Value};
use raft_sim::check::{Budget, ProcessId, Report, Stamp, Verdict, check};

#[path = "../../raft-sim/tests/brute_force/oracle.rs"]
pub mod oracle;

use oracle::{Held, Plain, audit, brute_force, claimed, honest, items, show};

/// Operations of one history at most: every order of them is tried.
const OPERATIONS_MAX: usize = 8;
/// With so few, no question that shrinking asks costs more than its budget (1,000 configurations; five operations have
/// 326 orders of subsets).
const MINIMAL_MAX: usize = 5;
/// Bytes of an operation.
const OPERATION_BYTES: usize = 6;

/// Judges the history that the input describes.
///
/// # Panics
/// If the checker and the brute force disagree, or a counterexample is none.
pub fn run(input: &[u8]) {
    let Some((head, rest)) = input.split_first() else { return };
    let history = history(*head, rest);
    let all = items(&history);
    let expected = brute_force(&all, &claimed(&all));
    let budget = Budget::default();
    let judge = |report: Report, way: &str| {
        assert!(
            !matches!(report.verdict, Verdict::Unknown { .. }),
            "{way} is undecided:\n{}",
            show(&history)
        );
        let found = report.verdict.is_linearizable();
        assert_eq!(found, expected, "{way}, against brute force:\n{}", show(&history));
        if let Verdict::Violation(found) = &report.verdict {
            audit(&history, found, all.len() <= MINIMAL_MAX);
        }
    };
    judge(check(KvModel::new(), &history, budget), "by key");
    judge(check(Plain(KvModel::new()), &history, budget), "without hints");
    let whole = check(KvModel::new().without_parts(), &history, budget).verdict;
    assert_eq!(whole.is_linearizable(), expected, "as a whole, against brute force:\n{}", show(&history));
}

/// An operation on its way into a history.
struct Planned {
    call: u64,
    point: u64,
    ret: u64,
    /// How it ends, and with which lie.
    end: [u8; 2],
    operation: Operation,
    answer: Option<Answer>,
}

impl Planned {
    /// What a byte says of an operation's end: answered, never answered, or failed.
    fn is_answered(&self) -> bool {
        self.end[0] < 176
    }

    /// Whether it takes effect.
    fn happens(&self) -> bool {
        self.end[0] < 208
    }
}

/// Runs the operations in the order of their points, lets some answers lie, and records what the clients saw.
fn history(head: u8, rest: &[u8]) -> KvHistory {
    let mut planned: Vec<Planned> =
        rest.chunks_exact(OPERATION_BYTES).take(OPERATIONS_MAX).enumerate().filter_map(plan).collect();
    planned.sort_by_key(|plan| plan.point);
    let mut held: [Held; 2] = [(None, None), (None, None)];
    for (plan, version) in planned.iter_mut().zip(1..) {
        if plan.happens() {
            let cell = &mut held[usize::from(&*plan.operation.key == "b")];
            let version = (head & 1 == 1).then_some(version);
            let answer = honest(&plan.operation, cell, version, plan.end[1] & 1 == 1);
            plan.answer = answer.filter(|_| plan.is_answered());
        }
        if let Some(answer) = plan.answer.as_mut().filter(|_| plan.end[0] >= 112) {
            lie(answer, plan.end[1]);
        }
    }
    planned.sort_by_key(|plan| plan.call);
    let mut history = KvHistory::new();
    for (plan, process) in planned.into_iter().zip(0..) {
        let failed = !plan.happens() && plan.end[0] >= 232;
        let id = history
            .invoke(ProcessId(process), plan.operation, Stamp::at(plan.call))
            .expect("its own process");
        match plan.answer {
            Some(answer) => history.ok(id, answer, Stamp::at(plan.ret)).expect("it is open"),
            None if failed => history.fail(id).expect("it is open"),
            None => history.unknown(id).expect("it is open"),
        }
    }
    history
}

fn plan((number, bytes): (usize, &[u8])) -> Option<Planned> {
    let [what, what_value, call, spans, end, lie] = *bytes else { return None };
    let key = if what & 0x80 == 0 { "a" } else { "b" };
    let new = || written(what_value, number);
    let operation = match what % 16 {
        0..=4 => Operation::get(key),
        5..=8 => Operation::put(key, new()),
        9..=11 => Operation::compare_and_set(key, seen(what_value >> 4), new()),
        12 => Operation::delete(key),
        13 | 14 => Operation::increment(key, i64::from(what_value % 4) - 1),
        _ => Operation::append(key, new()),
    };
    let call = u64::from(call % 32);
    let point = call + u64::from(spans & 7);
    let ret = point + u64::from(spans >> 3 & 7);
    Some(Planned { call, point, ret, end: [end, lie], operation, answer: None })
}

/// One of a few values, or one that nobody else writes.
fn written(byte: u8, number: usize) -> Value {
    match byte % 8 {
        0..=3 => ["0", "1", "2", "x"][usize::from(byte % 8)].into(),
        _ => format!("v{number}").into(),
    }
}

/// Any value that may be there, or none.
fn seen(byte: u8) -> Option<Value> {
    match byte % 16 {
        0..=3 => Some(["0", "1", "2", "x"][usize::from(byte % 16)].into()),
        4..=11 => Some(format!("v{}", byte % 16 - 4).into()),
        _ => None,
    }
}

/// Changes what an answer says.
fn lie(answer: &mut Answer, byte: u8) {
    match answer {
        Answer::Got { value, version } | Answer::Mismatch { saw: value, version } => {
            if byte & 0x20 == 0 {
                *value = seen(byte);
            }
            if version.is_some() && byte & 0x40 != 0 {
                *version = Some(u64::from(byte % 8) + 1);
            }
        }
        Answer::Sum { value, .. } => *value = i64::from(byte % 6) - 1,
        Answer::Done { .. } | Answer::MismatchUnseen => {}
    }
}
