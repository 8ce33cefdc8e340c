//! Logs of Jepsen's etcd test: `INFO  jepsen.util - PROCESS  :TYPE  :F  VALUE`, in real-time order.

use std::collections::BTreeMap;

use super::{InputProblem, LineResult};
use crate::check::history::{OperationId, ProcessId};
use crate::check::kv::{Answer, KvHistory, Operation, Value};

/// The register has no name of its own.
const KEY: &str = "register";

/// Reads a log. Lines that aren't events are skipped, as the test writes other things too.
pub(super) fn read(text: &str) -> LineResult<KvHistory> {
    let mut history = KvHistory::new();
    let mut open: BTreeMap<ProcessId, OperationId> = BTreeMap::new();
    for (number, line) in (1u64..).zip(text.lines()) {
        let Some(event) = Event::parse(line).map_err(|what| (number, InputProblem::Malformed(what)))? else {
            continue;
        };
        apply(&mut history, &mut open, &event).map_err(|problem| (number, problem))?;
    }
    Ok(history)
}

struct Event<'a> {
    process: ProcessId,
    kind: &'a str,
    verb: &'a str,
    value: String,
}

impl<'a> Event<'a> {
    fn parse(line: &'a str) -> Result<Option<Event<'a>>, String> {
        let mut fields = line.split_whitespace();
        if (fields.next(), fields.next(), fields.next()) != (Some("INFO"), Some("jepsen.util"), Some("-")) {
            return Ok(None);
        }
        let (Some(process), Some(kind), Some(verb)) = (fields.next(), fields.next(), fields.next()) else {
            return Ok(None);
        };
        let Ok(process) = process.parse() else { return Ok(None) };
        if !matches!(kind, ":invoke" | ":ok" | ":fail" | ":info") {
            return Ok(None);
        }
        if !matches!(verb, ":read" | ":write" | ":cas") {
            return Err(format!("unknown operation {verb}; expected :read, :write or :cas"));
        }
        let value = fields.collect::<Vec<_>>().join(" ");
        Ok(Some(Event { process: ProcessId(process), kind, verb, value }))
    }

    fn operation(&self) -> Result<Operation, String> {
        match self.verb {
            ":read" => Ok(Operation::get(KEY)),
            ":write" => Ok(Operation::put(KEY, self.number(&self.value)?)),
            _ => {
                let pair = self.value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
                let (expected, new) = pair
                    .and_then(|pair| pair.split_once(' '))
                    .ok_or_else(|| format!("a :cas has [FROM TO], not {:?}", self.value))?;
                Ok(Operation::compare_and_set(KEY, Some(self.number(expected)?), self.number(new)?))
            }
        }
    }

    fn number(&self, text: &str) -> Result<Value, String> {
        match text.parse::<i64>() {
            Ok(number) => Ok(number.to_string().into()),
            Err(_) => Err(format!("{} has the value {text:?}; expected a number", self.verb)),
        }
    }
}

fn apply(
    history: &mut KvHistory,
    open: &mut BTreeMap<ProcessId, OperationId>,
    event: &Event<'_>,
) -> Result<(), InputProblem> {
    if event.kind == ":invoke" {
        let operation = event.operation().map_err(InputProblem::Malformed)?;
        open.insert(event.process, history.invoke_next(event.process, operation)?);
        return Ok(());
    }
    let Some(id) = open.remove(&event.process) else {
        let what =
            format!("process {} ends an operation that it never called; add its :invoke", event.process);
        return Err(InputProblem::Malformed(what));
    };
    let asked = &history.records()[id.index()].operation;
    let same = match event.verb {
        ":read" => *asked == Operation::get(KEY),
        _ if event.value == ":timed-out" => *asked != Operation::get(KEY),
        _ => event.operation().is_ok_and(|operation| operation == *asked),
    };
    if !same {
        let what = format!("process {} ends another operation than it called", event.process);
        return Err(InputProblem::Malformed(what));
    }
    match (event.kind, event.verb) {
        (":ok", ":read") if event.value == "nil" => history.ok_next(id, Answer::got(None))?,
        (":ok", ":read") => {
            let value = event.number(&event.value).map_err(InputProblem::Malformed)?;
            history.ok_next(id, Answer::got(Some(&value)))?;
        }
        (":ok", _) => history.ok_next(id, Answer::done())?,
        // Answers that are no answers: a failed compare-and-set saw another value; the rest failed for certain.
        (":fail", ":cas") if event.value != ":timed-out" => history.ok_next(id, Answer::MismatchUnseen)?,
        (":fail", _) => history.fail(id)?,
        (_, _) => history.unknown(id)?,
    }
    Ok(())
}
