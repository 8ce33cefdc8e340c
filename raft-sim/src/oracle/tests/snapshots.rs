//! Snapshots: what they name, what rests on them, and what they lead to.

use raft_core::journal::WrittenSnapshot;
use raft_core::message::SnapshotChunk;
use raft_core::{Discard, SnapshotMeta};

use super::bytes::{Node, configuration, perform, recover};
use super::*;
use crate::oracle::snapshot;

/// Digests of a state and of its sessions.
type Digests = (Option<u64>, u64);

const FROZEN: Digests = (Some(50), 60);

fn meta(last: LogId) -> SnapshotMeta {
    SnapshotMeta { last, configuration: configuration(), length: 4, digest: 9 }
}

fn chunk(term: u64, last: LogId) -> Message {
    let snapshot = Box::new(meta(last));
    let bytes = vec![1; 4].into();
    Message::SnapshotChunk(SnapshotChunk { term: Term(term), round: Round(1), snapshot, offset: 0, bytes })
}

/// Three entries, committed by nodes 0 and 1; node 2 has nothing.
fn three() -> Cluster {
    let mut cluster = committed();
    let more = [entry(1, 2), entry(1, 3)];
    silent(cluster.write(0, &more));
    silent(cluster.replicate(0, 1, 1, id(1, 1), &more));
    silent(cluster.say(0, 1, heartbeat(1, 3)));
    cluster
}

/// The snapshot in that file becomes what a node's log begins with.
fn install(cluster: &mut Cluster, node: usize, last: LogId) -> Outcome {
    cluster.oracles.log_changed(node, &[LogChange::Install(1, meta(last))])
}

fn discard(cluster: &mut Cluster, node: usize, last: LogId) -> Outcome {
    let discard = Discard { snapshot: meta(last), through: last };
    cluster.oracles.log_changed(node, &[LogChange::Discard(1, discard)])
}

#[test]
fn a_piece_belongs_to_a_snapshot_of_what_is_committed() {
    let mut cluster = three();
    silent(cluster.write(0, &[entry(1, 4)])); // Not committed yet.
    silent(cluster.clone().say(0, 2, chunk(1, id(1, 2))));
    silent(cluster.clone().say(0, 2, chunk(1, id(1, 3))));
    caught("snapshot", cluster.clone().say(0, 2, chunk(1, id(1, 4))));
    caught("snapshot", cluster.say(0, 2, chunk(1, id(2, 3))));
}

#[test]
fn pieces_come_from_the_one_leader_of_their_term() {
    let cluster = three();
    silent(cluster.clone().say(0, 2, chunk(1, id(1, 3))));
    caught("election-safety", cluster.clone().say(1, 2, chunk(1, id(1, 3))));
    caught("election-safety", cluster.clone().say(0, 2, chunk(2, id(1, 3))));
}

#[test]
fn a_leader_names_in_a_snapshot_the_entry_that_it_told() {
    let mut cluster = three();
    silent(cluster.clone().say(0, 2, chunk(1, id(1, 3))));
    // It told of another entry there before: of these two words one is wrong.
    cluster.oracles.ghost.term_mut(Term(1)).told.insert(Index(3), Term(0));
    caught("log-matching", cluster.say(0, 2, chunk(1, id(1, 3))));
}

#[test]
fn only_what_is_committed_is_installed() {
    let mut cluster = three();
    silent(cluster.write(0, &[entry(1, 4)]));
    silent(install(&mut cluster.clone(), 2, id(1, 3)));
    caught("snapshot", install(&mut cluster.clone(), 2, id(1, 4)));
    caught("snapshot", install(&mut cluster, 2, id(2, 3)));
}

#[test]
fn an_installed_snapshot_counts_as_the_log_that_it_covers() {
    let mut cluster = three();
    silent(cluster.hard(2, state(1, Some(0))));
    caught("ack-durable", cluster.clone().say(2, 0, acknowledgement(1, 3)));
    silent(install(&mut cluster, 2, id(1, 3)));
    silent(cluster.clone().say(2, 0, acknowledgement(1, 3)));
    // The log goes on after it, and nowhere else.
    silent(cluster.clone().write(2, &[entry(1, 4)]));
    caught("log-matching", cluster.write(2, &[entry(1, 5)]));
}

#[test]
fn an_installed_snapshot_takes_away_nothing_that_was_acknowledged() {
    let mut cluster = three();
    silent(install(&mut cluster.clone(), 1, id(1, 3)));
    caught("committed-never-lost", install(&mut cluster, 1, id(1, 2)));
}

#[test]
fn only_what_is_committed_is_discarded() {
    let mut cluster = three();
    silent(cluster.write(0, &[entry(1, 4)]));
    silent(discard(&mut cluster.clone(), 0, id(1, 3)));
    caught("snapshot", discard(&mut cluster.clone(), 0, id(1, 4)));
    caught("snapshot", discard(&mut cluster, 0, id(2, 3)));
}

#[test]
fn only_what_is_committed_is_frozen() {
    let mut cluster = three();
    silent(cluster.write(0, &[entry(1, 4)]));
    silent(cluster.clone().oracles.froze(0, id(1, 3), FROZEN));
    caught("commit-quorum", cluster.clone().oracles.froze(0, id(1, 4), FROZEN));
    caught("snapshot", cluster.oracles.froze(0, id(2, 3), FROZEN));
}

#[test]
fn equal_logs_are_frozen_equal() {
    let mut cluster = three();
    silent(cluster.oracles.froze(0, id(1, 3), FROZEN));
    silent(cluster.clone().oracles.froze(1, id(1, 3), FROZEN));
    caught("snapshot", cluster.clone().oracles.froze(1, id(1, 3), (Some(51), 60)));
    caught("snapshot", cluster.clone().oracles.froze(1, id(1, 3), (Some(50), 61)));
    caught("snapshot", cluster.clone().oracles.froze(1, id(1, 3), (None, 60)));
    silent(cluster.oracles.froze(1, id(1, 2), (Some(51), 61))); // Another part of the log.
}

#[test]
fn a_frozen_state_is_what_the_log_leads_to() {
    let mut cluster = three();
    silent(cluster.oracles.state(0, Index(2), 50));
    // Entry 3 may be none of the state machine's business.
    silent(cluster.clone().oracles.froze(1, id(1, 3), FROZEN));
    silent(cluster.clone().oracles.froze(1, id(1, 1), (Some(49), 60))); // Nobody looked there.
    silent(cluster.clone().oracles.froze(1, id(1, 3), (None, 60))); // It has no digest.
    caught("snapshot", cluster.oracles.froze(1, id(1, 3), (Some(49), 60)));
}

#[test]
fn a_restored_state_is_what_was_frozen() {
    let mut cluster = three();
    silent(cluster.oracles.froze(0, id(1, 3), FROZEN));
    silent(install(&mut cluster, 2, id(1, 3)));
    silent(cluster.clone().oracles.restored(2, Index(3), FROZEN));
    caught("snapshot", cluster.clone().oracles.restored(2, Index(3), (Some(51), 60)));
    caught("snapshot", cluster.oracles.restored(2, Index(3), (Some(50), 61)));
}

#[test]
fn a_restored_state_rests_on_what_is_durable() {
    let mut cluster = three();
    silent(cluster.oracles.froze(0, id(1, 3), FROZEN));
    caught("snapshot", cluster.clone().oracles.restored(2, Index(3), FROZEN));
    silent(install(&mut cluster, 2, id(1, 3)));
    silent(cluster.oracles.restored(2, Index(3), FROZEN));
}

#[test]
fn a_restored_state_never_takes_a_replica_back() {
    let mut cluster = three();
    for index in 1..=2 {
        silent(cluster.oracles.applied(0, Index(index), 5));
        silent(cluster.oracles.applied(1, Index(index), 5));
    }
    silent(cluster.clone().oracles.restored(1, Index(2), FROZEN));
    silent(cluster.clone().oracles.restored(1, Index(3), FROZEN));
    caught("apply-order", cluster.oracles.restored(1, Index(1), FROZEN));
}

#[test]
fn a_restored_replica_goes_on_where_the_snapshot_ends() {
    let mut cluster = three();
    for index in 1..=3 {
        silent(cluster.oracles.applied(0, Index(index), 5));
    }
    silent(install(&mut cluster, 2, id(1, 3)));
    // A state from nowhere has applied nothing,
    caught("apply-order", cluster.clone().oracles.applied(2, Index(3), 5));
    silent(cluster.oracles.restored(2, Index(2), FROZEN));
    // and a restored one neither repeats nor leaves out.
    caught("apply-order", cluster.clone().oracles.applied(2, Index(2), 5));
    silent(cluster.oracles.applied(2, Index(3), 5));
}

/// A node recovers with three entries after `base`, and that snapshot, as its platter has them.
fn recover_with(cluster: &mut Cluster, node: usize, base: LogId, last: Option<LogId>) -> Outcome {
    cluster.oracles.crashed(node);
    let boot = Boot(cluster.oracles.seats[node].boot.0 + 1);
    let snapshot = last.map(meta);
    let state = state(1, Some(0));
    let whole = found(node, boot, state, &[entry(1, 1), entry(1, 2), entry(1, 3)]);
    let hard = Some(HardRecord { sequence: 99, boot, state });
    let image = Image { hard, log: whole.log.clone(), snapshot: snapshot.clone(), ..Image::default() };
    cluster.oracles.recovered_as(node, Recovered { base, snapshot, ..whole }, image)
}

#[test]
fn a_recovery_finds_the_snapshot_that_was_durable() {
    let mut cluster = three();
    let nothing = LogId::default();
    silent(recover_with(&mut cluster.clone(), 0, nothing, None));
    silent(discard(&mut cluster, 0, id(1, 2)));
    silent(recover_with(&mut cluster.clone(), 0, nothing, Some(id(1, 2))));
    // A newer one was durable when the power went, before anybody knew.
    silent(recover_with(&mut cluster.clone(), 0, nothing, Some(id(1, 3))));
    caught("snapshot", recover_with(&mut cluster.clone(), 0, nothing, Some(id(1, 1))));
    caught("snapshot", recover_with(&mut cluster.clone(), 0, nothing, None));
    // Damage may have taken it.
    cluster.oracles.rotted(0);
    silent(recover_with(&mut cluster, 0, nothing, None));
}

#[test]
fn a_recovered_snapshot_is_of_what_is_committed_and_reaches_the_log() {
    let mut cluster = three();
    silent(recover_with(&mut cluster.clone(), 0, id(1, 2), Some(id(1, 2))));
    for is_rotted in [false, true] {
        if is_rotted {
            cluster.oracles.rotted(0);
        }
        caught("snapshot", recover_with(&mut cluster.clone(), 0, LogId::default(), Some(id(2, 3))));
        caught("snapshot", recover_with(&mut cluster.clone(), 0, id(1, 2), Some(id(1, 1))));
        caught("snapshot", recover_with(&mut cluster.clone(), 0, id(1, 2), None));
    }
}

/// A sole voter that has applied 20 entries and more, all of them durable.
fn node() -> (Node, Oracles) {
    let mut oracles = Oracles::new(&configuration(), &[member(0)]);
    let mut node = Node::start(&Node::create(), &mut oracles).unwrap();
    silent(node.work(&mut oracles, false));
    (node, oracles)
}

/// Writes a snapshot of everything that is applied. `lies`: its syncs succeed and write nothing.
fn write_snapshot(node: &mut Node, lies: bool) -> WrittenSnapshot {
    let last = node.raft.id_at(node.raft.status().commit).unwrap();
    let plan = node.journal.plan_snapshot();
    let mut platter = node.platter.clone();
    let cache = &mut node.cache;
    let written = plan.write(last, &configuration(), &|out| out.write(&[7; 1_000]), &mut |op| {
        perform(&op, cache, &mut platter);
        Ok::<(), ()>(())
    });
    if !lies {
        node.platter = platter;
    }
    written.unwrap()
}

/// The core takes the snapshot over: the record of it becomes durable, and then the beginning of the log goes.
fn take_over(node: &mut Node, written: &WrittenSnapshot, oracles: &mut Oracles) -> Outcome {
    node.raft.offer_snapshot(node.now, written.meta().clone()).unwrap();
    node.journal.handle_snapshot_written(written);
    node.drain(oracles, false)
}

#[test]
fn what_a_record_rests_on_is_durable_before_it() {
    let (mut lawful, mut oracles) = node();
    let written = write_snapshot(&mut lawful, false);
    silent(take_over(&mut lawful, &written, &mut oracles));
    let (mut liar, mut oracles) = node();
    let written = write_snapshot(&mut liar, true);
    caught("snapshot", take_over(&mut liar, &written, &mut oracles));
}

#[test]
fn a_record_rests_on_the_very_snapshot_that_it_names() {
    let (mut node, mut oracles) = node();
    let written = write_snapshot(&mut node, false);
    let name = node.platter.keys().find(|name| name.starts_with("snapshot-")).unwrap().clone();
    let number = name["snapshot-".len()..].parse().unwrap();
    for make in [
        |file, snapshot: SnapshotMeta| LogChange::Install(file, snapshot),
        |file, snapshot: SnapshotMeta| {
            let through = snapshot.last;
            LogChange::Discard(file, Discard { snapshot, through })
        },
    ] {
        let right = make(number, written.meta().clone());
        silent(snapshot::durable(&oracles.seats[0], &right, &node.platter));
        let other = make(number, SnapshotMeta { digest: 1, ..written.meta().clone() });
        caught("snapshot", snapshot::durable(&oracles.seats[0], &other, &node.platter));
        let missing = make(number + 1, written.meta().clone());
        caught("snapshot", snapshot::durable(&oracles.seats[0], &missing, &node.platter));
        let mut damaged = node.platter.clone();
        damaged.get_mut(&name).unwrap()[600] ^= 1;
        caught("snapshot", snapshot::durable(&oracles.seats[0], &right, &damaged));
        // A file that rotted meanwhile was whole when it was written.
        let mut rotted = oracles.clone();
        rotted.rotted(0);
        silent(snapshot::durable(&rotted.seats[0], &right, &damaged));
    }
    silent(take_over(&mut node, &written, &mut oracles));
}

#[test]
fn a_snapshot_is_not_lost_under_a_log_that_has_every_entry() {
    let mut oracles = Oracles::new(&configuration(), &[member(0)]);
    let mut node = Node::start_keeping(&Node::create(), &mut oracles, u64::MAX).unwrap();
    silent(node.work(&mut oracles, false));
    let before = node.platter.clone();
    let written = write_snapshot(&mut node, false);
    silent(take_over(&mut node, &written, &mut oracles));
    silent(oracles.finish(&[&node.platter]));
    caught("committed-never-lost", oracles.finish(&[&before]));
    oracles.crashed(0);
    let (with, without) = (recover(&node.platter), recover(&before));
    silent(oracles.clone().recovered(0, &with.restored, &with.report, &with.platter));
    // All but the snapshot is there.
    assert_eq!((with.restored.base(), without.restored.base()), (LogId::default(), LogId::default()));
    assert_eq!(with.restored.entries(), without.restored.entries());
    assert_eq!(with.restored.hard_state(), without.restored.hard_state());
    // It is on the platter, and recovery did not find it;
    caught("snapshot", oracles.clone().recovered(0, &without.restored, &without.report, &with.platter));
    // and the platter has lost it.
    caught("snapshot", oracles.recovered(0, &without.restored, &without.report, &without.platter));
}

#[test]
fn a_recovery_finds_the_log_that_its_snapshot_covers() {
    let (mut node, mut oracles) = node();
    let covered = oracles.committed();
    let written = write_snapshot(&mut node, false);
    silent(take_over(&mut node, &written, &mut oracles));
    silent(node.work(&mut oracles, false));
    assert!(oracles.committed() > covered, "the log goes on after the snapshot");
    silent(oracles.finish(&[&node.platter]));
    oracles.crashed(0);
    silent(Node::start(&node.platter, &mut oracles.clone()).map(|_| ()));
    // Nobody ever saw committed what this snapshot says that it covers.
    let mut strangers = Oracles::new(&configuration(), &[member(0)]);
    caught("snapshot", Node::start(&node.platter, &mut strangers).map(|_| ()));
    // The other half of its log is of another history than the snapshot.
    let place = LogId { term: Term(9), index: written.meta().last.index };
    let mut log: Vec<Held> = oracles.ghost.committed.ids().map(|(_, held, _)| held).collect();
    log[place.index.0 as usize - 1].term = place.term;
    oracles.ghost.committed = log.into_iter().collect();
    caught("snapshot", Node::start(&node.platter, &mut oracles).map(|_| ()));
}
