//! `run`: many seeds, on as many cores as there are. Every run is one thread and knows nothing of the others.

// The hunt is timed for people; no run sees this clock.
#![allow(clippy::disallowed_types)]

use std::io::Write as _;
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
    let mut json = arguments.json.as_ref().map(create).transpose()?;
    let hunt = hunt(arguments);
    let mut totals = Totals::default();
    for report in &hunt.reports {
        totals.add(report);
        if let Some(file) = &mut json {
            writeln!(file, "{}", report.to_json())
                .map_err(|error| format!("can't write the JSON file: {error}"))?;
        }
    }
    if let Some(file) = &mut json {
        file.flush().map_err(|error| format!("can't write the JSON file: {error}"))?;
    }
    totals.print(hunt.elapsed, hunt.jobs);
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

struct Hunt {
    /// In order of seed.
    reports: Vec<RunReport>,
    elapsed: Duration,
    jobs: usize,
}

fn hunt(arguments: &RunArguments) -> Hunt {
    let default_end = if arguments.time.is_some() { u64::MAX } else { 1_000 };
    let seeds = arguments.seeds.clone().unwrap_or(0..default_end);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let jobs = arguments.jobs.map_or(cores, usize::from);
    let bar = progress_bar(&seeds, arguments.time);
    let started = WallClock::now();
    let deadline = arguments.time.map(|time| started + time);
    let shared = Shared {
        next: AtomicU64::new(seeds.start),
        lowest_caught: AtomicU64::new(u64::MAX),
        reports: Mutex::new(Vec::new()),
    };
    #[allow(clippy::disallowed_methods)]
    // Each run is one thread; runs share nothing but the counter of seeds.
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| work(&shared, seeds.end, deadline, arguments.until_caught, &bar));
        }
    });
    bar.finish_and_clear();
    let mut reports = shared.reports.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    reports.sort_by_key(|report| report.seed);
    if arguments.until_caught {
        // Seeds above the first catch depend on how the cores were scheduled.
        let lowest = shared.lowest_caught.into_inner();
        reports.retain(|report| report.seed <= lowest);
    }
    Hunt { reports, elapsed: started.elapsed(), jobs }
}

struct Shared {
    next: AtomicU64,
    lowest_caught: AtomicU64,
    reports: Mutex<Vec<RunReport>>,
}

fn work(shared: &Shared, end: u64, deadline: Option<WallClock>, until_caught: bool, bar: &ProgressBar) {
    loop {
        let seed = shared.next.fetch_add(1, Ordering::Relaxed);
        let late = deadline.is_some_and(|deadline| WallClock::now() >= deadline);
        if seed >= end || late || seed > shared.lowest_caught.load(Ordering::Relaxed) {
            return;
        }
        let report = run_seed(seed, &RunOptions::default());
        if let Some(failure) = &report.failure {
            let is_panic = failure.kind == FailureKind::Panic;
            if !until_caught {
                bar.suspend(|| eprintln!("{}", report.failure_line().unwrap_or_default()));
            } else if !is_panic {
                shared.lowest_caught.fetch_min(seed, Ordering::Relaxed);
            }
        }
        bar.inc(1);
        let mut reports = shared.reports.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        reports.push(report);
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
