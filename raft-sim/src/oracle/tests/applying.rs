//! State machines.

use super::*;

#[test]
fn only_committed_and_durable_entries_are_applied() {
    let cluster = committed();
    silent(cluster.clone().oracles.applied(0, Index(1), 5));
    silent(cluster.clone().oracles.applied(1, Index(1), 5));
    caught("apply-order", cluster.clone().oracles.applied(2, Index(1), 5));
    caught("commit-quorum", cluster.clone().oracles.applied(0, Index(2), 5));
}

#[test]
fn a_leader_may_apply_before_it_reports() {
    let mut cluster = committed_unreported();
    silent(cluster.oracles.applied(0, Index(1), 5));
    // Nobody else can know.
    caught("commit-quorum", committed_unreported().oracles.applied(1, Index(1), 5));
}

#[test]
fn a_sole_voter_is_its_own_quorum() {
    let mut cluster = Cluster::of(1);
    silent(cluster.hard(0, state(1, Some(0))));
    caught("commit-quorum", cluster.clone().oracles.applied(0, Index(1), 5));
    silent(cluster.write(0, &[entry(1, 1)]));
    silent(cluster.oracles.applied(0, Index(1), 5));
}

/// Three committed entries, held by nodes 0 and 1.
fn three() -> Cluster {
    let mut cluster = committed();
    let more = [entry(1, 2), entry(1, 3)];
    silent(cluster.write(0, &more));
    silent(cluster.replicate(0, 1, 1, id(1, 1), &more));
    silent(cluster.say(0, 1, heartbeat(1, 3)));
    cluster
}

#[test]
fn commands_are_applied_in_order_and_once() {
    let mut cluster = three();
    silent(cluster.oracles.applied(0, Index(1), 5));
    caught("apply-order", cluster.clone().oracles.applied(0, Index(1), 5));
    silent(cluster.oracles.applied(0, Index(3), 7)); // Entry 2 may be none of the state machine's business,
    caught("apply-order", cluster.clone().oracles.applied(0, Index(2), 6));
    silent(cluster.oracles.applied(1, Index(1), 5));
    caught("apply-order", cluster.clone().oracles.applied(1, Index(2), 6)); // but then it is so for everyone.
    silent(cluster.oracles.applied(1, Index(3), 7));
}

#[test]
fn no_two_state_machines_apply_different_commands_at_an_index() {
    let mut cluster = committed();
    silent(cluster.oracles.applied(0, Index(1), 5));
    caught("state-machine-safety", cluster.clone().oracles.applied(1, Index(1), 6));
    silent(cluster.oracles.applied(1, Index(1), 5));
}

#[test]
fn a_restart_replays_from_the_start() {
    let mut cluster = three();
    silent(cluster.oracles.applied(0, Index(1), 5));
    silent(cluster.oracles.applied(0, Index(2), 6));
    silent(cluster.recover(0, state(1, Some(0)), &[entry(1, 1), entry(1, 2), entry(1, 3)]));
    caught("apply-order", cluster.clone().oracles.applied(0, Index(3), 7));
    silent(cluster.oracles.applied(0, Index(1), 5));
}

#[test]
fn equal_logs_give_equal_states() {
    let mut cluster = committed();
    silent(cluster.oracles.state(0, Index(1), 11));
    caught("state-digest", cluster.clone().oracles.state(1, Index(1), 12));
    silent(cluster.oracles.state(1, Index(1), 11));
    silent(cluster.oracles.state(1, Index(2), 12));
}
