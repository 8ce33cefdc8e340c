//! The node's host: its clock, its disk (real journal bytes in memory), and what it sent and received.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use raft_core::journal::{Files, Journal, JournalConfig, OnDamage, Recovery, initialise};
use raft_core::message::SnapshotChunk;
use raft_core::{
    Action, Boot, Config, Configuration, Durable, Envelope, HardState, Identity, Index, Instant, Member,
    Message, Persist, Raft, Restored, Span, Write, wire,
};

use super::super::disk::{Model, after_next_batch, perform_all};
use super::contract::Contract;
use super::followers::Mail;
use super::sending::Sending;
use super::snapshots::Snapshots;

const JOURNAL: JournalConfig =
    JournalConfig { segment_bytes: 8_192, batch_bytes_max: 1_024, recovered_bytes_max: u64::MAX };
/// Messages remembered, each way.
const REMEMBERED_MAX: usize = 48;
/// No event may give more work than this.
const ACTIONS_MAX: usize = 10_000;

pub(super) struct Host {
    pub(super) config: Config,
    seed: u64,
    pub(super) raft: Raft,
    pub(super) journal: Journal,
    pub(super) files: Files,
    pub(super) now: Instant,
    pub(super) snapshots: Snapshots,
    /// Handed to the journal, and not on the disk.
    unsynced: VecDeque<Persist>,
    /// On the disk, and the core was not told.
    untold: VecDeque<(Durable, Vec<Write>)>,
    /// The last one told, to be told again.
    last_told: Option<Durable>,
    /// What is on the disk.
    disk: Model,
    /// The disk after each batch ever written: where damage may throw its log back to.
    past: Vec<Model>,
    /// What the core knows to be on the disk: all that it may promise.
    told: Model,
    sent: VecDeque<Envelope>,
    /// What peers have not read yet.
    pub(super) mail: Mail,
    heard: VecDeque<Envelope>,
    /// The highest boot that each member claimed.
    boots: BTreeMap<Member, Boot>,
    contract: Contract,
    pub(super) sending: Sending,
}

impl Host {
    pub(super) fn new(config: Config, identity: Identity, founding: &Configuration, seed: u64) -> Host {
        let mut files = Files::new();
        perform_all(&mut files, &initialise(identity, founding));
        let recovery =
            Recovery::start(JOURNAL, &files, OnDamage::Refuse).expect("it was initialised just now");
        perform_all(&mut files, recovery.ops());
        let (journal, restored) = recovery.finish();
        let disk = Model::of(&restored);
        let raft = Raft::new(config.clone(), restored, Instant(0), seed).expect("the settings are valid");
        Host {
            contract: Contract::new(&raft),
            config,
            seed,
            raft,
            journal,
            files,
            now: Instant(0),
            unsynced: VecDeque::new(),
            untold: VecDeque::new(),
            last_told: None,
            told: disk.clone(),
            disk,
            past: vec![Model::default()],
            snapshots: Snapshots::default(),
            sent: VecDeque::new(),
            mail: Mail::default(),
            sending: Sending::default(),
            heard: VecDeque::new(),
            boots: BTreeMap::new(),
        }
    }

    /// Performs actions, at most so many; then everything that must hold is checked.
    pub(super) fn poll(&mut self, actions_max: usize) {
        let mut count = 0;
        while count < actions_max {
            let Some(action) = self.raft.poll_action() else {
                if let Err(broken) = self.raft.check_silence() {
                    panic!("invariant: {broken}");
                }
                break;
            };
            count += 1;
            assert!(count < ACTIONS_MAX, "the node never runs out of actions; the last is {action:?}");
            self.contract.check_action(&action, &self.raft, &self.told);
            match action {
                Action::Send(envelope) => {
                    let bytes = wire::to_bytes(&envelope);
                    assert_eq!(
                        wire::from_bytes(&bytes).as_ref(),
                        Ok(&envelope),
                        "it can't be read when it arrives"
                    );
                    self.sending.note_sent(&envelope, &self.raft, &self.config);
                    self.mail.put(&envelope);
                    remember(&mut self.sent, envelope);
                }
                Action::Persist(persist) => {
                    assert!(!persist.write.is_empty(), "a write of nothing");
                    self.journal.submit(persist.clone());
                    self.unsynced.push_back(persist);
                }
                Action::Receive(chunk) => {
                    self.journal.receive(&chunk);
                    while let Some(job) = self.journal.poll_receive() {
                        perform_all(&mut self.files, &job.ops);
                        if let Some(received) = self.journal.handle_receive_done() {
                            self.raft.handle_received(self.now, received);
                        }
                    }
                }
                Action::Restore(snapshot) => self.note_restore(&snapshot),
                Action::Load(request) => self.note_load(request),
                Action::Apply(_)
                | Action::ReadReady(..)
                | Action::ReadFailed(..)
                | Action::Lost(_)
                | Action::Unknown(_)
                | Action::RoleChanged(_) => {}
            }
        }
        if let Err(broken) = self.raft.check_invariants() {
            panic!("invariant: {broken}");
        }
        self.sending.note_state(&self.raft, self.contract.commit());
        self.contract.check_state(&self.raft, &self.told);
    }

    /// After an event: all actions, or only some, since a host may be slow.
    pub(super) fn poll_some(&mut self, flags: u8) {
        self.poll(if flags >> 5 == 7 { usize::from(flags & 7) } else { usize::MAX });
    }

    pub(super) fn tick(&mut self, span: Span) {
        self.now = self.now.plus(span);
        self.raft.tick(self.now);
        self.poll(usize::MAX);
        if let Some(next) = self.raft.next_tick() {
            assert!(next > self.now, "a tick at {next} was due, and the tick at {} did not do it", self.now);
        }
    }

    /// A clock that goes back counts as one that stands still.
    pub(super) fn clock_back(&mut self, micros: u64) {
        self.raft.tick(Instant(self.now.0.saturating_sub(micros)));
        self.poll(usize::MAX);
    }

    pub(super) fn receive(&mut self, envelope: Envelope, flags: u8) {
        self.contract.note_received(&envelope);
        remember(&mut self.heard, envelope.clone());
        let boot = self.boots.entry(envelope.from).or_default();
        *boot = (*boot).max(envelope.from_boot);
        let before = self.raft.status();
        let result = self.raft.handle_message(self.now, envelope.clone());
        self.sending.note_received(&envelope, &result, &self.raft);
        if result.is_err() {
            let after = self.raft.status();
            assert_eq!(
                (before.last, before.commit),
                (after.last, after.commit),
                "a refused message is dropped"
            );
        }
        self.poll_some(flags);
    }

    /// What it sent, the newest first.
    pub(super) fn sent(&self, back: usize) -> Option<&Envelope> {
        self.sent.iter().rev().nth(back)
    }

    /// The newest piece of a snapshot that it sent to a member.
    pub(super) fn newest_piece_to(&self, to: Member) -> Option<&SnapshotChunk> {
        self.sent.iter().rev().filter(|envelope| envelope.to == to).find_map(|envelope| {
            if let Message::SnapshotChunk(piece) = &envelope.message { Some(piece) } else { None }
        })
    }

    /// The highest boot that a member claimed to be in.
    pub(super) fn highest_boot(&self, member: Member) -> Boot {
        self.boots.get(&member).copied().unwrap_or_default()
    }

    /// What it received, the newest first.
    pub(super) fn received(&self, back: usize) -> Option<Envelope> {
        let length = self.heard.len();
        self.heard.iter().rev().nth(back % length.max(1)).cloned()
    }

    /// The disk performs batches.
    pub(super) fn sync(&mut self, batches_max: usize) {
        for _ in 0..batches_max {
            let Some(batch) = self.journal.poll_batch() else { break };
            perform_all(&mut self.files, &batch.ops);
            let Some(done) = self.journal.handle_batch_done() else { continue };
            let mut writes = Vec::new();
            loop {
                let persist = self.unsynced.pop_front().expect("a batch is made of writes");
                self.disk.apply(&persist.write);
                let is_last = persist.durable() == done;
                writes.push(persist.write);
                if is_last {
                    break;
                }
            }
            self.note_log();
            self.untold.push_back((done, writes));
        }
    }

    fn note_log(&mut self) {
        if self.past.last().is_none_or(|last| !last.same_log(&self.disk)) {
            self.past.push(self.disk.clone());
        }
    }

    /// The core is told of batches: of each, or of the last only, or of the last time once more.
    pub(super) fn tell(&mut self, batches_max: usize, flags: u8) {
        if flags >> 6 == 3
            && let Some(again) = self.last_told
        {
            self.raft.handle_durable(self.now, again);
            self.poll(usize::MAX);
        }
        let count = self.untold.len().min(batches_max);
        for number in 1..=count {
            let Some((done, writes)) = self.untold.pop_front() else { break };
            for write in &writes {
                self.told.apply(write);
            }
            self.last_told = Some(done);
            if flags & 1 == 0 || number == count {
                self.raft.handle_durable(self.now, done);
                self.poll_some(flags);
            }
        }
    }

    pub(super) fn seal(&mut self) {
        self.journal.seal();
        self.sync(usize::MAX);
    }

    pub(super) fn propose(&mut self, bytes: usize, flags: u8) {
        let result = self.raft.propose(self.now, Bytes::from(vec![flags; bytes]));
        if let Ok(id) = result {
            assert!(self.raft.is_leader(), "only a leader accepts");
            self.contract.note_proposed(id);
        }
        self.poll_some(flags);
    }

    pub(super) fn read(&mut self, flags: u8) {
        let (commit, term) = (self.raft.status().commit, self.raft.term());
        let is_leader = self.raft.is_leader();
        if let Ok(read) = self.raft.read(self.now) {
            self.contract.note_read(read, commit, is_leader.then_some(term));
        }
        self.poll_some(flags);
    }

    /// Confirms what was applied: all of it, some, or more than there is.
    pub(super) fn confirm_applied(&mut self, how: u8, by: u8) {
        if self.snapshots.is_restoring() {
            return self.restore();
        }
        let status = self.raft.status();
        let through = match how % 4 {
            0 | 1 => status.applying,
            2 => Index((status.applied.0 + u64::from(by)).min(status.applying.0)),
            _ => Index(u64::MAX - u64::from(by)),
        };
        self.raft.handle_applied(through);
        self.poll(usize::MAX);
    }

    /// Nothing leaves a node whose disk failed.
    pub(super) fn fail_disk(&mut self) -> bool {
        self.raft.handle_disk_failed();
        assert_eq!((self.raft.poll_action(), self.raft.next_tick()), (None, None));
        assert!(self.raft.propose(self.now, Bytes::new()).is_err() && self.raft.read(self.now).is_err());
        self.crash(0, 0, None)
    }

    /// The process ends in the middle of a batch, perhaps a byte decays meanwhile, and the node starts again, perhaps
    /// at the second attempt. False: it refuses to, as it may with damage.
    pub(super) fn crash(&mut self, ops: usize, recovery_ops: usize, flip: Option<(usize, u8)>) -> bool {
        self.sending.note_crash();
        let batch = self.journal.poll_batch();
        let mut legal = vec![self.disk.clone()];
        if let Some(batch) = batch {
            let part = batch.ops.len().min(ops);
            perform_all(&mut self.files, &batch.ops[..part]);
            legal.extend(after_next_batch(&self.disk, &self.journal, &self.unsynced));
        }
        if let Some((place, bit)) = flip {
            decay(&mut self.files, place, bit);
        }
        let on_damage = if flip.is_some() { OnDamage::Abstain } else { OnDamage::Refuse };
        let first = match Recovery::start(JOURNAL, &self.files, on_damage) {
            Ok(recovery) => recovery,
            Err(error) => {
                assert!(flip.is_some(), "nothing is damaged, and yet: {error}");
                return false;
            }
        };
        if recovery_ops < first.ops().len() && recovery_ops > 0 {
            perform_all(&mut self.files, &first.ops()[..recovery_ops]);
        }
        let recovery =
            Recovery::start(JOURNAL, &self.files, on_damage).expect("a recovery survives its own crash");
        perform_all(&mut self.files, recovery.ops());
        let is_cut = recovery.report().damaged_at.is_some() || first.report().damaged_at.is_some();
        let (journal, restored) = recovery.finish();
        self.check_recovered(&Model::of(&restored), &legal, is_cut);
        self.restart(journal, restored);
        true
    }

    fn check_recovered(&self, found: &Model, legal: &[Model], is_cut: bool) {
        let whole = |model: &Model| model == found;
        // The log ends where the damage is, so it is as it was before that batch; what was overwritten may be back. No
        // harm is done: the node abstains, and acknowledges only what a leader confirms.
        let same_hard_state =
            |model: &Model| found.hard_state == HardState { abstaining: true, ..model.hard_state };
        // A snapshot that is needed and is damaged, or gone by now, is a hole from the beginning.
        let is_past = || self.past.iter().chain(legal).any(|model| model.same_log(found)) || found.is_bare();
        let cut = || legal.iter().any(same_hard_state) && is_past();
        let holds = legal.iter().any(whole) || (is_cut && cut());
        assert!(holds, "recovered {found:?}, with damage {is_cut}; legal is {legal:?}");
    }

    fn restart(&mut self, journal: Journal, restored: Restored) {
        self.disk = Model::of(&restored);
        self.note_log();
        self.told = self.disk.clone();
        self.journal = journal;
        self.unsynced.clear();
        self.untold.clear();
        self.snapshots = Snapshots::default();
        self.mail = Mail::default();
        let boot = self.raft.boot();
        self.raft =
            Raft::new(self.config.clone(), restored, self.now, self.seed).expect("the settings are valid");
        assert!(self.raft.boot() > boot, "boots are counted");
        self.contract.restart(&self.raft);
        // What was made in an earlier boot is void.
        if let Some(old) = self.last_told.take() {
            let before = self.raft.status();
            self.raft.handle_durable(self.now, old);
            assert_eq!(self.raft.status(), before);
        }
        self.poll(usize::MAX);
    }
}

fn remember(messages: &mut VecDeque<Envelope>, envelope: Envelope) {
    if messages.len() == REMEMBERED_MAX {
        messages.pop_front();
    }
    messages.push_back(envelope);
}

/// A bit of a used sector of a segment or a snapshot flips: hard states are in two copies, and losing both is refused.
fn decay(files: &mut Files, place: usize, bit: u8) {
    let decays = |name: &str| name.starts_with("segment-") || name.starts_with("snapshot-");
    let mut files: Vec<&mut Vec<u8>> =
        files.iter_mut().filter(|(name, _)| decays(name)).map(|(_, bytes)| bytes).collect();
    let count = files.len().max(1);
    let Some(bytes) = files.get_mut(place % count) else { return };
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    if let Some(byte) = bytes.get_mut(place / count % used.max(1)) {
        *byte ^= bit;
    }
}
