//! Raft §5.3: log replication.

use alloc::vec;
use alloc::vec::Vec;

use crate::message::Message;
use crate::raft::tests::cluster::{Cluster, log_of};
use crate::raft::tests::solo::{Solo, acknowledgement, append, heartbeat, id, rejection};
use crate::types::{Index, Span, Term};

/// "The leader appends the command to its log as a new entry, then issues AppendEntries RPCs in parallel to each of
/// the other servers to replicate the entry." (§5.3)
#[test]
fn a_proposal_goes_to_the_log_and_to_everybody() {
    let mut node = settled_leader();
    let proposed = node.propose("x").expect("the leader accepts");
    assert_eq!(proposed, id(2, 3));
    assert_eq!(node.log(), [1, 2, 2]);
    let sent = node.sent();
    for peer in [2, 3] {
        let to_peer: Vec<&Message> =
            sent.iter().filter(|(to, _)| *to == peer).map(|(_, message)| message).collect();
        let [Message::Append(append)] = to_peer[..] else { panic!("{sent:?}") };
        assert_eq!((append.previous, append.entries.len()), (id(2, 2), 1));
    }
}

/// "A hundred proposals and one drain make one write and one message per follower": outputs are built when polled.
#[test]
fn proposals_between_two_polls_share_one_write_and_one_append() {
    let mut node = settled_leader();
    node.stalled = true;
    for _ in 0..100 {
        node.raft.propose(node.now, bytes::Bytes::from_static(b"x")).expect("the leader accepts");
    }
    node.drain();
    assert_eq!(node.disk.unsynced.len(), 1);
    let appends = node.appends_to(2);
    assert_eq!(appends.iter().map(|append| append.entries.len()).collect::<Vec<_>>(), [100]);
}

/// "If the follower does not find an entry in its log with the same index and term, then it refuses the new
/// entries." (§5.3)
#[test]
fn the_consistency_check_accepts_what_matches_and_refuses_the_rest() {
    // (the follower's log, previous entry, matches)
    let table: [(&[u64], (u64, u64), bool); 8] = [
        (&[], (0, 0), true),
        (&[1, 2], (0, 0), true),
        (&[1, 2], (1, 1), true),
        (&[1, 2], (2, 2), true),
        (&[1, 2], (1, 2), false),
        (&[1, 2], (3, 2), false),
        (&[1, 2], (2, 3), false),
        (&[], (1, 1), false),
    ];
    for (log, previous, matches) in table {
        let previous = id(previous.0, previous.1);
        let mut node = Solo::new(3, 3, log);
        node.hear(2, append(3, previous, &[3], 0));
        let name = if matches { "AppendAcknowledgement" } else { "AppendRejection" };
        assert_eq!(node.names_to(2).last(), Some(&name), "{log:?} after {previous}");
        let taken = usize::try_from(previous.index.0).expect("small");
        let expected = if matches { [&log[..taken], &[3]].concat() } else { log.to_vec() };
        assert_eq!(node.log(), expected, "{log:?} after {previous}");
    }
}

/// "conflicting entries in follower logs will be overwritten with entries from the leader's log" (§5.3); "delete the
/// existing entry and all that follow it" (figure 2)
#[test]
fn a_conflict_removes_the_entry_and_all_after_it() {
    let mut node = Solo::new(3, 3, &[1, 2, 2, 2, 2]);
    node.hear(2, append(3, id(1, 1), &[2, 3], 0));
    assert_eq!(node.log(), [1, 2, 3]);
    assert_eq!(node.disk.entries, log_of(&[1, 2, 3]), "on disk too");
    assert_eq!(node.acknowledged_to(2), Some(3));
}

/// "Append any new entries not already in the log" (figure 2): what is there stays, whatever follows it. An old
/// append that was overtaken by newer ones removes nothing.
#[test]
fn an_old_append_never_truncates() {
    for stale in [append(3, id(1, 1), &[3], 0), append(3, id(1, 1), &[], 0), append(3, id(0, 0), &[1, 3], 0)]
    {
        let mut node = Solo::new(3, 3, &[1]);
        node.hear(2, append(3, id(1, 1), &[3, 3, 3], 0));
        node.sent();
        node.hear(2, stale);
        assert_eq!(node.log(), [1, 3, 3, 3]);
        assert_eq!(node.acknowledged_to(2), Some(4), "what this leader confirmed stays confirmed");
    }
}

/// A follower confirms what the leader sent, not what it happens to hold: its tail may be another leader's.
#[test]
fn a_divergent_tail_is_not_acknowledged() {
    let mut node = Solo::new(3, 3, &[1, 2, 2, 2]);
    node.hear(2, append(3, id(1, 1), &[], 4));
    assert_eq!(node.acknowledged_to(2), Some(1));
    assert_eq!(node.commit(), 1, "the commit index counts no further than that either");
    assert_eq!(node.log(), [1, 2, 2, 2], "and the tail stays until it conflicts");
}

/// "Raft RPCs are idempotent, so this causes no harm." (§5.5)
#[test]
fn the_same_append_twice_is_one_append() {
    let mut node = Solo::new(3, 3, &[1]);
    for _ in 0..3 {
        node.hear(2, append(3, id(1, 1), &[3, 3], 3));
        assert_eq!(node.acknowledged_to(2), Some(3));
        assert_eq!(node.log(), [1, 3, 3]);
        assert_eq!(node.applied(), [1, 2, 3]);
    }
}

/// "If two entries in different logs have the same index and term, then the logs are identical in all preceding
/// entries." (§5.3, Log Matching)
#[test]
fn logs_that_share_an_entry_share_everything_before_it() {
    let mut cluster = Cluster::with_logs(&[
        (4, log_of(&[1, 1, 2, 4])),
        (4, log_of(&[1, 1, 2, 2, 3, 3])),
        (4, log_of(&[1, 1, 2])),
    ]);
    cluster.elect_node(1);
    cluster.run(Span::from_millis(200));
    for id in 2..=3 {
        let entries: Vec<_> = cluster.raft(id).entries(Index(1)).cloned().collect();
        let leaders: Vec<_> = cluster.raft(1).entries(Index(1)).cloned().collect();
        assert_eq!(entries, leaders);
    }
}

/// "When a leader first comes to power, it initializes all nextIndex values to the index just after the last one in
/// its log" (§5.3)
#[test]
fn a_new_leader_starts_right_after_its_last_entry() {
    let mut node = Solo::new(3, 3, &[1, 2, 3]);
    node.win_election();
    assert_eq!(node.progress(2), (4, 0));
    let appends = node.appends_to(2);
    assert_eq!(appends[0].previous, id(3, 3));
    assert_eq!(appends[0].entries[0].id(), id(4, 4), "the no-op travels with the first probe");
}

/// "the leader can decrement nextIndex to bypass all of the conflicting entries in that term; one AppendEntries RPC
/// will be required for each term with conflicting entries, rather than one RPC per entry." (§5.3)
#[test]
fn a_rejection_bypasses_a_whole_term() {
    // (the leader's log, the follower's log, where they part, the probes allowed)
    let long: Vec<u64> = [vec![1; 4], vec![2; 50], vec![3; 50]].concat();
    let leaders: Vec<u64> = [vec![1; 4], vec![4; 60]].concat();
    let other: Vec<u64> = [vec![1; 4], vec![2; 30], vec![3; 20], vec![5; 30]].concat();
    let alternating: Vec<u64> = (1..=20).map(|term| 2 * term - 1).collect();
    let evens: Vec<u64> = core::iter::once(1).chain((1..20).map(|term| 2 * term)).collect();
    let table: [(Vec<u64>, Vec<u64>, u64, usize); 9] = [
        (leaders.clone(), long.clone(), 4, 2),
        (long.clone(), leaders.clone(), 4, 3),
        (other.clone(), long.clone(), 34, 3),
        (long.clone(), other.clone(), 34, 3),
        (vec![1, 1, 1], vec![], 0, 2),
        (vec![1, 1, 1, 7], vec![1], 1, 2),
        (vec![3; 40], vec![1; 40], 0, 2),
        (vec![1; 40], vec![3; 40], 0, 2),
        (alternating, evens, 1, 20),
    ];
    for (leader_log, follower_log, part, probes_max) in table {
        let term = 50;
        let mut leader = Solo::leader(3, term, &leader_log);
        let mut follower = Solo::new(3, term, &follower_log);
        // The leader's peer is its node 2; the follower, a node 1 of its own world, hears it as its node 2.
        let mut probe = Message::Append(appended(&mut leader));
        let mut probes = 1;
        loop {
            follower.hear(2, probe);
            let answer = follower.sent_to(2).pop().expect("an append is answered");
            let Message::AppendRejection(rejected) = &answer else { break };
            let before = leader.progress(2).0;
            leader.hear(2, Message::AppendRejection(rejected.clone()));
            let next = leader.progress(2).0;
            assert!(next > part && next < before, "{part} < {next} < {before}: backs up, but not too far");
            let appends = leader.appends_to(2);
            assert_eq!(appends.len(), 1, "one probe at a time");
            probe = Message::Append(appends[0].clone());
            probes += 1;
        }
        assert!(probes <= probes_max, "{leader_log:?} against {follower_log:?}: {probes} probes");
        assert!(follower.log().starts_with(&leader_log[..usize::try_from(part).expect("small")]));
    }
}

/// "the leader retries AppendEntries RPCs indefinitely (even after it has responded to the client) until all
/// followers eventually store all log entries" (§5.3)
#[test]
fn a_lost_append_is_sent_again_and_again() {
    let mut node = settled_leader();
    node.propose("x").expect("the leader accepts");
    node.hear(3, acknowledgement(2, 1, 3));
    assert_eq!(node.commit(), 3, "committed without node 2");
    node.sent();
    let mut retries = 0;
    for _ in 0..100 {
        node.wait(Span::from_millis(50));
        let sent = node.sent();
        let round = sent.iter().find_map(|(_, message)| match message {
            Message::Heartbeat(m) => Some(m.round.0),
            _ => None,
        });
        node.hear(3, acknowledgement(2, round.expect("every 50 ms"), 3));
        retries += sent.iter().filter(|(to, m)| *to == 2 && m.name() == "Append").count();
    }
    assert!((40..=51).contains(&retries), "{retries} in 5 s, one each 100 ms");
    node.hear(2, acknowledgement(2, 1, 3));
    node.wait(Span::from_millis(50));
    assert_eq!(node.names_to(2), ["Heartbeat"], "and then no more");
}

/// "If leaderCommit > commitIndex, set commitIndex = min(leaderCommit, index of last new entry)" (figure 2)
#[test]
fn a_followers_commit_is_clamped_to_what_its_leader_confirmed() {
    // (append after, terms, the leader's commit, the follower's commit)
    let table: [(u64, &[u64], u64, u64); 5] =
        [(1, &[], 9, 1), (1, &[3], 9, 2), (1, &[3, 3], 9, 3), (1, &[3, 3], 2, 2), (1, &[3, 3], 0, 0)];
    for (previous, terms, commit, expected) in table {
        let mut node = Solo::new(3, 3, &[1, 2, 2, 2, 2, 2]);
        node.hear(2, append(3, id(1, previous), terms, commit));
        assert_eq!(node.commit(), expected, "{terms:?} with commit {commit}");
        node.hear(2, heartbeat(3, 2, 0));
        assert_eq!(node.commit(), expected, "an older commit index lowers nothing");
    }
    let mut node = Solo::new(3, 3, &[1, 2]);
    node.hear(2, heartbeat(3, 1, 2));
    assert_eq!(node.commit(), 0, "a heartbeat alone confirms nothing");
}

/// "Once a follower learns that a log entry is committed, it applies the entry to its local state machine (in log
/// order)." (§5.3)
#[test]
fn committed_entries_are_applied_in_order_once() {
    let mut node = Solo::new(3, 3, &[1]);
    node.hear(2, append(3, id(1, 1), &[3, 3, 3], 2));
    assert_eq!(node.applied(), [1, 2]);
    node.hear(2, heartbeat(3, 2, 4));
    assert_eq!(node.applied(), [1, 2, 3, 4]);
    node.hear(2, append(3, id(1, 1), &[3, 3, 3], 4));
    assert_eq!(node.applied(), [1, 2, 3, 4]);
}

/// "A leader never overwrites or deletes entries in its own log" (§5.3, Leader Append-Only)
#[test]
fn a_leader_keeps_its_own_log() {
    let mut node = Solo::leader(3, 4, &[1, 2, 3]);
    node.hear(2, rejection(4, id(3, 3), id(1, 1)));
    node.hear(2, rejection(4, id(1, 1), id(0, 0)));
    assert!(node.try_hear(3, append(4, id(1, 1), &[4], 0)).is_err());
    assert_eq!(node.log(), [1, 2, 3, 4]);
}

/// Stale and reordered answers lower nothing that is known to match.
#[test]
fn overtaken_answers_lower_nothing() {
    let mut node = Solo::leader(3, 4, &[1, 2, 3]);
    node.hear(2, acknowledgement(4, 1, 4));
    assert_eq!(node.progress(2), (5, 4));
    for late in [
        acknowledgement(4, 1, 2),
        acknowledgement(4, 0, 0),
        rejection(4, id(3, 3), id(1, 1)),
        rejection(4, id(4, 4), id(0, 0)),
        rejection(4, id(9, 9), id(0, 0)),
    ] {
        node.hear(2, late);
        assert_eq!(node.progress(2), (5, 4));
    }
}

/// A leader of term 2 whose no-op (index 2) is acknowledged by everybody.
fn settled_leader() -> Solo {
    let mut node = Solo::leader(3, 2, &[1]);
    node.hear(2, acknowledgement(2, 1, 2));
    node.hear(3, acknowledgement(2, 1, 2));
    node.sent();
    assert_eq!(node.commit(), 2);
    assert_eq!(node.raft.term(), Term(2));
    node
}

/// The append under way to node 2 of a new leader.
fn appended(leader: &mut Solo) -> crate::message::Append {
    leader.wait(Span::from_millis(100));
    leader.appends_to(2).pop().expect("the probe is sent again")
}
