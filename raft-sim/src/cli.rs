//! `raft-sim`: run seeds, replay one or an edited setup, check a history, plant bugs.

mod bugs;
mod check;
mod floors;
mod replay;
mod run;
mod setup;
mod summary;

use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

/// Everything is as it must be. The exit codes of failures are in `raft_sim::failure`.
pub(crate) const EXIT_OK: u8 = 0;
/// Wrong flags, or a file that can't be read.
pub(crate) const EXIT_USAGE: u8 = 2;

/// Attacks a Raft cluster in a deterministic world. Without a command: `run --seeds 0..1000`.
///
/// Exit codes: 0 ok, 2 usage or malformed input, 3 invariant, 4 linearizability, 5 liveness, 7 panic,
/// 8 coverage, budget or vacuity gate, 9 undecided.
#[derive(Parser, Debug)]
#[command(name = "raft-sim", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Runs many seeds: safety at every step, linearizability and liveness at the end of each.
    Run(run::RunArguments),
    /// Runs one seed again, or an edited setup, and shows what happened.
    Replay(replay::ReplayArguments),
    /// Prints what a seed means, as a file to edit and replay.
    Setup(setup::SetupArguments),
    /// Checks a recorded client history for linearizability.
    Check(check::CheckArguments),
    /// Plants known bugs one by one and measures how soon each is caught.
    Bugs(bugs::BugsArguments),
}

/// Parses the command line and does what it says.
pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let command = arguments.command.unwrap_or_else(|| Command::Run(run::RunArguments::default()));
    let result = match command {
        Command::Run(arguments) => run::main(&arguments),
        Command::Replay(arguments) => replay::main(&arguments),
        Command::Setup(arguments) => setup::main(&arguments),
        Command::Check(arguments) => check::main(&arguments),
        Command::Bugs(arguments) => bugs::main(&arguments),
    };
    ExitCode::from(result.unwrap_or_else(|error| {
        eprintln!("raft-sim: {error}");
        EXIT_USAGE
    }))
}

/// A half-open range of seeds, `A..B`.
pub(crate) fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    let number = |part: &str| {
        part.parse::<u64>().map_err(|_| format!("`{part}` is not a number; seeds are a range like 0..1000"))
    };
    let (start, end) = text.split_once("..").ok_or("seeds are a range like 0..1000")?;
    let seeds = number(start)?..number(end)?;
    if seeds.is_empty() {
        return Err(format!("{text} holds no seed; the end is exclusive and must be above the start"));
    }
    Ok(seeds)
}

/// A span of time with its unit.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 =
        number.parse().map_err(|_| format!("`{text}` is not a duration like 90s, 10m or 8h"))?;
    let unit_seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err(format!("`{text}` needs a unit: 90s, 10m or 8h")),
    };
    let seconds = number.checked_mul(unit_seconds).filter(|seconds| (1..=1 << 32).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(|| format!("`{text}` is out of range"))
}

/// Opens a file for writing, or says why not.
pub(crate) fn create(path: &PathBuf) -> Result<std::io::BufWriter<std::fs::File>, String> {
    let file = std::fs::File::create(path).map_err(|error| {
        format!("can't write {}: {error}; name a file in a folder that exists", path.display())
    })?;
    Ok(std::io::BufWriter::new(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_half_open_range() {
        assert_eq!(parse_seeds("3..5"), Ok(3..5));
        for wrong in ["", "5", "5..", "..5", "5..5", "6..5", "a..b", "-1..4"] {
            assert!(parse_seeds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(parse_duration("10m"), Ok(Duration::from_secs(600)));
        for wrong in ["", "10", "m", "0s", "5d", "99999999999h"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
