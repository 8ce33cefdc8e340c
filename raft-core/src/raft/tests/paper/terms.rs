//! Raft §5.1: terms.

use crate::action::RoleName;
use crate::message::{Message, StaleTerm};
use crate::raft::tests::solo::{
    Solo, acknowledgement, append, heartbeat, heartbeat_answer, id, request_vote, vote_answer,
};
use crate::types::{Round, Span, Term};

/// "Current terms are exchanged whenever servers communicate; if one server's current term is smaller than the
/// other's, then it updates its current term to the larger value." (§5.1)
#[test]
fn every_message_of_a_higher_term_raises_the_term() {
    let stale = |term| Message::StaleTerm(StaleTerm { term: Term(term), round: Round(0) });
    let messages = [
        request_vote(9, id(1, 1)),
        vote_answer(9, false),
        append(9, id(1, 1), &[], 0),
        acknowledgement(9, 1, 1),
        heartbeat(9, 1, 0),
        heartbeat_answer(9, 1),
        stale(9),
    ];
    for message in messages {
        let mut node = Solo::new(3, 3, &[1]);
        let name = message.name();
        node.hear(2, message);
        assert_eq!(node.term(), 9, "{name}");
        assert_eq!(node.disk.hard_state.term, Term(9), "{name}: the term is written");
    }
}

/// "If a candidate or leader discovers that its term is out of date, it immediately reverts to follower state."
/// (§5.1)
#[test]
fn a_leader_and_a_candidate_step_down_in_a_higher_term() {
    for wins in [false, true] {
        let mut node = Solo::new(3, 3, &[1]);
        node.campaign();
        if wins {
            node.hear(2, vote_answer(4, true));
        }
        assert_eq!(node.role(), if wins { RoleName::Leader } else { RoleName::Candidate });
        node.hear(3, vote_answer(5, false));
        assert_eq!((node.role(), node.term()), (RoleName::Follower, 5));
    }
}

/// "If a server receives a request with a stale term number, it rejects the request." (§5.1)
#[test]
fn requests_of_a_stale_term_are_answered_with_the_term_and_change_nothing() {
    for message in [request_vote(2, id(9, 9)), append(2, id(1, 1), &[2, 2], 2), heartbeat(2, 1, 1)] {
        let mut node = Solo::new(3, 3, &[1]);
        let before = node.raft.status();
        let name = message.name();
        node.hear(2, message);
        assert_eq!(node.raft.status(), before, "{name}");
        let answers = node.sent_to(2);
        let [Message::StaleTerm(answer)] = answers.as_slice() else { panic!("{name}: {answers:?}") };
        assert_eq!(answer.term, Term(3), "{name}");
    }
}

/// "Each server stores a current term number, which increases monotonically over time." (§5.1)
#[test]
fn answers_of_a_stale_term_are_ignored() {
    let mut node = Solo::leader(3, 3, &[1]);
    let before = node.raft.status();
    for message in [vote_answer(2, true), acknowledgement(2, 1, 2), heartbeat_answer(2, 1)] {
        node.hear(2, message);
    }
    assert_eq!(node.raft.status(), before);
    assert!(node.sent().is_empty(), "nobody is owed an answer");
}

/// "Terms act as a logical clock in Raft, and they allow servers to detect obsolete information such as stale
/// leaders." (§5.1)
#[test]
fn a_stale_leader_does_not_put_the_election_off() {
    let mut node = Solo::new(3, 3, &[1]);
    for _ in 0..40 {
        node.wait(Span::from_millis(20));
        node.hear(2, heartbeat(2, 1, 0));
    }
    assert_eq!(node.role(), RoleName::PreCandidate, "it campaigns in spite of the old leader");
}

/// "latest term server has seen" (figure 2: currentTerm, persistent on all servers)
#[test]
fn the_term_survives_a_restart() {
    let mut node = Solo::new(3, 3, &[1]);
    node.hear(2, heartbeat(7, 1, 0));
    node.restart();
    assert_eq!(node.term(), 7);
    let mut node = Solo::new(3, 3, &[1, 5]);
    assert_eq!(node.term(), 5, "the log may know a later term than the hard state");
    node.restart();
    assert_eq!(node.term(), 5);
}
