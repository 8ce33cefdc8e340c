//! Logs, acknowledgements, commitment, reads.

use super::*;

#[test]
fn an_acknowledgement_is_durable() {
    let mut cluster = Cluster::of(3);
    silent(cluster.elect(0, 1, &[1, 2]));
    silent(cluster.say(0, 1, append(1, id(0, 0), &[entry(1, 1), entry(1, 2)], 0)));
    caught("ack-durable", cluster.clone().say(1, 0, acknowledgement(1, 1)));
    silent(cluster.write(1, &[entry(1, 1)]));
    silent(cluster.say(1, 0, acknowledgement(1, 1)));
    caught("ack-durable", cluster.clone().say(1, 0, acknowledgement(1, 2)));
    silent(cluster.write(1, &[entry(1, 2)]));
    silent(cluster.say(1, 0, acknowledgement(1, 2)));
}

#[test]
fn a_follower_acknowledges_what_the_leader_sent_and_no_more() {
    let mut cluster = Cluster::of(3);
    silent(cluster.write(1, &[entry(1, 1), entry(1, 2)]));
    silent(cluster.elect(0, 2, &[2]));
    silent(cluster.hard(1, state(2, None)));
    // Its own tail is longer than anything that this leader spoke of.
    silent(cluster.say(0, 1, append(2, id(0, 0), &[entry(2, 1)], 0)));
    caught("ack-durable", cluster.clone().say(1, 0, acknowledgement(2, 2)));
    caught("ack-durable", cluster.clone().say(1, 0, acknowledgement(2, 1)));
    silent(cluster.write(1, &[entry(2, 1)]));
    silent(cluster.say(1, 0, acknowledgement(2, 1)));
}

#[test]
fn an_acknowledgement_below_what_was_sent_is_judged_by_the_chain_of_entries() {
    let mut cluster = Cluster::of(3);
    silent(cluster.write(0, &[entry(1, 1), entry(1, 2)]));
    silent(cluster.elect(0, 2, &[1, 2]));
    silent(cluster.say(0, 1, append(2, id(1, 2), &[entry(2, 3)], 0)));
    // The follower agrees through 2 and has 1 durable.
    silent(cluster.write(1, &[entry(1, 1)]));
    silent(cluster.say(1, 0, acknowledgement(2, 1)));
    let mut bad = cluster.clone();
    silent(bad.hard(2, state(2, Some(0))));
    bad.oracles.seats[2].image.log.push(Held::of(&entry(2, 1)));
    caught("ack-durable", bad.say(2, 0, acknowledgement(2, 1)));
}

#[test]
fn what_was_acknowledged_in_an_earlier_term_may_be_heard_late() {
    let mut cluster = committed();
    silent(cluster.hard(1, state(2, None)));
    // Whether such an answer is still sent is the sender's affair; here it would go back in terms only if the
    // sender had spoken in the new one.
    silent(cluster.say(1, 0, acknowledgement(1, 1)));
}

#[test]
fn an_index_and_a_term_name_one_entry() {
    let other = Entry { payload: Payload::Noop, ..entry(1, 1) };
    let cluster = committed();
    caught("log-matching", cluster.clone().say(0, 2, append(1, id(0, 0), std::slice::from_ref(&other), 1)));
    caught("log-matching", cluster.clone().write(2, &[other]));
    silent(cluster.clone().write(2, &[entry(1, 1)]));
    // The same entry after another predecessor.
    let mut chain = cluster.clone();
    silent(chain.write(0, &[entry(1, 2)]));
    chain.oracles.seats[2].image.log.push(Held::of(&entry(0, 1)));
    caught("log-matching", chain.write(2, &[entry(1, 2)]));
}

#[test]
fn a_leader_only_appends_to_its_log() {
    let mut cluster = committed();
    silent(cluster.elect(1, 3, &[2]));
    silent(cluster.say(1, 2, append(3, id(1, 1), &[entry(3, 2)], 0)));
    caught("log-matching", cluster.clone().say(1, 0, append(3, id(1, 1), &[entry(2, 2)], 0)));
    silent(cluster.say(1, 0, append(3, id(3, 2), &[entry(3, 3)], 0)));
}

#[test]
fn a_commit_needs_a_durable_quorum() {
    let mut cluster = Cluster::of(3);
    silent(cluster.elect(0, 1, &[1, 2]));
    silent(cluster.replicate(0, 1, 1, id(0, 0), &[entry(1, 1)]));
    // The leader counts itself before its own sync.
    caught("commit-quorum", cluster.clone().say(0, 1, heartbeat(1, 1)));
    let mut own_sync = cluster.clone();
    silent(own_sync.write(0, &[entry(1, 1)]));
    silent(own_sync.say(0, 1, heartbeat(1, 1)));
    // Two followers are a quorum without the leader's disk.
    silent(cluster.replicate(0, 2, 1, id(0, 0), &[entry(1, 1)]));
    silent(cluster.say(0, 1, heartbeat(1, 1)));
}

/// Raft figure 8 until (c): the entry of term 2 is on three of five nodes, sent there by the leader of term 4.
fn figure_8() -> Cluster {
    let mut cluster = Cluster::of(5);
    silent(cluster.elect(0, 2, &[1, 2]));
    silent(cluster.write(0, &[entry(2, 1)]));
    silent(cluster.replicate(0, 1, 2, id(0, 0), &[entry(2, 1)]));
    silent(cluster.elect(4, 3, &[2, 3]));
    silent(cluster.write(4, &[entry(3, 1)]));
    silent(cluster.recover(0, state(2, Some(0)), &[entry(2, 1)]));
    silent(cluster.hard(0, state(3, None)));
    silent(cluster.elect(0, 4, &[1, 2]));
    silent(cluster.replicate(0, 2, 4, id(0, 0), &[entry(2, 1)]));
    silent(cluster.write(0, &[entry(4, 2)]));
    cluster
}

#[test]
fn an_entry_of_an_older_term_is_not_committed_by_counting() {
    let mut cluster = figure_8();
    caught("commit-quorum", cluster.clone().say(0, 1, heartbeat(4, 1)));
    caught("commit-quorum", cluster.clone().oracles.applied(0, Index(1), 5));
    // (e): with an entry of its own term on a quorum, all of it is committed.
    silent(cluster.replicate(0, 1, 4, id(2, 1), &[entry(4, 2)]));
    caught("commit-quorum", cluster.clone().say(0, 1, heartbeat(4, 2)));
    silent(cluster.replicate(0, 2, 4, id(2, 1), &[entry(4, 2)]));
    silent(cluster.say(0, 1, heartbeat(4, 2)));
    assert_eq!(cluster.oracles.committed(), Index(2));
}

#[test]
fn an_uncommitted_majority_may_be_overwritten() {
    // Figure 8 (d).
    let mut cluster = figure_8();
    silent(cluster.hard(4, state(4, None)));
    silent(cluster.elect(4, 5, &[2, 3]));
    silent(cluster.replicate(4, 2, 5, id(0, 0), &[entry(3, 1)]));
}

#[test]
fn a_leader_may_report_in_a_later_term_what_it_counted_in_an_earlier_one() {
    // It counted the acknowledgement, and was deposed before it said so.
    let mut cluster = committed_unreported();
    silent(cluster.elect(0, 3, &[1, 2]));
    silent(cluster.say(0, 1, heartbeat(3, 1)));
}

#[test]
fn a_damaged_node_counts_for_what_it_acknowledged_before() {
    let mut cluster = committed_unreported();
    cluster.oracles.rotted(1);
    silent(cluster.recover(1, HardState { abstaining: true, ..state(1, Some(0)) }, &[]));
    silent(cluster.say(0, 1, heartbeat(1, 1)));
}

#[test]
fn an_acknowledged_entry_is_truncated_only_for_a_later_leader_with_another_one() {
    let mut cluster = Cluster::of(5);
    silent(cluster.elect(0, 1, &[1, 2]));
    silent(cluster.replicate(0, 1, 1, id(0, 0), &[entry(1, 1), entry(1, 2)]));
    // An old append, delivered late, is no reason.
    caught("committed-never-lost", cluster.clone().truncate(1, 2));
    caught("committed-never-lost", cluster.clone().write(1, &[entry(2, 1)]));
    silent(cluster.clone().write(1, &[entry(1, 2)]));
    silent(cluster.elect(4, 2, &[2, 3]));
    silent(cluster.hard(1, state(2, None)));
    silent(cluster.say(4, 1, append(2, id(0, 0), &[entry(2, 1)], 0)));
    silent(cluster.clone().truncate(1, 1));
    caught("committed-never-lost", cluster.clone().truncate(1, 2));
    silent(cluster.write(1, &[entry(2, 1)]));
    silent(cluster.say(1, 4, acknowledgement(2, 1)));
}

#[test]
fn a_committed_entry_is_never_truncated() {
    let mut cluster = committed();
    // Even a later leader that says otherwise is no excuse.
    cluster.oracles.ghost.term_mut(Term(2)).told.insert(Index(1), Term(2));
    caught("committed-never-lost", cluster.write(1, &[entry(2, 1)]));
}

/// Five of seven hold the entry that a leader of term 3 commits. One of the others has it from the leader of term 1, has
/// acknowledged it to nobody, and hears late of the leader of term 2, who never had it.
#[test]
fn who_holds_a_committed_entry_by_chance_may_let_go_of_it_for_an_earlier_leader() {
    let mut cluster = Cluster::of(7);
    silent(cluster.elect(0, 1, &[1, 3, 5]));
    silent(cluster.write(0, &[entry(1, 1)]));
    silent(cluster.replicate(0, 1, 1, id(0, 0), &[entry(1, 1)]));
    silent(cluster.say(0, 4, append(1, id(0, 0), &[entry(1, 1)], 0)));
    silent(cluster.write(4, &[entry(1, 1)]));
    silent(cluster.elect(2, 2, &[3, 5, 6]));
    let late = cluster.send(2, 4, append(2, id(0, 0), &[entry(2, 1)], 0)).expect("its first entry");
    silent(cluster.elect(1, 3, &[0, 3, 5]));
    silent(cluster.write(1, &[entry(3, 2)]));
    silent(cluster.replicate(1, 0, 3, id(1, 1), &[entry(3, 2)]));
    for peer in [3, 5] {
        silent(cluster.replicate(1, peer, 3, id(0, 0), &[entry(1, 1), entry(3, 2)]));
    }
    silent(cluster.say(1, 0, heartbeat(3, 2)));
    cluster.oracles.delivered(4, &late);
    let mut knows = cluster.clone();
    silent(knows.hard(4, state(3, None)));
    caught("committed-never-lost", knows.write(4, &[entry(2, 1)]));
    silent(cluster.hard(4, state(2, None)));
    silent(cluster.clone().write(4, &[entry(2, 1)]));
    // Who acknowledged it is bound, whatever it has heard.
    caught("committed-never-lost", cluster.write(1, &[entry(2, 1)]));
}
