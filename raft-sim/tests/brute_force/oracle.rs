//! A brute force that shares nothing with the checker: every order of every subset, tried in turn. The random tests and
//! the fuzz target `checker` compare the two.

use raft_sim::check::kv::{Action, Answer, KvHistory, KvModel, Operation, Value};
use raft_sim::check::{Call, Counterexample, Model, OperationId, Outcome, Record, Stamp};

/// What the brute force knows of an operation.
#[derive(Clone)]
pub struct Item {
    id: OperationId,
    operation: Operation,
    answer: Option<Answer>,
    call: Stamp,
    /// `None`: it may happen at any time, or never.
    ret: Option<Stamp>,
}

/// What a key holds: a value, and its version where one was told.
pub type Held = (Option<Value>, Option<u64>);

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
        let key = held.iter().position(|(key, _)| *key == first.operation.key);
        let key = key.expect("every key has a cell");
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

/// Whether the operations of each key have an order.
pub fn brute_force(items: &[Item], claimed: &[(Value, u64)]) -> bool {
    let mut keys: Vec<Value> = items.iter().map(|item| item.operation.key.clone()).collect();
    keys.sort();
    keys.dedup();
    keys.iter().all(|key| {
        let mut left: Vec<Item> = items.iter().filter(|item| item.operation.key == *key).cloned().collect();
        has_order(&mut left, &mut vec![(key.clone(), (None, None))], claimed)
    })
}

/// The operations that may have happened.
pub fn items(history: &KvHistory) -> Vec<Item> {
    let item = |(index, record): (usize, &Record<Operation, Answer>)| {
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

/// The versions that writes told, by key.
pub fn claimed(items: &[Item]) -> Vec<(Value, u64)> {
    let version = |item: &Item| match &item.answer {
        Some(Answer::Done { version } | Answer::Sum { version, .. }) => *version,
        _ => None,
    };
    items.iter().filter_map(|item| Some((item.operation.key.clone(), version(item)?))).collect()
}

/// What the operation answers when it takes effect on `held`.
///
/// `unseen`: a compare-and-set that fails does not say what it saw. None: it has no answer on this state.
pub fn honest(operation: &Operation, held: &mut Held, version: Option<u64>, unseen: bool) -> Option<Answer> {
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
                return Some(if unseen {
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

/// The same model without any hint: no register view, nothing read-only.
#[derive(Clone)]
pub struct Plain(pub KvModel);

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

/// The history in lines, for people.
pub fn show(history: &KvHistory) -> String {
    let line = |item: Item| {
        format!("{} {:?} {:?} {:?} {:?}\n", item.id, item.call, item.ret, item.operation, item.answer)
    };
    items(history).into_iter().map(line).collect()
}

/// The counterexample is one: its operations alone have no order. And it is minimal, unless its shrinking may have run
/// out of budget: none of them is superfluous, and just before its earliest event there is an order.
///
/// # Panics
/// If it is none.
pub fn audit(history: &KvHistory, found: &Counterexample, is_minimal: bool) {
    let all = items(history);
    let claimed = claimed(&all);
    let mine: Vec<Item> = all.iter().filter(|item| *item.operation.key == found.part).cloned().collect();
    let last = found.earliest().expect("a violation has operations");
    let end = last.returned.expect("it ends with an answer");
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
    if !is_minimal {
        return;
    }
    for spare in &found.operations {
        let without = keep(&|item| chosen(item) && item.id != spare.id);
        assert!(brute_force(&without, &claimed), "{} is superfluous:\n{found}\n{}", spare.id, show(history));
    }
    let before = keep(&|item| item.ret.is_some_and(|ret| ret < end));
    assert!(brute_force(&before, &claimed), "no order even before {end}:\n{found}\n{}", show(history));
}
