//! Three nodes on loopback: what a client sees.

#![allow(clippy::unwrap_used, reason = "a test's helpers may")]

mod node_support;

use std::time::Duration;

use node_support::{Cluster, List};
use raft_core::replica::SessionRequest;
use raft_core::{Index, NodeId, Refused};
use raft_net::{Consistency, Node, ProposeError, QueryError, StopReason};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_proposed_anywhere_is_seen_everywhere() {
    let cluster = Cluster::started(3).await;
    let leader = cluster.settled().await;
    let mut expected = Vec::new();
    for (count, id) in (1..).zip(cluster.nodes.keys()) {
        let command = format!("by {id}");
        assert_eq!(cluster.nodes[id].propose(command.clone()).await, Ok(count), "forwarded from {id}");
        expected.push(command);
        for node in cluster.nodes.values() {
            assert_eq!(node.query((), Consistency::Linearizable).await, Ok(expected.clone()));
        }
    }
    let stale = cluster.nodes[&leader].query((), Consistency::Stale).await;
    assert_eq!(stale, Ok(expected), "the leader has applied what it answered");
    for id in cluster.followers(leader) {
        let connections = cluster.nodes[&id].connections().await;
        let to_leader = connections.iter().find(|connection| connection.member.id == leader).unwrap();
        assert!(to_leader.is_connected());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_what_was_acknowledged() {
    let mut cluster = Cluster::started(3).await;
    let mut expected = Vec::new();
    for round in 0..3 {
        let id = cluster.settled().await;
        for number in 0..20 {
            let command = format!("{round}.{number}");
            cluster.nodes[&id].propose(command.clone()).await.unwrap();
            expected.push(command);
        }
        cluster.stop_all().await;
        cluster.start_all().await;
    }
    cluster.settled().await;
    for node in cluster.nodes.values() {
        assert_eq!(node.query((), Consistency::Linearizable).await, Ok(expected.clone()));
        assert_eq!(node.status().boot.0, 4);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_applies_a_retry_once() {
    let cluster = Cluster::started(3).await;
    let leader = cluster.settled().await;
    let session = cluster.nodes[&leader].open_session().await.unwrap();
    let request = SessionRequest { session, sequence: 1, unanswered: 1 };
    for node in cluster.nodes.values() {
        assert_eq!(node.propose_in(request, String::from("once")).await, Ok(1), "the first answer again");
    }
    let all = cluster.nodes[&leader].query((), Consistency::Linearizable).await;
    assert_eq!(all, Ok(vec![String::from("once")]));
    // The client says that it has this answer: asking for it again is too late.
    let next = SessionRequest { session, sequence: 2, unanswered: 2 };
    assert_eq!(cluster.nodes[&leader].propose_in(next, String::from("next")).await, Ok(2));
    let late = cluster.nodes[&leader].propose_in(request, String::from("once")).await;
    assert_eq!(late, Err(ProposeError::Expired));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_of_a_megabyte_is_taken_and_a_larger_one_refused_at_once() {
    let cluster = Cluster::started(3).await;
    let leader = cluster.settled().await;
    let megabyte = "x".repeat(1 << 20);
    for (count, id) in (1..).zip([leader, cluster.followers(leader)[0]]) {
        let result = cluster.nodes[&id].propose(megabyte.clone()).await;
        assert_eq!(result, Ok(count), "at {id}, with {leader} leading");
    }
    for node in cluster.nodes.values() {
        let all = node.query((), Consistency::Linearizable).await.unwrap();
        assert!(all.len() == 2 && all.iter().all(|command| *command == megabyte));
    }
    let larger = "x".repeat((1 << 20) + 2_000);
    for node in cluster.nodes.values() {
        let error = node.propose(larger.clone()).await.unwrap_err();
        let ProposeError::Refused(Refused::TooLarge { bytes, bytes_max }) = error else { panic!("{error}") };
        assert!(bytes > larger.len() as u64 && bytes_max >= 1 << 20);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_forwarding_a_follower_names_the_leader() {
    let mut cluster = Cluster::initialised(3);
    for id in [1, 2, 3].map(NodeId) {
        let mut config = cluster.config(id);
        config.replica.forwarding = false;
        cluster.nodes.insert(id, Node::start(config, List::default()).await.unwrap());
    }
    let leader = cluster.settled().await;
    let follower = cluster.followers(leader)[0];
    match cluster.nodes[&follower].propose(String::from("x")).await {
        Err(ProposeError::NotLeader(Some(named))) => assert_eq!(named.id, leader),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_a_write_is_unknown_and_a_stale_read_goes_on() {
    let mut cluster = Cluster::initialised(3);
    for id in [1, 2, 3].map(NodeId) {
        let mut config = cluster.config(id);
        config.replica.raft.proposal_timeout = raft_core::Span::from_millis(500);
        config.replica.raft.read_timeout = raft_core::Span::from_millis(500);
        cluster.nodes.insert(id, Node::start(config, List::default()).await.unwrap());
    }
    let leader = cluster.settled().await;
    cluster.nodes[&leader].propose(String::from("first")).await.unwrap();
    for id in cluster.followers(leader) {
        cluster.nodes.remove(&id).unwrap().shutdown().await;
    }
    let node = &cluster.nodes[&leader];
    let second = node.propose(String::from("second")).await;
    assert_eq!(second, Err(ProposeError::UnknownOutcome));
    assert!(matches!(node.query((), Consistency::Linearizable).await, Err(QueryError::Refused(_))));
    assert_eq!(node.query((), Consistency::Stale).await, Ok(vec![String::from("first")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_node_says_so_and_frees_its_directory_and_its_port() {
    let mut cluster = Cluster::started(1).await;
    cluster.settled().await;
    let node = cluster.nodes.remove(&NodeId(1)).unwrap();
    node.propose(String::from("kept")).await.unwrap();
    assert_eq!(node.log(Index(0), 10).await.unwrap().last().unwrap().kind, "command");
    node.shutdown().await;
    assert_eq!(node.stopped().await, StopReason::Shutdown);
    assert_eq!(node.status().stopped, Some(StopReason::Shutdown));
    assert_eq!(node.propose(String::from("late")).await, Err(ProposeError::Stopped));
    assert_eq!(node.query((), Consistency::Stale).await, Err(QueryError::Stopped));
    assert!(node.log(Index(1), 10).await.is_err() && node.connections().await.is_empty());

    cluster.start(NodeId(1)).await;
    cluster.settled().await;
    let all = cluster.nodes[&NodeId(1)].query((), Consistency::Linearizable).await;
    assert_eq!(all, Ok(vec![String::from("kept")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_last_handle_stops_the_node() {
    let mut cluster = Cluster::started(1).await;
    let node = cluster.nodes.remove(&NodeId(1)).unwrap();
    let mut status = node.watch_status();
    drop(node);
    let stopped = status.wait_for(|status| status.stopped.is_some());
    let stopped = tokio::time::timeout(Duration::from_secs(30), stopped).await.unwrap().unwrap();
    assert_eq!(stopped.stopped, Some(StopReason::Shutdown));
}
