//! Raft §8 and thesis §6.4: clients, the no-op and linearizable reads.

use alloc::vec;
use alloc::vec::Vec;

use crate::action::Action;
use crate::entry::Payload;
use crate::error::Refused;
use crate::message::{Message, ReadIndex, ReadIndexAnswer};
use crate::raft::tests::cluster::member;
use crate::raft::tests::solo::{
    Solo, acknowledgement, append, heartbeat, heartbeat_answer, id, rejection, vote_answer,
};
use crate::types::{Index, ReadId, Round, Span, Term};

/// "Raft handles this by having each leader commit a blank no-op entry into the log at the start of its term." (§8)
#[test]
fn a_leader_opens_its_term_with_a_no_op() {
    let node = Solo::leader(3, 4, &[1, 2]);
    let last = node.raft.entries(Index(3)).next().expect("it was appended");
    assert_eq!((last.id(), &last.payload), (id(4, 3), &Payload::Noop));
}

/// "If the client's first choice is not the leader, that server will reject the client's request and supply
/// information about the most recent leader it has heard from" (§8)
#[test]
fn only_a_leader_takes_proposals_and_others_name_it() {
    let mut node = Solo::new(3, 2, &[1]);
    assert_eq!(node.propose("x"), Err(Refused::NotLeader(None)));
    node.hear(3, heartbeat(2, 1, 0));
    assert_eq!(node.propose("x"), Err(Refused::NotLeader(Some(member(3)))));
    assert_eq!(node.log(), [1]);
}

/// "If the leader has not yet marked an entry from its current term committed, it waits until it has done so."
/// (thesis §6.4)
#[test]
fn a_new_leader_holds_reads_until_its_term_has_committed() {
    let mut node = Solo::leader(3, 4, &[1, 2]);
    let read = read(&mut node);
    node.wait(Span::from_millis(50));
    let round = node.latest_round();
    node.hear(2, heartbeat_answer(4, round));
    node.hear(3, heartbeat_answer(4, round));
    assert_eq!(ready(&mut node), []);
    node.hear(2, acknowledgement(4, round, 3));
    let round = node.latest_round();
    node.hear(2, heartbeat_answer(4, round));
    assert_eq!(ready(&mut node), [(read, 3)], "the index covers the no-op and all before it");
}

/// "It issues a new round of heartbeats and waits for their acknowledgments from a majority of the cluster."
/// (thesis §6.4)
#[test]
fn a_read_waits_for_a_round_that_started_after_it() {
    let mut node = reading_leader(5);
    node.wait(Span::from_millis(50));
    let before = node.latest_round();
    let read = read(&mut node);
    let after = node.latest_round();
    assert!(after > before);
    for peer in 2..=5 {
        node.hear(peer, heartbeat_answer(2, before));
    }
    assert_eq!(ready(&mut node), [], "delayed answers prove nothing about the time after the read");
    node.hear(2, heartbeat_answer(2, after));
    node.hear(2, heartbeat_answer(2, after));
    assert_eq!(ready(&mut node), [], "one peer twice is one peer");
    node.hear(3, heartbeat_answer(2, after));
    assert_eq!(ready(&mut node), [(read, 2)]);
}

/// Any answer of this term to the round confirms leadership, a rejection included; one to a round that was never
/// asked does not.
#[test]
fn any_answer_of_the_round_confirms_and_an_invented_round_does_not() {
    for kind in 0..3 {
        let mut node = reading_leader(3);
        let read = read(&mut node);
        let round = node.latest_round();
        let answer = |round| match kind {
            0 => heartbeat_answer(2, round),
            1 => acknowledgement(2, round, 2),
            _ => {
                let Message::AppendRejection(mut m) = rejection(2, id(2, 2), id(1, 1)) else {
                    unreachable!()
                };
                m.round = Round(round);
                Message::AppendRejection(m)
            }
        };
        node.hear(2, answer(round + 7));
        assert_eq!(ready(&mut node), []);
        node.hear(2, answer(round));
        assert_eq!(ready(&mut node), [(read, 2)]);
    }
}

/// "The leader saves its current commit index in a local variable called readIndex. This will be used as a lower
/// bound for the version of the state that the query operates against." (thesis §6.4)
#[test]
fn the_read_index_is_the_commit_index_of_when_the_read_came() {
    let mut node = reading_leader(3);
    let early = read(&mut node);
    let early_round = node.latest_round();
    node.propose("x").expect("the leader accepts");
    node.hear(3, acknowledgement(2, 0, 3));
    let late = read(&mut node);
    let late_round = node.latest_round();
    node.hear(2, heartbeat_answer(2, early_round));
    assert_eq!(ready(&mut node), [(early, 2)]);
    node.hear(2, heartbeat_answer(2, late_round));
    assert_eq!(ready(&mut node), [(late, 3)]);
}

/// "the leader can amortize its cost: it can use a single round of heartbeats for any number of read-only queries
/// that it has accumulated." (thesis §6.4)
#[test]
fn many_reads_share_one_round() {
    let mut node = reading_leader(3);
    for _ in 0..50 {
        let _ = node.raft.read(node.now).expect("a read is accepted");
    }
    node.drain();
    let heartbeats: Vec<u64> = node
        .sent_to(2)
        .into_iter()
        .filter_map(|message| match message {
            Message::Heartbeat(m) => Some(m.round.0),
            _ => None,
        })
        .collect();
    let [round] = heartbeats[..] else { panic!("{heartbeats:?}") };
    node.hear(2, heartbeat_answer(2, round));
    assert_eq!(ready(&mut node).len(), 50);
}

/// A single voter is its own majority.
#[test]
fn a_single_node_reads_at_once() {
    let mut node = Solo::leader(1, 2, &[1]);
    let read = read(&mut node);
    assert_eq!(ready(&mut node), [(read, 2)]);
}

/// "a leader must check whether it has been deposed before processing a read-only request" (§8)
#[test]
fn a_deposed_leader_fails_its_reads() {
    let mut node = reading_leader(3);
    let read = read(&mut node);
    node.hear(2, vote_answer(3, false));
    assert!(node.notices.contains(&Action::ReadFailed(read, Refused::LeaderChanged)));
    node.hear(2, heartbeat_answer(2, 9));
    assert_eq!(ready(&mut node), []);
}

/// Nobody waits for ever: a read without an answer fails after its timeout, on a follower and on a leader.
#[test]
fn a_read_without_an_answer_times_out() {
    let mut node = Solo::new(3, 2, &[1]);
    let read = read(&mut node);
    for round in 1..70 {
        node.hear(2, heartbeat(2, round, 0));
        node.wait(Span::from_millis(50));
    }
    assert!(node.notices.contains(&Action::ReadFailed(read, Refused::TimedOut)));
}

/// A follower asks its leader for a read index (thesis §6.4), and again until it is answered; an answer to an earlier
/// question does not serve a later read.
#[test]
fn a_followers_read_asks_the_leader() {
    let mut node = Solo::new(3, 2, &[1]);
    node.hear(2, append(2, id(1, 1), &[2], 2));
    node.sent();
    let first = read(&mut node);
    let question = asked(&mut node);
    let second = read(&mut node);
    let later = asked(&mut node);
    assert!(later > question);
    let answer = |round, index| {
        Message::ReadIndexAnswer(ReadIndexAnswer { term: Term(2), round: Round(round), index: Index(index) })
    };
    node.hear(3, answer(later, 2));
    assert_eq!(ready(&mut node), [], "node 3 does not lead");
    node.hear(2, answer(question, 2));
    assert_eq!(ready(&mut node), [(first, 2)]);
    node.wait(Span::from_millis(100));
    let again = asked(&mut node);
    assert!(again > later);
    node.hear(2, answer(again, 5));
    assert_eq!(ready(&mut node), [(second, 5)], "an answer to a later question will do");
}

/// A change of leader asks anew: what the old leader may still answer is void.
#[test]
fn a_followers_read_moves_to_the_next_leader() {
    let mut node = Solo::new(3, 2, &[1]);
    node.hear(2, heartbeat(2, 1, 0));
    let read = read(&mut node);
    let old = asked(&mut node);
    node.hear(3, heartbeat(3, 1, 0));
    let new = asked(&mut node);
    let answer_of = |peer: u64| if peer == 2 { (2, old) } else { (3, new) };
    let answer = |peer| {
        let (term, round) = answer_of(peer);
        Message::ReadIndexAnswer(ReadIndexAnswer { term: Term(term), round: Round(round), index: Index(1) })
    };
    node.hear(2, answer(2));
    assert_eq!(ready(&mut node), []);
    node.hear(3, answer(3));
    assert_eq!(ready(&mut node), [(read, 1)]);
}

/// A leader answers a follower's question by the same rules as its own reads; a follower does not answer at all.
#[test]
fn a_leader_answers_a_followers_question_after_a_round() {
    let question = || Message::ReadIndex(ReadIndex { term: Term(2), round: Round(77) });
    let mut node = reading_leader(5);
    node.hear(4, question());
    let round = node.latest_round();
    node.hear(2, heartbeat_answer(2, round));
    assert_eq!(node.names_to(4), Vec::<&str>::new());
    node.hear(3, heartbeat_answer(2, round));
    let answer = ReadIndexAnswer { term: Term(2), round: Round(77), index: Index(2) };
    assert_eq!(node.sent_to(4), [Message::ReadIndexAnswer(answer)]);
    let mut node = Solo::new(3, 2, &[1]);
    node.hear(3, question());
    assert!(node.sent().is_empty());
}

/// A leader of term 2 whose no-op (index 2) is committed.
fn reading_leader(size: u64) -> Solo {
    let mut node = Solo::leader(size, 2, &[1]);
    for peer in 2..=size {
        node.hear(peer, acknowledgement(2, 1, 2));
    }
    node.sent();
    assert_eq!(node.commit(), 2);
    node
}

fn read(node: &mut Solo) -> ReadId {
    let read = node.raft.read(node.now).expect("a read is accepted");
    node.drain();
    read
}

/// The reads that became ready since the last look.
fn ready(node: &mut Solo) -> Vec<(ReadId, u64)> {
    let mut ready = vec![];
    for notice in core::mem::take(&mut node.notices) {
        if let Action::ReadReady(read, index) = notice {
            ready.push((read, index.0));
        }
    }
    ready
}

/// The round of the last question for a read index.
fn asked(node: &mut Solo) -> u64 {
    let rounds = node.sent().into_iter().filter_map(|(_, message)| match message {
        Message::ReadIndex(m) => Some(m.round.0),
        _ => None,
    });
    rounds.max().expect("a question was sent")
}
