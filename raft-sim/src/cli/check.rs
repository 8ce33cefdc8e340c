//! `check`: is a recorded history linearizable?

use std::path::PathBuf;

use clap::Args;
use raft_sim::check::{FileModel, check_file};

/// A recorded history, and what it is a history of.
#[derive(Args, Clone, Debug)]
pub(crate) struct CheckArguments {
    /// The file; `.gz` too
    file: PathBuf,
    /// What the clients talked to. kv: strings by key, each initially empty, one EDN map a line; kv-nopart: the same,
    /// checked without taking the keys apart; etcd: one register, initially nil, a Jepsen log
    #[arg(long, value_name = "kv|kv-nopart|etcd")]
    model: FileModel,
}

pub(crate) fn main(arguments: &CheckArguments) -> Result<u8, String> {
    let report = check_file(&arguments.file, arguments.model).map_err(|error| error.to_string())?;
    println!("{report}");
    Ok(report.verdict.exit_code())
}
