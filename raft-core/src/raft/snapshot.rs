//! Snapshots on this node: the state machine's own that replaces a part of the log (Raft §7), and an installed one
//! that replaces the state.

use alloc::boxed::Box;

use super::Raft;
use super::progress::Mode;
use super::role::Role;
use crate::action::Action;
use crate::error::Refused;
use crate::membership::Configuration;
use crate::snapshot::{Discard, SnapshotMeta};
use crate::types::{Index, LogId};

impl Raft {
    /// Takes a snapshot of the host's state machine: complete, checked and synced, its directory too. The log that
    /// it covers is let go, but for `trailing_entries`.
    ///
    /// # Errors
    /// [`Refused::Stopped`], or [`Refused::Snapshot`] with the reason: it is not newer than the current one, covers
    /// what is not applied, names another configuration, or a transfer holds on to the current one
    /// ([`is_snapshot_pinned`](Raft::is_snapshot_pinned)).
    pub fn offer_snapshot(&mut self, now: crate::Instant, snapshot: SnapshotMeta) -> Result<(), Refused> {
        self.advance(now);
        if self.stopped {
            return Err(Refused::Stopped);
        }
        self.check_offer(&snapshot).map_err(Refused::Snapshot)?;
        let kept = Index(snapshot.last.index.0.saturating_sub(self.config.trailing_entries));
        let through = self.log.id_at(kept.max(self.log.base().index)).unwrap_or(self.log.base());
        self.gate.discard(Discard { snapshot: snapshot.clone(), through });
        self.log.discard_through(through);
        let covered = self.configurations.partition_point(|(index, _)| *index <= through.index);
        self.configurations.drain(..covered.saturating_sub(1));
        self.applied_since_snapshot = self.unsnapshotted_bytes_after(snapshot.last.index);
        self.snapshot = Some(Box::new(snapshot));
        Ok(())
    }

    fn check_offer(&self, snapshot: &SnapshotMeta) -> Result<(), &'static str> {
        let last = snapshot.last;
        let rules = [
            (snapshot.length <= self.config.snapshot_bytes_max, "it is longer than snapshot_bytes_max"),
            (self.restoring.is_none(), "a newer one is being installed"),
            (last.index > self.snapshot_last().index, "the current one is as new"),
            (last.index <= self.applied, "it covers entries that are not applied"),
            (self.log.holds(last), "it covers an entry that the log does not hold"),
            (
                self.configuration_at(last.index) == Some(&snapshot.configuration),
                "its configuration is not the log's",
            ),
            (!self.is_snapshot_pinned(), "a follower is receiving the current one"),
        ];
        rules.into_iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, why)| Err(why))
    }

    /// Sizes of what was applied after an index, as far as it is known: the rest of the log in memory.
    fn unsnapshotted_bytes_after(&self, index: Index) -> u64 {
        let applied = self.log.iter().filter(|entry| entry.index > index && entry.index <= self.applied);
        applied.map(crate::entry::Entry::size).sum()
    }

    /// The last entry that the current snapshot covers; index 0 without one.
    #[must_use]
    pub fn snapshot_last(&self) -> LogId {
        self.snapshot.as_ref().map_or(LogId::default(), |snapshot| snapshot.last)
    }

    /// Whether a live follower is receiving the current snapshot, and the log after it is not too long yet: no new
    /// one is taken meanwhile, or the transfer would begin anew.
    #[must_use]
    pub fn is_snapshot_pinned(&self) -> bool {
        let Role::Leader(leader) = &self.role else { return false };
        let current = self.snapshot_last();
        let receives = |progress: &super::progress::Progress| {
            let is_live = self.now.since(progress.heard) < self.config.election_timeout;
            matches!(&progress.mode, Mode::Snapshot(transfer) if transfer.snapshot.last == current) && is_live
        };
        self.applied_since_snapshot <= self.config.pinned_bytes_max
            && leader.peers.iter().any(|(_, peer)| receives(peer))
    }

    /// Bytes of entries applied since the current snapshot: what a restart replays.
    #[must_use]
    pub fn applied_since_snapshot(&self) -> u64 {
        self.applied_since_snapshot
    }

    /// How many terms the log in memory has: each costs a little memory until a snapshot lets it go.
    #[must_use]
    pub fn term_count(&self) -> usize {
        self.log.run_count()
    }

    /// The term at an index of the log; none before its beginning, and beyond its end.
    #[must_use]
    pub fn id_at(&self, index: Index) -> Option<LogId> {
        self.log.id_at(index)
    }

    /// The configuration in force as of an index; none before the log's beginning.
    #[must_use]
    pub fn configuration_at(&self, index: Index) -> Option<&Configuration> {
        let after = self.configurations.partition_point(|(at, _)| *at <= index);
        after
            .checked_sub(1)
            .and_then(|at| self.configurations.get(at))
            .map(|(_, configuration)| configuration)
    }

    /// The installed snapshot, once it is durable. Nothing is applied after it before the host confirms it.
    pub(super) fn poll_restore(&mut self) -> Option<Action> {
        let is_durable = |snapshot: &SnapshotMeta| snapshot.last.index <= self.gate.log_durable();
        let snapshot = self.restoring.take_if(|snapshot| is_durable(snapshot))?;
        self.applying = snapshot.last.index;
        self.applied_since_snapshot = 0;
        self.unapplied.clear();
        // As if it filled the queue: what comes after waits for its confirmation.
        self.unapplied.push_back((snapshot.last.index, u64::MAX / 2));
        Some(Action::Restore(*snapshot))
    }
}
