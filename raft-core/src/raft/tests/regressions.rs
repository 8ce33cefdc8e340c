//! Defects that a review found, each as the shortest story that shows it.

use super::cluster::{Cluster, Disk, log_of, member};
use super::solo::*;
use crate::action::Action;
use crate::config::Config;
use crate::message::*;
use crate::types::*;
use crate::write::HardState;

/// What the leader of a term confirmed stays confirmed for the term: without it, the commit index would wait for the
/// next entry, perhaps for ever.
#[test]
fn a_follower_that_asked_for_an_election_in_vain_still_learns_the_commit() {
    let mut cluster = Cluster::new(3);
    cluster.elect_node(1);
    cluster.run(Span::from_millis(200));
    let id = cluster.propose(1, "x");
    cluster.drain(1);
    // The append reaches 2, and its acknowledgement 1; what tells 2 of the commit is lost.
    while let Some(envelope) = cluster.network.pop_front() {
        cluster.deliver(envelope);
        let progress = cluster.raft(1).status().progress;
        if progress.iter().any(|(peer, _, matched)| *peer == member(2) && *matched == id.index) {
            break;
        }
    }
    cluster.network.retain(|envelope| envelope.to != member(2));
    cluster.cut_off(2);
    cluster.settle();
    cluster.run(Span::from_millis(700));
    cluster.cut.clear();
    cluster.run(Span::from_millis(1_000));
    assert_eq!(cluster.raft(2).status().commit, cluster.raft(1).status().commit);
}

#[test]
fn a_damaged_node_asks_each_new_leader_how_far_it_must_be_repaired() {
    let hard_state = HardState { term: Term(2), abstaining: true, ..HardState::default() };
    let disk = Disk { hard_state, entries: log_of(&[1]), ..Disk::default() };
    let mut node = Solo::with_disk(3, disk, Config::default());
    node.hear(2, heartbeat(2, 1, 0));
    let round = asked(&mut node);
    let far = AbstentionAnswer { term: Term(2), round, last: Index(1_000) };
    node.hear(2, Message::AbstentionAnswer(far));
    // That leader dies with its tail, which nobody else has.
    node.hear(3, append(3, id(1, 1), &[3], 2));
    let round = asked(&mut node);
    node.hear(3, Message::AbstentionAnswer(AbstentionAnswer { term: Term(3), round, last: Index(2) }));
    assert!(!node.raft.status().abstaining);
}

fn asked(node: &mut Solo) -> Round {
    let question = |(_, message)| match message {
        Message::Abstention(question) => Some(question.round),
        _ => None,
    };
    node.sent().into_iter().find_map(question).expect("it asks the leader")
}

#[test]
fn a_lost_acknowledgement_is_repeated_while_later_entries_wait_for_the_disk() {
    let mut node = Solo::new(3, 2, &[1]);
    node.hear(2, append(2, id(1, 1), &[2], 0));
    node.stalled = true;
    node.hear(2, append(2, id(2, 2), &[2], 0));
    let _ = node.sent(); // The acknowledgement of 2 is lost.
    node.hear(2, append(2, id(1, 1), &[2], 0));
    assert_eq!(node.acknowledged_to(2), Some(2));
}

#[test]
fn polling_ends_only_when_nothing_is_left_to_say() {
    let config = Config { apply_bytes_max: 1, ..Config::default() };
    let mut node = Solo::with_config(1, 1, &[1], config);
    node.lazy = true;
    node.pre_campaign();
    assert!(node.raft.is_leader());
    node.stalled = true;
    let _ = node.propose("a");
    node.hear(2, vote_answer(3, false));
    assert!(!node.raft.is_leader(), "a higher term was heard");
    node.sync();
    node.stalled = true;
    node.wait(Span::from_millis(700));
    while !node.raft.is_leader() {
        node.sync_one();
    }
    let read = node.raft.read(node.now).expect("a leader takes reads");
    node.drain();
    node.notices.clear();
    node.sync();
    let is_answered = |action: &Action| matches!(action, Action::ReadReady(ready, _) if *ready == read);
    assert!(node.notices.iter().any(is_answered));
}
