//! Disks that fail or dawdle, and directories that are not what they should be.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test says which case it expects")]

mod node_support;

use std::fs;
use std::time::Duration;

use node_support::{Cluster, List};
use raft_core::{ClusterId, NodeId, RestoreError};
use raft_net::{Consistency, DirectoryError, Node, ProposeError, StartError, StopReason, directory};

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_silences_the_node_for_good_and_the_others_go_on() {
    let cluster = Cluster::started(3).await;
    let leader = cluster.settled().await;
    cluster.nodes[&leader].propose(String::from("before")).await.unwrap();
    let faults = &cluster.faults[&leader];
    faults.fail_syncs();
    let failed = cluster.nodes[&leader].propose(String::from("during")).await;
    assert!(matches!(failed, Err(ProposeError::UnknownOutcome | ProposeError::Stopped)), "{failed:?}");
    let reason = cluster.nodes[&leader].stopped().await;
    assert!(matches!(&reason, StopReason::DiskFailed(what) if what.contains("can't sync")), "{reason}");
    assert_eq!(
        (faults.failures(), faults.tried_after_failure()),
        (1, 0),
        "one failure, and nothing after it"
    );

    let follower = cluster.followers(leader)[0];
    let node = &cluster.nodes[&follower];
    let after = tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            // Until the others have elected a leader, nobody takes it.
            if node.propose(String::from("after")).await.is_ok() {
                return node.query((), Consistency::Linearizable).await.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let after = after.await.expect("the others go on");
    assert_eq!(after.first().map(String::as_str), Some("before"));
    assert_eq!(after.last().map(String::as_str), Some("after"));
    // Silent: what its peers hear of it has ended, sessions' signs of life included.
    let heard = async || {
        let connections = node.connections().await;
        connections.into_iter().find(|peer| peer.member.id == leader).unwrap().traffic
    };
    let before = heard().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(heard().await.opened, before.opened, "a poisoned node says nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_write_stops_the_node_and_a_restart_recovers() {
    let mut cluster = Cluster::started(1).await;
    cluster.settled().await;
    let node = cluster.nodes.remove(&NodeId(1)).unwrap();
    node.propose(String::from("kept")).await.unwrap();
    cluster.faults[&NodeId(1)].fail_writes();
    let failed = node.propose(String::from("maybe")).await;
    assert!(matches!(failed, Err(ProposeError::UnknownOutcome | ProposeError::Stopped)), "{failed:?}");
    assert!(matches!(node.stopped().await, StopReason::DiskFailed(what) if what.contains("can't write")));
    assert_eq!(cluster.faults[&NodeId(1)].tried_after_failure(), 0);

    cluster.faults.insert(NodeId(1), Default::default());
    cluster.start(NodeId(1)).await;
    cluster.settled().await;
    let all = cluster.nodes[&NodeId(1)].query((), Consistency::Linearizable).await.unwrap();
    assert_eq!(all[0], "kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_stalls_stops_the_node() {
    let mut cluster = Cluster::initialised(1);
    let mut config = cluster.config(NodeId(1));
    config.disk.warn_after = Duration::from_millis(50);
    config.disk.stop_after = Duration::from_millis(300);
    let node = Node::start(config, List::default()).await.unwrap();
    cluster.nodes.insert(NodeId(1), node.clone());
    cluster.settled().await;
    cluster.faults[&NodeId(1)].delay_syncs(Duration::from_secs(2));
    let result = node.propose(String::from("x")).await;
    assert!(matches!(result, Err(ProposeError::UnknownOutcome | ProposeError::Stopped)), "{result:?}");
    assert_eq!(node.stopped().await, StopReason::DiskStalled(Duration::from_millis(300)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_with_a_slow_disk_hands_over() {
    let cluster = Cluster::started(3).await;
    let leader = cluster.settled().await;
    let term = cluster.nodes[&leader].status().raft.term;
    cluster.faults[&leader].delay_syncs(Duration::from_millis(1_500));
    // Its fate is decided by the others.
    let _ = cluster.nodes[&leader].propose(String::from("slow")).await;
    let moved = async {
        loop {
            let others = cluster.followers(leader).into_iter().map(|id| cluster.nodes[&id].status().raft);
            let mut leaders = others.filter(|raft| raft.term > term).filter_map(|raft| raft.leader);
            if leaders.any(|now| now.id != leader) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), moved).await.expect("another leads");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_is_served_once() {
    let cluster = Cluster::started(1).await;
    let error = Node::start(cluster.config(NodeId(1)), List::default()).await.unwrap_err();
    assert!(matches!(&error, StartError::Directory(DirectoryError::Locked(_))), "{error}");
    let text = error.to_string();
    assert!(
        text.contains(&cluster.directory(NodeId(1)).display().to_string())
            && text.contains("another process")
    );
    assert!(directory::is_served(&cluster.directory(NodeId(1))).unwrap());
}

async fn refused(config: raft_net::NodeConfig) -> StartError {
    match Node::start(config, List::default()).await {
        Err(error) => error,
        Ok(_) => panic!("it started"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_directory_than_configured_is_refused_by_name() {
    let cluster = Cluster::initialised(2);
    let mut config = cluster.config(NodeId(1));
    config.id = NodeId(2);
    let error = refused(config).await;
    let expected = |error: &StartError| match error {
        StartError::Directory(DirectoryError::WrongNode { expected, found, .. }) => (expected.0, found.0),
        other => panic!("{other}"),
    };
    assert_eq!(expected(&error), (2, 1));

    let mut config = cluster.config(NodeId(1));
    config.cluster = Some(ClusterId(77));
    let error = refused(config).await;
    assert!(matches!(error, StartError::Directory(DirectoryError::WrongCluster { .. })), "{error}");

    let mut config = cluster.config(NodeId(1));
    config.directory = cluster.root.path().join("nowhere");
    let error = refused(config).await;
    assert!(matches!(error, StartError::Directory(DirectoryError::NotInitialised(_))), "{error}");

    let empty = tempfile::TempDir::new().unwrap();
    let mut config = cluster.config(NodeId(1));
    config.directory = empty.path().to_path_buf();
    let error = refused(config).await;
    assert!(matches!(error, StartError::Directory(DirectoryError::NotInitialised(_))), "{error}");
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0, "nothing is left in it");

    let mut config = cluster.config(NodeId(1));
    config.addresses.remove(&NodeId(2));
    let error = refused(config).await;
    assert!(matches!(error, StartError::NoAddress(member) if member.id == NodeId(2)), "{error}");

    let mut config = cluster.config(NodeId(1));
    config.replica.raft.command_bytes_max = config.wire.message_bytes_max as u64;
    let error = refused(config).await;
    assert!(matches!(error, StartError::Config(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_two_directories_do_not_make_one() {
    let cluster = Cluster::initialised(2);
    let other = Cluster::initialised(2);
    let (ours, theirs) = (cluster.directory(NodeId(1)), other.directory(NodeId(1)));
    for name in ["private-key", "members", "identity", "hard-state-a"] {
        let kept = fs::read(ours.join(name)).unwrap();
        fs::copy(theirs.join(name), ours.join(name)).unwrap();
        let error = refused(cluster.config(NodeId(1))).await;
        let named = match &error {
            StartError::Directory(DirectoryError::Mixed { .. }) => true,
            StartError::Directory(DirectoryError::Restore { error, .. }) => {
                matches!(error, RestoreError::WrongIdentity { .. } | RestoreError::Damaged { .. })
            }
            _ => false,
        };
        assert!(named, "{name}: {error}");
        fs::write(ours.join(name), kept).unwrap();
    }
    Node::start(cluster.config(NodeId(1)), List::default()).await.unwrap().shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_said() {
    let cluster = Cluster::initialised(1);
    let _taken = std::net::UdpSocket::bind(cluster.addresses[&NodeId(1)]).unwrap();
    let error = refused(cluster.config(NodeId(1))).await;
    assert!(matches!(error, StartError::Socket(_)), "{error}");
    assert!(error.to_string().contains(&cluster.addresses[&NodeId(1)].to_string()));
}

#[test]
fn a_directory_is_founded_in_two_steps_and_only_once() {
    let root = tempfile::TempDir::new().unwrap();
    let path = |name: &str| root.path().join(name);
    let one = directory::mint(&path("one"), NodeId(1)).unwrap();
    let two = directory::mint(&path("two"), NodeId(2)).unwrap();
    assert!(matches!(directory::mint(&path("one"), NodeId(1)), Err(DirectoryError::NotEmpty(_))));

    // What travels between machines is text.
    let listed = [one.to_string(), two.to_string()].map(|line| line.parse().unwrap()).to_vec();
    let founding = directory::FoundingRecord::new(listed).unwrap();
    let stranger = directory::FoundingRecord { members: vec![two], ..founding.clone() };
    let error = directory::found(&path("one"), &stranger).unwrap_err();
    assert!(matches!(&error, DirectoryError::Founding(what) if what.contains("does not list")), "{error}");
    for name in ["one", "two"] {
        directory::found(&path(name), &founding).unwrap();
        assert_eq!(directory::founding_record(&path(name)).unwrap(), founding);
        assert!(!directory::is_served(&path(name)).unwrap());
    }
    assert!(matches!(directory::found(&path("one"), &founding), Err(DirectoryError::NotEmpty(_))));

    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path("one").join("private-key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
