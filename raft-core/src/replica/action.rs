//! What a replica asks of its host.

use super::request::{Outcome, Ticket};
use super::snapshots::{LoadJob, RestoreJob, SnapshotJob};
use super::state_machine::StateMachine;
use crate::action::RoleChange;
use crate::journal::{Batch, ReceiveJob};
use crate::message::Envelope;

/// What the host must do.
///
/// Exhaustive on purpose: a new kind of work breaks the build of every host, so that none forgets it.
#[derive(Clone, Debug)]
#[must_use]
pub enum ReplicaAction<R, A, I> {
    /// Send it.
    Send(Envelope),
    /// Perform the batch; then `handle_batch_done` or `handle_disk_failed`.
    Disk(Batch),
    /// Work on incoming snapshots, beside everything else; then `handle_receive_done`, or `handle_no_room`, or
    /// `handle_disk_failed`.
    Receive(ReceiveJob),
    /// Write a snapshot, beside everything else; then `handle_snapshot_written`, or `handle_disk_failed`, or
    /// `handle_snapshot_failed`.
    TakeSnapshot(SnapshotJob<I>),
    /// Read a snapshot into a new state; then `handle_restored`.
    RestoreSnapshot(RestoreJob),
    /// Read something back; then `handle_loaded`.
    Load(LoadJob),
    /// A request ended.
    Reply(Ticket, Outcome<R, A>),
    /// The node's role, term or leader changed.
    RoleChanged(RoleChange),
}

/// An action of a replica of a state machine.
pub type ActionOf<S> =
    ReplicaAction<<S as StateMachine>::Response, <S as StateMachine>::Answer, <S as StateMachine>::Image>;
