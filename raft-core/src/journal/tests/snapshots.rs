//! Snapshots in the journal: taken, received, discarded under, read back; crashed into and damaged. What is told of one
//! that comes in is in `incoming`.

extern crate std;

use std::boxed::Box;
use std::vec::Vec;
use std::{assert, assert_eq, vec};

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use super::disk::{Disk, config, entry, founding, persist, voted};
use crate::entry::Entry;
use crate::error::RestoreError;
use crate::journal::{
    Directory, DiskOp, Files, Journal, JournalConfig, OnDamage, ReadFailed, Recovery, RecoveryReport,
    WrittenSnapshot,
};
use crate::load::{LoadRequest, Loaded, Wanted};
use crate::snapshot::{Chunk, Discard, SnapshotMeta, Source};
use crate::types::{Boot, Index, LogId};
use crate::write::{HardState, Restored, Write};

/// Everything that a recovery tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct State {
    hard_state: HardState,
    pub(super) snapshot: Option<SnapshotMeta>,
    pub(super) content: Vec<u8>,
    base: LogId,
    log: Vec<Entry>,
}

pub(super) struct Node {
    pub(super) disk: Disk,
    pub(super) journal: Journal,
    boot: Boot,
    number: u64,
    pub(super) state: State,
}

pub(super) fn content(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|at| (at as u8).wrapping_mul(31).wrapping_add(seed) | 1).collect()
}

pub(super) fn meta(last: LogId, content: &[u8]) -> SnapshotMeta {
    SnapshotMeta { last, configuration: founding(), length: content.len() as u64, digest: xxh3_64(content) }
}

pub(super) fn id(term: u64, index: u64) -> LogId {
    entry(term, index, 0).id()
}

/// What a recovery gives, with the snapshot's content read back.
fn shown(files: &Files, journal: &Journal, restored: &Restored) -> State {
    let mut bytes = Vec::new();
    if let Some(plan) = journal.plan_restore() {
        let mut read = |file: &str, offset, length| files.read(file, offset, length);
        let mut source = plan.open(&mut read);
        bytes = vec![0; plan.snapshot().length as usize];
        assert_eq!(source.read(&mut bytes), Ok(bytes.len()));
        source.finish().expect("recovery has read it");
    }
    State {
        hard_state: restored.hard_state,
        snapshot: restored.snapshot.clone(),
        content: bytes,
        base: restored.base,
        log: restored.entries.clone(),
    }
}

impl Node {
    pub(super) fn start(mut disk: Disk) -> Node {
        let (journal, restored, _) = disk.restart();
        let state = shown(&disk.cache, &journal, &restored);
        Node { disk, journal, boot: restored.boot, number: 0, state }
    }

    pub(super) fn submit(&mut self, write: Write) {
        let state = &mut self.state;
        if let Some(hard_state) = write.hard_state {
            state.hard_state = hard_state;
        }
        if let Some(from) = write.truncate_from {
            state.log.retain(|entry| entry.index < from);
        }
        state.log.extend(write.append.iter().cloned());
        if let Some(snapshot) = &write.install {
            state.log.clear();
            (state.base, state.snapshot) = (snapshot.last, Some((**snapshot).clone()));
        }
        if let Some(discard) = &write.discard_through {
            state.log.retain(|entry| entry.index > discard.through.index);
            (state.base, state.snapshot) = (discard.through, Some(discard.snapshot.clone()));
        }
        // A term that the log shows was entered, and no vote in it is known.
        let last = state.log.last().map_or(state.base, Entry::id);
        if last.term > state.hard_state.term {
            state.hard_state = HardState { term: last.term, vote: None, ..state.hard_state };
        }
        self.number += 1;
        self.journal.submit(persist(self.boot, self.number, write));
    }

    pub(super) fn settle(&mut self) {
        while let Some(batch) = self.journal.poll_batch() {
            self.disk.perform_all(&batch.ops);
            let _ = self.journal.handle_batch_done();
        }
        while let Some(job) = self.journal.poll_receive() {
            self.disk.perform_all(&job.ops);
            let _ = self.journal.handle_receive_done();
        }
    }

    pub(super) fn append(&mut self, term: u64, bytes: usize) {
        let index = self.state.log.last().map_or(self.state.base, Entry::id).index.0 + 1;
        self.submit(Write { append: [entry(term, index, bytes)].into(), ..Write::default() });
    }

    /// The operations that write a snapshot of one's own.
    pub(super) fn write_snapshot(&mut self, last: LogId, content: &[u8]) -> (Vec<DiskOp>, WrittenSnapshot) {
        let mut ops = Vec::new();
        let written =
            self.journal.plan_snapshot().write(last, &founding(), &|out| out.write(content), &mut |op| {
                ops.push(op);
                Ok::<(), ()>(())
            });
        (ops, written.expect("the content is the same each time"))
    }
}

/// A step of a history.
enum Step {
    Batch(Vec<Write>),
    /// A piece of an incoming snapshot comes.
    Piece(Chunk),
    /// Writes a snapshot, and then says that the log may go through an index.
    Own {
        last: LogId,
        content: Vec<u8>,
        through: LogId,
    },
}

pub(super) fn chunks(snapshot: &SnapshotMeta, content: &[u8], piece: usize) -> Vec<Chunk> {
    let piece_at = |(number, bytes): (usize, &[u8])| Chunk {
        transfer: snapshot.digest,
        snapshot: snapshot.clone(),
        offset: (number * piece) as u64,
        bytes: Bytes::copy_from_slice(bytes),
    };
    content.chunks(piece).enumerate().map(piece_at).collect()
}

/// Appends, a snapshot of one's own with and without a rest of the log, an incoming one in pieces with votes between
/// them, one that is never finished, an installation over a divergent tail, and a log that goes on.
fn script() -> Vec<Step> {
    let append = |entries: Vec<Entry>| Write { append: entries.into(), ..Write::default() };
    let vote = |term| Write { hard_state: Some(voted(term)), ..Write::default() };
    let received = content(9_000, 7);
    let incoming = meta(id(4, 30), &received);
    let pieces = chunks(&incoming, &received, 2_500);
    let lost = content(5_000, 3);
    let never = chunks(&meta(id(4, 28), &lost), &lost, 2_500);
    let install = Write { install: Some(Box::new(incoming)), ..Write::default() };
    vec![
        Step::Batch(vec![vote(1), append((1..=8).map(|i| entry(1, i, 700)).collect())]),
        Step::Own { last: id(1, 6), content: content(100, 1), through: id(1, 3) },
        Step::Batch(vec![append((9..=14).map(|i| entry(2, i, 900)).collect())]),
        Step::Own { last: id(2, 12), content: content(4_088, 2), through: id(2, 12) },
        Step::Batch(vec![
            Write { truncate_from: Some(Index(14)), append: [entry(3, 14, 10)].into(), ..vote(3) },
            append(vec![entry(3, 15, 3_000)]),
        ]),
        Step::Piece(never[0].clone()),
        Step::Piece(pieces[0].clone()),
        Step::Batch(vec![vote(4)]),
        Step::Piece(pieces[1].clone()),
        Step::Piece(pieces[2].clone()),
        Step::Piece(pieces[3].clone()),
        Step::Batch(vec![install, append(vec![entry(4, 31, 20)])]),
        Step::Batch(vec![append((32..=40).map(|i| entry(5, i, 800)).collect())]),
        Step::Own { last: id(5, 38), content: content(0, 0), through: id(5, 36) },
        Step::Batch(vec![append(vec![entry(5, 41, 600)])]),
    ]
}

/// All disks that a crash before `op`, inside it or after it may leave.
fn crashes(disk: &Disk, op: &DiskOp, dice: &mut u64) -> Vec<Disk> {
    let mut moments = vec![disk.clone()];
    if let DiskOp::Write { bytes, .. } = op {
        let mut part = disk.clone();
        part.perform_part(op, bytes.len() / 1_024);
        moments.push(part);
    }
    let mut after = disk.clone();
    after.perform(op);
    moments.push(after);
    let roll = move |dice: &mut u64| {
        *dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *dice >> 63 == 1
    };
    let lost = moments.iter().map(|disk| disk.power_loss(&mut || false)).collect::<Vec<_>>();
    let mixed = moments.iter().map(|disk| disk.power_loss(&mut || roll(dice))).collect::<Vec<_>>();
    moments.into_iter().chain(lost).chain(mixed).collect()
}

/// The disk recovers to one of these states, also if recovery crashes on its way; and what it shows stays.
fn check(disk: &Disk, legal: &[State], dice: &mut u64) -> RecoveryReport {
    let recovery = disk.recover(OnDamage::Refuse).expect("a crash is not damage");
    let report = recovery.report().clone();
    let mut half = disk.clone();
    for (number, op) in recovery.ops().iter().enumerate() {
        let moments = crashes(&half, op, dice);
        let again = &moments[number % moments.len()];
        let recovered = again.recover(OnDamage::Refuse).expect("a crash in recovery is not damage");
        let (journal, restored) = recovered.finish();
        let state = shown(&again.cache, &journal, &restored);
        assert!(legal.contains(&state), "half a recovery shows {state:?}");
        half.perform(op);
    }
    let (journal, restored) = recovery.finish();
    let state = shown(&half.cache, &journal, &restored);
    assert!(legal.contains(&state), "{state:?}\nis none of\n{legal:#?}");
    let mut node = Node::start(half.power_loss(&mut || false));
    assert_eq!(node.state, state, "what was shown is there to stay");
    node.append(9, 40);
    node.settle();
    assert_eq!(Node::start(node.disk).state, node.state);
    report
}

fn legal_between(old: &State, new: &State) -> Vec<State> {
    vec![old.clone(), State { hard_state: new.hard_state, ..old.clone() }, new.clone()]
}

/// Carries out a history; `at` sees each operation with the states that a crash in it may show.
fn carry_out(node: &mut Node, steps: Vec<Step>, at: &mut dyn FnMut(&Disk, &DiskOp, &[State])) {
    for step in steps {
        let writes = match step {
            Step::Batch(writes) => writes,
            Step::Piece(chunk) => {
                node.journal.receive(&chunk);
                for op in node.journal.poll_receive().map(|job| job.ops).unwrap_or_default() {
                    at(&node.disk, &op, core::slice::from_ref(&node.state));
                    node.disk.perform(&op);
                }
                let received = node.journal.handle_receive_done().expect("a piece was on its way");
                let end = chunk.offset + chunk.bytes.len() as u64;
                assert_eq!((received.transfer, received.through), (chunk.transfer, end));
                assert_eq!(received.is_whole, end == chunk.snapshot.length);
                continue;
            }
            Step::Own { last, content, through } => {
                let (ops, written) = node.write_snapshot(last, &content);
                for op in &ops {
                    at(&node.disk, op, core::slice::from_ref(&node.state));
                    node.disk.perform(op);
                }
                node.journal.handle_snapshot_written(&written);
                let discard = Discard { snapshot: written.meta().clone(), through };
                vec![Write { discard_through: Some(Box::new(discard)), ..Write::default() }]
            }
        };
        let mut pending = Vec::new();
        for write in writes {
            let old = node.state.clone();
            node.submit(write);
            pending.push(old);
        }
        while let Some(batch) = node.journal.poll_batch() {
            // A crash in a group of writes shows a state between the first and the last of them.
            let new = expected(&node.disk, &batch.ops, &node.state);
            let mut legal: Vec<State> = pending.iter().flat_map(|old| legal_between(old, &new)).collect();
            legal.push(node.state.clone());
            legal.iter_mut().for_each(|state| state.content = Vec::new());
            for op in &batch.ops {
                at(&node.disk, op, &legal);
                node.disk.perform(op);
            }
            let _ = node.journal.handle_batch_done();
        }
        let recovered = node.disk.recover(OnDamage::Refuse).expect("whole").finish();
        node.state.content = shown(&node.disk.cache, &recovered.0, &recovered.1).content;
        assert_eq!(shown(&node.disk.cache, &recovered.0, &recovered.1), node.state);
    }
}

/// What the disk shows once the batch is there.
fn expected(disk: &Disk, ops: &[DiskOp], fallback: &State) -> State {
    let mut after = disk.clone();
    after.perform_all(ops);
    let Ok(recovery) = after.recover(OnDamage::Refuse) else { return fallback.clone() };
    let (journal, restored) = recovery.finish();
    shown(&after.cache, &journal, &restored)
}

#[test]
fn any_crash_shows_a_state_before_or_after_and_recovery_may_crash_too() {
    let mut node = Node::start(Disk::initialised());
    let (mut dice, mut moments, mut orphans) = (0x5EED, 0, 0);
    carry_out(&mut node, script(), &mut |disk, op, legal| {
        for crashed in crashes(disk, op, &mut dice) {
            // The content of each legal state is that of its snapshot, which recovery has checked by digest.
            let recovery = crashed.recover(OnDamage::Refuse).expect("a crash is not damage");
            let (journal, restored) = recovery.finish();
            let state = State { content: Vec::new(), ..shown(&crashed.cache, &journal, &restored) };
            let legal: Vec<State> =
                legal.iter().map(|state| State { content: Vec::new(), ..state.clone() }).collect();
            assert!(legal.contains(&state), "{op:?}: {state:?}\nis none of\n{legal:#?}");
            moments += 1;
            if moments % 7 == 0 {
                let whole = State { content: shown(&crashed.cache, &journal, &restored).content, ..state };
                orphans += check(&crashed, &with_any_content(&legal, &whole), &mut dice).orphans;
            }
        }
    });
    assert!(moments > 800 && orphans > 10, "{moments} {orphans}");
    let names: Vec<_> = node.disk.cache.keys().filter(|name| name.starts_with("snapshot")).collect();
    assert_eq!(names.len(), 1, "{names:?}");
    assert_eq!(node.state.log.len(), 5);
}

fn with_any_content(legal: &[State], shown: &State) -> Vec<State> {
    let same = |state: &State| state.snapshot == shown.snapshot;
    let of = |state: &State| State { content: shown.content.clone(), ..state.clone() };
    legal.iter().filter(|state| same(state)).map(of).collect()
}

#[derive(Debug, Default)]
struct Score {
    harmless: u64,
    refused: u64,
    lost: u64,
}

fn judge(files: &Files, state: &State, score: &mut Score) {
    match Recovery::start(config(), files, OnDamage::Refuse) {
        Ok(recovery) => {
            let (journal, restored) = recovery.finish();
            let same = shown(files, &journal, &restored) == *state;
            *(if same { &mut score.harmless } else { &mut score.lost }) += 1;
        }
        Err(error) => {
            score.refused += 1;
            assert!(!matches!(error, RestoreError::NotInitialised), "{error}");
            // Abstaining where that is possible: an empty log, or a beginning of this one, and whole again afterwards.
            let Ok(recovery) = Recovery::start(config(), files, OnDamage::Abstain) else { return };
            let mut disk = Disk::of(files);
            disk.perform_all(recovery.ops());
            let (journal, restored) = recovery.finish();
            let left = shown(&disk.cache, &journal, &restored);
            assert!(left.hard_state.abstaining);
            let is_beginning = left.snapshot == state.snapshot && state.log.starts_with(&left.log);
            let is_nothing = left.snapshot.is_none() && left.log.is_empty() && left.base == LogId::default();
            let is_older = left.base < state.base && left.snapshot.is_none();
            assert!(is_beginning || is_nothing || is_older, "{error}: {left:?}");
            let mut node = Node::start(disk);
            assert_eq!(node.state, left);
            node.append(9, 100);
            node.settle();
            assert_eq!(Node::start(node.disk).state, node.state);
        }
    }
}

#[test]
fn every_damage_to_a_compacted_directory_is_repaired_or_refused() {
    let mut node = Node::start(Disk::initialised());
    carry_out(&mut node, script(), &mut |_, _, _| {});
    node.journal.seal();
    node.settle();
    let mut score = Score::default();
    for (name, bytes) in &node.disk.cache {
        let mut missing = node.disk.cache.clone();
        missing.remove(name);
        judge(&missing, &node.state, &mut score);
        for at in (0..bytes.len()).step_by(512) {
            let mut files = node.disk.cache.clone();
            files.get_mut(name).expect("exists")[at..at + 512].fill(0);
            judge(&files, &node.state, &mut score);
            let step = if bytes[at..at + 512].iter().any(|byte| *byte != 0) { 3 } else { 173 };
            for place in (at..at + 512).step_by(step) {
                let mut files = node.disk.cache.clone();
                files.get_mut(name).expect("exists")[place] ^= [1, 0x80, 0xFF][place % 3];
                judge(&files, &node.state, &mut score);
            }
            let mut cut = node.disk.cache.clone();
            cut.get_mut(name).expect("exists").truncate(at + 77);
            judge(&cut, &node.state, &mut score);
        }
    }
    assert_eq!(score.lost, 0, "{score:?}");
    assert!(score.harmless > 500 && score.refused > 500, "{score:?}");
}

/// What a disk refuses to read now it may read another time: a start ends with that, and throws nothing away, not even
/// where damage would make the node abstain.
#[test]
fn a_read_that_fails_at_a_start_is_no_damage() {
    struct Refuses<'a>(&'a Files, core::cell::Cell<u64>);
    impl Directory for Refuses<'_> {
        fn names(&self) -> Result<Vec<std::string::String>, ReadFailed> {
            self.0.names()
        }

        fn read(&self, file: &str, offset: u64, bytes: u64) -> Result<Vec<u8>, ReadFailed> {
            let left = self.1.get();
            self.1.set(left.wrapping_sub(1));
            if left == 0 {
                Err(ReadFailed::Failed("I/O error".into()))
            } else {
                self.0.read(file, offset, bytes)
            }
        }
    }
    let mut node = Node::start(Disk::initialised());
    carry_out(&mut node, script(), &mut |_, _, _| {});
    let mut refused = 0;
    for failing in 0.. {
        let disk = Refuses(&node.disk.cache, core::cell::Cell::new(failing));
        match Recovery::start(config(), &disk, OnDamage::Abstain) {
            Ok(_) if failing > disk.1.get() => break,
            Err(RestoreError::Unreadable { .. }) => refused += 1,
            other => panic!("read {failing} failed: {:?}", other.map(|recovery| recovery.report().clone())),
        }
    }
    assert!(refused >= 8, "{refused} reads");
}

/// Reads every range of a log that was overwritten and compacted, and compares with what was written.
#[test]
fn every_range_of_the_log_is_read_back() {
    let mut node = Node::start(Disk::initialised());
    for index in 1..=60 {
        node.append(1 + (index - 1) / 17, 300);
        if index % 3 == 0 {
            node.settle();
        }
        if index % 17 == 0 {
            let from = Index(index - 4);
            let append = (from.0..=index).map(|at| entry(1 + index / 17, at, 100)).collect();
            node.submit(Write { truncate_from: Some(from), append, ..Write::default() });
        }
    }
    node.settle();
    let (ops, written) = node.write_snapshot(node.state.log[9].id(), b"x");
    node.disk.perform_all(&ops);
    node.journal.handle_snapshot_written(&written);
    let discard = Discard { snapshot: written.meta().clone(), through: node.state.log[7].id() };
    node.submit(Write { discard_through: Some(Box::new(discard)), ..Write::default() });
    node.settle();
    node.state.content = b"x".to_vec();
    check_loads(&node);
    let restarted = Node::start(node.disk.clone());
    assert_eq!(restarted.state, node.state);
    check_loads(&restarted);
}

fn check_loads(node: &Node) {
    let log = &node.state.log;
    let mut runs: Vec<LogId> = Vec::new();
    for entry in log {
        if runs.last().is_none_or(|run| run.term < entry.term) {
            runs.push(entry.id());
        }
    }
    let mut reads = 0_u64;
    for from in 0..log.len() {
        for (through, bytes_max) in [(from, u64::MAX), (log.len() - 1, 1_000), (log.len() - 1, u64::MAX)] {
            let wanted = Wanted::Entries {
                from: log[from].index,
                through: log[through].index,
                runs: runs.clone(),
                bytes_max,
            };
            let plan = node.journal.plan_load(&LoadRequest { number: 1, wanted });
            let loaded = plan.run(&mut |file, offset, bytes| {
                reads += 1;
                assert!(bytes <= 64 << 10, "pieces are small");
                node.disk.cache.read(file, offset, bytes)
            });
            let Loaded::Entries(entries) = loaded else { panic!("{loaded:?} from {}", log[from].index) };
            assert!(log[from..=through].starts_with(&entries), "from {}", log[from].index);
            let size = crate::entry::entries_size(&entries);
            assert!(size <= bytes_max || entries.len() == 1);
            assert!(entries.len() == through - from + 1 || bytes_max == 1_000);
        }
    }
    assert!(reads > 0);
}

/// A load reads what it gives, and a few pieces more: the way from the sample before it, and a batch that was cut.
#[test]
fn a_load_reads_each_byte_about_once() {
    let mut node = Node::start(Disk::initialised());
    for _ in 0..600 {
        node.append(1, 700);
        node.settle();
    }
    let log = &node.state.log;
    let wanted = Wanted::Entries {
        from: log[0].index,
        through: log[599].index,
        runs: vec![log[0].id()],
        bytes_max: u64::MAX,
    };
    let mut bytes_read = 0;
    let plan = node.journal.plan_load(&LoadRequest { number: 1, wanted });
    let loaded = plan.run(&mut |file, offset, bytes| {
        let read = node.disk.cache.read(file, offset, bytes)?;
        bytes_read += read.len() as u64;
        Ok(read)
    });
    let Loaded::Entries(entries) = loaded else { panic!("{loaded:?}") };
    assert_eq!(entries.len(), 600);
    let on_disk: u64 = node
        .disk
        .cache
        .iter()
        .filter(|(name, _)| name.starts_with("segment-"))
        .map(|(_, file)| file.len() as u64)
        .sum();
    assert!(bytes_read <= on_disk + on_disk / 16, "{bytes_read} bytes read of {on_disk} on the disk");
}

/// Memory is bounded whatever the log's length: a segment at a time, and the newest entries only.
#[test]
fn recovery_keeps_no_more_than_its_budget() {
    struct Watched<'a>(&'a Files, core::cell::Cell<u64>);
    impl Directory for Watched<'_> {
        fn names(&self) -> Result<Vec<std::string::String>, crate::journal::ReadFailed> {
            self.0.names()
        }

        fn read(&self, file: &str, offset: u64, bytes: u64) -> Result<Vec<u8>, crate::journal::ReadFailed> {
            let read = self.0.read(file, offset, bytes)?;
            self.1.set(self.1.get().max(read.len() as u64));
            Ok(read)
        }
    }
    let mut node = Node::start(Disk::initialised());
    for index in 1..=1_000 {
        node.append(1 + index / 400, 400);
        if index % 5 == 0 {
            node.settle();
        }
    }
    node.settle();
    let budget = JournalConfig { recovered_bytes_max: 4_000, ..config() };
    let watched = Watched(&node.disk.cache, core::cell::Cell::new(0));
    let recovery = Recovery::start(budget, &watched, OnDamage::Refuse).expect("whole");
    let (_, restored) = recovery.finish();
    let kept = crate::entry::entries_size(&restored.entries);
    assert!(kept <= 4_000 && kept > 3_000, "{kept} bytes of entries are kept");
    assert_eq!((restored.last, restored.runs.len()), (id(3, 1_000), 3));
    assert!(watched.1.get() <= 32 << 10, "{} bytes were read at once", watched.1.get());
    let log_bytes: usize = node.disk.cache.values().map(Vec::len).sum();
    assert!(log_bytes > 100 * 4_000, "{log_bytes}");
}
