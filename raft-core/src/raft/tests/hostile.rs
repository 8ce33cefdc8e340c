//! What peers must not do and may do all the same: each is reported, and survived.

use alloc::boxed::Box;
use alloc::vec;

use bytes::Bytes;

use super::cluster::{Cluster, command, identity, member, steady};
use super::solo::{
    Solo, acknowledgement, append, heartbeat, heartbeat_answer, id, pre_vote, rejection, request_vote,
    vote_answer,
};
use crate::action::RoleName;
use crate::config::Config;
use crate::entry::Entry;
use crate::error::Violation;
use crate::membership::Configuration;
use crate::message::{Append, Envelope, Forward, Message, SnapshotChunk, StaleTerm};
use crate::snapshot::SnapshotMeta;
use crate::types::{Boot, ClusterId, Epoch, Incarnation, Index, Member, Round, Span, Term};

/// The node reports the message, changes nothing, and goes on.
fn survives(node: &mut Solo, from: u64, message: Message, violation: &Violation) {
    let before = node.raft.status();
    assert_eq!(node.try_hear(from, message), Err(violation.clone()));
    assert_eq!(node.raft.status(), before);
}

#[test]
fn messages_of_another_cluster_epoch_or_receiver_are_misaddressed() {
    let mut node = Solo::new(3, 2, &[1]);
    let good = node.envelope(2, Boot(0), heartbeat(9, 1, 0));
    let mut bad = vec![good.clone(); 5];
    bad[0].cluster = ClusterId(8);
    bad[1].epoch = Epoch(1);
    bad[2].to = member(3);
    bad[3].to.incarnation = Incarnation(5);
    bad[4].from = member(1);
    for envelope in bad {
        assert_eq!(node.receive(envelope), Err(Violation::Misaddressed));
        assert_eq!(node.term(), 2);
    }
    assert_eq!(node.receive(good), Ok(()));
}

#[test]
fn a_wiped_server_is_a_stranger_but_its_vote_request_is_heard() {
    let mut node = Solo::new(3, 2, &[1]);
    let wiped = Member { id: member(2).id, incarnation: Incarnation(999) };
    let mut envelope = node.envelope(2, Boot(0), heartbeat(2, 1, 0));
    envelope.from = wiped;
    assert_eq!(node.receive(envelope), Err(Violation::Stranger(wiped)));
    assert_eq!(node.raft.leader(), None);
    let mut envelope = node.envelope(2, Boot(0), request_vote(3, id(1, 1)));
    envelope.from = wiped;
    assert_eq!(node.receive(envelope), Ok(()));
    assert_eq!(node.raft.status().vote, Some(wiped), "the receiver's configuration may be old");
}

#[test]
fn a_boot_that_went_back_is_reported() {
    let mut node = Solo::new(3, 2, &[1]);
    node.boots.insert(2, 5);
    node.hear(2, heartbeat(2, 1, 0));
    node.boots.insert(2, 4);
    let violation = Violation::BootWentBack { member: member(2), known: Boot(5), seen: Boot(4) };
    survives(&mut node, 2, heartbeat(2, 2, 0), &violation);
    node.boots.insert(2, 6);
    node.hear(2, heartbeat(2, 3, 0));
}

#[test]
fn an_answer_to_an_earlier_boot_is_dropped() {
    let mut node = Solo::new(3, 2, &[1]);
    node.campaign();
    let envelope = node.envelope(2, Boot(node.raft.boot().0 - 1), vote_answer(3, true));
    assert_eq!(node.receive(envelope), Ok(()));
    assert_eq!(node.role(), RoleName::Candidate);
    let envelope = node.envelope(2, Boot(node.raft.boot().0 - 1), vote_answer(9, false));
    assert_eq!(node.receive(envelope), Ok(()));
    assert_eq!(node.term(), 3, "not even its term is read");
    node.hear(2, vote_answer(3, true));
    assert!(node.raft.is_leader());
}

#[test]
fn a_term_beyond_reach_is_impossible() {
    let mut node = Solo::new(3, 2, &[1]);
    for term in [2 + Term::AHEAD_MAX + 1, Term::MAX.0, Term::MAX.0 + 1, u64::MAX] {
        for message in [heartbeat(term, 1, 0), pre_vote(term, id(1, 1)), vote_answer(term, true)] {
            survives(&mut node, 2, message, &Violation::ImpossibleTerm(Term(term)));
        }
    }
}

/// The highest term that one message can bring is one in which others vote: the cluster elects a leader after it.
#[test]
fn a_term_as_far_ahead_as_is_let_in_leaves_elections_possible() {
    for ahead in [Term::AHEAD_MAX, Term::MAX.0 / 2] {
        let mut cluster = Cluster::new(3);
        let leader = cluster.elect();
        let other = leader % 3 + 1;
        let before = cluster.raft(leader).term();
        let stale = StaleTerm { term: Term(before.0 + ahead), round: Round(0) };
        let envelope = Envelope {
            cluster: identity(1).cluster,
            epoch: identity(1).epoch,
            from: member(other),
            from_boot: cluster.raft(other).boot(),
            to: member(leader),
            to_boot: cluster.raft(leader).boot(),
            message: Message::StaleTerm(stale),
        };
        cluster.deliver(envelope);
        let is_let_in = cluster.raft(leader).term() > before;
        assert_eq!(is_let_in, ahead == Term::AHEAD_MAX);
        cluster.run(Span::from_millis(5_000));
        for node in 1..=3 {
            cluster.restart(node);
        }
        cluster.run(Span::from_millis(5_000));
        assert!((1..=3).any(|node| cluster.raft(node).is_leader()), "no leader after a term {ahead} ahead");
    }
}

/// A boot that no restarts explain is not remembered: it would shut the true node out.
#[test]
fn an_impossible_boot_is_reported_and_the_true_node_goes_on() {
    let mut node = Solo::new(3, 2, &[1]);
    let reported =
        |known, seen| Violation::ImpossibleBoot { member: member(2), known: Boot(known), seen: Boot(seen) };
    node.boots.insert(2, Boot::FIRST_HEARD_MAX.0 + 1);
    survives(&mut node, 2, heartbeat(2, 1, 0), &reported(0, Boot::FIRST_HEARD_MAX.0 + 1));
    node.boots.insert(2, 5);
    node.hear(2, heartbeat(2, 1, 0));
    node.boots.insert(2, 5 + Boot::AHEAD_MAX + 1);
    survives(&mut node, 2, heartbeat(2, 2, 0), &reported(5, 5 + Boot::AHEAD_MAX + 1));
    node.boots.insert(2, 6);
    node.hear(2, heartbeat(2, 2, 0));
}

#[test]
fn a_snapshot_longer_than_is_taken_is_refused_before_a_disk_is_asked_for_its_room() {
    let config = Config { snapshot_bytes_max: 1_000, ..steady() };
    for (bytes, is_taken) in [(1_000, true), (1_001, false), (1 << 50, false), (u64::MAX, false)] {
        let mut node = Solo::with_config(3, 1, &[1], config.clone());
        node.stalled = true;
        let configuration = Configuration::of_voters((1..=3).map(member));
        let snapshot = Box::new(SnapshotMeta { last: id(2, 50), configuration, length: bytes, digest: 1 });
        let chunk = SnapshotChunk {
            term: Term(2),
            round: Round(1),
            snapshot,
            offset: 0,
            bytes: Bytes::from_static(b"x"),
        };
        let expected = Violation::SnapshotTooLarge { last: id(2, 50), bytes, bytes_max: 1_000 };
        let result = node.try_hear(2, Message::SnapshotChunk(chunk));
        assert_eq!(result, if is_taken { Ok(()) } else { Err(expected) });
        let is_begun = !node.pieces.is_empty();
        assert_eq!(is_begun, is_taken, "{bytes} bytes");
    }
}

#[test]
fn two_leaders_of_a_term_are_reported_by_followers_and_by_leaders() {
    let violation = |known| Violation::TwoLeaders { term: Term(2), known: member(known), other: member(3) };
    for message in [heartbeat(2, 9, 9), append(2, id(1, 1), &[2], 2)] {
        let mut node = Solo::new(3, 2, &[1]);
        node.hear(2, heartbeat(2, 1, 0));
        survives(&mut node, 3, message.clone(), &violation(2));
        let mut node = Solo::leader(3, 2, &[1]);
        survives(&mut node, 3, message, &violation(1));
    }
}

#[test]
fn malformed_entries_are_reported_and_not_appended() {
    let with = |previous, entries: &[Entry]| {
        Message::Append(Append {
            term: Term(3),
            round: Round(1),
            previous,
            entries: entries.to_vec().into(),
            commit: Index(0),
        })
    };
    let table = [
        (with(id(1, 1), &[command(3, 3)]), id(3, 3)), // A gap.
        (with(id(1, 1), &[command(3, 1)]), id(3, 1)), // A repetition.
        (with(id(1, 1), &[command(3, 2), command(3, 2)]), id(3, 2)), // The same inside.
        (with(id(2, 1), &[command(1, 2)]), id(1, 2)), // A falling term.
        (with(id(1, 1), &[command(3, 2), command(2, 3)]), id(2, 3)), // The same inside.
        (with(id(1, 1), &[command(4, 2)]), id(4, 2)), // A term above the message's.
        (with(id(4, 1), &[]), id(4, 1)),              // The same in the previous entry.
        (with(id(1, 0), &[]), id(1, 0)),              // Before the first there is no term,
        (with(id(0, 1), &[]), id(0, 1)),              // and an entry has one.
        (with(id(1, u64::MAX), &[command(3, 0)]), id(3, 0)), // The end of the integers.
    ];
    for (message, at) in table {
        let mut node = Solo::new(3, 3, &[1]);
        survives(&mut node, 2, message, &Violation::MalformedEntries(at));
        assert_eq!(node.log(), [1]);
    }
}

/// An entry of term 0 can't be: the first election opens term 1.
#[test]
fn an_entry_of_term_zero_is_malformed() {
    let mut node = Solo::new(3, 3, &[]);
    survives(&mut node, 2, append(3, id(0, 0), &[0], 0), &Violation::MalformedEntries(id(0, 1)));
}

#[test]
fn an_append_that_contradicts_a_committed_entry_is_reported() {
    for message in
        [append(3, id(1, 1), &[3], 0), append(3, id(0, 0), &[2, 2], 0), append(3, id(3, 2), &[], 0)]
    {
        let mut node = Solo::new(3, 2, &[1]);
        node.hear(2, append(2, id(1, 1), &[2, 2], 2));
        assert_eq!(node.commit(), 2);
        let log = node.log();
        let result = node.try_hear(3, message);
        assert!(matches!(result, Err(Violation::CommittedConflict { .. })), "{result:?}");
        assert_eq!((node.log(), node.commit()), (log, 2));
    }
}

/// "A leader never overwrites or deletes entries in its own log" (Raft §5.3): one that contradicts what it confirmed
/// in this term itself is broken, whether the entry is committed or not.
#[test]
fn a_leader_that_contradicts_itself_is_reported() {
    let mut node = Solo::new(3, 3, &[1]);
    node.hear(2, append(3, id(1, 1), &[2, 2, 2], 0));
    let violation = Violation::LeaderRewrote { ours: id(2, 2), theirs: id(3, 2) };
    survives(&mut node, 2, append(3, id(1, 1), &[3], 9), &violation);
    assert_eq!((node.log(), node.commit()), (vec![1, 2, 2, 2], 0));
}

/// What lay on the shelf is checked like what comes off the network: the log has grown meanwhile.
#[test]
fn a_shelved_append_that_contradicts_later_ones_is_dropped() {
    let mut node = Solo::new(3, 4, &[1]);
    node.hear(2, append(4, id(3, 2), &[3], 0)); // Kept: entry 3, of term 3.
    node.hear(2, append(4, id(1, 1), &[3, 4, 4], 4)); // Entries 2 to 4, committed.
    assert_eq!((node.log(), node.commit()), (vec![1, 3, 4, 4], 4));
}

#[test]
fn an_acknowledgement_beyond_the_log_is_reported() {
    let mut node = Solo::leader(3, 2, &[1]);
    survives(&mut node, 2, acknowledgement(2, 1, 3), &Violation::AcknowledgedBeyondLog(member(2)));
    survives(&mut node, 2, acknowledgement(2, 1, u64::MAX), &Violation::AcknowledgedBeyondLog(member(2)));
    assert_eq!((node.commit(), node.progress(2)), (0, (2, 0)));
}

#[test]
fn forwards_are_not_for_the_core() {
    let mut node = Solo::new(3, 2, &[1]);
    let forward = Message::Forward(Forward { term: Term(2), request: 1, command: bytes::Bytes::new() });
    survives(&mut node, 2, forward, &Violation::NotForTheCore);
}

/// Votes that nobody asked for yet elect nobody: the node's own vote is not on disk.
#[test]
fn votes_before_the_request_left_elect_nobody() {
    let mut node = Solo::new(3, 2, &[1]);
    node.stalled = true;
    node.campaign();
    node.hear(2, vote_answer(3, true));
    node.hear(3, vote_answer(3, true));
    assert_eq!(node.role(), RoleName::Candidate);
    node.sync();
    node.hear(2, vote_answer(3, true));
    assert!(node.raft.is_leader());
}

/// Answers to questions that were never asked, and numbers from the end of the integers, in every role.
#[test]
fn nonsense_in_every_role_panics_nobody() {
    let nonsense = |term| {
        let far = id(term, u64::MAX - 1);
        let end = id(term, u64::MAX);
        vec![
            append(term, far, &[term], u64::MAX),
            append(term, end, &[], u64::MAX),
            append(term, id(term, 5), &[], u64::MAX),
            heartbeat(term, u64::MAX, u64::MAX),
            heartbeat_answer(term, u64::MAX),
            acknowledgement(term, u64::MAX, 0),
            rejection(term, end, end),
            rejection(term, id(0, 0), id(0, 0)),
            rejection(term, id(0, 1), end),
            pre_vote(term, end),
            request_vote(term, end),
            vote_answer(term, true),
        ]
    };
    for term in [0, 1, 2, 3, 4] {
        for pick in 0..nonsense(term).len() {
            for role in 0..4 {
                let mut node = Solo::new(3, 2, &[1, 2]);
                match role {
                    0 => {}
                    1 => node.pre_campaign(),
                    2 => node.campaign(),
                    _ => node.win_election(),
                }
                for message in nonsense(term).into_iter().skip(pick) {
                    let _ = node.try_hear(2, message);
                    node.wait(Span::from_millis(20));
                }
                node.wait(Span::from_millis(600));
                let _ = node.propose("still there");
            }
        }
    }
}
