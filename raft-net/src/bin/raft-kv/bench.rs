//! `bench`: durable writes and linearizable reads of a real cluster, beside what its disk and network can do at all.
//!
//! The nodes are processes of their own, as in production; the clients share this one. Every write that is counted was
//! answered, so it is synced on a majority. Runs are bounded by count, and the raw figures are taken again before every
//! run, because a virtual disk may be throttled once it has been used much.

mod load;
mod raw;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::args::{BenchArguments, Output, Via};
use crate::client::{Question, ask};
use crate::config::NodeAddresses;
use crate::exit::{Exit, Fatal};
use crate::init;
use crate::nodes::{Nodes, Temporary};
use crate::print::{say, table};
use crate::report::StateReport;

use self::load::{Kind, Load};

/// Clients of one run at most.
const CLIENTS_MAX: usize = 1_000;

/// Everything that was measured.
#[derive(Debug, Serialize)]
struct Report {
    nodes: u64,
    value_bytes: usize,
    via: String,
    clients_at: String,
    directory: String,
    file_system: String,
    cores: usize,
    runs: Vec<Run>,
}

/// One line of it.
#[derive(Debug, Serialize)]
struct Run {
    kind: Kind,
    clients: usize,
    /// Answered well.
    operations: usize,
    /// Answered otherwise, or not at all. Not in any other figure.
    failed: usize,
    per_second: u64,
    p50_us: u64,
    p99_us: u64,
    /// Batches that the leader synced during the run.
    syncs: u64,
    /// Log entries that it synced, times ten, for each of them.
    entries_per_sync_tenths: u64,
    /// One fdatasync of 4 KiB in the same directory, just before.
    raw_sync_us: Percentiles,
    /// One UDP datagram of 200 bytes there and back on loopback, just before.
    raw_udp_us: Percentiles,
}

/// Microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Percentiles {
    p50: u64,
    p99: u64,
}

impl Percentiles {
    /// Of all samples.
    fn of(mut samples: Vec<u64>) -> Percentiles {
        samples.sort_unstable();
        let at = |percent: usize| {
            let index = (samples.len() * percent / 100).min(samples.len().saturating_sub(1));
            samples.get(index).copied().unwrap_or(0)
        };
        Percentiles { p50: at(50), p99: at(99) }
    }
}

/// Runs it.
pub(crate) async fn run(arguments: BenchArguments) -> Result<(), Fatal> {
    if arguments.clients.is_empty()
        || arguments.clients.iter().any(|count| !(1..=CLIENTS_MAX).contains(count))
    {
        return Err(Fatal::new(Exit::Usage, "--clients takes numbers from 1 to 1000, as 1,16,64"));
    }
    let parent = arguments.data.clone().unwrap_or_else(std::env::temp_dir);
    let temporary = Temporary::new("bench", &parent)?;
    let configs = prepare(temporary.path(), arguments.nodes)?;
    let mut nodes = Nodes::start(&configs)?;
    let result = measure(&arguments, &mut nodes, temporary.path()).await;
    nodes.stop().await;
    let report = result?;
    match arguments.output {
        Output::Table => say(describe(&report)),
        Output::Json => {
            let text = serde_json::to_string_pretty(&report)
                .map_err(|error| Fatal::new(Exit::Other, format!("the report can't be written: {error}")))?;
            say(format!("{text}\n"));
        }
    }
    Ok(())
}

/// Fresh nodes on ports that are free now.
fn prepare(directory: &Path, count: u64) -> Result<Vec<PathBuf>, Fatal> {
    let mut kept = Vec::new();
    let mut nodes = Vec::new();
    for id in 1..=count {
        let mut free = || {
            // Kept open until all are drawn, so that no port is drawn twice; UDP has the same numbers free or is told so.
            let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
            let address = listener.local_addr()?;
            kept.push(listener);
            Ok::<_, std::io::Error>(address.to_string())
        };
        let mut draw = || free().map_err(|error| Fatal::io("no free port on 127.0.0.1", &error));
        nodes.push(NodeAddresses { id, raft: draw()?, http: Some(draw()?), line: Some(draw()?) });
    }
    drop(kept);
    init::cluster(directory, &nodes)?;
    Ok((1..=count).map(|id| init::config_of(directory, id)).collect())
}

async fn measure(arguments: &BenchArguments, nodes: &mut Nodes, directory: &Path) -> Result<Report, Fatal> {
    nodes.ready(Duration::from_secs(30)).await?;
    let mut report = Report {
        nodes: arguments.nodes,
        value_bytes: arguments.value_bytes,
        via: match arguments.via {
            Via::Line => "line protocol",
            Via::Http => "HTTP",
        }
        .into(),
        clients_at: if arguments.spread { "all nodes" } else { "the leader" }.into(),
        directory: directory.display().to_string(),
        file_system: raw::file_system(directory),
        cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        runs: Vec::new(),
    };
    for &clients in &arguments.clients {
        for kind in [Kind::Put, Kind::Get] {
            let raw_sync_us = Percentiles::of(raw::sync(directory)?);
            let raw_udp_us = Percentiles::of(raw::udp().await?);
            let leader = leader(nodes).await?;
            let at: Vec<String> = if arguments.spread {
                targets(nodes, arguments.via)
            } else {
                vec![target(nodes, leader.id, arguments.via)?]
            };
            let load = Load {
                kind,
                clients,
                via: arguments.via,
                at,
                value_bytes: arguments.value_bytes,
                operations: arguments.operations * (clients + 2) / clients,
            };
            let before = state(nodes, leader.id).await?;
            let outcome = load.run().await?;
            let after = state(nodes, leader.id).await?;
            let operations = outcome.latencies_us.len();
            let latency = Percentiles::of(outcome.latencies_us);
            let syncs = after.disk.syncs.saturating_sub(before.disk.syncs);
            let entries = after.durable.saturating_sub(before.durable);
            report.runs.push(Run {
                kind,
                clients,
                operations,
                failed: outcome.failed,
                per_second: operations as u64 * 1_000_000 / outcome.elapsed_us.max(1),
                p50_us: latency.p50,
                p99_us: latency.p99,
                syncs,
                entries_per_sync_tenths: entries * 10 / syncs.max(1),
                raw_sync_us,
                raw_udp_us,
            });
        }
    }
    Ok(report)
}

fn targets(nodes: &Nodes, via: Via) -> Vec<String> {
    nodes.running.iter().filter_map(|node| target(nodes, node.settings.id, via).ok()).collect()
}

fn target(nodes: &Nodes, id: u64, via: Via) -> Result<String, Fatal> {
    let node = nodes.running.iter().find(|node| node.settings.id == id);
    let address = node.and_then(|node| match via {
        Via::Http => Some(node.settings.http),
        Via::Line => node.settings.line,
    });
    address
        .map(|address| address.to_string())
        .ok_or_else(|| Fatal::new(Exit::Other, format!("node {id} has no address")))
}

async fn state(nodes: &Nodes, id: u64) -> Result<StateReport, Fatal> {
    let http = target(nodes, id, Via::Http)?;
    match ask(&http, None, &Question::get("/state")).await {
        Ok(answer) => answer.json(),
        Err(_) => Err(Fatal::new(
            Exit::Unavailable,
            format!("node {id} does not answer any more\n{}", nodes.log_tail(id)),
        )),
    }
}

/// The node that leads; an election under way is waited for.
async fn leader(nodes: &Nodes) -> Result<StateReport, Fatal> {
    for _ in 0..200 {
        for node in &nodes.running {
            let state = state(nodes, node.settings.id).await?;
            if state.role == "leader" {
                return Ok(state);
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(Fatal::new(Exit::Unavailable, "no node leads after 10 s"))
}

fn describe(report: &Report) -> String {
    let mut text = format!(
        "{} nodes as processes on loopback, {} cores for them and the clients; values of {} bytes by {}, clients at {}\n\
         file system {} ({})\n\n",
        report.nodes,
        report.cores,
        report.value_bytes,
        report.via,
        report.clients_at,
        report.file_system,
        report.directory,
    );
    let head = [
        "",
        "CLIENTS",
        "PER SECOND",
        "P50 US",
        "P99 US",
        "FAILED",
        "SYNCS",
        "ENTRIES/SYNC",
        "RAW SYNC P50/P99",
        "RAW UDP P50/P99",
        "P50 / IDEAL",
    ];
    let rows: Vec<Vec<String>> = report
        .runs
        .iter()
        .map(|run| {
            let (is_write, tenths) = (run.kind == Kind::Put, run.entries_per_sync_tenths);
            // One sync and two round trips: to the node and on to a follower.
            let ideal = run.raw_sync_us.p50 * u64::from(is_write) + 2 * run.raw_udp_us.p50;
            let ratio = run.p50_us * 100 / ideal.max(1);
            let only = |is_shown: bool, text: String| if is_shown { text } else { String::from("-") };
            vec![
                run.kind.name().into(),
                run.clients.to_string(),
                run.per_second.to_string(),
                run.p50_us.to_string(),
                run.p99_us.to_string(),
                run.failed.to_string(),
                only(is_write, run.syncs.to_string()),
                only(is_write, format!("{}.{}", tenths / 10, tenths % 10)),
                format!("{}/{}", run.raw_sync_us.p50, run.raw_sync_us.p99),
                format!("{}/{}", run.raw_udp_us.p50, run.raw_udp_us.p99),
                // Many clients wait for each other, so the comparison is for one.
                only(run.clients == 1, format!("{}.{:02}", ratio / 100, ratio % 100)),
            ]
        })
        .collect();
    text.push_str(&table(&head, &rows));
    text.push_str(
        "\nTimes in microseconds. A put is answered once it is synced on a majority and applied; a get is linearizable.\n\
         SYNCS and ENTRIES/SYNC are the leader's. RAW is what one fdatasync of 4 KiB and one datagram there and back took\n\
         just before the run. IDEAL is two of these round trips, and for a put one of these syncs.\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples() {
        assert_eq!(Percentiles::of(Vec::new()), Percentiles::default());
        assert_eq!(Percentiles::of(vec![7]), Percentiles { p50: 7, p99: 7 });
        assert_eq!(Percentiles::of((1..=100).rev().collect()), Percentiles { p50: 51, p99: 100 });
    }
}
