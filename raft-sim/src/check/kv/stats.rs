//! How much a key-value history can show.

use std::collections::BTreeMap;

use super::{Action, Answer, Key, KvHistory};
use crate::check::history::ProcessId;
use crate::check::report::HistoryStats;

/// Counts a history, with the reads that saw a value which only other processes wrote.
pub fn stats(history: &KvHistory) -> HistoryStats {
    // Who wrote the value: one process, or several (`None`), which proves nothing about a reader among them.
    let mut writers: BTreeMap<(&Key, &str), Option<ProcessId>> = BTreeMap::new();
    for record in history.records() {
        let value = match &record.operation.action {
            Action::Put(value) | Action::CompareAndSet { new: value, .. } => value,
            Action::Get | Action::Append(_) | Action::Delete | Action::Increment(_) => continue,
        };
        let writer = writers.entry((&record.operation.key, value)).or_insert(Some(record.process));
        *writer = writer.filter(|process| *process == record.process);
    }
    let reads = history.records().iter().filter(|record| {
        let value = match record.outcome.answer() {
            Some(Answer::Got { value: Some(value), .. } | Answer::Mismatch { saw: Some(value), .. }) => value,
            Some(
                Answer::Got { value: None, .. }
                | Answer::Mismatch { saw: None, .. }
                | Answer::Done { .. }
                | Answer::MismatchUnseen
                | Answer::Sum { .. },
            )
            | None => return false,
        };
        let writer = writers.get(&(&record.operation.key, value.as_ref())).copied().flatten();
        writer.is_some_and(|writer| writer != record.process)
    });
    HistoryStats { reads_of_others: Some(reads.count() as u64), ..HistoryStats::of(history) }
}
