//! What is the same on every run: allocations, messages and bytes. See the library's page.

use allocation_counter::{AllocationInfo, measure};
use bytes::Bytes;
use raft_compare::cluster::{Cluster, Node};
use raft_compare::ours::Ours;
use raft_compare::theirs::Theirs;
use raft_compare::{ELECTION_TICKS, HEARTBEAT_TICKS};

const COMMANDS: u64 = 32_768;

fn main() {
    println!("over the whole cluster, for each committed entry    (raft-core, raft-rs)");
    for nodes in [1, 3, 5] {
        for bytes in [16, 256] {
            for window in [1, 64, 1_024] {
                let payload = Bytes::from(vec![7; bytes]);
                let ours = committed::<Ours>(nodes, &payload, window);
                let theirs = committed::<Theirs>(nodes, &payload, window);
                println!(
                    "{nodes} nodes {bytes:>3} B window {window:>5}   allocations {:>6.2} {:>6.2}   bytes allocated {:>6.0} {:>6.0}   messages {:>6.3} {:>6.3}",
                    ours.allocations,
                    theirs.allocations,
                    ours.bytes,
                    theirs.bytes,
                    ours.messages,
                    theirs.messages
                );
            }
        }
    }
    println!();
    println!("settings are shared by a group's nodes, and not counted");
    println!("an idle node of a group of 3: bytes in the value and on the heap, blocks on the heap");
    let ours = idle::<Ours>(|node| size_of_val(&node.raft) as i64, |node| measure(|| drop(node)));
    // The shared log of `MemStorage` is kept aside: it is counted for neither side's empty log.
    let theirs = idle::<Theirs>(
        |node| size_of_val(&node.raw) as i64,
        |node| {
            let storage = node.raw.store().clone();
            let freed = measure(|| drop(node));
            drop(storage);
            freed
        },
    );
    for (ours, theirs) in ours.iter().zip(&theirs) {
        for (side, node) in [(Ours::NAME, ours), (Theirs::NAME, theirs)] {
            println!(
                "{:<22} {side:<10} {:>5} B = {:>5} in the value + {:>5} in {:>3} blocks",
                node.role,
                node.value + node.heap,
                node.value,
                node.heap,
                node.blocks
            );
        }
    }
}

struct Committed {
    allocations: f64,
    bytes: f64,
    messages: f64,
}

fn committed<N: Node>(nodes: usize, payload: &Bytes, window: u64) -> Committed {
    let mut cluster = Cluster::<N>::elected(nodes, HEARTBEAT_TICKS, ELECTION_TICKS);
    cluster.commit(window * 2, payload, window);
    let before = cluster.messages;
    let info = measure(|| cluster.commit(COMMANDS, payload, window));
    let each = |total: u64| total as f64 / COMMANDS as f64;
    Committed {
        allocations: each(info.count_total),
        bytes: each(info.bytes_total),
        messages: each(cluster.messages - before),
    }
}

struct Idle {
    role: &'static str,
    value: i64,
    heap: i64,
    blocks: i64,
}

/// Before the first election, and some heartbeats after it: a follower, the leader.
fn idle<N: Node>(value: fn(&N) -> i64, freed: fn(N) -> AllocationInfo) -> Vec<Idle> {
    let describe = |role, node: N| {
        let value = value(&node);
        // What it frees is what it held.
        let info = freed(node);
        Idle { role, value, heap: -info.bytes_current, blocks: -info.count_current }
    };
    let mut fresh = Cluster::<N>::new(3, HEARTBEAT_TICKS, ELECTION_TICKS);
    let mut elected = Cluster::<N>::elected(3, HEARTBEAT_TICKS, ELECTION_TICKS);
    elected.idle(4 * HEARTBEAT_TICKS);
    let (leader, follower) = (elected.leader(), elected.follower());
    // The higher position first: taking a node moves those behind it.
    let mut after = vec![(leader, "leader"), (follower, "follower")];
    after.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    let mut all = vec![describe("before any election", fresh.nodes.remove(0))];
    all.extend(after.into_iter().map(|(at, role)| describe(role, elected.nodes.remove(at))));
    all.sort_by_key(|idle| idle.role);
    all
}
