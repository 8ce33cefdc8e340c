//! The key-value model: strings by key, with versions where the store answers them.

mod register;
mod stats;

pub use stats::stats;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::history::History;
use super::model::{Call, Model, Register};

/// A key.
pub type Key = Arc<str>;

/// A value. "Absent" (`None`), "" and "0" are three different things.
pub type Value = Arc<str>;

/// A history of a key-value store.
pub type KvHistory = History<Operation, Answer>;

/// One operation on one key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Operation {
    /// The key.
    pub key: Key,
    /// What to do with it.
    pub action: Action,
}

/// What to do with a key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Action {
    /// Answers the value.
    Get,
    /// Sets the value.
    Put(Value),
    /// Adds to the end of the value; an absent one counts as empty.
    Append(Value),
    /// Makes the key absent.
    Delete,
    /// Sets the value if it is what was expected (`None`: absent).
    CompareAndSet {
        /// What the value must be.
        expected: Option<Value>,
        /// What it becomes.
        new: Value,
    },
    /// Adds to a number in decimal; an absent one counts as 0. Answers the sum. Where the value is no number or
    /// the sum overflows, the store must refuse: record that with [`History::fail`].
    Increment(i64),
}

impl Operation {
    /// Answers the value of the key.
    pub fn get(key: impl Into<Key>) -> Operation {
        Operation { key: key.into(), action: Action::Get }
    }

    /// Sets the value of the key.
    pub fn put(key: impl Into<Key>, value: impl Into<Value>) -> Operation {
        Operation { key: key.into(), action: Action::Put(value.into()) }
    }

    /// Adds to the end of the value.
    pub fn append(key: impl Into<Key>, value: impl Into<Value>) -> Operation {
        Operation { key: key.into(), action: Action::Append(value.into()) }
    }

    /// Makes the key absent.
    pub fn delete(key: impl Into<Key>) -> Operation {
        Operation { key: key.into(), action: Action::Delete }
    }

    /// Sets the value of the key if it is what was expected.
    pub fn compare_and_set(key: impl Into<Key>, expected: Option<Value>, new: impl Into<Value>) -> Operation {
        Operation { key: key.into(), action: Action::CompareAndSet { expected, new: new.into() } }
    }

    /// Adds to a number.
    pub fn increment(key: impl Into<Key>, by: i64) -> Operation {
        Operation { key: key.into(), action: Action::Increment(by) }
    }
}

/// What a store answers.
///
/// Versions are optional everywhere (`None`: the store didn't say). A store that says them promises that each
/// mutation of a key has a version of its own, and that a get answers the version of the last mutation (of any
/// kind, deletes too). They make a history quick to check even where values repeat.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Answer {
    /// To a get.
    Got {
        /// The value, if present.
        value: Option<Value>,
        /// The version of the mutation that left it.
        version: Option<u64>,
    },
    /// To a put, an append, a delete, or a compare-and-set that succeeded.
    Done {
        /// The version of this mutation.
        version: Option<u64>,
    },
    /// To a compare-and-set that failed and says what it saw instead.
    Mismatch {
        /// The value, if present.
        saw: Option<Value>,
        /// The version of the mutation that left it.
        version: Option<u64>,
    },
    /// To a compare-and-set that failed and says only that: the value was something else.
    MismatchUnseen,
    /// To an increment.
    Sum {
        /// The new value.
        value: i64,
        /// The version of this mutation.
        version: Option<u64>,
    },
}

impl Answer {
    /// A get's answer without a version.
    pub fn got(value: Option<&str>) -> Answer {
        Answer::Got { value: value.map(Value::from), version: None }
    }

    /// A mutation's answer without a version.
    pub fn done() -> Answer {
        Answer::Done { version: None }
    }

    /// An increment's answer without a version.
    pub fn sum(value: i64) -> Answer {
        Answer::Sum { value, version: None }
    }
}

/// What a key holds.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Cell {
    value: Option<Value>,
    /// `None` for the initial value, and after a mutation whose version nobody was told.
    version: Option<u64>,
}

/// The key-value model: every key starts absent, and keys are independent.
#[derive(Clone, Debug, Default)]
pub struct KvModel {
    initial: Option<Value>,
    whole: bool,
    /// The versions that mutations answered, by key, sorted.
    claimed: Vec<(Key, u64)>,
}

impl KvModel {
    /// Every key starts absent.
    pub fn new() -> KvModel {
        KvModel::default()
    }

    /// Every key starts with this value.
    pub fn starting_with(value: impl Into<Value>) -> KvModel {
        KvModel { initial: Some(value.into()), ..KvModel::default() }
    }

    /// Checks all keys as one object: the same verdict, much slower.
    pub fn without_parts(self) -> KvModel {
        KvModel { whole: true, ..self }
    }

    /// What every key holds at first.
    pub fn initial_value(&self) -> Option<&str> {
        self.initial.as_deref()
    }

    fn is_claimed(&self, key: &Key, version: u64) -> bool {
        self.claimed.binary_search_by(|(k, v)| (k.as_ref(), *v).cmp(&(key.as_ref(), version))).is_ok()
    }

    /// Whether the cell may be what a get answered. A version that no mutation answered must belong to one
    /// whose answer was lost.
    fn shows(&self, key: &Key, cell: &Cell, value: &Option<Value>, version: Option<u64>) -> bool {
        if cell.value != *value {
            return false;
        }
        match (version, cell.version) {
            (None, _) => true,
            (Some(told), Some(held)) => told == held,
            (Some(told), None) => !self.is_claimed(key, told),
        }
    }

    fn cell(&self, state: &BTreeMap<Key, Cell>, key: &Key) -> Cell {
        state.get(key).cloned().unwrap_or_else(|| Cell { value: self.initial.clone(), version: None })
    }
}

/// The version that a mutation answered; `Err` if this is no mutation's answer.
fn mutation_version(answer: Option<&Answer>) -> Result<Option<u64>, ()> {
    match answer {
        None => Ok(None),
        Some(Answer::Done { version } | Answer::Sum { version, .. }) => Ok(*version),
        Some(Answer::Got { .. } | Answer::Mismatch { .. } | Answer::MismatchUnseen) => Err(()),
    }
}

fn number(value: &Option<Value>) -> Option<i64> {
    match value {
        None => Some(0),
        Some(text) => text.parse().ok(),
    }
}

impl Model for KvModel {
    type Operation = Operation;
    type Answer = Answer;
    type State = BTreeMap<Key, Cell>;
    type Part = Key;

    fn prepare(&mut self, calls: &[Call<'_, Operation, Answer>]) {
        self.claimed = calls
            .iter()
            .filter_map(|call| {
                let version = mutation_version(call.answer).ok().flatten()?;
                Some((call.operation.key.clone(), version))
            })
            .collect();
        self.claimed.sort_unstable();
    }

    fn parts(&self, operation: &Operation) -> Vec<Key> {
        if self.whole { Vec::new() } else { vec![operation.key.clone()] }
    }

    fn initial(&self) -> BTreeMap<Key, Cell> {
        BTreeMap::new()
    }

    fn step(&self, state: &mut BTreeMap<Key, Cell>, call: Call<'_, Operation, Answer>) -> bool {
        let key = &call.operation.key;
        let cell = self.cell(state, key);
        let after = match (&call.operation.action, call.answer) {
            (Action::Get, None) => None,
            (Action::Get, Some(Answer::Got { value, version })) => {
                if !self.shows(key, &cell, value, *version) {
                    return false;
                }
                None
            }
            (Action::Put(value), None | Some(Answer::Done { .. })) => Some(Some(value.clone())),
            (Action::Append(value), None | Some(Answer::Done { .. })) => {
                let held = cell.value.as_deref().unwrap_or("");
                Some(Some(format!("{held}{value}").into()))
            }
            (Action::Delete, None | Some(Answer::Done { .. })) => Some(None),
            (Action::CompareAndSet { expected, new }, None) => {
                (cell.value == *expected).then(|| Some(new.clone()))
            }
            (Action::CompareAndSet { expected, new }, Some(Answer::Done { .. })) => {
                if cell.value != *expected {
                    return false;
                }
                Some(Some(new.clone()))
            }
            (Action::CompareAndSet { expected, .. }, Some(Answer::Mismatch { saw, version })) => {
                if cell.value == *expected || !self.shows(key, &cell, saw, *version) {
                    return false;
                }
                None
            }
            (Action::CompareAndSet { expected, .. }, Some(Answer::MismatchUnseen)) => {
                if cell.value == *expected {
                    return false;
                }
                None
            }
            (Action::Increment(by), None) => {
                number(&cell.value).and_then(|n| n.checked_add(*by)).map(|n| Some(n.to_string().into()))
            }
            (Action::Increment(by), Some(Answer::Sum { value, .. })) => {
                if number(&cell.value).and_then(|n| n.checked_add(*by)) != Some(*value) {
                    return false;
                }
                Some(Some(value.to_string().into()))
            }
            // An answer to another question.
            (
                Action::Get
                | Action::Put(_)
                | Action::Append(_)
                | Action::Delete
                | Action::CompareAndSet { .. }
                | Action::Increment(_),
                Some(
                    Answer::Got { .. }
                    | Answer::Done { .. }
                    | Answer::Mismatch { .. }
                    | Answer::MismatchUnseen
                    | Answer::Sum { .. },
                ),
            ) => return false,
        };
        if let Some(value) = after {
            let version = mutation_version(call.answer).unwrap_or(None);
            match state.get_mut(key) {
                Some(cell) => *cell = Cell { value, version },
                None => {
                    state.insert(key.clone(), Cell { value, version });
                }
            }
        }
        true
    }

    fn read_only(&self, call: Call<'_, Operation, Answer>) -> bool {
        let reads = matches!(call.operation.action, Action::Get);
        reads || matches!(call.answer, Some(Answer::Mismatch { .. } | Answer::MismatchUnseen))
    }

    fn register(&self, calls: &[Call<'_, Operation, Answer>]) -> Option<Register> {
        if self.whole { None } else { register::view(self, calls) }
    }

    fn describe(&self, call: Call<'_, Operation, Answer>) -> String {
        let asked = match &call.operation.action {
            Action::Get => "get".to_owned(),
            Action::Put(value) => format!("put {}", quoted(value)),
            Action::Append(value) => format!("append {}", quoted(value)),
            Action::Delete => "delete".to_owned(),
            Action::CompareAndSet { expected, new } => format!("cas {} to {}", shown(expected), quoted(new)),
            Action::Increment(by) => format!("increment by {by}"),
        };
        let key = if self.whole { format!(" of key {}", call.operation.key) } else { String::new() };
        match call.answer {
            None | Some(Answer::Done { .. }) => format!("{asked}{key}"),
            Some(Answer::Got { value, .. }) => format!("{asked}{key} -> {}", shown(value)),
            Some(Answer::Mismatch { saw, .. }) => format!("{asked}{key} -> no, {}", shown(saw)),
            Some(Answer::MismatchUnseen) => format!("{asked}{key} -> no"),
            Some(Answer::Sum { value, .. }) => format!("{asked}{key} -> {value}"),
        }
    }
}

/// Long values are cut in the middle of nowhere: people compare their beginnings and their ends.
fn quoted(value: &str) -> String {
    const SHOWN_MAX: usize = 24;
    let chars: Vec<char> = value.chars().collect();
    if chars.len() <= SHOWN_MAX {
        return format!("{value:?}");
    }
    let head: String = chars[..10].iter().collect();
    let tail: String = chars[chars.len() - 10..].iter().collect();
    format!("{:?}", format!("{head}...{tail}"))
}

fn shown(value: &Option<Value>) -> String {
    value.as_ref().map_or_else(|| "absent".to_owned(), |value| quoted(value))
}
