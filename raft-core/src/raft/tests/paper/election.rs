//! Raft §5.2 and §5.4.1: elections. Thesis §4.2.3, §6.2 and §9.6: stickiness, check-quorum and pre-vote.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::action::{Action, RoleName};
use crate::message::{Message, PreVoteAnswer};
use crate::raft::tests::cluster::{Cluster, log_of, member};
use crate::raft::tests::solo::{
    Solo, append, heartbeat, heartbeat_answer, id, pre_vote, request_vote, vote_answer,
};
use crate::types::{Round, Span, Term};

/// "When servers start up, they begin as followers." (§5.2)
#[test]
fn a_server_starts_as_a_follower_and_stays_one_for_an_election_timeout() {
    let mut node = Solo::new(3, 1, &[1]);
    assert_eq!(node.role(), RoleName::Follower);
    node.now = crate::types::Instant(1_000_000);
    node.wait(Span::from_millis(299));
    assert_eq!(node.role(), RoleName::Follower);
    assert!(node.sent().is_empty());
}

/// "If a follower receives no communication over a period of time called the election timeout, then it assumes
/// there is no viable leader and begins an election to choose a new leader." (§5.2)
#[test]
fn silence_starts_an_election_and_heartbeats_prevent_it() {
    let mut heard = Solo::new(3, 1, &[1]);
    let mut silent = Solo::new(3, 1, &[1]);
    for round in 1..30 {
        heard.hear(2, heartbeat(1, round, 0));
        heard.wait(Span::from_millis(50));
        silent.wait(Span::from_millis(50));
    }
    assert_eq!(heard.role(), RoleName::Follower);
    assert_eq!(silent.role(), RoleName::PreCandidate);
}

/// "To begin an election, a follower increments its current term and transitions to candidate state. It then votes
/// for itself and issues RequestVote RPCs in parallel to each of the other servers in the cluster." (§5.2)
#[test]
fn a_candidate_votes_for_itself_and_asks_everybody() {
    let mut node = Solo::new(5, 1, &[1, 1]);
    node.campaign();
    assert_eq!((node.role(), node.term()), (RoleName::Candidate, 2));
    assert_eq!(node.disk.hard_state.vote, Some(member(1)), "its own vote is on disk before it asks");
    let asked: Vec<u64> = node
        .sent()
        .into_iter()
        .filter_map(|(to, message)| match message {
            Message::RequestVote(m) => {
                assert_eq!((m.term, m.last), (Term(2), id(1, 2)));
                Some(to)
            }
            _ => None,
        })
        .collect();
    assert_eq!(asked, [2, 3, 4, 5]);
}

/// "A candidate wins an election if it receives votes from a majority of the servers in the full cluster for the
/// same term." (§5.2)
#[test]
fn a_majority_of_the_full_cluster_elects_and_less_does_not() {
    // (size, who grants, who refuses, elected)
    let table: [(u64, &[u64], &[u64], bool); 12] = [
        (1, &[], &[], true),
        (2, &[], &[], false),
        (2, &[2], &[], true),
        (3, &[], &[2, 3], false),
        (3, &[2], &[3], true),
        (3, &[3], &[], true),
        (4, &[2], &[], false),
        (4, &[2, 3], &[4], true),
        (5, &[2], &[], false),
        (5, &[2, 2, 2, 2], &[], false), // One vote four times is one vote.
        (5, &[2, 5], &[3, 4], true),
        (5, &[9, 10, 11], &[], false), // Strangers don't count.
    ];
    for (size, granting, refusing, elected) in table {
        let mut node = Solo::new(size, 1, &[1]);
        node.campaign();
        for peer in refusing {
            node.hear(*peer, vote_answer(2, false));
        }
        for peer in granting {
            node.hear(*peer, vote_answer(2, true));
        }
        assert_eq!(node.raft.is_leader(), elected, "{size}: {granting:?} grant, {refusing:?} refuse");
    }
}

/// "Each server will vote for at most one candidate in a given term, on a first-come-first-served basis" (§5.2)
#[test]
fn one_vote_a_term_on_first_come_first_served() {
    let mut node = Solo::new(3, 1, &[1]);
    node.hear(2, request_vote(2, id(1, 1)));
    assert_eq!(node.vote_given_to(2), Some(true));
    node.hear(3, request_vote(2, id(1, 5)));
    assert_eq!(node.vote_given_to(3), Some(false), "the vote is gone, however good the second log");
    node.hear(2, request_vote(2, id(1, 1)));
    assert_eq!(node.vote_given_to(2), Some(true), "asked again, it says the same again");
    node.hear(3, request_vote(3, id(1, 5)));
    assert_eq!(node.vote_given_to(3), Some(true), "a new term, a new vote");
}

/// "candidateId that received vote in current term" (figure 2: votedFor, "Updated on stable storage before
/// responding to RPCs")
#[test]
fn a_vote_is_durable_before_it_is_given_and_survives_a_restart() {
    let mut node = Solo::new(3, 1, &[1]);
    node.stalled = true;
    node.hear(2, request_vote(2, id(1, 1)));
    assert_eq!(node.vote_given_to(2), None, "nothing leaves before the sync");
    node.restart();
    node.wait(Span::from_millis(300));
    node.hear(3, request_vote(2, id(1, 1)));
    node.sync();
    assert_eq!(node.vote_given_to(3), Some(true), "the first vote was never given");
    node.restart();
    node.wait(Span::from_millis(300));
    node.hear(2, request_vote(2, id(1, 9)));
    node.sync();
    assert_eq!(node.vote_given_to(2), Some(false), "the second was, and is remembered");
}

/// "If votedFor is null or candidateId, and candidate's log is at least as up-to-date as receiver's log, grant vote"
/// (figure 2, RequestVote)
#[test]
fn a_term_is_adopted_even_where_the_vote_is_refused() {
    let mut node = Solo::new(3, 1, &[1, 1]);
    node.hear(2, request_vote(5, id(1, 1)));
    assert_eq!(node.vote_given_to(2), Some(false));
    assert_eq!((node.term(), node.raft.status().vote), (5, None));
}

/// "the voter denies its vote if its own log is more up-to-date than that of the candidate. [...] If the logs have
/// last entries with different terms, then the log with the later term is more up-to-date. If the logs end with the
/// same term, then whichever log is longer is more up-to-date." (§5.4.1)
#[test]
fn the_log_that_is_at_least_as_up_to_date_gets_the_vote() {
    // (the voter's log, the candidate's last entry, granted)
    let table: [(&[u64], (u64, u64), bool); 12] = [
        (&[], (0, 0), true),
        (&[], (1, 1), true),
        (&[1], (0, 0), false),
        (&[1], (1, 1), true),
        (&[1], (1, 2), true),
        (&[1, 1], (1, 1), false),
        (&[1, 1], (2, 1), true), // The later term wins over the longer log.
        (&[1, 1, 1], (3, 1), true),
        (&[2], (1, 5), false), // And the other way round.
        (&[1, 2], (1, 9), false),
        (&[1, 2], (2, 2), true),
        (&[1, 2, 2], (2, 2), false),
    ];
    for (log, last, granted) in table {
        let last = id(last.0, last.1);
        let mut node = Solo::new(3, 3, log);
        node.hear(2, request_vote(4, last));
        assert_eq!(node.vote_given_to(2), Some(granted), "{log:?} against {last}");
        let mut node = Solo::new(3, 3, log);
        node.hear(2, pre_vote(3, last));
        assert_eq!(pre_votes_to(&mut node, 2), [granted], "{log:?} against {last}, pre-vote");
    }
}

/// "If the leader's term (included in its RPC) is at least as large as the candidate's current term, then the
/// candidate recognizes the leader as legitimate and returns to follower state." (§5.2)
#[test]
fn a_candidate_yields_to_a_leader_of_its_own_term() {
    for message in [heartbeat(2, 1, 0), append(2, id(1, 1), &[2], 0)] {
        let mut node = Solo::new(3, 1, &[1]);
        node.campaign();
        node.hear(3, message);
        assert_eq!((node.role(), node.term()), (RoleName::Follower, 2));
        assert_eq!(node.raft.leader(), Some(member(3)));
        assert_eq!(node.raft.status().vote, Some(member(1)), "its vote of this term stays used");
        node.hear(2, vote_answer(2, true));
        assert_eq!(node.role(), RoleName::Follower, "a late vote elects nobody");
    }
}

/// "If the term in the RPC is smaller than the candidate's current term, then the candidate rejects the RPC and
/// continues in candidate state." (§5.2)
#[test]
fn a_candidate_goes_on_against_a_leader_of_an_older_term() {
    let mut node = Solo::new(3, 1, &[1]);
    node.campaign();
    node.sent();
    node.hear(3, append(1, id(1, 1), &[1], 0));
    assert_eq!(node.role(), RoleName::Candidate);
    assert_eq!(node.names_to(3), ["StaleTerm"]);
}

/// "When this happens, each candidate will time out and start a new election by incrementing its term and initiating
/// another round of Request-Vote RPCs." (§5.2, on split votes)
#[test]
fn a_split_vote_is_tried_again_in_a_later_term() {
    let mut node = Solo::new(5, 1, &[1]);
    node.campaign();
    node.hear(2, vote_answer(2, true));
    node.hear(3, vote_answer(2, false));
    node.hear(4, vote_answer(2, false));
    node.campaign();
    assert_eq!((node.role(), node.term()), (RoleName::Candidate, 3));
    node.hear(5, vote_answer(2, true));
    node.hear(4, vote_answer(2, true));
    assert_eq!(node.role(), RoleName::Candidate, "votes of the last term don't count in this one");
}

/// "election timeouts are chosen randomly from a fixed interval" (§5.2)
#[test]
fn election_timeouts_spread_over_one_to_two_timeouts() {
    let mut spans = BTreeSet::new();
    for round in 1..200 {
        let mut node = Solo::new(3, 1, &[1]);
        for round in 1..=round {
            node.hear(2, heartbeat(1, round, 0)); // Each draws anew.
        }
        let span = node.raft.next_tick().expect("an election timer runs").since(node.now);
        assert!((300_000..600_000).contains(&span.0), "{span}");
        spans.insert(span.0 / 30_000);
    }
    assert_eq!(spans.len(), 10, "every tenth of the interval was drawn in 200 attempts");
}

/// "Raft uses randomized election timeouts to ensure that split votes are rare and that they are resolved quickly."
/// (§5.2)
#[test]
fn a_cluster_that_starts_at_once_elects_within_a_few_timeouts() {
    for size in [3, 5, 7] {
        let mut cluster = Cluster::new(size);
        let start = cluster.now;
        cluster.elect();
        assert!(cluster.now.since(start) < Span::from_millis(3_000), "{size}: {}", cluster.now.since(start));
    }
}

/// "It then sends heartbeat messages to all of the other servers to establish its authority and prevent new
/// elections." (§5.2)
#[test]
fn a_new_leader_speaks_at_once_and_then_every_heartbeat_interval() {
    let mut node = Solo::new(3, 1, &[1]);
    node.win_election();
    assert!(node.names_to(3).contains(&"Heartbeat"));
    for _ in 0..5 {
        node.wait(Span::from_millis(50));
        let round = node.latest_round();
        node.hear(2, heartbeat_answer(2, round));
    }
    assert!(node.raft.is_leader());
}

/// "a leader steps down if an election timeout elapses without a successful round of heartbeats to a majority of its
/// cluster" (thesis §6.2)
#[test]
fn a_leader_without_a_majority_steps_down_after_an_election_timeout() {
    for (answering, stays) in [(0, false), (1, false), (2, true)] {
        let mut node = Solo::leader(5, 2, &[1]);
        for _ in 0..5 {
            node.wait(Span::from_millis(50));
            let round = node.latest_round();
            for peer in 2..2 + answering {
                node.hear(peer, heartbeat_answer(2, round));
            }
        }
        assert!(node.raft.is_leader(), "the timeout has not passed");
        node.wait(Span::from_millis(50));
        assert_eq!(node.raft.is_leader(), stays, "{answering} of 4 peers answer");
        assert_eq!(node.term(), 2, "stepping down opens no term");
    }
}

/// "if a server receives a RequestVote request within the minimum election timeout of hearing from a current leader,
/// it does not update its term or grant its vote" (thesis §4.2.3)
#[test]
fn while_a_leader_is_heard_nobody_helps_an_election() {
    let mut node = Solo::new(3, 2, &[1]);
    node.hear(2, heartbeat(2, 1, 0));
    node.sent();
    node.wait(Span(299_999));
    node.hear(3, request_vote(9, id(9, 9)));
    assert_eq!((node.term(), node.sent().len()), (2, 0));
    node.hear(3, pre_vote(8, id(9, 9)));
    assert_eq!(pre_votes_to(&mut node, 3), [false]);
    // One microsecond later the leader may be dead.
    node.wait(Span(1));
    node.hear(3, pre_vote(8, id(9, 9)));
    assert_eq!(pre_votes_to(&mut node, 3), [true]);
    node.hear(3, request_vote(9, id(9, 9)));
    assert_eq!(node.vote_given_to(3), Some(true));
}

/// The same sentence (thesis §4.2.3), for the leader itself and for a node that just restarted: it may have answered
/// a leader right before.
#[test]
fn a_leader_and_a_restarted_node_are_sticky_too() {
    let mut node = Solo::leader(3, 2, &[1]);
    node.hear(3, request_vote(9, id(9, 9)));
    assert!(node.raft.is_leader() && node.term() == 2);
    node.restart();
    node.hear(3, request_vote(9, id(9, 9)));
    assert_eq!(node.term(), 2);
    node.wait(Span::from_millis(300));
    node.hear(3, request_vote(9, id(9, 9)));
    assert_eq!(node.term(), 9);
}

/// Stickiness goes by time and survives a change of term: a higher term says nothing of the leader's health.
#[test]
fn stickiness_survives_a_change_of_term() {
    let mut node = Solo::new(5, 2, &[1]);
    node.hear(2, heartbeat(2, 1, 0));
    node.hear(4, vote_answer(3, false));
    assert_eq!(node.term(), 3);
    node.hear(3, request_vote(4, id(9, 9)));
    assert_eq!(node.term(), 3);
}

/// "In the Pre-Vote algorithm, a candidate only increments its term if it first learns from a majority of the cluster
/// that they would be willing to grant the candidate their votes" (thesis §9.6)
#[test]
fn no_term_is_opened_without_a_majority_of_pre_votes() {
    let mut node = Solo::new(5, 1, &[1]);
    node.pre_campaign();
    let asked = node.sent_to(2);
    let [Message::PreVote(question)] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!(question.term, Term(1), "it names the term that it is in");
    let answer = |round, granted| Message::PreVoteAnswer(PreVoteAnswer { term: Term(1), round, granted });
    node.hear(2, answer(question.round, true));
    node.hear(2, answer(question.round, true));
    node.hear(3, answer(question.round, false));
    node.hear(4, answer(Round(question.round.0 + 1), true));
    assert_eq!((node.role(), node.term()), (RoleName::PreCandidate, 1), "one grant, one refusal, one stray");
    node.hear(4, answer(question.round, true));
    assert_eq!((node.role(), node.term()), (RoleName::Candidate, 2));
}

/// A pre-vote is a question and no promise: whoever answers it keeps term, vote, timer and leader (thesis §9.6).
#[test]
fn answering_a_pre_vote_changes_nothing() {
    let mut node = Solo::new(3, 2, &[1]);
    let (before, tick) = (node.raft.status(), node.raft.next_tick());
    node.hear(2, pre_vote(7, id(1, 1)));
    assert_eq!(pre_votes_to(&mut node, 2), [true]);
    node.hear(3, pre_vote(7, id(1, 1)));
    assert_eq!(pre_votes_to(&mut node, 3), [true], "and so it may be given to two");
    assert_eq!((node.raft.status(), node.raft.next_tick()), (before, tick));
    assert!(node.disk.unsynced.is_empty());
}

/// Pre-vote "solves the issue of a partitioned server disrupting the cluster when it rejoins" (thesis §9.6): a node that was cut off comes
/// back with a shorter log, and neither term nor leader changes (thesis §9.6).
#[test]
fn a_partitioned_node_with_a_short_log_comes_back_quietly() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    let apart = leader % 3 + 1;
    cluster.cut_off(apart);
    for _ in 0..3 {
        cluster.propose(leader, "missed");
    }
    cluster.run(Span::from_millis(3_000));
    let term = cluster.raft(leader).term();
    assert_eq!(cluster.raft(apart).term(), term, "alone, it opened no term");
    cluster.cut.clear();
    cluster.run(Span::from_millis(1_000));
    assert!(cluster.raft(leader).is_leader());
    assert_eq!(cluster.raft(leader).term(), term);
    assert_eq!(cluster.terms(apart), cluster.terms(leader));
}

/// A majority that lost its leader elects another, refusing pre-votes only while the leader may live (thesis §9.6).
#[test]
fn a_majority_replaces_a_leader_that_it_lost() {
    let mut cluster = Cluster::new(5);
    let old = cluster.elect();
    cluster.cut_off(old);
    cluster.run(Span::from_millis(2_000));
    assert!(!cluster.raft(old).is_leader(), "check-quorum deposed it");
    let new = cluster.elect();
    assert_ne!(new, old);
}

/// Only an up-to-date node can win (§5.4.1): the short one asks in vain.
#[test]
fn a_stale_log_never_wins_whatever_its_term() {
    let mut cluster = Cluster::with_logs(&[(8, log_of(&[1])), (2, log_of(&[1, 2])), (2, log_of(&[1, 2]))]);
    let leader = cluster.elect();
    assert_ne!(leader, 1);
    cluster.run(Span::from_millis(500));
    assert_eq!(cluster.terms(1), cluster.terms(leader));
}

/// Election Safety: "at most one leader can be elected in a given term." (figure 3)
#[test]
fn one_leader_a_term_through_many_elections() {
    let mut cluster = Cluster::new(5);
    for _ in 0..10 {
        let leader = cluster.elect();
        cluster.cut.clear();
        cluster.cut_off(leader);
        cluster.run(Span::from_millis(1_500));
    }
    let mut leaders = BTreeSet::new();
    for (number, node) in &cluster.nodes {
        for notice in &node.notices {
            if let Action::RoleChanged(change) = notice
                && change.role == RoleName::Leader
            {
                assert!(leaders.insert(change.term), "{number} leads {} too", change.term);
            }
        }
    }
    assert!(leaders.len() >= 10, "{leaders:?}");
}

fn pre_votes_to(node: &mut Solo, peer: u64) -> Vec<bool> {
    node.sent_to(peer)
        .into_iter()
        .filter_map(|message| match message {
            Message::PreVoteAnswer(answer) => Some(answer.granted),
            _ => None,
        })
        .collect()
}
