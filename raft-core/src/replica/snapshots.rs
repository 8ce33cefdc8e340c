//! Snapshots of the replica: when one is taken, what is in it, and how it becomes the state again.
//!
//! ```text
//! content = length of the session table (8 bytes, little-endian), session table, the state machine's own bytes
//! ```

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use core::fmt;

use super::sessions::Sessions;
use super::{ActionOf, Outcome, Replica, ReplicaAction, StateMachine, StopReason};
use crate::journal::{
    DiskOp, LoadPlan, ReadBytes, RestorePlan, SnapshotPlan, SnapshotWriteError, WrittenSnapshot,
};
use crate::load::{LoadRequest, Loaded};
use crate::membership::Configuration;
use crate::snapshot::{Sink, Source, SourceError};
use crate::types::{Instant, LogId};

/// A snapshot to be written, on whatever thread: hand the result to `handle_snapshot_written`.
#[derive(Clone)]
pub struct SnapshotJob<I> {
    plan: SnapshotPlan,
    last: LogId,
    configuration: Configuration,
    sessions: Sessions,
    image: I,
    write: fn(&I, &mut dyn Sink),
}

impl<I> fmt::Debug for SnapshotJob<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "snapshot of {}", self.last)
    }
}

impl<I> SnapshotJob<I> {
    /// The last entry that it covers.
    #[must_use]
    pub fn last(&self) -> LogId {
        self.last
    }

    /// Writes and syncs the file. `perform` does one operation on the data directory, as for a batch; the operations
    /// belong to a file that nothing else writes, so they may run beside the batches.
    ///
    /// # Errors
    /// That of `perform`, after which the node must be told that its disk failed; or the state machine wrote
    /// different bytes the second time that it was asked.
    pub fn write<E>(
        &self,
        perform: &mut dyn FnMut(DiskOp) -> Result<(), E>,
    ) -> Result<WrittenSnapshot, SnapshotWriteError<E>> {
        let sessions = self.sessions.encode();
        let content = |out: &mut dyn Sink| {
            out.write(&(sessions.len() as u64).to_le_bytes());
            out.write(&sessions);
            (self.write)(&self.image, out);
        };
        self.plan.write(self.last, &self.configuration, &content, perform)
    }
}

/// A snapshot to be read into a state machine, on whatever thread: hand the result to `handle_restored`.
#[derive(Clone, Debug)]
pub struct RestoreJob {
    plan: RestorePlan,
    last: LogId,
    sessions_max: usize,
    session_bytes_max: u64,
}

/// A state as a snapshot had it.
#[derive(Clone, Debug)]
pub struct RestoredState<S> {
    state: S,
    sessions: Sessions,
}

impl RestoreJob {
    /// Reads the snapshot. `read` gives that many bytes of a file of the data directory from an offset on.
    ///
    /// # Errors
    /// The file can't be read, is not what was written, or is not what the state machine's `restore` understands.
    pub fn read<S: StateMachine>(&self, read: &mut ReadBytes<'_>) -> Result<RestoredState<S>, SourceError> {
        let mut source = self.plan.open(read);
        let mut length = [0; 8];
        read_exactly(&mut source, &mut length)?;
        let length = u64::from_le_bytes(length);
        if length > self.plan.snapshot().length {
            return Err(SourceError { what: format!("a session table of {length} bytes") });
        }
        let mut table = vec![0; length as usize];
        read_exactly(&mut source, &mut table)?;
        let sessions = Sessions::decode(&table, self.sessions_max, self.session_bytes_max)
            .ok_or_else(|| SourceError { what: String::from("the session table can't be read") })?;
        let state = S::restore(&mut source)?;
        source.finish()?;
        Ok(RestoredState { state, sessions })
    }
}

fn read_exactly(source: &mut dyn Source, buffer: &mut [u8]) -> Result<(), SourceError> {
    if source.read(buffer)? == buffer.len() {
        Ok(())
    } else {
        Err(SourceError { what: String::from("it ends too early") })
    }
}

/// Something to be read back from the log or a snapshot, on whatever thread: hand the result to `handle_loaded`.
#[derive(Clone, Debug)]
pub struct LoadJob {
    pub(super) request: LoadRequest,
    pub(super) plan: LoadPlan,
}

/// What a [`LoadJob`] found.
#[derive(Clone, Debug)]
pub struct LoadOutcome {
    request: LoadRequest,
    loaded: Loaded,
}

impl LoadJob {
    /// Reads. `read` gives that many bytes of a file of the data directory from an offset on.
    #[must_use]
    pub fn run(&self, read: &mut ReadBytes<'_>) -> LoadOutcome {
        LoadOutcome { request: self.request.clone(), loaded: self.plan.run(read) }
    }
}

impl LoadOutcome {
    /// What was read.
    #[must_use]
    pub fn loaded(&self) -> &Loaded {
        &self.loaded
    }
}

impl<S: StateMachine> Replica<S> {
    /// Takes a snapshot as soon as it can, whatever the policy says: when there is something new to cover, none is being
    /// written or restored, and no follower is receiving the current one.
    pub fn take_snapshot(&mut self) {
        self.snapshot_wanted = true;
    }

    /// The next snapshot to take: the log has grown enough since the last one, and nothing is in the way.
    pub(super) fn poll_snapshot(&mut self) -> Option<ActionOf<S>> {
        let grown = self.raft.applied_since_snapshot() >= self.config.snapshot_after_bytes
            || self.raft.term_count() > self.config.snapshot_after_terms;
        let is_wanted = grown || self.snapshot_wanted;
        let is_new = self.applied > self.raft.snapshot_last().index;
        if !is_wanted
            || !is_new
            || self.snapshotting
            || self.restoring.is_some()
            || self.raft.is_snapshot_pinned()
        {
            return None;
        }
        let last = self.raft.id_at(self.applied)?;
        let configuration = self.raft.configuration_at(self.applied)?.clone();
        self.snapshot_wanted = false;
        self.snapshotting = true;
        Some(ReplicaAction::TakeSnapshot(SnapshotJob {
            plan: self.journal.plan_snapshot(),
            last,
            configuration,
            sessions: self.sessions.clone(),
            image: self.state.freeze(),
            write: S::write,
        }))
    }

    /// The snapshot is complete and synced, its directory too.
    pub fn handle_snapshot_written(&mut self, now: Instant, written: &WrittenSnapshot) {
        self.snapshotting = false;
        if self.stopped.is_some() {
            return;
        }
        self.advance(now);
        // Refused: one that is newer came from the leader meanwhile, or a follower needs the current one still.
        if self.raft.offer_snapshot(now, written.meta().clone()).is_ok() {
            self.journal.handle_snapshot_written(written);
        } else {
            self.journal.handle_snapshot_refused(written);
        }
        self.notice_term();
    }

    /// The snapshot could not be written, for a reason that is not the disk: the state machine's `write` gives
    /// different bytes for one image. The node stops: such a snapshot can't be checked by anyone.
    pub fn handle_snapshot_failed(&mut self, now: Instant, what: &str) {
        self.advance(now);
        self.snapshotting = false;
        self.stop(StopReason::Snapshot { what: what.to_string() });
    }

    pub(super) fn start_restoring(&mut self, last: LogId) {
        let Some(plan) = self.journal.plan_restore() else {
            return self.stop(StopReason::Snapshot { what: format!("there is none of {last}") });
        };
        self.restoring = Some(last);
        let (sessions_max, session_bytes_max) = (self.config.sessions_max, self.config.session_bytes_max);
        let job = RestoreJob { plan, last, sessions_max, session_bytes_max };
        self.out.push_back(ReplicaAction::RestoreSnapshot(job));
    }

    /// The state that a [`RestoreJob`] read, or why it could not be read: then the node stops, and a restart finds
    /// the damage.
    pub fn handle_restored(
        &mut self,
        now: Instant,
        job: &RestoreJob,
        result: Result<RestoredState<S>, SourceError>,
    ) {
        if self.stopped.is_some() {
            return;
        }
        self.advance(now);
        // Overtaken by a newer snapshot, which may have removed this one's file: its own job is under way, or comes.
        if self.restoring != Some(job.last) || self.raft.snapshot_last() > job.last {
            return;
        }
        let restored = match result {
            Ok(restored) => restored,
            Err(error) => return self.stop(StopReason::Snapshot { what: error.what }),
        };
        self.restoring = None;
        self.state = restored.state;
        self.sessions = restored.sessions;
        self.applied = job.last.index;
        self.unseen_through = self.applied;
        for ticket in self.tickets.accepted_through(self.applied) {
            self.end(ticket, Outcome::Unknown);
        }
        self.raft.handle_applied(self.applied);
        self.answer_queries();
    }

    /// What a [`LoadJob`] found. Damage stops the node; a restart repairs it with the help of its peers.
    pub fn handle_loaded(&mut self, now: Instant, outcome: LoadOutcome) {
        if self.stopped.is_some() {
            return;
        }
        self.advance(now);
        self.raft.handle_loaded(now, outcome.request, outcome.loaded);
        if self.raft.is_stopped() {
            self.stop(StopReason::Damaged);
        }
    }
}
