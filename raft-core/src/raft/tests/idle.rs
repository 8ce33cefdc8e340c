//! What a node keeps in memory while nothing happens.

use super::solo::{Solo, append, heartbeat, id};
use crate::types::Index;

/// A node that hears nothing but heartbeats holds no room for what may come; one whose log grows keeps it.
#[test]
fn an_idle_node_lets_go_of_its_room() {
    let mut node = Solo::new(3, 3, &[1]);
    let room = |node: &Solo| (node.raft.unapplied.has_room(), node.raft.boots.capacity() > 1);
    node.hear(2, append(3, id(1, 1), &[3], 0));
    node.hear(2, heartbeat(3, 2, 2));
    assert_eq!(room(&node), (true, true), "the log has grown since the last round");
    node.hear(2, heartbeat(3, 2, 2));
    assert_eq!(room(&node), (true, true), "that was no new round");
    node.hear(2, heartbeat(3, 3, 2));
    assert_eq!(room(&node), (false, false));
    node.hear(2, append(3, id(3, 2), &[3], 3));
    node.hear(2, heartbeat(3, 4, 3));
    assert!(node.raft.unapplied.has_room(), "it is busy again");
    assert_eq!((node.raft.applied, node.log()), (Index(3), alloc::vec![1, 3, 3]));
}
