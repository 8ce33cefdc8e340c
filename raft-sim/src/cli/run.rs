//! `run`: many seeds, on as many cores as there are. Every run is one thread and knows nothing of the others.

// The hunt is timed for people; no run sees this clock.
#![allow(clippy::disallowed_types)]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::time::Instant as WallClock;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use raft_sim::failure::FailureKind;
use raft_sim::run::{RunOptions, RunReport, run_seed};

use super::summary::Totals;
use super::{EXIT_OK, create, parse_duration, parse_seeds};

/// How the run is cut.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct RunArguments {
    /// The seeds to run, as A..B without B [default: 0..1000]
    #[arg(long, value_parser = parse_seeds, value_name = "A..B")]
    seeds: Option<Range<u64>>,
    /// Run seeds for this long instead: 90s, 10m, 8h
    #[arg(long = "for", value_parser = parse_duration, value_name = "TIME")]
    time: Option<Duration>,
    /// Runs at a time [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// Write one JSON object a seed to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Stop at the first failure that an oracle found; panics of the core are counted, and don't stop it
    #[arg(long)]
    until_caught: bool,
}

pub(crate) fn main(arguments: &RunArguments) -> Result<u8, String> {
    let default_end = if arguments.time.is_some() { u64::MAX } else { 1_000 };
    let seeds = arguments.seeds.clone().unwrap_or(0..default_end);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let jobs = arguments.jobs.map_or(cores, usize::from);
    let bar = progress_bar(&seeds, arguments.time);
    let started = WallClock::now();
    let hunt = Hunt {
        end: seeds.end,
        deadline: arguments.time.map(|time| started + time),
        until_caught: arguments.until_caught,
        next: AtomicU64::new(seeds.start),
        lowest_caught: AtomicU64::new(u64::MAX),
        results: Mutex::new(Results {
            next: seeds.start,
            early: BTreeMap::new(),
            totals: Totals::default(),
            json: arguments.json.as_ref().map(create).transpose()?,
            error: None,
        }),
    };
    #[allow(clippy::disallowed_methods)]
    // Each run is one thread; runs share nothing but the counter of seeds.
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| hunt.work(&bar));
        }
    });
    bar.finish_and_clear();
    let elapsed = started.elapsed();
    let mut results = hunt.results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    // Seeds above the first catch depend on how the cores were scheduled.
    results.finish(hunt.lowest_caught.into_inner());
    if let Some(error) = results.error {
        return Err(error);
    }
    let totals = results.totals;
    totals.print(elapsed, jobs);
    let gates = totals.gates();
    for gate in &gates {
        println!("gate: {gate}");
    }
    Ok(match totals.worst() {
        Some(kind) => kind.exit_code(),
        None if gates.is_empty() => EXIT_OK,
        None => FailureKind::Gate.exit_code(),
    })
}

/// What the threads of a hunt share.
struct Hunt {
    end: u64,
    deadline: Option<WallClock>,
    until_caught: bool,
    /// The next seed to run.
    next: AtomicU64,
    /// No seed above it need be run.
    lowest_caught: AtomicU64,
    results: Mutex<Results>,
}

/// What came out so far. Of a run nothing is kept but its share of the totals: a hunt may go on for days.
struct Results {
    /// The next seed to be told of.
    next: u64,
    /// Seeds that were done before an earlier one.
    early: BTreeMap<u64, RunReport>,
    totals: Totals,
    json: Option<BufWriter<File>>,
    /// Why no more can be told.
    error: Option<String>,
}

impl Hunt {
    fn work(&self, bar: &ProgressBar) {
        loop {
            let seed = self.next.fetch_add(1, Ordering::Relaxed);
            let late = self.deadline.is_some_and(|deadline| WallClock::now() >= deadline);
            if seed >= self.end || late || seed > self.lowest_caught.load(Ordering::Relaxed) {
                return;
            }
            let report = run_seed(seed, &RunOptions::default());
            if let Some(failure) = &report.failure {
                let is_panic = failure.kind == FailureKind::Panic;
                if !self.until_caught {
                    bar.suspend(|| eprintln!("{}", report.failure_line().unwrap_or_default()));
                } else if !is_panic {
                    self.lowest_caught.fetch_min(seed, Ordering::Relaxed);
                }
            }
            bar.inc(1);
            let mut results = self.results.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            results.take(report, self.lowest_caught.load(Ordering::Relaxed));
            if results.error.is_some() {
                return;
            }
        }
    }
}

impl Results {
    /// Takes a report, and tells all whose turn it is: in order of seed, whoever was done first.
    fn take(&mut self, report: RunReport, last: u64) {
        self.early.insert(report.seed, report);
        while let Some(report) = self.early.remove(&self.next) {
            self.next += 1;
            self.tell(&report, last);
        }
    }

    /// Where the time was up, a seed may be missing before the last ones.
    fn finish(&mut self, last: u64) {
        for report in std::mem::take(&mut self.early).into_values() {
            self.tell(&report, last);
        }
    }

    fn tell(&mut self, report: &RunReport, last: u64) {
        if report.seed > last || self.error.is_some() {
            return;
        }
        self.totals.add(report);
        if let Some(file) = &mut self.json {
            let written = writeln!(file, "{}", report.to_json()).and_then(|()| file.flush());
            self.error = written.err().map(|error| format!("can't write the JSON file: {error}"));
        }
    }
}

fn progress_bar(seeds: &Range<u64>, time: Option<Duration>) -> ProgressBar {
    let (bar, template) = match time {
        Some(_) => (ProgressBar::new_spinner(), "{spinner} {elapsed_precise} {pos} seeds ({per_sec})"),
        None => {
            (ProgressBar::new(seeds.end - seeds.start), "{bar:40} {pos}/{len} seeds ({per_sec}, {eta} left)")
        }
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.with_style(style)
}
