//! Promises across crashes.

use super::*;

#[test]
fn a_recovery_finds_every_term_and_vote() {
    let mut cluster = Cluster::of(3);
    silent(cluster.campaign(0, 2, &[1]));
    caught("committed-never-lost", cluster.clone().recover(1, state(1, None), &[]));
    caught("committed-never-lost", cluster.clone().recover(1, state(2, None), &[]));
    caught("committed-never-lost", cluster.clone().recover(1, state(2, Some(2)), &[]));
    silent(cluster.clone().recover(1, state(3, None), &[]));
    silent(cluster.recover(1, state(2, Some(0)), &[]));
}

#[test]
fn a_recovery_finds_what_was_acknowledged() {
    let mut cluster = Cluster::of(3);
    silent(cluster.elect(0, 1, &[1, 2]));
    silent(cluster.replicate(0, 1, 1, id(0, 0), &[entry(1, 1), entry(1, 2)]));
    silent(cluster.write(1, &[entry(1, 3)])); // Not acknowledged.
    caught("committed-never-lost", cluster.clone().recover(1, state(1, Some(0)), &[entry(1, 1)]));
    silent(cluster.recover(1, state(1, Some(0)), &[entry(1, 1), entry(1, 2)]));
}

#[test]
fn a_recovery_rests_on_the_platter_only() {
    // The sync failed, and the cache shows the entry nevertheless.
    let mut cluster = Cluster::of(3);
    let entries = [entry(1, 1)];
    caught("committed-never-lost", cluster.clone().recover_from(1, state(1, None), &entries, Log::default()));
    silent(cluster.recover(1, state(1, None), &entries));
}

#[test]
fn a_recovered_log_ends_where_recovery_says() {
    let mut cluster = Cluster::of(3);
    let entries = [entry(1, 1), entry(1, 2)];
    silent(cluster.write(1, &entries));
    let log: Log = entries.iter().map(Held::of).collect();
    let hard = HardRecord { sequence: 9, boot: Boot(2), state: state(1, None) };
    let image = Image { hard: Some(hard), log, ..Image::default() };
    let right = found(1, Boot(2), hard.state, &entries);
    silent(cluster.clone().oracles.recovered_as(1, right.clone(), image.clone()));
    for last in [id(1, 1), id(1, 3), id(2, 2)] {
        let wrong = Recovered { last, ..right.clone() };
        caught("committed-never-lost", cluster.clone().oracles.recovered_as(1, wrong, image.clone()));
    }
}

#[test]
fn each_recovery_is_a_new_boot() {
    let mut cluster = Cluster::of(3);
    cluster.oracles.seats[1].boot = Boot(0);
    silent(cluster.clone().recover(1, state(0, None), &[]));
    let found = found(1, Boot(0), state(0, None), &[]);
    caught("monotonic", cluster.oracles.recovered_as(1, found, Image::default()));
}

#[test]
fn a_damaged_node_that_lost_what_it_acknowledged_abstains() {
    let mut cluster = committed();
    cluster.oracles.rotted(1);
    caught("committed-never-lost", cluster.clone().recover(1, state(1, Some(0)), &[]));
    // Damage that took nothing is no reason to abstain.
    silent(cluster.clone().recover(1, state(1, Some(0)), &[entry(1, 1)]));
    silent(cluster.recover(1, HardState { abstaining: true, ..state(1, Some(0)) }, &[]));
    // It is repaired, and then it must keep what it has again.
    silent(cluster.replicate(0, 1, 1, id(0, 0), &[entry(1, 1)]));
    caught("committed-never-lost", cluster.truncate(1, 1));
}

#[test]
fn a_committed_entry_stays_with_a_quorum() {
    let mut cluster = committed();
    silent(cluster.oracles.survey());
    cluster.oracles.seats[1].image.log.truncate(Index(1));
    caught("committed-never-lost", cluster.oracles.survey());
}

#[test]
fn a_wiped_disk_is_a_new_member() {
    let mut cluster = committed_unreported();
    let stranger = Member { id: NodeId(2), incarnation: Incarnation(8) };
    let hard = HardRecord { sequence: 1, boot: Boot(1), state: state(0, None) };
    let found = Recovered { member: stranger, ..found(1, Boot(1), hard.state, &[]) };
    silent(cluster.oracles.recovered_as(1, found, Image { hard: Some(hard), ..Image::default() }));
    // What the old member acknowledged is still counted by the leader.
    silent(cluster.say(0, 1, heartbeat(1, 1)));
}
