//! Memory while the log grows to a hundred times the cache: while it is written, and while it is applied again at a start.
//! A file of its own, so that nothing else runs in this process.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test's helpers may")]

mod node_support;

use std::time::Duration;

use node_support::Cluster;
use raft_core::replica::StateMachine;
use raft_core::snapshot::{Sink, Source, SourceError, read_value, write_value};
use raft_core::{Index, NodeId};
use raft_net::{Consistency, Node, NodeConfig};

const CACHE: u64 = 256 << 10;
const COMMAND: usize = 4 << 10;
const COMMANDS: u64 = 100 * CACHE / COMMAND as u64 + 1;
/// What the process may grow by, in KiB, while the log grows by 75 caches, of which it is 19 MiB. Allocators keep some.
const GROWTH_KIB_MAX: u64 = 4 << 10;

/// Counts bytes, and keeps none.
#[derive(Clone, Debug, Default)]
struct Length(u64);

impl StateMachine for Length {
    type Command = String;
    type Response = u64;
    type Query = ();
    type Answer = u64;
    type Image = u64;

    fn apply(&mut self, _: Index, command: String) -> u64 {
        self.0 += command.len() as u64;
        self.0
    }

    fn query(&self, (): ()) -> u64 {
        self.0
    }

    fn freeze(&self) -> u64 {
        self.0
    }

    fn write(image: &u64, out: &mut dyn Sink) {
        write_value(image, out);
    }

    fn restore(input: &mut dyn Source) -> Result<Length, SourceError> {
        read_value(input).map(Length)
    }
}

fn config(cluster: &Cluster) -> NodeConfig {
    let mut config = cluster.config(NodeId(1));
    config.replica.raft.cache_bytes_max = CACHE;
    config.journal.recovered_bytes_max = CACHE;
    // The log stays.
    config.replica.snapshot_after_bytes = u64::MAX;
    config.replica.snapshot_after_terms = usize::MAX;
    config
}

/// What this process has in memory, in KiB.
fn memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_flat_while_the_log_grows_to_a_hundred_times_the_cache() {
    let cluster = Cluster::initialised(1);
    let node = Node::start(config(&cluster), Length::default()).await.unwrap();
    let writing = write(&node, 0..COMMANDS / 4).await;
    node.shutdown().await;
    let (node, starting) = start_again(&cluster, COMMANDS / 4).await;
    let writing_on = write(&node, COMMANDS / 4..COMMANDS).await;
    node.shutdown().await;
    let (node, starting_again) = start_again(&cluster, COMMANDS).await;
    node.shutdown().await;
    let log = (COMMANDS * COMMAND as u64) >> 10;
    println!("log {} KiB, then {log} KiB; writing took {writing} KiB, then {writing_on} KiB", log / 4);
    println!("starting took {starting} KiB, then {starting_again} KiB");
    // Each phase is measured against what the process had before it: the allocator keeps what threads that ended had.
    assert!(writing <= GROWTH_KIB_MAX && writing_on <= GROWTH_KIB_MAX);
    assert!(starting_again <= starting + GROWTH_KIB_MAX);
}

/// What so many commands added to the process's memory.
async fn write(node: &Node<Length>, numbers: std::ops::Range<u64>) -> u64 {
    let is_leading = |status: &raft_net::NodeStatus| status.raft.leader.is_some();
    node.watch_status().wait_for(is_leading).await.unwrap();
    let before = memory_kib();
    for number in numbers {
        let sum = node.propose("x".repeat(COMMAND)).await.unwrap();
        assert_eq!(sum, (number + 1) * COMMAND as u64);
        // What was just proposed is needed until it is written and applied.
        let cached = node.status().raft.log_bytes;
        assert!(cached <= CACHE + 4 * COMMAND as u64, "{cached}");
    }
    memory_kib().saturating_sub(before)
}

/// A node that has applied so many commands again, and the most memory that the process needed more meanwhile.
async fn start_again(cluster: &Cluster, commands: u64) -> (Node<Length>, u64) {
    let before = memory_kib();
    let start = tokio::spawn(Node::start(config(cluster), Length::default()));
    let mut highest = 0;
    while !start.is_finished() {
        highest = highest.max(memory_kib());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let node = start.await.unwrap().unwrap();
    let again = async {
        while node.query((), Consistency::Stale).await != Ok(commands * COMMAND as u64) {
            highest = highest.max(memory_kib());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), again).await.expect("applied again within a minute");
    (node, highest.saturating_sub(before))
}
