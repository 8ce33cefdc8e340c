//! Clocks of hosts that are wrong for a while.

use super::cluster::Cluster;
use super::solo::{Solo, heartbeat};
use crate::types::{Instant, Span};

const HOUR: Span = Span::from_millis(3_600_000);

/// A clock that was an hour ahead for a moment: time goes on from where it stood, and the node elects with the others.
#[test]
fn a_clock_that_was_ahead_for_a_moment_does_not_keep_a_node_from_electing() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    cluster.run(Span::from_millis(500));
    let wrong = leader % 3 + 1;
    let ahead = cluster.now.plus(HOUR);
    cluster.raft(wrong).tick(ahead);
    cluster.drain(wrong);
    cluster.run(Span::from_millis(500));
    let settled = cluster.elect();
    let victim = if settled == wrong { wrong % 3 + 1 } else { settled };
    cluster.cut_off(victim);
    cluster.run(Span::from_millis(2_000));
    let leads = (1..=3).filter(|id| *id != victim).any(|id| cluster.raft(id).is_leader());
    assert!(leads, "two of three are alive; n{wrong} had the wrong clock");
}

/// The next tick is told as the host's clock will show it, not as it would have shown it.
#[test]
fn the_next_tick_is_a_reading_of_the_clock_as_it_is_now() {
    let mut node = Solo::new(3, 2, &[1]);
    node.hear(2, heartbeat(2, 1, 0));
    let deadline = node.raft.next_tick().expect("an election timeout");
    let left = deadline.since(node.now);
    node.raft.tick(Instant(5)); // Set back; no time has passed.
    assert_eq!(node.raft.next_tick(), Some(Instant(5).plus(left)));
    node.raft.tick(Instant(5).plus(Span(left.0 - 1)));
    assert_eq!(node.raft.status().role, crate::action::RoleName::Follower);
    node.raft.tick(Instant(5).plus(left));
    assert_eq!(node.raft.status().role, crate::action::RoleName::PreCandidate);
}
