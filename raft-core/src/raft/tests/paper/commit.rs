//! Raft §5.3 and §5.4.2: what is committed. Thesis §10.2.1: writing in parallel.

use alloc::vec::Vec;

use crate::message::Message;
use crate::raft::tests::cluster::Cluster;
use crate::raft::tests::solo::{Solo, acknowledgement, append, id};
use crate::types::{Index, Span};

/// "A log entry is committed once the leader that created the entry has replicated it on a majority of the servers"
/// (§5.3)
#[test]
fn a_majority_commits_and_less_does_not() {
    // (size, what the peers acknowledged, the commit index); the log is one entry and the no-op, at 2
    let table: [(u64, &[u64], u64); 10] = [
        (1, &[], 2),
        (2, &[0], 0),
        (2, &[2], 2),
        (3, &[0, 0], 0),
        (3, &[2, 0], 2),
        (3, &[1, 1], 0), // The old entry alone is not enough (§5.4.2).
        (4, &[2, 0, 0], 0),
        (4, &[2, 2, 0], 2),
        (5, &[2, 1, 1, 1], 0),
        (5, &[2, 2, 0, 0], 2),
    ];
    for (size, peers, commit) in table {
        let mut node = Solo::leader(size, 2, &[1]);
        for (peer, matched) in (2..).zip(peers) {
            node.hear(peer, acknowledgement(2, 1, *matched));
        }
        assert_eq!(node.commit(), commit, "{size}: {peers:?}");
    }
}

/// "This also commits all preceding entries in the leader's log, including entries created by previous leaders."
/// (§5.3)
#[test]
fn an_entry_commits_everything_before_it() {
    let mut node = Solo::leader(3, 4, &[1, 1, 2, 3]);
    node.hear(2, acknowledgement(4, 1, 5));
    assert_eq!(node.applied(), [1, 2, 3, 4, 5]);
}

/// "Raft never commits log entries from previous terms by counting replicas. Only log entries from the leader's
/// current term are committed by counting replicas" (§5.4.2)
#[test]
fn old_entries_are_not_committed_by_counting() {
    let mut node = Solo::leader(5, 4, &[1, 2]);
    for peer in 2..=5 {
        node.hear(peer, acknowledgement(4, 1, 2));
    }
    assert_eq!(node.commit(), 0, "everybody holds the entries of terms 1 and 2, and still");
    node.hear(2, acknowledgement(4, 1, 3));
    assert_eq!(node.commit(), 0);
    node.hear(3, acknowledgement(4, 1, 3));
    assert_eq!(node.commit(), 3, "one entry of its own term commits all");
}

/// "The leader keeps track of the highest index it knows to be committed, and it includes that index in future
/// AppendEntries RPCs (including heartbeats) so that the other servers eventually find out." (§5.3)
#[test]
fn followers_learn_the_commit_index_soon_and_by_heartbeat() {
    let mut node = Solo::leader(3, 2, &[1]);
    node.hear(2, acknowledgement(2, 1, 2));
    let told = node.sent().into_iter().filter_map(|(to, message)| match message {
        Message::Heartbeat(m) => Some((to, m.commit)),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), [(2, Index(2))], "at once to whom it may help");
    node.wait(Span::from_millis(50));
    let heartbeats = node.sent().into_iter().filter_map(|(to, message)| match message {
        Message::Heartbeat(m) => Some((to, m.commit)),
        _ => None,
    });
    assert_eq!(heartbeats.collect::<Vec<_>>(), [(2, Index(2)), (3, Index(2))], "in time to everybody");
}

/// "the leader can write to its disk in parallel with replicating to the followers and them writing to their disks"
/// (thesis §10.2.1)
#[test]
fn a_leader_replicates_while_its_own_disk_works() {
    let mut node = Solo::leader(3, 2, &[1]);
    node.hear(2, acknowledgement(2, 1, 2));
    node.sent();
    node.stalled = true;
    node.propose("x").expect("the leader accepts");
    assert_eq!(node.disk.unsynced.len(), 1, "the write is under way");
    assert_eq!(node.appends_to(2).len(), 1, "and so is the append");
}

/// "The leader may even commit an entry before it has been written to its own disk, if a majority of followers have
/// written it to their disks; this is still safe." (thesis §10.2.1)
#[test]
fn followers_may_commit_before_the_leaders_disk_but_it_applies_after() {
    let mut node = Solo::leader(3, 2, &[1]);
    node.hear(2, acknowledgement(2, 1, 2));
    node.stalled = true;
    node.propose("x").expect("the leader accepts");
    node.hear(2, acknowledgement(2, 1, 3));
    assert_eq!(node.commit(), 2, "the leader's own copy does not count yet");
    node.hear(3, acknowledgement(2, 1, 3));
    assert_eq!(node.commit(), 3);
    assert_eq!(node.applied(), [1, 2], "an applied entry is always durable here");
    node.sync();
    assert_eq!(node.applied(), [1, 2, 3]);
}

/// The other order: the leader's copy counts from the moment that it is durable.
#[test]
fn the_leaders_own_match_counts_once_it_is_durable() {
    let mut node = Solo::leader(3, 2, &[1]);
    node.hear(2, acknowledgement(2, 1, 2));
    node.stalled = true;
    node.propose("x").expect("the leader accepts");
    node.propose("y").expect("the leader accepts");
    node.hear(2, acknowledgement(2, 1, 4));
    assert_eq!(node.commit(), 2);
    node.sync_one();
    assert_eq!((node.commit(), node.applied()), (3, alloc::vec![1, 2, 3]));
    node.sync_one();
    assert_eq!(node.commit(), 4);
}

/// A single voter is no exception: nothing is applied before it is durable.
#[test]
fn a_single_node_applies_after_its_disk() {
    let mut node = Solo::leader(1, 2, &[1]);
    node.stalled = true;
    node.propose("x").expect("the leader accepts");
    assert_eq!((node.commit(), node.applied()), (2, alloc::vec![1, 2]));
    node.sync();
    assert_eq!((node.commit(), node.applied()), (3, alloc::vec![1, 2, 3]));
    node.stalled = false;
    node.restart();
    node.wait(Span::from_millis(600));
    assert!(node.raft.is_leader());
    assert_eq!(node.applied(), [1, 2, 3, 4], "applied again from the start, with the new no-op");
}

/// "volatile state on all servers: commitIndex [...] initialized to 0" (figure 2)
#[test]
fn the_commit_index_is_volatile() {
    let mut node = Solo::new(3, 3, &[1]);
    node.hear(2, append(3, id(1, 1), &[3], 2));
    assert_eq!(node.commit(), 2);
    node.restart();
    assert_eq!(node.commit(), 0);
    node.hear(2, append(3, id(3, 2), &[], 2));
    assert_eq!((node.commit(), node.applied()), (2, alloc::vec![1, 2]));
}

/// "if a log entry is committed in a given term, then that entry will be present in the logs of the leaders for all
/// higher-numbered terms." (figure 3, Leader Completeness)
#[test]
fn committed_entries_outlive_every_leader() {
    let mut cluster = Cluster::new(5);
    let mut committed = Vec::new();
    for _ in 0..6 {
        let leader = cluster.elect();
        let proposed = cluster.propose(leader, "keep");
        cluster.run(Span::from_millis(100));
        assert!(cluster.raft(leader).status().commit >= proposed.index);
        committed.push(proposed);
        cluster.cut.clear();
        cluster.cut_off(leader);
        cluster.run(Span::from_millis(1_500));
        let next = cluster.elect();
        assert_ne!(next, leader);
        for id in &committed {
            assert!(
                cluster.raft(next).entries(id.index).next().is_some_and(|entry| entry.id() == *id),
                "{id}"
            );
        }
    }
}
