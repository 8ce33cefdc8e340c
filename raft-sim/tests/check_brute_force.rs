//! The checker against a brute force that shares nothing with it: every order of every subset, tried in turn.
#![allow(clippy::unwrap_used, reason = "the helpers are tests too")]

use raft_sim::check::kv::{Action, Answer, KvHistory, KvModel, Operation, Value};
use raft_sim::check::{Budget, ProcessId, Stamp, Verdict, check};

#[path = "brute_force/oracle.rs"]
pub mod oracle;

use oracle::{Plain, audit, brute_force, claimed, honest, items, show};

/// A small random generator (xorshift64*): the same numbers everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// What kind of histories to make.
#[derive(Clone, Copy)]
struct Recipe {
    operations_max: u64,
    processes: u64,
    keys: u64,
    times: u64,
    unique: bool,
    versions: bool,
    actions: &'static [u8],
    pending: u64,
    lies: u64,
}

fn value(random: &mut Random, recipe: &Recipe, fresh: &mut u64) -> Value {
    if recipe.unique && random.chance(95) {
        *fresh += 1;
        return format!("v{fresh}").into();
    }
    ["0", "1", "2", "x"][random.below(4) as usize].into()
}

fn make_operation(random: &mut Random, recipe: &Recipe, fresh: &mut u64, known: &[Value]) -> Operation {
    let key = ["a", "b"][random.below(recipe.keys) as usize];
    let any = |random: &mut Random| {
        let pick = random.below(known.len() as u64 + 1) as usize;
        known.get(pick).cloned()
    };
    match recipe.actions[random.below(recipe.actions.len() as u64) as usize] {
        b'p' => Operation::put(key, value(random, recipe, fresh)),
        b'd' => Operation::delete(key),
        b'c' => {
            let expected = any(random);
            Operation::compare_and_set(key, expected, value(random, recipe, fresh))
        }
        b'i' => Operation::increment(key, random.below(3) as i64),
        b'a' => Operation::append(key, value(random, recipe, fresh)),
        _ => Operation::get(key),
    }
}

/// Changes an answer, so that the history is probably wrong.
fn lie(random: &mut Random, answer: &mut Answer, known: &[Value]) {
    let other = known.get(random.below(known.len() as u64 + 1) as usize).cloned();
    let old = random.chance(30);
    match answer {
        Answer::Got { value, version } | Answer::Mismatch { saw: value, version } => {
            *value = other;
            if version.is_some() && old {
                *version = Some(random.below(6) + 1);
            }
        }
        Answer::Done { .. } | Answer::MismatchUnseen => {}
        Answer::Sum { value, .. } => *value = random.below(4) as i64,
    }
}

struct Planned {
    process: u64,
    call: u64,
    point: u64,
    ret: u64,
    operation: Operation,
    answer: Option<Answer>,
}

/// Runs random operations at random points of random intervals, then lies about some answers.
fn make(random: &mut Random, recipe: &Recipe) -> KvHistory {
    let (mut fresh, mut known) = (0, vec![Value::from("0"), Value::from("x")]);
    let mut clocks = vec![0; recipe.processes as usize];
    let mut planned: Vec<Planned> = Vec::new();
    for _ in 0..random.below(recipe.operations_max) + 1 {
        let process = random.below(recipe.processes);
        let clock = &mut clocks[process as usize];
        let call = *clock + random.below(recipe.times);
        let point = call + random.below(recipe.times);
        let ret = point + random.below(recipe.times);
        *clock = ret;
        let operation = make_operation(random, recipe, &mut fresh, &known);
        if let Action::Put(value) | Action::CompareAndSet { new: value, .. } = &operation.action {
            known.push(value.clone());
        }
        planned.push(Planned { process, call, point, ret, operation, answer: None });
    }
    planned.sort_by_key(|plan| plan.point);
    let mut held = [(None, None), (None, None)];
    let mut version = 0;
    for plan in &mut planned {
        version += 1;
        let cell = &mut held[usize::from(&*plan.operation.key == "b")];
        let pending = random.chance(recipe.pending);
        let happens = !pending || random.chance(60);
        if happens {
            let answer = honest(&plan.operation, cell, recipe.versions.then_some(version), random.chance(50));
            plan.answer = answer.filter(|_| !pending);
        }
        if let Some(answer) = &mut plan.answer
            && random.chance(recipe.lies)
        {
            lie(random, answer, &known);
        }
    }
    record(planned)
}

/// Records the plan; a client whose operation is pending goes on under a new number.
fn record(mut planned: Vec<Planned>) -> KvHistory {
    planned.sort_by_key(|plan| plan.call);
    let mut history = KvHistory::new();
    for (index, plan) in planned.into_iter().enumerate() {
        // One process an operation keeps the recorder out of the way: processes order nothing.
        let process = ProcessId(plan.process * 100 + index as u64);
        let id = history.invoke(process, plan.operation, Stamp::at(plan.call)).unwrap();
        match plan.answer {
            Some(answer) => history.ok(id, answer, Stamp::at(plan.ret)).unwrap(),
            None => history.unknown(id).unwrap(),
        }
    }
    history
}

/// Compares `count` histories; answers how many were violations.
fn compare(seed: u64, count: u64, recipe: Recipe) -> u64 {
    let mut random = Random(seed);
    let mut violations = 0;
    for round in 0..count {
        let history = make(&mut random, &recipe);
        let all = items(&history);
        let expected = brute_force(&all, &claimed(&all));
        violations += u64::from(!expected);
        let judge = |verdict: Verdict, way: &str| {
            assert!(!matches!(verdict, Verdict::Unknown { .. }));
            let got = verdict.is_linearizable();
            assert_eq!(got, expected, "{way}, seed {seed}, round {round}:\n{}", show(&history));
        };
        let verdict = check(KvModel::new(), &history, Budget::default()).verdict;
        if !expected
            && round % 8 == 0
            && let Verdict::Violation(found) = &verdict
        {
            audit(&history, found, true);
        }
        judge(verdict, "by key");
        if round % 16 == 0 {
            let whole = KvModel::new().without_parts();
            judge(check(whole, &history, Budget::default()).verdict, "as a whole");
            judge(check(Plain(KvModel::new()), &history, Budget::default()).verdict, "without hints");
        }
    }
    violations
}

const RECIPE: Recipe = Recipe {
    operations_max: 7,
    processes: 4,
    keys: 1,
    times: 3,
    unique: false,
    versions: false,
    actions: b"gggpp",
    pending: 15,
    lies: 15,
};

/// Runs a recipe and sees to it that both verdicts came up often.
fn run(seed: u64, count: u64, recipe: Recipe) {
    let violations = compare(seed, count, recipe);
    assert!(violations > count / 20, "only {violations} of {count} are violations");
    assert!(violations < count - count / 20, "{violations} of {count} are violations");
}

#[test]
fn registers_with_repeated_values() {
    run(1, 150_000, RECIPE);
}

#[test]
fn registers_with_unique_values() {
    run(2, 150_000, Recipe { unique: true, ..RECIPE });
}

#[test]
fn deletes_and_compare_and_sets() {
    run(3, 150_000, Recipe { actions: b"ggppcccd", ..RECIPE });
}

#[test]
fn chains_of_unique_compare_and_sets() {
    run(4, 150_000, Recipe { actions: b"ggpcccc", unique: true, ..RECIPE });
}

#[test]
fn increments_among_everything() {
    run(5, 150_000, Recipe { actions: b"ggpciiid", ..RECIPE });
}

#[test]
fn counters() {
    run(6, 50_000, Recipe { actions: b"giii", lies: 25, ..RECIPE });
}

#[test]
fn appends() {
    run(7, 30_000, Recipe { actions: b"ggaapd", ..RECIPE });
}

#[test]
fn versions_of_everything() {
    run(8, 100_000, Recipe { actions: b"gggppcid", versions: true, ..RECIPE });
}

#[test]
fn two_keys_and_more_clients() {
    run(9, 50_000, Recipe { actions: b"gggppcd", keys: 2, processes: 6, operations_max: 9, ..RECIPE });
}

#[test]
fn versions_of_unique_values() {
    run(10, 100_000, Recipe { actions: b"ggggppcd", versions: true, unique: true, lies: 10, ..RECIPE });
}
