//! Our own format: JSON, one object a line.
//!
//! The first line says what follows, and what every key holds at first (`null`: absent):
//! ```json
//! {"format":"raft-sim-history","version":1,"initial":null}
//! ```
//! Each further line is an event, in the order of recording:
//! ```json
//! {"event":"invoke","id":0,"process":3,"at":[17,0],"key":"a","action":{"put":"x"}}
//! {"event":"ok","id":0,"at":[19,0],"answer":{"done":{"version":7}}}
//! {"event":"fail","id":1}
//! {"event":"unknown","id":2}
//! ```
//! `at` is a stamp: time and sequence. Ids are the caller's own and are used once. Actions: `"get"`, `"delete"`,
//! `{"put":V}`, `{"append":V}`, `{"compare_and_set":{"expected":V or null,"new":V}}`, `{"increment":N}`. Answers:
//! `{"got":{"value":V or null,"version":N or null}}`, `{"done":{"version":..}}`, `"mismatch_unseen"`,
//! `{"mismatch":{"saw":..,"version":..}}`, `{"sum":{"value":N,"version":..}}`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{InputProblem, LineResult};
use crate::check::history::{EventKind, History, OperationId, Outcome, ProcessId, Stamp};
use crate::check::kv::{self, KvHistory, KvModel};

const FORMAT: &str = "raft-sim-history";
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: String,
    version: u32,
    initial: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    Invoke { id: u64, process: u64, at: (u64, u64), key: String, action: Action },
    Ok { id: u64, at: (u64, u64), answer: Answer },
    Fail { id: u64 },
    Unknown { id: u64 },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    Get,
    Put(String),
    Append(String),
    Delete,
    CompareAndSet { expected: Option<String>, new: String },
    Increment(i64),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Got { value: Option<String>, version: Option<u64> },
    Done { version: Option<u64> },
    Mismatch { saw: Option<String>, version: Option<u64> },
    MismatchUnseen,
    Sum { value: i64, version: Option<u64> },
}

/// Writes a history in our own format, which [`super::read_file`] reads; the format is described at the top of
/// this file's source.
pub fn export(history: &KvHistory, model: &KvModel) -> String {
    let mut text = String::new();
    let initial = model.initial_value().map(str::to_owned);
    push(&mut text, &Header { format: FORMAT.to_owned(), version: VERSION, initial });
    for event in history.events() {
        let record = &history.records()[event.id.index()];
        let id = event.id.index() as u64;
        let line = match (event.kind, &record.outcome) {
            (EventKind::Invoke, _) => Line::Invoke {
                id,
                process: record.process.0,
                at: (record.call.time, record.call.sequence),
                key: record.operation.key.to_string(),
                action: Action::from(&record.operation.action),
            },
            (EventKind::End, Outcome::Ok { answer, at }) => {
                Line::Ok { id, at: (at.time, at.sequence), answer: Answer::from(answer) }
            }
            (EventKind::End, Outcome::Failed) => Line::Fail { id },
            (EventKind::End, Outcome::Unknown | Outcome::Open) => Line::Unknown { id },
        };
        push(&mut text, &line);
    }
    text
}

fn push(text: &mut String, line: &impl Serialize) {
    let json = serde_json::to_string(line).expect("plain structs of strings and numbers always serialize");
    text.push_str(&json);
    text.push('\n');
}

pub(super) fn read(text: &str) -> LineResult<(KvHistory, KvModel)> {
    let mut lines = (1u64..).zip(text.lines());
    let expected = format!("expected a first line with \"format\":\"{FORMAT}\",\"version\":{VERSION}");
    let (number, first) = lines.next().ok_or_else(|| (1, InputProblem::Malformed(expected.clone())))?;
    let header: Header = serde_json::from_str(first)
        .map_err(|error| (number, InputProblem::Malformed(format!("{expected}: {error}"))))?;
    if header.format != FORMAT || header.version != VERSION {
        return Err((number, InputProblem::Malformed(expected)));
    }
    let mut history = History::new();
    let mut ids = BTreeMap::new();
    for (number, line) in lines {
        if line.trim().is_empty() {
            continue;
        }
        let line = serde_json::from_str(line)
            .map_err(|error| (number, InputProblem::Malformed(format!("no event: {error}"))))?;
        apply(&mut history, &mut ids, line).map_err(|problem| (number, problem))?;
    }
    let model = header.initial.map_or_else(KvModel::new, KvModel::starting_with);
    Ok((history, model))
}

fn apply(
    history: &mut KvHistory,
    ids: &mut BTreeMap<u64, OperationId>,
    line: Line,
) -> Result<(), InputProblem> {
    let stamp = |(time, sequence)| Stamp { time, sequence };
    let find = |ids: &BTreeMap<u64, OperationId>, id: u64| {
        let what =
            || InputProblem::Malformed(format!("operation {id} was never called; add its invoke line"));
        ids.get(&id).copied().ok_or_else(what)
    };
    match line {
        Line::Invoke { id, process, at, key, action } => {
            if ids.contains_key(&id) {
                let what = format!("id {id} is used twice; give each operation an id of its own");
                return Err(InputProblem::Malformed(what));
            }
            let operation = kv::Operation { key: key.into(), action: action.into() };
            ids.insert(id, history.invoke(ProcessId(process), operation, stamp(at))?);
        }
        Line::Ok { id, at, answer } => history.ok(find(ids, id)?, answer.into(), stamp(at))?,
        Line::Fail { id } => history.fail(find(ids, id)?)?,
        Line::Unknown { id } => history.unknown(find(ids, id)?)?,
    }
    Ok(())
}

fn owned(value: &Option<kv::Value>) -> Option<String> {
    value.as_ref().map(ToString::to_string)
}

impl From<&kv::Action> for Action {
    fn from(action: &kv::Action) -> Action {
        match action {
            kv::Action::Get => Action::Get,
            kv::Action::Put(value) => Action::Put(value.to_string()),
            kv::Action::Append(value) => Action::Append(value.to_string()),
            kv::Action::Delete => Action::Delete,
            kv::Action::CompareAndSet { expected, new } => {
                Action::CompareAndSet { expected: owned(expected), new: new.to_string() }
            }
            kv::Action::Increment(by) => Action::Increment(*by),
        }
    }
}

impl From<Action> for kv::Action {
    fn from(action: Action) -> kv::Action {
        match action {
            Action::Get => kv::Action::Get,
            Action::Put(value) => kv::Action::Put(value.into()),
            Action::Append(value) => kv::Action::Append(value.into()),
            Action::Delete => kv::Action::Delete,
            Action::CompareAndSet { expected, new } => {
                kv::Action::CompareAndSet { expected: expected.map(Into::into), new: new.into() }
            }
            Action::Increment(by) => kv::Action::Increment(by),
        }
    }
}

impl From<&kv::Answer> for Answer {
    fn from(answer: &kv::Answer) -> Answer {
        match answer {
            kv::Answer::Got { value, version } => Answer::Got { value: owned(value), version: *version },
            kv::Answer::Done { version } => Answer::Done { version: *version },
            kv::Answer::Mismatch { saw, version } => Answer::Mismatch { saw: owned(saw), version: *version },
            kv::Answer::MismatchUnseen => Answer::MismatchUnseen,
            kv::Answer::Sum { value, version } => Answer::Sum { value: *value, version: *version },
        }
    }
}

impl From<Answer> for kv::Answer {
    fn from(answer: Answer) -> kv::Answer {
        match answer {
            Answer::Got { value, version } => kv::Answer::Got { value: value.map(Into::into), version },
            Answer::Done { version } => kv::Answer::Done { version },
            Answer::Mismatch { saw, version } => kv::Answer::Mismatch { saw: saw.map(Into::into), version },
            Answer::MismatchUnseen => kv::Answer::MismatchUnseen,
            Answer::Sum { value, version } => kv::Answer::Sum { value, version },
        }
    }
}
