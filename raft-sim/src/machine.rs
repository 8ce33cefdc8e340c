//! The state machine under test, watched: what it applies is written down for the oracles.

use std::fmt::Debug;

use bytes::Bytes;
use raft_core::Index;
use raft_core::replica::StateMachine;
use raft_core::snapshot::{Sink, Source, SourceError};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// A state machine that can be simulated: it can be cloned, and what clients see of it can be printed.
pub trait Machine:
    StateMachine<Command: Debug, Response: Debug, Query: Debug, Answer: Clone + Debug, Image: Debug>
    + Clone
    + Debug
{
}

impl<S> Machine for S where
    S: StateMachine<Command: Debug, Response: Debug, Query: Debug, Answer: Clone + Debug, Image: Debug>
        + Clone
        + Debug
{
}

/// One applied command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Applied {
    pub(crate) index: Index,
    /// Of the command's bytes.
    pub(crate) command: u64,
    /// Of the state after it, if the machine has digests.
    pub(crate) state: Option<u64>,
}

/// A command as it goes through the log: longer than it need be, so that batches span sectors, messages span
/// datagrams, and bounds in bytes are met.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Padded<C> {
    pub(crate) command: C,
    pub(crate) padding: Bytes,
}

/// Wraps a state machine and records its calls.
#[derive(Clone, Debug)]
pub(crate) struct Observed<S> {
    inner: S,
    applied: Vec<Applied>,
}

impl<S> Observed<S> {
    pub(crate) fn new(inner: S) -> Observed<S> {
        Observed { inner, applied: Vec::new() }
    }

    /// What was applied since the last call.
    pub(crate) fn take_applied(&mut self) -> Vec<Applied> {
        std::mem::take(&mut self.applied)
    }

    pub(crate) fn has_applied(&self) -> bool {
        !self.applied.is_empty()
    }
}

impl<S: StateMachine> StateMachine for Observed<S> {
    type Command = Padded<S::Command>;
    type Response = S::Response;
    type Query = S::Query;
    type Answer = S::Answer;
    type Image = S::Image;

    fn apply(&mut self, index: Index, padded: Padded<S::Command>) -> S::Response {
        let bytes = postcard::to_extend(&padded, Vec::with_capacity(64)).unwrap_or_default();
        let response = self.inner.apply(index, padded.command);
        let state = self.inner.digest();
        self.applied.push(Applied { index, command: xxh3_64(&bytes), state });
        response
    }

    fn query(&self, query: S::Query) -> S::Answer {
        self.inner.query(query)
    }

    fn freeze(&self) -> S::Image {
        self.inner.freeze()
    }

    fn write(image: &S::Image, out: &mut dyn Sink) {
        S::write(image, out);
    }

    fn restore(input: &mut dyn Source) -> Result<Observed<S>, SourceError> {
        S::restore(input).map(Observed::new)
    }

    fn digest(&self) -> Option<u64> {
        self.inner.digest()
    }
}
