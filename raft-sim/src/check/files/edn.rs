//! Key-value histories, one EDN map a line: `{:process 1, :type :invoke, :f :put, :key "a", :value "b"}`.

use std::collections::BTreeMap;

use super::{InputProblem, LineResult};
use crate::check::history::{OperationId, ProcessId};
use crate::check::kv::{Action, Answer, KvHistory, Operation};

/// Reads a history. Blank lines are skipped; all others must be events.
pub(super) fn read(text: &str) -> LineResult<KvHistory> {
    let mut history = KvHistory::new();
    let mut open: BTreeMap<ProcessId, OperationId> = BTreeMap::new();
    for (number, line) in (1u64..).zip(text.lines()) {
        if line.trim().is_empty() {
            continue;
        }
        let event = parse(line).map_err(|what| (number, InputProblem::Malformed(what)))?;
        apply(&mut history, &mut open, &event).map_err(|problem| (number, problem))?;
    }
    Ok(history)
}

struct Event<'a> {
    process: ProcessId,
    kind: &'a str,
    verb: &'a str,
    key: &'a str,
    value: Option<&'a str>,
}

fn apply(
    history: &mut KvHistory,
    open: &mut BTreeMap<ProcessId, OperationId>,
    event: &Event<'_>,
) -> Result<(), InputProblem> {
    let operation = operation(event).map_err(InputProblem::Malformed)?;
    if event.kind == "invoke" {
        open.insert(event.process, history.invoke_next(event.process, operation)?);
        return Ok(());
    }
    let Some(id) = open.remove(&event.process) else {
        let what =
            format!("process {} ends an operation that it never called; add its :invoke", event.process);
        return Err(InputProblem::Malformed(what));
    };
    if history.records()[id.index()].operation != operation {
        let what = format!("process {} ends another operation than it called", event.process);
        return Err(InputProblem::Malformed(what));
    }
    match event.kind {
        "ok" => {
            let answer = match operation.action {
                Action::Get => Answer::got(event.value),
                Action::Put(_)
                | Action::Append(_)
                | Action::Delete
                | Action::CompareAndSet { .. }
                | Action::Increment(_) => Answer::done(),
            };
            history.ok_next(id, answer)?;
        }
        "fail" => history.fail(id)?,
        _ => history.unknown(id)?,
    }
    Ok(())
}

fn operation(event: &Event<'_>) -> Result<Operation, String> {
    let value = || event.value.ok_or_else(|| format!("a :{} needs a :value in quotes", event.verb));
    match event.verb {
        "get" => Ok(Operation::get(event.key)),
        "put" => Ok(Operation::put(event.key, value()?)),
        "append" => Ok(Operation::append(event.key, value()?)),
        other => Err(format!("unknown :f :{other}; expected :get, :put or :append")),
    }
}

fn parse(line: &str) -> Result<Event<'_>, String> {
    let inside = line.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let mut rest = inside.ok_or("expected one map {...} a line")?;
    let (mut process, mut kind, mut verb, mut key) = (None, None, None, None);
    let mut value = None;
    loop {
        rest = rest.trim_start_matches([' ', ',', '\t']);
        if rest.is_empty() {
            break;
        }
        let (name, after) = token(rest)?;
        let (item, after) = token(after.trim_start())?;
        rest = after;
        match name {
            ":process" => process = item.parse().ok().map(ProcessId),
            ":type" => kind = item.strip_prefix(':'),
            ":f" => verb = item.strip_prefix(':'),
            ":key" => key = quoted(item),
            ":value" => value = quoted(item),
            // Other fields, such as :time, say nothing to this checker.
            _ => {}
        }
    }
    let kind = kind.filter(|kind| matches!(*kind, "invoke" | "ok" | "fail" | "info"));
    Ok(Event {
        process: process.ok_or("expected :process and a number")?,
        kind: kind.ok_or("expected :type and one of :invoke, :ok, :fail, :info")?,
        verb: verb.ok_or("expected :f and the name of an operation")?,
        key: key.ok_or("expected :key and a string in quotes")?,
        value,
    })
}

/// Splits off a word or a string; strings have no escapes.
fn token(text: &str) -> Result<(&str, &str), String> {
    if let Some(inside) = text.strip_prefix('"') {
        let end = inside.find('"').ok_or("a string has no closing quote")?;
        return Ok(text.split_at(end + 2));
    }
    let end = text.find([' ', ',', '\t']).unwrap_or(text.len());
    if end == 0 {
        return Err("a field has no value".to_owned());
    }
    Ok(text.split_at(end))
}

fn quoted(item: &str) -> Option<&str> {
    item.strip_prefix('"')?.strip_suffix('"')
}
