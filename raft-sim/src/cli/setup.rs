//! `setup`: what a seed means, printed as JSON. Edited, it is run by `replay`.

use std::io::Write as _;
use std::path::Path;

use clap::Args;
use raft_sim::choices::Choices;
use raft_sim::swarm::{Setup, draw};

use super::EXIT_OK;

/// Whose setup to print.
#[derive(Args, Clone, Debug)]
pub(crate) struct SetupArguments {
    /// The seed
    seed: u64,
}

pub(crate) fn main(arguments: &SetupArguments) -> Result<u8, String> {
    let setup = draw(arguments.seed, &mut Choices::seeded(arguments.seed));
    let json = serde_json::to_string_pretty(&setup);
    let json = json.map_err(|error| format!("the setup can't be written as JSON: {error}"))?;
    let printed = writeln!(std::io::stdout().lock(), "{json}");
    printed.map_err(|error| format!("can't print the setup: {error}"))?;
    Ok(EXIT_OK)
}

/// Reads a setup that was printed, and perhaps edited.
pub(crate) fn read(path: &Path) -> Result<Setup, String> {
    const ANEW: &str = "`raft-sim setup SEED` prints one to compare with";
    let file = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        format!("can't read {file}: {error}; give a seed, or the file of a setup: {ANEW}")
    })?;
    let setup: Setup = serde_json::from_str(&text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        format!("{file}:{line}:{column}: this is no setup: {error}; {ANEW}")
    })?;
    match setup.validate() {
        Ok(()) => Ok(setup),
        Err(error) => Err(format!("{file}: {} {}; change it and run this again", error.setting, error.rule)),
    }
}
