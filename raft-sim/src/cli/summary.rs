//! What a person sees at the end of `run`, and the gates that say whether the run proved anything.

use std::time::Duration;

use raft_sim::counts::{Counts, EFFECTS, Effect};
use raft_sim::failure::FailureKind;
use raft_sim::marks::{MARKS, Marks};
use raft_sim::run::RunReport;

/// With fewer seeds than this, chance decides which faults have an effect, and the gates stay open.
const GATED_SEEDS_MIN: u64 = 500;
/// Completed operations of a seed, at the median.
const OPERATIONS_MEDIAN_MIN: u64 = 50;
/// Failures that are printed whole; the rest is counted.
const FAILURES_SHOWN: usize = 5;

/// Effects by what a reader looks for.
const GROUPS: [(&str, Effect, Effect); 6] = [
    ("network", Effect::DuplicateDelivered, Effect::DroppedDown),
    ("nodes", Effect::Kill, Effect::Restarts),
    ("disks", Effect::SectorsLost, Effect::HardStateCopyRead),
    ("snapshots", Effect::SnapshotsAsked, Effect::TransfersFinished),
    ("time and speed", Effect::Pauses, Effect::DiskTimeByBytes),
    ("failing disks", Effect::SyncErrors, Effect::AbstentionsCleared),
];

/// Effects that need not happen in every hunt.
const OPTIONAL: [Effect; 1] = [Effect::Violations];

/// All seeds together.
#[derive(Default)]
pub(crate) struct Totals {
    seeds: u64,
    events: Vec<u64>,
    operations: Vec<u64>,
    virtual_seconds: u64,
    /// Of all runs, in hundredths of what is allowed.
    longest_still: u64,
    counts: Counts,
    marks: Marks,
    failures: Vec<(FailureKind, String)>,
}

impl Totals {
    pub(crate) fn add(&mut self, report: &RunReport) {
        self.seeds += 1;
        self.events.push(report.events);
        self.operations.push(report.counts.get(Effect::OpsOk));
        self.virtual_seconds += report.virtual_time / 1_000_000;
        self.longest_still = self.longest_still.max(report.longest_still);
        self.marks.add(&report.marks);
        self.counts.add_all(&report.counts);
        if let (Some(failure), Some(line)) = (&report.failure, report.failure_line()) {
            self.failures.push((failure.kind, line));
        }
    }

    /// The gravest kind of failure: the one with the lowest exit code.
    pub(crate) fn worst(&self) -> Option<FailureKind> {
        self.failures.iter().map(|(kind, _)| *kind).min_by_key(|kind| kind.exit_code())
    }

    pub(crate) fn print(&self, elapsed: Duration, jobs: usize) {
        let events: u64 = self.events.iter().sum();
        let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = |count: u64| group(count.saturating_mul(1_000) / millis);
        println!(
            "{} seeds in {}.{} s, {jobs} at a time",
            group(self.seeds),
            millis / 1_000,
            millis % 1_000 / 100
        );
        row(
            "events",
            events,
            &format!("median {} a seed, {} a second", group(median(&self.events)), rate(events)),
        );
        row("virtual seconds", self.virtual_seconds, &format!("{} a second", rate(self.virtual_seconds)));
        self.print_effect(Effect::Elections);
        row("longest standstill of a node that was well", self.longest_still, "hundredths of the bound");
        println!("operations");
        row(
            "answered",
            self.counts.get(Effect::OpsOk),
            &format!("median {} a seed", group(median(&self.operations))),
        );
        for (effect, _) in EFFECTS.iter().filter(|(effect, _)| *effect > Effect::OpsOk) {
            self.print_effect(*effect);
        }
        for (title, first, last) in GROUPS {
            println!("effects: {title}");
            for (effect, _) in EFFECTS.iter().filter(|(effect, _)| (first..=last).contains(effect)) {
                self.print_effect(*effect);
            }
        }
        println!("situations (hit, of so many times that the question came up)");
        for (mark, _, name) in MARKS {
            row(name, self.marks.hits(*mark), &format!("of {}", group(self.marks.evaluated(*mark))));
        }
        self.print_verdict();
    }

    fn print_effect(&self, effect: Effect) {
        let name = EFFECTS.iter().find(|(other, _)| *other == effect).map_or("", |(_, name)| name);
        row(name, self.counts.get(effect), "");
    }

    fn print_verdict(&self) {
        if self.failures.is_empty() {
            println!("no violation in {} seeds", group(self.seeds));
            return;
        }
        println!("{} of {} seeds failed", group(self.failures.len() as u64), group(self.seeds));
        for (_, line) in self.failures.iter().take(FAILURES_SHOWN) {
            println!("  {line}");
        }
        if self.failures.len() > FAILURES_SHOWN {
            println!("  and {} more", self.failures.len() - FAILURES_SHOWN);
        }
    }

    /// What must have happened for the run to mean something, and did not.
    pub(crate) fn gates(&self) -> Vec<String> {
        let mut closed = Vec::new();
        if self.seeds < GATED_SEEDS_MIN {
            return closed;
        }
        for (effect, name) in EFFECTS {
            if self.counts.get(*effect) == 0 && !OPTIONAL.contains(effect) {
                closed.push(format!("never happened: {name}"));
            }
        }
        for (mark, _, name) in MARKS {
            if self.marks.evaluated(*mark) == 0 {
                closed.push(format!("never asked: whether {name}"));
            } else if self.marks.hits(*mark) == 0 {
                closed.push(format!("never hit: {name}"));
            }
        }
        let operations = median(&self.operations);
        if operations < OPERATIONS_MEDIAN_MIN {
            closed.push(format!(
                "{operations} operations answered in the median seed, fewer than {OPERATIONS_MEDIAN_MIN}"
            ));
        }
        closed
    }
}

fn row(name: &str, count: u64, note: &str) {
    println!("  {name:<80} {:>12}  {note}", group(count));
}

fn median(values: &[u64]) -> u64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or(0)
}

/// 1234567 as 1,234,567.
fn group(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_three() {
        assert_eq!(
            ["0", "999", "1,000", "1,234,567"],
            [0, 999, 1_000, 1_234_567].map(group).each_ref().map(String::as_str)
        );
    }

    #[test]
    fn a_hunt_without_faults_proves_nothing() {
        let totals = Totals { seeds: GATED_SEEDS_MIN, ..Totals::default() };
        assert!(totals.gates().iter().any(|gate| gate.contains("power losses")));
    }
}
