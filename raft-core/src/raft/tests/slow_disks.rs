//! A disk that works is no stalled disk: leaders on slow and busy disks stay, and commit.

extern crate std;

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

/// What came of it.
struct Outcome {
    /// The highest commit index.
    commit: u64,
    /// The highest term.
    terms: u64,
    /// The longest time from a write's being handed out to its being durable.
    slowest: Span,
}

/// Disks as the journal drives them: one batch is under way at a time, and what is handed out meanwhile shares the next.
fn run(size: usize, config: Config, batch_takes: Span, load: &Load, span: Span) -> Outcome {
    let mut cluster = Cluster::with_config(&alloc::vec![(0, Vec::new()); size], config);
    let ids: Vec<u64> = (1..=size as u64).collect();
    cluster.slow_disks.clone_from(&ids);
    let mut under_way: BTreeMap<u64, (Instant, usize)> = BTreeMap::new();
    let command = Bytes::from(alloc::vec![7_u8; load.bytes]);
    let end = cluster.now.plus(span);
    let mut next_load = cluster.now;
    let mut handed_out: BTreeMap<(u64, u64), Instant> = BTreeMap::new();
    let mut slowest = Span(0);
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
                for persist in cluster.nodes[id].disk.unsynced.iter().take(writes) {
                    let since = handed_out.remove(&(*id, persist.number)).unwrap_or(now);
                    slowest = slowest.max(now.since(since));
                }
                cluster.sync(*id, writes);
            }
            for persist in &cluster.nodes[id].disk.unsynced {
                handed_out.entry((*id, persist.number)).or_insert(now);
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
    let terms = ids.iter().map(|id| cluster.raft(*id).term().0).max().unwrap_or(0);
    Outcome { commit, terms, slowest }
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
        let takes = Span::from_millis(310);
        let Outcome { commit, terms, .. } = run(1, steady(), takes, &load, Span::from_millis(20_000));
        assert!(commit > 0 && terms == 1, "commit {commit}, {terms} terms");
    }
}

/// With a steady load a write waits for the sync before its own, and is older than an election timeout when it is done. The
/// leader stays all the same, since its disk gets on.
#[test]
fn a_leader_stays_though_each_sync_takes_half_an_election_timeout() {
    for sync in [20, 60, 100, 140, 160, 200, 250] {
        let takes = Span::from_millis(sync);
        let Outcome { commit, terms, .. } = run(3, steady(), takes, &TRICKLE, Span::from_millis(20_000));
        // 2,000 are proposed. None is refused but what comes before there is a leader: a write that waits for the sync
        // before its own is no queue.
        assert!(terms <= 3 && commit > 1_800, "syncs of {sync} ms: {terms} terms, {commit} committed");
    }
}

/// Every disk takes a little longer than an election timeout, or much longer: whoever leads is the best there is.
#[test]
fn three_voters_whose_disks_take_longer_than_an_election_timeout_commit() {
    for sync in [310, 400, 550] {
        let takes = Span::from_millis(sync);
        let Outcome { commit, terms, .. } = run(3, steady(), takes, &TRICKLE, Span::from_millis(30_000));
        assert!(commit > 1_000 && terms <= 12, "syncs of {sync} ms: {terms} terms, {commit} committed");
    }
}

/// A disk that took long once is not waited for without end when it stands still.
#[test]
fn a_disk_that_stands_still_costs_its_leader_the_office_however_slow_it_was() {
    let mut cluster = Cluster::with_config(&alloc::vec![(0, Vec::new()); 3], steady());
    cluster.elect_node(1);
    cluster.slow_disks = alloc::vec![1];
    cluster.propose(1, "slow");
    // Two and a half timeouts for one write, then none for ever. (The others answer; the disk alone is at fault.)
    cluster.run(Span::from_millis(250));
    cluster.sync(1, 1);
    cluster.propose(1, "never");
    cluster.run(Span(4 * steady().election_timeout.0 + 100_000));
    assert!(!cluster.raft(1).is_leader());
}

/// Default bounds, and clients that ask for more than the disk writes: the bytes that may be outstanding (16 MiB) are more
/// than an election timeout of work, so the queue is bounded by time.
#[test]
fn a_leader_whose_disk_is_saturated_stays() {
    let load = Load { every: STEP, commands: 8, bytes: 64 << 10 };
    for size in [1, 3] {
        for batch_takes in [5, 10, 20, 30] {
            let takes = Span::from_millis(batch_takes);
            let Outcome { commit, terms, .. } =
                run(size, Config::default(), takes, &load, Span::from_millis(3_000));
            let of = std::format!("{size} voters, {batch_takes} ms for 1 MiB");
            assert!(terms <= 2 && commit > 0, "{of}: {terms} terms, {commit} committed");
        }
    }
}

/// Clients ask for a little more than the disk writes, and the bounds in bytes are far away: the queue is bounded by time.
#[test]
fn a_queue_that_grows_slowly_is_bounded_by_time() {
    const FAR: u64 = 1 << 40;
    let config = Config { unsynced_bytes_max: FAR, uncommitted_bytes_max: FAR, ..Config::default() };
    let half = config.election_timeout.0 / 2;
    let (takes, load) = (Span::from_millis(20), Load { every: STEP, commands: 1, bytes: 64 << 10 });
    let Outcome { commit, terms, slowest } = run(1, config, takes, &load, Span::from_millis(10_000));
    assert!(terms == 1 && commit > 0, "{terms} terms, {commit} committed");
    // What is accepted last waits about as long as the oldest has waited then. Unbounded, it is two seconds in the end.
    assert!(slowest.0 > half / 2 && slowest.0 <= half + 3 * takes.0, "a write took {slowest:?}");
}

/// The figures: terms and what was committed, over sync times and over bandwidths. For people:
/// `cargo test -p raft-core --lib slow_disks::figures -- --ignored --nocapture`.
#[test]
#[ignore = "prints a table"]
fn figures() {
    let span = Span::from_millis(60_000);
    std::println!("60 s, an election timeout of 300 ms, a proposal each 10 ms");
    for size in [1, 3] {
        for sync in [10, 20, 50, 100, 150, 160, 200, 250, 290, 310, 400] {
            let Outcome { commit, terms, .. } = run(size, steady(), Span::from_millis(sync), &TRICKLE, span);
            std::println!(
                "{size} voters, {sync:>3} ms a sync: {terms:>3} terms, {commit:>5} entries committed"
            );
        }
    }
    std::println!("10 s, default bounds, clients that ask for 512 MB/s in commands of 64 KiB");
    let load = Load { every: STEP, commands: 8, bytes: 64 << 10 };
    for size in [1, 3] {
        for takes in [2, 5, 10, 20, 50, 100] {
            let Outcome { commit, terms, .. } =
                run(size, Config::default(), Span::from_millis(takes), &load, Span::from_millis(10_000));
            let (disk, got) = (1_000 / takes, commit / 16 / 10);
            std::println!("{size} voters, {disk:>3} MiB/s: {terms:>2} terms, {got:>3} MiB/s committed");
        }
    }
}
