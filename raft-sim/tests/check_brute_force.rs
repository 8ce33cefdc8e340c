//! The checker against a brute force that shares nothing with it: every order of every subset, tried in turn.
#![allow(clippy::unwrap_used, reason = "the helpers are tests too")]

use raft_sim::check::kv::{Action, Answer, KvHistory, KvModel, Operation, Value};
use raft_sim::check::{
    Budget, Call, Counterexample, Model, OperationId, Outcome, ProcessId, Stamp, Verdict, check,
};

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

/// What the brute force knows of an operation.
#[derive(Clone)]
struct Item {
    id: OperationId,
    operation: Operation,
    answer: Option<Answer>,
    call: Stamp,
    /// `None`: it may happen at any time, or never.
    ret: Option<Stamp>,
}

type Held = (Option<Value>, Option<u64>);

/// What the operation does to a key that holds `held`; `None` if it can't give its answer.
fn apply(item: &Item, held: &Held, claimed: &[(Value, u64)]) -> Option<Held> {
    let shows = |value: &Option<Value>, version: &Option<u64>| {
        let told = |v: u64| match held.1 {
            Some(held) => held == v,
            None => !claimed.contains(&(item.operation.key.clone(), v)),
        };
        held.0 == *value && version.is_none_or(told)
    };
    let version = match &item.answer {
        Some(Answer::Done { version } | Answer::Sum { version, .. }) => *version,
        _ => None,
    };
    let number = match &held.0 {
        None => Some(0),
        Some(text) => text.parse::<i64>().ok(),
    };
    match (&item.operation.action, &item.answer) {
        (Action::Get, Some(Answer::Got { value, version })) => shows(value, version).then(|| held.clone()),
        (Action::Get, None) => Some(held.clone()),
        (Action::Put(value), _) => Some((Some(value.clone()), version)),
        (Action::Append(value), _) => {
            Some((Some(format!("{}{value}", held.0.as_deref().unwrap_or("")).into()), version))
        }
        (Action::Delete, _) => Some((None, version)),
        (Action::CompareAndSet { expected, new }, Some(Answer::Done { .. })) => {
            (held.0 == *expected).then(|| (Some(new.clone()), version))
        }
        (Action::CompareAndSet { expected, .. }, Some(Answer::MismatchUnseen)) => {
            (held.0 != *expected).then(|| held.clone())
        }
        (Action::CompareAndSet { expected, .. }, Some(Answer::Mismatch { saw, version })) => {
            (held.0 != *expected && shows(saw, version)).then(|| held.clone())
        }
        (Action::CompareAndSet { expected, new }, None) => {
            Some(if held.0 == *expected { (Some(new.clone()), None) } else { held.clone() })
        }
        (Action::Increment(by), Some(Answer::Sum { value, .. })) => {
            (number? + by == *value).then(|| (Some(value.to_string().into()), version))
        }
        (Action::Increment(by), None) => Some(match number {
            Some(number) => (Some((number + by).to_string().into()), None),
            None => held.clone(),
        }),
        _ => panic!("the generator makes no such answer"),
    }
}

/// Whether some order of the operations that must happen and some of the others explains all answers.
fn has_order(left: &mut Vec<Item>, held: &mut Vec<(Value, Held)>, claimed: &[(Value, u64)]) -> bool {
    if left.iter().all(|item| item.ret.is_none()) {
        return true;
    }
    for index in 0..left.len() {
        let first = left[index].clone();
        if left.iter().any(|other| other.ret.is_some_and(|ret| ret < first.call)) {
            continue;
        }
        let key = held.iter().position(|(key, _)| *key == first.operation.key).unwrap();
        let before = held[key].1.clone();
        if let Some(after) = apply(&first, &before, claimed) {
            left.remove(index);
            held[key].1 = after;
            if has_order(left, held, claimed) {
                return true;
            }
            held[key].1 = before;
            left.insert(index, first);
        }
    }
    false
}

fn brute_force(items: &[Item], claimed: &[(Value, u64)]) -> bool {
    let mut keys: Vec<Value> = items.iter().map(|item| item.operation.key.clone()).collect();
    keys.sort();
    keys.dedup();
    keys.iter().all(|key| {
        let mut left: Vec<Item> = items.iter().filter(|item| item.operation.key == *key).cloned().collect();
        has_order(&mut left, &mut vec![(key.clone(), (None, None))], claimed)
    })
}

fn items(history: &KvHistory) -> Vec<Item> {
    let item = |(index, record): (usize, &raft_sim::check::Record<Operation, Answer>)| {
        let (answer, ret) = match &record.outcome {
            Outcome::Ok { answer, at } => (Some(answer.clone()), Some(*at)),
            Outcome::Open | Outcome::Unknown => (None, None),
            Outcome::Failed => return None,
        };
        let id = history.events().iter().map(|event| event.id).find(|id| id.index() == index)?;
        Some(Item { id, operation: record.operation.clone(), answer, call: record.call, ret })
    };
    history.records().iter().enumerate().filter_map(item).collect()
}

fn claimed(items: &[Item]) -> Vec<(Value, u64)> {
    let version = |item: &Item| match &item.answer {
        Some(Answer::Done { version } | Answer::Sum { version, .. }) => *version,
        _ => None,
    };
    items.iter().filter_map(|item| Some((item.operation.key.clone(), version(item)?))).collect()
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

/// What the operation answers when it takes effect on `held`.
fn honest(
    random: &mut Random,
    operation: &Operation,
    held: &mut Held,
    version: Option<u64>,
) -> Option<Answer> {
    let number = held.0.as_ref().map_or(Some(0), |text| text.parse::<i64>().ok());
    match &operation.action {
        Action::Get => return Some(Answer::Got { value: held.0.clone(), version: version.and(held.1) }),
        Action::Put(value) => *held = (Some(value.clone()), version),
        Action::Append(value) => {
            *held = (Some(format!("{}{value}", held.0.as_deref().unwrap_or("")).into()), version);
        }
        Action::Delete => *held = (None, version),
        Action::CompareAndSet { expected, new } => {
            if held.0 != *expected {
                return Some(if random.chance(50) {
                    Answer::MismatchUnseen
                } else {
                    Answer::Mismatch { saw: held.0.clone(), version: version.and(held.1) }
                });
            }
            *held = (Some(new.clone()), version);
        }
        Action::Increment(by) => {
            let sum = number? + by;
            *held = (Some(sum.to_string().into()), version);
            return Some(Answer::Sum { value: sum, version });
        }
    }
    Some(Answer::Done { version })
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
            let answer = honest(random, &plan.operation, cell, recipe.versions.then_some(version));
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

/// The same model without any hint: no register view, nothing read-only.
#[derive(Clone)]
struct Plain(KvModel);

impl Model for Plain {
    type Operation = Operation;
    type Answer = Answer;
    type State = <KvModel as Model>::State;
    type Part = Value;

    fn prepare(&mut self, calls: &[Call<'_, Operation, Answer>]) {
        self.0.prepare(calls);
    }

    fn parts(&self, operation: &Operation) -> Vec<Value> {
        self.0.parts(operation)
    }

    fn initial(&self) -> Self::State {
        self.0.initial()
    }

    fn step(&self, state: &mut Self::State, call: Call<'_, Operation, Answer>) -> bool {
        self.0.step(state, call)
    }

    fn describe(&self, call: Call<'_, Operation, Answer>) -> String {
        self.0.describe(call)
    }
}

fn show(history: &KvHistory) -> String {
    let line = |item: Item| {
        format!("{} {:?} {:?} {:?} {:?}\n", item.id, item.call, item.ret, item.operation, item.answer)
    };
    items(history).into_iter().map(line).collect()
}

/// The counterexample is one: its operations alone have no order, none of them is superfluous, and just before
/// its earliest event there is an order.
fn audit(history: &KvHistory, found: &Counterexample) {
    let all = items(history);
    let claimed = claimed(&all);
    let mine: Vec<Item> = all.iter().filter(|item| *item.operation.key == found.part).cloned().collect();
    let last = found.earliest().expect("a violation has operations");
    let end = last.returned.unwrap();
    let keep = |must: &dyn Fn(&Item) -> bool| -> Vec<Item> {
        let called = mine.iter().filter(|item| item.call <= end).cloned();
        called.map(|item| if must(&item) { item } else { Item { ret: None, ..item } }).collect()
    };
    let chosen = |item: &Item| found.operations.iter().any(|shown| shown.id == item.id);
    assert!(
        !brute_force(&keep(&chosen), &claimed),
        "the operations have an order:\n{found}\n{}",
        show(history)
    );
    for spare in &found.operations {
        let without = keep(&|item| chosen(item) && item.id != spare.id);
        assert!(brute_force(&without, &claimed), "{} is superfluous:\n{found}\n{}", spare.id, show(history));
    }
    let before = keep(&|item| item.ret.is_some_and(|ret| ret < end));
    assert!(brute_force(&before, &claimed), "no order even before {end}:\n{found}\n{}", show(history));
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
            audit(&history, found);
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
