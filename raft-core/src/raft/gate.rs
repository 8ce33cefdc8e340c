//! What is being written, what is durable, and which messages wait for it.
//!
//! ```text
//!            durable <= handed out < next
//!   ──────────┼────────────┼──────────┼──────>  numbers of writes
//!    synced     under way    gathered
//! ```

use alloc::boxed::Box;

use crate::message::Envelope;
use crate::raft::log::Log;
use crate::raft::queue::Queue;
use crate::snapshot::{Discard, SnapshotMeta};
use crate::types::{Boot, Index, Instant, Span, Term};
use crate::write::{Durable, HardState, Persist, Write};

/// Held messages at most. One more drops the oldest, which is no worse than a lost datagram.
const HELD_MAX: usize = 256;

/// A write handed out and not yet durable.
#[derive(Clone, Debug)]
struct Unsynced {
    number: u64,
    handed_out: Instant,
    /// When it became the oldest one. Until then the disk worked on others, which is no fault of its own.
    oldest_since: Instant,
    /// How often something had become durable by then.
    completions: u64,
    bytes: u64,
    /// The last index that is durable once this write is. Lowered when the log is truncated meanwhile: what was
    /// overwritten is not made durable by the sync of what it overwrote.
    log_through: Index,
}

/// A message that must not leave before a write is durable.
#[derive(Clone, Debug)]
struct Held {
    needs: u64,
    term: Term,
    envelope: Envelope,
}

/// Changes that come with snapshots.
#[derive(Clone, Debug, Default)]
struct Snapshots {
    install: Option<Box<SnapshotMeta>>,
    discard: Option<Box<Discard>>,
}

/// Tracks writes from "changed in memory" to "synced".
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    boot: Boot,
    /// The number of the write now being gathered.
    next: u64,
    /// Everything through this write is synced.
    durable: u64,
    /// How often something became durable.
    completions: u64,
    /// How long the disk worked on what became durable last.
    last_took: Span,
    /// The write that carries the latest hard state.
    hard_state_write: u64,
    /// The write that carries the latest change of the term.
    term_write: u64,
    hard_state_changed: bool,
    truncate_from: Option<Index>,
    /// What of snapshots is gathered, if anything is.
    snapshots: Option<Box<Snapshots>>,
    /// The end of the log as handed out so far; with an install at hand, the snapshot's last entry.
    handed_out_through: Index,
    unsynced: Queue<Unsynced>,
    unsynced_bytes: u64,
    /// The log is durable through here. Invariant: never above the end of the log.
    log_durable: Index,
    held: Queue<Held>,
}

impl Gate {
    /// A gate over a disk whose log ends at `log_end`, all of it synced.
    pub(crate) fn new(boot: Boot, log_end: Index) -> Gate {
        Gate {
            boot,
            next: 1,
            durable: 0,
            completions: 0,
            last_took: Span(0),
            hard_state_write: 0,
            term_write: 0,
            hard_state_changed: false,
            truncate_from: None,
            snapshots: None,
            handed_out_through: log_end,
            unsynced: Queue::default(),
            unsynced_bytes: 0,
            log_durable: log_end,
            held: Queue::default(),
        }
    }

    /// Keeps no more room than what is here takes.
    pub(crate) fn let_go_of_room(&mut self) {
        self.unsynced.let_go_of_room();
        self.held.let_go_of_room();
    }

    /// Notes a changed hard state.
    pub(crate) fn hard_state_changed(&mut self, term_changed: bool) {
        self.hard_state_changed = true;
        self.hard_state_write = self.next;
        if term_changed {
            self.term_write = self.next;
        }
    }

    /// Notes that the log lost `from` and everything after it.
    pub(crate) fn truncated(&mut self, from: Index) {
        let end = from.previous();
        self.log_durable = self.log_durable.min(end);
        for write in self.unsynced.iter_mut() {
            write.log_through = write.log_through.min(end);
        }
        if self.handed_out_through >= from {
            self.handed_out_through = end;
            self.truncate_from = Some(self.truncate_from.map_or(from, |earlier| earlier.min(from)));
        }
    }

    /// Notes that a received snapshot took the place of the whole log. What is on disk of the old log agrees with the
    /// new one through `agreed` only, and the rest of it is worth nothing from here on.
    pub(crate) fn install(&mut self, snapshot: SnapshotMeta, agreed: Index) {
        self.log_durable = self.log_durable.min(agreed);
        for write in self.unsynced.iter_mut() {
            write.log_through = write.log_through.min(agreed);
        }
        self.truncate_from = None;
        self.handed_out_through = snapshot.last.index;
        let gathered = self.snapshots.get_or_insert_default();
        gathered.discard = None;
        gathered.install = Some(Box::new(snapshot));
    }

    /// Notes that the beginning of the log may go.
    pub(crate) fn discard(&mut self, discard: Discard) {
        self.snapshots.get_or_insert_default().discard = Some(Box::new(discard));
    }

    /// The log is durable through here.
    pub(crate) fn log_durable(&self) -> Index {
        self.log_durable
    }

    /// Whether the term is on disk.
    pub(crate) fn term_is_durable(&self) -> bool {
        self.durable >= self.term_write
    }

    /// Whether the hard state is on disk.
    pub(crate) fn hard_state_is_durable(&self) -> bool {
        self.durable >= self.hard_state_write
    }

    /// Whether a write and all before it are on disk.
    pub(crate) fn is_durable_through(&self, number: u64) -> bool {
        self.durable >= number
    }

    /// The write that the latest hard state is in.
    pub(crate) fn hard_state_write(&self) -> u64 {
        self.hard_state_write
    }

    /// The write that the latest term is in.
    pub(crate) fn term_write(&self) -> u64 {
        self.term_write
    }

    /// The write after which every change so far, of hard state and log, is on disk.
    pub(crate) fn everything(&self, log: &Log) -> u64 {
        match self.snapshots.as_ref().and_then(|gathered| gathered.install.as_ref()) {
            // What follows an install goes in the write after it.
            Some(install) if log.last().index > install.last.index => self.next + 1,
            Some(_) => self.next,
            None if self.is_dirty(log) => self.next,
            None => self.next - 1,
        }
    }

    /// Bytes of writes handed out and not yet synced.
    pub(crate) fn unsynced_bytes(&self) -> u64 {
        self.unsynced_bytes
    }

    /// When the oldest write was handed out, if it is behind: something became durable twice since then. Once is no sign of
    /// a queue: whatever comes while the disk is busy shares the next batch.
    pub(crate) fn behind_since(&self) -> Option<Instant> {
        let is_behind = |write: &&Unsynced| self.completions >= write.completions + 2;
        self.unsynced.front().filter(is_behind).map(|write| write.handed_out)
    }

    /// Since when nothing became durable, though a write is under way.
    pub(crate) fn no_progress_since(&self) -> Option<Instant> {
        self.unsynced.front().map(|write| write.oldest_since)
    }

    /// How long the disk worked on what became durable last.
    pub(crate) fn last_took(&self) -> Span {
        self.last_took
    }

    fn is_dirty(&self, log: &Log) -> bool {
        self.hard_state_changed
            || self.truncate_from.is_some()
            || log.last().index > self.handed_out_through
            || self.snapshots.is_some()
    }

    /// Hands out everything gathered so far as one write.
    pub(crate) fn poll_persist(
        &mut self,
        now: Instant,
        hard_state: HardState,
        log: &mut Log,
    ) -> Option<Persist> {
        if !self.is_dirty(log) {
            return None;
        }
        let Snapshots { install, mut discard } =
            self.snapshots.take().map(|gathered| *gathered).unwrap_or_default();
        // An install closes its write.
        let end = install.as_ref().map_or(log.last().index, |snapshot| snapshot.last.index);
        let (append, bytes) = log.slice(self.handed_out_through.next(), end, u64::MAX, 0);
        let write = Write {
            hard_state: self.hard_state_changed.then_some(hard_state),
            truncate_from: self.truncate_from.take_if(|_| install.is_none()),
            append,
            discard_through: discard.take_if(|_| install.is_none()),
            install,
        };
        if let Some(later) = discard {
            self.discard(*later);
        }
        let number = self.next;
        self.unsynced.push_back(Unsynced {
            number,
            handed_out: now,
            oldest_since: now,
            completions: self.completions,
            bytes,
            log_through: end,
        });
        self.unsynced_bytes += bytes;
        self.hard_state_changed = false;
        self.handed_out_through = end;
        self.next += 1;
        Some(Persist { boot: self.boot, number, write })
    }

    /// A write and all before it are synced. Says whether that is news.
    pub(crate) fn handle_durable(&mut self, now: Instant, done: Durable) -> bool {
        if done.boot != self.boot || done.number <= self.durable || done.number >= self.next {
            return false;
        }
        self.durable = done.number;
        self.completions += 1;
        self.last_took = self.no_progress_since().map_or(Span(0), |since| now.since(since));
        while self.unsynced.front().is_some_and(|write| write.number <= done.number) {
            let Some(write) = self.unsynced.pop_front() else { break };
            self.unsynced_bytes -= write.bytes;
            self.log_durable = self.log_durable.max(write.log_through);
        }
        if let Some(oldest) = self.unsynced.iter_mut().next() {
            oldest.oldest_since = now;
        }
        true
    }

    /// Keeps a message until a write is durable. A newer message of the same kind to the same member replaces it; of
    /// answers to numbered questions of one boot, the one to the highest question stays, whatever order they came in.
    pub(crate) fn hold(&mut self, needs: u64, term: Term, envelope: Envelope) {
        let same = |held: &Held| {
            held.envelope.to == envelope.to && held.envelope.message.name() == envelope.message.name()
        };
        let is_overtaken = |held: &Held| {
            held.term == term
                && held.envelope.to_boot == envelope.to_boot
                && held.envelope.message.answered_question() > envelope.message.answered_question()
        };
        if self.held.iter().any(|held| same(held) && is_overtaken(held)) {
            return;
        }
        self.held.retain(|held| !same(held));
        if self.held.len() == HELD_MAX {
            self.held.pop_front();
        }
        self.held.push_back(Held { needs, term, envelope });
    }

    /// The next held message whose writes are durable. Those of another term are dropped: what they promised may
    /// have been overtaken.
    pub(crate) fn poll_held(&mut self, term: Term) -> Option<Envelope> {
        if self.held.is_empty() {
            return None;
        }
        self.held.retain(|held| held.term == term);
        let ready = self.held.iter().position(|held| held.needs <= self.durable)?;
        self.held.remove(ready).map(|held| held.envelope)
    }
}
