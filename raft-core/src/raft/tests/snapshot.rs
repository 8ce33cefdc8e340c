//! Snapshots between nodes (Raft §7): pieces, their order and loss, the installation, and what waits for it.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use super::cluster::{Cluster, log_of, member, steady};
use super::solo::{Solo, append, id};
use crate::action::Action;
use crate::config::Config;
use crate::entry::Entry;
use crate::error::Violation;
use crate::load::{Loaded, Wanted};
use crate::membership::Configuration;
use crate::message::{Envelope, Message, Reception, SnapshotChunk, SnapshotChunkAnswer};
use crate::snapshot::SnapshotMeta;
use crate::types::{Index, LogId, Round, Span, Term};
use crate::write::Identity;

fn config() -> Config {
    Config { trailing_entries: 0, chunk_bytes_max: 10, chunks_in_flight_max: 3, ..steady() }
}

/// Node 1 leads three nodes, has a snapshot of everything, and node 3 has nothing.
fn one_behind() -> Cluster {
    let mut cluster = Cluster::with_config(&[(0, Vec::new()), (0, Vec::new()), (0, Vec::new())], config());
    cluster.elect_node(1);
    cluster.cut_off(3);
    for _ in 0..20 {
        cluster.propose(1, "x");
        cluster.settle();
    }
    assert!(cluster.snapshot(1));
    cluster
}

/// As [`one_behind`], and the slow disk of node 1 is asked for the first piece for node 3.
fn one_that_reads_a_piece() -> Cluster {
    let mut cluster = one_behind();
    cluster.slow_disks = alloc::vec![1];
    cluster.cut.clear();
    cluster.run(Span::from_millis(200));
    cluster
}

fn chunks_to(cluster: &Cluster, to: u64) -> Vec<Envelope> {
    let is_chunk = |e: &&Envelope| e.to.id.0 == to && matches!(e.message, Message::SnapshotChunk(_));
    cluster.network.iter().filter(is_chunk).cloned().collect()
}

#[test]
fn a_follower_that_needs_what_is_gone_gets_the_snapshot() {
    let mut cluster = one_behind();
    let last = cluster.raft(1).status().snapshot;
    assert_eq!(cluster.raft(1).status().log_start, last.index.next());
    cluster.cut.clear();
    cluster.run(Span::from_millis(1_000));
    let status = cluster.raft(3).status();
    assert_eq!((status.snapshot, status.commit), (last, last.index));
    assert_eq!(cluster.nodes[&3].applied, cluster.nodes[&1].applied);
    // From here on, ordinary appends.
    cluster.propose(1, "y");
    cluster.run(Span::from_millis(100));
    assert_eq!(cluster.nodes[&3].applied.len(), 22);
    assert_eq!(cluster.raft(3).status().snapshot, last);
}

/// Pieces may come in any order, doubled, and some of them not at all.
#[test]
fn lost_doubled_and_reordered_pieces_do_no_harm() {
    let mut cluster = one_behind();
    cluster.cut.clear();
    for step in 0..4_000_usize {
        cluster.now = cluster.now.plus(Span::from_millis(5));
        for node in 1..=3 {
            let now = cluster.now;
            cluster.raft(node).tick(now);
            cluster.drain(node);
        }
        // The newest first; every third piece is lost, every fourth is doubled.
        while let Some(envelope) = cluster.network.pop_back() {
            let is_chunk = matches!(envelope.message, Message::SnapshotChunk(_));
            if is_chunk && step % 3 == 0 {
                continue;
            }
            if is_chunk && step % 4 == 0 {
                cluster.deliver(envelope.clone());
            }
            cluster.deliver(envelope);
        }
        if cluster.nodes[&3].applied == cluster.nodes[&1].applied {
            return;
        }
    }
    panic!("the snapshot never arrived");
}

/// The follower restarts in the middle: what it had is gone, and the transfer begins anew.
#[test]
fn a_transfer_survives_the_followers_restart() {
    let mut cluster = one_behind();
    cluster.cut.clear();
    cluster.run(Span::from_millis(10));
    while cluster.raft(3).receiving.as_ref().is_none_or(|receiving| !receiving.is_under_way()) {
        let now = cluster.now.plus(Span::from_millis(5));
        cluster.now = now;
        cluster.raft(1).tick(now);
        cluster.drain(1);
        if let Some(envelope) = cluster.network.pop_front() {
            cluster.deliver(envelope);
        }
    }
    cluster.restart(3);
    cluster.run(Span::from_millis(1_000));
    assert_eq!(cluster.nodes[&3].applied, cluster.nodes[&1].applied);
}

/// The leader restarts, or another one takes over, with the same bytes: what has come need not come again.
#[test]
fn another_leader_with_the_same_snapshot_goes_on_with_the_transfer() {
    let mut node = Solo::with_config(3, 1, &[1], config());
    let content = b"0123456789abcdefghij";
    let snapshot = snapshot_of(id(2, 50), content);
    node.hear(2, chunk(2, &snapshot, 0, &content[..10]));
    assert_eq!(received(&node.sent()), Some(10));
    node.hear(3, chunk(3, &snapshot, 0, &content[..10]));
    assert_eq!(received(&node.sent()), Some(10), "the new leader learns where to go on");
    node.hear(3, chunk(3, &snapshot, 10, &content[10..]));
    assert_eq!(node.acknowledged_to(3), Some(50));
}

/// B73: what the follower had of the log is another leader's tale; nothing of it survives the installation.
#[test]
fn an_installed_snapshot_leaves_nothing_of_a_divergent_log() {
    let mut node = Solo::with_config(3, 2, &[1, 1, 1, 2, 2, 2], config());
    let content = b"state";
    let snapshot = snapshot_of(id(3, 4), content);
    node.hear(2, chunk(3, &snapshot, 0, content));
    assert_eq!(node.raft.status().last, id(3, 4));
    assert_eq!((node.raft.id_at(Index(5)), node.raft.id_at(Index(6))), (None, None));
    assert_eq!(node.disk.entries, []);
    assert_eq!(node.acknowledged_to(2), Some(4));
}

/// By Log Matching, a log that holds the snapshot's last entry holds everything before it: nothing is thrown away.
#[test]
fn a_log_that_holds_the_snapshots_last_entry_is_kept() {
    let mut node = Solo::with_config(3, 2, &[1, 1, 1, 2, 2, 2], config());
    let snapshot = snapshot_of(id(2, 4), b"state");
    node.hear(2, chunk(2, &snapshot, 0, b"state"));
    assert_eq!(node.raft.status().last, id(2, 6));
    assert_eq!(node.acknowledged_to(2), Some(4), "and the leader learns of it");
}

/// B74: a late snapshot takes nothing back, and one that contradicts what is committed is a violation.
#[test]
fn a_stale_snapshot_changes_nothing() {
    let mut node = Solo::with_config(3, 2, &[1, 1, 1, 2], config());
    node.hear(2, super::solo::append(2, id(2, 4), &[], 4));
    assert_eq!(node.commit(), 4);
    node.hear(2, chunk(2, &snapshot_of(id(1, 2), b"old"), 0, b"old"));
    assert_eq!((node.commit(), node.raft.status().last), (4, id(2, 4)));
    let other = chunk(2, &snapshot_of(id(2, 3), b"bad"), 0, b"bad");
    let result = node.try_hear(2, other);
    assert_eq!(result, Err(Violation::CommittedConflict { ours: id(1, 3), theirs: id(2, 3) }));
    assert_eq!(node.raft.status().last, id(2, 4));
}

/// The acknowledgement of an installation, and of anything above it, waits until the installation is durable.
#[test]
fn the_acknowledgement_waits_for_the_installation() {
    let mut node = Solo::with_config(3, 1, &[1], config());
    node.stalled = true;
    node.hear(2, super::solo::append(2, id(1, 1), &[], 0));
    node.sync_one();
    node.sent();
    node.hear(2, chunk(2, &snapshot_of(id(2, 50), b"state"), 0, b"state"));
    node.receive_all();
    node.hear(2, super::solo::append(2, id(2, 50), &[2, 2], 52));
    assert_eq!(node.acknowledged_to(2), None);
    let kinds: Vec<_> =
        node.disk.unsynced.iter().map(|p| (p.write.install.is_some(), p.write.append.len())).collect();
    assert_eq!(kinds, [(true, 0), (false, 2)], "an install closes its write");
    node.sync_one();
    assert_eq!(node.acknowledged_to(2), Some(50));
    assert!(
        node.notices.iter().any(|action| matches!(action, Action::Restore(meta) if meta.last == id(2, 50)))
    );
    assert_eq!(node.applied, [], "nothing is applied before the state is restored");
    node.raft.handle_applied(Index(50));
    node.sync_one();
    assert_eq!(node.acknowledged_to(2), Some(52));
    assert_eq!(node.applied.iter().map(|entry| entry.index.0).collect::<Vec<_>>(), [51, 52]);
}

/// Index, length and configuration come from a peer, and the log and the journal count on with them.
#[test]
fn a_snapshot_that_no_log_or_disk_could_hold_is_refused() {
    let honest = snapshot_of(id(2, 50), b"state");
    let beyond_any_log = SnapshotMeta { last: id(2, u64::MAX), ..honest.clone() };
    let beyond_any_disk = SnapshotMeta { length: u64::MAX, ..honest.clone() };
    let configuration = Configuration::of_voters((1..=2_000).map(member));
    let beyond_its_block = SnapshotMeta { configuration, ..honest.clone() };
    let too_large = Violation::SnapshotTooLarge {
        last: beyond_any_disk.last,
        bytes: u64::MAX,
        bytes_max: config().snapshot_bytes_max,
    };
    for (snapshot, violation) in [
        (&beyond_any_log, Violation::MalformedSnapshot(beyond_any_log.last)),
        (&beyond_any_disk, too_large),
        (&beyond_its_block, Violation::MalformedSnapshot(beyond_its_block.last)),
    ] {
        let mut node = Solo::with_config(3, 1, &[1], config());
        let result = node.try_hear(2, chunk(2, snapshot, 0, b"state"));
        assert_eq!(result, Err(violation));
        // It goes on, and takes one that can be.
        node.hear(2, chunk(2, &honest, 0, b"state"));
        assert_eq!(node.raft.status().last, id(2, 50));
    }
}

/// A piece that is not what was sent shows when all have come; the sender is told to begin anew.
#[test]
fn a_wrong_digest_begins_the_transfer_anew() {
    let mut node = Solo::with_config(3, 1, &[1], config());
    let snapshot = snapshot_of(id(2, 50), b"state");
    let result = node.try_hear(2, chunk(2, &snapshot, 0, b"stale"));
    assert_eq!(result, Err(Violation::SnapshotDigest(member(2))));
    let answers = node.sent();
    assert_eq!((received(&answers), restarted(&answers)), (Some(0), true));
    assert_eq!(node.raft.status().last, id(1, 1));
    node.hear(2, chunk(2, &snapshot, 0, b"state"));
    assert_eq!(node.raft.status().last, id(2, 50));
}

/// While a live follower receives a snapshot, no other takes its place, until the log after it has grown too long.
#[test]
fn a_transfer_pins_its_snapshot_up_to_a_bound() {
    let mut cluster = one_behind();
    cluster.cut.clear();
    // The pieces are lost; everything else arrives.
    let lose_chunks = |cluster: &mut Cluster, span: u64| {
        for _ in 0..span / 5 {
            cluster.now = cluster.now.plus(Span::from_millis(5));
            for node in 1..=3 {
                let now = cluster.now;
                cluster.raft(node).tick(now);
                cluster.drain(node);
            }
            while let Some(envelope) = cluster.network.pop_front() {
                if !matches!(envelope.message, Message::SnapshotChunk(_)) {
                    cluster.deliver(envelope);
                }
            }
        }
    };
    lose_chunks(&mut cluster, 300);
    assert!(cluster.raft(1).is_snapshot_pinned());
    cluster.propose(1, "y");
    lose_chunks(&mut cluster, 20);
    assert!(!cluster.snapshot(1), "a follower is receiving the current one");
    alloc::sync::Arc::make_mut(&mut cluster.raft(1).config).pinned_bytes_max = 0;
    assert!(cluster.snapshot(1));
    cluster.run(Span::from_millis(1_000));
    assert_eq!(cluster.nodes[&3].applied, cluster.nodes[&1].applied);
    assert_eq!(cluster.raft(3).status().snapshot, cluster.raft(1).status().snapshot);
}

/// All pieces are there, from an earlier leader, while the disk is slow to read the first: what waits for the disk makes
/// no tick due, or the host would tick without end until it is read.
#[test]
fn what_waits_for_the_disk_waits_for_no_tick() {
    let mut cluster = one_that_reads_a_piece();
    let request = cluster.nodes[&1].loads.front().cloned().expect("the first piece is to be read");
    let Wanted::Chunk { snapshot, .. } = request.wanted else { panic!("{request:?}") };
    let SnapshotMeta { last, digest, length: received, .. } = snapshot;
    let (now, term) = (cluster.now, cluster.raft(1).term());
    let answer = SnapshotChunkAnswer { term, snapshot: last, digest, received, reception: Reception::GoesOn };
    let (to_boot, from_boot) = (cluster.raft(1).boot(), cluster.raft(3).boot());
    let Identity { cluster: id, epoch, member: to } = cluster.raft(1).identity();
    let message = Message::SnapshotChunkAnswer(answer);
    let envelope = Envelope { cluster: id, epoch, from: member(3), from_boot, to, to_boot, message };
    assert_eq!(cluster.raft(1).handle_message(now, envelope), Ok(()));
    for _ in 0..5 {
        cluster.now = cluster.now.plus(Span::from_millis(50));
        let now = cluster.now;
        cluster.raft(1).tick(now);
        cluster.drain(1);
        assert!(cluster.raft(1).is_leader() && cluster.raft(1).next_tick() > Some(now));
    }
    cluster.slow_disks.clear();
    cluster.sync(1, 0);
    cluster.run(Span::from_millis(1_000));
    assert_eq!(cluster.nodes[&3].applied, cluster.nodes[&1].applied);
}

/// What may be sent at once changes while the disk reads: what was read is sent, in as many pieces as that takes, and
/// nothing is read twice.
#[test]
fn a_piece_of_another_length_than_was_asked_for_is_sent() {
    for (read, sent) in [(4, &[4][..]), (10, &[10]), (15, &[10, 5])] {
        let mut cluster = one_that_reads_a_piece();
        let now = cluster.now;
        let node = cluster.nodes.get_mut(&1).expect("it exists");
        let content = &node.disk.snapshot.as_ref().expect("it was taken").1[..read];
        let request = node.loads.pop_front().expect("the first piece is to be read");
        assert!(matches!(request.wanted, Wanted::Chunk { offset: 0, bytes_max: 10, .. }), "{request:?}");
        node.raft.handle_loaded(now, request, Loaded::Chunk(Bytes::copy_from_slice(content)));
        cluster.drain(1);
        let pieces: Vec<SnapshotChunk> = chunks_to(&cluster, 3).into_iter().filter_map(piece).collect();
        assert_eq!(pieces.iter().map(|piece| piece.bytes.len()).collect::<Vec<_>>(), sent);
        let next = &cluster.nodes[&1].loads.front().expect("the next piece is to be read").wanted;
        assert!(matches!(next, Wanted::Chunk { offset, .. } if *offset == read as u64), "{next:?}");
        cluster.slow_disks.clear();
        cluster.sync(1, 0);
        cluster.run(Span::from_millis(1_000));
        assert_eq!(cluster.nodes[&3].applied, cluster.nodes[&1].applied);
    }
}

fn piece(envelope: Envelope) -> Option<SnapshotChunk> {
    match envelope.message {
        Message::SnapshotChunk(piece) => Some(piece),
        _ => None,
    }
}

/// A host that gives nothing would be asked without end.
#[test]
fn an_empty_piece_stops_the_node() {
    let mut cluster = one_that_reads_a_piece();
    let (now, node) = (cluster.now, cluster.nodes.get_mut(&1).expect("it exists"));
    let request = node.loads.pop_front().expect("the first piece is to be read");
    node.raft.handle_loaded(now, request, Loaded::Chunk(Bytes::new()));
    assert!(node.raft.is_stopped());
}

/// An append came early, and a snapshot covers the gap before it: what is refused after that is what is missing then. A
/// gap that is no more would tell the leader nothing, for ever.
#[test]
fn a_snapshot_takes_from_the_shelf_what_it_covers() {
    let mut node = Solo::with_config(3, 2, &[1], config());
    node.hear(2, append(2, id(2, 38), &[2], 0));
    assert_eq!(node.sent().len(), 1, "the gap is named");
    let snapshot = snapshot_of(id(2, 50), b"state");
    node.hear(2, chunk(2, &snapshot, 0, b"state"));
    assert_eq!(node.raft.status().last, id(2, 50));
    node.sent();
    node.hear(2, append(2, id(2, 54), &[2], 0));
    let answers = node.sent();
    let refused = answers.iter().find_map(|(_, message)| match message {
        Message::AppendRejection(m) => Some((m.refused, m.hint, m.last)),
        _ => None,
    });
    assert_eq!(refused, Some((id(2, 54), id(2, 50), Index(50))), "{answers:?}");
}

/// Each restart of a follower makes what was to be read for it outdated. A slow disk gets no request more for that.
#[test]
fn a_slow_disk_is_asked_once_for_each_follower() {
    let mut cluster = one_behind();
    cluster.slow_disks = alloc::vec![1];
    cluster.cut.clear();
    for _ in 0..20 {
        cluster.run(Span::from_millis(200));
        cluster.restart(3);
        assert_eq!(cluster.nodes[&1].loads.len(), 1);
    }
    cluster.slow_disks.clear();
    cluster.sync(1, 0);
    cluster.run(Span::from_millis(1_000));
    assert_eq!(cluster.nodes[&3].applied, cluster.nodes[&1].applied);
}

/// B70: at the boundary of the log the term of the entry before the first is the snapshot's.
#[test]
fn a_follower_that_ends_where_the_log_begins_needs_no_snapshot() {
    let mut cluster = Cluster::with_config(&[(0, Vec::new()), (0, Vec::new()), (0, Vec::new())], config());
    cluster.elect_node(1);
    cluster.propose(1, "x");
    cluster.run(Span::from_millis(100));
    assert!(cluster.snapshot(1));
    assert_eq!(cluster.raft(1).status().log_start, Index(3));
    cluster.restart(3); // Probed at the boundary, from scratch.
    cluster.propose(1, "y");
    cluster.run(Span::from_millis(200));
    assert!(chunks_to(&cluster, 3).is_empty() && cluster.raft(3).status().snapshot == LogId::default());
    assert_eq!(cluster.raft(3).status().commit, Index(3));
}

/// Node 1 leads three, has nothing of its log in memory, and its slow disk is asked for the entries that node 3 lacks.
fn one_that_reads_entries() -> Cluster {
    let tight = Config { cache_bytes_max: 0, ..config() };
    let mut cluster = Cluster::with_config(&[(0, Vec::new()), (0, Vec::new()), (0, Vec::new())], tight);
    cluster.elect_node(1);
    for _ in 0..5 {
        cluster.propose(1, "x");
    }
    cluster.run(Span::from_millis(100));
    assert_eq!(cluster.raft(1).status().log_bytes, 0, "all of it is durable and applied");
    cluster.slow_disks = alloc::vec![1];
    cluster.restart(3);
    cluster.nodes.get_mut(&3).expect("it exists").disk.entries.clear();
    cluster.restart(3);
    cluster.run(Span::from_millis(60));
    let request = cluster.nodes[&1].loads.front().expect("a follower needs old entries");
    assert!(matches!(request.wanted, Wanted::Entries { from: Index(1), .. }));
    cluster
}

/// Whatever happens while the disk reads, what it read is sent, and is not asked for again.
#[test]
fn entries_that_are_being_read_are_waited_for() {
    let mut cluster = one_that_reads_entries();
    cluster.run(Span::from_millis(60));
    let (now, node) = (cluster.now, cluster.nodes.get_mut(&1).expect("it exists"));
    assert_eq!(node.loads.len(), 1);
    node.serve_loads(now);
    cluster.drain(1);
    let is_sent = |e: &&Envelope| matches!(&e.message, Message::Append(m) if m.entries.len() == 6);
    assert_eq!(cluster.network.iter().filter(is_sent).count(), 1);
    assert!(cluster.nodes[&1].loads.is_empty());
}

/// What is asked of the disk may be overwritten before it is there: the answer is measured against the log as it is.
#[test]
fn entries_read_back_are_checked_against_the_log() {
    let mut cluster = one_that_reads_entries();
    let request = cluster.nodes[&1].loads.front().cloned().expect("it is asked");
    let other = log_of(&[1, 1]).into_iter().map(|entry| Entry { term: Term(9), ..entry }).collect();
    let now = cluster.now;
    cluster.raft(1).handle_loaded(now, request, Loaded::Entries(other));
    cluster.slow_disks.clear();
    cluster.sync(1, 0);
    cluster.run(Span::from_millis(500));
    assert_eq!(cluster.nodes[&3].applied, cluster.nodes[&1].applied);
}

fn snapshot_of(last: LogId, content: &[u8]) -> SnapshotMeta {
    let configuration = Configuration::of_voters((1..=3).map(member));
    SnapshotMeta { last, configuration, length: content.len() as u64, digest: xxh3_64(content) }
}

fn chunk(term: u64, snapshot: &SnapshotMeta, offset: u64, bytes: &[u8]) -> Message {
    Message::SnapshotChunk(SnapshotChunk {
        term: Term(term),
        round: Round(1),
        snapshot: Box::new(snapshot.clone()),
        offset,
        bytes: Bytes::copy_from_slice(bytes),
    })
}

fn answers(sent: &[(u64, Message)]) -> impl Iterator<Item = &SnapshotChunkAnswer> {
    sent.iter().filter_map(|(_, message)| match message {
        Message::SnapshotChunkAnswer(answer) => Some(answer),
        _ => None,
    })
}

fn received(sent: &[(u64, Message)]) -> Option<u64> {
    answers(sent).last().map(|answer| answer.received)
}

fn restarted(sent: &[(u64, Message)]) -> bool {
    answers(sent).any(|answer| answer.reception == Reception::LacksBeginning)
}

/// A snapshot that comes in is written beside everything else: what does not follow from it waits for none of it.
#[test]
fn nothing_waits_for_an_incoming_snapshot_but_its_installation() {
    let mut node = Solo::with_config(3, 1, &[1], config());
    node.stalled = true;
    node.hear(2, super::solo::append(2, id(1, 1), &[], 0));
    node.hear(2, chunk(2, &snapshot_of(id(2, 50), b"state"), 0, b"state"));
    node.hear(2, super::solo::append(2, id(1, 1), &[2], 0));
    node.sync();
    assert_eq!(node.acknowledged_to(2), Some(2), "the log goes on meanwhile");
    assert_eq!((node.pieces.len(), node.raft.status().snapshot), (1, LogId::default()));
    node.receive_all();
    node.drain();
    assert_eq!(node.raft.status().snapshot, id(2, 50));
    assert!(node.disk.unsynced.iter().any(|persist| persist.write.install.is_some()));
}

/// All pieces are here, and the disk has not got them. The leader asks whether the snapshot is installed, until it is.
#[test]
fn a_leader_that_asks_learns_of_the_installation() {
    let snapshot = snapshot_of(id(2, 50), b"state");
    let mut node = Solo::with_config(3, 1, &[1], config());
    node.stalled = true;
    node.hear(2, chunk(2, &snapshot, 0, b"state"));
    node.sync();
    let question = || chunk(2, &snapshot, 5, b"");
    node.hear(2, question());
    let sent = node.sent();
    assert!(answers(&sent).all(|answer| answer.received == 5 && answer.reception == Reception::GoesOn));
    node.receive_all();
    node.drain();
    node.sync();
    assert_eq!(node.acknowledged_to(2), Some(50));
    node.hear(2, question());
    assert_eq!(node.acknowledged_to(2), Some(50), "and again, should the first word be lost");
}

/// Whoever campaigns does so with the log that it asked votes for: what came in is installed once a leader asks.
#[test]
fn nobody_installs_in_the_middle_of_a_campaign() {
    let snapshot = snapshot_of(id(2, 50), b"state");
    let mut node = Solo::with_config(3, 1, &[1], config());
    node.hear(2, super::solo::append(2, id(1, 1), &[], 0));
    node.stalled = true;
    node.hear(2, chunk(2, &snapshot, 0, b"state"));
    node.pre_campaign();
    assert_eq!(node.role(), crate::action::RoleName::PreCandidate);
    node.receive_all();
    assert_eq!(node.raft.status().last, id(1, 1));
    node.hear(2, chunk(2, &snapshot, 5, b""));
    node.sync();
    assert_eq!(node.raft.status().last, id(2, 50));
    assert_eq!(node.acknowledged_to(2), Some(50));
}

/// A disk without room is no failure of the node: it says so, votes and acknowledges on, and takes the snapshot later.
#[test]
fn a_snapshot_without_room_is_refused_and_may_come_later() {
    let snapshot = snapshot_of(id(2, 50), b"state");
    let mut node = Solo::with_config(3, 1, &[1], config());
    node.hear(2, super::solo::append(2, id(1, 1), &[], 0));
    node.stalled = true;
    let receptions = |node: &mut Solo| -> Vec<Reception> {
        answers(&node.sent()).map(|answer| answer.reception).collect()
    };
    node.hear(2, chunk(2, &snapshot, 0, b"sta"));
    receptions(&mut node);
    let transfer = node.pieces.pop_front().expect("a piece").transfer;
    node.raft.handle_no_room(node.now, transfer);
    node.drain();
    assert_eq!(receptions(&mut node), [Reception::NoRoom], "the leader is told at once");
    node.hear(2, chunk(2, &snapshot, 3, b"te"));
    node.hear(2, chunk(2, &snapshot, 0, b"sta"));
    assert!(node.pieces.is_empty() && receptions(&mut node).iter().all(|said| *said == Reception::NoRoom));
    node.hear(2, super::solo::append(2, id(1, 1), &[2], 2));
    node.sync();
    assert_eq!((node.acknowledged_to(2), node.commit()), (Some(2), 2), "the node goes on");

    node.now = node.now.plus(config().election_timeout);
    node.hear(2, chunk(2, &snapshot, 3, b"te"));
    assert_eq!(receptions(&mut node), [Reception::LacksBeginning]);
    node.hear(2, chunk(2, &snapshot, 0, b"state"));
    // What an earlier attempt has to say says nothing of this one.
    node.raft.handle_no_room(node.now, transfer);
    let stale = crate::snapshot::Received { transfer, through: 5, is_whole: true };
    node.raft.handle_received(node.now, stale);
    assert_eq!(node.raft.status().snapshot, LogId::default());
    node.receive_all();
    assert_eq!(node.raft.status().snapshot, id(2, 50));
}

/// A leader that hears of no room waits for an election timeout, and begins again.
#[test]
fn a_leader_lets_a_follower_without_room_alone_for_a_while() {
    let mut cluster = one_behind();
    cluster.cut.clear();
    cluster.refuses_snapshots = true;
    cluster.run(Span::from_millis(2_000));
    let sent = cluster.chunks_seen;
    assert!(cluster.raft(1).is_leader() && cluster.raft(3).status().snapshot == LogId::default());
    assert!((2..=20).contains(&sent), "{sent} pieces in two seconds to one that has no room");
    cluster.refuses_snapshots = false;
    cluster.run(Span::from_millis(1_500));
    assert_eq!(cluster.nodes[&3].applied, cluster.nodes[&1].applied);
}
