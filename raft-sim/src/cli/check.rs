//! `check`: is a recorded history linearizable?

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use raft_sim::check::{FileModel, Verdict, check_file};

use super::{EXIT_LINEARIZABILITY, EXIT_OK, EXIT_UNDECIDED};

/// A recorded history, and what it is a history of.
#[derive(Args, Clone, Debug)]
pub(crate) struct CheckArguments {
    /// The file; `.gz` too
    file: PathBuf,
    /// What the clients talked to
    #[arg(long, value_enum)]
    model: ModelName,
}

/// The models by the names of the command line.
#[derive(ValueEnum, Clone, Copy, Debug)]
enum ModelName {
    /// Strings by key, each initially empty; one EDN map a line
    Kv,
    /// The same, checked without taking the keys apart
    KvNopart,
    /// One register, initially nil; a Jepsen log
    Etcd,
}

pub(crate) fn main(arguments: &CheckArguments) -> Result<u8, String> {
    let model = match arguments.model {
        ModelName::Kv => FileModel::Kv,
        ModelName::KvNopart => FileModel::KvNopart,
        ModelName::Etcd => FileModel::Etcd,
    };
    let report = check_file(&arguments.file, model).map_err(|error| error.to_string())?;
    println!("{report}");
    Ok(match report.verdict {
        Verdict::Linearizable { .. } => EXIT_OK,
        Verdict::Violation(_) => EXIT_LINEARIZABILITY,
        Verdict::Unknown { .. } => EXIT_UNDECIDED,
    })
}
