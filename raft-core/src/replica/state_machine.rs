//! What the user replicates.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::snapshot::{Sink, Source, SourceError};
use crate::types::Index;

/// What the user replicates: deterministic, without I/O.
pub trait StateMachine {
    /// Changes the state.
    type Command: Serialize + DeserializeOwned + Clone;
    /// What a command answers.
    type Response: Serialize + DeserializeOwned + Clone;
    /// Asks the state, changing nothing.
    type Query: Clone;
    /// What a query answers.
    type Answer;
    /// A frozen view of the state, cheap to make: what it shows never changes.
    type Image: Clone + Send;
    /// Applies a committed command. `index` grows from call to call.
    fn apply(&mut self, index: Index, command: Self::Command) -> Self::Response;
    /// Answers a query.
    fn query(&self, query: Self::Query) -> Self::Answer;
    /// Freezes the state as it is now, for a snapshot.
    fn freeze(&self) -> Self::Image;
    /// Writes an image: the same bytes each time that it is asked. It may run on another thread, beside `apply`.
    /// [`snapshot::write_value`](crate::snapshot::write_value) does it for any serde type.
    fn write(image: &Self::Image, out: &mut dyn Sink);
    /// Reads back what [`write`](StateMachine::write) wrote, to its end.
    /// [`snapshot::read_value`](crate::snapshot::read_value) does it for any serde type.
    ///
    /// # Errors
    /// Those of the source; or the bytes are not such a state.
    fn restore(input: &mut dyn Source) -> Result<Self, SourceError>
    where
        Self: Sized;
    /// A digest of the state, equal on equal states, if there is one: the simulator compares replicas by it.
    fn digest(&self) -> Option<u64> {
        None
    }
}
