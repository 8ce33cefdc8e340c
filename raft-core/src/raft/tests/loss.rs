//! What losses do to the appends and pieces of snapshots that follow: they shrink, and grow back.

use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;

use super::cluster::{member, steady};
use super::solo::{Solo, acknowledgement, append, heartbeat_answer, id, rejection};
use crate::config::Config;
use crate::entry::entries_size;
use crate::membership::Configuration;
use crate::message::{Append, Message};
use crate::raft::transfer::Transfer;
use crate::snapshot::SnapshotMeta;
use crate::types::{Instant, Span};

/// A leader that pipelines to node 2, and hears node 3 whenever it should.
fn leader() -> Solo {
    let mut node = Solo::leader_with_config(3, 2, &[1], steady());
    node.hear(2, acknowledgement(2, 1, 2));
    node.hear(3, acknowledgement(2, 1, 2));
    node.sent();
    node
}

/// The same with node 2 about ten milliseconds away, and 22 entries there.
fn distant_leader() -> Solo {
    let mut node = leader();
    for last in 3..=22 {
        propose(&mut node, 1);
        node.wait(Span::from_millis(10));
        node.hear(2, acknowledgement(2, 1, last));
        node.hear(3, heartbeat_answer(2, 1));
    }
    node.sent();
    node
}

/// Proposes so many commands of 224 bytes, 256 with the allowance, which leave as one append.
fn propose(node: &mut Solo, count: usize) -> Vec<Append> {
    for _ in 0..count {
        node.raft.propose(node.now, Bytes::from(vec![7; 224])).expect("the leader accepts");
    }
    node.drain();
    node.appends_to(2)
}

fn sizes(appends: &[Append]) -> Vec<u64> {
    appends.iter().map(|append| entries_size(&append.entries)).collect()
}

/// Appends that repeat a part of what was lost follow each other, and together they are what was lost.
fn assert_repeats(appends: &[Append], first: u64, last: u64) {
    let indexes: Vec<u64> =
        appends.iter().flat_map(|append| append.entries.iter().map(|entry| entry.index.0)).collect();
    assert_eq!(indexes, (first..=last).collect::<Vec<u64>>());
}

/// A long append that is lost comes back in two halves, and after the next loss in quarters.
#[test]
fn a_lost_append_comes_back_in_smaller_ones() {
    let mut node = leader();
    assert_eq!(sizes(&propose(&mut node, 32)), [8_192]);
    for (wait, expected) in [(100, vec![4_096; 2]), (100, vec![2_048; 2])] {
        node.hear(3, heartbeat_answer(2, 1));
        node.wait(Span::from_millis(wait));
        let again = node.appends_to(2);
        assert_eq!(sizes(&again), expected);
        assert_eq!(again[0].previous, id(2, 2), "the oldest first");
    }
    node.hear(2, acknowledgement(2, 1, 34));
    assert_eq!(node.progress(2), (35, 34));
    let next = propose(&mut node, 32);
    assert_eq!(sizes(&next)[..3], [2_304; 3], "what is new is hardly longer");
    assert_repeats(&next, 35, 66);
}

/// What arrives lets appends grow again, slowly.
#[test]
fn appends_grow_back_with_what_is_acknowledged() {
    let mut node = leader();
    propose(&mut node, 32);
    node.hear(3, heartbeat_answer(2, 1));
    node.wait(Span::from_millis(100));
    node.hear(2, acknowledgement(2, 1, 34));
    let mut longest = Vec::new();
    for _ in 0..40 {
        let appends = propose(&mut node, 64);
        longest.push(sizes(&appends).into_iter().max().expect("something is sent"));
        let last = node.raft.status().last.index.0;
        node.hear(2, acknowledgement(2, 1, last));
    }
    assert_eq!(longest[0], 4_096 + 256, "two halves have arrived since the loss");
    assert!(longest.is_sorted() && longest[39] == 64 * 256, "{longest:?}");
}

/// Before any round trip is known, many answers name the same gap: what fills it goes out once, not once for each. Else
/// all that was sent again would be answered in the same way, and nothing but the network would limit it.
#[test]
fn many_answers_about_one_gap_repeat_it_once() {
    let mut node = Solo::leader_with_config(3, 2, &[1], steady());
    // The disk there is slow: what the probe carried is not acknowledged yet.
    node.hear(2, acknowledgement(2, 1, 1));
    node.hear(3, acknowledgement(2, 1, 2));
    node.sent();
    for _ in 0..4 {
        propose(&mut node, 1);
    }
    let mut repeated = 0;
    for _ in 0..10 {
        node.hear(2, rejection(2, id(2, 5), id(2, 2)));
        repeated += node.appends_to(2).len();
    }
    assert_eq!(repeated, 0, "as young as that, it may come yet");
    node.wait(Span(steady().retransmit_min.0));
    repeated += node.appends_to(2).len();
    for _ in 0..10 {
        node.hear(2, rejection(2, id(2, 5), id(2, 2)));
        repeated += node.appends_to(2).len();
    }
    assert_eq!(repeated, 4, "what is missing before the shelf, once, and the oldest, whose time is up");
}

/// One datagram can't be made safer: the loss of a short append leaves the bound where it was.
#[test]
fn a_lost_short_append_shrinks_nothing() {
    let mut node = leader();
    propose(&mut node, 1);
    node.hear(3, heartbeat_answer(2, 1));
    node.wait(Span::from_millis(100));
    assert_eq!(sizes(&node.appends_to(2)), [256]);
    assert_eq!(sizes(&propose(&mut node, 32)), [8_192]);
}

/// A probe is not lost for what it carries.
#[test]
fn a_probe_carries_about_a_datagram() {
    let mut node = Solo::leader(3, 2, &[1]);
    propose(&mut node, 32);
    node.hear(3, heartbeat_answer(2, 1));
    node.wait(Span::from_millis(100));
    let probes = node.appends_to(2);
    assert_eq!(probes.len(), 1);
    assert_eq!(probes[0].entries.len(), 4, "the no-op of 32 bytes, three commands of 256");
    node.hear(2, acknowledgement(2, 1, 5));
    assert_repeats(&node.appends_to(2), 6, 34);
}

/// What a follower names as missing is not repeated while it may only have been overtaken, and is once it is as old as
/// a round trip; nobody has to name it again.
#[test]
fn a_named_gap_is_repeated_once_it_is_as_old_as_a_round_trip() {
    let mut node = distant_leader();
    assert_eq!(propose(&mut node, 1).len(), 1); // 23: lost.
    assert_eq!(propose(&mut node, 1).len(), 1);
    node.wait(Span::from_millis(2));
    node.hear(2, rejection(2, id(2, 23), id(2, 22)));
    assert_eq!(node.appends_to(2).len(), 0, "two milliseconds are no round trip here");
    let due = node.raft.next_tick().expect("a leader has something to wait for");
    assert!(due > node.now && due < node.now.plus(Span::from_millis(10)));
    node.wait(due.since(node.now));
    let again = node.appends_to(2);
    assert_eq!((again.len(), again[0].previous), (1, id(2, 22)), "the gap, and nothing else");
    node.hear(2, acknowledgement(2, 1, 24));
    assert_eq!(node.progress(2), (25, 24));
}

/// The gap was only overtaken: once it is acknowledged, nothing is repeated.
#[test]
fn a_named_gap_that_closes_is_not_repeated() {
    let mut node = distant_leader();
    propose(&mut node, 1);
    propose(&mut node, 1);
    node.wait(Span::from_millis(2));
    node.hear(2, rejection(2, id(2, 23), id(2, 22)));
    node.hear(2, acknowledgement(2, 1, 24));
    node.wait(Span::from_millis(20));
    assert_eq!(node.appends_to(2).len(), 0);
}

/// A follower that fills one gap and has another names that one at once.
#[test]
fn a_follower_names_its_next_gap_when_one_is_filled() {
    let mut node = Solo::new(3, 3, &[1]);
    node.hear(2, append(3, id(3, 2), &[3], 0));
    node.hear(2, append(3, id(3, 4), &[3], 0));
    node.sent();
    node.hear(2, append(3, id(1, 1), &[3], 0));
    let named = node.sent_to(2).into_iter().find_map(|message| match message {
        Message::AppendRejection(m) => Some((m.refused, m.last.0)),
        _ => None,
    });
    assert_eq!(named, Some((id(3, 4), 3)), "4 is missing, after 3");
}

/// So does a piece of a snapshot.
#[test]
fn a_lost_piece_comes_back_in_smaller_ones() {
    let configuration = Configuration::of_voters([member(1)]);
    let snapshot = SnapshotMeta { last: id(2, 9), configuration, length: 5_000, digest: 0 };
    let config = Config { chunk_bytes_max: 4_096, ..steady() };
    let mut transfer = Transfer::new(snapshot);
    let send = |transfer: &mut Transfer, bytes_max| {
        let mut sent = Vec::new();
        while let Some((offset, length)) = transfer.wants(&config, bytes_max) {
            transfer.sent(offset, length, Instant(0));
            sent.push((offset, length));
        }
        sent
    };
    assert_eq!(send(&mut transfer, 4_096), [(0, 4_096), (4_096, 904)]);
    assert_eq!(transfer.retransmit(Instant(100)), 4_096);
    assert_eq!(send(&mut transfer, 1_500), [(0, 1_500), (1_500, 1_500), (3_000, 1_096)]);
    assert_eq!(transfer.handle_answer(3_000, false, Instant(7)), Some((Span(7), 1_500)));
    assert_eq!(transfer.retransmit(Instant(200)), 1_096, "the last third");
    assert_eq!(transfer.handle_answer(5_000, false, Instant(9)), Some((Span(9), 904)));
    assert_eq!(send(&mut transfer, 1_500), [], "all is there");
}

/// The settings bound everything, the floor included.
#[test]
fn a_bound_below_the_floor_stays() {
    let config = Config { append_bytes_max: 600, ..steady() };
    let mut node = Solo::leader_with_config(3, 2, &[1], config);
    node.hear(2, acknowledgement(2, 1, 2));
    node.sent();
    assert_eq!(sizes(&propose(&mut node, 6)), [512; 3]);
}
