//! What waits for the disk, and what does not: one test for each row of the table in ARCHITECTURE.md.
//!
//! The disk is stalled, something happens, and the test looks at what left before the sync and after it.

use alloc::vec::Vec;

use super::cluster::{command, member};
use super::solo::{
    Solo, acknowledgement, append, heartbeat, heartbeat_answer, id, pre_vote, request_vote, vote_answer,
};
use crate::action::RoleName;
use crate::message::{Abstention, Append, Message, ReadIndex};
use crate::types::{Index, Round, Span, Term};

const NOTHING: [&str; 0] = [];

/// AppendEntries, heartbeats: nothing.
#[test]
fn appends_and_heartbeats_wait_for_nothing() {
    let mut node = Solo::leader(3, 2, &[1]);
    node.hear(2, acknowledgement(2, 1, 2));
    node.sent();
    node.stalled = true;
    node.propose("x").expect("the leader accepts");
    assert_eq!(node.names_to(2), ["Append"]);
    node.wait(Span::from_millis(50));
    assert_eq!(node.names_to(2), ["Heartbeat"]);
}

/// A pre-vote request: nothing.
#[test]
fn a_pre_vote_request_waits_for_nothing() {
    let mut node = Solo::new(3, 2, &[1]);
    node.hear(2, heartbeat(2, 1, 0));
    node.stalled = true;
    node.wait(Span::from_millis(550));
    node.hear(2, append(2, id(1, 1), &[2], 0)); // A write of the log is under way, one of the hard state is not.
    node.sent();
    node.wait(Span::from_millis(299));
    node.sync();
    node.hear(2, append(2, id(2, 2), &[2], 0));
    for _ in 0..30 {
        node.wait(Span::from_millis(10));
        if node.role() != RoleName::Follower {
            break;
        }
    }
    let waiting = node.names_to(3);
    assert!(waiting.iter().all(|name| *name == "PreVote"), "{waiting:?}");
}

/// RequestVote: hard state and log.
#[test]
fn a_vote_request_waits_for_the_hard_state_and_the_log() {
    let mut node = Solo::new(3, 2, &[1]);
    node.stalled = true;
    node.campaign();
    assert_eq!(node.role(), RoleName::Candidate);
    assert_eq!(node.names_to(2), ["PreVote"], "nothing but the pre-vote of before");
    node.sync();
    assert_eq!(node.names_to(2), ["RequestVote"]);
}

/// The same row, for the log: an entry that the request brags with must not be lost after it.
#[test]
fn a_vote_request_waits_for_entries_that_were_taken_before_it() {
    let mut node = Solo::new(3, 2, &[1]);
    node.stalled = true;
    node.hear(2, append(2, id(1, 1), &[2, 2], 0));
    node.wait(Span::from_millis(290));
    node.now = node.now.plus(Span::from_millis(400)); // The disk answers when the timer has run out already.
    node.sync_one();
    assert_eq!(node.role(), RoleName::PreCandidate);
    node.hear(2, append(2, id(2, 3), &[2], 0));
    assert_eq!(node.disk.unsynced.len(), 1);
    for _ in 0..60 {
        node.campaign();
        if node.role() == RoleName::Candidate {
            break;
        }
        node.sync();
    }
    let writes: Vec<_> = node.disk.unsynced.iter().map(|persist| persist.write.clone()).collect();
    assert!(writes.iter().any(|write| write.hard_state.is_some()), "{writes:?}");
    assert!(!node.names_to(3).contains(&"RequestVote"));
    node.sync();
    let sent = node.sent_to(3);
    let [Message::RequestVote(m)] = sent.as_slice() else { panic!("{sent:?}") };
    assert_eq!(m.last, id(2, 4));
    assert_eq!(node.disk.entries.len(), 4);
}

/// A candidate's own vote counts once it is durable: nobody leads earlier, a single voter included.
#[test]
fn a_single_voter_leads_once_its_vote_is_durable() {
    let mut node = Solo::new(1, 2, &[1]);
    node.stalled = true;
    node.wait(Span::from_millis(600));
    assert_eq!(node.role(), RoleName::Candidate);
    node.sync();
    assert_eq!(node.role(), RoleName::Leader);
}

/// A vote answer, given or refused: hard state.
#[test]
fn a_vote_answer_waits_for_the_hard_state() {
    for (last, granted) in [(id(1, 1), true), (id(0, 0), false)] {
        let mut node = Solo::new(3, 2, &[1]);
        node.stalled = true;
        node.hear(2, request_vote(3, last));
        assert_eq!(node.names_to(2), NOTHING);
        node.sync();
        assert_eq!(node.vote_given_to(2), Some(granted));
    }
}

/// A vote answer waits for no entry: only the promise must last.
#[test]
fn a_vote_answer_does_not_wait_for_the_log() {
    let mut node = Solo::new(3, 2, &[1]);
    node.hear(2, append(2, id(1, 1), &[], 0));
    node.stalled = true;
    node.hear(2, append(2, id(1, 1), &[2], 0));
    node.wait(Span::from_millis(300));
    node.sent();
    node.hear(3, request_vote(2, id(1, 1)));
    assert_eq!(node.vote_given_to(3), Some(false), "a refusal that promises nothing new leaves at once");
}

/// An append acknowledgement through m: the term, and the log through m.
#[test]
fn an_acknowledgement_waits_for_the_log_that_it_names() {
    let mut node = Solo::new(3, 2, &[1]);
    node.hear(2, append(2, id(1, 1), &[], 0));
    node.sent();
    node.stalled = true;
    node.hear(2, append(2, id(1, 1), &[2], 0));
    node.hear(2, append(2, id(2, 2), &[2, 2], 0));
    assert_eq!(node.disk.unsynced.len(), 2);
    assert_eq!(node.acknowledged_to(2), None);
    node.sync_one();
    assert_eq!(node.acknowledged_to(2), Some(2), "the first write covers index 2");
    node.sync_one();
    assert_eq!(node.acknowledged_to(2), Some(4));
}

/// The same row: entries that are durable already need only the term.
#[test]
fn an_acknowledgement_of_old_entries_waits_for_the_term_alone() {
    let mut node = Solo::new(3, 2, &[1, 2]);
    node.stalled = true;
    node.hear(2, append(2, id(1, 1), &[2], 0));
    assert_eq!(node.acknowledged_to(2), Some(2), "term and entries are on disk");
    node.hear(2, append(3, id(1, 1), &[2], 0));
    assert_eq!(node.names_to(2), NOTHING, "the new term is not");
    node.sync();
    assert_eq!(node.acknowledged_to(2), Some(2));
}

/// Heartbeat answers: the term, not the log.
#[test]
fn a_heartbeat_answer_waits_for_the_term_alone() {
    let mut node = Solo::new(3, 2, &[1]);
    node.stalled = true;
    node.hear(2, heartbeat(3, 1, 0));
    assert_eq!(node.names_to(2), NOTHING);
    node.sync();
    assert_eq!(node.names_to(2), ["HeartbeatAnswer"]);
    node.hear(2, append(3, id(1, 1), &[3], 0));
    node.sent();
    node.hear(2, heartbeat(3, 2, 0));
    assert_eq!(node.names_to(2), ["HeartbeatAnswer"], "while an entry is being written");
}

/// Rejections: the term, not the log.
#[test]
fn a_rejection_waits_for_the_term_alone() {
    let mut node = Solo::new(3, 2, &[1]);
    node.stalled = true;
    node.hear(2, append(3, id(3, 7), &[3], 0));
    assert_eq!(node.names_to(2), NOTHING);
    node.sync();
    assert_eq!(node.names_to(2), ["AppendRejection"]);
    node.hear(2, append(3, id(1, 1), &[3], 0));
    node.sent();
    node.hear(2, append(3, id(3, 9), &[3], 0));
    assert_eq!(node.names_to(2), ["AppendRejection"], "while an entry is being written");
}

/// Pre-vote answers and the news of a later term: the term.
#[test]
fn pre_vote_and_stale_term_answers_wait_for_the_term() {
    let mut node = Solo::new(3, 2, &[1]);
    node.stalled = true;
    node.hear(2, pre_vote(2, id(1, 1)));
    assert_eq!(node.names_to(2), ["PreVoteAnswer"]);
    node.hear(2, vote_answer(5, false)); // Term 5, not durable.
    node.hear(2, pre_vote(5, id(1, 1)));
    node.hear(3, heartbeat(4, 1, 0));
    assert!(node.sent().is_empty());
    node.sync();
    let mut names: Vec<_> = node.sent().iter().map(|(to, m)| (*to, m.name())).collect();
    names.sort_unstable();
    assert_eq!(names, [(2, "PreVoteAnswer"), (3, "StaleTerm")]);
}

/// A leader's answers to read and abstention questions: the term, which a leader always has on disk.
#[test]
fn read_and_abstention_answers_do_not_wait_for_the_log() {
    let mut node = Solo::leader(3, 2, &[1]);
    node.hear(2, acknowledgement(2, 1, 2));
    node.stalled = true;
    node.propose("x").expect("the leader accepts");
    node.sent();
    node.hear(2, Message::ReadIndex(ReadIndex { term: Term(2), round: Round(5) }));
    node.hear(3, Message::Abstention(Abstention { term: Term(2), round: Round(6) }));
    let round = node.sent();
    assert!(round.iter().any(|(to, m)| *to == 3 && m.name() == "AbstentionAnswer"), "{round:?}");
    let asked = round.iter().find_map(|(_, m)| match m {
        Message::Heartbeat(m) => Some(m.round.0),
        _ => None,
    });
    node.hear(3, heartbeat_answer(2, asked.expect("a round was started")));
    assert_eq!(node.names_to(2), ["ReadIndexAnswer"]);
}

/// Read questions: nothing.
#[test]
fn a_read_question_waits_for_nothing() {
    let mut node = Solo::new(3, 2, &[1]);
    node.stalled = true;
    node.hear(2, heartbeat(3, 1, 0));
    let _ = node.raft.read(node.now).expect("a read is accepted");
    node.drain();
    assert_eq!(node.names_to(2), ["ReadIndex"], "though the term is not on disk");
}

/// A message of an old term that was held is dropped: what it promised may have been overtaken.
#[test]
fn held_messages_of_an_old_term_are_dropped() {
    let mut node = Solo::new(3, 2, &[1]);
    node.stalled = true;
    node.hear(2, request_vote(3, id(1, 1)));
    node.hear(3, vote_answer(4, false));
    node.sync();
    assert!(node.sent().is_empty());
    assert_eq!((node.disk.hard_state.term, node.disk.hard_state.vote), (Term(4), None));
}

/// What was owed to the leader of an old term is dropped too.
#[test]
fn an_acknowledgement_owed_to_an_old_leader_is_dropped() {
    let mut node = Solo::new(3, 2, &[1]);
    node.hear(2, heartbeat(2, 1, 0));
    node.sent();
    node.stalled = true;
    node.hear(2, append(2, id(1, 1), &[2, 2], 0));
    node.sent();
    node.hear(3, heartbeat(3, 1, 0));
    node.sync();
    assert_eq!(
        node.sent().into_iter().map(|(to, m)| (to, m.name())).collect::<Vec<_>>(),
        [(3, "HeartbeatAnswer")]
    );
}

/// Nothing waits for writes that it does not depend on: a stalled write of the log does not hold the answers to a
/// later leader once the term is durable.
#[test]
fn a_write_may_be_reported_twice_and_late() {
    let mut node = Solo::new(3, 2, &[1]);
    node.stalled = true;
    node.hear(2, append(3, id(1, 1), &[3], 0));
    node.hear(2, append(3, id(3, 2), &[3], 0));
    let writes: Vec<_> = node.disk.unsynced.iter().map(crate::write::Persist::durable).collect();
    node.sync();
    assert_eq!(node.acknowledged_to(2), Some(3));
    for durable in writes.into_iter().rev() {
        node.raft.handle_durable(node.now, durable);
        node.drain();
    }
    assert!(node.sent().is_empty(), "old news is no news");
    assert_eq!(node.raft.status().durable, Index(3));
}

/// The proof of a write is void in another boot.
#[test]
fn a_durable_of_an_earlier_boot_proves_nothing() {
    let mut node = Solo::new(3, 2, &[1]);
    node.stalled = true;
    node.hear(2, append(3, id(1, 1), &[3], 0));
    let old = node.disk.unsynced[0].durable();
    node.restart();
    node.hear(2, append(3, id(1, 1), &[3], 0));
    node.raft.handle_durable(node.now, old);
    node.drain();
    assert_eq!(node.names_to(2), NOTHING);
    node.sync();
    assert_eq!(node.acknowledged_to(2), Some(2));
}

/// "A leader whose oldest write is unfinished for one election timeout steps down, and does not campaign until it is
/// durable": others, with better disks, go on without it.
#[test]
fn a_leader_with_a_stalled_disk_steps_down_and_stays_down() {
    let mut node = Solo::leader(3, 2, &[1]);
    node.hear(2, acknowledgement(2, 1, 2));
    node.stalled = true;
    node.propose("x").expect("the leader accepts");
    for _ in 0..5 {
        node.wait(Span::from_millis(50));
        let round = node.latest_round();
        node.hear(2, heartbeat_answer(2, round));
        assert!(node.raft.is_leader());
    }
    node.wait(Span::from_millis(50));
    assert_eq!((node.role(), node.term()), (RoleName::Follower, 2), "though a majority answers");
    node.sent();
    for _ in 0..100 {
        node.wait(Span::from_millis(50));
    }
    assert_eq!((node.role(), node.sent().len()), (RoleName::Follower, 0));
    node.sync();
    assert_eq!(node.role(), RoleName::PreCandidate, "its time has come long since");
}

/// The election timer runs from when the requests leave: a slow disk does not use it up.
#[test]
fn a_candidates_timer_starts_when_its_requests_leave() {
    let mut node = Solo::new(3, 2, &[1]);
    node.stalled = true;
    node.campaign();
    for _ in 0..100 {
        node.wait(Span::from_millis(50));
    }
    assert_eq!((node.role(), node.term()), (RoleName::Candidate, 3), "no new campaign on top of this one");
    node.sync();
    let deadline = node.raft.next_tick().expect("an election timer runs");
    assert!(deadline.since(node.now) >= Span::from_millis(300));
    node.hear(2, vote_answer(3, true));
    assert!(node.raft.is_leader());
}

/// The same race as B34 in small: the sync of what was overwritten makes nothing durable.
///
/// 1. The leader of term 2 sends entries 2 and 3; their write is under way.
/// 2. The leader of term 3 overwrites entry 2; that write is under way too.
/// 3. The first write is done. Index 2 is durable on disk, with the wrong entry.
#[test]
fn the_sync_of_an_overwritten_entry_confirms_nothing() {
    let mut node = Solo::new(3, 2, &[1]);
    node.stalled = true;
    node.hear(2, append(2, id(1, 1), &[2, 2], 0));
    node.hear(3, append(3, id(1, 1), &[3], 0));
    node.sent();
    node.sync_one();
    assert_eq!(node.raft.status().durable, Index(1));
    assert_eq!(node.acknowledged_to(3), None);
    node.sync_one();
    assert_eq!(node.acknowledged_to(3), Some(2));
    assert_eq!(node.disk.entries.last().map(|entry| entry.term), Some(Term(3)));
}

/// And with three writes, of which the last writes again what the first wrote: same index, same term, other write.
#[test]
fn an_entry_that_was_removed_and_came_back_waits_for_its_second_write() {
    let mut node = Solo::new(5, 2, &[1]);
    node.stalled = true;
    node.hear(2, append(2, id(1, 1), &[2], 0));
    node.hear(3, append(3, id(1, 1), &[3], 0));
    let entries = alloc::vec![command(2, 2)];
    let back = Append {
        term: Term(4),
        round: Round(1),
        previous: id(1, 1),
        entries: entries.into(),
        commit: Index(0),
    };
    node.hear(4, Message::Append(back));
    node.sent();
    node.sync_one();
    node.sync_one();
    assert_eq!(node.acknowledged_to(4), None);
    node.sync_one();
    assert_eq!(node.acknowledged_to(4), Some(2));
    assert_eq!(node.raft.leader(), Some(member(4)));
}

/// A leader without peers is asked by one that it does not know, before its first entry is committed: the answer leaves with
/// the commit, and not with some later event.
#[test]
fn a_sole_leader_answers_a_read_when_its_first_entry_commits() {
    let mut node = Solo::new(1, 1, &[1]);
    node.stalled = true;
    node.pre_campaign();
    node.sync();
    assert!(node.raft.is_leader(), "its own vote is enough");
    let term = node.raft.term();
    node.hear(2, Message::ReadIndex(ReadIndex { term, round: Round(5) }));
    assert_eq!(node.names_to(2), [""; 0], "nothing of this term is committed");
    node.sync();
    assert_eq!(node.names_to(2), ["ReadIndexAnswer"]);
}

/// Two questions of one follower overtook each other while the answer waits for a quorum: the answer to the newer one serves
/// the reads of both.
#[test]
fn a_held_answer_to_an_older_question_does_not_take_the_place_of_a_newer_one() {
    let mut node = Solo::leader(3, 2, &[1]);
    node.hear(2, acknowledgement(2, 1, 2));
    node.sent();
    for question in [7, 5] {
        node.hear(2, Message::ReadIndex(ReadIndex { term: Term(2), round: Round(question) }));
    }
    let round = node.latest_round();
    node.hear(3, heartbeat_answer(2, round));
    let rounds: Vec<u64> = node
        .sent_to(2)
        .into_iter()
        .filter_map(|message| match message {
            Message::ReadIndexAnswer(answer) => Some(answer.round.0),
            _ => None,
        })
        .collect();
    assert_eq!(rounds, [7]);
}
