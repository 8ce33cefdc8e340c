//! Votes, leaders, terms, abstention.

use super::*;

#[test]
fn a_vote_is_durable_before_it_is_heard() {
    let mut good = Cluster::of(3);
    silent(good.hard(0, state(1, Some(0))));
    silent(good.say(0, 1, request(1, id(0, 0))));
    let mut bad = good.clone();
    caught("vote-durable", bad.clone().say(1, 0, grant(1))); // Not even the term is.
    silent(bad.hard(1, state(1, None)));
    caught("vote-durable", bad.say(1, 0, grant(1)));
    silent(good.hard(1, state(1, Some(0))));
    silent(good.say(1, 0, grant(1)));
}

#[test]
fn a_candidate_asks_with_a_durable_vote_and_log() {
    let mut cluster = Cluster::of(3);
    silent(cluster.hard(0, state(1, None)));
    caught("vote-durable", cluster.clone().say(0, 1, request(1, id(0, 0))));
    silent(cluster.hard(0, state(2, Some(0))));
    caught("vote-durable", cluster.clone().say(0, 1, request(2, id(1, 1))));
    silent(cluster.say(0, 1, request(2, id(0, 0))));
}

#[test]
fn nobody_votes_twice_in_a_term() {
    let mut cluster = Cluster::of(3);
    silent(cluster.campaign(0, 1, &[2]));
    caught("vote-once", cluster.clone().hard(2, state(1, Some(1))));
    caught("vote-once", cluster.clone().hard(2, state(1, None)));
    silent(cluster.clone().hard(2, state(2, Some(1))));
    // A disk that lost its vote to an unsynced write; the oracle's memory is in the messages.
    silent(cluster.hard(1, state(1, Some(1))));
    silent(cluster.say(1, 2, request(1, id(0, 0))));
    cluster.oracles.seats[2].image.votes.insert(Term(1), member(1));
    caught("vote-once", cluster.say(2, 1, grant(1)));
}

#[test]
fn a_leader_has_a_quorum_of_votes() {
    let mut cluster = Cluster::of(5);
    silent(cluster.campaign(0, 1, &[1]));
    // The same vote twice is one vote.
    silent(cluster.say(1, 0, grant(1)));
    caught("election-safety", cluster.clone().say(0, 1, heartbeat(1, 0)));
    silent(cluster.hard(2, state(1, Some(0))));
    // A vote that is on its way still elects nobody.
    silent(cluster.send(2, 0, grant(1)).map(drop));
    caught("election-safety", cluster.clone().say(0, 1, heartbeat(1, 0)));
    silent(cluster.say(2, 0, grant(1)));
    silent(cluster.say(0, 1, heartbeat(1, 0)));
}

#[test]
fn a_term_has_one_leader() {
    let mut cluster = Cluster::of(3);
    silent(cluster.elect(0, 1, &[1, 2]));
    caught("election-safety", cluster.clone().say(1, 0, heartbeat(1, 0)));
    silent(cluster.elect(1, 2, &[2]));
    // The old leader does not know yet.
    silent(cluster.say(0, 1, heartbeat(1, 0)));
}

#[test]
fn a_voter_with_the_better_log_denies_its_vote() {
    let mut cluster = Cluster::of(3);
    silent(cluster.elect(0, 2, &[1, 2]));
    silent(cluster.write(0, &[entry(2, 1)]));
    silent(cluster.replicate(0, 1, 2, id(0, 0), &[entry(2, 1)]));
    // A longer log of an older term is no better.
    let mut longer = cluster.clone();
    silent(longer.write(2, &[entry(1, 1), entry(1, 2)]));
    silent(longer.hard(2, state(3, Some(2))));
    silent(longer.say(2, 1, request(3, id(1, 2))));
    silent(longer.hard(1, state(3, Some(2))));
    caught("vote-up-to-date", longer.say(1, 2, grant(3)));
    silent(cluster.elect(0, 3, &[1]));
}

#[test]
fn entries_that_came_after_the_vote_do_not_speak_against_it() {
    // 1. Node 1 votes for node 0; the answer waits for the disk. 2. Node 0 is elected by node 2 and sends its first
    // entry. 3. One sync makes the vote and the entry durable, and the answer leaves.
    let mut cluster = Cluster::of(3);
    silent(cluster.elect(0, 1, &[2]));
    silent(cluster.say(0, 1, append(1, id(0, 0), &[entry(1, 1)], 0)));
    silent(cluster.hard(1, state(1, Some(0))));
    silent(cluster.write(1, &[entry(1, 1)]));
    silent(cluster.say(1, 0, grant(1)));
}

#[test]
fn nobody_votes_for_one_that_never_asked() {
    let mut cluster = Cluster::of(3);
    silent(cluster.hard(1, state(1, Some(0))));
    caught("vote-up-to-date", cluster.say(1, 0, grant(1)));
}

#[test]
fn a_leader_has_every_committed_entry() {
    let mut cluster = committed();
    // Node 2 lacks the entry; a forged vote of node 1 elects it.
    silent(cluster.hard(2, state(2, Some(2))));
    silent(cluster.say(2, 1, request(2, id(0, 0))));
    let votes = &mut cluster.oracles.ghost.term_mut(Term(2)).votes;
    votes.insert(member(1), member(2));
    cluster.oracles.seats[2].votes_heard.insert((Term(2), member(1)));
    caught("leader-completeness", cluster.clone().say(2, 0, heartbeat(2, 0)));
    silent(committed().elect(1, 2, &[2]));
}

#[test]
fn a_late_leader_of_an_old_term_may_lack_what_later_terms_committed() {
    let mut cluster = Cluster::of(3);
    // Node 2 wins term 1, but learns of it late.
    silent(cluster.campaign(2, 1, &[0, 1]));
    silent(cluster.elect(0, 2, &[1]));
    silent(cluster.write(0, &[entry(2, 1)]));
    silent(cluster.replicate(0, 1, 2, id(0, 0), &[entry(2, 1)]));
    silent(cluster.say(0, 1, heartbeat(2, 1)));
    silent(cluster.say(2, 0, heartbeat(1, 0)));
}

#[test]
fn terms_do_not_go_back() {
    let mut cluster = Cluster::of(3);
    silent(cluster.hard(0, state(3, None)));
    let answer = |term| Message::HeartbeatAnswer(HeartbeatAnswer { term: Term(term), round: Round(1) });
    silent(cluster.say(0, 1, answer(3)));
    caught("monotonic", cluster.clone().say(0, 1, answer(2)));
    caught("monotonic", cluster.clone().hard(0, state(2, None)));
    // What promises nothing waits for nothing.
    silent(cluster.clone().say(0, 1, Message::StaleTerm(StaleTerm { term: Term(9), round: Round(0) })));
    caught("ack-durable", cluster.say(0, 1, answer(4)));
}

#[test]
fn rejections_and_pre_votes_wait_for_the_term() {
    let mut cluster = Cluster::of(3);
    let (term, round) = (Term(1), Round(1));
    let rejection = Message::AppendRejection(AppendRejection {
        term,
        round,
        refused: id(1, 9),
        hint: id(0, 0),
        last: Index(0),
    });
    let pre_vote = Message::PreVoteAnswer(PreVoteAnswer { term, round, granted: true });
    caught("ack-durable", cluster.clone().say(1, 0, rejection.clone()));
    caught("ack-durable", cluster.clone().say(1, 0, pre_vote.clone()));
    silent(cluster.hard(1, state(1, None)));
    silent(cluster.say(1, 0, rejection));
    silent(cluster.say(1, 0, pre_vote));
}

#[test]
fn a_reported_commit_does_not_go_back() {
    let mut cluster = committed();
    caught("monotonic", cluster.clone().say(0, 2, heartbeat(1, 0)));
    silent(cluster.say(0, 2, heartbeat(1, 1)));
}

#[test]
fn a_damaged_node_elects_nobody_until_it_is_repaired() {
    let abstaining = |term, vote| HardState { abstaining: true, ..state(term, vote) };
    let mut cluster = Cluster::of(3);
    silent(cluster.elect(0, 1, &[1]));
    cluster.oracles.rotted(2);
    silent(cluster.recover(2, abstaining(1, None), &[]));
    let (term, round) = (Term(1), Round(1));
    let pre_vote = Message::PreVote(PreVote { term, round, last: id(0, 0) });
    let pre_grant = |granted| Message::PreVoteAnswer(PreVoteAnswer { term, round, granted });
    caught("abstaining", cluster.clone().say(2, 0, pre_vote.clone()));
    caught("abstaining", cluster.clone().say(2, 0, pre_grant(true)));
    silent(cluster.say(2, 0, pre_grant(false)));
    let mut votes = cluster.clone();
    silent(votes.hard(2, abstaining(2, Some(1))));
    caught("abstaining", votes.say(2, 1, grant(2)));
    // Abstention ends by repair only.
    caught("abstaining", cluster.clone().hard(2, state(1, None)));
    silent(cluster.say(2, 0, Message::Abstention(Abstention { term, round })));
    silent(cluster.say(0, 2, append(1, id(0, 0), &[entry(1, 1)], 0)));
    silent(cluster.say(0, 2, Message::AbstentionAnswer(AbstentionAnswer { term, round, last: Index(1) })));
    caught("abstaining", cluster.clone().hard(2, state(1, None)));
    silent(cluster.write(2, &[entry(1, 1)]));
    silent(cluster.hard(2, state(1, None)));
    silent(cluster.say(2, 0, pre_vote));
}
