//! Reads, local and forwarded: none is older than its question, and each rests on a quorum that answered after it.

use raft_core::replica::Ticket;

use super::*;

const READ: Ticket = Ticket(1);

fn round_answer(term: u64, round: u64) -> Message {
    Message::HeartbeatAnswer(HeartbeatAnswer { term: Term(term), round: Round(round) })
}

fn question(number: u64) -> Message {
    Message::ReadIndex(ReadIndex { term: Term(1), round: Round(number) })
}

fn index_answer(number: u64, index: u64) -> Message {
    Message::ReadIndexAnswer(ReadIndexAnswer { term: Term(1), round: Round(number), index: Index(index) })
}

impl Cluster {
    /// Node 0 tells a peer of a round in term 1.
    fn ask(&mut self, peer: usize, round: u64) {
        let commit = self.oracles.committed();
        silent(self.say(
            0,
            peer,
            Message::Heartbeat(Heartbeat { term: Term(1), round: Round(round), commit }),
        ));
    }
}

/// Node 0 leads five in term 1; its round 1 has left, and is answered by nodes 1 and 2.
fn led() -> Cluster {
    let mut cluster = Cluster::of(5);
    cluster.elect(0, 1, &[1, 2]).expect("a lawful election");
    for peer in [1, 2] {
        cluster.ask(peer, 1);
        cluster.say(peer, 0, round_answer(1, 1)).expect("a follower's answer");
    }
    cluster
}

#[test]
fn a_leaders_own_read_rests_on_a_round_that_left_after_it_came() {
    let mut cluster = led();
    cluster.oracles.read_asked(0, READ);
    caught("read-round", cluster.clone().oracles.read_answered(0, READ));
    // An answer to the round before, however late it leaves, tells nothing.
    silent(cluster.say(1, 0, round_answer(1, 1)));
    silent(cluster.say(2, 0, round_answer(1, 1)));
    caught("read-round", cluster.clone().oracles.read_answered(0, READ));
    cluster.ask(1, 2);
    cluster.ask(2, 2);
    silent(cluster.say(1, 0, round_answer(1, 2)));
    caught("read-round", cluster.clone().oracles.read_answered(0, READ));
    silent(cluster.say(2, 0, round_answer(1, 2)));
    silent(cluster.oracles.read_answered(0, READ));
}

#[test]
fn a_read_that_was_confirmed_may_wait_for_its_state_under_another_leader() {
    let mut cluster = led();
    cluster.oracles.read_asked(0, READ);
    for peer in [1, 2] {
        cluster.ask(peer, 2);
        silent(cluster.say(peer, 0, round_answer(1, 2)));
    }
    silent(cluster.elect(3, 2, &[1, 4]));
    silent(cluster.oracles.read_answered(0, READ));
}

#[test]
fn a_read_of_a_follower_rests_on_an_answer_to_a_question_that_left_after_it_came() {
    let mut cluster = led();
    silent(cluster.say(1, 0, question(1)));
    cluster.oracles.read_asked(1, READ);
    for peer in [1, 2] {
        cluster.ask(peer, 2);
        silent(cluster.say(peer, 0, round_answer(1, 2)));
    }
    silent(cluster.say(0, 1, index_answer(1, 0)));
    caught("read-round", cluster.clone().oracles.read_answered(1, READ));
    silent(cluster.say(1, 0, question(2)));
    caught("read-round", cluster.clone().say(0, 1, index_answer(2, 0)));
    for peer in [2, 3] {
        cluster.ask(peer, 3);
        silent(cluster.hard(peer, state(1, (peer == 2).then_some(0))));
        silent(cluster.say(peer, 0, round_answer(1, 3)));
    }
    silent(cluster.say(0, 1, index_answer(2, 0)));
    silent(cluster.oracles.read_answered(1, READ));
}

#[test]
fn a_read_sees_every_command_that_was_committed_when_it_came() {
    let mut cluster = committed();
    silent(cluster.oracles.applied(0, Index(1), 7));
    cluster.ask(2, 1);
    cluster.oracles.read_asked(0, READ);
    cluster.oracles.read_asked(1, READ);
    for peer in [1, 2] {
        cluster.ask(peer, 2);
        silent(cluster.say(peer, 0, round_answer(1, 2)));
    }
    silent(cluster.oracles.read_answered(0, READ));
    caught("stale-read", cluster.clone().oracles.read_answered(1, READ));
}

#[test]
fn a_read_index_covers_what_was_committed_when_asked() {
    let mut cluster = committed_unreported();
    let confirm = |cluster: &mut Cluster, number| {
        cluster.ask(2, number);
        silent(cluster.say(2, 0, round_answer(1, number)));
    };
    silent(cluster.say(1, 0, question(1)));
    silent(cluster.say(0, 1, heartbeat(1, 1)));
    silent(cluster.say(1, 0, question(2)));
    confirm(&mut cluster, 2);
    silent(cluster.say(0, 1, index_answer(1, 0)));
    caught("read-index", cluster.clone().say(0, 1, index_answer(2, 0)));
    silent(cluster.say(0, 1, index_answer(2, 1)));
}

#[test]
fn nobody_answers_a_question_that_was_not_asked() {
    let mut cluster = led();
    caught("read-round", cluster.say(0, 1, index_answer(4, 0)));
}

#[test]
fn a_sole_voter_is_its_own_quorum() {
    let mut cluster = Cluster::of(1);
    cluster.oracles.read_asked(0, READ);
    silent(cluster.oracles.read_answered(0, READ));
}
