//! `raft-kv`: a key-value store on `raft-net`, for people to run, kill and measure. The README of `raft-net` is its
//! manual.

mod accept;
mod args;
mod bench;
mod client;
mod command;
mod commands;
mod config;
mod demo;
mod exit;
mod failure;
mod http;
mod init;
mod line;
mod nodes;
mod print;
mod report;
mod serve;
mod service;
mod store;
mod upkeep;
mod verify;

use std::process::ExitCode;

use clap::Parser;

use args::{Action, Arguments, JournalAction};
use exit::{Exit, Fatal};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("raft-kv: the runtime can't start: {error}");
            return Exit::Other.into();
        }
    };
    let result = runtime.block_on(run(arguments.action));
    // A read of standard input can't be interrupted; it must not hold up the end.
    runtime.shutdown_background();
    match result {
        Ok(()) => Exit::Ok.into(),
        Err(Fatal { exit, what }) => {
            eprintln!("raft-kv: {what}");
            exit.into()
        }
    }
}

async fn run(action: Action) -> Result<(), Fatal> {
    match action {
        Action::Demo(arguments) => demo::run(arguments).await,
        Action::Serve(arguments) => serve::run(arguments).await,
        Action::Init(action) => init::run(action),
        Action::Status(arguments) => commands::status(arguments).await,
        Action::Get(arguments) => commands::get(arguments).await,
        Action::Put(arguments) => commands::put(arguments).await,
        Action::Del(arguments) => commands::del(arguments).await,
        Action::Incr(arguments) => commands::incr(arguments).await,
        Action::Journal(JournalAction::Verify { directory, output }) => verify::run(&directory, output),
        Action::Bench(arguments) => bench::run(arguments).await,
    }
}
