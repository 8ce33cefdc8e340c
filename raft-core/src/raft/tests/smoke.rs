//! The shortest true path.

use super::cluster::Cluster;
use crate::action::Action;
use crate::types::Span;

#[test]
fn a_cluster_elects_commits_and_applies_everywhere() {
    for size in 1..=7 {
        let mut cluster = Cluster::new(size);
        let leader = cluster.elect();
        let id = cluster.propose(leader, "hello");
        cluster.run(Span::from_millis(200));
        for (number, node) in &cluster.nodes {
            assert!(node.applied.iter().any(|entry| entry.id() == id), "{number} of {size} did not apply");
        }
    }
}

#[test]
fn reads_are_answered_on_every_node() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    cluster.propose(leader, "hello");
    cluster.run(Span::from_millis(200));
    let now = cluster.now;
    for id in 1..=3 {
        let read = cluster.raft(id).read(now).expect("a read is accepted");
        cluster.run(Span::from_millis(20));
        let ready = cluster.nodes[&id]
            .notices
            .iter()
            .any(|action| matches!(action, Action::ReadReady(ready, _) if *ready == read));
        assert!(ready, "{id} got no answer");
    }
}

#[test]
fn a_new_leader_takes_over_and_the_old_one_follows() {
    let mut cluster = Cluster::new(3);
    let old = cluster.elect();
    cluster.propose(old, "one");
    cluster.run(Span::from_millis(100));
    cluster.cut_off(old);
    cluster.propose(old, "lost");
    cluster.run(Span::from_millis(2_000));
    let new = cluster.elect();
    assert_ne!(old, new);
    cluster.propose(new, "two");
    cluster.run(Span::from_millis(100));
    cluster.cut.clear();
    cluster.run(Span::from_millis(2_000));
    let (a, b) = (cluster.terms(old), cluster.terms(new));
    assert_eq!(a, b);
    let lost = cluster.nodes[&old].notices.iter().any(|action| matches!(action, Action::Lost(_)));
    assert!(lost, "the old leader's own proposal can never commit, and it says so");
}
