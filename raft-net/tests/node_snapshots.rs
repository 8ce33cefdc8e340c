//! Snapshots on real files: the log is let go, a member that was away gets the state, a damaged one is repaired.

#![allow(clippy::unwrap_used, reason = "a test's helpers may")]

mod node_support;

use std::fs;
use std::time::Duration;

use node_support::{Cluster, List};
use raft_core::replica::StateMachine;
use raft_core::snapshot::{Sink, Source, SourceError};
use raft_core::{Index, NodeId, RoleName};
use raft_net::{Consistency, Node, NodeStatus, StopReason};

/// Nodes that take a snapshot every few commands, and keep little of the log.
async fn start_frugal(cluster: &mut Cluster, id: NodeId) {
    let mut config = cluster.config(id);
    config.journal.segment_bytes = 16 << 10;
    config.replica.snapshot_after_bytes = 16 << 10;
    config.replica.raft.trailing_entries = 8;
    config.replica.raft.cache_bytes_max = 8 << 10;
    let node = Node::start(config, List::default()).await.unwrap();
    cluster.nodes.insert(id, node);
}

fn all_ids(cluster: &Cluster) -> Vec<NodeId> {
    cluster.addresses.keys().copied().collect()
}

async fn write(node: &Node<List>, from: usize, count: usize) {
    for number in from..from + count {
        node.propose(format!("{number}.{}", "x".repeat(1_000))).await.unwrap();
    }
}

/// Waits until a node's status is as wanted.
async fn wait(node: &Node<List>, what: &str, is_so: impl FnMut(&NodeStatus) -> bool) -> NodeStatus {
    let mut status = node.watch_status();
    let waited = tokio::time::timeout(Duration::from_secs(30), status.wait_for(is_so)).await;
    waited.unwrap_or_else(|_| panic!("{what}: within 30 s")).unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_was_away_gets_the_state_and_a_restart_keeps_it() {
    let mut cluster = Cluster::initialised(3);
    for id in all_ids(&cluster) {
        start_frugal(&mut cluster, id).await;
    }
    let leader = cluster.settled().await;
    let away = cluster.followers(leader)[0];
    write(&cluster.nodes[&leader], 0, 5).await;
    cluster.nodes.remove(&away).unwrap().shutdown().await;

    write(&cluster.nodes[&leader], 5, 200).await;
    let compacted = wait(&cluster.nodes[&leader], "snapshots", |status| status.raft.log_start.0 > 100).await;
    assert!(compacted.disk.snapshots > 1, "{:?}", compacted.disk);
    let segments = fs::read_dir(cluster.directory(leader)).unwrap().map(Result::unwrap);
    let names: Vec<_> = segments.map(|entry| entry.file_name().into_string().unwrap()).collect();
    let count = |prefix: &str| names.iter().filter(|name| name.starts_with(prefix)).count();
    assert!(count("snapshot-") <= 2 && count("segment-") <= 5, "what is covered is removed: {names:?}");

    start_frugal(&mut cluster, away).await;
    cluster.settled().await;
    let node = &cluster.nodes[&away];
    let installed = wait(node, "an install", |status| status.raft.applied.0 >= 205).await;
    assert!(installed.raft.snapshot.index.0 > 100, "it came as a snapshot: {:?}", installed.raft.snapshot);
    let all = node.query((), Consistency::Linearizable).await.unwrap();
    assert_eq!(all.len(), 205);

    cluster.stop_all().await;
    for id in all_ids(&cluster) {
        start_frugal(&mut cluster, id).await;
    }
    cluster.settled().await;
    for node in cluster.nodes.values() {
        assert_eq!(node.query((), Consistency::Linearizable).await.as_ref(), Ok(&all));
    }
    cluster.stop_all().await;
}

/// A disk that is full when a snapshot comes is no failure: the node answers on, and gets the snapshot once there is room.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_without_room_for_a_snapshot_goes_on_and_gets_it_later() {
    let mut cluster = Cluster::initialised(3);
    for id in all_ids(&cluster) {
        start_frugal(&mut cluster, id).await;
    }
    let leader = cluster.settled().await;
    let [away, other] = cluster.followers(leader)[..] else { panic!("three nodes") };
    write(&cluster.nodes[&leader], 0, 5).await;
    cluster.nodes.remove(&away).unwrap().shutdown().await;
    write(&cluster.nodes[&leader], 5, 200).await;
    wait(&cluster.nodes[&leader], "snapshots", |status| status.raft.log_start.0 > 100).await;

    let faults = cluster.faults[&away].clone();
    faults.no_room_for_snapshots(true);
    start_frugal(&mut cluster, away).await;
    let refused = async {
        while faults.refusals() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), refused).await.expect("the leader tries, and tries again");

    // With the other one gone, the leader's quorum is the node without room.
    let term = cluster.nodes[&leader].status().raft.term;
    cluster.nodes.remove(&other).unwrap().shutdown().await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let status = cluster.nodes[&leader].status();
    assert_eq!((status.raft.term, status.raft.role), (term, RoleName::Leader), "it is heard");
    let refusals = faults.refusals();
    assert!(refusals <= 12, "{refusals} attempts: one in an election timeout is enough");
    assert_eq!(cluster.nodes[&away].status().raft.snapshot.index, Index(0));

    faults.no_room_for_snapshots(false);
    let installed = wait(&cluster.nodes[&away], "an install", |status| status.raft.applied.0 >= 205).await;
    assert!(installed.raft.snapshot.index.0 > 100, "it came as a snapshot: {:?}", installed.raft.snapshot);
    write(&cluster.nodes[&leader], 205, 1).await;
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_member_abstains_until_its_peers_have_repaired_it() {
    let mut cluster = Cluster::initialised(3);
    for id in all_ids(&cluster) {
        start_frugal(&mut cluster, id).await;
    }
    let leader = cluster.settled().await;
    write(&cluster.nodes[&leader], 0, 40).await;
    let damaged = cluster.followers(leader)[0];
    wait(&cluster.nodes[&damaged], "the last write", |status| status.raft.applied.0 > 40).await;
    cluster.stop_all().await;

    let directory = cluster.directory(damaged);
    let snapshot = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path());
    let is_snapshot = |path: &std::path::PathBuf| path.to_string_lossy().contains("snapshot-");
    for path in snapshot.filter(is_snapshot) {
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x40;
        fs::write(path, bytes).unwrap();
    }

    // Alone it waits: it neither votes nor campaigns, and says so.
    start_frugal(&mut cluster, damaged).await;
    assert!(cluster.nodes[&damaged].status().raft.abstaining);
    for id in all_ids(&cluster).into_iter().filter(|id| *id != damaged) {
        start_frugal(&mut cluster, id).await;
    }
    let leader = cluster.settled().await;
    assert_ne!(leader, damaged);
    let node = &cluster.nodes[&damaged];
    wait(node, "repaired", |status| !status.raft.abstaining && status.raft.applied.0 > 40).await;
    assert_eq!(node.query((), Consistency::Stale).await.unwrap().len(), 40);
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_cannot_be_written_stops_the_node_and_loses_nothing() {
    let mut cluster = Cluster::initialised(1);
    let (id, faults) = (NodeId(1), cluster.faults[&NodeId(1)].clone());
    start_frugal(&mut cluster, id).await;
    cluster.settled().await;
    let node = cluster.nodes.remove(&id).unwrap();
    write(&node, 0, 10).await;
    faults.fail_creations();
    let mut acknowledged = 10;
    while node.propose(format!("{acknowledged}")).await.is_ok() {
        acknowledged += 1;
        assert!(acknowledged < 20_000, "a snapshot or a segment is due long before");
    }
    let reason = node.stopped().await.to_string();
    assert!(reason.contains("can't create"), "{reason}");
    assert_eq!((faults.failures(), faults.tried_after_failure()), (1, 0));

    cluster.faults.insert(id, Default::default());
    start_frugal(&mut cluster, id).await;
    cluster.settled().await;
    let all = cluster.nodes[&id].query((), Consistency::Linearizable).await.unwrap();
    assert!(all.len() >= acknowledged, "{} of {acknowledged}", all.len());
}

/// Can't be written down.
#[derive(Clone, Debug)]
struct Unwritable;

impl StateMachine for Unwritable {
    type Command = String;
    type Response = ();
    type Query = ();
    type Answer = ();
    type Image = ();

    fn apply(&mut self, _: Index, _: String) {}

    fn query(&self, (): ()) {}

    fn freeze(&self) {}

    fn write((): &(), _: &mut dyn Sink) {
        panic!("a state machine with a bug, for a test");
    }

    fn restore(_: &mut dyn Source) -> Result<Unwritable, SourceError> {
        Ok(Unwritable)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_machine_that_panics_while_it_is_written_stops_the_node() {
    let cluster = Cluster::initialised(1);
    let mut config = cluster.config(NodeId(1));
    config.replica.snapshot_after_bytes = 1_000;
    let node = Node::start(config, Unwritable).await.unwrap();
    let is_leading = |status: &NodeStatus| status.raft.leader.is_some();
    node.watch_status().wait_for(is_leading).await.unwrap();
    let mut proposed = 0;
    while node.propose("x".repeat(500)).await.is_ok() {
        proposed += 1;
        assert!(proposed < 10_000, "it goes on without snapshots");
    }
    let reason = tokio::time::timeout(Duration::from_secs(30), node.stopped()).await.unwrap();
    assert_eq!(reason, StopReason::Broken);
}
