//! How fast worlds run, on one core: events and virtual seconds a second, for 5 nodes with everything on, for 3 nodes
//! with latency alone, and for what `run` runs by default.
//!
//! `cargo bench -p raft-sim --bench simulator`. Medians of seven rounds over the same seeds; nothing is asserted.

#![allow(clippy::disallowed_types)] // Wall-clock time is what a benchmark is for.

use std::time::Instant;

use raft_sim::choices::Choices;
use raft_sim::run::{RunOptions, run_seed};
use raft_sim::swarm::{self, Mode, Setup};

const ROUNDS: usize = 7;
const SEEDS: usize = 12;

fn main() {
    println!(
        "{:<34} {:>12} {:>12} {:>14} {:>16}",
        "world", "events/s", "(spread)", "virtual s/s", "events a seed"
    );
    measure("5 nodes, everything on", |setup| setup.voters == 5 && setup.mode == Mode::Everything);
    measure("3 nodes, latency alone", |setup| setup.voters == 3 && setup.mode == Mode::Control);
    measure("as drawn", |_| true);
}

fn measure(name: &str, wanted: impl Fn(&Setup) -> bool) {
    let is_wanted = |seed: &u64| wanted(&swarm::draw(*seed, &mut Choices::seeded(*seed)));
    let seeds: Vec<u64> = (0..).filter(is_wanted).take(SEEDS).collect();
    let mut rounds: Vec<(u64, u64, u64)> = (0..ROUNDS).map(|_| round(&seeds)).collect();
    rounds.sort_unstable();
    let (median, virtual_rate, events) = rounds[ROUNDS / 2];
    let (low, high) = (rounds[0].0, rounds[ROUNDS - 1].0);
    let spread = format!("{}-{}k", low / 1_000, high / 1_000);
    println!("{name:<34} {median:>12} {spread:>12} {virtual_rate:>14} {:>16}", events / SEEDS as u64);
}

/// Events a second, virtual seconds a second, and events.
fn round(seeds: &[u64]) -> (u64, u64, u64) {
    let started = Instant::now();
    let (mut events, mut micros) = (0, 0);
    for seed in seeds {
        let report = run_seed(*seed, &RunOptions::default());
        events += report.events;
        micros += report.virtual_time;
    }
    let elapsed = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX).max(1);
    (events * 1_000_000 / elapsed, micros / elapsed, events)
}
