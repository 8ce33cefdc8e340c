//! `replay`: one seed again, or an edited setup, with everything that happened.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use raft_sim::run::{RunOptions, run_seed};

use super::{EXIT_OK, create, setup};

/// What to run, and what to show of it.
#[derive(Args, Clone, Debug)]
pub(crate) struct ReplayArguments {
    /// A seed, or the file of a setup that `setup` printed
    #[arg(value_name = "SEED|FILE")]
    what: String,
    /// Print a time line, one event a line
    #[arg(long)]
    text: bool,
    /// Write one JSON object an event to this file
    #[arg(long, value_name = "FILE")]
    jsonl: Option<PathBuf>,
}

pub(crate) fn main(arguments: &ReplayArguments) -> Result<u8, String> {
    let mut options = RunOptions::default();
    options.trace.text = arguments.text;
    options.trace.json = arguments.jsonl.is_some();
    let seed = match arguments.what.parse() {
        Ok(seed) => seed,
        Err(_) => {
            let setup = setup::read(Path::new(&arguments.what))?;
            let seed = setup.seed;
            options.setup = Some(setup);
            seed
        }
    };
    // Opened first: a wrong path is told at once, and not after a long run.
    let mut jsonl = arguments.jsonl.as_ref().map(create).transpose()?;
    let report = run_seed(seed, &options);
    let out = std::io::stdout();
    let mut out = out.lock();
    let broken = |error: std::io::Error| format!("can't print the time line: {error}");
    for line in &report.trace.text {
        writeln!(out, "{line}").map_err(broken)?;
    }
    if let Some(file) = &mut jsonl {
        let broken = |error: std::io::Error| format!("can't write the JSON file: {error}");
        for line in &report.trace.json {
            writeln!(file, "{line}").map_err(broken)?;
        }
        file.flush().map_err(broken)?;
    }
    write!(out, "{report}").map_err(broken)?;
    Ok(match &report.failure {
        Some(failure) => failure.kind.exit_code(),
        None => EXIT_OK,
    })
}
