//! The state machine of one member: events in, actions out.

use bytes::Bytes;

use crate::action::{Action, Status};
use crate::config::Config;
use crate::error::{Refused, RestoreError, Violation};
use crate::membership::Configuration;
use crate::message::Envelope;
use crate::types::{Index, Instant, LogId, ReadId};
use crate::write::{Durable, Restored};

/// The state machine of one member.
///
/// Every method is of one of four kinds:
/// - `handle_*` takes an event: a message, a finished write, applied entries; `tick` takes the time;
/// - plain verbs take a user's command: `propose`, `read`;
/// - `poll_action` gives what the host must do;
/// - nouns are getters.
#[derive(Clone, Debug)]
pub struct Raft {
    _todo: (),
}

#[allow(missing_docs, clippy::todo, unused_variables)]
impl Raft {
    pub fn new(config: Config, disk: Restored, now: Instant, seed: u64) -> Result<Raft, RestoreError> {
        todo!()
    }
    /// Takes a message off the network.
    pub fn handle_message(&mut self, now: Instant, envelope: Envelope) -> Result<(), Violation> {
        todo!()
    }
    /// Whether the envelope is addressed to this member, cluster and boot. `Ok(false)`: an answer to an earlier boot, dropped.
    pub fn admit(&mut self, envelope: &Envelope) -> Result<bool, Violation> {
        todo!()
    }
    pub fn tick(&mut self, now: Instant) {
        todo!()
    }
    /// Cumulative, idempotent.
    pub fn handle_durable(&mut self, now: Instant, done: Durable) {
        todo!()
    }
    pub fn handle_applied(&mut self, through: Index) {
        todo!()
    }
    /// The disk failed: nothing leaves any more; every verb answers `Refused::Stopped`.
    pub fn handle_disk_failed(&mut self) {
        todo!()
    }
    pub fn propose(&mut self, now: Instant, command: Bytes) -> Result<LogId, Refused> {
        todo!()
    }
    /// A linearizable read, on any node: ends in `ReadReady` or `ReadFailed`.
    pub fn read(&mut self, now: Instant) -> Result<ReadId, Refused> {
        todo!()
    }
    pub fn poll_action(&mut self) -> Option<Action> {
        todo!()
    }
    /// When a tick will next matter. Never in the past of the last `now` unless a tick is due.
    pub fn next_tick(&self) -> Option<Instant> {
        todo!()
    }
    pub fn status(&self) -> Status {
        todo!()
    }
    /// The term, leader and identity, cheaply.
    pub fn term(&self) -> crate::types::Term {
        todo!()
    }
    pub fn leader(&self) -> Option<crate::types::Member> {
        todo!()
    }
    pub fn is_leader(&self) -> bool {
        todo!()
    }
    pub fn identity(&self) -> crate::write::Identity {
        todo!()
    }
    pub fn boot(&self) -> crate::types::Boot {
        todo!()
    }
    pub fn configuration(&self) -> &Configuration {
        todo!()
    }
}
