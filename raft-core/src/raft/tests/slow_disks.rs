//! A disk that works is no stalled disk: leaders on slow and busy disks stay, and commit.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bytes::Bytes;

use super::cluster::{Cluster, steady};
use crate::config::Config;
use crate::entry::entries_size;
use crate::types::{Instant, Span};

/// Bytes that one batch of the journal takes, by default.
const BATCH_BYTES_MAX: u64 = 1 << 20;
/// Time between two looks at the world.
const STEP: Span = Span::from_millis(1);

/// What clients ask the leader.
struct Load {
    every: Span,
    commands: usize,
    bytes: usize,
}

/// Disks as the journal drives them: one batch is under way at a time, and what is handed out meanwhile shares the next.
/// Returns the highest commit index and term.
fn run(size: usize, config: Config, batch_takes: Span, load: &Load, span: Span) -> (u64, u64) {
    let mut cluster = Cluster::with_config(&alloc::vec![(0, Vec::new()); size], config);
    let ids: Vec<u64> = (1..=size as u64).collect();
    cluster.slow_disks.clone_from(&ids);
    let mut under_way: BTreeMap<u64, (Instant, usize)> = BTreeMap::new();
    let command = Bytes::from(alloc::vec![7_u8; load.bytes]);
    let end = cluster.now.plus(span);
    let mut next_load = cluster.now;
    while cluster.now < end {
        cluster.now = cluster.now.plus(STEP);
        let now = cluster.now;
        let is_loaded = next_load <= now;
        if is_loaded {
            next_load = now.plus(load.every);
        }
        for id in &ids {
            if let Some((_, writes)) = under_way.get(id).copied().filter(|(due, _)| *due <= now) {
                under_way.remove(id);
                cluster.sync(*id, writes);
            }
            let writes = batch(&cluster, *id);
            if writes > 0 {
                under_way.entry(*id).or_insert((now.plus(batch_takes), writes));
            }
            cluster.raft(*id).tick(now);
            for _ in 0..load.commands {
                let raft = cluster.raft(*id);
                if is_loaded && raft.is_leader() && raft.propose(now, command.clone()).is_ok() {
                    cluster.drain(*id);
                }
            }
        }
        cluster.settle();
    }
    let commit = ids.iter().map(|id| cluster.raft(*id).status().commit.0).max().unwrap_or(0);
    let term = ids.iter().map(|id| cluster.raft(*id).term().0).max().unwrap_or(0);
    (commit, term)
}

/// How many writes the next batch of a node takes.
fn batch(cluster: &Cluster, id: u64) -> usize {
    let mut bytes = 0;
    let fits = |(place, write_bytes): &(usize, u64)| {
        bytes += write_bytes;
        *place == 0 || bytes <= BATCH_BYTES_MAX
    };
    let sizes = cluster.nodes[&id].disk.unsynced.iter().map(|persist| entries_size(&persist.write.append));
    sizes.enumerate().take_while(fits).count()
}

const TRICKLE: Load = Load { every: Span::from_millis(10), commands: 1, bytes: 1 };
const NO_LOAD: Load = Load { every: Span::from_millis(10), commands: 0, bytes: 1 };

/// A sync a little longer than an election timeout: nobody could take a sole voter's place, so it stays and commits.
#[test]
fn a_sole_voter_on_a_slow_disk_commits() {
    for load in [NO_LOAD, TRICKLE] {
        let (commit, term) = run(1, steady(), Span::from_millis(310), &load, Span::from_millis(20_000));
        assert!(commit > 0 && term == 1, "commit {commit}, term {term}");
    }
}

/// With a steady load a write waits for the sync before its own, and is older than an election timeout when it is done. The
/// leader stays all the same, since its disk gets on.
#[test]
fn a_leader_stays_though_each_sync_takes_half_an_election_timeout() {
    for sync in [20, 60, 100, 140, 160, 200, 250] {
        let (commit, term) = run(3, steady(), Span::from_millis(sync), &TRICKLE, Span::from_millis(20_000));
        assert!(term <= 3 && commit > 20, "syncs of {sync} ms: {term} terms, {commit} committed");
    }
}

/// Default bounds, and clients that ask for more than the disk writes: the bytes that may be outstanding (16 MiB) are more
/// than an election timeout of work, so the queue is bounded by time.
#[test]
fn a_leader_whose_disk_is_saturated_stays() {
    let load = Load { every: STEP, commands: 8, bytes: 64 << 10 };
    for size in [1, 3] {
        for batch_takes in [5, 10, 20, 30] {
            let takes = Span::from_millis(batch_takes);
            let (commit, term) = run(size, Config::default(), takes, &load, Span::from_millis(3_000));
            assert!(
                term <= 2 && commit > 0,
                "{size} voters, {batch_takes} ms for 1 MiB: {term} terms, {commit}"
            );
        }
    }
}
