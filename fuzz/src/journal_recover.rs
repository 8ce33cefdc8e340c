//! A damaged data directory through recovery: nothing panics, a single changed byte loses nothing silently, and what
//! was recovered is recovered again.
//!
//! The input is changes to a good directory, six bytes each: file, kind of change, place (three bytes), value.

use std::cell::LazyCell;

use bytes::Bytes;
use raft_core::journal::{DiskOp, Files, JournalConfig, OnDamage, Recovery, SECTOR_BYTES, initialise};
use raft_core::message::{Append, Message};
use raft_core::*;
use xxhash_rust::xxh3::xxh3_64;

const SECTOR: usize = SECTOR_BYTES as usize;
const CONFIG: JournalConfig = JournalConfig { segment_bytes: 4_096, batch_bytes_max: 2_048 };

thread_local! {
    static GOOD: LazyCell<(Files, Restored)> = const { LazyCell::new(good_directory) };
}

/// Runs the target on an input.
///
/// # Panics
/// If something that must hold does not.
pub fn run(input: &[u8]) {
    GOOD.with(|good| {
        let (files, restored) = &**good;
        let mut damaged = files.clone();
        let mut gentle = 0;
        let edits: Vec<&[u8]> = input.chunks_exact(6).take(32).collect();
        for edit in &edits {
            gentle += usize::from(change(&mut damaged, edit));
        }
        let is_one_byte = edits.len() == 1 && gentle == 1;
        for on_damage in [OnDamage::Refuse, OnDamage::Abstain] {
            recover(damaged.clone(), on_damage, is_one_byte.then_some(restored));
        }
    });
}

/// Changes the directory. Whether it is no more than one byte, with its checksum left as it was.
fn change(files: &mut Files, edit: &[u8]) -> bool {
    let [file, kind, a, b, c, value] = *edit else { return false };
    let Some(name) = files.keys().nth(usize::from(file) % files.len().max(1)).cloned() else { return false };
    let bytes = files.get_mut(&name).expect("named above");
    if bytes.is_empty() {
        return false;
    }
    let at = (usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16) % bytes.len();
    let sector = at / SECTOR * SECTOR;
    let end = bytes.len().min(sector + SECTOR);
    match kind % 8 {
        0 | 1 => {
            bytes[at] ^= value;
            return true;
        }
        2 => {
            // A sealed sector that says something else.
            bytes[at] ^= value;
            if end - sector == SECTOR {
                let checksum = xxh3_64(&bytes[sector..sector + SECTOR - 8]);
                bytes[end - 8..end].copy_from_slice(&checksum.to_le_bytes());
            }
        }
        3 => bytes[sector..end].fill(0),
        4 => bytes.truncate(at),
        5 => drop(files.remove(&name)),
        6 => bytes.extend_from_slice(&[value; SECTOR]),
        _ => {
            let copy = bytes[sector..end].to_vec();
            let to = usize::from(value) * SECTOR;
            if to + copy.len() <= bytes.len() {
                bytes[to..to + copy.len()].copy_from_slice(&copy);
            }
        }
    }
    false
}

fn recover(mut files: Files, on_damage: OnDamage, expected: Option<&Restored>) {
    let Ok(recovery) = Recovery::start(CONFIG, &files, on_damage) else { return };
    let is_cut = recovery.report().damaged_at.is_some();
    perform(&mut files, recovery.ops());
    let (_, first) = recovery.finish();
    if let Some(expected) = expected {
        assert!(expected.entries().starts_with(first.entries()), "entries that nobody wrote");
        if is_cut {
            assert!(first.hard_state().abstaining, "a log that lost something");
        } else {
            assert_eq!(first.entries(), expected.entries(), "synced entries are lost silently");
            assert_eq!(first.hard_state(), expected.hard_state(), "a synced vote is lost silently");
        }
    }
    let again = Recovery::start(CONFIG, &files, OnDamage::Refuse).expect("what recovery left is good");
    perform(&mut files, again.ops());
    let (_, again) = again.finish();
    assert_eq!(again.boot().0, first.boot().0 + 1);
    assert_eq!((again.identity(), again.hard_state()), (first.identity(), first.hard_state()));
    assert_eq!(again.entries(), first.entries());
}

/// A disk that never fails.
fn perform(files: &mut Files, ops: &[DiskOp]) {
    for op in ops {
        match op {
            DiskOp::Create { file, bytes } => {
                files.insert(file.clone(), vec![0; usize::try_from(*bytes).expect("small")]);
            }
            DiskOp::Write { file, offset, bytes } => {
                assert_eq!((offset % SECTOR_BYTES, bytes.len() % SECTOR), (0, 0), "whole sectors");
                let at = usize::try_from(*offset).expect("small");
                let file = files.get_mut(file).expect("created before");
                file[at..at + bytes.len()].copy_from_slice(bytes);
            }
            DiskOp::Remove { file } => drop(files.remove(file)),
            DiskOp::Sync { .. } | DiskOp::SyncDirectory => {}
        }
    }
}

/// The directory of a follower that took appends in two terms, over several segments; and what it holds.
fn good_directory() -> (Files, Restored) {
    let member = |id| Member { id: NodeId(id), incarnation: Incarnation(7) };
    let identity = Identity { cluster: ClusterId(1), epoch: Epoch(0), member: member(1) };
    let mut files = Files::new();
    perform(&mut files, &initialise(identity, &Configuration::of_voters([1, 2, 3].map(member))));
    let recovery = Recovery::start(CONFIG, &files, OnDamage::Refuse).expect("fresh");
    perform(&mut files, recovery.ops());
    let (mut journal, restored) = recovery.finish();
    let mut raft = Raft::new(Config::default(), restored, Instant(0), 1).expect("fresh");
    let mut previous = LogId::default();
    for step in 1..=12u64 {
        let term = Term(1 + step / 7);
        let payload = Payload::Command(Bytes::from(vec![step as u8; 40 * step as usize]));
        let entry = Entry { term, index: previous.index.next(), payload };
        let id = entry.id();
        let append = Append { term, round: Round(step), previous, entries: vec![entry], commit: Index(0) };
        let envelope = Envelope {
            cluster: identity.cluster,
            epoch: identity.epoch,
            from: member(2 + step / 7),
            from_boot: Boot(1),
            to: identity.member,
            to_boot: Boot(0),
            message: Message::Append(append),
        };
        raft.handle_message(Instant(step), envelope).expect("a good append");
        previous = id;
        while let Some(action) = raft.poll_action() {
            if let Action::Persist(persist) = action {
                journal.submit(persist);
            }
        }
        while let Some(batch) = journal.poll_batch() {
            perform(&mut files, &batch.ops);
            if let Some(durable) = journal.handle_batch_done() {
                raft.handle_durable(Instant(step), durable);
            }
        }
    }
    let (_, restored) = Recovery::start(CONFIG, &files, OnDamage::Refuse).expect("good").finish();
    assert_eq!(restored.entries().len(), 12);
    assert_eq!(restored.hard_state().term, Term(2));
    (files, restored)
}
