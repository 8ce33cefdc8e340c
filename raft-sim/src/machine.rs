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

/// What a snapshot is written from: the image of the machine, and the ballast.
pub(crate) type ImageOf<S> = (<S as StateMachine>::Image, Bytes);

/// Wraps a state machine and records its calls.
#[derive(Clone, Debug)]
pub(crate) struct Observed<S> {
    inner: S,
    /// What the last command was padded with: snapshots have it too, so that they come in all sizes.
    ballast: Bytes,
    applied: Vec<Applied>,
}

impl<S> Observed<S> {
    pub(crate) fn new(inner: S) -> Observed<S> {
        Observed { inner, ballast: Bytes::new(), applied: Vec::new() }
    }

    /// What was applied since the last call.
    pub(crate) fn take_applied(&mut self) -> Vec<Applied> {
        std::mem::take(&mut self.applied)
    }
}

impl<S: StateMachine> StateMachine for Observed<S> {
    type Command = Padded<S::Command>;
    type Response = S::Response;
    type Query = S::Query;
    type Answer = S::Answer;
    type Image = ImageOf<S>;

    fn apply(&mut self, index: Index, padded: Padded<S::Command>) -> S::Response {
        let bytes = postcard::to_extend(&padded, Vec::with_capacity(64)).unwrap_or_default();
        self.ballast = padded.padding;
        let response = self.inner.apply(index, padded.command);
        let state = self.inner.digest();
        self.applied.push(Applied { index, command: xxh3_64(&bytes), state });
        response
    }

    fn query(&self, query: S::Query) -> S::Answer {
        self.inner.query(query)
    }

    fn freeze(&self) -> ImageOf<S> {
        (self.inner.freeze(), self.ballast.clone())
    }

    fn write((image, ballast): &ImageOf<S>, out: &mut dyn Sink) {
        out.write(&(ballast.len() as u32).to_le_bytes());
        out.write(ballast);
        S::write(image, out);
    }

    fn restore(input: &mut dyn Source) -> Result<Observed<S>, SourceError> {
        let mut length = [0; 4];
        read_exactly(input, &mut length)?;
        let length = u32::from_le_bytes(length);
        if length > BALLAST_BYTES_MAX {
            return Err(SourceError { what: format!("{length} bytes of ballast") });
        }
        let mut ballast = vec![0; length as usize];
        read_exactly(input, &mut ballast)?;
        let inner = S::restore(input)?;
        Ok(Observed { ballast: ballast.into(), ..Observed::new(inner) })
    }

    fn digest(&self) -> Option<u64> {
        self.inner.digest()
    }
}

/// A command is no longer than this in any setup.
const BALLAST_BYTES_MAX: u32 = 1 << 20;

fn read_exactly(input: &mut dyn Source, buffer: &mut [u8]) -> Result<(), SourceError> {
    if input.read(buffer)? == buffer.len() {
        Ok(())
    } else {
        Err(SourceError { what: "the snapshot ends too early".to_owned() })
    }
}
