//! A damaged node: it elects nobody until its peers have repaired it.

use alloc::vec::Vec;

use super::cluster::{Cluster, Disk, log_of, member};
use super::solo::{Solo, append, heartbeat, id, pre_vote, request_vote, vote_answer};
use crate::action::RoleName;
use crate::config::Config;
use crate::message::{AbstentionAnswer, Message};
use crate::types::{Index, Round, Span, Term};
use crate::write::HardState;

#[test]
fn a_damaged_node_gives_no_vote_and_no_pre_vote() {
    let mut node = damaged(&[1]);
    node.hear(2, pre_vote(2, id(9, 9)));
    assert_eq!(answers(&mut node), [("PreVoteAnswer", false)]);
    node.hear(2, request_vote(5, id(5, 9)));
    assert_eq!(answers(&mut node), [("VoteAnswer", false)]);
    assert_eq!((node.term(), node.raft.status().vote), (5, None), "the term is news all the same");
}

#[test]
fn a_damaged_node_does_not_campaign() {
    let mut node = damaged(&[1]);
    for _ in 0..100 {
        node.wait(Span::from_millis(100));
    }
    assert_eq!((node.role(), node.term(), node.sent().len()), (RoleName::Follower, 2, 0));
}

#[test]
fn a_damaged_node_acknowledges_its_durable_prefix_and_answers_heartbeats() {
    let mut node = damaged(&[1]);
    node.stalled = true;
    node.hear(2, append(2, id(1, 1), &[2, 2], 1));
    assert_eq!(node.acknowledged_to(2), Some(1));
    node.sync();
    assert_eq!(node.acknowledged_to(2), Some(3), "repaired entries count as they become durable");
    node.hear(2, heartbeat(2, 2, 3));
    assert_eq!(node.names_to(2), ["HeartbeatAnswer"]);
    assert_eq!(node.applied(), [1, 2, 3]);
}

/// It asks its leader, and again until there is an answer; only an answer to its question counts.
#[test]
fn a_damaged_node_asks_its_leader_for_the_target() {
    let mut node = damaged(&[1]);
    assert!(node.sent().is_empty(), "whom should it ask?");
    node.hear(2, heartbeat(2, 1, 0));
    let first = question(&mut node).expect("it asks");
    node.wait(Span::from_millis(50));
    assert_eq!(question(&mut node), None);
    node.wait(Span::from_millis(50));
    let second = question(&mut node).expect("it asks again");
    node.hear(2, append(2, id(1, 1), &[2], 0));
    assert!(abstains(&node));
    node.hear(3, answer(2, second, 1));
    assert!(abstains(&node), "node 3 does not lead");
    node.hear(2, answer(2, first, 1));
    assert!(abstains(&node), "an answer to an earlier question");
    node.hear(2, answer(2, second, 2));
    assert!(!abstains(&node));
    node.wait(Span::from_millis(500));
    assert_eq!(question(&mut node), None);
}

/// The target is reached by what is durable and confirmed, not by what happens to be there.
#[test]
fn abstention_ends_when_the_durable_log_reaches_the_target() {
    let mut node = damaged(&[1, 2, 2, 2, 2, 2]);
    node.hear(2, append(2, id(1, 1), &[], 0));
    let round = question(&mut node).expect("it asks");
    node.hear(2, answer(2, round, 3));
    assert!(abstains(&node), "its own entries 2 to 6 are not confirmed by this leader");
    node.stalled = true;
    node.hear(2, append(2, id(1, 1), &[2], 0));
    assert!(abstains(&node), "one is missing");
    node.hear(2, append(2, id(2, 2), &[2], 0));
    assert!(!abstains(&node), "all were on disk before");
    let mut node = damaged(&[1]);
    node.hear(2, heartbeat(2, 1, 0));
    let round = question(&mut node).expect("it asks");
    node.hear(2, answer(2, round, 2));
    node.stalled = true;
    node.hear(2, append(2, id(1, 1), &[2], 0));
    assert!(abstains(&node), "it is not durable");
    node.sync();
    assert!(!abstains(&node));
}

/// The end of the abstention is a write, and no vote leaves before it is durable.
#[test]
fn the_first_vote_waits_for_the_durable_end_of_the_abstention() {
    let mut node = damaged(&[1]);
    node.hear(2, append(2, id(1, 1), &[], 0));
    let round = question(&mut node).expect("it asks");
    node.stalled = true;
    node.hear(2, answer(2, round, 1));
    assert!(!abstains(&node) && node.disk.hard_state.abstaining, "not durable yet");
    node.wait(Span::from_millis(300));
    node.hear(3, request_vote(2, id(9, 9)));
    assert!(answers(&mut node).is_empty());
    node.sync();
    assert_eq!(answers(&mut node), [("VoteAnswer", true)]);
    assert!(!node.disk.hard_state.abstaining);
    node.restart();
    assert!(!abstains(&node));
}

#[test]
fn a_crash_before_the_end_is_durable_leaves_it_abstaining() {
    let mut node = damaged(&[1]);
    node.hear(2, append(2, id(1, 1), &[], 0));
    let round = question(&mut node).expect("it asks");
    node.stalled = true;
    node.hear(2, answer(2, round, 1));
    node.restart();
    assert!(abstains(&node));
}

/// Each boot asks anew, and answers of an earlier boot are ignored, even where the round is the same.
#[test]
fn each_boot_asks_anew() {
    let mut node = damaged(&[1]);
    node.hear(2, append(2, id(1, 1), &[], 0));
    let before = question(&mut node).expect("it asks");
    let late = node.envelope(2, node.raft.boot(), answer(2, before, 1));
    node.restart();
    node.hear(2, append(2, id(1, 1), &[], 0));
    let after = question(&mut node).expect("it asks again");
    assert_eq!(before, after, "so that only the boot tells them apart");
    assert_eq!(node.receive(late), Ok(()));
    assert!(abstains(&node));
    node.hear(2, answer(2, after, 1));
    assert!(!abstains(&node));
}

/// Only a leader of at least the durable term sets the target: an older one may lack what was acknowledged.
#[test]
fn an_answer_of_an_old_term_sets_no_target() {
    let mut node = damaged(&[1]);
    node.hear(2, append(2, id(1, 1), &[], 0));
    let round = question(&mut node).expect("it asks");
    node.hear(3, vote_answer(3, false));
    node.hear(2, answer(2, round, 1));
    node.hear(3, append(3, id(1, 1), &[], 0));
    assert!(abstains(&node));
    assert_eq!(question(&mut node), None, "the question under way is repeated in time");
    node.wait(Span::from_millis(100));
    let round = question(&mut node).expect("it asks the new leader");
    node.hear(3, answer(3, round, 1));
    assert!(!abstains(&node));
}

/// A cluster repairs a damaged member and lives on without its vote meanwhile.
#[test]
fn a_cluster_repairs_a_damaged_member() {
    let mut cluster =
        Cluster::with_logs(&[(3, log_of(&[1, 2, 3, 3])), (3, log_of(&[1, 2, 3, 3])), (3, log_of(&[1]))]);
    cluster.nodes.get_mut(&3).expect("it exists").disk.hard_state.abstaining = true;
    cluster.restart(3);
    assert!(cluster.raft(3).status().abstaining);
    let leader = cluster.elect();
    assert_ne!(leader, 3);
    cluster.run(Span::from_millis(300));
    assert!(!cluster.raft(3).status().abstaining);
    assert_eq!(cluster.terms(3), cluster.terms(leader));
    // With the other follower gone, the repaired member's vote elects a leader again.
    let gone = 3 - leader;
    cluster.cut_off(gone);
    cluster.restart(leader);
    cluster.run(Span::from_millis(1_500));
    let leads = [leader, 3].map(|id| cluster.raft(id).is_leader());
    assert!(leads.contains(&true), "{leads:?}");
    assert_eq!(cluster.raft(3).status().vote.map(|vote| vote != member(gone)), Some(true));
}

/// Node 1 of three, in term 2, abstaining.
fn damaged(log: &[u64]) -> Solo {
    let hard_state = HardState { term: Term(2), abstaining: true, ..HardState::default() };
    let disk = Disk { hard_state, entries: log_of(log), ..Disk::default() };
    Solo::with_disk(3, disk, Config::default())
}

fn abstains(node: &Solo) -> bool {
    node.raft.status().abstaining
}

fn answer(term: u64, round: u64, last: u64) -> Message {
    Message::AbstentionAnswer(AbstentionAnswer { term: Term(term), round: Round(round), last: Index(last) })
}

/// The round of the question for the target since the last look.
fn question(node: &mut Solo) -> Option<u64> {
    node.sent().into_iter().find_map(|(_, message)| match message {
        Message::Abstention(m) => Some(m.round.0),
        _ => None,
    })
}

/// Votes and pre-votes given since the last look.
fn answers(node: &mut Solo) -> Vec<(&'static str, bool)> {
    let granted = |message: &Message| match message {
        Message::PreVoteAnswer(m) => Some(m.granted),
        Message::VoteAnswer(m) => Some(m.granted),
        _ => None,
    };
    node.sent().iter().filter_map(|(_, m)| granted(m).map(|granted| (m.name(), granted))).collect()
}
