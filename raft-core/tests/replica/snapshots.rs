//! Whole members whose log is compacted: restarts from a snapshot, followers that are sent one, sessions inside.

use raft_core::journal::JournalConfig;
use raft_core::replica::{Outcome, ReplicaConfig};
use raft_core::{Config, Configuration, Index, Span};

use super::world::{Dice, World, member, request};

const SHORT: Span = Span::from_millis(100);

/// Everything is small, so that all of it happens.
fn compacting() -> World {
    let raft = Config {
        cache_bytes_max: 500,
        trailing_entries: 3,
        chunk_bytes_max: 100,
        append_bytes_max: 200,
        apply_bytes_max: 500,
        ..Config::default()
    };
    let config = ReplicaConfig { raft, snapshot_after_bytes: 1_000, ..ReplicaConfig::default() };
    let mut world = World::found(config, Configuration::of_voters((1..=3).map(member)), 3);
    world.journal =
        JournalConfig { segment_bytes: 4_096, recovered_bytes_max: 300, ..JournalConfig::default() };
    for id in 1..=3 {
        world.restart(id);
    }
    world
}

#[test]
fn a_restart_begins_at_the_snapshot_and_goes_on_with_the_log() {
    let mut world = compacting();
    let leader = world.elect();
    for _ in 0..300 {
        world.propose(leader, None, 1);
        world.pass(Span::from_millis(1));
    }
    world.pass(SHORT);
    let status = world.at(leader).status();
    assert!(status.snapshot.index > Index(200) && status.log_start > Index(200), "{status:?}");
    assert!(status.log_bytes <= 500, "{} bytes in memory", status.log_bytes);
    let files = world.nodes[&leader].files.keys().filter(|name| name.starts_with("se")).count();
    assert!(files <= 4, "{files} segments");
    let snapshots = world.nodes[&leader].files.keys().filter(|name| name.starts_with("sn")).count();
    assert_eq!(snapshots, 1);
    for id in 1..=3 {
        world.restart(id);
    }
    world.elect();
    world.pass(SHORT);
    assert_eq!(world.at(1).state().sum, 300);
    world.assert_equal();
}

/// B86: what a client was answered is in the snapshot, or its retry would be applied twice.
#[test]
fn sessions_survive_in_the_snapshot() {
    let mut world = compacting();
    let leader = world.elect();
    let session = world.open_session(leader);
    let ticket = world.propose(leader, request(session, 1), 5);
    world.pass(SHORT);
    assert_eq!(world.reply(leader, ticket), Some(Outcome::Done(5)));
    for _ in 0..100 {
        world.propose(leader, None, 1);
        world.pass(Span::from_millis(1));
    }
    assert!(world.at(leader).status().log_start > Index(10));
    for id in 1..=3 {
        world.restart(id);
    }
    let leader = world.elect();
    let ticket = world.propose(leader, request(session, 1), 5);
    world.pass(SHORT);
    assert_eq!(world.reply(leader, ticket), Some(Outcome::Done(5)), "the answer of then");
    assert_eq!(world.at(leader).state().sum, 105);
    world.assert_equal();
}

#[test]
fn a_follower_that_was_away_is_sent_the_snapshot() {
    let mut world = compacting();
    let leader = world.elect();
    let away = world.follower(leader);
    let node = world.nodes.remove(&away).unwrap();
    for _ in 0..200 {
        world.propose(leader, None, 1);
        world.pass(Span::from_millis(1));
    }
    let replica = node.replica.status().last;
    assert!(world.at(leader).status().log_start > replica.index.next());
    world.nodes.insert(away, node);
    world.restart(away);
    world.pass(Span::from_millis(2_000));
    assert!(world.at(away).status().snapshot.index > Index(100));
    world.assert_equal();
    // And once more from its disk.
    world.restart(away);
    world.pass(Span::from_millis(2_000));
    world.assert_equal();
}

/// Loss, delays, slow disks and restarts, with compaction all the time: in the end all replicas are equal, and every
/// addition whose answer came is in the sum.
#[test]
fn compaction_in_bad_weather_loses_nothing() {
    for seed in 0..20 {
        let mut world = compacting();
        world.dice = Some(Dice(seed));
        let mut dice = Dice(!seed);
        let mut tickets = Vec::new();
        for _ in 0..300 {
            let id = 1 + dice.roll(3);
            tickets.push((id, world.propose(id, None, 1)));
            world.pass(Span(dice.roll(40_000)));
            if dice.roll(8) == 0 {
                world.slow_disks = (1..=3).filter(|_| dice.roll(2) == 0).collect();
            }
            if dice.roll(12) == 0 {
                // Whatever was not answered before may be unknown now.
                let id = 1 + dice.roll(3);
                tickets.retain(|(of, _)| *of != id);
                world.restart(id);
            }
            if dice.roll(20) == 0 {
                world.at(1 + dice.roll(3)).take_snapshot();
            }
        }
        world.dice = None;
        world.slow_disks.clear();
        world.pass(Span::from_millis(5_000));
        world.elect();
        world.pass(Span::from_millis(1_000));
        world.assert_equal();
        let done = |(id, ticket): &&(u64, _)| matches!(world.reply(*id, *ticket), Some(Outcome::Done(_)));
        let done = tickets.iter().filter(done).count() as u64;
        let state = world.nodes[&1].replica.state();
        assert!(state.sum >= done, "seed {seed}: {} of {done} answered", state.sum);
        assert!(world.nodes[&1].replica.status().snapshot.index > Index(0), "seed {seed}");
    }
}
