//! Five processes, a network that loses, delays, reorders and doubles, nodes that are killed, stopped and cut off; and
//! clients whose history is judged by a checker that knows nothing of Raft.
//!
//! Half a minute by default. For hours:
//!
//! ```sh
//! RAFT_KV_TORTURE_SECONDS=28800 cargo test --release -p raft-net --test kv_torture -- --nocapture
//! ```
//!
//! `RAFT_KV_TORTURE_SEED` chooses other numbers; processes and sockets have a timing of their own, so a seed repeats the
//! plan and not the run. `RAFT_KV_TORTURE_HISTORY=FILE` keeps the history, for `cargo sim check FILE --model kv`.
#![cfg(feature = "kv")]
#![allow(clippy::unwrap_used, clippy::disallowed_types, reason = "a test of real processes, in real time")]

#[path = "kv_torture/clients.rs"]
mod clients;
#[path = "kv_support/cluster.rs"]
mod cluster;
#[path = "kv_support/dice.rs"]
mod dice;
#[path = "kv_torture/faults.rs"]
mod faults;
#[path = "kv_support/relay.rs"]
mod relay;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use raft_sim::check::{self, Budget, kv::KvModel};

use clients::{Clients, Reads};
use cluster::{Cluster, eventually};
use faults::{FaultCounts, Faults};
use relay::Relay;

const NODES: usize = 5;
const CLIENTS: u64 = 8;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}: {text:?}")))
}

#[test]
fn nothing_acknowledged_is_lost_and_the_history_is_linearizable() {
    let (seconds, seed) = (number("RAFT_KV_TORTURE_SECONDS", 30), number("RAFT_KV_TORTURE_SEED", 1));
    println!("seed {seed}, {seconds} seconds of faults");
    let mut cluster = Cluster::init(NODES);
    let relay = Relay::between(&cluster, seed);
    // Snapshots all the time: whoever was away for long gets one.
    for id in 1..=NODES {
        let text = std::fs::read_to_string(cluster.config(id)).unwrap();
        std::fs::write(cluster.config(id), format!("snapshot_after_kib = 16\n{text}")).unwrap();
    }
    (1..=NODES).for_each(|id| cluster.launch(id));
    (1..=NODES).for_each(|id| cluster.wait_ready(id));

    let clients = Clients::start(&cluster.http, CLIENTS, seed, Reads::Linearizable);
    let end = Instant::now() + Duration::from_secs(seconds);
    let faults = Faults::new(seed).run_until(end, &mut cluster, &relay);
    let told = clients.stop();
    (1..=NODES).for_each(|id| cluster.wait_ready(id));

    // A last look at every register, by way of every node.
    let ports = cluster.http.clone();
    told.read_all_registers(&ports);
    let mut compacted = 0;
    let digests = eventually("all nodes have applied the same", || {
        let states: Vec<_> = (1..=NODES).map(|id| cluster.ask(id, "GET", "/state", "").json()).collect();
        let of = |name: &str| states.iter().map(|state| state[name].to_string()).collect::<Vec<_>>();
        let (applied, digests) = (of("applied"), of("digest"));
        assert!(states.iter().all(|state| state["stopped"].is_null()), "{states:?}");
        compacted = states.iter().filter(|state| state["log_start"].as_u64() > Some(1)).count() as u64;
        (applied.iter().all(|one| *one == applied[0])).then_some(digests)
    });
    assert!(digests.iter().all(|digest| *digest == digests[0]), "states differ: {digests:?}");
    for id in 1..=NODES {
        // The digests are equal, so of one node all is read, and of the others a part.
        told.assert_kept(&cluster, id, if id == 1 { 1 } else { 20 });
    }

    let history = told.history();
    if let Ok(file) = std::env::var("RAFT_KV_TORTURE_HISTORY") {
        std::fs::write(&file, check::export(&history, &KvModel::default())).unwrap();
    }
    let report = check::check(KvModel::default(), &history, Budget::default());
    print(&told, &faults, &relay, &report);
    assert!(report.verdict.is_linearizable(), "{:?}", report.verdict);
    validate(seconds, compacted, &told, &faults, &relay);
}

/// The checker is no rubber stamp: reads that may be old are noticed.
#[test]
fn stale_reads_are_told_from_linearizable_ones() {
    let mut cluster = Cluster::init(NODES);
    let relay = Relay::between(&cluster, 3);
    (1..=NODES).for_each(|id| cluster.launch(id));
    (1..=NODES).for_each(|id| cluster.wait_ready(id));
    let clients = Clients::start(&cluster.http, CLIENTS, 3, Reads::Stale);
    Faults::new(3).run_until(Instant::now() + Duration::from_secs(6), &mut cluster, &relay);
    let history = clients.stop().history();
    let report = check::check(KvModel::default(), &history, Budget::default());
    let violation = report.verdict.violation().unwrap_or_else(|| panic!("{:?}", report.stats));
    println!("{}", violation.sentence);
}

fn print(told: &Arc<clients::Told>, faults: &FaultCounts, relay: &Relay, report: &check::Report) {
    let network = relay.counts();
    let of = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
    println!("operations   {}", told.summary());
    println!("processes    {faults:?}");
    println!(
        "datagrams    passed {} lost {} doubled {} delayed {} cut {}",
        of(&network.passed),
        of(&network.lost),
        of(&network.doubled),
        of(&network.delayed),
        of(&network.cut)
    );
    println!("checker      {:?} in {} parts, {} spent", report.stats, report.parts.len(), report.spent);
}

/// A run in which too little happened proves nothing.
fn validate(seconds: u64, compacted: u64, told: &clients::Told, faults: &FaultCounts, relay: &Relay) {
    let network = relay.counts();
    let of = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
    let minima = [
        ("operations answered", told.answered(), 20 * seconds),
        ("operations of unknown outcome", told.unknown(), 1),
        ("increments repeated in a session", told.repeated(), 1),
        ("nodes that compacted their log", compacted, NODES as u64),
        ("kills", faults.kills, seconds / 6),
        ("kills of the leader", faults.leader_kills, 1),
        ("two nodes down at once", faults.two_down, 1),
        ("pauses", faults.pauses, seconds / 8),
        ("cuts", faults.cuts, seconds / 15),
        ("datagrams lost", of(&network.lost), 10 * seconds),
        ("datagrams doubled", of(&network.doubled), 10 * seconds),
        ("datagrams delayed", of(&network.delayed), 10 * seconds),
        ("datagrams cut", of(&network.cut), seconds),
    ];
    for (what, count, minimum) in minima {
        assert!(
            count >= minimum,
            "invalid run, which proves nothing: {what}: {count}, at least {minimum} wanted"
        );
    }
}
