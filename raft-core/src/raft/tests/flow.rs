//! Windows, retransmission, the shelf, restarted followers, and the bounds.

use alloc::vec::Vec;

use super::cluster::{Cluster, member, steady};
use super::solo::{Solo, acknowledgement, append, heartbeat_answer, id, rejection, vote_answer};
use crate::action::Action;
use crate::config::Config;
use crate::error::Refused;
use crate::message::{Append, Message};
use crate::types::{Index, Span};

/// The window counts appends: a follower that acknowledges nothing gets so many and no more.
#[test]
fn a_window_of_appends_fills_and_empties() {
    let config = Config { window_appends_max: 3, ..steady() };
    let mut node = pipelining_leader(config);
    for _ in 0..10 {
        node.propose("x").expect("the leader accepts");
    }
    assert_eq!(lasts(&node.appends_to(2)), [3, 4, 5], "three single entries, then silence");
    node.hear(2, acknowledgement(2, 1, 4));
    let appends = node.appends_to(2);
    assert_eq!(lasts(&appends), [12], "the rest waited and now goes as one");
    assert_eq!(appends[0].previous, id(2, 5));
}

/// The window counts bytes.
#[test]
fn a_window_of_bytes_fills_and_empties() {
    let config = Config { window_bytes_max: 100, ..steady() };
    let mut node = pipelining_leader(config);
    for _ in 0..10 {
        node.propose("12345678").expect("the leader accepts"); // 40 bytes with the allowance.
    }
    assert_eq!(lasts(&node.appends_to(2)), [3, 4, 5], "closed once 100 bytes are under way");
    node.hear(2, acknowledgement(2, 1, 3));
    assert_eq!(lasts(&node.appends_to(2)), [12]);
}

/// An append has a bound in bytes too, but at least one entry always fits.
#[test]
fn an_append_is_cut_to_its_bound() {
    let config = Config { append_bytes_max: 80, ..steady() };
    let mut node = pipelining_leader(config);
    for _ in 0..3 {
        let _ = node.raft.propose(node.now, bytes::Bytes::from_static(b"12345678"));
    }
    let _ = node.raft.propose(node.now, bytes::Bytes::from(alloc::vec![b'x'; 1000]));
    node.drain();
    assert_eq!(lasts(&node.appends_to(2)), [4, 5, 6]);
}

/// Heartbeats never queue behind a full window.
#[test]
fn heartbeats_pass_a_full_window() {
    let config = Config { window_appends_max: 1, ..steady() };
    let mut node = pipelining_leader(config);
    node.propose("x").expect("the leader accepts");
    node.propose("y").expect("the leader accepts");
    node.sent();
    node.wait(Span::from_millis(50));
    assert_eq!(node.names_to(2), ["Heartbeat"]);
}

/// A window whose appends were all lost does not stay closed: the oldest is overdue and comes again. When that does
/// not help either, a probe starts from what is known to match.
#[test]
fn a_lost_window_is_probed_and_flows_again() {
    let config = Config { window_appends_max: 2, ..steady() };
    let mut node = pipelining_leader(config);
    for _ in 0..6 {
        node.propose("x").expect("the leader accepts");
    }
    assert_eq!(lasts(&node.appends_to(2)), [3, 4], "and both are lost");
    for wait in [100, 100, 100] {
        node.hear(3, heartbeat_answer(2, 1));
        node.wait(Span::from_millis(wait));
        let appends = node.appends_to(2);
        assert_eq!((appends[0].previous, lasts(&appends)), (id(2, 2), alloc::vec![3]), "the oldest, again");
    }
    node.hear(3, heartbeat_answer(2, 1));
    node.hear(2, heartbeat_answer(2, 1));
    node.wait(Span::from_millis(100));
    let appends = node.appends_to(2);
    assert_eq!(
        (appends[0].previous, lasts(&appends)),
        (id(2, 2), alloc::vec![8]),
        "one probe, from the match"
    );
    node.hear(2, acknowledgement(2, 1, 8));
    assert_eq!(node.progress(2), (9, 8));
}

/// A lost probe is sent again (B41), for as long as it takes.
#[test]
fn a_lost_probe_is_sent_again() {
    let mut node = Solo::new(3, 1, &[1]);
    node.win_election();
    assert_eq!(node.appends_to(2).len(), 1);
    for attempt in 0..20 {
        node.wait(Span::from_millis(99));
        node.hear(3, heartbeat_answer(2, 1));
        assert_eq!(node.appends_to(2).len(), 0, "attempt {attempt}: one at a time");
        node.wait(Span::from_millis(1));
        assert_eq!(node.appends_to(2).len(), 1, "attempt {attempt}");
    }
}

/// The first answer of a peer tells its boot, which is no restart: the probe under way is not sent twice.
#[test]
fn the_first_answer_of_a_peer_repeats_no_probe() {
    let mut node = Solo::new(3, 1, &[1]);
    node.win_election();
    assert_eq!(node.appends_to(2).len(), 1);
    node.hear(2, heartbeat_answer(2, 1));
    assert_eq!(node.appends_to(2).len(), 0);
}

/// A gap in the stream is refused, and the gap comes again, and nothing else.
#[test]
fn a_gap_is_rejected_and_filled() {
    let mut node = pipelining_leader(steady());
    for _ in 0..3 {
        node.propose("x").expect("the leader accepts");
    }
    node.wait(Span::from_millis(1));
    node.sent();
    node.hear(2, rejection(2, id(2, 3), id(2, 2))); // The append after 3 came; the one after 2 did not.
    let appends = node.appends_to(2);
    assert_eq!((appends[0].previous, lasts(&appends)), (id(2, 2), alloc::vec![3]));
    node.hear(2, rejection(2, id(2, 3), id(2, 2))); // So did the one after 4: no news.
    assert_eq!(node.appends_to(2).len(), 0);
    node.hear(2, acknowledgement(2, 1, 5));
    assert_eq!(node.progress(2), (6, 5));
}

/// Reordered appends wait on the shelf for their predecessor: nothing is sent twice.
#[test]
fn a_reordered_append_is_shelved_and_taken_in_order() {
    let mut node = Solo::new(3, 3, &[1]);
    node.hear(2, append(3, id(3, 4), &[3, 3], 0));
    node.hear(2, append(3, id(3, 2), &[3, 3], 0));
    assert_eq!(node.log(), [1]);
    assert!(!node.names_to(2).contains(&"AppendAcknowledgement"));
    node.hear(2, append(3, id(1, 1), &[3], 6));
    assert_eq!(node.log(), [1, 3, 3, 3, 3, 3]);
    assert_eq!(node.acknowledged_to(2), Some(6));
    assert_eq!(node.commit(), 6);
}

/// The shelf is bounded in bytes, and 0 keeps nothing; what it had no room for is sent again.
#[test]
fn the_shelf_is_bounded() {
    // A command of term 3 has 3 bytes here, and 32 of allowance.
    for (shelf_bytes_max, log) in [(0, 2), (34, 2), (35, 3), (70, 4), (1000, 5)] {
        let config = Config { shelf_bytes_max, ..steady() };
        let mut node = Solo::with_config(3, 3, &[1], config);
        for previous in 2..5 {
            node.hear(2, append(3, id(3, previous), &[3], 0));
        }
        node.hear(2, append(3, id(1, 1), &[3], 0));
        assert_eq!(node.log().len(), log, "{shelf_bytes_max} bytes");
    }
}

/// What lies on the shelf belongs to one leader and one term.
#[test]
fn the_shelf_dies_with_the_term() {
    let mut node = Solo::new(3, 3, &[1]);
    node.hear(2, append(3, id(3, 2), &[3], 0));
    node.hear(3, append(4, id(1, 1), &[3], 0));
    assert_eq!(node.log(), [1, 3], "entry 3 came from the leader of term 3");
}

/// A follower that restarted may have lost what it had not acknowledged durably, or may have been repaired: its
/// progress starts anew, and what was committed stays committed.
#[test]
fn a_new_boot_of_a_follower_resets_its_progress() {
    let mut node = pipelining_leader(steady());
    node.propose("x").expect("the leader accepts");
    node.hear(2, acknowledgement(2, 1, 3));
    assert_eq!((node.progress(2), node.commit()), ((4, 3), 3));
    node.boots.insert(2, 2);
    node.sent();
    node.hear(2, heartbeat_answer(2, 1));
    assert_eq!((node.progress(2), node.commit()), ((4, 0), 3));
    assert_eq!(node.appends_to(2).len(), 1, "it is probed");
    node.hear(2, rejection(2, id(2, 3), id(1, 1)));
    assert_eq!(node.appends_to(2)[0].previous, id(1, 1), "as far back as it takes");
}

/// The same in a cluster: a follower that loses its unsynced tail gets it again.
#[test]
fn a_follower_that_lost_unsynced_entries_gets_them_again() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    cluster.propose(leader, "one");
    cluster.run(Span::from_millis(100));
    let victim = leader % 3 + 1;
    cluster.slow_disks.push(victim);
    for _ in 0..5 {
        cluster.propose(leader, "more");
    }
    cluster.run(Span::from_millis(20));
    assert!(!cluster.nodes[&victim].disk.unsynced.is_empty());
    cluster.restart(victim);
    cluster.slow_disks.clear();
    cluster.run(Span::from_millis(400));
    assert_eq!(cluster.terms(victim), cluster.terms(leader));
    let (status, all) = (cluster.raft(victim).status(), cluster.raft(leader).status());
    assert_eq!((status.durable, status.applied), (all.last.index, all.commit));
}

/// Proposals are refused at the bound on uncommitted bytes, and accepted again once something is committed.
#[test]
fn uncommitted_bytes_are_bounded() {
    let config = Config { uncommitted_bytes_max: 100, ..steady() };
    let mut node = Solo::leader_with_config(3, 2, &[1], config); // 35 bytes of the old entry, 32 of the no-op.
    node.propose("x").expect("33 more are within the bound");
    node.propose("x").expect_err("but here it is passed");
    assert_eq!(node.propose("x"), Err(Refused::Busy("uncommitted_bytes_max")));
    node.hear(2, acknowledgement(2, 1, 2));
    node.propose("x").expect("the no-op and all before it are committed");
}

/// Proposals are refused at the bound on unsynced bytes.
#[test]
fn unsynced_bytes_are_bounded() {
    let config = Config { unsynced_bytes_max: 60, ..steady() };
    let mut node = Solo::leader_with_config(3, 2, &[1], config);
    node.stalled = true;
    node.propose("x").expect("33 bytes are under way");
    node.propose("x").expect("66 bytes");
    assert_eq!(node.propose("x"), Err(Refused::Busy("unsynced_bytes_max")));
    node.sync_one();
    node.propose("x").expect("the disk caught up");
}

/// Proposals are refused at the bound on open ones, and at the bound on a command's bytes.
#[test]
fn open_proposals_and_commands_are_bounded() {
    let config = Config { proposals_max: 2, command_bytes_max: 3, ..steady() };
    let mut node = Solo::leader_with_config(3, 2, &[1], config);
    assert_eq!(node.propose("1234"), Err(Refused::TooLarge { bytes: 4, bytes_max: 3 }));
    node.propose("123").expect("one");
    node.propose("").expect("two, and nothing is a command too");
    assert_eq!(node.propose("x"), Err(Refused::Busy("proposals_max")));
    node.hear(2, acknowledgement(2, 1, 3));
    node.propose("x").expect("the first one ended");
}

/// Reads are bounded, on a leader and on a follower.
#[test]
fn reads_are_bounded() {
    let config = Config { reads_max: 2, ..steady() };
    for mut node in
        [Solo::leader_with_config(3, 2, &[1], config.clone()), Solo::with_config(3, 2, &[1], config)]
    {
        for _ in 0..2 {
            let _ = node.raft.read(node.now).expect("within the bound");
        }
        assert_eq!(node.raft.read(node.now), Err(Refused::Busy("reads_max")));
    }
}

/// The apply queue is bounded: no more is handed out before `handle_applied`.
#[test]
fn the_apply_queue_is_bounded() {
    let config = Config { apply_bytes_max: 70, ..steady() };
    let mut node = Solo::with_config(3, 3, &[], config);
    node.lazy = true;
    node.hear(2, append(3, id(0, 0), &[3, 3, 3, 3, 3], 5));
    assert_eq!(node.applied(), [1, 2], "35 bytes each");
    node.raft.handle_applied(Index(1));
    node.drain();
    assert_eq!(node.applied(), [1, 2], "the batch is not done");
    node.raft.handle_applied(Index(2));
    node.drain();
    assert_eq!(node.applied(), [1, 2, 3, 4]);
    node.raft.handle_applied(Index(9));
    node.drain();
    assert_eq!(node.applied(), [1, 2, 3, 4, 5]);
}

/// No bound ever refuses a new leader's no-op or a follower's append.
#[test]
fn no_bound_refuses_a_no_op_or_a_followers_append() {
    let tight = Config {
        append_bytes_max: 1,
        window_bytes_max: 1,
        window_appends_max: 1,
        uncommitted_bytes_max: 1,
        unsynced_bytes_max: 1,
        apply_bytes_max: 1,
        shelf_bytes_max: 0,
        reads_max: 1,
        proposals_max: 1,
        ..steady()
    };
    let mut node = Solo::with_config(3, 2, &[1, 1, 1], tight.clone());
    node.win_election();
    assert_eq!(node.log(), [1, 1, 1, 3]);
    assert_eq!(lasts(&node.appends_to(2)), [4]);
    assert_eq!(node.propose("x"), Err(Refused::Busy("uncommitted_bytes_max")));
    let mut node = Solo::with_config(3, 2, &[1, 1, 1], tight);
    node.stalled = true;
    node.lazy = true;
    node.hear(2, append(2, id(1, 3), &[2; 50], 50));
    node.hear(2, append(2, id(2, 53), &[2; 50], 50));
    node.sync();
    assert_eq!(node.acknowledged_to(2), Some(103));
}

/// A proposal whose fate is not known in time ends as unknown, once; if it is committed all the same, nothing more is
/// said of it but its apply.
#[test]
fn a_proposal_past_its_deadline_is_unknown() {
    let mut node = Solo::leader(3, 2, &[1]);
    let proposed = node.propose("x").expect("the leader accepts");
    node.hear(2, vote_answer(3, false));
    node.notices.clear();
    node.wait(Span::from_millis(9_999));
    assert!(!node.notices.contains(&Action::Unknown(proposed)), "deposition alone keeps it waiting");
    node.wait(Span::from_millis(1));
    node.wait(Span::from_millis(10_000));
    let endings = node.notices.iter().filter(|notice| **notice == Action::Unknown(proposed));
    assert_eq!(endings.count(), 1);
}

/// A proposal is lost when another entry is committed at its index: not when it is truncated, for the entry may live
/// on elsewhere and come back.
#[test]
fn a_truncated_proposal_is_lost_only_when_another_entry_is_committed() {
    let mut node = Solo::leader(3, 2, &[1]);
    let proposed = node.propose("x").expect("the leader accepts");
    assert_eq!(proposed, id(2, 3));
    node.hear(3, append(3, id(1, 1), &[3, 3], 0));
    assert_eq!(node.log(), [1, 3, 3]);
    assert!(!node.notices.contains(&Action::Lost(proposed)));
    node.hear(3, append(3, id(3, 3), &[], 3));
    assert!(node.notices.contains(&Action::Lost(proposed)));
    assert_eq!(node.raft.leader(), Some(member(3)));
}

fn pipelining_leader(config: Config) -> Solo {
    let mut node = Solo::leader_with_config(3, 2, &[1], config);
    node.hear(2, acknowledgement(2, 1, 2));
    node.hear(3, acknowledgement(2, 1, 2));
    node.sent();
    node
}

/// The last indexes of appends.
fn lasts(appends: &[Append]) -> Vec<u64> {
    let last = |append: &Append| crate::entry::last_id(append.previous, &append.entries).index.0;
    appends.iter().map(last).collect()
}

/// A message that is rejected carries the follower's last index, which raises nothing.
#[test]
fn the_last_index_in_a_rejection_raises_nothing() {
    let mut node = Solo::leader(3, 4, &[1, 2, 3]);
    let Message::AppendRejection(mut m) = rejection(4, id(3, 3), id(1, 1)) else { unreachable!() };
    m.last = Index(u64::MAX);
    node.hear(2, Message::AppendRejection(m));
    assert_eq!((node.progress(2), node.commit()), ((2, 0), 0));
}
