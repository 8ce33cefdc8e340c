//! A counterexample, in words and as a drawing.

use std::fmt;

use super::history::{OperationId, ProcessId, Stamp};
use super::problem::{NEVER, Op, Problem};

/// Why a history has no order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Counterexample {
    /// The part of the object, such as the key.
    pub part: String,
    /// Operations that have no order together, in the order of their calls. Without any of them there might be
    /// one (unless shrinking ran out of its budget).
    pub operations: Vec<ShownOperation>,
    /// The index in `operations` of the one whose return is the earliest event at which no order exists.
    pub last: usize,
    /// How many other operations of the part had been called by then. Even if each of them could happen at any
    /// time after its call or never, there would be no order.
    pub others: u64,
    /// The same in one sentence.
    pub sentence: String,
}

/// One operation of a counterexample.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShownOperation {
    /// The operation.
    pub id: OperationId,
    /// Who called it.
    pub process: ProcessId,
    /// When it was called.
    pub call: Stamp,
    /// When it returned.
    pub returned: Option<Stamp>,
    /// What it did and what it was told.
    pub text: String,
    pub(crate) positions: (u32, u32),
}

impl Counterexample {
    /// The operation whose return is the earliest event at which no order exists.
    pub fn earliest(&self) -> Option<&ShownOperation> {
        self.operations.get(self.last)
    }
}

/// More lanes than this are no help.
const SHOWN_MAX: usize = 16;

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.sentence)?;
        if let Some(last) = self.earliest() {
            let at = last.returned.map_or_else(|| "the end".to_owned(), |at| at.to_string());
            writeln!(f, "Key {}: no order exists from {at} on, when {} returned.", self.part, last.id)?;
        }
        writeln!(f)?;
        let skipped = self.operations.len().saturating_sub(SHOWN_MAX);
        if skipped > 0 {
            writeln!(f, "  ({skipped} earlier operations not drawn)")?;
        }
        for line in lanes(&self.operations[skipped..]) {
            writeln!(f, "  {line}")?;
        }
        writeln!(f)?;
        for shown in &self.operations[skipped..] {
            let returned = shown.returned.map_or_else(|| "never".to_owned(), |at| at.to_string());
            writeln!(
                f,
                "  {} process {}: {} (called {}, returned {returned})",
                shown.id, shown.process, shown.text, shown.call
            )?;
        }
        if self.others > 0 {
            writeln!(
                f,
                "Also called by then: {} more, which could happen at any time or never without helping.",
                self.others
            )?;
        }
        Ok(())
    }
}

/// One lane a process, time from left to right; only the order of the events is to scale.
fn lanes(operations: &[ShownOperation]) -> Vec<String> {
    let mut events: Vec<(u32, usize)> = Vec::new();
    for (index, shown) in operations.iter().enumerate() {
        events.push((shown.positions.0, index));
        if shown.positions.1 != NEVER {
            events.push((shown.positions.1, index));
        }
    }
    events.sort_unstable();
    let mut columns = vec![(0usize, None); operations.len()];
    let mut column = 0;
    for (position, index) in events {
        let shown = &operations[index];
        if position == shown.positions.0 {
            columns[index].0 = column;
        } else {
            column = column.max(columns[index].0 + shown.text.chars().count() + 3);
            columns[index].1 = Some(column);
        }
        column += 2;
    }
    let mut processes: Vec<ProcessId> = operations.iter().map(|shown| shown.process).collect();
    processes.sort_unstable();
    processes.dedup();
    let width = processes.iter().map(|process| process.to_string().len()).max().unwrap_or(0);
    let lane = |process: &ProcessId| {
        let mut line = format!("process {:>width$}  ", process.to_string());
        let start = line.chars().count();
        for (shown, (from, to)) in operations.iter().zip(&columns) {
            if shown.process != *process {
                continue;
            }
            let padding = (start + from).saturating_sub(line.chars().count());
            line.push_str(&" ".repeat(padding));
            line.push_str("|-");
            line.push_str(&shown.text);
            let drawn = shown.text.chars().count() + 2;
            match to {
                Some(to) => {
                    line.push_str(&"-".repeat((to - from).saturating_sub(drawn)));
                    line.push('|');
                }
                None => line.push_str("-->"),
            }
        }
        line
    };
    processes.iter().map(lane).collect()
}

/// Says what is wrong, as exactly as the operations allow.
pub(crate) fn sentence(
    part: &str,
    shown: &[ShownOperation],
    last: usize,
    ops: &[Op],
    whole: &Problem,
) -> String {
    let named =
        |index: usize| format!("process {}'s {} of key {part}", shown[index].process, shown[index].text);
    let short = |index: usize| format!("process {}'s {}", shown[index].process, shown[index].text);
    for (reader, op) in ops.iter().enumerate() {
        let Some(token) = op.seen_token() else { continue };
        let writers: Vec<&Op> = whole.ops.iter().filter(|other| other.left_token() == Some(token)).collect();
        if token != 0 && writers.is_empty() {
            return format!("{} found a value that nobody ever wrote.", named(reader));
        }
        if token != 0 && writers.iter().all(|writer| writer.call > op.ret) {
            return format!("{} returned before the value that it found was written.", named(reader));
        }
        // Overwritten: somebody wrote something else after the value was there and before the reader called.
        let there = |over: &Op| {
            (token == 0 && writers.is_empty()) || writers.iter().all(|writer| writer.ret < over.call)
        };
        let over = ops.iter().position(|other| {
            other.left_token().is_some_and(|left| left != token) && other.ret < op.call && there(other)
        });
        if let Some(over) = over {
            return format!("{} is stale: {} had already replaced that value.", named(reader), short(over));
        }
        let rival = ops.iter().enumerate().position(|(index, other)| {
            index > reader && other.seen_token() == Some(token) && other.left_token().is_some()
        });
        if let Some(rival) = rival
            && op.left_token().is_some()
            && writers.len() + usize::from(token == 0) == 1
            && ops.len() <= 3
        {
            return format!("{} and {} both succeeded from one value.", named(reader), short(rival));
        }
    }
    match shown.len() {
        0 => format!("Key {part} has no order."),
        1 => format!("{} can't be explained by any order.", named(last.min(shown.len() - 1))),
        count => format!(
            "{} fits no order of these {count} operations that agrees with the clock and the answers.",
            named(last)
        ),
    }
}
