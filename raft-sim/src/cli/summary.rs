//! What a person sees at the end of `run`, and the gates that say whether the run proved anything.

use std::time::Duration;

use raft_sim::counts::{Counts, EFFECTS, Effect};
use raft_sim::failure::FailureKind;
use raft_sim::marks::{MARKS, Marks};
use raft_sim::measures::{MEASURES, Measure};
use raft_sim::run::RunReport;

use super::floors::{Share, of_effect, of_mark};

/// With fewer seeds than this, chance decides which faults have an effect, and the gates stay open.
const GATED_SEEDS_MIN: u64 = 500;
/// Completed operations of a seed, at the median: half of what was measured.
const OPERATIONS_MEDIAN_MIN: u64 = 400;
/// A leader is found in so many hundredths of an election timeout in half of the runs, and in so many in 15 of 16. A try
/// takes two election timeouts of waiting at most (Raft §5.2), and one for the votes and the disks; with waits that differ
/// by up to one, at least every other try finds a leader: the first does in half of the runs, four do in 15 of 16.
const LEADER_MAX: [(usize, usize, u64); 2] = [(1, 2, 300), (15, 16, 1_200)];
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

/// All seeds together.
pub(crate) struct Totals {
    seeds: u64,
    events: Vec<u64>,
    operations: Vec<u64>,
    virtual_seconds: u64,
    /// Of all runs, in hundredths of what is allowed.
    longest_still: u64,
    /// By measure, the figures of all runs in which it came up.
    measures: [Vec<u64>; MEASURES.len()],
    counts: Counts,
    marks: Marks,
    /// By effect and by mark: in how many seeds it was possible, and reached.
    effects_reached: [Share; EFFECTS.len()],
    marks_reached: [Share; MARKS.len()],
    failures: Vec<(FailureKind, String)>,
}

impl Default for Totals {
    fn default() -> Totals {
        Totals {
            seeds: 0,
            events: Vec::new(),
            operations: Vec::new(),
            virtual_seconds: 0,
            longest_still: 0,
            measures: Default::default(),
            counts: Counts::default(),
            marks: Marks::default(),
            effects_reached: [Share::default(); EFFECTS.len()],
            marks_reached: [Share::default(); MARKS.len()],
            failures: Vec::new(),
        }
    }
}

impl Totals {
    pub(crate) fn add(&mut self, report: &RunReport) {
        self.seeds += 1;
        self.events.push(report.events);
        self.operations.push(report.counts.get(Effect::OpsOk));
        self.virtual_seconds += report.virtual_time / 1_000_000;
        self.longest_still = self.longest_still.max(report.longest_still);
        for (measure, ..) in MEASURES {
            self.measures[measure as usize].extend(report.measures.get(measure));
        }
        self.marks.add(&report.marks);
        self.counts.add_all(&report.counts);
        for (effect, _) in EFFECTS.iter().filter(|(effect, _)| of_effect(*effect).0(&report.setup)) {
            self.effects_reached[*effect as usize].add(report.counts.get(*effect) > 0);
        }
        for (mark, ..) in MARKS.iter().filter(|(mark, needs, _)| of_mark(*mark, *needs).0(&report.setup)) {
            self.marks_reached[*mark as usize].add(report.marks.hits(*mark) > 0);
        }
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
        println!("costs (the most of any run, in hundredths; of so many runs)");
        for (measure, name, whole) in MEASURES {
            let figures = self.figures(measure);
            let most = figures.last().copied().unwrap_or(0);
            let part = |percent: usize| figures.get(figures.len() * percent / 100).copied().unwrap_or(0);
            let spread = format!("half at most {}, 99 of 100 {}", group(part(50)), group(part(99)));
            let note = format!("of {whole}; {spread}; {} runs", group(figures.len() as u64));
            row(name, most, &note);
        }
        println!("situations (hit, of so many times that the question came up)");
        for (mark, _, name) in MARKS {
            let share = words(self.marks_reached[*mark as usize]);
            let note = format!("of {}; {share}", group(self.marks.evaluated(*mark)));
            row(name, self.marks.hits(*mark), &note);
        }
        self.print_verdict();
    }

    /// The figures of a measure, in order.
    fn figures(&self, measure: Measure) -> Vec<u64> {
        let mut figures = self.measures[measure as usize].clone();
        figures.sort_unstable();
        figures
    }

    fn print_effect(&self, effect: Effect) {
        let name = EFFECTS.iter().find(|(other, _)| *other == effect).map_or("", |(_, name)| name);
        row(name, self.counts.get(effect), &words(self.effects_reached[effect as usize]));
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
            closed.extend(too_few(name, self.effects_reached[*effect as usize], of_effect(*effect).1));
        }
        for (mark, needs, name) in MARKS {
            closed.extend(too_few(name, self.marks_reached[*mark as usize], of_mark(*mark, *needs).1));
        }
        for measure in [Measure::FirstLeader, Measure::LeaderAfterHealing] {
            let (figures, name) = (self.figures(measure), MEASURES[measure as usize].1);
            for (part, of, most) in LEADER_MAX {
                let figure = figures.get(figures.len() * part / of).copied().unwrap_or(0);
                if figure > most {
                    closed.push(format!("{name}: {figure} in {part} of {of} runs, more than {most}"));
                }
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

/// In how many seeds something was reached, in words.
fn words(share: Share) -> String {
    format!("in {} of {} seeds", group(share.reached), group(share.possible))
}

/// What a gate says about something that too few seeds reached.
fn too_few(name: &str, share: Share, per_mille: u64) -> Option<String> {
    let floor = share.floor(per_mille);
    (share.reached < floor).then(|| format!("{name}: {}, fewer than {floor}", words(share)))
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

    fn gates_of(reached: u64) -> Vec<String> {
        let mut totals = Totals { seeds: GATED_SEEDS_MIN, ..Totals::default() };
        totals.operations = vec![OPERATIONS_MEDIAN_MIN];
        totals.effects_reached = [Share { possible: GATED_SEEDS_MIN, reached }; EFFECTS.len()];
        totals.marks_reached = [Share { possible: GATED_SEEDS_MIN, reached }; MARKS.len()];
        totals.gates()
    }

    #[test]
    fn a_hunt_without_faults_proves_nothing() {
        assert!(gates_of(0).iter().any(|gate| gate.starts_with("power losses: in 0 of 500 seeds")));
        assert_eq!(gates_of(GATED_SEEDS_MIN), Vec::<String>::new());
    }

    #[test]
    fn a_hunt_whose_leaders_come_late_is_told_so() {
        let mut totals = Totals { seeds: GATED_SEEDS_MIN, ..Totals::default() };
        totals.operations = vec![OPERATIONS_MEDIAN_MIN];
        let late = Measure::LeaderAfterHealing as usize;
        totals.measures[late] = vec![300; 100];
        assert!(totals.gates().is_empty());
        totals.measures[late].extend([1_201; 10]);
        assert!(totals.gates().iter().any(|gate| gate.contains("1201 in 15 of 16 runs")));
    }
}
